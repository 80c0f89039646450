/*
 * test_budget.c - a call costs what its budgets allow and no more, however hard it tries, and the
 * state serves the next call.
 */
#include "lab.h"

/* Attacks. Each must end with a budget, and leave the state as it found it. How long that takes is
 * the machine's affair; one that does not end is ended by the runner. */
static const struct {
    const char *body, *what;
} attacks[] = {
    {"while true do end", "instructions"},
    {"local function f() return f() end f()", "instructions"},
    {"local function f() return 1 + f() end f()", "memory"},
    {"local s = 'x' while true do s = s .. s end", "memory"},
    {"local t = {} for i = 1, 1e9 do t[i] = {} end", "memory"},
    {"local t = {} for i = 1, 1e9 do t['k' .. i] = i end", "budget"},
    {"local t = {} while true do t[#t + 1] = ('x'):rep(1000) .. #t end", "budget"},
    {"local a = {} for i = 1, 1e9 do a = {a, a} end", "memory"},
    {"return ('x'):rep(1e9)", "memory"},
    {"return #table.concat({('x'):rep(1e6), ('y'):rep(1e6)}, ('z'):rep(1e6))", "memory"},
    {"local t = {} for i = 1, 40 do t[i] = ('z'):rep(100000) end return #table.concat(t)", "memory"},
    {"local s = ('x'):rep(1e6) return string.format('%s%s%s%s', s, s, s, s)", "memory"},
    {"return (('x'):rep(1e5)):gsub('x', ('y'):rep(1000))", "memory"},
    {"return (('x'):rep(1e5)):gsub('x', function() return ('y'):rep(1000) end)", "memory"},
    {"local s = ('x'):rep(3e5) return s:upper(), s:upper(), s:lower(), s:reverse() .. s .. s .. s .. s "
     ".. s .. s .. s .. s .. s", "memory"},
    {"for i = 1, 1e9 do local s = ('y'):rep(1 << 20) end", "instructions"},
    {"local s = ('y'):rep(1 << 19) while true do local t = s .. 'x' end", "instructions"},
    {"table.move({}, 1, 1 << 40, 2)", "instructions"},
    {"table.insert(setmetatable({}, {__len = function() return 1 << 40 end}), 1, 1)", "instructions"},
    {"table.remove(setmetatable({}, {__len = function() return 1 << 40 end}), 1)", "instructions"},
    {"table.concat(setmetatable({}, {__index = function() return '' end}), '', 1, 1 << 40)",
     "instructions"},
    {"table.concat({}, '', math.mininteger, math.maxinteger)", "instructions"},
    {"local s = ('a'):rep(1e6) local t = {} for i = 1, 1e4 do t[i] = s end table.sort(t)",
     "instructions"},
    {"local t = {} for i = 1, 1e5 do t[i] = i end table.sort(t, function() return true end)",
     "instructions"},
    {"local s = (' '):rep(1e6) .. '1' while true do tonumber(s) end", "instructions"},
    {"local s = ('x'):rep(1e6) while true do string.packsize(s) end", "instructions"},
    {"local s = ('\\u{e4}'):rep(5e5) while true do utf8.len(s) end", "instructions"},
    {"local s = ('a'):rep(1e6) while true do s:find('b', 1, true) end", "instructions"},
    {"while true do pcall(error) end", "budget"},
    /* what must not catch it */
    {"while true do pcall(function() while true do end end) end", "instructions"},
    {"return pcall(function() while true do end end)", "instructions"},
    {"return pcall(pcall, pcall, function() while true do end end)", "instructions"},
    {"return xpcall(function() while true do end end, function() while true do end end)",
     "instructions"},
    {"return xpcall(error, function() while true do end end)", "instructions"},
    {"return pcall(string.rep, 'x', 1e10)", "memory"},
    {"return pcall(function() local t = {} for i = 1, 1e9 do t[i] = {} end end)", "memory"},
    {"return pcall(function() local s = ('x'):rep(1e6) return s:format() .. s .. s .. s .. s end)",
     "memory"},
    {"local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end", "memory"},
    {"return pcall(string.gsub, ('x'):rep(100), '.', function() while true do end end)",
     "instructions"},
    {"return pcall(table.sort, {3, 2, 1}, function() while true do end end)", "instructions"},
    {"local mt = {} local t = setmetatable({}, mt) mt.__close = function() while true do end end "
     "return pcall(function() local x <close> = t while true do end end)", "instructions"},
    {"local mt = {} local t = setmetatable({}, mt) mt.__close = function() error('other', 0) end "
     "return pcall(function() local x <close> = t while true do end end)", "instructions"},
    {"local mt = {} local t = setmetatable({}, mt) mt.__close = function() error('other', 0) end "
     "return pcall(function() local x <close> = t local s = 'x' while true do s = s .. s end end)",
     "memory"},
    {"for _ in setmetatable({}, {__call = function() return 1 end}) do end", "instructions"},
    {"return setmetatable({}, {__index = function(t, k) while true do end end}).x", "instructions"},
    {"return tostring(setmetatable({}, {__tostring = function() while true do end end}))",
     "instructions"},
    {"local t = setmetatable({}, {__eq = function() while true do end end}) return t == setmetatable({}, "
     "getmetatable(t))", "instructions"},
    {"while true do string.format('%s', setmetatable({}, {__tostring = function() return 'x' end})) end",
     "instructions"},
    {"goto a ::a:: goto a", "instructions"},
};

static void attacks_end_with_their_budget(void)
{
    struct script *s = script_open(NULL);
    int probe = -1;
    struct err e = {0};
    T_INT(script_load(s, "probe", S("return function(a) return a .. #('x'):rep(1e6) end"), &probe, &e),
          RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(attacks); i++) {
        char text[1000];
        snprintf(text, sizeof text, "return function()\n %s\nend", attacks[i].body);
        struct lab l = lab_in(s, text, "");
        T_ROW("%.90s: rc %d %.60s", attacks[i].body, (int)l.run, l.err.text);
        T_INT(l.load, RC_OK);
        T_INT(l.run, RC_TOOBIG);
        /* Where a thread is interrupted, its processor time is looked at, and may be first. */
        T(strstr(l.err.text, attacks[i].what) != NULL || strstr(l.err.text, "time budget") != NULL);
        T(strncmp(l.err.text, "lab.lua", 7) == 0);
        T(l.bytes <= (4u << 20) + 4096);
        T_TEXT(slice_str(lab_call(s, probe, "still ").text), "still 1000000");
    }
    script_close(s);
}

/* Comparing huge strings is one VM instruction and no allocation: processor time ends it. */
static void time_is_the_backstop(void)
{
    struct script *s = script_open(NULL);
    struct lab l = lab_in(s,
                          "return function() local a, b = ('x'):rep(1e6), ('x'):rep(1e6)\n"
                          "while a == b do end end", "");
    T_INT(l.run, RC_TOOBIG);
    T_TEXT(slice_str(l.err.text), "lab.lua:2: time budget is used up");
    T(l.instructions < 1000000);
    script_close(s);
}

static void lines_are_told(void)
{
    struct script *s = script_open(NULL);
    struct lab l = lab_in(s, "return function()\n local s = 'x'\n while true do\n  s = s .. s\n end\nend", "");
    T_TEXT(slice_str(l.err.text), "lab.lua:4: memory budget of 4194304 bytes is used up");
    l = lab_in(s, "return function()\n\n while true do end\nend", "");
    T_TEXT(slice_str(l.err.text), "lab.lua:3: budget of 1000000 instructions is used up");
    l = lab_in(s, "return function()\n\n return ('x'):rep(1e9)\nend", "");
    T_TEXT(slice_str(l.err.text), "lab.lua:3: memory budget of 4194304 bytes is used up");
    script_close(s);
}

/* A loop of n additions costs n times the same, and the budget is met within a few steps. */
static void instructions_are_exact_within_steps(void)
{
    static const uint64_t budgets[] = {1, 100, 250, 251, 1000, 12345, 100000};
    static const char text[] =
        "return function(s) local n = 0 while true do n = n + 1 s:sub(1, 1) end end";
    for (size_t i = 0; i < ARRAY_LEN(budgets); i++) {
        struct script_budget b = {.instructions = budgets[i]};
        struct script *s = script_open(&b);
        struct lab l = lab_in(s, text, "abc");
        T_ROW("budget %llu", (unsigned long long)budgets[i]);
        T(l.load == RC_OK || budgets[i] < 250); /* the chunk itself takes a few */
        T_INT(l.load ? l.load : l.run, RC_TOOBIG);
        script_close(s);
    }
    for (uint64_t budget = 2000; budget <= 64000; budget *= 2) {
        struct script_budget b = {.instructions = budget};
        struct script *s = script_open(&b);
        char body[200];
        /* two instructions a turn: the loop itself */
        snprintf(body, sizeof body, "return function() for i = 1, %llu do end return 1 end",
                 (unsigned long long)(budget - 100));
        T_ROW("loop in %llu", (unsigned long long)budget);
        T_INT(lab_in(s, body, "").run, RC_OK);
        snprintf(body, sizeof body, "return function() for i = 1, %llu do end return 1 end",
                 (unsigned long long)(budget + 300));
        T_INT(lab_in(s, body, "").run, RC_TOOBIG);
        script_close(s);
    }
}

/* Garbage of earlier calls is not charged to later ones, and honest use stays far below. */
static void garbage_is_not_a_leak(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1;
    T_INT(script_load(s, "g", S("return function() local t = {} for i = 1, 5000 do t[i] = {i, 'x' .. i} "
                                "end return #t end"), &id, &e), RC_OK);
    for (int i = 0; i < 200; i++) {
        struct lab l = lab_call(s, id, "");
        T_ROW("call %d: %.100s", i, l.err.text);
        T_TEXT(slice_str(l.text), "5000");
    }
    script_close(s);
}

/* What the host hands over counts as well. */
static void large_arguments_trip(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id = -1;
    static char big[3 << 20];
    memset(big, 'x', sizeof big);
    T_INT(script_load(s, "args.lua", S("return function(a, b) return 1 end"), &id, &e), RC_OK);
    for (int round = 0; round < 3; round++) {
        struct script_call *c = script_begin(s, id, NULL);
        script_str(c, slice_of(big, sizeof big));
        T_INT(script_run(c, 1, 1, &e), RC_OK);
        script_end(c);
        c = script_begin(s, id, NULL);
        script_str(c, slice_of(big, sizeof big));
        script_table(c);
        script_str(c, slice_of(big, sizeof big));
        script_set(c, S("body"));
        T_INT(script_run(c, 2, 1, &e), RC_TOOBIG);
        T_TEXT(slice_str(e.text), "args.lua: memory budget of 4194304 bytes is used up");
        script_end(c);
        c = script_begin(s, id, NULL);
        for (int i = 0; i < 3; i++)
            script_str(c, slice_of(big, sizeof big));
        script_table(c); /* a nil by now: setting into it must do nothing */
        script_int(c, 1);
        script_set(c, S("x"));
        T_INT(script_run(c, 4, 1, &e), RC_TOOBIG);
        script_end(c);
    }
    script_close(s);
}

static void large_and_deep_texts(void)
{
    struct script *s = script_open(NULL);
    struct err e = {0};
    int id;
    enum { SIZE = 300 * 1024 };
    static char text[SIZE + 100];
    memset(text, ' ', SIZE);
    T_INT(script_load(s, "big", slice_of(text, SIZE), &id, &e), RC_TOOBIG);
    T(strstr(e.text, "at most") != NULL);
    memset(text, '(', 200000);
    T_INT(script_load(s, "deep", slice_of(text, 200000), &id, &e), RC_BADINPUT);
    memset(text, '{', 200000);
    T_INT(script_load(s, "deep", slice_of(text, 200000), &id, &e), RC_BADINPUT);
    /* a huge table constructor: 100,000 entries of a chunk's own */
    size_t n = (size_t)sprintf(text, "local t = {");
    while (n < 250000)
        n += (size_t)sprintf(text + n, "1,");
    n += (size_t)sprintf(text + n, "} return function() return #t end");
    enum rc rc = script_load(s, "wide", slice_of(text, n), &id, &e);
    T_ROW("%.100s", e.text);
    T(rc == RC_OK || rc == RC_TOOBIG);
    if (rc == RC_OK)
        T_INT(lab_call(s, id, "").run, RC_OK);
    /* fifteen thousand labels: quadratic in the compiler, bounded by the size */
    n = 0;
    for (int i = 0; n < 250000; i++)
        n += (size_t)sprintf(text + n, "::l%d:: ", i);
    T_INT(script_load(s, "labels", slice_of(text, n), &id, &e), RC_BADINPUT);
    T_TEXT(slice_str(lab_in(s, "return function() return 1 end", "").text), "1");
    script_close(s);
}

/* What runs when the chunk is loaded is budgeted too. */
static void loading_is_budgeted(void)
{
    struct script *s = script_open(NULL);
    struct lab l = lab_in(s, "\nwhile true do end", "");
    T_INT(l.load, RC_TOOBIG);
    T_TEXT(slice_str(l.err.text), "lab.lua:2: budget of 1000000 instructions is used up");
    l = lab_in(s, "local t = {} while true do t[#t + 1] = {} end", "");
    T_INT(l.load, RC_TOOBIG);
    l = lab_in(s, "pcall(function() while true do end end) return function() end", "");
    T_INT(l.load, RC_TOOBIG);
    script_close(s);
}

static void nesting_is_bounded(void)
{
    LAB_FAILS("local function f() return (('x'):gsub('x', f)) end return f()", RC_BUG, "nested too deeply");
    LAB_TEXT("local function f(n) return pcall(f, n) end return (f(1))", "true");
    LAB_FAILS("local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k] end "
              "return t.x", RC_BUG, "C stack overflow");
    LAB_FAILS("local function f() table.sort({1, 2, 3}, f) end f()", RC_BUG, "nested too deeply");
    LAB_FAILS("local s = ('('):rep(300) return ('x'):match(s)", RC_BUG, "too many captures");
}

/* Compiling is work in C too, also of a pattern that cannot match. */
static void a_long_pattern_is_paid_for_at_every_use(void)
{
    struct lab l = lab_body("local p = ('a'):rep(4000) .. '[x]' "
                            "for i = 1, 100 do (arg):find(p) end return 'done'");
    T_TEXT(slice_str(l.text), "done");
    T(l.instructions > 20000 && l.instructions < 40000);
}

int main(void)
{
    T_RUN(attacks_end_with_their_budget);
    T_RUN(time_is_the_backstop);
    T_RUN(lines_are_told);
    T_RUN(instructions_are_exact_within_steps);
    T_RUN(garbage_is_not_a_leak);
    T_RUN(large_arguments_trip);
    T_RUN(large_and_deep_texts);
    T_RUN(loading_is_budgeted);
    T_RUN(nesting_is_bounded);
    T_RUN(a_long_pattern_is_paid_for_at_every_use);
    return t_done();
}
