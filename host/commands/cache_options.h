/* What `layervm cache` is asked for, as one checked structure. */
#ifndef LAYERVM_COMMANDS_CACHE_OPTIONS_H
#define LAYERVM_COMMANDS_CACHE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "commands/argv.h"
#include "commands/flag_fields.h"
#include "commands/progress.h"
#include "spec/extras.h"
#include "vm/vm.h"

enum cache_action {
	CACHE_LS,
	CACHE_DU,
	CACHE_PRUNE,
	CACHE_VERIFY,
	CACHE_WARM,
	CACHE_ACTIONS,
};

enum cache_format { CACHE_TEXT, CACHE_JSON };

/* A limit that a flag may set. */
struct cache_bound {
	bool is_given;
	uint64_t bytes;
};

struct cache_options {
	bool help; /* only report is set besides */
	struct report *report;
	enum progress progress;
	bool quiet;

	enum cache_action action;           /* CACHE_ACTIONS: none was named */
	const char *misfits[CACHE_ACTIONS]; /* of each, a flag that was given and is not for it */

	enum cache_format format; /* of CACHE_LS and CACHE_DU */

	bool all; /* from here on of CACHE_PRUNE */
	struct cache_bound max_size;
	struct cache_bound min_free;
	char *kind; /* NULL: all */

	char *from; /* from here on of CACHE_WARM. Path; NULL: no base */
	struct image_choice image;
	uint32_t disk_size; /* MiB; 0, as the next two: as a build has it without a flag */
	uint32_t memory;    /* MiB */
	unsigned cpus;
	enum vm_accel accel;
	struct guest_extras_spec extras; /* mounts and the network alone */
};

/* For argv.h and the tests of --help. */
extern const struct argv_command cache_argv;

/* As export_options_parse and export_options_free. */
int cache_options_parse(
	int argc, char **argv, int report_fd, struct cache_options *options, struct error *err);
void cache_options_free(struct cache_options *options);
#define cleanup_cache_options __attribute__((cleanup(cache_options_free)))

#endif
