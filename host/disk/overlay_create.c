#include <endian.h>
#include <errno.h>
#include <unistd.h>

#include "disk/disk.h"
#include "disk/overlay.h"
#include "disk/overlay_format.h"
#include "support/fileio.h"

static uint64_t div_up(uint64_t n, uint64_t by)
{
	return n / by + (n % by != 0);
}

/* In clusters. The file is: header, refcount table, one refcount block, L1 table. */
struct layout {
	uint64_t l1_entries;
	uint64_t refcount_table; /* length; it begins at cluster 1 */
	uint64_t refcount_block;
	uint64_t l1_table;
	uint64_t total;
};

static struct layout plan(uint64_t size)
{
	struct layout l = {.l1_entries = div_up(size, DISK_BLOCK_SIZE * QCOW2_TABLE_ENTRIES)};
	uint64_t l1_clusters = div_up(l.l1_entries, QCOW2_TABLE_ENTRIES);
	/*
	 * Room in the refcount table for a disk that is written all over, so that QEMU never
	 * has to move it: data, L2 tables and refcount blocks, which count themselves too.
	 */
	uint64_t counted = size / DISK_BLOCK_SIZE + l.l1_entries + l1_clusters + 2;
	uint64_t blocks = div_up(counted, QCOW2_REFCOUNTS_PER_BLOCK - 1) + 1;
	l.refcount_table = div_up(blocks, QCOW2_TABLE_ENTRIES);
	l.refcount_block = 1 + l.refcount_table;
	l.l1_table = l.refcount_block + 1;
	l.total = l.l1_table + l1_clusters;
	return l;
}

int overlay_create(int fd, uint64_t size, struct error *err)
{
	if (size == 0 || size % DISK_BLOCK_SIZE != 0 || size > OVERLAY_SIZE_MAX)
		return error_set(err, ERROR_INTERNAL, EINVAL,
			"overlay: a disk of %llu bytes: a multiple of %d up to %llu is possible",
			(unsigned long long)size, DISK_BLOCK_SIZE,
			(unsigned long long)OVERLAY_SIZE_MAX);

	struct layout l = plan(size);
	const struct qcow2_header header = {
		.magic = htobe32(QCOW2_MAGIC),
		.version = htobe32(QCOW2_VERSION),
		.cluster_bits = htobe32(QCOW2_CLUSTER_BITS),
		.size = htobe64(size),
		.l1_size = htobe32((uint32_t)l.l1_entries),
		.l1_table_offset = htobe64(l.l1_table * DISK_BLOCK_SIZE),
		.refcount_table_offset = htobe64(DISK_BLOCK_SIZE),
		.refcount_table_clusters = htobe32((uint32_t)l.refcount_table),
		.refcount_order = htobe32(QCOW2_REFCOUNT_ORDER),
		.header_length = htobe32(QCOW2_HEADER_LENGTH),
	};
	uint64_t first_block = htobe64(l.refcount_block * DISK_BLOCK_SIZE);
	/* The largest disk's total is 85 clusters: one block counts them all. */
	uint16_t counts[QCOW2_REFCOUNTS_PER_BLOCK] = {0};
	for (uint64_t i = 0; i < l.total; i++)
		counts[i] = htobe16(1);

	/* What is not written is zeros: the rest of the header's cluster and the L1 table. */
	if (ftruncate(fd, (off_t)(l.total * DISK_BLOCK_SIZE)) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "overlay: cannot extend");
	int r = file_write_at(fd, &header, sizeof(header), 0, "overlay", err);
	if (r < 0)
		return r;
	r = file_write_at(fd, &first_block, sizeof(first_block), DISK_BLOCK_SIZE, "overlay", err);
	if (r < 0)
		return r;
	return file_write_at(
		fd, counts, sizeof(counts), l.refcount_block * DISK_BLOCK_SIZE, "overlay", err);
}
