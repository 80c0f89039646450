/*
 * resp_reply.c - what commands have in common: error texts, reading of arguments, gathered lists.
 *
 * Called by every cmd_*.c. The texts are Redis 7.2's, to the letter: client libraries compare them.
 * Functions named arg_* answer the error themselves and return false, so that a command stays flat.
 * Owns nothing. Threads: the client's. Tested through the commands.
 */
#include "resp/resp_int.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void reply_syntax(struct resp_client *c)
{
    reply_err(c, "ERR syntax error");
}

void reply_wrongtype(struct resp_client *c)
{
    reply_err(c, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void reply_arity(struct resp_client *c, const struct resp_row *row)
{
    resp_errorf(c->out, "ERR wrong number of arguments for '%s' command", row->name);
}

void reply_unknown_sub(struct resp_client *c)
{
    char name[32];
    size_t n = MIN((size_t)c->row->name_len, sizeof name - 1);
    const char *bar = memchr(c->row->name, '|', n);
    n = bar != NULL ? (size_t)(bar - c->row->name) : n;
    for (size_t i = 0; i < n; i++)
        name[i] = ascii_upper(c->row->name[i]);
    resp_errorf(c->out,
                "ERR unknown subcommand or wrong number of arguments for '%.128s'. Try %.*s HELP.",
                arena_cstr(&c->th->arena, slice_sub(c->argv[1], 0, 128)), (int)n, name);
}

void reply_rc(struct resp_client *c, enum rc rc)
{
    switch (rc) {
    case RC_WRONGTYPE:
        reply_wrongtype(c);
        break;
    case RC_BADINPUT:
        reply_err(c, "ERR value is not an integer or out of range");
        break;
    case RC_TOOBIG:
        reply_err(c, "ERR increment or decrement would overflow");
        break;
    case RC_NOTFOUND:
        reply_err(c, "ERR no such key");
        break;
    case RC_NOMEM:
        reply_err(c, "OOM command not allowed when used memory > 'maxmemory'.");
        break;
    case RC_IO:
        reply_err(c,
                  "MISCONF The data directory cannot be written; changes are refused until it can");
        break;
    default:
        resp_errorf(c->out, "ERR %s", rc_name(rc));
        break;
    }
}

bool arg_i64(struct resp_client *c, struct slice s, int64_t *out)
{
    if (LIKELY(slice_i64(s, out)))
        return true;
    reply_err(c, "ERR value is not an integer or out of range");
    return false;
}

bool arg_range(struct resp_client *c, struct slice s, int64_t min, int64_t max, int64_t *out)
{
    if (!arg_i64(c, s, out))
        return false;
    if (*out >= min && *out <= max)
        return true;
    resp_errorf(c->out, "ERR value is out of range, value must between %lld and %lld",
                (long long)min, (long long)max);
    return false;
}

bool arg_db(struct resp_client *c, struct slice s, int *out, const char *not_int)
{
    int64_t n;
    if (!slice_i64(s, &n) || n > INT32_MAX || n < INT32_MIN) {
        resp_errorf(c->out, "ERR %s", not_int);
        return false;
    }
    if (n < 0 || n >= STORE_DBS) {
        reply_err(c, "ERR DB index is out of range");
        return false;
    }
    *out = (int)n;
    return true;
}

/* As Redis: long double, no spaces at either end, no hexadecimal surprises beyond strtold's. */
bool text_float(struct slice s, long double *out)
{
    char text[400], *end;
    if (s.n == 0 || s.n >= sizeof text || memchr(s.p, 0, s.n) != NULL || s.p[0] == ' ' ||
        (s.p[0] >= '\t' && s.p[0] <= '\r'))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *out = strtold(text, &end);
    return end == text + s.n && !isnan(*out);
}

bool arg_float(struct resp_client *c, struct slice s, long double *out)
{
    if (text_float(s, out))
        return true;
    reply_err(c, "ERR value is not a valid float");
    return false;
}

size_t fmt_long_double(char dst[400], long double v)
{
    if (fabsl(v) > 1e300L) /* no trailing zeros to take off, and they would not fit */
        return (size_t)snprintf(dst, 400, "%.17Lg", v);
    int n = snprintf(dst, 400, "%.17Lf", v);
    if (memchr(dst, '.', (size_t)n) != NULL) {
        while (dst[n - 1] == '0')
            n--;
        if (dst[n - 1] == '.')
            n--;
    }
    if (n == 2 && dst[0] == '-' && dst[1] == '0') {
        dst[0] = '0';
        n = 1;
    }
    return (size_t)n;
}

bool arg_is(struct slice s, const char *word)
{
    size_t i = 0;
    for (; i < s.n && word[i] != 0; i++) {
        if (ascii_upper(s.p[i]) != word[i])
            return false;
    }
    return i == s.n && word[i] == 0;
}

bool arg_expire(struct resp_client *c, struct slice s, int unit, bool positive, int64_t *at_ms)
{
    int64_t n;
    if (!arg_i64(c, s, &n))
        return false;
    int64_t base = unit & TIME_RELATIVE ? store_now_ms(c->st) : 0;
    bool bad = positive && n <= 0;
    if (unit & TIME_SECONDS)
        bad = bad || __builtin_mul_overflow(n, (int64_t)1000, &n);
    bad = bad || __builtin_add_overflow(n, base, &n);
    if (bad) {
        resp_errorf(c->out, "ERR invalid expire time in '%s' command", c->row->name);
        return false;
    }
    *at_ms = n;
    return true;
}

bool arg_scan(struct resp_client *c, size_t at, bool with_type, struct resp_scan *s)
{
    *s = (struct resp_scan){.count = 10};
    if (!slice_u64(c->argv[at], &s->cursor)) {
        reply_err(c, "ERR invalid cursor");
        return false;
    }
    for (size_t i = at + 1; i < c->argc; i += 2) {
        int64_t n;
        bool more = i + 1 < c->argc;
        if (more && arg_is(c->argv[i], "COUNT")) {
            if (!arg_i64(c, c->argv[i + 1], &n))
                return false;
            if (n < 1)
                return reply_syntax(c), false;
            s->count = (size_t)n;
        } else if (more && arg_is(c->argv[i], "MATCH")) {
            s->match = c->argv[i + 1];
            s->has_match = !slice_eq(s->match, S("*"));
        } else if (more && with_type && arg_is(c->argv[i], "TYPE")) {
            s->type = c->argv[i + 1];
            s->has_type = true;
        } else {
            return reply_syntax(c), false;
        }
    }
    return true;
}

struct resp_gather gather_begin(struct resp_client *c)
{
    buf_clear(&c->th->scratch);
    return (struct resp_gather){&c->th->scratch, 0};
}

void gather_end(struct resp_client *c, struct resp_gather *g)
{
    reply_array(c, g->n);
    buf_slice(c->out, buf_all(g->b));
    buf_clear(g->b);
    buf_shrink(g->b, 1 << 20);
}

struct slice slice_own(struct slice s)
{
    char *p = mem_alloc(s.n + 1);
    memcpy(p, s.n > 0 ? s.p : "", s.n);
    p[s.n] = 0;
    return slice_of(p, s.n);
}

void slice_disown(struct slice *s)
{
    mem_free((void *)(uintptr_t)s->p);
    *s = slice_of(NULL, 0);
}
