#include "loops.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PREFIX "loop"

void loops_detach(void)
{
	DIR *folder = opendir("/dev"); /* init's own, which the kernel fills */
	if (folder == NULL)
		return;
	for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
		if (strncmp(entry->d_name, PREFIX, strlen(PREFIX)) != 0 ||
			strchr("0123456789", entry->d_name[strlen(PREFIX)]) == NULL)
			continue;
		int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ioctl(fd, LOOP_CLR_FD, 0); /* fails for a device without a file, as is right */
		close(fd);
	}
	closedir(folder);
}
