/*
 * grpc.c - gRPC on the check port: HTTP/2 streams -> framed messages -> methods, and how calls end.
 *
 *   preface (door.c) -> session (net/h2) -> content type, path, trusted? -> prefix, message -> method
 *
 * A unary call is one message of a five-byte prefix: a flag that must be 0 (no compression is served) and
 * the length. A failure is an answer without a body whose only head carries grpc-status. Whatever is
 * wrong with a call is a status other than OK, so that no gateway takes it for an allow; what a client of
 * the gateway can bring about is a denial instead (grpc_auth.c), as gateways may be told to let
 * errors pass. Owns: struct grpc_conn. Threads: the reactor's. Tested by tests/unit/check/test_grpc.c,
 * tests/fuzz/fuzz_grpc.c, tests/box/test_grpc.py and test_envoy_grpc.py.
 */
#include "base/mem.h"
#include "check/grpc.h"

enum { GRPC_PREFIX_BYTES = 5, GRPC_STREAM_OUT_MAX = 64 * 1024, GRPC_TEXT_MAX = 400 };

/* clang-format off */
static const struct grpc_method grpc_methods[] = {
    {.service = SLIT("envoy.service.auth.v3.Authorization"), .name = SLIT("Check"),
     .run = grpc_auth_check, .too_big = grpc_auth_too_big},
    {.service = SLIT("envoy.service.ratelimit.v3.RateLimitService"), .name = SLIT("ShouldRateLimit"),
     .run = grpc_limit_should},
    {.service = SLIT("grpc.health.v1.Health"), .name = SLIT("Check"), .run = grpc_health_check},
    {.service = SLIT("grpc.health.v1.Health"), .name = SLIT("Watch"), .run = grpc_health_watch,
     .stop = grpc_health_bye},
    {.service = SLIT("grpc.reflection.v1.ServerReflection"), .name = SLIT("ServerReflectionInfo"),
     .run = grpc_reflect, .streams = true},
    {.service = SLIT("grpc.reflection.v1alpha.ServerReflection"), .name = SLIT("ServerReflectionInfo"),
     .run = grpc_reflect, .streams = true},
};
/* clang-format on */

const struct grpc_method *grpc_method_at(size_t i)
{
    return i < ARRAY_LEN(grpc_methods) ? &grpc_methods[i] : NULL;
}

static const struct grpc_method *grpc_method_find(struct slice path)
{
    for (size_t i = 0; i < ARRAY_LEN(grpc_methods); i++) {
        const struct grpc_method *m = &grpc_methods[i];
        if (path.n == m->service.n + m->name.n + 2 && path.p[0] == '/' &&
            slice_eq(slice_sub(path, 1, m->service.n), m->service) && path.p[m->service.n + 1] == '/' &&
            slice_eq(slice_from(path, m->service.n + 2), m->name))
            return m;
    }
    return NULL;
}

/* ---- answers ---- */

static const struct http_header grpc_type = {SLIT("content-type"), SLIT("application/grpc")};

/* grpc-message: percent-encoded, so that it fits into a header. */
static struct slice grpc_encode(struct slice text, char dst[3 * GRPC_TEXT_MAX])
{
    static const char hex[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < text.n && i < GRPC_TEXT_MAX; i++) {
        uint8_t c = (uint8_t)text.p[i];
        if (c >= ' ' && c <= '~' && c != '%') {
            dst[n++] = (char)c;
        } else {
            dst[n++] = '%';
            dst[n++] = hex[c >> 4];
            dst[n++] = hex[c & 15];
        }
    }
    return slice_of(dst, n);
}

void grpc_fail(struct h2_stream *s, enum grpc_code code, struct slice text)
{
    char number[24], message[3 * GRPC_TEXT_MAX];
    const struct http_header head[] = {
        grpc_type,
        {S("grpc-status"), slice_of(number, fmt_u64(number, (uint64_t)code))},
        {S("grpc-message"), grpc_encode(text, message)},
        {S("grpc-accept-encoding"), S("identity")},
    };
    h2_head_only(s, 200, head, ARRAY_LEN(head));
}

static const struct http_header grpc_ok[] = {{SLIT("grpc-status"), SLIT("0")}};

struct buf *grpc_reply(const struct grpc_call *k, size_t *mark)
{
    struct buf *out = h2_out(k->s);
    buf_put(out, "\0\0\0\0", GRPC_PREFIX_BYTES);
    *mark = out->n;
    return out;
}

static void grpc_prefix(struct buf *out, size_t mark)
{
    size_t n = out->n - mark;
    if (buf_over(out))
        return;
    for (size_t i = 1; i < GRPC_PREFIX_BYTES; i++, n >>= 8)
        out->p[mark - i] = (char)n;
}

void grpc_reply_end(const struct grpc_call *k, size_t mark)
{
    grpc_prefix(h2_out(k->s), mark);
    h2_begin(k->s, 200, &grpc_type, 1);
    h2_end(k->s, grpc_ok, ARRAY_LEN(grpc_ok));
}

void grpc_stream_begin(const struct grpc_call *k)
{
    h2_keep_reading(k->s); /* no deadline for its end */
    h2_begin(k->s, 200, &grpc_type, 1);
}

void grpc_message_end(const struct grpc_call *k, size_t mark)
{
    grpc_prefix(h2_out(k->s), mark);
    h2_wrote(k->s);
}

/* ---- heads ---- */

static struct slice grpc_header(const struct h2_request *q, struct slice name)
{
    for (size_t i = 0; i < q->headers_n; i++)
        if (slice_eq(q->headers[i].name, name))
            return q->headers[i].value;
    return S("");
}

/* "100m": at most eight digits and a unit. */
int64_t grpc_timeout_ms(const struct h2_request *q)
{
    static const struct {
        char unit;
        uint64_t us;
    } units[] = {{'H', UINT64_C(3600000000)}, {'M', 60000000}, {'S', 1000000}, {'m', 1000}, {'u', 1}};
    struct slice text = grpc_header(q, S("grpc-timeout"));
    uint64_t n = 0;
    if (text.n < 2 || text.n > 9 || !slice_u64(slice_sub(text, 0, text.n - 1), &n))
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (text.p[text.n - 1] == units[i].unit)
            return MAX((int64_t)(n * units[i].us / 1000), 1);
    return text.p[text.n - 1] == 'n' ? MAX((int64_t)(n / 1000000), 1) : 0;
}

static bool grpc_is_type(struct slice type)
{
    struct slice rest = slice_from(type, 16);
    return slice_starts(type, S("application/grpc")) &&
           (rest.n == 0 || rest.p[0] == ';' || slice_eq(rest, S("+proto")) || slice_starts(rest, S("+proto;")));
}

static void grpc_stranger(struct grpc_conn *g, struct h2_stream *s)
{
    door_warn_stranger(g->t, g->c);
    grpc_fail(s, GRPC_DENIED, S("untrusted_peer: this peer is not in check.trusted_peers"));
}

static void grpc_head(struct h2_stream *s, void *user)
{
    struct grpc_conn *g = user;
    const struct h2_request *q = h2_request(s);
    struct slice encoding = grpc_header(q, S("grpc-encoding"));
    if (!slice_eq(q->method, S("POST"))) {
        h2_head_only(s, 405, NULL, 0);
        return;
    }
    if (!grpc_is_type(grpc_header(q, S("content-type")))) {
        h2_head_only(s, 415, NULL, 0);
        return;
    }
    const struct grpc_method *m = grpc_method_find(q->path);
    if (!m) {
        grpc_fail(s, GRPC_UNIMPLEMENTED, S("no such method here"));
    } else if (!g->trusted) {
        grpc_stranger(g, s);
    } else if (encoding.n && !slice_eq(encoding, S("identity"))) {
        grpc_fail(s, GRPC_UNIMPLEMENTED, S("messages must not be compressed"));
    } else if (m->streams) {
        const struct grpc_call k = {.g = g, .s = s};
        grpc_stream_begin(&k);
    }
}

/* ---- messages ---- */

/* The first message of `in`, without its prefix. RC_AGAIN: not whole yet. *text: what is wrong. */
static enum rc grpc_unframe(struct slice in, size_t max, struct slice *message, const char **text)
{
    if (in.n > 0 && in.p[0] != 0) {
        *text = "messages must not be compressed";
        return RC_VERSION;
    }
    if (in.n < GRPC_PREFIX_BYTES)
        return RC_AGAIN;
    size_t n = 0;
    for (size_t i = 1; i < GRPC_PREFIX_BYTES; i++)
        n = n << 8 | (uint8_t)in.p[i];
    if (n > max) {
        *text = "the message is larger than check.body_max and check.header_bytes_max";
        return RC_TOOBIG;
    }
    *message = slice_sub(in, GRPC_PREFIX_BYTES, n);
    return message->n == n ? RC_OK : RC_AGAIN;
}

static void grpc_unary(const struct grpc_method *m, struct grpc_call *k, bool whole)
{
    const char *text = "";
    struct slice in = buf_unread(h2_body(k->s));
    enum rc rc = grpc_unframe(in, check_message_max(&k->g->t->opts), &k->message, &text);
    if (rc == RC_TOOBIG && m->too_big)
        m->too_big(k);
    else if (rc == RC_TOOBIG)
        grpc_fail(k->s, GRPC_EXHAUSTED, slice_str(text));
    else if (rc == RC_VERSION)
        grpc_fail(k->s, GRPC_UNIMPLEMENTED, slice_str(text));
    else if (rc == RC_OK && in.n > k->message.n + GRPC_PREFIX_BYTES)
        grpc_fail(k->s, GRPC_UNIMPLEMENTED, S("more than one message"));
    else if (whole && rc == RC_OK)
        m->run(k);
    else if (whole)
        grpc_fail(k->s, in.n ? GRPC_INTERNAL : GRPC_UNIMPLEMENTED, S("the message is cut off"));
}

static void grpc_streaming(const struct grpc_method *m, struct grpc_call *k, bool whole)
{
    const char *text = "";
    struct buf *body = h2_body(k->s), *out = h2_out(k->s);
    enum rc rc;
    while ((rc = grpc_unframe(buf_unread(body), check_message_max(&k->g->t->opts), &k->message, &text)) == RC_OK &&
           out->n - out->at < GRPC_STREAM_OUT_MAX) {
        m->run(k);
        buf_consume(body, k->message.n + GRPC_PREFIX_BYTES);
    }
    if (rc == RC_AGAIN && !whole)
        return;
    bool good = rc == RC_AGAIN && buf_unread(body).n == 0;
    const struct http_header bad[] = {{S("grpc-status"), S("8")}};
    h2_end(k->s, good ? grpc_ok : bad, 1);
}

static void grpc_body(struct h2_stream *s, void *user, bool whole)
{
    struct grpc_call k = {.g = user, .s = s};
    const struct grpc_method *m = grpc_method_find(h2_request(s)->path);
    if (m->streams)
        grpc_streaming(m, &k, whole);
    else
        grpc_unary(m, &k, whole);
}

/* ---- connections ---- */

static void grpc_batch(void *user)
{
    struct grpc_conn *g = user;
    policy_begin(g->t->policy, reactor_now_ms(conn_reactor(g->c)));
}

static void grpc_late(struct h2_stream *s, void *user)
{
    struct grpc_wait *w = h2_user(s);
    (void)user;
    if (!w)
        return;
    w->s = NULL;
    h2_set_user(s, NULL);
    grpc_fail(s, GRPC_DEADLINE, S("the call's deadline has passed"));
}

static void grpc_gone(struct h2_stream *s, void *user)
{
    struct grpc_wait *w = h2_user(s);
    (void)user;
    if (w)
        w->s = NULL;
}

/* The server stops: clients of calls that stream go to another. */
static void grpc_stop(struct h2_stream *s, void *user)
{
    static const struct http_header unavailable[] = {{SLIT("grpc-status"), SLIT("14")},
                                                     {SLIT("grpc-message"), SLIT("the server stops")}};
    const struct grpc_call k = {.g = user, .s = s};
    const struct grpc_method *m = grpc_method_find(h2_request(s)->path);
    if (m->stop)
        m->stop(&k);
    h2_end(s, unavailable, ARRAY_LEN(unavailable));
}

void grpc_conn_drop(struct grpc_conn *g)
{
    if (!g->c && g->waiting == 0)
        mem_free(g);
}

static void grpc_close(void *user)
{
    struct grpc_conn *g = user;
    g->c = NULL;
    grpc_conn_drop(g);
}

size_t grpc_start(struct check_thread *t, struct conn *c, bool trusted, struct slice in)
{
    static const struct h2_door door = {.batch = grpc_batch, .head = grpc_head, .body = grpc_body,
                                        .late = grpc_late, .gone = grpc_gone, .stop = grpc_stop,
                                        .close = grpc_close};
    struct grpc_conn *g = mem_zalloc(sizeof *g);
    g->t = t;
    g->c = c;
    g->trusted = trusted;
    conn_deadline(c, 0);
    return h2_start(c, t->h2, &door, g, in);
}
