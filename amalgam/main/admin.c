/*
 * admin.c - the operators' port: /metrics, /healthz, /readyz, /rlconfig, in plain HTTP/1.1, no secrets.
 *
 * Lives on the front reactor. Answers GET and HEAD, one response per request, keep-alive. Never changes
 * anything. State per connection: struct admin, freed at its end. Tested by tests/box/test_serve.py.
 */
#include "base/metric.h"
#include "base/mem.h"
#include "main/app.h"
#include <stdio.h>

#define ADMIN_PAGE_MAX ((size_t)8 * 1024 * 1024)
#define ADMIN_HEAD_MS 10000

struct admin {
    struct app *app;
    bool reading; /* the deadline of a head runs; it is not put off by more bytes */
};

static void *admin_open(struct conn *c, void *ctx)
{
    (void)c;
    struct admin *s = mem_zalloc(sizeof *s);
    s->app = ctx;
    return s;
}

static void admin_answer(struct conn *c, const struct http_head *h, int status, const char *type,
                         struct slice body)
{
    struct buf *out = conn_out(c);
    buf_fmt(out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
                 "X-Content-Type-Options: nosniff\r\n%s\r\n",
            status, http_reason(status), type, body.n, h->keep_alive ? "" : "Connection: close\r\n");
    if (!slice_eq(h->method, S("HEAD")))
        buf_slice(out, body);
    if (!h->keep_alive)
        conn_close_soon(c);
}

static void admin_connections(struct app *a, struct buf *out)
{
    static const char *const names[DOORS] = {"check", "redis", "portal", "admin"};
    buf_lit(out, "# HELP postern_connections Open connections.\n# TYPE postern_connections gauge\n");
    for (int d = 0; d < DOORS; d++)
        if (a->listeners[d])
            buf_fmt(out, "postern_connections{door=\"%s\"} %llu\n", names[d],
                    (unsigned long long)listener_conns(a->listeners[d]));
    buf_lit(out, "# HELP postern_connections_refused_total Connections beyond the bound.\n"
                 "# TYPE postern_connections_refused_total counter\n");
    for (int d = 0; d < DOORS; d++)
        if (a->listeners[d])
            buf_fmt(out, "postern_connections_refused_total{door=\"%s\"} %llu\n", names[d],
                    (unsigned long long)listener_refused(a->listeners[d]));
}

static void admin_metrics(struct app *a, struct buf *out)
{
    struct store_stats st;
    store_stats(a->store, &st);
    uint64_t keys = 0;
    for (int i = 0; i < STORE_DBS; i++)
        keys += st.keys[i];
    lock_take(&a->faults_lock);
    uint64_t reloads = a->reloads, failed = a->reloads_failed;
    bool last_failed = a->last_reload_failed;
    lock_drop(&a->faults_lock);
    metric_write(out);
    const struct {
        const char *name, *kind, *help;
        uint64_t value;
    } rows[] = {
        {"postern_store_keys", "gauge", "Keys in the store.", keys},
        {"postern_store_bytes", "gauge", "Memory of the keyspace.", st.used_bytes},
        {"postern_store_hits_total", "counter", "Look-ups that found a key.", st.hits},
        {"postern_store_misses_total", "counter", "Look-ups that found none.", st.misses},
        {"postern_store_expired_total", "counter", "Keys that expired.", st.expired},
        {"postern_store_evicted_total", "counter", "Keys that gave way to the memory bound.", st.evicted},
        {"postern_store_log_bytes", "gauge", "Size of the log that is not in SQLite yet.", st.log_bytes},
        {"postern_policy_reloads_total", "counter", "Loads of the policies.", reloads},
        {"postern_policy_reloads_failed_total", "counter", "Loads that failed.", failed},
        {"postern_policy_last_load_failed", "gauge", "1: the last load failed, the set before is in force.",
         last_failed},
        {"postern_store_trouble", "gauge", "1: the store refuses changes.", store_trouble(a->store) != NULL},
        {"process_resident_memory_bytes", "gauge", "Resident memory.", mem_rss()},
        {"process_start_time_seconds", "gauge", "Start, seconds since 1970.", (uint64_t)a->started_ms / 1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help, rows[i].name,
                rows[i].kind, rows[i].name, (unsigned long long)rows[i].value);
    admin_connections(a, out);
}

static void admin_page(struct conn *c, struct app *a, const struct http_head *h)
{
    struct slice query, path = slice_cut(h->target, '?', &query);
    bool readable = slice_eq(h->method, S("GET")) || slice_eq(h->method, S("HEAD"));
    if (!readable) {
        admin_answer(c, h, 405, "text/plain\r\nAllow: GET, HEAD", S("GET or HEAD was expected\n"));
    } else if (slice_eq(path, S("/healthz"))) {
        admin_answer(c, h, 200, "text/plain", S("ok\n"));
    } else if (slice_eq(path, S("/readyz"))) {
        bool ready = a->ready && !a->stopping && !store_trouble(a->store);
        admin_answer(c, h, ready ? 200 : 503, "text/plain", ready ? S("ready\n") : S("not ready\n"));
    } else if (slice_eq(path, S("/metrics")) || slice_eq(path, S("/rlconfig"))) {
        struct buf page;
        buf_init(&page, ADMIN_PAGE_MAX);
        bool metrics = slice_eq(path, S("/metrics"));
        if (metrics)
            admin_metrics(a, &page);
        else
            app_faults_json(a, &page);
        admin_answer(c, h, 200, metrics ? "text/plain; version=0.0.4" : "application/json", buf_all(&page));
        buf_free(&page);
    } else {
        admin_answer(c, h, 404, "text/plain", S("here are /metrics /healthz /readyz /rlconfig\n"));
    }
}

/* A last word to who cannot be understood. */
static void admin_refuse(struct conn *c, int status, const char *text)
{
    static const struct http_head nobody; /* no method, no keep-alive */
    char line[500];
    int n = snprintf(line, sizeof line, "%s\n", text);
    admin_answer(c, &nobody, status, "text/plain", slice_of(line, MIN((size_t)MAX(n, 0), sizeof line - 1)));
}

static int admin_status(enum rc rc, const struct err *e)
{
    if (rc == RC_TOOBIG)
        return slice_eq(slice_str(e->place), S("target")) ? 414 : 431;
    return rc == RC_VERSION ? 505 : 400;
}

static size_t admin_data(struct conn *c, void *state, struct slice in)
{
    static _Thread_local struct http_head h; /* large; one per thread is enough */
    struct admin *s = state;
    size_t used = 0;
    while (used < in.n && !conn_out_full(c)) {
        struct err e = {0};
        enum rc rc = http_head_read(slice_from(in, used), http_limits_default(), &h, &e);
        if (rc == RC_AGAIN) {
            if (!s->reading)
                conn_deadline(c, ADMIN_HEAD_MS);
            s->reading = true;
            return used;
        }
        if (rc != RC_OK || h.chunked || (h.has_length && h.length > 0)) {
            admin_refuse(c, rc == RC_OK ? 413 : admin_status(rc, &e), rc == RC_OK ? "no body was expected" : e.text);
            return in.n;
        }
        used += h.head_bytes;
        s->reading = false;
        conn_deadline(c, 0);
        admin_page(c, s->app, &h);
        if (!h.keep_alive)
            return in.n; /* nothing behind the last one is a request */
    }
    return used;
}

static void admin_drained(struct conn *c, void *state)
{
    (void)state;
    conn_pause(c); /* offers what was left when the output was full */
    conn_resume(c);
}

static void admin_timeout(struct conn *c, void *state)
{
    const struct admin *s = state;
    if (s->reading)
        admin_refuse(c, 408, "the request took too long to arrive");
}

static void admin_close(struct conn *c, void *state)
{
    (void)c;
    mem_free(state);
}

const struct conn_proto *admin_proto(void)
{
    static const struct conn_proto proto = {
        .name = "admin", .open = admin_open, .data = admin_data,
        .drained = admin_drained, .timeout = admin_timeout, .close = admin_close};
    return &proto;
}
#undef ADMIN_PAGE_MAX
#undef ADMIN_HEAD_MS
