/*
 * step_oidc_callback.c - back from the provider: state, issuer, code, tokens, a new session.
 *
 * The state must have its cookie in this browser, opened by that state, not over, not used before (one mark in
 * the store for all threads and processes, set before the code is sent). The issuer parameter (RFC 9207) must
 * be the provider's when it is there, and must be there when the provider says that it sends it. No
 * parameter counts twice. A session that the browser had before is ended; the new one has a new id. The
 * way on is what the login's sealed cookie says: a path of this application.
 * Tested by tests/unit/policy/test_oidc.c and tests/box/test_oidc.mjs.
 */
#include "policy/step_oidc.h"

/* ---- the parameters ---- */

struct oidc_callback_query {
    struct slice code, state, iss, error;
};

static bool oidc_callback_read(struct decision *d, struct oidc_callback_query *q)
{
    static const char *const names[] = {"code", "state", "iss", "error"};
    struct slice *const to[] = {&q->code, &q->state, &q->iss, &q->error};
    struct slice rest = d->query, key, value;
    size_t seen[ARRAY_LEN(names)] = {0}, n = 0;

    *q = (struct oidc_callback_query){S(""), S(""), S(""), S("")};
    while (url_query_next(d->arena, &rest, &key, &value)) {
        if (++n > 32)
            return false;
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (slice_eq(key, slice_str(names[i]))) {
                *to[i] = value;
                if (++seen[i] > 1)
                    return false;
            }
    }
    return q->code.n <= 4096 && slice_printable(q->code);
}

static bool oidc_callback_login(struct decision *d, const struct oidc_step *o, struct slice state,
                                struct oidc_login *l)
{
    struct slice name, text, plain;
    struct oidc_keys keys;
    size_t n;
    bool ok;

    if (state.n != OIDC_ID_LEN)
        return false;
    name = oidc_login_cookie(d->arena, o, state);
    text = oidc_cookie_get(d->ask->headers, d->ask->headers_n, name, &n);
    oidc_keys_of(d, o, &keys);
    ok = n == 1 && oidc_open(d->arena, &keys, "login", o->ident, state, text, &plain) &&
         oidc_login_read(plain, l) && slice_eq_secret(l->state, state);
    mem_wipe(&keys, sizeof keys);
    return ok;
}

static enum step_said oidc_callback_deny(struct decision *d, const struct step *s, struct slice state,
                                         const char *reason, const char *words)
{
    const struct oidc_step *o = s->data;

    (void)oidc_deny(d, s, 403, reason, words);
    if (state.n == OIDC_ID_LEN)
        oidc_cookie_clear(d, o, oidc_login_cookie(d->arena, o, state));
    return STEP_DENY;
}

/* ---- the code ---- */

static enum step_said oidc_callback_send(struct decision *d, const struct step *s, struct oidc_flow *f,
                                         const struct oidc_endpoints *e, const struct oidc_callback_query *q)
{
    const struct oidc_step *o = s->data;
    struct arena *a = d->arena;
    struct slice form;

    if (!o->plain && (q->iss.n ? !slice_eq(q->iss, e->issuer) : e->iss_sent))
        return oidc_callback_deny(d, s, f->login.state, "login_wrong_issuer",
                                  "the answer is not from the identity provider that was asked");
    if (!d->c->opts.fetcher)
        return oidc_trouble(d, "no_outbound");
    if (!oidc_mark(d, arena_fmt(a, "oidc:used:%.*s", SFMT(f->login.state)), 2 * OIDC_LOGIN_MS))
        return oidc_callback_deny(d, s, f->login.state, "login_used",
                                  "this sign-in was used already: open the application again");
    f->session.id = oidc_random(a);
    form = arena_fmt(a, "grant_type=authorization_code&code=%.*s&redirect_uri=%.*s&code_verifier=%.*s",
                     SFMT(url_encode(a, q->code)), SFMT(url_encode(a, o->redirect_uri)), SFMT(f->login.verifier));
    if (!oidc_tokens_ask(d, o, e, form, f))
        return STEP_TROUBLE;
    return oidc_wait(f, OIDC_AT_CODE, OIDC_WANT_TOKENS);
}

enum step_said oidc_callback_begin(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    struct oidc_callback_query q;
    struct oidc_endpoints e;

    if (!oidc_callback_read(d, &q))
        return oidc_callback_deny(d, s, S(""), "login_malformed", "the answer of the identity provider is malformed");
    if (!oidc_callback_login(d, o, q.state, &f->login))
        return oidc_callback_deny(d, s, S(""), "login_unknown",
                                  "this browser began no such sign-in: open the application again");
    if (d->c->now_ms >= f->login.ends_ms)
        return oidc_callback_deny(d, s, q.state, "login_expired", "the sign-in took too long: open the application again");
    if (q.error.n || q.code.n == 0)
        return oidc_callback_deny(d, s, q.state, "login_refused", "the identity provider refused the sign-in");
    switch (oidc_provider_get(d, o, &e)) {
    case OIDC_GOT:
        return oidc_callback_send(d, s, f, &e, &q);
    case OIDC_GOT_WAIT:
        return oidc_wait(f, OIDC_AT_START, OIDC_WANT_DISCOVERY);
    case OIDC_GOT_NONE:
        break;
    }
    return oidc_trouble(d, d->c->opts.fetcher ? "idp_unavailable" : "no_outbound");
}

/* ---- the tokens ---- */

enum step_said oidc_callback_code(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    struct slice fault = S("");

    switch (oidc_tokens_take(d, s->data, f, &fault)) {
    case RC_OK:
        return oidc_callback_new(d, s, f);
    case RC_DENIED:
        return oidc_callback_deny(d, s, f->login.state, "code_refused",
                                  "the identity provider did not take the code: sign in again");
    default:
        d->v->words = fault;
        return oidc_trouble(d, "idp_unavailable");
    }
}

static enum step_said oidc_callback_session(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    struct oidc_session old, *x = &f->session;
    struct slice hash;
    enum step_said said = oidc_redirect(d, s, "signed_in", "signed in",
                                        arena_fmt(d->arena, "%.*s%.*s", SFMT(o->app_origin), SFMT(f->login.target)));

    if (said != STEP_DENY)
        return said;
    if (oidc_session_find(d, o, &old, &hash) == RC_OK)
        oidc_session_end(d, o, &old, hash);
    x->created_ms = d->c->now_ms;
    x->ends_ms = o->max_age_s ? d->c->now_ms + o->max_age_s * 1000 : 0;
    if (oidc_session_put(d, o, x, oidc_session_hash(d->arena, x->id), true) != RC_OK)
        return oidc_trouble(d, "session_store");
    oidc_cookie_clear(d, o, oidc_login_cookie(d->arena, o, f->login.state));
    d->v->user = x->sub;
    return STEP_DENY;
}

enum step_said oidc_callback_new(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    enum step_said said;

    if (!o->plain && f->session.id_token.n == 0)
        return oidc_callback_deny(d, s, f->login.state, "id_token_missing", "the identity provider gave no id token");
    said = oidc_tokens_verify(d, s, f, f->login.nonce, OIDC_AT_NEW);
    if (said == STEP_DENY)
        oidc_cookie_clear(d, o, oidc_login_cookie(d->arena, o, f->login.state));
    return said == STEP_PASS ? oidc_callback_session(d, s, f) : said;
}
