/*
 * An image's documents, with digests that are right. The input is the layout ('o': OCI, else
 * docker's) and up to five documents, each ended by a zero byte: the first is index.json or
 * manifest.json, the others blobs, the last of all the spec's `config`. In a document "@N" is the
 * digest of document N in hex and "#N" its size, for a document behind it; "@0" is an empty
 * layer's, which is there as a blob.
 */
#include <stdio.h>
#include <string.h>

#include "archive.h"
#include "image/json_safe.h"
#include "support/digest.h"

#define DOCUMENTS_MAX 5

struct document {
	struct buffer text;
	struct digest digest;
};

struct documents {
	struct document items[DOCUMENTS_MAX + 1]; /* 0: the layer */
	size_t count;
};

static void documents_free(struct documents *documents)
{
	for (size_t i = 0; i <= DOCUMENTS_MAX; i++)
		buffer_free(&documents->items[i].text);
}

/* Puts the digests and sizes of the documents behind number self into its text. */
static void seal(struct documents *documents, size_t self, const uint8_t *text, size_t len)
{
	struct document *document = &documents->items[self];
	for (size_t i = 0; i < len; i++) {
		size_t number = i + 1 < len ? (size_t)text[i + 1] - '0' : SIZE_MAX;
		bool known = number == 0 || (number > self && number <= documents->count);
		char hex[DIGEST_TEXT_SIZE];
		if (known && text[i] == '@')
			buffer_add_text(
				&document->text, digest_hex(&documents->items[number].digest, hex));
		else if (known && text[i] == '#')
			buffer_printf(&document->text, "%zu", documents->items[number].text.len);
		else
			buffer_add(&document->text, text + i, 1);
		if (known && (text[i] == '@' || text[i] == '#'))
			i++;
	}
	document->digest = digest_of(document->text.data, document->text.len);
}

static void split(const uint8_t *data, size_t size, struct documents *documents)
{
	static const uint8_t empty_layer[1024];
	const uint8_t *starts[DOCUMENTS_MAX + 1];
	size_t lens[DOCUMENTS_MAX + 1];
	while (documents->count < DOCUMENTS_MAX && size != 0) {
		const uint8_t *end = memchr(data, '\0', size);
		size_t len = end != NULL ? (size_t)(end - data) : size;
		starts[++documents->count] = data;
		lens[documents->count] = len;
		data += end != NULL ? len + 1 : len;
		size -= end != NULL ? len + 1 : len;
	}
	seal(documents, 0, empty_layer, sizeof(empty_layer));
	for (size_t i = documents->count; i > 0; i--)
		seal(documents, i, starts[i], lens[i]);
}

static void make_archive(const struct documents *documents, const char *top, struct buffer *tar)
{
	const struct document *first = &documents->items[1];
	archive_add(tar, top, first->text.data, first->text.len);
	for (size_t i = 0; i <= documents->count; i++) {
		char name[DIGEST_TEXT_SIZE + 16] = "blobs/sha256/";
		if (i == 1)
			continue;
		digest_hex(&documents->items[i].digest, name + strlen(name));
		archive_add(tar, name, documents->items[i].text.data, documents->items[i].text.len);
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
	__attribute__((cleanup(documents_free))) struct documents documents = {0};
	cleanup_buffer struct buffer tar = {0};
	if (size < 2)
		return 0;
	split(data + 1, size - 1, &documents);
	make_archive(&documents, data[0] == 'o' ? "index.json" : "manifest.json", &tar);
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
