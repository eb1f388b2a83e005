#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "setting.h"

#define FOLDER "/modules"
/* A module a line, and behind it the names by which the kernel asks for it. */
#define ON_DEMAND FOLDER "/demand"
#define HELPER "/proc/sys/kernel/modprobe"
#define PROGRAM "/init"
#define LINE_SIZE 256

static int load(const char *name, struct fault *fault)
{
	char path[LINE_SIZE + sizeof(FOLDER "/.ko")];
	snprintf(path, sizeof(path), FOLDER "/%s.ko", name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set_errno(fault, "cannot open %s", path);
	long r = syscall(SYS_finit_module, fd, "", 0);
	if (r < 0)
		fault_set_errno(fault, "cannot load module %s", name);
	close(fd);
	return r < 0 ? -1 : 0;
}

int modules_load(const char *list, struct fault *fault)
{
	char line[LINE_SIZE];
	FILE *order = fopen(list, "re");
	if (order == NULL)
		return fault_set_errno(fault, "cannot open %s", list);
	int r = 0;
	while (r == 0 && fgets(line, sizeof(line), order) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		r = load(line, fault);
	}
	fclose(order);
	return r;
}

int modules_offer(struct fault *fault)
{
	if (access(ON_DEMAND, F_OK) < 0)
		return 0;
	return setting_write(HELPER, PROGRAM, fault);
}

/* Whether a line of the list is of the module that has a name. Leaves the module's own in line. */
static bool has_name(char *line, const char *name)
{
	char *rest = line;
	line[strcspn(line, "\n")] = '\0';
	bool found = false;
	for (char *word = strsep(&rest, " "); word != NULL; word = strsep(&rest, " "))
		found = found || (*word != '\0' && fnmatch(word, name, 0) == 0);
	return found;
}

int modules_answer(int argc, char **argv)
{
	char line[LINE_SIZE];
	struct fault fault;
	FILE *list = argc > 1 ? fopen(ON_DEMAND, "re") : NULL;
	int status = 1;
	while (list != NULL && status != 0 && fgets(line, sizeof(line), list) != NULL) {
		/* Another process may have loaded it meanwhile. */
		if (has_name(line, argv[argc - 1]) && (load(line, &fault) == 0 || errno == EEXIST))
			status = 0;
	}
	if (list != NULL)
		fclose(list);
	return status;
}
