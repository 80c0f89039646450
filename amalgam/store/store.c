/*
 * store.c - opening and closing the store, entering and leaving it, its settings and figures.
 *
 * Everything on disk lives in the data directory: lock (held by flock, with our pid inside), postern.db
 * and log/. Opening: lock, database and migrations, rows, newer log records, then the log and applier
 * threads. Closing: everything written, applied if that is quick. Called by main/ (open, close, settings)
 * and by the doors (enter, leave). Owns struct store.
 * Threads: store_enter .. store_leave from any. Tested by tests/unit/store/test_store.c.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/os.h"
#include "base/rand.h"
#include "store/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STORE_PATH = 4096, STORE_RELOAD_TRIES = 50, STORE_CLOSE_MS = 500 };

/* ---- inside ---- */

static inline void store_begin(struct store *st, int64_t now_ms)
{
    st->now_ms = now_ms;
    st->refused = st->wal && wal_refuses(st->wal);
    st->lru_clock = (uint32_t)(now_ms / 1000) & ENTRY_LRU_MASK;
}

void store_enter(struct store *st, int64_t now_ms)
{
    if (UNLIKELY(__atomic_load_n(&st->held, __ATOMIC_RELAXED)))
        wal_wait_free(st->wal_home);
    lock_take(&st->lock);
    store_begin(st, now_ms);
}

void store_leave_turn(struct store *st, bool *gather)
{
    struct wal *wake = st->wal && wal_seal(st->wal, gather) ? st->wal : NULL;
    lock_drop(&st->lock);
    if (wake)
        wal_wake(wake);
}

void store_leave(struct store *st)
{
    store_leave_turn(st, NULL);
}

int64_t store_now_ms(const struct store *st)
{
    return st->now_ms;
}

void ks_atomic_begin(struct store *st)
{
    if (st->wal)
        wal_atomic(st->wal, true);
}

void ks_atomic_end(struct store *st)
{
    if (st->wal)
        wal_atomic(st->wal, false);
}

/* ---- durability ---- */

uint64_t store_lsn(const struct store *st)
{
    if (!st->wal)
        return 0;
    /* not the state of this moment: what this entry changed before the log failed is not durable */
    return UNLIKELY(st->refused) ? wal_durable(st->wal) : wal_lsn(st->wal);
}

uint64_t store_durable_lsn(const struct store *st)
{
    return st->wal_home ? wal_durable(st->wal_home) : 0;
}

uint64_t store_written_lsn(const struct store *st)
{
    return st->wal_home ? wal_written(st->wal_home) : 0;
}

uint64_t store_safe_lsn(const struct store *st)
{
    return store_waits(st) ? store_durable_lsn(st) : store_written_lsn(st);
}

void store_write(struct store *st, bool *gather)
{
    if (st->wal_home)
        wal_write(st->wal_home, gather);
}

bool store_waits(const struct store *st)
{
    return st->wal_home && wal_mode(st->wal_home) == STORE_ALWAYS;
}

enum rc store_sync(struct store *st, uint64_t lsn)
{
    return st->wal_home ? wal_sync(st->wal_home, lsn) : RC_OK;
}

const char *store_trouble(struct store *st)
{
    return st->wal_home ? wal_trouble(st->wal_home) : NULL;
}

enum rc store_set_durability(struct store *st, enum store_durability d)
{
    if (!st->wal_home)
        return RC_BADINPUT;
    wal_set_mode(st->wal_home, d);
    return RC_OK;
}

void store_set_maxmemory(struct store *st, uint64_t bytes)
{
    st->maxmemory_bytes = bytes;
}

struct db *store_db(struct store *st)
{
    return st->sql;
}

static uint64_t store_log_bytes(const struct store *st)
{
    char dir[STORE_PATH];
    uint64_t first, bytes = 0;
    (void)snprintf(dir, sizeof dir, "%s/log", st->dir);
    return wal_oldest(dir, &first, &bytes, NULL) == RC_OK ? bytes : 0;
}

void store_stats(struct store *st, struct store_stats *out)
{
    memset(out, 0, sizeof *out);
    lock_take(&st->lock);
    for (int i = 0; i < STORE_DBS; i++) {
        out->keys[i] = st->db[i].t.count;
        out->expires[i] = st->db[i].expires;
    }
    out->used_bytes = keys_used_bytes(st);
    st->peak_bytes = MAX(st->peak_bytes, out->used_bytes);
    out->peak_bytes = st->peak_bytes;
    out->hits = st->hits;
    out->misses = st->misses;
    out->expired = st->expired;
    out->evicted = st->evicted;
    out->changes = st->changes;
    out->lsn = store_lsn(st);
    lock_drop(&st->lock);
    if (!st->wal_home)
        return;
    char path[STORE_PATH];
    struct stat s;
    (void)snprintf(path, sizeof path, "%s/postern.db", st->dir);
    out->db_bytes = stat(path, &s) == 0 ? (uint64_t)s.st_size : 0;
    out->durable_lsn = wal_durable(st->wal_home);
    out->applied_lsn = applier_lsn(st->applier);
    out->log_bytes = store_log_bytes(st);
    out->last_sync_ms = wal_last_sync_ms(st->wal_home);
}

void store_reset_stats(struct store *st)
{
    st->hits = st->misses = st->expired = st->evicted = st->changes = 0;
    st->peak_bytes = keys_used_bytes(st);
}

/* ---- opening ---- */

static enum rc store_lock_dir(struct store *st, struct err *e)
{
    char path[STORE_PATH], pid[32];
    struct stat s;
    if (stat(st->dir, &s) != 0)
        return err_os(e, "cannot use the data directory %.200s", st->dir);
    if (!S_ISDIR(s.st_mode))
        return err_set(e, RC_IO, "%.250s is not a directory: name another one with --data", st->dir);
    (void)snprintf(path, sizeof path, "%s/lock", st->dir);
    st->lock_fd = os()->open(path, O_RDWR | O_CREAT, 0600);
    if (st->lock_fd < 0)
        return err_set(e, RC_IO, "cannot write %.200s: %s. Check the rights of the directory and that it is not mounted read-only",
                       path, strerror(errno));
    if (flock(st->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        ssize_t n = os()->pread(st->lock_fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 0] = '\0';
        return err_set(e, RC_BUSY, "another Postern (process %.20s) uses %.200s: stop it, or name another directory with --data",
                       *pid ? pid : "unknown", st->dir);
    }
    int n = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (os()->ftruncate(st->lock_fd, 0) != 0 || os()->pwrite(st->lock_fd, pid, (size_t)n, 0) != n)
        return err_set(e, RC_IO, "cannot write %.200s: %s. Free some space there", path, strerror(errno));
    return RC_OK;
}

static enum rc store_open_disk(struct store *st, const struct store_opts *o, struct err *e)
{
    char path[STORE_PATH], log_dir[STORE_PATH];
    uint64_t applied = 0, end = 0;
    (void)snprintf(path, sizeof path, "%s/postern.db", st->dir);
    (void)snprintf(log_dir, sizeof log_dir, "%s/log", st->dir);
    enum rc rc = store_lock_dir(st, e);
    if (rc == RC_OK)
        rc = dir_make(log_dir, 0700, e);
    if (rc == RC_OK)
        rc = db_open(path, &st->sql, e);
    st->loading = true;
    if (rc == RC_OK)
        rc = replay_rows(st, &applied, e);
    if (rc == RC_OK)
        rc = replay_log(st, log_dir, applied, &end, e);
    st->loading = false;
    if (rc != RC_OK)
        return rc;
    uint64_t segment = o->log_segment_bytes ? o->log_segment_bytes : 64u << 20;
    struct wal_opts wo = {.dir = log_dir,
                          .mode = o->durability,
                          .segment_bytes = segment,
                          .start_lsn = end,
                          .guard = &st->lock,
                          .held = &st->held,
                          .on_durable = o->on_durable,
                          .on_durable_ctx = o->on_durable_ctx};
    rc = wal_open(&wo, &st->wal_home, e);
    if (rc != RC_OK)
        return rc;
    st->wal = st->wal_home;
    struct applier_opts ao = {st, log_dir, applied, segment};
    st->applier = applier_start(&ao);
    return RC_OK;
}

static void store_free(struct store *st)
{
    keys_free_all(st);
    db_close(st->sql);
    if (st->lock_fd >= 0)
        (void)os()->close(st->lock_fd);
    pub_free(st);
    mem_free(st->watched);
    mem_free(st->dir);
    mem_free(st);
}

enum rc store_open(const struct store_opts *o, struct store **out, struct err *e)
{
    struct store *st = mem_zalloc(sizeof *st);
    st->engine = o->engine;
    st->maxmemory_bytes = o->maxmemory_bytes;
    st->eviction = evict_default();
    st->rng = rand_u64() | 1;
    st->lock_fd = -1;
    pub_init(st);
    store_begin(st, clock_wall_ms());
    if (o->engine == STORE_SQLITE)
        st->dir = mem_strdup(o->dir);
    enum rc rc = o->engine == STORE_SQLITE ? store_open_disk(st, o, e) : db_open(NULL, &st->sql, e);
    if (rc != RC_OK) {
        store_free(st);
        return rc;
    }
    *out = st;
    return RC_OK;
}

void store_close(struct store *st)
{
    struct err e = {0};
    if (!st)
        return;
    if (st->wal_home) {
        lock_take(&st->lock);
        uint64_t lsn = wal_lsn(st->wal_home);
        lock_drop(&st->lock);
        enum rc rc = wal_sync(st->wal_home, lsn);
        if (rc == RC_OK)
            rc = applier_drain(st->applier, lsn, STORE_CLOSE_MS, &e);
        if (rc == RC_AGAIN) /* all is in the log: the next start replays it */
            log_event(LOG_INFO, "store.close_log_kept", "bytes=%llu",
                      (unsigned long long)(lsn - applier_lsn(st->applier)));
        else if (rc != RC_OK && !store_trouble(st))
            log_event(LOG_WARN, "store.close_unapplied", "text=%s", log_quote(slice_str(e.text)));
        applier_stop(st->applier);
        wal_close(st->wal_home);
        st->wal = st->wal_home = NULL;
    }
    store_free(st);
}

/* ---- DEBUG RELOAD ---- */

/* Under the lock: nothing is between memory and SQLite. */
static bool store_is_settled(const struct store *st)
{
    return wal_lsn(st->wal_home) == applier_lsn(st->applier);
}

static enum rc store_load_again(struct store *st, struct err *e)
{
    uint64_t applied;
    keys_free_all(st);
    st->wal = NULL;
    st->loading = true;
    enum rc rc = replay_rows(st, &applied, e);
    st->loading = false;
    st->wal = st->wal_home;
    (void)__atomic_add_fetch(&st->tracked_version, 1, __ATOMIC_RELEASE);
    return rc;
}

enum rc store_reload(struct store *st, struct err *e)
{
    if (st->engine == STORE_MEMORY)
        return err_set(e, RC_BADINPUT, "the memory engine has nothing to load from");
    enum rc rc = RC_OK;
    bool done = false;
    (void)__atomic_fetch_or(&st->held, HELD_RELOAD, __ATOMIC_ACQ_REL);
    for (int i = 0; rc == RC_OK && !done && i < STORE_RELOAD_TRIES; i++) {
        lock_take(&st->lock);
        uint64_t lsn = wal_lsn(st->wal_home);
        done = store_is_settled(st);
        if (done)
            rc = store_load_again(st, e);
        lock_drop(&st->lock);
        if (!done && wal_sync(st->wal_home, lsn) != RC_OK)
            rc = err_set(e, RC_IO, "%.380s", store_trouble(st) ? store_trouble(st) : "the log cannot be synced");
        if (!done && rc == RC_OK)
            rc = applier_drain(st->applier, lsn, -1, e);
    }
    wal_release(st->wal_home, HELD_RELOAD);
    return rc == RC_OK && !done ? err_set(e, RC_BUSY, "the store did not come to rest") : rc;
}
