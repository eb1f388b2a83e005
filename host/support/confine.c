#include "support/confine.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

int confine_process(pid_t parent, struct error *err)
{
	static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
	const struct rlimit no_core = {0, 0};
	for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++)
		signal(caught[i], SIG_IGN);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot set a process up");
	if (getppid() != parent)
		_exit(125);
	return 0;
}

int confine_size(uint64_t max, struct error *err)
{
	struct rlimit limit;
	signal(SIGXFSZ, SIG_IGN);
	if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot read a limit of a process");
	/* Without a limit the number is the largest that there is. */
	if (max > limit.rlim_max)
		max = limit.rlim_max;
	if (max > limit.rlim_cur)
		max = limit.rlim_cur;
	limit = (struct rlimit){.rlim_cur = max, .rlim_max = max};
	if (setrlimit(RLIMIT_FSIZE, &limit) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot limit the files of a process");
	return 0;
}

static int compare_fds(const void *a, const void *b)
{
	int fd_a = *(const int *)a, fd_b = *(const int *)b;
	return (fd_a > fd_b) - (fd_a < fd_b);
}

/* Closes those from first up to last, which is one of them. */
static int close_between(unsigned first, unsigned last)
{
	if (!CONFINE_CALLS && first <= STDERR_FILENO) {
		for (; first < STDERR_FILENO && first <= last; first++)
			close((int)first);
		first = STDERR_FILENO + 1;
	}
	return first <= last ? close_range(first, last, 0) : 0;
}

int confine_files(int *fds, size_t count, struct error *err)
{
	int r = 0;
	unsigned next = 0; /* all below are closed or kept */
	if (count > 0)
		qsort(fds, count, sizeof(*fds), compare_fds);
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (fds[i] < 0 || (unsigned)fds[i] < next)
			continue;
		if ((unsigned)fds[i] > next)
			r = close_between(next, (unsigned)fds[i] - 1);
		next = (unsigned)fds[i] + 1;
	}
	if (r == 0)
		r = close_between(next, ~0U);
	if (r < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot close descriptors");
	return 0;
}

static void filter_cleanup(scmp_filter_ctx *filter)
{
	if (*filter != NULL)
		seccomp_release(*filter);
}

static int allow_all(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int add_rules(scmp_filter_ctx filter, const struct confinement *allowed)
{
	static const int always[] = {SCMP_SYS(exit), SCMP_SYS(exit_group),
		SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigreturn)};
	static const int memory[] = {
		SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise)};
	int r = allow_all(filter, always, sizeof(always) / sizeof(always[0]));
	if (r == 0)
		r = allow_all(filter, allowed->calls, allowed->call_count);
	if (r == 0 && allowed->memory)
		r = allow_all(filter, memory, sizeof(memory) / sizeof(memory[0]));
	if (r == 0 && allowed->memory)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
			SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_SHARED, 0));
	for (size_t i = 0; r == 0 && i < allowed->writable_count; i++) {
		if (allowed->writable[i] >= 0)
			r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
				SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)allowed->writable[i], 0));
	}
	return r;
}

int confine_calls(const struct confinement *allowed, struct error *err)
{
	if (!CONFINE_CALLS)
		return 0;
	__attribute__((cleanup(filter_cleanup))) scmp_filter_ctx filter =
		seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return error_set(err, ERROR_INTERNAL, ENOMEM, "cannot make a seccomp filter");
	int r = add_rules(filter, allowed);
	if (r == 0)
		r = seccomp_load(filter);
	if (r < 0)
		return error_set(err, ERROR_INTERNAL, -r,
			"cannot filter the system calls of a process: %s", strerror(-r));
	return 0;
}
