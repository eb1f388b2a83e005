/* layervm-completions bash|zsh|fish: writes the file for that shell to standard output. */
#include <stdio.h>
#include <string.h>

#include "completions/completions.h"

static const struct {
	const char *name;
	void (*write)(FILE *out);
} shells[] = {
	{"bash", bash_completion},
	{"zsh", zsh_completion},
	{"fish", fish_completion},
};

const struct program_flag program_flags[PROGRAM_FLAG_COUNT] = {
	{"help", "h", "list the commands"},
	{"version", NULL, "show the version"},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (argc != 2 || strcmp(argv[1], shells[i].name) != 0)
			continue;
		shells[i].write(stdout);
		return fflush(stdout) != 0 || ferror(stdout);
	}
	fputs("usage: layervm-completions bash|zsh|fish\n", stderr);
	return 2;
}
