/*
 * step_oidc_login.c - to the provider: a login begins.
 *
 * Each login has its own state, nonce and PKCE verifier (256 random bits each, S256) and its own cookie,
 * named after its state: logins in several tabs do not meet. The cookie holds all of it and where the
 * browser wanted to go, sealed for this state, for ten minutes. Nothing is written to the store, so that
 * requests without a session cost no memory. Where to go is the path and query of the request itself,
 * never a parameter. Tested by tests/unit/policy/test_oidc.c.
 */
#include "policy/step_oidc.h"
#include "wire/hash.h"

enum { OIDC_LOGIN_TARGET_MAX = 1500, OIDC_LOGIN_NAME = 8 };

struct slice oidc_login_cookie(struct arena *a, const struct oidc_step *o, struct slice state)
{
    return arena_fmt(a, "%.*s_l_%.*s", SFMT(o->cookie), SFMT(slice_sub(state, 0, OIDC_LOGIN_NAME)));
}

void oidc_cookie_put(struct decision *d, const struct oidc_step *o, struct slice name, struct slice value,
                     struct slice tail, int64_t max_age_s)
{
    struct slice age = max_age_s ? arena_fmt(d->arena, "; Max-Age=%lld", (long long)max_age_s) : S("");

    (void)o;
    decision_client(d, S("set-cookie"),
                    arena_fmt(d->arena, "%.*s=%.*s%.*s%.*s", SFMT(name), SFMT(value), SFMT(tail), SFMT(age)));
}

void oidc_cookie_clear(struct decision *d, const struct oidc_step *o, struct slice name)
{
    bool login = name.n > o->cookie.n + 2;

    decision_client(d, S("set-cookie"),
                    arena_fmt(d->arena, "%.*s=%.*s; Max-Age=0", SFMT(name),
                              SFMT(login ? o->login_tail : o->cookie_tail)));
}

/* ---- old ones ---- */

struct oidc_login_old {
    struct decision *d;
    const struct oidc_step *o;
    size_t n, clear;
};

static bool oidc_login_is(const struct oidc_step *o, struct slice name)
{
    return name.n > o->cookie.n + 2 && oidc_cookie_ours(name, o->cookie);
}

static bool oidc_login_count(void *ctx, struct slice name, struct slice value)
{
    struct oidc_login_old *x = ctx;

    (void)value;
    x->n += oidc_login_is(x->o, name);
    return true;
}

static bool oidc_login_clear(void *ctx, struct slice name, struct slice value)
{
    struct oidc_login_old *x = ctx;

    (void)value;
    if (!oidc_login_is(x->o, name))
        return true;
    oidc_cookie_clear(x->d, x->o, name);
    return --x->clear > 0;
}

/* Browsers send the oldest first. */
static void oidc_login_make_room(struct decision *d, const struct oidc_step *o)
{
    struct oidc_login_old x = {d, o, 0, 0};

    oidc_cookie_each(d->ask->headers, d->ask->headers_n, oidc_login_count, &x);
    if (x.n < OIDC_LOGINS_MAX)
        return;
    x.clear = MIN(x.n - OIDC_LOGINS_MAX + 1, 20);
    oidc_cookie_each(d->ask->headers, d->ask->headers_n, oidc_login_clear, &x);
}

/* ---- the redirect ---- */

/* The request's own target, which the rules have seen as canonical: one '/' in front, no other host. */
static struct slice oidc_login_target(struct decision *d)
{
    struct slice t = d->ask->target;

    if (t.n > OIDC_LOGIN_TARGET_MAX)
        t = d->path;
    if (t.n > OIDC_LOGIN_TARGET_MAX || !slice_printable(t) || slice_index(t, ' ') != SIZE_MAX ||
        slice_index(t, '\\') != SIZE_MAX || t.n == 0 || t.p[0] != '/' || (t.n > 1 && t.p[1] == '/'))
        return S("/");
    return t;
}

static struct slice oidc_login_challenge(struct arena *a, struct slice verifier)
{
    return oidc_digest(a, verifier);
}

static struct slice oidc_login_url(struct decision *d, const struct oidc_step *o, struct slice endpoint,
                                   const struct oidc_login *l)
{
    struct arena *a = d->arena;
    struct slice nonce = o->plain ? S("") : arena_fmt(a, "&nonce=%.*s", SFMT(l->nonce));
    struct slice scope = o->scope.n ? arena_fmt(a, "&scope=%.*s", SFMT(o->scope)) : S("");

    return arena_fmt(a, "%.*s%sresponse_type=code&client_id=%.*s&redirect_uri=%.*s%.*s&state=%.*s%.*s"
                     "&code_challenge=%.*s&code_challenge_method=S256%.*s%.*s", SFMT(endpoint),
                     slice_index(endpoint, '?') == SIZE_MAX ? "?" : "&", SFMT(url_encode(a, o->client_id)),
                     SFMT(url_encode(a, o->redirect_uri)), SFMT(scope), SFMT(l->state), SFMT(nonce),
                     SFMT(oidc_login_challenge(a, l->verifier)), SFMT(o->auth_query),
                     SFMT(oidc_tokens_params(d, o, false)));
}

static enum step_said oidc_login_send(struct decision *d, const struct step *s, struct slice endpoint)
{
    const struct oidc_step *o = s->data;
    struct arena *a = d->arena;
    struct oidc_login l = {oidc_random(a), oidc_random(a), oidc_random(a), oidc_login_target(d),
                           d->c->now_ms + OIDC_LOGIN_MS};
    struct slice text, to = oidc_login_url(d, o, endpoint, &l);
    struct oidc_keys keys;
    enum step_said said = oidc_redirect(d, s, "login_required", "sign in at the identity provider", to);

    if (said != STEP_DENY)
        return said;
    oidc_keys_of(d, o, &keys);
    text = oidc_seal(a, &keys, "login", o->ident, l.state, oidc_login_write(a, &l));
    mem_wipe(&keys, sizeof keys);
    oidc_cookie_put(d, o, oidc_login_cookie(a, o, l.state), text, o->login_tail, OIDC_LOGIN_MS / 1000);
    oidc_login_make_room(d, o);
    if (oidc_session_sent(d, o))
        oidc_session_clear(d, o);
    return STEP_DENY;
}

enum step_said oidc_login_begin(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    struct oidc_endpoints e;

    switch (oidc_provider_get(d, s->data, &e)) {
    case OIDC_GOT:
        return oidc_login_send(d, s, e.auth);
    case OIDC_GOT_WAIT:
        return oidc_wait(f, OIDC_AT_START, OIDC_WANT_DISCOVERY);
    case OIDC_GOT_NONE:
        break;
    }
    return oidc_trouble(d, d->c->opts.fetcher ? "idp_unavailable" : "no_outbound");
}
