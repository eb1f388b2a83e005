/* Which of the guest's packets may go to the network: a question about bytes alone. */
#ifndef LAYERVM_VM_PACKETS_H
#define LAYERVM_VM_PACKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The header of an Ethernet frame: two addresses and the type (IEEE 802.3, without tags). */
#define ETHERNET_HEADER 14

#define ETHER_TYPE_IPV4 0x0800
#define ETHER_TYPE_ARP 0x0806

/*
 * Whether a frame that the guest sends may leave it: ARP for IPv4, or IPv4 with a sound header to
 * an address that is another machine's. What moves the packets on (passt) opens a connection to
 * whatever address a packet names, so that the addresses that mean this very machine (RFC 1122,
 * 3.2.1.3: 0.0.0.0/8 and 127.0.0.0/8) and those that are no single machine's (224.0.0.0/4,
 * 240.0.0.0/4) are not let through; nor is anything that it might read in another way than this
 * function does. Fragments each have the header. frame: without the check sequence, which virtual
 * networks do not have.
 */
bool packet_may_leave(const uint8_t *frame, size_t len);

#endif
