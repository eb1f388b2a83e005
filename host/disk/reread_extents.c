#include <endian.h>
#include <errno.h>
#include <linux/types.h>
#include <string.h>

#include <ext2fs/ext3_extents.h>

#include "disk/reread.h"
#include "support/memory.h"

#define DEPTH_MAX 5
#define LOGICAL_END ((uint64_t)1 << 32) /* logical block numbers have 32 bits */

/* Headers and entries have the same size, so a node is an array of these. */
union slot {
	struct ext3_extent_header header;
	struct ext3_extent extent;
	struct ext3_extent_idx index;
};

_Static_assert(sizeof(union slot) == 12, "an entry of an extent node is 12 bytes");

#define ROOT_SLOTS 5 /* in the 60 bytes of an inode's i_block */

/* A node of the tree on the way to the current extent. */
struct node {
	union slot slots[DISK_BLOCK_SIZE / sizeof(union slot)];
	unsigned count; /* entries, after the header */
	unsigned next;  /* the entry to look at next */
	uint64_t end;   /* logical blocks below it are smaller */
};

struct walk {
	struct reread *reread;
	struct extents *out;
	uint64_t position; /* logical blocks below it are done */
	struct node nodes[DEPTH_MAX + 1];
};

/* Blocks first..first+count-1 must be on the disk and no other file's; now they are this one's. */
static int claim(struct reread *r, uint64_t first, uint64_t count, struct error *err)
{
	if (first == 0 || first >= r->block_count || count > r->block_count - first)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"it has the blocks %llu to %llu, but the disk has %llu blocks",
			(unsigned long long)first, (unsigned long long)(first + count - 1),
			(unsigned long long)r->block_count);
	for (uint64_t block = first; block < first + count; block++) {
		uint8_t bit = (uint8_t)(1u << (block % 8));
		if (r->claimed[block / 8] & bit)
			return error_set(err, ERROR_GUEST, EUCLEAN,
				"it has block %llu, which another file or another place in it "
				"has too",
				(unsigned long long)block);
		r->claimed[block / 8] |= bit;
	}
	return 0;
}

static bool any_held(const struct reread *r, uint64_t first, uint64_t count)
{
	for (uint64_t block = first; block < first + count; block++) {
		if (disk_view_holds(r->view, block))
			return true;
	}
	return false;
}

/* Checks the header of a node whose slots are filled in. room: slots that it has. */
static int check_node(struct node *node, unsigned room, unsigned depth, struct error *err)
{
	const struct ext3_extent_header *h = &node->slots[0].header;
	unsigned magic = le16toh(h->eh_magic);
	unsigned entries = le16toh(h->eh_entries);
	unsigned max = le16toh(h->eh_max);
	unsigned found_depth = le16toh(h->eh_depth);
	if (magic != EXT3_EXT_MAGIC || found_depth != depth)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extent tree: a node has magic 0x%x and depth %u, expected 0x%x and %u",
			magic, found_depth, EXT3_EXT_MAGIC, depth);
	if (max > room - 1 || entries > max || (entries == 0 && depth > 0))
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extent tree: a node of depth %u has %u entries of %u, where %u fit", depth,
			entries, max, room - 1);
	node->count = entries;
	node->next = 0;
	return 0;
}

static int add_extent(
	struct walk *w, const struct node *node, const struct ext3_extent *x, struct error *err)
{
	uint64_t logical = le32toh(x->ee_block);
	uint64_t physical = (uint64_t)le16toh(x->ee_start_hi) << 32 | le32toh(x->ee_start);
	uint64_t len = le16toh(x->ee_len);
	bool preallocated = len > EXT_INIT_MAX_LEN;
	if (preallocated)
		len -= EXT_INIT_MAX_LEN;
	if (len == 0 || logical < w->position || logical >= node->end || len > node->end - logical)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extent tree: an extent of %llu blocks at %llu, expected one in %llu to "
			"%llu",
			(unsigned long long)len, (unsigned long long)logical,
			(unsigned long long)w->position, (unsigned long long)node->end);
	w->position = logical + len;
	int r = claim(w->reread, physical, len, err);
	if (r < 0)
		return r;
	struct extents *out = w->out;
	out->held = out->held || any_held(w->reread, physical, len);
	if (preallocated)
		return 0;

	struct segment s = {
		.logical = logical * DISK_BLOCK_SIZE,
		.length = len * DISK_BLOCK_SIZE,
		.offset = physical * DISK_BLOCK_SIZE,
	};
	struct segment *last = out->count > 0 ? &out->items[out->count - 1] : NULL;
	if (last != NULL && last->logical + last->length == s.logical &&
		last->offset + last->length == s.offset) {
		last->length += s.length;
		return 0;
	}
	out->items = array_grow(out->items, out->count, &out->capacity, sizeof(*out->items));
	out->items[out->count++] = s;
	return 0;
}

/* Reads the node that entry number parent->next - 1 leads to. */
static int descend(struct walk *w, const struct node *parent, struct node *child, unsigned depth,
	struct error *err)
{
	const struct ext3_extent_idx *index = &parent->slots[parent->next].index;
	uint64_t logical = le32toh(index->ei_block);
	uint64_t block = (uint64_t)le16toh(index->ei_leaf_hi) << 32 | le32toh(index->ei_leaf);
	child->end = parent->next < parent->count
			     ? le32toh(parent->slots[parent->next + 1].index.ei_block)
			     : parent->end;
	if (logical < w->position || child->end <= logical || child->end > parent->end)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extent tree: an index entry for blocks %llu to %llu, expected one in "
			"%llu to %llu",
			(unsigned long long)logical, (unsigned long long)child->end,
			(unsigned long long)w->position, (unsigned long long)parent->end);
	w->position = logical;
	int r = claim(w->reread, block, 1, err);
	if (r < 0)
		return r;
	w->out->held = w->out->held || disk_view_holds(w->reread->view, block);
	r = disk_view_read(
		w->reread->view, child->slots, sizeof(child->slots), block * DISK_BLOCK_SIZE, err);
	if (r < 0)
		return r;
	return check_node(child, sizeof(child->slots) / sizeof(child->slots[0]), depth, err);
}

int reread_extents(
	struct reread *r, const union raw_inode *raw, struct extents *out, struct error *err)
{
	if (!(le32toh(raw->fields.i_flags) & EXT4_EXTENTS_FL))
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"it has a block map of the old form (no extents), which is not supported");
	cleanup_free struct walk *w = xmalloc(sizeof(*w));
	w->reread = r;
	w->out = out;
	w->position = 0;
	struct node *root = &w->nodes[0];
	memcpy(root->slots, raw->fields.i_block, sizeof(raw->fields.i_block));
	root->end = LOGICAL_END;
	unsigned depth = le16toh(root->slots[0].header.eh_depth);
	if (depth > DEPTH_MAX)
		return error_set(err, ERROR_GUEST, EUCLEAN,
			"extent tree: its depth is %u, at most %d is possible", depth, DEPTH_MAX);
	int code = check_node(root, ROOT_SLOTS, depth, err);

	unsigned level = 0;
	while (code == 0) {
		struct node *node = &w->nodes[level];
		if (node->next == node->count) {
			if (level == 0)
				return 0;
			level--;
			continue;
		}
		node->next++;
		if (level == depth) {
			code = add_extent(w, node, &node->slots[node->next].extent, err);
		} else {
			code = descend(w, node, &w->nodes[level + 1], depth - level - 1, err);
			level++;
		}
	}
	return code;
}
