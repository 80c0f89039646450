/*
 * ip.c - IP addresses and prefixes as text (the second half of url.h).
 *
 * One form inside: 16 bytes, IPv4 as ::ffff:a.b.c.d, so that a rule for 10.0.0.0/8 also meets the
 * mapped form. Strict: four decimal numbers without leading zeros, no zone ids, no octal. Pure; any
 * thread. Tested by tests/unit/wire/test_url.c.
 */
#include "wire/url.h"

#include <arpa/inet.h>

static const uint8_t ip_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool ip_parse4(struct slice s, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        size_t n = 0;
        unsigned v = 0;
        while (n < s.n && n < 3 && ascii_digit(s.p[n]))
            v = v * 10 + (unsigned)(s.p[n++] - '0');
        if (n == 0 || v > 255 || (n > 1 && s.p[0] == '0'))
            return false;
        out[i] = (uint8_t)v;
        s = slice_from(s, n);
        if (i < 3) {
            if (s.n == 0 || s.p[0] != '.')
                return false;
            s = slice_from(s, 1);
        }
    }
    return s.n == 0;
}

bool ip_parse(struct slice s, struct ip *out)
{
    char text[INET6_ADDRSTRLEN];
    if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
        s = slice_sub(s, 1, s.n - 2);
    else if (slice_index(s, ':') == SIZE_MAX) {
        memcpy(out->b, ip_mapped, sizeof ip_mapped);
        return ip_parse4(s, out->b + 12);
    }
    if (s.n == 0 || s.n >= sizeof text || slice_index(s, ':') == SIZE_MAX)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = ascii_lower(s.p[i]);
        if (!ascii_digit(c) && c != ':' && c != '.' && !(c >= 'a' && c <= 'f'))
            return false;
    }
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    return inet_pton(AF_INET6, text, out->b) == 1;
}

static bool ip_is4(const struct ip *ip)
{
    return memcmp(ip->b, ip_mapped, sizeof ip_mapped) == 0;
}

size_t ip_format(const struct ip *ip, char dst[46])
{
    if (!ip_is4(ip)) {
        if (!inet_ntop(AF_INET6, ip->b, dst, INET6_ADDRSTRLEN))
            dst[0] = '\0';
        return strlen(dst);
    }
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (i > 0)
            dst[n++] = '.';
        n += fmt_u64(dst + n, ip->b[12 + i]);
    }
    dst[n] = '\0';
    return n;
}

bool cidr_parse(struct slice s, struct cidr *out)
{
    struct slice bits_text;
    uint64_t bits;
    bool with_bits = slice_index(s, '/') != SIZE_MAX;
    struct slice address = slice_cut(s, '/', &bits_text);
    if (address.n == 0 || address.p[0] == '[' || !ip_parse(address, &out->ip))
        return false;
    uint64_t width = slice_index(address, ':') == SIZE_MAX ? 32 : 128;
    if (!with_bits)
        bits = width;
    else if (bits_text.n > 3 || !slice_u64(bits_text, &bits) || bits > width)
        return false;
    out->bits = (int)(128 - width + bits);
    for (int i = out->bits; i < 128; i++) /* bits behind the prefix do not matter: make them 0 */
        out->ip.b[i / 8] = (uint8_t)(out->ip.b[i / 8] & ~(0x80u >> (i % 8)));
    return true;
}

bool cidr_has(const struct cidr *c, const struct ip *ip)
{
    size_t bytes = (size_t)c->bits / 8;
    unsigned rest = (unsigned)c->bits % 8;
    if (memcmp(c->ip.b, ip->b, bytes) != 0)
        return false;
    return rest == 0 || ((c->ip.b[bytes] ^ ip->b[bytes]) >> (8 - rest)) == 0;
}
