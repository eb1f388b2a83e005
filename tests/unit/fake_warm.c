#include "fake_warm.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_guest.h"
#include "vm/qemu_args.h"

#define PAGE 4096

/* A command that came, and the file that came along with the last one that had any. */
static char line[4096];
static int given = -1;

static void say(const char *text)
{
	fake_write(QEMU_FD_CONTROL, text, strlen(text));
}

/* Reads a command, which must be the expected one. */
static void hear(const char *command)
{
	char control[CMSG_SPACE(sizeof(int))];
	char expected[64];
	size_t len = 0;
	do {
		struct iovec part = {.iov_base = line + len, .iov_len = 1};
		struct msghdr message = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		if (len + 1 >= sizeof(line) || recvmsg(QEMU_FD_CONTROL, &message, 0) <= 0)
			_exit(FAKE_STRANGE);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		if (header != NULL)
			memcpy(&given, CMSG_DATA(header), sizeof(given));
	} while (line[len++] != '\n');
	line[len] = '\0';
	snprintf(expected, sizeof(expected), "{\"execute\":\"%s\",", command);
	if (strncmp(line, expected, strlen(expected)) != 0)
		_exit(FAKE_STRANGE);
}

static void obey(const char *command)
{
	hear(command);
	say("{\"return\": {}}\r\n");
}

static void greet(void)
{
	say("{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n");
	obey("qmp_capabilities");
	obey("migrate-set-capabilities");
}

static void tell(const char *status)
{
	char text[128];
	snprintf(text, sizeof(text),
		"{\"event\": \"MIGRATION\", \"data\": {\"status\": \"%s\"}}\r\n", status);
	say(text);
}

/* By its name, as QEMU does it: what confines it must let it. */
static int open_memory(void)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", QEMU_FD_MEMORY);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		_exit(FAKE_STRANGE);
	return fd;
}

static void fill(int memory)
{
	static uint8_t bytes[1 << 20];
	memset(bytes, 1, sizeof(bytes));
	for (off_t i = 0; i < FAKE_WARM_LARGE_USED; i++)
		if (pwrite(memory, bytes, sizeof(bytes), i << 20) != (ssize_t)sizeof(bytes))
			_exit(FAKE_STRANGE);
}

static void __attribute__((noreturn)) save(const char *name)
{
	static const unsigned pages[] = FAKE_WARM_PAGES;
	int memory = open_memory();
	greet();
	if (strcmp(name, "save-silent") == 0)
		_exit(0);
	if (strcmp(name, "save-hang") == 0)
		fake_wait();
	if (strcmp(name, "save-refused") == 0) {
		fake_put_text(FRAME_FAILURE, "cannot mount\n");
		fake_wait();
	}
	if (strcmp(name, "save-flood") == 0) {
		fake_put(FRAME_FAILURE, line, FRAME_TEXT_MAX + 1);
		fake_wait();
	}
	if (strcmp(name, "save-full") == 0) {
		/* As a mapped file for which there is no room any more ends who writes to it. */
		if (posix_fallocate(memory, 0, 8 << 20) != 0)
			_exit(FAKE_STRANGE);
		signal(SIGBUS, SIG_DFL); /* a sanitizer has its own way */
		raise(SIGBUS);
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (pwrite(memory, &(uint8_t){(uint8_t)(i + 1)}, 1, (off_t)pages[i] * PAGE) != 1)
			_exit(FAKE_STRANGE);
	if (strcmp(name, "save-large") == 0)
		fill(memory);
	fake_put_text(FRAME_HELLO, "6.1");
	obey("stop");
	obey("getfd");
	obey("migrate");
	fake_write(given, FAKE_WARM_STATE, strlen(FAKE_WARM_STATE));
	tell("setup");
	tell(strcmp(name, "save-fails") == 0 ? "failed" : "completed");
	obey("quit");
	_exit(strcmp(name, "save-status") == 0 ? 1 : 0);
}

/* Takes the state and the memory for what they are. */
static void check_saved(void)
{
	static const unsigned pages[] = FAKE_WARM_PAGES;
	char state[sizeof(FAKE_WARM_STATE)] = "";
	uint8_t byte;
	int memory = open_memory();
	if (read(given, state, sizeof(state)) != (ssize_t)strlen(FAKE_WARM_STATE) ||
		strcmp(state, FAKE_WARM_STATE) != 0)
		_exit(FAKE_STRANGE);
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
		if (pread(memory, &byte, 1, (off_t)pages[i] * PAGE) != 1 || byte != i + 1)
			_exit(FAKE_STRANGE);
}

/* Up to the guest's next word. Where something is wrong with this one it may not come so far. */
static void restore(const char *name)
{
	if (strcmp(name, "mute") == 0)
		fake_wait();
	if (strcmp(name, "gone") == 0)
		_exit(1);
	if (strcmp(name, "end-early") == 0)
		raise(SIGTERM);
	greet();
	obey("getfd");
	hear("migrate-incoming");
	if (strcmp(name, "refuse") == 0) {
		say("{\"error\": {\"class\": \"GenericError\", \"desc\": \"no such device\"}}\r\n");
		fake_wait();
	}
	say("{\"return\": {}}\r\n");
	tell("setup");
	if (strcmp(name, "die") == 0)
		raise(SIGKILL);
	if (strcmp(name, "no-room") == 0) {
		signal(SIGBUS, SIG_DFL); /* a sanitizer has its own way */
		raise(SIGBUS);
	}
	if (strcmp(name, "crash") == 0) {
		signal(SIGABRT, SIG_DFL);
		raise(SIGABRT);
	}
	if (strcmp(name, "leave") == 0)
		_exit(1);
	if (strcmp(name, "fail") == 0) {
		tell("failed");
		_exit(1);
	}
	/* A memory that was damaged is found on the other side, and looked at by nobody else. */
	if (strcmp(name, "blind") != 0)
		check_saved();
	tell("completed");
	obey("cont");
	if (strcmp(name, "reset") == 0)
		_exit(0);
	if (strcmp(name, "die-late") == 0)
		raise(SIGKILL);
	if (strcmp(name, "crash-late") == 0) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	if (strcmp(name, "asleep") == 0)
		fake_wait();
	if (strcmp(name, "confused") == 0) {
		fake_put_text(FRAME_HELLO, "6.1");
		fake_wait();
	}
	if (strcmp(name, "unfit") == 0) {
		fake_take_until(FRAME_WAKE);
		fake_put_text(FRAME_FAILURE, "no disk");
		fake_wait();
	}
	fake_wake_up();
}

static void __attribute__((noreturn)) do_job(const char *how)
{
	char text[256];
	char disk[16] = "";
	struct rlimit size;
	fake_take_until(FRAME_START);
	fake_put(FRAME_STARTED, NULL, 0);
	getrlimit(RLIMIT_FSIZE, &size);
	if (pread(QEMU_FD_DISK, disk, sizeof(disk) - 1, 0) < 0)
		_exit(FAKE_STRANGE);
	snprintf(text, sizeof(text), "%s, disk \"%s\", size %llu %llu\n", how, disk,
		(unsigned long long)size.rlim_cur, (unsigned long long)size.rlim_max);
	fake_put_text(FRAME_STDOUT, text);
	fake_put_exit(EXIT_STATUS, 0, 0, 0, "");
	fake_finish("");
}

void fake_warm(const char *name, char **argv)
{
	bool controlled = false;
	bool incoming = false;
	for (char **arg = argv; *arg != NULL; arg++) {
		controlled |= strcmp(*arg, "-mon") == 0;
		incoming |= strcmp(*arg, "-incoming") == 0;
	}
	if (controlled && !incoming)
		save(name);
	if (incoming) {
		restore(name);
		do_job("restored");
	}
	fake_come_up();
	do_job("booted");
}
