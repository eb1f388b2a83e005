#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <ext2fs/ext2fs.h>

#include "disk/disk.h"
#include "disk/library_error.h"

/* Raised whenever disk_assemble makes other bytes of the same tree than before. */
#define DISK_FORMAT 3u

uint64_t disk_format(void)
{
	return (uint64_t)DISK_FORMAT << 32 | (uint32_t)ext2fs_get_library_version(NULL, NULL);
}

int disk_state(int fd, struct disk_state *state, struct error *err)
{
	char name[16];
	ext2_filsys fs;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3); /* unixfd_io_manager closes its descriptor */
	if (own < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
	snprintf(name, sizeof(name), "%d", own);
	errcode_t code = ext2fs_open(
		name, EXT2_FLAG_64BITS | EXT2_FLAG_SUPER_ONLY, 0, 0, unixfd_io_manager, &fs);
	if (code != 0)
		return library_error(code, "read the superblock of a disk", err);
	const struct ext2_super_block *super = fs->super;
	*state = (struct disk_state){
		.size = ext2fs_blocks_count(fs->super) * fs->blocksize,
		.inodes = super->s_inodes_count,
	};
	ext2fs_free(fs);
	return 0;
}

int disk_size(int fd, uint64_t *size, struct error *err)
{
	struct disk_state state = {0};
	int r = disk_state(fd, &state, err);
	if (r == 0)
		*size = state.size;
	return r;
}
