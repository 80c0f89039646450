/*
 * http.h - HTTP/1.0 and HTTP/1.1 heads and bodies as bytes <-> structs (RFC 9110, RFC 9112).
 *
 * Strict where leniency is smuggling: bare LF, obs-fold, space before the colon, more than one
 * Content-Length, Content-Length with Transfer-Encoding, transfer codings other than chunked, NUL
 * or control bytes, more than one Host, missing Host on 1.1 are RC_BADINPUT. The caller answers 400
 * and closes. Slices point into the caller's bytes. No allocation, no I/O. Threads: pure.
 */
#ifndef WIRE_HTTP_H
#define WIRE_HTTP_H

#include "base/buf.h"
#include "base/err.h"

#define HTTP_HEADERS_MAX 128

struct http_header {
    struct slice name;  /* as sent; compare with slice_eq_ci */
    struct slice value; /* trimmed */
};

struct http_limits {
    size_t head_bytes_max;   /* 64 KiB */
    size_t target_bytes_max; /* 16 KiB */
    size_t headers_max;      /* <= HTTP_HEADERS_MAX */
};
FN const struct http_limits *http_limits_default(void);

struct http_head {
    struct slice method, target, host; /* host: the Host header, empty if none */
    int minor;                         /* HTTP/1.<minor>: 0 or 1 */
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t headers_n;
    bool keep_alive; /* from the version and Connection */
    bool chunked;
    bool has_length;
    bool expect_continue;
    uint64_t length;   /* Content-Length when has_length */
    size_t head_bytes; /* bytes used, including the empty line */
};

/* RC_OK: *h is filled and h->head_bytes consumed bytes. RC_AGAIN: more bytes needed. RC_TOOBIG: 431
 * (or 414 when e->place is "target"). RC_BADINPUT: 400. RC_VERSION: 505. */
FN enum rc http_head_read(struct slice in, const struct http_limits *lim, struct http_head *h,
                          struct err *e);
/* First header with that name (case folded), or NULL; count of them. */
FN const struct http_header *http_header_find(const struct http_head *h, struct slice name);
FN size_t http_header_count(const struct http_head *h, struct slice name);

/* Response heads, for the outbound client and the portal's relay. Same strictness. */
struct http_status_head {
    int status, minor;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t headers_n;
    bool keep_alive, chunked, has_length;
    uint64_t length;
    size_t head_bytes;
};
FN enum rc http_status_read(struct slice in, const struct http_limits *lim,
                            struct http_status_head *h, struct err *e);

/* Decodes a chunked body incrementally into out. RC_OK: done, *used bytes consumed (trailers
 * included, ignored). RC_AGAIN: *used consumed so far. Bounded by out->max_bytes (RC_TOOBIG). */
struct http_chunks { /* start with all zero */
    int state;
    uint64_t left;
    size_t trailer_bytes;
};
FN enum rc http_chunks_read(struct http_chunks *c, struct slice in, struct buf *out, size_t *used,
                            struct err *e);

FN const char *http_reason(int status); /* "OK", "Too Many Requests" ... */
/* True if value may stand in a header: no CR, LF, NUL or other control bytes. */
FN bool http_value_ok(struct slice value);
FN bool http_token_ok(struct slice name); /* RFC 9110 5.6.2 */

#endif
