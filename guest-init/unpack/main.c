/*
 * The guest's second program: unpacks an image's layers, one over the other, into a fresh file
 * system. Init starts it, and passes on what it says on standard error: see protocol.h.
 *
 *	unpack LAYERS IMAGE
 *
 * LAYERS: the folder with the layers and their list. IMAGE: the folder that becomes the image's
 * root.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "protocol.h"
#include "support/memory.h"
#include "unpack/layer.h"
#include "unpack/manifest.h"

/* In another locale libarchive does not give names of pax headers as they are. */
static int set_locale(struct error *err)
{
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		return error_set(err, ERROR_GUEST, ENOENT,
			"the guest has no locale C.UTF-8, which its initramfs should hold");
	return 0;
}

static int unpack_file(
	struct unpacker *unpacker, int folder, const struct layer_file *file, struct error *err)
{
	struct stat st;
	cleanup_close int fd = openat(folder, file->name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_GUEST, "%s: cannot be opened", file->name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != file->size)
		return error_set(err, ERROR_GUEST, EINVAL, "%s: %lld bytes, %llu were expected",
			file->name, (long long)st.st_size, (unsigned long long)file->size);
	return layer_unpack(unpacker, fd, file->compression, err);
}

static int unpack(const char *layers, const char *image, struct error *err)
{
	cleanup_manifest struct manifest manifest = {0};
	cleanup_unpacker struct unpacker unpacker = UNPACKER_NONE;
	cleanup_close int folder = open(layers, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return error_set_errno(err, ERROR_GUEST, "%s: cannot be opened", layers);
	int r = set_locale(err);
	if (r == 0)
		r = manifest_read(folder, &manifest, err);
	if (r == 0)
		r = unpacker_open(image, &unpacker, err);
	for (size_t i = 0; r == 0 && i < manifest.count; i++) {
		r = unpack_file(&unpacker, folder, &manifest.layers[i], err);
		if (r < 0)
			return error_wrap(err, r, "layer %zu of %zu", i + 1, manifest.count);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	if (argc != 3) {
		fprintf(stderr, "usage: unpack LAYERS IMAGE\n");
		return UNPACK_FAILED;
	}
	umask(0);
	if (unpack(argv[1], argv[2], &err) == 0)
		return UNPACK_DONE;
	fputs(err.message, stderr);
	return err.kind == ERROR_INPUT ? UNPACK_BAD_LAYER : UNPACK_FAILED;
}
