#include "commands/env_list.h"

#include <string.h>

#include "support/memory.h"

size_t env_list_length(char *const *list)
{
	size_t count = 0;
	while (list != NULL && list[count] != NULL)
		count++;
	return count;
}

char **env_list_copy(const char *const *list)
{
	size_t count = 0;
	while (list != NULL && list[count] != NULL)
		count++;
	char **copy = xcalloc(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = xstrdup(list[i]);
	return copy;
}

/* Where the variable is; the list's length where it has none of that name. */
static size_t find(char *const *list, const char *name, size_t name_len)
{
	size_t i = 0;
	for (; list != NULL && list[i] != NULL; i++) {
		if (strncmp(list[i], name, name_len) == 0 && list[i][name_len] == '=')
			break;
	}
	return i;
}

void env_list_set(char ***list, const char *text)
{
	size_t i = find(*list, text, strcspn(text, "="));
	if (*list != NULL && (*list)[i] != NULL) {
		free((*list)[i]);
		(*list)[i] = xstrdup(text);
		return;
	}
	*list = xrealloc(*list, i + 2, sizeof(**list));
	(*list)[i] = xstrdup(text);
	(*list)[i + 1] = NULL;
}

bool env_list_has(char *const *list, const char *name)
{
	return list != NULL && list[find(list, name, strlen(name))] != NULL;
}

void env_list_free(char **list)
{
	for (char **text = list; text != NULL && *text != NULL; text++)
		free(*text);
	free(list);
}
