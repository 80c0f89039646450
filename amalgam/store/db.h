/*
 * db.h - the portal's tables in SQLite: one connection, one lock, statements by literal text.
 *
 * SQL text is always a string literal; values are bound, never pasted. Args are given by a letter
 * each: s = struct slice (text), b = struct slice (blob), i = int64_t, n = null (no value).
 *     db_run(db, e, "UPDATE user SET name=?1 WHERE id=?2", "si", name, id)
 * db_begin takes the connection's lock until db_commit or db_rollback; db_run and db_query outside a
 * transaction take it for themselves. The applier of the log uses the same connection in short
 * transactions. synchronous=FULL: what is committed is on disk.
 * In engine memory the database is in memory too. Threads: any; never call from a reactor.
 * Migrations: a table of SQL steps in db_migrate.c, forward only, each in one transaction.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include "base/arena.h"
#include "base/err.h"

struct db;
struct db_row; /* columns by index from 0, valid inside the callback */
FN int64_t db_int(const struct db_row *r, int col);
FN struct slice db_text(const struct db_row *r, int col); /* "" for NULL */
FN bool db_is_null(const struct db_row *r, int col) UNUSED;

FN enum rc db_begin(struct db *db, struct err *e) MUST_CHECK;
FN enum rc db_commit(struct db *db, struct err *e) MUST_CHECK;
FN void db_rollback(struct db *db);
/* A statement that gives no rows. RC_CONFLICT on a unique constraint. RC_NOTFOUND when an UPDATE or
 * DELETE touched no row. *last_id may be asked for by db_last_id. */
FN enum rc db_run(struct db *db, struct err *e, const char *sql, const char *args, ...) MUST_CHECK;
FN int64_t db_last_id(struct db *db) UNUSED;
/* Calls each for every row until it returns false. RC_NOTFOUND when there was none. */
FN enum rc db_query(struct db *db, struct err *e, bool (*each)(void *ctx, const struct db_row *r),
                    void *ctx, const char *sql, const char *args, ...) MUST_CHECK;

#endif
