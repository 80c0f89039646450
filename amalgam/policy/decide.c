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
#include "base/log.h"
#include "base/metric.h"
#include "policy/inside.h"

/* ---- building the verdict ---- */

/* Room for one more in a small array that grows by doubling in the arena. */
static void *decide_grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size)
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
    d->v->allowed = false;
    d->v->status = status;
    d->v->reason = reason;
    d->v->words = words;
    d->v->rule = rule;
    d->v->body = S("");
}

static struct policy_header *decide_find(struct policy_header *h, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(h[i].name, name))
            return &h[i];
    return NULL;
}

void decision_upstream(struct decision *d, struct slice name, struct slice value, enum header_op op)
{
    struct policy_verdict *v = d->v;
    struct policy_header *old = decide_find(v->upstream, v->upstream_n, name);

    if (old && op == HEADER_SET) {
        old->value = value;
        return;
    }
    if (v->upstream_n >= DECISION_HEADERS_MAX)
        return;
    v->upstream = decide_grow(&d->c->arena, v->upstream, v->upstream_n, &d->upstream_cap,
                              sizeof *v->upstream);
    v->upstream[v->upstream_n++] = (struct policy_header){name, value, op};
}

static void decide_remove_add(struct decision *d, struct slice name)
{
    struct policy_verdict *v = d->v;

    for (size_t i = 0; i < v->remove_n; i++)
        if (slice_eq_ci(v->remove[i], name))
            return;
    v->remove = decide_grow(&d->c->arena, v->remove, v->remove_n, &d->remove_cap,
                            sizeof *v->remove);
    v->remove[v->remove_n++] = name;
}

void decision_remove(struct decision *d, struct slice name)
{
    struct policy_verdict *v = d->v;
    struct policy_header *old = decide_find(v->upstream, v->upstream_n, name);

    if (old)
        *old = v->upstream[--v->upstream_n];
    if (v->remove_n < DECISION_HEADERS_MAX)
        decide_remove_add(d, name);
}

void decision_client(struct decision *d, struct slice name, struct slice value)
{
    struct policy_verdict *v = d->v;

    if (v->client_n >= DECISION_HEADERS_MAX)
        return;
    v->client = decide_grow(&d->c->arena, v->client, v->client_n, &d->client_cap,
                            sizeof *v->client);
    v->client[v->client_n++] = (struct policy_header){name, value, HEADER_SET};
}

void decision_trace(struct decision *d, const char *step, struct slice policy, struct slice rule,
                    const char *said, struct slice detail, int64_t began_ns)
{
    struct policy_verdict *v = d->v;

    if (LIKELY(!d->ask->trace))
        return;
    v->trace = decide_grow(&d->c->arena, v->trace, v->trace_n, &d->trace_cap, sizeof *v->trace);
    v->trace[v->trace_n++] = (struct policy_trace){slice_str(step), policy, rule, slice_str(said),
                                                   detail, began_ns ? clock_mono_ns() - began_ns : 0};
}

static int64_t decide_clock(const struct decision *d)
{
    return UNLIKELY(d->ask->trace) ? clock_mono_ns() : 0;
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

static bool decide_listed(const struct slice *list, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(list[i], name))
            return true;
    return false;
}

bool decision_header(struct decision *d, struct slice name, struct slice *value)
{
    const struct policy_header *set = decide_find(d->v->upstream, d->v->upstream_n, name);
    size_t n = 0;

    if (set) {
        *value = set->value;
        return true;
    }
    if (decide_listed(d->route->identity, d->route->identity_n, name) ||
        decide_listed(d->v->remove, d->v->remove_n, name))
        return false;
    *value = decision_only_header(d, name, &n);
    if (n > 1) { /* all of them, in order, as the upstream would join them */
        *value = S("");
        for (size_t i = 0; i < d->ask->headers_n; i++)
            if (slice_eq_ci(d->ask->headers[i].name, name))
                *value = arena_fmt(&d->c->arena, "%.*s%s%.*s", SFMT(*value), value->n ? "," : "",
                                   SFMT(d->ask->headers[i].value));
    }
    return n > 0;
}

/* ---- items of the chain ---- */

struct decide_mark { /* what a policy that must not count is undone to */
    size_t upstream_n, remove_n, client_n;
    struct policy_header *upstream; /* copy: values may be replaced in place */
};

static struct decide_mark decide_save(struct decision *d)
{
    struct decide_mark m = {d->v->upstream_n, d->v->remove_n, d->v->client_n, NULL};

    if (m.upstream_n) {
        m.upstream = arena_alloc(&d->c->arena, m.upstream_n * sizeof *m.upstream);
        memcpy(m.upstream, d->v->upstream, m.upstream_n * sizeof *m.upstream);
    }
    return m;
}

static void decide_undo(struct decision *d, const struct decide_mark *m)
{
    struct policy_verdict *v = d->v;

    if (m->upstream_n)
        memcpy(v->upstream, m->upstream, m->upstream_n * sizeof *m->upstream);
    v->upstream_n = m->upstream_n;
    v->remove_n = MIN(v->remove_n, m->remove_n);
    v->client_n = m->client_n;
    v->allowed = true;
    v->status = 200;
    v->reason = S("ok");
    v->words = v->body = S("");
    v->rule = d->route->rule;
}

static struct metric decide_shadow_metric[] = {
    {.name = "postern_shadow_denials_total", .kind = METRIC_COUNTER,
     .help = "Requests that a policy with shadow: true would have refused."},
};

void policy_metrics_join(void)
{
    metric_join(decide_shadow_metric, ARRAY_LEN(decide_shadow_metric));
}

/* At most one line a second; the counter has them all. */
static void decide_shadow(struct decision *d, struct slice policy, struct slice reason)
{
    metric_add(&decide_shadow_metric[0], 1);
    if (d->c->now_ms - d->c->shadow_log_ms < 1000)
        return;
    d->c->shadow_log_ms = d->c->now_ms;
    log_event(LOG_INFO, "policy.shadow", "policy=%.*s reason=%.*s decision=%s", SFMT(policy),
              SFMT(reason), d->v->id);
}

static const char *decide_word(enum step_said said)
{
    static const char *const words[] = {"pass", "deny", "trouble"};
    return words[said];
}

static enum step_said decide_steps(struct decision *d, const struct auth_policy *p)
{
    enum step_said said = STEP_PASS;

    for (size_t i = 0; i < p->steps_n && said == STEP_PASS; i++) {
        const struct step *s = &p->steps[i];
        int64_t began = decide_clock(d);
        d->trouble = S("");
        said = s->row->run(d, s);
        decision_trace(d, s->row->name, p->name, s->rule, decide_word(said),
                       said == STEP_PASS ? s->name : said == STEP_DENY ? d->v->words : d->trouble,
                       began);
        if (said == STEP_TROUBLE)
            decision_deny(d, 403, d->trouble, d->v->words.n ? d->v->words
                          : S("the policy could not be decided"), s->rule);
    }
    return said;
}

static bool decide_auth(struct decision *d, const struct chain_item *item)
{
    const struct auth_policy *p = item->policy;
    struct decide_mark mark;
    enum step_said said = STEP_DENY;
    bool undo = p->shadow || p->failure_mode_allow;

    if (undo)
        mark = decide_save(d);
    if (p->denies) {
        decision_deny(d, 403, S("not_served"),
                      S("the policy asks for something that Postern does not serve"), p->rule);
        decision_trace(d, "extAuth", p->name, p->rule, "deny", d->v->words, 0);
    } else {
        said = decide_steps(d, p);
    }
    if (said == STEP_PASS)
        return true;
    if (p->shadow)
        decide_shadow(d, p->name, d->v->reason);
    else if (!(said == STEP_TROUBLE && p->failure_mode_allow))
        return false;
    decision_trace(d, "extAuth", p->name, p->rule, p->shadow ? "shadow" : "pass",
                   p->shadow ? S("let pass: shadow") : S("let pass: failureModeAllow"), 0);
    decide_undo(d, &mark);
    return true;
}

/* The limit that is over and takes longest to start anew; its reset is what Retry-After says. */
static const struct policy_limit *decide_over(const struct policy_verdict *v)
{
    const struct policy_limit *worst = NULL;

    for (size_t i = 0; i < v->limits_n; i++)
        if (v->limits[i].over && (!worst || v->limits[i].reset_s > worst->reset_s))
            worst = &v->limits[i];
    return worst;
}

static void decide_limited(struct decision *d, struct slice rule)
{
    const struct policy_limit *l = decide_over(d->v);

    decision_deny(d, 429, S("limited"), S("too many requests"), rule);
    if (!l)
        return;
    d->v->words = arena_fmt(&d->c->arena, "over the limit %.*s: %u per %s, again in %lld s",
                            SFMT(l->name), l->limit, limit_unit_name(l->unit),
                            (long long)l->reset_s);
    decision_client(d, S("Retry-After"),
                    arena_fmt(&d->c->arena, "%lld", (long long)MAX(l->reset_s, 1)));
    decision_client(d, S("x-envoy-ratelimited"), S("true"));
}

static bool decide_limit(struct decision *d, const struct chain_item *item)
{
    const struct limit_policy *p = item->policy;
    int64_t began = decide_clock(d);
    bool over = false, trouble = false, met;
    struct slice rule;

    met = limit_run(d, p, &over, &rule, &trouble);
    if (LIKELY(!over && !trouble)) {
        decision_trace(d, "rateLimit", p->name, rule, met ? "pass" : "skip",
                       met ? S("within the limit") : S("no limit matches"), began);
        return true;
    }
    if (p->shadow || (trouble && p->failure_mode_allow)) {
        decision_trace(d, "rateLimit", p->name, rule, p->shadow ? "shadow" : "pass",
                       trouble ? d->trouble : S("limited"), began);
        if (p->shadow)
            decide_shadow(d, p->name, over ? S("limited") : d->trouble);
        return true;
    }
    if (over)
        decide_limited(d, rule);
    else
        decision_deny(d, 403, d->trouble, S("the limit could not be counted"), rule);
    decision_trace(d, "rateLimit", p->name, rule, over ? "limited" : "trouble", d->v->words, began);
    return false;
}

static const struct item_row decide_items[] = {
    {"extAuth", decide_auth},
    {"rateLimit", decide_limit},
};

const struct item_row *item_auth(void)
{
    return &decide_items[0];
}

const struct item_row *item_limit(void)
{
    return &decide_items[1];
}

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

static void decide_aliases(struct decision *d)
{
    const struct route *r = d->route;

    for (size_t i = 0; i < d->ask->headers_n && r->identity_n > 0; i++) {
        struct slice given = d->ask->headers[i].name;
        if (!decide_odd_name(given))
            continue;
        for (size_t k = 0; k < r->identity_n; k++)
            if (decide_alias(given, r->identity[k]) &&
                !decide_find(d->v->upstream, d->v->upstream_n, given))
                decide_remove_add(d, given);
    }
}

/* Every identity header is set or removed; so no copy that a client sent survives. */
static void decide_finish_allow(struct decision *d)
{
    const struct route *r = d->route;
    struct policy_verdict *v = d->v;
    size_t kept = 0;

    for (size_t i = 0; i < r->identity_n; i++)
        decide_remove_add(d, r->identity[i]);
    for (size_t i = 0; i < r->credentials_n; i++)
        decide_remove_add(d, r->credentials[i]);
    for (size_t i = 0; i < v->remove_n; i++)
        if (!decide_find(v->upstream, v->upstream_n, v->remove[i]))
            v->remove[kept++] = v->remove[i];
    v->remove_n = kept;
    decide_aliases(d);
}

static void decide_finish(struct decision *d)
{
    struct policy_verdict *v = d->v;

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
    rc = url_canon_path(&d->c->arena, t.path, &d->path, &e);
    if (rc != RC_OK) {
        bool unclear = rc == RC_DENIED;
        decision_deny(d, unclear ? 403 : 400, unclear ? S("path_ambiguous") : S("path_malformed"),
                      arena_dup(&d->c->arena, slice_str(e.text)), S(""));
        return false;
    }
    d->query = t.query;
    d->host = q->host;
    if (q->host.n > 0 && url_canon_host(&d->c->arena, q->host, &d->host, &e) != RC_OK) {
        decision_deny(d, 400, S("host_malformed"), S("the host is malformed"), S(""));
        return false;
    }
    return true;
}

static bool decide_route(struct decision *d)
{
    struct route_ask q = {d->ask->method, d->host, d->path, d->query, d->ask->headers,
                          d->ask->headers_n, &d->c->arena};
    int64_t began = decide_clock(d);
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
    d->ask = q;
    d->v = v;
    v->allowed = true;
    v->status = 200;
    v->reason = S("ok");
    v->words = v->rule = v->body = v->user = v->plan = v->key_uuid = v->route = S("");
    decide_id(c, v->id);
}

enum rc policy_decide(struct policy_ctx *c, const struct policy_ask *q, struct policy_verdict *v,
                      policy_done_fn *done, void *user)
{
    struct decision d;

    (void)done; /* no step waits yet */
    (void)user;
    decision_start(&d, c, q, v);
    if (!c->set) {
        decision_deny(&d, 403, S("no_route"), S("no policies are loaded"), S(""));
        return RC_OK;
    }
    if (!decide_form(&d) || !decide_route(&d))
        return RC_OK;
    for (size_t i = 0; i < d.route->items_n; i++)
        if (!d.route->items[i].row->run(&d, &d.route->items[i]))
            break;
    decide_finish(&d);
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
    meta = arena_alloc(&c->arena, (key->meta_n + 1) * sizeof *meta);
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
