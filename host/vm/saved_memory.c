#include "vm/saved_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define PAGE 4096u
#define PIECE_SIZE (256u << 10) /* stays in a processor's own cache */

/* How a page begins in what is hashed: with its place, a multiple of PAGE, and one of these. */
enum { PAGE_WHOLE = 0, PAGE_ONE_BYTE = 1 };

/* A walk through the pieces of a memory that are no holes. */
struct walk {
	int fd;
	uint64_t size, next;
	uint8_t *bytes; /* of the piece: whole pages */
	size_t len;
	uint64_t place;
};

static int walk_start(struct walk *walk, int fd, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, SAVED_MEMORY_NAME ": cannot be looked at");
	if (st.st_size % PAGE != 0)
		return error_set(err, ERROR_INPUT, EINVAL, SAVED_MEMORY_NAME ": is cut short");
	*walk = (struct walk){.fd = fd, .size = (uint64_t)st.st_size, .bytes = xmalloc(PIECE_SIZE)};
	return 0;
}

static void walk_free(struct walk *walk)
{
	free(walk->bytes);
}
#define cleanup_walk __attribute__((cleanup(walk_free)))

/* Reads the next piece. Returns 1, 0 where there is none, or an error. */
static int walk_next(struct walk *walk, struct error *err)
{
	off_t data = walk->next < walk->size ? lseek(walk->fd, (off_t)walk->next, SEEK_DATA) : -1;
	if (walk->next >= walk->size || (data < 0 && errno == ENXIO))
		return 0;
	/* A file system that cannot tell has no holes. */
	walk->place = data < 0 ? walk->next : (uint64_t)data / PAGE * PAGE;
	if (walk->place >= walk->size)
		return 0;
	uint64_t left = walk->size - walk->place;
	walk->len = left < PIECE_SIZE ? (size_t)left : PIECE_SIZE;
	walk->next = walk->place + walk->len;
	int r = interrupt_check(err);
	if (r == 0)
		r = file_read_at(
			walk->fd, walk->bytes, walk->len, walk->place, SAVED_MEMORY_NAME, err);
	return r < 0 ? r : 1;
}

static bool is_one_byte(const uint8_t *page)
{
	return memcmp(page, page + 1, PAGE - 1) == 0;
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && is_one_byte(page);
}

/* -- holes ------------------------------------------------------------------------------------ */

/* Returns 1, 0 where the file system knows no holes, or an error. */
static int punch(int fd, uint64_t from, uint64_t to, struct error *err)
{
	if (from == to)
		return 1;
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
		    (off_t)(to - from)) == 0)
		return 1;
	if (errno == EOPNOTSUPP || errno == ENOSYS)
		return 0;
	return error_set_errno(err, ERROR_OUTPUT, SAVED_MEMORY_NAME ": cannot make a hole in it");
}

/* Makes holes of a piece's zeros. Returns as punch does. */
static int trim_piece(const struct walk *walk, struct error *err)
{
	size_t zeros = 0; /* where the zeros before `at` begin */
	int r = 1;
	for (size_t at = 0; r > 0 && at < walk->len; at += PAGE) {
		if (is_zero(walk->bytes + at))
			continue;
		r = punch(walk->fd, walk->place + zeros, walk->place + at, err);
		zeros = at + PAGE;
	}
	return r > 0 ? punch(walk->fd, walk->place + zeros, walk->next, err) : r;
}

int saved_memory_trim(int fd, struct error *err)
{
	cleanup_walk struct walk walk = {0};
	int r = walk_start(&walk, fd, err);
	if (r < 0)
		return r;
	while ((r = walk_next(&walk, err)) > 0) {
		r = trim_piece(&walk, err);
		if (r <= 0)
			break;
	}
	return r;
}

/* -- digest ----------------------------------------------------------------------------------- */

static void hash_page(struct hasher *hasher, const uint8_t *page, uint64_t place)
{
	bool one_byte = is_one_byte(page);
	uint64_t head = place | (one_byte ? PAGE_ONE_BYTE : PAGE_WHOLE);
	hasher_add(hasher, &head, sizeof(head));
	hasher_add(hasher, page, one_byte ? 1 : PAGE);
}

int saved_memory_digest(int fd, struct digest *digest, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_walk struct walk walk = {0};
	int r = walk_start(&walk, fd, err);
	if (r < 0)
		return r;
	while ((r = walk_next(&walk, err)) > 0)
		for (size_t at = 0; at < walk.len; at += PAGE)
			if (!is_zero(walk.bytes + at))
				hash_page(hasher, walk.bytes + at, walk.place + at);
	if (r < 0)
		return r;
	hasher_add(hasher, &walk.size, sizeof(walk.size));
	*digest = hasher_finish(hasher);
	return 0;
}
