/*
 * number.c - doubles and integers as text (the number half of slice.h).
 *
 * Sorted sets, counters and JSON pass through here, so the common cases (whole numbers, short
 * decimals) avoid the C library. Text written reads back as the same double and is as short as that
 * allows. Pure functions, any thread; nothing depends on a locale, because nobody sets one.
 * Tested by tests/unit/base/test_slice.c.
 */
#include "base/slice.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_TEXT_MAX = 1024, NUMBER_POW10_MAX = 22 };
/* Up to here Redis writes a whole number with all its digits: 2^62. */
#define NUMBER_WHOLE_MAX 4611686018427387904.0

/* Powers of ten that a double holds exactly. */
static double number_pow10(size_t i)
{
    static const double pow10[NUMBER_POW10_MAX + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    return pow10[i];
}

/* At most 15 digits and a point: both parts are exact, so one division rounds once (Clinger). */
static bool number_read_simple(struct slice s, double *out)
{
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0;
    size_t digits = 0, behind = 0;
    bool point = false;
    uint64_t v = 0;
    for (; i < s.n; i++) {
        if (s.p[i] == '.' && !point) {
            point = true;
        } else if (ascii_digit(s.p[i]) && digits < 15) {
            v = v * 10 + (uint64_t)(s.p[i] - '0');
            digits++;
            behind += point ? 1 : 0;
        } else {
            return false;
        }
    }
    if (digits == 0)
        return false;
    double d = (double)v / number_pow10(behind);
    *out = s.p[0] == '-' ? -d : d;
    return true;
}

static bool number_read_word(struct slice s, double *out)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    struct slice word = slice_from(s, s.n > 0 && (s.p[0] == '-' || s.p[0] == '+') ? 1 : 0);
    if (slice_eq_ci(word, S("inf")) || slice_eq_ci(word, S("infinity")))
        *out = negative ? -(double)INFINITY : (double)INFINITY;
    else if (slice_eq_ci(word, S("nan")))
        *out = (double)NAN;
    else
        return false;
    return true;
}

/* strtod would take spaces, hex and locale forms: only these bytes may reach it. */
static bool number_decimal_bytes(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!ascii_digit(c) && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E')
            return false;
    }
    return true;
}

bool slice_double(struct slice s, double *out)
{
    char text[NUMBER_TEXT_MAX];
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    if (number_read_simple(s, out) || number_read_word(s, out))
        return true;
    if (!number_decimal_bytes(s))
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = '\0';
    char *end;
    errno = 0;
    double d = strtod(text, &end);
    if (end != text + s.n)
        return false;
    if (errno == ERANGE && (isinf(d) || fpclassify(d) == FP_ZERO))
        return false;
    *out = d;
    return true;
}

static const char number_pairs[] = "00010203040506070809101112131415161718192021222324"
                                   "25262728293031323334353637383940414243444546474849"
                                   "50515253545556575859606162636465666768697071727374"
                                   "75767778798081828384858687888990919293949596979899";

/* How many digits n has: from its number of bits, corrected by one comparison (log10 2 is about
 * 1233 / 4096). */
static inline size_t number_digits(uint64_t n)
{
    static const uint64_t powers[20] = {0,
                                        10,
                                        100,
                                        1000,
                                        10000,
                                        100000,
                                        1000000,
                                        10000000,
                                        100000000,
                                        1000000000,
                                        10000000000,
                                        100000000000,
                                        1000000000000,
                                        10000000000000,
                                        100000000000000,
                                        1000000000000000,
                                        10000000000000000,
                                        100000000000000000,
                                        1000000000000000000,
                                        10000000000000000000u};
    size_t guess = (size_t)(64 - __builtin_clzll(n | 1)) * 1233 >> 12;
    return guess + (n >= powers[guess] ? 1 : 0);
}

size_t fmt_u64(char *dst, uint64_t n)
{
    if (n < 10) {
        dst[0] = (char)('0' + n);
        return 1;
    }
    size_t digits = number_digits(n), at = digits;
    while (n >= 100) {
        at -= 2;
        memcpy(dst + at, number_pairs + (n % 100) * 2, 2);
        n /= 100;
    }
    if (n >= 10)
        memcpy(dst, number_pairs + n * 2, 2);
    else
        dst[0] = (char)('0' + n);
    return digits;
}

size_t fmt_i64(char *dst, int64_t n)
{
    if (n >= 0)
        return fmt_u64(dst, (uint64_t)n);
    dst[0] = '-';
    return 1 + fmt_u64(dst + 1, 0 - (uint64_t)n);
}

/* A decimal with at most 6 places whose quotient is d again: "3.1", "0.25". 0 if there is none. */
static size_t number_write_short(char *dst, double d)
{
    double a = fabs(d);
    for (size_t places = 1; places <= 6 && a >= 1e-4; places++) {
        double scaled = a * number_pow10(places);
        if (scaled >= 1e15)
            return 0;
        double whole = nearbyint(scaled);
        if (whole / number_pow10(places) != a)
            continue;
        uint64_t v = (uint64_t)whole, unit = (uint64_t)number_pow10(places);
        size_t n = 0;
        if (d < 0)
            dst[n++] = '-';
        n += fmt_u64(dst + n, v / unit);
        dst[n++] = '.';
        for (uint64_t rest = v % unit, left = unit / 10; left > 0; left /= 10)
            dst[n++] = (char)('0' + rest / left % 10);
        return n;
    }
    return 0;
}

/* digits "31", exponent of the first digit: plain when short, else with e+NN. As Redis 7.2. */
static size_t number_layout(char *dst, const char *digits, size_t n, int exp10, bool negative)
{
    MUST(n > 0);
    char *p = dst;
    int last = exp10 - (int)n + 1; /* exponent of the last digit */
    if (negative)
        *p++ = '-';
    if (last >= 0 && exp10 < (int)n + 7) {
        memcpy(p, digits, n);
        memset(p + n, '0', (size_t)last);
        p += n + (size_t)last;
    } else if (last < 0 && (last > -7 || (exp10 < 4 && exp10 > -4))) {
        if (exp10 < 0) {
            *p++ = '0';
            *p++ = '.';
            memset(p, '0', (size_t)(-exp10 - 1));
            p += -exp10 - 1;
            memcpy(p, digits, n);
            p += n;
        } else {
            size_t front = (size_t)exp10 + 1;
            memcpy(p, digits, front);
            p[front] = '.';
            memcpy(p + front + 1, digits + front, n - front);
            p += n + 1;
        }
    } else {
        *p++ = digits[0];
        if (n > 1) {
            *p++ = '.';
            memcpy(p, digits + 1, n - 1);
            p += n - 1;
        }
        *p++ = 'e';
        *p++ = exp10 < 0 ? '-' : '+';
        p += fmt_u64(p, (uint64_t)(exp10 < 0 ? -exp10 : exp10));
    }
    return (size_t)(p - dst);
}

/* The fewest digits that read back: 15 to 17, or fewer where a double holds fewer (below DBL_MIN).
 */
static size_t number_write_any(char *dst, double d)
{
    char text[40], digits[20];
    double a = fabs(d), back;
    for (int precision = a < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        snprintf(text, sizeof text, "%.*e", precision - 1, a);
        back = strtod(text, NULL);
        if (memcmp(&back, &a, sizeof a) == 0)
            break;
    }
    char *e = strchr(text, 'e');
    int exp10 = (int)strtol(e + 1, NULL, 10);
    size_t n = 0;
    for (const char *p = text; p < e; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    return number_layout(dst, digits, n, exp10, d < 0);
}

size_t fmt_double(char *dst, double d)
{
    if (isnan(d))
        return (size_t)snprintf(dst, 40, "nan");
    if (isinf(d))
        return (size_t)snprintf(dst, 40, d > 0 ? "inf" : "-inf");
    if (fabs(d) <= NUMBER_WHOLE_MAX && d == (double)(int64_t)d) {
        if (d == 0 && signbit(d))
            return (size_t)snprintf(dst, 40, "-0");
        return fmt_i64(dst, (int64_t)d);
    }
    size_t n = number_write_short(dst, d);
    return n ? n : number_write_any(dst, d);
}
#undef NUMBER_WHOLE_MAX
