#include "guestfs/helper/fault.h"

#include <errno.h>
#include <string.h>

int fault(guestfs_h *g, enum error_kind kind, const char *what, struct error *err)
{
	const char *why = guestfs_last_error(g);
	if (why == NULL)
		why = "unknown error";
	return error_set(err, kind, EIO, "%s: %.*s", what, (int)strcspn(why, "\n"), why);
}
