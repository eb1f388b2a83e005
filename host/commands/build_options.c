#include "commands/build_options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/build_flags.h"
#include "commands/flag_values.h"
#include "spec/json_text.h"
#include "support/memory.h"
#include "support/output.h"

#define LOG_LIMIT_DEFAULT (1ull << 30)

/* Whether what is written to a path is not read by anybody: /dev/null, or another device. */
static bool is_device(const char *path)
{
	struct stat st;
	return !output_is_stdout(path) && stat(path, &st) == 0 && S_ISCHR(st.st_mode);
}

/* Whether two paths are the same name in the same folder, existing or not; or standard output. */
static bool same_place(const char *a, const char *b)
{
	if (output_is_stdout(a) || output_is_stdout(b))
		return output_is_stdout(a) && output_is_stdout(b);
	if (is_device(a))
		return false;
	const char *const paths[] = {a, b};
	const char *names[2];
	struct stat folders[2];
	for (size_t i = 0; i < 2; i++) {
		const char *slash = strrchr(paths[i], '/');
		names[i] = slash != NULL ? slash + 1 : paths[i];
		cleanup_free char *folder =
			xasprintf("%.*s.", (int)(names[i] - paths[i]), paths[i]);
		if (stat(folder, &folders[i]) < 0)
			return strcmp(a, b) == 0;
	}
	return strcmp(names[0], names[1]) == 0 && folders[0].st_dev == folders[1].st_dev &&
	       folders[0].st_ino == folders[1].st_ino;
}

/* The three outputs have three paths, and standard output is one of them at most. */
static int check_outputs(const struct build_options *options, struct error *err)
{
	if (options->output == NULL)
		return error_set(err, ERROR_USAGE, EINVAL,
			"--output: is missing; -o FILE names the archive to write, -o - is "
			"standard "
			"output");
	const struct {
		const char *flag;
		const char *path;
	} outputs[] = {
		{"--output", options->output},
		{"--iidfile", options->iidfile},
		{"--metadata-file", options->metadata_file},
	};
	for (size_t i = 1; i < 3; i++) {
		for (size_t j = 0; j < i && outputs[i].path != NULL; j++) {
			if (outputs[j].path == NULL ||
				!same_place(outputs[i].path, outputs[j].path))
				continue;
			return error_set(err, ERROR_USAGE, EINVAL, "%s: is %s, as %s is",
				outputs[i].flag, outputs[i].path, outputs[j].flag);
		}
	}
	if (output_is_stdout(options->output) && isatty(STDOUT_FILENO))
		return error_set(err, ERROR_USAGE, EINVAL,
			"--output: standard output is a terminal, which no archive is written to");
	return 0;
}

/*
 * The flag, then the environment, then the spec's created. "now" gives way to both of the first
 * (reproducible-builds.org, SOURCE_DATE_EPOCH: it stands for the current time).
 */
static int resolve_epoch(struct build_options *options, struct error *err)
{
	const char *text = getenv("SOURCE_DATE_EPOCH");
	if (!options->has_source_date_epoch && text != NULL && *text != '\0') {
		uint64_t seconds = 0;
		int r = value_number(
			text, 0, SPEC_TIME_MAX, "a number of seconds since 1970", &seconds, err);
		if (r < 0)
			return error_wrap(err, r, "SOURCE_DATE_EPOCH (environment)");
		options->has_source_date_epoch = true;
		options->source_date_epoch = (int64_t)seconds;
	}
	if (!options->has_source_date_epoch)
		options->source_date_epoch = options->spec->created;
	else if (options->spec->created_now)
		options->spec->created = options->source_date_epoch;
	return 0;
}

static bool same_tag(const struct build_tag *a, const struct build_tag *b)
{
	if (strcmp(a->name, b->name) != 0)
		return false;
	return a->tag == NULL || b->tag == NULL ? a->tag == b->tag : strcmp(a->tag, b->tag) == 0;
}

/* Without -t the spec's own; with it, each once. */
static void settle_tags(struct build_options *options)
{
	const struct build_spec *spec = options->spec;
	if (options->tag_count == 0) {
		options->tags = xcalloc(1, sizeof(*options->tags));
		options->tags[options->tag_count++] = (struct build_tag){
			.name = xstrdup(spec->name),
			.tag = spec->tag != NULL ? xstrdup(spec->tag) : NULL,
		};
	}
	size_t kept = 0;
	for (size_t i = 0; i < options->tag_count; i++) {
		bool again = false;
		for (size_t j = 0; j < kept && !again; j++)
			again = same_tag(&options->tags[i], &options->tags[j]);
		if (again) {
			free(options->tags[i].name);
			free(options->tags[i].tag);
		} else {
			options->tags[kept++] = options->tags[i];
		}
	}
	options->tag_count = kept;
}

int build_options_add_tag(struct build_options *options, const char *value, struct error *err)
{
	cleanup_free char *name = NULL, *tag = NULL;
	int r = spec_parse_reference(value, &name, &tag, err);
	if (r < 0)
		return r;
	if (options->tag_count == 0) {
		free(options->spec->name);
		free(options->spec->tag);
		options->spec->name = xstrdup(name);
		options->spec->tag = tag != NULL ? xstrdup(tag) : NULL;
	}
	options->tags = xrealloc(options->tags, options->tag_count + 1, sizeof(*options->tags));
	options->tags[options->tag_count++] =
		(struct build_tag){.name = steal_ptr(&name), .tag = steal_ptr(&tag)};
	return 0;
}

int build_options_settle(struct build_options *options, struct error *err)
{
	const struct build_spec *spec = options->spec;
	int r = spec_check(spec, err);
	if (r < 0)
		return r;
	if ((spec->from_image_name == NULL) != (spec->from_image_tag == NULL))
		report_warning(options->report, "%s: has no effect without %s",
			spec->from_image_name != NULL ? "fromImageName" : "fromImageTag",
			spec->from_image_name != NULL ? "fromImageTag" : "fromImageName");
	else if (spec->from_image == NULL && spec->from_image_name != NULL)
		report_warning(options->report, "fromImageName: has no effect without fromImage");
	settle_tags(options);
	if (!options->compression_given && options->output != NULL)
		options->compression = compression_of_name(options->output);
	return resolve_epoch(options, err);
}

/* Standard input is one thing. */
static int check_input(const struct build_flags *flags, struct error *err)
{
	const char *base = flags->options->spec->from_image;
	if (flags->spec_path == NULL || strcmp(flags->spec_path, "-") != 0 || base == NULL ||
		strcmp(base, "-") != 0)
		return 0;
	return error_set(err, ERROR_USAGE, EINVAL,
		"--from: standard input is the spec's, it cannot be the base image's too");
}

/* That there is a terminal is known before any work. */
static int check_terminal(const struct build_options *options, struct error *err)
{
	cleanup_close int fd = -1;
	if (!options->debug_on_failure)
		return 0;
	fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	return fd >= 0 ? 0
		       : error_set_errno(err, ERROR_USAGE,
				 "--debug-on-failure: there is no terminal for a shell; --keep DIR "
				 "leaves the disks for layervm debug DIR (/dev/tty)");
}

struct build_options *build_options_new(void)
{
	struct build_options *options = xcalloc(1, sizeof(*options));
	options->spec = spec_new();
	options->log_limit = LOG_LIMIT_DEFAULT;
	return options;
}

int build_options_parse(
	int argc, char **argv, int report_fd, struct build_options **out, struct error *err)
{
	struct build_options *options = build_options_new();
	*out = options;

	cleanup_build_flags struct build_flags flags = {.options = options};
	int r = build_flags_collect(&flags, argc, argv, err);
	options->report = progress_report(flags.progress, flags.quiet, report_fd);
	if (r < 0 || options->help)
		return r;
	if (flags.spec_path == NULL && flags.pending_count == 0)
		return error_set(err, ERROR_USAGE, EINVAL,
			"neither SPEC.json nor flags say what to build; see layervm build --help");
	r = check_outputs(options, err);
	if (r == 0)
		r = check_terminal(options, err);
	if (r == 0 && flags.spec_path != NULL)
		r = spec_read(flags.spec_path, options->spec, options->report, err);
	if (r == 0)
		r = build_flags_apply(&flags, err);
	if (r == 0)
		r = check_input(&flags, err);
	return r < 0 ? r : build_options_settle(options, err);
}

char **build_tags(const struct build_options *options, const char *derived)
{
	char **tags = xcalloc(options->tag_count + 1, sizeof(*tags));
	for (size_t i = 0; i < options->tag_count; i++) {
		const struct build_tag *tag = &options->tags[i];
		tags[i] = xasprintf("%s:%s", tag->name, tag->tag != NULL ? tag->tag : derived);
	}
	return tags;
}

void build_tags_free(char **tags)
{
	if (tags == NULL)
		return;
	for (char **tag = tags; *tag != NULL; tag++)
		free(*tag);
	free(tags);
}

void build_options_free(struct build_options *options)
{
	if (options == NULL)
		return;
	for (size_t i = 0; i < options->tag_count; i++) {
		free(options->tags[i].name);
		free(options->tags[i].tag);
	}
	free(options->tags);
	free(options->variant);
	free(options->output);
	free(options->iidfile);
	free(options->metadata_file);
	free(options->keep);
	spec_free(options->spec);
	report_free(options->report);
	free(options);
}
