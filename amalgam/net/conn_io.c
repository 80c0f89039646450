/*
 * conn_io.c - the bytes of a connection: read, offer, hold back, write, shake hands, say goodbye.
 *
 * Called by reactor.c: conn_ready for every socket that epoll reports, which also sends what the door
 * answers; conn_run_again and conn_run_shakes once per turn, conn_flush_all (output that came in another
 * way, or was held) at its end. Sockets are watched edge-triggered, so
 * a request costs one recv and one send and no epoll_ctl: a read that is shorter than asked means
 * drained, EPOLLOUT is asked for only after EAGAIN.
 *
 * Reading goes to the reactor's scratch; only what the door leaves is copied to the connection. As
 * long as a connection has such a rest, its own buffer is read into, up to EAGAIN or 4 MiB, before
 * the door sees it again, and grows by half: a value of 512 MiB is copied and offered in linear
 * time. One TLS handshake computes per turn (1 to 2 ms of elliptic curves): others wait in a queue,
 * checks do not. With TLS, output is encrypted when it is flushed, into `wire`. Budgets per turn
 * keep one busy peer from starving the others. Threads: the reactor's. Tested by
 * tests/unit/net/test_conn.c, test_tls.c and tests/box/test_net_*.py.
 */
#include "net/inside.h"

#include <errno.h>
#include <unistd.h>

/* ---- input ---- */

static bool conn_wants(const struct conn *c)
{
    return !(c->doomed | c->closing | c->paused | c->shaking | c->connecting);
}

static void conn_keep(struct conn *c, struct slice rest)
{
    if (c->in.p == NULL)
        net_buf_take(c->r, &c->in);
    buf_slice(&c->in, rest);
    if (buf_over(&c->in))
        conn_abort(c);
}

/* A paused door has asked for the rest to wait; it is bounded, since nothing more is read. */
static void conn_check_rest(struct conn *c)
{
    if (c->in.n - c->in.at > c->in_bytes_max && !c->paused)
        conn_abort(c);
}

static void conn_offer_pending(struct conn *c)
{
    c->offer = false;
    if (c->in.p == NULL)
        return;
    struct slice in = buf_unread(&c->in);
    size_t used = c->proto->data(c, c->state, in);
    MUST(used <= in.n);
    buf_consume(&c->in, used);
    if (c->in.n == 0 || c->doomed || c->closing)
        net_buf_give(c->r, &c->in);
    else
        conn_check_rest(c);
}

/* Fresh bytes while nothing is pending: no copy, unless the door leaves some. */
static void conn_offer_fresh(struct conn *c, struct slice in)
{
    size_t used = c->proto->data(c, c->state, in);
    MUST(used <= in.n);
    if (LIKELY(used == in.n) || c->doomed || c->closing)
        return;
    conn_keep(c, slice_from(in, used));
    conn_check_rest(c);
}

/* Room to read behind the pending bytes: half as much again, so that copying stays linear. */
static bool conn_in_room(struct conn *c)
{
    struct buf *b = &c->in;
    size_t unread = b->n - b->at;
    size_t want = MIN(MAX((size_t)16 * 1024, unread / 2), (size_t)NET_TURN_BYTES);
    size_t left = b->max_bytes - MIN(unread, b->max_bytes);
    return left > 0 && buf_room(b, MIN(want, left));
}

/* What recv said when it gave nothing. */
static void conn_read_ended(struct conn *c, ssize_t n)
{
    if (n < 0 && errno == EINTR)
        return;
    c->readable = false;
    if (n == 0)
        c->eof = true;
    else if (errno != EAGAIN)
        conn_abort(c);
}

static size_t conn_recv(struct conn *c, char *dst, size_t cap)
{
    ssize_t n = recv(c->fd, dst, cap, 0);
    if (UNLIKELY(n <= 0)) {
        conn_read_ended(c, n);
        return 0;
    }
    c->active_ms = c->r->mono_ms;
    if (LIKELY((size_t)n < cap) && !c->hup)
        c->readable = false;
    return (size_t)n;
}

static size_t conn_fill_plain(struct conn *c)
{
    if (LIKELY(c->in.p == NULL)) {
        size_t n = conn_recv(c, c->r->scratch, NET_SCRATCH_BYTES);
        if (LIKELY(n > 0))
            conn_offer_fresh(c, slice_of(c->r->scratch, n));
        return n;
    }
    if (!conn_in_room(c)) {
        conn_abort(c);
        return 0;
    }
    size_t n = conn_recv(c, c->in.p + c->in.n, c->in.cap - c->in.n);
    c->in.n += n;
    if (n > 0)
        c->offer = true;
    return n;
}

/* The wire buffer is lent for as long as records may come into being. */
static void conn_lend_wire(struct conn *c)
{
    if (c->wire.p == NULL)
        net_buf_take(c->r, &c->wire);
}

static void conn_settle_wire(struct conn *c)
{
    if (c->wire.n == 0)
        net_buf_give(c->r, &c->wire);
    else
        conn_mark_dirty(c);
}

static bool conn_write(struct conn *c);

/* After the alert. Outbound, whoever waits is told at once. */
static void conn_tls_failed(struct conn *c)
{
    if (c->end) {
        conn_close_soon(c);
        return;
    }
    if (c->tls)
        c->trouble_rc = tls_conn_trouble(c->tls, &c->trouble);
    (void)conn_write(c);
    conn_abort(c);
}

static size_t conn_decrypt(struct conn *c, struct slice raw)
{
    struct reactor *r = c->r;
    size_t n = 0, got = 0;
    enum tls_step step;
    if (r->plain == NULL)
        r->plain = mem_alloc(NET_PLAIN_BYTES);
    conn_lend_wire(c);
    while (n < NET_PLAIN_BYTES && (step = tls_conn_read(c->tls, &raw, r->plain + n,
                                                        NET_PLAIN_BYTES - n, &got)) == TLS_DONE)
        n += got;
    MUST(n < NET_PLAIN_BYTES); /* one read and one record fit */
    conn_settle_wire(c);       /* an alert, perhaps */
    if (n > 0 && (c->in.p || !conn_wants(c))) {
        conn_keep(c, slice_of(r->plain, n));
        c->offer = true;
    } else if (n > 0) {
        conn_offer_fresh(c, slice_of(r->plain, n));
    }
    if (step == TLS_END) {
        c->eof = c->bye_heard = true;
        c->readable = false;
    } else if (step == TLS_FAILED) {
        conn_tls_failed(c);
    }
    return n;
}

static size_t conn_fill_tls(struct conn *c)
{
    size_t n = conn_recv(c, c->r->scratch, NET_SCRATCH_BYTES);
    if (n > 0)
        conn_decrypt(c, slice_of(c->r->scratch, n));
    return n;
}

static void conn_tell_eof(struct conn *c)
{
    c->eof_told = true;
    if (c->proto->eof)
        c->proto->eof(c, c->state);
    else
        conn_close_soon(c);
}

/* Our side is shut; what the peer still sends is thrown away until its end comes. */
static void conn_discard(struct conn *c)
{
    size_t left = NET_TURN_BYTES, n;
    do {
        n = conn_recv(c, c->r->scratch, NET_SCRATCH_BYTES);
        left -= MIN(n, left);
    } while (c->readable && !c->doomed && left > 0);
    if (c->eof || left == 0) /* or it sends without end */
        conn_abort(c);
}

static HOT void conn_pump(struct conn *c)
{
    if (UNLIKELY(c->lingering)) {
        conn_discard(c);
        return;
    }
    if (UNLIKELY(c->offer) && conn_wants(c))
        conn_offer_pending(c); /* resumed */
    size_t moved = 0;
    while (c->readable && conn_wants(c)) {
        moved += c->tls ? conn_fill_tls(c) : conn_fill_plain(c);
        if (moved >= (c->in.p ? (size_t)NET_TURN_BYTES : (size_t)4 * NET_SCRATCH_BYTES) ||
            c->in.n - c->in.at > c->in_bytes_max) { /* the door decides before that is too much */
            conn_visit(c);
            break;
        }
    }
    if (UNLIKELY(c->offer) && conn_wants(c))
        conn_offer_pending(c);
    if (UNLIKELY(c->eof) && !c->eof_told && conn_wants(c))
        conn_tell_eof(c);
}

/* ---- TLS handshake ---- */

void conn_queue_shake(struct conn *c)
{
    struct conn_list *l = &c->r->shakes;
    if (c->queued)
        return;
    c->queued = true;
    c->shake_next = NULL;
    if (l->tail)
        l->tail->shake_next = c;
    else
        l->head = c;
    l->tail = c;
}

static void conn_shake_done(struct conn *c, struct slice raw)
{
    c->peer.cert_name = tls_conn_cert_name(c->tls);
    conn_begin(c);
    if (c->doomed)
        return;
    /* Also with no bytes left: the last flight may have carried a whole record. */
    (void)conn_decrypt(c, raw);
    conn_mark_dirty(c); /* a client may have had something to say for long */
    conn_pump(c);
}

/* What came, or nothing for a client's first flight. False: nothing to do. */
static bool conn_shake_bytes(struct conn *c, struct slice *raw)
{
    *raw = S("");
    if (c->hello) {
        c->hello = false;
        return true;
    }
    raw->p = c->r->scratch;
    raw->n = conn_recv(c, c->r->scratch, NET_SCRATCH_BYTES);
    if (raw->n == 0 && c->eof) {
        c->trouble = "the TLS handshake was cut off";
        c->trouble_rc = RC_IO;
        conn_abort(c);
    }
    return raw->n > 0;
}

static void conn_shake(struct conn *c)
{
    struct slice raw;
    if (c->connecting || !conn_shake_bytes(c, &raw))
        return;
    conn_lend_wire(c);
    if (c->tls == NULL) {
        conn_spoke(c);
        c->tls = tls_conn_open(listener_options(c->end->listener)->tls, &c->wire);
    }
    enum tls_step step = c->tls ? tls_conn_shake(c->tls, &raw) : TLS_FAILED;
    conn_settle_wire(c);
    if (step == TLS_DONE)
        conn_shake_done(c, raw);
    else if (step != TLS_WANT)
        conn_tls_failed(c);
    else if (c->readable)
        conn_queue_shake(c);
}

/* One step for one connection: it may cost a millisecond or two. */
bool conn_run_shakes(struct reactor *r)
{
    struct conn *c;
    while ((c = r->shakes.head) != NULL) {
        r->shakes.head = c->shake_next;
        if (r->shakes.head == NULL)
            r->shakes.tail = NULL;
        c->queued = false;
        if (c->doomed) {
            conn_unlisted(c);
        } else if (!c->closing) {
            conn_shake(c);
            return true;
        }
    }
    return false;
}

/* ---- events ---- */

static const char *conn_refusal(int error)
{
    switch (error) {
    case ECONNREFUSED:
    case ENOENT:
        return "connection refused";
    case ENETUNREACH:
    case EHOSTUNREACH:
        return "no route to the host";
    case ETIMEDOUT:
        return "connection timed out";
    default:
        return "connection failed";
    }
}

static void conn_connected(struct conn *c)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error != 0) {
        c->trouble = conn_refusal(error);
        c->trouble_rc = RC_IO;
        conn_abort(c);
        return;
    }
    c->connecting = false;
    if (!c->shaking)
        conn_begin(c);
}

static void conn_flush_one(struct conn *c);

/* What the door answers is sent before the next connection is looked at: the peer goes on meanwhile, and
 * bytes and buffer are still in the processor's cache. What is held waits for conn_release. */
static HOT void conn_serve(struct conn *c)
{
    c->r->serving = c;
    conn_pump(c);
    c->r->serving = NULL;
    if (!c->prompt)
        return;
    c->prompt = false;
    if (!c->doomed)
        conn_flush_one(c);
}

HOT void conn_ready(struct conn *c, uint32_t events)
{
    if (UNLIKELY(c->doomed))
        return;
    if (UNLIKELY((events & ~(uint32_t)EPOLLIN) != 0)) {
        if (c->connecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            conn_connected(c);
        if ((events & EPOLLERR) && c->paused)
            conn_abort(c); /* reset: nobody waits for the parked request any more */
        if (c->doomed)
            return;
        if ((events & EPOLLOUT) && (c->out.p || c->wire.p || c->closing))
            conn_mark_dirty(c);
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            c->readable = c->hup = true;
    }
    if (events & EPOLLIN)
        c->readable = true;
    if (UNLIKELY(c->shaking))
        conn_queue_shake(c);
    else
        conn_serve(c);
}

static size_t conn_waiting(const struct conn *c)
{
    return c->out.n - c->out.at + c->wire.n - c->wire.at;
}

static void conn_continue(struct conn *c)
{
    if (c->was_full && conn_waiting(c) < NET_OUT_LOW_BYTES && !c->closing) {
        c->was_full = false;
        c->offer = c->in.p != NULL; /* the door stopped in the middle of it, perhaps */
        if (c->proto->drained)
            c->proto->drained(c, c->state);
    }
    if ((c->out.p || c->wire.p) && !c->held)
        conn_mark_dirty(c); /* its budget was used up */
    if (!c->doomed && !c->shaking)
        conn_pump(c);
}

bool conn_run_again(struct reactor *r)
{
    struct conn *c = r->again.head, *next;
    bool worked = c != NULL;
    r->again.head = r->again.tail = NULL;
    for (; c; c = next) {
        next = c->again_next;
        c->again = false;
        if (c->doomed)
            conn_unlisted(c);
        else
            conn_continue(c);
    }
    return worked;
}

/* ---- output ---- */

static void conn_arm_out(struct conn *c, bool on)
{
    if (c->out_armed == on)
        return;
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET | (on ? EPOLLOUT : 0u),
                             .data.ptr = &c->source};
    c->out_armed = on;
    if (epoll_ctl(c->r->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev) < 0)
        conn_abort(c);
}

/* True when all is sent. */
static bool conn_send(struct conn *c, struct buf *b, size_t *budget)
{
    while (b->at < b->n) {
        ssize_t n = send(c->fd, b->p + b->at, b->n - b->at, MSG_NOSIGNAL);
        if (LIKELY(n > 0)) {
            buf_consume(b, (size_t)n);
            if (b->n == 0)
                return true;
            c->active_ms = c->r->mono_ms;
            *budget -= MIN(*budget, (size_t)n);
            if (*budget == 0) {
                conn_visit(c);
                return false;
            }
        } else if (errno == EAGAIN) {
            conn_arm_out(c, true);
            return false;
        } else if (errno != EINTR) {
            conn_abort(c);
            return false;
        }
    }
    return true;
}

/* Encrypts a little ahead of what the socket takes. */
static bool conn_encrypt(struct conn *c)
{
    enum { AHEAD_BYTES = 256 * 1024 };
    conn_lend_wire(c);
    while (c->out.at < c->out.n && c->wire.n - c->wire.at < AHEAD_BYTES) {
        size_t used;
        if (!tls_conn_write(c->tls, buf_unread(&c->out), &used)) {
            conn_abort(c);
            return false;
        }
        buf_consume(&c->out, used);
    }
    return true;
}

static bool conn_write(struct conn *c)
{
    size_t budget = NET_TURN_BYTES;
    if (LIKELY(c->tls == NULL))
        return conn_send(c, &c->out, &budget);
    do {
        if (c->out.n > 0 && !c->shaking && !conn_encrypt(c))
            return false;
        if (!conn_send(c, &c->wire, &budget))
            return false;
    } while (c->out.n > 0 && !c->shaking);
    return true;
}

/* Everything is sent and the door is done: shut our side, wait a moment for the peer's end. */
static void conn_finish(struct conn *c)
{
    if (c->tls && !c->bye_said) {
        c->bye_said = true;
        conn_lend_wire(c);
        tls_conn_bye(c->tls);
        if (!conn_write(c))
            return; /* comes again when the socket is writable, or is doomed */
        net_buf_give(c->r, &c->wire);
    }
    if (c->eof || c->connecting || c->r->stopping || shutdown(c->fd, SHUT_WR) < 0) {
        conn_abort(c);
        return;
    }
    c->lingering = true;
    c->deadline_ms = c->r->mono_ms + NET_LINGER_MS;
    wheel_place(c);
    conn_discard(c);
}

static HOT void conn_flush_one(struct conn *c)
{
    if (UNLIKELY(buf_over(&c->out))) {
        conn_abort(c); /* out_bytes_max */
        return;
    }
    if (UNLIKELY(c->held | c->connecting | c->lingering))
        return; /* conn_release or EPOLLOUT bring it back */
    if (UNLIKELY(conn_waiting(c) > NET_OUT_FULL_BYTES))
        c->was_full = true;
    bool sent = conn_write(c);
    if (c->out.n == 0)
        net_buf_give(c->r, &c->out);
    if (c->wire.n == 0)
        net_buf_give(c->r, &c->wire);
    if (UNLIKELY(c->was_full) && conn_waiting(c) < NET_OUT_LOW_BYTES)
        conn_visit(c);
    if (!sent)
        return;
    if (UNLIKELY(c->out_armed) && c->peer.is_unix)
        conn_arm_out(c, false); /* a Unix peer reports room after every read of the other side */
    if (UNLIKELY(c->closing))
        conn_finish(c);
}

HOT void conn_flush_all(struct reactor *r)
{
    struct conn *c;
    while ((c = r->dirty.head) != NULL) {
        r->dirty.head = c->dirty_next;
        if (r->dirty.head == NULL)
            r->dirty.tail = NULL;
        c->dirty = false;
        if (UNLIKELY(c->doomed))
            conn_unlisted(c);
        else
            conn_flush_one(c);
    }
}
