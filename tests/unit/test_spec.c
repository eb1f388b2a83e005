/* SPEC.json to struct build_spec: what is taken, and the exact words of what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "spec/json_text.h"
#include "spec/spec.h"
#include "support/architecture.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A report into memory, so that warnings can be compared. */
struct recorder {
	int fd;
	struct report *report;
};

static struct recorder recorder_new(void)
{
	int fd = memfd_create("report", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return (struct recorder){.fd = fd, .report = report_new(REPORT_PLAIN, fd)};
}

/* Ends the recording and gives what was reported. */
static char *recorder_end(struct recorder *recorder)
{
	cleanup_buffer struct buffer text = {0};
	struct error err;
	report_free(recorder->report);
	assert_int_equal(lseek(recorder->fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(recorder->fd, 1 << 20, &text, "report", &err), 0);
	close(recorder->fd);
	return buffer_steal_text(&text);
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

/* All that differs from the defaults, a line each. */
static char *dump(const struct build_spec *spec)
{
	struct buffer out = {0};
	const char *host = architecture_of_host();
	dump_text(&out, "name", spec->name, NULL);
	dump_text(&out, "tag", spec->tag, NULL);
	dump_text(&out, "from_image", spec->from_image, NULL);
	dump_text(&out, "from_image_name", spec->from_image_name, NULL);
	dump_text(&out, "from_image_tag", spec->from_image_tag, NULL);
	for (char **path = spec->copy_to_root; *path != NULL; path++)
		dump_text(&out, "copy_to_root", *path, NULL);
	dump_number(&out, "keep_contents_dirlinks", spec->keep_contents_dirlinks, false);
	dump_text(&out, "run_as_root", spec->run_as_root, NULL);
	dump_text(&out, "extra_commands", spec->extra_commands, "");
	if (spec->config != NULL)
		dump_text(&out, "config",
			json_object_to_json_string_ext(spec->config,
				JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE),
			NULL);
	dump_text(&out, "architecture", spec->architecture, host);
	dump_number(&out, "disk_size", spec->disk_size, 1024);
	dump_number(&out, "memory_size", spec->memory_size, 512);
	dump_number(&out, "created_now", spec->created_now, false);
	if (!spec->created_now)
		dump_number(&out, "created", spec->created, 1);
	dump_number(&out, "uid", spec->uid, 0);
	dump_number(&out, "gid", spec->gid, 0);
	return buffer_steal_text(&out);
}

/* Parses a document that ends where its memory ends, for AddressSanitizer to watch. */
static int parse(const char *text, size_t len, const char *folder, struct build_spec *spec,
	struct report *report, struct error *err)
{
	cleanup_free char *copy = xmemdup(text, len);
	return spec_parse(copy, len, "spec.json", folder, spec, report, err);
}

struct case_row {
	const char *text;
	const char *expected;
	const char *warnings; /* NULL: none */
};

static void run_cases(const struct case_row *rows, size_t count, const char *folder, bool good)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_spec struct build_spec *spec = spec_new();
		struct recorder recorder = recorder_new();
		struct error err = {0};
		int r = parse(
			rows[i].text, strlen(rows[i].text), folder, spec, recorder.report, &err);
		cleanup_free char *warnings = recorder_end(&recorder);
		cleanup_free char *found = r < 0 ? xstrdup(err.message) : dump(spec);
		if ((r == 0) != good || strcmp(found, rows[i].expected) != 0)
			print_message("row %zu: %.100s\n", i, rows[i].text);
		assert_string_equal(found, rows[i].expected);
		assert_int_equal(r == 0, good);
		assert_true(r == 0 || err.kind == ERROR_SPEC);
		assert_string_equal(warnings, rows[i].warnings != NULL ? rows[i].warnings : "");
	}
}

static void test_taken(void **state)
{
	(void)state;
	static const struct case_row rows[] = {
		{"{}", "", NULL},
		{" \t\r\n{ } \n", "", NULL},
		{"{\"name\":\"redis\",\"tag\":\"latest\",\"fromImage\":\"base.tar\","
		 "\"fromImageName\":\"Any "
		 "Name\",\"fromImageTag\":\"v1\",\"copyToRoot\":[\"root\",\"/abs\"],"
		 "\"keepContentsDirlinks\":true,\"runAsRoot\":\"mkdir -p /data\\n\","
		 "\"extraCommands\":\"touch x\",\"config\":{\"Cmd\":[\"/bin/redis\"],"
		 "\"Volumes\":{\"/data\":{}}},\"architecture\":\"s390x\",\"diskSize\":2048,"
		 "\"buildVMMemorySize\":1024,\"created\":\"2024-05-01T12:00:00Z\",\"uid\":65537,"
		 "\"gid\":4294967294}",
			"name=redis\ntag=latest\nfrom_image=folder/base.tar\n"
			"from_image_name=Any Name\nfrom_image_tag=v1\ncopy_to_root=folder/root\n"
			"copy_to_root=/abs\nkeep_contents_dirlinks=1\nrun_as_root=mkdir -p "
			"/data\n\n"
			"extra_commands=touch x\nconfig={\"Cmd\":[\"/bin/redis\"],\"Volumes\":"
			"{\"/data\":{}}}\narchitecture=s390x\ndisk_size=2048\nmemory_size=1024\n"
			"created=1714564800\nuid=65537\ngid=4294967294\n",
			NULL},
		{"{\"name\":null,\"tag\":null,\"fromImage\":null,\"fromImageName\":null,"
		 "\"fromImageTag\":null,\"copyToRoot\":null,\"keepContentsDirlinks\":null,"
		 "\"runAsRoot\":null,\"extraCommands\":null,\"config\":null,\"architecture\":null,"
		 "\"diskSize\":null,\"buildVMMemorySize\":null,\"created\":null,\"uid\":null,"
		 "\"gid\":null,\"contents\":null}",
			"", NULL},
		{"{\"copyToRoot\":\"one\"}", "copy_to_root=folder/one\n", NULL},
		{"{\"copyToRoot\":[]}", "", NULL},
		{"{\"contents\":[\"a\",\"b\"]}", "copy_to_root=folder/a\ncopy_to_root=folder/b\n",
			"layervm: warning: spec.json: contents: is deprecated, use copyToRoot\n"},
		{"{\"contents\":\"a\",\"copyToRoot\":null}", "copy_to_root=folder/a\n",
			"layervm: warning: spec.json: contents: is deprecated, use copyToRoot\n"},
		{"{\"runAsRoot\":\"\",\"fromImage\":\"-\"}", "from_image=folder/-\nrun_as_root=\n",
			NULL},
		{"{\"created\":\"now\"}", "created_now=1\n", NULL},
		{"{\"created\":\"1970-01-01\"}", "created=0\n", NULL},
		{"{\"diskSize\":65536,\"buildVMMemorySize\":64,\"uid\":-0}",
			"disk_size=65536\nmemory_size=64\n", NULL},
		{"{\"name\":\"\\u0061\\ud83d\\ude00\\/\\b\"}", "name=a\xf0\x9f\x98\x80/\b\n", NULL},
		{"{\"config\":{\"Cmd\":null,\"User\":\"u\",\"Private\":null}}",
			"config={\"User\":\"u\",\"Private\":null}\n",
			"layervm: warning: spec.json: config: \"Private\" is not known and kept as "
			"it "
			"is\n"},
		{"{\"config\":{\"cmd\":[\"x\"],\"Evn\\n\":[]}}",
			"config={\"cmd\":[\"x\"],\"Evn\\n\":[]}\n",
			"layervm: warning: spec.json: config: \"cmd\" is not known and kept as it "
			"is; "
			"did you mean \"Cmd\"?\n"
			"layervm: warning: spec.json: config: \"Evn\\n\" is not known and kept as "
			"it "
			"is; did you mean \"Env\"?\n"},
		{"{\"config\":{\"Healthcheck\":{\"Test\":[\"NONE\"],\"Retrie\":1}}}",
			"config={\"Healthcheck\":{\"Test\":[\"NONE\"],\"Retrie\":1}}\n",
			"layervm: warning: spec.json: config: Healthcheck: \"Retrie\" is not known "
			"and "
			"kept as it is; did you mean \"Retries\"?\n"},
	};
	run_cases(rows, COUNT(rows), "folder", true);
}

static void test_relative_paths(void **state)
{
	(void)state;
	static const struct case_row none[] = {
		{"{\"fromImage\":\"b.tar\",\"copyToRoot\":[\"-\",\"../x\",\"/y\"]}",
			"from_image=b.tar\ncopy_to_root=./-\ncopy_to_root=../x\ncopy_to_root=/y\n",
			NULL},
		{"{\"fromImage\":\"-\"}", "from_image=./-\n", NULL},
	};
	static const struct case_row root[] = {
		{"{\"fromImage\":\"b.tar\",\"copyToRoot\":\"/y\"}",
			"from_image=/b.tar\ncopy_to_root=/y\n", NULL},
	};
	run_cases(none, COUNT(none), "", true);
	run_cases(root, COUNT(root), "/", true);
}

static void test_refused_attributes(void **state)
{
	(void)state;
	static const struct case_row rows[] = {
		{"{\"nam\":\"x\"}",
			"spec.json: \"nam\" is no attribute of buildImage; did you mean \"name\"?",
			NULL},
		{"{\"RunAsRoot\":\"x\"}",
			"spec.json: \"RunAsRoot\" is no attribute of buildImage; did you mean "
			"\"runAsRoot\"?",
			NULL},
		{"{\"entirely\\u0007different\":1}",
			"spec.json: \"entirely\\u0007different\" is no attribute of buildImage "
			"(layervm-spec(5) lists them)",
			NULL},
		{"{\"diskSize\":\"2G\"}",
			"spec.json: diskSize: is a string (\"2G\"), a whole number of MiB from 1 "
			"to "
			"65536 is wanted",
			NULL},
		{"{\"diskSize\":0}",
			"spec.json: diskSize: is the number 0, a whole number of MiB from 1 to "
			"65536 "
			"is wanted",
			NULL},
		{"{\"diskSize\":1024.5}",
			"spec.json: diskSize: is the number 1024.5, a whole number of MiB from 1 "
			"to "
			"65536 is wanted",
			NULL},
		{"{\"diskSize\":65537}",
			"spec.json: diskSize: is the number 65537, a whole number of MiB from 1 "
			"to "
			"65536 is wanted",
			NULL},
		{"{\"diskSize\":18446744073709551615}",
			"spec.json: diskSize: is the number 18446744073709551615, a whole number "
			"of MiB "
			"from 1 to 65536 is wanted",
			NULL},
		{"{\"diskSize\":true}",
			"spec.json: diskSize: is true, a whole number of MiB from 1 to 65536 is "
			"wanted",
			NULL},
		{"{\"buildVMMemorySize\":63}",
			"spec.json: buildVMMemorySize: is the number 63, a whole number of MiB "
			"from 64 "
			"to 1048576 is wanted",
			NULL},
		{"{\"uid\":-1}",
			"spec.json: uid: is the number -1, a whole number from 0 to 4294967294 is "
			"wanted",
			NULL},
		{"{\"gid\":4294967295}",
			"spec.json: gid: is the number 4294967295, a whole number from 0 to "
			"4294967294 "
			"is wanted",
			NULL},
		{"{\"name\":\"\"}",
			"spec.json: name: is a string (\"\"), a string that is not empty is wanted",
			NULL},
		{"{\"name\":[\"x\"]}",
			"spec.json: name: is a list ([\"x\"]), a string that is not empty is "
			"wanted",
			NULL},
		{"{\"tag\":1}",
			"spec.json: tag: is the number 1, a string that is not empty or null is "
			"wanted",
			NULL},
		{"{\"fromImage\":{\"a\":1}}",
			"spec.json: fromImage: is an object ({\"a\":1}), a path (a string that is "
			"not "
			"empty) or null is wanted",
			NULL},
		{"{\"copyToRoot\":[\"a\",3]}",
			"spec.json: copyToRoot: entry 2: is the number 3, a path (a string that is "
			"not "
			"empty) is wanted",
			NULL},
		{"{\"copyToRoot\":false}",
			"spec.json: copyToRoot: is false, a path or a list of paths (strings that "
			"are "
			"not empty) or null is wanted",
			NULL},
		{"{\"copyToRoot\":\"a\",\"contents\":\"b\"}",
			"spec.json: contents: is the deprecated name of copyToRoot, and both are "
			"given",
			NULL},
		{"{\"keepContentsDirlinks\":1}",
			"spec.json: keepContentsDirlinks: is the number 1, true or false is wanted",
			NULL},
		{"{\"runAsRoot\":[\"a\"]}",
			"spec.json: runAsRoot: is a list ([\"a\"]), a script (a string) or null is "
			"wanted",
			NULL},
		{"{\"config\":\"x\"}",
			"spec.json: config: is a string (\"x\"), an object or null is wanted",
			NULL},
		{"{\"created\":\"yesterday\"}",
			"spec.json: created: is a string (\"yesterday\"), \"now\" or an ISO 8601 "
			"time "
			"with its zone from 1970 on, such as \"2024-05-01T12:00:00Z\" or "
			"\"2024-05-01\", is wanted",
			NULL},
		{"{\"created\":\"1969-12-31T23:59:59Z\"}",
			"spec.json: created: is a string (\"1969-12-31T23:59:59Z\"), \"now\" or an "
			"ISO "
			"8601 time with its zone from 1970 on, such as \"2024-05-01T12:00:00Z\" or "
			"\"2024-05-01\", is wanted",
			NULL},
		{"{\"tag\":[\"" /* a long value is cut at 64 bytes, before a character */
		 "0123456789012345678901234567890123456789012345678901234567890\xc3\xa9\"]}",
			"spec.json: tag: is a list "
			"([\"0123456789012345678901234567890123456789012345678"
			"901234567890...), a string that is not empty or null is wanted",
			NULL},
	};
	run_cases(rows, COUNT(rows), "", false);
}

static void test_refused_config(void **state)
{
	(void)state;
	static const struct {
		const char *config;
		const char *expected;
	} rows[] = {
		{"{\"User\":0}", "User: is the number 0, a string is wanted"},
		{"{\"Memory\":\"1\"}",
			"Memory: is a string (\"1\"), a whole number of bytes is wanted"},
		{"{\"MemorySwap\":1.5}",
			"MemorySwap: is the number 1.5, a whole number of bytes is wanted"},
		{"{\"CpuShares\":[]}", "CpuShares: is a list ([]), a whole number is wanted"},
		{"{\"Env\":[\"PATH\"]}",
			"Env: is a list ([\"PATH\"]), a list of strings \"NAME=value\" is wanted"},
		{"{\"Env\":[\"=x\"]}",
			"Env: is a list ([\"=x\"]), a list of strings \"NAME=value\" is wanted"},
		{"{\"Env\":{\"A\":\"b\"}}", "Env: is an object ({\"A\":\"b\"}), a list of strings "
					    "\"NAME=value\" is wanted"},
		{"{\"Cmd\":\"ls\"}", "Cmd: is a string (\"ls\"), a list of strings is wanted"},
		{"{\"Cmd\":[null]}", "Cmd: is a list ([null]), a list of strings is wanted"},
		{"{\"Entrypoint\":[1]}",
			"Entrypoint: is a list ([1]), a list of strings is wanted"},
		{"{\"ExposedPorts\":[\"80/tcp\"]}",
			"ExposedPorts: is a list ([\"80/tcp\"]), an object with a key "
			"\"PORT/tcp\", "
			"\"PORT/udp\" or \"PORT\" and the value {} for each is wanted"},
		{"{\"ExposedPorts\":{\"80/http\":{}}}",
			"ExposedPorts: is an object ({\"80/http\":{}}), an object with a key "
			"\"PORT/tcp\", "
			"\"PORT/udp\" or \"PORT\" and the value {} for each is wanted"},
		{"{\"Volumes\":{\"/data\":true}}", "Volumes: is an object ({\"/data\":true}), an "
						   "object with a path and the value "
						   "{} for each is wanted"},
		{"{\"WorkingDir\":false}", "WorkingDir: is false, a string is wanted"},
		{"{\"Labels\":{\"a\":1}}",
			"Labels: is an object ({\"a\":1}), an object of strings is wanted"},
		{"{\"StopSignal\":15}", "StopSignal: is the number 15, a string is wanted"},
		{"{\"ArgsEscaped\":\"true\"}",
			"ArgsEscaped: is a string (\"true\"), true or false is wanted"},
		{"{\"OnBuild\":\"RUN x\"}",
			"OnBuild: is a string (\"RUN x\"), a list of strings is wanted"},
		{"{\"Shell\":\"sh\"}", "Shell: is a string (\"sh\"), a list of strings is wanted"},
		{"{\"Healthcheck\":[]}", "Healthcheck: is a list ([]), an object is wanted"},
		{"{\"Healthcheck\":{\"Interval\":\"30s\"}}",
			"Healthcheck: Interval: is a string (\"30s\"), a whole number of "
			"nanoseconds is "
			"wanted"},
		{"{\"NetworkDisabled\":0}",
			"NetworkDisabled: is the number 0, true or false is wanted"},
	};
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_free char *text = xasprintf("{\"config\":%s}", rows[i].config);
		cleanup_free char *expected = xasprintf("spec.json: config: %s", rows[i].expected);
		struct case_row row = {text, expected, NULL};
		run_cases(&row, 1, "", false);
	}
}

static void test_size_limit(void **state)
{
	(void)state;
	struct error err;
	cleanup_spec struct build_spec *spec = spec_new();
	cleanup_free char *huge = xmalloc(SPEC_TEXT_MAX + 1);
	memset(huge, ' ', SPEC_TEXT_MAX + 1);
	memcpy(huge, "{}", 2);
	assert_int_equal(parse(huge, SPEC_TEXT_MAX, "", spec, NULL, &err), 0);
	assert_true(parse(huge, SPEC_TEXT_MAX + 1, "", spec, NULL, &err) < 0);
	assert_string_equal(err.message, "spec.json: has 1048577 bytes, 1048576 are the limit");
}

/* A folder of its own for each test that needs files. */
static int make_folder(void **state)
{
	char *folder = xstrdup("/tmp/layervm-test-spec-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	*state = folder;
	return 0;
}

static int remove_folder(void **state)
{
	static const char *const names[] = {"spec.json", "huge.json"};
	char *folder = *state;
	for (size_t i = 0; i < COUNT(names); i++) {
		cleanup_free char *path = xasprintf("%s/%s", folder, names[i]);
		remove(path);
	}
	int r = rmdir(folder);
	free(folder);
	return r;
}

static char *write_file(const char *folder, const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", folder, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return path;
}

static void test_read(void **state)
{
	const char *folder = *state;
	struct error err;
	cleanup_spec struct build_spec *spec = spec_new();
	cleanup_free char *path =
		write_file(folder, "spec.json", "{\"name\":\"a\",\"fromImage\":\"base.tar\"}\n");
	assert_int_equal(spec_read(path, spec, NULL, &err), 0);
	cleanup_free char *found = dump(spec);
	cleanup_free char *expected = xasprintf("name=a\nfrom_image=%s/base.tar\n", folder);
	assert_string_equal(found, expected);

	cleanup_free char *missing = xasprintf("%s/none.json", folder);
	cleanup_free char *words = xasprintf("%s: cannot open: No such file or directory", missing);
	assert_true(spec_read(missing, spec, NULL, &err) < 0);
	assert_string_equal(err.message, words);
	assert_int_equal(err.kind, ERROR_SPEC);

	cleanup_free char *not_file = xasprintf("%s: cannot read: Is a directory", folder);
	assert_true(spec_read(folder, spec, NULL, &err) < 0);
	assert_string_equal(err.message, not_file);
	assert_int_equal(err.kind, ERROR_SPEC);

	cleanup_free char *huge = write_file(folder, "huge.json", "{}");
	assert_int_equal(truncate(huge, SPEC_TEXT_MAX + 1), 0);
	cleanup_free char *too_large =
		xasprintf("%s: is larger than the limit of 1048576 bytes", huge);
	assert_true(spec_read(huge, spec, NULL, &err) < 0);
	assert_string_equal(err.message, too_large);
	assert_int_equal(err.kind, ERROR_SPEC);
}

static void test_read_standard_input(void **state)
{
	const char *folder = *state;
	struct error err;
	cleanup_spec struct build_spec *spec = spec_new();
	cleanup_free char *path =
		write_file(folder, "spec.json", "{\"name\":\"a\",\"fromImage\":\"base.tar\"}");
	cleanup_close int saved = dup(STDIN_FILENO);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	int r = spec_read("-", spec, NULL, &err);
	if (saved >= 0)
		dup2(saved, STDIN_FILENO);
	assert_int_equal(r, 0);
	cleanup_free char *found = dump(spec);
	assert_string_equal(found, "name=a\nfrom_image=base.tar\n");
}

/* The examples beside the sources are specs without a fault. */
static void test_examples(void **state)
{
	(void)state;
	glob_t found;
	assert_int_equal(glob(EXAMPLES "/*.json", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		cleanup_spec struct build_spec *spec = spec_new();
		struct error err;
		struct recorder recorder = recorder_new();
		int r = spec_read(found.gl_pathv[i], spec, recorder.report, &err);
		cleanup_free char *warnings = recorder_end(&recorder);
		if (r < 0)
			fail_msg("%s", err.message);
		assert_string_equal(warnings, "");
		assert_non_null(spec->name);
	}
	globfree(&found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_relative_paths),
		cmocka_unit_test(test_refused_attributes),
		cmocka_unit_test(test_refused_config),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test_setup_teardown(test_read, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			test_read_standard_input, make_folder, remove_folder),
		cmocka_unit_test(test_examples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
