/* What is told of runs that want the same entry of the cache, and of a cache that is full. */
#include "cache_rig.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands/cache_note.h"
#include "commands/cache_turn.h"
#include "support/fileio.h"
#include "support/memory.h"

static void assert_said(int said, const char *expected)
{
	struct error err;
	struct buffer bytes = {0};
	lseek(said, 0, SEEK_SET);
	assert_int_equal(file_read_all(said, 1 << 16, &bytes, "report", &err), 0);
	cleanup_free char *text = buffer_steal_text(&bytes);
	assert_string_equal(text, expected);
}

/* One that nobody makes is the caller's without a word; one that somebody keeps making, with two.
 */
static void test_turn(void **state)
{
	struct error err;
	(void)state;
	cleanup_close int said = memfd_create("report", MFD_CLOEXEC);
	cleanup_cache struct cache *cache = open_cache();
	cleanup_report struct report *report = report_new(REPORT_PLAIN, said);
	cleanup_cache_claim struct cache_claim first = CACHE_CLAIM_NONE;
	cleanup_cache_claim struct cache_claim second = CACHE_CLAIM_NONE;
	const struct cache_turn turn = {
		.kind = "kind", .key = digest_of("a", 1), .what = "the thing", .patience = 1};
	assert_int_equal(cache_turn_take(cache, &turn, report, &first, &err), 0);
	assert_said(said, "");
	/* Claims are of open files, so that a process can be another's rival by itself. */
	assert_int_equal(cache_turn_take(cache, &turn, report, &second, &err), 0);
	assert_said(said, "wait      another run makes the thing; for 1 s at most\n"
			  "cache: another run still makes the thing; here it is made as well\n");
	/* It was not taken from who has it. */
	cache_claim_release(&second);
	assert_false(cache_claim_take(cache, turn.kind, &turn.key, &second));
	cache_claim_release(&first);
	cache_claim_release(&second);
	assert_true(cache_claim_take(cache, turn.kind, &turn.key, &second));
}

/* Lets no more descriptors be opened than so many from now on. */
static void limit_descriptors(struct rlimit *before, rlim_t more)
{
	cleanup_close int next = dup(STDIN_FILENO);
	assert_true(next >= 0);
	assert_return_code(getrlimit(RLIMIT_NOFILE, before), errno);
	const struct rlimit few = {.rlim_cur = (rlim_t)next + more, .rlim_max = before->rlim_max};
	assert_return_code(setrlimit(RLIMIT_NOFILE, &few), errno);
}

/* Why somebody is not waited for is told. */
static void test_turn_without_wait(void **state)
{
	struct error err;
	struct rlimit before;
	(void)state;
	cleanup_close int said = memfd_create("report", MFD_CLOEXEC);
	cleanup_cache struct cache *cache = open_cache();
	cleanup_report struct report *report = report_new(REPORT_PLAIN, said);
	cleanup_cache_claim struct cache_claim first = CACHE_CLAIM_NONE;
	cleanup_cache_claim struct cache_claim second = CACHE_CLAIM_NONE;
	const struct cache_turn turn = {
		.kind = "kind", .key = digest_of("a", 1), .what = "the thing", .patience = 30};
	assert_true(cache_claim_take(cache, turn.kind, &turn.key, &first));
	/* For the claim itself, and none for the wait. */
	limit_descriptors(&before, 1);
	int r = cache_turn_take(cache, &turn, report, &second, &err);
	assert_return_code(setrlimit(RLIMIT_NOFILE, &before), errno);
	assert_int_equal(r, 0);
	assert_said(said,
		"wait      another run makes the thing; for 30 s at most\n"
		"cache: another run makes the thing, and cannot be waited for: cannot watch a "
		"process: Too many open files; here it is made as well\n");
}

static void test_note(void **state)
{
	static const struct {
		int r;
		enum error_kind kind;
		int expected;
		const char *said;
	} rows[] = {
		{0, ERROR_OUTPUT, 0, ""},
		{1, ERROR_OUTPUT, 1, ""},
		{-EACCES, ERROR_OUTPUT, 0, "cache: 2\n"},
		{-ENOSPC, ERROR_OUTPUT, 0, "cache: 2\ncache: 3\n"},
		{-ENOSPC, ERROR_OUTPUT, 0, "cache: 2\ncache: 3\n"},
		{-EDQUOT, ERROR_OUTPUT, 0, "cache: 2\ncache: 3\n"},
		{-EACCES, ERROR_OUTPUT, 0, "cache: 2\ncache: 3\ncache: 6\n"},
		{-EINTR, ERROR_INTERRUPTED, -EINTR, "cache: 2\ncache: 3\ncache: 6\n"},
	};
	(void)state;
	cleanup_close int said = memfd_create("report", MFD_CLOEXEC);
	cleanup_report struct report *report = report_new(REPORT_PLAIN, said);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error err;
		error_set(&err, rows[i].kind, EIO, "%zu", i);
		assert_int_equal(cache_note(report, rows[i].r, &err), rows[i].expected);
		assert_said(said, rows[i].said);
	}
	/* Another run says it again. */
	cleanup_report struct report *other = report_new(REPORT_PLAIN, said);
	assert_true(cache_note_is_news(other, -ENOSPC));
	assert_false(cache_note_is_news(other, -EDQUOT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_turn, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_turn_without_wait, make_folder, remove_folder),
		cmocka_unit_test(test_note),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
