/*
 * The disk that a hostile guest left: the input is patches to a disk of known content, which
 * reach it as a guest's writes do, through an overlay.
 */
#include <endian.h>
#include <string.h>

#include "disk/disk.h"
#include "disk/overlay_format.h"
#include "ext4_base.h"
#include "patches.h"
#include "roundtrip.h"
#include "support/fileio.h"

#define WRITTEN_MAX 64  /* blocks */
#define ROOM (4u << 20) /* of the overlay's disk beyond the base's end */
#define TABLE_MAX 16

/* The blocks that the guest wrote. */
struct written {
	uint32_t numbers[WRITTEN_MAX];
	uint8_t bytes[WRITTEN_MAX][DISK_BLOCK_SIZE];
	size_t count;
};

const uint8_t *patch_block(uint16_t block)
{
	return ext4_base()->bytes + (size_t)ext4_base_block(block) * DISK_BLOCK_SIZE;
}

/* The block to write to; NULL: too many. */
static uint8_t *written_block(struct written *w, uint32_t number)
{
	for (size_t i = 0; i < w->count; i++) {
		if (w->numbers[i] == number)
			return w->bytes[i];
	}
	if (w->count == WRITTEN_MAX)
		return NULL;
	w->numbers[w->count] = number;
	memcpy(w->bytes[w->count], ext4_base()->bytes + (size_t)number * DISK_BLOCK_SIZE,
		DISK_BLOCK_SIZE);
	return w->bytes[w->count++];
}

static void apply_patches(struct written *w, const uint8_t *data, size_t size)
{
	struct fuzz_input input = {.data = data, .left = size};
	struct patch p;
	w->count = 0;
	while (patch_next(&input, &p)) {
		uint8_t *to = written_block(w, ext4_base_block(p.block));
		const uint8_t *from = p.data;
		if (from == NULL) {
			from = written_block(w, ext4_base_block(p.from_block));
			from = from != NULL ? from + p.from_offset : NULL;
		}
		if (to != NULL && from != NULL)
			memmove(to + p.offset, from, p.len);
	}
}

static void put(int fd, const void *data, size_t len, uint64_t offset)
{
	struct error err = fuzz_error();
	fuzz_must(file_write_at(fd, data, len, offset, "overlay", &err), &err, "the overlay");
}

/* Refcounts are left out: nobody who reads the map needs them. */
static void make_overlay(const struct written *w, int fd)
{
	struct error err = fuzz_error();
	struct qcow2_header header;
	uint64_t tables[TABLE_MAX] = {0};
	fuzz_must(overlay_create(fd, ext4_base()->size + ROOM, &err), &err, "overlay_create");
	fuzz_must(file_read_at(fd, &header, sizeof(header), 0, "overlay", &err), &err, "overlay");
	uint64_t end = (uint64_t)lseek(fd, 0, SEEK_END);
	for (size_t i = 0; i < w->count; i++) {
		uint32_t number = w->numbers[i];
		uint64_t *table = &tables[number / QCOW2_TABLE_ENTRIES % TABLE_MAX];
		if (*table == 0) {
			*table = end;
			end += DISK_BLOCK_SIZE;
			uint64_t l1_entry = htobe64(*table | QCOW2_COPIED);
			put(fd, &l1_entry, sizeof(l1_entry),
				be64toh(header.l1_table_offset) +
					8 * (number / QCOW2_TABLE_ENTRIES));
		}
		uint64_t entry = htobe64(end | QCOW2_COPIED);
		put(fd, &entry, sizeof(entry), *table + 8 * (number % QCOW2_TABLE_ENTRIES));
		put(fd, w->bytes[i], DISK_BLOCK_SIZE, end);
		end += DISK_BLOCK_SIZE;
	}
}

/* What the rest of layervm relies on in any tree. */
static void check_names(struct tree *tree)
{
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		bool named = d->name_len != 0 && memchr(d->name, '/', d->name_len) == NULL &&
			     strlen(d->name) == d->name_len && strcmp(d->name, ".") != 0 &&
			     strcmp(d->name, "..") != 0;
		if (d != root && d->inode != NULL && !named)
			fuzz_broken("a name that no tree has: \"%s\"", d->name);
		if (d->inode != NULL && S_ISLNK(d->inode->mode) &&
			strlen(d->inode->target) != d->inode->size)
			fuzz_broken("/%s: a symlink of another length", d->name);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	if (ext4_base()->size + ROOM > TABLE_MAX * QCOW2_TABLE_ENTRIES * DISK_BLOCK_SIZE)
		fuzz_broken("the base is too large for this target");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct written written;
	struct error err = fuzz_error();
	cleanup_fuzz_file struct fuzz_file overlay = fuzz_file_new("", 0);
	cleanup_tree struct tree *tree = ext4_base_tree();
	apply_patches(&written, data, size);
	make_overlay(&written, overlay.fd);
	int result = disk_reread(tree, ext4_base()->file.fd, overlay.fd, &err);
	if (!fuzz_ok(result, &err)) {
		if (err.kind != ERROR_GUEST && err.kind != ERROR_LIMIT)
			fuzz_broken("not the guest's fault: %s", err.message);
		return 0;
	}
	check_names(tree);
	if (!roundtrip_is_small(tree))
		return 0;
	roundtrip_whole(tree);
	cleanup_tree struct tree *base = ext4_base_tree();
	roundtrip_changes(tree, base);
	return 0;
}
