#include "support/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>

#include "support/memory.h"

struct hasher {
	EVP_MD_CTX *ctx;
};

static void put_hex(const struct digest *digest, char *text)
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < sizeof(digest->bytes); i++) {
		text[2 * i] = hex[digest->bytes[i] >> 4];
		text[2 * i + 1] = hex[digest->bytes[i] & 15];
	}
	text[2 * sizeof(digest->bytes)] = '\0';
}

const char *digest_hex(const struct digest *digest, char text[static DIGEST_TEXT_SIZE])
{
	put_hex(digest, text);
	return text;
}

const char *digest_text(const struct digest *digest, char text[static DIGEST_TEXT_SIZE])
{
	memcpy(text, "sha256:", 7);
	put_hex(digest, text + 7);
	return text;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool digest_parse(struct digest *digest, const char *text)
{
	if (strncmp(text, "sha256:", 7) != 0 || strlen(text) != 7 + 64)
		return false;
	for (size_t i = 0; i < sizeof(digest->bytes); i++) {
		int high = hex_value(text[7 + 2 * i]);
		int low = hex_value(text[7 + 2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		digest->bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* Where the algorithm of "algorithm:encoded" ends; 0: text is no digest by descriptor.md. */
static size_t algorithm_len(const char *text)
{
	size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+._-");
	if (len == 0 || text[len] != ':' || text[len + 1] == '\0')
		return 0;
	const char *encoded = text + len + 1;
	size_t known = strspn(encoded, "abcdefghijklmnopqrstuvwxyz"
				       "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=_-");
	return encoded[known] == '\0' ? len : 0;
}

int digest_read(struct digest *digest, const char *text, const char *what, const char *key,
	struct error *err)
{
	if (digest_parse(digest, text))
		return 0;
	size_t len = algorithm_len(text);
	if (len != 0 && !(len == 6 && memcmp(text, "sha256", len) == 0))
		return error_set(err, ERROR_INPUT, ENOTSUP,
			"%s: %s: unsupported algorithm %.*s; sha256 is read", what, key, (int)len,
			text);
	return error_set(err, ERROR_INPUT, EINVAL,
		"%s: %s: expected \"sha256:\" and 64 hexadecimal digits, found \"%s\"", what, key,
		text);
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

int digest_expect(const struct digest *expected, const struct digest *found, const char *name,
	const char *what, struct error *err)
{
	char expected_text[DIGEST_TEXT_SIZE];
	char found_text[DIGEST_TEXT_SIZE];
	if (digest_equal(expected, found))
		return 0;
	return error_set(err, ERROR_INPUT, EINVAL, "%s: expected the %s %s, found %s", name, what,
		digest_text(expected, expected_text), digest_text(found, found_text));
}

struct digest digest_of(const void *data, size_t len)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, data, len);
	return hasher_finish(hasher);
}

/* libcrypto's digest calls fail only without memory or without the algorithm: both end here. */
static void must(int ok)
{
	if (ok != 1)
		abort();
}

struct hasher *hasher_new(void)
{
	struct hasher *hasher = xmalloc(sizeof(*hasher));
	hasher->ctx = EVP_MD_CTX_new();
	must(hasher->ctx != NULL);
	must(EVP_DigestInit_ex(hasher->ctx, EVP_sha256(), NULL));
	return hasher;
}

void hasher_add(struct hasher *hasher, const void *data, size_t len)
{
	must(EVP_DigestUpdate(hasher->ctx, data, len));
}

struct digest hasher_finish(struct hasher *hasher)
{
	struct digest digest;
	must(EVP_DigestFinal_ex(hasher->ctx, digest.bytes, NULL));
	return digest;
}

void hasher_free(struct hasher *hasher)
{
	if (hasher == NULL)
		return;
	EVP_MD_CTX_free(hasher->ctx);
	free(hasher);
}
