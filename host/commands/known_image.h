/*
 * Archives that an earlier run has read and verified, known again by their identity: neither
 * hashed nor inflated once more. In the cache folder, a small file an image.
 */
#ifndef LAYERVM_COMMANDS_KNOWN_IMAGE_H
#define LAYERVM_COMMANDS_KNOWN_IMAGE_H

#include "cache/cache.h"
#include "image/image.h"
#include "support/error.h"

/* The kind of its entries in the cache. */
#define KNOWN_IMAGE_KIND "image"

/*
 * Looks up an image that was loaded with `later`. Returns 1 where it is known: it has its digests
 * then (image_trust), image_verify is needed for tars only, and what is streamed is not hashed. 0:
 * it is not known; or an error of the cache folder. What is damaged in the cache is removed from
 * it.
 */
int known_image_find(const struct cache *cache, struct image *image, struct error *err);

/*
 * Remembers an image that image_verify has found to be right, and, of the layers that are streamed,
 * their first readings. Does nothing where its bytes are not known by its file (image_fingerprint),
 * or where that was changed just now (image_is_settled).
 */
int known_image_put(const struct cache *cache, const struct image *image, struct error *err);

/* Forgets what is known of an image: known_image_put says it anew. */
int known_image_forget(const struct cache *cache, const struct image *image, struct error *err);

/* Whether an entry of that key is as it was written; else an ERROR_INPUT. */
int known_image_check(int fd, const struct digest *key, struct error *err);

#endif
