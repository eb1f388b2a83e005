#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostfiles.h"
#include "random_tree.h"
#include "support/buffer.h"
#include "support/digest.h"
#include "support/memory.h"

/* Random folders, compared with what lstat says of every path. */

static struct buffer *walk_text;
static size_t walk_prefix;

static int put_line(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	if (ftw->level == 0)
		return 0;
	buffer_printf(walk_text, "%s %o %d.%09ld", path + walk_prefix, st->st_mode,
		(int)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	if (S_ISREG(st->st_mode)) {
		char bytes[4096];
		char text[DIGEST_TEXT_SIZE];
		cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, bytes, sizeof(bytes));
		assert_int_equal(n, st->st_size);
		struct digest digest = digest_of(bytes, (size_t)n);
		buffer_printf(
			walk_text, " %u %s", (unsigned)st->st_nlink, digest_text(&digest, text));
	} else if (S_ISLNK(st->st_mode)) {
		char target[256] = {0};
		assert_true(readlink(path, target, sizeof(target) - 1) > 0);
		buffer_printf(walk_text, " -> %s", target);
	}
	buffer_add(walk_text, "", 1);
	return 0;
}

static void put_tree_line(const struct dentry *d, struct buffer *text)
{
	const struct inode *inode = d->inode;
	cleanup_free char *path = tree_path(d);
	struct error err;
	buffer_printf(text, "/%s %o %d.%09u", path, inode->mode, (int)inode->mtime_sec,
		inode->mtime_nsec);
	if (S_ISREG(inode->mode)) {
		char bytes[4096];
		char digest[DIGEST_TEXT_SIZE];
		assert_int_equal(inode_read(inode, bytes, inode->size, 0, &err), 0);
		struct digest of = digest_of(bytes, inode->size);
		buffer_printf(text, " %u %s", inode->nlink, digest_text(&of, digest));
	} else if (S_ISLNK(inode->mode)) {
		buffer_printf(text, " -> %s", inode->target);
	}
	assert_int_equal(inode->uid, NEW_UID);
	assert_int_equal(inode->gid, NEW_GID);
	buffer_add(text, "", 1);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted lines, so that the order of the walk does not matter. */
static char *sorted_lines(struct buffer *lines)
{
	size_t count = 0;
	size_t capacity = 0;
	cleanup_free const char **array = NULL;
	cleanup_buffer struct buffer out = {0};
	for (size_t at = 0; at < lines->len; at += strlen((const char *)lines->data + at) + 1) {
		array = array_grow(array, count, &capacity, sizeof(*array));
		array[count++] = (const char *)lines->data + at;
	}
	if (count != 0)
		qsort(array, count, sizeof(*array), compare_lines);
	for (size_t i = 0; i < count; i++)
		buffer_printf(&out, "%s\n", array[i]);
	return buffer_steal_text(&out);
}

static void make_random_folder(struct random *random, const char *folder)
{
	char *dirs[64] = {xstrdup(folder)};
	char *files[64];
	unsigned dir_count = 1;
	unsigned file_count = 0;
	unsigned steps = random_below(random, 60);
	for (unsigned i = 0; i < steps; i++) {
		const char *dir = dirs[random_below(random, dir_count)];
		char *path = xasprintf("%s/%c%u", dir, "ab.\n\xfc"[random_below(random, 5)], i);
		mode_t mode = random_below(random, 010000) | S_IRUSR;
		switch (random_below(random, 5)) {
		case 0:
			assert_int_equal(mkdir(path, 0700), 0);
			assert_int_equal(chmod(path, mode | S_IRWXU), 0);
			dirs[dir_count++] = xstrdup(path);
			break;
		case 1:
			assert_int_equal(symlink(i % 2 != 0 ? "nowhere" : "/", path), 0);
			break;
		case 2:
			assert_int_equal(mkfifo(path, 0600), 0);
			break;
		case 3:
			if (file_count > 0) {
				assert_int_equal(
					link(files[random_below(random, file_count)], path), 0);
				break;
			}
			/* fall through */
		default: {
			FILE *file = fopen(path, "w");
			assert_non_null(file);
			for (uint32_t n = random_below(random, 4000); n > 0; n--)
				fputc((int)random_below(random, 256), file);
			assert_int_equal(fclose(file), 0);
			assert_int_equal(chmod(path, mode), 0);
			files[file_count++] = xstrdup(path);
		}
		}
		const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
			{.tv_sec = (time_t)random_below(random, 2000000000) - 1000000,
				.tv_nsec = (long)random_below(random, 1000000000)}};
		assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
		free(path);
	}
	while (dir_count > 0)
		free(dirs[--dir_count]);
	while (file_count > 0)
		free(files[--file_count]);
}

static void test_random_folders(void **state)
{
	(void)state;
	struct random random = {.state = random_seed()};
	for (unsigned round = 0; round < 25; round++) {
		char *folder = folder_new();
		cleanup_tree struct tree *tree = tree_new();
		cleanup_free char *report = NULL;
		cleanup_buffer struct buffer wanted = {0};
		cleanup_buffer struct buffer got = {0};
		struct error err = {0};
		make_random_folder(&random, folder);
		if (copy_in(tree, folder, true, &report, &err) != 0)
			fail_msg("%s", err.message);
		walk_text = &wanted;
		walk_prefix = strlen(folder);
		assert_int_equal(nftw(folder, put_line, 16, FTW_PHYS), 0);
		struct dentry *root = tree_root(tree);
		for (struct dentry *d = tree_next(root, root); d != NULL; d = tree_next(root, d))
			put_tree_line(d, &got);
		cleanup_free char *wanted_text = sorted_lines(&wanted);
		cleanup_free char *got_text = sorted_lines(&got);
		assert_string_equal(got_text, wanted_text);
		folder_remove(folder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_folders),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
