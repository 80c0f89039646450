/*
 * civet.c - civetweb behind the front: a few worker threads that run REST operations and may block.
 *
 * The only file that includes civetweb. It listens on a Unix socket in a private directory and believes
 * a request only when it carries this process's random token, so nobody but the front reaches it. Each
 * worker owns an arena and a policy context (to look at limits) for its life.
 * Tested through the front by tests/box/test_portal_api.py.
 */
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rand.h"
#include "portal/inner.h"
#include <civetweb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CIVET_ARENA_MAX ((size_t)64 * 1024 * 1024)
#define CIVET_ANSWER_MAX ((size_t)32 * 1024 * 1024)

struct civet_worker {
    struct arena arena;
    struct policy_ctx *policy;
};

static void *civet_thread_init(const struct mg_context *ctx, int type)
{
    struct portal *p = mg_get_user_data(ctx);
    if (type != 1) /* 1: worker */
        return NULL;
    struct civet_worker *w = mem_zalloc(sizeof *w);
    /* a JSON body as a tree takes up to 48 times its bytes */
    arena_init(&w->arena, 65536, CIVET_ARENA_MAX + 48 * p->opts.body_bytes_max);
    struct policy_ctx_opts o = {.box = p->opts.box, .store = p->opts.store, .scheme = p->opts.scheme};
    w->policy = policy_ctx_open(&o);
    return w;
}

static void civet_thread_exit(const struct mg_context *ctx, int type, void *thread)
{
    (void)ctx;
    (void)type;
    struct civet_worker *w = thread;
    if (!w)
        return;
    policy_ctx_close(w->policy);
    arena_free(&w->arena);
    mem_free(w);
}

static int civet_log(const struct mg_connection *conn, const char *message)
{
    (void)conn;
    log_event(LOG_WARN, "portal.civetweb", "text=%s", log_quote(slice_str(message)));
    return 1;
}

static struct slice civet_header(const struct mg_connection *conn, const char *name)
{
    return slice_str(mg_get_header(conn, name));
}

static bool civet_read_body(struct call *c, long long length)
{
    if (length <= 0)
        return true;
    if ((size_t)length > c->portal->opts.body_bytes_max)
        return false;
    char *p = arena_try(c->arena, (size_t)length + 1);
    size_t n = 0;
    while (p && n < (size_t)length) {
        int got = mg_read(c->conn, p + n, (size_t)length - n);
        if (got <= 0)
            return false;
        n += (size_t)got;
    }
    c->body = slice_of(p, n);
    return p != NULL;
}

static void civet_write(struct call *c)
{
    struct buf head;
    buf_init(&head, (size_t)1024 * 1024);
    struct slice body = buf_over(&c->out) ? S("") : buf_all(&c->out);
    if (buf_over(&c->out))
        c->status = 500;
    buf_fmt(&head, "HTTP/1.1 %d %s\r\nCache-Control: no-store\r\n", c->status, http_reason(c->status));
    if (c->status != 204)
        buf_fmt(&head, "Content-Length: %zu\r\n", body.n);
    if (body.n)
        buf_fmt(&head, "Content-Type: %s\r\n", c->type);
    buf_slice(&head, buf_all(&c->headers));
    buf_lit(&head, "\r\n");
    (void)mg_write(c->conn, head.p, head.n);
    if (body.n)
        (void)mg_write(c->conn, body.p, body.n);
    buf_free(&head);
}

/* The front's words about the request, in headers that it strips from what browsers send. */
static bool civet_fill(struct call *c, const struct mg_request_info *ri)
{
    struct slice token = civet_header(c->conn, "X-Inner-Token");
    if (!slice_eq_secret(token, slice_str(c->portal->token)))
        return false;
    c->method = slice_str(ri->request_method);
    c->path = slice_str(ri->request_uri);
    c->query = slice_str(ri->query_string);
    c->peer = civet_header(c->conn, "X-Inner-Peer");
    c->cookie = civet_header(c->conn, "Cookie");
    c->origin = civet_header(c->conn, "Origin");
    c->host = civet_header(c->conn, "Host");
    c->fetch_site = civet_header(c->conn, "Sec-Fetch-Site");
    c->content_type = civet_header(c->conn, "Content-Type");
    c->custom = civet_header(c->conn, "X-Postern");
    return true;
}

static int civet_request(struct mg_connection *conn, void *cbdata)
{
    struct civet_worker *w = mg_get_thread_pointer(conn);
    struct call c = {.portal = cbdata, .arena = &w->arena, .policy = w->policy, .conn = conn,
                     .now_ms = clock_wall_ms(), .status = 200, .type = "application/json"};
    const struct mg_request_info *ri = mg_get_request_info(conn);
    buf_init(&c.out, CIVET_ANSWER_MAX);
    buf_init(&c.headers, 65536);
    jsonw_init(&c.w, &c.out);
    if (!civet_fill(&c, ri)) {
        call_problem(&c, 403, "The inner socket is for Postern itself.", NULL);
    } else if (!civet_read_body(&c, ri->content_length)) {
        call_problem(&c, 413, "The body is too large or did not arrive whole.", NULL);
    } else {
        c.set = policy_box_get(c.portal->opts.box);
        policy_begin(c.policy, c.now_ms);
        portal_dispatch(&c);
        policy_set_drop(c.set);
    }
    civet_write(&c);
    int status = c.status;
    mem_wipe(c.out.p, c.out.n); /* a key that was just made stands in it */
    buf_free(&c.out);
    buf_free(&c.headers);
    arena_reset(&w->arena);
    return status;
}

enum rc civet_start(struct portal *p, struct err *e)
{
    char port[160], threads[16];
    rand_text(p->token, PORTAL_TOKEN_LEN, S("abcdefghijklmnopqrstuvwxyz0123456789"));
    snprintf(threads, sizeof threads, "%d", p->opts.threads);
    p->inner.kind = ADDR_UNIX;
    int n = snprintf(p->inner.path, sizeof p->inner.path, "%s/portal.sock", p->opts.socket_dir);
    if (n < 0 || (size_t)n >= sizeof p->inner.path)
        return err_at(e, RC_BADINPUT, p->opts.socket_dir, "the path is too long for a socket (95 characters "
                      "at most); choose a shorter data directory");
    (void)unlink(p->inner.path);
    snprintf(port, sizeof port, "x%s", p->inner.path);
    const char *options[] = {"listening_ports", port, "num_threads", threads, "request_timeout_ms", "30000",
                             "enable_keep_alive", "no", "max_request_size", "131072", NULL};
    struct mg_callbacks callbacks = {.init_thread = civet_thread_init, .exit_thread = civet_thread_exit,
                                     .log_message = civet_log};
    (void)mg_init_library(0);
    p->civet = mg_start(&callbacks, p, options);
    if (!p->civet)
        return err_at(e, RC_IO, p->inner.path, "the portal's inner server could not start on this socket");
    mg_set_request_handler(p->civet, "/", civet_request, p);
    return RC_OK;
}

/* mg_stop sets a flag that civetweb's accepting thread looks at when its poll of two seconds ends. A
 * connection ends it at once. */
static void *civet_wake(void *arg)
{
    const struct portal *p = arg;
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    memcpy(sa.sun_path, p->inner.path, sizeof p->inner.path);
    clock_sleep_ms(20); /* the flag is set first */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0) {
        (void)connect(fd, (struct sockaddr *)&sa, sizeof sa);
        (void)close(fd);
    }
    return NULL;
}

void civet_stop(struct portal *p)
{
    if (p->civet) {
        pthread_t waker = thread_start("waker", civet_wake, p);
        mg_stop(p->civet);
        thread_join(waker);
    }
    p->civet = NULL;
    (void)unlink(p->inner.path);
    (void)mg_exit_library();
}
#undef CIVET_ARENA_MAX
#undef CIVET_ANSWER_MAX
