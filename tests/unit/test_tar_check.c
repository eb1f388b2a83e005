/* Headers of tars that readers do not take alike, and those that all of them take: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "layer/tar_check.h"
#include "support/memory.h"
#include "support/ustar.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char zeros[2 * TAR_BLOCK];

static struct ustar make_header(const char *name, char type, uint64_t size)
{
	struct ustar h;
	ustar_init(&h, type, 0644);
	memcpy(h.name, name, strlen(name));
	ustar_put_octal(h.size, sizeof(h.size), size);
	return h;
}

static void add_header(struct buffer *tar, struct ustar *h)
{
	ustar_put_checksum(h);
	buffer_add(tar, h, sizeof(*h));
}

static void add_data(struct buffer *tar, const char *data, size_t len)
{
	buffer_add(tar, data, len);
	buffer_add(tar, zeros, (TAR_BLOCK - len % TAR_BLOCK) % TAR_BLOCK);
}

static void add_extended(struct buffer *tar, char type, const char *body)
{
	struct ustar h = make_header("ahead", type, strlen(body));
	add_header(tar, &h);
	add_data(tar, body, strlen(body));
}

/* A pax header of records as they are, or of one without its length and its end. */
static void add_record(struct buffer *tar, const char *text)
{
	char records[100];
	size_t len = strlen(text) + 3;
	len += len > 9;
	bool whole = text[0] == ' ' || (text[0] >= '0' && text[0] <= '9');
	if (whole)
		snprintf(records, sizeof(records), "%s", text);
	else
		snprintf(records, sizeof(records), "%zu %s\n", len, text);
	add_extended(tar, 'x', records);
}

static void add_file(struct buffer *tar, const char *name, const char *data)
{
	struct ustar h = make_header(name, '0', strlen(data));
	add_header(tar, &h);
	add_data(tar, data, strlen(data));
}

/* Shows the check a tar in pieces. Returns how many entries it has, or a negative errno. */
static int check_in(
	const struct buffer *tar, size_t piece, struct tar_said *last, struct error *err)
{
	cleanup_tar_check struct tar_check *check = tar_check_new();
	int count = 0;
	for (size_t at = 0; at < tar->len; at += piece) {
		size_t len = tar->len - at < piece ? tar->len - at : piece;
		int r = tar_check_add(check, tar->data + at, len, err);
		if (r < 0)
			return r;
	}
	/* The reader beside sees entries wherever there are headers. */
	for (size_t at = 0; at < tar->len; at += TAR_BLOCK) {
		struct error none;
		struct tar_said said;
		if (tar_check_entry(check, at, &said, &none) < 0)
			continue;
		count++;
		if (last != NULL) {
			tar_said_free(last);
			*last = said;
		} else {
			tar_said_free(&said);
		}
	}
	int r = tar_check_end(check, err);
	return r < 0 ? r : count;
}

/* Words that the refusal has; NULL: the tar is taken. */
static void expect(const char *name, struct buffer *tar, const char *words)
{
	static const size_t pieces[] = {1, 511, 512, 1000, SIZE_MAX / 2};
	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct error err = {0};
		int r = check_in(tar, pieces[i], NULL, &err);
		if (words == NULL && r < 0)
			fail_msg("%s, in pieces of %zu: %s", name, pieces[i], err.message);
		if (words != NULL && r >= 0)
			fail_msg("%s, in pieces of %zu: was taken", name, pieces[i]);
		if (words != NULL && strstr(err.message, words) == NULL)
			fail_msg("%s: \"%s\" is not in: %s", name, words, err.message);
		if (words != NULL)
			assert_int_equal(err.kind, ERROR_INPUT);
	}
	buffer_free(tar);
}

#define TAKEN NULL

/* A pax header before a file of five bytes. */
static void test_records(void **state)
{
	static const struct {
		const char *records, *words;
	} cases[] = {
		{"size=5", TAKEN},
		{"9 size=7\n9 size=5\n", TAKEN},
		{"size=05", TAKEN},
		{"size= 5", "x: its pax record size, \" 5\", is no plain number"},
		{"size=+5", "\"+5\""},
		{"size=-5", "\"-5\""},
		{"size=0x5", "\"0x5\""},
		{"size=5 ", "\"5 \""},
		{"size=", "\"\""},
		{"size=9223372036854775808", "no plain number"},
		{"uid= 1", "its pax record uid"},
		{"gid=1x", "its pax record gid"},
		{"mtime=1.5", TAKEN},
		{"mtime=-1.250", TAKEN},
		{"mtime=.5", "its pax record mtime"},
		{"mtime=1e3", "its pax record mtime"},
		{"mtime=+1", "its pax record mtime"},
		{"9 path=y\n8 size=\n", "y: its pax record size"},
		{"path=", "its pax record path, \"\", is empty"},
		{"linkpath=y", "it has the target of a link, though it is no link"},
		{"hdrcharset=latin", "its pax record hdrcharset"},
		{"22 hdrcharset=BINARY\n", "no record"},
		{"hdrcharset=BINARY", TAKEN},
		{"09 size=5\n", "no record"},
		{" 9 size=5\n", "no record"},
		{"9  size=5\n", "no record"},
		{"10  size=5\n", "no record"},
		{"8 size=5\n", "no record"},
		{"11 size=5\n", "no record"},
		{"9 size=5", "no record"},
		{"9 size 5\n", "no record"},
		{"5 =5\n", "no record"},
		{"9 size=5\nx", "at byte 9 of its pax header is no record"},
		{"SCHILY.realsize=5", "is not known to all readers"},
		{"SCHILY.devmajor=1", "is not known to all readers"},
		{"24 GNU.sparse.realsize=5\n", "no record"},
		{"GNU.sparse.realsize=5", "of no one form"},
		{"SCHILY.xattr.user.a=bc", TAKEN},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buffer tar = {0};
		const char *words = cases[i].words;
		add_record(&tar, cases[i].records);
		add_file(&tar, "x", "12345");
		buffer_add(&tar, zeros, sizeof(zeros));
		expect(cases[i].records, &tar, words);
	}
}

/* What is before an entry, and after it. */
static void test_order(void **state)
{
	static const struct {
		const char *name;
		char before[4]; /* typeflags, of a fitting body each; 0: a block of zeros */
		size_t before_count;
		const char *words;
	} cases[] = {
		{"global comment", {'g'}, 1, TAKEN},
		{"global comment, pax header", {'g', 'x'}, 2, TAKEN},
		{"long names", {'K', 'L'}, 2, "it has the target of a link"},
		{"long name", {'L'}, 1, TAKEN},
		{"two pax headers", {'x', 'x'}, 2, "two pax headers"},
		{"pax header, long name", {'x', 'L'}, 2, "a pax header and a GNU long name"},
		{"long name, pax header", {'L', 'x'}, 2, "a pax header and a GNU long name"},
		{"two long names", {'L', 'L'}, 2, "two GNU long names"},
		{"pax header, global", {'x', 'g'}, 2, "a global pax header follows"},
		{"Sun's pax header", {'X'}, 1, "it is of type \"X\""},
		{"volume", {'V'}, 1, "it is of type \"V\""},
		{"lone zeros", {0}, 1, "x: one block of zeros is before it"},
		{"zeros behind a header", {'x', 0}, 2, "ends behind a header for an entry"},
		{"behind the end", {0, 0, 'x', 'x'}, 4, TAKEN},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buffer tar = {0};
		for (size_t k = 0; k < cases[i].before_count; k++) {
			if (cases[i].before[k] == 0)
				buffer_add(&tar, zeros, TAR_BLOCK);
			else if (strchr("gx", cases[i].before[k]) != NULL)
				add_extended(&tar, cases[i].before[k], "13 comment=x\n");
			else
				add_extended(&tar, cases[i].before[k], "name");
		}
		add_file(&tar, "x", "12345");
		buffer_add(&tar, zeros, sizeof(zeros));
		expect(cases[i].name, &tar, cases[i].words);
	}
	struct buffer tar = {0};
	add_file(&tar, "x", "12345");
	add_extended(&tar, 'x', "13 comment=x\n");
	expect("header at the end", &tar, "ends behind a header for an entry");
	add_extended(&tar, 'g', "9 size=9\n");
	expect("global size", &tar, "its pax record size, \"9\", is in a global header");
}

/* One field of a header, of an empty file unless the type says otherwise. */
static void test_fields(void **state)
{
	static const struct {
		const char *name;
		char type;
		size_t at, len;
		char bytes[100];
		const char *words;
	} cases[] = {
		{"blanks before", '0', offsetof(struct ustar, size), 12, "          0 ", TAKEN},
		{"NULs", '0', offsetof(struct ustar, size), 12, "", TAKEN},
		{"base 256", '0', offsetof(struct ustar, size), 12, "\x80\0\0\0\0\0\0\0\0\0\0\0",
			TAKEN},
		{"other base 256", '0', offsetof(struct ustar, size), 12,
			"\x81\0\0\0\0\0\0\0\0\0\0\0", "x: its header's size"},
		{"below 0", '0', offsetof(struct ustar, size), 12,
			"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "x: its header's size"},
		{"beyond 64 bits", '0', offsetof(struct ustar, size), 12,
			"\x80\0\0\x01\0\0\0\0\0\0\0\0", "x: its header's size"},
		{"time below 0", '0', offsetof(struct ustar, mtime), 12,
			"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", TAKEN},
		{"sign", '0', offsetof(struct ustar, mode), 8, "-000644",
			"its header's mode, \"-000644\""},
		{"hexadecimal", '0', offsetof(struct ustar, uid), 8, "0x00001", "its header's uid"},
		{"digit 8", '0', offsetof(struct ustar, gid), 8, "0000008", "its header's gid"},
		{"NUL before", '0', offsetof(struct ustar, mode), 8, "\0000644",
			"its header's mode"},
		{"two numbers", '0', offsetof(struct ustar, mode), 8, "644\0007\0\0",
			"its header's mode"},
		{"blanks", '0', offsetof(struct ustar, size), 12, "            ",
			"its header's size"},
		{"size of a symlink", '2', offsetof(struct ustar, size), 12, "00000000005",
			"x: it has a size of 5, though it is no file"},
		{"size of a hard link", '1', offsetof(struct ustar, size), 12, "00000000005",
			"size of 5"},
		{"size of a directory", '5', offsetof(struct ustar, size), 12, "00000001000",
			"size of 512"},
		{"size of a device", '3', offsetof(struct ustar, size), 12, "00000000001",
			"size of 1"},
		{"size of a FIFO", '6', offsetof(struct ustar, size), 12, "00000000001",
			"size of 1"},
		{"contiguous", '7', offsetof(struct ustar, size), 12, "", "it is of type \"7\""},
		{"old sparse", 'S', offsetof(struct ustar, size), 12, "", "type S"},
		{"slash", '0', offsetof(struct ustar, name), 3, "x/", "a file with a slash"},
		{"old slash", '\0', offsetof(struct ustar, name), 3, "x/", TAKEN},
		{"no name", '0', offsetof(struct ustar, name), 1, "", "it has no name"},
		{"star's tail", '0', offsetof(struct ustar, pad) + 8, 4, "tar",
			"behind the prefix"},
		{"GNU with a prefix", '0', offsetof(struct ustar, magic), 95,
			"ustar  "
			"\0........................................................................"
			"......x.......",
			"its GNU header"},
		{"other version", '0', offsetof(struct ustar, version), 2, "01",
			"in none of the formats"},
		{"no magic", '0', offsetof(struct ustar, magic), 8, "", TAKEN},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buffer tar = {0};
		struct ustar h = make_header("x", cases[i].type, 0);
		memcpy((char *)&h + cases[i].at, cases[i].bytes, cases[i].len);
		if (cases[i].len == 95)
			memset(h.uname, 0,
				offsetof(struct ustar, prefix) - offsetof(struct ustar, uname));
		add_header(&tar, &h);
		buffer_add(&tar, zeros, sizeof(zeros));
		expect(cases[i].name, &tar, cases[i].words);
	}
}

static void test_checksums(void **state)
{
	(void)state;
	struct buffer tar = {0};
	struct ustar h = make_header("\xc3\xa9", '0', 0);
	add_header(&tar, &h);
	/* Each of the two upper bytes counts 256 less as a signed one. */
	uint64_t sum = strtoull(h.checksum, NULL, 8) - 2 * 256;
	ustar_put_octal(((struct ustar *)tar.data)->checksum, 7, sum);
	expect("signed", &tar, TAKEN);
	add_header(&tar, &h);
	ustar_put_octal(((struct ustar *)tar.data)->checksum, 7, sum + 1);
	expect("wrong", &tar, "not a tar at byte 0");
}

static void test_times(void **state)
{
	static const struct {
		const char *records;
		int64_t sec;
		uint32_t nsec;
	} cases[] = {
		{"mtime=-0.25", -1, 750000000},
		{"mtime=-1.25", -2, 750000000},
		{"mtime=-1", -1, 0},
		{"mtime=0.5", 0, 500000000},
		{"mtime=1.0000000019", 1, 1},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		cleanup_buffer struct buffer tar = {0};
		cleanup_tar_said struct tar_said said = {0};
		struct error err;
		add_record(&tar, cases[i].records);
		add_file(&tar, "x", "");
		if (check_in(&tar, TAR_BLOCK, &said, &err) != 1)
			fail_msg("%s: %s", cases[i].records, err.message);
		assert_int_equal(said.mtime_sec, cases[i].sec);
		assert_int_equal(said.mtime_nsec, cases[i].nsec);
		assert_int_equal(said.at, 0);
	}
}

/* Another reader that does not see the same entries is told so. */
static void test_other_places(void **state)
{
	(void)state;
	cleanup_buffer struct buffer tar = {0};
	cleanup_tar_check struct tar_check *check = tar_check_new();
	struct tar_said said;
	struct error err;
	add_file(&tar, "x", "12345");
	assert_int_equal(tar_check_add(check, tar.data, tar.len, &err), 0);
	assert_true(tar_check_entry(check, TAR_BLOCK, &said, &err) < 0);
	assert_non_null(strstr(err.message, "do not see the same entry"));
	assert_true(tar_check_end(check, &err) < 0);
	assert_int_equal(tar_check_entry(check, 0, &said, &err), 0);
	tar_said_free(&said);
	assert_int_equal(tar_check_end(check, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_checksums),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_other_places),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
