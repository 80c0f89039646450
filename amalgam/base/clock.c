/*
 * clock.c - the two clocks, and dates as text.
 *
 * Doors read a clock once per batch. Tests replace both sources; the replacement must happen before
 * threads start. Dates are proleptic Gregorian in UTC, without leap seconds; the calendar
 * arithmetic is our own because the C library's depends on the environment. Any thread. Tested by
 * tests/unit/base/test_clock.c.
 */
#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t (*clock_wall_source)(void);
static int64_t (*clock_mono_source)(void);

int64_t clock_wall_us(void)
{
    struct timespec ts;
    if (clock_wall_source)
        return clock_wall_source();
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

int64_t clock_mono_ns(void)
{
    struct timespec ts;
    if (clock_mono_source)
        return clock_mono_source();
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000;
}

void clock_set_source(int64_t (*wall_us)(void), int64_t (*mono_ns)(void))
{
    clock_wall_source = wall_us;
    clock_mono_source = mono_ns;
}

struct clock_date {
    int64_t year;
    unsigned month, day, hour, minute, second, weekday; /* month, day from 1; weekday 0 Sunday */
};

/* Days since 1970-01-01 of a date, and back: Hinnant's civil calendar, eras of 400 years. */
static int64_t clock_days(int64_t y, unsigned m, unsigned d)
{
    y -= m <= 2 ? 1 : 0;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400;
    int64_t doy = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + (int64_t)d - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static struct clock_date clock_split(int64_t wall_ms)
{
    int64_t secs = wall_ms / 1000 - (wall_ms % 1000 < 0 ? 1 : 0);
    int64_t days = secs / 86400 - (secs % 86400 < 0 ? 1 : 0);
    unsigned rest = (unsigned)(secs - days * 86400);
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    struct clock_date r = {.hour = rest / 3600, .minute = rest / 60 % 60, .second = rest % 60};
    r.day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    r.month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    r.year = yoe + era * 400 + (r.month <= 2 ? 1 : 0);
    r.weekday = (unsigned)(((days + 4) % 7 + 7) % 7);
    return r;
}

static char *clock_put(char *p, unsigned v, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--, v /= 10)
        p[i - 1] = (char)('0' + v % 10);
    return p + digits;
}

/* Years beyond four digits cannot be written: they are shown as 9999. */
static unsigned clock_year4(int64_t year)
{
    return (unsigned)(year < 0 ? 0 : year > 9999 ? 9999 : year);
}

size_t clock_rfc3339(char *dst, int64_t wall_ms)
{
    struct clock_date d = clock_split(wall_ms);
    char *p = clock_put(dst, clock_year4(d.year), 4);
    *p++ = '-';
    p = clock_put(p, d.month, 2);
    *p++ = '-';
    p = clock_put(p, d.day, 2);
    *p++ = 'T';
    p = clock_put(p, d.hour, 2);
    *p++ = ':';
    p = clock_put(p, d.minute, 2);
    *p++ = ':';
    p = clock_put(p, d.second, 2);
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - dst);
}

size_t clock_http_date(char *dst, int64_t wall_ms)
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct clock_date d = clock_split(wall_ms);
    char *p = dst;
    memcpy(p, days + (size_t)d.weekday * 3, 3);
    memcpy(p + 3, ", ", 2);
    p = clock_put(p + 5, d.day, 2);
    *p++ = ' ';
    memcpy(p, months + (size_t)(d.month - 1) * 3, 3);
    p[3] = ' ';
    p = clock_put(p + 4, clock_year4(d.year), 4);
    *p++ = ' ';
    p = clock_put(p, d.hour, 2);
    *p++ = ':';
    p = clock_put(p, d.minute, 2);
    *p++ = ':';
    p = clock_put(p, d.second, 2);
    memcpy(p, " GMT", 5);
    return (size_t)(p + 4 - dst);
}

/* `digits` digits at s.p[at] as a number, or -1. */
static int clock_digits(struct slice s, size_t at, size_t digits)
{
    int v = 0;
    if (s.n < at + digits)
        return -1;
    for (size_t i = at; i < at + digits; i++) {
        if (!ascii_digit(s.p[i]))
            return -1;
        v = v * 10 + (s.p[i] - '0');
    }
    return v;
}

static unsigned clock_month_days(int year, int month)
{
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1u : 0u);
}

/* "Z" or "+hh:mm" as minutes east of UTC. */
static bool clock_zone(struct slice s, int *minutes)
{
    if (s.n == 1 && (s.p[0] == 'Z' || s.p[0] == 'z')) {
        *minutes = 0;
        return true;
    }
    int h = clock_digits(s, 1, 2), m = clock_digits(s, 4, 2);
    if (s.n != 6 || (s.p[0] != '+' && s.p[0] != '-') || s.p[3] != ':' || h < 0 || h > 23 || m < 0 ||
        m > 59)
        return false;
    *minutes = (s.p[0] == '-' ? -1 : 1) * (h * 60 + m);
    return true;
}

bool clock_parse_rfc3339(struct slice s, int64_t *wall_ms)
{
    int year = clock_digits(s, 0, 4), month = clock_digits(s, 5, 2), day = clock_digits(s, 8, 2);
    int hour = clock_digits(s, 11, 2), minute = clock_digits(s, 14, 2),
        sec = clock_digits(s, 17, 2);
    if (s.n < 20 || year < 0 || month < 1 || month > 12 || day < 1 ||
        (unsigned)day > clock_month_days(year, month) || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || sec < 0 || sec > 60)
        return false;
    if (s.p[4] != '-' || s.p[7] != '-' || (s.p[10] != 'T' && s.p[10] != 't' && s.p[10] != ' ') ||
        s.p[13] != ':' || s.p[16] != ':')
        return false;
    size_t at = 19;
    int ms = 0, scale = 100, zone;
    if (s.p[at] == '.') {
        for (at++; at < s.n && ascii_digit(s.p[at]); at++, scale /= 10)
            ms += (s.p[at] - '0') * scale;
        if (at == 20)
            return false;
    }
    if (!clock_zone(slice_from(s, at), &zone))
        return false;
    int64_t days = clock_days(year, (unsigned)month, (unsigned)day);
    *wall_ms = ((days * 24 + hour) * 60 + minute - zone) * 60000 + (int64_t)sec * 1000 + ms;
    return true;
}

void clock_sleep_ms(int64_t ms)
{
    struct timespec left = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
    if (ms <= 0)
        return;
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* The same text must come out again: so the weekday is right and no digit is anything else. */
bool clock_parse_http_date(struct slice s, int64_t *wall_ms)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char iso[24], again[32];
    if (s.n != 29)
        return false;
    size_t month = 0;
    while (month < 12 && memcmp(months + month * 3, s.p + 8, 3) != 0)
        month++;
    if (month == 12)
        return false;
    memcpy(iso, s.p + 12, 4);
    iso[4] = iso[7] = '-';
    (void)clock_put(iso + 5, (unsigned)month + 1, 2);
    memcpy(iso + 8, s.p + 5, 2);
    iso[10] = 'T';
    memcpy(iso + 11, s.p + 17, 8);
    iso[19] = 'Z';
    if (!clock_parse_rfc3339(slice_of(iso, 20), wall_ms))
        return false;
    return slice_eq(slice_of(again, clock_http_date(again, *wall_ms)), s);
}
