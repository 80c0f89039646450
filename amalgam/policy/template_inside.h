/*
 * template_inside.h - what template.c makes and template_run.c walks: the tree of a template.
 */
#ifndef POLICY_TEMPLATE_INSIDE_H
#define POLICY_TEMPLATE_INSIDE_H

#include "policy/template.h"

enum template_op {
    TOP_CONST, TOP_NAME, TOP_CALL, TOP_LIST, TOP_OBJECT, TOP_NOT, TOP_MINUS_ONE,
    TOP_OR, TOP_AND, TOP_EQ, TOP_NE, TOP_LT, TOP_LE, TOP_GT, TOP_GE, TOP_IN,
    TOP_ADD, TOP_SUB, TOP_MUL, TOP_DIV, TOP_MOD, TOP_POW,
};
struct template_expr {
    enum template_op op;
    struct json value;        /* TOP_CONST */
    struct slice name;        /* TOP_NAME: the path as written */
    const struct template_fn *fn;
    struct template_expr **args; /* operands, arguments, items; of an object its values */
    struct slice *keys;          /* TOP_OBJECT */
    size_t n;
};
enum template_kind { TK_TEXT, TK_PRINT, TK_IF, TK_FOR, TK_SET };
struct template_stmt {
    enum template_kind kind;
    struct slice text;       /* TK_TEXT; name of TK_SET; value's name of TK_FOR */
    struct slice key;        /* key's name of TK_FOR, or "" */
    struct template_expr *e; /* printed, condition, what is walked, value */
    struct template_stmt *body, *otherwise, *next;
};
struct template {
    struct template_stmt *body;
    unsigned needs;
};

FN const struct template_fn *template_fn_find(struct slice name);
/* Up to the next '.' or '/' of a path. */
FN struct slice template_part(struct slice *path);
FN const struct json *template_child(struct template_run *r, const struct json *v, struct slice part);
FN const struct json *template_lookup(struct template_run *r, struct slice path); /* NULL: not there */
FN bool template_equal(struct template_run *r, const struct json *a, const struct json *b, bool *out);
/* -1, 0 or 1; false: they have no order, and it has failed. */
FN bool template_order(struct template_run *r, const struct json *a, const struct json *b, int *out);

#endif
