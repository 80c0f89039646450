/*
 * slice.c - comparing, searching and reading borrowed bytes.
 *
 * Used by every room. Nothing here allocates, keeps state or looks behind the end of a slice.
 * Numbers are read whole or not at all. Pure functions, any thread. Number formatting is in
 * number.c. Tested by tests/unit/base/test_slice.c.
 */
#include "base/slice.h"

/* A..Z of 8 bytes at once as a..z. No carry leaves a byte: bit 7 is taken out before each sum. */
static inline uint64_t slice_lower8(uint64_t w)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = w & (ones * 0x7f);
    uint64_t from_a = low + ones * (0x80 - 'A'), past_z = low + ones * (0x80 - 'Z' - 1);
    return w | ((from_a & ~past_z & ~w & (ones * 0x80)) >> 2);
}

static inline bool slice_same8(const char *a, const char *b)
{
    uint64_t x, y;
    memcpy(&x, a, 8);
    memcpy(&y, b, 8);
    return x == y || slice_lower8(x) == slice_lower8(y);
}

bool slice_same_ci(const char *a, const char *b, size_t n)
{
    if (n >= 8) {
        for (size_t i = 0; i < n - 8; i += 8)
            if (!slice_same8(a + i, b + i))
                return false;
        return slice_same8(a + n - 8, b + n - 8);
    }
    for (size_t i = 0; i < n; i++)
        if (ascii_lower(a[i]) != ascii_lower(b[i]))
            return false;
    return true;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t n = MIN(a.n, b.n);
    int d = n ? memcmp(a.p, b.p, n) : 0;
    if (d != 0)
        return d < 0 ? -1 : 1;
    return (a.n > b.n) - (a.n < b.n);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq(slice_of(s.p, prefix.n), prefix);
}

bool slice_starts_ci(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq_ci(slice_of(s.p, prefix.n), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

size_t slice_find(struct slice s, struct slice needle)
{
    if (needle.n == 0)
        return 0;
    if (needle.n > s.n)
        return SIZE_MAX;
    const char *p = memmem(s.p, s.n, needle.p, needle.n);
    return p ? (size_t)(p - s.p) : SIZE_MAX;
}

size_t slice_index(struct slice s, char c)
{
    const char *p = s.n ? memchr(s.p, c, s.n) : NULL;
    return p ? (size_t)(p - s.p) : SIZE_MAX;
}

size_t slice_rindex(struct slice s, char c)
{
    const char *p = s.n ? memrchr(s.p, c, s.n) : NULL;
    return p ? (size_t)(p - s.p) : SIZE_MAX;
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

struct slice slice_cut(struct slice s, char c, struct slice *rest)
{
    size_t at = slice_index(s, c);
    if (at == SIZE_MAX) {
        *rest = slice_from(s, s.n);
        return s;
    }
    *rest = slice_from(s, at + 1);
    return slice_of(s.p, at);
}

/* The volatile read keeps the compiler from leaving the loop early. */
bool slice_eq_secret(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    volatile unsigned char diff = 0;
    for (size_t i = 0; i < a.n; i++)
        diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
    return diff == 0;
}

bool slice_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';
        if (d > 9 || v > UINT64_MAX / 10 || (v == UINT64_MAX / 10 && d > UINT64_MAX % 10))
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

bool slice_i64(struct slice s, int64_t *out)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    struct slice digits = slice_from(s, negative ? 1 : 0);
    uint64_t v;
    if (digits.n == 0 || digits.n > 19)
        return false;
    if (digits.p[0] == '0' && (digits.n > 1 || negative))
        return false;
    if (!slice_u64(digits, &v) || v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return false;
    *out = negative ? (int64_t)(0 - v) : (int64_t)v;
    return true;
}

/* Digits at the front of s; *unit is the rest. False without digits or when they overflow. */
static bool slice_number_unit(struct slice s, uint64_t *n, struct slice *unit)
{
    size_t i = 0;
    while (i < s.n && ascii_digit(s.p[i]))
        i++;
    *unit = slice_from(s, i);
    return slice_u64(slice_of(s.p, i), n);
}

struct slice_unit {
    struct slice name;
    uint64_t times;
};

static bool slice_scaled(struct slice s, const struct slice_unit *units, size_t n, uint64_t max,
                         uint64_t *out)
{
    uint64_t v;
    struct slice unit;
    if (!slice_number_unit(s, &v, &unit))
        return false;
    for (size_t i = 0; i < n; i++)
        if (slice_eq_ci(unit, units[i].name)) {
            if (v > max / units[i].times)
                return false;
            *out = v * units[i].times;
            return true;
        }
    return false;
}

bool slice_duration_ms(struct slice s, int64_t *out_ms)
{
    static const struct slice_unit units[] = {{SLIT(""), 1000},     {SLIT("ms"), 1},
                                              {SLIT("s"), 1000},    {SLIT("m"), 60000},
                                              {SLIT("h"), 3600000}, {SLIT("d"), 86400000}};
    uint64_t v;
    if (!slice_scaled(s, units, ARRAY_LEN(units), INT64_MAX, &v))
        return false;
    *out_ms = (int64_t)v;
    return true;
}

bool slice_bytes(struct slice s, uint64_t *out)
{
    static const struct slice_unit units[] = {{SLIT(""), 1},           {SLIT("b"), 1},
                                              {SLIT("k"), 1000},       {SLIT("kb"), 1u << 10},
                                              {SLIT("m"), 1000000},    {SLIT("mb"), 1u << 20},
                                              {SLIT("g"), 1000000000}, {SLIT("gb"), 1u << 30}};
    return slice_scaled(s, units, ARRAY_LEN(units), UINT64_MAX, out);
}

bool slice_printable(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return true;
}

/* No overlong forms, no surrogates, nothing beyond U+10FFFF. */
size_t slice_utf8_one(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char c = s.n > 0 ? p[0] : 0;
    if (c < 0x80)
        return MIN(s.n, (size_t)1);
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || s.n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool slice_utf8(struct slice s)
{
    size_t i = 0;
    while (i < s.n) {
        uint64_t eight;
        if (s.n - i >= 8) {
            memcpy(&eight, s.p + i, 8);
            if ((eight & 0x8080808080808080u) == 0) {
                i += 8;
                continue;
            }
        }
        size_t len = slice_utf8_one(slice_of(s.p + i, s.n - i));
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}
