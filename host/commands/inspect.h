/* `layervm inspect IMAGE`: what an archive or layout holds, and one image of it in full. */
#ifndef LAYERVM_COMMANDS_INSPECT_H
#define LAYERVM_COMMANDS_INSPECT_H

/* All of it, messages included. Returns the exit status. */
int command_inspect(int argc, char **argv);

#endif
