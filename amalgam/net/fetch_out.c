/*
 * fetch_out.c - what goes out: URLs of other servers, and the bytes of a request.
 *
 * Called by policy/ (fetch_url_parse, when policies are loaded) and fetch.c. Everything that comes from
 * outside and lands in a request is checked here byte by byte: method and names are tokens, values have
 * no control bytes, a target is visible ASCII. Headers that frame the message or the connection are
 * ours alone. Pure, owns nothing. Threads: any. Tested by tests/unit/net/test_fetch_parts.c.
 */
#include "net/fetch_inside.h"

/* ---- URLs ---- */

/* What old resolvers read as an address ("127.1", "0x7f000001"): refused, as nobody else sees one. */
static bool fetch_odd_number(struct slice host)
{
    size_t dot = slice_rindex(host, '.');
    struct slice last = dot == SIZE_MAX ? host : slice_from(host, dot + 1);
    if (slice_starts_ci(last, S("0x")))
        return true;
    for (size_t i = 0; i < last.n; i++)
        if (!ascii_digit(last.p[i]))
            return false;
    return true;
}

static enum rc fetch_url_host(struct arena *a, struct slice host, struct slice *out, struct err *e)
{
    struct ip ip;
    if (ip_parse(host, &ip)) {
        char text[46];
        *out = arena_dup(a, slice_of(text, ip_format(&ip, text)));
        return RC_OK;
    }
    if (host.n >= FETCH_NAME_BYTES || fetch_odd_number(host))
        return err_set(e, RC_BADINPUT, "the URL's host is neither a name nor an address");
    char *p = arena_alloc(a, host.n + 1);
    for (size_t i = 0; i < host.n; i++)
        p[i] = ascii_lower(host.p[i]);
    p[host.n] = '\0';
    *out = slice_of(p, host.n);
    return RC_OK;
}

static bool fetch_target_ok(struct slice s)
{
    if (s.n == 0 || s.p[0] != '/' || s.n > FETCH_TARGET_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '#' || s.p[i] == '\\') /* char may be signed */
            return false;
    return true;
}

static enum rc fetch_url_unix(struct arena *a, struct slice rest, struct fetch_url *out, struct err *e)
{
    struct slice path, socket = slice_cut(rest, ':', &path);
    if (socket.n < 2 || socket.p[0] != '/' || socket.n >= sizeof((struct net_addr *)0)->path ||
        !slice_printable(socket))
        return err_set(e, RC_BADINPUT, "expected unix:/path/of/socket:/path/of/request");
    *out = (struct fetch_url){.is_unix = true, .host = arena_dup(a, socket)};
    out->path = path.n ? arena_dup(a, path) : S("/");
    return fetch_target_ok(out->path) ? RC_OK
                                      : err_set(e, RC_BADINPUT, "a path that cannot stand in a request");
}

enum rc fetch_url_parse(struct arena *a, struct slice url, struct fetch_url *out, struct err *e)
{
    struct url u;
    memset(out, 0, sizeof *out);
    if (slice_starts_ci(url, S("unix:")))
        return fetch_url_unix(a, slice_from(url, 5), out, e);
    enum rc rc = url_parse(url, &u, e);
    if (rc == RC_OK)
        rc = fetch_url_host(a, u.host, &out->host, e);
    if (rc != RC_OK)
        return rc;
    out->tls = u.scheme.n == 5;
    out->port = u.port;
    out->path = slice_index(url, '?') == SIZE_MAX
                    ? arena_dup(a, u.path)
                    : arena_fmt(a, "%.*s?%.*s", SFMT(u.path), SFMT(u.query));
    return fetch_target_ok(out->path)
               ? RC_OK
               : err_set(e, RC_BADINPUT, "a path that is too long or cannot stand in a request");
}

/* ---- requests ---- */

static bool fetch_is_ours(struct slice name)
{
    static const struct slice names[] = {
        SLIT("content-length"), SLIT("transfer-encoding"), SLIT("connection"), SLIT("keep-alive"),
        SLIT("proxy-connection"), SLIT("upgrade"), SLIT("te"), SLIT("trailer"), SLIT("expect")};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_ci(name, names[i]))
            return true;
    return false;
}

static bool fetch_host_ok(struct slice value)
{
    for (size_t i = 0; i < value.n; i++)
        if (!ascii_alpha(value.p[i]) && !ascii_digit(value.p[i]) && !memchr("-._:[]", value.p[i], 6))
            return false;
    return value.n > 0;
}

static const char *fetch_check(const struct fetch_req *q)
{
    size_t hosts = 0;
    if (q->method.n > 32 || (q->method.n && !http_token_ok(q->method)))
        return "the method is no token";
    if (q->url.host.n >= FETCH_NAME_BYTES ||
        (!q->url.is_unix && (!fetch_host_ok(q->url.host) || q->url.port < 1 || q->url.port > 65535)))
        return "the host or port cannot be";
    if (!fetch_target_ok(q->url.path))
        return "the path cannot stand in a request";
    if (q->headers_n > HTTP_HEADERS_MAX)
        return "too many headers";
    for (size_t i = 0; i < q->headers_n; i++) {
        const struct http_header *h = &q->headers[i];
        if (!http_token_ok(h->name))
            return "a header name is no token";
        if (!http_value_ok(h->value))
            return "a header value has control bytes";
        if (fetch_is_ours(h->name))
            return "a header that frames the message is not for callers";
        if (slice_eq_ci(h->name, S("host")) && (++hosts > 1 || !fetch_host_ok(h->value)))
            return "Host is no host, or given twice";
    }
    return NULL;
}

static bool fetch_has(const struct fetch_req *q, struct slice name)
{
    for (size_t i = 0; i < q->headers_n; i++)
        if (slice_eq_ci(q->headers[i].name, name))
            return true;
    return false;
}

static void fetch_write_host(const struct fetch_url *u, struct buf *out)
{
    bool v6 = slice_index(u->host, ':') != SIZE_MAX;
    if (u->is_unix) {
        buf_lit(out, "Host: localhost\r\n");
        return;
    }
    buf_lit(out, "Host: ");
    buf_str(out, v6 ? "[" : "");
    buf_slice(out, u->host);
    buf_str(out, v6 ? "]" : "");
    if (u->port != (u->tls ? 443 : 80)) {
        buf_byte(out, ':');
        buf_i64(out, u->port);
    }
    buf_lit(out, "\r\n");
}

static bool fetch_sends_length(const struct fetch_req *q)
{
    return q->body.n > 0 || slice_eq(q->method, S("POST")) || slice_eq(q->method, S("PUT")) ||
           slice_eq(q->method, S("PATCH"));
}

enum rc fetch_write(const struct fetch_req *q, struct buf *out, const char **why)
{
    *why = fetch_check(q);
    if (*why)
        return RC_BADINPUT;
    buf_slice(out, q->method.n ? q->method : S("GET"));
    buf_byte(out, ' ');
    buf_slice(out, q->url.path);
    buf_lit(out, " HTTP/1.1\r\n");
    if (!fetch_has(q, S("host")))
        fetch_write_host(&q->url, out);
    if (!fetch_has(q, S("user-agent")))
        buf_lit(out, "User-Agent: postern\r\n");
    for (size_t i = 0; i < q->headers_n; i++) {
        buf_slice(out, q->headers[i].name);
        buf_lit(out, ": ");
        buf_slice(out, q->headers[i].value);
        buf_lit(out, "\r\n");
    }
    if (fetch_sends_length(q)) {
        buf_lit(out, "Content-Length: ");
        buf_u64(out, q->body.n);
        buf_lit(out, "\r\n");
    }
    buf_lit(out, "\r\n");
    buf_slice(out, q->body);
    *why = buf_over(out) ? "the request is too large" : "";
    return buf_over(out) ? RC_TOOBIG : RC_OK;
}
