/*
 * fetch_inside.h - what the files of the outbound client share: the request on its way out, the reader
 * of answers, hosts with their connections, names.
 *
 * fetch_out.c writes requests and parses URLs, fetch_in.c reads answers (both pure), fetch_dns.c knows
 * names, fetch.c has the connections and the life of a fetch. Threads: the reactor's, but for the work
 * of a name's job.
 */
#ifndef NET_FETCH_INSIDE_H
#define NET_FETCH_INSIDE_H

#include "base/map.h"
#include "net/fetch.h"
#include "net/inside.h"

enum {
    FETCH_CONNS_PER_HOST = 64,
    FETCH_QUEUE_PER_HOST = 1024,
    FETCH_FETCHES_MAX = 10000,
    FETCH_HOSTS_MAX = 1024,
    FETCH_TRUSTS_MAX = 64, /* TLS settings of requests' own */
    FETCH_IDLE_MS = 30 * 1000,
    FETCH_CONNECT_MS = 5 * 1000,
    FETCH_TIMEOUT_MS = 5 * 1000,
    FETCH_TIMEOUT_MS_MAX = 10 * 60 * 1000,
    FETCH_REPLY_BYTES = 1024 * 1024,
    FETCH_HEAD_BYTES = 64 * 1024,   /* of an answer */
    FETCH_REQUEST_BYTES = 16 << 20, /* head and body of a request */
    FETCH_TARGET_BYTES = 16 * 1024,
    FETCH_INTERIM_MAX = 8, /* answers 1xx before the real one */
    FETCH_NAME_BYTES = 254
};

/* ---- requests (fetch_out.c) ---- */

/* Writes head and body. RC_BADINPUT, RC_TOOBIG with *why. */
FN enum rc fetch_write(const struct fetch_req *q, struct buf *out, const char **why);

/* ---- answers (fetch_in.c) ---- */

enum fetch_part { FETCH_HEAD, FETCH_LENGTH, FETCH_CHUNKED, FETCH_UNTIL_END, FETCH_DONE };
struct fetch_reader { /* fetch_reader_init ... fetch_reader_free */
    enum fetch_part part;
    bool no_body;    /* the request was HEAD */
    bool keep_alive; /* the connection may be used again */
    int status, interim;
    uint64_t left;
    struct http_chunks chunks;
    char *head; /* copied; headers point into it */
    struct http_header *headers;
    size_t headers_n;
    struct buf body;
    size_t seen; /* bytes of a head that is not whole, looked at */
};
FN void fetch_reader_init(struct fetch_reader *r, bool no_body, size_t body_bytes_max);
FN void fetch_reader_free(struct fetch_reader *r);
/* RC_OK: the answer is whole, *used bytes were its. RC_AGAIN: offer the rest again, with more. Else
 * *why. */
FN enum rc fetch_reader_take(struct fetch_reader *r, struct slice in, size_t *used, const char **why);
/* The connection has ended. clean: as its protocol wants it (TLS). */
FN enum rc fetch_reader_end(struct fetch_reader *r, bool clean, const char **why);

/* ---- names (fetch_dns.c) ---- */

struct fetch_names;
FN struct fetch_names *fetch_names_open(const struct fetcher_opts *o);
FN void fetch_names_close(struct fetch_names *d);
/* RC_OK: known, *n addresses in out. RC_AGAIN: got is called later. Else *why. */
FN enum rc fetch_names_find(struct fetch_names *d, struct slice name, struct fetch_ask *ask,
                            struct ip out[FETCH_ADDRS_MAX], size_t *n, const char **why);
FN void fetch_names_forget(struct fetch_ask *ask); /* waits no more */

#endif
