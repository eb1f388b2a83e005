#include "setting.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int setting_write(const char *path, const char *word, struct fault *fault)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		int code = errno;
		fault_set_errno(fault, "cannot open %s", path);
		errno = code;
		return -1;
	}
	ssize_t n = write(fd, word, strlen(word));
	if (n != (ssize_t)strlen(word))
		fault_set_errno(fault, "cannot write to %s", path);
	close(fd);
	return n == (ssize_t)strlen(word) ? 0 : -1;
}
