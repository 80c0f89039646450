/*
 * c.h - what the tests of check/ share: a real door on a loopback port, and a blocking client.
 *
 * The set, store and scheme come from policy's p.h. The door runs in a reactor of its own thread; a set
 * is put into force with c_use, which swaps the box while the door serves.
 */
#ifndef UNIT_CHECK_C_H
#define UNIT_CHECK_C_H

#include "base/clock.h"
#include "base/lock.h"
#include "check/check.h"
#include "policy/p.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct {
    struct reactor *reactor;
    pthread_t thread;
    struct listener *listener;
    struct policy_ctx *ctx;
    struct check_thread *door;
    int port;
} c;

static int64_t c_idle_ms = 60000; /* of the next c_start */

static void *c_run(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static inline UNUSED struct check_opts c_opts(bool trusted)
{
    struct check_opts o = {.body_bytes_max = 1 << 20, .head_ms = 60000, .http = *http_limits_default(),
                           .streams_max = 100, .ratelimit_headers = true};
    if (trusted)
        MUST(cidr_parse(S("127.0.0.0/8"), &o.trusted[o.trusted_n++]));
    return o;
}

static inline UNUSED void c_start(const struct check_opts *o)
{
    struct policy_ctx_opts po = {.box = p.box, .store = p.store, .scheme = &p.scheme, .throttle = p.throttle};
    struct listener_opts lo = {.proto = check_proto(), .conn_max = 100, .in_bytes_max = (2 << 20),
                               .out_bytes_max = 64 << 20, .idle_ms = c_idle_ms};
    struct err e = {0};
    MUST(net_addr_parse(S("127.0.0.1:0"), &lo.addr, &e) == RC_OK);
    MUST(reactor_open(0, &c.reactor, &e) == RC_OK);
    c.ctx = policy_ctx_open(&po);
    c.door = check_thread_open(o, c.ctx, p.store);
    reactor_set_ctx(c.reactor, REACTOR_CTX_CHECK, c.door);
    MUST(listener_open(&c.reactor, 1, &lo, &c.listener, &e) == RC_OK);
    c.port = listener_port(c.listener);
    c.thread = thread_start("check", c_run, c.reactor);
}

static inline UNUSED void c_stop(void)
{
    listener_stop(c.listener);
    reactor_stop(c.reactor);
    thread_join(c.thread);
    listener_close(c.listener);
    reactor_close(c.reactor);
    check_thread_close(c.door);
    policy_ctx_close(c.ctx);
}

/* The box of p.h holds an empty set until now. */
static inline UNUSED bool c_use(const char *text)
{
    const char *files[] = {"t.yaml", text, NULL};
    struct policy_set *s = p_load_files(files);
    for (size_t i = 0; !s && i < p.faults.n; i++)
        printf("# %.*s:%d %.*s\n", SFMT(p.faults.rows[i].file), p.faults.rows[i].line, SFMT(p.faults.rows[i].text));
    if (s)
        policy_box_swap(p.box, s);
    return s != NULL;
}

static inline UNUSED void c_init(bool trusted)
{
    const char *none[] = {NULL};
    struct check_opts o = c_opts(trusted);
    p_init();
    p.now_ms = clock_wall_ms();
    p.box = policy_box_open(p_load_files(none));
    c_start(&o);
}

/* ---- the client ---- */

struct answer {
    int status;           /* 0: the connection ended without an answer */
    struct http_status_head head;
    char bytes[65536];    /* head and body */
    size_t n;
    struct slice body;
    bool closed;
};

static inline UNUSED int c_connect(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)c.port)};
    struct timeval wait = {.tv_sec = 100};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0);
    MUST(connect(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static inline UNUSED void c_send(int fd, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n > 0) {
        ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
        if (w <= 0)
            return; /* the door closed: what it said is still to be read */
        at += w;
        n -= (size_t)w;
    }
}

/* Reads one answer; head_only for HEAD. Bytes behind it stay in *left of the caller. */
static inline UNUSED void c_read(int fd, struct answer *r, bool head_only, struct buf *left)
{
    memset(&r->head, 0, sizeof r->head);
    r->status = 0;
    r->n = 0;
    r->closed = false;
    for (;;) {
        struct slice in = buf_unread(left);
        struct err e = {0};
        enum rc rc = in.n ? http_status_read(in, http_limits_default(), &r->head, &e) : RC_AGAIN;
        size_t whole = r->head.head_bytes + (head_only || r->head.status == 100 ? 0 : (size_t)r->head.length);
        if (rc == RC_OK && in.n >= whole && whole <= sizeof r->bytes) {
            memcpy(r->bytes, in.p, whole);
            r->n = whole;
            (void)http_status_read(slice_of(r->bytes, whole), http_limits_default(), &r->head, &e);
            r->status = r->head.status;
            r->body = slice_from(slice_of(r->bytes, whole), r->head.head_bytes);
            buf_consume(left, whole);
            return;
        }
        MUST(buf_room(left, 8192));
        ssize_t got = recv(fd, left->p + left->n, 8192, 0);
        if (got <= 0) {
            r->closed = got == 0;
            return;
        }
        left->n += (size_t)got;
    }
}

/* Sends bytes on a connection of its own, reads one answer and whether the door then closes. */
static inline UNUSED struct answer *c_raw(struct slice bytes)
{
    static struct answer r;
    struct buf left;
    int fd = c_connect();
    char more;
    buf_init(&left, 0);
    c_send(fd, bytes.p, bytes.n);
    c_read(fd, &r, slice_starts(bytes, S("HEAD ")), &left);
    if (r.status > 0 && !r.head.keep_alive)
        r.closed = recv(fd, &more, 1, 0) == 0;
    close(fd);
    buf_free(&left);
    return &r;
}

static inline UNUSED struct slice c_header(const struct answer *r, const char *name)
{
    for (size_t i = 0; i < r->head.headers_n; i++)
        if (slice_eq_ci(r->head.headers[i].name, slice_str(name)))
            return r->head.headers[i].value;
    return (struct slice){NULL, 0};
}

enum { ENVOY, NGINX, FORWARD, GRPC, DECIDE, DIALECT_COUNT };
static const char *c_source UNUSED; /* the client, when it is not 192.0.2.7 (of /v1/decide: nobody) */
#define C_SOURCE (c_source ? c_source : "192.0.2.7")
static const char *const c_dialects[] = {"envoy", "nginx", "forward", "grpc", "decide"};
/* g.h's g_ask, for tests that go through all dialects: the answer of Check as an HTTP answer. */
static struct answer *(*c_ask_grpc)(const char *method, const char *host, const char *target,
                                    const char *const *headers) UNUSED;

static inline UNUSED void c_extra(struct buf *b, const char *const *headers)
{
    for (; headers && *headers; headers++)
        buf_fmt(b, "%s\r\n", *headers);
}

/* A question in the words of a dialect. headers: "Name: value" lines of the client. */
static inline UNUSED struct answer *c_ask(int dialect, const char *method, const char *host,
                                          const char *target, const char *const *headers)
{
    static struct buf b;
    struct jsonw w;
    if (b.max_bytes == 0)
        buf_init(&b, 0);
    buf_clear(&b);
    switch (dialect) {
    case GRPC:
        return c_ask_grpc(method, host, target, headers);
    case ENVOY:
        buf_fmt(&b, "%s /auth/envoy%s HTTP/1.1\r\nHost: %s\r\nX-Postern-Client-IP: %s\r\n", method, target, host, C_SOURCE);
        c_extra(&b, headers);
        break;
    case NGINX:
        buf_fmt(&b, "GET /auth/nginx HTTP/1.0\r\nHost: postern\r\nX-Original-URL: https://%s%s\r\nX-Original-Method: %s\r\nX-Real-IP: %s\r\n",
                host, target, method, C_SOURCE);
        c_extra(&b, headers);
        break;
    case FORWARD:
        buf_fmt(&b, "GET /auth/forward HTTP/1.1\r\nHost: postern\r\nX-Forwarded-Method: %s\r\nX-Forwarded-Uri: %s\r\nX-Forwarded-Host: %s\r\n"
                "X-Forwarded-Proto: https\r\nX-Forwarded-For: %s\r\n", method, target, host, C_SOURCE);
        c_extra(&b, headers);
        break;
    default: {
        struct buf j;
        buf_init(&j, 0);
        jsonw_init(&w, &j);
        jsonw_obj(&w);
        jsonw_kstr(&w, S("method"), slice_str(method));
        jsonw_kstr(&w, S("host"), slice_str(host));
        jsonw_kstr(&w, S("path"), slice_str(target));
        if (c_source)
            jsonw_kstr(&w, S("source_ip"), slice_str(c_source));
        jsonw_key(&w, S("headers"));
        jsonw_obj(&w);
        for (size_t i = 0; headers && headers[i]; i++) { /* a name given again joins its list at the first */
            struct slice v, name = slice_cut(slice_str(headers[i]), ':', &v);
            bool seen = false;
            for (size_t k = 0; k < i; k++)
                seen |= slice_eq_ci(name, slice_cut(slice_str(headers[k]), ':', &(struct slice){0}));
            if (seen)
                continue;
            jsonw_key(&w, name);
            jsonw_arr(&w);
            for (size_t k = i; headers[k]; k++)
                if (slice_eq_ci(name, slice_cut(slice_str(headers[k]), ':', &v)))
                    jsonw_str(&w, slice_trim(v));
            jsonw_end_arr(&w);
        }
        jsonw_end_obj(&w);
        jsonw_end_obj(&w);
        buf_fmt(&b, "POST /v1/decide HTTP/1.1\r\nHost: postern\r\nContent-Length: %zu\r\n\r\n", j.n);
        buf_slice(&b, buf_all(&j));
        buf_free(&j);
        return c_raw(buf_all(&b));
    }
    }
    buf_lit(&b, "\r\n");
    return c_raw(buf_all(&b));
}

/* The decision, whatever the dialect: status, or of /v1/decide what its JSON says. */
static inline UNUSED int c_status(const struct answer *r)
{
    size_t at = slice_find(r->body, S("\"status\":"));
    struct slice rest, n;
    uint64_t status = 0;
    if (!slice_eq(c_header(r, "content-type"), S("application/json")) || at == SIZE_MAX) {
        struct slice real = c_header(r, "x-postern-status");
        return real.p && slice_u64(real, &status) ? (int)status : r->status;
    }
    n = slice_cut(slice_from(r->body, at + 9), ',', &rest);
    return slice_u64(n, &status) ? (int)status : -1;
}

static inline UNUSED struct slice c_reason(const struct answer *r)
{
    size_t at = slice_find(r->body, S("\"reason\":\""));
    struct slice rest;
    if (c_header(r, "x-postern-reason").p)
        return c_header(r, "x-postern-reason");
    return at == SIZE_MAX ? S("") : slice_cut(slice_from(r->body, at + 10), '"', &rest);
}

#endif
