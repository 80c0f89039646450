/*
 * wal.h - the log of effects on disk: what acknowledges a change.
 *
 * LSN: a position in the endless stream of records, in bytes. Segments DIR/log/<first lsn, 20 digits>.log
 * hold a 32-byte head and then the stream from that position on, so an LSN is an offset.
 * Record: length and flag 4, CRC-32C 4 (over LSN and payload), LSN 8, payload (effects, effect.h).
 * One record holds what one store_enter .. store_leave changed, so that it is replayed whole; a longer
 * one is cut at 64 KiB, and inside an atomic bracket the pieces carry WAL_MORE: replay ignores a tail
 * whose last piece is missing. A segment never ends inside a transaction, so written and durable
 * positions, and what the applier does, are always whole transactions.
 *
 * Two buffers: effects go to one under the store's lock; the log thread swaps them, writes, syncs
 * as the mode asks, publishes. A door that answers many clients in a turn says so (wal_seal with its gather)
 * and ends the turn with wal_write: in always one sync is then for all of them, in the other modes it does
 * a small write itself. A failed sync or write is for ever (the kernel may have dropped the pages); a full
 * disk heals when there is room, because nothing of the buffer is given up.
 *
 * Inside store/ only. Threads: wal_append, wal_seal, wal_atomic and wal_lsn under the store's lock; the
 * others anywhere, outside it.
 */
#ifndef STORE_WAL_H
#define STORE_WAL_H

#include "base/lock.h"
#include "store/effect.h"

#include <time.h>

enum { WAL_HEAD = 32, WAL_RECORD_HEAD = 16, WAL_RECORD_BYTES = 64 << 10 };
#define WAL_MORE 0x80000000u /* the transaction goes on in the next record */
enum { HELD_FULL = 1, HELD_RELOAD = 2 };

struct wal;
struct wal_opts {
    const char *dir; /* DIR/log, exists */
    enum store_durability mode;
    uint64_t segment_bytes, buffer_bytes; /* 0: 64 MiB each */
    uint64_t start_lsn;
    struct lock *guard; /* the store's lock */
    int *held;          /* atomic bits: store_enter waits while not 0 */
    void (*on_durable)(void *ctx, uint64_t lsn);
    void *on_durable_ctx;
};
FN enum rc wal_open(const struct wal_opts *o, struct wal **out, struct err *e) MUST_CHECK;
FN void wal_close(struct wal *w); /* writes and syncs what is left */

FN bool wal_refuses(const struct wal *w);
FN void wal_append(struct wal *w, const struct effect *e);
/* gather: more changes of this turn may follow, and wal_write will, by the same flag (which this sets).
 * NULL: at once; true: call wal_wake once the lock is dropped. */
FN bool wal_seal(struct wal *w, bool *gather);
FN void wal_wake(struct wal *w);
/* Outside the lock, the end of a turn. Modes everysec and no: hands what was sealed to the kernel now, if that
 * is one small write. Otherwise the log thread does it now; on_durable is called. */
FN void wal_write(struct wal *w, bool *gather);
FN void wal_atomic(struct wal *w, bool on); /* nests */
FN uint64_t wal_lsn(const struct wal *w);
FN uint64_t wal_durable(const struct wal *w);
FN uint64_t wal_written(const struct wal *w);
FN enum store_durability wal_mode(const struct wal *w);
FN void wal_set_mode(struct wal *w, enum store_durability mode); /* under the guard */
FN enum rc wal_sync(struct wal *w, uint64_t lsn) MUST_CHECK;
FN void wal_wait_free(struct wal *w); /* until *held is 0 */
FN void wal_release(struct wal *w, int bit);
FN const char *wal_trouble(const struct wal *w); /* NULL: healthy */
FN int64_t wal_last_sync_ms(const struct wal *w);

/* Sleeping by the monotonic clock, for the log's thread and the applier's. */
FN void wal_cond_init(pthread_cond_t *c);
FN void wal_until(struct timespec *ts, int64_t ms); /* now and ms */

/* ---- reading: recovery and the applier ---- */

struct wal_record {
    uint64_t lsn, end; /* its position and the one behind it */
    bool more;
    struct slice payload; /* valid until the next read */
};
/* Takes the record that must begin at lsn. RC_AGAIN: *need bytes are wanted. RC_NOTFOUND: nothing was
 * written here. RC_BADINPUT: damaged. Pure; the bytes may be anything. */
FN enum rc wal_parse(struct slice bytes, uint64_t lsn, struct wal_record *out, size_t *need) MUST_CHECK;

struct wal_reader;
/* From lsn on, which is the start of a record. RC_NOTFOUND: no segment holds it. */
FN enum rc wal_reader_open(const char *dir, uint64_t lsn, struct wal_reader **out, struct err *e) MUST_CHECK;
FN void wal_reader_close(struct wal_reader *r);
/* RC_NOTFOUND: the end, or limit reached. RC_BADINPUT: a damaged record at wal_reader_lsn. */
FN enum rc wal_read(struct wal_reader *r, uint64_t limit, struct wal_record *out, struct err *e) MUST_CHECK;
FN uint64_t wal_reader_lsn(const struct wal_reader *r) UNUSED;
/* Cuts the log at lsn: truncates its segment, removes later ones. *dropped: bytes that went. */
FN enum rc wal_cut(const char *dir, uint64_t lsn, uint64_t *dropped, struct err *e) MUST_CHECK;
/* Removes segments that lie wholly before lsn, never the last one. */
FN void wal_forget(const char *dir, uint64_t lsn);
/* First LSN of the oldest segment and their total size; RC_NOTFOUND: no segment. */
FN enum rc wal_oldest(const char *dir, uint64_t *lsn, uint64_t *bytes, struct err *e) MUST_CHECK;

#endif
