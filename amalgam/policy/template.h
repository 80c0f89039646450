/*
 * template.h - small texts with holes: the language of Inja 3, as transformation policies use it.
 *
 * {{ expression }}   {% if e %} {% else if e %} {% else %} {% endif %}   {% for x in e %} {% endfor %}
 * {% for k, v in e %}   {% set name = e %}   {# comment #}   a '-' inside a brace trims white space.
 * Expressions: texts, numbers, true, false, null, lists, objects, names (a.b.0 or a/b/0), calls f(x),
 * x | f, not, and, or, in, == != < <= > >=, + - * / % ^. Not there, and refused when compiled: include,
 * extends, block, line statements (##).
 *
 * Compiled once, into the arena given; then read-only and shared by threads. A run has budgets for
 * steps, memory and output, shared by all templates that it renders: what goes over them fails with
 * RC_TOOBIG, what has no meaning (a name that is not there, a text minus a list) with RC_BADINPUT and
 * run->why. Values are struct json. Strings may point into what the caller gave; all else is in the
 * run's arena. Pure but for the caller's functions. Tested by tests/unit/policy/test_template.c and
 * fuzzed by tests/fuzz/fuzz_template.c. Manual: docs/step-transformation.md.
 */
#ifndef POLICY_TEMPLATE_H
#define POLICY_TEMPLATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "wire/json.h"

struct template;
struct template_local;
struct template_random;

struct template_run { /* arena is required, the rest may be zero; template_start sets the budgets */
    struct arena *arena;
    const struct json *root; /* an object: where names are looked up; or NULL */
    bool escape;             /* texts are written as they would stand in JSON */
    void *ctx;               /* for the caller's functions */
    size_t output_max_bytes;
    /* the engine's own */
    size_t steps, bytes;
    bool missing; /* the failure is a name that is not there */
    enum rc rc;
    struct template_local *locals, *sets;
    struct template_random *randoms;
    char why[200];
};

struct template_fn {
    const char *name;
    int args_min, args_max;
    /* n is within the bounds. False: template_fail has been called. */
    bool (*run)(struct template_run *r, const struct json *args, size_t n, struct json *out);
    unsigned needs;      /* bits that template_needs gathers */
    const char *refused; /* NULL, or why no template may call it */
    const char *doc;     /* one line for the manual */
};
enum { TEMPLATE_NEEDS_NAMES = 1 }; /* a name that the template does not set itself */
struct template_opts {
    const struct template_fn *fns; /* the caller's, before the core's */
    size_t fns_n;
};

/* e->place is "line:column" in text. */
FN enum rc template_compile(struct arena *a, struct slice text, const struct template_opts *o,
                            const struct template **out, struct err *e) MUST_CHECK;
FN unsigned template_needs(const struct template *t);
FN void template_start(struct template_run *r);
FN enum rc template_render(const struct template *t, struct template_run *r, struct slice *out) MUST_CHECK;
FN const struct template_fn *template_fn_at(size_t i); /* the core's, for the manual; NULL beyond the last */

/* For functions: always false. */
FN bool template_fail(struct template_run *r, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
FN bool template_charge(struct template_run *r, size_t steps); /* false: used up, has failed */
FN char *template_take(struct template_run *r, size_t n);      /* memory; NULL: used up, has failed */
/* The text that {{ v }} would write, unescaped. */
FN bool template_text(struct template_run *r, const struct json *v, struct slice *out);

#endif
