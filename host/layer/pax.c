#include "layer/pax.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* libarchive passes over a longer record. */
#define RECORD_MAX 999999

/* What a header says while it is read. */
struct reading {
	struct pax_said *said;
	struct pax_record sparse_name, sparse_map;
	unsigned sparse_keys; /* a bit for each of sparse_names that came */
	uint64_t blocks;      /* of the sparse map, as told */
	uint64_t pieces;      /* and as found, in the form 0.0 */
	uint64_t offset;      /* of the piece that is being read */
	bool in_piece;        /* its offset came, and no length yet */
	char *fault;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int pax_next(const struct buffer *records, size_t *at, struct pax_record *record)
{
	size_t left = records->len - *at;
	size_t len = 0;
	size_t i = 0;
	if (left == 0)
		return 0;
	const char *start = (const char *)records->data + *at;
	/* A length with a sign, a blank or a zero before it is not read alike. */
	if (start[0] == '0')
		return -1;
	for (; i < left && is_digit(start[i]) && len <= RECORD_MAX; i++)
		len = len * 10 + (size_t)(start[i] - '0');
	if (len > left || len > RECORD_MAX || i + 1 >= len || start[i] != ' ' ||
		start[len - 1] != '\n')
		return -1;
	const char *key = start + i + 1;
	const char *equals = memchr(key, '=', len - i - 2);
	if (equals == NULL || equals == key || *key == ' ' || *key == '\t' ||
		memchr(key, '\0', (size_t)(equals - key)) != NULL)
		return -1;
	*record = (struct pax_record){.key = key,
		.key_len = (size_t)(equals - key),
		.value = equals + 1,
		.value_len = len - 1 - (size_t)(equals + 1 - start)};
	*at += len;
	return 1;
}

static bool has_key(const struct pax_record *record, const char *key)
{
	return record->key_len == strlen(key) && memcmp(record->key, key, record->key_len) == 0;
}

static bool has_value(const struct pax_record *record, const char *value)
{
	return record->value_len == strlen(value) &&
	       memcmp(record->value, value, record->value_len) == 0;
}

/* Says what is wrong with a record. Returns false. */
static bool fail(struct reading *r, const struct pax_record *record, const char *what)
{
	char key[64], value[64];
	size_t len = record->value_len < 40 ? record->value_len : 40;
	snprintf(key, sizeof(key), "%.*s", (int)record->key_len, record->key);
	memcpy(value, record->value, len);
	value[len] = '\0';
	snprintf(r->fault, PAX_FAULT_SIZE, "its pax record %s, \"%s\", %s", key, value, what);
	return false;
}

bool sparse_pieces_add(struct sparse_pieces *pieces, uint64_t offset, uint64_t length)
{
	return offset >= pieces->end && !__builtin_add_overflow(offset, length, &pieces->end) &&
	       !__builtin_add_overflow(pieces->bytes, length, &pieces->bytes);
}

bool pax_number(const char *text, size_t len, uint64_t *out)
{
	uint64_t sum = 0;
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_digit(text[i]) || __builtin_mul_overflow(sum, 10, &sum) ||
			__builtin_add_overflow(sum, (uint64_t)(text[i] - '0'), &sum) ||
			sum > INT64_MAX)
			return false;
	}
	*out = sum;
	return true;
}

static bool read_number(struct reading *r, const struct pax_record *record, uint64_t *out)
{
	return pax_number(record->value, record->value_len, out) ||
	       fail(r, record, "is no plain number");
}

/* "-12.5": seconds, with a fraction of which readers take nine digits. */
static bool parse_time(const struct pax_record *record, int64_t *sec, uint32_t *nsec)
{
	const char *text = record->value;
	size_t len = record->value_len;
	bool negative = len != 0 && text[0] == '-';
	uint32_t digit = 100000000;
	uint64_t whole;
	text += negative;
	len -= negative;
	const char *point = memchr(text, '.', len);
	size_t whole_len = point != NULL ? (size_t)(point - text) : len;
	if (!pax_number(text, whole_len, &whole))
		return false;
	*sec = negative ? -(int64_t)whole : (int64_t)whole;
	*nsec = 0;
	for (size_t i = whole_len + 1; i < len; i++, digit /= 10) {
		if (!is_digit(text[i]))
			return false;
		*nsec += (uint32_t)(text[i] - '0') * digit;
	}
	if (negative && *nsec != 0) {
		*sec -= 1;
		*nsec = 1000000000 - *nsec;
	}
	return true;
}

static bool read_time(
	struct reading *r, const struct pax_record *record, int64_t *sec, uint32_t *nsec)
{
	return parse_time(record, sec, nsec) || fail(r, record, "is no plain time");
}

static bool read_name(struct reading *r, const struct pax_record *record, struct pax_record *out)
{
	if (record->value_len == 0)
		return fail(r, record, "is empty");
	if (memchr(record->value, '\0', record->value_len) != NULL)
		return fail(r, record, "has a NUL in it");
	*out = *record;
	return true;
}

enum { MAJOR, MINOR, REALSIZE, NAME, SIZE, NUMBLOCKS, MAP, OFFSET, NUMBYTES };

/* Which records are together one of GNU's forms; each may have a name too. */
enum {
	FORM_1_0 = 1u << MAJOR | 1u << MINOR | 1u << REALSIZE,
	FORM_0_1 = 1u << SIZE | 1u << NUMBLOCKS | 1u << MAP,
	FORM_0_0 = 1u << SIZE | 1u << NUMBLOCKS | 1u << OFFSET | 1u << NUMBYTES,
};

#define SPARSE_PREFIX "GNU.sparse."
static const char *const sparse_names[] = {[MAJOR] = "major",
	[MINOR] = "minor",
	[REALSIZE] = "realsize",
	[NAME] = "name",
	[SIZE] = "size",
	[NUMBLOCKS] = "numblocks",
	[MAP] = "map",
	[OFFSET] = "offset",
	[NUMBYTES] = "numbytes"};

/* A piece of the form 0.0: an offset, and then a length. */
static bool read_piece(struct reading *r, const struct pax_record *record, bool is_length)
{
	uint64_t number;
	if (!read_number(r, record, &number))
		return false;
	if (is_length != r->in_piece ||
		(is_length && !sparse_pieces_add(&r->said->pieces, r->offset, number)))
		return fail(r, record, "is out of its place");
	r->offset = number;
	r->in_piece = !is_length;
	r->pieces += is_length;
	return true;
}

static bool read_sparse(struct reading *r, const struct pax_record *record)
{
	size_t kind = 0;
	struct pax_record key = *record;
	key.key += strlen(SPARSE_PREFIX);
	key.key_len -= strlen(SPARSE_PREFIX);
	while (kind < COUNT(sparse_names) && !has_key(&key, sparse_names[kind]))
		kind++;
	if (kind == COUNT(sparse_names))
		return fail(r, record, "is of no known sparse file");
	if ((r->sparse_keys & 1u << kind) != 0 && kind != OFFSET && kind != NUMBYTES)
		return fail(r, record, "comes twice");
	r->sparse_keys |= 1u << kind;
	switch (kind) {
	case OFFSET:
	case NUMBYTES:
		return read_piece(r, record, kind == NUMBYTES);
	case NAME:
		return read_name(r, record, &r->sparse_name);
	case MAP:
		r->sparse_map = *record;
		return true;
	case MAJOR:
	case MINOR:
		return has_value(record, kind == MAJOR ? "1" : "0") ||
		       fail(r, record, "is of no known sparse file");
	case NUMBLOCKS:
		return read_number(r, record, &r->blocks);
	default:
		return read_number(r, record, &r->said->sparse_size);
	}
}

/* The map of the form 0.1, "OFFSET,LENGTH,...", of as many pieces as were told. */
static bool read_map(struct reading *r)
{
	const char *at = r->sparse_map.value;
	size_t left = r->sparse_map.value_len;
	uint64_t numbers = 0;
	for (;;) {
		const char *comma = left != 0 ? memchr(at, ',', left) : NULL;
		size_t len = comma != NULL ? (size_t)(comma - at) : left;
		uint64_t number;
		if (!pax_number(at, len, &number))
			return fail(r, &r->sparse_map, "has what is no plain number");
		if (numbers++ % 2 == 0)
			r->offset = number;
		else if (!sparse_pieces_add(&r->said->pieces, r->offset, number))
			return fail(r, &r->sparse_map, "has a piece out of its place");
		if (comma == NULL)
			break;
		at = comma + 1;
		left -= len + 1;
	}
	if (numbers % 2 != 0 || numbers / 2 != r->blocks)
		return fail(r, &r->sparse_map, "does not have GNU.sparse.numblocks pieces");
	return true;
}

/* Whether the sparse records are together one of GNU's forms. */
static bool check_sparse(struct reading *r)
{
	const unsigned name = 1u << NAME;
	switch (r->sparse_keys & ~name) {
	case 0:
		r->said->sparse = PAX_DENSE;
		break;
	case FORM_1_0:
		r->said->sparse = PAX_SPARSE_AHEAD;
		break;
	case FORM_0_0:
		r->said->sparse = PAX_SPARSE_LISTED;
		if (!r->in_piece && r->pieces == r->blocks)
			break;
		snprintf(r->fault, PAX_FAULT_SIZE,
			"its pax records do not have GNU.sparse.numblocks pieces");
		return false;
	case FORM_0_1:
		r->said->sparse = PAX_SPARSE_LISTED;
		if (!read_map(r))
			return false;
		break;
	default:
		snprintf(r->fault, PAX_FAULT_SIZE,
			"its pax records GNU.sparse.* are of no one form of sparse files");
		return false;
	}
	if (r->said->pieces.end > r->said->sparse_size) {
		snprintf(r->fault, PAX_FAULT_SIZE,
			"its pax records have a piece behind the file's end");
		return false;
	}
	if (r->said->sparse == PAX_DENSE && r->sparse_keys != 0)
		return fail(r, &r->sparse_name, "is of no sparse file");
	if (r->sparse_keys & name)
		r->said->path = r->sparse_name;
	return true;
}

static bool read_record(struct reading *r, const struct pax_record *record)
{
	/* Sizes and device numbers that some readers take, and others never heard of. */
	static const char *const strangers[] = {
		"SCHILY.realsize", "SCHILY.devmajor", "SCHILY.devminor", "SUN.holesdata"};
	struct pax_said *said = r->said;
	uint64_t number;
	int64_t sec;
	uint32_t nsec;
	if (has_key(record, "path"))
		return read_name(r, record, &said->path);
	if (has_key(record, "linkpath"))
		return read_name(r, record, &said->linkpath);
	if (has_key(record, "size")) {
		said->has_size = true;
		return read_number(r, record, &said->size);
	}
	if (has_key(record, "uid") || has_key(record, "gid"))
		return read_number(r, record, &number);
	if (has_key(record, "mtime")) {
		said->has_mtime = true;
		return read_time(r, record, &said->mtime_sec, &said->mtime_nsec);
	}
	if (has_key(record, "atime") || has_key(record, "ctime"))
		return read_time(r, record, &sec, &nsec);
	if (has_key(record, "hdrcharset"))
		return has_value(record, "BINARY") ||
		       has_value(record, "ISO-IR 10646 2000 UTF-8") ||
		       fail(r, record, "is no known set of characters");
	if (record->key_len >= strlen(SPARSE_PREFIX) &&
		memcmp(record->key, SPARSE_PREFIX, strlen(SPARSE_PREFIX)) == 0)
		return read_sparse(r, record);
	for (size_t i = 0; i < COUNT(strangers); i++) {
		if (has_key(record, strangers[i]))
			return fail(r, record, "is not known to all readers");
	}
	return true;
}

/* Says that there is no record. Returns false. */
static bool fail_form(size_t at, char fault[PAX_FAULT_SIZE])
{
	snprintf(fault, PAX_FAULT_SIZE,
		"at byte %zu of its pax header is no record \"LENGTH KEY=VALUE\" that ends where "
		"it says, of %d bytes at most",
		at, RECORD_MAX);
	return false;
}

bool pax_read(const struct buffer *records, struct pax_said *said, char fault[PAX_FAULT_SIZE])
{
	struct reading r = {.said = said, .fault = fault};
	struct pax_record record;
	size_t at = 0;
	int more;
	*said = (struct pax_said){0};
	while ((more = pax_next(records, &at, &record)) > 0) {
		if (!read_record(&r, &record))
			return false;
	}
	return more < 0 ? fail_form(at, fault) : check_sparse(&r);
}

bool pax_read_global(const struct buffer *records, char fault[PAX_FAULT_SIZE])
{
	struct reading r = {.fault = fault};
	struct pax_record record;
	size_t at = 0;
	int more;
	while ((more = pax_next(records, &at, &record)) > 0) {
		if (!has_key(&record, "comment") && !has_key(&record, "GNU.volume.label"))
			return fail(&r, &record, "is in a global header");
	}
	return more < 0 ? fail_form(at, fault) : true;
}
