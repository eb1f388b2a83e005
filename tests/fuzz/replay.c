/*
 * Runs a target on stored inputs, each once, where there is no libFuzzer:
 *
 *	fuzz_TARGET [--expect FILE] PATH...
 *
 * Files and folders are named. A line an input goes to standard output: its name, the words of
 * fuzz_outcome in order and, where it was given bytes with them, a digest of all that was told.
 * With --expect the lines must be those of FILE, such as tests/fuzz/outcomes/TARGET: a seed that
 * is refused from one day on, or read as something else, is noticed. Where that is meant, the
 * lines become the new FILE. A corpus that is missing or empty is a failure.
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
#include "support/digest.h"
#include "support/fileio.h"

#define INPUT_MAX ((size_t)16 << 20)
#define DIGITS 16 /* of the digest that are shown */

/* What the target says of the input that runs. */
static struct buffer words;
static struct buffer told;
static bool has_bytes;
static char last_word[64];

/* What a target does without it: nothing. */
__attribute__((weak)) int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	return 0;
}

/* The same word once more adds to what it told. */
void fuzz_outcome(const char *word, const void *data, size_t len)
{
	if (strcmp(last_word, word) != 0)
		buffer_printf(&words, "%s%s", words.len != 0 ? "," : "", word);
	snprintf(last_word, sizeof(last_word), "%s", word);
	buffer_printf(&told, "%s %zu ", word, len);
	buffer_add(&told, data, len);
	has_bytes |= len != 0;
}

/* Adds the line of the input that ran. */
static void add_line(const char *name, struct buffer *lines)
{
	char hex[DIGEST_TEXT_SIZE];
	struct digest digest = digest_of(told.data, told.len);
	buffer_printf(lines, "%s %.*s", name, (int)words.len, (const char *)words.data);
	if (has_bytes)
		buffer_printf(lines, " %.*s", DIGITS, digest_hex(&digest, hex));
	buffer_add_text(lines, words.len == 0 ? "nothing\n" : "\n");
	buffer_free(&words);
	buffer_free(&told);
	last_word[0] = '\0';
	has_bytes = false;
}

static void replay(const char *path, struct buffer *lines);

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void replay_folder(const char *path, struct buffer *lines)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_visible, by_name);
	if (count < 0)
		fuzz_broken("%s: %s", path, strerror(errno));
	for (int i = 0; i < count; i++) {
		cleanup_free char *below = xasprintf("%s/%s", path, entries[i]->d_name);
		replay(below, lines);
		free(entries[i]);
	}
	free(entries);
}

static void replay(const char *path, struct buffer *lines)
{
	cleanup_buffer struct buffer input = {0};
	struct error err = fuzz_error();
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fuzz_broken("%s: %s", path, strerror(errno));
	struct stat st;
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		replay_folder(path, lines);
		return;
	}
	fuzz_must(file_read_all(fd, INPUT_MAX, &input, path, &err), &err, path);
	/* A copy of just that length, so that a read beyond it is seen. */
	cleanup_free uint8_t *exact = xmalloc(input.len != 0 ? input.len : 1);
	if (input.len != 0)
		memcpy(exact, input.data, input.len);
	fprintf(stderr, "%s: %zu bytes\n", path, input.len);
	LLVMFuzzerTestOneInput(exact, input.len);
	const char *slash = strrchr(path, '/');
	add_line(slash != NULL ? slash + 1 : path, lines);
}

/* The next line of a text, without its end; NULL: none. */
static const char *next_line(char **text)
{
	const char *line = strsep(text, "\n");
	return line != NULL && *line != '\0' ? line : NULL;
}

static int compare_names(const char *a, const char *b)
{
	size_t a_len = strcspn(a, " ");
	size_t b_len = strcspn(b, " ");
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
	return order != 0 ? order : (a_len > b_len) - (a_len < b_len);
}

/* Shows the lines that differ, both texts being sorted by name. Returns how many do. */
static size_t show_differences(char *expected, char *found)
{
	size_t count = 0;
	const char *a = next_line(&expected);
	const char *b = next_line(&found);
	while (a != NULL || b != NULL) {
		int order = a == NULL ? 1 : b == NULL ? -1 : compare_names(a, b);
		bool differs = order != 0 || strcmp(a, b) != 0;
		if (differs && order <= 0)
			fprintf(stderr, "- %s\n", a);
		if (differs && order >= 0)
			fprintf(stderr, "+ %s\n", b);
		count += differs;
		const char *next_a = order <= 0 ? next_line(&expected) : a;
		b = order >= 0 ? next_line(&found) : b;
		a = next_a;
	}
	return count;
}

static bool is_expected(const char *path, const char *lines)
{
	cleanup_buffer struct buffer file = {0};
	struct error err = fuzz_error();
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fuzz_broken("%s: %s", path, strerror(errno));
	fuzz_must(file_read_all(fd, INPUT_MAX, &file, path, &err), &err, path);
	cleanup_free char *expected = buffer_steal_text(&file);
	cleanup_free char *found = xstrdup(lines);
	size_t differences = show_differences(expected, found);
	if (differences != 0)
		fprintf(stderr, "fuzz: %zu outcomes are not those of %s\n", differences, path);
	return differences == 0;
}

int main(int argc, char **argv)
{
	struct buffer lines = {0};
	const char *expect = NULL;
	int first = 1;
	LLVMFuzzerInitialize(&argc, &argv);
	if (argc > 2 && strcmp(argv[1], "--expect") == 0) {
		expect = argv[2];
		first = 3;
	}
	for (int i = first; i < argc; i++)
		replay(argv[i], &lines);
	cleanup_free char *text = buffer_steal_text(&lines);
	fputs(text, stdout);
	if (*text == '\0')
		return EXIT_FAILURE;
	return expect == NULL || is_expected(expect, text) ? EXIT_SUCCESS : EXIT_FAILURE;
}
