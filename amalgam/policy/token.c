/*
 * token.c - is this token good by this rule: verified anew, or known from before; claims as headers.
 *
 * An RSA signature costs tens of microseconds and an ECDSA one more than a thousand, so a token that passed
 * is remembered by the SHA-256 of its whole text together with the rule's id (issuer, audiences, keys,
 * algorithms, skew: a token that passed one rule has to be looked at again by any other). It is
 * forgotten when it expires, when the rule's cacheTimeout is over, and when the keys change that verified it. Only
 * what passed is kept, never the token itself. Bounded in number and bytes: when full it starts anew.
 *
 * One cache per thread, no lock. What a decision gets out of it is valid until the next batch, or copied
 * when the decision is parked. Tested by tests/unit/policy/test_jwt_steps.c and test_jwks.c.
 */
#include "policy/token.h"

#include "wire/hash.h"

enum { TOKEN_CACHE_MAX = 16384, TOKEN_CACHE_BYTES = 32 << 20, TOKEN_ENTRY_BYTES = 64 << 10 };

struct token_entry {
    uint8_t key[2 * TOKEN_ID]; /* SHA-256 of the token, id of the rule */
    const struct json *value;
    struct jwks_entry *from;   /* whose keys verified it, or NULL */
    uint64_t version;
    int64_t since_ms, until_ms;
    struct arena arena;
    size_t bytes;
    struct token_entry *next, **link;
};
struct token_cache {
    struct map map;
    struct token_entry *live, *dead; /* verdicts of this batch may still point into the dead */
    size_t bytes;
};

struct token_cache *token_cache_open(void)
{
    struct token_cache *c = mem_zalloc(sizeof *c);

    map_init(&c->map);
    return c;
}

void token_cache_sweep(struct token_cache *c)
{
    for (struct token_entry *e = c->dead, *next; e; e = next) {
        next = e->next;
        arena_free(&e->arena);
        mem_free(e);
    }
    c->dead = NULL;
}

static struct slice token_key(const struct token_entry *e)
{
    return slice_of((const char *)e->key, sizeof e->key);
}

static void token_drop(struct token_cache *c, struct token_entry *e)
{
    map_del(&c->map, token_key(e));
    *e->link = e->next;
    if (e->next)
        e->next->link = e->link;
    c->bytes -= e->bytes;
    e->next = c->dead;
    c->dead = e;
}

void token_cache_clear(struct token_cache *c)
{
    while (c->live)
        token_drop(c, c->live);
}

void token_cache_close(struct token_cache *c)
{
    token_cache_clear(c);
    token_cache_sweep(c);
    map_free(&c->map);
    mem_free(c);
}

size_t token_cache_count(const struct token_cache *c)
{
    return c->map.n;
}

static void token_key_of(const uint8_t rule[TOKEN_ID], struct slice token, uint8_t key[2 * TOKEN_ID])
{
    sha256(token, key);
    memcpy(key + TOKEN_ID, rule, TOKEN_ID);
}

/* A parked decision outlives the batch and so what the cache may drop. */
static const struct json *token_lend(struct decision *d, const struct json *value)
{
    return LIKELY(d->arena == &d->c->arena) ? value : json_copy(d->arena, value);
}

static struct token_entry *token_find(struct decision *d, const uint8_t key[2 * TOKEN_ID])
{
    struct token_cache *c = d->c->tokens;
    struct token_entry *e = map_get(&c->map, slice_of((const char *)key, 2 * TOKEN_ID));

    if (!e)
        return NULL;
    if (LIKELY(d->c->now_ms < e->until_ms && d->c->now_ms >= e->since_ms))
        return e;
    token_drop(c, e);
    return NULL;
}

static struct token_entry *token_keep(struct decision *d, const uint8_t key[2 * TOKEN_ID],
                                      const struct json *value, int64_t until_ms)
{
    struct token_cache *c = d->c->tokens;
    struct token_entry *e, *old = map_get(&c->map, slice_of((const char *)key, 2 * TOKEN_ID));

    if (until_ms <= d->c->now_ms)
        return NULL;
    if (old)
        token_drop(c, old);
    if (c->map.n >= TOKEN_CACHE_MAX || c->bytes >= TOKEN_CACHE_BYTES)
        token_cache_clear(c);
    e = mem_zalloc(sizeof *e);
    arena_init(&e->arena, 512, 0);
    memcpy(e->key, key, sizeof e->key);
    e->value = json_copy(&e->arena, value);
    e->bytes = sizeof *e + e->arena.used_bytes;
    e->since_ms = d->c->now_ms;
    e->until_ms = until_ms;
    e->next = c->live;
    e->link = &c->live;
    if (e->next)
        e->next->link = &e->next;
    c->live = e;
    c->bytes += e->bytes;
    map_put(&c->map, token_key(e), e);
    return e;
}

const struct json *token_cache_get(struct decision *d, const uint8_t rule[TOKEN_ID], struct slice token)
{
    uint8_t key[2 * TOKEN_ID];
    struct token_entry *e;

    token_key_of(rule, token, key);
    e = token_find(d, key);
    return e ? token_lend(d, e->value) : NULL;
}

void token_cache_put(struct decision *d, const uint8_t rule[TOKEN_ID], struct slice token,
                     const struct json *value, int64_t until_ms)
{
    uint8_t key[2 * TOKEN_ID];

    token_key_of(rule, token, key);
    (void)token_keep(d, key, value, until_ms);
}

/* ---- one token ---- */

/* Verified before, by keys that still stand? */
static const struct json *token_known(struct decision *d, const struct token_rule *r,
                                      const uint8_t key[2 * TOKEN_ID])
{
    struct token_entry *e = token_find(d, key);

    if (!e)
        return NULL;
    if (LIKELY(jwks_version(d->c, e->from, r->keys) == e->version))
        return token_lend(d, e->value);
    token_drop(d->c->tokens, e);
    return NULL;
}

static void token_remember(struct decision *d, const struct token_rule *r, const struct jwt *t,
                           struct jwks_entry *from, const uint8_t key[2 * TOKEN_ID])
{
    int64_t until_ms = d->c->now_ms + r->cache_ms;
    struct token_entry *e;

    if (r->cache_ms <= 0)
        return;
    if (t->exp_ms != JWT_NO_DATE) /* never longer than it is good by itself */
        until_ms = MIN(until_ms, t->exp_ms + r->want.skew_s * 1000);
    e = token_keep(d, key, t->claims, until_ms);
    if (!e)
        return;
    e->from = from;
    e->version = jwks_version(d->c, from, r->keys);
}

static enum token_said token_bad(struct token_found *out, enum jwt_fault f)
{
    out->fault = f;
    return TOKEN_BAD;
}

struct token_wait *token_wait_of(struct decision *d)
{
    struct token_wait *w = d->wait;

    if (!w)
        d->wait = w = ARENA_NEW(d->arena, struct token_wait);
    w->keys.d = d;
    return w;
}

/* Called when the decision has memory of its own. */
static void token_begin(struct decision *d)
{
    jwks_join(d, d->wait_for, &token_wait_of(d)->keys);
}

static enum token_said token_wait(struct decision *d, const struct jwks_source *s)
{
    d->begin = token_begin;
    d->wait_for = s;
    return TOKEN_WAIT;
}

/* Cheap refusals come before the signature; the answer is the same whoever asks. */
static enum token_said token_verify(struct decision *d, const struct token_rule *r, struct slice token,
                                    const uint8_t key[2 * TOKEN_ID], struct token_found *out)
{
    const struct token_wait *w = d->wait;
    struct jwks_got got = {0};
    struct jwt t;
    enum jwt_fault f = jwt_parse(d->arena, token, &t);

    if (f == JWT_OK)
        f = jwt_check(&t, &r->want, d->c->now_ms);
    if (f == JWT_OK && r->need_kid && t.kid.n == 0)
        f = JWT_NO_KID;
    if (f != JWT_OK)
        return token_bad(out, f);
    switch (jwks_get(d->c, r->keys, &t, w ? &w->keys : NULL, &got)) {
    case JWKS_WAIT: return token_wait(d, r->keys);
    case JWKS_NONE:
        out->why = got.why;
        out->fault = JWT_NO_KEYS;
        return TOKEN_TROUBLE;
    case JWKS_HAVE: break;
    }
    f = jwt_verify(&t, got.keys, r->algs);
    if (f != JWT_OK)
        return token_bad(out, f);
    out->claims = t.claims;
    token_remember(d, r, &t, got.from, key);
    return TOKEN_GOOD;
}

enum token_said token_check(struct decision *d, const struct token_rule *r, struct slice token,
                            struct token_found *out)
{
    uint8_t key[2 * TOKEN_ID];

    *out = (struct token_found){.fault = JWT_OK};
    if (token.n == 0 || token.n > JWT_TOKEN_MAX)
        return token_bad(out, token.n ? JWT_MALFORMED : JWT_MISSING);
    token_key_of(r->id, token, key);
    out->claims = token_known(d, r, key);
    return LIKELY(out->claims != NULL) ? TOKEN_GOOD : token_verify(d, r, token, key, out);
}

/* ---- claims to headers ---- */

/* append joins what policies set for this header; what a client sent never counts. */
bool claim_headers_set(struct decision *d, const struct claim_headers *h, const struct json *claims)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct json *claim = jwt_claim(claims, h->v[i].claim, '.');
        struct slice text = claim ? jwt_claim_text(d->arena, claim) : S("");
        const struct policy_header *old;

        if (text.n == 0)
            continue;
        if (!http_value_ok(text))
            return false;
        old = decision_find(d->v->upstream, d->v->upstream_n, h->v[i].header);
        if (h->v[i].append && old)
            text = arena_fmt(d->arena, "%.*s,%.*s", SFMT(old->value), SFMT(text));
        decision_upstream(d, h->v[i].header, text, HEADER_SET);
    }
    return true;
}
