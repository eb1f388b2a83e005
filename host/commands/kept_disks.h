/*
 * A guest's disks that stay: the folder of `build --keep`, which `debug` opens later. In it are
 * disk.ext4 (raw, as it was assembled), overlay.qcow2 (what the guest wrote over it) and
 * kept.json (the surroundings that the script had).
 */
#ifndef LAYERVM_COMMANDS_KEPT_DISKS_H
#define LAYERVM_COMMANDS_KEPT_DISKS_H

#include <stdbool.h>
#include <stdint.h>

#include "support/error.h"
#include "vm/vm.h"

/*
 * Makes the folder where it is missing, and the two disks in it, empty and open for reading and
 * writing, in the place of what an earlier run left; kept.json says until kept_disks_describe that
 * they are unfinished. They are locked as long as they are open: a folder that another build or
 * session has open is an ERROR_OUTPUT. So is a file of a disk's name that no build has left: one
 * with another name too, that is not regular, or with no kept.json beside it.
 */
int kept_disks_create(const char *folder, int *base, int *overlay, struct error *err);

/* Writes kept.json: the job's environment and working folder. memory: of the guest, in MiB. */
int kept_disks_describe(
	const char *folder, const struct vm_job *job, unsigned memory, struct error *err);

/* Whether path is such a folder: one with a kept.json. */
bool is_kept_disks(const char *path);

/* What such a folder holds. All zero but the descriptors, which are -1, is none. */
struct kept_disks {
	int base;        /* for reading */
	int overlay;     /* a copy without a name, for reading and writing */
	char **env;      /* "NAME=VALUE", NULL at the end */
	char *cwd;       /* absolute */
	unsigned memory; /* MiB, in the range of the spec's */
};
#define KEPT_DISKS_NONE ((struct kept_disks){.base = -1, .overlay = -1})

/*
 * Opens such a folder; nothing in it is ever written. All three files are taken as hostile: no
 * symlinks, regular ones, the overlay over no other file than the disk and of its size; else an
 * ERROR_INPUT. While a build writes there it is an ERROR_INPUT too.
 */
int kept_disks_open(const char *folder, struct kept_disks *kept, struct error *err);

void kept_disks_close(struct kept_disks *kept);
#define cleanup_kept_disks __attribute__((cleanup(kept_disks_close)))

#endif
