#include "commands/quoted.h"

#include <stdbool.h>
#include <string.h>

#include "support/utf8.h"

/* C1 controls, which terminals obey, are two bytes in UTF-8: 0xc2, then 0x80 to 0x9f. */
static bool is_control(const unsigned char *text, size_t len)
{
	return text[0] < 0x20 || text[0] == 0x7f || (len == 2 && text[0] == 0xc2 && text[1] < 0xa0);
}

void quoted_put(FILE *out, const char *name)
{
	static const char letters[] = "\\\a\b\f\n\r\t\v";
	static const char names[] = "\\abfnrtv";
	const unsigned char *end = (const unsigned char *)name + strlen(name);
	for (const unsigned char *p = (const unsigned char *)name; p < end;) {
		size_t len = utf8_char_len(p, (size_t)(end - p));
		const char *letter = strchr(letters, *p);
		if (letter != NULL) {
			fprintf(out, "\\%c", names[letter - letters]);
			p++;
		} else if (len != 0 && !is_control(p, len)) {
			fwrite(p, 1, len, out);
			p += len;
		} else {
			for (size_t n = len != 0 ? len : 1; n > 0; n--)
				fprintf(out, "\\%03o", *p++);
		}
	}
}
