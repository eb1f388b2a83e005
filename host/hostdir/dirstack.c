#include "hostdir/dirstack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "support/memory.h"

/* So many levels at the end of the stack stay open; ordinary trees are no deeper. */
#define LEVELS_OPEN 64

int dirstack_push(struct dirstack *stack, int fd, bool through_symlink, struct error *err)
{
	cleanup_close int owned = fd;
	struct stat st;
	if (fstat(owned, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "cannot examine an open folder");
	if (through_symlink && stack->count > 0)
		stack->levels[stack->count - 1].pinned = true;
	if (stack->count >= LEVELS_OPEN) {
		struct dirlevel *far = &stack->levels[stack->count - LEVELS_OPEN];
		if (!far->pinned && far->fd >= 0)
			close(steal_fd(&far->fd));
	}
	stack->levels =
		array_grow(stack->levels, stack->count, &stack->capacity, sizeof(*stack->levels));
	stack->levels[stack->count++] =
		(struct dirlevel){.fd = steal_fd(&owned), .dev = st.st_dev, .ino = st.st_ino};
	return 0;
}

int dirstack_pop(struct dirstack *stack, const char *path, struct error *err)
{
	cleanup_close int below = stack->levels[--stack->count].fd;
	if (stack->count == 0)
		return 0;
	struct dirlevel *top = &stack->levels[stack->count - 1];
	top->pinned = false;
	if (top->fd >= 0)
		return 0;
	struct stat st;
	top->fd = openat(below, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (top->fd < 0 || fstat(top->fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, "%s: cannot be entered again", path);
	if (st.st_dev != top->dev || st.st_ino != top->ino)
		return error_set(err, ERROR_INPUT, ESTALE,
			"%s: a folder in it was moved while it was being worked on", path);
	return 0;
}

int dirstack_fd(const struct dirstack *stack)
{
	return stack->levels[stack->count - 1].fd;
}

bool dirstack_holds(const struct dirstack *stack, dev_t dev, ino_t ino)
{
	for (size_t i = 0; i < stack->count; i++) {
		if (stack->levels[i].dev == dev && stack->levels[i].ino == ino)
			return true;
	}
	return false;
}

void dirstack_free(struct dirstack *stack)
{
	for (size_t i = 0; i < stack->count; i++) {
		if (stack->levels[i].fd >= 0)
			close(stack->levels[i].fd);
	}
	free(stack->levels);
	*stack = (struct dirstack){0};
}
