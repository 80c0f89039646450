/*
 * inner.h - what the files of check/ share: a thread, a connection, a request, the dialect rows.
 *
 * Everything belongs to one reactor thread; slices of a request point into the connection's input and
 * live until its answer is written.
 */
#ifndef CHECK_INNER_H
#define CHECK_INNER_H

#include "base/buf.h"
#include "check/check.h"

struct check_thread {
    struct check_opts opts;
    struct policy_ctx *policy;
    struct store *store;
    struct http_head head;   /* of the request in hand: large, so one per thread */
    struct buf json;         /* an answer in JSON while it is made */
    int64_t warned_ms;       /* last log line about an untrusted peer */
    struct h2_pool *h2;
    struct grpc_wait *wait;  /* for the next gRPC call that has to wait, or NULL */
};

/* A body in chunks, while it arrives. Offsets are from the start of the request. */
struct check_chunks {
    struct http_chunks state;
    struct buf body;
    size_t at;
};

struct check_conn {
    struct check_thread *t;
    struct conn *c;
    bool trusted;                 /* this peer's forwarded headers are believed */
    bool fresh;                   /* no request yet: HTTP/2 may begin */
    bool parked;                  /* a decision is under way elsewhere */
    bool timed;                   /* a deadline is running */
    bool keep_alive, head_only, http10;
    bool trace;                   /* of /v1/decide: the answer has the trace */
    const struct dialect *row;    /* of the request in hand */
    size_t seen;                  /* bytes of an unfinished head that were looked at */
    size_t need;                  /* of head and body, once the head told the length; else 0 */
    struct check_chunks *chunks;  /* NULL unless a chunked body is arriving */
};

/* A request: the connection and the parsed head with its body. */
struct check_req {
    struct check_conn *k;
    const struct http_head *h;
    struct slice path, query, body;
};

struct dialect {
    const char *name;  /* label of the metric */
    struct slice path;
    bool prefix;       /* the client's target follows the path */
    bool post_only;
    bool only_401_403; /* nginx: everything else that denies is a 403 */
    bool envoy_remove; /* names to remove go into one header, else each is sent empty */
    /* Fills the question; a reason word (static) when it cannot. NULL for the rows with `run`. */
    const char *(*ask)(const struct check_req *r, struct policy_ask *q);
    /* Answers by itself. */
    void (*run)(const struct check_req *r);
    /* The verdict in the dialect's words; NULL: answer_verdict. */
    void (*answer)(struct check_conn *k, const struct policy_verdict *v);
};
FN const struct dialect *dialect_find(struct slice path);
FN size_t dialect_index(const struct dialect *d);
enum { DIALECT_GRPC = 6, DIALECT_GRPC_LIMIT = 7 };
FN const struct dialect *dialect_at(size_t i);

/* answer.c */
FN void answer_verdict(struct check_conn *k, const struct policy_verdict *v);
FN void answer_refuse(struct check_conn *k, int status, const char *reason, const char *words);
FN void answer_json(struct check_conn *k, int status, struct slice json);
FN void answer_text(struct check_conn *k, int status, struct slice text);
FN void answer_count(const struct dialect *d, bool allowed, int status);
FN int answer_dialect_status(const struct dialect *d, const struct policy_verdict *v);
/* The lines of a verdict's rate-limit headers. */
FN void answer_limits(struct buf *out, const struct check_opts *o, const struct policy_verdict *v);

/* door.c: decides now or parks the connection; the answer goes out by the row */
FN void door_decide(struct check_conn *k, const struct policy_ask *q);
FN void door_warn_stranger(struct check_thread *t, const struct conn *c); /* a log line, once in a while */

/* calls.c: the endpoints that speak JSON */
FN void calls_decide(const struct check_req *r);
FN void calls_decided(struct check_conn *k, const struct policy_verdict *v);
FN void calls_ratelimit(const struct check_req *r);
FN void calls_health(const struct check_req *r);
FN void calls_grpc(const struct check_req *r);

/* A gRPC message holds the client's head and body. */
static inline UNUSED size_t check_message_max(const struct check_opts *o)
{
    return o->body_bytes_max + o->http.head_bytes_max;
}

/* grpc.c: goes on with a connection that speaks HTTP/2; bytes consumed of `in` */
FN size_t grpc_start(struct check_thread *t, struct conn *c, bool trusted, struct slice in);

#endif
