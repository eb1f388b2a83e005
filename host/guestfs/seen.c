#include "guestfs/seen.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <unistd.h>

#include "layer/layer.h"
#include "layer/place.h"
#include "support/interrupt.h"
#include "support/memory.h"

#define READ_CHUNK (64u * 1024)
#define WHITEOUT_PREFIX ".wh."

static void archive_cleanup(struct archive **archive)
{
	archive_read_free(*archive);
}

static int check_name(struct archive_entry *entry, struct error *err)
{
	size_t len;
	const char *path = archive_entry_pathname(entry);
	const char *last = path != NULL ? place_last_part(path, &len) : NULL;
	if (last == NULL || strncmp(last, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) != 0)
		return 0;
	return error_set(err, ERROR_LIMIT, EINVAL,
		"/%s: names that begin with \"%s\" mean a deletion in a layer and cannot be files; "
		"rename it",
		path + strspn(path, "./") - (last == path + strspn(path, "./") + 1),
		WHITEOUT_PREFIX);
}

/* Looks for names that layer_apply would take for whiteouts. Other faults are for it to tell. */
static int check_names(int tar, struct error *err)
{
	__attribute__((cleanup(archive_cleanup))) struct archive *archive = archive_read_new();
	struct archive_entry *entry;
	if (archive == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "libarchive has no memory");
	if (lseek(tar, 0, SEEK_SET) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot seek in the temporary file");
	if (archive_read_support_format_tar(archive) != ARCHIVE_OK ||
		archive_read_open_fd(archive, tar, READ_CHUNK) != ARCHIVE_OK)
		return 0;
	for (;;) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		int status = archive_read_next_header(archive, &entry);
		if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
			return 0;
		r = check_name(entry, err);
		if (r < 0)
			return r;
	}
}

/* GNU tar writes '=' in an attribute's name as "%3D", and '%' as "%25": the record ends a key so.
 */
static char *decode_name(const char *name)
{
	char *decoded = xstrdup(name);
	char *to = decoded;
	for (const char *from = name; *from != '\0'; to++) {
		bool equals = strncmp(from, "%3D", 3) == 0;
		bool percent = strncmp(from, "%25", 3) == 0;
		*to = equals ? '=' : percent ? '%' : *from;
		from += equals || percent ? 3 : 1;
	}
	*to = '\0';
	return decoded;
}

/* XFS shows the ACLs of a file once more, in the form in which they are on its disk. */
static bool is_shadow(const char *name)
{
	return strcmp(name, "trusted.SGI_ACL_FILE") == 0 ||
	       strcmp(name, "trusted.SGI_ACL_DEFAULT") == 0;
}

static bool needs_tidying(const struct xattrs *xattrs)
{
	for (uint32_t i = 0; xattrs != NULL && i < xattrs->count; i++) {
		if (strchr(xattrs->items[i].name, '%') != NULL || is_shadow(xattrs->items[i].name))
			return true;
	}
	return false;
}

static const struct xattrs *tidy(struct tree *tree, const struct xattrs *xattrs)
{
	struct xattr *items = xcalloc(xattrs->count, sizeof(*items));
	size_t count = 0;
	for (uint32_t i = 0; i < xattrs->count; i++) {
		if (is_shadow(xattrs->items[i].name))
			continue;
		items[count] = xattrs->items[i];
		items[count++].name = decode_name(xattrs->items[i].name);
	}
	const struct xattrs *tidied = tree_xattrs(tree, items, count);
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)items[i].name);
	free(items);
	return tidied;
}

int seen_apply(struct tree *tree, int tar, uint64_t size, const char *name, struct error *err)
{
	/* In another locale libarchive does not give names of pax headers as they are. */
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t saved = uselocale(utf8);
	int r = check_names(tar, err);
	uselocale(saved);
	if (utf8 != (locale_t)0)
		freelocale(utf8);
	if (r < 0)
		return error_wrap(err, r, "%s", name);

	int fd = fcntl(tar, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot be opened twice", name);
	r = layer_apply(tree, source_from_fd(fd, 0, name), size, name, err);
	if (r < 0)
		return r;
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		/* Once for an inode of several names. */
		if (d->inode != NULL && d == d->inode->names && needs_tidying(d->inode->xattrs))
			d->inode->xattrs = tidy(tree, d->inode->xattrs);
	}
	return 0;
}
