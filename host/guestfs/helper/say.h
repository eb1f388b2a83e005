/* The helper's lines to layervm, as guestfs/messages.h has them. */
#ifndef LAYERVM_GUESTFS_HELPER_SAY_H
#define LAYERVM_GUESTFS_HELPER_SAY_H

#include "support/error.h"

void say_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The last line: one of them. */
void say_done(void);
void say_error(const struct error *err);

#endif
