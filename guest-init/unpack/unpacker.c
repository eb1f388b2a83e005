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
	struct stat st;
	*unpacker = (struct unpacker){.current = DIRECTORY_NONE};
	unpacker->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (unpacker->root < 0 || fstat(unpacker->root, &st) < 0)
		return error_set_errno(err, ERROR_GUEST, "%s: cannot be opened", path);
	unpacker->root_ino = st.st_ino;
	return 0;
}

void unpacker_free(struct unpacker *unpacker)
{
	cleanup_close_fn(&unpacker->root);
	directory_close(&unpacker->current);
	marks_clear(&unpacker->marks);
}

int unpacker_end_layer(struct unpacker *unpacker, struct error *err)
{
	marks_clear(&unpacker->marks);
	unpacker->has_lower = true;
	return directory_leave(&unpacker->current, err);
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
	u->current_marked = false;
	int r = directory_leave(&u->current, err);
	return r < 0 ? r : directory_open(u->root, path, mode, &u->current, err);
}

/*
 * Marks the current directory and all above it as given by this layer. A mark on the way says
 * nothing of what is above: it may be left from a directory that had the number before.
 */
static int mark_current(struct unpacker *u, struct error *err)
{
	cleanup_close int above = -1;
	uint64_t ino = u->current.ino;
	int at = u->current.fd;
	marks_add(&u->marks, ino, "", MARK_FRESH);
	while (ino != u->root_ino) {
		struct stat st;
		int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		cleanup_close_fn(&above);
		above = at = up;
		if (up < 0 || fstat(up, &st) < 0)
			return error_set_errno(err, ERROR_GUEST, "\"..\" cannot be opened");
		ino = st.st_ino;
		marks_add(&u->marks, ino, "", MARK_FRESH);
	}
	u->current_marked = true;
	return 0;
}

/* Marks a name in the current directory as given by this layer. */
static int mark_fresh(
	struct unpacker *u, const char *name, const struct made *made, struct error *err)
{
	if (!u->has_lower)
		return 0;
	if (made->is_directory)
		marks_add(&u->marks, made->ino, "", MARK_FRESH);
	else
		marks_add(&u->marks, u->current.ino, name, MARK_FRESH);
	return u->current_marked ? 0 : mark_current(u, err);
}

/* Takes away what lower layers gave under a name of the current directory. */
static int hide(struct unpacker *u, const char *name, struct error *err)
{
	struct stat st;
	if (fstatat(u->current.fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0
				       : error_set_errno(err, ERROR_GUEST,
						 "\"%s\" cannot be looked at", name);
	bool directory = S_ISDIR(st.st_mode);
	if (!marks_have(&u->marks, directory ? st.st_ino : u->current.ino, directory ? "" : name,
		    MARK_FRESH))
		return prune_remove(u->current.fd, name, err);
	if (!directory)
		return 0;
	cleanup_close int fd =
		openat(u->current.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERROR_GUEST, "\"%s\" cannot be opened", name);
	return prune_lower(fd, &u->marks, err);
}

static int apply_whiteout(struct unpacker *u, const struct member_name *name, struct error *err)
{
	const char *hidden = name->last + strlen(WHITEOUT_PREFIX);
	int r = go_to(u, name->dir, PLACE_EXISTING, err);
	if (r < 0 || u->current.fd < 0)
		return r; /* where the directory is not there, nothing is to be taken away */
	if (strcmp(name->last, WHITEOUT_OPAQUE) == 0)
		return u->has_lower ? prune_lower(u->current.fd, &u->marks, err) : 0;
	/* Other names in ".wh..wh." are notes that aufs made for itself. */
	if (strncmp(hidden, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
		return 0;
	if (*hidden == '\0' || strcmp(hidden, ".") == 0 || strcmp(hidden, "..") == 0)
		return error_set(err, ERROR_INPUT, EINVAL, "a whiteout of no name");
	return u->has_lower ? hide(u, hidden, err) : 0;
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
	cleanup_member_name struct member_name target = {0};
	cleanup_directory struct directory dir = DIRECTORY_NONE;
	struct stat st;
	int r = member_name_parse(path, &target, err);
	if (r < 0)
		return error_wrap(err, r, "a hard link to \"%s\"", path);
	r = directory_open(u->root, target.dir, PLACE_EXISTING, &dir, err);
	if (r < 0)
		return r;
	if (dir.fd < 0 || *target.last == '\0' ||
		fstatat(dir.fd, target.last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, ERROR_INPUT, ENOENT,
			"a hard link to \"%s\", which is not there", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERROR_INPUT, EISDIR,
			"a hard link to \"%s\", which is a directory", path);
	r = link_inode(u, dir.fd, target.last, st.st_ino, name, err);
	return r < 0 ? r : mark_fresh(u, name, &(struct made){0}, err);
}

static int apply_root(struct unpacker *u, struct archive_entry *entry, struct error *err)
{
	cleanup_attributes struct attributes attributes = {0};
	int r = directory_leave(&u->current, err);
	if (r == 0)
		r = attributes_read(entry, &attributes, err);
	if (r < 0)
		return r;
	if (archive_entry_hardlink(entry) != NULL || !S_ISDIR(attributes.mode))
		return error_set(err, ERROR_INPUT, EINVAL, "the root is to be no directory");
	return attributes_set(&attributes, u->root, err);
}

int unpacker_apply(struct unpacker *unpacker, struct archive *archive, struct archive_entry *entry,
	struct error *err)
{
	const char *path = archive_entry_pathname(entry);
	const char *target = archive_entry_hardlink(entry);
	cleanup_member_name struct member_name name = {0};
	struct made made;
	if (path == NULL)
		return error_set(err, ERROR_INPUT, EINVAL, "an entry without a name");
	int r = member_name_parse(path, &name, err);
	if (r < 0)
		return r;
	if (strncmp(name.last, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) == 0)
		return apply_whiteout(unpacker, &name, err);
	if (*name.last == '\0')
		return apply_root(unpacker, entry, err);
	r = go_to(unpacker, name.dir, PLACE_MAKE, err);
	if (r < 0)
		return r;
	if (target != NULL)
		return apply_link(unpacker, name.last, target, err);
	r = inode_make(unpacker->current.fd, name.last, archive, entry, &made, err);
	return r < 0 ? r : mark_fresh(unpacker, name.last, &made, err);
}
