#include "tree/tree.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "support/memory.h"

#define ARENA_CHUNK (256u * 1024)

struct chunk {
	struct chunk *next;
	size_t used;
	size_t size;
	uint8_t data[] __attribute__((aligned(16)));
};

struct tree {
	struct chunk *chunks;
	struct dentry *root;
	struct dentry **buckets;
	size_t bucket_count; /* a power of two */
	size_t dentry_count; /* gone names included: what the buckets hold */
	uint64_t count;      /* current names */
	uint64_t hash_key;
	struct source **sources;
	size_t source_count;
	size_t source_capacity;
};

void *tree_alloc(struct tree *tree, size_t size)
{
	size_t rounded = (size + 7) & ~(size_t)7;
	struct chunk *chunk = tree->chunks;
	if (chunk == NULL || chunk->size - chunk->used < rounded) {
		size_t room = rounded > ARENA_CHUNK ? rounded : ARENA_CHUNK;
		chunk = xmalloc(sizeof(*chunk) + room);
		chunk->used = 0;
		chunk->size = room;
		chunk->next = tree->chunks;
		tree->chunks = chunk;
	}
	void *p = chunk->data + chunk->used;
	chunk->used += rounded;
	memset(p, 0, rounded);
	return p;
}

/*
 * A keyed hash of (directory, name), eight bytes a step: names come from outside, and must not be
 * able to choose their bucket.
 */
static uint32_t hash_name(
	const struct tree *tree, const struct dentry *dir, const char *name, size_t len)
{
	uint64_t h = tree->hash_key ^ (uint64_t)(uintptr_t)dir ^ ((uint64_t)len << 56);
	while (len > 0) {
		uint64_t word = 0;
		size_t n = len < sizeof(word) ? len : sizeof(word);
		memcpy(&word, name, n);
		unsigned __int128 product =
			(unsigned __int128)(h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h = (uint64_t)product ^ (uint64_t)(product >> 64) ^ tree->hash_key;
		name += n;
		len -= n;
	}
	return (uint32_t)(h ^ h >> 32);
}

static void grow_buckets(struct tree *tree)
{
	size_t count = tree->bucket_count * 2;
	struct dentry **buckets = xcalloc(count, sizeof(*buckets));
	for (size_t i = 0; i < tree->bucket_count; i++) {
		struct dentry *next;
		for (struct dentry *d = tree->buckets[i]; d != NULL; d = next) {
			next = d->next_hash;
			d->next_hash = buckets[d->hash & (count - 1)];
			buckets[d->hash & (count - 1)] = d;
		}
	}
	free(tree->buckets);
	tree->buckets = buckets;
	tree->bucket_count = count;
}

static void attach_name(struct tree *tree, struct dentry *dentry, struct inode *inode)
{
	dentry->inode = inode;
	dentry->next_name = inode->names;
	if (dentry->next_name != NULL)
		dentry->next_name->name_link = &dentry->next_name;
	inode->names = dentry;
	dentry->name_link = &inode->names;
	inode->nlink++;
	tree->count++;
}

static void detach_name(struct tree *tree, struct dentry *dentry)
{
	*dentry->name_link = dentry->next_name;
	if (dentry->next_name != NULL)
		dentry->next_name->name_link = dentry->name_link;
	dentry->inode->nlink--;
	dentry->inode = NULL;
	dentry->next_name = NULL;
	dentry->name_link = NULL;
	tree->count--;
}

struct tree *tree_new(void)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));
	tree->bucket_count = 1024;
	tree->buckets = xcalloc(tree->bucket_count, sizeof(struct dentry *));
	if (getrandom(&tree->hash_key, sizeof(tree->hash_key), 0) < 0)
		tree->hash_key = (uint64_t)(uintptr_t)tree; /* still unlike in every process */
	tree->root = tree_alloc(tree, sizeof(struct dentry) + 1);
	attach_name(tree, tree->root, tree_inode_new(tree, S_IFDIR | 0755));
	return tree;
}

void tree_free(struct tree *tree)
{
	if (tree == NULL)
		return;
	for (size_t i = 0; i < tree->source_count; i++)
		tree->sources[i]->free(tree->sources[i]);
	free(tree->sources);
	struct chunk *next;
	for (struct chunk *chunk = tree->chunks; chunk != NULL; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(tree->buckets);
	free(tree);
}

struct dentry *tree_root(struct tree *tree)
{
	return tree->root;
}

uint64_t tree_count(const struct tree *tree)
{
	return tree->count;
}

struct source *tree_own_source(struct tree *tree, struct source *source)
{
	for (size_t i = 0; i < tree->source_count; i++) {
		if (tree->sources[i] == source)
			return source;
	}
	tree->sources = array_grow(
		tree->sources, tree->source_count, &tree->source_capacity, sizeof(struct source *));
	tree->sources[tree->source_count++] = source;
	return source;
}

struct inode *tree_inode_new(struct tree *tree, uint32_t mode)
{
	struct inode *inode = tree_alloc(tree, sizeof(*inode));
	inode->mode = mode;
	return inode;
}

static int compare_xattrs(const void *a, const void *b)
{
	return strcmp(((const struct xattr *)a)->name, ((const struct xattr *)b)->name);
}

const struct xattrs *tree_xattrs(struct tree *tree, const struct xattr *items, size_t count)
{
	if (count == 0)
		return NULL;
	struct xattrs *xattrs = tree_alloc(tree, sizeof(*xattrs) + count * sizeof(struct xattr));
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;
		while (at < xattrs->count && strcmp(xattrs->items[at].name, items[i].name) != 0)
			at++;
		struct xattr *to = &xattrs->items[at];
		if (at == xattrs->count) {
			size_t len = strlen(items[i].name) + 1;
			to->name = memcpy(tree_alloc(tree, len), items[i].name, len);
			xattrs->count++;
		}
		to->len = items[i].len;
		to->value = tree_alloc(tree, to->len);
		if (to->len != 0)
			memcpy((void *)(uintptr_t)to->value, items[i].value, to->len);
	}
	qsort(xattrs->items, xattrs->count, sizeof(struct xattr), compare_xattrs);
	return xattrs;
}

/* The entry of that name, gone or not. */
static struct dentry *find_any(
	struct tree *tree, struct dentry *dir, const char *name, size_t len, uint32_t hash)
{
	struct dentry *d = tree->buckets[hash & (tree->bucket_count - 1)];
	for (; d != NULL; d = d->next_hash) {
		if (d->hash == hash && d->parent == dir && d->name_len == len &&
			memcmp(d->name, name, len) == 0)
			return d;
	}
	return NULL;
}

struct dentry *tree_find(struct tree *tree, struct dentry *dir, const char *name, size_t len)
{
	if (len > TREE_NAME_MAX)
		return NULL;
	struct dentry *d = find_any(tree, dir, name, len, hash_name(tree, dir, name, len));
	return d != NULL && d->inode != NULL ? d : NULL;
}

/* Takes a name out of the hash table. */
static void unhash(struct tree *tree, const struct dentry *dentry)
{
	struct dentry **link = &tree->buckets[dentry->hash & (tree->bucket_count - 1)];
	while (*link != dentry)
		link = &(*link)->next_hash;
	*link = dentry->next_hash;
	tree->dentry_count--;
}

/*
 * Takes all names below a directory away; they stay as gone names where the base has them. Those
 * that the base lacks too are forgotten, and with them all below: a directory that is
 * emptied again and again must not carry along what it ever held.
 */
static void clear(struct tree *tree, struct dentry *dir)
{
	for (struct dentry *d = dir->children; d != NULL; d = tree_next(dir, d)) {
		if (d->inode != NULL)
			detach_name(tree, d);
		d->flags &= (uint8_t) ~(DENTRY_SCAFFOLD | DENTRY_FRESH);
		if (d->base == NULL)
			unhash(tree, d);
	}
	for (struct dentry *d = dir; d != NULL; d = tree_next(dir, d)) {
		struct dentry **link = &d->children;
		while (*link != NULL) {
			if ((*link)->base == NULL)
				*link = (*link)->next;
			else
				link = &(*link)->next;
		}
	}
}

struct dentry *tree_link(
	struct tree *tree, struct dentry *dir, const char *name, size_t len, struct inode *inode)
{
	uint32_t hash = hash_name(tree, dir, name, len);
	struct dentry *d = find_any(tree, dir, name, len, hash);
	if (d == NULL) {
		if (tree->dentry_count >= tree->bucket_count)
			grow_buckets(tree);
		d = tree_alloc(tree, sizeof(*d) + len + 1);
		d->parent = dir;
		d->hash = hash;
		d->name_len = (uint16_t)len;
		memcpy(d->name, name, len);
		d->next = dir->children;
		dir->children = d;
		d->next_hash = tree->buckets[hash & (tree->bucket_count - 1)];
		tree->buckets[hash & (tree->bucket_count - 1)] = d;
		tree->dentry_count++;
	}
	if (d->inode != NULL)
		tree_relink(tree, d, inode);
	else
		attach_name(tree, d, inode);
	return d;
}

void tree_relink(struct tree *tree, struct dentry *dentry, struct inode *inode)
{
	if (dentry->inode == inode)
		return;
	if (inode_is_dir(dentry->inode) && !inode_is_dir(inode))
		clear(tree, dentry);
	detach_name(tree, dentry);
	attach_name(tree, dentry, inode);
	dentry->flags &= (uint8_t)~DENTRY_SCAFFOLD;
}

bool tree_is_empty(const struct dentry *dir)
{
	for (const struct dentry *d = dir->children; d != NULL; d = d->next) {
		if (d->inode != NULL)
			return false;
	}
	return true;
}

void tree_unlink(struct tree *tree, struct dentry *dentry)
{
	clear(tree, dentry);
	detach_name(tree, dentry);
	dentry->flags &= (uint8_t) ~(DENTRY_SCAFFOLD | DENTRY_FRESH);
}

void tree_freeze(struct tree *tree)
{
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		d->base = d->inode;
		if (d->inode != NULL)
			d->inode->base_nlink = d->inode->nlink;
	}
}

void tree_revert(struct tree *tree)
{
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		if (d->inode != NULL)
			detach_name(tree, d);
		d->flags = 0;
	}
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		if (d->base != NULL)
			attach_name(tree, d, d->base);
	}
}

static int compare_names(const struct dentry *a, const struct dentry *b)
{
	size_t len = a->name_len < b->name_len ? a->name_len : b->name_len;
	int order = memcmp(a->name, b->name, len);
	return order != 0 ? order : (int)a->name_len - (int)b->name_len;
}

static bool is_sorted(const struct dentry *list)
{
	for (; list != NULL && list->next != NULL; list = list->next) {
		if (compare_names(list, list->next) > 0)
			return false;
	}
	return true;
}

static struct dentry *merge(struct dentry *a, struct dentry *b)
{
	struct dentry *head = NULL;
	struct dentry **tail = &head;
	while (a != NULL && b != NULL) {
		struct dentry **smaller = compare_names(a, b) <= 0 ? &a : &b;
		*tail = *smaller;
		tail = &(*tail)->next;
		*smaller = *tail;
	}
	*tail = a != NULL ? a : b;
	return head;
}

/* Bottom-up merge sort: runs[i] is empty or a sorted list of 2^i names. */
static struct dentry *sort_list(struct dentry *list)
{
	struct dentry *runs[48] = {NULL};
	while (list != NULL) {
		struct dentry *run = list;
		list = list->next;
		run->next = NULL;
		size_t i = 0;
		for (; runs[i] != NULL; i++) {
			run = merge(runs[i], run);
			runs[i] = NULL;
		}
		runs[i] = run;
	}
	struct dentry *sorted = NULL;
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++)
		sorted = merge(runs[i], sorted);
	return sorted;
}

void tree_sort(struct tree *tree)
{
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		if (!is_sorted(d->children))
			d->children = sort_list(d->children);
		if (d->inode != NULL)
			d->inode->names = NULL;
	}
	/* The first name that the walk meets is the head; the others follow in any order. */
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		if (d->inode == NULL)
			continue;
		struct dentry *first = d->inode->names;
		struct dentry **link = first == NULL ? &d->inode->names : &first->next_name;
		d->next_name = first == NULL ? NULL : *link;
		if (d->next_name != NULL)
			d->next_name->name_link = &d->next_name;
		*link = d;
		d->name_link = link;
	}
}

struct dentry *tree_next_over(const struct dentry *top, const struct dentry *d)
{
	for (; d != top; d = d->parent) {
		if (d->next != NULL)
			return d->next;
	}
	return NULL;
}

struct dentry *tree_next(const struct dentry *top, const struct dentry *d)
{
	return d->children != NULL ? d->children : tree_next_over(top, d);
}

char *tree_path(const struct dentry *dentry)
{
	size_t len = 0;
	for (const struct dentry *d = dentry; d->parent != NULL; d = d->parent)
		len += d->name_len + 1u;
	if (len == 0)
		return xstrdup("");
	char *path = xmalloc(len);
	char *at = path + len - 1;
	*at = '\0';
	for (const struct dentry *d = dentry;;) {
		at -= d->name_len;
		memcpy(at, d->name, d->name_len);
		d = d->parent;
		if (d->parent == NULL)
			return path;
		*--at = '/';
	}
}

struct dentry *tree_walk(struct tree *tree, const char *path)
{
	struct dentry *d = tree->root;
	while (d != NULL && *path != '\0') {
		size_t len = strcspn(path, "/");
		if (len != 0 && !(len == 1 && path[0] == '.'))
			d = tree_find(tree, d, path, len);
		path += len;
		path += strspn(path, "/");
	}
	return d;
}

int inode_read(
	const struct inode *inode, void *data, size_t len, uint64_t offset, struct error *err)
{
	/* The first segment that ends after offset, by bisection. */
	uint32_t low = 0;
	uint32_t high = inode->segment_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct segment *s = &inode->segments[middle];
		if (s->logical + s->length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	uint8_t *to = data;
	while (len > 0) {
		const struct segment *s = low < inode->segment_count ? &inode->segments[low] : NULL;
		if (s == NULL || offset < s->logical) {
			uint64_t hole = s == NULL ? len : s->logical - offset;
			size_t n = hole < len ? (size_t)hole : len;
			memset(to, 0, n);
			to += n;
			offset += n;
			len -= n;
			continue;
		}
		uint64_t skip = offset - s->logical;
		uint64_t rest = s->length - skip;
		size_t n = rest < len ? (size_t)rest : len;
		int r = inode->source->read(inode->source, to, n, s->offset + skip, err);
		if (r < 0)
			return r;
		to += n;
		offset += n;
		len -= n;
		low++;
	}
	return 0;
}

void inode_set_data(struct tree *tree, struct inode *inode, struct source *source, uint64_t offset,
	uint64_t size)
{
	inode->size = size;
	inode->source = source;
	if (size == 0)
		return;
	struct segment *segment = tree_alloc(tree, sizeof(*segment));
	*segment = (struct segment){.logical = 0, .length = size, .offset = offset};
	inode->segments = segment;
	inode->segment_count = 1;
}
