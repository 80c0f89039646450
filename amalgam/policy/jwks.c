/*
 * jwks.c - key sets per thread: read once, fetched again in time, the last good one kept.
 *
 * A source that is a URL is fetched when a token first needs it and then again behind the back of the
 * checks when its interval is over; while a fetch fails the keys that are there stay in use. A kid that no
 * key has is a reason to fetch before the time, as often and as soon as the source allows; all decisions
 * that need the same keys wait for one fetch. What comes over the network is bounded in size and time, is
 * never redirected, and may hold no secrets. Sources in the policy itself are read on first use: each
 * thread has keys of its own, because mbedTLS writes into them.
 *
 * Kept by the source's id, so that a reload of the policies fetches nothing. One thread. Tested by
 * tests/unit/policy/test_jwks.c.
 */
#include "base/clock.h"
#include "base/log.h"
#include "policy/token.h"

enum { JWKS_SOURCES_MAX = 2000, JWKS_AGAIN_MS = 10000, JWKS_AGAIN_NONE_MS = 2000 };

struct jwks_entry {
    uint8_t id[TOKEN_ID];
    struct policy_ctx *c;
    struct jwks *keys;   /* the last good ones */
    uint64_t version;    /* changes with keys */
    int64_t due_ms;      /* wall clock of the batch: not asked again before */
    int64_t refresh_ms;
    int flags, asked;    /* asked: for unknown kids in this interval */
    int64_t asked_ms;    /* when last; wall clock */
    struct fetch *fetch; /* under way */
    int64_t began_ms, began_mono_ms;
    struct jwks_wait *waiting;
    const char *why;     /* of the last failure, or NULL */
    struct slice host;
    struct jwks_entry *next;
};
struct jwks_cache {
    struct map map;
    struct jwks_entry *all;
    uint64_t version;
};

struct jwks_cache *jwks_cache_open(void)
{
    struct jwks_cache *c = mem_zalloc(sizeof *c);

    map_init(&c->map);
    return c;
}

/* The fetcher is closed by now: what was under way is no more. */
void jwks_cache_close(struct jwks_cache *c)
{
    for (struct jwks_entry *e = c->all, *next; e; e = next) {
        next = e->next;
        jwks_free(e->keys);
        mem_free(e);
    }
    map_free(&c->map);
    mem_free(c);
}

/* ---- keys arrive, or do not ---- */

static void jwks_take(struct jwks_entry *e, struct jwks *keys)
{
    jwks_free(e->keys);
    e->keys = keys;
    e->version = ++e->c->jwks->version;
    e->why = NULL;
}

static void jwks_failed(struct jwks_entry *e, const char *why, const char *text, int64_t now_ms)
{
    e->why = why;
    e->due_ms = now_ms + (e->keys ? MIN(e->refresh_ms, JWKS_AGAIN_MS) : JWKS_AGAIN_NONE_MS);
    log_event(LOG_WARN, "jwks.failed", "host=%.*s why=%s text=%s kept=%s", SFMT(e->host), why,
              log_quote(slice_str(text)), e->keys ? "yes" : "no");
}

static void jwks_wake(struct jwks_entry *e)
{
    struct jwks_wait *w = e->waiting;

    e->waiting = NULL;
    while (w) {
        struct jwks_wait *next = w->next; /* w ends with its decision */
        decision_wake(w->d);
        w = next;
    }
}

static void jwks_done(void *user, const struct fetch_reply *r)
{
    struct jwks_entry *e = user;
    int64_t now_ms = e->began_ms + clock_mono_ms() - e->began_mono_ms;
    struct jwks *keys = NULL;
    struct err err = {0};

    e->fetch = NULL;
    if (r->rc != RC_OK)
        jwks_failed(e, "fetch", r->why, now_ms);
    else if (r->status != 200)
        jwks_failed(e, "status", "the answer was not 200", now_ms);
    else if (jwks_parse(r->body, e->flags & ~JWKS_SYMMETRIC, &keys, &err) != RC_OK)
        jwks_failed(e, "keys", err.text, now_ms);
    if (keys) {
        jwks_take(e, keys);
        e->due_ms = now_ms + e->refresh_ms;
    }
    jwks_wake(e);
}

static void jwks_fetch(struct policy_ctx *c, struct jwks_entry *e, const struct jwks_source *s)
{
    static const struct http_header accept = {SLIT("accept"), SLIT("application/json")};
    struct fetch_req q = {.url = s->url, .method = S("GET"), .headers = &accept, .headers_n = 1,
                          .body = S(""), .timeout_ms = s->timeout_ms, .reply_bytes_max = JWKS_BYTES_MAX};

    e->began_ms = c->now_ms;
    e->began_mono_ms = clock_mono_ms();
    e->fetch = fetch_start(c->opts.fetcher, &q, jwks_done, e);
}

/* ---- who has which keys ---- */

/* Verified tokens point to entries: they go first. */
static void jwks_make_room(struct policy_ctx *c)
{
    struct jwks_cache *k = c->jwks;
    struct jwks_entry **at = &k->all;

    if (k->map.n < JWKS_SOURCES_MAX)
        return;
    token_cache_clear(c->tokens);
    while (*at) {
        struct jwks_entry *e = *at;
        if (e->fetch || e->waiting) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        map_del(&k->map, slice_of((const char *)e->id, TOKEN_ID));
        jwks_free(e->keys);
        mem_free(e);
    }
}

static struct jwks_entry *jwks_entry_of(struct policy_ctx *c, const struct jwks_source *s)
{
    struct jwks_entry *e = map_get(&c->jwks->map, slice_of((const char *)s->id, TOKEN_ID));
    char *host;

    if (LIKELY(e != NULL))
        return e;
    jwks_make_room(c);
    e = mem_zalloc(sizeof *e + s->url.host.n);
    host = (char *)(e + 1);
    if (s->url.host.n)
        memcpy(host, s->url.host.p, s->url.host.n);
    e->host = slice_of(host, s->url.host.n);
    memcpy(e->id, s->id, TOKEN_ID);
    e->c = c;
    e->flags = s->flags;
    e->refresh_ms = s->refresh_ms;
    e->next = c->jwks->all;
    c->jwks->all = e;
    map_put(&c->jwks->map, slice_of((const char *)e->id, TOKEN_ID), e);
    return e;
}

/* Also when the clock was set back. */
static bool jwks_is_due(const struct policy_ctx *c, const struct jwks_entry *e)
{
    return c->now_ms >= e->due_ms || e->due_ms - c->now_ms > e->refresh_ms + JWKS_AGAIN_MS;
}

/* The time has come: fetch, and let nobody wait for it. */
static void jwks_refresh(struct policy_ctx *c, struct jwks_entry *e, const struct jwks_source *s)
{
    if (LIKELY(s->text.n || !jwks_is_due(c, e)) || e->fetch || !c->opts.fetcher)
        return;
    e->asked = 0;
    jwks_fetch(c, e, s);
}

uint64_t jwks_version(struct policy_ctx *c, struct jwks_entry *e, const struct jwks_source *s)
{
    jwks_refresh(c, e, s);
    return e->version;
}

/* SHA-256 is as good in eight bytes where one decision's few sources are told apart. */
static uint64_t jwks_mark(const struct jwks_source *s)
{
    uint64_t mark;

    memcpy(&mark, s->id, sizeof mark);
    return mark;
}

static bool jwks_was_asked(const struct jwks_wait *w, const struct jwks_source *s)
{
    for (size_t i = 0; w && i < w->asked_n; i++)
        if (w->asked[i] == jwks_mark(s))
            return true;
    return w && w->asked_n == JWKS_ASKED_MAX;
}

void jwks_join(struct decision *d, const struct jwks_source *s, struct jwks_wait *w)
{
    struct jwks_entry *e = jwks_entry_of(d->c, s);

    w->d = d;
    w->next = e->waiting;
    e->waiting = w;
    if (e->fetch && w->joined != jwks_mark(s)) { /* it may have begun too early for this kid: once more is allowed */
        w->joined = jwks_mark(s);
        return;
    }
    w->asked[w->asked_n++] = jwks_mark(s);
    if (e->fetch)
        return;
    if (e->keys) { /* there are keys, but not the one */
        e->asked++;
        e->asked_ms = d->c->now_ms;
    }
    jwks_fetch(d->c, e, s);
}

static enum jwks_said jwks_get_local(struct jwks_entry *e, const struct jwks_source *s, struct jwks_got *out)
{
    struct jwks *k = NULL;

    if (UNLIKELY(!e->keys)) {
        if (jwks_parse(s->text, s->flags, &k, NULL) != RC_OK) { /* it was read when the set was loaded */
            out->why = "keys";
            return JWKS_NONE;
        }
        jwks_take(e, k);
    }
    out->keys = e->keys;
    return JWKS_HAVE;
}

/* May an unknown kid ask for the keys now? */
static bool jwks_may_ask(const struct policy_ctx *c, const struct jwks_entry *e, const struct jwks_source *s,
                         const struct jwks_wait *w)
{
    int64_t ago_ms = c->now_ms - e->asked_ms;

    if (e->asked >= s->unknown_max)
        return false;
    if (w && w->joined == jwks_mark(s))
        return true;
    return e->asked_ms == 0 || ago_ms >= s->unknown_gap_ms || -ago_ms > s->unknown_gap_ms; /* a clock set back */
}

enum jwks_said jwks_get(struct policy_ctx *c, const struct jwks_source *s, const struct jwt *t,
                        const struct jwks_wait *w, struct jwks_got *out)
{
    struct jwks_entry *e = jwks_entry_of(c, s);
    bool asked = jwks_was_asked(w, s);

    *out = (struct jwks_got){.from = e, .why = "no_outbound"};
    if (s->text.n)
        return jwks_get_local(e, s, out);
    if (!c->opts.fetcher && !e->keys)
        return JWKS_NONE;
    jwks_refresh(c, e, s);
    out->keys = e->keys;
    if (!e->keys) {
        out->why = e->why ? e->why : "fetch";
        return e->fetch && !asked ? JWKS_WAIT : JWKS_NONE;
    }
    if (LIKELY(jwks_has(e->keys, t)) || asked || !c->opts.fetcher || s->unknown_max == 0)
        return JWKS_HAVE;
    return e->fetch || jwks_may_ask(c, e, s, w) ? JWKS_WAIT : JWKS_HAVE;
}
