#include "commands/warm_boot.h"

#include <errno.h>
#include <fcntl.h>

#include "cache/claim.h"
#include "commands/cache_note.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/template.h"

/* How many are kept: for the sizes and devices of guests that are used in turn. */
#define KEPT 8

/* How long another run's making of one is waited for: it takes some three, when busy more. */
#define WAIT_SECONDS 60

void warm_boot_close(struct warm_boot *warm)
{
	cleanup_close_fn(&warm->memory);
	cleanup_close_fn(&warm->state);
	warm->is_open = false;
}

void warm_boot_discard(const struct cache *cache, const struct warm_boot *warm)
{
	struct error ignored;
	cache_remove(cache, WARM_BOOT_STATE_KIND, &warm->key, &ignored);
	cache_remove(cache, WARM_BOOT_MEMORY_KIND, &warm->template.memory, &ignored);
}

/* Opens what is there for the key; -ENOENT where there is nothing. */
static int find(
	const struct cache *cache, enum vm_accel accel, struct warm_boot *warm, struct error *err)
{
	int r = cache_find(cache, WARM_BOOT_STATE_KIND, &warm->key, O_RDONLY, &warm->state, err);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	r = template_read(warm->state, accel, &warm->template, err);
	if (r < 0)
		return r;
	/* A memory is found by what it holds: it is the state's own in any case. */
	const struct digest *memory = &warm->template.memory;
	r = cache_find(cache, WARM_BOOT_MEMORY_KIND, memory, O_RDWR, &warm->memory, err);
	warm->template.memory_fd = warm->memory;
	return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

static int make(const struct cache *cache, const struct vm_options *options,
	const struct digest *key, struct error *err)
{
	cleanup_cache_entry struct cache_entry *memory = NULL;
	cleanup_cache_entry struct cache_entry *state = NULL;
	struct vm_template template;
	int r = cache_start(cache, WARM_BOOT_MEMORY_KIND, &memory, err);
	if (r == 0)
		r = cache_start(cache, WARM_BOOT_STATE_KIND, &state, err);
	if (r == 0)
		r = template_make(options, cache_entry_fd(memory), cache_entry_fd(state), err);
	if (r == 0)
		r = template_read(cache_entry_fd(state), options->accel, &template, err);
	if (r == 0)
		r = cache_publish(memory, &template.memory, err);
	if (r == 0)
		r = cache_publish(state, key, err);
	if (r == 0)
		r = cache_trim(cache, WARM_BOOT_MEMORY_KIND, KEPT, err);
	return r < 0 ? r : cache_trim(cache, WARM_BOOT_STATE_KIND, KEPT, err);
}

/* Waits for another run that makes it: that takes no longer than to make one. */
static int claim(const struct cache *cache, const struct digest *key, struct report *report,
	struct cache_claim *claim, struct error *err)
{
	if (cache_claim_take(cache, WARM_BOOT_STATE_KIND, key, claim))
		return 0;
	report_note(report, "guest: another run saves it after its boot; waiting for that");
	int r = cache_claim_wait(claim, WAIT_SECONDS, err);
	return r < 0 ? r : 0;
}

/* What is there but of no use is made anew, once. */
static int open_template(const struct cache *cache, const struct vm_options *options,
	struct report *report, struct warm_boot *warm, struct error *err)
{
	int r = template_check(options, err);
	if (r == 0)
		r = template_key(options, &warm->key, err);
	if (r < 0)
		return r;
	if (find(cache, options->accel, warm, err) == 0)
		return 0;
	cleanup_cache_claim struct cache_claim making = CACHE_CLAIM_NONE;
	r = claim(cache, &warm->key, report, &making, err);
	if (r < 0)
		return r;
	warm_boot_close(warm);
	if (find(cache, options->accel, warm, err) == 0)
		return 0;
	warm_boot_discard(cache, warm);
	warm_boot_close(warm);
	report_note(report, "guest: is saved after its boot, for later runs");
	r = make(cache, options, &warm->key, err);
	if (r == 0)
		r = find(cache, options->accel, warm, err);
	return r == -ENOENT ? error_set(err, ERROR_INTERNAL, ENOENT, "it is gone again") : r;
}

int warm_boot_open(const struct cache *cache, const struct vm_options *vm_options,
	struct report *report, struct warm_boot *warm, struct error *err)
{
	struct vm_options options = *vm_options;
	options.accel = vm_choose_accel(vm_options->accel);
	*warm = WARM_BOOT_NONE;
	int r = open_template(cache, &options, report, warm, err);
	if (r == 0) {
		warm->is_open = true;
		return 0;
	}
	if (err->kind == ERROR_INTERRUPTED)
		return r;
	if (cache_note_is_news(report, r))
		report_note(report, "guest: boots, because a saved one cannot be used: %s",
			err->message);
	else
		report_note(report, "guest: boots, because it cannot be saved");
	warm_boot_discard(cache, warm);
	warm_boot_close(warm);
	return 0;
}
