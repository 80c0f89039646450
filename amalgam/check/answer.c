/*
 * answer.c - a verdict, or a refusal of our own, as an HTTP answer in the words of the dialect.
 *
 * Allow is exactly 200 with an empty body. Every identity header of the route is set or, when it has no
 * value, removed: sent empty (gateways that copy it then overwrite the client's), or named in Envoy's
 * x-envoy-auth-headers-to-remove. Values that could break a header are left out and the name removed.
 * Writes straight into the connection's output. Tested by tests/unit/check/ and the gateway tests.
 */
#include "base/metric.h"
#include "check/inner.h"

#define ANSWER_DIALECTS 8
#define ANSWER_OUTCOMES 3

/* clang-format off */
#define ANSWER_ROW(dialect) \
    {"postern_checks_total", "dialect=\"" dialect "\",outcome=\"allowed\"", "Decisions by dialect and outcome.", METRIC_COUNTER, 0, NULL, NULL}, \
    {"postern_checks_total", "dialect=\"" dialect "\",outcome=\"denied\"", "Decisions by dialect and outcome.", METRIC_COUNTER, 0, NULL, NULL}, \
    {"postern_checks_total", "dialect=\"" dialect "\",outcome=\"limited\"", "Decisions by dialect and outcome.", METRIC_COUNTER, 0, NULL, NULL}
static struct metric answer_metrics[ANSWER_DIALECTS * ANSWER_OUTCOMES] = {
    ANSWER_ROW("forward"), ANSWER_ROW("nginx"), ANSWER_ROW("envoy"),
    ANSWER_ROW("decide"), ANSWER_ROW("ratelimit"), ANSWER_ROW("health"),
    ANSWER_ROW("grpc"), ANSWER_ROW("grpc_ratelimit"),
};
/* clang-format on */

void check_metrics_join(void)
{
    metric_join(answer_metrics, ARRAY_LEN(answer_metrics));
}

void answer_count(const struct dialect *d, bool allowed, int status)
{
    size_t outcome = allowed ? 0 : status == 429 ? 2 : 1;
    metric_add(&answer_metrics[dialect_index(d) * ANSWER_OUTCOMES + outcome], 1);
}

/* ---- pieces ---- */

static void answer_status(struct buf *out, int status)
{
    if (LIKELY(status == 200)) {
        buf_lit(out, "HTTP/1.1 200 OK\r\n");
        return;
    }
    buf_lit(out, "HTTP/1.1 ");
    buf_u64(out, (uint64_t)status);
    buf_byte(out, ' ');
    buf_str(out, http_reason(status));
    buf_lit(out, "\r\n");
}

static void answer_header(struct buf *out, struct slice name, struct slice value)
{
    buf_slice(out, name);
    buf_lit(out, ": ");
    buf_slice(out, value);
    buf_lit(out, "\r\n");
}

/* Length, connection, empty line, body (none for HEAD), and the end of the connection if it ends. */
static void answer_end(struct check_conn *k, struct slice body)
{
    struct buf *out = conn_out(k->c);
    buf_lit(out, "Content-Length: ");
    buf_u64(out, body.n);
    if (UNLIKELY(!k->keep_alive))
        buf_lit(out, "\r\nConnection: close");
    else if (UNLIKELY(k->http10))
        buf_lit(out, "\r\nConnection: keep-alive");
    buf_lit(out, "\r\n\r\n");
    if (body.n && !k->head_only)
        buf_slice(out, body);
    if (UNLIKELY(!k->keep_alive))
        conn_close_soon(k->c);
}

/* ---- rate-limit headers (draft-ietf-httpapi-ratelimit-headers-10, and the older three) ---- */

static void answer_quoted(struct buf *out, struct slice name)
{
    buf_byte(out, '"');
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (c < ' ' || c > '~')
            continue;
        if (c == '"' || c == '\\')
            buf_byte(out, '\\');
        buf_byte(out, c);
    }
    buf_byte(out, '"');
}

/* The limit that is over, else the one with least left. */
static const struct policy_limit *answer_tightest(const struct policy_verdict *v)
{
    const struct policy_limit *best = NULL;
    for (size_t i = 0; i < v->limits_n; i++) {
        const struct policy_limit *l = &v->limits[i];
        if (l->unit == UNIT_UNKNOWN)
            continue;
        if (!best || (l->over && !best->over) || (l->over == best->over && l->remaining < best->remaining))
            best = l;
    }
    return best;
}

void answer_limits(struct buf *out, const struct check_opts *o, const struct policy_verdict *v)
{
    const struct policy_limit *l = answer_tightest(v);
    if (!l)
        return;
    if (o->ratelimit_headers) {
        buf_lit(out, "RateLimit-Policy: ");
        answer_quoted(out, l->name);
        buf_lit(out, ";q=");
        buf_u64(out, l->limit);
        buf_lit(out, ";w=");
        buf_i64(out, limit_unit_s(l->unit));
        buf_lit(out, "\r\nRateLimit: ");
        answer_quoted(out, l->name);
        buf_lit(out, ";r=");
        buf_u64(out, l->remaining);
        buf_lit(out, ";t=");
        buf_i64(out, l->reset_s);
        buf_lit(out, "\r\n");
    }
    if (o->x_ratelimit_headers)
        buf_fmt(out, "X-RateLimit-Limit: %u\r\nX-RateLimit-Remaining: %u\r\nX-RateLimit-Reset: %lld\r\n", l->limit,
                l->remaining, (long long)l->reset_s);
}

/* ---- verdicts ---- */

static void answer_dashed(struct buf *out, struct slice name, char dash)
{
    for (size_t i = 0; i < name.n; i++)
        buf_byte(out, name.p[i] == '-' ? dash : name.p[i]);
}

/* Envoy passes on few headers, so spellings that some upstreams take for the same ("X_User", "X.User")
 * are not seen here: they are named whatever the client sent. */
static void answer_envoy_name(struct buf *out, struct slice name, bool itself, bool *first)
{
    static const char dashes[] = {'-', '_', '.'};
    for (size_t i = itself ? 0 : 1; i < sizeof dashes; i++) {
        if (i > 0 && slice_index(name, '-') == SIZE_MAX)
            return;
        if (!*first)
            buf_byte(out, ',');
        *first = false;
        answer_dashed(out, name, dashes[i]);
    }
}

static void answer_envoy_remove(struct buf *out, const struct policy_verdict *v)
{
    bool first = true;
    if (v->remove_n + v->upstream_n == 0)
        return;
    buf_lit(out, "x-envoy-auth-headers-to-remove: ");
    for (size_t i = 0; i < v->remove_n; i++)
        answer_envoy_name(out, v->remove[i], true, &first);
    for (size_t i = 0; i < v->upstream_n; i++)
        answer_envoy_name(out, v->upstream[i].name, false, &first);
    buf_lit(out, "\r\n");
}

static void answer_identity(struct buf *out, const struct dialect *d, const struct policy_verdict *v)
{
    for (size_t i = 0; i < v->upstream_n; i++)
        answer_header(out, v->upstream[i].name, http_value_ok(v->upstream[i].value) ? v->upstream[i].value : S(""));
    if (d->envoy_remove)
        answer_envoy_remove(out, v);
    else
        for (size_t i = 0; i < v->remove_n; i++)
            answer_header(out, v->remove[i], S(""));
}

/* A variable of nginx holds one header line: the second cookie and those after it have names of their own. */
static void answer_cookie(struct buf *out, struct slice value, size_t nth)
{
    buf_lit(out, "X-Postern-Set-Cookie-");
    buf_u64(out, nth);
    buf_lit(out, ": ");
    buf_slice(out, value);
    buf_lit(out, "\r\n");
}

static bool answer_client(struct buf *out, const struct dialect *d, const struct policy_verdict *v)
{
    bool typed = false;
    size_t cookies = 0;
    for (size_t i = 0; i < v->client_n; i++) {
        const struct policy_header *h = &v->client[i];
        if (!http_value_ok(h->value))
            continue;
        cookies += slice_eq_ci(h->name, S("set-cookie"));
        typed |= slice_eq_ci(h->name, S("content-type"));
        if (d->only_401_403 && cookies > 1 && slice_eq_ci(h->name, S("set-cookie")))
            answer_cookie(out, h->value, cookies);
        else
            answer_header(out, h->name, h->value);
    }
    return typed;
}

int answer_dialect_status(const struct dialect *d, const struct policy_verdict *v)
{
    if (v->allowed)
        return 200;
    int status = v->status >= 300 && v->status < 500 ? v->status : 403; /* trouble is a denial too */
    return d->only_401_403 && status != 401 ? 403 : status;
}

void answer_verdict(struct check_conn *k, const struct policy_verdict *v)
{
    struct buf *out = conn_out(k->c);
    const struct dialect *d = k->row;
    answer_count(d, v->allowed, v->status);
    answer_status(out, answer_dialect_status(d, v));
    buf_lit(out, "X-Postern-Decision: ");
    buf_put(out, v->id, 16);
    buf_lit(out, "\r\nX-Postern-Reason: ");
    buf_slice(out, v->reason);
    buf_lit(out, "\r\n");
    if (v->allowed) {
        answer_identity(out, d, v);
    } else if (d->only_401_403 || v->page) { /* 200 would mean allow */
        buf_lit(out, "X-Postern-Status: ");
        buf_i64(out, v->page ? 200 : v->status);
        buf_lit(out, "\r\n");
    }
    bool typed = answer_client(out, d, v);
    if (v->limits_n)
        answer_limits(out, &k->t->opts, v);
    if (!v->allowed && v->body.n && !typed)
        buf_lit(out, "Content-Type: text/plain; charset=utf-8\r\n");
    answer_end(k, v->allowed ? S("") : v->body);
}

void answer_refuse(struct check_conn *k, int status, const char *reason, const char *words)
{
    struct buf *out = conn_out(k->c);
    if (k->row)
        answer_count(k->row, false, status);
    answer_status(out, status);
    answer_header(out, S("X-Postern-Reason"), slice_str(reason));
    if (k->row && k->row->only_401_403)
        answer_header(out, S("X-Postern-Status"), slice_str(status == 403 ? "403" : "400"));
    buf_lit(out, "Content-Type: text/plain; charset=utf-8\r\n");
    answer_end(k, slice_str(words));
}

void answer_json(struct check_conn *k, int status, struct slice json)
{
    answer_status(conn_out(k->c), status);
    buf_lit(conn_out(k->c), "Content-Type: application/json\r\nCache-Control: no-store\r\n");
    answer_end(k, json);
}

void answer_text(struct check_conn *k, int status, struct slice text)
{
    answer_status(conn_out(k->c), status);
    buf_lit(conn_out(k->c), "Content-Type: text/plain; charset=utf-8\r\n");
    answer_end(k, text);
}
#undef ANSWER_DIALECTS
#undef ANSWER_OUTCOMES
#undef ANSWER_ROW
