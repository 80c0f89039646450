/*
 * catalog.c - what the portal shows: APIs from OpenAPI documents, and plans.
 *
 * An API is an OpenAPI 3 document (a file, or inline in an ApiDoc); its product is the stem of the
 * file's name or the ApiDoc's name. RouteTable.portalMetadata and ApiProduct of the same product fill
 * in what the document leaves open, and the routes of the product say host, path and key header. A plan is a
 * usagePlan of a Portal joined with the limit whose descriptor usagePlan has its name.
 * Called by load.c; results live in the set's arena. One thread at a time.
 * Tested by tests/unit/policy/test_catalog.c.
 */
#include "policy/inside.h"

enum { CATALOG_JSON_MAX = 16 << 20 };

/* ---- OpenAPI documents ---- */

static struct slice catalog_text(struct load *l, const struct yaml *map, const char *name)
{
    const struct yaml *y = map ? yaml_get(map, slice_str(name)) : NULL;

    return y && y->kind == YAML_SCALAR ? arena_dup(&l->set->arena, y->text) : S("");
}

static const struct yaml *catalog_map(const struct field_in *in, const struct yaml *doc,
                                      const char *name, bool required)
{
    const struct yaml *y = yaml_get(doc, slice_str(name));
    struct field_path p = {NULL, slice_str(name), 0};

    if (y && y->kind == YAML_MAP)
        return y;
    if (y || required)
        fault_add(in, false, y ? y : doc, &p, "OpenAPI: expected a map, found %s",
                  y ? field_kind_words(y) : "nothing");
    return NULL;
}

static struct slice catalog_stem(struct slice file)
{
    size_t slash = slice_rindex(file, '/'), dot;
    struct slice s = slash == SIZE_MAX ? file : slice_from(file, slash + 1);

    dot = slice_rindex(s, '.');
    return dot == SIZE_MAX ? s : slice_sub(s, 0, dot);
}

/* "https://api.example.com/v1" or "/v1" -> "/v1" */
static struct slice catalog_server_path(struct load *l, const struct yaml *doc)
{
    const struct yaml *servers = yaml_get(doc, S("servers"));
    struct slice url = S("");
    size_t at;

    if (servers && servers->kind == YAML_SEQ && servers->n > 0)
        url = catalog_text(l, servers->items[0], "url");
    at = slice_find(url, S("://"));
    if (at != SIZE_MAX) {
        url = slice_from(url, at + 3);
        at = slice_index(url, '/');
        url = at == SIZE_MAX ? S("") : slice_from(url, at);
    }
    return url.n > 0 && url.p[0] == '/' ? url : S("/");
}

static bool catalog_unique(struct load *l, const struct field_in *in, const struct yaml *doc,
                           const struct policy_api *a)
{
    for (size_t i = 0; i < l->apis.n; i++) {
        const struct policy_api *o = l->apis.v[i];
        if (slice_eq(o->product, a->product) && slice_eq(o->version, a->version)) {
            fault_add(in, false, doc, NULL, "API product %.*s version %.*s is already described at "
                      "%.*s:%d", SFMT(a->product), SFMT(a->version), SFMT(o->file), o->line);
            return false;
        }
    }
    return true;
}

void catalog_openapi(struct load *l, struct slice file, const struct yaml *doc, struct slice product)
{
    struct field_in in = load_in(l, file);
    const struct yaml *version = yaml_get(doc, S("openapi"));
    const struct yaml *info = catalog_map(&in, doc, "info", true);
    struct field_path p = {NULL, S("openapi"), 0}, pi = {NULL, S("info"), 0};
    struct policy_api *a = ARENA_NEW(&l->set->arena, struct policy_api);
    const struct yaml *contact, *license, *docs;
    struct buf json;

    (void)catalog_map(&in, doc, "paths", false);
    if (!version || version->kind != YAML_SCALAR || !slice_starts(version->text, S("3."))) {
        fault_add(&in, false, version ? version : doc, &p, "expected an OpenAPI version 3.x");
        return;
    }
    if (!info)
        return;
    a->product = arena_dup(&l->set->arena, product.n ? product : catalog_stem(file));
    a->title = catalog_text(l, info, "title");
    a->version = catalog_text(l, info, "version");
    if (a->title.n == 0 || a->version.n == 0) {
        fault_add(&in, false, info, &pi, "OpenAPI: info needs title and version");
        return;
    }
    a->description = catalog_text(l, info, "description");
    a->terms = catalog_text(l, info, "termsOfService");
    contact = yaml_get(info, S("contact"));
    a->contact = catalog_text(l, contact, "email");
    if (a->contact.n == 0)
        a->contact = catalog_text(l, contact, "url");
    license = yaml_get(info, S("license"));
    a->license = catalog_text(l, license, "name");
    docs = yaml_get(doc, S("externalDocs"));
    a->docs = catalog_text(l, docs, "url");
    a->lifecycle = catalog_text(l, info, "x-lifecycle");
    a->host = S("");
    a->path = catalog_server_path(l, doc);
    a->key_header = S("");
    a->file = in.file;
    a->line = doc->line;
    if (!catalog_unique(l, &in, doc, a))
        return;
    buf_init(&json, CATALOG_JSON_MAX);
    yaml_to_json(doc, &json);
    if (buf_over(&json))
        fault_add(&in, false, doc, NULL, "OpenAPI: the document is larger than 16 MiB as JSON");
    a->openapi_json = arena_dup(&l->set->arena, buf_all(&json));
    buf_free(&json);
    vec_push(&l->apis, a);
}

void catalog_api_doc(struct load *l, struct resource *r)
{
    const struct doc_api_doc *d = r->doc->spec;
    struct field_in in = load_in(l, r->file);
    struct arena a;
    struct yaml **docs = NULL;
    struct err e = {0};
    size_t n = 0;

    if (!d->openapi)
        return;
    arena_init(&a, 4096, 0);
    if (yaml_parse(&a, in.file.p, d->openapi->text, &docs, &n, &e) != RC_OK || n != 1)
        fault_add(&in, false, r->node, NULL, "openapi.inlineString: %s at %s of the text",
                  e.text[0] ? e.text : "expected one document", e.place[0] ? e.place : "the start");
    else
        catalog_openapi(l, r->file, docs[0], r->name);
    arena_free(&a);
}

/* ---- products and portals ---- */

static void catalog_fill(struct slice *to, struct slice from)
{
    if (to->n == 0)
        *to = from;
}

static void catalog_replace(struct slice *to, struct slice from)
{
    if (from.n > 0)
        *to = from;
}

void catalog_api_product(struct load *l, struct resource *r)
{
    (void)l;
    (void)r; /* joined in catalog_finish, when all documents are there */
}

static void catalog_join_version(struct policy_api *a, const struct doc_version *v)
{
    if (!v->meta)
        return;
    catalog_replace(&a->title, v->meta->title);
    catalog_replace(&a->description, v->meta->description);
    catalog_replace(&a->terms, v->meta->terms);
    catalog_replace(&a->contact, v->meta->contact);
    catalog_replace(&a->license, v->meta->license);
    catalog_replace(&a->lifecycle, v->meta->lifecycle);
}

static void catalog_join_product(struct load *l, const struct resource *r)
{
    const struct doc_api_product *d = r->doc->spec;
    struct field_in in = load_in(l, r->file);
    bool found = false;

    for (size_t i = 0; i < l->apis.n; i++) {
        struct policy_api *a = l->apis.v[i];
        if (!slice_eq(a->product, d->id))
            continue;
        found = true;
        for (size_t k = 0; k < d->versions.n; k++) {
            const struct doc_version *v = d->versions.items[k];
            if (d->versions.n == 1 || slice_eq(v->version, a->version))
                catalog_join_version(a, v);
        }
        for (size_t k = 0; k < d->custom.n; k++)
            if (slice_eq(d->custom.v[k].name, S("lifecycle")))
                catalog_fill(&a->lifecycle, d->custom.v[k].value);
        catalog_fill(&a->description, d->description);
    }
    if (!found)
        fault_add(&in, true, r->node, NULL, "no OpenAPI document belongs to product %.*s: name the "
                  "file %.*s.yaml", SFMT(d->id), SFMT(d->id));
}

static void catalog_join_table(struct load *l, const struct resource *r)
{
    const struct doc_route_table *d = r->doc->spec;
    const struct doc_portal_meta *m = d->portal;
    struct policy_api *made;
    bool found = false;

    if (!m)
        return;
    for (size_t i = 0; i < l->apis.n; i++) {
        struct policy_api *a = l->apis.v[i];
        if (!slice_eq(a->product, m->product))
            continue;
        found = true;
        catalog_fill(&a->description, m->description);
        catalog_fill(&a->terms, m->terms);
        catalog_fill(&a->contact, m->contact);
        catalog_fill(&a->license, m->license);
        catalog_fill(&a->lifecycle, m->lifecycle);
    }
    if (found)
        return;
    made = ARENA_NEW(&l->set->arena, struct policy_api);
    *made = (struct policy_api){
        .product = m->product, .version = m->version, .description = m->description,
        .title = m->title.n ? m->title : m->product_title.n ? m->product_title : m->product,
        .contact = m->contact, .license = m->license, .terms = m->terms, .docs = S(""),
        .lifecycle = m->lifecycle, .host = S(""), .path = S("/"), .key_header = S(""),
        .file = r->file, .line = r->node->line};
    struct buf b;
    struct jsonw w;
    buf_init(&b, 1 << 20);
    jsonw_init(&w, &b);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("openapi"), S("3.0.3"));
    jsonw_key(&w, S("info"));
    jsonw_obj(&w);
    jsonw_kstr(&w, S("title"), made->title);
    jsonw_kstr(&w, S("version"), made->version);
    jsonw_end_obj(&w);
    jsonw_key(&w, S("paths"));
    jsonw_obj(&w);
    jsonw_end_obj(&w);
    jsonw_end_obj(&w);
    made->openapi_json = arena_dup(&l->set->arena, buf_all(&b));
    buf_free(&b);
    vec_push(&l->apis, made);
}

void catalog_portal(struct load *l, struct resource *r)
{
    const struct doc_portal *d = r->doc->spec;
    struct field_in in = load_in(l, r->file);

    l->portal_public |= d->visibility && d->visibility->is_public;
    l->portal_seen = true;
    for (size_t i = 0; i < d->plans.n; i++) {
        const struct doc_plan *p = d->plans.items[i];
        struct policy_plan *made = ARENA_NEW(&l->set->arena, struct policy_plan);
        for (size_t k = 0; k < l->plans.n; k++) {
            const struct policy_plan *o = l->plans.v[k];
            if (slice_eq(o->name, p->name))
                fault_add(&in, false, p->self, NULL, "plan %.*s is already defined at %.*s:%d",
                          SFMT(p->name), SFMT(o->file), o->line);
        }
        *made = (struct policy_plan){.name = p->name,
                                     .display_name = p->display_name.n ? p->display_name : p->name,
                                     .description = p->description, .file = r->file,
                                     .line = p->self->line};
        vec_push(&l->plans, made);
    }
}

/* ---- plans and their limits ---- */

static void catalog_plan_rule(struct load *l, const struct limit_rule *rule, bool add)
{
    struct policy_plan *made;

    if (!rule || rule->plan.n == 0)
        return;
    for (size_t i = 0; i < l->plans.n; i++) {
        struct policy_plan *p = l->plans.v[i];
        if (!slice_eq(p->name, rule->plan))
            continue;
        if (p->unit == UNIT_UNKNOWN) {
            p->unit = rule->unit;
            p->requests_per_unit = rule->requests;
        }
        return;
    }
    if (!add)
        return;
    made = ARENA_NEW(&l->set->arena, struct policy_plan);
    *made = (struct policy_plan){.name = rule->plan, .display_name = rule->plan,
                                 .description = S(""), .requests_per_unit = rule->requests,
                                 .unit = rule->unit, .file = rule->rule};
    vec_push(&l->plans, made);
}

static void catalog_plan_tree(struct load *l, const struct limit_node *n, bool add)
{
    catalog_plan_rule(l, n->rule, add);
    for (size_t i = 0; i < n->kids_n; i++)
        catalog_plan_tree(l, &n->kids[i], add);
}

static void catalog_plans(struct load *l)
{
    bool add = l->plans.n == 0; /* no Portal names plans: the limits do */
    struct policy_set *s = l->set;

    for (size_t i = 0; i < l->limits.n; i++) {
        const struct limit_config *c = l->limits.v[i];
        catalog_plan_tree(l, &c->root, add);
        for (size_t k = 0; k < c->sets_n; k++)
            catalog_plan_rule(l, c->sets[k].rule, add);
    }
    s->plans = ARENA_ARRAY(&s->arena, struct policy_plan, l->plans.n + 1);
    for (size_t i = 0; i < l->plans.n; i++)
        s->plans[i] = *(const struct policy_plan *)l->plans.v[i];
    s->plans_n = s->counts.plans = l->plans.n;
}

/* ---- routes of a product ---- */

static void catalog_key(const struct route *r, struct policy_api *a)
{
    if (a->api_key || r->key_header.n == 0)
        return;
    a->api_key = true;
    a->key_header = r->key_header;
}

static void catalog_routes(const struct policy_set *s, struct policy_api *a)
{
    bool placed = false;

    for (size_t i = 0; i < s->routes_n; i++) {
        const struct route *r = s->routes[i];
        if (!r->by_table) {
            catalog_key(r, a);
            continue;
        }
        if (r->product.n == 0 || !slice_eq(r->product, a->product))
            continue;
        catalog_key(r, a);
        for (size_t h = 0; h < r->hosts_n && a->host.n == 0; h++)
            if (r->hosts[h].p[0] != '*')
                a->host = r->hosts[h];
        for (size_t m = 0; m < r->matches_n && !placed && r->key_header.n > 0; m++) {
            if (r->matches[m].kind == URI_REGEX)
                continue;
            a->path = r->matches[m].uri;
            placed = true;
        }
    }
}

void catalog_finish(struct load *l)
{
    struct policy_set *s = l->set;

    for (size_t i = 0; i < l->resources.n; i++) {
        const struct resource *r = l->resources.v[i];
        if (slice_eq(slice_str(r->row->kind), S("RouteTable")))
            catalog_join_table(l, r);
    }
    for (size_t i = 0; i < l->resources.n; i++) {
        const struct resource *r = l->resources.v[i];
        if (slice_eq(slice_str(r->row->kind), S("ApiProduct")))
            catalog_join_product(l, r);
    }
    catalog_plans(l);
    s->apis = ARENA_ARRAY(&s->arena, struct policy_api, l->apis.n + 1);
    for (size_t i = 0; i < l->apis.n; i++) {
        s->apis[i] = *(const struct policy_api *)l->apis.v[i];
        s->apis[i].is_public = !l->portal_seen || l->portal_public;
        catalog_routes(s, &s->apis[i]);
    }
    s->apis_n = s->counts.apis = l->apis.n;
}
