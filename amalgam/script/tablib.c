/*
 * tablib.c - the table library that scripts see, every loop paid for before it runs.
 *
 * Callers: scripts, through sandbox.c. All functions obey metamethods as Lua's do, and since
 * __len and __index may say anything (2^60 elements that do not exist), the number of steps is
 * charged first. sort is a heap sort: n log n whatever the comparison function answers.
 * Threads: the state's. Tested by tests/unit/script/test_sandbox.c.
 */
#include "script/sandbox.h"

enum { TABLIB_EACH = 2, TABLIB_COMPARE_BYTES = 64 };

/* The first argument may be anything that can be indexed; Lua itself complains otherwise. */
static lua_Integer tablib_len(lua_State *L)
{
    luaL_checkany(L, 1);
    return luaL_len(L, 1);
}

/* Pays for count elements, count <= 0 is free. */
static void tablib_pay(lua_State *L, lua_Unsigned count)
{
    budget_charge(L, count / TABLIB_EACH);
}

static int tablib_insert(lua_State *L)
{
    lua_Integer end = (lua_Integer)((lua_Unsigned)tablib_len(L) + 1u), pos = end;
    switch (lua_gettop(L)) {
    case 2:
        break;
    case 3:
        pos = luaL_checkinteger(L, 2);
        luaL_argcheck(L, (lua_Unsigned)pos - 1u < (lua_Unsigned)end, 2, "position out of bounds");
        tablib_pay(L, (lua_Unsigned)(end - pos));
        for (lua_Integer i = end; i > pos; i--) {
            lua_geti(L, 1, i - 1);
            lua_seti(L, 1, i);
        }
        break;
    default:
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    lua_seti(L, 1, pos);
    return 0;
}

static int tablib_remove(lua_State *L)
{
    lua_Integer size = tablib_len(L), pos = luaL_optinteger(L, 2, size);
    if (pos != size) /* size + 1 is allowed */
        luaL_argcheck(L, (lua_Unsigned)pos - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
    if (pos < size)
        tablib_pay(L, (lua_Unsigned)size - (lua_Unsigned)pos);
    lua_geti(L, 1, pos);
    for (; pos < size; pos++) {
        lua_geti(L, 1, pos + 1);
        lua_seti(L, 1, pos);
    }
    lua_pushnil(L);
    lua_seti(L, 1, pos);
    return 1;
}

static int tablib_move(lua_State *L)
{
    lua_Integer from = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3);
    lua_Integer to = luaL_checkinteger(L, 4);
    int target = lua_isnoneornil(L, 5) ? 1 : 5;
    if (end >= from) {
        lua_Unsigned count = (lua_Unsigned)end - (lua_Unsigned)from;
        luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3, "too many elements to move");
        luaL_argcheck(L, to <= LUA_MAXINTEGER - (lua_Integer)count, 4, "destination wrap around");
        tablib_pay(L, count + 1);
        bool up = to > end || to <= from || (target != 1 && !lua_compare(L, 1, target, LUA_OPEQ));
        for (lua_Unsigned k = 0; k <= count; k++) {
            lua_Integer i = (lua_Integer)(up ? k : count - k);
            lua_geti(L, 1, from + i);
            lua_seti(L, target, to + i);
        }
    }
    lua_pushvalue(L, target);
    return 1;
}

/* Two passes: the first adds up the lengths, so the result is asked of the budget before it is
 * built. A __index that answers differently the second time gets an error, not an overrun. */
static int tablib_concat(lua_State *L)
{
    size_t sep_n, n, total = 0;
    lua_Integer size = tablib_len(L);
    const char *sep = luaL_optlstring(L, 2, "", &sep_n);
    lua_Integer i = luaL_optinteger(L, 3, 1), j = luaL_optinteger(L, 4, size);
    if (i > j) {
        lua_pushliteral(L, "");
        return 1;
    }
    lua_Unsigned count = (lua_Unsigned)j - (lua_Unsigned)i;
    tablib_pay(L, count + 1 ? count + 1 : count);
    for (lua_Unsigned k = 0; k <= count; k++) {
        lua_geti(L, 1, (lua_Integer)((lua_Unsigned)i + k));
        if (!lua_isstring(L, -1))
            return luaL_error(L, "invalid value (at index %I) in table for 'concat'",
                              (LUAI_UACINT)((lua_Unsigned)i + k));
        (void)lua_tolstring(L, -1, &n);
        total += n + (k < count ? sep_n : 0);
        if (total > SIZE_MAX / 4)
            break;
        lua_pop(L, 1);
    }
    budget_room(L, 2 * total);
    luaL_Buffer b;
    char *dst = luaL_buffinitsize(L, &b, total);
    size_t left = total;
    for (lua_Unsigned k = 0; k <= count; k++) {
        lua_geti(L, 1, (lua_Integer)((lua_Unsigned)i + k));
        const char *p = lua_tolstring(L, -1, &n);
        size_t glue = k < count ? sep_n : 0;
        if (!p || n > left || glue > left - n)
            return luaL_error(L, "the table changed under 'concat'");
        memcpy(dst, p, n);
        memcpy(dst + n, sep, glue);
        dst += n + glue;
        left -= n + glue;
        lua_pop(L, 1);
    }
    luaL_pushresultsize(&b, total - left);
    return 1;
}

static int tablib_pack(lua_State *L)
{
    int n = lua_gettop(L);
    lua_createtable(L, n, 1);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--)
        lua_seti(L, 1, i);
    lua_pushinteger(L, n);
    lua_setfield(L, 1, "n");
    return 1;
}

static int tablib_unpack(lua_State *L)
{
    lua_Integer i = luaL_optinteger(L, 2, 1);
    lua_Integer j = lua_isnoneornil(L, 3) ? luaL_len(L, 1) : luaL_checkinteger(L, 3);
    if (i > j)
        return 0;
    lua_Unsigned count = (lua_Unsigned)j - (lua_Unsigned)i;
    if (count >= LUAI_MAXSTACK || !lua_checkstack(L, (int)count + 1))
        return luaL_error(L, "too many results to unpack");
    tablib_pay(L, count + 1);
    for (lua_Unsigned k = 0; k <= count; k++)
        lua_geti(L, 1, (lua_Integer)((lua_Unsigned)i + k));
    return (int)count + 1;
}

/* ---- sort ---- */

/* Pays for one comparison; Lua compares strings byte by byte inside one instruction. */
static void tablib_pay_compare(lua_State *L)
{
    size_t bytes = 0;
    if (lua_type(L, -1) == LUA_TSTRING && lua_type(L, -2) == LUA_TSTRING)
        bytes = MIN(lua_rawlen(L, -1), lua_rawlen(L, -2));
    budget_charge(L, 4 + bytes / TABLIB_COMPARE_BYTES);
}

/* Is the value below the top less than the top? Leaves both. Argument 2 is the function, or nil. */
static bool tablib_less(lua_State *L)
{
    tablib_pay_compare(L);
    if (lua_isnil(L, 2))
        return lua_compare(L, -2, -1, LUA_OPLT);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -3);
    lua_pushvalue(L, -3);
    lua_call(L, 2, 1);
    bool less = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return less;
}

/* The value on top sinks from `at` into the heap t[1..n], and is popped. */
static void tablib_sink(lua_State *L, lua_Integer at, lua_Integer n)
{
    for (lua_Integer child; (child = 2 * at) <= n; at = child) {
        lua_geti(L, 1, child); /* value, child */
        if (child < n) {
            lua_geti(L, 1, child + 1); /* value, child, other */
            if (tablib_less(L)) {
                lua_remove(L, -2);
                child++;
            } else {
                lua_pop(L, 1);
            }
        }
        if (!tablib_less(L)) {
            lua_pop(L, 1);
            break;
        }
        lua_seti(L, 1, at);
    }
    lua_seti(L, 1, at);
}

static int tablib_sort(lua_State *L)
{
    lua_Integer n = tablib_len(L);
    if (n < 2)
        return 0;
    luaL_argcheck(L, n < INT32_MAX, 1, "array too big");
    if (!lua_isnoneornil(L, 2))
        luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_settop(L, 2);
    int before = budget_enter(L);
    for (lua_Integer i = n / 2; i >= 1; i--) {
        lua_geti(L, 1, i);
        tablib_sink(L, i, n);
    }
    for (lua_Integer end = n; end > 1; end--) {
        lua_geti(L, 1, 1);
        lua_geti(L, 1, end); /* first, last */
        lua_insert(L, -2);
        lua_seti(L, 1, end); /* t[end] = first */
        tablib_sink(L, 1, end - 1);
    }
    budget_leave(L, before);
    return 0;
}

static const struct sandbox_row tablib_own[] = {
    {"concat", tablib_concat}, {"insert", tablib_insert}, {"move", tablib_move},
    {"pack", tablib_pack},     {"remove", tablib_remove}, {"sort", tablib_sort},
    {"unpack", tablib_unpack}};

void tablib_open(lua_State *L)
{
    lua_createtable(L, 0, (int)ARRAY_LEN(tablib_own));
    sandbox_rows(L, tablib_own, ARRAY_LEN(tablib_own));
}
