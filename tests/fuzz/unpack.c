/*
 * What the guest does with layers, on the host: those of the input (stack.h) are unpacked by
 * guest-init/unpack into a scratch folder, and applied by layer_apply, with which it shares no
 * code but the check of tar headers. Both take the layers, and give the same tree, or both refuse
 * them.
 *
 * In place of owners, attributes and devices, which take a privilege and are the guest kernel's to
 * judge, the folder gets the modes and times only, and FIFOs. The process can write nowhere else
 * (confine.h); where the kernel has no means for that, nothing is run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "fuzz.h"
#include "hostdir/hostdir.h"
#include "layer/layer.h"
#include "roundtrip.h"
#include "skips.h"
#include "stack.h"
#include "tree/dump.h"
#include "unpack/attributes.h"
#include "unpack/layer.h"
#include "unpack/prune.h"

#define PROC_PATH_SIZE 32
#define OWN_BITS 0700u /* with which an ordinary user can read everything again */

/* ext4's seconds, which the guest puts times into. */
#define MTIME_MIN INT32_MIN
#define MTIME_MAX (((int64_t)1 << 34) + INT32_MIN - 1)

static char *scratch;
static char *root;
static struct report *report;

/* In place of mknodat and attributes_set, by the linker's --wrap. */
int __real_mknodat(int dir, const char *name, mode_t mode, dev_t device);
int __wrap_mknodat(int dir, const char *name, mode_t mode, dev_t device);
int __wrap_attributes_set(const struct attributes *attributes, int fd, struct error *err);

int __wrap_mknodat(int dir, const char *name, mode_t mode, dev_t device)
{
	(void)device;
	return __real_mknodat(dir, name, S_IFIFO | (mode & 07777), 0);
}

int __wrap_attributes_set(const struct attributes *attributes, int fd, struct error *err)
{
	char path[PROC_PATH_SIZE];
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, attributes->mtime};
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!S_ISLNK(attributes->mode) && chmod(path, (attributes->mode & 07777) | OWN_BITS) < 0)
		return error_set_errno(err, ERROR_GUEST, "its mode cannot be set");
	if (utimensat(AT_FDCWD, path, times, 0) < 0)
		return error_set_errno(err, ERROR_GUEST, "its time cannot be set");
	return 0;
}

static void remove_scratch(void)
{
	rmdir(root);
	rmdir(scratch);
	free(root);
	free(scratch);
	report_free(report);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *top = getenv("TMPDIR");
	scratch = xasprintf("%s/layervm-fuzz.XXXXXX", top != NULL ? top : "/dev/shm");
	if (mkdtemp(scratch) == NULL)
		fuzz_broken("%s: %s", scratch, strerror(errno));
	root = xasprintf("%s/root", scratch);
	/* For libFuzzer's own files, and those of the processes that it starts. */
	setenv("TMPDIR", scratch, 1);
	report = report_new(REPORT_QUIET, open("/dev/null", O_WRONLY | O_CLOEXEC));
	atexit(remove_scratch);
	umask(0);
	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		fuzz_broken("there is no locale C.UTF-8, which the guest has");
	if (confine_writes(scratch, *argc, *argv) < 0) {
		fputs("fuzz: the kernel has no Landlock, without which nothing is unpacked\n",
			stderr);
		skip_note("all", "landlock");
		exit(SKIPPED_STATUS);
	}
	return 0;
}

static bool unpack(const struct stack *stack, struct error *err)
{
	cleanup_unpacker struct unpacker unpacker = UNPACKER_NONE;
	fuzz_must(unpacker_open(root, &unpacker, err), err, "the scratch folder");
	int r = 0;
	for (size_t i = 0; r == 0 && i < stack->count; i++) {
		cleanup_fuzz_file struct fuzz_file tar =
			fuzz_file_new(stack->layers[i], stack->sizes[i]);
		lseek(tar.fd, 0, SEEK_SET);
		r = layer_unpack(&unpacker, tar.fd, LAYER_PLAIN, err);
	}
	return fuzz_ok(r, err);
}

static bool apply(struct tree *tree, const struct stack *stack, struct error *err)
{
	int r = 0;
	for (size_t i = 0; r == 0 && i < stack->count; i++) {
		struct source *source = source_from_bytes(stack->layers[i], stack->sizes[i]);
		r = layer_apply(tree, source, stack->sizes[i], "layer", err);
	}
	return fuzz_ok(r, err);
}

/* What the scratch folder cannot tell of an inode. */
static void settle(struct inode *inode)
{
	if (inode_is_device(inode))
		inode->mode = S_IFIFO | (inode->mode & 07777);
	if (!S_ISLNK(inode->mode))
		inode->mode |= OWN_BITS;
	inode->uid = 0;
	inode->gid = 0;
	inode->xattrs = NULL;
	if (inode->mtime_sec < MTIME_MIN || inode->mtime_sec > MTIME_MAX) {
		inode->mtime_sec = inode->mtime_sec < MTIME_MIN ? MTIME_MIN : MTIME_MAX;
		inode->mtime_nsec = 0;
	}
}

static char *text_of(struct tree *tree)
{
	struct buffer out = {0};
	struct error err = fuzz_error();
	struct dentry *top = tree_root(tree);
	for (struct dentry *d = top; d != NULL; d = tree_next(top, d)) {
		if (d->inode != NULL)
			settle(d->inode);
	}
	fuzz_must(tree_dump(tree, &out, &err), &err, "a tree's dump");
	return buffer_steal_text(&out);
}

/* The root's own metadata is not copied from a folder. */
static void check_same(struct tree *applied)
{
	const struct hostdir_options options = {.keep_dirlinks = true, .report = report};
	cleanup_tree struct tree *unpacked = tree_new();
	struct error err = fuzz_error();
	fuzz_must(hostdir_copy_in(unpacked, root, &options, &err), &err, "the scratch folder");
	tree_relink(applied, tree_root(applied), tree_inode_new(applied, S_IFDIR | 0755));
	cleanup_free char *a = text_of(unpacked);
	cleanup_free char *b = text_of(applied);
	if (strcmp(a, b) != 0)
		fuzz_broken("the trees differ\n--- unpacked\n%s--- applied\n%s", a, b);
	fuzz_outcome("tree", a, strlen(a));
}

static void remove_root(void)
{
	struct error err = fuzz_error();
	cleanup_close int dir = open(scratch, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fuzz_must(prune_remove(dir, "root", &err), &err, "the scratch folder");
}

/*
 * Of a sparse map libarchive passes over pieces that do not fit the file; but for what they leave
 * of its data, layer_apply does not see that, and the guest does.
 */
static bool is_of_sparse_map(const struct error *err)
{
	return strstr(err->message, "sparse map") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stack stack = stack_split(data, size);
	struct error unpack_err = fuzz_error();
	struct error apply_err = fuzz_error();
	cleanup_tree struct tree *applied = tree_new();
	bool is_applied = apply(applied, &stack, &apply_err);
	if (is_applied && !roundtrip_is_small(applied))
		return 0;
	if (mkdir(root, 0755) < 0)
		fuzz_broken("%s: %s", root, strerror(errno));
	bool is_unpacked = unpack(&stack, &unpack_err);
	if (is_applied != is_unpacked && !is_of_sparse_map(&unpack_err))
		fuzz_broken("unpacked: %s\napplied: %s", is_unpacked ? "yes" : unpack_err.message,
			is_applied ? "yes" : apply_err.message);
	if (is_applied && is_unpacked)
		check_same(applied);
	remove_root();
	return 0;
}
