#include "program.h"

#include <unistd.h>

#include "image.h"
#include "script.h"
#include "setup.h"
#include "shell.h"
#include "user.h"

/* Whom the image's own files say the job runs as. */
static int find_user(struct job *job, struct user *user, struct refusal *refusal)
{
	if (job->user == NULL)
		return 0;
	if (user_find(job->user, user, &refusal->fault) < 0) {
		refusal->code = TASK_CANNOT_RUN;
		return -1;
	}
	const char *home = user->home != NULL && user->home[0] != '\0' ? user->home : "/";
	return job_default_env(job, "HOME", home, &refusal->fault);
}

static int enter(struct job *job, struct user *user, struct refusal *refusal)
{
	struct fault *fault = &refusal->fault;
	if (image_surround(fault) < 0 || setup_surround(job->setup, fault) < 0)
		return -1;
	if (image_enter(fault) < 0)
		return -1;
	if (find_user(job, user, refusal) < 0)
		return -1;
	if (chdir(job->cwd) < 0) {
		refusal->code = TASK_CANNOT_RUN;
		return fault_set_errno(fault, "cannot enter the working directory %s", job->cwd);
	}
	return 0;
}

static void execute(const struct job *job, struct refusal *refusal)
{
	switch (job->kind) {
	case JOB_SCRIPT:
		script_execute(job, refusal);
		return;
	case JOB_COMMAND:
		shell_execute_command(job, refusal);
		return;
	case JOB_SHELL:
		shell_execute_interactive(job, refusal);
		return;
	case JOB_UNPACK:
		break;
	}
	fault_set(&refusal->fault, "a job of kind %d is not for the image", (int)job->kind);
}

const struct task_program image_program = {.enter = enter, .execute = execute};
