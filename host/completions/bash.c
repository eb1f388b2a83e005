
#include "commands/commands.h"
#include "completions/completions.h"
#include "support/memory.h"

static const char head[] =
	"# Completion of layervm(1) for bash.\n"
	"\n"
	"_layervm()\n"
	"{\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags= words=\n"
	"\tlocal command=${COMP_WORDS[1]}\n"
	"\tlocal IFS=$' \\t\\n'\n"
	"\tCOMPREPLY=()\n"
	"\t# bash takes --flag=value for three words.\n"
	"\tif [[ $cur == = ]]; then\n"
	"\t\tcur=\n"
	"\telif [[ $prev == = ]]; then\n"
	"\t\tprev=${COMP_WORDS[COMP_CWORD-2]}\n"
	"\tfi\n";

static const char tail[] = "\tif [[ $cur == -* ]]; then\n"
			   "\t\tCOMPREPLY=($(compgen -W \"$flags\" -- \"$cur\"))\n"
			   "\telif [[ -z $words ]]; then\n"
			   "\t\t_layervm_files -f\n"
			   "\telif ((COMP_CWORD == 2)); then\n"
			   "\t\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
			   "\tfi\n"
			   "}\n"
			   "\n"
			   "# Names of files (-f) or folders (-d), whatever is in them.\n"
			   "_layervm_files()\n"
			   "{\n"
			   "\tlocal IFS=$'\\n'\n"
			   "\tcompopt -o filenames 2> /dev/null\n"
			   "\tCOMPREPLY=($(compgen \"$1\" -- \"$cur\"))\n"
			   "}\n"
			   "\n"
			   "complete -F _layervm layervm\n";

static void put_program(FILE *out)
{
	fputs("\tif ((COMP_CWORD == 1)); then\n\t\tCOMPREPLY=($(compgen -W \"", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		fprintf(out, "%s ", commands[i].name);
	for (size_t i = 0; i < PROGRAM_FLAG_COUNT; i++) {
		if (program_flags[i].letter != NULL)
			fprintf(out, "-%s ", program_flags[i].letter);
		fprintf(out, "--%s%s", program_flags[i].name,
			i + 1 < PROGRAM_FLAG_COUNT ? " " : "");
	}
	fputs("\" -- \"$cur\"))\n\t\treturn\n\tfi\n", out);
}

/* What completes a flag's value; prev is the flag. */
static void put_value(FILE *out, const struct command *command, const struct argv_flag *flag)
{
	cleanup_buffer struct buffer words = {0};
	enum value_kind kind = value_kind(flag, &words);
	cleanup_free char *list = buffer_steal_text(&words);
	if (kind == VALUE_NONE)
		return;
	fputs("\t'", out);
	if (flag->letter != '\0')
		fprintf(out, "%s -%c' | '", command->name, flag->letter);
	fprintf(out, "%s --%s')\n", command->name, flag->name);
	if (kind == VALUE_FILES || kind == VALUE_FOLDERS)
		fprintf(out, "\t\t_layervm_files %s\n", kind == VALUE_FILES ? "-f" : "-d");
	else if (kind == VALUE_WORDS)
		fprintf(out, "\t\tCOMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))\n", list);
	fputs("\t\treturn ;;\n", out);
}

/* What the first argument may be. */
static void put_words(FILE *out, const struct argv_command *command)
{
	for (size_t i = 0; i < command->word_count; i++)
		fprintf(out, "%s%s", i == 0 ? " words='" : " ", command->words[i].name);
	if (command->word_count > 0)
		fputs("'", out);
}

void bash_completion(FILE *out)
{
	fputs(head, out);
	put_program(out);
	fputs("\tcase \"$command $prev\" in\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		for (size_t k = 0; k < commands[i].argv->flag_count; k++) {
			const struct argv_flag *flag = argv_flag_at(commands[i].argv, k);
			if (flag->name != NULL)
				put_value(out, &commands[i], flag);
		}
	}
	fputs("\tesac\n\tcase $command in\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		fprintf(out, "\t%s) flags='", commands[i].name);
		for (size_t k = 0; k < commands[i].argv->flag_count; k++) {
			const struct argv_flag *flag = argv_flag_at(commands[i].argv, k);
			if (flag->name == NULL)
				continue;
			if (flag->letter != '\0')
				fprintf(out, "-%c ", flag->letter);
			fprintf(out, "--%s ", flag->name);
		}
		fputs("'", out);
		put_words(out, commands[i].argv);
		fputs(" ;;\n", out);
	}
	fputs("\tesac\n", out);
	fputs(tail, out);
}
