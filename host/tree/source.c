#include "tree/source.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/memory.h"

struct fd_source {
	struct source base;
	char *name;
};

struct bytes_source {
	struct source base;
	size_t len;
	uint8_t data[];
};

static int read_fd(
	struct source *source, void *data, size_t len, uint64_t offset, struct error *err)
{
	struct fd_source *s = (struct fd_source *)source;
	return file_read_at(source->fd, data, len, source->base + offset, s->name, err);
}

static void free_fd(struct source *source)
{
	struct fd_source *s = (struct fd_source *)source;
	close(source->fd);
	free(s->name);
	free(s);
}

struct source *source_from_fd(int fd, uint64_t base, const char *name)
{
	struct fd_source *s = xmalloc(sizeof(*s));
	s->base = (struct source){.read = read_fd, .free = free_fd, .fd = fd, .base = base};
	s->name = xstrdup(name);
	return &s->base;
}

static int read_bytes(
	struct source *source, void *data, size_t len, uint64_t offset, struct error *err)
{
	struct bytes_source *s = (struct bytes_source *)source;
	if (offset > s->len || len > s->len - offset)
		return error_set(err, ERROR_INTERNAL, EINVAL, "read past the end of a buffer");
	memcpy(data, s->data + offset, len);
	return 0;
}

static void free_bytes(struct source *source)
{
	free(source);
}

struct source *source_from_bytes(const void *data, size_t len)
{
	struct bytes_source *s = xmalloc(sizeof(*s) + len);
	s->base = (struct source){.read = read_bytes, .free = free_bytes, .fd = -1};
	s->len = len;
	if (len != 0)
		memcpy(s->data, data, len);
	return &s->base;
}
