/* The flags of `layervm build`, for argv.h. Seen by the files of build_options.h only. */
#ifndef LAYERVM_COMMANDS_BUILD_FLAGS_H
#define LAYERVM_COMMANDS_BUILD_FLAGS_H

#include <stdlib.h>

#include "commands/argv.h"
#include "commands/build_options.h"
#include "commands/progress.h"
#include "commands/run_flags.h"

struct flag;

/* A flag that waits for the spec. */
struct pending_flag {
	const struct flag *flag;
	const char *value; /* in argv; NULL: it takes none */
};

/* What is known while flags are read. */
struct build_flags {
	struct build_options *options;
	const char *spec_path; /* in argv; NULL: no SPEC.json was named */
	enum progress progress;
	bool quiet;
	bool copies_given;
	bool run_given;
	bool extra_commands_given;
	struct pending_flag *pending; /* in the order of argv */
	size_t pending_count;
	size_t pending_capacity;
};

struct flag {
	struct argv_flag is; /* first, for argv.h */
	bool over_spec;      /* waits for the spec */
	/* What the flag does; all are NULL for --help. config sets a part of the spec's config,
	 * extras of its extras (run_flags.h). */
	int (*take)(struct build_flags *flags, const char *value, struct error *err);
	int (*config)(struct build_spec *spec, const char *value, struct error *err);
	int (*extras)(void *extras, const char *value, struct error *err);
};

#define BUILD_FLAG_COUNT (48 + RUN_FLAGS_COUNT)
extern const struct flag build_flag_table[BUILD_FLAG_COUNT];

/* For argv.h and the tests of --help; the target is a struct build_flags. */
extern const struct argv_command build_argv;

/*
 * Reads argv: flags of the run are set at once, those of the spec are put into pending. Ends
 * early at --help. Errors are ERROR_USAGE and begin with the flag.
 */
int build_flags_collect(struct build_flags *flags, int argc, char **argv, struct error *err);

/* Lays the pending flags over options->spec. */
int build_flags_apply(struct build_flags *flags, struct error *err);

static inline void cleanup_build_flags_fn(struct build_flags *flags)
{
	free(flags->pending);
}
#define cleanup_build_flags __attribute__((cleanup(cleanup_build_flags_fn)))

#endif
