/* The tables of flags of all commands, and the texts that tell of them: --help, manual pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "commands/build_flags.h"
#include "commands/commands.h"
#include "commands/flag_fields.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

/* The text of --help. */
static char *help_text(const struct argv_command *command)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	argv_help(command, out);
	fclose(out);
	return text;
}

/* The text of the command's manual page; NULL: the sources are not here. */
static char *manual_text(const struct argv_command *command)
{
	cleanup_buffer struct buffer manual = {0};
	cleanup_free char *path = xasprintf("%.*s../../host/commands/layervm-%s.1.md",
		(int)(strlen(__FILE__) - strlen("test_options_help.c")), __FILE__, command->name);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct error err;
	if (fd < 0) {
		print_message("%s is not here: only --help is compared\n", path);
		return NULL;
	}
	assert_int_equal(file_read_all(fd, 1 << 20, &manual, path, &err), 0);
	return buffer_steal_text(&manual);
}

/* No name or letter comes twice, each has its help, and one is --help. */
static void check_table(const struct argv_command *command)
{
	size_t helps = 0;
	for (size_t i = 0; i < command->flag_count; i++) {
		const struct argv_flag *flag = argv_flag_at(command, i);
		assert_non_null(flag->help);
		if (flag->name == NULL)
			continue;
		helps += strcmp(flag->name, "help") == 0 && flag->argument == NULL;
		for (size_t j = 0; j < i; j++) {
			const struct argv_flag *other = argv_flag_at(command, j);
			if (other->name == NULL)
				continue;
			if (strcmp(flag->name, other->name) == 0)
				fail_msg("%s: --%s twice", command->name, flag->name);
			if (flag->letter != '\0' && flag->letter == other->letter)
				fail_msg("%s: -%c twice", command->name, flag->letter);
		}
	}
	assert_int_equal(helps, 1);
}

static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		check_table(commands[i].argv);
}

/* What is in the tables besides: build has one function a flag, the others one with its field. */
static void test_functions(void **state)
{
	(void)state;
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		const struct flag *flag = &build_flag_table[i];
		if (flag->is.name == NULL)
			continue;
		bool is_help = strcmp(flag->is.name, "help") == 0;
		assert_int_equal(
			(flag->take != NULL) + (flag->config != NULL) + (flag->extras != NULL),
			!is_help);
		assert_true((flag->config == NULL && flag->extras == NULL) ||
			    (flag->over_spec && flag->is.argument != NULL));
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		const struct argv_command *argv = commands[i].argv;
		assert_string_equal(argv->name, commands[i].name);
		for (size_t k = 0; argv != &build_argv && k < argv->flag_count; k++) {
			const struct field_flag *flag =
				(const struct field_flag *)argv_flag_at(argv, k);
			bool acts = flag->is.name != NULL && strcmp(flag->is.name, "help") != 0;
			assert_int_equal(flag->take != NULL, acts);
		}
	}
}

static void check_lines(const char *help)
{
	for (const char *line = help; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		if (len > 80)
			fail_msg("%.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
}

/* --help and the manual page tell of every flag with its argument, in lines of 80. */
static void check_texts(const struct argv_command *command)
{
	cleanup_free char *help = help_text(command);
	cleanup_free char *manual = manual_text(command);
	check_lines(help);
	for (size_t i = 0; i < command->flag_count; i++) {
		const struct argv_flag *flag = argv_flag_at(command, i);
		if (flag->name == NULL)
			continue;
		const char *space = flag->argument != NULL ? " " : "";
		const char *argument = flag->argument != NULL ? flag->argument : "";
		cleanup_free char *plain = xasprintf("--%s%s%s", flag->name, space, argument);
		cleanup_free char *marked =
			flag->argument != NULL ? xasprintf("**--%s** *%s*", flag->name, argument)
					       : xasprintf("**--%s**", flag->name);
		if (strstr(help, plain) == NULL)
			fail_msg("%s: not in --help: %s", command->name, plain);
		if (manual != NULL && strstr(manual, marked) == NULL)
			fail_msg("%s: not in the manual page: %s", command->name, marked);
	}
}

static void test_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		check_texts(commands[i].argv);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_texts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
