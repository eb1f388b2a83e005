/*
 * The disk as the guest left it: the base with the overlay's blocks over it, as one source of
 * bytes. Blocks past the base's end that nobody wrote are zeros.
 */
#ifndef LAYERVM_DISK_DISK_VIEW_H
#define LAYERVM_DISK_DISK_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support/error.h"
#include "tree/source.h"

struct disk_view;

/*
 * Opens the pair and reads the overlay's map. Both descriptors are taken over, and closed on
 * failure too; -1 is a failure. The view lives as long as its source: hand disk_view_source to a
 * tree, or free it through source->free.
 */
int disk_view_open(int base, int overlay, struct disk_view **out, struct error *err);

/* The disk as a source: offset 0 is its first byte. It is the view's only owner. */
struct source *disk_view_source(struct disk_view *view);

/* The virtual disk's size in bytes. */
uint64_t disk_view_size(const struct disk_view *view);

/* Reads bytes as the guest left them. Past the virtual disk's end is an ERROR_INTERNAL. */
int disk_view_read(
	const struct disk_view *view, void *data, size_t len, uint64_t offset, struct error *err);

/* Reads bytes as the guest found them; past the base file's end they are zeros. */
int disk_view_read_base(
	const struct disk_view *view, void *data, size_t len, uint64_t offset, struct error *err);

/* Whether the guest wrote the block of that number. */
bool disk_view_holds(const struct disk_view *view, uint64_t block);

#endif
