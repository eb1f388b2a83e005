/*
 * Trees that are kept in files. The input is a file's body; header and digest are put around it,
 * so that the reader gets to see it. What it takes must be a tree that holds together.
 */
#include <endian.h>
#include <string.h>

#include "fuzz.h"
#include "support/buffer.h"
#include "support/digest.h"
#include "support/fileio.h"
#include "tree/dump.h"
#include "tree/tree_file.h"
#include "tree/tree_file_format.h"

#define DISK_SIZE (1u << 20)
#define DUMP_MAX (1u << 20) /* bytes of files that are read for the dump */

static int read_disk(
	struct source *source, void *data, size_t len, uint64_t offset, struct error *err)
{
	(void)source, (void)err;
	if (offset > DISK_SIZE || len > DISK_SIZE - offset)
		fuzz_broken(
			"%zu bytes at %llu are beyond the disk", len, (unsigned long long)offset);
	memset(data, (int)(offset / 4096), len);
	return 0;
}

static void free_disk(struct source *source)
{
	(void)source;
}

static void seal(const uint8_t *body, size_t size, struct buffer *out)
{
	const struct tree_file_header header = {
		.magic = TREE_FILE_MAGIC,
		.version = htole32(TREE_FILE_VERSION),
		.body = htole64(size),
	};
	buffer_add(out, &header, sizeof(header));
	buffer_add(out, body, size);
	struct digest digest = digest_of(out->data, out->len);
	buffer_add(out, digest.bytes, sizeof(digest.bytes));
}

/* Names, links and numbers agree. Returns how many bytes the files have in all. */
static uint64_t check(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	uint64_t count = 0;
	uint64_t total = 0;
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		const struct inode *inode = d->inode;
		bool scaffold = d->flags & DENTRY_SCAFFOLD;
		uint32_t names = 0;
		count++;
		if (inode == NULL || d->base != (scaffold ? NULL : inode))
			fuzz_broken("%s is not in the states that it should be in", d->name);
		for (const struct dentry *n = inode->names; n != NULL; n = n->next_name)
			names += n->inode == inode;
		if (names != inode->nlink || (inode_is_dir(inode) && names != 1))
			fuzz_broken("%s has %u names of %u", d->name, names, inode->nlink);
		if (tree_numbered(tree, inode->ino) != inode)
			fuzz_broken("%s is not inode %u", d->name, inode->ino);
		if (d != root && tree_find(tree, d->parent, d->name, d->name_len) != d)
			fuzz_broken("%s is not found", d->name);
		if (__builtin_add_overflow(total, inode->size, &total))
			total = UINT64_MAX;
	}
	if (count != tree_count(tree))
		fuzz_broken("there are %llu names of %llu", (unsigned long long)count,
			(unsigned long long)tree_count(tree));
	return total;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = fuzz_error();
	struct source disk = {.read = read_disk, .free = free_disk, .fd = -1};
	cleanup_buffer struct buffer bytes = {0};
	cleanup_buffer struct buffer dump = {0};
	cleanup_tree struct tree *tree = tree_new();
	seal(data, size, &bytes);
	cleanup_fuzz_file struct fuzz_file file = fuzz_file_new(bytes.data, bytes.len);
	if (!fuzz_ok(tree_file_read(file.fd, 0, &disk, DISK_SIZE, tree, &err), &err))
		return 0;
	if (check(tree) > DUMP_MAX) {
		fuzz_outcome("large", NULL, 0);
		return 0;
	}
	fuzz_must(tree_dump(tree, &dump, &err), &err, "tree_dump");
	fuzz_outcome("tree", dump.data, dump.len);
	return 0;
}
