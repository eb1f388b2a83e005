/*
 * An image's documents as a folder of the host. The input is the layout ('o': OCI, else docker's),
 * six bytes that say what stands under the name of each file, the layer's first ('l': a symlink to
 * its content outside of the folder, 'i': one to its content in it, 'd': a folder, 'p': a FIFO,
 * '-': nothing, else the file), and the documents of documents.h.
 *
 * A folder of files alone is the same image as the archive of them; with other things in it, it is
 * the image that the archive without them is, or none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive.h"
#include "documents.h"
#include "support/fileio.h"

#define WAYS (DOCUMENTS_MAX + 1)
#define OCI_LAYOUT "oci-layout" /* which makes a folder with an index.json one */

static char scratch[] = "/dev/shm/layervm-fuzz.XXXXXX";
static const char *const folders[] = {"outside", "image", "image/blobs", "image/blobs/sha256"};
#define FOLDER_COUNT (sizeof(folders) / sizeof(folders[0]))

static char *below(const char *folder, const char *name)
{
	return xasprintf("%s/%s%s%s", scratch, folder, *name != '\0' ? "/" : "", name);
}

/* Two documents may be one blob: what stands there already stays. */
static void must_put(int result, const char *path)
{
	if (result < 0 && errno != EEXIST)
		fuzz_broken("%s: %s", path, strerror(errno));
}

static void put_file(const char *folder, const char *name, const void *data, size_t len)
{
	struct error err = fuzz_error();
	cleanup_free char *path = below(folder, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	must_put(fd, path);
	if (fd >= 0)
		fuzz_must(file_write(fd, data, len, path, &err), &err, path);
}

static void remove_scratch(void)
{
	cleanup_free char *layout = below("image", OCI_LAYOUT);
	unlink(layout);
	for (size_t i = FOLDER_COUNT; i-- > 0;) {
		cleanup_free char *path = below(folders[i], "");
		rmdir(path);
	}
	rmdir(scratch);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	archive_initialize();
	if (mkdtemp(scratch) == NULL)
		fuzz_broken("%s: %s", scratch, strerror(errno));
	atexit(remove_scratch);
	for (size_t i = 0; i < FOLDER_COUNT; i++) {
		cleanup_free char *path = below(folders[i], "");
		if (mkdir(path, 0700) < 0)
			fuzz_broken("%s: %s", path, strerror(errno));
	}
	put_file("image", OCI_LAYOUT, "{}", 2);
	return 0;
}

/* A symlink to the content of number `i`, in another place. */
static void put_symlink(const struct document *document, size_t i, const char *folder)
{
	const char content[2] = {(char)('0' + i), '\0'};
	cleanup_free char *target = below(folder, content);
	cleanup_free char *path = below("image", document->name);
	put_file(folder, content, document->text.data, document->text.len);
	must_put(symlink(target, path), path);
}

static void put_document(const struct document *document, size_t i, uint8_t way)
{
	cleanup_free char *path = below("image", document->name);
	switch (way) {
	case 'l':
		put_symlink(document, i, "outside");
		break;
	case 'i':
		put_symlink(document, i, "image");
		break;
	case 'd':
		must_put(mkdir(path, 0700), path);
		break;
	case 'p':
		must_put(mkfifo(path, 0600), path);
		break;
	case '-':
		break;
	default:
		put_file("image", document->name, document->text.data, document->text.len);
		break;
	}
}

static void clear(const struct documents *documents)
{
	for (size_t i = 0; i <= documents->count; i++) {
		cleanup_free char *path = below("image", documents->items[i].name);
		char content[2] = {(char)('0' + i), '\0'};
		cleanup_free char *inside = below("image", content);
		cleanup_free char *outside = below("outside", content);
		if (unlink(path) < 0 && errno != ENOENT)
			rmdir(path);
		unlink(inside);
		unlink(outside);
	}
}

static bool is_file(uint8_t way)
{
	return strchr("lidp-", way) == NULL || way == '\0';
}

/* Whether the two are one image, of the same layers. */
static bool is_same(const struct image *a, const struct image *b)
{
	struct digest a_id = image_config_digest(a->config);
	struct digest b_id = image_config_digest(b->config);
	if (!digest_equal(&a_id, &b_id) || a->layer_count != b->layer_count)
		return false;
	for (size_t i = 0; i < a->layer_count; i++) {
		if (!digest_equal(&a->layers[i].diff_id, &b->layers[i].diff_id) ||
			a->layers[i].tar_size != b->layers[i].tar_size)
			return false;
	}
	return true;
}

static void check(const struct documents *documents, const uint8_t ways[WAYS])
{
	cleanup_buffer struct buffer tar = {0};
	bool files_alone = true;
	for (size_t i = 0; i <= documents->count; i++) {
		const struct document *document = &documents->items[i];
		put_document(document, i, ways[i]);
		if (is_file(ways[i]))
			archive_add(&tar, document->name, document->text.data, document->text.len);
		else
			files_alone = false;
	}
	archive_end(&tar);
	cleanup_free char *path = below("image", "");
	cleanup_image struct image *image = archive_open_folder(path);
	clear(documents);
	if (image == NULL && !files_alone)
		return;
	cleanup_image struct image *archive = archive_open(tar.data, tar.len);
	if ((image == NULL) != (archive == NULL))
		fuzz_broken("the %s is an image, the %s is none",
			image != NULL ? "folder" : "archive", image != NULL ? "archive" : "folder");
	if (image != NULL && !is_same(image, archive))
		fuzz_broken("the folder is another image than the archive");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_documents struct documents documents = {0};
	if (size < 1 + WAYS)
		return 0;
	documents_read(data + 1 + WAYS, size - 1 - WAYS,
		data[0] == 'o' ? "index.json" : "manifest.json", &documents);
	check(&documents, data + 1);
	return 0;
}
