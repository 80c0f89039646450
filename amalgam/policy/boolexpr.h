/*
 * boolexpr.h - booleanExpr of an ext-auth policy: names of steps joined by ||, &&, ! and parentheses.
 *
 * || binds weakest, ! strongest, as in C; evaluation is from left to right and stops when the value is
 * known. A name is a step's name (letters, digits, _ - .). Bounded: 4096 bytes, depth 32.
 * Pure; the tree lives in the arena given. Errors: RC_BADINPUT with what was found where.
 */
#ifndef POLICY_BOOLEXPR_H
#define POLICY_BOOLEXPR_H

#include "base/arena.h"
#include "base/err.h"

enum bool_op { BOOL_NAME, BOOL_NOT, BOOL_AND, BOOL_OR };
struct bool_expr {
    enum bool_op op;
    size_t index; /* BOOL_NAME: as lookup said */
    const struct bool_expr *left, *right; /* BOOL_NOT: left only */
};
/* Index of a name, or SIZE_MAX. */
typedef size_t bool_lookup_fn(const void *ctx, struct slice name);
FN enum rc bool_parse(struct arena *a, struct slice text, bool_lookup_fn *lookup, const void *ctx,
                      const struct bool_expr **out, struct err *e) MUST_CHECK;

#endif
