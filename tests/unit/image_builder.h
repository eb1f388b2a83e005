/*
 * Image archives made in memory for the tests. They are written by libarchive, which is not what
 * the product writes its archives with, into memfds: nothing is left behind on disk.
 */
#ifndef LAYERVM_TESTS_IMAGE_BUILDER_H
#define LAYERVM_TESTS_IMAGE_BUILDER_H

#include <archive.h>
#include <archive_entry.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "image/image.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

/* A file without a name, and a path that opens it. */
struct memory_file {
	int fd;
	char path[64];
};

static inline struct memory_file memory_file_new(const void *data, size_t len)
{
	struct memory_file file = {.fd = memfd_create("archive", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	struct error err;
	assert_true(file.fd >= 0);
	assert_int_equal(file_write_at(file.fd, data, len, 0, "memory file", &err), 0);
	snprintf(file.path, sizeof(file.path), "/proc/self/fd/%d", file.fd);
	return file;
}

static inline struct buffer memory_file_bytes(int fd)
{
	struct buffer bytes = {0};
	struct error err;
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	assert_int_equal(file_read_all(fd, 1u << 30, &bytes, "memory file", &err), 0);
	return bytes;
}

static inline la_ssize_t builder_write(
	struct archive *archive, void *data, const void *bytes, size_t len)
{
	(void)archive;
	buffer_add(data, bytes, len);
	return (la_ssize_t)len;
}

/* A tar that is being written into out. format: a function of libarchive. */
static inline struct archive *builder_new(struct buffer *out, int (*format)(struct archive *))
{
	struct archive *archive = archive_write_new();
	assert_int_equal(format(archive), ARCHIVE_OK);
	assert_int_equal(archive_write_open(archive, out, NULL, builder_write, NULL), ARCHIVE_OK);
	return archive;
}

static inline void builder_file(
	struct archive *archive, const char *name, const void *data, size_t len)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, S_IFREG);
	archive_entry_set_perm(entry, 0644);
	archive_entry_set_size(entry, (la_int64_t)len);
	assert_true(archive_write_header(archive, entry) >= ARCHIVE_WARN);
	assert_true(archive_write_data(archive, data, len) == (la_ssize_t)len);
	archive_entry_free(entry);
}

static inline void builder_text(struct archive *archive, const char *name, const char *text)
{
	builder_file(archive, name, text, strlen(text));
}

static inline void builder_link(
	struct archive *archive, const char *name, const char *target, bool is_hard)
{
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_pathname(entry, name);
	archive_entry_set_filetype(entry, is_hard ? S_IFREG : S_IFLNK);
	archive_entry_set_perm(entry, 0644);
	if (is_hard)
		archive_entry_set_hardlink(entry, target);
	else
		archive_entry_set_symlink(entry, target);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	archive_entry_free(entry);
}

static inline void builder_end(struct archive *archive)
{
	assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
	archive_write_free(archive);
}

/* A layer: a tar with one file that holds the text. */
static inline struct buffer make_layer(const char *text)
{
	struct buffer layer = {0};
	struct archive *archive = builder_new(&layer, archive_write_set_format_ustar);
	builder_text(archive, "file", text);
	builder_end(archive);
	return layer;
}

/* The bytes compressed by a filter of libarchive; NULL copies them. */
static inline struct buffer compress(const struct buffer *bytes, int (*filter)(struct archive *))
{
	struct buffer out = {0};
	if (filter == NULL) {
		buffer_add(&out, bytes->data, bytes->len);
		return out;
	}
	struct archive *archive = archive_write_new();
	struct archive_entry *entry = archive_entry_new();
	archive_entry_set_filetype(entry, S_IFREG);
	assert_int_equal(archive_write_set_format_raw(archive), ARCHIVE_OK);
	assert_int_equal(filter(archive), ARCHIVE_OK);
	archive_write_set_bytes_in_last_block(archive, 1);
	assert_int_equal(archive_write_open(archive, &out, NULL, builder_write, NULL), ARCHIVE_OK);
	assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
	assert_true(archive_write_data(archive, bytes->data, bytes->len) == (la_ssize_t)bytes->len);
	archive_entry_free(entry);
	builder_end(archive);
	return out;
}

/* A config document with the diff IDs of count tars; other keys go in front. */
static inline char *make_config(const char *keys, const struct buffer *tars, size_t count)
{
	cleanup_buffer struct buffer text = {0};
	buffer_printf(&text, "{%s\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[", keys);
	for (size_t i = 0; i < count; i++) {
		char digest[DIGEST_TEXT_SIZE];
		struct digest id = digest_of(tars[i].data, tars[i].len);
		buffer_printf(&text, "%s\"%s\"", i > 0 ? "," : "", digest_text(&id, digest));
	}
	buffer_add_text(&text, "]}}");
	return buffer_steal_text(&text);
}

/* Adds blobs/sha256/<hex> and gives its descriptor with further keys such as ",\"k\":1". */
static inline char *builder_blob(struct archive *archive, const void *data, size_t len,
	const char *media_type, const char *keys)
{
	char text[DIGEST_TEXT_SIZE];
	struct digest digest = digest_of(data, len);
	cleanup_free char *name = xasprintf("blobs/sha256/%s", digest_hex(&digest, text));
	builder_file(archive, name, data, len);
	return xasprintf("{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", media_type,
		digest_text(&digest, text), len, keys);
}

#define TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define TYPE_INDEX "application/vnd.oci.image.index.v1+json"
#define TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define TYPE_LAYER "application/vnd.oci.image.layer.v1.tar"

/* Adds an OCI image of one layer and gives its manifest's descriptor. */
static inline char *builder_oci_image(
	struct archive *archive, const char *layer_text, const char *keys)
{
	cleanup_buffer struct buffer layer = make_layer(layer_text);
	cleanup_free char *config = make_config("", &layer, 1);
	cleanup_free char *layer_descriptor =
		builder_blob(archive, layer.data, layer.len, TYPE_LAYER, "");
	cleanup_free char *config_descriptor =
		builder_blob(archive, config, strlen(config), TYPE_CONFIG, "");
	cleanup_free char *manifest =
		xasprintf("{\"schemaVersion\":2,\"config\":%s,\"layers\":[%s]}", config_descriptor,
			layer_descriptor);
	return builder_blob(archive, manifest, strlen(manifest), TYPE_MANIFEST, keys);
}

/* Opens the bytes as an archive. Returns image_open's result. */
static inline int open_bytes(const struct buffer *bytes, const struct image_options *options,
	struct image **image, struct error *err)
{
	static const struct image_options none;
	struct memory_file file = memory_file_new(bytes->data, bytes->len);
	*image = NULL;
	int r = image_open(file.path, options != NULL ? options : &none, image, err);
	close(file.fd);
	if (r < 0)
		assert_null(*image);
	return r;
}

static inline void assert_error(
	const struct error *err, int result, enum error_kind kind, const char *part)
{
	assert_true(result < 0);
	if (strstr(err->message, part) == NULL)
		fail_msg("expected \"%s\" in the error \"%s\"", part, err->message);
	assert_int_equal(err->kind, kind);
}

/* The layer's tar has the bytes, and its digests are those of its bytes. */
static inline void assert_layer(const struct image_layer *layer, const struct buffer *tar)
{
	struct error err;
	assert_int_equal(layer->tar_size, tar->len);
	cleanup_free uint8_t *found = xmalloc(tar->len);
	assert_int_equal(
		file_read_at(layer->tar_fd, found, tar->len, layer->tar_offset, "tar", &err), 0);
	assert_memory_equal(found, tar->data, tar->len);
	struct digest digest = digest_of(tar->data, tar->len);
	assert_true(digest_equal(&digest, &layer->diff_id));
	cleanup_free uint8_t *blob = xmalloc((size_t)layer->blob_size);
	assert_int_equal(file_read_at(layer->blob_fd, blob, (size_t)layer->blob_size,
				 layer->blob_offset, "blob", &err),
		0);
	digest = digest_of(blob, (size_t)layer->blob_size);
	assert_true(digest_equal(&digest, &layer->digest));
}

/* The seed of random tests: LAYERVM_TEST_SEED, or a new one; printed either way. */
static inline unsigned test_seed(void)
{
	const char *text = getenv("LAYERVM_TEST_SEED");
	unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10) : (unsigned)getpid();
	print_message("LAYERVM_TEST_SEED=%u\n", seed);
	return seed;
}

#endif
