#include <endian.h>
#include <errno.h>
#include <ext2fs/ext2_fs.h>

#include "disk/disk.h"
#include "support/fileio.h"

#define SUPERBLOCK_OFFSET 1024

int disk_size(int fd, uint64_t *size, struct error *err)
{
	struct ext2_super_block super;
	int r = file_read_at(fd, &super, sizeof(super), SUPERBLOCK_OFFSET, "the guest's disk", err);
	if (r < 0)
		return r;
	if (le16toh(super.s_magic) != EXT2_SUPER_MAGIC)
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"the guest's disk: there is no file system on it");
	/* Disks of ours have fewer blocks than the field's upper half is for. */
	*size = (uint64_t)le32toh(super.s_blocks_count) * DISK_BLOCK_SIZE;
	return 0;
}
