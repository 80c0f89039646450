/*
 * cmd_acl.c - ACL for the one user that there is: who am I, which categories, what may I.
 *
 * The categories of commands come from the table.
 * Inside the store's lock. Tested by test_resp_commands.c.
 */
#include "base/rand.h"
#include "resp/resp_int.h"
#include "wire/hash.h"

static const char *const cmd_acl_names[] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting"};

static const char *cmd_acl_of_group(int group)
{
    static const char *const names[RG_COUNT] = {[RG_GENERIC] = "keyspace",
                                                [RG_STRING] = "string",
                                                [RG_LIST] = "list",
                                                [RG_SET] = "set",
                                                [RG_ZSET] = "sortedset",
                                                [RG_HASH] = "hash",
                                                [RG_TRANSACTIONS] = "transaction",
                                                [RG_CONNECTION] = "connection",
                                                [RG_SCRIPTING] = "scripting"};
    return names[group];
}

void acl_categories(const struct resp_row *row, void (*each)(void *ctx, const char *name),
                    void *ctx)
{
    const char *group = cmd_acl_of_group(row->group);
    if (row->flags & CF_CONTAINER && row->run == cmd_container)
        group = NULL;
    if (group != NULL)
        each(ctx, group);
    if (row->flags & CF_WRITE && !(row->group == RG_SCRIPTING))
        each(ctx, "write");
    if (row->flags & CF_READONLY && !(row->group == RG_SCRIPTING))
        each(ctx, "read");
    if (row->flags & CF_PUBSUB)
        each(ctx, "pubsub");
    if (row->flags & CF_ADMIN)
        each(ctx, "admin");
    if (row->flags & (CF_ADMIN | CF_DANGEROUS))
        each(ctx, "dangerous");
    if (row->flags & CF_BLOCKING)
        each(ctx, "blocking");
    each(ctx, row->flags & CF_FAST ? "fast" : "slow");
}

struct cmd_acl_walk {
    struct slice wanted;
    bool found;
};

static void cmd_acl_each(void *ctx, const char *name)
{
    struct cmd_acl_walk *w = ctx;
    w->found = w->found || slice_eq_ci(w->wanted, slice_str(name));
}

bool acl_row_in(const struct resp_row *row, struct slice category)
{
    struct cmd_acl_walk w = {category, false};
    acl_categories(row, cmd_acl_each, &w);
    return w.found;
}

bool acl_is_category(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(cmd_acl_names); i++) {
        if (slice_eq_ci(name, slice_str(cmd_acl_names[i])))
            return true;
    }
    return false;
}

void cmd_acl_cat(struct resp_client *c)
{
    if (c->argc == 2) {
        reply_array(c, ARRAY_LEN(cmd_acl_names));
        for (size_t i = 0; i < ARRAY_LEN(cmd_acl_names); i++)
            reply_str(c, cmd_acl_names[i]);
        return;
    }
    if (c->argc > 3) {
        reply_unknown_sub(c);
        return;
    }
    if (!acl_is_category(c->argv[2])) {
        resp_errorf(c->out, "ERR Unknown category '%s'",
                    arena_cstr(&c->th->arena, slice_sub(c->argv[2], 0, 128)));
        return;
    }
    struct resp_gather g = gather_begin(c);
    const struct resp_row *row;
    for (size_t i = 0; (row = resp_row_at(i)) != NULL; i++) {
        if (row->run != cmd_container && acl_row_in(row, c->argv[2]))
            gather_bulk(&g, slice_of(row->name, row->name_len));
    }
    gather_end(c, &g);
}

void cmd_acl_whoami(struct resp_client *c)
{
    reply_bulk(c, resp_user(c->srv));
}

void cmd_acl_users(struct resp_client *c)
{
    reply_array(c, 1);
    reply_bulk(c, resp_user(c->srv));
}

/* SHA-256 of the password in hexadecimal, as Redis shows it; "" when there is none. */
static struct slice cmd_acl_hash(struct resp_client *c)
{
    uint8_t d[32];
    if (c->srv->password.n == 0)
        return S("");
    sha256(c->srv->password, d);
    char *text = arena_alloc(&c->th->arena, 65);
    hex_encode(text, d, sizeof d);
    return slice_of(text, 64);
}

void cmd_acl_list(struct resp_client *c)
{
    struct slice hash = cmd_acl_hash(c), user = resp_user(c->srv);
    reply_array(c, 1);
    reply_bulk(c, arena_fmt(&c->th->arena, "user %.*s on %s%.*s ~* &* +@all", SFMT(user),
                            hash.n > 0 ? "#" : "nopass", SFMT(hash)));
}

void cmd_acl_getuser(struct resp_client *c)
{
    if (!slice_eq(c->argv[2], resp_user(c->srv))) {
        reply_nil(c);
        return;
    }
    struct slice hash = cmd_acl_hash(c);
    reply_map(c, 6);
    reply_bulk(c, S("flags"));
    resp_set(c->out, c->proto, hash.n > 0 ? 1 : 2);
    reply_bulk(c, S("on"));
    if (hash.n == 0)
        reply_bulk(c, S("nopass"));
    reply_bulk(c, S("passwords"));
    reply_array(c, hash.n > 0);
    if (hash.n > 0)
        reply_bulk(c, hash);
    static const char *const rest[][2] = {
        {"commands", "+@all"}, {"keys", "~*"}, {"channels", "&*"}};
    for (size_t i = 0; i < ARRAY_LEN(rest); i++) {
        reply_str(c, rest[i][0]);
        reply_str(c, rest[i][1]);
    }
    reply_bulk(c, S("selectors"));
    reply_array(c, 0);
}

void cmd_acl_genpass(struct resp_client *c)
{
    int64_t bits = 256;
    char text[1024];
    if (c->argc > 3) {
        reply_unknown_sub(c);
        return;
    }
    if (c->argc == 3 && !arg_i64(c, c->argv[2], &bits))
        return;
    if (bits < 1 || bits > 4096) {
        reply_err(c, "ERR ACL GENPASS argument must be the number of bits for the output password, "
                     "a positive number up to 4096");
        return;
    }
    size_t n = (size_t)(bits + 3) / 4;
    rand_text(text, n, S("0123456789abcdef"));
    reply_bulk(c, slice_of(text, n));
}

void cmd_acl_log(struct resp_client *c)
{
    int64_t n;
    if (c->argc > 3)
        reply_unknown_sub(c);
    else if (c->argc == 3 && arg_is(c->argv[2], "RESET"))
        reply_ok(c);
    else if (c->argc == 2 || arg_i64(c, c->argv[2], &n))
        reply_array(c, 0);
}
