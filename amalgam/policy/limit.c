/*
 * limit.c - rate limits at run time: find the rules for a descriptor, count, say what is left.
 *
 * Two callers: a route's chain (limit_run, descriptors made by actions) and POST /json
 * (policy_limit_decide, descriptors from outside). Windows are fixed and aligned to the epoch;
 * counters are ordinary keys of the store that expire with their window; a request is over when the
 * count after it is larger than the limit, and refused requests count too, as in the reference server.
 * Values inside counter names are escaped, long ones hashed: two descriptors never share a counter.
 *
 * All counters of a policy move under one store_enter, all of them even when one is over.
 * Threads: one context each. Tested by tests/unit/policy/test_limit.c.
 */
#include "policy/inside.h"

enum { LIMIT_VALUE_MAX = 256, LIMIT_HITS_MAX = DECISION_LIMITS_MAX, LIMIT_ENTRY_MAX = 32 };

struct limit_hit {
    const struct limit_rule *rule;
    struct slice counter; /* without the window */
    uint32_t requests;
    enum limit_unit unit;
    bool live;
    int64_t add;
};
struct limit_hits {
    struct limit_hit v[LIMIT_HITS_MAX];
    size_t n;
};

/* ---- names of counters ---- */

/* One of 8 bytes is c: the only bytes of w ^ cccccccc that borrow are zero. */
static inline uint64_t limit_among8(uint64_t w, char c)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t x = w ^ ones * (unsigned char)c;
    return (x - ones) & ~x & ones * 0x80;
}

/* Is there nothing to escape in these bytes? Short ones are looked at by the caller anyway. */
static bool limit_is_plain(struct slice s, char a, char b)
{
    for (size_t i = 0; i < s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + MIN(i, s.n - 8), 8);
        if (limit_among8(w, '%') | limit_among8(w, a) | limit_among8(w, b))
            return false;
    }
    return true;
}

/* Text with '%', a and b as %XX; beyond LIMIT_VALUE_MAX a digest, marked by "%#". */
static size_t limit_escape(char *dst, struct slice s, char a, char b)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;

    if (s.n > LIMIT_VALUE_MAX) {
        uint8_t digest[32];
        sha256(s, digest);
        dst[0] = '%';
        dst[1] = '#';
        return 2 + hex_encode(dst + 2, digest, sizeof digest);
    }
    if (LIKELY(s.n >= 8 && limit_is_plain(s, a, b))) {
        memcpy(dst, s.p, s.n);
        return s.n;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (LIKELY(c != '%' && c != a && c != b)) {
            dst[n++] = c;
            continue;
        }
        dst[n++] = '%';
        dst[n++] = hex[(unsigned char)c >> 4];
        dst[n++] = hex[(unsigned char)c & 15];
    }
    return n;
}

/* Keys of Envoy's actions keep their underscores, so that known counters read as people know them. */
static bool limit_known_key(struct slice key)
{
    return slice_eq(key, S("generic_key")) || slice_eq(key, S("header_match")) ||
           slice_eq(key, S("remote_address"));
}

/* Appends the entry to dst, which has room for 3 * LIMIT_VALUE_MAX twice and separators. */
static size_t limit_put_entry(char *dst, const struct limit_config *cfg, struct slice key,
                              struct slice value)
{
    size_t n = 0;

    if (cfg->reference) {
        bool raw = limit_known_key(key);
        dst[n++] = '_';
        n += limit_escape(dst + n, key, raw ? '%' : '_', '%');
        dst[n++] = '_';
        return n + limit_escape(dst + n, value, '_', '%');
    }
    dst[n++] = '|';
    n += limit_escape(dst + n, key, '|', '^');
    dst[n++] = '^';
    return n + limit_escape(dst + n, value, '|', '^');
}

static size_t limit_entry_room(struct slice key, struct slice value)
{
    return 8 + 3 * MIN(key.n, LIMIT_VALUE_MAX) + 3 * MIN(value.n, LIMIT_VALUE_MAX);
}

/* prefix + entries. shared: values to use instead of the request's (share_threshold), or NULL. */
static struct slice limit_name(struct arena *a, const struct limit_config *cfg, struct slice prefix,
                               const struct limit_entry *e, size_t n,
                               const struct limit_node *const *shared)
{
    size_t room = prefix.n + 8;
    char *p, *at;

    for (size_t i = 0; i < n; i++)
        room += limit_entry_room(e[i].key, shared && shared[i] ? shared[i]->value : e[i].value);
    p = at = arena_alloc(a, room);
    if (prefix.n)
        memcpy(at, prefix.p, prefix.n);
    at += prefix.n;
    for (size_t i = 0; i < n; i++)
        at += limit_put_entry(at, cfg, e[i].key,
                              shared && shared[i] ? shared[i]->value : e[i].value);
    return slice_of(p, (size_t)(at - p));
}

/* ---- finding rules ---- */

/* '*' stands for any bytes; everything else for itself. Linear with one backtrack point. */
static bool limit_wild(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;

    while (t < text.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = t;
        } else if (p < pattern.n && pattern.p[p] == text.p[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*')
        p++;
    return p == pattern.n;
}

static const struct limit_node *limit_indexed(const struct limit_node *up, struct slice key,
                                              struct slice value)
{
    char tmp[512];

    if (key.n + 1 + value.n > sizeof tmp)
        return NULL;
    if (key.n)
        memcpy(tmp, key.p, key.n);
    tmp[key.n] = '\0';
    if (value.n)
        memcpy(tmp + key.n + 1, value.p, value.n);
    return map_get(up->index, slice_of(tmp, key.n + 1 + value.n));
}

/* One level: exact value, then wildcards in file order, then the key alone. No way back. */
static const struct limit_node *limit_child(const struct limit_node *up, const struct limit_entry *e)
{
    const struct limit_node *wild = NULL, *bare = NULL;

    if (up->index) {
        const struct limit_node *n = limit_indexed(up, e->key, e->value);
        if (n && n->has_value && !n->wildcard)
            return n;
        if (!up->wild_kids)
            return limit_indexed(up, e->key, S(""));
    }
    for (size_t i = 0; i < up->kids_n; i++) {
        const struct limit_node *n = &up->kids[i];
        if (!slice_eq(n->key, e->key))
            continue;
        if (!n->has_value)
            bare = bare ? bare : n;
        else if (n->wildcard)
            wild = wild || !limit_wild(n->value, e->value) ? wild : n;
        else if (slice_eq(n->value, e->value))
            return n;
    }
    return wild ? wild : bare;
}

const struct limit_rule *limit_find(const struct limit_config *cfg, const struct limit_entry *e,
                                    size_t n, struct arena *a, struct slice *counter)
{
    const struct limit_node *at = &cfg->root;
    const struct limit_node *shared[LIMIT_ENTRY_MAX];

    if (n == 0 || n > LIMIT_ENTRY_MAX)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        at = limit_child(at, &e[i]);
        if (!at)
            return NULL;
        shared[i] = at->share ? at : NULL;
    }
    if (!at->rule)
        return NULL;
    if (!at->rule->unlimited)
        *counter = limit_name(a, cfg, cfg->tree_prefix, e, n, shared);
    return at->rule;
}

/* The value that the request has for the pair of a set, or NULL. */
static const struct limit_entry *limit_pair(const struct limit_node *p, const struct limit_entry *e,
                                            size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(e[i].key, p->key) && (!p->has_value || slice_eq(e[i].value, p->value)))
            return &e[i];
    return NULL;
}

static void limit_hit_add(struct limit_hits *h, const struct limit_rule *r, struct slice counter)
{
    if (h->n < LIMIT_HITS_MAX)
        h->v[h->n++] = (struct limit_hit){r, counter, r->requests, r->unit, true, 1};
}

/* First match in order counts, and whatever says alwaysApply. */
static void limit_find_sets(const struct limit_config *cfg, const struct limit_entry *e, size_t n,
                            struct arena *a, struct limit_hits *h)
{
    bool found = false;

    for (size_t i = 0; i < cfg->sets_n; i++) {
        const struct limit_set *s = &cfg->sets[i];
        struct limit_entry own[LIMIT_ENTRY_MAX];
        bool all = s->pairs_n <= LIMIT_ENTRY_MAX;
        if (found && !s->rule->always)
            continue;
        for (size_t k = 0; all && k < s->pairs_n; k++) {
            const struct limit_entry *x = limit_pair(&s->pairs[k], e, n);
            all = x != NULL;
            if (all)
                own[k] = *x;
        }
        if (!all)
            continue;
        found = true;
        struct slice name = limit_name(a, cfg, cfg->set_prefix, own, s->pairs_n, NULL);
        if (s->marker.n)
            name = arena_fmt(a, "%.*s%.*s", SFMT(name), SFMT(s->marker));
        limit_hit_add(h, s->rule, name);
    }
}

/* ---- counting ---- */

static struct slice limit_key(struct arena *a, const struct limit_hit *h, bool reference,
                              int64_t window_s)
{
    char *p = arena_alloc(a, h->counter.n + 24);

    memcpy(p, h->counter.p, h->counter.n);
    p[h->counter.n] = reference ? '_' : '|';
    return slice_of(p, h->counter.n + 1 + fmt_i64(p + h->counter.n + 1, window_s));
}

static enum rc limit_look(struct store *st, struct slice key, int64_t *count)
{
    char tmp[KS_TMP];
    struct entry *e = ks_find(st, 0, key, KS_NOTOUCH);

    *count = 0;
    if (!e)
        return RC_OK;
    return ks_type(e) == V_STRING && slice_i64(ks_str(e, tmp), count) ? RC_OK : RC_WRONGTYPE;
}

/* Inside the lock. add 0: only looks. */
static enum rc limit_take(struct store *st, struct arena *a, const struct limit_hit *h,
                          bool reference, int64_t now_ms, struct policy_limit *out)
{
    int64_t unit_s = limit_unit_s(h->unit), now_s = now_ms / 1000, count = 0;
    int64_t window_s = now_s - now_s % unit_s;
    enum rc rc;

    out->counter = limit_key(a, h, reference, window_s);
    rc = h->add > 0 ? ks_incr(st, 0, out->counter, h->add, (window_s + unit_s) * 1000, &count)
                    : limit_look(st, out->counter, &count);
    if (rc == RC_TOOBIG)
        count = INT64_MAX; /* the counter is at its end: over, whatever the limit */
    else if (rc != RC_OK)
        return rc;
    out->name = h->rule ? h->rule->name : S("override");
    out->limit = h->requests;
    out->unit = h->unit;
    out->used = (uint32_t)MIN(MAX(count, 0), (int64_t)UINT32_MAX);
    out->over = count > (int64_t)h->requests;
    out->remaining = out->over ? 0 : h->requests - out->used;
    out->reset_s = unit_s - now_s % unit_s;
    return RC_OK;
}

static enum rc limit_count(struct policy_ctx *c, struct limit_hits *h, bool reference,
                           int64_t now_ms, struct policy_limit *out)
{
    struct store *st = c->opts.store;
    enum rc rc = RC_OK;

    store_enter(st, now_ms);
    rc = store_make_room(st);
    for (size_t i = 0; i < h->n && rc == RC_OK; i++)
        if (h->v[i].live)
            rc = limit_take(st, &c->arena, &h->v[i], reference, now_ms, &out[i]);
    store_leave(st);
    return rc;
}

/* ---- a policy of a route's chain ---- */

/* False: a tuple action gave nothing, so there is no descriptor. One without a key is left out (skipIfAbsent). */
static bool limit_entries(struct decision *d, const struct limit_entry_rule *r,
                          struct limit_entry *e, size_t *n)
{
    *n = 0;
    for (size_t i = 0; i < r->actions_n; i++) {
        if (r->actions[i].row->run(d, r->actions[i].data, &e[*n]))
            *n += e[*n].key.n > 0;
        else if (!r->is_set)
            return false;
    }
    return *n > 0 || r->is_set;
}

/* Of all tree rules found only the heaviest stay, and those that always apply. */
static void limit_weigh(struct limit_hits *h, size_t from)
{
    int32_t heaviest = INT32_MIN;
    size_t n = from;

    for (size_t i = from; i < h->n; i++)
        heaviest = MAX(heaviest, h->v[i].rule->weight);
    for (size_t i = from; i < h->n; i++)
        if (h->v[i].rule->weight == heaviest || h->v[i].rule->always)
            h->v[n++] = h->v[i];
    h->n = n;
}

/* The same counter met twice by one request counts once. */
static void limit_once(struct limit_hits *h)
{
    for (size_t i = 0; i < h->n; i++)
        for (size_t k = 0; k < i; k++)
            if (h->v[k].live && h->v[k].unit == h->v[i].unit &&
                slice_eq(h->v[k].counter, h->v[i].counter))
                h->v[i].live = false;
}

static void limit_gather(struct decision *d, const struct limit_policy *p, struct limit_hits *h)
{
    struct limit_entry e[LIMIT_ENTRY_MAX];
    struct limit_hits sets;
    struct slice counter;
    size_t n;

    h->n = sets.n = 0;
    for (size_t i = 0; i < p->client->entries_n; i++) {
        const struct limit_entry_rule *r = &p->client->entries[i];
        const struct limit_rule *rule;
        if (!limit_entries(d, r, e, &n))
            continue;
        if (r->is_set)
            limit_find_sets(p->server, e, n, d->arena, &sets);
        else if ((rule = limit_find(p->server, e, n, d->arena, &counter)) != NULL)
            limit_hit_add(h, rule, counter);
    }
    limit_weigh(h, 0);
    for (size_t i = 0; i < sets.n && h->n < LIMIT_HITS_MAX; i++)
        h->v[h->n++] = sets.v[i];
    limit_once(h);
    for (size_t i = 0; i < h->n && d->peek; i++)
        h->v[i].add = 0;
}

static void limit_tell(struct decision *d, const struct limit_hits *h, const struct policy_limit *l)
{
    struct policy_verdict *v = d->v;
    struct policy_limit *all = arena_alloc(d->arena, (v->limits_n + h->n) * sizeof *all);

    if (v->limits_n)
        memcpy(all, v->limits, v->limits_n * sizeof *all);
    for (size_t i = 0; i < h->n; i++)
        if (h->v[i].live)
            all[v->limits_n++] = l[i];
    v->limits = all;
}

bool limit_run(struct decision *d, const struct limit_policy *p, bool *over, struct slice *rule,
               bool *trouble)
{
    struct limit_hits h;
    struct policy_limit out[LIMIT_HITS_MAX];

    *over = *trouble = false;
    *rule = p->rule;
    if (!p->server || !p->client || p->client->entries_n == 0)
        return false;
    d->trouble = S("");
    limit_gather(d, p, &h);
    if (d->trouble.n > 0) {
        *trouble = true;
        return true;
    }
    if (h.n == 0)
        return false;
    if (limit_count(d->c, &h, false, d->c->now_ms, out) != RC_OK) {
        *trouble = true;
        d->trouble = S("store_refused");
        return true;
    }
    for (size_t i = 0; i < h.n; i++) {
        if (h.v[i].live && out[i].over) {
            *over = true;
            *rule = h.v[i].rule->rule;
        }
    }
    if (!p->shadow)
        limit_tell(d, &h, out);
    return true;
}

/* ---- descriptors from outside ---- */

/* Entry e stands for a config of ours when it is its first generic_key; *skip entries are names. */
static const struct limit_config *limit_config_for(const struct policy_set *s, struct slice domain,
                                                   const struct limit_descriptor *d, size_t *skip)
{
    for (size_t i = 0; i < s->limits_n; i++) {
        const struct limit_config *cfg = s->limits[i];
        if (!slice_eq(cfg->domain, domain))
            continue;
        *skip = 0;
        if (cfg->reference)
            return cfg;
        *skip = 1;
        if (d->n > 0 && slice_eq(d->entries[0].key, S("generic_key")) &&
            slice_eq(d->entries[0].value, cfg->id))
            return cfg;
    }
    return NULL;
}

static bool limit_domain_known(const struct policy_set *s, struct slice domain)
{
    for (size_t i = 0; i < s->limits_n; i++)
        if (slice_eq(s->limits[i]->domain, domain))
            return true;
    return false;
}

struct limit_outside { /* one descriptor of a request, resolved */
    const struct limit_config *cfg;
    struct limit_hits hits;
    bool unlimited;
};

static bool limit_set_marker(const struct limit_entry *e)
{
    return slice_eq(e->key, S("generic_key")) &&
           slice_eq(e->value, S("solo.setDescriptor.uniqueValue"));
}

static void limit_resolve(struct policy_ctx *c, struct slice domain, const struct limit_descriptor *d,
                          struct limit_outside *out)
{
    static const struct limit_config nameless = {.reference = true};
    const struct limit_rule *r;
    struct slice counter = S("");
    size_t skip = 0;

    out->hits.n = 0;
    out->unlimited = false;
    out->cfg = limit_config_for(c->set, domain, d, &skip);
    if (d->has_override && limit_domain_known(c->set, domain)) {
        if (!out->cfg)
            out->cfg = &nameless;
        counter = limit_name(&c->arena, &nameless, domain, d->entries, d->n, NULL);
        out->hits.v[out->hits.n++] = (struct limit_hit){NULL, counter, d->override_requests,
                                                        d->override_unit, true, 1};
        return;
    }
    if (!out->cfg || d->n <= skip)
        return;
    if (skip && limit_set_marker(&d->entries[1])) {
        limit_find_sets(out->cfg, d->entries + 2, d->n - 2, &c->arena, &out->hits);
        return;
    }
    r = limit_find(out->cfg, d->entries + skip, d->n - skip, &c->arena, &counter);
    out->unlimited = r && r->unlimited;
    if (r && !r->unlimited)
        limit_hit_add(&out->hits, r, counter);
}

static bool limit_replaced(const struct limit_outside *all, size_t n, const struct limit_rule *r)
{
    for (size_t i = 0; i < n && r && r->id.n; i++)
        for (size_t k = 0; k < all[i].hits.n; k++) {
            const struct limit_rule *by = all[i].hits.v[k].rule;
            for (size_t x = 0; by && x < by->replaces_n; x++)
                if (slice_eq(by->replaces[x], r->id))
                    return true;
        }
    return false;
}

struct limit_score { /* over as a whole: any ordinary one, or all quota ones */
    size_t quota, quota_over;
    bool over;
};

static void limit_judge(struct limit_score *s, const struct limit_rule *r, struct policy_limit *l)
{
    bool quota = r && r->quota;

    if (r && r->shadow)
        l->over = false;
    s->quota += quota;
    s->quota_over += quota && l->over;
    s->over |= !quota && l->over;
}

/* Several rules may meet one descriptor (sets): the one that is over, else the tightest, is told. */
static void limit_worst(struct policy_limit *out, const struct policy_limit *l, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (i == 0 || l[i].over > out->over ||
            (l[i].over == out->over && l[i].remaining < out->remaining))
            *out = l[i];
}

static enum rc limit_one(struct policy_ctx *c, struct limit_outside *o,
                         const struct limit_descriptor *d, uint32_t addend, int64_t now_ms,
                         struct limit_score *score, struct policy_limit *out)
{
    struct policy_limit l[LIMIT_HITS_MAX];
    uint64_t hits = d->has_hits ? d->hits : addend ? addend : 1;
    enum rc rc;

    memset(out, 0, sizeof *out);
    if (o->unlimited)
        out->remaining = UINT32_MAX;
    for (size_t i = 0; i < o->hits.n; i++)
        o->hits.v[i].add = (int64_t)MIN(hits, (uint64_t)INT64_MAX);
    if (o->hits.n == 0)
        return RC_OK;
    rc = limit_count(c, &o->hits, o->cfg->reference, now_ms, l);
    for (size_t i = 0; i < o->hits.n && rc == RC_OK; i++)
        limit_judge(score, o->hits.v[i].rule, &l[i]);
    if (rc == RC_OK)
        limit_worst(out, l, o->hits.n);
    return rc;
}

enum rc policy_limit_decide(struct policy_ctx *c, struct slice domain,
                            const struct limit_descriptor *d, size_t n, uint32_t hits_addend,
                            int64_t now_ms, struct policy_limit *out, bool *over, struct err *e)
{
    struct limit_outside *all;
    struct limit_score score = {0, 0, false};
    enum rc rc = RC_OK;

    *over = false;
    if (domain.n == 0)
        return err_set(e, RC_BADINPUT, "rate limit domain must not be empty");
    if (n == 0)
        return err_set(e, RC_BADINPUT, "rate limit descriptor list must not be empty");
    for (size_t i = 0; i < n; i++)
        if (d[i].has_override && limit_unit_s(d[i].override_unit) == 0)
            return err_set(e, RC_BADINPUT, "descriptor %zu: limit.unit must be SECOND to YEAR", i);
    all = arena_try(&c->arena, n * sizeof *all);
    if (!all)
        return err_set(e, RC_TOOBIG, "too many descriptors");
    for (size_t i = 0; i < n; i++)
        limit_resolve(c, domain, &d[i], &all[i]);
    for (size_t i = 0; i < n; i++) /* marked first, dropped after: replacing is for all at once */
        for (size_t k = 0; k < all[i].hits.n; k++)
            all[i].hits.v[k].live = !limit_replaced(all, n, all[i].hits.v[k].rule);
    for (size_t i = 0; i < n && rc == RC_OK; i++) {
        if (all[i].hits.n == 1 && !all[i].hits.v[0].live)
            all[i].hits.n = 0;
        rc = limit_one(c, &all[i], &d[i], hits_addend, now_ms, &score, &out[i]);
    }
    if (rc != RC_OK)
        return err_set(e, rc, "the store refused to count: %s", rc_name(rc));
    *over = score.over || (score.quota > 0 && score.quota == score.quota_over);
    return RC_OK;
}
