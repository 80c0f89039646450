/*
 * text.c - base64, base64url and hexadecimal (RFC 4648), strictly (the text half of hash.h).
 *
 * A decoder that forgives lets two texts name one value, and then a list of revoked tokens can be
 * passed by: other bytes, missing or wrong padding and trailing bits that are not zero are refused.
 * Pure; any thread. Tested by tests/unit/wire/test_hash.c.
 */
#include "wire/hash.h"

static const char text_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char text_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* n % 3 bytes at the end give 2 or 3 characters; returns the length without padding. */
static size_t text_encode(char *dst, const uint8_t *p, size_t n, const char *alphabet)
{
    char *d = dst;
    for (; n >= 3; n -= 3, p += 3) {
        uint32_t v = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *d++ = alphabet[v >> 18];
        *d++ = alphabet[v >> 12 & 63];
        *d++ = alphabet[v >> 6 & 63];
        *d++ = alphabet[v & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0);
        *d++ = alphabet[v >> 18];
        *d++ = alphabet[v >> 12 & 63];
        if (n > 1)
            *d++ = alphabet[v >> 6 & 63];
    }
    return (size_t)(d - dst);
}

size_t b64_encode(char *dst, const void *p, size_t n)
{
    size_t len = text_encode(dst, p, n, text_std);
    while (len % 4 != 0)
        dst[len++] = '=';
    return len;
}

size_t b64url_encode(char *dst, const void *p, size_t n)
{
    return text_encode(dst, p, n, text_url);
}

static int text_digit(char c, char c62, char c63)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (ascii_digit(c))
        return c - '0' + 52;
    return c == c62 ? 62 : c == c63 ? 63 : -1;
}

/* in holds no padding any more. */
static enum rc text_decode(struct slice in, char c62, char c63, uint8_t *dst, size_t cap, size_t *n)
{
    uint32_t v = 0;
    int bits = 0;
    size_t out = 0;
    if (in.n % 4 == 1)
        return RC_BADINPUT;
    if (in.n / 4 * 3 + (in.n % 4 ? in.n % 4 - 1 : 0) > cap)
        return RC_TOOBIG;
    for (size_t i = 0; i < in.n; i++) {
        int digit = text_digit(in.p[i], c62, c63);
        if (digit < 0)
            return RC_BADINPUT;
        v = (v << 6 | (uint32_t)digit) & 0xffffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            dst[out++] = (uint8_t)(v >> bits);
        }
    }
    if (v & ((1u << bits) - 1))
        return RC_BADINPUT;
    *n = out;
    return RC_OK;
}

enum rc b64_decode(struct slice in, void *dst, size_t cap, size_t *n)
{
    if (in.n % 4 != 0)
        return RC_BADINPUT;
    for (int i = 0; i < 2 && in.n > 0 && in.p[in.n - 1] == '='; i++)
        in.n--;
    return text_decode(in, '+', '/', dst, cap, n);
}

enum rc b64url_decode(struct slice in, void *dst, size_t cap, size_t *n)
{
    return text_decode(in, '-', '_', dst, cap, n);
}

size_t hex_encode(char *dst, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) {
        dst[i * 2] = digits[b[i] >> 4];
        dst[i * 2 + 1] = digits[b[i] & 15];
    }
    return n * 2;
}

enum rc hex_decode(struct slice in, void *dst, size_t cap, size_t *n)
{
    uint8_t *out = dst;
    if (in.n % 2 != 0)
        return RC_BADINPUT;
    if (in.n / 2 > cap)
        return RC_TOOBIG;
    for (size_t i = 0; i < in.n; i += 2) {
        int high = ascii_hex(in.p[i]), low = ascii_hex(in.p[i + 1]);
        if (high < 0 || low < 0)
            return RC_BADINPUT;
        out[i / 2] = (uint8_t)(high * 16 + low);
    }
    *n = in.n / 2;
    return RC_OK;
}
