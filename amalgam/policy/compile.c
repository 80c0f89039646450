/*
 * compile.c - ext-auth policies, Secrets and selectors -> what decide.c runs.
 *
 * Called by load_finish through the rows of kinds.c, in stages. Steps are compiled by their own rows
 * (steps.c). Something that is known but not served never opens a route: the policy stays and denies.
 * Everything made lives in the set's arena. One thread at a time. Tested by test_load.c, test_decide.c.
 */
#include "policy/inside.h"
#include "policy/names.h"

void compile_nothing(struct load *l, struct resource *r)
{
    (void)l;
    (void)r;
}

/* ---- which routes ---- */

static void compile_selector(struct load *l, struct resource *r, const struct field_pairs *labels,
                             struct chain_item item, const struct yaml *at)
{
    struct selector *s = ARENA_NEW(&l->set->arena, struct selector);

    s->all = !labels || labels->n == 0;
    if (labels)
        s->labels = *labels;
    s->item = item;
    s->item.order = l->selectors.n;
    s->name = r->full;
    s->file = r->file;
    s->at = at;
    vec_push(&l->selectors, s);
}

void compile_select(struct load *l, struct resource *r, const struct field_list *apply,
                    struct chain_item item)
{
    if (apply->n == 0)
        compile_selector(l, r, NULL, item, r->node);
    for (size_t i = 0; i < apply->n; i++) {
        const struct doc_apply *a = apply->items[i];
        compile_selector(l, r, a->route ? &a->route->labels : NULL, item, r->node);
    }
}

/* ---- steps ---- */

static const char *compile_step_name(const void *ctx, size_t i)
{
    (void)ctx;
    return step_at(i) ? step_at(i)->name : NULL;
}

static const struct step_row *compile_step_row(const struct field_in *in,
                                               const struct yaml_pair *pair,
                                               const struct field_path *path)
{
    struct yaml at = {.line = pair->line, .col = pair->col};
    struct field_path p = {path, pair->key, 0};
    const char *near;

    for (size_t i = 0; step_at(i); i++)
        if (field_name_is(pair->key, step_at(i)->name))
            return step_at(i);
    near = nearest_name(pair->key, compile_step_name, NULL);
    fault_add(in, false, &at, &p, "unknown step%s%s%s", near ? " (did you mean " : "",
              near ? near : "", near ? "?)" : "");
    return NULL;
}

static bool compile_step_body(struct load *l, const struct field_in *in, const struct yaml_pair *pair,
                              const struct field_path *path, struct auth_policy *out, struct step *s)
{
    struct field_path p = {path, pair->key, 0};
    struct yaml at = {.line = pair->line, .col = pair->col};
    void *doc;

    s->rule = load_rule(l, in->file, &at);
    if (!s->row->fields) {
        fault_add(in, true, &at, &p, "step %s is %s; the routes of %.*s are denied", s->row->name,
                  s->row->said, SFMT(out->name));
        out->denies = true;
        return true;
    }
    doc = arena_zalloc(in->arena, s->row->fields()->size);
    if (!field_decode(in, s->row->fields(), pair->value, &p, doc))
        return false;
    if (!s->row->compile(l, in, doc, pair->value, s))
        return false;
    out->denies |= s->denies;
    return true;
}

static bool compile_step_name_ok(const struct field_in *in, const struct yaml *y, const struct field_path *path)
{
    struct field_path p = {path, S("name"), 0};

    if (y->kind == YAML_SCALAR && y->text.n > 0)
        return true;
    fault_add(in, false, y, &p, "expected text, found %s", y->kind == YAML_SCALAR ? "nothing" : field_kind_words(y));
    return false;
}

/* One item of configs: name and exactly one step. */
static bool compile_step(struct load *l, const struct field_in *in, const struct yaml *y,
                         const struct field_path *path, struct auth_policy *out, size_t index)
{
    struct step *s = &out->steps[out->steps_n];
    const struct yaml_pair *body = NULL;

    if (y->kind != YAML_MAP) {
        fault_add(in, false, y, path, "expected a step (a map), found %s", field_kind_words(y));
        return false;
    }
    s->name = arena_fmt(&l->set->arena, "config_%zu", index);
    s->policy = out->name;
    for (uint32_t i = 0; i < y->n; i++) {
        const struct yaml_pair *pair = &y->pairs[i];
        if (slice_eq(pair->key, S("name"))) {
            if (!compile_step_name_ok(in, pair->value, path))
                return false;
            s->name = pair->value->text;
            continue;
        }
        if (body) {
            fault_add(in, false, pair->value, path, "one step per item: found %.*s and %.*s",
                      SFMT(body->key), SFMT(pair->key));
            return false;
        }
        body = pair;
        s->row = compile_step_row(in, pair, path);
        if (!s->row)
            return false;
    }
    if (!body) {
        fault_add(in, false, y, path, "expected a step such as apiKeyAuth or luaAuth");
        return false;
    }
    out->steps_n++;
    return compile_step_body(l, in, body, path, out, s);
}

static size_t compile_step_index(const void *ctx, struct slice name)
{
    const struct auth_policy *p = ctx;

    for (size_t i = 0; i < p->steps_n; i++)
        if (slice_eq(p->steps[i].name, name))
            return i;
    return SIZE_MAX;
}

static void compile_expr(struct load *l, const struct field_in *in, struct resource *r,
                         const struct field_path *above, struct slice text, struct auth_policy *out)
{
    struct field_path p = {above, S("booleanExpr"), 0};
    struct err e = {0};

    for (size_t i = 0; i < out->steps_n; i++)
        if (compile_step_index(out, out->steps[i].name) != i)
            fault_add(in, false, r->node, &p, "two steps are named \"%.*s\"",
                      SFMT(slice_sub(out->steps[i].name, 0, 60)));
    if (bool_parse(&l->set->arena, text, compile_step_index, out, &out->expr, &e) != RC_OK)
        fault_add(in, false, r->node, &p, "%s", e.text);
}

/* What the steps may set and what they take out, for every allow of the route. */
static struct chain_item compile_auth_item(struct load *l, struct auth_policy *p)
{
    struct chain_item item = {.row = item_auth(), .policy = p, .phase = PHASE_AUTH, .key_header = S("")};
    size_t room = 1;
    struct slice *identity, *credentials, *cookies;

    item.shadow = p->shadow;
    for (size_t i = 0; i < p->steps_n; i++)
        room += p->steps[i].identity_n;
    identity = ARENA_ARRAY(&l->set->arena, struct slice, room);
    credentials = ARENA_ARRAY(&l->set->arena, struct slice, p->steps_n + 1);
    cookies = ARENA_ARRAY(&l->set->arena, struct slice, p->steps_n + 1);
    for (size_t i = 0; i < p->steps_n; i++) {
        const struct step *s = &p->steps[i];
        for (size_t k = 0; k < s->identity_n; k++)
            identity[item.identity_n++] = s->identity[k];
        if (s->credential.n > 0)
            credentials[item.credentials_n++] = s->credential;
        if (s->cookie.n > 0)
            cookies[item.cookies_n++] = s->cookie;
        if (s->api_key && item.key_header.n == 0)
            item.key_header = s->credential;
    }
    item.identity = identity;
    item.credentials = credentials;
    item.cookies = cookies;
    return item;
}

static void compile_auth(struct load *l, struct resource *r, const struct field_list *apply,
                         const struct yaml *configs, struct slice boolean_expr,
                         struct auth_policy *out, const struct field_path *above)
{
    struct field_in in = load_in(l, r->file);
    struct field_path conf = {above, S("configs"), 0};

    out->name = r->full;
    out->rule = load_rule(l, r->file, r->node);
    if (configs && (configs->kind != YAML_SEQ || configs->n == 0)) {
        fault_add(&in, false, configs, &conf, "expected a list of at least one step");
        return;
    }
    if (!configs)
        out->denies = true; /* customAuth, disable, or nothing at all */
    out->steps = ARENA_ARRAY(&l->set->arena, struct step, configs ? configs->n : 1);
    for (uint32_t i = 0; configs && i < configs->n; i++) {
        struct field_path p = {&conf, S(""), i};
        (void)compile_step(l, &in, configs->items[i], &p, out, i);
    }
    if (boolean_expr.n > 0)
        compile_expr(l, &in, r, above, boolean_expr, out);
    l->set->counts.ext_auth++;
    compile_select(l, r, apply, compile_auth_item(l, out));
}

void compile_ext_auth(struct load *l, struct resource *r)
{
    const struct doc_ext_auth *d = r->doc->spec;
    struct auth_policy *p = ARENA_NEW(&l->set->arena, struct auth_policy);
    const struct doc_gloo_auth *g = d->config->gloo;
    struct field_path spec = {NULL, S("spec"), 0}, config = {&spec, S("config"), 0};
    struct field_path gloo = {&config, S("glooAuth"), 0};

    p->fail_on_redirect = g && g->fail_on_redirect;
    p->shadow = d->config->shadow;
    p->failure_mode_allow = d->config->failure_mode_allow;
    if (!g) {
        struct field_in in = load_in(l, r->file);
        fault_add(&in, true, r->node, NULL, "%.*s has no glooAuth: its routes are denied",
                  SFMT(r->full));
    }
    compile_auth(l, r, &d->apply, g ? g->configs : NULL, g ? g->boolean_expr : S(""), p, &gloo);
}

void compile_edge_auth(struct load *l, struct resource *r)
{
    const struct doc_edge_auth *d = r->doc->spec;
    struct auth_policy *p = ARENA_NEW(&l->set->arena, struct auth_policy);
    struct field_path spec = {NULL, S("spec"), 0};

    p->fail_on_redirect = d->fail_on_redirect;
    p->shadow = d->shadow;
    p->failure_mode_allow = d->failure_mode_allow;
    compile_auth(l, r, &d->apply, d->configs, d->boolean_expr, p, &spec);
}

/* ---- Secrets ---- */

/* The clear key leaves memory: the tree's copy is overwritten where it stands. */
static void compile_wipe(struct slice s)
{
    mem_wipe((void *)(uintptr_t)s.p, s.n);
}

static bool compile_secret_value(struct load *l, const struct field_in *in, struct resource *r,
                                 struct slice name, struct slice text, bool base64,
                                 struct slice *out)
{
    struct field_path p = {NULL, S("data"), 0}, pn = {&p, name, 0};
    char *raw;
    size_t n = 0;

    if (!base64) {
        *out = arena_dup(&l->set->arena, text);
        return true;
    }
    raw = arena_alloc(&l->set->arena, text.n + 1);
    text = slice_trim(text);
    if (b64_decode(text, raw, text.n, &n) != RC_OK) {
        fault_add(in, false, r->node, &pn, "expected base64; plain text belongs under stringData");
        return false;
    }
    *out = slice_of(raw, n);
    return true;
}

static bool compile_secret_pairs(struct load *l, struct resource *r, const struct field_pairs *pairs,
                                 bool base64, struct key_secret *k, bool *has_key)
{
    struct field_in in = load_in(l, r->file);
    struct slice value;

    for (size_t i = 0; i < pairs->n; i++) {
        if (!compile_secret_value(l, &in, r, pairs->v[i].name, pairs->v[i].value, base64, &value))
            return false;
        if (!slice_eq(pairs->v[i].name, S("api-key"))) {
            k->meta.v[k->meta.n++] = (struct field_pair){pairs->v[i].name, value};
            continue;
        }
        *has_key = value.n > 0;
        hmac_sha256(&l->set->secret_mac, value, k->mac);
        compile_wipe(value);
        compile_wipe(pairs->v[i].value);
    }
    return true;
}

/* Kept as it is; whoever refers to it looks for the names that it needs. */
static void compile_values(struct load *l, struct resource *r, bool is_config)
{
    const struct doc_secret *d = kind_secret_of(r->doc);
    struct secret *s = ARENA_NEW(&l->set->arena, struct secret);
    struct field_in in = load_in(l, r->file);

    *s = (struct secret){r->name, r->ns, d->type, is_config, {NULL, 0}};
    s->values.v = ARENA_ARRAY(&l->set->arena, struct field_pair, d->data.n + d->string_data.n + 1);
    for (size_t i = 0; i < d->data.n + d->string_data.n; i++) {
        bool clear = i >= d->data.n;
        struct field_pair *from = clear ? &d->string_data.v[i - d->data.n] : &d->data.v[i];
        struct field_pair *to = &s->values.v[s->values.n];
        to->name = from->name;
        if (!compile_secret_value(l, &in, r, from->name, from->value, !clear && !is_config, &to->value))
            return;
        s->values.n++;
    }
    vec_push(&l->values, s);
}

void compile_config_map(struct load *l, struct resource *r)
{
    compile_values(l, r, true);
}

const struct secret *secret_find(struct load *l, const struct field_in *in, const struct yaml *at,
                                 bool is_config, const struct doc_ref *ref, struct slice ns)
{
    const struct secret *elsewhere = NULL;

    for (size_t i = 0; i < l->values.n; i++) {
        const struct secret *s = l->values.v[i];
        if (s->is_config != is_config || !slice_eq(s->name, ref->name))
            continue;
        if (slice_eq(s->ns, ref->ns.n ? ref->ns : ns))
            return s;
        elsewhere = ref->ns.n ? NULL : s;
    }
    if (!elsewhere)
        fault_add(in, false, at, NULL, "no %s %.*s%s%.*s is there", is_config ? "ConfigMap" : "Secret",
                  SFMT(slice_sub(ref->ns, 0, 80)), ref->ns.n ? "." : "",
                  SFMT(slice_sub(ref->name, 0, 80)));
    return elsewhere;
}

struct slice secret_value(const struct secret *s, struct slice name)
{
    for (size_t i = 0; i < s->values.n; i++)
        if (slice_eq(s->values.v[i].name, name))
            return s->values.v[i].value;
    return S("");
}

void compile_secret(struct load *l, struct resource *r)
{
    const struct doc_secret *d = kind_secret_of(r->doc);
    struct key_secret *k = ARENA_NEW(&l->set->arena, struct key_secret);
    struct field_in in = load_in(l, r->file);
    bool has_key = false;

    if (!slice_eq(d->type, S("extauth.solo.io/apikey"))) {
        compile_values(l, r, false);
        return;
    }
    k->name = r->name;
    k->ns = r->ns;
    k->labels = r->doc->meta->labels;
    k->meta.v = ARENA_ARRAY(&l->set->arena, struct field_pair, d->data.n + d->string_data.n);
    if (!compile_secret_pairs(l, r, &d->data, true, k, &has_key) ||
        !compile_secret_pairs(l, r, &d->string_data, false, k, &has_key))
        return;
    if (!has_key) {
        fault_add(&in, true, r->node, NULL, "Secret %.*s has no api-key and is skipped",
                  SFMT(r->full));
        return;
    }
    k->entry = (struct key_entry){.uuid = r->full, .meta = k->meta.v, .meta_n = k->meta.n,
                                  .expires_ms = key_expires_ms(k->meta.v, k->meta.n)};
    vec_push(&l->secrets, k);
}
