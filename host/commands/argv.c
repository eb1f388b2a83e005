#include "commands/argv.h"

#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "spec/nearest.h"
#include "support/memory.h"
#include "support/shown.h"

/* getopt_long's val for the flag at an index of the table: out of the range of letters. */
#define VAL_BASE 256

/* getopt's tables, made of ours. */
struct getopt_tables {
	struct option *longs;
	char *shorts;
};

static void free_tables(struct getopt_tables *tables)
{
	free(tables->longs);
	free(tables->shorts);
}

const struct argv_flag *argv_flag_at(const struct argv_command *command, size_t index)
{
	return (const void *)((const char *)command->flags + index * command->flag_size);
}

static void fill_tables(const struct argv_command *command, struct getopt_tables *tables)
{
	size_t count = 0;
	tables->longs = xcalloc(command->flag_count + 1, sizeof(*tables->longs));
	tables->shorts = xcalloc(2 * command->flag_count + 3, 1);
	char *shorts = tables->shorts;
	/* Operands come as they stand, POSIXLY_CORRECT or not; a missing value gives ':'. */
	*shorts++ = '-';
	*shorts++ = ':';
	for (size_t i = 0; i < command->flag_count; i++) {
		const struct argv_flag *flag = argv_flag_at(command, i);
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
}

/* The flag of a value that getopt_long gave; NULL: it is none. */
static const struct argv_flag *find_flag(const struct argv_command *command, int val)
{
	if (val >= VAL_BASE)
		return argv_flag_at(command, (size_t)(val - VAL_BASE));
	for (size_t i = 0; i < command->flag_count; i++) {
		const struct argv_flag *flag = argv_flag_at(command, i);
		if (val != '\0' && flag->letter == val)
			return flag;
	}
	return NULL;
}

static int unknown_flag(
	const struct argv_command *command, const char *word, int letter, struct error *err)
{
	if (letter != '\0')
		return error_set(err, ERROR_USAGE, EINVAL,
			"-%c: there is no such flag; layervm %s --help lists them", letter,
			command->name);
	cleanup_free char *name = xstrndup(word + 2, strcspn(word + 2, "="));
	struct nearest nearest = nearest_start(name);
	size_t beginnings = 0;
	for (size_t i = 0; i < command->flag_count; i++) {
		const struct argv_flag *flag = argv_flag_at(command, i);
		if (flag->name == NULL)
			continue;
		beginnings += strncmp(flag->name, name, strlen(name)) == 0;
		nearest_try(&nearest, flag->name);
	}
	if (beginnings > 1)
		return error_set(err, ERROR_USAGE, EINVAL,
			"--%s: is the beginning of %zu flags; layervm %s --help lists them", name,
			beginnings, command->name);
	if (nearest.best != NULL)
		return error_set(err, ERROR_USAGE, EINVAL,
			"--%s: there is no such flag; did you mean --%s?", name, nearest.best);
	return error_set(err, ERROR_USAGE, EINVAL,
		"--%s: there is no such flag; layervm %s --help lists them", name, command->name);
}

int argv_flag_error(const struct argv_flag *flag, int r, struct error *err)
{
	if (err->kind == ERROR_INTERRUPTED)
		return r;
	error_wrap(err, r, "--%s", flag->name);
	err->kind = ERROR_USAGE;
	return r;
}

int argv_parse(const struct argv_command *command, int argc, char **argv, void *target, bool *help,
	struct error *err)
{
	__attribute__((cleanup(free_tables))) struct getopt_tables tables = {0};
	fill_tables(command, &tables);
	*help = false;
	optind = 0; /* GNU: starts anew, with the '-' of shorts looked at again */
	opterr = 0;
	for (;;) {
		int r = 0;
		int val = getopt_long(argc, argv, tables.shorts, tables.longs, NULL);
		const struct argv_flag *flag =
			find_flag(command, val == '?' || val == ':' ? optopt : val);
		if (val == -1)
			break;
		if (val == 1)
			r = command->operand(target, optarg, err);
		else if (val == '?' && flag != NULL)
			r = error_set(err, ERROR_USAGE, EINVAL, "--%s: takes no value", flag->name);
		else if (val == '?' || flag == NULL)
			r = unknown_flag(command, argv[optind - 1], optopt, err);
		else if (val == ':')
			r = error_set(err, ERROR_USAGE, EINVAL, "--%s: %s is missing", flag->name,
				flag->argument);
		else if (strcmp(flag->name, "help") == 0)
			*help = true;
		else if ((r = command->take(target, flag, optarg, err)) < 0)
			r = argv_flag_error(flag, r, err);
		if (r < 0 || *help)
			return r;
	}
	for (; optind < argc; optind++) {
		int r = command->operand(target, argv[optind], err);
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

void argv_help(const struct argv_command *command, FILE *out)
{
	fputs(command->usage, out);
	if (command->words != NULL)
		fputc('\n', out);
	for (size_t i = 0; command->words != NULL && i < command->word_count; i++)
		print_wrapped(
			out, command->words[i].help, fprintf(out, "  %s", command->words[i].name));
	for (size_t i = 0; i < command->flag_count; i++) {
		const struct argv_flag *flag = argv_flag_at(command, i);
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
	fprintf(out, "\n%s\n", command->more);
}

int argv_show_help(const struct argv_command *command, struct report *report)
{
	cleanup_shown struct shown *shown = shown_open();
	struct error err;
	argv_help(command, shown_stream(shown));
	int r = shown_finish(shown, 0, &err);
	if (r < 0)
		report_error(report, &err);
	return r < 0 ? error_exit_status(&err) : 0;
}
