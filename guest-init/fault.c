#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int fault_set(struct fault *fault, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	return -1;
}

int fault_set_errno(struct fault *fault, const char *format, ...)
{
	int code = errno;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(fault->text))
		snprintf(fault->text + n, sizeof(fault->text) - (size_t)n, ": %s", strerror(code));
	return -1;
}
