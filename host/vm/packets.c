#include "vm/packets.h"

/* An IPv4 header without options (RFC 791, 3.1). */
#define IPV4_HEADER_MIN 20
#define IPV4_TOTAL_LENGTH 2
#define IPV4_DESTINATION 16

/* ARP for IPv4 over Ethernet (RFC 826). */
#define ARP_SIZE 28

static unsigned read_16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static bool may_be_sent_to(const uint8_t address[4])
{
	return address[0] != 0 && address[0] != 127 && address[0] < 224;
}

static bool ipv4_may_leave(const uint8_t *packet, size_t len)
{
	if (len < IPV4_HEADER_MIN || packet[0] >> 4 != 4)
		return false;
	const size_t header = (packet[0] & 0xfU) * 4;
	const size_t total = read_16(packet + IPV4_TOTAL_LENGTH);
	if (header < IPV4_HEADER_MIN || total < header || total > len)
		return false;
	return may_be_sent_to(packet + IPV4_DESTINATION);
}

bool packet_may_leave(const uint8_t *frame, size_t len)
{
	if (len < ETHERNET_HEADER)
		return false;
	const uint8_t *packet = frame + ETHERNET_HEADER;
	len -= ETHERNET_HEADER;
	switch (read_16(packet - 2)) {
	case ETHER_TYPE_ARP:
		return len >= ARP_SIZE;
	case ETHER_TYPE_IPV4:
		return ipv4_may_leave(packet, len);
	default:
		return false;
	}
}
