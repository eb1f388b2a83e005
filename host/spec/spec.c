#include "spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spec/attributes.h"
#include "spec/config.h"
#include "spec/json_text.h"
#include "spec/reference.h"
#include "support/architecture.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"

struct build_spec *spec_new(void)
{
	struct build_spec *spec = xcalloc(1, sizeof(*spec));
	spec->copy_to_root = xcalloc(1, sizeof(*spec->copy_to_root));
	spec->extra_commands = xstrdup("");
	spec->architecture = xstrdup(architecture_of_host());
	spec->disk_size = 1024;
	spec->memory_size = 512;
	spec->created = 1;
	return spec;
}

void spec_free(struct build_spec *spec)
{
	if (spec == NULL)
		return;
	spec_clear_copies(spec);
	free(spec->copy_to_root);
	free(spec->name);
	free(spec->tag);
	free(spec->from_image);
	free(spec->from_image_name);
	free(spec->from_image_tag);
	free(spec->run_as_root);
	free(spec->extra_commands);
	free(spec->architecture);
	json_object_put(spec->config);
	extras_spec_free(&spec->extras);
	free(spec);
}

void spec_add_copy(struct build_spec *spec, const char *path)
{
	size_t count = 0;
	while (spec->copy_to_root[count] != NULL)
		count++;
	spec->copy_to_root = xrealloc(spec->copy_to_root, count + 2, sizeof(*spec->copy_to_root));
	spec->copy_to_root[count] = xstrdup(path);
	spec->copy_to_root[count + 1] = NULL;
}

void spec_clear_copies(struct build_spec *spec)
{
	for (char **path = spec->copy_to_root; *path != NULL; path++)
		free(*path);
	spec->copy_to_root[0] = NULL;
}

int spec_parse(const char *text, size_t len, const char *name, const char *folder,
	struct build_spec *spec, struct report *report, struct error *err)
{
	cleanup_json json_object *object = NULL;
	if (len > SPEC_TEXT_MAX)
		return error_set(err, ERROR_SPEC, EFBIG, "%s: has %zu bytes, %d are the limit",
			name, len, SPEC_TEXT_MAX);
	int r = json_text_parse(text, len, json_type_object, name, &object, err);
	if (r < 0)
		return r;
	return attributes_take(object, name, folder, spec, report, err);
}

/* What relative paths in a file are relative to: its folder as it was given. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL)
		return xstrdup("");
	return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

int spec_read(const char *path, struct build_spec *spec, struct report *report, struct error *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	cleanup_close int opened = -1;
	if (!from_stdin) {
		opened = file_open(path, ERROR_SPEC, err);
		if (opened < 0)
			return opened;
	}
	const char *name = from_stdin ? "standard input" : path;
	cleanup_buffer struct buffer text = {0};
	int r = file_read_all(from_stdin ? STDIN_FILENO : opened, SPEC_TEXT_MAX, &text, name, err);
	if (r < 0) {
		if (err->kind != ERROR_INTERRUPTED)
			err->kind = ERROR_SPEC;
		return r;
	}
	cleanup_free char *folder = from_stdin ? xstrdup("") : folder_of(path);
	return spec_parse((const char *)text.data, text.len, name, folder, spec, report, err);
}

static int check_base(const char *path, struct error *err)
{
	if (strcmp(path, "-") == 0)
		return 0;
	if (access(path, F_OK) < 0)
		return error_set_errno(err, ERROR_SPEC, "fromImage: %s", path);
	if (access(path, R_OK) < 0)
		return error_set_errno(err, ERROR_SPEC, "fromImage: %s: cannot read", path);
	return 0;
}

static int check_copies(char *const *paths, struct error *err)
{
	for (; *paths != NULL; paths++) {
		struct stat st;
		if (stat(*paths, &st) < 0)
			return error_set_errno(err, ERROR_SPEC, "copyToRoot: %s", *paths);
		if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode))
			return error_set(err, ERROR_SPEC, EINVAL,
				"copyToRoot: %s: is neither a folder nor a regular file", *paths);
		if (access(*paths, R_OK) < 0)
			return error_set_errno(
				err, ERROR_SPEC, "copyToRoot: %s: cannot read", *paths);
	}
	return 0;
}

static int check_range(
	const char *attribute, int64_t value, int64_t min, int64_t max, struct error *err)
{
	if (value >= min && value <= max)
		return 0;
	return error_set(err, ERROR_SPEC, ERANGE, "%s: is %lld, %lld to %lld is wanted", attribute,
		(long long)value, (long long)min, (long long)max);
}

static int check_name_and_tag(const struct build_spec *spec, struct error *err)
{
	int r;
	if (spec->name == NULL)
		return error_set(err, ERROR_SPEC, EINVAL,
			"name: is missing; \"name\" in the spec or -t NAME:TAG gives it");
	r = reference_check_name(spec->name, err);
	if (r < 0) {
		const char *colon = strrchr(spec->name, ':');
		if (colon != NULL && strchr(colon, '/') == NULL)
			return error_wrap(err, r, "name: takes no tag (\"tag\" does)");
		return error_wrap(err, r, "name");
	}
	r = spec->tag == NULL ? 0 : reference_check_tag(spec->tag, err);
	return r < 0 ? error_wrap(err, r, "tag") : 0;
}

int spec_check(const struct build_spec *spec, struct error *err)
{
	int r = check_name_and_tag(spec, err);
	if (r < 0)
		return r;
	r = spec_check_architecture(spec->architecture, err);
	if (r < 0)
		return error_wrap(err, r, "architecture");
	const struct {
		const char *attribute;
		int64_t value, min, max;
	} ranges[] = {
		{"diskSize", spec->disk_size, SPEC_DISK_SIZE_MIN, SPEC_DISK_SIZE_MAX},
		{"buildVMMemorySize", spec->memory_size, SPEC_MEMORY_SIZE_MIN,
			SPEC_MEMORY_SIZE_MAX},
		{"created", spec->created, 0, SPEC_TIME_MAX},
		{"uid", spec->uid, 0, SPEC_ID_MAX},
		{"gid", spec->gid, 0, SPEC_ID_MAX},
	};
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		r = check_range(
			ranges[i].attribute, ranges[i].value, ranges[i].min, ranges[i].max, err);
		if (r < 0)
			return r;
	}
	r = spec->config == NULL ? 0 : config_check(spec->config, "config", NULL, err);
	if (r < 0)
		return r;
	r = spec->from_image == NULL ? 0 : check_base(spec->from_image, err);
	if (r == 0)
		r = check_copies(spec->copy_to_root, err);
	return r < 0 ? r : extras_check(&spec->extras, err);
}
