/*
 * sandbox.c - the world a script sees: base functions, environments, read-only faces.
 *
 * What: builds the globals of a state once (sandbox_open) and an environment per chunk. Callers:
 * script.c. What is not there on purpose: load, dofile, loadfile, require, package, io, debug,
 * coroutine, collectgarbage, print, warn, string.dump, math.randomseed, os beyond the clock.
 * How read-only works: scripts never hold the real tables. They hold a face: an empty table whose
 * metatable looks up in the real one, refuses assignment, and is itself hidden (__metatable).
 * rawset refuses tables with a hidden metatable; everything else that writes obeys __newindex.
 * pcall and xpcall here raise a used-up budget again; xpcall calls its handler after unwinding,
 * because a handler that runs inside the count hook would run unbudgeted. Finalizers (__gc) would
 * run outside any budget: setmetatable refuses them, and Lua does not see ones added later.
 * Threads: the state's. Tested by tests/unit/script/test_sandbox.c.
 */
#include "script/sandbox.h"

#include "base/rand.h"

enum {
    SANDBOX_PAID_BYTES = 8,   /* bytes of string arguments per instruction */
    SANDBOX_PROTECT_COST = 20 /* a protected call, and an error caught, in instructions */
};

/* Addresses are the registry keys. */
static const char sandbox_globals_key = 0, sandbox_env_key = 0;

void sandbox_rows(lua_State *L, const struct sandbox_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lua_pushcfunction(L, rows[i].fn);
        lua_setfield(L, -2, rows[i].name);
    }
}

void sandbox_stock(lua_State *L, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
}

/* ---- read-only faces ---- */

static int sandbox_readonly(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "field '%s' cannot be set: the table is read-only",
                          lua_tostring(L, 2));
    return luaL_error(L, "the table is read-only");
}

static int sandbox_no_global(lua_State *L)
{
    if (lua_type(L, 2) == LUA_TSTRING)
        return luaL_error(L, "global '%s' cannot be set: declare it with local",
                          lua_tostring(L, 2));
    return luaL_error(L, "globals cannot be set");
}

/* Replaces the table on top by a metatable that makes a face of it. */
static void sandbox_face(lua_State *L, lua_CFunction refuse)
{
    lua_createtable(L, 0, 3);
    lua_insert(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, refuse);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
}

void sandbox_seal(lua_State *L)
{
    sandbox_face(L, sandbox_readonly);
    lua_createtable(L, 0, 0);
    lua_insert(L, -2);
    lua_setmetatable(L, -2);
}

void sandbox_globals(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &sandbox_globals_key);
}

void sandbox_env(lua_State *L)
{
    lua_createtable(L, 0, 0);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &sandbox_env_key);
    lua_setmetatable(L, -2);
}

/* ---- base functions that differ from Lua's ---- */

int sandbox_protect(lua_State *L, int args)
{
    struct script *s = sandbox_of(L);
    int depth = s->depth;
    budget_charge(L, SANDBOX_PROTECT_COST);
    int status = lua_pcall(L, args, LUA_MULTRET, 0);
    s->depth = depth;
    if (UNLIKELY(budget_is_memory(s, status)))
        budget_trip(s, TRIP_MEMORY);
    budget_check(L);
    return status;
}

static int sandbox_pcall(lua_State *L)
{
    luaL_checkany(L, 1);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    if (sandbox_protect(L, lua_gettop(L) - 2) == LUA_OK)
        return lua_gettop(L);
    lua_pushboolean(L, 0);
    lua_insert(L, -2);
    return 2;
}

static int sandbox_xpcall(lua_State *L)
{
    int args = lua_gettop(L) - 2;
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_pushboolean(L, 1);
    lua_insert(L, 1);
    lua_pushvalue(L, 3);
    lua_insert(L, 1);
    lua_remove(L, 4); /* handler, true, f, args */
    if (sandbox_protect(L, args) == LUA_OK)
        return lua_gettop(L) - 1;
    lua_pushboolean(L, 0);
    lua_replace(L, 2);
    lua_pushvalue(L, 1);
    lua_insert(L, 3); /* handler, false, handler, error */
    (void)sandbox_protect(L, 1);
    lua_settop(L, 3);
    return 2;
}

static void sandbox_no_meta(lua_State *L, const char *event)
{
    lua_pushstring(L, event);
    if (lua_rawget(L, 2) != LUA_TNIL)
        luaL_error(L, "a metatable with %s is not served here", event);
    lua_pop(L, 1);
}

static int sandbox_setmetatable(lua_State *L)
{
    int kind = lua_type(L, 2);
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, kind == LUA_TNIL || kind == LUA_TTABLE, 2, "nil or table");
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "cannot change a protected metatable");
    if (kind == LUA_TTABLE) {
        sandbox_no_meta(L, "__gc");
        sandbox_no_meta(L, "__close");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

static int sandbox_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
        return luaL_error(L, "the table is read-only");
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* tostring without addresses: where things lie in memory is not the script's business. */
void sandbox_text(lua_State *L, int i)
{
    int kind = lua_type(L, i);
    bool has_text =
        kind == LUA_TNIL || kind == LUA_TBOOLEAN || kind == LUA_TNUMBER || kind == LUA_TSTRING;
    if (!has_text && luaL_getmetafield(L, i, "__tostring") != LUA_TNIL) {
        lua_pop(L, 1);
        has_text = true;
    }
    if (has_text)
        (void)luaL_tolstring(L, i, NULL);
    else
        lua_pushstring(L, lua_typename(L, kind));
}

static int sandbox_tostring(lua_State *L)
{
    luaL_checkany(L, 1);
    sandbox_text(L, 1);
    return 1;
}

void sandbox_pay(lua_State *L, bool builds)
{
    size_t bytes = 0;
    for (int i = lua_gettop(L); i > 0; i--)
        bytes += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
    if (builds)
        budget_room(L, 3 * bytes);
    budget_charge(L, bytes / SANDBOX_PAID_BYTES);
}

static int sandbox_paid_call(lua_State *L)
{
    sandbox_pay(L, lua_toboolean(L, lua_upvalueindex(2)));
    return lua_tocfunction(L, lua_upvalueindex(1))(L);
}

void sandbox_paid(lua_State *L, const char *name, bool builds)
{
    lua_getfield(L, -1, name);
    lua_pushboolean(L, builds);
    lua_pushcclosure(L, sandbox_paid_call, 2);
    lua_setfield(L, -2, name);
}

/* ---- the globals ---- */

static const char *const sandbox_kept[] = {
    "assert", "error",  "getmetatable", "ipairs",   "pairs",   "rawequal",
    "rawget", "rawlen", "select",       "tonumber", "type", "_VERSION"};

static const struct sandbox_row sandbox_own[] = {{"next", lazy_next},
                                                 {"pcall", sandbox_pcall},
                                                 {"xpcall", sandbox_xpcall},
                                                 {"setmetatable", sandbox_setmetatable},
                                                 {"rawset", sandbox_rawset},
                                                 {"tostring", sandbox_tostring}};

/* Lua's base library goes into the state's real global table; what is kept is copied out of it and
 * the table is replaced by an empty one. */
static void sandbox_base(lua_State *L, int globals)
{
    sandbox_stock(L, luaopen_base);
    for (size_t i = 0; i < ARRAY_LEN(sandbox_kept); i++) {
        lua_getfield(L, -1, sandbox_kept[i]);
        lua_setfield(L, globals, sandbox_kept[i]);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, globals);
    sandbox_rows(L, sandbox_own, ARRAY_LEN(sandbox_own));
    sandbox_paid(L, "tonumber", false);
    lua_pop(L, 1);
    lua_createtable(L, 0, 0);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

static const char sandbox_seed_key;

void sandbox_reseed(lua_State *L, uint64_t seed)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &sandbox_seed_key);
    lua_pushinteger(L, (lua_Integer)seed);
    lua_pushinteger(L, 0);
    MUST(lua_pcall(L, 2, 0, 0) == LUA_OK); /* numbers only: it needs no memory */
}

/* math without randomseed; the state's generator starts from the kernel's random bytes. */
static void sandbox_math(lua_State *L)
{
    sandbox_stock(L, luaopen_math);
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, (lua_Integer)rand_u64());
    lua_pushinteger(L, (lua_Integer)rand_u64());
    lua_call(L, 2, 0);
    lua_getfield(L, -1, "randomseed");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &sandbox_seed_key);
    lua_pushnil(L);
    lua_setfield(L, -2, "randomseed");
}

/* Strings reach the real string library through their metatable, which is hidden. */
static void sandbox_string(lua_State *L)
{
    strlib_open(L);
    lua_pushliteral(L, "");
    if (!lua_getmetatable(L, -1))
        luaL_error(L, "strings have no metatable");
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
}

int sandbox_open(lua_State *L)
{
    static const struct {
        const char *name;
        void (*open)(lua_State *L);
    } libs[] = {{"string", sandbox_string},
                {"table", tablib_open},
                {"utf8", utf8lib_open},
                {"math", sandbox_math},
                {"os", oslib_open}};
    lua_settop(L, 0);
    lua_createtable(L, 0, 32);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &sandbox_globals_key);
    sandbox_base(L, 1);
    for (size_t i = 0; i < ARRAY_LEN(libs); i++) {
        libs[i].open(L);
        sandbox_seal(L);
        lua_setfield(L, 1, libs[i].name);
    }
    lua_pushvalue(L, 1);
    sandbox_seal(L);
    lua_setfield(L, 1, "_G");
    lua_pushvalue(L, 1);
    sandbox_face(L, sandbox_no_global);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &sandbox_env_key);
    lua_settop(L, 0);
    return 0;
}
