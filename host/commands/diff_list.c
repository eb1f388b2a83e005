#include "commands/diff_list.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "commands/quoted.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/changes.h"

static const char *type_word(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	case S_IFIFO:
		return "fifo";
	default:
		return "unknown";
	}
}

static void put_time(FILE *out, const struct inode *inode)
{
	time_t seconds = (time_t)inode->mtime_sec;
	struct tm tm;
	if (gmtime_r(&seconds, &tm) == NULL)
		fprintf(out, "%" PRId64, inode->mtime_sec);
	else
		fprintf(out, "%04lld-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900LL, tm.tm_mon + 1,
			tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	if (inode->mtime_nsec != 0)
		fprintf(out, ".%09" PRIu32, inode->mtime_nsec);
	fputc('Z', out);
}

/* Both are sorted by name, no name twice. */
static void put_xattrs(FILE *out, const struct xattrs *old, const struct xattrs *new)
{
	uint32_t old_count = old != NULL ? old->count : 0;
	uint32_t new_count = new != NULL ? new->count : 0;
	for (uint32_t i = 0, k = 0; i < old_count || k < new_count;) {
		const struct xattr *o = i < old_count ? &old->items[i] : NULL;
		const struct xattr *n = k < new_count ? &new->items[k] : NULL;
		int order = o == NULL ? 1 : n == NULL ? -1 : strcmp(o->name, n->name);
		const char *word = order < 0 ? "deleted" : order > 0 ? "added" : "changed";
		bool equal = order == 0 && o->len == n->len &&
			     (o->len == 0 || memcmp(o->value, n->value, o->len) == 0);
		if (!equal) {
			fputs("\txattr ", out);
			quoted_put(out, order > 0 ? n->name : o->name);
			fprintf(out, " %s\n", word);
		}
		i += order <= 0;
		k += order >= 0;
	}
}

static void put_differences(FILE *out, const struct dentry *d, unsigned differences)
{
	const struct inode *old = d->base;
	const struct inode *new = d->inode;
	if (differences & DIFFERENCE_TYPE)
		fprintf(out, "\ttype %s -> %s\n", type_word(old->mode), type_word(new->mode));
	if (differences & DIFFERENCE_MODE)
		fprintf(out, "\tmode %04o -> %04o\n", old->mode & 07777, new->mode & 07777);
	if (differences & DIFFERENCE_OWNER)
		fprintf(out, "\towner %" PRIu32 ":%" PRIu32 " -> %" PRIu32 ":%" PRIu32 "\n",
			old->uid, old->gid, new->uid, new->gid);
	if (differences & DIFFERENCE_SIZE)
		fprintf(out, "\tsize %" PRIu64 " -> %" PRIu64 "\n", old->size, new->size);
	if (differences & DIFFERENCE_CONTENT)
		fputs("\tcontent\n", out);
	if (differences & DIFFERENCE_TARGET) {
		fputs("\ttarget ", out);
		quoted_put(out, old->target);
		fputs(" -> ", out);
		quoted_put(out, new->target);
		fputc('\n', out);
	}
	if (differences & DIFFERENCE_DEVICE)
		fprintf(out, "\tdevice %" PRIu32 ",%" PRIu32 " -> %" PRIu32 ",%" PRIu32 "\n",
			old->device.major, old->device.minor, new->device.major, new->device.minor);
	if (differences & DIFFERENCE_MTIME) {
		fputs("\tmtime ", out);
		put_time(out, old);
		fputs(" -> ", out);
		put_time(out, new);
		fputc('\n', out);
	}
	if (differences & DIFFERENCE_XATTRS)
		put_xattrs(out, old->xattrs, new->xattrs);
	if (differences & DIFFERENCE_NAMES)
		fprintf(out, "\tlinks %" PRIu32 " -> %" PRIu32 "\n", old->base_nlink, new->nlink);
}

static void put_path(FILE *out, const char *before, const struct dentry *d)
{
	cleanup_free char *path = tree_path(d);
	fprintf(out, "%s/", before);
	quoted_put(out, path);
	fputc('\n', out);
}

/* Of a file with many names the differences are found once: that may take reading it. */
static int put_details(FILE *out, const struct dentry *d, struct error *err)
{
	unsigned differences;
	if (d != d->inode->names) {
		put_path(out, "\tas ", d->inode->names);
		return 0;
	}
	int r = changes_compare(d, &differences, err);
	if (r == 0)
		put_differences(out, d, differences);
	return r;
}

int diff_list(struct tree *tree, bool verbose, FILE *out, const char *name, struct error *err)
{
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL && !ferror(out); d = tree_next_marked(root, d)) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		if (d->flags & DENTRY_WHITEOUT)
			put_path(out, "D ", d);
		if (!(d->flags & DENTRY_WRITE))
			continue;
		put_path(out, d->base == NULL ? "A " : "C ", d);
		r = verbose && d->base != NULL ? put_details(out, d, err) : 0;
		if (r < 0)
			return r;
	}
	if (fflush(out) != 0 || ferror(out))
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot write", name);
	return 0;
}
