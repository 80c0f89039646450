/*
 * resp_server.c - the server of the Redis door and its threads: start, stop, the lock, messages
 * from one thread's clients to another's, replies that wait for the disk, the 100 ms round.
 *
 * Called by main (open, close, durable) and by the other files of resp/. It knows nothing of
 * commands.
 *
 * MESSAGES. Pub/sub messages and MONITOR lines go to a client of the same reactor at once, into its
 * output; for another reactor they are appended to that thread's inbox (one buffer, guarded by the
 * store's lock) and one posted task empties it: no allocation per message. Order is kept: while an
 * inbox is not empty, its own thread appends too; a client's (un)subscribe empties it first.
 *
 * DURABILITY. A batch ends with resp_hold: output is kept until store_safe_lsn (on disk in mode always,
 * with the kernel else) has reached the lsn of that moment, reads included, so nobody sees what could
 * still be lost. Each thread keeps its held clients in order of lsn and looks at them at the end of a
 * turn; in always the log thread starts then, with all that the turn changed. In everysec and no the
 * thread does the write itself there (store_write), so that nobody waits for another one.
 * resp_server_durable (whoever wrote) posts one task per thread that waits, not one per
 * client. Tested by tests/unit/resp/test_resp_door.c, tests/fault/test_kill9_server.py and tests/box.
 */
#include "base/log.h"
#include "base/metric.h"
#include "base/rand.h"
#include "resp/resp_int.h"

enum { RESP_SERVER_CRON_MS = 100, RESP_SERVER_OUT_MAX = 1 << 30 };

/* ---- time ---- */

int64_t resp_ticks_us(const struct resp_server *s, uint64_t ticks)
{
    uint64_t rate = atomic_load_explicit(&s->ns_per_kitick, memory_order_relaxed);
    return (int64_t)((__extension__(unsigned __int128) ticks * rate / 1024) / 1000);
}

/* The rate comes from what both clocks did since the start, so it gets more exact with time. */
static void resp_server_tick_rate(struct resp_server *s)
{
    uint64_t ticks = resp_ticks() - s->tick0;
    int64_t ns = clock_mono_ns() - s->tick0_ns;
    if (ticks < 1000 || ns < 1000)
        return;
    uint64_t rate = (uint64_t)((__extension__(unsigned __int128)(uint64_t) ns * 1024) / ticks);
    atomic_store_explicit(&s->ns_per_kitick, rate > 0 ? rate : 1, memory_order_relaxed);
}

/* ---- lists of clients ---- */

void resp_wait_append(struct resp_list *l, struct resp_wait *w)
{
    w->next = NULL;
    w->prev = l->last;
    *(l->last != NULL ? &l->last->next : &l->first) = w;
    l->last = w;
}

void resp_wait_remove(struct resp_list *l, struct resp_wait *w)
{
    *(w->prev != NULL ? &w->prev->next : &l->first) = w->next;
    *(w->next != NULL ? &w->next->prev : &l->last) = w->prev;
    w->next = w->prev = NULL;
}

/* ---- the lock ---- */

void resp_lock(struct resp_thread *th)
{
    if (th->locked)
        return;
    store_enter(th->srv->st, reactor_now_ms(th->reactor));
    th->locked = true;
    th->srv->inside = th;
}

void resp_unlock(struct resp_thread *th)
{
    if (!th->locked)
        return;
    th->batch_lsn = MAX(th->batch_lsn, store_lsn(th->srv->st));
    th->locked = false;
    th->srv->inside = NULL;
    store_leave_turn(th->srv->st, &th->gather);
}

/* ---- messages ---- */

struct resp_server_letter { /* in an inbox, before its bytes */
    struct conn_ref to;
    size_t n;
};

static void resp_server_write(struct resp_client *c, struct slice bytes)
{
    if (c->flags & CL_CLOSING)
        return;
    buf_slice(conn_out(c->conn), bytes);
    if (resp_client_limit(c))
        conn_flush(c->conn);
}

void resp_send(struct resp_client *to, struct slice bytes)
{
    struct resp_thread *th = to->th;
    bool here = th->srv->inside == th;
    if (here && to == th->current) {
        buf_slice(&th->self, bytes);
        return;
    }
    if (here && th->inbox.n == 0) {
        resp_server_write(to, bytes);
        return;
    }
    struct resp_server_letter head = {conn_ref(to->conn), bytes.n};
    if (!buf_room(&th->inbox, sizeof head + bytes.n))
        return; /* a gigabyte waits: the reactor is stuck, its clients miss messages */
    buf_put(&th->inbox, &head, sizeof head);
    buf_slice(&th->inbox, bytes);
    if (!th->inbox_posted) {
        th->inbox_posted = true;
        reactor_post(th->reactor, &th->inbox_task);
    }
}

static void resp_server_deliver(struct buf *letters)
{
    struct slice rest = buf_unread(letters);
    while (rest.n > 0) {
        struct resp_server_letter head;
        memcpy(&head, rest.p, sizeof head);
        struct conn *conn = conn_ref_get(head.to);
        if (conn != NULL)
            resp_server_write(conn_state(conn), slice_sub(rest, sizeof head, head.n));
        rest = slice_from(rest, sizeof head + head.n);
    }
    buf_clear(letters);
    buf_shrink(letters, 1 << 20);
}

void resp_inbox_drain(struct resp_thread *th)
{
    if (th->inbox.n > 0)
        resp_server_deliver(&th->inbox);
}

static void resp_server_on_inbox(struct net_task *t, struct reactor *r)
{
    (void)r;
    struct resp_thread *th = CONTAINER_OF(t, struct resp_thread, inbox_task);
    resp_lock(th);
    struct buf b = th->inbox;
    th->inbox = th->inbox_work;
    th->inbox_work = b;
    th->inbox_posted = false;
    /* inside: another message must not overtake these */
    resp_server_deliver(&th->inbox_work);
    resp_unlock(th);
}

/* ---- replies that wait for the disk ---- */

static void resp_server_release(struct resp_thread *th)
{
    uint64_t safe = store_safe_lsn(th->srv->st);
    while (th->held.first != NULL) {
        struct resp_client *c = CONTAINER_OF(th->held.first, struct resp_client, in_held);
        if (c->wait_lsn > safe)
            return;
        resp_wait_remove(&th->held, &c->in_held);
        bool more = c->held_input;
        c->held = c->held_input = false;
        conn_release(c->conn);
        if (more)
            conn_resume(c->conn);
    }
}

void resp_hold(struct resp_client *c, uint64_t lsn)
{
    c->wait_lsn = lsn;
    c->held = true;
    conn_hold(c->conn);
    resp_wait_append(&c->th->held, &c->in_held);
}

/* The end of a turn, before output is sent: one write for all replies of the turn. */
static void resp_server_on_turn(void *ctx, struct reactor *r)
{
    struct resp_thread *th = ctx;
    (void)r;
    if (th->held.first == NULL && !th->gather)
        return;
    store_write(th->srv->st, &th->gather);
    resp_server_release(th);
    if (th->held.first == NULL)
        return;
    __atomic_store_n(&th->waiting, 1, __ATOMIC_SEQ_CST);
    resp_server_release(th); /* it may have moved before `waiting` could be seen */
    if (th->held.first == NULL)
        __atomic_store_n(&th->waiting, 0, __ATOMIC_SEQ_CST);
}

/* Only wakes: the turn's end releases. */
static void resp_server_on_durable(struct net_task *t, struct reactor *r)
{
    (void)r;
    struct resp_thread *th = CONTAINER_OF(t, struct resp_thread, durable_task);
    __atomic_store_n(&th->durable_posted, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&th->waiting, 0, __ATOMIC_SEQ_CST);
}

void resp_server_durable(struct resp_server *s, uint64_t lsn)
{
    (void)lsn; /* the task reads the newest */
    for (size_t i = 0; i < s->threads_n; i++) {
        struct resp_thread *th = &s->threads[i];
        if (__atomic_load_n(&th->waiting, __ATOMIC_SEQ_CST) &&
            !__atomic_exchange_n(&th->durable_posted, 1, __ATOMIC_SEQ_CST))
            reactor_post(th->reactor, &th->durable_task);
    }
}

/* After a failed write nothing will be acknowledged any more: the clients must not wait for ever.
 */
static void resp_server_give_up(struct resp_thread *th)
{
    struct resp_wait *w = th->held.first;
    if (w == NULL || store_trouble(th->srv->st) == NULL)
        return;
    uint64_t safe = store_safe_lsn(th->srv->st);
    for (; w != NULL; w = w->next) {
        struct resp_client *c = CONTAINER_OF(w, struct resp_client, in_held);
        if (c->wait_lsn > safe)
            conn_abort(c->conn);
    }
}

/* ---- CLIENT PAUSE ---- */

static void resp_server_resume(struct resp_thread *th)
{
    size_t n = 0;
    for (struct resp_wait *w = th->paused.first; w != NULL; w = w->next)
        n++;
    for (; n > 0; n--) { /* one that is paused again goes to the end */
        struct resp_client *c = CONTAINER_OF(th->paused.first, struct resp_client, in_paused);
        resp_lock(th);
        resp_wait_remove(&th->paused, &c->in_paused);
        c->flags &= ~(uint32_t)CL_PAUSED;
        th->srv->paused_n--;
        resp_unlock(th);
        conn_resume(c->conn);
        if (th->paused.first == NULL)
            break;
    }
}

static void resp_server_on_resume(struct net_task *t, struct reactor *r)
{
    (void)r;
    struct resp_thread *th = CONTAINER_OF(t, struct resp_thread, resume_task);
    __atomic_store_n(&th->resume_posted, 0, __ATOMIC_SEQ_CST);
    resp_server_resume(th);
}

void resp_resume_all(struct resp_server *s)
{
    for (size_t i = 0; i < s->threads_n; i++) {
        struct resp_thread *th = &s->threads[i];
        if (!__atomic_exchange_n(&th->resume_posted, 1, __ATOMIC_SEQ_CST))
            reactor_post(th->reactor, &th->resume_task);
    }
}

/* ---- CLIENT KILL of another client ---- */

struct resp_server_kill {
    struct net_task task;
    struct conn_ref ref;
};

static void resp_server_on_kill(struct net_task *t, struct reactor *r)
{
    (void)r;
    struct resp_server_kill *k = CONTAINER_OF(t, struct resp_server_kill, task);
    struct conn *conn = conn_ref_get(k->ref);
    if (conn != NULL)
        conn_abort(conn);
    mem_free(k);
}

void resp_kill(struct resp_client *victim)
{
    struct resp_server_kill *k = mem_zalloc(sizeof *k);
    k->task.run = resp_server_on_kill;
    k->ref = conn_ref(victim->conn);
    reactor_post(victim->th->reactor, &k->task);
}

/* ---- the round ---- */

static uint64_t resp_server_commands(const struct resp_server *s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s->threads_n; i++)
        n += s->threads[i].commands;
    return n;
}

static void resp_server_sample(struct resp_server *s)
{
    uint64_t n = resp_server_commands(s);
    s->ops_sample[s->ops_at++ % RESP_OPS_SAMPLES] = n - s->ops_last;
    s->ops_last = n;
}

static void resp_server_cron(struct net_timer *t, struct reactor *r)
{
    struct resp_thread *th = CONTAINER_OF(t, struct resp_thread, cron);
    struct resp_server *s = th->srv;
    timer_arm(r, t, RESP_SERVER_CRON_MS);
    resp_server_give_up(th);
    resp_lock(th);
    bool resume = th->paused.first != NULL && s->pause_until_ms <= store_now_ms(s->st);
    if (th->index == 0)
        resp_server_sample(s);
    resp_unlock(th);
    if (th->index == 0)
        resp_server_tick_rate(s);
    if (resume)
        resp_server_resume(th);
}

/* ---- start and stop ---- */

static void resp_server_thread_open(struct resp_server *s, struct resp_thread *th,
                                    struct reactor *r, int index)
{
    th->srv = s;
    th->reactor = r;
    th->index = index;
    buf_init(&th->sink, RESP_SERVER_OUT_MAX);
    buf_init(&th->scratch, RESP_SERVER_OUT_MAX);
    buf_init(&th->self, RESP_SERVER_OUT_MAX);
    buf_init(&th->inbox, RESP_SERVER_OUT_MAX);
    buf_init(&th->inbox_work, RESP_SERVER_OUT_MAX);
    arena_init(&th->arena, 4096, 0);
    th->stats = mem_zalloc(resp_rows_n() * sizeof *th->stats);
    th->durable_task.run = resp_server_on_durable;
    th->inbox_task.run = resp_server_on_inbox;
    th->resume_task.run = resp_server_on_resume;
    th->cron.fire = resp_server_cron;
    reactor_set_ctx(r, REACTOR_CTX_RESP, th);
    reactor_on_turn(r, resp_server_on_turn, th);
    timer_arm(r, &th->cron, RESP_SERVER_CRON_MS);
}

/* The reactor is closed already, and its clients with it. */
static void resp_server_thread_close(struct resp_thread *th)
{
    buf_free(&th->sink);
    buf_free(&th->scratch);
    buf_free(&th->self);
    buf_free(&th->inbox);
    buf_free(&th->inbox_work);
    arena_free(&th->arena);
    mem_free(th->stats);
}

struct resp_server *resp_server_open(const struct resp_opts *o, struct reactor **reactors, size_t n)
{
    struct resp_server *s = mem_zalloc(sizeof *s);
    s->st = o->store;
    s->opts = *o;
    s->version = mem_strdup(o->version != NULL ? o->version : "0");
    s->redis_version = mem_strdup(o->redis_version != NULL ? o->redis_version : "7.2.4");
    s->opts.user = slice_own(o->user.n > 0 ? o->user : S("default"));
    s->password = slice_own(o->password);
    s->opts.password = slice_of("", 0);
    s->limits = o->limits.args_max > 0 ? o->limits : *resp_limits_default();
    s->opts.limits = s->limits;
    if (s->opts.maxclients == 0)
        s->opts.maxclients = 10000;
    s->start_ms = s->save_ms = clock_wall_ms();
    s->tick0 = resp_ticks();
    s->tick0_ns = clock_mono_ns();
    atomic_store(&s->ns_per_kitick, 1024);
    rand_text(s->run_id, 40, S("0123456789abcdef"));
    s->index = resp_index_open();
    s->active_expire = true;
    map_init(&s->shards);
    buf_init(&s->letter, 0);
    s->slow = slow_open();
    s->latency = latency_open();
    config_open(s);
    clock_sleep_ms(1);
    resp_server_tick_rate(s);
    s->threads = mem_zalloc(n * sizeof *s->threads);
    s->threads_n = n;
    for (size_t i = 0; i < n; i++)
        resp_server_thread_open(s, &s->threads[i], reactors[i], (int)i);
    return s;
}

void resp_server_close(struct resp_server *s)
{
    MUST(s->clients == NULL); /* the listeners and reactors have stopped */
    for (size_t i = 0; i < s->threads_n; i++)
        resp_server_thread_close(&s->threads[i]);
    mem_free(s->threads);
    config_close(s);
    slow_close(s->slow);
    latency_close(s->latency);
    map_free(&s->shards);
    buf_free(&s->letter);
    resp_index_close(s->index);
    mem_wipe((void *)(uintptr_t)s->password.p, s->password.n);
    slice_disown(&s->password);
    slice_disown(&s->opts.user);
    mem_free(s->version);
    mem_free(s->redis_version);
    mem_free(s);
}

/* ---- metrics ---- */

static uint64_t resp_server_metric_clients(void *ctx)
{
    const struct resp_server *s = ctx;
    return __atomic_load_n(&s->clients_n, __ATOMIC_RELAXED);
}

static uint64_t resp_server_metric_commands(void *ctx)
{
    const struct resp_server *s = ctx;
    uint64_t n = 0;
    for (size_t i = 0; i < s->threads_n; i++)
        n += __atomic_load_n(&s->threads[i].commands, __ATOMIC_RELAXED);
    return n;
}

static uint64_t resp_server_metric_errors(void *ctx)
{
    const struct resp_server *s = ctx;
    uint64_t n = 0;
    for (size_t i = 0; i < s->threads_n; i++)
        n += __atomic_load_n(&s->threads[i].error_replies, __ATOMIC_RELAXED);
    return n;
}

void resp_metrics_join(struct resp_server *s)
{
    static struct metric rows[] = {
        {.name = "postern_redis_clients",
         .help = "Connections to the Redis listener.",
         .kind = METRIC_GAUGE,
         .read = resp_server_metric_clients},
        {.name = "postern_redis_commands_total",
         .help = "Commands run for Redis clients.",
         .kind = METRIC_COUNTER,
         .read = resp_server_metric_commands},
        {.name = "postern_redis_errors_total",
         .help = "Error replies to Redis clients.",
         .kind = METRIC_COUNTER,
         .read = resp_server_metric_errors},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        rows[i].ctx = s;
    metric_join(rows, ARRAY_LEN(rows));
}
