#include "commands/build.h"

#include <string.h>
#include <unistd.h>

#include "commands/build_layer.h"
#include "commands/timings.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "support/utf8.h"
#include "vm/terminal.h"

/* As much of a script as a line of the image's history takes. */
#define HISTORY_MAX 1000

/* The line of `docker history` for the new layer: which attributes made it, and the script. */
static char *history_line(const struct build_options *options)
{
	const struct build_spec *spec = options->spec;
	struct buffer line = {0};
	const char *script = NULL;
	const char *command = "build";
	if (options->session != NULL) {
		command = "debug";
		script = options->session->command;
	}
	if (spec->copy_to_root[0] != NULL)
		buffer_add_text(&line, " copyToRoot");
	if (spec->run_as_root != NULL) {
		buffer_add_text(&line, " runAsRoot");
		script = spec->run_as_root;
	}
	if (spec->extra_commands[0] != '\0') {
		buffer_add_text(&line, " extraCommands");
		script = script != NULL ? script : spec->extra_commands;
	}
	if (script != NULL) {
		buffer_add_text(&line, ": ");
		/* JSON is UTF-8; the script need not be. */
		const char *end = script + strlen(script);
		for (size_t n, taken = 0; script < end; script += n, taken += n) {
			n = utf8_char_len(script, (size_t)(end - script));
			bool is_char = n != 0;
			n = is_char ? n : 1;
			if (taken + n > HISTORY_MAX)
				break;
			buffer_add(&line, is_char ? script : "?", n);
		}
	}
	cleanup_free char *words = buffer_steal_text(&line);
	return xasprintf("layervm %s%s", command, words);
}

/* A tag that stands for what is in the image: the first digits of its ID. */
static int derive_tag(const struct image *base, const struct image_write_options *write_options,
	char tag[static DIGEST_TEXT_SIZE], struct error *err)
{
	json_object *config = NULL;
	int r = image_make_config(base, write_options, &config, err);
	if (r < 0)
		return r;
	struct digest digest = image_config_digest(config);
	json_object_put(config);
	digest_hex(&digest, tag);
	tag[32] = '\0';
	return 0;
}

static int write_archive(const struct build_options *options, int layer_fd,
	struct image_writer *writer, struct build_result *result, struct error *err)
{
	const struct build_spec *spec = options->spec;
	cleanup_free char *created_by = history_line(options);
	const struct image_new_layer layer = {
		.fd = layer_fd,
		.size = result->layer.size,
		.diff_id = result->layer.diff_id,
		.created_by = created_by,
	};
	struct image_write_options write_options = {
		.architecture = spec->architecture,
		.created = spec->created,
		.config = spec->config,
		.layer = &layer,
	};
	char derived[DIGEST_TEXT_SIZE];
	int r = derive_tag(result->base, &write_options, derived, err);
	if (r < 0)
		return r;
	result->tags = build_tags(options, derived);
	write_options.tags = (const char *const *)result->tags;
	report_stage(options->report, "write", "%s", options->output);
	return image_writer_finish(writer, result->base, &write_options, &result->written, err);
}

/* Gives the archive its name, and then the file with its ID, which holds it by then. */
static int commit(const struct build_options *options, const struct build_result *result,
	struct output *output, struct output *iidfile, struct error *err)
{
	char id[DIGEST_TEXT_SIZE];
	digest_text(&result->written.image_id, id);
	int r = iidfile == NULL
			? 0
			: file_write(output_fd(iidfile), id, strlen(id), options->iidfile, err);
	if (r == 0)
		r = output_commit(output, err);
	if (r < 0 || iidfile == NULL)
		return r;
	r = output_commit(iidfile, err);
	return r < 0 ? error_wrap(err, r, "the image is written, --iidfile is not") : 0;
}

int build_run(const struct build_options *options, struct build_result *result, struct error *err)
{
	cleanup_output struct output *output = NULL;
	cleanup_output struct output *iidfile = NULL;
	cleanup_image_writer struct image_writer *writer = NULL;
	cleanup_close int layer_fd = -1;
	bool has_guest = options->spec->run_as_root != NULL || options->session != NULL;
	int r = has_guest ? vm_check_accel(options->accel, err) : 0;
	if (r == 0 && options->output != NULL)
		r = output_open(options->output, &output, err);
	if (r == 0 && options->iidfile != NULL)
		r = output_open(options->iidfile, &iidfile, err);
	if (r == 0 && output != NULL)
		r = image_writer_new(output_fd(output), options->compression, &writer, err);
	if (r == 0)
		r = build_layer(options, writer, result, &layer_fd, err);
	if (r < 0 || output == NULL)
		return r;
	r = write_archive(options, layer_fd, writer, result, err);
	if (r == 0)
		r = interrupt_check(err);
	return r < 0 ? r : commit(options, result, output, iidfile, err);
}

void build_result_free(struct build_result *result)
{
	image_free(result->base);
	if (result->tags != NULL)
		build_tags_free(result->tags);
	*result = (struct build_result){0};
}

void build_report_summary(const struct build_options *options, const struct build_result *result)
{
	char id[DIGEST_TEXT_SIZE];
	report_note(options->report,
		"layer     %llu entries (%llu changed, %llu deleted), %llu bytes",
		(unsigned long long)result->layer.entries,
		(unsigned long long)result->changes.written,
		(unsigned long long)result->changes.whiteouts,
		(unsigned long long)result->layer.size);
	report_note(options->report, "image     %s", digest_text(&result->written.image_id, id));
	for (char **tag = result->tags; *tag != NULL; tag++)
		report_note(options->report, "tag       %s", *tag);
}

/*
 * Builds where the options are right (r is 0), and tells --metadata-file how it ended. That the
 * file can be written is known before any work.
 */
static int build_and_tell(
	const struct build_options *options, int r, struct build_result *result, struct error *err)
{
	cleanup_output struct output *metadata = NULL;
	struct error late = {0};
	int m = 0;
	if (options->output != NULL)
		temporary_also_beside(options->output);
	if (options->metadata_file != NULL)
		m = output_open(options->metadata_file, &metadata, &late);
	if (r == 0 && m < 0) {
		*err = late;
		return m;
	}
	if (r == 0)
		r = build_run(options, result, err);
	if (metadata != NULL)
		m = build_write_metadata(options, result, r < 0 ? err : NULL, metadata, &late);
	if (r == 0)
		build_report_summary(options, result);
	if (m < 0 && r < 0)
		report_warning(options->report, "--metadata-file: %s", late.message);
	if (m == 0 || r < 0)
		return r;
	*err = late;
	return error_wrap(err, m, "the image is written, --metadata-file is not");
}

int command_build(int argc, char **argv)
{
	cleanup_terminal struct terminal *terminal = NULL;
	cleanup_build_options struct build_options *options = NULL;
	struct build_result result = {0};
	struct error err;
	int r = build_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	if (r == 0 && options->help)
		return build_options_show_help(options->report);
	/* Early: its guard is a fork of a program without threads. */
	if (r == 0 && options->debug_on_failure) {
		r = terminal_open(-1, &terminal, &err);
		options->terminal = terminal;
	}
	/* Of flags that do not fit, none is followed: a file that they name may be the wrong one.
	 */
	if (r == 0 || err.kind == ERROR_SPEC) {
		r = build_and_tell(options, r, &result, &err);
		if (options->timings)
			timings_show(options->report);
	}
	if (r < 0)
		report_error(options->report, &err);
	build_result_free(&result);
	return r < 0 ? error_exit_status(&err) : 0;
}
