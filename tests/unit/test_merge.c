/*
 * What the members of a layer mean: cleaned names, aufs's own, whiteouts wherever they stand. Each
 * case gives the same tree whatever the order of whiteouts and entries.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layer/layer.h"
#include "layer_text.h"
#include "random_tree.h"
#include "support/memory.h"
#include "tree_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Layers in the language of layer_text.h. */
struct merge_case {
	const char *layers[4];
	const char *expected; /* NULL: must fail */
	const char *error;    /* words that the message must have */
};

static void check_case(const struct merge_case *c)
{
	cleanup_tree struct tree *tree = tree_new();
	const char *last = "";
	struct error err;
	int r = 0;
	for (size_t i = 0; r == 0 && i < COUNT(c->layers) && c->layers[i] != NULL; i++) {
		last = c->layers[i];
		r = layer_text_apply(tree, last, &err);
	}
	if (c->expected == NULL) {
		if (r == 0 || strstr(err.message, c->error) == NULL)
			fail_msg("%s: %s", last, r == 0 ? "did not fail" : err.message);
		assert_int_equal(err.kind, ERROR_INPUT);
		return;
	}
	if (r < 0)
		fail_msg("%s: %s", last, err.message);
	cleanup_free char *found = layer_text_of(tree);
	if (strcmp(found, c->expected) != 0)
		fail_msg("%s: expected %s, found %s", last, c->expected, found);
}

/* ".." takes back the part before it, as umoci and containerd read it; out of the image is none. */
static void test_names(void **state)
{
	static const struct merge_case cases[] = {
		{{"f a/../b=1"}, "f b=1", NULL},
		{{"f a/b/../../c=1"}, "f c=1", NULL},
		{{"f /a/.././/b/./c/../d=1"}, "d b;f b/d=1", NULL},
		{{"D a/..;f x=1"}, "f x=1", NULL},
		{{"f b=1;h c>x/../b"}, "f b=1;h c=b", NULL},
		{{"f b=1;f c=2", "f x/../.wh.b="}, "f c=2", NULL},
		{{"d a;f a/x=1", "f a/y/../.wh..wh..opq="}, "d a", NULL},
		/* As the words say, whatever the symlink leads to. */
		{{"d d/e;l s>d/e;f s/../b=1"}, "f b=1;d d;d d/e;l s>d/e", NULL},
		{{"f ..=1"}, NULL, "leads out of the image"},
		{{"f a/../../x=1"}, NULL, "leads out of the image"},
		{{"f /../x=1"}, NULL, "leads out of the image"},
		{{"f x=1;h c>a/../../x"}, NULL, "leads out of the image"},
		{{"f x=1", "f a/../../.wh.x="}, NULL, "leads out of the image"},
		{{"f x=1", "f ../.wh..wh..opq="}, NULL, "leads out of the image"},
		{{"f x/..=1"}, NULL, "the root is to be no directory"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		check_case(&cases[i]);
}

/* Docker on aufs wrote a file of several names once, below .wh..wh.plnk, and links to it. */
static void test_aufs(void **state)
{
	static const struct merge_case cases[] = {
		{{"d .wh..wh.plnk;f .wh..wh.plnk/1.2=hey;h a>.wh..wh.plnk/1.2"}, "f a=hey", NULL},
		{{"f .wh..wh.plnk/1.2=hey;h a>.wh..wh.plnk/1.2;h d/b>./.wh..wh.plnk/1.2"},
			"f a=hey;d d;h d/b=a", NULL},
		{{"f d/.wh..wh.plnk/1=x;h a>d/.wh..wh.plnk/1;f .wh..wh.plnk/1=y;h "
		  "b>.wh..wh.plnk/1"},
			"f a=x;f b=y", NULL},
		{{"f old=1", "f .wh..wh.plnk/1=x;h a>.wh..wh.plnk/1;f .wh.old="}, "f a=x", NULL},
		{{"l .wh..wh.plnk/1>a;h b>.wh..wh.plnk/1;p .wh..wh.plnk/2;h c>.wh..wh.plnk/2"},
			"l b>a;p c", NULL},
		{{"f .wh..wh.plnk/1=x;f .wh..wh.plnk/1=y;h a>.wh..wh.plnk/1"}, "f a=y", NULL},
		{{"d .wh..wh.orph;f .wh..wh.orph/x=1;f .wh..wh.aufs=;d d/.wh..wh.x/y;f a=1"},
			"f a=1", NULL},
		{{"f a=1;f .wh..wh..opq/x=1;f .wh..wh.plnk/d/x=1;f .wh..wh.plnk/.wh.a="}, "f a=1",
			NULL},
		{{"f a=1;h .wh..wh.plnk/1>a;d .wh..wh.plnk/2"}, "f a=1", NULL},
		{{"f a=1", "l .wh..wh.plnk>a;f b=1"}, "f a=1;f b=1", NULL},
		/* The files are of one layer only, and links to what is no file find nothing. */
		{{"f .wh..wh.plnk/1=x", "h a>.wh..wh.plnk/1"}, NULL, "not there"},
		{{"d .wh..wh.plnk/1;h a>.wh..wh.plnk/1"}, NULL, "not there"},
		{{"f .wh..wh.orph/1=x;h a>.wh..wh.orph/1"}, NULL, "not there"},
		{{"h a>.wh..wh.plnk/1;f .wh..wh.plnk/1=x"}, NULL, "not there"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		check_case(&cases[i]);
}

/* Whiteouts count for the lower layers, and first. "D" is a directory with metadata of its own. */
static void test_order(void **state)
{
	static const struct merge_case cases[] = {
		{{"d d;D d/s", "f d/s/f=1;f d/.wh..wh..opq="}, "d d;d d/s;f d/s/f=1", NULL},
		{{"d d;D d/s", "f d/.wh..wh..opq=;f d/s/f=1"}, "d d;d d/s;f d/s/f=1", NULL},
		{{"D d;D d/s", "f d/s/f=1;f .wh.d="}, "d d;d d/s;f d/s/f=1", NULL},
		{{"D d;D d/s", "f .wh.d=;f d/s/f=1"}, "d d;d d/s;f d/s/f=1", NULL},
		{{"d d;d d/s", "D d/s;f d/s/f=1;f d/.wh..wh..opq="}, "d d;D d/s;f d/s/f=1", NULL},
		{{"f x=1", "f x=2;f .wh.x="}, "f x=2", NULL},
		{{"f x=1", "f .wh.x=;f x=2"}, "f x=2", NULL},
		{{"d d;f d/x=1;f d/y=1", "f d/.wh.x=;f .wh.d=;f d/z=1"}, "d d;f d/z=1", NULL},
		{{"d d;f d/x=1", "f n/.wh..wh..opq=;d n;f n/x=1"}, "d d;f d/x=1;d n;f n/x=1", NULL},
		{{"f x=1", "d x;f x/y=1;f x/.wh..wh..opq="}, "d x;f x/y=1", NULL},
		/* A link has to lead to what the layer leaves. */
		{{"d d;f d/x=1", "h y>d/x;f d/.wh..wh..opq="}, NULL, "not there"},
		{{"d d;f d/x=1", "f d/.wh..wh..opq=;h y>d/x"}, NULL, "not there"},
		/* overlayfs marks a directory in a symlink's place as opaque. */
		{{"f d/x=1;l s>d", "d s;f s/.wh..wh..opq=;f s/y=2"}, "d d;f d/x=1;d s;f s/y=2",
			NULL},
		{{"f d/x=1;l s>d", "f s/.wh..wh..opq=;f s/.wh.x=;d s"}, "d d;f d/x=1;d s", NULL},
		{{"f d/x=1;l s>d", "f s/.wh..wh..opq=;f .wh.s="}, "d d;f d/x=1", NULL},
		{{"f d/x=1;l s>d", "f .wh.s=;f s/.wh.x="}, "d d;f d/x=1", NULL},
		{{"f d/x=1;l s>d;l t>d", "f .wh.s=;f t/.wh.x="}, "d d;l t>d", NULL},
		/* An entry goes through a symlink that stays, and not through one that does not. */
		{{"d d;l s>d", "f s/f=1;f .wh.s="}, "d d;d s;f s/f=1", NULL},
		{{"d d;l s>d", "f .wh.s=;f s/f=1"}, "d d;d s;f s/f=1", NULL},
		{{"d d;l s>d", "f s/f=1;d s"}, "d d;f d/f=1;d s", NULL},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		check_case(&cases[i]);
}

/* A path of so many bytes: parts of one byte, and one of two where that is even. */
static char *long_path(size_t len)
{
	char *path = xmalloc(len + 1);
	for (size_t i = 0; i < len; i++)
		path[i] = i % 2 == 1 && i + 1 < len ? '/' : 'a';
	path[len] = '\0';
	return path;
}

static int apply_one(const char *format, const char *path, struct error *err)
{
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer text = {0};
	buffer_add_text(&text, "f x=1;");
	/* The formats are this file's own. */
	const char *at = strchr(format, '@');
	buffer_add(&text, format, (size_t)(at - format));
	buffer_add_text(&text, path);
	buffer_add_text(&text, at + 1);
	cleanup_free char *layer = buffer_steal_text(&text);
	return layer_text_apply(tree, layer, err);
}

static void test_lengths(void **state)
{
	static const char *const formats[] = {"f @=1", "d ./@", "l @>x", "h @>x"};
	cleanup_free char *most = long_path(4095);
	cleanup_free char *over = long_path(4096);
	cleanup_free char *far = long_path(500000);
	cleanup_free char *farthest = long_path(1000000);
	cleanup_free char *directory = long_path(4093);
	cleanup_free char *whiteout = xasprintf("%s/.wh.a", directory);
	cleanup_free char *part = xmalloc(512);
	struct error err;
	(void)state;
	for (size_t i = 0; i < COUNT(formats); i++) {
		if (apply_one(formats[i], most, &err) < 0)
			fail_msg("%s: %s", formats[i], err.message);
		assert_int_equal(apply_one(formats[i], over, &err), -ENAMETOOLONG);
		assert_non_null(strstr(err.message, "a path of 409"));
		assert_int_equal(err.kind, ERROR_INPUT);
		assert_int_equal(apply_one(formats[i], far, &err), -ENAMETOOLONG);
	}
	/* libarchive would pass over such a record, and give another name. */
	assert_int_equal(apply_one("f @=1", farthest, &err), -EINVAL);
	assert_non_null(strstr(err.message, "of its pax header is no record"));
	/* A whiteout's prefix does not count. */
	assert_int_equal(strlen(whiteout), 4099);
	if (apply_one("f @=", whiteout, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(apply_one("h b>@", over, &err), -ENAMETOOLONG);
	memset(part, 'p', 512);
	part[255] = '\0';
	assert_int_equal(apply_one("f @=", part, &err), 0);
	assert_int_equal(apply_one("f .wh.@=", part, &err), 0);
	part[255] = 'p';
	part[256] = '\0';
	assert_int_equal(apply_one("f @=", part, &err), -ENAMETOOLONG);
	assert_int_equal(apply_one("f .wh.@=", part, &err), -ENAMETOOLONG);
	assert_int_equal(apply_one("f .wh.@/x=", part, &err), -ENAMETOOLONG);
}

/* What a hostile image may make of the host's memory: the last that is taken, and one more. */
static void test_tree_limits(void **state)
{
	static const struct {
		const char *lower, *upper;
		uint64_t names, bytes;
		const char *words; /* NULL: taken */
	} cases[] = {
		{"f a=1;f b=1;f c=1", "", 3, 100000, NULL},
		{"f a=1;f b=1;f c/d=1", "", 3, 100000, "more than 3 names"},
		{"f a=1", "f b=1;f c=1", 3, 100000, NULL},
		{"f a=1", "f b=1;d c/d", 3, 100000, "more than 3 names"},
		{"f a=1", "f .wh.a=;h b>c;f c=1", 3, 100000, "not there"},
		/* Replaced ones count, or the same names could come for ever. */
		{"f a=1", "f a=2;f a=3;f a=4;f a=5;f a=6;f a=7", 9, 800, "more than 800 bytes"},
		{"f .wh..wh.plnk/1=1;f .wh..wh.plnk/1=1;f .wh..wh.plnk/1=1", "", 9, 400,
			"more than 400 bytes"},
		{"f a=1", "", 9, 800, NULL},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		cleanup_tree struct tree *tree = tree_new();
		struct error err;
		tree_set_limits(tree, cases[i].names, cases[i].bytes);
		int r = layer_text_apply(tree, cases[i].lower, &err);
		if (r == 0)
			r = layer_text_apply(tree, cases[i].upper, &err);
		if (cases[i].words == NULL && r < 0)
			fail_msg("case %zu: %s", i, err.message);
		if (cases[i].words != NULL &&
			(r == 0 || strstr(err.message, cases[i].words) == NULL))
			fail_msg("case %zu: %s", i, r == 0 ? "did not fail" : err.message);
	}
}

/* A path of few names, which meet often. */
static char *random_path(struct random *random)
{
	char path[16];
	size_t len = 0;
	for (uint32_t depth = random_below(random, 3); depth > 0; depth--)
		len += (size_t)sprintf(path + len, "%c/", 'a' + random_below(random, 3));
	sprintf(path + len, "%c", 'a' + random_below(random, 4));
	return xstrdup(path);
}

static char *random_member(struct random *random)
{
	cleanup_free char *path = random_path(random);
	cleanup_free char *other = random_path(random);
	switch (random_below(random, 12)) {
	case 0:
	case 4:
		return xasprintf("D %s", path);
	case 1:
	case 5:
	case 6:
		return xasprintf("d %s", path);
	case 2:
		return xasprintf("l %s>/%s", path, other);
	case 3:
		return xasprintf("h %s>%s", path, other);
	default:
		return xasprintf("f %s=%u", path, random_below(random, 100));
	}
}

static char *random_whiteout(struct random *random)
{
	cleanup_free char *path = random_path(random);
	char *slash = strrchr(path, '/');
	const char *last = slash != NULL ? slash + 1 : path;
	int dir_len = (int)(last - path);
	if (random_below(random, 3) == 0)
		return xasprintf("f %s/.wh..wh..opq=", path);
	return xasprintf("f %.*s.wh.%s=", dir_len, path, last);
}

/* A lower tree: members that the ones before allow. */
static void make_lower(struct random *random, struct buffer *lower)
{
	for (int i = 0; i < 16; i++) {
		cleanup_tree struct tree *tree = tree_new();
		cleanup_free char *member = random_member(random);
		struct error err;
		size_t before = lower->len;
		buffer_printf(lower, "%s%s", before != 0 ? ";" : "", member);
		cleanup_free char *text = xstrndup((const char *)lower->data, lower->len);
		if (layer_text_apply(tree, text, &err) < 0)
			lower->len = before;
	}
}

#define MEMBERS 6
#define WHITEOUTS 4

/* The upper layer with its whiteouts before the entries that `places` says. */
static char *apply_upper(
	const char *lower, char *const *entries, char *const *whiteouts, const uint32_t *places)
{
	cleanup_tree struct tree *tree = tree_new();
	cleanup_buffer struct buffer upper = {0};
	struct error err;
	size_t next = 0;
	for (uint32_t i = 0; i <= MEMBERS; i++) {
		for (; next < WHITEOUTS && places[next] <= i; next++)
			buffer_printf(&upper, ";%s", whiteouts[next]);
		if (i < MEMBERS)
			buffer_printf(&upper, ";%s", entries[i]);
	}
	cleanup_free char *text = buffer_steal_text(&upper);
	assert_int_equal(layer_text_apply(tree, lower, &err), 0);
	if (layer_text_apply(tree, text + 1, &err) < 0)
		return xstrdup("refused");
	return tree_text(tree);
}

/* In order: the whiteouts among themselves keep theirs. */
static void random_places(struct random *random, uint32_t *places)
{
	uint32_t least = 0;
	for (size_t i = 0; i < WHITEOUTS; i++) {
		places[i] = least + random_below(random, MEMBERS + 1 - least);
		least = places[i];
	}
}

static void test_whiteouts_anywhere(void **state)
{
	struct random random = {*(const uint64_t *)*state};
	unsigned taken = 0;
	for (int i = 0; i < 500; i++) {
		char *entries[MEMBERS], *whiteouts[WHITEOUTS];
		uint32_t places[WHITEOUTS] = {0};
		cleanup_buffer struct buffer text = {0};
		make_lower(&random, &text);
		cleanup_free char *lower = buffer_steal_text(&text);
		for (size_t k = 0; k < MEMBERS; k++)
			entries[k] = random_member(&random);
		for (size_t k = 0; k < WHITEOUTS; k++)
			whiteouts[k] = random_whiteout(&random);
		cleanup_free char *first = apply_upper(lower, entries, whiteouts, places);
		for (int k = 0; k < 4; k++) {
			random_places(&random, places);
			cleanup_free char *found = apply_upper(lower, entries, whiteouts, places);
			assert_string_equal(found, first);
		}
		taken += strcmp(first, "refused") != 0;
		for (size_t k = 0; k < MEMBERS; k++)
			free(entries[k]);
		for (size_t k = 0; k < WHITEOUTS; k++)
			free(whiteouts[k]);
	}
	print_message("%u of 500 layers were taken\n", taken);
	assert_true(taken > 10);
}

int main(void)
{
	uint64_t seed = random_seed();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_aufs),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_tree_limits),
		cmocka_unit_test_prestate(test_whiteouts_anywhere, &seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
