#include "hostfiles.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "hostdir/hostdir.h"
#include "hostdir/workdir.h"
#include "support/memory.h"
#include "tree_text.h"

static const char *temporary_folder(void)
{
	const char *folder = getenv("TMPDIR");
	return folder != NULL && *folder != '\0' ? folder : "/var/tmp";
}

char *folder_new(void)
{
	char *path = xasprintf("%s/layervm-test-XXXXXX", temporary_folder());
	assert_non_null(mkdtemp(path));
	assert_int_equal(chmod(path, 0755), 0);
	return path;
}

static int open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	return S_ISDIR(st->st_mode) ? chmod(path, 0700) : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void folder_remove(char *path)
{
	assert_int_equal(nftw(path, open_one, 16, FTW_PHYS), 0);
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(path);
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_true(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void make_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text != NULL ? text : "", file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void make_item(const struct item *item, const char *folder)
{
	cleanup_free char *path = xasprintf("%s/%s", folder, item->path);
	cleanup_free char *other = NULL;
	switch (item->type) {
	case 'd':
		assert_int_equal(mkdir(path, 0700), 0);
		break;
	case 'f':
		make_file(path, item->text);
		assert_int_equal(chmod(path, item->mode), 0);
		break;
	case 'l':
		assert_int_equal(symlink(item->text, path), 0);
		break;
	case 'p':
		assert_int_equal(mkfifo(path, 0600), 0);
		assert_int_equal(chmod(path, item->mode), 0);
		break;
	case 's':
		make_socket(path);
		break;
	case 'h':
		other = xasprintf("%s/%s", folder, item->text);
		assert_int_equal(link(other, path), 0);
		return;
	default:
		fail_msg("no such type on the host: %c", item->type);
	}
}

void items_to_folder(const struct item *items, const char *folder)
{
	size_t count = 0;
	for (; items[count].type != 0; count++)
		make_item(&items[count], folder);
	/* Directories last: what is made in them changes their time, and needs their permission. */
	while (count-- > 0) {
		const struct item *item = &items[count];
		cleanup_free char *path = xasprintf("%s/%s", folder, item->path);
		const struct timespec times[2] = {
			{.tv_nsec = UTIME_OMIT}, {.tv_sec = item->mtime, .tv_nsec = 7}};
		if (item->type == 'h')
			continue;
		assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
		if (item->type == 'd')
			assert_int_equal(chmod(path, item->mode), 0);
	}
}

static struct inode *inode_of(const struct item *item, struct tree *tree)
{
	static const struct {
		char type;
		uint32_t mode;
	} types[] = {
		{'d', S_IFDIR}, {'f', S_IFREG}, {'l', S_IFLNK}, {'p', S_IFIFO}, {'c', S_IFCHR}};
	uint32_t mode = item->type == 'l' ? 0777 : item->mode;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (types[i].type == item->type)
			mode |= types[i].mode;
	}
	struct inode *inode = tree_inode_new(tree, mode);
	inode->uid = item->is_new ? NEW_UID : 10;
	inode->gid = item->is_new ? NEW_GID : 20;
	inode->mtime_sec = item->mtime;
	inode->mtime_nsec = 7;
	const char *text = item->text != NULL ? item->text : "";
	size_t len = strlen(text);
	if (item->type == 'f') {
		struct source *source = tree_own_source(tree, source_from_bytes(text, len));
		inode_set_data(tree, inode, source, 0, len);
	} else if (item->type == 'l') {
		char *target = tree_alloc(tree, len + 1);
		memcpy(target, text, len);
		inode->target = target;
		inode->size = len;
	} else if (item->type == 'c') {
		inode->device.major = 5;
		inode->device.minor = 1;
	}
	return inode;
}

void items_to_tree(const struct item *items, struct tree *tree)
{
	for (; items->type != 0; items++) {
		const char *name = strrchr(items->path, '/');
		cleanup_free char *parent =
			name == NULL ? xstrdup("")
				     : xstrndup(items->path, (size_t)(name - items->path));
		name = name != NULL ? name + 1 : items->path;
		struct dentry *dir = tree_walk(tree, parent);
		assert_non_null(dir);
		if (items->type == 'w') {
			tree_unlink(tree, tree_walk(tree, items->path));
			continue;
		}
		struct inode *inode = items->type == 'h' ? tree_walk(tree, items->text)->inode
							 : inode_of(items, tree);
		if (strcmp(name, ".") == 0)
			tree_relink(tree, dir, inode);
		else
			tree_link(tree, dir, name, strlen(name), inode);
	}
}

void assert_tree_is(struct tree *tree, const struct item *items, const char *what)
{
	cleanup_tree struct tree *expected = tree_new();
	items_to_tree(items, expected);
	cleanup_free char *wanted = tree_text(expected);
	cleanup_free char *got = tree_text(tree);
	if (strcmp(got, wanted) != 0)
		fail_msg("%s: expected\n%sbut it is\n%s", what, wanted, got);
}

struct report *report_to_file(int *fd)
{
	*fd = memfd_create("report", MFD_CLOEXEC);
	assert_true(*fd >= 0);
	return report_new(REPORT_PLAIN, *fd);
}

char *reported(int fd)
{
	char text[65536];
	ssize_t n = pread(fd, text, sizeof(text), 0);
	assert_true(n >= 0);
	return xstrndup(text, (size_t)n);
}

struct tree *empty_tree(void)
{
	struct tree *tree = tree_new();
	tree_freeze(tree);
	return tree;
}

int copy_in(struct tree *tree, const char *path, bool keep_dirlinks, char **report_text,
	struct error *err)
{
	cleanup_close int fd = -1;
	cleanup_report struct report *report = report_to_file(&fd);
	const struct hostdir_options options = {
		.uid = NEW_UID, .gid = NEW_GID, .keep_dirlinks = keep_dirlinks, .report = report};
	int r = hostdir_copy_in(tree, path, &options, err);
	*report_text = reported(fd);
	return r;
}

int run_script(struct tree *tree, const char *script, char **report_text, struct error *err)
{
	cleanup_close int fd = -1;
	cleanup_report struct report *report = report_to_file(&fd);
	const struct workdir_options options = {.uid = NEW_UID, .gid = NEW_GID, .report = report};
	int r = workdir_run(tree, script, &options, err);
	*report_text = reported(fd);
	return r;
}

int temporary_setup(void **state)
{
	*state = folder_new();
	return chmod(*state, 01777) < 0 || setenv("TMPDIR", *state, 1) < 0 ? -1 : 0;
}

int temporary_teardown(void **state)
{
	int r = rmdir(*state);
	if (r < 0)
		fprintf(stderr, "%s: something was left behind in it\n", (const char *)*state);
	free(*state);
	return r;
}

void assert_nothing_left(void)
{
	DIR *dir = opendir(temporary_folder());
	assert_non_null(dir);
	for (const struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			fail_msg("left behind: %s", d->d_name);
	}
	closedir(dir);
}
