/*
 * The user's cache folder: files by kind and key, which appear whole or not at all and may be
 * deleted at any time. Takes what somebody made; gives descriptors, which stay good whatever
 * happens to the names. Knows nothing of what the files hold.
 */
#ifndef LAYERVM_CACHE_CACHE_H
#define LAYERVM_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cache/limits.h"
#include "support/digest.h"
#include "support/error.h"

/*
 * The kind whose entries hold what nothing else does, and are written to by who locks them: they
 * do not count for the limits, and go only when they are asked for.
 */
#define CACHE_KEPT_KIND "mount"

struct cache;

/*
 * Opens the folder, which is made where it is missing, with mode 0700: $LAYERVM_CACHE_DIR, else
 * $XDG_CACHE_HOME/layervm, else $HOME/.cache/layervm. Fails with ERROR_OUTPUT where it is
 * another user's or open to others' writing, and where none of the variables is set; and as
 * cache_limits_find does.
 */
int cache_open(struct cache **out, struct error *err);
void cache_free(struct cache *cache);
static inline void cleanup_cache_fn(struct cache **cache)
{
	cache_free(*cache);
}
#define cleanup_cache __attribute__((cleanup(cleanup_cache_fn)))

/* Where it is, for messages; belongs to the cache. */
const char *cache_path(const struct cache *cache);

/* The descriptor of the folder; belongs to the cache. */
int cache_fd(const struct cache *cache);

/* How large it may become; belongs to the cache. */
const struct cache_limits *cache_limits(const struct cache *cache);

/*
 * Opens an entry. kind: a word, the name of a folder in the cache. flags: O_RDONLY or O_RDWR.
 * Returns 1 with *fd, the caller's; 0 where there is no such entry; or an error, of what has the
 * name of an entry and is no regular file too.
 */
int cache_find(const struct cache *cache, const char *kind, const struct digest *key, int flags,
	int *fd, struct error *err);

/* As cache_find, but that the entry does not count as used. */
int cache_peek(const struct cache *cache, const char *kind, const struct digest *key, int flags,
	int *fd, struct error *err);

/* An entry that is being made: a file without a name, or with one that nobody looks for. */
struct cache_entry;

/*
 * Starts one. *out: freed by cache_entry_free; without cache_publish nothing of it remains. cache:
 * must live as long. Where the file system has less room than the limits leave to others, entries
 * that were not used for long go first; where it still has less then, it is an ERROR_OUTPUT
 * (ENOSPC), but for CACHE_KEPT_KIND. What went counts as free, though
 * somebody may have it open, until enough is free; for half of the room of others at most.
 */
int cache_start(
	const struct cache *cache, const char *kind, struct cache_entry **out, struct error *err);

/* Its descriptor, for reading and writing; belongs to the entry. */
int cache_entry_fd(const struct cache_entry *entry);

/*
 * Whether an entry that takes so many bytes of the file system is kept: one of more than half of
 * what all may take would drive the others out, and be driven out by them. For who can know it
 * before he makes one; cache_publish asks in any case.
 */
bool cache_would_keep(const struct cache *cache, uint64_t bytes);

/*
 * Gives a file that is complete its name. Where somebody else has made the same entry meanwhile,
 * theirs stays: what has one key is the same. Entries beyond the limits go then, this one last.
 * Where it is too large (cache_would_keep, but for CACHE_KEPT_KIND) it gets no name, with an
 * ERROR_OUTPUT (EDQUOT); where even this one had to go for others' space, it is one too (ENOSPC).
 * The file itself is as good as before.
 */
int cache_publish(struct cache_entry *entry, const struct digest *key, struct error *err);

void cache_entry_free(struct cache_entry *entry);
static inline void cleanup_cache_entry_fn(struct cache_entry **entry)
{
	cache_entry_free(*entry);
}
#define cleanup_cache_entry __attribute__((cleanup(cleanup_cache_entry_fn)))

/*
 * Makes an empty entry, or uses it once more: what counts is that it is there. It takes no space,
 * and no other entry goes for it.
 */
int cache_mark(
	const struct cache *cache, const char *kind, const struct digest *key, struct error *err);

/* Takes an entry's name away, if it has one. Who has it open keeps it. */
int cache_remove(
	const struct cache *cache, const char *kind, const struct digest *key, struct error *err);

/* Leaves the entries of a kind that were found or published last, and removes the others. */
int cache_trim(const struct cache *cache, const char *kind, size_t count, struct error *err);

/*
 * Locks an open entry for this process alone (flock(2)), until its descriptor and all copies of
 * it are closed. Returns 1 where it was free, 0 where somebody else has it.
 */
int cache_try_lock(int fd, struct error *err);

/* Waits for the lock; an interrupt (interrupt.h) ends it. */
int cache_wait_lock(int fd, struct error *err);

/* Whether the entry that is open is still the one that its name stands for. */
bool cache_is_current(
	const struct cache *cache, const char *kind, const struct digest *key, int fd);

#endif
