/* test_events.c - WATCH, pub/sub, keyspace notifications, expiry by the tick. */
#include "st.h"

static struct store *st;
static char heard[4000];

static void hear(void *ctx, const struct ks_sub *s, struct slice channel, struct slice message)
{
    size_t n = strlen(heard);
    (void)s;
    snprintf(heard + n, sizeof heard - n, "%s%.*s=%.*s;", ctx ? (const char *)ctx : "", SFMT(channel), SFMT(message));
}

static void begin(void)
{
    st = st_memory();
    heard[0] = '\0';
    store_enter(st, st_now);
}

static void end(void)
{
    store_leave(st);
    store_close(st);
}

static void watch_sees_changes(void)
{
    begin();
    ks_set(st, 0, sl("a"), sl("1"), 0);
    struct ks_watch w[4] = {{.db = 0, .key = sl("a")}, {.db = 0, .key = sl("a")}, {.db = 1, .key = sl("a")},
                            {.db = 0, .key = sl("new")}};
    for (size_t i = 0; i < 4; i++)
        ks_watch(st, &w[i]);
    T(ks_find(st, 0, sl("a"), 0) && !w[0].dirty);
    ks_set(st, 0, sl("b"), sl("1"), 0);
    T(!w[0].dirty && !w[1].dirty);
    ks_unwatch(st, &w[1]);
    ks_set(st, 0, sl("a"), sl("1"), 0);
    T(w[0].dirty && !w[1].dirty && !w[2].dirty && !w[3].dirty);
    T(ks_hset(st, 0, sl("new"), sl("f"), sl("v"), NULL) == RC_OK);
    T(w[3].dirty);
    for (size_t i = 0; i < 4; i++)
        if (i != 1)
            ks_unwatch(st, &w[i]);
    end();
}

static void watch_case(const char *what, void (*change)(void), bool want)
{
    begin();
    T_ROW("%s", what);
    ks_set(st, 0, sl("a"), sl("1"), st_now + 100);
    ks_set(st, 0, sl("b"), sl("1"), 0);
    struct ks_watch w = {.db = 0, .key = sl("a")};
    ks_watch(st, &w);
    change();
    T(w.dirty == want);
    ks_unwatch(st, &w);
    end();
}

static void c_del(void) { T(ks_del(st, 0, sl("a"))); }
static void c_expire(void) { T(ks_expire_at(st, 0, sl("a"), st_now + 5)); }
static void c_rename_from(void) { T(ks_rename(st, 0, sl("a"), 0, sl("c"), true, false) == RC_OK); }
static void c_rename_to(void) { T(ks_rename(st, 0, sl("b"), 0, sl("a"), true, false) == RC_OK); }
static void c_flush(void) { ks_flush(st, 0); }
static void c_flush_other(void) { ks_flush(st, 1); }
static void c_swap(void) { ks_swap(st, 0, 1); }
static void c_get(void) { T(ks_find(st, 0, sl("a"), 0) != NULL); }
static void c_tick(void)
{
    store_leave(st);
    store_cron(st, st_now + 101);
    store_enter(st, st_now + 101);
}
static void c_incr(void)
{
    int64_t n;
    T(ks_incr(st, 0, sl("a"), 1, 0, &n) == RC_OK);
}

static void watch_sees_every_kind_of_change(void)
{
    watch_case("del", c_del, true);
    watch_case("expire", c_expire, true);
    watch_case("rename from", c_rename_from, true);
    watch_case("rename to", c_rename_to, true);
    watch_case("flush", c_flush, true);
    watch_case("flush of another", c_flush_other, false);
    watch_case("swap", c_swap, true);
    watch_case("get", c_get, false);
    watch_case("expired by the tick", c_tick, true);
    watch_case("incr", c_incr, true);
}

static size_t channels_n, channels_subs;
static void channel(void *ctx, struct slice name, size_t subscribers)
{
    (void)ctx;
    (void)name;
    channels_n++;
    channels_subs += subscribers;
}

static void publishes(void)
{
    begin();
    struct ks_sub a = {.channel = sl("news"), .deliver = hear, .ctx = "a:"};
    struct ks_sub b = {.channel = sl("news"), .deliver = hear, .ctx = "b:"};
    struct ks_sub p = {.channel = sl("n?ws*"), .is_pattern = true, .deliver = hear, .ctx = "p:"};
    T_INT(ks_publish(st, sl("news"), sl("0")), 0);
    ks_subscribe(st, &a);
    ks_subscribe(st, &b);
    ks_subscribe(st, &p);
    T_INT(ks_publish(st, sl("news"), sl("1")), 3);
    T_INT(ks_publish(st, sl("nows"), sl("2")), 1);
    T_INT(ks_publish(st, sl("other"), sl("3")), 0);
    channels_n = channels_subs = 0;
    ks_channels(st, channel, NULL);
    T(channels_n == 1 && channels_subs == 2);
    T(strstr(heard, "a:news=1;") && strstr(heard, "b:news=1;") && strstr(heard, "p:news=1;p:nows=2;"));
    ks_unsubscribe(st, &a);
    ks_unsubscribe(st, &p);
    T_INT(ks_publish(st, sl("news"), sl("4")), 1);
    ks_unsubscribe(st, &b);
    T_INT(ks_publish(st, sl("news"), sl("5")), 0);
    end();
}

static void many_channels(void)
{
    enum { N = 1000 };
    static struct ks_sub s[N];
    static char name[N][16];
    begin();
    for (int i = 0; i < N; i++) {
        snprintf(name[i], sizeof name[i], "c%d", i / 2);
        s[i] = (struct ks_sub){.channel = sl(name[i]), .deliver = hear};
        ks_subscribe(st, &s[i]);
    }
    channels_n = channels_subs = 0;
    ks_channels(st, channel, NULL);
    T(channels_n == N / 2 && channels_subs == N);
    for (int i = 0; i < N; i++) {
        if (i % 100 == 0)
            T_INT(ks_publish(st, sl(name[i]), sl("x")), 2);
        ks_unsubscribe(st, &s[i]);
    }
    channels_n = 0;
    ks_channels(st, channel, NULL);
    T_INT(channels_n, 0);
    end();
}

static void notify_flags(void)
{
    begin();
    T_TEXT(store_notify(st), "");
    static const struct { const char *in, *out; } rows[] = {
        {"KEA", "AKE"}, {"Ex", "xE"}, {"Kg$", "g$K"}, {"", ""}, {"g$lshzxetdKE", "AKE"}, {"AKEm", "AKEm"}, {"Egx", "gxE"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].in);
        T_INT(store_set_notify(st, sl(rows[i].in)), RC_OK);
        T_TEXT(store_notify(st), rows[i].out);
    }
    T_INT(store_set_notify(st, sl("Q")), RC_BADINPUT);
    T_TEXT(store_notify(st), "gxE");
    end();
}

static void notifies(void)
{
    begin();
    struct ks_sub p = {.channel = sl("__key*"), .is_pattern = true, .deliver = hear};
    ks_subscribe(st, &p);
    ks_notify(st, '$', "set", sl("k"), 3);
    T_TEXT(sl(heard), "");
    T_INT(store_set_notify(st, sl("KE$")), RC_OK);
    ks_notify(st, '$', "set", sl("k"), 3);
    ks_notify(st, 'g', "del", sl("k"), 3);
    T_TEXT(sl(heard), "__keyspace@3__:k=set;__keyevent@3__:set=k;");
    ks_unsubscribe(st, &p);
    end();
}

static void expired_events_come_with_the_tick(void)
{
    struct store_stats s;
    begin();
    struct ks_sub p = {.channel = sl("__keyevent@0__:expired"), .deliver = hear};
    ks_subscribe(st, &p);
    T_INT(store_set_notify(st, sl("Ex")), RC_OK);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%d", i);
        ks_set(st, 0, sl(key), sl("v"), i == 77 ? st_now + 100 : i % 2 ? 0 : st_now + 50000);
    }
    store_leave(st);
    store_cron(st, st_now + 99);
    T_TEXT(sl(heard), "");
    store_cron(st, st_now + 100);
    T_TEXT(sl(heard), "__keyevent@0__:expired=k77;");
    store_stats(st, &s);
    T_INT(s.expired, 1);
    T_INT(s.keys[0], 2999);
    T_INT(s.expires[0], 1500);
    heard[0] = '\0';
    T_INT(store_set_notify(st, sl("")), RC_OK);
    for (int i = 0; i < 10; i++)
        store_cron(st, st_now + 50000);
    store_stats(st, &s);
    T_INT(s.keys[0], 1499);
    T_INT(s.expires[0], 0);
    store_enter(st, st_now + 50000);
    ks_unsubscribe(st, &p);
    end();
}

/* A session that is refreshed all the time must not go at its first deadline. */
static void refreshed_keys_stay(void)
{
    begin();
    for (int64_t t = 0; t < 100; t++) {
        store_leave(st);
        store_cron(st, st_now + t * 10);
        store_enter(st, st_now + t * 10);
        ks_set(st, 0, sl("s"), sl("v"), st_now + t * 10 + 25);
        T_GET(st, 0, "s", "v");
    }
    end();
}

/* The wall clock is set back and forth: what went does not come back, what lives longer is not lost. */
static void clock_steps(void)
{
    begin();
    ks_set(st, 0, sl("a"), sl("1"), st_now + 100);
    ks_set(st, 0, sl("b"), sl("1"), st_now + 7200000);
    ks_set(st, 0, sl("c"), sl("1"), 0);
    static const struct {
        int64_t step;
        bool a, b;
    } rows[] = {{-86400000, true, true}, {99, true, true}, {100, false, true}, {-86400000, false, true},
                {7200001, false, false}, {0, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t now = st_now + rows[i].step;
        T_ROW("%lld ms", (long long)rows[i].step);
        store_leave(st);
        store_cron(st, now);
        store_enter(st, now);
        struct entry *c = ks_find(st, 0, sl("c"), KS_TOUCH);
        T(c && ks_expire_ms(c) == 0 && ks_idle_ms(st, c) >= 0);
        T((ks_find(st, 0, sl("a"), KS_TOUCH) != NULL) == rows[i].a);
        T((ks_find(st, 0, sl("b"), KS_TOUCH) != NULL) == rows[i].b);
        T_INT(ks_count(st, 0), 1 + rows[i].a + rows[i].b);
    }
    end();
}

int main(void)
{
    T_RUN(watch_sees_changes);
    T_RUN(watch_sees_every_kind_of_change);
    T_RUN(publishes);
    T_RUN(many_channels);
    T_RUN(notify_flags);
    T_RUN(notifies);
    T_RUN(expired_events_come_with_the_tick);
    T_RUN(refreshed_keys_stay);
    T_RUN(clock_steps);
    return t_done();
}
