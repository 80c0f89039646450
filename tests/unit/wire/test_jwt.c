/*
 * test_jwt.c - tokens of every algorithm, made by another implementation (jwt_vectors.py); keys in
 * every form; claims; tokens that we sign.
 */
#include "t.h"

#include "base/map.h"
#include "jwt_vectors.h"
#include "wire/hash.h"
#include "wire/jwt.h"

#include <stdio.h>

static struct arena a;

static struct jwks *keys(const char *text, int flags)
{
    struct err e = {0};
    struct jwks *k = NULL;
    enum rc rc = jwks_parse(slice_str(text), flags, &k, &e);
    if (rc != RC_OK)
        printf("# %s\n", e.text);
    MUST(rc == RC_OK);
    return k;
}

static enum jwt_fault verify(const char *token, const char *set, unsigned algs)
{
    struct jwks *k = keys(set, JWKS_SYMMETRIC);
    struct jwt t;
    enum jwt_fault f = jwt_parse(&a, slice_str(token), &t);
    if (f == JWT_OK)
        f = jwt_verify(&t, k, algs);
    jwks_free(k);
    return f;
}

static void every_algorithm(void)
{
    static const struct {
        const char *alg, *token, *set;
    } rows[] = {
        {"RS256", vec_rs256, vec_jwks}, {"RS384", vec_rs384, vec_jwks}, {"RS512", vec_rs512, vec_jwks},
        {"PS256", vec_ps256, vec_jwks}, {"PS384", vec_ps384, vec_jwks}, {"PS512", vec_ps512, vec_jwks},
        {"ES256", vec_es256, vec_jwks}, {"ES384", vec_es384, vec_jwks}, {"ES512", vec_es512, vec_jwks},
        {"EdDSA", vec_eddsa, vec_jwks}, {"HS256", vec_hs256, vec_jwks_secret},
        {"HS384", vec_hs384, vec_jwks_secret}, {"HS512", vec_hs512, vec_jwks_secret},
        {"RFC 7515 A.1", vec_rfc7515_a1, vec_rfc7515_a1_jwks},
        {"RFC 7515 A.3", vec_rfc7515_a3, vec_rfc7515_a3_jwks},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char spoilt[2048];
        struct slice t = slice_str(rows[i].token);
        size_t dot = slice_index(t, '.');
        T_ROW("%s", rows[i].alg);
        T_INT(verify(rows[i].token, rows[i].set, 0), JWT_OK);
        memcpy(spoilt, t.p, t.n + 1); /* a payload, then a signature that is not its own */
        spoilt[t.n - 8] = spoilt[t.n - 8] == 'A' ? 'B' : 'A';
        T_INT(verify(spoilt, rows[i].set, 0), JWT_BAD_SIGNATURE);
        memcpy(spoilt, t.p, t.n + 1);
        memcpy(spoilt + dot + 1, "eyJpc3MiOiJhbm4i", 16);
        T(verify(spoilt, rows[i].set, 0) != JWT_OK);
        memcpy(spoilt, t.p, t.n + 1);
        spoilt[t.n - 4] = '\0'; /* a shorter signature */
        T(verify(spoilt, rows[i].set, 0) != JWT_OK);
    }
    for (int i = JWT_ALG_ANY + 1; i < JWT_ALGS; i++)
        T_INT(jwt_alg_of(slice_str(jwt_alg_name((enum jwt_alg)i))), i);
}

static void keys_in_pem(void)
{
    char two[4096];
    T_INT(verify(vec_rs256, vec_pem_rsa, 0), JWT_OK);
    T_INT(verify(vec_ps512, vec_pem_rsa, 0), JWT_OK);
    T_INT(verify(vec_rs256, vec_pem_pkcs1, 0), JWT_OK);
    T_INT(verify(vec_es256, vec_pem_ec, 0), JWT_OK);
    T_INT(verify(vec_eddsa, vec_pem_ed, 0), JWT_OK);
    T_INT(verify(vec_es256, vec_pem_rsa, 0), JWT_NO_KEY);
    snprintf(two, sizeof two, "# both\n%s\n%s", vec_pem_ec, vec_pem_rsa);
    T_INT(verify(vec_rs256, two, 0), JWT_OK);
    T_INT(verify(vec_es256, two, 0), JWT_OK);
}

static void sets_that_are_refused(void)
{
    static const struct {
        const char *text, *says;
        int flags;
    } rows[] = {
        {"", "", 0},
        {"{}", "no member keys", 0},
        {"[]", "no member keys", 0},
        {"{\"keys\":{}}", "no list", 0},
        {"{\"keys\":[]}", "empty", 0},
        {"{\"keys\":[7]}", "no JSON object", 0},
        {"{\"keys\":[],\"keys\":[]}", "twice", 0},
        {"{\"keys\":[{\"kty\":\"XYZ\"}]}", "kty", 0},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}]}", "Ed25519", 0},
        {"{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}]}", "32 bytes", 0},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"secp256k1\"}]}", "curve", 0},
        {"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}", "long as", 0},
        {vec_jwks_secret, "no place", 0},
        {"{\"kty\":\"oct\",\"k\":\"\"}", "shorter", JWKS_SYMMETRIC},
        {"{\"kty\":\"oct\",\"k\":\"c2hvcnQ\"}", "shorter", JWKS_SYMMETRIC},
        {"{\"kty\":\"oct\",\"alg\":\"HS512\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}", "shorter", JWKS_SYMMETRIC},
        {vec_jwks_small, "2048", 0},
        {vec_rfc7515_a3_jwks, "no kid", JWKS_NEED_KID},
        {vec_pem_rsa, "no kid", JWKS_NEED_KID},
        {vec_private_rsa, "PUBLIC", 0},
        {"-----BEGIN PUBLIC KEY-----\nAAAA", "no end", 0},
        {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no public key", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jwks *k = NULL;
        struct err e = {0};
        T_ROW("%zu %.40s", i, rows[i].text);
        T(jwks_parse(slice_str(rows[i].text), rows[i].flags, &k, &e) != RC_OK);
        T(k == NULL);
        T(slice_find(slice_str(e.text), slice_str(rows[i].says)) != SIZE_MAX);
        if (slice_find(slice_str(e.text), slice_str(rows[i].says)) == SIZE_MAX)
            printf("# %s\n", e.text);
    }
}

static void keys_that_are_left_out(void)
{
    char text[4096];
    struct jwks *k;
    /* one usable key among others: use, key_ops, an unknown type, a curve nobody has */
    snprintf(text, sizeof text,
             "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AQAB\",\"e\":\"AQAB\"},{\"kty\":\"new\"},"
             "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"key_ops\":[\"sign\"],\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
             "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"key_ops\":[\"verify\"],\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
             "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"RS256\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");
    k = keys(text, 0);
    T_INT(jwks_count(k), 1);
    jwks_free(k);
    T_INT(verify(vec_eddsa, text, 0), JWT_OK);
}

static void kid_and_alg_choose_the_key(void)
{
    T_INT(verify(vec_rs256, vec_jwks_both, 0), JWT_OK);
    T_INT(verify(vec_rs256_other, vec_jwks_both, 0), JWT_OK);
    T_INT(verify(vec_rs256_no_kid, vec_jwks_both, 0), JWT_OK);
    T_INT(verify(vec_rs256_other, vec_jwks, 0), JWT_NO_KEY);
    T_INT(verify(vec_rs256_forged, vec_jwks_both, 0), JWT_BAD_SIGNATURE);
    T_INT(verify(vec_rs512, vec_jwks_rsa, 0), JWT_NO_KEY); /* the key says RS256 */
    T_INT(verify(vec_rs512, vec_jwks, 1u << JWT_RS256 | 1u << JWT_ES256), JWT_BAD_ALG);
    T_INT(verify(vec_rs512, vec_jwks, 1u << JWT_RS512), JWT_OK);
}

static enum jwt_fault check_at(const char *payload, const struct jwt_want *w, int64_t now_ms)
{
    char text[4096], *p = text;
    struct jwt t;
    enum jwt_fault f;
    p += snprintf(p, 100, "eyJhbGciOiJSUzI1NiJ9.");
    p += b64url_encode(p, payload, strlen(payload));
    snprintf(p, 100, ".AAAA");
    f = jwt_parse(&a, arena_dup(&a, slice_str(text)), &t);
    return f == JWT_OK ? jwt_check(&t, w, now_ms) : f;
}

static void dates_issuer_and_audience(void)
{
    static const struct slice shop[] = {SLIT("shop"), SLIT("store")};
    const struct jwt_want any = {.skew_s = 10}, eternal = {.no_exp_ok = true};
    const struct jwt_want strict = {.issuer = S("https://i"), .audiences = shop, .audiences_n = 2};
    static const struct {
        const char *payload;
        int which; /* 0 any, 1 strict, 2 eternal */
        enum jwt_fault f;
    } rows[] = {
        {"{\"exp\":1001}", 0, JWT_OK},
        {"{\"exp\":991}", 0, JWT_OK}, /* within the skew */
        {"{\"exp\":990}", 0, JWT_EXPIRED},
        {"{\"exp\":990.5}", 0, JWT_OK},
        {"{}", 0, JWT_NO_EXP},
        {"{}", 2, JWT_OK},
        {"{\"exp\":999}", 2, JWT_EXPIRED},
        {"{\"exp\":1000}", 2, JWT_EXPIRED},
        {"{\"exp\":2000,\"nbf\":1010}", 0, JWT_OK},
        {"{\"exp\":2000,\"nbf\":1011}", 0, JWT_NOT_YET},
        {"{\"exp\":2000,\"iat\":1010}", 0, JWT_OK},
        {"{\"exp\":2000,\"iat\":1011}", 0, JWT_NOT_YET},
        {"{\"exp\":\"2000\"}", 0, JWT_BAD_DATE},
        {"{\"exp\":1e300}", 0, JWT_BAD_DATE},
        {"{\"exp\":1e10}", 0, JWT_OK},
        {"{\"exp\":253402300800}", 0, JWT_BAD_DATE},
        {"{\"exp\":18446744073709551615}", 0, JWT_BAD_DATE},
        {"{\"exp\":-1}", 0, JWT_BAD_DATE},
        {"{\"exp\":null}", 0, JWT_BAD_DATE},
        {"{\"exp\":2000,\"nbf\":[]}", 0, JWT_BAD_DATE},
        {"{\"exp\":2000,\"iat\":true}", 0, JWT_BAD_DATE},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":\"store\"}", 1, JWT_OK},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":[\"x\",\"shop\"]}", 1, JWT_OK},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":[]}", 1, JWT_WRONG_AUDIENCE},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":[[\"shop\"]]}", 1, JWT_WRONG_AUDIENCE},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":{\"shop\":1}}", 1, JWT_WRONG_AUDIENCE},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":\"shop \"}", 1, JWT_WRONG_AUDIENCE},
        {"{\"exp\":2000,\"iss\":\"https://i\",\"aud\":\"SHOP\"}", 1, JWT_WRONG_AUDIENCE},
        {"{\"exp\":2000,\"iss\":\"https://i\"}", 1, JWT_WRONG_AUDIENCE},
        {"{\"exp\":2000,\"iss\":\"https://i/\",\"aud\":\"shop\"}", 1, JWT_WRONG_ISSUER},
        {"{\"exp\":2000,\"aud\":\"shop\"}", 1, JWT_WRONG_ISSUER},
        {"{\"exp\":2000,\"iss\":[\"https://i\"],\"aud\":\"shop\"}", 1, JWT_BAD_PAYLOAD},
        {"{\"exp\":999,\"iss\":\"https://i\",\"aud\":\"shop\"}", 1, JWT_EXPIRED},
        {"[]", 0, JWT_BAD_PAYLOAD},
        {"{\"exp\":1,\"exp\":2000}", 0, JWT_BAD_PAYLOAD},
        {"{\"exp\":2000} ", 0, JWT_OK},
        {"{\"exp\":2000}{}", 0, JWT_BAD_PAYLOAD},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].payload);
        T_INT(check_at(rows[i].payload, rows[i].which == 0 ? &any : rows[i].which == 1 ? &strict : &eternal, 1000000),
              rows[i].f);
    }
}

static void claims_and_scopes(void)
{
    struct jwt t;
    const struct json *c;
    T_INT(jwt_parse(&a, slice_str(vec_rs256), &t), JWT_OK);
    c = t.claims;
    T_TEXT(t.kid, "rsa");
    T_TEXT(t.issuer, "https://idp.example");
    T_TEXT(jwt_claim_text(&a, jwt_claim(c, S("email"), '.')), "ann@example.com");
    T_TEXT(jwt_claim_text(&a, jwt_claim(c, S("org.unit.id"), '.')), "7");
    T_TEXT(jwt_claim_text(&a, jwt_claim(c, S("org:unit:id"), ':')), "7");
    T(jwt_claim(c, S("org.unit.none"), '.') == NULL);
    T(jwt_claim(c, S("email.x"), '.') == NULL);
    T(jwt_claim(c, S(".."), '.') == NULL);
    T_TEXT(jwt_claim_text(&a, jwt_claim(c, S("vip"), '.')), "true");
    T_TEXT(jwt_claim_text(&a, jwt_claim(c, S("roles"), '.')), "WyJhIiwiYiJd"); /* ["a","b"] */
    T(jwt_has_scope(c, S("read")) && jwt_has_scope(c, S("write")));
    T(!jwt_has_scope(c, S("rea")) && !jwt_has_scope(c, S("read write")) && !jwt_has_scope(c, S("")));
}

static void what_we_sign(void)
{
    static const struct {
        const char *key, *set;
        enum jwt_alg alg;
    } rows[] = {{vec_private_rsa, vec_jwks, JWT_RS256}, {vec_private_es256, vec_jwks, JWT_ES256},
                {vec_private_es384, vec_jwks, JWT_ES384}, {vec_private_es512, vec_jwks, JWT_ES512}};
    static const char *const kids[] = {"rsa", "es256", "es384", "es512"};
    struct slice token, secret = S("0123456789abcdef0123456789abcdef"), wrong = S("0123456789abcdef0123456789abcdeg");
    struct err e = {0};
    struct jwt t;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", kids[i]);
        T(jwt_sign(&a, slice_str(rows[i].key), slice_str(kids[i]), S("{\"iss\":\"me\",\"exp\":1}"), &token, &e) == RC_OK);
        T_INT(verify(arena_cstr(&a, token), rows[i].set, 1u << rows[i].alg), JWT_OK);
    }
    T(jwt_sign(&a, slice_str(vec_pem_rsa), S(""), S("{}"), &token, &e) == RC_BADINPUT);
    T(jwt_sign(&a, S("no key"), S(""), S("{}"), &token, &e) == RC_BADINPUT);
    token = jwt_sign_hs256(&a, secret, S("{\"r\":\"/x\"}"));
    T_INT(jwt_parse(&a, token, &t), JWT_OK);
    T_INT(jwt_verify_hs256(&t, secret), JWT_OK);
    T_INT(jwt_verify_hs256(&t, wrong), JWT_BAD_SIGNATURE);
    T_TEXT(json_str(t.claims, S("r")), "/x");
    T_INT(jwt_parse(&a, slice_str(vec_rs256), &t), JWT_OK);
    T_INT(jwt_verify_hs256(&t, secret), JWT_BAD_ALG);
}

static void every_fault_has_words(void)
{
    for (int f = 1; f < JWT_FAULTS; f++) {
        T_ROW("%d", f);
        T(jwt_fault_row((enum jwt_fault)f)->reason != NULL && jwt_fault_row((enum jwt_fault)f)->words[0] != '\0');
    }
}

int main(void)
{
    arena_init(&a, 4096, 0);
    hash_seed_init();
    T_RUN(every_algorithm);
    T_RUN(keys_in_pem);
    T_RUN(sets_that_are_refused);
    T_RUN(keys_that_are_left_out);
    T_RUN(kid_and_alg_choose_the_key);
    T_RUN(dates_issuer_and_audience);
    T_RUN(claims_and_scopes);
    T_RUN(what_we_sign);
    T_RUN(every_fault_has_words);
    arena_free(&a);
    return t_done();
}
