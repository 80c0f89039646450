/*
 * fuzz_jwt.c - any bytes as a token: parsed, verified against every kind of key, checked, its claims read.
 * A token that verifies must be one of those that the seeds hold; the fuzzer has no private key.
 */
#include "base/map.h"
#include "unit/wire/jwt_vectors.h"
#include "wire/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct jwks *keys;
    static struct arena a;
    struct jwt_want want = {.skew_s = 60};
    struct jwt t;

    if (!keys) {
        hash_seed_init();
        arena_init(&a, 1 << 16, 0);
        MUST(jwks_parse(slice_str(vec_jwks), 0, &keys, NULL) == RC_OK);
    }
    arena_reset(&a);
    if (jwt_parse(&a, slice_of((const char *)data, n), &t) != JWT_OK)
        return 0;
    (void)jwks_has(keys, &t);
    if (jwt_verify(&t, keys, 0) == JWT_OK)
        MUST(slice_eq(jwt_claim_text(&a, jwt_claim(t.claims, S("sub"), '.')), S("ann")) ||
             slice_eq(jwt_claim_text(&a, jwt_claim(t.claims, S("sub"), '.')), S("bob")));
    (void)jwt_check(&t, &want, VEC_NOW_MS);
    for (uint32_t i = 0; i < t.claims->n; i++) {
        const struct json *c = jwt_claim(t.claims, t.claims->members[i].name, '.');
        (void)jwt_claim_text(&a, c);
    }
    (void)jwt_has_scope(t.claims, S("read"));
    return 0;
}
