/* The table of debug_options.h. */
#include <errno.h>
#include <string.h>

#include "commands/debug_options.h"
#include "commands/env_list.h"
#include "commands/flag_values.h"
#include "commands/run_flags.h"
#include "spec/json_text.h"
#include "support/memory.h"

static int take_operand(void *target, const char *value, struct error *err)
{
	struct debug_options *options = target;
	if (options->path != NULL)
		return error_set(err, ERROR_USAGE, EINVAL, "one image is taken, here are %s and %s",
			options->path, value);
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "the path of the image is empty");
	options->path = xstrdup(value);
	return 0;
}

static int take_env(void *field, const char *value, struct error *err)
{
	char ***env = field;
	if (strchr(value, '=') == NULL || value[0] == '=') {
		cleanup_free char *quoted = json_text_quote(value);
		return error_set(err, ERROR_USAGE, EINVAL, "is %s, NAME=VALUE is wanted", quoted);
	}
	env_list_set(env, value);
	return 0;
}

static int take_workdir(void *field, const char *value, struct error *err)
{
	if (value[0] != '/') {
		cleanup_free char *quoted = json_text_quote(value);
		return error_set(err, ERROR_USAGE, EINVAL,
			"is %s, an absolute path in the image is wanted", quoted);
	}
	return field_text(field, value, err);
}

/* What a build's options take: the field is where they are. */
static int take_output(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	return field_text(&(*build)->output, value, err);
}

static int take_tag(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	return build_options_add_tag(*build, value, err);
}

static int take_compression(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	(*build)->compression_given = true;
	return value_compression(value, &(*build)->compression, err);
}

static int take_cpus(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	return value_cpus(value, &(*build)->cpus, err);
}

static int take_timeout(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	return value_timeout(value, &(*build)->timeout, err);
}

static int take_no_cache(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	(void)value;
	(void)err;
	(*build)->no_cache = true;
	return 0;
}

static int take_verify(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	(void)value;
	(void)err;
	(*build)->verify = true;
	return 0;
}

static int take_accel(void *field, const char *value, struct error *err)
{
	struct build_options **build = field;
	return value_accel(value, &(*build)->accel, err);
}

/* The flags of what a guest gets besides the image wait: a spec that is read has some too. */
static int take_flag(
	void *target, const struct argv_flag *argv_flag, const char *value, struct error *err)
{
	struct debug_options *options = target;
	const struct field_flag *flag = (const struct field_flag *)argv_flag;
	if (flag->offset != offsetof(struct debug_options, pending))
		return field_flag_take(target, argv_flag, value, err);
	options->pending = array_grow(options->pending, options->pending_count,
		&options->pending_capacity, sizeof(*options->pending));
	options->pending[options->pending_count++] =
		(struct pending_field){.flag = flag, .value = value};
	return 0;
}

/* clang-format off */
#define PENDING(name, argument, take, help) \
	{{name, '\0', argument, help}, take, offsetof(struct debug_options, pending)}
#define HEADING(text) {.is = {.help = (text)}}
#define FIELD(name, letter, argument, take, field, help) \
	{{name, letter, argument, help}, take, offsetof(struct debug_options, field)}

static const struct field_flag flags[] = {
	HEADING("Session"),
	FIELD("command", '\0', "COMMAND", field_text, session.command,
		"a line for the image's sh, with standard input, output and error passed on; else "
		"a shell on the terminal"),
	FIELD("user", '\0', "USER[:GROUP]", field_text, session.user, "whom to run as; else root"),
	FIELD("workdir", '\0', "PATH", take_workdir, session.workdir,
		"where to start; else the image's WorkingDir"),
	FIELD("env", '\0', "NAME=VALUE", take_env, session.env,
		"an environment variable, besides the image's; may come again"),

	HEADING("Result"),
	FIELD("changes", '\0', NULL, field_yes, session.list,
		"list what was added (A), changed (C) and deleted (D)"),
	FIELD("commit", '\0', NULL, field_yes, commit,
		"write an image with what was changed as a new layer; else it is thrown away"),
	FIELD("output", 'o', "FILE", take_output, build,
		"the image archive to write (with --commit)"),
	FIELD("compression", '\0', "none|gzip|zstd", take_compression, build,
		"of the archive; else FILE's ending decides: .gz or .tgz, .zst, none"),
	FIELD("tag", 't', "NAME[:TAG]", take_tag, build,
		"name of the image; again for further names (with --commit)"),

	HEADING("Image"),
	FIELD("image", '\0', "NAME[:TAG]", field_image_name, image,
		"which image of several; else the first"),
	FIELD("platform", '\0', "OS/ARCH[/VARIANT]", field_platform, image,
		"which platform of several, such as linux/arm64; else the host's"),

	HEADING("Guest"),
	FIELD("memory", '\0', "SIZE", field_memory, memory,
		"MiB, or with M or G after it; else the specification's, or 512"),
	FIELD("disk-size", '\0', "SIZE", field_disk_size, disk_size,
		"room for what is written: MiB, or with M, G or T; else the specification's, or "
		"1024"),
	FIELD("cpus", '\0', "N|host", take_cpus, build, "else host with KVM, 1 with TCG"),
	FIELD("accel", '\0', "auto|kvm|tcg", take_accel, build, "else auto: KVM where it works"),
	FIELD("timeout", '\0', "TIME", take_timeout, build,
		"seconds, or with s, m or h after it, for the guest's run; else no limit"),
	FIELD("no-cache", '\0', NULL, take_no_cache, build,
		"take nothing from the user's cache, and put nothing there"),
	FIELD("verify", '\0', NULL, take_verify, build,
		"check all digests, though the image is known to have them"),
	RUN_FLAGS(PENDING),

	HEADING("Messages"),
	FIELD("progress", '\0', "auto|plain|tty|json", field_progress, progress,
		"how standard error reads; else auto: tty on a terminal, plain elsewhere"),
	FIELD("quiet", 'q', NULL, field_yes, quiet, "warnings and errors only"),
	{.is = {"help", 'h', NULL, "show this text"}},
};
/* clang-format on */

const struct argv_command debug_argv = {
	.name = "debug",
	.usage = "Usage: layervm debug IMAGE|SPEC.json|DIR [FLAG...]\n\n"
		 "Boots a throwaway virtual machine on an image and gives a shell in it. IMAGE is\n"
		 "what layervm export takes, but not standard input; of SPEC.json it is the state\n"
		 "before runAsRoot; DIR holds the disks that layervm build --keep DIR has left.\n",
	.more = "layervm-debug(1) tells the rest.",
	.flags = flags,
	.flag_size = sizeof(flags[0]),
	.flag_count = sizeof(flags) / sizeof(flags[0]),
	.take = take_flag,
	.operand = take_operand,
};
