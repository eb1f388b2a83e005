#include "fuzz.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "support/fileio.h"

void fuzz_broken(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fputs("fuzz: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

__attribute__((weak)) void fuzz_outcome(const char *word, const void *data, size_t len)
{
	(void)word, (void)data, (void)len;
}

bool fuzz_ok(int result, const struct error *err)
{
	if (result == 0)
		return true;
	if (result > 0)
		fuzz_broken("a call returned %d, which is no negative errno", result);
	if (err->message[0] == '\0')
		fuzz_broken(
			"a call failed with %d (%s) and without a word", result, strerror(-result));
	if (err->kind == ERROR_INTERNAL)
		fuzz_broken("hostile input is called layervm's own fault: %s", err->message);
	if (strpbrk(err->message, "\n\r\033") != NULL)
		fuzz_broken("a message of more than one line: %s", err->message);
	char word[64];
	snprintf(word, sizeof(word), "%s/%s", error_kind_name(err->kind), strerrorname_np(-result));
	fuzz_outcome(word, NULL, 0);
	return false;
}

void fuzz_must(int result, const struct error *err, const char *what)
{
	if (result != 0)
		fuzz_broken("%s: %s", what, err->message);
}

struct fuzz_file fuzz_file_new(const void *data, size_t size)
{
	struct fuzz_file file = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
	struct error err = fuzz_error();
	if (file.fd < 0)
		fuzz_broken("no file in memory can be made");
	fuzz_must(file_write_at(file.fd, data, size, 0, "memory file", &err), &err, "memory file");
	snprintf(file.path, sizeof(file.path), "/proc/self/fd/%d", file.fd);
	return file;
}

void fuzz_file_close(const struct fuzz_file *file)
{
	close(file->fd);
}

static uint64_t take(struct fuzz_input *input, size_t len)
{
	uint64_t value = 0;
	for (size_t i = 0; i < len && input->left != 0; i++) {
		value |= (uint64_t)input->data[0] << (8 * i);
		input->data++;
		input->left--;
	}
	return value;
}

uint8_t fuzz_u8(struct fuzz_input *input)
{
	return (uint8_t)take(input, 1);
}

uint16_t fuzz_u16(struct fuzz_input *input)
{
	return (uint16_t)take(input, 2);
}

uint64_t fuzz_u64(struct fuzz_input *input)
{
	return take(input, 8);
}

const uint8_t *fuzz_bytes(struct fuzz_input *input, size_t *len)
{
	const uint8_t *bytes = input->data;
	if (*len > input->left)
		*len = input->left;
	input->data += *len;
	input->left -= *len;
	return bytes;
}
