#include "disk/overlay.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "disk/overlay_format.h"
#include "support/fileio.h"
#include "support/memory.h"

/* In a checked L2 table an entry is a byte offset in the file, or one of these. */
#define ENTRY_BASE 0
#define ENTRY_ZERO 1

struct overlay {
	int fd;
	uint64_t file_size;
	uint64_t size;        /* of the virtual disk, bytes */
	uint64_t table_count; /* L2 tables that the size makes */
	uint64_t *tables[];   /* checked L2 tables in host order; NULL: nothing written there */
};

/* Unknown features that a reader must not pass over (docs/interop/qcow2.txt, bytes 72 - 79). */
static const char *const incompatible_names[] = {
	"it was not closed (dirty bit)",
	"it is marked corrupt",
	"its data is in an external file",
	"it uses another compression",
	"it has extended L2 entries",
};

static int check_features(uint64_t incompatible, struct error *err)
{
	if (incompatible == 0)
		return 0;
	unsigned bit = (unsigned)__builtin_ctzll(incompatible);
	const char *name = bit < sizeof(incompatible_names) / sizeof(*incompatible_names)
				   ? incompatible_names[bit]
				   : "it has an unknown feature";
	return error_set(err, ERROR_INPUT, EINVAL, "overlay: %s (incompatible features 0x%llx)",
		name, (unsigned long long)incompatible);
}

struct field {
	const char *name;
	uint64_t found, expected;
};

static int check_fields(const struct qcow2_header *h, struct error *err)
{
	const struct field fields[] = {
		{"magic", be32toh(h->magic), QCOW2_MAGIC},
		{"version", be32toh(h->version), QCOW2_VERSION},
		{"backing file name's offset", be64toh(h->backing_file_offset), 0},
		{"backing file name's length", be32toh(h->backing_file_size), 0},
		{"cluster bits", be32toh(h->cluster_bits), QCOW2_CLUSTER_BITS},
		{"encryption method", be32toh(h->crypt_method), 0},
		{"number of snapshots", be32toh(h->nb_snapshots), 0},
		{"refcount order", be32toh(h->refcount_order), QCOW2_REFCOUNT_ORDER},
	};
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (fields[i].found != fields[i].expected)
			return error_set(err, ERROR_INPUT, EINVAL,
				"overlay: header: %s is %llu, expected %llu", fields[i].name,
				(unsigned long long)fields[i].found,
				(unsigned long long)fields[i].expected);
	}
	uint32_t length = be32toh(h->header_length);
	if (length < QCOW2_HEADER_LENGTH || length > DISK_BLOCK_SIZE)
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: header: its length is %u, expected %d to %d", length,
			QCOW2_HEADER_LENGTH, DISK_BLOCK_SIZE);
	return check_features(be64toh(h->incompatible_features), err);
}

/* A table or a data cluster: aligned, and inside the file. */
static int check_offset(const struct overlay *o, uint64_t offset, uint64_t len, const char *what,
	uint64_t number, struct error *err)
{
	uint64_t end;
	if (offset % DISK_BLOCK_SIZE != 0 || offset == 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: %s %llu is at byte %llu, which begins no cluster", what,
			(unsigned long long)number, (unsigned long long)offset);
	if (__builtin_add_overflow(offset, len, &end) || end > o->file_size)
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: %s %llu is at byte %llu, but the file has %llu bytes", what,
			(unsigned long long)number, (unsigned long long)offset,
			(unsigned long long)o->file_size);
	return 0;
}

static int check_entry(const struct overlay *o, uint64_t *entry, uint64_t block, struct error *err)
{
	uint64_t value = be64toh(*entry);
	if (value & QCOW2_COMPRESSED)
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: block %llu is compressed, which is not supported",
			(unsigned long long)block);
	if (value & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED | QCOW2_ZERO))
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: block %llu: entry 0x%llx has reserved bits set",
			(unsigned long long)block, (unsigned long long)value);
	uint64_t offset = value & QCOW2_OFFSET_MASK;
	if (value & QCOW2_ZERO) {
		*entry = ENTRY_ZERO;
		return 0;
	}
	*entry = offset == 0 ? ENTRY_BASE : offset;
	/* One byte is enough: of the file's last cluster a part may be missing. */
	return offset == 0 ? 0 : check_offset(o, offset, 1, "block", block, err);
}

static int read_table(struct overlay *o, uint64_t number, uint64_t l1_entry, struct error *err)
{
	if (l1_entry & ~(QCOW2_OFFSET_MASK | QCOW2_COPIED))
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: L1 entry %llu is 0x%llx, with reserved bits set",
			(unsigned long long)number, (unsigned long long)l1_entry);
	uint64_t offset = l1_entry & QCOW2_OFFSET_MASK;
	if (offset == 0)
		return 0;
	int r = check_offset(o, offset, DISK_BLOCK_SIZE, "L2 table", number, err);
	if (r < 0)
		return r;
	uint64_t *table = o->tables[number] = xmalloc(DISK_BLOCK_SIZE);
	r = file_read_at(o->fd, table, DISK_BLOCK_SIZE, offset, "overlay", err);
	for (size_t i = 0; r == 0 && i < QCOW2_TABLE_ENTRIES; i++)
		r = check_entry(o, &table[i], number * QCOW2_TABLE_ENTRIES + i, err);
	return r;
}

static int read_tables(struct overlay *o, const struct qcow2_header *h, struct error *err)
{
	if (be32toh(h->l1_size) < o->table_count)
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: the L1 table has %u entries, expected at least %llu",
			be32toh(h->l1_size), (unsigned long long)o->table_count);
	size_t len = (size_t)o->table_count * sizeof(uint64_t);
	uint64_t offset = be64toh(h->l1_table_offset);
	int r = check_offset(o, offset, len, "L1 table", 0, err);
	if (r < 0)
		return r;
	cleanup_free uint64_t *l1 = xmalloc(len);
	r = file_read_at(o->fd, l1, len, offset, "overlay", err);
	for (uint64_t i = 0; r == 0 && i < o->table_count; i++)
		r = read_table(o, i, be64toh(l1[i]), err);
	return r;
}

int overlay_open(int fd, struct overlay **out, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "overlay: cannot read its size");
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, EINVAL, "overlay: is no regular file");

	struct qcow2_header h;
	int r = file_read_at(fd, &h, sizeof(h), 0, "overlay", err);
	if (r < 0)
		return r;
	r = check_fields(&h, err);
	if (r < 0)
		return r;
	uint64_t size = be64toh(h.size);
	if (size == 0 || size % DISK_BLOCK_SIZE != 0 || size > OVERLAY_SIZE_MAX)
		return error_set(err, ERROR_INPUT, EINVAL,
			"overlay: header: the disk's size is %llu, expected a multiple of %d up "
			"to %llu",
			(unsigned long long)size, DISK_BLOCK_SIZE,
			(unsigned long long)OVERLAY_SIZE_MAX);

	uint64_t per_table = DISK_BLOCK_SIZE * QCOW2_TABLE_ENTRIES;
	uint64_t count = size / per_table + (size % per_table != 0);
	cleanup_overlay struct overlay *o =
		xcalloc(1, sizeof(*o) + (size_t)count * sizeof(o->tables[0]));
	o->fd = fd;
	o->file_size = (uint64_t)st.st_size;
	o->size = size;
	o->table_count = count;
	r = read_tables(o, &h, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&o);
	return 0;
}

void overlay_free(struct overlay *overlay)
{
	if (overlay == NULL)
		return;
	for (uint64_t i = 0; i < overlay->table_count; i++)
		free(overlay->tables[i]);
	free(overlay);
}

uint64_t overlay_size(const struct overlay *overlay)
{
	return overlay->size;
}

enum overlay_place overlay_lookup(const struct overlay *overlay, uint64_t block, uint64_t *offset)
{
	if (block >= overlay->size / DISK_BLOCK_SIZE)
		return OVERLAY_BASE;
	const uint64_t *table = overlay->tables[block / QCOW2_TABLE_ENTRIES];
	uint64_t entry = table != NULL ? table[block % QCOW2_TABLE_ENTRIES] : ENTRY_BASE;
	if (entry == ENTRY_BASE)
		return OVERLAY_BASE;
	if (entry == ENTRY_ZERO)
		return OVERLAY_ZERO;
	*offset = entry;
	return OVERLAY_DATA;
}

bool overlay_holds(const struct overlay *overlay, uint64_t block)
{
	uint64_t offset;
	return overlay_lookup(overlay, block, &offset) != OVERLAY_BASE;
}

int overlay_read(
	const struct overlay *overlay, void *data, size_t len, uint64_t offset, struct error *err)
{
	uint64_t left = offset < overlay->file_size ? overlay->file_size - offset : 0;
	size_t present = len < left ? len : (size_t)left;
	memset((char *)data + present, 0, len - present);
	return file_read_at(overlay->fd, data, present, offset, "overlay", err);
}
