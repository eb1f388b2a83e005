#include "input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void input_init(struct input *input, int *fd)
{
	input->fd = fd;
	input->open = *fd >= 0;
	input->start = 0;
	input->len = 0;
}

static void close_input(struct input *input)
{
	if (*input->fd >= 0)
		close(*input->fd);
	*input->fd = -1;
}

int input_add(struct input *input, const void *data, size_t len, struct fault *fault)
{
	if (!input->open)
		return fault_set(fault, "standard input from the host for a job that has none");
	if (len > sizeof(input->bytes) - input->len)
		return fault_set(fault,
			"%zu bytes of standard input from the host, after %zu that the job has not "
			"taken: at most %zu may be under way",
			len, input->len, sizeof(input->bytes));
	if (len == 0) {
		input->open = false;
		if (input->len == 0)
			close_input(input);
		return 0;
	}
	if (len > sizeof(input->bytes) - input->start - input->len) {
		memmove(input->bytes, input->bytes + input->start, input->len);
		input->start = 0;
	}
	memcpy(input->bytes + input->start + input->len, data, len);
	input->len += len;
	return 0;
}

bool input_waits(const struct input *input)
{
	return input->len != 0;
}

int input_pass_on(struct input *input, size_t *taken, struct fault *fault)
{
	ssize_t n = (ssize_t)input->len;
	*taken = 0;
	if (*input->fd >= 0)
		n = write(*input->fd, input->bytes + input->start, input->len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0 && errno != EPIPE && errno != EIO)
		return fault_set_errno(fault, "cannot write the job's standard input");
	if (n < 0) {
		close_input(input);
		n = (ssize_t)input->len;
	}
	input->start += (size_t)n;
	input->len -= (size_t)n;
	if (input->len == 0) {
		input->start = 0;
		if (!input->open)
			close_input(input);
	}
	*taken = (size_t)n;
	return 0;
}
