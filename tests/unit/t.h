/*
 * t.h - the smallest test frame: a test program is a list of named functions.
 *
 *     static void parses_zero(void) { T(parse("0") == 0); }
 *     int main(void) { T_RUN(parses_zero); return t_done(); }
 *
 * Output: "ok NAME" or "not ok NAME - file:line: why", one line per test. A test goes on after a
 * failed check, so that one run shows all; only the first reason is printed, later ones are notes.
 * Exit status 1 when any failed or none ran. T_ROW names the row of a table that is being looked
 * at.
 */
#ifndef UNIT_T_H
#define UNIT_T_H

#include "base/slice.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    const char *name; /* of the running test */
    char row[160];    /* where in a table it is, or "" */
    char why[800];    /* first failure of the running test */
    int failures, run, failed;
} t_state UNUSED;

static inline UNUSED PRINTF_LIKE(3, 4) void t_fail(const char *file, int line, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (t_state.failures++ == 0)
        snprintf(t_state.why, sizeof t_state.why, "%s:%d: %s%s%s%s", file, line, text,
                 t_state.row[0] ? " [" : "", t_state.row, t_state.row[0] ? "]" : "");
    else if (t_state.failures < 20)
        printf("# %s:%d: %s %s\n", file, line, text, t_state.row);
}

/* The condition must hold. */
#define T(cond) ((cond) ? (void)0 : t_fail(__FILE__, __LINE__, "%s", #cond))
/* Two integers are equal; both are shown. */
#define T_INT(got, want)                                                                           \
    do {                                                                                           \
        long long t_got = (long long)(got), t_want = (long long)(want);                            \
        if (t_got != t_want)                                                                       \
            t_fail(__FILE__, __LINE__, "%s is %lld, not %lld", #got, t_got, t_want);               \
    } while (0)
/* A slice holds this text (a C string); both are shown. */
#define T_TEXT(got, want)                                                                          \
    do {                                                                                           \
        struct slice t_got = (got), t_want = slice_str(want);                                      \
        if (!slice_eq(t_got, t_want))                                                              \
            t_fail(__FILE__, __LINE__, "%s is \"%.*s\", not \"%.*s\"", #got,                       \
                   (int)MIN(t_got.n, (size_t)120), t_got.p ? t_got.p : "",                         \
                   (int)MIN(t_want.n, (size_t)120), t_want.p);                                     \
    } while (0)
/* Names the row of a table, for failures until the next T_ROW or the end of the test. */
#define T_ROW(...) ((void)snprintf(t_state.row, sizeof t_state.row, __VA_ARGS__))

static inline UNUSED void t_run(const char *name, void (*test)(void))
{
    t_state.name = name;
    t_state.failures = 0;
    t_state.row[0] = t_state.why[0] = '\0';
    test();
    t_state.run++;
    t_state.failed += t_state.failures ? 1 : 0;
    for (char *p = t_state.why; *p; p++)
        if ((unsigned char)*p < ' ' || (unsigned char)*p > '~')
            *p = '?';
    if (t_state.failures)
        printf("not ok %s - %s\n", name, t_state.why);
    else
        printf("ok %s\n", name);
    fflush(stdout);
}
#define T_RUN(test) t_run(#test, test)

/* A test that cannot run here (a missing file, an old kernel). */
static inline UNUSED void t_skip(const char *name, const char *why)
{
    printf("skip %s - %s\n", name, why);
    t_state.run++;
}

static inline UNUSED int t_done(void)
{
    return t_state.failed > 0 || t_state.run == 0 ? 1 : 0;
}

#endif
