/*
 * template.c - the text of a template -> its tree.
 *
 * One pass by recursive descent, bounded in depth and in nodes. The first fault ends it, with the line
 * and column where it was seen. Called when policies are loaded. Owns nothing: the tree is in the
 * caller's arena and points into the text. Tested by tests/unit/policy/test_template.c.
 */
#include "policy/template_inside.h"

#include "base/nearest.h"

#include <stdio.h>

enum {
    TEMPLATE_TEXT_MAX = 256 << 10,
    TEMPLATE_DEPTH_MAX = 40,
    TEMPLATE_NODES_MAX = 20000,
    TEMPLATE_ARGS_MAX = 64,
    TEMPLATE_NAME_MAX = 256
};

enum template_tok { TT_END, TT_CLOSE, TT_NAME, TT_NUMBER, TT_TEXT, TT_OP };
struct template_bound { /* names that the template sets itself */
    struct slice name;
    struct template_bound *next;
};
struct template_parse {
    struct arena *arena;
    const struct template_opts *o;
    struct slice text;
    size_t at;             /* behind the token */
    enum template_tok tok; /* inside braces */
    struct slice word;
    const char *close;     /* "}}" or "%}" */
    int braces;            /* of objects that are open */
    bool trim;             /* the text that follows loses its white space in front */
    unsigned needs;
    int depth;
    size_t nodes;
    struct template_bound *bound;
    struct err *e;
    bool failed;
};

/* ---- faults ---- */

static void template_place(const struct template_parse *p, size_t at, char *dst, size_t cap)
{
    size_t line = 1, col = 1;

    for (size_t i = 0; i < at && i < p->text.n; i++) {
        line += p->text.p[i] == '\n';
        col = p->text.p[i] == '\n' ? 1 : col + 1;
    }
    snprintf(dst, cap, "%zu:%zu", line, col);
}

static void template_fault(struct template_parse *p, enum rc rc, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void template_fault(struct template_parse *p, enum rc rc, const char *fmt, ...)
{
    char words[300], place[50];
    va_list ap;

    if (p->failed)
        return;
    p->failed = true;
    va_start(ap, fmt);
    vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    template_place(p, p->at - MIN(p->at, p->word.n), place, sizeof place);
    (void)err_at(p->e, rc, place, "%s", words);
}

static void *template_node(struct template_parse *p, size_t size)
{
    if (++p->nodes > TEMPLATE_NODES_MAX)
        template_fault(p, RC_TOOBIG, "the template has more than %d parts", TEMPLATE_NODES_MAX);
    return arena_zalloc(p->arena, size);
}

static bool template_deeper(struct template_parse *p)
{
    if (++p->depth > TEMPLATE_DEPTH_MAX)
        template_fault(p, RC_TOOBIG, "nested deeper than %d levels", TEMPLATE_DEPTH_MAX);
    return !p->failed;
}

/* ---- tokens ---- */

static bool template_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool template_word_char(char c, bool first)
{
    if (ascii_alpha(c) || c == '_')
        return true;
    return !first && (ascii_digit(c) || c == '.' || c == '/' || c == '-');
}

static char template_peek(const struct template_parse *p, size_t ahead)
{
    return p->at + ahead < p->text.n ? p->text.p[p->at + ahead] : '\0';
}

static void template_take_tok(struct template_parse *p, enum template_tok tok, size_t n)
{
    p->tok = tok;
    p->word = slice_sub(p->text, p->at, n);
    p->at += p->word.n;
}

static size_t template_number_len(const struct template_parse *p)
{
    size_t n = 0;

    while (ascii_digit(template_peek(p, n)) || template_peek(p, n) == '.' ||
           ((template_peek(p, n) | 32) == 'e' && n > 0) ||
           (n > 0 && (template_peek(p, n - 1) | 32) == 'e' &&
            (template_peek(p, n) == '+' || template_peek(p, n) == '-')))
        n++;
    return n;
}

static size_t template_string_len(struct template_parse *p)
{
    size_t n = 1;

    for (; p->at + n < p->text.n; n++) {
        char c = p->text.p[p->at + n];
        if (c == '\\')
            n++;
        else if (c == '"')
            return n + 1;
    }
    template_fault(p, RC_BADINPUT, "a text without its closing \"");
    return 1;
}

/* The braces' end, with or without a '-' that trims what follows. */
static bool template_close(struct template_parse *p)
{
    size_t minus = template_peek(p, 0) == '-';

    if (p->braces > 0 || !slice_starts(slice_from(p->text, p->at + minus), slice_str(p->close)))
        return false;
    template_take_tok(p, TT_CLOSE, minus + 2);
    p->trim = minus == 1;
    return true;
}

static size_t template_op_len(const struct template_parse *p)
{
    char c = template_peek(p, 0), next = template_peek(p, 1);

    if (next == '=' && strchr("=!<>", c))
        return 2;
    return strchr("()[]{},:|<>+-*/%^=", c) ? 1 : 0;
}

static void template_next(struct template_parse *p)
{
    size_t n = 0;
    char c;

    while (p->at < p->text.n && template_space(p->text.p[p->at]))
        p->at++;
    c = template_peek(p, 0);
    if (p->at >= p->text.n) {
        template_take_tok(p, TT_END, 0);
        template_fault(p, RC_BADINPUT, "%s is missing", p->close);
    } else if (template_close(p)) {
        return;
    } else if (template_word_char(c, true)) {
        while (template_word_char(template_peek(p, n), false))
            n++;
        template_take_tok(p, TT_NAME, n);
    } else if (ascii_digit(c)) {
        template_take_tok(p, TT_NUMBER, template_number_len(p));
    } else if (c == '"') {
        template_take_tok(p, TT_TEXT, template_string_len(p));
    } else if (c != '\0' && template_op_len(p)) {
        template_take_tok(p, TT_OP, template_op_len(p));
    } else {
        template_take_tok(p, TT_OP, 1);
        template_fault(p, RC_BADINPUT, c == '\'' ? "texts stand in double quotes" : "unexpected '%c'",
                       c >= ' ' && c <= '~' ? c : '?');
    }
}

static bool template_is(const struct template_parse *p, enum template_tok tok, const char *word)
{
    return p->tok == tok && slice_eq(p->word, slice_str(word));
}

static bool template_accept(struct template_parse *p, enum template_tok tok, const char *word)
{
    if (p->failed || !template_is(p, tok, word))
        return false;
    template_next(p);
    return true;
}

static void template_expect(struct template_parse *p, const char *word)
{
    if (!template_accept(p, TT_OP, word))
        template_fault(p, RC_BADINPUT, "expected '%s', found \"%.*s\"", word,
                       SFMT(slice_sub(p->word, 0, 40)));
}

/* ---- expressions ---- */

static struct template_expr *template_expr(struct template_parse *p);

static struct template_expr *template_expr_new(struct template_parse *p, enum template_op op, size_t n)
{
    struct template_expr *x = template_node(p, sizeof *x);

    x->op = op;
    x->n = n;
    if (n > 0)
        x->args = ARENA_ARRAY(p->arena, struct template_expr *, n);
    return x;
}

static struct template_expr *template_two(struct template_parse *p, enum template_op op,
                                          struct template_expr *a, struct template_expr *b)
{
    struct template_expr *x = template_expr_new(p, op, 2);

    x->args[0] = a;
    x->args[1] = b;
    return x;
}

/* A number or a text is JSON already. */
static struct template_expr *template_literal(struct template_parse *p)
{
    struct template_expr *x = template_expr_new(p, TOP_CONST, 0);
    struct json *j = NULL;
    struct err e = {0};

    if (json_parse(p->arena, p->word, TEMPLATE_TEXT_MAX, &j, &e) != RC_OK)
        template_fault(p, RC_BADINPUT, "\"%.*s\" is no %s", SFMT(slice_sub(p->word, 0, 40)),
                       p->tok == TT_NUMBER ? "number" : "text");
    else
        x->value = *j;
    if (!p->failed)
        template_next(p);
    return x;
}

/* Up to the closing bracket: args, and keys when there is room for them. */
static void template_items(struct template_parse *p, struct template_expr *x, const char *end, bool keys)
{
    struct template_expr *args[TEMPLATE_ARGS_MAX];
    struct slice names[TEMPLATE_ARGS_MAX];
    size_t n = 0;

    while (!p->failed && !template_is(p, TT_OP, end)) {
        if (n == TEMPLATE_ARGS_MAX)
            template_fault(p, RC_TOOBIG, "more than %d items", TEMPLATE_ARGS_MAX);
        if (n > 0)
            template_expect(p, ",");
        if (keys && p->tok != TT_TEXT)
            template_fault(p, RC_BADINPUT, "expected a name in double quotes");
        if (p->failed)
            return;
        if (keys) {
            names[n] = template_literal(p)->value.s;
            template_expect(p, ":");
        }
        args[n++] = template_expr(p);
    }
    p->braces -= keys;
    if (!p->failed)
        template_next(p);
    x->n = n;
    x->args = ARENA_ARRAY(p->arena, struct template_expr *, n + 1);
    x->keys = keys ? ARENA_ARRAY(p->arena, struct slice, n + 1) : NULL;
    for (size_t i = 0; i < n; i++) {
        x->args[i] = args[i];
        if (keys)
            x->keys[i] = names[i];
    }
}

static const char *template_fn_name(const void *ctx, size_t i)
{
    const struct template_opts *o = ctx;

    if (i < o->fns_n)
        return o->fns[i].name;
    return template_fn_at(i - o->fns_n) ? template_fn_at(i - o->fns_n)->name : NULL;
}

static const struct template_fn *template_fn_of(struct template_parse *p, struct slice name)
{
    const struct template_fn *f = NULL;
    const char *near;

    for (size_t i = 0; i < p->o->fns_n && !f; i++)
        if (slice_eq(name, slice_str(p->o->fns[i].name)))
            f = &p->o->fns[i];
    if (!f)
        f = template_fn_find(name);
    if (f && f->refused) {
        template_fault(p, RC_DENIED, "%s() is not served: %s", f->name, f->refused);
        return NULL;
    }
    if (!f) {
        near = nearest_name(name, template_fn_name, p->o);
        template_fault(p, RC_BADINPUT, "unknown function \"%.*s\"%s%s%s", SFMT(slice_sub(name, 0, 40)),
                       near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
    }
    return f;
}

/* first: the value in front of a '|', or NULL. */
static struct template_expr *template_call(struct template_parse *p, struct slice name,
                                           struct template_expr *first)
{
    struct template_expr *x = template_expr_new(p, TOP_CALL, 0), list = {.op = TOP_LIST};

    x->fn = template_fn_of(p, name);
    if (!p->failed && template_accept(p, TT_OP, "("))
        template_items(p, &list, ")", false);
    if (p->failed)
        return x;
    x->n = list.n + (first != NULL);
    x->args = ARENA_ARRAY(p->arena, struct template_expr *, x->n + 1);
    if (first)
        x->args[0] = first;
    for (size_t i = 0; i < list.n; i++)
        x->args[i + (first != NULL)] = list.args[i];
    if (x->n < (size_t)x->fn->args_min || x->n > (size_t)x->fn->args_max)
        template_fault(p, RC_BADINPUT, "%s() takes %d to %d arguments, not %zu", x->fn->name,
                       x->fn->args_min, x->fn->args_max, x->n);
    p->needs |= x->fn->needs;
    return x;
}

static bool template_is_bound(const struct template_parse *p, struct slice path)
{
    struct slice head = template_part(&path);

    if (slice_eq(head, S("loop")))
        return true;
    for (const struct template_bound *b = p->bound; b; b = b->next)
        if (slice_eq(b->name, head))
            return true;
    return false;
}

static void template_bind(struct template_parse *p, struct slice name)
{
    struct template_bound *b = template_node(p, sizeof *b);

    b->name = name;
    b->next = p->bound;
    p->bound = b;
}

static struct template_expr *template_word(struct template_parse *p)
{
    static const struct {
        const char *word;
        enum json_kind kind;
        bool b;
    } words[] = {{"true", JSON_BOOL, true}, {"false", JSON_BOOL, false}, {"null", JSON_NULL, false}};
    struct slice name = p->word;
    struct template_expr *x;

    if (name.n > TEMPLATE_NAME_MAX)
        template_fault(p, RC_TOOBIG, "a name longer than %d bytes", TEMPLATE_NAME_MAX);
    template_next(p);
    if (!p->failed && template_is(p, TT_OP, "("))
        return template_call(p, name, NULL);
    x = template_expr_new(p, TOP_NAME, 0);
    x->name = name;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_eq(name, slice_str(words[i].word))) {
            x->op = TOP_CONST;
            x->value = (struct json){.kind = words[i].kind, .b = words[i].b};
            return x;
        }
    if (!template_is_bound(p, name))
        p->needs |= TEMPLATE_NEEDS_NAMES;
    return x;
}

static struct template_expr *template_primary(struct template_parse *p)
{
    struct template_expr *x;

    if (p->tok == TT_NUMBER || p->tok == TT_TEXT)
        return template_literal(p);
    if (p->tok == TT_NAME)
        return template_word(p);
    if (template_accept(p, TT_OP, "(")) {
        x = template_expr(p);
        template_expect(p, ")");
        return x;
    }
    if (template_accept(p, TT_OP, "-")) {
        x = template_expr_new(p, TOP_MINUS_ONE, 1);
        if (template_deeper(p))
            x->args[0] = template_primary(p);
        p->depth--;
        return x;
    }
    x = template_expr_new(p, TOP_LIST, 0);
    if (template_accept(p, TT_OP, "[")) {
        template_items(p, x, "]", false);
    } else if (template_is(p, TT_OP, "{")) {
        x->op = TOP_OBJECT;
        p->braces++;
        template_next(p);
        template_items(p, x, "}", true);
    } else {
        template_fault(p, RC_BADINPUT, p->tok == TT_CLOSE ? "expected an expression"
                       : "expected an expression, found \"%.*s\"", SFMT(slice_sub(p->word, 0, 40)));
    }
    return x;
}

/* Operators of two operands by strength; all of one level read from left to right. */
static const struct template_level {
    enum template_tok tok;
    const char *word;
    int level;
    enum template_op op;
} template_levels[] = {
    {TT_NAME, "or", 0, TOP_OR},  {TT_NAME, "and", 1, TOP_AND}, {TT_NAME, "in", 2, TOP_IN},
    {TT_OP, "==", 2, TOP_EQ},    {TT_OP, "!=", 2, TOP_NE},     {TT_OP, "<=", 2, TOP_LE},
    {TT_OP, ">=", 2, TOP_GE},    {TT_OP, "<", 2, TOP_LT},      {TT_OP, ">", 2, TOP_GT},
    {TT_OP, "+", 3, TOP_ADD},    {TT_OP, "-", 3, TOP_SUB},     {TT_OP, "*", 4, TOP_MUL},
    {TT_OP, "/", 4, TOP_DIV},    {TT_OP, "%", 4, TOP_MOD},     {TT_OP, "^", 5, TOP_POW},
};
enum { TEMPLATE_LEVEL_NOT = 2, TEMPLATE_LEVELS = 6 };

static bool template_infix(struct template_parse *p, int level, enum template_op *op)
{
    for (size_t i = 0; i < ARRAY_LEN(template_levels); i++) {
        const struct template_level *l = &template_levels[i];
        if (l->level == level && template_accept(p, l->tok, l->word)) {
            *op = l->op;
            return true;
        }
    }
    return false;
}

static struct template_expr *template_level(struct template_parse *p, int level)
{
    struct template_expr *x;
    enum template_op op = TOP_OR;

    if (level == TEMPLATE_LEVELS)
        return template_primary(p);
    if (level == TEMPLATE_LEVEL_NOT && template_accept(p, TT_NAME, "not")) {
        x = template_expr_new(p, TOP_NOT, 1);
        if (template_deeper(p))
            x->args[0] = template_level(p, TEMPLATE_LEVEL_NOT);
        p->depth--;
        return x;
    }
    x = template_level(p, level + 1);
    /* a chain leans to the left and is walked by recursion: it counts as depth */
    int before = p->depth;
    while (!p->failed && template_infix(p, level, &op) && template_deeper(p))
        x = template_two(p, op, x, template_level(p, level + 1));
    p->depth = before;
    return x;
}

static struct template_expr *template_expr(struct template_parse *p)
{
    struct template_expr *x;
    int before = p->depth;

    if (!template_deeper(p))
        return template_expr_new(p, TOP_CONST, 0);
    x = template_level(p, 0);
    while (!p->failed && template_accept(p, TT_OP, "|") && template_deeper(p)) {
        struct slice name = p->word;
        if (p->tok != TT_NAME)
            template_fault(p, RC_BADINPUT, "expected the name of a function behind |");
        template_next(p);
        if (!p->failed)
            x = template_call(p, name, x);
    }
    p->depth = before;
    return x;
}

/* ---- statements ---- */

static void template_end(struct template_parse *p)
{
    if (!p->failed && p->tok != TT_CLOSE)
        template_fault(p, RC_BADINPUT, "expected %s, found \"%.*s\"", p->close,
                       SFMT(slice_sub(p->word, 0, 40)));
}

static struct slice template_plain_name(struct template_parse *p)
{
    struct slice name = p->word, rest = p->word;

    if (p->tok != TT_NAME || template_part(&rest).n != name.n)
        template_fault(p, RC_BADINPUT, "expected a name without . and /, found \"%.*s\"",
                       SFMT(slice_sub(p->word, 0, 40)));
    if (!p->failed)
        template_next(p);
    return name;
}

/* Text up to the next brace that means something. */
static struct slice template_plain(struct template_parse *p)
{
    size_t from = p->at, end;
    struct slice s;

    for (end = from; end < p->text.n; end++) {
        char c = p->text.p[end], next = end + 1 < p->text.n ? p->text.p[end + 1] : '\0';
        if (c == '{' && (next == '{' || next == '%' || next == '#'))
            break;
        if (c == '#' && next == '#' && (end == 0 || p->text.p[end - 1] == '\n')) {
            p->at = end;
            template_fault(p, RC_VERSION, "line statements (##) are not served: write {%% ... %%}");
        }
    }
    p->at = end;
    s = slice_sub(p->text, from, end - from);
    while (p->trim && s.n > 0 && template_space(s.p[0]))
        s = slice_from(s, 1);
    p->trim = false;
    if (end + 2 < p->text.n && p->text.p[end + 2] == '-')
        while (s.n > 0 && template_space(s.p[s.n - 1]))
            s.n--;
    return s;
}

static void template_comment(struct template_parse *p)
{
    size_t n = slice_find(slice_from(p->text, p->at), S("#}"));

    if (n == SIZE_MAX) {
        template_fault(p, RC_BADINPUT, "a comment without #}");
        return;
    }
    p->trim = n > 2 && p->text.p[p->at + n - 1] == '-';
    p->at += n + 2;
}

static struct template_stmt *template_block(struct template_parse *p, bool top);

/* Behind {% if: condition, body, and what else there is, to the end of {% endif %}. */
static void template_if(struct template_parse *p, struct template_stmt *s)
{
    s->e = template_expr(p);
    template_end(p);
    s->body = template_block(p, false);
    if (template_accept(p, TT_NAME, "endif")) {
        template_end(p);
    } else if (template_accept(p, TT_NAME, "else")) {
        if (template_accept(p, TT_NAME, "if")) {
            s->otherwise = template_node(p, sizeof *s);
            s->otherwise->kind = TK_IF;
            if (template_deeper(p))
                template_if(p, s->otherwise);
            p->depth--;
            return;
        }
        template_end(p);
        s->otherwise = template_block(p, false);
        if (!template_accept(p, TT_NAME, "endif"))
            template_fault(p, RC_BADINPUT, "{%% endif %%} is missing");
        template_end(p);
    } else {
        template_fault(p, RC_BADINPUT, "{%% endif %%} is missing");
    }
}

static void template_for(struct template_parse *p, struct template_stmt *s)
{
    s->key = S("");
    s->text = template_plain_name(p);
    if (template_accept(p, TT_OP, ",")) {
        s->key = s->text;
        s->text = template_plain_name(p);
        template_bind(p, s->key);
    }
    if (!template_accept(p, TT_NAME, "in"))
        template_fault(p, RC_BADINPUT, "expected in");
    s->e = template_expr(p);
    template_end(p);
    template_bind(p, s->text);
    s->body = template_block(p, false);
    if (!template_accept(p, TT_NAME, "endfor"))
        template_fault(p, RC_BADINPUT, "{%% endfor %%} is missing");
    template_end(p);
}

static void template_set(struct template_parse *p, struct template_stmt *s)
{
    s->text = template_plain_name(p);
    template_expect(p, "=");
    s->e = template_expr(p);
    template_bind(p, s->text);
    template_end(p);
}

/* Behind {%: false at a word that ends the block around it. */
static bool template_statement(struct template_parse *p, struct template_stmt *s)
{
    static const char *const unserved[] = {"include", "extends", "block", "endblock", "raw", "macro"};

    p->close = "%}";
    template_next(p);
    for (size_t i = 0; i < ARRAY_LEN(unserved); i++)
        if (template_is(p, TT_NAME, unserved[i]))
            template_fault(p, RC_VERSION, "{%% %s %%} is not served", unserved[i]);
    if (template_accept(p, TT_NAME, "if")) {
        s->kind = TK_IF;
        template_if(p, s);
    } else if (template_accept(p, TT_NAME, "for")) {
        s->kind = TK_FOR;
        template_for(p, s);
    } else if (template_accept(p, TT_NAME, "set")) {
        s->kind = TK_SET;
        template_set(p, s);
    } else {
        return false;
    }
    return true;
}

static void template_print(struct template_parse *p, struct template_stmt *s)
{
    p->close = "}}";
    s->kind = TK_PRINT;
    template_next(p);
    s->e = template_expr(p);
    template_end(p);
}

/* Steps over "{{" and the like, and the '-' behind it. */
static char template_open(struct template_parse *p)
{
    char c = template_peek(p, 1);

    p->at += 2;
    if (template_peek(p, 0) == '-')
        p->at++;
    p->word = S("");
    return c;
}

/* To the end of the text, or to a statement that is none of its own: its word is the token then. */
static struct template_stmt *template_block(struct template_parse *p, bool top)
{
    struct template_stmt *first = NULL, **link = &first, *s;

    if (!template_deeper(p))
        return NULL;
    while (!p->failed) {
        struct slice text = template_plain(p);
        if (text.n > 0) {
            s = template_node(p, sizeof *s);
            s->kind = TK_TEXT;
            s->text = text;
            *link = s;
            link = &s->next;
        }
        if (p->failed || p->at >= p->text.n)
            break;
        char c = template_open(p);
        if (c == '#') {
            template_comment(p);
            continue;
        }
        s = template_node(p, sizeof *s);
        if (c == '{')
            template_print(p, s);
        else if (!template_statement(p, s)) {
            if (top)
                template_fault(p, RC_BADINPUT, "unexpected \"%.*s\"", SFMT(slice_sub(p->word, 0, 40)));
            p->depth--;
            return first;
        }
        *link = s;
        link = &s->next;
    }
    if (!top && p->at >= p->text.n) {
        p->tok = TT_END;
        p->word = S("");
    }
    p->depth--;
    return first;
}

enum rc template_compile(struct arena *a, struct slice text, const struct template_opts *o,
                         const struct template **out, struct err *e)
{
    struct err own = {0};
    struct template_parse p = {.arena = a, .o = o, .text = text, .e = e ? e : &own, .close = "}}",
                               .word = S("")};
    struct template *t = ARENA_NEW(a, struct template);

    *out = NULL;
    if (text.n > TEMPLATE_TEXT_MAX)
        return err_set(e, RC_TOOBIG, "a template longer than %d bytes", TEMPLATE_TEXT_MAX);
    t->body = template_block(&p, true);
    t->needs = p.needs;
    if (p.failed)
        return p.e->rc;
    *out = t;
    return RC_OK;
}

unsigned template_needs(const struct template *t)
{
    return t->needs;
}
