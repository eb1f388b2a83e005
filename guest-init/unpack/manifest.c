#include "unpack/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol.h"
#include "support/memory.h"

static const char *const compressions[] = {
	[LAYER_PLAIN] = "plain",
	[LAYER_GZIP] = "gzip",
	[LAYER_ZSTD] = "zstd",
};

/* Takes the line apart in its place. */
static int parse_line(char *line, struct layer_file *out)
{
	char *rest = line;
	char *end = NULL;
	const char *name = strsep(&rest, " ");
	const char *size = strsep(&rest, " ");
	const char *word = strsep(&rest, "\n");
	if (word == NULL || *size < '0' || *size > '9' || *name == '\0' ||
		strlen(name) >= sizeof(out->name) || strchr(name, '/') != NULL)
		return -1;
	memcpy(out->name, name, strlen(name) + 1);
	errno = 0;
	out->size = strtoull(size, &end, 10);
	if (errno != 0 || *end != '\0')
		return -1;
	for (size_t i = 0; i < sizeof(compressions) / sizeof(compressions[0]); i++) {
		if (strcmp(word, compressions[i]) == 0) {
			out->compression = (enum layer_compression)i;
			return 0;
		}
	}
	return -1;
}

static int read_lines(FILE *file, struct manifest *out, struct error *err)
{
	char line[128];
	while (fgets(line, sizeof(line), file) != NULL) {
		out->layers =
			array_grow(out->layers, out->count, &out->capacity, sizeof(*out->layers));
		if (parse_line(line, &out->layers[out->count]) < 0)
			return error_set(err, ERROR_GUEST, EINVAL,
				"%s: line %zu is not \"FILE SIZE COMPRESSION\"", PROTOCOL_LAYERS,
				out->count + 1);
		out->count++;
	}
	if (ferror(file))
		return error_set(err, ERROR_GUEST, EIO, "%s: cannot be read", PROTOCOL_LAYERS);
	return 0;
}

int manifest_read(int folder, struct manifest *out, struct error *err)
{
	*out = (struct manifest){0};
	cleanup_close int fd = openat(folder, PROTOCOL_LAYERS, O_RDONLY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (file == NULL)
		return error_set_errno(err, ERROR_GUEST, "%s: cannot be opened", PROTOCOL_LAYERS);
	steal_fd(&fd);
	int r = read_lines(file, out, err);
	fclose(file);
	return r;
}

void manifest_free(struct manifest *manifest)
{
	free(manifest->layers);
}
