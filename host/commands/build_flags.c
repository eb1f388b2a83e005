#include "commands/build_flags.h"

#include <errno.h>
#include <string.h>

#include "commands/config_flags.h"
#include "commands/flag_values.h"
#include "spec/json_text.h"
#include "support/memory.h"

#define LOG_LIMIT_MAX (1024 * 1024) /* MiB */

static int take_text(char **to, const char *value, struct error *err)
{
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "is empty");
	free(*to);
	*to = xstrdup(value);
	return 0;
}

static int take_output(struct build_flags *flags, const char *value, struct error *err)
{
	return take_text(&flags->options->output, value, err);
}

static int take_iidfile(struct build_flags *flags, const char *value, struct error *err)
{
	return take_text(&flags->options->iidfile, value, err);
}

static int take_metadata_file(struct build_flags *flags, const char *value, struct error *err)
{
	return take_text(&flags->options->metadata_file, value, err);
}

static int take_timings(struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->options->timings = true;
	return 0;
}

static int take_no_cache(struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->options->no_cache = true;
	return 0;
}

static int take_verify(struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->options->verify = true;
	return 0;
}

static int take_keep(struct build_flags *flags, const char *value, struct error *err)
{
	return take_text(&flags->options->keep, value, err);
}

static int take_debug_on_failure(struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->options->debug_on_failure = true;
	return 0;
}

static int take_compression(struct build_flags *flags, const char *value, struct error *err)
{
	flags->options->compression_given = true;
	return value_compression(value, &flags->options->compression, err);
}

static int take_timeout(struct build_flags *flags, const char *value, struct error *err)
{
	return value_timeout(value, &flags->options->timeout, err);
}

static int take_accel(struct build_flags *flags, const char *value, struct error *err)
{
	return value_accel(value, &flags->options->accel, err);
}

static int take_reader(struct build_flags *flags, const char *value, struct error *err)
{
	static const char *const words[] = {"own", "guestfs"};
	size_t index = 0;
	int r = value_choice(value, words, 2, &index, err);
	if (r == 0)
		flags->options->reader = (enum guest_reader)index;
	return r;
}

static int take_cpus(struct build_flags *flags, const char *value, struct error *err)
{
	return value_cpus(value, &flags->options->cpus, err);
}

static int take_log_limit(struct build_flags *flags, const char *value, struct error *err)
{
	uint64_t mebibytes = 0;
	int r = value_mebibytes(value, 0, LOG_LIMIT_MAX, &mebibytes, err);
	if (r == 0)
		flags->options->log_limit = mebibytes << 20;
	return r;
}

static int take_source_date_epoch(struct build_flags *flags, const char *value, struct error *err)
{
	uint64_t seconds = 0;
	int r = value_number(
		value, 0, SPEC_TIME_MAX, "a number of seconds since 1970", &seconds, err);
	if (r < 0)
		return r;
	flags->options->has_source_date_epoch = true;
	flags->options->source_date_epoch = (int64_t)seconds;
	return 0;
}

static int take_progress(struct build_flags *flags, const char *value, struct error *err)
{
	return progress_parse(value, &flags->progress, err);
}

static int take_quiet(struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->quiet = true;
	return 0;
}

static int take_tag(struct build_flags *flags, const char *value, struct error *err)
{
	return build_options_add_tag(flags->options, value, err);
}

static int take_from(struct build_flags *flags, const char *value, struct error *err)
{
	return take_text(&flags->options->spec->from_image, value, err);
}

static int take_from_name(struct build_flags *flags, const char *value, struct error *err)
{
	struct build_spec *spec = flags->options->spec;
	return value_image_name(value, &spec->from_image_name, &spec->from_image_tag, err);
}

/* The first --copy replaces what the spec has. */
static int take_copy(struct build_flags *flags, const char *value, struct error *err)
{
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "is empty");
	if (!flags->copies_given)
		spec_clear_copies(flags->options->spec);
	flags->copies_given = true;
	spec_add_copy(flags->options->spec, value);
	return 0;
}

static int take_keep_contents_dirlinks(
	struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->options->spec->keep_contents_dirlinks = true;
	return 0;
}

static int take_copy_keep_modes(struct build_flags *flags, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	flags->options->spec->keep_contents_modes = true;
	return 0;
}

/* One script a build: of two, neither is passed over in silence. */
static int take_script(bool *given, char **to, const char *value, struct error *err,
	int (*read)(const char *text, char **value, struct error *err))
{
	char *script = NULL;
	if (*given)
		return error_set(
			err, ERROR_USAGE, EINVAL, "there is a script already; put both into one");
	int r = read(value, &script, err);
	if (r < 0)
		return r;
	*given = true;
	free(*to);
	*to = script;
	return 0;
}

static int take_run(struct build_flags *flags, const char *value, struct error *err)
{
	return take_script(
		&flags->run_given, &flags->options->spec->run_as_root, value, err, value_script);
}

static int take_run_file(struct build_flags *flags, const char *value, struct error *err)
{
	return take_script(&flags->run_given, &flags->options->spec->run_as_root, value, err,
		value_script_file);
}

static int take_extra_commands(struct build_flags *flags, const char *value, struct error *err)
{
	return take_script(&flags->extra_commands_given, &flags->options->spec->extra_commands,
		value, err, value_script);
}

static int take_architecture(struct build_flags *flags, const char *value, struct error *err)
{
	int r = spec_check_architecture(value, err);
	return r < 0 ? r : take_text(&flags->options->spec->architecture, value, err);
}

static int take_disk_size(struct build_flags *flags, const char *value, struct error *err)
{
	uint64_t size = 0;
	int r = value_mebibytes(value, SPEC_DISK_SIZE_MIN, SPEC_DISK_SIZE_MAX, &size, err);
	if (r == 0)
		flags->options->spec->disk_size = (uint32_t)size;
	return r;
}

static int take_memory(struct build_flags *flags, const char *value, struct error *err)
{
	uint64_t size = 0;
	int r = value_mebibytes(value, SPEC_MEMORY_SIZE_MIN, SPEC_MEMORY_SIZE_MAX, &size, err);
	if (r == 0)
		flags->options->spec->memory_size = (uint32_t)size;
	return r;
}

static int take_created(struct build_flags *flags, const char *value, struct error *err)
{
	if (spec_set_created(flags->options->spec, value))
		return 0;
	cleanup_free char *quoted = json_text_quote(value);
	return error_set(err, ERROR_USAGE, EINVAL,
		"is %s, \"now\" or an ISO 8601 time with its zone from 1970 on, such as "
		"\"2024-05-01T12:00:00Z\" or \"2024-05-01\", is wanted",
		quoted);
}

static int take_id(uint32_t *to, const char *value, struct error *err)
{
	uint64_t id = 0;
	int r = value_number(value, 0, SPEC_ID_MAX, "an ID", &id, err);
	if (r == 0)
		*to = (uint32_t)id;
	return r;
}

static int take_uid(struct build_flags *flags, const char *value, struct error *err)
{
	return take_id(&flags->options->spec->uid, value, err);
}

static int take_gid(struct build_flags *flags, const char *value, struct error *err)
{
	return take_id(&flags->options->spec->gid, value, err);
}

/* clang-format off */
#define HEADING(text) {.is = {.help = (text)}}
#define RUN(name, letter, argument, take, help) {{name, letter, argument, help}, false, take, NULL, NULL}
#define SPEC(name, letter, argument, take, help) {{name, letter, argument, help}, true, take, NULL, NULL}
#define CONFIG(name, argument, take, help) {{name, '\0', argument, help}, true, NULL, take, NULL}
#define EXTRA(name, argument, take, help) {{name, '\0', argument, help}, true, NULL, NULL, take}

const struct flag build_flag_table[] = {
	HEADING("Result"),
	RUN("output", 'o', "FILE", take_output,
		"the image archive to write; - is standard output (required)"),
	RUN("compression", '\0', "none|gzip|zstd", take_compression,
		"of the archive; else FILE's ending decides: .gz or .tgz, .zst, none"),
	SPEC("tag", 't', "NAME[:TAG]", take_tag,
		"name of the image; again for further names"),
	RUN("iidfile", '\0', "FILE", take_iidfile, "write the image's ID there"),
	RUN("metadata-file", '\0', "FILE", take_metadata_file,
		"write there what was built from what, as JSON"),

	HEADING("Base and content"),
	SPEC("from", '\0', "FILE", take_from,
		"base image archive; - is standard input (fromImage)"),
	SPEC("from-name", '\0', "NAME[:TAG]", take_from_name,
		"which image of that archive (fromImageName, fromImageTag)"),
	SPEC("copy", '\0', "PATH", take_copy,
		"copy what is in a folder, or a file, to /; may come again (copyToRoot)"),
	SPEC("copy-keep-modes", '\0', NULL, take_copy_keep_modes,
		"keep mode and owner of the image's folders (keepContentsModes)"),
	SPEC("keep-contents-dirlinks", '\0', NULL, take_keep_contents_dirlinks,
		"keep symlinks to folders among the copied (keepContentsDirlinks)"),
	SPEC("run", '\0', "SCRIPT", take_run,
		"a script's file, or commands, to run as root in the guest (runAsRoot)"),
	SPEC("run-file", '\0', "FILE", take_run_file, "as --run, a file in any case"),
	SPEC("extra-commands", '\0', "SCRIPT", take_extra_commands,
		"as --run, but on the host, in a folder that becomes / (extraCommands)"),
	SPEC("uid", '\0', "UID", take_uid, "owner of new files"),
	SPEC("gid", '\0', "GID", take_gid, "group of new files"),

	HEADING("Configuration of the image"),
	CONFIG("env", "NAME=VALUE", config_flag_env, "an environment variable; may come again"),
	CONFIG("cmd", "COMMAND", config_flag_cmd,
		"a JSON list of strings, or a line for /bin/sh -c"),
	CONFIG("entrypoint", "COMMAND", config_flag_entrypoint, "as --cmd"),
	CONFIG("label", "NAME=VALUE", config_flag_label, "a label; may come again"),
	CONFIG("user", "USER[:GROUP]", config_flag_user, "whom containers run as"),
	CONFIG("workdir", "PATH", config_flag_workdir, "where containers start"),
	CONFIG("expose", "PORT[/PROTOCOL]", config_flag_expose, "a port; may come again"),
	CONFIG("volume", "PATH", config_flag_volume, "a volume; may come again"),
	SPEC("architecture", '\0', "GOARCH", take_architecture, "such as amd64 or arm64"),
	SPEC("created", '\0', "TIME", take_created, "ISO 8601 or now; else 1970-01-01T00:00:01Z"),
	RUN("source-date-epoch", '\0', "SECONDS", take_source_date_epoch,
		"latest time in the new layer; else SOURCE_DATE_EPOCH, else --created"),

	HEADING("Guest"),
	SPEC("memory", '\0', "SIZE", take_memory,
		"MiB, or with M or G after it; else 512 (buildVMMemorySize)"),
	SPEC("disk-size", '\0', "SIZE", take_disk_size,
		"room for what the script writes: MiB, or with M, G or T; else 1024 (diskSize)"),
	RUN("cpus", '\0', "N|host", take_cpus, "else host with KVM, 1 with TCG"),
	RUN("accel", '\0', "auto|kvm|tcg", take_accel, "else auto: KVM where it works"),
	RUN("reader", '\0', "own|guestfs", take_reader,
		"what reads the guest's disk back: layervm, confined, or libguestfs's appliance; "
		"else own"),
	RUN("timeout", '\0', "TIME", take_timeout,
		"seconds, or with s, m or h after it, for the guest's run; else no limit"),
	RUN("log-limit", '\0', "SIZE", take_log_limit,
		"of the script's output: MiB, or with M or G; else 1G; 0 is no limit"),

	RUN("no-cache", '\0', NULL, take_no_cache,
		"take nothing from the user's cache, and put nothing there: the script is run"),
	RUN("verify", '\0', NULL, take_verify,
		"check all digests, though the base is known to have them"),

	HEADING("What the guest gets besides"),
	RUN_FLAGS(EXTRA),

	HEADING("When the script fails"),
	RUN("debug-on-failure", '\0', NULL, take_debug_on_failure,
		"open a shell in the guest, on the disk as the script left it"),
	RUN("keep", '\0', "DIR", take_keep,
		"leave the guest's disks there, for layervm debug DIR; also on success"),

	HEADING("Messages"),
	RUN("progress", '\0', "auto|plain|tty|json", take_progress,
		"how standard error reads; else auto: tty on a terminal, plain elsewhere"),
	RUN("quiet", 'q', NULL, take_quiet, "warnings and errors only"),
	RUN("timings", '\0', NULL, take_timings, "show in the end where the time went, a line a stage"),
	RUN("help", 'h', NULL, NULL, "show this text"),
};
/* clang-format on */
