/*
 * lua_text.c - postern.* that works on text and numbers alone: codes, digests, matching, URLs, times.
 *
 * Same input, same answer, whatever the request; they may be called while a chunk is loaded. Every input
 * is bounded, expressions by PCRE2's limits. Rows and manual: lua_lib.c. Threads: the context's.
 * Tested by tests/unit/policy/test_lua.c and test_lua_lib.c.
 */
#include "base/clock.h"
#include "base/glob.h"
#include "policy/lua_lib.h"
#include "wire/hash.h"
#include <math.h>

/* ---- digests and codes ---- */

int lua_text_b64_encode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in;
    char *dst;

    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    dst = arena_alloc(&s->scratch, B64_LEN(in.n) + 1);
    script_str(c, slice_of(dst, b64_encode(dst, in.p, in.n)));
    return 1;
}

int lua_text_b64_decode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in;
    size_t n = 0;
    char *dst;

    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    dst = arena_alloc(&s->scratch, in.n + 4);
    if (b64_decode(in, dst, in.n + 4, &n) == RC_OK || b64url_decode(in, dst, in.n + 4, &n) == RC_OK)
        script_str(c, slice_of(dst, n));
    else
        script_nil(c);
    return 1;
}

int lua_text_b64url_encode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in;
    char *dst;

    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    dst = arena_alloc(&s->scratch, B64_LEN(in.n) + 1);
    script_str(c, slice_of(dst, b64url_encode(dst, in.p, in.n)));
    return 1;
}

/* One of the strict decoders of wire/. */
static int lua_text_decode(struct script_call *c, void *ctx,
                           enum rc (*decode)(struct slice, void *, size_t, size_t *))
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in;
    size_t n = 0;
    char *dst;

    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    dst = arena_alloc(&s->scratch, in.n + 4);
    if (decode(in, dst, in.n + 4, &n) == RC_OK)
        script_str(c, slice_of(dst, n));
    else
        script_nil(c);
    return 1;
}

int lua_text_b64url_decode(struct script_call *c, void *ctx)
{
    return lua_text_decode(c, ctx, b64url_decode);
}

int lua_text_hex_decode(struct script_call *c, void *ctx)
{
    return lua_text_decode(c, ctx, hex_decode);
}

int lua_text_hex_encode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in;
    char *dst;

    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX / 2, &in))
        return -1;
    dst = arena_alloc(&s->scratch, in.n * 2 + 1);
    script_str(c, slice_of(dst, hex_encode(dst, in.p, in.n)));
    return 1;
}

static int lua_text_digest(struct script_call *c, const uint8_t *digest, size_t n)
{
    char hex[128];

    script_str(c, slice_of(hex, hex_encode(hex, digest, n)));
    return 1;
}

int lua_text_sha1(struct script_call *c, void *ctx)
{
    uint8_t digest[20];
    struct slice in;

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    sha1(in, digest);
    return lua_text_digest(c, digest, sizeof digest);
}

int lua_text_sha256(struct script_call *c, void *ctx)
{
    uint8_t digest[32];
    struct slice in;

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    sha256(in, digest);
    return lua_text_digest(c, digest, sizeof digest);
}

int lua_text_sha512(struct script_call *c, void *ctx)
{
    uint8_t digest[64];
    struct slice in;

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    sha512(in, digest);
    return lua_text_digest(c, digest, sizeof digest);
}

int lua_text_hmac_sha1(struct script_call *c, void *ctx)
{
    struct slice key, in;
    uint8_t mac[20];

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &key) || !lua_lib_text(c, 2, LUA_LIB_TEXT_MAX, &in))
        return -1;
    hmac_sha1(key, in, mac);
    return lua_text_digest(c, mac, sizeof mac);
}

int lua_text_hmac_sha256(struct script_call *c, void *ctx)
{
    struct slice key, in;
    struct hmac_key k;
    uint8_t mac[32];

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &key) || !lua_lib_text(c, 2, LUA_LIB_TEXT_MAX, &in))
        return -1;
    hmac_key_init(&k, key);
    hmac_sha256(&k, in, mac);
    hmac_key_wipe(&k);
    return lua_text_digest(c, mac, sizeof mac);
}

int lua_text_equal(struct script_call *c, void *ctx)
{
    struct slice a, b;

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &a) || !lua_lib_text(c, 2, LUA_LIB_TEXT_MAX, &b))
        return -1;
    script_bool(c, slice_eq_secret(a, b));
    return 1;
}

/* ---- matching ---- */

static bool lua_text_cidr_one(struct script_call *c, int i, const struct ip *ip, bool *bad)
{
    struct cidr net;

    if (!cidr_parse(script_to_str(c, i), &net)) {
        *bad = true;
        return false;
    }
    return cidr_has(&net, ip);
}

int lua_text_cidr_match(struct script_call *c, void *ctx)
{
    struct slice text;
    struct ip ip;
    bool bad = false, in = false;

    (void)ctx;
    if (!lua_lib_text(c, 1, 100, &text))
        return -1;
    if (!ip_parse(text, &ip)) {
        script_bool(c, false);
        return 1;
    }
    if (script_kind(c, 2) != SK_TABLE) {
        in = lua_text_cidr_one(c, 2, &ip, &bad);
    } else {
        int64_t n = script_len(c, 2);
        bad = n > LUA_LIB_ROWS_MAX;
        for (int64_t k = 1; k <= n && !in && !bad; k++) {
            script_item(c, 2, k);
            in = lua_text_cidr_one(c, -1, &ip, &bad);
            script_pop(c, 1);
        }
    }
    if (bad)
        return script_fail(c, "cidr_match: argument 2 must be \"10.0.0.0/8\" or a list of such, "
                           "at most %d", LUA_LIB_ROWS_MAX);
    script_bool(c, in);
    return 1;
}

/* cidr_lookup(ip, {["10.0.0.0/8"] = value}): the value of the narrowest range that has the address. */
int lua_text_cidr_lookup(struct script_call *c, void *ctx)
{
    struct slice text, value = S("");
    struct ip ip;
    int n = 0, best = -1;

    (void)ctx;
    if (!lua_lib_text(c, 1, 100, &text))
        return -1;
    if (script_kind(c, 2) != SK_TABLE)
        return script_fail(c, "cidr_lookup: argument 2 must be a table of ranges");
    if (!ip_parse(text, &ip)) {
        script_nil(c);
        return 1;
    }
    script_nil(c);
    while (script_next(c, 2)) {
        struct cidr net;
        if (n++ >= LUA_LIB_ROWS_MAX || !cidr_parse(script_to_str(c, -2), &net))
            return script_fail(c, "cidr_lookup: a range is written \"10.0.0.0/8\", and there are at "
                               "most %d", LUA_LIB_ROWS_MAX);
        if (net.bits > best && cidr_has(&net, &ip)) {
            best = net.bits;
            value = script_to_str(c, -1); /* the table keeps it */
        }
        script_pop(c, 1);
    }
    if (best < 0)
        script_nil(c);
    else
        script_str(c, value);
    return 1;
}

int lua_text_glob(struct script_call *c, void *ctx)
{
    struct slice pattern, text;

    (void)ctx;
    if (!lua_lib_text(c, 1, 4096, &pattern) || !lua_lib_text(c, 2, LUA_LIB_VALUE_MAX, &text))
        return -1;
    script_bool(c, glob_match(pattern, text, false));
    return 1;
}

static struct regex *lua_text_regex_of(struct lua_lib_state *s, struct slice pattern, struct err *e)
{
    size_t at;
    struct regex *r = NULL;

    for (size_t i = 0; i < LUA_LIB_REGEX_MAX; i++)
        if (s->regex[i].regex && slice_eq(slice_of(s->regex[i].pattern, s->regex[i].n), pattern))
            return s->regex[i].regex;
    if (regex_compile(pattern, false, false, &r, e) != RC_OK)
        return NULL;
    at = s->regex_next++ % LUA_LIB_REGEX_MAX;
    mem_free(s->regex[at].pattern);
    if (s->regex[at].regex)
        regex_free(s->regex[at].regex);
    s->regex[at].pattern = mem_alloc(pattern.n + 1);
    memcpy(s->regex[at].pattern, pattern.p, pattern.n);
    s->regex[at].n = pattern.n;
    s->regex[at].regex = r;
    return r;
}

/* regex(pattern, text): nil, or the whole match and the groups. */
int lua_text_regex(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice pattern, text, groups[LUA_LIB_GROUPS_MAX];
    struct regex *r;
    struct err e = {0};
    size_t n = 0;
    enum rc rc;

    if (!lua_lib_text(c, 1, 4096, &pattern) || !lua_lib_text(c, 2, LUA_LIB_VALUE_MAX, &text))
        return -1;
    r = lua_text_regex_of(s, pattern, &e);
    if (!r)
        return script_fail(c, "regex: %s", e.text);
    rc = regex_match(r, text, groups, LUA_LIB_GROUPS_MAX, &n);
    if (rc != RC_OK && rc != RC_NOTFOUND)
        return script_fail(c, "regex: the match took too many steps");
    if (rc == RC_NOTFOUND) {
        script_nil(c);
        return 1;
    }
    for (size_t i = 0; i < n; i++) {
        if (groups[i].p)
            script_str(c, groups[i]);
        else
            script_nil(c);
    }
    return (int)n;
}

/* ---- URLs ---- */

int lua_text_url_encode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in;

    if (!lua_lib_text(c, 1, LUA_LIB_VALUE_MAX, &in))
        return -1;
    script_str(c, url_encode(&s->scratch, in));
    return 1;
}

int lua_text_url_decode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice in, out;

    if (!lua_lib_text(c, 1, LUA_LIB_VALUE_MAX, &in))
        return -1;
    if (url_decode(&s->scratch, in, script_to_bool(c, 2), &out) == RC_OK)
        script_str(c, out);
    else
        script_nil(c);
    return 1;
}

/* The values of one name, from its first place on: a text, or a list when there are several. */
static void lua_text_query_put(struct script_call *c, const struct field_pair *v, size_t n, size_t first)
{
    size_t same = 0;

    for (size_t i = first; i < n; i++)
        same += slice_eq(v[i].name, v[first].name);
    if (same == 1) {
        script_str(c, v[first].value);
    } else {
        script_table(c);
        for (size_t i = first; i < n; i++) {
            if (!slice_eq(v[i].name, v[first].name))
                continue;
            script_str(c, v[i].value);
            script_append(c);
        }
    }
    script_set(c, v[first].name);
}

int lua_text_url_query(struct script_call *c, void *ctx)
{
    enum { PAIRS_MAX = 256 };
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct field_pair *v;
    struct slice rest;
    size_t n = 0;

    if (!lua_lib_text(c, 1, LUA_LIB_VALUE_MAX, &rest))
        return -1;
    v = ARENA_ARRAY(&s->scratch, struct field_pair, PAIRS_MAX + 1);
    while (n <= PAIRS_MAX && url_query_next(&s->scratch, &rest, &v[n].name, &v[n].value))
        n++;
    if (n > PAIRS_MAX)
        return script_fail(c, "url.query: more than %d parameters", PAIRS_MAX);
    script_table(c);
    for (size_t i = 0; i < n; i++) {
        bool before = false;
        for (size_t k = 0; k < i && !before; k++)
            before = slice_eq(v[k].name, v[i].name);
        if (!before)
            lua_text_query_put(c, v, n, i);
    }
    return 1;
}

/* ---- times ---- */

int lua_text_time_parse(struct script_call *c, void *ctx)
{
    struct slice text;
    int64_t ms = 0;

    (void)ctx;
    if (!lua_lib_text(c, 1, 100, &text))
        return -1;
    if (!clock_parse_rfc3339(text, &ms))
        script_nil(c);
    else if (ms % 1000 == 0)
        script_int(c, ms / 1000);
    else
        script_num(c, (double)ms / 1000.0);
    return 1;
}

int lua_text_time_format(struct script_call *c, void *ctx)
{
    char text[32];
    double s;

    (void)ctx;
    if (!lua_lib_num(c, 1, &s))
        return -1;
    script_str(c, slice_of(text, clock_rfc3339(text, (int64_t)floor(s) * 1000)));
    return 1;
}

/* "+01:00", "-05:30", "Z" or "": seconds to add to UTC. */
static bool lua_text_offset(struct slice text, int64_t *seconds)
{
    int64_t hours, minutes;

    *seconds = 0;
    if (text.n == 0 || slice_eq(text, S("Z")))
        return true;
    if (text.n != 6 || (text.p[0] != '+' && text.p[0] != '-') || text.p[3] != ':' ||
        !ascii_digit(text.p[1]) || !ascii_digit(text.p[2]) || !ascii_digit(text.p[4]) ||
        !ascii_digit(text.p[5]))
        return false;
    hours = (text.p[1] - '0') * 10 + text.p[2] - '0';
    minutes = (text.p[4] - '0') * 10 + text.p[5] - '0';
    *seconds = (hours * 60 + minutes) * (text.p[0] == '-' ? -60 : 60);
    return hours <= 23 && minutes <= 59;
}

/* Digits of the time's text form. */
static void lua_text_field(struct script_call *c, const char *text, size_t at, size_t n,
                           const char *name)
{
    int64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v * 10 + (text[at + i] - '0');
    script_int(c, v);
    script_set(c, slice_str(name));
}

/* time.fields(seconds, offset): the calendar of a place whose clock is that far from UTC. */
int lua_text_time_fields(struct script_call *c, void *ctx)
{
    static const char *const days[] = {"thu", "fri", "sat", "sun", "mon", "tue", "wed"};
    struct slice zone = S("");
    int64_t offset, day, at;
    char text[32];
    double s;

    (void)ctx;
    if (!lua_lib_num(c, 1, &s) || (script_kind(c, 2) != SK_NIL && !lua_lib_text(c, 2, 16, &zone)))
        return -1;
    if (!lua_text_offset(zone, &offset))
        return script_fail(c, "time.fields: an offset is written \"+01:00\"");
    at = (int64_t)floor(s) + offset;
    (void)clock_rfc3339(text, at * 1000); /* "2026-11-21T04:12:48Z" */
    day = (at >= 0 ? at : at - 86399) / 86400;
    script_table(c);
    lua_text_field(c, text, 0, 4, "year");
    lua_text_field(c, text, 5, 2, "month");
    lua_text_field(c, text, 8, 2, "day");
    lua_text_field(c, text, 11, 2, "hour");
    lua_text_field(c, text, 14, 2, "minute");
    lua_text_field(c, text, 17, 2, "second");
    script_str(c, slice_str(days[(day % 7 + 7) % 7]));
    script_set(c, S("weekday"));
    script_str(c, slice_of(text, 10));
    script_set(c, S("date"));
    return 1;
}
