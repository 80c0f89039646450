/*
 * hash.h - digests, MACs and their text forms: SHA-1, SHA-256, SHA-512, HMAC (FIPS 180-4, RFC
 * 2104), CRC-32 (IEEE), CRC-32C, CRC-64 (Redis DUMP), base64 (RFC 4648 4 and 5), hex, base62, AEAD.
 *
 * hmac_key holds the padded inner and outer state, so that one MAC of a short message costs two
 * compressions and no allocation. Secrets in structs are wiped by *_wipe. Threads: pure.
 */
#ifndef WIRE_HASH_H
#define WIRE_HASH_H

#include "base/arena.h"
#include "base/err.h"

FN void sha1(struct slice in, uint8_t out[20]);
FN void sha256(struct slice in, uint8_t out[32]);
FN UNUSED void sha512(struct slice in, uint8_t out[64]);

struct sha256_state {
    uint32_t h[8];
    uint64_t n;
    uint8_t block[64];
};
FN void sha256_start(struct sha256_state *s);
FN void sha256_add(struct sha256_state *s, struct slice in);
FN void sha256_end(struct sha256_state *s, uint8_t out[32]);
/* For tests and benches: true keeps to portable C, false chooses again by cpuid. */
FN UNUSED void hash_portable_only(bool on);

struct hmac_key {
    uint32_t inner[8], outer[8];
};
FN void hmac_key_init(struct hmac_key *k, struct slice secret);
FN void hmac_key_wipe(struct hmac_key *k);
FN void hmac_sha256(const struct hmac_key *k, struct slice msg, uint8_t out[32]);
FN UNUSED void hmac_sha1(struct slice secret, struct slice msg, uint8_t out[20]);
/* One of four by name of the digest; returns the bytes of it. For what names its digest at run time. */
enum mac_kind { MAC_SHA1, MAC_SHA256, MAC_SHA384, MAC_SHA512 };
enum { MAC_BYTES_MAX = 64 };
FN size_t hmac_of(enum mac_kind kind, struct slice secret, struct slice msg, uint8_t out[MAC_BYTES_MAX]);

FN uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n); /* start with 0 */
FN uint32_t crc32c(uint32_t crc, const void *p, size_t n);     /* SSE4.2 where present */
FN UNUSED uint64_t crc64_redis(uint64_t crc, const void *p, size_t n);

/* Sizes: b64_len(n) characters with padding. *_decode is strict: RC_BADINPUT on any other byte,
 * wrong padding or non-zero trailing bits; RC_TOOBIG when cap is too small. *n: bytes written. */
#define B64_LEN(n) (((n) + 2) / 3 * 4)
FN size_t b64_encode(char *dst, const void *p, size_t n);    /* with padding */
FN size_t b64url_encode(char *dst, const void *p, size_t n); /* without padding */
FN enum rc b64_decode(struct slice in, void *dst, size_t cap, size_t *n);
FN enum rc b64url_decode(struct slice in, void *dst, size_t cap, size_t *n);
FN size_t hex_encode(char *dst, const void *p, size_t n); /* lower case */
FN UNUSED enum rc hex_decode(struct slice in, void *dst, size_t cap, size_t *n);

/* AES-256-GCM: out = 12 nonce + cipher + 16 tag. Opening a forged text is RC_DENIED. */
FN UNUSED struct slice aead_seal(struct arena *a, const uint8_t key[32], struct slice plain,
                                 struct slice aad);
FN UNUSED enum rc aead_open(struct arena *a, const uint8_t key[32], struct slice sealed,
                            struct slice aad, struct slice *plain);

#endif
