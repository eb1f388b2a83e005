/*
 * The layers of an image merged by the guest instead of by layer_apply: they reach it as files on
 * a disk, and it unpacks them one over the other into a fresh file system.
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
 * Has the guest unpack the image's layers to a disk. tree must be a new one (tree_new): it is the
 * empty one that is on the base, and disk_reread brings it to what the layers make in the guest's
 * judgement, which is left to the caller since the guest's disk is hostile. Then changes_mark_all
 * and layer_write give the same bytes as after layer_apply of every layer, but for what Linux and
 * ext4 have one way only: symlinks have mode 0777, and a time that cannot be told is the nearest
 * one that can. The caller closes what unpacked holds.
 *
 * Fails with ERROR_INPUT where a layer is at fault (which, which entry) or holds what ext4 or
 * Linux does not take; with ERROR_SPEC where disk_size is more than a disk can have, and
 * ERROR_LIMIT where the layers do not fit on the largest one; with the errors of vm_run.
 */
int guest_unpack_disk(const struct guest_unpack_options *options, const struct image *image,
	struct tree *tree, struct guest_unpacked *unpacked, struct error *err);

#endif
