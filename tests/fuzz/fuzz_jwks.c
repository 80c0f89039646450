/*
 * fuzz_jwks.c - any bytes as a set of keys, JSON or PEM; what is read then has to stand a token.
 */
#include "base/map.h"
#include "unit/wire/jwt_vectors.h"
#include "wire/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct arena a;
    static struct jwt rsa, ec, ed;
    struct jwks *keys = NULL;
    struct err e = {0};

    if (n == 0)
        return 0;
    if (!rsa.claims) {
        hash_seed_init();
        arena_init(&a, 1 << 16, 0);
        MUST(jwt_parse(&a, slice_str(vec_rs256), &rsa) == JWT_OK);
        MUST(jwt_parse(&a, slice_str(vec_es256), &ec) == JWT_OK);
        MUST(jwt_parse(&a, slice_str(vec_eddsa), &ed) == JWT_OK);
    }
    if (jwks_parse(slice_of((const char *)data + 1, n - 1), data[0] & 3, &keys, &e) != RC_OK)
        return 0;
    MUST(jwks_count(keys) > 0 && jwks_count(keys) <= JWKS_KEYS_MAX);
    (void)jwt_verify(&rsa, keys, 0);
    (void)jwt_verify(&ec, keys, 0);
    (void)jwt_verify(&ed, keys, 0);
    jwks_free(keys);
    return 0;
}
