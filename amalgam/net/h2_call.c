/*
 * h2_call.c - one gRPC call over one outbound connection: nghttp2's client side between conn and a callback.
 *
 * try: name -> address -> connected: settings, the request's head and its message -> head, message and
 * trailers of the answer -> done, or the next address, or a pause and another try. nghttp2 is not entered from inside itself: its callbacks note what came, the connection's
 * callbacks act on it. Whatever ends the connection before a gRPC status came is a failure. The struct
 * lives until the connection is closed (or, without one, until done has returned).
 * Tested by tests/unit/policy/test_pass_grpc.c.
 */
#include "net/h2_call.h"

#include "base/buf.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/fetch_inside.h"

#include <nghttp2/nghttp2.h>

enum {
    H2_CALL_REPLY_MAX = 1 << 20,
    H2_CALL_HEADS_MAX = 64 << 10,
    H2_CALL_PREFIX = 5, /* flag and length before a message */
    H2_CALL_WINDOW = 1 << 20,
    H2_CALL_UNAVAILABLE = 14
};

struct h2_call {
    struct reactor *reactor;
    struct fetcher *fetcher;
    struct tls_client *trust; /* NULL: plain */
    struct net_addr socket;
    struct ip ips[FETCH_ADDRS_MAX];
    size_t ips_n, ips_at;     /* ips_at: the next to be tried */
    int port, retries;
    int64_t pause_ms, pause_max_ms, due_ms; /* due_ms: monotonic */
    bool pausing, connected;
    struct fetch_ask ask;
    struct conn *c; /* NULL: not there, or gone */
    nghttp2_session *ng;
    struct buf out, in, text; /* framed message; the answer's; authority and path */
    struct slice authority, path, host, name; /* name: that the certificate must have */
    size_t head_bytes;
    int http_status, grpc_status; /* 0 and -1: none came */
    bool grpc_type, closed;       /* closed: the stream is over */
    enum rc rc;                   /* a failure, with why */
    const char *why;
    struct net_timer timer;
    h2_call_done_fn *done; /* NULL: told, or nobody waits */
    void *user;
    struct h2_call *next, **link;
};

/* ---- the end ---- */

static void h2_call_unlink(struct h2_call *k)
{
    if (k->link) {
        *k->link = k->next;
        if (k->next)
            k->next->link = k->link;
    }
    k->link = NULL;
}

static void h2_call_free(struct h2_call *k)
{
    timer_cancel(k->reactor, &k->timer);
    fetch_names_forget(&k->ask);
    tls_client_close(k->trust);
    h2_call_unlink(k);
    nghttp2_session_del(k->ng);
    buf_free(&k->out);
    buf_free(&k->in);
    buf_free(&k->text);
    mem_free(k);
}

static void h2_call_fail(struct h2_call *k, enum rc rc, const char *why)
{
    if (k->rc != RC_OK)
        return;
    k->rc = rc;
    k->why = why;
}

/* Exactly one uncompressed message, or a status that says why there is none. */
static void h2_call_judge(struct h2_call *k, struct h2_call_reply *r)
{
    const unsigned char *p = (const unsigned char *)k->in.p;
    size_t n = k->in.n;

    if (k->rc == RC_OK && (k->http_status != 200 || !k->grpc_type || k->grpc_status < 0))
        h2_call_fail(k, RC_BADINPUT, "the server does not speak gRPC");
    if (k->rc == RC_OK && k->grpc_status == 0 &&
        (n < H2_CALL_PREFIX || p[0] != 0 ||
         ((size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4]) != n - H2_CALL_PREFIX))
        h2_call_fail(k, RC_BADINPUT, "the answer is not one message");
    *r = (struct h2_call_reply){k->rc, k->why, k->grpc_status, S("")};
    if (k->rc == RC_OK && k->grpc_status == 0)
        r->message = slice_from(buf_all(&k->in), H2_CALL_PREFIX);
}

static void h2_call_tell(struct h2_call *k)
{
    h2_call_done_fn *done = k->done;
    struct h2_call_reply r;

    if (!done)
        return;
    k->done = NULL;
    timer_cancel(k->reactor, &k->timer);
    h2_call_unlink(k);
    h2_call_judge(k, &r);
    done(k->user, &r);
}

static void h2_call_end(struct h2_call *k)
{
    h2_call_tell(k);
    h2_call_free(k);
}

/* ---- what nghttp2 says ---- */

static int h2_call_on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                             const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct h2_call *k = user;
    struct slice s = slice_of((const char *)name, name_n), v = slice_of((const char *)value, value_n);
    uint64_t n;

    (void)ng;
    (void)f;
    (void)flags;
    k->head_bytes += name_n + value_n + 32;
    if (k->head_bytes > H2_CALL_HEADS_MAX)
        h2_call_fail(k, RC_TOOBIG, "the answer's head is too large");
    else if (slice_eq(s, S(":status")) && slice_u64(v, &n) && n < 1000 && k->http_status < 200)
        k->http_status = (int)n;
    else if (slice_eq(s, S("content-type")))
        k->grpc_type = slice_starts(v, S("application/grpc"));
    else if (slice_eq(s, S("grpc-status")))
        k->grpc_status = slice_u64(v, &n) && n < 1000 ? (int)n : 2; /* UNKNOWN */
    return 0;
}

static int h2_call_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    struct h2_call *k = user;

    (void)ng;
    (void)flags;
    (void)id;
    buf_put(&k->in, p, n);
    if (buf_over(&k->in))
        h2_call_fail(k, RC_TOOBIG, "the answer is too large");
    return 0;
}

static int h2_call_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct h2_call *k = user;

    (void)ng;
    (void)id;
    k->closed = true;
    if (code != NGHTTP2_NO_ERROR && k->grpc_status < 0)
        h2_call_fail(k, RC_IO, "the server broke the call off");
    return 0;
}

static nghttp2_ssize h2_call_read(nghttp2_session *ng, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
                                  nghttp2_data_source *source, void *user)
{
    struct h2_call *k = source->ptr;
    struct slice left = buf_unread(&k->out);
    size_t now = MIN(n, left.n);

    (void)ng;
    (void)id;
    (void)user;
    if (now)
        memcpy(dst, left.p, now);
    if (now == left.n)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    k->out.at += now;
    return (nghttp2_ssize)now;
}

/* ---- once more ---- */

static bool h2_call_again(const struct h2_call *k)
{
    bool nothing = k->rc == RC_IO || (k->rc == RC_OK && k->grpc_status == H2_CALL_UNAVAILABLE);
    return k->done && k->retries > 0 && nothing && k->reactor->mono_ms + k->pause_ms < k->due_ms;
}

static void h2_call_arm(struct h2_call *k, int64_t at_most_ms)
{
    timer_arm(k->reactor, &k->timer, MAX(MIN(k->due_ms - k->reactor->mono_ms, at_most_ms), 0));
}

/* There is no connection (any more). What failed is told from the timer. */
static void h2_call_settle(struct h2_call *k)
{
    if (h2_call_again(k)) {
        k->retries--;
        k->pausing = true;
        h2_call_arm(k, k->pause_ms);
        k->pause_ms = MIN(2 * k->pause_ms, k->pause_max_ms);
    } else {
        h2_call_arm(k, 0);
    }
}

/* ---- the connection ---- */

static void h2_call_connect(struct h2_call *k);

static void h2_call_pump(struct h2_call *k)
{
    const uint8_t *p;
    nghttp2_ssize n;

    while ((n = nghttp2_session_mem_send2(k->ng, &p)) > 0)
        buf_put(conn_out(k->c), p, (size_t)n);
    if (n < 0)
        h2_call_fail(k, RC_IO, "the call could not be sent");
    conn_flush(k->c);
    if (k->closed || k->rc != RC_OK) {
        struct conn *c = k->c;
        if (!h2_call_again(k)) /* else: once it is closed */
            h2_call_tell(k);
        conn_close_soon(c);
    }
}

static nghttp2_nv h2_call_nv(struct slice name, struct slice value)
{
    union { /* nghttp2 copies, though its struct knows no const */
        const char *in;
        uint8_t *out;
    } n = {name.p}, v = {value.p};

    return (nghttp2_nv){n.out, v.out, name.n, value.n, NGHTTP2_NV_FLAG_NONE};
}

static void h2_call_connected(struct conn *c, void *state)
{
    struct h2_call *k = state;
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_CALL_WINDOW}};
    const nghttp2_data_provider2 data = {.source.ptr = k, .read_callback = h2_call_read};
    const nghttp2_nv head[] = {
        h2_call_nv(S(":method"), S("POST")), h2_call_nv(S(":scheme"), k->trust ? S("https") : S("http")),
        h2_call_nv(S(":authority"), k->authority), h2_call_nv(S(":path"), k->path),
        h2_call_nv(S("content-type"), S("application/grpc")), h2_call_nv(S("te"), S("trailers")),
        h2_call_nv(S("user-agent"), S("postern")),
    };

    k->c = c;
    k->connected = true;
    if (nghttp2_submit_settings(k->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) != 0 ||
        nghttp2_submit_request2(k->ng, NULL, head, ARRAY_LEN(head), &data, k) < 0)
        h2_call_fail(k, RC_IO, "the call could not be sent");
    h2_call_pump(k);
}

static void *h2_call_open(struct conn *c, void *ctx)
{
    struct h2_call *k = ctx;

    k->c = c;
    conn_await(c, true);
    return k;
}

static size_t h2_call_data(struct conn *c, void *state, struct slice in)
{
    struct h2_call *k = state;

    (void)c;
    if (!k->done)
        return in.n;
    if (nghttp2_session_mem_recv2(k->ng, (const uint8_t *)in.p, in.n) < 0)
        h2_call_fail(k, RC_BADINPUT, "the server does not speak HTTP/2");
    h2_call_pump(k);
    return in.n;
}

static void h2_call_close(struct conn *c, void *state)
{
    struct h2_call *k = state;
    const char *why;

    k->c = NULL;
    if (!k->closed && k->rc == RC_OK && conn_trouble(c, &why) != RC_OK)
        h2_call_fail(k, conn_trouble(c, &why), why);
    if (!k->closed)
        h2_call_fail(k, RC_IO, "no connection, or it broke");
    if (k->done && !k->connected && k->ips_at < k->ips_n)
        h2_call_connect(k);
    else if (h2_call_again(k))
        h2_call_settle(k);
    else
        h2_call_end(k);
}

static const struct conn_proto *h2_call_proto(void)
{
    static const struct conn_proto proto = {.name = "h2_call", .open = h2_call_open, .data = h2_call_data,
                                            .close = h2_call_close, .connected = h2_call_connected};
    return &proto;
}

/* ---- trying ---- */

static void h2_call_session(struct h2_call *k)
{
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;

    MUST(nghttp2_session_callbacks_new(&calls) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_on_header_callback(calls, h2_call_on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, h2_call_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, h2_call_on_close);
    nghttp2_option_set_max_continuations(option, 8);
    MUST(nghttp2_session_client_new2(&k->ng, calls, k, option) == 0);
    nghttp2_session_callbacks_del(calls);
    nghttp2_option_del(option);
}

static bool h2_call_connect_to(struct h2_call *k, const struct net_addr *to)
{
    struct err e;

    if (k->trust)
        return conn_connect_tls(k->reactor, to, h2_call_proto(), k, k->trust, k->name, &e) != NULL;
    return conn_connect(k->reactor, to, h2_call_proto(), k, &e) != NULL;
}

/* The next address that can be tried at all. */
static void h2_call_connect(struct h2_call *k)
{
    while (k->ips_at < k->ips_n) {
        const struct net_addr to = {.kind = ADDR_TCP, .ip = k->ips[k->ips_at++], .port = k->port};
        k->rc = RC_OK;
        k->why = "";
        if (h2_call_connect_to(k, &to))
            return;
        h2_call_fail(k, RC_IO, "no connection");
    }
    k->c = NULL;
    h2_call_settle(k);
}

static void h2_call_found(struct fetch_ask *ask, enum rc rc, const char *why, const struct ip *ips, size_t n)
{
    struct h2_call *k = CONTAINER_OF(ask, struct h2_call, ask);

    if (rc != RC_OK) {
        h2_call_fail(k, rc, why);
        h2_call_settle(k);
        return;
    }
    memcpy(k->ips, ips, n * sizeof *ips);
    k->ips_n = n;
    h2_call_connect(k);
}

static void h2_call_fresh(struct h2_call *k)
{
    nghttp2_session_del(k->ng);
    h2_call_session(k);
    buf_clear(&k->in);
    k->out.at = 0;
    k->head_bytes = 0;
    k->http_status = 0;
    k->grpc_status = -1;
    k->grpc_type = k->closed = k->connected = k->pausing = false;
    k->rc = RC_OK;
    k->why = "";
    k->ips_at = k->ips_n = 0;
    h2_call_arm(k, INT64_MAX);
}

static void h2_call_try(struct h2_call *k)
{
    const char *why = "";
    enum rc rc;

    h2_call_fresh(k);
    if (k->host.n == 0) {
        if (!h2_call_connect_to(k, &k->socket)) {
            k->c = NULL;
            h2_call_fail(k, RC_IO, "no connection");
            h2_call_settle(k);
        }
        return;
    }
    rc = fetcher_find(k->fetcher, k->host, &k->ask, k->ips, &k->ips_n, &why);
    if (rc == RC_OK) {
        h2_call_connect(k);
    } else if (rc != RC_AGAIN) {
        h2_call_fail(k, rc, why);
        h2_call_settle(k);
    }
}

static void h2_call_fire(struct net_timer *t, struct reactor *r)
{
    struct h2_call *k = CONTAINER_OF(t, struct h2_call, timer);
    struct conn *c = k->c;

    if (k->pausing && r->mono_ms < k->due_ms) {
        h2_call_try(k);
        return;
    }
    k->retries = 0;
    h2_call_fail(k, RC_TIMEOUT, "no answer in time");
    if (c) {
        h2_call_tell(k);
        conn_abort(c); /* close frees */
    } else {
        h2_call_end(k);
    }
}

/* ---- starting ---- */

static struct slice h2_call_keep(struct h2_call *k, struct slice text)
{
    struct slice kept = {k->text.p + k->text.n, text.n};
    buf_slice(&k->text, text);
    return kept;
}

static void h2_call_copy(struct h2_call *k, const struct h2_call_req *q)
{
    const uint8_t prefix[H2_CALL_PREFIX] = {0, (uint8_t)(q->message.n >> 24), (uint8_t)(q->message.n >> 16),
                                            (uint8_t)(q->message.n >> 8), (uint8_t)q->message.n};
    struct slice name = q->tls && q->tls->server_name.n ? q->tls->server_name : q->host.n ? q->host : S("localhost");

    buf_init(&k->out, 0);
    buf_init(&k->in, H2_CALL_REPLY_MAX);
    buf_init(&k->text, 0);
    buf_put(&k->out, prefix, sizeof prefix);
    buf_slice(&k->out, q->message);
    MUST(buf_room(&k->text, q->authority.n + q->path.n + q->host.n + name.n + 1)); /* it does not move then */
    k->authority = h2_call_keep(k, q->authority);
    k->path = h2_call_keep(k, q->path);
    k->host = h2_call_keep(k, q->host);
    k->name = h2_call_keep(k, name);
}

/* False: it failed, with why. */
static bool h2_call_trust(struct h2_call *k, const struct fetch_tls *tls)
{
    struct tls_client_opts o = {.h2 = true, .base = fetcher_trust(k->fetcher)};
    struct err e;

    if (!tls)
        return true;
    o.ca_pem = tls->ca_pem;
    o.cert_pem = tls->cert_pem;
    o.key_pem = tls->key_pem;
    if (o.ca_pem.n == 0 && !o.base)
        h2_call_fail(k, RC_DENIED, "no certificates are trusted");
    else if (tls_client_open(&o, &k->trust, &e) != RC_OK)
        h2_call_fail(k, RC_BADINPUT, "the TLS settings cannot be used");
    return k->rc == RC_OK;
}

void h2_call_start(struct fetcher *f, const struct h2_call_req *q, h2_call_done_fn *done, void *user)
{
    struct reactor *r = fetcher_reactor(f);
    struct h2_call **list = fetcher_calls(f);
    struct h2_call *k = mem_zalloc(sizeof *k);

    *k = (struct h2_call){.reactor = r, .fetcher = f, .grpc_status = -1, .why = "", .done = done, .user = user,
                          .timer = {.fire = h2_call_fire}, .next = *list, .link = list, .ask = {.got = h2_call_found},
                          .socket = q->socket, .port = q->port, .retries = q->retries, .pause_ms = MAX(q->pause_ms, 1),
                          .pause_max_ms = MAX(q->pause_max_ms, 1), .due_ms = r->mono_ms + MAX(q->timeout_ms, 1)};
    if (*list)
        (*list)->link = &k->next;
    *list = k;
    h2_call_copy(k, q);
    if (h2_call_trust(k, q->tls))
        h2_call_try(k);
    else
        h2_call_arm(k, 0);
}

void h2_calls_drop(struct h2_call **list)
{
    struct h2_call *k;

    while ((k = *list)) {
        k->done = NULL;
        h2_call_unlink(k);
        timer_cancel(k->reactor, &k->timer);
        if (k->c)
            conn_abort(k->c);
        else
            h2_call_free(k);
    }
}
