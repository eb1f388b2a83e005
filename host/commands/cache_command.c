#include "commands/cache_command.h"

#include <errno.h>
#include <unistd.h>

#include "cache/prune.h"
#include "commands/cache_options.h"
#include "commands/cache_show.h"
#include "commands/cache_verify.h"
#include "commands/cache_warm.h"
#include "commands/size_text.h"
#include "support/shown.h"

/* What is told of a prune, while it goes on. */
struct pruning {
	struct report *report;
	size_t removed;
	uint64_t bytes;
};

static void tell(void *context, const struct cache_item *item, enum cache_fate fate)
{
	struct pruning *pruning = context;
	char key[DIGEST_TEXT_SIZE], size[SIZE_TEXT_SIZE];
	digest_hex(&item->key, key);
	if (fate == CACHE_BUSY) {
		report_note(pruning->report, "%s %s: stays: it is in use", item->kind, key);
		return;
	}
	pruning->removed++;
	pruning->bytes += item->allocated;
	report_note(pruning->report, "%s %s: is removed, %s", item->kind, key,
		size_text(item->allocated, size));
}

/*
 * With a limit that was given, entries go until it is kept; else all that were named go, and
 * without --all and KIND as many as the usual limits say.
 */
static int prune(const struct cache *cache, const struct cache_options *options, struct error *err)
{
	const struct cache_bound *max_size = &options->max_size, *min_free = &options->min_free;
	bool is_bound = max_size->is_given || min_free->is_given;
	bool is_usual = !is_bound && !options->all && options->kind == NULL;
	const struct cache_limits *usual = cache_limits(cache);
	struct pruning pruning = {.report = options->report};
	const struct cache_prune_options prune_options = {
		.kind = options->kind,
		.kept_too = options->all,
		.has_limits = is_bound || is_usual,
		.limits =
			{
				.max_size = max_size->is_given ? max_size->bytes
					    : is_usual         ? usual->max_size
							       : UINT64_MAX,
				.min_free = min_free->is_given ? min_free->bytes
					    : is_usual         ? usual->min_free
							       : 0,
			},
		.tell = tell,
		.context = &pruning,
	};
	char size[SIZE_TEXT_SIZE];
	int r = cache_prune(cache, &prune_options, err);
	report_note(options->report, "%zu %s removed, %s", pruning.removed,
		pruning.removed == 1 ? "entry" : "entries", size_text(pruning.bytes, size));
	return r;
}

static int act(const struct cache *cache, const struct cache_options *options, FILE *out,
	struct error *err)
{
	switch (options->action) {
	case CACHE_LS:
		return cache_show_entries(cache, options->format, out, err);
	case CACHE_DU:
		return cache_show_usage(cache, options->format, out, err);
	case CACHE_PRUNE:
		return prune(cache, options, err);
	case CACHE_VERIFY:
		return cache_verify(cache, options->report, err);
	case CACHE_WARM:
		return cache_warm(cache, options, err);
	case CACHE_ACTIONS:
		break;
	}
	return error_set(err, ERROR_INTERNAL, EINVAL, "there is no such action");
}

static int run(const struct cache_options *options, struct error *err)
{
	cleanup_cache struct cache *cache = NULL;
	cleanup_shown struct shown *shown = shown_open();
	int r = cache_open(&cache, err);
	if (r == 0)
		r = act(cache, options, shown_stream(shown), err);
	return shown_finish(shown, r, err);
}

int command_cache(int argc, char **argv)
{
	cleanup_cache_options struct cache_options options = {0};
	struct error err;
	int r = cache_options_parse(argc, argv, STDERR_FILENO, &options, &err);
	if (r == 0 && options.help)
		return argv_show_help(&cache_argv, options.report);
	if (r == 0)
		r = run(&options, &err);
	if (r < 0)
		report_error(options.report, &err);
	return r < 0 ? error_exit_status(&err) : 0;
}
