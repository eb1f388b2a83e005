/* argv of `layervm debug` to its options: values, what is refused, what kind a source is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/debug_options.h"
#include "option_rig.h"
#include "support/architecture.h"
#include "support/buffer.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ARGUMENTS_MAX 20

/* What each test finds in its working folder. */
static const struct rig_file files[] = {
	{"base.tar", ""},
	{"spec.json", "{\"name\":\"spec\",\"tag\":\"v0\",\"fromImage\":\"base.tar\",\"runAsRoot\":"
		      "\"exit 1\","
		      "\"extraCommands\":\"exit 2\",\"diskSize\":10,\"buildVMMemorySize\":100,"
		      "\"config\":{\"Env\":[\"A=1\"]}}"},
	{"extras.json",
		"{\"name\":\"n\",\"network\":\"user\",\"mounts\":[{\"type\":\"tmpfs\",\"dst\":"
		"\"/a\"}]}"},
	{"spec", " \n{\"name\":\"unnamed\"}"},
	{"broken.json", "{\"name\":1}"},
	{"kept/kept.json", ""},
};

static const char *const folders[] = {"kept", "layout", NULL};

static int enter_folder(void **state)
{
	if (rig_enter(state, folders, files, COUNT(files)) < 0)
		return -1;
	/* By hand it is a terminal, and a shell needs no more. */
	return freopen("/dev/null", "r", stdin) != NULL ? 0 : -1;
}

static int leave_folder(void **state)
{
	return rig_leave(state, folders, files, COUNT(files));
}

/* All that differs from a session on an image without flags. */
static char *dump(const struct debug_options *options)
{
	static const char *const sources[] = {"image", "spec", "kept"};
	const struct build_options *build = options->build;
	const struct build_spec *spec = build->spec;
	struct buffer out = {0};
	put_text(&out, sources[options->source], options->path);
	put_text(&out, "command", options->session.command);
	put_text(&out, "user", options->session.user);
	put_text(&out, "workdir", options->session.workdir);
	for (char **env = options->session.env; env != NULL && *env != NULL; env++)
		put_text(&out, "env", *env);
	put_number(&out, "list", options->session.list, false);
	put_number(&out, "commit", options->commit, false);
	put_text(&out, "output", build->output);
	put_number(&out, "compression", build->compression, IMAGE_PLAIN);
	for (size_t i = 0; i < build->tag_count; i++)
		buffer_printf(&out, "tag=%s:%s ", build->tags[i].name,
			build->tags[i].tag != NULL ? build->tags[i].tag : "DERIVED");
	put_text(&out, "from", spec->from_image);
	put_text(&out, "name", spec->from_image_name);
	put_text(&out, "tag", spec->from_image_tag);
	if (strcmp(spec->architecture, architecture_of_host()) != 0)
		put_text(&out, "architecture", spec->architecture);
	put_text(&out, "variant", build->variant);
	put_text(&out, "run", spec->run_as_root);
	put_number(&out, "extra", (int64_t)strlen(spec->extra_commands), 0);
	put_number(&out, "memory", options->memory, 0);
	put_number(&out, "spec_memory", spec->memory_size, 512);
	put_number(&out, "disk", spec->disk_size, 1024);
	put_number(&out, "cpus", build->cpus, 0);
	put_number(&out, "no_cache", build->no_cache, false);
	put_number(&out, "verify", build->verify, false);
	put_number(&out, "timeout", build->timeout, 0);
	put_number(&out, "accel", build->accel, VM_ACCEL_AUTO);
	for (size_t i = 0; i < spec->extras.mount_count; i++)
		put_text(&out, "mount", spec->extras.mounts[i].dst);
	put_number(&out, "network", spec->extras.network, GUEST_NETWORK_NONE);
	put_number(&out, "hosts", (int64_t)spec->extras.host_count, 0);
	put_number(&out, "quiet", options->quiet, false);
	assert_ptr_equal(build->session, &options->session);
	return buffer_steal_text(&out);
}

struct row {
	const char *arguments[ARGUMENTS_MAX];
	const char *expected; /* the dump, or the error's kind and message */
};

static const struct row rows[] = {
	{{"a.tar", "--command", "id"}, "image=a.tar command=id from=a.tar "},
	{{"layout", "--command", "id"}, "image=layout command=id from=layout "},
	{{"a.tar", "--command", "id", "--user", "www:33", "--workdir", "/srv", "--env", "A=1",
		 "--env", "B=2", "--env", "A=3=4", "--changes", "-q"},
		"image=a.tar command=id user=www:33 workdir=/srv env=A=3=4 env=B=2 list=1 "
		"from=a.tar quiet=1 "},
	{{"base.tar", "--command", "id", "--commit", "-o", "b.tar.gz", "-t", "x:1", "-t", "y"},
		"image=base.tar command=id commit=1 output=b.tar.gz compression=1 tag=x:1 "
		"tag=y:DERIVED from=base.tar "},
	{{"base.tar", "--command", "id", "--commit", "-o", "b.gz", "-t", "x", "--compression",
		 "zstd"},
		"image=base.tar command=id commit=1 output=b.gz compression=2 tag=x:DERIVED "
		"from=base.tar "},
	{{"a.tar", "--command", "id", "--image", "h:5000/x", "--platform", "linux/arm/v7"},
		"image=a.tar command=id from=a.tar name=h:5000/x tag=latest architecture=arm "
		"variant=v7 "},
	{{"a.tar", "--command", "id", "--memory", "1G", "--disk-size", "2G", "--cpus", "2",
		 "--timeout", "1m", "--accel", "tcg"},
		"image=a.tar command=id from=a.tar memory=1024 spec_memory=1024 disk=2048 cpus=2 "
		"timeout=60 accel=2 "},
	{{"a.tar", "--command", "id", "--no-cache"},
		"image=a.tar command=id from=a.tar no_cache=1 "},
	{{"a.tar", "--command", "id", "--verify"}, "image=a.tar command=id from=a.tar verify=1 "},
	{{"spec.json", "--command", "id"},
		"spec=spec.json command=id tag=spec:v0 from=base.tar spec_memory=100 disk=10 "},
	{{"spec.json", "--command", "id", "--commit", "-o", "o", "-t", "other"},
		"spec=spec.json command=id commit=1 output=o tag=other:DERIVED from=base.tar "
		"spec_memory=100 disk=10 "},
	{{"spec.json", "--command", "id", "--memory", "200", "--disk-size", "20"},
		"spec=spec.json command=id tag=spec:v0 from=base.tar memory=200 spec_memory=200 "
		"disk=20 "},
	{{"spec", "--command", "id"}, "spec=spec command=id tag=unnamed:DERIVED "},
	{{"extras.json", "--command", "id"},
		"spec=extras.json command=id tag=n:DERIVED mount=/a network=1 "},
	{{"--mount", "type=tmpfs,dst=/b", "--network", "none", "--add-host", "h:1.2.3.4",
		 "extras.json", "--command", "id"},
		"spec=extras.json command=id tag=n:DERIVED mount=/a mount=/b hosts=1 "},
	{{"a.tar", "--command", "id", "--network", "user"},
		"image=a.tar command=id from=a.tar network=1 "},
	{{"kept", "--command", "id", "--memory", "1G", "--env", "A=1"},
		"kept=kept command=id env=A=1 memory=1024 "},
	{{"a", "-h", "--no-such-flag"}, "help"},

	{{NULL}, "usage: standard input is no terminal, which a shell needs; --command CMD runs a "
		 "command without one"},
	{{"a.tar"}, "usage: standard input is no terminal, which a shell needs; --command CMD runs "
		    "a command without one"},
	{{"--command", "id"}, "usage: the image is missing; see layervm debug --help"},
	{{"", "--command", "id"}, "usage: the path of the image is empty"},
	{{"a", "b"}, "usage: one image is taken, here are a and b"},
	{{"-", "--command", "id"},
		"usage: standard input is the session's, and cannot be the image too; name a file"},
	{{"a", "--command", ""}, "usage: --command: is empty"},
	{{"a", "--workdir", "srv"},
		"usage: --workdir: is \"srv\", an absolute path in the image is wanted"},
	{{"a", "--env", "A"}, "usage: --env: is \"A\", NAME=VALUE is wanted"},
	{{"a", "--env", "=A"}, "usage: --env: is \"=A\", NAME=VALUE is wanted"},
	{{"a", "--command", "id", "-o", "b"}, "usage: --output: has an effect with --commit only"},
	{{"a", "--command", "id", "-t", "b"}, "usage: --tag: has an effect with --commit only"},
	{{"a", "--command", "id", "--compression", "gzip"},
		"usage: --compression: has an effect with --commit only"},
	{{"a", "--command", "id", "--commit", "-t", "b"},
		"usage: --commit: -o FILE is missing, the archive to write"},
	{{"a", "--command", "id", "--commit", "-t", "b", "-o", "-"},
		"usage: --output: standard output is the session's, and cannot be the archive too"},
	{{"base.tar", "--command", "id", "--commit", "-o", "b"},
		"usage: --commit: -t NAME:TAG is missing, the new image's name"},
	{{"no.tar", "--command", "id", "--commit", "-o", "b", "-t", "b"},
		"spec: fromImage: no.tar: No such file or directory"},
	{{"spec.json", "--command", "id", "--image", "x"},
		"usage: --image: the specification says which image it builds on"},
	{{"spec.json", "--command", "id", "--platform", "linux/arm64"},
		"usage: --platform: the specification says which image it builds on"},
	{{"broken.json", "--command", "id"},
		"spec: broken.json: name: is the number 1, a string that is not empty is wanted"},
	{{"no.json", "--command", "id"}, "spec: no.json: cannot open: No such file or directory"},
	{{"kept", "--command", "id", "--commit", "-o", "b", "-t", "b"},
		"usage: --commit: cannot be done with disks that a build has kept: the image is "
		"not there; name the image or SPEC.json instead"},
	{{"kept", "--command", "id", "--changes"},
		"usage: --changes: cannot be done with disks that a build has kept: the image is "
		"not there; name the image or SPEC.json instead"},
	{{"kept", "--command", "id", "--image", "x"},
		"usage: --image: cannot be done with disks that a build has kept: the image is "
		"not there; name the image or SPEC.json instead"},
	{{"kept", "--command", "id", "--platform", "linux/arm64"},
		"usage: --platform: cannot be done with disks that a build has kept: the image is "
		"not there; name the image or SPEC.json instead"},
	{{"a.tar", "--command", "id", "--mount", "type=bind,src=no/such,dst=/b"},
		"spec: mounts: src: no/such: No such file or directory"},
	{{"a.tar", "--command", "id", "--network", "slirp"},
		"usage: --network: is \"slirp\", \"none\" or \"user\" is wanted"},
	{{"kept", "--command", "id", "--secret", "id=a,src=base.tar"},
		"usage: --secret: cannot be done with disks that a build has kept: the image is "
		"not there; name the image or SPEC.json instead"},
	{{"kept", "--command", "id", "--disk-size", "10"},
		"usage: --disk-size: cannot be done with disks that a build has kept: the image "
		"is not there; name the image or SPEC.json instead"},
};

static void check_row(const struct row *row)
{
	char *argv[ARGUMENTS_MAX + 2];
	int argc = rig_argv("debug", row->arguments, ARGUMENTS_MAX, argv);
	cleanup_debug_options struct debug_options options = {0};
	struct error err;
	int r = debug_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	assert_non_null(options.build->report);
	cleanup_free char *found =
		r < 0          ? xasprintf("%s: %s", error_kind_name(err.kind), err.message)
		: options.help ? xstrdup("help")
			       : dump(&options);
	if (strcmp(found, row->expected) != 0)
		fail_msg(
			"%s ...: expected\n%s\nfound\n%s", row->arguments[0], row->expected, found);
	rig_argv_free(argv);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check_row(&rows[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_rows, enter_folder, leave_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
