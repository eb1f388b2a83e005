/*
 * The command line of a command as one table, from which getopt's tables, the messages and --help
 * are made. Takes argv and the table; gives each flag's value to the command's own function.
 * Knows no command.
 */
#ifndef LAYERVM_COMMANDS_ARGV_H
#define LAYERVM_COMMANDS_ARGV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "support/error.h"
#include "support/report.h"

struct argv_flag {
	const char *name;     /* NULL: no flag but a heading, which help holds */
	char letter;          /* '\0': none */
	const char *argument; /* NULL: takes none */
	const char *help;
};

/* A word that the first argument may be, where a command does several things. */
struct argv_word {
	const char *name;
	const char *help;
};

struct argv_command {
	const char *name;              /* "build" */
	const char *usage;             /* --help begins with it: lines of 80 columns at most */
	const char *more;              /* --help ends with it: a line */
	const struct argv_word *words; /* NULL: the arguments are files */
	size_t word_count;
	const void *flags; /* an array of structures that begin with a struct argv_flag */
	size_t flag_size;  /* of one of them, in bytes */
	size_t flag_count;
	/*
	 * Takes a flag. value: in argv; NULL where the flag takes none. Not called for the flag
	 * "help". argv_parse puts the flag before the message of an error.
	 */
	int (*take)(
		void *target, const struct argv_flag *flag, const char *value, struct error *err);
	/* Takes an argument that is no flag. value: in argv, may be empty. */
	int (*operand)(void *target, const char *value, struct error *err);
};

/*
 * Reads argv in its order. argv[0]: the command's own name, passed over. target: handed on.
 * *help: whether --help was met; nothing after it is read. All errors are ERROR_USAGE.
 * Uses getopt_long and so its global state.
 */
int argv_parse(const struct argv_command *command, int argc, char **argv, void *target, bool *help,
	struct error *err);

/* Makes r and *err the error of a flag: an ERROR_USAGE that begins with its name; but a
 * signal stays one. Returns r. */
int argv_flag_error(const struct argv_flag *flag, int r, struct error *err);

/* The flag at an index of the table, below flag_count. */
const struct argv_flag *argv_flag_at(const struct argv_command *command, size_t index)
	__attribute__((returns_nonnull));

/* Writes the text of --help. */
void argv_help(const struct argv_command *command, FILE *out);

/* Shows --help on standard output. Returns the exit status, after the report was told a failure. */
int argv_show_help(const struct argv_command *command, struct report *report);

#endif
