#include "hostdir/hostdigest.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "hostdir/hostinode.h"
#include "hostdir/idmap.h"
#include "hostdir/scan.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/tree.h"

#define CHUNK (1u << 20)

struct digesting {
	struct hasher *hasher;
	struct tree *tree;  /* owns the entries' inodes */
	struct idmap links; /* which entry of several names came first, from 1 */
	uintptr_t entries;
	uint8_t *chunk;
};

static void digesting_free(struct digesting *digesting)
{
	hasher_free(digesting->hasher);
	tree_free(digesting->tree);
	idmap_free(&digesting->links);
	free(digesting->chunk);
}

static void add_number(struct digesting *digesting, uint64_t number)
{
	uint8_t bytes[8];
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(number >> (8 * i));
	hasher_add(digesting->hasher, bytes, sizeof(bytes));
}

/* With its length, so that no two lists of pieces have the same bytes. */
static void add_bytes(struct digesting *digesting, const void *data, size_t len)
{
	add_number(digesting, len);
	hasher_add(digesting->hasher, data, len);
}

static void add_xattrs(struct digesting *digesting, const struct xattrs *xattrs)
{
	uint32_t count = xattrs != NULL ? xattrs->count : 0;
	add_number(digesting, count);
	for (uint32_t i = 0; i < count; i++) {
		const struct xattr *xattr = &xattrs->items[i];
		add_bytes(digesting, xattr->name, strlen(xattr->name));
		add_bytes(digesting, xattr->value, xattr->len);
	}
}

static int add_data(struct digesting *digesting, const struct scan_entry *entry, struct error *err)
{
	uint64_t size = 0;
	cleanup_close int fd = scan_open_file(entry, err);
	if (fd < 0)
		return fd;
	add_number(digesting, entry->st.stx_size);
	for (;;) {
		ssize_t n = read(fd, digesting->chunk, CHUNK);
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, "%s: cannot read", entry->path);
		if (n == 0)
			break;
		hasher_add(digesting->hasher, digesting->chunk, (size_t)n);
		size += (uint64_t)n;
		int r = interrupt_check(err);
		if (r < 0)
			return r;
	}
	add_number(digesting, size);
	return 0;
}

/* name: what is below the folder, or of a single file the name that it is copied under. */
static int add_entry(struct digesting *digesting, const struct scan_entry *entry, const char *name,
	struct error *err)
{
	struct inode *inode;
	digesting->entries++;
	int r = hostinode_new(digesting->tree, entry, &inode, err);
	if (r == 0)
		r = hostinode_read_xattrs(digesting->tree, entry, NULL, inode, err);
	if (r < 0)
		return r;
	add_bytes(digesting, name, strlen(name));
	add_number(digesting, inode->mode);
	add_number(digesting, (uint64_t)inode->mtime_sec);
	add_number(digesting, inode->mtime_nsec);
	add_xattrs(digesting, inode->xattrs);
	if (S_ISLNK(inode->mode))
		add_bytes(digesting, inode->target, strlen(inode->target));
	if (inode_is_device(inode)) {
		add_number(digesting, inode->device.major);
		add_number(digesting, inode->device.minor);
	}
	if (!S_ISDIR(inode->mode) && entry->st.stx_nlink > 1) {
		void *first = idmap_get(&digesting->links, &entry->st);
		add_number(digesting, (uintptr_t)first);
		if (first != NULL)
			return 0;
		idmap_put(&digesting->links, &entry->st, (void *)digesting->entries);
	}
	return S_ISREG(inode->mode) ? add_data(digesting, entry, err) : 0;
}

static int add_folder(
	struct digesting *digesting, const char *path, unsigned flags, struct error *err)
{
	cleanup_scan struct scan *scan = NULL;
	struct scan_entry entry;
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", path);
	int r = scan_open(fd, path, flags, &scan, err);
	if (r < 0)
		return r;
	size_t root_len = strlen(path);
	while (root_len > 0 && path[root_len - 1] == '/')
		root_len--;
	while ((r = scan_next(scan, &entry, err)) > 0) {
		r = interrupt_check(err);
		if (r == 0 && entry.event == SCAN_ENTRY && !S_ISSOCK(entry.st.stx_mode))
			r = add_entry(digesting, &entry, entry.path + root_len, err);
		if (r < 0)
			return r;
	}
	return r;
}

/* A file that was named itself, perhaps through symlinks. */
static int add_file(struct digesting *digesting, const char *path, struct error *err)
{
	const char *given = strrchr(path, '/');
	struct scan_entry entry;
	cleanup_free char *name = NULL;
	cleanup_close int dir = scan_open_parent(path, &name, err);
	if (dir < 0)
		return dir;
	int r = scan_lookup(dir, name, path, &entry, err);
	return r < 0 ? r : add_entry(digesting, &entry, given != NULL ? given + 1 : path, err);
}

int hostdigest(const char *path, bool keep_dirlinks, struct digest *digest, struct error *err)
{
	__attribute__((cleanup(digesting_free))) struct digesting digesting = {
		.hasher = hasher_new(), .tree = tree_new(), .chunk = xmalloc(CHUNK)};
	struct stat st;
	if (stat(path, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot examine", path);
	bool is_file = S_ISREG(st.st_mode);
	if (!is_file && !S_ISDIR(st.st_mode))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: is neither a folder nor a regular file", path);
	add_number(&digesting, is_file);
	int r = is_file ? add_file(&digesting, path, err)
			: add_folder(&digesting, path, keep_dirlinks ? 0 : SCAN_FOLLOW, err);
	if (r == 0)
		*digest = hasher_finish(digesting.hasher);
	return r;
}
