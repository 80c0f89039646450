/*
 * lua_req.c - postern.* that concerns the request at hand: clock, log, counters, store, rate limiter.
 *
 * They need script_user (struct lua_call), which is NULL while a chunk is loaded: they fail then. Store
 * keys live under "lua:<policy>:", so that no policy reads another's; the lock is held for one step
 * inside each function. Counters for /metrics are made when first named, at most LUA_REQ_METRICS in the
 * whole process, and stay until it ends. Rows and manual: lua_lib.c. Threads: the context's, counters any.
 * Tested by tests/unit/policy/test_lua.c and test_lua_lib.c.
 */
#include "base/log.h"
#include "base/metric.h"
#include "policy/lua_lib.h"
#include <stdio.h>

enum { LUA_REQ_METRICS = 256, LUA_REQ_SECONDS_MAX = 10 * 365 * 86400 };

/* ---- the request at hand ---- */

static struct lua_call *lua_req_call(struct script_call *c)
{
    struct lua_call *u = script_user(c);

    if (!u)
        script_fail(c, "this function is for requests: call it inside the policy's function");
    return u;
}

int lua_req_now(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);

    (void)ctx;
    if (!u)
        return -1;
    script_num(c, (double)u->d->c->now_ms / 1000.0);
    return 1;
}

int lua_req_log(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct slice text;

    (void)ctx;
    if (!u || !lua_lib_text(c, 1, LUA_LIB_TEXT_MAX, &text))
        return -1;
    log_event(LOG_INFO, "policy.lua", "policy=%.*s rule=%.*s decision=%s text=%s", SFMT(u->d->at->policy), SFMT(u->d->at->rule),
              u->d->v->id, log_quote(text));
    return 0;
}

/* "lua:<policy>:<key>" */
static bool lua_req_key(struct script_call *c, const struct lua_call *u, struct lua_lib_state *s,
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

int lua_req_store_get(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    struct entry *e;
    char tmp[KS_TMP];

    if (!u || !lua_req_key(c, u, s, &key))
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

static int64_t lua_req_expiry(struct script_call *c, const struct lua_call *u, int i)
{
    int64_t seconds = script_to_int(c, i, 0);

    return seconds > 0 && seconds < LUA_REQ_SECONDS_MAX ? u->d->c->now_ms + seconds * 1000 : 0;
}

int lua_req_store_set(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key, value = S("");
    enum rc rc;

    if (!u || !lua_req_key(c, u, s, &key))
        return -1;
    if (script_kind(c, 2) != SK_NIL && !lua_lib_text(c, 2, LUA_LIB_VALUE_MAX, &value))
        return -1;
    store_enter(st, u->d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK && script_kind(c, 2) == SK_NIL)
        ks_del(st, 0, key);
    else if (rc == RC_OK)
        ks_set(st, 0, key, value, lua_req_expiry(c, u, 3));
    store_leave(st);
    return rc == RC_OK ? 0 : script_fail(c, "store.set: the store refuses changes");
}

int lua_req_store_incr(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    int64_t n = 0;
    enum rc rc;

    if (!u || !lua_req_key(c, u, s, &key))
        return -1;
    store_enter(st, u->d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK)
        rc = ks_incr(st, 0, key, script_to_int(c, 2, 1), lua_req_expiry(c, u, 3), &n);
    store_leave(st);
    if (rc != RC_OK)
        return script_fail(c, "store.incr: %s", rc_name(rc));
    script_int(c, n);
    return 1;
}

int lua_req_store_ttl(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct lua_lib_state *s = lua_lib_of(ctx);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    struct entry *e;

    if (!u || !lua_req_key(c, u, s, &key))
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

int lua_req_store_del(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct slice key;
    bool was;

    if (!u || !lua_req_key(c, u, lua_lib_of(ctx), &key))
        return -1;
    store_enter(st, u->d->c->now_ms);
    was = ks_del(st, 0, key);
    store_leave(st);
    script_bool(c, was);
    return 1;
}

/* expire(key, seconds): from now; 0 keeps it for ever, less removes it. */
int lua_req_store_expire(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    int64_t seconds = script_to_int(c, 2, INT64_MIN);
    struct slice key;
    bool there;

    if (!u || !lua_req_key(c, u, lua_lib_of(ctx), &key))
        return -1;
    if (seconds == INT64_MIN || seconds > LUA_REQ_SECONDS_MAX)
        return script_fail(c, "store.expire(key, seconds): seconds up to ten years");
    store_enter(st, u->d->c->now_ms);
    there = ks_find(st, 0, key, KS_NOTOUCH) != NULL;
    if (there && seconds < 0)
        (void)ks_del(st, 0, key);
    else if (there)
        (void)ks_expire_at(st, 0, key, seconds ? u->d->c->now_ms + seconds * 1000 : 0);
    store_leave(st);
    script_bool(c, there);
    return 1;
}

/* ---- the rate limiter ---- */

struct lua_req_window {
    int64_t n, seconds, now_s, start_s;
    char name[LUA_LIB_KEY_MAX + 400];
    size_t name_n;
};

static bool lua_req_window_of(struct script_call *c, const struct lua_call *u, struct lua_req_window *w)
{
    struct slice key;
    int len;

    w->n = script_to_int(c, 2, -1);
    w->seconds = script_to_int(c, 3, 0);
    if (!u || !lua_lib_text(c, 1, LUA_LIB_KEY_MAX, &key))
        return false;
    if (w->n < 0 || w->seconds < 1 || w->seconds > (int64_t)366 * 86400) {
        script_fail(c, "limit(key, n, seconds): n from 0, seconds from 1 to a year");
        return false;
    }
    w->now_s = u->d->c->now_ms / 1000;
    w->start_s = w->now_s - w->now_s % w->seconds;
    len = snprintf(w->name, sizeof w->name - LUA_LIB_KEY_MAX, "%.*s|limit|%lld|%lld|",
                   SFMT(slice_sub(u->step->space, 0, 300)), (long long)w->seconds,
                   (long long)w->start_s);
    memcpy(w->name + len, key.p, key.n);
    w->name_n = (size_t)len + key.n;
    return true;
}

/* used: with the request that asks. */
static int lua_req_limit_answer(struct script_call *c, const struct lua_req_window *w, int64_t used)
{
    script_bool(c, used <= w->n);
    script_int(c, MAX(w->n - used, 0));
    script_int(c, w->seconds - w->now_s % w->seconds);
    return 3;
}

/* limit(key, n, seconds): may it pass, how many are left, seconds until the window ends. */
int lua_req_limit(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct lua_req_window w;
    int64_t used = 0;
    enum rc rc;

    if (!lua_req_window_of(c, u, &w))
        return -1;
    store_enter(st, u->d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK)
        rc = ks_incr(st, 0, slice_of(w.name, w.name_n), 1, (w.start_s + w.seconds) * 1000, &used);
    store_leave(st);
    if (rc != RC_OK)
        return script_fail(c, "limit: %s", rc_name(rc));
    return lua_req_limit_answer(c, &w, used);
}

/* Would the next limit() pass, how many are left before it. */
int lua_req_limit_peek(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    struct store *st = ((struct policy_ctx *)ctx)->opts.store;
    struct lua_req_window w;
    struct entry *e;
    char tmp[KS_TMP];
    int64_t used = 0;

    if (!lua_req_window_of(c, u, &w))
        return -1;
    store_enter(st, u->d->c->now_ms);
    e = ks_find(st, 0, slice_of(w.name, w.name_n), KS_NOTOUCH);
    if (e && ks_type(e) == V_STRING && !slice_i64(ks_str(e, tmp), &used))
        used = w.n; /* not ours: nothing is left */
    store_leave(st);
    script_bool(c, used < w.n);
    script_int(c, MAX(w.n - used, 0));
    script_int(c, w.seconds - w.now_s % w.seconds);
    return 3;
}

/* ---- counters ---- */

static struct metric lua_req_metric[LUA_REQ_METRICS];

void lua_metrics_join(void)
{
    metric_join(lua_req_metric, LUA_REQ_METRICS);
}

static bool lua_req_metric_name_ok(struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!ascii_alpha(name.p[i]) && !ascii_digit(name.p[i]) && !strchr("_-.:", name.p[i]))
            return false;
    return name.n > 0 && name.n <= 64;
}

/* policy="default.l",name="seen" */
static struct slice lua_req_metric_labels(struct arena *a, struct slice policy, struct slice name)
{
    char *p = arena_alloc(a, policy.n + 1);

    memcpy(p, policy.p, policy.n);
    for (size_t i = 0; i < policy.n; i++)
        if (p[i] == '"' || p[i] == '\\' || (unsigned char)p[i] < ' ')
            p[i] = '_';
    return arena_fmt(a, "policy=\"%.*s\",name=\"%.*s\"", SFMT(slice_of(p, policy.n)), SFMT(name));
}

/* metric.add(name, n): n from 0, default 1. */
int lua_req_metric_add(struct script_call *c, void *ctx)
{
    struct lua_call *u = lua_req_call(c);
    int64_t n = script_kind(c, 2) == SK_NIL ? 1 : script_to_int(c, 2, -1);
    struct metric *m;
    struct slice name;

    if (!u || !lua_lib_text(c, 1, LUA_LIB_KEY_MAX, &name))
        return -1;
    if (!lua_req_metric_name_ok(name) || n < 0)
        return script_fail(c, "metric.add(name, n): a name has up to 64 letters, digits, _ - . and :, "
                           "n is a whole number from 0");
    m = metric_claim(lua_req_metric, LUA_REQ_METRICS, "postern_lua_total",
                     "What Lua policies count with postern.metric.add.",
                     lua_req_metric_labels(&lua_lib_of(ctx)->scratch, u->d->at->policy, name));
    if (m)
        metric_add(m, (uint64_t)n);
    script_bool(c, m != NULL);
    return 1;
}
