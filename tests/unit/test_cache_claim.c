/* Who makes an entry that several processes want at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/claim.h"
#include "cache/list.h"
#include "cache_rig.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define KIND "kind"

static struct digest key_of(const char *text)
{
	return digest_of(text, strlen(text));
}

static bool take(
	const struct cache *cache, const char *kind, const char *name, struct cache_claim *claim)
{
	struct digest key = key_of(name);
	return cache_claim_take(cache, kind, &key, claim);
}

/* Whether somebody else could claim it now. */
static bool is_free(const struct cache *cache, const char *kind, const char *name)
{
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	return take(cache, kind, name, &claim);
}

static void test_take(void **state)
{
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	assert_true(take(cache, KIND, "a", &claim));
	assert_false(is_free(cache, KIND, "a"));
	assert_true(is_free(cache, KIND, "b"));
	assert_true(is_free(cache, "other", "a"));
	/* Released is released, though a process that was just started has the descriptor too. */
	cleanup_close int copy = fcntl(claim.fd, F_DUPFD_CLOEXEC, 3);
	assert_true(copy >= 0);
	cache_claim_release(&claim);
	assert_true(is_free(cache, KIND, "a"));
	cache_claim_release(&claim);

	/* It is no entry, and nothing strange. */
	struct error err;
	cleanup_cache_list struct cache_list list = {0};
	assert_int_equal(cache_list_read(cache, &list, &err), 0);
	assert_int_equal(list.count + list.stranger_count, 0);
}

/* Where nothing can be locked everybody makes what is missing. */
static void test_no_locks(void **state)
{
	(void)state;
	cleanup_free char *path = xasprintf("%s/%s", folder, CACHE_CLAIMS_NAME);
	cleanup_cache struct cache *cache = open_cache();
	static int (*const make[])(const char *path, mode_t mode) = {mkdir, mkfifo};
	for (size_t i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
		assert_int_equal(make[i](path, 0600), 0);
		cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
		assert_true(take(cache, KIND, "a", &claim));
		assert_true(is_free(cache, KIND, "a"));
		assert_int_equal(remove(path), 0);
	}
	assert_int_equal(symlink("elsewhere", path), 0);
	assert_true(is_free(cache, KIND, "a"));
	assert_int_equal(remove(path), 0);
}

/* A process with a claim, which ends when it is told to: byte 'e', or killed. */
struct holder {
	pid_t pid;
	int tell;
};

static struct holder holder_start(const struct cache *cache, const char *name)
{
	int ready[2], tell[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(tell), 0);
	pid_t pid = fork();
	if (pid == 0) {
		struct cache_claim claim;
		close(tell[1]);
		bool is_mine = take(cache, KIND, name, &claim);
		if (!is_mine || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(read(tell[0], &byte, 1) == 1 ? 0 : 2);
	}
	close(ready[1]);
	close(tell[0]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return (struct holder){.pid = pid, .tell = tell[1]};
}

static int holder_end(const struct holder *holder)
{
	int status;
	close(holder->tell);
	assert_int_equal(waitpid(holder->pid, &status, 0), holder->pid);
	return status;
}

/*
 * Whether somebody waits for a lock of this cache's file, which the kernel's list of locks shows
 * (proc_locks(5)): a line of it has the file as MAJOR:MINOR:INODE, the first two in hexadecimal.
 */
static bool is_waited_for(void)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, CACHE_CLAIMS_NAME);
	struct stat st;
	char line[256], file[32];
	bool waits = false;
	FILE *locks = fopen("/proc/locks", "r");
	if (locks == NULL || stat(path, &st) < 0)
		_exit(1);
	snprintf(file, sizeof(file), ":%ju ", (uintmax_t)st.st_ino);
	while (fgets(line, sizeof(line), locks) != NULL)
		waits = waits || (strstr(line, "-> OFDLCK") != NULL && strstr(line, file) != NULL);
	fclose(locks);
	return waits;
}

/* Another process ends the holder once somebody waits for it. */
static pid_t end_once_waited_for(const struct holder *holder, int signal_number)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	alarm(60);
	while (!is_waited_for())
		sched_yield();
	if (signal_number != 0)
		_exit(kill(holder->pid, signal_number) == 0 ? 0 : 2);
	_exit(write(holder->tell, "e", 1) == 1 ? 0 : 3);
}

/* The wait ends with the holder, however that ends. */
static void test_wait(void **state)
{
	static const int signals[] = {0, SIGKILL, SIGTERM};
	(void)state;
	cleanup_cache struct cache *cache = open_cache();
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		struct error err;
		int status;
		cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
		struct holder holder = holder_start(cache, "a");
		assert_false(take(cache, KIND, "a", &claim));
		pid_t ender = end_once_waited_for(&holder, signals[i]);
		assert_int_equal(cache_claim_wait(&claim, 60, &err), 1);
		assert_int_equal(waitpid(ender, &status, 0), ender);
		assert_int_equal(status, 0);
		assert_int_equal(holder_end(&holder), signals[i]);
		/* It is the waiter's now. */
		assert_false(is_free(cache, KIND, "a"));
	}
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A holder that does not end is waited for as long as was said. */
static void test_patience(void **state)
{
	(void)state;
	struct error err;
	cleanup_cache struct cache *cache = open_cache();
	cleanup_cache_claim struct cache_claim claim = CACHE_CLAIM_NONE;
	struct holder holder = holder_start(cache, "a");
	double begin = now();
	assert_false(take(cache, KIND, "a", &claim));
	assert_int_equal(cache_claim_wait(&claim, 1, &err), 0);
	assert_true(now() - begin >= 1 && now() - begin < 30);
	/* What waited has left nothing behind that would hold it. */
	cache_claim_release(&claim);
	assert_int_equal(write(holder.tell, "e", 1), 1);
	assert_int_equal(holder_end(&holder), 0);
	assert_true(is_free(cache, KIND, "a"));
}

static void test_interrupted(void **state)
{
	(void)state;
	struct error err;
	int status;
	cleanup_cache struct cache *cache = open_cache();
	struct holder holder = holder_start(cache, "a");
	pid_t child = fork();
	if (child == 0) {
		struct cache_claim claim;
		if (interrupt_setup(&err) < 0 || take(cache, KIND, "a", &claim))
			_exit(2);
		raise(SIGINT);
		int r = cache_claim_wait(&claim, 60, &err);
		_exit(r < 0 && err.kind == ERROR_INTERRUPTED && err.status == SIGINT ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(write(holder.tell, "e", 1), 1);
	assert_int_equal(holder_end(&holder), 0);
}

/* Of many at once one makes it, and each of the others sees it made. */
static void test_many(void **state)
{
	enum { COUNT = 8 };
	(void)state;
	pid_t children[COUNT];
	cleanup_free char *made = xasprintf("%s/made", folder);
	for (size_t i = 0; i < COUNT; i++) {
		children[i] = fork();
		if (children[i] != 0)
			continue;
		struct error err;
		struct cache_claim claim;
		struct cache *cache = open_cache();
		if (!take(cache, KIND, "a", &claim) && cache_claim_wait(&claim, 60, &err) != 1)
			_exit(2);
		if (access(made, F_OK) == 0)
			_exit(0);
		int fd = open(made, O_CREAT | O_EXCL | O_WRONLY, 0600);
		_exit(fd >= 0 ? 3 : 4);
	}
	size_t makers = 0;
	for (size_t i = 0; i < COUNT; i++) {
		int status;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_true(WIFEXITED(status));
		assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3);
		makers += WEXITSTATUS(status) == 3;
	}
	assert_int_equal(makers, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_take, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_no_locks, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_wait, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_patience, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_interrupted, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(test_many, make_folder, remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
