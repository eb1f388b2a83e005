#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol.h"
#include "setting.h"

#define INTERFACE "eth0"

/* Offsets in the payload of NETWORK. */
enum { AT_ADDRESS = 0, AT_PREFIX = 4, AT_GATEWAY = 8, AT_MTU = 12 };

int network_take(struct network *network, const void *payload, size_t length, struct fault *fault)
{
	const uint8_t *bytes = payload;
	if (length != NETWORK_SIZE)
		return fault_set(fault, "the host described a network in %zu bytes, not %d", length,
			NETWORK_SIZE);
	memcpy(network->address, bytes + AT_ADDRESS, sizeof(network->address));
	memcpy(network->gateway, bytes + AT_GATEWAY, sizeof(network->gateway));
	network->prefix = protocol_get_u32(bytes + AT_PREFIX);
	network->mtu = protocol_get_u32(bytes + AT_MTU);
	if (network->prefix < 1 || network->prefix > 32)
		return fault_set(fault, "the host's network has %u bits", network->prefix);
	network->wanted = true;
	return 0;
}

static struct sockaddr_in socket_address(const uint8_t bytes[static 4])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	memcpy(&address.sin_addr, bytes, 4);
	return address;
}

static struct sockaddr_in netmask(uint32_t prefix)
{
	struct sockaddr_in mask = {.sin_family = AF_INET};
	mask.sin_addr.s_addr = htonl((uint32_t)(UINT64_MAX << (32 - prefix)));
	return mask;
}

/* One request about the interface; address: what goes into it, NULL for none. */
static int change(int fd, unsigned long request, struct ifreq *ifreq,
	const struct sockaddr_in *address, struct fault *fault)
{
	memcpy(ifreq->ifr_name, INTERFACE, sizeof(INTERFACE));
	if (address != NULL)
		memcpy(&ifreq->ifr_addr, address, sizeof(*address));
	if (ioctl(fd, request, ifreq) < 0)
		return fault_set_errno(fault, "cannot set the network interface " INTERFACE " up");
	return 0;
}

/* All the way there is goes over IPv4: an address of the kernel's own would only be waited for. */
static int switch_ipv6_off(struct fault *fault)
{
	static const char path[] = "/proc/sys/net/ipv6/conf/" INTERFACE "/disable_ipv6";
	int r = setting_write(path, "1", fault);
	return r < 0 && errno == ENOENT ? 0 : r;
}

static int set_up(int fd, const struct network *network, struct fault *fault)
{
	const struct sockaddr_in address = socket_address(network->address);
	const struct sockaddr_in mask = netmask(network->prefix);
	const struct sockaddr_in gateway = socket_address(network->gateway);
	const struct sockaddr_in anywhere = {.sin_family = AF_INET};
	struct ifreq mtu = {.ifr_mtu = (int)network->mtu};
	struct ifreq flags = {.ifr_flags = IFF_UP};
	struct ifreq request = {0};
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	if (change(fd, SIOCSIFMTU, &mtu, NULL, fault) < 0 ||
		change(fd, SIOCSIFADDR, &request, &address, fault) < 0 ||
		change(fd, SIOCSIFNETMASK, &request, &mask, fault) < 0 ||
		change(fd, SIOCSIFFLAGS, &flags, NULL, fault) < 0)
		return -1;
	memcpy(&route.rt_dst, &anywhere, sizeof(anywhere));
	memcpy(&route.rt_genmask, &anywhere, sizeof(anywhere));
	memcpy(&route.rt_gateway, &gateway, sizeof(gateway));
	if (ioctl(fd, SIOCADDRT, &route) < 0)
		return fault_set_errno(fault, "cannot set the network's default route");
	return 0;
}

int network_prepare(const struct network *network, struct fault *fault)
{
	if (!network->wanted)
		return 0;
	if (switch_ipv6_off(fault) < 0)
		return -1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open a socket");
	int r = set_up(fd, network, fault);
	close(fd);
	return r;
}
