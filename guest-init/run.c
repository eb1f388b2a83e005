#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "channel.h"
#include "image.h"
#include "input.h"
#include "program.h"
#include "task.h"
#include "terminal.h"
#include "unpacking.h"

#define OUTPUT_CHUNK 65536
#define VMSTAT_SIZE 32768 /* room for /proc/vmstat, which has some 5,000 bytes */

/* A job while it runs. */
struct run {
	int channel;
	int children; /* of the runner */
	struct task *task;
	struct input *input;
	bool ended;
	uint32_t full; /* of what the disk was seen full: EXIT_FLAG_DISK_FULL and others */
	struct exit_report report;
};

/* Reads all there is, or what there is room for. The kernel gives a page of it at a time. */
static ssize_t read_from_start(int fd, char *text, size_t room)
{
	size_t len = 0;
	while (len < room) {
		ssize_t n = pread(fd, text + len, room - len, (off_t)len);
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* Counts the processes that the kernel has killed for memory since it started. */
static int count_oom_kills(int vmstat, uint32_t *count, struct fault *fault)
{
	static const char key[] = "\noom_kill ";
	char text[VMSTAT_SIZE];
	ssize_t len = read_from_start(vmstat, text, sizeof(text) - 1);
	if (len < 0)
		return fault_set_errno(fault, "cannot read /proc/vmstat");
	text[len] = '\0';
	const char *at = strstr(text, key);
	if (at == NULL)
		return fault_set(fault, "no oom_kill in the %zd bytes of /proc/vmstat", len);
	*count = (uint32_t)strtoul(at + sizeof(key) - 1, NULL, 10);
	return 0;
}

/*
 * Passes on what can be read at once from a pipe or terminal; closes it at its end, which is EIO
 * for a terminal. The disk is looked at here because a program that has just met its end says so,
 * and tidies up afterwards.
 */
static int forward(struct run *run, int *pipe, enum frame_type type, struct fault *fault)
{
	char chunk[OUTPUT_CHUNK];
	ssize_t n = read(*pipe, chunk, sizeof(chunk));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != EIO)
		return fault_set_errno(fault, "cannot read the job's output");
	if (n <= 0) {
		close(*pipe);
		*pipe = -1;
		return 0;
	}
	run->full |= image_full();
	return channel_send(run->channel, type, chunk, (size_t)n, fault) < 0 ? -1 : 1;
}

/* All writers are gone: what is left in the pipes is all there will be. */
static int drain(struct run *run, int *pipe, enum frame_type type, struct fault *fault)
{
	int r = 1;
	while (r > 0 && *pipe >= 0)
		r = forward(run, pipe, type, fault);
	return r < 0 ? -1 : 0;
}

static void note_end(struct run *run, int status)
{
	run->ended = true;
	if (WIFSIGNALED(status)) {
		run->report.how = EXIT_SIGNAL;
		run->report.code = (uint32_t)WTERMSIG(status);
	} else {
		run->report.how = EXIT_STATUS;
		run->report.code = (uint32_t)WEXITSTATUS(status);
	}
}

/* Reaps what has ended, the job's orphans too: init is the parent of them all. */
static void reap(struct run *run, int flags)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, flags);
		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		if (pid == run->task->pid)
			note_end(run, status);
	}
}

static int take_children(struct run *run, struct fault *fault)
{
	struct signalfd_siginfo info;
	if (read(run->children, &info, sizeof(info)) < 0 && errno != EAGAIN && errno != EINTR)
		return fault_set_errno(fault, "cannot wait for the job's process");
	reap(run, WNOHANG);
	return 0;
}

/* Gives the job what it takes of its input, and tells the host how much that was. */
static int pass_on(struct run *run, struct fault *fault)
{
	size_t taken;
	uint8_t payload[4];
	if (input_pass_on(run->input, &taken, fault) < 0)
		return -1;
	if (taken == 0)
		return 0;
	protocol_put_u32(payload, (uint32_t)taken);
	return channel_send(run->channel, FRAME_TAKEN, payload, sizeof(payload), fault);
}

static int take_input(struct run *run, const struct frame *frame, struct fault *fault)
{
	if (input_add(run->input, frame->payload, frame->length, fault) < 0)
		return -1;
	return input_waits(run->input) ? pass_on(run, fault) : 0;
}

static int take_size(struct run *run, const struct frame *frame, struct fault *fault)
{
	uint32_t rows, columns;
	if (run->task->terminal < 0)
		return fault_set(fault, "a terminal's size from the host for a job that has none");
	if (frame_window_size(frame, &rows, &columns, fault) < 0)
		return -1;
	return terminal_resize(run->task->out, rows, columns, fault);
}

static int take_frame(struct run *run, struct fault *fault)
{
	cleanup_frame struct frame frame = {0};
	if (channel_receive(run->channel, &frame, fault) < 0)
		return -1;
	switch (frame.type) {
	case FRAME_STDIN:
		return take_input(run, &frame, fault);
	case FRAME_WINSIZE:
		return take_size(run, &frame, fault);
	case FRAME_TERMINATE:
		task_terminate(run->task);
		return 0;
	case FRAME_KILL:
		kill(-1, SIGKILL);
		return 0;
	case FRAME_PING:
		return channel_send(run->channel, FRAME_PONG, NULL, 0, fault);
	default:
		return fault_set(fault, "frame of type %d from the host while the job runs",
			(int)frame.type);
	}
}

static int follow(struct run *run, struct fault *fault)
{
	enum { CHILDREN, CHANNEL, OUT, ERR, IN, COUNT };
	while (!run->ended) {
		struct pollfd fds[COUNT] = {
			[CHILDREN] = {.fd = run->children, .events = POLLIN},
			[CHANNEL] = {.fd = run->channel, .events = POLLIN},
			[OUT] = {.fd = run->task->out, .events = POLLIN},
			[ERR] = {.fd = run->task->err, .events = POLLIN},
			[IN] = {.fd = input_waits(run->input) ? run->task->in : -1,
				.events = POLLOUT},
		};
		if (poll(fds, COUNT, -1) < 0 && errno != EINTR)
			return fault_set_errno(fault, "cannot wait for the job's process");
		if (fds[OUT].revents != 0 && forward(run, &run->task->out, FRAME_STDOUT, fault) < 0)
			return -1;
		if (fds[ERR].revents != 0 && forward(run, &run->task->err, FRAME_STDERR, fault) < 0)
			return -1;
		if (fds[IN].revents != 0 && pass_on(run, fault) < 0)
			return -1;
		if (fds[CHANNEL].revents != 0 && take_frame(run, fault) < 0)
			return -1;
		if (fds[CHILDREN].revents != 0 && take_children(run, fault) < 0)
			return -1;
	}
	return 0;
}

static int send_exit(struct run *run, struct fault *fault)
{
	uint8_t payload[EXIT_REPORT_SIZE + FRAME_TEXT_MAX];
	size_t words = 0;
	if (run->task->refused != 0) {
		run->report.how = EXIT_NOT_RUN;
		run->report.code = run->task->refused;
		words = strlen(run->task->reason.text);
		memcpy(payload + EXIT_REPORT_SIZE, run->task->reason.text, words);
	}
	run->report.flags |= run->full;
	exit_report_put(payload, &run->report);
	return channel_send(run->channel, FRAME_EXIT, payload, EXIT_REPORT_SIZE + words, fault);
}

/* The leader has ended: so does all it left, and what they wrote is sent. */
static int finish(struct run *run, struct fault *fault)
{
	run->full |= image_full();
	image_thaw(); /* before a process is waited for that writes */
	kill(-1, SIGKILL);
	reap(run, 0);
	if (run->task->terminal >= 0) {
		close(run->task->terminal);
		run->task->terminal = -1;
	}
	if (drain(run, &run->task->out, FRAME_STDOUT, fault) < 0)
		return -1;
	return drain(run, &run->task->err, FRAME_STDERR, fault);
}

static int run_task(struct runner *runner, struct run *run, struct job *job, struct fault *fault)
{
	const struct task_program *program =
		job->kind == JOB_UNPACK ? &unpacking_program : &image_program;
	if (task_start(program, job, run->task, fault) < 0)
		return -1;
	input_init(run->input, &run->task->in);
	if (run->task->refused == 0 &&
		channel_send(run->channel, FRAME_STARTED, NULL, 0, fault) < 0)
		return -1;
	uint32_t oom_kills = 0;
	if (follow(run, fault) < 0 || finish(run, fault) < 0)
		return -1;
	if (count_oom_kills(runner->vmstat, &oom_kills, fault) < 0)
		return -1;
	run->report.oom_kills = oom_kills - runner->oom_kills;
	runner->oom_kills = oom_kills;
	return send_exit(run, fault);
}

int run_init(struct runner *runner, int channel, struct fault *fault)
{
	sigset_t child;
	runner->channel = channel;
	runner->task = TASK_NONE;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &child, NULL) < 0)
		return fault_set_errno(fault, "cannot wait for processes");
	runner->children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (runner->children < 0)
		return fault_set_errno(fault, "cannot wait for processes");
	runner->vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
	if (runner->vmstat < 0)
		return fault_set_errno(fault, "cannot open /proc/vmstat");
	if (count_oom_kills(runner->vmstat, &runner->oom_kills, fault) < 0)
		return -1;
	return run_prepare(runner, fault);
}

int run_prepare(struct runner *runner, struct fault *fault)
{
	return task_prepare(&runner->task, image_prepare, fault);
}

int run_job(struct runner *runner, struct job *job, struct fault *fault)
{
	struct run run = {
		.channel = runner->channel,
		.children = runner->children,
		.task = &runner->task,
		.input = &runner->input,
	};
	int r = run_task(runner, &run, job, fault);
	task_close(&runner->task);
	return r;
}
