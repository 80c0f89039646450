/*
 * test_threads.c - the store from many threads at once: changes, ticks, figures, syncs, modes, the portal's
 * tables, DEBUG RELOAD. Every counter must come out right; built with TSan it must be silent.
 */
#include "st.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "store/db.h"

enum { WRITERS = 3, ROUNDS = 400 };
static struct store *st;
static bool stop;
static uint64_t told; /* by on_durable */

static void on_durable(void *ctx, uint64_t lsn)
{
    (void)ctx;
    __atomic_store_n(&told, lsn, __ATOMIC_RELEASE);
}

static bool stopped(void)
{
    return __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
}

static void *writer(void *arg)
{
    int64_t n;
    char key[32];
    uint64_t me = *(uint64_t *)arg;
    for (int i = 0; i < ROUNDS; i++) {
        store_enter(st, st_now + i);
        ks_atomic_begin(st);
        MUST(ks_incr(st, 0, sl("shared"), 1, 0, &n) == RC_OK);
        snprintf(key, sizeof key, "own:%llu:%d", (unsigned long long)me, i % 50);
        ks_set(st, 0, sl(key), sl("value"), i % 7 ? 0 : st_now + i + 5);
        MUST(ks_hset(st, 1, sl("h"), sl(key), sl("v"), NULL) == RC_OK);
        ks_atomic_end(st);
        uint64_t lsn = store_lsn(st);
        store_leave(st);
        if (i % 40 == 0)
            MUST(store_sync(st, lsn) == RC_OK && store_durable_lsn(st) >= lsn);
        (void)store_tracked_version(st);
    }
    return NULL;
}

static void *ticker(void *arg)
{
    (void)arg;
    struct store_stats s;
    for (int i = 0; !stopped(); i++) {
        store_cron(st, st_now + i);
        store_stats(st, &s);
        MUST(!store_trouble(st) && store_written_lsn(st) >= s.applied_lsn);
        if (i % 5 == 0) {
            store_enter(st, st_now + i);
            MUST(store_set_durability(st, (enum store_durability)(i / 5 % 3)) == RC_OK);
            store_leave(st);
        }
        (void)store_waits(st);
        clock_sleep_ms(2);
    }
    return NULL;
}

static bool read_sum(void *ctx, const struct db_row *r)
{
    *(int64_t *)ctx = db_int(r, 0);
    return false;
}

static void *portal(void *arg)
{
    (void)arg;
    struct db *db = store_db(st);
    struct err e;
    for (int i = 0; i < 60 || !stopped(); i++) {
        int64_t sum = 0;
        MUST(db_begin(db, &e) == RC_OK);
        MUST(db_run(db, &e, "INSERT OR REPLACE INTO meta(name, value) VALUES(?1, ?2)", "si", sl("test"), (int64_t)i) == RC_OK);
        MUST(db_query(db, &e, read_sum, &sum, "SELECT value FROM meta WHERE name=?1", "s", sl("test")) == RC_OK);
        MUST(sum == i);
        MUST(db_commit(db, &e) == RC_OK);
        clock_sleep_ms(1);
    }
    return NULL;
}

static void *reloader(void *arg)
{
    (void)arg;
    struct err e = {0};
    while (!stopped()) {
        enum rc rc = store_reload(st, &e);
        if (rc != RC_OK)
            fprintf(stderr, "reload: %s\n", e.text);
        MUST(rc == RC_OK);
        clock_sleep_ms(20);
    }
    return NULL;
}

static void all_at_once(void)
{
    char dir[200];
    struct err e = {0};
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    st_seed();
    struct store_opts o = {.engine = STORE_SQLITE, .dir = dir, .durability = STORE_EVERYSEC,
                           .log_segment_bytes = 32 << 10, .on_durable = on_durable};
    MUST(store_open(&o, &st, &e) == RC_OK);
    pthread_t w[WRITERS], t[3];
    uint64_t id[WRITERS];
    t[0] = thread_start("ticker", ticker, NULL);
    t[1] = thread_start("portal", portal, NULL);
    t[2] = thread_start("reloader", reloader, NULL);
    for (uint64_t i = 0; i < WRITERS; i++) {
        id[i] = i;
        w[i] = thread_start("writer", writer, &id[i]);
    }
    for (int i = 0; i < WRITERS; i++)
        thread_join(w[i]);
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 3; i++)
        thread_join(t[i]);
    store_enter(st, st_now);
    T_GET(st, 0, "shared", "1200");
    T_INT(ks_hlen(ks_find(st, 1, sl("h"), 0)), WRITERS * 50);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    T_INT(store_sync(st, lsn), RC_OK);
    ST_UNTIL(__atomic_load_n(&told, __ATOMIC_ACQUIRE) >= lsn);
    store_close(st);
    st = st_disk(dir, STORE_EVERYSEC);
    store_enter(st, st_now);
    T_GET(st, 0, "shared", "1200");
    store_leave(st);
    store_close(st);
    st_dir_remove(dir);
}

int main(void)
{
    log_init(LOG_WARN, false);
    T_RUN(all_at_once);
    return t_done();
}
