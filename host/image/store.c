#include "image/store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "image/range.h"
#include "support/fileio.h"
#include "support/identity.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define NSEC_PER_SEC INT64_C(1000000000)
/* Time steps are those of the kernel's ticks, or of seconds and two on old file systems. */
#define SETTLE_NSEC (2 * NSEC_PER_SEC)

/* A pipe as a file that can be read at any position. Returns its descriptor. */
static int spool(int fd, const char *path, uint64_t *size, struct error *err)
{
	cleanup_close int to = file_temporary(err);
	if (to < 0)
		return to;
	cleanup_free char *buffer = xmalloc(RANGE_CHUNK);
	*size = 0;
	for (;;) {
		int r = interrupt_check(err);
		if (r == 0)
			r = interrupt_wait(fd, POLLIN, path, err);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buffer, RANGE_CHUNK);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, "%s: cannot read", path);
		if (n == 0)
			return steal_fd(&to);
		r = file_write(to, buffer, (size_t)n, "a temporary file", err);
		if (r < 0)
			return r;
		*size += (uint64_t)n;
	}
}

/* Which file it is: what it inflates to is known by that. */
static struct digest origin_digest(const struct store *store)
{
	struct file_identity identity = file_identity(&store->origin);
	return digest_of(&identity, sizeof(identity));
}

static int inflate_to_temporary(struct inflate_job *job, int *out, struct error *err)
{
	cleanup_close int to = file_temporary(err);
	int r = to < 0 ? to : inflate_run(job, to, 0, err);
	if (r == 0)
		*out = steal_fd(&to);
	return r;
}

/* Inflates into a file of the keeper's. Returns 1 where the keeper takes none. */
static int inflate_to_keep(
	struct store *store, struct inflate_job *job, int *out, struct error *err)
{
	struct image_keep *keep = store->keep;
	cleanup_close int to = keep != NULL ? keep->start(keep) : -1;
	if (to < 0)
		return 1;
	int r = inflate_run(job, to, 0, err);
	if (r < 0 && err->kind == ERROR_OUTPUT) {
		keep->fail(keep, r, err);
		store->budget.used = 0;
		return 1;
	}
	if (r < 0)
		return r;
	/* A file that may be another one by now, with the same times, is not known by them. */
	if (store_is_settled(store))
		keep->finish(keep, &job->inflated, job->inflated_size);
	*out = steal_fd(&to);
	return 0;
}

/* Replaces a compressed archive by what it holds, which may have been inflated before. */
static int inflate_archive(struct store *store, struct error *err)
{
	struct inflate_job job = {
		.from = store->fd,
		.size = store->size,
		.name = store->path,
		.budget = &store->budget,
	};
	int r = inflate_detect(store->fd, 0, store->size, store->path, &job.format, err);
	if (r < 0 || job.format == NULL)
		return r;
	int inflated = -1;
	store->budget = inflate_budget(store->path, store->size);
	/* What comes through a pipe is no file that is known again. */
	if (store->origin_fd < 0)
		store->keep = NULL;
	if (store->keep != NULL) {
		struct digest file = origin_digest(store);
		r = store->keep->find(
			store->keep, &file, store->size, &inflated, &job.inflated_size, err);
		store->budget.used = r > 0 ? job.inflated_size : 0;
	}
	if (r == 0)
		r = inflate_to_keep(store, &job, &inflated, err);
	if (r == 1 && inflated < 0)
		r = inflate_to_temporary(&job, &inflated, err);
	if (r < 0)
		return r;
	if (store->fd != store->origin_fd)
		close(store->fd);
	store->fd = inflated;
	store->size = job.inflated_size;
	return 0;
}

/* Takes a descriptor over as what it is: a folder, a file, or a pipe to be spooled. */
static int take_descriptor(struct store *store, int fd, bool is_stdin, struct error *err)
{
	cleanup_close int own = fd;
	struct stat st;
	if (own < 0 || fstat(own, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", store->path);
	if (S_ISDIR(st.st_mode)) {
		store->is_folder = true;
		store->folder = (struct folder){.fd = steal_fd(&own), .path = store->path};
		return 0;
	}
	/* Standard input may stand in the middle of a file. */
	if (!S_ISREG(st.st_mode) || is_stdin) {
		store->fd = spool(own, store->path, &store->size, err);
		return store->fd < 0 ? store->fd : 0;
	}
	store->fd = store->origin_fd = steal_fd(&own);
	store->size = (uint64_t)st.st_size;
	store->origin = st;
	return 0;
}

static void cleanup_store_fn(struct store **store)
{
	store_unref(*store);
}

int store_open(const char *path, struct image_keep *keep, struct store **out, struct error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	struct store *store __attribute__((cleanup(cleanup_store_fn))) = xcalloc(1, sizeof(*store));
	store->references = 1;
	store->keep = keep;
	store->path = xstrdup(is_stdin ? "standard input" : path);
	store->fd = store->origin_fd = -1;
	store->folder.fd = -1;
	int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
			  : file_open(path, ERROR_INPUT, err);
	int r = fd < 0 && !is_stdin ? fd : take_descriptor(store, fd, is_stdin, err);
	if (r == 0 && !store->is_folder)
		r = inflate_archive(store, err);
	if (r == 0 && !store->is_folder)
		r = index_read(store->fd, store->size, store->path, &store->index, err);
	if (r < 0)
		return r;
	store->keep = NULL;
	*out = steal_ptr(&store);
	return 0;
}

static int64_t nanoseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * NSEC_PER_SEC + time->tv_nsec;
}

bool store_is_unchanged(const struct store *store)
{
	struct stat st;
	if (store->origin_fd < 0 || fstat(store->origin_fd, &st) < 0)
		return false;
	struct file_identity now = file_identity(&st);
	struct file_identity then = file_identity(&store->origin);
	return memcmp(&now, &then, sizeof(now)) == 0;
}

bool store_is_settled(const struct store *store)
{
	struct timespec now;
	if (!store_is_unchanged(store) || clock_gettime(CLOCK_REALTIME, &now) < 0)
		return false;
	return nanoseconds(&now) - nanoseconds(&store->origin.st_ctim) >= SETTLE_NSEC;
}

struct store *store_ref(struct store *store)
{
	store->references++;
	return store;
}

void store_unref(struct store *store)
{
	if (store == NULL || --store->references > 0)
		return;
	folder_close(&store->folder);
	index_free(&store->index);
	if (store->origin_fd >= 0 && store->origin_fd != store->fd)
		close(store->origin_fd);
	if (store->fd >= 0)
		close(store->fd);
	free(store->path);
	free(store);
}

bool store_has(struct store *store, const char *name)
{
	struct extent extent;
	struct error ignored;
	return store_find(store, name, &extent, &ignored) != -ENOENT;
}

int store_find(struct store *store, const char *name, struct extent *out, struct error *err)
{
	if (store->is_folder) {
		const struct folder_file *file;
		int r = folder_open(&store->folder, name, &file, err);
		if (r == 0)
			*out = (struct extent){.fd = file->fd, .size = file->size};
		return r;
	}
	const struct member *member;
	int r = index_resolve(&store->index, name, &member, err);
	if (r == 0)
		*out = (struct extent){
			.fd = store->fd, .offset = member->offset, .size = member->size};
	return r;
}
