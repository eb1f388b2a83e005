/*
 * Environments: lists of "NAME=VALUE" with a NULL at their end, each text and the list itself from
 * malloc. NULL is an empty list.
 */
#ifndef LAYERVM_COMMANDS_ENV_LIST_H
#define LAYERVM_COMMANDS_ENV_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* A copy; it is never NULL. */
char **env_list_copy(const char *const *list) __attribute__((returns_nonnull));

/* Adds "NAME=VALUE" at the end, or puts it in the place of the variable of that name. */
void env_list_set(char ***list, const char *text);

bool env_list_has(char *const *list, const char *name);

size_t env_list_length(char *const *list);

void env_list_free(char **list);

#endif
