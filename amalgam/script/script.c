/*
 * script.c - the bridge: states, chunks, calls, and values in and out, without lua.h for callers.
 *
 * What: implements script.h. Callers: policy/ (Lua steps), the tests.
 * Two sides: inside a protected call (script_run, script_load) Lua may raise errors and the
 * allocator enforces the budget; on the host side (pushing arguments, host functions, reading
 * results) nothing may raise, so there the allocator grants everything and budget_host_room says
 * no first: a value that would pass the budget becomes nil and the call trips.
 * Nothing stays from call to call: globals and libraries are read-only, _ENV is put back before a
 * call, and a function that keeps other outer locals gets them fresh: its chunk is run again inside
 * the call (struct script_chunk.fresh).
 * Stack during a call: [1] message handler, [2] function, arguments; after it: results from [2] on.
 * Never: calls Lua from host side functions (all access is raw), so no metamethod runs unprotected.
 * Threads: a state belongs to one thread. Tested by tests/unit/script/.
 */
#include "script/sandbox.h"

#include "base/mem.h"
#include <stdio.h>

enum { SCRIPT_TEXT_MAX = 256 * 1024, SCRIPT_NAME_MAX = 200, SCRIPT_IDLE_BYTES = 128 * 1024 };
enum { SCRIPT_BASE = 1, SCRIPT_FAILED = -1, SCRIPT_HOST_STACK = 100 };
/* What a host function costs in instructions: each call, and bytes of its arguments for one more.
 */
enum { SCRIPT_HOST_COST = 20, SCRIPT_HOST_BYTES = 2 };

/* ---- state ---- */

static int script_panic(lua_State *L)
{
    (void)L;
    must_fail("no Lua error outside protected calls", __FILE__, __LINE__);
}

struct script *script_open(const struct script_budget *b)
{
    struct script *s = mem_zalloc(sizeof *s);
    if (b)
        s->budget = *b;
    luaheap_init(&s->heap);
    budget_init(s);
    s->L = lua_newstate(luaheap_alloc, &s->heap);
    MUST(s->L != NULL);
    memcpy(lua_getextraspace(s->L), &s, sizeof s);
    lua_atpanic(s->L, script_panic);
    lua_pushcfunction(s->L, sandbox_open);
    MUST(lua_pcall(s->L, 0, 0, 0) == LUA_OK);
    s->call = (struct script_call){.s = s, .base = SCRIPT_BASE};
    s->memory_limit = SIZE_MAX / 2;
    return s;
}

void script_close(struct script *s)
{
    if (!s)
        return;
    lua_close(s->L);
    luaheap_free(&s->heap);
    mem_free(s->chunks);
    mem_free(s);
}

/* What is alive now belongs to the libraries and chunks: budgets count from here. */
static void script_settle(struct script *s)
{
    lua_settop(s->L, 0);
    lua_gc(s->L, LUA_GCCOLLECT);
    s->loaded_bytes = s->heap.used_bytes;
    size_t most = SIZE_MAX / 8;
    s->memory_limit = s->loaded_bytes + MIN(s->budget.memory_bytes, most);
    s->heap.pages_limit = s->loaded_bytes + 2 * MIN(s->budget.memory_bytes, most);
}

/* ---- errors ---- */

/*
 * Runs where an error was raised, maybe inside the count hook, so it calls nothing of the script's.
 * Gives every error a text with a place.
 */
static int script_message(lua_State *L)
{
    char place[80];
    struct script *s = sandbox_of(L);
    if (s->trip)
        return 1;
    budget_place(L, place, sizeof place);
    size_t n = strlen(place);
    while (n > 0 && place[n - 1] != ':')
        n--;
    if (!lua_isstring(L, 1)) {
        lua_pushfstring(L, "%s%serror value is a %s", place, n ? ": " : "", luaL_typename(L, 1));
        return 1;
    }
    if (n > 0 && strncmp(lua_tostring(L, 1), place, n) != 0) {
        lua_pushfstring(L, "%s: %s", place, lua_tostring(L, 1));
        return 1;
    }
    return 1;
}

/* Copies text as one printable line: error values are the script's to choose. */
static void script_clean(char *dst, size_t cap, const char *text)
{
    size_t n = 0;
    for (; *text && n + 1 < cap; text++)
        dst[n++] = (unsigned char)*text < ' ' || *text == 127 ? ' ' : *text;
    dst[n] = 0;
}

static enum rc script_tripped(const struct script *s, const char *name, struct err *e)
{
    const char *at = s->trip_place[0] ? s->trip_place : name;
    switch (s->trip) {
    case TRIP_WAIT:
        return err_set(e, RC_AGAIN, "%s: waits", at);
    case TRIP_MEMORY:
        return err_set(e, RC_TOOBIG, "%s: memory budget of %zu bytes is used up", at,
                       s->budget.memory_bytes);
    case TRIP_TIME:
        return err_set(e, RC_TOOBIG, "%s: time budget is used up", at);
    default:
        return err_set(e, RC_TOOBIG, "%s: budget of %llu instructions is used up", at,
                       (unsigned long long)s->budget.instructions);
    }
}

/* The error on top of the stack, told; a syntax error's "name:line:" goes to the place. */
static enum rc script_failed(struct script *s, int status, const char *name, struct err *e,
                             bool syntax)
{
    char text[sizeof e->text];
    if (budget_is_memory(s, status))
        budget_trip(s, TRIP_MEMORY);
    if (s->trip)
        return script_tripped(s, name, e);
    const char *said = lua_type(s->L, -1) == LUA_TSTRING ? lua_tostring(s->L, -1) : "error";
    script_clean(text, sizeof text, said);
    if (!syntax)
        return err_set(e, RC_BUG, "%s", text);
    char *colon = strstr(text, ": ");
    if (!colon || (size_t)(colon - text) >= sizeof e->place)
        return err_set(e, RC_BADINPUT, "%s", text);
    *colon = 0;
    return err_at(e, RC_BADINPUT, text, "%s", colon + 2);
}

/* ---- chunks ---- */

struct script_job {
    struct slice text;
    char name[SCRIPT_NAME_MAX + 2];
    bool syntax; /* the text was refused by the compiler */
};

/* In protected mode: job -> main, function, environment. */
static int script_compile(lua_State *L)
{
    struct script_job *job = lua_touserdata(L, 1);
    lua_settop(L, 0);
    job->syntax = true;
    if (luaL_loadbufferx(L, job->text.p, job->text.n, job->name, "t") != LUA_OK)
        return lua_error(L);
    job->syntax = false;
    sandbox_env(L);
    lua_pushvalue(L, -1);
    lua_setupvalue(L, 1, 1); /* a main chunk has one upvalue: _ENV */
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (!lua_isfunction(L, -1)) {
        job->syntax = true;
        return luaL_error(L, "%s: the chunk must return a function, it returned a %s",
                          job->name + 1, luaL_typename(L, -1));
    }
    lua_insert(L, 2);
    return 3;
}

/* Looks at the upvalues of the function at `fn`: the environment, and whether there are others. */
static void script_upvalues(lua_State *L, int fn, int env, struct script_chunk *c)
{
    c->env_up = 0;
    c->fresh = false;
    for (int i = 1; !lua_iscfunction(L, fn) && lua_getupvalue(L, fn, i); i++) {
        if (lua_rawequal(L, -1, env))
            c->env_up = i;
        else
            c->fresh = true;
        lua_pop(L, 1);
    }
}

static int script_row(struct script *s)
{
    for (int i = 0; i < s->chunks_n; i++)
        if (s->chunks[i].env_ref == LUA_NOREF)
            return i;
    if (s->chunks_n == s->chunks_cap) {
        s->chunks_cap = s->chunks_cap ? 2 * s->chunks_cap : 8;
        s->chunks = mem_realloc(s->chunks, sizeof *s->chunks * (size_t)s->chunks_cap);
    }
    return s->chunks_n++;
}

/* Keeps main, function and environment (stack slots 2, 3, 4) in the registry. */
static int script_keep(struct script *s)
{
    lua_State *L = s->L;
    int id = script_row(s);
    struct script_chunk *c = &s->chunks[id];
    lua_Debug ar;
    script_upvalues(L, 3, 4, c);
    lua_pushvalue(L, 2);
    lua_getinfo(L, ">S", &ar);
    memcpy(c->name, ar.short_src, sizeof c->name);
    c->env_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    c->fn_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    c->main_ref = luaL_ref(L, LUA_REGISTRYINDEX);
    if (c->fresh) { /* the instance of the load is not used */
        luaL_unref(L, LUA_REGISTRYINDEX, c->fn_ref);
        c->fn_ref = LUA_NOREF;
    }
    return id;
}

enum rc script_load(struct script *s, const char *name, struct slice text, int *id, struct err *e)
{
    struct script_job job = {.text = text};
    lua_State *L = s->L;
    MUST(!s->busy);
    if (text.n > SCRIPT_TEXT_MAX)
        return err_at(e, RC_TOOBIG, name, "the script has %zu bytes, at most %d are served", text.n,
                      (int)SCRIPT_TEXT_MAX);
    if (slice_starts(job.text, S("\xEF\xBB\xBF")))
        job.text = slice_from(text, 3);
    snprintf(job.name, sizeof job.name, "@%.*s", SCRIPT_NAME_MAX, name);
    script_settle(s);
    budget_clear(s);
    s->call.user = NULL;
    lua_pushcfunction(L, script_message);
    lua_pushcfunction(L, script_compile);
    lua_pushlightuserdata(L, &job);
    budget_start(s);
    int status = lua_pcall(L, 1, 3, 1);
    budget_stop(s);
    if (status != LUA_OK || s->trip) {
        enum rc rc = script_failed(s, status, name, e, job.syntax);
        script_settle(s);
        return rc;
    }
    *id = script_keep(s);
    script_settle(s);
    return RC_OK;
}

static struct script_chunk *script_chunk(struct script *s, int id)
{
    MUST(id >= 0 && id < s->chunks_n && s->chunks[id].env_ref != LUA_NOREF);
    return &s->chunks[id];
}

void script_unload(struct script *s, int id)
{
    struct script_chunk *c = script_chunk(s, id);
    MUST(!s->busy);
    luaL_unref(s->L, LUA_REGISTRYINDEX, c->main_ref);
    luaL_unref(s->L, LUA_REGISTRYINDEX, c->fn_ref);
    luaL_unref(s->L, LUA_REGISTRYINDEX, c->env_ref);
    c->env_ref = LUA_NOREF;
    script_settle(s);
}

/* ---- calls ---- */

/* Replaces _ENV of the function on top by the chunk's own; a script may have assigned to it. */
static void script_reset_env(lua_State *L, const struct script_chunk *c, int upvalue)
{
    if (upvalue == 0)
        return;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->env_ref);
    lua_setupvalue(L, -2, upvalue);
}

/* Stands in for the function of a `fresh` chunk: runs the chunk, then what it returned. */
static int script_fresh(lua_State *L)
{
    struct script *s = sandbox_of(L);
    const struct script_chunk *c = &s->chunks[s->call_id];
    int args = lua_gettop(L);
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->main_ref);
    script_reset_env(L, c, 1);
    lua_call(L, 0, 1);
    lua_insert(L, 1);
    lua_call(L, args, LUA_MULTRET);
    return lua_gettop(L);
}

struct script_call *script_begin(struct script *s, int id, void *user)
{
    const struct script_chunk *c = script_chunk(s, id);
    lua_State *L = s->L;
    MUST(!s->busy);
    s->busy = true;
    s->call_id = id;
    s->call.user = user;
    s->fixed_ms = 0;
    budget_clear(s);
    lua_pushcfunction(L, script_message);
    if (c->fresh) {
        lua_pushcfunction(L, script_fresh);
    } else {
        lua_rawgeti(L, LUA_REGISTRYINDEX, c->fn_ref);
        script_reset_env(L, c, c->env_up);
    }
    return &s->call;
}

enum rc script_run(struct script_call *c, int args, int results, struct err *e)
{
    struct script *s = c->s;
    lua_State *L = s->L;
    CHECK(s->busy && lua_gettop(L) >= SCRIPT_BASE + 1 + args);
    int status = LUA_OK;
    if (!s->trip) {
        MUST(lua_checkstack(L, MAX(results, 0) + LUA_MINSTACK));
        budget_start(s);
        status = lua_pcall(L, args, MAX(results, LUA_MULTRET), 1);
        budget_stop(s);
    }
    if (LIKELY(status == LUA_OK && !s->trip))
        return RC_OK;
    enum rc rc = script_failed(s, status, s->chunks[s->call_id].name, e, false);
    lua_settop(L, SCRIPT_BASE);
    return rc;
}

void script_end(struct script_call *c)
{
    struct script *s = c->s;
    MUST(s->busy);
    lua_settop(s->L, 0);
    s->busy = false;
    /* The rubbish of a large call is not the next call's to pay for, nor, with a small budget, that of any. */
    if (UNLIKELY(s->heap.used_bytes > s->loaded_bytes + MIN(s->loaded_bytes + SCRIPT_IDLE_BYTES,
                                                            s->budget.memory_bytes / 2)))
        lua_gc(s->L, LUA_GCCOLLECT);
}

void script_wait(struct script_call *c)
{
    budget_trip(c->s, TRIP_WAIT);
}

void script_fix(struct script_call *c, int64_t wall_ms, uint64_t seed)
{
    MUST(lua_checkstack(c->s->L, LUA_MINSTACK));
    c->s->fixed_ms = wall_ms;
    sandbox_reseed(c->s->L, seed);
}

void *script_user(struct script_call *c)
{
    return c->user;
}

uint64_t script_used_instructions(const struct script *s)
{
    return MIN(s->spent, s->budget.instructions);
}

size_t script_used_bytes(const struct script *s)
{
    return s->heap.peak_bytes > s->loaded_bytes ? s->heap.peak_bytes - s->loaded_bytes : 0;
}

/* ---- host functions ---- */

/* Upvalues: the row, its context. The only way from Lua into other rooms. */
static int script_host(lua_State *L)
{
    struct script *s = sandbox_of(L);
    const struct script_fn *row = lua_touserdata(L, lua_upvalueindex(1));
    struct script_call c = {.s = s, .user = s->call.user};
    size_t bytes = 0;
    luaL_checkstack(L, SCRIPT_HOST_STACK, "too many values");
    for (int i = lua_gettop(L); i > 0; i--)
        bytes += lua_type(L, i) == LUA_TSTRING ? lua_rawlen(L, i) : 0;
    budget_charge(L, SCRIPT_HOST_COST + bytes / SCRIPT_HOST_BYTES);
    budget_stop(s);
    int n = row->fn(&c, lua_touserdata(L, lua_upvalueindex(2)));
    s->heap.limit_bytes = s->memory_limit;
    budget_check(L);
    if (c.failed) {
        luaL_where(L, 1);
        lua_insert(L, -2);
        lua_concat(L, 2);
        return lua_error(L);
    }
    return n;
}

int script_fail(struct script_call *c, const char *fmt, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    script_str(c, slice_str(text));
    c->failed = true;
    return SCRIPT_FAILED;
}

/* Finds or makes table.<name of n bytes>, and leaves it on top instead of the table. */
static void script_subtable(lua_State *L, const char *name, size_t n)
{
    lua_pushlstring(L, name, n);
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_createtable(L, 0, 4);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* The tables on top and below it, sealed from the inside out. */
static void script_seal(lua_State *L)
{
    lua_createtable(L, 0, 4);
    lua_pushnil(L);
    while (lua_next(L, -3)) {
        if (lua_type(L, -1) == LUA_TTABLE)
            script_seal(L);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, -4);
    }
    lua_replace(L, -2);
    sandbox_seal(L);
}

void script_lib(struct script *s, const char *lib, const struct script_fn *rows, size_t n,
                void *ctx)
{
    lua_State *L = s->L;
    MUST(!s->busy);
    lua_createtable(L, 0, (int)n);
    for (size_t i = 0; i < n; i++) {
        struct slice rest = slice_str(rows[i].name), head;
        lua_pushvalue(L, -1);
        while (slice_index(rest, '.') != SIZE_MAX) {
            head = slice_cut(rest, '.', &rest);
            script_subtable(L, head.p, head.n);
        }
        union {
            const struct script_fn *row;
            void *p;
        } u = {&rows[i]}; /* Lua's pointer is not const; it comes back as const above */
        lua_pushlstring(L, rest.p, rest.n);
        lua_pushlightuserdata(L, u.p);
        lua_pushlightuserdata(L, ctx);
        lua_pushcclosure(L, script_host, 2);
        lua_rawset(L, -3);
        lua_pop(L, 1);
    }
    script_seal(L);
    sandbox_globals(L);
    lua_insert(L, -2);
    lua_pushstring(L, lib);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    script_settle(s);
}

/* ---- pushing ---- */

/* Room for one more value of about n bytes; pushes nil and says false when there is none. */
static inline bool script_room(struct script_call *c, size_t n)
{
    lua_State *L = c->s->L;
    MUST(lua_checkstack(L, 4));
    if (LIKELY(budget_host_room(c->s, n)))
        return true;
    lua_pushnil(L);
    return false;
}

void script_nil(struct script_call *c)
{
    if (script_room(c, 0))
        lua_pushnil(c->s->L);
}

void script_bool(struct script_call *c, bool b)
{
    if (script_room(c, 0))
        lua_pushboolean(c->s->L, b);
}

void script_int(struct script_call *c, int64_t n)
{
    if (script_room(c, 0))
        lua_pushinteger(c->s->L, n);
}

void script_num(struct script_call *c, double d)
{
    if (script_room(c, 0))
        lua_pushnumber(c->s->L, d);
}

void script_str(struct script_call *c, struct slice s)
{
    if (script_room(c, s.n + 32))
        lua_pushlstring(c->s->L, s.n ? s.p : "", s.n);
}

void script_table_sized(struct script_call *c, int items, int fields)
{
    if (script_room(c, 64 + 16 * (size_t)items + 64 * (size_t)fields))
        lua_createtable(c->s->L, items, fields);
}

void script_table(struct script_call *c)
{
    script_table_sized(c, 0, 0);
}

void script_push_lazy(struct script_call *c, const struct script_lazy *row)
{
    if (script_room(c, 128)) /* the first time also its metatable */
        lazy_push(c->s->L, row);
}

/* Whether the value on top may go into the table below it. Drops it when the call has tripped: the
 * table may be a nil then. What was pushed left room for a key on the stack (script_room). */
static inline bool script_may_set(struct script_call *c)
{
    if (LIKELY(budget_host_room(c->s, 0))) {
        CHECK(lua_type(c->s->L, -2) == LUA_TTABLE);
        return true;
    }
    lua_pop(c->s->L, 1);
    return false;
}

void script_set(struct script_call *c, struct slice name)
{
    lua_State *L = c->s->L;
    if (!script_may_set(c))
        return;
    lua_pushlstring(L, name.n ? name.p : "", name.n);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

void script_set_literal(struct script_call *c, const char *name)
{
    lua_State *L = c->s->L;
    if (!script_may_set(c))
        return;
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
}

void script_append(struct script_call *c)
{
    lua_State *L = c->s->L;
    if (script_may_set(c))
        lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* ---- reading ---- */

/* The stack index of i, or 0 when there is no such value. */
static inline int script_at(const struct script_call *c, int i)
{
    int at = i > 0 ? i + c->base : i;
    return at <= lua_gettop(c->s->L) ? at : 0;
}

int script_count(struct script_call *c)
{
    return lua_gettop(c->s->L) - c->base;
}

enum script_kind script_kind(struct script_call *c, int i)
{
    lua_State *L = c->s->L;
    int at = script_at(c, i);
    switch (at ? lua_type(L, at) : LUA_TNIL) {
    case LUA_TNIL:
        return SK_NIL;
    case LUA_TBOOLEAN:
        return SK_BOOL;
    case LUA_TNUMBER:
        return lua_isinteger(L, at) ? SK_INT : SK_NUM;
    case LUA_TSTRING:
        return SK_STR;
    case LUA_TTABLE:
        return SK_TABLE;
    default:
        return SK_OTHER;
    }
}

bool script_to_bool(struct script_call *c, int i)
{
    int at = script_at(c, i);
    return at && lua_toboolean(c->s->L, at);
}

int64_t script_to_int(struct script_call *c, int i, int64_t otherwise)
{
    int ok = 0, at = script_at(c, i);
    lua_Integer n = at ? lua_tointegerx(c->s->L, at, &ok) : 0;
    return ok ? n : otherwise;
}

double script_to_num(struct script_call *c, int i, double otherwise)
{
    int ok = 0, at = script_at(c, i);
    lua_Number n = at ? lua_tonumberx(c->s->L, at, &ok) : 0;
    return ok ? n : otherwise;
}

struct slice script_to_str(struct script_call *c, int i)
{
    struct slice s = {0};
    int at = script_at(c, i);
    s.p = at ? lua_tolstring(c->s->L, at, &s.n) : NULL;
    return s.p ? s : S("");
}

/* The absolute stack index of a table, with room to push; 0 when there is no table at i. */
static int script_table_at(const struct script_call *c, int i)
{
    lua_State *L = c->s->L;
    int at = script_at(c, i);
    MUST(lua_checkstack(L, 4));
    return at && lua_type(L, at) == LUA_TTABLE ? lua_absindex(L, at) : 0;
}

enum script_kind script_field(struct script_call *c, int i, struct slice name)
{
    lua_State *L = c->s->L;
    int at = script_table_at(c, i);
    if (at == 0) {
        lua_pushnil(L);
        return SK_NIL;
    }
    lua_pushlstring(L, name.n ? name.p : "", name.n);
    lua_rawget(L, at);
    return script_kind(c, -1);
}

enum script_kind script_item(struct script_call *c, int i, int64_t k)
{
    lua_State *L = c->s->L;
    int at = script_table_at(c, i);
    if (at)
        lua_rawgeti(L, at, k);
    else
        lua_pushnil(L);
    return script_kind(c, -1);
}

int64_t script_len(struct script_call *c, int i)
{
    int at = script_at(c, i);
    return at ? (int64_t)lua_rawlen(c->s->L, at) : 0;
}

bool script_next(struct script_call *c, int table)
{
    lua_State *L = c->s->L;
    int at = script_table_at(c, table);
    if (at == 0) {
        lua_pop(L, 1);
        return false;
    }
    lazy_whole(L, at);
    while (lua_next(L, at)) {
        if (lua_type(L, -2) == LUA_TSTRING)
            return true;
        lua_pop(L, 1);
    }
    return false;
}

void script_pop(struct script_call *c, int n)
{
    lua_pop(c->s->L, n);
}
