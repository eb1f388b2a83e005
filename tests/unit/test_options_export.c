/* argv of `layervm export`, `inspect` and `diff` to their options: values, and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/diff_options.h"
#include "commands/export_options.h"
#include "commands/inspect_options.h"
#include "option_rig.h"
#include "support/buffer.h"
#include "support/memory.h"

#define ARGUMENTS_MAX 12

struct options_case {
	const char *arguments[ARGUMENTS_MAX];
	const char *expected; /* what differs from the usual, or the error after "usage: " */
};

static void put_image(struct buffer *out, const struct image_choice *image)
{
	put_text(out, "name", image->name);
	put_text(out, "tag", image->tag);
	put_text(out, "architecture", image->architecture);
	put_text(out, "variant", image->variant);
}

static void check(
	const struct options_case *c, int r, const struct error *err, struct buffer *found)
{
	if (r < 0) {
		assert_int_equal(err->kind, ERROR_USAGE);
		buffer_free(found);
		buffer_printf(found, "usage: %s ", err->message);
	}
	cleanup_free char *text = buffer_steal_text(found);
	size_t len = strlen(text);
	if (len > 0)
		text[len - 1] = '\0';
	if (strcmp(text, c->expected) != 0)
		fail_msg("%s ...: expected\n%s\nfound\n%s", c->arguments[0], c->expected, text);
}

static const struct options_case export_cases[] = {
	{{"a.tar"}, "source=a.tar output=-"},
	{{"a.tar", "-o", "b.tar"}, "source=a.tar output=b.tar"},
	{{"-o", "b.tar.gz", "a.tar"}, "source=a.tar output=b.tar.gz compression=1"},
	{{"a", "--output=b.tgz", "--compression", "none"}, "source=a output=b.tgz"},
	{{"a", "-o", "b.zst"}, "source=a output=b.zst compression=2"},
	{{"a", "--compression", "zstd"}, "source=a output=- compression=2"},
	{{"a", "--name", "x.tar"}, "source=a output=x.tar"},
	{{"a", "--name", "x.tar", "-o", "/"}, "source=a output=//x.tar"},
	{{"a", "--name", "x.gz", "-o", "no/such/"}, "source=a output=no/such//x.gz compression=1"},
	{{"a", "--list"}, "source=a list=1"},
	{{"a", "--list", "--mtime", "7"}, "source=a list=1 same=1 seconds=7"},
	{{"a", "--mtime", "7", "--mtime", "keep"}, "source=a output=-"},
	{{"a", "--image", "b/c"}, "source=a output=- name=b/c tag=latest"},
	{{"a", "--image", "h:5000/c"}, "source=a output=- name=h:5000/c tag=latest"},
	{{"a", "--image", "h:5000/c:1"}, "source=a output=- name=h:5000/c tag=1"},
	{{"a", "--platform", "linux/arm/v7"}, "source=a output=- architecture=arm variant=v7"},
	{{"a", "--platform", "linux/arm/v7", "--platform", "linux/amd64"},
		"source=a output=- architecture=amd64"},
	{{"a", "--vm", "--memory", "1G", "--disk-size", "2G", "--accel", "tcg"},
		"source=a output=- vm=1 memory=1024 disk_size=2048 accel=2"},
	{{"a", "--root", "/dev/sda2"}, "source=a output=- root=/dev/sda2"},
	{{"a", "--verify"}, "source=a output=- verify=1"},
	{{"-"}, "source=- output=-"},
	{{"a", "-h", "--no-such-flag"}, "help=1"},

	{{NULL}, "usage: the image is missing; see layervm export --help"},
	{{""}, "usage: the path of the image is empty"},
	{{"a", "b"}, "usage: one image is taken, here are a and b"},
	{{"a", "-o", ""}, "usage: --output: is empty"},
	{{"a", "-o"}, "usage: --output: FILE is missing"},
	{{"a", "-o", "/"},
		"usage: --output: / is a folder; name the file to write, or give it a --name "
		"there"},
	{{"a", "-o", "b", "--name", "c"}, "usage: --name: --output b names the file already"},
	{{"a", "--name", "b/c"},
		"usage: --name: is \"b/c\", a file's name without a folder is wanted"},
	{{"a", "--name", ".."},
		"usage: --name: is \"..\", a file's name without a folder is wanted"},
	{{"a", "--list", "--name", "b"},
		"usage: --name: has no place beside --list, which writes no tar"},
	{{"a", "--list", "--compression", "gzip"},
		"usage: --compression: has no place beside --list, which writes no tar"},
	{{"a", "--platform", "linux"},
		"usage: --platform: is \"linux\", linux/ARCH or linux/ARCH/VARIANT is wanted"},
	{{"a", "--platform", "linux/arm/v7/x"},
		"usage: --platform: is \"linux/arm/v7/x\", linux/ARCH or linux/ARCH/VARIANT is "
		"wanted"},
	{{"a", "--platform", "linux/arm/"},
		"usage: --platform: is \"linux/arm/\", linux/ARCH or linux/ARCH/VARIANT is wanted"},
	{{"a", "--image", "b:"}, "usage: --image: is \"b:\", NAME or NAME:TAG is wanted"},
	{{"a", "--imag"}, "usage: --image: NAME[:TAG] is missing"},
	{{"a", "--imgae"}, "usage: --imgae: there is no such flag; did you mean --image?"},
	{{"a", "-x"}, "usage: -x: there is no such flag; layervm export --help lists them"},
	{{"a", "--list=1"}, "usage: --list: takes no value"},
};

static void test_export(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(export_cases) / sizeof(export_cases[0]); i++) {
		const struct options_case *c = &export_cases[i];
		char *argv[ARGUMENTS_MAX + 2];
		cleanup_export_options struct export_options options = {0};
		cleanup_buffer struct buffer found = {0};
		struct error err;
		int argc = rig_argv("export", c->arguments, ARGUMENTS_MAX, argv);
		int r = export_options_parse(argc, argv, STDERR_FILENO, &options, &err);
		assert_non_null(options.report);
		put_number(&found, "help", options.help, false);
		if (!options.help) {
			put_text(&found, "source", options.source);
			put_text(&found, "output", options.output);
			put_number(&found, "list", options.list, false);
			put_number(&found, "compression", options.compression.compression, 0);
			put_number(&found, "same", options.mtime.same, false);
			put_number(&found, "seconds", options.mtime.seconds, 0);
			put_image(&found, &options.image);
			put_text(&found, "root", options.root);
			put_number(&found, "verify", options.verify, false);
			put_number(&found, "vm", options.guest.use, false);
			put_number(&found, "memory", options.guest.memory, 512);
			put_number(&found, "disk_size", options.guest.disk_size, 1024);
			put_number(&found, "accel", options.guest.accel, VM_ACCEL_AUTO);
		}
		check(c, r, &err, &found);
		rig_argv_free(argv);
	}
}

static const struct options_case inspect_cases[] = {
	{{"a"}, "source=a"},
	{{"a", "--format", "json", "--image", "b:1"}, "source=a format=1 name=b tag=1"},
	{{"a", "--format", "json", "--format", "text"}, "source=a"},
	{{NULL}, "usage: the image is missing; see layervm inspect --help"},
	{{"a", "b"}, "usage: one image is taken, here are a and b"},
	{{"a", "--format", "yaml"}, "usage: --format: is \"yaml\", text or json is wanted"},
};

static void test_inspect(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(inspect_cases) / sizeof(inspect_cases[0]); i++) {
		const struct options_case *c = &inspect_cases[i];
		char *argv[ARGUMENTS_MAX + 2];
		cleanup_inspect_options struct inspect_options options = {0};
		cleanup_buffer struct buffer found = {0};
		struct error err;
		int argc = rig_argv("inspect", c->arguments, ARGUMENTS_MAX, argv);
		int r = inspect_options_parse(argc, argv, STDERR_FILENO, &options, &err);
		put_text(&found, "source", options.source);
		put_number(&found, "format", options.format, INSPECT_TEXT);
		put_image(&found, &options.image);
		check(c, r, &err, &found);
		rig_argv_free(argv);
	}
}

static const struct options_case diff_cases[] = {
	{{"a", "b"}, "a=a b=b"},
	{{"-v", "a", "--layer", "l.tar", "-"}, "a=a b=- verbose=1 layer=l.tar"},
	{{"a", "b", "--verify"}, "a=a b=b verify=1"},
	{{"a", "b", "--image-a", "x:1", "--image-b", "y"},
		"a=a name=x tag=1 b=b name=y tag=latest"},
	{{"a", "b", "--platform", "linux/arm/v6"},
		"a=a architecture=arm variant=v6 b=b architecture=arm variant=v6"},
	{{"a", "b", "--layer", "-"}, "a=a b=b layer=-"},
	{{NULL}, "usage: two images are wanted, there is none; see layervm diff --help"},
	{{"a"}, "usage: two images are wanted, there is one; see layervm diff --help"},
	{{"a", "b", "c"}, "usage: two images are taken, c is a third"},
	{{"-", "-"}, "usage: standard input cannot be both images"},
	{{"a", "b", "--image", "x"},
		"usage: --image: is the beginning of 2 flags; layervm diff --help lists them"},
};

static void test_diff(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(diff_cases) / sizeof(diff_cases[0]); i++) {
		const struct options_case *c = &diff_cases[i];
		char *argv[ARGUMENTS_MAX + 2];
		cleanup_diff_options struct diff_options options = {0};
		cleanup_buffer struct buffer found = {0};
		struct error err;
		int argc = rig_argv("diff", c->arguments, ARGUMENTS_MAX, argv);
		int r = diff_options_parse(argc, argv, STDERR_FILENO, &options, &err);
		put_text(&found, "a", options.paths[0]);
		put_image(&found, &options.images[0]);
		put_text(&found, "b", options.paths[1]);
		put_image(&found, &options.images[1]);
		put_number(&found, "verbose", options.verbose, false);
		put_number(&found, "verify", options.verify, false);
		put_text(&found, "layer", options.layer);
		check(c, r, &err, &found);
		rig_argv_free(argv);
	}
}

/* By hand standard output is a terminal, where no tar goes. */
static int no_terminal(void **state)
{
	(void)state;
	if (isatty(STDOUT_FILENO))
		return freopen("/dev/null", "w", stdout) != NULL ? 0 : -1;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_inspect),
		cmocka_unit_test(test_diff),
	};
	return cmocka_run_group_tests(tests, no_terminal, NULL);
}
