#include "support/memory.h"

#include <stdio.h>
#include <string.h>

void die_oom(void)
{
	static const char text[] = "layervm: internal: out of memory on the host\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);
	(void)n;
	_exit(125);
}

void *xmalloc(size_t size)
{
	void *p = malloc(size != 0 ? size : 1);
	if (p == NULL)
		die_oom();
	return p;
}

void *xcalloc(size_t count, size_t size)
{
	void *p = calloc(count != 0 ? count : 1, size != 0 ? size : 1);
	if (p == NULL)
		die_oom();
	return p;
}

void *xrealloc(void *ptr, size_t count, size_t size)
{
	void *p = reallocarray(ptr, count != 0 ? count : 1, size);
	if (p == NULL)
		die_oom();
	return p;
}

char *xstrdup(const char *text)
{
	return xmemdup(text, strlen(text) + 1);
}

char *xstrndup(const char *text, size_t len)
{
	size_t n = strnlen(text, len);
	char *copy = xmalloc(n + 1);
	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

void *xmemdup(const void *data, size_t len)
{
	void *copy = xmalloc(len);
	if (len != 0)
		memcpy(copy, data, len);
	return copy;
}

char *xasprintf(const char *format, ...)
{
	va_list args;
	char *text = NULL;
	va_start(args, format);
	int n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		die_oom();
	return text;
}

void *array_grow(void *array, size_t count, size_t *capacity, size_t size)
{
	if (count < *capacity)
		return array;
	size_t wanted;
	if (__builtin_mul_overflow(*capacity != 0 ? *capacity : 4, (size_t)2, &wanted))
		die_oom();
	void *p = xrealloc(array, wanted, size);
	*capacity = wanted;
	return p;
}
