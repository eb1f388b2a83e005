#include "image/archive_index.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image/member_name.h"
#include "image/range.h"
#include "support/memory.h"
#include "support/ustar.h"

/* Names may be in the local encoding or in UTF-8; in the C locale one of the two is NULL. */
static const char *either(const char *local, const char *utf8)
{
	return local != NULL ? local : utf8;
}

/* Fills a member in from its header. Returns false for a name that nothing can refer to. */
static bool read_member(struct archive_entry *entry, uint64_t offset, struct member *member)
{
	const char *name =
		either(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry));
	const char *hardlink =
		either(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry));
	const char *symlink =
		either(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
	char *normal = name != NULL ? member_name_normalise(name) : NULL;
	if (normal == NULL)
		return false;
	*member = (struct member){.name = normal, .offset = offset};
	member->is_link = hardlink != NULL || archive_entry_filetype(entry) == S_IFLNK;
	if (hardlink != NULL) {
		member->target = member_name_normalise(hardlink);
	} else if (member->is_link) {
		member->target = symlink != NULL ? member_name_target(normal, symlink) : NULL;
	} else if (archive_entry_filetype(entry) == S_IFREG) {
		member->is_file = archive_entry_sparse_count(entry) == 0;
		member->size = (uint64_t)archive_entry_size(entry);
	}
	return true;
}

static void free_member(struct member *member)
{
	free(member->name);
	free(member->target);
}

static int by_name(const void *a, const void *b)
{
	const struct member *x = a;
	const struct member *y = b;
	int order = strcmp(x->name, y->name);
	if (order != 0)
		return order;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Sorts the members, and of those with one name keeps the last, as unpacking would. */
static void sort_members(struct archive_index *index)
{
	if (index->count == 0)
		return;
	qsort(index->members, index->count, sizeof(*index->members), by_name);
	size_t kept = 0;
	for (size_t i = 0; i < index->count; i++) {
		bool is_last = i + 1 == index->count ||
			       strcmp(index->members[i].name, index->members[i + 1].name) != 0;
		if (is_last)
			index->members[kept++] = index->members[i];
		else
			free_member(&index->members[i]);
	}
	index->count = kept;
}

/*
 * Whether there is an end marker (POSIX, pax, "ustar Interchange Format") where libarchive found
 * the end: it stops at zeros as at the end of the file. One block of the two is enough, as for
 * tar(1).
 */
static bool is_end_marked(uint64_t offset, uint64_t size)
{
	return size >= TAR_BLOCK && offset <= size - TAR_BLOCK;
}

/* What the members that are listed take. */
struct listing {
	size_t capacity;   /* of the index's members */
	size_t name_bytes; /* in use by their names */
};

/* Adds a member to the index, up to the limits. Takes its strings over. */
static void list_member(struct archive_index *index, struct listing *listing, struct member *member)
{
	size_t len = strlen(member->name) + (member->target != NULL ? strlen(member->target) : 0);
	if (index->is_cut || index->count == INDEX_MEMBERS_MAX ||
		len > INDEX_NAMES_MAX - listing->name_bytes) {
		index->is_cut = true;
		free_member(member);
		return;
	}
	listing->name_bytes += len;
	index->members = array_grow(
		index->members, index->count, &listing->capacity, sizeof(*index->members));
	index->members[index->count++] = *member;
}

/* Goes on to the end when no more is listed: whether the archive is whole is for it to tell. */
static int read_members(struct archive_index *index, struct archive *archive, struct range *range,
	uint64_t size, struct error *err)
{
	struct listing listing = {0};
	for (size_t order = 0;; order++) {
		struct archive_entry *entry;
		int r = archive_read_next_header(archive, &entry);
		if (r == ARCHIVE_EOF) {
			index->has_end = is_end_marked(
				(uint64_t)archive_read_header_position(archive), size);
			return 0;
		}
		if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
			return range_error(range, archive);
		/* All header blocks of the entry are consumed and none of its data is. */
		struct member member;
		if (!read_member(entry, (uint64_t)archive_filter_bytes(archive, 0), &member))
			continue;
		member.order = order;
		if (member.is_file &&
			(member.offset > size || member.size > size - member.offset)) {
			error_set(err, ERROR_INPUT, EINVAL,
				"%s: ends at byte %llu, within its member %s of %llu bytes",
				index->path, (unsigned long long)size, member.name,
				(unsigned long long)member.size);
			free_member(&member);
			return -EINVAL;
		}
		list_member(index, &listing, &member);
	}
}

int index_read(
	int fd, uint64_t size, const char *path, struct archive_index *index, struct error *err)
{
	*index = (struct archive_index){.fd = fd, .path = path};
	cleanup_free uint8_t *buffer = xmalloc(RANGE_CHUNK);
	struct range range = {.fd = fd, .end = size, .name = path, .err = err, .buffer = buffer};
	cleanup_archive_read struct archive *archive = archive_read_new();
	if (archive == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "libarchive is out of memory");
	archive_read_support_format_tar(archive);
	/* Opening recognises the format. */
	if (range_open(&range, archive) != ARCHIVE_OK && range.result == 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: is no tar, neither plain nor compressed with gzip, zstd, xz or bzip2",
			path);
	int r = range.result;
	if (r == 0)
		r = read_members(index, archive, &range, size, err);
	if (r == 0 && index->count == 0)
		r = error_set(err, ERROR_INPUT, EINVAL, "%s: is a tar without members", path);
	if (r < 0)
		index_free(index);
	sort_members(index);
	return r;
}

void index_free(struct archive_index *index)
{
	for (size_t i = 0; i < index->count; i++)
		free_member(&index->members[i]);
	free(index->members);
	index->members = NULL;
	index->count = 0;
}

static int compare_name(const void *key, const void *member)
{
	return strcmp(key, ((const struct member *)member)->name);
}

const struct member *index_find(const struct archive_index *index, const char *name)
{
	cleanup_free char *normal = member_name_normalise(name);
	if (normal == NULL || index->count == 0)
		return NULL;
	return bsearch(normal, index->members, index->count, sizeof(*index->members), compare_name);
}

int index_resolve(const struct archive_index *index, const char *name, const struct member **out,
	struct error *err)
{
	const struct member *member = index_find(index, name);
	for (unsigned links = 0; member != NULL && member->is_link; links++) {
		if (links == INDEX_LINKS_MAX)
			return error_set(err, ERROR_INPUT, ELOOP,
				"%s: %s leads through more than %u links", index->path, name,
				INDEX_LINKS_MAX);
		member = member->target != NULL ? index_find(index, member->target) : NULL;
	}
	if (member == NULL)
		return error_set(err, ERROR_INPUT, ENOENT,
			"%s: has no member %s, or only a link to nowhere of that name", index->path,
			name);
	if (!member->is_file)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: its member %s is no regular file in one piece", index->path, name);
	*out = member;
	return 0;
}
