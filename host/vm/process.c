#include "vm/process.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support/landlock.h"
#include "support/memory.h"

#define FD_LIMIT 256 /* open files; QEMU needs some tens */

static void lower_limit(struct rlimit *limit, uint64_t most)
{
	if (most < limit->rlim_max)
		limit->rlim_max = most;
	if (limit->rlim_max < limit->rlim_cur)
		limit->rlim_cur = limit->rlim_max;
}

/* No core file, no file longer than file_limit, and few descriptors; never more than we may. */
static int choose_limits(
	uint64_t file_limit, struct child_limit limits[static 3], struct error *err)
{
	struct rlimit size, files;
	if (getrlimit(RLIMIT_FSIZE, &size) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot read the resource limits");
	lower_limit(&size, file_limit);
	if (files.rlim_max > FD_LIMIT)
		files = (struct rlimit){FD_LIMIT, FD_LIMIT};
	limits[0] = (struct child_limit){RLIMIT_CORE, {0, 0}};
	limits[1] = (struct child_limit){RLIMIT_FSIZE, size};
	limits[2] = (struct child_limit){RLIMIT_NOFILE, files};
	return 0;
}

/*
 * Where programs and what they load are, on all kinds of systems; what QEMU asks of the machine;
 * the devices that it opens by name. Nothing of a user's is among them.
 */
static const struct landlock_rule system_rules[] = {
	{"/usr", LANDLOCK_RUN_BELOW},
	{"/bin", LANDLOCK_RUN_BELOW},
	{"/sbin", LANDLOCK_RUN_BELOW},
	{"/lib", LANDLOCK_RUN_BELOW},
	{"/lib32", LANDLOCK_RUN_BELOW},
	{"/lib64", LANDLOCK_RUN_BELOW},
	{"/opt", LANDLOCK_RUN_BELOW},
	{"/nix/store", LANDLOCK_RUN_BELOW},
	{"/gnu/store", LANDLOCK_RUN_BELOW},
	{"/etc/ld.so.cache", LANDLOCK_READ_FILE},
	{"/etc/ld.so.preload", LANDLOCK_READ_FILE},
	{"/proc/filesystems", LANDLOCK_READ_FILE},
	{"/sys", LANDLOCK_RUN_BELOW},
	{"/dev/kvm", LANDLOCK_DEVICE},
	{"/dev/null", LANDLOCK_DEVICE},
	{"/dev/urandom", LANDLOCK_READ_FILE},
};

/* A program's own folders, from the one that it is in: of a prefix, and where it was built. */
static const char *const own_folders[] = {
	"../lib", "../lib64", "../libexec", "../share", "../pc-bios", "pc-bios", "qemu-bundle"};

#define SYSTEM_RULES (sizeof(system_rules) / sizeof(system_rules[0]))
#define OWN_FOLDERS (sizeof(own_folders) / sizeof(own_folders[0]))
#define RULES_MAX (SYSTEM_RULES + 1 + OWN_FOLDERS + PROCESS_READABLE_MAX + 1)

/*
 * A guest that has broken out of QEMU finds what it was given, and of the user's files nothing:
 * QEMU's own sandbox would let it open them all, and those that it may only read for writing.
 */
static int make_landlock(const char *program, const struct process_options *options,
	struct landlock *landlock, struct error *err)
{
	const char *const *readable = options->readable;
	char memory[64];
	struct landlock_rule rules[RULES_MAX];
	char *own[OWN_FOLDERS] = {NULL};
	size_t count = SYSTEM_RULES;
	memcpy(rules, system_rules, sizeof(system_rules));
	rules[count++] = (struct landlock_rule){program, LANDLOCK_RUN_BELOW};
	cleanup_free char *real = realpath(program, NULL);
	for (size_t i = 0; i < OWN_FOLDERS && real != NULL; i++) {
		int folder = (int)(strrchr(real, '/') - real);
		own[i] = xasprintf("%.*s/%s", folder, real, own_folders[i]);
		rules[count++] = (struct landlock_rule){own[i], LANDLOCK_RUN_BELOW};
	}
	for (size_t i = 0; i < PROCESS_READABLE_MAX && readable[i] != NULL; i++)
		rules[count++] = (struct landlock_rule){readable[i], LANDLOCK_READ_FILE};
	if (options->memory_fd > 0) {
		snprintf(memory, sizeof(memory), "/proc/self/fd/%d", options->memory_fd);
		rules[count++] = (struct landlock_rule){memory, LANDLOCK_USE_FILE};
	}
	int r = landlock_make(rules, count, landlock, err);
	for (size_t i = 0; i < OWN_FOLDERS; i++)
		free(own[i]);
	return r;
}

int process_start(const struct process_options *options, struct child *child, struct error *err)
{
	static const char *const env[] = {"LC_ALL=C", "PATH=/usr/bin:/bin", NULL};
	struct child_limit limits[3];
	*child = CHILD_NONE;
	cleanup_free char *path = child_find(options->program);
	if (path == NULL)
		return error_set(err, ERROR_QEMU, ENOENT,
			"%s not found; install the package qemu-system-x86", options->program);
	int r = choose_limits(options->file_limit, limits, err);
	if (r < 0)
		return r;
	cleanup_landlock struct landlock landlock = LANDLOCK_NONE;
	r = make_landlock(path, options, &landlock, err);
	if (r < 0)
		return r;
	cleanup_free char *failure = xasprintf("%s: cannot be started", path);
	const struct child_options child_options = {
		.path = path,
		.argv = (const char *const *)options->argv,
		.env = env,
		.fds = options->fds,
		.fd_count = options->fd_count,
		.dir = -1,
		.death_signal = SIGKILL,
		.privileges = CHILD_NO_NEW_PRIVILEGES,
		.landlock = &landlock,
		.signals = CHILD_SIGNALS_DEFAULT,
		/* A file at its limit is an error for the guest, and no end of QEMU. */
		.ignored_signal = SIGXFSZ,
		.limits = limits,
		.limit_count = sizeof(limits) / sizeof(limits[0]),
		.failure = failure,
		.failure_kind = ERROR_QEMU,
	};
	return child_start(&child_options, child, err);
}

int process_limit_files(const struct child *child, uint64_t file_limit, struct error *err)
{
	struct rlimit size;
	/* One that nobody has waited for yet is still there, whether it runs or not. */
	if (prlimit(child->pid, RLIMIT_FSIZE, NULL, &size) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot read QEMU's resource limits");
	lower_limit(&size, file_limit);
	if (prlimit(child->pid, RLIMIT_FSIZE, &size, NULL) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot set QEMU's resource limits");
	return 0;
}
