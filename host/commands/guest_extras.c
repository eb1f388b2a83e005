#include "commands/guest_extras.h"

#include <errno.h>
#include <string.h>

#include "commands/bind_disk.h"
#include "commands/cache_disk.h"
#include "commands/host_files.h"
#include "commands/mount_points.h"
#include "commands/proxy_env.h"
#include "commands/secret_text.h"
#include "disk/disk.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "vm/passt.h"

_Static_assert(GUEST_MOUNTS_MAX <= VM_MOUNTS_MAX, "a run takes all mounts of a spec");

struct guest_extras {
	const struct guest_extras_spec *spec;
	struct report *report;
	enum base_check check; /* of bind mounts' disks that the cache has */
	struct mount_points points;
	struct host_files files;
	struct vm_disk disks[VM_FURTHER_MAX];
	const char *cache_ids[VM_FURTHER_MAX]; /* of each disk that is a cache's; else NULL */
	size_t disk_count;
	struct vm_mount *mounts;
	const struct guest_mount **mount_specs; /* of each */
	size_t mount_count;
	struct vm_secret *secrets;
	size_t secret_count;
	struct passt passt;
	bool prepared; /* all of the above */
};

/* Opens the disk of a bind mount as the next one. */
static int add_bind(struct guest_extras *extras, const struct cache *cache,
	const struct guest_mount *mount, struct error *err)
{
	struct vm_disk *disk = &extras->disks[extras->disk_count];
	const struct bind_disk_source source = {.folder = mount->src, .check = extras->check};
	int r = bind_disk_open(cache, &source, extras->report, &disk->fd, err);
	if (r < 0)
		return r;
	extras->disk_count++;
	if (mount->read_only)
		return 0;
	disk->overlay_fd = file_temporary(err);
	if (disk->overlay_fd < 0)
		return disk->overlay_fd;
	r = overlay_create(disk->overlay_fd, VM_DISK_SIZE, err);
	return r < 0 ? r : disk_size(disk->fd, &disk->size, err);
}

static int add_cache(struct guest_extras *extras, const struct cache *cache,
	const struct guest_mount *mount, struct error *err)
{
	struct vm_disk *disk = &extras->disks[extras->disk_count];
	int r = cache_disk_open(cache, mount->id, extras->report, &disk->fd, err);
	if (r < 0)
		return r;
	extras->cache_ids[extras->disk_count++] = mount->id;
	return disk_size(disk->fd, &disk->size, err);
}

/* The disk of a cache that another mount has already; disk_count where there is none. */
static size_t find_cache(const struct guest_extras *extras, const struct guest_mount *mount)
{
	size_t i = 0;
	while (i < extras->disk_count &&
		(extras->cache_ids[i] == NULL || mount->type != GUEST_MOUNT_CACHE ||
			strcmp(extras->cache_ids[i], mount->id) != 0))
		i++;
	return i;
}

/* *index: the disk of a mount, opened where it is a new one. */
static int give_disk(struct guest_extras *extras, const struct cache *cache,
	const struct guest_mount *mount, size_t *index, struct error *err)
{
	*index = find_cache(extras, mount);
	if (*index == VM_FURTHER_MAX)
		return error_set(err, ERROR_SPEC, E2BIG,
			"mounts: more than %d are folders and caches, each of which takes a disk",
			VM_FURTHER_MAX);
	int r = 0;
	if (*index == extras->disk_count) {
		extras->disks[*index] = (struct vm_disk){.fd = -1, .overlay_fd = -1};
		r = mount->type == GUEST_MOUNT_BIND ? add_bind(extras, cache, mount, err)
						    : add_cache(extras, cache, mount, err);
	}
	if (mount->type == GUEST_MOUNT_CACHE && !mount->read_only)
		extras->disks[*index].writable = true;
	return r;
}

bool guest_extras_need_cache(const struct guest_extras_spec *spec)
{
	for (size_t i = 0; i < spec->mount_count; i++) {
		if (spec->mounts[i].type != GUEST_MOUNT_TMPFS)
			return true;
	}
	return false;
}

/* Caches are locked in the order of their IDs: so no two runs wait for one another. */
static int compare_ids(const void *a, const void *b)
{
	return strcmp((*(const struct guest_mount *const *)a)->id,
		(*(const struct guest_mount *const *)b)->id);
}

static int open_caches(struct guest_extras *extras, const struct cache *cache, struct error *err)
{
	const struct guest_extras_spec *spec = extras->spec;
	cleanup_free const struct guest_mount **caches =
		xcalloc(spec->mount_count, sizeof(*caches));
	size_t count = 0;
	for (size_t i = 0; i < spec->mount_count; i++) {
		if (spec->mounts[i].type == GUEST_MOUNT_CACHE)
			caches[count++] = &spec->mounts[i];
	}
	if (count > 0)
		qsort(caches, count, sizeof(*caches), compare_ids);
	int r = 0;
	for (size_t i = 0, index; r == 0 && i < count; i++)
		r = give_disk(extras, cache, caches[i], &index, err);
	return r;
}

/* Folders come before caches: nothing is locked while they are read. */
static int make_mounts(struct guest_extras *extras, struct error *err)
{
	cleanup_cache struct cache *cache = NULL;
	int r = guest_extras_need_cache(extras->spec) ? cache_open(&cache, err) : 0;
	extras->mounts = xcalloc(extras->points.count, sizeof(*extras->mounts));
	extras->mount_specs = xcalloc(extras->points.count, sizeof(*extras->mount_specs));
	for (size_t i = 0; r == 0 && i < extras->points.count; i++) {
		const struct mount_point *point = &extras->points.points[i];
		const struct guest_mount *mount = point->mount;
		if (mount == NULL)
			continue;
		struct vm_mount *to = &extras->mounts[extras->mount_count];
		extras->mount_specs[extras->mount_count++] = mount;
		*to = (struct vm_mount){
			.kind = mount->type == GUEST_MOUNT_TMPFS ? VM_MOUNT_TMPFS : VM_MOUNT_DISK,
			.size_mib = mount->size_mib,
			.read_only = mount->read_only,
			.path = point->path,
		};
		if (mount->type == GUEST_MOUNT_BIND)
			r = give_disk(extras, cache, mount, &to->disk, err);
	}
	return r < 0 ? r : open_caches(extras, cache, err);
}

/* Which disk each cache mount has, now that all are open. */
static void name_caches(struct guest_extras *extras)
{
	for (size_t i = 0; i < extras->mount_count; i++) {
		const struct guest_mount *mount = extras->mount_specs[i];
		if (mount->type == GUEST_MOUNT_CACHE)
			extras->mounts[i].disk = find_cache(extras, mount);
	}
}

static int read_secrets(struct guest_extras *extras, struct error *err)
{
	const struct guest_extras_spec *spec = extras->spec;
	extras->secrets = xcalloc(spec->secret_count, sizeof(*extras->secrets));
	size_t total = 0;
	for (size_t i = 0; i < spec->secret_count; i++) {
		struct vm_secret *secret = &extras->secrets[extras->secret_count++];
		int r = secret_text_read(&spec->secrets[i], secret, err);
		if (r < 0)
			return r;
		total += secret->len;
		if (total > GUEST_SECRETS_SIZE_MAX)
			return error_set(err, ERROR_SPEC, EFBIG,
				"secrets: have more than %u bytes together, which would stay in "
				"the "
				"guest's memory; bring the large ones by --mount type=bind",
				GUEST_SECRETS_SIZE_MAX);
	}
	return 0;
}

static int start_network(struct guest_extras *extras, struct error *err)
{
	if (extras->spec->network == GUEST_NETWORK_NONE)
		return 0;
	proxy_env_note(extras->report);
	return passt_start(&extras->passt, err);
}

int guest_extras_prepare(const struct guest_extras_spec *spec, struct tree *tree,
	const struct guest_extras_options *options, struct guest_extras **out, struct error *err)
{
	cleanup_guest_extras struct guest_extras *extras = xcalloc(1, sizeof(*extras));
	extras->spec = spec;
	extras->report = options->report;
	extras->check = options->check;
	extras->passt = PASST_NONE;
	int r = mount_points_make(spec, tree, &extras->points, err);
	if (r == 0)
		r = host_files_put(spec, tree, &extras->files, err);
	if (r == 0)
		r = start_network(extras, err);
	/* Later than the network's filter, which is a copy of this process. */
	if (r == 0)
		r = read_secrets(extras, err);
	if (r == 0)
		r = make_mounts(extras, err);
	if (r < 0)
		return r;
	name_caches(extras);
	extras->prepared = true;
	*out = steal_ptr(&extras);
	return 0;
}

void guest_extras_apply(const struct guest_extras *extras, struct vm_options *options)
{
	options->further = extras->disks;
	options->further_count = extras->disk_count;
	options->mounts = extras->mounts;
	options->mount_count = extras->mount_count;
	options->secrets = extras->secrets;
	options->secret_count = extras->secret_count;
	if (extras->passt.network.fd >= 0)
		options->network = &extras->passt.network;
}

void guest_extras_add_env(const struct guest_extras *extras, char ***env)
{
	if (extras->passt.network.fd >= 0)
		proxy_env_add(env);
}

int guest_extras_restore(const struct guest_extras *extras, struct tree *tree, struct error *err)
{
	return host_files_restore(&extras->files, tree, err);
}

void guest_extras_tell_lost(const struct guest_extras *extras)
{
	for (size_t i = 0; i < extras->disk_count; i++) {
		const struct vm_disk *disk = &extras->disks[i];
		if (extras->cache_ids[i] != NULL && disk->writable &&
			!cache_disk_is_clean(disk->fd))
			report_warning(extras->report,
				"cache %s: is lost, because the guest ended before it was "
				"unmounted; the next run begins with an empty one",
				extras->cache_ids[i]);
	}
}

/* What the guest met as a network that is gone is told where it can be told. */
static void note_passt(const struct guest_extras *extras)
{
	cleanup_free char *words = NULL;
	if (extras->prepared && passt_has_ended(&extras->passt, &words))
		report_warning(extras->report,
			"network: passt ended before the guest, which had no network then: %s",
			words != NULL ? words : "it did not say why");
}

void guest_extras_free(struct guest_extras *extras)
{
	if (extras == NULL)
		return;
	note_passt(extras);
	passt_free(&extras->passt);
	for (size_t i = 0; i < extras->disk_count; i++) {
		cleanup_close_fn(&extras->disks[i].fd);
		cleanup_close_fn(&extras->disks[i].overlay_fd);
	}
	for (size_t i = 0; i < extras->secret_count; i++)
		secret_text_free(&extras->secrets[i]);
	free(extras->secrets);
	free(extras->mounts);
	free(extras->mount_specs);
	mount_points_free(&extras->points);
	host_files_free(&extras->files);
	free(extras);
}
