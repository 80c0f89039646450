/*
 * bytes.c - memcpy, memmove, memset, memcmp and memchr for the release binary.
 *
 * musl's copy by "rep movsq" whatever the length and compare byte by byte: measured here, copying
 * 16 bytes costs 30 ns and more, comparing 64 bytes 60 ns, where 2 ns are possible; and nearly all
 * that this server copies and compares is that short. These functions take their place in the whole
 * binary, the libraries included, because they stand before the C library in the link. They use
 * SSE2, which every x86-64 has: short lengths by two overlapping moves, middle ones by blocks of
 * 64, long ones as musl does. Builds with another C library, processor or a sanitiser keep what
 * they have.
 *
 * Nobody calls this file by name; they are the standard functions (C11 7.24), any thread, no state.
 * The one place with global symbols besides main. Tested by tests/unit/base/test_bytes.c (all
 * lengths, alignments and overlaps, against plain loops).
 */
#include "base/def.h"

#include <string.h>

#if defined(__x86_64__) && !defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&                \
    !defined(__SANITIZE_THREAD__) && !defined(POSTERN_FUZZ)
#include <emmintrin.h>

/* The compiler must not see a memcpy in the loops that make one. */
#ifdef __clang__
#define BYTES_FN __attribute__((no_builtin, noinline, visibility("hidden"), used))
#else
#define BYTES_FN                                                                                   \
    __attribute__((optimize("no-tree-loop-distribute-patterns"), noinline, visibility("hidden"),   \
                   used))
#endif

enum { BYTES_LONG = 2048, BYTES_SET_LONG = 512 };

typedef __m128i bytes16 __attribute__((aligned(1), may_alias));
typedef uint64_t bytes8 __attribute__((aligned(1), may_alias));
typedef uint32_t bytes4 __attribute__((aligned(1), may_alias));
typedef uint16_t bytes2 __attribute__((aligned(1), may_alias));

static inline __m128i bytes_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void bytes_store(uint8_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

/* Up to 16 bytes: everything is loaded before anything is stored, so overlap does no harm. */
static inline void bytes_move16(uint8_t *d, const uint8_t *s, size_t n)
{
    if (n >= 8) {
        uint64_t a = *(const bytes8 *)s, b = *(const bytes8 *)(s + n - 8);
        *(bytes8 *)d = a;
        *(bytes8 *)(d + n - 8) = b;
    } else if (n >= 4) {
        uint32_t a = *(const bytes4 *)s, b = *(const bytes4 *)(s + n - 4);
        *(bytes4 *)d = a;
        *(bytes4 *)(d + n - 4) = b;
    } else if (n >= 2) {
        uint16_t a = *(const bytes2 *)s, b = *(const bytes2 *)(s + n - 2);
        *(bytes2 *)d = a;
        *(bytes2 *)(d + n - 2) = b;
    } else if (n == 1) {
        *d = *s;
    }
}

/* 17 to 128 bytes, the same way: the first and the last half, which may overlap. */
static inline void bytes_move128(uint8_t *d, const uint8_t *s, size_t n)
{
    __m128i a = bytes_load(s), z = bytes_load(s + n - 16);
    if (n > 32) {
        __m128i b = bytes_load(s + 16), y = bytes_load(s + n - 32);
        if (n > 64) {
            __m128i c = bytes_load(s + 32), e = bytes_load(s + 48);
            __m128i w = bytes_load(s + n - 64), x = bytes_load(s + n - 48);
            bytes_store(d + 32, c);
            bytes_store(d + 48, e);
            bytes_store(d + n - 64, w);
            bytes_store(d + n - 48, x);
        }
        bytes_store(d + 16, b);
        bytes_store(d + n - 32, y);
    }
    bytes_store(d, a);
    bytes_store(d + n - 16, z);
}

/* More than 64 bytes from the front; right when d is not inside (s, s + n). */
static inline void bytes_move_up(uint8_t *d, const uint8_t *s, size_t n)
{
    __m128i w = bytes_load(s + n - 64), x = bytes_load(s + n - 48);
    __m128i y = bytes_load(s + n - 32), z = bytes_load(s + n - 16);
    uint8_t *last = d + n - 64;
    for (; d < last; d += 64, s += 64) {
        __m128i a = bytes_load(s), b = bytes_load(s + 16);
        __m128i c = bytes_load(s + 32), e = bytes_load(s + 48);
        bytes_store(d, a);
        bytes_store(d + 16, b);
        bytes_store(d + 32, c);
        bytes_store(d + 48, e);
    }
    bytes_store(last, w);
    bytes_store(last + 16, x);
    bytes_store(last + 32, y);
    bytes_store(last + 48, z);
}

/* More than 64 bytes from the back; for d inside (s, s + n). */
static inline void bytes_move_down(uint8_t *d, const uint8_t *s, size_t n)
{
    __m128i w = bytes_load(s), x = bytes_load(s + 16);
    __m128i y = bytes_load(s + 32), z = bytes_load(s + 48);
    for (size_t left = n; left > 64; left -= 64) {
        const uint8_t *from = s + left - 64;
        uint8_t *to = d + left - 64;
        __m128i a = bytes_load(from), b = bytes_load(from + 16);
        __m128i c = bytes_load(from + 32), e = bytes_load(from + 48);
        bytes_store(to, a);
        bytes_store(to + 16, b);
        bytes_store(to + 32, c);
        bytes_store(to + 48, e);
    }
    bytes_store(d, w);
    bytes_store(d + 16, x);
    bytes_store(d + 32, y);
    bytes_store(d + 48, z);
}

/* The processor's own copy: best for long runs, dear for short ones. */
static inline void bytes_move_long(uint8_t *d, const uint8_t *s, size_t n)
{
    uint64_t tail = *(const bytes8 *)(s + n - 8);
    uint8_t *end = d + n - 8;
    size_t words = n / 8;
    __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
    *(bytes8 *)end = tail;
}

BYTES_FN void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    if (n <= 16)
        bytes_move16(dst, src, n);
    else if (n <= 128)
        bytes_move128(dst, src, n);
    else if (n < BYTES_LONG)
        bytes_move_up(dst, src, n);
    else
        bytes_move_long(dst, src, n);
    return dst;
}

BYTES_FN void *memmove(void *dst, const void *src, size_t n)
{
    uintptr_t ahead = (uintptr_t)dst - (uintptr_t)src; /* huge when dst stands before src */
    if (n <= 16)
        bytes_move16(dst, src, n);
    else if (n <= 128)
        bytes_move128(dst, src, n);
    else if (ahead < n)
        bytes_move_down(dst, src, n);
    else if (n < BYTES_LONG || 0 - ahead < n)
        bytes_move_up(dst, src, n);
    else
        bytes_move_long(dst, src, n);
    return dst;
}

/* Up to 16 bytes of one value, which stands in all eight bytes of v. */
static inline void bytes_set16(uint8_t *d, uint64_t v, size_t n)
{
    if (n >= 8) {
        *(bytes8 *)d = v;
        *(bytes8 *)(d + n - 8) = v;
    } else if (n >= 4) {
        *(bytes4 *)d = (uint32_t)v;
        *(bytes4 *)(d + n - 4) = (uint32_t)v;
    } else if (n > 0) {
        d[0] = d[n / 2] = d[n - 1] = (uint8_t)v;
    }
}

BYTES_FN void *memset(void *dst, int c, size_t n)
{
    uint8_t *d = dst, *last = d + n - 16;
    uint64_t v = (uint8_t)c * 0x0101010101010101u;
    if (n <= 16) {
        bytes_set16(d, v, n);
        return dst;
    }
    __m128i wide = _mm_set1_epi8((char)c);
    if (n >= BYTES_SET_LONG) {
        size_t words = n / 8;
        __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(v) : "memory");
    } else {
        for (; d < last; d += 16)
            bytes_store(d, wide);
    }
    bytes_store(last, wide);
    return dst;
}

static inline int bytes_order(uint64_t a, uint64_t b)
{
    return a == b ? 0 : a < b ? -1 : 1;
}

/* Up to 16 bytes: as numbers with the first byte in front. */
static inline int bytes_cmp16(const uint8_t *a, const uint8_t *b, size_t n)
{
    if (n >= 8) {
        uint64_t x = *(const bytes8 *)a, y = *(const bytes8 *)b;
        if (x == y) {
            x = *(const bytes8 *)(a + n - 8);
            y = *(const bytes8 *)(b + n - 8);
        }
        return bytes_order(__builtin_bswap64(x), __builtin_bswap64(y));
    }
    if (n >= 4) {
        uint64_t x = (uint64_t)__builtin_bswap32(*(const bytes4 *)a) << 32;
        uint64_t y = (uint64_t)__builtin_bswap32(*(const bytes4 *)b) << 32;
        x |= __builtin_bswap32(*(const bytes4 *)(a + n - 4));
        y |= __builtin_bswap32(*(const bytes4 *)(b + n - 4));
        return bytes_order(x, y);
    }
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

static inline __m128i bytes_same(const uint8_t *a, const uint8_t *b)
{
    return _mm_cmpeq_epi8(bytes_load(a), bytes_load(b));
}

static inline bool bytes_same64(const uint8_t *a, const uint8_t *b)
{
    __m128i low = _mm_and_si128(bytes_same(a, b), bytes_same(a + 16, b + 16));
    __m128i high = _mm_and_si128(bytes_same(a + 32, b + 32), bytes_same(a + 48, b + 48));
    return _mm_movemask_epi8(_mm_and_si128(low, high)) == 0xffff;
}

BYTES_FN int memcmp(const void *left, const void *right, size_t n)
{
    const uint8_t *a = left, *b = right;
    if (n <= 16)
        return bytes_cmp16(a, b, n);
    size_t i = 0;
    while (n - i > 64 && bytes_same64(a + i, b + i))
        i += 64;
    for (i = MIN(i, n - 16);; i = MIN(i + 16, n - 16)) {
        unsigned differ = (unsigned)_mm_movemask_epi8(bytes_same(a + i, b + i)) ^ 0xffffu;
        if (differ) {
            i += (unsigned)__builtin_ctz(differ);
            return a[i] < b[i] ? -1 : 1;
        }
        if (i == n - 16)
            return 0;
    }
}

/* Is c nowhere in the 64 bytes at p? */
static inline bool bytes_none64(const uint8_t *p, __m128i c)
{
    __m128i low =
        _mm_or_si128(_mm_cmpeq_epi8(bytes_load(p), c), _mm_cmpeq_epi8(bytes_load(p + 16), c));
    __m128i high =
        _mm_or_si128(_mm_cmpeq_epi8(bytes_load(p + 32), c), _mm_cmpeq_epi8(bytes_load(p + 48), c));
    return _mm_movemask_epi8(_mm_or_si128(low, high)) == 0;
}

/* Bit i is set when byte i of the sixteen at p is c. */
static inline unsigned bytes_find16(const uint8_t *p, __m128i c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes_load(p), c));
}

static inline void *bytes_found(const uint8_t *p, unsigned hits)
{
    return (void *)(uintptr_t)(p + (unsigned)__builtin_ctz(hits));
}

/* It must not touch what lies behind the first match: callers that know a NUL is there give any n they
 * like (musl's printf gives INT_MAX), and the next page may not exist. Aligned blocks stay in a page. */
BYTES_FN void *memchr(const void *src, int c, size_t n)
{
    const size_t skip = (uintptr_t)src & 15;
    const uint8_t *at = (const uint8_t *)src - skip;
    size_t left = n > SIZE_MAX - skip ? SIZE_MAX : n + skip; /* from at on */
    __m128i wide = _mm_set1_epi8((char)c);
    if (n == 0)
        return NULL;
    unsigned hits = bytes_find16(at, wide) >> skip << skip;
    while (hits == 0) {
        if (left <= 16)
            return NULL;
        at += 16;
        left -= 16;
        while (((uintptr_t)at & 63) == 0 && left > 64 && bytes_none64(at, wide)) {
            at += 64;
            left -= 64;
        }
        hits = bytes_find16(at, wide);
    }
    unsigned i = (unsigned)__builtin_ctz(hits);
    return i < left ? bytes_found(at, hits) : NULL;
}

#undef BYTES_FN
#endif
