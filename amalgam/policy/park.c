/*
 * park.c - a decision that waits for another server: it leaves the batch and comes back later.
 *
 * A step that cannot answer yet sets d->begin and says STEP_WAIT, and keeps nothing. policy_decide then
 * moves the whole decision (question, verdict so far, state) out of the batch's memory into memory of
 * its own and calls begin, which makes d->wait and starts the work. When the work is done, in the
 * same thread and never from inside begin, decision_wake runs the chain on from the same step, which
 * sees d->wait. It may wait again. At the end the door's function gets the verdict and the memory goes.
 *
 * The policy set that the decision began with stays until then, also when another is in force by now.
 * At most PARK_MAX decisions wait per thread; one more is trouble. policy_ctx_close refuses those
 * that still wait; whoever could wake them must be gone by then (the fetcher is closed before).
 * Threads: the context's. Tested by tests/unit/policy/test_park.c.
 */
#include "base/clock.h"
#include "policy/inside.h"

enum { PARK_MAX = 10000, PARK_ARENA_FIRST = 4096, PARK_ARENA_MAX = 64 << 20 };

struct parked {
    struct decision d; /* first: decision_wake gets from one to the other */
    struct policy_ask ask;
    struct policy_verdict v;
    struct arena arena;
    policy_done_fn *done;
    void *user;
    int64_t parked_ms; /* monotonic */
    bool beginning;
    struct parked *next, **link;
};

/* ---- moving ---- */

static void park_slice(struct arena *a, struct slice *s)
{
    *s = s->n ? arena_dup(a, *s) : S("");
}

static void *park_array(struct arena *a, const void *v, size_t n, size_t size)
{
    void *copy;

    if (n == 0)
        return NULL;
    copy = arena_alloc(a, n * size);
    memcpy(copy, v, n * size);
    return copy;
}

static struct policy_header *park_headers(struct arena *a, const struct policy_header *h, size_t n)
{
    struct policy_header *copy = park_array(a, h, n, sizeof *h);

    for (size_t i = 0; i < n; i++) {
        park_slice(a, &copy[i].name);
        park_slice(a, &copy[i].value);
    }
    return copy;
}

static void park_ask(struct arena *a, struct policy_ask *q)
{
    struct http_header *h = park_array(a, q->headers, q->headers_n, sizeof *h);

    for (size_t i = 0; i < q->headers_n; i++) {
        park_slice(a, &h[i].name);
        park_slice(a, &h[i].value);
    }
    q->headers = h;
    park_slice(a, &q->method);
    park_slice(a, &q->host);
    park_slice(a, &q->scheme);
    park_slice(a, &q->target);
    park_slice(a, &q->body);
    struct slice *texts[] = {&q->gateway, &q->principal, &q->service, &q->destination.address, &q->destination.service,
                             &q->destination.principal, &q->sni, &q->protocol};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        park_slice(a, texts[i]);
    q->extensions = json_copy(a, q->extensions);
    q->metadata = json_copy(a, q->metadata);
    q->route_metadata = json_copy(a, q->route_metadata);
}

static void park_verdict(struct arena *a, struct policy_verdict *v)
{
    v->upstream = park_headers(a, v->upstream, v->upstream_n);
    v->client = park_headers(a, v->client, v->client_n);
    v->remove = park_array(a, v->remove, v->remove_n, sizeof *v->remove);
    for (size_t i = 0; i < v->remove_n; i++)
        park_slice(a, &v->remove[i]);
    v->params_remove = park_array(a, v->params_remove, v->params_remove_n, sizeof *v->params_remove);
    for (size_t i = 0; i < v->params_remove_n; i++)
        park_slice(a, &v->params_remove[i]);
    v->metadata = park_array(a, v->metadata, v->metadata_n, sizeof *v->metadata);
    for (size_t i = 0; i < v->metadata_n; i++) {
        park_slice(a, &v->metadata[i].space);
        park_slice(a, &v->metadata[i].name);
        v->metadata[i].value = json_copy(a, v->metadata[i].value);
    }
    v->trace = park_array(a, v->trace, v->trace_n, sizeof *v->trace);
    for (size_t i = 0; i < v->trace_n; i++)
        park_slice(a, &v->trace[i].detail); /* the other texts are the set's */
    v->limits = park_array(a, v->limits, v->limits_n, sizeof *v->limits);
    for (size_t i = 0; i < v->limits_n; i++) {
        park_slice(a, &v->limits[i].name);
        park_slice(a, &v->limits[i].counter);
    }
    park_slice(a, &v->words);
    park_slice(a, &v->body);
    park_slice(a, &v->user);
    park_slice(a, &v->plan);
    park_slice(a, &v->key_uuid);
    park_slice(a, &v->reason);
}

static const struct key_entry *park_key(struct arena *a, const struct key_entry *k)
{
    struct key_entry *copy = park_array(a, k, k != NULL, sizeof *k);
    struct field_pair *meta;

    if (!copy)
        return NULL;
    meta = park_array(a, k->meta, k->meta_n, sizeof *meta);
    for (size_t i = 0; i < k->meta_n; i++) {
        park_slice(a, &meta[i].name);
        park_slice(a, &meta[i].value);
    }
    copy->meta = meta;
    park_slice(a, &copy->hash);
    park_slice(a, &copy->uuid);
    return copy;
}

static void park_mark(struct arena *a, struct decision_mark *m)
{
    m->upstream = park_headers(a, m->upstream, m->upstream ? m->upstream_n : 0);
    m->key = park_key(a, m->key);
    park_slice(a, &m->user);
    park_slice(a, &m->plan);
    park_slice(a, &m->key_uuid);
}

static void park_decision(struct arena *a, struct decision *d)
{
    park_slice(a, &d->host);
    park_slice(a, &d->path);
    park_slice(a, &d->query);
    d->key = park_key(a, d->key);
    d->state = park_array(a, d->state, d->state_n, sizeof *d->state);
    for (size_t i = 0; i < d->state_n; i++) {
        park_slice(a, &d->state[i].name);
        d->state[i].value = json_copy(a, d->state[i].value);
    }
    d->state_cap = d->state_n;
    d->upstream_cap = d->v->upstream_n;
    d->remove_cap = d->v->remove_n;
    d->client_cap = d->v->client_n;
    d->trace_cap = d->v->trace_n;
    d->metadata_cap = d->v->metadata_n;
    d->params_remove_cap = d->v->params_remove_n;
    if (d->said)
        d->said = park_array(a, d->said, d->said_n, 1);
    park_mark(a, &d->mark);
    park_mark(a, &d->step_mark);
    d->denial.client = park_headers(a, d->denial.client, d->denial.client_n);
    park_slice(a, &d->denial.words);
    park_slice(a, &d->denial.body);
    park_slice(a, &d->denial.reason);
}

/* ---- waiting ---- */

static void park_link(struct parked *p)
{
    struct policy_ctx *c = p->d.c;

    p->next = c->parked;
    p->link = &c->parked;
    if (p->next)
        p->next->link = &p->next;
    c->parked = p;
    c->parked_n++;
    p->d.rt->parked++;
}

static void park_free(struct parked *p)
{
    struct policy_ctx *c = p->d.c;

    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    c->parked_n--;
    p->d.rt->parked--;
    ctx_drop_idle(c);
    arena_free(&p->arena);
    mem_free(p);
}

static void park_begin(struct parked *p)
{
    void (*begin)(struct decision *d) = p->d.begin;

    MUST(begin != NULL); /* a step that waits says what for */
    p->d.begin = NULL;
    p->beginning = true;
    begin(&p->d);
    p->beginning = false;
}

enum rc decision_park(struct decision *from, policy_done_fn *done, void *user)
{
    struct parked *p;

    if (!done || from->c->parked_n >= PARK_MAX) {
        decision_deny(from, 503, done ? S("too_many_waiting") : S("cannot_wait"),
                      done ? S("too many requests wait for other servers")
                           : S("this question cannot wait for another server"), S(""));
        return RC_BUSY;
    }
    p = mem_zalloc(sizeof *p);
    arena_init(&p->arena, PARK_ARENA_FIRST, PARK_ARENA_MAX);
    p->d = *from;
    p->ask = *from->ask;
    p->v = *from->v;
    p->d.ask = &p->ask;
    p->d.v = &p->v;
    p->d.arena = &p->arena;
    p->done = done;
    p->user = user;
    p->parked_ms = clock_mono_ms();
    park_ask(&p->arena, &p->ask);
    park_verdict(&p->arena, &p->v);
    park_decision(&p->arena, &p->d);
    park_link(p);
    park_begin(p);
    return RC_AGAIN;
}

/* The chain goes on at the time that it is now: what was asked plus what has passed since. */
void decision_wake(struct decision *d)
{
    struct parked *p = CONTAINER_OF(d, struct parked, d);

    MUST(!p->beginning);
    d->c->now_ms = MAX(d->c->now_ms, p->ask.now_ms + clock_mono_ms() - p->parked_ms);
    if (!decide_chain(d)) {
        park_verdict(&p->arena, &p->v); /* steps took things from the thread's caches meanwhile */
        park_decision(&p->arena, d);
        park_begin(p);
        return;
    }
    decision_end(d);
    p->done(p->user, &p->v);
    park_free(p);
}

void park_end_all(struct policy_ctx *c)
{
    while (c->parked) {
        struct parked *p = c->parked;
        decision_deny(&p->d, 503, S("stopping"), S("Postern is stopping"), S(""));
        p->v.upstream_n = p->v.remove_n = 0;
        p->done(p->user, &p->v);
        park_free(p);
    }
}
