/*
 * resp_client.c - one connection of a Redis client: birth, batches of commands, death.
 *
 * net/ calls the functions of resp_proto. client_data runs every complete command of one read under
 * one store_enter (resp_lock at the first, resp_unlock at the end), so the price of the lock is
 * paid once per batch; after about a millisecond inside, the lock is dropped and taken again. What
 * is incomplete stays with net/. A batch whose changes are not safe yet ends with resp_hold. Owns the
 * resp_client; its list and what others read of it is guarded by the store's lock. Threads: the
 * connection's reactor. Tested by tests/unit/resp/test_resp_door.c, fuzz_resp_door.c.
 */
#include "resp/resp_int.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    RESP_CLIENT_LOOK_EVERY = 32, /* commands between two looks at the clock */
    RESP_CLIENT_INSIDE_US = 1000,
};

/* ---- birth ---- */

static void resp_client_local_addr(struct resp_client *c)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un un;
    } a = {0};
    socklen_t n = sizeof a;
    char ip[INET6_ADDRSTRLEN] = "";
    if (getsockname(conn_fd(c->conn), &a.any, &n) != 0)
        return;
    if (a.any.sa_family == AF_UNIX) {
        (void)snprintf(c->laddr, sizeof c->laddr, "%.50s:0", a.un.sun_path);
        return;
    }
    bool v6 = a.any.sa_family == AF_INET6;
    bool mapped = v6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr);
    const void *p = mapped ? (const void *)&a.v6.sin6_addr.s6_addr[12]
                    : v6   ? (const void *)&a.v6.sin6_addr
                           : (const void *)&a.v4.sin_addr;
    if (inet_ntop(v6 && !mapped ? AF_INET6 : AF_INET, p, ip, sizeof ip) == NULL)
        return;
    int port = ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port);
    (void)snprintf(c->laddr, sizeof c->laddr, v6 && !mapped ? "[%s]:%d" : "%s:%d", ip, port);
}

static bool resp_client_is_local(const struct conn_peer *p)
{
    static const uint8_t v4[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
    static const uint8_t v6[16] = {[15] = 1};
    return p->is_unix || memcmp(p->ip.b, v4, sizeof v4) == 0 || memcmp(p->ip.b, v6, sizeof v6) == 0;
}

/* Why this connection is not served, or NULL. Inside the lock. */
static const char *resp_client_refusal(const struct resp_client *c)
{
    const struct resp_server *s = c->srv;
    if (s->clients_n >= s->opts.maxclients)
        return "-ERR max number of clients reached\r\n";
    if (s->password.n > 0 || resp_client_is_local(conn_peer(c->conn)) ||
        slice_eq(config_value(s, "protected-mode"), S("no")))
        return NULL;
    return "-DENIED Postern's Redis port runs in protected mode because no password is set. In "
           "this "
           "mode connections are only accepted from the loopback interface and the Unix socket. To "
           "connect from other computers set a password (setting redis.password), which is the "
           "right cure, or, only if the network is trusted, switch protected mode off from this "
           "computer with the command 'CONFIG SET protected-mode no'.\r\n";
}

static void resp_client_join(struct resp_client *c)
{
    struct resp_server *s = c->srv;
    c->next = s->clients;
    if (s->clients != NULL)
        s->clients->prev = c;
    s->clients = c;
    __atomic_store_n(&s->clients_n, s->clients_n + 1, __ATOMIC_RELAXED);
    c->th->conns++;
}

static struct resp_thread *resp_client_thread(struct resp_server *s, const struct reactor *r)
{
    for (size_t i = 0; i < s->threads_n; i++) {
        if (s->threads[i].reactor == r)
            return &s->threads[i];
    }
    return NULL;
}

static void *resp_client_open(struct conn *conn, void *ctx)
{
    struct resp_server *s = resp_ctx_server(ctx);
    struct resp_thread *th = resp_client_thread(s, conn_reactor(conn));
    if (NEVER(th == NULL))
        return NULL;
    struct resp_client *c = mem_zalloc(sizeof *c);
    *c = (struct resp_client){.conn = conn, .th = th, .srv = s, .st = s->st, .proto = 2};
    c->out = conn_out(conn);
    c->id = conn_id(conn);
    c->born_ms = c->last_ms = reactor_now_ms(th->reactor);
    struct slice peer = conn_peer(conn)->is_unix ? S("unix:0") : conn_peer_text(conn);
    (void)snprintf(c->addr, sizeof c->addr, "%.*s", SFMT(peer));
    resp_client_local_addr(c);
    resp_reader_init(&c->reader);
    map_init(&c->watched);
    for (int i = 0; i < SUB_KINDS; i++)
        map_init(&c->subs[i]);
    resp_lock(th);
    if (s->password.n == 0)
        c->flags |= CL_AUTHED;
    const char *refusal = resp_client_refusal(c);
    conn_set_idle(conn, s->opts.timeout_ms);
    resp_client_join(c);
    th->refused += refusal != NULL;
    c->flags |= refusal != NULL ? CL_CLOSING : 0;
    resp_unlock(th);
    if (refusal != NULL) {
        buf_str(conn_out(conn), refusal);
        conn_flush(conn);
        conn_close_soon(conn);
    }
    return c;
}

/* ---- batches ---- */

/* False, and the connection ends, when more output waits than its class may have. Inside the lock.
 */
bool resp_client_limit(struct resp_client *c)
{
    const struct buf *b = conn_out(c->conn);
    size_t max = c->srv->out_max[pubsub_count(c) > 0 ? 2 : c->flags & CL_MONITOR ? 1 : 0];
    if (LIKELY(!buf_over(b) && (max == 0 || b->n - b->at <= max)))
        return true;
    c->flags |= CL_CLOSING;
    conn_abort(c->conn);
    return false;
}

struct resp_client_batch {
    size_t in_bytes, used;
    size_t out_n, out_before; /* of conn_out at the start: end, unsent bytes */
};

/* Inside the lock: what CLIENT LIST of another thread may see. */
static void resp_client_publish(struct resp_client *c, const struct resp_client_batch *b)
{
    const struct buf *out = conn_out(c->conn);
    c->query_bytes = b->in_bytes - b->used;
    c->out_bytes = b->out_before; /* what the peer had not taken when the batch began */
    c->last_ms = store_now_ms(c->st);
    c->th->in_bytes += b->used;
    c->th->out_bytes += MAX(out->n, b->out_n) - b->out_n;
}

/* The end of a batch. */
static void resp_client_settle(struct resp_client *c, const struct resp_client_batch *b)
{
    struct resp_thread *th = c->th;
    if (!th->locked)
        return;
    resp_client_publish(c, b);
    (void)resp_client_limit(c);
    resp_unlock(th);
    if (th->batch_lsn > store_safe_lsn(c->st) && !c->held)
        resp_hold(c, th->batch_lsn);
    if (c->flags & CL_CLOSING)
        conn_close_soon(c->conn);
}

static void resp_client_bad_protocol(struct resp_client *c, const char *text)
{
    resp_lock(c->th);
    resp_errorf(conn_out(c->conn), "ERR %s", text);
    c->flags |= CL_CLOSING;
}

/* A long batch lets others in. */
static void resp_client_breathe(struct resp_client *c, unsigned n, uint64_t *entered)
{
    if (n % RESP_CLIENT_LOOK_EVERY != 0)
        return;
    uint64_t now = resp_ticks();
    if (resp_ticks_us(c->srv, now - *entered) < RESP_CLIENT_INSIDE_US)
        return;
    resp_unlock(c->th);
    resp_lock(c->th);
    *entered = now;
}

/* CONFIG SET proto-max-bulk-len changes it from another thread. */
static struct resp_limits resp_client_limits(struct resp_server *s)
{
    struct resp_limits l = s->opts.limits;
    l.bulk_bytes_max = __atomic_load_n(&s->limits.bulk_bytes_max, __ATOMIC_RELAXED);
    return l;
}

static size_t resp_client_data(struct conn *conn, void *state, struct slice in)
{
    struct resp_client *c = state;
    if (c->flags & CL_CLOSING)
        return in.n;
    if (c->held || (c->flags & CL_PAUSED)) { /* order of replies, and of commands */
        c->held_input = c->held;
        conn_pause(conn);
        return 0;
    }
    const struct buf *out = conn_out(conn);
    struct resp_client_batch b = {in.n, 0, out->n, out->n - out->at};
    struct resp_limits limits = resp_client_limits(c->srv);
    unsigned n = 0;
    uint64_t entered = resp_ticks();
    c->th->batch_lsn = 0;
    while (b.used < in.n && !(c->flags & CL_CLOSING)) {
        size_t took = 0;
        struct err e;
        enum rc rc = resp_read(&c->reader, slice_from(in, b.used), &limits, !(c->flags & CL_AUTHED),
                               &took, &e);
        if (rc == RC_AGAIN)
            break;
        if (UNLIKELY(rc != RC_OK)) {
            resp_client_bad_protocol(c, e.text);
            break;
        }
        if (c->reader.argc > 0) {
            c->argv = c->reader.argv;
            c->argc = c->reader.argc;
            if (resp_exec(c) == RESP_PAUSED) {
                conn_pause(conn);
                break;
            }
            resp_client_breathe(c, ++n, &entered);
        }
        b.used += took;
    }
    if (c->flags & CL_CLOSING)
        b.used = in.n;
    resp_client_settle(c, &b);
    return b.used;
}

static void resp_client_timeout(struct conn *conn, void *state)
{
    (void)conn;
    (void)state; /* idle for too long: closed without a word, as Redis does */
}

/* ---- death ---- */

void resp_client_reset(struct resp_client *c)
{
    for (int kind = 0; kind < SUB_KINDS; kind++)
        pubsub_drop(c, kind);
    txn_discard(c);
    txn_unwatch(c);
    if (c->flags & CL_MONITOR)
        c->srv->monitors_n--;
    c->flags &= ~(uint32_t)(CL_MONITOR | CL_REPLY_OFF | CL_REPLY_SKIP | CL_REPLY_SKIP_NEXT |
                            CL_NO_TOUCH | CL_NO_EVICT | CL_READONLY);
    slice_disown(&c->name);
    c->db = 0;
    c->proto = 2;
}

static void resp_client_close(struct conn *conn, void *state)
{
    (void)conn;
    struct resp_client *c = state;
    struct resp_thread *th = c->th;
    struct resp_server *s = c->srv;
    bool inside = th->locked;
    resp_lock(th);
    resp_client_reset(c);
    *(c->prev != NULL ? &c->prev->next : &s->clients) = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    __atomic_store_n(&s->clients_n, s->clients_n - 1, __ATOMIC_RELAXED);
    if (c->flags & CL_PAUSED) {
        resp_wait_remove(&th->paused, &c->in_paused);
        s->paused_n--;
    }
    if (!inside)
        resp_unlock(th);
    if (c->held)
        resp_wait_remove(&th->held, &c->in_held);
    for (int i = 0; i < SUB_KINDS; i++)
        map_free(&c->subs[i]);
    resp_reader_free(&c->reader);
    slice_disown(&c->lib_name);
    slice_disown(&c->lib_ver);
    mem_free(c);
}

const struct conn_proto *resp_proto(void)
{
    static const struct conn_proto proto = {
        .name = "redis",
        .open = resp_client_open,
        .data = resp_client_data,
        .timeout = resp_client_timeout,
        .close = resp_client_close,
    };
    return &proto;
}

/* ---- as text ---- */

static void resp_client_flags(const struct resp_client *c, char dst[16])
{
    static const struct {
        uint32_t flag;
        char letter;
    } letters[] = {{CL_MONITOR, 'O'},  {CL_MULTI, 'x'},    {CL_PAUSED, 'b'},  {CL_CLOSING, 'c'},
                   {CL_NO_EVICT, 'e'}, {CL_NO_TOUCH, 'T'}, {CL_READONLY, 'r'}};
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        if (c->flags & letters[i].flag)
            dst[n++] = letters[i].letter;
    }
    if (pubsub_count(c) > 0)
        dst[n++] = 'P';
    if (conn_peer(c->conn)->is_unix)
        dst[n++] = 'U';
    for (const struct ks_watch *w = c->watches; w != NULL; w = w->next_of_client) {
        if (w->dirty) {
            dst[n++] = 'd';
            break;
        }
    }
    if (n == 0)
        dst[n++] = 'N';
    dst[n] = 0;
}

void resp_client_line(struct resp_client *c, int64_t now_ms, struct buf *o)
{
    char flags[16];
    resp_client_flags(c, flags);
    const struct resp_row *row = c->row != NULL ? c->row : c->last_row;
    struct slice user = resp_user(c->srv);
    size_t multi_bytes = c->txn != NULL ? c->txn->arena.used_bytes : 0;
    size_t total = sizeof *c + c->query_bytes + c->out_bytes + multi_bytes;
    buf_fmt(o, "id=%llu addr=%s laddr=%s fd=%d name=%.*s age=%lld idle=%lld flags=%s db=%d",
            (unsigned long long)c->id, c->addr, c->laddr, conn_fd(c->conn), SFMT(c->name),
            (long long)(now_ms - c->born_ms) / 1000, (long long)(now_ms - c->last_ms) / 1000, flags,
            c->db);
    buf_fmt(o,
            " sub=%zu psub=%zu ssub=%zu multi=%lld qbuf=%zu qbuf-free=0 argv-mem=%zu multi-mem=%zu",
            c->subs_n[SUB_CHANNEL], c->subs_n[SUB_PATTERN], c->subs_n[SUB_SHARD],
            c->txn != NULL ? (long long)c->txn->n : -1, c->query_bytes, c->argv_bytes, multi_bytes);
    buf_fmt(o, " rbs=0 rbp=0 obl=%zu oll=0 omem=%zu tot-mem=%zu events=r cmd=%s user=%.*s redir=-1",
            c->out_bytes, c->out_bytes, total, row != NULL ? row->name : "NULL", SFMT(user));
    buf_fmt(o, " resp=%d lib-name=%.*s lib-ver=%.*s", c->proto, SFMT(c->lib_name),
            SFMT(c->lib_ver));
}
