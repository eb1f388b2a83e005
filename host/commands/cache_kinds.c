#include "commands/cache_kinds.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "commands/base_record.h"
#include "commands/bind_disk.h"
#include "commands/boot_mark.h"
#include "commands/kept_archive.h"
#include "commands/known_image.h"
#include "commands/step_cache.h"
#include "commands/warm_boot.h"
#include "commands/warm_refusal.h"
#include "disk/disk_digest.h"
#include "support/interrupt.h"
#include "support/memory.h"
#include "tree/tree_file.h"
#include "vm/template.h"

#define CHUNK (1u << 20)
#define ENTRY_NAME "the entry"

/* What is found by the digest of its bytes. */
static int verify_bytes(int fd, const struct digest *key, struct error *err)
{
	cleanup_hasher struct hasher *hasher = hasher_new();
	cleanup_free uint8_t *chunk = xmalloc(CHUNK);
	for (;;) {
		ssize_t n = read(fd, chunk, CHUNK);
		if (n < 0)
			return error_set_errno(err, ERROR_INPUT, ENTRY_NAME ": cannot read");
		if (n == 0)
			break;
		hasher_add(hasher, chunk, (size_t)n);
		int r = interrupt_check(err);
		if (r < 0)
			return r;
	}
	struct digest found = hasher_finish(hasher);
	return digest_expect(key, &found, ENTRY_NAME, "digest", err);
}

static int verify_disk(int fd, const struct digest *key, struct error *err)
{
	struct digest found;
	int r = disk_digest(fd, &found, err);
	return r < 0 ? r : digest_expect(key, &found, ENTRY_NAME, "digest", err);
}

/* It has a digest of its own. The disk that it names is another entry. */
static int verify_record(int fd, const struct digest *key, struct error *err)
{
	struct base_record record;
	(void)key;
	return base_record_read(fd, &record, err);
}

/* The record and the tree each have a digest of their own. The disk is another entry. */
static int verify_tree(int fd, const struct digest *key, struct error *err)
{
	struct base_record record;
	cleanup_tree struct tree *tree = tree_new();
	(void)key;
	int r = base_record_read(fd, &record, err);
	if (r < 0)
		return r;
	int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (none < 0)
		return error_set_errno(err, ERROR_INTERNAL, "/dev/null: cannot open");
	struct source *disk = source_from_fd(none, 0, ENTRY_NAME);
	return tree_file_read(fd, BASE_TREE_OFFSET, disk, record.identity.size, tree, err);
}

/* A memory that is missing or damaged is an entry of its own. */
static int verify_state(int fd, const struct digest *key, struct error *err)
{
	struct vm_template template;
	(void)key;
	return template_read(fd, VM_ACCEL_TCG, &template, err);
}

static const struct cache_kind kinds[] = {
	{KEPT_ARCHIVE_KIND, kept_archive_check, NULL},
	{BIND_KIND_RECORD, verify_record, NULL},
	{BIND_KIND_DISK, verify_disk, NULL},
	{BOOT_MARK_KIND, NULL, "the entries are empty"},
	{BASE_KIND_DISK, verify_disk, NULL},
	{KNOWN_IMAGE_KIND, known_image_check, NULL},
	{STEP_KIND_LAYER, verify_bytes, NULL},
	{CACHE_KEPT_KIND, NULL, "guests write to the disks of cache mounts"},
	{STEP_KIND_RECORD, step_cache_check, NULL},
	{BASE_KIND_TREE, verify_tree, NULL},
	{WARM_BOOT_MEMORY_KIND, template_check_memory, NULL},
	{WARM_BOOT_STATE_KIND, verify_state, NULL},
	{WARM_REFUSAL_KIND, NULL, "the entries only say what is not worth a try"},
};

const struct cache_kind *cache_kind_find(const char *name)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	}
	return NULL;
}
