#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 524288 /* the hard limit of open files, as systemd has it */

static int set_up_process(int out, int err, struct fault *fault)
{
	const struct rlimit files = {1024, FILES_MAX};
	sigset_t none;
	int in = open("/dev/null", O_RDONLY);
	if (in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
		dup2(err, STDERR_FILENO) < 0)
		return fault_set_errno(fault, "cannot set the standard files up");
	if (in > STDERR_FILENO)
		close(in);
	umask(022);
	sigemptyset(&none);
	if (setsid() < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
		setrlimit(RLIMIT_NOFILE, &files) < 0)
		return fault_set_errno(fault, "cannot set the process up");
	return 0;
}

static void __attribute__((noreturn))
become(const struct task_program *program, const struct job *job, int out, int err, int report)
{
	struct refusal refusal = {0};
	if (program->enter(job, &refusal) == 0 && set_up_process(out, err, &refusal.fault) == 0)
		program->execute(job, &refusal);
	ssize_t n = write(report, &refusal, sizeof(refusal));
	_exit(n == (ssize_t)sizeof(refusal) ? 0 : 1);
}

/* Reads what the child says until it is the program (then the pipe closes) or has given up. */
static int read_refusal(int report, struct task *task, struct fault *fault)
{
	struct refusal refusal;
	ssize_t n;
	do
		n = read(report, &refusal, sizeof(refusal));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return fault_set_errno(fault, "cannot tell whether the job's program runs");
	if (n == 0)
		return 0;
	if (n != (ssize_t)sizeof(refusal))
		return fault_set(fault, "cannot tell whether the job's program runs");
	if (refusal.code == 0) {
		*fault = refusal.fault;
		return -1;
	}
	task->refused = refusal.code;
	task->reason = refusal.fault;
	return 0;
}

int task_start(const struct task_program *program, const struct job *job, struct task *task,
	struct fault *fault)
{
	int out[2], err[2], report[2];
	*task = (struct task){.pid = -1, .out = -1, .err = -1};
	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0)
		return fault_set_errno(fault, "cannot make a pipe");
	if (fcntl(out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(err[0], F_SETFL, O_NONBLOCK) < 0)
		return fault_set_errno(fault, "cannot set a pipe up");
	pid_t pid = fork();
	if (pid < 0)
		return fault_set_errno(fault, "cannot start a process");
	if (pid == 0)
		become(program, job, out[1], err[1], report[1]);
	close(out[1]);
	close(err[1]);
	close(report[1]);
	task->pid = pid;
	task->out = out[0];
	task->err = err[0];
	int r = read_refusal(report[0], task, fault);
	close(report[0]);
	return r;
}
