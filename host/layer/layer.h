/*
 * Layer tars. layer_apply reads one into a tree by the rules of the OCI image-spec (layer.md);
 * layer_write writes what changes.h has marked. Reading is libarchive's; writing is ours, so that
 * the same tree gives the same bytes with every version of every library.
 */
#ifndef LAYERVM_LAYER_LAYER_H
#define LAYERVM_LAYER_LAYER_H

#include <stdbool.h>
#include <stdint.h>

#include "layer/member_path.h"
#include "support/digest.h"
#include "tree/feed.h"
#include "tree/tree.h"

/*
 * Applies an uncompressed layer tar to the tree's current state. Whiteouts (".wh.NAME", and
 * ".wh..wh..opq") take effect first, wherever they stand in the layer: on what lower layers gave,
 * never on the same layer's entries. Whiteouts among themselves take effect in their order.
 * Omitted parents get mode 0755, uid and gid 0, mtime 0; symlinks mode 0777, as Linux has it.
 * Parents that are symlinks are followed within the root, as in a chroot; the last part of a name
 * never is. Names are cleaned by member_path_clean; an entry below something that is no directory
 * is an ERROR_INPUT, and so is a hard link to something that is not there. Of an entry that comes
 * twice the last stays. Extended attributes are SCHILY.xattr.* records, as container runtimes have
 * it (pax_xattr.h); those in no namespace of Linux are left out. What aufs wrote for itself
 * (".wh..wh.*") is left out too; hard links to files of ".wh..wh.plnk" are names of these files.
 * What readers of tars do not take alike (tar_check.h) is an ERROR_INPUT, what tree_check refuses
 * an ERROR_LIMIT. tar: size bytes at offset 0; belongs to the tree afterwards, in failure too.
 * name: for messages.
 */
int layer_apply(
	struct tree *tree, struct source *tar, uint64_t size, const char *name, struct error *err);

/*
 * The same for a tar that comes in order, and is read to the feed's end. tar: what files are read
 * from afterwards, source_forward of the same feed; belongs to the tree.
 */
int layer_apply_feed(struct tree *tree, struct feed *feed, struct source *tar, const char *name,
	struct error *err);

/* The largest layer that is written, in bytes: a sparse file of no blocks can have any length. */
#define LAYER_SIZE_MAX (UINT64_C(64) << 30)

/*
 * The most that the names and values of one file's attributes take together, in bytes: readers take
 * no larger pax header than of 1 MiB, which has ACLs twice.
 */
#define LAYER_ATTRIBUTES_MAX ((size_t)512 << 10)

struct layer_options {
	int64_t mtime_max;  /* later mtimes of changed entries are set to this: SOURCE_DATE_EPOCH */
	bool keep_mtime;    /* leave mtimes as they are */
	bool same_mtime;    /* every entry has mtime_max; keep_mtime is not set then */
	const char *prefix; /* before names and hard links' targets, such as "./"; NULL: none */
	bool acl_text;      /* ACLs as text too, for tar --acls; container runtimes take none */
	/*
	 * What is still to be done before the end of the tar is written: of a tar for which it
	 * failed the end is missing. NULL: nothing.
	 */
	int (*before_end)(struct tree *tree, struct error *err);
};

/* Where a layer's bytes go, where that is more than a file. */
struct layer_sink {
	int (*write)(struct layer_sink *sink, const void *data, size_t len, struct error *err);
};

struct layer_info {
	struct digest diff_id; /* of the uncompressed tar */
	uint64_t size;         /* bytes */
	uint64_t entries;
};

/*
 * Writes all marked entries of the tree to fd, at its position, as a pax tar: directories before
 * what is in them, whiteouts before their siblings, then by name; hard links to the first name;
 * xattrs as SCHILY.xattr records; holes as zeros. What cannot be represented is an ERROR_LIMIT
 * that names the file: a name that begins with ".wh.", new or gone, a path that no system call
 * takes, an attribute with '=' in its name, attributes
 * of more than LAYER_ATTRIBUTES_MAX, what makes the layer larger than LAYER_SIZE_MAX. A file
 * that cannot be read is named too.
 */
int layer_write(struct tree *tree, int fd, const struct layer_options *options,
	struct layer_info *info, struct error *err);

/*
 * As layer_write, to a sink, in pieces of some 256 KiB as they are made. The digest is not
 * computed: info->diff_id is zero. What was written before a failure stops within an entry, so that
 * nobody takes it for a whole tar.
 */
int layer_write_to(struct tree *tree, struct layer_sink *sink, const struct layer_options *options,
	struct layer_info *info, struct error *err);

#endif
