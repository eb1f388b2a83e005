#include "fake_qemu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "fake_guest.h"
#include "vm/qemu_args.h"

static void say_console(const char *text)
{
	fake_write(QEMU_FD_CONSOLE, text, strlen(text));
}

static void say_messages(const char *text)
{
	fake_write(STDERR_FILENO, text, strlen(text));
}

/* The job as it came, back as the script's output. */
static void __attribute__((noreturn)) behave_echo(void)
{
	char text[4096] = "";
	fake_come_up();
	while (fake_take(text, sizeof(text)) != FRAME_START)
		;
	fake_put(FRAME_STARTED, NULL, 0);
	fake_put_text(FRAME_STDOUT, text);
	fake_put_text(FRAME_STDERR, "to stderr\n");
	fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
	fake_finish("");
}

static bool is_null(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

/* What is open, but for the numbers of /dev/null that stand for what this run has not. */
static void list_descriptors(char *text, size_t size)
{
	DIR *folder = opendir("/proc/self/fd");
	if (folder == NULL)
		_exit(FAKE_STRANGE);
	bool seen[64] = {false};
	for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		long fd = strtol(entry->d_name, NULL, 10);
		if (entry->d_name[0] != '.' && fd < 64 && fd != dirfd(folder))
			seen[fd] = true;
	}
	closedir(folder);
	for (int fd = 0; fd < 64; fd++)
		if (seen[fd] && !(fd > STDERR_FILENO && is_null(fd)))
			snprintf(text + strlen(text), size - strlen(text), " %d", fd);
}

/* What QEMU inherits, as the script's output. */
static void __attribute__((noreturn)) behave_inherit(char **argv)
{
	char text[4096] = "fds";
	int death = 0;
	struct rlimit core, size, files;
	sigset_t blocked;
	list_descriptors(text, sizeof(text));
	prctl(PR_GET_PDEATHSIG, &death);
	getrlimit(RLIMIT_CORE, &core);
	getrlimit(RLIMIT_FSIZE, &size);
	getrlimit(RLIMIT_NOFILE, &files);
	sigprocmask(SIG_BLOCK, NULL, &blocked);
	struct sigaction pipe_action;
	sigaction(SIGPIPE, NULL, &pipe_action);
	snprintf(text + strlen(text), sizeof(text) - strlen(text),
		"\ndeath %d, own group %d, no new privileges %d\ncore %llu, files %llu, size %llu\n"
		"base %d, overlay %d, SIGUSR1 blocked %d, SIGPIPE ignored %d\n",
		death, getpgrp() == getpid(), prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
		(unsigned long long)core.rlim_max, (unsigned long long)files.rlim_max,
		(unsigned long long)size.rlim_max, fcntl(QEMU_FD_DISK, F_GETFL) & O_ACCMODE,
		fcntl(QEMU_FD_OVERLAY, F_GETFL) & O_ACCMODE, sigismember(&blocked, SIGUSR1),
		pipe_action.sa_handler == SIG_IGN);
	for (char **entry = environ; *entry != NULL; entry++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s\n", *entry);
	(void)argv;
	fake_start();
	fake_put_text(FRAME_STDOUT, text);
	fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
	fake_finish("");
}

static void note_open(char *text, size_t size, const char *what, int fd)
{
	const char *how = fd >= 0 ? "opens" : strerror(errno);
	snprintf(text + strlen(text), size - strlen(text), "%s: %s\n", what, how);
	if (fd >= 0)
		close(fd);
}

/* What QEMU can open by name, as the script's output; a file "secret" is beside the program. */
static void __attribute__((noreturn)) behave_reach(const char *program)
{
	char text[4096] = "";
	char path[4096], created[4096];
	int folder = (int)(strrchr(program, '/') - program);
	snprintf(path, sizeof(path), "%.*s/secret", folder, program);
	snprintf(created, sizeof(created), "%.*s/new", folder, program);
	note_open(text, sizeof(text), "a program", open("/usr/bin/env", O_RDONLY));
	note_open(text, sizeof(text), "a device", open("/dev/null", O_RDWR));
	note_open(text, sizeof(text), "itself", open("/proc/self/status", O_RDONLY));
	note_open(text, sizeof(text), "the base for writing",
		open("/proc/self/fd/5", O_RDWR)); /* QEMU_FD_DISK */
	note_open(text, sizeof(text), "another file", open(path, O_RDONLY));
	note_open(text, sizeof(text), "another file for writing", open(path, O_WRONLY));
	note_open(text, sizeof(text), "a new file", open(created, O_WRONLY | O_CREAT, 0600));
	note_open(text, sizeof(text), "users", open("/etc/passwd", O_RDONLY));
	fake_start();
	fake_put_text(FRAME_STDOUT, text);
	fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
	fake_finish("");
}

/* The descriptors with a further disk, as the reason of the other job's failure. */
static void __attribute__((noreturn)) behave_further(void)
{
	char text[256] = "fds";
	list_descriptors(text, sizeof(text));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ", further %d",
		fcntl(QEMU_FD_FURTHER, F_GETFL) & O_ACCMODE);
	fake_start();
	fake_put_text(FRAME_STDERR, text);
	fake_put_exit(EXIT_STATUS, UNPACK_BAD_LAYER, 0, 0, "");
	fake_finish("");
}

static void __attribute__((noreturn)) behave_flood(void)
{
	char bytes[65536];
	memset(bytes, 'x', sizeof(bytes));
	fake_start();
	for (;;)
		fake_put(FRAME_STDOUT, bytes, sizeof(bytes));
}

/* Fills the console and QEMU's messages without end before it does its work. */
static void __attribute__((noreturn)) behave_noise(void)
{
	char bytes[65536];
	memset(bytes, 'n', sizeof(bytes));
	for (unsigned i = 0; i < 100; i++) {
		fake_write(QEMU_FD_CONSOLE, bytes, sizeof(bytes));
		fake_write(STDERR_FILENO, bytes, sizeof(bytes));
	}
	fake_start();
	fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
	fake_finish("");
}

/* Tries to have a process of its own, which would outlive it. */
static void __attribute__((noreturn)) behave_child(void)
{
	char text[64];
	fake_start();
	pid_t pid = fork();
	if (pid == 0)
		fake_wait();
	snprintf(text, sizeof(text), "%s\n", pid < 0 ? strerror(errno) : "a process");
	fake_put_text(FRAME_STDOUT, text);
	fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
	fake_finish("");
}

enum manners {
	MANNERS_NONE,
	MANNERS_OBEYS,    /* its job ends when it is told to */
	MANNERS_UNMOUNTS, /* and its disk is unmounted then */
	MANNERS_STUBBORN, /* that too, but its job does not end until it is killed */
};

static void __attribute__((noreturn)) behave_hang(enum manners manners)
{
	char text[64];
	fake_start();
	snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	fake_put_text(FRAME_STDOUT, text);
	if (manners == MANNERS_NONE)
		fake_wait();
	fake_take_until(FRAME_TERMINATE);
	if (manners == MANNERS_STUBBORN)
		fake_take_until(FRAME_KILL);
	fake_put_exit(EXIT_SIGNAL, SIGTERM, 0, 0, "");
	if (manners == MANNERS_OBEYS)
		fake_wait();
	fake_take_until(FRAME_FINISH);
	fake_finish("");
}

/* A script that fails, and a guest that does so when the job after it is to start or runs. */
static void __attribute__((noreturn)) behave_look(const char *how)
{
	fake_start();
	fake_put_exit(EXIT_STATUS, 3, 0, 0, "");
	fake_take_until(FRAME_START);
	if (strcmp(how, "failure") == 0) {
		fake_put_text(FRAME_FAILURE, "no folder /proc");
		fake_wait();
	}
	fake_put(FRAME_STARTED, NULL, 0);
	if (strcmp(how, "killed") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(how, "reset") == 0)
		_exit(0);
	fake_put(FRAME_HELLO, NULL, 0);
	fake_wait();
}

struct end {
	const char *name;
	struct exit_report report;
	const char *words;
	const char *disk;
	const char *reason; /* on standard error, or NULL */
};

static const struct end ends[] = {
	{"status-7", {EXIT_STATUS, 7, 0, 0}, "", "", NULL},
	{"signal-9", {EXIT_SIGNAL, 9, 0, 0}, "", "", NULL},
	{"oom", {EXIT_SIGNAL, 9, EXIT_FLAG_DISK_FULL, 2}, "", "", NULL},
	{"oom-well", {EXIT_STATUS, 0, 0, 1}, "", "", NULL},
	{"full", {EXIT_STATUS, 1, EXIT_FLAG_DISK_FULL, 0}, "", "", NULL},
	{"full-well", {EXIT_STATUS, 0, EXIT_FLAG_DISK_FULL, 0}, "", "", NULL},
	{"files", {EXIT_STATUS, 1, EXIT_FLAG_FILES_FULL, 0}, "", "", NULL},
	{"files-too", {EXIT_STATUS, 1, EXIT_FLAG_DISK_FULL | EXIT_FLAG_FILES_FULL, 0}, "", "",
		NULL},
	{"disk", {EXIT_STATUS, 0, 0, 0}, "", "the disk\nis bad", NULL},
	{"disk-too", {EXIT_STATUS, 3, 0, 0}, "", "a swap file", NULL},
	{"command-7", {EXIT_STATUS, 7, 0, 0}, "", "", NULL},
	{"command-9", {EXIT_SIGNAL, 9, EXIT_FLAG_DISK_FULL, 2}, "", "", NULL},
	{"command-files", {EXIT_STATUS, 1, EXIT_FLAG_FILES_FULL, 0}, "", "", NULL},
	{"command-disk", {EXIT_STATUS, 7, 0, 0}, "", "a swap file", NULL},
	{"unpack-done", {EXIT_STATUS, UNPACK_DONE, 0, 0}, "", "", NULL},
	{"unpack-layer", {EXIT_STATUS, UNPACK_BAD_LAYER, 0, 0}, "", "", "layer 1 of 2: x\n: bad"},
	{"unpack-guest", {EXIT_STATUS, UNPACK_FAILED, 0, 0}, "", "", "no locale"},
	{"unpack-full", {EXIT_STATUS, UNPACK_FAILED, EXIT_FLAG_DISK_FULL, 0}, "", "", "layer 1"},
	{"unpack-files", {EXIT_STATUS, UNPACK_FAILED, EXIT_FLAG_FILES_FULL, 0}, "", "", "layer 1"},
	{"unpack-oom", {EXIT_SIGNAL, 9, 0, 1}, "", "", NULL},
	{"unpack-signal", {EXIT_SIGNAL, 11, 0, 0}, "", "", NULL},
	{"unpack-abort", {EXIT_STATUS, 125, 0, 0}, "", "", "broken"},
};

static void __attribute__((noreturn)) behave_end(const struct end *end)
{
	fake_start();
	if (end->reason != NULL)
		fake_put_text(FRAME_STDERR, end->reason);
	fake_put_exit(end->report.how, end->report.code, end->report.flags, end->report.oom_kills,
		end->words);
	fake_finish(end->disk);
}

static void behave_early(const char *name)
{
	if (strcmp(name, "refuse") == 0) {
		say_messages("fake: bad option\nfake: giving up\n");
		_exit(1);
	} else if (strcmp(name, "silent") == 0) {
		_exit(0);
	} else if (strcmp(name, "asleep") == 0) {
		fake_put_text(FRAME_HELLO, "6.1");
		fake_take_until(FRAME_WAKE);
		_exit(0);
	} else if (strcmp(name, "unprepared") == 0) {
		fake_put_text(FRAME_FAILURE, "cannot make the job's process");
		fake_wait();
	} else if (strcmp(name, "hang-boot") == 0) {
		fake_wait();
	} else if (strcmp(name, "killed") == 0) {
		fake_start();
		kill(getpid(), SIGKILL);
	} else if (strcmp(name, "panic") == 0) {
		fake_start();
		say_console("[ 1.0] Kernel panic - not syncing: sysrq\r\n\033[0mmore\r\n");
		_exit(0);
	} else if (strcmp(name, "deadlock") == 0) {
		say_console("Kernel panic - not syncing: System is deadlocked on memory\n");
		_exit(0);
	} else if (strcmp(name, "init") == 0) {
		say_console("layervm init: cannot mount /proc\n");
		_exit(0);
	} else if (strcmp(name, "reset") == 0 || strcmp(name, "unpack-reset") == 0 ||
		   strcmp(name, "command-reset") == 0) {
		fake_start();
		_exit(0);
	}
}

/* A guest whose kernel says that it does no more. */
static void behave_still(const char *name)
{
	static const char panic[] = "---[ end Kernel panic - not syncing: sysrq ]---\n";
	if (strcmp(name, "halted") == 0) {
		fake_start();
		say_console("[ 1.0] reboot: System halted\n");
		fake_wait();
	} else if (strcmp(name, "halted-not") == 0) {
		fake_start();
		say_console("as a kernel says: reboot: System halted\n");
		fake_take_until(FRAME_PING);
		fake_put(FRAME_PONG, NULL, 0);
		fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
		fake_finish("");
	} else if (strcmp(name, "panic-stays") == 0) {
		fake_start();
		say_console(panic);
		for (volatile unsigned turns = 0;;)
			turns++;
	} else if (strcmp(name, "gave-up") == 0) {
		fake_start();
		say_console("layervm init: cannot read from the host\n");
		_exit(0);
	}
}

static void behave_late(const char *name)
{
	if (strcmp(name, "not-run") == 0 || strcmp(name, "unpack-not-run") == 0 ||
		strcmp(name, "command-not-run") == 0) {
		fake_come_up();
		fake_take_until(FRAME_START);
		fake_put_exit(EXIT_NOT_RUN, 127, 0, 0, "no such thing");
		fake_finish("");
	} else if (strcmp(name, "failure") == 0) {
		fake_come_up();
		fake_put_text(FRAME_FAILURE, "cannot mount the image's disk");
		fake_wait();
	} else if (strcmp(name, "version") == 0) {
		static const uint8_t header[FRAME_HEADER_SIZE] = {9, FRAME_HELLO};
		fake_write(QEMU_FD_CHANNEL, header, sizeof(header));
		fake_wait();
	} else if (strcmp(name, "last-status") == 0) {
		fake_start();
		fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
		fake_say_bye("");
		say_messages("fake: overlay-file: I/O error\n");
		_exit(3);
	} else if (strcmp(name, "cut") == 0) {
		fake_start();
		fake_write(QEMU_FD_CHANNEL, "\x01\x03", 2);
		_exit(0);
	}
}

void fake_qemu(const char *name, char **argv)
{
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (strcmp(name, ends[i].name) == 0)
			behave_end(&ends[i]);
	if (strcmp(name, "echo") == 0)
		behave_echo();
	if (strcmp(name, "inherit") == 0)
		behave_inherit(argv);
	if (strcmp(name, "reach") == 0)
		behave_reach(argv[0]);
	if (strcmp(name, "unpack-further") == 0)
		behave_further();
	if (strcmp(name, "flood") == 0 || strcmp(name, "command-flood") == 0)
		behave_flood();
	if (strcmp(name, "noise") == 0)
		behave_noise();
	if (strcmp(name, "child") == 0)
		behave_child();
	if (strcmp(name, "hang") == 0)
		behave_hang(MANNERS_NONE);
	if (strcmp(name, "obey") == 0 || strcmp(name, "kept-obey") == 0)
		behave_hang(MANNERS_OBEYS);
	if (strcmp(name, "unmount") == 0 || strcmp(name, "kept-unmount") == 0)
		behave_hang(MANNERS_UNMOUNTS);
	if (strcmp(name, "kept-stubborn") == 0)
		behave_hang(MANNERS_STUBBORN);
	if (strncmp(name, "look-", 5) == 0)
		behave_look(name + 5);
	behave_early(name);
	behave_still(name);
	behave_late(name);
	_exit(FAKE_STRANGE);
}
