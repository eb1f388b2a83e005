/*
 * A QEMU that is none: the test program itself, run under a name that tells how it behaves. It
 * speaks guest-init/protocol.h on the descriptors of vm/qemu_args.h, or breaks it.
 */
#ifndef TESTS_UNIT_FAKE_QEMU_H
#define TESTS_UNIT_FAKE_QEMU_H

#define FAKE_PREFIX "qemu-fake-"

/* Behaves as the name says, which follows FAKE_PREFIX. Does not return. */
void fake_qemu(const char *name, char **argv) __attribute__((noreturn));

#endif
