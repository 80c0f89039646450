/*
 * croute.c - RouteTables, delegation and labels -> the ordered list of routes, each with its chain.
 *
 * compile_route_table only notes the tables; compile_chains, at the end of loading, expands delegations,
 * finds for each route the policies whose labels it carries, sorts them by phase and priority and
 * hands the list to route.c. Without any RouteTable there is one route, everything, with every policy.
 * Lives in the set's arena. One thread at a time. Tested by test_route.c and test_decide.c.
 */
#include "policy/inside.h"
#include "policy/names.h"
#include <stdlib.h>

enum { CROUTE_DEPTH_MAX = 8, CROUTE_ROUTES_MAX = 200000 };

struct croute_table { /* a RouteTable as read */
    struct resource *r;
    const struct doc_route_table *doc;
    struct route **routes; /* one per http[] item, hosts and parent open */
    size_t order;
    bool delegated, used;
};

/* ---- one RouteTable ---- */

static bool croute_pairs(struct load *l, const struct field_in *in, const struct field_list *docs,
                         struct pair_match **out, size_t *n)
{
    *out = ARENA_ARRAY(&l->set->arena, struct pair_match, docs->n + 1);
    for (size_t i = 0; i < docs->n; i++) {
        const struct doc_pair_match *d = docs->items[i];
        struct pair_match *m = &(*out)[i];
        m->name = d->name;
        m->value = d->value;
        m->present_only = d->value.n == 0;
        m->invert = d->invert;
        if (d->regex && !(m->regex = set_regex(l->set, in, d->self, d->value, false)))
            return false;
        (*n)++;
    }
    return true;
}

/* Rules see canonical paths, so a rule's path must be one. */
static bool croute_canon(struct load *l, const struct field_in *in, const struct doc_uri *u,
                         struct slice path, struct slice *out)
{
    struct err e = {0};

    if (path.n > 0 && path.p[0] == '/' && url_canon_path(&l->set->arena, path, out, &e) == RC_OK)
        return true;
    fault_add(in, false, u->self, NULL, "path \"%.*s\" can never match: %s",
              SFMT(slice_sub(path, 0, 100)), e.text[0] ? e.text : "it must begin with /");
    return false;
}

/* Case folding goes through an expression; \Q...\E keeps the path literal. */
static bool croute_folded(struct load *l, const struct field_in *in, const struct doc_uri *u,
                          struct slice path, bool prefix, struct route_match *m)
{
    struct slice pattern = u->regex;

    if (path.n > 0)
        pattern = arena_fmt(&l->set->arena, "\\Q%.*s\\E%s", SFMT(path), prefix ? ".*" : "");
    m->kind = URI_REGEX;
    m->regex = set_regex(l->set, in, u->self, pattern, u->ignore_case);
    return m->regex != NULL;
}

static bool croute_uri(struct load *l, const struct field_in *in, const struct doc_uri *u,
                       struct route_match *m)
{
    int given = (u->exact.n > 0) + (u->prefix.n > 0) + (u->regex.n > 0);
    struct slice path = u->exact.n ? u->exact : u->prefix;

    if (given != 1) {
        fault_add(in, false, u->self, NULL, "uri: expected one of exact, prefix and regex");
        return false;
    }
    m->rank = u->exact.n ? URI_EXACT : u->prefix.n ? URI_PREFIX : URI_REGEX;
    m->rank_n = u->regex.n ? u->regex.n : path.n;
    if (u->regex.n > 0)
        return croute_folded(l, in, u, S(""), false, m);
    if (!croute_canon(l, in, u, path, &m->uri))
        return false;
    if (u->ignore_case)
        return croute_folded(l, in, u, m->uri, u->prefix.n > 0, m);
    m->kind = u->exact.n ? URI_EXACT : URI_PREFIX;
    return true;
}

static bool croute_match(struct load *l, const struct field_in *in, const struct doc_matcher *d,
                         struct route_match *m)
{
    m->kind = m->rank = URI_PREFIX;
    m->uri = S("/");
    m->rank_n = 1;
    m->method = d->method;
    m->rule = load_rule(l, in->file, d->self);
    if (d->method.n > 0 && !http_token_ok(d->method)) {
        fault_add(in, false, d->self, NULL, "method \"%.*s\" is no method",
                  SFMT(slice_sub(d->method, 0, 40)));
        return false;
    }
    return (!d->uri || croute_uri(l, in, d->uri, m)) &&
           croute_pairs(l, in, &d->headers, &m->headers, &m->headers_n) &&
           croute_pairs(l, in, &d->params, &m->params, &m->params_n);
}

static struct route *croute_http(struct load *l, struct resource *r, const struct doc_http *d,
                                 size_t index)
{
    struct route *o = ARENA_NEW(&l->set->arena, struct route);
    struct field_in in = load_in(l, r->file);

    o->name = d->name.n ? arena_fmt(&l->set->arena, "%.*s/%.*s", SFMT(r->full), SFMT(d->name))
                        : arena_fmt(&l->set->arena, "%.*s/%zu", SFMT(r->full), index);
    o->rule = load_rule(l, r->file, d->self);
    o->file = r->file;
    o->line = d->self->line;
    o->labels = d->labels;
    o->by_table = true;
    o->matches = ARENA_ARRAY(&l->set->arena, struct route_match, d->matchers.n + 1);
    for (size_t i = 0; i < d->matchers.n; i++)
        if (croute_match(l, &in, d->matchers.items[i], &o->matches[o->matches_n]))
            o->matches_n++;
    if (d->matchers.n == 0)
        o->matches[o->matches_n++] =
            (struct route_match){.kind = URI_PREFIX, .uri = S("/"), .rule = o->rule, .rank = URI_PREFIX, .rank_n = 1};
    return o;
}

void compile_route_table(struct load *l, struct resource *r)
{
    struct croute_table *t = ARENA_NEW(&l->scratch, struct croute_table);
    const struct doc_route_table *d = r->doc->spec;

    t->r = r;
    t->doc = d;
    t->order = l->tables.n;
    t->routes = ARENA_ARRAY(&l->scratch, struct route *, d->http.n + 1);
    for (size_t i = 0; i < d->http.n; i++) {
        t->routes[i] = croute_http(l, r, d->http.items[i], i);
        t->routes[i]->product = d->portal ? d->portal->product : S("");
    }
    l->have_tables = true;
    vec_push(&l->tables, t);
}

/* ---- delegation ---- */

static bool croute_is_target(const struct croute_table *t, const struct doc_delegate *to,
                             struct slice ns)
{
    for (size_t i = 0; i < to->tables.n; i++) {
        const struct doc_delegate_to *d = to->tables.items[i];
        if (d->ns.n > 0 && !slice_eq(d->ns, t->r->ns))
            continue;
        if (d->name.n > 0 && slice_eq(d->name, t->r->name) &&
            (d->ns.n > 0 || slice_eq(ns, t->r->ns)))
            return true;
        if (d->name.n == 0 && d->labels.n > 0 && labels_match(&d->labels, &t->r->doc->meta->labels))
            return true;
    }
    return false;
}

/* Tables that have hosts of their own stand alone, whoever names them. */
static void croute_mark_delegated(struct load *l)
{
    for (size_t i = 0; i < l->tables.n; i++) {
        const struct croute_table *from = l->tables.v[i];
        for (size_t k = 0; k < from->doc->http.n; k++) {
            const struct doc_http *h = from->doc->http.items[k];
            for (size_t j = 0; h->delegate && j < l->tables.n; j++) {
                struct croute_table *t = l->tables.v[j];
                if (t != from && t->doc->hosts.n == 0 &&
                    croute_is_target(t, h->delegate, from->r->ns))
                    t->delegated = true;
            }
        }
    }
}

struct croute_walk {
    struct load *l;
    struct slice *hosts;
    size_t hosts_n;
    int depth;
};

static void croute_expand(const struct croute_walk *w, const struct croute_table *t,
                          const struct route *parent);

/* ---- sortMethod: ROUTE_SPECIFICITY ---- */

static int croute_by_rank(const void *a, const void *b)
{
    static const int order[] = {[URI_EXACT] = 0, [URI_REGEX] = 1, [URI_PREFIX] = 2};
    const struct route *x = *(struct route *const *)a, *y = *(struct route *const *)b;
    const struct route_match *m = x->matches, *k = y->matches;

    if (m->rank != k->rank)
        return order[m->rank] < order[k->rank] ? -1 : 1;
    if (m->rank_n != k->rank_n)
        return m->rank_n > k->rank_n ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* The routes behind `from`, each matcher on its own: a route is as specific as the matcher that holds. */
static void croute_sort(struct load *l, size_t from)
{
    size_t end = l->routes.n, n = 0;
    struct route **found;

    for (size_t i = from; i < end; i++)
        n += ((struct route *)l->routes.v[i])->matches_n;
    found = ARENA_ARRAY(&l->scratch, struct route *, n + 1);
    n = 0;
    for (size_t i = from; i < end; i++) {
        const struct route *r = l->routes.v[i];
        for (size_t k = 0; k < r->matches_n; k++) {
            struct route *one = ARENA_NEW(&l->set->arena, struct route);
            *one = *r;
            one->matches = &r->matches[k];
            one->matches_n = 1;
            one->order = n;
            found[n++] = one;
        }
    }
    if (n)
        qsort(found, n, sizeof *found, croute_by_rank);
    l->routes.n = from;
    for (size_t i = 0; i < n; i++)
        vec_push(&l->routes, found[i]);
}

static void croute_delegate(const struct croute_walk *w, const struct croute_table *t, size_t k,
                            const struct route *parent)
{
    const struct doc_http *h = t->doc->http.items[k];
    struct croute_walk below = *w;
    struct route *here = ARENA_NEW(&w->l->set->arena, struct route);
    struct field_in in = load_in(w->l, t->r->file);
    size_t from = w->l->routes.n;
    bool any = false;

    *here = *t->routes[k];
    here->parent = parent;
    if (++below.depth > CROUTE_DEPTH_MAX || w->l->expansions++ > CROUTE_ROUTES_MAX) {
        fault_add(&in, false, h->self, NULL, "RouteTables delegate deeper than %d levels, or in a "
                  "circle", CROUTE_DEPTH_MAX);
        return;
    }
    for (size_t j = 0; j < w->l->tables.n; j++) {
        struct croute_table *to = w->l->tables.v[j];
        if (to->delegated && to != t && croute_is_target(to, h->delegate, t->r->ns)) {
            any = to->used = true;
            croute_expand(&below, to, here);
        }
    }
    if (h->delegate->sort == 1)
        croute_sort(w->l, from);
    if (!any)
        fault_add(&in, true, h->self, NULL, "route %.*s delegates to no RouteTable that is there",
                  SFMT(here->name));
}

static void croute_expand(const struct croute_walk *w, const struct croute_table *t,
                          const struct route *parent)
{
    for (size_t k = 0; k < t->doc->http.n && w->l->routes.n < CROUTE_ROUTES_MAX; k++) {
        const struct doc_http *h = t->doc->http.items[k];
        struct route *o;
        if (h->delegate) {
            croute_delegate(w, t, k, parent);
            continue;
        }
        o = ARENA_NEW(&w->l->set->arena, struct route);
        *o = *t->routes[k];
        o->parent = parent;
        o->hosts = w->hosts;
        o->hosts_n = w->hosts_n;
        vec_push(&w->l->routes, o);
    }
}

static bool croute_host(struct load *l, const struct field_in *in, const struct croute_table *t,
                        struct slice raw, struct slice *out)
{
    bool wild = slice_starts(raw, S("*."));
    struct slice host = wild ? slice_from(raw, 2) : raw;
    struct err e = {0};

    if (slice_eq(raw, S("*"))) {
        *out = raw;
        return true;
    }
    if (url_canon_host(&l->set->arena, host, &host, &e) != RC_OK ||
        slice_index(host, '*') != SIZE_MAX) {
        fault_add(in, false, t->r->node, NULL, "host \"%.*s\": expected a name, *.name or *",
                  SFMT(slice_sub(raw, 0, 100)));
        return false;
    }
    *out = wild ? arena_fmt(&l->set->arena, "*.%.*s", SFMT(host)) : host;
    return true;
}

static void croute_root(struct load *l, const struct croute_table *t)
{
    struct croute_walk w = {.l = l};
    struct field_in in = load_in(l, t->r->file);

    w.hosts = ARENA_ARRAY(&l->set->arena, struct slice, t->doc->hosts.n + 1);
    for (size_t i = 0; i < t->doc->hosts.n; i++)
        if (croute_host(l, &in, t, t->doc->hosts.v[i], &w.hosts[w.hosts_n]))
            w.hosts_n++;
    if (t->doc->hosts.n == 0)
        w.hosts[w.hosts_n++] = S("*");
    croute_expand(&w, t, NULL);
}

static int croute_by_weight(const void *a, const void *b)
{
    const struct croute_table *x = *(struct croute_table *const *)a;
    const struct croute_table *y = *(struct croute_table *const *)b;

    if (x->doc->weight != y->doc->weight)
        return x->doc->weight > y->doc->weight ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

/* ---- chains ---- */

struct croute_link { /* selectors that look for the same first label */
    struct selector *s;
    struct croute_link *next;
};

struct croute_lookup {
    struct vec all;   /* selectors that take every route */
    struct map label; /* first label -> list of the others */
    struct vec found; /* for the route at hand */
};

static struct slice croute_label_key(struct arena *a, struct slice name, struct slice value)
{
    char *p = arena_alloc(a, name.n + value.n + 1);

    if (name.n)
        memcpy(p, name.p, name.n);
    p[name.n] = '=';
    if (value.n)
        memcpy(p + name.n + 1, value.p, value.n);
    return slice_of(p, name.n + value.n + 1);
}

static void croute_lookup_fill(struct load *l, struct croute_lookup *x)
{
    map_init(&x->label);
    for (size_t i = l->selectors.n; i-- > 0;) { /* backwards, so that lists keep the files' order */
        struct selector *s = l->selectors.v[i];
        struct croute_link *k;
        if (s->all || !l->have_tables) {
            vec_push(&x->all, s);
            continue;
        }
        k = ARENA_NEW(&l->scratch, struct croute_link);
        k->s = s;
        k->next = map_put(&x->label, croute_label_key(&l->scratch, s->labels.v[0].name,
                                                      s->labels.v[0].value), k);
    }
}

/* The route's own labels and those of the routes that delegate to it. */
static struct field_pairs croute_all_labels(struct load *l, const struct route *r)
{
    struct field_pairs all = {NULL, 0};
    size_t n = 0;

    for (const struct route *p = r; p; p = p->parent)
        n += p->labels.n;
    all.v = ARENA_ARRAY(&l->scratch, struct field_pair, n + 1);
    for (const struct route *p = r; p; p = p->parent)
        for (size_t i = 0; i < p->labels.n; i++)
            all.v[all.n++] = p->labels.v[i];
    return all;
}

static int croute_by_phase(const void *a, const void *b)
{
    const struct chain_item *x = a, *y = b;

    if (x->phase != y->phase)
        return x->phase < y->phase ? -1 : 1;
    if (x->priority != y->priority)
        return x->priority < y->priority ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

static void croute_take(struct vec *found, struct selector *s)
{
    s->hit = true;
    for (size_t i = 0; i < found->n; i++)
        if (((struct selector *)found->v[i])->item.policy == s->item.policy)
            return; /* two of its selectors meet this route */
    vec_push(found, s);
}

/* Names of identity headers and of headers with secrets, of all items, each once. */
static void croute_add_names(struct slice *list, size_t *n, const struct slice *names, size_t names_n)
{
    for (size_t k = 0; k < names_n; k++) {
        bool known = false;
        for (size_t i = 0; i < *n && !known; i++)
            known = slice_eq_ci(list[i], names[k]);
        if (!known)
            list[(*n)++] = names[k];
    }
}

static void croute_identity(struct load *l, struct route *r)
{
    size_t identity = 0, credentials = 0, cookies = 0;

    for (size_t i = 0; i < r->items_n; i++) {
        identity += r->items[i].identity_n;
        credentials += r->items[i].credentials_n;
        cookies += r->items[i].cookies_n;
    }
    r->identity = ARENA_ARRAY(&l->set->arena, struct slice, identity + 1);
    r->credentials = ARENA_ARRAY(&l->set->arena, struct slice, credentials + 1);
    r->cookies = ARENA_ARRAY(&l->set->arena, struct slice, cookies + 1);
    r->key_header = S("");
    for (size_t i = 0; i < r->items_n; i++) {
        const struct chain_item *item = &r->items[i];
        if (!item->shadow) { /* what a shadow would take or set stays the client's */
            croute_add_names(r->identity, &r->identity_n, item->identity, item->identity_n);
            croute_add_names(r->credentials, &r->credentials_n, item->credentials, item->credentials_n);
            croute_add_names(r->cookies, &r->cookies_n, item->cookies, item->cookies_n);
        }
        if (r->key_header.n == 0)
            r->key_header = item->key_header;
    }
    r->taken_n = r->credentials_n;
    for (size_t i = 0; i < r->items_n; i++) /* secrets are secrets: no counter is named by one */
        croute_add_names(r->credentials, &r->credentials_n, r->items[i].credentials, r->items[i].credentials_n);
}

static void croute_chain(struct load *l, struct route *r, struct croute_lookup *x)
{
    struct field_pairs labels = croute_all_labels(l, r);
    struct vec *found = &x->found;

    found->n = 0;
    for (size_t i = 0; i < x->all.n; i++)
        croute_take(found, x->all.v[i]);
    for (size_t i = 0; i < labels.n; i++) {
        struct slice key = croute_label_key(&l->scratch, labels.v[i].name, labels.v[i].value);
        for (struct croute_link *k = map_get(&x->label, key); k; k = k->next)
            if (labels_match(&k->s->labels, &labels))
                croute_take(found, k->s);
    }
    r->items = ARENA_ARRAY(&l->set->arena, struct chain_item, found->n + 1);
    r->items_n = found->n;
    for (size_t i = 0; i < found->n; i++) {
        r->items[i] = ((struct selector *)found->v[i])->item;
        r->has_auth |= r->items[i].row == item_auth() || item_jwt_required(&r->items[i]);
    }
    if (r->items_n)
        qsort(r->items, r->items_n, sizeof *r->items, croute_by_phase);
    croute_identity(l, r);
}

static void croute_warn_idle(struct load *l)
{
    for (size_t i = 0; i < l->selectors.n; i++) {
        const struct selector *s = l->selectors.v[i];
        struct field_in in = load_in(l, s->file);
        if (!s->hit && !s->all)
            fault_add(&in, true, s->at, NULL, "%.*s applies to no route: none has label %.*s: %.*s",
                      SFMT(s->name), SFMT(slice_sub(s->labels.v[0].name, 0, 60)),
                      SFMT(slice_sub(s->labels.v[0].value, 0, 60)));
    }
}

/* Tables that only delegate to one another, or to which only unreachable ones delegate. */
static void croute_warn_lost(struct load *l)
{
    for (size_t i = 0; i < l->tables.n; i++) {
        const struct croute_table *t = l->tables.v[i];
        struct field_in in = load_in(l, t->r->file);
        if (t->delegated && !t->used)
            fault_add(&in, true, t->r->node, NULL, "no RouteTable with hosts leads to %.*s: its routes "
                      "are never reached", SFMT(t->r->full));
    }
}

/* No RouteTable: one route for everything, if anything says who may pass. */
static void croute_everything(struct load *l)
{
    struct route *r = ARENA_NEW(&l->set->arena, struct route);

    r->name = S("(everything)");
    r->rule = r->file = S("");
    r->matches = ARENA_NEW(&l->set->arena, struct route_match);
    r->matches[0] = (struct route_match){.kind = URI_PREFIX, .uri = S("/"), .rule = S("")};
    r->matches_n = 1;
    r->hosts = ARENA_NEW(&l->set->arena, struct slice);
    r->hosts[0] = S("*");
    r->hosts_n = 1;
    vec_push(&l->routes, r);
}

void compile_chains(struct load *l)
{
    struct croute_lookup x = {0};

    if (l->tables.n)
        qsort(l->tables.v, l->tables.n, sizeof *l->tables.v, croute_by_weight);
    croute_mark_delegated(l);
    for (size_t i = 0; i < l->tables.n; i++)
        if (!((struct croute_table *)l->tables.v[i])->delegated)
            croute_root(l, l->tables.v[i]);
    croute_warn_lost(l);
    if (!l->have_tables)
        croute_everything(l);
    croute_lookup_fill(l, &x);
    for (size_t i = 0; i < l->routes.n; i++)
        croute_chain(l, l->routes.v[i], &x);
    map_free(&x.label);
    mem_free(x.found.v);
    mem_free(x.all.v);
    croute_warn_idle(l);
    l->set->routes = ARENA_ARRAY(&l->set->arena, struct route *, l->routes.n + 1);
    for (size_t i = 0; i < l->routes.n; i++)
        l->set->routes[i] = l->routes.v[i];
    l->set->routes_n = l->routes.n;
    route_index_build(l->set, l->set->routes, l->set->routes_n, l->faults);
}
