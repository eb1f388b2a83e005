#include "hostdir/idmap.h"

#include "support/memory.h"

static uint64_t device_of(const struct statx *st)
{
	return (uint64_t)st->stx_dev_major << 32 | st->stx_dev_minor;
}

/* The slot that holds the identity, or the free one where it belongs. */
static struct idmap_slot *find_slot(const struct idmap *map, uint64_t dev, uint64_t ino)
{
	unsigned __int128 product = (unsigned __int128)(ino ^ dev) * UINT64_C(0x9e3779b97f4a7c15);
	size_t mask = map->capacity - 1;
	size_t i = (size_t)((uint64_t)product ^ (uint64_t)(product >> 64)) & mask;
	while (map->slots[i].value != NULL &&
		(map->slots[i].ino != ino || map->slots[i].dev != dev))
		i = (i + 1) & mask;
	return &map->slots[i];
}

static void grow(struct idmap *map)
{
	struct idmap bigger = {.count = map->count};
	bigger.capacity = map->capacity != 0 ? map->capacity * 2 : 64;
	bigger.slots = xcalloc(bigger.capacity, sizeof(*bigger.slots));
	for (size_t i = 0; i < map->capacity; i++) {
		const struct idmap_slot *slot = &map->slots[i];
		if (slot->value != NULL)
			*find_slot(&bigger, slot->dev, slot->ino) = *slot;
	}
	free(map->slots);
	*map = bigger;
}

void *idmap_get(const struct idmap *map, const struct statx *st)
{
	return map->capacity != 0 ? find_slot(map, device_of(st), st->stx_ino)->value : NULL;
}

void idmap_put(struct idmap *map, const struct statx *st, void *value)
{
	if (map->count >= map->capacity / 2)
		grow(map);
	struct idmap_slot *slot = find_slot(map, device_of(st), st->stx_ino);
	if (slot->value == NULL)
		map->count++;
	*slot = (struct idmap_slot){.dev = device_of(st), .ino = st->stx_ino, .value = value};
}

void idmap_free(struct idmap *map)
{
	free(map->slots);
	*map = (struct idmap){0};
}
