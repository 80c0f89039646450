/*
 * db_migrate.c - the schema of postern.db, step by step, forward only.
 *
 * One row per step, in order, each run in one transaction together with the new number in meta. A step
 * that was released is never edited: add one. Tables of the portal add their rows here.
 * Data of a newer schema is refused: an old program must not write what it does not know.
 * Called by db_open. Tested by tests/unit/store/test_db.c.
 */
#include "store/db_open.h"

static const struct {
    const char *what;
    const char *sql[12]; /* statements, in order */
} db_migrate_steps[] = {
    {"the keyspace",
     {"CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID",
      "CREATE TABLE kv(db INTEGER NOT NULL, key BLOB NOT NULL, type INTEGER NOT NULL,"
      " expire_ms INTEGER NOT NULL, value BLOB, PRIMARY KEY(db, key)) WITHOUT ROWID",
      "CREATE TABLE elem(db INTEGER NOT NULL, key BLOB NOT NULL, sub BLOB NOT NULL,"
      " value BLOB NOT NULL, PRIMARY KEY(db, key, sub)) WITHOUT ROWID",
      "INSERT INTO meta(name, value) VALUES('schema', 0), ('applied_lsn', 0)"}},
    {"people, teams, apps, keys",
     {"CREATE TABLE account(id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
      " role INTEGER NOT NULL, password TEXT NOT NULL, disabled INTEGER NOT NULL, team_id TEXT NOT NULL,"
      " app_id TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
      " seen_ms INTEGER NOT NULL) WITHOUT ROWID",
      "CREATE TABLE team(id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL,"
      " created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL) WITHOUT ROWID",
      "CREATE TABLE team_member(team_id TEXT NOT NULL, account_id TEXT NOT NULL, lead INTEGER NOT NULL,"
      " PRIMARY KEY(team_id, account_id)) WITHOUT ROWID",
      "CREATE TABLE app(id TEXT PRIMARY KEY, team_id TEXT NOT NULL, name TEXT NOT NULL,"
      " description TEXT NOT NULL, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL,"
      " UNIQUE(team_id, name)) WITHOUT ROWID",
      "CREATE TABLE session(hash BLOB PRIMARY KEY, account_id TEXT NOT NULL, created_ms INTEGER NOT NULL,"
      " seen_ms INTEGER NOT NULL) WITHOUT ROWID",
      "CREATE INDEX session_account ON session(account_id)",
      "CREATE TABLE link(hash BLOB PRIMARY KEY, kind INTEGER NOT NULL, account_id TEXT NOT NULL,"
      " expires_ms INTEGER NOT NULL) WITHOUT ROWID",
      "CREATE TABLE api_key(id TEXT PRIMARY KEY, account_id TEXT NOT NULL, app_id TEXT NOT NULL,"
      " name TEXT NOT NULL, public TEXT NOT NULL, plan TEXT NOT NULL, product TEXT NOT NULL,"
      " hash TEXT NOT NULL, config_id TEXT NOT NULL, created_ms INTEGER NOT NULL,"
      " expires_ms INTEGER NOT NULL, revoked_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL) WITHOUT ROWID",
      "CREATE INDEX api_key_account ON api_key(account_id, created_ms)",
      "CREATE UNIQUE INDEX api_key_name ON api_key(app_id, name) WHERE revoked_ms=0",
      "CREATE TABLE audit(id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL,"
      " action TEXT NOT NULL, object TEXT NOT NULL, detail TEXT NOT NULL)"}},
};

static bool db_migrate_int(void *ctx, const struct db_row *r)
{
    *(int64_t *)ctx = db_int(r, 0);
    return false;
}

static enum rc db_migrate_version(struct db *db, int64_t *version, struct err *e)
{
    int64_t there = 0;
    *version = 0;
    enum rc rc = db_query(db, e, db_migrate_int, &there,
                          "SELECT count(*) FROM sqlite_master WHERE type='table' AND name='meta'", "");
    if (rc == RC_OK && there)
        rc = db_query(db, e, db_migrate_int, version, "SELECT value FROM meta WHERE name='schema'", "");
    return rc;
}

static enum rc db_migrate_step(struct db *db, size_t i, struct err *e)
{
    enum rc rc = db_begin(db, e);
    if (rc != RC_OK)
        return rc;
    for (size_t k = 0; k < ARRAY_LEN(db_migrate_steps[i].sql) && db_migrate_steps[i].sql[k]; k++) {
        rc = db_run(db, e, db_migrate_steps[i].sql[k], "");
        if (rc != RC_OK && rc != RC_NOTFOUND)
            break;
        rc = RC_OK;
    }
    if (rc == RC_OK)
        rc = db_run(db, e, "UPDATE meta SET value=?1 WHERE name='schema'", "i", (int64_t)i + 1);
    if (rc == RC_OK)
        return db_commit(db, e);
    db_rollback(db);
    return rc;
}

enum rc db_migrate(struct db *db, const char *path, struct err *e)
{
    int64_t version, known = (int64_t)ARRAY_LEN(db_migrate_steps);
    enum rc rc = db_migrate_version(db, &version, e);
    if (rc == RC_OK && version > known)
        return err_set(e, RC_VERSION,
                       "%.200s was written by a newer Postern (schema %lld, this one knows %lld): start "
                       "that version, or restore a backup made by this one",
                       path, (long long)version, (long long)known);
    for (size_t i = (size_t)version; rc == RC_OK && i < ARRAY_LEN(db_migrate_steps); i++)
        rc = db_migrate_step(db, i, e);
    return rc;
}
