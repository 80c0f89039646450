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
            if (pair->value->kind == YAML_SCALAR)
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
    if (boolean_expr.n > 0) {
        fault_add(&in, true, r->node, above, "booleanExpr is not served yet; the routes of %.*s are "
                  "denied: leave it out when all steps must pass", SFMT(r->full));
        out->denies = true;
    }
    if (!configs)
        out->denies = true; /* customAuth, disable, or nothing at all */
    out->steps = ARENA_ARRAY(&l->set->arena, struct step, configs ? configs->n : 1);
    for (uint32_t i = 0; configs && i < configs->n; i++) {
        struct field_path p = {&conf, S(""), i};
        (void)compile_step(l, &in, configs->items[i], &p, out, i);
    }
    l->set->counts.ext_auth++;
    compile_select(l, r, apply, (struct chain_item){item_auth(), out, PHASE_AUTH, 0, 0});
}

void compile_ext_auth(struct load *l, struct resource *r)
{
    const struct doc_ext_auth *d = r->doc->spec;
    struct auth_policy *p = ARENA_NEW(&l->set->arena, struct auth_policy);
    const struct doc_gloo_auth *g = d->config->gloo;
    struct field_path spec = {NULL, S("spec"), 0}, config = {&spec, S("config"), 0};
    struct field_path gloo = {&config, S("glooAuth"), 0};

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

    p->shadow = d->shadow;
    p->failure_mode_allow = d->failure_mode_allow;
    compile_auth(l, r, &d->apply, d->configs, d->boolean_expr, p, &spec);
}

void compile_denies(struct load *l, struct resource *r)
{
    const struct doc_applied *d = r->doc->spec;
    struct auth_policy *p = ARENA_NEW(&l->set->arena, struct auth_policy);

    p->name = r->full;
    p->rule = load_rule(l, r->file, r->node);
    p->denies = true;
    compile_select(l, r, &d->apply, (struct chain_item){item_auth(), p, PHASE_AUTH, 0, 0});
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

void compile_secret(struct load *l, struct resource *r)
{
    const struct doc_secret *d = kind_secret_of(r->doc);
    struct key_secret *k = ARENA_NEW(&l->set->arena, struct key_secret);
    struct field_in in = load_in(l, r->file);
    bool has_key = false;

    if (!slice_eq(d->type, S("extauth.solo.io/apikey"))) {
        fault_add(&in, true, r->node, NULL, "Secret %.*s of type \"%.*s\" is not used: served is "
                  "extauth.solo.io/apikey", SFMT(r->full), SFMT(slice_sub(d->type, 0, 60)));
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
