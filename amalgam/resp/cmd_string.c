/*
 * cmd_string.c - commands on strings: GET, SET and their family, counters, ranges.
 *
 * Each function is a row's: arguments in argv, reply into c->out, meaning of Redis 7.2. Values that
 * are integers stay integers in the store; ks_str gives their text. Old values are answered
 * (copied) before the key changes. LCS is in cmd_lcs.c. Inside the store's lock. Tested by
 * tests/unit/resp/test_resp_commands.c and the Redis suite (unit/type/string, unit/type/incr).
 */
#include "resp/resp_int.h"
#include <math.h>

/* The value as a bulk string, or nil; false: wrong type, answered. */
static bool cmd_string_reply(struct resp_client *c, struct slice key)
{
    struct entry *e;
    char tmp[KS_TMP];
    if (!lookup_as(c, key, V_STRING, &e))
        return false;
    if (e == NULL)
        reply_nil(c);
    else
        reply_bulk(c, ks_str(e, tmp));
    return true;
}

static void cmd_string_put(struct resp_client *c, struct slice key, struct slice value,
                           int64_t expire_ms)
{
    ks_set(c->st, c->db, key, value, expire_ms);
    ks_notify(c->st, '$', "set", key, c->db);
    if (expire_ms > 0)
        ks_notify(c->st, 'g', "expire", key, c->db);
}

HOT void cmd_get(struct resp_client *c)
{
    (void)cmd_string_reply(c, c->argv[1]);
}

/* ---- SET and GETEX options ---- */

enum {
    CMD_STRING_NX = 1,
    CMD_STRING_XX = 2,
    CMD_STRING_GET = 4,
    CMD_STRING_KEEPTTL = 8,
    CMD_STRING_PERSIST = 16,
    CMD_STRING_EXPIRE = 32
};

struct cmd_string_options {
    uint32_t flags;
    int unit;
    struct slice time;
};

static const struct {
    const char *word;
    uint32_t flag, clashes;
    int unit; /* of the argument that follows, -1: none */
    bool of_set, of_getex;
} cmd_string_words[] = {
    {"NX", CMD_STRING_NX, CMD_STRING_XX, -1, true, false},
    {"XX", CMD_STRING_XX, CMD_STRING_NX, -1, true, false},
    {"GET", CMD_STRING_GET, 0, -1, true, false},
    {"KEEPTTL", CMD_STRING_KEEPTTL, CMD_STRING_EXPIRE | CMD_STRING_PERSIST, -1, true, false},
    {"PERSIST", CMD_STRING_PERSIST, CMD_STRING_EXPIRE | CMD_STRING_KEEPTTL, -1, false, true},
    {"EX", CMD_STRING_EXPIRE, 56, TIME_SECONDS | TIME_RELATIVE, true, true},
    {"PX", CMD_STRING_EXPIRE, 56, TIME_RELATIVE, true, true},
    {"EXAT", CMD_STRING_EXPIRE, 56, TIME_SECONDS, true, true},
    {"PXAT", CMD_STRING_EXPIRE, 56, 0, true, true},
};
_Static_assert((CMD_STRING_KEEPTTL | CMD_STRING_PERSIST | CMD_STRING_EXPIRE) == 56,
               "one expiry only");

static bool cmd_string_option(struct resp_client *c, size_t *i, bool of_set,
                              struct cmd_string_options *o)
{
    for (size_t k = 0; k < ARRAY_LEN(cmd_string_words); k++) {
        if (!(of_set ? cmd_string_words[k].of_set : cmd_string_words[k].of_getex) ||
            !arg_is(c->argv[*i], cmd_string_words[k].word))
            continue;
        if (o->flags & cmd_string_words[k].clashes)
            return false;
        o->flags |= cmd_string_words[k].flag;
        if (cmd_string_words[k].unit >= 0) {
            if (*i + 1 >= c->argc)
                return false;
            o->unit = cmd_string_words[k].unit;
            o->time = c->argv[++*i];
        }
        return true;
    }
    return false;
}

static bool cmd_string_options(struct resp_client *c, size_t at, bool of_set,
                               struct cmd_string_options *o)
{
    for (size_t i = at; i < c->argc; i++) {
        if (!cmd_string_option(c, &i, of_set, o)) {
            reply_syntax(c);
            return false;
        }
    }
    return true;
}

static void cmd_string_set_full(struct resp_client *c)
{
    struct cmd_string_options o = {0};
    struct slice key = c->argv[1];
    int64_t at_ms = 0;
    if (!cmd_string_options(c, 3, true, &o))
        return;
    if ((o.flags & CMD_STRING_EXPIRE) && !arg_expire(c, o.time, o.unit, true, &at_ms))
        return;
    if ((o.flags & CMD_STRING_GET) && !cmd_string_reply(c, key))
        return;
    if (o.flags & (CMD_STRING_NX | CMD_STRING_XX)) {
        bool found = lookup(c, key) != NULL;
        if (found == ((o.flags & CMD_STRING_NX) != 0)) {
            if (!(o.flags & CMD_STRING_GET))
                reply_nil(c);
            return;
        }
    }
    cmd_string_put(c, key, c->argv[2], o.flags & CMD_STRING_KEEPTTL ? KS_KEEP_TTL : at_ms);
    if (!(o.flags & CMD_STRING_GET))
        reply_ok(c);
}

HOT void cmd_set(struct resp_client *c)
{
    if (UNLIKELY(c->argc > 3)) {
        cmd_string_set_full(c);
        return;
    }
    ks_set(c->st, c->db, c->argv[1], c->argv[2], 0);
    ks_notify(c->st, '$', "set", c->argv[1], c->db);
    reply_ok(c);
}

void cmd_setnx(struct resp_client *c)
{
    bool absent = lookup(c, c->argv[1]) == NULL;
    if (absent)
        cmd_string_put(c, c->argv[1], c->argv[2], 0);
    reply_int(c, absent);
}

static void cmd_string_setex(struct resp_client *c, int unit)
{
    int64_t at_ms;
    if (!arg_expire(c, c->argv[2], unit, true, &at_ms))
        return;
    cmd_string_put(c, c->argv[1], c->argv[3], at_ms);
    reply_ok(c);
}

void cmd_setex(struct resp_client *c)
{
    cmd_string_setex(c, TIME_SECONDS | TIME_RELATIVE);
}

void cmd_psetex(struct resp_client *c)
{
    cmd_string_setex(c, TIME_RELATIVE);
}

void cmd_getset(struct resp_client *c)
{
    if (!cmd_string_reply(c, c->argv[1]))
        return;
    cmd_string_put(c, c->argv[1], c->argv[2], 0);
}

void cmd_getdel(struct resp_client *c)
{
    struct slice key = c->argv[1];
    if (!cmd_string_reply(c, key))
        return;
    if (ks_del(c->st, c->db, key))
        ks_notify(c->st, 'g', "del", key, c->db);
}

void cmd_getex(struct resp_client *c)
{
    struct cmd_string_options o = {0};
    struct slice key = c->argv[1];
    struct entry *e;
    int64_t at_ms = 0;
    if (!cmd_string_options(c, 2, false, &o) || !lookup_as(c, key, V_STRING, &e))
        return;
    if ((o.flags & CMD_STRING_EXPIRE) && e != NULL && !arg_expire(c, o.time, o.unit, true, &at_ms))
        return;
    (void)cmd_string_reply(c, key);
    if (e == NULL || !(o.flags & (CMD_STRING_EXPIRE | CMD_STRING_PERSIST)))
        return;
    bool had = ks_expire_ms(e) != 0;
    if ((o.flags & CMD_STRING_PERSIST) && !had)
        return;
    const char *event = o.flags & CMD_STRING_PERSIST   ? "persist"
                        : at_ms <= store_now_ms(c->st) ? "del"
                                                       : "expire";
    (void)ks_expire_at(c->st, c->db, key, at_ms);
    ks_notify(c->st, 'g', event, key, c->db);
}

/* ---- several keys ---- */

void cmd_mget(struct resp_client *c)
{
    char tmp[KS_TMP];
    reply_array(c, c->argc - 1);
    for (size_t i = 1; i < c->argc; i++) {
        struct entry *e = lookup(c, c->argv[i]);
        if (e == NULL || ks_type(e) != V_STRING)
            reply_nil(c);
        else
            reply_bulk(c, ks_str(e, tmp));
    }
}

static void cmd_string_mset(struct resp_client *c, bool if_absent)
{
    if (c->argc % 2 == 0) {
        reply_arity(c, c->row);
        return;
    }
    for (size_t i = 1; if_absent && i < c->argc; i += 2) {
        if (lookup(c, c->argv[i]) != NULL) {
            reply_int(c, 0);
            return;
        }
    }
    for (size_t i = 1; i < c->argc; i += 2)
        cmd_string_put(c, c->argv[i], c->argv[i + 1], 0);
    if (if_absent)
        reply_int(c, 1);
    else
        reply_ok(c);
}

void cmd_mset(struct resp_client *c)
{
    cmd_string_mset(c, false);
}

void cmd_msetnx(struct resp_client *c)
{
    cmd_string_mset(c, true);
}

/* ---- parts ---- */

void cmd_strlen(struct resp_client *c)
{
    struct entry *e;
    char tmp[KS_TMP];
    if (lookup_as(c, c->argv[1], V_STRING, &e))
        reply_int(c, e != NULL ? (int64_t)ks_str(e, tmp).n : 0);
}

static bool cmd_string_fits(struct resp_client *c, size_t n)
{
    if (n <= c->srv->limits.bulk_bytes_max)
        return true;
    reply_err(c, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

void cmd_append(struct resp_client *c)
{
    struct entry *e;
    char tmp[KS_TMP];
    size_t n = 0;
    if (!lookup_as(c, c->argv[1], V_STRING, &e))
        return;
    if (e != NULL && !cmd_string_fits(c, ks_str(e, tmp).n + c->argv[2].n))
        return;
    enum rc rc = ks_append(c->st, c->db, c->argv[1], c->argv[2], &n);
    if (rc != RC_OK) {
        reply_rc(c, rc);
        return;
    }
    ks_notify(c->st, '$', "append", c->argv[1], c->db);
    reply_int(c, (int64_t)n);
}

void cmd_getrange(struct resp_client *c)
{
    int64_t start, end;
    struct entry *e;
    char tmp[KS_TMP];
    if (!arg_i64(c, c->argv[2], &start) || !arg_i64(c, c->argv[3], &end) ||
        !lookup_as(c, c->argv[1], V_STRING, &e))
        return;
    struct slice s = e != NULL ? ks_str(e, tmp) : S("");
    int64_t n = (int64_t)s.n;
    if (start < 0 && end < 0 && start > end) {
        reply_bulk(c, S(""));
        return;
    }
    start = start < 0 ? MAX(start + n, 0) : start;
    end = end < 0 ? MAX(end + n, 0) : MIN(end, n - 1);
    if (start > end || n == 0)
        reply_bulk(c, S(""));
    else
        reply_bulk(c, slice_sub(s, (size_t)start, (size_t)(end - start + 1)));
}

void cmd_setrange(struct resp_client *c)
{
    int64_t at;
    struct entry *e;
    char tmp[KS_TMP];
    struct slice part = c->argv[3];
    if (!arg_i64(c, c->argv[2], &at))
        return;
    if (at < 0) {
        reply_err(c, "ERR offset is out of range");
        return;
    }
    if (!lookup_as(c, c->argv[1], V_STRING, &e))
        return;
    size_t n = e != NULL ? ks_str(e, tmp).n : 0;
    if (part.n == 0) {
        reply_int(c, (int64_t)n);
        return;
    }
    if ((uint64_t)at > SIZE_MAX / 2 || !cmd_string_fits(c, (size_t)at + part.n))
        return;
    enum rc rc = ks_setrange(c->st, c->db, c->argv[1], (size_t)at, part, &n);
    if (rc != RC_OK) {
        reply_rc(c, rc);
        return;
    }
    ks_notify(c->st, '$', "setrange", c->argv[1], c->db);
    reply_int(c, (int64_t)n);
}

/* ---- counters ---- */

HOT static void cmd_string_incr(struct resp_client *c, int64_t by)
{
    int64_t n;
    enum rc rc = ks_incr(c->st, c->db, c->argv[1], by, 0, &n);
    if (UNLIKELY(rc != RC_OK)) {
        reply_rc(c, rc);
        return;
    }
    ks_notify(c->st, '$', "incrby", c->argv[1], c->db);
    reply_int(c, n);
}

void cmd_incr(struct resp_client *c)
{
    cmd_string_incr(c, 1);
}

void cmd_decr(struct resp_client *c)
{
    cmd_string_incr(c, -1);
}

void cmd_incrby(struct resp_client *c)
{
    int64_t by;
    if (arg_i64(c, c->argv[2], &by))
        cmd_string_incr(c, by);
}

void cmd_decrby(struct resp_client *c)
{
    int64_t by;
    if (!arg_i64(c, c->argv[2], &by))
        return;
    if (by == INT64_MIN)
        reply_err(c, "ERR decrement would overflow");
    else
        cmd_string_incr(c, -by);
}

void cmd_incrbyfloat(struct resp_client *c)
{
    struct entry *e;
    char tmp[KS_TMP], text[400];
    long double value = 0, by;
    if (!lookup_as(c, c->argv[1], V_STRING, &e))
        return;
    if ((e != NULL && !arg_float(c, ks_str(e, tmp), &value)) || !arg_float(c, c->argv[2], &by))
        return;
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_err(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct slice s = slice_of(text, fmt_long_double(text, value));
    ks_set(c->st, c->db, c->argv[1], s, KS_KEEP_TTL);
    ks_notify(c->st, '$', "incrbyfloat", c->argv[1], c->db);
    reply_bulk(c, s);
}
