/* test_evict.c - maxmemory and the eviction policies. */
#include "st.h"

static struct store *st;

static void fill(int n, const char *prefix, int64_t expire)
{
    char key[40];
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s%d", prefix, i);
        ks_set(st, 0, sl(key), sl("0123456789012345678901234567890123456789"), expire ? expire + i * 1000 : 0);
    }
}

static int left(int n, const char *prefix)
{
    char key[40];
    int there = 0;
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s%d", prefix, i);
        there += ks_find(st, 0, sl(key), KS_NOTOUCH) != NULL;
    }
    return there;
}

static uint64_t used(void)
{
    struct store_stats s;
    store_stats(st, &s);
    return s.used_bytes;
}

static void begin(const char *policy)
{
    st = st_memory();
    store_enter(st, st_now);
    T_INT(store_set_eviction(st, sl(policy)), RC_OK);
    T_TEXT(store_eviction(st), policy);
}

static void shrink_to(uint64_t percent, int64_t now)
{
    store_leave(st);
    uint64_t bytes = used() * percent / 100;
    store_enter(st, now);
    store_set_maxmemory(st, bytes);
}

static void end(void)
{
    store_leave(st);
    store_close(st);
}

static void noeviction_refuses(void)
{
    begin("noeviction");
    fill(1000, "k", 0);
    T_INT(store_make_room(st), RC_OK);
    shrink_to(90, st_now);
    T_INT(store_make_room(st), RC_NOMEM);
    T_INT(left(1000, "k"), 1000);
    end();
}

static void allkeys_evicts(void)
{
    static const char *const policies[] = {"allkeys-lru", "allkeys-lfu", "allkeys-random"};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        begin(policies[i]);
        fill(2000, "k", 0);
        shrink_to(70, st_now);
        T_INT(store_make_room(st), RC_OK);
        int n = left(2000, "k");
        T(n > 1200 && n < 1600);
        end();
    }
}

static void lru_keeps_what_is_used(void)
{
    begin("allkeys-lru");
    fill(1000, "old", 0);
    store_leave(st);
    store_enter(st, st_now + 50000);
    fill(1000, "new", 0);
    char key[40];
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "old%d", i);
        T(ks_find(st, 0, sl(key), KS_TOUCH) != NULL);
    }
    T_INT(ks_idle_ms(st, ks_find(st, 0, sl("old500"), KS_NOTOUCH)), 50000);
    T_INT(ks_idle_ms(st, ks_find(st, 0, sl("old5"), KS_NOTOUCH)), 0);
    T_INT(ks_freq(st, ks_find(st, 0, sl("old5"), KS_NOTOUCH)), -1);
    shrink_to(70, st_now + 60000);
    T_INT(store_make_room(st), RC_OK);
    T(left(1000, "new") > 980);
    T(left(100, "old") > 90);
    T(left(1000, "old") < 450);
    end();
}

static void lfu_keeps_what_is_used_often(void)
{
    begin("allkeys-lfu");
    fill(1000, "k", 0);
    char key[40];
    for (int round = 0; round < 100; round++)
        for (int i = 0; i < 100; i++) {
            snprintf(key, sizeof key, "k%d", i);
            T(ks_find(st, 0, sl(key), KS_TOUCH) != NULL);
        }
    T(ks_freq(st, ks_find(st, 0, sl("k5"), KS_NOTOUCH)) > 6);
    shrink_to(40, st_now);
    T_INT(store_make_room(st), RC_OK);
    T(left(100, "k") > 95);
    int often = ks_freq(st, ks_find(st, 0, sl("k5"), KS_NOTOUCH));
    store_leave(st);
    store_enter(st, st_now + 600000); /* decays by one a minute */
    T(ks_freq(st, ks_find(st, 0, sl("k5"), KS_NOTOUCH)) < often);
    end();
}

static void volatile_takes_only_keys_with_an_expiry(void)
{
    static const char *const policies[] = {"volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl"};
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        begin(policies[i]);
        fill(1000, "for-ever", 0);
        fill(1000, "for-now", st_now + 5000);
        shrink_to(80, st_now);
        T_ROW("%s", policies[i]);
        T_INT(store_make_room(st), RC_OK);
        T_INT(left(1000, "for-ever"), 1000);
        int n = left(1000, "for-now");
        T(n > 300 && n < 800);
        if (i == 3) {
            T(left(100, "for-now") < 30); /* the nearest deadlines went */
            shrink_to(40, st_now);
            T_INT(store_make_room(st), RC_NOMEM);
            T_INT(left(1000, "for-now"), 0);
            T_INT(left(1000, "for-ever"), 1000);
        }
        end();
    }
}

static void unknown_policy(void)
{
    begin("volatile-ttl");
    store_leave(st);
    T_INT(store_set_eviction(st, sl("sometimes")), RC_BADINPUT);
    T_TEXT(store_eviction(st), "volatile-ttl");
    store_enter(st, st_now);
    end();
}

int main(void)
{
    T_RUN(noeviction_refuses);
    T_RUN(allkeys_evicts);
    T_RUN(lru_keeps_what_is_used);
    T_RUN(lfu_keeps_what_is_used_often);
    T_RUN(volatile_takes_only_keys_with_an_expiry);
    T_RUN(unknown_policy);
    return t_done();
}
