#include "random_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t random_seed(void)
{
	const char *given = getenv("LAYERVM_TEST_SEED");
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
				      : (uint64_t)now.tv_sec * 1000000007u + (uint64_t)now.tv_nsec;
	printf("LAYERVM_TEST_SEED=%llu\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}

uint32_t random_below(struct random *random, uint32_t limit)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ z >> 31) % limit);
}

/* A current name, the root now and then; directories only where asked for. */
static struct dentry *pick(struct random *random, struct tree *tree, bool dirs_only)
{
	struct dentry *root = tree_root(tree);
	struct dentry *picked = root;
	uint32_t seen = 0;
	for (struct dentry *d = root; d != NULL; d = tree_next(root, d)) {
		if (d->inode == NULL || (dirs_only && !inode_is_dir(d->inode)))
			continue;
		if (random_below(random, ++seen) == 0)
			picked = d;
	}
	return picked;
}

/* Few names, so that they meet often; some are awkward. */
static size_t random_name(struct random *random, char name[TREE_NAME_MAX + 1])
{
	static const char *const odd[] = {"with space", "new\nline", "\xc3\xbc\xe2\x82\xac",
		"\xff\xfe raw", "..x", "-rf", "a\\b"};
	uint32_t kind = random_below(random, 12);
	if (kind == 0)
		return (size_t)sprintf(name, "%s", odd[random_below(random, 7)]);
	if (kind == 1) {
		size_t len = 100 + random_below(random, 156);
		memset(name, 'n', len);
		name[len] = '\0';
		name[0] = (char)('a' + random_below(random, 3));
		return len;
	}
	return (size_t)sprintf(name, "%c", 'a' + random_below(random, 10));
}

static void set_random_data(struct random *random, struct tree *tree, struct inode *inode)
{
	uint8_t bytes[3000] = {0};
	size_t len = random_below(random, 4) == 0 ? 0 : random_below(random, sizeof(bytes));
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)random_below(random, 256);
	inode->segments = NULL;
	inode->segment_count = 0;
	struct source *source = tree_own_source(tree, source_from_bytes(bytes, len));
	inode_set_data(tree, inode, source, 0, len);
	if (len > 100 && random_below(random, 4) == 0) {
		/* The same bytes with a hole between. */
		struct segment *two = tree_alloc(tree, 2 * sizeof(*two));
		two[0] = (struct segment){.logical = 0, .length = 50, .offset = 0};
		two[1] = (struct segment){.logical = 5000, .length = len - 50, .offset = 50};
		inode->segments = two;
		inode->segment_count = 2;
		inode->size = 5000 + (len - 50) + random_below(random, 2) * 777;
	}
}

static void set_random_xattrs(struct random *random, struct tree *tree, struct inode *inode)
{
	static const char *const names[] = {
		"user.one", "user.two", "security.capability", "trusted.x", "user.empty"};
	struct xattr items[3];
	uint8_t value[64];
	size_t count = random_below(random, 4);
	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)random_below(random, 256);
	for (size_t i = 0; i < count; i++) {
		items[i].name = names[random_below(random, 5)];
		items[i].value = value;
		items[i].len = random_below(random, sizeof(value));
	}
	inode->xattrs = tree_xattrs(tree, items, count);
}

static void set_random_metadata(struct random *random, struct tree *tree, struct inode *inode)
{
	inode->uid = random_below(random, 8) == 0 ? 3000000000u : random_below(random, 3);
	inode->gid = random_below(random, 8) == 0 ? 70000u : random_below(random, 3);
	inode->mtime_sec = (int64_t)random_below(random, 2000000000u) - 100000;
	inode->mtime_nsec = random_below(random, 2) * random_below(random, 1000000000);
	if (random_below(random, 4) == 0)
		set_random_xattrs(random, tree, inode);
}

static struct inode *random_inode(struct random *random, struct tree *tree)
{
	static const uint32_t types[] = {S_IFDIR, S_IFDIR, S_IFDIR, S_IFREG, S_IFREG, S_IFREG,
		S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO};
	uint32_t type = types[random_below(random, 10)];
	uint32_t mode = type == S_IFLNK ? 0777 : random_below(random, 010000);
	struct inode *inode = tree_inode_new(tree, type | mode);
	set_random_metadata(random, tree, inode);
	if (type == S_IFREG)
		set_random_data(random, tree, inode);
	if (type == S_IFLNK) {
		inode->size = 1 + random_below(random, 300);
		char *target = tree_alloc(tree, inode->size + 1);
		memset(target, 't', inode->size);
		inode->target = target;
	}
	if (type == S_IFCHR || type == S_IFBLK) {
		inode->device.major = random_below(random, 2) * random_below(random, 4096);
		inode->device.minor = random_below(random, 2) * random_below(random, 1048576);
	}
	return inode;
}

/* Gives all names of an inode a changed copy of it. */
static void change_inode(struct random *random, struct tree *tree, struct dentry *d)
{
	struct inode *old = d->inode;
	struct inode *copy = tree_inode_new(tree, old->mode);
	*copy = *old;
	copy->nlink = copy->base_nlink = 0;
	copy->names = NULL;
	switch (random_below(random, 3)) {
	case 0:
		copy->mode = S_ISLNK(old->mode)
				     ? old->mode
				     : (old->mode & S_IFMT) | random_below(random, 010000);
		break;
	case 1:
		set_random_metadata(random, tree, copy);
		break;
	default:
		if (S_ISREG(old->mode))
			set_random_data(random, tree, copy);
	}
	while (old->names != NULL)
		tree_relink(tree, old->names, copy);
}

static bool is_below(const struct dentry *d, const struct dentry *top)
{
	while (d != NULL && d != top)
		d = d->parent;
	return d != NULL;
}

/* Moves a name, with all below it, to another place. */
static void move(struct random *random, struct tree *tree, struct dentry *from)
{
	char name[TREE_NAME_MAX + 1];
	size_t len = random_name(random, name);
	struct dentry *dir = pick(random, tree, true);
	if (from == tree_root(tree) || is_below(dir, from) ||
		tree_find(tree, dir, name, len) != NULL)
		return;
	struct inode *inode = from->inode;
	if (!inode_is_dir(inode)) {
		tree_link(tree, dir, name, len, inode);
		tree_unlink(tree, from);
		return;
	}
	struct inode *copy = tree_inode_new(tree, inode->mode);
	*copy = *inode;
	copy->nlink = copy->base_nlink = 0;
	copy->names = NULL;
	struct dentry *to = tree_link(tree, dir, name, len, copy);
	for (struct dentry *d = from->children; d != NULL; d = d->next) {
		/* Deeper directories stay behind: one level shows what there is to show. */
		if (d->inode != NULL && !inode_is_dir(d->inode))
			tree_link(tree, to, d->name, d->name_len, d->inode);
	}
	tree_unlink(tree, from);
}

void random_changes(struct random *random, struct tree *tree, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		char name[TREE_NAME_MAX + 1];
		struct dentry *d = pick(random, tree, false);
		struct dentry *dir = pick(random, tree, true);
		size_t len = random_name(random, name);
		switch (random_below(random, 8)) {
		case 0:
			if (d != tree_root(tree))
				tree_unlink(tree, d);
			break;
		case 1:
			if (!inode_is_dir(d->inode))
				tree_link(tree, dir, name, len, d->inode);
			break;
		case 2:
			change_inode(random, tree, d);
			break;
		case 3:
			move(random, tree, d);
			break;
		default:
			tree_link(tree, dir, name, len, random_inode(random, tree));
		}
	}
}
