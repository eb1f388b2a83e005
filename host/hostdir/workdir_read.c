#include "hostdir/workdir_read.h"

#include <errno.h>
#include <string.h>

#include "hostdir/reinode.h"
#include "hostdir/scan.h"
#include "support/buffer.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/follow.h"

/* The parent of what is in the folder itself. */
#define ROOT SIZE_MAX

/* A name of the new layer. */
struct found {
	size_t parent; /* index of its directory, or ROOT */
	size_t name;   /* offset in reader->names */
	struct inode *inode;
	struct dentry *dentry; /* once it is in the tree */
};

/* The directory of the folder at some depth. */
struct place {
	struct dentry *laid_out; /* as it was laid out; NULL: the script made it */
	size_t index;            /* among what was found, or ROOT */
};

struct reader {
	struct tree *tree;
	const struct workdir_options *options;
	struct reinode reinode;
	struct inode *root; /* what the root became */
	struct found *found;
	size_t count;
	size_t capacity;
	struct buffer names;
	struct place *places; /* by depth */
	size_t place_capacity;
	struct dentry **whiteouts;
	size_t whiteout_count;
	size_t whiteout_capacity;
};

static void free_reader(struct reader *reader)
{
	reinode_free(&reader->reinode);
	free(reader->found);
	buffer_free(&reader->names);
	free(reader->places);
	free(reader->whiteouts);
}

static size_t add_found(struct reader *reader, size_t parent, const char *name, struct inode *inode)
{
	reader->found =
		array_grow(reader->found, reader->count, &reader->capacity, sizeof(*reader->found));
	reader->found[reader->count] =
		(struct found){.parent = parent, .name = reader->names.len, .inode = inode};
	buffer_add(&reader->names, name, strlen(name) + 1);
	return reader->count++;
}

/*
 * Notes a directory whose names follow. Its device nodes were not laid out, so they are still
 * there; where the script put something in their place, that is found after them and prevails.
 */
static void add_place(struct reader *reader, size_t depth, struct dentry *laid_out, size_t index)
{
	reader->places =
		array_grow(reader->places, depth, &reader->place_capacity, sizeof(*reader->places));
	reader->places[depth] = (struct place){.laid_out = laid_out, .index = index};
	if (laid_out == NULL)
		return;
	for (const struct dentry *d = laid_out->children; d != NULL; d = d->next) {
		if (d->inode != NULL && (d->flags & DENTRY_WRITE) && inode_is_device(d->inode))
			add_found(reader, index, d->name, d->inode);
	}
}

static int read_entry(struct reader *reader, const struct scan_entry *entry, struct error *err)
{
	const struct place place = reader->places[entry->depth];
	if (entry->is_mount)
		return error_set(err, ERROR_INPUT, EBUSY,
			"%s: the script left something mounted there; unmount it at its end",
			entry->path);
	if (S_ISSOCK(entry->st.stx_mode)) {
		report_warning(reader->options->report,
			"%s: is a socket, which an image cannot hold; left out", entry->path);
		return 0;
	}
	struct dentry *laid_out =
		place.laid_out == NULL
			? NULL
			: tree_find(reader->tree, place.laid_out, entry->name, strlen(entry->name));
	if (laid_out != NULL && !layout_has(laid_out))
		laid_out = NULL;
	struct inode *inode;
	int r = reinode_get(&reader->reinode, entry, laid_out, &inode, err);
	if (r < 0)
		return r;
	size_t index = add_found(reader, place.index, entry->name, inode);
	if (inode_is_dir(inode)) {
		bool was_dir = laid_out != NULL && inode_is_dir(laid_out->inode);
		add_place(reader, entry->depth + 1, was_dir ? laid_out : NULL, index);
	}
	return 0;
}

static int read_folder(struct reader *reader, int fd, struct error *err)
{
	cleanup_scan struct scan *scan = NULL;
	struct scan_entry entry;
	struct dentry *root = tree_root(reader->tree);
	int r = scan_lookup(fd, ".", "/", &entry, err);
	if (r == 0 && entry.st.stx_nlink == 0)
		r = error_set(err, ERROR_INPUT, ENOENT, "the script removed its working folder");
	if (r == 0)
		r = reinode_get(&reader->reinode, &entry, root, &reader->root, err);
	if (r == 0 && fchmod(fd, S_IRWXU) < 0)
		r = error_set_errno(err, ERROR_INPUT, "/: cannot be made readable");
	if (r == 0)
		r = scan_open(fd, "", SCAN_FORCE | SCAN_ONE_MOUNT, &scan, err);
	if (r < 0)
		return r;
	add_place(reader, 0, root, ROOT);
	while ((r = scan_next(scan, &entry, err)) > 0) {
		r = interrupt_check(err);
		if (r == 0 && entry.event == SCAN_ENTRY)
			r = read_entry(reader, &entry, err);
		if (r < 0)
			return r;
	}
	return r;
}

static void note_whiteouts(struct reader *reader)
{
	struct dentry *root = tree_root(reader->tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (!(d->flags & DENTRY_WHITEOUT))
			continue;
		reader->whiteouts = array_grow(reader->whiteouts, reader->whiteout_count,
			&reader->whiteout_capacity, sizeof(struct dentry *));
		reader->whiteouts[reader->whiteout_count++] = d;
	}
}

/* A directory of the script hides what is behind a symlink of the image: rarely what was meant. */
static void warn_of_hidden(struct reader *reader, struct dentry *dir, const char *name)
{
	struct dentry *existing = tree_find(reader->tree, dir, name, strlen(name));
	if (existing == NULL || !S_ISLNK(existing->inode->mode))
		return;
	const struct dentry *target = tree_follow(reader->tree, existing);
	if (target == NULL || !inode_is_dir(target->inode))
		return;
	cleanup_free char *path = tree_path(existing);
	report_warning(reader->options->report,
		"/%s: the script's folder takes the place of the image's symlink /%s -> %s", path,
		path, existing->inode->target);
}

static void apply(struct reader *reader)
{
	struct tree *tree = reader->tree;
	note_whiteouts(reader);
	tree_revert(tree);
	for (size_t i = 0; i < reader->whiteout_count; i++) {
		if (reader->whiteouts[i]->inode != NULL)
			tree_unlink(tree, reader->whiteouts[i]);
	}
	tree_relink(tree, tree_root(tree), reader->root);
	for (size_t i = 0; i < reader->count; i++) {
		struct found *f = &reader->found[i];
		const char *name = (const char *)reader->names.data + f->name;
		struct dentry *dir =
			f->parent == ROOT ? tree_root(tree) : reader->found[f->parent].dentry;
		if (inode_is_dir(f->inode))
			warn_of_hidden(reader, dir, name);
		f->dentry = tree_link(tree, dir, name, strlen(name), f->inode);
	}
}

int workdir_read(struct tree *tree, int fd, const struct layout *layout,
	const struct workdir_options *options, struct error *err)
{
	__attribute__((cleanup(free_reader))) struct reader reader = {
		.tree = tree,
		.options = options,
		.reinode = {.spool = {.tree = tree},
			.layout = layout,
			.uid = options->uid,
			.gid = options->gid},
	};
	int r = read_folder(&reader, fd, err);
	if (r == 0)
		apply(&reader);
	return r;
}
