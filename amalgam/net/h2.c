/*
 * h2.c - nghttp2 between a connection's bytes and a door's streams.
 *
 * Bytes go into nghttp2, which checks frames, HPACK, states and windows and calls back; h2_pump takes
 * frames out of it into the connection's output. nghttp2 is never entered from inside itself: doors
 * answer by submitting, the pump runs when nghttp2 has returned. One timer per session looks after
 * requests that do not arrive and answers that are not taken; it is armed only while streams stay
 * open from one turn to the next.
 * Owns sessions and streams; knows nothing of what is asked. Threads: the reactor's.
 * Tested by tests/unit/net/test_h2.c, tests/fuzz/fuzz_h2.c, and through the gRPC door.
 */
#include "net/h2.h"
#include "net/inside.h"

#include <nghttp2/nghttp2.h>

enum {
    H2_SPARE_MAX = 512,             /* streams kept by a pool */
    H2_SPARE_BYTES = 8 * 1024,      /* of each buffer of those */
    H2_OUT_BYTES_MAX = 4 << 20,     /* an answer */
    H2_WINDOW_BYTES = 256 * 1024,   /* of a stream; of a connection four times as much */
    H2_FRAME_BYTES = 16 * 1024,     /* nghttp2's buffer of a frame, and a little more */
    H2_FRAME_EXTRA_BYTES = 256,
    H2_TABLE_BYTES = 1024,          /* HPACK: of heads that come; each entry costs three times what it counts */
    H2_TABLE_OUT_BYTES = 512,       /* of those that go */
    H2_POINTS_MAX = 2000,
    H2_POINTS_PER_S = 200,
    H2_POINTS_REQUEST = 16,         /* given back for a whole request */
    H2_POINTS_STALL = 50,
    H2_TINY_BYTES = 256,            /* a DATA frame below costs a point */
    H2_HEADS_MAX = 8,               /* of an answer */
    H2_DRAIN_MS = 250, /* for the peer to answer the first goodbye */
    H2_RESETS_BURST = 1000,
    H2_RESETS_PER_S = 200,
    H2_CONTINUATIONS_MAX = 8
};

/* Places in a buffer that may still move. */
struct h2_pair {
    uint32_t at, name_n, value_n;
};

enum h2_state { H2_ARRIVING, H2_WHOLE, H2_ANSWERING };

struct h2_stream {
    struct h2 *h;
    int32_t id;
    void *user;
    struct h2_request q;
    struct buf head, body, out, tail;
    struct h2_pair *pairs; /* of head */
    struct http_header *headers;
    size_t pairs_n, pairs_cap;
    size_t held_bytes; /* of body, as counted in h->held_bytes */
    struct h2_pair tails[H2_HEADS_MAX];
    size_t tails_n;
    enum h2_state state;
    bool told;     /* head was called and gone is owed */
    bool too_big;  /* its head */
    bool whole;    /* the request */
    bool begun, ended, idle; /* the answer; idle: nghttp2 waits for bytes of it */
    bool streams;
    bool dead;     /* reset by us: what still comes is not looked at */
    int64_t due_ms; /* monotonic; 0: never */
    struct h2_stream *next, **link;
};

struct h2 {
    struct conn *c;
    struct reactor *r;
    nghttp2_session *ng;
    struct h2_pool *pool;
    const struct h2_door *door;
    void *user;
    struct h2_stream *open;
    size_t held_bytes;
    int64_t points, points_ms;
    bool inside;      /* nghttp2 is at work: it must not be entered */
    bool stopping;    /* the server stops: the first goodbye was said */
    int64_t bye_ms;   /* monotonic: the last goodbye is due; 0: said, or not stopping */
    struct net_timer timer;
};

struct h2_pool {
    struct h2_limits limits;
    char *frame;  /* see h2_alloc */
    bool lending; /* a session is being made and has not got it yet */
    bool sending; /* a session uses it */
    struct h2_stream *spare;
    size_t spare_n;
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;
};

/* ---- streams ---- */

static struct h2_stream *h2_take(struct h2 *h, int32_t id)
{
    struct h2_pool *p = h->pool;
    struct h2_stream *s = p->spare;
    if (s) {
        p->spare = s->next;
        p->spare_n--;
    } else {
        s = mem_zalloc(sizeof *s);
        buf_init(&s->head, p->limits.head_bytes_max);
        buf_init(&s->body, p->limits.body_bytes_max);
        buf_init(&s->out, H2_OUT_BYTES_MAX);
        buf_init(&s->tail, 64 * 1024);
    }
    s->h = h;
    s->id = id;
    s->due_ms = h->r->mono_ms + p->limits.request_ms;
    s->next = h->open;
    s->link = &h->open;
    if (s->next)
        s->next->link = &s->next;
    h->open = s;
    return s;
}

static void h2_free_stream(struct h2_stream *s)
{
    buf_free(&s->head);
    buf_free(&s->body);
    buf_free(&s->out);
    buf_free(&s->tail);
    mem_free(s->pairs);
    mem_free(s->headers);
    mem_free(s);
}

/* As new, but for the memory it has. */
static void h2_reset_stream(struct h2_stream *s)
{
    struct h2_stream kept = {.head = s->head, .body = s->body, .out = s->out, .tail = s->tail,
                             .pairs = s->pairs, .headers = s->headers, .pairs_cap = s->pairs_cap};
    struct buf *bufs[] = {&kept.head, &kept.body, &kept.out, &kept.tail};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) {
        buf_clear(bufs[i]);
        buf_shrink(bufs[i], H2_SPARE_BYTES);
    }
    *s = kept;
}

static void h2_give(struct h2_stream *s)
{
    struct h2_pool *p = s->h->pool;
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    s->h->held_bytes -= s->held_bytes;
    if (s->told)
        s->h->door->gone(s, s->h->user);
    if (p->spare_n >= H2_SPARE_MAX) {
        h2_free_stream(s);
        return;
    }
    h2_reset_stream(s);
    s->next = p->spare;
    p->spare = s;
    p->spare_n++;
}

static void h2_rst(struct h2_stream *s, uint32_t code)
{
    s->due_ms = 0;
    s->dead = true;
    (void)nghttp2_submit_rst_stream(s->h->ng, NGHTTP2_FLAG_NONE, s->id, code);
}

/* ---- a peer that is a nuisance ---- */

static void h2_calm(struct h2 *h)
{
    (void)nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

static void h2_charge(struct h2 *h, int64_t points)
{
    int64_t passed = h->r->mono_ms - h->points_ms;
    if (passed > 0) {
        h->points = MIN(h->points + passed * H2_POINTS_PER_S / 1000, (int64_t)H2_POINTS_MAX);
        if (passed * H2_POINTS_PER_S >= 1000)
            h->points_ms = h->r->mono_ms;
    }
    h->points -= points;
    if (UNLIKELY(h->points < 0)) {
        h->points = 0;
        h2_calm(h);
    }
}

/* ---- requests, as nghttp2 tells them ---- */

static int h2_on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
    (void)ng;
    bool moves = hd->type == NGHTTP2_DATA && (hd->length >= H2_TINY_BYTES || (hd->flags & NGHTTP2_FLAG_END_STREAM));
    if (!moves)
        h2_charge(user, 1);
    return 0;
}

static int h2_on_begin_headers(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        (void)nghttp2_session_set_stream_user_data(ng, f->hd.stream_id, h2_take(user, f->hd.stream_id));
    return 0;
}

static void h2_more_pairs(struct h2_stream *s)
{
    if (s->pairs_n < s->pairs_cap)
        return;
    s->pairs_cap = MAX((size_t)16, s->pairs_cap * 2);
    s->pairs = mem_realloc(s->pairs, s->pairs_cap * sizeof *s->pairs);
    s->headers = mem_realloc(s->headers, s->pairs_cap * sizeof *s->headers);
}

/* What the body takes now, in the connection's account. */
static void h2_account(struct h2_stream *s)
{
    s->h->held_bytes += s->body.n;
    s->h->held_bytes -= s->held_bytes;
    s->held_bytes = s->body.n;
}

static int h2_on_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                        const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
    (void)flags;
    if (!s || s->told || s->too_big)
        return 0; /* trailers of a request say nothing to us */
    if (s->head.n + name_n + value_n > h->pool->limits.head_bytes_max || s->pairs_n >= h->pool->limits.headers_max) {
        h2_charge(h, H2_POINTS_STALL);
        s->too_big = true;
        return 0;
    }
    h2_more_pairs(s);
    s->pairs[s->pairs_n++] = (struct h2_pair){(uint32_t)s->head.n, (uint32_t)name_n, (uint32_t)value_n};
    buf_put(&s->head, name, name_n);
    buf_put(&s->head, value, value_n);
    return 0;
}

/* A field that is malformed makes the request malformed (RFC 9113 8.1.1); nghttp2 alone would drop it. */
static int h2_on_invalid_header(nghttp2_session *ng, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
                                const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    (void)name, (void)name_n, (void)value, (void)value_n, (void)flags, (void)user;
    (void)nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, f->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void h2_pseudo(struct h2_stream *s, struct slice name, struct slice value)
{
    struct {
        struct slice name, *to;
    } rows[] = {{S(":method"), &s->q.method}, {S(":path"), &s->q.path}, {S(":scheme"), &s->q.scheme},
                {S(":authority"), &s->q.authority}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (slice_eq(name, rows[i].name))
            *rows[i].to = value;
}

static void h2_head_done(struct h2_stream *s)
{
    struct slice all = buf_all(&s->head);
    s->q = (struct h2_request){.method = S(""), .path = S(""), .scheme = S(""), .authority = S("")};
    for (size_t i = 0; i < s->pairs_n; i++) {
        const struct h2_pair *p = &s->pairs[i];
        struct slice name = slice_of(all.p + p->at, p->name_n);
        struct slice value = slice_of(all.p + p->at + p->name_n, p->value_n);
        if (name.n > 0 && name.p[0] == ':')
            h2_pseudo(s, name, value);
        else
            s->headers[s->q.headers_n++] = (struct http_header){name, value};
    }
    s->q.headers = s->headers;
    if (s->too_big) {
        h2_head_only(s, 431, NULL, 0);
        return;
    }
    s->told = true;
    s->h->door->head(s, s->h->user);
}

static bool h2_wants_body(const struct h2_stream *s)
{
    return s->told && !s->dead && !s->ended && (!s->begun || s->streams);
}

static void h2_tell_body(struct h2_stream *s, bool whole)
{
    if (!h2_wants_body(s))
        return;
    s->h->door->body(s, s->h->user, whole);
    h2_account(s);
}

static void h2_body_done(struct h2_stream *s)
{
    s->whole = true;
    s->h->points = MIN(s->h->points + H2_POINTS_REQUEST, (int64_t)H2_POINTS_MAX);
    if (s->state == H2_ARRIVING) {
        s->state = H2_WHOLE;
        s->due_ms = 0;
    }
    h2_tell_body(s, true);
}

/* RFC 9113 6.8: what the peer sent before it heard of the end is still served; what comes after the answer
 * to our PING was sent knowing it. */
static void h2_last_goodbye(struct h2 *h)
{
    h->bye_ms = 0;
    (void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->ng),
                                NGHTTP2_NO_ERROR, NULL, 0);
}

static int h2_on_frame(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    struct h2 *h = user;
    if (f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK) && h->bye_ms)
        h2_last_goodbye(h);
    if (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA)
        return 0;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
    if (!s)
        return 0;
    if (f->hd.type == NGHTTP2_HEADERS && f->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_head_done(s);
    if (f->hd.flags & NGHTTP2_FLAG_END_STREAM)
        h2_body_done(s);
    else if (f->hd.type == NGHTTP2_DATA)
        h2_tell_body(s, false);
    return 0;
}

static int h2_on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *user)
{
    struct h2 *h = user;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
    (void)flags;
    if (!s || !h2_wants_body(s))
        return 0;
    bool fits = h->held_bytes + n <= h->pool->limits.held_bytes_max;
    if (fits)
        buf_put(&s->body, p, n);
    h2_account(s);
    if (!fits || buf_over(&s->body))
        h2_rst(s, NGHTTP2_ENHANCE_YOUR_CALM);
    return 0;
}

static int h2_on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, id);
    (void)code;
    (void)user;
    if (s) {
        (void)nghttp2_session_set_stream_user_data(ng, id, NULL);
        h2_give(s);
    }
    return 0;
}

/* An answer that is complete before its request: the client need not send the rest (RFC 9113 8.1). */
static int h2_on_sent(nghttp2_session *ng, const nghttp2_frame *f, void *user)
{
    (void)user;
    if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM) || (f->hd.type != NGHTTP2_HEADERS && f->hd.type != NGHTTP2_DATA))
        return 0;
    struct h2_stream *s = nghttp2_session_get_stream_user_data(ng, f->hd.stream_id);
    if (s && !s->whole)
        h2_rst(s, NGHTTP2_NO_ERROR);
    return 0;
}

/* ---- answers ---- */

static void h2_nv(nghttp2_nv *nv, struct slice name, struct slice value)
{
    union { /* nghttp2 copies, though its struct knows no const */
        const char *in;
        uint8_t *out;
    } n = {.in = name.p}, v = {.in = value.p};
    *nv = (nghttp2_nv){n.out, v.out, name.n, value.n, NGHTTP2_NV_FLAG_NONE};
}

static void h2_submit_tail(struct h2_stream *s)
{
    nghttp2_nv nv[H2_HEADS_MAX];
    for (size_t i = 0; i < s->tails_n; i++)
        h2_nv(&nv[i], slice_of(s->tail.p + s->tails[i].at, s->tails[i].name_n),
              slice_of(s->tail.p + s->tails[i].at + s->tails[i].name_n, s->tails[i].value_n));
    (void)nghttp2_submit_trailer(s->h->ng, s->id, nv, s->tails_n);
}

static nghttp2_ssize h2_read_answer(nghttp2_session *ng, int32_t id, uint8_t *dst, size_t n, uint32_t *flags,
                                    nghttp2_data_source *source, void *user)
{
    struct h2_stream *s = source->ptr;
    size_t left = s->out.n - s->out.at, now = MIN(left, n);
    (void)ng;
    (void)id;
    (void)user;
    if (now == 0 && !s->ended) {
        s->idle = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (now > 0)
        memcpy(dst, s->out.p + s->out.at, now);
    if (now == left && s->ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->tails_n) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            h2_submit_tail(s);
        }
    }
    buf_consume(&s->out, now);
    return (nghttp2_ssize)now;
}

static void h2_submit_head(struct h2_stream *s, int status, const struct http_header *headers, size_t n, bool all)
{
    nghttp2_nv nv[H2_HEADS_MAX + 1];
    const nghttp2_data_provider2 data = {.source.ptr = s, .read_callback = h2_read_answer};
    char text[24];
    MUST(n <= H2_HEADS_MAX && !s->begun);
    h2_nv(&nv[0], S(":status"), slice_of(text, fmt_u64(text, (uint64_t)status)));
    for (size_t i = 0; i < n; i++)
        h2_nv(&nv[i + 1], headers[i].name, headers[i].value);
    (void)nghttp2_submit_response2(s->h->ng, s->id, nv, n + 1, all ? NULL : &data);
    s->begun = true;
    s->ended = all;
    s->state = H2_ANSWERING;
    s->due_ms = s->streams ? 0 : s->h->r->mono_ms + s->h->pool->limits.request_ms;
}

void h2_head_only(struct h2_stream *s, int status, const struct http_header *headers, size_t n)
{
    h2_submit_head(s, status, headers, n, true);
}

void h2_begin(struct h2_stream *s, int status, const struct http_header *headers, size_t n)
{
    h2_submit_head(s, status, headers, n, false);
}

struct buf *h2_out(struct h2_stream *s)
{
    return &s->out;
}

void h2_wrote(struct h2_stream *s)
{
    if (!s->idle)
        return;
    s->idle = false;
    (void)nghttp2_session_resume_data(s->h->ng, s->id);
}

void h2_end(struct h2_stream *s, const struct http_header *trailers, size_t n)
{
    MUST(n <= H2_HEADS_MAX && s->begun && !s->ended);
    for (size_t i = 0; i < n; i++) {
        s->tails[i] = (struct h2_pair){(uint32_t)s->tail.n, (uint32_t)trailers[i].name.n,
                                       (uint32_t)trailers[i].value.n};
        buf_slice(&s->tail, trailers[i].name);
        buf_slice(&s->tail, trailers[i].value);
    }
    s->tails_n = n;
    s->ended = true;
    if (buf_over(&s->tail) || buf_over(&s->out)) { /* half an answer is none */
        h2_rst(s, NGHTTP2_INTERNAL_ERROR);
        return;
    }
    s->due_ms = s->h->r->mono_ms + s->h->pool->limits.request_ms;
    h2_wrote(s);
}

/* ---- moving bytes, and time ---- */

static void h2_watch(struct h2 *h)
{
    int64_t first = INT64_MAX;
    bool busy = false;
    for (const struct h2_stream *s = h->open; s; s = s->next) {
        busy |= s->state == H2_WHOLE || h->stopping;
        if (s->due_ms > 0)
            first = MIN(first, s->due_ms);
    }
    if (h->bye_ms)
        first = MIN(first, h->bye_ms);
    conn_busy(h->c, busy || h->bye_ms);
    if (first == INT64_MAX)
        timer_cancel(h->r, &h->timer);
    else if (h->timer.at == 0 || h->timer.due_ms > first)
        timer_arm(h->r, &h->timer, MAX(first - h->r->mono_ms, 1));
}

/* In development: nobody counts on what another session has left in the frame's buffer. */
static void h2_spoil(struct h2_pool *p)
{
#ifdef POSTERN_DEV
    memset(p->frame, 0xaa, H2_FRAME_BYTES + H2_FRAME_EXTRA_BYTES);
#else
    (void)p;
#endif
}

static void h2_send(struct h2 *h)
{
    const uint8_t *p;
    MUST(!h->pool->sending); /* the frame's buffer is shared */
    h->pool->sending = true;
    while (!conn_out_full(h->c)) {
        nghttp2_ssize n = nghttp2_session_mem_send2(h->ng, &p);
        if (n < 0)
            conn_close_soon(h->c);
        if (n <= 0)
            break;
        buf_put(conn_out(h->c), p, (size_t)n);
    }
    h->pool->sending = false;
    h2_spoil(h->pool);
}

static void h2_pump(struct h2 *h)
{
    h->inside = true;
    h2_send(h);
    h->inside = false;
    if (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng))
        conn_close_soon(h->c);
    if (h->open || h->timer.at || h->stopping)
        h2_watch(h);
}

void h2_flush(struct h2_stream *s)
{
    struct h2 *h = s->h;
    if (h->inside)
        return;
    h2_pump(h);
    conn_flush(h->c);
}

static void h2_expire(struct h2_stream *s)
{
    struct h2 *h = s->h;
    bool deciding = s->state == H2_WHOLE;
    s->due_ms = 0;
    if (deciding && h->door->late) {
        h->door->late(s, h->user);
        return;
    }
    h2_charge(h, H2_POINTS_STALL);
    h2_rst(s, NGHTTP2_CANCEL);
}

static void h2_fire(struct net_timer *t, struct reactor *r)
{
    struct h2 *h = CONTAINER_OF(t, struct h2, timer);
    h->inside = true;
    for (struct h2_stream *s = h->open, *next; s; s = next) {
        next = s->next; /* submitting closes no stream: that is the pump's */
        if (s->due_ms > 0 && s->due_ms <= r->mono_ms)
            h2_expire(s);
    }
    if (h->bye_ms && h->bye_ms <= r->mono_ms)
        h2_last_goodbye(h);
    h->inside = false;
    h2_pump(h);
    conn_flush(h->c);
}

/* ---- the connection ---- */

static size_t h2_data(struct conn *c, void *state, struct slice in)
{
    struct h2 *h = state;
    if (conn_out_full(c))
        return 0; /* offered again when the peer has taken some */
    if (h->door->batch)
        h->door->batch(h->user);
    h->inside = true;
    nghttp2_ssize n = nghttp2_session_mem_recv2(h->ng, (const uint8_t *)in.p, in.n);
    h->inside = false;
    if (n < 0) /* a flood of what must be acknowledged, for one */
        h2_calm(h);
    h2_pump(h);
    if (n < 0)
        conn_close_soon(c);
    return in.n;
}

static void h2_drained(struct conn *c, void *state)
{
    h2_pump(state);
    conn_resume(c);
}

/* Idle for too long: a goodbye. */
static void h2_timeout(struct conn *c, void *state)
{
    struct h2 *h = state;
    (void)c;
    (void)nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
    h2_pump(h);
}

/* The server stops: streams under way are answered, the peer takes its next ones elsewhere. */
static void h2_stopping(struct conn *c, void *state)
{
    struct h2 *h = state;
    (void)c;
    h->stopping = true;
    h->bye_ms = h->r->mono_ms + H2_DRAIN_MS;
    h->inside = true;
    (void)nghttp2_submit_shutdown_notice(h->ng);
    (void)nghttp2_submit_ping(h->ng, NGHTTP2_FLAG_NONE, NULL);
    for (struct h2_stream *s = h->open, *next; s; s = next) {
        next = s->next;
        if (s->streams && s->begun && !s->ended && h->door->stop)
            h->door->stop(s, h->user);
    }
    h->inside = false;
    h2_pump(h);
    conn_flush(h->c);
}

static void h2_close(struct conn *c, void *state)
{
    struct h2 *h = state;
    (void)c;
    h->inside = true;
    while (h->open)
        h2_give(h->open);
    timer_cancel(h->r, &h->timer);
    nghttp2_session_del(h->ng);
    if (h->door->close)
        h->door->close(h->user);
    mem_free(h);
}

static const struct conn_proto *h2_proto(void)
{
    static const struct conn_proto proto = {.name = "h2", .data = h2_data, .drained = h2_drained, .timeout = h2_timeout,
                                            .stopping = h2_stopping, .close = h2_close};
    return &proto;
}

/* ---- the memory of sessions ----
 * Each session makes a buffer for the frame that it is about to send, 16 KiB, and keeps it for life, though
 * there is something in it only while h2_send takes frames out one by one. So the sessions of a thread
 * share one: the first large block that a session asks for when it is made. Thousands of idle gateway
 * connections would touch a page each otherwise. */

static void *h2_alloc(size_t n, void *user)
{
    struct h2_pool *p = user;
    if (LIKELY(!p->lending || n < H2_FRAME_BYTES || n > H2_FRAME_BYTES + H2_FRAME_EXTRA_BYTES))
        return mem_alloc(n);
    p->lending = false;
    return p->frame;
}

static void h2_dealloc(void *block, void *user)
{
    const struct h2_pool *p = user;
    if (block != p->frame)
        mem_free(block);
}

static void *h2_calloc(size_t n, size_t size, void *user)
{
    (void)user;
    return mem_zalloc(n * size); /* nghttp2's own sizes: they do not overflow */
}

static void *h2_realloc(void *block, size_t n, void *user)
{
    const struct h2_pool *p = user;
    if (!block)
        return h2_alloc(n, user);
    if (block != p->frame)
        return mem_realloc(block, n);
    void *own = mem_alloc(n); /* a session that wants a larger one: then for itself */
    memcpy(own, p->frame, MIN(n, (size_t)(H2_FRAME_BYTES + H2_FRAME_EXTRA_BYTES)));
    return own;
}

static void h2_make(struct h2 *h)
{
    struct h2_pool *p = h->pool;
    nghttp2_mem mem = {p, h2_alloc, h2_dealloc, h2_calloc, h2_realloc};
    p->lending = true;
    MUST(nghttp2_session_server_new3(&h->ng, p->calls, h, p->option, &mem) == 0);
    p->lending = false;
}

static void h2_settings(struct h2 *h)
{
    const struct h2_limits *l = &h->pool->limits;
    const nghttp2_settings_entry rows[] = {
        {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, H2_TABLE_BYTES},
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)(l->head_bytes_max + 32 * l->headers_max)},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    (void)nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, rows, ARRAY_LEN(rows));
    (void)nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, 4 * H2_WINDOW_BYTES);
}

size_t h2_start(struct conn *c, struct h2_pool *p, const struct h2_door *door, void *user, struct slice in)
{
    struct h2 *h = mem_zalloc(sizeof *h);
    h->c = c;
    h->r = conn_reactor(c);
    h->pool = p;
    h->door = door;
    h->user = user;
    h->points = H2_POINTS_MAX;
    h->points_ms = h->r->mono_ms;
    h->timer.fire = h2_fire;
    h2_make(h);
    h2_settings(h);
    conn_switch(c, h2_proto(), h);
    return h2_data(c, h, in);
}

struct h2_pool *h2_pool_open(const struct h2_limits *limits)
{
    struct h2_pool *p = mem_zalloc(sizeof *p);
    p->limits = *limits;
    p->frame = mem_alloc(H2_FRAME_BYTES + H2_FRAME_EXTRA_BYTES);
    MUST(nghttp2_session_callbacks_new(&p->calls) == 0 && nghttp2_option_new(&p->option) == 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(p->calls, h2_on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(p->calls, h2_on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(p->calls, h2_on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(p->calls, h2_on_invalid_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(p->calls, h2_on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(p->calls, h2_on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(p->calls, h2_on_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(p->calls, h2_on_sent);
    nghttp2_option_set_no_closed_streams(p->option, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(p->option, H2_TABLE_OUT_BYTES);
    nghttp2_option_set_max_continuations(p->option, H2_CONTINUATIONS_MAX);
    nghttp2_option_set_stream_reset_rate_limit(p->option, H2_RESETS_BURST, H2_RESETS_PER_S);
    return p;
}

void h2_pool_close(struct h2_pool *p)
{
    for (struct h2_stream *s = p->spare, *next; s; s = next) {
        next = s->next;
        h2_free_stream(s);
    }
    nghttp2_session_callbacks_del(p->calls);
    nghttp2_option_del(p->option);
    mem_free(p->frame);
    mem_free(p);
}

/* ---- what doors ask ---- */

const struct h2_request *h2_request(const struct h2_stream *s)
{
    return &s->q;
}

struct buf *h2_body(struct h2_stream *s)
{
    return &s->body;
}

void h2_set_user(struct h2_stream *s, void *user)
{
    s->user = user;
}

void *h2_user(const struct h2_stream *s)
{
    return s->user;
}

void h2_keep_reading(struct h2_stream *s)
{
    s->streams = true;
}

void h2_deadline(struct h2_stream *s, int64_t delay_ms)
{
    if (s->state == H2_WHOLE && delay_ms > 0)
        s->due_ms = s->h->r->mono_ms + delay_ms;
}
