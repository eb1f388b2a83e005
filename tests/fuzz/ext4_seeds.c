/*
 * Writes first inputs for the ext4 target into a folder: what a guest's changes to the disk are
 * as patches. Usage: fuzz_ext4_seeds FOLDER
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../unit/disk_guest.h"
#include "ext4_base.h"
#include "patches.h"
#include "support/fileio.h"

#define RUN_MAX 127u /* bytes of one patch */

static void make_files(struct guest *guest)
{
	guest_make(guest, "/etc/new", S_IFREG | 0644, 0);
	guest_write(guest, "/etc/new", 0, "data", 4);
	guest_make(guest, "/tmp/p", S_IFIFO | 0600, 0);
	guest_make(guest, "/tmp/c", S_IFCHR | 0600, 0x0103);
	guest_make(guest, "/tmp/s", S_IFSOCK | 0600, 0);
}

static void change_files(struct guest *guest)
{
	guest_write(guest, "/usr/lib/libc.so", 8192, "in the middle", 13);
	guest_truncate(guest, "/usr/lib/a/b/c", 70000);
	guest_chmod(guest, "/bin/sh", 04755);
	guest_chown(guest, "/etc", 70000, 80000);
	guest_read_times(guest, "/etc/passwd");
}

static void make_pieces(struct guest *guest)
{
	guest_make(guest, "/pieces", S_IFREG | 0644, 0);
	for (unsigned i = 0; i < 6; i++)
		guest_write(guest, "/pieces", (uint64_t)i * 8192, &i, sizeof(i));
	guest_preallocate(guest, "/etc/group", 3);
}

static void make_symlinks(struct guest *guest)
{
	guest_symlink(guest, "/etc/fast", "12345678901234567890");
	guest_symlink(guest, "/etc/slow",
		"1234567890123456789012345678901234567890123456789012345678901234567890");
	guest_link(guest, "/etc/passwd", "/etc/rc.d/hard");
}

static void move_folders(struct guest *guest)
{
	guest_make(guest, "/d", S_IFDIR | 0755, 0);
	guest_make(guest, "/d/e", S_IFDIR | 0755, 0);
	guest_make(guest, "/d/e/f", S_IFREG | 0644, 0);
	guest_rename(guest, "/usr/lib/a", "/y");
	guest_remove(guest, "/etc/rc.d");
	guest_remove(guest, "/bin/ls");
}

static void set_xattrs(struct guest *guest)
{
	static const uint8_t value[700] = {9, 8, 7};
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 4, 0, 255,
		255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255};
	guest_xattr(guest, "/etc/passwd", "user.x", value, 20);
	guest_xattr(guest, "/etc/passwd", "user.y", value, 20);
	guest_xattr(guest, "/etc/group", "user.big", value, sizeof(value));
	guest_xattr(guest, "/tmp", "system.posix_acl_access", acl, sizeof(acl));
	guest_xattr(guest, "/etc/rc.d", "user.large", NULL, 0);
}

/* The first place of a name on the disk, from its first byte. */
static uint8_t *find_name(uint8_t *disk, const char *name)
{
	uint8_t *place = memmem(disk, (size_t)ext4_base()->size, name, strlen(name));
	if (place == NULL)
		fuzz_broken("%s is not on the disk", name);
	return place;
}

static void put_u16(uint8_t *to, size_t value)
{
	to[0] = (uint8_t)value;
	to[1] = (uint8_t)(value >> 8);
}

static void damage_name(uint8_t *disk)
{
	find_name(disk, "fifo")[1] = '/';
}

/* The last record of a directory ends behind the block, with its name. */
static void damage_record(uint8_t *disk)
{
	uint8_t *record = find_name(disk, "S01start") - 8;
	size_t offset = (size_t)(record - disk) % PATCH_BLOCK;
	uint8_t *last = record - offset + PATCH_BLOCK - 12;
	put_u16(record + 4, PATCH_BLOCK - 12 - offset);
	put_u16(last, 12);
	put_u16(last + 4, 264);
	put_u16(last + 6, 255);
}

/* The record of an attribute: the offset of its value is at 2, its size at 8. */
static uint8_t *find_attribute(uint8_t *disk, const char *name)
{
	return find_name(disk, name) - 16;
}

/* An attribute in an inode whose value ends behind it. */
static void damage_value(uint8_t *disk)
{
	put_u16(find_attribute(disk, "small") + 8, 90);
}

/* Of two attributes in an inode, the value of one ends behind it; its size alone would fit. */
static void damage_value_end(uint8_t *disk)
{
	put_u16(find_attribute(disk, "capability") + 2, 80);
}

/* A value lies where the records are. */
static void damage_value_start(uint8_t *disk)
{
	put_u16(find_attribute(disk, "capability") + 2, 0);
}

/* Two values share their bytes. */
static void damage_values(uint8_t *disk)
{
	const uint8_t *capability = find_attribute(disk, "capability");
	uint8_t *small = find_attribute(disk, "small");
	memcpy(small + 2, capability + 2, 2);
	put_u16(small + 8, 20);
}

/* The inode of a file of the base; the disk has one group of blocks. */
static uint8_t *find_inode(uint8_t *disk, const char *path)
{
	cleanup_tree struct tree *tree = ext4_base_tree();
	const uint8_t *descriptor = disk + PATCH_BLOCK;
	size_t table = descriptor[8] | (size_t)descriptor[9] << 8;
	return disk + table * PATCH_BLOCK + (tree_walk(tree, path)->inode->ino - 1) * 256;
}

/* Writes extents into an inode: pairs of a file's first block and their number, one block of the
 * disk after the other from `first` on. max: as many as there are said to be room for. */
static void put_extents(uint8_t *inode, size_t max, size_t first, const size_t (*extents)[2])
{
	uint8_t *header = inode + 40;
	size_t count = 0;
	for (; count < 2 && extents[count][1] != 0; count++) {
		uint8_t *extent = header + 12 * (count + 1);
		put_u16(extent, extents[count][0]);
		put_u16(extent + 2, extents[count][0] >> 16);
		put_u16(extent + 4, extents[count][1]);
		put_u16(extent + 6, 0);
		put_u16(extent + 8, first);
		put_u16(extent + 10, first >> 16);
		first += extents[count][1];
	}
	put_u16(header + 2, count);
	put_u16(header + 4, max);
}

static void damage_extent(uint8_t *disk, size_t max, size_t first, const size_t (*extents)[2])
{
	put_extents(find_inode(disk, "usr/lib/libc.so"), max, first, extents);
}

/* The number of a block that nothing has. */
static size_t free_block(void)
{
	return ext4_base()->block_count - 10;
}

static void damage_extent_end(uint8_t *disk)
{
	damage_extent(disk, 4, ext4_base()->block_count - 2, (const size_t[2][2]){{0, 5}});
}

static void damage_extent_count(uint8_t *disk)
{
	damage_extent(disk, 1, free_block(), (const size_t[2][2]){{0, 3}, {3, 2}});
}

static void damage_extent_order(uint8_t *disk)
{
	damage_extent(disk, 4, free_block(), (const size_t[2][2]){{0, 3}, {2, 3}});
}

static void damage_extent_last(uint8_t *disk)
{
	damage_extent(disk, 4, free_block(), (const size_t[2][2]){{0, 3}, {UINT32_MAX, 2}});
}

/* What a guest did, or what it cannot have done by its kernel alone. */
static const struct {
	const char *name;
	void (*change)(struct guest *guest);
	void (*damage)(uint8_t *disk);
} seeds[] = {
	{"files", make_files, NULL},
	{"changes", change_files, NULL},
	{"pieces", make_pieces, NULL},
	{"symlinks", make_symlinks, NULL},
	{"folders", move_folders, NULL},
	{"xattrs", set_xattrs, NULL},
	{"bad-name", make_files, damage_name},
	{"bad-record", set_xattrs, damage_record},
	{"bad-value", change_files, damage_value},
	{"bad-value-end", change_files, damage_value_end},
	{"bad-value-start", change_files, damage_value_start},
	{"bad-values", change_files, damage_values},
	{"bad-extent-end", change_files, damage_extent_end},
	{"bad-extent-count", change_files, damage_extent_count},
	{"bad-extent-order", change_files, damage_extent_order},
	{"bad-extent-last", change_files, damage_extent_last},
};

/* The number by which patches name a block of the disk. */
static uint16_t patch_number(size_t block)
{
	const struct ext4_base *base = ext4_base();
	for (size_t i = 0; i < base->told_count; i++) {
		if (base->told[i] == block)
			return (uint16_t)i;
	}
	return (uint16_t)(0x8000 + block);
}

static void add_u16(struct buffer *out, size_t value)
{
	const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8)};
	buffer_add(out, bytes, sizeof(bytes));
}

static void diff_block(const uint8_t *was, const uint8_t *is, uint16_t number, struct buffer *out)
{
	for (size_t at = 0; at < PATCH_BLOCK; at++) {
		if (was[at] == is[at])
			continue;
		size_t end = at + 1;
		for (size_t i = end; i < PATCH_BLOCK && i < end + 6 && i - at < RUN_MAX; i++)
			end = was[i] != is[i] ? i + 1 : end;
		uint8_t len = (uint8_t)(end - at);
		add_u16(out, number);
		add_u16(out, at);
		buffer_add(out, &len, 1);
		buffer_add(out, is + at, len);
		at = end - 1;
	}
}

static void write_seed(const char *folder, size_t seed)
{
	const struct ext4_base *base = ext4_base();
	struct error err = fuzz_error();
	cleanup_fuzz_file struct fuzz_file disk = fuzz_file_new(base->bytes, (size_t)base->size);
	struct guest *guest = guest_open(disk.path);
	seeds[seed].change(guest);
	guest_close(guest);
	cleanup_free uint8_t *after = xmalloc((size_t)base->size);
	fuzz_must(file_read_at(disk.fd, after, (size_t)base->size, 0, "disk", &err), &err, "disk");
	if (seeds[seed].damage != NULL)
		seeds[seed].damage(after);
	cleanup_buffer struct buffer out = {0};
	for (size_t i = 0; i < base->block_count; i++)
		diff_block(base->bytes + i * PATCH_BLOCK, after + i * PATCH_BLOCK, patch_number(i),
			&out);
	cleanup_free char *path = xasprintf("%s/%s", folder, seeds[seed].name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		fuzz_broken("%s: cannot be written", path);
	fuzz_must(file_write(fd, out.data, out.len, path, &err), &err, path);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("usage: fuzz_ext4_seeds FOLDER\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		write_seed(argv[1], i);
	return 0;
}
