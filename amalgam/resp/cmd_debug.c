/*
 * cmd_debug.c - DEBUG: what test suites ask for. RELOAD is a real round trip through the disk.
 *
 * The row runs outside the lock, since SLEEP and RELOAD wait; each subcommand that looks at keys
 * takes it. Inside EXEC a RELOAD is refused, and SLEEP sleeps with the lock held. Not for
 * production: ADMIN in the table. Tested by the Redis suite and test_resp_commands.c.
 */
#include "resp/resp_int.h"
#include "wire/hash.h"

struct cmd_debug_row {
    const char *word;
    size_t argc; /* with DEBUG and the word; 0: any */
    void (*run)(struct resp_client *c);
    bool waits;
};

static void cmd_debug_object(struct resp_client *c)
{
    resp_lock(c->th);
    const struct entry *e = ks_find(c->st, c->db, c->argv[2], KS_NOTOUCH);
    if (e == NULL) {
        reply_err(c, "ERR no such key");
        return;
    }
    size_t bytes = ks_bytes(e);
    resp_simple(c->out, arena_fmt(&c->th->arena,
                                  "Value at:%p refcount:1 encoding:%s serializedlength:%zu "
                                  "lru:%lld lru_seconds_idle:%lld",
                                  (const void *)e, ks_encoding(e), bytes,
                                  (long long)(store_now_ms(c->st) / 1000 & 0xffffff),
                                  (long long)ks_idle_ms(c->st, e) / 1000));
}

static void cmd_debug_sleep(struct resp_client *c)
{
    double s;
    if (!slice_double(c->argv[2], &s) || !(s >= 0 && s <= 3600)) {
        reply_err(c, "ERR value is not a valid float");
        return;
    }
    clock_sleep_ms((int64_t)(s * 1000));
    reply_ok(c);
}

static void cmd_debug_reload(struct resp_client *c)
{
    struct err e;
    enum rc rc = store_reload(c->st, &e);
    if (rc == RC_OK ||
        rc == RC_BADINPUT) /* the memory engine has nothing to load: nothing is lost */
        reply_ok(c);
    else
        resp_errorf(c->out, "ERR Error trying to reload: %s", e.text);
}

static void cmd_debug_active_expire(struct resp_client *c)
{
    resp_lock(c->th);
    c->srv->active_expire = !slice_eq(c->argv[2], S("0"));
    store_set_active_expire(c->st, c->srv->active_expire);
    reply_ok(c);
}

/* A fingerprint of a value, the same for equal values whatever their order or encoding. */
static void cmd_debug_digest(const struct entry *e, uint8_t out[20])
{
    struct slice field, value;
    char tmp[KS_TMP];
    uint64_t it = 0;
    memset(out, 0, 20);
    if (ks_type(e) == V_STRING)
        sha1(ks_str(e, tmp), out);
    while (ks_type(e) == V_HASH && ks_hnext(e, &it, &field, &value)) {
        uint8_t a[40], both[20];
        sha1(field, a);
        sha1(value, a + 20);
        sha1(slice_of((const char *)a, sizeof a), both);
        for (size_t i = 0; i < 20; i++)
            out[i] ^= both[i];
    }
}

static void cmd_debug_digest_value(struct resp_client *c)
{
    resp_lock(c->th);
    reply_array(c, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        uint8_t d[20] = {0};
        char hex[40];
        const struct entry *e = ks_find(c->st, c->db, c->argv[i], KS_NOTOUCH);
        if (e != NULL)
            cmd_debug_digest(e, d);
        hex_encode(hex, d, sizeof d);
        reply_bulk(c, slice_of(hex, sizeof hex));
    }
}

static void cmd_debug_log(struct resp_client *c)
{
    reply_ok(c);
}

static void cmd_debug_error(struct resp_client *c)
{
    resp_error(c->out, c->argv[2]);
}

/* DEBUG PROTOCOL: one reply of each RESP3 kind. */
static void cmd_debug_protocol(struct resp_client *c)
{
    struct slice w = c->argv[2];
    struct buf *o = c->out;
    if (arg_is(w, "STRING"))
        reply_bulk(c, S("Hello World"));
    else if (arg_is(w, "INTEGER"))
        reply_int(c, 12345);
    else if (arg_is(w, "DOUBLE"))
        resp_double(o, c->proto, 3.141);
    else if (arg_is(w, "NULL"))
        reply_nil(c);
    else if (arg_is(w, "TRUE") || arg_is(w, "FALSE"))
        resp_bool(o, c->proto, arg_is(w, "TRUE"));
    else if (arg_is(w, "VERBATIM"))
        resp_verbatim(o, c->proto, "txt", S("This is a verbatim\nstring"));
    else if (arg_is(w, "BIGNUM") && c->proto > 2)
        buf_lit(o, "(1234567999999999999999999999999999999\r\n");
    else if (arg_is(w, "BIGNUM"))
        reply_bulk(c, S("1234567999999999999999999999999999999"));
    else if (arg_is(w, "ARRAY") || arg_is(w, "SET") || arg_is(w, "PUSH") || arg_is(w, "MAP") ||
             arg_is(w, "ATTRIB")) {
        bool map = arg_is(w, "MAP");
        if (arg_is(w, "ATTRIB")) {
            if (c->proto > 2) {
                resp_attribute(o, 1);
                reply_bulk(c, S("key-popularity"));
                reply_array(c, 2);
                reply_bulk(c, S("key:123"));
                reply_int(c, 90);
            }
            reply_bulk(c, S("Some real reply following the attribute"));
            return;
        }
        if (map)
            reply_map(c, 3);
        else if (arg_is(w, "SET"))
            resp_set(o, c->proto, 3);
        else if (arg_is(w, "PUSH"))
            resp_push(o, c->proto, 2);
        else
            reply_array(c, 3);
        if (arg_is(w, "PUSH")) {
            reply_bulk(c, S("server-cpu-usage"));
            reply_int(c, 42);
            return;
        }
        for (int i = 0; i < 3; i++) {
            reply_int(c, i);
            if (map)
                resp_bool(o, c->proto, i == 1);
        }
    } else {
        reply_err(c, "ERR Wrong protocol type name. Please use one of the following: "
                     "string|integer|double|null|array|set|map|attrib|push|verbatim|true|false");
    }
}

static void cmd_debug_help(struct resp_client *c);

static const struct cmd_debug_row cmd_debug_rows[] = {
    {"OBJECT", 3, cmd_debug_object, false},
    {"SLEEP", 3, cmd_debug_sleep, false},
    {"RELOAD", 0, cmd_debug_reload, true},
    {"LOADAOF", 2, cmd_debug_reload, true},
    {"SET-ACTIVE-EXPIRE", 3, cmd_debug_active_expire, false},
    {"DIGEST-VALUE", 0, cmd_debug_digest_value, false},
    {"JMAP", 2, cmd_debug_log, false},
    {"LOG", 3, cmd_debug_log, false},
    {"ERROR", 3, cmd_debug_error, false},
    {"PROTOCOL", 3, cmd_debug_protocol, false},
    {"HELP", 2, cmd_debug_help, false},
};

static void cmd_debug_help(struct resp_client *c)
{
    reply_array(c, ARRAY_LEN(cmd_debug_rows) + 1);
    resp_simple(c->out, S("DEBUG <subcommand> [<arg>]. For tests only. Subcommands are:"));
    for (size_t i = 0; i < ARRAY_LEN(cmd_debug_rows); i++)
        resp_simple(c->out, slice_str(cmd_debug_rows[i].word));
}

void cmd_debug(struct resp_client *c)
{
    for (size_t i = 0; i < ARRAY_LEN(cmd_debug_rows); i++) {
        const struct cmd_debug_row *r = &cmd_debug_rows[i];
        if (!arg_is(c->argv[1], r->word) || (r->argc != 0 && r->argc != c->argc))
            continue;
        if (r->waits && (c->flags & CL_IN_EXEC))
            reply_err(c, "ERR this DEBUG subcommand waits and is not allowed in transactions");
        else
            r->run(c);
        return;
    }
    reply_unknown_sub(c);
}
