/*
 * apply.h - the applier: moves the log into SQLite behind the store's back, and loading it again.
 *
 * Inside store/ only. apply.c runs one thread; replay.c works before any thread does, or while the store
 * is held (DEBUG RELOAD).
 */
#ifndef STORE_APPLY_H
#define STORE_APPLY_H

#include "store/db_open.h"
#include "store/keys.h"
#include "store/wal.h"

struct applier;
struct applier_opts {
    struct store *st;
    const char *log_dir;
    uint64_t applied_lsn, segment_bytes;
};
FN struct applier *applier_start(const struct applier_opts *o);
FN void applier_stop(struct applier *ap); /* after the transaction that is being written */
/* Applies everything up to lsn now, at full speed, and waits for it, at most wait_ms (negative: as
 * long as it takes). RC_IO: what SQLite said. RC_AGAIN: the time is over. */
FN enum rc applier_drain(struct applier *ap, uint64_t lsn, int64_t wait_ms, struct err *e) MUST_CHECK;
FN uint64_t applier_lsn(const struct applier *ap);

/* Numbers under which the databases stand in SQLite: SWAPDB changes these, not the rows. */
struct replay_map {
    uint8_t row[STORE_DBS];
};
FN enum rc replay_map_read(struct db *db, struct replay_map *m, struct err *e) MUST_CHECK;
FN enum rc replay_map_write(struct db *db, const struct replay_map *m, struct err *e) MUST_CHECK;
/* Fills the empty keyspace from SQLite. *applied: the log position it stands for. */
FN enum rc replay_rows(struct store *st, uint64_t *applied, struct err *e) MUST_CHECK;
/* Replays the log behind `applied`, cuts a damaged tail. *end: where the log goes on. */
FN enum rc replay_log(struct store *st, const char *log_dir, uint64_t applied, uint64_t *end,
                    struct err *e) MUST_CHECK;
/* Does one effect to the keyspace; what does not fit (a type that changed) is passed over. */
FN void replay_effect(struct store *st, const struct effect *e);

#endif
