#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "guestfs/helper.h"
#include "guestfs/messages.h"
#include "support/memory.h"
#include "support/wall.h"
#include "vm/vm.h"

#define ARGUMENTS_MAX 8

/* Where the helper is: the caller frees *path. */
static int find(char **path, struct error *err)
{
	char program[PATH_MAX];
	const char *chosen = getenv("LAYERVM_LIBEXEC_DIR");
	cleanup_free char *candidate = NULL;
	if (chosen != NULL && *chosen != '\0') {
		candidate = xasprintf("%s/" HELPER_NAME, chosen);
	} else {
		ssize_t n = readlink("/proc/self/exe", program, sizeof(program) - 1);
		if (n < 0)
			return error_set_errno(
				err, ERROR_INTERNAL, "/proc/self/exe: cannot be read");
		program[n] = '\0';
		char *slash = strrchr(program, '/');
		candidate = xasprintf("%.*s/../libexec/layervm/" HELPER_NAME,
			slash != NULL ? (int)(slash - program) : 0, program);
	}
	if (access(candidate, X_OK) < 0)
		return error_set(err, ERROR_INTERNAL, ENOENT,
			"reading a disk by libguestfs takes the helper %s, which is not there: "
			"install libguestfs-dev and libguestfs-tools, build layervm again, and "
			"install it; or name the helper's folder in LAYERVM_LIBEXEC_DIR",
			candidate);
	*path = steal_ptr(&candidate);
	return 0;
}

static struct helper steal_helper(struct helper *helper)
{
	struct helper value = *helper;
	*helper = HELPER_NONE;
	return value;
}

int helper_start(const struct helper_job *job, struct helper *helper, struct error *err)
{
	cleanup_free char *path = NULL;
	cleanup_close int tar = -1;
	cleanup_close int messages = -1;
	cleanup_close int log = -1;
	const char *argv[ARGUMENTS_MAX] = {HELPER_NAME, vm_kvm_usable(NULL) ? "kvm" : "tcg"};
	*helper = HELPER_NONE;
	for (size_t i = 0; i + 3 < ARGUMENTS_MAX && job->arguments[i] != NULL; i++)
		argv[i + 2] = job->arguments[i];
	int r = find(&path, err);
	if (r < 0)
		return r;
	cleanup_helper struct helper started = HELPER_NONE;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null");
	r = child_pipe(&started.tar, &tar, err);
	if (r == 0)
		r = child_pipe(&started.messages, &messages, err);
	if (r == 0)
		r = child_pipe(&started.log, &log, err);
	if (r < 0)
		return r;

	const int fds[HELPER_FD_END] = {
		[STDIN_FILENO] = null,
		[STDOUT_FILENO] = log,
		[STDERR_FILENO] = log,
		[HELPER_FD_TAR] = tar,
		[HELPER_FD_MESSAGES] = messages,
		[HELPER_FD_BASE] = job->base >= 0 ? job->base : null,
		[HELPER_FD_OVERLAY] = job->overlay >= 0 ? job->overlay : null,
	};
	/* For libguestfs too, and all that it starts: its QEMU has no sandbox. */
	struct wall wall;
	wall_make(WALL_OUTER, &wall);
	const struct child_options options = {
		.path = path,
		.argv = argv,
		.fds = fds,
		.fd_count = HELPER_FD_END,
		.dir = -1,
		.death_signal = SIGTERM,
		.privileges = CHILD_NO_NEW_PRIVILEGES,
		.wall = &wall,
		.signals = CHILD_SIGNALS_DEFAULT,
		.failure = HELPER_NAME ": cannot be executed",
		.failure_kind = ERROR_INTERNAL,
	};
	r = child_start(&options, &started.child, err);
	if (r < 0)
		return r;
	*helper = steal_helper(&started);
	return 0;
}

void helper_end(struct helper *helper)
{
	struct error ignored;
	int status;
	if (helper->child.pid > 0) {
		kill(helper->child.pid, SIGTERM);
		child_wait(&helper->child, &status, &ignored);
	}
	cleanup_close_fn(&helper->tar);
	cleanup_close_fn(&helper->messages);
	cleanup_close_fn(&helper->log);
	*helper = HELPER_NONE;
}
