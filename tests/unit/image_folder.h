/* Image archives unpacked to folders of the host, and these removed again. */
#ifndef LAYERVM_TESTS_IMAGE_FOLDER_H
#define LAYERVM_TESTS_IMAGE_FOLDER_H

#include <ftw.h>

#include "image_builder.h"

struct temporary_folder {
	char path[64];
};

static inline int folder_remove_entry(
	const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void folder_remove(struct temporary_folder *folder)
{
	nftw(folder->path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}
#define cleanup_folder __attribute__((cleanup(folder_remove)))

static inline struct temporary_folder folder_new(void)
{
	struct temporary_folder folder = {"/tmp/layervm-test-XXXXXX"};
	assert_non_null(mkdtemp(folder.path));
	return folder;
}

/* The path of something in the folder; the caller frees it. */
static inline char *folder_path(const struct temporary_folder *folder, const char *name)
{
	return xasprintf("%s/%s", folder->path, name);
}

/* Unpacks a tar, compressed or not, by libarchive. */
static inline void folder_unpack(const struct temporary_folder *folder, const char *tar)
{
	struct archive *from = archive_read_new();
	struct archive *to = archive_write_disk_new();
	struct archive_entry *entry;
	archive_read_support_format_tar(from);
	archive_read_support_filter_all(from);
	assert_int_equal(archive_read_open_filename(from, tar, 65536), ARCHIVE_OK);
	while (archive_read_next_header(from, &entry) == ARCHIVE_OK) {
		cleanup_free char *path = folder_path(folder, archive_entry_pathname(entry));
		const char *link = archive_entry_hardlink(entry);
		cleanup_free char *target = link != NULL ? folder_path(folder, link) : NULL;
		archive_entry_set_pathname(entry, path);
		if (target != NULL)
			archive_entry_set_hardlink(entry, target);
		assert_int_equal(archive_read_extract2(from, entry, to), ARCHIVE_OK);
	}
	archive_read_free(from);
	archive_write_free(to);
}

/* A new folder with what a tar in memory holds. */
static inline struct temporary_folder folder_of(const struct buffer *tar)
{
	struct temporary_folder folder = folder_new();
	struct memory_file file = memory_file_new(tar->data, tar->len);
	folder_unpack(&folder, file.path);
	close(file.fd);
	return folder;
}

#endif
