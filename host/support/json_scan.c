#include "support/json_scan.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/buffer.h"
#include "support/memory.h"
#include "support/utf8.h"

/* A key of an object that is still open. */
struct key {
	size_t start; /* in scan.names, escapes resolved */
	size_t len;
	size_t at; /* in the text */
};

/* An object or list that is still open. */
struct level {
	bool object;
	size_t keys;  /* scan.key_count when it was opened */
	size_t names; /* scan.names.len when it was opened */
};

struct scan {
	const char *text;
	size_t len;
	size_t at;
	const struct json_rules *rules;
	struct error *err;
	struct level *levels; /* rules->depth_max of them */
	size_t depth;
	size_t containers; /* opened so far */
	struct key *keys;  /* of all open objects, innermost last */
	size_t key_count;
	size_t key_capacity;
	struct buffer names;
};

/* What may come next. */
enum want {
	WANT_VALUE,
	WANT_VALUE_OR_END,
	WANT_KEY,
	WANT_KEY_OR_END,
	WANT_COMMA_OR_END,
	WANT_NONE
};

static void scan_free(struct scan *scan)
{
	free(scan->levels);
	free(scan->keys);
	buffer_free(&scan->names);
}

/* Line and column, from 1, of a place in the text. */
static void locate(const struct scan *scan, size_t at, size_t *line, size_t *column)
{
	*line = 1;
	*column = 1;
	for (size_t i = 0; i < at; i++) {
		if (scan->text[i] == '\n') {
			++*line;
			*column = 1;
		} else if (((unsigned char)scan->text[i] & 0xc0) != 0x80) {
			++*column;
		}
	}
}

static int __attribute__((format(printf, 3, 4)))
fail(const struct scan *scan, size_t at, const char *format, ...)
{
	char what[256];
	size_t line, column;
	va_list args;
	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	locate(scan, at, &line, &column);
	return error_set(scan->err, scan->rules->kind, EINVAL, "%s:%zu:%zu: %s", scan->rules->name,
		line, column, what);
}

/* "wanted ..., found ...": what stands at the current place, in words. */
static int fail_wanted(const struct scan *scan, const char *wanted)
{
	if (scan->at >= scan->len)
		return fail(scan, scan->len, "%s is wanted, the text ends here", wanted);
	unsigned char c = (unsigned char)scan->text[scan->at];
	if (c > 0x20 && c < 0x7f)
		return fail(scan, scan->at, "%s is wanted, found '%c'", wanted, c);
	return fail(scan, scan->at, "%s is wanted, found the byte 0x%02x", wanted, c);
}

static void skip_space(struct scan *scan)
{
	while (scan->at < scan->len && strchr(" \t\r\n", scan->text[scan->at]) != NULL &&
		scan->text[scan->at] != '\0')
		scan->at++;
}

static bool next_is(const struct scan *scan, char c)
{
	return scan->at < scan->len && scan->text[scan->at] == c;
}

static void put_utf8(struct buffer *out, uint32_t code)
{
	unsigned char c[4];
	size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const unsigned char lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
	for (size_t i = n - 1; i > 0; i--) {
		c[i] = (unsigned char)(0x80 | (code & 0x3f));
		code >>= 6;
	}
	c[0] = (unsigned char)(lead[n] | code);
	buffer_add(out, c, n);
}

/* The four digits of "\uXXXX" from a place on; false: there are not four. */
static bool read_hex4(const struct scan *scan, size_t at, uint32_t *value)
{
	if (scan->len - at < 4)
		return false;
	*value = 0;
	for (size_t i = 0; i < 4; i++) {
		char c = scan->text[at + i];
		uint32_t digit;
		if (c >= '0' && c <= '9')
			digit = (uint32_t)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (uint32_t)((c | 0x20) - 'a' + 10);
		else
			return false;
		*value = *value << 4 | digit;
	}
	return true;
}

/* An escape, from its backslash on. out: gets the character, or NULL. */
static int scan_escape(struct scan *scan, struct buffer *out)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char values[] = "\"\\/\b\f\n\r\t";
	size_t start = scan->at++;
	const char *letter = NULL;
	uint32_t code, low;
	if (scan->at < scan->len && scan->text[scan->at] != '\0')
		letter = strchr(letters, scan->text[scan->at]);
	if (letter != NULL) {
		code = (unsigned char)values[letter - letters];
		scan->at++;
	} else {
		if (!next_is(scan, 'u') || !read_hex4(scan, scan->at + 1, &code))
			return fail(scan, start, "is no escape sequence of JSON");
		scan->at += 5;
		if (code == 0)
			return fail(scan, start, "U+0000 cannot be in a string here");
		if (code >= 0xd800 && code < 0xdc00) {
			if (scan->len - scan->at < 6 || scan->text[scan->at] != '\\' ||
				scan->text[scan->at + 1] != 'u' ||
				!read_hex4(scan, scan->at + 2, &low) || low < 0xdc00 ||
				low > 0xdfff)
				return fail(scan, start, "is half of a surrogate pair");
			code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
			scan->at += 6;
		} else if (code >= 0xdc00 && code < 0xe000) {
			return fail(scan, start, "is half of a surrogate pair");
		}
	}
	if (out != NULL)
		put_utf8(out, code);
	return 0;
}

/* A string, from its opening quote on. out: gets its characters, or NULL. */
static int scan_string(struct scan *scan, struct buffer *out)
{
	size_t start = scan->at++;
	while (scan->at < scan->len) {
		unsigned char c = (unsigned char)scan->text[scan->at];
		if (c == '"') {
			scan->at++;
			return 0;
		}
		if (c == '\\') {
			int r = scan_escape(scan, out);
			if (r < 0)
				return r;
			continue;
		}
		if (c == '\n')
			return fail(scan, start,
				"the string does not end on its line; a newline "
				"in a string is written \\n");
		if (c < 0x20)
			return fail(scan, scan->at,
				"the byte 0x%02x must be written \\u%04x in a string", c, c);
		size_t n = utf8_char_len(scan->text + scan->at, scan->len - scan->at);
		if (n == 0)
			return fail(scan, scan->at, "the byte 0x%02x is no UTF-8 here", c);
		if (out != NULL)
			buffer_add(out, scan->text + scan->at, n);
		scan->at += n;
	}
	return fail(scan, start, "the string does not end");
}

static size_t skip_digits(struct scan *scan)
{
	size_t start = scan->at;
	while (scan->at < scan->len && scan->text[scan->at] >= '0' && scan->text[scan->at] <= '9')
		scan->at++;
	return scan->at - start;
}

static int check_number(const struct scan *scan, size_t start, bool whole)
{
	char digits[JSON_NUMBER_MAX + 1];
	size_t len = scan->at - start;
	if (len > JSON_NUMBER_MAX)
		return fail(scan, start, "a number of %zu characters, %d are the limit", len,
			JSON_NUMBER_MAX);
	memcpy(digits, scan->text + start, len);
	digits[len] = '\0';
	errno = 0;
	if (!whole)
		return isfinite(strtod(digits, NULL))
			       ? 0
			       : fail(scan, start, "%s is too large for a number", digits);
	if (digits[0] == '-')
		(void)strtoll(digits, NULL, 10);
	else
		(void)strtoull(digits, NULL, 10);
	if (errno == ERANGE)
		return fail(scan, start, "%s does not fit 64 bits", digits);
	return 0;
}

static int scan_number(struct scan *scan)
{
	size_t start = scan->at;
	bool whole = true;
	if (next_is(scan, '-'))
		scan->at++;
	if (next_is(scan, '0')) {
		scan->at++;
		if (skip_digits(scan) != 0)
			return fail(scan, start, "a number cannot begin with 0");
	} else if (skip_digits(scan) == 0) {
		return fail_wanted(scan, "a digit");
	}
	if (next_is(scan, '.')) {
		whole = false;
		scan->at++;
		if (skip_digits(scan) == 0)
			return fail_wanted(scan, "a digit");
	}
	if (next_is(scan, 'e') || next_is(scan, 'E')) {
		whole = false;
		scan->at++;
		if (next_is(scan, '+') || next_is(scan, '-'))
			scan->at++;
		if (skip_digits(scan) == 0)
			return fail_wanted(scan, "a digit");
	}
	return check_number(scan, start, whole);
}

static int open_level(struct scan *scan)
{
	if (scan->depth == scan->rules->depth_max)
		return fail(scan, scan->at, "objects and lists are nested deeper than %u",
			scan->rules->depth_max);
	if (scan->containers++ == JSON_CONTAINERS_MAX)
		return fail(scan, scan->at, "more than %d objects and lists", JSON_CONTAINERS_MAX);
	scan->levels[scan->depth++] = (struct level){
		.object = scan->text[scan->at++] == '{',
		.keys = scan->key_count,
		.names = scan->names.len,
	};
	return 0;
}

static int compare_names(const struct key *x, const struct key *y, const uint8_t *names)
{
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->len == 0 ? 0 : memcmp(names + x->start, names + y->start, x->len);
}

static int compare_keys(const void *a, const void *b, void *names)
{
	const struct key *x = a, *y = b;
	int order = compare_names(x, y, names);
	if (order != 0)
		return order;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Refuses equal keys, all compared at once, sorted: the one that comes first in the text. */
static int check_keys(struct scan *scan, struct key *keys, size_t count)
{
	const struct key *again = NULL;
	size_t first = 0;
	size_t line, column;
	if (keys == NULL || count < 2)
		return 0;
	qsort_r(keys, count, sizeof(*keys), compare_keys, scan->names.data);
	for (size_t i = 1; i < count; i++) {
		if (compare_names(&keys[i - 1], &keys[i], scan->names.data) != 0 ||
			(again != NULL && again->at < keys[i].at))
			continue;
		again = &keys[i];
		first = keys[i - 1].at;
	}
	if (again == NULL)
		return 0;
	/* Where all keys are empty there are no names at all. */
	const char *name = again->len != 0 ? (const char *)scan->names.data + again->start : "";
	locate(scan, first, &line, &column);
	return fail(scan, again->at, "the key \"%.*s\" is there already, on line %zu",
		(int)(again->len < 64 ? again->len : 64), name, line);
}

/* Ends the innermost object or list. */
static int close_level(struct scan *scan)
{
	const struct level *level = &scan->levels[--scan->depth];
	size_t count = scan->key_count - level->keys;
	struct key *keys = count > 0 ? scan->keys + level->keys : NULL;
	scan->at++;
	int r = check_keys(scan, keys, count);
	scan->key_count = level->keys;
	scan->names.len = level->names;
	return r;
}

/* A key and the colon after it. */
static int scan_key(struct scan *scan)
{
	struct key key = {.start = scan->names.len, .at = scan->at};
	int r = scan_string(scan, &scan->names);
	if (r < 0)
		return r;
	key.len = scan->names.len - key.start;
	scan->keys =
		array_grow(scan->keys, scan->key_count, &scan->key_capacity, sizeof(*scan->keys));
	scan->keys[scan->key_count++] = key;
	skip_space(scan);
	if (!next_is(scan, ':'))
		return fail_wanted(scan, "':'");
	scan->at++;
	return 0;
}

static bool take_word(struct scan *scan, const char *word)
{
	size_t len = strlen(word);
	if (scan->len - scan->at < len || memcmp(scan->text + scan->at, word, len) != 0)
		return false;
	scan->at += len;
	return true;
}

/* What may follow a value that is complete. */
static enum want after_value(const struct scan *scan)
{
	return scan->depth == 0 ? WANT_NONE : WANT_COMMA_OR_END;
}

static int scan_value(struct scan *scan, enum want *want)
{
	int r = 0;
	char c = scan->at < scan->len ? scan->text[scan->at] : '\0';
	if (c == '{' || c == '[') {
		*want = c == '{' ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
		return open_level(scan);
	}
	if (c == '"')
		r = scan_string(scan, NULL);
	else if (c == '-' || (c >= '0' && c <= '9'))
		r = scan_number(scan);
	else if (!take_word(scan, "true") && !take_word(scan, "false") && !take_word(scan, "null"))
		r = fail_wanted(scan, "a value");
	*want = after_value(scan);
	return r;
}

/* One token or so: a value or its beginning, a key, a comma or an end. */
static int scan_step(struct scan *scan, enum want *want)
{
	bool object = scan->depth > 0 && scan->levels[scan->depth - 1].object;
	bool may_end = *want == WANT_VALUE_OR_END || *want == WANT_KEY_OR_END ||
		       *want == WANT_COMMA_OR_END;
	int r;
	if (may_end && next_is(scan, object ? '}' : ']')) {
		r = close_level(scan);
		*want = after_value(scan);
		return r;
	}
	switch (*want) {
	case WANT_VALUE:
	case WANT_VALUE_OR_END:
		return scan_value(scan, want);
	case WANT_KEY:
	case WANT_KEY_OR_END:
		if (!next_is(scan, '"'))
			return fail_wanted(
				scan, *want == WANT_KEY ? "a key in '\"'" : "a key in '\"' or '}'");
		*want = WANT_VALUE;
		return scan_key(scan);
	default:
		if (!next_is(scan, ','))
			return fail_wanted(scan, object ? "',' or '}'" : "',' or ']'");
		scan->at++;
		*want = object ? WANT_KEY : WANT_VALUE;
		return 0;
	}
}

/* The beginning of a document of the wanted kind. */
static int check_first(const struct scan *scan)
{
	char first = scan->rules->first;
	bool object = first == '{';
	if (scan->at == scan->len)
		return error_set(scan->err, scan->rules->kind, EINVAL,
			"%s: is empty, a JSON %s is wanted", scan->rules->name,
			first == 0 ? "document"
			: object   ? "object"
				   : "list");
	if (first == 0 || next_is(scan, first))
		return 0;
	return fail_wanted(scan, object ? "an object, so '{'," : "a list, so '[',");
}

int json_scan(const char *text, size_t len, const struct json_rules *rules, struct error *err)
{
	if (len > rules->size_max)
		return error_set(err, rules->kind, EFBIG,
			"%s: %zu bytes are more than the limit of %zu for a JSON document",
			rules->name, len, rules->size_max);
	struct scan scan __attribute__((cleanup(scan_free))) = {
		.text = text,
		.len = len,
		.rules = rules,
		.err = err,
		.levels = xcalloc(rules->depth_max, sizeof(struct level)),
	};
	enum want want = WANT_VALUE;
	skip_space(&scan);
	int r = check_first(&scan);
	while (r == 0 && want != WANT_NONE) {
		r = scan_step(&scan, &want);
		skip_space(&scan);
	}
	if (r == 0 && scan.at < len)
		r = fail_wanted(&scan, "the end of the text");
	return r;
}
