/* `layervm cache ACTION`: what is in the user's cache, and what is to go or come. */
#ifndef LAYERVM_COMMANDS_CACHE_COMMAND_H
#define LAYERVM_COMMANDS_CACHE_COMMAND_H

/* All of it, messages included. Returns the exit status. */
int command_cache(int argc, char **argv);

#endif
