#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "random_tree.h"
#include "support/buffer.h"
#include "support/confine.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/frames.h"
#include "vm/relay.h"

#define DEADLINE_MS 60000
#define STREAM_FRAMES 400

/* A relay and the other ends of its sockets. */
struct rig {
	struct child relay;
	int guest, network;
};

static int rig_setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));
	struct error err;
	int guest[2], network[2];
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, guest), 0);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, network), 0);
	/* The kernel holds little of what the relay sends, so that it has to hold the rest. */
	assert_int_equal(
		setsockopt(network[1], SOL_SOCKET, SO_SNDBUF, &(int){8192}, sizeof(int)), 0);
	assert_int_equal(relay_start(guest[1], network[1], &rig->relay, &err), 0);
	close(guest[1]);
	close(network[1]);
	rig->guest = guest[0];
	rig->network = network[0];
	*state = rig;
	return 0;
}

static int rig_teardown(void **state)
{
	struct rig *rig = *state;
	child_kill(&rig->relay);
	cleanup_close_fn(&rig->guest);
	cleanup_close_fn(&rig->network);
	free(rig);
	return 0;
}

static void close_end(int *fd)
{
	close(*fd);
	*fd = -1;
}

/* An IPv4 packet to an address that begins with `net`. */
static void add_packet(struct buffer *stream, size_t payload, uint8_t net)
{
	const size_t total = 20 + payload, len = ETHERNET_HEADER + total;
	const uint8_t head[FRAME_LENGTH_SIZE + ETHERNET_HEADER + 20] = {0, (uint8_t)(len >> 16),
		(uint8_t)(len >> 8), (uint8_t)len, [16] = 8, 0, /* IPv4 */
		0x45, 0, (uint8_t)(total >> 8), (uint8_t)total, [34] = net, 0, 0, 1};
	cleanup_free uint8_t *body = xmalloc(payload + 1);
	memset(body, (int)payload, payload + 1);
	buffer_add(stream, head, sizeof(head));
	buffer_add(stream, body, payload);
}

/* A way through the relay: what is sent at one end and has come at the other. */
struct way {
	int from, to;
	struct buffer stream;
	size_t sent;
	struct buffer expected, came;
};

static bool is_done(const struct way *way)
{
	return way->sent == way->stream.len && way->came.len >= way->expected.len;
}

/* At most so many bytes in and out; both ends do not block. */
static void step(struct way *way, struct random *random, uint32_t most)
{
	static uint8_t bytes[65536];
	size_t len = 1 + random_below(random, most);
	if (len > way->stream.len - way->sent)
		len = way->stream.len - way->sent;
	ssize_t n = len > 0 ? write(way->from, way->stream.data + way->sent, len) : 0;
	assert_true(n >= 0 || errno == EAGAIN);
	way->sent += n > 0 ? (size_t)n : 0;
	n = read(way->to, bytes, 1 + random_below(random, most));
	assert_true(n > 0 || (n < 0 && errno == EAGAIN));
	if (n > 0)
		buffer_add(&way->came, bytes, (size_t)n);
}

static void wait_for_more(const struct way ways[2])
{
	struct pollfd fds[4];
	for (size_t i = 0; i < 2; i++) {
		const bool all = ways[i].sent == ways[i].stream.len;
		fds[2 * i] = (struct pollfd){all ? -1 : ways[i].from, POLLOUT, 0};
		fds[2 * i + 1] = (struct pollfd){ways[i].to, POLLIN, 0};
	}
	assert_true(poll(fds, 4, DEADLINE_MS) > 0);
}

static void check_way(struct way *way)
{
	assert_int_equal(way->came.len, way->expected.len);
	assert_memory_equal(way->came.data, way->expected.data, way->expected.len);
	buffer_free(&way->stream);
	buffer_free(&way->expected);
	buffer_free(&way->came);
}

/* Both ways at once, in pieces of any length: the guest's are filtered, the network's are not. */
static void test_streams(void **state)
{
	const struct rig *rig = *state;
	struct random random = {random_seed()};
	struct way ways[2] = {
		{.from = rig->guest, .to = rig->network}, {.from = rig->network, .to = rig->guest}};
	for (int i = 0; i < STREAM_FRAMES; i++) {
		const bool may = random_below(&random, 2) == 0;
		const size_t payload =
			random_below(&random, random_below(&random, 4) == 0 ? 65516 : 1481);
		add_packet(&ways[0].stream, payload, may ? 192 : 127);
		if (may)
			add_packet(&ways[0].expected, payload, 192);
		add_packet(&ways[1].stream, payload, may ? 192 : 127);
		add_packet(&ways[1].expected, payload, may ? 192 : 127);
	}
	while (!is_done(&ways[0]) || !is_done(&ways[1])) {
		wait_for_more(ways);
		step(&ways[0], &random, 65536);
		step(&ways[1], &random, 65536);
	}
	check_way(&ways[0]);
	check_way(&ways[1]);
}

/* Writes packets until the other side takes no more. Returns how many bytes it took. */
static size_t fill(int fd)
{
	cleanup_buffer struct buffer packets = {0};
	size_t sent = 0;
	for (int i = 0; i < 1000; i++)
		add_packet(&packets, 1480, 192);
	for (;;) {
		ssize_t n = write(fd, packets.data + sent, packets.len - sent);
		if (n > 0) {
			sent += (size_t)n;
			assert_true(sent < packets.len);
			continue;
		}
		assert_int_equal(errno, EAGAIN);
		struct pollfd out = {.fd = fd, .events = POLLOUT};
		if (poll(&out, 1, 200) == 0) /* the relay has had time to take what it takes */
			return sent;
	}
}

static void read_exactly(int fd, uint8_t *bytes, size_t len)
{
	while (len > 0) {
		struct pollfd in = {.fd = fd, .events = POLLIN};
		assert_true(poll(&in, 1, DEADLINE_MS) > 0);
		ssize_t n = read(fd, bytes, len);
		assert_true(n > 0);
		bytes += n;
		len -= (size_t)n;
	}
}

/* Where nobody takes what goes one way, bounded memory holds it and the other way is open. */
static void check_stuck(int from, int other)
{
	cleanup_buffer struct buffer packet = {0};
	uint8_t came[FRAME_LENGTH_SIZE + ETHERNET_HEADER + 20];
	assert_true(fill(from) > FRAMES_SIZE - FRAME_MAX);
	add_packet(&packet, 0, 192);
	assert_int_equal(write(other, packet.data, packet.len), (ssize_t)packet.len);
	read_exactly(from, came, sizeof(came));
	assert_memory_equal(came, packet.data, sizeof(came));
}

static void test_network_is_stuck(void **state)
{
	const struct rig *rig = *state;
	check_stuck(rig->guest, rig->network);
}

static void test_guest_is_stuck(void **state)
{
	const struct rig *rig = *state;
	check_stuck(rig->network, rig->guest);
}

static void await_end(const struct rig *rig)
{
	struct pollfd end = {.fd = rig->relay.pidfd, .events = POLLIN};
	struct error err;
	assert_int_equal(poll(&end, 1, DEADLINE_MS), 1);
	assert_int_equal(relay_wait(&rig->relay, &err), 0);
}

/* It ends with either side, after what that one had sent was passed on. */
static void test_end(void **state)
{
	struct rig *rig = *state;
	static uint8_t bytes[65536];
	cleanup_buffer struct buffer packets = {0}, came = {0};
	ssize_t n;
	for (int i = 0; i < 60; i++)
		add_packet(&packets, 1480, 192);
	assert_int_equal(write(rig->guest, packets.data, packets.len), (ssize_t)packets.len);
	close_end(&rig->guest);
	struct pollfd end = {.fd = rig->relay.pidfd, .events = POLLIN};
	assert_int_equal(poll(&end, 1, 200), 0);
	struct pollfd in = {.fd = rig->network, .events = POLLIN};
	while (poll(&in, 1, DEADLINE_MS) > 0 && (n = read(rig->network, bytes, sizeof(bytes))) > 0)
		buffer_add(&came, bytes, (size_t)n);
	assert_int_equal(came.len, packets.len);
	assert_memory_equal(came.data, packets.data, packets.len);
	await_end(rig);
}

static void test_end_of_network(void **state)
{
	struct rig *rig = *state;
	close_end(&rig->network);
	await_end(rig);
}

/* What has nowhere to go keeps nothing alive. */
static void test_end_of_both(void **state)
{
	struct rig *rig = *state;
	fill(rig->guest);
	fill(rig->network);
	close_end(&rig->guest);
	close_end(&rig->network);
	await_end(rig);
}

static void test_killed(void **state)
{
	const struct rig *rig = *state;
	struct error err;
	assert_int_equal(kill(rig->relay.pid, SIGKILL), 0);
	assert_int_equal(relay_wait(&rig->relay, &err), -EIO);
	assert_int_equal(err.kind, ERROR_QEMU);
	assert_string_equal(err.message, "the filter of the guest's packets was ended by signal 9");
}

/* Its descriptors are two sockets (and what a sanitizer writes to), and it is filtered. */
static void test_confinement(void **state)
{
	const struct rig *rig = *state;
	cleanup_buffer struct buffer packet = {0}, status = {0};
	uint8_t came[FRAME_LENGTH_SIZE + ETHERNET_HEADER + 20];
	struct error err;
	add_packet(&packet, 0, 192);
	assert_int_equal(write(rig->guest, packet.data, packet.len), (ssize_t)packet.len);
	read_exactly(rig->network, came, sizeof(came)); /* it is at work, and so confined */

	cleanup_free char *path = xasprintf("/proc/%ld/fd", (long)rig->relay.pid);
	DIR *dir = opendir(path);
	int sockets = 0, others = 0;
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		char target[64] = "";
		if (entry->d_name[0] == '.')
			continue;
		assert_true(readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0);
		if (CONFINE_CALLS || strcmp(entry->d_name, "2") != 0) {
			sockets += strncmp(target, "socket:", 7) == 0;
			others += strncmp(target, "socket:", 7) != 0;
		}
	}
	closedir(dir);
	assert_int_equal(sockets, 2);
	assert_int_equal(others, 0);

	cleanup_free char *status_path = xasprintf("/proc/%ld/status", (long)rig->relay.pid);
	cleanup_close int fd = open(status_path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(file_read_all(fd, 65536, &status, status_path, &err), 0);
	cleanup_free char *text = buffer_steal_text(&status);
	assert_non_null(strstr(text, CONFINE_CALLS ? "\nSeccomp:\t2\n" : "\nSeccomp:\t"));
	assert_int_equal(getpgid(rig->relay.pid), rig->relay.pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_streams, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_network_is_stuck, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_guest_is_stuck, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_end, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_end_of_network, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_end_of_both, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_killed, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_confinement, rig_setup, rig_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
