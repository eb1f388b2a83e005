/* spec_check: the last look at a spec, flags included, with the files that it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spec/spec.h"
#include "support/buffer.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A folder with an empty file base.tar and an empty folder root. */
static int make_folder(void **state)
{
	char *folder = xstrdup("/tmp/layervm-test-check-XXXXXX");
	*state = folder;
	if (mkdtemp(folder) == NULL)
		return -1;
	cleanup_free char *base = xasprintf("%s/base.tar", folder);
	cleanup_free char *root = xasprintf("%s/root", folder);
	cleanup_close int fd = open(base, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return fd < 0 || mkdir(root, 0700) < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
	cleanup_free char *folder = *state;
	cleanup_free char *base = xasprintf("%s/base.tar", folder);
	cleanup_free char *root = xasprintf("%s/root", folder);
	unlink(base);
	rmdir(root);
	return rmdir(folder);
}

/* A spec that spec_check takes, with the parts that a row changes. */
struct check_row {
	const char *name;
	const char *tag;
	const char *architecture;
	const char *base; /* in the test's folder */
	const char *copy;
	const char *expected; /* "" : taken; DIR stands for the folder */
};

static char *replace_folder(const char *text, const char *folder)
{
	struct buffer out = {0};
	const char *at;
	while ((at = strstr(text, "DIR")) != NULL) {
		buffer_add(&out, text, (size_t)(at - text));
		buffer_add_text(&out, folder);
		text = at + 3;
	}
	buffer_add_text(&out, text);
	return buffer_steal_text(&out);
}

static void test_check(void **state)
{
	const char *folder = *state;
	static const struct check_row rows[] = {
		{"a", NULL, "amd64", NULL, NULL, ""},
		{"localhost:5000/a/b", "v1", "arm64", "base.tar", "root", ""},
		{"a", NULL, "amd64", NULL, "base.tar", ""},
		{NULL, NULL, "amd64", NULL, NULL,
			"name: is missing; \"name\" in the spec or -t NAME:TAG gives it"},
		{"Hello", NULL, "amd64", NULL, NULL,
			"name: \"Hello\" has upper-case letters; \"hello\" would do"},
		{"a:b", NULL, "amd64", NULL, NULL,
			"name: takes no tag (\"tag\" does): \"a:b\" is no image name: \"a:b\" is "
			"not "
			"lower-case letters and digits with single '.', '_', '__' or '-' between"},
		{"a", "x y", "amd64", NULL, NULL,
			"tag: \"x y\" is no tag: 1 to 128 letters, digits, '_', '.' and '-' are, "
			"not "
			"beginning with '.' or '-'"},
		{"a", NULL, "x86_64", NULL, NULL,
			"architecture: \"x86_64\" is no architecture of Go's list; did you mean "
			"\"amd64\"?"},
		{"a", NULL, "amd46", NULL, NULL,
			"architecture: \"amd46\" is no architecture of Go's list; did you mean "
			"\"amd64\"?"},
		{"a", NULL, "z", NULL, NULL,
			"architecture: \"z\" is no architecture of Go's list, such as amd64, "
			"arm64, "
			"arm or 386"},
		{"a", NULL, "amd64", "none.tar", NULL,
			"fromImage: DIR/none.tar: No such file or directory"},
		{"a", NULL, "amd64", "root", NULL, ""},
		{"a", NULL, "amd64", NULL, "none",
			"copyToRoot: DIR/none: No such file or directory"},
		{"a", NULL, "amd64", NULL, "../../dev/null",
			"copyToRoot: DIR/../../dev/null: is neither a folder nor a regular file"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_spec struct build_spec *spec = spec_new();
		cleanup_free char *expected = replace_folder(rows[i].expected, folder);
		struct error err = {0};
		spec->name = rows[i].name != NULL ? xstrdup(rows[i].name) : NULL;
		spec->tag = rows[i].tag != NULL ? xstrdup(rows[i].tag) : NULL;
		free(spec->architecture);
		spec->architecture = xstrdup(rows[i].architecture);
		if (rows[i].base != NULL)
			spec->from_image = xasprintf("%s/%s", folder, rows[i].base);
		if (rows[i].copy != NULL) {
			cleanup_free char *copy = xasprintf("%s/%s", folder, rows[i].copy);
			spec_add_copy(spec, copy);
		}
		int r = spec_check(spec, &err);
		assert_string_equal(r < 0 ? err.message : "", expected);
		assert_true(r == 0 || err.kind == ERROR_SPEC);
	}
}

static void test_check_ranges(void **state)
{
	(void)state;
	static const struct {
		uint32_t disk_size, memory_size;
		int64_t created;
		uint32_t uid, gid;
		const char *expected;
	} rows[] = {
		{1, 64, 0, 0, 0, ""},
		{65536, 1048576, SPEC_TIME_MAX, 4294967294, 4294967294, ""},
		{0, 512, 1, 0, 0, "diskSize: is 0, 1 to 65536 is wanted"},
		{1, 63, 1, 0, 0, "buildVMMemorySize: is 63, 64 to 1048576 is wanted"},
		{1, 64, -1, 0, 0, "created: is -1, 0 to 253402300799 is wanted"},
		{1, 64, SPEC_TIME_MAX + 1, 0, 0,
			"created: is 253402300800, 0 to 253402300799 is wanted"},
		{1, 64, 1, 4294967295, 0, "uid: is 4294967295, 0 to 4294967294 is wanted"},
		{1, 64, 1, 0, 4294967295, "gid: is 4294967295, 0 to 4294967294 is wanted"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_spec struct build_spec *spec = spec_new();
		struct error err = {0};
		spec->name = xstrdup("a");
		spec->disk_size = rows[i].disk_size;
		spec->memory_size = rows[i].memory_size;
		spec->created = rows[i].created;
		spec->uid = rows[i].uid;
		spec->gid = rows[i].gid;
		int r = spec_check(spec, &err);
		assert_string_equal(r < 0 ? err.message : "", rows[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_check, make_folder, remove_folder),
		cmocka_unit_test(test_check_ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
