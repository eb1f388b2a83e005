/*
 * Mounts, secrets, network and names of hosts of a guest, from what was asked for to what vm_run
 * takes. Takes a spec and the tree of the image; gives disks, mount points and files in the tree,
 * and takes back out of it what must not stay. For every command that starts a guest.
 */
#ifndef LAYERVM_COMMANDS_GUEST_EXTRAS_H
#define LAYERVM_COMMANDS_GUEST_EXTRAS_H

#include "commands/base_cache.h"
#include "spec/extras.h"
#include "support/error.h"
#include "support/report.h"
#include "tree/tree.h"
#include "vm/vm.h"

struct guest_extras;

struct guest_extras_options {
	struct report *report;
	enum base_check check; /* of the disks of bind mounts that the cache has */
};

/* Whether there are mounts that are kept in the cache folder. */
bool guest_extras_need_cache(const struct guest_extras_spec *spec);

/*
 * Before the disk is assembled: resolves
 * the mount points in the tree, symlinks within its root, and makes those that are missing
 * (DENTRY_SCAFFOLD); puts files of ours in the place of /etc/resolv.conf and /etc/hosts where
 * they are needed; makes the disks of bind mounts or finds them in the cache folder; waits for the
 * locks of cache mounts; reads the secrets; starts passt. spec and tree: must live as long as
 * *out, which the caller frees with guest_extras_free; it is set on success only.
 * Errors: ERROR_SPEC for what cannot be (a mount point that is no folder, too many disks),
 * ERROR_INPUT for what cannot be read, ERROR_OUTPUT for the cache folder, ERROR_QEMU for passt,
 * ERROR_INTERRUPTED.
 */
int guest_extras_prepare(const struct guest_extras_spec *spec, struct tree *tree,
	const struct guest_extras_options *options, struct guest_extras **out, struct error *err);

/* Fills further, mounts, secrets and network of the options, which stay the extras' own. */
void guest_extras_apply(const struct guest_extras *extras, struct vm_options *options);

/*
 * Where there is a network, adds to a job's environment the variables of layervm's own that name
 * proxies and that it lacks. *env: NULL at the end, each and itself from malloc; or NULL.
 */
void guest_extras_add_env(const struct guest_extras *extras, char ***env);

/*
 * After the tree was brought to what the guest left (disk_reread), before changes are marked:
 * /etc/resolv.conf and /etc/hosts that are still what was put there become what they were.
 * Reads, but opens nothing: it may be called in a confined child.
 */
int guest_extras_restore(const struct guest_extras *extras, struct tree *tree, struct error *err);

/* After the guest's end: warns of each cache mount that is lost, since it was not unmounted. */
void guest_extras_tell_lost(const struct guest_extras *extras);

/* Ends passt, lets the locks go, wipes secrets. NULL is allowed. */
void guest_extras_free(struct guest_extras *extras);

static inline void cleanup_guest_extras_fn(struct guest_extras **extras)
{
	guest_extras_free(*extras);
}
#define cleanup_guest_extras __attribute__((cleanup(cleanup_guest_extras_fn)))

#endif
