/*
 * step_calls.h - for tests of steps that call out: a context of p.h with a fetcher, on a reactor thread of its
 * own. sc_use loads a text there, sc_ask asks one question and waits (long) for the answer, which is copied.
 */
#ifndef UNIT_POLICY_STEP_CALLS_H
#define UNIT_POLICY_STEP_CALLS_H

#include "net/fetch.h"
#include "p.h"

#include <pthread.h>
#include <unistd.h>

struct sc_call {
    bool waited, allowed;
    int status, done;
    char reason[64], body[200], upstream[500], client[500], removed[500];
};
static struct {
    struct reactor *reactor;
    struct fetcher *fetcher;
    pthread_t thread;
    struct net_task task;
    const char *text, *body;
    const char *const *headers;
    struct sc_call call;
    bool loaded;
    bool gateway; /* the question has all that Envoy can say */
    int done;
} sc;

static inline UNUSED void *sc_thread(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static inline UNUSED void sc_do(void (*run)(struct net_task *t, struct reactor *r))
{
    sc.task = (struct net_task){.run = run};
    sc.done = 0;
    reactor_post(sc.reactor, &sc.task);
    for (int i = 0; i < 60000 && !__atomic_load_n(&sc.done, __ATOMIC_SEQ_CST); i++)
        usleep(1000);
    MUST(__atomic_load_n(&sc.done, __ATOMIC_SEQ_CST));
}

static inline UNUSED void sc_run_use(struct net_task *t, struct reactor *r)
{
    struct fetcher_opts o = {.reactor = r};
    (void)t;
    if (!sc.fetcher)
        sc.fetcher = fetcher_open(&o);
    sc.loaded = p_use(sc.text);
    if (sc.loaded)
        p.ctx->opts.fetcher = sc.fetcher;
    __atomic_store_n(&sc.done, 1, __ATOMIC_SEQ_CST);
}

static inline UNUSED bool sc_use(const char *text)
{
    sc.text = text;
    sc_do(sc_run_use);
    return sc.loaded;
}

static inline UNUSED void sc_list(char *dst, size_t cap, const struct policy_header *h, size_t n)
{
    size_t at = 0;
    dst[0] = '\0';
    for (size_t i = 0; i < n && at < cap; i++)
        at += (size_t)snprintf(dst + at, cap - at, "%.*s: %.*s|", SFMT(h[i].name), SFMT(h[i].value));
}

static inline UNUSED void sc_answered(void *user, const struct policy_verdict *v)
{
    struct sc_call *c = user;
    size_t at = 0;
    c->allowed = v->allowed;
    c->status = v->status;
    snprintf(c->reason, sizeof c->reason, "%.*s", SFMT(v->reason));
    snprintf(c->body, sizeof c->body, "%.*s", SFMT(v->body));
    sc_list(c->upstream, sizeof c->upstream, v->upstream, v->upstream_n);
    sc_list(c->client, sizeof c->client, v->client, v->client_n);
    for (size_t i = 0; i < v->remove_n && at < sizeof c->removed; i++)
        at += (size_t)snprintf(c->removed + at, sizeof c->removed - at, "%.*s|", SFMT(v->remove[i]));
    __atomic_store_n(&sc.done, 1, __ATOMIC_SEQ_CST);
}

/* What the question points to is overwritten as soon as it was asked. */
/* In bytes that are overwritten once the question is asked. */
static inline UNUSED struct slice sc_kept(char *bytes, size_t *at, const char *text)
{
    struct slice s = slice_of(bytes + *at, strlen(text));
    memcpy(bytes + *at, text, s.n);
    *at += s.n;
    return s;
}

static inline UNUSED void sc_gateway(struct policy_ask *q, char *bytes, size_t *at)
{
    static struct json_member members[3];
    static struct json objects[3];
    static const char *const names[] = {"ext", "filter", "routed"};
    for (int i = 0; i < 3; i++) {
        members[i] = (struct json_member){sc_kept(bytes, at, names[i]), {.kind = JSON_STR, .s = sc_kept(bytes, at, "v")}};
        objects[i] = (struct json){.kind = JSON_OBJ, .n = 1, .members = &members[i]};
    }
    q->extensions = &objects[0];
    q->metadata = &objects[1];
    q->route_metadata = &objects[2];
    q->principal = sc_kept(bytes, at, "spiffe://x/client");
    q->service = sc_kept(bytes, at, "client-cluster");
    q->destination = (struct policy_peer){sc_kept(bytes, at, "198.51.100.4"), 8443, sc_kept(bytes, at, "edge"),
                                          sc_kept(bytes, at, "spiffe://x/gateway")};
    q->sni = sc_kept(bytes, at, "shop.example");
    q->protocol = sc_kept(bytes, at, "HTTP/2");
}

static inline UNUSED void sc_run_ask(struct net_task *t, struct reactor *r)
{
    static char bytes[4096];
    struct http_header h[16];
    struct policy_ask q = {.method = S("GET"), .host = S("h.example"), .target = S("/get?q=1"), .headers = h, .now_ms = p.now_ms, .trace = true};
    struct policy_verdict v;
    size_t at = 0;

    (void)t;
    (void)r;
    q.has_source_ip = ip_parse(S("192.0.2.7"), &q.source_ip);
    for (; sc.headers && sc.headers[q.headers_n]; q.headers_n++) {
        struct slice rest, s = slice_str(sc.headers[q.headers_n]);
        memcpy(bytes + at, s.p, s.n);
        s.p = bytes + at;
        at += s.n;
        h[q.headers_n].name = slice_cut(s, ':', &rest);
        h[q.headers_n].value = slice_trim(rest);
    }
    q.body = slice_str(sc.body);
    if (sc.gateway)
        sc_gateway(&q, bytes, &at);
    policy_begin(p.ctx, p.now_ms);
    if (policy_decide(p.ctx, &q, &v, sc_answered, &sc.call) == RC_OK)
        sc_answered(&sc.call, &v);
    else
        sc.call.waited = true;
    memset(bytes, '#', sizeof bytes);
    memset(h, 0, sizeof h);
}

static inline UNUSED struct sc_call sc_ask(const char *const *headers, const char *body)
{
    memset(&sc.call, 0, sizeof sc.call);
    sc.headers = headers;
    sc.body = body;
    sc_do(sc_run_ask);
    return sc.call;
}

/* The same without waiting. */
static inline UNUSED void sc_send(const char *const *headers, const char *body)
{
    memset(&sc.call, 0, sizeof sc.call);
    sc.headers = headers;
    sc.body = body;
    sc.done = 0;
    sc.task = (struct net_task){.run = sc_run_ask};
    reactor_post(sc.reactor, &sc.task);
}

static inline UNUSED void sc_open(void)
{
    struct err e;
    MUST(reactor_open(0, &sc.reactor, &e) == RC_OK);
    MUST(pthread_create(&sc.thread, NULL, sc_thread, sc.reactor) == 0);
}

static inline UNUSED void sc_close(void)
{
    reactor_stop(sc.reactor);
    pthread_join(sc.thread, NULL);
    if (sc.fetcher)
        fetcher_close(sc.fetcher);
    p_unload();
    reactor_close(sc.reactor);
}

static inline UNUSED struct slice sc_upstream(const struct sc_call *c, const char *name)
{
    char want[80];
    struct slice all = slice_str(c->upstream), rest;
    snprintf(want, sizeof want, "%s: ", name);
    while (all.n > 0) {
        struct slice one = slice_cut(all, '|', &rest);
        if (slice_starts_ci(one, slice_str(want)))
            return slice_from(one, strlen(want));
        all = rest;
    }
    return S("");
}

static inline UNUSED struct slice sc_clients(const struct sc_call *c)
{
    return slice_str(c->client);
}

static inline UNUSED bool sc_removed(const struct sc_call *c, const char *name)
{
    char want[80];
    snprintf(want, sizeof want, "%s|", name);
    return strcasestr(c->removed, want) != NULL;
}

#endif
