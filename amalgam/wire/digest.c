/*
 * digest.c - what hash.h takes from mbedTLS: SHA-1, SHA-512, HMAC and AES-256-GCM.
 *
 * SHA-1 names scripts (EVALSHA) and serves old HMAC schemes and TOTP, never a signature of ours.
 * AEAD seals cookies and secrets at rest with a fresh random nonce. Keys are the caller's; contexts
 * live on the stack and are wiped. Any thread. Tested by tests/unit/wire/test_hash.c.
 */
#include "wire/hash.h"

#include "base/mem.h"
#include "base/rand.h"

#include <mbedtls/gcm.h>
#include <mbedtls/md.h>
#include <mbedtls/sha1.h>
#include <mbedtls/sha512.h>

enum { AEAD_NONCE = 12, AEAD_TAG = 16, DIGEST_SHA1_BLOCK = 64, DIGEST_SHA1 = 20 };

/* mbedTLS declares these as able to fail; its software digests only do so on a misuse of ours. */
void sha1(struct slice in, uint8_t out[20])
{
    MUST(mbedtls_sha1((const uint8_t *)in.p, in.n, out) == 0);
}

void sha512(struct slice in, uint8_t out[64])
{
    MUST(mbedtls_sha512((const uint8_t *)in.p, in.n, out, 0) == 0);
}

/* SHA-1 of a padded key xor'ed with `with`, followed by a message. */
static void digest_sha1_keyed(const uint8_t pad[DIGEST_SHA1_BLOCK], uint8_t with, const void *msg,
                              size_t n, uint8_t out[DIGEST_SHA1])
{
    uint8_t key[DIGEST_SHA1_BLOCK];
    mbedtls_sha1_context c;
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = pad[i] ^ with;
    mbedtls_sha1_init(&c);
    MUST(mbedtls_sha1_starts(&c) == 0);
    MUST(mbedtls_sha1_update(&c, key, sizeof key) == 0);
    MUST(mbedtls_sha1_update(&c, msg, n) == 0);
    MUST(mbedtls_sha1_finish(&c, out) == 0);
    mbedtls_sha1_free(&c);
    mem_wipe(key, sizeof key);
}

void hmac_sha1(struct slice secret, struct slice msg, uint8_t out[20])
{
    uint8_t pad[DIGEST_SHA1_BLOCK] = {0}, inner[DIGEST_SHA1];
    if (secret.n > sizeof pad)
        sha1(secret, pad);
    else if (secret.n > 0)
        memcpy(pad, secret.p, secret.n);
    digest_sha1_keyed(pad, 0x36, msg.p, msg.n, inner);
    digest_sha1_keyed(pad, 0x5c, inner, sizeof inner, out);
    mem_wipe(pad, sizeof pad);
}

size_t hmac_of(enum mac_kind kind, struct slice secret, struct slice msg, uint8_t out[MAC_BYTES_MAX])
{
    static const mbedtls_md_type_t types[] = {MBEDTLS_MD_SHA1, MBEDTLS_MD_SHA256, MBEDTLS_MD_SHA384,
                                              MBEDTLS_MD_SHA512};
    const mbedtls_md_info_t *info = mbedtls_md_info_from_type(types[kind]);
    MUST(mbedtls_md_hmac(info, (const uint8_t *)secret.p, secret.n, (const uint8_t *)msg.p, msg.n, out) == 0);
    return mbedtls_md_get_size(info);
}

struct slice aead_seal(struct arena *a, const uint8_t key[32], struct slice plain, struct slice aad)
{
    mbedtls_gcm_context c;
    size_t n = AEAD_NONCE + plain.n + AEAD_TAG;
    unsigned char *out = arena_alloc(a, n), *tag = out + AEAD_NONCE + plain.n;
    rand_bytes(out, AEAD_NONCE);
    mbedtls_gcm_init(&c);
    MUST(mbedtls_gcm_setkey(&c, MBEDTLS_CIPHER_ID_AES, key, 256) == 0);
    MUST(mbedtls_gcm_crypt_and_tag(
             &c, MBEDTLS_GCM_ENCRYPT, plain.n, out, AEAD_NONCE, (const unsigned char *)aad.p, aad.n,
             (const unsigned char *)plain.p, out + AEAD_NONCE, AEAD_TAG, tag) == 0);
    mbedtls_gcm_free(&c);
    return slice_of((const char *)out, n);
}

enum rc aead_open(struct arena *a, const uint8_t key[32], struct slice sealed, struct slice aad,
                  struct slice *plain)
{
    mbedtls_gcm_context c;
    if (sealed.n < AEAD_NONCE + AEAD_TAG)
        return RC_DENIED;
    const unsigned char *in = (const unsigned char *)sealed.p;
    size_t n = sealed.n - AEAD_NONCE - AEAD_TAG;
    unsigned char *out = arena_try(a, n + 1);
    if (!out)
        return RC_TOOBIG;
    mbedtls_gcm_init(&c);
    MUST(mbedtls_gcm_setkey(&c, MBEDTLS_CIPHER_ID_AES, key, 256) == 0);
    int failed =
        mbedtls_gcm_auth_decrypt(&c, n, in, AEAD_NONCE, (const unsigned char *)aad.p, aad.n,
                                 in + AEAD_NONCE + n, AEAD_TAG, in + AEAD_NONCE, out);
    mbedtls_gcm_free(&c);
    if (failed)
        return RC_DENIED;
    out[n] = '\0';
    *plain = slice_of((const char *)out, n);
    return RC_OK;
}
