/* Values of a spec, one kind a test: times, references, ports, words that are nearly right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "random_tree.h"
#include "spec/config.h"
#include "spec/nearest.h"
#include "spec/spec.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_ports(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{"80", true},
		{"0", true},
		{"65535/udp", true},
		{"1/sctp", true},
		{"8000-8010/tcp", true},
		{"8000-8010", true},
		{"65536", false},
		{"", false},
		{"/tcp", false},
		{"80/", false},
		{"80/TCP", false},
		{"80-/tcp", false},
		{"-80", false},
		{"000080", false},
		{"80 ", false},
		{"http", false},
		{"1-99999", false},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (config_is_port(rows[i].text) != rows[i].good)
			fail_msg("%s", rows[i].text);
	}
}

static void test_time(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
		int64_t seconds;
	} rows[] = {
		{"1970-01-01T00:00:01Z", true, 1},
		{"1970-01-01", true, 0},
		{"19700102", true, 86400},
		{"2024-02-29", true, 1709164800},
		{"2024-05-01T12:00:00Z", true, 1714564800},
		{"2024-05-01t12:00:00z", true, 1714564800},
		{"2024-05-01 12:00:00Z", true, 1714564800},
		{"2024-05-01T12:00Z", true, 1714564800},
		{"2024-05-01T14:00:00+02:00", true, 1714564800},
		{"2024-05-01T14:00:00+0200", true, 1714564800},
		{"2024-05-01T14:00:00+02", true, 1714564800},
		{"2024-05-01T06:30:00-05:30", true, 1714564800},
		{"2024-05-01T12:00:00.999999999Z", true, 1714564800},
		{"2024-05-01T12:00:00,5Z", true, 1714564800},
		{"20240501T120000Z", true, 1714564800},
		{"20240501T140000.5+0200", true, 1714564800},
		{"20240501T1200Z", true, 1714564800},
		{"2016-12-31T23:59:60Z", true, 1483228800},
		{"2017-01-01T08:59:60+09:00", true, 1483228800},
		{"2016-12-31T22:59:60Z", false, 0},
		{"1969-12-31T23:59:59Z", true, -1},
		{"1970-01-01T00:00:00+01:00", true, -3600},
		{"0000-01-01T00:00:00Z", true, -62167219200},
		{"9999-12-31T23:59:59Z", true, SPEC_TIME_MAX},
		{"", false, 0},
		{"now", false, 0},
		{"1714564800", false, 0},
		{"2023-02-29", false, 0},
		{"1900-02-29", false, 0},
		{"2024-04-31", false, 0},
		{"2024-00-01", false, 0},
		{"2024-13-01", false, 0},
		{"2024-01-00", false, 0},
		{"2024-1-1", false, 0},
		{"2024-05-01T", false, 0},
		{"2024-05-01T12Z", false, 0},
		{"2024-05-01T12:00:00", false, 0}, /* whose noon? */
		{"2024-05-01T24:00:00Z", false, 0},
		{"2024-05-01T12:60:00Z", false, 0},
		{"2024-05-01T12:00:61Z", false, 0},
		{"2024-05-01T12:00:00.Z", false, 0},
		{"2024-05-01T12:00:00Z ", false, 0},
		{" 2024-05-01", false, 0},
		{"2024-05-01T12:00:00+24:00", false, 0},
		{"2024-05-01T12:00:00+02:60", false, 0},
		{"2024-05-01T12:00:00+02:", false, 0},
		{"2024-0501", false, 0},
		{"202405-01", false, 0},
		{"2024-05-01T120000Z", false, 0},
		{"20240501T12:00:00Z", false, 0},
		{"+2024-05-01", false, 0},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		int64_t seconds = 0;
		bool good = spec_parse_time(rows[i].text, &seconds);
		if (good != rows[i].good || (good && seconds != rows[i].seconds))
			fail_msg("%s: %d %lld", rows[i].text, good, (long long)seconds);
	}
}

/* Against the C library's calendar. */
static void test_random_time(void **state)
{
	(void)state;
	struct random random = {random_seed()};
	for (unsigned i = 0; i < 20000; i++) {
		time_t expected = (time_t)random_below(&random, UINT32_MAX) * 70 - 46000000000;
		struct tm tm;
		char text[64];
		int64_t seconds = 0;
		assert_non_null(gmtime_r(&expected, &tm));
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		if (tm.tm_year + 1900 < 1000 || tm.tm_year + 1900 > 9999)
			continue; /* strftime does not fill up to four digits */
		if (!spec_parse_time(text, &seconds) || seconds != expected)
			fail_msg("%s: %lld", text, (long long)seconds);
	}
}

static void test_references(void **state)
{
	(void)state;
#define LETTERS_128                                                                                \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" \
	"aaaa"                                                                                     \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	static const struct {
		const char *text;
		const char *name; /* NULL: refused */
		const char *tag;
	} rows[] = {
		{"redis", "redis", NULL},
		{"redis:latest", "redis", "latest"},
		{"a/b/c:1.0-RC_1", "a/b/c", "1.0-RC_1"},
		{"localhost:5000/a", "localhost:5000/a", NULL},
		{"localhost:5000/a:b", "localhost:5000/a", "b"},
		{"Registry.Example.com/a:b", "Registry.Example.com/a", "b"},
		{"REGISTRY/a", "REGISTRY/a", NULL},
		{"[2001:db8::1]:5000/a:t", "[2001:db8::1]:5000/a", "t"},
		{"[2001:db8::1]/a", "[2001:db8::1]/a", NULL},
		{"a__b.c---d/e_f", "a__b.c---d/e_f", NULL},
		{"a:_x", "a", "_x"},
		{"a:" LETTERS_128, "a", LETTERS_128},
		{LETTERS_128 "/" LETTERS_128 "", NULL, NULL}, /* 257 characters */
		{"a:" LETTERS_128 "a", NULL, NULL},
		{"", NULL, NULL},
		{":t", NULL, NULL},
		{"a:", NULL, NULL},
		{"a:.x", NULL, NULL},
		{"a:-x", NULL, NULL},
		{"a:x y", NULL, NULL},
		{"a:b:c", NULL, NULL},
		{"a:5000", "a", "5000"},
		{"Redis", NULL, NULL},
		{"a/B", NULL, NULL},
		{"a/B.c/d", NULL, NULL},
		{"a//b", NULL, NULL},
		{"/a", NULL, NULL},
		{"a/", NULL, NULL},
		{"-a", NULL, NULL},
		{"a-", NULL, NULL},
		{"a..b", NULL, NULL},
		{"a___b", NULL, NULL},
		{"a._b", NULL, NULL},
		{".a/b", NULL, NULL},
		{"-a.b/c", NULL, NULL},
		{"a.b-/c", NULL, NULL},
		{"a:x/b", NULL, NULL},
		{"a:/b", NULL, NULL},
		{"[]/a", NULL, NULL},
		{"[::1/a", NULL, NULL},
		{"a b", NULL, NULL},
		{"a\n", NULL, NULL},
		{"a@sha256:0123", NULL, NULL},
		{"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", NULL, NULL},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_free char *name = NULL, *tag = NULL;
		struct error err = {0};
		int r = spec_parse_reference(rows[i].text, &name, &tag, &err);
		if ((r == 0) != (rows[i].name != NULL))
			fail_msg("%s: %s", rows[i].text, r == 0 ? name : err.message);
		if (r < 0) {
			assert_int_equal(err.kind, ERROR_SPEC);
			assert_null(name);
			continue;
		}
		assert_string_equal(name, rows[i].name);
		assert_int_equal(tag != NULL, rows[i].tag != NULL);
		if (tag != NULL)
			assert_string_equal(tag, rows[i].tag);
	}
}

static void test_nearest(void **state)
{
	(void)state;
	static const char *const known[] = {
		"name", "tag", "ab", "uid", "gid", "runAsRoot", "fromImage", "fromImageName"};
	static const struct {
		const char *word;
		const char *best;
	} rows[] = {
		{"nmae", "name"},
		{"anem", "name"},
		{"ba", "ab"},
		{"NAME", "name"},
		{"names", "name"},
		{"gi", "gid"},
		{"runasRoto", "runAsRoot"},
		{"frmImageNam", "fromImageName"},
		{"fromimage", "fromImage"},
		{"", NULL},
		{"x", NULL},
		{"zzz", NULL},
		{"somethingElse", NULL},
		{LETTERS_128, NULL},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct nearest nearest = nearest_start(rows[i].word);
		for (size_t j = 0; j < COUNT(known); j++)
			nearest_try(&nearest, known[j]);
		const char *best = nearest.best;
		if (best == NULL ? rows[i].best != NULL
				 : rows[i].best == NULL || strcmp(best, rows[i].best) != 0)
			fail_msg("%s: %s", rows[i].word, best);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_random_time),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_nearest),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
