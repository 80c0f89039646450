/* test_bytes.c - the memory functions of the C library, or ours where bytes.c takes their place. */
#include "t.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { AREA = 5000, GUARD = 64 };

/* Through volatile pointers, so that the compiler does not put in its own. */
static void *(*volatile copy)(void *, const void *, size_t) = memcpy;
static void *(*volatile move)(void *, const void *, size_t) = memmove;
static void *(*volatile set)(void *, int, size_t) = memset;
static int (*volatile compare)(const void *, const void *, size_t) = memcmp;
static void *(*volatile find)(const void *, int, size_t) = memchr;

static const size_t lengths[] = {
    0,   1,   2,   3,   4,    5,    7,    8,    9,    12,   15,   16,   17,   23,   31,   32,  33,
    47,  48,  49,  63,  64,   65,   95,   96,   97,   127,  128,  129,  191,  192,  193,  255, 256,
    257, 511, 512, 513, 1000, 1024, 2040, 2047, 2048, 2049, 2055, 2056, 2100, 3000, 4096, 4100};

static unsigned char a[AREA + 2 * GUARD], b[AREA + 2 * GUARD], want[AREA + 2 * GUARD];

static void fill(unsigned seed)
{
    for (size_t i = 0; i < sizeof a; i++) {
        seed = seed * 1103515245u + 12345u;
        a[i] = (unsigned char)(seed >> 16);
        b[i] = (unsigned char)(seed >> 8);
    }
}

static bool same(const unsigned char *x, const unsigned char *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return false;
    return true;
}

static void copying(void)
{
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
        for (size_t to = 0; to < 20; to += 3)
            for (size_t from = 0; from < 20; from += 7) {
                size_t n = lengths[l];
                fill((unsigned)n);
                for (size_t i = 0; i < sizeof want; i++)
                    want[i] = b[i];
                for (size_t i = 0; i < n; i++)
                    want[GUARD + to + i] = a[GUARD + from + i];
                T_ROW("length %zu to %zu from %zu", n, to, from);
                T(copy(b + GUARD + to, a + GUARD + from, n) == b + GUARD + to);
                T(same(b, want, sizeof b)); /* and nothing beside it */
            }
}

static void moving(void)
{
    static const long shifts[] = {-2500, -300, -129, -128, -65, -64, -63, -17, -16,
                                  -8,    -3,   -1,   0,    1,   2,   7,   8,   15,
                                  16,    17,   63,   64,   65,  128, 129, 300, 2500};
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
        for (size_t s = 0; s < ARRAY_LEN(shifts); s++) {
            size_t n = lengths[l], from = GUARD + (shifts[s] < 0 ? (size_t)-shifts[s] : 0);
            size_t to = (size_t)((long)from + shifts[s]);
            if (MAX(from, to) + n > sizeof a - GUARD)
                continue;
            fill((unsigned)(n + s));
            for (size_t i = 0; i < sizeof want; i++)
                want[i] = a[i];
            for (size_t i = 0; i < n; i++)
                want[to + i] = a[from + i];
            T_ROW("length %zu by %ld", n, shifts[s]);
            T(move(a + to, a + from, n) == a + to);
            T(same(a, want, sizeof a));
        }
}

static void setting(void)
{
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++)
        for (size_t to = 0; to < 20; to++) {
            size_t n = lengths[l];
            fill(1);
            for (size_t i = 0; i < sizeof want; i++)
                want[i] = i >= GUARD + to && i < GUARD + to + n ? 0xa7 : a[i];
            T_ROW("length %zu at %zu", n, to);
            T(set(a + GUARD + to, 0x1a7, n) == a + GUARD + to);
            T(same(a, want, sizeof a));
        }
}

static int sign(int v)
{
    return (v > 0) - (v < 0);
}

static void comparing(void)
{
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
        size_t n = lengths[l];
        fill(7);
        for (size_t i = 0; i < n; i++)
            b[i + 3] = a[i + 5];
        T_ROW("length %zu", n);
        T_INT(compare(a + 5, b + 3, n), 0);
        for (size_t at = 0; at<n; at += n> 300 ? 37 : 1) { /* the first difference decides */
            unsigned char kept = b[3 + at], tail = b[3 + n - 1];
            b[3 + at] = (unsigned char)(kept ^ 0x80);
            if (at != n - 1)
                b[3 + n - 1] = (unsigned char)(tail ^ 0xff);
            int expect = a[5 + at] < b[3 + at] ? -1 : 1;
            T_INT(sign(compare(a + 5, b + 3, n)), expect);
            T_INT(sign(compare(b + 3, a + 5, n)), -expect);
            b[3 + n - 1] = tail;
            b[3 + at] = kept;
        }
    }
}

static void finding(void)
{
    for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
        size_t n = lengths[l];
        for (size_t i = 0; i < sizeof a; i++)
            a[i] = 'x';
        for (size_t from = GUARD; from < GUARD + 20; from++) {
            a[from - 1] = a[from + n] = 0xee; /* outside on both sides */
            T_ROW("length %zu", n);
            T(find(a + from, 0xee, n) == NULL);
            for (size_t at = 0; at<n; at += n> 300 ? 41 : 1) {
                a[from + at] = 0xee;
                a[from + n - 1] = 0xee; /* a later one too */
                T(find(a + from, 0x1ee, n) == a + from + at);
                a[from + at] = a[from + n - 1] = 'x';
            }
            a[from - 1] = a[from + n] = 'x';
        }
    }
}

/* At the very end of a page with nothing behind it. */
static void page_ends(void)
{
    unsigned char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    T(p != MAP_FAILED && mprotect(p + 4096, 4096, PROT_NONE) == 0);
    for (size_t n = 0; n <= 200; n++) {
        unsigned char *end = p + 4096 - n;
        T(find(end, 1, n) == NULL);
        T_INT(compare(end, a, 0), 0);
        T(copy(b, end, n) == b && move(end, b, n) == end && set(end, 0, n) == end);
        T_INT(compare(end, b, n), 0);
    }
    munmap(p, 8192);
}

/* A NUL is there, so any n will do (C11 7.24.5.1 p2): what lies behind it is not touched. */
static void a_match_ends_the_search(void)
{
    size_t page = 4096;
    unsigned char *p = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    T(p != MAP_FAILED && mprotect(p + 2 * page, page, PROT_NONE) == 0);
    set(p, 'x', 2 * page);
    p[2 * page - 1] = '\0';
    for (size_t n = 1; n < 300; n++) {
        T_ROW("%zu bytes before the end", n);
        T(find(p + 2 * page - n, '\0', 0x7fffffff) == p + 2 * page - 1);
        T(find(p + 2 * page - n, '\0', SIZE_MAX) == p + 2 * page - 1);
    }
    munmap(p, 3 * page);
}

int main(void)
{
    T_RUN(copying);
    T_RUN(moving);
    T_RUN(setting);
    T_RUN(comparing);
    T_RUN(finding);
    T_RUN(page_ends);
    T_RUN(a_match_ends_the_search);
    return t_done();
}
