#include "support/shown.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/memory.h"
#include "support/outlet.h"

struct shown {
	FILE *stream;
	struct outlet outlet;
	int result; /* of the writes; the first failure stays */
	struct error err;
};

/* As fopencookie(3) has it: 0 is a failure. */
static ssize_t write_shown(void *cookie, const char *data, size_t len)
{
	struct shown *shown = cookie;
	if (shown->result == 0)
		shown->result =
			outlet_send(&shown->outlet, data, len, "standard output", &shown->err);
	errno = -shown->result;
	return shown->result == 0 ? (ssize_t)len : 0;
}

struct shown *shown_open(void)
{
	static const cookie_io_functions_t functions = {.write = write_shown};
	struct shown *shown = xcalloc(1, sizeof(*shown));
	outlet_open(&shown->outlet, STDOUT_FILENO);
	shown->stream = fopencookie(shown, "w", functions);
	if (shown->stream == NULL)
		die_oom();
	return shown;
}

FILE *shown_stream(struct shown *shown)
{
	return shown->stream;
}

int shown_finish(struct shown *shown, int r, struct error *err)
{
	fflush(shown->stream);
	if (shown->result == 0 || (r < 0 && err->kind != ERROR_OUTPUT))
		return r;
	*err = shown->err;
	return shown->result;
}

void shown_free(struct shown *shown)
{
	if (shown == NULL)
		return;
	/* Nothing more goes out than shown_finish has written. */
	shown->result = shown->result == 0 ? -ECANCELED : shown->result;
	fclose(shown->stream);
	outlet_close(&shown->outlet);
	free(shown);
}
