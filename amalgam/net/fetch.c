/*
 * fetch.c - the life of an outbound request: a connection for it, its answer or its failure.
 *
 * Called by policy/'s steps, by main. A fetch is resolving, queued, connecting or on a connection; or it
 * has failed and waits for the timer that tells its owner (so that nothing is told inside fetch_start).
 * A host (struct fetch_host) is there as long as it has a connection or a fetch. A connection's struct
 * (fetch_link) is the conn's state and goes with its close callback. Whoever ends a fetch early aborts
 * its connection; nothing half-read is ever used again.
 * It follows no redirect, keeps no cookie, knows no proxy. Owns requests, answers, hosts.
 * Threads: the reactor's. Tested by tests/unit/net/test_fetch.c (under TSan too), test_fetch_tls.c.
 */
#include "net/fetch_inside.h"
#include "net/h2_call.h"

#include "base/lock.h"
#include "base/metric.h"
#include "wire/hash.h"

#include <stdio.h>

struct fetch_link {
    struct conn *c;
    struct fetch_host *h;
    struct fetch *x; /* whose answer comes; NULL: idle, or going */
    bool ready;      /* connected */
    bool used;       /* not for the first time */
    bool late;       /* connecting took too long */
    struct fetch_link *next, **link; /* of h->idle; link NULL: not idle */
};

/* A request's own TLS settings, made ready once. */
struct fetch_trust {
    uint8_t id[32];
    struct tls_client *client;
    size_t users; /* hosts */
};

struct fetch_host {
    struct fetcher *f;
    struct tls_client *client; /* https only; whose name is checked: */
    struct slice tls_name;     /* behind the struct */
    struct fetch_trust *trust; /* where client is from, or NULL: the fetcher's own */
    size_t conns_n; /* open, connecting, or promised to a fetch that resolves */
    size_t users;   /* fetches */
    struct fetch_link *idle; /* latest first */
    struct fetch *queue, **queue_end;
    size_t queue_n;
    bool serving; /* fetch_next is at work */
    struct slice key; /* behind the struct */
};

struct fetch {
    struct fetcher *f;
    struct fetch *next, **link; /* of f->all, or f->failed */
    struct fetch *queue_next;
    struct fetch_host *h;
    struct fetch_link *on;
    struct fetch_ask ask;
    struct net_timer whole;
    struct fetch_url url; /* its texts behind the struct */
    struct buf out;
    struct fetch_reader in;
    struct ip ips[FETCH_ADDRS_MAX];
    size_t ips_n, ips_at;
    int64_t connect_by_ms; /* monotonic */
    bool promised;         /* one of h->conns_n is for it */
    bool queued, heard, fresh, once, head_only, told;
    bool failed;  /* in f->failed */
    bool dialing; /* its addresses are being tried */
    size_t reply_bytes_max;
    enum rc rc;
    const char *why;
    fetch_done_fn *done;
    void *user;
};

struct fetcher {
    struct fetcher_opts o;
    struct fetch_names *names;
    struct map hosts;
    struct fetch_trust trusts[FETCH_TRUSTS_MAX];
    struct fetch *all, *failed;
    struct fetch **failed_end;
    struct net_timer tick; /* tells the failed */
    struct h2_call *calls;
    size_t fetches_n, failed_n, conns_n, idle_n;
    bool closing;
};

static struct metric fetch_metrics[] = {
    {.name = "postern_fetch_requests_total", .help = "Requests to other servers."},
    {.name = "postern_fetch_failures_total", .help = "Requests to other servers that got no answer."},
    {.name = "postern_fetch_connections_total", .help = "Connections made for them."},
    {.name = "postern_fetch_repeated_total", .help = "Requests sent again, as a kept connection had ended."},
};
enum { FETCH_METRIC_ALL, FETCH_METRIC_FAILED, FETCH_METRIC_CONNS, FETCH_METRIC_AGAIN };

static void fetch_join_metrics(void)
{
    metric_join(fetch_metrics, ARRAY_LEN(fetch_metrics));
}

static void fetch_go(struct fetch *x);
static void fetch_next(struct fetch_host *h);

/* ---- lists ---- */

static struct slice fetch_copy(char **at, struct slice s)
{
    struct slice copy = slice_of(*at, s.n);
    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

static void fetch_link_in(struct fetch **head, struct fetch *x)
{
    x->next = *head;
    x->link = head;
    if (x->next)
        x->next->link = &x->next;
    *head = x;
}

static void fetch_link_out(struct fetch *x)
{
    *x->link = x->next;
    if (x->next)
        x->next->link = x->link;
    x->link = NULL;
}

static void fetch_idle_in(struct fetch_link *l)
{
    l->next = l->h->idle;
    l->link = &l->h->idle;
    if (l->next)
        l->next->link = &l->next;
    l->h->idle = l;
    l->h->f->idle_n++;
}

static void fetch_idle_out(struct fetch_link *l)
{
    if (!l->link)
        return;
    *l->link = l->next;
    if (l->next)
        l->next->link = l->link;
    l->link = NULL;
    l->h->f->idle_n--;
}

/* Gone from the pool, whatever becomes of the connection. */
static void fetch_drop(struct fetch_link *l)
{
    fetch_idle_out(l);
    conn_abort(l->c);
}

/* ---- which connections serve a request ---- */

struct fetch_where { /* which connections may serve a request */
    const struct fetch_url *url;
    const struct fetch_tls *tls; /* NULL without TLS */
    struct slice tls_name;
    uint8_t id[32]; /* of what tls holds */
};

static void fetch_tls_id(const struct fetch_tls *t, uint8_t id[32])
{
    const struct slice parts[] = {t->ca_pem, t->cert_pem, t->key_pem};
    struct sha256_state s;
    sha256_start(&s);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        uint64_t n = parts[i].n;
        sha256_add(&s, slice_of((const char *)&n, sizeof n));
        sha256_add(&s, parts[i]);
    }
    sha256_end(&s, id);
}

static struct fetch_where fetch_where(const struct fetch_req *q)
{
    struct fetch_where w = {.url = &q->url, .tls_name = S("")};
    if (!q->url.tls)
        return w;
    w.tls_name = q->tls && q->tls->server_name.n ? q->tls->server_name : q->url.host;
    if (q->tls && (q->tls->ca_pem.n || q->tls->cert_pem.n || q->tls->key_pem.n)) {
        w.tls = q->tls;
        fetch_tls_id(q->tls, w.id);
    }
    return w;
}

static struct slice fetch_host_key(const struct fetch_where *w, char *dst, size_t cap)
{
    char hex[64];
    size_t hex_n = w->tls ? hex_encode(hex, w->id, sizeof w->id) : 0;
    int n = snprintf(dst, cap, "%d|%d|%d|%.*s|%.*s|%.*s", w->url->tls, w->url->is_unix, w->url->port,
                     SFMT(w->url->host), SFMT(w->tls_name), (int)hex_n, hex);
    return slice_of(dst, MIN((size_t)n, cap - 1));
}

/* ---- trust ---- */

static struct fetch_trust *fetch_trust_find(struct fetcher *f, const struct fetch_where *w)
{
    struct fetch_trust *free_one = NULL;
    for (size_t i = 0; i < FETCH_TRUSTS_MAX; i++) {
        struct fetch_trust *t = &f->trusts[i];
        if (t->client && memcmp(t->id, w->id, sizeof t->id) == 0)
            return t;
        if (t->users == 0 && (!free_one || !t->client))
            free_one = t;
    }
    return free_one;
}

static enum rc fetch_trust_get(struct fetcher *f, const struct fetch_where *w, struct fetch_trust **out,
                               const char **why)
{
    struct fetch_trust *t = fetch_trust_find(f, w);
    struct tls_client_opts o = {.ca_pem = w->tls->ca_pem, .cert_pem = w->tls->cert_pem,
                                .key_pem = w->tls->key_pem, .base = f->o.trust};
    struct err e;
    *out = t;
    if (t && t->client && memcmp(t->id, w->id, sizeof t->id) == 0)
        return RC_OK;
    *why = "too many TLS settings";
    if (!t)
        return RC_BUSY;
    tls_client_close(t->client);
    *why = "the TLS settings cannot be used";
    enum rc rc = tls_client_open(&o, &t->client, &e);
    memcpy(t->id, w->id, sizeof t->id);
    return rc;
}

static enum rc fetch_host_trust(struct fetch_host *h, const struct fetch_where *w, const char **why)
{
    if (!w->url->tls)
        return RC_OK;
    if (w->tls) {
        struct fetch_trust *t = NULL;
        enum rc rc = fetch_trust_get(h->f, w, &t, why);
        if (rc != RC_OK)
            return rc;
        t->users++;
        h->trust = t;
        h->client = t->client;
        return RC_OK;
    }
    *why = "no certificates are trusted";
    h->client = h->f->o.trust;
    return h->client ? RC_OK : RC_DENIED;
}

/* ---- hosts ---- */

static void fetch_host_settle(struct fetch_host *h)
{
    if (h->conns_n > 0 || h->users > 0)
        return;
    map_del(&h->f->hosts, h->key);
    if (h->trust)
        h->trust->users--;
    mem_free(h);
}

/* One that only keeps idle connections makes room. */
static bool fetch_host_evict(struct fetcher *f)
{
    size_t it = 0;
    struct slice key;
    void *value;
    while (map_next(&f->hosts, &it, &key, &value)) {
        struct fetch_host *h = value;
        if (h->users > 0)
            continue;
        while (h->idle)
            fetch_drop(h->idle);
        return true;
    }
    return false;
}

static struct fetch_host *fetch_host_new(struct fetcher *f, struct slice key, struct slice tls_name)
{
    struct fetch_host *h = mem_zalloc(sizeof *h + key.n + tls_name.n);
    char *at = (char *)(h + 1);
    h->key = fetch_copy(&at, key);
    h->tls_name = fetch_copy(&at, tls_name);
    h->f = f;
    h->queue_end = &h->queue;
    return h;
}

static enum rc fetch_host_get(struct fetcher *f, const struct fetch_req *q, struct fetch_host **out,
                              const char **why)
{
    char text[FETCH_NAME_BYTES * 2 + 200];
    struct fetch_where w = fetch_where(q);
    if (w.tls_name.n >= FETCH_NAME_BYTES) {
        *why = "the TLS settings cannot be used";
        return RC_BADINPUT;
    }
    struct slice key = fetch_host_key(&w, text, sizeof text);
    *out = map_get(&f->hosts, key);
    if (*out)
        return RC_OK;
    *why = "too many hosts";
    if (f->hosts.n >= FETCH_HOSTS_MAX && !fetch_host_evict(f))
        return RC_BUSY;
    struct fetch_host *h = fetch_host_new(f, key, w.tls_name);
    enum rc rc = fetch_host_trust(h, &w, why);
    if (rc != RC_OK) {
        mem_free(h);
        return rc;
    }
    map_put(&f->hosts, h->key, h);
    *out = h;
    return RC_OK;
}

/* ---- the end of a fetch ---- */

static void fetch_queue_out(struct fetch *x)
{
    struct fetch **at = &x->h->queue;
    while (*at != x)
        at = &(*at)->queue_next;
    *at = x->queue_next;
    if (!*at)
        x->h->queue_end = at;
    x->queued = false;
    x->h->queue_n--;
}

/* Leaves its connection, host, queue and resolver. The connection is of no use to others. */
static void fetch_leave(struct fetch *x)
{
    struct fetch_host *h = x->h;
    timer_cancel(x->f->o.reactor, &x->whole);
    fetch_names_forget(&x->ask);
    if (x->on) {
        x->on->x = NULL;
        conn_abort(x->on->c);
        x->on = NULL;
    }
    if (!h)
        return;
    if (x->queued)
        fetch_queue_out(x);
    x->h = NULL;
    if (x->promised) {
        x->promised = false;
        h->conns_n--;
        fetch_next(h);
    }
    h->users--;
    fetch_host_settle(h);
}

static void fetch_free(struct fetch *x)
{
    x->f->fetches_n--;
    if (x->out.p)
        mem_wipe(x->out.p, x->out.n); /* tokens and passwords */
    buf_free(&x->out);
    fetch_reader_free(&x->in);
    mem_free(x);
}

static void fetch_tell(struct fetch *x)
{
    struct fetch_reply r = {.rc = x->rc, .why = x->why};
    if (x->rc == RC_OK) {
        r.status = x->in.status;
        r.headers = x->in.headers;
        r.headers_n = x->in.headers_n;
        r.body = buf_all(&x->in.body);
    }
    fetch_link_out(x);
    x->told = true;
    x->done(x->user, &r);
    fetch_free(x);
}

/* x stays in its list, but the list's end is right when it has left. */
static void fetch_unfail(struct fetch *x)
{
    struct fetcher *f = x->f;
    if (!x->failed)
        return;
    x->failed = false;
    f->failed_n--;
    if (f->failed_end == &x->next)
        f->failed_end = x->link;
}

static void fetch_tick(struct net_timer *t, struct reactor *r)
{
    struct fetcher *f = CONTAINER_OF(t, struct fetcher, tick);
    for (size_t n = f->failed_n; n > 0 && f->failed; n--) { /* not those that fail meanwhile */
        struct fetch *x = f->failed;
        fetch_unfail(x);
        fetch_tell(x);
    }
    if (f->failed)
        timer_arm(r, t, 0);
}

static void fetch_fail(struct fetch *x, enum rc rc, const char *why)
{
    struct fetcher *f = x->f;
    metric_add(&fetch_metrics[FETCH_METRIC_FAILED], 1);
    fetch_leave(x);
    fetch_link_out(x);
    x->rc = rc;
    x->why = why;
    x->next = NULL;
    x->failed = true;
    f->failed_n++;
    x->link = f->failed_end;
    *f->failed_end = x;
    f->failed_end = &x->next;
    timer_arm(f->o.reactor, &f->tick, 0);
}

void fetch_cancel(struct fetch *x)
{
    if (x->told)
        return;
    fetch_leave(x);
    fetch_unfail(x);
    fetch_link_out(x);
    fetch_free(x);
}

static void fetch_late(struct net_timer *t, struct reactor *r)
{
    struct fetch *x = CONTAINER_OF(t, struct fetch, whole);
    (void)r;
    fetch_fail(x, RC_TIMEOUT, x->on && x->on->ready ? "no answer in time" : "no connection in time");
}

/* ---- connections ---- */

static void fetch_send(struct fetch_link *l, struct fetch *x)
{
    l->x = x;
    x->on = l;
    x->heard = x->dialing = false;
    fetch_reader_init(&x->in, x->head_only, x->reply_bytes_max);
    conn_set_idle(l->c, 0);
    conn_await(l->c, true);
    buf_slice(conn_out(l->c), buf_all(&x->out));
    conn_flush(l->c);
}

/* A whole answer came, and nothing behind it: the connection serves the next. */
static void fetch_keep(struct fetch_link *l)
{
    struct fetch *x = l->h->queue;
    l->used = true;
    while (x && x->fresh)
        x = x->queue_next;
    if (x) {
        fetch_queue_out(x);
        fetch_send(l, x);
        return;
    }
    conn_await(l->c, false);
    conn_set_idle(l->c, l->h->f->o.idle_ms);
    fetch_idle_in(l);
}

static void fetch_answered(struct fetch_link *l, bool keep)
{
    struct fetch *x = l->x;
    const struct conn *c = l->c;
    struct fetch_host *h = x->h;
    l->x = NULL;
    x->on = NULL;
    x->rc = RC_OK;
    x->why = "";
    timer_cancel(x->f->o.reactor, &x->whole);
    x->h = NULL;
    h->users--; /* the host stays: it has this connection */
    if (keep && x->in.keep_alive && c->out.n == c->out.at && c->wire.n == c->wire.at && !c->closing)
        fetch_keep(l);
    else
        conn_abort(l->c);
    fetch_tell(x);
}

/* Next address, once more on a new connection, or the end. */
static void fetch_broke(struct fetch_link *l)
{
    struct fetch *x = l->x;
    const char *trouble;
    enum rc rc = conn_trouble(l->c, &trouble);
    l->x = NULL;
    x->on = NULL;
    if (!l->ready && rc == RC_DENIED) {
        fetch_fail(x, rc, trouble); /* its other addresses are no better */
    } else if (!l->ready) {
        x->why = l->late ? "no connection in time" : trouble[0] ? trouble : "connection failed";
        x->rc = l->late ? RC_TIMEOUT : rc != RC_OK ? rc : RC_IO;
        fetch_go(x);
    } else if (l->used && !x->heard && !x->once && !x->fresh) {
        metric_add(&fetch_metrics[FETCH_METRIC_AGAIN], 1);
        x->fresh = true;
        x->rc = RC_OK;
        x->why = NULL;
        fetch_reader_free(&x->in);
        fetch_go(x);
    } else {
        fetch_fail(x, RC_IO, trouble[0] ? trouble : "the connection ended before the answer was complete");
    }
}

static void *fetch_opened(struct conn *c, void *ctx)
{
    struct fetch_link *l = ctx;
    l->c = c;
    return l;
}

static void fetch_connected(struct conn *c, void *state)
{
    struct fetch_link *l = state;
    l->ready = true;
    conn_deadline(c, 0);
    if (l->x)
        fetch_send(l, l->x);
}

static size_t fetch_data(struct conn *c, void *state, struct slice in)
{
    struct fetch_link *l = state;
    struct fetch *x = l->x;
    size_t used = 0;
    const char *why = "";
    if (!x || !l->ready) { /* nobody asked */
        fetch_drop(l);
        return in.n;
    }
    x->heard = true;
    enum rc rc = fetch_reader_take(&x->in, in, &used, &why);
    if (rc == RC_AGAIN)
        return used;
    if (rc == RC_OK)
        fetch_answered(l, used == in.n);
    else
        fetch_fail(x, rc, why);
    (void)c;
    return in.n;
}

static void fetch_eof(struct conn *c, void *state)
{
    struct fetch_link *l = state;
    const char *why = "";
    if (l->x && l->x->heard && fetch_reader_end(&l->x->in, conn_is_ended(c), &why) == RC_OK)
        fetch_answered(l, false);
    else
        fetch_drop(l); /* its close callback says what becomes of the fetch */
}

static void fetch_timeout(struct conn *c, void *state)
{
    struct fetch_link *l = state;
    (void)c;
    l->late = !l->ready;
    fetch_drop(l);
}

static void fetch_closed(struct conn *c, void *state)
{
    struct fetch_link *l = state;
    struct fetch_host *h = l->h;
    (void)c;
    fetch_idle_out(l);
    h->users++; /* it stays until we are done with it */
    h->conns_n--;
    h->f->conns_n--;
    if (l->x)
        fetch_broke(l);
    mem_free(l);
    fetch_next(h);
    h->users--;
    fetch_host_settle(h);
}

static const struct conn_proto fetch_proto = {.name = "fetch",
                                              .open = fetch_opened,
                                              .data = fetch_data,
                                              .eof = fetch_eof,
                                              .timeout = fetch_timeout,
                                              .close = fetch_closed,
                                              .connected = fetch_connected};

/* ---- getting one ---- */

static bool fetch_address(const struct fetch *x, struct net_addr *to)
{
    memset(to, 0, sizeof *to);
    if (x->url.is_unix) {
        if (x->url.host.n >= sizeof to->path)
            return false;
        to->kind = ADDR_UNIX;
        memcpy(to->path, x->url.host.p, x->url.host.n);
        return true;
    }
    to->kind = ADDR_TCP;
    to->ip = x->ips[x->ips_at];
    to->port = x->url.port;
    return true;
}

static bool fetch_dial_one(struct fetch *x)
{
    struct fetch_link *l = mem_zalloc(sizeof *l);
    struct net_addr to;
    struct err e;
    int64_t left_ms = x->connect_by_ms - reactor_mono_ms(x->f->o.reactor);
    l->h = x->h;
    if (left_ms <= 0 || !fetch_address(x, &to) ||
        !conn_connect_tls(x->f->o.reactor, &to, &fetch_proto, l, x->h->client, x->h->tls_name, &e)) {
        mem_free(l);
        return false;
    }
    metric_add(&fetch_metrics[FETCH_METRIC_CONNS], 1);
    x->h->f->conns_n++;
    x->promised = false; /* the link has it now */
    l->x = x;
    x->on = l;
    conn_await(l->c, true);
    conn_deadline(l->c, MAX(left_ms / (int64_t)(x->ips_n - x->ips_at), 1));
    x->ips_at++;
    return true;
}

/* Addresses one after the other, each with its share of the time. */
static void fetch_dial(struct fetch *x)
{
    while (x->ips_at < x->ips_n) {
        if (fetch_dial_one(x))
            return;
        x->ips_at++;
    }
    fetch_fail(x, x->rc != RC_OK ? x->rc : RC_IO, x->why ? x->why : "connection failed");
}

static void fetch_resolved(struct fetch_ask *ask, enum rc rc, const char *why, const struct ip *ips,
                           size_t n)
{
    struct fetch *x = CONTAINER_OF(ask, struct fetch, ask);
    if (rc != RC_OK) {
        fetch_fail(x, rc, why);
        return;
    }
    memcpy(x->ips, ips, n * sizeof *ips);
    x->ips_n = n;
    fetch_dial(x);
}

static void fetch_open(struct fetch *x)
{
    const char *why = "";
    enum rc rc = RC_OK;
    x->promised = true;
    x->h->conns_n++;
    if (x->dialing) { /* the next of its addresses */
        fetch_dial(x);
        return;
    }
    x->dialing = true;
    x->ips_at = 0;
    x->ips_n = 1;
    x->connect_by_ms = reactor_mono_ms(x->f->o.reactor) + x->f->o.connect_ms;
    if (!x->url.is_unix)
        rc = fetch_names_find(x->f->names, x->url.host, &x->ask, x->ips, &x->ips_n, &why);
    if (rc == RC_OK)
        fetch_dial(x);
    else if (rc != RC_AGAIN)
        fetch_fail(x, rc, why);
}

static void fetch_enqueue(struct fetch *x)
{
    struct fetch_host *h = x->h;
    if (h->queue_n >= x->f->o.queue_per_host) {
        fetch_fail(x, RC_BUSY, "too many requests wait for this host");
        return;
    }
    x->queued = true;
    x->queue_next = NULL;
    *h->queue_end = x;
    h->queue_end = &x->queue_next;
    h->queue_n++;
}

/* A connection that is free, a new one, or a place in the queue. */
static void fetch_go(struct fetch *x)
{
    struct fetch_host *h = x->h;
    struct fetch_link *l = h->idle;
    bool new = x->fresh || x->once;
    if (l && !new) {
        fetch_idle_out(l);
        fetch_send(l, x);
        return;
    }
    if (l && h->conns_n >= x->f->o.conns_per_host)
        fetch_drop(l);
    else if (h->conns_n >= x->f->o.conns_per_host) {
        fetch_enqueue(x);
        return;
    }
    fetch_open(x);
}

static void fetch_next(struct fetch_host *h)
{
    if (h->serving || h->f->closing)
        return;
    h->serving = true; /* what fails at once comes by here again */
    while (h->queue && h->conns_n < h->f->o.conns_per_host) {
        struct fetch *x = h->queue;
        fetch_queue_out(x);
        fetch_open(x);
    }
    h->serving = false;
}

/* ---- starting ---- */

static struct fetch *fetch_new(struct fetcher *f, const struct fetch_req *q)
{
    struct fetch *x = mem_zalloc(sizeof *x + q->url.host.n);
    char *at = (char *)(x + 1);
    x->f = f;
    x->url = q->url;
    x->url.path = S("");
    x->url.host = fetch_copy(&at, q->url.host);
    x->once = q->once;
    x->head_only = slice_eq(q->method, S("HEAD"));
    x->reply_bytes_max = q->reply_bytes_max ? q->reply_bytes_max : FETCH_REPLY_BYTES;
    x->ask.got = fetch_resolved;
    x->whole.fire = fetch_late;
    buf_init(&x->out, FETCH_REQUEST_BYTES);
    f->fetches_n++;
    fetch_link_in(&f->all, x);
    return x;
}

struct fetch *fetch_start(struct fetcher *f, const struct fetch_req *q, fetch_done_fn *done, void *user)
{
    struct fetch *x = fetch_new(f, q);
    const char *why = "too many requests are under way";
    int64_t ms = q->timeout_ms > 0 ? MIN(q->timeout_ms, FETCH_TIMEOUT_MS_MAX) : FETCH_TIMEOUT_MS;
    enum rc rc = f->fetches_n > f->o.fetches_max ? RC_BUSY : RC_OK;
    metric_add(&fetch_metrics[FETCH_METRIC_ALL], 1);
    x->done = done;
    x->user = user;
    timer_arm(f->o.reactor, &x->whole, ms);
    if (rc == RC_OK)
        rc = fetch_write(q, &x->out, &why);
    if (rc == RC_OK)
        rc = fetch_host_get(f, q, &x->h, &why);
    if (rc != RC_OK) {
        fetch_fail(x, rc, why);
        return x;
    }
    x->h->users++;
    fetch_go(x);
    return x;
}

struct slice fetch_header(const struct fetch_reply *r, struct slice name)
{
    for (size_t i = 0; i < r->headers_n; i++)
        if (slice_eq_ci(r->headers[i].name, name))
            return r->headers[i].value;
    return S("");
}

/* ---- the fetcher ---- */

struct fetcher *fetcher_open(const struct fetcher_opts *o)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct fetcher *f = mem_zalloc(sizeof *f);
    pthread_once(&once, fetch_join_metrics);
    f->o = *o;
    f->o.conns_per_host = o->conns_per_host ? o->conns_per_host : FETCH_CONNS_PER_HOST;
    f->o.queue_per_host = o->queue_per_host ? o->queue_per_host : FETCH_QUEUE_PER_HOST;
    f->o.fetches_max = o->fetches_max ? o->fetches_max : FETCH_FETCHES_MAX;
    f->o.idle_ms = o->idle_ms ? o->idle_ms : FETCH_IDLE_MS;
    f->o.connect_ms = o->connect_ms ? o->connect_ms : FETCH_CONNECT_MS;
    f->names = fetch_names_open(&f->o);
    f->tick.fire = fetch_tick;
    f->failed_end = &f->failed;
    map_init(&f->hosts);
    return f;
}

struct h2_call **fetcher_calls(struct fetcher *f)
{
    return &f->calls;
}

struct reactor *fetcher_reactor(const struct fetcher *f)
{
    return f->o.reactor;
}

void fetcher_close(struct fetcher *f)
{
    if (!f)
        return;
    reactor_settle(f->o.reactor); /* what the pools finished may still start some, in vain */
    f->closing = true;
    h2_calls_drop(&f->calls);
    while (f->all)
        fetch_cancel(f->all);
    while (f->failed)
        fetch_cancel(f->failed);
    conn_close_all(f->o.reactor); /* those that were aborted just now */
    MUST(f->hosts.n == 0 && f->fetches_n == 0);
    timer_cancel(f->o.reactor, &f->tick);
    fetch_names_close(f->names);
    map_free(&f->hosts);
    for (size_t i = 0; i < FETCH_TRUSTS_MAX; i++)
        tls_client_close(f->trusts[i].client);
    mem_free(f);
}

void fetch_count(const struct fetcher *f, struct fetch_counts *out)
{
    *out = (struct fetch_counts){.fetches = f->fetches_n, .conns = f->conns_n, .idle = f->idle_n,
                                 .hosts = f->hosts.n};
    size_t it = 0;
    struct slice key;
    void *value;
    while (map_next(&f->hosts, &it, &key, &value))
        out->waiting += ((const struct fetch_host *)value)->queue_n;
}

/* ---- for others ---- */

enum rc fetcher_find(struct fetcher *f, struct slice name, struct fetch_ask *ask,
                     struct ip out[FETCH_ADDRS_MAX], size_t *n, const char **why)
{
    *why = "Postern is stopping";
    return f->closing ? RC_BUSY : fetch_names_find(f->names, name, ask, out, n, why);
}

struct tls_client *fetcher_trust(const struct fetcher *f)
{
    return f->o.trust;
}
