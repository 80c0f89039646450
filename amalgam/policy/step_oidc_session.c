/*
 * step_oidc_session.c - sessions: in the store under a digest of the cookie's random id, or in cookies.
 *
 * In the store: oidc:<prefix>:<SHA-256 of id, base64url> -> the record, sealed. Who can read the store has
 * neither the cookie nor the tokens. oidc:<prefix>:sid:<digest> leads from the provider's session to ours
 * (front-channel logout). In cookies: the sealed record itself, cut into pieces; what logout ended is
 * remembered as oidc:dead:<digest> for as long as the cookie could live. A refresh never brings back a
 * session that was ended meanwhile. Anything malformed is no session.
 * Threads: the store's lock, taken here and given back at once. Tested by tests/unit/policy/test_oidc.c.
 */
#include "policy/step_oidc.h"
#include "wire/hash.h"

/* ---- entries of the store ---- */

struct slice oidc_entry(struct arena *a, const struct oidc_step *o, const char *kind, struct slice name)
{
    return arena_fmt(a, "oidc:%.*s:%s%.*s", SFMT(o->prefix), kind, SFMT(name));
}

static struct slice oidc_session_dead(struct arena *a, struct slice hash)
{
    return arena_fmt(a, "oidc:dead:%.*s", SFMT(hash));
}

struct slice oidc_session_hash(struct arena *a, struct slice id)
{
    return oidc_digest(a, arena_fmt(a, "oidc session %.*s", SFMT(id)));
}

static struct slice oidc_session_sid(struct arena *a, const struct oidc_step *o, struct slice sid)
{
    return oidc_entry(a, o, "sid:", oidc_digest(a, arena_fmt(a, "%.*s %.*s", SFMT(o->ident), SFMT(sid))));
}

static int oidc_session_db(const struct decision *d)
{
    return d->c->opts.scheme->db;
}

/* RC_IO: there is something else. */
static enum rc oidc_session_get(struct decision *d, struct slice key, struct slice *value)
{
    struct store *st = d->c->opts.store;
    struct entry *e;
    char tmp[KS_TMP];
    enum rc rc = RC_NOTFOUND;

    store_enter(st, d->c->now_ms);
    e = ks_find(st, oidc_session_db(d), key, KS_TOUCH);
    if (e && ks_type(e) == V_STRING) {
        *value = arena_dup(d->arena, ks_str(e, tmp));
        rc = RC_OK;
    } else if (e) {
        rc = RC_IO;
    }
    store_leave(st);
    return rc;
}

static enum rc oidc_session_set(struct decision *d, struct slice key, struct slice value, int64_t expire_ms,
                                bool only_if_there)
{
    struct store *st = d->c->opts.store;
    enum rc rc;

    store_enter(st, d->c->now_ms);
    rc = store_make_room(st);
    if (rc == RC_OK && only_if_there && !ks_find(st, oidc_session_db(d), key, KS_NOTOUCH))
        rc = RC_NOTFOUND;
    if (rc == RC_OK)
        ks_set(st, oidc_session_db(d), key, value, expire_ms);
    store_leave(st);
    return rc;
}

static void oidc_session_del(struct decision *d, struct slice key)
{
    store_enter(d->c->opts.store, d->c->now_ms);
    (void)ks_del(d->c->opts.store, oidc_session_db(d), key);
    store_leave(d->c->opts.store);
}

bool oidc_mark(struct decision *d, struct slice name, int64_t ttl_ms)
{
    struct slice id = slice_of(d->v->id, 16);
    struct store *st = d->c->opts.store;
    char tmp[KS_TMP];
    struct entry *e;
    bool ours;

    store_enter(st, d->c->now_ms);
    e = ks_find(st, oidc_session_db(d), name, KS_NOTOUCH);
    ours = e && ks_type(e) == V_STRING && slice_eq(ks_str(e, tmp), id);
    if (!e && store_make_room(st) == RC_OK) {
        ks_set(st, oidc_session_db(d), name, id, d->c->now_ms + ttl_ms);
        ours = true;
    }
    store_leave(st);
    return ours;
}

void oidc_unmark(struct decision *d, struct slice name)
{
    struct store *st = d->c->opts.store;
    char tmp[KS_TMP];
    struct entry *e;

    store_enter(st, d->c->now_ms);
    e = ks_find(st, oidc_session_db(d), name, KS_NOTOUCH);
    if (e && ks_type(e) == V_STRING && slice_eq(ks_str(e, tmp), slice_of(d->v->id, 16)))
        (void)ks_del(st, oidc_session_db(d), name);
    store_leave(st);
}

/* ---- finding ---- */

bool oidc_session_sent(const struct decision *d, const struct oidc_step *o)
{
    size_t n;

    (void)oidc_cookie_get(d->ask->headers, d->ask->headers_n, o->cookie, &n);
    return n > 0;
}

static enum rc oidc_session_open(struct decision *d, const struct oidc_step *o, const char *kind,
                                 struct slice id, struct slice text, struct oidc_session *x)
{
    struct oidc_keys keys;
    struct slice plain;
    bool ok;

    oidc_keys_of(d, o, &keys);
    ok = oidc_open(d->arena, &keys, kind, o->ident, id, text, &plain) && oidc_session_read(plain, x) &&
         (id.n == 0 || slice_eq_secret(x->id, id)) && (x->ends_ms == 0 || d->c->now_ms < x->ends_ms);
    mem_wipe(&keys, sizeof keys);
    return ok ? RC_OK : RC_NOTFOUND;
}

static enum rc oidc_session_of_store(struct decision *d, const struct oidc_step *o, struct oidc_session *x,
                                     struct slice *hash)
{
    struct slice text;
    size_t n;
    struct slice id = oidc_cookie_get(d->ask->headers, d->ask->headers_n, o->cookie, &n);
    enum rc rc;

    if (n != 1 || id.n != OIDC_ID_LEN)
        return RC_NOTFOUND;
    *hash = oidc_session_hash(d->arena, id);
    rc = oidc_session_get(d, oidc_entry(d->arena, o, "", *hash), &text);
    return rc == RC_OK ? oidc_session_open(d, o, "session", id, text, x) : rc;
}

enum rc oidc_session_find(struct decision *d, const struct oidc_step *o, struct oidc_session *x,
                          struct slice *hash)
{
    struct slice text, dead;
    enum rc rc;

    if (o->in_store)
        return oidc_session_of_store(d, o, x, hash);
    text = oidc_cookie_joined(d->arena, d->ask->headers, d->ask->headers_n, o->cookie);
    if (text.n == 0)
        return RC_NOTFOUND;
    rc = oidc_session_open(d, o, "cookie", S(""), text, x);
    if (rc != RC_OK)
        return rc;
    *hash = oidc_session_hash(d->arena, x->id);
    return oidc_session_get(d, oidc_session_dead(d->arena, *hash), &dead) == RC_NOTFOUND ? RC_OK : RC_NOTFOUND;
}

/* ---- keeping ---- */

static void oidc_session_cookies(struct decision *d, const struct oidc_step *o, struct slice text)
{
    size_t pieces = (text.n + OIDC_CHUNK - 1) / OIDC_CHUNK, n;

    oidc_cookie_put(d, o, o->cookie, arena_fmt(d->arena, "%zu.%.*s", pieces, SFMT(slice_sub(text, 0, OIDC_CHUNK))),
                    o->cookie_tail, o->max_age_s);
    for (size_t i = 1; i < OIDC_CHUNKS_MAX; i++) {
        struct slice name = arena_fmt(d->arena, "%.*s_%zu", SFMT(o->cookie), i);
        if (i < pieces) {
            oidc_cookie_put(d, o, name, slice_sub(text, i * OIDC_CHUNK, OIDC_CHUNK), o->cookie_tail, o->max_age_s);
            continue;
        }
        (void)oidc_cookie_get(d->ask->headers, d->ask->headers_n, name, &n);
        if (n > 0)
            oidc_cookie_clear(d, o, name);
    }
}

static int64_t oidc_session_entry_ends(const struct decision *d, const struct oidc_session *x)
{
    return x->ends_ms ? x->ends_ms : d->c->now_ms + (int64_t)OIDC_SESSION_S * 1000;
}

enum rc oidc_session_put(struct decision *d, const struct oidc_step *o, const struct oidc_session *x,
                         struct slice hash, bool first)
{
    struct slice text, plain = oidc_session_write(d->arena, x);
    struct oidc_keys keys;
    enum rc rc = RC_OK;

    oidc_keys_of(d, o, &keys);
    text = oidc_seal(d->arena, &keys, o->in_store ? "session" : "cookie", o->ident, o->in_store ? x->id : S(""),
                     plain);
    mem_wipe(&keys, sizeof keys);
    mem_wipe((void *)(uintptr_t)plain.p, plain.n);
    if (!o->in_store && text.n > (size_t)OIDC_CHUNK * OIDC_CHUNKS_MAX)
        return RC_TOOBIG;
    if (o->in_store)
        rc = oidc_session_set(d, oidc_entry(d->arena, o, "", hash), text, oidc_session_entry_ends(d, x), !first);
    if (rc == RC_OK && first && x->sid.n && o->front_logout_path.n)
        rc = oidc_session_set(d, oidc_session_sid(d->arena, o, x->sid), hash, oidc_session_entry_ends(d, x), false);
    if (rc != RC_OK)
        return rc;
    if (!o->in_store)
        oidc_session_cookies(d, o, text);
    else if (first)
        oidc_cookie_put(d, o, o->cookie, x->id, o->cookie_tail, o->max_age_s);
    return RC_OK;
}

/* ---- ending ---- */

static void oidc_session_end_hash(struct decision *d, const struct oidc_step *o, struct slice hash,
                                  int64_t ends_ms)
{
    if (o->in_store)
        oidc_session_del(d, oidc_entry(d->arena, o, "", hash));
    else
        (void)oidc_session_set(d, oidc_session_dead(d->arena, hash), S("1"), ends_ms, false);
}

void oidc_session_end(struct decision *d, const struct oidc_step *o, const struct oidc_session *x,
                      struct slice hash)
{
    oidc_session_end_hash(d, o, hash, oidc_session_entry_ends(d, x));
    if (x->sid.n && o->front_logout_path.n)
        oidc_session_del(d, oidc_session_sid(d->arena, o, x->sid));
}

void oidc_session_end_sid(struct decision *d, const struct oidc_step *o, struct slice sid)
{
    struct slice hash, key = oidc_session_sid(d->arena, o, sid);

    if (oidc_session_get(d, key, &hash) != RC_OK)
        return;
    oidc_session_end_hash(d, o, hash, d->c->now_ms + (int64_t)MAX(o->max_age_s, OIDC_SESSION_S) * 1000);
    oidc_session_del(d, key);
}

/* Whatever step let the request pass: our cookies are not for the upstream. Cookie is said on every allow, so
 * that gateways that copy it always have something to copy. */
void oidc_cookie_strip(struct decision *d)
{
    bool had;
    struct slice rest = oidc_cookie_rest(d->arena, d->ask->headers, d->ask->headers_n, d->route->cookies,
                                         d->route->cookies_n, &had);

    if (rest.n > 0 && http_value_ok(rest))
        decision_upstream(d, S("cookie"), rest, HEADER_SET);
    else
        decision_remove_add(d, S("cookie"));
}

struct oidc_session_clearing {
    struct decision *d;
    const struct oidc_step *o;
};

static bool oidc_session_clear_one(void *ctx, struct slice name, struct slice value)
{
    const struct oidc_session_clearing *x = ctx;

    (void)value;
    if (slice_starts(name, x->o->cookie) && name.n <= x->o->cookie.n + 2 && oidc_cookie_ours(name, x->o->cookie))
        oidc_cookie_clear(x->d, x->o, name);
    return true;
}

void oidc_session_clear(struct decision *d, const struct oidc_step *o)
{
    struct oidc_session_clearing x = {d, o};

    oidc_cookie_each(d->ask->headers, d->ask->headers_n, oidc_session_clear_one, &x);
}
