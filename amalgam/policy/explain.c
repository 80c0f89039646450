/*
 * explain.c - the ring of explained decisions, and the queue of those for the log.
 *
 * The queue has one writer, the context's thread, which copies a decision into it, and one reader, which makes
 * lines of it: neither waits for the other. When the reader is slow and the queue is full, decisions are
 * left out and counted. The writer tells the reader once when the queue is half full.
 *
 * Written at the end of every decision by decide.c, read by `postern eval --explain`, the portal's
 * request page and /admin/v1 in the same thread (main/ posts the question to each reactor).
 * Tested by tests/unit/policy/test_explain.c and tests/box/test_explain.py.
 */
#include "policy/explain.h"
#include "policy/inside.h"

enum { EXPLAIN_STEPS_MAX = 12, EXPLAIN_TEXT_MAX = 200, EXPLAIN_SPACE = 1024, EXPLAIN_TEXT_USUAL = 384 };

struct explain_text {
    uint16_t at, n;
};
struct explain_step {
    struct explain_text step, policy, rule, said, detail;
    uint32_t took_us_tenths;
};
struct explain_slot {
    char id[16];
    int64_t at_ms;
    int64_t took_ns;
    uint16_t status, used, steps_n;
    bool there, allowed;
    struct explain_text reason, words, rule, route, user, plan, key, method, host, path;
    struct explain_step steps[EXPLAIN_STEPS_MAX];
    char text[EXPLAIN_SPACE];
};
struct explain {
    size_t n, next;
    bool kept;                  /* false: there is one slot, for what goes into the queue */
    struct explain_slot *slots;
    struct policy_log log;
    struct explain_slot *queue; /* log.slots */
    uint64_t put, taken, lost;  /* atomics; of all time */
    uint64_t lost_told;         /* the reader's */
};

struct explain *explain_open(size_t n, const struct policy_log *log)
{
    struct explain *x;

    if (n == 0 && log->slots == 0)
        return NULL;
    x = mem_zalloc(sizeof *x);
    x->kept = n > 0;
    x->n = MAX(n, (size_t)1);
    x->slots = mem_zalloc(x->n * sizeof *x->slots);
    x->log = *log;
    if (log->slots)
        x->queue = mem_zalloc(log->slots * sizeof *x->queue);
    return x;
}

void explain_close(struct explain *x)
{
    if (!x)
        return;
    mem_free(x->queue);
    mem_free(x->slots);
    mem_free(x);
}

/* The ring is larger than the processor's near caches: its next slot is fetched while the decision is made. */
void explain_expect(const struct explain *x)
{
    const char *s = (const char *)&x->slots[x->next];

    for (size_t i = 0; i < offsetof(struct explain_slot, text) + EXPLAIN_TEXT_USUAL; i += 64)
        __builtin_prefetch(s + i, 1);
}

static struct explain_text explain_keep(struct explain_slot *s, struct slice text)
{
    size_t n = MIN(text.n, (size_t)EXPLAIN_TEXT_MAX);
    struct explain_text t = {s->used, 0};

    n = MIN(n, sizeof s->text - s->used);
    if (n == 0)
        return t;
    memcpy(s->text + s->used, text.p, n);
    s->used = (uint16_t)(s->used + n);
    t.n = (uint16_t)n;
    return t;
}

static void explain_steps(struct explain_slot *s, const struct policy_verdict *v)
{
    s->steps_n = (uint16_t)MIN(v->trace_n, (size_t)EXPLAIN_STEPS_MAX);
    for (size_t i = 0; i < s->steps_n; i++) {
        const struct policy_trace *t = &v->trace[i];
        struct explain_step *k = &s->steps[i];
        k->step = explain_keep(s, t->step);
        k->said = explain_keep(s, t->said);
        k->policy = explain_keep(s, t->policy);
        k->rule = explain_keep(s, t->rule);
        k->detail = explain_keep(s, t->detail);
        k->took_us_tenths = (uint32_t)MIN(MAX(t->took_ns, 0) / 100, (int64_t)UINT32_MAX);
    }
}

static void explain_queue(struct explain *x, const struct explain_slot *s)
{
    uint64_t put = x->put, held = put - __atomic_load_n(&x->taken, __ATOMIC_ACQUIRE);

    if (x->log.slots == 0 || (x->log.denied_only && s->allowed))
        return;
    if (held >= x->log.slots) {
        __atomic_store_n(&x->lost, x->lost + 1, __ATOMIC_RELAXED);
        return;
    }
    memcpy(&x->queue[put % x->log.slots], s, offsetof(struct explain_slot, text) + s->used);
    __atomic_store_n(&x->put, put + 1, __ATOMIC_RELEASE);
    if (UNLIKELY(held + 1 == x->log.slots / 2))
        x->log.wake(x->log.ctx);
}

void explain_put(struct explain *x, const struct decision *d)
{
    const struct policy_verdict *v = d->v;
    struct explain_slot *s = &x->slots[x->next];

    x->next = x->next + 1 == x->n ? 0 : x->next + 1;
    memcpy(s->id, v->id, sizeof s->id);
    s->there = true;
    s->used = 0;
    s->at_ms = d->ask->now_ms;
    s->took_ns = d->clock_ns - d->began_ns;
    s->status = (uint16_t)v->status;
    s->allowed = v->allowed;
    s->reason = explain_keep(s, v->reason);
    s->method = explain_keep(s, d->ask->method);
    s->host = explain_keep(s, d->host);
    s->path = explain_keep(s, d->path);
    s->rule = explain_keep(s, v->rule);
    s->route = explain_keep(s, v->route);
    s->user = explain_keep(s, v->user);
    s->plan = explain_keep(s, v->plan);
    s->key = explain_keep(s, v->key_uuid);
    s->words = explain_keep(s, v->words);
    explain_steps(s, v);
    explain_queue(x, s);
}

/* ---- reading ---- */

static void explain_member(struct jsonw *w, const struct explain_slot *s, struct slice name,
                           struct explain_text t)
{
    if (t.n > 0)
        jsonw_kstr(w, name, slice_of(s->text + t.at, t.n));
}

static void explain_write_step(struct jsonw *w, const struct explain_slot *s,
                               const struct explain_step *k)
{
    jsonw_obj(w);
    explain_member(w, s, S("step"), k->step);
    explain_member(w, s, S("policy"), k->policy);
    explain_member(w, s, S("rule"), k->rule);
    explain_member(w, s, S("said"), k->said);
    explain_member(w, s, S("detail"), k->detail);
    jsonw_ki64(w, S("took_ns"), (int64_t)k->took_us_tenths * 100);
    jsonw_end_obj(w);
}

static void explain_write(const struct explain_slot *s, bool steps, struct buf *out)
{
    struct jsonw w;

    jsonw_init(&w, out);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("decision_id"), slice_of(s->id, sizeof s->id));
    jsonw_ki64(&w, S("at_ms"), s->at_ms);
    explain_member(&w, s, S("method"), s->method);
    explain_member(&w, s, S("host"), s->host);
    explain_member(&w, s, S("path"), s->path);
    jsonw_kbool(&w, S("allowed"), s->allowed);
    jsonw_ki64(&w, S("status"), s->status);
    explain_member(&w, s, S("reason"), s->reason);
    explain_member(&w, s, S("words"), s->words);
    explain_member(&w, s, S("rule"), s->rule);
    explain_member(&w, s, S("route"), s->route);
    explain_member(&w, s, S("user"), s->user);
    explain_member(&w, s, S("plan"), s->plan);
    explain_member(&w, s, S("key_id"), s->key);
    jsonw_ki64(&w, S("took_ns"), s->took_ns);
    if (steps) {
        jsonw_key(&w, S("trace"));
        jsonw_arr(&w);
        for (size_t i = 0; i < s->steps_n; i++)
            explain_write_step(&w, s, &s->steps[i]);
        jsonw_end_arr(&w);
    }
    jsonw_end_obj(&w);
}

bool explain_get(const struct explain *x, struct slice id, struct buf *out)
{
    for (size_t i = 0; x && x->kept && i < x->n && x->slots[i].there; i++)
        if (slice_eq(slice_of(x->slots[i].id, sizeof x->slots[i].id), id)) {
            explain_write(&x->slots[i], true, out);
            return true;
        }
    return false;
}

size_t explain_recent(const struct explain *x, bool denied_only, size_t max, struct buf *out)
{
    size_t found = 0;

    for (size_t i = 1; x && x->kept && i <= x->n && found < max; i++) {
        const struct explain_slot *s = &x->slots[(x->next + x->n - i) % x->n];
        if (!s->there)
            break;
        if (denied_only && s->allowed)
            continue;
        if (out->n > 0)
            buf_byte(out, ',');
        explain_write(s, false, out);
        found++;
    }
    return found;
}

size_t explain_take(struct explain *x, struct buf *out, uint64_t *lost)
{
    uint64_t from = x ? x->taken : 0, to, all_lost;

    if (!x || !x->queue)
        return 0;
    to = __atomic_load_n(&x->put, __ATOMIC_ACQUIRE);
    for (uint64_t i = from; i < to; i++) {
        explain_write(&x->queue[i % x->log.slots], true, out);
        buf_byte(out, '\n');
        __atomic_store_n(&x->taken, i + 1, __ATOMIC_RELEASE);
    }
    all_lost = __atomic_load_n(&x->lost, __ATOMIC_RELAXED);
    *lost += all_lost - x->lost_told;
    x->lost_told = all_lost;
    return (size_t)(to - from);
}
