#include "assembling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "disk/disk.h"
#include "ext4_reader.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree_text.h"

int assemble(struct tree *tree, uint64_t room)
{
	struct error err;
	uint64_t size = 0;
	const struct disk_options options = {.room = room};
	int fd = file_temporary(&err);
	if (fd < 0 || disk_assemble(tree, fd, &options, &size, &err) < 0)
		fail_msg("%s", err.message);
	struct disk_state state;
	assert_int_equal(size, lseek(fd, 0, SEEK_END));
	assert_int_equal(disk_state(fd, &state, &err), 0);
	assert_int_equal(state.size, size);
	assert_true(disk_is_sound(fd, size));
	assert_false(disk_is_sound(fd, size - 1));
	ext2_filsys fs = ext4_open(fd);
	assert_int_equal(state.inodes, fs->super->s_inodes_count);
	ext2fs_close_free(&fs);
	ext4_check(fd);
	return fd;
}

void check_round_trip(struct tree *tree)
{
	cleanup_close int fd = assemble(tree, MIB);
	cleanup_tree struct tree *copy = ext4_tree(fd);
	cleanup_free char *expected = tree_text(tree);
	cleanup_free char *found = tree_text(copy);
	assert_string_equal(found, expected);
	/* Numbers are what disk_reread goes by. */
	struct dentry *root = tree_root(tree), *other = tree_root(copy);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode == NULL)
			continue;
		assert_int_equal(d->inode->ino, other->inode->ino);
		other = tree_next(tree_root(copy), other);
	}
}

struct inode *add(struct tree *tree, struct dentry *dir, const char *name, uint32_t mode)
{
	return tree_link(tree, dir, name, strlen(name), tree_inode_new(tree, mode))->inode;
}

void set_bytes(struct tree *tree, struct inode *inode, size_t len)
{
	cleanup_free uint8_t *bytes = xmalloc(len);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 251);
	struct source *source = tree_own_source(tree, source_from_bytes(bytes, len));
	inode_set_data(tree, inode, source, 0, len);
}

void set_target(struct tree *tree, struct inode *inode, size_t len)
{
	char *target = tree_alloc(tree, len + 1);
	memset(target, 'x', len);
	inode->target = target;
	inode->size = len;
}
