#include "commands/export_options.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/flag_values.h"
#include "commands/guest_unpack.h"
#include "spec/spec.h"
#include "support/memory.h"
#include "support/output.h"

/* The guest's memory, where nobody said another, in MiB. */
#define MEMORY_DEFAULT 512

static int take_source(void *target, const char *value, struct error *err)
{
	struct export_options *options = target;
	return operand_image(&options->source, value, err);
}

/* A name in a folder, so that it leads to no other. */
static int take_name(void *field, const char *value, struct error *err)
{
	if (strchr(value, '/') != NULL || strcmp(value, ".") == 0 || strcmp(value, "..") == 0)
		return error_set(err, ERROR_USAGE, EINVAL,
			"is \"%s\", a file's name without a folder is wanted", value);
	return field_text(field, value, err);
}

static int take_compression(void *field, const char *value, struct error *err)
{
	struct compression_choice *choice = field;
	choice->given = true;
	return value_compression(value, &choice->compression, err);
}

static int take_mtime(void *field, const char *value, struct error *err)
{
	struct mtime_choice *choice = field;
	uint64_t seconds = 0;
	choice->same = strcmp(value, "keep") != 0;
	int r = !choice->same ? 0
			      : value_number(value, 0, SPEC_TIME_MAX,
					"keep, or a number of seconds since 1970", &seconds, err);
	choice->seconds = (int64_t)seconds;
	return r;
}

/* clang-format off */
#define FIELD(...) FLAG_FIELD(struct export_options, __VA_ARGS__)

static const struct field_flag flags[] = {
	FLAG_HEADING("Result"),
	FIELD("output", 'o', "FILE", field_text, output,
		"the tar to write, or the folder for --name; - is standard output, which is "
		"taken without this flag where it is no terminal"),
	FIELD("name", '\0', "NAME", take_name, name,
		"the tar's name in the folder of --output, or in the current one"),
	FIELD("compression", '\0', "none|gzip|zstd", take_compression, compression,
		"of the tar; else FILE's ending decides: .gz or .tgz, .zst, none"),
	FIELD("mtime", '\0', "SECONDS|keep", take_mtime, mtime,
		"the time of every entry, since 1970; else keep: the image's times"),
	FIELD("list", '\0', NULL, field_yes, list,
		"print a line an entry, as `tar tv` does, and write no tar"),

	FLAG_HEADING("Source"),
	FIELD("image", '\0', "NAME[:TAG]", field_image_name, image,
		"which image of several; else the first"),
	FIELD("platform", '\0', "OS/ARCH[/VARIANT]", field_platform, image,
		"which platform of several, such as linux/arm64; else the host's"),
	FIELD("root", '\0', "DEVICE", field_text, root,
		"root file system of a virtual machine's disk, such as /dev/sda2; else it is "
		"looked for"),
	FIELD("verify", '\0', NULL, field_yes, verify,
		"check all digests, though an archive is known to have them"),

	FLAG_HEADING("Guest"),
	FIELD("vm", '\0', NULL, field_yes, guest.use,
		"unpack the layers in a guest instead of reading them here"),
	FIELD("memory", '\0', "SIZE", field_memory, guest.memory,
		"of the guest: MiB, or with M or G after it; else 512"),
	FIELD("disk-size", '\0', "SIZE", field_disk_size, guest.disk_size,
		"room beyond what the layers ask for: MiB, or with M, G or T; else 1024"),
	FIELD("accel", '\0', "auto|kvm|tcg", field_accel, guest.accel,
		"else auto: KVM where it works"),

	FLAG_MESSAGES(struct export_options),
};
/* clang-format on */

const struct argv_command export_argv = {
	.name = "export",
	.usage = "Usage: layervm export IMAGE [FLAG...] [-o FILE]\n\n"
		 "Writes the merged root file system of an image as one tar. IMAGE is an image\n"
		 "archive, an OCI layout, a root file system tar or the disk of a virtual\n"
		 "machine; - is standard input.\n",
	.more = "layervm-export(1) tells the rest.",
	.flags = flags,
	.flag_size = sizeof(flags[0]),
	.flag_count = sizeof(flags) / sizeof(flags[0]),
	.take = field_flag_take,
	.operand = take_source,
};

static int check_list(const struct export_options *options, struct error *err)
{
	const char *flag = options->output != NULL      ? "output"
			   : options->name != NULL      ? "name"
			   : options->compression.given ? "compression"
							: NULL;
	if (flag == NULL)
		return 0;
	return error_set(err, ERROR_USAGE, EINVAL,
		"--%s: has no place beside --list, which writes no tar", flag);
}

static bool is_folder(const char *path)
{
	struct stat st;
	size_t len = strlen(path);
	return path[len - 1] == '/' || (stat(path, &st) == 0 && S_ISDIR(st.st_mode));
}

/* --output and --name as one path. */
static int settle_output(struct export_options *options, struct error *err)
{
	if (options->output == NULL) {
		options->output = xstrdup(options->name != NULL ? options->name : "-");
	} else if (is_folder(options->output)) {
		if (options->name == NULL)
			return error_set(err, ERROR_USAGE, EISDIR,
				"--output: %s is a folder; name the file to write, or give it a "
				"--name there",
				options->output);
		cleanup_free char *folder = options->output;
		options->output = xasprintf("%s/%s", folder, options->name);
	} else if (options->name != NULL) {
		return error_set(err, ERROR_USAGE, EINVAL,
			"--name: --output %s names the file already", options->output);
	}
	if (output_is_stdout(options->output) && isatty(STDOUT_FILENO))
		return error_set(err, ERROR_USAGE, EINVAL,
			"--output: standard output is a terminal, which no tar is written to; -o "
			"FILE names a file, --list shows the entries");
	if (!options->compression.given)
		options->compression.compression = compression_of_name(options->output);
	return 0;
}

static int settle(struct export_options *options, struct error *err)
{
	if (options->source == NULL)
		return error_set(err, ERROR_USAGE, EINVAL,
			"the image is missing; see layervm export --help");
	return options->list ? check_list(options, err) : settle_output(options, err);
}

int export_options_parse(
	int argc, char **argv, int report_fd, struct export_options *options, struct error *err)
{
	options->guest.memory = MEMORY_DEFAULT;
	options->guest.disk_size = GUEST_UNPACK_DISK_SIZE;
	int r = argv_parse(&export_argv, argc, argv, options, &options->help, err);
	options->report = progress_report(options->progress, options->quiet, report_fd);
	return r < 0 || options->help ? r : settle(options, err);
}

void export_options_free(struct export_options *options)
{
	free(options->source);
	free(options->root);
	free(options->output);
	free(options->name);
	image_choice_free(&options->image);
	report_free(options->report);
	*options = (struct export_options){0};
}
