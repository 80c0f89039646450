/*
 * h2_call.h - a unary gRPC call to another server: HTTP/2 with prior knowledge (RFC 9113), by nghttp2.
 *
 * One connection per call. The address is an IP literal, "localhost" or a Unix socket: nothing is looked up, and
 * there is no TLS. Bounds: time for the whole, bytes of the answer's message and of its heads. done is
 * called once, later, in the reactor's thread, never from inside h2_call_start. fetcher_close ends what is
 * under way without done.
 * Errors: reply.rc and a few constant words. Threads: the reactor's.
 */
#ifndef NET_H2_CALL_H
#define NET_H2_CALL_H

#include "net/addr.h"
#include "net/fetch.h"

struct h2_call;
struct h2_call_req { /* copied */
    struct net_addr to;
    struct slice authority; /* "host:port" */
    struct slice path;      /* "/package.Service/Method" */
    struct slice message;   /* protobuf */
    int64_t timeout_ms;
};
struct h2_call_reply {
    /* RC_OK: a gRPC status came. RC_BADINPUT: it does not speak gRPC. RC_TOOBIG, RC_TIMEOUT, RC_IO. */
    enum rc rc;
    const char *why;
    int grpc_status;
    struct slice message; /* until done returns; "" unless the status is 0 */
};
typedef void h2_call_done_fn(void *user, const struct h2_call_reply *r);
FN void h2_call_start(struct fetcher *f, const struct h2_call_req *q, h2_call_done_fn *done, void *user);
FN void h2_calls_drop(struct h2_call **list); /* ends them without done; their connections close later */

#endif
