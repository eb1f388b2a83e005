/*
 * What went wrong, in words and as a kind. Takes a format and its arguments where the fault is
 * known; gives one line for the user and the exit status. Every function that can fail returns 0
 * or a negative errno value and takes a `struct error *` last. Knows nothing of images or VMs.
 */
#ifndef LAYERVM_SUPPORT_ERROR_H
#define LAYERVM_SUPPORT_ERROR_H

#include <stdarg.h>

enum error_kind {
	ERROR_INTERNAL,    /* a fault of layervm itself */
	ERROR_USAGE,       /* flags that do not fit */
	ERROR_SPEC,        /* the build specification */
	ERROR_INPUT,       /* an archive, image or file that was read */
	ERROR_OUTPUT,      /* a file that was to be written; the host's disk is full */
	ERROR_SCRIPT,      /* the script ended with a status or by a signal: `status` says which */
	ERROR_GUEST,       /* the guest failed: panic, a protocol fault */
	ERROR_MEMORY,      /* the guest ran out of memory */
	ERROR_DISK_FULL,   /* the guest's disk is full */
	ERROR_QEMU,        /* QEMU is missing, refused to start or died */
	ERROR_TIMEOUT,     /* the time limit passed */
	ERROR_INTERRUPTED, /* SIGINT, SIGTERM or SIGHUP: `status` is the signal */
	ERROR_LIMIT,       /* the result cannot be represented, or a cap was hit */
};

/* Longest message kept, in bytes with the final NUL; longer ones lose their middle. */
#define ERROR_MESSAGE_MAX 1024

struct error {
	enum error_kind kind;
	int status; /* ERROR_SCRIPT: the exit status (128 + n for signal n); ERROR_INTERRUPTED: the
		       signal */
	char message[ERROR_MESSAGE_MAX]; /* one printable line without a newline */
};

/*
 * Sets the error and returns -code, so that a caller can write `return error_set(...)`.
 * code: a positive errno value. Control characters in the result (names from archives may hold
 * any byte) are replaced by \xNN.
 */
int error_set(struct error *err, enum error_kind kind, int code, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* As error_set, with errno as the code and ": strerror(errno)" at the end of the message. */
int error_set_errno(struct error *err, enum error_kind kind, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "formatted text: " before the message. Returns code, which is a negative errno value. */
int error_wrap(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The word that stands for a kind in messages and in the metadata file, such as "input". */
const char *error_kind_name(enum error_kind kind);

/*
 * The exit status for an error, by the conventions of env(1), timeout(1) and docker-run(1):
 * the script's own; 124 timeout; 125 layervm's own failure; 128 + n interrupted by signal n.
 */
int error_exit_status(const struct error *err);

#endif
