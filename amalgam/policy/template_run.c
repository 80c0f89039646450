/*
 * template_run.c - a compiled template and a run -> text.
 *
 * A walk over the tree. Every node costs a step, every byte made costs memory of the run's budget, and
 * work that grows with the data (comparing, searching) is charged for; so a template ends whatever
 * the request holds. Called while a request is decided, in any thread. Names are looked up in the
 * loops around, then in what {% set %} made, then in run->root.
 * Tested by tests/unit/policy/test_template.c, fuzzed by tests/fuzz/fuzz_template.c.
 */
#include "policy/template_inside.h"

#include <math.h>
#include <stdio.h>

enum {
    TEMPLATE_RUN_STEPS = 50000,
    TEMPLATE_RUN_BYTES = 1 << 20,
    TEMPLATE_RUN_OUTPUT = 64 << 10,
    TEMPLATE_RUN_JSON_MAX = 256 << 10,
    TEMPLATE_RUN_DEPTH = 60
};

struct template_local { /* a variable */
    struct slice name;
    struct json value;
    struct template_local *next;
};
struct template_out { /* what has been written */
    char *p;
    size_t n, cap;
};

/* ---- budgets ---- */

void template_start(struct template_run *r)
{
    r->steps = TEMPLATE_RUN_STEPS;
    r->bytes = TEMPLATE_RUN_BYTES;
    if (r->output_max_bytes == 0)
        r->output_max_bytes = TEMPLATE_RUN_OUTPUT;
    r->locals = r->sets = NULL;
    r->randoms = NULL;
    r->rc = RC_OK;
    r->missing = false;
    r->why[0] = '\0';
}

bool template_fail(struct template_run *r, enum rc rc, const char *fmt, ...)
{
    va_list ap;

    r->rc = rc;
    va_start(ap, fmt);
    vsnprintf(r->why, sizeof r->why, fmt, ap);
    va_end(ap);
    return false;
}

bool template_charge(struct template_run *r, size_t steps)
{
    if (steps >= r->steps) {
        r->steps = 0;
        return template_fail(r, RC_TOOBIG, "the template took too many steps");
    }
    r->steps -= steps;
    return true;
}

char *template_take(struct template_run *r, size_t n)
{
    if (n > r->bytes) {
        (void)template_fail(r, RC_TOOBIG, "the template used too much memory");
        return NULL;
    }
    r->bytes -= n;
    return arena_alloc(r->arena, n + 1);
}

/* ---- looking up ---- */

struct slice template_part(struct slice *path)
{
    for (size_t i = 0; i < path->n; i++)
        if (path->p[i] == '.' || path->p[i] == '/') {
            struct slice head = slice_sub(*path, 0, i);
            *path = slice_from(*path, i + 1);
            return head;
        }
    struct slice head = *path;
    *path = S("");
    return head;
}

const struct json *template_child(struct template_run *r, const struct json *v, struct slice part)
{
    uint64_t i;

    if (v->kind == JSON_OBJ)
        return template_charge(r, v->n / 8) ? json_get(v, part) : NULL;
    if (v->kind == JSON_ARR && slice_u64(part, &i) && i < v->n)
        return &v->items[i];
    return NULL;
}

static const struct json *template_run_local(const struct template_local *l, struct slice name)
{
    for (; l; l = l->next)
        if (slice_eq(l->name, name))
            return &l->value;
    return NULL;
}

const struct json *template_lookup(struct template_run *r, struct slice path)
{
    struct slice rest = path, head = template_part(&rest);
    const struct json *v = template_run_local(r->locals, head);

    if (!v)
        v = template_run_local(r->sets, head);
    if (!v && r->root && r->root->kind == JSON_OBJ)
        v = template_child(r, r->root, head);
    while (v && rest.n > 0) {
        head = template_part(&rest);
        v = template_child(r, v, head);
    }
    return v;
}

static bool template_run_name(struct template_run *r, struct slice path, struct json *out)
{
    const struct json *v = template_lookup(r, path);

    if (v) {
        *out = *v;
        return true;
    }
    if (r->rc == RC_OK) {
        r->missing = true;
        return template_fail(r, RC_BADINPUT, "nothing is named \"%.*s\"", SFMT(slice_sub(path, 0, 60)));
    }
    return false;
}

/* ---- comparing ---- */

static bool template_run_number(const struct json *j, double *d)
{
    if (j->kind == JSON_INT)
        *d = (double)j->i;
    else if (j->kind == JSON_UINT)
        *d = (double)j->u;
    else if (j->kind == JSON_REAL)
        *d = j->d;
    else
        return false;
    return true;
}

static bool template_run_equal_parts(struct template_run *r, const struct json *a, const struct json *b,
                                     bool *out)
{
    *out = a->n == b->n;
    for (uint32_t i = 0; i < a->n && *out; i++) {
        const struct json *x, *y;
        if (a->kind == JSON_ARR) {
            x = &a->items[i];
            y = &b->items[i];
        } else {
            x = &a->members[i].value;
            y = template_child(r, b, a->members[i].name);
            if (!y) {
                *out = false;
                return r->rc == RC_OK;
            }
        }
        if (!template_equal(r, x, y, out))
            return false;
    }
    return true;
}

bool template_equal(struct template_run *r, const struct json *a, const struct json *b, bool *out)
{
    double x, y;

    if (!template_charge(r, 1))
        return false;
    *out = false;
    if (template_run_number(a, &x) && template_run_number(b, &y)) {
        bool whole = a->kind == JSON_INT && b->kind == JSON_INT;
        *out = whole ? a->i == b->i : x == y;
        return true;
    }
    if (a->kind != b->kind)
        return true;
    switch (a->kind) {
    case JSON_NULL: *out = true; return true;
    case JSON_BOOL: *out = a->b == b->b; return true;
    case JSON_STR:
        *out = slice_eq(a->s, b->s);
        return template_charge(r, *out ? a->s.n / 256 : 0);
    case JSON_ARR:
    case JSON_OBJ: return template_run_equal_parts(r, a, b, out);
    default: return true;
    }
}

bool template_order(struct template_run *r, const struct json *a, const struct json *b, int *out)
{
    double x, y;

    if (!template_charge(r, 1))
        return false;
    if (template_run_number(a, &x) && template_run_number(b, &y)) {
        bool whole = a->kind == JSON_INT && b->kind == JSON_INT;
        *out = whole ? (a->i > b->i) - (a->i < b->i) : (x > y) - (x < y);
        return true;
    }
    if (a->kind != JSON_STR || b->kind != JSON_STR)
        return template_fail(r, RC_BADINPUT, "only numbers, or texts, have an order");
    *out = slice_cmp(a->s, b->s);
    *out = (*out > 0) - (*out < 0);
    return template_charge(r, MIN(a->s.n, b->s.n) / 256);
}

static bool template_run_true(const struct json *j)
{
    double d;

    if (template_run_number(j, &d))
        return d != 0;
    if (j->kind == JSON_BOOL)
        return j->b;
    if (j->kind == JSON_STR)
        return j->s.n > 0;
    return j->kind != JSON_NULL && j->n > 0;
}

/* ---- expressions ---- */

static bool template_run_expr(struct template_run *r, const struct template_expr *x, struct json *out);

static bool template_run_concat(struct template_run *r, struct slice a, struct slice b, struct json *out)
{
    char *p = template_take(r, a.n + b.n);

    if (!p)
        return false;
    if (a.n)
        memcpy(p, a.p, a.n);
    if (b.n)
        memcpy(p + a.n, b.p, b.n);
    *out = (struct json){.kind = JSON_STR, .s = {p, a.n + b.n}};
    return true;
}

static bool template_run_ints(enum template_op op, int64_t a, int64_t b, int64_t *out)
{
    switch (op) {
    case TOP_ADD: return !__builtin_add_overflow(a, b, out);
    case TOP_SUB: return !__builtin_sub_overflow(a, b, out);
    case TOP_MUL: return !__builtin_mul_overflow(a, b, out);
    default: return false;
    }
}

static bool template_run_arith(struct template_run *r, enum template_op op, const struct json *a,
                               const struct json *b, struct json *out)
{
    bool whole = a->kind == JSON_INT && b->kind == JSON_INT;
    double x = 0, y = 0, z = 0;

    if (op == TOP_ADD && a->kind == JSON_STR && b->kind == JSON_STR)
        return template_run_concat(r, a->s, b->s, out);
    if (!template_run_number(a, &x) || !template_run_number(b, &y))
        return template_fail(r, RC_BADINPUT, "arithmetic with what is no number");
    if ((op == TOP_DIV || op == TOP_MOD) && y == 0)
        return template_fail(r, RC_BADINPUT, "division by zero");
    *out = (struct json){.kind = JSON_INT};
    if (op == TOP_MOD) {
        if (!whole)
            return template_fail(r, RC_BADINPUT, "%% needs whole numbers");
        out->i = b->i == -1 ? 0 : a->i % b->i;
        return true;
    }
    if (whole && template_run_ints(op, a->i, b->i, &out->i))
        return true;
    switch (op) {
    case TOP_ADD: z = x + y; break;
    case TOP_SUB: z = x - y; break;
    case TOP_MUL: z = x * y; break;
    case TOP_DIV: z = x / y; break;
    default: z = pow(x, y); break;
    }
    if (op == TOP_POW && whole && b->i >= 0 && fabs(z) < 9e15)
        out->i = (int64_t)z;
    else
        *out = (struct json){.kind = JSON_REAL, .d = z};
    return true;
}

static bool template_run_in(struct template_run *r, const struct json *a, const struct json *b,
                            struct json *out)
{
    bool found = false;

    if (b->kind != JSON_ARR && b->kind != JSON_OBJ)
        return template_fail(r, RC_BADINPUT, "in needs a list");
    for (uint32_t i = 0; i < b->n && !found; i++)
        if (!template_equal(r, a, b->kind == JSON_ARR ? &b->items[i] : &b->members[i].value, &found))
            return false;
    *out = (struct json){.kind = JSON_BOOL, .b = found};
    return true;
}

static bool template_run_compare(struct template_run *r, enum template_op op, const struct json *a,
                                 const struct json *b, struct json *out)
{
    bool same = false;
    int order = 0;

    if (op == TOP_IN)
        return template_run_in(r, a, b, out);
    *out = (struct json){.kind = JSON_BOOL};
    if (op == TOP_EQ || op == TOP_NE) {
        if (!template_equal(r, a, b, &same))
            return false;
        out->b = same == (op == TOP_EQ);
        return true;
    }
    if (!template_order(r, a, b, &order))
        return false;
    out->b = op == TOP_LT ? order < 0 : op == TOP_LE ? order <= 0 : op == TOP_GT ? order > 0 : order >= 0;
    return true;
}

static bool template_run_two(struct template_run *r, const struct template_expr *x, struct json *out)
{
    struct json a = {.kind = JSON_NULL}, b = a;

    if (!template_run_expr(r, x->args[0], &a))
        return false;
    if (x->op == TOP_OR || x->op == TOP_AND) {
        bool left = template_run_true(&a);
        if (left == (x->op == TOP_AND)) {
            if (!template_run_expr(r, x->args[1], &b))
                return false;
            left = template_run_true(&b);
        }
        *out = (struct json){.kind = JSON_BOOL, .b = left};
        return true;
    }
    if (!template_run_expr(r, x->args[1], &b))
        return false;
    return x->op >= TOP_ADD ? template_run_arith(r, x->op, &a, &b, out)
                            : template_run_compare(r, x->op, &a, &b, out);
}

/* default(a, b): b when a is a name that is not there. The only function that sees its arguments
 * before they have values. */
static bool template_run_default(struct template_run *r, const struct template_expr *x, struct json *out)
{
    if (template_run_expr(r, x->args[0], out))
        return true;
    if (!r->missing)
        return false;
    r->missing = false;
    r->rc = RC_OK;
    return template_run_expr(r, x->args[1], out);
}

static bool template_run_call(struct template_run *r, const struct template_expr *x, struct json *out)
{
    struct json args[4] = {{.kind = JSON_NULL}};

    if (!x->fn->run)
        return template_run_default(r, x, out);
    for (size_t i = 0; i < x->n; i++)
        if (!template_run_expr(r, x->args[i], &args[i]))
            return false;
    *out = (struct json){.kind = JSON_NULL};
    return template_charge(r, 4) && x->fn->run(r, args, x->n, out);
}

static bool template_run_list(struct template_run *r, const struct template_expr *x, struct json *out)
{
    size_t size = x->op == TOP_LIST ? sizeof *out->items : sizeof *out->members;
    void *p = template_take(r, (x->n + 1) * size);

    if (!p)
        return false;
    *out = (struct json){.kind = x->op == TOP_LIST ? JSON_ARR : JSON_OBJ, .n = (uint32_t)x->n};
    if (x->op == TOP_LIST)
        out->items = p;
    else
        out->members = p;
    for (size_t i = 0; i < x->n; i++) {
        struct json *to = x->op == TOP_LIST ? &out->items[i] : &out->members[i].value;
        if (x->op == TOP_OBJECT)
            out->members[i].name = x->keys[i];
        if (!template_run_expr(r, x->args[i], to))
            return false;
    }
    return true;
}

static bool template_run_expr(struct template_run *r, const struct template_expr *x, struct json *out)
{
    static const struct json minus_one = {.kind = JSON_INT, .i = -1};
    struct json a = {.kind = JSON_NULL};

    if (!template_charge(r, 1))
        return false;
    switch (x->op) {
    case TOP_CONST: *out = x->value; return true;
    case TOP_NAME: return template_run_name(r, x->name, out);
    case TOP_CALL: return template_run_call(r, x, out);
    case TOP_LIST:
    case TOP_OBJECT: return template_run_list(r, x, out);
    case TOP_NOT:
        if (!template_run_expr(r, x->args[0], &a))
            return false;
        *out = (struct json){.kind = JSON_BOOL, .b = !template_run_true(&a)};
        return true;
    case TOP_MINUS_ONE:
        return template_run_expr(r, x->args[0], &a) && template_run_arith(r, TOP_MUL, &a, &minus_one, out);
    default: return template_run_two(r, x, out);
    }
}

/* ---- writing ---- */

static bool template_run_put(struct template_run *r, struct template_out *o, struct slice s)
{
    if (s.n > r->output_max_bytes - o->n)
        return template_fail(r, RC_TOOBIG, "the template wrote more than %zu bytes", r->output_max_bytes);
    if (o->n + s.n > o->cap) {
        size_t cap = MAX(o->cap * 2, o->n + s.n + 64);
        char *bigger = template_take(r, cap);
        if (!bigger)
            return false;
        if (o->n)
            memcpy(bigger, o->p, o->n);
        o->p = bigger;
        o->cap = cap;
    }
    if (s.n)
        memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
    return true;
}

/* {% set a = [a] %} in a loop would nest without end, and values are walked by recursion. */
static bool template_run_shallow(struct template_run *r, const struct json *v, int left)
{
    if (v->kind != JSON_ARR && v->kind != JSON_OBJ)
        return true;
    if (left == 0)
        return template_fail(r, RC_TOOBIG, "a value nested deeper than %d levels", TEMPLATE_RUN_DEPTH);
    if (!template_charge(r, 1 + v->n / 8))
        return false;
    for (uint32_t i = 0; i < v->n; i++)
        if (!template_run_shallow(r, v->kind == JSON_ARR ? &v->items[i] : &v->members[i].value, left - 1))
            return false;
    return true;
}

/* Lists, objects and numbers as JSON has them. */
static bool template_run_json(struct template_run *r, const struct json *v, struct slice *out)
{
    struct buf b;
    struct jsonw w;
    char *p = NULL;

    if (!template_run_shallow(r, v, TEMPLATE_RUN_DEPTH))
        return false;
    buf_init(&b, TEMPLATE_RUN_JSON_MAX);
    jsonw_init(&w, &b);
    jsonw_value(&w, v);
    if (buf_over(&b))
        (void)template_fail(r, RC_TOOBIG, "a value of more than %d bytes", TEMPLATE_RUN_JSON_MAX);
    else
        p = template_take(r, b.n);
    if (p) {
        if (b.n)
            memcpy(p, b.p, b.n);
        *out = slice_of(p, b.n);
    }
    buf_free(&b);
    return p && template_charge(r, out->n / 64);
}

bool template_text(struct template_run *r, const struct json *v, struct slice *out)
{
    switch (v->kind) {
    case JSON_NULL: *out = S(""); return true;
    case JSON_BOOL: *out = v->b ? S("true") : S("false"); return true;
    case JSON_STR: *out = v->s; return true;
    default: return template_run_json(r, v, out);
    }
}

static bool template_run_print(struct template_run *r, struct template_out *o, const struct json *v)
{
    struct slice s;
    bool ok = v->kind == JSON_STR && r->escape ? template_run_json(r, v, &s) : template_text(r, v, &s);

    if (ok && v->kind == JSON_STR && r->escape)
        s = slice_sub(s, 1, s.n - 2); /* without its quotes */
    return ok && template_run_put(r, o, s);
}

/* ---- statements ---- */

static bool template_run_block(struct template_run *r, const struct template_stmt *s, struct template_out *o);

static bool template_run_set(struct template_run *r, const struct template_stmt *s)
{
    struct template_local *l;
    struct json v = {.kind = JSON_NULL};

    if (!template_run_expr(r, s->e, &v) || !template_run_shallow(r, &v, TEMPLATE_RUN_DEPTH))
        return false;
    for (l = r->sets; l; l = l->next)
        if (slice_eq(l->name, s->text)) {
            l->value = v;
            return true;
        }
    l = (void *)template_take(r, sizeof *l);
    if (!l)
        return false;
    *l = (struct template_local){s->text, v, r->sets};
    r->sets = l;
    return true;
}

/* What `loop` is: index, index1, is_first, is_last, and parent inside another loop. */
enum { TEMPLATE_RUN_LOOP = 5 };
static void template_run_loop(struct json_member *m, struct json *loop, uint32_t i, uint32_t n,
                              const struct json *parent)
{
    m[0] = (struct json_member){S("index"), {.kind = JSON_INT, .i = i}};
    m[1] = (struct json_member){S("index1"), {.kind = JSON_INT, .i = i + 1}};
    m[2] = (struct json_member){S("is_first"), {.kind = JSON_BOOL, .b = i == 0}};
    m[3] = (struct json_member){S("is_last"), {.kind = JSON_BOOL, .b = i + 1 == n}};
    if (parent)
        m[4] = (struct json_member){S("parent"), *parent};
    *loop = (struct json){.kind = JSON_OBJ, .n = parent ? 5 : 4, .members = m};
}

static bool template_run_for(struct template_run *r, const struct template_stmt *s, struct template_out *o)
{
    struct json_member *members; /* {% set %} may keep it */
    struct template_local *outer = r->locals;
    const struct json *parent = template_run_local(outer, S("loop"));
    struct template_local loop = {S("loop"), {.kind = JSON_NULL}, outer}, value = {s->text, {.kind = JSON_NULL}, &loop};
    struct template_local key = {s->key, {.kind = JSON_NULL}, &value};
    struct json over = {.kind = JSON_NULL};
    bool ok = true, keyed = s->key.n > 0;

    if (!template_run_expr(r, s->e, &over))
        return false;
    if (over.kind != (keyed ? JSON_OBJ : JSON_ARR))
        return template_fail(r, RC_BADINPUT, keyed ? "for k, v in needs an object" : "for in needs a list");
    members = (void *)template_take(r, TEMPLATE_RUN_LOOP * sizeof *members);
    if (!members)
        return false;
    r->locals = keyed ? &key : &value;
    for (uint32_t i = 0; ok && i < over.n; i++) {
        template_run_loop(members, &loop.value, i, over.n, parent);
        value.value = keyed ? over.members[i].value : over.items[i];
        if (keyed)
            key.value = (struct json){.kind = JSON_STR, .s = over.members[i].name};
        ok = template_charge(r, 1) && template_run_block(r, s->body, o);
    }
    r->locals = outer;
    return ok;
}

static bool template_run_stmt(struct template_run *r, const struct template_stmt *s, struct template_out *o)
{
    struct json v = {.kind = JSON_NULL};

    switch (s->kind) {
    case TK_TEXT: return template_run_put(r, o, s->text);
    case TK_PRINT: return template_run_expr(r, s->e, &v) && template_run_print(r, o, &v);
    case TK_SET: return template_run_set(r, s);
    case TK_FOR: return template_run_for(r, s, o);
    default:
        if (!template_run_expr(r, s->e, &v))
            return false;
        return template_run_block(r, template_run_true(&v) ? s->body : s->otherwise, o);
    }
}

static bool template_run_block(struct template_run *r, const struct template_stmt *s, struct template_out *o)
{
    for (; s; s = s->next)
        if (!template_charge(r, 1) || !template_run_stmt(r, s, o))
            return false;
    return true;
}

/* `{{ name }}` or plain text alone, by far the most: nothing is copied. */
static bool template_run_alone(const struct template *t, struct template_run *r, struct slice *out, bool *ok)
{
    const struct template_stmt *s = t->body;
    struct json v = {.kind = JSON_NULL};

    if (s->next || (s->kind != TK_TEXT && (s->kind != TK_PRINT || r->escape)))
        return false;
    *out = s->text;
    *ok = s->kind == TK_TEXT || (template_run_expr(r, s->e, &v) && template_text(r, &v, out));
    if (*ok && out->n > r->output_max_bytes)
        *ok = template_fail(r, RC_TOOBIG, "the template wrote more than %zu bytes", r->output_max_bytes);
    return true;
}

enum rc template_render(const struct template *t, struct template_run *r, struct slice *out)
{
    struct template_out o = {NULL, 0, 0};
    bool ok = true;

    *out = S("");
    r->rc = RC_OK;
    r->missing = false;
    r->locals = r->sets = NULL;
    if (!t->body)
        return RC_OK;
    if (!template_run_alone(t, r, out, &ok)) {
        ok = template_run_block(r, t->body, &o);
        *out = slice_of(o.p ? o.p : "", o.n);
    }
    if (!ok)
        *out = S("");
    return ok ? RC_OK : r->rc;
}
