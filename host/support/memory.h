/*
 * Memory that is there or ends the program, and ownership by scope: a variable declared with one
 * of the cleanup_ attributes is released at the end of its block, unless steal_ptr or steal_fd
 * hands it on.
 */
#ifndef LAYERVM_SUPPORT_MEMORY_H
#define LAYERVM_SUPPORT_MEMORY_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* Ends the program with one line: memory is out. */
void die_oom(void) __attribute__((noreturn));

/* As malloc, calloc and realloc; they end the program with one line where memory is out. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *ptr, size_t count, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((returns_nonnull));
char *xstrndup(const char *text, size_t len) __attribute__((returns_nonnull));
void *xmemdup(const void *data, size_t len) __attribute__((returns_nonnull));
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/*
 * Makes room for one element more than count in an array of elements of the given size.
 * capacity: in elements, updated. Returns the array, moved perhaps.
 */
void *array_grow(void *array, size_t count, size_t *capacity, size_t size)
	__attribute__((returns_nonnull));

static inline void cleanup_free_fn(void *p)
{
	free(*(void **)p);
}
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))

static inline void cleanup_close_fn(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}
#define cleanup_close __attribute__((cleanup(cleanup_close_fn)))

/* The value of *ptr, which becomes NULL: ownership moves on. */
#define steal_ptr(ptr)                                                                             \
	({                                                                                         \
		__typeof__(ptr) p_ = &*(ptr);                                                      \
		__typeof__(*p_) v_ = *p_;                                                          \
		*p_ = NULL;                                                                        \
		v_;                                                                                \
	})

static inline int steal_fd(int *fd)
{
	int value = *fd;
	*fd = -1;
	return value;
}

#endif
