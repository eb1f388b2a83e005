#include "commands/inspect_options.h"

#include <errno.h>

#include "commands/flag_values.h"

static int take_source(void *target, const char *value, struct error *err)
{
	struct inspect_options *options = target;
	return operand_image(&options->source, value, err);
}

static int take_format(void *field, const char *value, struct error *err)
{
	static const char *const words[] = {"text", "json"};
	size_t i = 0;
	int r = value_choice(value, words, 2, &i, err);
	if (r == 0)
		*(enum inspect_format *)field = (enum inspect_format)i;
	return r;
}

/* clang-format off */
#define FIELD(...) FLAG_FIELD(struct inspect_options, __VA_ARGS__)

static const struct field_flag flags[] = {
	FLAG_HEADING("Result"),
	FIELD("format", '\0', "text|json", take_format, format,
		"text for people, or one JSON document; else text"),

	FLAG_HEADING("Source"),
	FIELD("image", '\0', "NAME[:TAG]", field_image_name, image,
		"which image of several is shown in full; else the first"),
	FIELD("platform", '\0', "OS/ARCH[/VARIANT]", field_platform, image,
		"which platform of several, such as linux/arm64; else the host's"),

	FLAG_MESSAGES(struct inspect_options),
};
/* clang-format on */

const struct argv_command inspect_argv = {
	.name = "inspect",
	.usage = "Usage: layervm inspect IMAGE [FLAG...]\n\n"
		 "Shows which images an archive or layout holds, and of one its platform, layers\n"
		 "and configuration. IMAGE is a file or a folder; - is standard input.\n",
	.more = "layervm-inspect(1) tells the rest.",
	.flags = flags,
	.flag_size = sizeof(flags[0]),
	.flag_count = sizeof(flags) / sizeof(flags[0]),
	.take = field_flag_take,
	.operand = take_source,
};

int inspect_options_parse(
	int argc, char **argv, int report_fd, struct inspect_options *options, struct error *err)
{
	int r = argv_parse(&inspect_argv, argc, argv, options, &options->help, err);
	options->report = progress_report(options->progress, options->quiet, report_fd);
	if (r < 0 || options->help || options->source != NULL)
		return r;
	return error_set(
		err, ERROR_USAGE, EINVAL, "the image is missing; see layervm inspect --help");
}

void inspect_options_free(struct inspect_options *options)
{
	free(options->source);
	image_choice_free(&options->image);
	report_free(options->report);
	*options = (struct inspect_options){0};
}
