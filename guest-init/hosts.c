#include "hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image.h"

#define NAME "hosts"
/* The image's /dev is hidden from jobs by the guest's. */
#define ASIDE_FOLDER "dev"
#define ASIDE_NAME ".layervm-hosts"
#define SPACE " \t\r"

static const struct {
	const char *name, *line;
} needed[] = {
	{"localhost", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"},
	{"layervm", "127.0.1.1\tlayervm\n"}, /* the guest's own name, which devices.c sets */
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static int open_folder(const char *name)
{
	const struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	int image = open(IMAGE_FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (image < 0)
		return -1;
	int fd = (int)syscall(SYS_openat2, image, name, &how, sizeof(how));
	close(image);
	return fd;
}

/* Whether a text of lines "address name..." has a name. Changes the text. */
static bool has_name(char *text, const char *name)
{
	for (char *line = strsep(&text, "\n"); line != NULL; line = strsep(&text, "\n")) {
		line[strcspn(line, "#")] = '\0';
		bool is_address = true;
		for (char *word = strtok(line, SPACE); word != NULL; word = strtok(NULL, SPACE)) {
			if (!is_address && strcasecmp(word, name) == 0)
				return true;
			is_address = false;
		}
	}
	return false;
}

/* Adds the lines that the text lacks. Returns 0 where there is none such, or no memory. */
static int complete(struct hosts *hosts)
{
	size_t room = hosts->len + 256;
	char *text = calloc(1, room);
	bool added = false;
	if (text == NULL)
		return 0;
	memcpy(text, hosts->text, hosts->len);
	size_t len = hosts->len;
	if (len > 0 && text[len - 1] != '\n')
		text[len++] = '\n';
	hosts->start = len;
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		char *copy = strndup(hosts->text, hosts->len);
		if (copy != NULL && !has_name(copy, needed[i].name)) {
			len += (size_t)snprintf(text + len, room - len, "%s", needed[i].line);
			added = true;
		}
		free(copy);
	}
	free(hosts->text);
	hosts->text = text;
	hosts->len = len;
	return added;
}

/* Reads a file to its end. Returns its text, which has a NUL behind it, or NULL. */
static char *read_text(int folder, const char *name, size_t max, size_t *len)
{
	int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = fd >= 0 ? malloc(max + 1) : NULL;
	size_t have = 0;
	ssize_t n = 1;
	while (text != NULL && n > 0 && have < max) {
		n = read(fd, text + have, max - have);
		have += n > 0 ? (size_t)n : 0;
	}
	close_fd(&fd);
	if (text == NULL || n != 0) {
		free(text);
		return NULL;
	}
	text[have] = '\0';
	*len = have;
	return text;
}

/* A folder's time is what it was before a name of ours came or went. */
static void keep_time(int folder, const struct stat *before)
{
	const struct timespec times[] = {before->st_atim, before->st_mtim};
	(void)!futimens(folder, times);
}

/* Moves a name from folder to folder, neither of which tells. */
static int move(int from, const char *name, int to, const char *new_name)
{
	struct stat from_before, to_before;
	if (fstat(from, &from_before) < 0 || fstat(to, &to_before) < 0)
		return -1;
	int r = renameat(from, name, to, new_name);
	int code = errno;
	keep_time(from, &from_before);
	keep_time(to, &to_before);
	errno = code;
	return r;
}

static int remove_name(int folder, const char *name)
{
	struct stat before;
	if (fstat(folder, &before) < 0)
		return -1;
	int r = unlinkat(folder, name, 0);
	int code = errno;
	keep_time(folder, &before);
	errno = code;
	return r;
}

/* What the image has: its text, and who may do what with it. Returns 0 where it stays as it is. */
static int read_image(struct hosts *hosts, struct stat *st)
{
	*st = (struct stat){.st_mode = S_IFREG | 0644};
	if (fstatat(hosts->folder, NAME, st, AT_SYMLINK_NOFOLLOW) < 0) {
		hosts->text = errno == ENOENT ? calloc(1, 1) : NULL;
		return hosts->text != NULL;
	}
	if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
		return 0;
	hosts->aside = open_folder(ASIDE_FOLDER);
	hosts->text = read_text(hosts->folder, NAME, HOSTS_MAX, &hosts->len);
	return hosts->aside >= 0 && hosts->text != NULL &&
	       strlen(hosts->text) == hosts->len; /* a text */
}

/* Makes our file where there is none by now. */
static int make_file(struct hosts *hosts, const struct stat *like)
{
	struct stat folder, st;
	if (fstat(hosts->folder, &folder) < 0)
		return -1;
	int fd = openat(hosts->folder, NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, hosts->text, hosts->len);
	int r = n == (ssize_t)hosts->len ? 0 : -1;
	if (r == 0 && (fchown(fd, like->st_uid, like->st_gid) < 0 ||
			      fchmod(fd, like->st_mode & 07777) < 0 || fstat(fd, &st) < 0))
		r = -1;
	close(fd);
	if (r < 0)
		unlinkat(hosts->folder, NAME, 0);
	else
		hosts->ino = st.st_ino;
	keep_time(hosts->folder, &folder);
	return r;
}

static void forget(struct hosts *hosts)
{
	close_fd(&hosts->folder);
	close_fd(&hosts->aside);
	free(hosts->text);
	*hosts = HOSTS_NONE;
}

int hosts_put(struct hosts *hosts, struct fault *fault)
{
	struct stat like;
	hosts->folder = open_folder("etc");
	if (hosts->folder < 0 || !read_image(hosts, &like) || !complete(hosts)) {
		forget(hosts);
		return 0;
	}
	bool is_moved = hosts->aside >= 0;
	int r = 0;
	if (is_moved)
		r = move(hosts->folder, NAME, hosts->aside, ASIDE_NAME);
	if (r < 0) {
		forget(hosts);
		return 0;
	}
	if (make_file(hosts, &like) == 0)
		return 0;
	if (is_moved && move(hosts->aside, ASIDE_NAME, hosts->folder, NAME) < 0)
		r = fault_set_errno(fault, "cannot give the image its /etc/" NAME " back");
	forget(hosts);
	return r;
}

/* Writes what a job added behind the image's own text, as the file that is there. */
static int keep_addition(
	const struct hosts *hosts, const struct stat *st, const char *text, size_t len)
{
	const struct timespec times[] = {st->st_atim, st->st_mtim};
	const char *added = text + hosts->len;
	size_t added_len = len - hosts->len;
	int fd = openat(hosts->folder, NAME, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int r = -1;
	if (pwrite(fd, added, added_len, (off_t)hosts->start) == (ssize_t)added_len &&
		ftruncate(fd, (off_t)(hosts->start + added_len)) == 0 && futimens(fd, times) == 0)
		r = 0;
	close(fd);
	return r;
}

/* Takes our part out of the file. Returns 1 where the file is a job's own, 0, or -1. */
static int take_back(const struct hosts *hosts)
{
	struct stat st;
	size_t len = 0;
	if (fstatat(hosts->folder, NAME, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : -1;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_size < (off_t)hosts->len)
		return 1;
	char *text = read_text(hosts->folder, NAME, 16 * HOSTS_MAX, &len);
	int r = 1;
	if (text != NULL && len >= hosts->len && memcmp(text, hosts->text, hosts->len) == 0) {
		bool same = len == hosts->len && st.st_ino == hosts->ino;
		if (!same)
			r = keep_addition(hosts, &st, text, len) < 0 ? -1 : 1;
		else if (hosts->aside < 0)
			r = remove_name(hosts->folder, NAME);
		else
			r = move(hosts->aside, ASIDE_NAME, hosts->folder, NAME);
	}
	free(text);
	return r;
}

int hosts_restore(struct hosts *hosts, struct fault *fault)
{
	if (hosts->folder < 0)
		return 0;
	int r = take_back(hosts);
	if (r < 0 && errno == EROFS &&
		mount(NULL, IMAGE_FOLDER, NULL, MS_REMOUNT | MS_NOATIME, NULL) == 0)
		r = take_back(hosts);
	if (r == 1 && hosts->aside >= 0)
		r = remove_name(hosts->aside, ASIDE_NAME);
	if (r < 0)
		fault_set_errno(fault, "cannot give the image its /etc/" NAME " back");
	forget(hosts);
	return r < 0 ? -1 : 0;
}
