/* Paths of the host, as text. */
#ifndef LAYERVM_SUPPORT_PATH_H
#define LAYERVM_SUPPORT_PATH_H

/* The folder part of a path, "." where it has none. The caller frees it. */
char *path_folder(const char *path);

#endif
