#include <errno.h>
#include <limits.h>
#include <string.h>

#include "layer/layer.h"
#include "layer/tar_header.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define WRITE_CHUNK (256u * 1024)

static const char tar_end[2 * TAR_BLOCK];

/* The tar on its way out: gathered in pending, and written when that is large. */
struct writer {
	struct layer_sink *sink;
	struct buffer pending;
	const struct layer_options *options;
	uint64_t size;
	uint64_t entries;
};

/* Writes all that is pending but the last bytes of it. */
static int flush(struct writer *w, size_t kept, struct error *err)
{
	size_t len = w->pending.len - kept;
	int r = w->sink->write(w->sink, w->pending.data, len, err);
	w->size += len;
	buffer_consume(&w->pending, len);
	return r;
}

static int flush_if_large(struct writer *w, size_t kept, struct error *err)
{
	return w->pending.len >= WRITE_CHUNK ? flush(w, kept, err) : 0;
}

/*
 * Readers take a tar without its end for whole where it stops between two entries: so of each
 * entry something stays behind until the next one follows. Half of its header; where it has data,
 * the last block of them, padding included, which some readers do not miss.
 */
static int end_entry(struct writer *w, uint64_t size, struct error *err)
{
	w->entries++;
	return flush_if_large(w, size != 0 ? TAR_BLOCK : TAR_BLOCK / 2, err);
}

/* The only faults that are of the file at path: where its bytes go has others. */
static int read_piece(struct writer *w, const struct inode *inode, const char *path, size_t len,
	uint64_t offset, struct error *err)
{
	int r = inode_read(inode, buffer_reserve(&w->pending, len), len, offset, err);
	if (r < 0)
		return error_wrap(err, r, "/%s", path);
	w->pending.len += len;
	return 0;
}

static int write_data(
	struct writer *w, const struct inode *inode, const char *path, struct error *err)
{
	static const char zeros[TAR_BLOCK];
	for (uint64_t offset = 0; offset < inode->size;) {
		uint64_t rest = inode->size - offset;
		size_t n = rest < WRITE_CHUNK ? (size_t)rest : WRITE_CHUNK;
		int r = interrupt_check(err);
		if (r == 0)
			r = read_piece(w, inode, path, n, offset, err);
		offset += n;
		if (r == 0 && offset < inode->size)
			r = flush_if_large(w, 0, err);
		if (r < 0)
			return r;
	}
	size_t over = (size_t)(inode->size % TAR_BLOCK);
	if (over != 0)
		buffer_add(&w->pending, zeros, TAR_BLOCK - over);
	return 0;
}

static char type_flag(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFLNK:
		return '2';
	case S_IFCHR:
		return '3';
	case S_IFBLK:
		return '4';
	case S_IFDIR:
		return '5';
	case S_IFIFO:
		return '6';
	default:
		return '0';
	}
}

/*
 * Entries of this layer are no younger than mtime_max; a directory that is here only for what is
 * below it keeps its own time.
 */
static void set_mtime(const struct writer *w, const struct dentry *d, struct tar_header *header)
{
	header->mtime_sec = d->inode->mtime_sec;
	header->mtime_nsec = d->inode->mtime_nsec;
	bool ours = (d->flags & DENTRY_WRITE) && !w->options->keep_mtime;
	if (w->options->same_mtime || (ours && header->mtime_sec >= w->options->mtime_max)) {
		header->mtime_sec = w->options->mtime_max;
		header->mtime_nsec = 0;
	}
}

/* Refuses what readers of layers would take for something else, or could not take at all. */
static int check_entry(const struct dentry *d, const char *path, struct error *err)
{
	const struct inode *inode = d->inode;
	if (strncmp(d->name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
		return error_set(err, ERROR_LIMIT, EINVAL,
			"/%s: names that begin with \"%s\" mean a deletion in a layer and cannot "
			"be files; rename it",
			path, WHITEOUT_PREFIX);
	if (strlen(path) >= PATH_MAX)
		return error_set(err, ERROR_LIMIT, ENAMETOOLONG,
			"a path of %zu bytes, /%.64s..., is longer than a reader of the layer can "
			"open (%d); remove it",
			strlen(path), path, PATH_MAX - 1);
	size_t attributes = 0;
	/* A pax record's key ends with its first '='. */
	for (uint32_t i = 0; inode->xattrs != NULL && i < inode->xattrs->count; i++) {
		if (strchr(inode->xattrs->items[i].name, '=') != NULL)
			return error_set(err, ERROR_LIMIT, EINVAL,
				"/%s: attribute %s: a layer has no attributes with '=' in their "
				"names; remove it",
				path, inode->xattrs->items[i].name);
		attributes += inode->xattrs->items[i].len + strlen(inode->xattrs->items[i].name);
	}
	if (attributes > LAYER_ATTRIBUTES_MAX)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"/%s: its attributes take %zu bytes, of which readers of a layer take "
			"%zu; remove some",
			path, attributes, LAYER_ATTRIBUTES_MAX);
	return 0;
}

/* Whether an entry whose header has been added, its data and the end have room. */
static int check_size(const struct writer *w, const char *path, uint64_t size, struct error *err)
{
	uint64_t whole;
	if (!__builtin_add_overflow(
		    w->size + w->pending.len + TAR_BLOCK - 1 + sizeof(tar_end), size, &whole) &&
		whole / TAR_BLOCK * TAR_BLOCK <= LAYER_SIZE_MAX)
		return 0;
	return error_set(err, ERROR_LIMIT, EFBIG,
		"/%s: its %llu bytes, where holes count as zeros, make the layer larger than %llu "
		"bytes, the most that is written; make it smaller",
		path, (unsigned long long)size, (unsigned long long)LAYER_SIZE_MAX);
}

static const char *prefix(const struct writer *w)
{
	return w->options->prefix != NULL ? w->options->prefix : "";
}

/* The name of an entry in the tar; the caller frees it. */
static char *member_name(const struct writer *w, const struct dentry *d, const char *path)
{
	if (d->parent == NULL)
		return xstrdup("./");
	return xasprintf("%s%s%s", prefix(w), path, inode_is_dir(d->inode) ? "/" : "");
}

static int write_entry(struct writer *w, const struct dentry *d, struct error *err)
{
	const struct inode *inode = d->inode;
	cleanup_free char *path = tree_path(d);
	cleanup_free char *name = member_name(w, d, path);
	cleanup_free char *first_name = NULL;
	struct tar_header header = {
		.path = name,
		.type = type_flag(inode->mode),
		.mode = inode->mode & 07777,
		.uid = inode->uid,
		.gid = inode->gid,
		.xattrs = inode->xattrs,
		.acl_text = w->options->acl_text,
	};
	int r = check_entry(d, path, err);
	if (r < 0)
		return r;
	set_mtime(w, d, &header);
	if (!inode_is_dir(inode) && inode->names != d) {
		cleanup_free char *first_path = tree_path(inode->names);
		first_name = member_name(w, inode->names, first_path);
		header.type = '1';
		header.target = first_name;
		header.xattrs = NULL;
	} else if (S_ISLNK(inode->mode)) {
		header.target = inode->target;
	} else if (inode_is_device(inode)) {
		header.major = inode->device.major;
		header.minor = inode->device.minor;
	} else if (S_ISREG(inode->mode)) {
		header.size = inode->size;
	}
	tar_header_add(&w->pending, &header);
	r = check_size(w, path, header.size, err);
	if (r == 0 && header.size != 0)
		r = write_data(w, inode, path, err);
	return r < 0 ? r : end_entry(w, header.size, err);
}

/* A whiteout is an empty file, ".wh." before the name (layer.md, "Whiteouts"). */
static int write_whiteouts(struct writer *w, const struct dentry *dir, struct error *err)
{
	for (const struct dentry *d = dir->children; d != NULL; d = d->next) {
		if (!(d->flags & DENTRY_WHITEOUT))
			continue;
		cleanup_free char *parent = tree_path(dir);
		cleanup_free char *gone = tree_path(d);
		/* ".wh..wh.x" is a note of aufs, which readers pass over. */
		if (strncmp(d->name, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
			return error_set(err, ERROR_LIMIT, EINVAL,
				"/%s: is gone, which a layer cannot tell of names that begin with "
				"\"%s\"; keep it",
				gone, WHITEOUT_PREFIX);
		cleanup_free char *path = xasprintf("%s%s%s" WHITEOUT_PREFIX "%s", prefix(w),
			parent, dir->parent != NULL ? "/" : "", d->name);
		tar_header_add(&w->pending,
			&(struct tar_header){.path = path,
				.type = '0',
				.mode = 0644,
				.mtime_sec = w->options->keep_mtime ? 0 : w->options->mtime_max});
		int r = check_size(w, gone, 0, err);
		if (r == 0)
			r = end_entry(w, 0, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_tree(struct writer *w, struct dentry *root, struct error *err)
{
	struct dentry *next;
	for (struct dentry *d = root; d != NULL; d = next) {
		next = tree_next_marked(root, d);
		bool parent = (d->flags & DENTRY_BELOW) && d != root;
		int r = interrupt_check(err);
		if (r == 0 && ((d->flags & DENTRY_WRITE) || parent))
			r = write_entry(w, d, err);
		if (r == 0 && (d->flags & DENTRY_BELOW))
			r = write_whiteouts(w, d, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int layer_write_to(struct tree *tree, struct layer_sink *sink, const struct layer_options *options,
	struct layer_info *info, struct error *err)
{
	struct writer w = {.sink = sink, .options = options};
	int r = write_tree(&w, tree_root(tree), err);
	if (r == 0 && options->before_end != NULL)
		r = options->before_end(tree, err);
	if (r == 0) {
		buffer_add(&w.pending, tar_end, sizeof(tar_end));
		r = flush(&w, 0, err);
	}
	buffer_free(&w.pending);
	if (r == 0)
		*info = (struct layer_info){.size = w.size, .entries = w.entries};
	return r;
}

/* A file, and the digest of what goes there. */
struct file_sink {
	struct layer_sink base;
	int fd;
	struct hasher *hasher;
};

static int write_file(struct layer_sink *sink, const void *data, size_t len, struct error *err)
{
	struct file_sink *file = (struct file_sink *)sink;
	hasher_add(file->hasher, data, len);
	return file_write(file->fd, data, len, "the new layer", err);
}

int layer_write(struct tree *tree, int fd, const struct layer_options *options,
	struct layer_info *info, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct file_sink file = {.base = {.write = write_file}, .fd = fd, .hasher = hasher};
	int r = layer_write_to(tree, &file.base, options, info, err);
	if (r == 0)
		info->diff_id = hasher_finish(hasher);
	return r;
}
