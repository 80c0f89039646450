/*
 * fuzz_http.c - request heads, response heads and chunked bodies with any bytes.
 *
 * What is accepted must keep the promises of http.h: slices inside the input, no control bytes, one
 * way to find the body, and the same answer however the bytes were cut. The first byte chooses what
 * is read. Seeds: tests/fuzz/seeds/fuzz_http.
 */
#include "base/mem.h"
#include "wire/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_http_headers(struct slice in, const struct http_header *h, size_t n)
{
    MUST(n <= HTTP_HEADERS_MAX);
    for (size_t i = 0; i < n; i++) {
        MUST(h[i].name.p >= in.p && h[i].value.p + h[i].value.n <= in.p + in.n);
        MUST(http_token_ok(h[i].name) && http_value_ok(h[i].value));
        MUST(slice_eq(slice_trim(h[i].value), h[i].value));
    }
}

static void fuzz_http_request(struct slice in)
{
    static struct http_head h, again;
    struct err e;
    enum rc rc = http_head_read(in, http_limits_default(), &h, &e);
    if (rc != RC_OK) {
        MUST(rc == RC_AGAIN || rc == RC_BADINPUT || rc == RC_TOOBIG || rc == RC_VERSION);
        return;
    }
    MUST(h.head_bytes > 0 && h.head_bytes <= in.n &&
         slice_ends(slice_sub(in, 0, h.head_bytes), S("\r\n\r\n")));
    fuzz_http_headers(in, h.headers, h.headers_n);
    MUST(!(h.chunked && h.has_length) && !(h.chunked && h.minor == 0));
    MUST(http_header_count(&h, S("content-length")) == (h.has_length ? 1u : 0u));
    MUST(http_header_count(&h, S("transfer-encoding")) == (h.chunked ? 1u : 0u));
    size_t hosts = http_header_count(&h, S("host"));
    MUST(hosts == 1 || (hosts == 0 && h.minor == 0));
    MUST(http_token_ok(h.method) && slice_printable(h.target) && h.target.n > 0);
    /* the head alone reads the same; one byte less asks for more */
    MUST(http_head_read(slice_sub(in, 0, h.head_bytes), http_limits_default(), &again, &e) ==
         RC_OK);
    MUST(again.head_bytes == h.head_bytes && again.headers_n == h.headers_n);
    MUST(http_head_read(slice_sub(in, 0, h.head_bytes - 1), http_limits_default(), &again, &e) ==
         RC_AGAIN);
}

static void fuzz_http_response(struct slice in)
{
    static struct http_status_head h;
    struct err e;
    if (http_status_read(in, http_limits_default(), &h, &e) != RC_OK)
        return;
    MUST(h.head_bytes <= in.n && h.status >= 100 && h.status <= 599);
    MUST(!(h.chunked && h.has_length));
    fuzz_http_headers(in, h.headers, h.headers_n);
}

static enum rc fuzz_http_body(struct slice in, size_t piece, struct buf *out, size_t *all)
{
    struct http_chunks c = {0};
    struct err e;
    enum rc rc = RC_AGAIN;
    *all = 0;
    while (rc == RC_AGAIN && *all < in.n) {
        size_t used, n = MIN(piece, in.n - *all);
        rc = http_chunks_read(&c, slice_sub(in, *all, n), out, &used, &e);
        MUST(used <= n);
        *all += used;
    }
    return rc;
}

static void fuzz_http_chunked(struct slice in, size_t piece)
{
    struct buf a, b;
    size_t used_a, used_b;
    buf_init(&a, 4096);
    buf_init(&b, 4096);
    enum rc one = fuzz_http_body(in, in.n, &a, &used_a);
    enum rc two = fuzz_http_body(in, piece, &b, &used_b);
    MUST(one == two);
    if (one == RC_OK)
        MUST(used_a == used_b && slice_eq(buf_all(&a), buf_all(&b)));
    buf_free(&a);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    char *copy = mem_alloc(size - 1); /* exactly this size: an overread shows */
    memcpy(copy, data + 1, size - 1);
    struct slice in = slice_of(copy, size - 1);
    if (data[0] < 0x80)
        fuzz_http_request(in);
    else if (data[0] < 0xc0)
        fuzz_http_response(in);
    else
        fuzz_http_chunked(in, (size_t)(data[0] & 0x3f) + 1);
    mem_free(copy);
    return 0;
}
