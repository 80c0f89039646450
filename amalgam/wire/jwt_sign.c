/*
 * jwt_sign.c - tokens that we make: client assertions for an identity provider, and state that we hand
 * out and get back.
 *
 * A private key is read from its PEM for every signature and wiped again: that happens at a login, not
 * at a check, and so keys live nowhere but in the set's Secrets. Any thread. Tested by test_jwt.c.
 */
#include "wire/jwt.h"

#include "base/mem.h"
#include "base/rand.h"
#include "wire/hash.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>

enum { JWT_SIGN_BYTES_MAX = 1024 };

static int jwt_sign_random(void *ctx, unsigned char *p, size_t n)
{
    (void)ctx;
    rand_bytes(p, n);
    return 0;
}

static struct slice jwt_sign_b64(struct arena *a, struct slice in)
{
    char *p = arena_alloc(a, B64_LEN(in.n) + 1);

    return slice_of(p, b64url_encode(p, in.p, in.n));
}

/* header.payload */
static struct slice jwt_sign_part(struct arena *a, enum jwt_alg alg, struct slice kid,
                                  struct slice claims)
{
    struct slice header, payload;
    struct jsonw w;
    struct buf b;

    buf_init(&b, 4096);
    jsonw_init(&w, &b);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("alg"), slice_str(jwt_alg_name(alg)));
    if (kid.n)
        jsonw_kstr(&w, S("kid"), kid);
    jsonw_kstr(&w, S("typ"), S("JWT"));
    jsonw_end_obj(&w);
    header = jwt_sign_b64(a, buf_all(&b));
    buf_free(&b);
    payload = jwt_sign_b64(a, claims);
    return arena_fmt(a, "%.*s.%.*s", SFMT(header), SFMT(payload));
}

static struct slice jwt_sign_join(struct arena *a, struct slice part, const void *sig, size_t n)
{
    struct slice text = jwt_sign_b64(a, slice_of(sig, n));

    return arena_fmt(a, "%.*s.%.*s", SFMT(part), SFMT(text));
}

/* RFC 7515 A.3: r and s as two numbers of the curve's length. */
static bool jwt_sign_ec(mbedtls_ecp_keypair *kp, const uint8_t *hash, size_t hash_n, size_t half,
                        uint8_t *sig)
{
    mbedtls_mpi r, s, d;
    mbedtls_ecp_group grp;
    bool good;

    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    mbedtls_mpi_init(&d);
    mbedtls_ecp_group_init(&grp);
    good = mbedtls_ecp_export(kp, &grp, &d, NULL) == 0 &&
           mbedtls_ecdsa_sign(&grp, &r, &s, &d, hash, hash_n, jwt_sign_random, NULL) == 0 &&
           mbedtls_mpi_write_binary(&r, sig, half) == 0 &&
           mbedtls_mpi_write_binary(&s, sig + half, half) == 0;
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&d);
    mbedtls_ecp_group_free(&grp);
    return good;
}

static enum jwt_alg jwt_sign_alg(mbedtls_pk_context *pk, size_t *half)
{
    size_t bits = mbedtls_pk_get_bitlen(pk);

    *half = (bits + 7) / 8;
    if (mbedtls_pk_get_type(pk) == MBEDTLS_PK_RSA)
        return bits >= 2048 && *half <= JWT_SIGN_BYTES_MAX ? JWT_RS256 : JWT_ALG_ANY;
    if (mbedtls_pk_get_type(pk) != MBEDTLS_PK_ECKEY)
        return JWT_ALG_ANY;
    switch (mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*pk))) {
    case MBEDTLS_ECP_DP_SECP256R1: return JWT_ES256;
    case MBEDTLS_ECP_DP_SECP384R1: return JWT_ES384;
    case MBEDTLS_ECP_DP_SECP521R1: return JWT_ES512;
    default: return JWT_ALG_ANY;
    }
}

static enum rc jwt_sign_with(struct arena *a, mbedtls_pk_context *pk, struct slice kid,
                             struct slice claims, struct slice *out, struct err *e)
{
    uint8_t hash[64], sig[JWT_SIGN_BYTES_MAX];
    size_t half = 0, hash_n = 0, sig_n;
    enum jwt_alg alg = jwt_sign_alg(pk, &half);
    struct slice part;
    bool good;

    if (alg == JWT_ALG_ANY)
        return err_set(e, RC_BADINPUT, "expected an RSA key of 2048 bits or more, or a P-256, P-384 or P-521 key");
    part = jwt_sign_part(a, alg, kid, claims);
    jwt_digest(alg, part, hash, &hash_n);
    sig_n = alg == JWT_RS256 ? half : half * 2;
    if (alg == JWT_RS256)
        good = mbedtls_pk_sign(pk, MBEDTLS_MD_SHA256, hash, hash_n, sig, sizeof sig, &sig_n,
                               jwt_sign_random, NULL) == 0;
    else
        good = jwt_sign_ec(mbedtls_pk_ec(*pk), hash, hash_n, half, sig);
    if (!good)
        return err_set(e, RC_BUG, "the key does not sign");
    *out = jwt_sign_join(a, part, sig, sig_n);
    return RC_OK;
}

enum rc jwt_sign(struct arena *a, struct slice pem, struct slice kid, struct slice claims,
                 struct slice *out, struct err *e)
{
    char *text = arena_cstr(a, pem);
    mbedtls_pk_context pk;
    enum rc rc;

    mbedtls_pk_init(&pk);
    if (mbedtls_pk_parse_key(&pk, (const uint8_t *)text, pem.n + 1, NULL, 0, jwt_sign_random, NULL) != 0)
        rc = err_set(e, RC_BADINPUT, "expected a private key in PEM, not encrypted");
    else
        rc = jwt_sign_with(a, &pk, kid, claims, out, e);
    mbedtls_pk_free(&pk);
    mem_wipe(text, pem.n);
    return rc;
}

struct slice jwt_sign_hs256(struct arena *a, struct slice secret, struct slice claims)
{
    struct slice part = jwt_sign_part(a, JWT_HS256, S(""), claims);
    uint8_t mac[32];

    MUST(secret.n >= 32);
    MUST(mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), (const uint8_t *)secret.p, secret.n,
                         (const uint8_t *)part.p, part.n, mac) == 0);
    return jwt_sign_join(a, part, mac, sizeof mac);
}
