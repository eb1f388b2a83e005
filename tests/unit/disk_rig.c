#include "disk_rig.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "disk/overlay_format.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree_text.h"

/* A file in memory and the name by which it can be opened. */
static int memory_file(char name[32])
{
	int fd = memfd_create("disk", MFD_CLOEXEC);
	assert_true(fd >= 0);
	snprintf(name, 32, "/proc/self/fd/%d", fd);
	return fd;
}

void rig_open(struct rig *rig, struct tree *tree)
{
	struct error err;
	const struct disk_options options = {.room = 3 << 20};
	*rig = (struct rig){.tree = tree};
	rig->base_fd = memory_file(rig->base);
	rig->after_fd = memory_file(rig->after);
	if (disk_assemble(tree, rig->base_fd, &options, &rig->size, &err) != 0)
		fail_msg("%s", err.message);
	tree_freeze(tree);
	assert_int_equal(ftruncate(rig->after_fd, (off_t)rig->size), 0);
	assert_int_equal(
		file_copy_range(rig->base_fd, 0, rig->after_fd, 0, rig->size, "disk", &err), 0);
}

void rig_close(struct rig *rig)
{
	tree_free(rig->tree);
	close(rig->base_fd);
	close(rig->after_fd);
}

static void read_file(int fd, struct buffer *out, uint64_t size)
{
	struct error err;
	out->len = size;
	out->data = xmalloc(size);
	assert_int_equal(file_read_at(fd, out->data, size, 0, "disk", &err), 0);
}

static void put(int fd, const void *data, size_t len, uint64_t offset)
{
	struct error err;
	assert_int_equal(file_write_at(fd, data, len, offset, "overlay", &err), 0);
}

/* Refcounts stay as they are: nobody who reads the map needs them. */
int rig_overlay(const struct rig *rig)
{
	cleanup_buffer struct buffer was = {0};
	cleanup_buffer struct buffer is = {0};
	read_file(rig->base_fd, &was, rig->size);
	read_file(rig->after_fd, &is, rig->size);
	int fd = memfd_create("overlay", MFD_CLOEXEC);
	struct error err;
	struct qcow2_header h;
	assert_int_equal(overlay_create(fd, rig->size + (8 << 20), &err), 0);
	assert_int_equal(file_read_at(fd, &h, sizeof(h), 0, "overlay", &err), 0);
	uint64_t l1 = be64toh(h.l1_table_offset);
	uint64_t end = (uint64_t)lseek(fd, 0, SEEK_END);
	uint64_t table = 0;
	uint64_t table_number = UINT64_MAX;
	for (size_t at = 0; at < is.len; at += DISK_BLOCK_SIZE) {
		if (memcmp(was.data + at, is.data + at, DISK_BLOCK_SIZE) == 0)
			continue;
		uint64_t block = at / DISK_BLOCK_SIZE;
		if (block / QCOW2_TABLE_ENTRIES != table_number) {
			table_number = block / QCOW2_TABLE_ENTRIES;
			table = end;
			end += DISK_BLOCK_SIZE;
			assert_int_equal(ftruncate(fd, (off_t)end), 0);
			uint64_t l1_entry = htobe64(table | QCOW2_COPIED);
			put(fd, &l1_entry, sizeof(l1_entry), l1 + 8 * table_number);
		}
		uint64_t entry = htobe64(end | QCOW2_COPIED);
		put(fd, &entry, sizeof(entry), table + 8 * (block % QCOW2_TABLE_ENTRIES));
		put(fd, is.data + at, DISK_BLOCK_SIZE, end);
		end += DISK_BLOCK_SIZE;
	}
	return fd;
}

int rig_reread(struct rig *rig, struct error *err)
{
	cleanup_close int overlay = rig_overlay(rig);
	return disk_reread(rig->tree, rig->base_fd, overlay, err);
}

/* Prints the lines of text that other has not. */
static void print_missing(const char *text, const char *other, char mark)
{
	for (const char *line = text; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		cleanup_free char *copy = xasprintf("\n%.*s\n", (int)len, line);
		cleanup_free char *all = xasprintf("\n%s", other);
		if (strstr(all, copy) == NULL)
			print_message("%c%.*s\n", mark, (int)len, line);
		line += len + (line[len] != '\0');
	}
}

static void check_same(struct tree *found, struct tree *expected)
{
	tree_sort(found);
	tree_sort(expected);
	cleanup_free char *a = tree_text(found);
	cleanup_free char *b = tree_text(expected);
	if (strcmp(a, b) == 0)
		return;
	print_missing(a, b, '+');
	print_missing(b, a, '-');
	fail_msg("the trees differ: + found, - expected");
}

void rig_check(struct rig *rig)
{
	struct error err;
	if (rig_reread(rig, &err) != 0)
		fail_msg("%s", err.message);
	cleanup_tree struct tree *expected = guest_tree(rig->after);
	check_same(rig->tree, expected);
}

struct inode *rig_add(struct tree *tree, const char *path, uint32_t mode)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = xstrndup(path, (size_t)(slash - path));
	struct inode *inode = tree_inode_new(tree, mode);
	inode->mtime_sec = 1600000000;
	inode->mtime_nsec = 123456789;
	tree_link(tree, tree_walk(tree, dir), slash + 1, strlen(slash + 1), inode);
	return inode;
}

static struct inode *add_file(struct tree *tree, const char *path, size_t size)
{
	struct inode *inode = rig_add(tree, path, S_IFREG | 0644);
	cleanup_free uint8_t *data = xmalloc(size);
	for (size_t i = 0; i < size; i++)
		data[i] = (uint8_t)(i * 7 + i / 4096 + strlen(path));
	inode_set_data(tree, inode, tree_own_source(tree, source_from_bytes(data, size)), 0, size);
	return inode;
}

static void add_symlink(struct tree *tree, const char *path, size_t len)
{
	struct inode *inode = rig_add(tree, path, S_IFLNK | 0777);
	char *target = tree_alloc(tree, len + 1);
	memset(target, 't', len);
	inode->target = target;
	inode->size = len;
}

const uint8_t rig_acl[RIG_ACL_SIZE] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 232,
	3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255,
	255, 255, 255};

struct tree *rig_tree(void)
{
	static const char *const dirs[] = {"/bin", "/etc", "/etc/cfg", "/usr", "/usr/lib",
		"/usr/lib/x", "/usr/lib/x/y", "/var", "/var/log", "/dev", "/many", "/empty"};
	struct tree *tree = tree_new();
	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++)
		rig_add(tree, dirs[i], S_IFDIR | 0755);
	struct inode *sh = add_file(tree, "/bin/sh", 50000);
	tree_link(tree, tree_walk(tree, "/bin"), "ls", 2, sh);
	tree_link(tree, tree_walk(tree, "/usr/lib/x"), "hard", 4, sh);
	add_file(tree, "/etc/passwd", 900);
	add_file(tree, "/etc/cfg/a", 10);
	add_file(tree, "/etc/cfg/b", 0);
	add_file(tree, "/usr/lib/x/y/z", 5000);
	add_file(tree, "/usr/lib/x/f", 4096);
	add_file(tree, "/usr/lib/big", 600000);
	add_file(tree, "/var/log/messages", 8192);
	rig_add(tree, "/dev/null", S_IFCHR | 0666)->device.major = 1;
	rig_add(tree, "/dev/fifo", S_IFIFO | 0600);
	add_symlink(tree, "/short", 59);
	add_symlink(tree, "/long", 60);
	for (int i = 0; i < 400; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/many/a-name-of-some-length-%d", i);
		add_file(tree, path, i % 3 == 0 ? 5 : 0);
	}
	uint8_t value[20000] = {1, 2, 3};
	const struct xattr some[] = {
		{"user.small", "x", 1},
		{"system.posix_acl_access", rig_acl, sizeof(rig_acl)},
	};
	const struct xattr large[] = {
		{"user.large", value, 600},
		{"user.own", value, sizeof(value)},
		{"user.empty", "", 0},
		{"trusted.t", value, 20},
		{"system.posix_acl_default", rig_acl, sizeof(rig_acl)},
	};
	tree_walk(tree, "/etc/passwd")->inode->xattrs = tree_xattrs(tree, some, 2);
	tree_walk(tree, "/var")->inode->xattrs = tree_xattrs(tree, large, 5);
	return tree;
}
