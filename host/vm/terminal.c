#include "vm/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "support/memory.h"
#include "vm/terminal_guard.h"

#define DEFAULT_ROWS 24
#define DEFAULT_COLUMNS 80

struct terminal {
	int fd;
	struct terminal_guard guard;
	bool raw;
	struct termios modes; /* to be restored; while it is raw */
	sigset_t mask;        /* likewise */
	int signals;          /* signalfd; while it is raw, else -1 */
};

/* A description of our own, so that its flags are nobody else's. */
static int open_again(int fd)
{
	char path[64];
	if (fd < 0)
		return open("/dev/tty", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
}

int terminal_open(int fd, struct terminal **terminal, struct error *err)
{
	struct termios modes;
	if (fd >= 0 && tcgetattr(fd, &modes) < 0)
		return error_set_errno(err, ERROR_USAGE, "descriptor %d is no terminal", fd);
	cleanup_close int own = open_again(fd);
	/* A terminal that belongs to another user, or is not in this /dev. */
	if (own < 0 && fd >= 0)
		own = open_again(-1);
	if (own < 0 || tcgetattr(own, &modes) < 0)
		return error_set_errno(err, ERROR_USAGE, "the terminal cannot be opened");
	cleanup_terminal struct terminal *t = xcalloc(1, sizeof(*t));
	t->guard = TERMINAL_GUARD_NONE;
	t->signals = -1;
	t->fd = steal_fd(&own);
	int r = terminal_guard_start(&t->guard, t->fd, err);
	if (r < 0)
		return r;
	*terminal = steal_ptr(&t);
	return 0;
}

int terminal_fd(const struct terminal *terminal)
{
	return terminal->fd;
}

void terminal_size(const struct terminal *terminal, uint32_t *rows, uint32_t *columns)
{
	struct winsize size = {0};
	int r = ioctl(terminal->fd, TIOCGWINSZ, &size);
	*rows = r == 0 && size.ws_row != 0 ? size.ws_row : DEFAULT_ROWS;
	*columns = r == 0 && size.ws_col != 0 ? size.ws_col : DEFAULT_COLUMNS;
}

/* Changes the terminal's modes; while this process is in the background it is stopped here. */
static int set_modes(const struct terminal *terminal, const struct termios *modes)
{
	int r;
	do
		r = tcsetattr(terminal->fd, TCSANOW, modes);
	while (r < 0 && errno == EINTR);
	return r;
}

static int set_raw(const struct terminal *terminal, struct error *err)
{
	struct termios raw = terminal->modes;
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (set_modes(terminal, &raw) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "the terminal cannot be set up");
	return 0;
}

/* The guard knows of it before the terminal does. */
static int make_raw(struct terminal *terminal, struct error *err)
{
	if (tcgetattr(terminal->fd, &terminal->modes) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "the terminal cannot be asked");
	int r = terminal_guard_arm(&terminal->guard, &terminal->modes, err);
	if (r < 0)
		return r;
	terminal->raw = true;
	return set_raw(terminal, err);
}

static void give_back(struct terminal *terminal)
{
	/* A terminal that is gone needs nothing. */
	set_modes(terminal, &terminal->modes);
	terminal_guard_disarm(&terminal->guard);
	terminal->raw = false;
}

int terminal_raw(struct terminal *terminal, struct error *err)
{
	sigset_t held;
	if (terminal->raw)
		return 0;
	sigemptyset(&held);
	sigaddset(&held, SIGWINCH);
	sigaddset(&held, SIGTSTP);
	sigaddset(&held, SIGCONT);
	if (sigprocmask(SIG_BLOCK, &held, &terminal->mask) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot hold signals back");
	terminal->signals = signalfd(-1, &held, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal->signals < 0) {
		int r = error_set_errno(err, ERROR_INTERNAL, "cannot wait for signals");
		sigprocmask(SIG_SETMASK, &terminal->mask, NULL);
		return r;
	}
	return make_raw(terminal, err);
}

int terminal_signal_fd(const struct terminal *terminal)
{
	return terminal->signals;
}

/* Stops this process as SIGTSTP would have done. Returns when it goes on. */
static void stop_here(void)
{
	sigset_t stop, before;
	sigemptyset(&stop);
	sigaddset(&stop, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &stop, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

int terminal_take_signals(struct terminal *terminal, bool *resized, struct error *err)
{
	struct signalfd_siginfo info;
	bool stop = false, go_on = false;
	*resized = false;
	while (read(terminal->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		stop = stop || info.ssi_signo == SIGTSTP;
		go_on = go_on || info.ssi_signo == SIGCONT;
		*resized = true;
	}
	if (stop) {
		give_back(terminal);
		stop_here();
		return make_raw(terminal, err);
	}
	/*
	 * After SIGSTOP a shell may have changed the modes, or made them raw again as they were:
	 * they say nothing about what is to be restored.
	 */
	return go_on && terminal->raw ? set_raw(terminal, err) : 0;
}

void terminal_restore(struct terminal *terminal, enum terminal_end end)
{
	if (terminal->signals < 0)
		return;
	if (terminal->raw) {
		if (end == TERMINAL_UNTIDY) {
			/* Where it takes nothing now, nothing is lost but this. */
			ssize_t n = write(terminal->fd, TERMINAL_RESET, sizeof(TERMINAL_RESET) - 1);
			(void)n;
		}
		give_back(terminal);
	}
	close(terminal->signals);
	terminal->signals = -1;
	sigprocmask(SIG_SETMASK, &terminal->mask, NULL);
}

void terminal_free(struct terminal *terminal)
{
	if (terminal == NULL)
		return;
	terminal_restore(terminal, TERMINAL_UNTIDY);
	terminal_guard_end(&terminal->guard);
	cleanup_close_fn(&terminal->fd);
	free(terminal);
}
