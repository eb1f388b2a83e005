/*
 * Runs a target on stored inputs, each once, where there is no libFuzzer: files and folders are
 * named on the command line. A corpus that is missing or empty is a failure.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "support/buffer.h"
#include "support/fileio.h"

#define INPUT_MAX ((size_t)16 << 20)

/* What a target does without it: nothing. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return 0;
}

static size_t replay(const char *path);

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static size_t replay_folder(const char *path)
{
	struct dirent **entries;
	size_t inputs = 0;
	int count = scandir(path, &entries, is_visible, by_name);
	if (count < 0)
		fuzz_broken("%s: %s", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		cleanup_free char *below = xasprintf("%s/%s", path, entries[i]->d_name);
		inputs += replay(below);
		free(entries[i]);
	}
	free(entries);
	return inputs;
}

/* Returns how many inputs there were. */
static size_t replay(const char *path)
{
	cleanup_buffer struct buffer input = {0};
	struct error err = fuzz_error();
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fuzz_broken("%s: %s", path, strerror(errno));
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		return replay_folder(path);
	fuzz_must(file_read_all(fd, INPUT_MAX, &input, path, &err), &err, path);
	/* A copy of just that length, so that a read beyond it is seen. */
	cleanup_free uint8_t *exact = xmalloc(input.len != 0 ? input.len : 1);
	if (input.len != 0)
		memcpy(exact, input.data, input.len);
	fprintf(stderr, "%s: %zu bytes\n", path, input.len);
	LLVMFuzzerTestOneInput(exact, input.len);
	return 1;
}

int main(int argc, char **argv)
{
	size_t inputs = 0;
	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 1; i < argc; i++)
		inputs += replay(argv[i]);
	fprintf(stderr, "%zu inputs\n", inputs);
	return inputs != 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
