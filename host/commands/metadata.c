/* --metadata-file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "commands/build.h"
#include "commands/qemu_program.h"
#include "support/child.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/guest_files.h"

static void add_text(json_object *object, const char *key, const char *text)
{
	json_object_object_add(object, key, json_object_new_string(text));
}

static void add_digest(json_object *object, const char *key, const struct digest *digest)
{
	char text[DIGEST_TEXT_SIZE];
	add_text(object, key, digest_text(digest, text));
}

static void add_seconds(json_object *object, const char *key, double seconds)
{
	char text[32];
	snprintf(text, sizeof(text), "%.6f", seconds);
	json_object_object_add(object, key, json_object_new_double_s(seconds, text));
}

/* A file's digest; left out where the file cannot be read, as the build has said why by then. */
static void add_file_digest(json_object *object, const char *key, const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_free char *chunk = xmalloc(1 << 20);
	uint64_t size = 0;
	for (;;) {
		ssize_t n = fd < 0 ? -1 : pread(fd, chunk, 1 << 20, (off_t)size);
		if (n < 0)
			return;
		if (n == 0)
			break;
		hasher_add(hasher, chunk, (size_t)n);
		size += (uint64_t)n;
	}
	struct digest digest = hasher_finish(hasher);
	add_digest(object, key, &digest);
}

static json_object *describe_base(const struct image *base)
{
	json_object *object = json_object_new_object();
	json_object *layers = json_object_new_array();
	if (base->name != NULL)
		add_text(object, "name", base->name);
	for (size_t i = 0; i < base->layer_count; i++) {
		json_object *layer = json_object_new_object();
		add_digest(layer, "digest", &base->layers[i].digest);
		add_digest(layer, "diffID", &base->layers[i].diff_id);
		json_object_array_add(layers, layer);
	}
	json_object_object_add(object, "layers", layers);
	if (base->layer_count != 0) {
		struct digest chain_id = image_chain_id(base, base->layer_count);
		add_digest(object, "chainID", &chain_id);
	}
	return object;
}

static json_object *describe_guest(const struct vm_outcome *outcome)
{
	struct error ignored;
	cleanup_guest_files struct guest_files files = {0};
	cleanup_free char *qemu = child_find(qemu_program());
	json_object *object = json_object_new_object();
	json_object_object_add(object, "ran", json_object_new_boolean(true));
	add_text(object, "accel", outcome->accel == VM_ACCEL_KVM ? "kvm" : "tcg");
	json_object_object_add(object, "restored", json_object_new_boolean(outcome->restored));
	if (outcome->boot_seconds > 0)
		add_seconds(object, "bootSeconds", outcome->boot_seconds);
	if (outcome->run_seconds > 0) {
		add_seconds(object, "runSeconds", outcome->run_seconds);
		json_object_object_add(
			object, "exitStatus", json_object_new_int(outcome->exit_status));
	}
	if (qemu != NULL)
		add_file_digest(object, "qemu", qemu);
	if (guest_files_find(&files, &ignored) == 0) {
		add_file_digest(object, "kernel", files.kernel);
		add_file_digest(object, "guestInit", files.initrd);
	}
	return object;
}

/* The script's layer is there without a guest. */
static json_object *describe_no_guest(void)
{
	json_object *object = json_object_new_object();
	json_object_object_add(object, "ran", json_object_new_boolean(false));
	return object;
}

static json_object *describe_image(const struct build_result *result)
{
	json_object *object = json_object_new_object();
	json_object *tags = json_object_new_array();
	add_digest(object, "id", &result->written.image_id);
	add_digest(object, "manifest", &result->written.manifest);
	for (char **tag = result->tags; tag != NULL && *tag != NULL; tag++)
		json_object_array_add(tags, json_object_new_string(*tag));
	json_object_object_add(object, "tags", tags);
	return object;
}

static json_object *describe_layer(const struct build_result *result)
{
	json_object *object = json_object_new_object();
	json_object_object_add(object, "cached", json_object_new_boolean(result->cached));
	/* The new layer is stored as it is, so that its blob's digest is its diff ID. */
	add_digest(object, "digest", &result->layer.diff_id);
	add_digest(object, "diffID", &result->layer.diff_id);
	json_object_object_add(object, "size", json_object_new_uint64(result->layer.size));
	json_object_object_add(object, "entries", json_object_new_uint64(result->layer.entries));
	json_object_object_add(object, "changed", json_object_new_uint64(result->changes.written));
	json_object_object_add(
		object, "deleted", json_object_new_uint64(result->changes.whiteouts));
	return object;
}

static json_object *describe_end(const struct error *failure)
{
	json_object *object = json_object_new_object();
	add_text(object, "kind", failure == NULL ? "success" : error_kind_name(failure->kind));
	json_object_object_add(object, "exitStatus",
		json_object_new_int(failure == NULL ? 0 : error_exit_status(failure)));
	if (failure != NULL)
		add_text(object, "message", failure->message);
	return object;
}

static json_object *describe_stages(const struct report *report)
{
	json_object *stages = json_object_new_array();
	struct report_time time;
	for (size_t i = 0; report_time(report, i, &time); i++) {
		json_object *stage = json_object_new_object();
		add_text(stage, "name", time.name);
		add_seconds(stage, "begin", time.begin);
		add_seconds(stage, "seconds", time.seconds);
		add_seconds(stage, "cpuSeconds", time.cpu);
		json_object_array_add(stages, stage);
	}
	return stages;
}

static json_object *describe_host(const struct report *report)
{
	struct rusage usage;
	json_object *object = json_object_new_object();
	add_seconds(object, "cpuSeconds", report_cpu(report));
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		json_object_object_add(
			object, "peakMemoryKiB", json_object_new_int64(usage.ru_maxrss));
	return object;
}

int build_write_metadata(const struct build_options *options, const struct build_result *result,
	const struct error *failure, struct output *output, struct error *err)
{
	report_done(options->report);
	json_object *object = json_object_new_object();
	json_object_object_add(object, "end", describe_end(failure));
	if (failure == NULL) {
		json_object_object_add(object, "image", describe_image(result));
		json_object_object_add(object, "layer", describe_layer(result));
	}
	if (result->base != NULL)
		json_object_object_add(object, "base", describe_base(result->base));
	if (result->guest_ran || result->cached)
		json_object_object_add(object, "guest",
			result->cached ? describe_no_guest() : describe_guest(&result->outcome));
	json_object_object_add(object, "host", describe_host(options->report));
	json_object_object_add(object, "stages", describe_stages(options->report));

	size_t len;
	const char *text = json_object_to_json_string_length(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	cleanup_free char *line = xasprintf("%s\n", text);
	json_object_put(object);
	int r = file_write(output_fd(output), line, len + 1, options->metadata_file, err);
	return r < 0 ? r : output_commit(output, err);
}
