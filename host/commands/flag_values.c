#include "commands/flag_values.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "spec/json_text.h"
#include "spec/spec.h"
#include "support/buffer.h"
#include "support/cpu_count.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "support/reference.h"
#include "support/size.h"
#include "vm/vm.h"

/* Well under the 2^31 milliseconds that poll(2) takes. */
#define TIMEOUT_MAX (500 * 3600)

/* Takes the digits at *text; false: there are none or the number is beyond 64 bits. */
static bool take_number(const char **text, uint64_t *value)
{
	const char *start = *text;
	*value = 0;
	for (; **text >= '0' && **text <= '9'; ++*text) {
		if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
			__builtin_add_overflow(*value, (uint64_t)(**text - '0'), value))
			return false;
	}
	return *text != start;
}

static int unfit(const char *text, const char *wanted, struct error *err)
{
	cleanup_free char *quoted = json_text_quote(text);
	return error_set(err, ERROR_USAGE, EINVAL, "is %s, %s is wanted", quoted, wanted);
}

int value_number(const char *text, uint64_t min, uint64_t max, const char *what, uint64_t *value,
	struct error *err)
{
	const char *end = text;
	if (take_number(&end, value) && *end == '\0' && *value >= min && *value <= max)
		return 0;
	cleanup_free char *wanted = xasprintf(
		"%s from %llu to %llu", what, (unsigned long long)min, (unsigned long long)max);
	return unfit(text, wanted, err);
}

/* A number with a unit of a table after it; a number alone is in the table's first unit. */
struct unit {
	const char *name;
	uint64_t factor;
};

static bool take_with_unit(const char *text, const struct unit *units, size_t count, uint64_t min,
	uint64_t max, uint64_t *value)
{
	if (!take_number(&text, value))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(text, units[i].name) == 0)
			return !__builtin_mul_overflow(*value, units[i].factor, value) &&
			       *value >= min && *value <= max;
	}
	return false;
}

int value_mebibytes(
	const char *text, uint64_t min, uint64_t max, uint64_t *value, struct error *err)
{
	if (size_parse_mebibytes(text, value) && *value >= min && *value <= max)
		return 0;
	cleanup_free char *wanted =
		xasprintf("a number of MiB from %llu to %llu, or with M, G or T after it,",
			(unsigned long long)min, (unsigned long long)max);
	return unfit(text, wanted, err);
}

int value_seconds(const char *text, uint64_t max, uint64_t *value, struct error *err)
{
	static const struct unit units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}};
	if (take_with_unit(text, units, sizeof(units) / sizeof(units[0]), 0, max, value))
		return 0;
	cleanup_free char *wanted =
		xasprintf("a number of seconds up to %llu, or with s, m or h after it,",
			(unsigned long long)max);
	return unfit(text, wanted, err);
}

int value_cpus(const char *text, unsigned *value, struct error *err)
{
	uint64_t cpus = 0;
	if (strcmp(text, "host") == 0) {
		*value = cpu_count(VM_CPUS_MAX);
		return 0;
	}
	int r = value_number(text, 1, VM_CPUS_MAX, "host or a number of CPUs", &cpus, err);
	if (r == 0)
		*value = (unsigned)cpus;
	return r;
}

int value_timeout(const char *text, unsigned *value, struct error *err)
{
	uint64_t seconds = 0;
	int r = value_seconds(text, TIMEOUT_MAX, &seconds, err);
	if (r == 0)
		*value = (unsigned)seconds;
	return r;
}

int value_choice(
	const char *text, const char *const *words, size_t count, size_t *index, struct error *err)
{
	cleanup_buffer struct buffer list = {0};
	for (size_t i = 0; i < count; i++) {
		if (strcmp(words[i], text) == 0) {
			*index = i;
			return 0;
		}
		buffer_printf(&list, "%s%s",
			i == 0           ? ""
			: i + 1 == count ? " or "
					 : ", ",
			words[i]);
	}
	cleanup_free char *wanted = buffer_steal_text(&list);
	return unfit(text, wanted, err);
}

int value_compression(const char *text, enum image_compression *value, struct error *err)
{
	static const char *const words[] = {"none", "gzip", "zstd"};
	static const enum image_compression values[] = {IMAGE_PLAIN, IMAGE_GZIP, IMAGE_ZSTD};
	size_t i = 0;
	int r = value_choice(text, words, 3, &i, err);
	if (r == 0)
		*value = values[i];
	return r;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);
	return len > end_len && strcmp(text + len - end_len, end) == 0;
}

enum image_compression compression_of_name(const char *path)
{
	if (ends_with(path, ".gz") || ends_with(path, ".tgz"))
		return IMAGE_GZIP;
	return ends_with(path, ".zst") ? IMAGE_ZSTD : IMAGE_PLAIN;
}

int value_image_name(const char *text, char **name, char **tag, struct error *err)
{
	const char *colon = strrchr(text, ':');
	/* In what comes before a slash it is a registry's port. */
	bool has_tag = colon != NULL && strchr(colon, '/') == NULL;
	size_t len = has_tag ? (size_t)(colon - text) : strlen(text);
	const char *found = has_tag ? colon + 1 : "latest";
	if (len == 0 || *found == '\0')
		return unfit(text, "NAME or NAME:TAG", err);
	free(*name);
	free(*tag);
	*name = xstrndup(text, len);
	*tag = xstrdup(found);
	return 0;
}

int value_platform(const char *text, char **architecture, char **variant, struct error *err)
{
	static const char wanted[] = "linux/ARCH or linux/ARCH/VARIANT";
	static const char os[] = "linux/";
	if (strncmp(text, os, strlen(os)) != 0)
		return unfit(text, wanted, err);
	const char *slash = strchr(text + strlen(os), '/');
	if (slash != NULL && (slash[1] == '\0' || strchr(slash + 1, '/') != NULL))
		return unfit(text, wanted, err);
	const char *start = text + strlen(os);
	cleanup_free char *name =
		slash != NULL ? xstrndup(start, (size_t)(slash - start)) : xstrdup(start);
	int r = spec_check_architecture(name, err);
	if (r < 0)
		return r;
	free(*architecture);
	free(*variant);
	*architecture = steal_ptr(&name);
	*variant = slash != NULL ? xstrdup(slash + 1) : NULL;
	return 0;
}

int value_accel(const char *text, enum vm_accel *value, struct error *err)
{
	static const char *const words[] = {"auto", "kvm", "tcg"};
	static const enum vm_accel values[] = {VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_TCG};
	size_t i = 0;
	int r = value_choice(text, words, 3, &i, err);
	if (r == 0)
		*value = values[i];
	return r;
}

int value_command(const char *text, json_object **value, struct error *err)
{
	if (text[0] == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "is empty; [] is no command");
	if (text[0] != '[') {
		*value = json_object_new_array();
		json_object_array_add(*value, json_object_new_string("/bin/sh"));
		json_object_array_add(*value, json_object_new_string("-c"));
		json_object_array_add(*value, json_object_new_string(text));
		return 0;
	}
	cleanup_json json_object *list = NULL;
	int r = json_text_parse(text, strlen(text), json_type_array, "the JSON list", &list, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *word = json_object_array_get_idx(list, i);
		if (json_object_is_type(word, json_type_string))
			continue;
		cleanup_free char *found = json_text_describe(word);
		return error_set(err, ERROR_USAGE, EINVAL,
			"word %zu of the JSON list is %s, a string is wanted", i + 1, found);
	}
	*value = steal_ptr(&list);
	return 0;
}

int value_script_file(const char *path, char **value, struct error *err)
{
	cleanup_close int fd = file_open(path, ERROR_USAGE, err);
	if (fd < 0)
		return fd;
	cleanup_buffer struct buffer text = {0};
	int r = file_read_all(fd, SPEC_TEXT_MAX, &text, path, err);
	if (r < 0)
		return r;
	const char *nul = text.len == 0 ? NULL : memchr(text.data, '\0', text.len);
	if (nul != NULL)
		return error_set(err, ERROR_USAGE, EINVAL,
			"%s: has a NUL byte at %zu; a script (text) is wanted", path,
			(size_t)(nul - (const char *)text.data));
	*value = buffer_steal_text(&text);
	return 0;
}

int value_script(const char *text, char **value, struct error *err)
{
	struct stat st;
	/* Not only regular files: the shell's <(...) is a pipe. */
	if (stat(text, &st) == 0 && !S_ISDIR(st.st_mode))
		return value_script_file(text, value, err);
	*value = xstrdup(text);
	return 0;
}
