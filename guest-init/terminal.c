#include "terminal.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static unsigned short to_short(uint32_t count)
{
	return count < USHRT_MAX ? (unsigned short)count : USHRT_MAX;
}

int terminal_resize(int master, uint32_t rows, uint32_t columns, struct fault *fault)
{
	const struct winsize size = {.ws_row = to_short(rows), .ws_col = to_short(columns)};
	if (ioctl(master, TIOCSWINSZ, &size) < 0)
		return fault_set_errno(fault, "cannot give the terminal a size");
	return 0;
}

/* A terminal whose erase key takes whole characters of UTF-8. */
static int set_modes(int slave, struct fault *fault)
{
	struct termios modes;
	if (tcgetattr(slave, &modes) < 0)
		return fault_set_errno(fault, "cannot set the terminal up");
	modes.c_iflag |= IUTF8;
	if (tcsetattr(slave, TCSANOW, &modes) < 0)
		return fault_set_errno(fault, "cannot set the terminal up");
	return 0;
}

int terminal_make(
	struct terminal *terminal, uint32_t rows, uint32_t columns, uid_t uid, struct fault *fault)
{
	int master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (master < 0)
		return fault_set_errno(fault, "cannot make a pseudo terminal");
	if (unlockpt(master) < 0)
		return fault_set_errno(fault, "cannot unlock the pseudo terminal");
	/* By the master, not by a name. */
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return fault_set_errno(fault, "cannot open the pseudo terminal");
	if (fchown(slave, uid, (gid_t)-1) < 0)
		return fault_set_errno(fault, "cannot give the terminal to its user");
	if (set_modes(slave, fault) < 0 || terminal_resize(master, rows, columns, fault) < 0)
		return -1;
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return fault_set_errno(fault, "cannot make the terminal the session's");
	*terminal = (struct terminal){.master = master, .slave = slave};
	return 0;
}

void terminal_hang_up(int master, pid_t leader)
{
	pid_t foreground = tcgetpgrp(master);
	if (foreground > 1) {
		kill(-foreground, SIGHUP);
		kill(-foreground, SIGCONT);
	}
	if (foreground != leader) {
		kill(leader, SIGHUP);
		kill(leader, SIGCONT);
	}
}
