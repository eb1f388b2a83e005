#include "guest_disks.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "skips.h"
#include "support/memory.h"

#define BUSYBOX "/bin/busybox"

static char folder[256];

static const char *const root_names[ROOT_COUNT] = {
	[ROOT_SHELL] = "shell",
	[ROOT_BASH] = "bash",
	[ROOT_EMPTY] = "empty",
	[ROOT_LINK] = "link",
	[ROOT_NO_DEV] = "no-dev",
};

char *disks_path(const char *name)
{
	return xasprintf("%s/%s", folder, name);
}

int run_tool(const char *output, const char *const argv[])
{
	int status;
	pid_t pid;
	posix_spawn_file_actions_t actions;
	cleanup_free char *log = disks_path(output);
	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_addopen(
				 &actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC, 0600),
		0);
	posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
	int r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		return 127;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Runs a program that must end well. */
static void must_run(const char *const argv[])
{
	int status = run_tool("tool.log", argv);
	if (status != 0)
		fail_msg("%s ended with status %d", argv[0], status);
}

bool disks_possible(void)
{
	static const char *const tools[][3] = {
		{"mke2fs", "-V", NULL},
		{"qemu-img", "--version", NULL},
		{"qemu-system-x86_64", "--version", NULL},
		{BUSYBOX, "true", NULL},
	};
	strcpy(folder, "/tmp"); /* for the log, which is removed again */
	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
		cleanup_free char *log = disks_path("layervm-guest.log");
		int status = run_tool("layervm-guest.log", tools[i]);
		unlink(log);
		if (status != 0) {
			print_message("%s cannot be run\n", tools[i][0]);
			skip_note(
				"all", strrchr(tools[i][0], '/') == NULL ? tools[i][0] : "busybox");
			return false;
		}
	}
	return true;
}

static void make_root_folder(const char *root, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", root, name);
	assert_return_code(mkdir(path, 0755), errno);
}

static void make_link(const char *root, const char *name, const char *target)
{
	cleanup_free char *path = xasprintf("%s/%s", root, name);
	assert_return_code(symlink(target, path), errno);
}

static void make_file(const char *root, const char *name, mode_t mode, const char *text)
{
	cleanup_free char *path = xasprintf("%s/%s", root, name);
	cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* Users, with what an image may hold besides: comments, lines of no use, names of digits. */
static void make_users(const char *root)
{
	make_root_folder(root, "etc");
	make_root_folder(root, "home");
	make_file(root, "etc/passwd", 0644,
		"# users\nroot:x:0:0:root:/root:/bin/sh\nbroken:x\n"
		"app:x:100:101::/home:/bin/sh\n300:x:301:302::/digits:/bin/sh\n"
		"homeless:x:103:103:::\n");
	make_file(root, "etc/group", 0644,
		"root:x:0:\napp:x:101:\nlog:x:200:other,app\nwheel:x:201:app\nstaff:x:202:root\n");
}

static void make_root(enum root which, const char *root)
{
	assert_return_code(mkdir(root, 0755), errno);
	make_root_folder(root, "sys");
	make_root_folder(root, "tmp");
	if (which == ROOT_LINK)
		make_link(root, "proc", "tmp");
	else
		make_root_folder(root, "proc");
	if (which != ROOT_NO_DEV)
		make_root_folder(root, "dev");
	if (which != ROOT_SHELL && which != ROOT_BASH)
		return;
	cleanup_free char *busybox = xasprintf("%s/bin/busybox", root);
	make_root_folder(root, "bin");
	must_run((const char *const[]){"cp", BUSYBOX, busybox, NULL});
	make_link(root, "bin/sh", "busybox");
	if (which == ROOT_SHELL)
		make_users(root);
	if (which == ROOT_BASH)
		make_file(root, "bin/bash", 0755, "#!/bin/sh\necho \"bash $1 $2\"\n");
}

void disks_make(void)
{
	strcpy(folder, "/var/tmp/layervm-guest-XXXXXX");
	assert_non_null(mkdtemp(folder));
	for (int i = 0; i < ROOT_COUNT; i++) {
		cleanup_free char *root = xasprintf("%s/%s", folder, root_names[i]);
		cleanup_free char *disk = xasprintf("%s/%s.img", folder, root_names[i]);
		make_root((enum root)i, root);
		must_run((const char *const[]){"mke2fs", "-q", "-t", "ext4", "-O", "^has_journal",
			"-b", "4096", "-I", "256", "-m", "0", "-E", "root_owner=0:0", "-d", root,
			disk, "64M", NULL});
	}
}

void disks_remove(void)
{
	const char *const argv[] = {"rm", "-rf", folder, NULL};
	must_run(argv);
}

void disks_open(enum root root, uint64_t size, int *disk, int *overlay)
{
	cleanup_free char *base = xasprintf("%s/%s.img", folder, root_names[root]);
	cleanup_free char *path = disks_path("overlay.qcow2");
	cleanup_free char *bytes = xasprintf("%llu", (unsigned long long)size);
	must_run((const char *const[]){"qemu-img", "create", "-q", "-f", "qcow2", "-o",
		"cluster_size=4k", path, bytes, NULL});
	*disk = open(base, O_RDONLY | O_CLOEXEC);
	*overlay = open(path, O_RDWR | O_CLOEXEC);
	assert_true(*disk >= 0 && *overlay >= 0);
}

char *disks_merge(enum root root)
{
	cleanup_free char *base = xasprintf("%s/%s.img", folder, root_names[root]);
	cleanup_free char *overlay = disks_path("overlay.qcow2");
	cleanup_free char *merged = disks_path("merged.img");
	must_run((const char *const[]){
		"qemu-img", "rebase", "-u", "-F", "raw", "-b", base, overlay, NULL});
	must_run((const char *const[]){"qemu-img", "convert", "-O", "raw", overlay, merged, NULL});
	return steal_ptr(&merged);
}
