#include <endian.h>
#include <errno.h>
#include <string.h>

#include "disk/reread.h"
#include "support/memory.h"

#define NAME_OFFSET 8 /* of a directory entry: inode, rec_len, name_len, file_type before it */

struct reading {
	struct reread *reread;
	struct entries *out;
	uint32_t ino;
	uint32_t parent;
	unsigned dots; /* how many of "." and ".." were read */
};

static int compare_names(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_entries(const void *a, const void *b)
{
	const struct entry *x = a;
	const struct entry *y = b;
	return compare_names(x->name, x->name_len, y->name, y->name_len);
}

const struct entry *entries_find(const struct entries *entries, const char *name, size_t len)
{
	size_t low = 0;
	size_t high = entries->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct entry *e = &entries->items[middle];
		int order = compare_names(e->name, e->name_len, name, len);
		if (order == 0)
			return e;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static bool is_dots(const char *name, size_t len)
{
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
}

/* The first two entries, which the kernel finds by their place. */
static int check_dots(
	struct reading *rd, const char *name, size_t len, uint32_t ino, struct error *err)
{
	static const char *const names[] = {".", ".."};
	const char *expected_name = names[rd->dots];
	uint32_t expected = rd->dots == 0 ? rd->ino : rd->parent;
	if (len != strlen(expected_name) || memcmp(name, expected_name, len) != 0 ||
		ino != expected)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"entry %u is '%.*s', inode %u, expected '%s', inode %u", rd->dots, (int)len,
			name, ino, expected_name, expected);
	rd->dots++;
	return 0;
}

static int add_entry(
	struct reading *rd, const char *name, size_t len, uint32_t ino, struct error *err)
{
	struct reread *r = rd->reread;
	if (rd->dots < 2)
		return check_dots(rd, name, len, ino, err);
	if (len == 0 || is_dots(name, len) || memchr(name, '/', len) != NULL ||
		memchr(name, '\0', len) != NULL)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"an entry of inode %u has the name '%.*s', which no file can have", ino,
			(int)len, name);
	if (ino < r->first_inode || ino > r->inode_count)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"entry '%.*s' has inode %u, expected %u to %u", (int)len, name, ino,
			r->first_inode, r->inode_count);
	if (++r->names_read > REREAD_NAMES_MAX)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"more than %d names were made or moved, which is the limit",
			REREAD_NAMES_MAX);
	struct entries *out = rd->out;
	out->items = array_grow(out->items, out->count, &out->capacity, sizeof(*out->items));
	out->items[out->count++] = (struct entry){.ino = ino, .name_len = (uint16_t)len};
	buffer_add(&out->names, name, len);
	return 0;
}

/*
 * The blocks of a hash tree pass as linear ones: the root's index hides in the record of "..",
 * an interior block is one free record.
 */
static int read_block(struct reading *rd, const uint8_t *block, struct error *err)
{
	for (size_t at = 0; at < DISK_BLOCK_SIZE;) {
		struct ext2_dir_entry_2 e;
		size_t left = DISK_BLOCK_SIZE - at;
		memset(&e, 0, sizeof(e));
		memcpy(&e, block + at, NAME_OFFSET < left ? NAME_OFFSET : left);
		size_t rec_len = le16toh(e.rec_len);
		uint32_t ino = le32toh(e.inode);
		if (rec_len < NAME_OFFSET + 4 || rec_len % 4 != 0 || rec_len > left ||
			(ino != 0 && e.name_len > rec_len - NAME_OFFSET))
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"the record at byte %zu of %d has a length of %zu, with a name of "
				"%u bytes",
				at, DISK_BLOCK_SIZE, rec_len, e.name_len);
		if (ino != 0) {
			int r = add_entry(
				rd, (const char *)block + at + NAME_OFFSET, e.name_len, ino, err);
			if (r < 0)
				return r;
		}
		at += rec_len;
	}
	return 0;
}

static int read_blocks(
	struct reading *rd, const struct extents *extents, uint64_t size, struct error *err)
{
	uint64_t logical = 0;
	for (size_t i = 0; i < extents->count && logical < size; i++) {
		const struct segment *s = &extents->items[i];
		if (s->logical != logical)
			break;
		for (; logical < s->logical + s->length && logical < size;
			logical += DISK_BLOCK_SIZE) {
			uint8_t block[DISK_BLOCK_SIZE];
			int r = disk_view_read(rd->reread->view, block, sizeof(block),
				s->offset + (logical - s->logical), err);
			if (r == 0)
				r = read_block(rd, block, err);
			if (r < 0)
				return error_wrap(err, r, "block %llu of the directory",
					(unsigned long long)(logical / DISK_BLOCK_SIZE));
		}
	}
	if (logical < size)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"the directory has %llu bytes, but a hole at %llu",
			(unsigned long long)size, (unsigned long long)logical);
	if (rd->dots < 2)
		return error_set(
			err, ERROR_GUEST, EUCLEAN, "the directory has no entries '.' and '..'");
	return 0;
}

/* The names were added one after another: now their buffer moves no more. */
static int sort_entries(struct entries *entries, struct error *err)
{
	const char *name = (const char *)entries->names.data;
	for (size_t i = 0; i < entries->count; i++) {
		entries->items[i].name = name;
		name += entries->items[i].name_len;
	}
	if (entries->count > 0)
		qsort(entries->items, entries->count, sizeof(*entries->items), compare_entries);
	for (size_t i = 1; i < entries->count; i++) {
		const struct entry *e = &entries->items[i];
		if (compare_entries(e - 1, e) == 0)
			return error_set(err, ERROR_GUEST, EUCLEAN, "entry '%.*s' is there twice",
				(int)e->name_len, e->name);
	}
	return 0;
}

static int read_directory(
	struct reread *r, uint32_t ino, uint32_t parent, struct entries *out, struct error *err)
{
	union raw_inode raw;
	int code = reread_raw_inode(r, ino, &raw, err);
	if (code < 0)
		return code;
	uint64_t size =
		(uint64_t)le32toh(raw.fields.i_size_high) << 32 | le32toh(raw.fields.i_size);
	if (size == 0 || size % DISK_BLOCK_SIZE != 0)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"the directory has %llu bytes, expected a multiple of %d",
			(unsigned long long)size, DISK_BLOCK_SIZE);
	cleanup_extents struct extents extents = {0};
	code = reread_extents(r, &raw, &extents, err);
	struct reading rd = {.reread = r, .out = out, .ino = ino, .parent = parent};
	if (code == 0)
		code = read_blocks(&rd, &extents, size, err);
	return code < 0 ? code : sort_entries(out, err);
}

int reread_directory(
	struct reread *r, uint32_t ino, uint32_t parent, struct entries *out, struct error *err)
{
	int code = read_directory(r, ino, parent, out, err);
	return code < 0 ? error_wrap(err, code, "inode %u", ino) : 0;
}
