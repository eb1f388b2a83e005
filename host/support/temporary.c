#include "support/temporary.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/buffer.h"
#include "support/memory.h"
#include "support/path.h"
#include "support/stream.h"

#define FOLDERS_MAX 3

/* The output's folder, or NULL. Signals and this are what the process has one of. */
static char *output_folder;

void temporary_also_beside(const char *path)
{
	struct stat st;
	free(steal_ptr(&output_folder));
	if (stream_number(path) < 0 && (stat(path, &st) < 0 || S_ISREG(st.st_mode)))
		output_folder = path_folder(path);
}

static const char *chosen(void)
{
	const char *folder = getenv("TMPDIR");
	return folder != NULL && *folder != '\0' ? folder : NULL;
}

/* Fills in the folders to try, in their order. Returns how many there are. */
static size_t list_folders(const char *folders[static FOLDERS_MAX])
{
	size_t count = 0;
	folders[count++] = chosen();
	if (folders[0] != NULL)
		return count;
	folders[0] = "/var/tmp";
	folders[count++] = "/tmp";
	if (output_folder != NULL)
		folders[count++] = output_folder;
	return count;
}

int file_temporary_in(const char *folder, unsigned mode, char **name)
{
	*name = NULL;
	int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	cleanup_free char *hidden = xasprintf("%s/.layervm-XXXXXX", folder);
	fd = mkostemp(hidden, O_CLOEXEC);
	if (fd < 0)
		return fd;
	mode_t mask = umask(0);
	umask(mask);
	fchmod(fd, mode & ~mask);
	*name = steal_ptr(&hidden);
	return fd;
}

static int make_file(const char *folder)
{
	cleanup_free char *name = NULL;
	int fd = file_temporary_in(folder, 0600, &name);
	if (name != NULL)
		unlink(name);
	return fd;
}

/* Makes the folder's file (path: NULL), or a folder in it. Returns a negative value and errno. */
static int make(const char *folder, char **path)
{
	if (path == NULL)
		return make_file(folder);
	cleanup_free char *made = xasprintf("%s/layervm-XXXXXX", folder);
	if (mkdtemp(made) == NULL)
		return -1;
	*path = steal_ptr(&made);
	return 0;
}

/* Whether a failure is the folder's fault, so that another one may do better. */
static bool is_folders(int code)
{
	return code != EMFILE && code != ENFILE && code != ENOMEM;
}

static int make_somewhere(char **path, const char *what, struct error *err)
{
	const char *folders[FOLDERS_MAX];
	cleanup_buffer struct buffer tried = {0};
	size_t count = list_folders(folders);
	for (size_t i = 0; i < count; i++) {
		int r = make(folders[i], path);
		if (r >= 0)
			return r;
		if (chosen() != NULL)
			return error_set_errno(err, ERROR_OUTPUT,
				"%s: cannot make a temporary %s where TMPDIR says", folders[i],
				what);
		if (!is_folders(errno))
			return error_set_errno(
				err, ERROR_INTERNAL, "cannot make a temporary %s", what);
		buffer_printf(&tried, "%s%s (%s)",
			i == 0          ? ""
			: i + 1 < count ? ", "
					: " or ",
			folders[i], strerror(errno));
	}
	int code = errno;
	cleanup_free char *words = buffer_steal_text(&tried);
	return error_set(err, ERROR_OUTPUT, code,
		"cannot make a temporary %s in %s; set TMPDIR to a folder with room", what, words);
}

int file_temporary(struct error *err)
{
	return make_somewhere(NULL, "file", err);
}

int folder_temporary(char **path, struct error *err)
{
	return make_somewhere(path, "folder", err);
}
