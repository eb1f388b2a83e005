#include "commands/commands.h"
#include "completions/completions.h"
#include "support/memory.h"

/* Within '...' of zsh, and within [...] or :...: of _arguments. */
static void put_help(FILE *out, const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p == '\'')
			fputs("'\\''", out);
		else
			put_quoted(out, (const char[]){*p, '\0'}, "[]:\\");
	}
}

static void put_flag(FILE *out, const struct argv_flag *flag)
{
	cleanup_buffer struct buffer words = {0};
	enum value_kind kind = value_kind(flag, &words);
	cleanup_free char *list = buffer_steal_text(&words);
	const char *equals = kind == VALUE_NONE ? "" : "=";
	/* The star: a flag may come again. */
	fputs("\t\t\t\t'*'", out);
	if (flag->letter != '\0')
		fprintf(out, "{-%c%s,--%s%s}", flag->letter, kind == VALUE_NONE ? "" : "+",
			flag->name, equals);
	else
		fprintf(out, "--%s%s", flag->name, equals);
	fputs("'[", out);
	put_help(out, flag->help);
	fputs("]", out);
	if (kind != VALUE_NONE) {
		fputs(":", out);
		put_help(out, flag->argument);
		fputs(":", out);
	}
	if (kind == VALUE_FILES)
		fputs("_files", out);
	else if (kind == VALUE_FOLDERS)
		fputs("_files -/", out);
	else if (kind == VALUE_WORDS)
		fprintf(out, "(%s)", list);
	fputs("' \\\n", out);
}

static void put_arguments(FILE *out, const struct argv_command *command)
{
	if (command->words == NULL) {
		fputs("\t\t\t\t'*:file:_files' ;;\n", out);
		return;
	}
	fputs("\t\t\t\t'1:action:((", out);
	for (size_t i = 0; i < command->word_count; i++) {
		fprintf(out, "%s%s\\:\"", i == 0 ? "" : " ", command->words[i].name);
		put_help(out, command->words[i].help);
		fputs("\"", out);
	}
	fputs("))' ;;\n", out);
}

static void put_program(FILE *out)
{
	fputs("\t_arguments -C \\\n", out);
	for (size_t i = 0; i < PROGRAM_FLAG_COUNT; i++) {
		const struct program_flag *flag = &program_flags[i];
		if (flag->letter != NULL)
			fprintf(out, "\t\t'(- *)'{-%s,--%s}'[", flag->letter, flag->name);
		else
			fprintf(out, "\t\t'(- *)--%s[", flag->name);
		put_help(out, flag->help);
		fputs("]' \\\n", out);
	}
	fputs("\t\t'1:command:->command' \\\n\t\t'*::argument:->argument'\n", out);
}

void zsh_completion(FILE *out)
{
	fputs("#compdef layervm\n# Completion of layervm(1) for zsh.\n\n_layervm() {\n"
	      "\tlocal context state state_descr\n\tlocal -a line commands\n"
	      "\ttypeset -A opt_args\n",
		out);
	put_program(out);
	fputs("\tcase $state in\n\tcommand)\n\t\tcommands=(\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		fprintf(out, "\t\t\t'%s:", commands[i].name);
		put_help(out, commands[i].help);
		fputs("'\n", out);
	}
	fputs("\t\t)\n\t\t_describe command commands ;;\n\targument)\n\t\tcase $line[1] in\n", out);
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		fprintf(out, "\t\t%s)\n\t\t\t_arguments -s \\\n", commands[i].name);
		for (size_t k = 0; k < commands[i].argv->flag_count; k++) {
			const struct argv_flag *flag = argv_flag_at(commands[i].argv, k);
			if (flag->name != NULL)
				put_flag(out, flag);
		}
		put_arguments(out, commands[i].argv);
	}
	fputs("\t\tesac ;;\n\tesac\n}\n\n_layervm \"$@\"\n", out);
}
