/* argv of `layervm build` to struct build_options: flags alone, flags over a spec, and errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/build_options.h"
#include "option_rig.h"
#include "support/architecture.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ARGUMENTS_MAX 24

/* What each test finds in its working folder. */
static const struct rig_file files[] = {
	{"base.tar", ""},
	{"full.json",
		"{\"name\":\"spec\",\"tag\":\"v0\",\"fromImage\":\"base.tar\",\"copyToRoot\":["
		"\"a\",\"b\"],"
		"\"runAsRoot\":\"spec script\",\"extraCommands\":\"spec extra\",\"diskSize\":10,"
		"\"buildVMMemorySize\":100,\"created\":\"1970-01-02\",\"uid\":1,\"gid\":2,"
		"\"architecture\":\"arm64\",\"config\":{\"Env\":[\"A=1\",\"B=2\"],\"Cmd\":["
		"\"spec\"],"
		"\"Labels\":{\"l\":\"1\"}}}"},
	{"now.json", "{\"name\":\"n\",\"created\":\"now\"}"},
	{"half.json", "{\"name\":\"n\",\"fromImageName\":\"x\"}"},
	{"bad.json", "{\"name\":\"n\",\"diskSize\":\"2G\"}"},
	{"script.sh", "#!/bin/sh\necho hi\n"},
	{"a", ""},
	{"b", ""},
};

static const char *const folders[] = {"root", NULL};

/* A script with a byte that none can have. */
static int write_nul(void)
{
	FILE *file = fopen("nul.sh", "we");
	if (file == NULL)
		return -1;
	size_t written = fwrite("echo\0", 1, 5, file);
	return fclose(file) == 0 && written == 5 ? 0 : -1;
}

static int enter_folder(void **state)
{
	int r = rig_enter(state, folders, files, COUNT(files));
	return r < 0 ? r : write_nul();
}

static int leave_folder(void **state)
{
	unlink("nul.sh");
	return rig_leave(state, folders, files, COUNT(files));
}

static void dump_text(struct buffer *out, const char *name, const char *value, const char *usual)
{
	if (value == NULL ? usual != NULL : usual == NULL || strcmp(value, usual) != 0)
		buffer_printf(out, "%s=%s\n", name, value != NULL ? value : "(null)");
}

static void dump_number(struct buffer *out, const char *name, int64_t value, int64_t usual)
{
	if (value != usual)
		buffer_printf(out, "%s=%lld\n", name, (long long)value);
}

static void dump_spec(struct buffer *out, const struct build_spec *spec)
{
	const char *host = architecture_of_host();
	dump_text(out, "from_image", spec->from_image, NULL);
	dump_text(out, "from_image_name", spec->from_image_name, NULL);
	dump_text(out, "from_image_tag", spec->from_image_tag, NULL);
	for (char **path = spec->copy_to_root; *path != NULL; path++)
		dump_text(out, "copy_to_root", *path, NULL);
	dump_number(out, "keep_contents_dirlinks", spec->keep_contents_dirlinks, false);
	dump_text(out, "run_as_root", spec->run_as_root, NULL);
	dump_text(out, "extra_commands", spec->extra_commands, "");
	if (spec->config != NULL)
		dump_text(out, "config",
			json_object_to_json_string_ext(spec->config,
				JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			NULL);
	dump_text(out, "architecture", spec->architecture, host);
	dump_number(out, "disk_size", spec->disk_size, 1024);
	dump_number(out, "memory_size", spec->memory_size, 512);
	dump_number(out, "created", spec->created, 1);
	dump_number(out, "uid", spec->uid, 0);
	dump_number(out, "gid", spec->gid, 0);
}

/* The tags, and all else that differs from `-t t -o out`. */
static char *dump(const struct build_options *options)
{
	struct buffer out = {0};
	char **tags = build_tags(options, "DERIVED");
	for (char **tag = tags; *tag != NULL; tag++)
		buffer_printf(&out, "%s%s", tag == tags ? "" : " ", *tag);
	build_tags_free(tags);
	assert_string_equal(options->spec->name, options->tags[0].name);
	if (options->spec->tag != NULL)
		assert_string_equal(options->spec->tag, options->tags[0].tag);
	else
		assert_null(options->tags[0].tag);
	buffer_add_text(&out, "\n");
	dump_spec(&out, options->spec);
	dump_text(&out, "output", options->output, "out");
	dump_text(&out, "iidfile", options->iidfile, NULL);
	dump_text(&out, "metadata_file", options->metadata_file, NULL);
	dump_text(&out, "keep", options->keep, NULL);
	dump_number(&out, "compression", options->compression, IMAGE_PLAIN);
	dump_number(&out, "no_cache", options->no_cache, false);
	dump_number(&out, "verify", options->verify, false);
	dump_number(&out, "timeout", options->timeout, 0);
	dump_number(&out, "cpus", options->cpus, 0);
	dump_number(&out, "log_limit", (int64_t)options->log_limit, 1 << 30);
	dump_number(&out, "accel", options->accel, VM_ACCEL_AUTO);
	if (options->has_source_date_epoch)
		dump_number(&out, "source_date_epoch", options->source_date_epoch, -1);
	return buffer_steal_text(&out);
}

/*
 * Parses "build" and the arguments. *shown: the dump, or the error; *warnings: the report's own.
 * Returns the result of build_options_parse, the error's kind in *kind.
 */
static int parse(const char *const *arguments, char **shown, char **warnings, enum error_kind *kind)
{
	char *argv[ARGUMENTS_MAX + 2];
	int argc = rig_argv("build", arguments, ARGUMENTS_MAX, argv);
	struct error err = {0};
	struct build_options *options = NULL;
	struct buffer text = {0};
	int fd = memfd_create("report", MFD_CLOEXEC);
	assert_true(fd >= 0);
	int r = build_options_parse(argc, argv, fd, &options, &err);
	assert_non_null(options);
	assert_non_null(options->report);
	if (r < 0)
		*shown = xstrdup(err.message);
	else
		*shown = options->help ? xstrdup("help") : dump(options);
	*kind = err.kind;
	build_options_free(options);
	struct error ignored;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(fd, 1 << 20, &text, "report", &ignored), 0);
	close(fd);
	*warnings = buffer_steal_text(&text);
	rig_argv_free(argv);
	return r;
}

struct row {
	const char *arguments[ARGUMENTS_MAX];
	const char *expected;
	const char *warnings;
	enum error_kind kind; /* of an error */
};

static void run_rows(const struct row *rows, size_t count, bool good)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *shown = NULL, *warnings = NULL;
		enum error_kind kind;
		int r = parse(rows[i].arguments, &shown, &warnings, &kind);
		if ((r == 0) != good || strcmp(shown, rows[i].expected) != 0)
			print_message("row %zu: %s\n", i, rows[i].arguments[0]);
		assert_string_equal(shown, rows[i].expected);
		assert_int_equal(r == 0, good);
		assert_string_equal(warnings, rows[i].warnings != NULL ? rows[i].warnings : "");
		assert_true(r == 0 || kind == rows[i].kind);
	}
}

static void test_flags_alone(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{{"-t", "t", "-o", "out"}, "t:DERIVED\n", NULL, 0},
		{{"--tag=t:1", "--output=out"}, "t:1\n", NULL, 0},
		{{"-tt:1", "-oout"}, "t:1\n", NULL, 0},
		{{"-t", "t:1", "-t", "u", "-t", "t:1", "-t", "u:2", "-t", "u", "-o", "out"},
			"t:1 u:DERIVED u:2\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--from", "base.tar", "--from-name", "r/x:5000/y:v",
			 "--copy", "root", "--copy", "a", "--keep-contents-dirlinks", "--run",
			 "apt-get update", "--extra-commands", "touch x"},
			"t:DERIVED\nfrom_image=base.tar\nfrom_image_name=r/x:5000/"
			"y\nfrom_image_tag=v\n"
			"copy_to_root=root\ncopy_to_root=a\nkeep_contents_dirlinks=1\n"
			"run_as_root=apt-get update\nextra_commands=touch x\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--from", "base.tar", "--from-name", "h:5000/x"},
			"t:DERIVED\nfrom_image=base.tar\nfrom_image_name=h:5000/x\n"
			"from_image_tag=latest\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--run", "script.sh", "--extra-commands", "script.sh"},
			"t:DERIVED\nrun_as_root=#!/bin/sh\necho hi\n\n"
			"extra_commands=#!/bin/sh\necho hi\n\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--run", "root"}, "t:DERIVED\nrun_as_root=root\n", NULL,
			0},
		{{"-t", "t", "-o", "out", "--run-file", "script.sh"},
			"t:DERIVED\nrun_as_root=#!/bin/sh\necho hi\n\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--env", "AB=2", "--env", "A=1", "--env", "A=3=4",
			 "--env", "B=", "--label", "x=y=z", "--label", "x", "--label",
			 "w=\xc3\xa9"},
			"t:DERIVED\nconfig={\"Env\":[\"AB=2\",\"A=3=4\",\"B=\"],"
			"\"Labels\":{\"x\":\"\",\"w\":\"\xc3\xa9\"}}\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--cmd", "[\"a\", \"b c\"]", "--entrypoint", "exec x"},
			"t:DERIVED\nconfig={\"Cmd\":[\"a\",\"b c\"],"
			"\"Entrypoint\":[\"/bin/sh\",\"-c\",\"exec x\"]}\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--cmd", "x", "--cmd", "[]"},
			"t:DERIVED\nconfig={\"Cmd\":[]}\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--user", "65534:65534", "--workdir", "/data", "--expose",
			 "80", "--expose", "53/udp", "--volume", "/data"},
			"t:DERIVED\nconfig={\"User\":\"65534:65534\",\"WorkingDir\":\"/data\","
			"\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},\"Volumes\":{\"/"
			"data\":{}}}\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--architecture", "s390x", "--disk-size", "2G",
			 "--memory", "1gib", "--created", "1970-01-02", "--uid", "7", "--gid",
			 "4294967294"},
			"t:DERIVED\narchitecture=s390x\ndisk_size=2048\nmemory_size=1024\ncreated="
			"86400\n"
			"uid=7\ngid=4294967294\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--disk-size", "64G", "--memory", "64MB"},
			"t:DERIVED\ndisk_size=65536\nmemory_size=64\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--iidfile", "i", "--metadata-file", "m", "--keep", "k",
			 "--timeout", "2h", "--accel", "tcg", "--cpus", "4", "--log-limit", "2",
			 "--source-date-epoch", "99", "--progress", "plain", "-q"},
			"t:DERIVED\niidfile=i\nmetadata_file=m\nkeep=k\ntimeout=7200\ncpus=4\n"
			"log_limit=2097152\naccel=2\nsource_date_epoch=99\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--no-cache"}, "t:DERIVED\nno_cache=1\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--verify"}, "t:DERIVED\nverify=1\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--timeout", "90", "--log-limit", "0"},
			"t:DERIVED\ntimeout=90\nlog_limit=0\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--timeout", "30M"}, "t:DERIVED\ntimeout=1800\n", NULL,
			0},
		{{"-t", "t", "-o", "out.tar.gz"}, "t:DERIVED\noutput=out.tar.gz\ncompression=1\n",
			NULL, 0},
		{{"-t", "t", "-o", "d/out.tgz"}, "t:DERIVED\noutput=d/out.tgz\ncompression=1\n",
			NULL, 0},
		{{"-t", "t", "-o", "out.zst"}, "t:DERIVED\noutput=out.zst\ncompression=2\n", NULL,
			0},
		{{"-t", "t", "-o", ".zst"}, "t:DERIVED\noutput=.zst\n", NULL, 0},
		{{"-t", "t", "-o", "out.gz", "--compression", "none"}, "t:DERIVED\noutput=out.gz\n",
			NULL, 0},
		{{"-t", "t", "-o", "out", "--compression", "zstd"}, "t:DERIVED\ncompression=2\n",
			NULL, 0},
		/* --help ends the reading, whatever comes after. */
		{{"-t", "t", "-h", "--nonsense"}, "help", NULL, 0},
		{{"--help"}, "help", NULL, 0},
	};
	run_rows(rows, COUNT(rows), true);
}

#define FULL_REST "architecture=arm64\ndisk_size=10\nmemory_size=100\ncreated=86400\nuid=1\ngid=2\n"

static void test_flags_over_spec(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{{"full.json", "-o", "out"},
			"spec:v0\nfrom_image=base.tar\ncopy_to_root=a\ncopy_to_root=b\n"
			"run_as_root=spec script\nextra_commands=spec extra\n"
			"config={\"Env\":[\"A=1\",\"B=2\"],\"Cmd\":[\"spec\"],\"Labels\":{\"l\":"
			"\"1\"}}\n" FULL_REST,
			NULL, 0},
		{{"-o", "out", "full.json", "-t", "t", "--copy", "root", "--run", "new",
			 "--extra-commands", "newer", "--env", "A=9", "--env", "C=3", "--cmd",
			 "[\"c\"]", "--label", "m=2"},
			"t:DERIVED\nfrom_image=base.tar\ncopy_to_root=root\nrun_as_root=new\n"
			"extra_commands=newer\nconfig={\"Env\":[\"A=9\",\"B=2\",\"C=3\"],\"Cmd\":["
			"\"c\"],"
			"\"Labels\":{\"l\":\"1\",\"m\":\"2\"}}\n" FULL_REST,
			NULL, 0},
		{{"--architecture", "386", "--disk-size", "11", "--memory", "101", "--created",
			 "1970-01-03", "--uid", "3", "--gid", "4", "-o", "out", "--", "full.json"},
			"spec:v0\nfrom_image=base.tar\ncopy_to_root=a\ncopy_to_root=b\n"
			"run_as_root=spec script\nextra_commands=spec extra\n"
			"config={\"Env\":[\"A=1\",\"B=2\"],\"Cmd\":[\"spec\"],\"Labels\":{\"l\":"
			"\"1\"}}\n"
			"architecture=386\ndisk_size=11\nmemory_size=101\ncreated=172800\nuid="
			"3\ngid=4\n",
			NULL, 0},
		{{"half.json", "-o", "out"}, "n:DERIVED\nfrom_image_name=x\n",
			"layervm: warning: fromImageName: has no effect without fromImageTag\n", 0},
		{{"half.json", "-o", "out", "--progress", "json"}, "n:DERIVED\nfrom_image_name=x\n",
			"{\"type\":\"warning\",\"text\":\"fromImageName: has no effect without "
			"fromImageTag\"}\n",
			0},
		{{"-t", "t", "-o", "out", "--from-name", "x:y"},
			"t:DERIVED\nfrom_image_name=x\nfrom_image_tag=y\n",
			"layervm: warning: fromImageName: has no effect without fromImage\n", 0},
		/* "now" is what SOURCE_DATE_EPOCH says. */
		{{"now.json", "-o", "out", "--source-date-epoch", "42"},
			"n:DERIVED\ncreated=42\nsource_date_epoch=42\n", NULL, 0},
	};
	run_rows(rows, COUNT(rows), true);
}

static void test_posixly_correct(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{{"now.json", "-o", "out", "--created", "1970-01-02"}, "n:DERIVED\ncreated=86400\n",
			NULL, 0},
	};
	setenv("POSIXLY_CORRECT", "1", 1);
	run_rows(rows, COUNT(rows), true);
	unsetenv("POSIXLY_CORRECT");
}

static void test_source_date_epoch(void **state)
{
	(void)state;
	static const struct row given[] = {
		{{"-t", "t", "-o", "out"}, "t:DERIVED\nsource_date_epoch=1714564800\n", NULL, 0},
		{{"-t", "t", "-o", "out", "--source-date-epoch", "7"},
			"t:DERIVED\nsource_date_epoch=7\n", NULL, 0},
		{{"now.json", "-o", "out"},
			"n:DERIVED\ncreated=1714564800\nsource_date_epoch=1714564800\n", NULL, 0},
	};
	static const struct row empty[] = {{{"-t", "t", "-o", "out"}, "t:DERIVED\n", NULL, 0}};
	static const struct row bad[] = {
		{{"-t", "t", "-o", "out"},
			"SOURCE_DATE_EPOCH (environment): is \"1.5\", a number of seconds since "
			"1970 "
			"from 0 to 253402300799 is wanted",
			NULL, ERROR_USAGE},
	};
	setenv("SOURCE_DATE_EPOCH", "1714564800", 1);
	run_rows(given, COUNT(given), true);
	setenv("SOURCE_DATE_EPOCH", "", 1);
	run_rows(empty, COUNT(empty), true);
	setenv("SOURCE_DATE_EPOCH", "1.5", 1);
	run_rows(bad, COUNT(bad), false);
	unsetenv("SOURCE_DATE_EPOCH");

	/* Neither given: the field holds the time of creation all the same. */
	char *argv[] = {xstrdup("build"), xstrdup("full.json"), xstrdup("-oout")};
	cleanup_build_options struct build_options *options = NULL;
	struct error err;
	assert_int_equal(build_options_parse(3, argv, STDERR_FILENO, &options, &err), 0);
	assert_false(options->has_source_date_epoch);
	assert_int_equal(options->source_date_epoch, 86400);
	for (size_t i = 0; i < COUNT(argv); i++)
		free(argv[i]);
}

static void test_errors(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{{NULL}, "neither SPEC.json nor flags say what to build; see layervm build --help",
			NULL, ERROR_USAGE},
		{{"-o", "out"},
			"neither SPEC.json nor flags say what to build; see layervm build --help",
			NULL, ERROR_USAGE},
		{{"-t", "t"},
			"--output: is missing; -o FILE names the archive to write, -o - is "
			"standard "
			"output",
			NULL, ERROR_USAGE},
		{{"--from", "base.tar", "-o", "out"},
			"name: is missing; \"name\" in the spec or -t NAME:TAG gives it", NULL,
			ERROR_SPEC},
		{{"--outptu", "x"}, "--outptu: there is no such flag; did you mean --output?", NULL,
			ERROR_USAGE},
		{{"--tgas=x"}, "--tgas: there is no such flag; did you mean --tag?", NULL,
			ERROR_USAGE},
		{{"--entirely-different"},
			"--entirely-different: there is no such flag; layervm build --help lists "
			"them",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-x"}, "-x: there is no such flag; layervm build --help lists them",
			NULL, ERROR_USAGE},
		{{"-qx"}, "-x: there is no such flag; layervm build --help lists them", NULL,
			ERROR_USAGE},
		{{"-xq"}, "-x: there is no such flag; layervm build --help lists them", NULL,
			ERROR_USAGE},
		{{"--ru", "x"},
			"--ru: is the beginning of 2 flags; layervm build --help lists them", NULL,
			ERROR_USAGE},
		{{"--quiet=yes"}, "--quiet: takes no value", NULL, ERROR_USAGE},
		{{"-t"}, "--tag: NAME[:TAG] is missing", NULL, ERROR_USAGE},
		{{"--memory"}, "--memory: SIZE is missing", NULL, ERROR_USAGE},
		{{"a.json", "b.json"}, "one SPEC.json is taken, here are \"a.json\" and \"b.json\"",
			NULL, ERROR_USAGE},
		{{"a.json", "--", "-b"}, "one SPEC.json is taken, here are \"a.json\" and \"-b\"",
			NULL, ERROR_USAGE},
		{{""}, "the path of SPEC.json is empty", NULL, ERROR_USAGE},
		{{"none.json", "-o", "out"}, "none.json: cannot open: No such file or directory",
			NULL, ERROR_SPEC},
		{{"bad.json", "-o", "out", "--disk-size", "5"},
			"bad.json: diskSize: is a string (\"2G\"), a whole number of MiB from 1 to "
			"65536 is wanted",
			NULL, ERROR_SPEC},
		{{"-t", "T", "-o", "out"}, "--tag: \"T\" has upper-case letters; \"t\" would do",
			NULL, ERROR_USAGE},
		{{"-t", "a:b:c", "-o", "out"},
			"--tag: \"a:b\" is no image name: \"a:b\" is not lower-case letters and "
			"digits "
			"with single '.', '_', '__' or '-' between",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", ""}, "--output: is empty", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--iidfile", "out"}, "--iidfile: is out, as --output is",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--iidfile", ".//./out"},
			"--iidfile: is .//./out, as --output is", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "x", "--iidfile", "-", "--metadata-file", "-"},
			"--metadata-file: is -, as --iidfile is", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--from", ""}, "--from: is empty", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--from", "none"},
			"fromImage: none: No such file or directory", NULL, ERROR_SPEC},
		{{"-t", "t", "-o", "out", "--from-name", "x:"},
			"--from-name: is \"x:\", NAME or NAME:TAG is wanted", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--from-name", ":5000"},
			"--from-name: is \":5000\", NAME or NAME:TAG is wanted", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--copy", "none"},
			"copyToRoot: none: No such file or directory", NULL, ERROR_SPEC},
		{{"-t", "t", "-o", "out", "--run", "a", "--run", "b"},
			"--run: there is a script already; put both into one", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--run", "x", "--run-file", "script.sh"},
			"--run-file: there is a script already; put both into one", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--run-file", "none"},
			"--run-file: none: cannot open: No such file or directory", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--run", "nul.sh"},
			"--run: nul.sh: has a NUL byte at 4; a script (text) is wanted", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--env", "A"}, "--env: is \"A\", NAME=VALUE is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--env", "=1"}, "--env: is \"=1\", NAME=VALUE is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--env", "A=\xff"},
			"--env: is no UTF-8, which image configs are in", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--label", "=1"},
			"--label: is \"=1\", NAME=VALUE is wanted", NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--cmd", ""}, "--cmd: is empty; [] is no command", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--cmd", "[\"a\" \"b\"]"},
			"--cmd: the JSON list:1:6: ',' or ']' is wanted, found '\"'", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--entrypoint", "[\"a\",1]"},
			"--entrypoint: word 2 of the JSON list is the number 1, a string is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--user", ""},
			"--user: is \"\", USER, UID, USER:GROUP or UID:GID is wanted", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--workdir", "data"},
			"--workdir: is \"data\", an absolute path in the image is wanted", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--volume", "data"},
			"--volume: is \"data\", an absolute path in the image is wanted", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--expose", "65536"},
			"--expose: is \"65536\", PORT, PORT/tcp, PORT/udp or PORT/sctp (PORT: 0 to "
			"65535) "
			"is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--architecture", "aarch64"},
			"--architecture: \"aarch64\" is no architecture of Go's list; did you mean "
			"\"arm64\"?",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--disk-size", "9T"},
			"--disk-size: is \"9T\", a number of MiB from 1 to 65536, or with M, G "
			"or T "
			"after it, is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--memory", "18014398509481985G"},
			"--memory: is \"18014398509481985G\", a number of MiB from 64 to 1048576, "
			"or "
			"with M, G or T after it, is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--memory", "1.5G"},
			"--memory: is \"1.5G\", a number of MiB from 64 to 1048576, or with M, G "
			"or T "
			"after it, is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--created", "soon"},
			"--created: is \"soon\", \"now\" or an ISO 8601 time with its zone from "
			"1970 on, "
			"such as \"2024-05-01T12:00:00Z\" or \"2024-05-01\", is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--uid", "4294967295"},
			"--uid: is \"4294967295\", an ID from 0 to 4294967294 is wanted", NULL,
			ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--timeout", "501h"},
			"--timeout: is \"501h\", a number of seconds up to 1800000, or with s, m "
			"or h "
			"after it, is wanted",
			NULL, ERROR_USAGE},
		{{"-t", "t", "-o", "out", "--timeout", "-1"},
			"--timeout: is \"-1\", a number of seconds up to 1800000, or with s, m or "
			"h "
			"after it, is wanted",
			NULL, ERROR_USAGE},
		{{"--cpus", "0"},
			"--cpus: is \"0\", host or a number of CPUs from 1 to 255 is wanted", NULL,
			ERROR_USAGE},
		{{"--accel", "hvf"}, "--accel: is \"hvf\", auto, kvm or tcg is wanted", NULL,
			ERROR_USAGE},
		{{"--progress", "fancy"},
			"--progress: is \"fancy\", auto, plain, tty or json is wanted", NULL,
			ERROR_USAGE},
		{{"--compression", "xz"}, "--compression: is \"xz\", none, gzip or zstd is wanted",
			NULL, ERROR_USAGE},
		{{"--source-date-epoch", "-1"},
			"--source-date-epoch: is \"-1\", a number of seconds since 1970 from 0 to "
			"253402300799 is wanted",
			NULL, ERROR_USAGE},
	};
	run_rows(rows, COUNT(rows), false);
}

static void test_standard_input_twice(void **state)
{
	(void)state;
	static const struct row rows[] = {
		{{"-", "--from", "-", "-o", "out"},
			"--from: standard input is the spec's, it cannot be the base image's too",
			NULL, ERROR_USAGE},
	};
	cleanup_close int saved = dup(STDIN_FILENO);
	cleanup_close int fd = open("now.json", O_RDONLY | O_CLOEXEC);
	assert_true(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	run_rows(rows, COUNT(rows), false);
	if (saved >= 0)
		dup2(saved, STDIN_FILENO);
}

/* getopt's state of a parse that failed within "-xh" is gone in the next one. */
static void test_parse_again(void **state)
{
	(void)state;
	static char build[] = "build", cluster[] = "-xh", cpus[] = "--cpus=0";
	char *first[] = {build, cluster, NULL};
	char *second[] = {build, cpus, NULL};
	struct error err;
	for (unsigned i = 0; i < 2; i++) {
		struct build_options *options = NULL;
		assert_true(build_options_parse(
				    2, i == 0 ? first : second, STDERR_FILENO, &options, &err) < 0);
		build_options_free(options);
	}
	assert_string_equal(
		err.message, "--cpus: is \"0\", host or a number of CPUs from 1 to 255 is wanted");
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_flags_alone),
		IN_FOLDER(test_flags_over_spec),
		IN_FOLDER(test_posixly_correct),
		IN_FOLDER(test_source_date_epoch),
		IN_FOLDER(test_errors),
		IN_FOLDER(test_standard_input_twice),
		cmocka_unit_test(test_parse_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
