#include "commands/known_image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

#define FILE_NAME "a known image in the cache"
#define ENTRY_MAX (1u << 20)

/* Part of the key: another version of this file's format, or of what is verified, finds nothing. */
#define KEY_LABEL "layervm known image 1\n"

/* The file is the pairs of digests of the layers, lowest first, and the SHA-256 of the key and
 * them. */
_Static_assert(sizeof(struct image_digests) == 64, "the pairs are written as they are in memory");

static bool make_key(const struct image *image, struct digest *key)
{
	struct digest fingerprint;
	if (!image_fingerprint(image, &fingerprint))
		return false;
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, KEY_LABEL, strlen(KEY_LABEL));
	hasher_add(hasher, fingerprint.bytes, sizeof(fingerprint.bytes));
	*key = hasher_finish(hasher);
	return true;
}

static struct digest checksum(const struct digest *key, const void *digests, size_t size)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	hasher_add(hasher, key->bytes, sizeof(key->bytes));
	hasher_add(hasher, digests, size);
	return hasher_finish(hasher);
}

/* Reads an entry. out: the pairs. */
static int read_entry(int fd, const struct digest *key, struct buffer *out, struct error *err)
{
	struct digest sum;
	int r = file_read_all(fd, ENTRY_MAX, out, FILE_NAME, err);
	if (r < 0)
		return r;
	if (out->len < sizeof(sum) || (out->len - sizeof(sum)) % sizeof(struct image_digests) != 0)
		return error_set(err, ERROR_INPUT, EINVAL,
			FILE_NAME ": has %zu bytes, which no number of digests has", out->len);
	out->len -= sizeof(sum);
	memcpy(sum.bytes, out->data + out->len, sizeof(sum.bytes));
	struct digest found = checksum(key, out->data, out->len);
	return digest_expect(&sum, &found, FILE_NAME, "digest", err);
}

int known_image_check(int fd, const struct digest *key, struct error *err)
{
	cleanup_buffer struct buffer pairs = {0};
	return read_entry(fd, key, &pairs, err);
}

int known_image_find(const struct cache *cache, struct image *image, struct error *err)
{
	struct digest key;
	cleanup_buffer struct buffer pairs = {0};
	cleanup_close int fd = -1;
	if (!make_key(image, &key))
		return 0;
	int r = cache_find(cache, KNOWN_IMAGE_KIND, &key, O_RDONLY, &fd, err);
	if (r <= 0)
		return r;
	r = read_entry(fd, &key, &pairs, err);
	if (r < 0 && err->kind != ERROR_INPUT)
		return r;
	if (r < 0 || pairs.len != image->layer_count * sizeof(struct image_digests)) {
		r = cache_remove(cache, KNOWN_IMAGE_KIND, &key, err);
		return r < 0 ? r : 0;
	}
	cleanup_free struct image_digests *digests = xmalloc(pairs.len);
	memcpy(digests, pairs.data, pairs.len);
	image_trust(image, digests);
	return 1;
}

int known_image_forget(const struct cache *cache, const struct image *image, struct error *err)
{
	struct digest key;
	return make_key(image, &key) ? cache_remove(cache, KNOWN_IMAGE_KIND, &key, err) : 0;
}

int known_image_put(const struct cache *cache, const struct image *image, struct error *err)
{
	struct digest key;
	cleanup_cache_entry struct cache_entry *entry = NULL;
	cleanup_buffer struct buffer bytes = {0};
	if (!make_key(image, &key) || !image_is_settled(image))
		return 0;
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_digests pair = {
			image->layers[i].digest, image->layers[i].diff_id};
		buffer_add(&bytes, &pair, sizeof(pair));
	}
	struct digest sum = checksum(&key, bytes.data, bytes.len);
	buffer_add(&bytes, sum.bytes, sizeof(sum.bytes));
	int r = cache_start(cache, KNOWN_IMAGE_KIND, &entry, err);
	if (r == 0)
		r = file_write_at(cache_entry_fd(entry), bytes.data, bytes.len, 0, FILE_NAME, err);
	return r < 0 ? r : cache_publish(entry, &key, err);
}
