/*
 * listener.c - sockets that accept: bind, share among reactors, accept in batches, refuse politely.
 *
 * Called by main; reactor.c calls listener_ready for a listening socket that epoll reports. A TCP
 * port has one socket per reactor (SO_REUSEPORT, the kernel spreads connections); a Unix socket is
 * accepted by the first reactor, which hands connections round. Since SO_REUSEPORT would let a
 * second server of the same user share the port in silence, a plain bind is tried first. Out of
 * descriptors: the spare one is given up to accept and close what waits, so that a level-triggered
 * socket cannot spin; the log says so once a second. If even that fails, accepting pauses for 100
 * ms. Owns: the sockets, the file of a Unix socket. Threads: listener_open and listener_close
 * before and after the reactors run; listener_stop and the counters any; the rest in the end's
 * reactor. Tested by tests/unit/net/test_conn.c, tests/box/test_net_conn.py.
 */
#include "net/inside.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LISTENER_BATCH = 64,
    LISTENER_RETRY_MS = 100,
    LISTENER_CONNS_MAX = 10 * 1000,
    LISTENER_BACKLOG = 4096,
    LISTENER_IN_BYTES_MAX = 1024 * 1024,
    LISTENER_OUT_BYTES_MAX = 64 * 1024 * 1024
};

struct listener {
    struct listener_opts o;
    struct listener_end *ends; /* one per reactor */
    size_t ends_n;
    size_t turn; /* of the reactors, for a Unix socket */
    int port;
    dev_t file_dev; /* of a Unix socket, so that nobody else's file is removed */
    ino_t file_ino;
    uint64_t conns, refused; /* atomic, as stopped */
    int stopped;
};

/* A connection of a Unix socket on its way to another reactor. */
struct listener_gift {
    struct net_task task;
    struct listener_end *end;
    int fd;
};

/* ---- accepting ---- */

static void listener_refuse(struct listener *l)
{
    (void)__atomic_add_fetch(&l->refused, 1, __ATOMIC_RELAXED);
}

void listener_left(struct listener *l)
{
    (void)__atomic_sub_fetch(&l->conns, 1, __ATOMIC_RELAXED);
}

static void listener_run_gift(struct net_task *t, struct reactor *r)
{
    struct listener_gift *g = CONTAINER_OF(t, struct listener_gift, task);
    const struct sockaddr_un from = {.sun_family = AF_UNIX};
    (void)r;
    conn_adopt(g->end, g->fd, (const struct sockaddr *)(const void *)&from);
    mem_free(g);
}

static void listener_hand_round(struct listener *l, struct listener_end *end, int fd,
                                const struct sockaddr *from)
{
    struct listener_end *to = l->o.addr.kind == ADDR_UNIX ? &l->ends[l->turn++ % l->ends_n] : end;
    if (to == end) {
        conn_adopt(end, fd, from);
        return;
    }
    struct listener_gift *g = mem_zalloc(sizeof *g);
    g->task.run = listener_run_gift;
    g->end = to;
    g->fd = fd;
    reactor_post(to->r, &g->task);
}

static void listener_complain(struct listener_end *end, const char *why)
{
    char text[128];
    if (end->r->mono_ms < end->r->log_next_ms)
        return;
    end->r->log_next_ms = end->r->mono_ms + 1000;
    net_addr_format(&end->listener->o.addr, text);
    log_event(LOG_WARN, "net.accept_failed", "listener=%s refused=%llu why=%s", text,
              (unsigned long long)listener_refused(end->listener), log_quote(slice_str(why)));
}

static void listener_watch(struct listener_end *end, bool on)
{
    struct epoll_event ev = {.events = on ? EPOLLIN : 0u, .data.ptr = &end->source};
    if (end->fd >= 0)
        (void)epoll_ctl(end->r->epoll_fd, EPOLL_CTL_MOD, end->fd, &ev);
}

static void listener_retry(struct net_timer *t, struct reactor *r)
{
    (void)r;
    listener_watch(CONTAINER_OF(t, struct listener_end, retry), true);
}

/* Accept and close with the descriptor that was kept for this. */
static void listener_shed(struct listener_end *end)
{
    struct reactor *r = end->r;
    int fd = -1;
    if (r->spare_fd >= 0) {
        close(r->spare_fd);
        fd = accept4(end->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        r->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    } else {
        r->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (fd >= 0) {
        listener_refuse(end->listener);
        return;
    }
    listener_watch(end, false);
    timer_arm(r, &end->retry, LISTENER_RETRY_MS);
}

/* True when accepting may go on. */
static bool listener_failed(struct listener_end *end, int error)
{
    switch (error) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        listener_complain(end, "out of file descriptors or memory: raise the limit of open files "
                               "(ulimit -n, LimitNOFILE=)");
        listener_shed(end);
        return false;
    default: /* that one connection failed before we got it (accept(2)) */
        return true;
    }
}

void listener_ready(struct listener_end *end)
{
    struct listener *l = end->listener;
    for (int i = 0; i < LISTENER_BATCH && end->fd >= 0; i++) {
        struct sockaddr_storage from = {0};
        socklen_t n = sizeof from;
        int fd = accept4(end->fd, (struct sockaddr *)&from, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (!listener_failed(end, errno))
                return;
            continue;
        }
        uint64_t conns = __atomic_add_fetch(&l->conns, 1, __ATOMIC_RELAXED);
        if (conns > l->o.conn_max && !conn_evict_silent(end)) {
            listener_left(l);
            listener_refuse(l);
            listener_complain(end, "too many connections");
            close(fd);
            continue;
        }
        listener_hand_round(l, end, fd, (struct sockaddr *)&from);
    }
}

/* ---- binding ---- */

static socklen_t listener_sockaddr(const struct listener *l, bool v6_any_as_v4,
                                   struct sockaddr_storage *ss)
{
    struct net_addr a = l->o.addr;
    if (a.v6_any && v6_any_as_v4)
        memcpy(a.ip.b, (const uint8_t[16]){[10] = 0xff, [11] = 0xff}, 16);
    a.port = l->port;
    return net_addr_sockaddr(&a, ss);
}

static void listener_set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof value);
}

static int listener_socket(const struct listener *l, bool v6_any_as_v4, bool share)
{
    struct sockaddr_storage ss;
    socklen_t n = listener_sockaddr(l, v6_any_as_v4, &ss);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    listener_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (share)
        listener_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (ss.ss_family == AF_INET6)
        listener_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !l->o.addr.v6_any);
    /* Accepted sockets inherit these. */
    listener_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    listener_set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    listener_set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 300);
    if (bind(fd, (struct sockaddr *)&ss, n) == 0 && listen(fd, l->o.backlog) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int listener_socket_any(const struct listener *l, bool share)
{
    int fd = listener_socket(l, false, share);
    bool no_v6 = fd < 0 && l->o.addr.v6_any && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
    return no_v6 ? listener_socket(l, true, share) : fd;
}

static enum rc listener_bind_failed(const struct listener *l, struct err *e)
{
    char text[128];
    int error = errno;
    net_addr_format(&l->o.addr, text);
    if (error == EADDRINUSE)
        return err_set(e, RC_CONFLICT,
                       "%s is in use by another process: stop it or choose another address", text);
    errno = error;
    return err_os(e, "cannot listen on %s", text);
}

static int listener_bound_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } ss = {.v6 = {0}};
    socklen_t n = sizeof ss;
    if (getsockname(fd, &ss.any, &n) < 0)
        return 0;
    return ntohs(ss.any.sa_family == AF_INET ? ss.v4.sin_port : ss.v6.sin6_port);
}

static enum rc listener_bind_tcp(struct listener *l, struct err *e)
{
    bool share = l->ends_n > 1;
    if (share && l->port != 0) {
        int fd = listener_socket_any(l, false);
        if (fd < 0)
            return listener_bind_failed(l, e);
        close(fd);
    }
    for (size_t i = 0; i < l->ends_n; i++) {
        int fd = listener_socket_any(l, share);
        if (fd < 0)
            return listener_bind_failed(l, e);
        l->ends[i].fd = fd;
        l->port = listener_bound_port(fd);
    }
    return RC_OK;
}

/* A socket file that nobody listens on is left over from a process that died. */
static enum rc listener_clear_path(const char *path, struct err *e)
{
    struct stat st;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    if (lstat(path, &st) < 0)
        return RC_OK;
    if (!S_ISSOCK(st.st_mode))
        return err_set(e, RC_CONFLICT,
                       "unix:%s exists and is not a socket: remove it or choose "
                       "another path",
                       path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_os(e, "cannot open a socket");
    memcpy(un.sun_path, path, strlen(path));
    bool dead = connect(fd, (struct sockaddr *)&un, sizeof un) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!dead)
        return err_set(e, RC_CONFLICT,
                       "unix:%s is in use by another process: stop it or choose another path",
                       path);
    if (unlink(path) < 0)
        return err_os(e, "cannot remove the old socket %s", path);
    return RC_OK;
}

static enum rc listener_bind_unix(struct listener *l, struct err *e)
{
    struct sockaddr_storage ss;
    struct stat st;
    const char *path = l->o.addr.path;
    enum rc rc = listener_clear_path(path, e);
    if (rc != RC_OK)
        return rc;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_os(e, "cannot open a socket");
    l->ends[0].fd = fd;
    socklen_t n = net_addr_sockaddr(&l->o.addr, &ss);
    /* The file is born with the mode of the descriptor, so nobody slips in before chmod. */
    if (fchmod(fd, l->o.unix_mode) < 0 || bind(fd, (struct sockaddr *)&ss, n) < 0 ||
        chmod(path, l->o.unix_mode) < 0 || lstat(path, &st) < 0 || listen(fd, l->o.backlog) < 0)
        return listener_bind_failed(l, e);
    l->file_dev = st.st_dev;
    l->file_ino = st.st_ino;
    return RC_OK;
}

/* ---- life ---- */

static void listener_close_end(struct listener_end *end)
{
    if (end->r == NULL)
        return;
    timer_cancel(end->r, &end->retry);
    if (end->fd >= 0)
        close(end->fd);
    end->fd = -1;
}

static void listener_stop_end(struct listener_end *end)
{
    if (end->fd >= 0)
        listener_ready(end); /* those who are in the queue already were promised an answer */
    listener_close_end(end);
}

static void listener_run_stop(struct net_task *t, struct reactor *r)
{
    (void)r;
    listener_stop_end(CONTAINER_OF(t, struct listener_end, stop_task));
}

void listener_stop_ends(struct reactor *r)
{
    for (struct listener_end *end = r->ends; end; end = end->next)
        listener_close_end(end);
}

/* The reactor goes before its listeners. */
void listener_forget_ends(struct reactor *r)
{
    listener_stop_ends(r);
    for (struct listener_end *end = r->ends; end; end = end->next)
        end->r = NULL;
    r->ends = NULL;
}

void listener_stop(struct listener *l)
{
    if (__atomic_exchange_n(&l->stopped, 1, __ATOMIC_SEQ_CST))
        return;
    for (size_t i = 0; i < l->ends_n; i++)
        reactor_post(l->ends[i].r, &l->ends[i].stop_task);
}

static void listener_join(struct listener *l, struct reactor **reactors)
{
    for (size_t i = 0; i < l->ends_n; i++) {
        struct listener_end *end = &l->ends[i];
        end->source = NET_SOURCE_LISTENER;
        end->fd = -1;
        end->r = reactors[i];
        end->listener = l;
        end->stop_task.run = listener_run_stop;
        end->retry.fire = listener_retry;
        end->next = reactors[i]->ends;
        reactors[i]->ends = end;
    }
}

static void listener_leave(struct listener_end *end)
{
    if (end->r == NULL)
        return;
    struct listener_end **at = &end->r->ends;
    while (*at != end)
        at = &(*at)->next;
    *at = end->next;
}

static void listener_defaults(struct listener_opts *o)
{
    if (o->conn_max == 0)
        o->conn_max = LISTENER_CONNS_MAX;
    if (o->in_bytes_max == 0)
        o->in_bytes_max = LISTENER_IN_BYTES_MAX;
    if (o->out_bytes_max == 0)
        o->out_bytes_max = LISTENER_OUT_BYTES_MAX;
    if (o->backlog <= 0)
        o->backlog = LISTENER_BACKLOG;
    if (o->unix_mode == 0)
        o->unix_mode = 0600;
    if (o->handshake_ms <= 0)
        o->handshake_ms = NET_HANDSHAKE_MS;
}

static void listener_remove_file(const struct listener *l)
{
    struct stat st;
    if (l->file_ino != 0 && lstat(l->o.addr.path, &st) == 0 && st.st_dev == l->file_dev &&
        st.st_ino == l->file_ino)
        (void)unlink(l->o.addr.path);
}

static void listener_free(struct listener *l)
{
    for (size_t i = 0; i < l->ends_n; i++) {
        listener_close_end(&l->ends[i]);
        listener_leave(&l->ends[i]);
    }
    listener_remove_file(l);
    mem_free(l->ends);
    mem_free(l);
}

static enum rc listener_start(struct listener *l, struct err *e)
{
    enum rc rc = l->o.addr.kind == ADDR_UNIX ? listener_bind_unix(l, e) : listener_bind_tcp(l, e);
    for (size_t i = 0; rc == RC_OK && i < l->ends_n; i++) {
        struct listener_end *end = &l->ends[i];
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &end->source};
        if (end->fd >= 0 && epoll_ctl(end->r->epoll_fd, EPOLL_CTL_ADD, end->fd, &ev) < 0)
            rc = err_os(e, "cannot watch a listening socket");
    }
    return rc;
}

enum rc listener_open(struct reactor **reactors, size_t n, const struct listener_opts *o,
                      struct listener **out, struct err *e)
{
    *out = NULL;
    if (o->addr.kind == ADDR_OFF)
        return err_set(e, RC_BADINPUT, "a listener that is off cannot be opened");
    struct listener *l = mem_zalloc(sizeof *l);
    l->o = *o;
    listener_defaults(&l->o);
    l->port = o->addr.port;
    l->ends_n = n;
    l->ends = mem_zalloc(n * sizeof *l->ends);
    listener_join(l, reactors);
    enum rc rc = listener_start(l, e);
    if (rc != RC_OK) {
        listener_free(l);
        return rc;
    }
    *out = l;
    return RC_OK;
}

void listener_close(struct listener *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->ends_n; i++) /* tasks under way point to the ends */
        if (l->ends[i].r)
            reactor_settle(l->ends[i].r);
    listener_free(l);
}

const struct listener_opts *listener_options(const struct listener *l)
{
    return &l->o;
}

int listener_port(const struct listener *l)
{
    return l->port;
}

uint64_t listener_conns(const struct listener *l)
{
    return __atomic_load_n(&l->conns, __ATOMIC_RELAXED);
}

uint64_t listener_refused(const struct listener *l)
{
    return __atomic_load_n(&l->refused, __ATOMIC_RELAXED);
}
