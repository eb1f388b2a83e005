/* Threads and child processes that a run may have left. */
#ifndef LAYERVM_TESTS_LEFTOVERS_H
#define LAYERVM_TESTS_LEFTOVERS_H

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "support/clock.h"

static inline unsigned count_threads(void)
{
	unsigned count = 0;
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks))
		count += entry->d_name[0] != '.';
	closedir(tasks);
	return count;
}

/* One that was joined is counted a moment longer, and nothing tells when that is over. */
static inline void check_threads(unsigned expected)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int64_t start = clock_ms();
	while (count_threads() != expected && clock_ms() - start < 5000)
		nanosleep(&moment, NULL);
	assert_int_equal(count_threads(), expected);
}

static inline bool has_children(void)
{
	return waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD;
}

#endif
