#include "support/architecture.h"

/* The compiler knows what the program runs on: uname(2) would give the kernel's view, which is
 * another one for a 32-bit program. */
#if defined(__x86_64__)
#define ARCHITECTURE "amd64"
#elif defined(__i386__)
#define ARCHITECTURE "386"
#elif defined(__aarch64__)
#define ARCHITECTURE "arm64"
#elif defined(__arm__)
#define ARCHITECTURE "arm"
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE "riscv64"
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARCHITECTURE "ppc64le"
#elif defined(__s390x__)
#define ARCHITECTURE "s390x"
#elif defined(__loongarch64)
#define ARCHITECTURE "loong64"
#else
#error "no GOARCH is known for this architecture"
#endif

const char *architecture_of_host(void)
{
	return ARCHITECTURE;
}
