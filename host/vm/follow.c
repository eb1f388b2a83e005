/* The poll loop of machine_follow. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/machine.h"

#define PIECE 65536
#define NEVER INT64_MAX

struct follow {
	struct machine *machine;
	struct session *session;
	int64_t run_limit; /* milliseconds of the monotonic clock */
	int64_t grace_limit;
	int64_t end_limit;
	bool over; /* QEMU is to be killed now, or is gone */
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Ends the run for a reason; the first one counts. */
static void stop(struct follow *f, enum machine_stop why)
{
	if (f->machine->stop == STOP_NONE)
		f->machine->stop = why;
	f->over = true;
}

/* Ends the run for a reason, but gives a job that runs the time to end itself. */
static void stop_gently(struct follow *f, enum machine_stop why)
{
	if (f->session->stage != SESSION_RUNNING) {
		stop(f, why);
		return;
	}
	if (f->machine->stop != STOP_NONE)
		return;
	f->machine->stop = why;
	f->run_limit = NEVER;
	f->grace_limit = now_ms() + MACHINE_GRACE_SECONDS * 1000;
	session_terminate(f->session);
}

static void note_stage(struct follow *f, enum session_stage before)
{
	struct machine *m = f->machine;
	enum session_stage stage = f->session->stage;
	int64_t now = now_ms();
	if (before == SESSION_BOOTING && stage > SESSION_BOOTING)
		m->hello = now;
	if (before < SESSION_RUNNING && stage >= SESSION_RUNNING)
		m->job_start = now;
	if (before < SESSION_ENDING && stage >= SESSION_ENDING)
		m->job_end = now;
	if (before < SESSION_OVER && stage == SESSION_OVER)
		f->end_limit = now + MACHINE_END_SECONDS * 1000;
	/* A job that was told to end has ended, and a guest whose init failed is of no use. */
	if ((m->stop != STOP_NONE && stage >= SESSION_ENDING) || f->session->failed)
		f->over = true;
}

static void take_channel(struct follow *f, const void *data, size_t len)
{
	struct machine *m = f->machine;
	enum session_stage before = f->session->stage;
	struct error fault;
	if (session_receive(f->session, data, len, &fault) < 0) {
		if (m->stop == STOP_NONE)
			m->fault = fault;
		stop(f, STOP_FAULT);
		return;
	}
	note_stage(f, before);
}

/* Reads once from a socket. Returns whether there may be more; at its end it is closed. */
static bool read_once(struct follow *f, int *fd)
{
	char piece[PIECE];
	struct machine *m = f->machine;
	if (*fd < 0)
		return false;
	ssize_t n = recv(*fd, piece, sizeof(piece), 0);
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		/* A reset is an end too: QEMU was killed with frames of ours unread. */
		close(*fd);
		*fd = -1;
		if (fd == &m->channel && f->end_limit == NEVER)
			f->end_limit = now_ms() + MACHINE_END_SECONDS * 1000;
		return false;
	}
	if (fd == &m->channel)
		take_channel(f, piece, (size_t)n);
	else
		ring_add(fd == &m->console ? &m->console_text : &m->message_text, piece, (size_t)n);
	return true;
}

static void send_some(struct follow *f)
{
	struct buffer *to = &f->session->to;
	ssize_t n = send(f->machine->channel, to->data, to->len, MSG_NOSIGNAL);
	if (n > 0)
		buffer_consume(to, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		to->len = 0; /* QEMU is gone: its end tells the rest */
}

static void take_signals(struct follow *f)
{
	char bytes[64];
	while (read(interrupt_fd(), bytes, sizeof(bytes)) > 0)
		;
	if (interrupt_count() >= 2)
		stop(f, STOP_INTERRUPT);
	else
		stop_gently(f, STOP_INTERRUPT);
}

/* Acts on the limits that have passed. Returns the milliseconds that poll may wait. */
static int check_limits(struct follow *f)
{
	int64_t now = now_ms();
	int64_t boot_limit = f->session->stage == SESSION_BOOTING
				     ? f->machine->start + (int64_t)f->machine->boot_seconds * 1000
				     : NEVER;
	if (now >= f->run_limit)
		stop_gently(f, STOP_TIMEOUT);
	if (now >= boot_limit)
		stop(f, STOP_BOOT);
	if (now >= f->end_limit)
		stop(f, STOP_END);
	if (now >= f->grace_limit)
		f->over = true;
	int64_t next = boot_limit;
	if (f->run_limit < next)
		next = f->run_limit;
	if (f->end_limit < next)
		next = f->end_limit;
	if (f->grace_limit < next)
		next = f->grace_limit;
	if (next == NEVER)
		return -1;
	if (next <= now)
		return 0;
	return next - now < 3600000 ? (int)(next - now) : 3600000;
}

/* QEMU is gone: what it left in the sockets is all there will be. */
static int finish(struct follow *f, struct error *err)
{
	struct machine *m = f->machine;
	int r = process_wait(&m->process, &m->status, err);
	while (read_once(f, &m->console))
		;
	while (read_once(f, &m->messages))
		;
	while (m->stop != STOP_FAULT && read_once(f, &m->channel))
		;
	f->over = true;
	return r;
}

static int wait_once(struct follow *f, struct error *err)
{
	enum { CHANNEL, CONSOLE, MESSAGES, SIGNALS, QEMU, COUNT };
	struct machine *m = f->machine;
	int wait = check_limits(f); /* may have something to send */
	if (f->over)
		return 0;
	struct pollfd fds[COUNT] = {
		[CHANNEL] = {.fd = m->channel, .events = POLLIN},
		[CONSOLE] = {.fd = m->console, .events = POLLIN},
		[MESSAGES] = {.fd = m->messages, .events = POLLIN},
		[SIGNALS] = {.fd = interrupt_fd(), .events = POLLIN},
		[QEMU] = {.fd = m->process.pidfd, .events = POLLIN},
	};
	if (f->session->to.len != 0)
		fds[CHANNEL].events |= POLLOUT;
	if (poll(fds, COUNT, wait) < 0) {
		if (errno == EINTR)
			return 0;
		return error_set_errno(err, ERROR_INTERNAL, "cannot wait for QEMU");
	}
	if (fds[SIGNALS].revents != 0)
		take_signals(f);
	if (fds[CONSOLE].revents != 0)
		read_once(f, &m->console);
	if (fds[MESSAGES].revents != 0)
		read_once(f, &m->messages);
	if (fds[QEMU].revents != 0)
		return finish(f, err);
	if (fds[CHANNEL].revents & (POLLIN | POLLHUP | POLLERR))
		read_once(f, &m->channel);
	if (m->channel >= 0 && (fds[CHANNEL].revents & POLLOUT))
		send_some(f);
	return 0;
}

int machine_follow(
	struct machine *machine, struct session *session, unsigned timeout, struct error *err)
{
	struct follow f = {
		.machine = machine,
		.session = session,
		.run_limit = NEVER,
		.grace_limit = NEVER,
		.end_limit = NEVER,
	};
	machine->start = now_ms();
	if (timeout != 0)
		f.run_limit = machine->start + (int64_t)timeout * 1000;
	while (!f.over) {
		int r = wait_once(&f, err);
		if (r < 0)
			return r;
	}
	process_kill(&machine->process);
	return 0;
}
