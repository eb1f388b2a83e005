#include "fake_guest.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vm/qemu_args.h"

void fake_write(int fd, const void *data, size_t len)
{
	const char *p = data;
	while (len > 0) {
		ssize_t n = write(fd, p, len);
		if (n < 0)
			_exit(FAKE_STRANGE);
		p += n;
		len -= (size_t)n;
	}
}

void fake_put(unsigned type, const void *payload, size_t len)
{
	uint8_t header[FRAME_HEADER_SIZE];
	frame_header_put(header, (enum frame_type)type, (uint32_t)len);
	fake_write(QEMU_FD_CHANNEL, header, sizeof(header));
	fake_write(QEMU_FD_CHANNEL, payload, len);
}

void fake_put_text(unsigned type, const char *text)
{
	fake_put(type, text, strlen(text));
}

void fake_put_exit(
	uint32_t how, uint32_t code, uint32_t flags, uint32_t oom_kills, const char *words)
{
	uint8_t payload[EXIT_REPORT_SIZE + FRAME_TEXT_MAX];
	const struct exit_report report = {how, code, flags, oom_kills};
	exit_report_put(payload, &report);
	memcpy(payload + EXIT_REPORT_SIZE, words, strlen(words));
	fake_put(FRAME_EXIT, payload, EXIT_REPORT_SIZE + strlen(words));
}

static void read_all(void *data, size_t len)
{
	char *p = data;
	while (len > 0) {
		ssize_t n = read(QEMU_FD_CHANNEL, p, len);
		if (n <= 0)
			_exit(FAKE_STRANGE);
		p += n;
		len -= (size_t)n;
	}
}

unsigned fake_take(char *text, size_t size)
{
	static char payload[FRAME_MAX + 1];
	uint8_t bytes[FRAME_HEADER_SIZE];
	read_all(bytes, sizeof(bytes));
	struct frame_header header = frame_header_get(bytes);
	if (!frame_header_valid(&header))
		_exit(FAKE_STRANGE);
	read_all(payload, header.length);
	payload[header.length] = '\0';
	size_t used = strlen(text);
	if (header.type == FRAME_CWD || header.type == FRAME_ENV || header.type == FRAME_SCRIPT) {
		int len = snprintf(text + used, size - used, "%u:%s\n", header.type, payload);
		if (len < 0)
			_exit(FAKE_STRANGE);
	}
	return header.type;
}

void fake_take_until(unsigned type)
{
	char text[4096] = "";
	while (fake_take(text, sizeof(text)) != type)
		;
}

void fake_come_up(void)
{
	fake_put_text(FRAME_HELLO, "6.1");
	fake_wake_up();
}

void fake_wake_up(void)
{
	fake_take_until(FRAME_WAKE);
	fake_put(FRAME_AWAKE, NULL, 0);
}

void fake_start(void)
{
	fake_come_up();
	fake_take_until(FRAME_START);
	fake_put(FRAME_STARTED, NULL, 0);
}

void fake_finish(const char *disk)
{
	fake_say_bye(disk);
	_exit(0);
}

/* SIGTERM is blocked before the host can send it. */
void fake_say_bye(const char *disk)
{
	int number;
	sigset_t end;
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	fake_put_text(FRAME_BYE, disk);
	if (sigwait(&end, &number) != 0)
		_exit(FAKE_STRANGE);
}

void fake_wait(void)
{
	for (;;)
		pause();
}
