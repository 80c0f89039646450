/*
 * decision.c - the verdict while it is made, and the request as the steps read it.
 *
 * Everything a step says goes through these functions: a denial, headers for the upstream and for the
 * client, state for later steps, metadata for the gateway, a line of the trace. All memory is the
 * decision's arena: the context's while it runs through, its own once it is parked (park.c).
 * Tested by tests/unit/policy/test_decide.c and through every step's tests.
 */
#include "base/clock.h"
#include "policy/inside.h"

/* ---- building the verdict ---- */

/* Room for one more in a small array that grows by doubling in the arena. */
void *decision_grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size)
{
    void *bigger;

    if (n < *cap)
        return v;
    *cap = *cap ? *cap * 2 : 8;
    bigger = arena_alloc(a, *cap * size);
    if (n)
        memcpy(bigger, v, n * size);
    return bigger;
}

void decision_deny(struct decision *d, int status, struct slice reason, struct slice words,
                   struct slice rule)
{
    d->v->allowed = d->v->page = false;
    d->v->status = status;
    d->v->reason = reason;
    d->v->words = words;
    d->v->rule = rule;
    d->v->body = S("");
}

struct policy_header *decision_find(struct policy_header *h, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(h[i].name, name))
            return &h[i];
    return NULL;
}

void decision_upstream(struct decision *d, struct slice name, struct slice value, enum header_op op)
{
    struct policy_verdict *v = d->v;
    struct policy_header *old = decision_find(v->upstream, v->upstream_n, name);

    if (old && op == HEADER_SET) {
        old->value = value;
        return;
    }
    if (v->upstream_n >= DECISION_HEADERS_MAX)
        return;
    v->upstream = decision_grow(d->arena, v->upstream, v->upstream_n, &d->upstream_cap,
                              sizeof *v->upstream);
    v->upstream[v->upstream_n++] = (struct policy_header){name, value, op};
}

void decision_remove_add(struct decision *d, struct slice name)
{
    struct policy_verdict *v = d->v;

    for (size_t i = 0; i < v->remove_n; i++)
        if (slice_eq_ci(v->remove[i], name))
            return;
    v->remove = decision_grow(d->arena, v->remove, v->remove_n, &d->remove_cap,
                            sizeof *v->remove);
    v->remove[v->remove_n++] = name;
}

void decision_remove(struct decision *d, struct slice name)
{
    struct policy_verdict *v = d->v;
    struct policy_header *old = decision_find(v->upstream, v->upstream_n, name);

    if (old)
        *old = v->upstream[--v->upstream_n];
    if (v->remove_n < DECISION_HEADERS_MAX)
        decision_remove_add(d, name);
}

void decision_client(struct decision *d, struct slice name, struct slice value)
{
    struct policy_verdict *v = d->v;

    if (v->client_n >= DECISION_HEADERS_MAX)
        return;
    v->client = decision_grow(d->arena, v->client, v->client_n, &d->client_cap,
                            sizeof *v->client);
    v->client[v->client_n++] = (struct policy_header){name, value, HEADER_SET};
}

/* One reading of the clock ends this step and begins the next. */
void decision_trace(struct decision *d, const char *step, struct slice policy, struct slice rule,
                    const char *said, struct slice detail, int64_t began_ns)
{
    struct policy_verdict *v = d->v;

    if (!d->ask->trace && !d->c->explain)
        return;
    d->clock_ns = clock_mono_ns();
    v->trace = decision_grow(d->arena, v->trace, v->trace_n, &d->trace_cap, sizeof *v->trace);
    v->trace[v->trace_n++] = (struct policy_trace){slice_str(step), policy, rule, slice_str(said),
                                                   detail, began_ns ? d->clock_ns - began_ns : 0};
}

int64_t decision_clock(const struct decision *d)
{
    return d->clock_ns;
}

void decision_end(struct decision *d)
{
    reason_count(d->v->reason);
    if (UNLIKELY(d->wrong && !d->v->allowed))
        throttle_count(d);
    if (d->c->explain)
        explain_put(d->c->explain, d);
}

/* ---- reading the request ---- */

struct slice decision_only_header(const struct decision *d, struct slice name, size_t *n)
{
    struct slice value = S("");

    *n = 0;
    for (size_t i = 0; i < d->ask->headers_n; i++) {
        if (d->ask->headers[i].name.n == name.n && slice_eq_ci(d->ask->headers[i].name, name)) {
            value = d->ask->headers[i].value;
            (*n)++;
        }
    }
    return value;
}

static bool decision_is_listed(const struct slice *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(list[i], name))
            return true;
    return false;
}

bool decision_header(struct decision *d, struct slice name, struct slice *value)
{
    const struct policy_header *set = decision_find(d->v->upstream, d->v->upstream_n, name);
    size_t n = 0;

    if (set) {
        *value = set->value;
        return true;
    }
    if (decision_is_listed(d->route->identity, d->route->identity_n, name) ||
        decision_is_listed(d->v->remove, d->v->remove_n, name))
        return false;
    *value = decision_only_header(d, name, &n);
    if (n > 1) { /* all of them, in order, as the upstream would join them */
        *value = S("");
        for (size_t i = 0; i < d->ask->headers_n; i++)
            if (slice_eq_ci(d->ask->headers[i].name, name))
                *value = arena_fmt(d->arena, "%.*s%s%.*s", SFMT(*value), value->n ? "," : "",
                                   SFMT(d->ask->headers[i].value));
    }
    return n > 0;
}

/* ---- state and metadata: what steps hand to later steps and to the gateway ---- */

void decision_state_put(struct decision *d, struct slice name, const struct json *value)
{
    for (size_t i = 0; i < d->state_n; i++)
        if (slice_eq(d->state[i].name, name)) {
            d->state[i].value = value;
            return;
        }
    if (d->state_n >= DECISION_STATE_MAX)
        return;
    d->state = decision_grow(d->arena, d->state, d->state_n, &d->state_cap, sizeof *d->state);
    d->state[d->state_n++] = (struct decision_var){name, value};
}

const struct json *decision_state_get(const struct decision *d, struct slice name)
{
    for (size_t i = 0; i < d->state_n; i++)
        if (slice_eq(d->state[i].name, name))
            return d->state[i].value;
    return NULL;
}

void decision_metadata(struct decision *d, struct slice space, struct slice name,
                       const struct json *value)
{
    struct policy_verdict *v = d->v;

    for (size_t i = 0; i < v->metadata_n; i++)
        if (slice_eq(v->metadata[i].space, space) && slice_eq(v->metadata[i].name, name)) {
            v->metadata[i].value = value;
            return;
        }
    if (v->metadata_n >= DECISION_STATE_MAX)
        return;
    v->metadata = decision_grow(d->arena, v->metadata, v->metadata_n, &d->metadata_cap,
                                sizeof *v->metadata);
    v->metadata[v->metadata_n++] = (struct policy_metadata){space, name, value};
}

void decision_param_remove(struct decision *d, struct slice name)
{
    struct policy_verdict *v = d->v;

    for (size_t i = 0; i < v->params_remove_n; i++)
        if (slice_eq(v->params_remove[i], name))
            return;
    if (v->params_remove_n >= DECISION_HEADERS_MAX)
        return;
    v->params_remove = decision_grow(d->arena, v->params_remove, v->params_remove_n, &d->params_remove_cap,
                                     sizeof *v->params_remove);
    v->params_remove[v->params_remove_n++] = name;
}

/* ---- going back: what a step or policy that must not count is undone to ---- */

struct decision_mark decision_save(struct decision *d)
{
    struct policy_verdict *v = d->v;
    struct decision_mark m = {v->upstream_n, v->remove_n, v->client_n, v->metadata_n, d->state_n,
                              v->params_remove_n, NULL, d->key, v->user, v->plan, v->key_uuid};

    if (m.upstream_n) {
        m.upstream = arena_alloc(d->arena, m.upstream_n * sizeof *m.upstream);
        memcpy(m.upstream, v->upstream, m.upstream_n * sizeof *m.upstream);
    }
    return m;
}

void decision_undo(struct decision *d, const struct decision_mark *m)
{
    struct policy_verdict *v = d->v;

    if (m->upstream_n)
        memcpy(v->upstream, m->upstream, m->upstream_n * sizeof *m->upstream);
    v->upstream_n = m->upstream_n;
    v->remove_n = MIN(v->remove_n, m->remove_n);
    v->params_remove_n = MIN(v->params_remove_n, m->params_remove_n);
    v->client_n = MIN(v->client_n, m->client_n);
    v->metadata_n = MIN(v->metadata_n, m->metadata_n);
    d->state_n = MIN(d->state_n, m->state_n);
    d->key = m->key;
    v->user = m->user;
    v->plan = m->plan;
    v->key_uuid = m->key_uuid;
    v->allowed = true;
    v->page = false;
    v->status = 200;
    v->reason = S("ok");
    v->words = v->body = S("");
    v->rule = d->route->rule;
}
