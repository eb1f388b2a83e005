/* When a guest that says nothing is taken for one that does nothing, from what is seen of QEMU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm/pulse.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A guest that looks the same every time. */
struct row {
	const char *name;
	enum pulse_state state;
	unsigned cpus;
	bool suspect;
	bool asleep;      /* at every look */
	unsigned awake;   /* or: awake at each look whose number is a multiple of this */
	int64_t cpu_rate; /* milliseconds of processor time between two looks; -1: not known */
	enum pulse_verdict verdict;
	unsigned least, most; /* looks until then */
};

#define LOOKS_MAX 1000

static const struct row rows[] = {
	{"halted", PULSE_ASKED, 1, false, true, 0, 0, PULSE_STILL, 20, 60},
	{"halted, as its console says", PULSE_ASKED, 1, true, true, 0, 0, PULSE_STILL, 4, 8},
	{"halted, times not known", PULSE_ASKED, 1, false, true, 0, -1, PULSE_STILL, 20, 60},
	{"init frozen, another process wakes now and then", PULSE_ASKED, 1, false, true, 2, 10,
		PULSE_STILL, 40, 120},
	{"unmounts, and waits for a disk", PULSE_WORKING, 1, false, true, 0, 0, PULSE_STILL, 20,
		60},
	{"a script's words on the console while it unmounts", PULSE_WORKING, 1, true, true, 0, 0,
		PULSE_STILL, 20, 60},
	{"init starved", PULSE_ASKED, 1, false, false, 0, 1000, PULSE_DEAF, 100, 200},
	{"init starved on four", PULSE_ASKED, 4, false, false, 0, 4000, PULSE_DEAF, 100, 200},
	{"spins after a panic", PULSE_ASKED, 1, true, false, 0, 250, PULSE_DEAF, 8, 20},
	{"spins after a panic at the end", PULSE_WORKING, 1, true, false, 0, 1000, PULSE_DEAF, 100,
		200},
	{"QEMU gets little time", PULSE_ASKED, 1, false, false, 0, 1, PULSE_ALIVE, 0, 0},
	{"QEMU gets none", PULSE_ASKED, 1, true, false, 0, 0, PULSE_ALIVE, 0, 0},
	{"unmounts for long", PULSE_WORKING, 1, false, false, 0, 1000, PULSE_ALIVE, 0, 0},
	{"times not known", PULSE_ASKED, 1, false, false, 0, -1, PULSE_ALIVE, 0, 0},
};

static void check(const struct row *row)
{
	struct pulse pulse = {0};
	int64_t now = 1000000;
	unsigned looks = 0;
	enum pulse_verdict verdict = PULSE_ALIVE;
	pulse_heard(&pulse, now);
	assert_true(pulse.next > now);
	if (row->suspect)
		pulse_suspect(&pulse, now);
	for (int64_t cpu = 5000; verdict == PULSE_ALIVE && looks < LOOKS_MAX; looks++) {
		const struct pulse_look look = {
			.asleep = row->asleep && (row->awake == 0 || looks % row->awake != 0),
			.cpu_ms = row->cpu_rate < 0 ? -1 : cpu,
		};
		now = pulse.next;
		verdict = pulse_take(&pulse, &look, row->state, row->cpus, now);
		assert_true(pulse.next > now && pulse.next <= now + 1000);
		cpu += row->cpu_rate;
	}
	if (verdict != row->verdict)
		fail_msg("%s: verdict %d after %u looks", row->name, (int)verdict, looks);
	if (verdict != PULSE_ALIVE && (looks < row->least || looks > row->most))
		fail_msg("%s: %u looks", row->name, looks);
}

static void test_verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		check(&rows[i]);
}

/* An answer makes all of it forgotten. */
static void test_heard(void **state)
{
	struct pulse pulse = {0};
	int64_t now = 0;
	const struct pulse_look look = {.asleep = true, .cpu_ms = 0};
	(void)state;
	pulse_heard(&pulse, now);
	for (unsigned i = 0; i < LOOKS_MAX; i++) {
		if (i % 4 == 0)
			pulse_suspect(&pulse, now);
		now = pulse.next;
		assert_int_equal(pulse_take(&pulse, &look, PULSE_ASKED, 1, now), PULSE_ALIVE);
		if (i % 4 == 3)
			pulse_answered(&pulse, now);
	}
	pulse_suspect(&pulse, now);
	pulse_answered(&pulse, now);
	assert_false(pulse.suspect);
}

/* What the guest wrote before it was halted may come after the console's words. */
static void test_suspicion_stays(void **state)
{
	struct pulse pulse = {0};
	(void)state;
	pulse_heard(&pulse, 0);
	int64_t quiet = pulse.next;
	pulse_suspect(&pulse, 0);
	pulse_heard(&pulse, 0);
	assert_true(pulse.suspect);
	assert_true(pulse.next < quiet);
}

/* A child that sleeps in the kernel, stops, or works. */
static pid_t start_child(bool works)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	for (volatile unsigned turns = 0;; turns++) {
		if (!works)
			pause();
	}
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Looks until a child is seen as wanted; it may not be there yet. */
static bool becomes(pid_t pid, bool asleep, int64_t cpu_ms)
{
	for (unsigned i = 0; i < 3000; i++) {
		struct pulse_look look = pulse_look_at(pid);
		if (look.asleep == asleep && look.cpu_ms >= cpu_ms)
			return true;
		poll(NULL, 0, 10);
	}
	return false;
}

static void test_look(void **state)
{
	int status;
	(void)state;
	pid_t sleeper = start_child(false);
	pid_t worker = start_child(true);
	assert_true(sleeper > 0 && worker > 0);
	bool slept = becomes(sleeper, true, 0);
	bool worked = becomes(worker, false, 50);
	kill(sleeper, SIGSTOP);
	waitpid(sleeper, &status, WUNTRACED);
	bool stopped = becomes(sleeper, false, 0);
	end_child(sleeper);
	end_child(worker);
	assert_true(slept);
	assert_true(worked);
	assert_true(stopped);
	assert_false(pulse_look_at(sleeper).asleep); /* no such process */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_heard),
		cmocka_unit_test(test_suspicion_stays),
		cmocka_unit_test(test_look),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
