/*
 * h2_call.h - a unary gRPC call to another server: HTTP/2 with prior knowledge (RFC 9113), by nghttp2.
 *
 * One connection per call, plain or TLS. Names are found as fetches find them; their addresses are tried one
 * after the other. A call that gets no answer, or UNAVAILABLE, is made again so many times, after a pause that
 * doubles, within the time for the whole. Bounds: that time, bytes of the answer's message and of its heads.
 * done is called once, later, in the reactor's thread, never from inside h2_call_start. fetcher_close ends
 * what is under way without done.
 * Errors: reply.rc and a few constant words. Threads: the reactor's.
 */
#ifndef NET_H2_CALL_H
#define NET_H2_CALL_H

#include "net/addr.h"
#include "net/fetch.h"

struct h2_call;
struct h2_call_req { /* copied */
    struct slice host;      /* name or IP literal; "": the Unix socket */
    int port;
    struct net_addr socket; /* a Unix socket */
    const struct fetch_tls *tls; /* NULL: plain. Its fields outlive the call */
    struct slice authority; /* "host:port" */
    struct slice path;      /* "/package.Service/Method" */
    struct slice message;   /* protobuf */
    int64_t timeout_ms;
    int retries;
    int64_t pause_ms, pause_max_ms;
};
struct h2_call_reply {
    /* RC_OK: a gRPC status came. RC_BADINPUT: it does not speak gRPC. RC_DENIED: its certificate is not trusted.
     * RC_NOTFOUND: no such host. RC_TOOBIG, RC_TIMEOUT, RC_BUSY, RC_IO. */
    enum rc rc;
    const char *why;
    int grpc_status;
    struct slice message; /* until done returns; "" unless the status is 0 */
};
typedef void h2_call_done_fn(void *user, const struct h2_call_reply *r);
FN void h2_call_start(struct fetcher *f, const struct h2_call_req *q, h2_call_done_fn *done, void *user);
FN void h2_calls_drop(struct h2_call **list); /* ends them without done; their connections close later */

#endif
