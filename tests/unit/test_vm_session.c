/* The conversation with the guest's init: whole, in pieces, and broken in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest_frames.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/request.h"
#include "vm/session.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A generator that gives the same numbers everywhere (xorshift64*). */
static uint64_t random_state;

static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 2685821657736338717u;
}

static size_t below(size_t limit)
{
	return (size_t)(next_random() % limit);
}

static int set_seed(void **state)
{
	const char *given = getenv("LAYERVM_TEST_SEED");
	(void)state;
	random_state = given != NULL ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
	if (random_state == 0)
		random_state = 1;
	print_message("LAYERVM_TEST_SEED=%llu\n", (unsigned long long)random_state);
	return 0;
}

static const struct vm_options plain_options = {0};
static const struct vm_options limited_options = {.log_limit = 20};

static const char *const job_env[] = {"A=b", "EMPTY=", NULL};
static const struct vm_job plain_job = {
	.script = "#!/x\n",
	.script_len = 5,
	.env = job_env,
	.cwd = "/w",
};

static struct report *make_report(int *fd)
{
	struct error err;
	*fd = file_temporary(&err);
	assert_true(*fd >= 0);
	return report_new(REPORT_PLAIN, *fd);
}

static char *read_report(int fd)
{
	struct error err;
	struct buffer text = {0};
	assert_return_code(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(file_read_all(fd, 1 << 20, &text, "report", &err), 0);
	return buffer_steal_text(&text);
}

static void add_whole_run(struct buffer *to)
{
	add_frame(to, FRAME_HELLO, "6.1", 3);
	add_frame(to, FRAME_AWAKE, NULL, 0);
	add_frame(to, FRAME_STARTED, NULL, 0);
	add_frame(to, FRAME_STDOUT, "one\n", 4);
	add_frame(to, FRAME_STDERR, "two\n", 4);
	add_frame(to, FRAME_STDOUT, "three\n", 6);
	add_exit(to, EXIT_STATUS, 7, "");
	add_frame(to, FRAME_BYE, "words", 5);
}

/* What the host sends for plain_job; the time and the random bytes are left out. */
static void check_sent(struct buffer *sent)
{
	static const uint8_t zeros[ENTROPY_SIZE];
	cleanup_buffer struct buffer expected = {0};
	add_awakening(&expected);
	add_frame(&expected, FRAME_CWD, "/w", 2);
	add_frame(&expected, FRAME_ENV, "A=b", 3);
	add_frame(&expected, FRAME_ENV, "EMPTY=", 6);
	add_frame(&expected, FRAME_SCRIPT, "#!/x\n", 5);
	add_frame(&expected, FRAME_START, NULL, 0);
	add_frame(&expected, FRAME_FINISH, NULL, 0);
	assert_int_equal(sent->len, expected.len);
	if (sent->data == NULL)
		return; /* for the analyser: a length that is not 0 has bytes */
	assert_memory_not_equal(sent->data + ENTROPY_AT, zeros, sizeof(zeros));
	blank_awakening(sent);
	assert_memory_equal(sent->data, expected.data, expected.len);
}

static void test_session_in_pieces(void **state)
{
	cleanup_buffer struct buffer run = {0};
	(void)state;
	add_whole_run(&run);
	for (unsigned round = 0; round < 100; round++) {
		int fd;
		struct error err;
		cleanup_report struct report *report = make_report(&fd);
		cleanup_close int report_fd = fd;
		cleanup_session struct session session = {
			.options = &plain_options, .job = &plain_job, .report = report};
		for (size_t done = 0; done < run.len;) {
			size_t piece = round == 0 ? 1 : 1 + below(round < 50 ? 9 : run.len);
			if (piece > run.len - done)
				piece = run.len - done;
			assert_int_equal(
				session_receive(&session, run.data + done, piece, &err), 0);
			done += piece;
		}
		assert_int_equal(session.stage, SESSION_OVER);
		assert_int_equal(session.exit.how, EXIT_STATUS);
		assert_int_equal(session.exit.code, 7);
		assert_int_equal(session.exit.flags, 1);
		assert_int_equal(session.exit.oom_kills, 2);
		assert_int_equal(session.logged, 14);
		assert_int_equal(session.from.len, 0);
		assert_string_equal(session.disk, "words");
		assert_false(session.failed);
		check_sent(&session.to);
		cleanup_free char *text = read_report(report_fd);
		assert_string_equal(text, "one\ntwo\nthree\n");
	}
}

static const struct vm_job unpack_job = {.kind = VM_JOB_UNPACK};

/* The other job: nothing but UNPACK is sent for it, and STDERR in pieces is kept as words. */
static void test_session_unpack(void **state)
{
	struct error err;
	cleanup_buffer struct buffer run = {0};
	cleanup_buffer struct buffer expected = {0};
	cleanup_session struct session session = {.options = &plain_options, .job = &unpack_job};
	(void)state;
	assert_int_equal(request_check_job(&unpack_job, &err), 0);
	add_frame(&run, FRAME_HELLO, "6.1", 3);
	add_frame(&run, FRAME_AWAKE, NULL, 0);
	add_frame(&run, FRAME_STARTED, NULL, 0);
	add_frame(&run, FRAME_STDERR, "layer 1", 7);
	add_frame(&run, FRAME_STDERR, " of 2: x", 8);
	add_exit(&run, EXIT_STATUS, UNPACK_BAD_LAYER, "");
	add_frame(&run, FRAME_BYE, NULL, 0);
	assert_int_equal(session_receive(&session, run.data, run.len, &err), 0);
	assert_int_equal(session.stage, SESSION_OVER);
	assert_string_equal(session.words, "layer 1 of 2: x");
	assert_int_equal(session.logged, 0);
	add_awakening(&expected);
	add_frame(&expected, FRAME_UNPACK, NULL, 0);
	add_frame(&expected, FRAME_START, NULL, 0);
	add_frame(&expected, FRAME_FINISH, NULL, 0);
	assert_int_equal(session.to.len, expected.len);
	blank_awakening(&session.to);
	assert_memory_equal(session.to.data, expected.data, expected.len);
}

static void test_session_unpack_refuses(void **state)
{
	static const char words[FRAME_TEXT_MAX] = {[0 ... FRAME_TEXT_MAX - 1] = 'w'};
	static const struct {
		enum frame_type type;
		const char *payload;
		size_t len;
		const char *part;
	} rows[] = {
		{FRAME_STDOUT, "x", 1, "frame of type 3 and length 1 while the job runs"},
		{FRAME_STDERR, "", 0, "an empty message"},
		{FRAME_STDERR, "\0x", 2, "an empty message"},
		{FRAME_STDERR, words, sizeof(words), "a message of 1025 bytes, at most 1024"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		cleanup_buffer struct buffer run = {0};
		cleanup_session struct session session = {
			.options = &plain_options, .job = &unpack_job};
		add_frame(&run, FRAME_HELLO, NULL, 0);
		add_frame(&run, FRAME_AWAKE, NULL, 0);
		add_frame(&run, FRAME_STARTED, NULL, 0);
		add_frame(&run, FRAME_STDERR, "w", 1);
		assert_int_equal(session_receive(&session, run.data, run.len, &err), 0);
		run.len = 0;
		add_frame(&run, rows[i].type, rows[i].payload, rows[i].len);
		assert_true(session_receive(&session, run.data, run.len, &err) < 0);
		assert_int_equal(err.kind, ERROR_GUEST);
		if (strstr(err.message, rows[i].part) == NULL)
			fail_msg("%zu: %s", i, err.message);
	}
}

static void test_session_long_script(void **state)
{
	const size_t len = 2 * FRAME_MAX + 17;
	cleanup_free char *script = xmalloc(len);
	cleanup_buffer struct buffer hello = {0};
	struct vm_job job = plain_job;
	struct error err;
	cleanup_session struct session session = {.options = &plain_options, .job = &job};
	size_t total = 0;
	unsigned frames = 0;
	(void)state;
	for (size_t i = 0; i < len; i++)
		script[i] = (char)next_random();
	job.script = script;
	job.script_len = len;
	add_frame(&hello, FRAME_HELLO, NULL, 0);
	add_frame(&hello, FRAME_AWAKE, NULL, 0);
	assert_int_equal(session_receive(&session, hello.data, hello.len, &err), 0);
	for (size_t at = 0; at < session.to.len;) {
		struct frame_header header = frame_header_get(session.to.data + at);
		assert_true(frame_header_valid(&header));
		at += FRAME_HEADER_SIZE;
		if (header.type == FRAME_SCRIPT) {
			assert_memory_equal(session.to.data + at, script + total, header.length);
			total += header.length;
			frames++;
		}
		at += header.length;
	}
	assert_int_equal(total, len);
	assert_int_equal(frames, 3);
}

/* A guest's words, one character a frame (see add_word), and what is said of them. */
/* A guest is asked while its job runs, once until it has answered. */
static void test_session_ask(void **state)
{
	int fd;
	struct error err;
	cleanup_buffer struct buffer up = {0};
	cleanup_buffer struct buffer pong = {0};
	cleanup_buffer struct buffer end = {0};
	cleanup_report struct report *report = make_report(&fd);
	cleanup_close int report_fd = fd;
	cleanup_session struct session session = {
		.options = &plain_options, .job = &plain_job, .report = report};
	(void)state;
	(void)report_fd;
	add_frame(&up, FRAME_HELLO, "6.1", 3);
	add_frame(&up, FRAME_AWAKE, NULL, 0);
	add_frame(&pong, FRAME_STARTED, NULL, 0);
	assert_int_equal(session_receive(&session, up.data, up.len, &err), 0);
	session_sent(&session, session.to.len);
	session_ask(&session);
	assert_int_equal(session.to.len, 0); /* no job runs */
	assert_int_equal(session_receive(&session, pong.data, pong.len, &err), 0);
	for (unsigned round = 0; round < 3; round++) {
		session_ask(&session);
		session_ask(&session);
		assert_int_equal(session.to.len, FRAME_HEADER_SIZE);
		assert_int_equal(session.to.data[1], FRAME_PING);
		session_sent(&session, session.to.len);
		pong.len = 0;
		add_frame(&pong, FRAME_PONG, NULL, 0);
		assert_int_equal(session_receive(&session, pong.data, pong.len, &err), 0);
	}
	session_ask(&session);
	add_exit(&end, EXIT_STATUS, 0, "");
	assert_int_equal(session_receive(&session, end.data, end.len, &err), 0);
	assert_false(session.asked);
	session_sent(&session, session.to.len);
	session_ask(&session);
	assert_int_equal(session.to.len, 0);
}

struct talk {
	const char *frames;
	enum error_kind kind;
	const char *part;
};

static void add_word(struct buffer *to, char word)
{
	static const char big[FRAME_TEXT_MAX + 1];
	uint8_t raw[FRAME_HEADER_SIZE] = {PROTOCOL_VERSION, FRAME_STDOUT};
	switch (word) {
	case 'h':
		add_frame(to, FRAME_HELLO, "6.1", 3);
		break;
	case 'a':
		add_frame(to, FRAME_AWAKE, NULL, 0);
		break;
	case 'A':
		add_frame(to, FRAME_AWAKE, "x", 1);
		break;
	case 's':
		add_frame(to, FRAME_STARTED, NULL, 0);
		break;
	case 'S':
		add_frame(to, FRAME_STARTED, "x", 1);
		break;
	case 'o':
		add_frame(to, FRAME_STDOUT, "12345678", 8);
		break;
	case 'O':
		add_frame(to, FRAME_STDOUT, NULL, 0);
		break;
	case 'e':
		add_frame(to, FRAME_STDERR, "12345678", 8);
		break;
	case '0':
		add_exit(to, EXIT_STATUS, 0, "");
		break;
	case '9':
		add_exit(to, EXIT_SIGNAL, 9, "");
		break;
	case 'n':
		add_exit(to, EXIT_NOT_RUN, 127, "none");
		break;
	case 'b':
		add_frame(to, FRAME_BYE, NULL, 0);
		break;
	case 'B':
		add_frame(to, FRAME_BYE, big, sizeof(big));
		break;
	case 'f':
		add_frame(to, FRAME_FAILURE, "no", 2);
		break;
	case 'p':
		add_frame(to, FRAME_PONG, NULL, 0);
		break;
	case 'P':
		add_frame(to, FRAME_PONG, "x", 1);
		break;
	case 'u':
		add_frame(to, 200, NULL, 0);
		break;
	case 'r':
		add_frame(to, FRAME_FINISH, NULL, 0);
		break;
	case 'v':
		raw[0] = PROTOCOL_VERSION + 1;
		buffer_add(to, raw, sizeof(raw));
		break;
	case 'z':
		raw[2] = 1;
		buffer_add(to, raw, sizeof(raw));
		break;
	case 'l':
		protocol_put_u32(raw + 4, FRAME_MAX + 1);
		buffer_add(to, raw, sizeof(raw));
		break;
	case 'L':
		protocol_put_u32(raw + 4, UINT32_MAX);
		buffer_add(to, raw, sizeof(raw));
		break;
	case 'x':
		add_frame(to, FRAME_EXIT, "short", 5);
		break;
	case '1':
		add_exit(to, EXIT_STATUS, 256, "");
		break;
	case '2':
		add_exit(to, EXIT_SIGNAL, 0, "");
		break;
	case '3':
		add_exit(to, EXIT_SIGNAL, 65, "");
		break;
	case '4':
		add_exit(to, EXIT_NOT_RUN, 0, "");
		break;
	case '5':
		add_exit(to, 0, 0, "");
		break;
	default:
		fail_msg("no word %c", word);
	}
}

static void test_session_refuses(void **state)
{
	static const struct talk rows[] = {
		{"s", ERROR_GUEST, "type 2 and length 0 while it boots"},
		{"o", ERROR_GUEST, "type 3 and length 8 while it boots"},
		{"f", ERROR_GUEST, "the guest did not come up: no"},
		{"0", ERROR_GUEST, "while it boots"},
		{"b", ERROR_GUEST, "while it boots"},
		{"a", ERROR_GUEST, "type 9 and length 0 while it boots"},
		{"hh", ERROR_GUEST, "type 1 and length 3 before it is awake"},
		{"hs", ERROR_GUEST, "type 2 and length 0 before it is awake"},
		{"ho", ERROR_GUEST, "type 3 and length 8 before it is awake"},
		{"h0", ERROR_GUEST, "before it is awake"},
		{"hf", ERROR_GUEST, "the guest did not wake up: no"},
		{"hA", ERROR_GUEST, "type 9 and length 1 before it is awake"},
		{"hah", ERROR_GUEST, "type 1 and length 3 before the job's start"},
		{"haa", ERROR_GUEST, "type 9 and length 0 before the job's start"},
		{"hao", ERROR_GUEST, "before the job's start"},
		{"haS", ERROR_GUEST, "type 2 and length 1 before"},
		{"hab", ERROR_GUEST, "before the job's start"},
		{"hass", ERROR_GUEST, "while the job runs"},
		{"hasO", ERROR_GUEST, "empty piece of output"},
		{"hasb", ERROR_GUEST, "while the job runs"},
		{"has0o", ERROR_GUEST, "after the job's end"},
		{"has00", ERROR_GUEST, "after the job's end"},
		{"has0B", ERROR_GUEST, "message of 1025 bytes, at most 1024"},
		{"has0bo", ERROR_GUEST, "after its last frame"},
		{"haff", ERROR_GUEST, "after its last frame"},
		{"hasu", ERROR_GUEST, "type 200"},
		{"hap", ERROR_GUEST, "type 10 and length 0 before the job's start"},
		{"hasp", ERROR_GUEST, "an answer of 0 bytes that nothing was asked for"},
		{"has0p", ERROR_GUEST, "type 10 and length 0 after the job's end"},
		{"hasr", ERROR_GUEST, "type 79"},
		{"v", ERROR_GUEST, "speaks version 7 of the protocol, version 6 is expected"},
		{"hasv", ERROR_GUEST, "speaks version 7"},
		{"hasz", ERROR_GUEST, "type 3 with length 0"},
		{"hasl", ERROR_GUEST, "length 1048577, at most 1048576"},
		{"L", ERROR_GUEST, "length 4294967295"},
		{"hasx", ERROR_GUEST, "5 bytes, at least 16"},
		{"has1", ERROR_GUEST, "kind 1, code 256"},
		{"has2", ERROR_GUEST, "kind 2, code 0"},
		{"has3", ERROR_GUEST, "kind 2, code 65"},
		{"has4", ERROR_GUEST, "kind 3, code 0"},
		{"has5", ERROR_GUEST, "kind 0, code 0"},
		{"ha0", ERROR_GUEST, "makes no sense"},
		{"hasn", ERROR_GUEST, "makes no sense"},
		{"hasoeo", ERROR_LIMIT, "more than the 20 bytes"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd;
		int r = 0;
		struct error err = {0};
		cleanup_report struct report *report = make_report(&fd);
		cleanup_close int report_fd = fd;
		cleanup_session struct session session = {
			.options = &limited_options,
			.job = &plain_job,
			.report = report,
		};
		(void)report_fd;
		for (const char *word = rows[i].frames; *word != '\0'; word++) {
			cleanup_buffer struct buffer bytes = {0};
			add_word(&bytes, *word);
			r = session_receive(&session, bytes.data, bytes.len, &err);
			/* All but the last word are fine. */
			if (r < 0 && word[1] != '\0')
				fail_msg("%s: %c: %s", rows[i].frames, *word, err.message);
		}
		if (r == 0 || err.kind != rows[i].kind || !strstr(err.message, rows[i].part))
			fail_msg("%s: %d, %s, %s", rows[i].frames, r, error_kind_name(err.kind),
				err.message);
	}
}

static void test_session_accepts(void **state)
{
	static const char *const rows[] = {"hasoe0b", "has9b", "hanb", "haf", "hasf", "has0f"};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		int fd;
		struct error err = {0};
		cleanup_report struct report *report = make_report(&fd);
		cleanup_close int report_fd = fd;
		cleanup_buffer struct buffer bytes = {0};
		cleanup_session struct session session = {
			.options = &plain_options, .job = &plain_job, .report = report};
		(void)report_fd;
		for (const char *word = rows[i]; *word != '\0'; word++)
			add_word(&bytes, *word);
		if (session_receive(&session, bytes.data, bytes.len, &err) < 0)
			fail_msg("%s: %s", rows[i], err.message);
		assert_int_equal(session.stage, SESSION_OVER);
		assert_int_equal(session.failed, strchr(rows[i], 'f') != NULL);
	}
}

/* A guest that was saved behind its HELLO is woken, and gets the time of now. */
static void test_session_resumed(void **state)
{
	struct timespec before, after, given;
	struct error err = {0};
	cleanup_buffer struct buffer bytes = {0};
	cleanup_session struct session session = {.options = &plain_options, .job = &plain_job};
	(void)state;
	session_resume(&session);
	assert_int_equal(session.stage, SESSION_WAKING);
	assert_int_equal(session.to.len, FRAME_HEADER_SIZE);
	add_word(&bytes, 'h');
	assert_int_equal(session_receive(&session, bytes.data, bytes.len, &err), -EPROTO);
	session_free(&session);
	session = (struct session){.options = &plain_options, .job = &plain_job};
	session_resume(&session);
	bytes.len = 0;
	add_word(&bytes, 'a');
	clock_gettime(CLOCK_REALTIME, &before);
	assert_int_equal(session_receive(&session, bytes.data, bytes.len, &err), 0);
	clock_gettime(CLOCK_REALTIME, &after);
	assert_int_equal(session.stage, SESSION_STARTING);
	assert_true(session.to.len > AWAKENING_SIZE);
	const uint8_t *clock = session.to.data + CLOCK_AT;
	given.tv_sec = (time_t)protocol_get_u32(clock) | (time_t)protocol_get_u32(clock + 4) << 32;
	given.tv_nsec = (long)protocol_get_u32(clock + 8);
	assert_true(given.tv_nsec < 1000000000);
	assert_true(given.tv_sec > before.tv_sec ||
		    (given.tv_sec == before.tv_sec && given.tv_nsec >= before.tv_nsec));
	assert_true(given.tv_sec < after.tv_sec ||
		    (given.tv_sec == after.tv_sec && given.tv_nsec <= after.tv_nsec));
}

/* Broken bytes of any kind: never more than an error, with words and the right kind. */
static void test_session_hostile(void **state)
{
	static const struct vm_options hostile_options = {.log_limit = 1000};
	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		int r = 0;
		struct error err = {0};
		cleanup_report struct report *report = report_new(REPORT_QUIET, -1);
		cleanup_buffer struct buffer bytes = {0};
		cleanup_session struct session session = {
			.options = &hostile_options,
			.job = &plain_job,
			.report = report,
		};
		add_whole_run(&bytes);
		if (round % 3 == 0)
			bytes.len = below(bytes.len + 1);
		for (size_t changes = below(6); changes > 0 && bytes.len > 0; changes--)
			bytes.data[below(bytes.len)] = (uint8_t)next_random();
		enum session_stage stage = SESSION_BOOTING;
		for (size_t done = 0; r == 0 && done < bytes.len;) {
			size_t piece = 1 + below(40);
			if (piece > bytes.len - done)
				piece = bytes.len - done;
			r = session_receive(&session, bytes.data + done, piece, &err);
			assert_true(session.stage >= stage);
			stage = session.stage;
			done += piece;
		}
		if (r < 0) {
			assert_true(err.kind == ERROR_GUEST || err.kind == ERROR_LIMIT);
			assert_string_not_equal(err.message, "");
		}
	}
}

static void test_job_refused(void **state)
{
	cleanup_free char *big = xmalloc(131073);
	memset(big, 'x', 131072);
	big[1] = '=';
	big[131072] = '\0';
	const struct {
		const char *env, *cwd, *part;
	} rows[] = {
		{"A=b", "/", NULL},
		{"A=b=c", "/x", NULL},
		{"A", "/", "\"A\" is not KEY=VALUE"},
		{"=x", "/", "\"=x\" is not KEY=VALUE"},
		{"", "/", "\"\" is not KEY=VALUE"},
		{big, "/", "environment: x has 131072 bytes, Linux takes at most 131071"},
		{"A=b", "x", "working directory \"x\""},
		{"A=b", "", "working directory \"\""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct error err = {0};
		const char *const env[] = {"OK=", rows[i].env, NULL};
		const struct vm_job job = {.script = "", .env = env, .cwd = rows[i].cwd};
		int r = request_check_job(&job, &err);
		if (rows[i].part == NULL) {
			assert_int_equal(r, 0);
			continue;
		}
		assert_true(r < 0);
		assert_int_equal(err.kind, ERROR_SPEC);
		if (strstr(err.message, rows[i].part) == NULL)
			fail_msg("%s: %s", rows[i].part, err.message);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_session_in_pieces),
		cmocka_unit_test(test_session_unpack),
		cmocka_unit_test(test_session_ask),
		cmocka_unit_test(test_session_unpack_refuses),
		cmocka_unit_test(test_session_long_script),
		cmocka_unit_test(test_session_refuses),
		cmocka_unit_test(test_session_accepts),
		cmocka_unit_test(test_session_resumed),
		cmocka_unit_test(test_session_hostile),
		cmocka_unit_test(test_job_refused),
	};
	return cmocka_run_group_tests_name("vm_session", tests, set_seed, NULL);
}
