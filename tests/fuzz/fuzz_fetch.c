/*
 * fuzz_fetch.c - answers of other servers with any bytes, and URLs.
 *
 * The reader must come to the same result however the bytes were cut, keep its bounds, and give headers
 * that could be sent on. First byte: what is read; second: the size of the pieces. Seeds:
 * tests/fuzz/seeds/fuzz_fetch.
 */
#include "net/fetch_inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FUZZ_FETCH_BODY_MAX = 2048 };

static enum rc fuzz_fetch_feed(struct fetch_reader *r, struct slice in, size_t piece, bool clean)
{
    size_t at = 0, have = 0, used;
    const char *why = NULL;
    enum rc rc = RC_AGAIN;
    while (rc == RC_AGAIN && have < in.n) {
        have = MIN(have + piece, in.n);
        rc = fetch_reader_take(r, slice_of(in.p + at, have - at), &used, &why);
        MUST(used <= have - at);
        at += used;
    }
    if (rc == RC_AGAIN)
        rc = fetch_reader_end(r, clean, &why);
    MUST(rc == RC_OK || why != NULL);
    return rc;
}

static void fuzz_fetch_good(const struct fetch_reader *r)
{
    MUST(r->status >= 200 && r->status <= 599 && r->body.n <= FUZZ_FETCH_BODY_MAX);
    for (size_t i = 0; i < r->headers_n; i++)
        MUST(http_token_ok(r->headers[i].name) && http_value_ok(r->headers[i].value));
}

static void fuzz_fetch_answer(struct slice in, size_t piece, bool head)
{
    struct fetch_reader a, b;
    fetch_reader_init(&a, head, FUZZ_FETCH_BODY_MAX);
    fetch_reader_init(&b, head, FUZZ_FETCH_BODY_MAX);
    enum rc one = fuzz_fetch_feed(&a, in, MAX(in.n, 1), true);
    enum rc two = fuzz_fetch_feed(&b, in, piece, true);
    MUST((one == RC_OK) == (two == RC_OK));
    if (one == RC_OK) {
        fuzz_fetch_good(&a);
        MUST(a.status == b.status && a.headers_n == b.headers_n && a.keep_alive == b.keep_alive);
        MUST(slice_eq(buf_all(&a.body), buf_all(&b.body)));
    }
    fetch_reader_free(&a);
    fetch_reader_free(&b);
}

static void fuzz_fetch_url(struct slice in)
{
    struct arena a;
    struct fetch_url u;
    struct buf out;
    struct err e;
    const char *why;
    arena_init(&a, 1024, 0);
    if (fetch_url_parse(&a, in, &u, &e) == RC_OK) {
        struct fetch_req q = {.url = u};
        buf_init(&out, 1 << 20);
        MUST(fetch_write(&q, &out, &why) == RC_OK); /* what is accepted can be sent: one head, one Host */
        struct http_head h;
        MUST(http_head_read(buf_all(&out), http_limits_default(), &h, &e) == RC_OK);
        MUST(h.head_bytes == out.n && h.headers_n == 2 && slice_eq(h.target, u.path));
        buf_free(&out);
    }
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    char *copy = mem_alloc(size - 2); /* exactly this size: an overread shows */
    memcpy(copy, data + 2, size - 2);
    struct slice in = slice_of(copy, size - 2);
    if (data[0] < 0x20)
        fuzz_fetch_url(in);
    else
        fuzz_fetch_answer(in, (size_t)data[1] + 1, data[0] & 1);
    mem_free(copy);
    return 0;
}
