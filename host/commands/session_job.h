/*
 * A session in a guest, in a script's place or after one that failed: a shell on the user's
 * terminal, or a command with the caller's own standard files. From what the user asked for to a
 * job for vm_run.
 */
#ifndef LAYERVM_COMMANDS_SESSION_JOB_H
#define LAYERVM_COMMANDS_SESSION_JOB_H

#include <stdbool.h>

#include "support/error.h"
#include "support/report.h"
#include "vm/vm.h"

/* All zero: a shell of root's in the surroundings that there are. */
struct session_options {
	char *command;             /* a line for the image's sh; NULL: a shell */
	struct terminal *terminal; /* of a shell; borrowed */
	char **env;    /* "NAME=VALUE" to set over the surroundings, NULL at the end; or NULL */
	char *workdir; /* absolute, in the place of the surroundings' folder; or NULL */
	char *user;    /* as struct vm_job has it; or NULL */
	bool list;     /* show what was changed, as lines */
};

/* A job with what belongs to it. Must not be moved: the job points into it. */
struct session_job {
	struct vm_job job;
	struct vm_streams streams;
	char **env;
};

/*
 * Fills *out. env: the surroundings' variables, NULL at the end; cwd: their folder; both as of a
 * script in the same image. A shell has TERM as it is here, unless options set another.
 * options and cwd must live as long. Freed by session_job_free.
 */
void session_job_fill(struct session_job *out, const struct session_options *options,
	const char *const *env, const char *cwd);
void session_job_free(struct session_job *session);
#define cleanup_session_job __attribute__((cleanup(session_job_free)))

/* What the session is in messages: "the shell" or "the command". */
const char *session_name(const struct session_options *options) __attribute__((returns_nonnull));

/* Shows the lines of a file that confined_diff has listed changes in; it may hold anything. */
int session_show_list(int fd, struct report *report, struct error *err);

#endif
