#include "guestfs/helper/worker.h"

#include <errno.h>
#include <glob.h>
#include <guestfs.h>
#include <string.h>
#include <unistd.h>

#include "guestfs/helper/fault.h"
#include "guestfs/helper/flatten.h"
#include "guestfs/helper/inspect.h"
#include "guestfs/messages.h"
#include "support/memory.h"

static void cleanup_guestfs_fn(guestfs_h **g)
{
	if (*g != NULL)
		guestfs_close(*g);
}

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);
	return value != NULL && *value != '\0';
}

/* Whether a kernel of this machine's is there for supermin (supermin(1), "ENVIRONMENT"). */
static bool has_kernel(void)
{
	glob_t found = {0};
	bool readable = false;
	if (is_set("SUPERMIN_KERNEL"))
		return true;
	if (glob("/boot/vmlinuz-*", 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc && !readable; i++)
			readable = access(found.gl_pathv[i], R_OK) == 0;
	}
	globfree(&found);
	return readable;
}

/* An appliance that does not come up, with the cure for the usual reasons. */
static int launch_failed(guestfs_h *g, struct error *err)
{
	int r = fault(g, ERROR_INTERNAL, "libguestfs's appliance does not start", err);
	if (is_set("LIBGUESTFS_PATH"))
		return r;
	if (!has_kernel())
		return error_wrap(err, r,
			"there is no kernel in /boot that this user can read, which libguestfs "
			"needs: install linux-image-cloud-amd64, or unpack it and name it in "
			"SUPERMIN_KERNEL, SUPERMIN_KERNEL_VERSION and SUPERMIN_MODULES");
	if (access("/lib/modules", F_OK) < 0)
		return error_wrap(err, r,
			"there is no folder /lib/modules, which libguestfs needs, even empty: make "
			"it");
	return r;
}

/*
 * The appliance is kept in libguestfs's usual folder, which all its programs share, and not where
 * this one's temporary files are.
 */
static int set_up(guestfs_h *g, const struct worker_job *job, const char *folder)
{
	guestfs_set_error_handler(g, NULL, NULL);
	if (guestfs_set_program(g, HELPER_NAME) < 0 || guestfs_set_backend(g, "direct") < 0 ||
		guestfs_set_tmpdir(g, folder) < 0)
		return -1;
	if (!is_set("LIBGUESTFS_CACHEDIR") && guestfs_set_cachedir(g, "/var/tmp") < 0)
		return -1;
	return job->kvm ? 0 : guestfs_set_backend_setting(g, "force_tcg", "1");
}

/* For reading only: what mounting writes goes to an overlay that libguestfs throws away. */
static int add_disk(guestfs_h *g, const char *path, const char *format, struct error *err)
{
	int r = guestfs_add_drive_opts(g, path, GUESTFS_ADD_DRIVE_OPTS_READONLY, 1,
		GUESTFS_ADD_DRIVE_OPTS_FORMAT, format, -1);
	return r < 0 ? fault(g, ERROR_INPUT, "cannot be opened as a disk", err) : 0;
}

static int launch(guestfs_h *g, const char *path, const char *format, struct error *err)
{
	int r = add_disk(g, path, format, err);
	if (r < 0)
		return r;
	return guestfs_launch(g) < 0 ? launch_failed(g, err) : 0;
}

/*
 * With attributes GNU tar writes pax headers, with times to the nanosecond; ACLs are among the
 * attributes, in the kernel's own form.
 */
static int write_tar(guestfs_h *g, enum error_kind kind, struct error *err)
{
	cleanup_free char *to = xasprintf("/dev/fd/%d", HELPER_FD_TAR);
	int r = guestfs_tar_out_opts(g, "/", to, GUESTFS_TAR_OUT_OPTS_NUMERICOWNER, 1,
		GUESTFS_TAR_OUT_OPTS_XATTRS, 1, -1);
	return r < 0 ? fault(g, kind, "its files cannot be read", err) : 0;
}

static int read_image(guestfs_h *g, const struct worker_job *job, struct error *err)
{
	int r = launch(g, job->path, job->format, err);
	return r < 0 ? r : inspect_and_mount(g, job->root, err);
}

static int read_written(guestfs_h *g, const char *folder, struct error *err)
{
	cleanup_free char *path = xasprintf("%s/disk", folder);
	int r = flatten(HELPER_FD_BASE, HELPER_FD_OVERLAY, path, err);
	if (r == 0)
		r = launch(g, path, "raw", err);
	if (r == 0 && guestfs_mount_ro(g, "/dev/sda", "/") < 0)
		r = fault(g, ERROR_GUEST, "cannot be mounted", err);
	return r;
}

int worker_run(const struct worker_job *job, const char *folder, struct error *err)
{
	__attribute__((cleanup(cleanup_guestfs_fn))) guestfs_h *g = guestfs_create();
	if (g == NULL)
		return error_set_errno(err, ERROR_INTERNAL, "libguestfs cannot start");
	if (set_up(g, job, folder) < 0)
		return fault(g, ERROR_INTERNAL, "libguestfs cannot be set up", err);
	int r = job->format != NULL ? read_image(g, job, err) : read_written(g, folder, err);
	if (r == 0)
		r = write_tar(g, job->format != NULL ? ERROR_INPUT : ERROR_GUEST, err);
	return r;
}
