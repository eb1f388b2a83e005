/* `layervm debug`: a session in a guest, on an image or on what a build has kept. */
#ifndef LAYERVM_COMMANDS_DEBUG_H
#define LAYERVM_COMMANDS_DEBUG_H

/* All of it, messages included. Returns the exit status: the session's own, where it was one. */
int command_debug(int argc, char **argv);

#endif
