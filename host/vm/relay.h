/*
 * The filter of the guest's packets: a process between QEMU's stream socket and that of what moves
 * the packets on, so that nothing the guest sends, as root there or from a QEMU that it took over,
 * gets past packet_may_leave. It holds these two sockets alone and can but read and write them.
 */
#ifndef LAYERVM_VM_RELAY_H
#define LAYERVM_VM_RELAY_H

#include "support/child.h"
#include "support/error.h"

/*
 * Starts it as a child of this process, with which it dies. guest, network: stream sockets (see
 * frames.h); the caller closes its own copies, and they no longer block. To the guest passes every
 * frame; neither direction waits for the other. It ends once one of them is closed by its other end
 * and what came from there has been passed on. The caller ends it by child_kill.
 */
int relay_start(int guest, int network, struct child *child, struct error *err);

/*
 * Waits for the end of a relay that has closed its sockets. Returns 0 where it ended as it should;
 * else an ERROR_QEMU tells why it could not work. The caller ends it by child_kill all the same.
 */
int relay_wait(const struct child *child, struct error *err);

#endif
