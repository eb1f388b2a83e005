#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "terminal.h"

#define FILES_MAX 524288 /* the hard limit of open files, as systemd has it */

/* The child's side of the job's pipes; -1 where there is none. */
struct files {
	int in, out, err;
};

static const struct files no_files = {-1, -1, -1};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_files(struct files *files)
{
	close_fd(&files->in);
	close_fd(&files->out);
	close_fd(&files->err);
}

/* Makes a pipe of which one end is init's, and does not block. */
static int make_pipe(int *reader, int *writer, const int *ours, struct fault *fault)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return fault_set_errno(fault, "cannot make a pipe");
	*reader = ends[0];
	*writer = ends[1];
	if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
		return fault_set_errno(fault, "cannot set a pipe up");
	return 0;
}

/* A terminal is made in the child, where the image's /dev is. */
static int make_files(
	const struct job *job, struct task *task, struct files *files, struct fault *fault)
{
	if (job->input == JOB_INPUT_TERMINAL)
		return 0;
	if (job->input == JOB_INPUT_PIPE && make_pipe(&files->in, &task->in, &task->in, fault) < 0)
		return -1;
	if (make_pipe(&task->out, &files->out, &task->out, fault) < 0)
		return -1;
	if (job->one_output) {
		files->err = fcntl(files->out, F_DUPFD_CLOEXEC, 0);
		return files->err < 0 ? fault_set_errno(fault, "cannot share a pipe") : 0;
	}
	return make_pipe(&task->err, &files->err, &task->err, fault);
}

union fds_control {
	char bytes[CMSG_SPACE(2 * sizeof(int))];
	struct cmsghdr align;
};

/* Gives the terminal's two descriptors to init. */
static int send_terminal(int report, const struct terminal *terminal, struct fault *fault)
{
	union fds_control control = {.bytes = {0}};
	char byte = 0;
	struct iovec part = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	const int fds[2] = {terminal->master, terminal->slave};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(header), fds, sizeof(fds));
	if (sendmsg(report, &message, MSG_NOSIGNAL) < 0)
		return fault_set_errno(fault, "cannot pass the terminal on");
	return 0;
}

static int open_terminal(const struct job *job, const struct user *user, int report,
	struct files *files, struct fault *fault)
{
	struct terminal terminal;
	if (terminal_make(&terminal, job->rows, job->columns, user->uid, fault) < 0)
		return -1;
	if (send_terminal(report, &terminal, fault) < 0)
		return -1;
	*files = (struct files){terminal.slave, terminal.slave, terminal.slave};
	return 0;
}

/* Pipes belong to the user too: /dev/stdout and the like are opened by name. */
static int give_pipes(const struct files *files, const struct user *user, struct fault *fault)
{
	const int fds[] = {files->in, files->out, files->err};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0 && fchown(fds[i], user->uid, user->gid) < 0)
			return fault_set_errno(fault, "cannot give a pipe to its user");
	return 0;
}

static int set_up_process(const struct job *job, const struct user *user, int report,
	struct files *files, struct fault *fault)
{
	const struct rlimit limit = {1024, FILES_MAX};
	sigset_t none;
	umask(022);
	sigemptyset(&none);
	if (setsid() < 0 || sigprocmask(SIG_SETMASK, &none, NULL) < 0 ||
		setrlimit(RLIMIT_NOFILE, &limit) < 0)
		return fault_set_errno(fault, "cannot set the process up");
	if (job->input == JOB_INPUT_TERMINAL) {
		if (open_terminal(job, user, report, files, fault) < 0)
			return -1;
	} else if (give_pipes(files, user, fault) < 0) {
		return -1;
	}
	if (job->input == JOB_INPUT_NONE)
		files->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	/* All are beyond the standard ones, which init has open. */
	if (files->in < 0 || dup2(files->in, STDIN_FILENO) < 0 ||
		dup2(files->out, STDOUT_FILENO) < 0 || dup2(files->err, STDERR_FILENO) < 0)
		return fault_set_errno(fault, "cannot set the standard files up");
	return user_become(user, fault);
}

static void __attribute__((noreturn))
become(const struct task_program *program, struct job *job, struct files *files, int report)
{
	struct refusal refusal = {0};
	struct user user = {0};
	if (program->enter(job, &user, &refusal) == 0 &&
		set_up_process(job, &user, report, files, &refusal.fault) == 0)
		program->execute(job, &refusal);
	ssize_t n = send(report, &refusal, sizeof(refusal), MSG_NOSIGNAL);
	_exit(n == (ssize_t)sizeof(refusal) ? 0 : 1);
}

/* Takes the terminal's descriptors, if the message has such. */
static void take_terminal(struct msghdr *message, struct task *task)
{
	int fds[2];
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	if (header == NULL || header->cmsg_type != SCM_RIGHTS ||
		header->cmsg_len != CMSG_LEN(sizeof(fds)))
		return;
	memcpy(fds, CMSG_DATA(header), sizeof(fds));
	task->out = fds[0];
	task->terminal = fds[1];
}

/* Reads a message of the child's. Returns its length, 0 at the end, or -1. */
static ssize_t read_report(int report, struct refusal *refusal, struct task *task)
{
	union fds_control control;
	struct iovec part = {.iov_base = refusal, .iov_len = sizeof(*refusal)};
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n;
	do
		n = recvmsg(report, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		take_terminal(&message, task);
	return n;
}

/* Reads what the child says until it is the program (then the socket closes) or has given up. */
static int follow_child(int report, struct task *task, struct fault *fault)
{
	struct refusal refusal;
	ssize_t n = read_report(report, &refusal, task);
	if (n == 1 && task->terminal >= 0)
		n = read_report(report, &refusal, task);
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

static int start(const struct task_program *program, struct job *job, struct task *task,
	struct files *files, struct fault *fault)
{
	int report[2];
	if (make_files(job, task, files, fault) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) < 0)
		return fault_set_errno(fault, "cannot make a pair of sockets");
	task->pid = fork();
	if (task->pid == 0)
		become(program, job, files, report[1]);
	int r = 0;
	if (task->pid < 0)
		r = fault_set_errno(fault, "cannot start a process");
	close(report[1]);
	if (r == 0)
		r = follow_child(report[0], task, fault);
	close(report[0]);
	if (r == 0 && task->terminal >= 0) {
		task->in = fcntl(task->out, F_DUPFD_CLOEXEC, 0);
		if (task->in < 0)
			r = fault_set_errno(fault, "cannot use the terminal");
	}
	return r;
}

int task_start(
	const struct task_program *program, struct job *job, struct task *task, struct fault *fault)
{
	struct files files = no_files;
	*task = (struct task){.pid = -1, .in = -1, .out = -1, .err = -1, .terminal = -1};
	int r = start(program, job, task, &files, fault);
	close_files(&files);
	return r;
}

void task_terminate(const struct task *task)
{
	if (task->terminal >= 0)
		terminal_hang_up(task->out, task->pid);
	else
		kill(-task->pid, SIGTERM);
}

void task_close(struct task *task)
{
	close_fd(&task->in);
	close_fd(&task->out);
	close_fd(&task->err);
	close_fd(&task->terminal);
}
