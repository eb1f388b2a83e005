#include "disk/library_error.h"

#include <errno.h>

#include <et/com_err.h>
#include <ext2fs/ext2fs.h>

int library_error(long code, const char *doing, struct error *err)
{
	initialize_ext2_error_table();
	return error_set(err, ERROR_INTERNAL,
		code == ENOMEM || code == EXT2_ET_NO_MEMORY ? ENOMEM : EIO,
		"libext2fs cannot %s: %s", doing, error_message(code));
}
