#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache.h"
#include "support/interrupt.h"
#include "support/memory.h"

int cache_try_lock(int fd, struct error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return 1;
	if (errno == EWOULDBLOCK)
		return 0;
	return error_set_errno(err, ERROR_OUTPUT, "cannot lock a file of the cache");
}

/* Waits for the child, or for an interrupt, which ends it. */
static int await(pid_t child, int pidfd, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = pidfd, .events = POLLIN}, {.fd = interrupt_fd(), .events = POLLIN}};
	int r = 0;
	while (r == 0 && fds[0].revents == 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			r = error_set_errno(err, ERROR_INTERNAL, "poll");
		else
			r = interrupt_check(err);
	}
	if (r < 0)
		kill(child, SIGKILL);
	return r;
}

/*
 * The lock is the open file's, which a child shares: it waits in flock(2), so that nothing is
 * missed between a look at the signals and the wait, and nobody looks again and again.
 */
int cache_wait_lock(int fd, struct error *err)
{
	int status = 0;
	pid_t parent = getpid();
	pid_t child = fork();
	if (child < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot start a process");
	if (child == 0) {
		signal(SIGINT, SIG_IGN); /* of the terminal: the parent decides */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		_exit(flock(fd, LOCK_EX) == 0 ? 0 : 1);
	}
	cleanup_close int pidfd = pidfd_open(child, 0);
	int r = pidfd < 0 ? error_set_errno(err, ERROR_INTERNAL, "cannot watch a process")
			  : await(child, pidfd, err);
	if (pidfd < 0)
		kill(child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (r < 0)
		return r;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, ERROR_OUTPUT, EIO, "cannot lock a file of the cache");
	return 0;
}
