#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "terminal.h"

#define FILES_MAX 524288 /* the hard limit of open files, as systemd has it */
#define STACK_SIZE (256u << 10)
#define GUARD_SIZE 4096u

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_files(struct task_files *files)
{
	close_fd(&files->in);
	close_fd(&files->out);
	close_fd(&files->err);
	close_fd(&files->control);
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

/* All that a job may need. A terminal is made by the process, where the image's /dev is. */
static int make_files(struct task *task, struct fault *fault)
{
	struct task_files *files = &task->files;
	if (make_pipe(&files->in, &task->in, &task->in, fault) < 0)
		return -1;
	if (make_pipe(&task->out, &files->out, &task->out, fault) < 0)
		return -1;
	return make_pipe(&task->err, &files->err, &task->err, fault);
}

/* Closes init's side of what the job does not have. */
static void drop_files(const struct job *job, struct task *task)
{
	bool terminal = job->input == JOB_INPUT_TERMINAL;
	if (job->input != JOB_INPUT_PIPE)
		close_fd(&task->in);
	if (terminal)
		close_fd(&task->out);
	if (terminal || job->one_output)
		close_fd(&task->err);
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
	struct task_files *files, struct fault *fault)
{
	struct terminal terminal;
	if (terminal_make(&terminal, job->rows, job->columns, user->uid, fault) < 0)
		return -1;
	if (send_terminal(report, &terminal, fault) < 0)
		return -1;
	files->in = terminal.slave;
	files->out = terminal.slave;
	files->err = terminal.slave;
	return 0;
}

/*
 * The job's own files. Pipes belong to the user too: /dev/stdout and the like are opened by name.
 */
static int choose_pipes(const struct job *job, const struct user *user, struct task_files *files,
	struct fault *fault)
{
	if (job->input == JOB_INPUT_NONE)
		files->in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (job->one_output)
		files->err = files->out;
	const int fds[] = {files->in, files->out, files->err};
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0 && fchown(fds[i], user->uid, user->gid) < 0)
			return fault_set_errno(fault, "cannot give a pipe to its user");
	return 0;
}

static int set_up_process(const struct job *job, const struct user *user, int report,
	struct task_files *files, struct fault *fault)
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
	} else if (choose_pipes(job, user, files, fault) < 0) {
		return -1;
	}
	/* All are beyond the standard ones, which init has open. */
	if (files->in < 0 || dup2(files->in, STDIN_FILENO) < 0 ||
		dup2(files->out, STDOUT_FILENO) < 0 || dup2(files->err, STDERR_FILENO) < 0)
		return fault_set_errno(fault, "cannot set the standard files up");
	return user_become(user, fault);
}

/* Says that the process is in its place, and waits for the word to go on. */
static int await_order(int control, struct fault *fault)
{
	char byte = 0;
	ssize_t n = send(control, &byte, sizeof(byte), MSG_NOSIGNAL);
	while (n == 1) {
		n = recv(control, &byte, sizeof(byte), 0);
		if (n == 1)
			return 0;
		if (n < 0 && errno == EINTR)
			n = 1;
	}
	return fault_set(fault, "the job's process was not told what to run");
}

/* The process, from its first step to the program. */
static int become(void *data)
{
	struct task *task = data;
	struct refusal refusal = {0};
	struct user user = {0};
	struct fault *fault = &refusal.fault;
	int control = task->files.control;
	if (task->place(fault) == 0 && await_order(control, fault) == 0) {
		const struct task_order *order = &task->order;
		if (order->program->enter(order->job, &user, &refusal) == 0 &&
			set_up_process(order->job, &user, control, &task->files, fault) == 0)
			order->program->execute(order->job, &refusal);
	}
	ssize_t n = send(control, &refusal, sizeof(refusal), MSG_NOSIGNAL);
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

/* The process has said why it gives up: it is a fault of init's, or one that the job has. */
static int take_refusal(const struct refusal *refusal, struct task *task, struct fault *fault)
{
	if (refusal->code == 0) {
		*fault = refusal->fault;
		return -1;
	}
	task->refused = refusal->code;
	task->reason = refusal->fault;
	return 0;
}

/* Reads what the process says until it is the program (the socket closes) or has given up. */
static int follow_process(struct task *task, struct fault *fault)
{
	struct refusal refusal;
	ssize_t n = read_report(task->control, &refusal, task);
	if (n == 1 && task->terminal >= 0)
		n = read_report(task->control, &refusal, task);
	if (n == 0)
		return 0;
	if (n == (ssize_t)sizeof(refusal))
		return take_refusal(&refusal, task, fault);
	return n < 0 ? fault_set_errno(fault, "cannot tell whether the job's program runs")
		     : fault_set(fault, "cannot tell whether the job's program runs");
}

/* Reads that the process is in its place, or why not. */
static int await_process(struct task *task, struct fault *fault)
{
	struct refusal refusal;
	ssize_t n = read_report(task->control, &refusal, task);
	if (n == 1)
		return 0;
	if (n != (ssize_t)sizeof(refusal))
		return fault_set(fault, "the job's process ended before its start");
	*fault = refusal.fault;
	return -1;
}

static int make_stack(struct task *task, struct fault *fault)
{
	if (task->stack != NULL)
		return 0;
	char *stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack == MAP_FAILED || mprotect(stack, GUARD_SIZE, PROT_NONE) < 0)
		return fault_set_errno(fault, "cannot make a stack");
	task->stack = stack;
	return 0;
}

/*
 * The process shares init's memory: it learns of the job where init has put it, nothing is copied,
 * and nothing is copied on write later. One of the two runs while the other waits, as after a
 * vfork, and each has its own descriptors.
 */
static int make_process(struct task *task, struct fault *fault)
{
	int ends[2];
	if (make_stack(task, fault) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return fault_set_errno(fault, "cannot make a pair of sockets");
	task->control = ends[0];
	task->files.control = ends[1];
	/* The process has copies of its own, which have the same numbers. */
	struct task_files files = task->files;
	task->pid = clone(become, task->stack + GUARD_SIZE + STACK_SIZE, CLONE_VM | SIGCHLD, task);
	if (task->pid < 0)
		fault_set_errno(fault, "cannot start a process");
	close_files(&files);
	return task->pid < 0 ? -1 : 0;
}

int task_prepare(struct task *task, int (*place)(struct fault *fault), struct fault *fault)
{
	char *stack = task->stack;
	*task = TASK_NONE;
	task->stack = stack;
	task->place = place;
	if (make_files(task, fault) < 0 || make_process(task, fault) < 0)
		return -1;
	return await_process(task, fault);
}

int task_start(
	const struct task_program *program, struct job *job, struct task *task, struct fault *fault)
{
	char byte = 0;
	drop_files(job, task);
	task->order = (struct task_order){.program = program, .job = job};
	if (send(task->control, &byte, sizeof(byte), MSG_NOSIGNAL) < 0)
		return fault_set_errno(fault, "cannot tell the job's process to start");
	int r = follow_process(task, fault);
	close_fd(&task->control);
	if (r == 0 && task->terminal >= 0) {
		task->in = fcntl(task->out, F_DUPFD_CLOEXEC, 0);
		if (task->in < 0)
			r = fault_set_errno(fault, "cannot use the terminal");
	}
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
	close_fd(&task->control);
}
