#include "disk/assemble_directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

#include "disk/disk.h"
#include "support/memory.h"

#define ENTRY_HEAD 8u            /* inode, length, name length, type */
#define DOTS_SIZE (2 * 12u)      /* the entries "." and ".." without room to spare */
#define ROOT_INDEX_AT 32u        /* behind "." and ".." (12 bytes each) and dx_root_info */
#define NODE_INDEX_AT ENTRY_HEAD /* behind one unused entry that spans the block */
#define ROOT_INDEX_MAX ((DISK_BLOCK_SIZE - ROOT_INDEX_AT) / sizeof(struct ext2_dx_entry))
#define NODE_INDEX_MAX ((DISK_BLOCK_SIZE - NODE_INDEX_AT) / sizeof(struct ext2_dx_entry))

/* Any will do, if it is the same every time. */
const uint32_t directory_hash_seed[4] = {0x6c617965, 0x72766d20, 0x68617368, 0x73656564};

void directory_free(struct directory *d)
{
	free(d->leaf_hashes);
	free(d->names);
	*d = (struct directory){0};
}

static uint32_t entry_size(const struct dentry *name)
{
	return (ENTRY_HEAD + name->name_len + 3u) & ~3u;
}

static uint8_t entry_type(const struct inode *inode)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		return EXT2_FT_REG_FILE;
	case S_IFDIR:
		return EXT2_FT_DIR;
	case S_IFCHR:
		return EXT2_FT_CHRDEV;
	case S_IFBLK:
		return EXT2_FT_BLKDEV;
	case S_IFIFO:
		return EXT2_FT_FIFO;
	case S_IFSOCK:
		return EXT2_FT_SOCK;
	case S_IFLNK:
		return EXT2_FT_SYMLINK;
	default:
		return EXT2_FT_UNKNOWN;
	}
}

/* By hash, as the index needs it; then by anything that is the same every time. */
static int compare_hashed(const void *a, const void *b)
{
	const struct hashed_name *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->minor != y->minor)
		return x->minor < y->minor ? -1 : 1;
	return strcmp(x->dentry->name, y->dentry->name);
}

static int hash_names(struct directory *d, struct error *err)
{
	d->name_count = 0;
	for (const struct dentry *c = d->dentry->children; c != NULL; c = c->next) {
		if (c->inode == NULL)
			continue;
		d->names =
			array_grow(d->names, d->name_count, &d->name_capacity, sizeof(*d->names));
		struct hashed_name *name = &d->names[d->name_count++];
		name->dentry = c;
		if (ext2fs_dirhash2(EXT2_HASH_HALF_MD4_UNSIGNED, c->name, c->name_len, NULL, 0,
			    directory_hash_seed, &name->hash, &name->minor) != 0)
			return error_set(err, ERROR_INTERNAL, EINVAL,
				"libext2fs cannot compute a half-MD4 directory hash");
	}
	qsort(d->names, d->name_count, sizeof(*d->names), compare_hashed);
	return 0;
}

/* The end of the leaf that begins with the name at first. */
static size_t leaf_end(const struct directory *d, size_t first)
{
	size_t i = first;
	for (uint32_t used = 0; i < d->name_count; i++) {
		used += entry_size(d->names[i].dentry);
		if (used > DISK_BLOCK_SIZE)
			break;
	}
	return i;
}

static void plan_leaves(struct directory *d)
{
	d->leaves = 0;
	for (size_t i = 0; i < d->name_count; i = leaf_end(d, i)) {
		d->leaf_hashes = array_grow(
			d->leaf_hashes, d->leaves, &d->leaf_capacity, sizeof(*d->leaf_hashes));
		uint32_t hash = d->names[i].hash;
		/* The low bit, which no hash has: names of this hash begin in the leaf before. */
		if (i != 0 && d->names[i - 1].hash == hash)
			hash |= 1;
		d->leaf_hashes[d->leaves++] = hash;
	}
}

int directory_plan(struct directory *d, const struct dentry *dentry, struct error *err)
{
	uint64_t bytes = DOTS_SIZE;
	d->dentry = dentry;
	d->subdirs = 0;
	for (const struct dentry *c = dentry->children; c != NULL; c = c->next) {
		if (c->inode == NULL)
			continue;
		bytes += entry_size(c);
		d->subdirs += inode_is_dir(c->inode);
	}
	d->indexed = bytes > DISK_BLOCK_SIZE;
	d->blocks = 1;
	if (!d->indexed)
		return 0;
	int r = hash_names(d, err);
	if (r < 0)
		return r;
	plan_leaves(d);
	d->nodes = 0;
	if (d->leaves > ROOT_INDEX_MAX)
		d->nodes = (d->leaves + (uint32_t)NODE_INDEX_MAX - 1) / (uint32_t)NODE_INDEX_MAX;
	if (d->nodes > ROOT_INDEX_MAX)
		return error_set(err, ERROR_LIMIT, ENOSPC,
			"has %zu names, which fill %u blocks, but a directory on an ext4 disk "
			"holds at most %zu",
			d->name_count, d->leaves, ROOT_INDEX_MAX * NODE_INDEX_MAX);
	d->blocks += d->nodes + d->leaves;
	return 0;
}

/* Writes an entry of size bytes at `at`, and returns where the next one goes. */
static uint8_t *put_entry(
	uint8_t *at, uint32_t ino, uint32_t size, const char *name, size_t len, uint8_t type)
{
	struct ext2_dir_entry_2 head = {.inode = ino,
		.rec_len = (uint16_t)size,
		.name_len = (uint8_t)len,
		.file_type = type};
	memcpy(at, &head, ENTRY_HEAD);
	memcpy(at + ENTRY_HEAD, name, len);
	return at + size;
}

/* An entry for a name; the last of a block spans the rest of it. */
static uint8_t *put_name(uint8_t *at, const struct dentry *name, bool last, const uint8_t *end)
{
	uint32_t size = last ? (uint32_t)(end - at) : entry_size(name);
	return put_entry(
		at, name->inode->ino, size, name->name, name->name_len, entry_type(name->inode));
}

/* The block has "." and "..", which spans the rest of it until a name follows. */
static void fill_linear(uint8_t *block, const struct directory *d)
{
	const uint8_t *end = block + DISK_BLOCK_SIZE;
	const struct dentry *last = NULL;
	struct ext2_dir_entry *dotdot = (struct ext2_dir_entry *)(block + DOTS_SIZE / 2);
	for (const struct dentry *c = d->dentry->children; c != NULL; c = c->next)
		if (c->inode != NULL)
			last = c;
	if (last != NULL)
		dotdot->rec_len = DOTS_SIZE / 2;
	uint8_t *at = block + DOTS_SIZE;
	for (const struct dentry *c = d->dentry->children; c != NULL; c = c->next)
		if (c->inode != NULL)
			at = put_name(at, c, c == last, end);
}

static void fill_leaf(uint8_t *block, const struct directory *d, size_t first, size_t end)
{
	uint8_t *at = block;
	for (size_t i = first; i < end; i++)
		at = put_name(at, d->names[i].dentry, i + 1 == end, block + DISK_BLOCK_SIZE);
}

/*
 * An index: count entries from block on, every one for `step` leaves from leaf on. The first
 * entry's hash is not stored, as it follows from the entry above: limit and count take its place.
 */
static void fill_index(uint8_t *at, const struct directory *d, size_t max, uint32_t count,
	uint32_t block, uint32_t leaf, uint32_t step)
{
	struct ext2_dx_countlimit head = {.limit = (uint16_t)max, .count = (uint16_t)count};
	for (uint32_t i = 0; i < count; i++) {
		struct ext2_dx_entry entry = {
			.hash = d->leaf_hashes[leaf + i * step], .block = block + i};
		if (i == 0)
			memcpy(&entry.hash, &head, sizeof(entry.hash));
		memcpy(at + i * sizeof(entry), &entry, sizeof(entry));
	}
}

/* Behind "." and "..", which spans all of the block. */
static void fill_root(uint8_t *block, const struct directory *d)
{
	/* The hash version is the signed one's: the superblock says that chars are unsigned. */
	struct ext2_dx_root_info info = {.hash_version = EXT2_HASH_HALF_MD4,
		.info_length = sizeof(info),
		.indirect_levels = d->nodes != 0};
	memcpy(block + DOTS_SIZE, &info, sizeof(info));
	uint32_t count = d->nodes != 0 ? d->nodes : d->leaves;
	uint32_t step = d->nodes != 0 ? (uint32_t)NODE_INDEX_MAX : 1;
	fill_index(block + ROOT_INDEX_AT, d, ROOT_INDEX_MAX, count, 1, 0, step);
}

/* The block has one unused entry, which spans all of it. */
static void fill_node(uint8_t *block, const struct directory *d, uint32_t node)
{
	uint32_t leaf = node * (uint32_t)NODE_INDEX_MAX;
	uint32_t left = d->leaves - leaf;
	uint32_t count = left < NODE_INDEX_MAX ? left : (uint32_t)NODE_INDEX_MAX;
	fill_index(block + NODE_INDEX_AT, d, NODE_INDEX_MAX, count, 1 + d->nodes + leaf, leaf, 1);
}

/* Fills in block i of a directory. *name: the first name of the next leaf. */
static void fill_block(uint8_t *block, const struct directory *d, uint32_t i, size_t *name)
{
	if (!d->indexed) {
		fill_linear(block, d);
	} else if (i == 0) {
		fill_root(block, d);
	} else if (i <= d->nodes) {
		fill_node(block, d, i - 1);
	} else {
		size_t end = leaf_end(d, *name);
		fill_leaf(block, d, *name, end);
		*name = end;
	}
}

int directory_write(const struct directory *d, struct assemble_fs *f, struct error *err)
{
	const struct dentry *above = d->dentry->parent != NULL ? d->dentry->parent : d->dentry;
	uint32_t ino = d->dentry->inode->ino;
	size_t name = 0;
	for (uint32_t i = 0; i < d->blocks; i++) {
		cleanup_free char *block = NULL;
		errcode_t code = ext2fs_new_dir_block(
			f->fs, i == 0 ? ino : 0, i == 0 ? above->inode->ino : 0, &block);
		if (code == 0) {
			fill_block((uint8_t *)block, d, i, &name);
			code = ext2fs_write_dir_block4(f->fs, assemble_fs_next(f), block, 0, ino);
		}
		if (code != 0)
			return assemble_io_error(&f->io, code, "write a directory", err);
	}
	return 0;
}
