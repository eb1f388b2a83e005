#include "disk/assemble_file.h"

#include <errno.h>

#include "disk/disk.h"

/* Logical blocks are numbered by 32 bits, and the last one is not used (ext4_max_size). */
#define FILE_SIZE_MAX ((uint64_t)UINT32_MAX * DISK_BLOCK_SIZE)

/* Consecutive blocks of a file that hold data, and the segments first..end-1 that are in them. */
struct run {
	uint32_t block;
	uint64_t blocks;
	uint32_t first;
	uint32_t end;
};

/* The run that begins with segment *next or later; *next moves behind it. False: no more. */
static bool next_run(const struct inode *inode, uint32_t *next, struct run *run)
{
	uint32_t i = *next;
	while (i < inode->segment_count && inode->segments[i].length == 0)
		i++;
	if (i == inode->segment_count)
		return false;
	run->first = i;
	run->block = (uint32_t)(inode->segments[i].logical / DISK_BLOCK_SIZE);
	uint64_t last = run->block; /* the first block behind the run */
	for (; i < inode->segment_count; i++) {
		const struct segment *s = &inode->segments[i];
		if (s->logical / DISK_BLOCK_SIZE > last)
			break;
		if (s->length != 0)
			last = (s->logical + s->length - 1) / DISK_BLOCK_SIZE + 1;
	}
	run->blocks = last - run->block;
	run->end = i;
	*next = i;
	return true;
}

static int check_segments(const struct inode *inode, struct error *err)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i < inode->segment_count; i++) {
		const struct segment *s = &inode->segments[i];
		uint64_t end;
		if (__builtin_add_overflow(s->logical, s->length, &end) || s->logical < at ||
			end > inode->size)
			return error_set(err, ERROR_INTERNAL, EINVAL,
				"segment %u covers %llu bytes from %llu on, in a file of %llu "
				"bytes of which the first %llu are covered already",
				i, (unsigned long long)s->length, (unsigned long long)s->logical,
				(unsigned long long)inode->size, (unsigned long long)at);
		at = end;
	}
	return 0;
}

int file_plan(const struct inode *inode, uint64_t *blocks, struct error *err)
{
	if (inode->size > FILE_SIZE_MAX)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"has %llu bytes, but a file on an ext4 disk holds at most %llu",
			(unsigned long long)inode->size, (unsigned long long)FILE_SIZE_MAX);
	int r = check_segments(inode, err);
	if (r < 0)
		return r;
	uint64_t extents = 0;
	uint32_t next = 0;
	struct run run;
	*blocks = 0;
	while (next_run(inode, &next, &run)) {
		*blocks += run.blocks;
		extents += assemble_extent_count(run.blocks);
	}
	*blocks += assemble_extent_nodes(extents);
	return 0;
}

static int write_zeros(struct disk_writer *out, uint64_t len, struct error *err)
{
	void *zeros;
	return writer_room(out, (size_t)len, &zeros, err);
}

/* The gaps in a run, between segments and to the block's ends, are shorter than two blocks. */
static int write_run(const struct inode *inode, const struct run *run, struct disk_writer *out,
	struct error *err)
{
	uint64_t at = (uint64_t)run->block * DISK_BLOCK_SIZE;
	uint64_t end = at + run->blocks * DISK_BLOCK_SIZE;
	for (uint32_t i = run->first; i < run->end; i++) {
		const struct segment *s = &inode->segments[i];
		if (s->length == 0)
			continue;
		int r = write_zeros(out, s->logical - at, err);
		if (r == 0)
			r = writer_copy(out, inode->source, s->offset, s->length, err);
		if (r < 0)
			return r;
		at = s->logical + s->length;
	}
	return write_zeros(out, end - at, err);
}

/* The runs lie one after another from the block `first` on. */
static int add_extents(const struct inode *inode, uint64_t first, struct assemble_extents *extents,
	struct error *err)
{
	struct run run;
	int r = 0;
	for (uint32_t next = 0; r == 0 && next_run(inode, &next, &run);) {
		const struct assemble_run stretch = {
			.logical = run.block, .physical = first, .blocks = run.blocks};
		r = assemble_extents_add(extents, &stretch, err);
		first += run.blocks;
	}
	return r;
}

int file_write_data(const struct inode *inode, struct assemble_fs *f, struct assemble_inode *out,
	struct error *err)
{
	struct run run;
	uint64_t first = assemble_fs_next(f);
	for (uint32_t next = 0; next_run(inode, &next, &run);) {
		int r = write_run(inode, &run, &f->io.data, err);
		if (r < 0)
			return r;
	}
	cleanup_extents_writer struct assemble_extents extents;
	assemble_extents_open(&extents, f, inode->ino, first, out);
	return add_extents(inode, first, &extents, err);
}

void file_move(struct tree *tree, struct inode *inode, struct source *disk, uint32_t block)
{
	struct segment *segments = NULL;
	struct run run;
	uint32_t count = 0;
	for (uint32_t next = 0; next_run(inode, &next, &run);)
		count++;
	if (count != 0)
		segments = tree_alloc(tree, count * sizeof(*segments));
	uint64_t offset = (uint64_t)block * DISK_BLOCK_SIZE;
	uint32_t i = 0;
	for (uint32_t next = 0; i < count && next_run(inode, &next, &run); i++) {
		uint64_t logical = (uint64_t)run.block * DISK_BLOCK_SIZE;
		uint64_t length = run.blocks * DISK_BLOCK_SIZE;
		uint64_t rest = inode->size - logical;
		segments[i] = (struct segment){.logical = logical,
			.length = length < rest ? length : rest,
			.offset = offset};
		offset += length;
	}
	inode->segments = segments;
	inode->segment_count = count;
	inode->source = disk;
}
