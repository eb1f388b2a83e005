#include "wall_attempts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Arguments that are known only where the program runs. */
#define PARENT 0x70000001L
#define SELF 0x70000002L

#define NOWHERE ((long)(intptr_t) "/no/such/name")
#define NEWER_CALL 467 /* open_tree_attr, of Linux 6.15 */
#define X32_BIT 0x40000000L

/* A call by its number; without a wall each is harmless, whether it fails or not. */
struct attempt {
	const char *name;
	long call;
	long arguments[4];
	int error; /* 0: it is to work */
	enum wall_kind wall;
};

static uint64_t zeros[64];
#define ZEROS ((long)(intptr_t)zeros)

static const struct attempt attempts[] = {
	{"io_uring", SYS_io_uring_setup, {1, ZEROS}, ENOSYS, WALL_OUTER},
	{"clone3", SYS_clone3, {ZEROS, 1}, ENOSYS, WALL_OUTER},
	{"a newer call", NEWER_CALL, {0}, ENOSYS, WALL_OUTER},
	{"x32", X32_BIT | SYS_getpid, {0}, ENOSYS, WALL_OUTER},
	{"keyctl", SYS_keyctl, {KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING}, EPERM, WALL_OUTER},
	{"add_key", SYS_add_key, {NOWHERE, NOWHERE}, EPERM, WALL_OUTER},
	{"request_key", SYS_request_key, {NOWHERE, NOWHERE}, EPERM, WALL_OUTER},
	{"bpf", SYS_bpf, {BPF_MAP_CREATE, ZEROS, 8}, EPERM, WALL_OUTER},
	{"userfaultfd", SYS_userfaultfd, {0}, EPERM, WALL_OUTER},
	{"perf_event_open", SYS_perf_event_open, {ZEROS, 0, -1, -1}, EPERM, WALL_OUTER},
	{"ptrace", SYS_ptrace, {PTRACE_PEEKDATA, PARENT}, EPERM, WALL_OUTER},
	{"process_vm_readv", SYS_process_vm_readv, {PARENT}, EPERM, WALL_OUTER},
	{"process_vm_writev", SYS_process_vm_writev, {PARENT}, EPERM, WALL_OUTER},
	{"pidfd_getfd", SYS_pidfd_getfd, {-1}, EPERM, WALL_OUTER},
	{"setns", SYS_setns, {-1}, EPERM, WALL_OUTER},
	{"open_tree", SYS_open_tree, {AT_FDCWD, NOWHERE}, EPERM, WALL_OUTER},
	{"move_mount", SYS_move_mount, {-1, NOWHERE, -1, NOWHERE}, EPERM, WALL_OUTER},
	{"fsopen", SYS_fsopen, {NOWHERE}, EPERM, WALL_OUTER},
	{"fsconfig", SYS_fsconfig, {-1}, EPERM, WALL_OUTER},
	{"fsmount", SYS_fsmount, {-1}, EPERM, WALL_OUTER},
	{"fspick", SYS_fspick, {AT_FDCWD, NOWHERE}, EPERM, WALL_OUTER},
	{"mount_setattr", SYS_mount_setattr, {-1}, EPERM, WALL_OUTER},
	{"kexec_load", SYS_kexec_load, {0, 0, 0, -1}, EPERM, WALL_OUTER},
	{"kexec_file_load", SYS_kexec_file_load, {-1, -1, 0, 0}, EPERM, WALL_OUTER},
	{"init_module", SYS_init_module, {ZEROS, 1, NOWHERE}, EPERM, WALL_OUTER},
	{"finit_module", SYS_finit_module, {-1}, EPERM, WALL_OUTER},
	{"delete_module", SYS_delete_module, {NOWHERE}, EPERM, WALL_OUTER},
	{"swapon", SYS_swapon, {NOWHERE}, EPERM, WALL_OUTER},
	{"swapoff", SYS_swapoff, {NOWHERE}, EPERM, WALL_OUTER},
	{"reboot", SYS_reboot, {0}, EPERM, WALL_OUTER},
	{"settimeofday", SYS_settimeofday, {0}, EPERM, WALL_OUTER},
	{"clock_settime", SYS_clock_settime, {-1, ZEROS}, EPERM, WALL_OUTER},
	{"open_by_handle_at", SYS_open_by_handle_at, {-1, ZEROS}, EPERM, WALL_OUTER},
	{"execveat", SYS_execveat, {AT_FDCWD, NOWHERE}, EPERM, WALL_OUTER},

	{"unshare, a user namespace", SYS_unshare, {CLONE_NEWUSER}, EPERM, WALL_INNER},
	{"clone, a thread in a namespace", SYS_clone,
		{CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_NEWUSER}, EPERM, WALL_INNER},
	{"mount", SYS_mount, {NOWHERE, NOWHERE, NOWHERE}, EPERM, WALL_INNER},
	{"umount", SYS_umount2, {NOWHERE}, EPERM, WALL_INNER},
	{"pivot_root", SYS_pivot_root, {NOWHERE, NOWHERE}, EPERM, WALL_INNER},
	{"chroot", SYS_chroot, {NOWHERE}, EPERM, WALL_INNER},
	{"socket, IPv4", SYS_socket, {AF_INET, SOCK_STREAM}, EPERM, WALL_INNER},
	{"socket, IPv6", SYS_socket, {AF_INET6, SOCK_DGRAM}, EPERM, WALL_INNER},
	{"socket, netlink", SYS_socket, {AF_NETLINK, SOCK_RAW}, EPERM, WALL_INNER},
	{"socket, packets", SYS_socket, {AF_PACKET, SOCK_RAW}, EPERM, WALL_INNER},
	{"socket, vsock", SYS_socket, {AF_VSOCK, SOCK_STREAM}, EPERM, WALL_INNER},
	{"socket, ciphers", SYS_socket, {AF_ALG, SOCK_SEQPACKET}, EPERM, WALL_INNER},
	{"socket, unix", SYS_socket, {AF_UNIX, SOCK_STREAM}, EPERM, WALL_INNER},
	{"socketpair", SYS_socketpair, {AF_UNIX, SOCK_DGRAM, 0, ZEROS}, EPERM, WALL_INNER},
	{"connect", SYS_connect, {-1}, EPERM, WALL_INNER},
	{"bind", SYS_bind, {-1}, EPERM, WALL_INNER},
	{"shmget", SYS_shmget, {1, 1, 0}, EPERM, WALL_INNER},
	{"mq_open", SYS_mq_open, {NOWHERE}, EPERM, WALL_INNER},
	{"kill, the parent", SYS_kill, {PARENT, 0}, EPERM, WALL_INNER},
	{"kill, its group", SYS_kill, {-SELF, 0}, EPERM, WALL_INNER},
	{"kill, everybody", SYS_kill, {-1, 0}, EPERM, WALL_INNER},
	{"kill, itself", SYS_kill, {SELF, 0}, 0, WALL_INNER},
	{"tgkill, the parent", SYS_tgkill, {PARENT, PARENT, 0}, EPERM, WALL_INNER},
	{"tgkill, itself", SYS_tgkill, {SELF, SELF, 0}, 0, WALL_INNER},
	{"tkill, the parent", SYS_tkill, {PARENT, 0}, EPERM, WALL_INNER},
	{"rt_sigqueueinfo, the parent", SYS_rt_sigqueueinfo, {PARENT, 0, ZEROS}, EPERM, WALL_INNER},
	{"pidfd_open, the parent", SYS_pidfd_open, {PARENT}, EPERM, WALL_INNER},
	{"fcntl, signals to the parent", SYS_fcntl, {0, F_SETOWN, PARENT}, EPERM, WALL_INNER},
	{"fcntl, flags", SYS_fcntl, {0, F_GETFL}, 0, WALL_INNER},
	{"prlimit, the parent's", SYS_prlimit64, {PARENT, RLIMIT_CORE, 0, ZEROS}, EPERM,
		WALL_INNER},
	{"prlimit, its own", SYS_prlimit64, {0, RLIMIT_CORE, 0, ZEROS}, 0, WALL_INNER},
	{"prctl, to outlive the parent", SYS_prctl, {PR_SET_PDEATHSIG, SIGKILL}, EPERM, WALL_INNER},
	{"prctl, its name", SYS_prctl, {PR_SET_NAME, NOWHERE}, 0, WALL_INNER},
	{"setpgid", SYS_setpgid, {0}, EPERM, WALL_INNER},
	{"ioctl, words to the terminal", SYS_ioctl, {0, TIOCSTI, NOWHERE}, EPERM, WALL_INNER},
	{"ioctl, another", SYS_ioctl, {0, TIOCGWINSZ, ZEROS}, ENOTTY, WALL_INNER},
	{"setuid", SYS_setuid, {-1}, EPERM, WALL_INNER},
	{"chmod", SYS_chmod, {NOWHERE, 0777}, EPERM, WALL_INNER},
	{"chown", SYS_chown, {NOWHERE, -1, -1}, EPERM, WALL_INNER},
	{"setxattr", SYS_setxattr, {NOWHERE, NOWHERE, NOWHERE, 1}, EPERM, WALL_INNER},
	{"truncate", SYS_truncate, {NOWHERE, 0}, EPERM, WALL_INNER},
	{"unlink", SYS_unlink, {NOWHERE}, EPERM, WALL_INNER},
	{"rename", SYS_rename, {NOWHERE, NOWHERE}, EPERM, WALL_INNER},
	{"mknod", SYS_mknod, {NOWHERE, S_IFCHR}, EPERM, WALL_INNER},
};

static long argument(long value)
{
	switch (value) {
	case PARENT:
		return getppid();
	case SELF:
		return getpid();
	case -SELF:
		return -getpid();
	default:
		return value;
	}
}

static int try_call(const struct attempt *attempt)
{
	const long *given = attempt->arguments;
	long result = syscall(attempt->call, argument(given[0]), argument(given[1]),
		argument(given[2]), argument(given[3]), 0L);
	return result < 0 ? errno : 0;
}

/* Attempts that are more than a call. */

static sigjmp_buf no_interface;

static void leave_call(int number)
{
	(void)number;
	siglongjmp(no_interface, 1);
}

/* getpid (20) by the interface of 32-bit programs; a kernel without it ends the program. */
static int try_i386(void)
{
	const struct sigaction leave = {.sa_handler = leave_call};
	long result;
	sigaction(SIGSEGV, &leave, NULL);
	if (sigsetjmp(no_interface, 1) != 0)
		return ENOSYS;
	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(20L)
			 : "memory", "r8", "r9", "r10", "r11");
	return result < 0 ? (int)-result : 0;
}

static void *do_nothing(void *data)
{
	return data;
}

static int try_thread(void)
{
	pthread_t thread;
	int code = pthread_create(&thread, NULL, do_nothing, NULL);
	return code == 0 ? pthread_join(thread, NULL) : code;
}

/* A process with some flags of clone, which ends at once. */
static int try_process(unsigned long flags)
{
	long pid = syscall(SYS_clone, flags | SIGCHLD, 0L, 0L, 0L, 0L);
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid < 0 ? errno : 0;
}

static int try_clone(void)
{
	return try_process(0);
}

static int try_clone_user(void)
{
	return try_process(CLONE_NEWUSER);
}

static int try_fork(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return pid < 0 ? errno : 0;
}

static int try_spawn(void)
{
	char *const argv[] = {"true", NULL};
	pid_t pid;
	int code = posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ);
	if (code == 0)
		waitpid(pid, NULL, 0);
	return code;
}

static const struct {
	const char *name;
	int (*try)(void);
	int error;
	enum wall_kind wall;
} acts[] = {
	{"i386", try_i386, ENOSYS, WALL_OUTER},
	{"a thread", try_thread, 0, WALL_INNER},
	{"clone, a process", try_clone, EPERM, WALL_INNER},
	{"clone, a user namespace", try_clone_user, EPERM, WALL_INNER},
	{"fork", try_fork, EPERM, WALL_INNER},
	{"posix_spawn", try_spawn, EPERM, WALL_INNER},
};

static const char *words_of(int error)
{
	return error == 0 ? "works" : strerrorname_np(error);
}

static void say(const char *name, int error)
{
	dprintf(STDOUT_FILENO, "%s: %s\n", name, words_of(error));
}

static void try_calls(enum wall_kind kind)
{
	for (size_t i = 0; i < COUNT(attempts); i++)
		if (attempts[i].wall <= kind)
			say(attempts[i].name, try_call(&attempts[i]));
	for (size_t i = 0; i < COUNT(acts); i++)
		if (acts[i].wall <= kind)
			say(acts[i].name, acts[i].try());
}

void attempts_expected(enum wall_kind kind, struct buffer *text)
{
	for (size_t i = 0; i < COUNT(attempts); i++)
		if (attempts[i].wall <= kind)
			buffer_printf(
				text, "%s: %s\n", attempts[i].name, words_of(attempts[i].error));
	for (size_t i = 0; i < COUNT(acts); i++)
		if (acts[i].wall <= kind)
			buffer_printf(text, "%s: %s\n", acts[i].name, words_of(acts[i].error));
}

static void say_open(const char *name, const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);
	say(name, fd < 0 ? errno : 0);
	if (fd >= 0)
		close(fd);
}

/* The last one replaces the program where it works. */
static void try_files(const char *file)
{
	char path[64];
	char *const argv[] = {"true", NULL};
	char name[4096];
	say_open("a file of the user's", file, O_RDONLY);
	say_open("a file of the user's, for writing", file, O_WRONLY);
	snprintf(name, sizeof(name), "%s.new", file);
	say_open("a new file", name, O_WRONLY | O_CREAT);
	say_open("users", "/etc/passwd", O_RDONLY);
	say_open("a device", "/dev/zero", O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%ld/environ", (long)getppid());
	say_open("the parent's environment", path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%ld/mem", (long)getppid());
	say_open("the parent's memory", path, O_RDWR);
	say_open("its own program", "/proc/self/exe", O_RDONLY);
	execve("/bin/true", argv, environ);
	say("another program", errno);
}

void attempts_run(char **argv)
{
	if (strcmp(argv[1], "files") == 0)
		try_files(argv[2]);
	else
		try_calls(strcmp(argv[1], "inner") == 0 ? WALL_INNER : WALL_OUTER);
	_exit(0);
}
