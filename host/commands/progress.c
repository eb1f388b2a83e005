#include "commands/progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/flag_values.h"

int progress_parse(const char *text, enum progress *value, struct error *err)
{
	static const char *const words[] = {"auto", "plain", "tty", "json"};
	size_t i = 0;
	int r = value_choice(text, words, 4, &i, err);
	if (r == 0)
		*value = (enum progress)i;
	return r;
}

static enum report_mode report_mode(enum progress progress, int fd)
{
	switch (progress) {
	case PROGRESS_PLAIN:
		return REPORT_PLAIN;
	case PROGRESS_TTY:
		return REPORT_TTY;
	case PROGRESS_JSON:
		return REPORT_JSON;
	case PROGRESS_AUTO:
		break;
	}
	const char *term = getenv("TERM");
	bool dumb = term == NULL || strcmp(term, "dumb") == 0;
	return isatty(fd) && !dumb ? REPORT_TTY : REPORT_PLAIN;
}

struct report *progress_report(enum progress progress, bool quiet, int fd)
{
	return report_new(quiet ? REPORT_QUIET : report_mode(progress, fd), fd);
}
