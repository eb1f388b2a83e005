/* Everything that reaches a script's layer is in its key, and nothing else. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands/step_key.h"
#include "hostfiles.h"
#include "support/memory.h"

/* A build, all in a folder of its own. */
struct rig {
	char *folder;
	struct build_options *options;
	struct image base; /* as far as keys look at it */
	struct image_layer layers[2];
};

static void set(char **to, const char *text)
{
	free(*to);
	*to = xstrdup(text);
}

static char *in_folder(const struct rig *rig, const char *name)
{
	return xasprintf("%s/%s", rig->folder, name);
}

static void write_file(const struct rig *rig, const char *name, const char *text, mode_t mode)
{
	cleanup_free char *path = in_folder(rig, name);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
	const struct timespec times[2] = {{.tv_sec = 5}, {.tv_sec = 5}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void add_mount(struct rig *rig, enum guest_mount_type type, const char *dst, bool read_only)
{
	struct error err;
	struct guest_mount mount = {.type = type, .dst = xstrdup(dst), .read_only = read_only};
	if (type == GUEST_MOUNT_BIND)
		mount.src = in_folder(rig, "bound");
	if (type == GUEST_MOUNT_CACHE)
		mount.id = xstrdup("cache");
	if (extras_add_mount(&rig->options->spec->extras, &mount, &err) < 0)
		fail_msg("%s", err.message);
}

static void add_host(struct rig *rig, const char *text)
{
	struct error err;
	assert_int_equal(extras_add_host(&rig->options->spec->extras, text, &err), 0);
}

static void set_config(json_object **to, const char *text)
{
	if (*to != NULL)
		json_object_put(*to);
	*to = json_tokener_parse(text);
	assert_non_null(*to);
}

static void make_folders(const struct rig *rig)
{
	static const char *const folders[] = {"one", "two", "bound"};
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		cleanup_free char *path = in_folder(rig, folders[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	write_file(rig, "one/file", "one", 0644);
	write_file(rig, "two/file", "two", 0644);
	write_file(rig, "bound/file", "bound", 0644);
	write_file(rig, "vmlinux", "kernel", 0644);
	write_file(rig, "initramfs.cpio", "init", 0644);
	write_file(rig, "unpack.cpio", "unpack", 0644);
	write_file(rig, "qemu", "qemu", 0755);
}

static void rig_open(struct rig *rig)
{
	*rig = (struct rig){.folder = folder_new(), .options = build_options_new()};
	make_folders(rig);
	cleanup_free char *qemu = in_folder(rig, "qemu");
	assert_int_equal(setenv("LAYERVM_GUEST_DIR", rig->folder, 1), 0);
	assert_int_equal(setenv("LAYERVM_QEMU", qemu, 1), 0);
	struct build_spec *spec = rig->options->spec;
	cleanup_free char *one = in_folder(rig, "one");
	cleanup_free char *two = in_folder(rig, "two");
	set(&spec->name, "name");
	set(&spec->run_as_root, "true");
	spec_add_copy(spec, one);
	spec_add_copy(spec, two);
	add_mount(rig, GUEST_MOUNT_BIND, "/bound", true);
	add_mount(rig, GUEST_MOUNT_TMPFS, "/tmpfs", false);
	add_host(rig, "host:10.0.0.1");
	set_config(&spec->config, "{\"Env\":[\"A=1\"]}");
	set_config(&rig->base.config, "{\"config\":{\"Env\":[\"B=1\"]}}");
	rig->layers[0].diff_id = digest_of("0", 1);
	rig->layers[1].diff_id = digest_of("1", 1);
	rig->base.layers = rig->layers;
	rig->base.layer_count = 2;
}

static void rig_close(struct rig *rig)
{
	json_object_put(rig->base.config);
	build_options_free(rig->options);
	folder_remove(rig->folder);
}

static struct digest key_of(const struct rig *rig)
{
	struct digest key;
	struct error err;
	if (step_key(rig->options, &rig->base, &key, &err) < 0)
		fail_msg("%s", err.message);
	return key;
}

/* -- one change a function -------------------------------------------------------------------- */

static void change_script(struct rig *rig)
{
	set(&rig->options->spec->run_as_root, "true ");
}

static void change_spec_env(struct rig *rig)
{
	set_config(&rig->options->spec->config, "{\"Env\":[\"A=2\"]}");
}

static void change_base_env(struct rig *rig)
{
	set_config(&rig->base.config, "{\"config\":{\"Env\":[\"B=2\"]}}");
}

static void change_env_pieces(struct rig *rig)
{
	set_config(&rig->base.config, "{\"config\":{\"Env\":[\"B=1A=1\"]}}");
	set_config(&rig->options->spec->config, "{}");
}

static void change_layer(struct rig *rig)
{
	rig->layers[0].diff_id = digest_of("2", 1);
}

static void drop_layer(struct rig *rig)
{
	rig->base.layer_count = 1;
}

static void drop_layers(struct rig *rig)
{
	rig->base.layer_count = 0;
}

static void change_copied_text(struct rig *rig)
{
	write_file(rig, "one/file", "eno", 0644);
}

static void change_copied_mode(struct rig *rig)
{
	write_file(rig, "one/file", "one", 0600);
}

static void change_copied_time(struct rig *rig)
{
	cleanup_free char *path = in_folder(rig, "one/file");
	const struct timespec times[2] = {{.tv_sec = 6}, {.tv_sec = 6}};
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void change_copied_name(struct rig *rig)
{
	cleanup_free char *from = in_folder(rig, "one/file");
	cleanup_free char *to = in_folder(rig, "one/elif");
	assert_int_equal(rename(from, to), 0);
}

static void swap_copies(struct rig *rig)
{
	char **copies = rig->options->spec->copy_to_root;
	char *first = copies[0];
	copies[0] = copies[1];
	copies[1] = first;
}

static void drop_copies(struct rig *rig)
{
	spec_clear_copies(rig->options->spec);
}

static void change_dirlinks(struct rig *rig)
{
	rig->options->spec->keep_contents_dirlinks = true;
}

static void change_kept_modes(struct rig *rig)
{
	rig->options->spec->keep_contents_modes = true;
}

static void change_uid(struct rig *rig)
{
	rig->options->spec->uid = 1;
}

static void change_gid(struct rig *rig)
{
	rig->options->spec->gid = 1;
}

static void change_bound_text(struct rig *rig)
{
	write_file(rig, "bound/file", "dnuob", 0644);
}

static void change_mount_place(struct rig *rig)
{
	set(&rig->options->spec->extras.mounts[0].dst, "/elsewhere");
}

static void change_mount_access(struct rig *rig)
{
	rig->options->spec->extras.mounts[0].read_only = false;
}

static void change_mount_type(struct rig *rig)
{
	rig->options->spec->extras.mounts[0].type = GUEST_MOUNT_TMPFS;
}

static void change_tmpfs_size(struct rig *rig)
{
	rig->options->spec->extras.mounts[1].size_mib = 7;
}

static void drop_mounts(struct rig *rig)
{
	struct guest_extras_spec *extras = &rig->options->spec->extras;
	extras_spec_free(extras);
	add_host(rig, "host:10.0.0.1");
}

static void change_host(struct rig *rig)
{
	set(&rig->options->spec->extras.hosts[0].name, "other");
}

static void change_address(struct rig *rig)
{
	set(&rig->options->spec->extras.hosts[0].address, "10.0.0.2");
}

static void change_host_pieces(struct rig *rig)
{
	set(&rig->options->spec->extras.hosts[0].name, "host1");
	set(&rig->options->spec->extras.hosts[0].address, "0.0.0.1");
}

static void add_second_host(struct rig *rig)
{
	add_host(rig, "second:10.0.0.3");
}

static void change_memory(struct rig *rig)
{
	rig->options->spec->memory_size = 300;
}

static void change_disk_size(struct rig *rig)
{
	rig->options->spec->disk_size = 300;
}

static void change_cpus(struct rig *rig)
{
	rig->options->cpus += 1;
}

static void change_reader(struct rig *rig)
{
	rig->options->reader = GUEST_READER_GUESTFS;
}

static void change_created(struct rig *rig)
{
	rig->options->spec->created = 12345;
}

static void change_epoch(struct rig *rig)
{
	rig->options->has_source_date_epoch = true;
	rig->options->source_date_epoch = 12346;
}

static void change_kernel(struct rig *rig)
{
	write_file(rig, "vmlinux", "Kernel", 0644);
}

static void change_initramfs(struct rig *rig)
{
	write_file(rig, "initramfs.cpio", "tini", 0644);
}

static void change_qemu(struct rig *rig)
{
	write_file(rig, "qemu", "umeq", 0755);
}

/* What has no part in the layer. */

static void change_nothing(struct rig *rig)
{
	(void)rig;
}

static void change_result(struct rig *rig)
{
	struct error err;
	set(&rig->options->output, "other.tar");
	set(&rig->options->metadata_file, "metadata");
	set(&rig->options->spec->extra_commands, "true");
	rig->options->compression = IMAGE_ZSTD;
	assert_int_equal(build_options_add_tag(rig->options, "other:1", &err), 0);
}

static void change_config(struct rig *rig)
{
	set_config(&rig->options->spec->config, "{\"Env\":[\"A=1\"],\"Cmd\":[\"/x\"]}");
	set_config(&rig->base.config, "{\"config\":{\"Env\":[\"B=1\"],\"User\":\"me\"}}");
}

static void change_ending(struct rig *rig)
{
	rig->options->timeout = 5;
	rig->options->log_limit = 5;
	rig->options->accel = VM_ACCEL_TCG;
}

static void change_unpack_initramfs(struct rig *rig)
{
	write_file(rig, "unpack.cpio", "kcapnu", 0644);
}

/* The same layers and files under other names. */
static void change_paths(struct rig *rig)
{
	cleanup_free char *from = in_folder(rig, "one");
	cleanup_free char *to = in_folder(rig, "three");
	assert_int_equal(rename(from, to), 0);
	set(&rig->options->spec->copy_to_root[0], to);
	set(&rig->options->spec->from_image, "elsewhere.tar");
}

static const struct {
	const char *what;
	void (*change)(struct rig *rig);
	bool same;
} changes[] = {
	{"nothing", change_nothing, true},
	{"the result", change_result, true},
	{"the image's config", change_config, true},
	{"how it may end", change_ending, true},
	{"another guest's files", change_unpack_initramfs, true},
	{"paths", change_paths, true},
	{"the script", change_script, false},
	{"the spec's environment", change_spec_env, false},
	{"the base's environment", change_base_env, false},
	{"where variables end", change_env_pieces, false},
	{"a layer", change_layer, false},
	{"a layer less", drop_layer, false},
	{"no layer", drop_layers, false},
	{"what is copied", change_copied_text, false},
	{"its mode", change_copied_mode, false},
	{"its time", change_copied_time, false},
	{"its name", change_copied_name, false},
	{"the order of copies", swap_copies, false},
	{"no copies", drop_copies, false},
	{"symlinks to folders", change_dirlinks, false},
	{"modes of the image's folders", change_kept_modes, false},
	{"the owner", change_uid, false},
	{"the group", change_gid, false},
	{"what is mounted", change_bound_text, false},
	{"where it is", change_mount_place, false},
	{"that it can be written", change_mount_access, false},
	{"a mount's type", change_mount_type, false},
	{"a mount's size", change_tmpfs_size, false},
	{"no mounts", drop_mounts, false},
	{"a host's name", change_host, false},
	{"a host's address", change_address, false},
	{"where a host's name ends", change_host_pieces, false},
	{"one host more", add_second_host, false},
	{"memory", change_memory, false},
	{"room on the disk", change_disk_size, false},
	{"CPUs", change_cpus, false},
	{"the reader", change_reader, false},
	{"the time of creation", change_created, false},
	{"the latest time", change_epoch, false},
	{"the kernel", change_kernel, false},
	{"the initramfs", change_initramfs, false},
	{"QEMU", change_qemu, false},
};

static void test_changes(void **state)
{
	enum { COUNT = sizeof(changes) / sizeof(changes[0]) };
	struct digest keys[COUNT];
	(void)state;
	for (size_t i = 0; i < COUNT; i++) {
		struct rig rig;
		rig_open(&rig);
		struct digest before = key_of(&rig);
		changes[i].change(&rig);
		keys[i] = key_of(&rig);
		bool same = digest_equal(&before, &keys[i]);
		rig_close(&rig);
		if (same != changes[i].same)
			fail_msg("%s: the key is %s", changes[i].what,
				same ? "the same" : "another");
	}
}

/* What a run cannot read either. */
static void test_unreadable(void **state)
{
	static const struct {
		const char *name;
		enum error_kind kind;
	} files[] = {{"one/file", ERROR_INPUT}, {"bound/file", ERROR_INPUT},
		{"initramfs.cpio", ERROR_INTERNAL}, {"qemu", ERROR_QEMU}};
	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct rig rig;
		struct digest key;
		struct error err;
		rig_open(&rig);
		cleanup_free char *path = in_folder(&rig, files[i].name);
		assert_int_equal(unlink(path), 0);
		/* A folder's file is gone with its folder. */
		if (files[i].kind == ERROR_INPUT) {
			*strrchr(path, '/') = '\0';
			assert_int_equal(rmdir(path), 0);
		}
		assert_true(step_key(rig.options, &rig.base, &key, &err) < 0);
		assert_int_equal(err.kind, files[i].kind);
		rig_close(&rig);
	}
}

/* -- what is not kept ------------------------------------------------------------------------- */

static void use_network(struct rig *rig)
{
	rig->options->spec->extras.network = GUEST_NETWORK_USER;
}

static void use_secret(struct rig *rig)
{
	struct error err;
	struct guest_secret secret = {.id = xstrdup("s"), .env = xstrdup("HOME")};
	assert_int_equal(extras_add_secret(&rig->options->spec->extras, &secret, &err), 0);
}

static void use_cache_mount(struct rig *rig)
{
	add_mount(rig, GUEST_MOUNT_CACHE, "/cache", false);
}

static void use_debug(struct rig *rig)
{
	rig->options->debug_on_failure = true;
}

static void use_keep(struct rig *rig)
{
	set(&rig->options->keep, "kept");
}

static void use_session(struct rig *rig)
{
	static const struct session_options session;
	rig->options->session = &session;
}

static void use_no_script(struct rig *rig)
{
	free(rig->options->spec->run_as_root);
	rig->options->spec->run_as_root = NULL;
}

static void use_now(struct rig *rig)
{
	assert_true(spec_set_created(rig->options->spec, "now"));
}

static void use_now_and_epoch(struct rig *rig)
{
	use_now(rig);
	change_epoch(rig);
}

static void test_repeatable(void **state)
{
	static const struct {
		const char *what;
		void (*change)(struct rig *rig);
		bool repeatable;
	} cases[] = {
		{"nothing special", change_nothing, true},
		{"now, and a latest time", use_now_and_epoch, true},
		{"now", use_now, false},
		{"a network", use_network, false},
		{"a secret", use_secret, false},
		{"a cache mount", use_cache_mount, false},
		{"a shell after a failure", use_debug, false},
		{"disks that are kept", use_keep, false},
		{"a session", use_session, false},
		{"no script", use_no_script, false},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rig rig;
		rig_open(&rig);
		cases[i].change(&rig);
		bool repeatable = step_is_repeatable(rig.options);
		rig_close(&rig);
		if (repeatable != cases[i].repeatable)
			fail_msg("%s: is %srepeatable", cases[i].what, repeatable ? "" : "not ");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_repeatable),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
