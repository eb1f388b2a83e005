#include "commands/base_record.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk/disk.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/tree_file.h"

#define FILE_NAME "a file in the cache"
#define RECORD_NAME "a disk's record in the cache"

/* Raised with every change of the record, and of how the layers of an image become a tree. */
#define BASE_FORMAT 2u

#define MAGIC "lvm-base"

/* Little-endian. */
struct stored_record {
	char magic[8];
	uint32_t format;
	uint32_t zero;
	struct digest disk;
	uint64_t ino;
	uint64_t size;
	uint64_t birth_sec;
	uint64_t birth_nsec;
	struct digest head;
	struct digest sum; /* of all before it */
};
_Static_assert(sizeof(struct stored_record) <= BASE_TREE_OFFSET, "it is in front of the tree");

struct digest base_key(const struct base_id *id)
{
	static const char label[] = "layervm base disk";
	const uint64_t numbers[] = {htole64(BASE_FORMAT), htole64(TREE_FILE_VERSION),
		htole64(disk_format()), htole64(id->room), htole64(id->file_size)};
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, label, sizeof(label));
	hasher_add(hasher, numbers, sizeof(numbers));
	hasher_add(hasher, id->chain.bytes, sizeof(id->chain.bytes));
	return hasher_finish(hasher);
}

int base_identity_read(int disk, struct base_identity *out, struct error *err)
{
	struct statx st;
	uint8_t block[DISK_BLOCK_SIZE];
	if (statx(disk, "", AT_EMPTY_PATH, STATX_INO | STATX_SIZE | STATX_BTIME, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, FILE_NAME);
	int r = file_read_at(disk, block, sizeof(block), 0, FILE_NAME, err);
	if (r < 0)
		return r;
	bool has_birth = st.stx_mask & STATX_BTIME;
	*out = (struct base_identity){
		.ino = st.stx_ino,
		.size = st.stx_size,
		.birth_sec = has_birth ? st.stx_btime.tv_sec : 0,
		.birth_nsec = has_birth ? st.stx_btime.tv_nsec : 0,
		.head = digest_of(block, sizeof(block)),
	};
	return 0;
}

bool base_identity_equal(const struct base_identity *a, const struct base_identity *b)
{
	return a->ino == b->ino && a->size == b->size && a->birth_sec == b->birth_sec &&
	       a->birth_nsec == b->birth_nsec && digest_equal(&a->head, &b->head);
}

static struct digest checksum(const struct stored_record *stored)
{
	return digest_of(stored, offsetof(struct stored_record, sum));
}

int base_record_write(int fd, const struct base_record *record, struct error *err)
{
	const struct base_identity *identity = &record->identity;
	struct stored_record stored = {
		.magic = MAGIC,
		.format = htole32(BASE_FORMAT),
		.disk = record->disk,
		.ino = htole64(identity->ino),
		.size = htole64(identity->size),
		.birth_sec = htole64((uint64_t)identity->birth_sec),
		.birth_nsec = htole64(identity->birth_nsec),
		.head = identity->head,
	};
	stored.sum = checksum(&stored);
	return file_write_at(fd, &stored, sizeof(stored), 0, RECORD_NAME, err);
}

int base_record_read(int fd, struct base_record *record, struct error *err)
{
	struct stored_record stored;
	int r = file_read_at(fd, &stored, sizeof(stored), 0, RECORD_NAME, err);
	if (r < 0)
		return r;
	struct digest sum = checksum(&stored);
	if (memcmp(stored.magic, MAGIC, sizeof(stored.magic)) != 0 ||
		le32toh(stored.format) != BASE_FORMAT || !digest_equal(&sum, &stored.sum))
		return error_set(err, ERROR_INPUT, EINVAL, RECORD_NAME ": is damaged");
	*record = (struct base_record){
		.disk = stored.disk,
		.identity =
			{
				.ino = le64toh(stored.ino),
				.size = le64toh(stored.size),
				.birth_sec = (int64_t)le64toh(stored.birth_sec),
				.birth_nsec = le64toh(stored.birth_nsec),
				.head = stored.head,
			},
	};
	return 0;
}
