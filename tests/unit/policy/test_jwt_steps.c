/*
 * test_jwt_steps.c - oauth2.accessTokenValidation with keys in the policy: who passes, why others do not, what
 * goes on; results that are remembered, and for how long; faults of the YAML. Remote keys and introspection:
 * test_jwks.c. Attacks by their number in docs/security.md.
 */
#include "p.h"

#include "../wire/jwt_vectors.h"
#include "policy/token.h"

#define POLICY \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: t, namespace: n}\nspec:\n config:\n  glooAuth:\n    configs:\n" \
    "    - oauth2:\n        accessTokenValidation:\n"
#define JWT(more) "          jwt:\n" more "            localJwks: {inlineString: '%s'}\n"

static char text[16384];

static const char *policy(const char *body, const char *keys)
{
    snprintf(text, sizeof text, body, keys);
    return text;
}

/* Reason of a GET with this bearer token. */
static const char *reason(const char *token)
{
    char header[4096];
    const char *headers[] = {header, NULL};
    struct policy_verdict v;
    snprintf(header, sizeof header, "authorization: Bearer %s", token);
    v = p_ask("GET", "h.example", "/", token ? headers : NULL);
    T_INT(v.status, v.allowed ? 200 : 403);
    return arena_cstr(&p.arena, v.reason);
}

#define REASON(token, want) T_TEXT(slice_str(reason(token)), want)

static void every_algorithm_passes(void)
{
    T(p_use(policy(POLICY JWT(""), vec_jwks)));
    REASON(vec_rs256, "ok");
    REASON(vec_rs384, "ok");
    REASON(vec_rs512, "ok");
    REASON(vec_ps256, "ok");
    REASON(vec_ps384, "ok");
    REASON(vec_ps512, "ok");
    REASON(vec_es256, "ok");
    REASON(vec_es384, "ok");
    REASON(vec_es512, "ok");
    REASON(vec_eddsa, "ok");
    REASON(vec_hs256, "token_key_unknown");
    T(p_use(policy(POLICY JWT(""), vec_jwks_secret))); /* configured: then it counts */
    REASON(vec_hs256, "ok");
    REASON(vec_hs384, "ok");
    REASON(vec_hs512, "ok");
    REASON(vec_rs256, "token_key_unknown");
}

static void who_does_not_pass(void)
{
    const char *twice[] = {"authorization: Bearer x", "authorization: Bearer y", NULL};
    const char *basic[] = {"authorization: Basic dTpw", NULL};
    T(p_use(policy(POLICY JWT("            issuer: https://idp.example\n            audiences: [shop]\n"), vec_jwks)));
    REASON(vec_rs256, "ok");
    T_TEXT(p_ask("GET", "h", "/", NULL).reason, "token_missing");
    T_INT(p_ask("GET", "h", "/", NULL).status, 403);
    T_TEXT(p_ask("GET", "h", "/", twice).reason, "token_duplicate");
    T_TEXT(p_ask("GET", "h", "/", basic).reason, "token_missing");
    REASON("", "token_missing");
    REASON("x", "token_malformed");
    REASON(vec_rs256_expired, "token_expired");
    REASON(vec_rs256_elsewhere, "token_issuer_wrong");
    REASON(vec_rs256_no_kid, "token_no_kid");
    REASON(vec_rs256_other, "token_key_unknown");
    REASON(vec_rs256_forged, "token_signature_invalid");
    T(p_use(policy(POLICY JWT("            audiences: [bank, SHOP]\n"), vec_jwks)));
    REASON(vec_rs256, "token_audience_wrong");
    T(p_use(policy(POLICY JWT("            algorithms: [ES256, EdDSA]\n"), vec_jwks)));
    REASON(vec_rs256, "token_alg_refused");
    REASON(vec_es256, "ok");
}

static void attacks_30_to_34(void)
{
    T(p_use(policy(POLICY JWT(""), vec_jwks)));
    T_ROW("30");
    REASON("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJleHAiOjk5OTk5OTk5OTl9.", "token_alg_refused");
    T_ROW("31");
    REASON(vec_hs256_by_pem, "token_key_unknown");
    REASON(vec_hs256_by_jwk, "token_key_unknown");
    REASON(vec_hs256_by_n, "token_key_unknown");
    REASON(vec_hs256_by_ec, "token_key_unknown");
    REASON(vec_hs256_empty, "token_key_unknown");
    T_ROW("32");
    REASON(vec_rs256_with_jwk, "token_signature_invalid");
    REASON(vec_rs256_crit, "token_header_invalid");
    T_ROW("34");
    REASON(vec_rs256_small, "token_signature_invalid");
    T(!p_use(policy(POLICY JWT(""), vec_jwks_small)));
    T(p_fault("", "2048") != NULL);
}

/* Attack 35: by the clock of the check, not of the process. */
static void attack_35_time(void)
{
    int64_t now = p.now_ms;
    T(p_use(policy(POLICY JWT("            clockSkewSeconds: 0\n"), vec_jwks)));
    REASON(vec_rs256, "ok");
    p.now_ms = now + 3600 * 1000 - 1;
    REASON(vec_rs256, "ok");
    p.now_ms++;
    REASON(vec_rs256, "token_expired"); /* although it was verified a moment ago */
    p.now_ms = now - 61 * 1000;
    REASON(vec_rs256, "token_not_yet_valid");
    p.now_ms = now;
    REASON(vec_rs256, "ok");
}

/* Attack 38. */
static void attack_38_what_is_remembered(void)
{
    char spoilt[2048];
    size_t n = strlen(vec_rs256);
    T(p_use(policy(POLICY JWT("            issuer: https://idp.example\n"), vec_jwks)));
    REASON(vec_rs256, "ok");
    T_INT(token_cache_count(p.ctx->tokens), 1);
    REASON(vec_rs256, "ok");
    T_INT(token_cache_count(p.ctx->tokens), 1);
    T_ROW("another text, a shorter one");
    memcpy(spoilt, vec_rs256, n + 1);
    spoilt[n - 10] = spoilt[n - 10] == 'A' ? 'B' : 'A';
    REASON(spoilt, "token_signature_invalid");
    memcpy(spoilt, vec_rs256, n + 1);
    spoilt[n - 2] = '\0';
    REASON(spoilt, "token_signature_invalid");
    REASON("eyJhbGciOiJSUzI1NiJ9", "token_malformed");
    T_ROW("what failed is not remembered");
    T_INT(token_cache_count(p.ctx->tokens), 1);
    T_ROW("another rule looks for itself");
    const char *other[] = {"t.yaml", policy(POLICY JWT("            issuer: https://other.example\n"), vec_jwks), NULL};
    policy_box_swap(p.box, p_load_files(other));
    REASON(vec_rs256, "token_issuer_wrong");
    REASON(vec_rs256_elsewhere, "ok");
    const char *keys[] = {"t.yaml", policy(POLICY JWT("            issuer: https://idp.example\n"), vec_jwks_other), NULL};
    policy_box_swap(p.box, p_load_files(keys));
    REASON(vec_rs256, "token_key_unknown");
    T_ROW("the same rule again, after a reload: still known");
    size_t before = token_cache_count(p.ctx->tokens);
    const char *same[] = {"u.yaml", policy(POLICY JWT("            issuer: https://idp.example\n"), vec_jwks), NULL};
    policy_box_swap(p.box, p_load_files(same));
    REASON(vec_rs256, "ok");
    T_INT(token_cache_count(p.ctx->tokens), before);
}

static void cache_timeout(void)
{
    int64_t now = p.now_ms;
    T(p_use(policy(POLICY "          cacheTimeout: 0s\n" JWT(""), vec_jwks)));
    REASON(vec_rs256, "ok");
    T_INT(token_cache_count(p.ctx->tokens), 0);
    T(p_use(policy(POLICY "          cacheTimeout: 30s\n" JWT(""), vec_jwks)));
    REASON(vec_rs256, "ok");
    T_INT(token_cache_count(p.ctx->tokens), 1);
    p.now_ms = now + 31000;
    REASON(vec_rs256_forged, "token_signature_invalid");
    T_INT(token_cache_count(p.ctx->tokens), 1);
    REASON(vec_rs256, "ok"); /* verified anew */
    p.now_ms = now;
}

static void scopes_headers_and_metadata(void)
{
    static const char body[] =
        POLICY "          requiredScopes: {scope: [read, write]}\n"
        "          claimsToHeaders:\n"
        "          - {claim: email, header: x-email}\n          - {claim: org.unit.id, header: x-unit}\n"
        "          - {claim: sub, header: x-both}\n          - {claim: vip, header: x-both, append: true}\n"
        "          - {claim: absent, header: x-absent}\n"
        "          dynamic_metadata_from_claims: {mail: email, roles: roles}\n" JWT("");
    const char *forged[] = {"x-email: root@example.com", "x-absent: 1", "X_Email: root", NULL, NULL};
    char header[4096];
    struct policy_verdict v;

    T(p_use(policy(body, vec_jwks)));
    snprintf(header, sizeof header, "authorization: bearer  %s", vec_rs256);
    forged[3] = header;
    v = p_ask("GET", "h", "/", (const char *const[]){forged[0], forged[1], forged[2], header, NULL});
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-email"), "ann@example.com");
    T_TEXT(p_upstream(&v, "x-unit"), "7");
    T_TEXT(p_upstream(&v, "x-both"), "ann,true");
    T_TEXT(v.user, "ann");
    bool absent = false, alias = false;
    for (size_t i = 0; i < v.remove_n; i++) {
        absent |= slice_eq_ci(v.remove[i], S("x-absent"));
        alias |= slice_eq_ci(v.remove[i], S("X_Email"));
    }
    T(absent && alias);
    T_INT(v.metadata_n, 2);
    T_TEXT(v.metadata[0].space, "config_0");
    T_TEXT(v.metadata[0].name, "mail");
    T_TEXT(v.metadata[0].value->s, "ann@example.com");
    REASON(vec_rs256_bob, "scope_missing");
}

static void state_for_later_steps(void)
{
    static const char body[] =
        POLICY JWT("") "    - luaAuth: {inline: \"return function(r) if r.state.jwtAccessToken.email == 'ann@example.com' then return {allow = true} end return {allow = false, status = 403, reason = 'not_ann'} end\"}\n";
    T(p_use(policy(body, vec_jwks)));
    REASON(vec_rs256, "ok");
    REASON(vec_rs256_bob, "not_ann");
}

static void faults(void)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"          jwt: {issuer: x}\n", "one of remoteJwks and localJwks"},
        {"          jwt: {localJwks: {inlineString: '{}'}}\n", "no key can be read"},
        {"          jwt: {remoteJwks: {url: 'ftp://x/'}}\n", "url"},
        {"          jwt: {remoteJwks: {url: 'http://x/', refreshInterval: soon}}\n", "duration"},
        {"          jwt: {remoteJwks: {url: 'http://x/'}, algorithms: [none]}\n", "not served"},
        {"          jwt: {remoteJwks: {url: 'http://x/'}}\n          claimsToHeaders: [{claim: a, header: Host}]\n", "cannot be set"},
        {"          requiredScopes: {scope: [a]}\n", "expected jwt, introspection or userinfoUrl"},
        {"          introspection: {introspectionUrl: 'http://x/', clientId: a}\n", "clientSecretRef"},
        {"          introspection: {introspectionUrl: 'http://x/', clientId: a, clientSecretRef: {name: s}}\n", "no Secret"},
        {"          introspection: {introspectionUrl: 'http://x/', disableClientSecret: true}\n          jwt: {remoteJwks: {url: 'http://x/'}}\n", "one of jwt and introspection"},
        {"          provider: {azure: {clientId: x}}\n          userinfoUrl: http://x/\n", "azure"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", text, NULL};
        struct policy_set *s;
        T_ROW("%s", rows[i].yaml);
        snprintf(text, sizeof text, POLICY "%s", rows[i].yaml);
        s = p_load_files(files);
        T(p_fault("", rows[i].says) != NULL);
        if (s)
            policy_set_drop(s);
    }
}

static void remote_without_a_fetcher_is_trouble(void)
{
    T(p_use(POLICY "          jwt: {remote_jwks: {url: 'http://127.0.0.1:1/keys', refresh_interval: 300s}}\n"));
    REASON(vec_rs256, "no_outbound");
    REASON("", "token_missing");
    T(p_use(POLICY "          introspection: {introspectionUrl: 'http://127.0.0.1:1/', disableClientSecret: true}\n"));
    REASON("opaque", "no_outbound");
}

int main(void)
{
    p_init();
    T_RUN(every_algorithm_passes);
    T_RUN(who_does_not_pass);
    T_RUN(attacks_30_to_34);
    T_RUN(attack_35_time);
    T_RUN(attack_38_what_is_remembered);
    T_RUN(cache_timeout);
    T_RUN(scopes_headers_and_metadata);
    T_RUN(state_for_later_steps);
    T_RUN(faults);
    T_RUN(remote_without_a_fetcher_is_trouble);
    p_done();
    return t_done();
}
