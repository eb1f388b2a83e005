#include "disk_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int collect(ext2_ino_t dir, int entry, struct ext2_dir_entry *dirent, int offset,
	int block_size, char *block, void *private)
{
	(void)dir, (void)offset, (void)block_size, (void)block;
	if (entry != DIRENT_OTHER_FILE)
		return 0;
	struct buffer *names = private;
	buffer_add(names, &dirent->inode, sizeof(dirent->inode));
	buffer_add(names, dirent->name, (size_t)ext2fs_dirent_name_len(dirent));
	buffer_add(names, "", 1);
	return 0;
}

void disk_names(ext2_filsys fs, uint32_t dir, struct buffer *names)
{
	check(ext2fs_dir_iterate2(fs, dir, 0, NULL, collect, names));
}

bool disk_next_name(struct buffer *names, uint32_t *ino, char name[TREE_NAME_MAX + 1])
{
	if (names->len == 0)
		return false;
	memcpy(ino, names->data, sizeof(*ino));
	size_t len = strlen((char *)names->data + sizeof(*ino));
	memcpy(name, names->data + sizeof(*ino), len + 1);
	buffer_consume(names, sizeof(*ino) + len + 1);
	return true;
}
