#include "roundtrip.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz.h"
#include "layer/layer.h"
#include "tree/changes.h"
#include "tree/dump.h"

#define SMALL_MAX (UINT64_C(1) << 20)

static const struct layer_options as_it_is = {.keep_mtime = true};

bool roundtrip_is_small(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	uint64_t total = 0;
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		const struct inode *inodes[] = {d->inode, d->base};
		for (size_t i = 0; i < 2; i++) {
			if (inodes[i] == NULL)
				continue;
			if (__builtin_add_overflow(total, inodes[i]->size, &total) ||
				total > SMALL_MAX) {
				fuzz_outcome("large", NULL, 0);
				return false;
			}
		}
	}
	return true;
}

/*
 * What is read is not what was written in two things, which are settled before: libarchive reads
 * the time "-0.25" as 0.25, and symlinks have the one mode that Linux gives them.
 */
static void settle_inode(struct inode *inode)
{
	if (inode->mtime_sec == -1)
		inode->mtime_nsec = 0;
	if (S_ISLNK(inode->mode))
		inode->mode = S_IFLNK | 0777;
}

static void settle(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode != NULL)
			settle_inode(d->inode);
		if (d->base != NULL)
			settle_inode(d->base);
	}
}

static char *dump(struct tree *tree)
{
	struct error err = fuzz_error();
	struct buffer out = {0};
	tree_sort(tree);
	fuzz_must(tree_dump(tree, &out, &err), &err, "the tree's dump");
	return buffer_steal_text(&out);
}

static void check_same(struct tree *found, struct tree *expected, const char *what)
{
	cleanup_free char *a = dump(found);
	cleanup_free char *b = dump(expected);
	if (strcmp(a, b) != 0)
		fuzz_broken("%s: the trees differ\n--- found\n%s--- expected\n%s", what, a, b);
}

/* Writes what is marked. Returns the layer's descriptor; -1: it was refused. */
static int write_layer(struct tree *tree, const char *outcome, struct layer_info *info)
{
	struct error err = fuzz_error();
	cleanup_close int fd = memfd_create("layer", MFD_CLOEXEC);
	if (fd < 0)
		fuzz_broken("no file in memory can be made");
	if (!fuzz_ok(layer_write(tree, fd, &as_it_is, info, &err), &err)) {
		if (err.kind != ERROR_LIMIT)
			fuzz_broken("a layer cannot be written: %s", err.message);
		return -1;
	}
	fuzz_outcome(outcome, info->diff_id.bytes, sizeof(info->diff_id.bytes));
	return steal_fd(&fd);
}

static void apply(struct tree *tree, int fd, const struct layer_info *info, const char *what)
{
	struct error err = fuzz_error();
	struct source *source = source_from_fd(fd, 0, "layer");
	fuzz_must(layer_apply(tree, source, info->size, "layer", &err), &err, what);
}

void roundtrip_whole(struct tree *tree)
{
	static const char what[] = "the whole tree as a layer";
	struct layer_info info;
	settle(tree);
	changes_mark_all(tree);
	int fd = write_layer(tree, "tree", &info);
	if (fd < 0)
		return;
	cleanup_tree struct tree *again = tree_new();
	apply(again, fd, &info, what);
	check_same(again, tree, what);
}

void roundtrip_same(struct tree *found, struct tree *expected)
{
	struct layer_info infos[2];
	changes_mark_all(found);
	changes_mark_all(expected);
	cleanup_close int a = write_layer(found, "fed", &infos[0]);
	cleanup_close int b = write_layer(expected, "whole", &infos[1]);
	if ((a < 0) != (b < 0) || (a >= 0 && !digest_equal(&infos[0].diff_id, &infos[1].diff_id)))
		fuzz_broken("two ways make different layers");
}

/* The root's mtime is no change by itself, and so in no layer. */
static void forget_root_mtime(struct tree *tree)
{
	struct inode *root = tree_root(tree)->inode;
	root->mtime_sec = 0;
	root->mtime_nsec = 0;
}

void roundtrip_changes(struct tree *tree, struct tree *base)
{
	static const char what[] = "the changes as a layer";
	struct error err = fuzz_error();
	struct changes changes;
	struct layer_info info;
	settle(tree);
	settle(base);
	fuzz_must(changes_mark(tree, &changes, &err), &err, "the changes");
	int fd = write_layer(tree, "changes", &info);
	if (fd >= 0) {
		apply(base, fd, &info, what);
		forget_root_mtime(base);
		forget_root_mtime(tree);
		check_same(base, tree, what);
	}
	tree_freeze(tree);
	fuzz_must(changes_mark(tree, &changes, &err), &err, "no changes");
	if (changes.written != 0 || changes.whiteouts != 0)
		fuzz_broken("a tree differs from itself: %llu entries, %llu whiteouts",
			(unsigned long long)changes.written, (unsigned long long)changes.whiteouts);
}
