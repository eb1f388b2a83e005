#include "layer_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "layer/layer.h"
#include "layer/tar_header.h"
#include "support/memory.h"
#include "support/ustar.h"

static void add_entry(struct buffer *tar, const char *text, size_t len)
{
	static const char zeros[TAR_BLOCK];
	cleanup_free char *entry = xstrndup(text, len);
	char *value = strpbrk(entry + 2, "=>");
	if (value != NULL)
		*value++ = '\0';
	struct tar_header header = {.path = entry + 2, .mode = 0755};
	switch (entry[0]) {
	case 'D':
		header.mode = 0700;
		header.uid = 5;
		header.type = '5';
		break;
	case 'd':
		header.type = '5';
		break;
	case 'l':
		header.type = '2';
		header.target = value;
		break;
	case 'h':
		header.type = '1';
		header.target = value;
		break;
	case 'p':
		header.type = '6';
		break;
	case 'c':
		header.type = '3';
		break;
	default:
		header.type = '0';
		header.size = value != NULL ? strlen(value) : 0;
	}
	tar_header_add(tar, &header);
	if (header.size != 0) {
		buffer_add(tar, value, header.size);
		buffer_add(tar, zeros, (TAR_BLOCK - header.size % TAR_BLOCK) % TAR_BLOCK);
	}
}

void layer_text_add(struct buffer *tar, const char *text)
{
	static const char end[2 * TAR_BLOCK];
	while (*text != '\0') {
		size_t len = strcspn(text, ";");
		add_entry(tar, text, len);
		text += len;
		text += *text == ';';
	}
	buffer_add(tar, end, sizeof(end));
}

char *layer_text_of(struct tree *tree)
{
	struct buffer out = {0};
	struct error err;
	tree_sort(tree);
	for (struct dentry *d = tree_next(tree_root(tree), tree_root(tree)); d != NULL;
		d = tree_next(tree_root(tree), d)) {
		const struct inode *inode = d->inode;
		if (inode == NULL)
			continue;
		cleanup_free char *path = tree_path(d);
		if (out.len != 0)
			buffer_add_text(&out, ";");
		if (inode->names != d) {
			cleanup_free char *first = tree_path(inode->names);
			buffer_printf(&out, "h %s=%s", path, first);
		} else if (S_ISREG(inode->mode)) {
			char text[16] = "";
			assert_int_equal(inode_read(inode, text, inode->size, 0, &err), 0);
			buffer_printf(&out, "f %s=%s", path, text);
		} else if (S_ISLNK(inode->mode)) {
			buffer_printf(&out, "l %s>%s", path, inode->target);
		} else {
			buffer_printf(&out, "%c %s",
				S_ISDIR(inode->mode)   ? inode->uid == 5 ? 'D' : 'd'
				: S_ISCHR(inode->mode) ? 'c'
						       : 'p',
				path);
		}
	}
	return buffer_steal_text(&out);
}

int layer_text_apply(struct tree *tree, const char *text, struct error *err)
{
	cleanup_buffer struct buffer tar = {0};
	layer_text_add(&tar, text);
	return layer_apply(tree, source_from_bytes(tar.data, tar.len), tar.len, "layer", err);
}
