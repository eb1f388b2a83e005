/* How many processors this process may run on. */
#ifndef LAYERVM_SUPPORT_CPU_COUNT_H
#define LAYERVM_SUPPORT_CPU_COUNT_H

#include <sched.h>

/* At least 1, and no more than max, which is at least 1. */
static inline unsigned cpu_count(unsigned max)
{
	cpu_set_t cpus;
	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 1;
	unsigned count = (unsigned)CPU_COUNT(&cpus);
	return count < max ? count : max;
}

#endif
