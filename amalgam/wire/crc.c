/*
 * crc.c - checksums: CRC-32 (keys of ours, gzip), CRC-32C (the log), CRC-64 of Redis (DUMP).
 *
 * None of them is a defence against forgery. CRC-32C runs in the processor where SSE4.2 is there;
 * the tables of the other paths are computed once, on first use. Any thread. Tested by
 * tests/unit/wire/test_hash.c.
 */
#include "wire/hash.h"

#include <pthread.h>
#include <zlib.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* Both polynomials bit-reversed: Castagnoli; Jones (the one that Redis chose). */
static const uint32_t crc_castagnoli = 0x82f63b78u;
static const uint64_t crc_jones = 0x95ac9329ac4bc9b5u;

static pthread_once_t crc_once = PTHREAD_ONCE_INIT;
static uint32_t crc_table32[256];
static uint64_t crc_table64[8][256]; /* [k][b]: byte b followed by k zero bytes */

static void crc_fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t v32 = b;
        uint64_t v64 = b;
        for (int i = 0; i < 8; i++) {
            v32 = v32 >> 1 ^ (v32 & 1 ? crc_castagnoli : 0);
            v64 = v64 >> 1 ^ (v64 & 1 ? crc_jones : 0);
        }
        crc_table32[b] = v32;
        crc_table64[0][b] = v64;
    }
    for (size_t k = 1; k < 8; k++)
        for (size_t b = 0; b < 256; b++) {
            uint64_t v = crc_table64[k - 1][b];
            crc_table64[k][b] = v >> 8 ^ crc_table64[0][v & 255];
        }
}

uint32_t crc32_ieee(uint32_t crc, const void *p, size_t n)
{
    return n == 0 ? crc : (uint32_t)crc32_z(crc, p, n);
}

static uint32_t crc_32c_table(uint32_t crc, const uint8_t *p, size_t n)
{
    pthread_once(&crc_once, crc_fill);
    for (; n > 0; n--)
        crc = crc >> 8 ^ crc_table32[(crc ^ *p++) & 255];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_32c_cpu(uint32_t crc, const uint8_t *p,
                                                              size_t n)
{
    uint64_t c = crc, word;
    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    for (; n > 0; n--)
        c = _mm_crc32_u8((uint32_t)c, *p++);
    return (uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc_32c_cpu(~crc, p, n);
#endif
    return ~crc_32c_table(~crc, p, n);
}

uint64_t crc64_redis(uint64_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    pthread_once(&crc_once, crc_fill);
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t next = 0, word;
        memcpy(&word, p, 8); /* little-endian, as every machine that we build for */
        crc ^= word;
        for (size_t k = 0; k < 8; k++)
            next ^= crc_table64[7 - k][crc >> (k * 8) & 255];
        crc = next;
    }
    for (; n > 0; n--)
        crc = crc >> 8 ^ crc_table64[0][(crc ^ *p++) & 255];
    return crc;
}
