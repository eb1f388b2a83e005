/* Extended attributes on an ext4 disk: where they fit, how they look, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assembling.h"
#include "disk/disk.h"
#include "ext4_reader.h"
#include "support/fileio.h"
#include "support/memory.h"

/* ACLs as setxattr(2) takes them: version, then tag, permissions and ID of each entry. */
static const uint8_t acl_users[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 5, 0, 0x70,
	0x11, 1, 0, 2, 0, 4, 0, 0xff, 0xff, 0xff, 0x7f, 4, 0, 5, 0, 255, 255, 255, 255, 8, 0, 1, 0,
	100, 0, 0, 0, 16, 0, 7, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
static const uint8_t acl_plain[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255,
	255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
static const uint8_t acl_unknown_tag[] = {2, 0, 0, 0, 3, 0, 7, 0, 255, 255, 255, 255};
static const uint8_t acl_bad_bits[] = {2, 0, 0, 0, 1, 0, 8, 0, 255, 255, 255, 255};
static const uint8_t acl_old_version[] = {1, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255};

struct attribute {
	const char *name; /* NULL: no more */
	size_t len;
	const uint8_t *value; /* NULL: any bytes */
};

static void set_attributes(struct tree *tree, struct inode *inode, const struct attribute *list)
{
	struct xattr items[8];
	size_t count = 0;
	static uint8_t bytes[70000];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + 1);
	for (; list[count].name != NULL; count++)
		items[count] = (struct xattr){.name = list[count].name,
			.value = list[count].value != NULL ? list[count].value : bytes,
			.len = (uint32_t)list[count].len};
	inode->xattrs = tree_xattrs(tree, items, count);
}

/* "user." and 255 bytes of any kind. */
static const char *long_name(char name[static 300], int len)
{
	memcpy(name, "user.", 5);
	for (int i = 0; i < len; i++)
		name[5 + i] = (char)(255 - i % 255);
	name[5 + len] = '\0';
	return name;
}

static void test_what_fits(void **state)
{
	char longest[300];
	long_name(longest, 255);
	const struct {
		struct attribute list[8];
		bool block;
	} cases[] = {
		{{{"security.capability", 20, NULL}}, false},
		{{{"user.empty", 0, NULL}}, false},
		/* 92 bytes: the entry's 16, "x" padded to 4, the end mark's 4, and the value. */
		{{{"user.x", 68, NULL}}, false},
		{{{"user.x", 69, NULL}}, true},
		/* 4096 - 32 - 4 - 20 */
		{{{"user.x", 4040, NULL}}, true},
		{{{"user.x", 68, NULL}, {"user.y", 4040, NULL}}, true},
		{{{"user.x", 4040, NULL}, {"user.y", 66, NULL}}, true},
		/* Values that get inodes: too long for a block, or for what is left of it. */
		{{{"user.x", 4041, NULL}}, false},
		{{{"user.x", 4040, NULL}, {"user.y", 69, NULL}}, true},
		{{{"user.x", 65536, NULL}}, false},
		{{{"trusted.a", 65536, NULL}, {"trusted.b", 10000, NULL}, {"user.c", 4096, NULL},
			 {"user.d", 4097, NULL}, {"user.e", 8192, NULL}, {"user.f", 10, NULL},
			 {longest, 65535, NULL}},
			true},
		{{{longest, 0, NULL}}, true},
		{{{longest, 1000, NULL}, {"user.short", 3, NULL}}, true},
		{{{"trusted.overlay.opaque", 1, NULL}, {"security.selinux", 28, NULL}}, false},
		{{{"user.bb", 40, NULL}, {"user.a\xc3\xa4", 41, NULL}, {"user.aaa", 42, NULL},
			 {"security.zz", 43, NULL}, {"trusted.a", 44, NULL},
			 {"user.empty", 0, NULL}, {"user.c", 1, NULL}},
			true},
		{{{"system.posix_acl_access", sizeof(acl_users), acl_users}}, false},
		{{{"system.posix_acl_access", sizeof(acl_users), acl_users},
			 {"system.posix_acl_default", sizeof(acl_plain), acl_plain},
			 {"user.system.posix_acl_access", 9, NULL}},
			true},
	};
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	char name[16];
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "%zu", i);
		struct inode *inode = add(tree, tree_root(tree), name, S_IFDIR | 0755);
		set_attributes(tree, inode, cases[i].list);
		snprintf(name, sizeof(name), "file-%zu", i);
		struct inode *file = add(tree, tree_root(tree), name, S_IFREG | 0755);
		file->xattrs = inode->xattrs;
		set_bytes(tree, file, i * 1000);
	}
	set_attributes(tree, tree_root(tree)->inode, cases[0].list);
	struct inode *link = add(tree, tree_root(tree), "link", S_IFLNK | 0777);
	set_target(tree, link, 59);
	set_attributes(tree, link, (const struct attribute[]){{"trusted.x", 500, NULL}, {0}});
	check_round_trip(tree);

	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "/%zu", i);
		assert_int_equal(ext4_inode(fs, name).i_file_acl != 0, cases[i].block);
	}
	ext2fs_close_free(&fs);
}

/* An ACL entry takes 4 bytes on the disk, or 8 where it has an ID (ext4_acl_entry_short). */
static void test_acl_on_disk(void **state)
{
	static const uint8_t expected[] = {1, 0, 0, 0, 1, 0, 7, 0, 2, 0, 5, 0, 0x70, 0x11, 1, 0, 2,
		0, 4, 0, 0xff, 0xff, 0xff, 0x7f, 4, 0, 5, 0, 8, 0, 1, 0, 100, 0, 0, 0, 16, 0, 7, 0,
		32, 0, 0, 0};
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	set_attributes(tree, tree_root(tree)->inode,
		(const struct attribute[]){
			{"system.posix_acl_access", sizeof(acl_users), acl_users}, {0}});
	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	uint8_t raw[256];
	assert_int_equal(
		ext2fs_read_inode_full(fs, EXT2_ROOT_INO, (struct ext2_inode *)raw, 256), 0);
	struct ext2_ext_attr_entry entry;
	memcpy(&entry, raw + 164, sizeof(entry));
	assert_int_equal(entry.e_name_index, 2);
	assert_int_equal(entry.e_name_len, 0);
	assert_int_equal(entry.e_value_size, sizeof(expected));
	assert_memory_equal(raw + 164 + entry.e_value_offs, expected, sizeof(expected));
	ext2fs_close_free(&fs);
}

/* The kernel finds attributes of a block in this order only, and shares blocks by their hash. */
static void test_block_layout(void **state)
{
	static const char *const order[] = {"cc", "aaa", "bbb", "z", "aa"};
	(void)state;
	cleanup_tree struct tree *tree = tree_new();
	set_attributes(tree, tree_root(tree)->inode,
		(const struct attribute[]){{"security.aa", 200, NULL}, {"trusted.z", 200, NULL},
			{"user.bbb", 200, NULL}, {"user.aaa", 200, NULL}, {"user.cc", 201, NULL},
			{0}});
	cleanup_close int fd = assemble(tree, MIB);
	ext2_filsys fs = ext4_open(fd);
	uint32_t data[1024], again[1024];
	uint8_t *block = (uint8_t *)data;
	assert_int_equal(
		io_channel_read_blk64(fs->io, ext4_inode(fs, "/").i_file_acl, 1, block), 0);
	struct ext2_ext_attr_entry *e = (struct ext2_ext_attr_entry *)(block + 32);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		assert_int_equal(e->e_name_len, strlen(order[i]));
		assert_memory_equal(EXT2_EXT_ATTR_NAME(e), order[i], e->e_name_len);
		assert_int_equal(e->e_hash, ext2fs_ext_attr_hash_entry(e, block + e->e_value_offs));
		e = EXT2_EXT_ATTR_NEXT(e);
	}
	assert_true(EXT2_EXT_IS_LAST_ENTRY(e));
	memcpy(again, data, sizeof(again));
	struct ext2_ext_attr_header *header = (struct ext2_ext_attr_header *)again;
	ext2fs_ext_attr_block_rehash(header, (struct ext2_ext_attr_entry *)(again + 1024));
	assert_memory_equal(again, data, sizeof(data));
	ext2fs_close_free(&fs);
}

static void test_what_is_refused(void **state)
{
	char too_long[300];
	long_name(too_long, 256);
	const struct {
		struct attribute list[4];
		const char *words[2];
	} cases[] = {
		{{{"user.x", 65537, NULL}}, {"user.x", "65537 bytes"}},
		{{{"com.apple.quarantine", 5, NULL}}, {"com.apple.quarantine", "no place"}},
		{{{"system.nfs4_acl", 5, NULL}}, {"system.nfs4_acl", "no place"}},
		{{{"system.data", 5, NULL}}, {"system.data", "no place"}},
		{{{"user.", 5, NULL}}, {"user.", "no place"}},
		{{{"", 5, NULL}}, {"attribute ", "no place"}},
		{{{too_long, 0, NULL}}, {"user.", "no place"}},
		{{{"system.posix_acl_accessx", 5, NULL}}, {"system.posix_acl_accessx", "no place"}},
		{{{"system.posix_acl_access", 0, NULL}}, {"posix_acl_access", "no POSIX ACL"}},
		{{{"system.posix_acl_access", 4, acl_plain}}, {"posix_acl_access", "no POSIX ACL"}},
		{{{"system.posix_acl_access", 11, acl_plain}}, {"posix_acl_access", "11 bytes"}},
		{{{"system.posix_acl_access", sizeof(acl_unknown_tag), acl_unknown_tag}},
			{"posix_acl_access", "no POSIX ACL"}},
		{{{"system.posix_acl_access", sizeof(acl_bad_bits), acl_bad_bits}},
			{"posix_acl_access", "no POSIX ACL"}},
		{{{"system.posix_acl_default", sizeof(acl_old_version), acl_old_version}},
			{"posix_acl_default", "no POSIX ACL"}},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct disk_options options = {.room = MIB};
		struct error err = {0};
		uint64_t size;
		cleanup_tree struct tree *tree = tree_new();
		set_attributes(tree, add(tree, tree_root(tree), "some file", S_IFREG | 0644),
			cases[i].list);
		cleanup_close int fd = file_temporary(&err);
		assert_true(disk_assemble(tree, fd, &options, &size, &err) < 0);
		assert_int_equal(err.kind, ERROR_LIMIT);
		assert_non_null(strstr(err.message, "/some file: "));
		for (size_t k = 0; k < 2; k++)
			if (strstr(err.message, cases[i].words[k]) == NULL)
				fail_msg("no \"%s\" in: %s", cases[i].words[k], err.message);
	}
}

static void test_too_many(void **state)
{
	struct xattr items[300];
	(void)state;
	for (size_t count = 200; count <= 300; count += 100) {
		const struct disk_options options = {.room = MIB};
		struct error err = {0};
		uint64_t size;
		cleanup_tree struct tree *tree = tree_new();
		for (size_t i = 0; i < count; i++)
			items[i] = (struct xattr){.name = xasprintf("user.%03zu", i)};
		tree_root(tree)->inode->xattrs = tree_xattrs(tree, items, count);
		for (size_t i = 0; i < count; i++)
			free((void *)(uintptr_t)items[i].name);
		if (count == 200) {
			check_round_trip(tree);
			continue;
		}
		cleanup_close int fd = file_temporary(&err);
		assert_true(disk_assemble(tree, fd, &options, &size, &err) < 0);
		assert_int_equal(err.kind, ERROR_LIMIT);
		assert_non_null(strstr(err.message, "attribute user.207: there is no room"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_fits),
		cmocka_unit_test(test_acl_on_disk),
		cmocka_unit_test(test_block_layout),
		cmocka_unit_test(test_what_is_refused),
		cmocka_unit_test(test_too_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
