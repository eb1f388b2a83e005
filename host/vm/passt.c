#include "vm/passt.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/interrupt.h"
#include "support/memory.h"
#include "support/wall.h"
#include "vm/packets.h"
#include "vm/qemu_args.h"
#include "vm/relay.h"

/*
 * Addresses of RFC 5737 that no network should have, since the guest cannot reach what else has
 * them. Nobody but passt ever sees them.
 */
#define ADDRESS "198.51.100.2"
#define GATEWAY "198.51.100.1"
#define PREFIX 24
#define PREFIX_TEXT "24"

/* The longest packet that passt and virtio-net take in one piece. */
#define MTU 65520

#define SOCKET_FD 3 /* passt's end of the pair, there */
#define SOCKET_BUFFER (4 << 20)
#define ANSWER_SECONDS 30
#define WORDS_MAX 1024

static const char *const arguments[] = {"passt", "--foreground", "--stderr", "--fd", "3",
	/* Nothing is left to guess or to ask for: the guest is told its addresses by its init. */
	"--ipv4-only", "--address", ADDRESS, "--netmask", PREFIX_TEXT, "--gateway", GATEWAY,
	"--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra",
	/* Else the gateway's address would lead to the host's loopback; packets to the loopback's
	   own addresses do not come here (relay.h). */
	"--no-map-gw", "--dns-forward", PASST_NAME_SERVER,
	/* Nothing comes in. */
	"--tcp-ports", "none", "--udp-ports", "none", NULL};

/* An ARP packet for IPv4 over Ethernet (RFC 826), as QEMU's stream sockets frame it. */
struct arp_frame {
	uint32_t length; /* of what follows */
	uint8_t to[6];
	uint8_t from[6];
	uint16_t ether_type;
	uint16_t hardware, protocol;
	uint8_t hardware_len, protocol_len;
	uint16_t operation;
	uint8_t sender[6], sender_address[4];
	uint8_t target[6], target_address[4];
} __attribute__((packed));
#define ARP_SIZE 42
_Static_assert(sizeof(struct arp_frame) == 4 + ARP_SIZE, "RFC 826");

#define ARP_REQUEST 1
#define ARP_REPLY 2

static struct arp_frame make_request(const struct vm_network *network)
{
	struct arp_frame frame = {
		.length = htonl(ARP_SIZE),
		.to = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		.ether_type = htons(ETHER_TYPE_ARP),
		.hardware = htons(1),
		.protocol = htons(ETHER_TYPE_IPV4),
		.hardware_len = 6,
		.protocol_len = 4,
		.operation = htons(ARP_REQUEST),
	};
	static const uint8_t mac[6] = {QEMU_MAC_BYTES};
	memcpy(frame.from, mac, sizeof(mac));
	memcpy(frame.sender, mac, sizeof(mac));
	memcpy(frame.sender_address, network->address, sizeof(network->address));
	memcpy(frame.target_address, network->gateway, sizeof(network->gateway));
	return frame;
}

/* The last line that says something; what passt could not log elsewhere is said twice. */
static char *last_words(const struct passt *passt)
{
	char text[WORDS_MAX];
	char *words = NULL;
	size_t len = 0;
	ssize_t n;
	while (len < sizeof(text) - 1 &&
		(n = read(passt->messages, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	char *rest = text;
	for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
		if (*line == '\0' || strncmp(line, "Failed to send ", 15) == 0)
			continue;
		free(words);
		words = xstrdup(line);
	}
	return words;
}

static int say_it_ended(const struct passt *passt, struct error *err)
{
	cleanup_free char *words = last_words(passt);
	return error_set(err, ERROR_QEMU, EIO, "passt, which --network user takes, ended: %s",
		words != NULL ? words : "it did not say why");
}

/* The relay has closed the socket: by its own fault, or because passt had closed its one. */
static int say_it_closed(const struct passt *passt, struct error *err)
{
	int r = relay_wait(&passt->relay, err);
	return r < 0 ? r : say_it_ended(passt, err);
}

/* Waits for bytes on the socket. */
static int await(const struct passt *passt, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = passt->network.fd, .events = POLLIN},
		{.fd = passt->child.pidfd, .events = POLLIN},
		{.fd = interrupt_fd(), .events = POLLIN},
	};
	int n = poll(fds, sizeof(fds) / sizeof(fds[0]), ANSWER_SECONDS * 1000);
	int r = interrupt_check(err);
	if (r < 0)
		return r;
	if (n < 0 && errno != EINTR)
		return error_set_errno(err, ERROR_INTERNAL, "poll");
	if (n == 0)
		return error_set(err, ERROR_QEMU, ETIMEDOUT,
			"passt, which --network user takes, did not answer in %d seconds",
			ANSWER_SECONDS);
	if (fds[1].revents != 0 && fds[0].revents == 0)
		return say_it_ended(passt, err);
	return 0;
}

/*
 * Asks for the gateway's hardware address: the answer shows that passt and the relay are ready,
 * and the socket is as new afterwards.
 */
static int ask(const struct passt *passt, struct error *err)
{
	const struct arp_frame request = make_request(&passt->network);
	struct arp_frame reply = {0};
	size_t have = 0;
	ssize_t n = send(passt->network.fd, &request, sizeof(request), MSG_NOSIGNAL);
	if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
		return say_it_closed(passt, err);
	if (n != (ssize_t)sizeof(request))
		return error_set_errno(err, ERROR_QEMU, "cannot send to passt");
	while (have < sizeof(reply)) {
		int r = await(passt, err);
		if (r < 0)
			return r;
		n = recv(passt->network.fd, (char *)&reply + have, sizeof(reply) - have,
			MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return say_it_closed(passt, err);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return error_set_errno(err, ERROR_QEMU, "cannot receive from passt");
		have += n > 0 ? (size_t)n : 0;
	}
	if (reply.length != htonl(ARP_SIZE) || reply.ether_type != htons(ETHER_TYPE_ARP) ||
		reply.operation != htons(ARP_REPLY))
		return error_set(err, ERROR_QEMU, EPROTO,
			"passt sent something else than the answer to the first packet");
	return 0;
}

static int start(struct passt *passt, int socket, struct error *err)
{
	cleanup_free char *path = child_find("passt");
	if (path == NULL)
		return error_set(err, ERROR_QEMU, ENOENT,
			"passt, which --network user takes, not found; install the package passt");
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null: cannot be opened");
	cleanup_close int messages = -1;
	int r = child_pipe(&passt->messages, &messages, err);
	if (r < 0)
		return r;
	static const char *const env[] = {"LC_ALL=C", "PATH=/usr/bin:/bin", NULL};
	static const struct child_limit limits[] = {{RLIMIT_CORE, {0, 0}}, {RLIMIT_FSIZE, {0, 0}}};
	const int fds[] = {null, null, messages, [SOCKET_FD] = socket};
	struct wall wall;
	wall_make(WALL_OUTER, &wall);
	const struct child_options options = {
		.path = path,
		.argv = arguments,
		.env = env,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(fds[0]),
		.dir = -1,
		.death_signal = SIGKILL,
		.privileges = CHILD_NO_NEW_PRIVILEGES,
		.wall = &wall,
		.signals = CHILD_SIGNALS_DEFAULT,
		.limits = limits,
		.limit_count = sizeof(limits) / sizeof(limits[0]),
		.failure = "passt cannot be started",
		.failure_kind = ERROR_QEMU,
	};
	return child_start(&options, &passt->child, err);
}

/*
 * Has the kernel hold as much as it may of what is sent from there: passt drops packets that find
 * no room, and the connections that they belong to wait for a second or more.
 */
static void widen(int socket)
{
	const int size = SOCKET_BUFFER;
	setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* a wish: less works too */
}

/* Starts both processes; they hold the only copies of their sockets, whose ends are seen so. */
static int start_both(struct passt *passt, int relay_socket, struct error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pair of sockets");
	cleanup_close int from_relay = pair[0];
	cleanup_close int theirs = pair[1];
	widen(theirs);
	int r = start(passt, theirs, err);
	return r < 0 ? r : relay_start(relay_socket, from_relay, &passt->relay, err);
}

int passt_start(struct passt *passt, struct error *err)
{
	int pair[2];
	*passt = PASST_NONE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pair of sockets");
	cleanup_close int theirs = pair[1];
	passt->network = (struct vm_network){.fd = pair[0], .prefix = PREFIX, .mtu = MTU};
	inet_pton(AF_INET, ADDRESS, passt->network.address);
	inet_pton(AF_INET, GATEWAY, passt->network.gateway);
	int r = start_both(passt, theirs, err);
	if (r < 0)
		return r;
	close(steal_fd(&theirs));
	return ask(passt, err);
}

bool passt_has_ended(const struct passt *passt, char **words)
{
	struct pollfd ends[] = {{.fd = passt->child.pidfd, .events = POLLIN},
		{.fd = passt->relay.pidfd, .events = POLLIN}};
	struct error err;
	*words = NULL;
	if (poll(ends, sizeof(ends) / sizeof(ends[0]), 0) <= 0)
		return false;
	/* Where the relay failed, passt just says that its socket was closed. */
	if (ends[1].revents != 0 && relay_wait(&passt->relay, &err) < 0)
		*words = xstrdup(err.message);
	else
		*words = last_words(passt);
	return true;
}

void passt_free(struct passt *passt)
{
	child_kill(&passt->relay);
	child_kill(&passt->child);
	cleanup_close_fn(&passt->network.fd);
	cleanup_close_fn(&passt->messages);
	*passt = PASST_NONE;
}
