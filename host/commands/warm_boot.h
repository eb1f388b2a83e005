/* Saved guests (vm/template.h) in the user's cache: found, made at their first use, thrown away. */
#ifndef LAYERVM_COMMANDS_WARM_BOOT_H
#define LAYERVM_COMMANDS_WARM_BOOT_H

#include <stdbool.h>

#include "cache/cache.h"
#include "support/error.h"
#include "support/report.h"
#include "vm/vm.h"

#define WARM_BOOT_MEMORY_KIND "warm-memory"
#define WARM_BOOT_STATE_KIND "warm-state"

/* A template that is open. WARM_BOOT_NONE holds nothing. */
struct warm_boot {
	struct digest key;
	int memory, state;
	struct vm_template template;
	bool is_open;
};
#define WARM_BOOT_NONE ((struct warm_boot){.memory = -1, .state = -1})

/*
 * Opens the template for a run, which is made first where there is none. Whatever is in the way is
 * no error but an interrupt: then nothing is open, the report has a line, and the guest boots. One
 * that the cache does not keep is this run's alone; where that is for its size, no later run makes
 * one until the cache's limits would let it stay; where there was no room, until there is more
 * (warm_refusal.h). vm_options: accel decides as in vm_run.
 */
int warm_boot_open(const struct cache *cache, const struct vm_options *vm_options,
	struct report *report, struct warm_boot *warm, struct error *err);

/* Removes an open template that was of no use from the cache; another run's in its place stays. */
void warm_boot_discard(const struct cache *cache, const struct warm_boot *warm);

void warm_boot_close(struct warm_boot *warm);
#define cleanup_warm_boot __attribute__((cleanup(warm_boot_close)))

#endif
