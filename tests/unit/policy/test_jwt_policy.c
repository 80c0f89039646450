/*
 * test_jwt_policy.c - JWTPolicy: providers, places of the token, claims, what may be lacking, phases, and the
 * step jwt; the JWTPolicy of the lab that people come from, as it stands there.
 */
#include "p.h"

#include "../wire/jwt_vectors.h"
#include "policy/token.h"

#define HEAD(name) "apiVersion: security.policy.gloo.solo.io/v2\nkind: JWTPolicy\nmetadata: {name: " name ", namespace: n}\nspec:\n config:\n"
#define IDP(more) "   idp:\n    issuer: https://idp.example\n" more "    local: {inline: '%s'}\n"

#define ROUTE "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec: {hosts: ['*'], http: [{name: all}]}\n"

static char text[32768];

static bool use(const char *body, const char *a, const char *b)
{
    snprintf(text, sizeof text, body, a, b);
    return p_use(text);
}

static struct policy_verdict ask(const char *target, const char *header, const char *token, const char *more)
{
    static char line[4096]; /* the verdict points into it */
    const char *headers[] = {line, more, NULL};
    snprintf(line, sizeof line, "%s%s", header, token);
    return p_ask("GET", "h.example", target, headers);
}

#define BEARER(token) ask("/", "Authorization: Bearer ", token, NULL)

static void answers_of_envoy(void)
{
    struct policy_verdict v;
    T(use(HEAD("a") "  providers:\n" IDP("    audiences: [shop]\n"), vec_jwks, ""));
    v = BEARER(vec_rs256);
    T(v.allowed);
    T(p_removed(&v, "authorization")); /* keepToken: false */
    T_TEXT(v.user, "ann");
    v = p_ask("GET", "h.example", "/", NULL);
    T_INT(v.status, 401);
    T_TEXT(v.reason, "token_missing");
    T_TEXT(v.body, "Jwt is missing");
    T_TEXT(p_client(&v, "www-authenticate"), "Bearer");
    v = BEARER(vec_rs256_expired);
    T_INT(v.status, 401);
    T_TEXT(v.body, "Jwt is expired");
    T_TEXT(p_client(&v, "www-authenticate"), "Bearer error=\"invalid_token\"");
    v = BEARER(vec_rs256_forged);
    T_TEXT(v.body, "Jwt verification fails");
    v = BEARER(vec_rs256_elsewhere);
    T_TEXT(v.body, "Jwt issuer is not configured");
    v = BEARER("nonsense");
    T_TEXT(v.body, "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
    v = BEARER(vec_rs256_other);
    T_TEXT(v.body, "Jwks doesn't have key to match kid or alg from Jwt");
    v = BEARER(vec_rs256_no_kid); /* as with Envoy, a kid is not needed here */
    T(v.allowed);
    v = ask("/", "Authorization: Basic ", "dTpw", NULL);
    T_TEXT(v.body, "Jwt is missing");
    T(!p_ask("GET", "h.example", "/", P_HEADERS("Authorization: Bearer a", "Authorization: Bearer b")).allowed);
}

static void places_of_the_token(void)
{
    char target[4096];
    struct policy_verdict v;
    T(use(HEAD("a") "  providers:\n" IDP(""), vec_jwks, ""));
    snprintf(target, sizeof target, "/x?a=b&access_token=%s&c", vec_rs256);
    T(p_ask("GET", "h", target, NULL).allowed);
    T_ROW("both must be good");
    T(ask(target, "Authorization: Bearer ", vec_es256, NULL).allowed);
    T(!ask(target, "Authorization: Bearer ", vec_rs256_expired, NULL).allowed);
    snprintf(target, sizeof target, "/x?access_token=%s", vec_rs256_expired);
    T(!ask(target, "Authorization: Bearer ", vec_rs256, NULL).allowed);
    snprintf(target, sizeof target, "/x?access_token=%s&access_token=x", vec_rs256);
    T(!p_ask("GET", "h", target, NULL).allowed);
    snprintf(target, sizeof target, "/x?a=1&access_token=%s&access_token=%s", vec_rs256, vec_rs256);
    v = p_ask("GET", "h", target, NULL);
    T(v.allowed && v.params_remove_n == 1);
    T_TEXT(v.params_remove[0], "access_token");
    struct buf json;
    buf_init(&json, 1 << 20);
    policy_verdict_json(&v, false, &json);
    T(slice_find(buf_all(&json), S("\"query_parameters_to_remove\":[\"access_token\"]")) != SIZE_MAX);
    buf_free(&json);
    T_ROW("places of our own");
    T(use(HEAD("a") "  providers:\n" IDP("    keepToken: true\n    tokenSource: {headers: [{name: x-token, prefix: 'jwt '}, {name: x-bare}], queryParams: [t]}\n"), vec_jwks, ""));
    v = ask("/", "X-Token: jwt ", vec_rs256, NULL);
    T(v.allowed && !p_removed(&v, "x-token"));
    T(!ask("/", "X-Token: ", vec_rs256, NULL).allowed);
    T(ask("/", "x-bare: ", vec_rs256, NULL).allowed);
    T(!BEARER(vec_rs256).allowed);
    snprintf(target, sizeof target, "/x?t=%s", vec_rs256);
    v = p_ask("GET", "h", target, NULL);
    T(v.allowed && v.params_remove_n == 0);
    snprintf(target, sizeof target, "/x?access_token=%s", vec_rs256);
    T(!p_ask("GET", "h", target, NULL).allowed);
}

static void several_providers(void)
{
    T(use(HEAD("a") "  providers:\n" IDP("    claimsToHeaders: [{claim: email, header: x-email}]\n")
          "   other:\n    issuer: https://other.example\n    local: {inline: '%s'}\n    claimsToHeaders: [{claim: sub, header: x-other}]\n", vec_jwks, vec_jwks_rsa));
    struct policy_verdict v = BEARER(vec_rs256);
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-email"), "ann@example.com");
    T_TEXT(p_upstream(&v, "x-other"), "");
    T(p_removed(&v, "x-other"));
    v = BEARER(vec_rs256_elsewhere);
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-other"), "ann");
    T(p_removed(&v, "x-email"));
    v = BEARER(vec_rs256_expired); /* the fault of its own provider, not "issuer" of the other */
    T_TEXT(v.body, "Jwt is expired");
}

static void pem_and_secrets(void)
{
    static const char pem_policy[] = HEAD("a") "  providers:\n   p:\n    local:\n     secretRef: {objectRef: {name: keys, namespace: n}, key: pem}\n"
        "---\napiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: n}\ntype: Opaque\nstringData:\n pem: |\n";
    char *at = text + snprintf(text, sizeof text, "%s", pem_policy);
    for (struct slice rest = slice_str(vec_pem_rsa); rest.n > 0;) {
        struct slice line = slice_cut(rest, '\n', &rest);
        at += snprintf(at, 200, "  %.*s\n", SFMT(line));
    }
    T(p_use(text));
    T(BEARER(vec_rs256).allowed && BEARER(vec_ps256).allowed && BEARER(vec_rs256_no_kid).allowed);
    T(!BEARER(vec_es256).allowed && !BEARER(vec_hs256_by_pem).allowed && !BEARER(vec_rs256_forged).allowed);
    T(use(HEAD("a") "  providers: {p: {local: {inline: '%s'}}}\n", vec_jwks_secret, ""));
    T(BEARER(vec_hs256).allowed && !BEARER(vec_hs256_empty).allowed);
}

static void claims_to_headers_cannot_be_forged(void)
{
    static const char body[] = HEAD("a") "  validationPolicy: ALLOW_MISSING\n  providers:\n"
        IDP("    claimsToHeaders: [{claim: email, header: x-email}, {claim: none, header: x-none}, {claim: sub, header: x-sub, append: true}]\n    outputPayloadToHeader: x-payload\n") ROUTE;
    struct policy_verdict v;
    struct slice rest, payload;
    T(use(body, vec_jwks, ""));
    v = p_ask("GET", "h", "/", P_HEADERS("x-email: root", "x-none: 1", "x-sub: root", "x-payload: e30", "X_EMAIL: root"));
    T(v.allowed);
    T(p_removed(&v, "x-email") && p_removed(&v, "x-none") && p_removed(&v, "x-sub") && p_removed(&v, "x-payload") && p_removed(&v, "x_email"));
    T_INT(v.upstream_n, 0);
    v = ask("/", "Authorization: Bearer ", vec_rs256, "x-sub: root");
    T(v.allowed && p_removed(&v, "x-none"));
    T_TEXT(p_upstream(&v, "x-sub"), "ann");
    (void)slice_cut(slice_str(vec_rs256), '.', &rest);
    payload = slice_cut(rest, '.', &rest);
    T(slice_eq(p_upstream(&v, "x-payload"), payload));
    T(!BEARER(vec_rs256_expired).allowed); /* missing is allowed, bad is not */
}

static void claims_and_scopes(void)
{
    static const struct {
        const char *rules;
        bool ann, bob;
    } rows[] = {
        {"  claims: [{key: email, values: ['*@example.com']}]\n", true, false},
        {"  claims: [{key: email, values: [x, 'bob@*']}]\n", false, true},
        {"  claims: [{key: email, values: ['*']}]\n", true, true},
        {"  claims: [{key: email, values: ['*@*ample.com']}]\n", true, false},
        {"  claims: [{key: email, values: ['example.com']}]\n", false, false},
        {"  claims: [{key: email, notValues: ['*@evil.example']}]\n", true, false},
        {"  claims: [{key: none, values: ['*']}]\n", false, false},
        {"  claims: [{key: none, notValues: ['*']}]\n", true, true},
        {"  claims: [{key: roles, values: [b]}]\n", true, false},
        {"  claims: [{key: roles, values: [c, a]}]\n", true, false},
        {"  claims: [{key: vip, values: ['true']}]\n", true, false},
        {"  claims: [{key: org.unit.id, values: ['7']}]\n", true, true},
        {"  claims: [{key: 'org:unit:id', nestedClaimDelimiter: ':', values: ['7']}]\n", true, true},
        {"  claims: [{key: org, values: ['*']}]\n", false, false},
        {"  claims: [{key: sub, values: [ann, bob]}, {key: vip, values: ['true']}]\n", true, false},
        {"  requiredScopes: [read]\n", true, true},
        {"  requiredScopes: [read, write]\n", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[2048];
        T_ROW("%s", rows[i].rules);
        snprintf(body, sizeof body, HEAD("a") "%s  providers:\n" IDP(""), rows[i].rules, "%s");
        T(use(body, vec_jwks, ""));
        T(BEARER(vec_rs256).allowed == rows[i].ann);
        T(BEARER(vec_rs256_bob).allowed == rows[i].bob);
        if (!rows[i].bob) {
            struct policy_verdict v = BEARER(vec_rs256_bob);
            T_INT(v.status, 403);
            T_TEXT(v.body, "RBAC: access denied");
            T_TEXT(v.reason, "claim_refused");
        }
    }
    T(use(HEAD("a") "  validationPolicy: ALLOW_MISSING\n  requiredScopes: [read]\n  providers:\n" IDP(""), vec_jwks, ""));
    T_INT(p_ask("GET", "h", "/", NULL).status, 403); /* no token has no scope */
}

static void what_may_be_lacking(void)
{
    T(use(HEAD("a") "  validationPolicy: ALLOW_MISSING_OR_FAILED\n  providers:\n" IDP("")
          ROUTE, vec_jwks, ""));
    T(BEARER(vec_rs256_forged).allowed && p_ask("GET", "h", "/", NULL).allowed);
    T(use(HEAD("a") "  allowMissingOrFailed: true\n  providers:\n" IDP(""), vec_jwks, ""));
    T_ROW("a policy that lets everybody pass opens no route by itself");
    T_TEXT(p_ask("GET", "h", "/", NULL).reason, "no_route");
    T(use(HEAD("a") "  shadow: true\n  providers:\n" IDP("    claimsToHeaders: [{claim: email, header: x-email}]\n")
          ROUTE, vec_jwks, ""));
    T(BEARER(vec_rs256_forged).allowed);
    struct policy_verdict v = BEARER(vec_rs256);
    T(v.allowed);
    T_INT(v.upstream_n, 0); /* a shadow changes nothing */
    T_INT(v.remove_n, 0);
    T(use(HEAD("a") "  providers:\n   idp: {remote: {url: 'http://127.0.0.1:1/'}}\n", "", ""));
    v = BEARER(vec_rs256);
    T_INT(v.status, 401);
    T_TEXT(v.body, "Jwks remote fetch is failed");
    T(use(HEAD("a") "  failureModeAllow: true\n  providers:\n   idp: {remote: {url: 'http://127.0.0.1:1/'}}\n", "", ""));
    T(BEARER(vec_rs256).allowed);
    T(!BEARER("x").allowed && !p_ask("GET", "h", "/", NULL).allowed); /* not what is wrong by itself */
}

/* "a token or an API key" */
static void the_step_jwt(void)
{
    static const char body[] = HEAD("a") "  validationPolicy: ALLOW_MISSING_OR_FAILED\n  providers:\n" IDP("")
        "---\napiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e, namespace: n}\nspec:\n config:\n  glooAuth:\n"
        "   booleanExpr: token || key\n   configs: [{name: token, jwt: {}}, {name: key, apiKeyAuth: {}}]\n";
    const char *key = p_key(NULL);
    struct policy_verdict v;
    struct json *meta = NULL;
    struct policy_ask q = {.method = S("GET"), .host = S("h"), .target = S("/"), .now_ms = p.now_ms};

    T(use(body, vec_jwks, ""));
    T(BEARER(vec_rs256).allowed);
    T(!BEARER(vec_rs256_forged).allowed);
    T(ask("/", "api-key: ", key, NULL).allowed);
    T_INT(p_ask("GET", "h", "/", NULL).status, 401);
    T_ROW("Envoy's filter vouches");
    T(json_parse(&p.arena, S("{\"envoy.filters.http.jwt_authn\":{\"idp\":{\"sub\":\"ann\"}}}"), 1000, &meta, NULL) == RC_OK);
    q.metadata = meta;
    policy_begin(p.ctx, p.now_ms);
    T(policy_decide(p.ctx, &q, &v, NULL, NULL) == RC_OK && v.allowed);
    T_ROW("and says that it does not");
    T(json_parse(&p.arena, S("{\"envoy.filters.http.jwt_authn\":{\"failed\":{\"code\":3,\"message\":\"x\"},\"a\":{},\"b\":true}}"), 1000, &meta, NULL) == RC_OK);
    q.metadata = meta;
    policy_begin(p.ctx, p.now_ms);
    T(policy_decide(p.ctx, &q, &v, NULL, NULL) == RC_OK && !v.allowed);
}

/* The token comes from a header that the step before set; its copies from clients do not count. */
static void behind_ext_auth_as_in_the_lab(void)
{
    static const char lab[] =
        "apiVersion: security.policy.gloo.solo.io/v2\nkind: JWTPolicy\nmetadata:\n  name: httpbin\n  namespace: httpbin\nspec:\n"
        "  applyToRoutes:\n  - route:\n      labels:\n        oauth: \"true\"\n  config:\n    phase:\n      postAuthz:\n        priority: 1\n"
        "    providers:\n      keycloak:\n        issuer: https://idp.example\n        tokenSource:\n          headers:\n          - name: jwt\n"
        "        remote:\n          url: http://keycloak.example:8080/realms/master/protocol/openid-connect/certs\n"
        "          destinationRef:\n            kind: EXTERNAL_SERVICE\n            ref:\n              name: keycloak\n            port:\n              number: 8080\n"
        "        claimsToHeaders:\n        - claim: email\n          header: X-Email\n";
    static const char local[] = HEAD("a") "  phase: {postAuthz: {priority: 1}}\n  providers:\n"
        IDP("    tokenSource: {headers: [{name: jwt}]}\n    claimsToHeaders: [{claim: email, header: X-Email}]\n")
        "---\napiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e, namespace: n}\nspec:\n config:\n  glooAuth:\n"
        "   configs: [{luaAuth: {headers: [jwt], inline: \"return function(r) return {allow = true, headers = {jwt = r.headers.mine}} end\"}}]\n"
        "---\napiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: f, namespace: n}\nspec: {config: {glooAuth: {configs: [{luaAuth: {inline: 'return function(r) end'}}]}}}\n";
    struct policy_verdict v;
    T(p_use(lab));
    T_INT(p.faults.n, 1);
    T(p_fault("destinationRef", "fetched from url"));
    T(use(local, vec_jwks, ""));
    v = ask("/", "mine: ", vec_rs256, NULL);
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-email"), "ann@example.com");
    T_TEXT(p_upstream(&v, "jwt"), "");
    T(p_removed(&v, "jwt"));
    T(!ask("/", "jwt: ", vec_rs256, NULL).allowed); /* from the client */
}

static void faults(void)
{
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        {"  providers: {}\n", "at least one"},
        {"  providers: {a: {}}\n", "one of local and remote"},
        {"  providers: {a: {local: {}}}\n", "one of inline and secretRef"},
        {"  providers: {a: {local: {inline: x}}}\n", "no key can be read"},
        {"  providers: {a: {local: {secretRef: {objectRef: {name: x}, key: k}}}}\n", "no Secret"},
        {"  providers: {a: {remote: {url: 'unix'}}}\n", "url"},
        {"  providers: {a: {remote: {url: 'http://x/', timeout: -1}}}\n", "duration"},
        {"  providers: {a: {remote: {url: 'http://x/'}, outputPayloadToHeader: 'a b'}}\n", "header name"},
        {"  providers: {a: {remote: {url: 'http://x/'}, claimsToHeaders: [{claim: a, header: content-length}]}}\n", "cannot be set"},
        {"  providers: {a: {remote: {url: 'http://x/'}, tokenSource: {headers: [{name: 'x y'}]}}}\n", "no header name"},
        {"  providers: {a: {remote: {url: 'http://x/'}}}\n  claims: [{key: a}]\n", "values or notValues"},
        {"  providers: {a: {remote: {url: 'http://x/'}}}\n  validationPolicy: SOMETIMES\n", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", text, NULL};
        T_ROW("%s", rows[i].yaml);
        snprintf(text, sizeof text, HEAD("a") "%s", rows[i].yaml);
        T(p_load_files(files) == NULL);
        T(p.faults.errors > 0);
        T(rows[i].says[0] == '\0' || p_fault("", rows[i].says) != NULL);
    }
}

int main(void)
{
    p_init();
    T_RUN(answers_of_envoy);
    T_RUN(places_of_the_token);
    T_RUN(several_providers);
    T_RUN(pem_and_secrets);
    T_RUN(claims_to_headers_cannot_be_forged);
    T_RUN(claims_and_scopes);
    T_RUN(what_may_be_lacking);
    T_RUN(the_step_jwt);
    T_RUN(behind_ext_auth_as_in_the_lab);
    T_RUN(faults);
    p_done();
    return t_done();
}
