#include "support/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Written by the handler, read by all threads. */
static atomic_int interrupt_signal;
static atomic_int interrupt_signals;
static int interrupt_pipe[2] = {-1, -1};

static void on_signal(int number)
{
	int saved = errno;
	interrupt_signal = number;
	atomic_fetch_add(&interrupt_signals, 1);
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
	if (interrupt_signals == 0)
		return 0;
	error_set(err, ERROR_INTERRUPTED, EINTR, "ended by SIG%s; nothing was written",
		sigabbrev_np(interrupt_signal));
	err->status = interrupt_signal;
	return -EINTR;
}

unsigned interrupt_count(void)
{
	return (unsigned)interrupt_signals;
}

int interrupt_fd(void)
{
	return interrupt_pipe[0];
}
