#include "vm/terminal_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/memory.h"

enum { GUARD_TERMINAL = 0, GUARD_PIPE = 1, GUARD_FDS = 2 };

/* What the guard is told; shorter than PIPE_BUF, so that it comes whole. */
struct order {
	bool armed;
	struct termios modes;
};

/* What ends or stops the processes of a terminal does not end the one that tidies up after them. */
static void ignore_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTOU, SIGTTIN,
		SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};
	sigset_t none;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		signal(numbers[i], SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool place_fds(int terminal, int pipe)
{
	int moved_terminal = fcntl(terminal, F_DUPFD, GUARD_FDS);
	int moved_pipe = fcntl(pipe, F_DUPFD, GUARD_FDS);
	return moved_terminal >= 0 && moved_pipe >= 0 &&
	       dup2(moved_terminal, GUARD_TERMINAL) >= 0 && dup2(moved_pipe, GUARD_PIPE) >= 0 &&
	       close_range(GUARD_FDS, ~0U, 0) == 0;
}

static void __attribute__((noreturn)) run_guard(int terminal, int pipe)
{
	struct order order = {.armed = false};
	ignore_signals();
	/* A group of its own: killing the other one's leaves it. No folder is held. */
	setpgid(0, 0);
	prctl(PR_SET_NAME, "layervm-guard");
	if (chdir("/") < 0 || !place_fds(terminal, pipe))
		_exit(1);
	for (;;) {
		struct order next;
		ssize_t n = read(GUARD_PIPE, &next, sizeof(next));
		if (n == (ssize_t)sizeof(next))
			order = next;
		else if (n == 0 || (n < 0 && errno != EINTR))
			break;
	}
	if (!order.armed)
		_exit(0);
	/* The modes count more than the screen; a terminal that takes nothing keeps nobody here. */
	tcsetattr(GUARD_TERMINAL, TCSANOW, &order.modes);
	ssize_t n = write(GUARD_TERMINAL, TERMINAL_RESET, sizeof(TERMINAL_RESET) - 1);
	_exit(n > 0 ? 0 : 1);
}

int terminal_guard_start(struct terminal_guard *guard, int terminal, struct error *err)
{
	int ends[2];
	*guard = TERMINAL_GUARD_NONE;
	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pipe");
	cleanup_close int reader = ends[0];
	cleanup_close int writer = ends[1];
	pid_t pid = fork();
	if (pid < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot start a process");
	if (pid == 0)
		run_guard(terminal, reader);
	setpgid(pid, pid); /* whoever of the two comes first */
	*guard = (struct terminal_guard){.pid = pid, .pipe = steal_fd(&writer)};
	return 0;
}

static int tell(struct terminal_guard *guard, const struct order *order, struct error *err)
{
	ssize_t n;
	do
		n = write(guard->pipe, order, sizeof(*order));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set_errno(err, ERROR_INTERNAL, "the terminal's guard is gone");
	return 0;
}

int terminal_guard_arm(struct terminal_guard *guard, const struct termios *modes, struct error *err)
{
	struct order order;
	memset(&order, 0, sizeof(order)); /* all of it goes out */
	order.armed = true;
	order.modes = *modes;
	return tell(guard, &order, err);
}

void terminal_guard_disarm(struct terminal_guard *guard)
{
	struct error ignored;
	struct order order;
	memset(&order, 0, sizeof(order));
	tell(guard, &order, &ignored);
}

void terminal_guard_end(struct terminal_guard *guard)
{
	if (guard->pid < 0)
		return;
	close(guard->pipe);
	while (waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*guard = TERMINAL_GUARD_NONE;
}
