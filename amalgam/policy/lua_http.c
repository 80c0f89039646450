/*
 * lua_http.c - postern.http: a script asks another server, and the decision waits, not the thread.
 *
 * Lua cannot be left in the middle and gone on with later in a shared state. So a script that calls out is
 * stopped there (script_wait: it cannot be caught), the request is made while the decision is parked, and
 * then the script runs again from its start. The second time every function that changes something or may
 * say something else (store, limiter, log, time, calls before this one) is not carried out: it says what
 * it said the first time (lua_once). os.time and math.random are fixed for all runs of one decision. So
 * nothing happens twice, and the script comes to the same place by itself; one that takes another way all
 * the same is in trouble, not believed.
 *
 * What was said is kept in struct lua_replay: in the batch's memory during the first run, copied by
 * lua_replay_begin into the decision's own, where it is d->wait. Only steps with an allow list have one.
 * Bounded: calls, things said, their bytes, each answer; each run has the script's whole budget.
 * Threads: the context's. Tested by tests/unit/policy/test_lua_http.c; manual: docs/lua.md.
 */
#include "net/fetch.h"
#include "policy/lua_lib.h"

enum {
    LUA_HTTP_CALLS_MAX = 8,
    LUA_HTTP_SAID_MAX = 1000,
    LUA_HTTP_SAID_BYTES = 4 << 20,
    LUA_HTTP_REPLY_BYTES = 256 << 10,
    LUA_HTTP_BODY_BYTES = 256 << 10,
    LUA_HTTP_HEADERS_MAX = 32,
    LUA_HTTP_RESULTS_MAX = 10,
    LUA_HTTP_TIMEOUT_MS = 5000,
    LUA_HTTP_TIMEOUT_MS_MAX = 30000
};

struct lua_value {
    enum script_kind kind;
    bool b;
    int64_t i;
    double d;
    struct slice s;
};
struct lua_said {
    lua_lib_fn *fn;
    uint64_t args; /* hash: the second run must ask the same */
    bool failed;   /* values[0] says why */
    struct lua_value *values;
    size_t values_n;
    struct fetch_reply *reply; /* of postern.http; copied */
    struct lua_said *next;
};
struct lua_replay {
    struct decision *d;
    struct lua_said *first, **end, *at; /* at: said next, NULL: all was said again */
    size_t said_n, said_bytes, calls_n;
    int64_t wall_ms;
    uint64_t seed;
    bool wants; /* a call is to be made, or under way: */
    lua_lib_fn *want_fn;
    uint64_t want_args;
    struct fetch_req want; /* good until it has begun: its texts are the batch's */
};
struct lua_allow {
    enum { LUA_ALLOW_ANY, LUA_ALLOW_HTTP, LUA_ALLOW_HTTPS, LUA_ALLOW_UNIX } scheme;
    struct slice host; /* "*.x" is ".x" with any_below */
    int port;          /* 0: the scheme's own */
    bool any_below;
};

/* ---- the allow list ---- */

static bool lua_allow_one(struct load *l, struct slice text, struct lua_allow *out)
{
    struct fetch_url u;
    struct err e;
    struct slice rest = text;
    bool schemed = slice_starts_ci(text, S("http://")) || slice_starts_ci(text, S("https://"));

    if (slice_starts_ci(text, S("unix:"))) {
        out->scheme = LUA_ALLOW_UNIX;
        if (fetch_url_parse(&l->set->arena, text, &u, &e) != RC_OK)
            return false;
        out->host = u.host;
        return slice_index(slice_from(text, 5), ':') == SIZE_MAX;
    }
    if (schemed) {
        rest = slice_from(text, text.p[4] == ':' ? 7 : 8);
        out->scheme = text.p[4] == ':' ? LUA_ALLOW_HTTP : LUA_ALLOW_HTTPS;
    }
    if (slice_starts(rest, S("*."))) {
        out->any_below = true;
        rest = slice_from(rest, 2);
    }
    if (slice_index(rest, '/') != SIZE_MAX || slice_index(rest, '?') != SIZE_MAX)
        return false;
    rest = arena_fmt(&l->scratch, "%s://%.*s", out->scheme == LUA_ALLOW_HTTPS ? "https" : "http", SFMT(rest));
    if (fetch_url_parse(&l->set->arena, rest, &u, &e) != RC_OK)
        return false;
    size_t colon = slice_rindex(rest, ':'), bracket = slice_rindex(rest, ']');
    bool has_port = colon > 5 && (bracket == SIZE_MAX || colon > bracket);
    out->host = out->any_below ? arena_fmt(&l->set->arena, ".%.*s", SFMT(u.host)) : u.host;
    out->port = has_port ? u.port : 0;
    return true;
}

bool lua_allow_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                       const struct field_strs *list, struct lua_step *out)
{
    struct lua_allow *rows = ARENA_ARRAY(&l->set->arena, struct lua_allow, list->n + 1);

    for (size_t i = 0; i < list->n; i++)
        if (!lua_allow_one(l, list->v[i], &rows[i])) {
            fault_add(in, false, y, NULL, "http.allow: \"%.*s\" is none of host, host:port, *.domain, "
                      "http://host, https://host:port, unix:/path", SFMT(slice_sub(list->v[i], 0, 100)));
            return false;
        }
    out->allow = rows;
    out->allow_n = list->n;
    return true;
}

static bool lua_allow_ok(const struct lua_allow *a, const struct fetch_url *u)
{
    int own_port = u->tls ? 443 : 80;

    if ((a->scheme == LUA_ALLOW_UNIX) != u->is_unix)
        return false;
    if (u->is_unix)
        return slice_eq(a->host, u->host);
    if (a->scheme != LUA_ALLOW_ANY && (a->scheme == LUA_ALLOW_HTTPS) != u->tls)
        return false;
    if (u->port != (a->port ? a->port : own_port))
        return false;
    return a->any_below ? u->host.n > a->host.n && slice_ends(u->host, a->host) : slice_eq(u->host, a->host);
}

static bool lua_allowed(const struct lua_step *s, const struct fetch_url *u)
{
    for (size_t i = 0; i < s->allow_n; i++)
        if (lua_allow_ok(&s->allow[i], u))
            return true;
    return false;
}

/* ---- what was said ---- */

static uint64_t lua_args_add(uint64_t hash, const void *p, size_t n)
{
    return hash_bytes_seed(p, n, hash + n);
}

static uint64_t lua_args_hash(struct script_call *c, uint64_t hash, int i)
{
    enum script_kind kind = script_kind(c, i);
    int64_t n = script_to_int(c, i, 0);
    double d = script_to_num(c, i, 0);

    hash = lua_args_add(hash, &kind, sizeof kind);
    if (kind == SK_STR) {
        struct slice s = script_to_str(c, i);
        return lua_args_add(hash, s.p, s.n);
    }
    if (kind == SK_BOOL)
        n = script_to_bool(c, i);
    return kind == SK_NUM ? lua_args_add(hash, &d, sizeof d) : lua_args_add(hash, &n, sizeof n);
}

static uint64_t lua_args(struct script_call *c)
{
    uint64_t hash = 0;

    for (int i = 1; i <= script_count(c); i++)
        hash = lua_args_hash(c, hash, i);
    return hash;
}

static bool lua_say_room(struct lua_replay *r, size_t bytes)
{
    r->said_bytes += bytes;
    return r->said_n < LUA_HTTP_SAID_MAX && r->said_bytes <= LUA_HTTP_SAID_BYTES;
}

static struct lua_said *lua_say_new(struct lua_replay *r, lua_lib_fn *fn, uint64_t args)
{
    struct lua_said *s = ARENA_NEW(r->d->arena, struct lua_said);

    s->fn = fn;
    s->args = args;
    *r->end = s;
    r->end = &s->next;
    r->said_n++;
    return s;
}

static struct lua_value lua_value_take(struct script_call *c, int i, struct arena *a)
{
    struct lua_value v = {.kind = script_kind(c, i)};

    v.b = script_to_bool(c, i);
    v.i = v.kind == SK_INT ? script_to_int(c, i, 0) : 0;
    v.d = v.kind == SK_NUM ? script_to_num(c, i, 0) : 0;
    v.s = v.kind == SK_STR ? arena_dup(a, script_to_str(c, i)) : S("");
    return v;
}

static void lua_value_push(struct script_call *c, const struct lua_value *v)
{
    switch (v->kind) {
    case SK_BOOL: script_bool(c, v->b); return;
    case SK_INT: script_int(c, v->i); return;
    case SK_NUM: script_num(c, v->d); return;
    case SK_STR: script_str(c, v->s); return;
    default: script_nil(c); return;
    }
}

/* What a function has just pushed: n values, or the text of its failure (n < 0). */
static bool lua_keep(struct script_call *c, struct lua_replay *r, lua_lib_fn *fn, uint64_t args, int n)
{
    size_t values_n = (size_t)(n < 0 ? 1 : MIN(n, LUA_HTTP_RESULTS_MAX)), bytes = 64;
    struct lua_said *s;

    for (size_t i = 0; i < values_n; i++)
        if (script_kind(c, -1 - (int)i) == SK_STR)
            bytes += script_to_str(c, -1 - (int)i).n;
    if (!lua_say_room(r, bytes))
        return false;
    s = lua_say_new(r, fn, args);
    s->failed = n < 0;
    s->values_n = values_n;
    s->values = ARENA_ARRAY(r->d->arena, struct lua_value, values_n + 1);
    for (size_t i = 0; i < values_n; i++)
        s->values[i] = lua_value_take(c, (int)i - (int)values_n, r->d->arena);
    return true;
}

/* The next thing that was said, when the script asks for it again. False: it asks for another. */
static bool lua_again(struct lua_replay *r, lua_lib_fn *fn, uint64_t args, struct lua_said **out)
{
    struct lua_said *s = r->at;

    *out = s;
    if (!s)
        return true;
    r->at = s->next;
    return s->fn == fn && s->args == args;
}

static int lua_other_way(struct script_call *c)
{
    return script_fail(c, "the script took another way when it was run again after postern.http");
}

static int lua_once(struct script_call *c, void *ctx, lua_lib_fn *fn)
{
    struct lua_call *u = script_user(c);
    struct lua_replay *r = u ? u->replay : NULL;
    struct lua_said *s;
    uint64_t args;
    int n;

    if (!r)
        return fn(c, ctx);
    args = lua_args(c);
    if (!lua_again(r, fn, args, &s))
        return lua_other_way(c);
    if (!s) {
        n = fn(c, ctx);
        if (!lua_keep(c, r, fn, args, n))
            return script_fail(c, "a step with http may keep %d things and %d bytes in all", LUA_HTTP_SAID_MAX,
                               LUA_HTTP_SAID_BYTES);
        return n;
    }
    if (s->failed)
        return script_fail(c, "%.*s", SFMT(s->values[0].s));
    for (size_t i = 0; i < s->values_n; i++)
        lua_value_push(c, &s->values[i]);
    return (int)s->values_n;
}

/* The rows of lua_req.c, all of which change something or may say something else the next time. */
#define LUA_ONCE(name)                                                                            \
    int lua_once_##name(struct script_call *c, void *ctx)                                         \
    {                                                                                             \
        return lua_once(c, ctx, lua_req_##name);                                                  \
    }
LUA_ONCE(now)
LUA_ONCE(log)
LUA_ONCE(metric_add)
LUA_ONCE(store_get)
LUA_ONCE(store_set)
LUA_ONCE(store_del)
LUA_ONCE(store_incr)
LUA_ONCE(store_expire)
LUA_ONCE(store_ttl)
LUA_ONCE(limit)
LUA_ONCE(limit_peek)
#undef LUA_ONCE

/* ---- answers of other servers ---- */

static bool lua_reply_first(const struct fetch_reply *r, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (slice_eq_ci(r->headers[k].name, r->headers[i].name))
            return false;
    return true;
}

/* Several of one name are joined by ", ", as in requests. */
static void lua_reply_header(struct script_call *c, const struct fetch_reply *r, size_t i, struct arena *a)
{
    char name[128];
    struct slice value = r->headers[i].value;
    size_t n = MIN(r->headers[i].name.n, sizeof name);

    for (size_t k = i + 1; k < r->headers_n; k++)
        if (slice_eq_ci(r->headers[k].name, r->headers[i].name))
            value = arena_fmt(a, "%.*s, %.*s", SFMT(value), SFMT(r->headers[k].value));
    for (size_t k = 0; k < n; k++)
        name[k] = ascii_lower(r->headers[i].name.p[k]);
    script_str(c, value);
    script_set(c, slice_of(name, n));
}

static int lua_reply_push(struct script_call *c, const struct fetch_reply *r, struct arena *a)
{
    if (r->rc != RC_OK) {
        script_nil(c);
        script_str(c, slice_str(r->why));
        return 2;
    }
    script_table(c);
    script_int(c, r->status);
    script_set(c, S("status"));
    script_str(c, r->body);
    script_set(c, S("body"));
    script_table(c);
    for (size_t i = 0; i < r->headers_n; i++)
        if (lua_reply_first(r, i))
            lua_reply_header(c, r, i, a);
    script_set(c, S("headers"));
    return 1;
}

static struct fetch_reply *lua_reply_copy(struct arena *a, const struct fetch_reply *r)
{
    struct fetch_reply *copy = ARENA_NEW(a, struct fetch_reply);
    struct http_header *h = ARENA_ARRAY(a, struct http_header, r->headers_n + 1);

    *copy = *r;
    for (size_t i = 0; i < r->headers_n; i++)
        h[i] = (struct http_header){arena_dup(a, r->headers[i].name), arena_dup(a, r->headers[i].value)};
    copy->headers = h;
    copy->body = arena_dup(a, r->body);
    return copy; /* why is a constant */
}

/* ---- asking ---- */

static bool lua_http_header(struct script_call *c, struct fetch_req *q, struct arena *a)
{
    struct http_header *h = (struct http_header *)(uintptr_t)q->headers + q->headers_n;

    if (q->headers_n == LUA_HTTP_HEADERS_MAX)
        return false;
    h->name = arena_dup(a, script_to_str(c, -2));
    h->value = arena_dup(a, script_to_str(c, -1));
    q->headers_n++;
    return http_token_ok(h->name) && http_value_ok(h->value);
}

/* headers and timeout of the options at i; what is wrong, or NULL. */
static const char *lua_http_options(struct script_call *c, int i, struct fetch_req *q, struct arena *a,
                                    uint64_t *args)
{
    const char *wrong = NULL;
    double seconds;

    q->headers = ARENA_ARRAY(a, struct http_header, LUA_HTTP_HEADERS_MAX);
    q->timeout_ms = LUA_HTTP_TIMEOUT_MS;
    if (script_kind(c, i) != SK_TABLE)
        return script_kind(c, i) == SK_NIL ? NULL : "options must be a table";
    if (script_field(c, i, S("timeout")) != SK_NIL) {
        seconds = script_to_num(c, -1, -1);
        if (!(seconds >= 0.001 && seconds * 1000 <= LUA_HTTP_TIMEOUT_MS_MAX))
            wrong = "timeout must be seconds, at most 30";
        else
            q->timeout_ms = (int64_t)(seconds * 1000);
    }
    script_pop(c, 1);
    if (script_field(c, i, S("headers")) == SK_TABLE) {
        int at = script_count(c);
        script_nil(c);
        while (script_next(c, at)) {
            if (!lua_http_header(c, q, a))
                wrong = "a header cannot be sent, or there are more than 32";
            script_pop(c, 1);
        }
    }
    script_pop(c, 1);
    for (size_t k = 0; k < q->headers_n; k++) { /* in any order: a table has none */
        uint64_t one = lua_args_add(1, q->headers[k].name.p, q->headers[k].name.n);
        *args += lua_args_add(one, q->headers[k].value.p, q->headers[k].value.n);
    }
    return wrong;
}

static const char *lua_http_want(struct lua_call *u, struct fetch_req *q, struct slice url, uint64_t args,
                                 lua_lib_fn *fn)
{
    struct lua_replay *r = u->replay;
    struct err e;
    static const struct slice again[] = {SLIT("GET"), SLIT("HEAD"), SLIT("PUT"), SLIT("DELETE"),
                                         SLIT("OPTIONS")};

    if (fetch_url_parse(u->d->arena, url, &q->url, &e) != RC_OK)
        return "the URL is none: http://, https:// or unix: with a host and a path were expected";
    if (!lua_allowed(u->step, &q->url))
        return "this server is not in the step's http.allow";
    if (q->body.n > LUA_HTTP_BODY_BYTES)
        return "the body is too large";
    if (r->calls_n >= LUA_HTTP_CALLS_MAX)
        return "at most 8 calls for one decision";
    if (!u->d->c->opts.fetcher)
        return "no other server can be asked from here (no_outbound)";
    q->once = true;
    for (size_t i = 0; i < ARRAY_LEN(again); i++)
        if (slice_eq(q->method, again[i]))
            q->once = false;
    q->reply_bytes_max = LUA_HTTP_REPLY_BYTES;
    r->wants = true;
    r->want_fn = fn;
    r->want_args = args;
    r->want = *q;
    return NULL;
}

static struct slice lua_http_text(struct script_call *c, int i, struct arena *a, uint64_t *args)
{
    struct slice s = arena_dup(a, script_to_str(c, i));

    *args = lua_args_add(*args, s.p, s.n);
    return s;
}

/* Says again, or stops the script: url and body were read, options are at i. */
static int lua_http_ask(struct script_call *c, struct lua_call *u, struct fetch_req *q, struct slice url,
                        int options, uint64_t args, lua_lib_fn *fn)
{
    struct lua_said *s;
    const char *wrong = lua_http_options(c, options, q, u->d->arena, &args);

    if (wrong)
        return script_fail(c, "http: %s", wrong);
    if (!lua_again(u->replay, fn, args, &s))
        return lua_other_way(c);
    if (s)
        return lua_reply_push(c, s->reply, u->d->arena);
    wrong = lua_http_want(u, q, url, args, fn);
    if (wrong)
        return script_fail(c, "http: %s", wrong);
    script_wait(c);
    return 0;
}

static struct lua_call *lua_http_call(struct script_call *c)
{
    struct lua_call *u = script_user(c);

    if (u && u->replay)
        return u;
    if (u)
        script_fail(c, "http: the step has no list http.allow");
    else
        script_fail(c, "this function is for requests: call it inside the policy's function");
    return NULL;
}

int lua_http_get(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_http_call(c);
    struct fetch_req q = {.method = S("GET")};
    uint64_t args = 1;

    (void)ctx;
    if (!u)
        return -1;
    struct slice url = lua_http_text(c, 1, u->d->arena, &args);
    return lua_http_ask(c, u, &q, url, 2, args, lua_http_get);
}

int lua_http_post(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_http_call(c);
    struct fetch_req q = {.method = S("POST")};
    uint64_t args = 2;

    (void)ctx;
    if (!u)
        return -1;
    struct slice url = lua_http_text(c, 1, u->d->arena, &args);
    q.body = lua_http_text(c, 2, u->d->arena, &args);
    return lua_http_ask(c, u, &q, url, 3, args, lua_http_post);
}

static struct slice lua_http_member(struct script_call *c, struct slice name, struct arena *a, uint64_t *args)
{
    struct slice s;

    (void)script_field(c, 1, name);
    s = lua_http_text(c, -1, a, args);
    script_pop(c, 1);
    return s;
}

int lua_http_request(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_http_call(c);
    struct fetch_req q = {.method = S("GET")};
    uint64_t args = 3;
    struct slice url, method;

    (void)ctx;
    if (!u)
        return -1;
    if (script_kind(c, 1) != SK_TABLE)
        return script_fail(c, "http.request needs a table");
    url = lua_http_member(c, S("url"), u->d->arena, &args);
    method = lua_http_member(c, S("method"), u->d->arena, &args);
    q.body = lua_http_member(c, S("body"), u->d->arena, &args);
    if (method.n)
        q.method = method;
    return lua_http_ask(c, u, &q, url, 1, args, lua_http_request);
}

/* ---- runs ---- */

struct lua_replay *lua_replay_start(struct decision *d, struct script_call *c)
{
    struct lua_replay *r = d->wait;

    if (!r) {
        r = ARENA_NEW(d->arena, struct lua_replay);
        r->d = d;
        r->end = &r->first;
        r->wall_ms = d->c->now_ms;
        r->seed = rand_u64();
        d->hand = r;
    }
    r->at = r->first;
    script_fix(c, r->wall_ms, r->seed);
    return r;
}

bool lua_replay_waits(const struct lua_replay *r)
{
    return r && r->wants;
}

static struct lua_said *lua_said_copy(struct arena *a, const struct lua_said *from)
{
    struct lua_said *s = ARENA_NEW(a, struct lua_said);

    *s = *from;
    s->next = NULL;
    s->values = ARENA_ARRAY(a, struct lua_value, from->values_n + 1);
    for (size_t i = 0; i < from->values_n; i++) {
        s->values[i] = from->values[i];
        s->values[i].s = arena_dup(a, from->values[i].s);
    }
    return s; /* the first run has no replies */
}

/* From the batch's memory to the decision's own. What is wanted is asked for before that memory goes. */
static struct lua_replay *lua_replay_move(struct decision *d, const struct lua_replay *from)
{
    struct lua_replay *r = ARENA_NEW(d->arena, struct lua_replay);

    *r = *from;
    r->d = d;
    r->first = NULL;
    r->end = &r->first;
    for (const struct lua_said *s = from->first; s; s = s->next) {
        *r->end = lua_said_copy(d->arena, s);
        r->end = &(*r->end)->next;
    }
    return r;
}

static void lua_http_done(void *user, const struct fetch_reply *reply)
{
    struct lua_replay *r = user;
    static const struct fetch_reply too_much = {.rc = RC_TOOBIG, .why = "too much to keep for one decision"};
    bool room = lua_say_room(r, reply->body.n + 64);
    struct lua_said *s = lua_say_new(r, r->want_fn, r->want_args); /* in any case: it was asked */

    s->reply = lua_reply_copy(r->d->arena, room ? reply : &too_much);
    r->wants = false;
    decision_wake(r->d);
}

void lua_replay_begin(struct decision *d)
{
    struct lua_replay *r = d->wait;

    if (!r)
        d->wait = r = lua_replay_move(d, d->hand);
    d->hand = NULL;
    r->calls_n++;
    (void)fetch_start(d->c->opts.fetcher, &r->want, lua_http_done, r);
}
