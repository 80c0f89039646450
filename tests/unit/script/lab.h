/*
 * lab.h - what the tests of script/ share: run a text as a chunk, call its function, keep the answer.
 */
#ifndef UNIT_SCRIPT_LAB_H
#define UNIT_SCRIPT_LAB_H

#include "script/script.h"
#include "t.h"

struct lab {
    enum rc load, run;
    struct err err;
    char text[400]; /* first result as text; "nil", "true", "false", "table" for what has none */
    uint64_t instructions;
    size_t bytes;
};

static inline UNUSED void lab_result(struct lab *l, struct script_call *c)
{
    static const char *const words[] = {[SK_NIL] = "nil", [SK_TABLE] = "table", [SK_OTHER] = "other"};
    enum script_kind k = script_kind(c, 1);
    struct slice s = script_to_str(c, 1);
    if (k == SK_BOOL)
        snprintf(l->text, sizeof l->text, "%s", script_to_bool(c, 1) ? "true" : "false");
    else if (k == SK_NIL || k == SK_TABLE || k == SK_OTHER)
        snprintf(l->text, sizeof l->text, "%s", words[k]);
    else
        snprintf(l->text, sizeof l->text, "%.*s", (int)MIN(s.n, sizeof l->text - 1), s.p);
}

/* Calls a loaded function with one argument, a string. */
static inline UNUSED struct lab lab_call(struct script *s, int id, const char *arg)
{
    struct lab l = {.load = RC_OK};
    struct script_call *c = script_begin(s, id, NULL);
    script_str(c, slice_str(arg));
    l.run = script_run(c, 1, 1, &l.err);
    if (l.run == RC_OK)
        lab_result(&l, c);
    l.instructions = script_used_instructions(s);
    l.bytes = script_used_bytes(s);
    script_end(c);
    return l;
}

/* Loads text as "lab.lua", calls it once, unloads it. */
static inline UNUSED struct lab lab_in(struct script *s, const char *text, const char *arg)
{
    struct lab l = {.run = RC_BUG};
    int id = -1;
    l.load = script_load(s, "lab.lua", slice_str(text), &id, &l.err);
    if (l.load != RC_OK)
        return l;
    l = lab_call(s, id, arg);
    script_unload(s, id);
    return l;
}

/* The same in a state of its own; body stands inside `return function(arg) ... end`. */
static inline UNUSED struct lab lab_body(const char *body)
{
    char text[4000];
    struct script *s = script_open(NULL);
    snprintf(text, sizeof text, "return function(arg) %s end", body);
    struct lab l = lab_in(s, text, "x");
    script_close(s);
    return l;
}

#define LAB_TEXT(body, want)                                                                       \
    do {                                                                                           \
        struct lab lab_l = lab_body(body);                                                         \
        T_ROW("%.100s: %.50s", body, lab_l.err.text);                                              \
        T_TEXT(slice_str(lab_l.run == RC_OK ? lab_l.text : "(failed)"), want);                     \
    } while (0)

/* The call ends with this rc and a text that holds `part`. */
#define LAB_FAILS(body, want_rc, part)                                                             \
    do {                                                                                           \
        struct lab lab_l = lab_body(body);                                                         \
        T_ROW("%.100s: %.50s", body, lab_l.err.text);                                              \
        T_INT(lab_l.load ? lab_l.load : lab_l.run, want_rc);                                       \
        T(strstr(lab_l.err.text, part) != NULL);                                                   \
    } while (0)

#endif
