/* test_keys.c - the keyspace through its public functions: find, delete, expire, rename, scan, flush, swap. */
#include "st.h"

static struct store *st;

static void begin(void)
{
    st = st_memory();
    store_enter(st, st_now);
}

static void end(void)
{
    store_leave(st);
    store_close(st);
}

static void sets_and_finds(void)
{
    begin();
    ks_set(st, 0, sl("a"), sl("hello"), 0);
    ks_set(st, 0, sl("n"), sl("42"), 0);
    ks_set(st, 3, sl("a"), sl("other"), 0);
    ks_set(st, 0, sl(""), sl(""), 0);
    T_GET(st, 0, "a", "hello");
    T_GET(st, 0, "n", "42");
    T_GET(st, 3, "a", "other");
    T_GET(st, 0, "", "");
    T_GET(st, 1, "a", "(nil)");
    T_INT(ks_count(st, 0), 3);
    struct entry *e = ks_find(st, 0, sl("n"), KS_TOUCH);
    T(e && ks_type(e) == V_STRING);
    T_TEXT(sl(ks_encoding(e)), "int");
    T_TEXT(ks_key(e), "n");
    T_TEXT(sl(ks_encoding(ks_find(st, 0, sl("a"), 0))), "embstr");
    T_TEXT(sl(vtype_name(V_ZSET)), "zset");
    T(ks_bytes(e) >= 16 && ks_bytes(e) < 100);
    end();
}

static void deletes(void)
{
    begin();
    ks_set(st, 0, sl("a"), sl("1"), 0);
    T(ks_del(st, 0, sl("a")));
    T(!ks_del(st, 0, sl("a")));
    T_GET(st, 0, "a", "(nil)");
    T_INT(ks_count(st, 0), 0);
    end();
}

static void values_change_size_and_kind(void)
{
    static char big[70000];
    memset(big, 'x', sizeof big);
    size_t sizes[] = {0, 1, 15, 16, 31, 44, 45, 200, 1023, 1024, 1025, 4096, 70000};
    begin();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++)
            for (int ttl = 0; ttl < 2; ttl++) {
                T_ROW("%zu -> %zu ttl %d", sizes[i], sizes[k], ttl);
                char tmp[KS_TMP];
                ks_set(st, 0, sl("key"), slice_of(big, sizes[i]), ttl ? 0 : st_now + 1000);
                ks_set(st, 0, sl("key"), sl("-7"), KS_KEEP_TTL);
                T_GET(st, 0, "key", "-7");
                ks_set(st, 0, sl("key"), slice_of(big, sizes[k]), ttl ? st_now + 500 : 0);
                struct entry *e = ks_find(st, 0, sl("key"), 0);
                T(e && slice_eq(ks_str(e, tmp), slice_of(big, sizes[k])));
                T_INT(ks_expire_ms(e), ttl ? st_now + 500 : 0);
            }
    struct store_stats s;
    ks_flush(st, -1);
    store_leave(st);
    store_stats(st, &s);
    T(s.used_bytes < 1000);
    store_enter(st, st_now);
    end();
}

static void long_keys(void)
{
    static char key[200000];
    size_t sizes[] = {1, 255, 256, 65534, 65535, 65536, 200000};
    begin();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        memset(key, 'k', sizes[i]);
        ks_set(st, 0, slice_of(key, sizes[i]), sl("v"), st_now + 5);
        ks_set(st, 0, slice_of(key, sizes[i]), sl("longer than before, so that it moves elsewhere"), 0);
        struct entry *e = ks_find(st, 0, slice_of(key, sizes[i]), 0);
        T(e && ks_key(e).n == sizes[i]);
    }
    T_INT(ks_count(st, 0), ARRAY_LEN(sizes));
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        T(ks_del(st, 0, slice_of(key, sizes[i])));
    end();
}

static void expires_when_read(void)
{
    begin();
    ks_set(st, 0, sl("a"), sl("1"), st_now + 10);
    ks_set(st, 0, sl("b"), sl("1"), 0);
    T(ks_expire_at(st, 0, sl("b"), st_now + 20));
    T(!ks_expire_at(st, 0, sl("none"), st_now + 20));
    store_leave(st);
    store_enter(st, st_now + 9);
    T_GET(st, 0, "a", "1");
    store_leave(st);
    store_enter(st, st_now + 10);
    T_GET(st, 0, "a", "(nil)");
    T_INT(ks_count(st, 0), 1);
    T(ks_expire_at(st, 0, sl("b"), 0));
    T(!ks_expire_at(st, 0, sl("b"), 0));
    store_leave(st);
    store_enter(st, st_now + 1000);
    T_GET(st, 0, "b", "1");
    T(ks_expire_at(st, 0, sl("b"), st_now + 900));
    T_GET(st, 0, "b", "(nil)");
    ks_set(st, 0, sl("past"), sl("1"), st_now);
    T_GET(st, 0, "past", "(nil)");
    end();
}

static void renames_moves_copies(void)
{
    bool created;
    begin();
    ks_set(st, 0, sl("a"), sl("1"), st_now + 50);
    T(ks_rename(st, 0, sl("a"), 0, sl("b"), true, false) == RC_OK);
    T_GET(st, 0, "a", "(nil)");
    T_GET(st, 0, "b", "1");
    T_INT(ks_expire_ms(ks_find(st, 0, sl("b"), 0)), st_now + 50);
    T(ks_rename(st, 0, sl("none"), 0, sl("b"), true, false) == RC_NOTFOUND);
    ks_set(st, 0, sl("c"), sl("text"), 0);
    T(ks_rename(st, 0, sl("b"), 0, sl("c"), false, false) == RC_CONFLICT);
    T(ks_rename(st, 0, sl("b"), 0, sl("b"), true, false) == RC_OK);
    T(ks_rename(st, 0, sl("b"), 5, sl("b"), false, false) == RC_OK);
    T_GET(st, 5, "b", "1");
    T_INT(ks_count(st, 0), 1);
    T(ks_hset(st, 0, sl("h"), sl("f"), sl("v"), &created) == RC_OK && created);
    T(ks_rename(st, 0, sl("h"), 2, sl("h2"), false, true) == RC_OK);
    T(ks_hset(st, 0, sl("h"), sl("f"), sl("changed"), &created) == RC_OK && !created);
    struct slice v;
    T(ks_hget(ks_find(st, 2, sl("h2"), 0), sl("f"), &v));
    T_TEXT(v, "v");
    T(ks_rename(st, 0, sl("h"), 0, sl("c"), true, false) == RC_OK);
    T_GET(st, 0, "c", "(type)");
    T(ks_rename(st, 0, sl("c"), 0, sl("d"), true, true) == RC_OK);
    T_GET(st, 0, "d", "(type)");
    end();
}

static void counts(void)
{
    int64_t n = 0;
    begin();
    T(ks_incr(st, 0, sl("n"), 5, st_now + 60, &n) == RC_OK);
    T_INT(n, 5);
    T(ks_incr(st, 0, sl("n"), -7, 0, &n) == RC_OK);
    T_INT(n, -2);
    T_INT(ks_expire_ms(ks_find(st, 0, sl("n"), 0)), st_now + 60);
    ks_set(st, 0, sl("t"), sl("abc"), 0);
    T(ks_incr(st, 0, sl("t"), 1, 0, &n) == RC_BADINPUT);
    ks_set(st, 0, sl("m"), sl("9223372036854775807"), 0);
    T(ks_incr(st, 0, sl("m"), 1, 0, &n) == RC_TOOBIG);
    T_GET(st, 0, "m", "9223372036854775807");
    T(ks_hset(st, 0, sl("h"), sl("f"), sl("v"), NULL) == RC_OK);
    T(ks_incr(st, 0, sl("h"), 1, 0, &n) == RC_WRONGTYPE);
    ks_set(st, 0, sl("z"), sl("007"), 0);
    T_GET(st, 0, "z", "007");
    T(ks_incr(st, 0, sl("z"), 1, 0, &n) == RC_BADINPUT);
    end();
}

static void appends_and_ranges(void)
{
    size_t len;
    begin();
    T(ks_append(st, 0, sl("a"), sl("12"), &len) == RC_OK && len == 2);
    T(ks_append(st, 0, sl("a"), sl("34"), &len) == RC_OK && len == 4);
    T_GET(st, 0, "a", "1234");
    T_TEXT(sl(ks_encoding(ks_find(st, 0, sl("a"), 0))), "raw");
    ks_set(st, 0, sl("n"), sl("77"), 0);
    T(ks_append(st, 0, sl("n"), sl("x"), &len) == RC_OK && len == 3);
    T_GET(st, 0, "n", "77x");
    T(ks_setrange(st, 0, sl("s"), 3, sl("z"), &len) == RC_OK && len == 4);
    char tmp[KS_TMP];
    T(slice_eq(ks_str(ks_find(st, 0, sl("s"), 0), tmp), slice_of("\0\0\0z", 4)));
    T(ks_setrange(st, 0, sl("none"), 3, sl(""), &len) == RC_OK && len == 0);
    T(!ks_find(st, 0, sl("none"), 0));
    T(ks_setrange(st, 0, sl("s"), (size_t)512 << 20, sl("z"), &len) == RC_TOOBIG);
    ks_set(st, 0, sl("s"), sl("again"), 0);
    T_TEXT(sl(ks_encoding(ks_find(st, 0, sl("s"), 0))), "embstr");
    for (int i = 0; i < 5000; i++)
        T(ks_append(st, 0, sl("big"), sl("abcdefgh"), &len) == RC_OK);
    T_INT(len, 40000);
    T(ks_setrange(st, 0, sl("big"), 39999, sl("XY"), &len) == RC_OK && len == 40001);
    struct slice v = ks_str(ks_find(st, 0, sl("big"), 0), tmp);
    T(v.n == 40001 && v.p[39998] == 'g' && v.p[39999] == 'X' && v.p[40000] == 'Y');
    end();
}

static void flushes_and_swaps(void)
{
    struct store_stats s;
    begin();
    for (int db = 0; db < STORE_DBS; db++)
        ks_set(st, db, sl("k"), sl("v"), st_now + 1000000);
    ks_swap(st, 0, 1);
    ks_flush(st, 0);
    T_INT(ks_count(st, 0), 0);
    T_INT(ks_count(st, 1), 1);
    ks_swap(st, 0, 1);
    T_INT(ks_count(st, 0), 1);
    ks_flush(st, -1);
    for (int db = 0; db < STORE_DBS; db++)
        T_INT(ks_count(st, db), 0);
    store_leave(st);
    for (int i = 0; i < 20; i++)
        store_cron(st, st_now);
    store_stats(st, &s);
    T_INT(s.used_bytes, 0);
    T_INT(s.expires[3], 0);
    store_enter(st, st_now);
    T(ks_random(st, 0) == NULL);
    end();
}

static int seen_n;
static unsigned char seen[30000];
static void see(void *ctx, struct entry *e)
{
    (void)ctx;
    uint64_t n = 0;
    if (slice_u64(slice_from(ks_key(e), 1), &n) && n < sizeof seen) {
        seen_n += !seen[n];
        seen[n] = 1;
    }
}

static void put_n(int from, int to)
{
    char key[32];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof key, "k%d", i);
        ks_set(st, 0, sl(key), sl("v"), 0);
    }
}

static void del_n(int from, int to)
{
    char key[32];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof key, "k%d", i);
        T(ks_del(st, 0, sl(key)));
    }
}

/* Keys 0..999 stay all the time; others come and go between the calls. Each must be seen. */
static void scan_guarantee(int base, int step, int count)
{
    begin();
    put_n(0, 1000);
    int extra = base;
    put_n(1000, extra);
    memset(seen, 0, sizeof seen);
    seen_n = 0;
    uint64_t cursor = 0;
    int calls = 0;
    do {
        cursor = ks_scan(st, 0, cursor, (size_t)count, see, NULL);
        if (step > 0 && extra + step < 29000) {
            put_n(extra, extra + step);
            extra += step;
        } else if (step < 0 && extra + step > 1000) {
            del_n(extra + step, extra);
            extra += step;
        }
        calls++;
    } while (cursor && calls < 100000);
    T(cursor == 0);
    int kept = 0;
    for (int i = 0; i < 1000; i++)
        kept += seen[i];
    T_INT(kept, 1000);
    end();
}

static void scan_sees_all_while_growing(void)
{
    for (int count = 1; count <= 100; count += 33)
        for (int step = 0; step <= 100; step += 20) {
            T_ROW("count %d step %d", count, step);
            scan_guarantee(1000, step, count);
        }
}

static void scan_sees_all_while_shrinking(void)
{
    for (int count = 1; count <= 100; count += 33)
        for (int step = 20; step <= 400; step += 95) {
            T_ROW("count %d step %d", count, step);
            scan_guarantee(28000, -step, count);
        }
}

static void random_keys_are_spread(void)
{
    begin();
    put_n(0, 100);
    memset(seen, 0, sizeof seen);
    seen_n = 0;
    for (int i = 0; i < 5000; i++)
        see(NULL, ks_random(st, 0));
    T(seen_n == 100);
    end();
}

static void tracks_versions(void)
{
    begin();
    ks_set(st, 0, sl("a"), sl("1"), 0);
    uint64_t v = store_tracked_version(st);
    ks_set(st, 0, sl("a"), sl("2"), 0);
    T(store_tracked_version(st) == v);
    ks_track(st, ks_find(st, 0, sl("a"), 0));
    ks_set(st, 0, sl("b"), sl("2"), 0);
    T(store_tracked_version(st) == v);
    ks_set(st, 0, sl("a"), sl("3"), 0);
    T(store_tracked_version(st) == v + 1);
    ks_track(st, ks_find(st, 0, sl("a"), 0));
    T(ks_del(st, 0, sl("a")));
    T(store_tracked_version(st) == v + 2);
    ks_set(st, 0, sl("e"), sl("3"), st_now + 1);
    ks_track(st, ks_find(st, 0, sl("e"), 0));
    store_leave(st);
    store_cron(st, st_now + 2);
    store_enter(st, st_now + 2);
    T(store_tracked_version(st) == v + 3);
    ks_flush(st, 0);
    T(store_tracked_version(st) == v + 4);
    end();
}

int main(void)
{
    T_RUN(sets_and_finds);
    T_RUN(deletes);
    T_RUN(values_change_size_and_kind);
    T_RUN(long_keys);
    T_RUN(expires_when_read);
    T_RUN(renames_moves_copies);
    T_RUN(counts);
    T_RUN(appends_and_ranges);
    T_RUN(flushes_and_swaps);
    T_RUN(scan_sees_all_while_growing);
    T_RUN(scan_sees_all_while_shrinking);
    T_RUN(random_keys_are_spread);
    T_RUN(tracks_versions);
    return t_done();
}
