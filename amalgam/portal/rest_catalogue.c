/*
 * rest_catalogue.c - what there is: API products with their documents, plans, the gateway's address, and how
 * a request would be decided.
 *
 * Rows of portal_routes.c. Everything is read from the policy set that the call holds, so an answer is
 * never half of one load and half of the next. Tested by tests/box/test_portal_api.py.
 */
#include "portal/inner.h"

bool rest_api_visible(const struct call *c, const struct policy_api *api)
{
    return c->signed_in || (c->portal->opts.public_catalogue && api->is_public);
}

/* Versions of one product stand next to each other or not: the first one speaks for the product. */
static bool rest_is_first(const struct call *c, size_t at)
{
    const struct policy_api *api = policy_api_at(c->set, at);
    for (size_t i = 0; i < at; i++)
        if (slice_eq(policy_api_at(c->set, i)->product, api->product) &&
            rest_api_visible(c, policy_api_at(c->set, i)))
            return false;
    return rest_api_visible(c, api);
}

static void rest_plan_names(struct call *c)
{
    jsonw_arr(&c->w);
    for (size_t i = 0; i < policy_plan_count(c->set); i++)
        jsonw_str(&c->w, policy_plan_at(c->set, i)->name);
    jsonw_end_arr(&c->w);
}

/* Number of operations in an OpenAPI document: members of paths.* that are methods. */
static int64_t rest_operations(struct slice openapi)
{
    struct arena scratch; /* documents are large: one at a time */
    static const struct slice methods[] = {SLIT("get"),   SLIT("put"),     SLIT("post"), SLIT("delete"),
                                           SLIT("patch"), SLIT("options"), SLIT("head"), SLIT("trace")};
    struct json *doc;
    int64_t n = 0;
    arena_init(&scratch, 65536, 0);
    const struct json *paths =
        json_parse(&scratch, openapi, openapi.n, &doc, NULL) == RC_OK ? json_get(doc, S("paths")) : NULL;
    for (uint32_t i = 0; paths && paths->kind == JSON_OBJ && i < paths->n; i++)
        for (size_t m = 0; m < ARRAY_LEN(methods); m++)
            n += json_get(&paths->members[i].value, methods[m]) != NULL;
    arena_free(&scratch);
    return n;
}

static void rest_product_members(struct call *c, const struct policy_api *api)
{
    jsonw_kstr(&c->w, S("id"), api->product);
    jsonw_kstr(&c->w, S("name"), api->title);
    jsonw_kstr(&c->w, S("description"), api->description);
    jsonw_kstr(&c->w, S("contactEmail"), api->contact);
    jsonw_key(&c->w, S("apiProductMetadata"));
    jsonw_obj(&c->w);
    if (api->lifecycle.n)
        jsonw_kstr(&c->w, S("lifecycle"), api->lifecycle);
    jsonw_end_obj(&c->w);
}

static void rest_product_row(struct call *c, const struct policy_api *first)
{
    int64_t versions = 0;
    jsonw_obj(&c->w);
    rest_product_members(c, first);
    jsonw_key(&c->w, S("versions"));
    jsonw_arr(&c->w);
    for (size_t i = 0; i < policy_api_count(c->set); i++) {
        const struct policy_api *api = policy_api_at(c->set, i);
        if (!slice_eq(api->product, first->product) || !rest_api_visible(c, api))
            continue;
        jsonw_str(&c->w, api->version);
        versions++;
    }
    jsonw_end_arr(&c->w);
    jsonw_ki64(&c->w, S("versionsCount"), versions);
    jsonw_kbool(&c->w, S("apiKeyEnabled"), first->api_key);
    jsonw_kbool(&c->w, S("oauthEnabled"), false);
    jsonw_key(&c->w, S("plans"));
    rest_plan_names(c);
    jsonw_ki64(&c->w, S("operations"), rest_operations(first->openapi_json));
    jsonw_end_obj(&c->w);
}

void rest_products(struct call *c)
{
    size_t n = 0, from, at = 0, total = policy_api_count(c->set);
    for (size_t i = 0; i < total; i++)
        n += rest_is_first(c, i);
    size_t to = call_page(c, n, &from);
    jsonw_arr(&c->w);
    for (size_t i = 0; i < total && at < to; i++)
        if (rest_is_first(c, i) && at++ >= from)
            rest_product_row(c, policy_api_at(c->set, i));
    jsonw_end_arr(&c->w);
}

static const struct policy_api *rest_find_product(struct call *c)
{
    for (size_t i = 0; i < policy_api_count(c->set); i++) {
        const struct policy_api *api = policy_api_at(c->set, i);
        if (slice_eq(api->product, c->params[0]) && rest_api_visible(c, api))
            return api;
    }
    call_problem(c, 404, "There is no such API product, or it is shown to signed-in people only.", NULL);
    return NULL;
}

void rest_product(struct call *c)
{
    const struct policy_api *api = rest_find_product(c);
    if (!api)
        return;
    jsonw_obj(&c->w);
    rest_product_members(c, api);
    jsonw_end_obj(&c->w);
}

static void rest_version_row(struct call *c, const struct policy_api *api)
{
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("id"), arena_fmt(c->arena, "%.*s-%.*s", SFMT(api->product), SFMT(api->version)));
    jsonw_kstr(&c->w, S("apiProductId"), api->product);
    jsonw_kstr(&c->w, S("name"), api->version);
    jsonw_kstr(&c->w, S("title"), api->title);
    jsonw_kstr(&c->w, S("description"), api->description);
    jsonw_kstr(&c->w, S("documentation"), api->docs);
    jsonw_kstr(&c->w, S("license"), api->license);
    jsonw_kstr(&c->w, S("termsOfService"), api->terms);
    jsonw_key(&c->w, S("productVersionMetadata"));
    jsonw_obj(&c->w);
    jsonw_end_obj(&c->w);
    jsonw_kstr(&c->w, S("status"), S("published"));
    jsonw_kbool(&c->w, S("publicVisible"), api->is_public);
    jsonw_kstr(&c->w, S("keyHeader"), api->api_key ? api->key_header : S(""));
    jsonw_kstr(&c->w, S("host"), api->host);
    jsonw_kstr(&c->w, S("path"), api->path);
    jsonw_key(&c->w, S("apiSpec"));
    jsonw_raw(&c->w, api->openapi_json.n ? api->openapi_json : S("null"));
    jsonw_end_obj(&c->w);
}

void rest_versions(struct call *c)
{
    const struct policy_api *first = rest_find_product(c);
    if (!first)
        return;
    jsonw_arr(&c->w);
    for (size_t i = 0; i < policy_api_count(c->set); i++) {
        const struct policy_api *api = policy_api_at(c->set, i);
        if (slice_eq(api->product, first->product) && rest_api_visible(c, api))
            rest_version_row(c, api);
    }
    jsonw_end_arr(&c->w);
}

void rest_plans(struct call *c)
{
    jsonw_arr(&c->w);
    for (size_t i = 0; i < policy_plan_count(c->set); i++) {
        const struct policy_plan *p = policy_plan_at(c->set, i);
        jsonw_obj(&c->w);
        jsonw_kstr(&c->w, S("name"), p->name);
        jsonw_kstr(&c->w, S("displayName"), p->display_name.n ? p->display_name : p->name);
        jsonw_kstr(&c->w, S("description"), p->description);
        jsonw_ki64(&c->w, S("requestsPerUnit"), p->requests_per_unit);
        jsonw_kstr(&c->w, S("unit"), slice_str(limit_unit_name(p->unit)));
        jsonw_end_obj(&c->w);
    }
    jsonw_end_arr(&c->w);
}

void rest_gateway(struct call *c)
{
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("checkUrl"), c->portal->opts.check_url);
    jsonw_kstr(&c->w, S("sampleBaseUrl"), c->portal->opts.gateway_url);
    jsonw_end_obj(&c->w);
}

/* ---- how would it be decided? ---- */

/* The question of the page: product or host, path, method, a key. It counts like a real request. */
void rest_decide(struct call *c)
{
    struct slice product = call_str(c, S("product")), host = call_str(c, S("host"));
    struct slice key = call_str(c, S("key")), header = S("api-key");
    for (size_t i = 0; i < policy_api_count(c->set); i++) {
        const struct policy_api *api = policy_api_at(c->set, i);
        if (!product.n || !slice_eq(api->product, product) || !rest_api_visible(c, api))
            continue;
        host = host.n ? host : api->host;
        header = api->key_header.n ? api->key_header : header;
        break;
    }
    struct http_header headers[1] = {{header, key}};
    struct policy_ask q = {.method = call_str(c, S("method")), .host = host, .scheme = S("https"),
                           .target = call_str(c, S("path")), .headers = headers, .headers_n = key.n ? 1 : 0,
                           .now_ms = c->now_ms, .trace = true};
    q.has_source_ip = ip_parse(c->peer, &q.source_ip);
    if (!q.method.n || !q.target.n) {
        call_problem(c, 422, "A method and a path were expected.", q.method.n ? "path" : "method");
        return;
    }
    if (!http_value_ok(key)) {
        call_problem(c, 422, "This is no API key.", "key");
        return;
    }
    struct err e = {0};
    if (c->portal->opts.decide(c->portal->opts.ctx, &q, &c->out, &e) != RC_OK)
        call_problem(c, 503, arena_fmt(c->arena, "No decision could be made just now: %s. Try again.", e.text).p, NULL);
}
