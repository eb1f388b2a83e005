#include "commands/commands.h"
#include "completions/completions.h"
#include "support/memory.h"

static void put_help(FILE *out, const char *text)
{
	fputs(" -d '", out);
	put_quoted(out, text, "'\\");
	fputs("'\n", out);
}

static void put_flag(FILE *out, const struct command *command, const struct argv_flag *flag)
{
	cleanup_buffer struct buffer words = {0};
	enum value_kind kind = value_kind(flag, &words);
	cleanup_free char *list = buffer_steal_text(&words);
	fprintf(out, "complete -c layervm -n '__fish_seen_subcommand_from %s' -l %s", command->name,
		flag->name);
	if (flag->letter != '\0')
		fprintf(out, " -s %c", flag->letter);
	switch (kind) {
	case VALUE_NONE:
		break;
	case VALUE_FILES:
		fputs(" -r -F", out);
		break;
	case VALUE_FOLDERS:
		fputs(" -x -a '(__fish_complete_directories)'", out);
		break;
	case VALUE_WORDS:
		fprintf(out, " -x -a '%s'", list);
		break;
	case VALUE_TEXT:
		fputs(" -x", out);
		break;
	}
	put_help(out, flag->help);
}

/* What the first argument may be, where that is no file. */
static void put_words(FILE *out, const struct command *command)
{
	const struct argv_command *argv = command->argv;
	if (argv->words == NULL)
		return;
	fprintf(out, "complete -c layervm -n '__fish_seen_subcommand_from %s' -f\n", command->name);
	for (size_t i = 0; i < argv->word_count; i++) {
		fprintf(out,
			"complete -c layervm -n '__fish_seen_subcommand_from %s; and not "
			"__fish_seen_subcommand_from",
			command->name);
		for (size_t k = 0; k < argv->word_count; k++)
			fprintf(out, " %s", argv->words[k].name);
		fprintf(out, "' -a %s", argv->words[i].name);
		put_help(out, argv->words[i].help);
	}
}

void fish_completion(FILE *out)
{
	fputs("# Completion of layervm(1) for fish.\n\ncomplete -c layervm -n "
	      "__fish_use_subcommand "
	      "-f\n",
		out);
	for (size_t i = 0; i < PROGRAM_FLAG_COUNT; i++) {
		const struct program_flag *flag = &program_flags[i];
		fprintf(out, "complete -c layervm -n __fish_use_subcommand -l %s", flag->name);
		if (flag->letter != NULL)
			fprintf(out, " -s %s", flag->letter);
		put_help(out, flag->help);
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		fprintf(out, "complete -c layervm -n __fish_use_subcommand -a %s",
			commands[i].name);
		put_help(out, commands[i].help);
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		fputc('\n', out);
		for (size_t k = 0; k < commands[i].argv->flag_count; k++) {
			const struct argv_flag *flag = argv_flag_at(commands[i].argv, k);
			if (flag->name != NULL)
				put_flag(out, &commands[i], flag);
		}
		put_words(out, &commands[i]);
	}
}
