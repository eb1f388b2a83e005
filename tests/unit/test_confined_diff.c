/* The guest's disk read in a child that can do nothing else; the filter holds without sanitizers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "commands/confined_diff.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#include "disk_rig.h"
#include "skips.h"

#ifdef __SANITIZE_ADDRESS__
#define FILTERED 0
#else
#define FILTERED 1
#endif

struct outcome {
	int code;
	struct error err;
	struct changes changes;
	struct layer_info layer;
};

/* layer_fd, list_fd: -1 for none. */
static struct outcome run(const struct rig *rig, int layer_fd, int list_fd)
{
	struct outcome outcome = {0};
	cleanup_close int overlay = rig_overlay(rig);
	const struct layer_options layer_options = {0};
	const struct confined_diff what = {
		.base = rig->base_fd,
		.overlay = overlay,
		.layer = layer_fd,
		.layer_options = &layer_options,
		.list = list_fd,
	};
	outcome.code =
		confined_diff(rig->tree, &what, &outcome.changes, &outcome.layer, &outcome.err);
	return outcome;
}

static void changes_become_a_layer(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct error err;
	char block[512];
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	guest_make(g, "/etc/new", S_IFREG | 0644, 0);
	guest_write(g, "/etc/new", 0, "data", 4);
	guest_remove(g, "/etc/passwd");
	guest_close(g);

	cleanup_close int layer_fd = file_temporary(&err);
	struct outcome outcome = run(&rig, layer_fd, -1);
	if (outcome.code != 0)
		fail_msg("%s", outcome.err.message);
	assert_int_equal(outcome.changes.whiteouts, 1);
	/* "etc/", the whiteout, "etc/new" and its data, two blocks of zeros. */
	assert_int_equal(outcome.layer.entries, 3);
	assert_int_equal(outcome.layer.size, lseek(layer_fd, 0, SEEK_END));
	assert_int_equal(pread(layer_fd, block, sizeof(block), sizeof(block)), sizeof(block));
	assert_string_equal(block, "etc/.wh.passwd");
	/* The child had a tree of its own. */
	assert_non_null(tree_walk(rig.tree, "etc/passwd"));
	assert_null(tree_walk(rig.tree, "etc/new"));
}

/* What a file has, as another reader finds it. */
static struct layer_info read_layer(int fd)
{
	cleanup_buffer struct buffer bytes = {0};
	struct error err;
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(fd, 1u << 30, &bytes, "layer", &err), 0);
	return (struct layer_info){.diff_id = digest_of(bytes.data, bytes.len), .size = bytes.len};
}

/* The digest is that of the file's bytes, whatever the child says of them, from the first on. */
static int add_bytes(const void *context, struct tree *tree, struct error *err)
{
	(void)tree;
	return file_write(*(const int *)context, "from the child", 14, "layer", err);
}

static void the_digest_is_the_files(void **state)
{
	(void)state;
	static const size_t sizes[] = {0, 1, 256 << 10, 2000003};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		cleanup_rig struct rig rig;
		struct error err;
		rig_open(&rig, rig_tree());
		struct guest *g = guest_open(rig.after);
		cleanup_free uint8_t *data = xmalloc(sizes[i] + 1);
		for (size_t k = 0; k < sizes[i]; k++)
			data[k] = (uint8_t)(k * k >> 7);
		guest_make(g, "/etc/new", S_IFREG | 0644, 0);
		guest_write(g, "/etc/new", 0, data, sizes[i]);
		guest_close(g);
		for (size_t with = 0; with < 2; with++) {
			cleanup_close int layer = file_temporary(&err);
			cleanup_close int overlay = rig_overlay(&rig);
			const struct layer_options layer_options = {0};
			const struct confined_diff what = {
				.base = rig.base_fd,
				.overlay = overlay,
				.settle = with != 0 ? add_bytes : NULL,
				.context = &layer,
				.layer = layer,
				.layer_options = &layer_options,
				.list = -1,
			};
			struct layer_info info;
			struct changes changes;
			if (confined_diff(rig.tree, &what, &changes, &info, &err) < 0)
				fail_msg("%s", err.message);
			struct layer_info found = read_layer(layer);
			assert_int_equal(info.size, found.size);
			assert_true(info.size > sizes[i]);
			assert_memory_equal(&info.diff_id, &found.diff_id, sizeof(found.diff_id));
		}
	}
}

static int add_note(const void *context, struct tree *tree, struct error *err)
{
	const char *name = context;
	(void)err;
	tree_link(tree, tree_root(tree), name, strlen(name), tree_inode_new(tree, S_IFREG | 0600));
	return 0;
}

/* Without a layer; what settle does to the tree is in the list, and stays in the child. */
static void changes_become_a_list(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	cleanup_buffer struct buffer text = {0};
	struct error err;
	rig_open(&rig, rig_tree());
	struct guest *g = guest_open(rig.after);
	guest_make(g, "/etc/new\n", S_IFREG | 0644, 0);
	guest_remove(g, "/etc/passwd");
	guest_close(g);

	cleanup_close int list_fd = file_temporary(&err);
	cleanup_close int overlay = rig_overlay(&rig);
	struct changes changes;
	const struct confined_diff what = {
		.base = rig.base_fd,
		.overlay = overlay,
		.settle = add_note,
		.context = "settled",
		.layer = -1,
		.list = list_fd,
	};
	int r = confined_diff(rig.tree, &what, &changes, NULL, &err);
	if (r < 0)
		fail_msg("%s", err.message);
	assert_int_equal(lseek(list_fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(list_fd, 1 << 20, &text, "list", &err), 0);
	cleanup_free char *list = buffer_steal_text(&text);
	assert_string_equal(list, "C /etc\nA /etc/new\\n\nD /etc/passwd\nA /settled\n");
	assert_int_equal(changes.whiteouts, 1);
	assert_null(tree_walk(rig.tree, "settled"));
}

static int refuse(const void *context, struct tree *tree, struct error *err)
{
	(void)tree;
	return error_set(err, ERROR_INPUT, EINVAL, "%s", (const char *)context);
}

static void settling_may_fail(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct changes changes;
	struct error err;
	rig_open(&rig, rig_tree());
	cleanup_close int overlay = rig_overlay(&rig);
	const struct confined_diff what = {
		.base = rig.base_fd,
		.overlay = overlay,
		.settle = refuse,
		.context = "refused",
		.layer = -1,
		.list = -1,
	};
	assert_int_equal(confined_diff(rig.tree, &what, &changes, NULL, &err), -EINVAL);
	assert_string_equal(err.message, "refused");
}

/* The reason comes back from the child as it was said there. */
static void a_damaged_disk_is_refused(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct error err;
	rig_open(&rig, rig_tree());
	assert_int_equal(pwrite(rig.after_fd, "\xff", 1, 1024 + 0x68), 1);
	cleanup_close int layer_fd = file_temporary(&err);
	struct outcome outcome = run(&rig, layer_fd, -1);
	assert_int_equal(outcome.code, -EUCLEAN);
	assert_int_equal(outcome.err.kind, ERROR_GUEST);
	assert_non_null(strstr(outcome.err.message, "guest disk: superblock: UUID"));
	assert_int_equal(lseek(layer_fd, 0, SEEK_END), 0);
}

/* What a reader that the disk has taken over may try; each is a file of the user's, or its parent.
 */
struct attempt {
	const char *name;
	int (*act)(int layer, int other);
	bool without_filter; /* fails without the filter too */
};

static int open_file(int layer, int other)
{
	(void)layer, (void)other;
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int copy_fd(int layer, int other)
{
	(void)other;
	return dup(layer);
}

/* Puts another file at a number that may be written to. */
static int replace_fd(int layer, int other)
{
	close(layer);
	return fcntl(other, F_DUPFD_CLOEXEC, layer);
}

static int write_other(int layer, int other)
{
	(void)layer;
	return (int)write(other, "x", 1);
}

static int read_other(int layer, int other)
{
	char byte;
	(void)layer;
	return (int)read(other, &byte, 1);
}

static int move_position(int layer, int other)
{
	(void)other;
	return (int)lseek(layer, 0, SEEK_SET);
}

static int signal_parent(int layer, int other)
{
	(void)layer, (void)other;
	return kill(getppid(), 0);
}

static int signal_thread(int layer, int other)
{
	(void)layer, (void)other;
	return (int)syscall(SYS_tgkill, getpid(), getpid(), SIGCONT);
}

static int make_socket(int layer, int other)
{
	(void)layer, (void)other;
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int make_code(int layer, int other)
{
	(void)layer, (void)other;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED ? -1 : 0;
}

/* Changes what was written before, without a call to write. */
static int map_file(int layer, int other)
{
	(void)other;
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, layer, 0);
	return page == MAP_FAILED ? -1 : 0;
}

static const struct attempt attempts[] = {
	{"open a file", open_file, false},
	{"copy a descriptor", copy_fd, false},
	{"put another file at a number", replace_fd, true},
	{"write to another file", write_other, true},
	{"read another file", read_other, true},
	{"move a file's position", move_position, false},
	{"signal the parent", signal_parent, false},
	{"signal a thread", signal_thread, false},
	{"make a socket", make_socket, false},
	{"make code", make_code, false},
	{"map a file", map_file, false},
};

struct trial {
	const struct attempt *attempt;
	int layer, other;
};

static int try(const void *context, struct tree *tree, struct error *err)
{
	const struct trial *trial = context;
	(void)tree;
	int r = trial->attempt->act(trial->layer, trial->other);
	return error_set(err, ERROR_GUEST, EPERM, r < 0 ? "refused" : "done");
}

static void nothing_else_can_be_done(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		cleanup_rig struct rig rig;
		struct changes changes;
		struct error err;
		char byte;
		const struct layer_options layer_options = {0};
		rig_open(&rig, rig_tree());
		cleanup_close int overlay = rig_overlay(&rig);
		cleanup_close int layer = file_temporary(&err);
		cleanup_close int other = file_temporary(&err);
		assert_int_equal(pwrite(other, "u", 1, 0), 1);
		const struct trial trial = {&attempts[i], layer, other};
		const struct confined_diff what = {
			.base = rig.base_fd,
			.overlay = overlay,
			.settle = try,
			.context = &trial,
			.layer = layer,
			.layer_options = &layer_options,
			.list = -1,
		};
		struct layer_info info;
		assert_true(confined_diff(rig.tree, &what, &changes, &info, &err) < 0);
		assert_int_equal(pread(other, &byte, 1, 0), 1);
		assert_int_equal(byte, 'u');
		assert_int_equal(lseek(other, 0, SEEK_CUR), 0);
		if (!FILTERED && !attempts[i].without_filter)
			continue;
		const char *expected = "refused";
		if (FILTERED && attempts[i].act != read_other)
			expected = "reading the guest's disk failed: the confined reader was ended "
				   "by signal 31";
		if (strcmp(err.message, expected) != 0)
			fail_msg("%s: %s", attempts[i].name, err.message);
	}
}

/* Shared with a process that sends a signal to the child and nobody else. */
struct shared {
	volatile pid_t child;
	volatile bool sent;
};

/* Waits a while for the signal, with calls that the filter allows. */
static int await_signal(const void *context, struct tree *tree, struct error *err)
{
	struct shared *shared = *(struct shared *const *)context;
	struct timespec start, now;
	(void)tree;
	clock_gettime(CLOCK_MONOTONIC, &start);
	shared->child = getpid();
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while (!shared->sent && now.tv_sec - start.tv_sec < 20);
	return shared->sent ? 0 : error_set(err, ERROR_INTERNAL, ETIMEDOUT, "no signal came");
}

static void signals_are_the_parents(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct changes changes;
	struct error err;
	int status;
	rig_open(&rig, rig_tree());
	cleanup_close int overlay = rig_overlay(&rig);
	struct shared *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(shared != MAP_FAILED);
	assert_int_equal(interrupt_setup(&err), 0);
	pid_t sender = fork();
	if (sender == 0) {
		const struct timespec moment = {.tv_nsec = 1000000};
		for (int i = 0; shared->child == 0 && i < 20000; i++)
			nanosleep(&moment, NULL);
		shared->sent = shared->child != 0 && kill(shared->child, SIGINT) == 0;
		_exit(0);
	}
	const struct confined_diff what = {
		.base = rig.base_fd,
		.overlay = overlay,
		.settle = await_signal,
		.context = &shared,
		.layer = -1,
		.list = -1,
	};
	int r = confined_diff(rig.tree, &what, &changes, NULL, &err);
	assert_int_equal(waitpid(sender, &status, 0), sender);
	munmap(shared, sizeof(*shared));
	if (r < 0)
		fail_msg("%s", err.message);
}

static void __attribute__((noreturn)) go_on(void)
{
	for (;;)
		getpid();
}

static int close_and_go_on(const void *context, struct tree *tree, struct error *err)
{
	(void)context, (void)tree, (void)err;
	for (int fd = 3; fd < 200; fd++)
		close(fd);
	go_on();
}

/* More bytes than an answer has, all of them zero, which means a success. */
static int answer_and_go_on(const void *context, struct tree *tree, struct error *err)
{
	static const char zeros[4096];
	struct stat st;
	(void)context, (void)tree, (void)err;
	for (int fd = 3; fd < 200; fd++) {
		ssize_t n = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)
				    ? write(fd, zeros, sizeof(zeros))
				    : 0;
		if (n < 0)
			_exit(1);
	}
	go_on();
}

/* A reader that was taken over has said all that it can, and is waited for no longer. */
static void it_does_not_hold_its_parent(void **state)
{
	(void)state;
	static const struct {
		int (*settle)(const void *context, struct tree *tree, struct error *err);
		int code;
		const char *message;
	} table[] = {
		{close_and_go_on, -EIO,
			"reading the guest's disk failed: the confined reader was ended by signal "
			"9"},
		{answer_and_go_on, 0, ""},
	};
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct changes changes;
		struct error err = {0};
		cleanup_close int overlay = rig_overlay(&rig);
		const struct confined_diff what = {
			.base = rig.base_fd,
			.overlay = overlay,
			.settle = table[i].settle,
			.layer = -1,
			.list = -1,
		};
		alarm(60);
		int r = confined_diff(rig.tree, &what, &changes, NULL, &err);
		alarm(0);
		assert_int_equal(r, table[i].code);
		assert_string_equal(err.message, table[i].message);
	}
}

/* The byte that would make the layer too large, from a reader that does not ask. */
static int add_byte(const void *context, struct tree *tree, struct error *err)
{
	(void)tree;
	ssize_t n = write(*(const int *)context, "x", 1);
	return error_set(err, ERROR_LIMIT, EFBIG, n < 0 ? "%m" : "it was written");
}

static void the_layer_has_a_limit(void **state)
{
	(void)state;
	static const struct {
		uint64_t size;
		const char *message;
	} table[] = {{LAYER_SIZE_MAX - 1, "it was written"}, {LAYER_SIZE_MAX, "File too large"}};
	cleanup_rig struct rig rig;
	rig_open(&rig, rig_tree());
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct changes changes;
		struct layer_info info;
		struct error err;
		cleanup_close int layer = file_temporary(&err);
		cleanup_close int overlay = rig_overlay(&rig);
		const struct layer_options layer_options = {0};
		const struct confined_diff what = {
			.base = rig.base_fd,
			.overlay = overlay,
			.settle = add_byte,
			.context = &layer,
			.layer = layer,
			.layer_options = &layer_options,
			.list = -1,
		};
		assert_int_equal(lseek(layer, (off_t)table[i].size, SEEK_SET), table[i].size);
		assert_int_equal(confined_diff(rig.tree, &what, &changes, &info, &err), -EFBIG);
		assert_string_equal(err.message, table[i].message);
	}
}

static int find_core_limit(const void *context, struct tree *tree, struct error *err)
{
	struct rlimit limit;
	(void)context, (void)tree;
	if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0)
		return 0;
	return error_set(err, ERROR_INTERNAL, EPERM, "a core of the image can be left");
}

/* The limit cannot be asked for under the filter. */
static void no_core_is_left(void **state)
{
	(void)state;
	cleanup_rig struct rig rig;
	struct changes changes;
	struct error err;
	if (FILTERED)
		skip_test("sanitized-build");
	rig_open(&rig, rig_tree());
	cleanup_close int overlay = rig_overlay(&rig);
	const struct confined_diff what = {
		.base = rig.base_fd,
		.overlay = overlay,
		.settle = find_core_limit,
		.layer = -1,
		.list = -1,
	};
	if (confined_diff(rig.tree, &what, &changes, NULL, &err) < 0)
		fail_msg("%s", err.message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_become_a_layer),
		cmocka_unit_test(the_digest_is_the_files),
		cmocka_unit_test(changes_become_a_list),
		cmocka_unit_test(settling_may_fail),
		cmocka_unit_test(a_damaged_disk_is_refused),
		cmocka_unit_test(nothing_else_can_be_done),
		cmocka_unit_test(signals_are_the_parents),
		cmocka_unit_test(it_does_not_hold_its_parent),
		cmocka_unit_test(the_layer_has_a_limit),
		cmocka_unit_test(no_core_is_left),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
