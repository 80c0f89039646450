/*
 * lazy.c - tables that are made when a script looks at them.
 *
 * A request has dozens of texts, and a policy reads two: making a Lua string of each would cost more than
 * the policy. A lazy table is empty and has a metatable whose __index asks the host for one name and
 * keeps the answer; pairs, next and the host's script_next make it whole first and take the metatable
 * away. A script sees no difference but by rawget. Called through script.h; sandbox.c has `next`.
 * Threads: the state's. Tested by tests/unit/script/test_lazy.c.
 */
#include "script/sandbox.h"

static char lazy_mark; /* its address is the key of the row in the metatable */

enum { LAZY_COST = 20, LAZY_STACK = 20 };

static struct script_call lazy_call(lua_State *L)
{
    struct script *s = sandbox_of(L);
    luaL_checkstack(L, LAZY_STACK, "too many values");
    return (struct script_call){.s = s, .user = s->call.user, .base = lua_gettop(L)};
}

/* What the host has pushed may have been cut by the budget. */
static void lazy_end(lua_State *L, struct script *s)
{
    s->heap.limit_bytes = s->memory_limit;
    budget_check(L);
}

static int lazy_index(lua_State *L)
{
    const struct script_lazy *row = lua_touserdata(L, lua_upvalueindex(1));
    if (lua_type(L, 2) != LUA_TSTRING) {
        lua_pushnil(L);
        return 1;
    }
    budget_charge(L, LAZY_COST);
    struct script_call c = lazy_call(L);
    struct slice name;
    name.p = lua_tolstring(L, 2, &name.n);
    budget_stop(c.s);
    bool there = row->get(&c, name);
    lazy_end(L, c.s);
    if (!there)
        lua_pushnil(L);
    lua_pushvalue(L, 2);
    lua_pushvalue(L, -2);
    lua_rawset(L, 1);
    return 1;
}

void lazy_whole(lua_State *L, int at)
{
    at = lua_absindex(L, at);
    if (!lua_istable(L, at) || !lua_getmetatable(L, at))
        return;
    lua_rawgetp(L, -1, &lazy_mark);
    const struct script_lazy *row = lua_touserdata(L, -1);
    lua_pop(L, 2);
    if (!row)
        return;
    lua_pushnil(L);
    lua_setmetatable(L, at);
    struct script_call c = lazy_call(L);
    budget_charge_host(c.s, LAZY_COST); /* maybe called by a host function, which owns memory */
    row->fill(&c);
    if (!lua_istable(L, -1)) { /* no memory: the call has tripped */
        lua_pop(L, 1);
        return;
    }
    lua_pushnil(L);
    while (lua_next(L, -2)) {
        lua_pushvalue(L, -2);
        if (lua_rawget(L, at) == LUA_TNIL) { /* what the script has put there stays */
            lua_pushvalue(L, -3);
            lua_pushvalue(L, -3);
            lua_rawset(L, at);
        }
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
}

int lazy_next(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    struct script *s = sandbox_of(L);
    lazy_whole(L, 1);
    lazy_end(L, s);
    lua_settop(L, 2);
    if (lua_next(L, 1))
        return 2;
    lua_pushnil(L);
    return 1;
}

static int lazy_pairs(lua_State *L)
{
    struct script *s = sandbox_of(L);
    lazy_whole(L, 1);
    lazy_end(L, s);
    lua_pushcfunction(L, lazy_next);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

static void lazy_metatable(lua_State *L, const struct script_lazy *row)
{
    static const luaL_Reg rows[] = {{"__index", lazy_index}, {"__pairs", lazy_pairs}};
    union {
        const struct script_lazy *row;
        void *p;
    } u = {row}; /* Lua's pointer is not const; it comes back as const above */
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, row) == LUA_TTABLE)
        return;
    lua_pop(L, 1);
    lua_createtable(L, 0, 4);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        lua_pushlightuserdata(L, u.p);
        lua_pushcclosure(L, rows[i].func, 1);
        lua_setfield(L, -2, rows[i].name);
    }
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushlightuserdata(L, u.p);
    lua_rawsetp(L, -2, &lazy_mark);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, row);
}

void lazy_push(lua_State *L, const struct script_lazy *row)
{
    lua_createtable(L, 0, 0);
    lazy_metatable(L, row);
    lua_setmetatable(L, -2);
}
