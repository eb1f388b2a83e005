/*
 * The distinct blobs of an image's layers: hashed, inflated where they are compressed, each once,
 * several at a time by threads.
 */
#ifndef LAYERVM_IMAGE_BLOBS_H
#define LAYERVM_IMAGE_BLOBS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "image/image.h"
#include "image/inflate.h"
#include "image/store.h"

/* More threads than this are not faster: the disk is busy. */
#define BLOBS_THREADS_MAX 8u

struct blob {
	struct extent extent;
	const struct decode_format *format; /* NULL: a plain tar */
	char *name;                         /* for messages */
	/* Filled by the work, as far as it is not known before. */
	struct digest digest; /* of its bytes */
	struct image_layer layer;
	struct error err;
	int result;
};

struct blobs_worker {
	struct blobs *blobs;
	uint64_t spool_end; /* where the next inflated layer goes */
	int spool;          /* -1: none yet */
	bool started;
	pthread_t thread;
};

struct blobs {
	struct blob *items;
	size_t count;
	enum image_tars tars;
	struct inflate_budget *budget; /* of all that is inflated; borrowed, set before the start */
	struct blobs_worker workers[BLOBS_THREADS_MAX];
	size_t worker_count;    /* 0: not started, or waited for */
	pthread_mutex_t lock;   /* protects the two below */
	size_t next;            /* the first blob that nobody has taken */
	bool stopped;           /* no further blob is taken */
	_Atomic bool abandoned; /* what is being hashed is of no use any more */
};

/* Whether a blob goes on as the tar that it holds: OCI has no media type for it. */
bool blobs_becomes_tar(const struct decode_format *format);

/* OCI's media type of a layer in that format, NULL being a plain tar. */
const char *blobs_media_type(const struct decode_format *format);

/* Room for count blobs; blobs_add fills it. */
struct blobs *blobs_new(size_t count, enum image_tars tars) __attribute__((returns_nonnull));

/* The blob with those bytes, or NULL. Valid as long as the blobs. */
struct blob *blobs_find(struct blobs *blobs, const struct extent *extent);

/*
 * Adds a blob. name: taken over. Its layer has all that is known before the work: of a compressed
 * one everything but digests and tar.
 */
struct blob *blobs_add(struct blobs *blobs, const struct extent *extent,
	const struct decode_format *format, char *name) __attribute__((returns_nonnull));

enum blobs_start {
	BLOBS_AT_ONCE, /* blobs_finish comes next: the caller's thread is one of the workers */
	BLOBS_BESIDE,  /* the caller has other work to do */
};

/*
 * Starts the threads. Blobs are taken in order and each that was taken is finished, so that the
 * first failure in the order of the blobs is the same in every run.
 */
void blobs_start(struct blobs *blobs, enum blobs_start how);

/*
 * Waits for the work. spools: room for BLOBS_THREADS_MAX descriptors, which hold what was
 * inflated; they are the caller's, *spool_count of them. Each blob's result says how it went.
 */
void blobs_finish(struct blobs *blobs, int *spools, size_t *spool_count);

/* Ends work that goes on, and frees the blobs. NULL is allowed. */
void blobs_free(struct blobs *blobs);

#endif
