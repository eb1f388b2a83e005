/* The subcommands of layervm, as one table: for main, the completions and the tests. */
#ifndef LAYERVM_COMMANDS_COMMANDS_H
#define LAYERVM_COMMANDS_COMMANDS_H

#include <stddef.h>

#include "commands/argv.h"

struct command {
	const char *name;
	const char *help;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; gives the status */
	const struct argv_command *argv;
};

#define COMMAND_COUNT 6
extern const struct command commands[COMMAND_COUNT];

#endif
