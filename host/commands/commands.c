#include "commands/commands.h"

#include "commands/build.h"
#include "commands/build_flags.h"
#include "commands/cache_command.h"
#include "commands/cache_options.h"
#include "commands/debug.h"
#include "commands/debug_options.h"
#include "commands/diff.h"
#include "commands/diff_options.h"
#include "commands/export.h"
#include "commands/export_options.h"
#include "commands/inspect.h"
#include "commands/inspect_options.h"

const struct command commands[COMMAND_COUNT] = {
	{"build", "run a script as root on a base image and write the new image", command_build,
		&build_argv},
	{"debug", "open a shell in a virtual machine on an image", command_debug, &debug_argv},
	{"export", "write the merged root file system of an image as a tar", command_export,
		&export_argv},
	{"inspect", "show which images an archive holds, and one in full", command_inspect,
		&inspect_argv},
	{"diff", "list what changes from one image to another", command_diff, &diff_argv},
	{"cache", "show and tend what is kept for later runs", command_cache, &cache_argv},
};
