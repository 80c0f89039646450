/*
 * fuzz_lua.c - any text as a Lua chunk: it must not crash, hang or pass its budgets, and the state
 * must serve the next call.
 *
 * The text is loaded as it stands; when that fails it is tried as the body of a function, so that
 * the fuzzer reaches the libraries without finding out about `return function`. After each input an
 * honest probe runs in the same state. The first byte chooses budgets.
 */
#include "script/script.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { FUZZ_MEMORY = 1 << 20, FUZZ_CPU_MS = 2000 };

static struct script *state;
static int probe;

static int host_echo(struct script_call *c, void *ctx)
{
    (void)ctx;
    if (script_count(c) < 1)
        return script_fail(c, "echo needs an argument");
    script_table(c);
    script_str(c, script_to_str(c, 1));
    script_append(c);
    script_str(c, script_to_str(c, 1));
    script_set(c, S("same"));
    script_nil(c);
    while (script_next(c, 1))
        script_pop(c, 1);
    return 1;
}

static const struct script_fn host[] = {{"echo", "", host_echo}, {"deep.echo", "", host_echo}};

static void fail(const char *what, const char *text)
{
    fprintf(stderr, "fuzz_lua: %s: %s\n", what, text);
    abort();
}

static int64_t cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void open_state(uint64_t instructions)
{
    struct script_budget b = {.instructions = instructions, .memory_bytes = FUZZ_MEMORY};
    struct err e = {0};
    state = script_open(&b);
    script_lib(state, "postern", host, ARRAY_LEN(host), NULL);
    if (script_load(state, "probe", S("return function(a) return #a:gsub('x', 'yy') end"), &probe, &e))
        fail("probe does not load", e.text);
}

static enum rc call(int id, struct slice text, struct err *e)
{
    struct script_call *c = script_begin(state, id, NULL);
    script_table(c);
    script_str(c, slice_sub(text, 0, 1000));
    script_set(c, S("path"));
    script_table(c);
    script_set(c, S("headers"));
    script_str(c, S("config"));
    enum rc rc = script_run(c, 2, 2, e);
    if (rc == RC_OK) {
        (void)script_kind(c, 1);
        (void)script_field(c, 1, S("allow"));
        (void)script_to_str(c, 2);
    }
    script_end(c);
    return rc;
}

static void check(enum rc rc, const struct err *e)
{
    if (rc != RC_OK && rc != RC_BADINPUT && rc != RC_TOOBIG && rc != RC_BUG)
        fail("unexpected result", e->text);
    if (rc != RC_OK && (e->text[0] == 0 || strlen(e->text) >= sizeof e->text))
        fail("no text", "");
}

static enum rc load_and_call(struct slice text, struct slice arg)
{
    struct err e = {0};
    int id = -1;
    enum rc rc = script_load(state, "fuzz.lua", text, &id, &e);
    check(rc, &e);
    if (rc != RC_OK)
        return rc;
    for (int i = 0; i < 2; i++)
        check(call(id, arg, &e), &e);
    if (script_used_bytes(state) > FUZZ_MEMORY + 4096)
        fail("memory budget passed", "");
    script_unload(state, id);
    return RC_OK;
}

static void check_probe(void)
{
    struct err e = {0};
    struct script_call *c = script_begin(state, probe, NULL);
    script_str(c, S("axb"));
    if (script_run(c, 1, 1, &e) != RC_OK || script_to_int(c, 1, 0) != 4)
        fail("the state does not serve the next call", e.text);
    script_end(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint64_t runs;
    static char body[80000];
    if (n == 0 || n > sizeof body - 100)
        return 0;
    if (runs++ % 500 == 0) { /* a new state now and then */
        script_close(state);
        open_state(data[0] & 1 ? 20000 : 200000);
    }
    struct slice text = slice_of((const char *)data, n);
    int64_t start = cpu_ms();
    if (load_and_call(text, text) == RC_BADINPUT) {
        int len = snprintf(body, sizeof body, "return function(req, config) %.*s\nend", SFMT(text));
        (void)load_and_call(slice_of(body, (size_t)len), text);
    }
    if (cpu_ms() - start > FUZZ_CPU_MS)
        fail("too slow", "");
    check_probe();
    return 0;
}
