#include "commands/guest_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "commands/qemu_program.h"
#include "disk/disk.h"
#include "protocol.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "vm/guest_files.h"

#define MIB (UINT64_C(1) << 20)

/* The disk with the layers is only read; disk_assemble takes no less. */
#define LAYERS_ROOM MIB

/*
 * Room for each byte of a layer's tar. An entry takes 512 of them at least, and on the disk an
 * inode, of which there is one for 4 KiB of room (or for 16 KiB on a disk near ROOM_MAX), and a
 * block or two: with so much neither blocks nor inodes are short, whatever the entries are. It is
 * no more than a number: the disk's file is sparse.
 */
#define ROOM_PER_TAR_BYTE 32

/* With its inodes a disk of so much room is within what disk_assemble makes. */
#define ROOM_MAX (UINT64_C(60) << 30)

/* How layers are compressed, by the end of their media type; no such end: they are not. */
static const struct {
	const char *suffix, *word;
} compressions[] = {
	{"+gzip", "gzip"},
	{"+zstd", "zstd"},
};

static const char *compression_word(const char *media_type)
{
	size_t len = strlen(media_type);
	for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
		size_t suffix = strlen(compressions[i].suffix);
		if (len >= suffix && strcmp(media_type + len - suffix, compressions[i].suffix) == 0)
			return compressions[i].word;
	}
	return "plain";
}

static void add_file(struct tree *tree, const char *name, struct source *source, uint64_t size)
{
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0444);
	inode_set_data(tree, inode, tree_own_source(tree, source), 0, size);
	tree_link(tree, tree_root(tree), name, strlen(name), inode);
}

/* The first layer with the same blob: two that share it are one file. */
static size_t first_with_blob(const struct image *image, size_t index)
{
	const struct image_layer *layer = &image->layers[index];
	size_t first = 0;
	while (image->layers[first].blob_fd != layer->blob_fd ||
		image->layers[first].blob_offset != layer->blob_offset)
		first++;
	return first;
}

static int add_blob(
	struct tree *tree, const char *name, const struct image_layer *layer, struct error *err)
{
	int fd = fcntl(layer->blob_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
	add_file(tree, name, source_from_fd(fd, layer->blob_offset, "a layer"), layer->blob_size);
	return 0;
}

/* The blobs as they are in the archive, and the list of them: see PROTOCOL_LAYERS. */
static int make_layers_tree(const struct image *image, struct tree *tree, struct error *err)
{
	cleanup_buffer struct buffer list = {0};
	for (size_t i = 0; i < image->layer_count; i++) {
		const struct image_layer *layer = &image->layers[i];
		size_t first = first_with_blob(image, i);
		cleanup_free char *name = xasprintf("%zu", first + 1);
		int r = first == i ? add_blob(tree, name, layer, err) : 0;
		if (r < 0)
			return r;
		buffer_printf(&list, "%s %" PRIu64 " %s\n", name, layer->blob_size,
			compression_word(layer->media_type));
	}
	add_file(tree, PROTOCOL_LAYERS, source_from_bytes(list.data, list.len), list.len);
	return 0;
}

static int make_layers_disk(const struct image *image, int *disk, struct error *err)
{
	const struct disk_options options = {.room = LAYERS_ROOM};
	uint64_t size;
	cleanup_tree struct tree *tree = tree_new();
	int r = make_layers_tree(image, tree, err);
	if (r < 0)
		return r;
	*disk = file_temporary(err);
	if (*disk < 0)
		return *disk;
	r = disk_assemble(tree, *disk, &options, &size, err);
	return r < 0 ? error_wrap(err, r, "the disk with the layers") : 0;
}

/* The room that the layers may take and what was asked for beyond that, as far as it can be had. */
static int needed_room(const struct guest_unpack_options *options, const struct image *image,
	uint64_t *room, struct error *err)
{
	if (options->disk_size > ROOM_MAX / MIB)
		return error_set(err, ERROR_SPEC, EFBIG,
			"%" PRIu64 " MiB of room on the disk that layers are unpacked to, at most "
			"%" PRIu64 " are possible",
			options->disk_size, ROOM_MAX / MIB);
	uint64_t sum = options->disk_size * MIB;
	for (size_t i = 0; i < image->layer_count && sum < ROOM_MAX; i++) {
		uint64_t more;
		if (__builtin_mul_overflow(image->layers[i].tar_size, ROOM_PER_TAR_BYTE, &more) ||
			__builtin_add_overflow(sum, more, &sum))
			sum = ROOM_MAX;
	}
	*room = sum < ROOM_MAX ? sum : ROOM_MAX;
	return 0;
}

static int make_image_disk(
	uint64_t room, struct tree *tree, struct guest_unpacked *disks, struct error *err)
{
	const struct disk_options disk_options = {.room = room};
	uint64_t size;
	disks->base = file_temporary(err);
	if (disks->base < 0)
		return disks->base;
	disks->overlay = file_temporary(err);
	if (disks->overlay < 0)
		return disks->overlay;
	int r = disk_assemble(tree, disks->base, &disk_options, &size, err);
	return r < 0 ? r : overlay_create(disks->overlay, size, err);
}

static int boot(const struct guest_unpack_options *options, int layers,
	const struct guest_unpacked *disks, struct error *err)
{
	const struct vm_job job = {.kind = VM_JOB_UNPACK};
	struct vm_outcome outcome;
	struct disk_state disk;
	cleanup_guest_files struct guest_files files = {0};
	int r = guest_files_find(&files, err);
	if (r == 0)
		r = disk_state(disks->base, &disk, err);
	if (r < 0)
		return r;
	const struct vm_disk further = {.fd = layers, .overlay_fd = -1};
	const struct vm_options vm_options = {
		.qemu = qemu_program(),
		.kernel = files.kernel,
		.initrd = files.unpack_initrd,
		.accel = options->accel,
		.memory_mib = options->memory_mib,
		.cpus = options->cpus,
		.timeout = options->timeout,
		.disk_fd = disks->base,
		.overlay_fd = disks->overlay,
		.disk_inodes = disk.inodes,
		.further = &further,
		.further_count = 1,
	};
	return vm_run(&vm_options, &job, options->report, &outcome, err);
}

int guest_unpack_disk(const struct guest_unpack_options *options, const struct image *image,
	struct tree *tree, struct guest_unpacked *unpacked, struct error *err)
{
	cleanup_guest_unpacked struct guest_unpacked disks = GUEST_UNPACKED_NONE;
	cleanup_close int layers = -1;
	uint64_t room = 0;
	*unpacked = GUEST_UNPACKED_NONE;
	int r = needed_room(options, image, &room, err);
	if (r < 0)
		return r;
	report_stage(options->report, "assemble", "a disk of %zu layers", image->layer_count);
	r = make_layers_disk(image, &layers, err);
	if (r == 0)
		r = make_image_disk(room, tree, &disks, err);
	if (r < 0)
		return r;
	report_stage(
		options->report, "unpack", "the layers in a guest of %u MiB", options->memory_mib);
	r = boot(options, layers, &disks, err);
	/* To ask for more, as the guest's end advises, would change nothing. */
	if (r < 0 && err->kind == ERROR_DISK_FULL && room == ROOM_MAX)
		return error_set(err, ERROR_LIMIT, EFBIG,
			"the layers do not fit on the largest disk that they are unpacked to, of "
			"%" PRIu64 " GiB",
			ROOM_MAX >> 30);
	if (r < 0)
		return r;
	*unpacked = disks;
	disks = GUEST_UNPACKED_NONE;
	return 0;
}
