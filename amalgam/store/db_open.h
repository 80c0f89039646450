/*
 * db_open.h - the SQLite connection from inside store/: opening, checkpoints, migrations.
 *
 * db.h is what the portal sees. Threads: db_open and db_close once, the others any.
 */
#ifndef STORE_DB_OPEN_H
#define STORE_DB_OPEN_H

#include "store/db.h"

/* path NULL: in memory. Runs the migrations. RC_VERSION: newer schema. RC_IO: what, where, the cure. */
FN enum rc db_open(const char *path, struct db **out, struct err *e) MUST_CHECK;
FN void db_close(struct db *db);
/* Moves the write-ahead log into the database file and syncs it. */
FN enum rc db_checkpoint(struct db *db, struct err *e) MUST_CHECK;
FN void db_trim(struct db *db); /* gives the page cache back */
FN struct slice db_blob(const struct db_row *r, int col); /* bytes of any column, "" for NULL */

/* db_migrate.c */
FN enum rc db_migrate(struct db *db, const char *path, struct err *e) MUST_CHECK;

#endif
