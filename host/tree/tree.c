#include "tree/tree.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "support/memory.h"

/*
 * Chunks are as large as all before them together, within these bounds. Large ones are made of huge
 * pages where the kernel has them: a process with a large tree is copied (fork), walked and ended
 * much faster then.
 */
#define CHUNK_MIN (256u << 10)
#define CHUNK_MAX (16u << 20)
#define HUGE_PAGE (2u << 20)

struct chunk {
	struct chunk *next;
	size_t used;
	size_t size;
	uint8_t data[] __attribute__((aligned(16)));
};

struct tree {
	struct chunk *chunks;
	size_t chunks_size;
	struct dentry *root;
	struct dentry **buckets;
	size_t bucket_count; /* a power of two */
	size_t dentry_count; /* gone names included: what the buckets hold */
	uint64_t count;      /* current names */
	uint64_t made;       /* names that were ever added */
	uint64_t bytes;      /* that tree_alloc gave */
	uint64_t names_max, bytes_max;
	uint64_t hash_key;
	struct source **sources;
	size_t source_count;
	size_t source_capacity;
	struct inode **numbered; /* by number; NULL: no inode has it */
	size_t numbered_count;
	size_t numbered_capacity;
	/* Names with DENTRY_TOUCHED; before the first tree_freeze nobody keeps it. */
	struct dentry **touched;
	size_t touched_count;
	size_t touched_capacity;
	bool frozen;
};

/* Memory in huge pages, or in those of the usual size where the kernel has no others. */
static struct chunk *allocate_huge(size_t size)
{
	struct chunk *chunk = aligned_alloc(HUGE_PAGE, size);
	if (chunk == NULL)
		return xmalloc(size);
	madvise(chunk, size, MADV_HUGEPAGE);
	return chunk;
}

static struct chunk *add_chunk(struct tree *tree, size_t room)
{
	size_t size = tree->chunks_size > CHUNK_MIN ? tree->chunks_size : CHUNK_MIN;
	size = size < CHUNK_MAX ? size : CHUNK_MAX;
	if (size - sizeof(struct chunk) < room)
		size = sizeof(struct chunk) + room;
	struct chunk *chunk;
	if (size < HUGE_PAGE) {
		chunk = xmalloc(size);
	} else {
		size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
		chunk = allocate_huge(size);
	}
	chunk->used = 0;
	chunk->size = size - sizeof(*chunk);
	chunk->next = tree->chunks;
	tree->chunks = chunk;
	tree->chunks_size += size;
	return chunk;
}

void *tree_alloc(struct tree *tree, size_t size)
{
	size_t rounded = (size + 7) & ~(size_t)7;
	struct chunk *chunk = tree->chunks;
	if (chunk == NULL || chunk->size - chunk->used < rounded)
		chunk = add_chunk(tree, rounded);
	void *p = chunk->data + chunk->used;
	chunk->used += rounded;
	tree->bytes += rounded;
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

static void set_buckets(struct tree *tree, size_t count)
{
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

static void add_touched(struct tree *tree, struct dentry *dentry)
{
	tree->touched = array_grow(tree->touched, tree->touched_count, &tree->touched_capacity,
		sizeof(struct dentry *));
	tree->touched[tree->touched_count++] = dentry;
}

static void touch(struct tree *tree, struct dentry *dentry)
{
	if (!tree->frozen || (dentry->flags & DENTRY_TOUCHED))
		return;
	dentry->flags |= DENTRY_TOUCHED;
	add_touched(tree, dentry);
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
	touch(tree, dentry);
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
	touch(tree, dentry);
}

struct tree *tree_new(void)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));
	tree->names_max = TREE_NAMES_MAX;
	tree->bytes_max = TREE_BYTES_MAX;
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
	free(tree->numbered);
	free(tree->touched);
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

int tree_check(const struct tree *tree, struct error *err)
{
	if (tree->made > tree->names_max)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"a tree of more than %" PRIu64 " names, which is the limit",
			tree->names_max);
	if (tree->bytes > tree->bytes_max)
		return error_set(err, ERROR_LIMIT, E2BIG,
			"a tree whose names, attributes and sparse maps take more than %" PRIu64
			" bytes, which is the limit",
			tree->bytes_max);
	return 0;
}

void tree_set_limits(struct tree *tree, uint64_t names, uint64_t bytes)
{
	tree->names_max = names;
	tree->bytes_max = bytes;
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

struct source *const *tree_sources(const struct tree *tree, size_t *count)
{
	*count = tree->source_count;
	return tree->sources;
}

void tree_add_fds(const struct tree *tree, struct buffer *fds)
{
	for (size_t i = 0; i < tree->source_count; i++) {
		const struct source *source = tree->sources[i];
		if (source->fd >= 0)
			buffer_add(fds, &source->fd, sizeof(source->fd));
	}
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
		d->flags &= (uint8_t)~DENTRY_SCAFFOLD;
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

void tree_reserve(struct tree *tree, size_t names)
{
	size_t count = tree->bucket_count;
	while (count < names)
		count *= 2;
	if (count != tree->bucket_count)
		set_buckets(tree, count);
}

/* A name that is not there. place: in the directory's list. */
static struct dentry *add_name(struct tree *tree, struct dentry *dir, const char *name, size_t len,
	uint32_t hash, struct dentry **place)
{
	if (tree->dentry_count >= tree->bucket_count)
		set_buckets(tree, tree->bucket_count * 2);
	struct dentry **bucket = &tree->buckets[hash & (tree->bucket_count - 1)];
	struct dentry *d = tree_alloc(tree, sizeof(*d) + len + 1);
	d->parent = dir;
	d->hash = hash;
	d->name_len = (uint16_t)len;
	memcpy(d->name, name, len);
	d->next = *place;
	*place = d;
	d->next_hash = *bucket;
	*bucket = d;
	tree->dentry_count++;
	tree->made++;
	return d;
}

struct dentry *tree_add(struct tree *tree, struct dentry *dir, struct dentry *before,
	const char *name, size_t len, struct inode *inode)
{
	struct dentry **place = before != NULL ? &before->next : &dir->children;
	struct dentry *d = add_name(tree, dir, name, len, hash_name(tree, dir, name, len), place);
	attach_name(tree, d, inode);
	return d;
}

struct dentry *tree_link(
	struct tree *tree, struct dentry *dir, const char *name, size_t len, struct inode *inode)
{
	uint32_t hash = hash_name(tree, dir, name, len);
	struct dentry *d = find_any(tree, dir, name, len, hash);
	if (d == NULL)
		d = add_name(tree, dir, name, len, hash, &dir->children);
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
	dentry->flags &= (uint8_t)~DENTRY_SCAFFOLD;
}

void tree_freeze(struct tree *tree)
{
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		d->base = d->inode;
		d->flags &= (uint8_t)~DENTRY_TOUCHED;
		if (d->inode != NULL)
			d->inode->base_nlink = d->inode->nlink;
	}
	tree->touched_count = 0;
	tree->frozen = true;
}

struct dentry *const *tree_touched(struct tree *tree, size_t *count)
{
	if (!tree->frozen) {
		tree->touched_count = 0;
		for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d))
			add_touched(tree, d);
	}
	*count = tree->touched_count;
	return tree->touched;
}

void tree_revert(struct tree *tree)
{
	size_t count;
	struct dentry *const *touched = tree_touched(tree, &count);
	tree_clear_marks(tree);
	for (size_t i = 0; i < count; i++) {
		if (touched[i]->inode != NULL)
			detach_name(tree, touched[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (touched[i]->base != NULL)
			attach_name(tree, touched[i], touched[i]->base);
		touched[i]->flags = 0;
	}
	tree->touched_count = 0;
}

void tree_clear_marks(struct tree *tree)
{
	struct dentry *next;
	for (struct dentry *d = tree->root; d != NULL; d = next) {
		next = tree_next_marked(tree->root, d);
		d->flags &= (uint8_t) ~(DENTRY_WRITE | DENTRY_WHITEOUT | DENTRY_BELOW);
	}
}

void tree_set_number(struct tree *tree, struct inode *inode, uint32_t ino)
{
	while (tree->numbered_count <= ino) {
		tree->numbered = array_grow(tree->numbered, tree->numbered_count,
			&tree->numbered_capacity, sizeof(struct inode *));
		tree->numbered[tree->numbered_count++] = NULL;
	}
	tree->numbered[ino] = inode;
	inode->ino = ino;
}

void tree_forget_numbers(struct tree *tree)
{
	for (struct dentry *d = tree->root; d != NULL; d = tree_next(tree->root, d)) {
		if (d->inode != NULL)
			d->inode->ino = 0;
		if (d->base != NULL)
			d->base->ino = 0;
	}
	tree->numbered_count = 0;
}

struct inode *tree_numbered(const struct tree *tree, uint32_t ino)
{
	return ino < tree->numbered_count ? tree->numbered[ino] : NULL;
}

uint32_t tree_last_number(const struct tree *tree)
{
	return tree->numbered_count > 0 ? (uint32_t)(tree->numbered_count - 1) : 0;
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

struct dentry *tree_next_marked(const struct dentry *top, const struct dentry *d)
{
	return (d->flags & DENTRY_BELOW) ? tree_next(top, d) : tree_next_over(top, d);
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
