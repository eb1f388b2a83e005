/*
 * The map of an overlay. The file begins as overlay_create makes it for a disk of 8 MiB, with an
 * L2 table and a few clusters after it; the input's first two bytes cut it short (in units of 64
 * bytes, 0 not at all), the rest is patches to it.
 */
#include <endian.h>
#include <string.h>
#include <sys/mman.h>

#include "disk/disk.h"
#include "disk/disk_view.h"
#include "disk/overlay.h"
#include "disk/overlay_format.h"
#include "patches.h"
#include "support/fileio.h"

#define DISK_SIZE (8u << 20)
#define BASE_SIZE (6 * DISK_BLOCK_SIZE + 100)
#define L1_TABLE 3 /* clusters of the file */
#define L2_TABLE 4
#define CLUSTERS 8
#define LOOK_FIRST 16 /* blocks of the disk that are looked at, */
#define LOOK_MAX 4096 /* and of those that the overlay holds */

static uint8_t template[CLUSTERS][DISK_BLOCK_SIZE];
static int base_fd;

static void make_template(void)
{
	struct error err = fuzz_error();
	struct fuzz_file file = fuzz_file_new("", 0);
	fuzz_must(overlay_create(file.fd, DISK_SIZE, &err), &err, "overlay_create");
	fuzz_must(file_read_at(file.fd, template, L2_TABLE * DISK_BLOCK_SIZE, 0, "overlay", &err),
		&err, "overlay_create");
	fuzz_file_close(&file);
	uint64_t entry = htobe64(L2_TABLE * DISK_BLOCK_SIZE | QCOW2_COPIED);
	memcpy(template[L1_TABLE], &entry, sizeof(entry));
	for (uint64_t i = L2_TABLE + 1; i < CLUSTERS; i++) {
		entry = htobe64(i * DISK_BLOCK_SIZE | QCOW2_COPIED);
		memcpy(&template[L2_TABLE][8 * i], &entry, sizeof(entry));
		memset(template[i], (int)i, DISK_BLOCK_SIZE);
	}
	entry = htobe64(QCOW2_ZERO);
	memcpy(&template[L2_TABLE][8], &entry, sizeof(entry));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	static uint8_t base[BASE_SIZE];
	make_template();
	memset(base, 0xba, sizeof(base));
	base_fd = fuzz_file_new(base, sizeof(base)).fd;
	return 0;
}

const uint8_t *patch_block(uint16_t block)
{
	return template[block % CLUSTERS];
}

static size_t make_file(const uint8_t *data, size_t size, uint8_t file[CLUSTERS][DISK_BLOCK_SIZE])
{
	struct fuzz_input input = {.data = data, .left = size};
	struct patch p;
	size_t cut = (size_t)fuzz_u16(&input) * 64;
	memcpy(file, template, sizeof(template));
	while (patch_next(&input, &p)) {
		uint8_t *to = &file[p.block % CLUSTERS][p.offset];
		if (p.data != NULL)
			memcpy(to, p.data, p.len);
		else
			memmove(to, &file[p.from_block % CLUSTERS][p.from_offset], p.len);
	}
	return cut == 0 || cut > sizeof(template) ? sizeof(template) : cut;
}

/* What the disk's bytes must be where the map says so. */
static void check_block(const struct disk_view *view, const struct overlay *overlay, uint64_t block,
	size_t file_size)
{
	uint8_t found[DISK_BLOCK_SIZE];
	uint8_t expected[DISK_BLOCK_SIZE] = {0};
	struct error err = fuzz_error();
	uint64_t offset = 0;
	enum overlay_place place = overlay_lookup(overlay, block, &offset);
	if (overlay_holds(overlay, block) != (place != OVERLAY_BASE) ||
		disk_view_holds(view, block) != (place != OVERLAY_BASE))
		fuzz_broken("block %llu is held, and is not", (unsigned long long)block);
	const uint64_t found_at[] = {block, place, place == OVERLAY_DATA ? offset : 0};
	fuzz_outcome("map", found_at, sizeof(found_at));
	if (place == OVERLAY_DATA && (offset % DISK_BLOCK_SIZE != 0 || offset >= file_size))
		fuzz_broken("block %llu is at byte %llu of a file of %zu",
			(unsigned long long)block, (unsigned long long)offset, file_size);
	if (place == OVERLAY_DATA)
		fuzz_must(overlay_read(overlay, expected, sizeof(expected), offset, &err), &err,
			"a block of the overlay");
	if (place == OVERLAY_BASE && block * DISK_BLOCK_SIZE < BASE_SIZE) {
		size_t rest = BASE_SIZE - (size_t)block * DISK_BLOCK_SIZE;
		memset(expected, 0xba, rest < sizeof(expected) ? rest : sizeof(expected));
	}
	fuzz_must(disk_view_read(view, found, sizeof(found), block * DISK_BLOCK_SIZE, &err), &err,
		"a block of the disk");
	if (memcmp(found, expected, sizeof(found)) != 0)
		fuzz_broken("block %llu is not what the map says", (unsigned long long)block);
}

/* Reads that cross blocks agree with those of single blocks. */
static void check_across(const struct disk_view *view, uint64_t blocks)
{
	uint8_t found[3 * DISK_BLOCK_SIZE];
	uint8_t parts[3 * DISK_BLOCK_SIZE];
	struct error err = fuzz_error();
	for (uint64_t i = 0; i + 4 <= blocks && i < 16; i++) {
		uint64_t at = i * DISK_BLOCK_SIZE + 1000;
		fuzz_must(disk_view_read(view, found, sizeof(found), at, &err), &err, "a read");
		for (size_t n = 0; n < sizeof(parts); n += 1024)
			fuzz_must(disk_view_read(view, parts + n, 1024, at + n, &err), &err,
				"a part of a read");
		if (memcmp(found, parts, sizeof(found)) != 0)
			fuzz_broken("a read at %llu is not its parts", (unsigned long long)at);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t bytes[CLUSTERS][DISK_BLOCK_SIZE];
	struct error err = fuzz_error();
	cleanup_overlay struct overlay *overlay = NULL;
	struct disk_view *view;
	size_t file_size = make_file(data, size, bytes);
	cleanup_fuzz_file struct fuzz_file file = fuzz_file_new(bytes, file_size);
	if (!fuzz_ok(overlay_open(file.fd, &overlay, &err), &err))
		return 0;
	fuzz_must(disk_view_open(dup(base_fd), dup(file.fd), &view, &err), &err,
		"the disk of an overlay");
	uint64_t blocks = overlay_size(overlay) / DISK_BLOCK_SIZE;
	for (uint64_t i = 0; i < blocks && i < LOOK_MAX; i++) {
		if (i < LOOK_FIRST || overlay_holds(overlay, i))
			check_block(view, overlay, i, file_size);
	}
	if (blocks > LOOK_MAX)
		check_block(view, overlay, blocks - 1, file_size);
	check_across(view, blocks);
	struct source *source = disk_view_source(view);
	source->free(source);
	return 0;
}
