/*
 * Flags that each set one field of a structure of options, which most flags do: a row of a table
 * says what is taken and where it goes. For argv.h.
 */
#ifndef LAYERVM_COMMANDS_FLAG_FIELDS_H
#define LAYERVM_COMMANDS_FLAG_FIELDS_H

#include <stddef.h>
#include <stdlib.h>

#include "commands/argv.h"
#include "support/error.h"

struct field_flag {
	struct argv_flag is; /* first, for argv.h; no `take` is needed for "help" */
	int (*take)(void *field, const char *value, struct error *err);
	size_t offset; /* of the field in the options */
};

/* take of a struct argv_command whose table is of these; target: the options. */
int field_flag_take(
	void *target, const struct argv_flag *flag, const char *value, struct error *err);

/* Which image of several a command reads. All zero: nothing is asked for. */
struct image_choice {
	char *name; /* or NULL, as all of these */
	char *tag;
	char *architecture;
	char *variant;
};
void image_choice_free(struct image_choice *choice);

/* What a field is, and what it takes. */
int field_text(void *field, const char *value, struct error *err);       /* char *: not empty */
int field_yes(void *field, const char *value, struct error *err);        /* bool */
int field_progress(void *field, const char *value, struct error *err);   /* enum progress */
int field_accel(void *field, const char *value, struct error *err);      /* enum vm_accel */
int field_memory(void *field, const char *value, struct error *err);     /* uint32_t: MiB */
int field_disk_size(void *field, const char *value, struct error *err);  /* uint32_t: MiB */
int field_image_name(void *field, const char *value, struct error *err); /* image_choice */
int field_platform(void *field, const char *value, struct error *err);   /* image_choice */

#endif
