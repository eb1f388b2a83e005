/*
 * Guests that go on from where another one was saved: they do all that one does that booted, know
 * the time, and have their own disk. test_guest.c says how the accelerator is chosen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest_runs.h"
#include "skips.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/template.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A guest of two processors, saved once for all tests. */
static struct vm_template saved = {.memory_fd = -1, .state_fd = -1};
static struct guest_settings warm = {
	.root = ROOT_SHELL,
	.mode = REPORT_PLAIN,
	.memory_mib = 192,
	.timeout = 120,
	.cpus = 2,
	.template = &saved,
};

static const char *const no_env[] = {NULL};

static void run(const struct vm_job *job, struct guest_result *result)
{
	guest_run(&warm, job, result);
	assert_true(result->outcome.restored);
	assert_false(result->outcome.template_bad);
}

static void run_script(const char *script, struct guest_result *result)
{
	const struct vm_job job = {
		.script = script, .script_len = strlen(script), .env = no_env, .cwd = "/"};
	run(&job, result);
}

/* Scripts, and the whole of what they write and how they end. */
static void test_stories(void **state)
{
	static const struct {
		const char *script, *text, *message;
	} rows[] = {
		{"echo out; echo err >&2; grep -c ^processor /proc/cpuinfo; cat /etc/group | wc -l",
			"out\nerr\n2\n5\n", NULL},
		{"echo a; exit 7", "a\n", "the script ended with status 7"},
		{"kill -9 $$", "", "the script was ended by signal 9 (SIGKILL)"},
		{"echo c > /proc/sysrq-trigger; sleep 100", NULL,
			"the guest's kernel gave up while the script ran: Kernel panic - not "
			"syncing: sysrq triggered crash"},
		{"poweroff -f; sleep 100", NULL,
			"the guest was switched off or reset while the script ran"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		cleanup_guest_result struct guest_result result;
		run_script(rows[i].script, &result);
		const char *message = result.r < 0 ? result.err.message : "";
		assert_string_equal(message, rows[i].message != NULL ? rows[i].message : "");
		if (rows[i].text != NULL)
			assert_string_equal((char *)result.text.data, rows[i].text);
	}
}

/* What a guest sees of its disk is the disk's, and nothing of the one that it was saved with. */
static void test_disks(void **state)
{
	static const enum root roots[] = {ROOT_SHELL, ROOT_BASH, ROOT_EMPTY, ROOT_SHELL};
	const enum root root = warm.root;
	(void)state;
	for (size_t i = 0; i < COUNT(roots); i++) {
		cleanup_guest_result struct guest_result result;
		warm.root = roots[i];
		run_script("#!/dev/.layervm/bin/sh\necho kept > /kept; sync; [ -e /bin/bash ] && "
			   "echo bash; [ -e /bin ] || echo empty; exit 0",
			&result);
		warm.root = root;
		if (result.r < 0)
			fail_msg("%s", result.err.message);
		assert_string_equal((char *)result.text.data, roots[i] == ROOT_BASH    ? "bash\n"
							      : roots[i] == ROOT_EMPTY ? "empty\n"
										       : "");
		cleanup_free char *image = disks_merge(roots[i]);
		cleanup_free char *dumped = disks_path("kept");
		cleanup_free char *command = xasprintf("dump /kept %s", dumped);
		assert_int_equal(
			run_tool("check.log", (const char *const[]){"e2fsck", "-fn", image, NULL}),
			0);
		assert_int_equal(run_tool("dump.log", (const char *const[]){"debugfs", "-R",
							      command, image, NULL}),
			0);
		cleanup_buffer struct buffer content = {0};
		struct error err;
		FILE *file = fopen(dumped, "re");
		assert_non_null(file);
		assert_int_equal(file_read_all(fileno(file), 100, &content, "kept", &err), 0);
		fclose(file);
		assert_int_equal(content.len, 5);
		assert_memory_equal(content.data, "kept\n", 5);
	}
}

/* -- the clock -------------------------------------------------------------------------------- */

#define ROUNDS 2000
#define OFF_MAX 0.1 /* seconds */

/*
 * Asks a guest for the time, in whole seconds. Its answer is given between the question and the
 * answer's arrival, by the host's clock: so far the guest's clock is off, in seconds, at least and
 * at most. Answers about a change of the second tell most.
 */
struct asking {
	int question, answer;
	double least, most;
	unsigned rounds;
};

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* Whether it may be off too much, and may be not. */
static bool is_open(const struct asking *asking)
{
	bool may_be_right = asking->least <= OFF_MAX && asking->most >= -OFF_MAX;
	bool may_be_wrong = asking->least < -OFF_MAX || asking->most > OFF_MAX;
	return may_be_right && may_be_wrong;
}

static void *ask(void *data)
{
	struct asking *asking = data;
	FILE *answers = fdopen(asking->answer, "r");
	char line[64];
	asking->least = -1e9;
	asking->most = 1e9;
	while (asking->rounds < ROUNDS && is_open(asking)) {
		double before = now();
		if (write(asking->question, "\n", 1) != 1 ||
			fgets(line, sizeof(line), answers) == NULL)
			break;
		double after = now();
		double told = strtod(line, NULL);
		if (told - after > asking->least)
			asking->least = told - after;
		if (told + 1 - before < asking->most)
			asking->most = told + 1 - before;
		asking->rounds++;
	}
	close(asking->question);
	fclose(answers);
	return NULL;
}

static void test_clock(void **state)
{
	int questions[2], answers[2];
	pthread_t thread;
	cleanup_guest_result struct guest_result result;
	(void)state;
	assert_return_code(pipe2(questions, O_CLOEXEC), errno);
	assert_return_code(pipe2(answers, O_CLOEXEC), errno);
	struct asking asking = {.question = questions[1], .answer = answers[0]};
	const struct vm_streams streams = {
		.in = questions[0], .out = answers[1], .err = answers[1]};
	const struct vm_job job = {
		.kind = VM_JOB_COMMAND,
		.command = "while read -r line; do date +%s; done",
		.env = no_env,
		.cwd = "/",
		.streams = &streams,
	};
	assert_int_equal(pthread_create(&thread, NULL, ask, &asking), 0);
	run(&job, &result);
	close(questions[0]);
	close(answers[1]);
	pthread_join(thread, NULL);
	if (result.r < 0)
		fail_msg("%s", result.err.message);
	print_message("the clock is off by %.1f to %.1f ms, asked %u times\n", asking.least * 1000,
		asking.most * 1000, asking.rounds);
	assert_true(asking.least <= asking.most);
	assert_true(asking.least >= -OFF_MAX && asking.most <= OFF_MAX);
}

/* -- all of it -------------------------------------------------------------------------------- */

static int prepare(void **state)
{
	struct error err = {0};
	cleanup_guest_files struct guest_files files = {0};
	(void)state;
	disks_make();
	int memory = file_temporary(&err);
	int machine = file_temporary(&err);
	if (guest_files_find(&files, &err) < 0)
		fail_msg("%s", err.message);
	struct vm_options options = guest_options(&warm, &files);
	options.accel = vm_choose_accel(options.accel);
	if (template_make(&options, memory, machine, &err) < 0 ||
		template_read(machine, options.accel, &saved, &err) < 0)
		fail_msg("%s", err.message);
	saved.memory_fd = memory;
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	disks_remove();
	close(saved.memory_fd);
	close(saved.state_fd);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stories),
		cmocka_unit_test(test_disks),
		cmocka_unit_test(test_clock),
	};
	if (!disks_possible())
		return SKIPPED_STATUS;
	return cmocka_run_group_tests_name("guest_warm", tests, prepare, clean_up);
}
