/*
 * climit.c - rate-limit documents -> trees, sets, actions and policies.
 *
 * Called through the rows of kinds.c and, for files of the reference server, by load.c. Finding and
 * counting at run time is limit.c. Everything lives in the set's arena. One thread at a time.
 * Tested by tests/unit/policy/test_limit.c.
 */
#include "policy/inside.h"
#include "policy/names.h"

enum { LIMIT_INDEX_FROM = 8, LIMIT_ACTIONS_MAX = 16, LIMIT_ENTRIES_MAX = 64 };

struct climit { /* what is known on the way down a tree */
    struct load *l;
    struct field_in in;
    struct limit_config *cfg;
    const struct limit_node *plan; /* nearest node with key usagePlan and a value */
    size_t rules;
};

/* A value that may stand in a quoted structured field; other bytes become '-'. */
static struct slice climit_label(struct load *l, const struct climit *c, struct slice plan)
{
    struct slice s = plan.n ? arena_dup(&l->set->arena, plan)
                            : arena_fmt(&l->set->arena, "%.*s-%zu", SFMT(c->cfg->name), c->rules);
    char *p = (char *)(uintptr_t)s.p;

    for (size_t i = 0; i < s.n; i++)
        if (p[i] < 0x20 || p[i] > 0x7e || p[i] == '"' || p[i] == '\\')
            p[i] = '-';
    return s;
}

static bool climit_algorithm(struct climit *c, const struct yaml *at, int algorithm, int64_t burst)
{
    static const char *const names[] = {"fixed", "sliding", "gcra"};

    if (algorithm != 0) {
        fault_add(&c->in, false, at, NULL, "algorithm %s is not served yet: served is fixed (also "
                  "when absent)", names[algorithm]);
        return false;
    }
    if (burst != 0) {
        fault_add(&c->in, false, at, NULL, "burst goes with algorithm gcra, which is not served yet");
        return false;
    }
    return true;
}

static struct limit_rule *climit_rule_new(struct climit *c, const struct yaml *at)
{
    struct limit_rule *r = ARENA_NEW(&c->l->set->arena, struct limit_rule);

    c->rules++;
    r->plan = c->plan ? c->plan->value : S("");
    r->name = climit_label(c->l, c, r->plan);
    r->rule = load_rule(c->l, c->in.file, at);
    c->l->set->counts.rate_limits++;
    return r;
}

static struct limit_rule *climit_rule(struct climit *c, const struct doc_limit *d)
{
    struct limit_rule *r;

    if (!climit_algorithm(c, d->self, d->algorithm, d->burst))
        return NULL;
    if (d->unit == UNIT_UNKNOWN) {
        fault_add(&c->in, false, d->self, NULL, "unit UNKNOWN counts nothing: use SECOND to YEAR");
        return NULL;
    }
    r = climit_rule_new(c, d->self);
    r->requests = (uint32_t)d->requests;
    r->unit = (enum limit_unit)d->unit;
    return r;
}

static struct slice climit_pair_key(struct arena *a, struct slice key, struct slice value)
{
    char *p = arena_alloc(a, key.n + 1 + value.n);

    if (key.n)
        memcpy(p, key.p, key.n);
    p[key.n] = '\0';
    if (value.n)
        memcpy(p + key.n + 1, value.p, value.n);
    return slice_of(p, key.n + 1 + value.n);
}

/* Doubles at one level are an error; large levels get an index. */
static void climit_index(struct climit *c, struct limit_node *up, const struct yaml *const *places)
{
    struct map *m = up->kids_n > LIMIT_INDEX_FROM ? set_map_new(c->l->set) : NULL;
    struct map seen;

    map_init(&seen);
    for (size_t i = 0; i < up->kids_n; i++) {
        struct limit_node *n = &up->kids[i];
        struct slice key = climit_pair_key(&c->l->set->arena, n->key, n->value);
        struct limit_node *old = map_put(&seen, key, n);
        up->wild_kids |= n->wildcard;
        if (old)
            fault_add(&c->in, false, places[i], NULL, "descriptor %.*s%s%.*s is there already, at "
                      "line %d", SFMT(n->key), n->has_value ? "=" : "", SFMT(n->value),
                      places[old - up->kids]->line);
        else if (m)
            map_put(m, key, n);
    }
    map_free(&seen);
    up->index = m;
}

static void climit_key_ok(struct climit *c, const struct yaml *at, struct slice key)
{
    if (key.n == 0)
        fault_add(&c->in, false, at, NULL, "a descriptor's key must not be empty");
}

static void climit_tree(struct climit *c, const struct field_list *docs, struct limit_node *up)
{
    const struct yaml **places = ARENA_ARRAY(&c->l->scratch, const struct yaml *, docs->n + 1);
    const struct limit_node *plan = c->plan;

    up->kids = ARENA_ARRAY(&c->l->set->arena, struct limit_node, docs->n + 1);
    up->kids_n = docs->n;
    for (size_t i = 0; i < docs->n; i++) {
        const struct doc_descriptor *d = docs->items[i];
        struct limit_node *n = &up->kids[i];
        struct limit_rule *r;
        climit_key_ok(c, d->self, d->key);
        places[i] = d->self;
        n->key = d->key;
        n->value = d->value;
        n->has_value = d->value.n > 0;
        c->plan = slice_eq(d->key, S("usagePlan")) && n->has_value ? n : plan;
        if (d->limit && (r = climit_rule(c, d->limit)) != NULL) {
            r->weight = (int32_t)d->weight;
            r->always = d->always;
            n->rule = r;
        }
        climit_tree(c, &d->kids, n);
    }
    c->plan = plan;
    climit_index(c, up, places);
}

/* Rules with the same keys would share counters: from the second on they get a marker. */
static void climit_marker(struct climit *c, size_t at)
{
    struct limit_set *s = &c->cfg->sets[at];

    for (size_t i = 0; i < at; i++) {
        const struct limit_set *o = &c->cfg->sets[i];
        bool same = o->pairs_n == s->pairs_n;
        for (size_t k = 0; same && k < s->pairs_n; k++)
            same = slice_eq(o->pairs[k].key, s->pairs[k].key);
        if (same) {
            s->marker = arena_fmt(&c->l->set->arena, "|%%r%zu", at);
            return;
        }
    }
}

static void climit_sets(struct climit *c, const struct field_list *docs)
{
    c->cfg->sets = ARENA_ARRAY(&c->l->set->arena, struct limit_set, docs->n + 1);
    for (size_t i = 0; i < docs->n; i++) {
        const struct doc_set_descriptor *d = docs->items[i];
        struct limit_set *s = &c->cfg->sets[c->cfg->sets_n];
        struct limit_rule *r;
        s->pairs = ARENA_ARRAY(&c->l->set->arena, struct limit_node, d->pairs.n + 1);
        s->pairs_n = d->pairs.n;
        c->plan = NULL;
        for (size_t k = 0; k < d->pairs.n; k++) {
            const struct doc_descriptor *p = d->pairs.items[k];
            climit_key_ok(c, p->self, p->key);
            s->pairs[k] = (struct limit_node){.key = p->key, .value = p->value,
                                              .has_value = p->value.n > 0};
            if (slice_eq(p->key, S("usagePlan")) && p->value.n > 0)
                c->plan = &s->pairs[k];
        }
        r = climit_rule(c, d->limit);
        if (!r)
            continue;
        r->always = d->always;
        s->rule = r;
        climit_marker(c, c->cfg->sets_n);
        c->cfg->sets_n++;
    }
    c->plan = NULL;
}

static void climit_escape(struct buf *b, struct slice s, const char *special)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' || strchr(special, s.p[i]))
            buf_fmt(b, "%%%02X", (unsigned)(unsigned char)s.p[i]);
        else
            buf_byte(b, s.p[i]);
    }
}

static struct slice climit_prefix(struct load *l, const char *style, const struct limit_config *cfg)
{
    struct buf b;
    struct slice s;

    buf_init(&b, 4096);
    buf_fmt(&b, "%s|", style);
    climit_escape(&b, cfg->domain, "|^");
    buf_lit(&b, "|generic_key^");
    climit_escape(&b, cfg->id, "|^");
    s = arena_dup(&l->set->arena, buf_all(&b));
    buf_free(&b);
    return s;
}

static struct limit_config *climit_server(struct load *l, struct resource *r, struct slice domain,
                                          struct slice id, const struct doc_server_raw *raw)
{
    struct limit_config *cfg = ARENA_NEW(&l->set->arena, struct limit_config);
    struct climit c = {.l = l, .in = load_in(l, r->file), .cfg = cfg};

    cfg->name = r->name;
    cfg->file = r->file;
    cfg->domain = domain;
    cfg->id = id;
    cfg->tree_prefix = climit_prefix(l, "tree", cfg);
    cfg->set_prefix = climit_prefix(l, "set", cfg);
    climit_tree(&c, &raw->descriptors, &cfg->root);
    climit_sets(&c, &raw->sets);
    vec_push(&l->limits, cfg);
    return cfg;
}

void compile_limit_server(struct load *l, struct resource *r)
{
    const struct doc_limit_server *d = r->doc->spec;
    const struct doc_destination_server *s = d->servers.n ? d->servers.items[0] : NULL;
    struct slice id = r->full;

    /* Gloo's name of the config in counters, so that both count in one place */
    if (s && s->ref && s->ref->cluster.n)
        id = arena_fmt(&l->set->arena, "%.*s-%.*s-%.*s-%.*s", SFMT(r->full), SFMT(r->ns),
                       SFMT(s->ref->cluster), SFMT(s->ref->name));
    map_put(&l->servers, r->full, climit_server(l, r, S("solo.io"), id, d->raw));
}

/* ---- actions ---- */

static const char *climit_action_name(const void *ctx, size_t i)
{
    (void)ctx;
    return action_at(i) ? action_at(i)->name : NULL;
}

static const struct action_row *climit_action_row(const struct field_in *in, const struct yaml *y,
                                                  const struct field_path *path)
{
    const char *near;

    for (size_t i = 0; action_at(i); i++)
        if (field_name_is(y->pairs[0].key, action_at(i)->name))
            return action_at(i);
    near = nearest_name(y->pairs[0].key, climit_action_name, NULL);
    fault_add(in, false, y, path, "unknown action \"%.*s\"%s%s%s",
              SFMT(slice_sub(y->pairs[0].key, 0, 60)), near ? " (did you mean " : "",
              near ? near : "", near ? "?)" : "");
    return NULL;
}

/* False: the entry cannot be used (an error, or an action that is not served). */
static bool climit_action(struct load *l, const struct field_in *in, const struct yaml *y,
                          const struct field_path *path, struct limit_action *out)
{
    struct field_path p = {path, S(""), 0};
    void *doc;

    if (y->kind != YAML_MAP || y->n != 1) {
        fault_add(in, false, y, path, "expected one action such as requestHeaders or genericKey");
        return false;
    }
    p.name = y->pairs[0].key;
    out->row = climit_action_row(in, y, path);
    if (!out->row)
        return false;
    if (!out->row->fields) {
        fault_add(in, true, y, path, "action %s is %s; this entry of rateLimits is left out",
                  out->row->name, out->row->said);
        return false;
    }
    doc = arena_zalloc(in->arena, out->row->doc_size);
    return field_decode(in, out->row->fields, y->pairs[0].value, &p, doc) &&
           out->row->compile(l, in, doc, y->pairs[0].value, &out->data);
}

static bool climit_actions(struct load *l, const struct field_in *in, const struct yaml *y,
                           const struct field_path *path, struct limit_entry_rule *out)
{
    if (y->kind != YAML_SEQ || y->n == 0 || y->n > LIMIT_ACTIONS_MAX) {
        fault_add(in, false, y, path, "expected a list of 1 to %d actions", LIMIT_ACTIONS_MAX);
        return false;
    }
    out->actions = ARENA_ARRAY(&l->set->arena, struct limit_action, y->n);
    for (uint32_t i = 0; i < y->n; i++) {
        struct field_path p = {path, S(""), i};
        if (!climit_action(l, in, y->items[i], &p, &out->actions[out->actions_n]))
            return false;
        out->actions_n++;
    }
    return true;
}

struct climit_rate { /* one of rateLimits[] */
    const struct yaml *actions, *set_actions;
};
static const struct field_row climit_rate_rows[] = {
    {"actions", FIELD_NODE, offsetof(struct climit_rate, actions), 0, 0, 0, NULL, NULL,
     "ordered tuple for descriptors"},
    {"setActions", FIELD_NODE, offsetof(struct climit_rate, set_actions), 0, 0, 0, NULL, NULL,
     "set for setDescriptors"},
    {"limit", FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL,
     "not served yet: the limit of the server config counts"},
};
static const struct field_table climit_rate_table = {sizeof(struct climit_rate), climit_rate_rows,
                                                     ARRAY_LEN(climit_rate_rows)};

static void climit_entry(struct load *l, const struct field_in *in, const struct yaml *y,
                         const struct field_path *path, struct limit_client *out)
{
    struct climit_rate r = {0};
    struct limit_entry_rule *e = &out->entries[out->entries_n];

    if (!field_decode(in, &climit_rate_table, y, path, &r))
        return;
    if (!r.actions == !r.set_actions) {
        fault_add(in, false, y, path, "expected one of actions and setActions");
        return;
    }
    e->is_set = r.set_actions != NULL;
    if (climit_actions(l, in, r.actions ? r.actions : r.set_actions, path, e))
        out->entries_n++;
}

static struct limit_client *climit_client(struct load *l, struct resource *r, const struct yaml *y)
{
    struct limit_client *c = ARENA_NEW(&l->set->arena, struct limit_client);
    struct field_in in = load_in(l, r->file);
    struct field_path spec = {NULL, S("spec"), 0}, raw = {&spec, S("raw"), 0};
    struct field_path list = {&raw, S("rateLimits"), 0};

    if (!y)
        return c;
    if (y->kind != YAML_SEQ || y->n > LIMIT_ENTRIES_MAX) {
        fault_add(&in, false, y, &list, "expected a list of at most %d entries", LIMIT_ENTRIES_MAX);
        return c;
    }
    c->entries = ARENA_ARRAY(&l->set->arena, struct limit_entry_rule, y->n + 1);
    for (uint32_t i = 0; i < y->n; i++) {
        struct field_path p = {&list, S(""), i};
        climit_entry(l, &in, y->items[i], &p, c);
    }
    return c;
}

void compile_limit_client(struct load *l, struct resource *r)
{
    const struct doc_limit_client *d = r->doc->spec;

    map_put(&l->clients, r->full, climit_client(l, r, d->raw->rate_limits));
}

/* ---- policies ---- */

static void *climit_ref(struct load *l, struct resource *r, const struct map *m, const char *kind,
                        const char *field, const struct doc_ref *ref)
{
    struct slice full = load_full_name(l, ref->ns.n ? ref->ns : r->ns, ref->name);
    struct field_in in = load_in(l, r->file);
    struct field_path spec = {NULL, S("spec"), 0}, conf = {&spec, S("config"), 0};
    struct field_path p = {&conf, slice_str(field), 0};
    void *found = map_get(m, full);

    if (!found && !map_get(&l->by_name, arena_fmt(&l->scratch, "%s/%.*s", kind, SFMT(full))))
        fault_add(&in, false, r->node, &p, "%s %.*s is not there", kind, SFMT(full));
    return found;
}

static void climit_select(struct load *l, struct resource *r, const struct field_list *apply,
                          struct limit_policy *p, const struct doc_phase *phase)
{
    struct chain_item item = {.row = item_limit(), .policy = p, .phase = PHASE_POST, .key_header = S("")};

    p->name = r->full;
    p->rule = load_rule(l, r->file, r->node);
    if (phase && phase->pre) {
        item.phase = PHASE_PRE;
        item.priority = phase->pre->priority;
    } else if (phase && phase->post) {
        item.priority = phase->post->priority;
    }
    compile_select(l, r, apply, item);
}

void compile_limit_policy(struct load *l, struct resource *r)
{
    const struct doc_limit_policy *d = r->doc->spec;
    const struct doc_limit_policy_config *c = d->config;
    struct limit_policy *p = ARENA_NEW(&l->set->arena, struct limit_policy);
    struct field_in in = load_in(l, r->file);

    p->shadow = c->shadow;
    p->failure_mode_allow = c->failure_mode_allow;
    if (c->server)
        p->server = climit_ref(l, r, &l->servers, "RateLimitServerConfig", "ratelimitServerConfig",
                               c->server);
    else
        fault_add(&in, true, r->node, NULL, "%.*s names no ratelimitServerConfig: nothing is "
                  "limited by it", SFMT(r->full));
    if (c->raw)
        p->client = climit_client(l, r, c->raw->rate_limits);
    else if (c->client)
        p->client = climit_ref(l, r, &l->clients, "RateLimitClientConfig", "ratelimitClientConfig",
                               c->client);
    else
        fault_add(&in, false, r->node, NULL, "expected raw or ratelimitClientConfig under config");
    climit_select(l, r, &d->apply, p, c->phase);
}

void compile_limit_both(struct load *l, struct resource *r)
{
    const struct doc_limit_server *d = r->doc->spec;
    struct limit_policy *p = ARENA_NEW(&l->set->arena, struct limit_policy);

    p->shadow = d->shadow;
    p->failure_mode_allow = d->failure_mode_allow;
    p->server = climit_server(l, r, S("crd"), r->full, d->raw);
    p->client = climit_client(l, r, d->raw->rate_limits);
    climit_select(l, r, &d->apply, p, NULL);
}

/* ---- files of the reference server ---- */

static struct limit_rule *climit_domain_rule(struct climit *c, const struct doc_domain_descriptor *d)
{
    const struct doc_domain_limit *x = d->limit;
    struct limit_rule *r;

    if (!climit_algorithm(c, x->self, x->algorithm, x->burst))
        return NULL;
    if (x->unlimited ? x->unit != UNIT_UNKNOWN : x->unit == UNIT_UNKNOWN) {
        fault_add(&c->in, false, x->self, NULL, x->unlimited
                  ? "unlimited and unit exclude each other"
                  : "expected unit: second, minute, hour, day, week, month or year");
        return NULL;
    }
    r = climit_rule_new(c, x->self);
    r->requests = (uint32_t)x->requests;
    r->unit = (enum limit_unit)x->unit;
    r->unlimited = x->unlimited;
    r->shadow = d->shadow;
    r->quota = d->quota;
    r->id = x->name;
    if (x->name.n > 0)
        r->name = climit_label(c->l, c, x->name);
    r->replaces = ARENA_ARRAY(&c->l->set->arena, struct slice, x->replaces.n + 1);
    for (size_t i = 0; i < x->replaces.n; i++) {
        const struct doc_replaces *n = x->replaces.items[i];
        if (n->name.n == 0 || slice_eq(n->name, x->name))
            fault_add(&c->in, false, x->self, NULL, "replaces names %s",
                      n->name.n ? "the limit itself" : "nothing");
        r->replaces[r->replaces_n++] = n->name;
    }
    return r;
}

static void climit_domain_tree(struct climit *c, const struct field_list *docs,
                               struct limit_node *up)
{
    const struct yaml **places = ARENA_ARRAY(&c->l->scratch, const struct yaml *, docs->n + 1);
    const struct limit_node *plan = c->plan;

    up->kids = ARENA_ARRAY(&c->l->set->arena, struct limit_node, docs->n + 1);
    up->kids_n = docs->n;
    for (size_t i = 0; i < docs->n; i++) {
        const struct doc_domain_descriptor *d = docs->items[i];
        struct limit_node *n = &up->kids[i];
        climit_key_ok(c, d->self, d->key);
        places[i] = d->self;
        n->key = d->key;
        n->value = d->value;
        n->has_value = d->value.n > 0;
        n->wildcard = slice_index(d->value, '*') != SIZE_MAX;
        n->share = d->share_threshold;
        if (n->share && !n->wildcard)
            fault_add(&c->in, false, d->self, NULL, "share_threshold needs a value with *");
        c->plan = slice_eq(d->key, S("usagePlan")) && n->has_value ? n : plan;
        if (d->limit)
            n->rule = climit_domain_rule(c, d);
        climit_domain_tree(c, &d->kids, n);
    }
    c->plan = plan;
    climit_index(c, up, places);
}

void compile_domain(struct load *l, struct slice file, struct doc_domain *d)
{
    struct limit_config *cfg = ARENA_NEW(&l->set->arena, struct limit_config), *old;
    struct climit c = {.l = l, .in = load_in(l, file), .cfg = cfg};
    struct field_path p = {NULL, S("domain"), 0};
    struct buf b;

    cfg->name = cfg->domain = d->domain;
    cfg->file = file;
    cfg->reference = true;
    if (d->domain.n == 0)
        fault_add(&c.in, false, d->self, &p, "the domain must not be empty");
    old = map_put(&l->domains, d->domain, cfg);
    if (old)
        fault_add(&c.in, false, d->self, &p, "domain %.*s is already defined in %.*s",
                  SFMT(d->domain), SFMT(old->file));
    buf_init(&b, 4096);
    climit_escape(&b, d->domain, "");
    cfg->tree_prefix = arena_dup(&l->set->arena, buf_all(&b));
    buf_free(&b);
    climit_domain_tree(&c, &d->descriptors, &cfg->root);
    vec_push(&l->limits, cfg);
}
