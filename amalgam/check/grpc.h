/*
 * grpc.h - what the files of the gRPC door share: a connection, a call, and how calls end.
 *
 * grpc.c has the connections, the framing and the table of methods; grpc_auth.c, grpc_limit.c,
 * grpc_health.c and grpc_reflect.c have the services. A call's message points into its stream, which stands until the
 * stream is gone. Threads: the reactor's.
 */
#ifndef CHECK_GRPC_H
#define CHECK_GRPC_H

#include "check/inner.h"
#include "net/h2.h"
#include "wire/protobuf.h"

enum grpc_code {
    GRPC_OK = 0,
    GRPC_INVALID = 3,
    GRPC_DEADLINE = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_DENIED = 7,
    GRPC_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16
};

struct grpc_conn {
    struct check_thread *t;
    struct conn *c; /* NULL: it is over */
    bool trusted;
    size_t waiting; /* decisions under way, also those whose stream is gone */
};

struct grpc_call {
    struct grpc_conn *g;
    struct h2_stream *s;
    struct slice message;
};

struct grpc_method {
    struct slice service, name;
    void (*run)(const struct grpc_call *k);
    /* Instead of a gRPC error for a message over check.body_max, of which a client can be the cause. */
    void (*too_big)(const struct grpc_call *k);
    bool streams; /* run for every message; the call ends when the client ends it */
    /* The server stops and a call that streams is still there: a last message, if any (optional). */
    void (*stop)(const struct grpc_call *k);
};
FN const struct grpc_method *grpc_method_at(size_t i); /* NULL beyond the last */

/* One message of an answer: begin, write the fields into the buf, end. grpc_reply_end ends a unary call. */
FN struct buf *grpc_reply(const struct grpc_call *k, size_t *mark);
FN void grpc_reply_end(const struct grpc_call *k, size_t mark);
FN void grpc_message_end(const struct grpc_call *k, size_t mark); /* of a call that streams */
FN void grpc_stream_begin(const struct grpc_call *k); /* an answer of many messages to one */
FN void grpc_fail(struct h2_stream *s, enum grpc_code code, struct slice text);
FN int64_t grpc_timeout_ms(const struct h2_request *q); /* 0: none was said */

/* grpc_auth.c */
FN void grpc_auth_check(const struct grpc_call *k);
FN void grpc_auth_too_big(const struct grpc_call *k);
/* A decision that is waited for: the user of its stream. */
struct grpc_wait {
    struct grpc_conn *g;
    struct h2_stream *s; /* NULL: gone, nobody wants the answer any more */
};
FN void grpc_conn_drop(struct grpc_conn *g); /* frees it once nothing is under way */

/* grpc_limit.c */
FN void grpc_limit_should(const struct grpc_call *k);

/* grpc_health.c */
FN void grpc_health_check(const struct grpc_call *k);
FN void grpc_health_watch(const struct grpc_call *k);
FN void grpc_health_bye(const struct grpc_call *k);

/* grpc_reflect.c */
FN void grpc_reflect(const struct grpc_call *k);

#endif
