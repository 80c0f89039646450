/*
 * nt.h - what the tests of net/ share: time, reactors in threads, a door that does what it is
 * told ("rig"), and a blocking client with time limits.
 *
 * The rig's door takes lines: "echo X", "big N", "flood" (64 KiB), "need N" + N bytes, "close",
 * "abort", "hold MS", "park MS", "deadline MS", "idle MS", "peer", "cert", "id". Everything that
 * happens is counted.
 */
#ifndef TESTS_UNIT_NET_NT_H
#define TESTS_UNIT_NET_NT_H

#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/reactor.h"
#include "net/tls.h"
#include "t.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- time ---- */

static inline int64_t nt_ms(void)
{
    return clock_mono_ms();
}
static inline uint64_t nt_get(uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
static inline void nt_add(uint64_t *p)
{
    (void)__atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST);
}
/* How long a test waits for what must happen: only a test that fails takes that long. No test says
 * that something happens soon; many say that it does not happen too early. */
enum { NT_WAIT_MS = 60000 };
#define NT_UNTIL(cond)                                                                             \
    do {                                                                                           \
        bool held_ = (cond);                                                                       \
        for (int64_t end_ = nt_ms() + NT_WAIT_MS; !held_ && nt_ms() < end_; held_ = (cond))        \
            usleep(1000);                                                                          \
        if (!held_)                                                                                \
            t_fail(__FILE__, __LINE__, "waited in vain for %s", #cond);                            \
    } while (0)
/* True once a counter grew by less than `fewer` within ms: what spins never comes to that. */
static inline UNUSED bool nt_quiet(uint64_t *counter, int ms, uint64_t fewer)
{
    for (int64_t end = nt_ms() + NT_WAIT_MS; nt_ms() < end;) {
        uint64_t before = nt_get(counter);
        usleep((unsigned)ms * 1000);
        if (nt_get(counter) - before < fewer)
            return true;
    }
    return false;
}

/* ---- the rig ---- */

struct rig {
    struct reactor *r[4];
    pthread_t thread[4];
    size_t n;
    struct listener *l;
    int port;
    uint64_t opened, closed, eofs, timeouts, drained, datas, turns;
    struct conn_ref last_ref; /* with one reactor only */
    bool refuse;
    bool stopped;
};

struct rig_conn {
    struct rig *rig;
    struct conn_ref ref;
    struct net_timer timer;
    int what; /* of the timer: 'h' release, 'p' resume */
    size_t big_left;
};

static void rig_fire(struct net_timer *t, struct reactor *r)
{
    struct rig_conn *x = CONTAINER_OF(t, struct rig_conn, timer);
    struct conn *c = conn_ref_get(x->ref);
    (void)r;
    if (c == NULL)
        return;
    if (x->what == 'h') {
        conn_release(c);
    } else {
        buf_lit(conn_out(c), "woke\n");
        conn_resume(c);
    }
}

static void *rig_open(struct conn *c, void *ctx)
{
    struct rig *rig = ctx;
    if (rig->refuse)
        return NULL;
    struct rig_conn *x = mem_zalloc(sizeof *x);
    x->rig = rig;
    x->ref = conn_ref(c);
    x->timer.fire = rig_fire;
    if (rig->n == 1)
        rig->last_ref = x->ref;
    nt_add(&rig->opened);
    return x;
}

static void rig_big(struct conn *c, struct rig_conn *x)
{
    static const char block[4096] = {[0 ... 4095] = 'x'};
    while (x->big_left > 0 && !conn_out_full(c)) {
        size_t n = MIN(x->big_left, sizeof block);
        buf_put(conn_out(c), block, n);
        x->big_left -= n;
    }
    if (x->big_left > 0)
        conn_pause(c);
    else
        conn_resume(c);
}

/* One line; false when its argument is not complete yet. */
static bool rig_line(struct conn *c, struct rig_conn *x, struct slice line, struct slice rest,
                     size_t *more)
{
    struct slice arg, word = slice_cut(line, ' ', &arg);
    uint64_t n = 0;
    (void)slice_u64(arg, &n);
    *more = 0;
    if (slice_eq(word, S("echo"))) {
        buf_slice(conn_out(c), arg);
        buf_lit(conn_out(c), "\n");
    } else if (slice_eq(word, S("big"))) {
        x->big_left = n;
        rig_big(c, x);
    } else if (slice_eq(word, S("flood"))) {
        static const char block[65535] = {[0 ... 65534] = 'f'};
        if (conn_out_full(c))
            return false; /* left as it is: to be offered again, without a pause */
        buf_put(conn_out(c), block, sizeof block);
        buf_lit(conn_out(c), "\n");
    } else if (slice_eq(word, S("need"))) {
        if (rest.n < n)
            return false;
        unsigned sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += (unsigned char)rest.p[i];
        buf_fmt(conn_out(c), "got %llu %u\n", (unsigned long long)n, sum);
        *more = n;
    } else if (slice_eq(word, S("close"))) {
        buf_lit(conn_out(c), "bye\n");
        conn_close_soon(c);
    } else if (slice_eq(word, S("abort"))) {
        conn_abort(c);
    } else if (slice_eq(word, S("hold"))) {
        buf_lit(conn_out(c), "held\n");
        conn_hold(c);
        x->what = 'h';
        timer_arm(conn_reactor(c), &x->timer, (int64_t)n);
    } else if (slice_eq(word, S("park"))) {
        conn_pause(c);
        x->what = 'p';
        timer_arm(conn_reactor(c), &x->timer, (int64_t)n);
    } else if (slice_eq(word, S("deadline"))) {
        conn_deadline(c, (int64_t)n);
    } else if (slice_eq(word, S("idle"))) {
        conn_set_idle(c, (int64_t)n);
    } else if (slice_eq(word, S("peer"))) {
        buf_slice(conn_out(c), conn_peer_text(c));
        buf_lit(conn_out(c), "\n");
    } else if (slice_eq(word, S("cert"))) {
        buf_fmt(conn_out(c), "cert=%.*s tls=%d\n", SFMT(conn_peer(c)->cert_name),
                conn_peer(c)->is_tls);
    } else if (slice_eq(word, S("id"))) {
        buf_fmt(conn_out(c), "%llu %d\n", (unsigned long long)conn_id(c),
                reactor_index(conn_reactor(c)));
    } else {
        buf_lit(conn_out(c), "what?\n");
    }
    return true;
}

static size_t rig_data(struct conn *c, void *state, struct slice in)
{
    struct rig_conn *x = state;
    size_t used = 0, more;
    nt_add(&x->rig->datas);
    for (;;) {
        struct slice rest, all = slice_from(in, used);
        size_t end = slice_index(all, '\n');
        if (end == SIZE_MAX)
            return used;
        rest = slice_from(all, end + 1);
        if (!rig_line(c, x, slice_of(all.p, end), rest, &more))
            return used;
        used += end + 1 + more;
        if (x->what == 'p' && x->timer.at != 0)
            return used; /* parked */
        if (x->big_left > 0)
            return used;
    }
}

static void rig_eof(struct conn *c, void *state)
{
    struct rig_conn *x = state;
    nt_add(&x->rig->eofs);
    buf_lit(conn_out(c), "eof\n");
    conn_close_soon(c);
}

static void rig_drained(struct conn *c, void *state)
{
    struct rig_conn *x = state;
    nt_add(&x->rig->drained);
    rig_big(c, x);
}

static void rig_timeout(struct conn *c, void *state)
{
    struct rig_conn *x = state;
    nt_add(&x->rig->timeouts);
    buf_lit(conn_out(c), "timeout\n");
}

static void rig_close(struct conn *c, void *state)
{
    struct rig_conn *x = state;
    timer_cancel(conn_reactor(c), &x->timer);
    nt_add(&x->rig->closed);
    mem_free(x);
}

static const struct conn_proto rig_proto = {.name = "rig",
                                            .open = rig_open,
                                            .data = rig_data,
                                            .eof = rig_eof,
                                            .drained = rig_drained,
                                            .timeout = rig_timeout,
                                            .close = rig_close};

static void *rig_thread(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static void rig_on_turn(void *ctx, struct reactor *r)
{
    (void)r;
    nt_add(&((struct rig *)ctx)->turns);
}

static struct listener_opts rig_opts(void)
{
    struct listener_opts o = {.proto = &rig_proto};
    struct err e;
    if (net_addr_parse(S("127.0.0.1:0"), &o.addr, &e) != RC_OK)
        abort();
    return o;
}

static void rig_start(struct rig *g, size_t n, struct listener_opts o)
{
    struct err e = {0};
    memset(g, 0, sizeof *g);
    g->n = n;
    o.ctx = g;
    for (size_t i = 0; i < n; i++) {
        MUST(reactor_open((int)i, &g->r[i], &e) == RC_OK);
        reactor_on_turn(g->r[i], rig_on_turn, g);
    }
    if (listener_open(g->r, n, &o, &g->l, &e) != RC_OK) {
        printf("# %s\n", e.text);
        abort();
    }
    g->port = listener_port(g->l);
    for (size_t i = 0; i < n; i++)
        g->thread[i] = thread_start("rig", rig_thread, g->r[i]);
}

static void rig_join(struct rig *g)
{
    for (size_t i = 0; i < g->n; i++)
        reactor_stop(g->r[i]);
    for (size_t i = 0; i < g->n; i++)
        thread_join(g->thread[i]);
    g->stopped = true;
}

static void rig_stop(struct rig *g)
{
    if (!g->stopped)
        rig_join(g);
    T(listener_conns(g->l) == 0);
    T(g->opened == g->closed);
    listener_close(g->l);
    for (size_t i = 0; i < g->n; i++)
        reactor_close(g->r[i]);
}

/* ---- the client ---- */

static int nt_socket(const char *unix_path, int port)
{
    int fd;
    if (unix_path) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        snprintf(un.sun_path, sizeof un.sun_path, "%s", unix_path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) < 0) {
            close(fd);
            return -1;
        }
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)port),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&in, sizeof in) < 0) {
            close(fd);
            return -1;
        }
    }
    struct timeval limit = {.tv_sec = NT_WAIT_MS / 1000};
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    return fd;
}

static int nt_dial(const struct rig *g)
{
    return nt_socket(NULL, g->port);
}

static bool nt_send(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool nt_say(int fd, const char *text)
{
    return nt_send(fd, text, strlen(text));
}

/* Reads exactly as many bytes as text has; true when they are the same. */
static bool nt_hear(int fd, const char *text)
{
    char got[512] = "";
    size_t n = strlen(text), at = 0;
    while (at < n) {
        ssize_t k = recv(fd, got + at, n - at, 0);
        if (k <= 0)
            break;
        at += (size_t)k;
    }
    if (at == n && memcmp(got, text, n) == 0)
        return true;
    printf("# heard %zu bytes: %.*s (errno %d)\n", at, (int)at, got, errno);
    return false;
}

/* Bytes until the end of the stream, or -1 when it is reset or silent for long. */
static long nt_drain(int fd)
{
    char bin[65536];
    long n = 0;
    for (;;) {
        ssize_t k = recv(fd, bin, sizeof bin, 0);
        if (k == 0)
            return n;
        if (k < 0)
            return -1;
        n += k;
    }
}

/* True when the peer has closed or reset within ms. */
static inline UNUSED bool nt_gone(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char c;
    return poll(&p, 1, ms) == 1 && recv(fd, &c, 1, MSG_DONTWAIT) <= 0;
}

#endif
