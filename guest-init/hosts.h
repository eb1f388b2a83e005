/*
 * /etc/hosts of the image with what every program may look up: localhost and the guest's own name.
 * Where the image's file has not all of that, or there is none, a file of ours takes its place
 * while jobs run, and the image's comes back.
 */
#ifndef GUEST_INIT_HOSTS_H
#define GUEST_INIT_HOSTS_H

#include <stddef.h>
#include <sys/types.h>

#include "fault.h"

/* Bytes of an image's file that is added to; a longer one stays as it is. */
#define HOSTS_MAX 65536

/* All zero but for folder, -1: nothing was put there. */
struct hosts {
	int folder; /* the image's /etc */
	int aside;  /* the folder that the image's own file lies in meanwhile; -1: there is none */
	ino_t ino;  /* of our file */
	char *text; /* what is in it: the image's text, and ours */
	size_t len; /* of it all, */
	size_t start; /* and of the image's part, as whole lines */
};
#define HOSTS_NONE ((struct hosts){.folder = -1, .aside = -1})

/*
 * Once, when the image is mounted. An image without a folder /etc, or whose hosts is no regular
 * file with one name, stays as it is, and so does one where the disk has no room. hosts:
 * HOSTS_NONE.
 */
int hosts_put(struct hosts *hosts, struct fault *fault);

/*
 * Once, after the last job, before the image is unmounted: gives the image its own file back where
 * ours is as it was. Where a job added to the end of ours, the image has its own text and what was
 * added; where a job wrote another file, the image has that one.
 */
int hosts_restore(struct hosts *hosts, struct fault *fault);

#endif
