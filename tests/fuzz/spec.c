/* SPEC.json: the input is the document. What is taken once is taken again, to the same spec. */
#include <fcntl.h>
#include <string.h>

#include "fuzz.h"
#include "spec/spec.h"

static struct report *report;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	report = report_new(REPORT_QUIET, open("/dev/null", O_WRONLY | O_CLOEXEC));
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void check_same(const struct build_spec *a, const struct build_spec *b)
{
	if (!same_text(a->name, b->name) || !same_text(a->tag, b->tag) ||
		!same_text(a->from_image, b->from_image) ||
		!same_text(a->run_as_root, b->run_as_root) ||
		!same_text(a->extra_commands, b->extra_commands) ||
		!same_text(a->architecture, b->architecture) || a->disk_size != b->disk_size ||
		a->memory_size != b->memory_size || a->uid != b->uid || a->gid != b->gid ||
		(a->created != b->created && !a->created_now) ||
		!json_object_equal(a->config, b->config))
		fuzz_broken("one document gives two specs");
}

static void check_ranges(const struct build_spec *spec)
{
	if (spec->copy_to_root == NULL || spec->extra_commands == NULL ||
		spec->architecture == NULL || spec->disk_size < SPEC_DISK_SIZE_MIN ||
		spec->disk_size > SPEC_DISK_SIZE_MAX || spec->memory_size < SPEC_MEMORY_SIZE_MIN ||
		spec->memory_size > SPEC_MEMORY_SIZE_MAX || spec->created < 0 ||
		spec->created > SPEC_TIME_MAX || spec->uid > SPEC_ID_MAX ||
		spec->gid > SPEC_ID_MAX ||
		(spec->config != NULL && !json_object_is_type(spec->config, json_type_object)))
		fuzz_broken("a spec with values out of range was taken");
}

static void tell_text(const char *text)
{
	if (text != NULL)
		fuzz_outcome("spec", text, strlen(text));
}

static void tell_spec(const struct build_spec *spec)
{
	const int64_t created = spec->created_now ? -1 : spec->created;
	tell_text(spec->name);
	tell_text(spec->tag);
	tell_text(spec->from_image);
	tell_text(spec->run_as_root);
	tell_text(spec->extra_commands);
	tell_text(spec->architecture);
	tell_text(spec->config != NULL ? json_object_to_json_string(spec->config) : NULL);
	fuzz_outcome("spec", &spec->disk_size, sizeof(spec->disk_size));
	fuzz_outcome("spec", &spec->memory_size, sizeof(spec->memory_size));
	fuzz_outcome("spec", &created, sizeof(created));
	fuzz_outcome("spec", &spec->uid, sizeof(spec->uid));
	fuzz_outcome("spec", &spec->gid, sizeof(spec->gid));
}

static bool parse(const char *text, size_t len, struct build_spec *spec)
{
	struct error err = fuzz_error();
	bool ok = fuzz_ok(spec_parse(text, len, "spec.json", "folder", spec, report, &err), &err);
	if (!ok && err.kind != ERROR_SPEC)
		fuzz_broken("not the spec's fault: %s", err.message);
	return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error err = fuzz_error();
	cleanup_spec struct build_spec *spec = spec_new();
	cleanup_spec struct build_spec *again = spec_new();
	bool ok = parse((const char *)data, size, spec);
	if (ok != parse((const char *)data, size, again))
		fuzz_broken("the document was taken once, but not twice");
	if (!ok)
		return 0;
	check_same(spec, again);
	check_ranges(spec);
	tell_spec(spec);
	fuzz_ok(spec_check(spec, &err), &err);
	return 0;
}
