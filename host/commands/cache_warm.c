#include "commands/cache_warm.h"

#include <errno.h>
#include <string.h>

#include "commands/build_base.h"
#include "commands/build_options.h"
#include "commands/guest_check.h"
#include "commands/guest_extras.h"
#include "commands/guest_run.h"
#include "commands/kept_archive.h"
#include "commands/qemu_program.h"
#include "commands/warm_boot.h"
#include "guestfs/vm_disk.h"
#include "image/image.h"
#include "vm/guest_files.h"

#define MIB (UINT64_C(1) << 20)

/* A build's own settings, with the flags in their place. */
static void settle(struct build_options *build, const struct cache_options *options)
{
	build->accel = options->accel;
	if (options->memory != 0)
		build->spec->memory_size = options->memory;
	if (options->cpus != 0)
		build->cpus = options->cpus;
	if (options->disk_size != 0)
		build->spec->disk_size = options->disk_size;
}

/* The disks of mounts, and the network; what is made for them in an image goes to an empty one. */
static int add_extras(const struct guest_extras_spec *spec, struct tree *tree,
	struct report *report, struct guest_extras **extras, struct vm_options *vm_options,
	struct error *err)
{
	const struct guest_extras_options options = {.report = report};
	int r = guest_extras_prepare(spec, tree, &options, extras, err);
	if (r < 0)
		return r;
	guest_extras_apply(*extras, vm_options);
	return 0;
}

static int warm_guest(const struct cache *cache, const struct build_options *build,
	const struct guest_extras_spec *spec, struct report *report, struct error *err)
{
	cleanup_guest_files struct guest_files files = {0};
	cleanup_warm_boot struct warm_boot warm = WARM_BOOT_NONE;
	cleanup_tree struct tree *tree = tree_new();
	cleanup_guest_extras struct guest_extras *extras = NULL;
	int r = guest_files_find(&files, err);
	if (r < 0)
		return r;
	struct vm_options vm_options = {
		.qemu = qemu_program(),
		.kernel = files.kernel,
		.initrd = files.initrd,
		.accel = build->accel,
		.memory_mib = build->spec->memory_size,
		.cpus = build->cpus != 0 ? build->cpus : vm_default_cpus(build->accel),
		.disk_fd = -1,
		.overlay_fd = -1,
	};
	r = add_extras(spec, tree, report, &extras, &vm_options, err);
	if (r < 0)
		return r;
	report_stage(report, "guest", "%u MiB, %u CPU%s", vm_options.memory_mib, vm_options.cpus,
		vm_options.cpus == 1 ? "" : "s");
	r = warm_boot_open(cache, &vm_options, report, &warm, err);
	if (r == 0 && !warm.is_open)
		return error_set(
			err, ERROR_QEMU, EIO, "no guest is saved; the line above says why");
	return r;
}

/* Makes the disk of a base that is not in the cache: there, or nowhere. */
static int make_base(struct build_base *base, struct error *err)
{
	const struct base_slot slot = {
		.cache = base->cache, .id = base->id, .disk = -1, .claim = &base->claim};
	cleanup_tree struct tree *tree = NULL;
	cleanup_base_making struct base_making *making = NULL;
	uint64_t size;
	int r = base_making_start(&slot, &making, err);
	if (r == 0)
		r = build_base_tree(base, &tree, err);
	if (r == 0)
		r = guest_run_scaffold(tree, err);
	if (r < 0)
		return r;
	report_stage(base->report, "assemble", "a disk of %llu entries",
		(unsigned long long)tree_count(tree));
	r = base_making_assemble(making, tree, &size, err);
	if (r == 0)
		r = build_base_verify(base, err);
	if (r < 0)
		return r;
	base_making_publish(making);
	return base_making_finish(making, err);
}

static int warm_base(const struct cache *cache, const struct cache_options *options,
	const struct build_options *build, struct error *err)
{
	struct kept_archive kept;
	const struct image_options image_options = {
		.name = options->image.name,
		.tag = options->image.tag,
		.architecture = options->image.architecture,
		.variant = options->image.variant,
		.report = options->report,
		.later = true,
		.keep = &kept.keep,
	};
	cleanup_image struct image *image = NULL;
	cleanup_build_base struct build_base base = BUILD_BASE_NONE;
	if (strcmp(options->from, "-") != 0 && is_vm_disk(options->from))
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: is the disk of a virtual machine, and nothing is cached of one",
			options->from);
	report_stage(options->report, "read", "%s", options->from);
	kept_archive_init(&kept, cache, options->report, BASE_CHECK_IDENTITY);
	int r = image_open(options->from, &image_options, &image, err);
	kept_archive_close(&kept);
	if (r < 0)
		return r;
	base.image = image;
	base.cache = cache;
	base.report = options->report;
	const uint64_t room = build->spec->disk_size * MIB;
	r = build_base_find(&base, room, VM_DISK_SIZE, err);
	/* A root file system is known only when it was read. */
	if (r == 0 && !base.has_id)
		r = build_base_verify(&base, err);
	if (r == 0 && !base.has_id)
		r = build_base_find(&base, room, VM_DISK_SIZE, err);
	if (r == 0)
		r = build_base_claim(&base, err);
	if (r < 0 || base.disk >= 0)
		return r;
	if (!base.has_id)
		return error_set(err, ERROR_INPUT, EINVAL,
			"%s: nothing is cached of an image without layers, or of one that is not "
			"known by its file",
			options->from);
	return make_base(&base, err);
}

int cache_warm(const struct cache *cache, const struct cache_options *options, struct error *err)
{
	cleanup_build_options struct build_options *build = build_options_new();
	settle(build, options);
	int r = guest_check(build->accel, err);
	if (r == 0)
		r = warm_guest(cache, build, &options->extras, options->report, err);
	if (r == 0 && options->from != NULL)
		r = warm_base(cache, options, build, err);
	report_done(options->report);
	return r;
}
