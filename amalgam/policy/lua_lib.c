/*
 * lua_lib.c - postern.*: what a Lua policy may call. One row per function.
 *
 * Rows are written against struct script_call; this file never sees Lua. ctx is the policy_ctx. What
 * concerns the request at hand (log, store, limit, now) needs script_user, which is NULL while a chunk
 * is loaded: those functions fail then. Store keys live under "lua:<policy>:". Scratch memory is given
 * back at the end of each function; input sizes are bounded. Threads: the context's.
 * Tested by tests/unit/policy/test_lua.c; the manual's page is docs/lua.md.
 */
#include "base/glob.h"
#include "base/log.h"
#include "policy/inside.h"
#include "wire/hash.h"
#include <stdio.h>

enum {
    LUA_LIB_TEXT_MAX = 1 << 20,
    LUA_LIB_KEY_MAX = 512,
    LUA_LIB_VALUE_MAX = 65536,
    LUA_LIB_DEPTH_MAX = 32,
    LUA_LIB_REGEX_MAX = 64,
    LUA_LIB_GROUPS_MAX = 10
};

struct lua_lib_state {
    struct arena scratch;
    struct { /* compiled expressions of this context, oldest replaced */
        char *pattern;
        size_t n;
        struct regex *regex;
    } regex[LUA_LIB_REGEX_MAX];
    size_t regex_next;
};

static struct lua_lib_state *lua_lib_of(struct policy_ctx *c)
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

/* A text argument within bounds; false after script_fail was left on the stack. */
static bool lua_lib_text(struct script_call *c, int i, size_t max, struct slice *out)
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
    if (json_parse(&s->scratch, text, LUA_LIB_TEXT_MAX, &j, &e) != RC_OK || !lua_lib_shallow(j, 0)) {
        script_nil(c);
        script_str(c, e.text[0] ? slice_str(e.text) : S("nested too deep"));
        return 2;
    }
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

/* ---- digests and codes ---- */

static int lua_lib_b64_encode(struct script_call *c, void *ctx)
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

static int lua_lib_b64_decode(struct script_call *c, void *ctx)
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

static int lua_lib_hex(struct script_call *c, const uint8_t digest[32])
{
    char hex[64];

    script_str(c, slice_of(hex, hex_encode(hex, digest, 32)));
    return 1;
}

static int lua_lib_sha256(struct script_call *c, void *ctx)
{
    uint8_t digest[32];
    struct slice in;

    (void)ctx;
    if (!lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &in))
        return -1;
    sha256(in, digest);
    return lua_lib_hex(c, digest);
}

static int lua_lib_hmac_sha256(struct script_call *c, void *ctx)
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
    return lua_lib_hex(c, mac);
}

/* ---- matching ---- */

static bool lua_lib_cidr_one(struct script_call *c, int i, const struct ip *ip, bool *bad)
{
    struct cidr net;

    if (!cidr_parse(script_to_str(c, i), &net)) {
        *bad = true;
        return false;
    }
    return cidr_has(&net, ip);
}

static int lua_lib_cidr_match(struct script_call *c, void *ctx)
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
        in = lua_lib_cidr_one(c, 2, &ip, &bad);
    } else {
        int64_t n = script_len(c, 2);
        for (int64_t k = 1; k <= n && !in && !bad; k++) {
            script_item(c, 2, k);
            in = lua_lib_cidr_one(c, -1, &ip, &bad);
            script_pop(c, 1);
        }
    }
    if (bad)
        return script_fail(c, "cidr_match: argument 2 must be \"10.0.0.0/8\" or a list of such");
    script_bool(c, in);
    return 1;
}

static int lua_lib_glob(struct script_call *c, void *ctx)
{
    struct slice pattern, text;

    (void)ctx;
    if (!lua_lib_text(c, 1, 4096, &pattern) || !lua_lib_text(c, 2, LUA_LIB_VALUE_MAX, &text))
        return -1;
    script_bool(c, glob_match(pattern, text, false));
    return 1;
}

static struct regex *lua_lib_regex(struct lua_lib_state *s, struct slice pattern, struct err *e)
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
static int lua_lib_regex_match(struct script_call *c, void *ctx)
{
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct slice pattern, text, groups[LUA_LIB_GROUPS_MAX];
    struct regex *r;
    struct err e = {0};
    size_t n = 0;
    enum rc rc;

    if (!lua_lib_text(c, 1, 4096, &pattern) || !lua_lib_text(c, 2, LUA_LIB_VALUE_MAX, &text))
        return -1;
    r = lua_lib_regex(s, pattern, &e);
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

/* ---- the request at hand ---- */

static struct lua_call *lua_lib_call(struct script_call *c)
{
    struct lua_call *u = script_user(c);

    if (!u)
        script_fail(c, "this function is for requests: call it inside the policy's function");
    return u;
}

static int lua_lib_now(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);

    (void)ctx;
    if (!u)
        return -1;
    script_num(c, (double)u->d->c->now_ms / 1000.0);
    return 1;
}

static int lua_lib_log(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);
    struct slice text;

    (void)ctx;
    if (!u || !lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &text))
        return -1;
    log_event(LOG_INFO, "policy.lua", "policy=%.*s decision=%s text=%s", SFMT(u->step->name),
              u->d->v->id, log_quote(text));
    return 0;
}

/* "lua:<policy>:<key>" */
static bool lua_lib_key(struct script_call *c, const struct lua_call *u, struct lua_lib_state *s,
                        struct slice *out)
{
    struct slice key;

    if (!lua_lib_text(c, 1, LUA_LIB_KEY_MAX, &key))
        return false;
    *out = arena_fmt(&s->scratch, "%.*s", SFMT(u->step->space));
    char *p = arena_alloc(&s->scratch, out->n + key.n);
    memcpy(p, out->p, out->n);
    memcpy(p + out->n, key.p, key.n);
    *out = slice_of(p, out->n + key.n);
    return true;
}

static int lua_lib_store_get(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    struct entry *e;
    char tmp[KS_TMP];

    if (!u || !lua_lib_key(c, u, s, &key))
        return -1;
    store_enter(st, u->d->c->now_ms);
    e = ks_find(st, 0, key, KS_TOUCH);
    if (e && ks_type(e) == V_STRING)
        script_str(c, arena_dup(&s->scratch, ks_str(e, tmp)));
    else
        script_nil(c);
    store_leave(st);
    return 1;
}

static int64_t lua_lib_expiry(struct script_call *c, const struct lua_call *u, int i)
{
    int64_t seconds = script_to_int(c, i, 0);

    return seconds > 0 && seconds < (int64_t)10 * 365 * 86400 ? u->d->c->now_ms + seconds * 1000 : 0;
}

static int lua_lib_store_set(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key, value = S("");
    enum rc rc;

    if (!u || !lua_lib_key(c, u, s, &key))
        return -1;
    if (script_kind(c, 2) != SK_NIL && !lua_lib_text(c, 2, LUA_LIB_VALUE_MAX, &value))
        return -1;
    store_enter(st, u->d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK && script_kind(c, 2) == SK_NIL)
        ks_del(st, 0, key);
    else if (rc == RC_OK)
        ks_set(st, 0, key, value, lua_lib_expiry(c, u, 3));
    store_leave(st);
    return rc == RC_OK ? 0 : script_fail(c, "store.set: the store refuses changes");
}

static int lua_lib_store_incr(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    int64_t n = 0;
    enum rc rc;

    if (!u || !lua_lib_key(c, u, s, &key))
        return -1;
    store_enter(st, u->d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK)
        rc = ks_incr(st, 0, key, script_to_int(c, 2, 1), lua_lib_expiry(c, u, 3), &n);
    store_leave(st);
    if (rc != RC_OK)
        return script_fail(c, "store.incr: %s", rc_name(rc));
    script_int(c, n);
    return 1;
}

static int lua_lib_store_ttl(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    struct entry *e;

    if (!u || !lua_lib_key(c, u, s, &key))
        return -1;
    store_enter(st, u->d->c->now_ms);
    e = ks_find(st, 0, key, KS_NOTOUCH);
    if (e && ks_expire_ms(e) > 0)
        script_num(c, (double)(ks_expire_ms(e) - u->d->c->now_ms) / 1000.0);
    else
        script_nil(c);
    store_leave(st);
    return 1;
}

/* limit(key, n, seconds): may it pass, how many are left, seconds until the window ends. */
static int lua_lib_limit(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_lib_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    int64_t n = script_to_int(c, 2, -1), seconds = script_to_int(c, 3, 0), used = 0, now_s, window_s;
    struct slice key;
    char name[LUA_LIB_KEY_MAX + 400];
    int len;
    enum rc rc;

    if (!u || !lua_lib_text(c, 1, LUA_LIB_KEY_MAX, &key))
        return -1;
    if (n < 0 || seconds < 1 || seconds > (int64_t)366 * 86400)
        return script_fail(c, "limit(key, n, seconds): n from 0, seconds from 1 to a year");
    (void)s;
    now_s = u->d->c->now_ms / 1000;
    window_s = now_s - now_s % seconds;
    len = snprintf(name, sizeof name - LUA_LIB_KEY_MAX, "%.*s|limit|%lld|%lld|",
                   SFMT(slice_sub(u->step->space, 0, 300)), (long long)seconds, (long long)window_s);
    memcpy(name + len, key.p, key.n);
    store_enter(st, u->d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK)
        rc = ks_incr(st, 0, slice_of(name, (size_t)len + key.n), 1, (window_s + seconds) * 1000, &used);
    store_leave(st);
    if (rc != RC_OK)
        return script_fail(c, "limit: %s", rc_name(rc));
    script_bool(c, used <= n);
    script_int(c, MAX(n - used, 0));
    script_int(c, seconds - now_s % seconds);
    return 3;
}

static const struct script_fn lua_lib_rows[] = {
    {"json.encode", "json.encode(value): text", lua_lib_json_encode},
    {"json.decode", "json.decode(text): value, or nil and why", lua_lib_json_decode},
    {"base64.encode", "base64.encode(bytes): text, with padding", lua_lib_b64_encode},
    {"base64.decode", "base64.decode(text): bytes, or nil; both alphabets", lua_lib_b64_decode},
    {"sha256", "sha256(bytes): digest in hex", lua_lib_sha256},
    {"hmac_sha256", "hmac_sha256(key, bytes): MAC in hex", lua_lib_hmac_sha256},
    {"now", "now(): seconds since 1970, with milliseconds", lua_lib_now},
    {"cidr_match", "cidr_match(ip, range or list of ranges): boolean", lua_lib_cidr_match},
    {"glob", "glob(pattern, text): boolean; * ? [a-z]", lua_lib_glob},
    {"regex", "regex(pattern, text): nil, or the match and its groups", lua_lib_regex_match},
    {"log", "log(text): one line in Postern's log", lua_lib_log},
    {"store.get", "store.get(key): text or nil", lua_lib_store_get},
    {"store.set", "store.set(key, value, seconds): keeps; nil removes", lua_lib_store_set},
    {"store.incr", "store.incr(key, by, seconds): the new number; seconds count when it is made",
     lua_lib_store_incr},
    {"store.ttl", "store.ttl(key): seconds left, or nil", lua_lib_store_ttl},
    {"limit", "limit(key, n, seconds): passes, left, seconds until it starts anew", lua_lib_limit},
};

const struct script_fn *lua_lib(size_t *n)
{
    *n = ARRAY_LEN(lua_lib_rows);
    return lua_lib_rows;
}
