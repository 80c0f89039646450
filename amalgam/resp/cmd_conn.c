/*
 * cmd_conn.c - a connection's own affairs: login, protocol version, database, farewell.
 *
 * There is one user (setting redis.user, "default"); without a password everybody is logged in and
 * protected mode (resp_client.c) keeps strangers out. Passwords are compared in constant time.
 * Also HELP, which every container command answers from the table.
 * Inside the store's lock. Tested by test_resp_door.c and the Redis suite (unit/auth,
 * unit/protocol).
 */
#include "resp/resp_int.h"

void cmd_ping(struct resp_client *c)
{
    if (c->argc > 2) {
        reply_arity(c, c->row);
        return;
    }
    if (pubsub_count(c) > 0 && c->proto == 2) {
        reply_array(c, 2);
        reply_bulk(c, S("pong"));
        reply_bulk(c, c->argc == 2 ? c->argv[1] : S(""));
    } else if (c->argc == 2) {
        reply_bulk(c, c->argv[1]);
    } else {
        buf_lit(c->out, "+PONG\r\n");
    }
}

void cmd_echo(struct resp_client *c)
{
    reply_bulk(c, c->argv[1]);
}

void cmd_select(struct resp_client *c)
{
    if (arg_db(c, c->argv[1], &c->db, "value is not an integer or out of range"))
        reply_ok(c);
}

void cmd_quit(struct resp_client *c)
{
    reply_ok(c);
    c->flags |= CL_CLOSING;
}

void cmd_reset(struct resp_client *c)
{
    resp_client_reset(c);
    c->out = conn_out(c->conn);
    if (c->srv->password.n > 0)
        c->flags &= ~(uint32_t)CL_AUTHED;
    buf_lit(c->out, "+RESET\r\n");
}

/* ---- login ---- */

struct slice resp_user(const struct resp_server *s)
{
    return s->opts.user;
}

bool resp_login(struct resp_client *c, struct slice user, struct slice password)
{
    const struct resp_server *s = c->srv;
    bool user_ok = slice_eq(user, s->opts.user);
    bool password_ok = s->password.n == 0 || slice_eq_secret(password, s->password);
    if (!user_ok || !password_ok)
        return false;
    c->flags |= CL_AUTHED;
    return true;
}

static void cmd_conn_wrong(struct resp_client *c)
{
    reply_err(c, "WRONGPASS invalid username-password pair or user is disabled.");
}

void cmd_auth(struct resp_client *c)
{
    if (c->argc > 3) {
        reply_syntax(c);
        return;
    }
    if (c->argc == 2 && c->srv->password.n == 0) {
        reply_err(c, "ERR AUTH <password> called without any password configured for the default "
                     "user. Are you sure your configuration is correct?");
        return;
    }
    struct slice user = c->argc == 3 ? c->argv[1] : S("default");
    if (resp_login(c, user, c->argv[c->argc - 1]))
        reply_ok(c);
    else
        cmd_conn_wrong(c);
}

/* ---- HELLO ---- */

static bool cmd_conn_name_ok(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '!' || s.p[i] > '~')
            return false;
    }
    return true;
}

bool resp_set_text(struct resp_client *c, struct slice *to, struct slice s, const char *what)
{
    if (!cmd_conn_name_ok(s)) {
        resp_errorf(c->out, "ERR %s cannot contain spaces, newlines or special characters.", what);
        return false;
    }
    slice_disown(to);
    if (s.n > 0)
        *to = slice_own(s);
    return true;
}

struct cmd_conn_hello {
    int64_t proto;
    struct slice user, password, name;
    bool login, named;
};

static bool cmd_conn_hello_args(struct resp_client *c, struct cmd_conn_hello *h)
{
    if (c->argc > 1) {
        if (!slice_i64(c->argv[1], &h->proto)) {
            reply_err(c, "ERR Protocol version is not an integer or out of range");
            return false;
        }
        if (h->proto < 2 || h->proto > 3) {
            reply_err(c, "NOPROTO unsupported protocol version");
            return false;
        }
    }
    for (size_t i = 2; i < c->argc; i++) {
        size_t left = c->argc - 1 - i;
        if (left >= 2 && arg_is(c->argv[i], "AUTH")) {
            h->user = c->argv[i + 1];
            h->password = c->argv[i + 2];
            h->login = true;
            i += 2;
        } else if (left >= 1 && arg_is(c->argv[i], "SETNAME")) {
            h->name = c->argv[++i];
            h->named = true;
        } else {
            resp_errorf(c->out, "ERR Syntax error in HELLO option '%s'",
                        arena_cstr(&c->th->arena, slice_sub(c->argv[i], 0, 128)));
            return false;
        }
    }
    return true;
}

void cmd_hello(struct resp_client *c)
{
    struct cmd_conn_hello h = {0};
    if (!cmd_conn_hello_args(c, &h))
        return;
    if (h.login && !resp_login(c, h.user, h.password)) {
        cmd_conn_wrong(c);
        return;
    }
    if (!(c->flags & CL_AUTHED)) {
        reply_err(c, "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                     "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                     "client and select the RESP protocol version at the same time");
        return;
    }
    if (h.named && !resp_set_text(c, &c->name, h.name, "Client names"))
        return;
    if (h.proto != 0)
        c->proto = (int)h.proto;
    reply_map(c, 7);
    reply_bulk(c, S("server"));
    reply_bulk(c, S("redis"));
    reply_bulk(c, S("version"));
    reply_str(c, c->srv->redis_version);
    reply_bulk(c, S("proto"));
    reply_int(c, c->proto);
    reply_bulk(c, S("id"));
    reply_int(c, (int64_t)c->id);
    reply_bulk(c, S("mode"));
    reply_bulk(c, S("standalone"));
    reply_bulk(c, S("role"));
    reply_bulk(c, S("master"));
    reply_bulk(c, S("modules"));
    reply_array(c, 0);
}

/* ---- HELP and containers ---- */

/* Runs only when a container is named without a subcommand, and arity has refused that before. */
void cmd_container(struct resp_client *c)
{
    reply_unknown_sub(c);
}

static const struct resp_row *cmd_conn_parent(const struct resp_row *sub)
{
    while (resp_row_is_sub(sub))
        sub--;
    return sub;
}

void cmd_help(struct resp_client *c)
{
    const struct resp_row *parent = cmd_conn_parent(c->row), *end = resp_row_at(0) + resp_rows_n();
    struct arena *a = &c->th->arena;
    char *upper = arena_cstr(a, slice_of(parent->name, parent->name_len));
    for (char *p = upper; *p != 0; p++)
        *p = ascii_upper(*p);
    size_t n = 1;
    for (const struct resp_row *r = parent + 1; r < end && resp_row_is_sub(r); r++)
        n += 2;
    reply_array(c, n);
    resp_simple(c->out,
                arena_fmt(a, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", upper));
    for (const struct resp_row *r = parent + 1; r < end && resp_row_is_sub(r); r++) {
        char *sub = arena_cstr(a, slice_str(r->name + parent->name_len + 1));
        for (char *p = sub; *p != 0; p++)
            *p = ascii_upper(*p);
        resp_simple(c->out, arena_fmt(a, "%s%s%s", sub, r->syntax[0] ? " " : "", r->syntax));
        resp_simple(c->out, arena_fmt(a, "    %s.", r->summary));
    }
}

void cmd_cluster_off(struct resp_client *c)
{
    reply_err(c, "ERR This instance has cluster support disabled");
}

void cmd_cluster(struct resp_client *c)
{
    cmd_cluster_off(c);
}

void cmd_wait(struct resp_client *c)
{
    int64_t n;
    if (!arg_i64(c, c->argv[1], &n) || !arg_i64(c, c->argv[2], &n))
        return;
    if (n < 0)
        reply_err(c, "ERR timeout is negative");
    else
        reply_int(c, 0);
}
