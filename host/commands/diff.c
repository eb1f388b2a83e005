#include "commands/diff.h"

#include <string.h>
#include <unistd.h>

#include "commands/diff_list.h"
#include "commands/diff_options.h"
#include "commands/tar_output.h"
#include "commands/tree_source.h"
#include "layer/layer.h"
#include "support/memory.h"
#include "support/output.h"
#include "support/shown.h"
#include "tree/changes.h"

/* What is compared, and what is still to be verified of it. */
struct sides {
	struct tree_source sources[2];
	struct image *images[2];
};

static void free_sides(struct sides *sides)
{
	for (size_t i = 0; i < 2; i++)
		image_free(sides->images[i]);
}

/* A becomes the tree's base state, B its current one. */
static int read_trees(struct sides *sides, struct tree *tree, struct error *err)
{
	cleanup_base_layers struct base_layers layers = {0};
	int r = tree_source_begin(&sides->sources[0], tree, &layers, &sides->images[0], err);
	if (r < 0)
		return r;
	tree_freeze(tree);
	tree_source_clear(tree);
	r = tree_source_begin(&sides->sources[1], tree, &layers, &sides->images[1], err);
	for (size_t i = 0; i < 2 && r == 0; i++)
		r = tree_source_finish(&sides->sources[i], sides->images[i], err);
	return r;
}

static int show_list(struct tree *tree, bool verbose, struct error *err)
{
	cleanup_shown struct shown *shown = shown_open();
	int r = diff_list(tree, verbose, shown_stream(shown), "standard output", err);
	return shown_finish(shown, r, err);
}

static int diff(const struct diff_options *options, struct error *err)
{
	cleanup_cache struct cache *cache = tree_source_cache();
	const struct layer_options layer_options = {.keep_mtime = true};
	bool has_list = options->layer == NULL || !output_is_stdout(options->layer);
	cleanup_tar_output struct tar_output *output = NULL;
	cleanup_tree struct tree *tree = tree_new();
	__attribute__((cleanup(free_sides))) struct sides sides = {0};
	struct changes changes;
	struct layer_info info;
	for (size_t i = 0; i < 2; i++)
		sides.sources[i] = (struct tree_source){
			.path = options->paths[i],
			.image = &options->images[i],
			.cache = cache,
			.verify = options->verify,
			.report = options->report,
		};
	int r = options->layer == NULL ? 0
				       : tar_output_open(options->layer, IMAGE_PLAIN, &output, err);
	if (r == 0)
		r = read_trees(&sides, tree, err);
	if (r < 0)
		return r;
	report_stage(options->report, "diff", "%s and %s", options->paths[0], options->paths[1]);
	r = changes_mark(tree, &changes, err);
	if (r < 0)
		return r;
	report_done(options->report);
	if (has_list)
		r = show_list(tree, options->verbose, err);
	if (r == 0 && output != NULL)
		r = tar_output_write(output, tree, &layer_options, &info, err);
	if (r == 0 && output != NULL)
		r = tar_output_commit(output, err);
	return r;
}

int command_diff(int argc, char **argv)
{
	cleanup_diff_options struct diff_options options = {0};
	struct error err;
	int r = diff_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	if (r == 0 && options.help)
		return argv_show_help(&diff_argv, options.report);
	if (r == 0)
		r = diff(&options, &err);
	if (r < 0)
		report_error(options.report, &err);
	return r < 0 ? error_exit_status(&err) : 0;
}
