/*
 * lua_lib.c - postern.*: what a Lua policy may call. One row per function; JSON and tokens.
 *
 * Rows are written against struct script_call; policy/ never sees Lua. ctx is the policy_ctx (one of its
 * own while a set is loaded). What concerns the request at hand (log, store, limit, now) needs
 * script_user, which is NULL while a chunk is loaded: those functions fail then. Scratch memory is given
 * back at the end of each function; input sizes are bounded. Threads: the context's.
 * Tested by tests/unit/policy/test_lua.c and test_lua_lib.c; the manual's page is docs/lua.md.
 */
#include "policy/lua_lib.h"
#include "wire/jwt.h"

struct lua_lib_state *lua_lib_of(struct policy_ctx *c)
{
    if (!c->lua) {
        c->lua = mem_zalloc(sizeof *c->lua);
        arena_init(&c->lua->scratch, 4096, 64 << 20);
    }
    arena_reset(&c->lua->scratch);
    return c->lua;
}

void lua_lib_close(struct lua_lib_state *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < LUA_LIB_REGEX_MAX; i++) {
        mem_free(s->regex[i].pattern);
        if (s->regex[i].regex)
            regex_free(s->regex[i].regex);
    }
    arena_free(&s->scratch);
    mem_free(s);
}

bool lua_lib_text(struct script_call *c, int i, size_t max, struct slice *out)
{
    enum script_kind k = script_kind(c, i);

    if (k != SK_STR && k != SK_INT && k != SK_NUM) {
        script_fail(c, "argument %d must be text", i);
        return false;
    }
    *out = script_to_str(c, i);
    if (out->n > max) {
        script_fail(c, "argument %d is longer than %zu bytes", i, max);
        return false;
    }
    return true;
}

bool lua_lib_num(struct script_call *c, int i, double *out)
{
    enum script_kind k = script_kind(c, i);

    *out = script_to_num(c, i, 0);
    if ((k == SK_INT || k == SK_NUM) && *out >= -62135596800.0 && *out <= 253402300799.0)
        return true; /* years 1 to 9999 */
    script_fail(c, "argument %d must be a number of seconds since 1970", i);
    return false;
}

int lua_lib_nil(struct script_call *c, struct slice why)
{
    script_nil(c);
    script_str(c, why);
    return 2;
}

/* ---- JSON ---- */

static void lua_lib_push_json(struct script_call *c, const struct json *j)
{
    switch (j->kind) {
    case JSON_BOOL: script_bool(c, j->b); return;
    case JSON_INT: script_int(c, j->i); return;
    case JSON_UINT: script_num(c, (double)j->u); return;
    case JSON_REAL: script_num(c, j->d); return;
    case JSON_STR: script_str(c, j->s); return;
    case JSON_ARR:
        script_table(c);
        for (uint32_t i = 0; i < j->n; i++) {
            lua_lib_push_json(c, &j->items[i]);
            script_append(c);
        }
        return;
    case JSON_OBJ:
        script_table(c);
        for (uint32_t i = 0; i < j->n; i++) {
            lua_lib_push_json(c, &j->members[i].value);
            script_set(c, j->members[i].name);
        }
        return;
    case JSON_NULL: break;
    }
    script_nil(c);
}

void lua_push_json(struct script_call *c, const struct json *j)
{
    lua_lib_push_json(c, j);
}

static bool lua_lib_shallow(const struct json *j, int depth)
{
    if (depth > LUA_LIB_DEPTH_MAX)
        return false;
    for (uint32_t i = 0; i < j->n; i++) {
        if (j->kind == JSON_ARR && !lua_lib_shallow(&j->items[i], depth + 1))
            return false;
        if (j->kind == JSON_OBJ && !lua_lib_shallow(&j->members[i].value, depth + 1))
            return false;
    }
    return true;
}

static int lua_lib_json_decode(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice text;
    struct json *j = NULL;
    struct err e = {0};

    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &text))
        return -1;
    if (json_parse(&s->scratch, text, LUA_LIB_TEXT_MAX, &j, &e) != RC_OK || !lua_lib_shallow(j, 0))
        return lua_lib_nil(c, e.text[0] ? slice_str(e.text) : S("nested too deep"));
    lua_lib_push_json(c, j);
    return 1;
}

static bool lua_lib_write_json(struct script_call *c, int i, struct jsonw *w, int depth);

static bool lua_lib_write_table(struct script_call *c, int i, struct jsonw *w, int depth)
{
    int64_t n = script_len(c, i);
    int at = i > 0 ? i : script_count(c) + 1 + i;
    bool ok = true;

    if (n > 0) {
        jsonw_arr(w);
        for (int64_t k = 1; k <= n && ok; k++) {
            script_item(c, at, k);
            ok = lua_lib_write_json(c, -1, w, depth + 1);
            script_pop(c, 1);
        }
        jsonw_end_arr(w);
        return ok;
    }
    jsonw_obj(w);
    script_nil(c);
    while (script_next(c, at)) {
        jsonw_key(w, script_to_str(c, -2));
        ok = ok && lua_lib_write_json(c, -1, w, depth + 1);
        script_pop(c, 1);
    }
    jsonw_end_obj(w);
    return ok;
}

static bool lua_lib_write_json(struct script_call *c, int i, struct jsonw *w, int depth)
{
    if (depth > LUA_LIB_DEPTH_MAX || buf_over(w->out))
        return false;
    switch (script_kind(c, i)) {
    case SK_NIL: jsonw_null(w); return true;
    case SK_BOOL: jsonw_bool(w, script_to_bool(c, i)); return true;
    case SK_INT: jsonw_i64(w, script_to_int(c, i, 0)); return true;
    case SK_NUM: jsonw_real(w, script_to_num(c, i, 0)); return true;
    case SK_STR: jsonw_str(w, script_to_str(c, i)); return true;
    case SK_TABLE: return lua_lib_write_table(c, i, w, depth);
    case SK_OTHER: break;
    }
    return false;
}

static int lua_lib_json_encode(struct script_call *c, void *ctx)
{
    struct buf out;
    struct jsonw w;
    int n = 1;

    (void)ctx;
    buf_init(&out, LUA_LIB_TEXT_MAX);
    jsonw_init(&w, &out);
    if (script_count(c) < 1)
        n = script_fail(c, "json.encode needs a value");
    else if (!lua_lib_write_json(c, 1, &w, 0) || buf_over(&out))
        n = script_fail(c, "value cannot be written as JSON: a function, nested deeper than %d, or too long",
                        LUA_LIB_DEPTH_MAX);
    else
        script_str(c, buf_all(&out));
    buf_free(&out);
    return n;
}

const struct json *lua_to_json(struct script_call *c, int i, struct arena *a)
{
    struct buf text;
    struct jsonw w;
    struct json *j = NULL;
    struct err e = {0};

    buf_init(&text, LUA_LIB_VALUE_MAX);
    jsonw_init(&w, &text);
    if (!lua_lib_write_json(c, i, &w, 0) || buf_over(&text) ||
        json_parse(a, buf_all(&text), LUA_LIB_VALUE_MAX, &j, &e) != RC_OK)
        j = NULL;
    buf_free(&text);
    return j;
}

/* ---- tokens ---- */

/* jwt.claims(token): its claims and its header, or nil and why. Nothing is verified. */
static int lua_lib_jwt_claims(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    enum jwt_fault f;
    struct slice text;
    struct jwt t;

    if (!lua_lib_text(c, 1, LUA_LIB_VALUE_MAX, &text))
        return -1;
    if (slice_starts_ci(text, S("Bearer ")))
        text = slice_trim(slice_from(text, 7));
    f = jwt_parse(&s->scratch, text, &t);
    if (f != JWT_OK)
        return lua_lib_nil(c, slice_str(jwt_fault_row(f)->words));
    if (!lua_lib_shallow(t.claims, 0) || !lua_lib_shallow(t.header, 0))
        return lua_lib_nil(c, S("nested too deep"));
    lua_lib_push_json(c, t.claims);
    lua_lib_push_json(c, t.header);
    return 2;
}

/* What a step left as claims: an object, or a token that it had verified. */
static bool lua_lib_push_claims_of(struct script_call *c, const struct json *j, const struct decision *d)
{
    struct jwt t;

    if (j && j->kind == JSON_STR && jwt_parse(d->arena, j->s, &t) == JWT_OK)
        j = t.claims;
    if (!j || j->kind != JSON_OBJ || !lua_lib_shallow(j, 0))
        return false;
    lua_lib_push_json(c, j);
    return true;
}

bool lua_push_claims(struct script_call *c, const struct decision *d)
{
    static const char *const names[] = {"jwtAccessToken", "jwt", "introspection"};
    const struct json *j;

    for (size_t i = 0; d->state_n > 0 && i < ARRAY_LEN(names); i++)
        if (lua_lib_push_claims_of(c, decision_state_get(d, slice_str(names[i])), d))
            return true;
    j = d->state_n > 0 ? decision_state_get(d, S("jwt_authn")) : NULL; /* of the first provider */
    return j && j->kind == JSON_OBJ && j->n > 0 && lua_lib_push_claims_of(c, &j->members[0].value, d);
}

/* ---- the rows ---- */

/* clang-format off */
static const struct script_fn lua_lib_rows[] = {
    {"json.encode", "json.encode(value): text", lua_lib_json_encode},
    {"json.decode", "json.decode(text): value, or nil and why", lua_lib_json_decode},
    {"jwt.claims", "jwt.claims(token): claims and header, not verified; or nil and why", lua_lib_jwt_claims},
    {"base64.encode", "base64.encode(bytes): text, with padding", lua_text_b64_encode},
    {"base64.decode", "base64.decode(text): bytes, or nil; both alphabets", lua_text_b64_decode},
    {"base64url.encode", "base64url.encode(bytes): text, without padding", lua_text_b64url_encode},
    {"base64url.decode", "base64url.decode(text): bytes, or nil", lua_text_b64url_decode},
    {"hex.encode", "hex.encode(bytes): lower-case digits", lua_text_hex_encode},
    {"hex.decode", "hex.decode(text): bytes, or nil", lua_text_hex_decode},
    {"sha1", "sha1(bytes): digest in hex", lua_text_sha1},
    {"sha256", "sha256(bytes): digest in hex", lua_text_sha256},
    {"sha512", "sha512(bytes): digest in hex", lua_text_sha512},
    {"hmac_sha1", "hmac_sha1(key, bytes): MAC in hex", lua_text_hmac_sha1},
    {"hmac_sha256", "hmac_sha256(key, bytes): MAC in hex", lua_text_hmac_sha256},
    {"equal", "equal(a, b): boolean, in a time that tells nothing about where they differ", lua_text_equal},
    {"cidr_match", "cidr_match(ip, range or list of ranges): boolean", lua_text_cidr_match},
    {"cidr_lookup", "cidr_lookup(ip, table of range and value): the value of the narrowest range, or nil", lua_text_cidr_lookup},
    {"glob", "glob(pattern, text): boolean; * ? [a-z]", lua_text_glob},
    {"regex", "regex(pattern, text): nil, or the match and its groups", lua_text_regex},
    {"url.encode", "url.encode(text): all but unreserved characters percent-encoded", lua_text_url_encode},
    {"url.decode", "url.decode(text): text, or nil for a broken escape; + is a space only with a second argument true", lua_text_url_decode},
    {"url.query", "url.query(text): table of name and value; a name that came several times has a list", lua_text_url_query},
    {"time.parse", "time.parse(text): seconds since 1970 of an RFC 3339 time, or nil", lua_text_time_parse},
    {"time.format", "time.format(seconds): RFC 3339 in UTC", lua_text_time_format},
    {"time.fields", "time.fields(seconds, offset): year month day hour minute second weekday date", lua_text_time_fields},
    {"now", "now(): seconds since 1970, with milliseconds", lua_once_now},
    {"log", "log(text): one line in Postern's log", lua_once_log},
    {"metric.add", "metric.add(name, n): adds to a counter in /metrics; false when there are too many", lua_once_metric_add},
    {"store.get", "store.get(key): text or nil", lua_once_store_get},
    {"store.set", "store.set(key, value, seconds): keeps; nil removes", lua_once_store_set},
    {"store.del", "store.del(key): was it there", lua_once_store_del},
    {"store.incr", "store.incr(key, by, seconds): the new number; seconds count when it is made", lua_once_store_incr},
    {"store.expire", "store.expire(key, seconds): was it there; 0: never expires", lua_once_store_expire},
    {"store.ttl", "store.ttl(key): seconds left, or nil", lua_once_store_ttl},
    {"http.get", "http.get(url, options): {status, headers, body}, or nil and why", lua_http_get},
    {"http.post", "http.post(url, body, options): the same", lua_http_post},
    {"http.request", "http.request{method, url, headers, body, timeout}: the same", lua_http_request},
    {"limit", "limit(key, n, seconds): passes, left, seconds until it starts anew", lua_once_limit},
    {"limit_peek", "limit_peek(key, n, seconds): as limit would answer now, without counting", lua_once_limit_peek},
};
/* clang-format on */

const struct script_fn *lua_lib(size_t *n)
{
    *n = ARRAY_LEN(lua_lib_rows);
    return lua_lib_rows;
}
