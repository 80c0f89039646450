/*
 * transform_fn.c - the functions that templates of a TransformationPolicy have beside the core's, and the
 * headers as such a policy may see them.
 *
 * A header is read as the upstream would get it: what earlier steps set counts, what they remove is gone.
 * One that another policy of the route answers for (its identity headers) is never read from the
 * client, whatever was sent. Called by template_run.c through the table; run->ctx is the scope. Values
 * live in the decision's arena or longer. Tested by tests/unit/policy/test_transform.c.
 */
#include "policy/transform.h"

#define TRANSFORM_FN(name) \
    static bool transform_fn_##name(struct template_run *r, const struct json *a, size_t n, struct json *out)

/* ---- headers ---- */

static bool transform_fn_pseudo(const struct transform_scope *x, struct slice name, struct slice *value)
{
    const struct policy_ask *q = x->d->ask;

    if (slice_eq(name, S(":path")))
        *value = q->target;
    else if (slice_eq(name, S(":method")))
        *value = q->method;
    else if (slice_eq(name, S(":authority")))
        *value = q->host;
    else if (slice_eq(name, S(":scheme")))
        *value = q->scheme;
    else
        return false;
    return true;
}

/* Set by another policy of the route, when it lets pass: what the client sent is not it. */
static bool transform_fn_foreign(const struct transform_scope *x, struct slice name)
{
    const struct route *r = x->d->route;

    for (size_t i = 0; i < r->items_n; i++)
        for (size_t k = 0; &r->items[i] != x->item && k < r->items[i].identity_n; k++)
            if (slice_eq_ci(r->items[i].identity[k], name))
                return true;
    return false;
}

/* What the client sent, all of it, as the upstream would join it. */
static bool transform_fn_sent(const struct transform_scope *x, struct slice name, struct slice *value)
{
    size_t n = 0;

    *value = decision_only_header(x->d, name, &n);
    if (n < 2)
        return n == 1;
    *value = S("");
    for (size_t i = 0; i < x->d->ask->headers_n; i++) {
        const struct http_header *h = &x->d->ask->headers[i];
        if (slice_eq_ci(h->name, name))
            *value = arena_fmt(x->d->arena, "%.*s%s%.*s", SFMT(*value), value->n ? "," : "", SFMT(h->value));
    }
    return true;
}

bool transform_request_header(struct transform_scope *x, struct slice name, struct slice *value)
{
    const struct policy_verdict *v = x->d->v;
    const struct policy_header *set = decision_find(v->upstream, v->upstream_n, name);

    *value = S("");
    if (name.n > 0 && name.p[0] == ':')
        return transform_fn_pseudo(x, name, value);
    if (set) {
        *value = set->value;
        return true;
    }
    for (size_t i = 0; i < v->remove_n; i++)
        if (slice_eq_ci(v->remove[i], name))
            return false;
    return !transform_fn_foreign(x, name) && transform_fn_sent(x, name, value);
}

bool transform_header(struct transform_scope *x, struct slice name, struct slice *value)
{
    const struct policy_verdict *v = x->d->v;
    const struct policy_header *set;

    if (!x->response)
        return transform_request_header(x, name, value);
    *value = S("");
    if (slice_eq(name, S(":status"))) {
        *value = arena_fmt(x->d->arena, "%d", v->status);
        return true;
    }
    set = decision_find(v->client, v->client_n, name);
    if (set)
        *value = set->value;
    return set != NULL;
}

/* ---- the functions ---- */

static bool transform_fn_text(struct template_run *r, const struct json *a, const char *fn)
{
    return a->kind == JSON_STR || template_fail(r, RC_BADINPUT, "%s() needs a text", fn);
}

static bool transform_fn_value(struct json *out, struct slice s)
{
    *out = (struct json){.kind = JSON_STR, .s = s};
    return true;
}

TRANSFORM_FN(header)
{
    struct slice s;
    (void)n;
    if (!transform_fn_text(r, a, "header") || !template_charge(r, 8))
        return false;
    (void)transform_header(r->ctx, a->s, &s);
    return transform_fn_value(out, s);
}

TRANSFORM_FN(request_header)
{
    struct slice s;
    (void)n;
    if (!transform_fn_text(r, a, "request_header") || !template_charge(r, 8))
        return false;
    (void)transform_request_header(r->ctx, a->s, &s);
    return transform_fn_value(out, s);
}

TRANSFORM_FN(extraction)
{
    const struct transform_scope *x = r->ctx;
    (void)n;
    if (!transform_fn_text(r, a, "extraction"))
        return false;
    for (size_t i = 0; i < x->side->extractors_n; i++)
        if (slice_eq(x->side->extractors[i].name, a->s))
            return transform_fn_value(out, x->extracted[i]);
    return transform_fn_value(out, S(""));
}

TRANSFORM_FN(body)
{
    const struct transform_scope *x = r->ctx;
    (void)n;
    (void)a;
    return transform_fn_value(out, x->body);
}

TRANSFORM_FN(context)
{
    const struct transform_scope *x = r->ctx;
    (void)n;
    (void)a;
    *out = x->root ? *x->root : x->parsed ? *x->parsed : (struct json){.kind = JSON_OBJ};
    return true;
}

/* "a:b:c" below a value; NULL: not there. */
static const struct json *transform_fn_below(struct template_run *r, const struct json *v, struct slice path)
{
    while (v && path.n > 0) {
        struct slice head = slice_cut(path, ':', &path);
        if (v->kind != JSON_OBJ || !template_charge(r, 1 + v->n / 8))
            return NULL;
        v = json_get(v, head);
    }
    return v;
}

static const struct json *transform_fn_said(struct template_run *r, const struct policy_verdict *v,
                                            struct slice space, struct slice path)
{
    struct slice rest, head = slice_cut(path, ':', &rest);

    for (size_t i = 0; i < v->metadata_n; i++)
        if (slice_eq(v->metadata[i].space, space) && slice_eq(v->metadata[i].name, head))
            return transform_fn_below(r, v->metadata[i].value, rest);
    return NULL;
}

/* What this decision has said so far, then what the gateway told. */
TRANSFORM_FN(dynamic_metadata)
{
    const struct transform_scope *x = r->ctx;
    const struct policy_verdict *v = x->d->v;
    const struct json *found = NULL;
    struct slice space, rest, head;

    if (!transform_fn_text(r, a, "dynamic_metadata") || (n == 2 && !transform_fn_text(r, &a[1], "dynamic_metadata")))
        return false;
    space = n == 2 ? a[1].s : S("io.solo.transformation");
    head = slice_cut(a->s, ':', &rest);
    if (slice_eq(space, S("envoy.filters.http.ext_authz"))) {
        found = transform_fn_said(r, v, S(""), a->s);
        if (!found && rest.n > 0)
            found = transform_fn_said(r, v, head, rest);
    } else if (slice_eq(space, S("envoy.filters.http.jwt_authn"))) { /* as a JWTPolicy leaves it */
        found = transform_fn_below(r, decision_state_get(x->d, S("jwt_authn")), a->s);
    } else {
        found = transform_fn_said(r, v, space, a->s);
    }
    if (!found && x->d->ask->metadata)
        found = transform_fn_below(r, json_get(x->d->ask->metadata, space), a->s);
    if (r->rc != RC_OK)
        return false;
    *out = found ? *found : (struct json){.kind = JSON_STR, .s = S("")};
    return true;
}

/* clang-format off */
static const struct template_fn transform_fn_rows[] = {
    {"header", 1, 1, transform_fn_header, TRANSFORM_NEEDS_HEADER, NULL, "a header of the request, or of the answer in a response's template"},
    {"request_header", 1, 1, transform_fn_request_header, 0, NULL, "a header of the request"},
    {"extraction", 1, 1, transform_fn_extraction, TRANSFORM_NEEDS_EXTRACTION, NULL, "what the extractor of this name found"},
    {"body", 0, 0, transform_fn_body, TRANSFORM_NEEDS_BODY, NULL, "the body, as far as the gateway sends it"},
    {"context", 0, 0, transform_fn_context, TRANSFORM_NEEDS_CONTEXT, NULL, "everything that has a name: the JSON body and the extractors"},
    {"dynamic_metadata", 1, 2, transform_fn_dynamic_metadata, 0, NULL, "metadata by key (a:b goes deeper) and namespace"},
    {"env", 1, 1, NULL, 0, "the environment of Postern holds secrets; write the value into the policy", "refused"},
    {"clusterMetadata", 1, 1, NULL, 0, "a check does not know the upstream's cluster", "refused"},
    {"cluster_metadata", 1, 1, NULL, 0, "a check does not know the upstream's cluster", "refused"},
    {"host_metadata", 1, 1, NULL, 0, "a check does not know the upstream's host", "refused"},
    {"data_source", 1, 1, NULL, 0, "write the text into the policy", "refused"},
};
/* clang-format on */

const struct template_opts *transform_fns(void)
{
    static const struct template_opts opts = {transform_fn_rows, ARRAY_LEN(transform_fn_rows)};
    return &opts;
}

#undef TRANSFORM_FN
