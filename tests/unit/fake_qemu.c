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
#include <unistd.h>

#include "protocol.h"
#include "vm/qemu_args.h"

#define STRANGE 99 /* the status for what no behaviour expects */

static void write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0)
			_exit(STRANGE);
		p += n;
		len -= (size_t)n;
	}
}

static void put(unsigned type, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	frame_header_put(header, (enum frame_type)type, (uint32_t)len);
	write_all(QEMU_FD_CHANNEL, header, sizeof(header));
	write_all(QEMU_FD_CHANNEL, payload, len);
}

static void put_text(unsigned type, const char *text)
{
	put(type, text, strlen(text));
}

static void put_exit(
	uint32_t how, uint32_t code, uint32_t flags, uint32_t oom_kills, const char *words)
{
	uint8_t payload[EXIT_REPORT_SIZE + FRAME_TEXT_MAX];
	const struct exit_report report = {how, code, flags, oom_kills};
	exit_report_put(payload, &report);
	memcpy(payload + EXIT_REPORT_SIZE, words, strlen(words));
	put(FRAME_EXIT, payload, EXIT_REPORT_SIZE + strlen(words));
}

static void read_all(void *data, size_t len)
{
	char *p = data;
	while (len > 0) {
		ssize_t n = read(QEMU_FD_CHANNEL, p, len);
		if (n <= 0)
			_exit(STRANGE);
		p += n;
		len -= (size_t)n;
	}
}

/* Reads a frame of the host; ENV, CWD and SCRIPT are put to text. */
static unsigned take(char *text, size_t size)
{
	static char payload[FRAME_MAX + 1];
	uint8_t bytes[FRAME_HEADER_SIZE];
	read_all(bytes, sizeof(bytes));
	struct frame_header header = frame_header_get(bytes);
	if (!frame_header_valid(&header))
		_exit(STRANGE);
	read_all(payload, header.length);
	payload[header.length] = '\0';
	size_t used = strlen(text);
	if (header.type == FRAME_CWD || header.type == FRAME_ENV || header.type == FRAME_SCRIPT)
		snprintf(text + used, size - used, "%u:%s\n", header.type, payload);
	return header.type;
}

static void take_until(unsigned type)
{
	char text[4096] = "";
	while (take(text, sizeof(text)) != type)
		;
}

static void say_console(const char *text)
{
	write_all(QEMU_FD_CONSOLE, text, strlen(text));
}

static void say_messages(const char *text)
{
	write_all(STDERR_FILENO, text, strlen(text));
}

/* Up to the start of the script. */
static void start(void)
{
	put_text(FRAME_HELLO, "6.1");
	take_until(FRAME_START);
	put(FRAME_STARTED, NULL, 0);
}

static void __attribute__((noreturn)) finish(const char *disk)
{
	put_text(FRAME_BYE, disk);
	take_until(FRAME_RELEASE);
	_exit(0);
}

static void __attribute__((noreturn)) wait_for_ever(void)
{
	for (;;)
		pause();
}

/* The job as it came, back as the script's output. */
static void __attribute__((noreturn)) behave_echo(void)
{
	char text[4096] = "";
	put_text(FRAME_HELLO, "6.1");
	while (take(text, sizeof(text)) != FRAME_START)
		;
	put(FRAME_STARTED, NULL, 0);
	put_text(FRAME_STDOUT, text);
	put_text(FRAME_STDERR, "to stderr\n");
	put_exit(EXIT_STATUS, 0, 0, 0, "");
	finish("");
}

static void list_descriptors(char *text, size_t size)
{
	DIR *folder = opendir("/proc/self/fd");
	if (folder == NULL)
		_exit(STRANGE);
	bool seen[64] = {false};
	for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		long fd = strtol(entry->d_name, NULL, 10);
		if (entry->d_name[0] != '.' && fd < 64 && fd != dirfd(folder))
			seen[fd] = true;
	}
	closedir(folder);
	for (int fd = 0; fd < 64; fd++)
		if (seen[fd])
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
	start();
	put_text(FRAME_STDOUT, text);
	put_exit(EXIT_STATUS, 0, 0, 0, "");
	finish("");
}

/* The descriptors with a further disk, as the reason of the other job's failure. */
static void __attribute__((noreturn)) behave_further(void)
{
	char text[256] = "fds";
	list_descriptors(text, sizeof(text));
	snprintf(text + strlen(text), sizeof(text) - strlen(text), ", further %d",
		fcntl(QEMU_FD_FURTHER, F_GETFL) & O_ACCMODE);
	start();
	put_text(FRAME_STDERR, text);
	put_exit(EXIT_STATUS, UNPACK_BAD_LAYER, 0, 0, "");
	finish("");
}

static void __attribute__((noreturn)) behave_flood(void)
{
	char bytes[65536];
	memset(bytes, 'x', sizeof(bytes));
	start();
	for (;;)
		put(FRAME_STDOUT, bytes, sizeof(bytes));
}

/* Fills the console and QEMU's messages without end before it does its work. */
static void __attribute__((noreturn)) behave_noise(void)
{
	char bytes[65536];
	memset(bytes, 'n', sizeof(bytes));
	for (unsigned i = 0; i < 100; i++) {
		write_all(QEMU_FD_CONSOLE, bytes, sizeof(bytes));
		write_all(STDERR_FILENO, bytes, sizeof(bytes));
	}
	start();
	put_exit(EXIT_STATUS, 0, 0, 0, "");
	finish("");
}

/* With a child of its own that would outlive it. */
static void __attribute__((noreturn)) behave_child(void)
{
	char text[64];
	start();
	pid_t pid = fork();
	if (pid == 0)
		wait_for_ever();
	snprintf(text, sizeof(text), "%ld\n", (long)pid);
	put_text(FRAME_STDOUT, text);
	put_exit(EXIT_STATUS, 0, 0, 0, "");
	finish("");
}

static void __attribute__((noreturn)) behave_hang(bool obeys)
{
	char text[64];
	start();
	snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	put_text(FRAME_STDOUT, text);
	if (!obeys)
		wait_for_ever();
	take_until(FRAME_TERMINATE);
	put_exit(EXIT_SIGNAL, SIGTERM, 0, 0, "");
	wait_for_ever();
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
	{"disk", {EXIT_STATUS, 0, 0, 0}, "", "the disk\nis bad", NULL},
	{"unpack-done", {EXIT_STATUS, UNPACK_DONE, 0, 0}, "", "", NULL},
	{"unpack-layer", {EXIT_STATUS, UNPACK_BAD_LAYER, 0, 0}, "", "", "layer 1 of 2: x\n: bad"},
	{"unpack-guest", {EXIT_STATUS, UNPACK_FAILED, 0, 0}, "", "", "no locale"},
	{"unpack-full", {EXIT_STATUS, UNPACK_FAILED, EXIT_FLAG_DISK_FULL, 0}, "", "", "layer 1"},
	{"unpack-oom", {EXIT_SIGNAL, 9, 0, 1}, "", "", NULL},
	{"unpack-signal", {EXIT_SIGNAL, 11, 0, 0}, "", "", NULL},
	{"unpack-abort", {EXIT_STATUS, 125, 0, 0}, "", "", "broken"},
};

static void __attribute__((noreturn)) behave_end(const struct end *end)
{
	start();
	if (end->reason != NULL)
		put_text(FRAME_STDERR, end->reason);
	put_exit(end->report.how, end->report.code, end->report.flags, end->report.oom_kills,
		end->words);
	finish(end->disk);
}

static void behave_early(const char *name)
{
	if (strcmp(name, "refuse") == 0) {
		say_messages("fake: bad option\nfake: giving up\n");
		_exit(1);
	} else if (strcmp(name, "silent") == 0) {
		_exit(0);
	} else if (strcmp(name, "hang-boot") == 0) {
		wait_for_ever();
	} else if (strcmp(name, "killed") == 0) {
		start();
		kill(getpid(), SIGKILL);
	} else if (strcmp(name, "panic") == 0) {
		start();
		say_console("[ 1.0] Kernel panic - not syncing: sysrq\r\n\033[0mmore\r\n");
		_exit(0);
	} else if (strcmp(name, "deadlock") == 0) {
		say_console("Kernel panic - not syncing: System is deadlocked on memory\n");
		_exit(0);
	} else if (strcmp(name, "init") == 0) {
		say_console("layervm init: cannot mount /proc\n");
		_exit(0);
	} else if (strcmp(name, "reset") == 0 || strcmp(name, "unpack-reset") == 0) {
		start();
		_exit(0);
	}
}

static void behave_late(const char *name)
{
	if (strcmp(name, "not-run") == 0 || strcmp(name, "unpack-not-run") == 0) {
		put_text(FRAME_HELLO, "6.1");
		take_until(FRAME_START);
		put_exit(EXIT_NOT_RUN, 127, 0, 0, "no such thing");
		finish("");
	} else if (strcmp(name, "failure") == 0) {
		put_text(FRAME_HELLO, "6.1");
		put_text(FRAME_FAILURE, "cannot mount the image's disk");
		wait_for_ever();
	} else if (strcmp(name, "version") == 0) {
		static const uint8_t header[FRAME_HEADER_SIZE] = {9, FRAME_HELLO};
		write_all(QEMU_FD_CHANNEL, header, sizeof(header));
		wait_for_ever();
	} else if (strcmp(name, "last-status") == 0) {
		start();
		put_exit(EXIT_STATUS, 0, 0, 0, "");
		put(FRAME_BYE, NULL, 0);
		take_until(FRAME_RELEASE);
		say_messages("fake: overlay-file: I/O error\n");
		_exit(3);
	} else if (strcmp(name, "cut") == 0) {
		start();
		write_all(QEMU_FD_CHANNEL, "\x01\x03", 2);
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
	if (strcmp(name, "unpack-further") == 0)
		behave_further();
	if (strcmp(name, "flood") == 0)
		behave_flood();
	if (strcmp(name, "noise") == 0)
		behave_noise();
	if (strcmp(name, "child") == 0)
		behave_child();
	if (strcmp(name, "hang") == 0)
		behave_hang(false);
	if (strcmp(name, "obey") == 0)
		behave_hang(true);
	behave_early(name);
	behave_late(name);
	_exit(STRANGE);
}
