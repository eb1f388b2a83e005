#include "documents.h"

#include <stdio.h>
#include <string.h>

void documents_free(struct documents *documents)
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
	char hex[DIGEST_TEXT_SIZE];
	snprintf(document->name, sizeof(document->name), "blobs/sha256/%s",
		digest_hex(&document->digest, hex));
}

void documents_read(const uint8_t *data, size_t size, const char *top, struct documents *documents)
{
	static const uint8_t empty_layer[1024];
	const uint8_t *starts[DOCUMENTS_MAX + 1];
	size_t lens[DOCUMENTS_MAX + 1];
	*documents = (struct documents){0};
	do {
		const uint8_t *end = size != 0 ? memchr(data, '\0', size) : NULL;
		size_t len = end != NULL ? (size_t)(end - data) : size;
		starts[++documents->count] = data;
		lens[documents->count] = len;
		data += end != NULL ? len + 1 : len;
		size -= end != NULL ? len + 1 : len;
	} while (documents->count < DOCUMENTS_MAX && size != 0);
	seal(documents, 0, empty_layer, sizeof(empty_layer));
	for (size_t i = documents->count; i > 0; i--)
		seal(documents, i, starts[i], lens[i]);
	snprintf(documents->items[1].name, sizeof(documents->items[1].name), "%s", top);
}
