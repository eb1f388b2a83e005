/* A tree that is kept beside its disk: it comes back as it was; what is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "assembling.h"
#include "disk/disk.h"
#include "random_tree.h"
#include "support/digest.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/changes.h"
#include "tree/tree_file.h"
#include "tree/tree_file_format.h"
#include "tree_text.h"

#define OFFSET 100 /* of the tree in its file */

/* A tree, and its disk from which its files are read. */
struct kept {
	struct tree *tree;
	struct source *home;
	int disk, file;
	uint64_t size;
};

static int memory_file(void)
{
	int fd = memfd_create("kept", MFD_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* Takes the tree over, freezes it and assembles it. */
static struct kept keep(struct tree *tree)
{
	struct kept kept = {.tree = tree, .disk = memory_file(), .file = memory_file()};
	struct error err;
	kept.home = tree_own_source(tree, source_from_fd(dup(kept.disk), 0, "the disk"));
	const struct disk_options options = {.room = MIB, .home = kept.home};
	if (disk_assemble(tree, kept.disk, &options, &kept.size, &err) < 0)
		fail_msg("%s", err.message);
	return kept;
}

static void kept_close(struct kept *kept)
{
	tree_free(kept->tree);
	close(kept->disk);
	close(kept->file);
}
#define cleanup_kept __attribute__((cleanup(kept_close)))

static void write_file(struct kept *kept)
{
	struct error err;
	if (tree_file_write(kept->tree, kept->home, kept->file, OFFSET, &err) < 0)
		fail_msg("%s", err.message);
}

static int read_file(const struct kept *kept, int file, struct tree *tree, struct error *err)
{
	return tree_file_read(file, OFFSET, source_from_fd(dup(kept->disk), 0, "the disk"),
		kept->size, tree, err);
}

static struct tree *read_back(const struct kept *kept)
{
	struct tree *tree = tree_new();
	struct error err;
	if (read_file(kept, kept->file, tree, &err) < 0)
		fail_msg("%s", err.message);
	return tree;
}

/* As tree_sort would leave it: an inode's first name in walk order is the head of its names. */
static void check_heads(struct tree *tree)
{
	cleanup_free bool *seen = xcalloc(tree_last_number(tree) + 1u, sizeof(*seen));
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (!seen[d->inode->ino])
			assert_ptr_equal(d->inode->names, d);
		seen[d->inode->ino] = true;
	}
}

/* Both states and all numbers are those of the other tree. */
static void check_same(struct tree *found, struct tree *expected)
{
	check_heads(found);
	cleanup_free char *expected_text = tree_text(expected);
	cleanup_free char *found_text = tree_text(found);
	assert_string_equal(found_text, expected_text);
	struct dentry *root = tree_root(expected), *other = tree_root(found);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode == NULL)
			continue;
		assert_int_equal(other->inode->ino, d->inode->ino);
		assert_int_equal(other->inode->nlink, d->inode->nlink);
		assert_int_equal(other->inode->base_nlink, d->inode->base_nlink);
		assert_int_equal(other->base == NULL, d->base == NULL);
		assert_true(other->base == NULL || other->base == other->inode);
		assert_int_equal(other->flags & DENTRY_SCAFFOLD, d->flags & DENTRY_SCAFFOLD);
		assert_ptr_equal(tree_numbered(found, other->inode->ino), other->inode);
		other = tree_next(tree_root(found), other);
	}
	assert_null(other);
	assert_int_equal(tree_count(found), tree_count(expected));
	tree_revert(expected);
	tree_revert(found);
	cleanup_free char *expected_base = tree_text(expected);
	cleanup_free char *found_base = tree_text(found);
	assert_string_equal(found_base, expected_base);
}

static void add_scaffold(struct tree *tree)
{
	static const char *const names[] = {"zz-dev", "a-proc"};
	struct dentry *dir = tree_root(tree);
	for (size_t i = 0; i < 2; i++) {
		struct inode *inode = tree_inode_new(tree, S_IFDIR | 0755);
		dir = tree_link(tree, dir, names[i], strlen(names[i]), inode);
		dir->flags |= DENTRY_SCAFFOLD;
	}
	add(tree, dir, "mount-point", S_IFREG | 0600)->names->flags |= DENTRY_SCAFFOLD;
}

static void test_random_trees(void **state)
{
	struct random random = {.state = *(const uint64_t *)*state};
	for (unsigned i = 0; i < 100; i++) {
		struct tree *made = tree_new();
		random_changes(&random, made, 80);
		tree_freeze(made);
		if (i % 2 == 1)
			add_scaffold(made);
		/* What the files hold is compared with their sources before the disk was made. */
		cleanup_free char *before = tree_text(made);
		cleanup_kept struct kept kept = keep(made);
		write_file(&kept);
		cleanup_tree struct tree *tree = read_back(&kept);
		check_same(tree, kept.tree);
		cleanup_tree struct tree *again = read_back(&kept);
		cleanup_free char *after = tree_text(again);
		assert_string_equal(after, before);
	}
}

static void set_segments(struct tree *tree, struct inode *inode, size_t count)
{
	struct segment *segments = tree_alloc(tree, count * sizeof(*segments));
	for (size_t i = 0; i < count; i++)
		segments[i] =
			(struct segment){.logical = i * 10000, .length = 5000 - i, .offset = i * 7};
	set_bytes(tree, inode, 20000);
	inode->segments = segments;
	inode->segment_count = (uint32_t)count;
	inode->size = count * 10000 + 77;
}

/* Values at the ends of their ranges, and one of each kind. */
static void test_extremes(void **state)
{
	(void)state;
	static const struct xattr xattrs[] = {
		{"user.empty", "", 0}, {"security.capability", "\1\0\2", 3}, {"user.z", "z", 1}};
	char name[256];
	memset(name, '\xff', 255);
	name[255] = '\0';
	struct tree *made = tree_new();
	struct dentry *root = tree_root(made);
	root->inode->mode = S_IFDIR | 07777;
	root->inode->mtime_sec = INT32_MIN;
	struct inode *inode = add(made, root, name, S_IFREG | 06755);
	inode->uid = inode->gid = UINT32_MAX - 1;
	inode->mtime_sec = (INT64_C(1) << 34) + INT32_MIN - 1;
	inode->mtime_nsec = 999999999;
	inode->xattrs = tree_xattrs(made, xattrs, 3);
	set_segments(made, inode, 6);
	struct dentry *dir = root;
	for (unsigned i = 0; i < 3000; i++)
		dir = add(made, dir, "d", S_IFDIR | 0700)->names;
	tree_link(made, dir, "...", 3, inode);
	set_target(made, add(made, root, "..link", S_IFLNK | 0777), 4095);
	inode = add(made, root, "chr", S_IFCHR | 0600);
	inode->device.major = 4095;
	inode->device.minor = 1048575;
	add(made, root, "hole", S_IFREG | 0600)->size = 70000;
	add(made, root, "fifo", S_IFIFO | 0600);
	add(made, root, "socket", S_IFSOCK | 0600);
	add(made, root, "gone in both states", S_IFREG | 0600);
	tree_unlink(made, tree_walk(made, "gone in both states"));
	tree_freeze(made);
	cleanup_free char *before = tree_text(made);
	cleanup_kept struct kept kept = keep(made);
	write_file(&kept);
	cleanup_tree struct tree *tree = read_back(&kept);
	check_same(tree, kept.tree);
	cleanup_free char *after = tree_text(tree);
	assert_string_equal(after, before);
}

/* Trees that the file cannot tell are a fault of the caller's, and nothing else is written. */
static void test_refused_trees(void **state)
{
	(void)state;
	static const struct {
		const char *what;
		const char *words;
	} cases[] = {
		{"changed", "/file cannot be written: it differs from the base state"},
		{"gone", "/file cannot be written: it differs from the base state"},
		{"unnumbered", "/file cannot be written: its inode number is not that"},
		{"elsewhere", "/file cannot be written: its data is not on the disk"},
		{"linked", "cannot be written: what the base lacks has several names"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tree *made = tree_new();
		struct inode *inode = add(made, tree_root(made), "file", S_IFREG | 0644);
		struct error err;
		set_bytes(made, inode, 10);
		tree_freeze(made);
		if (i == 4) {
			struct dentry *d = add(made, tree_root(made), "m", S_IFREG)->names;
			tree_link(made, tree_root(made), "n", 1, d->inode)->flags |=
				DENTRY_SCAFFOLD;
			d->flags |= DENTRY_SCAFFOLD;
		}
		cleanup_kept struct kept kept = keep(made);
		if (i == 0)
			tree_relink(made, inode->names, tree_inode_new(made, S_IFREG));
		else if (i == 1)
			tree_unlink(made, inode->names);
		else if (i == 2)
			inode->ino = 0;
		else if (i == 3)
			set_bytes(made, inode, 10);
		int r = tree_file_write(made, kept.home, kept.file, OFFSET, &err);
		assert_true(r < 0);
		assert_int_equal(err.kind, ERROR_INTERNAL);
		if (strstr(err.message, cases[i].words) == NULL)
			fail_msg("%s: expected \"%s\" in: %s", cases[i].what, cases[i].words,
				err.message);
		assert_int_equal(lseek(kept.file, 0, SEEK_END), 0);
	}
}

static struct buffer file_bytes(int fd)
{
	struct buffer bytes = {0};
	struct error err;
	lseek(fd, 0, SEEK_SET);
	assert_int_equal(file_read_all(fd, SIZE_MAX, &bytes, "file", &err), 0);
	return bytes;
}

/* Reads bytes as a tree file. Returns the error's words, which the caller frees; NULL: none. */
static char *reading(const struct kept *kept, const struct buffer *bytes, char **text)
{
	struct error err = {0};
	cleanup_close int fd = memory_file();
	cleanup_tree struct tree *tree = tree_new();
	assert_int_equal(file_write_at(fd, bytes->data, bytes->len, 0, "file", &err), 0);
	int r = read_file(kept, fd, tree, &err);
	if (r == 0) {
		*text = tree_text(tree);
		return NULL;
	}
	assert_int_equal(err.kind, ERROR_INPUT);
	assert_true(err.message[0] != '\0');
	return xstrdup(err.message);
}

/* Sets the length and the digest to what they should be. */
static void seal(struct buffer *bytes)
{
	struct tree_file_header header;
	size_t end = bytes->len - sizeof(struct digest);
	memcpy(&header, bytes->data + OFFSET, sizeof(header));
	header.body = end - OFFSET - sizeof(header);
	memcpy(bytes->data + OFFSET, &header, sizeof(header));
	struct digest digest = digest_of(bytes->data + OFFSET, end - OFFSET);
	memcpy(bytes->data + end, digest.bytes, sizeof(digest.bytes));
}

static struct kept random_kept(struct random *random)
{
	struct tree *made = tree_new();
	random_changes(random, made, 40);
	tree_freeze(made);
	add_scaffold(made);
	struct kept kept = keep(made);
	write_file(&kept);
	return kept;
}

/* A bit that is wrong anywhere, and an end that is anywhere else, is noticed by the digest. */
static void test_damage(void **state)
{
	struct random random = {.state = *(const uint64_t *)*state};
	cleanup_kept struct kept kept = random_kept(&random);
	cleanup_buffer struct buffer bytes = file_bytes(kept.file);
	cleanup_free char *text = NULL;
	for (size_t at = OFFSET; at < bytes.len; at++) {
		uint8_t bit = (uint8_t)(1u << random_below(&random, 8));
		bytes.data[at] ^= bit;
		cleanup_free char *words = reading(&kept, &bytes, &text);
		assert_non_null(words);
		bytes.data[at] ^= bit;
		if (at % 7 != 0)
			continue;
		const struct buffer cut = {.data = bytes.data, .len = at};
		cleanup_free char *cut_words = reading(&kept, &cut, &text);
		assert_non_null(cut_words);
	}
}

/*
 * Damage with the right digest: it is refused, or read as a tree that can be written and read
 * again. Nothing else happens, as the sanitizers see.
 */
static void test_sealed_damage(void **state)
{
	struct random random = {.state = *(const uint64_t *)*state};
	unsigned refused = 0;
	for (unsigned i = 0; i < 20; i++) {
		cleanup_kept struct kept kept = random_kept(&random);
		cleanup_buffer struct buffer whole = file_bytes(kept.file);
		size_t body = OFFSET + sizeof(struct tree_file_header);
		uint32_t body_len = (uint32_t)(whole.len - body - sizeof(struct digest));
		for (unsigned k = 0; k < 100; k++) {
			cleanup_buffer struct buffer bytes = {0};
			cleanup_free char *text = NULL;
			buffer_add(&bytes, whole.data, whole.len);
			for (uint32_t n = 1 + random_below(&random, 3); n > 0; n--)
				bytes.data[body + random_below(&random, body_len)] =
					(uint8_t)random_below(&random, 256);
			seal(&bytes);
			cleanup_free char *words = reading(&kept, &bytes, &text);
			refused += words != NULL;
		}
	}
	/* Of changed names, modes and owners there are many that could be. */
	assert_in_range(refused, 200, 1900);
}

struct bad {
	const char *words;
	const char *body; /* as a C string with a length */
	size_t len;
};
#define BAD(words, body)                                                                           \
	{                                                                                          \
		words, body, sizeof(body) - 1                                                      \
	}

/* A directory of mode 0755 without owner and time; the next inode number; "\xed\x83\x01": 040755 */
#define DIR_INODE "\xed\x83\x01\0\0\0\0\0"
#define FILE_INODE "\xa4\x83\x02\0\0\0\0\0" /* 0100644 */
#define LINK_INODE "\xff\xc3\x02\0\0\0\0\0" /* 0120777 */
#define ROOT "\0" DIR_INODE

static void test_bad_bodies(void **state)
{
	(void)state;
	static const struct bad cases[] = {
		BAD("name 0 is cut short", ""),
		BAD("name 0 is missing", "\0\0"),
		BAD("name 0 is missing", "\1\1" ROOT),
		BAD("name 0 is missing", "\2\3" ROOT),
		BAD("name 0 is missing", "\xff\xff\x7f\0" ROOT),
		BAD("name 1 is cut short", "\1\0\0\xed\x83"),
		BAD("name 1 is no directory", "\1\0\0" FILE_INODE "\0\0"),
		BAD("name 1 is no directory", "\1\0\1\2\0\0\0\0"),
		BAD("flags that do not go together", "\1\0\4" DIR_INODE),
		BAD("flags that do not go together", "\2\0" ROOT "\3\0\1a" FILE_INODE "\0\0"),
		BAD("name 1 has more bytes behind", "\1\0" ROOT "\0"),
		BAD("of more than 64 bits",
			"\1\0\0\xed\x83\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
		BAD("of more than 64 bits",
			"\1\0\0\xed\x83\x01\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"),
		BAD("an owner that nobody is", "\1\0\0\xed\x83\x01\xff\xff\xff\xff\x0f"),
		BAD("mode that no file can have", "\1\0\0\xed\x83\x04"),
		BAD("too many nanoseconds", "\1\0\0\xed\x83\x01\0\0\0\x80\x94\xeb\xdc\x03\0"),
		BAD("number that is taken or too large", "\1\0\0\xed\x83\x01\0\0\0\0\x80\x01"),
		BAD("is above the root", "\2\0" ROOT "\0\1\1a" DIR_INODE),
		BAD("a name that no file can have", "\2\0" ROOT "\0\0\0" DIR_INODE),
		BAD("a name that no file can have", "\2\0" ROOT "\0\0\1." DIR_INODE),
		BAD("a name that no file can have", "\2\0" ROOT "\0\0\2.." DIR_INODE),
		BAD("a name that no file can have", "\2\0" ROOT "\0\0\3a/b" DIR_INODE),
		BAD("a name that no file can have", "\2\0" ROOT "\0\0\3a\0b" DIR_INODE),
		BAD("is not behind the name before",
			"\3\0" ROOT "\0\0\1a" DIR_INODE "\0\1\1a" DIR_INODE),
		BAD("is not behind the name before",
			"\3\0" ROOT "\0\0\2ab" DIR_INODE "\0\1\1a" DIR_INODE),
		BAD("below what is no directory",
			"\3\0" ROOT "\0\0\1a" FILE_INODE "\0\0\0\0\1b" DIR_INODE),
		BAD("a link to an inode without a name", "\2\0" ROOT "\1\0\1a\2"),
		BAD("a link to a directory", "\2\0" ROOT "\1\0\1a\1"),
		BAD("of no known type", "\2\0" ROOT "\0\0\1a\0\0\0\0\0\0"),
		BAD("a target that no symlink can have", "\2\0" ROOT "\0\0\1a" LINK_INODE "\0"),
		BAD("a target that no symlink can have", "\2\0" ROOT "\0\0\1a" LINK_INODE "\2x\0"),
		BAD("too long a target", "\2\0" ROOT "\0\0\1a" LINK_INODE "\x80\x20"),
		BAD("more segments than", "\2\0" ROOT "\0\0\1a" FILE_INODE "\1\1"),
		/* Size 1: two bytes; one byte behind a gap of one; at a place before the disk, and
		   behind its end. */
		BAD("beyond its own end", "\2\0" ROOT "\0\0\1a" FILE_INODE "\1\1\0\1\0"),
		BAD("beyond its own end", "\2\0" ROOT "\0\0\1a" FILE_INODE "\1\1\1\0\0"),
		BAD("beyond its own end", "\2\0" ROOT "\0\0\1a" FILE_INODE "\1\1\0\0\1"),
		BAD("beyond its own end",
			"\2\0" ROOT "\0\0\1a" FILE_INODE "\1\1\0\0\x80\x80\x80\x80\x80\x01"),
		BAD("has no attributes", "\1\0\2" DIR_INODE "\0"),
		BAD("more attributes than", "\1\0\2" DIR_INODE "\1"),
		BAD("an attribute without a name", "\1\0\2" DIR_INODE "\1\0\0\0"),
		BAD("an attribute without a name", "\1\0\2" DIR_INODE "\1abcdef"),
		BAD("attributes that are not in order", "\1\0\2" DIR_INODE "\2b\0\0a\0\0"),
		BAD("attributes that are not in order", "\1\0\2" DIR_INODE "\2a\0\0a\0\0"),
		BAD("name 2 is below an inode that is not there",
			"\2\1" ROOT "\0\x09\1a" DIR_INODE),
		BAD("is there already",
			"\3\1" ROOT "\0\0\1a" DIR_INODE "\0\1\1a\xed\x83\x01\0\0\0\0\2"),
		BAD("number that is taken", "\2\1" ROOT "\0\1\1a" DIR_INODE),
		BAD("flags that do not go together", "\2\1" ROOT "\1\1\1a\1"),
	};
	cleanup_kept struct kept kept = keep(tree_new());
	unsigned wrong = 0;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static const uint8_t zeros[sizeof(struct digest)];
		const struct tree_file_header header = {
			.magic = TREE_FILE_MAGIC, .version = TREE_FILE_VERSION};
		cleanup_buffer struct buffer bytes = {0};
		cleanup_free char *text = NULL;
		memset(buffer_reserve(&bytes, OFFSET), 0, OFFSET);
		bytes.len = OFFSET;
		buffer_add(&bytes, &header, sizeof(header));
		buffer_add(&bytes, cases[i].body, cases[i].len);
		buffer_add(&bytes, zeros, sizeof(zeros));
		seal(&bytes);
		cleanup_free char *words = reading(&kept, &bytes, &text);
		if (words != NULL && strstr(words, cases[i].words) != NULL)
			continue;
		print_error("case %zu: expected \"%s\" in: %s\n", i, cases[i].words,
			words == NULL ? text : words);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

int main(void)
{
	uint64_t seed = random_seed();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_prestate(test_random_trees, &seed),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_refused_trees),
		cmocka_unit_test_prestate(test_damage, &seed),
		cmocka_unit_test_prestate(test_sealed_damage, &seed),
		cmocka_unit_test(test_bad_bodies),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
