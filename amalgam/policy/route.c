/*
 * route.c - from host, path, method, headers to a route, at a cost that does not grow with their number.
 *
 * Built by croute.c once per set. A host has a hash table of exact paths, a radix tree of prefixes and a
 * list of expressions. Every candidate has its place in the order of the files; of all whose path
 * matches, the first in order whose other conditions hold wins, as if they had been tried one by one.
 * Hosts: the exact one, else the longest *.suffix, else *; as in Envoy there is no falling back from a
 * host that has routes to a wider one.
 *
 * Nodes live in the set's arena, tables are freed by route_index_free. Readers share it without locks.
 * Tested by tests/unit/policy/test_route.c.
 */
#include "policy/inside.h"
#include "policy/names.h"
#include <stdio.h>
#include <stdlib.h>

struct route_prefix { /* one node of the radix tree */
    struct slice label;         /* bytes from the node above to this one */
    struct route_cand *cands;   /* routes whose prefix ends here */
    struct route_prefix *kids;  /* sorted by first byte */
    size_t kids_n;
};
struct route_paths { /* one distinct path or prefix */
    struct slice text;
    struct route_cand *first, *last;
};
struct route_host {
    struct map exact; /* path -> struct route_paths */
    struct map prefixes; /* the same while building */
    struct route_prefix root;
    struct route_cand *regex_first, *regex_last;
};

/* ---- building ---- */

static void route_append(struct route_cand **first, struct route_cand **last, struct route_cand *c)
{
    if (*last)
        (*last)->next = c;
    else
        *first = c;
    *last = c;
}

static void route_add_path(struct arena *a, struct map *m, struct slice text, struct route_cand *c)
{
    struct route_paths *p = map_get(m, text);

    if (!p) {
        p = ARENA_NEW(a, struct route_paths);
        p->text = text;
        map_put(m, text, p);
    }
    route_append(&p->first, &p->last, c);
}

static struct route_host *route_host_for(struct policy_set *s, struct slice host)
{
    struct route_index *x = &s->index;
    bool any = slice_eq(host, S("*"));
    struct map *m = slice_starts(host, S("*.")) ? &x->suffix : &x->exact;
    struct slice key = m == &x->suffix ? slice_from(host, 1) : host;
    struct route_host *h = any ? x->any : map_get(m, key);

    if (h)
        return h;
    h = ARENA_NEW(&s->arena, struct route_host);
    map_init(&h->exact);
    map_init(&h->prefixes);
    if (any)
        x->any = h;
    else
        map_put(m, key, h);
    return h;
}

static void route_add(struct policy_set *s, struct route_host *h, const struct route *r, size_t order)
{
    for (size_t i = 0; i < r->matches_n; i++) {
        struct route_cand *c = ARENA_NEW(&s->arena, struct route_cand);
        c->order = order;
        c->route = r;
        c->match = &r->matches[i];
        if (c->match->kind == URI_EXACT)
            route_add_path(&s->arena, &h->exact, c->match->uri, c);
        else if (c->match->kind == URI_PREFIX)
            route_add_path(&s->arena, &h->prefixes, c->match->uri, c);
        else
            route_append(&h->regex_first, &h->regex_last, c);
    }
}

static int route_by_text(const void *a, const void *b)
{
    const struct route_paths *x = *(struct route_paths *const *)a, *y = *(struct route_paths *const *)b;

    return slice_cmp(x->text, y->text);
}

/* v[0..n) is sorted and all share the first `from` bytes; fills the node that stands for them. */
static void route_tree(struct arena *a, struct route_paths **v, size_t n, size_t from,
                       struct route_prefix *out)
{
    size_t at = 0, groups = 0, same = v[0]->text.n;

    for (size_t i = from; i < same; i++) /* sorted: what first and last share, all share */
        if (i >= v[n - 1]->text.n || v[n - 1]->text.p[i] != v[0]->text.p[i])
            same = i;
    out->label = slice_sub(v[0]->text, from, same - from);
    if (v[0]->text.n == same) {
        out->cands = v[0]->first;
        at = 1;
    }
    for (size_t i = at; i < n; i++)
        groups += i == at || v[i]->text.p[same] != v[i - 1]->text.p[same];
    out->kids = ARENA_ARRAY(a, struct route_prefix, groups + 1);
    while (at < n) {
        size_t end = at + 1;
        while (end < n && v[end]->text.p[same] == v[at]->text.p[same])
            end++;
        route_tree(a, v + at, end - at, same, &out->kids[out->kids_n++]);
        at = end;
    }
}

static void route_host_finish(struct policy_set *s, struct route_host *h)
{
    struct route_paths **v = mem_alloc((h->prefixes.n + 1) * sizeof *v);
    struct slice key;
    void *value;
    size_t it = 0, n = 0;

    while (map_next(&h->prefixes, &it, &key, &value))
        v[n++] = value;
    if (n > 0) {
        qsort(v, n, sizeof *v, route_by_text);
        route_tree(&s->arena, v, n, 0, &h->root);
    }
    mem_free(v);
    map_free(&h->prefixes);
    map_init(&h->prefixes);
}

static void route_each_host(struct route_index *x, void (*each)(void *ctx, struct route_host *h),
                            void *ctx)
{
    struct slice key;
    void *value;

    for (size_t it = 0; map_next(&x->exact, &it, &key, &value);)
        each(ctx, value);
    for (size_t it = 0; map_next(&x->suffix, &it, &key, &value);)
        each(ctx, value);
    if (x->any)
        each(ctx, x->any);
}

static void route_finish_one(void *ctx, struct route_host *h)
{
    route_host_finish(ctx, h);
}

static void route_free_one(void *ctx, struct route_host *h)
{
    (void)ctx;
    map_free(&h->exact);
    map_free(&h->prefixes);
}

void route_index_free(struct route_index *x)
{
    route_each_host(x, route_free_one, NULL);
    map_free(&x->exact);
    map_free(&x->suffix);
}

/* ---- matching ---- */

bool route_pair_ok(const struct pair_match *m, bool there, struct slice value, enum rc *trouble)
{
    bool ok = there;
    size_t groups = 0;

    if (there && m->regex) {
        enum rc rc = regex_match(m->regex, value, NULL, 0, &groups);
        if (rc != RC_OK && rc != RC_NOTFOUND)
            *trouble = rc;
        ok = rc == RC_OK;
    } else if (there && !m->present_only) {
        ok = slice_eq(value, m->value);
    }
    return ok != m->invert;
}

bool header_is_list(struct slice name)
{
    static const char *const single[] = {"authorization", "cookie", "date", "expires", "from", "if-modified-since",
                                         "if-range", "if-unmodified-since", "last-modified", "origin",
                                         "proxy-authorization", "referer", "server", "set-cookie", "user-agent"};

    for (size_t i = 0; i < ARRAY_LEN(single); i++)
        if (slice_eq_ci(name, slice_str(single[i])))
            return false;
    return true;
}

/* The value as it is, or one member of a list with commas: that is how a gateway hands over what came in
 * several lines, and a rule for "admin" must see the one in "user, admin". */
static bool route_value_ok(const struct pair_match *m, struct slice value, enum rc *trouble)
{
    enum { MEMBERS_MAX = 64 }; /* of one that needs an expression */
    struct slice rest = value;
    bool found = route_pair_ok(m, true, value, trouble);

    if (LIKELY(found || m->present_only || slice_index(value, ',') == SIZE_MAX) || !header_is_list(m->name))
        return found;
    for (size_t i = 0; rest.n > 0 && !found; i++) {
        if (m->regex && i >= MEMBERS_MAX) {
            *trouble = RC_TOOBIG;
            return false;
        }
        found = route_pair_ok(m, true, slice_trim(slice_cut(rest, ',', &rest)), trouble);
    }
    return found;
}

/* Any value under the name will do, in lines of its own or with commas; with invertMatch none may. */
static bool route_header_ok(const struct pair_match *m, const struct route_ask *q, enum rc *trouble)
{
    struct pair_match plain = *m;
    bool found = false;

    plain.invert = false;
    for (size_t i = 0; i < q->headers_n && !found; i++)
        if (slice_eq_ci(q->headers[i].name, m->name))
            found = route_value_ok(&plain, q->headers[i].value, trouble);
    return found != m->invert;
}

static bool route_param_ok(const struct pair_match *m, const struct route_ask *q, enum rc *trouble)
{
    struct pair_match plain = *m;
    struct slice rest = q->query, key, value;
    bool found = false;

    plain.invert = false;
    while (!found && url_query_next(q->arena, &rest, &key, &value))
        if (slice_eq(key, m->name))
            found = route_pair_ok(&plain, true, value, trouble);
    return found != m->invert;
}

static bool route_rest_ok(const struct route_match *m, const struct route_ask *q, enum rc *trouble)
{
    if (m->method.n > 0 && !slice_eq(m->method, q->method))
        return false;
    for (size_t i = 0; i < m->headers_n; i++)
        if (!route_header_ok(&m->headers[i], q, trouble))
            return false;
    for (size_t i = 0; i < m->params_n; i++)
        if (!route_param_ok(&m->params[i], q, trouble))
            return false;
    return true;
}

static bool route_uri_ok(const struct route_match *m, struct slice path, enum rc *trouble)
{
    size_t groups = 0;
    enum rc rc;

    if (m->kind == URI_EXACT)
        return slice_eq(m->uri, path);
    if (m->kind == URI_PREFIX)
        return slice_starts(path, m->uri);
    rc = regex_match(m->regex, path, NULL, 0, &groups);
    if (rc != RC_OK && rc != RC_NOTFOUND)
        *trouble = rc;
    return rc == RC_OK;
}

static bool route_parents_ok(const struct route *r, const struct route_ask *q, enum rc *trouble)
{
    for (const struct route *p = r->parent; p; p = p->parent) {
        bool any = false;
        for (size_t i = 0; i < p->matches_n && !any; i++)
            any = route_uri_ok(&p->matches[i], q->path, trouble) &&
                  route_rest_ok(&p->matches[i], q, trouble);
        if (!any)
            return false;
    }
    return true;
}

static bool route_cand_ok(const struct route_cand *c, const struct route_ask *q, enum rc *trouble)
{
    return route_rest_ok(c->match, q, trouble) && route_parents_ok(c->route, q, trouble);
}

/* The first of the list that comes before *best and holds. */
static void route_try(const struct route_cand *c, const struct route_ask *q,
                      const struct route_cand **best, enum rc *trouble)
{
    for (; c && (!*best || c->order < (*best)->order); c = c->next) {
        if (route_cand_ok(c, q, trouble)) {
            *best = c;
            return;
        }
    }
}

static const struct route_prefix *route_kid(const struct route_prefix *p, char c)
{
    size_t lo = 0, hi = p->kids_n;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        unsigned char k = (unsigned char)p->kids[mid].label.p[0];
        if (k == (unsigned char)c)
            return &p->kids[mid];
        if (k < (unsigned char)c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void route_walk(const struct route_prefix *p, const struct route_ask *q,
                       const struct route_cand **best, enum rc *trouble)
{
    struct slice rest = q->path;

    while (p && slice_starts(rest, p->label)) {
        rest = slice_from(rest, p->label.n);
        route_try(p->cands, q, best, trouble);
        p = rest.n > 0 ? route_kid(p, rest.p[0]) : NULL;
    }
}

static void route_regexes(const struct route_host *h, const struct route_ask *q,
                          const struct route_cand **best, enum rc *trouble)
{
    const struct route_cand *c = h->regex_first;

    for (; c && (!*best || c->order < (*best)->order); c = c->next) {
        if (route_uri_ok(c->match, q->path, trouble) && route_cand_ok(c, q, trouble)) {
            *best = c;
            return;
        }
    }
}

static const struct route_host *route_host_of(const struct route_index *x, struct slice host)
{
    const struct route_host *h = host.n && x->exact.n ? map_get(&x->exact, host) : NULL;

    for (size_t i = 0; !h && x->suffix.n && i < host.n; i++)
        if (host.p[i] == '.' && i > 0)
            h = map_get(&x->suffix, slice_from(host, i));
    return h ? h : x->any;
}

enum rc route_find(const struct route_index *x, const struct route_ask *q, const struct route **out)
{
    const struct route_host *h = route_host_of(x, q->host);
    const struct route_cand *best = NULL;
    const struct route_paths *exact;
    enum rc trouble = RC_OK;

    *out = NULL;
    if (!h)
        return RC_NOTFOUND;
    exact = h->exact.n ? map_get(&h->exact, q->path) : NULL;
    if (exact)
        route_try(exact->first, q, &best, &trouble);
    route_walk(&h->root, q, &best, &trouble);
    route_regexes(h, q, &best, &trouble);
    if (trouble != RC_OK)
        return trouble; /* an expression gave up: nobody knows which route it is */
    if (!best)
        return RC_NOTFOUND;
    *out = best->route;
    return RC_OK;
}

/* ---- routes that can never be reached ---- */

static bool route_plain(const struct route *r, const struct route_match *m)
{
    return !r->parent && m->method.n == 0 && m->headers_n == 0 && m->params_n == 0;
}

static void route_warn_hidden(struct policy_set *s, const struct route *r, size_t order,
                              struct policy_faults *faults)
{
    for (size_t k = 0; k < r->hosts_n; k++) {
        const struct route_host *h = route_host_for(s, r->hosts[k]);
        for (size_t i = 0; i < r->matches_n; i++) {
            const struct route_match *m = &r->matches[i];
            struct route_ask q = {.path = m->uri, .arena = &s->arena};
            const struct route_cand *best = NULL;
            enum rc trouble = RC_OK;
            char text[300];
            if (m->kind == URI_REGEX)
                continue;
            route_walk(&h->root, &q, &best, &trouble);
            if (!best || best->order >= order || !route_plain(best->route, best->match))
                continue;
            (void)snprintf(text, sizeof text, "route %.*s is never reached: prefix %.*s at %.*s "
                           "comes first", SFMT(slice_sub(r->name, 0, 80)),
                           SFMT(slice_sub(best->match->uri, 0, 80)),
                           SFMT(slice_sub(best->match->rule, 0, 80)));
            fault_put(faults, true, r->file, r->line, 1, S(""), slice_str(text));
        }
    }
}

void route_index_build(struct policy_set *s, struct route **routes, size_t n,
                       struct policy_faults *faults)
{
    map_init(&s->index.exact);
    map_init(&s->index.suffix);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < routes[i]->hosts_n; k++)
            route_add(s, route_host_for(s, routes[i]->hosts[k]), routes[i], i);
    route_each_host(&s->index, route_finish_one, s);
    for (size_t i = 0; i < n; i++)
        route_warn_hidden(s, routes[i], i, faults);
}
