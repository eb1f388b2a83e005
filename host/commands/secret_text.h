/* The bytes of secrets, in memory that is wiped when it is freed. */
#ifndef LAYERVM_COMMANDS_SECRET_TEXT_H
#define LAYERVM_COMMANDS_SECRET_TEXT_H

#include "spec/extras.h"
#include "support/error.h"
#include "vm/vm.h"

/*
 * Reads a secret from its file or variable, once. secret->data is freed by secret_text_free; id
 * stays the spec's. Fails with ERROR_INPUT where it cannot be read or has more than VM_SECRET_MAX
 * bytes.
 */
int secret_text_read(const struct guest_secret *spec, struct vm_secret *secret, struct error *err);

void secret_text_free(struct vm_secret *secret);

#endif
