#include "commands/host_files.h"

#include <errno.h>
#include <string.h>

#include "commands/mount_points.h"
#include "support/buffer.h"
#include "support/memory.h"
#include "vm/passt.h"

#define FILE_MODE (S_IFREG | 0644)

/* The guest's own name is what its init sets. */
static const char usual_hosts[] = "127.0.0.1\tlocalhost\n"
				  "::1\tlocalhost ip6-localhost ip6-loopback\n"
				  "127.0.1.1\tlayervm\n";

static char *resolv_text(void)
{
	return xasprintf("nameserver %s\n", PASST_NAME_SERVER);
}

static char *hosts_text(const struct guest_extras_spec *spec)
{
	struct buffer text = {0};
	buffer_add_text(&text, usual_hosts);
	for (size_t i = 0; i < spec->host_count; i++)
		buffer_printf(&text, "%s\t%s\n", spec->hosts[i].address, spec->hosts[i].name);
	return buffer_steal_text(&text);
}

/* text: taken over. */
static int put_file(
	struct host_file *file, struct tree *tree, const char *name, char *text, struct error *err)
{
	cleanup_free char *folder = NULL;
	struct dentry *etc = tree_root(tree);
	file->text = text;
	int r = mount_point_resolve(tree, "/etc", &folder, err);
	if (r < 0)
		return error_wrap(err, r, "network: /etc/%s cannot be there", name);
	r = mount_point_make(tree, folder, &etc, err);
	if (r < 0)
		return r;
	struct dentry *d = tree_find(tree, etc, name, strlen(name));
	if (d != NULL && inode_is_dir(d->inode))
		return error_set(err, ERROR_SPEC, EISDIR,
			"network: /etc/%s of the image is a folder, where a file is wanted", name);
	size_t len = strlen(text);
	struct source *source = tree_own_source(tree, source_from_bytes(text, len));
	struct inode *inode = tree_inode_new(tree, FILE_MODE);
	inode_set_data(tree, inode, source, 0, len);
	file->before = d != NULL ? d->inode : NULL;
	tree_link(tree, etc, name, strlen(name), inode);
	file->path = xasprintf("%s/%s", folder, name);
	return 0;
}

int host_files_put(const struct guest_extras_spec *spec, struct tree *tree,
	struct host_files *files, struct error *err)
{
	*files = (struct host_files){0};
	bool has_network = spec->network != GUEST_NETWORK_NONE;
	int r = 0;
	if (has_network)
		r = put_file(&files->files[0], tree, "resolv.conf", resolv_text(), err);
	if (r == 0 && (has_network || spec->host_count > 0))
		r = put_file(&files->files[1], tree, "hosts", hosts_text(spec), err);
	return r;
}

/* Whether an inode is just what was put there, by its content and who may do what with it. */
static int is_untouched(
	const struct host_file *file, const struct inode *inode, bool *untouched, struct error *err)
{
	size_t len = strlen(file->text);
	*untouched = false;
	if (inode->mode != FILE_MODE || inode->uid != 0 || inode->gid != 0 ||
		inode->xattrs != NULL || inode->nlink != 1 || inode->size != len)
		return 0;
	cleanup_free char *text = xmalloc(len);
	int r = inode_read(inode, text, len, 0, err);
	if (r < 0)
		return error_wrap(err, r, "%s", file->path);
	*untouched = memcmp(text, file->text, len) == 0;
	return 0;
}

int host_files_restore(const struct host_files *files, struct tree *tree, struct error *err)
{
	for (size_t i = 0; i < HOST_FILES_COUNT; i++) {
		const struct host_file *file = &files->files[i];
		struct dentry *d = file->path != NULL ? tree_walk(tree, file->path) : NULL;
		bool untouched;
		if (d == NULL)
			continue;
		int r = is_untouched(file, d->inode, &untouched, err);
		if (r < 0)
			return r;
		if (!untouched)
			continue;
		if (file->before != NULL)
			tree_relink(tree, d, file->before);
		else
			tree_unlink(tree, d);
	}
	return 0;
}

void host_files_free(struct host_files *files)
{
	for (size_t i = 0; i < HOST_FILES_COUNT; i++) {
		free(files->files[i].path);
		free(files->files[i].text);
	}
	*files = (struct host_files){0};
}
