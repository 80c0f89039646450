/*
 * lua_call.c - what one Lua call costs: processor time per call of small policies.
 *
 * Each row is measured five times over CALLS calls; the median is printed in nanoseconds.
 * Build: link script/ and base/ in release flags with liblua and mimalloc, as tests/bench/run does.
 */
#include "base/mem.h"
#include "script/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { CALLS = 200000, ROUNDS = 5, FIELDS = 10 };

static const struct {
    const char *name, *text;
    bool host;
} rows[] = {
    {"ten fields in, two results out", "return function(req) return true, req.f3 end", false},
    {"the same, an outer local (chunk is run again)",
     "local want = 'v3' return function(req) return req.f3 == want, req.f3 end", false},
    {"string methods: lower, find, sub",
     "return function(req) local s = req.f5:lower() return s:find('5', 1, true), s:sub(1, 3) end",
     false},
    {"pattern match with a capture",
     "return function(req) return req.f7:match('^(%a+)%d+$'), 'x' end", false},
    {"a host function called", "return function(req) return postern.same(req.f1), 'x' end", true},
    {"loop of 1,000 additions",
     "return function(req) local n = 0 for i = 1, 1000 do n = n + i end return n, 'x' end", false},
};

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int host_same(struct script_call *c, void *ctx)
{
    (void)ctx;
    script_str(c, script_to_str(c, 1));
    return 1;
}

static void call(struct script *s, int id)
{
    static const struct slice names[FIELDS] = {SLIT("f0"), SLIT("f1"), SLIT("f2"), SLIT("f3"),
                                               SLIT("f4"), SLIT("f5"), SLIT("f6"), SLIT("f7"),
                                               SLIT("f8"), SLIT("f9")};
    static const struct slice values[FIELDS] = {
        SLIT("v0"),  SLIT("GET"),    SLIT("/orders/17"), SLIT("v3"),       SLIT("gold"),
        SLIT("V5x"), SLIT("value6"), SLIT("abc7"),       SLIT("10.0.0.1"), SLIT("v9")};
    struct err e = {0};
    struct script_call *c = script_begin(s, id, NULL);
    script_table_sized(c, 0, FIELDS);
    for (int i = 0; i < FIELDS; i++) {
        script_str(c, values[i]);
        script_set(c, names[i]);
    }
    if (script_run(c, 1, 2, &e) != RC_OK) {
        fprintf(stderr, "lua_call: %s\n", e.text);
        exit(1);
    }
    (void)script_to_bool(c, 1);
    (void)script_to_str(c, 2);
    script_end(c);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    static const struct script_fn lib[] = {{"same", "returns its argument", host_same}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct script *s = script_open(NULL);
        struct err e = {0};
        int id = 0;
        int64_t took[ROUNDS];
        script_lib(s, "postern", lib, 1, NULL);
        if (script_load(s, "bench", slice_str(rows[i].text), &id, &e) != RC_OK) {
            fprintf(stderr, "lua_call: %s %s\n", e.place, e.text);
            return 1;
        }
        for (int k = 0; k < 10000; k++)
            call(s, id);
        for (int r = 0; r < ROUNDS; r++) {
            int64_t start = cpu_ns();
            for (int k = 0; k < CALLS; k++)
                call(s, id);
            took[r] = (cpu_ns() - start) / CALLS;
        }
        qsort(took, ROUNDS, sizeof took[0], by_value);
        printf("%6lld ns  %s\n", (long long)took[ROUNDS / 2], rows[i].name);
        script_close(s);
    }
    return 0;
}
