/* layervm: subcommands. Only this file's main ends the program. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "support/error.h"
#include "support/interrupt.h"

static void print_usage(FILE *out)
{
	fputs("Usage: layervm COMMAND [ARGUMENTS]\n\n"
	      "Builds the part of a container image that needs root, in a throwaway virtual\n"
	      "machine: no daemon, no host root, no mounts.\n\nCommands:\n",
		out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].help);
	fputs("\n`layervm COMMAND --help` tells more; so do layervm(1) and layervm-spec(5).\n",
		out);
}

/* What the caller may have left otherwise: descriptors 0 to 2 that are closed, ignored signals. */
static void set_up_process(void)
{
	int fd;
	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	/* Ignored, it would let no child's status be waited for. */
	signal(SIGCHLD, SIG_DFL);
	/* A limit on file sizes and a closed pipe are errors of the write that meets them. */
	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	struct error err;
	set_up_process();
	if (argc < 2) {
		fputs("layervm: usage: name a command; `layervm --help` lists them\n", stderr);
		return 125;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("layervm " LAYERVM_VERSION);
		return 0;
	}
	if (interrupt_setup(&err) < 0) {
		fprintf(stderr, "layervm: %s: %s\n", error_kind_name(err.kind), err.message);
		return error_exit_status(&err);
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	error_set(&err, ERROR_USAGE, EINVAL, "no command \"%s\"; `layervm --help` lists them",
		argv[1]);
	fprintf(stderr, "layervm: %s: %s\n", error_kind_name(err.kind), err.message);
	return error_exit_status(&err);
}
