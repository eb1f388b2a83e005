#include "cache/unfinished.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "support/memory.h"

#define PREFIX "new-" /* a key has no '-' */

bool is_unfinished_name(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

int unfinished_make(int folder, char **name, struct error *err)
{
	for (;;) {
		uint64_t number;
		struct stat st;
		if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
			return error_set_errno(err, ERROR_INTERNAL, "cannot get random bytes");
		cleanup_free char *chosen = xasprintf(PREFIX "%016llx", (unsigned long long)number);
		cleanup_close int fd = openat(
			folder, chosen, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return error_set_errno(
				err, ERROR_OUTPUT, "cannot make a file of the cache");
		/* Between the two calls somebody may have taken it for a dead one's. */
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0)
			continue;
		*name = steal_ptr(&chosen);
		return steal_fd(&fd);
	}
}

bool unfinished_remove(int folder, const char *name)
{
	struct stat st;
	cleanup_close int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       flock(fd, LOCK_EX | LOCK_NB) == 0 && unlinkat(folder, name, 0) == 0;
}
