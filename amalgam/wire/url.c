/*
 * url.c - the one canonicalisation of paths and hosts, and percent coding.
 *
 * Used by check/ and policy/ before any rule is looked at, and by the outbound client. A path that
 * two servers may read in two ways is refused with a reason, never repaired: see url.h. The common
 * path ("/a/b-c") is checked in one pass over a table and returned as it is, without allocation.
 * Pure; results that differ from the input live in the caller's arena. Addresses are in ip.c.
 * Tested by tests/unit/wire/test_url.c (the attack table) and tests/fuzz/fuzz_url.c.
 */
#include "wire/url.h"

enum { URL_HOST_MAX = 253, URL_PORT_MAX = 65535 };

static bool url_unreserved(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '-' || c == '.' || c == '_' || c == '~';
}

/* The byte of the escape "%xx" at s.p[i], or -1. */
static int url_escape(struct slice s, size_t i)
{
    if (s.n - i < 3)
        return -1;
    int high = ascii_hex(s.p[i + 1]), low = ascii_hex(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

enum rc url_split_target(struct slice target, struct url_target *out, struct err *e)
{
    if (target.n == 0 || target.p[0] != '/')
        return err_set(e, RC_BADINPUT, "the target does not start with a slash");
    if (slice_index(target, '#') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "a fragment in the target");
    if (!slice_printable(target) || slice_index(target, ' ') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "a space, control or non-ASCII byte in the target");
    size_t mark = slice_index(target, '?');
    out->path = slice_sub(target, 0, mark);
    out->query = mark == SIZE_MAX ? S("") : slice_from(target, mark + 1);
    return RC_OK;
}

/* ---------------------------------------------------------------- paths */

enum url_path_class {
    URL_BAD,   /* never stands in a path */
    URL_PLAIN, /* stands for itself */
    URL_SLASH,
    URL_DOT,
    URL_PERCENT,
    URL_DENIED /* servers differ on it: ; \ # ? */
};

static inline unsigned char url_path_class(char c)
{
    enum {
        B = URL_BAD,
        P = URL_PLAIN,
        S = URL_SLASH,
        D = URL_DOT,
        E = URL_PERCENT,
        X = URL_DENIED
    };
    static const unsigned char classes[128] = {
        /* 00 */ B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
        /* 10 */ B, B, B, B, B, B, B, B, B, B, B, B, B, B, B, B,
        /* 20 */ B, P, P, X, P, E, P, P, P, P, P, P, P, P, D, S,
        /* 30 */ P, P, P, P, P, P, P, P, P, P, P, X, P, P, P, X,
        /* 40 */ P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,
        /* 50 */ P, P, P, P, P, P, P, P, P, P, P, P, X, P, P, P,
        /* 60 */ P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, P,
        /* 70 */ P, P, P, P, P, P, P, P, P, P, P, P, P, P, P, B,
    };
    return (unsigned char)c < 128 ? classes[(unsigned char)c] : (unsigned char)B;
}

static COLD enum rc url_denied(struct err *e, const char *why)
{
    return err_set(e, RC_DENIED, "ambiguous path: %s", why);
}

/* What may not be reached through an escape, however it is written. NULL: fine. */
static const char *url_escape_complaint(int byte)
{
    if (byte == '/' || byte == '\\')
        return "an encoded slash or backslash";
    if (byte < 0x20 || byte == 0x7f)
        return "an encoded control byte";
    if (byte == ';')
        return "an encoded path parameter";
    return NULL;
}

/* Would a second decoding find an escape? "%25" and two hexadecimal digits. */
static bool url_twice_coded(struct slice path)
{
    for (size_t i = 0; i + 4 < path.n; i++)
        if (path.p[i] == '%' && path.p[i + 1] == '2' && path.p[i + 2] == '5' &&
            ascii_hex(path.p[i + 3]) >= 0 && ascii_hex(path.p[i + 4]) >= 0)
            return true;
    return false;
}

/* Unreserved characters decoded, other escapes in upper case; then what remains must be UTF-8 when
 * it is decoded altogether (overlong forms are how dots and slashes were smuggled). */
static enum rc url_decode_path(struct arena *a, struct slice raw, struct slice *out, struct err *e)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_try(a, raw.n * 2 + 2);
    if (!p)
        return err_set(e, RC_TOOBIG, "the path is too long");
    char *bytes = p + raw.n + 1;
    size_t n = 0, bytes_n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        if (raw.p[i] != '%') {
            p[n++] = bytes[bytes_n++] = raw.p[i];
            continue;
        }
        int byte = url_escape(raw, i);
        if (byte < 0)
            return err_set(e, RC_BADINPUT, "a broken percent escape in the path");
        const char *why = url_escape_complaint(byte);
        if (why)
            return url_denied(e, why);
        if (url_unreserved((char)byte)) {
            p[n++] = (char)byte;
        } else {
            p[n++] = '%';
            p[n++] = hex[byte >> 4];
            p[n++] = hex[byte & 15];
        }
        bytes[bytes_n++] = (char)byte;
        i += 2;
    }
    if (!slice_utf8(slice_of(bytes, bytes_n)))
        return url_denied(e, "escapes that are not UTF-8");
    if (url_twice_coded(slice_of(p, n)))
        return url_denied(e, "double percent coding");
    *out = slice_of(p, n);
    return RC_OK;
}

/* "." or ".." between slashes, or slashes side by side? The path starts with a slash. */
static enum rc url_segments_check(struct slice path, struct err *e)
{
    for (size_t i = 1; i < path.n; i++) {
        if (path.p[i - 1] != '/' || (path.p[i] != '.' && path.p[i] != '/'))
            continue;
        if (path.p[i] == '/')
            return url_denied(e, "an empty segment");
        size_t end = i + 1;
        if (end < path.n && path.p[end] == '.')
            end++;
        if (end == path.n || path.p[end] == '/')
            return url_denied(e, "a dot segment");
    }
    return RC_OK;
}

static COLD enum rc url_path_refused(char c, struct err *e)
{
    switch (c) {
    case ';':
        return url_denied(e, "a path parameter");
    case '\\':
        return url_denied(e, "a backslash");
    case '#':
        return url_denied(e, "a fragment");
    case '?':
        return url_denied(e, "a query");
    default:
        return err_set(e, RC_BADINPUT, "a space, control or non-ASCII byte in the path");
    }
}

HOT enum rc url_canon_path(struct arena *a, struct slice raw_path, struct slice *out, struct err *e)
{
    bool escapes = false, suspicious = false;
    unsigned char before = URL_PLAIN;
    if (raw_path.n == 0 || raw_path.p[0] != '/')
        return err_set(e, RC_BADINPUT, "the path does not start with a slash");
    for (size_t i = 0; i < raw_path.n; i++) {
        unsigned char class = url_path_class(raw_path.p[i]);
        if (UNLIKELY(class == URL_BAD || class == URL_DENIED))
            return url_path_refused(raw_path.p[i], e);
        escapes |= class == URL_PERCENT;
        suspicious |= before == URL_SLASH && (class == URL_SLASH || class == URL_DOT);
        before = class;
    }
    struct slice path = raw_path;
    if (UNLIKELY(escapes)) {
        enum rc rc = url_decode_path(a, raw_path, &path, e);
        if (rc != RC_OK)
            return rc;
    }
    if (UNLIKELY(escapes || suspicious)) {
        enum rc rc = url_segments_check(path, e);
        if (rc != RC_OK)
            return rc;
    }
    *out = path;
    return RC_OK;
}

/* ---------------------------------------------------------------- hosts */

static bool url_port(struct slice s, int *port)
{
    uint64_t n;
    if (s.n == 0 || s.n > 5 || !slice_u64(s, &n) || n == 0 || n > URL_PORT_MAX)
        return false;
    *port = (int)n;
    return true;
}

/* Cuts "host:port" or "[v6]:port". *port is untouched when there is none. */
static bool url_cut_port(struct slice s, struct slice *host, int *port)
{
    size_t close = s.n > 0 && s.p[0] == '[' ? slice_index(s, ']') : 0;
    if (close == SIZE_MAX)
        return false;
    size_t colon = slice_index(slice_from(s, close), ':');
    if (close > 0 && colon != 1 && close + 1 != s.n)
        return false; /* something behind the bracket */
    *host = colon == SIZE_MAX ? s : slice_sub(s, 0, close + colon);
    return colon == SIZE_MAX || url_port(slice_from(s, close + colon + 1), port);
}

/* Letters, digits, '-' and '_' in labels that are not empty; or an IPv6 address in brackets. */
static bool url_host_ok(struct slice host)
{
    if (host.n == 0 || host.n > URL_HOST_MAX)
        return false;
    if (host.p[0] == '[') {
        struct ip ip;
        return slice_index(host, ':') != SIZE_MAX && ip_parse(host, &ip);
    }
    char before = '.';
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!ascii_alpha(c) && !ascii_digit(c) && c != '-' && c != '_' &&
            !(c == '.' && before != '.'))
            return false;
        before = c;
    }
    return before != '.';
}

enum rc url_canon_host(struct arena *a, struct slice raw, struct slice *host, struct err *e)
{
    struct slice h;
    int port = 0;
    bool upper = false;
    if (!url_cut_port(raw, &h, &port))
        return err_set(e, RC_BADINPUT, "a host with a bad port");
    if (h.n > 1 && h.p[h.n - 1] == '.')
        h.n--;
    if (!url_host_ok(h))
        return err_set(e, RC_BADINPUT, "not a host name or address");
    for (size_t i = 0; i < h.n; i++)
        upper |= h.p[i] >= 'A' && h.p[i] <= 'Z';
    if (upper) {
        char *p = arena_alloc(a, h.n);
        for (size_t i = 0; i < h.n; i++)
            p[i] = ascii_lower(h.p[i]);
        h.p = p;
    }
    *host = h;
    return RC_OK;
}

enum rc url_parse(struct slice s, struct url *out, struct err *e)
{
    bool tls = slice_starts_ci(s, S("https://"));
    if (!tls && !slice_starts_ci(s, S("http://")))
        return err_set(e, RC_BADINPUT, "a URL must start with http:// or https://");
    if (!slice_printable(s) || slice_index(s, ' ') != SIZE_MAX || slice_index(s, '\\') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "a byte that must not stand in a URL");
    if (slice_index(s, '#') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "a URL without fragment is expected");
    struct slice rest = slice_from(s, tls ? 8 : 7);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?')
        end++;
    struct slice authority = slice_sub(rest, 0, end);
    struct slice tail = slice_from(rest, end);
    *out = (struct url){.scheme = tls ? S("https") : S("http"), .port = 0};
    if (slice_index(authority, '@') != SIZE_MAX)
        return err_set(e, RC_BADINPUT, "user and password do not belong into a URL");
    if (!url_cut_port(authority, &out->host, &out->port) || !url_host_ok(out->host))
        return err_set(e, RC_BADINPUT, "the URL has no valid host and port");
    out->has_port = out->port != 0;
    if (!out->has_port)
        out->port = tls ? 443 : 80;
    size_t mark = slice_index(tail, '?');
    out->path = slice_sub(tail, 0, mark);
    if (out->path.n == 0)
        out->path = S("/");
    out->query = mark == SIZE_MAX ? S("") : slice_from(tail, mark + 1);
    return RC_OK;
}

/* ---------------------------------------------------------------- percent coding, queries */

enum rc url_decode(struct arena *a, struct slice in, bool form, struct slice *out)
{
    if (slice_index(in, '%') == SIZE_MAX && (!form || slice_index(in, '+') == SIZE_MAX)) {
        *out = in;
        return RC_OK;
    }
    char *p = arena_try(a, in.n);
    size_t n = 0;
    if (!p)
        return RC_TOOBIG;
    for (size_t i = 0; i < in.n; i++) {
        if (in.p[i] == '%') {
            int byte = url_escape(in, i);
            if (byte < 0)
                return RC_BADINPUT;
            p[n++] = (char)byte;
            i += 2;
        } else {
            p[n++] = form && in.p[i] == '+' ? ' ' : in.p[i];
        }
    }
    *out = slice_of(p, n);
    return RC_OK;
}

struct slice url_encode(struct arena *a, struct slice in)
{
    static const char hex[] = "0123456789ABCDEF";
    char *p = arena_alloc(a, in.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (url_unreserved(in.p[i])) {
            p[n++] = in.p[i];
        } else {
            p[n++] = '%';
            p[n++] = hex[c >> 4];
            p[n++] = hex[c & 15];
        }
    }
    return slice_of(p, n);
}

bool url_query_next(struct arena *a, struct slice *rest, struct slice *key, struct slice *value)
{
    while (rest->n > 0) {
        struct slice pair = slice_cut(*rest, '&', rest), raw_value;
        struct slice raw_key = slice_cut(pair, '=', &raw_value);
        if (raw_key.n > 0 && url_decode(a, raw_key, true, key) == RC_OK &&
            url_decode(a, raw_value, true, value) == RC_OK)
            return true;
    }
    return false;
}

bool url_query_get(struct arena *a, struct slice query, struct slice key, struct slice *value)
{
    struct slice k, v;
    while (url_query_next(a, &query, &k, &v))
        if (slice_eq(k, key)) {
            *value = v;
            return true;
        }
    return false;
}
