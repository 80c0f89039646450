/*
 * step_oidc_provider.c - what identity providers say about themselves, per thread. Their keys: jwks.c.
 *
 * The description (OpenID Connect Discovery 1.0), by its URL. Asked for when first needed; decisions that
 * need it wait on one request. Read again in the background when its time is up; whatever goes wrong
 * then, the last good one is kept. After a failure the next attempt comes after one second, two, four, at
 * most ten: a provider that is down at the start is found when it is up, without anybody doing anything.
 * Endpoints must be https unless the issuer itself is not.
 * Owner: struct policy_ctx. Tested by tests/unit/policy/test_oidc.c.
 */
#include "base/log.h"
#include "policy/step_oidc.h"

enum {
    OIDC_PROVIDER_BACKOFF_MS = 1000,
    OIDC_PROVIDER_BACKOFF_MAX_MS = 10 * 1000,
    OIDC_PROVIDER_DOCS_MAX = 256,
    OIDC_PROVIDER_BYTES = 256 << 10
};

struct oidc_doc {
    struct policy_ctx *c;
    struct slice url, issuer; /* in memory of its own */
    bool have;
    struct arena arena;       /* of `found` */
    struct oidc_endpoints found;
    int64_t read_ms, tried_ms, used_ms; /* monotonic; 0: never */
    int failures;
    struct fetch *fetch; /* under way */
    struct oidc_flow *waiters;
    struct oidc_doc *next;
};
struct oidc_cache {
    struct oidc_doc *docs;
    size_t n;
};

/* ---- documents ---- */

static void oidc_provider_free(struct oidc_doc *x)
{
    arena_free(&x->arena);
    mem_free((void *)(uintptr_t)x->url.p);
    mem_free(x);
}

void oidc_cache_close(struct oidc_cache *x)
{
    while (x && x->docs) {
        struct oidc_doc *d = x->docs;
        x->docs = d->next;
        oidc_provider_free(d);
    }
    mem_free(x);
}

/* Of those that nobody waits for, the one that was not used for the longest time. */
static void oidc_provider_make_room(struct oidc_cache *x)
{
    struct oidc_doc **oldest = NULL;

    if (x->n < OIDC_PROVIDER_DOCS_MAX)
        return;
    for (struct oidc_doc **at = &x->docs; *at; at = &(*at)->next)
        if (!(*at)->fetch && !(*at)->waiters && (!oldest || (*at)->used_ms < (*oldest)->used_ms))
            oldest = at;
    if (oldest) {
        struct oidc_doc *gone = *oldest;
        *oldest = gone->next;
        oidc_provider_free(gone);
        x->n--;
    }
}

static struct oidc_doc *oidc_provider_doc(struct policy_ctx *c, struct slice url, struct slice issuer)
{
    struct oidc_doc *x;
    char *text;

    if (!c->oidc)
        c->oidc = mem_zalloc(sizeof *c->oidc);
    for (x = c->oidc->docs; x; x = x->next)
        if (slice_eq(x->url, url)) {
            x->used_ms = clock_mono_ms();
            return x;
        }
    oidc_provider_make_room(c->oidc);
    x = mem_zalloc(sizeof *x);
    text = mem_zalloc(url.n + issuer.n + 1);
    memcpy(text, url.p, url.n);
    if (issuer.n)
        memcpy(text + url.n, issuer.p, issuer.n);
    x->c = c;
    x->url = slice_of(text, url.n);
    x->issuer = slice_of(text + url.n, issuer.n);
    x->used_ms = clock_mono_ms();
    arena_init(&x->arena, 1024, 1 << 20);
    x->next = c->oidc->docs;
    c->oidc->docs = x;
    c->oidc->n++;
    return x;
}

/* ---- reading ---- */

static struct slice oidc_provider_no_slash(struct slice s)
{
    if (s.n > 0 && s.p[s.n - 1] == '/')
        s.n--;
    return s;
}

/* An endpoint of the description: "" when absent. False: it cannot be used. */
static bool oidc_provider_endpoint(struct oidc_doc *x, const struct json *j, struct slice name,
                                   struct slice *to)
{
    struct slice text = json_str(j, name);
    struct fetch_url u;

    *to = S("");
    if (text.n == 0)
        return true;
    if (fetch_url_parse(&x->arena, text, &u, NULL) != RC_OK || u.is_unix ||
        (!u.tls && slice_starts_ci(x->issuer, S("https://"))))
        return false;
    *to = arena_dup(&x->arena, text);
    return true;
}

static void oidc_provider_methods(const struct json *list, struct oidc_endpoints *e)
{
    e->basic_ok = !list; /* the standard's default */
    for (uint32_t i = 0; list && list->kind == JSON_ARR && i < list->n; i++) {
        if (list->items[i].kind != JSON_STR)
            continue;
        e->basic_ok |= slice_eq(list->items[i].s, S("client_secret_basic"));
        e->post_ok |= slice_eq(list->items[i].s, S("client_secret_post"));
    }
}

static const char *oidc_provider_read(struct oidc_doc *x, struct slice body)
{
    struct oidc_endpoints e = {S(""), S(""), S(""), S(""), S(""), S(""), false, false, false};
    struct arena scratch;
    struct json *j = NULL;
    const char *why = NULL;

    arena_init(&scratch, 4096, 16 << 20);
    arena_reset(&x->arena); /* what was found before is copied below when this fails */
    if (json_parse(&scratch, body, OIDC_PROVIDER_BYTES, &j, NULL) != RC_OK || j->kind != JSON_OBJ)
        why = "it is no JSON object";
    else if (!slice_eq(oidc_provider_no_slash(json_str(j, S("issuer"))), oidc_provider_no_slash(x->issuer)))
        why = "its issuer is not issuerUrl";
    else if (!oidc_provider_endpoint(x, j, S("authorization_endpoint"), &e.auth) ||
             !oidc_provider_endpoint(x, j, S("token_endpoint"), &e.token) ||
             !oidc_provider_endpoint(x, j, S("jwks_uri"), &e.jwks) ||
             !oidc_provider_endpoint(x, j, S("revocation_endpoint"), &e.revoke) ||
             !oidc_provider_endpoint(x, j, S("end_session_endpoint"), &e.end_session))
        why = "one of its endpoints is no usable address (https, unless issuerUrl is http)";
    if (!why) {
        e.issuer = arena_dup(&x->arena, json_str(j, S("issuer")));
        oidc_provider_methods(json_get(j, S("token_endpoint_auth_methods_supported")), &e);
        e.iss_sent = json_bool(j, S("authorization_response_iss_parameter_supported"), false);
        x->found = e;
    }
    arena_free(&scratch);
    return why;
}

static const char *oidc_provider_read_safely(struct oidc_doc *x, struct slice body)
{
    struct arena before = x->arena;
    const char *why;

    arena_init(&x->arena, 1024, 1 << 20);
    why = oidc_provider_read(x, body);
    if (why) {
        arena_free(&x->arena);
        x->arena = before;
    } else {
        arena_free(&before);
    }
    return why;
}

static const char *oidc_provider_take(struct oidc_doc *x, const struct fetch_reply *r)
{
    if (r->rc != RC_OK)
        return r->why;
    return r->status == 200 ? oidc_provider_read_safely(x, r->body) : "the answer is not 200";
}

static void oidc_provider_done(void *user, const struct fetch_reply *r)
{
    struct oidc_doc *x = user;
    struct oidc_flow *waiters = x->waiters;
    const char *why = oidc_provider_take(x, r);
    int64_t now = clock_mono_ms();

    x->fetch = NULL;
    x->waiters = NULL;
    x->tried_ms = now;
    if (why) {
        if (x->failures++ == 0)
            log_event(LOG_WARN, "oidc.provider", "url=%.*s trouble=%s", SFMT(x->url), why);
    } else {
        if (x->failures)
            log_event(LOG_INFO, "oidc.provider", "url=%.*s found after %d attempts", SFMT(x->url), x->failures + 1);
        x->failures = 0;
        x->have = true;
        x->read_ms = now;
    }
    while (waiters) {
        struct oidc_flow *f = waiters;
        waiters = f->next;
        f->next = NULL;
        decision_wake(f->d);
    }
}

static void oidc_provider_fetch(struct oidc_doc *x)
{
    static const struct http_header accept[] = {{SLIT("accept"), SLIT("application/json")}};
    struct fetch_req q = {.method = S("GET"), .headers = accept, .headers_n = 1, .timeout_ms = OIDC_FETCH_MS,
                          .reply_bytes_max = OIDC_PROVIDER_BYTES};
    struct arena scratch;

    if (x->fetch || !x->c->opts.fetcher)
        return;
    arena_init(&scratch, 1024, 1 << 20);
    x->tried_ms = clock_mono_ms();
    if (fetch_url_parse(&scratch, x->url, &q.url, NULL) == RC_OK)
        x->fetch = fetch_start(x->c->opts.fetcher, &q, oidc_provider_done, x);
    arena_free(&scratch);
}

/* ---- asking ---- */

static bool oidc_provider_resting(const struct oidc_doc *x)
{
    int64_t rest_ms = OIDC_PROVIDER_BACKOFF_MS;

    for (int i = 1; i < x->failures && rest_ms < OIDC_PROVIDER_BACKOFF_MAX_MS; i++)
        rest_ms *= 2;
    return x->failures > 0 && clock_mono_ms() - x->tried_ms < MIN(rest_ms, OIDC_PROVIDER_BACKOFF_MAX_MS);
}

/* Old ones are read again while they are still used. */
static void oidc_provider_renew(struct oidc_doc *x, int64_t age_ms)
{
    if (clock_mono_ms() - x->read_ms >= age_ms && !oidc_provider_resting(x))
        oidc_provider_fetch(x);
}

static void oidc_provider_put_over(struct oidc_endpoints *e, const struct oidc_step *o)
{
    const struct oidc_endpoints *own = &o->own;

    e->auth = own->auth.n ? own->auth : e->auth;
    e->token = own->token.n ? own->token : e->token;
    e->jwks = own->jwks.n ? own->jwks : e->jwks;
    e->revoke = own->revoke.n ? own->revoke : e->revoke;
    e->end_session = own->end_session.n ? own->end_session : e->end_session;
    if (own->basic_ok || own->post_ok) {
        e->basic_ok = own->basic_ok;
        e->post_ok = own->post_ok;
    }
}

enum oidc_got oidc_provider_get(struct decision *d, const struct oidc_step *o, struct oidc_endpoints *out)
{
    struct oidc_doc *x;
    bool enough = o->own.auth.n && o->own.token.n && o->own.jwks.n;

    *out = o->own;
    if (o->plain)
        return OIDC_GOT;
    x = oidc_provider_doc(d->c, o->discovery_url, o->issuer);
    if (x->have) {
        *out = x->found;
        oidc_provider_renew(x, o->poll_ms);
        oidc_provider_put_over(out, o);
        return out->auth.n && out->token.n && out->jwks.n ? OIDC_GOT : OIDC_GOT_NONE;
    }
    if (!d->c->opts.fetcher || oidc_provider_resting(x)) {
        out->issuer = o->issuer;
        out->basic_ok |= !out->post_ok;
        return enough ? OIDC_GOT : OIDC_GOT_NONE;
    }
    return OIDC_GOT_WAIT;
}

void oidc_provider_wait(struct decision *d, const struct oidc_step *o, struct oidc_flow *f)
{
    struct oidc_doc *x = oidc_provider_doc(d->c, o->discovery_url, o->issuer);

    f->next = x->waiters;
    x->waiters = f;
    oidc_provider_fetch(x);
}
