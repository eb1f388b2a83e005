#include "commands/session_job.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/env_list.h"
#include "support/memory.h"

void session_job_fill(struct session_job *out, const struct session_options *options,
	const char *const *env, const char *cwd)
{
	const char *term = getenv("TERM");
	*out = (struct session_job){
		.streams = {.in = STDIN_FILENO,
			.out = STDOUT_FILENO,
			.err = STDERR_FILENO,
			.terminal = options->terminal},
		.env = env_list_copy(env),
	};
	if (options->command == NULL && term != NULL && *term != '\0') {
		cleanup_free char *text = xasprintf("TERM=%s", term);
		env_list_set(&out->env, text);
	}
	/* An empty name: what is typed does not become a file of the image. */
	if (options->command == NULL && !env_list_has(out->env, "HISTFILE"))
		env_list_set(&out->env, "HISTFILE=");
	for (char **text = options->env; text != NULL && *text != NULL; text++)
		env_list_set(&out->env, *text);
	out->job = (struct vm_job){
		.kind = options->command != NULL ? VM_JOB_COMMAND : VM_JOB_SHELL,
		.command = options->command,
		.env = (const char *const *)out->env,
		.cwd = options->workdir != NULL ? options->workdir : cwd,
		.user = options->user,
		.streams = &out->streams,
	};
}

void session_job_free(struct session_job *session)
{
	env_list_free(session->env);
	session->env = NULL;
}

const char *session_name(const struct session_options *options)
{
	return options->command != NULL ? "the command" : "the shell";
}

static void close_file(FILE **file)
{
	if (*file != NULL)
		fclose(*file);
}

int session_show_list(int fd, struct report *report, struct error *err)
{
	cleanup_free char *line = NULL;
	size_t size = 0;
	ssize_t len;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "the list of changes");
	cleanup_close int copy = dup(fd);
	__attribute__((cleanup(close_file))) FILE *file = fdopen(copy, "r");
	if (file == NULL)
		return error_set_errno(err, ERROR_INTERNAL, "the list of changes");
	(void)steal_fd(&copy); /* it is the file's now */
	while ((len = getline(&line, &size, file)) > 0) {
		line[len - (line[len - 1] == '\n')] = '\0';
		report_line(report, "change", line);
	}
	if (ferror(file))
		return error_set_errno(err, ERROR_INTERNAL, "the list of changes: cannot be read");
	return 0;
}
