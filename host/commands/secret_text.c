#include "commands/secret_text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "support/fileio.h"
#include "support/interrupt.h"
#include "support/memory.h"

static int too_long(const struct guest_secret *spec, struct error *err)
{
	return error_set(err, ERROR_INPUT, EFBIG, "secrets: %s: has more than %d bytes", spec->id,
		VM_SECRET_MAX);
}

static int read_variable(
	const struct guest_secret *spec, struct vm_secret *secret, struct error *err)
{
	const char *value = getenv(spec->env);
	if (value == NULL)
		return error_set(err, ERROR_INPUT, ENOENT,
			"secrets: %s: the variable %s is not set in the environment", spec->id,
			spec->env);
	secret->len = strlen(value);
	if (secret->len > VM_SECRET_MAX)
		return too_long(spec, err);
	secret->data = xmemdup(value, secret->len);
	return 0;
}

/* Into memory of its final size from the start: one that grows leaves copies behind. */
static int read_file(const struct guest_secret *spec, struct vm_secret *secret, struct error *err)
{
	cleanup_close int fd = file_open(spec->src, ERROR_INPUT, err);
	if (fd < 0)
		return err->kind == ERROR_INTERRUPTED
			       ? fd
			       : error_wrap(err, fd, "secrets: %s", spec->id);
	char *data = xmalloc(VM_SECRET_MAX + 1);
	secret->data = data;
	for (;;) {
		int r = interrupt_wait(fd, POLLIN, spec->src, err);
		if (r < 0)
			return r;
		ssize_t n = read(fd, data + secret->len, VM_SECRET_MAX + 1 - secret->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, "secrets: %s: cannot read %s",
				spec->id, spec->src);
		if (n == 0)
			return 0;
		secret->len += (size_t)n;
		if (secret->len > VM_SECRET_MAX)
			return too_long(spec, err);
	}
}

int secret_text_read(const struct guest_secret *spec, struct vm_secret *secret, struct error *err)
{
	*secret = (struct vm_secret){.id = spec->id};
	return spec->src != NULL ? read_file(spec, secret, err) : read_variable(spec, secret, err);
}

void secret_text_free(struct vm_secret *secret)
{
	void *data = (void *)(uintptr_t)secret->data;
	if (data != NULL)
		explicit_bzero(data, secret->len);
	free(data);
	*secret = (struct vm_secret){0};
}
