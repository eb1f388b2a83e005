/* Names of members: byte strings within an archive or a folder, never paths of the host. */
#ifndef LAYERVM_IMAGE_MEMBER_NAME_H
#define LAYERVM_IMAGE_MEMBER_NAME_H

/*
 * The name without "./", leading or doubled '/', and with ".." resolved; NULL where it leads out
 * of the root. The caller frees it.
 */
char *member_name_normalise(const char *name);

/* As member_name_normalise, for what a symlink holds. name: the link's own, normalised. */
char *member_name_target(const char *name, const char *target);

#endif
