/*
 * boolexpr.c - recursive descent over booleanExpr, one function per level of precedence.
 * Tested by tests/unit/policy/test_boolexpr.c and fuzzed with whole policies.
 */
#include "policy/boolexpr.h"

enum { BOOLEXPR_TEXT_MAX = 4096, BOOLEXPR_DEPTH_MAX = 32 };

struct boolexpr_in {
    struct arena *arena;
    struct slice text;
    size_t at;
    int depth;
    bool_lookup_fn *lookup;
    const void *ctx;
    struct err *e;
};

static const struct bool_expr *boolexpr_or(struct boolexpr_in *in);

static bool boolexpr_word(char c)
{
    return ascii_alpha(c) || ascii_digit(c) || c == '_' || c == '-' || c == '.';
}

static void boolexpr_space(struct boolexpr_in *in)
{
    while (in->at < in->text.n && strchr(" \t\r\n", in->text.p[in->at]))
        in->at++;
}

static bool boolexpr_take(struct boolexpr_in *in, const char *sign)
{
    boolexpr_space(in);
    if (!slice_starts(slice_from(in->text, in->at), slice_str(sign)))
        return false;
    in->at += strlen(sign);
    return true;
}

static const struct bool_expr *boolexpr_fail(struct boolexpr_in *in, const char *expected)
{
    boolexpr_space(in);
    if (!in->e->text[0])
        (void)err_set(in->e, RC_BADINPUT, "expected %s at character %zu of \"%.*s\"", expected,
                      in->at + 1, SFMT(slice_sub(in->text, 0, 80)));
    return NULL;
}

static const struct bool_expr *boolexpr_node(struct boolexpr_in *in, enum bool_op op, size_t index,
                                             const struct bool_expr *l, const struct bool_expr *r)
{
    struct bool_expr *x = ARENA_NEW(in->arena, struct bool_expr);

    *x = (struct bool_expr){op, index, l, r};
    return x;
}

static const struct bool_expr *boolexpr_name(struct boolexpr_in *in)
{
    size_t from = in->at, index;
    struct slice name;

    while (in->at < in->text.n && boolexpr_word(in->text.p[in->at]))
        in->at++;
    name = slice_sub(in->text, from, in->at - from);
    if (name.n == 0)
        return boolexpr_fail(in, "the name of a step, ! or (");
    index = in->lookup(in->ctx, name);
    if (index == SIZE_MAX) {
        (void)err_set(in->e, RC_BADINPUT, "no step is named \"%.*s\"", SFMT(slice_sub(name, 0, 60)));
        return NULL;
    }
    return boolexpr_node(in, BOOL_NAME, index, NULL, NULL);
}

static const struct bool_expr *boolexpr_one(struct boolexpr_in *in)
{
    const struct bool_expr *x;

    if (++in->depth > BOOLEXPR_DEPTH_MAX)
        return boolexpr_fail(in, "at most 32 levels of ! and (");
    if (boolexpr_take(in, "!")) {
        x = boolexpr_one(in);
        x = x ? boolexpr_node(in, BOOL_NOT, 0, x, NULL) : NULL;
    } else if (boolexpr_take(in, "(")) {
        x = boolexpr_or(in);
        if (x && !boolexpr_take(in, ")"))
            x = boolexpr_fail(in, ")");
    } else {
        x = boolexpr_name(in);
    }
    in->depth--;
    return x;
}

static const struct bool_expr *boolexpr_row(struct boolexpr_in *in, enum bool_op op)
{
    const struct bool_expr *l = op == BOOL_OR ? boolexpr_row(in, BOOL_AND) : boolexpr_one(in);

    while (l && boolexpr_take(in, op == BOOL_OR ? "||" : "&&")) {
        const struct bool_expr *r = op == BOOL_OR ? boolexpr_row(in, BOOL_AND) : boolexpr_one(in);
        l = r ? boolexpr_node(in, op, 0, l, r) : NULL;
    }
    return l;
}

static const struct bool_expr *boolexpr_or(struct boolexpr_in *in)
{
    return boolexpr_row(in, BOOL_OR);
}

enum rc bool_parse(struct arena *a, struct slice text, bool_lookup_fn *lookup, const void *ctx,
                   const struct bool_expr **out, struct err *e)
{
    struct boolexpr_in in = {a, text, 0, 0, lookup, ctx, e};

    if (text.n > BOOLEXPR_TEXT_MAX)
        return err_set(e, RC_TOOBIG, "longer than %d bytes", BOOLEXPR_TEXT_MAX);
    *out = boolexpr_or(&in);
    boolexpr_space(&in);
    if (*out && in.at < text.n)
        *out = boolexpr_fail(&in, "||, && or the end");
    return *out ? RC_OK : RC_BADINPUT;
}
