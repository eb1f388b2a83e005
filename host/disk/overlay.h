/*
 * The allocation map of an overlay: which blocks of the virtual disk the guest wrote, and where
 * they are in the qcow2 file. Knows nothing of what the blocks hold.
 */
#ifndef LAYERVM_DISK_OVERLAY_H
#define LAYERVM_DISK_OVERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

/* The largest virtual disk that is made or read. */
#define OVERLAY_SIZE_MAX (UINT64_C(64) << 30)

/* Where the bytes of a block of the virtual disk are. */
enum overlay_place {
	OVERLAY_BASE, /* not in the overlay: as in the disk below it */
	OVERLAY_ZERO, /* all zeros, whatever the disk below holds */
	OVERLAY_DATA, /* in the overlay's file */
};

struct overlay;

/*
 * Reads the map of a qcow2 file as overlay_create and QEMU write it: version 3, clusters of
 * 4 KiB, without a backing file name, compression, encryption, snapshots or an external data
 * file. The file is taken as hostile; anything else is an ERROR_INPUT that says what was found.
 * Every table that exists is kept: 4 KiB for each 2 MiB of the disk that was written to.
 * fd: a regular file, open for reading; must stay open until overlay_free.
 */
int overlay_open(int fd, struct overlay **out, struct error *err);
void overlay_free(struct overlay *overlay);
static inline void cleanup_overlay_fn(struct overlay **overlay)
{
	overlay_free(*overlay);
}
#define cleanup_overlay __attribute__((cleanup(cleanup_overlay_fn)))

/* The virtual disk's size in bytes. */
uint64_t overlay_size(const struct overlay *overlay);

/*
 * Where block number `block` (of DISK_BLOCK_SIZE bytes) is. *offset: for OVERLAY_DATA its byte
 * in the overlay's file, else unchanged. Blocks past the virtual disk's end are OVERLAY_BASE.
 */
enum overlay_place overlay_lookup(const struct overlay *overlay, uint64_t block, uint64_t *offset);

/* Whether the guest wrote the block at all. */
bool overlay_holds(const struct overlay *overlay, uint64_t block);

/*
 * Reads len bytes of the overlay's file at an offset that overlay_lookup gave, within one run of
 * blocks that follow one another there. What the file lacks of its last cluster reads as zeros,
 * as QEMU has it.
 */
int overlay_read(
	const struct overlay *overlay, void *data, size_t len, uint64_t offset, struct error *err);

#endif
