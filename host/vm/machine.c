#include "vm/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "support/memory.h"
#include "vm/process.h"
#include "vm/qemu_args.h"

/* A machine's state without its memory takes less than half a megabyte. */
#define STATE_MAX (64u << 20)

_Static_assert(QEMU_FD_COUNT <= PROCESS_FDS_MAX, "QEMU's descriptors");

struct machine *machine_new(void)
{
	struct machine *machine = xcalloc(1, sizeof(*machine));
	machine->qemu = CHILD_NONE;
	machine->channel = -1;
	machine->console = -1;
	machine->messages = -1;
	machine->qmp.fd = -1;
	return machine;
}

void machine_free(struct machine *machine)
{
	if (machine == NULL)
		return;
	child_kill(&machine->qemu);
	cleanup_close_fn(&machine->channel);
	cleanup_close_fn(&machine->console);
	cleanup_close_fn(&machine->messages);
	qmp_free(&machine->qmp);
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

/* Opens the disks that the guest only reads itself; the base is the first. */
static int open_disks(const struct vm_options *options, struct disk_fds *disks, struct error *err)
{
	int r = open_read_only(disks, options->disk_fd, err);
	for (size_t i = 0; r == 0 && i < options->further_count; i++) {
		if (!options->further[i].writable)
			r = open_read_only(disks, options->further[i].fd, err);
	}
	return r;
}

/* What a qcow2 file of 4 KiB clusters can take: the disk, and 10 bytes of tables for a cluster. */
static uint64_t overlay_limit(uint64_t size)
{
	uint64_t limit;
	return __builtin_add_overflow(size, size / 64 + (16u << 20), &limit) ? UINT64_MAX : limit;
}

static int disk_size(int fd, uint64_t *size, struct error *err)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "a disk cannot be looked at");
	*size = st.st_size > 0 ? (uint64_t)st.st_size : 0;
	return 0;
}

/* The longest that a file of QEMU's may become. */
static int file_limit(const struct vm_options *options, uint64_t *limit, struct error *err)
{
	uint64_t size = options->disk_size;
	int r = size == 0 ? disk_size(options->disk_fd, &size, err) : 0;
	*limit = overlay_limit(size);
	for (size_t i = 0; r == 0 && i < options->further_count; i++) {
		if (!options->further[i].writable && options->further[i].overlay_fd < 0)
			continue;
		size = options->further[i].size;
		if (size == 0)
			r = disk_size(options->further[i].fd, &size, err);
		if (overlay_limit(size) > *limit)
			*limit = overlay_limit(size);
	}
	return r;
}

int machine_limit_files(
	const struct machine *machine, const struct vm_options *options, struct error *err)
{
	uint64_t limit;
	int r = file_limit(options, &limit, err);
	return r < 0 ? r : process_limit_files(&machine->qemu, limit, err);
}

/* Disks, their overlays and the network at their numbers. */
static void place_disks(const struct vm_options *options, const struct disk_fds *disks, int *fds)
{
	size_t opened = 1;
	fds[QEMU_FD_DISK] = disks->fds[0];
	fds[QEMU_FD_OVERLAY] = options->overlay_fd;
	for (size_t i = 0; i < options->further_count; i++) {
		const struct vm_disk *disk = &options->further[i];
		fds[QEMU_FD_FURTHER + i] = disk->writable ? disk->fd : disks->fds[opened++];
		if (disk->overlay_fd >= 0)
			fds[QEMU_FD_FURTHER_OVERLAY + i] = disk->overlay_fd;
	}
	if (options->network != NULL)
		fds[QEMU_FD_NETWORK] = options->network->fd;
}

int machine_start(struct machine *machine, const struct vm_options *options, enum vm_accel accel,
	enum qemu_start start, int memory, struct error *err)
{
	cleanup_qemu_args struct qemu_args args = {0};
	cleanup_close int channel = -1;
	cleanup_close int console = -1;
	cleanup_close int messages = -1;
	cleanup_close int control = -1;
	__attribute__((cleanup(disk_fds_close))) struct disk_fds disks = {.count = 0};
	machine->boot_seconds =
		accel == VM_ACCEL_KVM ? MACHINE_BOOT_SECONDS_KVM : MACHINE_BOOT_SECONDS_TCG;
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null: cannot be opened");
	int r = qemu_args_make(&args, options, accel, start, err);
	if (r == 0)
		r = make_pair(&machine->channel, &channel, err);
	if (r == 0)
		r = make_pair(&machine->console, &console, err);
	if (r == 0)
		r = make_pair(&machine->messages, &messages, err);
	if (r == 0 && start != QEMU_BOOT)
		r = make_pair(&machine->qmp.fd, &control, err);
	if (r < 0)
		return r;
	if (start != QEMU_SAVE)
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
			},
		.fd_count = QEMU_FD_COUNT,
		.file_limit = STATE_MAX,
		.readable = {options->kernel, options->initrd},
	};
	for (size_t i = QEMU_FD_CONSOLE + 1; i < QEMU_FD_COUNT; i++)
		process.fds[i] = null;
	if (start != QEMU_BOOT) {
		process.fds[QEMU_FD_CONTROL] = control;
		process.fds[QEMU_FD_MEMORY] = memory;
		process.memory_fd = memory;
	}
	if (start != QEMU_SAVE) {
		place_disks(options, &disks, process.fds);
		r = file_limit(options, &process.file_limit, err);
	}
	if (r < 0)
		return r;
	return process_start(&process, &machine->qemu, err);
}
