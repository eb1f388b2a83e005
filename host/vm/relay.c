#include "vm/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/confine.h"
#include "support/memory.h"
#include "vm/frames.h"

/* One of the two ways through. */
struct way {
	int from, to;
	bool ended; /* nothing more comes from there */
	struct frames frames;
};

struct relay {
	struct way out; /* from the guest */
	struct way in;
};

static bool has_waiting(const struct way *way)
{
	size_t len;
	frames_piece(&way->frames, &len);
	return len > 0;
}

static bool has_room(struct way *way)
{
	size_t len;
	frames_room(&way->frames, &len);
	return len > 0;
}

/* Sets what to wait for at a socket: one from which `from` comes and to which `to` goes. */
static void set_events(struct pollfd *fd, int socket, struct way *from, const struct way *to)
{
	fd->events = 0;
	if (!from->ended && !to->ended && has_room(from))
		fd->events |= POLLIN;
	if (!from->ended && has_waiting(to))
		fd->events |= POLLOUT;
	/* A socket whose other end is closed would have poll return at once, again and again. */
	fd->fd = fd->events != 0 ? socket : -1;
	fd->revents = 0;
}

static void receive(struct way *way)
{
	size_t len;
	uint8_t *room = frames_room(&way->frames, &len);
	ssize_t n = read(way->from, room, len);
	if (n > 0)
		frames_came(&way->frames, (size_t)n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		way->ended = true;
}

/* Sends what the other end takes now. False: that one is closed. */
static bool send_on(struct way *way)
{
	for (;;) {
		size_t len;
		const uint8_t *piece = frames_piece(&way->frames, &len);
		if (len == 0)
			return true;
		ssize_t n = write(way->to, piece, len);
		if (n > 0)
			frames_went(&way->frames, (size_t)n);
		else if (n < 0 && errno != EINTR)
			return errno == EAGAIN;
	}
}

/* Returns whether there is more to do. */
static bool move(struct way *way, const struct pollfd *from)
{
	if ((from->revents & (POLLIN | POLLHUP | POLLERR)) != 0 && (from->events & POLLIN) != 0)
		receive(way);
	return send_on(way) && !(way->ended && !has_waiting(way));
}

/*
 * Once one side has closed, what came from there is sent on and all else is of no use. Returns 0,
 * or a negative errno value.
 */
static int run(struct relay *relay)
{
	struct way *out = &relay->out, *in = &relay->in;
	for (;;) {
		struct pollfd guest, network;
		set_events(&guest, out->from, out, in);
		set_events(&network, in->from, in, out);
		struct pollfd fds[] = {guest, network};
		if (ppoll(fds, 2, NULL, NULL) < 0 && errno != EINTR)
			return -errno;
		if (!in->ended && !move(out, &fds[0]))
			return 0;
		if (!out->ended && !move(in, &fds[1]))
			return 0;
	}
}

static int confine(const struct relay *relay, pid_t parent, struct error *err)
{
	static const int calls[] = {SCMP_SYS(read), SCMP_SYS(ppoll)};
	const int writable[] = {relay->out.to, relay->in.to};
	const struct confinement allowed = {
		.calls = calls,
		.call_count = sizeof(calls) / sizeof(calls[0]),
		.writable = writable,
		.writable_count = sizeof(writable) / sizeof(writable[0]),
	};
	int kept[] = {relay->out.from, relay->in.from};
	int r = confine_process(parent, err);
	if (r == 0 && setpgid(0, 0) < 0)
		r = error_set_errno(err, ERROR_INTERNAL, "cannot make a process group");
	if (r == 0)
		r = confine_files(kept, sizeof(kept) / sizeof(kept[0]), err);
	return r < 0 ? r : confine_calls(&allowed, err);
}

/* The status is what stopped it, as an errno value. */
static void __attribute__((noreturn)) run_child(struct relay *relay, pid_t parent)
{
	struct error err;
	int r = confine(relay, parent, &err);
	if (r == 0)
		r = run(relay);
	_exit(-r);
}

static int set_not_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags < 0 ? flags : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int relay_start(int guest, int network, struct child *child, struct error *err)
{
	*child = CHILD_NONE;
	/* Allocated here: another thread may hold locks of the allocator that the child has not. */
	cleanup_free struct relay *relay = xcalloc(1, sizeof(*relay));
	relay->out.from = relay->in.to = guest;
	relay->out.to = relay->in.from = network;
	relay->out.frames.allows = packet_may_leave;
	if (set_not_blocking(guest) < 0 || set_not_blocking(network) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot set a socket up");
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid < 0)
		return error_set_errno(
			err, ERROR_QEMU, "cannot start the filter of the guest's packets");
	if (pid == 0)
		run_child(relay, parent);
	*child = (struct child){.pid = pid, .pidfd = pidfd_open(pid, 0)};
	if (child->pidfd >= 0)
		return 0;
	int r = error_set_errno(err, ERROR_INTERNAL, "cannot watch process %ld", (long)pid);
	child_kill(child);
	return r;
}

int relay_wait(const struct child *child, struct error *err)
{
	static const char what[] = "the filter of the guest's packets";
	siginfo_t end = {0};
	int r;
	do
		r = waitid(P_PIDFD, (id_t)child->pidfd, &end, WEXITED | WNOWAIT);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot wait for %s", what);
	if (end.si_code != CLD_EXITED)
		return error_set(
			err, ERROR_QEMU, EIO, "%s was ended by signal %d", what, end.si_status);
	if (end.si_status != 0)
		return error_set(err, ERROR_QEMU, end.si_status, "%s cannot work: %s", what,
			strerror(end.si_status));
	return 0;
}
