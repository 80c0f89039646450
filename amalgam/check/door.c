/*
 * door.c - the check port's connections: HTTP/1.0 and 1.1, keep-alive, pipelined, bounded; HTTP/2 is
 * recognised by its preface and handed to grpc.c.
 *
 *   bytes -> head -> body (length or chunks) -> row -> trusted? -> question -> verdict -> answer
 *
 * All complete requests of one read are answered in one batch: the policy context begins once, the
 * output leaves once. A malformed head or body is answered and the connection closed, so that a
 * leftover never parses as the next request. A decision that must wait parks the connection.
 * Knows no dialect's headers (dialects.c) and no policy. State: struct check_conn per connection.
 * Threads: the reactor's. Tested by tests/unit/check/, tests/box/test_serve.py, tests/box/test_gateways.py.
 */
#include "base/glob.h"
#include "base/log.h"
#include "base/mem.h"
#include "check/inner.h"
#include "net/h2.h"

enum {
    DOOR_WARN_MS = 10000,
    DOOR_PREFIX_BYTES = 5,     /* before a gRPC message */
    DOOR_HELD_BYTES = 4 << 20  /* of unfinished gRPC requests of one connection, at least */
};

struct check_thread *check_thread_open(const struct check_opts *o, struct policy_ctx *c, struct store *st)
{
    struct check_thread *t = mem_zalloc(sizeof *t);
    t->opts = *o;
    t->policy = c;
    t->store = st;
    t->warned_ms = -DOOR_WARN_MS;
    buf_init(&t->json, (size_t)4 * 1024 * 1024);
    const struct h2_limits h2 = {.streams_max = o->streams_max,
                                 .head_bytes_max = o->http.head_bytes_max,
                                 .headers_max = o->http.headers_max,
                                 .body_bytes_max = check_message_max(o) + DOOR_PREFIX_BYTES,
                                 .held_bytes_max = 4 * check_message_max(o) + DOOR_HELD_BYTES,
                                 .request_ms = o->head_ms};
    t->h2 = h2_pool_open(&h2);
    return t;
}

void check_thread_close(struct check_thread *t)
{
    buf_free(&t->json);
    h2_pool_close(t->h2);
    mem_free(t->wait);
    mem_free(t);
}

/* ---- who may speak ---- */

static bool door_trusts(const struct check_opts *o, const struct conn_peer *peer)
{
    if (peer->is_unix)
        return o->trust_unix;
    for (size_t i = 0; i < o->trusted_n; i++)
        if (cidr_has(&o->trusted[i], &peer->ip))
            return true;
    for (size_t i = 0; peer->cert_name.n && i < o->trusted_names_n; i++)
        if (glob_match(o->trusted_names[i], peer->cert_name, false))
            return true;
    return false;
}

void door_warn_stranger(struct check_thread *t, const struct conn *c)
{
    int64_t now = reactor_mono_ms(conn_reactor(c));
    if (now - t->warned_ms < DOOR_WARN_MS)
        return;
    t->warned_ms = now;
    log_event(LOG_WARN, "check.untrusted_peer",
              "peer=%.*s cure=\"add it to check.trusted_peers if it is your gateway\"", SFMT(conn_peer_text(c)));
}

static void door_refuse_stranger(struct check_conn *k)
{
    door_warn_stranger(k->t, k->c);
    answer_refuse(k, 403, "untrusted_peer", "This peer is not in check.trusted_peers.\n");
}

/* ---- one request ---- */

static void door_answer(struct check_conn *k, const struct policy_verdict *v)
{
    if (UNLIKELY(k->row->answer != NULL))
        k->row->answer(k, v);
    else
        answer_verdict(k, v);
}

static void door_done(void *user, const struct policy_verdict *v)
{
    struct check_conn *k = user;
    k->parked = false;
    if (!k->c) { /* the gateway has gone meanwhile */
        mem_free(k);
        return;
    }
    door_answer(k, v);
    conn_flush(k->c);
    conn_resume(k->c);
}

void door_decide(struct check_conn *k, const struct policy_ask *q)
{
    struct policy_verdict v;
    enum rc rc = policy_decide(k->t->policy, q, &v, door_done, k);
    if (LIKELY(rc == RC_OK)) {
        door_answer(k, &v);
    } else if (rc == RC_AGAIN) {
        k->parked = true;
        conn_pause(k->c);
    } else {
        answer_refuse(k, 403, "trouble", "No decision could be made.\n");
    }
}

static void door_ask(const struct check_req *r)
{
    struct check_conn *k = r->k;
    struct policy_ask q = {.now_ms = reactor_now_ms(conn_reactor(k->c))};
    const char *missing = k->row->ask(r, &q);
    if (UNLIKELY(missing != NULL))
        answer_refuse(k, 403, missing,
                      "The gateway did not say what the original request was; see docs/gateways.md.\n");
    else
        door_decide(k, &q);
}

static void door_request(struct check_conn *k, const struct http_head *h, struct slice body)
{
    struct check_req r = {.k = k, .h = h, .body = body};
    r.path = slice_cut(h->target, '?', &r.query);
    k->keep_alive = h->keep_alive;
    k->http10 = h->minor == 0;
    k->head_only = slice_eq(h->method, S("HEAD"));
    k->row = dialect_find(r.path);
    if (UNLIKELY(!k->row))
        answer_refuse(k, 404, "no_endpoint", "Here are /auth/envoy/, /auth/nginx, /auth/forward, /json, /v1/decide.\n");
    else if (UNLIKELY(!k->trusted))
        door_refuse_stranger(k);
    else if (UNLIKELY(k->row->post_only && !slice_eq(h->method, S("POST"))))
        answer_refuse(k, 405, "method", "POST was expected.\n");
    else if (k->row->run)
        k->row->run(&r);
    else
        door_ask(&r);
}

/* ---- heads and bodies ---- */

static void door_bad(struct check_conn *k, int status, const char *reason, const char *words)
{
    k->row = NULL;
    k->keep_alive = false;
    k->head_only = false;
    answer_refuse(k, status, reason, words);
}

static void door_bad_head(struct check_conn *k, enum rc rc, const struct err *e)
{
    bool target = rc == RC_TOOBIG && slice_find(slice_str(e->text), S("target")) != SIZE_MAX;
    int status = rc == RC_TOOBIG ? (target ? 414 : 431) : rc == RC_VERSION ? 505 : 400;
    door_bad(k, status, "malformed_request", e->text[0] ? e->text : "This is no HTTP/1.1 request.");
}

static void door_free_chunks(struct check_conn *k)
{
    if (!k->chunks)
        return;
    buf_free(&k->chunks->body);
    mem_free(k->chunks);
    k->chunks = NULL;
}

/* The chunked body behind the head; *total is what head and body take. RC_AGAIN: more must come. */
static enum rc door_chunks(struct check_conn *k, struct slice in, const struct http_head *h, size_t *total)
{
    struct err e = {0};
    size_t used = 0;
    if (!k->chunks) {
        k->chunks = mem_zalloc(sizeof *k->chunks);
        k->chunks->at = h->head_bytes;
        buf_init(&k->chunks->body, MAX(k->t->opts.body_bytes_max, 1));
    }
    enum rc rc = http_chunks_read(&k->chunks->state, slice_from(in, k->chunks->at), &k->chunks->body, &used, &e);
    k->chunks->at += used;
    *total = k->chunks->at;
    if (rc == RC_TOOBIG)
        door_bad(k, 413, "body_too_large", "The body is larger than check.body_max.\n");
    else if (rc != RC_OK && rc != RC_AGAIN)
        door_bad(k, 400, "malformed_request", e.text);
    return rc;
}

static void door_expect(struct check_conn *k, const struct http_head *h, size_t have)
{
    if (h->expect_continue && have == h->head_bytes && k->seen != have) {
        buf_lit(conn_out(k->c), "HTTP/1.1 100 Continue\r\n\r\n");
        k->seen = have;
    }
}

/* The whole body, or RC_AGAIN, or an error that is answered. */
static enum rc door_body(struct check_conn *k, struct slice in, const struct http_head *h, struct slice *body,
                         size_t *total)
{
    *body = S("");
    *total = h->head_bytes;
    if (LIKELY(!h->chunked && (!h->has_length || h->length == 0)))
        return RC_OK;
    if (h->has_length && h->length > k->t->opts.body_bytes_max) {
        door_bad(k, 413, "body_too_large", "The body is larger than check.body_max.\n");
        return RC_TOOBIG;
    }
    door_expect(k, h, in.n);
    if (h->chunked) {
        enum rc rc = door_chunks(k, in, h, total);
        *body = rc == RC_OK ? buf_all(&k->chunks->body) : S("");
        return rc;
    }
    *total = h->head_bytes + (size_t)h->length;
    k->need = *total;
    if (in.n < *total)
        return RC_AGAIN;
    *body = slice_sub(slice_from(in, h->head_bytes), 0, (size_t)h->length);
    return RC_OK;
}

/* One request of `in`. RC_OK: answered (or parked), *total bytes used. */
static enum rc door_one(struct check_conn *k, struct slice in, size_t *total)
{
    struct err e = {0};
    struct slice body;
    struct http_head *h = &k->t->head;
    enum rc rc = http_head_read(in, &k->t->opts.http, h, &e);
    if (rc == RC_AGAIN)
        return rc;
    if (UNLIKELY(rc != RC_OK)) {
        door_bad_head(k, rc, &e);
        return rc;
    }
    rc = door_body(k, in, h, &body, total);
    if (rc == RC_OK) {
        door_request(k, h, body);
        k->seen = k->need = 0;
        door_free_chunks(k);
    }
    return rc;
}

/* A head that drips in is parsed again only when a line has ended, a body looked at when it is whole: no
 * work per byte. */
static bool door_worth_a_look(const struct check_conn *k, struct slice in)
{
    if (k->need > 0)
        return in.n >= k->need;
    return k->seen == 0 || k->chunks || in.n < k->seen ||
           memchr(in.p + k->seen, '\n', in.n - k->seen) != NULL || in.n > k->t->opts.http.head_bytes_max;
}

/* ---- the protocol's callbacks ---- */

static void *door_open(struct conn *c, void *ctx)
{
    (void)ctx;
    struct check_thread *t = reactor_ctx(conn_reactor(c), REACTOR_CTX_CHECK);
    struct check_conn *k = mem_zalloc(sizeof *k);
    k->t = t;
    k->c = c;
    k->trusted = door_trusts(&t->opts, conn_peer(c));
    k->fresh = true;
    k->timed = true; /* the first request has a deadline from the start */
    conn_deadline(c, t->opts.head_ms);
    return k;
}

/* The clock of a request runs from its first byte; an idle connection has none. */
static void door_time(struct check_conn *k, bool waiting, bool answered)
{
    if (LIKELY(!waiting && !k->timed))
        return;
    if (waiting && k->timed && !answered)
        return; /* still the same request */
    k->timed = waiting;
    conn_deadline(k->c, waiting ? k->t->opts.head_ms : 0);
}

/* The first bytes may be HTTP/2's preface: then the rest is grpc.c's. False: HTTP/1. */
static bool door_h2(struct check_conn *k, struct slice in, size_t *used)
{
    struct slice preface = slice_sub(S(H2_PREFACE), 0, in.n);
    if (!slice_starts(in, preface)) {
        k->fresh = false;
        return false;
    }
    *used = 0;
    if (in.n < sizeof H2_PREFACE - 1)
        return true; /* cannot be told yet */
    struct check_thread *t = k->t;
    struct conn *c = k->c;
    bool trusted = k->trusted;
    mem_free(k);
    *used = grpc_start(t, c, trusted, in);
    return true;
}

static HOT size_t door_data(struct conn *c, void *state, struct slice in)
{
    struct check_conn *k = state;
    size_t used = 0;
    bool waiting = false;
    if (UNLIKELY(k->fresh) && door_h2(k, in, &used))
        return used;
    if (!door_worth_a_look(k, in))
        return 0;
    policy_begin(k->t->policy, reactor_now_ms(conn_reactor(c)));
    while (used < in.n && !k->parked && !conn_out_full(c)) {
        size_t total = 0;
        struct slice left = slice_from(in, used);
        enum rc rc = door_one(k, left, &total);
        if (rc == RC_AGAIN) {
            waiting = true;
            k->seen = MAX(k->seen, left.n);
            break;
        }
        if (rc != RC_OK || !k->keep_alive)
            return in.n; /* answered and closing: nothing behind it is a request */
        used += total;
    }
    door_time(k, waiting, used > 0);
    return used;
}

static void door_timeout(struct conn *c, void *state)
{
    struct check_conn *k = state;
    (void)c;
    if (!k->parked && k->seen)
        door_bad(k, 408, "timeout", "The request took too long to arrive.\n");
}

static void door_drained(struct conn *c, void *state)
{
    (void)state;
    conn_resume(c);
}

static void door_close(struct conn *c, void *state)
{
    struct check_conn *k = state;
    (void)c;
    door_free_chunks(k);
    k->c = NULL;
    if (!k->parked)
        mem_free(k); /* else door_done frees it */
}

const struct conn_proto *check_proto(void)
{
    static const struct conn_proto proto = {.name = "check", .open = door_open, .data = door_data,
                                            .drained = door_drained, .timeout = door_timeout, .close = door_close};
    return &proto;
}
