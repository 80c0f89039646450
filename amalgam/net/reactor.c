/*
 * reactor.c - the loop: wait, dispatch, messages, timers, hooks, flush.
 *
 * Called by main (open, run, stop, close) and by every door for the time, tasks and hooks. It knows
 * nothing of bytes: conn_io.c and listener.c do the work of a ready socket. A turn costs one
 * epoll_wait and two reads of the clock (vDSO); a wake-up from another thread costs one eventfd
 * write only if the reactor sleeps, and none if it is already being woken. The eventfd is edge
 * triggered and never read.
 * Owns connections' memory (slots), the freelist of buffers, scratch memory.
 * Threads: the one that called reactor_run; reactor_post and reactor_stop from any, also from a
 * signal handler. Before reactor_run and after it returned: the thread that opened it.
 * Tested by tests/unit/net/test_reactor.c (under TSan too).
 */
#include "net/inside.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- buffers ---- */

void net_buf_take(struct reactor *r, struct buf *b)
{
    CHECK(b->p == NULL);
    struct net_spare *s = r->spares;
    if (LIKELY(s != NULL)) {
        r->spares = s->next;
        r->spare_bytes -= s->cap;
        b->cap = s->cap;
        b->p = (char *)s;
    } else {
        b->cap = NET_BUF_FIRST_BYTES;
        b->p = mem_alloc(NET_BUF_FIRST_BYTES);
    }
    b->at = b->n = 0;
}

/* The caller has no use for what is in it. */
void net_buf_give(struct reactor *r, struct buf *b)
{
    if (b->p == NULL)
        return;
    if (b->cap > NET_BUF_KEEP_BYTES || r->spare_bytes + b->cap > NET_SPARE_BYTES_MAX ||
        b->cap < sizeof(struct net_spare)) {
        mem_free(b->p);
    } else {
        struct net_spare *s = (struct net_spare *)(void *)b->p;
        s->cap = b->cap;
        s->next = r->spares;
        r->spares = s;
        r->spare_bytes += s->cap;
    }
    b->p = NULL;
    b->at = b->n = b->cap = 0;
}

/* ---- messages ---- */

/* Exactly one of those who find it asleep wakes it. */
static void reactor_wake(struct reactor *r)
{
    if (__atomic_exchange_n(&r->asleep, 0, __ATOMIC_SEQ_CST) == 0)
        return;
    uint64_t one = 1;
    ssize_t n = write(r->wake_fd, &one, sizeof one);
    (void)n; /* it can only fail when the counter is full: then it is awake */
}

void reactor_post(struct reactor *r, struct net_task *t)
{
    struct net_task *head = __atomic_load_n(&r->inbox, __ATOMIC_RELAXED);
    do {
        t->next = head;
    } while (!__atomic_compare_exchange_n(&r->inbox, &head, t, true, __ATOMIC_SEQ_CST,
                                          __ATOMIC_RELAXED));
    reactor_wake(r);
}

static bool reactor_run_tasks(struct reactor *r)
{
    if (__atomic_load_n(&r->inbox, __ATOMIC_RELAXED) == NULL)
        return false;
    struct net_task *t = __atomic_exchange_n(&r->inbox, NULL, __ATOMIC_ACQUIRE);
    struct net_task *first = NULL;
    while (t) { /* oldest first */
        struct net_task *next = t->next;
        t->next = first;
        first = t;
        t = next;
    }
    while (first) {
        t = first;
        first = t->next; /* run may free the task or post it again */
        t->run(t, r);
    }
    return true;
}

static void reactor_run_stop(struct net_task *t, struct reactor *r)
{
    (void)t;
    r->stopping = true;
}

void reactor_stop(struct reactor *r)
{
    if (__atomic_exchange_n(&r->stop_asked, 1, __ATOMIC_SEQ_CST) == 0)
        reactor_post(r, &r->stop_task);
}

/* ---- the turn ---- */

static void reactor_read_clocks(struct reactor *r)
{
    r->now_ms = clock_wall_ms();
    r->mono_ms = clock_mono_ms();
}

static int reactor_wait_ms(const struct reactor *r, int at_most_ms)
{
    if (r->again.head || r->shakes.head || r->dirty.head) /* dirty: by a close after the flush */
        return 0;
    int64_t due = timer_next_ms(r);
    if (due == INT64_MAX)
        return at_most_ms;
    int64_t ms = MIN(MAX(due - r->mono_ms, 0), INT_MAX);
    return at_most_ms >= 0 ? (int)MIN(ms, at_most_ms) : (int)ms;
}

static int reactor_wait(struct reactor *r, int wait_ms)
{
    if (wait_ms != 0) {
        /* Either we see the task here, or its sender sees us asleep and writes to the eventfd. */
        __atomic_store_n(&r->asleep, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&r->inbox, __ATOMIC_SEQ_CST) != NULL)
            wait_ms = 0;
    }
    int n = epoll_wait(r->epoll_fd, r->events, NET_EVENTS_MAX, wait_ms);
    __atomic_store_n(&r->asleep, 0, __ATOMIC_RELAXED);
    MUST(n >= 0 || errno == EINTR);
    return MAX(n, 0);
}

static void reactor_dispatch(const struct epoll_event *ev)
{
    enum net_source *source = ev->data.ptr;
    if (LIKELY(*source == NET_SOURCE_CONN))
        conn_ready(CONTAINER_OF(source, struct conn, source), ev->events);
    else if (*source == NET_SOURCE_LISTENER)
        listener_ready(ev->data.ptr);
}

static void reactor_turn(struct reactor *r, int at_most_ms)
{
    int n = reactor_wait(r, reactor_wait_ms(r, at_most_ms));
    reactor_read_clocks(r);
    bool worked = n > 0;
    for (int i = 0; i < n; i++)
        reactor_dispatch(&r->events[i]);
    worked |= conn_run_again(r);
    worked |= conn_run_shakes(r);
    worked |= reactor_run_tasks(r);
    worked |= timer_run(r);
    wheel_run(r);
    conn_reap(r);
    if (worked)
        for (int i = 0; i < r->hooks_n; i++)
            r->hooks[i].fn(r->hooks[i].ctx, r);
    conn_flush_all(r);
    conn_reap(r);
}

void reactor_run(struct reactor *r)
{
    while (!r->stopping)
        reactor_turn(r, -1);
    listener_stop_ends(r);
    int64_t until_ms = r->mono_ms + NET_STOP_MS;
    while (conn_stop_all(r) && r->mono_ms < until_ms)
        reactor_turn(r, 20);
    conn_close_all(r);
}

/* ---- life ---- */

static enum rc reactor_open_fds(struct reactor *r, struct err *e)
{
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    r->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    r->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (r->epoll_fd < 0 || r->wake_fd < 0)
        return err_os(e, "cannot open an event loop (limit of open files?)");
    r->wake_source = NET_SOURCE_WAKE;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = &r->wake_source};
    if (epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, r->wake_fd, &ev) < 0)
        return err_os(e, "cannot set up an event loop");
    return RC_OK;
}

enum rc reactor_open(int index, struct reactor **out, struct err *e)
{
    *out = NULL;
    struct reactor *r = mem_zalloc(sizeof *r);
    r->index = index;
    r->spare_fd = -1;
    r->stop_task.run = reactor_run_stop;
    r->wheel_next_ms = INT64_MAX;
    enum rc rc = reactor_open_fds(r, e);
    r->scratch = mem_alloc(NET_SCRATCH_BYTES);
    reactor_read_clocks(r);
    r->wheel_tick = r->mono_ms / NET_WHEEL_TICK_MS;
    if (rc != RC_OK) {
        reactor_close(r);
        return rc;
    }
    *out = r;
    return RC_OK;
}

/* Tasks that came after the loop ended are run, so that their owners can free what they carry; they
 * find no connection any more. A connection that is handed over so late is closed. */
void reactor_settle(struct reactor *r)
{
    conn_close_all(r);
    (void)reactor_run_tasks(r);
    conn_close_all(r);
}

void reactor_close(struct reactor *r)
{
    if (r == NULL)
        return;
    reactor_settle(r);
    listener_forget_ends(r);
    int fds[] = {r->epoll_fd, r->wake_fd, r->spare_fd};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (uint32_t i = 0; i < r->conns_n; i++)
        mem_free(r->conns[i]);
    mem_free(r->conns);
    while (r->spares) {
        struct net_spare *s = r->spares;
        r->spares = s->next;
        mem_free(s);
    }
    mem_free(r->heap);
    mem_free(r->scratch);
    mem_free(r->plain);
    mem_free(r);
}

int reactor_index(const struct reactor *r)
{
    return r->index;
}

int64_t reactor_now_ms(const struct reactor *r)
{
    return r->now_ms;
}

int64_t reactor_mono_ms(const struct reactor *r)
{
    return r->mono_ms;
}

void reactor_set_ctx(struct reactor *r, int slot, void *ctx)
{
    MUST(slot >= 0 && slot < (int)ARRAY_LEN(r->ctx));
    r->ctx[slot] = ctx;
}

void *reactor_ctx(const struct reactor *r, int slot)
{
    MUST(slot >= 0 && slot < (int)ARRAY_LEN(r->ctx));
    return r->ctx[slot];
}

void reactor_on_turn(struct reactor *r, void (*fn)(void *ctx, struct reactor *r), void *ctx)
{
    MUST(r->hooks_n < NET_HOOKS_MAX);
    r->hooks[r->hooks_n].fn = fn;
    r->hooks[r->hooks_n++].ctx = ctx;
}
