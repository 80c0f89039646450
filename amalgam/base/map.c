/*
 * map.c - open addressing with linear probing, and the keyed hash.
 *
 * Deleting moves later entries back, so there are no tombstones and lookups stay short. Load is at
 * most 3/4. Keys and values are borrowed; the map owns only its slots. Readers may share a map that
 * nobody changes.
 *
 * The hash multiplies 64x64 to 128 bits and folds (the idea of wyhash). Such functions lose their
 * defence when an outsider can make a factor zero, which takes knowledge of the secret words; here
 * the words are random per process, and each is mixed into every block, so collisions cannot be
 * aimed. Tested by tests/unit/base/test_map.c.
 */
#include "base/map.h"

#include "base/mem.h"
#include "base/rand.h"

enum { MAP_FIRST_SLOTS = 16 };

struct map_slot {
    struct slice key;
    void *value; /* NULL: free */
    uint64_t hash;
};

struct map_hash_key {
    uint64_t word[4];
};
/* Written once by hash_seed_init before threads start; these values serve tests and tools. */
static struct map_hash_key map_hash_process_key = {
    {0x8f2e3d1c9a7b5e43u, 0xd1b54a32d192ed03u, 0x9e6c63d0876a9f35u, 0xabc94fd3b1f2e58du}};

static inline uint64_t map_hash_mix(uint64_t a, uint64_t b)
{
    __uint128_t r = (__uint128_t)a * b;
    return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t map_hash_read8(const char *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint64_t map_hash_read4(const char *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

/* Up to 16 bytes as two words, overlapping in the middle; the length goes in at the end. */
static inline void map_hash_tail(const char *p, size_t n, uint64_t *a, uint64_t *b)
{
    if (n >= 8) {
        *a = map_hash_read8(p);
        *b = map_hash_read8(p + n - 8);
    } else if (n >= 4) {
        *a = map_hash_read4(p);
        *b = map_hash_read4(p + n - 4);
    } else if (n > 0) {
        *a = (uint64_t)(uint8_t)p[0] << 16 | (uint64_t)(uint8_t)p[n >> 1] << 8 |
             (uint64_t)(uint8_t)p[n - 1];
        *b = 0;
    } else {
        *a = *b = 0;
    }
}

static inline uint64_t map_hash_run(const struct map_hash_key *k, const char *p, size_t n)
{
    uint64_t h = k->word[0], a, b;
    size_t left = n;
    if (left > 64) {
        uint64_t h1 = h, h2 = h, h3 = h;
        for (; left > 64; left -= 64, p += 64) {
            h = map_hash_mix(map_hash_read8(p) ^ k->word[1], map_hash_read8(p + 8) ^ h);
            h1 = map_hash_mix(map_hash_read8(p + 16) ^ k->word[2], map_hash_read8(p + 24) ^ h1);
            h2 = map_hash_mix(map_hash_read8(p + 32) ^ k->word[3], map_hash_read8(p + 40) ^ h2);
            h3 = map_hash_mix(map_hash_read8(p + 48) ^ k->word[0],
                              map_hash_read8(p + 56) ^ h3 ^ k->word[1]);
        }
        h ^= h1 ^ h2 ^ h3;
    }
    for (; left > 16; left -= 16, p += 16)
        h = map_hash_mix(map_hash_read8(p) ^ k->word[1], map_hash_read8(p + 8) ^ h);
    map_hash_tail(p, left, &a, &b);
    h = map_hash_mix(a ^ k->word[2], b ^ h);
    return map_hash_mix(h ^ k->word[3], (uint64_t)n ^ k->word[1]);
}

void hash_seed_init(void)
{
    rand_bytes(&map_hash_process_key, sizeof map_hash_process_key);
}

HOT uint64_t hash_bytes(const void *p, size_t n)
{
    return map_hash_run(&map_hash_process_key, p, n);
}

uint64_t hash_bytes_seed(const void *p, size_t n, uint64_t seed)
{
    struct map_hash_key k;
    for (size_t i = 0; i < 4; i++) { /* splitmix64 */
        seed += 0x9e3779b97f4a7c15u;
        uint64_t z = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        k.word[i] = z ^ (z >> 31);
    }
    return map_hash_run(&k, p, n);
}

void map_init(struct map *m)
{
    *m = (struct map){0};
}

void map_free(struct map *m)
{
    mem_free(m->slots);
    map_init(m);
}

/* The slot of key, or the free slot where it would go. Needs cap > n. */
static size_t map_seek(const struct map *m, struct slice key, uint64_t hash)
{
    size_t mask = m->cap - 1, i = hash & mask;
    while (m->slots[i].value && !(m->slots[i].hash == hash && slice_eq(m->slots[i].key, key)))
        i = (i + 1) & mask;
    return i;
}

void *map_get(const struct map *m, struct slice key)
{
    if (m->n == 0)
        return NULL;
    return m->slots[map_seek(m, key, hash_bytes(key.p, key.n))].value;
}

static void map_grow(struct map *m)
{
    struct map bigger = {.cap = m->cap ? m->cap * 2 : MAP_FIRST_SLOTS, .n = m->n};
    bigger.slots = mem_zalloc(bigger.cap * sizeof *bigger.slots);
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].value)
            bigger.slots[map_seek(&bigger, m->slots[i].key, m->slots[i].hash)] = m->slots[i];
    mem_free(m->slots);
    *m = bigger;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    MUST(value != NULL);
    if ((m->n + 1) * 4 > m->cap * 3)
        map_grow(m);
    uint64_t hash = hash_bytes(key.p, key.n);
    struct map_slot *s = &m->slots[map_seek(m, key, hash)];
    void *before = s->value;
    *s = (struct map_slot){key, value, hash};
    m->n += before ? 0 : 1;
    return before;
}

/* After a removal every entry of the run that could stand earlier moves back. */
void *map_del(struct map *m, struct slice key)
{
    if (m->n == 0)
        return NULL;
    size_t mask = m->cap - 1, hole = map_seek(m, key, hash_bytes(key.p, key.n));
    void *before = m->slots[hole].value;
    if (!before)
        return NULL;
    for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){{0}, NULL, 0};
    m->n--;
    return before;
}

bool map_next(const struct map *m, size_t *it, struct slice *key, void **value)
{
    for (; *it < m->cap; (*it)++) {
        const struct map_slot *s = &m->slots[*it];
        if (s->value) {
            *key = s->key;
            *value = s->value;
            (*it)++;
            return true;
        }
    }
    return false;
}
