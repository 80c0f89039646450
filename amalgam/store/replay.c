/*
 * replay.c - start-up: the keyspace from SQLite, then the newer part of the log.
 *
 * Called by store_open and store_reload. While it runs st->loading is set: nothing expires, so that a
 * key whose time passed meanwhile is changed as it was then; what is due goes at the first tick after.
 * The log is read twice: once to find its last whole transaction, once to do it. What lies behind
 * is cut and reported: a torn tail is what a crash leaves of writes that nobody was told of.
 * Tested by tests/unit/store/test_wal.c, test_model.c, tests/fuzz/fuzz_log.c and tests/fault/test_kill9.c.
 */
#include "base/log.h"
#include "store/apply.h"

/* ---- SQLite ---- */

static bool replay_read_map(void *ctx, const struct db_row *r)
{
    struct replay_map *m = ctx;
    struct slice s = db_blob(r, 0);
    for (size_t i = 0; i < STORE_DBS && i < s.n; i++)
        m->row[i] = (uint8_t)((unsigned char)s.p[i] % STORE_DBS);
    return false;
}

enum rc replay_map_read(struct db *db, struct replay_map *m, struct err *e)
{
    for (size_t i = 0; i < STORE_DBS; i++)
        m->row[i] = (uint8_t)i;
    enum rc rc = db_query(db, e, replay_read_map, m, "SELECT value FROM meta WHERE name='dbs'", "");
    return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc replay_map_write(struct db *db, const struct replay_map *m, struct err *e)
{
    return db_run(db, e, "INSERT OR REPLACE INTO meta(name, value) VALUES('dbs', ?1)", "b",
                  slice_of((const char *)m->row, STORE_DBS));
}

struct replay_ctx {
    struct store *st;
    uint8_t logical[STORE_DBS]; /* number in SQLite -> database */
    struct entry *e;            /* the key whose elements are being read */
    int db;
    enum rc rc;
};

static bool replay_key(void *ctx, const struct db_row *r)
{
    struct replay_ctx *c = ctx;
    int64_t row_db = db_int(r, 0), type = db_int(r, 2), expire_ms = db_int(r, 3);
    if (row_db < 0 || row_db >= STORE_DBS || type < 0 || type >= V_TYPES || expire_ms < 0)
        return true;
    int db = c->logical[row_db];
    struct slice key = db_blob(r, 1);
    if (type == V_STRING) {
        (void)str_store(c->st, db, NULL, key, table_hash(key), db_blob(r, 4), expire_ms);
        return true;
    }
    if (ks_make(c->st, db, key, (enum vtype)type) == RC_OK && expire_ms)
        (void)ks_expire_at(c->st, db, key, expire_ms);
    return true;
}

static bool replay_elem(void *ctx, const struct db_row *r)
{
    struct replay_ctx *c = ctx;
    int64_t row_db = db_int(r, 0);
    if (row_db < 0 || row_db >= STORE_DBS)
        return true;
    int db = c->logical[row_db];
    struct slice key = db_blob(r, 1);
    if (!c->e || c->db != db || !slice_eq(entry_key(c->e), key)) {
        struct entry **slot = table_find(&c->st->db[db].t, key, table_hash(key));
        c->e = slot ? *slot : NULL;
        c->db = db;
    }
    if (c->e && entry_enc(c->e) == ENC_OBJECT)
        keys_whatever(ks_elem_put(c->st, db, key, entry_type(c->e), db_blob(r, 2), db_blob(r, 3), NULL));
    return true;
}

static bool replay_int(void *ctx, const struct db_row *r)
{
    *(int64_t *)ctx = db_int(r, 0);
    return false;
}

enum rc replay_rows(struct store *st, uint64_t *applied, struct err *e)
{
    struct replay_ctx c = {.st = st};
    struct replay_map map;
    int64_t lsn = 0;
    enum rc rc = replay_map_read(st->sql, &map, e);
    for (uint8_t i = 0; i < STORE_DBS; i++)
        c.logical[map.row[i]] = i;
    if (rc == RC_OK)
        rc = db_query(st->sql, e, replay_int, &lsn, "SELECT value FROM meta WHERE name='applied_lsn'", "");
    if (rc == RC_OK)
        rc = db_query(st->sql, e, replay_key, &c, "SELECT db, key, type, expire_ms, value FROM kv", "");
    if (rc == RC_OK)
        rc = db_query(st->sql, e, replay_elem, &c, "SELECT db, key, sub, value FROM elem", "");
    db_trim(st->sql);
    *applied = (uint64_t)lsn;
    return rc == RC_NOTFOUND ? RC_OK : rc; /* no keys, no elements */
}

/* ---- the log ---- */

void replay_effect(struct store *st, const struct effect *e)
{
    uint64_t hash = table_hash(e->key);
    struct entry **slot = table_find(&st->db[e->op == EF_FLUSH ? 0 : e->db].t, e->key, hash);
    switch (e->op) {
    case EF_PUT:
        (void)str_store(st, e->db, slot, e->key, hash, e->value, e->expire_ms);
        break;
    case EF_DEL:
        (void)ks_del(st, e->db, e->key);
        break;
    case EF_EXPIRE:
        (void)ks_expire_at(st, e->db, e->key, e->expire_ms);
        break;
    case EF_ELEM_PUT:
        keys_whatever(ks_elem_put(st, e->db, e->key, e->type, e->sub, e->value, NULL));
        break;
    case EF_ELEM_DEL:
        keys_whatever(ks_elem_del(st, e->db, e->key, e->type, e->sub));
        break;
    case EF_FLUSH:
        ks_flush(st, e->db == EFFECT_ALL_DBS ? -1 : e->db);
        break;
    case EF_SWAP:
        ks_swap(st, e->db, e->to_db);
        break;
    case EF_RENAME:
        keys_whatever(ks_rename(st, e->db, e->key, e->to_db, e->sub, true, false));
        break;
    case EF_RANGE:
        (void)str_store_range(st, e->db, slot, e->key, hash, e->at, e->value);
        break;
    case EF_MAKE:
        keys_whatever(ks_make(st, e->db, e->key, e->type));
        break;
    case EF_OPS:
    default:
        break;
    }
}

/* False: the record's checksum holds and its content does not: written by a program that was wrong. */
static bool replay_record(struct store *st, struct slice payload)
{
    struct effect ef;
    enum rc rc;
    while ((rc = effect_read(&payload, &ef)) == RC_OK)
        if (st)
            replay_effect(st, &ef);
    return rc == RC_NOTFOUND;
}

/* Reads the log from `from`; with st NULL only looks. *whole: end of the last complete transaction. */
static enum rc replay_pass(struct store *st, const char *dir, uint64_t from, uint64_t limit, uint64_t *whole,
                         struct err *e)
{
    struct wal_reader *r;
    struct wal_record rec;
    enum rc rc = wal_reader_open(dir, from, &r, e);
    *whole = from;
    if (rc != RC_OK)
        return rc;
    while ((rc = wal_read(r, limit, &rec, e)) == RC_OK) {
        if (!replay_record(st, rec.payload)) {
            rc = err_set(e, RC_BADINPUT, "the log in %s holds an unknown change at position %llu", dir,
                         (unsigned long long)rec.lsn);
            break;
        }
        if (!rec.more)
            *whole = rec.end;
    }
    wal_reader_close(r);
    return rc == RC_NOTFOUND ? RC_OK : rc;
}

enum rc replay_log(struct store *st, const char *log_dir, uint64_t applied, uint64_t *end, struct err *e)
{
    uint64_t oldest, bytes, dropped = 0, same;
    struct err fault = {0};
    *end = applied;
    enum rc rc = wal_oldest(log_dir, &oldest, &bytes, e);
    if (rc == RC_NOTFOUND)
        return RC_OK;
    if (rc != RC_OK)
        return rc;
    if (oldest > applied && bytes > WAL_HEAD)
        return err_set(e, RC_IO,
                       "%.200s begins at %llu but the database ends at %llu: a segment is missing. Put it back, "
                       "or move the directory away to go on from the database",
                       log_dir, (unsigned long long)oldest, (unsigned long long)applied);
    rc = replay_pass(NULL, log_dir, applied, UINT64_MAX, end, &fault);
    if (rc == RC_IO || rc == RC_NOMEM) {
        if (e)
            *e = fault;
        return rc;
    }
    enum rc cut = wal_cut(log_dir, *end, &dropped, e);
    if (cut != RC_OK)
        return cut;
    if (rc == RC_BADINPUT)
        log_event(LOG_WARN, "store.log_cut", "position=%llu dropped_bytes=%llu why=%s",
                  (unsigned long long)*end, (unsigned long long)dropped, log_quote(slice_str(fault.text)));
    if (*end == applied)
        return RC_OK;
    return replay_pass(st, log_dir, applied, *end, &same, e);
}
