#include "support/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * Rights and fields of versions that the installed header may not know yet (landlock.h of Linux
 * 6.12). The kernel takes a shorter attribute as one whose rest is zero.
 */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* version 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* version 5 */
#define NET_ALL UINT64_C(3)              /* version 4: bind and connect of TCP */
#define SCOPE_ALL UINT64_C(3)            /* version 6: abstract sockets, signals */

struct ruleset_attributes {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

#define FS_READ_FOLDER (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_VERSION_1 ((UINT64_C(1) << 13) - 1)

static const uint64_t rights[] = {
	[LANDLOCK_READ_FILE] = LANDLOCK_ACCESS_FS_READ_FILE,
	[LANDLOCK_USE_FILE] = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE,
	[LANDLOCK_READ_BELOW] = FS_READ_FOLDER,
	[LANDLOCK_RUN_BELOW] = FS_READ_FOLDER | LANDLOCK_ACCESS_FS_EXECUTE,
	[LANDLOCK_DEVICE] =
		LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_IOCTL_DEV,
};

/* Rights that are of use for anything but a folder; the kernel refuses the others there. */
static const uint64_t file_rights = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE |
				    LANDLOCK_ACCESS_FS_EXECUTE | FS_TRUNCATE | FS_IOCTL_DEV;

static uint64_t handled_rights(long version)
{
	uint64_t handled = FS_VERSION_1;
	if (version >= 2)
		handled |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		handled |= FS_TRUNCATE;
	if (version >= 5)
		handled |= FS_IOCTL_DEV;
	return handled;
}

static int make_ruleset(long version)
{
	struct ruleset_attributes attributes = {.handled_access_fs = handled_rights(version)};
	size_t size = offsetof(struct ruleset_attributes, handled_access_net);
	if (version >= 4) {
		attributes.handled_access_net = NET_ALL;
		size = offsetof(struct ruleset_attributes, scoped);
	}
	if (version >= 6) {
		attributes.scoped = SCOPE_ALL;
		size = sizeof(attributes);
	}
	return (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
}

/* System calls only. Returns 0 or an errno value. */
static int add_rule(int ruleset, int file, uint64_t allowed)
{
	const struct landlock_path_beneath_attr beneath = {
		.allowed_access = allowed,
		.parent_fd = file,
	};
	long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &beneath, 0);
	return r < 0 ? errno : 0;
}

static int add_path(
	int ruleset, const struct landlock_rule *rule, uint64_t handled, struct error *err)
{
	struct stat st;
	cleanup_close int file = open(rule->path, O_PATH | O_CLOEXEC);
	if (file < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return 0;
	if (file < 0 || fstat(file, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot be opened", rule->path);
	uint64_t allowed = rights[rule->access] & handled;
	if (!S_ISDIR(st.st_mode))
		allowed &= file_rights;
	int code = add_rule(ruleset, file, allowed);
	if (code != 0)
		return error_set(err, ERROR_INTERNAL, code,
			"%s: the kernel takes no rule for it: %s", rule->path, strerror(code));
	return 0;
}

int landlock_make(const struct landlock_rule *rules, size_t count, struct landlock *landlock,
	struct error *err)
{
	*landlock = LANDLOCK_NONE;
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (version < 1)
		return 0;
	cleanup_landlock struct landlock made = {.ruleset = make_ruleset(version)};
	if (made.ruleset < 0)
		return error_set_errno(err, ERROR_INTERNAL, "Landlock rules cannot be made");
	for (size_t i = 0; i < count; i++) {
		int r = add_path(made.ruleset, &rules[i], handled_rights(version), err);
		if (r < 0)
			return r;
	}
	landlock->ruleset = steal_fd(&made.ruleset);
	return 0;
}

int landlock_enter(const struct landlock *landlock)
{
	if (landlock->ruleset < 0)
		return 0;
	/* Only this process can name its folder. What the links in it lead to has other rules. */
	int self = open("/proc/self", O_PATH | O_CLOEXEC);
	if (self >= 0) {
		int code = add_rule(landlock->ruleset, self, FS_READ_FOLDER);
		close(self);
		if (code != 0)
			return code;
	}
	return syscall(SYS_landlock_restrict_self, landlock->ruleset, 0) < 0 ? errno : 0;
}
