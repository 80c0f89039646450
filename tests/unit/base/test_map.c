/* test_map.c - the hash table and the hash. */
#include "base/map.h"
#include "base/mem.h"
#include "t.h"

#include <stdlib.h>

enum { KEYS = 20000 };
static char test_keys[KEYS][16];

static struct slice key_of(int i)
{
    return slice_str(test_keys[i]);
}

static void put_get_del(void)
{
    struct map m;
    int a = 1, b = 2;
    map_init(&m);
    T(map_get(&m, S("x")) == NULL && map_del(&m, S("x")) == NULL);
    T(map_put(&m, S("x"), &a) == NULL && m.n == 1);
    T(map_put(&m, S("x"), &b) == &a && m.n == 1);
    T(map_put(&m, S(""), &a) == NULL);
    T(map_get(&m, S("")) == &a && map_get(&m, S("x")) == &b && map_get(&m, S("y")) == NULL);
    T(map_get(&m, slice_of("x\0", 2)) == NULL);
    T(map_del(&m, S("x")) == &b && map_get(&m, S("x")) == NULL && m.n == 1);
    map_free(&m);
}

/* A mirror of what must be inside, through growth and many removals. */
static void against_a_mirror(void)
{
    static bool inside[KEYS];
    struct map m;
    map_init(&m);
    srandom(7);
    size_t count = 0;
    for (int step = 0; step < 200000; step++) {
        int i = (int)(random() % KEYS);
        if (random() % 3) {
            T((map_put(&m, key_of(i), test_keys[i]) != NULL) == inside[i]);
            count += inside[i] ? 0 : 1;
            inside[i] = true;
        } else {
            T((map_del(&m, key_of(i)) != NULL) == inside[i]);
            count -= inside[i] ? 1 : 0;
            inside[i] = false;
        }
    }
    T_INT(m.n, count);
    for (int i = 0; i < KEYS; i++)
        T((map_get(&m, key_of(i)) == test_keys[i]) == inside[i]);
    size_t it = 0, seen = 0;
    struct slice key;
    void *value;
    while (map_next(&m, &it, &key, &value)) {
        T(key.p == value);
        seen++;
    }
    T_INT(seen, count);
    map_free(&m);
}

static void hash_properties(void)
{
    char text[300];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    uint64_t before = hash_bytes(text, 20), fixed = hash_bytes_seed(text, 20, 5);
    hash_seed_init();
    T(hash_bytes(text, 20) != before);
    T(hash_bytes_seed(text, 20, 5) == fixed && hash_bytes_seed(text, 20, 6) != fixed);
    /* every byte and every length matters */
    for (size_t n = 1; n < 200; n++) {
        T_ROW("length %zu", n);
        uint64_t h = hash_bytes(text, n);
        T(h != hash_bytes(text, n - 1));
        for (size_t i = 0; i < n; i++) {
            text[i] = (char)(text[i] ^ 1);
            T(hash_bytes(text, n) != h);
            text[i] = (char)(text[i] ^ 1);
        }
    }
    static const char zeros[256] = {0};
    for (size_t n = 1; n < sizeof zeros; n++)
        T(hash_bytes(zeros, n) != hash_bytes(zeros, n - 1));
}

/* 64 buckets by low and by high bits: none far from its share. */
static void hash_spreads(void)
{
    unsigned low[64] = {0}, high[64] = {0};
    for (int i = 0; i < KEYS; i++) {
        uint64_t h = hash_bytes(test_keys[i], strlen(test_keys[i]));
        low[h & 63]++;
        high[h >> 58]++;
    }
    for (int i = 0; i < 64; i++) {
        T_ROW("bucket %d: %u %u", i, low[i], high[i]);
        T(low[i] > KEYS / 64 * 3 / 5 && low[i] < KEYS / 64 * 7 / 5);
        T(high[i] > KEYS / 64 * 3 / 5 && high[i] < KEYS / 64 * 7 / 5);
    }
}

int main(void)
{
    for (int i = 0; i < KEYS; i++)
        snprintf(test_keys[i], sizeof test_keys[i], "key:%d", i);
    T_RUN(put_get_del);
    T_RUN(against_a_mirror);
    T_RUN(hash_properties);
    T_RUN(hash_spreads);
    return t_done();
}
