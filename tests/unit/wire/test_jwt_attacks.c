/*
 * test_jwt_attacks.c - the attacks on tokens that have worked elsewhere, by their number in docs/security.md
 * (30 to 34 and 36); those that need a policy are in tests/unit/policy/test_jwt_steps.c.
 */
#include "t.h"

#include "base/map.h"
#include "jwt_vectors.h"
#include "wire/hash.h"
#include "wire/jwt.h"

#include <stdio.h>

static struct arena a;

static struct jwks *keys(const char *text)
{
    struct jwks *k = NULL;
    MUST(jwks_parse(slice_str(text), JWKS_SYMMETRIC, &k, NULL) == RC_OK);
    return k;
}

static enum jwt_fault try_slice(struct slice token, const char *set)
{
    struct jwks *k = keys(set);
    struct jwt t;
    enum jwt_fault f = jwt_parse(&a, token, &t);
    if (f == JWT_OK)
        f = jwt_verify(&t, k, 0);
    jwks_free(k);
    return f;
}

/* Header and payload as given, the signature of another token. */
static struct slice make(const char *header, const char *payload, const char *signature)
{
    size_t room = 4 * (strlen(header) + strlen(payload) + strlen(signature)) + 16;
    char *text = arena_alloc(&a, room), *p = text;
    p += b64url_encode(p, header, strlen(header));
    *p++ = '.';
    p += b64url_encode(p, payload, strlen(payload));
    *p++ = '.';
    memcpy(p, signature, strlen(signature));
    return slice_of(text, (size_t)(p - text) + strlen(signature));
}

#define CLAIMS "{\"sub\":\"ann\",\"exp\":9999999999}"

static void attack_30_alg_none(void)
{
    static const char *const algs[] = {"none", "None", "nOnE", "NONE", "", "HS257", "rs256", "RS256 ", "ES256K", "null"};
    static const char *const sigs[] = {"", "AAAA"};
    for (size_t i = 0; i < ARRAY_LEN(algs); i++)
        for (size_t s = 0; s < 2; s++) {
            char header[100];
            T_ROW("%s %s", algs[i], sigs[s]);
            snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"rsa\"}", algs[i]);
            T_INT(try_slice(make(header, CLAIMS, sigs[s]), vec_jwks), JWT_BAD_ALG);
        }
    T_ROW("absent or no text");
    T_INT(try_slice(make("{\"kid\":\"rsa\"}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_ALG);
    T_INT(try_slice(make("{\"alg\":null}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_ALG);
    T_INT(try_slice(make("{\"alg\":[\"RS256\"]}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_ALG);
    T_ROW("an empty signature");
    T_INT(try_slice(make("{\"alg\":\"RS256\"}", CLAIMS, ""), vec_jwks), JWT_BAD_SIGNATURE);
    T_INT(try_slice(make("{\"alg\":\"HS256\"}", CLAIMS, ""), vec_jwks_secret), JWT_BAD_SIGNATURE);
    T_INT(try_slice(make("{\"alg\":\"EdDSA\"}", CLAIMS, ""), vec_jwks), JWT_BAD_SIGNATURE);
}

static void attack_31_the_public_key_as_a_secret(void)
{
    static const char *const tokens[] = {vec_hs256_by_pem, vec_hs256_by_jwk, vec_hs256_by_n, vec_hs256_by_ec, vec_hs256_empty};
    static const char *const sets[] = {vec_jwks, vec_jwks_rsa, vec_pem_rsa, vec_pem_ec, vec_pem_ed};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        for (size_t k = 0; k < ARRAY_LEN(sets); k++) {
            T_ROW("token %zu, set %zu", i, k);
            T_INT(try_slice(slice_str(tokens[i]), sets[k]), JWT_NO_KEY);
        }
    T_ROW("empty and short secrets are no keys");
    for (int i = 0; i < 3; i++) {
        static const char *const sets_of_none[] = {"{\"kty\":\"oct\",\"k\":\"\"}", "{\"kty\":\"oct\"}", "{\"kty\":\"oct\",\"k\":\"AA\"}"};
        struct jwks *k = NULL;
        T(jwks_parse(slice_str(sets_of_none[i]), JWKS_SYMMETRIC, &k, NULL) != RC_OK);
    }
    T_ROW("a secret in a set from the network");
    struct jwks *k = NULL;
    T(jwks_parse(slice_str(vec_jwks_secret), 0, &k, NULL) != RC_OK);
    T_ROW("and a secret verifies nothing but its own HS");
    T_INT(try_slice(slice_str(vec_rs256), vec_jwks_secret), JWT_NO_KEY);
    T_INT(try_slice(slice_str(vec_hs512), vec_rfc7515_a1_jwks), JWT_NO_KEY);
}

static void attack_32_keys_in_the_header(void)
{
    T_INT(try_slice(slice_str(vec_rs256_with_jwk), vec_jwks), JWT_BAD_SIGNATURE); /* not with its own key */
    T_INT(try_slice(slice_str(vec_rs256_crit), vec_jwks), JWT_BAD_HEADER);
    T_INT(try_slice(make("{\"alg\":\"RS256\",\"crit\":[]}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
    T_INT(try_slice(make("{\"alg\":\"RS256\",\"b64\":false}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
}

static void attack_33_kid(void)
{
    static const char *const kids[] = {"../../dev/null", "' OR 1=1 --", "rsa\\u0000", "\\u0000", "RSA", "rsa ", "/etc/passwd"};
    char header[JWT_HEADER_MAX];
    for (size_t i = 0; i < ARRAY_LEN(kids); i++) {
        T_ROW("%s", kids[i]);
        snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%s\"}", kids[i]);
        T_INT(try_slice(make(header, CLAIMS, "AAAA"), vec_jwks), JWT_NO_KEY);
    }
    T_ROW("long, and no text");
    snprintf(header, sizeof header, "{\"alg\":\"RS256\",\"kid\":\"%0600d\"}", 7);
    T_INT(try_slice(make(header, CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
    T_INT(try_slice(make("{\"alg\":\"RS256\",\"kid\":7}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
    T_ROW("twice the same kid: both are tried");
    char two[4096];
    struct slice key = slice_str(vec_jwks_rsa), other = slice_str(vec_jwks_small);
    (void)other;
    snprintf(two, sizeof two,
             "{\"keys\":[{\"kty\":\"OKP\",\"kid\":\"rsa\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},%.*s",
             SFMT(slice_from(key, slice_index(key, '[') + 1)));
    T_INT(try_slice(slice_str(vec_rs256), two), JWT_OK);
}

/* r and s of the given bytes, the rest of the token right. */
static enum jwt_fault with_signature(const char *token, const char *set, const uint8_t *sig, size_t n)
{
    struct slice t = slice_str(token), head = slice_sub(t, 0, slice_rindex(t, '.') + 1);
    char text[4096];
    memcpy(text, head.p, head.n);
    n = b64url_encode(text + head.n, sig, n);
    return try_slice(arena_dup(&a, slice_of(text, head.n + n)), set);
}

static void attack_34_odd_numbers(void)
{
    /* n of P-256 */
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    uint8_t sig[132] = {0};
    T_ROW("r = s = 0");
    T_INT(with_signature(vec_es256, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    T_INT(with_signature(vec_es384, vec_jwks, sig, 96), JWT_BAD_SIGNATURE);
    T_INT(with_signature(vec_es512, vec_jwks, sig, 132), JWT_BAD_SIGNATURE);
    T_ROW("r = 0, s = 1 and r = 1, s = 0");
    sig[63] = 1;
    T_INT(with_signature(vec_es256, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    sig[63] = 0;
    sig[31] = 1;
    T_INT(with_signature(vec_es256, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    T_ROW("r, s = n, and above");
    memcpy(sig, order, 32);
    memcpy(sig + 32, order, 32);
    T_INT(with_signature(vec_es256, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    memset(sig, 0xff, 64);
    T_INT(with_signature(vec_es256, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    T_ROW("wrong lengths");
    for (size_t n = 1; n <= sizeof sig; n++)
        T_INT(with_signature(vec_es256, vec_jwks, sig, n), JWT_BAD_SIGNATURE);
    T_ROW("another curve's algorithm");
    T_INT(try_slice(make("{\"alg\":\"ES384\",\"kid\":\"es256\"}", CLAIMS, "AAAA"), vec_jwks), JWT_NO_KEY);
    T_ROW("Ed25519: all zero, and s not below the order");
    memset(sig, 0, sizeof sig);
    T_INT(with_signature(vec_eddsa, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    memset(sig + 32, 0xff, 32);
    T_INT(with_signature(vec_eddsa, vec_jwks, sig, 64), JWT_BAD_SIGNATURE);
    T_ROW("RSA: zero, shorter, longer");
    memset(sig, 0, sizeof sig);
    T_INT(with_signature(vec_rs256, vec_jwks, sig, 1), JWT_BAD_SIGNATURE);
    T_INT(with_signature(vec_rs256, vec_jwks, sig, 132), JWT_BAD_SIGNATURE);
}

static void attack_34_weak_keys(void)
{
    static const char *const exponents[] = {"AQ", "Ag", "AA", "BA", "AQAAAAAB"}; /* 1, 2, 0, 4, 2^40 + 1 */
    struct slice good = slice_str(vec_jwks_rsa);
    size_t e = slice_find(good, S("\"AQAB\""));
    struct jwks *k = NULL;
    char text[2048];

    for (size_t i = 0; i < ARRAY_LEN(exponents); i++) {
        T_ROW("e %s", exponents[i]);
        snprintf(text, sizeof text, "%.*s\"%s\"%.*s", (int)e, good.p, exponents[i], SFMT(slice_from(good, e + 6)));
        T(jwks_parse(slice_str(text), 0, &k, NULL) != RC_OK);
    }
    T_ROW("1024 bits");
    T(jwks_parse(slice_str(vec_jwks_small), 0, &k, NULL) != RC_OK);
    T_ROW("points that are not on the curve");
    T(jwks_parse(S("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\",\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}"), 0, &k, NULL) != RC_OK);
    T(jwks_parse(S("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}"), 0, &k, NULL) != RC_OK);
}

static void attack_36_form(void)
{
    struct slice t = slice_str(vec_rs256), part[3], rest = t;
    char *big = arena_alloc(&a, 2 << 20);
    char text[4096];

    for (int i = 0; i < 3; i++)
        part[i] = slice_cut(rest, '.', &rest);
    T_ROW("dots");
    memset(big, '.', 2 << 20);
    T_INT(try_slice(slice_of(big, 2 << 20), vec_jwks), JWT_MALFORMED);
    T_INT(try_slice(slice_of(big, 9000), vec_jwks), JWT_MALFORMED);
    T_INT(try_slice(S(".."), vec_jwks), JWT_MALFORMED);
    T_INT(try_slice(S("a.b"), vec_jwks), JWT_MALFORMED);
    T_INT(try_slice(S(""), vec_jwks), JWT_MISSING);
    T_ROW("a large header");
    memset(big, 'A', 2 << 20);
    big[5000] = big[6000] = '.';
    T_INT(try_slice(slice_of(big, 7000), vec_jwks), JWT_MALFORMED);
    T_INT(try_slice(slice_of(big, 1 << 20), vec_jwks), JWT_MALFORMED);
    T_ROW("deep JSON");
    memset(big, '[', 3000);
    big[3000] = '\0';
    T_INT(try_slice(make(big, CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
    T_INT(try_slice(make("{\"alg\":\"RS256\"}", big, "AAAA"), vec_jwks), JWT_BAD_PAYLOAD);
    T_ROW("members twice");
    T_INT(try_slice(make("{\"alg\":\"RS256\",\"alg\":\"none\"}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
    T_INT(try_slice(make("{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_HEADER);
    T_INT(try_slice(make("{\"alg\":\"RS256\"}", "{\"exp\":1,\"sub\":\"a\",\"sub\":\"b\"}", "AAAA"), vec_jwks), JWT_BAD_PAYLOAD);
    T_ROW("the JSON form");
    T_INT(try_slice(S("{\"payload\":\"e30\",\"signatures\":[]}"), vec_jwks), JWT_MALFORMED);
    T_INT(try_slice(S("{\"a.b\":\"c.d\"}"), vec_jwks), JWT_BAD_HEADER);
    T_ROW("padding, spaces, the other alphabet, trailing bits");
    static const char *const spoils[] = {"=", " ", "\n", "\t", "+", "/", "%", "A=", "\x80"};
    for (size_t i = 0; i < ARRAY_LEN(spoils); i++)
        for (int k = 0; k < 3; k++) {
            size_t n = (size_t)snprintf(text, sizeof text, "%.*s%s.%.*s%s.%.*s%s", SFMT(part[0]), k == 0 ? spoils[i] : "",
                                        SFMT(part[1]), k == 1 ? spoils[i] : "", SFMT(part[2]), k == 2 ? spoils[i] : "");
            T_ROW("%zu behind part %d", i, k);
            T(try_slice(slice_of(text, n), vec_jwks) != JWT_OK);
        }
    T_ROW("the last character's unused bits");
    memcpy(text, t.p, t.n);
    for (int c = 'A'; c <= 'z'; c++) {
        text[t.n - 1] = (char)c;
        T((try_slice(slice_of(text, t.n), vec_jwks) == JWT_OK) == (c == t.p[t.n - 1]));
    }
}

static void attack_36_encrypted(void)
{
    T_INT(try_slice(S("eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.e30.e30.e30.e30"), vec_jwks), JWT_ENCRYPTED);
    T_INT(try_slice(make("{\"alg\":\"PBES2-HS256+A128KW\",\"enc\":\"A128GCM\",\"p2c\":2147483647}", CLAIMS, "AAAA"), vec_jwks), JWT_ENCRYPTED);
    T_INT(try_slice(make("{\"alg\":\"RS256\",\"zip\":\"DEF\"}", CLAIMS, "AAAA"), vec_jwks), JWT_ENCRYPTED);
    T_INT(try_slice(make("{\"alg\":\"dir\"}", CLAIMS, "AAAA"), vec_jwks), JWT_BAD_ALG);
}

int main(void)
{
    arena_init(&a, 4096, 0);
    hash_seed_init();
    T_RUN(attack_30_alg_none);
    T_RUN(attack_31_the_public_key_as_a_secret);
    T_RUN(attack_32_keys_in_the_header);
    T_RUN(attack_33_kid);
    T_RUN(attack_34_odd_numbers);
    T_RUN(attack_34_weak_keys);
    T_RUN(attack_36_form);
    T_RUN(attack_36_encrypted);
    arena_free(&a);
    return t_done();
}
