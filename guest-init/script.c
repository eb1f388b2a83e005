#include "script.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"

#define SCRIPT_FILES_MAX 524288 /* the hard limit of open files, as systemd has it */

enum {
	CANNOT_RUN = 126,
	NOT_FOUND = 127,
};

/* What the child says where it cannot become the script. */
struct refusal {
	uint32_t code; /* 126, 127, or 0 for a fault of init's */
	struct fault fault;
};

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
	refusal->code = code == ENOENT || code == ENOTDIR ? NOT_FOUND : CANNOT_RUN;
	errno = code;
	if (refusal->code == CANNOT_RUN)
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
		refusal->code = code == ENOENT ? NOT_FOUND : CANNOT_RUN;
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
	refusal->code = NOT_FOUND;
	fault_set(&refusal->fault, "there is no shell to run the script with");
}

static int set_up_process(const struct job *job, int out, int err, struct refusal *refusal)
{
	struct fault *fault = &refusal->fault;
	const struct rlimit files = {1024, SCRIPT_FILES_MAX};
	sigset_t none;

	if (image_surround(fault) < 0)
		return -1;
	if (chroot(IMAGE_FOLDER) < 0 || chdir("/") < 0)
		return fault_set_errno(fault, "cannot enter the image");
	if (chdir(job->cwd) < 0) {
		refusal->code = CANNOT_RUN;
		return fault_set_errno(fault, "cannot enter the working directory %s", job->cwd);
	}
	int in = open("/dev/null", O_RDONLY);
	if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
		dup2(err, STDERR_FILENO) < 0)
		return fault_set_errno(fault, "cannot set the script's standard files up");
	if (in > STDERR_FILENO)
		close(in);
	umask(022);
	sigemptyset(&none);
	if (setsid() < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
		setrlimit(RLIMIT_NOFILE, &files) < 0)
		return fault_set_errno(fault, "cannot set the script's process up");
	return 0;
}

static void __attribute__((noreturn))
become_script(const struct job *job, int out, int err, int report)
{
	struct refusal refusal = {0};
	if (set_up_process(job, out, err, &refusal) == 0) {
		if (job->has_interpreter)
			execute_by_line(job, &refusal);
		else
			execute_by_shell(job, &refusal);
	}
	ssize_t n = write(report, &refusal, sizeof(refusal));
	_exit(n == (ssize_t)sizeof(refusal) ? 0 : 1);
}

/* Reads what the child says until it runs the script (then the pipe closes) or has given up. */
static int read_refusal(int report, struct script *script, struct fault *fault)
{
	struct refusal refusal;
	ssize_t n;
	do
		n = read(report, &refusal, sizeof(refusal));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fault_set_errno(fault, "cannot tell whether the script runs");
	if (n == 0)
		return 0;
	if (n != (ssize_t)sizeof(refusal))
		return fault_set(fault, "cannot tell whether the script runs");
	if (refusal.code == 0) {
		*fault = refusal.fault;
		return -1;
	}
	script->refused = refusal.code;
	script->reason = refusal.fault;
	return 0;
}

int script_start(const struct job *job, struct script *script, struct fault *fault)
{
	int out[2], err[2], report[2];
	*script = (struct script){.pid = -1, .out = -1, .err = -1};
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		return fault_set_errno(fault, "cannot make a pipe");
	if (fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) < 0)
		return fault_set_errno(fault, "cannot set a pipe up");
	pid_t pid = fork();
	if (pid < 0)
		return fault_set_errno(fault, "cannot start a process");
	if (pid == 0)
		become_script(job, out[1], err[1], report[1]);
	close(out[1]);
	close(err[1]);
	close(report[1]);
	script->pid = pid;
	script->out = out[0];
	script->err = err[0];
	int r = read_refusal(report[0], script, fault);
	close(report[0]);
	return r;
}
