/*
 * test_attacks_tokens.c - attacks on tokens, sign-in and session cookies, asked through every dialect: what a gateway
 * hands on is what the policy judges. Numbers are those of docs/security.md; each attack by itself, with all its
 * forms, is in tests/unit/wire/test_jwt_attacks.c, tests/unit/policy/test_jwt_steps.c and test_oidc.c.
 */
#include "g.h"

#include "../wire/jwt_vectors.h"
#include "wire/jwt.h"
#include "wire/hash.h"

#define HOST "api.example.com"
#define EACH_DIALECT(d) for (int d = 0; d < DIALECT_COUNT; d++)
#define ROW(d, ...) (T_ROW(__VA_ARGS__), strncat(t_state.row, " ", 2), strncat(t_state.row, c_dialects[d], 20))

static const char policies[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
    "  hosts: [api.example.com]\n  http:\n"
    "  - {name: token, labels: {auth: token}, matchers: [{uri: {prefix: /token}}]}\n"
    "  - {name: other, labels: {auth: other}, matchers: [{uri: {prefix: /other}}]}\n"
    "  - {name: jwt, labels: {jwt: people}, matchers: [{uri: {prefix: /jwt}}]}\n"
    "  - {name: web, labels: {auth: web}, matchers: [{uri: {prefix: /web}}]}\n"
    "  - {name: either, labels: {auth: either}, matchers: [{uri: {prefix: /either}}]}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: token}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: token}}}]\n  config: {glooAuth: {configs: [{oauth2: {accessTokenValidation: {\n"
    "    jwt: {issuer: 'https://id', audiences: [api], localJwks: {inlineString: '%s'}}, claimsToHeaders: [{claim: sub, header: X-User}]}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: other}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: other}}}]\n  config: {glooAuth: {configs: [{oauth2: {accessTokenValidation: {\n"
    "    jwt: {issuer: 'https://id', audiences: [other], localJwks: {inlineString: '%s'}}}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: JWTPolicy\nmetadata: {name: people}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {jwt: people}}}]\n  config: {providers: {p: {issuer: 'https://id', audiences: [api],\n"
    "    local: {inline: '%s'}, claimsToHeaders: [{claim: sub, header: X-User}]}}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: web}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: web}}}]\n  config: {glooAuth: {configs: [{oauth2: {oidcAuthorizationCode: {\n"
    "    appUrl: 'https://api.example.com', callbackPath: /web/callback, clientId: c, disableClientSecret: true, issuerUrl: 'https://idp.example',\n"
    "    session: {redis: {}}, headers: {idTokenHeader: X-Id-Token}, discoveryOverride: {authEndpoint: 'https://idp.example/auth',\n"
    "    tokenEndpoint: 'https://idp.example/token', jwksUri: 'https://idp.example/jwks'}}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: either}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: either}}}]\n  config: {glooAuth: {booleanExpr: key || web, configs: [{name: key, apiKeyAuth: {}}, {name: web, oauth2: {\n"
    "    oidcAuthorizationCode: {appUrl: 'https://api.example.com', callbackPath: /either/callback, clientId: c, disableClientSecret: true,\n"
    "    issuerUrl: 'https://idp.example', session: {redis: {}}, discoveryOverride: {authEndpoint: 'https://idp.example/auth',\n"
    "    tokenEndpoint: 'https://idp.example/token', jwksUri: 'https://idp.example/jwks'}}}}]}}\n";

/* ---- tokens ---- */

static long long now_s(void)
{
    return (long long)(clock_wall_ms() / 1000);
}

static struct slice claims(const char *more)
{
    return arena_fmt(&p.arena, "{\"sub\":\"ann\"%s}", more);
}

static struct slice good_claims(void)
{
    return claims(arena_fmt(&p.arena, ",\"iss\":\"https://id\",\"aud\":\"api\",\"exp\":%lld", now_s() + 600).p);
}

static const char *es256(struct slice text, const char *kid)
{
    struct slice token = S("");
    MUST(jwt_sign(&p.arena, slice_str(vec_private_es256), slice_str(kid), text, &token, NULL) == RC_OK);
    return arena_cstr(&p.arena, token);
}

static struct slice b64(struct slice s)
{
    char *out = arena_alloc(&p.arena, B64_LEN(s.n) + 1);
    return slice_of(out, b64url_encode(out, s.p, s.n));
}

/* A header of the attacker's over good claims, with this signature. */
static const char *by_hand(const char *header, struct slice signature)
{
    return arena_fmt(&p.arena, "%.*s.%.*s.%.*s", SFMT(b64(slice_str(header))), SFMT(b64(good_claims())), SFMT(signature)).p;
}

static const char *by_secret(const char *header, struct slice secret)
{
    struct hmac_key k;
    uint8_t mac[32];
    struct slice text = arena_fmt(&p.arena, "%.*s.%.*s", SFMT(b64(slice_str(header))), SFMT(b64(good_claims())));
    hmac_key_init(&k, secret);
    hmac_sha256(&k, text, mac);
    return arena_fmt(&p.arena, "%.*s.%.*s", SFMT(text), SFMT(b64(slice_of((const char *)mac, 32)))).p;
}

static const char *bearer(const char *token)
{
    return arena_fmt(&p.arena, "Authorization: Bearer %s", token).p;
}

static bool tells(const struct answer *r, const char *text)
{
    for (size_t i = 0; i < r->head.headers_n; i++)
        if (slice_find(r->head.headers[i].value, slice_str(text)) != SIZE_MAX)
            return true;
    return slice_find(r->body, slice_str(text)) != SIZE_MAX;
}

static void refused_everywhere(const char *name, const char *const *headers)
{
    EACH_DIALECT(d) {
        ROW(d, "%s", name);
        T_INT(c_status(c_ask(d, "GET", HOST, "/token", headers)), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/jwt", headers)), 401);
    }
}

static void a_good_token_passes(void)
{
    const char *good = bearer(es256(good_claims(), "es256"));
    EACH_DIALECT(d) {
        ROW(d, "good");
        struct answer *r = c_ask(d, "GET", HOST, "/token", P_HEADERS(good, "X-User: root"));
        T_INT(c_status(r), 200);
        T(tells(r, "ann") && !tells(r, "root")); /* 9 */
        r = c_ask(d, "GET", HOST, "/jwt", P_HEADERS(good, "X-User: root"));
        T_INT(c_status(r), 200);
        T(tells(r, "ann") && !tells(r, "root"));
    }
}

static void a22_two_credentials(void)
{
    const char *good = bearer(es256(good_claims(), "es256")), *bad = bearer("x.y.z");
    refused_everywhere("two, the good one first", P_HEADERS(good, bad));
    refused_everywhere("two, the good one last", P_HEADERS(bad, good));
    refused_everywhere("the same twice, with another word before", P_HEADERS(good, "Authorization: Basic dXNlcjpwYXNz"));
}

static void a30_to_a34_signatures(void)
{
    const struct {
        const char *name, *token;
    } rows[] = {
        {"30 none", by_hand("{\"alg\":\"none\",\"kid\":\"es256\"}", S(""))},
        {"30 None", by_hand("{\"alg\":\"None\",\"kid\":\"es256\"}", S(""))},
        {"30 nOnE, a signature", by_hand("{\"alg\":\"nOnE\",\"kid\":\"es256\"}", S("AAAA"))},
        {"30 no alg", by_hand("{\"kid\":\"es256\"}", S("AAAA"))},
        {"30 no signature", by_hand("{\"alg\":\"ES256\",\"kid\":\"es256\"}", S(""))},
        {"31 the key set as a secret", by_secret("{\"alg\":\"HS256\",\"kid\":\"es256\"}", slice_str(vec_jwks))},
        {"31 the key as a secret", by_secret("{\"alg\":\"HS256\",\"kid\":\"es256\"}", slice_str(vec_pem_ec))},
        {"31 an empty secret", by_secret("{\"alg\":\"HS256\",\"kid\":\"es256\"}", S(""))},
        {"32 a key of its own", vec_rs256_with_jwk},
        {"32 unknown crit", vec_rs256_crit},
        {"33 kid is a path", es256(good_claims(), "../../dev/null")},
        {"33 kid is SQL", es256(good_claims(), "' or 1=1 --")},
        {"33 kid is large", es256(good_claims(), arena_fmt(&p.arena, "%01200d", 0).p)},
        {"34 zeros", by_hand("{\"alg\":\"ES256\",\"kid\":\"es256\"}", b64(slice_of((const char[64]){0}, 64)))},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        refused_everywhere(rows[i].name, P_HEADERS(bearer(rows[i].token)));
}

static void a35_claims(void)
{
    const struct {
        const char *name, *more;
    } rows[] = {
        {"no exp", ",\"iss\":\"https://id\",\"aud\":\"api\""},
        {"over", ",\"iss\":\"https://id\",\"aud\":\"api\",\"exp\":1000000000"},
        {"not yet", ",\"iss\":\"https://id\",\"aud\":\"api\",\"exp\":4000000000,\"nbf\":3999999999"},
        {"from the future", ",\"iss\":\"https://id\",\"aud\":\"api\",\"exp\":4000000000,\"iat\":3999999999"},
        {"exp is text", ",\"iss\":\"https://id\",\"aud\":\"api\",\"exp\":\"4000000000\""},
        {"another issuer", ",\"iss\":\"https://id.evil\",\"aud\":\"api\",\"exp\":4000000000"},
        {"an issuer that begins so", ",\"iss\":\"https://id/\",\"aud\":\"api\",\"exp\":4000000000"},
        {"no audience", ",\"iss\":\"https://id\",\"exp\":4000000000"},
        {"nobody's", ",\"iss\":\"https://id\",\"aud\":[],\"exp\":4000000000"},
        {"others'", ",\"iss\":\"https://id\",\"aud\":[\"a\",\"apis\"],\"exp\":4000000000"},
        {"36 doubled", ",\"iss\":\"https://id\",\"aud\":\"api\",\"exp\":4000000000,\"sub\":\"root\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        refused_everywhere(rows[i].name, P_HEADERS(bearer(es256(claims(rows[i].more), "es256"))));
}

static void a36_forms(void)
{
    const char *good = es256(good_claims(), "es256");
    refused_everywhere("thousands of dots", P_HEADERS(bearer(arena_fmt(&p.arena, "%s%s", good, "................................................").p)));
    refused_everywhere("padded", P_HEADERS(bearer(arena_fmt(&p.arena, "%s==", good).p)));
    refused_everywhere("JSON form", P_HEADERS(bearer("{\"payload\":\"e30\",\"protected\":\"e30\",\"signature\":\"AA\"}")));
    refused_everywhere("five parts", P_HEADERS(bearer("a.b.c.d.e")));
    refused_everywhere("nothing", P_HEADERS("Authorization: Bearer "));
    refused_everywhere("a word", P_HEADERS("Authorization: Bearer"));
}

static void a38_a_token_under_another_rule(void)
{
    const char *good = bearer(es256(good_claims(), "es256"));
    EACH_DIALECT(d) {
        ROW(d, "first allowed, then elsewhere");
        T_INT(c_status(c_ask(d, "GET", HOST, "/token", P_HEADERS(good))), 200);
        struct answer *r = c_ask(d, "GET", HOST, "/other", P_HEADERS(good));
        T_INT(c_status(r), 403);
        T_TEXT(c_reason(r), "token_audience_wrong");
    }
}

/* ---- sign-in and sessions ---- */

static void a26_cookies_that_are_no_session(void)
{
    static const char *const cookies[] = {
        "__Host-__session=", "__Host-__session=x", "__Host-__session=%00%00", "__Host-__session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "__session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "__Host-__session=AAAA; __Host-__session=BBBB", "__Host-__session=\"x", "=; ;=;;",
    };
    for (size_t i = 0; i < ARRAY_LEN(cookies); i++)
        EACH_DIALECT(d) {
            ROW(d, "%s", cookies[i]);
            struct answer *r = c_ask(d, "GET", HOST, "/web", P_HEADERS(arena_fmt(&p.arena, "Cookie: %s", cookies[i]).p));
            T_INT(c_status(r), 302);
            T_TEXT(c_reason(r), "login_required");
        }
}

static void a28_a29_a43_where_the_browser_is_sent(void)
{
    EACH_DIALECT(d) {
        ROW(d, "forged parameters and names");
        struct answer *r = c_ask(d, "GET", HOST, "/web?client_id=evil&redirect_uri=//evil&state=evil&rd=https://evil",
                                 P_HEADERS("Forwarded: host=evil", "Referer: https://evil/", "X-Forwarded-Prefix: /evil"));
        T_INT(c_status(r), 302);
        T(tells(r, "https://idp.example/auth?response_type=code&client_id=c&redirect_uri=https%3A%2F%2Fapi.example.com%2Fweb%2Fcallback&"));
        T(!tells(r, "evil"));
        T(tells(r, "&code_challenge=") && tells(r, "&code_challenge_method=S256")); /* 41 */
        T_INT(c_status(c_ask(d, "GET", "evil.example", "/web", NULL)), 403);
    }
}

static void a39_answers_of_no_login(void)
{
    static const char *const targets[] = {
        "/web/callback", "/web/callback?code=x", "/web/callback?code=x&state=", "/web/callback?code=x&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "/web/callback?code=x&code=y&state=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/web/callback?error=x",
    };
    for (size_t i = 0; i < ARRAY_LEN(targets); i++)
        EACH_DIALECT(d) {
            ROW(d, "%s", targets[i]);
            T_INT(c_status(c_ask(d, "GET", HOST, targets[i], P_HEADERS("Cookie: __Host-__session_l_AAAAAAAA=AAAAAAAA"))), 403);
        }
}

static void a46_cookies_have_bounds(void)
{
    EACH_DIALECT(d) {
        ROW(d, "the login's");
        struct answer *r = c_ask(d, "GET", HOST, "/web", NULL);
        T(tells(r, "__Host-__session_l_") && tells(r, "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"));
        T(!tells(r, "Domain="));
    }
}

static void a49_sessions_stay_here(void)
{
    const char *key = p_header("api-key", p_key(P_HEADERS("username", "ann")));
    EACH_DIALECT(d) {
        ROW(d, "let in by a key");
        struct answer *r = c_ask(d, "GET", HOST, "/either", P_HEADERS(key, "Cookie: __Host-__session=secret1; theme=dark; __Host-__session_l_AAAAAAAA=secret2"));
        T_INT(c_status(r), 200);
        T(tells(r, "theme=dark") && !tells(r, "secret1") && !tells(r, "secret2"));
    }
}

int main(void)
{
    static char text[40000];
    c_ask_grpc = g_ask;
    c_init(true);
    snprintf(text, sizeof text, policies, vec_jwks, vec_jwks, vec_jwks);
    MUST(c_use(text));
    T_RUN(a_good_token_passes);
    T_RUN(a22_two_credentials);
    T_RUN(a30_to_a34_signatures);
    T_RUN(a35_claims);
    T_RUN(a36_forms);
    T_RUN(a38_a_token_under_another_rule);
    T_RUN(a26_cookies_that_are_no_session);
    T_RUN(a28_a29_a43_where_the_browser_is_sent);
    T_RUN(a39_answers_of_no_login);
    T_RUN(a46_cookies_have_bounds);
    T_RUN(a49_sessions_stay_here);
    c_stop();
    p_done();
    return t_done();
}
