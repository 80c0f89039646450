/*
 * front.c - the browser's side: TLS connections on a reactor, one complete request at a time, pages and
 * assets answered on the spot, REST operations handed to civetweb over the inner socket.
 *
 *   idle --head and body complete--> page: answered, idle again
 *                                 \-> call: paused until the inner connection is gone, then resumed
 *
 * Idle and slow browsers cost a small struct; civetweb sees complete requests only, at most `threads` at
 * a time, the others wait in a queue. Of a browser's headers those pass that the routes read, no other.
 * Every answer carries the security headers. State per connection: struct front, freed when
 * the outer and the inner connection are both gone. One reactor, no locks.
 * Tested by tests/box/test_portal_api.py and test_portal_front.py (slow, silent, pipelined, oversized).
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/metric.h"
#include "portal/inner.h"
#include <stdio.h>

#define FRONT_HEAD_MS 10000
#define FRONT_BODY_MS 30000
#define FRONT_ANSWER_MS 60000
#define FRONT_QUEUE_MAX 1000
#define FRONT_BODIES_MAX ((size_t)64 * 1024 * 1024) /* of all requests that arrive or wait */
#define FRONT_BODY_BYTES_MS 32                      /* a body may be as slow as 32 bytes a millisecond */

#define FRONT_CSP \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " \
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " \
    "require-trusted-types-for 'script'"
#define FRONT_SECURITY \
    "Content-Security-Policy: " FRONT_CSP "\r\n" \
    "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n" \
    "Cross-Origin-Opener-Policy: same-origin\r\nCross-Origin-Resource-Policy: same-origin\r\n"
#define FRONT_HSTS "Strict-Transport-Security: max-age=31536000\r\n" /* RFC 6797 */

enum front_phase { FRONT_IDLE, FRONT_HEAD, FRONT_BODY }; /* what has a deadline that no byte puts off */

struct front {
    struct portal *portal;
    struct conn *outer, *inner; /* NULL when gone */
    struct slice request;       /* bytes for civetweb while queued: owned */
    size_t reserved;            /* of front_queue.bytes */
    struct front *next;         /* queue */
    enum front_phase phase;
    bool queued, keep_alive, head_only;
    bool localhost;             /* was asked by that name */
    bool head_passed;           /* the answer's head went out: body_left bytes follow */
    uint64_t body_left;
};

static struct { /* the front reactor's: requests at civetweb and those that wait */
    struct front *head, *tail;
    int active, waiting;
    size_t bytes; /* of bodies */
} front_queue;

static struct metric front_metrics[] = {
    {"postern_portal_requests_total", "kind=\"page\"", "Requests of browsers.", METRIC_COUNTER, 0, NULL, NULL},
    {"postern_portal_requests_total", "kind=\"call\"", "Requests of browsers.", METRIC_COUNTER, 0, NULL, NULL},
    {"postern_portal_refused_total", NULL, "Requests that were malformed, too large or too many.",
     METRIC_COUNTER, 0, NULL, NULL},
};

void portal_metrics_join(void)
{
    metric_join(front_metrics, ARRAY_LEN(front_metrics));
}

/* ---- memory of bodies: bounded over all browsers ---- */

static void front_release(struct front *f)
{
    front_queue.bytes -= f->reserved;
    f->reserved = 0;
}

static bool front_reserve(struct front *f, size_t n)
{
    front_release(f);
    if (front_queue.bytes + n > FRONT_BODIES_MAX)
        return false;
    f->reserved = n;
    front_queue.bytes += n;
    return true;
}

/* ---- answers of the front itself ---- */

/* Browsers keep HSTS by name and for all ports: on localhost it would cut off whatever else a developer
 * serves there by plain http. */
static bool front_is_localhost(struct slice host)
{
    size_t colon = slice_rindex(host, ':');
    struct slice name = colon == SIZE_MAX ? host : slice_sub(host, 0, colon);
    return slice_eq_ci(name, S("localhost")) ||
           (name.n > 10 && slice_eq_ci(slice_from(name, name.n - 10), S(".localhost")));
}

/* The status line and the security headers, which every answer has. */
static void front_head(struct front *f, int status)
{
    buf_fmt(conn_out(f->outer), "HTTP/1.1 %d %s\r\n" FRONT_SECURITY "%s", status, http_reason(status),
            f->localhost ? "" : FRONT_HSTS);
}

static void front_say(struct front *f, int status, const char *text)
{
    char body[512];
    int n = snprintf(body, sizeof body,
                     "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\",\"message\":\"%s\"}",
                     http_reason(status), status, text, text);
    size_t len = MIN((size_t)MAX(n, 0), sizeof body - 1);
    front_head(f, status);
    buf_fmt(conn_out(f->outer),
            "Content-Type: application/problem+json\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n%s%s%s\r\n",
            len, status == 503 ? "Retry-After: 2\r\n" : "",
            status == 405 ? "Allow: GET, HEAD\r\n" : "", f->keep_alive ? "" : "Connection: close\r\n");
    if (!f->head_only)
        buf_put(conn_out(f->outer), body, len);
    if (!f->keep_alive)
        conn_close_soon(f->outer);
    conn_flush(f->outer);
}

static void front_refuse(struct front *f, int status, const char *text)
{
    metric_add(&front_metrics[2], 1);
    front_release(f);
    f->keep_alive = false;
    front_say(f, status, text);
}

static void front_write_page(struct front *f, const struct http_head *h, struct slice path)
{
    struct front_page page;
    metric_add(&front_metrics[0], 1);
    buf_init(&page.plain, 1);
    if (!front_page(h, path, &page)) {
        front_say(f, 404, "There is nothing at this address.");
        buf_free(&page.plain);
        return;
    }
    front_head(f, page.status);
    buf_str(conn_out(f->outer), page.more);
    if (page.status == 200)
        buf_fmt(conn_out(f->outer), "Content-Type: %s\r\nContent-Length: %zu\r\n", page.mime, page.body.n);
    buf_str(conn_out(f->outer), f->keep_alive ? "\r\n" : "Connection: close\r\n\r\n");
    if (!f->head_only)
        buf_slice(conn_out(f->outer), page.body);
    if (!f->keep_alive)
        conn_close_soon(f->outer);
    buf_free(&page.plain);
}

/* ---- calls: to civetweb and back ---- */

static const struct conn_proto front_inner_proto;

static void front_request_done(struct front *f)
{
    if (f->request.p)
        mem_wipe((char *)(uintptr_t)f->request.p, f->request.n); /* may hold a password */
    mem_free((void *)(uintptr_t)f->request.p);
    f->request = slice_of(NULL, 0);
    front_release(f);
}

static void front_free_if_gone(struct front *f)
{
    if (f->outer || f->inner || f->queued)
        return;
    front_request_done(f);
    mem_free(f);
}

static void front_start(struct front *f)
{
    struct err e = {0};
    front_queue.active++;
    f->head_passed = false;
    f->body_left = 0;
    f->inner = conn_connect(conn_reactor(f->outer), &f->portal->inner, &front_inner_proto, f, &e);
    if (!f->inner) {
        front_queue.active--;
        log_event(LOG_ERROR, "portal.inner", "text=%s", log_quote(slice_str(e.text)));
        front_request_done(f);
        front_refuse(f, 503, "The portal is overloaded. Try again in a moment.");
        conn_resume(f->outer);
        return;
    }
    buf_slice(conn_out(f->inner), f->request);
    conn_flush(f->inner);
    conn_deadline(f->inner, FRONT_ANSWER_MS);
    front_request_done(f);
}

static void front_next(void)
{
    while (front_queue.head && front_queue.active < front_queue.head->portal->opts.threads) {
        struct front *f = front_queue.head;
        front_queue.head = f->next;
        if (!front_queue.head)
            front_queue.tail = NULL;
        front_queue.waiting--;
        f->queued = false;
        if (f->outer)
            front_start(f);
        else
            front_free_if_gone(f);
    }
}

/* What the routes read, and nothing else: no header of a browser can be mistaken for one of ours. */
static void front_pass_headers(const struct http_head *h, struct buf *b)
{
    static const struct slice passed[] = {SLIT("Host"), SLIT("Cookie"), SLIT("Origin"), SLIT("Sec-Fetch-Site"),
                                          SLIT("Content-Type"), SLIT("X-Postern")};
    for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
        const struct http_header *row = http_header_find(h, passed[i]);
        if (row)
            buf_fmt(b, "%.*s: %.*s\r\n", SFMT(passed[i]), SFMT(row->value));
    }
}

static void front_call(struct front *f, const struct http_head *h, struct slice body)
{
    struct buf b;
    if (!front_reserve(f, body.n)) {
        front_refuse(f, 503, "The portal is overloaded. Try again in a moment.");
        return;
    }
    char ip[46];
    const struct conn_peer *peer = conn_peer(f->outer);
    size_t ip_n = peer->is_unix ? 0 : ip_format(&peer->ip, ip);
    metric_add(&front_metrics[1], 1);
    buf_init(&b, 0);
    buf_fmt(&b, "%.*s %.*s HTTP/1.1\r\n", SFMT(h->method), SFMT(h->target));
    front_pass_headers(h, &b);
    buf_fmt(&b, "X-Inner-Token: %s\r\nX-Inner-Peer: %.*s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
            f->portal->token, (int)ip_n, ip, body.n);
    buf_slice(&b, body);
    f->request = buf_all(&b); /* owned from here on */
    conn_pause(f->outer);
    conn_deadline(f->outer, 0);
    if (front_queue.active < f->portal->opts.threads) {
        front_start(f);
        return;
    }
    f->queued = true;
    f->next = NULL;
    if (front_queue.tail)
        front_queue.tail->next = f;
    else
        front_queue.head = f;
    front_queue.tail = f;
    front_queue.waiting++;
}

static void *front_inner_open(struct conn *c, void *ctx)
{
    (void)c;
    return ctx;
}

/* The inner answer's head with our security headers instead of its hop's. */
static void front_pass_head(struct front *f, const struct http_status_head *h)
{
    struct buf *out = conn_out(f->outer);
    front_head(f, h->status);
    for (size_t i = 0; i < h->headers_n; i++)
        if (!slice_eq_ci(h->headers[i].name, S("connection")))
            buf_fmt(out, "%.*s: %.*s\r\n", SFMT(h->headers[i].name), SFMT(h->headers[i].value));
    if (!f->keep_alive)
        buf_lit(out, "Connection: close\r\n");
    buf_lit(out, "\r\n");
    f->head_passed = true;
    f->body_left = h->has_length ? h->length : 0;
}

static size_t front_inner_data(struct conn *c, void *state, struct slice in)
{
    static _Thread_local struct http_status_head h;
    struct front *f = state;
    size_t used = 0;
    if (!f->outer) {
        conn_abort(c);
        return in.n;
    }
    if (!f->head_passed) {
        enum rc rc = http_status_read(in, http_limits_default(), &h, NULL);
        if (rc == RC_AGAIN)
            return 0;
        if (rc != RC_OK) {
            conn_abort(c);
            return in.n;
        }
        used = h.head_bytes;
        front_pass_head(f, &h);
    }
    struct slice body = slice_sub(slice_from(in, used), 0, (size_t)f->body_left);
    if (!f->head_only)
        buf_slice(conn_out(f->outer), body);
    f->body_left -= body.n;
    conn_flush(f->outer);
    if (f->body_left == 0)
        conn_abort(c); /* done: its close callback goes on */
    return used + body.n;
}

/* Only now is the browser's next request looked at: before, this one's place is still taken. */
static void front_answered(struct front *f)
{
    if (!f->keep_alive)
        conn_close_soon(f->outer);
    conn_flush(f->outer);
    conn_resume(f->outer);
}

static void front_inner_close(struct conn *c, void *state)
{
    struct front *f = state;
    (void)c;
    f->inner = NULL;
    front_queue.active--;
    if (f->outer && !f->head_passed) {
        front_refuse(f, 502, "The portal did not answer. Try again.");
        conn_resume(f->outer);
    } else if (f->outer && f->body_left > 0) {
        conn_abort(f->outer); /* a cut answer must look cut */
    } else if (f->outer) {
        front_answered(f);
    }
    front_free_if_gone(f);
    front_next();
}

static const struct conn_proto front_inner_proto = {
    .name = "portal-inner", .open = front_inner_open, .data = front_inner_data, .close = front_inner_close};

/* ---- the browser's connection ---- */

static void *front_open(struct conn *c, void *ctx)
{
    struct front *f = mem_zalloc(sizeof *f);
    f->portal = ctx;
    f->outer = c;
    return f;
}

static const char *front_trouble(struct front *f, const struct http_head *h, int *status)
{
    if (h->chunked) {
        *status = 411;
        return "A Content-Length was expected.";
    }
    if (h->has_length && h->length > f->portal->opts.body_bytes_max) {
        *status = 413;
        return "The body is too large.";
    }
    if (front_queue.waiting >= FRONT_QUEUE_MAX) {
        *status = 503;
        return "The portal is overloaded. Try again in a moment.";
    }
    return NULL;
}

/* Methods that civetweb knows; the routes say which of them an operation has. */
static bool front_method_known(struct slice method)
{
    static const struct slice known[] = {SLIT("GET"), SLIT("HEAD"), SLIT("POST"), SLIT("PUT"), SLIT("PATCH"),
                                         SLIT("DELETE"), SLIT("OPTIONS")};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(method, known[i]))
            return true;
    return false;
}

static void front_request(struct front *f, const struct http_head *h, struct slice body)
{
    struct url_target target;
    f->keep_alive = h->keep_alive;
    f->head_only = slice_eq(h->method, S("HEAD"));
    f->localhost = front_is_localhost(h->host);
    if (url_split_target(h->target, &target, NULL) != RC_OK)
        front_refuse(f, 400, "A path was expected.");
    else if (!front_method_known(h->method))
        front_say(f, 501, "There is no such method.");
    else if (slice_starts(target.path, S("/v1/")) || slice_starts(target.path, S("/admin/v1/")))
        front_call(f, h, body);
    else if (f->head_only || slice_eq(h->method, S("GET")))
        front_write_page(f, h, target.path);
    else
        front_say(f, 405, "Only GET is served here.");
}

/* Bytes of a request are missing: the deadline of this part runs from its first byte. */
static void front_wait(struct front *f, enum front_phase phase, int64_t ms)
{
    if (f->phase != phase)
        conn_deadline(f->outer, ms);
    f->phase = phase;
}

/* False: refused. */
static bool front_wait_body(struct front *f, const struct http_head *h, bool only_head)
{
    if (f->phase == FRONT_BODY)
        return true;
    if (!front_reserve(f, (size_t)h->length)) {
        front_refuse(f, 503, "The portal is overloaded. Try again in a moment.");
        return false;
    }
    if (h->expect_continue && only_head)
        buf_lit(conn_out(f->outer), "HTTP/1.1 100 Continue\r\n\r\n");
    front_wait(f, FRONT_BODY, FRONT_BODY_MS + (int64_t)(h->length / FRONT_BODY_BYTES_MS));
    return true;
}

static int front_status(enum rc rc, const struct err *e)
{
    if (rc == RC_TOOBIG)
        return slice_eq(slice_str(e->place), S("target")) ? 414 : 431;
    return rc == RC_VERSION ? 505 : 400;
}

static size_t front_data(struct conn *c, void *state, struct slice in)
{
    static _Thread_local struct http_head h; /* large; one for the front's thread */
    struct front *f = state;
    size_t used = 0;
    while (used < in.n && !f->inner && !f->queued && !conn_out_full(c)) {
        struct err e = {0};
        struct slice left = slice_from(in, used);
        enum rc rc = http_head_read(left, http_limits_default(), &h, &e);
        if (rc == RC_AGAIN) {
            front_wait(f, FRONT_HEAD, FRONT_HEAD_MS);
            break;
        }
        int status = front_status(rc, &e);
        const char *trouble = rc == RC_OK ? front_trouble(f, &h, &status) : "This is no HTTP/1.1 request.";
        if (trouble) {
            front_refuse(f, status, trouble);
            return in.n;
        }
        size_t length = h.has_length ? (size_t)h.length : 0;
        if (left.n < h.head_bytes + length)
            return front_wait_body(f, &h, left.n == h.head_bytes) ? used : in.n;
        used += h.head_bytes + length;
        front_wait(f, FRONT_IDLE, 0);
        front_request(f, &h, slice_sub(slice_from(left, h.head_bytes), 0, length));
        if (!f->keep_alive)
            return in.n; /* nothing behind the last one is a request */
    }
    return used;
}

static void front_timeout(struct conn *c, void *state)
{
    (void)c;
    struct front *f = state;
    if (f->phase != FRONT_IDLE)
        front_refuse(f, 408, "The request took too long to arrive.");
}

static void front_drained(struct conn *c, void *state)
{
    struct front *f = state;
    if (f->inner || f->queued)
        return;
    conn_pause(c); /* offers the requests that were left when the output was full */
    conn_resume(c);
}

static void front_close(struct conn *c, void *state)
{
    struct front *f = state;
    (void)c;
    f->outer = NULL;
    if (!f->queued)
        front_release(f);
    if (f->inner)
        conn_abort(f->inner);
    front_free_if_gone(f);
}

const struct conn_proto *portal_proto(void)
{
    static const struct conn_proto proto = {.name = "portal", .open = front_open, .data = front_data,
                                            .drained = front_drained, .timeout = front_timeout, .close = front_close};
    return &proto;
}

/* ---- the portal as a whole ---- */

enum rc portal_open(const struct portal_opts *o, struct portal **out, struct err *e)
{
    struct portal *p = mem_zalloc(sizeof *p);
    p->opts = *o;
    enum rc rc = civet_start(p, e);
    if (rc != RC_OK) {
        mem_free(p);
        return rc;
    }
    *out = p;
    return RC_OK;
}

void portal_close(struct portal *p)
{
    civet_stop(p);
    mem_free(p);
}
#undef FRONT_HEAD_MS
#undef FRONT_BODY_MS
#undef FRONT_ANSWER_MS
#undef FRONT_QUEUE_MAX
#undef FRONT_BODIES_MAX
#undef FRONT_BODY_BYTES_MS
#undef FRONT_CSP
#undef FRONT_SECURITY
#undef FRONT_HSTS
