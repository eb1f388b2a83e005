/* Architectures by Go's words (GOARCH), which image configs use (OCI image-spec, config.md). */
#ifndef LAYERVM_SPEC_ARCHITECTURE_H
#define LAYERVM_SPEC_ARCHITECTURE_H

/* The host's; a machine that Go has no word for is called what the kernel calls it. The caller
 * frees it. */
char *architecture_of_host(void) __attribute__((returns_nonnull));

#endif
