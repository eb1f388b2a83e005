/* Processor time, as stages are told by. */
#ifndef LAYERVM_SUPPORT_CPU_TIME_H
#define LAYERVM_SUPPORT_CPU_TIME_H

#include <sys/resource.h>

/*
 * Seconds of user and system time. who: RUSAGE_SELF, all threads of this program; RUSAGE_CHILDREN,
 * programs that were waited for.
 */
static inline double cpu_seconds(int who)
{
	struct rusage usage;
	if (getrusage(who, &usage) < 0)
		return 0;
	return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
	       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

#endif
