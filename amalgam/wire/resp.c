/*
 * resp.c - the Redis protocol: commands in, replies out.
 *
 * The hot path of the redis door and of the redis client in store/. A command that has arrived
 * whole is read in one pass straight into argument slices: no allocation, no copy, short headers
 * ("$3") by comparing bytes. When bytes are missing, what was found is kept as offsets, because the
 * caller's buffer may move; the next call goes on where this one stopped, so a command in many
 * pieces costs no more than one in one piece. Memory grows with what was received, never with
 * what was announced.
 *
 * The reader owns argv, offsets and the unquoted text of inline commands; the bytes belong to the
 * caller. Nothing here knows a command. One thread per reader. Tested by
 * tests/unit/wire/test_resp.c (every command split at every byte) and tests/fuzz/fuzz_resp.c.
 */
#include "wire/resp.h"

#include "base/mem.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

enum {
    RESP_ARGV_FIRST = 16,
    RESP_ARGV_KEEP = 1024,       /* larger arrays are given back before the next command */
    RESP_HEADER_MAX = 64 * 1024, /* "*" and "$" lines: Redis waits that long for their end */
    RESP_UNAUTH_ARGS = 10,       /* before login */
    RESP_UNAUTH_BULK = 16384,
    RESP_NUMBER_ROOM = 32, /* type byte, 20 digits, two line ends */
};

const struct resp_limits *resp_limits_default(void)
{
    static const struct resp_limits limits = {(size_t)512 << 20, 64 << 10, 1 << 20};
    return &limits;
}

void resp_reader_init(struct resp_reader *r)
{
    *r = (struct resp_reader){.args_left = -1, .bulk_left = -1};
    buf_init(&r->unquoted, 0);
}

void resp_reader_free(struct resp_reader *r)
{
    mem_free(r->argv);
    mem_free(r->offsets);
    buf_free(&r->unquoted);
    resp_reader_init(r);
}

static COLD void resp_argv_grow(struct resp_reader *r)
{
    size_t cap = r->argv_cap ? r->argv_cap * 2 : RESP_ARGV_FIRST;
    r->argv = mem_realloc(r->argv, cap * sizeof *r->argv);
    r->offsets = mem_realloc(r->offsets, cap * 2 * sizeof *r->offsets);
    r->argv_cap = cap;
}

/* A command begins: forget the last one. */
static inline void resp_restart(struct resp_reader *r)
{
    r->argc = 0;
    r->at = 0;
    r->args_left = -1;
    r->bulk_left = -1;
    if (UNLIKELY(r->argv_cap > RESP_ARGV_KEEP)) {
        mem_free(r->argv);
        mem_free(r->offsets);
        r->argv = NULL;
        r->offsets = NULL;
        r->argv_cap = 0;
    }
}

static COLD enum rc resp_bad(struct resp_reader *r, struct err *e, const char *what)
{
    resp_restart(r);
    return err_set(e, RC_BADINPUT, "Protocol error: %s", what);
}

/* What a "*" or "$" line says. RC_AGAIN: its end is not there yet; RC_BADINPUT: no number. */
static COLD enum rc resp_header_slow(struct slice in, size_t at, int64_t *n, size_t *next)
{
    size_t left = in.n - at;
    const char *p = in.p + at, *cr = memchr(p + 1, '\r', left - 1);
    if (!cr)
        return left > RESP_HEADER_MAX ? RC_TOOBIG : RC_AGAIN;
    if (cr + 1 == in.p + in.n)
        return RC_AGAIN;
    if (cr[1] != '\n' || !slice_i64(slice_of(p + 1, (size_t)(cr - p - 1)), n))
        return RC_BADINPUT;
    *next = (size_t)(cr + 2 - in.p);
    return RC_OK;
}

/* The same, for the lines that nearly all are: one to three digits. in.p[at] is '*' or '$'. */
static inline enum rc resp_header(struct slice in, size_t at, int64_t *n, size_t *next)
{
    const char *p = in.p + at;
    unsigned a, b, c;
    if (LIKELY(in.n - at >= 6 && (a = (unsigned)(unsigned char)p[1] - '0') <= 9)) {
        if (p[2] == '\r' && p[3] == '\n') {
            *n = a;
            *next = at + 4;
            return RC_OK;
        }
        b = (unsigned)(unsigned char)p[2] - '0';
        if (a > 0 && b <= 9 && p[3] == '\r' && p[4] == '\n') {
            *n = a * 10 + b;
            *next = at + 5;
            return RC_OK;
        }
        c = (unsigned)(unsigned char)p[3] - '0';
        if (a > 0 && b <= 9 && c <= 9 && p[4] == '\r' && p[5] == '\n') {
            *n = a * 100 + b * 10 + c;
            *next = at + 6;
            return RC_OK;
        }
    }
    return resp_header_slow(in, at, n, next);
}

static enum rc resp_read_count(struct resp_reader *r, struct slice in,
                               const struct resp_limits *lim, bool auth_needed, struct err *e)
{
    int64_t n;
    enum rc rc = resp_header(in, 0, &n, &r->at);
    if (rc == RC_AGAIN)
        return rc;
    if (rc == RC_TOOBIG)
        return resp_bad(r, e, "too big mbulk count string");
    if (rc != RC_OK || n > INT_MAX || (n > 0 && (uint64_t)n > lim->args_max))
        return resp_bad(r, e, "invalid multibulk length");
    if (n > RESP_UNAUTH_ARGS && auth_needed)
        return resp_bad(r, e, "unauthenticated multibulk length");
    r->args_left = MAX(n, 0);
    return RC_OK;
}

static enum rc resp_read_bulk_len(struct resp_reader *r, struct slice in, size_t *at,
                                  const struct resp_limits *lim, bool auth_needed, struct err *e)
{
    int64_t n;
    size_t next;
    if (*at == in.n)
        return RC_AGAIN;
    char c = in.p[*at];
    if (UNLIKELY(c != '$')) {
        resp_restart(r);
        return err_set(e, RC_BADINPUT, "Protocol error: expected '$', got '%c'",
                       c >= ' ' && c <= '~' ? c : ' ');
    }
    enum rc rc = resp_header(in, *at, &n, &next);
    if (UNLIKELY(rc != RC_OK)) {
        if (rc == RC_AGAIN)
            return rc;
        return resp_bad(r, e,
                        rc == RC_TOOBIG ? "too big bulk count string" : "invalid bulk length");
    }
    if (UNLIKELY(n < 0 || (uint64_t)n > lim->bulk_bytes_max))
        return resp_bad(r, e, "invalid bulk length");
    if (UNLIKELY(auth_needed && n > RESP_UNAUTH_BULK))
        return resp_bad(r, e, "unauthenticated bulk length");
    r->bulk_left = n;
    *at = next;
    return RC_OK;
}

/* Reads arguments until the command is whole or bytes are missing. `fresh`: since the start of the
 * command, so arguments go to argv; else to offsets, since argv of an earlier call is stale. */
static HOT enum rc resp_read_args(struct resp_reader *r, struct slice in,
                                  const struct resp_limits *lim, bool auth_needed, bool fresh,
                                  struct err *e)
{
    size_t at = r->at;
    enum rc rc = RC_OK;
    while (r->args_left > 0) {
        if (r->bulk_left < 0) {
            rc = resp_read_bulk_len(r, in, &at, lim, auth_needed, e);
            if (UNLIKELY(rc != RC_OK))
                break;
        }
        size_t n = (size_t)r->bulk_left;
        if (UNLIKELY(in.n - at < n + 2)) {
            rc = RC_AGAIN;
            break;
        }
        if (UNLIKELY(in.p[at + n] != '\r' || in.p[at + n + 1] != '\n'))
            return resp_bad(r, e, "bulk string is not followed by CRLF");
        if (UNLIKELY(r->argc == r->argv_cap))
            resp_argv_grow(r);
        if (LIKELY(fresh)) {
            r->argv[r->argc] = slice_of(in.p + at, n);
        } else {
            r->offsets[r->argc * 2] = at;
            r->offsets[r->argc * 2 + 1] = n;
        }
        r->argc++;
        r->args_left--;
        r->bulk_left = -1;
        at += n + 2;
    }
    if (rc == RC_OK || rc == RC_AGAIN)
        r->at = at;
    return rc;
}

static COLD void resp_save(struct resp_reader *r, struct slice in)
{
    for (size_t i = 0; i < r->argc; i++) {
        r->offsets[i * 2] = (size_t)(r->argv[i].p - in.p);
        r->offsets[i * 2 + 1] = r->argv[i].n;
    }
}

static COLD void resp_restore(struct resp_reader *r, struct slice in)
{
    for (size_t i = 0; i < r->argc; i++)
        r->argv[i] = slice_of(in.p + r->offsets[i * 2], r->offsets[i * 2 + 1]);
}

static bool resp_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The byte that stands behind a backslash in double quotes; *i is at the backslash. */
static char resp_unescape(struct slice s, size_t *i)
{
    static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
    if (*i + 3 < s.n && s.p[*i + 1] == 'x' && ascii_hex(s.p[*i + 2]) >= 0 &&
        ascii_hex(s.p[*i + 3]) >= 0) {
        int v = ascii_hex(s.p[*i + 2]) * 16 + ascii_hex(s.p[*i + 3]);
        *i += 4;
        return (char)v;
    }
    char c = s.p[*i + 1];
    *i += 2;
    for (size_t k = 0; k < sizeof from - 1; k++)
        if (c == from[k])
            return to[k];
    return c;
}

/* Copies the quoted text at s.p[*i] (a quote) to out; leaves *i behind the closing quote. False:
 * it does not end, or something other than a space follows. */
static bool resp_quoted(struct slice s, size_t *i, struct buf *out)
{
    char quote = s.p[(*i)++];
    while (*i < s.n && s.p[*i] != quote) {
        if (s.p[*i] == '\\' && quote == '"' && *i + 1 < s.n) {
            buf_byte(out, resp_unescape(s, i));
        } else {
            if (s.p[*i] == '\\' && *i + 1 < s.n && s.p[*i + 1] == '\'')
                (*i)++; /* \' is the only escape in single quotes */
            buf_byte(out, s.p[(*i)++]);
        }
    }
    if (*i >= s.n)
        return false;
    (*i)++;
    return *i == s.n || resp_space(s.p[*i]);
}

/* Splits a line as Redis' inline commands are split. Quotes may begin inside a word. */
static bool resp_split(struct resp_reader *r, struct slice s)
{
    size_t i = 0;
    buf_clear(&r->unquoted);
    MUST(buf_room(&r->unquoted, s.n + 1)); /* it must not move while slices point into it */
    while (true) {
        while (i < s.n && resp_space(s.p[i]))
            i++;
        if (i == s.n)
            return true;
        size_t start = r->unquoted.n;
        while (i < s.n && !resp_space(s.p[i])) {
            if (s.p[i] != '"' && s.p[i] != '\'')
                buf_byte(&r->unquoted, s.p[i++]);
            else if (resp_quoted(s, &i, &r->unquoted))
                break;
            else
                return false;
        }
        if (r->argc == r->argv_cap)
            resp_argv_grow(r);
        r->argv[r->argc++] = slice_of(r->unquoted.p + start, r->unquoted.n - start);
    }
}

static enum rc resp_read_inline(struct resp_reader *r, struct slice in,
                                const struct resp_limits *lim, size_t *used, struct err *e)
{
    const char *lf = memchr(in.p + r->at, '\n', in.n - r->at);
    size_t line_n = lf ? (size_t)(lf - in.p) : in.n;
    if (line_n > lim->inline_bytes_max)
        return resp_bad(r, e, "too big inline request");
    if (!lf) {
        r->at = in.n;
        return RC_AGAIN;
    }
    struct slice line = slice_of(in.p, line_n);
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    size_t nul = slice_index(line, '\0'); /* Redis sees a C string */
    line.n = nul == SIZE_MAX ? line.n : nul;
    resp_restart(r);
    if (!resp_split(r, line))
        return resp_bad(r, e, "unbalanced quotes in request");
    *used = line_n + 1;
    return RC_OK;
}

HOT enum rc resp_read(struct resp_reader *r, struct slice in, const struct resp_limits *lim,
                      bool auth_needed, size_t *used, struct err *e)
{
    bool fresh = r->args_left < 0;
    *used = 0;
    if (in.n == 0)
        return RC_AGAIN;
    if (fresh) {
        if (UNLIKELY(in.p[0] != '*')) {
            r->argc = 0;
            return resp_read_inline(r, in, lim, used, e);
        }
        resp_restart(r);
        enum rc rc = resp_read_count(r, in, lim, auth_needed, e);
        if (UNLIKELY(rc != RC_OK))
            return rc;
    }
    enum rc rc = resp_read_args(r, in, lim, auth_needed, fresh, e);
    if (UNLIKELY(rc == RC_AGAIN && fresh))
        resp_save(r, in);
    if (UNLIKELY(rc != RC_OK))
        return rc;
    if (UNLIKELY(!fresh))
        resp_restore(r, in);
    *used = r->at;
    r->at = 0;
    r->args_left = -1;
    return RC_OK;
}

/* ---------------------------------------------------------------- writing */

/* Type byte, number, line end. The room was asked for. */
static inline void resp_head(struct buf *o, char type, uint64_t n)
{
    char *p = o->p + o->n;
    *p++ = type;
    p += fmt_u64(p, n);
    *p++ = '\r';
    *p++ = '\n';
    o->n = (size_t)(p - o->p);
}

static inline void resp_count(struct buf *o, char type, size_t n)
{
    if (LIKELY(buf_room(o, RESP_NUMBER_ROOM)))
        resp_head(o, type, n);
}

void resp_simple(struct buf *o, struct slice s)
{
    if (LIKELY(buf_room(o, s.n + 3))) {
        char *p = o->p + o->n;
        *p++ = '+';
        memcpy(p, s.p, s.n);
        memcpy(p + s.n, "\r\n", 2);
        o->n += s.n + 3;
    }
}

void resp_error(struct buf *o, struct slice s)
{
    if (!buf_room(o, s.n + 3))
        return;
    char *p = o->p + o->n;
    *p++ = '-';
    for (size_t i = 0; i < s.n; i++)
        *p++ = (char)(s.p[i] == '\r' || s.p[i] == '\n' ? ' ' : s.p[i]);
    memcpy(p, "\r\n", 2);
    o->n += s.n + 3;
}

void resp_errorf(struct buf *o, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    resp_error(o, slice_of(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1)));
}

HOT void resp_int(struct buf *o, int64_t n)
{
    if (UNLIKELY(!buf_room(o, RESP_NUMBER_ROOM)))
        return;
    char *p = o->p + o->n;
    *p++ = ':';
    p += fmt_i64(p, n);
    *p++ = '\r';
    *p++ = '\n';
    o->n = (size_t)(p - o->p);
}

HOT void resp_bulk(struct buf *o, struct slice s)
{
    if (UNLIKELY(!buf_room(o, s.n + RESP_NUMBER_ROOM)))
        return;
    resp_head(o, '$', s.n);
    char *p = o->p + o->n;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    memcpy(p + s.n, "\r\n", 2);
    o->n += s.n + 2;
}

void resp_bulk_i64(struct buf *o, int64_t n)
{
    char text[24];
    resp_bulk(o, slice_of(text, fmt_i64(text, n)));
}

void resp_nil(struct buf *o, int proto)
{
    if (proto >= 3)
        buf_lit(o, "_\r\n");
    else
        buf_lit(o, "$-1\r\n");
}

void resp_nil_array(struct buf *o, int proto)
{
    if (proto >= 3)
        buf_lit(o, "_\r\n");
    else
        buf_lit(o, "*-1\r\n");
}

void resp_array(struct buf *o, size_t n)
{
    resp_count(o, '*', n);
}

void resp_map(struct buf *o, int proto, size_t pairs)
{
    resp_count(o, proto >= 3 ? '%' : '*', proto >= 3 ? pairs : pairs * 2);
}

void resp_set(struct buf *o, int proto, size_t n)
{
    resp_count(o, proto >= 3 ? '~' : '*', n);
}

void resp_push(struct buf *o, int proto, size_t n)
{
    resp_count(o, proto >= 3 ? '>' : '*', n);
}

void resp_double(struct buf *o, int proto, double d)
{
    char text[48];
    if (proto < 3) {
        resp_bulk(o, slice_of(text, fmt_double(text, d)));
        return;
    }
    text[0] = ',';
    size_t n = 1 + fmt_double(text + 1, d);
    text[n++] = '\r';
    text[n++] = '\n';
    buf_put(o, text, n);
}

void resp_bool(struct buf *o, int proto, bool b)
{
    if (proto < 3)
        resp_int(o, b ? 1 : 0);
    else
        buf_put(o, b ? "#t\r\n" : "#f\r\n", 4);
}

void resp_verbatim(struct buf *o, int proto, const char *ext, struct slice s)
{
    if (proto < 3) {
        resp_bulk(o, s);
        return;
    }
    if (!buf_room(o, s.n + RESP_NUMBER_ROOM + 4))
        return;
    resp_head(o, '=', s.n + 4);
    buf_fmt(o, "%.3s:", ext);
    buf_slice(o, s);
    buf_lit(o, "\r\n");
}

void resp_attribute(struct buf *o, size_t pairs)
{
    resp_count(o, '|', pairs);
}
