/*
 * rand.c - random bytes from getrandom(2).
 *
 * Keys, ids, nonces and seeds come from here. rand_bytes asks the kernel each time (secrets are not
 * kept around); rand_u64 takes from a small buffer per thread. Without randomness nothing can be
 * promised: the process ends. Tests replace the source; a counter tells every thread's buffer that
 * its content is stale. Tested by tests/unit/base/test_rand.c.
 */
#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { RAND_BUFFER_WORDS = 64 };

static void (*rand_source)(void *p, size_t n);
static unsigned rand_epoch;

static _Thread_local struct {
    uint64_t word[RAND_BUFFER_WORDS];
    size_t left;
    unsigned epoch;
} rand_buffer;

static void rand_kernel(char *p, size_t n)
{
    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            perror("postern: the kernel gives no random bytes");
            abort();
        }
        p += got;
        n -= (size_t)got;
    }
}

void rand_bytes(void *p, size_t n)
{
    if (rand_source)
        rand_source(p, n);
    else
        rand_kernel(p, n);
}

uint64_t rand_u64(void)
{
    unsigned epoch = __atomic_load_n(&rand_epoch, __ATOMIC_RELAXED);
    if (rand_buffer.left == 0 || rand_buffer.epoch != epoch) {
        rand_bytes(rand_buffer.word, sizeof rand_buffer.word);
        rand_buffer.left = RAND_BUFFER_WORDS;
        rand_buffer.epoch = epoch;
    }
    uint64_t *slot = &rand_buffer.word[--rand_buffer.left];
    uint64_t v = *slot;
    *slot = 0;
    return v;
}

/* Lemire's method: a multiplication instead of a division, and no bias. */
uint64_t rand_below(uint64_t n)
{
    MUST(n > 0);
    __uint128_t m = (__uint128_t)rand_u64() * n;
    if ((uint64_t)m < n) {
        uint64_t reject = (0 - n) % n;
        while ((uint64_t)m < reject)
            m = (__uint128_t)rand_u64() * n;
    }
    return (uint64_t)(m >> 64);
}

void rand_text(char *dst, size_t n, struct slice alphabet)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = alphabet.p[rand_below(alphabet.n)];
}

void rand_uuid4(char dst[37])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t b[16];
    rand_bytes(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    char *p = dst;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *p++ = '-';
        *p++ = hex[b[i] >> 4];
        *p++ = hex[b[i] & 15];
    }
    *p = '\0';
}

void rand_set_source(void (*bytes)(void *p, size_t n))
{
    rand_source = bytes;
    (void)__atomic_add_fetch(&rand_epoch, 1, __ATOMIC_RELAXED);
}
