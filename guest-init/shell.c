#include "shell.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Where to find each, the best one first. */
static const char *const shells[] = {
	"/bin/bash",
	"/bin/sh",
	PROTOCOL_TOOLBOX "/sh",
};

enum { BASH = 0, SH = 1, COUNT = 3 };

/* Executes the first shell that is there, of those from `first` on; argv[0] is filled in. */
static void execute(size_t first, const char *argv[], const char *what, const struct job *job,
	struct refusal *refusal)
{
	for (size_t i = first; i < COUNT; i++) {
		if (access(shells[i], F_OK) < 0)
			continue;
		argv[0] = strrchr(shells[i], '/') + 1;
		execve(shells[i], (char *const *)argv, job->env);
		int code = errno;
		refusal->code = code == ENOENT ? TASK_NOT_FOUND : TASK_CANNOT_RUN;
		if (code == ENOENT)
			fault_set(&refusal->fault,
				"%s of the image cannot be run: its dynamic linker is not in the "
				"image",
				shells[i]);
		else
			fault_set_errno(
				&refusal->fault, "%s of the image cannot be run", shells[i]);
		return;
	}
	refusal->code = TASK_NOT_FOUND;
	fault_set(&refusal->fault, "there is no shell%s", what);
}

void shell_execute_script(const struct job *job, struct refusal *refusal)
{
	const char *argv[] = {NULL, "-e", PROTOCOL_SCRIPT, NULL};
	execute(BASH, argv, " to run the script with", job, refusal);
}

void shell_execute_command(const struct job *job, struct refusal *refusal)
{
	const char *argv[] = {NULL, "-c", job->command, NULL};
	execute(SH, argv, " to run the command with", job, refusal);
}

void shell_execute_interactive(const struct job *job, struct refusal *refusal)
{
	const char *argv[] = {NULL, NULL};
	execute(BASH, argv, "", job, refusal);
}
