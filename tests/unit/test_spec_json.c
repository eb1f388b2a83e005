/* The JSON scanner: what it takes and refuses, with the exact words, and json-c after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "random_tree.h"
#include "spec/json_text.h"
#include "support/buffer.h"
#include "support/json_scan.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Scans a text that ends where its memory ends, for AddressSanitizer to watch. */
static int scan(const char *text, size_t len, struct error *err)
{
	static const struct json_rules rules = {
		.name = "spec.json",
		.kind = ERROR_SPEC,
		.first = '{',
		.size_max = 8 << 20,
		.depth_max = JSON_TEXT_DEPTH_MAX,
	};
	cleanup_free char *copy = xmemdup(text, len);
	return json_scan(copy, len, &rules, err);
}

static void test_refused_json(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		const char *expected;
	} rows[] = {
		{"", "spec.json: is empty, a JSON object is wanted"},
		{" \n\t", "spec.json: is empty, a JSON object is wanted"},
		{"[]", "spec.json:1:1: an object, so '{', is wanted, found '['"},
		{"\n\n  null", "spec.json:3:3: an object, so '{', is wanted, found 'n'"},
		{"\xef\xbb\xbf{}",
			"spec.json:1:1: an object, so '{', is wanted, found the byte 0xef"},
		{"{", "spec.json:1:2: a key in '\"' or '}' is wanted, the text ends here"},
		{"{]", "spec.json:1:2: a key in '\"' or '}' is wanted, found ']'"},
		{"{\"name\":\"x\",}", "spec.json:1:13: a key in '\"' is wanted, found '}'"},
		{"{,}", "spec.json:1:2: a key in '\"' or '}' is wanted, found ','"},
		{"{'name':1}", "spec.json:1:2: a key in '\"' or '}' is wanted, found '''"},
		{"{name:1}", "spec.json:1:2: a key in '\"' or '}' is wanted, found 'n'"},
		{"{\"name\"}", "spec.json:1:8: ':' is wanted, found '}'"},
		{"{\"name\" \"x\"}", "spec.json:1:9: ':' is wanted, found '\"'"},
		{"{\"name\":}", "spec.json:1:9: a value is wanted, found '}'"},
		{"{\"name\":", "spec.json:1:9: a value is wanted, the text ends here"},
		{"{\"name\":\"x\"\n \"tag\":1}", "spec.json:2:2: ',' or '}' is wanted, found '\"'"},
		{"{\"a\":[1 2]}", "spec.json:1:9: ',' or ']' is wanted, found '2'"},
		{"{\"a\":[1}", "spec.json:1:8: ',' or ']' is wanted, found '}'"},
		{"{\"a\":[1,]}", "spec.json:1:9: a value is wanted, found ']'"},
		{"{\"a\":1]", "spec.json:1:7: ',' or '}' is wanted, found ']'"},
		{"{} {}", "spec.json:1:4: the end of the text is wanted, found '{'"},
		{"{}\n}", "spec.json:2:1: the end of the text is wanted, found '}'"},
		{"{\"a\":True}", "spec.json:1:6: a value is wanted, found 'T'"},
		{"{\"a\":nul}", "spec.json:1:6: a value is wanted, found 'n'"},
		{"{\"a\":nulls}", "spec.json:1:10: ',' or '}' is wanted, found 's'"},
		{"{\"a\":NaN}", "spec.json:1:6: a value is wanted, found 'N'"},
		{"{\"a\":Infinity}", "spec.json:1:6: a value is wanted, found 'I'"},
		{"{/* */}", "spec.json:1:2: a key in '\"' or '}' is wanted, found '/'"},
		{"{\"a\":01}", "spec.json:1:6: a number cannot begin with 0"},
		{"{\"a\":-}", "spec.json:1:7: a digit is wanted, found '}'"},
		{"{\"a\":+1}", "spec.json:1:6: a value is wanted, found '+'"},
		{"{\"a\":1.}", "spec.json:1:8: a digit is wanted, found '}'"},
		{"{\"a\":.5}", "spec.json:1:6: a value is wanted, found '.'"},
		{"{\"a\":1e}", "spec.json:1:8: a digit is wanted, found '}'"},
		{"{\"a\":1e+}", "spec.json:1:9: a digit is wanted, found '}'"},
		{"{\"a\":0x10}", "spec.json:1:7: ',' or '}' is wanted, found 'x'"},
		{"{\"a\":1e999}", "spec.json:1:6: 1e999 is too large for a number"},
		{"{\"a\":18446744073709551616}",
			"spec.json:1:6: 18446744073709551616 does not fit 64 bits"},
		{"{\"a\":-9223372036854775809}",
			"spec.json:1:6: -9223372036854775809 does not fit 64 bits"},
		{"{\"a\":\"b\n\"}", "spec.json:1:6: the string does not end on its line; a newline "
				    "in a string is "
				    "written \\n"},
		{"{\"a\":\"b\tc\"}",
			"spec.json:1:8: the byte 0x09 must be written \\u0009 in a string"},
		{"{\"a\":\"b", "spec.json:1:6: the string does not end"},
		{"{\"a", "spec.json:1:2: the string does not end"},
		{"{\"a\":\"b\\", "spec.json:1:8: is no escape sequence of JSON"},
		{"{\"a\":\"b\\x\"}", "spec.json:1:8: is no escape sequence of JSON"},
		{"{\"a\":\"b\\u12G4\"}", "spec.json:1:8: is no escape sequence of JSON"},
		{"{\"a\":\"b\\u123", "spec.json:1:8: is no escape sequence of JSON"},
		{"{\"a\":\"b\\u0000\"}", "spec.json:1:8: U+0000 cannot be in a string here"},
		{"{\"b\\u0000\":1}", "spec.json:1:4: U+0000 cannot be in a string here"},
		{"{\"a\":\"\\ud800\"}", "spec.json:1:7: is half of a surrogate pair"},
		{"{\"a\":\"\\ud800\\u0041\"}", "spec.json:1:7: is half of a surrogate pair"},
		{"{\"a\":\"\\udc00\"}", "spec.json:1:7: is half of a surrogate pair"},
		{"{\"a\":\"\xc3\xa9\xff\"}", "spec.json:1:8: the byte 0xff is no UTF-8 here"},
		{"{\"a\":\"\xc0\xaf\"}", "spec.json:1:7: the byte 0xc0 is no UTF-8 here"},
		{"{\"a\":\"\xe0\x80\xaf\"}", "spec.json:1:7: the byte 0xe0 is no UTF-8 here"},
		{"{\"a\":\"\xed\xa0\x80\"}", "spec.json:1:7: the byte 0xed is no UTF-8 here"},
		{"{\"a\":\"\xf4\x90\x80\x80\"}", "spec.json:1:7: the byte 0xf4 is no UTF-8 here"},
		{"{\"a\":\"\xe2\x82\"}", "spec.json:1:7: the byte 0xe2 is no UTF-8 here"},
		{"{\"a\":1,\"a\":1}", "spec.json:1:8: the key \"a\" is there already, on line 1"},
		{"{\"name\":\"x\",\n\"tag\":\"y\",\n \"n\\u0061me\":\"z\"}",
			"spec.json:3:2: the key \"name\" is there already, on line 1"},
		{"{\"\":1,\"\":1}", "spec.json:1:7: the key \"\" is there already, on line 1"},
		{"{\"x\":[{\"b\":1,\"a\":2,\"c\":3,\"a\":4,\"b\":5}]}",
			"spec.json:1:26: the key \"a\" is there already, on line 1"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		if (scan(rows[i].text, strlen(rows[i].text), &err) == 0)
			fail_msg("taken: %s", rows[i].text);
		assert_string_equal(err.message, rows[i].expected);
		assert_int_equal(err.kind, ERROR_SPEC);
	}

	/* A NUL is a byte like another, no end. */
	struct error err;
	assert_true(scan("{}\0", 3, &err) < 0);
	assert_string_equal(
		err.message, "spec.json:1:3: the end of the text is wanted, found the byte 0x00");
	assert_true(scan("{\"a\":\"\0\"}", 9, &err) < 0);
	assert_string_equal(
		err.message, "spec.json:1:7: the byte 0x00 must be written \\u0000 in a string");
}

/* Equal keys in different objects, and keys that differ in case or length, are no duplicates. */
static void test_keys_that_differ(void **state)
{
	(void)state;
	static const char *const rows[] = {
		"{\"a\":{\"a\":{\"a\":1}},\"A\":1,\"aa\":1}",
		"{\"x\":[{\"a\":1},{\"a\":1},[{\"a\":1}]],\"a\":{\"x\":1}}",
		"{\"\":1,\" \":1,\"b\":{},\"c\":{\"b\":[]}}",
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err;
		assert_int_equal(scan(rows[i], strlen(rows[i]), &err), 0);
	}
}

static char *nested(size_t depth, const char *inside)
{
	struct buffer text = {0};
	buffer_add_text(&text, "{\"a\":");
	for (size_t i = 1; i < depth; i++)
		buffer_add(&text, "[", 1);
	buffer_add_text(&text, inside);
	for (size_t i = 1; i < depth; i++)
		buffer_add(&text, "]", 1);
	buffer_add_text(&text, "}");
	return buffer_steal_text(&text);
}

static void test_limits(void **state)
{
	(void)state;
	struct error err;
	cleanup_json json_object *object = NULL;
	cleanup_free char *deep = nested(JSON_TEXT_DEPTH_MAX, "1");
	assert_int_equal(
		json_text_parse(deep, strlen(deep), json_type_object, "x", &object, &err), 0);
	assert_string_equal(deep, json_object_to_json_string_ext(object, JSON_C_TO_STRING_PLAIN));

	cleanup_free char *deeper = nested(JSON_TEXT_DEPTH_MAX + 1, "1");
	assert_true(scan(deeper, strlen(deeper), &err) < 0);
	assert_string_equal(
		err.message, "spec.json:1:37: objects and lists are nested deeper than 32");

	cleanup_free char *abyss = nested(500000, "");
	assert_true(scan(abyss, strlen(abyss), &err) < 0);

	char digits[JSON_NUMBER_MAX + 2];
	memset(digits, '1', sizeof(digits));
	digits[1] = '.';
	digits[JSON_NUMBER_MAX] = '\0';
	cleanup_free char *number = nested(1, digits);
	assert_int_equal(scan(number, strlen(number), &err), 0);
	digits[JSON_NUMBER_MAX] = '1';
	digits[JSON_NUMBER_MAX + 1] = '\0';
	cleanup_free char *longer = nested(1, digits);
	assert_true(scan(longer, strlen(longer), &err) < 0);
	assert_string_equal(
		err.message, "spec.json:1:6: a number of 129 characters, 128 are the limit");
}

/* As many keys as fit the limit, all different but the last: found without a pass for each. */
static void test_many_keys(void **state)
{
	(void)state;
	cleanup_buffer struct buffer text = {0};
	struct error err;
	buffer_add_text(&text, "{");
	for (unsigned i = 0; i < 100000; i++)
		buffer_printf(&text, "\"%x\":0,", i);
	size_t len = text.len;
	buffer_add_text(&text, "\"y\":0}");
	assert_int_equal(scan((char *)text.data, text.len, &err), 0);
	text.len = len;
	buffer_add_text(&text, "\"c350\":0}");
	assert_true(scan((char *)text.data, text.len, &err) < 0);
	assert_non_null(strstr(err.message, ": the key \"c350\" is there already, on line 1"));
}

/* Random JSON: what json-c writes of a random value, the scanner takes and json-c reads again. */
static json_object *random_value(struct random *random, unsigned depth)
{
	unsigned kind = random_below(random, depth > 5 ? 5 : 8);
	char text[16];
	size_t len = random_below(random, sizeof(text));
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(1 + random_below(random, 127));
	switch (kind) {
	case 0:
		return NULL;
	case 1:
		return json_object_new_boolean((int)random_below(random, 2));
	case 2:
		return json_object_new_int64((int64_t)random->state);
	case 3:
		return json_object_new_double((double)(int64_t)random->state / 1e6);
	case 4:
		return json_object_new_string_len(text, (int)len);
	case 5: {
		json_object *list = json_object_new_array();
		for (unsigned i = random_below(random, 4); i > 0; i--)
			json_object_array_add(list, random_value(random, depth + 1));
		return list;
	}
	default: {
		json_object *object = json_object_new_object();
		for (unsigned i = random_below(random, 4); i > 0; i--) {
			snprintf(text, sizeof(text), "k%u\n\"\xc3\xa9", random_below(random, 100));
			json_object_object_add(object, text, random_value(random, depth + 1));
		}
		return object;
	}
	}
}

static void test_random_json(void **state)
{
	(void)state;
	struct random random = {random_seed()};
	unsigned taken = 0, refused = 0;
	for (unsigned i = 0; i < 2000; i++) {
		cleanup_json json_object *object = json_object_new_object();
		json_object_object_add(object, "a", random_value(&random, 1));
		json_object_object_add(object, "b", random_value(&random, 1));
		const char *text = json_object_to_json_string_ext(
			object, random_below(&random, 2) ? JSON_C_TO_STRING_PLAIN
							 : JSON_C_TO_STRING_PRETTY);
		size_t len = strlen(text);
		cleanup_free char *copy = xmemdup(text, len);
		cleanup_json json_object *again = NULL;
		struct error err;
		int r = json_text_parse(copy, len, json_type_object, "x", &again, &err);
		if (r < 0)
			fail_msg("%s: %s", err.message, text);
		if (!json_object_equal(object, again))
			fail_msg("%s", text);

		/* Every part of it is no JSON. */
		size_t part = random_below(&random, (unsigned)len);
		cleanup_free char *cut = xmemdup(text, part);
		assert_true(scan(cut, part, &err) < 0);

		/* With a byte changed it may still be JSON: json-c must agree where it is. */
		copy[random_below(&random, (unsigned)len)] = (char)random_below(&random, 256);
		cleanup_json json_object *other = NULL;
		r = scan(copy, len, &err);
		if (r == 0 && json_text_parse(copy, len, json_type_object, "x", &other, &err) < 0)
			fail_msg("json-c: %s: %.*s", err.message, (int)len, copy);
		taken += r == 0;
		refused += r < 0;
	}
	/* Both happened, or the last check has checked nothing. */
	assert_true(taken > 100 && refused > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_json),
		cmocka_unit_test(test_keys_that_differ),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_random_json),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
