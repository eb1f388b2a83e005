#include <endian.h>

#include <ext2fs/ext2_fs.h>

#include "disk/disk.h"
#include "support/fileio.h"

#define SUPER_OFFSET 1024

/* The features that disk_assemble's disks have, and earlier ones had some of. */
#define INCOMPAT                                                                                   \
	(0u | EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_EXTENTS |                     \
		EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT4_FEATURE_INCOMPAT_EA_INODE)

bool disk_is_sound(int fd, uint64_t size_max)
{
	struct ext2_super_block super;
	struct error err;
	if (file_read_at(fd, &super, sizeof(super), SUPER_OFFSET, "a disk", &err) < 0)
		return false;
	/* Without the feature 64bit the number of blocks has 32 bits: the product cannot wrap. */
	uint64_t size = (uint64_t)le32toh(super.s_blocks_count) * DISK_BLOCK_SIZE;
	return le16toh(super.s_magic) == EXT2_SUPER_MAGIC && le32toh(super.s_log_block_size) == 2 &&
	       super.s_blocks_count_hi == 0 && size != 0 && size <= size_max &&
	       (le32toh(super.s_feature_incompat) & ~INCOMPAT) == 0 &&
	       (le32toh(super.s_feature_ro_compat) & EXT4_FEATURE_RO_COMPAT_BIGALLOC) == 0 &&
	       le16toh(super.s_state) == EXT2_VALID_FS && super.s_last_orphan == 0 &&
	       super.s_error_count == 0;
}
