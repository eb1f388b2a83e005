/* A session's job: which environment, folder and streams it has; and the list that it shows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "commands/session_job.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#define VARIABLES_MAX 8

struct env_case {
	const char *term;    /* TERM here; NULL: none */
	const char *command; /* NULL: a shell */
	const char *image[VARIABLES_MAX];
	char *given[VARIABLES_MAX];
	const char *expected;
};

static const struct env_case env_cases[] = {
	{"xterm", NULL, {NULL}, {NULL}, "TERM=xterm HISTFILE= "},
	{"xterm", "id", {"A=1"}, {NULL}, "A=1 "},
	{NULL, NULL, {"A=1"}, {NULL}, "A=1 HISTFILE= "},
	{"", NULL, {"TERM=a"}, {NULL}, "TERM=a HISTFILE= "},
	{"xterm", NULL, {"TERM=a", "A=1"}, {NULL}, "TERM=xterm A=1 HISTFILE= "},
	{"xterm", NULL, {"A=1"}, {"TERM=b", "HISTFILE=/h"}, "A=1 TERM=b HISTFILE=/h "},
	{"xterm", NULL, {"HISTFILE=/h"}, {NULL}, "HISTFILE=/h TERM=xterm "},
	{NULL, "id", {"AB=2", "A=1", "B"}, {"A=3=4", "AB=", "C=5"}, "AB= A=3=4 B C=5 "},
};

static void test_env(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(env_cases) / sizeof(env_cases[0]); i++) {
		const struct env_case *c = &env_cases[i];
		cleanup_buffer struct buffer found = {0};
		cleanup_session_job struct session_job session;
		if (c->term != NULL)
			setenv("TERM", c->term, 1);
		else
			unsetenv("TERM");
		struct session_options options = {
			.command = (char *)(uintptr_t)c->command,
			.env = (char **)(uintptr_t)c->given,
		};
		session_job_fill(&session, &options, c->image, "/");
		for (const char *const *env = session.job.env; *env != NULL; env++)
			buffer_printf(&found, "%s ", *env);
		cleanup_free char *text = buffer_steal_text(&found);
		assert_string_equal(text, c->expected);
	}
}

static void test_job(void **state)
{
	(void)state;
	static const char *const none[] = {NULL};
	struct terminal *terminal = (struct terminal *)&env_cases;
	char command[] = "id", workdir[] = "/srv", user[] = "www:33";
	struct session_options shell = {.terminal = terminal};
	struct session_options line = {.command = command, .workdir = workdir, .user = user};
	cleanup_session_job struct session_job a, b;
	session_job_fill(&a, &shell, none, "/image");
	session_job_fill(&b, &line, none, "/image");

	assert_int_equal(a.job.kind, VM_JOB_SHELL);
	assert_null(a.job.command);
	assert_null(a.job.user);
	assert_string_equal(a.job.cwd, "/image");
	assert_ptr_equal(a.job.streams->terminal, terminal);
	assert_string_equal(session_name(&shell), "the shell");

	assert_int_equal(b.job.kind, VM_JOB_COMMAND);
	assert_string_equal(b.job.command, "id");
	assert_string_equal(b.job.user, "www:33");
	assert_string_equal(b.job.cwd, "/srv");
	assert_null(b.job.streams->terminal);
	assert_int_equal(b.job.streams->in, STDIN_FILENO);
	assert_int_equal(b.job.streams->out, STDOUT_FILENO);
	assert_int_equal(b.job.streams->err, STDERR_FILENO);
	assert_null(b.job.on_failure);
	assert_string_equal(session_name(&line), "the command");
}

static char *shown(const char *list, size_t len, enum report_mode mode)
{
	struct error err;
	struct buffer text = {0};
	cleanup_close int fd = file_temporary(&err);
	cleanup_close int to = memfd_create("report", MFD_CLOEXEC);
	struct report *report = report_new(mode, to);
	assert_int_equal(file_write(fd, list, len, "list", &err), 0);
	assert_int_equal(session_show_list(fd, report, &err), 0);
	/* The file is still there to be read again. */
	assert_true(lseek(fd, 0, SEEK_END) == (off_t)len);
	report_free(report);
	assert_int_equal(lseek(to, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(to, 1 << 20, &text, "report", &err), 0);
	return buffer_steal_text(&text);
}

/* The list was made by who has met the guest's disk: it may be anything. */
static void test_list(void **state)
{
	(void)state;
	static const char list[] = "A /a\nD /\033[2Jb\tc\nC /last";
	cleanup_free char *quiet = shown(list, sizeof(list) - 1, REPORT_QUIET);
	assert_string_equal(quiet, "A /a\nD /\\x1b[2Jb\tc\nC /last\n");
	cleanup_free char *json = shown("A /a\nD /\"b\n", 11, REPORT_JSON);
	assert_string_equal(json, "{\"type\":\"change\",\"text\":\"A /a\"}\n"
				  "{\"type\":\"change\",\"text\":\"D /\\\"b\"}\n");
	cleanup_free char *none = shown("", 0, REPORT_PLAIN);
	assert_string_equal(none, "");

	/* Longer than any line of the report. */
	cleanup_free char *path = xmalloc(5001);
	memset(path, 'x', 5000);
	path[5000] = '\n';
	cleanup_free char *whole = shown(path, 5001, REPORT_PLAIN);
	assert_int_equal(strlen(whole), 5001);
	assert_memory_equal(whole, path, 5001);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_job),
		cmocka_unit_test(test_list),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
