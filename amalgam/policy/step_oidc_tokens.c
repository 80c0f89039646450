/*
 * step_oidc_tokens.c - the token endpoint: codes and refresh tokens become tokens; id tokens are verified.
 *
 * The client shows itself as the provider wants: client_secret_basic (default), client_secret_post, a signed
 * assertion (RFC 7523), or not at all. An id token counts when its signature is the provider's, issuer and
 * audience are exact, it is not over, its nonce is this login's and at_hash, when there, fits the access
 * token. A refresh happens once per session at a time, over all threads and processes: a mark in the
 * store; the others pass while their tokens last, else look again until the new ones are there. A
 * provider that refuses a refresh token has ended the session; one that cannot be reached has not.
 * Tested by tests/unit/policy/test_oidc.c.
 */
#include "policy/step_oidc.h"
#include "wire/hash.h"

enum { OIDC_TOKENS_SKEW_S = 30, OIDC_TOKENS_LEAST_MS = 1000, OIDC_TOKENS_PARAMS_MAX = 32, OIDC_TOKENS_PARAM_MAX = 1024 };

/* ---- asking ---- */

static bool oidc_tokens_assertion(struct decision *d, const struct oidc_step *o, struct slice aud,
                                  struct slice *out)
{
    int64_t now_s = d->c->now_ms / 1000;
    struct buf b;
    struct jsonw w;
    bool ok;

    buf_init(&b, 8192);
    jsonw_init(&w, &b);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("iss"), o->client_id);
    jsonw_kstr(&w, S("sub"), o->client_id);
    jsonw_kstr(&w, S("aud"), aud);
    jsonw_kstr(&w, S("jti"), oidc_random(d->arena));
    jsonw_ki64(&w, S("iat"), now_s);
    jsonw_ki64(&w, S("exp"), now_s + o->client_valid_s);
    jsonw_end_obj(&w);
    ok = jwt_sign(d->arena, o->client_pem, o->client_kid, buf_all(&b), out, NULL) == RC_OK;
    buf_free(&b);
    return ok;
}

static struct slice oidc_tokens_basic(struct arena *a, const struct oidc_step *o)
{
    struct slice pair = arena_fmt(a, "%.*s:%.*s", SFMT(url_encode(a, o->client_id)),
                                  SFMT(url_encode(a, o->client_secret)));
    char *text = arena_alloc(a, B64_LEN(pair.n));

    return arena_fmt(a, "Basic %.*s", (int)b64_encode(text, pair.p, pair.n), text);
}

/* Adds who asks to the form, or an Authorization header. */
static bool oidc_tokens_client(struct decision *d, const struct oidc_step *o, const struct oidc_endpoints *e,
                               struct slice *form, struct slice *auth)
{
    struct arena *a = d->arena;
    struct slice proof = S("");

    *auth = S("");
    if (o->client == OIDC_CLIENT_SECRET && (e->basic_ok || !e->post_ok)) {
        *auth = oidc_tokens_basic(a, o);
        return true;
    }
    if (o->client == OIDC_CLIENT_SECRET) {
        proof = arena_fmt(a, "&client_secret=%.*s", SFMT(url_encode(a, o->client_secret)));
    } else if (o->client == OIDC_CLIENT_KEY) {
        if (!oidc_tokens_assertion(d, o, e->token, &proof)) {
            (void)oidc_trouble(d, "client_key");
            return false;
        }
        proof = arena_fmt(a, "&client_assertion_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Aclient-assertion-type"
                          "%%3Ajwt-bearer&client_assertion=%.*s", SFMT(proof));
    }
    *form = arena_fmt(a, "%.*s&client_id=%.*s%.*s", SFMT(*form), SFMT(url_encode(a, o->client_id)), SFMT(proof));
    return true;
}

/* Members that are text, numbers or yes and no; those of "authEndpointQueryParams" for the one, of
 * "tokenEndpointQueryParams" for the other, all else for both. What we send ourselves is left out. */
static void oidc_tokens_members(struct decision *d, const struct json *from, bool token, struct slice *to, size_t *n)
{
    for (uint32_t i = 0; from && from->kind == JSON_OBJ && i < from->n; i++) {
        struct slice name = from->members[i].name, value = S("");
        const struct json *j = &from->members[i].value;
        if (j->kind != JSON_OBJ && j->kind != JSON_ARR && j->kind != JSON_NULL)
            value = jwt_claim_text(d->arena, j);
        if (value.n == 0 || name.n == 0 || name.n + value.n > OIDC_TOKENS_PARAM_MAX || oidc_param_ours(token, name) ||
            ++*n > OIDC_TOKENS_PARAMS_MAX)
            continue;
        *to = arena_fmt(d->arena, "%.*s&%.*s=%.*s", SFMT(*to), SFMT(url_encode(d->arena, name)),
                        SFMT(url_encode(d->arena, value)));
    }
}

struct slice oidc_tokens_params(struct decision *d, const struct oidc_step *o, bool token)
{
    const struct json *space = o->metadata_space.n ? json_get(d->ask->metadata, o->metadata_space) : NULL;
    struct slice all = S("");
    size_t n = 0;

    oidc_tokens_members(d, space, token, &all, &n);
    oidc_tokens_members(d, json_get(space, token ? S("tokenEndpointQueryParams") : S("authEndpointQueryParams")), token,
                        &all, &n);
    return all;
}

bool oidc_tokens_ask(struct decision *d, const struct oidc_step *o, const struct oidc_endpoints *e,
                     struct slice form, struct oidc_flow *f)
{
    struct slice query = arena_fmt(d->arena, "%.*s%.*s", SFMT(o->token_query), SFMT(oidc_tokens_params(d, o, true)));
    struct fetch_url u;

    f->url = e->token;
    if (query.n)
        f->url = arena_fmt(d->arena, "%.*s%s%.*s", SFMT(e->token),
                           slice_index(e->token, '?') == SIZE_MAX ? "?" : "&", SFMT(slice_from(query, 1)));
    if (fetch_url_parse(d->arena, f->url, &u, NULL) != RC_OK) {
        (void)oidc_trouble(d, "idp_malformed");
        return false;
    }
    f->body = form;
    return oidc_tokens_client(d, o, e, &f->body, &f->auth);
}

static void oidc_tokens_forget(void *user, const struct fetch_reply *r)
{
    (void)user;
    (void)r;
}

void oidc_tokens_revoke(struct decision *d, const struct oidc_step *o, const struct oidc_endpoints *e,
                        struct slice token, const char *hint)
{
    struct arena *a = d->arena;
    struct slice form, auth;
    struct fetch_req q = {.method = S("POST"), .timeout_ms = OIDC_FETCH_MS, .reply_bytes_max = OIDC_REPLY_BYTES};

    if (!token.n || !e->revoke.n || !d->c->opts.fetcher || fetch_url_parse(a, e->revoke, &q.url, NULL) != RC_OK)
        return;
    form = arena_fmt(a, "token=%.*s&token_type_hint=%s", SFMT(url_encode(a, token)), hint);
    if (!oidc_tokens_client(d, o, e, &form, &auth))
        return;
    struct http_header h[2] = {{S("content-type"), S("application/x-www-form-urlencoded")},
                               {S("authorization"), auth}};
    q.headers = h;
    q.headers_n = auth.n ? 2 : 1;
    q.body = form;
    (void)fetch_start(d->c->opts.fetcher, &q, oidc_tokens_forget, NULL);
}

/* ---- the answer ---- */

static bool oidc_tokens_ok(struct slice token)
{
    return token.n <= OIDC_TOKEN_BYTES && slice_printable(token) && slice_index(token, ' ') == SIZE_MAX;
}

static enum rc oidc_tokens_refused(const struct oidc_flow *f, const struct json *j, struct slice *fault)
{
    struct slice error = json_str(j, S("error"));

    *fault = S("the token endpoint is in trouble");
    if (f->status < 400 || f->status >= 500 || f->status == 429 || f->status == 408)
        return RC_IO;
    if (slice_eq(error, S("invalid_client")) || slice_eq(error, S("unauthorized_client"))) {
        *fault = S("the token endpoint does not know this client: look at clientId and its secret");
        return RC_IO;
    }
    return RC_DENIED;
}

enum rc oidc_tokens_take(struct decision *d, const struct oidc_step *o, struct oidc_flow *f,
                         struct slice *fault)
{
    struct oidc_session *x = &f->session;
    struct json *j = NULL;
    struct slice type, refresh;
    int64_t lives_s;

    *fault = S("the token endpoint cannot be reached");
    if (f->rc != RC_OK)
        return RC_IO;
    if (json_parse(d->arena, f->answer, OIDC_REPLY_BYTES, &j, NULL) != RC_OK)
        j = NULL;
    if (f->status != 200)
        return oidc_tokens_refused(f, j, fault);
    *fault = S("the answer of the token endpoint is malformed");
    type = json_str(j, S("token_type"));
    x->access_token = json_str(j, S("access_token"));
    if (x->access_token.n == 0 || (type.n && !slice_eq_ci(type, S("bearer"))))
        return RC_BADINPUT;
    x->id_token = o->plain ? S("") : json_str(j, S("id_token"));
    refresh = json_str(j, S("refresh_token"));
    if (refresh.n)
        x->refresh_token = refresh; /* else the one that there was stays */
    if (!oidc_tokens_ok(x->access_token) || !oidc_tokens_ok(x->id_token) || !oidc_tokens_ok(x->refresh_token))
        return RC_BADINPUT;
    lives_s = json_int(j, S("expires_in"), 0);
    x->expires_ms = lives_s > 0 && lives_s < INT64_C(400) * 24 * 3600 ? d->c->now_ms + lives_s * 1000 : 0;
    return RC_OK;
}

/* ---- the id token ---- */

static bool oidc_tokens_at_hash(const struct jwt *t, struct slice access)
{
    struct slice want = json_str(t->claims, S("at_hash"));
    uint8_t digest[64];
    char text[B64_LEN(32) + 4];
    size_t n = 0;

    if (!json_get(t->claims, S("at_hash")))
        return true;
    jwt_digest(t->alg, access, digest, &n);
    return slice_eq(slice_of(text, b64url_encode(text, digest, n / 2)), want);
}

/* NULL, or the reason why the token is not for us. */
static const char *oidc_tokens_for_us(const struct jwt *t, const struct oidc_step *o, struct slice nonce,
                                      struct slice sub, struct slice access)
{
    const struct json *azp = json_get(t->claims, S("azp")), *aud = json_get(t->claims, S("aud"));
    struct slice given = json_str(t->claims, S("nonce")), who = json_str(t->claims, S("sub"));

    if (nonce.n ? !slice_eq_secret(given, nonce) : false)
        return "nonce_mismatch";
    if (azp ? !slice_eq(json_str(t->claims, S("azp")), o->client_id) : aud && aud->kind == JSON_ARR && aud->n > 1)
        return "token_wrong_party";
    if (who.n == 0 || who.n > 512 || (sub.n && !slice_eq(who, sub)))
        return "token_wrong_subject";
    return oidc_tokens_at_hash(t, access) ? NULL : "at_hash_mismatch";
}

bool oidc_tokens_source(struct arena *a, const struct oidc_step *o, struct slice url, struct jwks_source *out)
{
    *out = (struct jwks_source){.text = S(""), .refresh_ms = o->poll_ms, .timeout_ms = OIDC_FETCH_MS,
                                .unknown_max = o->unknown_max, .unknown_gap_ms = o->unknown_gap_ms};
    if (fetch_url_parse(a, url, &out->url, NULL) != RC_OK)
        return false;
    jwks_source_name(out, url);
    return true;
}

static enum step_said oidc_tokens_keys(struct decision *d, const struct oidc_step *o, struct oidc_flow *f,
                                       const struct jwt *t, struct oidc_endpoints *e, struct jwks **keys,
                                       enum oidc_stage again)
{
    enum oidc_got got = oidc_provider_get(d, o, e);
    enum jwks_said said = JWKS_NONE;
    struct jwks_source source;
    struct jwks_got found;

    if (got == OIDC_GOT_WAIT)
        return oidc_wait(f, again, OIDC_WANT_DISCOVERY);
    if (got == OIDC_GOT && oidc_tokens_source(d->arena, o, e->jwks, &source))
        said = jwks_get(d->c, &source, t, &f->keys, &found);
    if (said == JWKS_NONE)
        return oidc_trouble(d, "idp_unavailable");
    f->url = e->jwks;
    if (said == JWKS_WAIT)
        return oidc_wait(f, again, OIDC_WANT_KEYS);
    *keys = found.keys;
    return STEP_PASS;
}

enum step_said oidc_tokens_verify(struct decision *d, const struct step *s, struct oidc_flow *f,
                                  struct slice nonce, enum oidc_stage again)
{
    const struct oidc_step *o = s->data;
    struct oidc_session *x = &f->session;
    struct jwt_want want = {.audiences = &o->client_id, .audiences_n = 1, .skew_s = OIDC_TOKENS_SKEW_S};
    struct oidc_endpoints e;
    struct jwks *keys = NULL;
    struct jwt t;
    enum jwt_fault fault;
    enum step_said said;
    const char *why;

    if (x->id_token.n == 0) {
        x->expires_ms = x->expires_ms ? x->expires_ms : d->c->now_ms + OIDC_TOKEN_MS;
        return STEP_PASS;
    }
    fault = jwt_parse(d->arena, x->id_token, &t);
    if (fault == JWT_OK) {
        said = oidc_tokens_keys(d, o, f, &t, &e, &keys, again);
        if (said != STEP_PASS)
            return said;
        fault = jwt_verify(&t, keys, o->algs);
        want.issuer = e.issuer;
    }
    if (fault == JWT_OK)
        fault = jwt_check(&t, &want, d->c->now_ms);
    if (fault != JWT_OK)
        return oidc_deny(d, s, 403, jwt_fault_row(fault)->reason, "the id token of the provider does not count");
    why = oidc_tokens_for_us(&t, o, nonce, x->sub, x->access_token);
    if (why)
        return oidc_deny(d, s, 403, why, "the id token of the provider is not for this sign-in");
    x->sub = json_str(t.claims, S("sub"));
    x->sid = json_str(t.claims, S("sid"));
    if (t.exp_ms != JWT_NO_DATE)
        x->expires_ms = x->expires_ms ? MIN(x->expires_ms, t.exp_ms) : t.exp_ms;
    return STEP_PASS;
}

/* ---- refresh ---- */

static struct slice oidc_refresh_lock(struct decision *d, const struct oidc_step *o, struct slice hash)
{
    return oidc_entry(d->arena, o, "lock:", hash);
}

static enum step_said oidc_refresh_other(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    if (d->c->now_ms < f->session.expires_ms)
        return oidc_accept(d, s, &f->session);
    if (!d->c->opts.reactor)
        return oidc_trouble(d, "no_outbound");
    if (f->poll_until_ms == 0)
        f->poll_until_ms = d->c->now_ms + OIDC_POLL_MAX_MS;
    if (d->c->now_ms >= f->poll_until_ms)
        return oidc_trouble(d, "refresh_timeout");
    return oidc_wait(f, OIDC_AT_START, OIDC_WANT_POLL);
}

/* The provider cannot be asked: what there is counts as long as it lasts. */
static enum step_said oidc_refresh_unable(struct decision *d, const struct step *s, struct oidc_flow *f,
                                          const char *reason)
{
    oidc_unmark(d, oidc_refresh_lock(d, s->data, f->hash));
    return d->c->now_ms < f->session.expires_ms ? oidc_accept(d, s, &f->session) : oidc_trouble(d, reason);
}

enum step_said oidc_refresh_begin(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    struct oidc_endpoints e;
    struct slice form;

    switch (oidc_provider_get(d, o, &e)) {
    case OIDC_GOT_WAIT:
        return oidc_wait(f, OIDC_AT_START, OIDC_WANT_DISCOVERY);
    case OIDC_GOT_NONE:
        return oidc_refresh_unable(d, s, f, "idp_unavailable");
    case OIDC_GOT:
        break;
    }
    if (!d->c->opts.fetcher)
        return oidc_refresh_unable(d, s, f, "no_outbound");
    if (!oidc_mark(d, oidc_refresh_lock(d, o, f->hash), OIDC_LOCK_MS))
        return oidc_refresh_other(d, s, f);
    form = arena_fmt(d->arena, "grant_type=refresh_token&refresh_token=%.*s",
                     SFMT(url_encode(d->arena, f->session.refresh_token)));
    if (!oidc_tokens_ask(d, o, &e, form, f))
        return STEP_TROUBLE;
    return oidc_wait(f, OIDC_AT_REFRESH, OIDC_WANT_TOKENS);
}

static enum step_said oidc_refresh_over(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    oidc_session_end(d, s->data, &f->session, f->hash);
    oidc_unmark(d, oidc_refresh_lock(d, s->data, f->hash));
    return oidc_login_begin(d, s, f);
}

enum step_said oidc_refresh_answer(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    struct oidc_session old = f->session;
    struct slice fault;
    enum rc rc = oidc_tokens_take(d, s->data, f, &fault);

    if (rc == RC_OK)
        return oidc_refresh_renewed(d, s, f);
    f->session = old;
    if (rc == RC_DENIED)
        return oidc_refresh_over(d, s, f);
    d->v->words = fault;
    return oidc_refresh_unable(d, s, f, "idp_unavailable");
}

/* Without a new id token the old one goes on being handed to the upstream. */
static void oidc_refresh_keep_id(struct decision *d, const struct oidc_step *o, struct oidc_session *x)
{
    struct oidc_session before;
    struct slice hash;

    if (!o->plain && x->id_token.n == 0 && oidc_session_find(d, o, &before, &hash) == RC_OK)
        x->id_token = before.id_token;
}

enum step_said oidc_refresh_renewed(struct decision *d, const struct step *s, struct oidc_flow *f)
{
    const struct oidc_step *o = s->data;
    struct oidc_session *x = &f->session;
    struct slice sid = x->sid;
    enum step_said said = oidc_tokens_verify(d, s, f, S(""), OIDC_AT_RENEWED);
    enum rc rc;

    if (said == STEP_WAIT)
        return said;
    if (said != STEP_PASS) {
        oidc_session_end(d, o, x, f->hash);
        oidc_unmark(d, oidc_refresh_lock(d, o, f->hash));
        return said;
    }
    x->sid = sid; /* what the entry for it was made with */
    oidc_refresh_keep_id(d, o, x);
    x->expires_ms = MAX(x->expires_ms, d->c->now_ms + o->pre_expiry_ms + OIDC_TOKENS_LEAST_MS);
    rc = oidc_session_put(d, o, x, f->hash, false);
    oidc_unmark(d, oidc_refresh_lock(d, o, f->hash));
    if (rc == RC_NOTFOUND) /* ended meanwhile */
        return oidc_login_begin(d, s, f);
    return rc == RC_OK ? oidc_accept(d, s, x) : oidc_trouble(d, "session_store");
}
