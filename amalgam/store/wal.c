/*
 * wal.c - the writing side of the log: two buffers, one thread, segments (see wal.h).
 *
 * The store appends under its lock; the log thread swaps the buffers, fills in the checksums, writes
 * the run with one pwrite and syncs as the mode asks: always at once, everysec once a second, no never
 * (but at the end of a segment). In always it starts as soon as there is something and no door is in the
 * middle of a turn (for a millisecond at most), and what arrives meanwhile is the next group; in the other
 * modes it collects for two milliseconds first, and a door that holds replies does the write itself at the
 * end of its turn (wal_write): a system call for all of them.
 * `mu` guards nothing but sleeping and waking; positions are atomics, each with one writer at a time.
 * Tested by tests/unit/store/test_wal.c, tests/fault/test_store_fault.c and test_kill9.c.
 */
#include "store/wal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/os.h"
#include "wire/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

enum { WAL_STEP = 4 << 20, WAL_COLLECT_MS = 2, WAL_GATHER_MS = 1, WAL_SYNC_MS = 1000, WAL_RETRY_MS = 500, WAL_PATH = 4200 };
enum { WAL_KEEP_BYTES = 4 << 20, WAL_IDLE_BYTES = 32 << 10, WAL_QUICK_BYTES = 256 << 10 };
#define WAL_DEFAULT (64u << 20)
#define WAL_NOTHING SIZE_MAX

/* The two in the middle heal by themselves. */
enum wal_health { WAL_FINE, WAL_NO_SPACE, WAL_NO_FILES, WAL_DEAD, WAL_HEALTHS };
static const char *const wal_cures[WAL_HEALTHS] = {
    [WAL_NO_SPACE] = "free some space there: changes are refused until then, nothing is lost",
    [WAL_NO_FILES] = "raise the limit of open files: changes are refused until one is free, nothing is lost",
    [WAL_DEAD] = "changes are refused until a restart: check the disk, then start again",
};

struct wal {
    struct wal_opts o;
    char *dir;
    /* under the guard */
    struct buf fill;
    uint64_t lsn;       /* behind the last effect */
    size_t open_at;     /* where in fill the open record begins, or WAL_NOTHING */
    int atomic_depth;
    bool more_out;      /* the last record went out with WAL_MORE */
    bool stop;          /* atomic */
    uint64_t sync_lsn;  /* somebody waits for this position */
    int asleep;         /* atomic: the thread waits for work */
    int gathering;      /* atomic: doors in the middle of a turn that changed something */
    /* whoever writes; the log thread alone changes segments. Taken before the guard, never inside it. */
    struct lock io;
    struct buf flush;   /* at .. n is not written yet */
    size_t run_left;    /* bytes left of the run that goes into this segment */
    int fd;
    uint64_t seg_first; /* first LSN of the segment */
    int64_t seg_at, seg_room; /* write offset, preallocated up to */
    /* the log thread's */
    int64_t next_sync_ms;
    uint64_t seen;      /* the written position at its last turn */
    /* atomics: written under io (written) or by the log thread, read by all */
    uint64_t written, durable;
    int64_t last_sync_ms;
    int health, mode;
    char texts[WAL_HEALTHS][480]; /* each written once */
    pthread_t thread;
    pthread_mutex_t mu;
    pthread_cond_t work, done;
};

static uint64_t wal_get(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void wal_set_asleep(struct wal *w, int on)
{
    __atomic_store_n(&w->asleep, on, __ATOMIC_RELEASE);
}

static int wal_health(const struct wal *w)
{
    return __atomic_load_n(&w->health, __ATOMIC_ACQUIRE);
}

bool wal_refuses(const struct wal *w)
{
    return __atomic_load_n(&w->health, __ATOMIC_RELAXED) != WAL_FINE;
}

uint64_t wal_durable(const struct wal *w)
{
    return wal_get(&w->durable);
}

uint64_t wal_written(const struct wal *w)
{
    return wal_get(&w->written);
}

uint64_t wal_lsn(const struct wal *w)
{
    return w->lsn;
}

int64_t wal_last_sync_ms(const struct wal *w)
{
    return __atomic_load_n(&w->last_sync_ms, __ATOMIC_RELAXED);
}

enum store_durability wal_mode(const struct wal *w)
{
    return (enum store_durability)__atomic_load_n(&w->mode, __ATOMIC_RELAXED);
}

const char *wal_trouble(const struct wal *w)
{
    int h = wal_health(w);
    return h == WAL_FINE ? NULL : w->texts[h];
}

/* ---- the store's side, under the guard ---- */

static void wal_close_record(struct wal *w, bool more)
{
    if (w->open_at == WAL_NOTHING)
        return;
    char *head = w->fill.p + w->open_at;
    uint32_t n = (uint32_t)(w->fill.n - w->open_at - WAL_RECORD_HEAD) | (more ? WAL_MORE : 0);
    memcpy(head, &n, 4);
    w->open_at = WAL_NOTHING;
    w->more_out = more;
}

static void wal_open_record(struct wal *w)
{
    static const char zero[8];
    w->open_at = w->fill.n;
    buf_put(&w->fill, zero, 8); /* length and checksum come later */
    buf_put(&w->fill, &w->lsn, 8);
}

void wal_append(struct wal *w, const struct effect *e)
{
    struct buf *b = &w->fill;
    size_t before = b->n;
    if (UNLIKELY(wal_health(w) == WAL_DEAD))
        return; /* an expired key, or the rest of a batch: as lost as what is in the buffer, never durable */
    if (w->open_at == WAL_NOTHING)
        wal_open_record(w);
    effect_write(b, e);
    w->lsn += b->n - before;
    if (UNLIKELY(b->n - w->open_at > WAL_RECORD_BYTES))
        wal_close_record(w, w->atomic_depth > 0);
}

void wal_atomic(struct wal *w, bool on)
{
    w->atomic_depth += on ? 1 : -1;
    if (w->atomic_depth > 0 || !w->more_out || w->open_at != WAL_NOTHING)
        return; /* what is open is closed, whole, when the batch ends */
    wal_open_record(w); /* all pieces went out with WAL_MORE: an empty one ends them */
    w->lsn += WAL_RECORD_HEAD;
    wal_close_record(w, false);
}

bool wal_seal(struct wal *w, bool *gather)
{
    if (w->fill.n == 0)
        return false;
    CHECK(w->atomic_depth == 0);
    wal_close_record(w, false);
    if (w->fill.n > w->o.buffer_bytes && !wal_refuses(w))
        (void)__atomic_fetch_or(w->o.held, HELD_FULL, __ATOMIC_RELEASE);
    if (gather && wal_mode(w) == STORE_ALWAYS) {
        (void)__atomic_add_fetch(&w->gathering, !*gather, __ATOMIC_RELAXED);
        *gather = true;
        return false;
    }
    if (!__atomic_load_n(&w->asleep, __ATOMIC_RELAXED))
        return false;
    wal_set_asleep(w, 0);
    return true;
}

void wal_wake(struct wal *w)
{
    pthread_mutex_lock(&w->mu);
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->mu);
}

/* ---- waiting for the log thread ---- */

static void wal_announce(struct wal *w)
{
    pthread_mutex_lock(&w->mu);
    pthread_cond_broadcast(&w->done);
    pthread_mutex_unlock(&w->mu);
    if (w->o.on_durable)
        w->o.on_durable(w->o.on_durable_ctx, wal_durable(w));
}

void wal_until(struct timespec *ts, int64_t ms)
{
    clock_gettime(CLOCK_MONOTONIC, ts);
    ts->tv_sec += (time_t)(ms / 1000);
    ts->tv_nsec += (long)(ms % 1000) * 1000000;
    if (ts->tv_nsec >= 1000000000) {
        ts->tv_sec++;
        ts->tv_nsec -= 1000000000;
    }
}

enum rc wal_sync(struct wal *w, uint64_t lsn)
{
    if (wal_durable(w) >= lsn)
        return RC_OK;
    lock_take(w->o.guard);
    w->sync_lsn = MAX(w->sync_lsn, lsn);
    wal_set_asleep(w, 0);
    lock_drop(w->o.guard);
    pthread_mutex_lock(&w->mu);
    pthread_cond_signal(&w->work);
    while (wal_durable(w) < lsn && wal_health(w) == WAL_FINE)
        pthread_cond_wait(&w->done, &w->mu);
    pthread_mutex_unlock(&w->mu);
    return wal_durable(w) >= lsn ? RC_OK : RC_IO;
}

void wal_wait_free(struct wal *w)
{
    struct timespec ts;
    pthread_mutex_lock(&w->mu);
    for (;;) {
        int held = __atomic_load_n(w->o.held, __ATOMIC_ACQUIRE);
        if (held == 0 || (held == HELD_FULL && wal_refuses(w)))
            break;
        wal_until(&ts, WAL_RETRY_MS);
        (void)pthread_cond_timedwait(&w->done, &w->mu, &ts);
    }
    pthread_mutex_unlock(&w->mu);
}

void wal_release(struct wal *w, int bit)
{
    pthread_mutex_lock(&w->mu);
    (void)__atomic_fetch_and(w->o.held, ~bit, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&w->done);
    pthread_mutex_unlock(&w->mu);
}

void wal_set_mode(struct wal *w, enum store_durability mode)
{
    __atomic_store_n(&w->mode, (int)mode, __ATOMIC_RELAXED);
    w->sync_lsn = w->lsn; /* also for no: replies of the mode before may wait for it */
    wal_set_asleep(w, 0);
    wal_wake(w);
}

/* ---- the log thread ---- */

static void wal_path(const struct wal *w, uint64_t first, char path[WAL_PATH])
{
    (void)snprintf(path, WAL_PATH, "%s/%020llu.log", w->dir, (unsigned long long)first);
}

static int wal_diagnose(int no, bool may_heal)
{
    if (may_heal && (no == ENOSPC || no == EDQUOT))
        return WAL_NO_SPACE;
    return may_heal && (no == EMFILE || no == ENFILE) ? WAL_NO_FILES : WAL_DEAD;
}

/* Notes the failure of a call on the current segment. What is short heals, everything else does not. */
static bool wal_fail(struct wal *w, const char *what, bool may_heal)
{
    int no = errno, now = wal_health(w), next = wal_diagnose(no, may_heal);
    char *text = w->texts[next];
    if (now == WAL_DEAD || now == next)
        return false;
    if (text[0] == '\0') /* others may still be reading it since the last time */
        (void)snprintf(text, sizeof w->texts[0], "cannot %s the log in %s: %s; %s", what, w->dir,
                       strerror(no), wal_cures[next]);
    __atomic_store_n(&w->health, next, __ATOMIC_RELEASE);
    log_event(LOG_ERROR, "store.log_failed", "text=%s", log_quote(slice_str(text)));
    (void)__atomic_fetch_and(w->o.held, ~HELD_FULL, __ATOMIC_RELEASE);
    wal_announce(w);
    return false;
}

static void wal_healed(struct wal *w)
{
    __atomic_store_n(&w->health, WAL_FINE, __ATOMIC_RELEASE);
    log_event(LOG_INFO, "store.log_healed", "dir=%s", log_quote(slice_str(w->dir)));
    wal_announce(w);
}

static bool wal_sync_now(struct wal *w)
{
    uint64_t written = wal_written(w);
    if (os()->fdatasync(w->fd) != 0)
        return wal_fail(w, "sync", false);
    __atomic_store_n(&w->durable, written, __ATOMIC_RELEASE);
    __atomic_store_n(&w->last_sync_ms, clock_wall_ms(), __ATOMIC_RELAXED);
    w->next_sync_ms = clock_mono_ms() + WAL_SYNC_MS;
    return true;
}

/* The head of a segment: magic, form, first LSN, checksum of these. */
static void wal_segment_head(char head[WAL_HEAD], uint64_t first)
{
    memset(head, 0, WAL_HEAD);
    memcpy(head, "POSTERNLOG\0\1", 12);
    memcpy(head + 16, &first, 8);
    uint32_t crc = crc32c(0, head, 24);
    memcpy(head + 24, &crc, 4);
}

static bool wal_pwrite_all(int fd, const char *p, size_t n, int64_t at)
{
    while (n) {
        ssize_t done = os()->pwrite(fd, p, n, at);
        if (done == 0)
            errno = ENOSPC;
        if (done <= 0)
            return false;
        p += done;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool wal_segment_start(struct wal *w, uint64_t first)
{
    char path[WAL_PATH], head[WAL_HEAD];
    struct err e;
    wal_path(w, first, path);
    wal_segment_head(head, first);
    int fd = os()->open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return wal_fail(w, "create a segment of", true);
    if (!wal_pwrite_all(fd, head, WAL_HEAD, 0) || os()->fdatasync(fd) != 0 ||
        dir_sync(w->dir, &e) != RC_OK) {
        int no = errno;
        os()->close(fd);
        os()->unlink(path);
        errno = no;
        return wal_fail(w, "create a segment of", true);
    }
    w->fd = fd;
    w->seg_first = first;
    w->seg_at = WAL_HEAD;
    w->seg_room = 0;
    return true;
}

/* Syncs and leaves the full segment; the next one begins at `first`. */
static bool wal_segment_next(struct wal *w, uint64_t first)
{
    if (w->fd >= 0) {
        if (wal_durable(w) < wal_written(w) && !wal_sync_now(w))
            return false;
        (void)os()->ftruncate(w->fd, w->seg_at); /* only to give the preallocated rest back */
        (void)os()->close(w->fd);
        w->fd = -1;
    }
    return wal_segment_start(w, first);
}

/* Makes room on disk ahead of the write, so that a sync need not change the file's length. */
static bool wal_preallocate(struct wal *w, size_t n)
{
    n += WAL_RECORD_HEAD; /* zeroes behind the last record tell a reader that it ends here */
    if (w->seg_at + (int64_t)n <= w->seg_room)
        return true;
    int64_t from = MAX(w->seg_room, w->seg_at), step = MAX((int64_t)n, (int64_t)WAL_STEP);
    if (os()->fallocate(w->fd, from, step) == 0)
        w->seg_room = from + step;
    else if (errno == ENOSPC || errno == EDQUOT)
        return wal_fail(w, "grow", true);
    else if (errno == EIO)
        return wal_fail(w, "grow", false);
    else
        w->seg_room = INT64_MAX; /* this file system cannot: the write will grow the file */
    return true;
}

static uint32_t wal_record_word(const char *p)
{
    uint32_t n;
    memcpy(&n, p, 4);
    return n;
}

static size_t wal_record_bytes(const char *p)
{
    return (wal_record_word(p) & ~WAL_MORE) + (size_t)WAL_RECORD_HEAD;
}

static bool wal_record_more(const char *p)
{
    return (wal_record_word(p) & WAL_MORE) != 0;
}

static void wal_checksums(char *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        size_t bytes = wal_record_bytes(p + at);
        uint32_t crc = crc32c(crc32c(0, p + at, 4), p + at + 8, bytes - 8);
        memcpy(p + at + 4, &crc, 4);
        at += bytes;
    }
}

/* How many bytes of whole transactions still fit into the segment; at least one in an empty segment. A
 * segment never ends inside a transaction: what is written (and durable, and applied) is whole. */
static size_t wal_run(const struct wal *w)
{
    const char *p = w->flush.p + w->flush.at;
    size_t n = w->flush.n - w->flush.at, whole = 0;
    uint64_t used = (uint64_t)w->seg_at;
    for (size_t at = 0; at < n;) {
        bool more = wal_record_more(p + at);
        at += wal_record_bytes(p + at);
        if (more)
            continue;
        if (used + at > w->o.segment_bytes && used + whole > WAL_HEAD)
            break;
        whole = at;
    }
    return whole;
}

static void wal_publish(struct wal *w)
{
    __atomic_store_n(&w->written, w->seg_first + (uint64_t)(w->seg_at - WAL_HEAD), __ATOMIC_RELEASE);
}

static bool wal_write_some(struct wal *w)
{
    struct buf *b = &w->flush;
    if (w->run_left == 0) {
        w->run_left = w->fd < 0 ? 0 : wal_run(w);
        if (w->run_left == 0)
            return wal_segment_next(w, wal_written(w));
    }
    if (!wal_preallocate(w, w->run_left))
        return false;
    ssize_t done = os()->pwrite(w->fd, b->p + b->at, w->run_left, w->seg_at);
    if (done == 0)
        errno = ENOSPC;
    if (done <= 0)
        return wal_fail(w, "write", true);
    w->seg_at += done;
    w->run_left -= (size_t)done;
    b->at += (size_t)done;
    if (w->run_left == 0) /* whole transactions only: a reader never meets half of one */
        wal_publish(w);
    return true;
}

/* Writes the flush buffer; false if it must be tried again later, or never. */
static bool wal_write_all(struct wal *w)
{
    while (w->flush.at < w->flush.n)
        if (!wal_write_some(w))
            return false;
    buf_clear(&w->flush);
    buf_shrink(&w->flush, WAL_KEEP_BYTES);
    if (wal_health(w) != WAL_FINE)
        wal_healed(w);
    return true;
}

struct wal_turn {
    bool stop, idle, sync;
    bool more; /* something was sealed since the buffer was taken */
};

/* Inside io: takes the full buffer if it has at most `max` bytes. True: nothing is left in it. */
static bool wal_take(struct wal *w, size_t max)
{
    lock_take(w->o.guard);
    bool fresh = w->flush.n == 0 && w->fill.n > 0 && w->fill.n <= max && w->open_at == WAL_NOTHING;
    if (fresh) {
        struct buf b = w->fill;
        w->fill = w->flush;
        w->flush = b;
    }
    bool empty = w->fill.n == 0;
    lock_drop(w->o.guard);
    if (fresh) {
        if (__atomic_load_n(w->o.held, __ATOMIC_RELAXED) & HELD_FULL)
            wal_release(w, HELD_FULL);
        wal_checksums(w->flush.p, w->flush.n);
    }
    return empty;
}

/* Goes to sleep if there is nothing to do, and, but in always, if nobody wrote since the last turn: a door
 * that writes by itself need not wake this thread each time. */
static struct wal_turn wal_plan(struct wal *w)
{
    struct wal_turn t = {0};
    lock_take(w->o.guard);
    bool always = wal_mode(w) == STORE_ALWAYS, quiet = always || wal_written(w) == w->seen;
    t.stop = __atomic_load_n(&w->stop, __ATOMIC_ACQUIRE);
    t.sync = w->sync_lsn > wal_durable(w) || always;
    t.more = w->fill.n > 0;
    t.idle = quiet && w->flush.n == 0 && !t.more && !t.stop && !(t.sync && wal_durable(w) < wal_written(w));
    wal_set_asleep(w, t.idle);
    if (t.idle) {
        buf_shrink(&w->fill, WAL_IDLE_BYTES);
        buf_shrink(&w->flush, WAL_IDLE_BYTES);
    }
    lock_drop(w->o.guard);
    return t;
}

/* The rest of the flush buffer by one write into room that is there already. What fails is left as it
 * was, for the log thread to try and to diagnose. */
static bool wal_write_quickly(struct wal *w)
{
    struct buf *b = &w->flush;
    size_t n = b->n - b->at;
    if (n > WAL_QUICK_BYTES || w->fd < 0 || w->run_left || wal_run(w) < n ||
        w->seg_room - w->seg_at < (int64_t)(n + WAL_RECORD_HEAD))
        return false;
    if (os()->pwrite(w->fd, b->p + b->at, n, w->seg_at) != (ssize_t)n)
        return false;
    w->seg_at += (int64_t)n;
    buf_clear(b);
    wal_publish(w);
    return true;
}

/* The end of a turn in always: wakes the log thread unless it is at work and will look again. */
static void wal_gathered(struct wal *w)
{
    (void)__atomic_sub_fetch(&w->gathering, 1, __ATOMIC_RELAXED);
    lock_take(w->o.guard); /* either the thread sees that nobody gathers, or this sees it asleep */
    bool wake = __atomic_load_n(&w->asleep, __ATOMIC_RELAXED);
    wal_set_asleep(w, 0);
    lock_drop(w->o.guard);
    if (wake)
        wal_wake(w);
}

void wal_write(struct wal *w, bool *gather)
{
    if (*gather)
        wal_gathered(w);
    *gather = false;
    if (wal_mode(w) == STORE_ALWAYS || wal_refuses(w) || !lock_try(&w->io))
        return;
    bool all = wal_take(w, WAL_QUICK_BYTES);
    bool wrote = w->flush.n > 0 && wal_write_quickly(w);
    all = all && w->flush.n == 0;
    lock_drop(&w->io);
    if (wrote && w->o.on_durable)
        w->o.on_durable(w->o.on_durable_ctx, wal_durable(w));
    if (all)
        return;
    lock_take(w->o.guard);
    wal_set_asleep(w, 0);
    lock_drop(w->o.guard);
    wal_wake(w);
}

static void wal_sleep(struct wal *w, int64_t ms)
{
    struct timespec ts;
    wal_until(&ts, ms);
    pthread_mutex_lock(&w->mu);
    if (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE))
        (void)pthread_cond_timedwait(&w->work, &w->mu, &ts);
    pthread_mutex_unlock(&w->mu);
}

/* Sleeps until the store has work; ms >= 0: at most so long, because a sync is due then. */
static void wal_sleep_idle(struct wal *w, int64_t ms)
{
    struct timespec ts;
    int rc = 0;
    wal_until(&ts, MAX(ms, (int64_t)0));
    pthread_mutex_lock(&w->mu);
    while (rc == 0 && __atomic_load_n(&w->asleep, __ATOMIC_ACQUIRE))
        rc = ms < 0 ? pthread_cond_wait(&w->work, &w->mu) : pthread_cond_timedwait(&w->work, &w->mu, &ts);
    pthread_mutex_unlock(&w->mu);
}

/* In always: one sync for all that a door changes in its turn. */
static void wal_gather(struct wal *w)
{
    if (__atomic_load_n(&w->gathering, __ATOMIC_RELAXED) == 0)
        return;
    lock_take(w->o.guard);
    bool wait = __atomic_load_n(&w->gathering, __ATOMIC_RELAXED) > 0 && wal_mode(w) == STORE_ALWAYS &&
                w->sync_lsn <= wal_durable(w) && !__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE);
    wal_set_asleep(w, wait);
    lock_drop(w->o.guard);
    if (wait)
        wal_sleep_idle(w, WAL_GATHER_MS);
    wal_set_asleep(w, 0);
}

static bool wal_sync_due(const struct wal *w, struct wal_turn t)
{
    if (wal_durable(w) == wal_written(w) || wal_health(w) != WAL_FINE)
        return false;
    bool second = wal_mode(w) == STORE_EVERYSEC && clock_mono_ms() >= w->next_sync_ms;
    return t.sync || t.stop || second;
}

static void *wal_main(void *arg)
{
    struct wal *w = arg;
    for (;;) {
        wal_gather(w);
        lock_take(&w->io);
        (void)wal_take(w, SIZE_MAX);
        struct wal_turn t = wal_plan(w);
        uint64_t durable = wal_durable(w), written = wal_written(w);
        bool ok = wal_health(w) != WAL_DEAD && (w->flush.n == 0 || wal_write_all(w));
        bool moved = (w->seen = wal_written(w)) != written;
        lock_drop(&w->io);
        if (ok && wal_sync_due(w, t))
            ok = wal_sync_now(w);
        if (moved || wal_durable(w) != durable)
            wal_announce(w);
        if (t.stop && (!ok || (!moved && !t.more)))
            return NULL;
        bool unsynced = wal_mode(w) == STORE_EVERYSEC && wal_durable(w) < wal_written(w);
        if (!ok && !t.stop)
            wal_sleep(w, WAL_RETRY_MS);
        else if (t.idle)
            wal_sleep_idle(w, unsynced ? MAX(w->next_sync_ms - clock_mono_ms(), 0) + 1 : -1);
        else if (wal_mode(w) != STORE_ALWAYS && !t.sync && !t.stop)
            wal_sleep(w, WAL_COLLECT_MS);
    }
}

/* ---- opening and closing ---- */

void wal_cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

static void wal_free(struct wal *w)
{
    if (w->fd >= 0)
        (void)os()->close(w->fd);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->mu);
    buf_free(&w->fill);
    buf_free(&w->flush);
    mem_free(w->dir);
    mem_free(w);
}

enum rc wal_open(const struct wal_opts *o, struct wal **out, struct err *e)
{
    struct wal *w = mem_zalloc(sizeof *w);
    w->o = *o;
    w->o.segment_bytes = o->segment_bytes ? o->segment_bytes : WAL_DEFAULT;
    w->o.buffer_bytes = o->buffer_bytes ? o->buffer_bytes : WAL_DEFAULT;
    w->dir = mem_strdup(o->dir);
    w->mode = (int)o->mode;
    w->lsn = w->written = w->durable = o->start_lsn;
    w->open_at = WAL_NOTHING;
    w->fd = -1;
    buf_init(&w->fill, SIZE_MAX / 2);
    buf_init(&w->flush, SIZE_MAX / 2);
    pthread_mutex_init(&w->mu, NULL);
    wal_cond_init(&w->work);
    wal_cond_init(&w->done);
    if (!wal_segment_start(w, o->start_lsn)) {
        enum rc rc = err_set(e, RC_IO, "%.380s", wal_trouble(w));
        wal_free(w);
        return rc;
    }
    w->thread = thread_start("log", wal_main, w);
    *out = w;
    return RC_OK;
}

void wal_close(struct wal *w)
{
    lock_take(w->o.guard);
    __atomic_store_n(&w->stop, true, __ATOMIC_RELEASE);
    wal_set_asleep(w, 0);
    lock_drop(w->o.guard);
    wal_wake(w);
    thread_join(w->thread);
    if (w->fd >= 0)
        (void)os()->ftruncate(w->fd, w->seg_at);
    wal_free(w);
}

#undef WAL_DEFAULT
#undef WAL_NOTHING
