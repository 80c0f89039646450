/*
 * account_key.c - API keys of people: a row that they see, two entries of the keyspace that checks read.
 *
 * Called by portal/ workers, main/'s control thread and the demo. The row is committed first, then the
 * keyspace entries are put and synced; only then is the key given out. Revoking takes the entries away
 * first, so that a revoked key is refused even if the row could not be written.
 * The clear key exists in the caller's arena only. Tested by tests/unit/store/test_account.c.
 */
#include "base/rand.h"
#include "store/account.h"
#include "store/keys.h"
#include "wire/cred.h"

#define ACCOUNT_KEY_COLUMNS \
    "SELECT k.id,k.account_id,k.app_id,a.email,k.name,k.public,k.plan,k.product,k.hash,k.created_ms," \
    "k.expires_ms,k.revoked_ms,k.used_ms,k.config_id FROM api_key k JOIN account a ON a.id=k.account_id "

struct account_key_read {
    struct arena *a;
    struct account_key *rows;
    size_t n, cap;
};

static bool account_key_row(void *ctx, const struct db_row *r)
{
    struct account_key_read *x = ctx;
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 16;
        struct account_key *bigger = ARENA_ARRAY(x->a, struct account_key, cap);
        if (x->n)
            memcpy(bigger, x->rows, x->n * sizeof *bigger);
        x->rows = bigger;
        x->cap = cap;
    }
    x->rows[x->n++] = (struct account_key){.id = arena_dup(x->a, db_text(r, 0)),
                                           .account_id = arena_dup(x->a, db_text(r, 1)),
                                           .app_id = arena_dup(x->a, db_text(r, 2)),
                                           .email = arena_dup(x->a, db_text(r, 3)),
                                           .name = arena_dup(x->a, db_text(r, 4)),
                                           .public_part = arena_dup(x->a, db_text(r, 5)),
                                           .plan = arena_dup(x->a, db_text(r, 6)),
                                           .product = arena_dup(x->a, db_text(r, 7)),
                                           .hash = arena_dup(x->a, db_text(r, 8)),
                                           .created_ms = db_int(r, 9),
                                           .expires_ms = db_int(r, 10),
                                           .revoked_ms = db_int(r, 11),
                                           .used_ms = db_int(r, 12),
                                           .config_id = arena_dup(x->a, db_text(r, 13))};
    return true;
}

/* ---- the entries that checks read ---- */

static void account_key_meta(struct keyrec *rec, struct slice name, struct slice value)
{
    if (value.n)
        MUST(keyrec_meta_set(rec, name, value));
}

static enum rc account_key_publish(struct store *st, int db, const struct account_key *k, struct arena *a,
                                   int64_t now_ms)
{
    struct keyrec rec = {.hash = k->hash, .uuid = k->id, .labels = {k->email}, .labels_n = 1};
    account_key_meta(&rec, S("app"), k->app_id);
    account_key_meta(&rec, S("config_id"), k->config_id);
    account_key_meta(&rec, S("created-ts-unix"), arena_fmt(a, "%lld", (long long)(k->created_ms / 1000)));
    if (k->expires_ms)
        account_key_meta(&rec, S("expires-ts-unix"), arena_fmt(a, "%lld", (long long)(k->expires_ms / 1000)));
    account_key_meta(&rec, S("name"), k->name);
    account_key_meta(&rec, S("product"), k->product);
    account_key_meta(&rec, S("public"), k->public_part);
    account_key_meta(&rec, S("usagePlan"), k->plan);
    account_key_meta(&rec, S("user-id"), k->account_id);
    account_key_meta(&rec, S("username"), k->email);
    store_enter(st, now_ms);
    enum rc rc = store_make_room(st);
    if (rc == RC_OK)
        keyrec_put(st, db, &rec, a);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    return rc == RC_OK ? store_sync(st, lsn) : rc;
}

/* By the row's hash too: checks read that entry, and the one by id may have been evicted. RC_IO: the
 * store refuses changes, the key still works, or (*gone) it is refused but may be back after a crash. */
static enum rc account_key_withdraw(struct store *st, int db, const struct account_key *k, int64_t now_ms,
                                    bool *gone)
{
    store_enter(st, now_ms);
    *gone = keys_may_change(st);
    (void)keyrec_del(st, db, k->id);
    (void)ks_del(st, db, k->hash);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    return *gone ? store_sync(st, lsn) : RC_IO;
}

/* ---- why it could not be done ---- */

static enum rc account_key_unwritten(struct store *st, enum rc rc, struct err *e)
{
    const char *why = store_trouble(st);
    return err_set(e, rc, "the key could not be written: %.380s", why ? why : rc_name(rc));
}

static enum rc account_key_remains(struct store *st, enum rc rc, bool gone, struct err *e)
{
    const char *why = store_trouble(st);
    if (gone)
        return err_set(e, rc, "the key is refused from now on, but this could not be written to disk");
    return err_set(e, rc, "the key still works: %.380s", why ? why : "changes were refused; try again");
}

/* ---- making ---- */

static enum rc account_key_check(const struct account_key_opts *o, int64_t now_ms, struct err *e)
{
    struct slice name = slice_trim(o->name);
    bool good = name.n > 0 && name.n <= 100 && slice_utf8(name);
    for (size_t i = 0; i < name.n; i++)
        good = good && (unsigned char)name.p[i] >= ' ' && name.p[i] != 127;
    if (!good)
        return err_at(e, RC_BADINPUT, "name", "a name of 1 to 100 characters on one line was expected");
    if (o->plan.n > 100 || o->product.n > 200 || !slice_printable(o->plan) || !slice_printable(o->product))
        return err_at(e, RC_BADINPUT, "plan", "a plan's name was expected");
    if (o->expires_ms && o->expires_ms <= now_ms)
        return err_at(e, RC_BADINPUT, "expires", "a time in the future was expected");
    return RC_OK;
}

enum rc account_key_create(struct store *st, const struct keyrec_scheme *scheme, struct arena *a,
                           const struct account_key_opts *o, int64_t now_ms, struct account_key *out,
                           struct slice *clear, struct err *e)
{
    struct account who;
    char uuid[37], hash[KEYREC_HASH_LEN];
    enum rc rc = account_key_check(o, now_ms, e);
    if (rc == RC_OK)
        rc = account_by_id(st, a, o->account_id, &who, e);
    if (rc == RC_OK && who.disabled)
        rc = err_at(e, RC_BADINPUT, "user", "the account %.*s is disabled: enable it first", SFMT(who.email));
    if (rc != RC_OK)
        return rc;
    rand_uuid4(uuid);
    *out = (struct account_key){.id = arena_dup(a, slice_of(uuid, 36)), .account_id = who.id, .email = who.email,
                                .app_id = o->app_id.n ? o->app_id : who.app_id,
                                .name = arena_dup(a, slice_trim(o->name)), .plan = o->plan, .product = o->product,
                                .created_ms = now_ms, .expires_ms = o->expires_ms, .config_id = o->config_id};
    *clear = apikey_new(a, o->prefix, &out->public_part);
    out->hash = arena_dup(a, keyrec_hash(scheme, *clear, hash));
    rc = db_run(store_db(st), e,
                "INSERT INTO api_key(id,account_id,app_id,name,public,plan,product,hash,config_id,created_ms,"
                "expires_ms,revoked_ms,used_ms) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,0,0)",
                "sssssssssii", out->id, out->account_id, out->app_id, out->name, out->public_part, out->plan,
                out->product, out->hash, o->config_id, out->created_ms, out->expires_ms);
    if (rc == RC_CONFLICT)
        return err_at(e, rc, "name", "there is a key named `%.*s` already; choose another name or revoke it",
                      SFMT(out->name));
    if (rc != RC_OK)
        return rc;
    rc = account_key_publish(st, scheme->db, out, a, now_ms);
    if (rc == RC_OK)
        return RC_OK;
    /* nobody was given the key: its row must not hold the name, nor come back when the account is enabled */
    keys_whatever(db_run(store_db(st), NULL, "DELETE FROM api_key WHERE id=?1", "s", out->id));
    return account_key_unwritten(st, rc, e);
}

/* ---- reading and revoking ---- */

enum rc account_key_list(struct store *st, struct arena *a, struct slice account_id, struct account_key **out,
                         size_t *n, struct err *e)
{
    struct account_key_read x = {.a = a};
    enum rc rc = db_query(store_db(st), e, account_key_row, &x,
                          ACCOUNT_KEY_COLUMNS "WHERE ?1='' OR k.account_id=?1 ORDER BY k.created_ms DESC, k.id", "s",
                          account_id);
    *out = x.rows;
    *n = x.n;
    return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc account_key_get(struct store *st, struct arena *a, struct slice id, struct account_key *out,
                        struct err *e)
{
    struct account_key_read x = {.a = a};
    enum rc rc = db_query(store_db(st), e, account_key_row, &x, ACCOUNT_KEY_COLUMNS "WHERE k.id=?1", "s", id);
    if (rc == RC_OK)
        *out = x.rows[0];
    return rc == RC_NOTFOUND ? err_at(e, rc, "id", "there is no key with this id") : rc;
}

enum rc account_key_revoke(struct store *st, const struct keyrec_scheme *scheme, struct slice id, int64_t now_ms,
                           struct err *e)
{
    struct arena a;
    struct account_key k = {0};
    bool gone;
    arena_init(&a, 4096, 0);
    enum rc rc = account_key_get(st, &a, id, &k, e);
    if (rc == RC_OK) {
        rc = account_key_withdraw(st, scheme->db, &k, now_ms, &gone);
        if (rc != RC_OK)
            (void)account_key_remains(st, rc, gone, e);
    }
    arena_free(&a);
    if (rc != RC_OK)
        return rc;
    rc = db_run(store_db(st), e, "UPDATE api_key SET revoked_ms=?2 WHERE id=?1 AND revoked_ms=0", "si", id, now_ms);
    return rc == RC_NOTFOUND ? err_at(e, rc, "id", "there is no key with this id that works") : rc;
}

/* ---- disabling a person takes the keys away, enabling puts them back ---- */

static enum rc account_key_switch_all(struct store *st, int db, struct slice account_id, bool disabled,
                                      int64_t now_ms, struct err *e)
{
    struct arena a;
    bool gone;
    arena_init(&a, 16384, 0);
    struct account_key_read x = {.a = &a};
    enum rc rc = db_query(store_db(st), e, account_key_row, &x,
                          ACCOUNT_KEY_COLUMNS "WHERE k.account_id=?1 AND k.revoked_ms=0", "s", account_id);
    rc = rc == RC_NOTFOUND ? RC_OK : rc;
    for (size_t i = 0; i < x.n && rc == RC_OK; i++) {
        rc = disabled ? account_key_withdraw(st, db, &x.rows[i], now_ms, &gone)
                      : account_key_publish(st, db, &x.rows[i], &a, now_ms);
        if (rc != RC_OK && disabled)
            (void)account_key_remains(st, rc, gone, e);
        else if (rc != RC_OK)
            (void)account_key_unwritten(st, rc, e);
    }
    arena_free(&a);
    return rc;
}

enum rc account_set_disabled(struct store *st, const struct keyrec_scheme *scheme, struct slice id, bool disabled,
                             int64_t now_ms, struct err *e)
{
    enum rc rc = db_run(store_db(st), e, "UPDATE account SET disabled=?2,updated_ms=?3 WHERE id=?1", "sii", id,
                        (int64_t)disabled, now_ms);
    if (rc == RC_OK && disabled) {
        rc = db_run(store_db(st), e, "DELETE FROM session WHERE account_id=?1", "s", id);
        rc = rc == RC_NOTFOUND ? RC_OK : rc;
    }
    return rc == RC_OK ? account_key_switch_all(st, scheme->db, id, disabled, now_ms, e) : rc;
}
#undef ACCOUNT_KEY_COLUMNS
