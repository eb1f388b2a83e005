/* What the tests of flags share: a folder with files, an argv, and what differs as a line of text.
 */
#ifndef LAYERVM_TESTS_UNIT_OPTION_RIG_H
#define LAYERVM_TESTS_UNIT_OPTION_RIG_H

#include <stddef.h>
#include <stdint.h>

#include "support/buffer.h"

struct rig_file {
	const char *name; /* in the folder, or in one that was made there before */
	const char *text;
};

/*
 * Makes a folder with these folders and files and enters it, for cmocka's setup; rig_leave, for its
 * teardown, removes them. SOURCE_DATE_EPOCH is unset. Both return 0, or -1.
 */
int rig_enter(void **state, const char *const *folders, const struct rig_file *files, size_t count);
int rig_leave(void **state, const char *const *folders, const struct rig_file *files, size_t count);

/*
 * A copy of the command's name and of the arguments, which end with NULL or at max, as argv for
 * getopt_long, which may put it in another order. argv: max + 2 places. Returns argc.
 */
int rig_argv(const char *command, const char *const *arguments, size_t max, char **argv);
void rig_argv_free(char **argv);

/* "NAME=VALUE " where there is a value; where it is not the usual one. */
void put_text(struct buffer *out, const char *name, const char *value);
void put_number(struct buffer *out, const char *name, int64_t value, int64_t usual);

#endif
