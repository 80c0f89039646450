/*
 * check.h - the door for gateways: each dialect's request -> policy question -> its answer.
 *
 * HTTP/1 and gRPC over HTTP/2 share the port: the first bytes of a connection tell. One row per endpoint
 * in dialects.c. A dialect reads only its own headers and believes them
 * only from trusted peers. Allow is exactly 200; nginx's dialect denies with 401/403 only.
 * Threads: one check_thread per reactor, set with reactor_set_ctx(REACTOR_CTX_CHECK).
 */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include "net/conn.h"
#include "policy/policy.h"

struct check_opts {
    struct cidr trusted[64]; /* peers whose forwarded headers are believed; none: nobody but unix if set */
    size_t trusted_n;
    struct slice trusted_names[64]; /* globs on the name in a verified client certificate; live as long as the thread */
    size_t trusted_names_n;
    bool trust_unix;
    size_t body_bytes_max;   /* 1 MiB */
    int64_t head_ms;         /* time to send a request head, default 10 s */
    struct http_limits http;
    uint32_t streams_max;    /* HTTP/2: at once, per connection */
    bool ratelimit_headers;  /* RateLimit and RateLimit-Policy on answers, default on */
    bool x_ratelimit_headers; /* the older three */
};
struct check_thread;
FN struct check_thread *check_thread_open(const struct check_opts *o, struct policy_ctx *c,
                                          struct store *st);
FN void check_thread_close(struct check_thread *t);
FN const struct conn_proto *check_proto(void);
FN void check_metrics_join(void);

#endif
