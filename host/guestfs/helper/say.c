#include "guestfs/helper/say.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guestfs/messages.h"
#include "support/memory.h"
#include "support/printable.h"

/* Where layervm is gone there is nobody to tell: SIGTERM ends us soon. */
static void put(const char *word, const char *text)
{
	size_t size = 4 * strlen(text) + 1;
	cleanup_free char *printable = xmalloc(size);
	printable_copy(printable, size, text);
	cleanup_free char *line = xasprintf("%s%s\n", word, printable);
	size_t len = strlen(line);
	for (size_t at = 0; at < len;) {
		ssize_t n = write(HELPER_FD_MESSAGES, line + at, len - at);
		if (n <= 0)
			break;
		at += (size_t)n;
	}
}

static void __attribute__((format(printf, 2, 0)))
put_format(const char *word, const char *format, va_list args)
{
	char text[2048];
	vsnprintf(text, sizeof(text), format, args);
	put(word, text);
}

void say_note(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put_format("note ", format, args);
	va_end(args);
}

void say_warning(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	put_format("warning ", format, args);
	va_end(args);
}

void say_done(void)
{
	put("done", "");
}

void say_error(const struct error *err)
{
	cleanup_free char *word = xasprintf("error %s ", error_kind_name(err->kind));
	put(word, err->message);
}
