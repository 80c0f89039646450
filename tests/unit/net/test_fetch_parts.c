/* The pure parts of the outbound client: URLs, and the reader of answers cut at every byte. */
#include "net/fetch_inside.h"
#include "t.h"

#include <stdlib.h>

static struct arena arena;

static void urls(void)
{
    static const struct {
        const char *url, *host, *path;
        int port;
        bool tls, is_unix;
    } good[] = {{"http://a.example", "a.example", "/", 80, false, false},
                {"HTTPS://A.Example:8443/p/q?x=1&y", "a.example", "/p/q?x=1&y", 8443, true, false},
                {"https://a?q=1", "a", "/?q=1", 443, true, false},
                {"http://[::1]:80/x", "::1", "/x", 80, false, false},
                {"http://127.0.0.1:5000/", "127.0.0.1", "/", 5000, false, false},
                {"http://[::ffff:10.0.0.1]/", "10.0.0.1", "/", 80, false, false},
                {"unix:/run/opa.sock:/v1/data?x", "/run/opa.sock", "/v1/data?x", 0, false, true},
                {"unix:/run/opa.sock", "/run/opa.sock", "/", 0, false, true}};
    static const char *const bad[] = {
        "", "ftp://a/", "http://", "http:///x", "http://a:0/", "http://a:70000/", "http://a b/", "http://a/ b",
        "http://a/\r\nX: y", "http://u:p@a/", "http://a/#f", "http://a\\b/", "http://2130706433/",
        "http://0x7f000001/", "http://127.1/", "http://1.2.3.4.5/", "http://a..b/", "http://[::1/", "http://[x]/",
        "http://a/\xc3\xa4", "unix:", "unix:run/x", "unix:/x:y", "unix:/x:/a b", "unix:/x:/\n", "unix:/a\x01:/"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct fetch_url u;
        struct err e = {0};
        T_ROW("%s", good[i].url);
        T_INT(fetch_url_parse(&arena, slice_str(good[i].url), &u, &e), RC_OK);
        T_TEXT(u.host, good[i].host);
        T_TEXT(u.path, good[i].path);
        T(u.port == good[i].port && u.tls == good[i].tls && u.is_unix == good[i].is_unix);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct fetch_url u;
        struct err e = {0};
        T_ROW("%s", bad[i]);
        T_INT(fetch_url_parse(&arena, slice_str(bad[i]), &u, &e), RC_BADINPUT);
        T(e.text[0] != '\0');
    }
}

static enum rc feed(struct slice in, size_t piece, bool end, size_t *used, struct fetch_reader *r,
                    const char **why)
{
    size_t at = 0, have = 0, n;
    enum rc rc = RC_AGAIN;
    while (rc == RC_AGAIN && have < in.n) {
        have = MIN(have + piece, in.n);
        char *copy = malloc(have - at + 1); /* exactly this size: an overread shows */
        memcpy(copy, in.p + at, have - at);
        rc = fetch_reader_take(r, slice_of(copy, have - at), &n, why);
        free(copy);
        at += n;
    }
    if (rc == RC_AGAIN && end)
        rc = fetch_reader_end(r, true, why);
    *used = at;
    return rc;
}

static void answers_cut_anywhere(void)
{
    static const struct {
        const char *in;
        enum rc rc;
        int status;
        const char *body;
        size_t rest;
        bool keep;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\nabcX", RC_OK, 200, "abc", 1, true},
        {"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", RC_OK, 200, "abc", 0, false},
        {"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n", RC_OK, 204, "", 0, true},
        {"HTTP/1.1 304 N\r\nContent-Length: 9\r\n\r\n", RC_OK, 304, "", 0, true},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\nT: x\r\n\r\nY", RC_OK, 200,
         "abc", 1, true},
        {"HTTP/1.1 200 OK\r\n\r\nall of it", RC_OK, 200, "all of it", 0, false},
        {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", RC_OK, 200, "", 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n", RC_TOOBIG, 0, "", 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", RC_IO, 0, "", 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", RC_BADINPUT, 0, "", 0, false},
        {"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nabcde", RC_BADINPUT, 0, "", 0, false},
        {"HTTP/2.0 200 OK\r\n\r\n", RC_BADINPUT, 0, "", 0, false},
        {"HTTP/1.1 99 OK\r\n\r\n", RC_BADINPUT, 0, "", 0, false},
        {"HTTP/1.1 101 S\r\n\r\n", RC_BADINPUT, 0, "", 0, false},
        {"hello there, how are you", RC_BADINPUT, 0, "", 0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", RC_BADINPUT, 0, "", 0, false},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", RC_BADINPUT, 0, "", 0, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 200; piece += piece < 70 ? 1 : 40) {
            struct fetch_reader r;
            const char *why = "";
            size_t used;
            fetch_reader_init(&r, false, 100);
            T_ROW("row %zu in pieces of %zu", i, piece);
            T_INT(feed(slice_str(rows[i].in), piece, true, &used, &r, &why), rows[i].rc);
            T((why[0] != '\0') == (rows[i].rc != RC_OK));
            if (rows[i].rc == RC_OK) {
                T_INT(r.status, rows[i].status);
                T_TEXT(buf_all(&r.body), rows[i].body);
                T(r.keep_alive == rows[i].keep);
                if (piece > 150)
                    T_INT(strlen(rows[i].in) - used, rows[i].rest);
            }
            fetch_reader_free(&r);
        }
}

static void truncated_tls_is_no_end(void)
{
    struct fetch_reader r;
    const char *why = "";
    size_t used;
    fetch_reader_init(&r, false, 100);
    T_INT(fetch_reader_take(&r, S("HTTP/1.1 200 OK\r\n\r\nabc"), &used, &why), RC_AGAIN);
    T_INT(fetch_reader_end(&r, false, &why), RC_IO);
    fetch_reader_free(&r);
}

int main(void)
{
    arena_init(&arena, 4096, 0);
    T_RUN(urls);
    T_RUN(answers_cut_anywhere);
    T_RUN(truncated_tls_is_no_end);
    arena_free(&arena);
    return t_done();
}
