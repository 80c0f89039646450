/*
 * test_sandbox.c - what a script can see, what it cannot change, and that nothing stays.
 */
#include "base/clock.h"
#include "lab.h"
#include "script/sandbox.h"

#include <stdlib.h>

static void dangerous_names_are_absent(void)
{
    static const char *const names[] = {
        "io", "debug", "package", "coroutine", "require", "load", "loadstring", "loadfile", "dofile",
        "collectgarbage", "print", "warn", "setfenv", "getfenv", "module", "newproxy",
        "os.execute", "os.exit", "os.remove", "os.rename", "os.getenv", "os.tmpname", "os.setlocale",
        "os.difftime", "string.dump", "math.randomseed"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char body[200];
        snprintf(body, sizeof body, "return type(%s)", names[i]);
        LAB_TEXT(body, "nil");
    }
}

/* Appends the names of the table on top, and of the tables behind read-only faces in it. */
static void collect(lua_State *L, const char *prefix, char names[][40], size_t *n)
{
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        const char *name = lua_tostring(L, -2);
        snprintf(names[(*n)++], 40, "%s%.30s", prefix, name);
        if (lua_istable(L, -1) && lua_getmetatable(L, -1)) {
            char deeper[40];
            snprintf(deeper, sizeof deeper, "%s%.20s.", prefix, name);
            lua_getfield(L, -1, "__index");
            if (strcmp(name, "_G") != 0)
                collect(L, deeper, names, n);
            lua_pop(L, 2);
        }
        lua_pop(L, 1);
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The whole list, so that a new Lua version cannot bring a function in unseen. */
static void the_world_is_exactly_this(void)
{
    static const char want[] =
        "_G _VERSION assert error getmetatable ipairs math math.abs math.acos math.asin math.atan "
        "math.ceil math.cos math.deg math.exp math.floor math.fmod math.huge math.log math.max "
        "math.maxinteger math.min math.mininteger math.modf math.pi math.rad math.random math.sin "
        "math.sqrt math.tan math.tointeger math.type math.ult next os os.clock os.date os.time pairs "
        "pcall rawequal rawget rawlen rawset select setmetatable string string.byte string.char "
        "string.find string.format string.gmatch string.gsub string.len string.lower string.match "
        "string.pack string.packsize string.rep string.reverse string.sub string.unpack string.upper "
        "table table.concat table.insert table.move table.pack table.remove table.sort table.unpack "
        "tonumber tostring type utf8 utf8.char utf8.charpattern utf8.codepoint utf8.codes utf8.len "
        "utf8.offset xpcall ";
    static char names[200][40], got[8000];
    struct script *s = script_open(NULL);
    size_t n = 0;
    sandbox_globals(s->L);
    collect(s->L, "", names, &n);
    qsort(names, n, sizeof names[0], by_name);
    for (size_t i = 0, at = 0; i < n && at < sizeof got; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%s ", names[i]);
    T(strcmp(got, want) == 0);
    if (strcmp(got, want) != 0)
        printf("# got %s\n", got);
    script_close(s);
}

static void binary_chunks_are_refused(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id;
    T_INT(script_load(s, "b.luac", S("\x1bLua\x54\x00\x19\x93\r\n\x1a\n"), &id, &e), RC_BADINPUT);
    T(strstr(e.text, "binary") != NULL);
    script_close(s);
}

static void nothing_shared_can_be_written(void)
{
    LAB_FAILS("x = 1", RC_BUG, "lab.lua:1: global 'x' cannot be set");
    LAB_FAILS("type = 1", RC_BUG, "global 'type'");
    LAB_FAILS("_G.x = 1", RC_BUG, "read-only");
    LAB_FAILS("_G = 1", RC_BUG, "global '_G'");
    LAB_FAILS("_ENV.x = 1", RC_BUG, "global 'x'");
    LAB_FAILS("_ENV[1] = 1", RC_BUG, "globals cannot be set");
    LAB_FAILS("rawset(_ENV, 'x', 1)", RC_BUG, "read-only");
    LAB_FAILS("rawset(_G, 'x', 1)", RC_BUG, "read-only");
    LAB_FAILS("string.find = 1", RC_BUG, "field 'find' cannot be set");
    LAB_FAILS("rawset(string, 'find', 1)", RC_BUG, "read-only");
    LAB_FAILS("table.insert(table, 1)", RC_BUG, "read-only");
    LAB_FAILS("table.move({1, 2}, 1, 2, 1, string)", RC_BUG, "read-only");
    LAB_FAILS("table.sort(setmetatable({}, {__len = function() return 2 end, __index = function() "
              "return 1 end, __newindex = string}))", RC_BUG, "read-only");
    LAB_FAILS("setmetatable(string, {})", RC_BUG, "protected");
    LAB_FAILS("setmetatable(_ENV, nil)", RC_BUG, "protected");
    LAB_FAILS("setmetatable(_G, {})", RC_BUG, "protected");
    LAB_FAILS("setmetatable('', {})", RC_BUG, "table expected");
    LAB_FAILS("getmetatable('').__index = {}", RC_BUG, "index a boolean");
    LAB_TEXT("return getmetatable('')", "false");
    LAB_TEXT("return getmetatable(_ENV)", "false");
    LAB_TEXT("return getmetatable(string)", "false");
    LAB_TEXT("return ('').__index", "nil");
    LAB_TEXT("local n = 0 for _ in pairs(string) do n = n + 1 end for _ in next, _ENV do n = n + 1 end "
             "return n", "0");
}

static void finalizers_are_refused(void)
{
    LAB_FAILS("setmetatable({}, {__gc = function() end})", RC_BUG, "__gc is not served");
    LAB_FAILS("setmetatable({}, {__gc = false})", RC_BUG, "__gc is not served");
    LAB_FAILS("setmetatable({}, {__close = function() end})", RC_BUG, "__close is not served");
    /* Added later it is never called: the flag that the outer table would get stays as it is. */
    LAB_TEXT("local hit = 0 local mt = {} local t = setmetatable({}, mt) "
             "mt.__gc = function() hit = hit + 1 end t = nil mt = nil "
             "for i = 1, 200 do local s = ('x'):rep(20000) end return hit", "0");
}

static void what_a_call_leaves_behind_is_gone(void)
{
    static const struct {
        const char *text, *first, *second;
    } rows[] = {
        {"local n = 0 return function() n = n + 1 return n end", "1", "1"},
        {"local t = {} return function(a) t[#t + 1] = a return #t end", "1", "1"},
        {"local t = {} return function() local r = #t t = {1, 2, 3} return r end", "0", "0"},
        {"return function() local old = x _ENV = {x = 7} return tostring and 'a' or 'b' end", "b", "b"},
        {"local function f() return tostring end return function() local r = f() ~= nil "
         "_ENV = {} return r end", "true", "true"},
        {"return function() local m = getmetatable(type) return m == nil end", "true", "true"},
        {"local function bump(t) t.n = (t.n or 0) + 1 return t.n end local store = {} "
         "return function() return bump(store) end", "1", "1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct script *s = script_open(NULL);
        struct err e = {0};
        int id = -1;
        T_ROW("%.80s", rows[i].text);
        T_INT(script_load(s, "leak.lua", slice_str(rows[i].text), &id, &e), RC_OK);
        if (id >= 0) {
            T_TEXT(slice_str(lab_call(s, id, "a").text), rows[i].first);
            T_TEXT(slice_str(lab_call(s, id, "a").text), rows[i].second);
        }
        script_close(s);
    }
}

static void chunks_do_not_see_each_other(void)
{
    struct script *s = script_open(NULL);
    struct lab l = lab_in(s, "secret = 42 return function() return 1 end", "");
    T_INT(l.load, RC_BUG);
    T(strstr(l.err.text, "lab.lua:1: global 'secret' cannot be set") != NULL);
    l = lab_in(s, "return function() return secret end", "");
    T_TEXT(slice_str(l.text), "nil");
    script_close(s);
}

static void protected_calls(void)
{
    LAB_TEXT("return select(2, pcall(error, 'boom'))", "boom");
    LAB_TEXT("local ok, a, b = pcall(function(x, y) return x + y, x * y end, 3, 4) return a .. ',' .. b",
             "7,12");
    LAB_TEXT("local ok, r = pcall(error, {code = 5}) return r.code", "5");
    LAB_TEXT("local ok, r = xpcall(function() error('a', 0) end, function(m) return m .. '!' end) "
             "return tostring(ok) .. r", "falsea!");
    LAB_TEXT("local ok, a, b = xpcall(function(x, y) return y, x end, type, 1, 2) return a .. b", "21");
    LAB_TEXT("local ok, r = xpcall(error, function() error('in handler', 0) end) return r",
             "in handler");
    LAB_TEXT("return (pcall(pcall))", "false");
    LAB_FAILS("return xpcall(error)", RC_BUG, "function expected");
    LAB_TEXT("local function f() return f() + 1 end return (pcall(function() local t = "
             "setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end "
             "return t.x end))", "false"); /* C stack overflow is an ordinary error */
}

static void addresses_are_not_told(void)
{
    LAB_TEXT("return tostring({}) .. tostring(type) .. tostring(function() end)", "tablefunctionfunction");
    LAB_TEXT("return string.format('%s|%10s|%s', {}, type, nil)", "table|  function|nil");
    LAB_TEXT("return tostring(setmetatable({}, {__tostring = function() return 'mine' end}))", "mine");
    LAB_TEXT("return ('%s'):format(setmetatable({}, {__tostring = function() return 'mine' end}))", "mine");
    LAB_TEXT("return string.format('%%p %5.2f %q %x %d', 1.5, 'a', 255, 3)", "%p  1.50 \"a\" ff 3");
    LAB_FAILS("return string.format('%p', 'x')", RC_BUG, "'%p'");
    LAB_FAILS("return string.format('%-20.3p', {})", RC_BUG, "'%p'");
    LAB_FAILS("return tostring(setmetatable({}, {__tostring = function() return {} end}))", RC_BUG, "must return a string");
    LAB_FAILS("return string.format('%d', {})", RC_BUG, "number expected");
}

static void tables(void)
{
    LAB_TEXT("local t = {5, 3, 9, 1, 7} table.sort(t) return table.concat(t, ' ')", "1 3 5 7 9");
    LAB_TEXT("local t = {} for i = 1, 500 do t[i] = (i * 7919) % 1000 end table.sort(t) "
             "for i = 2, #t do if t[i] < t[i - 1] then return i end end return 'sorted'", "sorted");
    LAB_TEXT("local t = {'b', 'a', 'c'} table.sort(t, function(a, b) return a > b end) "
             "return table.concat(t)", "cba");
    LAB_TEXT("local t = {3, 1, 2} table.sort(t, function() return true end) return #t", "3");
    LAB_FAILS("table.sort({1, 'a'})", RC_BUG, "compare");
    LAB_TEXT("local t = {1, 2, 3} table.insert(t, 2, 9) table.insert(t, 4) return table.concat(t, ',')",
             "1,9,2,3,4");
    LAB_FAILS("table.insert({1}, 5, 1)", RC_BUG, "out of bounds");
    LAB_FAILS("table.insert({1}, 0, 1)", RC_BUG, "out of bounds");
    LAB_TEXT("local t = {1, 2, 3} return table.remove(t, 1) .. table.remove(t) .. #t", "131");
    LAB_TEXT("return table.remove({})", "nil");
    LAB_FAILS("table.remove({1}, 7)", RC_BUG, "out of bounds");
    LAB_TEXT("local t = table.move({1, 2, 3}, 1, 3, 2) return table.concat(t, ',')", "1,1,2,3");
    LAB_TEXT("local t = table.move({1, 2, 3}, 2, 3, 1) return table.concat(t, ',')", "2,3,3");
    LAB_TEXT("return table.concat(table.move({1, 2}, 1, 2, 1, {}), '-')", "1-2");
    LAB_FAILS("table.move({}, math.mininteger, math.maxinteger, 1)", RC_BUG, "too many");
    LAB_TEXT("return table.concat({1, 2.5, 'x'}, ', ', 2, 3)", "2.5, x");
    LAB_FAILS("return table.concat({1, {}, 3})", RC_BUG, "index 2");
    LAB_TEXT("return table.pack(1, nil, 3).n", "3");
    LAB_TEXT("return select('#', table.unpack({1, 2, nil}, 1, 5))", "5");
    LAB_FAILS("return table.unpack({}, 1, 1e8)", RC_BUG, "too many results");
    LAB_FAILS("return table.unpack({}, math.mininteger, math.maxinteger)", RC_BUG, "too many results");
}

static int64_t fixed_us(void)
{
    return INT64_C(1763698368000000); /* 2025-11-21T04:12:48Z */
}

static void clock_functions(void)
{
    clock_set_source(fixed_us, NULL);
    LAB_TEXT("return os.time()", "1763698368");
    LAB_TEXT("return os.date('!%Y-%m-%dT%H:%M:%S')", "2025-11-21T04:12:48");
    LAB_TEXT("return os.date('!%A', 0)", "Thursday");
    LAB_TEXT("local t = os.date('!*t') return t.year .. t.month .. t.day .. t.hour .. t.min .. t.sec .. "
             "t.wday .. t.yday", "2025112141248" "6" "325");
    LAB_TEXT("local t = {year = 2025, month = 14, day = 1} os.time(t) return t.month .. '/' .. t.year",
             "2/2026");
    LAB_TEXT("return os.date('%%')", "%");
    LAB_TEXT("return type(os.clock())", "number");
    clock_set_source(NULL, NULL);
    LAB_FAILS("return os.date('%Q')", RC_BUG, "conversion");
    LAB_FAILS("return os.date('%')", RC_BUG, "conversion");
    LAB_FAILS("return os.date('%E')", RC_BUG, "conversion");
    LAB_FAILS("return os.date('*t', 1 << 62)", RC_BUG, "represented");
    LAB_FAILS("return os.time({year = 2025})", RC_BUG, "field 'month' missing");
    LAB_FAILS("return os.time({year = 2025, month = 'x', day = 1})", RC_BUG, "not an integer");
    LAB_FAILS("return os.time({year = 1 << 40, month = 1, day = 1})", RC_BUG, "out-of-bound");
}

static void random_differs_between_states(void)
{
    struct lab a = lab_body("return math.random(1 << 60)"), b = lab_body("return math.random(1 << 60)");
    T_INT(a.run, RC_OK);
    T(strcmp(a.text, b.text) != 0);
}

static void numbers_at_the_edge(void)
{
    LAB_TEXT("return math.maxinteger + 1 == math.mininteger", "true");
    LAB_TEXT("return math.mininteger // -1 == math.mininteger", "true");
    LAB_TEXT("return math.mininteger % -1", "0");
    LAB_FAILS("return 1 // 0", RC_BUG, "lab.lua:1: attempt to");
    LAB_FAILS("return 1 % 0", RC_BUG, "n%0");
    LAB_FAILS("for i = 1, 10, 0 do end", RC_BUG, "'for' step is zero");
    LAB_TEXT("local n = 0 for i = math.maxinteger - 1, math.maxinteger do n = n + 1 end return n", "2");
    LAB_TEXT("return ('x'):rep(math.mininteger) .. ('abc'):sub(math.mininteger, math.maxinteger)",
             "abc");
    LAB_TEXT("return ('abc'):find('b', math.mininteger)", "2");
    LAB_TEXT("return ('abc'):byte(math.mininteger, 1)", "97");
    LAB_FAILS("return ('x'):rep(math.maxinteger)", RC_TOOBIG, "memory");
    LAB_FAILS("return ('xyz'):rep(math.maxinteger // 3)", RC_TOOBIG, "memory");
    LAB_FAILS("return ('x'):rep(1 << 40, ('y'):rep(100))", RC_TOOBIG, "memory");
    LAB_FAILS("return string.format('%9999d', 1)", RC_BUG, "invalid conversion");
    LAB_FAILS("return string.pack('i17', 1)", RC_BUG, "out of limits");
}

int main(void)
{
    T_RUN(dangerous_names_are_absent);
    T_RUN(the_world_is_exactly_this);
    T_RUN(binary_chunks_are_refused);
    T_RUN(nothing_shared_can_be_written);
    T_RUN(finalizers_are_refused);
    T_RUN(what_a_call_leaves_behind_is_gone);
    T_RUN(chunks_do_not_see_each_other);
    T_RUN(protected_calls);
    T_RUN(addresses_are_not_told);
    T_RUN(tables);
    T_RUN(clock_functions);
    T_RUN(random_differs_between_states);
    T_RUN(numbers_at_the_edge);
    return t_done();
}
