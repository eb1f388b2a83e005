#include "hostdir/hostdir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "hostdir/hostinode.h"
#include "hostdir/idmap.h"
#include "hostdir/scan.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/follow.h"

struct copy {
	struct tree *tree;
	const struct hostdir_options *options;
	struct spool spool;
	struct idmap links;     /* inodes of files that have several names */
	struct dentry **places; /* by depth: the directory that the names of that depth go to */
	size_t place_capacity;
	uint64_t changed; /* directories of the tree that got another mode or owner */
};

#define CHANGED_NAMED 5
#define PERMISSIONS 07777u

static void free_copy(struct copy *copy)
{
	idmap_free(&copy->links);
	free(copy->places);
}

static int new_inode(
	struct copy *copy, const struct scan_entry *entry, struct inode **out, struct error *err)
{
	int r = hostinode_new(copy->tree, entry, out, err);
	if (r < 0)
		return r;
	(*out)->uid = copy->options->uid;
	(*out)->gid = copy->options->gid;
	return hostinode_read_xattrs(copy->tree, entry, NULL, *out, err);
}

/* The directory that an existing symlink leads to, or NULL. */
static struct dentry *linked_dir(struct copy *copy, const struct dentry *existing)
{
	if (existing == NULL || !S_ISLNK(existing->inode->mode))
		return NULL;
	struct dentry *target = tree_follow(copy->tree, existing);
	return target != NULL && inode_is_dir(target->inode) ? target : NULL;
}

/* A folder that is in the image keeps its mode and owner, or somebody is told that it does not. */
static void meet_dir(struct copy *copy, const struct scan_entry *entry, const struct dentry *place,
	struct inode *inode)
{
	const struct inode *old = place->inode;
	unsigned from = old->mode & PERMISSIONS;
	unsigned to = inode->mode & PERMISSIONS;
	if (from == to && old->uid == inode->uid && old->gid == inode->gid)
		return;
	if (copy->options->keep_modes) {
		inode->mode = old->mode;
		inode->uid = old->uid;
		inode->gid = old->gid;
		return;
	}
	if (++copy->changed > CHANGED_NAMED)
		return;
	cleanup_free char *path = tree_path(place);
	report_warning(copy->options->report,
		"%s: gives the image's folder /%s mode %04o, owner %u:%u; before: mode %04o, owner "
		"%u:%u; set keepContentsModes (--copy-keep-modes) to keep these",
		entry->path, path, to, inode->uid, inode->gid, from, old->uid, old->gid);
}

static int put_dir(
	struct copy *copy, const struct scan_entry *entry, struct dentry *dir, struct error *err)
{
	struct inode *inode;
	size_t len = strlen(entry->name);
	struct dentry *existing = tree_find(copy->tree, dir, entry->name, len);
	struct dentry *target = linked_dir(copy, existing);
	struct dentry *place;
	int r = tree_check(copy->tree, err);
	if (r < 0)
		return r;
	r = new_inode(copy, entry, &inode, err);
	if (r < 0)
		return r;
	if (target != NULL && copy->options->keep_dirlinks) {
		place = target;
		meet_dir(copy, entry, target, inode);
		if (target != tree_root(copy->tree))
			tree_relink(copy->tree, target, inode);
	} else {
		if (target != NULL) {
			cleanup_free char *path = tree_path(existing);
			report_warning(copy->options->report,
				"%s: the folder takes the place of the image's symlink /%s -> %s; "
				"set keepContentsDirlinks to copy into the folder that it leads to",
				entry->path, path, existing->inode->target);
		}
		if (existing != NULL && inode_is_dir(existing->inode))
			meet_dir(copy, entry, existing, inode);
		place = tree_link(copy->tree, dir, entry->name, len, inode);
	}
	copy->places = array_grow(
		copy->places, entry->depth + 1, &copy->place_capacity, sizeof(struct dentry *));
	copy->places[entry->depth + 1] = place;
	return 0;
}

/* What is no directory. name: that the entry gets, usually its own. */
static int put_file(struct copy *copy, const struct scan_entry *entry, struct dentry *dir,
	const char *name, struct error *err)
{
	if (S_ISSOCK(entry->st.stx_mode)) {
		report_warning(copy->options->report,
			"%s: is a socket, which an image cannot hold; left out", entry->path);
		return 0;
	}
	size_t len = strlen(name);
	struct dentry *existing = tree_find(copy->tree, dir, name, len);
	if (existing != NULL && inode_is_dir(existing->inode) && !tree_is_empty(existing)) {
		cleanup_free char *path = tree_path(existing);
		return error_set(err, ERROR_INPUT, EISDIR,
			"%s: cannot take the place of the image's folder /%s, which is not empty",
			entry->path, path);
	}
	int r = tree_check(copy->tree, err);
	if (r < 0)
		return r;
	struct inode *inode = entry->st.stx_nlink > 1 ? idmap_get(&copy->links, &entry->st) : NULL;
	if (inode == NULL) {
		r = new_inode(copy, entry, &inode, err);
		if (r == 0 && S_ISREG(inode->mode))
			r = hostinode_read_data(&copy->spool, entry, inode, err);
		if (r < 0)
			return r;
		if (entry->st.stx_nlink > 1)
			idmap_put(&copy->links, &entry->st, inode);
	}
	tree_link(copy->tree, dir, name, len, inode);
	return 0;
}

static int copy_folder(struct copy *copy, int fd, const char *path, struct error *err)
{
	cleanup_scan struct scan *scan = NULL;
	struct scan_entry entry;
	int r = scan_open(fd, path, copy->options->keep_dirlinks ? 0 : SCAN_FOLLOW, &scan, err);
	if (r < 0)
		return r;
	copy->places = array_grow(NULL, 0, &copy->place_capacity, sizeof(struct dentry *));
	copy->places[0] = tree_root(copy->tree);
	while ((r = scan_next(scan, &entry, err)) > 0) {
		r = interrupt_check(err);
		if (r < 0)
			return r;
		if (entry.event == SCAN_LEAVE)
			continue;
		struct dentry *dir = copy->places[entry.depth];
		r = S_ISDIR(entry.st.stx_mode) ? put_dir(copy, &entry, dir, err)
					       : put_file(copy, &entry, dir, entry.name, err);
		if (r < 0)
			return r;
	}
	if (r == 0 && copy->changed > CHANGED_NAMED)
		report_warning(copy->options->report,
			"%s: gives %llu more folders of the image another mode or owner", path,
			(unsigned long long)(copy->changed - CHANGED_NAMED));
	return r;
}

/* A file that was named itself, perhaps through symlinks. */
static int copy_file(struct copy *copy, const char *path, struct error *err)
{
	const char *given = strrchr(path, '/');
	struct scan_entry entry;
	cleanup_free char *name = NULL;
	cleanup_close int dir = scan_open_parent(path, &name, err);
	if (dir < 0)
		return dir;
	int r = scan_lookup(dir, name, path, &entry, err);
	if (r < 0)
		return r;
	return put_file(copy, &entry, tree_root(copy->tree), given != NULL ? given + 1 : path, err);
}

int hostdir_copy_in(struct tree *tree, const char *path, const struct hostdir_options *options,
	struct error *err)
{
	__attribute__((cleanup(free_copy))) struct copy copy = {
		.tree = tree, .options = options, .spool = {.tree = tree}};
	struct stat st;
	if (stat(path, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot examine", path);
	if (S_ISREG(st.st_mode))
		return copy_file(&copy, path, err);
	if (!S_ISDIR(st.st_mode))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: is neither a folder nor a regular file", path);
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", path);
	return copy_folder(&copy, fd, path, err);
}
