/* Files of mode 0400 in the guest's memory, at /run/secrets of the image. */
#ifndef GUEST_INIT_SECRETS_H
#define GUEST_INIT_SECRETS_H

#include <stdbool.h>
#include <stddef.h>

#include "fault.h"

struct secrets {
	bool any;
};

/* Takes the payload of SECRET: the content goes to a ramfs outside of the image at once. */
int secrets_take(struct secrets *secrets, void *payload, size_t length, struct fault *fault);

/* Has them in the image, in the mount namespace of a job; read-only. */
int secrets_surround(const struct secrets *secrets, struct fault *fault);

#endif
