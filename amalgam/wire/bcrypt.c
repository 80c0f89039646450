/*
 * bcrypt.c - the password hash of Provos and Mazieres (USENIX 1999), over Blowfish.
 *
 * The C library that the release is linked with has no crypt(3), so this is our own. Blowfish starts
 * from the fraction of pi, 1042 words of it: they are computed once (Machin's formula) instead of
 * being carried along. The rounds are meant to be slow: worker threads only. State of one hash is on
 * the stack and wiped. Called by passwd.c. Any thread. Tested by tests/unit/wire/test_passwd.c
 * against hashes that other programs made.
 */
#include "wire/passwd.h"

#include "base/mem.h"

#include <pthread.h>

enum {
    BCRYPT_P = 18,
    BCRYPT_WORDS = BCRYPT_P + 4 * 256,
    BCRYPT_LIMBS = 1 + BCRYPT_WORDS + 2, /* integer part, fraction, two for what rounding takes */
    BCRYPT_BLOCKS = 64
};

struct bcrypt_box {
    uint32_t p[BCRYPT_P], s[4][256];
};

/* ---- pi: fixed point, limb 0 is the integer part ---- */

static struct bcrypt_box bcrypt_pi; /* written once, under bcrypt_pi_once */
static pthread_once_t bcrypt_pi_once = PTHREAD_ONCE_INIT;

/* to = n / by; the limbs before `from` are zero. */
static void bcrypt_div(uint32_t *to, const uint32_t *n, size_t from, uint32_t by)
{
    uint64_t rest = 0;

    for (size_t i = from; i < BCRYPT_LIMBS; i++) {
        rest = rest << 32 | n[i];
        to[i] = (uint32_t)(rest / by);
        rest %= by;
    }
}

static void bcrypt_add(uint32_t *sum, const uint32_t *n, size_t from, bool minus)
{
    uint64_t carry = 0;

    for (size_t i = BCRYPT_LIMBS; i-- > 0 && (i >= from || carry);) {
        uint64_t v = i >= from ? n[i] : 0;
        v = minus ? (uint64_t)sum[i] - v - carry : sum[i] + v + carry;
        sum[i] = (uint32_t)v;
        carry = v >> 32 & 1;
    }
}

/* sum +-= times * arctan(1 / x), by its series */
static void bcrypt_arctan(uint32_t *sum, uint32_t times, uint32_t x, bool minus)
{
    uint32_t power[BCRYPT_LIMBS] = {times}, term[BCRYPT_LIMBS];
    size_t from = 0;

    bcrypt_div(power, power, 0, x);
    for (uint32_t k = 1; from < BCRYPT_LIMBS; k += 2, minus = !minus) {
        bcrypt_div(term, power, from, k);
        bcrypt_add(sum, term, from, minus);
        bcrypt_div(power, power, from, x * x);
        while (from < BCRYPT_LIMBS && power[from] == 0)
            from++;
    }
}

static void bcrypt_make_pi(void)
{
    uint32_t pi[BCRYPT_LIMBS] = {0};

    bcrypt_arctan(pi, 16, 5, false);
    bcrypt_arctan(pi, 4, 239, true);
    memcpy(bcrypt_pi.p, pi + 1, sizeof bcrypt_pi.p);
    memcpy(bcrypt_pi.s, pi + 1 + BCRYPT_P, sizeof bcrypt_pi.s);
}

/* ---- Blowfish ---- */

static inline uint32_t bcrypt_f(const struct bcrypt_box *b, uint32_t x)
{
    uint32_t h = b->s[0][x >> 24] + b->s[1][x >> 16 & 255];
    return (h ^ b->s[2][x >> 8 & 255]) + b->s[3][x & 255];
}

static inline void bcrypt_block(const struct bcrypt_box *b, uint32_t v[2])
{
    uint32_t l = v[0] ^ b->p[0], r = v[1];

    for (int i = 1; i <= 15; i += 2) {
        r ^= bcrypt_f(b, l) ^ b->p[i];
        l ^= bcrypt_f(b, r) ^ b->p[i + 1];
    }
    v[0] = r ^ b->p[17];
    v[1] = l;
}

static inline void bcrypt_fill(const struct bcrypt_box *b, uint32_t *to, size_t n, uint32_t v[2],
                               const uint32_t salt[4], size_t *at)
{
    for (size_t i = 0; i < n; i += 2) {
        v[0] ^= salt[*at];
        v[1] ^= salt[*at + 1];
        *at ^= 2;
        bcrypt_block(b, v);
        to[i] = v[0];
        to[i + 1] = v[1];
    }
}

/* key: words_n words, used round and round */
static void bcrypt_expand(struct bcrypt_box *b, const uint32_t salt[4], const uint32_t *key,
                          size_t words_n)
{
    uint32_t v[2] = {0, 0};
    size_t at = 0;

    for (size_t i = 0; i < BCRYPT_P; i++)
        b->p[i] ^= key[i % words_n];
    bcrypt_fill(b, b->p, BCRYPT_P, v, salt, &at);
    for (int k = 0; k < 4; k++)
        bcrypt_fill(b, b->s[k], 256, v, salt, &at);
}

/* ---- the hash ---- */

static uint32_t bcrypt_word(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The password and a NUL, again and again, as eighteen words. */
static void bcrypt_key(struct slice password, uint32_t key[BCRYPT_P])
{
    size_t at = 0;

    for (int i = 0; i < BCRYPT_P; i++) {
        uint8_t four[4];
        for (int k = 0; k < 4; k++) {
            four[k] = at < password.n ? (uint8_t)password.p[at] : 0;
            at = at < password.n ? at + 1 : 0;
        }
        key[i] = bcrypt_word(four);
        mem_wipe(four, sizeof four);
    }
}

void bcrypt_hash(struct slice password, const uint8_t salt[16], uint32_t cost, uint8_t out[23])
{
    static const uint8_t plain[] = "OrpheanBeholderScryDoubt";
    static const uint32_t none[4] = {0};
    struct bcrypt_box b;
    uint32_t key[BCRYPT_P], words[4], text[6];

    (void)pthread_once(&bcrypt_pi_once, bcrypt_make_pi);
    b = bcrypt_pi;
    bcrypt_key(password, key);
    for (int i = 0; i < 4; i++)
        words[i] = bcrypt_word(salt + i * 4);
    bcrypt_expand(&b, words, key, BCRYPT_P);
    for (uint64_t n = UINT64_C(1) << cost; n > 0; n--) {
        bcrypt_expand(&b, none, key, BCRYPT_P);
        bcrypt_expand(&b, none, words, 4);
    }
    for (int i = 0; i < 6; i++)
        text[i] = bcrypt_word(plain + i * 4);
    for (int i = 0; i < 6; i += 2)
        for (int n = 0; n < BCRYPT_BLOCKS; n++)
            bcrypt_block(&b, text + i);
    for (size_t i = 0; i < 23; i++)
        out[i] = (uint8_t)(text[i / 4] >> (24 - i % 4 * 8));
    mem_wipe(&b, sizeof b);
    mem_wipe(key, sizeof key);
}
