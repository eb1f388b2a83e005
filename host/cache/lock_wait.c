#include "cache/lock_wait.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What poll(2) takes; -1 where there is no end. */
static int left_ms(int64_t end)
{
	int64_t left = end - now_ms();
	if (end == 0)
		return -1;
	return left <= 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

/* Waits for the child, for an interrupt, or until the time is over, which is no error. */
static int await(int pidfd, int64_t end, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = pidfd, .events = POLLIN}, {.fd = interrupt_fd(), .events = POLLIN}};
	for (;;) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		int n = poll(fds, 2, left_ms(end));
		if (n < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "poll");
		if (n == 0 || (n > 0 && fds[0].revents != 0))
			return 0;
	}
}

/* What a terminal sends to all of its processes is the parent's to decide about. */
static void wait_as_child(int (*lock)(const void *what), const void *what, pid_t parent)
{
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(getppid() == parent && lock(what) == 0 ? 0 : 1);
}

/*
 * The lock is the open file's, which a child shares: it waits in the kernel, so that nothing is
 * missed between a look at the signals and the wait, and nobody looks again and again.
 */
int lock_wait(int (*lock)(const void *what), const void *what, unsigned seconds, struct error *err)
{
	int64_t end = seconds == 0 ? 0 : now_ms() + (int64_t)seconds * 1000;
	int status = 0;
	pid_t parent = getpid();
	pid_t child = fork();
	if (child < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot start a process");
	if (child == 0)
		wait_as_child(lock, what, parent);
	cleanup_close int pidfd = pidfd_open(child, 0);
	int r = pidfd < 0 ? error_set_errno(err, ERROR_INTERNAL, "cannot watch a process")
			  : await(pidfd, end, err);
	/* Of a child that has ended nothing but its status is left, and that stays. */
	kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 1;
	return WIFSIGNALED(status) && end != 0
		       ? 0
		       : error_set(err, ERROR_OUTPUT, EIO, "cannot lock a file of the cache");
}
