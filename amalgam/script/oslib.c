/*
 * oslib.c - os.time, os.date and os.clock, and nothing else of Lua's os library.
 *
 * Written here rather than trimmed from Lua's, so that the functions that start programs and remove
 * files are not even linked. The wall clock is base/clock, so tests can set the time. Local time is
 * the server's time zone (TZ); "!" asks for UTC, as in Lua.
 * Callers: scripts, through sandbox.c. Threads: the state's. Tested by
 * tests/unit/script/test_sandbox.c.
 */
#include "script/sandbox.h"

#include "base/clock.h"
#include <time.h>

enum { OSLIB_CONVERSION_MAX = 256, OSLIB_FORMAT_MAX = 1024 };

static const char oslib_plain[] = "aAbBcCdDeFgGhHIjmMnprRStTuUVwWxXyYzZ%";

static const struct {
    const char *name;
    size_t offset;
    int bias; /* field = member + bias */
} oslib_fields[] = {
    {"year", offsetof(struct tm, tm_year), 1900}, {"month", offsetof(struct tm, tm_mon), 1},
    {"day", offsetof(struct tm, tm_mday), 0},     {"hour", offsetof(struct tm, tm_hour), 0},
    {"min", offsetof(struct tm, tm_min), 0},      {"sec", offsetof(struct tm, tm_sec), 0},
    {"wday", offsetof(struct tm, tm_wday), 1},    {"yday", offsetof(struct tm, tm_yday), 1}};
enum { OSLIB_GIVEN = 6, OSLIB_REQUIRED = 3 }; /* rows that os.time reads, that must be there */

static int *oslib_member(struct tm *t, size_t row)
{
    return (int *)(void *)((char *)t + oslib_fields[row].offset);
}

/* Sets all fields of t in the table on top. */
static void oslib_put(lua_State *L, struct tm *t)
{
    for (size_t i = 0; i < ARRAY_LEN(oslib_fields); i++) {
        lua_pushinteger(L, (lua_Integer)*oslib_member(t, i) + oslib_fields[i].bias);
        lua_setfield(L, -2, oslib_fields[i].name);
    }
    if (t->tm_isdst >= 0) {
        lua_pushboolean(L, t->tm_isdst);
        lua_setfield(L, -2, "isdst");
    }
}

static int oslib_field(lua_State *L, size_t row)
{
    const char *name = oslib_fields[row].name;
    int is_int = 0;
    int kind = lua_getfield(L, 1, name);
    lua_Integer n = lua_tointegerx(L, -1, &is_int);
    lua_pop(L, 1);
    if (kind == LUA_TNIL && row >= OSLIB_REQUIRED)
        return row == 3 ? 12 : 0;
    if (!is_int)
        return luaL_error(L, "field '%s' %s", name,
                          kind == LUA_TNIL ? "missing in date table" : "is not an integer");
    if (n < INT32_MIN + 2000 || n > INT32_MAX - 2000)
        return luaL_error(L, "field '%s' is out-of-bound", name);
    return (int)n - oslib_fields[row].bias;
}

static lua_Integer oslib_now(lua_State *L)
{
    const struct script *s = sandbox_of(L);
    return (s->fixed_ms ? s->fixed_ms : clock_wall_ms()) / 1000;
}

static int oslib_time(lua_State *L)
{
    if (lua_isnoneornil(L, 1)) {
        lua_pushinteger(L, oslib_now(L));
        return 1;
    }
    struct tm t = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    for (size_t i = 0; i < OSLIB_GIVEN; i++)
        *oslib_member(&t, i) = oslib_field(L, i);
    t.tm_isdst = lua_getfield(L, 1, "isdst") == LUA_TNIL ? -1 : lua_toboolean(L, -1);
    lua_pop(L, 1);
    time_t at = mktime(&t);
    if (at == (time_t)-1 && t.tm_year != 69)
        return luaL_error(L, "time result cannot be represented");
    oslib_put(L, &t);
    lua_pushinteger(L, (lua_Integer)at);
    return 1;
}

/* Appends one conversion; f points behind the %. Returns what follows it. */
static const char *oslib_convert(lua_State *L, luaL_Buffer *b, const char *f, const char *end,
                                 const struct tm *t)
{
    char spec[4] = {'%', 0, 0, 0}, out[OSLIB_CONVERSION_MAX];
    int n = 1;
    if (f < end && (*f == 'E' || *f == 'O'))
        spec[n++] = *f++;
    if (f >= end || *f == 0 || !strchr(oslib_plain, *f))
        luaL_error(L, "invalid conversion specifier in the format of os.date");
    spec[n] = *f;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* checked against the list above */
    luaL_addlstring(b, out, strftime(out, sizeof out, spec, t));
#pragma GCC diagnostic pop
    return f + 1;
}

static int oslib_date(lua_State *L)
{
    size_t n;
    const char *f = luaL_optlstring(L, 1, "%c", &n), *end = f + n;
    lua_Integer at = luaL_optinteger(L, 2, oslib_now(L));
    struct tm t;
    bool utc = *f == '!';
    f += utc;
    time_t when = (time_t)at;
    if (!(utc ? gmtime_r(&when, &t) : localtime_r(&when, &t)))
        return luaL_error(L, "date result cannot be represented");
    if (strcmp(f, "*t") == 0) {
        lua_createtable(L, 0, 9);
        oslib_put(L, &t);
        return 1;
    }
    luaL_argcheck(L, n <= OSLIB_FORMAT_MAX, 1, "format too long");
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    while (f < end) {
        if (*f == '%')
            f = oslib_convert(L, &b, f + 1, end, &t);
        else
            luaL_addlstring(&b, f++, 1);
    }
    luaL_pushresult(&b);
    return 1;
}

/* Processor time of this thread, in seconds; 0 where time stands still (script_fix). */
static int oslib_clock(lua_State *L)
{
    struct timespec t = {0};
    if (!sandbox_of(L)->fixed_ms)
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    lua_pushnumber(L, (double)t.tv_sec + (double)t.tv_nsec / 1e9);
    return 1;
}

static const struct sandbox_row oslib_own[] = {
    {"time", oslib_time}, {"date", oslib_date}, {"clock", oslib_clock}};

void oslib_open(lua_State *L)
{
    lua_createtable(L, 0, (int)ARRAY_LEN(oslib_own));
    sandbox_rows(L, oslib_own, ARRAY_LEN(oslib_own));
}
