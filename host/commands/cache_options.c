#include "commands/cache_options.h"

#include <errno.h>
#include <string.h>

#include "cache/list.h"
#include "commands/flag_values.h"
#include "commands/run_flags.h"
#include "spec/json_text.h"
#include "support/memory.h"
#include "support/size.h"

static const struct argv_word actions[CACHE_ACTIONS] = {
	[CACHE_LS] = {"ls", "list the entries, those that were used last first"},
	[CACHE_DU] = {"du", "show what the entries of each kind take"},
	[CACHE_PRUNE] = {"prune",
		"remove entries, those that were not used for the longest time first, until the "
		"limits are kept; with --all or KIND all of them"},
	[CACHE_VERIFY] = {"verify", "read all entries, and remove those that are damaged"},
	[CACHE_WARM] = {"warm", "make what a build would make at its first run"},
};

/* A row of the table, with the actions that it is for: a bit of 1 << action for each. */
struct cache_flag {
	struct field_flag is; /* first, for argv.h */
	unsigned actions;
};

static int take_format(void *field, const char *value, struct error *err)
{
	static const char *const words[] = {"text", "json"};
	size_t i = 0;
	int r = value_choice(value, words, 2, &i, err);
	if (r == 0)
		*(enum cache_format *)field = (enum cache_format)i;
	return r;
}

static int take_bound(void *field, const char *value, struct error *err)
{
	struct cache_bound *bound = field;
	uint64_t mebibytes = 0;
	int r = value_mebibytes(value, 0, SIZE_MEBIBYTES_MAX, &mebibytes, err);
	if (r == 0)
		*bound = (struct cache_bound){.is_given = true, .bytes = mebibytes << 20};
	return r;
}

static int take_cpus(void *field, const char *value, struct error *err)
{
	return value_cpus(value, field, err);
}

/* clang-format off */
#define FIELD(actions, ...) {FLAG_FIELD(struct cache_options, __VA_ARGS__), actions}
#define HEADING(text) {FLAG_HEADING(text), 0}
#define ANY ((1u << CACHE_ACTIONS) - 1)
#define SHOW (1u << CACHE_LS | 1u << CACHE_DU)
#define PRUNE (1u << CACHE_PRUNE)
#define WARM (1u << CACHE_WARM)

static const struct cache_flag flags[] = {
	HEADING("ls and du"),
	FIELD(SHOW, "format", '\0', "text|json", take_format, format,
		"text for people, or one JSON document; else text"),

	HEADING("prune"),
	FIELD(PRUNE, "all", '\0', NULL, field_yes, all,
		"the disks of cache mounts too; without a limit, everything"),
	FIELD(PRUNE, "max-size", '\0', "SIZE", take_bound, max_size,
		"what may be left: MiB, or with M, G or T; else LAYERVM_CACHE_MAX_SIZE"),
	FIELD(PRUNE, "min-free", '\0', "SIZE", take_bound, min_free,
		"what the file system is to have free then; else LAYERVM_CACHE_MIN_FREE"),

	HEADING("warm"),
	FIELD(WARM, "from", '\0', "FILE", field_text, from,
		"base image archive, whose disk is made too"),
	FIELD(WARM, "image", '\0', "NAME[:TAG]", field_image_name, image,
		"which image of several in that archive; else the first"),
	FIELD(WARM, "platform", '\0', "OS/ARCH[/VARIANT]", field_platform, image,
		"which platform of several, such as linux/arm64; else the host's"),
	FIELD(WARM, "disk-size", '\0', "SIZE", field_disk_size, disk_size,
		"room on that disk, as for build; else 1024"),
	FIELD(WARM, "memory", '\0', "SIZE", field_memory, memory,
		"of the guest: MiB, or with M or G after it; else 512"),
	FIELD(WARM, "cpus", '\0', "N|host", take_cpus, cpus, "of the guest; else as for build"),
	FIELD(WARM, "accel", '\0', "auto|kvm|tcg", field_accel, accel,
		"else auto: KVM where it works"),
	FIELD(WARM, "mount", '\0', "type=TYPE,dst=PATH,...", run_flag_mount, extras,
		"as for build: a guest with such disks, and the disks; may come again"),
	FIELD(WARM, "network", '\0', "none|user", run_flag_network, extras,
		"as for build: a guest with a network or without; else without"),

	HEADING("Messages"),
	FIELD(ANY, "progress", '\0', "auto|plain|tty|json", field_progress, progress,
		"how standard error reads; else auto: tty on a terminal, plain elsewhere"),
	FIELD(ANY, "quiet", 'q', NULL, field_yes, quiet, "warnings and errors only"),
	{{.is = {"help", 'h', NULL, "show this text"}}, ANY},
};
/* clang-format on */

/* Of each action, the first flag that is not for it: which one counts is known at the end. */
static int take_flag(
	void *target, const struct argv_flag *flag, const char *value, struct error *err)
{
	struct cache_options *options = target;
	unsigned fits = ((const struct cache_flag *)flag)->actions;
	for (size_t i = 0; i < CACHE_ACTIONS; i++) {
		if ((fits & 1u << i) == 0 && options->misfits[i] == NULL)
			options->misfits[i] = flag->name;
	}
	return field_flag_take(target, flag, value, err);
}

static int take_action(struct cache_options *options, const char *value, struct error *err)
{
	const char *words[CACHE_ACTIONS];
	size_t i = 0;
	for (size_t k = 0; k < CACHE_ACTIONS; k++)
		words[k] = actions[k].name;
	int r = value_choice(value, words, CACHE_ACTIONS, &i, err);
	if (r == 0)
		options->action = (enum cache_action)i;
	return r < 0 ? error_wrap(err, r, "what is to be done") : 0;
}

static int take_operand(void *target, const char *value, struct error *err)
{
	struct cache_options *options = target;
	cleanup_free char *quoted = json_text_quote(value);
	if (options->action == CACHE_ACTIONS)
		return take_action(options, value, err);
	if (options->action != CACHE_PRUNE || options->kind != NULL)
		return error_set(err, ERROR_USAGE, EINVAL, "%s is one argument too many", quoted);
	if (!cache_is_kind_name(value))
		return error_set(err, ERROR_USAGE, EINVAL,
			"%s is no kind of entries; layervm cache du lists those there are", quoted);
	options->kind = xstrdup(value);
	return 0;
}

const struct argv_command cache_argv = {
	.name = "cache",
	.usage = "Usage: layervm cache ls|du|verify|warm [FLAG...]\n"
		 "       layervm cache prune [KIND] [FLAG...]\n\n"
		 "Shows and tends the user's cache: saved guests, disks, finished layers.\n",
	.more = "layervm-cache(1) tells the rest.",
	.words = actions,
	.word_count = CACHE_ACTIONS,
	.flags = flags,
	.flag_size = sizeof(flags[0]),
	.flag_count = sizeof(flags) / sizeof(flags[0]),
	.take = take_flag,
	.operand = take_operand,
};

static int check(const struct cache_options *options, struct error *err)
{
	if (options->action == CACHE_ACTIONS)
		return error_set(err, ERROR_USAGE, EINVAL,
			"what is to be done is missing; see layervm cache --help");
	const char *misfit = options->misfits[options->action];
	if (misfit != NULL)
		return error_set(err, ERROR_USAGE, EINVAL, "--%s: is no flag of layervm cache %s",
			misfit, actions[options->action].name);
	if (options->from == NULL &&
		(options->image.name != NULL || options->image.architecture != NULL ||
			options->disk_size != 0))
		return error_set(err, ERROR_USAGE, EINVAL,
			"--from: is missing; --image, --platform and --disk-size are about it");
	return 0;
}

int cache_options_parse(
	int argc, char **argv, int report_fd, struct cache_options *options, struct error *err)
{
	options->action = CACHE_ACTIONS;
	int r = argv_parse(&cache_argv, argc, argv, options, &options->help, err);
	options->report = progress_report(options->progress, options->quiet, report_fd);
	return r < 0 || options->help ? r : check(options, err);
}

void cache_options_free(struct cache_options *options)
{
	free(options->kind);
	free(options->from);
	image_choice_free(&options->image);
	extras_spec_free(&options->extras);
	report_free(options->report);
	*options = (struct cache_options){0};
}
