/*
 * QEMU's control channel (docs/interop/qmp-spec.txt): one command at a time over a stream socket,
 * and the events that tell how a migration goes. QEMU is believed here: it is spoken to only while
 * no guest has run in it yet, or one that has seen nothing but our own files.
 */
#ifndef LAYERVM_VM_QMP_H
#define LAYERVM_VM_QMP_H

#include <stdbool.h>
#include <stdint.h>

#include "support/buffer.h"
#include "support/error.h"

enum qmp_migration { QMP_MIGRATION_NONE, QMP_MIGRATION_DONE, QMP_MIGRATION_FAILED };

struct qmp {
	int fd;           /* not blocking; -1: none */
	int64_t deadline; /* milliseconds of the monotonic clock: all must be done by then */
	struct buffer in; /* the part of a line that came so far */
	enum qmp_migration migration;
	bool greeted; /* QEMU has begun to speak */
};

/*
 * Waits for QEMU's greeting and leaves the negotiation of capabilities; migrations, the memory in
 * a shared file left out, are told by events from then on. All functions fail with ERROR_QEMU
 * where QEMU closes the channel, says something else than is expected, refuses a command (in its
 * words) or passes the deadline; with ERROR_INTERRUPTED.
 */
int qmp_greet(struct qmp *qmp, struct error *err);

/* Executes a command without arguments, such as "cont". */
int qmp_execute(struct qmp *qmp, const char *name, struct error *err);

/*
 * Saves the machine, which must be stopped, to a file, or has one that was started to wait for it
 * (-incoming defer) load it; returns when that is done. fd: a regular file, for writing or reading.
 */
int qmp_save(struct qmp *qmp, int fd, struct error *err);
int qmp_load(struct qmp *qmp, int fd, struct error *err);

/* Closes the channel. */
void qmp_free(struct qmp *qmp);

#endif
