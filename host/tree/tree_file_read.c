#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support/digest.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/tree_file.h"
#include "tree/tree_file_format.h"

#define FILE_NAME "a tree in the cache"
#define NSEC_PER_SEC 1000000000u

/* Longest name and value of an attribute that the kernel takes (XATTR_NAME_MAX, _SIZE_MAX). */
#define XATTR_NAME_LEN_MAX 255
#define XATTR_VALUE_MAX 65536
/* Longest target of a symlink, and its NUL does not count (PATH_MAX). */
#define TARGET_MAX 4095

struct reader {
	const uint8_t *at;
	const uint8_t *end;
	const char *fault; /* the first thing that is wrong; nothing is read after it */
	struct tree *tree;
	struct source *disk;
	uint64_t disk_size;
	struct dentry *last; /* the name before; NULL: none */
	uint64_t depth;      /* of that one; the root's is 0 */
	uint32_t last_ino;
	uint32_t ino_max;
	uint64_t data_end;
};

static void fail(struct reader *in, const char *fault)
{
	if (in->fault == NULL)
		in->fault = fault;
	in->at = in->end;
}

static size_t left(const struct reader *in)
{
	return (size_t)(in->end - in->at);
}

static uint8_t get_byte(struct reader *in)
{
	if (in->at == in->end) {
		fail(in, "is cut short");
		return 0;
	}
	return *in->at++;
}

/* A number of at most max; 0 after a fault. */
static uint64_t get(struct reader *in, uint64_t max, const char *fault)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;
	do {
		byte = get_byte(in);
		uint64_t bits = byte & 0x7f;
		if (shift > 63 || bits << shift >> shift != bits) {
			fail(in, "has a number of more than 64 bits");
			return 0;
		}
		value |= bits << shift;
		shift += 7;
	} while (byte & 0x80);
	if (value <= max && in->fault == NULL)
		return value;
	fail(in, fault);
	return 0;
}

static int64_t get_signed(struct reader *in)
{
	uint64_t value = get(in, UINT64_MAX, "");
	return (int64_t)(value >> 1 ^ -(value & 1));
}

/* The next len bytes, in place; NULL where there are not so many. */
static const uint8_t *get_bytes(struct reader *in, size_t len)
{
	if (len > left(in)) {
		fail(in, "is cut short");
		return NULL;
	}
	const uint8_t *bytes = in->at;
	in->at += len;
	return bytes;
}

static int compare_names(const struct dentry *a, const uint8_t *name, size_t len)
{
	size_t common = a->name_len < len ? a->name_len : len;
	int order = memcmp(a->name, name, common);
	return order != 0 ? order : (a->name_len > len) - (a->name_len < len);
}

static bool is_name(const uint8_t *name, size_t len)
{
	if (len == 0 || memchr(name, '/', len) != NULL || memchr(name, '\0', len) != NULL)
		return false;
	return name[0] != '.' || len > 2 || (len == 2 && name[1] != '.');
}

/* Where a name goes: its directory, and the name before it there. */
struct place {
	struct dentry *parent;
	struct dentry *before; /* NULL: it is the first one */
	const uint8_t *name;
	size_t len;
};

static void get_name(struct reader *in, struct place *place)
{
	place->len = get_byte(in);
	place->name = get_bytes(in, place->len);
	if (in->fault != NULL)
		return;
	if (!is_name(place->name, place->len))
		fail(in, "has a name that no file can have");
	else if (!inode_is_dir(place->parent->inode))
		fail(in, "is below what is no directory");
}

static void get_place(struct reader *in, struct place *place)
{
	uint64_t up = get(in, in->depth, "is above the root");
	*place = (struct place){.parent = in->last};
	for (uint64_t i = 0; i < up; i++) {
		place->before = place->parent;
		place->parent = place->parent->parent;
	}
	in->depth = in->depth - up + 1;
	get_name(in, place);
	if (in->fault == NULL && place->before != NULL &&
		compare_names(place->before, place->name, place->len) >= 0)
		fail(in, "is not behind the name before it");
}

/* The place of a name that the base lacks. */
static void get_new_place(struct reader *in, struct place *place)
{
	uint32_t ino = (uint32_t)get(in, UINT32_MAX, "is below an inode that is not there");
	struct inode *inode = tree_numbered(in->tree, ino);
	if (inode == NULL) {
		fail(in, "is below an inode that is not there");
		return;
	}
	*place = (struct place){.parent = inode->names};
	get_name(in, place);
	if (in->fault == NULL &&
		tree_find(in->tree, place->parent, (const char *)place->name, place->len) != NULL)
		fail(in, "is there already");
}

static void get_segments(struct reader *in, struct inode *inode)
{
	static const char beyond[] = "has data beyond its own end or the disk's";
	uint64_t at = 0;
	inode->size = get(in, INT64_MAX, "has a size that no file can have");
	/* Each takes three bytes at least. */
	uint64_t count = get(in, left(in) / 3, "has more segments than the file has room for");
	if (count == 0)
		return;
	struct segment *segments = tree_alloc(in->tree, (size_t)count * sizeof(*segments));
	for (uint64_t i = 0; i < count; i++) {
		struct segment *s = &segments[i];
		uint64_t end = 0;
		s->logical = at + get(in, inode->size - at, beyond);
		s->length = 1 + get(in, INT64_MAX, beyond);
		int64_t step = get_signed(in);
		if (s->length > inode->size - s->logical ||
			__builtin_add_overflow(in->data_end, step, &s->offset) ||
			__builtin_add_overflow(s->offset, s->length, &end) || end > in->disk_size)
			fail(in, beyond);
		if (in->fault != NULL)
			return;
		at = s->logical + s->length;
		in->data_end = tree_file_aligned(end);
	}
	inode->segments = segments;
	inode->segment_count = (uint32_t)count;
	inode->source = in->disk;
}

static void get_target(struct reader *in, struct inode *inode)
{
	size_t size = (size_t)get(in, TARGET_MAX, "has too long a target");
	const uint8_t *bytes = get_bytes(in, size);
	if (in->fault != NULL)
		return;
	if (size == 0 || memchr(bytes, '\0', size) != NULL) {
		fail(in, "has a target that no symlink can have");
		return;
	}
	char *target = tree_alloc(in->tree, size + 1);
	inode->target = memcpy(target, bytes, size);
	inode->size = size;
}

static void get_xattr(struct reader *in, const struct xattr *before, struct xattr *out)
{
	size_t room = left(in) < XATTR_NAME_LEN_MAX + 1 ? left(in) : XATTR_NAME_LEN_MAX + 1;
	const uint8_t *nul = room == 0 ? NULL : memchr(in->at, '\0', room);
	if (nul == NULL || nul == in->at) {
		fail(in, "has an attribute without a name that fits");
		return;
	}
	size_t name_size = (size_t)(nul - in->at) + 1;
	const uint8_t *name = get_bytes(in, name_size);
	size_t len = (size_t)get(in, XATTR_VALUE_MAX, "has too long a value of an attribute");
	const uint8_t *value = get_bytes(in, len);
	if (in->fault == NULL && before != NULL && strcmp(before->name, (const char *)name) >= 0)
		fail(in, "has attributes that are not in order");
	if (in->fault != NULL)
		return;
	out->name = memcpy(tree_alloc(in->tree, name_size), name, name_size);
	out->value = memcpy(tree_alloc(in->tree, len + 1), value, len);
	out->len = (uint32_t)len;
}

static void get_xattrs(struct reader *in, struct inode *inode)
{
	/* Each takes three bytes at least. */
	size_t count =
		(size_t)get(in, left(in) / 3, "has more attributes than the file has room for");
	if (in->fault == NULL && count == 0)
		fail(in, "has no attributes, against its word");
	if (in->fault != NULL)
		return;
	struct xattrs *xattrs =
		tree_alloc(in->tree, sizeof(*xattrs) + count * sizeof(struct xattr));
	xattrs->count = (uint32_t)count;
	for (size_t i = 0; i < count && in->fault == NULL; i++)
		get_xattr(in, i > 0 ? &xattrs->items[i - 1] : NULL, &xattrs->items[i]);
	inode->xattrs = xattrs;
}

static void get_content(struct reader *in, struct inode *inode)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		get_segments(in, inode);
		return;
	case S_IFLNK:
		get_target(in, inode);
		return;
	case S_IFCHR:
	case S_IFBLK:
		inode->device.major =
			(uint32_t)get(in, UINT32_MAX, "has too large a device number");
		inode->device.minor =
			(uint32_t)get(in, UINT32_MAX, "has too large a device number");
		return;
	case S_IFDIR:
	case S_IFIFO:
	case S_IFSOCK:
		return;
	default:
		fail(in, "is of no known type");
	}
}

static void get_number(struct reader *in, struct inode *inode)
{
	uint64_t ino = (uint64_t)in->last_ino + 1 + get(in, UINT32_MAX, "");
	if (ino > in->ino_max || tree_numbered(in->tree, (uint32_t)ino) != NULL) {
		fail(in, "has an inode number that is taken or too large");
		return;
	}
	in->last_ino = (uint32_t)ino;
	tree_set_number(in->tree, inode, (uint32_t)ino);
}

static struct inode *get_inode(struct reader *in, unsigned flags)
{
	uint32_t mode = (uint32_t)get(in, S_IFMT | ALLPERMS, "has a mode that no file can have");
	struct inode *inode = tree_inode_new(in->tree, mode);
	inode->uid = (uint32_t)get(in, UINT32_MAX - 1, "has an owner that nobody is");
	inode->gid = (uint32_t)get(in, UINT32_MAX - 1, "has a group that nobody is");
	inode->mtime_sec = get_signed(in);
	inode->mtime_nsec = (uint32_t)get(in, NSEC_PER_SEC - 1, "has too many nanoseconds");
	get_number(in, inode);
	get_content(in, inode);
	if (flags & ENTRY_XATTRS)
		get_xattrs(in, inode);
	return inode;
}

/* An inode that has a name already. */
static struct inode *get_linked(struct reader *in)
{
	uint32_t ino = (uint32_t)get(in, UINT32_MAX, "is a link to an inode without a name");
	struct inode *inode = tree_numbered(in->tree, ino);
	if (inode == NULL)
		fail(in, "is a link to an inode without a name");
	else if (inode_is_dir(inode))
		fail(in, "is a link to a directory");
	return inode;
}

/* The first of an inode's names stays the first: a name that was added goes behind it. */
static void keep_first(struct dentry *d)
{
	struct inode *inode = d->inode;
	struct dentry *first = d->next_name;
	if (first == NULL)
		return;
	inode->names = first;
	first->name_link = &inode->names;
	d->next_name = first->next_name;
	if (d->next_name != NULL)
		d->next_name->name_link = &d->next_name;
	first->next_name = d;
	d->name_link = &first->next_name;
}

static struct inode *get_root(struct reader *in, unsigned flags)
{
	struct inode *inode = flags & ENTRY_LINK ? NULL : get_inode(in, flags);
	if (inode == NULL || !inode_is_dir(inode))
		fail(in, "is no directory, but the root");
	return inode;
}

static void get_entry(struct reader *in)
{
	struct place place = {0};
	struct dentry *root = tree_root(in->tree);
	unsigned flags = get_byte(in);
	if (flags > ENTRY_XATTRS)
		fail(in, "has flags that do not go together");
	if (in->last != NULL)
		get_place(in, &place);
	if (in->fault != NULL)
		return;
	struct inode *inode = in->last == NULL     ? get_root(in, flags)
			      : flags & ENTRY_LINK ? get_linked(in)
						   : get_inode(in, flags);
	if (in->fault != NULL)
		return;
	if (in->last == NULL) {
		in->last = root;
		tree_relink(in->tree, root, inode);
		return;
	}
	in->last = tree_add(
		in->tree, place.parent, place.before, (const char *)place.name, place.len, inode);
	keep_first(in->last);
}

static void get_scaffold(struct reader *in)
{
	struct place place = {0};
	unsigned flags = get_byte(in);
	if (flags != 0 && flags != ENTRY_XATTRS)
		fail(in, "has flags that do not go together");
	get_new_place(in, &place);
	if (in->fault != NULL)
		return;
	struct inode *inode = get_inode(in, flags);
	if (in->fault != NULL)
		return;
	struct dentry *d =
		tree_link(in->tree, place.parent, (const char *)place.name, place.len, inode);
	d->flags |= DENTRY_SCAFFOLD;
}

static int get_tree(struct reader *in, struct error *err)
{
	/* A name takes five bytes at least. */
	uint64_t count = get(in, left(in) / 5, "is missing");
	uint64_t scaffold = get(in, count, "is missing");
	uint64_t i = 0;
	in->ino_max = (uint32_t)count + TREE_FILE_NUMBERS_OUT;
	if (count == scaffold)
		fail(in, "is missing");
	else
		tree_reserve(in->tree, (size_t)count);
	for (; i < count - scaffold && in->fault == NULL; i++)
		get_entry(in);
	tree_freeze(in->tree);
	in->last_ino = 0;
	for (; i < count && in->fault == NULL; i++)
		get_scaffold(in);
	if (in->fault == NULL && in->at != in->end)
		fail(in, "has more bytes behind it than it should");
	return in->fault == NULL ? 0
				 : error_set(err, ERROR_INPUT, EINVAL, FILE_NAME ": name %llu %s",
					   (unsigned long long)i, in->fault);
}

/* Reads the file and checks what is around the body; bytes: all of it. */
static int get_file(int fd, uint64_t offset, struct buffer *bytes, struct error *err)
{
	struct tree_file_header header;
	struct digest digest;
	const size_t around = sizeof(header) + sizeof(digest.bytes);
	off_t end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return error_set_errno(err, ERROR_INPUT, FILE_NAME ": cannot be read");
	if ((uint64_t)end < offset || (uint64_t)end - offset < around ||
		(uint64_t)end - offset > TREE_FILE_MAX)
		return error_set(err, ERROR_INPUT, EINVAL,
			FILE_NAME ": has %lld bytes, which no tree has", (long long)end);
	size_t size = (size_t)((uint64_t)end - offset);
	uint8_t *data = buffer_reserve(bytes, size);
	int r = file_read_at(fd, data, size, offset, FILE_NAME, err);
	if (r < 0)
		return r;
	bytes->len = size;
	memcpy(&header, data, sizeof(header));
	if (memcmp(header.magic, TREE_FILE_MAGIC, sizeof(header.magic)) != 0 || header.zero != 0 ||
		le32toh(header.version) != TREE_FILE_VERSION)
		return error_set(err, ERROR_INPUT, EINVAL,
			FILE_NAME ": is no tree file of version %u", TREE_FILE_VERSION);
	if (le64toh(header.body) != size - around)
		return error_set(err, ERROR_INPUT, EINVAL,
			FILE_NAME ": has %zu bytes of names, expected %llu", size - around,
			(unsigned long long)le64toh(header.body));
	memcpy(digest.bytes, data + size - sizeof(digest.bytes), sizeof(digest.bytes));
	struct digest found = digest_of(data, size - sizeof(digest.bytes));
	return digest_expect(&digest, &found, FILE_NAME, "digest", err);
}

int tree_file_read(int fd, uint64_t offset, struct source *disk, uint64_t disk_size,
	struct tree *tree, struct error *err)
{
	cleanup_buffer struct buffer bytes = {0};
	tree_own_source(tree, disk);
	int r = get_file(fd, offset, &bytes, err);
	if (r < 0)
		return r;
	struct reader in = {
		.at = bytes.data + sizeof(struct tree_file_header),
		.end = bytes.data + bytes.len - sizeof(struct digest),
		.tree = tree,
		.disk = disk,
		.disk_size = disk_size,
	};
	return get_tree(&in, err);
}
