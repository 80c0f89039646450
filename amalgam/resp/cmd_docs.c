/*
 * cmd_docs.c - COMMAND DOCS: summaries and arguments, made from the syntax column of the table.
 *
 * The syntax of a row ("key value [NX|XX] [EX seconds|PX milliseconds]") becomes the nested
 * arguments that redis-cli shows as hints. Grammar: items are separated by spaces; an upper-case
 * word is a token, alone or before its argument; [x] is optional; a|b is one of; x... repeats.
 * Inside the store's lock. Tested by test_resp_commands.c (every row's syntax is read).
 */
#include "resp/resp_int.h"

enum { CMD_DOCS_DEPTH = 4 };

/* Cuts one item off: a bracketed group, or a word with what belongs to it. */
static struct slice cmd_docs_item(struct slice *rest)
{
    size_t n = 0;
    int depth = 0;
    while (n < rest->n && (depth > 0 || rest->p[n] != ' ')) {
        depth += rest->p[n] == '[';
        depth -= rest->p[n] == ']';
        n++;
    }
    struct slice item = slice_sub(*rest, 0, n);
    *rest = slice_from(*rest, n + 1);
    return item;
}

static bool cmd_docs_is_token(struct slice s)
{
    bool letter = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= 'a' && s.p[i] <= 'z')
            return false;
        letter = letter || ascii_alpha(s.p[i]);
    }
    return letter;
}

/* Position of the first bar outside brackets, or SIZE_MAX. */
static size_t cmd_docs_bar(struct slice s)
{
    int depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        depth += s.p[i] == '[';
        depth -= s.p[i] == ']';
        if (depth == 0 && s.p[i] == '|')
            return i;
    }
    return SIZE_MAX;
}

static const char *cmd_docs_type(struct slice name)
{
    static const struct {
        const char *part, *type;
    } types[] = {{"key", "key"},         {"pattern", "pattern"},      {"unix-time", "unix-time"},
                 {"seconds", "integer"}, {"milliseconds", "integer"}, {"count", "integer"},
                 {"index", "integer"},   {"cursor", "integer"},       {"db", "integer"},
                 {"offset", "integer"},  {"timeout", "integer"},      {"len", "integer"}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_find(name, slice_str(types[i].part)) != SIZE_MAX)
            return types[i].type;
    }
    return "string";
}

static void cmd_docs_args(struct resp_client *c, struct slice syntax, int depth);

struct cmd_docs_arg {
    struct slice text, token;
    bool optional, multiple;
};

/* An argument's map: name, type, and what else applies. */
static void cmd_docs_put(struct resp_client *c, const struct cmd_docs_arg *a, struct slice name,
                         const char *type, bool nested)
{
    size_t flags = (size_t)a->optional + a->multiple;
    reply_map(c, 2 + (size_t)(a->token.n > 0) + (size_t)(flags > 0) + (size_t)nested);
    reply_str(c, "name");
    reply_bulk(c, name);
    reply_str(c, "type");
    reply_str(c, type);
    if (a->token.n > 0) {
        reply_str(c, "token");
        reply_bulk(c, a->token);
    }
    if (flags > 0) {
        reply_str(c, "flags");
        reply_array(c, flags);
        if (a->optional)
            resp_simple(c->out, S("optional"));
        if (a->multiple)
            resp_simple(c->out, S("multiple"));
    }
    if (nested)
        reply_str(c, "arguments");
}

static struct slice cmd_docs_lower(struct resp_client *c, struct slice s)
{
    char *p = arena_cstr(&c->th->arena, s);
    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(p[i]);
    return slice_of(p, s.n);
}

static void cmd_docs_choices(struct resp_client *c, const struct cmd_docs_arg *a, int depth)
{
    size_t n = 1, bar;
    for (struct slice s = a->text; (bar = cmd_docs_bar(s)) != SIZE_MAX; s = slice_from(s, bar + 1))
        n++;
    cmd_docs_put(c, a, S("choice"), "oneof", true);
    reply_array(c, n);
    struct slice s = a->text;
    for (size_t i = 0; i < n; i++) {
        bar = cmd_docs_bar(s);
        cmd_docs_args(c, slice_sub(s, 0, MIN(bar, s.n)), depth + 1);
        s = slice_from(s, MIN(bar, s.n) + 1);
    }
}

/* One argument from its text: "key", "NX", "EX seconds", "a|b", "x y". */
static void cmd_docs_arg(struct resp_client *c, struct cmd_docs_arg a, int depth)
{
    if (a.text.n > 3 && slice_ends(a.text, S("..."))) {
        a.multiple = true;
        a.text.n -= 3;
    }
    if (a.text.n > 1 && a.text.p[0] == '[' && a.text.p[a.text.n - 1] == ']') {
        a.optional = true;
        a.text = slice_sub(a.text, 1, a.text.n - 2);
    }
    if (a.text.n > 3 && slice_ends(a.text, S("...")) && slice_index(a.text, ' ') == SIZE_MAX) {
        a.multiple = true;
        a.text.n -= 3;
    }
    if (depth < CMD_DOCS_DEPTH && cmd_docs_bar(a.text) != SIZE_MAX) {
        cmd_docs_choices(c, &a, depth);
        return;
    }
    struct slice rest = a.text, first = cmd_docs_item(&rest);
    if (rest.n == 0) {
        bool token = cmd_docs_is_token(first);
        if (token)
            a.token = first;
        cmd_docs_put(c, &a, cmd_docs_lower(c, first), token ? "pure-token" : cmd_docs_type(first),
                     false);
        return;
    }
    struct slice after = rest, second = cmd_docs_item(&after);
    if (after.n == 0 && cmd_docs_is_token(first) && second.p[0] != '[') {
        a.token = first;
        a.text = second;
        if (slice_ends(second, S("..."))) {
            a.multiple = true;
            second.n -= 3;
        }
        cmd_docs_put(c, &a, second, cmd_docs_type(second), false);
        return;
    }
    cmd_docs_put(c, &a, S("block"), "block", true);
    size_t n = 0;
    for (struct slice s = a.text; s.n > 0; n++)
        (void)cmd_docs_item(&s);
    reply_array(c, n);
    for (struct slice s = a.text; s.n > 0;)
        cmd_docs_arg(c, (struct cmd_docs_arg){.text = cmd_docs_item(&s)}, depth + 1);
}

static void cmd_docs_args(struct resp_client *c, struct slice syntax, int depth)
{
    cmd_docs_arg(c, (struct cmd_docs_arg){.text = syntax}, depth);
}

static void cmd_docs_arguments(struct resp_client *c, struct slice syntax)
{
    size_t n = 0;
    for (struct slice s = syntax; s.n > 0; n++)
        (void)cmd_docs_item(&s);
    reply_array(c, n);
    for (struct slice s = syntax; s.n > 0;)
        cmd_docs_args(c, cmd_docs_item(&s), 0);
}

static void cmd_docs_row(struct resp_client *c, const struct resp_row *row, size_t subs)
{
    struct slice syntax = slice_str(row->syntax);
    reply_bulk(c, slice_of(row->name, row->name_len));
    reply_map(c, 3 + (size_t)(syntax.n > 0) + (size_t)(subs > 0));
    reply_str(c, "summary");
    reply_str(c, row->summary);
    reply_str(c, "since");
    reply_str(c, row->since);
    reply_str(c, "group");
    reply_str(c, resp_group_name(row->group));
    if (syntax.n > 0) {
        reply_str(c, "arguments");
        cmd_docs_arguments(c, syntax);
    }
    if (subs == 0)
        return;
    reply_str(c, "subcommands");
    reply_map(c, subs);
    for (size_t i = 1; i <= subs; i++)
        cmd_docs_row(c, row + i, 0);
}

static size_t cmd_docs_subs(const struct resp_row *row)
{
    size_t n = 0;
    const struct resp_row *r;
    while ((row->flags & CF_CONTAINER) && (r = resp_row_at(resp_row_index(row) + 1 + n)) != NULL &&
           resp_row_is_sub(r))
        n++;
    return n;
}

void cmd_command_docs(struct resp_client *c)
{
    const struct resp_row *row;
    size_t n = 0;
    if (c->argc == 2) {
        for (size_t i = 0; (row = resp_row_at(i)) != NULL; i++)
            n += !resp_row_is_sub(row);
        reply_map(c, n);
        for (size_t i = 0; (row = resp_row_at(i)) != NULL; i++) {
            if (!resp_row_is_sub(row))
                cmd_docs_row(c, row, cmd_docs_subs(row));
        }
        return;
    }
    for (size_t i = 2; i < c->argc; i++)
        n += resp_find_full(c->srv, c->argv[i]) != NULL;
    reply_map(c, n);
    for (size_t i = 2; i < c->argc; i++) {
        row = resp_find_full(c->srv, c->argv[i]);
        if (row != NULL)
            cmd_docs_row(c, row, cmd_docs_subs(row));
    }
}
