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

/* clang-format off */

/* A row of a table: a field of options of a type; a heading. */
#define FLAG_FIELD(type, name, letter, argument, take, field, help) \
	{{name, letter, argument, help}, take, offsetof(type, field)}
#define FLAG_HEADING(text) {.is = {.help = (text)}}

/* The rows that end every table. The options have `enum progress progress` and `bool quiet`. */
#define FLAG_MESSAGES(type) \
	FLAG_HEADING("Messages"), \
	FLAG_FIELD(type, "progress", '\0', "auto|plain|tty|json", field_progress, progress, \
		"how standard error reads; else auto: tty on a terminal, plain elsewhere"), \
	FLAG_FIELD(type, "quiet", 'q', NULL, field_yes, quiet, "warnings and errors only"), \
	{.is = {"help", 'h', NULL, "show this text"}}

/* clang-format on */

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

/*
 * For the operand of a command that reads one image: its path goes to *path, which is NULL before.
 * A second one is an error, and so is an empty path.
 */
int operand_image(char **path, const char *value, struct error *err);

#endif
