#include "vm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "support/memory.h"
#include "vm/qemu_args.h"

_Static_assert(QEMU_FD_FURTHER + VM_FURTHER_MAX <= PROCESS_FDS_MAX, "QEMU's descriptors");

struct machine *machine_new(void)
{
	struct machine *machine = xcalloc(1, sizeof(*machine));
	machine->process = PROCESS_NONE;
	machine->channel = -1;
	machine->console = -1;
	machine->messages = -1;
	return machine;
}

void machine_free(struct machine *machine)
{
	if (machine == NULL)
		return;
	process_kill(&machine->process);
	cleanup_close_fn(&machine->channel);
	cleanup_close_fn(&machine->console);
	cleanup_close_fn(&machine->messages);
	free(machine);
}

/* A pair of connected sockets: ours does not block, QEMU's is as QEMU wants it. */
static int make_pair(int *ours, int *theirs, struct error *err)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot make a pair of sockets");
	*ours = pair[0];
	*theirs = pair[1];
	if (fcntl(*ours, F_SETFL, O_NONBLOCK) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "cannot set a socket up");
	return 0;
}

/* Descriptors that were opened for a run of QEMU and are of no use here after its start. */
struct disk_fds {
	int fds[1 + VM_FURTHER_MAX];
	size_t count;
};

static void disk_fds_close(struct disk_fds *disks)
{
	for (size_t i = 0; i < disks->count; i++)
		close(disks->fds[i]);
}

/*
 * A descriptor for a disk that cannot write: QEMU wants one opened just so, and a guest that
 * broke out of QEMU shall not find a better one. It is added to disks.
 */
static int open_read_only(struct disk_fds *disks, int fd, struct error *err)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, O_RDONLY | O_CLOEXEC);
	if (again < 0)
		return error_set_errno(err, ERROR_INTERNAL, "a disk cannot be opened again");
	disks->fds[disks->count++] = again;
	return 0;
}

/* Opens the disks that the guest reads only; the base is the first. */
static int open_disks(const struct vm_options *options, struct disk_fds *disks, struct error *err)
{
	int r = open_read_only(disks, options->disk_fd, err);
	for (size_t i = 0; r == 0 && i < options->further_count; i++)
		r = open_read_only(disks, options->further[i], err);
	return r;
}

/* What a qcow2 file of 4 KiB clusters can take: the disk, and 10 bytes of tables for a cluster. */
static int overlay_limit(int disk_fd, uint64_t *limit, struct error *err)
{
	struct stat st;
	if (fstat(disk_fd, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "the base disk cannot be looked at");
	uint64_t size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	if (__builtin_add_overflow(size, size / 64 + (16u << 20), limit))
		*limit = UINT64_MAX;
	return 0;
}

int machine_start(struct machine *machine, const struct vm_options *options, enum vm_accel accel,
	struct error *err)
{
	cleanup_qemu_args struct qemu_args args = {0};
	cleanup_close int channel = -1;
	cleanup_close int console = -1;
	cleanup_close int messages = -1;
	__attribute__((cleanup(disk_fds_close))) struct disk_fds disks = {.count = 0};
	machine->boot_seconds =
		accel == VM_ACCEL_KVM ? MACHINE_BOOT_SECONDS_KVM : MACHINE_BOOT_SECONDS_TCG;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null: cannot be opened");
	int r = qemu_args_make(&args, options, accel, err);
	if (r == 0)
		r = make_pair(&machine->channel, &channel, err);
	if (r == 0)
		r = make_pair(&machine->console, &console, err);
	if (r == 0)
		r = make_pair(&machine->messages, &messages, err);
	if (r < 0)
		return r;
	r = open_disks(options, &disks, err);
	if (r < 0)
		return r;
	struct process_options process = {
		.program = options->qemu,
		.argv = args.argv,
		.fds =
			{
				[STDIN_FILENO] = null,
				[STDOUT_FILENO] = messages,
				[STDERR_FILENO] = messages,
				[QEMU_FD_CHANNEL] = channel,
				[QEMU_FD_CONSOLE] = console,
				[QEMU_FD_DISK] = disks.fds[0],
				[QEMU_FD_OVERLAY] = options->overlay_fd,
			},
		.fd_count = QEMU_FD_FURTHER + options->further_count,
	};
	memcpy(&process.fds[QEMU_FD_FURTHER], &disks.fds[1],
		options->further_count * sizeof(process.fds[0]));
	r = overlay_limit(options->disk_fd, &process.file_limit, err);
	if (r < 0)
		return r;
	return process_start(&process, &machine->process, err);
}
