/* Architectures by Go's words (GOARCH), which images use (OCI image-spec, config.md). */
#ifndef LAYERVM_SUPPORT_ARCHITECTURE_H
#define LAYERVM_SUPPORT_ARCHITECTURE_H

/* The architecture that this program was built for. */
const char *architecture_of_host(void) __attribute__((returns_nonnull));

#endif
