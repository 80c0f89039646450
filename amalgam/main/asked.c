/*
 * asked.c - questions to the reactor threads from threads that may block: about their last decisions, and
 * how a request of the portal's page is decided.
 *
 * Each reactor keeps its own ring (policy/explain.h) and no lock guards it: a task is posted to every one,
 * answers in its thread, and the asker waits for all of them on a pipe, two seconds at most. The question
 * belongs to whoever lets go of it last. One that no ring has any more is looked for in the log of decisions. Called by the control thread and the portal's workers.
 * Tested by tests/box/test_explain.py.
 */
#include "base/mem.h"
#include "base/os.h"
#include "main/app.h"
#include "main/decisions.h"
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <unistd.h>

#define ASKED_WAIT_MS 2000
#define ASKED_DECIDE_MS 15000
#define ASKED_BYTES_MAX ((size_t)1024 * 1024)

enum { ASKED_DECIDE_MAX = 2, ASKED_LOOK_MS = 250 };

struct asked_part {
    struct net_task task;
    struct asked *of;
    struct buf json;
    bool found;
};
struct asked {
    char id[16];
    bool one, denied_only;
    size_t max, n;
    int pipe[2];
    _Atomic int holders; /* the asker and every task */
    struct asked_part parts[];
};

static void asked_drop(struct asked *q)
{
    if (atomic_fetch_sub(&q->holders, 1) > 1)
        return;
    for (size_t i = 0; i < q->n; i++)
        buf_free(&q->parts[i].json);
    close(q->pipe[0]);
    close(q->pipe[1]);
    mem_free(q);
}

static void asked_run(struct net_task *t, struct reactor *r)
{
    struct asked_part *p = CONTAINER_OF(t, struct asked_part, task);
    struct policy_ctx *c = reactor_ctx(r, REACTOR_CTX_MAIN);
    struct asked *q = p->of;
    ssize_t told;
    if (q->one)
        p->found = policy_explain(c, slice_of(q->id, sizeof q->id), &p->json);
    else
        p->found = policy_recent(c, q->denied_only, q->max, &p->json) > 0;
    told = write(q->pipe[1], "", 1);
    (void)told; /* the asker has a deadline */
    asked_drop(q);
}

/* Threads of the portal and of the control socket may outlive the reactors by a moment. False: too late. */
static bool asked_send(struct app *a, size_t worker, struct net_task *t)
{
    lock_take(&a->resp_lock);
    bool there = !a->reactors_gone;
    if (there)
        reactor_post(a->reactors[worker], t);
    lock_drop(&a->resp_lock);
    return there;
}

static struct asked *asked_post(struct app *a, const struct asked *like)
{
    struct asked *q = mem_zalloc(sizeof *q + a->workers * sizeof q->parts[0]);
    *q = *like;
    q->n = a->workers;
    if (pipe2(q->pipe, O_CLOEXEC) != 0) {
        mem_free(q);
        return NULL;
    }
    atomic_init(&q->holders, (int)a->workers + 1);
    for (size_t i = 0; i < q->n; i++) {
        q->parts[i] = (struct asked_part){.task.run = asked_run, .of = q};
        buf_init(&q->parts[i].json, ASKED_BYTES_MAX);
        if (!asked_send(a, i, &q->parts[i].task))
            asked_drop(q); /* never the last one: the asker holds it, too */
    }
    return q;
}

/* False when not all have answered in time. */
static bool asked_wait(struct asked *q)
{
    int64_t until = clock_mono_ms() + ASKED_WAIT_MS;
    for (size_t i = 0; i < q->n;) {
        struct pollfd p = {.fd = q->pipe[0], .events = POLLIN};
        int64_t left = until - clock_mono_ms();
        char c;
        if (left <= 0)
            return false;
        if (poll(&p, 1, (int)left) > 0 && read(q->pipe[0], &c, 1) == 1)
            i++;
    }
    return true;
}

static enum rc asked_all(struct app *a, const struct asked *like, struct buf *out, struct err *e)
{
    bool found = false;
    if (a->workers == 0 || !a->ready)
        return err_set(e, RC_NOTFOUND, "decisions are kept by a running Postern, and none serves this data directory");
    struct asked *q = asked_post(a, like);
    if (!q)
        return err_set(e, RC_IO, "no pipe could be made");
    if (!asked_wait(q)) {
        asked_drop(q);
        return err_set(e, RC_TIMEOUT, "the doors are too busy to answer; try again");
    }
    for (size_t i = 0; i < q->n; i++) {
        if (!q->parts[i].found || (found && q->one))
            continue;
        if (found)
            buf_byte(out, ',');
        buf_slice(out, buf_all(&q->parts[i].json));
        found = true;
    }
    asked_drop(q);
    return found || !like->one ? RC_OK
                               : err_set(e, RC_NOTFOUND, "no such decision is kept (any more); check.explain says how many are, decisions.file keeps more");
}

enum rc app_explain(void *ctx, struct slice id, struct buf *out, struct err *e)
{
    struct asked q = {.one = true};
    if (id.n != sizeof q.id)
        return err_set(e, RC_BADINPUT, "a decision id has 16 hexadecimal digits");
    memcpy(q.id, id.p, sizeof q.id);
    enum rc rc = asked_all(ctx, &q, out, e);
    if (rc == RC_NOTFOUND && decisions_find(((struct app *)ctx)->settings, id, out) == RC_OK)
        return RC_OK;
    return rc;
}

enum rc app_recent(void *ctx, bool denied_only, size_t max, struct buf *out, struct err *e)
{
    struct asked q = {.denied_only = denied_only, .max = max};
    buf_byte(out, '[');
    enum rc rc = asked_all(ctx, &q, out, e);
    buf_byte(out, ']');
    return rc;
}

/* ---- a question of the portal's page: decided like a gateway's, where steps can ask other servers ---- */

struct asked_decide {
    struct net_task task;
    struct arena arena;
    struct policy_ask ask;
    struct buf json;
    int pipe[2];
    _Atomic int holders; /* the asker, and the task or the decision that waits */
};

static void asked_decide_drop(struct asked_decide *q)
{
    if (atomic_fetch_sub(&q->holders, 1) > 1)
        return;
    mem_wipe(q->json.p, q->json.n);
    buf_free(&q->json);
    arena_free(&q->arena);
    close(q->pipe[0]);
    close(q->pipe[1]);
    mem_free(q);
}

static void asked_decided(void *user, const struct policy_verdict *v)
{
    struct asked_decide *q = user;
    ssize_t told;
    policy_verdict_json(v, true, &q->json);
    told = write(q->pipe[1], "", 1);
    (void)told; /* the asker has a deadline */
    asked_decide_drop(q);
}

static void asked_decide_run(struct net_task *t, struct reactor *r)
{
    struct asked_decide *q = CONTAINER_OF(t, struct asked_decide, task);
    struct policy_ctx *c = reactor_ctx(r, REACTOR_CTX_MAIN);
    struct policy_verdict v;
    policy_begin(c, q->ask.now_ms);
    if (policy_decide(c, &q->ask, &v, asked_decided, q) != RC_AGAIN)
        asked_decided(q, &v);
}

static struct asked_decide *asked_decide_make(const struct policy_ask *from)
{
    struct asked_decide *q = mem_zalloc(sizeof *q);
    struct http_header *h;
    if (pipe2(q->pipe, O_CLOEXEC) != 0) {
        mem_free(q);
        return NULL;
    }
    arena_init(&q->arena, 1024, ASKED_BYTES_MAX);
    buf_init(&q->json, ASKED_BYTES_MAX);
    q->ask = *from;
    h = ARENA_ARRAY(&q->arena, struct http_header, from->headers_n + 1);
    for (size_t i = 0; i < from->headers_n; i++)
        h[i] = (struct http_header){arena_dup(&q->arena, from->headers[i].name),
                                    arena_dup(&q->arena, from->headers[i].value)};
    q->ask.headers = h;
    q->ask.method = arena_dup(&q->arena, from->method);
    q->ask.host = arena_dup(&q->arena, from->host);
    q->ask.scheme = arena_dup(&q->arena, from->scheme);
    q->ask.target = arena_dup(&q->arena, from->target);
    atomic_init(&q->holders, 2);
    q->task.run = asked_decide_run;
    return q;
}

static bool asked_decide_wait(const struct app *a, const struct asked_decide *q)
{
    int64_t until = clock_mono_ms() + ASKED_DECIDE_MS;
    while (!a->stopping && clock_mono_ms() < until) {
        struct pollfd p = {.fd = q->pipe[0], .events = POLLIN};
        char c;
        if (poll(&p, 1, ASKED_LOOK_MS) > 0 && read(q->pipe[0], &c, 1) == 1) /* what was written before is seen */
            return true;
    }
    return false;
}

enum rc app_decide(void *ctx, const struct policy_ask *from, struct buf *json, struct err *e)
{
    struct app *a = ctx;
    enum rc rc = RC_OK;
    if (a->workers == 0 || !a->ready)
        return err_set(e, RC_BUSY, "the doors are not open");
    if (atomic_fetch_add(&a->deciding, 1) >= ASKED_DECIDE_MAX) { /* the page's other requests need threads too */
        atomic_fetch_sub(&a->deciding, 1);
        return err_set(e, RC_BUSY, "others ask just now");
    }
    struct asked_decide *q = asked_decide_make(from);
    if (!q) {
        rc = err_set(e, RC_IO, "no pipe could be made");
    } else {
        bool sent = asked_send(a, (size_t)from->now_ms % a->workers, &q->task);
        if (!sent)
            asked_decide_drop(q); /* the task's share */
        if (sent && asked_decide_wait(a, q))
            buf_slice(json, buf_all(&q->json));
        else
            rc = err_set(e, RC_TIMEOUT, "a step waits for another server");
        asked_decide_drop(q);
    }
    atomic_fetch_sub(&a->deciding, 1);
    return rc;
}
#undef ASKED_WAIT_MS
#undef ASKED_DECIDE_MS
#undef ASKED_BYTES_MAX
