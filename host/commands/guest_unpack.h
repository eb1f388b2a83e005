/*
 * The layers of an image merged by the guest instead of by layer_apply: they reach it as files on
 * a disk, it unpacks them one over the other into a fresh file system, and that is read back.
 * Nothing of a layer's tar is parsed on the host.
 */
#ifndef LAYERVM_COMMANDS_GUEST_UNPACK_H
#define LAYERVM_COMMANDS_GUEST_UNPACK_H

#include <stdint.h>

#include "image/image.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/report.h"
#include "tree/tree.h"
#include "vm/vm.h"

struct guest_unpack_options {
	struct report *report;
	enum vm_accel accel;
	unsigned memory_mib; /* of the guest */
	unsigned cpus;
	unsigned timeout;   /* seconds for the guest's run; 0: none */
	uint64_t disk_size; /* MiB of room on the disk beyond what the layers' sizes ask for */
};

#define GUEST_UNPACK_DISK_SIZE 1024 /* for disk_size, where nobody said another */

/* What the guest wrote: the disk as it was before, and its changes, for disk_reread. */
struct guest_unpacked {
	int base;
	int overlay;
};
#define GUEST_UNPACKED_NONE ((struct guest_unpacked){.base = -1, .overlay = -1})

static inline void guest_unpacked_close(struct guest_unpacked *unpacked)
{
	cleanup_close_fn(&unpacked->base);
	cleanup_close_fn(&unpacked->overlay);
}
#define cleanup_guest_unpacked __attribute__((cleanup(guest_unpacked_close)))

/*
 * Brings tree, which must be a new one (tree_new), to what the image's layers make, in the
 * guest's judgement; its files are read from the guest's disk as long as the tree lives. Then
 * changes_mark_all and layer_write give the same bytes as after layer_apply of every layer, but
 * for what Linux and ext4 have one way only: symlinks have mode 0777, and a time that cannot be
 * told is the nearest one that can.
 *
 * Fails with ERROR_INPUT where a layer is at fault (which, which entry) or holds what ext4 or
 * Linux does not take; with the errors of vm_run; with those of disk_reread.
 */
int guest_unpack(const struct guest_unpack_options *options, const struct image *image,
	struct tree *tree, struct error *err);

/*
 * The same without reading back: disk_reread(tree, unpacked->base, unpacked->overlay) is left to
 * the caller, who may want to do it in a confined process, since the guest's disk is hostile. The
 * tree is the empty one that is on the base. The caller closes what unpacked holds.
 */
int guest_unpack_disk(const struct guest_unpack_options *options, const struct image *image,
	struct tree *tree, struct guest_unpacked *unpacked, struct error *err);

#endif
