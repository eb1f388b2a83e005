#include "commands/size_text.h"

#include <inttypes.h>

const char *size_text(uint64_t bytes, char text[static SIZE_TEXT_SIZE])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
	uint64_t tenths = bytes / 100;
	size_t unit = 1;
	if (bytes < 1000) {
		snprintf(text, SIZE_TEXT_SIZE, "%" PRIu64 " B", bytes);
		return text;
	}
	for (; tenths >= 10000; unit++)
		tenths /= 1000;
	snprintf(text, SIZE_TEXT_SIZE, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10,
		units[unit]);
	return text;
}

void size_put(FILE *out, uint64_t bytes)
{
	char text[SIZE_TEXT_SIZE];
	size_text(bytes, text);
	if (bytes < 1000)
		fprintf(out, "%7s ", text);
	else
		fprintf(out, "%8s", text);
}
