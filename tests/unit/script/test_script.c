/*
 * test_script.c - the bridge: values in and out, host functions, errors with places, ids, threads,
 * and that a call in steady state asks the system for no memory (the allocator is compiled in here
 * with its calls to mem.h counted).
 */
#include "base/lock.h"
#include "base/mem.h"

#include <stdlib.h>

static _Thread_local unsigned long asked;
static void *counted_alloc(size_t n)
{
    asked++;
    return mem_alloc(n);
}
static void *counted_realloc(void *p, size_t n)
{
    asked++;
    return mem_realloc(p, n);
}
static void *counted_try(void *p, size_t n)
{
    asked++;
    return mem_try_realloc(p, n);
}
#define mem_alloc counted_alloc
#define mem_realloc counted_realloc
#define mem_try_realloc counted_try
#include "script/luaheap.c"
#undef mem_alloc
#undef mem_realloc
#undef mem_try_realloc

#include "lab.h"

static void values_go_in_and_out(void)
{
    static const char text[] =
        "return function(b, i, n, s, t, none)\n"
        "  return not b, i + 1, n * 2, s .. '\\0!', {name = t.name, n = #t.list, list = t.list,\n"
        "    deep = {deeper = {7}}}, none, math.type(i) .. math.type(n)\n"
        "end";
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1, marker = 5;
    T_INT(script_load(s, "io.lua", slice_str(text), &id, &e), RC_OK);
    for (int round = 0; round < 3; round++) {
        struct script_call *c = script_begin(s, id, &marker);
        T(script_user(c) == &marker);
        script_bool(c, false);
        script_int(c, INT64_MAX - 1);
        script_num(c, 0.25);
        script_str(c, S("a\0b"));
        script_table(c);
        script_str(c, S("shop"));
        script_set(c, S("name"));
        script_table_sized(c, 3, 0);
        for (int i = 1; i <= 3; i++) {
            script_int(c, i * 10);
            script_append(c);
        }
        script_set(c, S("list"));
        script_nil(c);
        T_INT(script_run(c, 6, 7, &e), RC_OK);
        T_INT(script_count(c), 7);
        T_INT(script_kind(c, 1), SK_BOOL);
        T(script_to_bool(c, 1));
        T_INT(script_kind(c, 2), SK_INT);
        T_INT(script_to_int(c, 2, 0), INT64_MAX);
        T_INT(script_kind(c, 3), SK_NUM);
        T(script_to_num(c, 3, 0) == 0.5);
        T_INT(script_to_int(c, 3, -1), -1); /* 0.5 is no integer */
        T_INT(script_to_str(c, 4).n, 5);
        T(memcmp(script_to_str(c, 4).p, "a\0b\0!", 5) == 0);
        T_INT(script_kind(c, 5), SK_TABLE);
        T_INT(script_field(c, 5, S("n")), SK_INT);
        T_INT(script_to_int(c, -1, 0), 3);
        script_pop(c, 1);
        T_INT(script_field(c, 5, S("list")), SK_TABLE);
        T_INT(script_len(c, -1), 3);
        T_INT(script_item(c, -1, 2), SK_INT);
        T_INT(script_to_int(c, -1, 0), 20);
        script_pop(c, 2);
        T_INT(script_field(c, 5, S("deep")), SK_TABLE);
        T_INT(script_field(c, -1, S("deeper")), SK_TABLE);
        T_INT(script_item(c, -1, 1), SK_INT);
        T_INT(script_item(c, -2, 2), SK_NIL);
        script_pop(c, 4);
        T_INT(script_field(c, 5, S("absent")), SK_NIL);
        T_INT(script_field(c, 4, S("x")), SK_NIL); /* not a table */
        T_INT(script_item(c, 4, 1), SK_NIL);
        script_pop(c, 3);
        T_INT(script_kind(c, 6), SK_NIL);
        T_INT(script_kind(c, 99), SK_NIL);
        T_TEXT(script_to_str(c, 7), "integerfloat");
        T_TEXT(script_to_str(c, 5), "");
        T_INT(script_count(c), 7);
        script_end(c);
    }
    script_close(s);
}

static void fields_are_iterated(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1, n = 0, sum = 0;
    T_INT(script_load(s, "n", S("return function() return {10, 20, a = 1, b = 2, [2.5] = 3, c = 4}, 5 end"),
                      &id, &e), RC_OK);
    struct script_call *c = script_begin(s, id, NULL);
    T_INT(script_run(c, 0, 2, &e), RC_OK);
    script_nil(c);
    while (script_next(c, 1)) {
        T_INT(script_kind(c, -2), SK_STR);
        n++;
        sum += (int)script_to_int(c, -1, 0);
        script_pop(c, 1);
    }
    T_INT(n, 3);
    T_INT(sum, 7);
    T_INT(script_count(c), 2);
    script_nil(c);
    T(!script_next(c, 2)); /* not a table */
    T_INT(script_count(c), 2);
    script_end(c);
    script_close(s);
}

/* Results are read raw: a metatable cannot run code on the host's side. */
static void results_run_no_metamethods(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1;
    T_INT(script_load(s, "m", S("return function() return setmetatable({}, {__index = function() error('ran') "
                                "end, __len = function() error('ran') end, __tostring = function() "
                                "error('ran') end, __pairs = error}) end"), &id, &e), RC_OK);
    struct script_call *c = script_begin(s, id, NULL);
    T_INT(script_run(c, 0, 1, &e), RC_OK);
    T_INT(script_field(c, 1, S("x")), SK_NIL);
    T_INT(script_len(c, 1), 0);
    T_TEXT(script_to_str(c, 1), "");
    script_end(c);
    script_close(s);
}

/* ---- host functions ---- */

static int host_join(struct script_call *c, void *ctx)
{
    char text[100];
    if (script_count(c) < 2)
        return script_fail(c, "join needs two arguments, it got %d", script_count(c));
    snprintf(text, sizeof text, "%s%.*s-%.*s", (const char *)ctx, SFMT(script_to_str(c, 1)),
             SFMT(script_to_str(c, 2)));
    script_str(c, slice_str(text));
    script_int(c, *(int *)script_user(c));
    return 2;
}

static int host_flood(struct script_call *c, void *ctx)
{
    (void)ctx;
    static char big[1 << 20];
    script_table(c);
    for (int i = 0; i < 100; i++) {
        script_str(c, slice_of(big, sizeof big - (size_t)i));
        script_append(c);
    }
    return 1;
}

static int host_deep(struct script_call *c, void *ctx)
{
    (void)ctx;
    for (int i = 0; i < 64; i++)
        script_table(c);
    for (int i = 0; i < 63; i++)
        script_set(c, S("in"));
    return 1;
}

static const struct script_fn host_rows[] = {
    {"join", "joins two strings", host_join},
    {"flood", "asks for more than there is", host_flood},
    {"a.b.join", "the same, deeper", host_join},
    {"a.deep", "a deep table", host_deep},
};

static struct lab host_call(const char *body)
{
    struct script *s = script_open(NULL);
    struct lab l = {.run = RC_BUG};
    char text[1000];
    int id = -1, number = 7;
    script_lib(s, "postern", host_rows, ARRAY_LEN(host_rows), "<");
    snprintf(text, sizeof text, "return function()\n%s\nend", body);
    l.load = script_load(s, "host.lua", slice_str(text), &id, &l.err);
    for (int round = 0; l.load == RC_OK && round < 2; round++) {
        struct script_call *c = script_begin(s, id, &number);
        l.run = script_run(c, 0, 1, &l.err);
        if (l.run == RC_OK)
            lab_result(&l, c);
        script_end(c);
    }
    script_close(s);
    return l;
}

static void host_functions_are_called(void)
{
    T_TEXT(slice_str(host_call("return postern.join('x', 5)").text), "<x-5");
    T_TEXT(slice_str(host_call("return select(2, postern.a.b.join('x', 'y'))").text), "7");
    T_TEXT(slice_str(host_call("local n, t = 0, postern.a.deep() while t do n, t = n + 1, t['in'] end "
                               "return n").text), "64");
    struct lab l = host_call("return postern.join()");
    T_INT(l.run, RC_BUG);
    T_TEXT(slice_str(l.err.text), "host.lua:2: join needs two arguments, it got 0");
    l = host_call("return select(2, pcall(postern.join, 1))");
    T_TEXT(slice_str(l.text), "join needs two arguments, it got 1");
    l = host_call("postern.join = nil");
    T(strstr(l.err.text, "read-only") != NULL);
    l = host_call("postern.a.b.join = nil");
    T(strstr(l.err.text, "read-only") != NULL);
    l = host_call("postern = nil");
    T(strstr(l.err.text, "global 'postern'") != NULL);
}

static void host_functions_meet_the_budget(void)
{
    struct lab l = host_call("return #postern.flood()");
    T_INT(l.run, RC_TOOBIG);
    T_TEXT(slice_str(l.err.text), "host.lua:2: memory budget of 4194304 bytes is used up");
    l = host_call("return pcall(postern.flood)");
    T_INT(l.run, RC_TOOBIG);
    /* near the end of Lua's stack a host function still has room, or is not called */
    struct script_budget b = {.memory_bytes = 64u << 20, .instructions = 20000000};
    struct script *s = script_open(&b);
    struct err e = {0};
    int id = -1, number = 1;
    script_lib(s, "postern", host_rows, ARRAY_LEN(host_rows), "");
    T_INT(script_load(s, "edge", S("local function f(n) local ok, t = pcall(postern.a.deep) "
                                   "return 1 + f(n + 1) end return function() return pcall(f, 1) end"),
                      &id, &e), RC_OK);
    struct script_call *c = script_begin(s, id, &number);
    enum rc rc = script_run(c, 0, 2, &e);
    T_ROW("%.100s", e.text);
    T(rc == RC_TOOBIG || (rc == RC_OK && !script_to_bool(c, 1)));
    script_end(c);
    script_close(s);
}

/* ---- errors ---- */

static void errors_carry_name_and_line(void)
{
    static const struct {
        const char *text;
        enum rc rc;
        const char *place, *said;
    } rows[] = {
        {"return function( end", RC_BADINPUT, "p/e.lua:1", "<name> or '...' expected near 'end'"},
        {"\n\nreturn = 1", RC_BADINPUT, "p/e.lua:3", "unexpected symbol near '='"},
        {"return 5", RC_BADINPUT, "p/e.lua", "the chunk must return a function, it returned a number"},
        {"local x = 1", RC_BADINPUT, "p/e.lua", "the chunk must return a function, it returned a nil"},
        {"\nerror('at load')", RC_BUG, "", "p/e.lua:2: at load"},
        {"return function()\n local t\n return t.x\nend", RC_BUG, "",
         "p/e.lua:3: attempt to index a nil value (local 't')"},
        {"return function()\n error('no place', 0)\nend", RC_BUG, "", "p/e.lua:2: no place"},
        {"return function()\n error({})\nend", RC_BUG, "", "p/e.lua:2: error value is a table"},
        {"return function()\n error()\nend", RC_BUG, "", "p/e.lua:2: error value is a nil"},
        {"return function()\n error(42)\nend", RC_BUG, "", "p/e.lua:2: 42"},
        {"return function()\n error('a\\nb\\27[2J')\nend", RC_BUG, "", "p/e.lua:2: a b [2J"},
        {"return function()\n return #5\nend", RC_BUG, "",
         "p/e.lua:2: attempt to get length of a number value"},
        {"return function()\n return ('x').y.z\nend", RC_BUG, "",
         "p/e.lua:2: attempt to index a nil value (field 'y')"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct script *s = script_open(NULL);
        struct err e = {0};
        int id = -1;
        T_ROW("%.60s", rows[i].text);
        enum rc rc = script_load(s, "p/e.lua", slice_str(rows[i].text), &id, &e);
        if (rc == RC_OK) {
            struct script_call *c = script_begin(s, id, NULL);
            rc = script_run(c, 0, 1, &e);
            script_end(c);
        }
        T_INT(rc, rows[i].rc);
        T_INT(e.rc, rows[i].rc);
        T_TEXT(slice_str(e.place), rows[i].place);
        T_TEXT(slice_str(e.text), rows[i].said);
        script_close(s);
    }
    /* a long error text is cut, a missing err is no trouble */
    struct lab l = lab_body("error(('x'):rep(100000))");
    T_INT(l.run, RC_BUG);
    T(strlen(l.err.text) < sizeof l.err.text);
    struct script *s = script_open(NULL);
    int id;
    T_INT(script_load(s, "n", S("return"), &id, NULL), RC_BADINPUT);
    script_close(s);
}

static void ids_are_used_again(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int a = -1, b = -1, c = -1;
    T_INT(script_load(s, "a", S("return function() return 'a' end"), &a, &e), RC_OK);
    T_INT(script_load(s, "b", S("return function() return 'b' end"), &b, &e), RC_OK);
    script_unload(s, a);
    T_INT(script_load(s, "c", S("\xEF\xBB\xBFreturn function() return 'c' end"), &c, &e), RC_OK);
    T_INT(c, a);
    T_TEXT(slice_str(lab_call(s, b, "").text), "b");
    T_TEXT(slice_str(lab_call(s, c, "").text), "c");
    size_t before = s == NULL ? 0 : script_used_bytes(s);
    for (int i = 0; i < 300; i++) { /* loading and unloading leaves nothing */
        T_INT(script_load(s, "d", S("local t = {1, 2, 3} return function() return t end"), &a, &e), RC_OK);
        script_unload(s, a);
    }
    T(script_used_bytes(s) <= before + 4096);
    script_close(s);
}

/* ---- memory and threads ---- */

static void call_with_fields(struct script *s, int id)
{
    static const struct slice names[] = {SLIT("method"), SLIT("path"), SLIT("host"), SLIT("scheme"),
                                         SLIT("source_ip"), SLIT("query"), SLIT("route"), SLIT("user"),
                                         SLIT("plan"), SLIT("key_id")};
    struct err e = {0};
    struct script_call *c = script_begin(s, id, NULL);
    script_table(c);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        script_str(c, names[i]);
        script_set(c, names[i]);
    }
    T_INT(script_run(c, 1, 2, &e), RC_OK);
    T(script_to_bool(c, 1));
    T_INT(script_field(c, 2, S("n")), SK_INT);
    script_end(c);
}

static void steady_state_asks_the_system_for_nothing(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int plain = -1, fresh = -1;
    T_INT(script_load(s, "p", S("return function(r) local t = {} for k, v in pairs(r) do t[#t + 1] = k .. v "
                                "end return true, {n = #table.concat(t), s = r.path:gsub('a', 'bb')} end"),
                      &plain, &e), RC_OK);
    T_INT(script_load(s, "f", S("local want = {n = 1} return function(r) return r.path == 'path', want end"),
                      &fresh, &e), RC_OK);
    for (int i = 0; i < 2000; i++) {
        call_with_fields(s, plain);
        call_with_fields(s, fresh);
    }
    asked = 0;
    for (int i = 0; i < 20000; i++) {
        call_with_fields(s, plain);
        call_with_fields(s, fresh);
    }
    T_INT(asked, 0);
    script_close(s);
    T(asked == 0);
    script_close(script_open(NULL));
    T(asked > 0); /* the counter counts */
}

static void *thread_main(void *arg)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1, wrong = 0;
    long base = *(long *)arg;
    if (script_load(s, "t", S("return function(a) local s = 0 for i = 1, 50 do s = s + #(a .. i) end "
                              "return s end"), &id, &e) != RC_OK)
        return arg;
    for (int i = 0; i < 2000; i++) {
        char name[20];
        snprintf(name, sizeof name, "%ld", base + i);
        struct lab l = lab_call(s, id, name);
        wrong += l.run != RC_OK || atoi(l.text) != (int)(50 * strlen(name) + 91);
    }
    script_close(s);
    *(long *)arg = wrong;
    return NULL;
}

static void states_are_independent(void)
{
    long args[4] = {1000, 20000, 300000, 4000000};
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        t[i] = thread_start("lua", thread_main, &args[i]);
    for (int i = 0; i < 4; i++) {
        thread_join(t[i]);
        T_INT(args[i], 0);
    }
}

/* The deepest nesting that is served fits the stack of a thread that thread_start makes. */
static void *deep_main(void *arg)
{
    static const char *const texts[] = {
        "local function f() return (('x'):gsub('x', f)) end return function() return pcall(f) end",
        "local function f() table.sort({1, 2}, f) end return function() return pcall(f) end",
        "local mt = {} mt.__index = function(t, k) return t[k] end mt.__tostring = function(t) return "
        "tostring(t) end mt.__concat = function(a) return a .. 'x' end local t = setmetatable({}, mt) "
        "return function() return pcall(function() return t.x end), pcall(tostring, t), "
        "pcall(function() return t .. '' end), pcall(string.format, '%s', t) end",
        "local function f() return pcall(f) end return function() return f() end",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return (('x'):gsub('x', "
        "function() return t[k] end)) end return function() return pcall(function() return t.x end) end",
    };
    int *wrong = arg;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct script *s = script_open(NULL);
        struct err e = {0};
        int id = -1;
        *wrong += script_load(s, "deep", slice_str(texts[i]), &id, &e) != RC_OK;
        if (id >= 0)
            *wrong += lab_call(s, id, "").run != RC_OK;
        script_close(s);
    }
    return NULL;
}

static void deep_calls_fit_a_thread(void)
{
    int wrong = 0;
    thread_join(thread_start("deep", deep_main, &wrong));
    T_INT(wrong, 0);
}

static int wait_here(struct script_call *c, void *ctx)
{
    (void)ctx;
    script_wait(c);
    return 0;
}

static int pass_by(struct script_call *c, void *ctx)
{
    (void)ctx;
    script_int(c, 7);
    return 1;
}

/* Whatever the script tries, the call ends with RC_AGAIN; the next one is served. */
static void waiting_cannot_be_caught(void)
{
    static const struct script_fn rows[] = {{"wait", "", wait_here}, {"pass", "", pass_by}};
    static const char *const bodies[] = {
        "h.wait()", "pcall(h.wait)", "pcall(h.wait) return 1", "xpcall(h.wait, function() return 1 end)",
        "while true do pcall(h.wait) end", "local t = setmetatable({}, {__index = h.wait}) return t.x",
        "table.sort({3, 2, 1}, function() h.wait() return true end)",
        "string.gsub('abc', '.', function() h.wait() end)",
        "pcall(function() pcall(h.wait) end) error('x')"};
    struct script *s = script_open(NULL);
    script_lib(s, "h", rows, ARRAY_LEN(rows), NULL);
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char text[300];
        int id = -1;
        struct err e = {0};
        T_ROW("%s", bodies[i]);
        snprintf(text, sizeof text, "return function() %s end", bodies[i]);
        T_INT(script_load(s, "w", slice_str(text), &id, &e), RC_OK);
        for (int round = 0; round < 2; round++) {
            struct script_call *c = script_begin(s, id, NULL);
            T_INT(script_run(c, 0, 1, &e), RC_AGAIN);
            script_end(c);
        }
        script_unload(s, id);
        T_INT(script_load(s, "p", S("return function() return h.pass() end"), &id, &e), RC_OK);
        struct script_call *c = script_begin(s, id, NULL);
        T_INT(script_run(c, 0, 1, &e), RC_OK);
        T_INT(script_to_int(c, -1, 0), 7);
        script_end(c);
        script_unload(s, id);
    }
    script_close(s);
}

static void time_and_chance_can_be_fixed(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1;
    char first[200] = "";
    T_INT(script_load(s, "f", S("return function() return table.concat({os.time(), os.date('!%Y'), os.clock(), "
                                "math.random(1 << 60), math.random(1 << 60)}, ' ') end"), &id, &e), RC_OK);
    for (int i = 0; i < 4; i++) {
        struct script_call *c = script_begin(s, id, NULL);
        if (i < 3)
            script_fix(c, 1794000000000, i < 2 ? 42 : 43);
        T_INT(script_run(c, 0, 1, &e), RC_OK);
        struct slice got = script_to_str(c, -1);
        if (i < 3)
            T(slice_starts(got, S("1794000000 2026 0.0 ")));
        else
            T(!slice_starts(got, S("1794000000 ")));
        if (i == 0)
            snprintf(first, sizeof first, "%.*s", SFMT(got));
        T(slice_eq(got, slice_str(first)) == (i < 2));
        script_end(c);
    }
    script_close(s);
}

int main(void)
{
    T_RUN(waiting_cannot_be_caught);
    T_RUN(time_and_chance_can_be_fixed);
    T_RUN(values_go_in_and_out);
    T_RUN(fields_are_iterated);
    T_RUN(results_run_no_metamethods);
    T_RUN(host_functions_are_called);
    T_RUN(host_functions_meet_the_budget);
    T_RUN(errors_carry_name_and_line);
    T_RUN(ids_are_used_again);
    T_RUN(steady_state_asks_the_system_for_nothing);
    T_RUN(states_are_independent);
    T_RUN(deep_calls_fit_a_thread);
    return t_done();
}
