/*
 * ft.h - what the tests of the outbound client share: a server that answers as its path says, one
 * thread per connection, and calls from a reactor's thread whose results are copied.
 *
 * Paths: /ok /echo /chunked /end /head /204 /interim /switch /slow /half /halfhead /halfchunk /garbage
 * /big?N /bighead /twice /extra /once (answers one request per connection, then closes when the next
 * comes) /bye (Connection: close) /drip /redirect /badchunk /gzipped
 */
#ifndef TESTS_UNIT_NET_FT_H
#define TESTS_UNIT_NET_FT_H

#include "net/fetch.h"
#include "nt.h"

/* ---- the server ---- */

struct ft_server {
    int fd, port;
    char path[100]; /* of a Unix socket */
    pthread_t thread;
    uint64_t conns, requests, open;
    int stop;
    int hold_ms; /* before each answer */
};
struct ft_peer {
    struct ft_server *s;
    int fd;
    char in[70000];
    size_t n;
};

static void ft_say(int fd, const char *text)
{
    (void)nt_send(fd, text, strlen(text));
}

/* A whole request at the front of p->in; its bytes, 0 at the end of the connection. */
static size_t ft_request(struct ft_peer *p)
{
    for (;;) {
        p->in[p->n] = '\0';
        char *end = strstr(p->in, "\r\n\r\n");
        if (end) {
            char *cl = strstr(p->in, "Content-Length: ");
            size_t body = cl && cl < end ? strtoul(cl + 16, NULL, 10) : 0;
            size_t all = (size_t)(end + 4 - p->in) + body;
            if (p->n >= all)
                return all;
        }
        if (p->n >= sizeof p->in - 1)
            return 0;
        struct pollfd w = {.fd = p->fd, .events = POLLIN};
        while (poll(&w, 1, 50) == 0)
            if (__atomic_load_n(&p->s->stop, __ATOMIC_SEQ_CST))
                return 0;
        ssize_t k = recv(p->fd, p->in + p->n, sizeof p->in - 1 - p->n, 0);
        if (k <= 0)
            return 0;
        p->n += (size_t)k;
    }
}

static void ft_wait(struct ft_peer *p, int ms)
{
    for (int i = 0; i < ms && !__atomic_load_n(&p->s->stop, __ATOMIC_SEQ_CST); i += 10)
        usleep(10000);
}

static void ft_echo(struct ft_peer *p, size_t n)
{
    char head[100];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", n);
    ft_say(p->fd, head);
    (void)nt_send(p->fd, p->in, n);
}

static void ft_big(struct ft_peer *p, size_t n)
{
    static const char block[4096] = {[0 ... 4095] = 'b'};
    char head[100];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", n);
    ft_say(p->fd, head);
    for (size_t k; n > 0; n -= k) {
        k = MIN(n, sizeof block);
        if (!nt_send(p->fd, block, k))
            return;
    }
    ft_say(p->fd, "\r\n0\r\nX-Trailer: t\r\n\r\n");
}

static const struct {
    const char *path, *answer;
    bool close;
} ft_answers[] = {
    {"/ok", "HTTP/1.1 200 OK\r\nX-A: one\r\nx-b:  two  \r\nContent-Length: 2\r\n\r\nok", false},
    {"/chunked", "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", false},
    {"/end", "HTTP/1.1 200 OK\r\n\r\nuntil the end", true},
    {"/head", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", false},
    {"/204", "HTTP/1.1 204 No Content\r\n\r\n", false},
    {"/interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
    {"/switch", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false},
    {"/half", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", true},
    {"/halfhead", "HTTP/1.1 200 OK\r\nContent-Le", true},
    {"/halfchunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", true},
    {"/garbage", "SSH-2.0-OpenSSH_9\r\n", false},
    {"/twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", false},
    {"/both", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
    {"/fold", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", false},
    {"/barelf", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", false},
    {"/badchunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false},
    {"/gzipped", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", false},
    {"/extra", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged", false},
    {"/bye", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", true},
    {"/redirect", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n", false},
    {"/once", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nonce", false},
};

/* False: the connection ends. */
static bool ft_answer(struct ft_peer *p, const char *path, size_t all, int served)
{
    for (size_t i = 0; i < ARRAY_LEN(ft_answers); i++)
        if (strcmp(path, ft_answers[i].path) == 0) {
            if (served > 0 && strcmp(path, "/once") == 0)
                return false;
            ft_say(p->fd, ft_answers[i].answer);
            return !ft_answers[i].close;
        }
    if (strncmp(path, "/echo", 5) == 0) {
        ft_echo(p, all);
    } else if (strncmp(path, "/big?", 5) == 0) {
        ft_big(p, strtoul(path + 5, NULL, 10));
    } else if (strncmp(path, "/wait?", 6) == 0) {
        ft_wait(p, atoi(path + 6));
        ft_say(p->fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    } else if (strcmp(path, "/slow") == 0) {
        ft_wait(p, 20000);
    } else if (strcmp(path, "/drip") == 0) {
        ft_say(p->fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        for (int i = 0; i < 1000 && !__atomic_load_n(&p->s->stop, __ATOMIC_SEQ_CST); i++) {
            if (!nt_send(p->fd, "d", 1))
                return false;
            usleep(20000);
        }
    } else if (strcmp(path, "/bighead") == 0) {
        ft_say(p->fd, "HTTP/1.1 200 OK\r\n");
        for (int i = 0; i < 3000; i++)
            if (!nt_send(p->fd, "X-Long: 0123456789012345678901234567890123456789\r\n", 50))
                return false;
    } else {
        ft_say(p->fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    return true;
}

static void *ft_peer_main(void *arg)
{
    struct ft_peer *p = arg;
    char path[300];
    size_t all;
    int served = 0;
    while ((all = ft_request(p)) > 0) {
        nt_add(&p->s->requests);
        path[0] = '\0';
        (void)sscanf(p->in, "%*s %299s", path);
        ft_wait(p, p->s->hold_ms);
        if (!ft_answer(p, path, all, served++))
            break;
        memmove(p->in, p->in + all, p->n - all);
        p->n -= all;
    }
    close(p->fd);
    (void)__atomic_sub_fetch(&p->s->open, 1, __ATOMIC_SEQ_CST);
    mem_free(p);
    return NULL;
}

static void *ft_server_main(void *arg)
{
    struct ft_server *s = arg;
    while (!__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
        struct pollfd w = {.fd = s->fd, .events = POLLIN};
        if (poll(&w, 1, 20) != 1)
            continue;
        struct ft_peer *p = mem_zalloc(sizeof *p);
        p->s = s;
        p->fd = accept(s->fd, NULL, NULL);
        if (p->fd < 0) {
            mem_free(p);
            continue;
        }
        nt_add(&s->conns);
        nt_add(&s->open);
        pthread_t t = thread_start("peer", ft_peer_main, p);
        pthread_detach(t);
    }
    while (__atomic_load_n(&s->open, __ATOMIC_SEQ_CST) > 0)
        usleep(5000);
    return NULL;
}

static void ft_serve(struct ft_server *s, const char *unix_path)
{
    memset(s, 0, sizeof *s);
    if (unix_path) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        snprintf(un.sun_path, sizeof un.sun_path, "%s", unix_path);
        snprintf(s->path, sizeof s->path, "%s", unix_path);
        unlink(unix_path);
        s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(bind(s->fd, (struct sockaddr *)&un, sizeof un) == 0);
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof in;
        s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        MUST(bind(s->fd, (struct sockaddr *)&in, sizeof in) == 0);
        MUST(getsockname(s->fd, (struct sockaddr *)&in, &n) == 0);
        s->port = ntohs(in.sin_port);
    }
    MUST(listen(s->fd, 128) == 0);
    s->thread = thread_start("server", ft_server_main, s);
}

static void ft_end(struct ft_server *s)
{
    __atomic_store_n(&s->stop, 1, __ATOMIC_SEQ_CST);
    thread_join(s->thread);
    close(s->fd);
    if (s->path[0])
        unlink(s->path);
}

/* ---- the client ---- */

struct ft_client {
    struct reactor *r;
    struct pool *pool;
    struct fetcher *f;
    pthread_t thread;
};

struct ft_call {
    struct net_task task;
    struct ft_client *k;
    const char *url, *method, *body;
    struct http_header headers[8];
    size_t headers_n;
    int64_t timeout_ms;
    size_t reply_bytes_max;
    const struct fetch_tls *tls;
    bool once, cancel;
    struct fetch *x;
    /* what came */
    uint64_t dones;
    enum rc rc;
    char why[120], body_got[4000], a[60];
    int status;
    size_t body_n, headers_got;
};

static void ft_done(void *user, const struct fetch_reply *r)
{
    struct ft_call *q = user;
    q->rc = r->rc;
    q->status = r->status;
    q->body_n = r->body.n;
    q->headers_got = r->headers_n;
    snprintf(q->why, sizeof q->why, "%s", r->why);
    snprintf(q->body_got, sizeof q->body_got, "%.*s", (int)MIN(r->body.n, (size_t)3999), r->body.p);
    snprintf(q->a, sizeof q->a, "%.*s", SFMT(fetch_header(r, S("x-a"))));
    nt_add(&q->dones);
}

static void ft_run(struct net_task *t, struct reactor *r)
{
    struct ft_call *q = CONTAINER_OF(t, struct ft_call, task);
    struct arena a;
    struct err e = {0};
    (void)r;
    arena_init(&a, 1024, 0);
    struct fetch_req f = {.method = slice_str(q->method), .headers = q->headers, .headers_n = q->headers_n,
                          .body = slice_str(q->body), .timeout_ms = q->timeout_ms ? q->timeout_ms : 20000,
                          .reply_bytes_max = q->reply_bytes_max, .tls = q->tls, .once = q->once};
    if (fetch_url_parse(&a, slice_str(q->url), &f.url, &e) != RC_OK) {
        printf("# %s: %s\n", q->url, e.text);
        abort();
    }
    uint64_t before = nt_get(&q->dones);
    q->x = fetch_start(q->k->f, &f, ft_done, q);
    T(q->x != NULL && nt_get(&q->dones) == before); /* never inside */
    if (q->cancel) {
        fetch_cancel(q->x);
        nt_add(&q->dones);
    }
    arena_free(&a);
}

static void ft_post(struct ft_client *k, struct ft_call *q)
{
    q->k = k;
    q->task.run = ft_run;
    reactor_post(k->r, &q->task);
}

#define FT_UNTIL(cond)                                                                             \
    do {                                                                                           \
        for (int64_t end_ = nt_ms() + 40000; !(cond) && nt_ms() < end_;)                           \
            usleep(1000);                                                                          \
        T(cond);                                                                                   \
    } while (0)

static void ft_call(struct ft_client *k, struct ft_call *q)
{
    uint64_t before = nt_get(&q->dones);
    ft_post(k, q);
    FT_UNTIL(nt_get(&q->dones) == before + 1);
}

struct ft_look {
    struct net_task task;
    struct ft_client *k;
    struct fetch_counts n;
    uint64_t done;
};

static void ft_look_run(struct net_task *t, struct reactor *r)
{
    struct ft_look *l = CONTAINER_OF(t, struct ft_look, task);
    (void)r;
    fetch_count(l->k->f, &l->n);
    nt_add(&l->done);
}

static struct fetch_counts ft_counts(struct ft_client *k)
{
    struct ft_look l = {.task = {.run = ft_look_run}, .k = k};
    reactor_post(k->r, &l.task);
    while (!nt_get(&l.done))
        usleep(500);
    return l.n;
}

static void *ft_reactor(void *arg)
{
    reactor_run(arg);
    return NULL;
}

static void ft_open(struct ft_client *k, struct fetcher_opts o)
{
    struct err e = {0};
    MUST(reactor_open(0, &k->r, &e) == RC_OK);
    k->pool = o.pool;
    o.reactor = k->r;
    k->f = fetcher_open(&o);
    k->thread = thread_start("client", ft_reactor, k->r);
}

static void ft_close(struct ft_client *k)
{
    reactor_stop(k->r);
    thread_join(k->thread);
    pool_close(k->pool);
    fetcher_close(k->f);
    reactor_close(k->r);
}

#endif
