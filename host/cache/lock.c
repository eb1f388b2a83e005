#include <errno.h>
#include <sys/file.h>

#include "cache/cache.h"
#include "cache/lock_wait.h"

int cache_try_lock(int fd, struct error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 1;
	if (errno == EWOULDBLOCK)
		return 0;
	return error_set_errno(err, ERROR_OUTPUT, "cannot lock a file of the cache");
}

static int lock(const void *what)
{
	return flock(*(const int *)what, LOCK_EX);
}

int cache_wait_lock(int fd, struct error *err)
{
	int r = lock_wait(lock, &fd, 0, err);
	return r < 0 ? r : 0;
}
