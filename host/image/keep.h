/*
 * Who keeps what a compressed archive inflates to, from one run to the next. The side of images
 * asks; where it is kept is the keeper's.
 */
#ifndef LAYERVM_IMAGE_KEEP_H
#define LAYERVM_IMAGE_KEEP_H

#include <stdint.h>

#include "support/digest.h"
#include "support/error.h"

struct image_keep {
	/*
	 * Opens what was kept for a compressed file, known by its identity (identity.h), and of so
	 * many bytes. Returns 1 with *fd, which is the caller's, and whose first *size bytes are
	 * what the file inflates to; 0 where there is nothing; or an interrupt's error. Called
	 * once.
	 */
	int (*find)(struct image_keep *keep, const struct digest *file, uint64_t compressed,
		int *fd, uint64_t *size, struct error *err);
	/*
	 * Where find gave nothing: an empty file to inflate to, open for reading and writing, the
	 * caller's; -1: nothing is kept.
	 */
	int (*start)(struct image_keep *keep);
	/* The file is written, and what it holds is what the compressed one holds from here on. */
	void (*finish)(struct image_keep *keep, const struct digest *content, uint64_t size);
	/* It cannot be written: r, err. */
	void (*fail)(struct image_keep *keep, int r, struct error *err);
};

#endif
