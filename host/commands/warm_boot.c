#include "commands/warm_boot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "commands/cache_note.h"
#include "commands/cache_turn.h"
#include "commands/warm_refusal.h"
#include "support/fileio.h"
#include "support/identity.h"
#include "support/memory.h"
#include "vm/template.h"

#define MIB (UINT64_C(1) << 20)

/* How many are kept: for the sizes and devices of guests that are used in turn. */
#define KEPT 8

/* No saved guest takes less: the kernel alone has so much of its memory. */
#define SMALLEST (32 * MIB)

/* Seconds that saving one takes at the very most, on a machine that is busy. */
#define KVM_PATIENCE 10
#define TCG_PATIENCE 60

void warm_boot_close(struct warm_boot *warm)
{
	cleanup_close_fn(&warm->memory);
	cleanup_close_fn(&warm->state);
	warm->memory = warm->state = -1;
	warm->is_open = false;
}

/* What another run has put in its place meanwhile stays. */
static void remove_current(
	const struct cache *cache, const char *kind, const struct digest *key, int fd)
{
	struct error ignored;
	if (cache_is_current(cache, kind, key, fd))
		(void)cache_remove(cache, kind, key, &ignored);
}

void warm_boot_discard(const struct cache *cache, const struct warm_boot *warm)
{
	remove_current(cache, WARM_BOOT_STATE_KIND, &warm->key, warm->state);
	remove_current(cache, WARM_BOOT_MEMORY_KIND, &warm->template.memory, warm->memory);
}

static int too_large(const struct cache *cache, uint64_t bytes, struct error *err)
{
	return error_set(err, ERROR_OUTPUT, EFBIG,
		"it takes %llu MiB, more than half of the %llu MiB that all of the cache may take "
		"(LAYERVM_CACHE_MAX_SIZE)",
		(unsigned long long)(bytes / MIB),
		(unsigned long long)(cache_limits(cache)->max_size / MIB));
}

/* -- one that is there ------------------------------------------------------------------------ */

/* Returns 1, 0 where there is none, or an error. One that is damaged goes, with a note. */
static int find_state(const struct cache *cache, enum vm_accel accel, struct report *report,
	struct warm_boot *warm, struct error *err)
{
	int r = cache_find(cache, WARM_BOOT_STATE_KIND, &warm->key, O_RDONLY, &warm->state, err);
	if (r <= 0)
		return r;
	r = template_read(warm->state, accel, &warm->template, err);
	if (r == 0)
		return 1;
	if (err->kind != ERROR_INPUT)
		return r;
	report_note(report, "cache: %s; it is made anew", err->message);
	warm_boot_discard(cache, warm);
	warm_boot_close(warm);
	return 0;
}

/*
 * Returns 1, 0 where there is none, or an error. A state without its memory, which limits have
 * removed, goes; but where the cache would not take the memory either, it is what tells that.
 */
static int find(const struct cache *cache, enum vm_accel accel, struct report *report,
	struct warm_boot *warm, struct error *err)
{
	int r = find_state(cache, accel, report, warm, err);
	if (r <= 0)
		return r;
	/* A memory is found by what it holds: it is the state's own in any case. */
	struct vm_template *template = &warm->template;
	r = cache_find(cache, WARM_BOOT_MEMORY_KIND, &template->memory, O_RDWR, &warm->memory, err);
	template->memory_fd = warm->memory;
	if (r != 0)
		return r;
	if (!cache_would_keep(cache, template->memory_bytes))
		return too_large(cache, template->memory_bytes, err);
	warm_boot_discard(cache, warm);
	warm_boot_close(warm);
	return 0;
}

/* -- one that is made ------------------------------------------------------------------------- */

/* What can be known before a try, which takes as long as a boot. */
static int check_room(const struct cache *cache, const struct digest *key, struct error *err)
{
	uint64_t free_space = cache_free_space(cache_fd(cache));
	if (!cache_would_keep(cache, SMALLEST))
		return too_large(cache, SMALLEST, err);
	if (free_space < SMALLEST)
		return error_set(err, ERROR_OUTPUT, ENOSPC,
			"it takes %llu MiB or more, and the cache's file system has %llu free",
			(unsigned long long)(SMALLEST / MIB),
			(unsigned long long)(free_space / MIB));
	return warm_refusal_check(cache, key, err);
}

static int copy_fd(const struct cache_entry *entry, int *fd, struct error *err)
{
	*fd = fcntl(cache_entry_fd(entry), F_DUPFD_CLOEXEC, 3);
	return *fd >= 0 ? 0 : error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
}

/* Saves a guest, which the caller goes on from whether the cache takes it or not. */
static int save(const struct vm_options *options, const struct cache_entry *memory,
	const struct cache_entry *state, struct report *report, struct warm_boot *warm,
	struct error *err)
{
	report_note(report, "guest: is saved after its boot, for later runs");
	int r = template_make(options, cache_entry_fd(memory), cache_entry_fd(state), err);
	if (r == 0)
		r = copy_fd(memory, &warm->memory, err);
	if (r == 0)
		r = copy_fd(state, &warm->state, err);
	if (r == 0)
		r = template_read(warm->state, options->accel, &warm->template, err);
	warm->template.memory_fd = warm->memory;
	return r;
}

/*
 * The state of a memory that is too large is kept, and tells that to later runs. Returns why the
 * cache has no room for what it would keep, which the report has been told; or 0.
 */
static int publish(const struct cache *cache, struct cache_entry *memory, struct cache_entry *state,
	struct report *report, const struct warm_boot *warm)
{
	struct error err, ignored;
	int r = cache_publish(memory, &warm->template.memory, &err);
	if (r < 0 && !cache_would_keep(cache, warm->template.memory_bytes))
		(void)cache_publish(state, &warm->key, &ignored);
	else if (r == 0)
		r = cache_publish(state, &warm->key, &err);
	cache_note(report, r, &err);
	(void)cache_trim(cache, WARM_BOOT_MEMORY_KIND, KEPT, &ignored);
	(void)cache_trim(cache, WARM_BOOT_STATE_KIND, KEPT, &ignored);
	return cache_would_keep(cache, warm->template.memory_bytes) ? r : 0;
}

/* Returns as make does. */
static int cannot_save(struct report *report, int r, const struct error *err)
{
	if (err->kind == ERROR_INTERRUPTED)
		return r;
	report_note(report, "guest: boots, because it cannot be saved: %s", err->message);
	return 0;
}

/* Remembers how a try ended; before it so much was free. */
static void remember(
	const struct cache *cache, const struct digest *key, int r, uint64_t free_space)
{
	if (r == -ENOSPC || r == -EDQUOT)
		warm_refusal_put(cache, key, free_space);
	else if (r == 0)
		warm_refusal_remove(cache, key);
}

/* Returns 1, 0 where none can be saved, which the report has been told, or an error. */
static int make(const struct cache *cache, const struct vm_options *options, struct report *report,
	struct warm_boot *warm, struct error *err)
{
	cleanup_cache_entry struct cache_entry *memory = NULL;
	cleanup_cache_entry struct cache_entry *state = NULL;
	int r = cache_start(cache, WARM_BOOT_MEMORY_KIND, &memory, err);
	if (r == 0)
		r = cache_start(cache, WARM_BOOT_STATE_KIND, &state, err);
	if (r < 0)
		return r;
	uint64_t free_space = cache_free_space(cache_fd(cache));
	r = save(options, memory, state, report, warm, err);
	if (r < 0) {
		remember(cache, &warm->key, r, free_space);
		return cannot_save(report, r, err);
	}
	remember(cache, &warm->key, publish(cache, memory, state, report, warm), free_space);
	return 1;
}

/*
 * In a file system in memory, a hole of the saved memory that a guest reads becomes a page of the
 * file for good, though the guest has it mapped privately; where there is no room for one, QEMU is
 * ended in the middle of the run.
 */
static int check_holes(const struct cache *cache, int memory, struct error *err)
{
	struct statfs fs;
	struct stat st;
	if (fstatfs(memory, &fs) < 0 || fs.f_type != TMPFS_MAGIC || fstat(memory, &st) < 0)
		return 0;
	uint64_t taken = file_allocated(&st);
	uint64_t holes = (uint64_t)st.st_size > taken ? (uint64_t)st.st_size - taken : 0;
	uint64_t free_space = cache_free_space(cache_fd(cache));
	if (free_space >= holes)
		return 0;
	return error_set(err, ERROR_OUTPUT, EFBIG,
		"the cache is in memory, where a run may take %llu MiB for it, and %llu are free",
		(unsigned long long)(holes / MIB), (unsigned long long)(free_space / MIB));
}

/* -- both ------------------------------------------------------------------------------------- */

/* Returns as make does. */
static int open_template(const struct cache *cache, const struct vm_options *options,
	struct report *report, struct warm_boot *warm, struct error *err)
{
	cleanup_cache_claim struct cache_claim making = CACHE_CLAIM_NONE;
	int r = template_check(options, err);
	if (r == 0)
		r = template_key(options, &warm->key, err);
	if (r == 0)
		r = find(cache, options->accel, report, warm, err);
	if (r != 0)
		return r;
	/* Nobody is to wait for what cannot be. */
	r = check_room(cache, &warm->key, err);
	if (r < 0)
		return cannot_save(report, r, err);
	const struct cache_turn turn = {
		.kind = WARM_BOOT_STATE_KIND,
		.key = warm->key,
		.what = "the saved guest",
		.patience = options->accel == VM_ACCEL_KVM ? KVM_PATIENCE : TCG_PATIENCE,
	};
	r = cache_turn_take(cache, &turn, report, &making, err);
	if (r == 0)
		r = find(cache, options->accel, report, warm, err);
	if (r != 0)
		return r;
	/* What the other run, that was waited for, has found out. */
	r = check_room(cache, &warm->key, err);
	return r < 0 ? cannot_save(report, r, err) : make(cache, options, report, warm, err);
}

int warm_boot_open(const struct cache *cache, const struct vm_options *vm_options,
	struct report *report, struct warm_boot *warm, struct error *err)
{
	struct vm_options options = *vm_options;
	options.accel = vm_choose_accel(vm_options->accel);
	*warm = WARM_BOOT_NONE;
	int r = open_template(cache, &options, report, warm, err);
	if (r > 0) {
		r = check_holes(cache, warm->memory, err);
		warm->is_open = r == 0;
		if (r == 0)
			return 0;
	}
	warm_boot_close(warm);
	if (r == 0 || err->kind == ERROR_INTERRUPTED)
		return r;
	if (cache_note_is_news(report, r))
		report_note(report, "guest: boots, because a saved one cannot be used: %s",
			err->message);
	else
		report_note(report, "guest: boots, because it cannot be saved");
	return 0;
}
