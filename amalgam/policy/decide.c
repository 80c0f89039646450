/*
 * decide.c - one question -> one verdict: route, then the chain of its policies in phase order.
 *
 * Called by check/ for every request of a gateway, by eval and by the portal. All that a verdict points
 * to lives in the context's arena (or in the set, or in the key cache until the next batch). In the
 * steady state nothing here allocates from the system or calls the kernel. Whatever cannot be decided
 * is a denial with a reason of its own. Threads: one context each.
 * Tested by tests/unit/policy/test_decide.c and test_attacks.c.
 */
#include "base/clock.h"
#include "policy/explain.h"
#include "policy/inside.h"

/* ---- the whole ---- */

/* "X_User_Id" and "X.User.Id" reach some upstreams as X-User-Id: they go as well. */
static bool decide_alias(struct slice given, struct slice name)
{
    if (given.n != name.n)
        return false;
    for (size_t i = 0; i < name.n; i++) {
        char c = given.p[i];
        if ((c == '_' || c == '.') && name.p[i] == '-')
            continue;
        if (ascii_lower(c) != ascii_lower(name.p[i]))
            return false;
    }
    return true;
}

static bool decide_odd_name(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '_' || s.p[i] == '.')
            return true;
    return false;
}

static bool decide_alias_of(struct slice given, const struct slice *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (decide_alias(given, names[i]))
            return true;
    return false;
}

/* One bit per length (of 64) that a name has: an alias is as long as what it stands for. */
static uint64_t decide_lengths(const struct slice *names, size_t n)
{
    uint64_t set = 0;
    for (size_t i = 0; i < n; i++)
        set |= UINT64_C(1) << (names[i].n & 63);
    return set;
}

static void decide_aliases(struct decision *d)
{
    const struct route *r = d->route;
    uint64_t lengths = decide_lengths(r->identity, r->identity_n) | decide_lengths(d->v->remove, d->v->remove_n);

    for (size_t i = 0; i < d->ask->headers_n && lengths; i++) {
        struct slice given = d->ask->headers[i].name;
        if ((lengths >> (given.n & 63) & 1) && decide_odd_name(given) &&
            (decide_alias_of(given, r->identity, r->identity_n) || decide_alias_of(given, d->v->remove, d->v->remove_n)) &&
            !decision_find(d->v->upstream, d->v->upstream_n, given))
            decision_remove_add(d, given);
    }
}

/* Every identity header is set or removed; so no copy that a client sent survives. */
static void decide_finish_allow(struct decision *d)
{
    const struct route *r = d->route;
    struct policy_verdict *v = d->v;
    size_t kept = 0;

    for (size_t i = 0; i < r->identity_n; i++)
        decision_remove_add(d, r->identity[i]);
    for (size_t i = 0; i < r->taken_n; i++)
        decision_remove_add(d, r->credentials[i]);
    if (r->cookies_n)
        oidc_cookie_strip(d);
    for (size_t i = 0; i < v->remove_n; i++)
        if (!decision_find(v->upstream, v->upstream_n, v->remove[i]))
            v->remove[kept++] = v->remove[i];
    v->remove_n = kept;
    decide_aliases(d);
}

static void decide_finish(struct decision *d)
{
    struct policy_verdict *v = d->v;

    transform_answer(d);
    if (v->allowed)
        decide_finish_allow(d);
    else
        v->upstream_n = v->remove_n = 0;
}

/* Path, query and host as the rules see them; false when the question is refused for its form. */
static bool decide_form(struct decision *d)
{
    const struct policy_ask *q = d->ask;
    struct url_target t;
    struct err e = {0};
    enum rc rc;

    if (q->method.n == 0 || !http_token_ok(q->method)) {
        decision_deny(d, 400, S("method_malformed"), S("the request has no method"), S(""));
        return false;
    }
    if (url_split_target(q->target, &t, &e) != RC_OK) {
        decision_deny(d, 400, S("path_malformed"), S("the target is not of the form /path?query"),
                      S(""));
        return false;
    }
    rc = url_canon_path(d->arena, t.path, &d->path, &e);
    if (rc != RC_OK) {
        bool unclear = rc == RC_DENIED;
        decision_deny(d, unclear ? 403 : 400, unclear ? S("path_ambiguous") : S("path_malformed"),
                      arena_dup(d->arena, slice_str(e.text)), S(""));
        return false;
    }
    d->query = t.query;
    d->host = q->host;
    if (q->host.n > 0 && url_canon_host(d->arena, q->host, &d->host, &e) != RC_OK) {
        decision_deny(d, 400, S("host_malformed"), S("the host is malformed"), S(""));
        return false;
    }
    return true;
}

static bool decide_route(struct decision *d)
{
    struct route_ask q = {d->ask->method, d->host, d->path, d->query, d->ask->headers,
                          d->ask->headers_n, d->arena};
    int64_t began = decision_clock(d);
    enum rc rc = route_find(&d->c->set->index, &q, &d->route);

    if (rc != RC_OK && rc != RC_NOTFOUND) {
        decision_deny(d, 403, S("regex_limit"), S("an expression of a route took too many steps"),
                      S(""));
        return false;
    }
    if (rc == RC_NOTFOUND) {
        decision_deny(d, 403, S("no_route"), S("no RouteTable has this host and path"), S(""));
        decision_trace(d, "route", S(""), S(""), "deny", d->v->words, began);
        return false;
    }
    d->v->route = d->route->name;
    d->v->rule = d->route->rule;
    if (!d->route->has_auth && !d->route->by_table) {
        decision_deny(d, 403, S("no_route"), S("no policy says who may pass, and no RouteTable "
                      "names this route: add one of them"), S(""));
        return false;
    }
    decision_trace(d, "route", d->route->name, d->route->rule, "pass", d->path, began);
    return true;
}

/* Unique per thread by its counter, across threads and starts by its random base. */
static void decide_id(struct policy_ctx *c, char dst[17])
{
    static const char hex[] = "0123456789abcdef";
    uint64_t z = c->id_base + ++c->id_count * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    for (int i = 15; i >= 0; i--, z >>= 4)
        dst[i] = hex[z & 15];
    dst[16] = '\0';
}

static void decision_start(struct decision *d, struct policy_ctx *c, const struct policy_ask *q,
                           struct policy_verdict *v)
{
    memset(v, 0, sizeof *v);
    memset(d, 0, sizeof *d);
    d->c = c;
    d->rt = c->rt;
    d->arena = &c->arena;
    d->ask = q;
    d->v = v;
    v->allowed = true;
    v->status = 200;
    v->reason = S("ok");
    v->words = v->rule = v->body = v->user = v->plan = v->key_uuid = v->route = S("");
    decide_id(c, v->id);
    if (c->explain)
        explain_expect(c->explain);
    if (c->explain || q->trace)
        d->began_ns = d->clock_ns = clock_mono_ns();
}

bool decide_chain(struct decision *d)
{
    for (; d->item < d->route->items_n; d->item++) {
        const struct chain_item *i = &d->route->items[d->item];
        enum item_said said = i->row->run(d, i);
        if (UNLIKELY(said == ITEM_WAIT))
            return false;
        d->wait = NULL;
        if (said == ITEM_END)
            break;
    }
    decide_finish(d);
    return true;
}

enum rc policy_decide(struct policy_ctx *c, const struct policy_ask *q, struct policy_verdict *v,
                      policy_done_fn *done, void *user)
{
    struct decision d;

    decision_start(&d, c, q, v);
    if (!c->set)
        decision_deny(&d, 403, S("no_route"), S("no policies are loaded"), S(""));
    else if (decide_form(&d) && decide_route(&d) && UNLIKELY(!decide_chain(&d))) {
        if (decision_park(&d, done, user) == RC_AGAIN)
            return RC_AGAIN;
        decide_finish(&d);
    }
    decision_end(&d);
    return RC_OK;
}

/* ---- usage: the limits that a key would meet, looked at and not counted ---- */

static const struct route *decide_usage_route(const struct policy_set *s, struct slice product)
{
    const struct route *any = NULL;

    for (size_t i = 0; i < s->routes_n; i++) {
        const struct route *r = s->routes[i];
        if (!r->by_table || (product.n > 0 && slice_eq(r->product, product))) {
            if (r->has_auth)
                return r;
            any = any ? any : r;
        }
    }
    return any;
}

static void decide_usage_headers(struct decision *d)
{
    for (size_t i = 0; i < d->route->items_n; i++) {
        const struct auth_policy *p = d->route->items[i].policy;
        for (size_t k = 0; d->route->items[i].row == item_auth() && k < p->steps_n; k++)
            if (p->steps[k].row->run == step_key_run && p->steps[k].data)
                step_key_headers(d, p->steps[k].data);
    }
}

enum rc policy_usage(struct policy_ctx *c, const struct policy_api *api, const struct keyrec *key,
                     int64_t now_ms, struct policy_verdict *v)
{
    struct policy_ask q = {.method = S("GET"), .target = S("/"), .now_ms = now_ms};
    struct field_pair *meta;
    struct key_entry e = {.hash = key->hash, .uuid = key->uuid, .meta_n = key->meta_n};
    struct decision d;

    decision_start(&d, c, &q, v);
    c->now_ms = now_ms;
    d.route = c->set ? decide_usage_route(c->set, api->product) : NULL;
    if (!d.route)
        return RC_NOTFOUND;
    d.peek = true;
    d.path = S("/");
    d.host = api->host;
    d.query = S("");
    meta = arena_alloc(d.arena, (key->meta_n + 1) * sizeof *meta);
    for (size_t i = 0; i < key->meta_n; i++)
        meta[i] = (struct field_pair){key->meta[i].name, key->meta[i].value};
    e.meta = meta;
    step_key_identify(&d, &e);
    decide_usage_headers(&d);
    for (size_t i = 0; i < d.route->items_n; i++) {
        bool over, trouble;
        struct slice rule;
        if (d.route->items[i].row == item_limit())
            (void)limit_run(&d, d.route->items[i].policy, &over, &rule, &trouble);
    }
    v->route = d.route->name;
    return RC_OK;
}
