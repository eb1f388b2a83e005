#include <errno.h>
#include <string.h>

#include "commands/argv.h"
#include "commands/build_flags.h"
#include "spec/json_text.h"
#include "support/memory.h"
#include "support/utf8.h"

static int take_operand(void *target, const char *value, struct error *err)
{
	struct build_flags *flags = target;
	if (flags->spec_path != NULL) {
		cleanup_free char *first = json_text_quote(flags->spec_path);
		cleanup_free char *second = json_text_quote(value);
		return error_set(err, ERROR_USAGE, EINVAL,
			"one SPEC.json is taken, here are %s and %s", first, second);
	}
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "the path of SPEC.json is empty");
	flags->spec_path = value;
	return 0;
}

static int run_take(
	struct build_flags *flags, const struct flag *flag, const char *value, struct error *err)
{
	if (flag->extras != NULL)
		return flag->extras(&flags->options->spec->extras, value, err);
	if (flag->config == NULL)
		return flag->take(flags, value, err);
	if (!utf8_is_valid(value, strlen(value)))
		return error_set(
			err, ERROR_USAGE, EILSEQ, "is no UTF-8, which image configs are in");
	return flag->config(flags->options->spec, value, err);
}

static int take_flag(
	void *target, const struct argv_flag *argv_flag, const char *value, struct error *err)
{
	struct build_flags *flags = target;
	const struct flag *flag = (const struct flag *)argv_flag;
	if (!flag->over_spec)
		return run_take(flags, flag, value, err);
	flags->pending = array_grow(flags->pending, flags->pending_count, &flags->pending_capacity,
		sizeof(*flags->pending));
	flags->pending[flags->pending_count++] =
		(struct pending_flag){.flag = flag, .value = value};
	return 0;
}

const struct argv_command build_argv = {
	.name = "build",
	.usage = "Usage: layervm build [SPEC.json|-] [FLAG...] -o FILE\n\n"
		 "Builds an image: a base, files and a script that runs as root in a throwaway\n"
		 "virtual machine give a new layer. SPEC.json holds the attributes of\n"
		 "dockerTools.buildImage; flags win over it, or do without it.\n",
	.more = "layervm-build(1) and layervm-spec(5) tell the rest.",
	.flags = build_flag_table,
	.flag_size = sizeof(build_flag_table[0]),
	.flag_count = BUILD_FLAG_COUNT,
	.take = take_flag,
	.operand = take_operand,
};

int build_flags_collect(struct build_flags *flags, int argc, char **argv, struct error *err)
{
	return argv_parse(&build_argv, argc, argv, flags, &flags->options->help, err);
}

int build_flags_apply(struct build_flags *flags, struct error *err)
{
	for (size_t i = 0; i < flags->pending_count; i++) {
		const struct pending_flag *pending = &flags->pending[i];
		int r = run_take(flags, pending->flag, pending->value, err);
		if (r < 0)
			return argv_flag_error(&pending->flag->is, r, err);
	}
	return 0;
}

int build_options_show_help(struct report *report)
{
	return argv_show_help(&build_argv, report);
}
