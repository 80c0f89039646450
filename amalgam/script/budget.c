/*
 * budget.c - what a call may cost: instructions, memory, and as a backstop processor time.
 *
 * What: the count hook, the charges that C functions pay, the allocator's callbacks, the trip.
 * Callers: script.c around each protected call; the libraries of script/ inside it.
 * How instructions are counted: the hook adds its step; C functions add what they did
 * (budget_charge); the allocator adds n/32 for each large block, because copying a megabyte is one
 * VM instruction (`s = s .. s`); each emergency collection adds a share of the heap it walked. What
 * none of this sees (comparing huge strings, for one) is bounded by time: every hook compares the
 * wall clock, which costs no system call, and asks for the thread's processor time only once a
 * step took longer than BUDGET_SLOW_NS, and from then on once in that time.
 * Never: an error while the host is at work; there, budget_host_room says no and the call trips.
 * The hook never calls Lua: inside a hook no hook fires. Threads: the state's. Tested by
 * tests/unit/script/test_budget.c.
 */
#include "script/sandbox.h"

#include "base/clock.h"
#include <stdio.h>
#include <time.h>

enum {
    BUDGET_COPY_BYTES = 32,   /* bytes copied for the price of an instruction */
    BUDGET_WALK_BYTES = 16,   /* heap bytes a full collection walks for that price */
    BUDGET_NS_EACH = 100,     /* processor time allowed per instruction; 1,000,000: 100 ms */
    BUDGET_NS_MIN = 50000000, /* never less than 50 ms */
    BUDGET_SLOW_NS = 1000000, /* a step that takes longer is looked at */
    BUDGET_STEP_SLOW = 10,
    BUDGET_DEPTH_MAX = 100,
    BUDGET_LEVELS_MAX = 20
};

void budget_place(lua_State *L, char *dst, size_t cap)
{
    lua_Debug ar;
    dst[0] = 0;
    for (int level = 0; level < BUDGET_LEVELS_MAX && lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0)
            continue;
        snprintf(dst, cap, "%s:%d", ar.short_src, ar.currentline);
        return;
    }
}

static void budget_hook(lua_State *L, lua_Debug *ar);

static void budget_arm(struct script *s, int step)
{
    s->step = step;
    lua_sethook(s->L, budget_hook, LUA_MASKCOUNT, step);
}

void budget_trip(struct script *s, enum budget_trip why)
{
    if (s->trip)
        return;
    s->trip = why;
    budget_arm(s, 1);
}

static NORETURN void budget_raise(lua_State *L)
{
    struct script *s = sandbox_of(L);
    if (!s->trip_place[0])
        budget_place(L, s->trip_place, sizeof s->trip_place);
    lua_pushlightuserdata(L, s); /* needs no memory; script_run writes the text */
    lua_error(L);
    __builtin_unreachable();
}

void budget_check(lua_State *L)
{
    if (UNLIKELY(sandbox_of(L)->trip))
        budget_raise(L);
}

static int64_t budget_cpu_ns(void)
{
    struct timespec t = {0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * True when the call used more processor time than its instructions could explain. Called once per
 * hook; reading the wall clock is cheap. A step that took long (or was interrupted by another
 * thread, which only processor time can tell) makes the steps short from then on; processor time,
 * a system call, is then asked for once in BUDGET_SLOW_NS and not at every short step, since what
 * asking costs is the script's own time.
 */
static bool budget_time(struct script *s)
{
    int64_t now = clock_mono_ns(), before = s->hook_mono_ns;
    bool soon = before == 0 || now - before < BUDGET_SLOW_NS;
    if (!soon || s->slow_cpu_ns == 0)
        s->hook_mono_ns = now;
    if (LIKELY(soon))
        return false;
    int64_t cpu = budget_cpu_ns();
    if (s->slow_cpu_ns == 0)
        s->slow_cpu_ns = cpu;
    uint64_t allowed = MIN(s->budget.instructions, UINT64_C(1) << 40) * BUDGET_NS_EACH;
    return cpu - s->slow_cpu_ns > (int64_t)MAX(allowed, (uint64_t)BUDGET_NS_MIN);
}

uint64_t budget_left(const struct script *s)
{
    return s->spent >= s->budget.instructions ? 0 : s->budget.instructions - s->spent;
}

static void budget_hook(lua_State *L, lua_Debug *ar)
{
    struct script *s = sandbox_of(L);
    (void)ar;
    if (!s->trip) {
        s->spent += (uint64_t)s->step;
        if (budget_left(s) == 0)
            budget_trip(s, TRIP_STEPS);
        else if (budget_time(s))
            budget_trip(s, TRIP_TIME);
    }
    if (s->trip)
        budget_raise(L);
    uint64_t most = s->slow_cpu_ns ? BUDGET_STEP_SLOW : BUDGET_STEP;
    int step = (int)MIN(budget_left(s), most);
    if (step != s->step)
        budget_arm(s, step);
}

/*
 * Adds a charge and brings the next hook forward when the budget is nearly used up. Arming forgets
 * the instructions since the last hook, so it is done only when the step at least halves: what is
 * forgotten in all stays below two steps.
 */
static bool budget_add(struct script *s, uint64_t n)
{
    s->spent = n > UINT64_MAX - s->spent ? UINT64_MAX : s->spent + n;
    uint64_t left = budget_left(s);
    if (UNLIKELY(left < (uint64_t)s->step / 2))
        budget_arm(s, (int)MAX(left, 1));
    return left > 0;
}

void budget_charge(lua_State *L, uint64_t n)
{
    struct script *s = sandbox_of(L);
    if (n == 0 || (!s->trip && budget_add(s, n)))
        return;
    budget_trip(s, TRIP_STEPS);
    budget_raise(L);
}

void budget_charge_host(struct script *s, uint64_t n)
{
    if (!s->trip && !budget_add(s, n))
        budget_trip(s, TRIP_STEPS);
}

static void budget_on_big(void *ctx, size_t n)
{
    struct script *s = ctx;
    if (s->heap.limit_bytes != SIZE_MAX)
        (void)budget_add(s, n / BUDGET_COPY_BYTES);
}

/*
 * The allocator is about to say no. The first time Lua collects everything and asks again; a second
 * no without an allocation in between is final. Where the script stands can be read here only while
 * a new block is asked for: a resized one may be the stack that the answer would be read from.
 */
static void budget_on_refused(void *ctx, bool again, const void *block)
{
    struct script *s = ctx;
    if (!again) {
        (void)budget_add(s, s->heap.used_bytes / BUDGET_WALK_BYTES);
        return;
    }
    if (!block && !s->trip)
        budget_place(s->L, s->trip_place, sizeof s->trip_place);
    budget_trip(s, TRIP_MEMORY);
}

void budget_init(struct script *s)
{
    if (s->budget.instructions == 0)
        s->budget.instructions = 1000000;
    if (s->budget.memory_bytes == 0)
        s->budget.memory_bytes = 4u << 20;
    s->heap.refused = budget_on_refused;
    s->heap.big = budget_on_big;
    s->heap.ctx = s;
}

void budget_clear(struct script *s)
{
    s->spent = 0;
    s->depth = 0;
    s->trip = TRIP_NONE;
    s->trip_place[0] = 0;
    s->hook_mono_ns = s->slow_cpu_ns = 0;
    s->heap.peak_bytes = s->heap.used_bytes;
}

void budget_start(struct script *s)
{
    s->heap.refusing = false;
    s->heap.limit_bytes = s->memory_limit;
    budget_arm(s, (int)MIN(s->budget.instructions, (uint64_t)BUDGET_STEP));
}

void budget_stop(struct script *s)
{
    s->heap.limit_bytes = SIZE_MAX;
}

/* Lua's string buffers turn a refusal into an ordinary error; nothing is granted after it. */
bool budget_is_memory(const struct script *s, int status)
{
    return status == LUA_ERRMEM || (status != LUA_OK && s->heap.refusing);
}

void budget_room(lua_State *L, size_t n)
{
    struct script *s = sandbox_of(L);
    if (LIKELY(budget_fits(s, n)))
        return;
    if (n <= s->budget.memory_bytes) {
        budget_charge(L, s->heap.used_bytes / BUDGET_WALK_BYTES);
        lua_gc(L, LUA_GCCOLLECT);
        if (budget_fits(s, n))
            return;
    }
    budget_trip(s, TRIP_MEMORY);
    budget_raise(L);
}

bool budget_host_room_slow(struct script *s, size_t n)
{
    if (s->trip)
        return false;
    if (n <= s->budget.memory_bytes) {
        (void)budget_add(s, s->heap.used_bytes / BUDGET_WALK_BYTES);
        lua_gc(s->L, LUA_GCCOLLECT);
        if (budget_fits(s, n))
            return true;
    }
    budget_trip(s, TRIP_MEMORY);
    return false;
}

int budget_enter(lua_State *L)
{
    struct script *s = sandbox_of(L);
    if (s->depth >= BUDGET_DEPTH_MAX)
        luaL_error(L, "calls are nested too deeply (at most %d)", (int)BUDGET_DEPTH_MAX);
    return s->depth++;
}

void budget_leave(lua_State *L, int before)
{
    sandbox_of(L)->depth = before;
}
