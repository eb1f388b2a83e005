/* The poll loop of machine_follow. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "support/clock.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/ending.h"
#include "vm/machine.h"
#include "vm/pulse.h"
#include "vm/streams.h"

#define PIECE 65536
#define NEVER INT64_MAX

struct follow {
	struct machine *machine;
	struct session *session;
	struct streams streams;
	struct pulse pulse;
	int64_t run_limit; /* milliseconds of the monotonic clock */
	int64_t grace_limit;
	int64_t end_limit;
	bool over; /* QEMU is to be killed now, or is gone */
};

/* The first reason counts. */
static void note_reason(struct follow *f, enum machine_stop why)
{
	if (f->machine->stop != STOP_NONE)
		return;
	f->machine->stop = why;
	f->machine->stop_stage = f->session->stage;
}

/* Ends the run for a reason. */
static void stop(struct follow *f, enum machine_stop why)
{
	note_reason(f, why);
	f->over = true;
}

/* Whether what the guest has written counts even where the run is ended. */
static bool saves_disks(const struct follow *f)
{
	const struct vm_options *options = f->session->options;
	for (size_t i = 0; i < options->further_count; i++) {
		if (options->further[i].writable)
			return true;
	}
	return options->disks_stay;
}

/* Whether a run that is to end still has something to do: its job, or the disks' unmounting. */
static bool has_rest(const struct follow *f)
{
	enum session_stage stage = f->session->stage;
	return saves_disks(f) ? stage >= SESSION_STARTING : stage == SESSION_RUNNING;
}

/*
 * Ends the run for a reason, but gives a job that runs the time to end itself, and the guest the
 * time to unmount disks that are used later.
 */
static void stop_gently(struct follow *f, enum machine_stop why)
{
	bool is_ending = f->session->stage >= SESSION_ENDING;
	if (!has_rest(f)) {
		stop(f, why);
		return;
	}
	if (f->machine->stop != STOP_NONE)
		return;
	note_reason(f, why);
	f->run_limit = NEVER;
	f->grace_limit =
		clock_ms() + (is_ending ? MACHINE_SAVE_SECONDS : MACHINE_GRACE_SECONDS) * 1000;
	session_terminate(f->session);
}

/*
 * The time of grace is over. A job that did not end in it is killed where the guest still has disks
 * to unmount.
 */
static void end_grace(struct follow *f)
{
	bool has_job = f->session->stage < SESSION_ENDING;
	note_reason(f, STOP_UNREAD); /* where there is no reason yet */
	f->over = f->session->killed || !has_job || !saves_disks(f);
	if (f->over)
		return;
	session_kill(f->session);
	f->grace_limit = clock_ms() + MACHINE_SAVE_SECONDS * 1000;
}

/* The keys that leave are for a guest that does not listen; typed once more they end it at once. */
static void leave(struct follow *f)
{
	if (f->machine->stop == STOP_NONE && saves_disks(f))
		stop_gently(f, STOP_ESCAPE);
	else
		stop(f, STOP_ESCAPE);
}

/* A fault that ends the run: the guest's, or of a file that the job's streams are. */
static void fail(struct follow *f, const struct error *fault)
{
	if (f->machine->stop == STOP_NONE)
		f->machine->fault = *fault;
	stop(f, STOP_FAULT);
}

/* Nobody reads the job's output: it gets the time to end itself, and its disk is let go of. */
static void end_unread(struct follow *f)
{
	if (f->machine->unread)
		return;
	f->machine->unread = true;
	if (f->session->stage != SESSION_RUNNING || f->machine->stop != STOP_NONE)
		return;
	f->grace_limit = clock_ms() + MACHINE_GRACE_SECONDS * 1000;
	session_terminate(f->session);
}

/* A shell looks at what failed for as long as it likes. */
static void note_other_job(struct follow *f)
{
	f->run_limit = NEVER;
	ending_announce(f->session);
}

/*
 * The guest is done. On SIGTERM QEMU closes the disks, with all of its tables written, as it does
 * where a guest powers off.
 */
static void end_qemu(struct follow *f, int64_t now)
{
	f->end_limit = now + MACHINE_END_SECONDS * 1000;
	child_terminate(&f->machine->qemu);
}

static void note_stage(struct follow *f, enum session_stage before, const struct vm_job *job_before)
{
	struct machine *m = f->machine;
	enum session_stage stage = f->session->stage;
	int64_t now = clock_ms();
	bool own = f->session->current == f->session->job;
	if (m->hello == 0 && stage > SESSION_WAKING)
		m->hello = now;
	if (m->job_start == 0 && stage >= SESSION_RUNNING)
		m->job_start = now;
	if (m->job_end == 0 && (stage >= SESSION_ENDING || !own))
		m->job_end = now;
	if (job_before == f->session->job && !own)
		note_other_job(f);
	if (before < SESSION_ENDING && stage >= SESSION_ENDING)
		f->grace_limit = m->stop == STOP_NONE ? NEVER : now + MACHINE_SAVE_SECONDS * 1000;
	if (before < SESSION_OVER && stage == SESSION_OVER)
		end_qemu(f, now);
	/* A job that was told to end has ended, and a guest whose init failed is of no use. */
	if ((m->stop != STOP_NONE && !has_rest(f)) || f->session->failed)
		f->over = true;
}

static void take_channel(struct follow *f, const void *data, size_t len)
{
	enum session_stage before = f->session->stage;
	const struct vm_job *job = f->session->current;
	struct error fault;
	bool asked = f->session->asked;
	pulse_heard(&f->pulse, clock_ms());
	if (session_receive(f->session, data, len, &fault) < 0)
		fail(f, &fault);
	else
		note_stage(f, before, job);
	if (asked && !f->session->asked)
		pulse_answered(&f->pulse, clock_ms());
}

/* What the kernel says last before it halts: after a panic, where it does not restart. */
static void take_console(struct follow *f, const void *data, size_t len)
{
	struct ring *text = &f->machine->console_text;
	ring_add(text, data, len);
	cleanup_free char *halted = ring_find(text, MACHINE_HALTED);
	cleanup_free char *panic = ring_find(text, "---[ end Kernel panic");
	if (halted != NULL || panic != NULL)
		pulse_suspect(&f->pulse, clock_ms());
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
			f->end_limit = clock_ms() + MACHINE_END_SECONDS * 1000;
		return false;
	}
	if (fd == &m->channel)
		take_channel(f, piece, (size_t)n);
	else if (fd == &m->console)
		take_console(f, piece, (size_t)n);
	else
		ring_add(&m->message_text, piece, (size_t)n);
	return true;
}

static void send_some(struct follow *f)
{
	const struct buffer *to = &f->session->to;
	ssize_t n = send(f->machine->channel, to->data, to->len, MSG_NOSIGNAL);
	if (n > 0)
		session_sent(f->session, (size_t)n);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		session_sent(f->session, to->len); /* QEMU is gone: its end tells the rest */
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

/* Whether bytes of the guest's wait for the reader of the job's output. */
static bool is_full(const struct follow *f)
{
	return streams_full(&f->streams) || report_full(f->session->report);
}

/* Ends a guest that does nothing any more; one that is told to end has its own limits. */
static void check_pulse(struct follow *f, int64_t now)
{
	struct machine *m = f->machine;
	enum session_stage stage = f->session->stage;
	bool works = stage >= SESSION_STARTING && stage < SESSION_OVER;
	if (!works || m->stop != STOP_NONE || is_full(f)) {
		pulse_heard(&f->pulse, now);
		return;
	}
	if (now < f->pulse.next)
		return;
	struct pulse_look look = pulse_look_at(m->qemu.pid);
	enum pulse_state state = stage == SESSION_RUNNING ? PULSE_ASKED : PULSE_WORKING;
	session_ask(f->session);
	enum pulse_verdict verdict =
		pulse_take(&f->pulse, &look, state, f->session->options->cpus, now);
	if (verdict != PULSE_ALIVE)
		stop(f, verdict == PULSE_STILL ? STOP_STILL : STOP_DEAF);
}

/* Acts on the limits that have passed. Returns the milliseconds that poll may wait. */
static int check_limits(struct follow *f)
{
	int64_t now = clock_ms();
	int64_t boot_limit = f->session->stage <= SESSION_WAKING
				     ? f->machine->start + (int64_t)f->machine->boot_seconds * 1000
				     : NEVER;
	if (now >= f->run_limit)
		stop_gently(f, STOP_TIMEOUT);
	if (now >= boot_limit)
		stop(f, STOP_BOOT);
	if (now >= f->end_limit)
		stop(f, STOP_END);
	if (now >= f->grace_limit)
		end_grace(f);
	check_pulse(f, now);
	int64_t next = f->pulse.next;
	if (boot_limit < next)
		next = boot_limit;
	if (f->run_limit < next)
		next = f->run_limit;
	if (f->end_limit < next)
		next = f->end_limit;
	if (f->grace_limit < next)
		next = f->grace_limit;
	if (next <= now)
		return 0;
	return next - now < 3600000 ? (int)(next - now) : 3600000;
}

/* QEMU is gone: what it left in the sockets is all there will be. */
static int finish(struct follow *f, struct error *err)
{
	struct machine *m = f->machine;
	int r = child_wait(&m->qemu, &m->status, err);
	while (read_once(f, &m->console))
		;
	while (read_once(f, &m->messages))
		;
	while (m->stop != STOP_FAULT && read_once(f, &m->channel))
		;
	f->over = true;
	return r;
}

static void act_on_streams(struct follow *f, const struct pollfd fds[static STREAMS_FDS])
{
	struct error fault;
	int event = streams_act(&f->streams, fds, clock_ms(), &fault);
	if (event < 0)
		fail(f, &fault);
	else if (event == STREAMS_ESCAPED)
		leave(f);
	else if (event == STREAMS_READER_GONE)
		end_unread(f);
}

/* Prepares the streams for poll; a job that is to end does not wait for a reader. */
static void watch_streams(struct follow *f, struct pollfd fds[static STREAMS_FDS])
{
	struct error fault;
	if (f->machine->stop != STOP_NONE && streams_full(&f->streams))
		streams_drop(&f->streams);
	if (streams_follow(&f->streams, &fault) < 0)
		fail(f, &fault);
	streams_watch(&f->streams, fds);
}

/* The report for poll; a job that is to end does not wait for who reads its output there either. */
static struct pollfd watch_report(struct follow *f)
{
	struct report *report = f->session->report;
	if (f->machine->stop != STOP_NONE && report_full(report))
		report_drop(report);
	return (struct pollfd){.fd = report_pending_fd(report), .events = POLLOUT};
}

static int wait_once(struct follow *f, struct error *err)
{
	enum {
		CHANNEL,
		CONSOLE,
		MESSAGES,
		SIGNALS,
		QEMU,
		REPORT,
		STREAMS,
		COUNT = STREAMS + STREAMS_FDS
	};
	struct machine *m = f->machine;
	int wait = check_limits(f); /* may have something to send */
	struct pollfd fds[COUNT] = {
		[CHANNEL] = {.fd = m->channel},
		[CONSOLE] = {.fd = m->console, .events = POLLIN},
		[MESSAGES] = {.fd = m->messages, .events = POLLIN},
		[SIGNALS] = {.fd = interrupt_fd(), .events = POLLIN},
		[QEMU] = {.fd = m->qemu.pidfd, .events = POLLIN},
		[REPORT] = watch_report(f),
	};
	watch_streams(f, fds + STREAMS);
	if (f->over)
		return 0;
	if (!is_full(f))
		fds[CHANNEL].events |= POLLIN;
	if (f->session->to.len != 0)
		fds[CHANNEL].events |= POLLOUT;
	if (fds[CHANNEL].events == 0)
		fds[CHANNEL].fd = -1; /* its end, which poll tells unasked, waits too */
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
	if (fds[REPORT].revents != 0)
		report_pass_on(f->session->report);
	act_on_streams(f, fds + STREAMS);
	if (fds[QEMU].revents != 0)
		return finish(f, err);
	if ((fds[CHANNEL].events & POLLIN) && (fds[CHANNEL].revents & (POLLIN | POLLHUP | POLLERR)))
		read_once(f, &m->channel);
	if (m->channel >= 0 && (fds[CHANNEL].revents & POLLOUT))
		send_some(f);
	return 0;
}

/*
 * QEMU is gone, and output may still wait for its reader: to the end where the run ended by
 * itself, and as much as goes at once where it was ended.
 */
static int flush_output(struct follow *f, struct error *err)
{
	enum { SIGNALS = STREAMS_FDS, COUNT };
	struct pollfd fds[COUNT];
	for (;;) {
		watch_streams(f, fds);
		if (!streams_pending(&f->streams))
			return 0;
		fds[SIGNALS] = (struct pollfd){.fd = interrupt_fd(), .events = POLLIN};
		int n = poll(fds, COUNT, f->machine->stop == STOP_NONE ? -1 : 0);
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "cannot wait for a reader");
		if (n == 0)
			return 0;
		if (n > 0 && fds[SIGNALS].revents != 0)
			take_signals(f);
		if (n > 0)
			act_on_streams(f, fds);
	}
}

static int follow(struct follow *f, unsigned timeout, struct error *err)
{
	f->machine->start = clock_ms();
	if (timeout != 0)
		f->run_limit = f->machine->start + (int64_t)timeout * 1000;
	while (!f->over) {
		int r = wait_once(f, err);
		if (r < 0)
			return r;
	}
	child_kill(&f->machine->qemu);
	return flush_output(f, err);
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
	report_defer(session->report);
	int r = streams_open(&f.streams, session, err);
	if (r == 0)
		r = follow(&f, timeout, err);
	streams_close(&f.streams);
	report_settle(
		session->report, machine->stop == STOP_NONE ? REPORT_UNHURRIED : REPORT_HURRIED);
	return r;
}
