/*
 * cmd_keys.c - commands on keys of any type: delete, rename, copy, walk, databases, OBJECT.
 *
 * Expiry is in cmd_expire.c. Walks (KEYS, SCAN) gather their answer in the thread's scratch, since
 * its length is known at the end. Inside the store's lock. Tested by
 * tests/unit/resp/test_resp_commands.c and the Redis suite (unit/keyspace, unit/scan).
 */
#include "base/glob.h"
#include "resp/resp_int.h"

void cmd_del(struct resp_client *c)
{
    int64_t n = 0;
    for (size_t i = 1; i < c->argc; i++) {
        if (ks_find(c->st, c->db, c->argv[i], KS_NOTOUCH) == NULL ||
            !ks_del(c->st, c->db, c->argv[i]))
            continue;
        ks_notify(c->st, 'g', "del", c->argv[i], c->db);
        n++;
    }
    reply_int(c, n);
}

static void cmd_keys_count(struct resp_client *c, int how)
{
    int64_t n = 0;
    for (size_t i = 1; i < c->argc; i++)
        n += ks_find(c->st, c->db, c->argv[i], how) != NULL;
    reply_int(c, n);
}

void cmd_exists(struct resp_client *c)
{
    cmd_keys_count(c, KS_NOTOUCH);
}

void cmd_touch(struct resp_client *c)
{
    cmd_keys_count(c, KS_TOUCH);
}

void cmd_type(struct resp_client *c)
{
    struct entry *e = ks_find(c->st, c->db, c->argv[1], KS_NOTOUCH);
    resp_simple(c->out, e != NULL ? slice_str(vtype_name(ks_type(e))) : S("none"));
}

void cmd_randomkey(struct resp_client *c)
{
    struct entry *e = ks_random(c->st, c->db);
    if (e == NULL)
        reply_nil(c);
    else
        reply_bulk(c, ks_key(e));
}

void cmd_dbsize(struct resp_client *c)
{
    reply_int(c, (int64_t)ks_count(c->st, c->db));
}

/* ---- rename, copy, move ---- */

static void cmd_keys_rename(struct resp_client *c, bool replace)
{
    struct slice from = c->argv[1], to = c->argv[2];
    if (ks_find(c->st, c->db, from, KS_TOUCH) == NULL) {
        reply_err(c, "ERR no such key");
        return;
    }
    bool same = slice_eq(from, to);
    enum rc rc = RC_OK;
    if (same)
        rc = replace ? RC_OK : RC_CONFLICT;
    else
        rc = ks_rename(c->st, c->db, from, c->db, to, replace, false);
    if (rc == RC_OK && !same) {
        ks_notify(c->st, 'g', "rename_from", from, c->db);
        ks_notify(c->st, 'g', "rename_to", to, c->db);
    }
    if (replace && rc == RC_OK)
        reply_ok(c);
    else if (rc == RC_OK || rc == RC_CONFLICT)
        reply_int(c, rc == RC_OK);
    else
        reply_rc(c, rc);
}

void cmd_rename(struct resp_client *c)
{
    cmd_keys_rename(c, true);
}

void cmd_renamenx(struct resp_client *c)
{
    cmd_keys_rename(c, false);
}

void cmd_move(struct resp_client *c)
{
    struct slice key = c->argv[1];
    int db;
    if (!arg_db(c, c->argv[2], &db, "value is not an integer or out of range"))
        return;
    if (db == c->db) {
        reply_err(c, "ERR source and destination objects are the same");
        return;
    }
    enum rc rc = RC_NOTFOUND;
    if (ks_find(c->st, c->db, key, KS_TOUCH) != NULL)
        rc = ks_rename(c->st, c->db, key, db, key, false, false);
    if (rc == RC_OK) {
        ks_notify(c->st, 'g', "move_from", key, c->db);
        ks_notify(c->st, 'g', "move_to", key, db);
    }
    if (rc == RC_OK || rc == RC_NOTFOUND || rc == RC_CONFLICT)
        reply_int(c, rc == RC_OK);
    else
        reply_rc(c, rc);
}

void cmd_copy(struct resp_client *c)
{
    int db = c->db;
    bool replace = false;
    for (size_t i = 3; i < c->argc; i++) {
        if (arg_is(c->argv[i], "REPLACE")) {
            replace = true;
        } else if (arg_is(c->argv[i], "DB") && i + 1 < c->argc) {
            if (!arg_db(c, c->argv[++i], &db, "value is not an integer or out of range"))
                return;
        } else {
            reply_syntax(c);
            return;
        }
    }
    if (db == c->db && slice_eq(c->argv[1], c->argv[2])) {
        reply_err(c, "ERR source and destination objects are the same");
        return;
    }
    enum rc rc = RC_NOTFOUND;
    if (ks_find(c->st, c->db, c->argv[1], KS_TOUCH) != NULL)
        rc = ks_rename(c->st, c->db, c->argv[1], db, c->argv[2], replace, true);
    if (rc == RC_OK)
        ks_notify(c->st, 'g', "copy_to", c->argv[2], db);
    if (rc == RC_OK || rc == RC_NOTFOUND || rc == RC_CONFLICT)
        reply_int(c, rc == RC_OK);
    else
        reply_rc(c, rc);
}

void cmd_swapdb(struct resp_client *c)
{
    int a, b;
    if (!arg_db(c, c->argv[1], &a, "invalid first DB index") ||
        !arg_db(c, c->argv[2], &b, "invalid second DB index"))
        return;
    if (a != b)
        ks_swap(c->st, a, b);
    reply_ok(c);
}

static void cmd_keys_flush(struct resp_client *c, int db)
{
    if (c->argc > 2 ||
        (c->argc == 2 && !arg_is(c->argv[1], "ASYNC") && !arg_is(c->argv[1], "SYNC"))) {
        reply_syntax(c);
        return;
    }
    ks_flush(c->st, db);
    reply_ok(c);
}

void cmd_flushdb(struct resp_client *c)
{
    cmd_keys_flush(c, c->db);
}

void cmd_flushall(struct resp_client *c)
{
    cmd_keys_flush(c, -1);
}

/* ---- walks ---- */

struct cmd_keys_walk {
    struct resp_gather g;
    const struct resp_scan *scan;
};

static bool cmd_keys_is_type(const struct entry *e, struct slice type)
{
    return slice_eq_ci(slice_str(vtype_name(ks_type(e))), type);
}

static void cmd_keys_each(void *ctx, struct entry *e)
{
    struct cmd_keys_walk *w = ctx;
    if (w->scan->has_match && !glob_match(w->scan->match, ks_key(e), false))
        return;
    if (w->scan->has_type && !cmd_keys_is_type(e, w->scan->type))
        return;
    gather_bulk(&w->g, ks_key(e));
}

void cmd_scan(struct resp_client *c)
{
    struct resp_scan s;
    if (!arg_scan(c, 1, true, &s))
        return;
    struct cmd_keys_walk w = {gather_begin(c), &s};
    uint64_t next = ks_scan(c->st, c->db, s.cursor, s.count, cmd_keys_each, &w);
    char text[24];
    reply_array(c, 2);
    reply_bulk(c, slice_of(text, fmt_u64(text, next)));
    gather_end(c, &w.g);
}

void cmd_keys(struct resp_client *c)
{
    struct resp_scan s = {.match = c->argv[1], .has_match = !slice_eq(c->argv[1], S("*"))};
    struct cmd_keys_walk w = {gather_begin(c), &s};
    uint64_t at = 0;
    do
        at = ks_scan(c->st, c->db, at, 1000, cmd_keys_each, &w);
    while (at != 0);
    gather_end(c, &w.g);
}

/* ---- OBJECT ---- */

/* The key of OBJECT, or NULL and nil is answered. */
static struct entry *cmd_keys_object(struct resp_client *c)
{
    struct entry *e = ks_find(c->st, c->db, c->argv[2], KS_NOTOUCH);
    if (e == NULL)
        reply_nil(c);
    return e;
}

void cmd_object_encoding(struct resp_client *c)
{
    const struct entry *e = cmd_keys_object(c);
    if (e != NULL)
        reply_str(c, ks_encoding(e));
}

void cmd_object_refcount(struct resp_client *c)
{
    const struct entry *e = cmd_keys_object(c);
    int64_t n = -1;
    char tmp[KS_TMP];
    if (e == NULL)
        return;
    bool small = ks_type(e) == V_STRING && slice_i64(ks_str(e, tmp), &n) && n >= 0 && n < 10000;
    reply_int(c, small ? INT32_MAX : 1); /* Redis shares these integers, and tells it like this */
}

static const char cmd_keys_other_policy[] =
    "Please note that when switching between policies at runtime LRU and LFU data will take some "
    "time to adjust.";

void cmd_object_idletime(struct resp_client *c)
{
    const struct entry *e = cmd_keys_object(c);
    if (e == NULL)
        return;
    if (ks_freq(c->st, e) >= 0)
        resp_errorf(c->out, "ERR An LFU maxmemory policy is selected, idle time not tracked. %s",
                    cmd_keys_other_policy);
    else
        reply_int(c, ks_idle_ms(c->st, e) / 1000);
}

void cmd_object_freq(struct resp_client *c)
{
    const struct entry *e = cmd_keys_object(c);
    if (e == NULL)
        return;
    if (ks_freq(c->st, e) < 0)
        resp_errorf(c->out,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. %s",
                    cmd_keys_other_policy);
    else
        reply_int(c, ks_freq(c->st, e));
}
