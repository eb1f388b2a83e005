/* From a file to an image: which kind of archive it is, and who reads it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "image/archive_index.h"
#include "image/config_check.h"
#include "image/image.h"
#include "image/inflate.h"
#include "image/json_safe.h"
#include "image/layers.h"
#include "image/plan.h"
#include "image/range.h"
#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

/* A pipe as a file that can be read at any position. Returns its descriptor. */
static int spool(int fd, const char *path, uint64_t *size, struct error *err)
{
	cleanup_close int to = file_temporary(err);
	if (to < 0)
		return to;
	cleanup_free char *buffer = xmalloc(RANGE_CHUNK);
	*size = 0;
	for (;;) {
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		ssize_t n = read(fd, buffer, RANGE_CHUNK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, "%s: cannot read", path);
		if (n == 0)
			return steal_fd(&to);
		r = file_write(to, buffer, (size_t)n, "a temporary file", err);
		if (r < 0)
			return r;
		*size += (uint64_t)n;
	}
}

/* Opens path as a regular file. Returns its descriptor. */
static int open_file(const char *path, const char *label, uint64_t *size, struct error *err)
{
	bool is_stdin = strcmp(path, "-") == 0;
	cleanup_close int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
					: open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot open", label);
	if (S_ISDIR(st.st_mode))
		return error_set(
			err, ERROR_INPUT, EISDIR, "%s: is a folder; name an image archive", label);
	/* Standard input may stand in the middle of a file. */
	if (!S_ISREG(st.st_mode) || is_stdin)
		return spool(fd, label, size, err);
	*size = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

/* Replaces a compressed file by what it holds. */
static int inflate_file(int *fd, const char *label, uint64_t *size, struct error *err)
{
	struct inflate_job job = {
		.from = *fd,
		.size = *size,
		.name = label,
		.limit = &inflate_image_limit,
	};
	int r = inflate_detect(*fd, 0, *size, label, &job.compression, err);
	if (r < 0 || job.compression == COMPRESSION_NONE)
		return r;
	cleanup_close int to = file_temporary(err);
	if (to < 0)
		return to;
	job.to = to;
	r = inflate_run(&job, err);
	if (r < 0)
		return r;
	close(*fd);
	*fd = steal_fd(&to);
	*size = job.inflated_size;
	return 0;
}

static struct image *image_new(void)
{
	struct image *image = xcalloc(1, sizeof(*image));
	image->files = xcalloc(1, sizeof(*image->files));
	image->files->archive = -1;
	return image;
}

struct image *image_scratch(void)
{
	struct image *image = image_new();
	image->config = json_object_new_object();
	return image;
}

void image_free(struct image *image)
{
	if (image == NULL)
		return;
	image_files_free(image->files);
	json_object_put(image->config);
	free(image->layers);
	free(image->name);
	free(image);
}

/* Makes the whole file the one layer of an image without a config. */
static int open_rootfs(
	const struct archive_index *index, uint64_t size, struct image *image, struct error *err)
{
	if (!index->has_end)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: the tar has no end marker: it was cut short", index->path);
	cleanup_free uint8_t *buffer = xmalloc(RANGE_CHUNK);
	cleanup_hasher struct hasher *hasher = hasher_new();
	struct range range = {
		.fd = index->fd,
		.end = size,
		.name = index->path,
		.hasher = hasher,
		.err = err,
		.buffer = buffer,
	};
	int r = range_drain(&range);
	if (r < 0)
		return r;
	struct digest digest = hasher_finish(hasher);
	image->from_rootfs = true;
	image->layers = xmalloc(sizeof(*image->layers));
	image->layer_count = 1;
	image->layers[0] = (struct image_layer){
		.digest = digest,
		.diff_id = digest,
		.media_type = "application/vnd.oci.image.layer.v1.tar",
		.blob_size = size,
		.blob_fd = index->fd,
		.tar_size = size,
		.tar_fd = index->fd,
	};
	char text[DIGEST_TEXT_SIZE];
	json_object *ids = json_object_new_array();
	json_object_array_add(ids, json_object_new_string(digest_text(&digest, text)));
	json_object *rootfs = json_object_new_object();
	json_object_object_add(rootfs, "diff_ids", ids);
	json_object_object_add(rootfs, "type", json_object_new_string("layers"));
	image->config = json_object_new_object();
	json_object_object_add(image->config, "config", json_object_new_object());
	json_object_object_add(image->config, "os", json_object_new_string("linux"));
	json_object_object_add(image->config, "rootfs", rootfs);
	return 0;
}

/* Whether it is what docker save wrote before Docker 1.10: "repositories" and a folder a layer. */
static bool is_legacy(const struct archive_index *index)
{
	if (index_find(index, "repositories") == NULL)
		return false;
	for (size_t i = 0; i < index->count; i++) {
		const char *slash = strrchr(index->members[i].name, '/');
		if (slash != NULL && strcmp(slash, "/layer.tar") == 0)
			return true;
	}
	return false;
}

/* Whether it is an OCI image layout. Some writers leave oci-layout out. */
static bool is_layout(const struct archive_index *index)
{
	static const char blobs[] = "blobs/sha256/";
	if (index_find(index, "index.json") == NULL)
		return false;
	if (index_find(index, "oci-layout") != NULL)
		return true;
	for (size_t i = 0; i < index->count; i++) {
		if (strncmp(index->members[i].name, blobs, sizeof(blobs) - 1) == 0)
			return true;
	}
	return false;
}

static int open_index(const struct archive_index *index, uint64_t size,
	const struct image_options *options, struct image *image, struct error *err)
{
	cleanup_plan struct plan plan = {0};
	bool is_docker = index_find(index, "manifest.json") != NULL;
	bool is_oci = is_layout(index);
	int r;
	if ((is_docker || is_oci) && index->is_cut)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"%s: has more members than the limit of %u for an image archive, or names "
			"of more than %zu bytes in all",
			index->path, INDEX_MEMBERS_MAX, INDEX_NAMES_MAX);
	if (is_docker)
		r = plan_docker(index, options, &plan, err);
	else if (is_oci)
		r = plan_oci(index, options, &plan, err);
	else if (is_legacy(index))
		return error_set(err, ERROR_INPUT, ENOTSUP,
			"%s: has no manifest.json: it is an archive of before Docker 1.10; load it "
			"into Docker and save it again",
			index->path);
	else
		return open_rootfs(index, size, image, err);
	if (r == 0)
		r = layers_load(index, &plan, image, err);
	if (r < 0)
		return r;
	image->config = steal_ptr(&plan.config);
	image->name = steal_ptr(&plan.name);
	return 0;
}

int image_open(const char *path, const struct image_options *options, struct image **out,
	struct error *err)
{
	const char *label = strcmp(path, "-") == 0 ? "standard input" : path;
	cleanup_image struct image *image = image_new();
	cleanup_index struct archive_index index = {0};
	uint64_t size = 0;
	int fd = open_file(path, label, &size, err);
	if (fd < 0)
		return fd;
	image->files->archive = fd;
	int r = inflate_file(&image->files->archive, label, &size, err);
	if (r == 0)
		r = index_read(image->files->archive, size, label, &index, err);
	if (r == 0)
		r = open_index(&index, size, options, image, err);
	if (r < 0)
		return r;
	*out = steal_ptr(&image);
	return 0;
}

struct digest image_chain_id(const struct image *image, size_t count)
{
	struct digest chain = image->layers[0].diff_id;
	for (size_t i = 1; i < count; i++) {
		char above[DIGEST_TEXT_SIZE];
		char below[DIGEST_TEXT_SIZE];
		char pair[2 * DIGEST_TEXT_SIZE];
		int len = snprintf(pair, sizeof(pair), "%s %s", digest_text(&chain, below),
			digest_text(&image->layers[i].diff_id, above));
		chain = digest_of(pair, (size_t)len);
	}
	return chain;
}
