/* Which architectures an image can be for. */
#include <errno.h>
#include <string.h>

#include "spec/json_text.h"
#include "spec/nearest.h"
#include "spec/spec.h"
#include "support/memory.h"

/* internal/syslist of the Go project: the ports there are and those whose names are kept. */
static const char *const known[] = {
	"386",
	"amd64",
	"amd64p32",
	"arm",
	"armbe",
	"arm64",
	"arm64be",
	"loong64",
	"mips",
	"mipsle",
	"mips64",
	"mips64le",
	"mips64p32",
	"mips64p32le",
	"ppc",
	"ppc64",
	"ppc64le",
	"riscv",
	"riscv64",
	"s390",
	"s390x",
	"sparc",
	"sparc64",
	"wasm",
};

/* What uname(1) calls machines, where it is another word: people may know that one. */
static const struct {
	const char *machine;
	const char *architecture;
} machines[] = {
	{"x86_64", "amd64"},
	{"aarch64", "arm64"},
	{"i386", "386"},
	{"i486", "386"},
	{"i586", "386"},
	{"i686", "386"},
	{"armv5tel", "arm"},
	{"armv6l", "arm"},
	{"armv7l", "arm"},
	{"armv8l", "arm"},
	{"loongarch64", "loong64"},
};

static const char *of_machine(const char *machine)
{
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
		if (strcmp(machines[i].machine, machine) == 0)
			return machines[i].architecture;
	}
	return NULL;
}

int spec_check_architecture(const char *text, struct error *err)
{
	struct nearest nearest = nearest_start(text);
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i], text) == 0)
			return 0;
		nearest_try(&nearest, known[i]);
	}
	const char *meant = of_machine(text);
	if (meant == NULL)
		meant = nearest.best;
	cleanup_free char *quoted = json_text_quote(text);
	if (meant != NULL)
		return error_set(err, ERROR_SPEC, EINVAL,
			"%s is no architecture of Go's list; did you mean \"%s\"?", quoted, meant);
	return error_set(err, ERROR_SPEC, EINVAL,
		"%s is no architecture of Go's list, such as amd64, arm64, arm or 386", quoted);
}
