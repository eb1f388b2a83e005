/* The variables that tell programs which proxy leads to the network. */
#ifndef LAYERVM_COMMANDS_PROXY_ENV_H
#define LAYERVM_COMMANDS_PROXY_ENV_H

#include "support/report.h"

/*
 * Adds to an environment the proxy variables of layervm's own that it lacks: HTTP_PROXY,
 * HTTPS_PROXY, FTP_PROXY, ALL_PROXY, NO_PROXY, and the same in lower case. *env: NULL at the end,
 * each and itself from malloc; or NULL.
 */
void proxy_env_add(char ***env);

/* A note for each of these that names a proxy on the host's loopback, out of the guest's reach. */
void proxy_env_note(struct report *report);

#endif
