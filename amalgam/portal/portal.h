/*
 * portal.h - the door for browsers: pages, REST API, sign-in.
 *
 * Two parts. The front (front.c, on a reactor of its own) ends TLS through net/, collects one
 * complete request at a time, holds idle and slow browsers at no cost, and hands complete requests
 * over a private Unix socket to civetweb, whose few worker threads run the routes and may block
 * (SQLite, argon2). Nobody reaches civetweb but the front: the socket lies in a 0700 directory and
 * every request carries a random token of this process.
 * Threads: portal_open and portal_close in main's thread; routes in civetweb's workers.
 */
#ifndef PORTAL_PORTAL_H
#define PORTAL_PORTAL_H

#include "net/conn.h"
#include "policy/policy.h"
#include "store/account.h"

/* A line for the health page, given by main (listeners, certificate, reload ...). */
struct portal_health {
    struct slice name, state /* "ok" "warn" "bad" */, value, cure;
};
struct portal_opts {
    struct store *store;
    struct policy_box *box;
    const struct keyrec_scheme *scheme;
    struct slice version, title;
    struct slice key_prefix;  /* "pst" */
    struct slice gateway_url; /* where samples send requests */
    struct slice check_url;   /* "" when the check port is off */
    bool public_catalogue;
    bool demo;
    struct slice demo_email, demo_password; /* shown on the sign-in page in demo only */
    int64_t session_idle_ms, session_absolute_ms;
    size_t body_bytes_max;
    int threads; /* civetweb workers, default 4 */
    const char *socket_dir; /* private directory for the inner socket */
    /* health lines and policy faults from main; called in worker threads */
    size_t (*health)(void *ctx, struct arena *a, struct portal_health **out);
    void (*policy_faults)(void *ctx, struct buf *json); /* writes the body of /admin/v1/policies */
    /* kept decisions: one by its id, the last ones as a JSON list */
    enum rc (*explain)(void *ctx, struct slice id, struct buf *json, struct err *e);
    /* how a request is decided, as JSON with its trace: in a thread of the doors, where steps can wait */
    enum rc (*decide)(void *ctx, const struct policy_ask *q, struct buf *json, struct err *e);
    enum rc (*recent)(void *ctx, bool denied_only, size_t max, struct buf *json, struct err *e);
    void *ctx;
};
struct portal;
FN enum rc portal_open(const struct portal_opts *o, struct portal **out, struct err *e) MUST_CHECK;
FN void portal_close(struct portal *p);
FN const struct conn_proto *portal_proto(void); /* ctx of the listener: the portal */
FN void portal_metrics_join(void);

#endif
