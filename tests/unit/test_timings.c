/* Where the time of a run went: each stage its own, and what goes on beside them. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "commands/timings.h"
#include "support/cpu_time.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "support/report.h"

/* Uses that much processor time of its own. */
static void work(double seconds)
{
	double end = cpu_seconds(RUSAGE_SELF) + seconds;
	while (cpu_seconds(RUSAGE_SELF) < end)
		;
}

/* A child that does, and that is waited for. Returns what it used. */
static double work_of_child(double seconds)
{
	int status;
	double before = cpu_seconds(RUSAGE_CHILDREN);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		work(seconds);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return cpu_seconds(RUSAGE_CHILDREN) - before;
}

static struct report_time time_at(const struct report *report, size_t index, const char *name)
{
	struct report_time time;
	assert_true(report_time(report, index, &time));
	assert_string_equal(time.name, name);
	return time;
}

/* A stage has what went on while it did, of children too. */
static void test_stages(void **state)
{
	(void)state;
	cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
	struct report_time none;
	assert_false(report_time(report, 0, &none));
	report_stage(report, "busy", "it works");
	work(0.05);
	report_stage(report, "idle", "it sleeps");
	nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
	report_stage(report, "child", "another works");
	work_of_child(0.05);
	report_done(report);
	work(0.05);
	report_stage(report, "last", "it goes on");
	struct report_time busy = time_at(report, 0, "busy");
	struct report_time idle = time_at(report, 1, "idle");
	struct report_time child = time_at(report, 2, "child");
	struct report_time last = time_at(report, 3, "last");
	assert_false(report_time(report, 4, &none));
	assert_true(busy.cpu >= 0.045 && busy.seconds >= 0.045);
	assert_true(idle.cpu < 0.02 && idle.seconds >= 0.06);
	assert_true(child.cpu >= 0.045 && child.seconds >= 0.045);
	/* One begins where the other ends, but for the time after report_done. */
	assert_true(busy.begin >= 0);
	assert_true(idle.begin >= busy.begin + busy.seconds);
	assert_true(child.begin >= idle.begin + idle.seconds);
	assert_true(last.begin >= child.begin + child.seconds + 0.045);
	assert_true(last.seconds == 0);
	assert_true(report_clock(report) >= last.begin);
}

/* What goes on beside stands where it began; what is left out is in no stage and no total. */
static void test_beside(void **state)
{
	(void)state;
	cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
	double total = report_cpu(report);
	report_stage(report, "first", "one");
	double begin = report_clock(report);
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	report_stage(report, "second", "two");
	double cpu = work_of_child(0.1);
	const struct report_time guest = {
		.name = "guest", .begin = begin, .seconds = 1, .cpu = cpu};
	report_beside(report, &guest);
	report_leave_out(report, cpu);
	const struct report_time latest = {.name = "latest", .begin = report_clock(report)};
	report_beside(report, &latest);
	report_done(report);
	report_done(report);
	time_at(report, 0, "first");
	struct report_time found = time_at(report, 1, "guest");
	struct report_time second = time_at(report, 2, "second");
	time_at(report, 3, "latest");
	assert_true(found.begin == begin && found.seconds == 1 && found.cpu == cpu);
	assert_true(cpu >= 0.095);
	assert_true(second.cpu >= 0 && second.cpu < 0.05);
	assert_true(second.seconds >= 0.095);
	assert_true(report_cpu(report) - total < 0.05);
}

/* The lines that people see, with figures that are known. */
static void test_lines(void **state)
{
	(void)state;
	struct error err;
	char text[1024] = "";
	cleanup_close int fd = file_temporary(&err);
	cleanup_report struct report *report = report_new(REPORT_QUIET, fd);
	const struct report_time times[] = {
		{.name = "write", .begin = 12.5, .seconds = 100.25, .cpu = 0.0004},
		{.name = "read", .begin = 0, .seconds = 0.0625, .cpu = 0.03125},
	};
	for (size_t i = 0; i < 2; i++)
		report_beside(report, &times[i]);
	timings_show(report);
	assert_true(pread(fd, text, sizeof(text) - 1, 0) > 0);
	char *last = strstr(text, "timing    total");
	assert_non_null(last);
	double wall, cpu;
	int end = 0;
	assert_int_equal(sscanf(last, "timing    total     at   0.000 s, wall %lf s, cpu %lf s\n%n",
				 &wall, &cpu, &end),
		2);
	assert_true(end > 0 && last[end] == '\0');
	assert_true(wall >= 0 && wall < 60 && cpu >= 0 && cpu < 60);
	*last = '\0';
	assert_string_equal(text,
		"timing    read      at   0.000 s, wall   0.062 s, cpu   0.031 s\n"
		"timing    write     at  12.500 s, wall 100.250 s, cpu   0.000 s\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stages),
		cmocka_unit_test(test_beside),
		cmocka_unit_test(test_lines),
	};
	return cmocka_run_group_tests_name("timings", tests, NULL, NULL);
}
