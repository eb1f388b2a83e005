#include "commands/debug_options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/env_list.h"
#include "commands/kept_disks.h"
#include "support/memory.h"
#include "support/output.h"

static int usage(struct error *err, const char *flag, const char *words)
{
	return error_set(err, ERROR_USAGE, EINVAL, "--%s: %s", flag, words);
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

/* By its name, or by how it begins; a pipe is not asked, which can be read once. */
static bool is_spec(const char *path)
{
	char start[64];
	struct stat st;
	if (ends_with(path, ".json"))
		return true;
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	ssize_t n = pread(fd, start, sizeof(start) - 1, 0);
	start[n > 0 ? n : 0] = '\0';
	return start[strspn(start, " \t\r\n")] == '{';
}

/* An image's flags in the words of a spec. */
static void take_image(struct debug_options *options)
{
	struct build_spec *spec = options->build->spec;
	struct image_choice *image = &options->image;
	spec->from_image = xstrdup(options->path);
	spec->from_image_name = steal_ptr(&image->name);
	spec->from_image_tag = steal_ptr(&image->tag);
	options->build->variant = steal_ptr(&image->variant);
	if (image->architecture == NULL)
		return;
	free(spec->architecture);
	spec->architecture = steal_ptr(&image->architecture);
}

/* The state before runAsRoot: what comes from there on is not done. */
static int take_spec(struct debug_options *options, struct error *err)
{
	struct build_spec *spec = options->build->spec;
	if (options->image.name != NULL || options->image.architecture != NULL)
		return usage(err, options->image.name != NULL ? "image" : "platform",
			"the specification says which image it builds on");
	int r = spec_read(options->path, spec, options->build->report, err);
	if (r < 0)
		return r;
	free(spec->run_as_root);
	free(spec->extra_commands);
	spec->run_as_root = NULL;
	spec->extra_commands = xstrdup("");
	return 0;
}

/* There is a disk, and nothing of the image that it was made of. */
static int check_kept(const struct debug_options *options, struct error *err)
{
	const struct {
		const char *flag;
		bool given;
	} flags[] = {
		{"image", options->image.name != NULL},
		{"platform", options->image.architecture != NULL},
		{"commit", options->commit},
		{"changes", options->session.list},
		{"disk-size", options->disk_size != 0},
		{options->pending_count != 0 ? options->pending[0].flag->is.name : NULL,
			options->pending_count != 0},
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (flags[i].given)
			return usage(err, flags[i].flag,
				"cannot be done with disks that a build has kept: the image is "
				"not there; name the image or SPEC.json instead");
	}
	return 0;
}

/* What the guest gets besides the image: the spec's first, and the flags over it. */
static int take_extras(struct debug_options *options, struct error *err)
{
	struct guest_extras_spec *extras = &options->build->spec->extras;
	for (size_t i = 0; i < options->pending_count; i++) {
		const struct field_flag *flag = options->pending[i].flag;
		int r = flag->take(extras, options->pending[i].value, err);
		if (r < 0)
			return argv_flag_error(&flag->is, r, err);
	}
	return extras_check(extras, err);
}

static int take_source(struct debug_options *options, struct error *err)
{
	if (options->path == NULL)
		return error_set(
			err, ERROR_USAGE, EINVAL, "the image is missing; see layervm debug --help");
	if (strcmp(options->path, "-") == 0)
		return error_set(err, ERROR_USAGE, EINVAL,
			"standard input is the session's, and cannot be the image too; name a "
			"file");
	if (is_kept_disks(options->path)) {
		options->source = DEBUG_KEPT;
		return check_kept(options, err);
	}
	if (is_spec(options->path)) {
		options->source = DEBUG_SPEC;
		return take_spec(options, err);
	}
	options->source = DEBUG_IMAGE;
	take_image(options);
	return 0;
}

static int check_commit(const struct debug_options *options, struct error *err)
{
	const struct build_options *build = options->build;
	if (!options->commit && (build->output != NULL || build->tag_count != 0))
		return usage(err, build->output != NULL ? "output" : "tag",
			"has an effect with --commit only");
	if (!options->commit && build->compression_given)
		return usage(err, "compression", "has an effect with --commit only");
	if (!options->commit)
		return 0;
	if (build->output == NULL)
		return usage(err, "commit", "-o FILE is missing, the archive to write");
	if (output_is_stdout(build->output))
		return usage(err, "output",
			"standard output is the session's, and cannot be the archive too");
	return 0;
}

static int check_terminal(const struct debug_options *options, struct error *err)
{
	if (options->session.command != NULL || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return 0;
	return error_set(err, ERROR_USAGE, ENOTTY,
		"standard %s is no terminal, which a shell needs; --command CMD runs a command "
		"without one",
		isatty(STDIN_FILENO) ? "output" : "input");
}

static int settle(struct debug_options *options, struct error *err)
{
	struct build_options *build = options->build;
	int r = check_commit(options, err);
	if (r == 0)
		r = check_terminal(options, err);
	if (r == 0)
		r = take_source(options, err);
	if (r < 0 || options->source == DEBUG_KEPT)
		return r;
	r = take_extras(options, err);
	if (r < 0)
		return r;
	if (options->memory != 0)
		build->spec->memory_size = options->memory;
	if (options->disk_size != 0)
		build->spec->disk_size = options->disk_size;
	if (options->commit && build->tag_count == 0 && options->source == DEBUG_IMAGE)
		return usage(err, "commit", "-t NAME:TAG is missing, the new image's name");
	/* An image that is only looked into has no name to check. */
	return options->source == DEBUG_IMAGE && !options->commit
		       ? 0
		       : build_options_settle(build, err);
}

int debug_options_parse(
	int argc, char **argv, int report_fd, struct debug_options *options, struct error *err)
{
	options->build = build_options_new();
	options->build->session = &options->session;
	int r = argv_parse(&debug_argv, argc, argv, options, &options->help, err);
	options->build->report = progress_report(options->progress, options->quiet, report_fd);
	return r < 0 || options->help ? r : settle(options, err);
}

void debug_options_free(struct debug_options *options)
{
	free(options->path);
	free(options->pending);
	image_choice_free(&options->image);
	free(options->session.command);
	free(options->session.workdir);
	free(options->session.user);
	env_list_free(options->session.env);
	build_options_free(options->build);
	*options = (struct debug_options){0};
}
