/*
 * dialects.c - one row per gateway dialect: where the original request stands, and what a denial may be.
 *
 * A dialect reads only its own headers and never falls back to another's; a header that it needs and
 * that is missing, doubled or malformed is a denial. Who may speak is decided before (check.c).
 * Pure: bytes to a policy_ask. Tested by tests/unit/check/.
 */
#include "check/inner.h"

/* Exactly one header of this name, not empty. */
static bool dialects_one(const struct http_head *h, struct slice name, struct slice *value)
{
    const struct http_header *found = NULL;
    for (size_t i = 0; i < h->headers_n; i++) {
        if (h->headers[i].name.n != name.n || !slice_eq_ci(h->headers[i].name, name))
            continue;
        if (found)
            return false;
        found = &h->headers[i];
    }
    *value = found ? found->value : S("");
    return found && found->value.n > 0;
}

/* Absent, or exactly one: false only when doubled. */
static bool dialects_at_most_one(const struct http_head *h, struct slice name, struct slice *value)
{
    return dialects_one(h, name, value) || http_header_count(h, name) <= 1;
}

static void dialects_common(const struct check_req *r, struct policy_ask *q)
{
    q->headers = r->h->headers;
    q->headers_n = r->h->headers_n;
    q->body = r->body;
    q->gateway = conn_peer(r->k->c)->cert_name;
}

/* Envoy: the client's own start line behind the prefix, its Host, the headers that Envoy was told to send.
 * X-Forwarded-For is Envoy's own address here; the client's comes by headers_to_add. */
static const char *dialects_envoy(const struct check_req *r, struct policy_ask *q)
{
    struct slice ip;
    dialects_common(r, q);
    if (!dialects_at_most_one(r->h, S("x-postern-client-ip"), &ip))
        return "dialect_header_malformed";
    q->has_source_ip = ip.n > 0;
    if (q->has_source_ip && !ip_parse(ip, &q->source_ip))
        return "dialect_header_malformed";
    q->method = r->h->method;
    q->host = r->h->host;
    q->target = slice_from(r->h->target, r->k->row->path.n);
    return q->target.n ? NULL : "dialect_header_missing";
}

/* scheme://host/target, not decoded: the target must be what the upstream will see. */
static bool dialects_original_url(struct slice url, struct policy_ask *q)
{
    size_t at = slice_find(url, S("://"));
    if (at == SIZE_MAX)
        return false;
    q->scheme = slice_sub(url, 0, at);
    struct slice rest = slice_from(url, at + 3);
    size_t slash = slice_index(rest, '/');
    if (slash == SIZE_MAX || slash == 0)
        return false;
    q->host = slice_sub(rest, 0, slash);
    q->target = slice_from(rest, slash);
    return slice_eq_ci(q->scheme, S("http")) || slice_eq_ci(q->scheme, S("https"));
}

static const char *dialects_nginx(const struct check_req *r, struct policy_ask *q)
{
    struct slice url, ip;
    dialects_common(r, q);
    q->body_hidden = q->body.n == 0;
    if (!dialects_one(r->h, S("x-original-url"), &url) || !dialects_one(r->h, S("x-original-method"), &q->method))
        return "dialect_header_missing";
    if (!dialects_original_url(url, q))
        return "dialect_header_malformed";
    if (!dialects_at_most_one(r->h, S("x-real-ip"), &ip))
        return "dialect_header_malformed";
    q->has_source_ip = ip.n > 0;
    if (q->has_source_ip && !ip_parse(ip, &q->source_ip))
        return "dialect_header_malformed";
    return NULL;
}

/* The right-most address is the one that the trusted gateway saw; the others anybody may have written. */
static bool dialects_forwarded_for(struct slice list, struct policy_ask *q)
{
    size_t comma = slice_rindex(list, ',');
    struct slice last = slice_trim(comma == SIZE_MAX ? list : slice_from(list, comma + 1));
    q->has_source_ip = ip_parse(last, &q->source_ip);
    return q->has_source_ip;
}

static const char *dialects_forward(const struct check_req *r, struct policy_ask *q)
{
    struct slice list;
    dialects_common(r, q);
    q->body_hidden = q->body.n == 0;
    if (!dialects_one(r->h, S("x-forwarded-method"), &q->method) ||
        !dialects_one(r->h, S("x-forwarded-uri"), &q->target) ||
        !dialects_one(r->h, S("x-forwarded-host"), &q->host))
        return "dialect_header_missing";
    if (!dialects_at_most_one(r->h, S("x-forwarded-proto"), &q->scheme) ||
        !dialects_at_most_one(r->h, S("x-forwarded-for"), &list) || (list.n && !dialects_forwarded_for(list, q)))
        return "dialect_header_malformed";
    return NULL;
}

/* clang-format off */
static const struct dialect dialects_rows[] = {
    {.name = "forward", .path = SLIT("/auth/forward"), .ask = dialects_forward},
    {.name = "nginx", .path = SLIT("/auth/nginx"), .only_401_403 = true, .ask = dialects_nginx},
    {.name = "envoy", .path = SLIT("/auth/envoy"), .prefix = true, .envoy_remove = true, .ask = dialects_envoy},
    {.name = "decide", .path = SLIT("/v1/decide"), .post_only = true, .run = calls_decide, .answer = calls_decided},
    {.name = "ratelimit", .path = SLIT("/json"), .post_only = true, .run = calls_ratelimit},
    {.name = "health", .path = SLIT("/healthz"), .run = calls_health},
    /* By HTTP/2 (grpc.c); by HTTP/1 they are told so. */
    [DIALECT_GRPC] = {.name = "grpc", .path = SLIT("/envoy.service.auth.v3.Authorization/Check"), .run = calls_grpc},
    [DIALECT_GRPC_LIMIT] = {.name = "grpc_ratelimit",
     .path = SLIT("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"), .run = calls_grpc},
};
/* clang-format on */

const struct dialect *dialect_find(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(dialects_rows); i++) {
        const struct dialect *d = &dialects_rows[i];
        if (d->prefix ? path.n > d->path.n && slice_starts(path, d->path) && path.p[d->path.n] == '/'
                      : slice_eq(path, d->path))
            return d;
    }
    return NULL;
}

const struct dialect *dialect_at(size_t i)
{
    return &dialects_rows[i];
}

size_t dialect_index(const struct dialect *d)
{
    return (size_t)(d - dialects_rows);
}
