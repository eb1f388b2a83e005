/*
 * Records of pax extended headers (POSIX.1-2017 pax, "pax Extended Header"), taken only where all
 * readers of tars take them alike.
 */
#ifndef LAYERVM_LAYER_PAX_H
#define LAYERVM_LAYER_PAX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/buffer.h"

/* One record. Key and value point into the records; neither ends with a NUL. */
struct pax_record {
	const char *key, *value;
	size_t key_len, value_len;
};

/*
 * The record at *at, which moves on to the next one. Returns 1; 0 at the end; -1 where there is no
 * record "LENGTH KEY=VALUE\n" with a length that fits.
 */
int pax_next(const struct buffer *records, size_t *at, struct pax_record *record);

/* A sparse file's pieces of data, in order. All zero: none. */
struct sparse_pieces {
	uint64_t end;   /* of the last piece, in the file */
	uint64_t bytes; /* of all pieces, which is what the tar has */
};

/* Adds a piece. Returns false where it begins before the last one ends, or ends nowhere. */
bool sparse_pieces_add(struct sparse_pieces *pieces, uint64_t offset, uint64_t length);

/* Decimal digits alone, of a number that an int64_t holds. */
bool pax_number(const char *text, size_t len, uint64_t *out);

/* Where a sparse file's pieces are told. */
enum pax_sparse {
	PAX_DENSE,
	PAX_SPARSE_LISTED, /* in the records: GNU's forms 0.0 and 0.1 */
	PAX_SPARSE_AHEAD,  /* ahead of the file's data: GNU's form 1.0 */
};

/* What the header of one entry says. */
struct pax_said {
	struct pax_record path;     /* or GNU.sparse.name; without a key: none */
	struct pax_record linkpath; /* without a key: none */
	bool has_size, has_mtime;
	uint64_t size;     /* bytes in the tar */
	int64_t mtime_sec; /* the second below: -0.25 s is -1 s and 750,000,000 ns */
	uint32_t mtime_nsec;
	enum pax_sparse sparse;
	uint64_t sparse_size;        /* of the sparse file, holes included */
	struct sparse_pieces pieces; /* of PAX_SPARSE_LISTED */
};

#define PAX_FAULT_SIZE 200

/*
 * Reads an entry's records. Of a keyword that comes twice the last counts, but for those of sparse
 * maps. said points into the records. Returns false where readers differ, and fault says in what:
 * "its pax record size, \"+5\", is ...".
 */
bool pax_read(const struct buffer *records, struct pax_said *said, char fault[PAX_FAULT_SIZE]);

/* The same for a global header, of which some readers take nothing: it may have a comment. */
bool pax_read_global(const struct buffer *records, char fault[PAX_FAULT_SIZE]);

#endif
