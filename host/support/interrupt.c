#include "support/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "support/clock.h"

/* Written by the handler, read by all threads. */
static atomic_llong interrupt_first_ms; /* when the first signal came; 0: none has */
static atomic_int interrupt_signal;     /* the first one */
static atomic_int interrupt_again;      /* whether one came after the pause */
static int interrupt_pipe[2] = {-1, -1};

/* A handler may run in two threads at once: the one that sets the time has the first signal. */
static void on_signal(int number)
{
	int saved = errno;
	long long none = 0;
	int64_t now = clock_ms();
	if (atomic_compare_exchange_strong(&interrupt_first_ms, &none, now))
		interrupt_signal = number;
	else if (now - none >= INTERRUPT_PAUSE_MS)
		interrupt_again = 1;
	ssize_t n = write(interrupt_pipe[1], "", 1);
	(void)n; /* a full pipe is readable all the same */
	errno = saved;
}

int interrupt_setup(struct error *err)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	if (pipe2(interrupt_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		struct sigaction old;
		/* A signal that the caller has ignored, as nohup does, stays ignored. */
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
			continue;
		sigaction(numbers[i], &action, NULL);
	}
	return 0;
}

int interrupt_check(struct error *err)
{
	if (interrupt_signal == 0)
		return 0;
	error_set(err, ERROR_INTERRUPTED, EINTR, "ended by SIG%s before it was done",
		sigabbrev_np(interrupt_signal));
	err->status = interrupt_signal;
	return -EINTR;
}

int interrupt_wait(int fd, short events, const char *name, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {
			{.fd = fd, .events = events}, {.fd = interrupt_pipe[0], .events = POLLIN}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return error_set_errno(
				err, ERROR_INTERNAL, "%s: cannot be waited for", name);
		if (fds[0].revents != 0)
			return 0;
		int r = interrupt_check(err);
		if (r < 0)
			return r;
	}
}

unsigned interrupt_count(void)
{
	return interrupt_signal == 0 ? 0 : interrupt_again == 0 ? 1 : 2;
}

int interrupt_fd(void)
{
	return interrupt_pipe[0];
}
