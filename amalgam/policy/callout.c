/*
 * callout.c - what the steps share that ask another server over HTTP (passThroughAuth, opaServerAuth).
 *
 * The waiting itself is park.c's, the connection net/fetch's. Here: from STEP_WAIT to the copied answer,
 * the request's headers and state as such a server may learn them, and the parts of the documents
 * that are alike. The fetch is not cancelled: the fetcher is closed before the context. Owns nothing
 * beyond the decision's arena. Tested by tests/unit/policy/test_callout.c.
 */
#include "policy/callout.h"

enum { CALLOUT_NAME_MAX = 256 };

/* ---- waiting ---- */

enum step_said callout_wait(struct decision *d, void (*begin)(struct decision *d))
{
    if (!d->c->opts.fetcher) {
        d->trouble = S("no_outbound");
        d->v->words = S("other servers cannot be asked here");
        return STEP_TROUBLE;
    }
    d->begin = begin;
    return STEP_WAIT;
}

static void callout_done(void *user, const struct fetch_reply *from)
{
    struct decision *d = user;
    struct callout_reply *r = d->wait;

    r->rc = from->rc;
    r->why = from->why ? from->why : "";
    r->status = from->status;
    r->body = from->rc == RC_OK && from->body.n ? arena_dup(d->arena, from->body) : S("");
    r->headers_n = from->rc == RC_OK ? from->headers_n : 0;
    r->headers = arena_alloc(d->arena, (r->headers_n + 1) * sizeof *r->headers);
    for (size_t i = 0; i < r->headers_n; i++)
        r->headers[i] = (struct http_header){arena_dup(d->arena, from->headers[i].name),
                                             arena_dup(d->arena, from->headers[i].value)};
    decision_wake(d);
}

void callout_start(struct decision *d, const struct fetch_req *q)
{
    d->wait = ARENA_NEW(d->arena, struct callout_reply);
    (void)fetch_start(d->c->opts.fetcher, q, callout_done, d);
}

const struct callout_reply *callout_reply(const struct decision *d)
{
    return d->wait;
}

int callout_denial_status(int status)
{
    return status < 300 || status > 499 || status == 304 ? 403 : status;
}

/* ---- the request as others may see it ---- */

static bool callout_listed(const struct slice *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(list[i], name))
            return true;
    return false;
}

/* Another step or policy of the route answers for it. */
static bool callout_foreign(const struct decision *d, struct slice name)
{
    const struct route *r = d->route;

    for (size_t i = 0; i < r->items_n; i++) {
        const struct chain_item *item = &r->items[i];
        const struct auth_policy *p = item->policy;
        if (i != d->item || item->row != item_auth()) {
            if (callout_listed(item->identity, item->identity_n, name))
                return true;
            continue;
        }
        for (size_t k = 0; k < p->steps_n; k++)
            if (&p->steps[k] != d->at && callout_listed(p->steps[k].identity, p->steps[k].identity_n, name))
                return true;
    }
    return false;
}

bool callout_header(struct decision *d, struct slice name, struct slice *value)
{
    const struct policy_header *set = decision_find(d->v->upstream, d->v->upstream_n, name);
    bool found = false;

    *value = S("");
    if (set) {
        *value = set->value;
        return true;
    }
    if (callout_listed(d->v->remove, d->v->remove_n, name) || callout_foreign(d, name))
        return false;
    for (size_t i = 0; i < d->ask->headers_n; i++) {
        const struct http_header *h = &d->ask->headers[i];
        if (!slice_eq_ci(h->name, name))
            continue;
        *value = found ? arena_fmt(d->arena, "%.*s,%.*s", SFMT(*value), SFMT(h->value)) : h->value;
        found = true;
    }
    return found;
}

static void callout_header_json(struct decision *d, struct jsonw *w, struct slice name)
{
    char lower[CALLOUT_NAME_MAX];
    struct slice value;

    if (name.n > sizeof lower || !callout_header(d, name, &value))
        return;
    for (size_t i = 0; i < name.n; i++)
        lower[i] = ascii_lower(name.p[i]);
    jsonw_kstr(w, slice_of(lower, name.n), value);
}

void callout_headers_json(struct decision *d, struct jsonw *w)
{
    const struct policy_ask *q = d->ask;

    for (size_t i = 0; i < q->headers_n; i++) {
        bool first = !decision_find(d->v->upstream, d->v->upstream_n, q->headers[i].name);
        for (size_t k = 0; k < i && first; k++)
            first = !slice_eq_ci(q->headers[k].name, q->headers[i].name);
        if (first)
            callout_header_json(d, w, q->headers[i].name);
    }
    for (size_t i = 0; i < d->v->upstream_n; i++)
        if (decision_find(d->v->upstream, i, d->v->upstream[i].name) == NULL)
            callout_header_json(d, w, d->v->upstream[i].name);
}

void callout_state_json(const struct decision *d, struct jsonw *w)
{
    jsonw_obj(w);
    for (size_t i = 0; i < d->state_n; i++) {
        jsonw_key(w, d->state[i].name);
        jsonw_value(w, d->state[i].value);
    }
    jsonw_end_obj(w);
}

/* ---- documents ---- */

bool callout_duration(const struct field_in *in, const struct yaml *at, const char *field,
                      struct slice text, int64_t otherwise_ms, int64_t *out_ms)
{
    *out_ms = otherwise_ms;
    if (text.n == 0)
        return true;
    if (slice_duration_ms(text, out_ms) && *out_ms > 0 && *out_ms <= 600000)
        return true;
    fault_add(in, false, at, NULL, "%s: expected a time like 5s or 250ms, at most 10m, found \"%.*s\"", field,
              SFMT(slice_sub(text, 0, 40)));
    return false;
}
