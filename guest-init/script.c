#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "shell.h"

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
			"own interpreter or dynamic linker)",
			name);
	else
		fault_set(&refusal->fault, "the script's interpreter %s is not in the image", name);
}

void script_execute(const struct job *job, struct refusal *refusal)
{
	if (job->has_interpreter)
		execute_by_line(job, refusal);
	else
		shell_execute_script(job, refusal);
}
