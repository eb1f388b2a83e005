#include "commands/diff_options.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/memory.h"
#include "support/output.h"

static int take_image(void *target, const char *value, struct error *err)
{
	struct diff_options *options = target;
	size_t i = options->paths[0] != NULL;
	if (options->paths[i] != NULL)
		return error_set(
			err, ERROR_USAGE, EINVAL, "two images are taken, %s is a third", value);
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "the path of an image is empty");
	options->paths[i] = xstrdup(value);
	return 0;
}

/* clang-format off */
#define FIELD(...) FLAG_FIELD(struct diff_options, __VA_ARGS__)

static const struct field_flag flags[] = {
	FLAG_HEADING("Result"),
	FIELD("verbose", 'v', NULL, field_yes, verbose, "say what is different"),
	FIELD("layer", '\0', "FILE", field_text, layer,
		"write the difference as a layer; - is standard output, in place of the list"),

	FLAG_HEADING("Images"),
	FIELD("image-a", '\0', "NAME[:TAG]", field_image_name, images[0],
		"which image of several in A; else the first"),
	FIELD("image-b", '\0', "NAME[:TAG]", field_image_name, images[1],
		"which image of several in B; else the first"),
	FIELD("platform", '\0', "OS/ARCH[/VARIANT]", field_platform, platform,
		"which platform of several, such as linux/arm64; else the host's"),
	FIELD("verify", '\0', NULL, field_yes, verify,
		"check all digests, though an archive is known to have them"),

	FLAG_MESSAGES(struct diff_options),
};
/* clang-format on */

const struct argv_command diff_argv = {
	.name = "diff",
	.usage = "Usage: layervm diff A B [FLAG...]\n\n"
		 "Lists what changes from image A to image B: A added, C changed, D deleted.\n"
		 "A and B are what layervm export takes.\n",
	.more = "layervm-diff(1) tells the rest.",
	.flags = flags,
	.flag_size = sizeof(flags[0]),
	.flag_count = sizeof(flags) / sizeof(flags[0]),
	.take = field_flag_take,
	.operand = take_image,
};

static int settle(struct diff_options *options, struct error *err)
{
	if (options->paths[1] == NULL)
		return error_set(err, ERROR_USAGE, EINVAL,
			"two images are wanted, %s; see layervm diff --help",
			options->paths[0] == NULL ? "there is none" : "there is one");
	if (strcmp(options->paths[0], "-") == 0 && strcmp(options->paths[1], "-") == 0)
		return error_set(err, ERROR_USAGE, EINVAL, "standard input cannot be both images");
	if (options->layer != NULL && output_is_stdout(options->layer) && isatty(STDOUT_FILENO))
		return error_set(err, ERROR_USAGE, EINVAL,
			"--layer: standard output is a terminal, which no tar is written to");
	for (size_t i = 0; i < 2 && options->platform.architecture != NULL; i++) {
		options->images[i].architecture = xstrdup(options->platform.architecture);
		if (options->platform.variant != NULL)
			options->images[i].variant = xstrdup(options->platform.variant);
	}
	return 0;
}

int diff_options_parse(
	int argc, char **argv, int report_fd, struct diff_options *options, struct error *err)
{
	int r = argv_parse(&diff_argv, argc, argv, options, &options->help, err);
	options->report = progress_report(options->progress, options->quiet, report_fd);
	return r < 0 || options->help ? r : settle(options, err);
}

void diff_options_free(struct diff_options *options)
{
	for (size_t i = 0; i < 2; i++) {
		free(options->paths[i]);
		image_choice_free(&options->images[i]);
	}
	image_choice_free(&options->platform);
	free(options->layer);
	report_free(options->report);
	*options = (struct diff_options){0};
}
