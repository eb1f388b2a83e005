#include "commands/step_key.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "commands/qemu_program.h"
#include "hostdir/hostdigest.h"
#include "support/architecture.h"
#include "support/child.h"
#include "support/identity.h"
#include "support/memory.h"
#include "vm/guest_files.h"

/* Changes with what is in a key, and with how layers are kept (step_cache.c). */
#define VERSION "layervm step 1"

static void add_number(struct hasher *hasher, uint64_t number)
{
	hasher_add(hasher, &number, sizeof(number));
}

/* With its length, so that no two lists of texts have the same bytes. NULL is no text. */
static void add_text(struct hasher *hasher, const char *text)
{
	add_number(hasher, text != NULL);
	if (text == NULL)
		return;
	size_t len = strlen(text);
	add_number(hasher, len);
	hasher_add(hasher, text, len);
}

static void add_digest(struct hasher *hasher, const struct digest *digest)
{
	hasher_add(hasher, digest->bytes, sizeof(digest->bytes));
}

/* Of a base's config a script sees the environment alone. */
static void add_base(struct hasher *hasher, const struct image *base, const struct build_spec *spec)
{
	char **env = image_env(base, spec->config);
	size_t count = 0;
	add_number(hasher, base->layer_count);
	if (base->layer_count != 0) {
		struct digest chain = image_chain_id(base, base->layer_count);
		add_digest(hasher, &chain);
	}
	while (env[count] != NULL)
		count++;
	add_number(hasher, count);
	for (size_t i = 0; i < count; i++)
		add_text(hasher, env[i]);
	image_env_free(env);
}

static void add_settings(struct hasher *hasher, const struct build_options *options)
{
	const struct build_spec *spec = options->spec;
	const uint64_t numbers[] = {
		spec->memory_size,
		spec->disk_size,
		options->cpus,
		spec->uid,
		spec->gid,
		spec->keep_contents_dirlinks,
		spec->keep_contents_modes,
		/* A second reader is asked for to see it read. */
		options->reader,
		(uint64_t)(options->has_source_date_epoch ? options->source_date_epoch
							  : spec->created),
	};
	hasher_add(hasher, numbers, sizeof(numbers));
	add_text(hasher, architecture_of_host());
	add_text(hasher, spec->run_as_root);
}

static int add_copies(struct hasher *hasher, const struct build_spec *spec, struct error *err)
{
	struct digest content;
	for (char **path = spec->copy_to_root; *path != NULL; path++) {
		int r = hostdigest(*path, spec->keep_contents_dirlinks, &content, err);
		if (r < 0)
			return r;
		add_number(hasher, 1);
		add_digest(hasher, &content);
	}
	add_number(hasher, 0);
	return 0;
}

static int add_extras(
	struct hasher *hasher, const struct guest_extras_spec *extras, struct error *err)
{
	struct digest content;
	add_number(hasher, extras->mount_count);
	for (size_t i = 0; i < extras->mount_count; i++) {
		const struct guest_mount *mount = &extras->mounts[i];
		add_number(hasher, mount->type);
		add_text(hasher, mount->dst);
		add_number(hasher, mount->read_only);
		add_number(hasher, mount->size_mib);
		if (mount->type != GUEST_MOUNT_BIND)
			continue;
		int r = hostdigest(mount->src, true, &content, err);
		if (r < 0)
			return r;
		add_digest(hasher, &content);
	}
	add_number(hasher, extras->host_count);
	for (size_t i = 0; i < extras->host_count; i++) {
		add_text(hasher, extras->hosts[i].name);
		add_text(hasher, extras->hosts[i].address);
	}
	return 0;
}

/*
 * A program by its identity. An installation or a build that gives the same bytes once more costs
 * a run; reading tens of megabytes would cost each step that is not run.
 */
static int add_program(struct hasher *hasher, const char *path, struct error *err)
{
	struct stat st;
	if (stat(path, &st) < 0)
		return error_set_errno(err, ERROR_INTERNAL, "%s: cannot be looked at", path);
	struct file_identity identity = file_identity(&st);
	hasher_add(hasher, &identity, sizeof(identity));
	return 0;
}

static int add_programs(struct hasher *hasher, struct error *err)
{
	cleanup_guest_files struct guest_files files = {0};
	cleanup_free char *qemu = child_find(qemu_program());
	int r = guest_files_find(&files, err);
	if (r < 0)
		return r;
	if (qemu == NULL)
		return error_set(err, ERROR_QEMU, ENOENT, "%s not found", qemu_program());
	const char *const programs[] = {"/proc/self/exe", qemu, files.kernel, files.initrd};
	for (size_t i = 0; r == 0 && i < sizeof(programs) / sizeof(programs[0]); i++)
		r = add_program(hasher, programs[i], err);
	return r;
}

bool step_is_repeatable(const struct build_options *options)
{
	const struct build_spec *spec = options->spec;
	const struct guest_extras_spec *extras = &spec->extras;
	if (spec->run_as_root == NULL || options->session != NULL || options->keep != NULL ||
		options->debug_on_failure)
		return false;
	if (spec->created_now && !options->has_source_date_epoch)
		return false;
	if (extras->network != GUEST_NETWORK_NONE || extras->secret_count != 0)
		return false;
	for (size_t i = 0; i < extras->mount_count; i++) {
		if (extras->mounts[i].type == GUEST_MOUNT_CACHE)
			return false;
	}
	return true;
}

int step_key(const struct build_options *options, const struct image *base, struct digest *key,
	struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	add_text(hasher, VERSION);
	add_base(hasher, base, options->spec);
	add_settings(hasher, options);
	int r = add_programs(hasher, err);
	if (r == 0)
		r = add_copies(hasher, options->spec, err);
	if (r == 0)
		r = add_extras(hasher, &options->spec->extras, err);
	if (r == 0)
		*key = hasher_finish(hasher);
	return r;
}
