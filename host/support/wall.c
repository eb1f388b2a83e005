#include "support/wall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the calls' numbers and the order of their arguments' bytes are those of x86-64"
#endif

/*
 * Calls that are refused are listed, and not those that are allowed: each version of QEMU, of its
 * libraries and of libc has its own of these, and QEMU's own sandbox is made in the same way. What
 * a list cannot know are calls that later kernels add, some of which do again what an older call
 * does (open_tree_attr, 467). So all calls after the last one that was looked at do not exist.
 */
#define LAST_CALL 456 /* futex_requeue, of Linux 6.7; numbers of x32 are larger too */

/* Calls without which programs go on in another way. */
static const uint16_t missing[] = {
	SYS_clone3, /* its flags lie in memory, where no filter sees them: libc then takes clone */
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
};

static const uint16_t refused_outer[] = {
	/* Other processes. */
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_process_madvise,
	SYS_process_mrelease,
	SYS_pidfd_getfd,
	SYS_kcmp,
	SYS_migrate_pages,
	SYS_move_pages,
	SYS_get_robust_list,
	/* Parts of the kernel that a program without rights reaches. */
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_keyctl,
	SYS_add_key,
	SYS_request_key,
	SYS_modify_ldt,
	SYS_remap_file_pages,
	SYS_memfd_secret,
	SYS_lookup_dcookie,
	SYS_syslog,
	SYS_uselib,
	SYS_ustat,
	SYS_sysfs,
	SYS__sysctl,
	SYS_nfsservctl,
	/* Mounts, by the calls that are younger than mount; and namespaces of other processes. */
	SYS_open_tree,
	SYS_move_mount,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	SYS_mount_setattr,
	SYS_setns,
	/* What only root may do, and layervm may have been started by root. */
	SYS_kexec_load,
	SYS_kexec_file_load,
	SYS_create_module,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_get_kernel_syms,
	SYS_query_module,
	SYS_swapon,
	SYS_swapoff,
	SYS_reboot,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_clock_adjtime,
	SYS_adjtimex,
	SYS_acct,
	SYS_quotactl,
	SYS_quotactl_fd,
	SYS_iopl,
	SYS_ioperm,
	SYS_vhangup,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_name_to_handle_at,
	SYS_open_by_handle_at,
	SYS_fanotify_init,
	SYS_fanotify_mark,
	/* A file without a name as a program. */
	SYS_execveat,
};

static const uint16_t refused_inner[] = {
	/* Namespaces and mounts; clone has a rule below. */
	SYS_unshare,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	/* Processes; clone and the calls for signals have rules below. */
	SYS_fork,
	SYS_vfork,
	SYS_tkill,
	SYS_pidfd_open,
	SYS_pidfd_send_signal,
	SYS_setpgid, /* layervm ends QEMU's process group */
	SYS_setsid,
	SYS_setpriority,
	SYS_ioprio_set,
	SYS_sched_setaffinity,
	SYS_sched_setattr,
	SYS_sched_setparam,
	SYS_sched_setscheduler,
	/* Users and rights. */
	SYS_setuid,
	SYS_setgid,
	SYS_setreuid,
	SYS_setregid,
	SYS_setresuid,
	SYS_setresgid,
	SYS_setfsuid,
	SYS_setfsgid,
	SYS_setgroups,
	SYS_capset,
	/*
	 * Sockets of any kind. Those to the user's own services, as the session bus and the agent
	 * for keys, are files to which Landlock lets everybody connect; and a pair of datagram
	 * sockets could be connected to them.
	 */
	SYS_socket,
	SYS_socketpair,
	SYS_connect,
	SYS_bind,
	SYS_listen,
	SYS_accept,
	SYS_accept4,
	/* Memory, semaphores and queues that the user's processes share by name. */
	SYS_shmget,
	SYS_shmat,
	SYS_shmctl,
	SYS_semget,
	SYS_semop,
	SYS_semtimedop,
	SYS_semctl,
	SYS_msgget,
	SYS_msgsnd,
	SYS_msgrcv,
	SYS_msgctl,
	SYS_mq_open,
	SYS_mq_unlink,
	/* What belongs to a file beside its bytes: Landlock leaves all that to the user's rights.
	 */
	SYS_chmod,
	SYS_fchmod,
	SYS_fchmodat,
	452, /* fchmodat2 */
	SYS_chown,
	SYS_lchown,
	SYS_fchown,
	SYS_fchownat,
	SYS_setxattr,
	SYS_lsetxattr,
	SYS_fsetxattr,
	SYS_removexattr,
	SYS_lremovexattr,
	SYS_fremovexattr,
	SYS_utime,
	SYS_utimes,
	SYS_futimesat,
	SYS_utimensat,
	SYS_inotify_init,
	SYS_inotify_init1,
	SYS_inotify_add_watch,
	/* Names of files, for kernels without Landlock, or with its first versions. */
	SYS_truncate,
	SYS_mknod,
	SYS_mknodat,
	SYS_mkdir,
	SYS_mkdirat,
	SYS_rmdir,
	SYS_link,
	SYS_linkat,
	SYS_symlink,
	SYS_symlinkat,
	SYS_unlink,
	SYS_unlinkat,
	SYS_rename,
	SYS_renameat,
	SYS_renameat2,
	/* Pages of files moved without a copy. */
	SYS_splice,
	SYS_vmsplice,
	SYS_tee,
};

/* Calls that are refused for some values of an argument. */
enum condition {
	REFUSED_IF,        /* argument & mask is the value */
	REFUSED_UNLESS,    /* it is */
	REFUSED_TO_OTHERS, /* it is unless the argument is the number of the calling process */
};

struct argument_rule {
	uint16_t call;
	uint8_t argument; /* its low 32 bits alone count: so the kernel takes all these */
	enum condition condition;
	uint32_t mask, value;
};

#define ALL_BITS UINT32_MAX
#define NAMESPACES                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
		CLONE_NEWPID | CLONE_NEWNET)

static const struct argument_rule rules_inner[] = {
	/* KVM's guests cause many of these: a call's place in the filter is its time. */
	{SYS_ioctl, 1, REFUSED_IF, ALL_BITS, TIOCSTI}, /* writes what a terminal then reads */
	{SYS_ioctl, 1, REFUSED_IF, ALL_BITS, TIOCLINUX},
	{SYS_ioctl, 1, REFUSED_IF, ALL_BITS, FIOSETOWN}, /* has signals sent to another process */
	{SYS_ioctl, 1, REFUSED_IF, ALL_BITS, SIOCSPGRP},
	{SYS_fcntl, 1, REFUSED_IF, ALL_BITS, F_SETOWN},
	{SYS_fcntl, 1, REFUSED_IF, ALL_BITS, F_SETOWN_EX},
	{SYS_fcntl, 1, REFUSED_IF, ALL_BITS, F_SETSIG},
	/* A thread of this process is all that may be made. */
	{SYS_clone, 0, REFUSED_UNLESS, CLONE_THREAD | NAMESPACES, CLONE_THREAD},
	{SYS_kill, 0, REFUSED_TO_OTHERS, ALL_BITS, 0},
	{SYS_tgkill, 0, REFUSED_TO_OTHERS, ALL_BITS, 0},
	{SYS_rt_sigqueueinfo, 0, REFUSED_TO_OTHERS, ALL_BITS, 0},
	{SYS_rt_tgsigqueueinfo, 0, REFUSED_TO_OTHERS, ALL_BITS, 0},
	{SYS_prlimit64, 0, REFUSED_UNLESS, ALL_BITS, 0}, /* 0: the calling process */
	/* QEMU is to end with layervm. */
	{SYS_prctl, 0, REFUSED_IF, ALL_BITS, PR_SET_PDEATHSIG},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a filter can come to: a list takes its calls and 2 instructions, a rule 6 at most. */
_Static_assert(14 + COUNT(missing) + COUNT(refused_outer) + COUNT(refused_inner) +
			       6 * COUNT(rules_inner) <=
		       WALL_CODE_MAX,
	"the filter's instructions");
_Static_assert(COUNT(refused_outer) <= UINT8_MAX && COUNT(refused_inner) <= UINT8_MAX,
	"the distance of a jump");
_Static_assert(COUNT(rules_inner) <= WALL_OWN_MAX, "the filter's rules with the own number");

#define FAILS_WITH(code) (SECCOMP_RET_ERRNO | (uint32_t)(code))

static void put(struct wall *wall, struct sock_filter instruction)
{
	wall->code[wall->count++] = instruction;
}

static void load(struct wall *wall, size_t offset)
{
	put(wall, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset));
}

static void answer(struct wall *wall, uint32_t action)
{
	put(wall, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, action));
}

/* Goes on `over` instructions later unless the accumulator is the value. */
static void skip_unless(struct wall *wall, uint32_t value, uint8_t over)
{
	put(wall, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, over));
}

/* The accumulator holds the call's number, before and after a list. */
static void put_list(struct wall *wall, const uint16_t *calls, size_t count, uint32_t action)
{
	for (size_t i = 0; i < count; i++)
		put(wall, (struct sock_filter)BPF_JUMP(
				  BPF_JMP | BPF_JEQ | BPF_K, calls[i], (uint8_t)(count - i), 0));
	put(wall, (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 1));
	answer(wall, action);
}

/* One argument's rules for a call: at `rules`, and as many after it as are for the same call. */
static size_t put_rules(struct wall *wall, const struct argument_rule *rules, size_t count)
{
	size_t same = 1, start = wall->count;
	while (same < count && rules[same].call == rules[0].call)
		same++;
	skip_unless(wall, rules[0].call, 0); /* its distance is known below */
	load(wall, offsetof(struct seccomp_data, args) + rules[0].argument * sizeof(uint64_t));
	if (rules[0].mask != ALL_BITS)
		put(wall, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, rules[0].mask));
	for (size_t i = 0; i < same; i++) {
		if (rules[i].condition == REFUSED_TO_OTHERS)
			wall->own[wall->own_count++] = wall->count;
		skip_unless(wall, rules[i].value, 1);
		answer(wall,
			rules[i].condition == REFUSED_IF ? FAILS_WITH(EPERM) : SECCOMP_RET_ALLOW);
	}
	answer(wall, rules[0].condition == REFUSED_IF ? SECCOMP_RET_ALLOW : FAILS_WITH(EPERM));
	wall->code[start].jf = (uint8_t)(wall->count - start - 1);
	return same;
}

void wall_make(enum wall_kind kind, struct wall *wall)
{
	wall->count = wall->own_count = 0;
	load(wall, offsetof(struct seccomp_data, arch));
	put(wall, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
	answer(wall, FAILS_WITH(ENOSYS));
	load(wall, offsetof(struct seccomp_data, nr));
	put(wall, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST_CALL, 0, 1));
	answer(wall, FAILS_WITH(ENOSYS));
	for (size_t i = 0; kind == WALL_INNER && i < COUNT(rules_inner);)
		i += put_rules(wall, rules_inner + i, COUNT(rules_inner) - i);
	put_list(wall, missing, COUNT(missing), FAILS_WITH(ENOSYS));
	put_list(wall, refused_outer, COUNT(refused_outer), FAILS_WITH(EPERM));
	if (kind == WALL_INNER)
		put_list(wall, refused_inner, COUNT(refused_inner), FAILS_WITH(EPERM));
	answer(wall, SECCOMP_RET_ALLOW);
}

int wall_enter(const struct wall *wall)
{
	struct sock_filter code[WALL_CODE_MAX];
	const struct sock_fprog program = {.len = (unsigned short)wall->count, .filter = code};
	memcpy(code, wall->code, wall->count * sizeof(*code));
	for (size_t i = 0; i < wall->own_count; i++)
		code[wall->own[i]].k = (uint32_t)getpid();
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? errno : 0;
}
