/* QMP against a QEMU that a thread plays: each line it gets, and what it answers. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/memory.h"
#include "vm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"
#define OK "{\"return\": {}}\r\n"
#define STATUS(text)                                                                               \
	"{\"timestamp\": {\"seconds\": 1}, \"event\": \"MIGRATION\", \"data\": {\"status\": "      \
	"\"" text "\"}}\r\n"

/* Answers to the lines that come, in order; NULL at the end. The first is sent unasked. */
struct play {
	int fd;
	const char *const *answers;
	size_t piece; /* bytes that are sent at once; 0: all */
	char heard[4096];
	int passed; /* descriptors that came along */
	pthread_t thread;
};

static void say(const struct play *play, const char *text)
{
	size_t len = strlen(text);
	size_t piece = play->piece != 0 ? play->piece : len;
	for (size_t at = 0; at < len; at += piece) {
		size_t n = len - at < piece ? len - at : piece;
		if (send(play->fd, text + at, n, MSG_NOSIGNAL) != (ssize_t)n)
			return;
	}
}

/* Reads one line, with a descriptor where one comes. Returns whether there was one. */
static bool hear(struct play *play)
{
	char c = 0;
	char control[CMSG_SPACE(sizeof(int))];
	do {
		struct iovec part = {.iov_base = &c, .iov_len = 1};
		struct msghdr message = {.msg_iov = &part,
			.msg_iovlen = 1,
			.msg_control = control,
			.msg_controllen = sizeof(control)};
		if (recvmsg(play->fd, &message, 0) <= 0)
			return false;
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		if (header != NULL && header->cmsg_type == SCM_RIGHTS) {
			int fd;
			memcpy(&fd, CMSG_DATA(header), sizeof(fd));
			close(fd);
			play->passed++;
		}
		size_t len = strlen(play->heard);
		play->heard[len] = c;
		play->heard[len + 1] = '\0';
	} while (c != '\n');
	return true;
}

static void *perform(void *data)
{
	struct play *play = data;
	for (const char *const *answer = play->answers; *answer != NULL; answer++) {
		if (answer != play->answers && !hear(play))
			break;
		say(play, *answer);
	}
	shutdown(play->fd, SHUT_WR);
	return NULL;
}

static struct qmp begin(struct play *play, const char *const *answers)
{
	int pair[2];
	struct timespec now;
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), errno);
	assert_return_code(fcntl(pair[0], F_SETFL, O_NONBLOCK), errno);
	play->fd = pair[1];
	play->answers = answers;
	assert_int_equal(pthread_create(&play->thread, NULL, perform, play), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (struct qmp){.fd = pair[0], .deadline = (int64_t)now.tv_sec * 1000 + 20000};
}

static void end(struct play *play, struct qmp *qmp)
{
	qmp_free(qmp);
	pthread_join(play->thread, NULL);
	close(play->fd);
}

/* The whole of a restore, in pieces of every length, with events between the answers. */
static void test_load(void **state)
{
	static const char *const answers[] = {
		GREETING, OK, OK, OK, STATUS("setup") OK STATUS("active"), NULL};
	static const char *const last[] = {GREETING, OK, OK, OK,
		STATUS("setup") OK STATUS("active") STATUS("completed"), OK, NULL};
	(void)state;
	for (size_t piece = 0; piece < 20; piece++) {
		struct play play = {.piece = piece};
		struct error err;
		struct qmp qmp = begin(&play, last);
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		assert_true(null >= 0);
		assert_int_equal(qmp_greet(&qmp, &err), 0);
		assert_int_equal(qmp_load(&qmp, null, &err), 0);
		assert_int_equal(qmp_execute(&qmp, "cont", &err), 0);
		close(null);
		end(&play, &qmp);
		assert_int_equal(play.passed, 1);
		assert_string_equal(play.heard,
			"{\"execute\":\"qmp_capabilities\",\"arguments\":{}}\n"
			"{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":"
			"[{\"capability\":\"x-ignore-shared\",\"state\":true},"
			"{\"capability\":\"events\",\"state\":true}]}}\n"
			"{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}\n"
			"{\"execute\":\"migrate-incoming\",\"arguments\":{\"uri\":\"fd:state\"}}\n"
			"{\"execute\":\"cont\",\"arguments\":{}}\n");
	}
	struct play play = {0};
	struct error err;
	struct qmp qmp = begin(&play, answers);
	assert_int_equal(qmp_greet(&qmp, &err), 0);
	assert_int_equal(qmp_load(&qmp, play.fd, &err), -EPIPE);
	end(&play, &qmp);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *answers[8];
		const char *words;
	} cases[] = {
		{{"", NULL}, "closed its control channel"},
		{{"{\"QMP\": {}}", NULL}, "closed its control channel"},
		{{"hello\r\n", NULL}, "a line that is no JSON object"},
		{{"[]\r\n", NULL}, "a line that is no JSON object"},
		{{"{}\r\n", NULL}, "does not begin with a greeting"},
		{{"\r\n", NULL}, "a line that is no JSON object"},
		{{GREETING,
			 "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such\"}}\r\n",
			 NULL},
			"QEMU refused \"qmp_capabilities\": no such"},
		{{GREETING, "{\"error\": 7}\r\n", NULL},
			"QEMU refused \"qmp_capabilities\": no reason given"},
		{{GREETING, OK, OK, OK, OK STATUS("failed"), NULL},
			"QEMU could not load its state"},
		{{GREETING, OK, OK, OK,
			 "{\"event\": 3, \"data\": []}\r\n" OK "{\"event\": null}\r\n", NULL},
			"closed its control channel"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct play play = {0};
		struct error err = {0};
		struct qmp qmp = begin(&play, cases[i].answers);
		int r = qmp_greet(&qmp, &err);
		if (r == 0)
			r = qmp_load(&qmp, play.fd, &err);
		end(&play, &qmp);
		if (r == 0 || strstr(err.message, cases[i].words) == NULL)
			fail_msg("case %zu: %d, %s", i, r, err.message);
		assert_int_equal(err.kind, ERROR_QEMU);
	}
}

/* A line without an end is not kept for ever. */
static void test_long_line(void **state)
{
	cleanup_free char *line = xmalloc(200001);
	const char *const answers[] = {line, NULL};
	struct play play = {0};
	struct error err;
	(void)state;
	memset(line, ' ', 200000);
	line[200000] = '\0';
	struct qmp qmp = begin(&play, answers);
	assert_int_equal(qmp_greet(&qmp, &err), -EPROTO);
	assert_non_null(strstr(err.message, "a line of more than 65536 bytes"));
	end(&play, &qmp);
}

static void test_deadline(void **state)
{
	static const char *const answers[] = {GREETING, OK, "", NULL};
	struct play play = {0};
	struct error err;
	(void)state;
	struct qmp qmp = begin(&play, answers);
	qmp.deadline -= 20000;
	assert_int_equal(qmp_greet(&qmp, &err), -ETIMEDOUT);
	assert_int_equal(err.kind, ERROR_QEMU);
	end(&play, &qmp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_wrong),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_deadline),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
