/*
 * jwt.h - JSON Web Tokens: read, verified, their claims checked; keys from JWKS and PEM; signing.
 *
 * JWS compact form only (RFC 7515, 7518, 7519, 7517, 8037). The type of the key decides which family of
 * algorithms may use it, the token's header never does: an RSA key verifies RS* and PS*, a curve
 * its one ES*, an Ed25519 key EdDSA, and a secret HS* only where the caller says JWKS_SYMMETRIC.
 * `none`, encrypted tokens, `crit`, doubled members, padding, RSA under 2048 bits or with e < 3 are
 * refused. `jwk`, `jku`, `x5u` and `x5c` of a token are not looked at; `kid` is a text to compare.
 *
 * Slices and JSON of a struct jwt live in the arena and in the token's text. A struct jwks is one block
 * of memory of its own; one thread at a time (mbedTLS keeps intermediate results in keys). The clock
 * is the caller's. Costs per signature: RS256 about 70 us, ES256 about 1 ms: keep what was verified.
 */
#ifndef WIRE_JWT_H
#define WIRE_JWT_H

#include "base/arena.h"
#include "base/err.h"
#include "wire/json.h"

enum jwt_alg {
    JWT_ALG_ANY, /* of a key: all that its type allows; of a name: unknown */
    JWT_RS256, JWT_RS384, JWT_RS512,
    JWT_PS256, JWT_PS384, JWT_PS512,
    JWT_ES256, JWT_ES384, JWT_ES512,
    JWT_EDDSA,
    JWT_HS256, JWT_HS384, JWT_HS512,
    JWT_ALGS
};
FN enum jwt_alg jwt_alg_of(struct slice name); /* case matters; JWT_ALG_ANY: not served */
FN const char *jwt_alg_name(enum jwt_alg alg) UNUSED;

/* Why a token does not count. Each has a reason code and the words that Envoy's JWT filter answers. */
enum jwt_fault {
    JWT_OK,
    JWT_MISSING,
    JWT_MALFORMED,
    JWT_ENCRYPTED,
    JWT_BAD_HEADER,
    JWT_BAD_PAYLOAD,
    JWT_BAD_ALG,
    JWT_NO_KID,
    JWT_NO_KEY,
    JWT_NO_KEYS,
    JWT_BAD_SIGNATURE,
    JWT_BAD_DATE,
    JWT_NO_EXP,
    JWT_EXPIRED,
    JWT_NOT_YET,
    JWT_WRONG_ISSUER,
    JWT_WRONG_AUDIENCE,
    JWT_FAULTS
};
struct jwt_fault_row {
    const char *reason; /* "token_expired" */
    const char *words;  /* "Jwt is expired" */
};
FN const struct jwt_fault_row *jwt_fault_row(enum jwt_fault f);

/* ---- keys ---- */

enum { JWKS_BYTES_MAX = 256 << 10, JWKS_KEYS_MAX = 100 };
enum {
    JWKS_SYMMETRIC = 1, /* secrets (kty oct) count: never for a set that came over the network */
    JWKS_NEED_KID = 2   /* keys without kid are left out */
};
struct jwks;
/* A JWK Set, one JWK, or one or more public keys in PEM. Keys for other uses, of unknown types and weak
 * ones are left out; RC_BADINPUT when none remains, e->text then says what was wrong with the last. */
FN enum rc jwks_parse(struct slice text, int flags, struct jwks **out, struct err *e) MUST_CHECK;
FN void jwks_free(struct jwks *k);
FN size_t jwks_count(const struct jwks *k) UNUSED;
/* Could a key of the set be the one of this token? False: it is worth asking for a newer set. */
struct jwt;
FN bool jwks_has(const struct jwks *k, const struct jwt *t);

/* ---- tokens ---- */

enum { JWT_TOKEN_MAX = 16 << 10, JWT_HEADER_MAX = 4 << 10, JWT_KID_MAX = 512 };
#define JWT_NO_DATE INT64_MIN
struct jwt {
    struct slice token, signed_part, payload; /* payload: its base64url */
    struct slice signature;                   /* decoded */
    enum jwt_alg alg;
    struct slice kid; /* "" when there is none */
    const struct json *header, *claims;
    struct slice issuer;              /* "" when there is none */
    int64_t exp_ms, nbf_ms, iat_ms;   /* or JWT_NO_DATE */
};
/* Form only: nothing in it is true before jwt_verify said JWT_OK. */
FN enum jwt_fault jwt_parse(struct arena *a, struct slice token, struct jwt *out) MUST_CHECK;
/* algs: bits 1 << enum jwt_alg that may be used, 0: all that the keys allow. */
FN enum jwt_fault jwt_verify(const struct jwt *t, struct jwks *keys, unsigned algs) MUST_CHECK;

struct jwt_want {
    struct slice issuer; /* exact, or "": any */
    const struct slice *audiences;
    size_t audiences_n;  /* one of them must be in aud; 0: any */
    int64_t skew_s;
    bool no_exp_ok;      /* a token without exp never ends */
};
FN enum jwt_fault jwt_check(const struct jwt *t, const struct jwt_want *w, int64_t now_ms) MUST_CHECK;

/* A claim by name; a name with dots that is no claim's name is a path: "realm_access.roles". */
FN const struct json *jwt_claim(const struct json *claims, struct slice name, char delimiter);
/* As a header value: text as it is, numbers and booleans as text, lists and objects as base64 of JSON. */
FN struct slice jwt_claim_text(struct arena *a, const struct json *claim);
/* True when it is a word of `scope` (spaces between) or a member of the list `scope` or `scp`. */
FN bool jwt_has_scope(const struct json *claims, struct slice scope);

/* ---- making tokens ---- */

/* With a private key in PEM: RS256 for RSA, ES256, ES384 or ES512 for a curve. claims is the payload as
 * JSON text; kid may be "". Blocks some milliseconds. Any thread. */
FN enum rc jwt_sign(struct arena *a, struct slice pem, struct slice kid, struct slice claims,
                    struct slice *out, struct err *e) MUST_CHECK UNUSED;
/* HS256 with our own secret (at least 32 bytes), for what we give away and get back ourselves. */
FN struct slice jwt_sign_hs256(struct arena *a, struct slice secret, struct slice claims) UNUSED;
FN enum jwt_fault jwt_verify_hs256(const struct jwt *t, struct slice secret) MUST_CHECK UNUSED;

/* jwk.c to jwt.c */
FN void jwt_digest(enum jwt_alg alg, struct slice in, uint8_t out[64], size_t *n);

#endif
