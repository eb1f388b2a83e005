/*
 * An image's documents as an archive. The input is the layout ('o': OCI, 'f': skopeo's dir:, else
 * docker's) and the documents of documents.h; the last of all is the spec's `config`, too.
 */
#include <stdbool.h>
#include <string.h>

#include "archive.h"
#include "documents.h"
#include "image/json_safe.h"
#include "support/memory.h"

#define BLOBS "blobs/sha256/"

/* The names that a blob has in a dir:, whatever it is. */
static void add_flat(struct buffer *tar, const struct document *d)
{
	const char *hex = d->name + strlen(BLOBS);
	cleanup_free char *name = xasprintf("%s.manifest.json", hex);
	archive_add(tar, hex, d->text.data, d->text.len);
	archive_add(tar, name, d->text.data, d->text.len);
}

static void make_archive(const struct documents *documents, bool is_flat, struct buffer *tar)
{
	/* The document that says what the others are comes first. */
	for (size_t i = 0; i <= documents->count; i++) {
		const struct document *d = &documents->items[i < 2 ? 1 - i : i];
		if (is_flat && strncmp(d->name, BLOBS, strlen(BLOBS)) == 0)
			add_flat(tar, d);
		else
			archive_add(tar, d->name, d->text.data, d->text.len);
	}
	archive_end(tar);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	archive_initialize();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_documents struct documents documents = {0};
	cleanup_buffer struct buffer tar = {0};
	if (size < 2)
		return 0;
	documents_read(
		data + 1, size - 1, data[0] == 'o' ? "index.json" : "manifest.json", &documents);
	make_archive(&documents, data[0] == 'f', &tar);
	cleanup_image struct image *image = archive_open(tar.data, tar.len);
	if (image == NULL)
		return 0;
	archive_check(image, NULL);
	const struct buffer *last = &documents.items[documents.count].text;
	cleanup_json json_object *config = NULL;
	struct error err = fuzz_error();
	if (fuzz_ok(json_parse(last->data, last->len, "config", &config, &err), &err) &&
		json_object_is_type(config, json_type_object))
		archive_check(image, config);
	return 0;
}
