/* Architectures by the names that images use: GOARCH of Go. */
#ifndef LAYERVM_IMAGE_PLATFORM_H
#define LAYERVM_IMAGE_PLATFORM_H

/* The architecture that this program was built for. */
const char *platform_host_architecture(void);

#endif
