#include "unpack/marks.h"

#include <string.h>
#include <sys/random.h>

#include "support/memory.h"

#define BUCKETS_FIRST 1024

struct mark {
	struct mark *next;
	uint64_t ino;
	uint64_t hash;
	uint8_t marks;
	char name[];
};

/* Keyed, eight bytes a step: layers choose names, and must not choose their buckets. */
static uint64_t hash_name(const struct marks *marks, uint64_t ino, const char *name)
{
	size_t len = strlen(name);
	uint64_t h = marks->key ^ ino;
	do {
		uint64_t word = 0;
		size_t n = len < sizeof(word) ? len : sizeof(word);
		memcpy(&word, name, n);
		unsigned __int128 product =
			(unsigned __int128)(h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h = (uint64_t)product ^ (uint64_t)(product >> 64) ^ marks->key;
		name += n;
		len -= n;
	} while (len > 0);
	return h ^ h >> 32;
}

static void grow(struct marks *marks)
{
	size_t count = marks->bucket_count != 0 ? marks->bucket_count * 2 : BUCKETS_FIRST;
	struct mark **buckets = xcalloc(count, sizeof(*buckets));
	for (size_t i = 0; i < marks->bucket_count; i++) {
		struct mark *next;
		for (struct mark *m = marks->buckets[i]; m != NULL; m = next) {
			next = m->next;
			m->next = buckets[m->hash & (count - 1)];
			buckets[m->hash & (count - 1)] = m;
		}
	}
	free(marks->buckets);
	marks->buckets = buckets;
	marks->bucket_count = count;
}

static struct mark *find(const struct marks *marks, uint64_t ino, const char *name, uint64_t hash)
{
	if (marks->bucket_count == 0)
		return NULL;
	struct mark *m = marks->buckets[hash & (marks->bucket_count - 1)];
	while (m != NULL && (m->hash != hash || m->ino != ino || strcmp(m->name, name) != 0))
		m = m->next;
	return m;
}

void marks_add(struct marks *marks, uint64_t ino, const char *name, uint8_t mark)
{
	/* Without randomness the address is still unlike in every process. */
	if (marks->key == 0 && getrandom(&marks->key, sizeof(marks->key), 0) < 0)
		marks->key = (uint64_t)(uintptr_t)marks;
	uint64_t hash = hash_name(marks, ino, name);
	struct mark *m = find(marks, ino, name, hash);
	if (m == NULL) {
		if (marks->count >= marks->bucket_count)
			grow(marks);
		size_t size = strlen(name) + 1;
		struct mark **bucket = &marks->buckets[hash & (marks->bucket_count - 1)];
		m = xmalloc(sizeof(*m) + size);
		*m = (struct mark){.next = *bucket, .ino = ino, .hash = hash};
		memcpy(m->name, name, size);
		*bucket = m;
		marks->count++;
	}
	m->marks |= mark;
}

bool marks_have(const struct marks *marks, uint64_t ino, const char *name, uint8_t mark)
{
	const struct mark *m = find(marks, ino, name, hash_name(marks, ino, name));
	return m != NULL && (m->marks & mark);
}

void marks_clear(struct marks *marks)
{
	for (size_t i = 0; i < marks->bucket_count; i++) {
		struct mark *next;
		for (struct mark *m = marks->buckets[i]; m != NULL; m = next) {
			next = m->next;
			free(m);
		}
	}
	free(marks->buckets);
	*marks = (struct marks){0};
}
