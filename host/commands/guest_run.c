#include "commands/guest_run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "commands/confined_diff.h"
#include "commands/qemu_program.h"
#include "disk/disk.h"
#include "guestfs/guestfs_read.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/guest_files.h"

#define MIB (UINT64_C(1) << 20)

struct disks {
	int base;
	int overlay;
};

static void disks_cleanup(struct disks *disks)
{
	cleanup_close_fn(&disks->base);
	cleanup_close_fn(&disks->overlay);
}

/* What the guest mounts on: where the image lacks it, it is made, and no change if untouched. */
static int add_scaffold(struct tree *tree, struct error *err)
{
	static const char *const names[] = {"dev", "proc", "sys"};
	struct dentry *root = tree_root(tree);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct dentry *d = tree_find(tree, root, names[i], strlen(names[i]));
		if (d == NULL) {
			struct inode *inode = tree_inode_new(tree, S_IFDIR | 0755);
			d = tree_link(tree, root, names[i], strlen(names[i]), inode);
			d->flags |= DENTRY_SCAFFOLD;
		} else if (!inode_is_dir(d->inode)) {
			return error_set(err, ERROR_INPUT, ENOTDIR,
				"the image's /%s is no directory, so that the guest cannot mount "
				"there",
				names[i]);
		}
	}
	return 0;
}

/* A file in the folder of --keep, or an unnamed one without it. */
static int open_disk(const char *keep, const char *name, struct error *err)
{
	if (keep == NULL)
		return file_temporary(err);
	if (mkdir(keep, 0777) < 0 && errno != EEXIST)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be made", keep);
	cleanup_free char *path = xasprintf("%s/%s", keep, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
	if (fd < 0)
		return error_set_errno(err, ERROR_OUTPUT, "%s: cannot be written", path);
	return fd;
}

static int assemble(const struct build_options *options, struct tree *tree, struct disks *disks,
	struct error *err)
{
	const struct disk_options disk_options = {.room = options->spec->disk_size * MIB};
	uint64_t size;
	report_stage(options->report, "assemble", "a disk of %llu entries",
		(unsigned long long)tree_count(tree));
	int r = add_scaffold(tree, err);
	if (r < 0)
		return r;
	disks->base = open_disk(options->keep, "disk.ext4", err);
	if (disks->base < 0)
		return disks->base;
	disks->overlay = open_disk(options->keep, "overlay.qcow2", err);
	if (disks->overlay < 0)
		return disks->overlay;
	r = disk_assemble(tree, disks->base, &disk_options, &size, err);
	return r < 0 ? r : overlay_create(disks->overlay, size, err);
}

static int boot(const struct build_options *options, const struct disks *disks,
	struct build_result *result, struct error *err)
{
	const struct build_spec *spec = options->spec;
	cleanup_guest_files struct guest_files files = {0};
	int r = guest_files_find(&files, err);
	if (r < 0)
		return r;
	const struct vm_options vm_options = {
		.qemu = qemu_program(),
		.kernel = files.kernel,
		.initrd = files.initrd,
		.accel = options->accel,
		.memory_mib = spec->memory_size,
		.cpus = options->cpus,
		.timeout = options->timeout,
		.disk_fd = disks->base,
		.overlay_fd = disks->overlay,
		.log_limit = options->log_limit,
	};
	char **env = image_env(result->base, spec->config);
	const struct vm_job job = {
		.script = spec->run_as_root,
		.script_len = strlen(spec->run_as_root),
		.env = (const char *const *)env,
		.cwd = "/",
	};
	report_stage(options->report, "run", "runAsRoot in a guest of %u MiB", spec->memory_size);
	result->guest_ran = true;
	r = vm_run(&vm_options, &job, options->report, &result->outcome, err);
	image_env_free(env);
	return r;
}

static int guestfs_diff(struct tree *tree, const struct disks *disks, int layer_fd,
	const struct layer_options *layer_options, struct build_result *result, struct error *err)
{
	int r = guestfs_reread(tree, disks->base, disks->overlay, err);
	if (r == 0)
		r = changes_mark(tree, &result->changes, err);
	return r < 0 ? r : layer_write(tree, layer_fd, layer_options, &result->layer, err);
}

int guest_run(const struct build_options *options, struct tree *tree, int layer_fd,
	const struct layer_options *layer_options, struct build_result *result, struct error *err)
{
	__attribute__((cleanup(disks_cleanup))) struct disks disks = {.base = -1, .overlay = -1};
	int r = assemble(options, tree, &disks, err);
	if (r == 0)
		r = boot(options, &disks, result, err);
	if (r < 0)
		return r;
	report_stage(options->report, "diff", "what the script changed");
	if (options->reader == BUILD_READER_GUESTFS)
		return guestfs_diff(tree, &disks, layer_fd, layer_options, result, err);
	return confined_diff(tree, disks.base, disks.overlay, layer_fd, layer_options,
		&result->changes, &result->layer, err);
}
