/* The one network interface, where the host gives one. */
#ifndef GUEST_INIT_NETWORK_H
#define GUEST_INIT_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

struct network {
	bool wanted;
	uint8_t address[4]; /* IPv4, in network byte order */
	uint8_t gateway[4];
	uint32_t prefix; /* bits of the network's part of the address */
	uint32_t mtu;
};

/* Takes the payload of NETWORK. */
int network_take(struct network *network, const void *payload, size_t length, struct fault *fault);

/* Has eth0 up with just these addresses; without IPv6. Its module is loaded by now. */
int network_prepare(const struct network *network, struct fault *fault);

#endif
