#include "commands/export_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "commands/quoted.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* Owner, group and size share columns, which start so wide and grow with what is met. */
#define COLUMNS_START 19

struct lister {
	FILE *out;
	const struct mtime_choice *mtime;
	int columns;
};

static void put_mode(FILE *out, const struct inode *inode, bool is_link)
{
	static const char bits[] = "rwxrwxrwx";
	char text[11] = "----------";
	switch (inode->mode & S_IFMT) {
	case S_IFDIR:
		text[0] = 'd';
		break;
	case S_IFLNK:
		text[0] = 'l';
		break;
	case S_IFCHR:
		text[0] = 'c';
		break;
	case S_IFBLK:
		text[0] = 'b';
		break;
	case S_IFIFO:
		text[0] = 'p';
		break;
	}
	if (is_link)
		text[0] = 'h';
	for (unsigned i = 0; i < 9; i++) {
		if (inode->mode & (0400u >> i))
			text[1 + i] = bits[i];
	}
	if (inode->mode & S_ISUID)
		text[3] = text[3] == 'x' ? 's' : 'S';
	if (inode->mode & S_ISGID)
		text[6] = text[6] == 'x' ? 's' : 'S';
	if (inode->mode & S_ISVTX)
		text[9] = text[9] == 'x' ? 't' : 'T';
	fputs(text, out);
}

static void put_size(struct lister *lister, const struct inode *inode, bool is_link)
{
	char owner[32];
	char size[32] = "0";
	int owner_len =
		snprintf(owner, sizeof(owner), "%" PRIu32 "/%" PRIu32, inode->uid, inode->gid);
	if (!is_link && inode_is_device(inode))
		snprintf(size, sizeof(size), "%" PRIu32 ",%" PRIu32, inode->device.major,
			inode->device.minor);
	else if (!is_link && S_ISREG(inode->mode))
		snprintf(size, sizeof(size), "%" PRIu64, inode->size);
	int width = owner_len + 1 + (int)strlen(size);
	if (width > lister->columns)
		lister->columns = width;
	fprintf(lister->out, " %s %*s", owner, lister->columns - owner_len - 1, size);
}

static void put_time(struct lister *lister, const struct inode *inode)
{
	time_t seconds = (time_t)(lister->mtime->same ? lister->mtime->seconds : inode->mtime_sec);
	struct tm tm;
	if (localtime_r(&seconds, &tm) == NULL)
		fprintf(lister->out, " %16" PRId64, (int64_t)seconds);
	else
		fprintf(lister->out, " %04lld-%02d-%02d %02d:%02d", tm.tm_year + 1900LL,
			tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min);
}

static void put_entry(struct lister *lister, const struct dentry *d)
{
	const struct inode *inode = d->inode;
	FILE *out = lister->out;
	bool is_link = !inode_is_dir(inode) && inode->names != d;
	cleanup_free char *path = tree_path(d);
	put_mode(out, inode, is_link);
	put_size(lister, inode, is_link);
	put_time(lister, inode);
	fputs(" ./", out);
	quoted_put(out, path);
	if (inode_is_dir(inode) && d->parent != NULL)
		fputc('/', out);
	if (is_link) {
		cleanup_free char *first = tree_path(inode->names);
		fputs(" link to ./", out);
		quoted_put(out, first);
	} else if (S_ISLNK(inode->mode)) {
		fputs(" -> ", out);
		quoted_put(out, inode->target);
	}
	fputc('\n', out);
}

int export_list(struct tree *tree, const struct mtime_choice *mtime, FILE *out, struct error *err)
{
	struct dentry *root = tree_root(tree);
	struct lister lister = {.out = out, .mtime = mtime, .columns = COLUMNS_START};
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		if (d->inode != NULL)
			put_entry(&lister, d);
		if (ferror(out))
			break;
	}
	if (fflush(out) != 0 || ferror(out))
		return error_set_errno(err, ERROR_OUTPUT, "standard output: cannot write");
	return 0;
}
