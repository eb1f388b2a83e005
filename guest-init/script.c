#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "image.h"

/* The interpreters of a script without a `#!` line, and where to find each. */
static const char *const shells[] = {
	"/bin/bash",
	"/bin/sh",
	PROTOCOL_TOOLBOX "/sh",
};

/* The end of a file name in the first line of the script, for the message. */
static void read_interpreter(char *name, size_t size)
{
	char line[256] = "";
	int fd = open(PROTOCOL_SCRIPT, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		ssize_t n = read(fd, line, sizeof(line) - 1);
		line[n > 0 ? n : 0] = '\0';
		close(fd);
	}
	char *start = line + strspn(line, "#!");
	start += strspn(start, " \t");
	start[strcspn(start, " \t\n")] = '\0';
	snprintf(name, size, "%s", start);
}

static void execute_by_line(const struct job *job, struct refusal *refusal)
{
	char name[128];
	char *const argv[] = {PROTOCOL_SCRIPT, NULL};
	execve(PROTOCOL_SCRIPT, argv, job->env);
	int code = errno;
	read_interpreter(name, sizeof(name));
	refusal->code = code == ENOENT || code == ENOTDIR ? TASK_NOT_FOUND : TASK_CANNOT_RUN;
	errno = code;
	if (refusal->code == TASK_CANNOT_RUN)
		fault_set_errno(&refusal->fault, "the script's interpreter %s cannot be run", name);
	else if (access(name, F_OK) == 0)
		fault_set(&refusal->fault,
			"the script's interpreter %s is in the image, but not what loads it (its "
			"own "
			"interpreter or dynamic linker)",
			name);
	else
		fault_set(&refusal->fault, "the script's interpreter %s is not in the image", name);
}

static void execute_by_shell(const struct job *job, struct refusal *refusal)
{
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		char *const argv[] = {(char *)shells[i], "-e", PROTOCOL_SCRIPT, NULL};
		if (access(shells[i], F_OK) < 0)
			continue;
		execve(shells[i], argv, job->env);
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
	fault_set(&refusal->fault, "there is no shell to run the script with");
}

static int enter_image(const struct job *job, struct refusal *refusal)
{
	struct fault *fault = &refusal->fault;
	if (image_surround(fault) < 0)
		return -1;
	if (chroot(IMAGE_FOLDER) < 0 || chdir("/") < 0)
		return fault_set_errno(fault, "cannot enter the image");
	if (chdir(job->cwd) < 0) {
		refusal->code = TASK_CANNOT_RUN;
		return fault_set_errno(fault, "cannot enter the working directory %s", job->cwd);
	}
	return 0;
}

static void execute(const struct job *job, struct refusal *refusal)
{
	if (job->has_interpreter)
		execute_by_line(job, refusal);
	else
		execute_by_shell(job, refusal);
}

const struct task_program script_program = {.enter = enter_image, .execute = execute};
