/* test_slice.c - slices and numbers as text. */
#include "base/slice.h"
#include "t.h"

#include <math.h>
#include <stdlib.h>

/* Two bytes at every place of every length, against the plain rule. */
static void of_every_byte(void)
{
    char a[20], b[20];
    bool good = true;
    for (size_t n = 1; n <= sizeof a; n++)
        for (size_t at = 0; at < n; at++)
            for (int x = 0; x < 256; x++)
                for (int y = 0; y < 256; y++) {
                    memset(a, 'Q', n);
                    memset(b, 'q', n);
                    a[at] = (char)x;
                    b[at] = (char)y;
                    bool same = ascii_lower(a[at]) == ascii_lower(b[at]);
                    good = good && slice_eq_ci(slice_of(a, n), slice_of(b, n)) == same;
                }
    T(good);
}

static void comparing(void)
{
    T(slice_eq(S("abc"), S("abc")) && !slice_eq(S("abc"), S("abd")) && !slice_eq(S("a"), S("ab")));
    T(slice_eq(S(""), slice_of(NULL, 0)));
    T(slice_eq_ci(S("Content-LENGTH"), S("content-length")) && !slice_eq_ci(S("a["), S("a{")));
    of_every_byte();
    T(slice_cmp(S("a"), S("b")) < 0 && slice_cmp(S("ab"), S("a")) > 0 &&
      slice_cmp(S("a"), S("a")) == 0);
    T(slice_cmp(S("\x80"), S("\x7f")) > 0); /* bytes are unsigned */
    T(slice_starts(S("abc"), S("ab")) && !slice_starts(S("a"), S("ab")) &&
      slice_starts(S("a"), S("")));
    T(slice_starts_ci(S("ABc"), S("ab")) && slice_ends(S("abc"), S("bc")) &&
      !slice_ends(S("c"), S("bc")));
    T(slice_eq_secret(S("secret"), S("secret")) && !slice_eq_secret(S("secret"), S("secreT")));
    T(!slice_eq_secret(S("a"), S("")) && slice_eq_secret(S(""), S("")));
}

static void searching(void)
{
    struct slice rest;
    T_INT(slice_find(S("hello"), S("ll")), 2);
    T(slice_find(S("hello"), S("lll")) == SIZE_MAX && slice_find(S(""), S("a")) == SIZE_MAX);
    T_INT(slice_find(S("hello"), S("")), 0);
    T_INT(slice_index(S("a=b=c"), '='), 1);
    T_INT(slice_rindex(S("a=b=c"), '='), 3);
    T(slice_index(S(""), 'x') == SIZE_MAX && slice_rindex(S("abc"), 'x') == SIZE_MAX);
    T_TEXT(slice_trim(S(" \t a b \t")), "a b");
    T_TEXT(slice_trim(S(" \t ")), "");
    T_TEXT(slice_cut(S("key=val=x"), '=', &rest), "key");
    T_TEXT(rest, "val=x");
    T_TEXT(slice_cut(S("key"), '=', &rest), "key");
    T_INT(rest.n, 0);
    T_TEXT(slice_sub(S("hello"), 1, 3), "ell");
    T_TEXT(slice_sub(S("hello"), 4, 9), "o");
    T_TEXT(slice_from(S("hello"), 9), "");
}

static void unsigned_numbers(void)
{
    static const struct {
        const char *text;
        bool ok;
        uint64_t v;
    } rows[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"007", true, 7},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"99999999999999999999", false, 0},
        {"", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1a", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t v = 0;
        T_ROW("%s", rows[i].text);
        T_INT(slice_u64(slice_str(rows[i].text), &v), rows[i].ok);
        T(!rows[i].ok || v == rows[i].v);
    }
    uint64_t v;
    T(!slice_u64(slice_of("1\0", 2), &v));
}

static void signed_numbers(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t v;
    } rows[] = {
        {"0", true, 0},
        {"-1", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"01", false, 0},
        {"-0", false, 0},
        {"+1", false, 0},
        {"", false, 0},
        {"-", false, 0},
        {" 1", false, 0},
        {"1.0", false, 0},
        {"--1", false, 0},
        {"00", false, 0},
        {"-01", false, 0},
        {"99999999999999999999999", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t v = 0;
        T_ROW("%s", rows[i].text);
        T_INT(slice_i64(slice_str(rows[i].text), &v), rows[i].ok);
        T(!rows[i].ok || v == rows[i].v);
    }
}

static void reading_doubles(void)
{
    static const struct {
        const char *text;
        bool ok;
        double v;
    } rows[] = {
        {"0", true, 0},
        {"1.5", true, 1.5},
        {"-1.5", true, -1.5},
        {"+3", true, 3},
        {".5", true, 0.5},
        {"5.", true, 5},
        {"1e3", true, 1000},
        {"1E-3", true, 0.001},
        {"3.1", true, 3.1},
        {"123456789.123456789", true, 123456789.123456789},
        {"0.1", true, 0.1},
        {"1e308", true, 1e308},
        {"1e309", false, 0},
        {"1e-400", false, 0},
        {"", false, 0},
        {".", false, 0},
        {"-", false, 0},
        {"1e", false, 0},
        {"0x10", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1,5", false, 0},
        {"1.2.3", false, 0},
        {"e5", false, 0},
        {"infinite", false, 0},
        {"inf", true, (double)INFINITY},
        {"-Infinity", true, -(double)INFINITY},
        {"+inf", true, (double)INFINITY},
        {"999999999999999", true, 999999999999999.0},
        {"9007199254740993", true, 9007199254740992.0},
        {"5e-324", true, 5e-324},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        double v = 0;
        T_ROW("%s", rows[i].text);
        T_INT(slice_double(slice_str(rows[i].text), &v), rows[i].ok);
        T(!rows[i].ok || v == rows[i].v);
    }
    double v = 0;
    T(slice_double(S("nan"), &v) && isnan(v));
    T(slice_double(S("-0"), &v) && v == 0 && signbit(v));
}

static void writing_doubles(void)
{
    static const struct {
        double v;
        const char *text;
    } rows[] = {
        {0, "0"},
        {3, "3"},
        {-17, "-17"},
        {3.1, "3.1"},
        {-0.25, "-0.25"},
        {0.1, "0.1"},
        {5e15, "5000000000000000"},
        {1e17, "100000000000000000"},
        {-4611686018427387904.0, "-4611686018427387904"}, /* 2^62 is the last */
        {4611686018427388928.0, "4611686018427389000"},
        {5e18, "5e+18"},
        {1e20, "1e+20"},
        {1e21, "1e+21"},
        {1.5e300, "1.5e+300"},
        {1e-7, "1e-7"},
        {123456789012345678.0, "123456789012345680"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {9007199254740993.0, "9007199254740992"},
        {0.000123, "0.000123"},
        {-0.0, "-0"},
        {100.5, "100.5"},
        {1234567.891, "1234567.891"},
    };
    char text[48];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].text);
        T_TEXT(slice_of(text, fmt_double(text, rows[i].v)), rows[i].text);
    }
    T_TEXT(slice_of(text, fmt_double(text, (double)INFINITY)), "inf");
    T_TEXT(slice_of(text, fmt_double(text, -(double)INFINITY)), "-inf");
    T_TEXT(slice_of(text, fmt_double(text, (double)NAN)), "nan");
}

/* Any bit pattern must come back from its own text, and in at most 24 bytes or so. */
static void doubles_there_and_back(void)
{
    uint64_t x = 88172645463325252u;
    char text[48];
    for (int i = 0; i < 100000; i++) {
        double d, back = 0;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        if (i % 2)
            memcpy(&d, &x, sizeof d);
        else
            d = (double)(int64_t)(x >> 20) / 1000.0;
        if (!isfinite(d) || d == 0)
            continue;
        size_t n = fmt_double(text, d);
        T(n < 40 && slice_double(slice_of(text, n), &back));
        if (back != d) {
            T_ROW("%.17g", d);
            T(back == d);
            return;
        }
    }
}

static void writing_integers(void)
{
    char text[24], want[24];
    static const int64_t rows[] = {0,   1,    9,         10,        99,           100,
                                   101, 999,  1000,      12345,     -1,           -10,
                                   -99, -100, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(want, sizeof want, "%lld", (long long)rows[i]);
        T_TEXT(slice_of(text, fmt_i64(text, rows[i])), want);
    }
    T_TEXT(slice_of(text, fmt_u64(text, UINT64_MAX)), "18446744073709551615");
    for (uint64_t p = 1, i = 0; i < 20; i++, p *= 10) {
        snprintf(want, sizeof want, "%llu", (unsigned long long)p);
        T_TEXT(slice_of(text, fmt_u64(text, p)), want);
        snprintf(want, sizeof want, "%llu", (unsigned long long)(p - 1));
        T_TEXT(slice_of(text, fmt_u64(text, p - 1)), want);
    }
}

static void durations_and_bytes(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t ms;
    } times[] = {
        {"90s", true, 90000},
        {"15m", true, 900000},
        {"24h", true, 86400000},
        {"30d", true, 2592000000},
        {"250ms", true, 250},
        {"5", true, 5000},
        {"0", true, 0},
        {"1.5h", false, 0},
        {"", false, 0},
        {"s", false, 0},
        {"-1s", false, 0},
        {"1 s", false, 0},
        {"1y", false, 0},
        {"1h30m", false, 0},
        {"9223372036854775807ms", true, INT64_MAX},
        {"9223372036854775808ms", false, 0},
        {"106751991167d", true, 106751991167 * 86400000},
        {"106751991168d", false, 0},
    };
    static const struct {
        const char *text;
        bool ok;
        uint64_t n;
    } sizes[] = {
        {"0", true, 0},
        {"100", true, 100},
        {"64kb", true, 65536},
        {"1MB", true, 1048576},
        {"2gb", true, 2147483648u},
        {"1k", true, 1000},
        {"3m", true, 3000000},
        {"1g", true, 1000000000},
        {"7b", true, 7},
        {"1tb", false, 0},
        {"kb", false, 0},
        {"-1", false, 0},
        {"1.5mb", false, 0},
        {"17179869184gb", false, 0},
        {"17179869183gb", true, 17179869183u * (uint64_t)(1 << 30)},
    };
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        int64_t ms = -1;
        T_ROW("%s", times[i].text);
        T_INT(slice_duration_ms(slice_str(times[i].text), &ms), times[i].ok);
        T(!times[i].ok || ms == times[i].ms);
    }
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        uint64_t n = 0;
        T_ROW("%s", sizes[i].text);
        T_INT(slice_bytes(slice_str(sizes[i].text), &n), sizes[i].ok);
        T(!sizes[i].ok || n == sizes[i].n);
    }
}

static void utf8_and_printable(void)
{
    static const struct {
        struct slice s;
        bool ok;
    } rows[] = {
        {SLIT(""), true},
        {SLIT("plain"), true},
        {SLIT("gr\xc3\xbc\xc3\x9f"), true},
        {SLIT("\xe2\x82\xac"), true},
        {SLIT("\xf0\x9f\x98\x80"), true},
        {SLIT("\xf4\x8f\xbf\xbf"), true},
        {SLIT("\xc0\xaf"), false},
        {SLIT("\xc1\xbf"), false},
        {SLIT("\xe0\x80\xaf"), false},
        {SLIT("\xf0\x80\x80\xaf"), false},
        {SLIT("\xed\xa0\x80"), false},
        {SLIT("\xf4\x90\x80\x80"), false},
        {SLIT("\xf5\x80\x80\x80"), false},
        {SLIT("\x80"), false},
        {SLIT("\xc3"), false},
        {SLIT("abcdefgh\xe2\x82"), false},
        {SLIT("abcdefghijklmnop\xc3\xbc"), true},
        {SLIT("\xff"), false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("row %zu", i);
        T_INT(slice_utf8(rows[i].s), rows[i].ok);
    }
    T_ROW("printable");
    T(slice_printable(S("a ~!")) && !slice_printable(S("a\t")) && !slice_printable(S("\x7f")));
    T(!slice_printable(S("\xc3\xbc")) && slice_printable(S("")));
}

int main(void)
{
    T_RUN(comparing);
    T_RUN(searching);
    T_RUN(unsigned_numbers);
    T_RUN(signed_numbers);
    T_RUN(reading_doubles);
    T_RUN(writing_doubles);
    T_RUN(doubles_there_and_back);
    T_RUN(writing_integers);
    T_RUN(durations_and_bytes);
    T_RUN(utf8_and_printable);
    return t_done();
}
