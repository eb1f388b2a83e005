/*
 * The guest's way to the network: passt, a program that turns the guest's packets into connections
 * of an ordinary user's. It confines itself, behind a filter of ours (wall.h) that is there from
 * its start. What the guest sends comes to it by a filter of ours (relay.h), whose other socket is
 * for QEMU: passt connects to whatever address it is told, and the host's loopback is to be out of
 * the guest's reach.
 */
#ifndef LAYERVM_VM_PASST_H
#define LAYERVM_VM_PASST_H

#include <stdbool.h>

#include "support/child.h"
#include "support/error.h"
#include "vm/vm.h"

/* Queries of the guest to this address go to the host's own name server. */
#define PASST_NAME_SERVER "198.51.100.3"

struct passt {
	struct child child;
	struct child relay;
	struct vm_network network; /* for vm_run; its descriptor is -1 where there is none */
	int messages;              /* what passt writes to standard error, not blocking */
};
#define PASST_NONE                                                                                 \
	((struct passt){                                                                           \
		.child = CHILD_NONE, .relay = CHILD_NONE, .network = {.fd = -1}, .messages = -1})

/*
 * Starts passt and the filter, and waits until passt answers. Fails with ERROR_QEMU where it is not
 * installed, cannot be started or ends, with its last words; where the filter cannot be confined;
 * with ERROR_INTERRUPTED. Both end when nobody holds network.fd any more, and so with QEMU and
 * layervm. The caller frees it in every case by passt_free.
 */
int passt_start(struct passt *passt, struct error *err);

/* Whether one of both has ended before its time; words: why, as far as it was said; the caller's
 * to free; NULL for none. */
bool passt_has_ended(const struct passt *passt, char **words);

/* Ends both, if there are any. */
void passt_free(struct passt *passt);
#define cleanup_passt __attribute__((cleanup(passt_free)))

#endif
