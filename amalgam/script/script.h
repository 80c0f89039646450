/*
 * script.h - Lua 5.4 states in a sandbox with budgets, behind protected calls.
 *
 * Lua's longjmp never crosses this file. What a script may see: base functions without load,
 * dofile, require, collectgarbage; string (pattern functions replaced by ones on bounded matching),
 * table, math (without random seed), utf8, os.time/os.date/os.clock only. No io, debug, package,
 * coroutine.
 * Budgets per call: instructions (hook) and memory (allocator), and C loops (string.rep,
 * table.concat, patterns) are bounded as well. The error of a budget cannot be caught by pcall.
 * A call cannot leak into the next: globals are read-only, each chunk has its own environment, and
 * a function that uses locals of its chunk gets them fresh for each call (the chunk is run again).
 *
 * Host functions are rows written against struct script_call, so that no other room needs lua.h.
 * Errors: RC_BADINPUT for syntax (place "name:line"), RC_TOOBIG for a budget, RC_BUG for a runtime
 * error, RC_AGAIN after script_wait; text carries name and line. Threads: a state belongs to one thread.
 */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include "base/arena.h"
#include "base/err.h"

struct script;      /* a Lua state */
struct script_call; /* a call in progress, seen from a host function or from the caller */

struct script_budget {
    uint64_t instructions; /* default 1,000,000 */
    size_t memory_bytes;   /* default 4 MiB above what the loaded chunks hold */
};
struct script_fn {
    const char *name; /* "json.decode": nested names make tables */
    const char *doc;  /* one line for the manual */
    /* Returns the number of results pushed, or script_fail. Must not call script_begin. */
    int (*fn)(struct script_call *c, void *ctx);
};

FN struct script *script_open(const struct script_budget *b);
FN void script_close(struct script *s);
/* Adds host functions under a global table `lib` ("postern"). The rows must live as long as s. */
FN void script_lib(struct script *s, const char *lib, const struct script_fn *rows, size_t n,
                   void *ctx);

/* Compiles text (at most 256 KiB) and runs it once, within the budgets; it must return a function,
 * which is kept under the id given back. Host functions called meanwhile see a NULL script_user. */
FN enum rc script_load(struct script *s, const char *name, struct slice text, int *id,
                       struct err *e) MUST_CHECK;
FN void script_unload(struct script *s, int id) UNUSED;

/* A call: begin, push arguments, run, read results, end. Results are valid until script_end.
 *     c = script_begin(s, id, ctx); script_table(c) ...; rc = script_run(c, nargs, nresults, e);
 * An argument that does not fit the memory budget becomes nil, and script_run says RC_TOOBIG. */
FN struct script_call *script_begin(struct script *s, int id, void *user);
FN enum rc script_run(struct script_call *c, int args, int results, struct err *e) MUST_CHECK;
FN void script_end(struct script_call *c);
/* From a host function that has to wait for something: the call ends here, nothing in the script can
 * catch it, and script_run says RC_AGAIN. The caller makes the call again when the thing is there. */
FN void script_wait(struct script_call *c);
/* Before script_run: os.time and os.date stand at wall_ms, os.clock at 0, math.random starts from seed: a
 * call that is made again sees the same. */
FN void script_fix(struct script_call *c, int64_t wall_ms, uint64_t seed);
/* What script_begin was given, also inside host functions. */
FN void *script_user(struct script_call *c);

/* Pushing never raises: a host function may hold a lock or a buffer meanwhile. Tables:
 * script_table, then (push value, script_set) or (push value, script_append). */
FN void script_nil(struct script_call *c) UNUSED;
FN void script_bool(struct script_call *c, bool b);
FN void script_int(struct script_call *c, int64_t n);
FN void script_num(struct script_call *c, double d) UNUSED;
FN void script_str(struct script_call *c, struct slice s);
FN void script_table(struct script_call *c);
/* With room for so many items and fields at once. */
FN void script_table_sized(struct script_call *c, int items, int fields) UNUSED;
FN void script_set(struct script_call *c, struct slice name); /* pops the value, into the table */
/* The same with a name that is a literal of the program: Lua remembers literals by their address. */
FN void script_set_literal(struct script_call *c, const char *name);
FN void script_append(struct script_call *c) UNUSED;
/* A table that is made when a script looks at it: get pushes the value of one name, or says false; fill
 * pushes the whole table. Both are called within script_run, with its user. Rows are constant. */
struct script_lazy {
    bool (*get)(struct script_call *c, struct slice name);
    void (*fill)(struct script_call *c);
};
FN void script_push_lazy(struct script_call *c, const struct script_lazy *row);
FN int script_fail(struct script_call *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Reading arguments or results; i counts from 1, negative from the top. No metamethods run. */
enum script_kind { SK_NIL, SK_BOOL, SK_INT, SK_NUM, SK_STR, SK_TABLE, SK_OTHER };
FN int script_count(struct script_call *c);
FN enum script_kind script_kind(struct script_call *c, int i);
FN bool script_to_bool(struct script_call *c, int i);
FN int64_t script_to_int(struct script_call *c, int i, int64_t otherwise);
FN double script_to_num(struct script_call *c, int i, double otherwise) UNUSED;
FN struct slice script_to_str(struct script_call *c, int i); /* "" when no string or number */
/* Pushes table[i].name or table[i][k]; script_pop drops. */
FN enum script_kind script_field(struct script_call *c, int i, struct slice name);
FN enum script_kind script_item(struct script_call *c, int i, int64_t k) UNUSED;
FN int64_t script_len(struct script_call *c, int i) UNUSED;
/* Iterates string-keyed members: start with script_nil pushed; each true leaves key and value on
 * top, and script_pop(c, 1) drops the value before the next; false at the end, nothing left. */
FN bool script_next(struct script_call *c, int table);
FN void script_pop(struct script_call *c, int n);

/* Of the last call: instructions in steps of 250 and what C functions were charged; the most memory
 * above what the loaded chunks hold. */
FN uint64_t script_used_instructions(const struct script *s) UNUSED;
FN size_t script_used_bytes(const struct script *s) UNUSED;

#endif
