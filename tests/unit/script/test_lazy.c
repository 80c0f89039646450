/*
 * test_lazy.c - lazy tables: the host is asked for what is read and nothing else; whole when iterated;
 * budgets hold inside the host's answers.
 */
#include "lab.h"

static int gets, fills;
static size_t size = 3;

static bool get(struct script_call *c, struct slice name)
{
    gets++;
    T(script_user(c) == &size);
    if (slice_eq(name, S("big"))) {
        static char big[1 << 20];
        memset(big, 'b', sizeof big);
        for (int i = 0; i < 16; i++)
            script_str(c, slice_of(big, sizeof big - (size_t)i));
        return true;
    }
    if (!slice_starts(name, S("n")))
        return false;
    script_str(c, name);
    return true;
}

static void fill(struct script_call *c)
{
    char name[32];
    fills++;
    script_table_sized(c, 0, (int)size);
    for (size_t i = 0; i < size; i++) {
        snprintf(name, sizeof name, "n%zu", i);
        script_str(c, slice_str(name));
        script_set(c, slice_str(name));
    }
}

static const struct script_lazy row = {get, fill};

static int entered;

static int host_count(struct script_call *c, void *ctx)
{
    int n = 0;
    (void)ctx;
    entered++;
    script_nil(c);
    while (script_next(c, 1)) {
        n++;
        script_pop(c, 1);
    }
    script_int(c, n);
    entered--; /* whatever a host function owns is given back: nothing raises through it */
    return 1;
}

static struct lab call(const char *body)
{
    static const struct script_fn fns[] = {{"count", "", host_count}};
    char text[2000];
    struct lab l = {.load = RC_OK};
    struct script *s = script_open(NULL);
    struct script_call *c;
    int id = -1;

    script_lib(s, "host", fns, 1, NULL);
    snprintf(text, sizeof text, "return function(t) %s end", body);
    MUST(script_load(s, "lab.lua", slice_str(text), &id, &l.err) == RC_OK);
    gets = fills = 0;
    for (int i = 0; i < 2; i++) { /* the second call sees nothing of the first */
        c = script_begin(s, id, &size);
        script_push_lazy(c, &row);
        l.run = script_run(c, 1, 1, &l.err);
        if (l.run == RC_OK)
            lab_result(&l, c);
        script_end(c);
    }
    script_close(s);
    return l;
}

#define SAYS(body, want)                                                                           \
    do {                                                                                           \
        struct lab lab_l = call(body);                                                             \
        T_ROW("%.60s: %.40s", body, lab_l.err.text);                                              \
        T_TEXT(slice_str(lab_l.run == RC_OK ? lab_l.text : "(failed)"), want);                     \
    } while (0)

static void asked_is_what_is_read(void)
{
    SAYS("return 'x'", "x");
    T(gets == 0 && fills == 0);
    SAYS("return t.n1 .. t.n1 .. t.n2", "n1n1n2");
    T(gets == 4 && fills == 0); /* in two calls: an answer is kept */
    SAYS("return tostring(t.other) .. tostring(t[1]) .. tostring(t[true])", "nilnilnil");
    SAYS("t.n1 = 'mine'; t.x = 1; return t.n1 .. t.x", "mine1");
    T(gets == 0);
}

static void whole_when_iterated(void)
{
    SAYS("local n = 0; for k, v in pairs(t) do assert(k == v); n = n + 1 end; return n", "3");
    T(gets == 0 && fills == 2);
    SAYS("local k, v = next(t); return k == v and next({}) == nil and select('#', next({})) == 1", "true");
    SAYS("t.n1 = 'mine'; local s = ''; for k, v in pairs(t) do if k == 'n1' then s = v end end; return s", "mine");
    SAYS("t.extra = 1; local n = 0; for k in pairs(t) do n = n + 1 end; return n", "4");
    SAYS("return host.count(t)", "3");
    SAYS("for k in pairs(t) do t[k] = nil end; return next(t) == nil and t.n1 == nil", "true");
    SAYS("local n = 0; for k in next, t do n = n + 1 end; return n", "3");
}

static void the_metatable_is_out_of_reach(void)
{
    SAYS("return getmetatable(t)", "false");
    SAYS("return pcall(setmetatable, t, {}) == false", "true");
    SAYS("return pcall(next, 1) == false and pcall(pairs) == false", "true");
}

static void budgets_hold(void)
{
    struct lab l = call("while true do t['x' .. #tostring(t)] = nil; local a = t.nothing end");
    T_INT(l.run, RC_TOOBIG);
    l = call("return #t.big");
    T_INT(l.run, RC_TOOBIG);
    T(strstr(l.err.text, "memory budget") != NULL);
    l = call("local ok = pcall(function() return t.big end); return 'went on'");
    T_INT(l.run, RC_TOOBIG);
    size = 200000;
    l = call("for k in pairs(t) do end");
    T_INT(l.run, RC_TOOBIG);
    size = 3;
}

static void no_error_goes_through_the_host(void)
{
    static const struct script_fn fns[] = {{"count", "", host_count}};
    int ended = 0;

    for (uint64_t most = 1; most < 200; most++) {
        struct script_budget b = {.instructions = most};
        struct script *s = script_open(&b);
        struct err e = {0};
        int id = -1;
        script_lib(s, "host", fns, 1, NULL);
        if (script_load(s, "lab.lua", S("return function(t) return host.count(t) end"), &id, &e) == RC_OK) {
            struct script_call *c = script_begin(s, id, &size);
            script_push_lazy(c, &row);
            ended += script_run(c, 1, 1, &e) == RC_OK;
            script_end(c);
        }
        script_close(s);
        T_INT(entered, 0);
    }
    T(ended > 0 && ended < 199); /* some had enough */
}

int main(void)
{
    T_RUN(asked_is_what_is_read);
    T_RUN(whole_when_iterated);
    T_RUN(the_metatable_is_out_of_reach);
    T_RUN(budgets_hold);
    T_RUN(no_error_goes_through_the_host);
    return t_done();
}
