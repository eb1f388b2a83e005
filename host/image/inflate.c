#include "image/inflate.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "image/drain.h"
#include "image/range.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "support/ustar.h"

#define BUDGET_RATIO 1100u
#define BUDGET_LEAST (8ull << 30)
#define BUDGET_MOST (1ull << 40)

static const struct {
	const struct decode_format *format;
	size_t len;
	uint8_t magic[6];
} formats[] = {
	{&decode_gzip, 3, {0x1f, 0x8b, 0x08}},
	{&decode_zstd, 4, {0x28, 0xb5, 0x2f, 0xfd}},
	{&decode_xz, 6, {0xfd, '7', 'z', 'X', 'Z', 0x00}},
	{&decode_bzip2, 3, {'B', 'Z', 'h'}},
};

struct inflate_budget inflate_budget(const char *name, uint64_t compressed)
{
	uint64_t limit;
	if (__builtin_mul_overflow(compressed, BUDGET_RATIO, &limit) || limit > BUDGET_MOST)
		limit = BUDGET_MOST;
	if (limit < BUDGET_LEAST)
		limit = BUDGET_LEAST;
	return (struct inflate_budget){.name = name, .compressed = compressed, .limit = limit};
}

struct inflate_budget *inflate_budget_share(struct inflate_budget budget)
{
	struct inflate_budget *shared = xmalloc(sizeof(*shared));
	*shared = budget;
	shared->references = 1;
	return shared;
}

struct inflate_budget *inflate_budget_ref(struct inflate_budget *budget)
{
	budget->references++;
	return budget;
}

void inflate_budget_unref(struct inflate_budget *budget)
{
	if (budget != NULL && --budget->references == 0)
		free(budget);
}

/* RFC 8878, "Skippable Frames": parallel writers of zstd begin with one. */
static bool is_skippable_frame(const uint8_t *head, size_t len)
{
	static const uint8_t magic[] = {0x2a, 0x4d, 0x18};
	return len >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, magic, sizeof(magic)) == 0;
}

int inflate_detect(int fd, uint64_t offset, uint64_t size, const char *name,
	const struct decode_format **format, struct error *err)
{
	union {
		uint8_t bytes[TAR_BLOCK];
		struct ustar ustar;
	} head;
	size_t len = size < sizeof(head) ? (size_t)size : sizeof(head);
	*format = NULL;
	int r = file_read_at(fd, head.bytes, len, offset, name, err);
	if (r < 0)
		return r;
	if (len == sizeof(head) && memcmp(head.ustar.magic, "ustar", 5) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
		if (len >= formats[i].len &&
			memcmp(head.bytes, formats[i].magic, formats[i].len) == 0)
			*format = formats[i].format;
	}
	if (is_skippable_frame(head.bytes, len))
		*format = &decode_zstd;
	return 0;
}

static int spend(struct inflate_job *job, size_t len, struct error *err)
{
	struct inflate_budget *budget = job->budget;
	job->inflated_size += len;
	if (budget == NULL)
		return 0;
	/* Each thread that passes the limit ends at once: the sum cannot wrap. */
	uint64_t before = atomic_fetch_add_explicit(&budget->used, len, memory_order_relaxed);
	if (before <= budget->limit && len <= budget->limit - before)
		return 0;
	return error_set(err, ERROR_LIMIT, EFBIG,
		"%s: %llu compressed bytes give more than the limit of %llu: taken for a "
		"compression bomb",
		budget->name, (unsigned long long)budget->compressed,
		(unsigned long long)budget->limit);
}

static int pump(struct inflate_job *job, void *state, struct inflate_sink *sink, struct error *err)
{
	size_t len = DRAIN_CHUNK;
	while (len == DRAIN_CHUNK) {
		void *buffer = sink->buffer(sink);
		if (buffer == NULL)
			return 1;
		if (job->abandoned != NULL && atomic_load(job->abandoned))
			return error_set(
				err, ERROR_INTERNAL, ECANCELED, "%s: abandoned", job->name);
		int r = job->format->read(state, buffer, DRAIN_CHUNK, &len);
		if (r == 0)
			r = spend(job, len, err);
		if (r < 0)
			return r;
		sink->push(sink, len);
	}
	return 0;
}

int inflate_into(struct inflate_job *job, struct inflate_sink *sink, struct error *err)
{
	cleanup_drain struct drain *compressed = job->is_known ? NULL : drain_new(-1, 0);
	cleanup_free uint8_t *buffer = job->is_known ? xmalloc(RANGE_CHUNK) : NULL;
	struct range range = {
		.fd = job->from,
		.offset = job->offset,
		.end = job->offset + job->size,
		.name = job->name,
		.drain = compressed,
		.buffer = buffer,
		.err = err,
	};
	void *state = NULL;
	job->inflated_size = 0;
	int r = job->format->open(job->format, &range, &state);
	if (r == 0)
		r = pump(job, state, sink, err);
	job->format->close(state);
	if (r != 0)
		return r < 0 ? r : 0;
	return job->is_known ? 0 : range_finish(&range, &job->digest);
}

struct drain_sink {
	struct inflate_sink base;
	struct drain *drain;
};

static void *next_buffer(struct inflate_sink *sink)
{
	return drain_buffer(((struct drain_sink *)sink)->drain);
}

static void push(struct inflate_sink *sink, size_t len)
{
	drain_push(((struct drain_sink *)sink)->drain, len);
}

int inflate_run(struct inflate_job *job, int to, uint64_t to_offset, struct error *err)
{
	cleanup_drain struct drain *drain = drain_new(to, to_offset);
	struct drain_sink sink = {
		.base = {.buffer = next_buffer, .push = push},
		.drain = drain,
	};
	int r = inflate_into(job, &sink.base, err);
	return r < 0 ? r : drain_finish(drain, &job->inflated, &job->inflated_size, err);
}
