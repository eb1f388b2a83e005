/* --timings: where the time of a build went, for people. */
#ifndef LAYERVM_COMMANDS_TIMINGS_H
#define LAYERVM_COMMANDS_TIMINGS_H

#include "support/report.h"

/*
 * Shows a line a stage (when it began, how long it took, and the processor time in it), and one for
 * all of them, and ends the last stage. In quiet mode too.
 */
void timings_show(struct report *report);

#endif
