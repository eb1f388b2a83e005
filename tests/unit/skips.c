#include "skips.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

void skip_note(const char *test, const char *lacking)
{
	const char *path = getenv("LAYERVM_TEST_SKIPS");
	printf("not here: lacks %s\n", lacking);
	if (path == NULL || path[0] == '\0')
		return;
	FILE *file = fopen(path, "ae");
	int r = file == NULL ? -1
			     : fprintf(file, "%s: %s\t%s\tlacks %s\n",
				       program_invocation_short_name, test, lacking, lacking);
	if (file == NULL || fclose(file) != 0 || r < 0) {
		perror(path);
		abort(); /* a test that nobody knows to be skipped */
	}
}
