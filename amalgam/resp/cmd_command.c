/*
 * cmd_command.c - COMMAND: the table told to clients: details, keys, names. DOCS is in cmd_docs.c.
 *
 * Nothing here knows a command: all is read from the rows. Inside the store's lock.
 * Tested by test_resp_commands.c and the Redis suite (unit/introspection-2).
 */
#include "base/glob.h"
#include "resp/resp_int.h"

static const struct {
    uint32_t flag;
    const char *name;
} cmd_command_flags[] = {
    {CF_WRITE, "write"},
    {CF_READONLY, "readonly"},
    {CF_DENYOOM, "denyoom"},
    {CF_ADMIN, "admin"},
    {CF_PUBSUB, "pubsub"},
    {CF_NOSCRIPT, "noscript"},
    {CF_BLOCKING, "blocking"},
    {CF_LOADING, "loading"},
    {CF_STALE, "stale"},
    {CF_SKIP_MONITOR, "skip_monitor"},
    {CF_SKIP_SLOWLOG, "skip_slowlog"},
    {CF_ASKING, "asking"},
    {CF_FAST, "fast"},
    {CF_NO_AUTH, "no_auth"},
    {CF_MAY_REPLICATE, "may_replicate"},
    {CF_NO_MULTI, "no_multi"},
    {CF_MOVABLE, "movablekeys"},
    {CF_ALLOW_BUSY, "allow_busy"},
};

static void cmd_command_reply_flags(struct resp_client *c, const struct resp_row *row)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(cmd_command_flags); i++)
        n += (row->flags & cmd_command_flags[i].flag) != 0;
    resp_set(c->out, c->proto, n);
    for (size_t i = 0; i < ARRAY_LEN(cmd_command_flags); i++) {
        if (row->flags & cmd_command_flags[i].flag)
            resp_simple(c->out, slice_str(cmd_command_flags[i].name));
    }
}

static void cmd_command_count_category(void *ctx, const char *name)
{
    (void)name;
    ++*(size_t *)ctx;
}

static void cmd_command_put_category(void *ctx, const char *name)
{
    struct resp_client *c = ctx;
    resp_simple(c->out, arena_fmt(&c->th->arena, "@%s", name));
}

/* How a command uses its keys, in the words of key specifications. */
static size_t cmd_command_key_flags(const struct resp_row *row, const char *out[3])
{
    size_t n = 0;
    if (row->flags & CF_NOT_KEY)
        out[n++] = "not_key";
    else if (row->flags & CF_READONLY || row->run == cmd_watch) {
        out[n++] = "RO";
        out[n++] = "access";
    } else if (row->run == cmd_del || row->run == cmd_getdel) {
        out[n++] = "RW";
        out[n++] = "delete";
    } else if (row->run == cmd_mset || row->run == cmd_setex || row->run == cmd_psetex) {
        out[n++] = "OW";
        out[n++] = "update";
    } else {
        out[n++] = "RW";
        out[n++] = "access";
        out[n++] = "update";
    }
    return n;
}

static void cmd_command_simple(struct resp_client *c, const char *s)
{
    resp_simple(c->out, slice_str(s));
}

static void cmd_command_key_spec(struct resp_client *c, const struct resp_row *row)
{
    const char *flags[3];
    size_t n = cmd_command_key_flags(row, flags);
    if (row->first == 0) {
        reply_array(c, 0);
        return;
    }
    reply_array(c, 1);
    reply_map(c, 3);
    reply_str(c, "flags");
    resp_set(c->out, c->proto, n);
    for (size_t i = 0; i < n; i++)
        cmd_command_simple(c, flags[i]);
    reply_str(c, "begin_search");
    reply_map(c, 2);
    reply_str(c, "type");
    reply_str(c, "index");
    reply_str(c, "spec");
    reply_map(c, 1);
    reply_str(c, "index");
    reply_int(c, row->first);
    reply_str(c, "find_keys");
    reply_map(c, 2);
    reply_str(c, "type");
    reply_str(c, "range");
    reply_str(c, "spec");
    reply_map(c, 3);
    reply_str(c, "lastkey");
    reply_int(c, row->last < 0 ? row->last : row->last - row->first);
    reply_str(c, "keystep");
    reply_int(c, row->step);
    reply_str(c, "limit");
    reply_int(c, 0);
}

static size_t cmd_command_subs(const struct resp_row *row)
{
    size_t n = 0;
    const struct resp_row *end = resp_row_at(0) + resp_rows_n();
    if (!(row->flags & CF_CONTAINER))
        return 0;
    for (const struct resp_row *r = row + 1; r < end && resp_row_is_sub(r); r++)
        n++;
    return n;
}

/* The ten elements of COMMAND INFO but the last, which the caller writes: subcommands. */
static void cmd_command_row(struct resp_client *c, const struct resp_row *row)
{
    size_t categories = 0;
    reply_array(c, 10);
    reply_bulk(c, slice_of(row->name, row->name_len));
    reply_int(c, row->arity);
    cmd_command_reply_flags(c, row);
    reply_int(c, row->first);
    reply_int(c, row->last);
    reply_int(c, row->step);
    acl_categories(row, cmd_command_count_category, &categories);
    resp_set(c->out, c->proto, categories);
    acl_categories(row, cmd_command_put_category, c);
    reply_array(c, 0); /* tips */
    cmd_command_key_spec(c, row);
}

static void cmd_command_reply(struct resp_client *c, const struct resp_row *row)
{
    cmd_command_row(c, row);
    size_t n = cmd_command_subs(row);
    reply_array(c, n);
    for (size_t i = 1; i <= n; i++) {
        cmd_command_row(c, row + i);
        reply_array(c, 0);
    }
}

static size_t cmd_command_tops(void)
{
    size_t n = 0;
    for (size_t i = 0; i < resp_rows_n(); i++)
        n += !resp_row_is_sub(resp_row_at(i));
    return n;
}

void cmd_command(struct resp_client *c)
{
    reply_array(c, cmd_command_tops());
    for (size_t i = 0; i < resp_rows_n(); i++) {
        if (!resp_row_is_sub(resp_row_at(i)))
            cmd_command_reply(c, resp_row_at(i));
    }
}

void cmd_command_count(struct resp_client *c)
{
    reply_int(c, (int64_t)cmd_command_tops());
}

/* "get" or "client|list", in any case. */
const struct resp_row *resp_find_full(const struct resp_server *s, struct slice name)
{
    struct slice sub, top = slice_cut(name, '|', &sub);
    const struct resp_row *row = resp_find(s->index, top);
    if (row == NULL || top.n == name.n)
        return row;
    return row->flags & CF_CONTAINER ? resp_find_sub(row, sub) : NULL;
}

void cmd_command_info(struct resp_client *c)
{
    if (c->argc == 2) {
        cmd_command(c);
        return;
    }
    reply_array(c, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        const struct resp_row *row = resp_find_full(c->srv, c->argv[i]);
        if (row == NULL)
            resp_nil_array(c->out, c->proto);
        else
            cmd_command_reply(c, row);
    }
}

/* ---- LIST ---- */

static bool cmd_command_listed(struct resp_client *c, const struct resp_row *row)
{
    if (c->argc == 2)
        return true;
    struct slice wanted = c->argv[4];
    if (arg_is(c->argv[3], "PATTERN"))
        return glob_match(wanted, slice_of(row->name, row->name_len), true);
    if (arg_is(c->argv[3], "ACLCAT"))
        return acl_row_in(row, wanted);
    return false; /* MODULE: there are none */
}

void cmd_command_list(struct resp_client *c)
{
    bool ok = c->argc == 2 || (c->argc == 5 && arg_is(c->argv[2], "FILTERBY") &&
                               (arg_is(c->argv[3], "PATTERN") || arg_is(c->argv[3], "ACLCAT") ||
                                arg_is(c->argv[3], "MODULE")));
    if (!ok) {
        reply_syntax(c);
        return;
    }
    struct resp_gather g = gather_begin(c);
    for (size_t i = 0; i < resp_rows_n(); i++) {
        const struct resp_row *row = resp_row_at(i);
        if ((c->argc > 2 || !resp_row_is_sub(row)) && cmd_command_listed(c, row))
            gather_bulk(&g, slice_of(row->name, row->name_len));
    }
    gather_end(c, &g);
}

/* ---- GETKEYS ---- */

static void cmd_command_keys(struct resp_client *c, bool with_flags)
{
    struct resp_range r;
    const char *flags[3];
    size_t argc = c->argc - 2;
    const struct resp_row *row = resp_find(c->srv->index, c->argv[2]);
    if (row != NULL && (row->flags & CF_CONTAINER) && argc > 1)
        row = resp_find_sub(row, c->argv[3]);
    if (row == NULL) {
        reply_err(c, "ERR Invalid command specified");
        return;
    }
    if (row->first == 0 || (row->flags & CF_NOT_KEY)) {
        reply_err(c, "ERR The command has no key arguments");
        return;
    }
    if (row->arity > 0 ? argc != (size_t)row->arity : argc < (size_t)-row->arity) {
        reply_err(c, "ERR Invalid number of arguments specified for command");
        return;
    }
    if (!resp_row_keys(row, argc, &r)) {
        reply_err(c, "ERR Invalid arguments specified for command");
        return;
    }
    size_t flags_n = cmd_command_key_flags(row, flags);
    reply_array(c, (r.last - r.first) / r.step + 1);
    for (size_t i = r.first; i <= r.last; i += r.step) {
        if (with_flags)
            reply_array(c, 2);
        reply_bulk(c, c->argv[2 + i]);
        if (with_flags) {
            resp_set(c->out, c->proto, flags_n);
            for (size_t k = 0; k < flags_n; k++)
                cmd_command_simple(c, flags[k]);
        }
    }
}

void cmd_command_getkeys(struct resp_client *c)
{
    cmd_command_keys(c, false);
}

void cmd_command_getkeysandflags(struct resp_client *c)
{
    cmd_command_keys(c, true);
}
