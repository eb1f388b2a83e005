/* Which signals count: the first one, and one that comes a pause later. In a child each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/clock.h"
#include "support/interrupt.h"

#define SIGNALS_MAX 4

struct row {
	int numbers[SIGNALS_MAX]; /* 0 at the end */
	int pauses[SIGNALS_MAX];  /* milliseconds since the first signal, at least */
	unsigned count;
	int named; /* the signal that the error tells */
};

static const struct row table[] = {
	{{0}, {0}, 0, 0},
	{{SIGTERM}, {0}, 1, SIGTERM},
	{{SIGTERM, SIGTERM}, {0}, 1, SIGTERM},
	{{SIGINT, SIGTERM}, {0}, 1, SIGINT},
	{{SIGHUP, SIGTERM, SIGINT}, {0}, 1, SIGHUP},
	{{SIGTERM, SIGTERM}, {0, INTERRUPT_PAUSE_MS}, 2, SIGTERM},
	{{SIGINT, SIGHUP, SIGTERM}, {0, 0, INTERRUPT_PAUSE_MS}, 2, SIGINT},
};

static void sleep_until(int64_t ms)
{
	const struct timespec step = {.tv_nsec = 1000 * 1000};
	while (clock_ms() < ms)
		nanosleep(&step, NULL);
}

/* Returns 0 where the signals count as they should, or which check failed. */
static int count_signals(const struct row *row)
{
	struct error err = {0};
	if (interrupt_setup(&err) < 0 || interrupt_check(&err) != 0)
		return 1;
	int64_t first = 0;
	for (size_t i = 0; i < SIGNALS_MAX && row->numbers[i] != 0; i++) {
		sleep_until(first + row->pauses[i]);
		raise(row->numbers[i]);
		/* Later than the handler's: the pause that follows is no shorter than it says. */
		first = i == 0 ? clock_ms() : first;
	}
	/* On a machine that stood still meanwhile, signals without a pause came with one. */
	bool stood_still = first != 0 && row->count == 1 && clock_ms() - first > INTERRUPT_PAUSE_MS;
	if (interrupt_count() != row->count && !stood_still)
		return 2;
	if ((interrupt_check(&err) < 0) != (row->count != 0))
		return 3;
	if (row->count == 0)
		return 0;
	return err.kind == ERROR_INTERRUPTED && err.status == row->named ? 0 : 4;
}

static void test_which_count(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		int status;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(count_signals(&table[i]));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			fail_msg("row %zu: status %d", i, WEXITSTATUS(status));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_which_count),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
