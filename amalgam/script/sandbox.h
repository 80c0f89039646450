/*
 * sandbox.h - what the files of script/ share: the state, its budgets, and the libraries scripts
 * see.
 *
 * Nobody outside script/ includes this: it is the only header that names lua.h.
 *
 * BUDGETS. Lua's count hook fires every BUDGET_STEP instructions of the VM, but never inside a C
 * function; so every C function that scripts can reach pays for its work with budget_charge before
 * it does it, and asks budget_room before it builds a large string. A budget that is used up trips
 * the call: the hook is armed for every single instruction from then on, so that neither pcall nor
 * a __close handler can go on; script_run reports the budget whatever the script tried.
 * Threads: a state belongs to one thread.
 */
#ifndef SCRIPT_SANDBOX_H
#define SCRIPT_SANDBOX_H

#include "script/luaheap.h"
#include "script/script.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

enum { BUDGET_STEP = 250 };
enum budget_trip { TRIP_NONE, TRIP_STEPS, TRIP_MEMORY, TRIP_TIME, TRIP_WAIT };

struct script_call {
    struct script *s;
    void *user;
    int base;    /* stack slots below index 1 */
    bool failed; /* script_fail was called */
};

struct script_chunk {
    int main_ref, fn_ref, env_ref; /* registry; env_ref LUA_NOREF marks a free row */
    char name[LUA_IDSIZE];         /* as errors show it */
    int env_up;                    /* upvalue of fn that is the environment, 0: none */
    bool fresh;                    /* fn keeps other outer locals: run main anew for each call */
};

struct script {
    struct luaheap heap;
    lua_State *L;
    struct script_budget budget;
    struct script_call call;
    struct script_chunk *chunks;
    int chunks_n, chunks_cap;
    int call_id;
    bool busy;

    size_t loaded_bytes; /* what the libraries and chunks hold */
    size_t memory_limit; /* loaded_bytes + budget.memory_bytes */
    uint64_t spent;      /* instructions and charges so far in this call */
    int step;            /* instructions until the next hook */
    int depth;           /* C functions of ours that are calling back into Lua */
    enum budget_trip trip;
    int64_t fixed_ms; /* of the wall clock; 0: it runs */
    char trip_place[80];               /* "name:line" */
    int64_t hook_mono_ns, slow_cpu_ns; /* see budget_time */
};

static inline UNUSED struct script *sandbox_of(lua_State *L)
{
    struct script *s;
    memcpy(&s, lua_getextraspace(L), sizeof s);
    return s;
}

/* budget.c */
FN void budget_init(struct script *s);
FN void budget_clear(struct script *s); /* a new call begins */
FN void budget_start(struct script *s); /* before its protected part */
FN void budget_stop(struct script *s);
/* Pays n instructions for work in C; raises the budget's error when they are not there. */
FN void budget_charge(lua_State *L, uint64_t n);
FN void budget_charge_host(struct script *s, uint64_t n); /* where nothing may raise: the call trips */
/* Raises the memory budget's error when n more bytes would pass it. */
FN void budget_room(lua_State *L, size_t n);
static inline UNUSED bool budget_fits(const struct script *s, size_t n)
{
    return s->heap.used_bytes <= s->memory_limit && n <= s->memory_limit - s->heap.used_bytes;
}
FN bool budget_host_room_slow(struct script *s, size_t n) COLD;
/* Host side: false (and tripped) when n more bytes would pass the budget. Raises nothing. */
static inline UNUSED bool budget_host_room(struct script *s, size_t n)
{
    return LIKELY(!s->trip && budget_fits(s, n)) || budget_host_room_slow(s, n);
}
FN void budget_check(lua_State *L); /* raises again when the call has tripped */
FN void budget_trip(struct script *s, enum budget_trip why);
FN uint64_t budget_left(const struct script *s);
/* True if the status of a protected call means that memory was refused. */
FN bool budget_is_memory(const struct script *s, int status);
/* "name:line" of the innermost Lua function that runs, or "". */
FN void budget_place(lua_State *L, char *dst, size_t cap);
/* A C function is about to call a Lua function: bounds the C stack. Leave with the value returned.
 */
FN int budget_enter(lua_State *L);
FN void budget_leave(lua_State *L, int before);

/* sandbox.c: opens the libraries, leaves nothing on the stack. In protected mode. */
FN int sandbox_open(lua_State *L);
/* math.random starts anew. */
FN void sandbox_reseed(lua_State *L, uint64_t seed);
/* Pushes a new environment for a chunk. */
FN void sandbox_env(lua_State *L);
/* Pops a table, pushes a read-only face of it. */
FN void sandbox_seal(lua_State *L);
/* Pushes the table behind the globals (its values are sealed by the caller). */
FN void sandbox_globals(lua_State *L);

/* Pays for the bytes of the string arguments; builds: asks for the memory of a result of about
 * their size as well. */
FN void sandbox_pay(lua_State *L, bool builds);
/* Makes function `name` of the table on top pay (sandbox_pay) before it runs. */
FN void sandbox_paid(lua_State *L, const char *name, bool builds);
/* lua_pcall with all results, from a C function that scripts may call: never catches a budget. */
FN int sandbox_protect(lua_State *L, int args);
/* Pushes the value at index i as text, as tostring does, but without addresses. */
FN void sandbox_text(lua_State *L, int i);
struct sandbox_row {
    const char *name;
    lua_CFunction fn;
};
/* Sets the functions in the table on top. */
FN void sandbox_rows(lua_State *L, const struct sandbox_row *rows, size_t n);
/* Pushes a library of Lua's own. */
FN void sandbox_stock(lua_State *L, lua_CFunction open);

/* strlib.c, tablib.c, oslib.c: each pushes its library table. */
FN void strlib_open(lua_State *L);
FN void utf8lib_open(lua_State *L);
FN void tablib_open(lua_State *L);
FN void oslib_open(lua_State *L);

/* lazy.c */
FN void lazy_push(lua_State *L, const struct script_lazy *row);
FN void lazy_whole(lua_State *L, int at); /* a lazy table becomes a plain one; others stay */
FN int lazy_next(lua_State *L);           /* the global `next` */

#endif
