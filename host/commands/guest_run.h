/*
 * The stages that take a guest, for any job in it, a build's script or a session: the tree as a
 * disk, the boot, and what differs afterwards. Knows nothing of images and of argv.
 */
#ifndef LAYERVM_COMMANDS_GUEST_RUN_H
#define LAYERVM_COMMANDS_GUEST_RUN_H

#include <stdint.h>

#include "commands/base_cache.h"
#include "commands/confined_diff.h"
#include "commands/guest_extras.h"
#include "commands/warm_boot.h"
#include "support/error.h"
#include "support/memory.h"
#include "support/report.h"
#include "tree/tree.h"
#include "vm/guest_files.h"
#include "vm/vm.h"

/* What reads the disk that the guest wrote. */
enum guest_reader {
	GUEST_READER_OWN,     /* disk_reread, in a confined child */
	GUEST_READER_GUESTFS, /* libguestfs's appliance */
};

struct guest_run_options {
	struct report *report;
	enum vm_accel accel;
	unsigned memory;    /* MiB */
	unsigned cpus;      /* 0: vm_default_cpus */
	unsigned timeout;   /* seconds for the guest's run; 0: none */
	uint64_t log_limit; /* bytes of output that goes to the report; 0: no limit */
	uint32_t disk_size; /* MiB of room on the disk */
	enum guest_reader reader;
	/* Mounts, secrets, network, hosts; what is made for them in the tree leaves no change.
	   NULL: none. */
	const struct guest_extras_spec *extras;
	/* The tree is that of a base, and its disk is kept there; no extras, no `keep`. NULL: the
	   disk is this run's alone. */
	const struct base_slot *base;
	enum base_check check; /* of what the cache has for bind mounts */
	bool no_cache;    /* nothing is taken from the user's cache or put there; the guest boots */
	const char *keep; /* folder that the disks are left in (kept_disks.h); NULL: not left */
};

/* A guest between its stages. GUEST_RUN_NONE holds nothing. */
struct guest_run {
	const struct guest_run_options *options; /* must live as long */
	struct guest_extras *extras;             /* of this run; NULL: none */
	int base, overlay;                       /* the disks; -1: none so far */
	struct base_making *making;              /* of a disk that is to be kept; NULL: none */
	const struct cache *cache;               /* of the base, or own; NULL: none is used */
	struct cache *own_cache;
	struct warm_boot warm;
	struct guest_files files;
	struct vm_options vm_options;
	struct vm *vm;  /* NULL: not started yet */
	double started; /* report_clock, when it was */
};
#define GUEST_RUN_NONE ((struct guest_run){.base = -1, .overlay = -1, .warm = WARM_BOOT_NONE})

/*
 * Starts the guest, so that it comes up beside the stages before guest_run_boot; not where the
 * tree decides on its devices, as it does with extras: then guest_run_assemble does it.
 */
int guest_run_start(struct guest_run *run, struct error *err);

/*
 * Adds what the guest mounts on and the image lacks, as no change if it stays untouched
 * (DENTRY_SCAFFOLD). guest_run_assemble does that too.
 */
int guest_run_scaffold(struct tree *tree, struct error *err);

/*
 * Makes the disk of the tree's current state, and the overlay that takes the guest's writes. The
 * tree must live as long as the run.
 */
int guest_run_assemble(struct guest_run *run, struct tree *tree, struct error *err);

/* Keeps the disk, if it is to be: the tree is known to be that of the base by now. */
void guest_run_publish(struct guest_run *run);

/*
 * Boots the guest on the disks and does the job: vm_run. what: the job's name for the report,
 * such as "runAsRoot".
 */
int guest_run_boot(struct guest_run *run, const struct vm_job *job, const char *what,
	struct vm_outcome *outcome, struct error *err);

/* What the caller wants of the changes. */
struct guest_changes {
	int layer; /* file that gets them as a layer; -1: none is made */
	const struct layer_options *layer_options;
	int list; /* file that gets them as lines (diff_list); -1: none are made */
};

/*
 * Compares what the guest left with the tree's base state: confined_diff, or libguestfs. The
 * tree's current state is of no use afterwards (tree_revert).
 */
int guest_run_diff(struct guest_run *run, struct tree *tree, const struct guest_changes *wanted,
	struct changes *changes, struct layer_info *info, struct error *err);

static inline void guest_run_close(struct guest_run *run)
{
	vm_free(run->vm);
	guest_files_free(&run->files);
	warm_boot_close(&run->warm);
	cache_free(run->own_cache);
	cleanup_close_fn(&run->base);
	cleanup_close_fn(&run->overlay);
	base_making_free(run->making);
	guest_extras_free(run->extras);
}
#define cleanup_guest_run __attribute__((cleanup(guest_run_close)))

#endif
