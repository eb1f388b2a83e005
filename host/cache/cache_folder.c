#include "cache/cache_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "support/memory.h"

char *cache_folder_choose(void)
{
	const char *chosen = getenv("LAYERVM_CACHE_DIR");
	const char *caches = getenv("XDG_CACHE_HOME");
	const char *home = getenv("HOME");
	if (chosen != NULL && *chosen != '\0')
		return xstrdup(chosen);
	/* XDG Base Directory Specification: a relative path is invalid, and ignored. */
	if (caches != NULL && *caches == '/')
		return xasprintf("%s/layervm", caches);
	if (home != NULL && *home != '\0')
		return xasprintf("%s/.cache/layervm", home);
	return NULL;
}

/* Makes a folder and those above it, each with mode 0700. */
static int make_folders(const char *path, struct error *err)
{
	cleanup_free char *part = xstrdup(path);
	for (char *at = part; *at != '\0';) {
		at += strspn(at, "/");
		at += strcspn(at, "/");
		char end = *at;
		*at = '\0';
		if (mkdir(part, 0700) < 0 && errno != EEXIST)
			return error_set(err, ERROR_OUTPUT, errno,
				"cache folder %s: %s cannot be made: %s; LAYERVM_CACHE_DIR names "
				"another",
				path, part, strerror(errno));
		*at = end;
	}
	return 0;
}

/* kind: NULL for the cache's own folder. */
static int check_owner(int fd, const char *path, const char *kind, struct error *err)
{
	struct stat st;
	const char *slash = kind != NULL ? "/" : "";
	kind = kind != NULL ? kind : "";
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "cache folder %s%s%s", path, slash, kind);
	if (st.st_uid != geteuid())
		return error_set(err, ERROR_OUTPUT, EPERM,
			"cache folder %s%s%s: belongs to user %u, not to %u who runs this; "
			"LAYERVM_CACHE_DIR names another",
			path, slash, kind, st.st_uid, geteuid());
	if ((st.st_mode & 022) != 0)
		return error_set(err, ERROR_OUTPUT, EPERM,
			"cache folder %s%s%s: has mode %04o, so that others could change what is "
			"in it; chmod 700 it",
			path, slash, kind, st.st_mode & 07777);
	return 0;
}

int cache_folder_open(const char *path, struct error *err)
{
	int r = make_folders(path, err);
	if (r < 0)
		return r;
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "cache folder %s", path);
	r = check_owner(fd, path, NULL, err);
	return r < 0 ? r : steal_fd(&fd);
}

int cache_folder_open_kind(int cache, const char *path, const char *kind, struct error *err)
{
	cleanup_close int fd = openat(cache, kind, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(
			err, ERROR_OUTPUT, "cache folder %s: cannot open %s", path, kind);
	int r = check_owner(fd, path, kind, err);
	return r < 0 ? r : steal_fd(&fd);
}

int cache_folder_make_kind(int cache, const char *path, const char *kind, struct error *err)
{
	if (mkdirat(cache, kind, 0700) < 0 && errno != EEXIST)
		return error_set_errno(
			err, ERROR_OUTPUT, "cache folder %s: cannot make %s", path, kind);
	return cache_folder_open_kind(cache, path, kind, err);
}
