#include "vm/template.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "protocol.h"
#include "support/child.h"
#include "support/clock.h"
#include "support/fileio.h"
#include "support/identity.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "vm/qmp.h"
#include "vm/saved_memory.h"

#define CHUNK (1u << 20)
#define MIB (UINT64_C(1) << 20)
#define MAGIC_SIZE 32
#define STATE_NAME "the saved guest's state"
#define END_MS 2000 /* for a QEMU whose saving failed to end */

/* What a state file begins with; QEMU's bytes follow. */
struct state_header {
	char magic[MAGIC_SIZE];
	struct digest memory;
	uint64_t memory_bytes;
	struct digest sum; /* of what is before it, and of QEMU's bytes */
};

static const char state_magic[MAGIC_SIZE] = "layervm template 3\n";

static int check_disk(int fd, const char *name, struct error *err)
{
	struct stat st;
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot be looked at", name);
	if (st.st_size != (off_t)VM_DISK_SIZE)
		return error_set(err, ERROR_LIMIT, EINVAL,
			"%s: its file is %lld bytes long, and a saved guest takes its disks for "
			"%llu",
			name, (long long)st.st_size, (unsigned long long)VM_DISK_SIZE);
	return 0;
}

int template_check(const struct vm_options *options, struct error *err)
{
	int r = check_disk(options->disk_fd, "the guest's disk", err);
	for (size_t i = 0; r == 0 && i < options->further_count; i++) {
		char name[64];
		snprintf(name, sizeof(name), "the guest's further disk %zu", i + 1);
		r = check_disk(options->further[i].fd, name, err);
	}
	return r;
}

/* -- the key ---------------------------------------------------------------------------------- */

static int add_file(struct buffer *text, const char *path, struct error *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot be looked at", path);
	struct file_identity identity = file_identity(&st);
	buffer_printf(text, "%s\n", path);
	buffer_add(text, &identity, sizeof(identity));
	return 0;
}

/* Disks as the guest knows them: whether one can be written, and not which file takes that. */
static void copy_further(const struct vm_options *options, struct vm_disk to[static VM_FURTHER_MAX])
{
	for (size_t i = 0; i < options->further_count && i < VM_FURTHER_MAX; i++) {
		const struct vm_disk *disk = &options->further[i];
		to[i] = (struct vm_disk){.fd = -1,
			.overlay_fd = -1,
			.writable = disk->writable || disk->overlay_fd >= 0};
	}
}

static int add_arguments(struct buffer *text, const struct vm_options *given, struct error *err)
{
	static const enum qemu_start starts[] = {QEMU_SAVE, QEMU_RESTORE};
	struct vm_disk further[VM_FURTHER_MAX];
	struct vm_options options = *given;
	copy_further(given, further);
	options.further = further;
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		cleanup_qemu_args struct qemu_args args = {0};
		int r = qemu_args_make(&args, &options, options.accel, starts[i], err);
		if (r < 0)
			return r;
		for (char **arg = args.argv; *arg != NULL; arg++)
			buffer_printf(text, "%s\n", *arg);
	}
	return 0;
}

int template_key(const struct vm_options *options, struct digest *key, struct error *err)
{
	cleanup_buffer struct buffer text = {0};
	struct utsname name;
	cleanup_free char *qemu = child_find(options->qemu);
	if (qemu == NULL)
		return error_set(err, ERROR_QEMU, ENOENT,
			"%s not found; install the package qemu-system-x86", options->qemu);
	if (uname(&name) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "uname");
	buffer_printf(&text, "%s%d\n%s %s %s %s\n", state_magic, PROTOCOL_VERSION, name.nodename,
		name.release, name.version, name.machine);
	int r = add_file(&text, qemu, err);
	if (r == 0)
		r = add_file(&text, options->kernel, err);
	if (r == 0)
		r = add_file(&text, options->initrd, err);
	if (r == 0)
		r = add_arguments(&text, options, err);
	if (r == 0)
		*key = digest_of(text.data, text.len);
	return r;
}

/* -- digests ---------------------------------------------------------------------------------- */

static int hash_state(
	int fd, const struct state_header *header, struct digest *digest, struct error *err)
{
	cleanup_free uint8_t *buffer = xmalloc(CHUNK);
	cleanup_hasher struct hasher *hasher = hasher_new();
	uint64_t at = sizeof(*header);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return error_set_errno(err, ERROR_INPUT, STATE_NAME ": cannot be looked at");
	hasher_add(hasher, header, offsetof(struct state_header, sum));
	while (at < (uint64_t)st.st_size) {
		uint64_t left = (uint64_t)st.st_size - at;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		int r = file_read_at(fd, buffer, n, at, STATE_NAME, err);
		if (r < 0)
			return r;
		hasher_add(hasher, buffer, n);
		at += n;
	}
	*digest = hasher_finish(hasher);
	return 0;
}

/* -- saving ----------------------------------------------------------------------------------- */

static int no_guest(struct error *err)
{
	return error_set(
		err, ERROR_GUEST, EPROTO, "the guest that was to be saved did not come up");
}

/* Waits until there is something from the guest. */
static int wait_for_guest(const struct machine *machine, int64_t deadline, struct error *err)
{
	for (;;) {
		struct pollfd fds[] = {{.fd = machine->channel, .events = POLLIN},
			{.fd = machine->qemu.pidfd, .events = POLLIN},
			{.fd = interrupt_fd(), .events = POLLIN}};
		int64_t left = deadline - clock_ms();
		int r = interrupt_check(err);
		if (r < 0)
			return r;
		if (left <= 0)
			return no_guest(err);
		r = poll(fds, 3, (int)left);
		if (r < 0 && errno != EINTR)
			return error_set_errno(err, ERROR_INTERNAL, "cannot wait for QEMU");
		if (r > 0 && fds[1].revents != 0)
			return no_guest(err);
		if (r > 0 && fds[0].revents != 0)
			return 0;
	}
}

static int receive(
	const struct machine *machine, void *to, size_t len, int64_t deadline, struct error *err)
{
	size_t have = 0;
	while (have < len) {
		ssize_t n = recv(machine->channel, (char *)to + have, len - have, 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return no_guest(err);
		have += n > 0 ? (size_t)n : 0;
		int r = n < 0 ? wait_for_guest(machine, deadline, err) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

/* Its HELLO, or why there is none. */
static int await_hello(const struct machine *machine, int64_t deadline, struct error *err)
{
	uint8_t head[FRAME_HEADER_SIZE];
	char words[FRAME_TEXT_MAX + 1] = "";
	int r = receive(machine, head, sizeof(head), deadline, err);
	if (r < 0)
		return r;
	struct frame_header header = frame_header_get(head);
	if (!frame_header_valid(&header) || header.length > FRAME_TEXT_MAX ||
		(header.type != FRAME_HELLO && header.type != FRAME_FAILURE))
		return no_guest(err);
	r = receive(machine, words, header.length, deadline, err);
	if (r < 0 || header.type == FRAME_HELLO)
		return r;
	return error_set(
		err, ERROR_GUEST, EIO, "the guest that was to be saved did not come up: %s", words);
}

/* QEMU is to be ready in the time that a guest has to come up. */
static struct qmp *control(struct machine *machine)
{
	machine->qmp.deadline = clock_ms() + (int64_t)machine->boot_seconds * 1000;
	return &machine->qmp;
}

static int save(struct machine *machine, int state, struct error *err)
{
	int status;
	struct qmp *qmp = control(machine);
	int r = qmp_greet(qmp, err);
	if (r == 0)
		r = await_hello(machine, qmp->deadline, err);
	if (r == 0)
		r = qmp_execute(qmp, "stop", err);
	if (r == 0 && lseek(state, sizeof(struct state_header), SEEK_SET) < 0)
		r = error_set_errno(err, ERROR_INTERNAL, STATE_NAME ": cannot seek");
	if (r == 0)
		r = qmp_save(qmp, state, err);
	if (r == 0)
		r = qmp_execute(qmp, "quit", err);
	if (r == 0)
		r = child_wait(&machine->qemu, &status, err);
	if (r == 0 && status != 0)
		r = error_set(
			err, ERROR_QEMU, ECHILD, "QEMU did not end well after it saved a guest");
	return r;
}

/*
 * Whether QEMU's end was that of a program that writes to a mapped file for which there is no room.
 * One that has closed its channels is about to end, and one that has not is asked to.
 */
static bool ended_for_room(struct child *qemu)
{
	struct pollfd end = {.fd = qemu->pidfd, .events = POLLIN};
	struct error ignored;
	int status;
	child_terminate(qemu);
	if (poll(&end, 1, END_MS) <= 0 || child_wait(qemu, &status, &ignored) < 0)
		return false;
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

static bool is_full(int fd)
{
	struct statvfs fs;
	return fstatvfs(fd, &fs) == 0 && fs.f_blocks != 0 &&
	       (uint64_t)fs.f_bavail * fs.f_frsize < MIB;
}

/* Bytes that a file takes; 0 where it does not say. */
static uint64_t bytes_taken(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 ? file_allocated(&st) : 0;
}

/* Leaves nothing in the files, and says so where QEMU could write no more of the memory. */
static int fail_to_save(struct machine *machine, int memory, int state, int r, struct error *err)
{
	bool had_qemu = machine->qemu.pid >= 0 && err->kind != ERROR_INTERRUPTED;
	bool full = had_qemu && (ended_for_room(&machine->qemu) || is_full(memory));
	uint64_t taken = bytes_taken(memory);
	child_kill(&machine->qemu);
	/* A file that QEMU was confined to may outlive it and all its descriptors for a while. */
	(void)!ftruncate(memory, 0);
	(void)!ftruncate(state, 0);
	if (!full)
		return r;
	return error_set(err, ERROR_OUTPUT, ENOSPC,
		SAVED_MEMORY_NAME
		": its file takes no more after %llu MiB, as on a full file system",
		(unsigned long long)(taken / MIB));
}

/* Digests of the files, which are complete, into the header. */
static int finish(int memory, int state, struct error *err)
{
	struct state_header header = {0};
	memcpy(header.magic, state_magic, sizeof(state_magic));
	int r = saved_memory_trim(memory, err);
	if (r == 0)
		r = saved_memory_digest(memory, &header.memory, err);
	header.memory_bytes = htole64(bytes_taken(memory));
	if (r == 0)
		r = hash_state(state, &header, &header.sum, err);
	return r < 0 ? r : file_write_at(state, &header, sizeof(header), 0, STATE_NAME, err);
}

int template_make(const struct vm_options *options, int memory, int state, struct error *err)
{
	cleanup_machine struct machine *machine = machine_new();
	if (ftruncate(memory, (off_t)options->memory_mib << 20) < 0)
		return error_set_errno(err, ERROR_OUTPUT, SAVED_MEMORY_NAME ": cannot be made");
	int r = machine_start(machine, options, options->accel, QEMU_SAVE, memory, err);
	if (r == 0)
		r = save(machine, state, err);
	if (r == 0)
		r = finish(memory, state, err);
	return r < 0 ? fail_to_save(machine, memory, state, r, err) : 0;
}

/* -- restoring -------------------------------------------------------------------------------- */

int template_read(int state, enum vm_accel accel, struct vm_template *template, struct error *err)
{
	struct state_header header;
	struct digest found;
	int r = file_read_at(state, &header, sizeof(header), 0, STATE_NAME, err);
	if (r < 0)
		return r;
	if (memcmp(header.magic, state_magic, sizeof(state_magic)) != 0)
		return error_set(err, ERROR_INPUT, EINVAL, STATE_NAME ": is something else");
	r = hash_state(state, &header, &found, err);
	if (r == 0)
		r = digest_expect(&header.sum, &found, STATE_NAME, "digest", err);
	if (r == 0)
		*template = (struct vm_template){.accel = accel,
			.memory = header.memory,
			.memory_bytes = le64toh(header.memory_bytes),
			.memory_fd = -1,
			.state_fd = state};
	return r;
}

int template_check_memory(int memory, const struct digest *digest, struct error *err)
{
	struct digest found;
	int r = saved_memory_digest(memory, &found, err);
	return r < 0 ? r : digest_expect(digest, &found, SAVED_MEMORY_NAME, "digest", err);
}

/* The check of the memory, beside QEMU's start. */
struct check {
	const struct vm_template *template;
	int result;
	struct error err;
};

static void *run_check(void *data)
{
	struct check *check = data;
	const struct vm_template *template = check->template;
	check->result = template_check_memory(template->memory_fd, &template->memory, &check->err);
	return NULL;
}

static int load(struct qmp *qmp, const struct vm_template *template, struct error *err)
{
	int r = qmp_greet(qmp, err);
	if (r == 0 && lseek(template->state_fd, sizeof(struct state_header), SEEK_SET) < 0)
		r = error_set_errno(err, ERROR_INTERNAL, STATE_NAME ": cannot seek");
	return r < 0 ? r : qmp_load(qmp, template->state_fd, err);
}

int template_load(struct machine *machine, const struct vm_template *template, struct error *err)
{
	struct check check = {.template = template};
	pthread_t thread;
	struct qmp *qmp = control(machine);
	bool beside = pthread_create(&thread, NULL, run_check, &check) == 0;
	int r = load(qmp, template, err);
	if (beside)
		pthread_join(thread, NULL);
	else
		run_check(&check);
	/* A memory that is damaged explains whatever else went wrong. */
	bool damaged = check.result < 0 && check.err.kind == ERROR_INPUT;
	if (check.result < 0 && (r == 0 || (damaged && err->kind != ERROR_INTERRUPTED))) {
		*err = check.err;
		r = check.result;
	}
	return r;
}

/* Whether QEMU, which has ended or is about to, did so by itself: on what it was given. */
static bool ended_by_itself(struct machine *machine)
{
	struct pollfd end = {.fd = machine->qemu.pidfd, .events = POLLIN};
	struct error ignored;
	if (machine->qemu.pid >= 0 &&
		(poll(&end, 1, END_MS) <= 0 ||
			child_wait(&machine->qemu, &machine->status, &ignored) < 0))
		return false;
	if (!WIFSIGNALED(machine->status))
		return true;
	switch (WTERMSIG(machine->status)) {
	case SIGSEGV:
	case SIGABRT:
	case SIGILL:
	case SIGFPE:
		return true;
	default:
		return false;
	}
}

bool template_is_blamed(struct machine *machine, int r, const struct error *err)
{
	if (r == -ETIMEDOUT)
		return false;
	if (err->kind == ERROR_INPUT || err->kind == ERROR_GUEST || err->kind == ERROR_MEMORY)
		return true;
	if (err->kind != ERROR_QEMU || !machine->qmp.greeted)
		return false;
	/* A refusal is an answer; where there is none, its end tells. */
	return r == -EPROTO || r == -EIO || ended_by_itself(machine);
}

int template_continue(struct machine *machine, struct error *err)
{
	return qmp_execute(control(machine), "cont", err);
}
