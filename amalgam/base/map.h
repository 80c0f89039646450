/*
 * map.h - hash table from bytes to a pointer, and the keyed hash that all tables use.
 *
 * Keys are borrowed: they must outlive the map (usually they live in the same arena or in the
 * value). Built for tables that are filled once and read often (routes, commands, settings,
 * policies). The keyspace has its own table (store/). Open addressing, grows by doubling.
 * hash_bytes is seeded per process by hash_seed_init: an outsider cannot aim collisions.
 * Threads: readers share a map that nobody changes.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/slice.h"

struct map_slot;
struct map {
    struct map_slot *slots;
    size_t n, cap;
};

FN void map_init(struct map *m);
FN void map_free(struct map *m);
FN void *map_get(const struct map *m, struct slice key);
/* Puts or replaces; returns the value that was there before, or NULL. value must not be NULL. */
FN void *map_put(struct map *m, struct slice key, void *value);
FN void *map_del(struct map *m, struct slice key);
/* Iterates: start with *it = 0; false at the end. Order is not defined. */
FN bool map_next(const struct map *m, size_t *it, struct slice *key, void **value);

/* hash_bytes differs from process to process; hash_bytes_seed is the same everywhere for one seed.
 */
FN void hash_seed_init(void);
FN uint64_t hash_bytes(const void *p, size_t n);
FN uint64_t hash_bytes_seed(const void *p, size_t n, uint64_t seed);

#endif
