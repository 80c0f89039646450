/*
 * conn.c - the life of a connection, and everything that doors call on it.
 *
 * Accepted sockets come from listener.c, outbound ones from conn_connect; bytes move in conn_io.c.
 * A connection is a small struct in a slot that is used again; its generation counts the uses, so
 * that a conn_ref to an earlier one is recognised. No buffer stays with a connection that is idle.
 *
 * States, in this order, some skipped: connecting, shaking (TLS), open (proto->open was called),
 * closing (flush, no more input), lingering (our side shut, so that the last reply is not lost to a
 * reset), doomed. held and paused are switches, they do not count.
 * It never calls a door from within conn_close_soon, conn_abort, conn_resume or conn_release: those
 * set a flag and a list entry, the loop does the rest in the same turn.
 * Threads: the reactor's; conn_ref's result may travel.
 * Tested by tests/unit/net/test_conn.c, tests/box/test_net_conn.py.
 */
#include "net/inside.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t conn_ids; /* last one given, in this process */

/* ---- lists through one of a connection's next pointers ---- */

void conn_mark_dirty(struct conn *c)
{
    if (c->dirty)
        return;
    if (c == c->r->serving) {
        c->prompt = true;
        return;
    }
    c->dirty = true;
    c->dirty_next = NULL;
    if (c->r->dirty.tail)
        c->r->dirty.tail->dirty_next = c;
    else
        c->r->dirty.head = c;
    c->r->dirty.tail = c;
}

void conn_visit(struct conn *c)
{
    if (c->again)
        return;
    c->again = true;
    c->again_next = NULL;
    if (c->r->again.tail)
        c->r->again.tail->again_next = c;
    else
        c->r->again.head = c;
    c->r->again.tail = c;
}

/* ---- connections that have not said a word since they came to a TLS port ---- */

static void conn_mark_silent(struct conn *c)
{
    struct conn_list *l = &c->end->silent;
    c->silent_before = l->tail;
    if (l->tail)
        l->tail->silent_next = c;
    else
        l->head = c;
    l->tail = c;
    c->silent = true;
}

void conn_spoke(struct conn *c)
{
    if (!c->silent)
        return;
    struct conn_list *l = &c->end->silent;
    c->silent = false;
    *(c->silent_before ? &c->silent_before->silent_next : &l->head) = c->silent_next;
    *(c->silent_next ? &c->silent_next->silent_before : &l->tail) = c->silent_before;
}

/* Room for a newcomer: the one that has been silent for longest has to go. */
bool conn_evict_silent(struct listener_end *end)
{
    struct conn *c = end->silent.head;
    if (c == NULL)
        return false;
    conn_spoke(c);
    conn_abort(c);
    return true;
}

/* ---- birth ---- */

static struct conn *conn_take_slot(struct reactor *r)
{
    struct conn *c = r->conns_free;
    uint32_t slot, generation = 1;
    if (c) {
        r->conns_free = c->doomed_next;
        slot = c->slot;
        generation = c->generation;
    } else {
        if (r->conns_n == r->conns_cap) {
            r->conns_cap = MAX(64u, r->conns_cap * 2);
            r->conns = mem_realloc(r->conns, r->conns_cap * sizeof(struct conn *));
        }
        c = mem_alloc(sizeof *c);
        slot = r->conns_n++;
        r->conns[slot] = c;
    }
    memset(c, 0, sizeof *c);
    c->source = NET_SOURCE_CONN;
    c->r = r;
    c->slot = slot;
    c->generation = generation;
    r->open_n++;
    return c;
}

static struct conn *conn_new(struct reactor *r, int fd, const struct conn_proto *proto,
                             size_t in_bytes_max, size_t out_bytes_max)
{
    struct conn *c = conn_take_slot(r);
    c->fd = fd;
    c->proto = proto;
    c->id = __atomic_add_fetch(&conn_ids, 1, __ATOMIC_RELAXED);
    c->in_bytes_max = in_bytes_max;
    c->out_bytes_max = out_bytes_max;
    /* Slack: what one read adds before the limit is checked, and the head room of a record. */
    buf_init(&c->in, in_bytes_max + NET_PLAIN_BYTES);
    buf_init(&c->out, out_bytes_max);
    buf_init(&c->wire, NET_TURN_BYTES);
    c->active_ms = r->mono_ms;
    return c;
}

static void conn_name_peer(struct conn *c, const struct sockaddr *from)
{
    char host[46];
    struct conn_peer *p = &c->peer;
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        p->ip.b[10] = p->ip.b[11] = 0xff;
        memcpy(p->ip.b + 12, &in->sin_addr, 4);
        p->port = ntohs(in->sin_port);
    } else if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(p->ip.b, &in->sin6_addr, 16);
        p->port = ntohs(in->sin6_port);
    } else {
        p->is_unix = true;
        c->peer_text_n = (uint8_t)snprintf(c->peer_text, sizeof c->peer_text, "unix");
        return;
    }
    int n = (int)ip_format(&p->ip, host);
    bool v6 = memchr(host, ':', (size_t)n) != NULL;
    c->peer_text_n = (uint8_t)snprintf(c->peer_text, sizeof c->peer_text,
                                       v6 ? "[%.*s]:%d" : "%.*s:%d", n, host, p->port);
}

static bool conn_watch(struct conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events | EPOLLIN | EPOLLRDHUP | EPOLLET,
                             .data.ptr = &c->source};
    c->out_armed = (events & EPOLLOUT) != 0;
    return epoll_ctl(c->r->epoll_fd, EPOLL_CTL_ADD, c->fd, &ev) == 0;
}

/* The handshake, if there was one, is done: the door gets to know the connection. An outbound one is
 * connected. */
void conn_begin(struct conn *c)
{
    c->shaking = false;
    c->active_ms = c->r->mono_ms;
    if (c->end) {
        c->deadline_ms = 0;
        const struct listener_opts *o = listener_options(c->end->listener);
        c->idle_ms = o->idle_ms;
        c->state = o->proto->open(c, o->ctx);
        c->opened = c->state != NULL;
        if (!c->opened)
            conn_abort(c);
    } else if (c->proto->connected && !c->closing) {
        c->proto->connected(c, c->state);
    }
    wheel_place(c);
}

void conn_adopt(struct listener_end *end, int fd, const struct sockaddr *from)
{
    struct reactor *r = end->r;
    const struct listener_opts *o = listener_options(end->listener);
    struct conn *c = conn_new(r, fd, o->proto, o->in_bytes_max, o->out_bytes_max);
    c->end = end;
    conn_name_peer(c, from);
    c->peer.is_tls = o->tls != NULL;
    if (r->stopping || !conn_watch(c, 0)) {
        conn_abort(c);
        return;
    }
    if (o->tls == NULL) {
        conn_begin(c);
        return;
    }
    c->shaking = true;
    conn_mark_silent(c);
    c->deadline_ms = r->mono_ms + o->handshake_ms;
    wheel_place(c);
}

static int conn_dial(const struct net_addr *to, struct sockaddr_storage *ss, struct err *e)
{
    char text[128];
    if (to->kind == ADDR_OFF || to->v6_any) {
        (void)err_set(e, RC_BADINPUT, "there is no address to connect to");
        return -1;
    }
    socklen_t n = net_addr_sockaddr(to, ss);
    int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        (void)err_os(e, "cannot open a socket");
        return -1;
    }
    if (connect(fd, (struct sockaddr *)ss, n) == 0 || errno == EINPROGRESS)
        return fd;
    net_addr_format(to, text);
    (void)err_os(e, "cannot connect to %s", text); /* EAGAIN: a Unix socket's backlog is full */
    close(fd);
    return -1;
}

/* The handshake begins when the connection is there. */
static bool conn_plan_tls(struct conn *c, struct tls_client *t, struct slice name)
{
    if (t == NULL)
        return true;
    c->tls = tls_conn_dial(t, name, &c->wire);
    c->shaking = c->hello = c->peer.is_tls = true;
    return c->tls != NULL;
}

bool conn_start_tls(struct conn *c, struct tls_client *t, struct slice name)
{
    MUST(c->tls == NULL && c->end == NULL && !c->connecting && t != NULL);
    if (c->doomed || c->closing || c->out.at < c->out.n || !conn_plan_tls(c, t, name)) {
        conn_abort(c);
        return false;
    }
    conn_queue_shake(c);
    return true;
}

struct conn *conn_connect(struct reactor *r, const struct net_addr *to,
                          const struct conn_proto *proto, void *ctx, struct err *e)
{
    return conn_connect_tls(r, to, proto, ctx, NULL, S(""), e);
}

/* NULL: nothing was called. Otherwise open was called, and close will be. */
struct conn *conn_connect_tls(struct reactor *r, const struct net_addr *to,
                              const struct conn_proto *proto, void *ctx, struct tls_client *t,
                              struct slice name, struct err *e)
{
    struct sockaddr_storage ss;
    int fd = conn_dial(to, &ss, e);
    if (fd < 0)
        return NULL;
    int on = 1;
    if (to->kind == ADDR_TCP)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    enum { OUTBOUND_BYTES_MAX = 64 * 1024 * 1024 };
    struct conn *c = conn_new(r, fd, proto, OUTBOUND_BYTES_MAX, OUTBOUND_BYTES_MAX);
    conn_name_peer(c, (struct sockaddr *)&ss);
    c->connecting = true;
    if (r->stopping || !conn_plan_tls(c, t, name) || !conn_watch(c, EPOLLOUT)) {
        (void)err_set(e, RC_IO, "cannot watch a new connection");
        conn_abort(c);
        return NULL;
    }
    c->state = proto->open(c, ctx);
    c->opened = c->state != NULL;
    if (c->opened)
        return c;
    (void)err_set(e, RC_BUG, "%s did not take the connection", proto->name);
    conn_abort(c);
    return NULL;
}

/* ---- death ---- */

void conn_abort(struct conn *c)
{
    if (c->doomed)
        return;
    c->doomed = true;
    c->doomed_next = c->r->doomed.head;
    c->r->doomed.head = c;
}

void conn_close_soon(struct conn *c)
{
    if (c->closing || c->doomed)
        return;
    c->closing = true;
    c->deadline_ms = c->r->mono_ms + NET_FLUSH_MS;
    wheel_place(c);
    conn_mark_dirty(c);
}

/* The wheel found it due: idle too long, a deadline passed, or it does not finish closing. */
void conn_expire(struct conn *c)
{
    c->deadline_ms = 0;
    if (!c->opened || c->closing) {
        conn_abort(c);
        return;
    }
    if (c->proto->timeout)
        c->proto->timeout(c, c->state);
    conn_close_soon(c);
}

/* A closed connection's slot is used again once no list leads to it. */
void conn_unlisted(struct conn *c)
{
    if (c->fd >= 0 || c->dirty || c->again || c->queued)
        return;
    c->doomed_next = c->r->conns_free;
    c->r->conns_free = c;
}

static void conn_free(struct conn *c)
{
    struct reactor *r = c->r;
    if (c->opened && c->proto->close)
        c->proto->close(c, c->state);
    conn_spoke(c);
    wheel_remove(c);
    if (c->tls)
        tls_conn_close(c->tls);
    net_buf_give(r, &c->in);
    net_buf_give(r, &c->out);
    net_buf_give(r, &c->wire);
    close(c->fd);
    if (c->end)
        listener_left(c->end->listener);
    c->generation++;
    c->fd = -1;
    r->open_n--;
    conn_unlisted(c);
}

void conn_reap(struct reactor *r)
{
    while (UNLIKELY(r->doomed.head != NULL)) { /* close callbacks may doom others */
        struct conn *c = r->doomed.head;
        r->doomed.head = c->doomed_next;
        conn_free(c);
    }
}

static bool conn_is_open(const struct conn *c)
{
    return c->fd >= 0;
}

static void conn_tell_stop(struct conn *c)
{
    if (c->stop_told)
        return;
    c->stop_told = true;
    if (c->opened && !c->closing && c->proto->stopping)
        c->proto->stopping(c, c->state);
}

/* Called again and again while the reactor stops. What has nothing to say is closed at once. */
bool conn_stop_all(struct reactor *r)
{
    for (uint32_t i = 0; i < r->conns_n; i++) {
        struct conn *c = r->conns[i];
        if (!conn_is_open(c) || c->doomed || c->awaits)
            continue;
        conn_tell_stop(c);
        bool working = c->opened && (c->held || c->paused || c->busy || c->out.p || c->wire.p);
        if (!working || c->lingering)
            conn_abort(c);
        else if (!c->paused && !c->busy)
            conn_close_soon(c);
    }
    conn_reap(r);
    return r->open_n > 0;
}

void conn_close_all(struct reactor *r)
{
    for (uint32_t i = 0; i < r->conns_n; i++)
        if (conn_is_open(r->conns[i]))
            conn_abort(r->conns[i]);
    conn_reap(r);
}

/* ---- what doors say ---- */

struct buf *conn_out(struct conn *c)
{
    if (c->out.p == NULL) {
        net_buf_take(c->r, &c->out);
        conn_mark_dirty(c);
    }
    return &c->out;
}

bool conn_out_full(const struct conn *c)
{
    return c->out.n - c->out.at + c->wire.n - c->wire.at > NET_OUT_FULL_BYTES;
}

void conn_flush(struct conn *c)
{
    if (c->out.p)
        conn_mark_dirty(c);
}

void conn_hold(struct conn *c)
{
    c->held = true;
}

void conn_release(struct conn *c)
{
    if (!c->held)
        return;
    c->held = false;
    c->active_ms = c->r->mono_ms;
    conn_mark_dirty(c);
}

void conn_busy(struct conn *c, bool busy)
{
    c->busy = busy;
}

void conn_pause(struct conn *c)
{
    c->paused = true;
}

void conn_resume(struct conn *c)
{
    if (!c->paused && c->in.p == NULL)
        return;
    if (c->paused)
        c->active_ms = c->r->mono_ms;
    c->paused = false;
    c->offer = true;
    conn_visit(c);
}

void conn_deadline(struct conn *c, int64_t delay_ms)
{
    if (c->closing || c->doomed)
        return; /* the flush has a deadline of its own */
    c->deadline_ms = delay_ms > 0 ? c->r->mono_ms + delay_ms : 0;
    wheel_place(c);
}

void conn_set_idle(struct conn *c, int64_t idle_ms)
{
    c->idle_ms = MAX(idle_ms, 0);
    wheel_place(c);
}

void conn_await(struct conn *c, bool on)
{
    c->awaits = on;
}

bool conn_is_ended(const struct conn *c)
{
    return c->eof && (c->tls == NULL || c->bye_heard);
}

enum rc conn_trouble(const struct conn *c, const char **why)
{
    *why = c->trouble ? c->trouble : "";
    return c->trouble ? c->trouble_rc : RC_OK;
}

struct reactor *conn_reactor(const struct conn *c)
{
    return c->r;
}

void conn_switch(struct conn *c, const struct conn_proto *proto, void *state)
{
    c->proto = proto;
    c->state = state;
}

void *conn_state(const struct conn *c)
{
    return c->state;
}

uint64_t conn_id(const struct conn *c)
{
    return c->id;
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

const struct conn_peer *conn_peer(const struct conn *c)
{
    return &c->peer;
}

struct slice conn_peer_text(const struct conn *c)
{
    return slice_of(c->peer_text, c->peer_text_n);
}

struct conn_ref conn_ref(const struct conn *c)
{
    return (struct conn_ref){c->r, c->slot, c->generation};
}

struct conn *conn_ref_get(struct conn_ref ref)
{
    if (ref.reactor == NULL || ref.slot >= ref.reactor->conns_n)
        return NULL;
    struct conn *c = ref.reactor->conns[ref.slot];
    return c->generation == ref.generation && conn_is_open(c) && !c->doomed ? c : NULL;
}
