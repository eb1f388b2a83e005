#include "commands/inspect.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "commands/inspect_options.h"
#include "commands/inspect_print.h"
#include "guestfs/vm_disk.h"
#include "image/image.h"
#include "support/memory.h"
#include "support/shown.h"

static int inspect(const struct inspect_options *options, FILE *out, struct error *err)
{
	const struct image_options image_options = {
		.name = options->image.name,
		.tag = options->image.tag,
		.architecture = options->image.architecture,
		.variant = options->image.variant,
		.tars = IMAGE_TARS_DROPPED,
		.report = options->report,
	};
	bool is_text = options->format == INSPECT_TEXT;
	cleanup_image_source struct image_source *source = NULL;
	cleanup_image_list struct image_list *images = NULL;
	cleanup_image struct image *image = NULL;
	if (strcmp(options->source, "-") != 0 && is_vm_disk(options->source))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: is the disk of a virtual machine, not an image; layervm export --list "
			"shows what is on it",
			options->source);
	report_stage(options->report, "read", "%s", options->source);
	int r = image_source_open(options->source, &source, err);
	if (r == 0)
		r = image_source_list(source, &images, err);
	/* What there is helps to choose another one, where the chosen one fails. */
	if (r == 0 && is_text)
		inspect_print_list(images, out);
	if (r == 0)
		r = image_source_load(source, &image_options, &image, err);
	report_done(options->report);
	if (r == 0 && is_text)
		inspect_print_image(image, out);
	else if (r == 0)
		inspect_print_json(images, image, out);
	return r;
}

static int show(const struct inspect_options *options, struct error *err)
{
	cleanup_shown struct shown *shown = shown_open();
	int r = inspect(options, shown_stream(shown), err);
	return shown_finish(shown, r, err);
}

int command_inspect(int argc, char **argv)
{
	cleanup_inspect_options struct inspect_options options = {0};
	struct error err;
	int r = inspect_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	if (r == 0 && options.help)
		return argv_show_help(&inspect_argv, options.report);
	if (r == 0)
		r = show(&options, &err);
	if (r < 0)
		report_error(options.report, &err);
	return r < 0 ? error_exit_status(&err) : 0;
}
