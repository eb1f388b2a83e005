#include "image/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "image/member_name.h"
#include "support/memory.h"

void folder_close(struct folder *folder)
{
	for (size_t i = 0; i < folder->count; i++) {
		free(folder->files[i].name);
		close(folder->files[i].fd);
	}
	free(folder->files);
	if (folder->fd >= 0)
		close(folder->fd);
	*folder = (struct folder){.fd = -1};
}

/* openat2(2), which has no wrapper in glibc. O_NONBLOCK: a FIFO must not hold the program up. */
static int open_beneath(int folder, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	return (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
}

static int cannot_open(const struct folder *folder, const char *name, struct error *err)
{
	if (errno == ENOENT || errno == ENOTDIR)
		return error_set(
			err, ERROR_INPUT, ENOENT, "%s: has no file %s", folder->path, name);
	if (errno == ELOOP)
		return error_set(err, ERROR_INPUT, ELOOP,
			"%s: %s is a symlink or beyond one, which is not followed", folder->path,
			name);
	return error_set_errno(err, ERROR_INPUT, "%s/%s: cannot open", folder->path, name);
}

/* Opens what is not open yet. name: normalised. */
static int open_new(struct folder *folder, const char *name, struct error *err)
{
	struct stat st;
	cleanup_close int fd = open_beneath(folder->fd, name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return cannot_open(folder, name, err);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_INPUT, EINVAL, "%s: its %s is no regular file",
			folder->path, name);
	folder->files =
		array_grow(folder->files, folder->count, &folder->capacity, sizeof(*folder->files));
	folder->files[folder->count++] = (struct folder_file){
		.name = xstrdup(name),
		.fd = steal_fd(&fd),
		.size = (uint64_t)st.st_size,
	};
	return 0;
}

int folder_open(
	struct folder *folder, const char *name, const struct folder_file **out, struct error *err)
{
	cleanup_free char *normal = member_name_normalise(name);
	if (normal == NULL || *normal == '\0')
		return error_set(
			err, ERROR_INPUT, ENOENT, "%s: has no file %s", folder->path, name);
	for (size_t i = 0; i < folder->count; i++) {
		if (strcmp(folder->files[i].name, normal) == 0) {
			*out = &folder->files[i];
			return 0;
		}
	}
	int r = open_new(folder, normal, err);
	if (r == 0)
		*out = &folder->files[folder->count - 1];
	return r;
}
