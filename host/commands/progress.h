/* --progress and --quiet, which every command has. */
#ifndef LAYERVM_COMMANDS_PROGRESS_H
#define LAYERVM_COMMANDS_PROGRESS_H

#include <stdbool.h>

#include "support/error.h"
#include "support/report.h"

enum progress { PROGRESS_AUTO, PROGRESS_PLAIN, PROGRESS_TTY, PROGRESS_JSON };

/* auto, plain, tty or json. */
int progress_parse(const char *text, enum progress *value, struct error *err);

/*
 * The report as the two flags have it. fd: where it goes, usually STDERR_FILENO; with
 * PROGRESS_AUTO, whether it is a terminal decides.
 */
struct report *progress_report(enum progress progress, bool quiet, int fd);

#endif
