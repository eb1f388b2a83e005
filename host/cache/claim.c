#include "cache/claim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/lock_wait.h"
#include "support/memory.h"

/* Two entries that share a byte by chance wait for one another in vain, and for no longer. */
static int64_t byte_of(const char *kind, const struct digest *key)
{
	uint64_t number;
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, kind, strlen(kind) + 1);
	hasher_add(hasher, key->bytes, sizeof(key->bytes));
	struct digest digest = hasher_finish(hasher);
	memcpy(&number, digest.bytes, sizeof(number));
	return (int64_t)(number >> 2); /* offsets have 63 bits, and the next one must be one too */
}

static int open_claims(int folder)
{
	struct stat st;
	cleanup_close int fd = openat(folder, CACHE_CLAIMS_NAME,
		O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? steal_fd(&fd) : -1;
}

/* Locks of open files (fcntl_locking(2)), not of processes: a child can wait for its parent. */
static struct flock lock_of(const struct cache_claim *claim)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = claim->byte, .l_len = 1};
}

bool cache_claim_take(const struct cache *cache, const char *kind, const struct digest *key,
	struct cache_claim *claim)
{
	*claim = (struct cache_claim){
		.fd = open_claims(cache_fd(cache)), .byte = byte_of(kind, key)};
	struct flock lock = lock_of(claim);
	if (claim->fd < 0 || fcntl(claim->fd, F_OFD_SETLK, &lock) == 0)
		return true;
	if (errno == EAGAIN || errno == EACCES)
		return false;
	cache_claim_release(claim);
	return true;
}

static int wait_lock(const void *what)
{
	const struct cache_claim *claim = what;
	struct flock lock = lock_of(claim);
	return fcntl(claim->fd, F_OFD_SETLKW, &lock);
}

int cache_claim_wait(struct cache_claim *claim, unsigned seconds, struct error *err)
{
	return lock_wait(wait_lock, claim, seconds, err);
}

/* Unlocked first: a process that is just being started may have the open file for a moment more. */
void cache_claim_release(struct cache_claim *claim)
{
	struct flock lock = lock_of(claim);
	lock.l_type = F_UNLCK;
	if (claim->fd >= 0)
		(void)fcntl(claim->fd, F_OFD_SETLK, &lock);
	cleanup_close_fn(&claim->fd);
	claim->fd = -1;
}
