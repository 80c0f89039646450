/*
 * step_oidc.c - one request at oauth2.oidcAuthorizationCode or oauth2.oauth2: which way it takes.
 *
 *     callbackPath -> callback        logoutPath -> logout        frontChannelLogout.path -> that
 *     else: a session that counts     -> pass, with headers, state and metadata
 *           one whose tokens expire   -> refresh, once per session at a time, then pass
 *           none                      -> 302 to the provider
 *
 * Waiting: run looks at everything as far as it can and says what it wants; begin (the decision then has
 * memory of its own) copies the flow there and starts the request, or the look-again timer; run goes on
 * at f->stage. Nothing of a provider's document is kept over a wait. The clock is the context's.
 * Tested by tests/unit/policy/test_oidc.c and tests/box/test_oidc.mjs.
 */
#include "policy/step_oidc.h"
#include "wire/hash.h"

/* ---- words that all ways use ---- */

enum step_said oidc_deny(struct decision *d, const struct step *s, int status, const char *reason,
                         const char *words)
{
    decision_deny(d, status, slice_str(reason), slice_str(words), s->rule);
    decision_client(d, S("cache-control"), S("no-store"));
    if (status != 302)
        d->v->body = arena_fmt(d->arena, "%s\n", words);
    return STEP_DENY;
}

enum step_said oidc_trouble(struct decision *d, const char *reason)
{
    d->trouble = slice_str(reason);
    return STEP_TROUBLE;
}

enum step_said oidc_redirect(struct decision *d, const struct step *s, const char *reason, const char *words,
                             struct slice to)
{
    if (!http_value_ok(to))
        return oidc_trouble(d, "redirect_malformed");
    (void)oidc_deny(d, s, 302, reason, words);
    decision_client(d, S("location"), to);
    return STEP_DENY;
}

/* Cookies are sealed with the policy's own key, or with one made from the secret key, which all processes
 * of an installation share. */
void oidc_keys_of(const struct decision *d, const struct oidc_step *o, struct oidc_keys *out)
{
    uint8_t key[32];

    if (o->keys_n > 0) {
        memcpy(out->v, o->keys, sizeof out->v);
        out->n = o->keys_n;
        return;
    }
    hmac_sha256(&d->c->opts.scheme->hmac, S("postern: sessions of oauth2"), key);
    oidc_key_set(&out->v[0], key);
    out->n = 1;
    mem_wipe(key, sizeof key);
}

/* ---- passing ---- */

static struct slice oidc_bearer(struct decision *d, const struct oidc_step *o, struct slice header,
                                struct slice token)
{
    if (!o->bearer || !slice_eq_ci(header, S("authorization")))
        return token;
    return arena_fmt(d->arena, "Bearer %.*s", SFMT(token));
}

static void oidc_claim_headers(struct decision *d, const struct oidc_claims *list, const struct json *claims)
{
    for (size_t i = 0; i < list->n; i++) {
        const struct json *claim = jwt_claim(claims, list->v[i].claim, '.');
        struct slice text = claim ? jwt_claim_text(d->arena, claim) : S("");
        if (text.n > 0 && http_value_ok(text))
            decision_upstream(d, list->v[i].name, text, list->v[i].append ? HEADER_APPEND : HEADER_SET);
    }
}

/* The claims of a token that was verified when it came, or that the provider alone can read (NULL). */
static const struct json *oidc_claims_of(struct decision *d, struct slice token)
{
    struct jwt t;

    return token.n && jwt_parse(d->arena, token, &t) == JWT_OK ? t.claims : NULL;
}

static void oidc_identify(struct decision *d, const struct oidc_step *o, const struct oidc_session *x)
{
    const struct json *claims = o->plain ? NULL : oidc_claims_of(d, x->id_token);
    struct slice email = json_str(claims, S("email"));

    bool checked = json_bool(claims, S("email_verified"), true);

    d->v->user = email.n && checked && slice_printable(email) ? email : x->sub;
    oidc_claim_headers(d, &o->id_claims, claims);
    for (size_t i = 0; i < o->metadata.n; i++) {
        const struct json *claim = jwt_claim(claims, o->metadata.v[i].claim, '.');
        if (claim)
            decision_metadata(d, d->at->name, o->metadata.v[i].name, claim);
    }
    if (o->access_claims.n)
        oidc_claim_headers(d, &o->access_claims, oidc_claims_of(d, x->access_token));
}

enum step_said oidc_accept(struct decision *d, const struct step *s, const struct oidc_session *x)
{
    const struct oidc_step *o = s->data;

    if (o->id_header.n && x->id_token.n)
        decision_upstream(d, o->id_header, oidc_bearer(d, o, o->id_header, x->id_token), HEADER_SET);
    if (o->access_header.n && http_value_ok(x->access_token))
        decision_upstream(d, o->access_header, oidc_bearer(d, o, o->access_header, x->access_token), HEADER_SET);
    if (x->id_token.n)
        decision_state_put(d, S("jwt"), json_text(d->arena, x->id_token));
    oidc_identify(d, o, x);
    return STEP_PASS;
}

/* ---- waiting ---- */

enum step_said oidc_wait(struct oidc_flow *f, enum oidc_stage stage, enum oidc_want want)
{
    f->stage = stage;
    f->want = want;
    return STEP_WAIT;
}

static void oidc_answered(void *user, const struct fetch_reply *r)
{
    struct oidc_flow *f = user;

    f->rc = r->rc;
    f->status = r->status;
    f->answer = arena_dup(f->d->arena, r->body);
    decision_wake(f->d);
}

static void oidc_timed(struct net_timer *t, struct reactor *r)
{
    (void)r;
    decision_wake(CONTAINER_OF(t, struct oidc_flow, timer)->d);
}

static void oidc_ask_tokens(struct decision *d, struct oidc_flow *f)
{
    const struct oidc_step *o = d->at->data;
    struct http_header h[4] = {{S("content-type"), S("application/x-www-form-urlencoded")},
                               {S("accept"), S("application/json")}};
    struct fetch_req q = {.method = S("POST"), .headers = h, .headers_n = 2, .body = f->body,
                          .timeout_ms = OIDC_FETCH_MS, .reply_bytes_max = OIDC_REPLY_BYTES, .once = true};

    if (f->auth.n)
        h[q.headers_n++] = (struct http_header){S("authorization"), f->auth};
    if (o->session_header.n && f->stage == OIDC_AT_CODE) /* the entry's name: who knows it has no session */
        h[q.headers_n++] = (struct http_header){o->session_header, oidc_session_hash(d->arena, f->session.id)};

    MUST(fetch_url_parse(d->arena, f->url, &q.url, NULL) == RC_OK); /* oidc_tokens_ask has parsed it */
    (void)fetch_start(d->c->opts.fetcher, &q, oidc_answered, f);
}

/* Into the decision's own memory, with everything that it points to. */
static struct oidc_flow *oidc_keep(struct decision *d)
{
    struct oidc_flow *f = ARENA_NEW(d->arena, struct oidc_flow);

    *f = *(struct oidc_flow *)d->wait;
    struct slice *all[] = {&f->url, &f->body, &f->auth, &f->answer, &f->login.state, &f->login.nonce,
                           &f->login.verifier, &f->login.target, &f->session.id, &f->session.id_token,
                           &f->session.access_token, &f->session.refresh_token, &f->session.sub,
                           &f->session.sid, &f->hash};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        *all[i] = all[i]->n ? arena_dup(d->arena, *all[i]) : S("");
    f->kept = true;
    f->d = d;
    d->wait = f;
    return f;
}

static void oidc_begin(struct decision *d)
{
    struct oidc_flow *f = d->wait;

    if (!f->kept)
        f = oidc_keep(d);
    switch (f->want) {
    case OIDC_WANT_DISCOVERY:
        oidc_provider_wait(d, d->at->data, f);
        break;
    case OIDC_WANT_KEYS:
        MUST(oidc_tokens_source(d->arena, d->at->data, f->url, &f->source));
        jwks_join(d, &f->source, &f->keys);
        break;
    case OIDC_WANT_TOKENS:
        oidc_ask_tokens(d, f);
        break;
    case OIDC_WANT_POLL:
        f->timer = (struct net_timer){.fire = oidc_timed};
        timer_arm(d->c->opts.reactor, &f->timer, OIDC_POLL_MS);
        break;
    }
}

/* ---- which way ---- */

static bool oidc_is_callback(struct decision *d, const struct oidc_step *o, bool *trouble)
{
    size_t n = 0;
    enum rc rc;

    if (slice_eq(d->path, o->callback_path))
        return true;
    if (!o->callback_re)
        return false;
    rc = regex_match(o->callback_re, d->path, NULL, 0, &n);
    *trouble = rc != RC_OK && rc != RC_NOTFOUND;
    return rc == RC_OK;
}

/* RFC 6265 5.1.3 */
static bool oidc_in_domain(struct slice host, struct slice domain)
{
    if (domain.n > 0 && domain.p[0] == '.')
        domain = slice_from(domain, 1);
    if (host.n < domain.n || !slice_eq_ci(slice_from(host, host.n - domain.n), domain))
        return false;
    return host.n == domain.n || host.p[host.n - domain.n - 1] == '.';
}

static enum step_said oidc_session_way(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    enum rc rc = oidc_session_find(d, o, &f->session, &f->hash);
    int64_t now = d->c->now_ms;

    if (rc == RC_IO && o->fail_on_fetch)
        return oidc_trouble(d, "session_store");
    if (rc != RC_OK)
        return oidc_login_begin(d, s, f);
    if (now < f->session.expires_ms - (o->refreshes && f->session.refresh_token.n ? o->pre_expiry_ms : 0))
        return oidc_accept(d, s, &f->session);
    if (o->refreshes && f->session.refresh_token.n)
        return oidc_refresh_begin(d, s, f);
    oidc_session_end(d, o, &f->session, f->hash);
    return oidc_login_begin(d, s, f);
}

static enum step_said oidc_start(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    bool trouble = false;

    if (o->target_domain.n && !oidc_in_domain(d->host, o->target_domain))
        return oidc_deny(d, s, 403, "wrong_domain", "this host is not within the session's domain");
    if (oidc_is_callback(d, o, &trouble))
        return oidc_callback_begin(d, s, f);
    if (trouble)
        return oidc_trouble(d, "regex_limit");
    if (o->logout_path.n && slice_eq(d->path, o->logout_path))
        return oidc_logout(d, s, f);
    if (o->front_logout_path.n && slice_eq(d->path, o->front_logout_path))
        return oidc_logout_front(d, s);
    return oidc_session_way(d, s, f);
}

enum step_said step_oidc_run(struct decision *d, const struct step *s)
{
    static enum step_said (*const ways[])(struct decision *, const struct step *, struct oidc_flow *) = {
        oidc_start, oidc_callback_code, oidc_callback_new, oidc_refresh_answer, oidc_refresh_renewed};
    struct oidc_flow *f = d->wait, first = {0};
    enum step_said said;

    said = ways[f ? f->stage : OIDC_AT_START](d, s, f ? f : &first);
    if (said != STEP_WAIT)
        return said;
    if (!f) {
        f = ARENA_NEW(d->arena, struct oidc_flow);
        *f = first;
        d->wait = f;
    }
    d->begin = oidc_begin;
    return STEP_WAIT;
}
