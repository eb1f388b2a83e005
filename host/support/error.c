#include "support/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/memory.h"
#include "support/printable.h"

/* What of a message that is too long stays at its end, where the fault is said. */
#define TAIL_MAX 512

static void __attribute__((format(printf, 2, 0)))
set_message(struct error *err, const char *format, va_list args, const char *suffix)
{
	char *text = NULL;
	if (vasprintf(&text, format, args) < 0)
		text = xstrdup("");
	cleanup_free char *prefix = text;
	cleanup_free char *whole = xasprintf("%s%s", prefix, suffix);
	size_t size = 4 * strlen(whole) + 1;
	cleanup_free char *line = xmalloc(size);
	printable_copy(line, size, whole);
	size_t len = strlen(line);
	if (len < sizeof(err->message)) {
		memcpy(err->message, line, len + 1);
		return;
	}
	int head = (int)(sizeof(err->message) - sizeof("...") - TAIL_MAX);
	snprintf(
		err->message, sizeof(err->message), "%.*s...%s", head, line, line + len - TAIL_MAX);
}

int error_set(struct error *err, enum error_kind kind, int code, const char *format, ...)
{
	va_list args;
	err->kind = kind;
	err->status = 0;
	va_start(args, format);
	set_message(err, format, args, "");
	va_end(args);
	return -code;
}

int error_set_errno(struct error *err, enum error_kind kind, const char *format, ...)
{
	int code = errno != 0 ? errno : EIO;
	char suffix[128];
	va_list args;
	snprintf(suffix, sizeof(suffix), ": %s", strerror(code));
	err->kind = kind;
	err->status = 0;
	va_start(args, format);
	set_message(err, format, args, suffix);
	va_end(args);
	return -code;
}

int error_wrap(struct error *err, int code, const char *format, ...)
{
	char suffix[ERROR_MESSAGE_MAX + 2];
	va_list args;
	snprintf(suffix, sizeof(suffix), ": %s", err->message);
	va_start(args, format);
	set_message(err, format, args, suffix);
	va_end(args);
	return code;
}

const char *error_kind_name(enum error_kind kind)
{
	switch (kind) {
	case ERROR_INTERNAL:
		return "internal";
	case ERROR_USAGE:
		return "usage";
	case ERROR_SPEC:
		return "spec";
	case ERROR_INPUT:
		return "input";
	case ERROR_OUTPUT:
		return "output";
	case ERROR_SCRIPT:
		return "script";
	case ERROR_GUEST:
		return "guest";
	case ERROR_MEMORY:
		return "memory";
	case ERROR_DISK_FULL:
		return "disk-full";
	case ERROR_QEMU:
		return "qemu";
	case ERROR_TIMEOUT:
		return "timeout";
	case ERROR_INTERRUPTED:
		return "interrupted";
	case ERROR_LIMIT:
		return "limit";
	}
	return "internal";
}

int error_exit_status(const struct error *err)
{
	switch (err->kind) {
	case ERROR_SCRIPT:
		return err->status;
	case ERROR_TIMEOUT:
		return 124;
	case ERROR_INTERRUPTED:
		return 128 + err->status;
	default:
		return 125;
	}
}
