/*
 * g.h - what the tests of gRPC share: messages in protobuf, a blocking HTTP/2 client by nghttp2's client
 * side, and raw frames.
 */
#ifndef UNIT_CHECK_G_H
#define UNIT_CHECK_G_H

#include "c.h"
#include "wire/protobuf.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#define G_CHECK "/envoy.service.auth.v3.Authorization/Check"
#define G_LIMIT "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"

/* ---- the client ---- */

struct g_answer {
    int32_t id;
    int http, grpc;      /* 0, -1: not said */
    char text[512];      /* grpc-message */
    char bytes[70000];   /* all of the body */
    size_t n;
    uint32_t rst;        /* code of RST_STREAM, if any */
    bool over;
};

static struct {
    int fd;
    nghttp2_session *ng;
    struct g_answer answers[40];
    size_t answers_n;
    bool goaway, closed;
    uint32_t goaway_code;
    struct buf body; /* of the request that is made */
} g;

static struct g_answer *g_of(int32_t id)
{
    for (size_t i = 0; i < g.answers_n; i++)
        if (g.answers[i].id == id)
            return &g.answers[i];
    return NULL;
}

static int g_on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                       const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct g_answer *a = g_of(f->hd.stream_id);
    struct slice k = slice_of((const char *)name, name_n), v = slice_of((const char *)value, value_n);
    uint64_t n = 0;
    (void)ng, (void)flags, (void)user;
    if (!a)
        return 0;
    if (slice_eq(k, S(":status")) && slice_u64(v, &n))
        a->http = (int)n;
    if (slice_eq(k, S("grpc-status")) && slice_u64(v, &n))
        a->grpc = (int)n;
    if (slice_eq(k, S("grpc-message")))
        snprintf(a->text, sizeof a->text, "%.*s", SFMT(v));
    return 0;
}

static int g_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    struct g_answer *a = g_of(id);
    (void)ng, (void)flags, (void)user;
    MUST(a && a->n + n <= sizeof a->bytes);
    memcpy(a->bytes + a->n, p, n);
    a->n += n;
    return 0;
}

static int g_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct g_answer *a = g_of(id);
    (void)ng, (void)user;
    if (a) {
        a->over = true;
        a->rst = code;
    }
    return 0;
}

static int g_on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    (void)ng, (void)user;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        g.goaway = true;
        g.goaway_code = f->goaway.error_code;
    }
    return 0;
}

static inline UNUSED void g_flush(void)
{
    const uint8_t *p;
    nghttp2_ssize n;
    while ((n = nghttp2_session_mem_send2(g.ng, &p)) > 0)
        c_send(g.fd, p, (size_t)n);
}

/* One read; false when the connection is over or nothing came in five seconds. */
static inline UNUSED bool g_read(void)
{
    static uint8_t in[65536];
    ssize_t n = recv(g.fd, in, sizeof in, 0);
    if (n <= 0) {
        g.closed = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
        return false;
    }
    if (nghttp2_session_mem_recv2(g.ng, in, (size_t)n) < 0)
        return false;
    g_flush();
    return true;
}

/* settings: pairs of id and value, ended by id 0. */
static inline UNUSED void g_open(const uint32_t *settings)
{
    nghttp2_session_callbacks *calls;
    nghttp2_settings_entry rows[8];
    size_t n = 0;
    g.answers_n = 0;
    g.goaway = g.closed = false;
    g.fd = c_connect();
    for (; settings && settings[2 * n]; n++)
        rows[n] = (nghttp2_settings_entry){(int32_t)settings[2 * n], settings[2 * n + 1]};
    MUST(nghttp2_session_callbacks_new(&calls) == 0);
    nghttp2_session_callbacks_set_on_header_callback(calls, g_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, g_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, g_on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, g_on_frame);
    MUST(nghttp2_session_client_new(&g.ng, calls, NULL) == 0);
    nghttp2_session_callbacks_del(calls);
    MUST(nghttp2_submit_settings(g.ng, 0, rows, n) == 0);
    if (g.body.max_bytes == 0)
        buf_init(&g.body, 0);
}

static inline UNUSED void g_close(void)
{
    nghttp2_session_del(g.ng);
    close(g.fd);
}

struct g_source {
    struct slice bytes;
    bool stay; /* does not end the stream */
};
static nghttp2_ssize g_more(nghttp2_session *ng, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    struct g_source *s = source->ptr;
    size_t now = MIN(n, s->bytes.n);
    (void)ng, (void)id, (void)user;
    if (now == 0 && s->stay)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(dst, s->bytes.p, now);
    s->bytes = slice_from(s->bytes, now);
    if (s->bytes.n == 0 && !s->stay)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (nghttp2_ssize)now;
}

static inline UNUSED nghttp2_nv g_nv(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value), 0};
}

/* Sends a request; the answer fills as g_read is called. more: name, value, ..., NULL. `body` and the
 * source must stay. type NULL: application/grpc. */
static inline UNUSED struct g_answer *g_send(const char *method, const char *path, const char *type,
                                             const char *const *more, struct g_source *source)
{
    nghttp2_nv nv[20] = {g_nv(":method", method), g_nv(":scheme", "http"), g_nv(":authority", "postern"),
                         g_nv(":path", path), g_nv("content-type", type ? type : "application/grpc"),
                         g_nv("te", "trailers")};
    nghttp2_data_provider2 data = {.source.ptr = source, .read_callback = g_more};
    size_t n = 6;
    for (; more && *more; more += 2)
        nv[n++] = g_nv(more[0], more[1]);
    struct g_answer *a = &g.answers[g.answers_n++];
    MUST(g.answers_n <= ARRAY_LEN(g.answers));
    memset(a, 0, sizeof *a);
    a->grpc = -1;
    a->id = nghttp2_submit_request2(g.ng, NULL, nv, n, source ? &data : NULL, NULL);
    MUST(a->id > 0);
    g_flush();
    return a;
}

static inline UNUSED void g_wait(const struct g_answer *a)
{
    while (!a->over && g_read())
        continue;
}

/* A message with its prefix. */
static inline UNUSED struct slice g_frame(struct slice message)
{
    const char prefix[5] = {0, (char)(message.n >> 24), (char)(message.n >> 16), (char)(message.n >> 8),
                            (char)message.n};
    buf_clear(&g.body);
    buf_put(&g.body, prefix, 5);
    buf_slice(&g.body, message);
    return buf_all(&g.body);
}

/* One call on a connection of its own. */
static inline UNUSED struct g_answer *g_raw(const char *path, struct slice body)
{
    struct g_source source = {.bytes = body};
    g_open(NULL);
    struct g_answer *a = g_send("POST", path, NULL, NULL, &source);
    g_wait(a);
    g_close();
    return a;
}
static inline UNUSED struct g_answer *g_call(const char *path, struct slice message)
{
    if (g.body.max_bytes == 0)
        buf_init(&g.body, 0);
    return g_raw(path, g_frame(message));
}

static inline UNUSED struct slice g_message(const struct g_answer *a)
{
    if (a->n < 5)
        return S("");
    MUST(a->bytes[0] == 0 && (size_t)(((uint8_t)a->bytes[1] << 24) | ((uint8_t)a->bytes[2] << 16) |
                                      ((uint8_t)a->bytes[3] << 8) | (uint8_t)a->bytes[4]) == a->n - 5);
    return slice_of(a->bytes + 5, a->n - 5);
}

/* ---- reading answers: a path of field numbers, "3.2#1.1.2": #i takes the i-th of that number ---- */

static inline UNUSED bool g_find(struct slice m, const char *path, struct pb_field *out)
{
    while (*path) {
        char *end;
        unsigned long number = strtoul(path, &end, 10), skip = 0;
        if (*end == '#')
            skip = strtoul(end + 1, &end, 10);
        struct pb r = pb_open(m);
        bool found = false;
        while (!found && pb_next(&r, out))
            found = out->number == number && skip-- == 0;
        if (!found)
            return false;
        m = out->bytes;
        path = *end == '.' ? end + 1 : end;
    }
    return true;
}
static inline UNUSED struct slice g_text(struct slice m, const char *path)
{
    struct pb_field f;
    return g_find(m, path, &f) ? f.bytes : (struct slice){NULL, 0};
}
static inline UNUSED long long g_num(struct slice m, const char *path)
{
    struct pb_field f;
    return g_find(m, path, &f) ? (long long)f.n : -1;
}
/* The HeaderValueOption of that name in the message at `within`: its value; *append: what it says, -1: nothing. */
static inline UNUSED struct slice g_option(struct slice m, int number, const char *name, int *append)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number != (uint32_t)number || !slice_eq(g_text(f.bytes, "1.1"), slice_str(name)))
            continue;
        struct pb_field wrapped;
        if (append)
            *append = !g_find(f.bytes, "2", &wrapped) ? -1 : g_num(f.bytes, "2.1") == 1;
        struct slice raw = g_text(f.bytes, "1.3");
        return raw.p ? raw : g_text(f.bytes, "1.2");
    }
    return (struct slice){NULL, 0};
}
static inline UNUSED bool g_lists(struct slice m, int number, const char *text)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == (uint32_t)number && slice_eq(f.bytes, slice_str(text)))
            return true;
    return false;
}
/* The Value of that name in the Struct m. */
static inline UNUSED struct slice g_member(struct slice m, const char *name)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == 1 && slice_eq(g_text(f.bytes, "1"), slice_str(name)))
            return g_text(f.bytes, "2");
    return (struct slice){NULL, 0};
}

/* ---- CheckRequest ---- */

struct g_check {
    const char *method, *path, *host;
    const char *const *headers; /* name, value, ..., NULL */
    bool header_map;
};

static inline UNUSED void g_put_header(struct buf *b, uint32_t number, const char *name, struct slice value, bool raw)
{
    size_t m = pb_begin(b, number);
    pb_put_bytes(b, 1, slice_str(name));
    pb_put_bytes(b, raw ? 3 : 2, value);
    pb_end(b, m);
}

/* The fields of an HttpRequest. */
static inline UNUSED void g_put_http(struct buf *b, const struct g_check *q)
{
    pb_put_bytes(b, 1, S("17"));
    pb_put_bytes(b, 2, slice_str(q->method));
    size_t map = q->header_map ? pb_begin(b, 13) : 0;
    if (!q->header_map) {
        g_put_header(b, 3, ":path", slice_str(q->path), false);
        g_put_header(b, 3, ":method", slice_str(q->method), false);
    }
    for (const char *const *h = q->headers; h && *h; h += 2)
        g_put_header(b, q->header_map ? 1 : 3, h[0], slice_str(h[1]), q->header_map);
    if (q->header_map)
        pb_end(b, map);
    pb_put_bytes(b, 4, slice_str(q->path));
    pb_put_bytes(b, 5, slice_str(q->host));
    pb_put_bytes(b, 6, S("https"));
    pb_put_u64(b, 9, UINT64_MAX);
    pb_put_bytes(b, 10, S("HTTP/1.1"));
}

/* CheckRequest with the fields of the HttpRequest given; and a source. */
static inline UNUSED struct slice g_request(struct slice http, const char *ip, struct slice attributes)
{
    static struct buf b;
    if (b.max_bytes == 0)
        buf_init(&b, 0);
    buf_clear(&b);
    size_t all = pb_begin(&b, 1), peer = pb_begin(&b, 1), address = pb_begin(&b, 1), socket = pb_begin(&b, 1);
    pb_put_bytes(&b, 2, slice_str(ip));
    pb_put_u64(&b, 3, 4711);
    pb_end(&b, socket);
    pb_end(&b, address);
    pb_put_bytes(&b, 4, S("spiffe://example.com/gateway-client"));
    pb_end(&b, peer);
    size_t request = pb_begin(&b, 4), time = pb_begin(&b, 1);
    pb_put_u64(&b, 1, 1794000000);
    pb_end(&b, time);
    pb_put_bytes(&b, 2, http);
    pb_end(&b, request);
    buf_slice(&b, attributes);
    pb_end(&b, all);
    return buf_all(&b);
}

static inline UNUSED struct slice g_simple(const struct g_check *q)
{
    static struct buf b;
    if (b.max_bytes == 0)
        buf_init(&b, 0);
    buf_clear(&b);
    g_put_http(&b, q);
    return g_request(buf_all(&b), C_SOURCE, S(""));
}

/* ---- a CheckResponse as an HTTP answer in the words of the other dialects, for c_ask ---- */

static inline UNUSED void g_lines(struct buf *b, struct slice m, uint32_t options, bool removed)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        struct slice value = g_text(f.bytes, f.number == options ? "1.2" : "");
        if (f.number == options)
            buf_fmt(b, "%.*s: %.*s\r\n", SFMT(g_text(f.bytes, "1.1")), (int)value.n, value.p ? value.p : "");
        else if (removed && f.number == 5)
            buf_fmt(b, "%.*s: \r\n", SFMT(f.bytes));
    }
}

static inline UNUSED void g_http(struct buf *b, const struct g_answer *a)
{
    struct slice m = g_message(a), denied = g_text(m, "2"), reason;
    bool allow = a->grpc == 0 && m.n > 0 && g_num(m, "1.1") <= 0; /* as Envoy sees it */
    long long status = g_num(m, "2.1.1");
    if (a->grpc != 0) {
        reason = slice_cut(slice_str(a->text), ':', &(struct slice){0});
        buf_fmt(b, "HTTP/1.1 %d x\r\nX-Postern-Reason: %.*s\r\n", a->grpc == 7 ? 403 : 503, SFMT(reason));
    } else if (allow) {
        buf_lit(b, "HTTP/1.1 200 OK\r\n");
        g_lines(b, g_text(m, "3"), 2, true);
        reason = g_text(g_member(g_text(m, "4"), "postern_reason"), "3");
        buf_fmt(b, "X-Postern-Reason: %.*s\r\n", SFMT(reason));
    } else {
        buf_fmt(b, "HTTP/1.1 %d x\r\n", status > 0 ? (int)status : 403);
        g_lines(b, denied, 2, false);
    }
    buf_lit(b, "Content-Length: 0\r\n\r\n");
}

static inline UNUSED struct answer *g_ask(const char *method, const char *host, const char *target,
                                          const char *const *headers)
{
    static struct answer r;
    static char names[40][100];
    const char *pairs[100] = {NULL};
    struct err e = {0};
    struct buf b;
    size_t n = 0;
    for (size_t i = 0; headers && headers[i]; i++) { /* names in lower case, as Envoy sends them */
        struct slice value, name = slice_cut(slice_str(headers[i]), ':', &value);
        MUST(name.n < sizeof names[0] && i < ARRAY_LEN(names));
        for (size_t k = 0; k < name.n; k++)
            names[i][k] = ascii_lower(name.p[k]);
        names[i][name.n] = '\0';
        pairs[n++] = names[i];
        pairs[n++] = slice_trim(value).p;
    }
    const struct g_check q = {method, target, host, pairs, false};
    buf_init(&b, sizeof r.bytes);
    g_http(&b, g_call(G_CHECK, g_simple(&q)));
    memset(&r, 0, sizeof r);
    memcpy(r.bytes, b.p, r.n = b.n);
    MUST(http_status_read(slice_of(r.bytes, r.n), http_limits_default(), &r.head, &e) == RC_OK);
    r.status = r.head.status;
    r.body = S("");
    buf_free(&b);
    return &r;
}

#endif
