/* `layervm export IMAGE`: the merged root file system of an image as one tar. */
#ifndef LAYERVM_COMMANDS_EXPORT_H
#define LAYERVM_COMMANDS_EXPORT_H

/* All of it, messages included. Returns the exit status. */
int command_export(int argc, char **argv);

#endif
