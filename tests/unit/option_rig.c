#include "option_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/memory.h"

static int write_file(const struct rig_file *file)
{
	FILE *stream = fopen(file->name, "we");
	if (stream == NULL)
		return -1;
	int r = fputs(file->text, stream);
	return fclose(stream) == 0 && r >= 0 ? 0 : -1;
}

int rig_enter(void **state, const char *const *folders, const struct rig_file *files, size_t count)
{
	char *folder = xstrdup("/tmp/layervm-test-options-XXXXXX");
	*state = folder;
	if (mkdtemp(folder) == NULL || chdir(folder) < 0)
		return -1;
	for (; *folders != NULL; folders++) {
		if (mkdir(*folders, 0700) < 0)
			return -1;
	}
	for (size_t i = 0; i < count; i++) {
		if (write_file(&files[i]) < 0)
			return -1;
	}
	unsetenv("SOURCE_DATE_EPOCH");
	return 0;
}

int rig_leave(void **state, const char *const *folders, const struct rig_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		unlink(files[i].name);
	for (; *folders != NULL; folders++)
		rmdir(*folders);
	int r = chdir("/") == 0 ? rmdir(*state) : -1;
	free(*state);
	return r;
}

int rig_argv(const char *command, const char *const *arguments, size_t max, char **argv)
{
	int argc = 0;
	argv[argc++] = xstrdup(command);
	for (size_t i = 0; i < max && arguments[i] != NULL; i++)
		argv[argc++] = xstrdup(arguments[i]);
	argv[argc] = NULL;
	return argc;
}

void rig_argv_free(char **argv)
{
	for (char **p = argv; *p != NULL; p++)
		free(*p);
}

void put_text(struct buffer *out, const char *name, const char *value)
{
	if (value != NULL)
		buffer_printf(out, "%s=%s ", name, value);
}

void put_number(struct buffer *out, const char *name, int64_t value, int64_t usual)
{
	if (value != usual)
		buffer_printf(out, "%s=%lld ", name, (long long)value);
}
