/*
 * cmd_client.c - CLIENT: names, the list, killing, pausing, silencing.
 *
 * Other clients may belong to other threads: their fields are read inside the store's lock, which
 * guards them, and they are closed by a message to their reactor (resp_kill).
 * Tested by test_resp_door.c and the Redis suite (unit/introspection, unit/pause).
 */
#include "resp/resp_int.h"

void cmd_client_id(struct resp_client *c)
{
    reply_int(c, (int64_t)c->id);
}

void cmd_client_getredir(struct resp_client *c)
{
    reply_int(c, -1);
}

void cmd_client_getname(struct resp_client *c)
{
    if (c->name.n > 0)
        reply_bulk(c, c->name);
    else
        reply_nil(c);
}

void cmd_client_setname(struct resp_client *c)
{
    if (resp_set_text(c, &c->name, c->argv[2], "Client names"))
        reply_ok(c);
}

void cmd_client_setinfo(struct resp_client *c)
{
    bool ok;
    if (arg_is(c->argv[2], "LIB-NAME")) {
        ok = resp_set_text(c, &c->lib_name, c->argv[3], "lib-name");
    } else if (arg_is(c->argv[2], "LIB-VER")) {
        ok = resp_set_text(c, &c->lib_ver, c->argv[3], "lib-ver");
    } else {
        resp_errorf(c->out, "ERR Unrecognized option '%s'",
                    arena_cstr(&c->th->arena, slice_sub(c->argv[2], 0, 128)));
        return;
    }
    if (ok)
        reply_ok(c);
}

/* ON or OFF into a flag. */
static void cmd_client_switch(struct resp_client *c, uint32_t flag)
{
    if (arg_is(c->argv[2], "ON"))
        c->flags |= flag;
    else if (arg_is(c->argv[2], "OFF"))
        c->flags &= ~flag;
    else {
        reply_syntax(c);
        return;
    }
    reply_ok(c);
}

void cmd_client_no_evict(struct resp_client *c)
{
    cmd_client_switch(c, CL_NO_EVICT);
}

void cmd_client_no_touch(struct resp_client *c)
{
    cmd_client_switch(c, CL_NO_TOUCH);
}

void cmd_client_reply(struct resp_client *c)
{
    if (arg_is(c->argv[2], "ON")) {
        c->flags &= ~(uint32_t)(CL_REPLY_OFF | CL_REPLY_SKIP);
        c->out = conn_out(c->conn);
        reply_ok(c);
    } else if (arg_is(c->argv[2], "OFF")) {
        c->flags |= CL_REPLY_OFF;
    } else if (arg_is(c->argv[2], "SKIP")) {
        if (!(c->flags & CL_REPLY_OFF))
            c->flags |= CL_REPLY_SKIP_NEXT;
    } else {
        reply_syntax(c);
    }
}

/* ---- choosing clients ---- */

enum {
    CMD_CLIENT_ANY = -1,
    CMD_CLIENT_NORMAL,
    CMD_CLIENT_REPLICA,
    CMD_CLIENT_PUBSUB,
    CMD_CLIENT_MASTER
};

static int cmd_client_type(struct slice s)
{
    static const struct {
        const char *word;
        int type;
    } words[] = {{"NORMAL", CMD_CLIENT_NORMAL},
                 {"SLAVE", CMD_CLIENT_REPLICA},
                 {"REPLICA", CMD_CLIENT_REPLICA},
                 {"PUBSUB", CMD_CLIENT_PUBSUB},
                 {"MASTER", CMD_CLIENT_MASTER}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (arg_is(s, words[i].word))
            return words[i].type;
    }
    return CMD_CLIENT_ANY;
}

static bool cmd_client_is(const struct resp_client *c, int type)
{
    if (type == CMD_CLIENT_ANY)
        return true;
    if (c->flags & CL_MONITOR)
        return type == CMD_CLIENT_REPLICA; /* as Redis counts monitors */
    return type == (pubsub_count(c) > 0 ? CMD_CLIENT_PUBSUB : CMD_CLIENT_NORMAL);
}

static bool cmd_client_type_arg(struct resp_client *c, struct slice s, int *type)
{
    *type = cmd_client_type(s);
    if (*type != CMD_CLIENT_ANY)
        return true;
    resp_errorf(c->out, "ERR Unknown client type '%s'",
                arena_cstr(&c->th->arena, slice_sub(s, 0, 128)));
    return false;
}

/* ---- CLIENT LIST, INFO ---- */

void cmd_client_info(struct resp_client *c)
{
    struct buf *b = &c->th->scratch;
    buf_clear(b);
    c->query_bytes = c->argv_bytes = 26; /* what Redis shows for this very command */
    resp_client_line(c, store_now_ms(c->st), b);
    buf_byte(b, '\n');
    resp_verbatim(c->out, c->proto, "txt", buf_all(b));
}

static bool cmd_client_wanted(struct resp_client *c, struct resp_client *who, int type)
{
    if (!cmd_client_is(who, type))
        return false;
    if (c->argc < 4 || type != CMD_CLIENT_ANY)
        return true;
    for (size_t i = 3; i < c->argc; i++) {
        uint64_t id;
        if (slice_u64(c->argv[i], &id) && id == who->id)
            return true;
    }
    return false;
}

void cmd_client_list(struct resp_client *c)
{
    int type = CMD_CLIENT_ANY;
    if (c->argc == 4 && arg_is(c->argv[2], "TYPE")) {
        if (!cmd_client_type_arg(c, c->argv[3], &type))
            return;
    } else if (c->argc > 3 && arg_is(c->argv[2], "ID")) {
        for (size_t i = 3; i < c->argc; i++) {
            uint64_t id;
            if (!slice_u64(c->argv[i], &id) || id == 0) {
                reply_err(c, "ERR Invalid client ID");
                return;
            }
        }
    } else if (c->argc > 2) {
        reply_syntax(c);
        return;
    }
    struct buf *b = &c->th->scratch;
    buf_clear(b);
    c->query_bytes = c->argv_bytes = 26;
    struct resp_client *last = c->srv->clients;
    while (last != NULL && last->next != NULL)
        last = last->next;
    for (struct resp_client *w = last; w != NULL; w = w->prev) { /* oldest first */
        if (!cmd_client_wanted(c, w, type))
            continue;
        resp_client_line(w, store_now_ms(c->st), b);
        buf_byte(b, '\n');
    }
    resp_verbatim(c->out, c->proto, "txt", buf_all(b));
}

/* ---- CLIENT KILL ---- */

struct cmd_client_filter {
    struct slice addr, laddr, user;
    uint64_t id;
    int type;
    bool skip_me;
};

/* One pair of CLIENT KILL; false: answered. */
static bool cmd_client_kill_option(struct resp_client *c, size_t i, struct cmd_client_filter *f)
{
    struct slice value = c->argv[i + 1];
    if (arg_is(c->argv[i], "ID")) {
        int64_t id;
        if (!slice_i64(value, &id) || id < 1) {
            reply_err(c, "ERR client-id should be greater than 0");
            return false;
        }
        f->id = (uint64_t)id;
    } else if (arg_is(c->argv[i], "TYPE")) {
        return cmd_client_type_arg(c, value, &f->type);
    } else if (arg_is(c->argv[i], "ADDR")) {
        f->addr = value;
    } else if (arg_is(c->argv[i], "LADDR")) {
        f->laddr = value;
    } else if (arg_is(c->argv[i], "USER")) {
        f->user = value;
        if (!slice_eq(value, resp_user(c->srv))) {
            resp_errorf(c->out, "ERR No such user '%s'",
                        arena_cstr(&c->th->arena, slice_sub(value, 0, 128)));
            return false;
        }
    } else if (arg_is(c->argv[i], "SKIPME") && (arg_is(value, "YES") || arg_is(value, "NO"))) {
        f->skip_me = arg_is(value, "YES");
    } else {
        reply_syntax(c);
        return false;
    }
    return true;
}

static bool cmd_client_matches(const struct resp_client *c, const struct resp_client *w,
                               const struct cmd_client_filter *f)
{
    return (f->addr.n == 0 || slice_eq(f->addr, slice_str(w->addr))) &&
           (f->laddr.n == 0 || slice_eq(f->laddr, slice_str(w->laddr))) &&
           (f->id == 0 || f->id == w->id) && cmd_client_is(w, f->type) && !(w == c && f->skip_me);
}

static size_t cmd_client_kill_all(struct resp_client *c, const struct cmd_client_filter *f)
{
    size_t n = 0;
    for (struct resp_client *w = c->srv->clients; w != NULL; w = w->next) {
        if (!cmd_client_matches(c, w, f) || (w->flags & CL_CLOSING && w != c))
            continue;
        n++;
        if (w == c)
            c->flags |= CL_CLOSING; /* after this reply */
        else
            resp_kill(w);
    }
    return n;
}

void cmd_client_kill(struct resp_client *c)
{
    struct cmd_client_filter f = {.type = CMD_CLIENT_ANY, .skip_me = true};
    if (c->argc == 3) { /* old form: an address, and oneself too */
        f.addr = c->argv[2];
        f.skip_me = false;
        if (cmd_client_kill_all(c, &f) == 0)
            reply_err(c, "ERR No such client");
        else
            reply_ok(c);
        return;
    }
    if (c->argc % 2 == 1) {
        reply_syntax(c);
        return;
    }
    for (size_t i = 2; i < c->argc; i += 2) {
        if (!cmd_client_kill_option(c, i, &f))
            return;
    }
    reply_int(c, (int64_t)cmd_client_kill_all(c, &f));
}

/* ---- CLIENT PAUSE ---- */

void cmd_client_pause(struct resp_client *c)
{
    struct resp_server *s = c->srv;
    int64_t ms;
    bool all = true;
    if (c->argc == 4) {
        all = arg_is(c->argv[3], "ALL");
        if (!all && !arg_is(c->argv[3], "WRITE")) {
            reply_err(c, "ERR CLIENT PAUSE mode must be WRITE or ALL");
            return;
        }
    } else if (c->argc > 4) {
        reply_syntax(c);
        return;
    }
    if (!slice_i64(c->argv[2], &ms) || ms > INT64_MAX / 2) {
        reply_err(c, "ERR timeout is not an integer or out of range");
        return;
    }
    if (ms < 0) {
        reply_err(c, "ERR timeout is negative");
        return;
    }
    bool running = s->pause_until_ms > store_now_ms(c->st);
    s->pause_all = all || (running && s->pause_all);
    s->pause_until_ms = MAX(running ? s->pause_until_ms : 0, store_now_ms(c->st) + ms);
    reply_ok(c);
}

void cmd_client_unpause(struct resp_client *c)
{
    c->srv->pause_until_ms = 0;
    resp_resume_all(c->srv);
    reply_ok(c);
}

/* No command blocks, so nobody is ever woken: 0. */
void cmd_client_unblock(struct resp_client *c)
{
    int64_t id;
    if (c->argc > 4 ||
        (c->argc == 4 && !arg_is(c->argv[3], "TIMEOUT") && !arg_is(c->argv[3], "ERROR"))) {
        reply_err(c, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return;
    }
    if (arg_i64(c, c->argv[2], &id))
        reply_int(c, 0);
}
