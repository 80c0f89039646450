/*
 * decisions.c - writes the log of decisions, turns it over at its size, finds a decision in it.
 *
 * One thread: a few times a second, or when a queue is half full, it takes what waits in all queues and
 * writes it at once. At decisions.file_max the file becomes FILE.1; there are two at most. SIGHUP opens it anew, so
 * that logrotate may move it, too. What cannot be written is counted and said in the log, and tried again.
 * Owns its file and its buffer. Tested by tests/box/test_decisions.py and tests/unit/policy/test_explain.c.
 */
#include "main/decisions.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/os.h"
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define DECISIONS_SLOTS 2048 /* of each check thread */
#define DECISIONS_MS 200
#define DECISIONS_BATCH ((size_t)64 * 1024 * 1024)
#define DECISIONS_READ ((size_t)1024 * 1024)
#define DECISIONS_LOG_MS 10000
#define DECISIONS_MODE 0600u

struct decisions {
    char path[4001], older[4004];
    int64_t max_bytes, size;
    bool denied_only;
    int fd, event;
    _Atomic bool reopen, stop;
    pthread_t thread;
    struct policy_ctx *const *ctxs;
    size_t ctxs_n;
    struct buf lines;
    int64_t logged_ms; /* monotonic */
};

static struct metric decisions_metrics[] = {
    {"postern_decisions_unwritten_total", NULL, "Decisions that did not get into the log of decisions.", METRIC_COUNTER, 0, NULL, NULL},
};

/* ---- the file ---- */

static void decisions_open_file(struct decisions *d)
{
    struct stat st;
    if (d->fd >= 0)
        (void)os()->close(d->fd);
    d->fd = os()->open(d->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, DECISIONS_MODE);
    d->size = d->fd >= 0 && fstat(d->fd, &st) == 0 ? st.st_size : 0;
}

/* Told at most every few seconds; a disk that is full stays so for a while. */
static void decisions_lose(struct decisions *d, size_t n, const char *what)
{
    int64_t now = clock_mono_ms();
    metric_add(&decisions_metrics[0], n);
    if (d->logged_ms && now - d->logged_ms < DECISIONS_LOG_MS)
        return;
    d->logged_ms = now;
    log_event(LOG_ERROR, "decisions.unwritten", "file=%s text=%s", log_quote(slice_str(d->path)), log_quote(slice_str(what)));
}

static void decisions_turn(struct decisions *d)
{
    if (os()->rename(d->path, d->older) == 0)
        decisions_open_file(d);
}

/* All of it or nothing: a torn line at the end is cut off again. */
static bool decisions_write(struct decisions *d, struct slice lines)
{
    int64_t from = d->size;
    while (lines.n > 0 && d->fd >= 0) {
        ssize_t n = os()->pwrite(d->fd, lines.p, lines.n, d->size);
        if (n <= 0)
            break;
        lines = slice_from(lines, (size_t)n);
        d->size += n;
    }
    if (lines.n == 0)
        return true;
    if (d->fd >= 0)
        (void)os()->ftruncate(d->fd, from);
    d->size = from;
    return false;
}

static void decisions_batch(struct decisions *d)
{
    uint64_t lost = 0;
    size_t n = 0;
    buf_clear(&d->lines);
    for (size_t i = 0; i < d->ctxs_n; i++)
        n += policy_log_take(d->ctxs[i], &d->lines, &lost);
    if (lost > 0)
        decisions_lose(d, lost, "decisions come faster than they can be written");
    if (n == 0)
        return;
    if (atomic_exchange(&d->reopen, false) || d->fd < 0)
        decisions_open_file(d);
    if (d->size > 0 && d->size + (int64_t)d->lines.n > d->max_bytes)
        decisions_turn(d);
    if (d->lines.over || !decisions_write(d, buf_all(&d->lines)))
        decisions_lose(d, n, "the file cannot be written");
}

/* ---- the thread ---- */

static void *decisions_run(void *arg)
{
    struct decisions *d = arg;
    while (!d->stop) {
        struct pollfd p = {.fd = d->event, .events = POLLIN};
        uint64_t told;
        if (poll(&p, 1, DECISIONS_MS) > 0 && read(d->event, &told, sizeof told) < 0)
            clock_sleep_ms(1);
        if (atomic_exchange(&d->reopen, false))
            decisions_open_file(d);
        decisions_batch(d);
    }
    decisions_batch(d);
    return NULL;
}

static void decisions_wake(void *ctx)
{
    struct decisions *d = ctx;
    uint64_t one = 1;
    ssize_t told = write(d->event, &one, sizeof one);
    (void)told; /* it looks by itself soon */
}

enum rc decisions_open(const struct settings *s, struct decisions **out, struct err *e)
{
    struct decisions *d;
    if (setting(s, SET_DECISIONS_FILE).n == 0)
        return RC_OK;
    d = mem_zalloc(sizeof *d);
    (void)snprintf(d->path, sizeof d->path, "%s", setting_cstr(s, SET_DECISIONS_FILE));
    (void)snprintf(d->older, sizeof d->older, "%s.1", d->path);
    d->max_bytes = setting_num(s, SET_DECISIONS_MAX);
    d->denied_only = setting_is(s, SET_DECISIONS_KIND, "denied");
    d->fd = -1;
    buf_init(&d->lines, DECISIONS_BATCH);
    decisions_open_file(d);
    d->event = d->fd >= 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
    if (d->event >= 0) {
        metric_join(decisions_metrics, ARRAY_LEN(decisions_metrics));
        *out = d;
        return RC_OK;
    }
    enum rc rc = err_os(e, "decisions.file: cannot write %s", d->path);
    decisions_close(d);
    return rc;
}

struct policy_log decisions_queue(struct decisions *d)
{
    struct policy_log none = {0};
    return d ? (struct policy_log){DECISIONS_SLOTS, d->denied_only, decisions_wake, d} : none;
}

void decisions_start(struct decisions *d, struct policy_ctx *const *ctxs, size_t n)
{
    if (!d)
        return;
    d->ctxs = ctxs;
    d->ctxs_n = n;
    d->thread = thread_start("decisions", decisions_run, d);
}

void decisions_reopen(struct decisions *d)
{
    if (!d)
        return;
    d->reopen = true;
    decisions_wake(d);
}

void decisions_close(struct decisions *d)
{
    if (!d)
        return;
    d->stop = true;
    if (d->ctxs) {
        decisions_wake(d);
        thread_join(d->thread);
    }
    if (d->fd >= 0)
        (void)os()->close(d->fd);
    if (d->event >= 0)
        (void)close(d->event);
    buf_free(&d->lines);
    mem_free(d);
}

/* ---- looking for one ---- */

/* The line that begins with `begin` among whole lines; *rest is where the last, unfinished one begins. */
static struct slice decisions_line(struct slice text, struct slice begin, size_t *rest)
{
    struct slice found = S("");
    *rest = 0;
    for (size_t at = 0, end; (end = slice_index(slice_from(text, at), '\n')) != SIZE_MAX; at = *rest) {
        struct slice line = slice_sub(text, at, end);
        if (found.n == 0 && slice_starts(line, begin))
            found = line;
        *rest = at + end + 1;
    }
    return found;
}

static bool decisions_find_in(const char *path, struct slice begin, struct buf *json)
{
    int fd = os()->open(path, O_RDONLY | O_CLOEXEC, 0);
    char *text = mem_alloc(DECISIONS_READ);
    struct slice line = S("");
    size_t n = 0, rest;
    int64_t at = 0;
    ssize_t got;
    while (fd >= 0 && line.n == 0 && n < DECISIONS_READ && (got = os()->pread(fd, text + n, DECISIONS_READ - n, at)) > 0) {
        at += got;
        n += (size_t)got;
        line = decisions_line(slice_of(text, n), begin, &rest);
        if (line.n > 0)
            buf_slice(json, line);
        n -= rest;
        memmove(text, text + rest, n);
    }
    if (fd >= 0)
        (void)os()->close(fd);
    mem_free(text);
    return line.n > 0;
}

enum rc decisions_find(const struct settings *s, struct slice id, struct buf *json)
{
    char begin[64], older[4004];
    int n = snprintf(begin, sizeof begin, "{\"decision_id\":\"%.*s\"", SFMT(slice_sub(id, 0, 16)));
    if (setting(s, SET_DECISIONS_FILE).n == 0)
        return RC_NOTFOUND;
    (void)snprintf(older, sizeof older, "%s.1", setting_cstr(s, SET_DECISIONS_FILE));
    return decisions_find_in(setting_cstr(s, SET_DECISIONS_FILE), slice_of(begin, (size_t)n), json) ||
                   decisions_find_in(older, slice_of(begin, (size_t)n), json)
               ? RC_OK
               : RC_NOTFOUND;
}
#undef DECISIONS_SLOTS
#undef DECISIONS_MS
#undef DECISIONS_BATCH
#undef DECISIONS_READ
#undef DECISIONS_LOG_MS
#undef DECISIONS_MODE
