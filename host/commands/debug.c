#include "commands/debug.h"

#include <stdio.h>
#include <unistd.h>

#include "commands/build.h"
#include "commands/debug_options.h"
#include "commands/guest_check.h"
#include "commands/guest_run.h"
#include "commands/kept_disks.h"
#include "commands/session_job.h"
#include "vm/terminal.h"

/* What becomes of the changes, where no image is made of them. */
static void report_changes(struct report *report, const struct changes *changes)
{
	unsigned long long written = changes->written, deleted = changes->whiteouts;
	report_done(report);
	if (written + deleted == 0)
		report_note(report, "nothing was changed");
	else
		report_note(report,
			"%llu change%s thrown away (%llu written, %llu deleted); --commit keeps "
			"them",
			written + deleted, written + deleted == 1 ? "" : "s", written, deleted);
}

/* A build, with the session in the script's place. *status: the session's. */
static int debug_image(const struct debug_options *options, int *status, struct error *err)
{
	const struct build_options *build = options->build;
	struct build_result result = {0};
	int r = build_run(build, &result, err);
	if (r == 0 && options->commit)
		build_report_summary(build, &result);
	else if (r == 0)
		report_changes(build->report, &result.changes);
	*status = result.outcome.exit_status;
	build_result_free(&result);
	return r;
}

/* The guest alone: without the image nothing can be told of what was changed. */
static int debug_kept(const struct debug_options *options, int *status, struct error *err)
{
	const struct build_options *build = options->build;
	cleanup_kept_disks struct kept_disks kept = KEPT_DISKS_NONE;
	cleanup_session_job struct session_job session = {0};
	struct vm_outcome outcome = {0};
	int r = guest_check(build->accel, err);
	if (r < 0)
		return r;
	report_stage(build->report, "read", "%s", options->path);
	r = kept_disks_open(options->path, &kept, err);
	if (r < 0)
		return r;
	const struct guest_run_options run_options = {
		.report = build->report,
		.accel = build->accel,
		.memory = options->memory != 0 ? options->memory : kept.memory,
		.cpus = build->cpus,
		.timeout = build->timeout,
	};
	struct guest_run guest = {
		.options = &run_options, .base = kept.base, .overlay = kept.overlay};
	session_job_fill(&session, &options->session, (const char *const *)kept.env, kept.cwd);
	r = guest_run_boot(&guest, &session.job, session_name(&options->session), &outcome, err);
	if (r == 0)
		report_note(build->report, "what was changed is thrown away; %s is as it was",
			options->path);
	*status = outcome.exit_status;
	return r;
}

static int debug(struct debug_options *options, int *status, struct error *err)
{
	cleanup_terminal struct terminal *terminal = NULL;
	/* Before any thread: its guard is a fork of this program. */
	int r = options->session.command != NULL ? 0 : terminal_open(STDIN_FILENO, &terminal, err);
	if (r < 0)
		return r;
	options->session.terminal = terminal;
	return options->source == DEBUG_KEPT ? debug_kept(options, status, err)
					     : debug_image(options, status, err);
}

int command_debug(int argc, char **argv)
{
	cleanup_debug_options struct debug_options options = {0};
	struct error err;
	int status = 0;
	int r = debug_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	if (r == 0 && options.help)
		return argv_show_help(&debug_argv, options.build->report);
	if (r == 0)
		r = debug(&options, &status, &err);
	if (r < 0)
		report_error(options.build->report, &err);
	return r < 0 ? error_exit_status(&err) : status;
}
