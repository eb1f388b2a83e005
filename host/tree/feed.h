/* Bytes that come in order, from the first to the last, such as those of a compressed layer. */
#ifndef LAYERVM_TREE_FEED_H
#define LAYERVM_TREE_FEED_H

#include <stddef.h>
#include <stdint.h>

#include "support/error.h"

struct feed {
	/* The next bytes, valid until the next call; *len is 0 at the end, and stays so. */
	int (*next)(struct feed *feed, const uint8_t **data, size_t *len, struct error *err);
	/* Goes back to the first byte: the same ones come again, or an error before the end. */
	void (*rewind)(struct feed *feed);
	void (*free)(struct feed *feed);
};

#endif
