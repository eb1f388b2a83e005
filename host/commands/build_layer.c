#include "commands/build_layer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "commands/build_base.h"
#include "commands/build_step.h"
#include "commands/cache_note.h"
#include "commands/disk_base.h"
#include "commands/guest_run.h"
#include "commands/kept_archive.h"
#include "commands/session_job.h"
#include "commands/step_key.h"
#include "guestfs/vm_disk.h"
#include "hostdir/hostdir.h"
#include "hostdir/workdir.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/tree.h"

#define MIB (UINT64_C(1) << 20)

/* As many layers as Docker's own store stacks (moby, layer/layer_store.go). */
#define DOCKER_LAYERS_MAX 125u

static enum base_check base_check(const struct build_options *options)
{
	return options->verify ? BASE_CHECK_BYTES : BASE_CHECK_IDENTITY;
}

/* cache: NULL: none. */
static int open_base(const struct build_options *options, const struct cache *cache,
	struct image **base, struct error *err)
{
	struct kept_archive kept;
	const struct build_spec *spec = options->spec;
	if (spec->from_image == NULL) {
		*base = image_scratch();
		return 0;
	}
	struct image_options image_options = {
		.name = spec->from_image_name,
		.tag = spec->from_image_tag,
		.architecture = spec->architecture,
		.variant = options->variant,
		.report = options->report,
		.later = true,
	};
	report_stage(options->report, "read", "%s", spec->from_image);
	if (strcmp(spec->from_image, "-") != 0 && is_vm_disk(spec->from_image))
		return disk_base_open(spec->from_image, &image_options, base, err);
	if (cache == NULL)
		return image_open(spec->from_image, &image_options, base, err);
	kept_archive_init(&kept, cache, options->report, base_check(options));
	image_options.keep = &kept.keep;
	int r = image_open(spec->from_image, &image_options, base, err);
	kept_archive_close(&kept);
	return r;
}

static bool has_copies(const struct build_options *options)
{
	return options->spec->copy_to_root[0] != NULL;
}

static int copy_files(const struct build_options *options, struct tree *tree, struct error *err)
{
	const struct build_spec *spec = options->spec;
	const struct hostdir_options hostdir_options = {
		.uid = spec->uid,
		.gid = spec->gid,
		.keep_dirlinks = spec->keep_contents_dirlinks,
		.keep_modes = spec->keep_contents_modes,
		.report = options->report,
	};
	for (char **path = spec->copy_to_root; *path != NULL; path++) {
		report_stage(options->report, "copy", "%s", *path);
		int r = hostdir_copy_in(tree, *path, &hostdir_options, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Whether a script's layer is there, of this run or an earlier one. */
static bool has_layer(const struct build_result *result)
{
	return result->guest_ran || result->cached;
}

/*
 * Runs extraCommands on the new layer's files. Where a guest made them they are read back from
 * the layer: the tree in memory never sees the guest's disk.
 */
static int run_extra_commands(const struct build_options *options, struct tree *tree, int layer_fd,
	const struct build_result *result, struct error *err)
{
	const struct build_spec *spec = options->spec;
	const struct workdir_options workdir_options = {
		.uid = spec->uid, .gid = spec->gid, .report = options->report};
	if (has_layer(result)) {
		int fd = fcntl(layer_fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0)
			return error_set_errno(err, ERROR_INTERNAL, "cannot copy a descriptor");
		tree_revert(tree);
		int r = layer_apply(tree, source_from_fd(fd, 0, "the new layer"),
			result->layer.size, "the new layer", err);
		if (r < 0)
			return r;
	}
	report_stage(options->report, "extra", "extraCommands on the host");
	return workdir_run(tree, spec->extra_commands, &workdir_options, err);
}

/* Where containers of the image start: the spec's WorkingDir, or the base's, or the root. */
static const char *image_workdir(const struct image *base, json_object *spec_config)
{
	json_object *configs[] = {spec_config, NULL};
	json_object_object_get_ex(base->config, "config", &configs[1]);
	for (size_t i = 0; i < 2; i++) {
		json_object *value = NULL;
		if (configs[i] != NULL)
			json_object_object_get_ex(configs[i], "WorkingDir", &value);
		const char *path = value != NULL ? json_object_get_string(value) : "";
		if (path[0] == '/')
			return path;
	}
	return "/";
}

/* Waiting for the base's bytes has a line of its own: what went before may be long done. */
static void report_verify(struct report *report, const struct image *base)
{
	report_stage(report, "verify", "%zu layer%s", base->layer_count,
		base->layer_count == 1 ? "" : "s");
}

/* A guest with what it must not outlive. Must not be moved. */
struct guest {
	struct build_base *base;
	struct guest_run_options options;
	struct base_slot slot;
	struct guest_run run;
	struct image_writer *writer; /* what is verified goes there beside the guest; or NULL */
};

static void guest_close(struct guest *guest)
{
	guest_run_close(&guest->run);
}

/* Lets the base's layers, which are known to be right, go out beside what follows. */
static void start_writer(
	struct image_writer *writer, const struct image *base, struct report *report)
{
	if (writer != NULL)
		image_writer_start(writer, base, report);
}

static int run_job(struct guest *guest, struct tree *tree, const struct vm_job *job,
	const char *what, struct build_result *result, struct error *err)
{
	struct report *report = guest->options.report;
	int r = guest_run_assemble(&guest->run, tree, err);
	/* Nothing runs on layers that are not what they are said to be. */
	if (r == 0 && !result->base_known && result->base->layer_count != 0) {
		report_verify(report, result->base);
		r = build_base_verify(guest->base, err);
	}
	if (r < 0)
		return r;
	guest_run_publish(&guest->run);
	start_writer(guest->writer, result->base, report);
	/* An output that has no room already need not wait for a script to say so; after the script
	   it must wait: what the script made is kept first. */
	r = guest->writer != NULL ? image_writer_check(guest->writer, err) : 0;
	if (r < 0)
		return r;
	result->guest_ran = true;
	return guest_run_boot(&guest->run, job, what, &result->outcome, err);
}

/* The spec's script; where it fails and that was asked for, a shell after it. */
static int run_script(const struct build_options *options, struct tree *tree, struct guest *guest,
	struct build_result *result, struct error *err)
{
	const struct build_spec *spec = options->spec;
	const struct session_options shell_options = {.terminal = options->terminal};
	cleanup_session_job struct session_job shell = {0};
	char **env = image_env(result->base, spec->config);
	struct vm_job job = {
		.kind = VM_JOB_SCRIPT,
		.script = spec->run_as_root,
		.script_len = strlen(spec->run_as_root),
		.env = (const char *const *)env,
		.cwd = "/",
	};
	if (options->debug_on_failure) {
		session_job_fill(&shell, &shell_options, job.env, job.cwd);
		job.on_failure = &shell.job;
	}
	int r = run_job(guest, tree, &job, "runAsRoot", result, err);
	image_env_free(env);
	return r;
}

/* A command that fails makes no layer; of a shell, the last command's status says nothing. */
static int run_session(const struct build_options *options, struct tree *tree, struct guest *guest,
	struct build_result *result, struct error *err)
{
	const struct session_options *session = options->session;
	json_object *config = options->spec->config;
	cleanup_session_job struct session_job job = {0};
	char **env = image_env(result->base, config);
	session_job_fill(
		&job, session, (const char *const *)env, image_workdir(result->base, config));
	image_env_free(env);
	int r = run_job(guest, tree, &job.job, session_name(session), result, err);
	int status = result->outcome.exit_status;
	if (r < 0 || session->command == NULL || status == 0 || options->output == NULL)
		return r;
	error_set(err, ERROR_SCRIPT, ECANCELED,
		"the command ended with status %d, so that nothing is committed", status);
	err->status = status;
	return -ECANCELED;
}

/* Runs the script or the session, and writes what it changed. */
static int run_guest(const struct build_options *options, struct tree *tree, struct guest *guest,
	int layer_fd, const struct layer_options *layer_options, struct build_result *result,
	struct error *err)
{
	const struct session_options *session = options->session;
	cleanup_close int list_fd = -1;
	int r = session != NULL ? run_session(options, tree, guest, result, err)
				: run_script(options, tree, guest, result, err);
	if (r < 0)
		return r;
	if (session != NULL && session->list) {
		list_fd = file_temporary(err);
		if (list_fd < 0)
			return list_fd;
	}
	const struct guest_changes wanted = {
		.layer = layer_fd, .layer_options = layer_options, .list = list_fd};
	report_stage(options->report, "diff", "what %s changed",
		session != NULL ? session_name(session) : "the script");
	r = guest_run_diff(&guest->run, tree, &wanted, &result->changes, &result->layer, err);
	return r < 0 || list_fd < 0 ? r : session_show_list(list_fd, options->report, err);
}

/* The state that a guest starts from; the tree's base state is what changes are told against. */
static int prepare_tree(const struct build_options *options, struct build_base *base,
	const struct guest_run_options *run_options, struct tree **tree, struct error *err)
{
	int r = build_base_tree(base, tree, err);
	if (r < 0)
		return r;
	/* A tree of the cache has the mount points of a disk that is not the one to be used. */
	if (run_options->base == NULL)
		tree_revert(*tree);
	r = copy_files(options, *tree, err);
	/* A session that leaves nothing behind has changed nothing by what was copied before. */
	if (r == 0 && options->output == NULL && has_copies(options))
		tree_freeze(*tree);
	return r;
}

/* Tells what of the base makes the new image another one than its user may want. */
static void warn_base(const struct image *base, struct report *report)
{
	cleanup_free char *triggers = image_triggers(base);
	if (triggers != NULL)
		report_warning(report,
			"the base has ONBUILD triggers, which are neither run nor kept: %s",
			triggers);
	if (base->layer_count + 1 > DOCKER_LAYERS_MAX)
		report_warning(report,
			"the image gets %zu layers, of which docker load takes %u at most; a base "
			"made by layervm export is one layer",
			base->layer_count + 1, DOCKER_LAYERS_MAX);
}

/* Mounts that are kept in the cache fail without one, which is told before anything is read. */
static int open_cache(const struct build_options *options, struct cache **cache, struct error *err)
{
	if (options->no_cache)
		return 0;
	if (options->spec->run_as_root != NULL && guest_extras_need_cache(&options->spec->extras))
		return cache_open(cache, err);
	cache_note_open(options->report, cache);
	return 0;
}

/* Opens the base, and the user's cache, where it may be known. */
static int find_base(const struct build_options *options, struct build_result *result,
	struct cache **cache, struct build_base *base, struct error *err)
{
	int r = open_cache(options, cache, err);
	if (r == 0)
		r = open_base(options, *cache, &result->base, err);
	if (r < 0)
		return r;
	if (options->output != NULL)
		warn_base(result->base, options->report);
	base->image = result->base;
	base->cache = *cache;
	base->report = options->report;
	base->check = base_check(options);
	r = build_base_find(base, 0, 0, err);
	result->base_known = base->is_known;
	return r;
}

/* All that was made of the base is given out after this alone. */
static int verify_base(
	struct build_base *base, const struct build_result *result, struct error *err)
{
	if (!base->is_known && !result->guest_ran && base->image->layer_count != 0)
		report_verify(base->report, base->image);
	return build_base_verify(base, err);
}

/* Whether the guest's disk is the base's own: nothing is added to the tree before it runs. */
static bool takes_base_disk(const struct build_options *options, const struct build_base *base)
{
	return base->has_id && !has_copies(options) && options->keep == NULL &&
	       !extras_any(&options->spec->extras);
}

/*
 * Looks for the script's layer among those of earlier runs. A root file system has no diff ID, and
 * its steps have no key, before it was read.
 */
static int find_step(struct build_step *step, struct build_base *base, struct build_result *result,
	int *layer_fd, struct error *err)
{
	if (base->cache == NULL || !step_is_repeatable(step->options))
		return 0;
	int r = base->image->from_rootfs ? verify_base(base, result, err) : 0;
	if (r < 0)
		return r;
	result->base_known = base->is_known;
	step->base = base->image;
	step->cache = base->cache;
	return build_step_find(step, result, layer_fd, err);
}

/* Packs the tree as it is by now, which the layer that the guest left may be a source of. */
static int pack(struct tree *tree, const struct layer_options *layer_options,
	struct build_result *result, int *layer, struct error *err)
{
	cleanup_close int fd = file_temporary(err);
	if (fd < 0)
		return fd;
	int r = changes_mark(tree, &result->changes, err);
	if (r == 0)
		r = layer_write(tree, fd, layer_options, &result->layer, err);
	if (r == 0)
		*layer = steal_fd(&fd);
	return r;
}

static void guest_fill(
	struct guest *guest, const struct build_options *options, struct build_base *base)
{
	const struct build_spec *spec = options->spec;
	guest->base = base;
	guest->options = (struct guest_run_options){
		.report = options->report,
		.accel = options->accel,
		.memory = spec->memory_size,
		.cpus = options->cpus,
		.timeout = options->timeout,
		.log_limit = options->log_limit,
		.disk_size = spec->disk_size,
		.reader = options->reader,
		.extras = &spec->extras,
		.no_cache = options->no_cache,
		.keep = options->keep,
		.check = base->check,
	};
	guest->slot = (struct base_slot){
		.cache = base->cache, .id = base->id, .disk = base->disk, .claim = &base->claim};
	guest->options.base = takes_base_disk(options, base) ? &guest->slot : NULL;
	guest->run.options = &guest->options;
}

/* The base with what is copied to it, and in *layer_fd what a guest makes of it, if there is one.
 */
static int make_layer(const struct build_options *options, struct build_base *base,
	struct guest *guest, const struct layer_options *layer_options, struct build_result *result,
	struct tree **tree, int *layer_fd, struct error *err)
{
	bool has_guest = options->spec->run_as_root != NULL || options->session != NULL;
	int r = has_guest && takes_base_disk(options, base) ? build_base_claim(base, err) : 0;
	if (r < 0)
		return r;
	result->base_known = base->is_known;
	guest_fill(guest, options, base);
	if (has_guest && options->output != NULL) {
		*layer_fd = file_temporary(err);
		if (*layer_fd < 0)
			return *layer_fd;
	}
	r = has_guest ? guest_run_start(&guest->run, err) : 0;
	if (r == 0)
		r = prepare_tree(options, base, &guest->options, tree, err);
	if (r < 0 || !has_guest)
		return r;
	return run_guest(options, *tree, guest, *layer_fd, layer_options, result, err);
}

int build_layer(const struct build_options *options, struct image_writer *writer,
	struct build_result *result, int *layer, struct error *err)
{
	const struct build_spec *spec = options->spec;
	const struct layer_options layer_options = {
		.mtime_max = options->has_source_date_epoch ? options->source_date_epoch
							    : spec->created};
	bool has_guest = spec->run_as_root != NULL || options->session != NULL;
	bool has_extra = spec->extra_commands[0] != '\0';
	cleanup_cache struct cache *cache = NULL;
	cleanup_build_base struct build_base base = BUILD_BASE_NONE;
	struct build_step step = {.options = options};
	__attribute__((cleanup(guest_close))) struct guest guest = {
		.run = GUEST_RUN_NONE, .writer = writer};
	cleanup_tree struct tree *tree = NULL;
	cleanup_close int layer_fd = -1;
	*layer = -1;
	int r = find_base(options, result, &cache, &base, err);
	if (r == 0)
		r = find_step(&step, &base, result, &layer_fd, err);
	/* A layer that stands needs neither the base's tree nor its disk. */
	if (r == 0 && has_guest && (!result->cached || has_extra))
		r = build_base_find(&base, spec->disk_size * MIB, VM_DISK_SIZE, err);
	if (r < 0)
		return r;
	if (base.is_known && !result->cached)
		start_writer(writer, result->base, options->report);
	if (!result->cached)
		r = make_layer(
			options, &base, &guest, &layer_options, result, &tree, &layer_fd, err);
	else if (has_extra)
		r = build_base_tree(&base, &tree, err);
	if (r == 0)
		r = verify_base(&base, result, err);
	if (r == 0 && result->guest_ran)
		r = build_step_keep(&step, result, layer_fd, err);
	if (r == 0 && has_extra)
		r = run_extra_commands(options, tree, layer_fd, result, err);
	if (r < 0)
		return r;
	if (has_layer(result) && !has_extra) {
		*layer = steal_fd(&layer_fd);
		return 0;
	}
	report_stage(options->report, "pack", "the new layer");
	return pack(tree, &layer_options, result, layer, err);
}
