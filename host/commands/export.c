#include "commands/export.h"

#include <unistd.h>

#include "commands/export_list.h"
#include "commands/export_options.h"
#include "commands/tar_output.h"
#include "commands/tree_source.h"
#include "layer/layer.h"
#include "support/shown.h"
#include "tree/changes.h"
#include "tree/forward.h"

static int list(
	const struct export_options *options, const struct tree_source *source, struct error *err)
{
	cleanup_image struct image *image = NULL;
	cleanup_tree struct tree *tree = tree_new();
	int r = tree_source_begin(source, tree, NULL, &image, err);
	if (r == 0)
		r = tree_source_finish(source, image, err);
	if (r < 0)
		return r;
	report_done(options->report);
	tree_sort(tree);
	cleanup_shown struct shown *shown = shown_open();
	r = export_list(tree, &options->mtime, shown_stream(shown), err);
	return shown_finish(shown, r, err);
}

static int write_tar(
	const struct export_options *options, const struct tree_source *source, struct error *err)
{
	const struct layer_options layer_options = {
		.prefix = "./",
		.acl_text = true,
		.keep_mtime = !options->mtime.same,
		.same_mtime = options->mtime.same,
		.mtime_max = options->mtime.seconds,
		.before_end = forward_finish,
	};
	cleanup_image struct image *image = NULL;
	cleanup_tar_output struct tar_output *output = NULL;
	cleanup_tree struct tree *tree = tree_new();
	struct layer_info info;
	int r = tar_output_open(options->output, options->compression.compression, &output, err);
	if (r == 0)
		r = tree_source_begin(source, tree, NULL, &image, err);
	if (r < 0)
		return r;
	changes_mark_all(tree);
	bool is_stream = tar_output_is_stream(output);
	/* A file has no name yet: the digests may be computed beside the writing. */
	if (is_stream)
		r = tree_source_finish(source, image, err);
	report_stage(options->report, "write", "%s", options->output);
	forward_expect(tree);
	if (r == 0)
		r = tar_output_write(output, tree, &layer_options, &info, err);
	if (r == 0 && !is_stream)
		r = tree_source_finish(source, image, err);
	if (r == 0)
		r = tar_output_commit(output, err);
	if (r != 0)
		return r;
	report_done(options->report);
	report_note(options->report, "tar       %llu entries, %llu bytes",
		(unsigned long long)info.entries, (unsigned long long)info.size);
	return 0;
}

static int export(const struct export_options *options, struct error *err)
{
	cleanup_cache struct cache *cache = tree_source_cache();
	const struct tree_source source = {
		.path = options->source,
		.image = &options->image,
		.guest = &options->guest,
		.root = options->root,
		.cache = cache,
		.verify = options->verify,
		.reads_forward = true,
		.report = options->report,
	};
	return options->list ? list(options, &source, err) : write_tar(options, &source, err);
}

int command_export(int argc, char **argv)
{
	cleanup_export_options struct export_options options = {0};
	struct error err;
	int r = export_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	if (r == 0 && options.help)
		return argv_show_help(&export_argv, options.report);
	if (r == 0)
		r = export(&options, &err);
	if (r < 0)
		report_error(options.report, &err);
	return r < 0 ? error_exit_status(&err) : 0;
}
