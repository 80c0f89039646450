/* test_table.c - linear hashing, its chains, its books and its expiry index, against a plain array. */
#include "st.h"
#include "store/table.h"

enum { N = 40000 };
static bool there[N];
static uint64_t rng = 12345;

static uint64_t rnd(uint64_t n)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (rng >> 33) % n;
}

static struct slice name(uint64_t i)
{
    static char text[32];
    return slice_of(text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)i));
}

static size_t counted;
static void count_entry(void *ctx, struct entry *e)
{
    (void)ctx;
    (void)e;
    counted++;
}

static void check(struct table *t, uint64_t want)
{
    T_INT(t->count, want);
    uint64_t it = 0, n = 0;
    while (table_next(t, &it))
        n++;
    T_INT(n, want);
    counted = 0;
    uint64_t cursor = 0;
    do
        cursor = table_scan(t, cursor, 100, count_entry, NULL);
    while (cursor);
    T_INT(counted, want);
    T(t->n == 0 || (t->low <= t->n && t->n < 2 * t->low));
    T(t->count <= t->n * 5 + 5);
}

static void put(struct table *t, uint64_t i, int64_t expire)
{
    struct slice k = name(i);
    table_put(t, entry_with_bytes(k, k, expire), table_hash(k));
    if (expire)
        table_note_expire(t, table_hash(k), expire);
}

static void grows_and_shrinks(void)
{
    struct table t;
    table_init(&t);
    uint64_t n = 0;
    for (int phase = 0; phase < 6; phase++) {
        for (int i = 0; i < 60000; i++) {
            uint64_t k = rnd(N);
            struct entry **slot = table_find(&t, name(k), table_hash(name(k)));
            T((slot != NULL) == there[k]);
            bool add = rnd(10) < (phase % 2 ? 2u : 8u);
            if (add && !there[k]) {
                put(&t, k, 0);
                there[k] = true;
                n++;
            } else if (!add && there[k]) {
                struct entry *e = table_take(&t, name(k), table_hash(name(k)));
                T(e && slice_eq(entry_key(e), name(k)));
                entry_free(e);
                there[k] = false;
                n--;
            } else if (!add) {
                T(table_take(&t, name(k), table_hash(name(k))) == NULL);
            }
        }
        check(&t, n);
    }
    for (uint64_t k = 0; k < N; k++)
        if (there[k])
            entry_free(table_take(&t, name(k), table_hash(name(k))));
    check(&t, 0);
    T(t.n <= 2 && t.bytes < 2000);
    table_free(&t, entry_free);
    T_INT(t.bytes, 0);
}

static void finds_all_that_is_due(void)
{
    struct table t;
    struct entry *out[50];
    table_init(&t);
    for (uint64_t i = 0; i < N; i++)
        put(&t, i, rnd(2) ? 1000 + (int64_t)rnd(100) : 0);
    uint64_t gone = 0;
    for (int64_t now = 999; now <= 1100; now += 10) {
        size_t n;
        while ((n = table_due(&t, now, out, ARRAY_LEN(out))) > 0)
            for (size_t i = 0; i < n; i++) {
                T(entry_expire(out[i]) != 0 && entry_expire(out[i]) <= now);
                struct entry *e = table_take(&t, entry_key(out[i]), table_hash(entry_key(out[i])));
                T(e == out[i]);
                entry_free(e);
                gone++;
            }
        uint64_t it = 0;
        struct entry *e;
        while ((e = table_next(&t, &it)))
            T(entry_expire(e) == 0 || entry_expire(e) > now);
    }
    T(gone > N / 3 && t.count == N - gone);
    table_free(&t, entry_free);
}

static void frees_in_slices(void)
{
    struct table t;
    table_init(&t);
    for (uint64_t i = 0; i < N; i++)
        put(&t, i, 5);
    int slices = 1;
    while (!table_free_some(&t, entry_free, 500))
        slices++;
    T(slices > 20);
    T(t.n == 0 && t.bytes == 0);
}

static void classes_are_those_of_the_allocator(void)
{
    T_INT(entry_class(1), 16);
    T_INT(entry_class(16), 16);
    T_INT(entry_class(17), 32);
    T_INT(entry_class(128), 128);
    T_INT(entry_class(129), 160);
    T_INT(entry_class(256), 256);
    T_INT(entry_class(257), 320);
    T_INT(entry_class(1024), 1024);
    T_INT(entry_class(1025), 1280);
}

int main(void)
{
    st_seed();
    T_RUN(classes_are_those_of_the_allocator);
    T_RUN(grows_and_shrinks);
    T_RUN(finds_all_that_is_due);
    T_RUN(frees_in_slices);
    return t_done();
}
