/* test_clock.c - dates as text, and the replaceable clocks. */
#include "base/clock.h"
#include "t.h"

static void dates(void)
{
    static const struct {
        int64_t ms;
        const char *rfc, *http;
    } rows[] = {
        {0, "1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"},
        {1795234368000, "2026-11-21T04:12:48Z", "Sat, 21 Nov 2026 04:12:48 GMT"},
        {951782399999, "2000-02-28T23:59:59Z", "Mon, 28 Feb 2000 23:59:59 GMT"},
        {951782400000, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 GMT"},
        {4107542400000, "2100-03-01T00:00:00Z", "Mon, 01 Mar 2100 00:00:00 GMT"},
        {-1, "1969-12-31T23:59:59Z", "Wed, 31 Dec 1969 23:59:59 GMT"},
        {-62135596800000, "0001-01-01T00:00:00Z", "Mon, 01 Jan 0001 00:00:00 GMT"},
        {253402300799000, "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    char text[40];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t back = 0;
        T_ROW("%s", rows[i].rfc);
        T_TEXT(slice_of(text, clock_rfc3339(text, rows[i].ms)), rows[i].rfc);
        T(clock_parse_rfc3339(slice_str(rows[i].rfc), &back));
        T_INT(back, rows[i].ms - ((rows[i].ms % 1000) + 1000) % 1000);
        T_TEXT(slice_of(text, clock_http_date(text, rows[i].ms)), rows[i].http);
        T(clock_parse_http_date(slice_str(rows[i].http), &back));
        T_INT(back, rows[i].ms - ((rows[i].ms % 1000) + 1000) % 1000);
    }
    static const char *const bad[] = {"", "Fri, 21 Nov 2026 04:12:48 GMT", "Sat, 21 Nov 2026 04:12:48 UTC", "Sat, 21 Nov 2026 4:12:48 GMT ",
                                      "Sat, 21 Nov 2026 04:12:48 GMT ", "sat, 21 Nov 2026 04:12:48 GMT", "Sat, 21 nov 2026 04:12:48 GMT",
                                      "Sat, 21 Nov 2026 24:12:48 GMT", "Sat, 31 Nov 2026 04:12:48 GMT", "Sat, 21 Nov 2026 04:12:60 GMT"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int64_t back;
        T_ROW("%s", bad[i]);
        T(!clock_parse_http_date(slice_str(bad[i]), &back));
    }
}

static void days_there_and_back(void)
{
    char text[40];
    for (int64_t day = -200000; day < 400000; day += 17) {
        int64_t ms = day * 86400000 + 3600000, back = 0;
        size_t n = clock_rfc3339(text, ms);
        if (!clock_parse_rfc3339(slice_of(text, n), &back) || back != ms) {
            T_ROW("day %lld", (long long)day);
            T_INT(back, ms);
            return;
        }
    }
}

static void parsing(void)
{
    static const struct {
        const char *text;
        bool ok;
        int64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:01.5Z", true, 1500},
        {"1970-01-01T01:00:00+01:00", true, 0},
        {"1969-12-31T23:00:00-01:00", true, 0},
        {"1970-01-01t00:00:00z", true, 0},
        {"1970-01-01 00:00:00.123456Z", true, 123},
        {"1970-01-01T00:00:00", false, 0},
        {"1970-01-01", false, 0},
        {"1970-13-01T00:00:00Z", false, 0},
        {"1970-00-01T00:00:00Z", false, 0},
        {"2023-02-29T00:00:00Z", false, 0},
        {"2024-02-29T00:00:00Z", true, 1709164800000},
        {"1900-02-29T00:00:00Z", false, 0},
        {"1970-01-01T24:00:00Z", false, 0},
        {"1970-01-01T00:60:00Z", false, 0},
        {"1970-01-01T00:00:00.Z", false, 0},
        {"1970-01-01T00:00:00+1:00", false, 0},
        {"1970-01-01T00:00:00+24:00", false, 0},
        {"1970-01-01T00:00:00Zx", false, 0},
        {"x970-01-01T00:00:00Z", false, 0},
        {"", false, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t ms = -1;
        T_ROW("%s", rows[i].text);
        T_INT(clock_parse_rfc3339(slice_str(rows[i].text), &ms), rows[i].ok);
        T(!rows[i].ok || ms == rows[i].ms);
    }
}

static int64_t fake_wall(void)
{
    return 1234567;
}

static int64_t fake_mono(void)
{
    return 9000000;
}

static void sources(void)
{
    int64_t a = clock_mono_ns();
    clock_sleep_ms(3);
    T(clock_mono_ns() - a >= 3000000);
    T(clock_wall_ms() > 1600000000000);
    clock_set_source(fake_wall, fake_mono);
    T_INT(clock_wall_ms(), 1234);
    T_INT(clock_wall_us(), 1234567);
    T_INT(clock_mono_ms(), 9);
    clock_set_source(NULL, NULL);
    T(clock_wall_ms() > 1600000000000);
    clock_sleep_ms(-5);
}

int main(void)
{
    T_RUN(dates);
    T_RUN(days_there_and_back);
    T_RUN(parsing);
    T_RUN(sources);
    return t_done();
}
