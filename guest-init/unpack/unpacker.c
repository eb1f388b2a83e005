#include "unpack/unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/memory.h"
#include "unpack/attributes.h"
#include "unpack/inode.h"
#include "unpack/prune.h"
#include "unpack/whiteout.h"

#define NAME_SIZE (NAME_BYTES_MAX + 1)

int unpacker_open(const char *path, struct unpacker *unpacker, struct error *err)
{
	*unpacker = UNPACKER_NONE;
	unpacker->root.fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (unpacker->root.fd < 0)
		return error_set_errno(err, ERROR_GUEST, "%s: cannot be opened", path);
	return 0;
}

void unpacker_free(struct unpacker *unpacker)
{
	cleanup_close_fn(&unpacker->root.fd);
	cleanup_close_fn(&unpacker->linked.fd);
	names_clear(&unpacker->root.barred);
	buffer_free(&unpacker->whiteouts);
	directory_close(&unpacker->current);
}

/*
 * Makes a directory the current one. Where its path leads through no symlink, nothing that is
 * done in it changes where the path leads, so that it can stay for the next entry.
 */
static int go_to(struct unpacker *u, const char *path, enum place_mode mode, struct error *err)
{
	const struct directory *current = &u->current;
	if (current->fd >= 0 && current->path != NULL && strcmp(current->path, path) == 0)
		return 0;
	int r = directory_leave(&u->current, err);
	return r < 0 ? r : directory_open(&u->root, path, mode, &u->current, err);
}

/*
 * The directory for files that entries of this layer may be linked to, but that are no part of the
 * image. No member of a layer can have its name.
 */
static int open_linked(struct unpacker *u, struct error *err)
{
	if (u->linked.fd >= 0)
		return 0;
	int r = go_to(u, "", PLACE_EXISTING, err);
	if (r < 0)
		return r;
	if (mkdirat(u->current.fd, AUFS_LINKED, 0700) == 0)
		u->linked.fd = openat(u->current.fd, AUFS_LINKED,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return u->linked.fd < 0
		       ? error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be made", AUFS_LINKED)
		       : 0;
}

/* Removes it again, with the names that the files have in it. */
static int remove_linked(struct unpacker *u, struct error *err)
{
	if (u->linked.fd < 0)
		return 0;
	cleanup_close_fn(&u->linked.fd);
	u->linked.fd = -1;
	int r = go_to(u, "", PLACE_EXISTING, err);
	return r < 0 ? r : prune_remove(u->current.fd, AUFS_LINKED, err);
}

int unpacker_end_layer(struct unpacker *unpacker, struct error *err)
{
	int r = remove_linked(unpacker, err);
	unpacker->has_lower = true;
	return r < 0 ? r : directory_leave(&unpacker->current, err);
}

/* Parses a member's name; what a whiteout takes away must have one. */
static int parse(const struct member *member, struct member_name *name, struct error *err)
{
	const char *path = member_path(member);
	if (path == NULL)
		return error_set(err, ERROR_INPUT, EINVAL, "an entry without a name");
	int r = member_name_parse(path, name, err);
	if (r < 0 || name->kind != NAME_WHITEOUT)
		return r;
	const char *hidden = name->last + strlen(WHITEOUT_PREFIX);
	if (*hidden == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return error_set(err, ERROR_INPUT, EINVAL, "a whiteout of no name");
	return 0;
}

/* Bars a name of a directory where it is a symlink's. */
static int bar_symlink(struct unpacker *u, const char *dir, const char *name, struct error *err)
{
	struct stat st;
	int r = go_to(u, dir, PLACE_EXISTING, err);
	if (r < 0 || u->current.fd < 0)
		return r;
	if (fstatat(u->current.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
		names_add(&u->root.barred, u->current.ino, name);
	return 0;
}

int unpacker_look(struct unpacker *unpacker, struct member *member, struct error *err)
{
	cleanup_member_name struct member_name name = MEMBER_NAME_NONE;
	int r = parse(member, &name, err);
	if (r < 0)
		return r;
	if (name.kind == NAME_WHITEOUT || name.kind == NAME_OPAQUE)
		buffer_printf(&unpacker->whiteouts, "%s/%s%c", name.dir, name.last, 0);
	if (name.kind == NAME_WHITEOUT)
		return bar_symlink(unpacker, name.dir, name.last + strlen(WHITEOUT_PREFIX), err);
	bool is_directory = member_is_directory(member);
	if (name.kind == NAME_ENTRY && is_directory && *name.last != '\0')
		return bar_symlink(unpacker, name.dir, name.last, err);
	return 0;
}

/* Takes away what lower layers gave under the name that a whiteout has. */
static int hide(struct unpacker *u, const char *path, struct error *err)
{
	cleanup_member_name struct member_name name = MEMBER_NAME_NONE;
	struct stat st;
	int r = member_name_parse(path, &name, err);
	if (r == 0)
		r = go_to(u, name.dir, PLACE_LOWER, err);
	if (r < 0 || u->current.fd < 0)
		return r; /* where the directory is not there, nothing is to be taken away */
	if (name.kind == NAME_OPAQUE)
		return prune_below(u->current.fd, err);
	const char *hidden = name.last + strlen(WHITEOUT_PREFIX);
	if (fstatat(u->current.fd, hidden, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return prune_remove(u->current.fd, hidden, err);
	if (errno == ENOENT)
		return 0;
	return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be looked at", hidden);
}

int unpacker_hide(struct unpacker *unpacker, struct error *err)
{
	int r = 0;
	for (size_t at = 0; r == 0 && at < unpacker->whiteouts.len;) {
		const char *path = (const char *)unpacker->whiteouts.data + at;
		r = hide(unpacker, path, err);
		if (r < 0)
			error_wrap(err, r, "%s", path);
		at += strlen(path) + 1;
	}
	names_clear(&unpacker->root.barred);
	buffer_free(&unpacker->whiteouts);
	return r;
}

/*
 * Puts a link where a directory is, which may hold the link's target: so the link is made under
 * a spare name first.
 */
static int replace_by_link(
	struct unpacker *u, int target_dir, const char *target, const char *name, struct error *err)
{
	char spare[NAME_SIZE];
	int dir = u->current.fd;
	int r;
	unsigned number = 0;
	do {
		snprintf(spare, sizeof(spare), ".layervm-link-%u", number++);
		r = linkat(target_dir, target, dir, spare, 0);
	} while (r < 0 && errno == EEXIST);
	if (r < 0)
		return error_set_errno(err, ERROR_GUEST, "cannot be linked to \"%s\"", target);
	r = prune_remove(dir, name, err);
	if (r == 0 && renameat(dir, spare, dir, name) < 0)
		return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be renamed", spare);
	return r;
}

/* Gives the inode target of target_dir a name in the current directory. */
static int link_inode(struct unpacker *u, int target_dir, const char *target, uint64_t ino,
	const char *name, struct error *err)
{
	struct stat st;
	int dir = u->current.fd;
	if (linkat(target_dir, target, dir, name, 0) == 0)
		return 0;
	if (errno == EEXIST && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISDIR(st.st_mode))
			return replace_by_link(u, target_dir, target, name, err);
		if (st.st_ino == ino)
			return 0; /* it has that name */
		int r = prune_remove(dir, name, err);
		if (r < 0)
			return r;
		if (linkat(target_dir, target, dir, name, 0) == 0)
			return 0;
	}
	return error_set_errno(err, errno == EMLINK ? ERROR_INPUT : ERROR_GUEST,
		"cannot be linked to \"%s\"", target);
}

static int apply_link(struct unpacker *u, const char *name, const char *path, struct error *err)
{
	cleanup_member_name struct member_name target = MEMBER_NAME_NONE;
	cleanup_directory struct directory dir = DIRECTORY_NONE;
	struct stat st;
	int r = member_name_parse(path, &target, err);
	if (r < 0)
		return error_wrap(err, r, "a hard link to \"%s\"", path);
	bool is_linked = target.kind == NAME_LINKED && u->linked.fd >= 0;
	r = directory_open(
		is_linked ? &u->linked : &u->root, target.dir, PLACE_EXISTING, &dir, err);
	if (r < 0)
		return r;
	/* What is kept for links has no name in the image. */
	bool is_hidden = target.kind == NAME_NOTE || (target.kind == NAME_LINKED && !is_linked);
	if (is_hidden || dir.fd < 0 || *target.last == '\0' ||
		fstatat(dir.fd, target.last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERROR_INPUT, ENOENT,
			"a hard link to \"%s\", which is not there", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_INPUT, EISDIR,
			"a hard link to \"%s\", which is a directory", path);
	return link_inode(u, dir.fd, target.last, st.st_ino, name, err);
}

/* A file that other entries are linked to. Links and directories among them say nothing. */
static int apply_linked(struct unpacker *u, const struct member_name *name, struct member *member,
	struct error *err)
{
	cleanup_directory struct directory dir = DIRECTORY_NONE;
	if (member_hardlink(member) != NULL || member_is_directory(member))
		return 0;
	int r = open_linked(u, err);
	if (r == 0)
		r = directory_open(&u->linked, name->dir, PLACE_MAKE, &dir, err);
	return r < 0 ? r : inode_make(dir.fd, name->last, member, err);
}

static int apply_root(struct unpacker *u, struct member *member, struct error *err)
{
	struct attributes attributes = {0};
	int r = directory_leave(&u->current, err);
	if (r == 0)
		r = attributes_read(member, &attributes, err);
	if (r < 0)
		return r;
	if (member_hardlink(member) != NULL || !S_ISDIR(attributes.mode))
		return error_set(err, ERROR_INPUT, EINVAL, "the root is to be no directory");
	return attributes_set(&attributes, u->root.fd, err);
}

int unpacker_apply(struct unpacker *unpacker, struct member *member, struct error *err)
{
	const char *target = member_hardlink(member);
	cleanup_member_name struct member_name name = MEMBER_NAME_NONE;
	int r = parse(member, &name, err);
	if (r == 0 && name.kind == NAME_LINKED)
		return apply_linked(unpacker, &name, member, err);
	if (r < 0 || name.kind != NAME_ENTRY)
		return r;
	if (*name.last == '\0')
		return apply_root(unpacker, member, err);
	r = go_to(unpacker, name.dir, PLACE_MAKE, err);
	if (r < 0)
		return r;
	if (target != NULL)
		return apply_link(unpacker, name.last, target, err);
	return inode_make(unpacker->current.fd, name.last, member, err);
}
