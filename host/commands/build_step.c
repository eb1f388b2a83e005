#include "commands/build_step.h"

#include "commands/cache_note.h"
#include "commands/step_cache.h"
#include "commands/step_key.h"
#include "support/report.h"

static int tell(const struct build_step *step, int r, struct error *err)
{
	return cache_note(step->options->report, r, err);
}

int build_step_find(
	struct build_step *step, struct build_result *result, int *layer, struct error *err)
{
	const struct build_options *options = step->options;
	struct step_result found;
	if (step->cache == NULL || !step_is_repeatable(options))
		return 0;
	int r = step_key(options, step->base, &step->key, err);
	/* What cannot be read now stops the run itself, in better words. */
	if (r < 0)
		return err->kind == ERROR_INTERRUPTED ? r : 0;
	step->has_key = true;
	r = step_cache_find(step->cache, &step->key, options->report, &found, layer, err);
	if (r <= 0)
		return tell(step, r, err);
	result->cached = true;
	result->layer = found.layer;
	result->changes = found.changes;
	report_stage(
		options->report, "cached", "runAsRoot, which is not run again; --no-cache runs it");
	return 0;
}

int build_step_keep(const struct build_step *step, const struct build_result *result, int layer,
	struct error *err)
{
	struct digest after;
	const struct step_result finished = {.layer = result->layer, .changes = result->changes};
	if (!step->has_key)
		return 0;
	/* The files were read once for the key and once more for the guest. */
	int r = step_key(step->options, step->base, &after, err);
	if (r == 0 && !digest_equal(&after, &step->key))
		return 0;
	if (r == 0)
		r = step_cache_put(step->cache, &step->key, &finished, layer, err);
	return tell(step, r, err);
}
