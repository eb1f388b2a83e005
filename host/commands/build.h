/*
 * The main job, stage by stage: the new layer (build_layer.h) -> image archive, for `build`, and
 * for `debug`, whose session takes the script's place.
 */
#ifndef LAYERVM_COMMANDS_BUILD_H
#define LAYERVM_COMMANDS_BUILD_H

#include <stdbool.h>

#include "commands/build_options.h"
#include "image/image.h"
#include "layer/layer.h"
#include "support/error.h"
#include "support/fileio.h"
#include "tree/changes.h"
#include "vm/vm.h"

/* What came out, for the summary and the metadata file. */
struct build_result {
	struct image *base;           /* belongs to the result */
	bool base_known;              /* its bytes were verified, by an earlier run or this one */
	struct image_written written; /* of the archive */
	struct layer_info layer;
	struct changes changes;
	char **tags; /* "name:tag", NULL at the end; belongs to the result; NULL: not so far */
	bool cached; /* the script's layer is an earlier run's; guest_ran is false */
	bool guest_ran;
	struct vm_outcome outcome; /* where guest_ran */
};

/*
 * Builds the image; the output file, and then --iidfile's, appear on success only. Without an
 * output the session of options is all there is. The result is filled as far as the build came,
 * and freed by build_result_free in every case.
 */
int build_run(const struct build_options *options, struct build_result *result, struct error *err);
void build_result_free(struct build_result *result);

/* Says what was built: layer, image and names. */
void build_report_summary(const struct build_options *options, const struct build_result *result);

/*
 * Writes what --metadata-file tells, and ends the last stage of the report.
 * failure: NULL on success, else how the build ended. output: committed on success.
 */
int build_write_metadata(const struct build_options *options, const struct build_result *result,
	const struct error *failure, struct output *output, struct error *err);

/* `layervm build`: all of it, messages included. Returns the exit status. */
int command_build(int argc, char **argv);

#endif
