/*
 * A QEMU that is none, for guests that are saved and restored: it speaks QMP beside the frames of
 * fake_guest.h, and does one thing wrong where its name says so.
 */
#ifndef TESTS_UNIT_FAKE_WARM_H
#define TESTS_UNIT_FAKE_WARM_H

#define FAKE_WARM_PREFIX "qemu-warm-"

/* What it writes of a machine, and what the first bytes of its memory's pages are. */
#define FAKE_WARM_STATE "the state of a machine"
#define FAKE_WARM_PAGES                                                                            \
	{                                                                                          \
		0, 3, 1024, 4095                                                                   \
	}

/* What a large guest has of memory, and how much of it is not zero, in MiB. */
#define FAKE_WARM_LARGE_MIB 64
#define FAKE_WARM_LARGE_USED 40

/*
 * Behaves as the name says, which follows FAKE_WARM_PREFIX. The script's output is how the guest
 * came up, the first bytes of its disk, and the limit of its files' size. Does not return.
 */
void fake_warm(const char *name, char **argv) __attribute__((noreturn));

#endif
