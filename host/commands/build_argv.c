#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "commands/build_flags.h"
#include "spec/json_text.h"
#include "spec/nearest.h"
#include "support/memory.h"
#include "support/utf8.h"

/* getopt_long's val for the flag at an index of the table: out of the range of letters. */
#define VAL_BASE 256

/* getopt's tables, made of ours. */
struct getopt_tables {
	struct option longs[BUILD_FLAG_COUNT + 1];
	char shorts[2 * BUILD_FLAG_COUNT + 3];
};

static void fill_tables(struct getopt_tables *tables)
{
	size_t count = 0;
	char *shorts = tables->shorts;
	/* Operands come as they stand, POSIXLY_CORRECT or not; a missing value gives ':'. */
	*shorts++ = '-';
	*shorts++ = ':';
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		const struct flag *flag = &build_flag_table[i];
		if (flag->name == NULL)
			continue;
		tables->longs[count++] = (struct option){
			.name = flag->name,
			.has_arg = flag->argument != NULL ? required_argument : no_argument,
			.val = VAL_BASE + (int)i,
		};
		if (flag->letter == '\0')
			continue;
		*shorts++ = flag->letter;
		if (flag->argument != NULL)
			*shorts++ = ':';
	}
	tables->longs[count] = (struct option){0};
	*shorts = '\0';
}

/* The flag of a value that getopt_long gave; NULL: it is none. */
static const struct flag *find_flag(int val)
{
	if (val >= VAL_BASE)
		return &build_flag_table[val - VAL_BASE];
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		if (val != '\0' && build_flag_table[i].letter == val)
			return &build_flag_table[i];
	}
	return NULL;
}

static int unknown_flag(const char *word, int letter, struct error *err)
{
	if (letter != '\0')
		return error_set(err, ERROR_USAGE, EINVAL,
			"-%c: there is no such flag; layervm build --help lists them", letter);
	cleanup_free char *name = xstrndup(word + 2, strcspn(word + 2, "="));
	struct nearest nearest = nearest_start(name);
	size_t beginnings = 0;
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		if (build_flag_table[i].name == NULL)
			continue;
		beginnings += strncmp(build_flag_table[i].name, name, strlen(name)) == 0;
		nearest_try(&nearest, build_flag_table[i].name);
	}
	if (beginnings > 1)
		return error_set(err, ERROR_USAGE, EINVAL,
			"--%s: is the beginning of %zu flags; layervm build --help lists them",
			name, beginnings);
	if (nearest.best != NULL)
		return error_set(err, ERROR_USAGE, EINVAL,
			"--%s: there is no such flag; did you mean --%s?", name, nearest.best);
	return error_set(err, ERROR_USAGE, EINVAL,
		"--%s: there is no such flag; layervm build --help lists them", name);
}

static int take_operand(struct build_flags *flags, const char *value, struct error *err)
{
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
	int r;
	if (flag->config == NULL)
		r = flag->take(flags, value, err);
	else if (!utf8_is_valid(value, strlen(value)))
		r = error_set(err, ERROR_USAGE, EILSEQ, "is no UTF-8, which image configs are in");
	else
		r = flag->config(flags->options->spec, value, err);
	if (r < 0) {
		error_wrap(err, r, "--%s", flag->name);
		err->kind = ERROR_USAGE;
	}
	return r;
}

static int take_flag(
	struct build_flags *flags, const struct flag *flag, const char *value, struct error *err)
{
	if (!flag->over_spec)
		return run_take(flags, flag, value, err);
	flags->pending = array_grow(flags->pending, flags->pending_count, &flags->pending_capacity,
		sizeof(*flags->pending));
	flags->pending[flags->pending_count++] =
		(struct pending_flag){.flag = flag, .value = value};
	return 0;
}

int build_flags_collect(struct build_flags *flags, int argc, char **argv, struct error *err)
{
	struct getopt_tables tables = {0};
	fill_tables(&tables);
	optind = 0; /* GNU: starts anew, with the '-' of shorts looked at again */
	opterr = 0;
	for (;;) {
		int r = 0;
		int val = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
		const struct flag *flag = find_flag(val == '?' || val == ':' ? optopt : val);
		if (val == -1)
			break;
		if (val == 1)
			r = take_operand(flags, optarg, err);
		else if (val == '?' && flag != NULL)
			r = error_set(err, ERROR_USAGE, EINVAL, "--%s: takes no value", flag->name);
		else if (val == '?' || flag == NULL)
			r = unknown_flag(argv[optind - 1], optopt, err);
		else if (val == ':')
			r = error_set(err, ERROR_USAGE, EINVAL, "--%s: %s is missing", flag->name,
				flag->argument);
		else if (flag->take == NULL && flag->config == NULL)
			flags->options->help = true;
		else
			r = take_flag(flags, flag, optarg, err);
		if (r < 0 || flags->options->help)
			return r;
	}
	for (; optind < argc; optind++) {
		int r = take_operand(flags, argv[optind], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int build_flags_apply(struct build_flags *flags, struct error *err)
{
	for (size_t i = 0; i < flags->pending_count; i++) {
		int r = run_take(flags, flags->pending[i].flag, flags->pending[i].value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

#define HELP_INDENT 30
#define HELP_WIDTH 80

/* Words from the column of the help lines on; column: where the line is now. */
static void print_wrapped(FILE *out, const char *text, int column)
{
	if (column + 2 > HELP_INDENT) {
		fputc('\n', out);
		column = 0;
	}
	fprintf(out, "%*s", HELP_INDENT - column, "");
	column = HELP_INDENT;
	while (*text != '\0') {
		int len = (int)strcspn(text, " ");
		if (column + 1 + len > HELP_WIDTH) {
			fprintf(out, "\n%*s", HELP_INDENT, "");
			column = HELP_INDENT;
		}
		const char *space = column > HELP_INDENT ? " " : "";
		column += fprintf(out, "%s%.*s", space, len, text);
		text += len;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

void build_options_help(FILE *out)
{
	fputs("Usage: layervm build [SPEC.json|-] [FLAG...] -o FILE\n\n"
	      "Builds an image: a base, files and a script that runs as root in a throwaway\n"
	      "virtual machine give a new layer. SPEC.json holds the attributes of\n"
	      "dockerTools.buildImage; flags win over it, or do without it.\n",
		out);
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		const struct flag *flag = &build_flag_table[i];
		if (flag->name == NULL) {
			fprintf(out, "\n%s:\n", flag->help);
			continue;
		}
		int column = flag->letter != '\0' ? fprintf(out, "  -%c, ", flag->letter)
						  : fprintf(out, "      ");
		column += fprintf(out, "--%s", flag->name);
		if (flag->argument != NULL)
			column += fprintf(out, " %s", flag->argument);
		print_wrapped(out, flag->help, column);
	}
	fputs("\nlayervm-build(1) and layervm-spec(5) tell the rest.\n", out);
}
