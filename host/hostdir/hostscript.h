/* A script of the host: its process group, its output, its end. */
#ifndef LAYERVM_HOSTDIR_HOSTSCRIPT_H
#define LAYERVM_HOSTDIR_HOSTSCRIPT_H

#include "support/error.h"
#include "support/report.h"

/*
 * Runs a script with the host's bash -e (sh -e where there is no bash) and waits for its end.
 * name: $0, which the shell puts before its messages. dir: descriptor of the folder to run in.
 * Environment and user are ours, umask is 022, standard input is empty, the output goes to
 * report. The script has a process group of its own; what is left of that when the script ends is
 * killed, and gone on return. After SIGINT, SIGTERM or SIGHUP (interrupt.h) the group gets a
 * SIGTERM, and a SIGKILL 5 seconds later or at the next signal.
 *
 * Returns ERROR_SCRIPT with its status, ERROR_INTERRUPTED, ERROR_LIMIT for a script longer than
 * an argument may be, ERROR_INTERNAL where it cannot be started.
 */
int hostscript_run(
	const char *script, const char *name, int dir, struct report *report, struct error *err);

#endif
