/*
 * step_token.c - oauth2.accessTokenValidation: the bearer token of an API call is a good one.
 *
 * A JWT is verified with the issuer's keys; an opaque token is shown to the introspection endpoint, any
 * token to userinfo when that is configured. What they say becomes state for later steps (jwtAccessToken,
 * introspection), headers for the upstream and metadata for the gateway. Gloo answers 403 whatever is
 * wrong, so we do; the reason says what. The token itself goes on to the upstream: it is the API's to read.
 * One policy_ctx, its thread. Tested by tests/unit/policy/test_jwt_steps.c.
 */
#include "policy/step_token.h"


struct step_token_remote {
    const struct yaml *self;
    struct slice url, refresh;
};
struct step_token_local {
    const struct yaml *self;
    struct slice text;
};
struct step_token_jwt {
    struct doc_rule rule;
    struct step_token_remote *remote;
    struct step_token_local *local;
};
struct step_token_scopes {
    struct field_strs scope;
};
struct step_token_provider {
    const struct yaml *azure;
};
struct step_token_doc {
    struct step_token_jwt *jwt;
    struct doc_introspection *introspection;
    struct slice introspection_url, userinfo_url, cache;
    struct step_token_scopes *scopes;
    struct field_list headers; /* struct doc_claim_header */
    struct field_pairs metadata;
    struct step_token_provider *provider;
};

/* clang-format off */
static const struct field_row step_token_remote_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct step_token_remote, self), 0, 0, 0, NULL, NULL, ""},
    {"url", FIELD_STR, offsetof(struct step_token_remote, url), FIELD_REQUIRED, 0, 0, NULL, NULL, "where the JWK Set is"},
    {"refreshInterval", FIELD_STR, offsetof(struct step_token_remote, refresh), 0, 0, 0, NULL, NULL, "how often it is fetched again; 5m when absent"},
};
static const struct field_table step_token_remote_table = {sizeof(struct step_token_remote), step_token_remote_rows, ARRAY_LEN(step_token_remote_rows)};
static const struct field_row step_token_local_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct step_token_local, self), 0, 0, 0, NULL, NULL, ""},
    {"inlineString", FIELD_STR, offsetof(struct step_token_local, text), FIELD_REQUIRED, 0, 0, NULL, NULL, "the JWK Set itself"},
};
static const struct field_table step_token_local_table = {sizeof(struct step_token_local), step_token_local_rows, ARRAY_LEN(step_token_local_rows)};
static const struct field_row step_token_jwt_rows[] = {
    {"remoteJwks", FIELD_OBJ, offsetof(struct step_token_jwt, remote), 0, 0, 0, &step_token_remote_table, NULL, "keys of the issuer, fetched"},
    {"localJwks", FIELD_OBJ, offsetof(struct step_token_jwt, local), 0, 0, 0, &step_token_local_table, NULL, "keys of the issuer, as text"},
    {"issuer", FIELD_STR, offsetof(struct step_token_jwt, rule.issuer), 0, 0, 0, NULL, NULL, "what iss must be; any when absent"},
    {"audiences", FIELD_STRS, offsetof(struct step_token_jwt, rule.audiences), 0, 0, 0, NULL, NULL, "one of them must be in aud; any when absent"},
    {"algorithms", FIELD_STRS, offsetof(struct step_token_jwt, rule.algorithms), 0, 0, 0, NULL, NULL, "the only ones; else all that the keys allow (Postern's own)"},
    {"clockSkewSeconds", FIELD_STR, offsetof(struct step_token_jwt, rule.skew), 0, 0, 0, NULL, NULL, "by how much clocks may differ; 60 (Postern's own)"},
    {"allowMissingExpiration", FIELD_BOOL, offsetof(struct step_token_jwt, rule.no_exp_ok), 0, 0, 0, NULL, NULL, "take tokens without exp (Postern's own)"},
};
static const struct field_table step_token_jwt_table = {sizeof(struct step_token_jwt), step_token_jwt_rows, ARRAY_LEN(step_token_jwt_rows)};
static const struct field_row step_token_ref_rows[] = {
    {"name", FIELD_STR, offsetof(struct doc_ref, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the Secret"},
    {"namespace", FIELD_STR, offsetof(struct doc_ref, ns), 0, 0, 0, NULL, NULL, "its namespace"},
};
static const struct field_table step_token_ref_table = {sizeof(struct doc_ref), step_token_ref_rows, ARRAY_LEN(step_token_ref_rows)};
static const struct field_row step_token_intro_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct doc_introspection, self), 0, 0, 0, NULL, NULL, ""},
    {"introspectionUrl", FIELD_STR, offsetof(struct doc_introspection, url), FIELD_REQUIRED, 0, 0, NULL, NULL, "endpoint (RFC 7662) that is asked about each token"},
    {"clientId", FIELD_STR, offsetof(struct doc_introspection, client_id), 0, 0, 0, NULL, NULL, "who asks"},
    {"clientSecretRef", FIELD_OBJ, offsetof(struct doc_introspection, secret), 0, 0, 0, &step_token_ref_table, NULL, "Secret with client-secret"},
    {"disableClientSecret", FIELD_BOOL, offsetof(struct doc_introspection, no_secret), 0, 0, 0, NULL, NULL, "ask with clientId alone"},
    {"userIdAttributeName", FIELD_STR, offsetof(struct doc_introspection, user), 0, 0, 0, NULL, NULL, "member of the answer that names the user; sub when absent"},
};
static const struct field_table step_token_intro_table = {sizeof(struct doc_introspection), step_token_intro_rows, ARRAY_LEN(step_token_intro_rows)};
static const struct field_row step_token_scope_rows[] = {
    {"scope", FIELD_STRS, offsetof(struct step_token_scopes, scope), 0, 0, 0, NULL, NULL, "scopes that the token must all have"},
};
static const struct field_table step_token_scope_table = {sizeof(struct step_token_scopes), step_token_scope_rows, ARRAY_LEN(step_token_scope_rows)};
static const struct field_row step_token_provider_rows[] = {
    {"default", FIELD_QUIET, 0, 0, 0, 0, NULL, NULL, "read and not needed"},
    {"azure", FIELD_NODE, offsetof(struct step_token_provider, azure), 0, 0, 0, NULL, NULL, "not served: the routes are denied"},
};
static const struct field_table step_token_provider_table = {sizeof(struct step_token_provider), step_token_provider_rows, ARRAY_LEN(step_token_provider_rows)};
static const struct field_row step_token_claim_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct doc_claim_header, self), 0, 0, 0, NULL, NULL, ""},
    {"claim", FIELD_STR, offsetof(struct doc_claim_header, claim), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the claim; dots lead into objects"},
    {"header", FIELD_STR, offsetof(struct doc_claim_header, header), FIELD_REQUIRED, 0, 0, NULL, NULL, "header for the upstream"},
    {"append", FIELD_BOOL, offsetof(struct doc_claim_header, append), 0, 0, 0, NULL, NULL, "behind what policies have set already, with a comma"},
};
static const struct field_table step_token_claim_table = {sizeof(struct doc_claim_header), step_token_claim_rows, ARRAY_LEN(step_token_claim_rows)};
static const struct field_row step_token_rows[] = {
    {"jwt", FIELD_OBJ, offsetof(struct step_token_doc, jwt), 0, 0, 0, &step_token_jwt_table, NULL, "the token is a JWT"},
    {"introspection", FIELD_OBJ, offsetof(struct step_token_doc, introspection), 0, 0, 0, &step_token_intro_table, NULL, "the token is shown to its issuer"},
    {"introspectionUrl", FIELD_STR, offsetof(struct step_token_doc, introspection_url), 0, 0, 0, NULL, NULL, "older place of introspection.introspectionUrl"},
    {"userinfoUrl", FIELD_STR, offsetof(struct step_token_doc, userinfo_url), 0, 0, 0, NULL, NULL, "endpoint that tells about the token's user"},
    {"cacheTimeout", FIELD_STR, offsetof(struct step_token_doc, cache), 0, 0, 0, NULL, NULL, "how long a result is believed; 10m when absent, 0 never"},
    {"requiredScopes", FIELD_OBJ, offsetof(struct step_token_doc, scopes), 0, 0, 0, &step_token_scope_table, NULL, "scopes that the token must have"},
    {"claimsToHeaders", FIELD_LIST, offsetof(struct step_token_doc, headers), 0, 0, 0, &step_token_claim_table, NULL, "headers for the upstream from claims"},
    {"dynamicMetadataFromClaims", FIELD_PAIRS, offsetof(struct step_token_doc, metadata), 0, 0, 0, NULL, NULL, "metadata for the gateway from claims: name and claim"},
    {"provider", FIELD_OBJ, offsetof(struct step_token_doc, provider), 0, 0, 0, &step_token_provider_table, NULL, "default"},
};
/* clang-format on */

const struct field_table *step_token_fields(void)
{
    static const struct field_table table = {sizeof(struct step_token_doc), step_token_rows,
                                             ARRAY_LEN(step_token_rows)};
    return &table;
}

/* ---- compiling ---- */

enum { STEP_TOKEN_CACHE_MS = 10 * 60 * 1000 };

static bool step_token_compile_jwt(struct load *l, const struct field_in *in, const struct yaml *y,
                                   const struct step_token_jwt *j, int64_t cache_ms,
                                   struct token_rule **out)
{
    struct token_rule *r = ARENA_NEW(&l->set->arena, struct token_rule);
    int flags = JWKS_NEED_KID | JWKS_SYMMETRIC;

    if (!j->remote == !j->local) {
        fault_add(in, false, y, NULL, "jwt: expected one of remoteJwks and localJwks");
        return false;
    }
    if (j->local ? !jwks_source_local(l, in, j->local->self, j->local->text, flags, &r->keys)
                 : !jwks_source_remote(l, in, j->remote->self, j->remote->url, j->remote->refresh, S(""),
                                       flags, &r->keys))
        return false;
    r->need_kid = true;
    r->cache_ms = cache_ms;
    *out = r;
    return token_rule_compile(l, in, y, &j->rule, r);
}

static bool step_token_compile_calls(struct load *l, const struct field_in *in, const struct yaml *y,
                                     const struct step_token_doc *d, int64_t cache_ms, struct slice ns,
                                     struct token_step *t)
{
    struct doc_introspection older = {.self = y, .url = d->introspection_url, .no_secret = true};
    struct doc_introspection userinfo = {.self = y, .url = d->userinfo_url, .no_secret = true};
    const struct doc_introspection *i = d->introspection ? d->introspection : &older;

    if (i->url.n && !step_token_call_compile(l, in, i->self, i, false, cache_ms, ns, &t->calls[0]))
        return false;
    t->user = i->user.n ? i->user : S("sub");
    return !userinfo.url.n ||
           step_token_call_compile(l, in, y, &userinfo, true, cache_ms, ns, &t->calls[1]);
}

static void step_token_identity(struct load *l, const struct token_step *t, struct step *out)
{
    struct slice *names = ARENA_ARRAY(&l->set->arena, struct slice, t->headers.n + 1);

    for (size_t i = 0; i < t->headers.n; i++)
        names[i] = t->headers.v[i].header;
    out->identity = names;
    out->identity_n = t->headers.n;
}

bool step_token_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                        struct step *out)
{
    const struct step_token_doc *d = doc;
    struct token_step *t = ARENA_NEW(&l->set->arena, struct token_step);
    struct slice rest, ns = slice_cut(out->policy, '.', &rest);
    int64_t cache_ms = 0;

    if (!token_duration(in, y, "cacheTimeout", d->cache, STEP_TOKEN_CACHE_MS, &cache_ms) ||
        (d->jwt && !step_token_compile_jwt(l, in, y, d->jwt, cache_ms, &t->rule)) ||
        !step_token_compile_calls(l, in, y, d, cache_ms, ns, t) ||
        !claim_headers_compile(l, in, &d->headers, &t->headers))
        return false;
    if (d->jwt && t->calls[0]) {
        fault_add(in, false, y, NULL, "expected one of jwt and introspection");
        return false;
    }
    if (!d->jwt && !t->calls[0] && !t->calls[1]) {
        fault_add(in, false, y, NULL, "expected jwt, introspection or userinfoUrl");
        return false;
    }
    if (d->scopes)
        t->scopes = d->scopes->scope;
    t->metadata = d->metadata;
    step_token_identity(l, t, out);
    out->data = t;
    out->denies = d->provider && d->provider->azure;
    if (out->denies)
        fault_add(in, true, d->provider->azure, NULL, "provider azure is not served: the routes are denied");
    return true;
}

/* ---- running ---- */

/* As the upstream would see it: a step before may have set the header, or taken it away. */
struct slice step_token_bearer(struct decision *d, size_t *n)
{
    struct slice value = S("");

    if (decision_find(d->v->upstream, d->v->upstream_n, S("authorization")))
        *n = 1;
    else
        (void)decision_only_header(d, S("authorization"), n);
    if (!decision_header(d, S("authorization"), &value) || !slice_starts_ci(value, S("bearer ")))
        return S("");
    return slice_trim(slice_from(value, 7));
}

static enum step_said step_token_deny(struct decision *d, const struct step *s, const char *reason,
                                      const char *words)
{
    decision_deny(d, 403, slice_str(reason), slice_str(words), s->rule);
    return STEP_DENY;
}

static enum step_said step_token_trouble(struct decision *d, const char *reason)
{
    d->trouble = slice_str(reason);
    return STEP_TROUBLE;
}

static enum step_said step_token_jwt(struct decision *d, const struct step *s, struct slice token,
                                     const struct json **claims)
{
    const struct token_step *t = s->data;
    struct token_found found;

    switch (token_check(d, t->rule, token, &found)) {
    case TOKEN_GOOD: break;
    case TOKEN_WAIT: return STEP_WAIT;
    case TOKEN_TROUBLE:
        return step_token_trouble(d, slice_eq(slice_str(found.why), S("no_outbound")) ? "no_outbound"
                                                                                     : "jwks_unavailable");
    case TOKEN_BAD: {
        const struct jwt_fault_row *row = jwt_fault_row(found.fault);
        return step_token_deny(d, s, row->reason, row->words);
    }
    }
    *claims = found.claims;
    decision_state_put(d, S("jwtAccessToken"), *claims);
    return STEP_PASS;
}

/* Introspection, then userinfo; the members of both become state. */
static enum step_said step_token_calls(struct decision *d, const struct step *s, struct slice token,
                                       const struct json **said)
{
    static const char *const words[] = {"the issuer says that the token is not active",
                                        "the userinfo endpoint does not take the token"};
    const struct token_step *t = s->data;

    for (size_t i = 0; i < ARRAY_LEN(t->calls); i++) {
        const struct json *one = NULL;
        const char *why = "";
        if (!t->calls[i])
            continue;
        switch (step_token_ask(d, t->calls[i], token, &one, &why)) {
        case TOKEN_GOOD: break;
        case TOKEN_WAIT: return STEP_WAIT;
        case TOKEN_TROUBLE: return step_token_trouble(d, why);
        case TOKEN_BAD: return step_token_deny(d, s, "token_inactive", words[i]);
        }
        if (*said) { /* the first to name a member wins */
            struct json *both = ARENA_NEW(d->arena, struct json);
            *both = (struct json){.kind = JSON_OBJ};
            both->members = ARENA_ARRAY(d->arena, struct json_member, (*said)->n + one->n);
            memcpy(both->members, (*said)->members, (*said)->n * sizeof *both->members);
            both->n = (*said)->n;
            for (uint32_t k = 0; k < one->n; k++)
                if (!json_get(*said, one->members[k].name))
                    both->members[both->n++] = one->members[k];
            one = both;
        }
        *said = one;
    }
    if (*said)
        decision_state_put(d, S("introspection"), *said);
    return STEP_PASS;
}

static struct slice step_token_user(const struct token_step *t, const struct json *claims)
{
    struct slice user = json_str(claims, t->user);

    return user.n ? user : json_str(claims, S("username"));
}

enum step_said step_token_run(struct decision *d, const struct step *s)
{
    const struct token_step *t = s->data;
    const struct json *claims = NULL, *said = NULL;
    enum step_said done = STEP_PASS;
    size_t n = 0;
    struct slice token = step_token_bearer(d, &n);

    if (n > 1)
        return step_token_deny(d, s, "token_duplicate", "Authorization was sent twice");
    if (token.n == 0)
        return step_token_deny(d, s, "token_missing", "the request has no bearer token");
    if (t->rule)
        done = step_token_jwt(d, s, token, &claims);
    if (done == STEP_PASS)
        done = step_token_calls(d, s, token, &said);
    if (done != STEP_PASS)
        return done;
    claims = claims ? claims : said;
    for (size_t i = 0; i < t->scopes.n; i++)
        if (!jwt_has_scope(claims, t->scopes.v[i]))
            return step_token_deny(d, s, "scope_missing", "the token lacks a scope that this policy requires");
    if (!claim_headers_set(d, &t->headers, claims))
        return step_token_trouble(d, "claim_invalid");
    for (size_t i = 0; i < t->metadata.n; i++) {
        const struct json *claim = jwt_claim(claims, t->metadata.v[i].value, '.');
        if (claim)
            decision_metadata(d, s->name, t->metadata.v[i].name, claim);
    }
    if (step_token_user(t, claims).n)
        d->v->user = step_token_user(t, claims);
    return STEP_PASS;
}
