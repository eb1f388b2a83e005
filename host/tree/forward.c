#include "tree/forward.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/fileio.h"
#include "support/memory.h"

/* Bytes of the feed that are wanted: a segment of a file. */
struct wanted {
	uint64_t offset, end;
	uint64_t kept_from; /* bytes from here on are kept; the end: none */
	uint64_t kept_at;   /* where in the temporary file */
};

struct forward {
	struct source base;
	struct feed *feed;
	char *name;
	struct wanted *wanted; /* sorted by offset, once something was read */
	size_t count, capacity;
	bool has_begun;
	bool has_ended;
	size_t next;       /* the first wanted piece that ends behind the position */
	uint64_t position; /* of the feed's next byte */
	const uint8_t *piece;
	size_t piece_len; /* what the feed gave last and nobody took yet */
	int kept;         /* -1: nothing was kept yet */
	uint64_t kept_end;
};

static int by_offset(const void *a, const void *b)
{
	const struct wanted *x = a;
	const struct wanted *y = b;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

static void begin(struct forward *f)
{
	if (f->count != 0)
		qsort(f->wanted, f->count, sizeof(*f->wanted), by_offset);
	f->feed->rewind(f->feed);
	f->has_begun = true;
}

/* Has at least one byte of the feed at hand, or none at its end. */
static int fill(struct forward *f, struct error *err)
{
	if (f->piece_len != 0 || f->has_ended)
		return 0;
	int r = f->feed->next(f->feed, &f->piece, &f->piece_len, err);
	f->has_ended = r < 0 || f->piece_len == 0;
	return r;
}

static void advance(struct forward *f, size_t len)
{
	f->piece += len;
	f->piece_len -= len;
	f->position += len;
	while (f->next < f->count && f->wanted[f->next].end <= f->position)
		f->next++;
}

/* Puts the next bytes aside, which belong to the next wanted piece. */
static int keep(struct forward *f, size_t len, struct error *err)
{
	struct wanted *w = &f->wanted[f->next];
	if (f->kept < 0)
		f->kept = file_temporary(err);
	if (f->kept < 0)
		return f->kept;
	if (w->kept_from == w->end) {
		w->kept_from = f->position;
		w->kept_at = f->kept_end;
	}
	int r = file_write_at(f->kept, f->piece, len, f->kept_end, "a temporary file", err);
	f->kept_end += len;
	return r;
}

/* Takes the feed's bytes up to there: those that are wanted later are kept. */
static int pass(struct forward *f, uint64_t to, struct error *err)
{
	while (f->position < to) {
		int r = fill(f, err);
		if (r < 0 || f->piece_len == 0)
			return r;
		uint64_t limit = to;
		bool is_wanted = false;
		if (f->next < f->count) {
			const struct wanted *w = &f->wanted[f->next];
			is_wanted = w->offset <= f->position;
			uint64_t edge = is_wanted ? w->end : w->offset;
			if (edge < limit)
				limit = edge;
		}
		uint64_t left = limit - f->position;
		size_t n = left < f->piece_len ? (size_t)left : f->piece_len;
		r = is_wanted ? keep(f, n, err) : 0;
		if (r < 0)
			return r;
		advance(f, n);
	}
	return 0;
}

/* The wanted piece that the byte is in, or NULL. */
static const struct wanted *find(const struct forward *f, uint64_t offset)
{
	size_t low = 0;
	size_t high = f->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (f->wanted[middle].end <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < f->count && f->wanted[low].offset <= offset ? &f->wanted[low] : NULL;
}

/* Bytes straight from the feed, which is where they begin. */
static int take(struct forward *f, uint8_t *to, size_t len, struct error *err)
{
	while (len > 0) {
		int r = fill(f, err);
		if (r < 0)
			return r;
		if (f->piece_len == 0)
			return error_set(err, ERROR_INPUT, EIO, "%s: ends at byte %llu, %zu early",
				f->name, (unsigned long long)f->position, len);
		size_t n = f->piece_len < len ? f->piece_len : len;
		memcpy(to, f->piece, n);
		advance(f, n);
		to += n;
		len -= n;
	}
	return 0;
}

static int read_forward(
	struct source *source, void *data, size_t len, uint64_t offset, struct error *err)
{
	struct forward *f = (struct forward *)source;
	if (!f->has_begun)
		begin(f);
	const struct wanted *w = find(f, offset);
	bool is_ahead = offset >= f->position;
	if (w == NULL || len > w->end - offset || (!is_ahead && offset < w->kept_from))
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"%s: bytes from %llu on are read twice, or were not to be read", f->name,
			(unsigned long long)offset);
	if (is_ahead) {
		int r = pass(f, offset, err);
		return r < 0 ? r : take(f, data, len, err);
	}
	return file_read_at(
		f->kept, data, len, w->kept_at + (offset - w->kept_from), "a temporary file", err);
}

/* Forgets what was wanted, read and kept. */
static void reset(struct forward *f)
{
	cleanup_close_fn(&f->kept);
	f->kept = -1;
	f->kept_end = 0;
	f->count = f->next = 0;
	f->position = 0;
	f->piece_len = 0;
	f->has_begun = f->has_ended = false;
}

static void free_forward(struct source *source)
{
	struct forward *f = (struct forward *)source;
	reset(f);
	f->feed->free(f->feed);
	free(f->wanted);
	free(f->name);
	free(f);
}

struct source *source_forward(struct feed *feed, const char *name)
{
	struct forward *f = xcalloc(1, sizeof(*f));
	f->base = (struct source){.read = read_forward, .free = free_forward, .fd = -1};
	f->feed = feed;
	f->name = xstrdup(name);
	f->kept = -1;
	return &f->base;
}

static struct forward *as_forward(struct source *source)
{
	return source != NULL && source->read == read_forward ? (struct forward *)source : NULL;
}

static void want(struct forward *f, const struct segment *segment)
{
	uint64_t end = segment->offset + segment->length;
	f->wanted = array_grow(f->wanted, f->count, &f->capacity, sizeof(*f->wanted));
	f->wanted[f->count++] =
		(struct wanted){.offset = segment->offset, .end = end, .kept_from = end};
}

void forward_expect(struct tree *tree)
{
	size_t count;
	struct source *const *sources = tree_sources(tree, &count);
	for (size_t i = 0; i < count; i++) {
		if (as_forward(sources[i]) != NULL)
			reset(as_forward(sources[i]));
	}
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		const struct inode *inode = d->inode;
		if (inode == NULL || !S_ISREG(inode->mode) || inode->names != d)
			continue;
		struct forward *f = as_forward(inode->source);
		for (uint32_t i = 0; f != NULL && i < inode->segment_count; i++) {
			if (inode->segments[i].length != 0)
				want(f, &inode->segments[i]);
		}
	}
}

int forward_finish(struct tree *tree, struct error *err)
{
	size_t count;
	struct source *const *sources = tree_sources(tree, &count);
	for (size_t i = 0; i < count; i++) {
		struct forward *f = as_forward(sources[i]);
		if (f == NULL || !f->has_begun)
			continue;
		int r = pass(f, UINT64_MAX, err);
		if (r < 0)
			return r;
	}
	return 0;
}

uint64_t forward_kept(const struct tree *tree)
{
	size_t count;
	struct source *const *sources = tree_sources(tree, &count);
	uint64_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		const struct forward *f = as_forward(sources[i]);
		kept += f != NULL ? f->kept_end : 0;
	}
	return kept;
}
