/*
 * jwk.c - public keys (and configured secrets) of tokens: from JWK Sets and PEM, and the check of one
 * signature with them.
 *
 * Whoever sends a token chooses its header, so nothing here follows it further than to pick among keys
 * that the configuration gave: same kid when it has one, a family that fits the key's type, the curve
 * of the algorithm, and what the key itself says in alg, use and key_ops. A key that could not verify
 * safely is left out when the set is read. RSA and ECDSA are mbedTLS', Ed25519 is libsodium's.
 * One owner and one thread per set. Tested by tests/unit/wire/test_jwt.c and tests/fuzz/fuzz_jwks.c.
 */
#include "wire/jwt.h"

#include "base/mem.h"
#include "wire/hash.h"

#include <mbedtls/ecdsa.h>
#include <mbedtls/md.h>
#include <mbedtls/pk.h>
#include <mbedtls/rsa.h>
#include <mbedtls/sha512.h>
#include <sodium/crypto_sign_ed25519.h>

enum { JWK_RSA_BITS_MIN = 2048, JWK_RSA_BYTES_MAX = 1024, JWK_TRIES_MAX = 8, JWK_SECRET_MAX = 1024 };
enum { JWK_ED_KEY = 32, JWK_ED_SIGNATURE = 64, JWK_COORD_MAX = 66 };

enum jwk_kind { JWK_RSA, JWK_EC, JWK_ED, JWK_OCT };
struct jwk {
    enum jwk_kind kind;
    enum jwt_alg alg; /* the only one, or JWT_ALG_ANY */
    struct slice kid;
    union {
        mbedtls_rsa_context rsa;
        struct {
            mbedtls_ecp_group grp;
            mbedtls_ecp_point q;
        } ec;
        uint8_t ed[JWK_ED_KEY];
        struct slice secret;
    } u;
};
struct jwks {
    struct arena arena; /* the array, kids and secrets */
    struct jwk *v;
    size_t n;
};

/* ---- algorithms ---- */

struct jwk_alg_row {
    const char *name;
    enum jwk_kind kind;
    mbedtls_md_type_t md;
    mbedtls_ecp_group_id curve;
    bool pss;
};
static const struct jwk_alg_row jwk_algs[JWT_ALGS] = {
    [JWT_ALG_ANY] = {"", JWK_OCT, MBEDTLS_MD_NONE, MBEDTLS_ECP_DP_NONE, false},
    [JWT_RS256] = {"RS256", JWK_RSA, MBEDTLS_MD_SHA256, MBEDTLS_ECP_DP_NONE, false},
    [JWT_RS384] = {"RS384", JWK_RSA, MBEDTLS_MD_SHA384, MBEDTLS_ECP_DP_NONE, false},
    [JWT_RS512] = {"RS512", JWK_RSA, MBEDTLS_MD_SHA512, MBEDTLS_ECP_DP_NONE, false},
    [JWT_PS256] = {"PS256", JWK_RSA, MBEDTLS_MD_SHA256, MBEDTLS_ECP_DP_NONE, true},
    [JWT_PS384] = {"PS384", JWK_RSA, MBEDTLS_MD_SHA384, MBEDTLS_ECP_DP_NONE, true},
    [JWT_PS512] = {"PS512", JWK_RSA, MBEDTLS_MD_SHA512, MBEDTLS_ECP_DP_NONE, true},
    [JWT_ES256] = {"ES256", JWK_EC, MBEDTLS_MD_SHA256, MBEDTLS_ECP_DP_SECP256R1, false},
    [JWT_ES384] = {"ES384", JWK_EC, MBEDTLS_MD_SHA384, MBEDTLS_ECP_DP_SECP384R1, false},
    [JWT_ES512] = {"ES512", JWK_EC, MBEDTLS_MD_SHA512, MBEDTLS_ECP_DP_SECP521R1, false},
    [JWT_EDDSA] = {"EdDSA", JWK_ED, MBEDTLS_MD_NONE, MBEDTLS_ECP_DP_NONE, false},
    [JWT_HS256] = {"HS256", JWK_OCT, MBEDTLS_MD_SHA256, MBEDTLS_ECP_DP_NONE, false},
    [JWT_HS384] = {"HS384", JWK_OCT, MBEDTLS_MD_SHA384, MBEDTLS_ECP_DP_NONE, false},
    [JWT_HS512] = {"HS512", JWK_OCT, MBEDTLS_MD_SHA512, MBEDTLS_ECP_DP_NONE, false},
};

enum jwt_alg jwt_alg_of(struct slice name)
{
    for (int a = JWT_ALG_ANY + 1; a < JWT_ALGS; a++)
        if (slice_eq(name, slice_str(jwk_algs[a].name)))
            return (enum jwt_alg)a;
    return JWT_ALG_ANY;
}

const char *jwt_alg_name(enum jwt_alg alg)
{
    return jwk_algs[alg].name;
}

void jwt_digest(enum jwt_alg alg, struct slice in, uint8_t out[64], size_t *n)
{
    *n = jwk_algs[alg].md == MBEDTLS_MD_SHA256 ? 32 : jwk_algs[alg].md == MBEDTLS_MD_SHA384 ? 48 : 64;
    if (*n == 32)
        sha256(in, out);
    else
        MUST(mbedtls_sha512((const uint8_t *)in.p, in.n, out, *n == 48) == 0);
}

static size_t jwk_coord_bytes(const struct jwk *k)
{
    return (k->u.ec.grp.pbits + 7) / 8;
}

static bool jwk_fits(const struct jwk *k, enum jwt_alg alg)
{
    const struct jwk_alg_row *a = &jwk_algs[alg];

    if (alg == JWT_ALG_ANY || a->kind != k->kind || (k->alg != JWT_ALG_ANY && k->alg != alg))
        return false;
    return k->kind != JWK_EC || k->u.ec.grp.id == a->curve;
}

/* ---- one signature ---- */

static bool jwk_verify_rsa(struct jwk *k, const struct jwt *t)
{
    const struct jwk_alg_row *a = &jwk_algs[t->alg];
    const uint8_t *sig = (const uint8_t *)t->signature.p;
    uint8_t hash[64];
    size_t n;

    if (t->signature.n != mbedtls_rsa_get_len(&k->u.rsa))
        return false;
    jwt_digest(t->alg, t->signed_part, hash, &n);
    if (a->pss) /* RFC 7518 3.5: the salt is as long as the digest */
        return mbedtls_rsa_rsassa_pss_verify_ext(&k->u.rsa, a->md, (unsigned)n, hash, a->md, (int)n,
                                                 sig) == 0;
    return mbedtls_rsa_rsassa_pkcs1_v15_verify(&k->u.rsa, a->md, (unsigned)n, hash, sig) == 0;
}

/* r and s as two numbers of the curve's length; mbedTLS refuses those outside 1..n-1. */
static bool jwk_verify_ec(struct jwk *k, const struct jwt *t)
{
    size_t half = jwk_coord_bytes(k), n;
    const uint8_t *sig = (const uint8_t *)t->signature.p;
    mbedtls_mpi r, s;
    uint8_t hash[64];
    bool good;

    if (t->signature.n != half * 2)
        return false;
    jwt_digest(t->alg, t->signed_part, hash, &n);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    good = mbedtls_mpi_read_binary(&r, sig, half) == 0 &&
           mbedtls_mpi_read_binary(&s, sig + half, half) == 0 &&
           mbedtls_ecdsa_verify(&k->u.ec.grp, hash, n, &k->u.ec.q, &r, &s) == 0;
    mbedtls_mpi_free(&r);
    mbedtls_mpi_free(&s);
    return good;
}

static bool jwk_verify_secret(struct slice secret, const struct jwt *t)
{
    const mbedtls_md_info_t *md = mbedtls_md_info_from_type(jwk_algs[t->alg].md);
    uint8_t mac[64];

    MUST(mbedtls_md_hmac(md, (const uint8_t *)secret.p, secret.n, (const uint8_t *)t->signed_part.p,
                         t->signed_part.n, mac) == 0);
    return slice_eq_secret(t->signature, slice_of((const char *)mac, mbedtls_md_get_size(md)));
}

static bool jwk_verify(struct jwk *k, const struct jwt *t)
{
    switch (k->kind) {
    case JWK_RSA: return jwk_verify_rsa(k, t);
    case JWK_EC: return jwk_verify_ec(k, t);
    case JWK_ED:
        return t->signature.n == JWK_ED_SIGNATURE &&
               crypto_sign_ed25519_verify_detached((const uint8_t *)t->signature.p,
                                                   (const uint8_t *)t->signed_part.p,
                                                   t->signed_part.n, k->u.ed) == 0;
    case JWK_OCT: return jwk_verify_secret(k->u.secret, t);
    }
    return false;
}

static bool jwk_is_meant(const struct jwk *k, const struct jwt *t)
{
    return jwk_fits(k, t->alg) && (t->kid.n == 0 || slice_eq(k->kid, t->kid) || k->kid.n == 0);
}

bool jwks_has(const struct jwks *k, const struct jwt *t)
{
    for (size_t i = 0; i < k->n; i++)
        if (jwk_is_meant(&k->v[i], t))
            return true;
    return false;
}

enum jwt_fault jwt_verify(const struct jwt *t, struct jwks *keys, unsigned algs)
{
    int tries = 0;

    if (algs && !(algs & 1u << t->alg))
        return JWT_BAD_ALG;
    for (size_t i = 0; i < keys->n && tries < JWK_TRIES_MAX; i++) {
        if (!jwk_is_meant(&keys->v[i], t))
            continue;
        tries++;
        if (jwk_verify(&keys->v[i], t))
            return JWT_OK;
    }
    return tries ? JWT_BAD_SIGNATURE : JWT_NO_KEY;
}

enum jwt_fault jwt_verify_hs256(const struct jwt *t, struct slice secret)
{
    MUST(secret.n >= 32);
    if (t->alg != JWT_HS256)
        return JWT_BAD_ALG;
    return jwk_verify_secret(secret, t) ? JWT_OK : JWT_BAD_SIGNATURE;
}

/* ---- reading keys ---- */

static enum rc jwk_refused(struct err *e, const char *why)
{
    return err_set(e, RC_BADINPUT, "a key cannot be used: %s", why);
}

/* A member in base64url, at most cap bytes. */
static bool jwk_bytes(const struct json *o, const char *name, uint8_t *dst, size_t cap, size_t *n)
{
    struct slice text = json_str(o, slice_str(name));

    return text.n > 0 && b64url_decode(text, dst, cap, n) == RC_OK && *n > 0;
}

/* The largest public exponent in use is 65537; four bytes bound the work. */
static enum rc jwk_check_rsa(mbedtls_rsa_context *rsa, struct err *e)
{
    mbedtls_mpi exponent;
    bool small;

    mbedtls_mpi_init(&exponent);
    if (mbedtls_rsa_export(rsa, NULL, NULL, NULL, NULL, &exponent) != 0)
        small = false;
    else
        small = mbedtls_mpi_cmp_int(&exponent, 3) >= 0 && mbedtls_mpi_size(&exponent) <= 4;
    mbedtls_mpi_free(&exponent);
    if (!small)
        return jwk_refused(e, "its RSA exponent is not between 3 and 2^32");
    if (mbedtls_rsa_get_bitlen(rsa) < JWK_RSA_BITS_MIN)
        return jwk_refused(e, "RSA needs at least 2048 bits");
    if (mbedtls_rsa_check_pubkey(rsa) != 0)
        return jwk_refused(e, "it is no RSA key");
    return RC_OK;
}

static enum rc jwk_read_rsa(const struct json *o, struct jwk *k, struct err *e)
{
    uint8_t n[JWK_RSA_BYTES_MAX], x[8];
    size_t n_len = 0, x_len = 0;

    if (!jwk_bytes(o, "n", n, sizeof n, &n_len) || !jwk_bytes(o, "e", x, sizeof x, &x_len))
        return jwk_refused(e, "n or e is no base64url of a fitting length");
    k->kind = JWK_RSA;
    mbedtls_rsa_init(&k->u.rsa);
    if (mbedtls_rsa_import_raw(&k->u.rsa, n, n_len, NULL, 0, NULL, 0, NULL, 0, x, x_len) != 0 ||
        mbedtls_rsa_complete(&k->u.rsa) != 0)
        return jwk_refused(e, "it is no RSA key");
    return jwk_check_rsa(&k->u.rsa, e);
}

static enum rc jwk_read_ec(const struct json *o, struct jwk *k, struct err *e)
{
    static const struct {
        const char *name;
        mbedtls_ecp_group_id id;
    } curves[] = {{"P-256", MBEDTLS_ECP_DP_SECP256R1},
                  {"P-384", MBEDTLS_ECP_DP_SECP384R1},
                  {"P-521", MBEDTLS_ECP_DP_SECP521R1}};
    uint8_t point[1 + 2 * JWK_COORD_MAX] = {4};
    size_t i = 0, x = 0, y = 0, n;

    while (i < ARRAY_LEN(curves) && !slice_eq(json_str(o, S("crv")), slice_str(curves[i].name)))
        i++;
    if (i == ARRAY_LEN(curves))
        return jwk_refused(e, "its curve is not P-256, P-384 or P-521");
    k->kind = JWK_EC;
    mbedtls_ecp_group_init(&k->u.ec.grp);
    mbedtls_ecp_point_init(&k->u.ec.q);
    MUST(mbedtls_ecp_group_load(&k->u.ec.grp, curves[i].id) == 0);
    n = jwk_coord_bytes(k);
    if (!jwk_bytes(o, "x", point + 1, n, &x) || !jwk_bytes(o, "y", point + 1 + n, n, &y) || x != n ||
        y != n)
        return jwk_refused(e, "x or y is not as long as the curve's field");
    if (mbedtls_ecp_point_read_binary(&k->u.ec.grp, &k->u.ec.q, point, 1 + 2 * n) != 0 ||
        mbedtls_ecp_check_pubkey(&k->u.ec.grp, &k->u.ec.q) != 0)
        return jwk_refused(e, "its point is not on the curve");
    return RC_OK;
}

static enum rc jwk_read_okp(const struct json *o, struct jwk *k, struct err *e)
{
    size_t n = 0;

    if (!slice_eq(json_str(o, S("crv")), S("Ed25519")))
        return jwk_refused(e, "of the kty OKP only Ed25519 is served");
    k->kind = JWK_ED;
    if (!jwk_bytes(o, "x", k->u.ed, sizeof k->u.ed, &n) || n != sizeof k->u.ed)
        return jwk_refused(e, "x is not 32 bytes");
    return RC_OK;
}

/* RFC 7518 3.2: not shorter than the digest. A secret without alg is for HS256. */
static enum rc jwk_read_oct(struct jwks *set, const struct json *o, struct jwk *k, int flags,
                            struct err *e)
{
    size_t n = 0, least = k->alg == JWT_HS512 ? 64 : k->alg == JWT_HS384 ? 48 : 32;
    uint8_t *secret = arena_alloc(&set->arena, JWK_SECRET_MAX);

    if (!(flags & JWKS_SYMMETRIC))
        return jwk_refused(e, "a secret (kty oct) has no place in this set");
    k->kind = JWK_OCT;
    if (!jwk_bytes(o, "k", secret, JWK_SECRET_MAX, &n) || n < least)
        return jwk_refused(e, "the secret is shorter than the digest (32, 48 or 64 bytes)");
    k->u.secret = slice_of((const char *)secret, n);
    if (k->alg == JWT_ALG_ANY)
        k->alg = JWT_HS256;
    return RC_OK;
}

static void jwk_wipe(struct jwk *k)
{
    if (k->kind == JWK_RSA)
        mbedtls_rsa_free(&k->u.rsa);
    if (k->kind == JWK_EC) {
        mbedtls_ecp_group_free(&k->u.ec.grp);
        mbedtls_ecp_point_free(&k->u.ec.q);
    }
    if (k->kind == JWK_OCT && k->u.secret.n)
        mem_wipe((void *)(uintptr_t)k->u.secret.p, k->u.secret.n);
}

/* Said to be for something else than verifying signatures? */
static bool jwk_other_use(const struct json *o)
{
    const struct json *use = json_get(o, S("use")), *ops = json_get(o, S("key_ops"));

    if (use && !slice_eq(json_str(o, S("use")), S("sig")))
        return true;
    if (!ops)
        return false;
    for (uint32_t i = 0; ops->kind == JSON_ARR && i < ops->n; i++)
        if (ops->items[i].kind == JSON_STR && slice_eq(ops->items[i].s, S("verify")))
            return false;
    return true;
}

static enum rc jwk_read_kind(struct jwks *set, const struct json *o, int flags, struct jwk *k,
                             struct err *e)
{
    struct slice kty = json_str(o, S("kty"));

    if (slice_eq(kty, S("RSA")))
        return jwk_read_rsa(o, k, e);
    if (slice_eq(kty, S("EC")))
        return jwk_read_ec(o, k, e);
    if (slice_eq(kty, S("OKP")))
        return jwk_read_okp(o, k, e);
    if (slice_eq(kty, S("oct")))
        return jwk_read_oct(set, o, k, flags, e);
    return jwk_refused(e, "its kty is not RSA, EC, OKP or oct");
}

static enum rc jwk_read(struct jwks *set, const struct json *o, int flags, struct jwk *k, struct err *e)
{
    const struct json *alg = json_get(o, S("alg"));
    struct slice kid = json_str(o, S("kid"));
    enum rc rc;

    *k = (struct jwk){.kind = JWK_ED};
    if (o->kind != JSON_OBJ)
        return jwk_refused(e, "it is no JSON object");
    if (jwk_other_use(o))
        return jwk_refused(e, "its use or key_ops is not to verify signatures");
    if (kid.n > JWT_KID_MAX)
        return jwk_refused(e, "its kid is longer than 512 bytes");
    if (kid.n == 0 && (flags & JWKS_NEED_KID))
        return jwk_refused(e, "it has no kid");
    k->kid = arena_dup(&set->arena, kid);
    k->alg = alg ? jwt_alg_of(json_str(o, S("alg"))) : JWT_ALG_ANY;
    if (alg && k->alg == JWT_ALG_ANY)
        return jwk_refused(e, "its alg is not served");
    rc = jwk_read_kind(set, o, flags, k, e);
    if (rc == RC_OK && k->alg != JWT_ALG_ANY && !jwk_fits(k, k->alg))
        rc = jwk_refused(e, "its alg does not fit its type");
    if (rc != RC_OK)
        jwk_wipe(k);
    return rc;
}

static enum rc jwks_read_json(struct jwks *set, const struct json *j, int flags, struct err *e)
{
    const struct json *keys = json_get(j, S("keys"));
    size_t n = 1;

    if (keys && keys->kind != JSON_ARR)
        return err_set(e, RC_BADINPUT, "the member keys is no list");
    if (!keys && !json_get(j, S("kty")))
        return err_set(e, RC_BADINPUT, "it is no JWK Set: there is no member keys");
    if (keys)
        n = MIN(keys->n, JWKS_KEYS_MAX);
    set->v = ARENA_ARRAY(&set->arena, struct jwk, n + 1);
    if (n == 0)
        return err_set(e, RC_BADINPUT, "the JWK Set is empty");
    for (size_t i = 0; i < n; i++)
        if (jwk_read(set, keys ? &keys->items[i] : j, flags, &set->v[set->n], e) == RC_OK)
            set->n++;
    return set->n ? RC_OK : RC_BADINPUT;
}

/* ---- PEM ---- */

/* SubjectPublicKeyInfo of Ed25519 (RFC 8410): these 12 bytes, then the key. */
static bool jwk_pem_ed(struct slice body, struct jwk *k)
{
    static const uint8_t head[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    uint8_t der[48];
    char text[64];
    size_t n = 0;

    for (size_t i = 0; i < body.n; i++) {
        if (body.p[i] == '\n' || body.p[i] == '\r' || body.p[i] == ' ')
            continue;
        if (n == sizeof text)
            return false;
        text[n++] = body.p[i];
    }
    if (b64_decode(slice_of(text, n), der, sizeof der, &n) != RC_OK || n != sizeof head + JWK_ED_KEY ||
        memcmp(der, head, sizeof head) != 0)
        return false;
    k->kind = JWK_ED;
    memcpy(k->u.ed, der + sizeof head, JWK_ED_KEY);
    return true;
}

static enum rc jwk_pem_copy(mbedtls_pk_context *pk, struct jwk *k, struct err *e)
{
    mbedtls_pk_type_t type = mbedtls_pk_get_type(pk);
    mbedtls_mpi none;
    bool good;

    if (type == MBEDTLS_PK_RSA) {
        k->kind = JWK_RSA;
        mbedtls_rsa_init(&k->u.rsa);
        if (mbedtls_rsa_copy(&k->u.rsa, mbedtls_pk_rsa(*pk)) != 0)
            return jwk_refused(e, "it is no RSA key");
        return jwk_check_rsa(&k->u.rsa, e);
    }
    if (type != MBEDTLS_PK_ECKEY)
        return jwk_refused(e, "it is neither RSA nor a curve");
    k->kind = JWK_EC;
    mbedtls_mpi_init(&none);
    mbedtls_ecp_group_init(&k->u.ec.grp);
    mbedtls_ecp_point_init(&k->u.ec.q);
    good = mbedtls_ecp_export(mbedtls_pk_ec(*pk), &k->u.ec.grp, &none, &k->u.ec.q) == 0 &&
           mbedtls_ecp_check_pubkey(&k->u.ec.grp, &k->u.ec.q) == 0;
    mbedtls_mpi_free(&none);
    return good ? RC_OK : jwk_refused(e, "its point is not on the curve");
}

/* block: from -----BEGIN to the end of its END line; body: between the two lines. */
static enum rc jwk_read_pem(struct jwks *set, struct slice block, struct slice body, struct jwk *k,
                            struct err *e)
{
    mbedtls_pk_context pk;
    enum rc rc;

    *k = (struct jwk){.kind = JWK_ED, .kid = S("")};
    if (!slice_starts(block, S("-----BEGIN PUBLIC KEY-----")) &&
        !slice_starts(block, S("-----BEGIN RSA PUBLIC KEY-----")))
        return jwk_refused(e, "expected -----BEGIN PUBLIC KEY-----");
    if (jwk_pem_ed(body, k))
        return RC_OK;
    mbedtls_pk_init(&pk);
    if (mbedtls_pk_parse_public_key(&pk, (const uint8_t *)arena_cstr(&set->arena, block), block.n + 1) != 0)
        rc = jwk_refused(e, "the PEM holds no public key");
    else
        rc = jwk_pem_copy(&pk, k, e);
    mbedtls_pk_free(&pk);
    if (rc != RC_OK)
        jwk_wipe(k);
    return rc;
}

static enum rc jwks_read_pem(struct jwks *set, struct slice text, int flags, struct err *e)
{
    const struct slice end = S("-----END "), dashes = S("-----");
    size_t at, stop, line;

    if (flags & JWKS_NEED_KID)
        return jwk_refused(e, "keys in PEM have no kid");
    set->v = ARENA_ARRAY(&set->arena, struct jwk, JWKS_KEYS_MAX);
    while (set->n < JWKS_KEYS_MAX && (at = slice_find(text, S("-----BEGIN "))) != SIZE_MAX) {
        struct slice body;
        text = slice_from(text, at);
        stop = slice_find(text, end);
        line = stop == SIZE_MAX ? SIZE_MAX : slice_find(slice_from(text, stop + end.n), dashes);
        if (line == SIZE_MAX)
            return jwk_refused(e, "the PEM block has no end");
        body = slice_sub(text, 0, stop);
        body = slice_from(body, slice_index(body, '\n'));
        line += stop + end.n + dashes.n;
        if (jwk_read_pem(set, slice_sub(text, 0, line), body, &set->v[set->n], e) == RC_OK)
            set->n++;
        text = slice_from(text, line);
    }
    return set->n ? RC_OK : RC_BADINPUT;
}

/* ---- sets ---- */

enum rc jwks_parse(struct slice text, int flags, struct jwks **out, struct err *e)
{
    struct jwks *k = mem_zalloc(sizeof *k);
    struct json *j = NULL;
    struct arena scratch;
    enum rc rc = RC_TOOBIG;

    *out = NULL;
    arena_init(&k->arena, 1024, 0);
    arena_init(&scratch, 4096, 16 << 20);
    if (e)
        e->text[0] = '\0';
    text = slice_trim(text);
    if (text.n > JWKS_BYTES_MAX)
        rc = err_set(e, RC_TOOBIG, "the keys are larger than 256 KiB");
    else if (slice_find(text, S("-----BEGIN ")) != SIZE_MAX && !slice_starts(text, S("{")))
        rc = jwks_read_pem(k, text, flags, e);
    else if ((rc = json_parse(&scratch, text, JWKS_BYTES_MAX, &j, e)) == RC_OK)
        rc = jwks_read_json(k, j, flags, e);
    arena_free(&scratch);
    if (rc != RC_OK) {
        jwks_free(k);
        return rc;
    }
    *out = k;
    return RC_OK;
}

void jwks_free(struct jwks *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->n; i++)
        jwk_wipe(&k->v[i]);
    arena_free(&k->arena);
    mem_free(k);
}

size_t jwks_count(const struct jwks *k)
{
    return k->n;
}
