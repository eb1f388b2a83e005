/* SHA-256 digests as the OCI image-spec writes them (descriptor.md, "Digests"): "sha256:" + hex. */
#ifndef LAYERVM_SUPPORT_DIGEST_H
#define LAYERVM_SUPPORT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

struct digest {
	uint8_t bytes[32];
};

/* Room for "sha256:", 64 digits and the NUL. */
#define DIGEST_TEXT_SIZE 72

/* Writes "sha256:<hex>" into text and returns it. */
const char *digest_text(const struct digest *digest, char text[static DIGEST_TEXT_SIZE]);

/* As digest_text, the 64 digits alone. */
const char *digest_hex(const struct digest *digest, char text[static DIGEST_TEXT_SIZE]);

/* Reads "sha256:<64 lowercase hex digits>". Returns whether text is that, and nothing else. */
bool digest_parse(struct digest *digest, const char *text);

/*
 * As digest_parse, with an ERROR_INPUT "WHAT: KEY: ..." where the text is none: it names an
 * algorithm other than sha256 as unsupported (descriptor.md, "Digests").
 */
int digest_read(struct digest *digest, const char *text, const char *what, const char *key,
	struct error *err);

bool digest_equal(const struct digest *a, const struct digest *b);

/*
 * 0 where the two are equal; else an ERROR_INPUT "NAME: expected the WHAT sha256:..., found ...".
 * what: such as "digest" or "diff ID".
 */
int digest_expect(const struct digest *expected, const struct digest *found, const char *name,
	const char *what, struct error *err);

/* The digest of a byte string. */
struct digest digest_of(const void *data, size_t len);

/* A digest that is being computed; feed it in order, finish it once, free it. */
struct hasher;
struct hasher *hasher_new(void) __attribute__((returns_nonnull));
void hasher_add(struct hasher *hasher, const void *data, size_t len);
struct digest hasher_finish(struct hasher *hasher);
void hasher_free(struct hasher *hasher);

static inline void cleanup_hasher_fn(struct hasher **hasher)
{
	hasher_free(*hasher);
}
#define cleanup_hasher __attribute__((cleanup(cleanup_hasher_fn)))

#endif
