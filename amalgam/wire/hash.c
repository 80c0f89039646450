/*
 * hash.c - SHA-256 and HMAC-SHA-256: the digests of the check path.
 *
 * Every API key check costs one HMAC, so SHA-256 is our own: with the processor's SHA instructions
 * where cpuid shows them (chosen once, at run time), portable C else. A struct hmac_key holds the
 * states behind the padded key; a short message then costs two compressions, no copy, no heap.
 * The other digests are rare and come from mbedTLS (digest.c). Pure; any thread. Tested by
 * tests/unit/wire/test_hash.c against FIPS 180-4 and RFC 4231 vectors, both paths.
 */
#include "wire/hash.h"

#include "base/mem.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

enum { HASH_BLOCK = 64, HASH_DIGEST = 32 };

static const uint32_t hash_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static const uint32_t hash_start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

static inline uint32_t hash_load(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void hash_store(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static inline uint32_t hash_turn(uint32_t v, int by)
{
    return v >> by | v << (32 - by);
}

/* One round; the caller passes the eight words turned by one place each time, so none is moved. */
static inline void hash_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
                              uint32_t f, uint32_t g, uint32_t *h, uint32_t kw)
{
    uint32_t t1 =
        *h + (hash_turn(e, 6) ^ hash_turn(e, 11) ^ hash_turn(e, 25)) + (g ^ (e & (f ^ g))) + kw;
    uint32_t t2 =
        (hash_turn(a, 2) ^ hash_turn(a, 13) ^ hash_turn(a, 22)) + ((a & b) | (c & (a | b)));
    *d += t1;
    *h = t1 + t2;
}

static void hash_block_c(uint32_t h[8], const uint8_t *p)
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++)
        w[i] = hash_load(p + i * 4);
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (hash_turn(a, 7) ^ hash_turn(a, 18) ^ a >> 3) + w[i - 7] +
               (hash_turn(b, 17) ^ hash_turn(b, 19) ^ b >> 10);
    }
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i += 8) {
        hash_round(s[0], s[1], s[2], &s[3], s[4], s[5], s[6], &s[7], hash_k[i] + w[i]);
        hash_round(s[7], s[0], s[1], &s[2], s[3], s[4], s[5], &s[6], hash_k[i + 1] + w[i + 1]);
        hash_round(s[6], s[7], s[0], &s[1], s[2], s[3], s[4], &s[5], hash_k[i + 2] + w[i + 2]);
        hash_round(s[5], s[6], s[7], &s[0], s[1], s[2], s[3], &s[4], hash_k[i + 3] + w[i + 3]);
        hash_round(s[4], s[5], s[6], &s[7], s[0], s[1], s[2], &s[3], hash_k[i + 4] + w[i + 4]);
        hash_round(s[3], s[4], s[5], &s[6], s[7], s[0], s[1], &s[2], hash_k[i + 5] + w[i + 5]);
        hash_round(s[2], s[3], s[4], &s[5], s[6], s[7], s[0], &s[1], hash_k[i + 6] + w[i + 6]);
        hash_round(s[1], s[2], s[3], &s[4], s[5], s[6], s[7], &s[0], hash_k[i + 7] + w[i + 7]);
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
}

static void hash_blocks_c(uint32_t h[8], const uint8_t *p, size_t blocks)
{
    for (; blocks > 0; blocks--, p += HASH_BLOCK)
        hash_block_c(h, p);
}

#if defined(__x86_64__)
/* Four rounds per step; words of the schedule are made four at a time from the sixteen before. */
__attribute__((target("sha,sse4.1"))) static void hash_blocks_ni(uint32_t h[8], const uint8_t *p,
                                                                 size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    /* The instructions want (a b e f) and (c d g h). */
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)h), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(h + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; blocks > 0; blocks--, p += HASH_BLOCK) {
        __m128i abef_before = abef, cdgh_before = cdgh, m[4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i *now = &m[i & 3];
            if (i < 4) {
                *now = _mm_loadu_si128((const __m128i *)(const void *)(p + i * 16));
                *now = _mm_shuffle_epi8(*now, swap);
            } else {
                __m128i last = m[(i + 3) & 3];
                __m128i seven = _mm_alignr_epi8(last, m[(i + 2) & 3], 4);
                *now = _mm_add_epi32(_mm_sha256msg1_epu32(*now, m[(i + 1) & 3]), seven);
                *now = _mm_sha256msg2_epu32(*now, last);
            }
            __m128i k = _mm_loadu_si128((const __m128i *)(const void *)(hash_k + i * 4));
            __m128i wk = _mm_add_epi32(*now, k);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static bool hash_cpu_has_sha(void)
{
    unsigned a, b, c, d;
    bool sse41 = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1);
    return sse41 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}
#endif

/* 0 not known yet, 1 portable, 2 SHA instructions. Threads that race find the same answer. */
static int hash_path;

static inline void hash_blocks(uint32_t h[8], const uint8_t *p, size_t blocks)
{
#if defined(__x86_64__)
    int path = __atomic_load_n(&hash_path, __ATOMIC_RELAXED);
    if (UNLIKELY(path == 0)) {
        path = hash_cpu_has_sha() ? 2 : 1;
        __atomic_store_n(&hash_path, path, __ATOMIC_RELAXED);
    }
    if (LIKELY(path == 2)) {
        hash_blocks_ni(h, p, blocks);
        return;
    }
#endif
    hash_blocks_c(h, p, blocks);
}

/* For tests and benches: true: portable C only. */
void hash_portable_only(bool on)
{
    __atomic_store_n(&hash_path, on ? 1 : 0, __ATOMIC_RELAXED);
}

void sha256_start(struct sha256_state *s)
{
    memcpy(s->h, hash_start, sizeof s->h);
    s->n = 0;
}

void sha256_add(struct sha256_state *s, struct slice in)
{
    size_t have = s->n % HASH_BLOCK, left = in.n;
    const uint8_t *p = (const uint8_t *)in.p;
    s->n += in.n;
    if (have > 0) {
        size_t take = MIN(left, HASH_BLOCK - have);
        if (take > 0)
            memcpy(s->block + have, p, take);
        if (have + take < HASH_BLOCK)
            return;
        hash_blocks(s->h, s->block, 1);
        p += take;
        left -= take;
    }
    if (left >= HASH_BLOCK) {
        hash_blocks(s->h, p, left / HASH_BLOCK);
        p += left - left % HASH_BLOCK;
        left %= HASH_BLOCK;
    }
    if (left > 0)
        memcpy(s->block, p, left);
}

/* Padding: a one bit, zeros, the length in bits. block holds `have` bytes of the message's end. */
static void hash_finish(uint32_t h[8], uint8_t block[HASH_BLOCK], size_t have, uint64_t n,
                        uint8_t out[HASH_DIGEST])
{
    block[have++] = 0x80;
    if (have > HASH_BLOCK - 8) {
        memset(block + have, 0, HASH_BLOCK - have);
        hash_blocks(h, block, 1);
        have = 0;
    }
    memset(block + have, 0, HASH_BLOCK - 8 - have);
    hash_store(block + 56, (uint32_t)(n >> 29));
    hash_store(block + 60, (uint32_t)(n << 3));
    hash_blocks(h, block, 1);
    for (int i = 0; i < 8; i++)
        hash_store(out + i * 4, h[i]);
}

void sha256_end(struct sha256_state *s, uint8_t out[32])
{
    hash_finish(s->h, s->block, s->n % HASH_BLOCK, s->n, out);
    mem_wipe(s, sizeof *s);
}

void sha256(struct slice in, uint8_t out[32])
{
    struct sha256_state s;
    sha256_start(&s);
    sha256_add(&s, in);
    sha256_end(&s, out);
}

void hmac_key_init(struct hmac_key *k, struct slice secret)
{
    uint8_t pad[HASH_BLOCK] = {0};
    if (secret.n > HASH_BLOCK)
        sha256(secret, pad);
    else if (secret.n > 0)
        memcpy(pad, secret.p, secret.n);
    for (size_t i = 0; i < HASH_BLOCK; i++)
        pad[i] ^= 0x36;
    memcpy(k->inner, hash_start, sizeof k->inner);
    hash_blocks(k->inner, pad, 1);
    for (size_t i = 0; i < HASH_BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    memcpy(k->outer, hash_start, sizeof k->outer);
    hash_blocks(k->outer, pad, 1);
    mem_wipe(pad, sizeof pad);
}

void hmac_key_wipe(struct hmac_key *k)
{
    mem_wipe(k, sizeof *k);
}

HOT void hmac_sha256(const struct hmac_key *k, struct slice msg, uint8_t out[32])
{
    uint32_t h[8];
    uint8_t block[HASH_BLOCK];
    size_t whole = msg.n / HASH_BLOCK, rest = msg.n % HASH_BLOCK;
    memcpy(h, k->inner, sizeof h);
    if (whole > 0)
        hash_blocks(h, (const uint8_t *)msg.p, whole);
    if (rest > 0)
        memcpy(block, msg.p + whole * HASH_BLOCK, rest);
    hash_finish(h, block, rest, HASH_BLOCK + (uint64_t)msg.n, block);
    memcpy(h, k->outer, sizeof h);
    hash_finish(h, block, HASH_DIGEST, HASH_BLOCK + HASH_DIGEST, out);
}
