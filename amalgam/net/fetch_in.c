/*
 * fetch_in.c - reads one answer of another server, piece by piece, within bounds.
 *
 * Called by fetch.c with what a connection got; the fuzz target calls it with anything. Heads by
 * wire/http, as strict as for requests: what two readers could understand in two ways is no answer.
 * Body by Content-Length, chunked, or until the end of the connection; 204, 304 and answers to HEAD
 * have none; interim answers (1xx) are skipped, a switch of protocols is refused. Owns copies of the
 * head and the body. Pure otherwise. Tested by tests/unit/net/test_fetch_parts.c and
 * tests/fuzz/fuzz_fetch.c.
 */
#include "net/fetch_inside.h"

void fetch_reader_init(struct fetch_reader *r, bool no_body, size_t body_bytes_max)
{
    memset(r, 0, sizeof *r);
    r->no_body = no_body;
    buf_init(&r->body, body_bytes_max);
}

void fetch_reader_free(struct fetch_reader *r)
{
    mem_free(r->head);
    mem_free(r->headers);
    buf_free(&r->body);
    r->head = NULL;
    r->headers = NULL;
}

static enum rc fetch_said(const char **why, enum rc rc, const char *text)
{
    *why = text;
    return rc;
}

/* The head's bytes go away: keep a copy, and headers that point into it. */
static void fetch_keep_head(struct fetch_reader *r, struct slice in, const struct http_status_head *h)
{
    r->status = h->status;
    r->keep_alive = h->keep_alive;
    r->head = mem_alloc(h->head_bytes);
    memcpy(r->head, in.p, h->head_bytes);
    r->headers_n = h->headers_n;
    r->headers = mem_alloc((h->headers_n + 1) * sizeof *r->headers);
    for (size_t i = 0; i < h->headers_n; i++) {
        const struct http_header *from = &h->headers[i];
        r->headers[i].name = slice_of(r->head + (from->name.p - in.p), from->name.n);
        r->headers[i].value = slice_of(r->head + (from->value.p - in.p), from->value.n);
    }
}

static enum rc fetch_take_body_form(struct fetch_reader *r, const struct http_status_head *h,
                                    const char **why)
{
    if (r->no_body || h->status == 204 || h->status == 304) {
        r->part = FETCH_DONE;
    } else if (h->chunked) {
        r->part = FETCH_CHUNKED;
    } else if (h->has_length) {
        if (h->length > r->body.max_bytes)
            return fetch_said(why, RC_TOOBIG, "the answer is too large");
        r->left = h->length;
        r->part = r->left > 0 ? FETCH_LENGTH : FETCH_DONE;
    } else {
        r->part = FETCH_UNTIL_END;
        r->keep_alive = false;
    }
    return RC_OK;
}

/* A head that drips in is looked at when a line has ended, not for each byte. */
static bool fetch_worth_a_look(struct fetch_reader *r, struct slice in)
{
    size_t seen = MIN(r->seen, in.n);
    r->seen = in.n;
    return in.n >= FETCH_HEAD_BYTES || memchr(in.p + seen, '\n', in.n - seen) != NULL ||
           (in.n >= 5 && memcmp(in.p, "HTTP/", 5) != 0);
}

static enum rc fetch_take_head(struct fetch_reader *r, struct slice in, size_t *used, const char **why)
{
    static const struct http_limits limits = {FETCH_HEAD_BYTES, FETCH_TARGET_BYTES, HTTP_HEADERS_MAX};
    struct http_status_head h;
    struct err e;
    if (in.n == 0 || !fetch_worth_a_look(r, in))
        return RC_AGAIN;
    enum rc rc = http_status_read(in, &limits, &h, &e);
    if (rc == RC_AGAIN)
        return rc;
    if (rc != RC_OK)
        return fetch_said(why, rc == RC_TOOBIG ? RC_TOOBIG : RC_BADINPUT,
                          rc == RC_TOOBIG ? "the answer's head is too large" : "the answer is no HTTP/1.1");
    *used += h.head_bytes;
    r->seen = 0;
    if (h.status == 101 || (h.status < 200 && ++r->interim > FETCH_INTERIM_MAX))
        return fetch_said(why, RC_BADINPUT, "an interim answer that was not asked for");
    if (h.status < 200)
        return RC_OK; /* the part is still the head */
    fetch_keep_head(r, in, &h);
    return fetch_take_body_form(r, &h, why);
}

static enum rc fetch_take_body(struct fetch_reader *r, struct slice in, size_t *used, const char **why)
{
    struct err e;
    size_t n = in.n;
    if (r->part == FETCH_CHUNKED) {
        enum rc rc = http_chunks_read(&r->chunks, in, &r->body, &n, &e);
        *used += n;
        if (rc == RC_OK)
            r->part = FETCH_DONE;
        else if (rc == RC_TOOBIG)
            (void)fetch_said(why, rc, "the answer is too large");
        else if (rc != RC_AGAIN)
            (void)fetch_said(why, rc, "the answer's chunks are malformed");
        return rc;
    }
    if (r->part == FETCH_LENGTH)
        n = (size_t)MIN(r->left, (uint64_t)in.n);
    buf_put(&r->body, in.p, n);
    if (buf_over(&r->body))
        return fetch_said(why, RC_TOOBIG, "the answer is too large");
    *used += n;
    r->left -= r->part == FETCH_LENGTH ? n : 0;
    if (r->part == FETCH_LENGTH && r->left == 0)
        r->part = FETCH_DONE;
    return r->part == FETCH_DONE ? RC_OK : RC_AGAIN;
}

enum rc fetch_reader_take(struct fetch_reader *r, struct slice in, size_t *used, const char **why)
{
    enum rc rc = RC_OK;
    *used = 0;
    while (rc == RC_OK && r->part != FETCH_DONE) {
        struct slice rest = slice_from(in, *used);
        rc = r->part == FETCH_HEAD ? fetch_take_head(r, rest, used, why)
                                   : fetch_take_body(r, rest, used, why);
    }
    return rc;
}

enum rc fetch_reader_end(struct fetch_reader *r, bool clean, const char **why)
{
    if (r->part == FETCH_DONE)
        return RC_OK;
    if (r->part != FETCH_UNTIL_END || !clean)
        return fetch_said(why, RC_IO, "the connection ended before the answer was complete");
    r->part = FETCH_DONE;
    return RC_OK;
}
