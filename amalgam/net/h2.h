/*
 * h2.h - HTTP/2 server sessions (RFC 9113) over a connection, by nghttp2.
 *
 * A door that finds the client's preface (or agreed on "h2" by ALPN) calls h2_start: from then on the
 * connection speaks HTTP/2 and the door hears of streams by a table of functions. Requests come with
 * their head, then their body as it grows; answers are a head, bytes, and trailers. A stream's request
 * and body stay in its memory until `gone`.
 *
 * Bounds (struct h2_limits): streams at once, head, headers, body, bodies of a connection together, time
 * for a request to arrive and for an answer to be taken. Frames that move nothing (PING, SETTINGS,
 * PRIORITY, empty DATA ...) cost points, requests give some back: whoever runs out gets GOAWAY
 * ENHANCE_YOUR_CALM, likewise for resets and CONTINUATIONs without end. While 1 MiB of output waits
 * nothing more is read. Streams, their buffers, the library's tables and its buffer for a frame come from
 * a pool per thread: a session in its stride allocates only what nghttp2 does for its own stream, an idle
 * one holds about 5 KB and its tables of header fields, which are bounded (1 KiB as HPACK counts).
 *
 * When the reactor stops each session says goodbye twice (RFC 9113 6.8): at once, without a last stream, and
 * when the peer has answered a PING or 250 ms have passed; what came before that is answered.
 *
 * Ownership: the session belongs to its connection. Streams: to the session, from `head` to `gone`.
 * Threads: the reactor's. Errors: a broken session ends with GOAWAY; there is nothing for the door to do.
 */
#ifndef NET_H2_H
#define NET_H2_H

#include "net/conn.h"
#include "wire/http.h"

struct h2_limits {
    uint32_t streams_max;  /* at once, per connection */
    size_t head_bytes_max; /* names and values of one head; beyond it 431 */
    size_t headers_max;    /* beyond it 431 */
    size_t body_bytes_max; /* of one stream; beyond it the stream is reset */
    size_t held_bytes_max; /* bodies of all streams of a connection together; beyond it likewise */
    int64_t request_ms;    /* for a request to arrive whole; for an answer to be taken */
};

/* Preface of a client (RFC 9113 3.4). */
#define H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct h2_stream;
struct h2_request {
    struct slice method, path, scheme, authority;
    const struct http_header *headers; /* the others, as sent */
    size_t headers_n;
};
struct h2_door {
    /* bytes came and are about to be looked at: once per read, not per stream (optional) */
    void (*batch)(void *user);
    /* a request's head is there. The door may answer at once; the body is not kept then */
    void (*head)(struct h2_stream *s, void *user);
    /* its body grew, or is whole (also when it is empty); not called once the answer has begun, unless
     * h2_keep_reading was */
    void (*body)(struct h2_stream *s, void *user, bool whole);
    /* the time set with h2_deadline has passed (optional) */
    void (*late)(struct h2_stream *s, void *user);
    /* the stream is over, answered or not; called once for each `head`. s is not good any more */
    void (*gone)(struct h2_stream *s, void *user);
    /* the server stops: a call that streams (h2_keep_reading) should end; others are waited for (optional) */
    void (*stop)(struct h2_stream *s, void *user);
    /* the connection is over, after every `gone` */
    void (*close)(void *user);
};

/* Per thread: memory of streams that are over, and what all sessions share. */
struct h2_pool;
FN struct h2_pool *h2_pool_open(const struct h2_limits *limits);
FN void h2_pool_close(struct h2_pool *p);

/* From within the `data` of the connection's present protocol, whose `close` is not called any more. `in`
 * begins with the preface. Returns the bytes consumed, to be returned by that `data`. */
FN size_t h2_start(struct conn *c, struct h2_pool *p, const struct h2_door *door, void *user, struct slice in);

FN const struct h2_request *h2_request(const struct h2_stream *s);
FN struct buf *h2_body(struct h2_stream *s); /* unread part: the door may consume */
FN void h2_set_user(struct h2_stream *s, void *user);
FN void *h2_user(const struct h2_stream *s);
FN void h2_deadline(struct h2_stream *s, int64_t delay_ms); /* until the answer begins; `late` is called */
FN void h2_keep_reading(struct h2_stream *s); /* a call that streams: body goes on after h2_begin */

/* The answer: begin, append to h2_out as often as wanted, end. Each may be called at any time up to
 * `gone`; outside of the callbacks above h2_flush sends what was written. All is copied. */
FN void h2_begin(struct h2_stream *s, int status, const struct http_header *headers, size_t n);
FN struct buf *h2_out(struct h2_stream *s); /* bounded by 4 MiB */
FN void h2_wrote(struct h2_stream *s);      /* something was appended after h2_begin */
FN void h2_end(struct h2_stream *s, const struct http_header *trailers, size_t n);
/* A head that is all. */
FN void h2_head_only(struct h2_stream *s, int status, const struct http_header *headers, size_t n);
FN void h2_flush(struct h2_stream *s);

#endif
