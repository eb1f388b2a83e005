/*
 * Mounts, secrets, network and names of hosts, without a guest: where they go in a tree, what they
 * leave in it, and which disks they take.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/bind_disk.h"
#include "commands/cache_disk.h"
#include "commands/guest_extras.h"
#include "commands/host_files.h"
#include "commands/mount_points.h"
#include "commands/proxy_env.h"
#include "commands/run_flags.h"
#include "commands/secret_text.h"
#include "disk/disk.h"
#include "hostfiles.h"
#include "support/buffer.h"
#include "support/fileio.h"
#include "support/memory.h"
#include "tree/changes.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXTS_MAX 12

/* What a script would find: an image with symlinks of all kinds. */
static const struct item image[] = {
	{'d', "etc", 0755, 5, NULL, false},
	{'d', "run", 0755, 5, NULL, false},
	{'d', "var", 0755, 5, NULL, false},
	{'l', "var/run", 0777, 5, "/run", false},
	{'l', "var/up", 0777, 5, "../../../var/lib/./x", false},
	{'l', "var/loop", 0777, 5, "loop", false},
	{'l', "var/proc", 0777, 5, "/proc", false},
	{'l', "var/root", 0777, 5, "..", false},
	{'l', "var/back", 0777, 5, "/none/../srv", false},
	{'d', "data", 0700, 5, NULL, false},
	{'l', "link", 0777, 5, "data", false},
	{'f', "file", 0644, 5, "text", false},
	{0},
};

static struct tree *image_tree(const struct item *items)
{
	struct tree *tree = tree_new();
	items_to_tree(items, tree);
	tree_freeze(tree);
	return tree;
}

/* The names that a layer would hold, a line each; "-" before a whiteout. */
static char *layer_of(struct tree *tree)
{
	struct error err;
	struct changes changes;
	struct buffer out = {0};
	assert_int_equal(changes_mark(tree, &changes, &err), 0);
	struct dentry *root = tree_root(tree);
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		cleanup_free char *path = tree_path(d);
		if (d->flags & DENTRY_WRITE)
			buffer_printf(&out, "%s\n", path);
		if (d->flags & DENTRY_WHITEOUT)
			buffer_printf(&out, "-%s\n", path);
	}
	return buffer_steal_text(&out);
}

static void assert_layer(struct tree *tree, const char *expected)
{
	cleanup_free char *got = layer_of(tree);
	assert_string_equal(got, expected);
}

static void add_mounts(struct guest_extras_spec *spec, const char *const *flags)
{
	struct error err = {0};
	for (size_t i = 0; i < TEXTS_MAX && flags[i] != NULL; i++) {
		if (run_flag_mount(spec, flags[i], &err) < 0)
			fail_msg("%s: %s", flags[i], err.message);
	}
}

/* Mount points */

#define TMPFS(path) "type=tmpfs,dst=" path

struct point_case {
	const char *flags[TEXTS_MAX];
	bool secret;
	const char *expected; /* paths in their order, or an error's message */
};

static void test_points(void **state)
{
	static const struct point_case cases[] = {
		{{NULL}, false, ""},
		{{TMPFS("/data")}, false, "/data\n"},
		{{TMPFS("/new/deep/er")}, false, "/new/deep/er\n"},
		{{TMPFS("/link")}, false, "/data\n"},
		{{TMPFS("/link/x")}, false, "/data/x\n"},
		{{TMPFS("/var/run/y")}, false, "/run/y\n"},
		{{TMPFS("/var/up/y")}, false, "/var/lib/x/y\n"},
		{{TMPFS("/var/back/y")}, false, "/srv/y\n"},
		{{TMPFS("/b/c"), TMPFS("/a"), TMPFS("/b")}, false, "/a\n/b\n/b/c\n"},
		{{TMPFS("/run")}, true, "/run\n/run/secrets (secrets)\n"},
		{{NULL}, true, "/run/secrets (secrets)\n"},
		{{TMPFS("/data"), TMPFS("/link")}, false,
			"mounts: two are at the same place, /data of the image"},
		{{TMPFS("/file")}, false,
			"mounts: /file: /file of the image is no folder, so that nothing can be "
			"mounted there"},
		{{TMPFS("/file/x")}, false,
			"mounts: /file/x: /file of the image is no folder, so that nothing can be "
			"mounted there"},
		{{TMPFS("/var/loop")}, false,
			"mounts: /var/loop: more than 40 symlinks of the image lead on from there"},
		{{TMPFS("/var/proc/1")}, false,
			"mounts: /var/proc/1: leads to /proc/1 in the image, but what is at /proc "
			"is the guest's own"},
		{{TMPFS("/var/run/secrets")}, false,
			"mounts: /var/run/secrets: leads to /run/secrets in the image, but what is "
			"at /run/secrets is the guest's own"},
		{{TMPFS("/var/root")}, false,
			"mounts: /var/root: leads to the image's root, over which nothing can be "
			"mounted"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error err = {0};
		struct guest_extras_spec spec = {0};
		struct mount_points points;
		struct buffer out = {0};
		cleanup_tree struct tree *tree = image_tree(image);
		add_mounts(&spec, cases[i].flags);
		if (cases[i].secret)
			assert_int_equal(run_flag_secret(&spec, "id=a,env=HOME", &err), 0);
		int r = mount_points_make(&spec, tree, &points, &err);
		if (r < 0) {
			buffer_add_text(&out, err.message);
			assert_int_equal(err.kind, ERROR_SPEC);
		}
		for (size_t j = 0; r == 0 && j < points.count; j++)
			buffer_printf(&out, "%s%s\n", points.points[j].path,
				points.points[j].mount == NULL ? " (secrets)" : "");
		cleanup_free char *got = buffer_steal_text(&out);
		assert_string_equal(got, cases[i].expected);
		/* Whatever was made for it is no change. */
		assert_layer(tree, "");
		mount_points_free(&points);
		extras_spec_free(&spec);
	}
}

/* Symlinks of the image do not lead the secrets over what the script needs. */
static void test_secrets_place(void **state)
{
	static const struct {
		const char *link, *expected;
	} cases[] = {
		{"/", "secrets: /run/secrets leads to / in the image, which is not empty and would "
		      "be hidden by the secrets"},
		{"../bin", "secrets: /run/secrets leads to /bin in the image, which is not empty "
			   "and would be hidden by the secrets"},
		{"/proc/1", "secrets: /run/secrets leads to /proc/1 in the image, but what is at "
			    "/proc is the guest's own"},
		{"/sys", "secrets: /run/secrets leads to /sys in the image, but what is at /sys is "
			 "the guest's own"},
		{"secrets", "secrets: /run/secrets: more than 40 symlinks of the image lead on "
			    "from there"},
		{"../empty", "/empty"},
		{"/none/at/all", "/none/at/all"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct item items[] = {
			{'d', "run", 0755, 5, NULL, false},
			{'l', "run/secrets", 0777, 5, cases[i].link, false},
			{'d', "bin", 0755, 5, NULL, false},
			{'f', "bin/sh", 0755, 5, "text", false},
			{'d', "empty", 0755, 5, NULL, false},
			{0},
		};
		struct error err = {0};
		struct guest_extras_spec spec = {0};
		struct mount_points points;
		cleanup_tree struct tree *tree = image_tree(items);
		assert_int_equal(run_flag_secret(&spec, "id=a,env=HOME", &err), 0);
		int r = mount_points_make(&spec, tree, &points, &err);
		assert_string_equal(r < 0 ? err.message : points.points[0].path, cases[i].expected);
		mount_points_free(&points);
		extras_spec_free(&spec);
	}
}

/* The places are there, but those within another mount; what is there keeps what it has. */
static void test_points_are_made(void **state)
{
	static const char *const flags[TEXTS_MAX] = {
		TMPFS("/new/a"), TMPFS("/new/a/within"), TMPFS("/data/x"), TMPFS("/new/b/c")};
	struct error err;
	struct guest_extras_spec spec = {0};
	struct mount_points points;
	cleanup_tree struct tree *tree = image_tree(image);
	(void)state;
	add_mounts(&spec, flags);
	assert_int_equal(mount_points_make(&spec, tree, &points, &err), 0);
	assert_non_null(tree_walk(tree, "/new/a"));
	assert_null(tree_walk(tree, "/new/a/within"));
	assert_non_null(tree_walk(tree, "/data/x"));
	assert_int_equal(tree_walk(tree, "/data")->inode->mode, S_IFDIR | 0700);
	assert_int_equal(tree_walk(tree, "/new/b/c")->inode->mode, S_IFDIR | 0755);
	assert_layer(tree, "");

	/* What a script puts beside a mount is in the layer, with the folders above it alone. */
	struct inode *inode = tree_inode_new(tree, S_IFREG | 0644);
	tree_link(tree, tree_walk(tree, "/new/b"), "real", 4, inode);
	assert_layer(tree, "new\nnew/b\nnew/b/real\n");
	tree_unlink(tree, tree_walk(tree, "/new/b/real"));
	assert_layer(tree, "");
	/* A folder of the script's in one of ours too. */
	struct inode *folder = tree_inode_new(tree, S_IFDIR | 0755);
	tree_link(tree, tree_walk(tree, "/new/b/c"), "dir", 3, folder);
	assert_layer(tree, "new\nnew/b\nnew/b/c\nnew/b/c/dir\n");
	mount_points_free(&points);
	extras_spec_free(&spec);
}

/* In a folder of the host that nothing can be made in, the place must be there. */
static void test_points_in_read_only_bind(void **state)
{
	static const struct item items[] = {
		{'d', "there", 0755, 5, NULL, false}, {'l', "link", 0777, 5, "there", false}, {0}};
	static const struct {
		const char *rest, *within;
		bool fails;
	} cases[] = {
		{"", "there", false},
		{"", "link", true},
		{"", "missing", true},
		{",rw=true", "missing", false},
	};
	(void)state;
	char *folder = folder_new();
	items_to_folder(items, folder);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error err = {0};
		struct guest_extras_spec spec = {0};
		struct mount_points points;
		cleanup_tree struct tree *tree = image_tree(image);
		cleanup_free char *outer =
			xasprintf("type=bind,src=%s,dst=/m%s", folder, cases[i].rest);
		cleanup_free char *inner = xasprintf("type=tmpfs,dst=/m/%s", cases[i].within);
		const char *const flags[TEXTS_MAX] = {outer, inner};
		add_mounts(&spec, flags);
		int r = mount_points_make(&spec, tree, &points, &err);
		assert_int_equal(r, cases[i].fails ? -ENOENT : 0);
		if (r < 0)
			assert_non_null(strstr(err.message, "make it there, or add rw=true"));
		mount_points_free(&points);
		extras_spec_free(&spec);
	}
	folder_remove(folder);
}

/* resolv.conf and hosts */

enum guest_action { GUEST_NOTHING, GUEST_TOUCHES, GUEST_WRITES, GUEST_CHMODS, GUEST_DELETES };

static void act(struct tree *tree, const char *path, enum guest_action action)
{
	struct dentry *d = tree_walk(tree, path);
	struct inode *inode = tree_inode_new(tree, 0);
	*inode = *d->inode;
	inode->names = NULL;
	inode->nlink = 0;
	switch (action) {
	case GUEST_NOTHING:
		return;
	case GUEST_TOUCHES:
		inode->mtime_sec = 99;
		break;
	case GUEST_WRITES: {
		struct source *source = tree_own_source(tree, source_from_bytes("new\n", 4));
		inode_set_data(tree, inode, source, 0, 4);
		break;
	}
	case GUEST_CHMODS:
		inode->mode = S_IFREG | 0600;
		break;
	case GUEST_DELETES:
		tree_unlink(tree, d);
		return;
	}
	tree_relink(tree, d, inode);
}

static const struct item no_etc[] = {{'d', "usr", 0755, 5, NULL, false}, {0}};
static const struct item empty_etc[] = {{'d', "etc", 0755, 5, NULL, false}, {0}};
static const struct item full_etc[] = {
	{'d', "etc", 0755, 5, NULL, false},
	{'l', "etc/resolv.conf", 0777, 5, "../run/stub.conf", false},
	{'f', "etc/hosts", 0640, 5, "127.0.0.1 its-own\n", false},
	{0},
};
static const struct item linked_etc[] = {
	{'d', "usr", 0755, 5, NULL, false},
	{'d', "usr/etc", 0755, 5, NULL, false},
	{'l', "etc", 0777, 5, "usr/etc", false},
	{'f', "usr/etc/hosts", 0640, 5, "127.0.0.1 its-own\n", false},
	{0},
};

static void test_host_files(void **state)
{
	static const struct {
		const struct item *image;
		const char *path; /* what the guest acts on */
		enum guest_action action;
		const char *layer;
	} cases[] = {
		{no_etc, "/etc/hosts", GUEST_NOTHING, ""},
		{no_etc, "/etc/hosts", GUEST_TOUCHES, ""},
		{no_etc, "/etc/hosts", GUEST_DELETES, ""},
		{no_etc, "/etc/hosts", GUEST_WRITES, "etc\netc/hosts\n"},
		{empty_etc, "/etc/resolv.conf", GUEST_NOTHING, ""},
		{empty_etc, "/etc/resolv.conf", GUEST_TOUCHES, ""},
		{empty_etc, "/etc/resolv.conf", GUEST_CHMODS, "etc/resolv.conf\n"},
		{full_etc, "/etc/resolv.conf", GUEST_NOTHING, ""},
		{full_etc, "/etc/resolv.conf", GUEST_TOUCHES, ""},
		{full_etc, "/etc/resolv.conf", GUEST_WRITES, "etc/resolv.conf\n"},
		{full_etc, "/etc/resolv.conf", GUEST_DELETES, "-etc/resolv.conf\n"},
		{full_etc, "/etc/hosts", GUEST_CHMODS, "etc/hosts\n"},
		{full_etc, "/etc/hosts", GUEST_DELETES, "-etc/hosts\n"},
		{linked_etc, "/usr/etc/hosts", GUEST_NOTHING, ""},
		{linked_etc, "/usr/etc/hosts", GUEST_WRITES, "usr/etc/hosts\n"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error err = {0};
		struct guest_extras_spec spec = {0};
		struct host_files files;
		cleanup_tree struct tree *tree = image_tree(cases[i].image);
		assert_int_equal(run_flag_network(&spec, "user", &err), 0);
		assert_int_equal(run_flag_add_host(&spec, "box:10.1.2.3", &err), 0);
		if (host_files_put(&spec, tree, &files, &err) < 0)
			fail_msg("%s", err.message);
		act(tree, cases[i].path, cases[i].action);
		assert_int_equal(host_files_restore(&files, tree, &err), 0);
		assert_layer(tree, cases[i].layer);
		host_files_free(&files);
		extras_spec_free(&spec);
	}
}

static char *text_of(struct tree *tree, const char *path)
{
	struct error err;
	struct dentry *d = tree_walk(tree, path);
	if (d == NULL)
		return xstrdup("(none)");
	assert_true(S_ISREG(d->inode->mode));
	char *text = xcalloc(d->inode->size + 1, 1);
	assert_int_equal(inode_read(d->inode, text, d->inode->size, 0, &err), 0);
	return text;
}

static void test_host_files_texts(void **state)
{
	struct error err = {0};
	struct guest_extras_spec spec = {0};
	struct guest_extras *extras = NULL;
	cleanup_tree struct tree *tree = image_tree(full_etc);
	cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
	(void)state;
	assert_int_equal(run_flag_add_host(&spec, "box:10.1.2.3", &err), 0);
	assert_int_equal(run_flag_add_host(&spec, "box:[fe80::1]", &err), 0);
	assert_int_equal(guest_extras_prepare(&spec, tree,
				 &(struct guest_extras_options){.report = report}, &extras, &err),
		0);
	cleanup_free char *hosts = text_of(tree, "/etc/hosts");
	assert_string_equal(hosts, "127.0.0.1\tlocalhost\n"
				   "::1\tlocalhost ip6-localhost ip6-loopback\n"
				   "127.0.1.1\tlayervm\n"
				   "10.1.2.3\tbox\n"
				   "fe80::1\tbox\n");
	/* Without a network its file is the image's. */
	assert_true(S_ISLNK(tree_walk(tree, "/etc/resolv.conf")->inode->mode));
	guest_extras_free(extras);
	extras_spec_free(&spec);
}

/* Disks */

static size_t count_entries(const char *cache, const char *kind)
{
	cleanup_free char *path = xasprintf("%s/%s", cache, kind);
	DIR *stream = opendir(path);
	size_t count = 0;
	while (stream != NULL && readdir(stream) != NULL)
		count++;
	if (stream != NULL)
		closedir(stream);
	return count < 2 ? 0 : count - 2;
}

static void set_time(int folder, const char *name)
{
	const struct timespec times[2] = {{.tv_sec = 7}, {.tv_sec = 7}};
	assert_int_equal(utimensat(folder, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void write_text(int folder, const char *name, const char *text)
{
	cleanup_close int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Each step changes one thing that reaches the disk, or nothing that does. */
static void test_bind_key(void **state)
{
	static const struct item items[] = {
		{'d', "d", 0755, 7, NULL, false},
		{'f', "d/f", 0644, 7, "abc", false},
		{'f', "g", 0644, 7, "xyz", false},
		{'h', "h", 0, 0, "g", false},
		{'l', "l", 0777, 7, "d/f", false},
		{0},
	};
	struct error err = {0};
	(void)state;
	char *folder = folder_new();
	char *place = folder_new();
	setenv("LAYERVM_CACHE_DIR", place, 1);
	items_to_folder(items, folder);
	cleanup_cache struct cache *cache = NULL;
	cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
	assert_int_equal(cache_open(&cache, &err), 0);
	cleanup_close int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int step = 0; step <= 8; step++) {
		size_t expected = (size_t)step;
		int fd = -1;
		switch (step) {
		case 0:
			expected = 1;
			break;
		case 1: /* nothing but what is read */
			write_text(dir, "d/f", "abc");
			break;
		case 2: /* the content, with the same size and times */
			write_text(dir, "d/f", "abd");
			break;
		case 3:
			assert_int_equal(fchmodat(dir, "g", 0600, 0), 0);
			break;
		case 4: /* another name of the same length */
			assert_int_equal(renameat(dir, "d/f", dir, "d/e"), 0);
			break;
		case 5: /* the same bytes, but no hard link any more */
			assert_int_equal(unlinkat(dir, "h", 0), 0);
			write_text(dir, "h", "xyz");
			assert_int_equal(fchmodat(dir, "h", 0600, 0), 0);
			break;
		case 6:
			assert_int_equal(unlinkat(dir, "l", 0), 0);
			assert_int_equal(symlinkat("d/e", dir, "l"), 0);
			break;
		case 7: {
			const struct timespec times[2] = {{.tv_sec = 8}, {.tv_sec = 8}};
			assert_int_equal(utimensat(dir, "g", times, 0), 0);
			break;
		}
		case 8:
			assert_int_equal(mkdirat(dir, "d/empty", 0755), 0);
			break;
		}
		if (step != 7)
			set_time(dir, "g");
		set_time(dir, "h");
		set_time(dir, "l");
		set_time(dir, step < 4 ? "d/f" : "d/e");
		set_time(dir, "d");
		if (step == 8) {
			const struct timespec times[2] = {{.tv_sec = 8}, {.tv_sec = 8}};
			assert_int_equal(utimensat(dir, "g", times, 0), 0);
			set_time(dir, "d/empty");
		}
		int r = bind_disk_open(
			cache, &(struct bind_disk_source){.folder = folder}, report, &fd, &err);
		if (r < 0)
			fail_msg("step %d: %s", step, err.message);
		assert_true(fd >= 0);
		close(fd);
		if (count_entries(place, "bind") != expected)
			fail_msg("step %d: %zu disks", step, count_entries(place, "bind"));
	}
	/* Back again: a disk that was made before. */
	assert_int_equal(unlinkat(dir, "d/empty", AT_REMOVEDIR), 0);
	set_time(dir, "d");
	int fd = -1;
	assert_int_equal(bind_disk_open(cache, &(struct bind_disk_source){.folder = folder}, report,
				 &fd, &err),
		0);
	close(fd);
	assert_int_equal(count_entries(place, "bind"), 8);
	folder_remove(folder);
	folder_remove(place);
}

/* A disk that was not left clean is replaced; a clean one is found again, with what is on it. */
static void test_cache_disk(void **state)
{
	struct error err = {0};
	static const uint8_t mark[] = "a mark in the boot block";
	uint8_t found[sizeof(mark)];
	int report_fd;
	(void)state;
	char *place = folder_new();
	setenv("LAYERVM_CACHE_DIR", place, 1);
	cleanup_cache struct cache *cache = NULL;
	struct report *report = report_to_file(&report_fd);
	assert_int_equal(cache_open(&cache, &err), 0);
	static const struct {
		size_t at; /* of the superblock; 0: nothing is changed before */
		uint8_t value;
		bool fresh;
	} steps[] = {
		{0, 0, true},
		{0, 0, false},
		{0x3a, 0, true},  /* state: mounted */
		{0x3a, 3, true},  /* errors were found */
		{0x38, 0, true},  /* magic */
		{0xe8, 1, true},  /* an orphan */
		{0x194, 1, true}, /* errors were counted */
		{0x07, 1, true},  /* number of blocks, the highest byte */
		{0, 0, false},
	};
	for (size_t i = 0; i < COUNT(steps); i++) {
		int fd = -1;
		for (int other = 0; other < 2; other++) {
			const char *id = other ? "other/../id" : "id";
			int r = cache_disk_open(cache, id, report, &fd, &err);
			if (r < 0)
				fail_msg("%s", err.message);
			/* It is in nobody else's hands meanwhile. */
			char path[64];
			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			cleanup_close int again = open(path, O_RDWR | O_CLOEXEC);
			assert_int_equal(cache_try_lock(again, &err), 0);
			assert_int_equal(pread(fd, found, sizeof(found), 0), sizeof(found));
			bool fresh = other ? i == 0 : steps[i].fresh;
			assert_int_equal(memcmp(found, mark, sizeof(mark)) != 0, fresh);
			assert_int_equal(pwrite(fd, mark, sizeof(mark), 0), sizeof(mark));
			if (!other && i + 1 < COUNT(steps) && steps[i + 1].at != 0)
				assert_int_equal(pwrite(fd, &steps[i + 1].value, 1,
							 1024 + (off_t)steps[i + 1].at),
					1);
			close(fd);
		}
	}
	assert_int_equal(count_entries(place, "mount"), 2);
	cleanup_free char *words = reported(report_fd);
	size_t warnings = 0;
	for (const char *at = words; (at = strstr(at, "was not left clean")) != NULL; at++)
		warnings++;
	assert_int_equal(warnings, 6);
	report_free(report);
	close(report_fd);
	folder_remove(place);
}

/* What vm_run is given. */
static void test_apply(void **state)
{
	static const struct item items[] = {{'f', "f", 0644, 7, "abc", false}, {0}};
	struct error err = {0};
	struct guest_extras_spec spec = {0};
	(void)state;
	char *folder = folder_new();
	char *place = folder_new();
	setenv("LAYERVM_CACHE_DIR", place, 1);
	items_to_folder(items, folder);
	cleanup_free char *first = xasprintf("type=bind,src=%s,dst=/z", folder);
	cleanup_free char *second = xasprintf("type=bind,src=%s,dst=/y,rw", folder);
	const char *const flags[TEXTS_MAX] = {first, second, "type=cache,id=one,dst=/x",
		"type=cache,id=one,dst=/v,ro", "type=cache,id=two,dst=/w,ro",
		"type=tmpfs,dst=/u,size=9"};
	add_mounts(&spec, flags);
	setenv("LAYERVM_TEST_SECRET", "s3cret", 1);
	assert_int_equal(run_flag_secret(&spec, "id=a,env=LAYERVM_TEST_SECRET", &err), 0);
	cleanup_tree struct tree *tree = image_tree(image);
	cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
	struct guest_extras *extras = NULL;
	if (guest_extras_prepare(&spec, tree, &(struct guest_extras_options){.report = report},
		    &extras, &err) < 0)
		fail_msg("%s", err.message);
	struct vm_options options = {0};
	char **env = NULL;
	guest_extras_apply(extras, &options);
	guest_extras_add_env(extras, &env);
	assert_null(env);
	assert_null(options.network);
	struct buffer out = {0};
	for (size_t i = 0; i < options.mount_count; i++) {
		const struct vm_mount *m = &options.mounts[i];
		const struct vm_disk *disk = &options.further[m->disk];
		if (m->kind == VM_MOUNT_TMPFS)
			buffer_printf(&out, "%s tmpfs %u\n", m->path, m->size_mib);
		else
			buffer_printf(&out, "%s disk %zu%s%s%s\n", m->path, m->disk,
				m->read_only ? " ro" : "", disk->writable ? " writable" : "",
				disk->overlay_fd >= 0 ? " overlay" : "");
	}
	cleanup_free char *got = buffer_steal_text(&out);
	assert_string_equal(got, "/u tmpfs 9\n"
				 "/v disk 2 ro writable\n"
				 "/w disk 3 ro\n"
				 "/x disk 2 writable\n"
				 "/y disk 0 overlay\n"
				 "/z disk 1 ro\n");
	assert_int_equal(options.further_count, 4);
	/* All are as long as a guest takes them for; how much of one that is written to is told. */
	for (size_t i = 0; i < options.further_count; i++) {
		const struct vm_disk *disk = &options.further[i];
		uint64_t size = 0;
		assert_int_equal(lseek(disk->fd, 0, SEEK_END), VM_DISK_SIZE);
		assert_int_equal(disk_size(disk->fd, &size, &err), 0);
		assert_int_equal(disk->size, i == 1 ? 0 : size);
		assert_in_range(size, BIND_DISK_ROOM, CACHE_DISK_ROOM + CACHE_DISK_ROOM / 8);
	}
	assert_int_equal(options.secret_count, 1);
	assert_string_equal(options.secrets[0].id, "a");
	assert_int_equal(options.secrets[0].len, 6);
	assert_memory_equal(options.secrets[0].data, "s3cret", 6);
	guest_extras_free(extras);
	extras_spec_free(&spec);
	folder_remove(folder);
	folder_remove(place);
}

static void test_too_many_disks(void **state)
{
	struct error err = {0};
	struct guest_extras_spec spec = {0};
	(void)state;
	char *place = folder_new();
	setenv("LAYERVM_CACHE_DIR", place, 1);
	for (int i = 0; i <= VM_FURTHER_MAX; i++) {
		cleanup_free char *flag = xasprintf("type=cache,id=%d,dst=/%d", i, i);
		assert_int_equal(run_flag_mount(&spec, flag, &err), 0);
	}
	cleanup_tree struct tree *tree = image_tree(image);
	cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
	struct guest_extras *extras = NULL;
	assert_int_equal(guest_extras_prepare(&spec, tree,
				 &(struct guest_extras_options){.report = report}, &extras, &err),
		-E2BIG);
	assert_null(extras);
	assert_int_equal(err.kind, ERROR_SPEC);
	extras_spec_free(&spec);
	folder_remove(place);
}

/* Secrets, proxies, passt */

static void test_secret_text(void **state)
{
	static const struct {
		size_t len;
		int expected;
	} cases[] = {{0, 0}, {1, 0}, {VM_SECRET_MAX, 0}, {VM_SECRET_MAX + 1, -EFBIG}};
	(void)state;
	char *folder = folder_new();
	cleanup_free char *path = xasprintf("%s/f", folder);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error err = {0};
		struct vm_secret secret;
		const struct guest_secret spec = {.id = (char[]){"a"}, .src = path};
		cleanup_free char *data = xcalloc(cases[i].len + 1, 1);
		memset(data, 'x', cases[i].len);
		cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		assert_int_equal(write(fd, data, cases[i].len), (ssize_t)cases[i].len);
		int r = secret_text_read(&spec, &secret, &err);
		assert_int_equal(r, cases[i].expected);
		if (r == 0) {
			assert_int_equal(secret.len, cases[i].len);
			if (secret.len != 0)
				assert_memory_equal(secret.data, data, secret.len);
		} else {
			assert_int_equal(err.kind, ERROR_INPUT);
			assert_string_equal(err.message, "secrets: a: has more than 500000 bytes");
		}
		secret_text_free(&secret);
		assert_null(secret.data);
	}
	folder_remove(folder);
}

/* All of them are in the guest's memory at once. */
static void test_secrets_size(void **state)
{
	struct error err;
	struct guest_extras_spec spec = {0};
	struct guest_extras *extras = NULL;
	(void)state;
	cleanup_free char *text = xcalloc(VM_SECRET_MAX + 1, 1);
	memset(text, 'x', VM_SECRET_MAX);
	assert_int_equal(setenv("LAYERVM_TEST_LONG", text, 1), 0);
	cleanup_tree struct tree *tree = image_tree(image);
	cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
	for (unsigned i = 0; i < GUEST_SECRETS_SIZE_MAX / VM_SECRET_MAX + 1; i++) {
		cleanup_free char *flag = xasprintf("id=%u,env=LAYERVM_TEST_LONG", i);
		guest_extras_free(extras);
		extras = NULL;
		if (i > 0)
			assert_int_equal(guest_extras_prepare(&spec, tree,
						 &(struct guest_extras_options){.report = report},
						 &extras, &err),
				0);
		assert_int_equal(run_flag_secret(&spec, flag, &err), 0);
	}
	guest_extras_free(extras);
	extras = NULL;
	assert_int_equal(guest_extras_prepare(&spec, tree,
				 &(struct guest_extras_options){.report = report}, &extras, &err),
		-EFBIG);
	assert_null(extras);
	assert_int_equal(err.kind, ERROR_SPEC);
	assert_string_equal(err.message,
		"secrets: have more than 8388608 bytes together, which would stay in the guest's "
		"memory; bring the large ones by --mount type=bind");
	extras_spec_free(&spec);
	unsetenv("LAYERVM_TEST_LONG");
}

static void clear_proxies(void)
{
	static const char *const names[] = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY",
		"NO_PROXY", "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"};
	for (size_t i = 0; i < COUNT(names); i++)
		unsetenv(names[i]);
}

static void test_proxies(void **state)
{
	char **env = xcalloc(3, sizeof(*env));
	int report_fd;
	struct buffer out = {0};
	(void)state;
	clear_proxies();
	env[0] = xstrdup("http_proxy=http://its-own");
	env[1] = xstrdup("A=b");
	setenv("http_proxy", "http://host:1", 1);
	setenv("HTTP_PROXY", "http://user@localhost:1/", 1);
	setenv("https_proxy", "127.0.0.1:3128", 1);
	setenv("all_proxy", "socks5://[::1]:1080", 1);
	setenv("no_proxy", "localhost", 1);
	setenv("FTP_PROXY", "", 1);
	struct report *report = report_to_file(&report_fd);
	proxy_env_note(report);
	proxy_env_add(&env);
	for (char **entry = env; *entry != NULL; entry++) {
		buffer_printf(&out, "%s\n", *entry);
		free(*entry);
	}
	free(env);
	cleanup_free char *got = buffer_steal_text(&out);
	assert_string_equal(got, "http_proxy=http://its-own\nA=b\n"
				 "HTTP_PROXY=http://user@localhost:1/\n"
				 "https_proxy=127.0.0.1:3128\n"
				 "all_proxy=socks5://[::1]:1080\n"
				 "no_proxy=localhost\n");
	cleanup_free char *words = reported(report_fd);
	size_t notes = 0;
	for (const char *at = words; (at = strstr(at, "names a proxy")) != NULL; at++)
		notes++;
	assert_int_equal(notes, 3);
	assert_null(strstr(words, "http_proxy"));
	report_free(report);
	close(report_fd);
	clear_proxies();
}

/* Where passt is not installed, cannot run, or ends at once. */
static void test_passt_fails(void **state)
{
	static const struct {
		const char *program; /* NULL: none */
		const char *expected;
	} cases[] = {
		{NULL, "passt, which --network user takes, not found; install the package passt"},
		{"#!/bin/sh\nexit 1\n",
			"passt, which --network user takes, ended: it did not say why"},
		{"#!/bin/sh\necho first >&2\necho Failed to send 9 bytes to syslog >&2\necho last "
		 "words >&2\necho >&2\nexit 1\n",
			"passt, which --network user takes, ended: last words"},
		{"#!/bin/sh\nprintf '\\0\\0\\0\\52%042d' 0 >&3\nread -r line <&3\n",
			"passt sent something else than the answer to the first packet"},
	};
	(void)state;
	cleanup_free char *old = xstrdup(getenv("PATH"));
	char *folder = folder_new();
	cleanup_free char *path = xasprintf("%s/passt", folder);
	setenv("PATH", folder, 1);
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct error err = {0};
		struct guest_extras_spec spec = {.network = GUEST_NETWORK_USER};
		struct guest_extras *extras = NULL;
		cleanup_tree struct tree *tree = image_tree(image);
		cleanup_report struct report *report = report_new(REPORT_QUIET, STDERR_FILENO);
		if (cases[i].program != NULL) {
			cleanup_close int fd =
				open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
			assert_true(write(fd, cases[i].program, strlen(cases[i].program)) > 0);
		}
		int r = guest_extras_prepare(&spec, tree,
			&(struct guest_extras_options){.report = report}, &extras, &err);
		assert_true(r < 0);
		assert_string_equal(err.message, cases[i].expected);
		assert_int_equal(err.kind, ERROR_QEMU);
	}
	setenv("PATH", old, 1);
	folder_remove(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_points),
		cmocka_unit_test(test_secrets_place),
		cmocka_unit_test(test_points_are_made),
		cmocka_unit_test(test_points_in_read_only_bind),
		cmocka_unit_test(test_host_files_texts),
		cmocka_unit_test(test_bind_key),
		cmocka_unit_test(test_cache_disk),
		cmocka_unit_test(test_apply),
		cmocka_unit_test(test_too_many_disks),
		cmocka_unit_test(test_secret_text),
		cmocka_unit_test(test_secrets_size),
		cmocka_unit_test(test_proxies),
		cmocka_unit_test(test_passt_fails),
		cmocka_unit_test(test_host_files),
	};
	return cmocka_run_group_tests(tests, temporary_setup, temporary_teardown);
}
