#include "layer_stacks.h"

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../unit/random_tree.h"
#include "layer/layer.h"
#include "layer/tar_header.h"
#include "support/fileio.h"
#include "support/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void pad(struct buffer *tar)
{
	static const char zeros[TAR_BLOCK];
	if (tar->len % TAR_BLOCK != 0)
		buffer_add(tar, zeros, TAR_BLOCK - tar->len % TAR_BLOCK);
}

void stack_begin_layer(struct stack *stack)
{
	assert_true(stack->count < STACK_LAYERS_MAX);
	stack->count++;
}

void stack_add(struct stack *stack, const struct stack_entry *entry)
{
	struct buffer *tar = &stack->tars[stack->count - 1];
	union {
		struct xattrs list;
		char bytes[sizeof(struct xattrs) + sizeof(struct xattr)];
	} xattrs = {.list = {.count = 1}};
	cleanup_free char *xattr_name = NULL;
	bool file = entry->type == '0';
	bool target = entry->type == '1' || entry->type == '2';
	struct tar_header header = {
		.path = entry->path,
		.type = entry->type,
		.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.size = file && entry->text != NULL ? strlen(entry->text) : 0,
		.mtime_sec = entry->sec,
		.mtime_nsec = entry->nsec,
		.target = target ? entry->text : NULL,
		.major = entry->major,
		.minor = entry->minor,
	};
	if (entry->xattr != NULL) {
		const char *equals = strchr(entry->xattr, '=');
		xattr_name = xstrndup(entry->xattr, (size_t)(equals - entry->xattr));
		xattrs.list.items[0] = (struct xattr){xattr_name, equals + 1,
			(uint32_t)(entry->xattr_len != 0 ? entry->xattr_len : strlen(equals + 1))};
		header.xattrs = &xattrs.list;
	}
	tar_header_add(tar, &header);
	buffer_add(tar, entry->text, (size_t)header.size);
	pad(tar);
}

static void add_all(struct stack *stack, const struct stack_entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (entries[i].type == 'O')
			stack_begin_layer(stack);
		else
			stack_add(stack, &entries[i]);
	}
}

#define DIR(path, mode)                                                                            \
	{                                                                                          \
		path, '5', mode, 0, 0, 1000, 0, NULL, 0, 0, NULL, 0                                \
	}
#define FILE_OF(path, text)                                                                        \
	{                                                                                          \
		path, '0', 0644, 0, 0, 1000, 5, text, 0, 0, NULL, 0                                \
	}
#define LINK(path, target)                                                                         \
	{                                                                                          \
		path, '1', 0644, 0, 0, 1000, 0, target, 0, 0, NULL, 0                              \
	}
#define SYMLINK(path, target)                                                                      \
	{                                                                                          \
		path, '2', 0777, 0, 0, 1000, 0, target, 0, 0, NULL, 0                              \
	}
#define GONE(path)                                                                                 \
	{                                                                                          \
		path, '0', 0644, 0, 0, 0, 0, NULL, 0, 0, NULL, 0                                   \
	}
#define NEXT                                                                                       \
	{                                                                                          \
		"", 'O', 0, 0, 0, 0, 0, NULL, 0, 0, NULL, 0                                        \
	}

#define NAME_50 "01234567890123456789012345678901234567890123456789"
#define NAME_250 NAME_50 NAME_50 NAME_50 NAME_50 NAME_50

/* struct vfs_cap_data of version 2, linux/capability.h: cap_net_raw, permitted and effective. */
#define CAP_NET_RAW "\1\0\0\2\0\40\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static const struct stack_entry everything[] = {
	NEXT,
	/* Types, owners, modes and times of all kinds; parents that the layer leaves out. */
	{"./", '5', 0711, 3, 4, 77, 999999999, NULL, 0, 0, "user.root=of all", 0},
	DIR("d/", 01777),
	{"d/setuid", '0', 06755, 4294967294, 65536, -1, 250000000, "x", 0, 0,
		"security.capability=" CAP_NET_RAW, sizeof(CAP_NET_RAW) - 1},
	{"d/old", '0', 0600, 1, 2, -2147483648, 0, "before 1902", 0, 0, NULL, 0},
	{"d/late", '0', 0, 1, 2, 15032385534, 999999999, "2446", 0, 0, NULL, 0},
	{"d/fifo", '6', 0622, 7, 8, 1, 1, NULL, 0, 0, NULL, 0},
	{"d/null", '3', 0666, 0, 5, 1, 0, NULL, 1, 3, NULL, 0},
	{"d/zero-zero", '3', 0, 0, 0, 1, 0, NULL, 0, 0, NULL, 0},
	{"d/block", '4', 0660, 0, 6, 1, 0, NULL, 259, 1048575, NULL, 0},
	SYMLINK("d/dangling", "nowhere/at all"),
	SYMLINK("d/absolute", "/p/q"),
	{"d/odd-mode", '2', 0700, 9, 9, 5, 123456789, "../p", 0, 0, NULL, 0},
	FILE_OF("p/q/r/s", "in parents that nobody gave"),
	/* In a sticky folder, of another owner: kernels may refuse to follow it. */
	{"d/planted", '2', 0777, 7, 7, 5, 0, "../p/q", 0, 0, NULL, 0},
	FILE_OF("d/planted/through", "a symlink of another's"),
	DIR("setgid/", 02775),
	FILE_OF("setgid/f", "is not given the group"),
	DIR("setgid/d/", 0755),
	FILE_OF("names/" NAME_250 "/" NAME_250, "long"),
	FILE_OF("names/sp ace\nnew\tline\\\x01", "odd"),
	FILE_OF("names/\xc3\xa4\xe2\x82\xac", "UTF-8"),
	FILE_OF("names/\xff\xfe", "no UTF-8"),
	SYMLINK("names/to-\xc3\xa4", "\xc3\xa4\xe2\x82\xac"),
	{"x/many", '0', 0644, 0, 0, 1, 0, "1", 0, 0, "user.a=first", 0},
	{"x/trusted", '0', 0644, 0, 0, 1, 0, "1", 0, 0, "trusted.t=t", 0},
	{"x/strange", '0', 0644, 0, 0, 1, 0, "1", 0, 0, "osx.finder=left out", 0},
	{"x/dir/", '5', 0755, 0, 0, 1, 0, NULL, 0, 0, "user.d=on a directory", 0},
	/* Hard links: of files, symlinks and devices; to a name that goes, and to itself. */
	FILE_OF("h/one", "shared"),
	LINK("h/two", "h/one"),
	LINK("three", "./h//two"),
	LINK("h/link-of-symlink", "d/dangling"),
	LINK("h/null", "d/null"),
	FILE_OF("h/self", "self"),
	LINK("h/self", "h/self"),
	/* Entries that come twice, and of other types. */
	FILE_OF("twice", "first"),
	FILE_OF("twice", "second"),
	FILE_OF("turn/file", "a file"),
	DIR("turn/dir/", 0755),
	FILE_OF("turn/dir/below", "below"),
	SYMLINK("turn/link", "dir"),
	FILE_OF("turn/link/through", "by a symlinked parent"),
	FILE_OF("opaque/a/b/c", "lower"),
	FILE_OF("opaque/a/keep", "lower"),
	FILE_OF("opaque/x", "lower"),
	FILE_OF("away/a/b", "lower"),
	FILE_OF("away/file", "lower"),
	FILE_OF("swap/target", "survives where its folder does not"),
	SYMLINK("bin", "usr/bin"),
	DIR("usr/bin/", 0755),
	FILE_OF("bin/tool", "1"),
	/* aufs keeps files of several names aside; other notes of its say nothing. */
	FILE_OF(".wh..wh.plnk/1.2", "one file"),
	LINK("aufs/a", ".wh..wh.plnk/1.2"),
	LINK("aufs/b", "./.wh..wh.plnk/1.2"),
	FILE_OF("aufs/.wh..wh.plnk/3.4", "below"),
	LINK("aufs/c", "aufs/.wh..wh.plnk/3.4"),
	FILE_OF(".wh..wh.orph/x", "is nowhere"),
	/* ".." takes back the part before it, whatever that is. */
	FILE_OF("none/../dots", "one level up"),
	LINK("also-dots", "aufs/x/../../dots"),
	FILE_OF("order/s/old", "lower"),
	{"order/s/", '5', 0700, 5, 5, 7, 0, NULL, 0, 0, NULL, 0},
	FILE_OF("behind/kept", "what a symlink leads to"),
	SYMLINK("replaced", "behind"),
	SYMLINK("taken", "behind"),
	/* A whiteout of the same layer's has no effect. */
	GONE(".wh.twice"),
	GONE("opaque/.wh..wh..opq"),
	NEXT,
	FILE_OF(".wh..wh.plnk/1.2", "another file"),
	LINK("aufs/d", ".wh..wh.plnk/1.2"),
	FILE_OF("order/s/new", "in a folder that was made anew"),
	GONE("order/.wh..wh..opq"),
	/* overlayfs marks folders in the place of symlinks as opaque. */
	DIR("replaced/", 0755),
	GONE("replaced/.wh..wh..opq"),
	GONE("taken/.wh.kept"),
	GONE("none/../.wh.taken"),
	FILE_OF("opaque/a/fresh", "this layer's, before the marker"),
	GONE("opaque/.wh..wh..opq"),
	FILE_OF("opaque/a/later", "this layer's, after the marker"),
	GONE("away/.wh.a"),
	GONE("away/.wh.nothing"),
	GONE("away/.wh..wh.aufs"),
	GONE("nowhere/.wh.x"),
	GONE("bin/.wh.tool"),
	FILE_OF("bin/other", "2"),
	GONE("h/.wh.one"),
	FILE_OF("turn/dir", "was a directory"),
	DIR("turn/file/", 0700),
	FILE_OF("turn/file/below", "was a file"),
	DIR("turn/link/", 0711),
	LINK("swap", "swap/target"),
	{"x/dir/", '5', 0700, 1, 1, 2, 3, NULL, 0, 0, "user.e=another", 0},
	{"x/many", '0', 0600, 0, 0, 1, 0, "2", 0, 0, "user.b=second", 0},
	NEXT,
	/* Takes away what it has half given itself. */
	FILE_OF("opaque/a/b/c", "again"),
	GONE("opaque/.wh.a"),
	LINK("three", "twice"),
	GONE(".wh.setgid"),
	FILE_OF("setgid/new", "in a new directory"),
	{"./", '5', 0755, 0, 0, 1600000000, 1, NULL, 0, 0, NULL, 0},
};

/* What tar_header_add cannot say: ACLs as text, a sparse map, a hole, much data. */
static void add_archived(struct stack *stack)
{
	static char data[300000];
	size_t used = 0;
	size_t capacity = 4u << 20;
	cleanup_free char *bytes = xmalloc(capacity);
	struct archive *a = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 2654435761u >> 13);
	archive_write_set_format_pax(a);
	archive_write_set_bytes_in_last_block(a, 1);
	assert_int_equal(archive_write_open_memory(a, bytes, capacity, &used), ARCHIVE_OK);
	archive_entry_set_pathname(entry, "sparse");
	archive_entry_set_mode(entry, S_IFREG | 0640);
	archive_entry_set_size(entry, 40 << 20);
	archive_entry_set_mtime(entry, 12345, 678);
	archive_entry_sparse_add_entry(entry, 4096, 8192);
	archive_entry_sparse_add_entry(entry, 20 << 20, (int64_t)sizeof(data));
	assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
	/* libarchive takes the whole file and leaves its holes out. */
	cleanup_free char *whole = xcalloc(1, 40 << 20);
	memcpy(whole + 4096, data, 8192);
	memcpy(whole + (20 << 20), data, sizeof(data));
	assert_true(archive_write_data(a, whole, 40 << 20) >= 0);
	static const struct {
		const char *path;
		mode_t mode;
	} with_acl[] = {{"acl-file", S_IFREG | 0640}, {"acl-dir", S_IFDIR | 0750}};
	for (size_t i = 0; i < COUNT(with_acl); i++) {
		int access = ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
		int fallback = ARCHIVE_ENTRY_ACL_TYPE_DEFAULT;
		archive_entry_clear(entry);
		archive_entry_set_pathname(entry, with_acl[i].path);
		archive_entry_set_mode(entry, with_acl[i].mode);
		archive_entry_set_size(entry, 0);
		archive_entry_acl_add_entry(entry, access, 6, ARCHIVE_ENTRY_ACL_USER, 4000, "");
		archive_entry_acl_add_entry(entry, access, 4, ARCHIVE_ENTRY_ACL_GROUP, 70000, "");
		archive_entry_acl_add_entry(entry, access, 7, ARCHIVE_ENTRY_ACL_MASK, -1, "");
		if (S_ISDIR(with_acl[i].mode)) {
			static const int tags[] = {ARCHIVE_ENTRY_ACL_USER_OBJ,
				ARCHIVE_ENTRY_ACL_GROUP_OBJ, ARCHIVE_ENTRY_ACL_OTHER,
				ARCHIVE_ENTRY_ACL_MASK};
			for (size_t t = 0; t < COUNT(tags); t++)
				archive_entry_acl_add_entry(entry, fallback, 5, tags[t], -1, "");
			archive_entry_acl_add_entry(
				entry, fallback, 6, ARCHIVE_ENTRY_ACL_USER, 12, "");
		}
		assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
	}
	archive_entry_free(entry);
	assert_int_equal(archive_write_close(a), ARCHIVE_OK);
	archive_write_free(a);
	struct buffer *tar = &stack->tars[stack->count - 1];
	/* Without its end: more comes behind. */
	assert_true(used >= 2 * TAR_BLOCK);
	buffer_add(tar, bytes, used - 2 * TAR_BLOCK);
}

void stack_of_everything(struct stack *stack)
{
	static const struct stack_entry below[] = {
		FILE_OF("acl-dir/inherits", "no ACL of the directory's"),
		DIR("acl-dir/inherits-neither/", 0755),
		FILE_OF("acl-dir/made/parent", "nor do parents that are made"),
	};
	add_all(stack, everything, COUNT(everything));
	add_archived(stack);
	add_all(stack, below, COUNT(below));
}

/*
 * Few names, so that entries meet: "d0" to "d4" for directories, "n0" to "n7" for what is in them.
 * The types keep to that most of the time, else there would soon be no tree left.
 */
static const char *random_path(struct random *random, char *path, size_t size)
{
	unsigned depth = random_below(random, 4);
	size_t len = 0;
	for (unsigned i = 0; i < depth; i++)
		len += (size_t)snprintf(path + len, size - len, "d%u/", random_below(random, 5));
	bool directory = random_below(random, 3) == 0;
	snprintf(path + len, size - len, directory ? "d%u" : "n%u",
		random_below(random, directory ? 5 : 8));
	return path;
}

static char random_type(struct random *random, const char *path)
{
	static const char types[] = "00001112223465";
	bool directory = path[strlen(path) - 2] == 'd';
	if (directory && random_below(random, 12) != 0)
		return '5';
	return types[random_below(random, sizeof(types) - 1)];
}

static void random_entry(struct random *random, struct stack *stack)
{
	static const char *const xattrs[] = {NULL, NULL, NULL, "user.x=1", "user.y=2"};
	static const char *const targets[] = {
		"d0", "n1", "..", "../d2", "/d3", "../../d4/d0", ".", "none", "/d1/n0"};
	char path[64], text[64];
	char name[96];
	random_path(random, path, sizeof(path));
	random_path(random, text, sizeof(text));
	struct stack_entry entry = {
		.path = path,
		.type = random_type(random, path),
		.mode = random_below(random, 010000),
		.uid = random_below(random, 3),
		.gid = random_below(random, 70000),
		.sec = (int64_t)random_below(random, 2000) - 1000,
		.nsec = random_below(random, 1000000000),
		.text = text,
		.major = random_below(random, 300),
		.minor = random_below(random, 3000),
	};
	const char *slash = strrchr(path, '/');
	int dir_len = slash != NULL ? (int)(slash + 1 - path) : 0;
	unsigned kind = random_below(random, 64);
	if (kind < 6) {
		snprintf(name, sizeof(name), "%.*s.wh.%s", dir_len, path, path + dir_len);
		entry = (struct stack_entry)GONE(name);
	} else if (kind == 6) {
		snprintf(name, sizeof(name), "%s/.wh..wh..opq", path);
		entry = (struct stack_entry)GONE(name);
	} else if (kind == 7) {
		snprintf(name, sizeof(name), "%.*s.wh..wh.plnk/%s", dir_len, path, path + dir_len);
		entry.path = name;
	} else if (kind == 8) {
		snprintf(name, sizeof(name), ".wh..wh.plnk/%s", text);
		entry.type = '1';
		entry.text = name;
	} else if (kind == 9) {
		snprintf(name, sizeof(name), "%.*sx/../%s", dir_len, path, path + dir_len);
		entry.path = name;
	} else if (entry.type == '2') {
		entry.text = targets[random_below(random, COUNT(targets))];
	} else if (entry.type == '0' || entry.type == '5') {
		entry.xattr = xattrs[random_below(random, COUNT(xattrs))];
	}
	stack_add(stack, &entry);
}

void stack_of_random(struct stack *stack, uint64_t seed, size_t entries)
{
	struct random random = {seed};
	for (size_t i = 0; i < entries; i++) {
		struct error err;
		if (i % (entries / 5 + 1) == 0)
			stack_begin_layer(stack);
		struct buffer *tar = &stack->tars[stack->count - 1];
		size_t before = tar->len;
		random_entry(&random, stack);
		cleanup_tree struct tree *tree = tree_new();
		if (stack_apply(stack, tree, &err) < 0)
			tar->len = before;
	}
}

int stack_apply(const struct stack *stack, struct tree *tree, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < stack->count; i++) {
		const struct buffer *tar = &stack->tars[i];
		r = layer_apply(
			tree, source_from_bytes(tar->data, tar->len), tar->len, "layer", err);
	}
	return r;
}

static int write_to_fd(struct archive *archive, const struct buffer *tar)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, "data");
	archive_entry_set_filetype(entry, AE_IFREG);
	int r = archive_write_header(archive, entry);
	archive_entry_free(entry);
	if (r == ARCHIVE_OK && archive_write_data(archive, tar->data, tar->len) < 0)
		r = ARCHIVE_FATAL;
	return r == ARCHIVE_OK ? archive_write_close(archive) : r;
}

/* Compresses a tar, or does not, to a file of its own. */
static void finish_layer(const struct buffer *tar, size_t index, struct image_layer *layer)
{
	static const char *const types[] = {"", "+gzip", "+zstd"};
	static char media_types[3][64];
	size_t kind = index % COUNT(types);
	struct error err;
	int fd = file_temporary(&err);
	assert_true(fd >= 0);
	snprintf(media_types[kind], sizeof(media_types[kind]),
		"application/vnd.oci.image.layer.v1.tar%s", types[kind]);
	/* Blobs do not begin where a file does. */
	static const char before[] = "what is before";
	assert_int_equal(write(fd, before, sizeof(before)), sizeof(before));
	struct archive *archive = archive_write_new();
	archive_write_set_format_raw(archive);
	archive_write_set_bytes_in_last_block(archive, 1);
	if (kind == 1)
		archive_write_add_filter_gzip(archive);
	if (kind == 2)
		archive_write_add_filter_zstd(archive);
	assert_int_equal(archive_write_open_fd(archive, fd), ARCHIVE_OK);
	assert_int_equal(write_to_fd(archive, tar), ARCHIVE_OK);
	archive_write_free(archive);
	off_t end = lseek(fd, 0, SEEK_END);
	*layer = (struct image_layer){
		.media_type = media_types[kind],
		.blob_fd = fd,
		.blob_offset = sizeof(before),
		.blob_size = (uint64_t)end - sizeof(before),
		.tar_size = tar->len,
		.tar_fd = -1,
	};
}

void stack_finish(struct stack *stack)
{
	static const char end[2 * TAR_BLOCK];
	for (size_t i = 0; i < stack->count; i++) {
		buffer_add(&stack->tars[i], end, sizeof(end));
		finish_layer(&stack->tars[i], i, &stack->layers[i]);
	}
	stack->image = (struct image){.layers = stack->layers, .layer_count = stack->count};
}

void stack_free(struct stack *stack)
{
	for (size_t i = 0; i < stack->count; i++) {
		buffer_free(&stack->tars[i]);
		if (stack->image.layers != NULL)
			close(stack->layers[i].blob_fd);
	}
}
