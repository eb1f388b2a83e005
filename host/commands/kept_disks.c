#include "commands/kept_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/env_list.h"
#include "disk/disk.h"
#include "disk/overlay.h"
#include "spec/json_text.h"
#include "spec/spec.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define DISK_NAME "disk.ext4"
#define OVERLAY_NAME "overlay.qcow2"
#define DESCRIPTION_NAME "kept.json"

/* Longest kept.json, in bytes. */
#define DESCRIPTION_MAX (16 * 1024 * 1024)

/* What is copied between two looks for a signal, in bytes. */
#define COPY_PIECE (UINT64_C(64) << 20)

/* Changes with the meaning of what is in the folder. */
#define VERSION 1

/* The kernel's Documentation/filesystems/ext4/super.rst: where the superblock is, s_magic in it. */
#define EXT4_MAGIC_OFFSET (1024 + 0x38)

static bool has_description(int folder_fd)
{
	struct stat st;
	return fstatat(folder_fd, DESCRIPTION_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode);
}

/* A file with something in it is replaced where a build has left it, and under no other name. */
static int check_own(const char *folder, int folder_fd, const char *name, int fd, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s/%s: cannot be read", folder, name);
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1)
		return error_set(err, ERROR_OUTPUT, EEXIST,
			"%s/%s: is no regular file of this name alone, and is not replaced; --keep "
			"another folder",
			folder, name);
	if (st.st_size != 0 && !has_description(folder_fd))
		return error_set(err, ERROR_OUTPUT, EEXIST,
			"%s/%s: is no disk that a build has kept, since there is "
			"no " DESCRIPTION_NAME
			" beside it, and is not replaced; --keep another folder",
			folder, name);
	return 0;
}

/* Opens a file for a disk, and locks it; what is in it is still there. */
static int create_disk(const char *folder, int folder_fd, const char *name, struct error *err)
{
	cleanup_close int fd = openat(
		folder_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
	if (fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s/%s: cannot be written", folder, name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(err, ERROR_OUTPUT, EBUSY,
			"%s/%s: is in use by another layervm; --keep another folder", folder, name);
	int r = check_own(folder, folder_fd, name, fd, err);
	return r < 0 ? r : steal_fd(&fd);
}

static int write_description(const char *folder, json_object *object, struct error *err)
{
	const char *text = json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);
	cleanup_free char *line = xasprintf("%s\n", text);
	cleanup_free char *path = xasprintf("%s/%s", folder, DESCRIPTION_NAME);
	cleanup_output struct output *output = NULL;
	int r = output_open_file(path, &output, err);
	if (r == 0)
		r = file_write(output_fd(output), line, strlen(line), path, err);
	return r < 0 ? r : output_commit(output, err);
}

/* Until the disks are whole the description says that they are a build's, and not whole. */
static int describe_unfinished(const char *folder, struct error *err)
{
	cleanup_json json_object *object = json_object_new_object();
	json_object_object_add(object, "version", json_object_new_int(VERSION));
	json_object_object_add(object, "unfinished", json_object_new_boolean(true));
	return write_description(folder, object, err);
}

static int empty_disk(const char *folder, const char *name, int fd, struct error *err)
{
	if (ftruncate(fd, 0) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s/%s: cannot be written", folder, name);
	return 0;
}

int kept_disks_create(const char *folder, int *base, int *overlay, struct error *err)
{
	if (mkdir(folder, 0777) < 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be made", folder);
	cleanup_close int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder_fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be opened", folder);
	*base = create_disk(folder, folder_fd, DISK_NAME, err);
	if (*base < 0)
		return *base;
	*overlay = create_disk(folder, folder_fd, OVERLAY_NAME, err);
	if (*overlay < 0)
		return *overlay;
	/* Both are known to be free and our own before anything is lost, and the description comes
	   before the disks: at any end in between they are still known to be a build's. */
	int r = describe_unfinished(folder, err);
	if (r == 0)
		r = empty_disk(folder, DISK_NAME, *base, err);
	return r < 0 ? r : empty_disk(folder, OVERLAY_NAME, *overlay, err);
}

int kept_disks_describe(
	const char *folder, const struct vm_job *job, unsigned memory, struct error *err)
{
	cleanup_json json_object *object = json_object_new_object();
	json_object *env = json_object_new_array();
	for (const char *const *text = job->env; *text != NULL; text++)
		json_object_array_add(env, json_object_new_string(*text));
	json_object_object_add(object, "version", json_object_new_int(VERSION));
	json_object_object_add(object, "env", env);
	json_object_object_add(object, "cwd", json_object_new_string(job->cwd));
	json_object_object_add(object, "memory", json_object_new_int64(memory));
	return write_description(folder, object, err);
}

bool is_kept_disks(const char *path)
{
	struct stat st;
	cleanup_close int folder = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return folder >= 0 && fstatat(folder, DESCRIPTION_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A regular file of the folder, for reading. */
static int open_file(
	const char *folder, int folder_fd, const char *name, struct stat *st, struct error *err)
{
	/* What is a fifo or a device is looked at, and not waited for. */
	cleanup_close int fd =
		openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 || fstat(fd, st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s/%s: cannot be read", folder, name);
	if (!S_ISREG(st->st_mode))
		return error_set(
			err, ERROR_INPUT, EINVAL, "%s/%s: is no regular file", folder, name);
	return steal_fd(&fd);
}

static int open_disk(
	const char *folder, int folder_fd, const char *name, struct stat *st, struct error *err)
{
	cleanup_close int fd = open_file(folder, folder_fd, name, st, err);
	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return error_set(err, ERROR_INPUT, EBUSY,
			"%s/%s: a build is writing it; wait for its end", folder, name);
	return steal_fd(&fd);
}

static int open_base(const char *folder, int folder_fd, struct kept_disks *kept, uint64_t *size,
	struct error *err)
{
	struct stat st = {0};
	uint8_t magic[2];
	kept->base = open_disk(folder, folder_fd, DISK_NAME, &st, err);
	if (kept->base < 0)
		return kept->base;
	*size = (uint64_t)st.st_size;
	if (*size < 1024 * 1024 || *size > OVERLAY_SIZE_MAX || *size % DISK_BLOCK_SIZE != 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s/%s: has %" PRIu64 " bytes, a multiple of %d from 1 MiB to 64 GiB is "
			"expected",
			folder, DISK_NAME, *size, DISK_BLOCK_SIZE);
	int r = file_read_at(kept->base, magic, sizeof(magic), EXT4_MAGIC_OFFSET, folder, err);
	if (r == 0 && (magic[0] != 0x53 || magic[1] != 0xef))
		return error_set(err, ERROR_INPUT, EINVAL, "%s/%s: is no ext4 file system", folder,
			DISK_NAME);
	return r;
}

/*
 * Copies what a file holds up to size, and leaves its holes as such: they may be far longer than
 * the disk has room.
 */
static int copy_data(int from, int to, uint64_t size, struct error *err)
{
	if (ftruncate(to, (off_t)size) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "a copy of %" PRIu64 " bytes", size);
	for (uint64_t at = 0; at < size;) {
		off_t data = lseek(from, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO)
			return 0;
		off_t hole = data < 0 ? -1 : lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return error_set_errno(err, ERROR_INPUT, "cannot be read");
		uint64_t end = (uint64_t)hole < size ? (uint64_t)hole : size;
		for (at = (uint64_t)data; at < end;) {
			uint64_t n = end - at < COPY_PIECE ? end - at : COPY_PIECE;
			int r = interrupt_check(err);
			if (r == 0)
				r = file_copy_range(from, at, to, at, n, OVERLAY_NAME, err);
			if (r < 0)
				return r;
			at += n;
		}
	}
	return 0;
}

/* The session writes to a copy, so that the next one finds the same state again. */
static int copy_overlay(const char *folder, int folder_fd, struct kept_disks *kept, uint64_t size,
	struct error *err)
{
	struct stat st = {0};
	cleanup_overlay struct overlay *overlay = NULL;
	cleanup_close int fd = open_disk(folder, folder_fd, OVERLAY_NAME, &st, err);
	if (fd < 0)
		return fd;
	/* Clusters and tables of all that is written, and once again for what was moved. */
	if ((uint64_t)st.st_size > 2 * OVERLAY_SIZE_MAX)
		return error_set(err, ERROR_INPUT, EFBIG,
			"%s/%s: has %lld bytes, 128 GiB is the most", folder, OVERLAY_NAME,
			(long long)st.st_size);
	kept->overlay = file_temporary(err);
	if (kept->overlay < 0)
		return kept->overlay;
	int r = copy_data(fd, kept->overlay, (uint64_t)st.st_size, err);
	/* The copy is checked, which nobody else can change: QEMU is to see what was seen here. */
	if (r == 0)
		r = overlay_open(kept->overlay, &overlay, err);
	if (r < 0 && err->kind == ERROR_INTERRUPTED)
		return r;
	if (r < 0)
		return error_wrap(err, r, "%s/%s", folder, OVERLAY_NAME);
	if (overlay_size(overlay) != size)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s/%s: is for a disk of %" PRIu64 " bytes, %s has %" PRIu64, folder,
			OVERLAY_NAME, overlay_size(overlay), DISK_NAME, size);
	return 0;
}

static int unfit(const char *key, const char *wanted, struct error *err)
{
	return error_set(err, ERROR_INPUT, EINVAL, "%s: %s is expected", key, wanted);
}

static int take_env(json_object *object, struct kept_disks *kept, struct error *err)
{
	static const char wanted[] = "a list of NAME=VALUE strings";
	json_object *list;
	if (!json_object_object_get_ex(object, "env", &list) ||
		!json_object_is_type(list, json_type_array))
		return unfit("env", wanted, err);
	size_t count = json_object_array_length(list);
	kept->env = xcalloc(count + 1, sizeof(*kept->env));
	for (size_t i = 0; i < count; i++) {
		json_object *item = json_object_array_get_idx(list, i);
		const char *text = json_object_is_type(item, json_type_string)
					   ? json_object_get_string(item)
					   : "";
		if (strchr(text, '=') == NULL || text[0] == '=')
			return unfit("env", wanted, err);
		kept->env[i] = xstrdup(text);
	}
	return 0;
}

static int take_description(json_object *object, struct kept_disks *kept, struct error *err)
{
	json_object *version, *cwd, *memory;
	if (!json_object_object_get_ex(object, "version", &version) ||
		!json_object_is_type(version, json_type_int) ||
		json_object_get_int64(version) != VERSION)
		return unfit("version", "1, which this layervm knows,", err);
	if (json_object_object_get_ex(object, "unfinished", NULL))
		return error_set(err, ERROR_INPUT, EINVAL,
			"the build that was to leave its disks here ended before its guest had "
			"them; build again with --keep");
	if (!json_object_object_get_ex(object, "cwd", &cwd) ||
		!json_object_is_type(cwd, json_type_string) ||
		json_object_get_string(cwd)[0] != '/')
		return unfit("cwd", "an absolute path", err);
	if (!json_object_object_get_ex(object, "memory", &memory) ||
		!json_object_is_type(memory, json_type_int) ||
		json_object_get_int64(memory) < SPEC_MEMORY_SIZE_MIN ||
		json_object_get_int64(memory) > SPEC_MEMORY_SIZE_MAX)
		return unfit("memory", "a number of MiB from 64 to 1048576", err);
	kept->cwd = xstrdup(json_object_get_string(cwd));
	kept->memory = (unsigned)json_object_get_int64(memory);
	return take_env(object, kept, err);
}

static int read_description(
	const char *folder, int folder_fd, struct kept_disks *kept, struct error *err)
{
	struct stat st;
	cleanup_buffer struct buffer text = {0};
	cleanup_json json_object *object = NULL;
	cleanup_free char *path = xasprintf("%s/%s", folder, DESCRIPTION_NAME);
	cleanup_close int fd = open_file(folder, folder_fd, DESCRIPTION_NAME, &st, err);
	if (fd < 0)
		return fd;
	int r = file_read_all(fd, DESCRIPTION_MAX, &text, path, err);
	if (r < 0)
		return r;
	r = json_text_parse(
		(const char *)text.data, text.len, json_type_object, path, &object, err);
	if (r < 0) {
		err->kind = ERROR_INPUT;
		return r;
	}
	r = take_description(object, kept, err);
	return r < 0 ? error_wrap(err, r, "%s", path) : 0;
}

int kept_disks_open(const char *folder, struct kept_disks *kept, struct error *err)
{
	uint64_t size = 0;
	*kept = KEPT_DISKS_NONE;
	cleanup_close int folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder_fd < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot be opened", folder);
	int r = read_description(folder, folder_fd, kept, err);
	if (r == 0)
		r = open_base(folder, folder_fd, kept, &size, err);
	return r < 0 ? r : copy_overlay(folder, folder_fd, kept, size, err);
}

void kept_disks_close(struct kept_disks *kept)
{
	cleanup_close_fn(&kept->base);
	cleanup_close_fn(&kept->overlay);
	env_list_free(kept->env);
	free(kept->cwd);
	*kept = KEPT_DISKS_NONE;
}
