/*
 * fetch.h - outbound HTTP/1.1: one request, one answer, without blocking the reactor (RFC 9110, 9112).
 *
 * A fetcher belongs to one reactor. fetch_start copies the request and returns; done is called once,
 * later, in the reactor's thread, never from inside fetch_start. Idle connections are kept per
 * (TLS, host, port) and used again; per host only so many are open, further requests wait in a bounded
 * queue. A request on a used connection that ends before a byte of the answer is sent once more on a new
 * one, unless it must not be (fetch_req.once). Redirects are answers like others: nothing is followed.
 *
 * Limits: time for the whole (timeout_ms) and for connecting, bytes of head and body of the answer,
 * connections and waiting requests per host, requests in all. Bodies: Content-Length, chunked, or until
 * the end of the connection (over TLS only with its proper end). What cannot stand in a request (bytes
 * in names, values, path) is refused, so that nothing can be smuggled into it.
 *
 * Names are resolved by a worker pool and kept for a short time; address literals and "localhost"
 * directly. Errors: reply.rc and reply.why (a few words, no secrets, a constant text). Ownership: the
 * reply's slices live until done returns. Threads: the reactor's.
 */
#ifndef NET_FETCH_H
#define NET_FETCH_H

#include "base/arena.h"
#include "base/err.h"
#include "net/pool.h"
#include "net/reactor.h"
#include "wire/http.h"
#include "wire/url.h"

struct fetcher;
struct fetch;
struct h2_call;
struct tls_client;

struct fetcher_opts {
    struct reactor *reactor;
    struct pool *pool;        /* for names; NULL: literals and localhost only. Closed before the fetcher */
    struct tls_client *trust; /* for https without fetch_tls.ca_pem; NULL: refused. Outlives the fetcher */
    size_t conns_per_host;    /* 0: 64 */
    size_t queue_per_host;    /* 0: 1024 */
    size_t fetches_max;       /* 0: 10,000 */
    int64_t idle_ms;          /* 0: 30 s */
    int64_t connect_ms;       /* 0: 5 s; all addresses of a name share it */
    /* Instead of the system's resolver (tests): at most max addresses; RC_NOTFOUND; blocks. */
    enum rc (*resolve)(const char *name, struct ip *out, size_t max, size_t *n);
};
FN struct fetcher *fetcher_open(const struct fetcher_opts *o);
/* The reactor runs no more and is still open, pools that post to it are closed. done is not called for what
 * is under way; pointers to such fetches are dead. */
FN void fetcher_close(struct fetcher *f);
FN struct h2_call **fetcher_calls(struct fetcher *f); /* gRPC calls that end with it (h2_call.h) */
FN struct reactor *fetcher_reactor(const struct fetcher *f);

/* "http://host:port/path?query", "https://...", "unix:/run/opa.sock:/path?query" (host: the socket's
 * path, path "/" when there is none). Host in lower case, an IPv6 address without brackets. A path has
 * its query with it and begins with '/'. */
struct fetch_url {
    bool tls, is_unix;
    struct slice host;
    int port;
    struct slice path;
};
FN enum rc fetch_url_parse(struct arena *a, struct slice url, struct fetch_url *out,
                           struct err *e) MUST_CHECK;

/* How to talk TLS; every field may be "". PEM texts. Without it: the fetcher's trust, no client
 * certificate, the URL's host. There is no way to switch the check of the certificate off. */
struct fetch_tls {
    struct slice ca_pem;            /* trust these and nothing else */
    struct slice cert_pem, key_pem; /* our certificate, when the server asks for one */
    struct slice server_name;       /* for SNI and the check, instead of the URL's host */
};

struct fetch_req {
    struct fetch_url url;
    struct slice method;               /* "": GET */
    const struct http_header *headers; /* Host may be among them; what frames the message may not */
    size_t headers_n;
    struct slice body;
    int64_t timeout_ms;     /* whole, queue and names included; 0: 5 s */
    size_t reply_bytes_max; /* of the body; 0: 1 MiB */
    const struct fetch_tls *tls;
    bool once; /* never sent twice: on a new connection, not repeated */
};
struct fetch_reply {
    /* RC_OK: there is an answer, of any status. RC_BADINPUT: the request cannot be sent, or the answer is
     * no HTTP. RC_TOOBIG, RC_TIMEOUT, RC_BUSY (a limit of ours), RC_NOTFOUND (no such host), RC_DENIED
     * (TLS: not trusted), RC_IO. */
    enum rc rc;
    const char *why;
    int status;
    const struct http_header *headers;
    size_t headers_n;
    struct slice body;
};
typedef void fetch_done_fn(void *user, const struct fetch_reply *r);
FN struct fetch *fetch_start(struct fetcher *f, const struct fetch_req *q, fetch_done_fn *done,
                             void *user); /* never NULL */
FN void fetch_cancel(struct fetch *x);           /* done is not called; not from inside done for the same one */
/* First header with that name, "" when there is none. */
FN struct slice fetch_header(const struct fetch_reply *r, struct slice name) UNUSED;

/* For protocols other than HTTP: names as fetches find them, and whom they trust. */
enum { FETCH_ADDRS_MAX = 8 };
struct fetch_ask { /* in the struct of who waits */
    void (*got)(struct fetch_ask *ask, enum rc rc, const char *why, const struct ip *ips, size_t n);
    struct fetch_ask *next, **link; /* link NULL: not waiting */
};
/* RC_OK: known, *n addresses in out. RC_AGAIN: got is called later, unless the fetcher is closed. Else *why. */
FN enum rc fetcher_find(struct fetcher *f, struct slice name, struct fetch_ask *ask,
                        struct ip out[FETCH_ADDRS_MAX], size_t *n, const char **why) MUST_CHECK;
FN struct tls_client *fetcher_trust(const struct fetcher *f); /* NULL: nobody */

struct fetch_counts { /* of one fetcher, now */
    size_t fetches, conns, idle, waiting, hosts;
};
FN void fetch_count(const struct fetcher *f, struct fetch_counts *out) UNUSED;

#endif
