/*
 * An image's documents, with digests that are right: up to five, each ended by a zero byte. The
 * first is index.json or manifest.json, the others blobs. In a document "@N" is the digest of
 * document N in hex and "#N" its size, for a document behind it; "@0" is an empty layer's, which is
 * there as a blob.
 */
#ifndef LAYERVM_TESTS_FUZZ_DOCUMENTS_H
#define LAYERVM_TESTS_FUZZ_DOCUMENTS_H

#include "fuzz.h"
#include "support/buffer.h"
#include "support/digest.h"

#define DOCUMENTS_MAX 5

struct document {
	struct buffer text;
	struct digest digest;
	char name[DIGEST_TEXT_SIZE + 16]; /* of its file */
};

struct documents {
	struct document items[DOCUMENTS_MAX + 1]; /* 0: the layer */
	size_t count;                             /* without it */
};

/* Reads documents, of which there is one at least. top: the name of the first one's file. */
void documents_read(const uint8_t *data, size_t size, const char *top, struct documents *documents);
void documents_free(struct documents *documents);
#define cleanup_documents __attribute__((cleanup(documents_free)))

#endif
