#include <string.h>

#include "completions/completions.h"

/* Arguments are named in capitals; what is written small is to be typed as it is. */
static bool is_word(const char *text, size_t len)
{
	static const char small[] = "abcdefghijklmnopqrstuvwxyz";
	return len != 0 && strspn(text, small) >= len;
}

static void add_words(const char *argument, struct buffer *words)
{
	for (const char *p = argument; *p != '\0'; p += *p == '|') {
		size_t len = strcspn(p, "|");
		if (is_word(p, len)) {
			buffer_add(words, " ", words->len != 0);
			buffer_add(words, p, len);
		}
		p += len;
	}
}

enum value_kind value_kind(const struct argv_flag *flag, struct buffer *words)
{
	static const char *const files[] = {"FILE", "PATH", "SCRIPT"};
	if (flag->argument == NULL)
		return VALUE_NONE;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (strcmp(flag->argument, files[i]) == 0)
			return VALUE_FILES;
	}
	if (strcmp(flag->argument, "DIR") == 0)
		return VALUE_FOLDERS;
	add_words(flag->argument, words);
	return words->len != 0 ? VALUE_WORDS : VALUE_TEXT;
}

void put_quoted(FILE *out, const char *text, const char *special)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (strchr(special, *p) != NULL)
			fputc('\\', out);
		fputc(*p, out);
	}
}
