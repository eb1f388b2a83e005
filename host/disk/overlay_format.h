/* The qcow2 version 3 header and table entries: QEMU's docs/interop/qcow2.txt. Big-endian. */
#ifndef LAYERVM_DISK_OVERLAY_FORMAT_H
#define LAYERVM_DISK_OVERLAY_FORMAT_H

#include <stdint.h>

#include "disk/disk.h"

#define QCOW2_MAGIC 0x514649fbu /* "QFI\xfb" */
#define QCOW2_VERSION 3
#define QCOW2_CLUSTER_BITS 12
#define QCOW2_REFCOUNT_ORDER 4 /* refcounts of 1 << 4 bits */
#define QCOW2_HEADER_LENGTH 104

#define QCOW2_TABLE_ENTRIES (DISK_BLOCK_SIZE / sizeof(uint64_t))       /* in an L2 table */
#define QCOW2_REFCOUNTS_PER_BLOCK (DISK_BLOCK_SIZE / sizeof(uint16_t)) /* clusters it counts */

#define QCOW2_OFFSET_MASK 0x00fffffffffffe00ull /* of L1 and L2 entries */
#define QCOW2_COPIED (1ull << 63)               /* the refcount is exactly one */
#define QCOW2_COMPRESSED (1ull << 62)           /* L2 only */
#define QCOW2_ZERO 1ull                         /* L2 only */

struct qcow2_header {
	uint32_t magic;
	uint32_t version;
	uint64_t backing_file_offset;
	uint32_t backing_file_size;
	uint32_t cluster_bits;
	uint64_t size;
	uint32_t crypt_method;
	uint32_t l1_size;
	uint64_t l1_table_offset;
	uint64_t refcount_table_offset;
	uint32_t refcount_table_clusters;
	uint32_t nb_snapshots;
	uint64_t snapshots_offset;
	uint64_t incompatible_features;
	uint64_t compatible_features;
	uint64_t autoclear_features;
	uint32_t refcount_order;
	uint32_t header_length;
};

_Static_assert(sizeof(struct qcow2_header) == QCOW2_HEADER_LENGTH, "the header has no padding");

#endif
