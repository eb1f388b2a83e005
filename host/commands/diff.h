/* `layervm diff A B`: what differs between the trees of two images. */
#ifndef LAYERVM_COMMANDS_DIFF_H
#define LAYERVM_COMMANDS_DIFF_H

/* All of it, messages included. Returns the exit status. */
int command_diff(int argc, char **argv);

#endif
