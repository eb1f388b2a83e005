/*
 * A program in QEMU's place that has been taken over before any sandbox of its own is on: it tries
 * all that it should not, and writes a line for each attempt: its name, and how it failed.
 */
#ifndef TESTS_UNIT_WALL_ATTEMPTS_H
#define TESTS_UNIT_WALL_ATTEMPTS_H

#include <stdbool.h>

#include "support/buffer.h"
#include "support/wall.h"

/* The program's name. */
#define ATTEMPTS_NAME "qemu-attempts"

/*
 * As the program: argv[1] is "outer" or "inner" for attempts that such a wall is to stop, "files"
 * for those that Landlock is to stop, argv[2] a file of the user's. The lines go to standard
 * output.
 */
void attempts_run(char **argv) __attribute__((noreturn));

/* The lines that are to be found. */
void attempts_expected(enum wall_kind kind, struct buffer *text);

#endif
