/*
 * cmd_hash.c - commands on hashes.
 *
 * HRANDFIELD and HSCAN are at the end. Slices that ks_hget gives are answered before anything
 * changes. Inside the store's lock. Tested by test_resp_commands.c and the Redis suite
 * (unit/type/hash).
 */
#include "base/glob.h"
#include "base/rand.h"
#include "resp/resp_int.h"
#include <math.h>

void cmd_hset(struct resp_client *c)
{
    struct entry *e;
    int64_t created_n = 0;
    if (c->argc % 2 == 1) {
        reply_arity(c, c->row);
        return;
    }
    if (!lookup_as(c, c->argv[1], V_HASH, &e))
        return;
    for (size_t i = 2; i < c->argc; i += 2) {
        bool created = false;
        enum rc rc = ks_hset(c->st, c->db, c->argv[1], c->argv[i], c->argv[i + 1], &created);
        if (rc != RC_OK) {
            reply_rc(c, rc);
            return;
        }
        created_n += created;
    }
    ks_notify(c->st, 'h', "hset", c->argv[1], c->db);
    if (c->row->name_len == 4) /* hset; hmset answers OK */
        reply_int(c, created_n);
    else
        reply_ok(c);
}

/* False: wrong type, answered. *found tells whether the field is there. */
static bool cmd_hash_field(struct resp_client *c, struct slice *value, bool *found)
{
    struct entry *e;
    if (!lookup_as(c, c->argv[1], V_HASH, &e))
        return false;
    *found = e != NULL && ks_hget(e, c->argv[2], value);
    return true;
}

void cmd_hget(struct resp_client *c)
{
    struct slice value;
    bool found;
    if (!cmd_hash_field(c, &value, &found))
        return;
    if (found)
        reply_bulk(c, value);
    else
        reply_nil(c);
}

void cmd_hexists(struct resp_client *c)
{
    struct slice value;
    bool found;
    if (cmd_hash_field(c, &value, &found))
        reply_int(c, found);
}

void cmd_hstrlen(struct resp_client *c)
{
    struct slice value = S("");
    bool found;
    if (cmd_hash_field(c, &value, &found))
        reply_int(c, found ? (int64_t)value.n : 0);
}

/* Sets one field and answers errors. */
static bool cmd_hash_put(struct resp_client *c, struct slice value, const char *event)
{
    bool created;
    enum rc rc = ks_hset(c->st, c->db, c->argv[1], c->argv[2], value, &created);
    if (rc != RC_OK) {
        reply_rc(c, rc);
        return false;
    }
    ks_notify(c->st, 'h', event, c->argv[1], c->db);
    return true;
}

void cmd_hsetnx(struct resp_client *c)
{
    struct slice value;
    bool found;
    if (!cmd_hash_field(c, &value, &found))
        return;
    if (found || cmd_hash_put(c, c->argv[3], "hset"))
        reply_int(c, !found);
}

void cmd_hmget(struct resp_client *c)
{
    struct entry *e;
    struct slice value;
    if (!lookup_as(c, c->argv[1], V_HASH, &e))
        return;
    reply_array(c, c->argc - 2);
    for (size_t i = 2; i < c->argc; i++) {
        if (e != NULL && ks_hget(e, c->argv[i], &value))
            reply_bulk(c, value);
        else
            reply_nil(c);
    }
}

enum { CMD_HASH_FIELDS = 1, CMD_HASH_VALUES = 2 };

static void cmd_hash_all(struct resp_client *c, int what)
{
    struct entry *e;
    struct slice field, value;
    uint64_t it = 0;
    if (!lookup_as(c, c->argv[1], V_HASH, &e))
        return;
    size_t n = e != NULL ? (size_t)ks_hlen(e) : 0;
    if (what == (CMD_HASH_FIELDS | CMD_HASH_VALUES))
        reply_map(c, n);
    else
        reply_array(c, n);
    while (e != NULL && ks_hnext(e, &it, &field, &value)) {
        if (what & CMD_HASH_FIELDS)
            reply_bulk(c, field);
        if (what & CMD_HASH_VALUES)
            reply_bulk(c, value);
    }
}

void cmd_hgetall(struct resp_client *c)
{
    cmd_hash_all(c, CMD_HASH_FIELDS | CMD_HASH_VALUES);
}

void cmd_hkeys(struct resp_client *c)
{
    cmd_hash_all(c, CMD_HASH_FIELDS);
}

void cmd_hvals(struct resp_client *c)
{
    cmd_hash_all(c, CMD_HASH_VALUES);
}

void cmd_hlen(struct resp_client *c)
{
    struct entry *e;
    if (lookup_as(c, c->argv[1], V_HASH, &e))
        reply_int(c, e != NULL ? (int64_t)ks_hlen(e) : 0);
}

void cmd_hdel(struct resp_client *c)
{
    struct entry *e;
    int64_t n = 0;
    if (!lookup_as(c, c->argv[1], V_HASH, &e))
        return;
    for (size_t i = 2; e != NULL && i < c->argc; i++)
        n += ks_hdel(c->st, c->db, c->argv[1], c->argv[i]) == RC_OK;
    if (n > 0) {
        ks_notify(c->st, 'h', "hdel", c->argv[1], c->db);
        if (ks_find(c->st, c->db, c->argv[1], KS_NOTOUCH) == NULL)
            ks_notify(c->st, 'g', "del", c->argv[1], c->db);
    }
    reply_int(c, n);
}

/* ---- counters ---- */

void cmd_hincrby(struct resp_client *c)
{
    int64_t by, old = 0;
    struct slice value;
    bool found;
    char text[24];
    if (!arg_i64(c, c->argv[3], &by) || !cmd_hash_field(c, &value, &found))
        return;
    if (found && !slice_i64(value, &old)) {
        reply_err(c, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(old, by, &by)) {
        reply_err(c, "ERR increment or decrement would overflow");
        return;
    }
    if (cmd_hash_put(c, slice_of(text, fmt_i64(text, by)), "hincrby"))
        reply_int(c, by);
}

void cmd_hincrbyfloat(struct resp_client *c)
{
    long double by, old = 0;
    struct slice value;
    bool found;
    char text[400];
    if (!arg_float(c, c->argv[3], &by))
        return;
    if (isinf(by)) {
        reply_err(c, "ERR value is NaN or Infinity");
        return;
    }
    if (!cmd_hash_field(c, &value, &found))
        return;
    if (found && !text_float(value, &old)) {
        reply_err(c, "ERR hash value is not a float");
        return;
    }
    old += by;
    if (isnan(old) || isinf(old)) {
        reply_err(c, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct slice s = slice_of(text, fmt_long_double(text, old));
    if (cmd_hash_put(c, s, "hincrbyfloat"))
        reply_bulk(c, s);
}

/* ---- HRANDFIELD ---- */

enum { CMD_HASH_RANDOM_MAX = 16 << 20 };

struct cmd_hash_pair {
    struct slice field, value;
};

/* All pairs in an arena array. */
static struct cmd_hash_pair *cmd_hash_pairs(struct resp_client *c, const struct entry *e, size_t n)
{
    struct cmd_hash_pair *p = ARENA_ARRAY(&c->th->arena, struct cmd_hash_pair, n);
    uint64_t it = 0;
    for (size_t i = 0; i < n && ks_hnext(e, &it, &p[i].field, &p[i].value); i++) {
    }
    return p;
}

static void cmd_hash_pair_reply(struct resp_client *c, const struct cmd_hash_pair *p, bool values)
{
    if (values && c->proto > 2)
        reply_array(c, 2);
    reply_bulk(c, p->field);
    if (values)
        reply_bulk(c, p->value);
}

static void cmd_hash_random(struct resp_client *c, const struct entry *e, int64_t count,
                            bool values)
{
    size_t n = e != NULL ? (size_t)ks_hlen(e) : 0;
    bool repeat = count < 0;
    size_t want = repeat ? (size_t)-count : MIN((size_t)count, n);
    if (n == 0)
        want = 0;
    reply_array(c, values && c->proto == 2 ? want * 2 : want);
    if (want == 0)
        return;
    struct cmd_hash_pair *p = cmd_hash_pairs(c, e, n);
    for (size_t i = 0; i < want && !buf_over(c->out); i++) {
        size_t at = repeat ? (size_t)rand_below(n) : i + (size_t)rand_below(n - i);
        cmd_hash_pair_reply(c, &p[at], values);
        if (!repeat)
            p[at] = p[i];
    }
}

void cmd_hrandfield(struct resp_client *c)
{
    int64_t count;
    struct entry *e;
    bool values = c->argc == 4;
    if (c->argc > 4 || (values && !arg_is(c->argv[3], "WITHVALUES"))) {
        reply_syntax(c);
        return;
    }
    if (c->argc > 2) {
        int64_t max = CMD_HASH_RANDOM_MAX; /* Redis tries to answer more, and falls over */
        if (!arg_i64(c, c->argv[2], &count))
            return;
        if (count < -max || count == INT64_MIN || (values && count > INT64_MAX / 2)) {
            reply_err(c, "ERR value is out of range");
            return;
        }
        if (lookup_as(c, c->argv[1], V_HASH, &e))
            cmd_hash_random(c, e, count, values);
        return;
    }
    if (!lookup_as(c, c->argv[1], V_HASH, &e))
        return;
    if (e == NULL) {
        reply_nil(c);
        return;
    }
    size_t n = (size_t)ks_hlen(e), at = (size_t)rand_below(n);
    reply_bulk(c, cmd_hash_pairs(c, e, n)[at].field);
}

/* ---- HSCAN ---- */

struct cmd_hash_walk {
    struct resp_gather g;
    const struct resp_scan *scan;
};

static void cmd_hash_each(void *ctx, struct slice field, struct slice value)
{
    struct cmd_hash_walk *w = ctx;
    if (w->scan->has_match && !glob_match(w->scan->match, field, false))
        return;
    gather_bulk(&w->g, field);
    gather_bulk(&w->g, value);
}

void cmd_hscan(struct resp_client *c)
{
    struct resp_scan s;
    struct entry *e;
    char text[24];
    if (!arg_scan(c, 2, false, &s) || !lookup_as(c, c->argv[1], V_HASH, &e))
        return;
    struct cmd_hash_walk w = {gather_begin(c), &s};
    uint64_t next = e != NULL ? ks_hscan(e, s.cursor, s.count, cmd_hash_each, &w) : 0;
    reply_array(c, 2);
    reply_bulk(c, slice_of(text, fmt_u64(text, next)));
    gather_end(c, &w.g);
}
