#include "commands/flag_fields.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "commands/flag_values.h"
#include "commands/progress.h"
#include "spec/spec.h"
#include "support/memory.h"

int field_flag_take(
	void *target, const struct argv_flag *flag, const char *value, struct error *err)
{
	const struct field_flag *field = (const struct field_flag *)flag;
	return field->take((char *)target + field->offset, value, err);
}

void image_choice_free(struct image_choice *choice)
{
	free(choice->name);
	free(choice->tag);
	free(choice->architecture);
	free(choice->variant);
	*choice = (struct image_choice){0};
}

int field_text(void *field, const char *value, struct error *err)
{
	char **text = field;
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "is empty");
	free(*text);
	*text = xstrdup(value);
	return 0;
}

int field_yes(void *field, const char *value, struct error *err)
{
	(void)value;
	(void)err;
	*(bool *)field = true;
	return 0;
}

int field_progress(void *field, const char *value, struct error *err)
{
	return progress_parse(value, field, err);
}

int field_accel(void *field, const char *value, struct error *err)
{
	return value_accel(value, field, err);
}

static int take_mebibytes(
	uint32_t *field, const char *value, uint64_t min, uint64_t max, struct error *err)
{
	uint64_t size = 0;
	int r = value_mebibytes(value, min, max, &size, err);
	if (r == 0)
		*field = (uint32_t)size;
	return r;
}

int field_memory(void *field, const char *value, struct error *err)
{
	return take_mebibytes(field, value, SPEC_MEMORY_SIZE_MIN, SPEC_MEMORY_SIZE_MAX, err);
}

int field_disk_size(void *field, const char *value, struct error *err)
{
	return take_mebibytes(field, value, SPEC_DISK_SIZE_MIN, SPEC_DISK_SIZE_MAX, err);
}

int field_image_name(void *field, const char *value, struct error *err)
{
	struct image_choice *choice = field;
	return value_image_name(value, &choice->name, &choice->tag, err);
}

int field_platform(void *field, const char *value, struct error *err)
{
	struct image_choice *choice = field;
	return value_platform(value, &choice->architecture, &choice->variant, err);
}

int operand_image(char **path, const char *value, struct error *err)
{
	if (*path != NULL)
		return error_set(err, ERROR_USAGE, EINVAL, "one image is taken, here are %s and %s",
			*path, value);
	if (*value == '\0')
		return error_set(err, ERROR_USAGE, EINVAL, "the path of the image is empty");
	*path = xstrdup(value);
	return 0;
}
