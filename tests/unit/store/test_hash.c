/* test_hash.c - hashes: packed, large, the step between, walking and scanning. */
#include "st.h"

static struct store *st;
static size_t seen_n;
static unsigned char seen[3000];

static struct slice field(int i)
{
    static char text[32];
    return slice_of(text, (size_t)snprintf(text, sizeof text, "field:%d", i));
}

static void see(void *ctx, struct slice f, struct slice v)
{
    uint64_t n = 0;
    (void)ctx;
    T(slice_u64(slice_from(f, 6), &n) && n < sizeof seen && v.n > 0);
    seen_n += !seen[n];
    seen[n] = 1;
}

static struct entry *h(void)
{
    return ks_find(st, 0, sl("h"), 0);
}

static void fills_and_empties(int n, const char *encoding)
{
    st = st_memory();
    store_enter(st, st_now);
    bool created;
    struct slice v, f;
    for (int i = 0; i < n; i++) {
        T(ks_hset(st, 0, sl("h"), field(i), sl("value"), &created) == RC_OK && created);
        T(ks_hset(st, 0, sl("h"), field(i), sl("another value"), &created) == RC_OK && !created);
    }
    T_TEXT(sl(ks_encoding(h())), encoding);
    T_INT(ks_hlen(h()), n);
    T(!ks_hget(h(), sl("none"), &v));
    T(ks_hget(h(), field(n - 1), &v));
    T_TEXT(v, "another value");
    uint64_t it = 0;
    int walked = 0;
    while (ks_hnext(h(), &it, &f, &v))
        walked++;
    T_INT(walked, n);
    memset(seen, 0, sizeof seen);
    seen_n = 0;
    uint64_t cursor = 0;
    do
        cursor = ks_hscan(h(), cursor, 10, see, NULL);
    while (cursor);
    T_INT(seen_n, n);
    for (int i = 0; i < n; i++)
        T_INT(ks_hdel(st, 0, sl("h"), field(i)), RC_OK);
    T(h() == NULL);
    T_INT(ks_hdel(st, 0, sl("h"), field(0)), RC_NOTFOUND);
    store_leave(st);
    struct store_stats s;
    store_stats(st, &s);
    T(s.used_bytes < 200);
    store_close(st);
}

static void small_hashes(void)
{
    fills_and_empties(1, "listpack");
    fills_and_empties(128, "listpack");
}

static void large_hashes(void)
{
    fills_and_empties(129, "hashtable");
    fills_and_empties(2500, "hashtable");
}

static void long_values_make_a_table(void)
{
    static char big[5000];
    struct slice v;
    memset(big, 'b', sizeof big);
    st = st_memory();
    store_enter(st, st_now);
    T(ks_hset(st, 0, sl("h"), sl("a"), slice_of(big, 64), NULL) == RC_OK);
    T_TEXT(sl(ks_encoding(h())), "listpack");
    T(ks_hset(st, 0, sl("h"), sl("a"), slice_of(big, 65), NULL) == RC_OK);
    T_TEXT(sl(ks_encoding(h())), "hashtable");
    T(ks_hset(st, 0, sl("h"), sl("a"), slice_of(big, 5000), NULL) == RC_OK);
    T(ks_hget(h(), sl("a"), &v) && v.n == 5000);
    T(ks_hset(st, 0, sl("h"), sl("a"), sl(""), NULL) == RC_OK);
    T(ks_hget(h(), sl("a"), &v) && v.n == 0);
    T(ks_hset(st, 0, sl("h2"), sl(""), sl(""), NULL) == RC_OK);
    T_INT(ks_hlen(ks_find(st, 0, sl("h2"), 0)), 1);
    store_leave(st);
    store_close(st);
}

static void other_types_are_refused(void)
{
    st = st_memory();
    store_enter(st, st_now);
    ks_set(st, 0, sl("s"), sl("x"), 0);
    T_INT(ks_hset(st, 0, sl("s"), sl("f"), sl("v"), NULL), RC_WRONGTYPE);
    T_INT(ks_hdel(st, 0, sl("s"), sl("f")), RC_WRONGTYPE);
    T(ks_hset(st, 0, sl("h"), sl("f"), sl("v"), NULL) == RC_OK);
    size_t len;
    T_INT(ks_append(st, 0, sl("h"), sl("x"), &len), RC_WRONGTYPE);
    ks_set(st, 0, sl("h"), sl("now a string"), 0);
    T_GET(st, 0, "h", "now a string");
    store_leave(st);
    store_close(st);
}

static void five_fields_are_small(void)
{
    st = st_memory();
    store_enter(st, st_now);
    for (int i = 0; i < 5; i++)
        T(ks_hset(st, 0, sl("session:00000001"), field(i), sl("12345678"), NULL) == RC_OK);
    T(ks_bytes(ks_find(st, 0, sl("session:00000001"), 0)) <= 170);
    store_leave(st);
    store_close(st);
}

int main(void)
{
    T_RUN(small_hashes);
    T_RUN(large_hashes);
    T_RUN(long_values_make_a_table);
    T_RUN(other_types_are_refused);
    T_RUN(five_fields_are_small);
    return t_done();
}
