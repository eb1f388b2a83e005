#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "fuzz.h"
#include "support/fileio.h"

/* Of Linux 6.2, which older headers lack. */
#define ACCESS_TRUNCATE (UINT64_C(1) << 14)
#define ABI_OF_TRUNCATE 3

#define ACCESS_WRITES                                                                              \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
		LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                    \
		LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                        \
		LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                      \
		LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM |                      \
		LANDLOCK_ACCESS_FS_REFER | ACCESS_TRUNCATE)

/* Gives the process these rights beneath a folder; what is no folder is passed over. */
static void allow(int ruleset, const char *folder, uint64_t access)
{
	cleanup_close int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {
		.allowed_access = access,
		.parent_fd = fd,
	};
	if (fd >= 0 &&
		syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		fuzz_broken("%s: Landlock: %s", folder, strerror(errno));
}

int confine_writes(const char *folder, int argc, char **argv)
{
	static const char prefix[] = "-artifact_prefix=";
	const struct landlock_ruleset_attr attr = {.handled_access_fs = ACCESS_WRITES};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (abi < ABI_OF_TRUNCATE)
		return -1;
	cleanup_close int ruleset =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		fuzz_broken("Landlock: %s", strerror(errno));
	cleanup_free char *above = xasprintf("%s/..", folder);
	allow(ruleset, folder, ACCESS_WRITES);
	allow(ruleset, above, LANDLOCK_ACCESS_FS_REMOVE_DIR);
	for (int i = 1; i < argc; i++) {
		bool is_prefix = strncmp(argv[i], prefix, strlen(prefix)) == 0;
		allow(ruleset, argv[i] + (is_prefix ? strlen(prefix) : 0), ACCESS_WRITES);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		fuzz_broken("Landlock: %s", strerror(errno));
	return 0;
}
