/* Codes of libext2fs as errors of layervm. */
#ifndef LAYERVM_DISK_LIBRARY_ERROR_H
#define LAYERVM_DISK_LIBRARY_ERROR_H

#include "support/error.h"

/*
 * An ERROR_INTERNAL with the library's words for a code that is not 0. doing: what libext2fs was
 * asked for, such as "write an inode".
 */
int library_error(long code, const char *doing, struct error *err);

#endif
