#include "commands/mount_points.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol.h"
#include "support/buffer.h"
#include "support/memory.h"

/* As the kernel's limit on symlinks in one path (MAXSYMLINKS). */
#define SYMLINKS_MAX 40

/* A walk along a path: the last folder that is there, and the parts behind it that are not. */
struct walk {
	struct tree *tree;
	struct dentry *folder;
	struct buffer missing; /* "/a/b" */
	unsigned symlinks;
};

static bool is_dot(const char *part, size_t len)
{
	return len == 1 && part[0] == '.';
}

static bool is_dotdot(const char *part, size_t len)
{
	return len == 2 && part[0] == '.' && part[1] == '.';
}

static void go_up(struct walk *walk)
{
	if (walk->missing.len == 0) {
		if (walk->folder->parent != NULL)
			walk->folder = walk->folder->parent;
		return;
	}
	while (walk->missing.data[--walk->missing.len] != '/')
		;
}

/* Takes one part of a path. *target: where it is a symlink, what it leads to. */
static int step(
	struct walk *walk, const char *part, size_t len, const char **target, struct error *err)
{
	*target = NULL;
	if (len == 0 || is_dot(part, len))
		return 0;
	if (is_dotdot(part, len)) {
		go_up(walk);
		return 0;
	}
	struct dentry *next =
		walk->missing.len == 0 ? tree_find(walk->tree, walk->folder, part, len) : NULL;
	if (next == NULL) {
		if (len > TREE_NAME_MAX)
			return error_set(err, ERROR_SPEC, ENAMETOOLONG,
				"a part of the path has %zu bytes, at most %d are possible", len,
				TREE_NAME_MAX);
		buffer_printf(&walk->missing, "/%.*s", (int)len, part);
	} else if (S_ISLNK(next->inode->mode)) {
		if (++walk->symlinks > SYMLINKS_MAX)
			return error_set(err, ERROR_SPEC, ELOOP,
				"more than %d symlinks of the image lead on from there",
				SYMLINKS_MAX);
		*target = next->inode->target;
		if ((*target)[0] == '/')
			walk->folder = tree_root(walk->tree);
	} else if (inode_is_dir(next->inode)) {
		walk->folder = next;
	} else {
		cleanup_free char *found = tree_path(next);
		return error_set(err, ERROR_SPEC, ENOTDIR,
			"/%s of the image is no folder, so that nothing can be mounted there",
			found);
	}
	return 0;
}

int mount_point_resolve(struct tree *tree, const char *path, char **out, struct error *err)
{
	cleanup_buffer struct buffer missing = {0};
	struct walk walk = {.tree = tree, .folder = tree_root(tree)};
	cleanup_free char *text = xstrdup(path);
	int r = 0;
	for (const char *at = text; r == 0 && *at != '\0';) {
		const char *target;
		size_t len = strcspn(at, "/");
		r = step(&walk, at, len, &target, err);
		at += len;
		at += strspn(at, "/");
		if (r == 0 && target != NULL) {
			char *longer = xasprintf("%s/%s", target, at);
			free(text);
			at = text = longer;
		}
	}
	missing = walk.missing;
	if (r < 0)
		return r;
	cleanup_free char *there = tree_path(walk.folder);
	const char *rest = missing.len != 0 ? (const char *)missing.data : "";
	if (*there == '\0' && missing.len != 0)
		*out = xasprintf("%.*s", (int)missing.len, rest);
	else
		*out = xasprintf("/%s%.*s", there, (int)missing.len, rest);
	return 0;
}

int mount_point_make(struct tree *tree, const char *path, struct dentry **out, struct error *err)
{
	struct dentry *d = tree_root(tree);
	for (const char *at = path + strspn(path, "/"); *at != '\0';) {
		size_t len = strcspn(at, "/");
		struct dentry *next = tree_find(tree, d, at, len);
		if (next == NULL) {
			struct inode *inode = tree_inode_new(tree, S_IFDIR | 0755);
			next = tree_link(tree, d, at, len, inode);
			next->flags |= DENTRY_SCAFFOLD;
		} else if (!inode_is_dir(next->inode)) {
			return error_set(err, ERROR_INTERNAL, ENOTDIR,
				"mounts: %s: has a part that is no folder", path);
		}
		d = next;
		at += len;
		at += strspn(at, "/");
	}
	*out = d;
	return 0;
}

/* Whether a path is below another one. */
static bool is_below(const char *path, const char *above)
{
	size_t len = strlen(above);
	return strncmp(path, above, len) == 0 && path[len] == '/';
}

/* Whether there is a folder at a path without symlinks, and something in it. */
static bool has_content(struct tree *tree, const char *path)
{
	struct dentry *d = tree_root(tree);
	for (const char *at = path + 1; d != NULL && *at != '\0';) {
		size_t len = strcspn(at, "/");
		d = tree_find(tree, d, at, len);
		at += len;
		at += strspn(at, "/");
	}
	struct dentry *child = d != NULL ? d->children : NULL;
	while (child != NULL && child->inode == NULL)
		child = child->next;
	return child != NULL;
}

/*
 * Where a symlink of the image leads the secrets to: what they would hide there, the image's own
 * files or the guest's mounts, the script could not do without.
 */
static int check_secrets(struct tree *tree, const char *path, struct error *err)
{
	static const char *const taken[] = {"/proc", "/sys"};
	if (strcmp(path, PROTOCOL_SECRETS) == 0)
		return 0;
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		if (strcmp(path, taken[i]) == 0 || is_below(path, taken[i]))
			return error_set(err, ERROR_SPEC, EINVAL,
				"secrets: " PROTOCOL_SECRETS
				" leads to %s in the image, but what is at %s is the guest's own",
				path, taken[i]);
	}
	if (has_content(tree, path))
		return error_set(err, ERROR_SPEC, ENOTEMPTY,
			"secrets: " PROTOCOL_SECRETS
			" leads to %s in the image, which is not empty and would be hidden by the "
			"secrets",
			path);
	return 0;
}

/* Places that are the guest's own, as they are named after all symlinks were followed. */
static int check_place(const struct mount_point *point, const char *secrets, struct error *err)
{
	const char *const taken[] = {"/dev", "/proc", "/sys", secrets};
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++) {
		if (strcmp(point->path, taken[i]) == 0 || is_below(point->path, taken[i]))
			return error_set(err, ERROR_SPEC, EINVAL,
				"mounts: %s: leads to %s in the image, but what is at %s is the "
				"guest's own",
				point->mount->dst, point->path, taken[i]);
	}
	if (strcmp(point->path, "/") == 0)
		return error_set(err, ERROR_SPEC, EINVAL,
			"mounts: %s: leads to the image's root, over which nothing can be mounted",
			point->mount->dst);
	return 0;
}

static int compare_points(const void *a, const void *b)
{
	return strcmp(((const struct mount_point *)a)->path, ((const struct mount_point *)b)->path);
}

/* The point with the longest path that point number i is below; NULL: it is in the image. */
static const struct mount_point *find_above(const struct mount_points *points, size_t i)
{
	for (size_t j = i; j-- > 0;) {
		if (is_below(points->points[i].path, points->points[j].path))
			return &points->points[j];
	}
	return NULL;
}

/* A folder of the host that nothing can be made in must have the folder that is mounted on. */
static int check_within(
	const struct mount_point *point, const struct mount_point *above, struct error *err)
{
	const struct guest_mount *mount = above->mount;
	if (mount == NULL || mount->type != GUEST_MOUNT_BIND || !mount->read_only)
		return 0;
	const char *rest = point->path + strlen(above->path) + 1;
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
	};
	cleanup_close int folder = open(mount->src, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return error_set_errno(err, ERROR_SPEC, "mounts: src: %s", mount->src);
	cleanup_close int found = (int)syscall(SYS_openat2, folder, rest, &how, sizeof(how));
	if (found >= 0)
		return 0;
	return error_set(err, ERROR_SPEC, ENOENT,
		"mounts: %s: is in the read-only mount at %s, but %s has no folder %s: make it "
		"there, or add rw=true to the mount at %s",
		point->path, above->path, mount->src, rest, above->path);
}

static int settle(struct mount_points *points, struct tree *tree, struct error *err)
{
	if (points->count > 0)
		qsort(points->points, points->count, sizeof(*points->points), compare_points);
	for (size_t i = 0; i < points->count; i++) {
		const struct mount_point *point = &points->points[i];
		struct dentry *folder;
		if (i > 0 && strcmp(point->path, point[-1].path) == 0)
			return error_set(err, ERROR_SPEC, EEXIST,
				"mounts: two are at the same place, %s of the image", point->path);
		const struct mount_point *above = find_above(points, i);
		int r = above != NULL ? check_within(point, above, err)
				      : mount_point_make(tree, point->path, &folder, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mount_points_make(const struct guest_extras_spec *spec, struct tree *tree,
	struct mount_points *out, struct error *err)
{
	cleanup_free char *secrets = NULL;
	*out = (struct mount_points){0};
	int r = mount_point_resolve(tree, PROTOCOL_SECRETS, &secrets, err);
	if (spec->secret_count > 0) {
		r = r < 0 ? error_wrap(err, r, "secrets: " PROTOCOL_SECRETS)
			  : check_secrets(tree, secrets, err);
		if (r < 0)
			return r;
	}
	if (r < 0)
		secrets = xstrdup(PROTOCOL_SECRETS);
	out->points = xcalloc(spec->mount_count + 1, sizeof(*out->points));
	for (size_t i = 0; i < spec->mount_count; i++) {
		struct mount_point *point = &out->points[out->count];
		point->mount = &spec->mounts[i];
		r = mount_point_resolve(tree, point->mount->dst, &point->path, err);
		if (r < 0)
			return error_wrap(err, r, "mounts: %s", point->mount->dst);
		out->count++;
		r = check_place(point, secrets, err);
		if (r < 0)
			return r;
	}
	if (spec->secret_count > 0)
		out->points[out->count++].path = steal_ptr(&secrets);
	return settle(out, tree, err);
}

void mount_points_free(struct mount_points *points)
{
	for (size_t i = 0; i < points->count; i++)
		free(points->points[i].path);
	free(points->points);
	*points = (struct mount_points){0};
}
