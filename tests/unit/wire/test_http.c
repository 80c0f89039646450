/* test_http.c - request and response heads, smuggling attempts, chunked bodies. */
#include "base/mem.h"
#include "t.h"
#include "wire/http.h"

static struct http_head head;
static struct err fault;

/* Reads from a block of exactly this size, so that an overread shows. head's slices are stale then
 * unless *keep takes the block. */
static enum rc read_head(struct slice in, char **keep)
{
    char *copy = mem_alloc(in.n);
    memcpy(copy, in.p, in.n);
    enum rc rc = http_head_read(slice_of(copy, in.n), http_limits_default(), &head, &fault);
    if (keep)
        *keep = copy;
    else
        mem_free(copy);
    return rc;
}

static void a_plain_request(void)
{
    struct slice in = S("GET /check?x=1 HTTP/1.1\r\nHost: example.com\r\nX-Api-Key:  abc def \t\r\n"
                        "Empty:\r\nUtf8: gr\xc3\xbcn\r\nX-API-KEY: two\r\n\r\nbody");
    char *keep;
    T_INT(read_head(in, &keep), RC_OK);
    T_TEXT(head.method, "GET");
    T_TEXT(head.target, "/check?x=1");
    T_TEXT(head.host, "example.com");
    T_INT(head.minor, 1);
    T_INT(head.headers_n, 5);
    T_TEXT(head.headers[1].value, "abc def");
    T_TEXT(head.headers[2].value, "");
    T_TEXT(http_header_find(&head, S("x-api-key"))->value, "abc def");
    T_INT(http_header_count(&head, S("x-api-key")), 2);
    T(http_header_find(&head, S("absent")) == NULL);
    T(head.keep_alive && !head.chunked && !head.has_length && !head.expect_continue);
    T_INT(head.head_bytes, in.n - 4);
    mem_free(keep);
}

/* Each prefix of a good head asks for more; the whole is read at once. */
static void split_at_every_byte(void)
{
    static const struct slice heads[] = {
        SLIT("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        SLIT("\r\nPOST /a/b?c=d HTTP/1.0\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n"),
        SLIT("PUT /x HTTP/1.1\r\nhost: long-name.example.com:8080\r\nTransfer-Encoding: chunked\r\n"
             "Expect: 100-continue\r\nX: a value that is longer than sixteen bytes\tand a "
             "tab\r\n\r\n"),
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        for (size_t n = 1; n < heads[i].n; n++) {
            T_ROW("head %zu cut at %zu", i, n);
            T_INT(read_head(slice_sub(heads[i], 0, n), NULL), RC_AGAIN);
        }
        T_INT(read_head(heads[i], NULL), RC_OK);
        T_INT(head.head_bytes, heads[i].n);
    }
}

static void framing(void)
{
    static const struct {
        const char *lines;
        int minor;
        bool keep, chunked, length;
        uint64_t n;
        bool expect;
    } rows[] = {
        {"Host: a\r\n", 1, true, false, false, 0, false},
        {"", 0, false, false, false, 0, false},
        {"Connection: close\r\nHost: a\r\n", 1, false, false, false, 0, false},
        {"Connection: Keep-Alive\r\n", 0, true, false, false, 0, false},
        {"Host: a\r\nConnection: upgrade , CLOSE\r\n", 1, false, false, false, 0, false},
        {"Host: a\r\nConnection: keep-alive\r\nConnection: close\r\n", 1, false, false, false, 0,
         false},
        {"Host: a\r\nContent-Length: 0\r\n", 1, true, false, true, 0, false},
        {"Host: a\r\ncontent-length:  1048576 \r\n", 1, true, false, true, 1048576, false},
        {"Host: a\r\nTransfer-Encoding: Chunked\r\nExpect: 100-Continue\r\n", 1, true, true, false,
         0, true},
        {"Expect: 100-continue\r\n", 0, false, false, false, 0, false},
        {"Host:\r\n", 1, true, false, false, 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[300];
        snprintf(text, sizeof text, "POST / HTTP/1.%d\r\n%s\r\n", rows[i].minor, rows[i].lines);
        T_ROW("row %zu", i);
        T_INT(read_head(slice_str(text), NULL), RC_OK);
        T_INT(head.minor, rows[i].minor);
        T(head.keep_alive == rows[i].keep && head.chunked == rows[i].chunked);
        T(head.has_length == rows[i].length && head.length == rows[i].n);
        T(head.expect_continue == rows[i].expect);
    }
}

/* Everything on which two servers could disagree. */
static void smuggling(void)
{
    static const struct {
        struct slice in;
        enum rc rc;
    } rows[] = {
        /* lines */
        {SLIT("GET / HTTP/1.1\nHost: a\n\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\n\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\n\tX: b\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        /* names and values */
        {SLIT("GET / HTTP/1.1\r\nHost : a\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nNoColon\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX\x80: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX: a\x01 and far behind sixteen bytes\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX: more than sixteen bytes and then \x7f\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nX: \x0b\r\n\r\n"), RC_BADINPUT},
        /* hosts */
        {SLIT("GET / HTTP/1.1\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"), RC_BADINPUT},
        /* lengths */
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: "
              "chunked\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
              "5\r\n\r\n"),
         RC_BADINPUT},
        /* codings */
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0b"
              "chunked\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n"), RC_BADINPUT},
        {SLIT("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
              "chunked\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), RC_BADINPUT},
        /* request lines */
        {SLIT(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET /0123456789abcdef\x80 HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET /\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / http/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/11\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTP/1.\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("GET / HTTX/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("G(T / HTTP/1.1\r\nHost: a\r\n\r\n"), RC_BADINPUT},
        {SLIT("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\nHost: a\r\n\r\n"),
         RC_BADINPUT},
        {SLIT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), RC_VERSION},
        {SLIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), RC_VERSION},
        {SLIT("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), RC_VERSION},
        {SLIT("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), RC_VERSION},
        {SLIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS on a plain port"), RC_BADINPUT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("row %zu: %.*s", i, 60, rows[i].in.p);
        fault.text[0] = '\0';
        T_INT(read_head(rows[i].in, NULL), rows[i].rc);
        T(fault.text[0] != '\0');
        for (size_t n = 1; n < rows[i].in.n; n++) { /* in pieces it never becomes right */
            enum rc rc = read_head(slice_sub(rows[i].in, 0, n), NULL);
            T(rc == RC_AGAIN || rc == rows[i].rc);
        }
    }
}

static void limits(void)
{
    struct buf b;
    buf_init(&b, 0);
    buf_lit(&b, "GET /");
    for (int i = 0; i < 16384; i++)
        buf_byte(&b, 'a');
    T_INT(read_head(buf_all(&b), NULL), RC_TOOBIG); /* before its end has come */
    T_TEXT(slice_str(fault.place), "target");
    b.n -= 1;
    buf_lit(&b, " HTTP/1.1\r\nHost: a\r\n");
    T_INT(read_head(buf_all(&b), NULL), RC_AGAIN);
    for (int i = 0; i < 127; i++)
        buf_fmt(&b, "X-%d: y\r\n", i);
    size_t before = b.n;
    buf_lit(&b, "\r\n");
    T_INT(read_head(buf_all(&b), NULL), RC_OK);
    T_INT(head.headers_n, HTTP_HEADERS_MAX);
    b.n = before;
    buf_lit(&b, "One: more\r\n\r\n");
    T_INT(read_head(buf_all(&b), NULL), RC_TOOBIG);
    buf_clear(&b);
    buf_lit(&b, "GET / HTTP/1.1\r\nHost: a\r\nX: ");
    while (b.n < 65535)
        buf_byte(&b, 'v');
    T_INT(read_head(buf_all(&b), NULL), RC_AGAIN);
    buf_byte(&b, 'v');
    T_INT(read_head(buf_all(&b), NULL), RC_TOOBIG);
    buf_lit(&b, "\r\n\r\n");
    T_INT(read_head(buf_all(&b), NULL), RC_TOOBIG);
    buf_free(&b);
}

/* After a head, what follows belongs to the body or the next request: never to both. */
static void pipelined(void)
{
    struct slice in = S("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: b\r\n\r\n");
    T_INT(http_head_read(in, http_limits_default(), &head, &fault), RC_OK);
    T_TEXT(head.target, "/1");
    in = slice_from(in, head.head_bytes);
    T_INT(http_head_read(in, http_limits_default(), &head, &fault), RC_OK);
    T_TEXT(head.target, "/2");
    T_TEXT(head.host, "b");
    T_INT(head.head_bytes, in.n);
}

static void responses(void)
{
    static const struct {
        struct slice in;
        enum rc rc;
        int status;
    } rows[] = {
        {SLIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), RC_OK, 200},
        {SLIT("HTTP/1.0 404 Not Found\r\n\r\n"), RC_OK, 404},
        {SLIT("HTTP/1.1 204\r\n\r\n"), RC_OK, 204},
        {SLIT("HTTP/1.1 200 \r\n\r\n"), RC_OK, 200},
        {SLIT("HTTP/1.1 200 OK\n\n"), RC_BADINPUT, 0},
        {SLIT("HTTP/1.1 20 OK\r\n\r\n"), RC_BADINPUT, 0},
        {SLIT("HTTP/1.1 2000 OK\r\n\r\n"), RC_BADINPUT, 0},
        {SLIT("HTTP/1.1 099 OK\r\n\r\n"), RC_BADINPUT, 0},
        {SLIT("HTTP/1.1 600 OK\r\n\r\n"), RC_BADINPUT, 0},
        {SLIT("HTTP/2.0 200 OK\r\n\r\n"), RC_VERSION, 0},
        {SLIT("ICY 200 OK\r\n\r\nmore bytes"), RC_BADINPUT, 0},
        {SLIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
         RC_BADINPUT, 0},
        {SLIT("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"), RC_BADINPUT, 0},
    };
    static struct http_status_head h;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("row %zu", i);
        T_INT(http_status_read(rows[i].in, http_limits_default(), &h, &fault), rows[i].rc);
        T(rows[i].rc != RC_OK || (h.status == rows[i].status && h.head_bytes == rows[i].in.n));
        for (size_t n = 0; n < rows[i].in.n; n++) {
            enum rc rc =
                http_status_read(slice_sub(rows[i].in, 0, n), http_limits_default(), &h, &fault);
            T(rc == RC_AGAIN || (rc == rows[i].rc && rc != RC_OK));
        }
    }
}

/* The body in pieces of `piece` bytes; *used_all counts what was consumed. */
static enum rc read_chunks(struct slice in, size_t piece, struct buf *out, size_t *used_all)
{
    struct http_chunks c = {0};
    enum rc rc = RC_AGAIN;
    *used_all = 0;
    buf_clear(out);
    while (rc == RC_AGAIN && *used_all < in.n) {
        size_t used, n = MIN(piece, in.n - *used_all);
        char *copy = mem_alloc(n);
        memcpy(copy, in.p + *used_all, n);
        rc = http_chunks_read(&c, slice_of(copy, n), out, &used, &fault);
        T(used <= n && (rc != RC_AGAIN || used == n));
        *used_all += used;
        mem_free(copy);
    }
    return rc;
}

static void chunked_bodies(void)
{
    static const struct {
        struct slice in;
        enum rc rc;
        const char *body;
        size_t left;
    } rows[] = {
        {SLIT("0\r\n\r\n"), RC_OK, "", 0},
        {SLIT("5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1"), RC_OK, "hello", 14},
        {SLIT("5\r\nhello\r\n6; a=b\r\n world\r\n0\r\nTrailer: x\r\nTwo: y\r\n\r\n"), RC_OK,
         "hello world", 0},
        {SLIT("A\r\n0123456789\r\n00\r\n\r\n"), RC_OK, "0123456789", 0},
        {SLIT("a \r\n0123456789\r\n0\r\n\r\n"), RC_OK, "0123456789", 0},
        {SLIT("5\r\nhel"), RC_AGAIN, "hel", 0},
        {SLIT("5\nhello\r\n0\r\n\r\n"), RC_BADINPUT, "", 0},
        {SLIT("5\r\nhello0\r\n\r\n"), RC_BADINPUT, "hello", 0},
        {SLIT("5\r\nhello\n0\r\n\r\n"), RC_BADINPUT, "hello", 0},
        {SLIT("5\r\nhelloXX0\r\n\r\n"), RC_BADINPUT, "hello", 0},
        {SLIT("\r\nhello\r\n0\r\n\r\n"), RC_BADINPUT, "", 0},
        {SLIT("g\r\n"), RC_BADINPUT, "", 0},
        {SLIT("0x5\r\nhello\r\n"), RC_BADINPUT, "", 0},
        {SLIT("-1\r\n"), RC_BADINPUT, "", 0},
        {SLIT(" 5\r\nhello\r\n"), RC_BADINPUT, "", 0},
        {SLIT("10000000000000000\r\n"), RC_BADINPUT, "", 0},
        {SLIT("fffffffffffffffff\r\n"), RC_BADINPUT, "", 0},
        {SLIT("5;a\nb\r\nhello\r\n0\r\n\r\n"), RC_BADINPUT, "", 0},
        {SLIT("0\r\nX: y\n\r\n"), RC_BADINPUT, "", 0},
        {SLIT("0\r\n\rX"), RC_BADINPUT, "", 0},
    };
    struct buf out;
    buf_init(&out, 1000);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece <= rows[i].in.n; piece++) {
            size_t used;
            T_ROW("row %zu in pieces of %zu", i, piece);
            T_INT(read_chunks(rows[i].in, piece, &out, &used), rows[i].rc);
            T_TEXT(buf_all(&out), rows[i].body);
            T(rows[i].rc != RC_OK || used == rows[i].in.n - rows[i].left);
        }
    buf_free(&out);
}

static void chunk_bounds(void)
{
    struct buf out, in;
    size_t used;
    buf_init(&out, 8);
    buf_init(&in, 0);
    T_INT(read_chunks(S("8\r\n12345678\r\n0\r\n\r\n"), 100, &out, &used), RC_OK);
    T_INT(read_chunks(S("9\r\n123456789\r\n0\r\n\r\n"), 100, &out, &used), RC_TOOBIG);
    T_INT(read_chunks(S("8\r\n12345678\r\n1\r\n9\r\n0\r\n\r\n"), 1, &out, &used), RC_TOOBIG);
    buf_lit(&in, "1;");
    while (in.n < 20000)
        buf_byte(&in, 'e');
    T_INT(read_chunks(buf_all(&in), 500, &out, &used), RC_TOOBIG);
    memset(in.p, '0', in.n); /* zeros without end in front of a size */
    T_INT(read_chunks(buf_all(&in), 500, &out, &used), RC_TOOBIG);
    buf_free(&out);
    buf_free(&in);
}

static void small_things(void)
{
    T_TEXT(slice_str(http_reason(429)), "Too Many Requests");
    T_TEXT(slice_str(http_reason(200)), "OK");
    T_TEXT(slice_str(http_reason(299)), "Unknown");
    T(http_value_ok(S("fine \t value \xc3\xbc")) && http_value_ok(S("")));
    T(!http_value_ok(S("a\r\nb")) && !http_value_ok(S("a\nb")) &&
      !http_value_ok(slice_of("a\0", 2)));
    T(!http_value_ok(S("0123456789abcdef\x7f")) && !http_value_ok(S("0123456789abcde\r")));
    T(http_value_ok(S("0123456789\tbcdef0123456789\tbcdef")));
    T(http_token_ok(S("X-Api_Key.1!")) && !http_token_ok(S("")) && !http_token_ok(S("a b")));
    T(!http_token_ok(S("a:")) && !http_token_ok(S("a\xc3")));
}

/* The wide scan must agree with a byte by byte one for every byte at every offset. */
static void wide_scan_agrees(void)
{
    char text[40];
    for (int c = 0; c < 256; c++)
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 'v', sizeof text);
            text[at] = (char)c;
            bool ok = c == '\t' || (c >= ' ' && c != 0x7f);
            T_ROW("byte %d at %zu", c, at);
            T(http_value_ok(slice_of(text, sizeof text)) == ok);
            char line[120];
            int n = snprintf(line, sizeof line, "GET /%.*s%c%.*s HTTP/1.1\r\nHost: a\r\n\r\n",
                             (int)at, text, 'X', (int)(sizeof text - at - 1), text + at + 1);
            line[5 + at] = (char)c;
            T((read_head(slice_of(line, (size_t)n), NULL) == RC_OK) == (c > ' ' && c < 0x7f));
        }
}

int main(void)
{
    T_RUN(a_plain_request);
    T_RUN(split_at_every_byte);
    T_RUN(framing);
    T_RUN(smuggling);
    T_RUN(limits);
    T_RUN(pipelined);
    T_RUN(responses);
    T_RUN(chunked_bodies);
    T_RUN(chunk_bounds);
    T_RUN(small_things);
    T_RUN(wide_scan_agrees);
    return t_done();
}
