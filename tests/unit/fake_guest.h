/* What fakes of a guest have in common: frames of guest-init/protocol.h on QEMU's descriptors. */
#ifndef TESTS_UNIT_FAKE_GUEST_H
#define TESTS_UNIT_FAKE_GUEST_H

#include <stddef.h>
#include <stdint.h>

#include "protocol.h"

#define FAKE_STRANGE 99 /* the status for what no behaviour expects */

void fake_write(int fd, const void *data, size_t len);

/* Frames of the guest's. */
void fake_put(unsigned type, const void *payload, size_t len);
void fake_put_text(unsigned type, const char *text);
void fake_put_exit(
	uint32_t how, uint32_t code, uint32_t flags, uint32_t oom_kills, const char *words);

/* Reads a frame of the host; ENV, CWD and SCRIPT are put to text. Returns its type. */
unsigned fake_take(char *text, size_t size);
void fake_take_until(unsigned type);

/* HELLO, and what follows it; a guest that was saved goes on with the second. */
void fake_come_up(void);
void fake_wake_up(void);

/* Up to the start of the script. */
void fake_start(void);

/* From the last EXIT to the word to QEMU to end. disk: BYE's words. */
void fake_say_bye(const char *disk);

/* The same, and a good end. */
void fake_finish(const char *disk) __attribute__((noreturn));

void fake_wait(void) __attribute__((noreturn));

#endif
