/*
 * pwait.h - for tests of steps that wait: a context of p.h on a reactor thread of its own, with a pool.
 *
 * pw_open starts the thread, pw_use loads a text there, pw_send asks without waiting for the answer,
 * pw_join waits for it (long), pw_ask is both. An answer is copied: struct pw_call.
 */
#ifndef UNIT_POLICY_PWAIT_H
#define UNIT_POLICY_PWAIT_H

#include "net/pool.h"
#include "p.h"

#include <pthread.h>
#include <unistd.h>

struct pw_call {
    struct net_task task;
    const char *target, *body;
    const char *headers[16];
    bool waited, allowed, cannot_wait;
    int status, done;
    char reason[48], user[80], challenge[120], x_user[80], detail[200];
    bool auth_removed, x_user_removed;
    size_t body_n;
};
static struct {
    struct reactor *reactor;
    struct pool *pool;
    pthread_t thread;
    const char *text;
    int used;
} pw;

static inline UNUSED void *pw_thread(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static inline UNUSED void pw_open(int threads, size_t queue)
{
    struct err e = {0};
    MUST(reactor_open(0, &pw.reactor, &e) == RC_OK);
    pw.pool = threads ? pool_open(threads, queue) : NULL;
    MUST(pthread_create(&pw.thread, NULL, pw_thread, pw.reactor) == 0);
}

static inline UNUSED void pw_until(const int *flag)
{
    for (int i = 0; i < 60000 && !__atomic_load_n(flag, __ATOMIC_SEQ_CST); i++)
        usleep(1000);
    MUST(__atomic_load_n(flag, __ATOMIC_SEQ_CST));
}

static inline UNUSED void pw_run_use(struct net_task *t, struct reactor *r)
{
    (void)t;
    MUST(p_use(pw.text));
    p.ctx->opts.reactor = r;
    p.ctx->opts.pool = pw.pool;
    __atomic_store_n(&pw.used, 1, __ATOMIC_SEQ_CST);
}

static inline UNUSED void pw_use(const char *text)
{
    static struct net_task t;
    t = (struct net_task){.run = pw_run_use};
    pw.text = text;
    pw.used = 0;
    reactor_post(pw.reactor, &t);
    pw_until(&pw.used);
}

static inline UNUSED void pw_run_unload(struct net_task *t, struct reactor *r)
{
    (void)t;
    (void)r;
    p_unload();
    __atomic_store_n(&pw.used, 1, __ATOMIC_SEQ_CST);
}

static inline UNUSED void pw_unload(void) /* while checks may be under way */
{
    static struct net_task t;
    t = (struct net_task){.run = pw_run_unload};
    pw.used = 0;
    reactor_post(pw.reactor, &t);
    pw_until(&pw.used);
}

static inline UNUSED void pw_close(void)
{
    reactor_stop(pw.reactor);
    pthread_join(pw.thread, NULL);
    pool_close(pw.pool);
    reactor_close(pw.reactor);
    p_unload();
    memset(&pw, 0, sizeof pw);
}

#define PW_TEXT(dst, s) ((void)snprintf(dst, sizeof dst, "%.*s", SFMT(s)))

static inline UNUSED void pw_done(void *user, const struct policy_verdict *v)
{
    struct pw_call *c = user;
    c->allowed = v->allowed;
    c->status = v->status;
    c->body_n = v->body.n;
    PW_TEXT(c->reason, v->reason);
    PW_TEXT(c->user, v->user);
    PW_TEXT(c->challenge, p_client(v, "www-authenticate"));
    PW_TEXT(c->x_user, p_upstream(v, "x-user"));
    PW_TEXT(c->detail, v->trace_n ? v->trace[v->trace_n - 1].detail : S(""));
    c->auth_removed = p_removed(v, "authorization");
    c->x_user_removed = p_removed(v, "x-user");
    __atomic_store_n(&c->done, 1, __ATOMIC_SEQ_CST);
}

static inline UNUSED void pw_run_ask(struct net_task *t, struct reactor *r)
{
    struct pw_call *c = CONTAINER_OF(t, struct pw_call, task);
    struct http_header h[16];
    struct policy_ask q = {.method = S("GET"), .host = S("h.example"), .target = slice_str(c->target),
                           .body = slice_str(c->body), .headers = h, .now_ms = p.now_ms, .trace = true};
    struct policy_verdict v;

    (void)r;
    for (; c->headers[q.headers_n]; q.headers_n++) {
        struct slice rest, s = slice_str(c->headers[q.headers_n]);
        h[q.headers_n].name = slice_cut(s, ':', &rest);
        h[q.headers_n].value = slice_trim(rest);
    }
    policy_begin(p.ctx, p.now_ms);
    if (policy_decide(p.ctx, &q, &v, c->cannot_wait ? NULL : pw_done, c) == RC_OK)
        pw_done(c, &v);
    else
        c->waited = true;
}

static inline UNUSED void pw_send(struct pw_call *c, const char *target, const char *const *headers)
{
    size_t n = 0;
    for (; headers && headers[n]; n++)
        c->headers[n] = headers[n];
    c->headers[n] = NULL;
    c->target = target;
    c->task.run = pw_run_ask;
    c->done = 0;
    c->waited = false;
    reactor_post(pw.reactor, &c->task);
}

static inline UNUSED void pw_join(struct pw_call *c)
{
    pw_until(&c->done);
}

static inline UNUSED struct pw_call pw_ask(const char *target, const char *const *headers)
{
    static struct pw_call c;
    memset(&c, 0, sizeof c);
    pw_send(&c, target, headers);
    pw_join(&c);
    return c;
}

/* A job that holds a thread of the pool until the gate opens. */
static int pw_gate, pw_held, pw_freed;
static inline UNUSED void pw_gate_work(struct pool_job *j)
{
    (void)j;
    __atomic_add_fetch(&pw_held, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&pw_gate, __ATOMIC_SEQ_CST))
        usleep(1000);
}
static inline UNUSED void pw_gate_done(struct pool_job *j, struct reactor *r)
{
    (void)j;
    (void)r;
    __atomic_store_n(&pw_freed, 1, __ATOMIC_SEQ_CST);
}
static inline UNUSED void pw_gate_shut(struct pool_job *j)
{
    pw_gate = 1;
    pw_held = pw_freed = 0;
    *j = (struct pool_job){.work = pw_gate_work, .done = pw_gate_done};
    MUST(pool_submit(pw.pool, pw.reactor, j) == RC_OK);
    pw_until(&pw_held);
}
static inline UNUSED void pw_gate_open(void) /* the job's struct is free again */
{
    __atomic_store_n(&pw_gate, 0, __ATOMIC_SEQ_CST);
    pw_until(&pw_freed);
}

#endif
