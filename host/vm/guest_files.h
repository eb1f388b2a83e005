/* Where the guest's kernel and its initramfs files are on this machine. */
#ifndef LAYERVM_VM_GUEST_FILES_H
#define LAYERVM_VM_GUEST_FILES_H

#include "support/error.h"

struct guest_files {
	char *kernel;        /* paths; the kernel is no bzImage, but what one holds */
	char *initrd;        /* for scripts */
	char *unpack_initrd; /* for VM_JOB_UNPACK */
};

/*
 * Looks in $LAYERVM_GUEST_DIR where that is set, and nowhere else; otherwise beside the running
 * program: in ../share/layervm as installed, in ../images/guest as built. Fails with
 * ERROR_INTERNAL, which says where it looked and what to do. The caller frees the result with
 * guest_files_free.
 */
int guest_files_find(struct guest_files *files, struct error *err);

/* Frees the paths; an empty struct is allowed. */
void guest_files_free(struct guest_files *files);
#define cleanup_guest_files __attribute__((cleanup(guest_files_free)))

#endif
