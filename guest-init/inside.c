#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image.h"

#define PATH_SIZE 4096

/* A folder of the image, for its place alone. path: absolute there; "" is the root. */
static int open_folder(int image, const char *path, bool follow)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS |
			   (follow ? 0 : (uint64_t)RESOLVE_NO_SYMLINKS),
	};
	return (int)syscall(SYS_openat2, image, *path != '\0' ? path : "/", &how, sizeof(how));
}

/* Makes the last folder of a path, whose parent is there. */
static int make_folder(int image, const char *path, bool follow)
{
	char parent[PATH_SIZE];
	const char *name = strrchr(path, '/') + 1;
	snprintf(parent, sizeof(parent), "%.*s", (int)(name - 1 - path), path);
	int folder = open_folder(image, parent, follow);
	if (folder < 0)
		return -1;
	int r = mkdirat(folder, name, 0755);
	close(folder);
	return r < 0 && errno != EEXIST ? -1 : 0;
}

/* Opens the folder that to->path stands for, whose missing parts are made. */
static int find_place(int image, const struct inside *to)
{
	char path[PATH_SIZE];
	int place = open_folder(image, to->path, to->follow);
	if (place >= 0 || errno != ENOENT)
		return place;
	for (size_t end = 0; to->path[end] != '\0';) {
		end += 1 + strcspn(to->path + end + 1, "/");
		snprintf(path, sizeof(path), "%.*s", (int)end, to->path);
		if (make_folder(image, path, to->follow) < 0)
			return -1;
	}
	return open_folder(image, to->path, to->follow);
}

static int open_place(const struct inside *to, struct fault *fault)
{
	if (to->path[0] != '/' || strlen(to->path) >= PATH_SIZE)
		return fault_set(fault, "the host named no place to mount on");
	int image = open(IMAGE_FOLDER, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (image < 0)
		return fault_set_errno(fault, "cannot open the image");
	int place = find_place(image, to);
	if (place < 0)
		fault_set_errno(fault, "cannot open %.200s of the image to mount on it", to->path);
	close(image);
	return place;
}

/* A mount of the folder's own that is nowhere yet. */
static int open_clone(const char *folder, const struct inside *to, struct fault *fault)
{
	struct mount_attr attributes = {.attr_set = to->attributes};
	int tree = open_tree(AT_FDCWD, folder, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		return fault_set_errno(fault, "cannot clone the mount %s", folder);
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) {
		fault_set_errno(fault, "cannot set the mount on %.200s up", to->path);
		close(tree);
		return -1;
	}
	return tree;
}

int inside_bind(const char *folder, const struct inside *to, struct fault *fault)
{
	int place = open_place(to, fault);
	if (place < 0)
		return -1;
	int tree = open_clone(folder, to, fault);
	int r = tree < 0 ? -1 : 0;
	if (r == 0 && move_mount(tree, "", place, "",
			      MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		r = fault_set_errno(fault, "cannot mount on %.200s of the image", to->path);
	if (tree >= 0)
		close(tree);
	close(place);
	return r;
}
