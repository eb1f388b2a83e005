#include "vm/process.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support/landlock.h"
#include "support/memory.h"
#include "support/wall.h"
#include "vm/interpreter.h"

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

/* Where programs and what they load are, on all kinds of systems; nothing of a user's. */
static const char *const system_folders[] = {
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/gnu/store"};

/* What QEMU asks of the machine; the devices that it opens by name. */
static const struct landlock_rule system_rules[] = {
	{"/etc/ld.so.cache", LANDLOCK_READ_FILE},
	{"/etc/ld.so.preload", LANDLOCK_READ_FILE},
	{"/proc/filesystems", LANDLOCK_READ_FILE},
	{"/sys", LANDLOCK_READ_BELOW},
	{"/dev/kvm", LANDLOCK_DEVICE},
	{"/dev/null", LANDLOCK_DEVICE},
	{"/dev/urandom", LANDLOCK_READ_FILE},
};

/* A program's own folders, from the one that it is in: of a prefix, and where it was built. */
static const char *const own_folders[] = {
	"../lib", "../lib64", "../libexec", "../share", "../pc-bios", "pc-bios", "qemu-bundle"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PROGRAM_RULES 4 /* two programs with a loader each */
#define RULES_MAX                                                                                  \
	(COUNT(system_folders) + COUNT(system_rules) + COUNT(own_folders) + PROGRAM_RULES +        \
		PROCESS_READABLE_MAX + 1)

/* Rules, with the paths that were made for them. */
struct rules {
	struct landlock_rule rule[RULES_MAX];
	size_t count;
	char *paths[RULES_MAX];
	size_t path_count;
};

static void rules_cleanup(struct rules *rules)
{
	for (size_t i = 0; i < rules->path_count; i++)
		free(rules->paths[i]);
}

static void add_rule(struct rules *rules, const char *path, enum landlock_access access)
{
	rules->rule[rules->count++] = (struct landlock_rule){path, access};
}

/* path: the rules' from now on. */
static void add_made(struct rules *rules, char *path, enum landlock_access access)
{
	rules->paths[rules->path_count++] = path;
	add_rule(rules, path, access);
}

/* The program and its loader. Returns whether no others are to be executed. */
static bool add_program(struct rules *rules, const char *program)
{
	char *loader;
	bool direct = interpreter_find(program, &loader);
	add_rule(rules, program, LANDLOCK_RUN_BELOW);
	if (loader != NULL)
		add_made(rules, loader, LANDLOCK_RUN_BELOW);
	return direct;
}

/*
 * The program, what is around it, and the system's folders. Where the program is a script, which
 * then executes QEMU, each program of these folders may be executed.
 */
static void add_folders(struct rules *rules, const char *program)
{
	enum landlock_access access =
		add_program(rules, program) ? LANDLOCK_READ_BELOW : LANDLOCK_RUN_BELOW;
	for (size_t i = 0; i < COUNT(system_folders); i++)
		add_rule(rules, system_folders[i], access);
	char *real = realpath(program, NULL);
	if (real == NULL)
		return;
	rules->paths[rules->path_count++] = real;
	const char *name = strrchr(real, '/') + 1;
	int folder = (int)(name - real);
	for (size_t i = 0; i < COUNT(own_folders); i++)
		add_made(rules, xasprintf("%.*s%s", folder, real, own_folders[i]), access);
	/* What Nix has programs wrapped in is a program beside the one that it executes. */
	char *wrapped = xasprintf("%.*s.%s-wrapped", folder, real, name);
	rules->paths[rules->path_count++] = wrapped;
	add_program(rules, wrapped);
}

/*
 * A guest that has broken out of QEMU finds what it was given, and of the user's files nothing:
 * QEMU's own sandbox would let it open them all, and those that it may only read for writing. It
 * executes QEMU again at most, behind the same wall. That keeps tools from it, and no code: the
 * loader runs each file that can be read, and memory of its own is as good.
 */
static int make_landlock(const char *program, const struct process_options *options,
	struct landlock *landlock, struct error *err)
{
	const char *const *readable = options->readable;
	char memory[64];
	__attribute__((cleanup(rules_cleanup))) struct rules rules = {.count = 0};
	add_folders(&rules, program);
	for (size_t i = 0; i < COUNT(system_rules); i++)
		add_rule(&rules, system_rules[i].path, system_rules[i].access);
	for (size_t i = 0; i < PROCESS_READABLE_MAX && readable[i] != NULL; i++)
		add_rule(&rules, readable[i], LANDLOCK_READ_FILE);
	if (options->memory_fd > 0) {
		snprintf(memory, sizeof(memory), "/proc/self/fd/%d", options->memory_fd);
		add_rule(&rules, memory, LANDLOCK_USE_FILE);
	}
	return landlock_make(rules.rule, rules.count, landlock, err);
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
	struct wall wall;
	wall_make(WALL_INNER, &wall);
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
		.wall = &wall,
		.signals = CHILD_SIGNALS_DEFAULT,
		/* A file at its limit is an error for the guest, and no end of QEMU. */
		.ignored_signal = SIGXFSZ,
		.limits = limits,
		.limit_count = COUNT(limits),
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
