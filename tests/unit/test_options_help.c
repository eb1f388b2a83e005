/* The table of flags, and the texts that tell of them: --help and the manual page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "commands/build_flags.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

/* The text of --help. */
static char *help_text(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	build_options_help(out);
	fclose(out);
	return text;
}

/* The table is sound: no name or letter comes twice, and what getopt needs is there. */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		const struct flag *flag = &build_flag_table[i];
		assert_non_null(flag->help);
		if (flag->name == NULL)
			continue;
		bool is_help = strcmp(flag->name, "help") == 0;
		assert_int_equal((flag->take != NULL) + (flag->config != NULL), !is_help);
		assert_true(flag->config == NULL || (flag->over_spec && flag->argument != NULL));
		for (size_t j = 0; j < i; j++) {
			const struct flag *other = &build_flag_table[j];
			assert_true(other->name == NULL || strcmp(flag->name, other->name) != 0);
			assert_true(flag->letter == '\0' || flag->letter != other->letter);
		}
	}
}

/* --help and the manual page tell of every flag with its argument, in lines of 80. */
static void test_help(void **state)
{
	(void)state;
	cleanup_free char *help = help_text();
	for (const char *line = help; *line != '\0';) {
		size_t len = strcspn(line, "\n");
		if (len > 80)
			fail_msg("%.*s", (int)len, line);
		line += len + (line[len] == '\n');
	}
	cleanup_buffer struct buffer manual = {0};
	cleanup_free char *path = xasprintf("%.*s../../host/commands/layervm-build.1.md",
		(int)(strlen(__FILE__) - strlen("test_options_help.c")), __FILE__);
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		struct error err;
		assert_int_equal(file_read_all(fd, 1 << 20, &manual, path, &err), 0);
	} else {
		print_message("%s is not here: only --help is compared\n", path);
	}
	buffer_add(&manual, "", 1);
	for (size_t i = 0; i < BUILD_FLAG_COUNT; i++) {
		const struct flag *flag = &build_flag_table[i];
		if (flag->name == NULL)
			continue;
		const char *space = flag->argument != NULL ? " " : "";
		const char *argument = flag->argument != NULL ? flag->argument : "";
		cleanup_free char *plain = xasprintf("--%s%s%s", flag->name, space, argument);
		cleanup_free char *marked =
			flag->argument != NULL ? xasprintf("**--%s** *%s*", flag->name, argument)
					       : xasprintf("**--%s**", flag->name);
		if (strstr(help, plain) == NULL)
			fail_msg("not in --help: %s", plain);
		if (fd >= 0 && strstr((const char *)manual.data, marked) == NULL)
			fail_msg("not in the manual page: %s", marked);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_help),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
