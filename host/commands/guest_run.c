#include "commands/guest_run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "commands/cache_note.h"
#include "commands/env_list.h"
#include "commands/guest_check.h"
#include "commands/kept_disks.h"
#include "commands/qemu_program.h"
#include "disk/disk.h"
#include "guestfs/guestfs_read.h"
#include "support/buffer.h"
#include "support/cpu_time.h"
#include "support/fileio.h"
#include "support/printable.h"
#include "vm/guest_files.h"
#include "vm/template.h"

#define MIB (UINT64_C(1) << 20)

int guest_run_scaffold(struct tree *tree, struct error *err)
{
	static const char *const names[] = {"dev", "proc", "sys"};
	struct dentry *root = tree_root(tree);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct dentry *d = tree_find(tree, root, names[i], strlen(names[i]));
		if (d == NULL) {
			struct inode *inode = tree_inode_new(tree, S_IFDIR | 0755);
			d = tree_link(tree, root, names[i], strlen(names[i]), inode);
			d->flags |= DENTRY_SCAFFOLD;
		} else if (!inode_is_dir(d->inode)) {
			return error_set(err, ERROR_INPUT, ENOTDIR,
				"the image's /%s is no directory, so that the guest cannot mount "
				"there",
				names[i]);
		}
	}
	return 0;
}

/* The disk of the base that is in the cache, or a file there that it can be written to. */
static int open_base_disk(struct guest_run *run, struct error *err)
{
	const struct base_slot *base = run->options->base;
	int disk = base->disk;
	if (disk < 0) {
		int r = base_making_start(base, &run->making, err);
		if (r < 0)
			return r;
		disk = base_making_disk(run->making);
	}
	run->base = fcntl(disk, F_DUPFD_CLOEXEC, 3);
	return run->base >= 0 ? 0
			      : error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
}

static int size_disk(int disk, struct error *err)
{
	if (ftruncate(disk, VM_DISK_SIZE) < 0)
		return error_set_errno(err, ERROR_OUTPUT, "the guest's disk cannot be made");
	return 0;
}

static int open_own_disk(struct guest_run *run, struct error *err)
{
	run->base = file_temporary(err);
	return run->base < 0 ? run->base : size_disk(run->base, err);
}

/* The disk, of the base where it can be: a cache that cannot be written is no failure. */
static int open_disk(struct guest_run *run, struct error *err)
{
	int r = open_base_disk(run, err);
	if (r == 0 || err->kind != ERROR_OUTPUT)
		return r;
	r = cache_note(run->options->report, r, err);
	return r < 0 ? r : open_own_disk(run, err);
}

static int make_overlay(struct guest_run *run, struct error *err)
{
	run->overlay = file_temporary(err);
	return run->overlay < 0 ? run->overlay : overlay_create(run->overlay, VM_DISK_SIZE, err);
}

/* As make_disks, but for files that are gone with the run in any case. */
static int make_own_disks(struct guest_run *run, struct error *err)
{
	int r = open_own_disk(run, err);
	return r < 0 ? r : make_overlay(run, err);
}

/*
 * Files for the guest's disk, which QEMU can be given before anything is on it: both have the
 * length that they will have.
 */
static int make_disks(struct guest_run *run, struct error *err)
{
	if (run->options->keep != NULL) {
		int r = kept_disks_create(run->options->keep, &run->base, &run->overlay, err);
		if (r == 0)
			r = size_disk(run->base, err);
		return r < 0 ? r : overlay_create(run->overlay, VM_DISK_SIZE, err);
	}
	if (run->options->base == NULL)
		return make_own_disks(run, err);
	int r = open_disk(run, err);
	return r < 0 ? r : make_overlay(run, err);
}

static bool has_known_disk(const struct guest_run *run)
{
	return run->options->base != NULL && run->options->base->disk >= 0;
}

/* A job, and the one after it, in surroundings that the extras add to. */
struct job_surroundings {
	struct vm_job job;
	struct vm_job on_failure;
	char **env;
	char **on_failure_env;
};

static void free_surroundings(struct job_surroundings *surroundings)
{
	env_list_free(surroundings->env);
	env_list_free(surroundings->on_failure_env);
}

/* What the extras add to one environment is added to the other one too. */
static void surround(
	struct job_surroundings *to, const struct vm_job *job, const struct guest_extras *extras)
{
	*to = (struct job_surroundings){.job = *job, .env = env_list_copy(job->env)};
	size_t count = env_list_length(to->env);
	if (extras != NULL)
		guest_extras_add_env(extras, &to->env);
	to->job.env = (const char *const *)to->env;
	if (job->on_failure == NULL)
		return;
	to->on_failure = *job->on_failure;
	to->on_failure_env = env_list_copy(job->on_failure->env);
	for (char **added = to->env + count; *added != NULL; added++)
		env_list_set(&to->on_failure_env, *added);
	to->on_failure.env = (const char *const *)to->on_failure_env;
	to->job.on_failure = &to->on_failure;
}

/* QEMU's own line among the stages, from its start to its end: its time is not layervm's. */
static void tell_time(struct report *report, const char *name, double begin, double cpu_before)
{
	const struct report_time time = {
		.name = name,
		.begin = begin,
		.seconds = report_clock(report) - begin,
		.cpu = cpu_seconds(RUSAGE_CHILDREN) - cpu_before,
	};
	report_beside(report, &time);
	report_leave_out(report, time.cpu);
}

/* The saved guest, where there can be one. */
static int open_warm(struct guest_run *run, struct error *err)
{
	struct report *report = run->options->report;
	if (run->options->no_cache)
		return 0;
	if (run->options->base == NULL)
		cache_note_open(report, &run->own_cache);
	if (run->options->base == NULL && run->own_cache == NULL)
		return 0;
	/* One for all of a run's entries, where it can be: it knows what has gone for them. */
	run->cache = run->own_cache != NULL ? run->own_cache : run->options->base->cache;
	double begin = report_clock(report);
	double cpu_before = cpu_seconds(RUSAGE_CHILDREN);
	int r = warm_boot_open(run->cache, &run->vm_options, report, &run->warm, err);
	if (cpu_seconds(RUSAGE_CHILDREN) > cpu_before)
		tell_time(report, "template", begin, cpu_before);
	run->vm_options.template = run->warm.is_open ? &run->warm.template : NULL;
	return r;
}

static int choose_vm(struct guest_run *run, struct error *err)
{
	const struct guest_run_options *options = run->options;
	int r = guest_check(options->accel, err);
	if (r == 0)
		r = guest_files_find(&run->files, err);
	if (r < 0)
		return r;
	run->vm_options = (struct vm_options){
		.qemu = qemu_program(),
		.kernel = run->files.kernel,
		.initrd = run->files.initrd,
		.accel = options->accel,
		.memory_mib = options->memory,
		.cpus = options->cpus != 0 ? options->cpus : vm_default_cpus(options->accel),
		.timeout = options->timeout,
		.disk_fd = run->base,
		.overlay_fd = run->overlay,
		.disks_stay = options->keep != NULL,
		.log_limit = options->log_limit,
	};
	if (run->extras != NULL)
		guest_extras_apply(run->extras, &run->vm_options);
	return 0;
}

static int start_vm(struct guest_run *run, struct error *err)
{
	struct report *report = run->options->report;
	run->started = report_clock(report);
	return vm_start(&run->vm_options, report, &run->vm, err);
}

/* Starts the guest on disks that may still be empty. */
static int start(struct guest_run *run, struct error *err)
{
	struct report *report = run->options->report;
	/* A stage without a line: it is worth none, unless a guest must be saved first. */
	report_done(report);
	struct report_time time = {
		.name = "start", .begin = report_clock(report), .cpu = report_cpu(report)};
	int r = run->base < 0 ? make_disks(run, err) : 0;
	if (r == 0)
		r = choose_vm(run, err);
	if (r == 0)
		r = open_warm(run, err);
	if (r == 0)
		r = start_vm(run, err);
	time.seconds = report_clock(report) - time.begin;
	time.cpu = report_cpu(report) - time.cpu;
	report_beside(report, &time);
	return r;
}

static bool has_extras(const struct guest_run *run)
{
	return run->options->extras != NULL && extras_any(run->options->extras);
}

int guest_run_start(struct guest_run *run, struct error *err)
{
	return has_extras(run) ? 0 : start(run, err);
}

/*
 * Goes on with disks of this run alone, where the cache did not take the base's. A guest that has
 * the others by now is ended for another one: of theirs it must not see a byte.
 */
static int leave_cache(struct guest_run *run, struct error *err)
{
	bool is_started = run->vm != NULL;
	vm_free(run->vm);
	run->vm = NULL;
	base_making_free(run->making);
	run->making = NULL;
	cleanup_close_fn(&run->base);
	cleanup_close_fn(&run->overlay);
	run->base = run->overlay = -1;
	int r = make_own_disks(run, err);
	if (r < 0 || !is_started)
		return r;
	run->vm_options.disk_fd = run->base;
	run->vm_options.overlay_fd = run->overlay;
	return start_vm(run, err);
}

/* Writes the base's disk into the cache. Returns 1 where the cache cannot take it. */
static int assemble_base(struct guest_run *run, struct tree *tree, struct error *err)
{
	uint64_t size;
	int r = base_making_assemble(run->making, tree, &size, err);
	if (r == 0 || err->kind != ERROR_OUTPUT)
		return r;
	r = error_wrap(err, r, "the base's disk is made in the temporary folder instead");
	r = cache_note(run->options->report, r, err);
	if (r == 0)
		r = leave_cache(run, err);
	return r < 0 ? r : 1;
}

/* Writes the disk, wherever it is. */
static int assemble(struct guest_run *run, struct tree *tree, struct error *err)
{
	const struct disk_options disk_options = {
		.room = run->options->disk_size * MIB, .file_size = VM_DISK_SIZE};
	uint64_t size;
	if (has_known_disk(run))
		return 0;
	int r = run->making != NULL ? assemble_base(run, tree, err) : 1;
	return r <= 0 ? r : disk_assemble(tree, run->base, &disk_options, &size, err);
}

/* What only the tree tells of the guest's devices, which it waited for. */
static int start_with_extras(struct guest_run *run, struct tree *tree, struct error *err)
{
	struct report *report = run->options->report;
	const struct guest_extras_options options = {
		.report = report, .check = run->options->check};
	int r = guest_extras_prepare(run->options->extras, tree, &options, &run->extras, err);
	return r < 0 ? r : start(run, err);
}

int guest_run_assemble(struct guest_run *run, struct tree *tree, struct error *err)
{
	int r = guest_run_scaffold(tree, err);
	if (r == 0 && has_extras(run))
		r = start_with_extras(run, tree, err);
	else if (r == 0 && run->base < 0)
		r = make_disks(run, err);
	if (r < 0)
		return r;
	report_stage(run->options->report, "assemble", "a disk of %llu entries%s",
		(unsigned long long)tree_count(tree),
		has_known_disk(run) ? ", which the cache has" : "");
	return assemble(run, tree, err);
}

void guest_run_publish(struct guest_run *run)
{
	if (run->making != NULL)
		base_making_publish(run->making);
}

/* Has the guest do its job; one that is not there yet is started now. */
static int do_job(struct guest_run *run, const struct vm_job *job, struct vm_outcome *outcome,
	struct error *err)
{
	__attribute__((cleanup(free_surroundings))) struct job_surroundings surroundings;
	surround(&surroundings, job, run->extras);
	struct disk_state disk = {0};
	int r = run->vm == NULL ? start(run, err) : 0;
	if (r == 0)
		r = disk_state(run->base, &disk, err);
	if (r < 0)
		return r;
	run->vm_options.disk_size = disk.size;
	run->vm_options.disk_inodes = disk.inodes;
	double cpu_before = cpu_seconds(RUSAGE_CHILDREN);
	r = vm_continue(run->vm, &surroundings.job, outcome, err);
	tell_time(run->options->report, "guest", run->started, cpu_before);
	if (run->extras != NULL)
		guest_extras_tell_lost(run->extras);
	if (outcome->template_bad)
		warm_boot_discard(run->cache, &run->warm);
	return r;
}

int guest_run_boot(struct guest_run *run, const struct vm_job *job, const char *what,
	struct vm_outcome *outcome, struct error *err)
{
	const struct guest_run_options *options = run->options;
	if (options->keep != NULL) {
		int r = kept_disks_describe(options->keep, job, options->memory, err);
		if (r < 0)
			return r;
	}
	report_stage(options->report, "run", "%s in a guest of %u MiB", what, options->memory);
	if (job->kind == VM_JOB_SHELL)
		report_note(options->report,
			"`exit` ends the shell; Ctrl-] three times, or ~. on a new line, leaves at "
			"once");
	if (job->streams != NULL)
		report_leave(options->report);
	return do_job(run, job, outcome, err);
}

static int restore(const void *context, struct tree *tree, struct error *err)
{
	return guest_extras_restore(context, tree, err);
}

/* By now the disk should be in the cache; that it is not is worth a line. */
static int finish_base(struct guest_run *run, struct error *err)
{
	if (run->making == NULL)
		return 0;
	int r = base_making_finish(run->making, err);
	return cache_note(run->options->report, r, err);
}

/* The paths were read from the guest's disk. */
static void warn_of_sockets(struct report *report, const struct disk_sockets *sockets)
{
	char path[DISK_SOCKET_PATH_MAX];
	cleanup_buffer struct buffer paths = {0};
	if (sockets->count == 0)
		return;
	for (size_t i = 0; i < DISK_SOCKETS_NAMED && i < sockets->count; i++) {
		printable_copy(path, sizeof(path), sockets->paths[i]);
		buffer_printf(&paths, "%s%s", i == 0 ? "" : ", ", path);
	}
	if (sockets->count > DISK_SOCKETS_NAMED)
		buffer_printf(&paths, " and %llu more",
			(unsigned long long)(sockets->count - DISK_SOCKETS_NAMED));
	report_warning(report, "%.*s: %s, which an image cannot hold; left out", (int)paths.len,
		(const char *)paths.data, sockets->count == 1 ? "is a socket" : "are sockets");
}

int guest_run_diff(struct guest_run *run, struct tree *tree, const struct guest_changes *wanted,
	struct changes *changes, struct layer_info *info, struct error *err)
{
	int r = finish_base(run, err);
	if (r < 0)
		return r;
	struct disk_sockets sockets = {0};
	const struct confined_diff what = {
		.sockets = &sockets,
		.base = run->base,
		.overlay = run->overlay,
		.settle = run->extras != NULL ? restore : NULL,
		.context = run->extras,
		.layer = wanted->layer,
		.layer_options = wanted->layer_options,
		.list = wanted->list,
	};
	if (run->options->reader == GUEST_READER_OWN) {
		r = confined_diff(tree, &what, changes, info, err);
		if (r == 0)
			warn_of_sockets(run->options->report, &sockets);
		return r;
	}
	r = guestfs_reread(tree, run->base, run->overlay, err);
	return r < 0 ? r : confined_diff_write(tree, &what, changes, info, err);
}
