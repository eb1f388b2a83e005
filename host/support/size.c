#include "support/size.h"

#include <stddef.h>
#include <strings.h>

static const struct {
	const char *name;
	uint64_t factor;
} units[] = {
	{"", 1},
	{"m", 1},
	{"mb", 1},
	{"mib", 1},
	{"g", 1024},
	{"gb", 1024},
	{"gib", 1024},
	{"t", 1024 * 1024},
	{"tb", 1024 * 1024},
	{"tib", 1024 * 1024},
};

bool size_parse_mebibytes(const char *text, uint64_t *mebibytes)
{
	const char *at = text;
	*mebibytes = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(*mebibytes, (uint64_t)10, mebibytes) ||
			__builtin_add_overflow(*mebibytes, (uint64_t)(*at - '0'), mebibytes))
			return false;
	}
	for (size_t i = 0; at != text && i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(at, units[i].name) == 0)
			return !__builtin_mul_overflow(*mebibytes, units[i].factor, mebibytes);
	}
	return false;
}
