/*
 * http.c - reads HTTP/1 heads and chunked bodies, strictly.
 *
 * The hot path of the check door: one pass over the bytes, no allocation, slices into the caller's
 * buffer. Names and values are scanned sixteen bytes at a time where the processor has SSE2. A
 * head that has not arrived whole gives RC_AGAIN and is read from its start again next time (the
 * 64 KiB bound and the header deadline of net/ keep that cheap).
 *
 * Request smuggling lives from servers that disagree, so everything on which they disagree is an
 * error here: see http.h. Pure; any thread. Tested by tests/unit/wire/test_http.c (a table of
 * smuggling attempts; every head split at every byte) and tests/fuzz/fuzz_http.c.
 */
#include "wire/http.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    HTTP_METHOD_MAX = 32,
    HTTP_OVERHEAD_MAX = 16 << 10, /* chunk extensions, size digits and trailers of one body */
};

const struct http_limits *http_limits_default(void)
{
    static const struct http_limits limits = {64 << 10, 16 << 10, HTTP_HEADERS_MAX};
    return &limits;
}

/* ---------------------------------------------------------------- classes of bytes */

enum { HTTP_TOKEN = 1, HTTP_VALUE = 2, HTTP_TARGET = 4 };

/* tchar of RFC 9110 5.6.2; field content with spaces and tabs; visible ASCII. */
static inline unsigned http_class(char c)
{
    enum {
        T = HTTP_TOKEN | HTTP_VALUE | HTTP_TARGET,
        P = HTTP_VALUE | HTTP_TARGET,
        V = HTTP_VALUE
    };
    static const unsigned char classes[256] = {
        /* 00 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, V, 0, 0, 0, 0, 0, 0,
        /* 10 */ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        /* 20 */ V, T, P, T, T, T, T, T, P, P, T, T, P, T, T, P,
        /* 30 */ T, T, T, T, T, T, T, T, T, T, P, P, P, P, P, P,
        /* 40 */ P, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,
        /* 50 */ T, T, T, T, T, T, T, T, T, T, T, P, P, P, T, T,
        /* 60 */ T, T, T, T, T, T, T, T, T, T, T, T, T, T, T, T,
        /* 70 */ T, T, T, T, T, T, T, T, T, T, T, P, T, P, T, 0,
        /* 80 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* 90 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* a0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* b0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* c0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* d0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* e0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
        /* f0 */ V, V, V, V, V, V, V, V, V, V, V, V, V, V, V, V,
    };
    return classes[(unsigned char)c];
}

static inline const char *http_skip(const char *p, const char *end, unsigned class)
{
    while (p < end && (http_class(*p) & class))
        p++;
    return p;
}

#ifdef __SSE2__
/* One bit for each of 16 bytes that is below `low` or DEL (or, with ascii, above it). */
static inline unsigned http_odd_bytes(const char *p, char low, bool ascii)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i at_least = _mm_cmpeq_epi8(_mm_max_epu8(v, _mm_set1_epi8(low)), v);
    unsigned odd = ~(unsigned)_mm_movemask_epi8(at_least) & 0xffffu;
    odd |= (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    return ascii ? odd | (unsigned)_mm_movemask_epi8(v) : odd;
}
#endif

/* First byte that may not stand in a value. The wide loop leaves tabs to the narrow one. */
static inline const char *http_skip_value(const char *p, const char *end)
{
#ifdef __SSE2__
    while (end - p >= 16) {
        unsigned odd = http_odd_bytes(p, ' ', false);
        if (!odd) {
            p += 16;
            continue;
        }
        p += __builtin_ctz(odd);
        if (*p != '\t')
            return p;
        p++;
    }
#endif
    return http_skip(p, end, HTTP_VALUE);
}

/* First byte that may not stand in a request target. */
static inline const char *http_skip_target(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        unsigned odd = http_odd_bytes(p, '!', true);
        if (odd)
            return p + __builtin_ctz(odd);
    }
#endif
    return http_skip(p, end, HTTP_TARGET);
}

bool http_value_ok(struct slice value)
{
    return value.n == 0 || http_skip_value(value.p, value.p + value.n) == value.p + value.n;
}

bool http_token_ok(struct slice name)
{
    return name.n > 0 && http_skip(name.p, name.p + name.n, HTTP_TOKEN) == name.p + name.n;
}

/* ---------------------------------------------------------------- header lines */

/* What the headers say about the connection and the body. */
struct http_framing {
    struct slice host;
    unsigned hosts;
    bool close, keep, chunked, coding, has_length, expect;
    uint64_t length;
};

static COLD enum rc http_bad(struct err *e, const char *what)
{
    return err_set(e, RC_BADINPUT, "%s", what);
}

/* Calls for each member of a comma separated list: is `word` among them? */
static bool http_list_has(struct slice list, struct slice word)
{
    struct slice rest = list;
    while (rest.n > 0)
        if (slice_eq_ci(slice_trim(slice_cut(rest, ',', &rest)), word))
            return true;
    return false;
}

static enum rc http_frame_length(struct http_framing *f, struct slice value, struct err *e)
{
    if (f->has_length)
        return http_bad(e, "more than one Content-Length");
    if (value.n > 19 || !slice_u64(value, &f->length))
        return http_bad(e, "Content-Length is not a number");
    f->has_length = true;
    return RC_OK;
}

static enum rc http_frame_coding(struct http_framing *f, struct slice value, struct err *e)
{
    if (f->coding)
        return http_bad(e, "more than one Transfer-Encoding");
    if (!slice_eq_ci(value, S("chunked")))
        return http_bad(e, "the only Transfer-Encoding served is chunked");
    f->coding = f->chunked = true;
    return RC_OK;
}

/* Headers that frame the message; the length of the name excludes nearly all others. */
static inline enum rc http_frame(struct http_framing *f, const struct http_header *h, struct err *e)
{
    switch (h->name.n) {
    case 4:
        if (slice_eq_ci(h->name, S("host"))) {
            f->host = h->value;
            if (++f->hosts > 1)
                return http_bad(e, "more than one Host");
        }
        return RC_OK;
    case 6:
        if (slice_eq_ci(h->name, S("expect")))
            f->expect |= slice_eq_ci(h->value, S("100-continue"));
        return RC_OK;
    case 10:
        if (slice_eq_ci(h->name, S("connection"))) {
            f->close |= http_list_has(h->value, S("close"));
            f->keep |= http_list_has(h->value, S("keep-alive"));
        }
        return RC_OK;
    case 14:
        if (slice_eq_ci(h->name, S("content-length")))
            return http_frame_length(f, h->value, e);
        return RC_OK;
    case 17:
        if (slice_eq_ci(h->name, S("transfer-encoding")))
            return http_frame_coding(f, h->value, e);
        return RC_OK;
    default:
        return RC_OK;
    }
}

/* One "name: value" line at *at. RC_AGAIN: it does not end within the bytes. */
static inline enum rc http_line(const char **at, const char *end, struct http_header *h,
                                struct err *e)
{
    const char *p = *at, *name = p;
    p = http_skip(p, end, HTTP_TOKEN);
    if (p == end)
        return RC_AGAIN;
    if (UNLIKELY(p == name || *p != ':')) {
        if (p == name && (*p == ' ' || *p == '\t'))
            return http_bad(e, "folded header line");
        return http_bad(e, p == name ? "a header line without a name"
                                     : "a byte that must not stand in a header name");
    }
    h->name = slice_of(name, (size_t)(p - name));
    p++;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    const char *value = p;
    p = http_skip_value(p, end);
    if (p == end || (*p == '\r' && p + 1 == end))
        return RC_AGAIN;
    if (UNLIKELY(*p != '\r' || p[1] != '\n'))
        return http_bad(e, *p == '\n' ? "a line that ends without CR"
                                      : "a control byte in a header value");
    const char *last = p;
    while (last > value && (last[-1] == ' ' || last[-1] == '\t'))
        last--;
    h->value = slice_of(value, (size_t)(last - value));
    *at = p + 2;
    return RC_OK;
}

/* All header lines and the empty line behind them. */
static enum rc http_lines(const char **at, const char *end, size_t max, struct http_header *headers,
                          size_t *n, struct http_framing *f, struct err *e)
{
    *n = 0;
    while (true) {
        if (*at == end)
            return RC_AGAIN;
        if (**at == '\r') {
            if (*at + 1 == end)
                return RC_AGAIN;
            if ((*at)[1] != '\n')
                return http_bad(e, "CR without LF");
            *at += 2;
            return RC_OK;
        }
        if (UNLIKELY(*n == max)) {
            return err_at(e, RC_TOOBIG, "headers", "more than %zu headers", max);
        }
        struct http_header *h = &headers[*n];
        enum rc rc = http_line(at, end, h, e);
        if (UNLIKELY(rc != RC_OK))
            return rc;
        rc = http_frame(f, h, e);
        if (UNLIKELY(rc != RC_OK))
            return rc;
        (*n)++;
    }
}

static enum rc http_framing_check(const struct http_framing *f, int minor, struct err *e)
{
    if (f->coding && f->has_length)
        return http_bad(e, "Content-Length together with Transfer-Encoding");
    if (f->coding && minor == 0)
        return http_bad(e, "Transfer-Encoding in HTTP/1.0");
    return RC_OK;
}

/* "HTTP/1.1" or "HTTP/1.0" at p, 8 bytes are there. */
static enum rc http_version(const char *p, int *minor, struct err *e)
{
    if (memcmp(p, "HTTP/", 5) != 0 || !ascii_digit(p[5]) || p[6] != '.' || !ascii_digit(p[7]))
        return http_bad(e, "no HTTP version");
    if (p[5] != '1' || p[7] > '1')
        return err_set(e, RC_VERSION, "HTTP/%c.%c is not served", p[5], p[7]);
    *minor = p[7] - '0';
    return RC_OK;
}

/* ---------------------------------------------------------------- requests */

static enum rc http_request_line(const char **at, const char *end, const struct http_limits *lim,
                                 struct http_head *h, struct err *e)
{
    const char *p = *at, *start = p;
    p = http_skip(p, MIN(end, start + HTTP_METHOD_MAX + 1), HTTP_TOKEN);
    if (p - start > HTTP_METHOD_MAX)
        return http_bad(e, "the method is too long");
    if (p == end)
        return RC_AGAIN;
    if (*p != ' ' || p == start)
        return http_bad(e, "no method at the start of the request");
    h->method = slice_of(start, (size_t)(p - start));
    start = ++p;
    p = http_skip_target(p, end);
    if ((size_t)(p - start) > lim->target_bytes_max)
        return err_at(e, RC_TOOBIG, "target", "the request target is longer than %zu bytes",
                      lim->target_bytes_max);
    if (p == end)
        return RC_AGAIN;
    if (*p != ' ' || p == start)
        return http_bad(e, "a byte that must not stand in a request target");
    h->target = slice_of(start, (size_t)(p - start));
    p++;
    if (end - p < 10)
        return end - p > 0 && memcmp(p, "HTTP/1.1\r", MIN((size_t)(end - p), 5)) != 0
                   ? http_bad(e, "no HTTP version")
                   : RC_AGAIN;
    enum rc rc = http_version(p, &h->minor, e);
    if (rc != RC_OK)
        return rc;
    if (p[8] != '\r' || p[9] != '\n')
        return http_bad(e, "the request line does not end with CR LF");
    *at = p + 10;
    return RC_OK;
}

static enum rc http_again(struct slice in, size_t max, struct err *e)
{
    if (in.n >= max)
        return err_at(e, RC_TOOBIG, "head", "the head is longer than %zu bytes", max);
    return RC_AGAIN;
}

HOT enum rc http_head_read(struct slice in, const struct http_limits *lim, struct http_head *h,
                           struct err *e)
{
    const char *p = in.p, *end = in.p + MIN(in.n, lim->head_bytes_max);
    struct http_framing f = {.host = {"", 0}};
    if (in.n >= 2 && p[0] == '\r' && p[1] == '\n')
        p += 2; /* one empty line before a request is ignored, RFC 9112 2.2 */
    if (p == end || (p + 1 == end && *p == '\r'))
        return RC_AGAIN;
    enum rc rc = http_request_line(&p, end, lim, h, e);
    if (rc == RC_OK)
        rc = http_lines(&p, end, lim->headers_max, h->headers, &h->headers_n, &f, e);
    if (rc == RC_AGAIN)
        return http_again(in, lim->head_bytes_max, e);
    if (rc == RC_OK)
        rc = http_framing_check(&f, h->minor, e);
    if (UNLIKELY(rc != RC_OK))
        return rc;
    if (f.hosts == 0 && h->minor == 1)
        return http_bad(e, "no Host");
    h->host = f.host;
    h->keep_alive = !f.close && (h->minor == 1 || f.keep);
    h->chunked = f.chunked;
    h->has_length = f.has_length;
    h->length = f.length;
    h->expect_continue = f.expect && h->minor == 1;
    h->head_bytes = (size_t)(p - in.p);
    return RC_OK;
}

const struct http_header *http_header_find(const struct http_head *h, struct slice name)
{
    for (size_t i = 0; i < h->headers_n; i++)
        if (h->headers[i].name.n == name.n && slice_eq_ci(h->headers[i].name, name))
            return &h->headers[i];
    return NULL;
}

size_t http_header_count(const struct http_head *h, struct slice name)
{
    size_t n = 0;
    for (size_t i = 0; i < h->headers_n; i++)
        n += slice_eq_ci(h->headers[i].name, name) ? 1 : 0;
    return n;
}

/* ---------------------------------------------------------------- responses */

/* "HTTP/1.1 200 OK" with or without a reason. */
static enum rc http_status_line(const char **at, const char *end, struct http_status_head *h,
                                struct err *e)
{
    const char *p = *at;
    if (end - p < 13)
        return end - p > 0 && memcmp(p, "HTTP/", MIN((size_t)(end - p), 5)) != 0
                   ? http_bad(e, "not an HTTP response")
                   : RC_AGAIN;
    enum rc rc = http_version(p, &h->minor, e);
    if (rc != RC_OK)
        return rc;
    if (p[8] != ' ' || p[9] < '1' || p[9] > '5' || !ascii_digit(p[10]) || !ascii_digit(p[11]) ||
        (p[12] != ' ' && p[12] != '\r'))
        return http_bad(e, "no status code");
    h->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    p = http_skip_value(p + 12, end);
    if (p == end || p + 1 == end)
        return RC_AGAIN;
    if (p[0] != '\r' || p[1] != '\n')
        return http_bad(e, "the status line does not end with CR LF");
    *at = p + 2;
    return RC_OK;
}

enum rc http_status_read(struct slice in, const struct http_limits *lim, struct http_status_head *h,
                         struct err *e)
{
    const char *p = in.p, *end = in.p + MIN(in.n, lim->head_bytes_max);
    struct http_framing f = {.host = {"", 0}};
    enum rc rc = http_status_line(&p, end, h, e);
    if (rc == RC_OK)
        rc = http_lines(&p, end, lim->headers_max, h->headers, &h->headers_n, &f, e);
    if (rc == RC_AGAIN)
        return http_again(in, lim->head_bytes_max, e);
    if (rc == RC_OK)
        rc = http_framing_check(&f, h->minor, e);
    if (rc != RC_OK)
        return rc;
    h->keep_alive = !f.close && (h->minor == 1 || f.keep);
    h->chunked = f.chunked;
    h->has_length = f.has_length;
    h->length = f.length;
    h->head_bytes = (size_t)(p - in.p);
    return RC_OK;
}

/* ---------------------------------------------------------------- chunked bodies */

enum http_chunk_state {
    HTTP_SIZE_FIRST, /* must be 0: a zeroed struct starts here */
    HTTP_SIZE,
    HTTP_EXTENSION,
    HTTP_SIZE_LF,
    HTTP_DATA,
    HTTP_DATA_CR,
    HTTP_DATA_LF,
    HTTP_TRAILER_START,
    HTTP_TRAILER,
    HTTP_TRAILER_LF,
    HTTP_END_LF,
    HTTP_DONE
};

static enum rc http_chunk_size(struct http_chunks *c, char b, struct err *e)
{
    int digit = ascii_hex(b);
    if (digit >= 0) {
        if (c->left >> 60)
            return http_bad(e, "a chunk size that is too large");
        c->left = c->left << 4 | (unsigned)digit;
        c->state = HTTP_SIZE;
        c->trailer_bytes += c->left == 0 ? 1 : 0;
        return RC_OK;
    }
    if (c->state == HTTP_SIZE_FIRST)
        return http_bad(e, "a chunk without a size");
    if (b == '\r')
        c->state = HTTP_SIZE_LF;
    else if (b == ';' || b == ' ' || b == '\t')
        c->state = HTTP_EXTENSION;
    else
        return http_bad(e, "a chunk size that is not hexadecimal");
    return RC_OK;
}

/* Bytes that must be a certain one, and the state behind them. */
static enum rc http_chunk_expect(struct http_chunks *c, char b, char want, int next, struct err *e)
{
    if (b != want)
        return http_bad(e, "a chunked body with a line that does not end with CR LF");
    c->state = next;
    return RC_OK;
}

/* Any byte outside the data. */
static enum rc http_chunk_byte(struct http_chunks *c, char b, struct err *e)
{
    switch (c->state) {
    case HTTP_SIZE_FIRST:
    case HTTP_SIZE:
        return http_chunk_size(c, b, e);
    case HTTP_SIZE_LF:
        return http_chunk_expect(c, b, '\n', c->left ? HTTP_DATA : HTTP_TRAILER_START, e);
    case HTTP_DATA_CR:
        return http_chunk_expect(c, b, '\r', HTTP_DATA_LF, e);
    case HTTP_DATA_LF:
        return http_chunk_expect(c, b, '\n', HTTP_SIZE_FIRST, e);
    case HTTP_TRAILER_LF:
        return http_chunk_expect(c, b, '\n', HTTP_TRAILER_START, e);
    case HTTP_END_LF:
        return http_chunk_expect(c, b, '\n', HTTP_DONE, e);
    default: /* extension or trailer text */
        if (b == '\r') {
            c->state = c->state == HTTP_EXTENSION       ? HTTP_SIZE_LF
                       : c->state == HTTP_TRAILER_START ? HTTP_END_LF
                                                        : HTTP_TRAILER_LF;
            return RC_OK;
        }
        if (!(http_class(b) & HTTP_VALUE))
            return http_bad(e, "a control byte in a chunk extension or trailer");
        if (c->state == HTTP_TRAILER_START)
            c->state = HTTP_TRAILER;
        c->trailer_bytes++;
        return RC_OK;
    }
}

enum rc http_chunks_read(struct http_chunks *c, struct slice in, struct buf *out, size_t *used,
                         struct err *e)
{
    size_t at = 0;
    enum rc rc = RC_OK;
    while (at < in.n && c->state != HTTP_DONE && rc == RC_OK) {
        if (c->state != HTTP_DATA) {
            rc = http_chunk_byte(c, in.p[at++], e);
            if (c->trailer_bytes > HTTP_OVERHEAD_MAX)
                rc = err_set(e, RC_TOOBIG, "a chunked body with too many extensions or trailers");
            continue;
        }
        size_t n = c->left < in.n - at ? (size_t)c->left : in.n - at;
        buf_put(out, in.p + at, n);
        if (buf_over(out))
            rc = err_set(e, RC_TOOBIG, "the body is longer than %zu bytes", out->max_bytes);
        at += n;
        c->left -= n;
        if (c->left == 0)
            c->state = HTTP_DATA_CR;
    }
    *used = at;
    if (rc != RC_OK)
        return rc;
    return c->state == HTTP_DONE ? RC_OK : RC_AGAIN;
}

/* ---------------------------------------------------------------- reasons */

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].status == status)
            return rows[i].text;
    return "Unknown";
}
