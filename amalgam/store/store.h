/*
 * store.h - the shared store: a keyspace in memory with Redis' meaning, and what keeps it on disk.
 *
 * LOCKING. One lock guards the whole keyspace. store_enter takes it, store_leave drops it; every ks_*
 * function is called inside. A door takes it once per batch of commands (all that one read brought),
 * the check path once per step. So every command, transaction and script is atomic, and the lock costs
 * ~20 ns per batch (measured; see docs/house.md). Nothing that blocks is called inside.
 *
 * DURABILITY. Engine sqlite: a change executes in memory and appends its effect (not the command:
 * absolute expiry, SPOP as removal) to the log buffer under the same lock; a log thread writes and
 * syncs (group commit); a low-priority applier moves the log into SQLite in large transactions that
 * also hold the applied position. store_lsn is the position after the last effect, store_durable_lsn
 * what is on disk. In mode `always` a reply waits until durable >= lsn at its execution.
 * Mode everysec syncs once a second, no never (the kernel decides); there a reply waits until
 * store_written_lsn >= lsn, so that a killed process loses nothing that was answered.
 *
 * Start-up: read SQLite, replay newer log records, cut at the first bad checksum. See store/wal.h.
 *
 * TROUBLE. After a failed write or sync store_trouble says why; changes are refused: functions with a
 * result answer RC_IO, the others do nothing, so a door asks store_make_room (RC_IO) before a command
 * that writes. Reads go on: inside a store_enter that came after the failure store_lsn answers the
 * durable position, so that they do not wait.
 * on_durable is called then too: replies that wait for a position beyond store_durable_lsn are errors.
 *
 * Strings given back are valid until store_leave or the next change of that key. Keys and values are
 * binary, at most 512 MiB. Times are wall-clock milliseconds; expire_ms 0 means none.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#define STORE_DBS 16

struct store;
enum store_engine { STORE_MEMORY, STORE_SQLITE };
enum store_durability { STORE_ALWAYS, STORE_EVERYSEC, STORE_NO };

struct store_opts {
    enum store_engine engine;
    const char *dir; /* data directory (exists, 0700); NULL for memory */
    enum store_durability durability;
    uint64_t maxmemory_bytes; /* 0: no bound */
    uint64_t log_segment_bytes; /* default 64 MiB; replay on start stays under about a second */
    /* called from the thread that did it whenever the durable or the written position moved, or NULL */
    void (*on_durable)(void *ctx, uint64_t lsn);
    void *on_durable_ctx;
};
/* RC_BUSY: another Postern has the directory (its pid in the text). RC_VERSION: data is newer than
 * this program. RC_IO: read-only, full, not a directory: what, which file, and the cure. */
FN enum rc store_open(const struct store_opts *o, struct store **out, struct err *e) MUST_CHECK;
/* Writes and syncs everything to the log, applies what half a second allows (the next start replays
 * the rest), then frees. */
FN void store_close(struct store *st);
struct db;
FN struct db *store_db(struct store *st); /* the SQLite connection for the portal's tables (db.h) */

FN void store_enter(struct store *st, int64_t now_ms);
FN void store_leave(struct store *st);
/* The same for a door that answers many clients in one turn and ends it with store_write, by the same flag
 * (false at first): in mode always the disk is asked once for all of them. */
FN void store_leave_turn(struct store *st, bool *gather);
FN int64_t store_now_ms(const struct store *st); /* what store_enter was given */
/* Inside: what happens between these is replayed whole or not at all (MULTI/EXEC, scripts). Nests. */
FN void ks_atomic_begin(struct store *st) UNUSED;
FN void ks_atomic_end(struct store *st) UNUSED;

FN uint64_t store_lsn(const struct store *st);
FN uint64_t store_durable_lsn(const struct store *st);
FN uint64_t store_written_lsn(const struct store *st) UNUSED; /* the kernel has it: survives a killed process */
FN bool store_waits(const struct store *st); /* mode always: replies wait for durability */
/* What replies wait for: durable in mode always, written in the others. */
FN uint64_t store_safe_lsn(const struct store *st);
/* Outside: the end of a turn, before replies go out. Modes everysec and no: hands the log to the kernel at
 * once if that is one small write; if not, and in always, the log thread does it and on_durable is called. */
FN void store_write(struct store *st, bool *gather);
/* Blocks until lsn is on disk, syncing at once whatever the mode. Outside the lock. RC_IO if it failed. */
FN enum rc store_sync(struct store *st, uint64_t lsn) MUST_CHECK;
/* After a failed write or sync: the store refuses changes (RC_IO) and says why. NULL when healthy. */
FN const char *store_trouble(struct store *st);

/* Settings: inside. RC_BADINPUT: the memory engine has no durability. */
FN enum rc store_set_durability(struct store *st, enum store_durability d) MUST_CHECK;
FN void store_set_maxmemory(struct store *st, uint64_t bytes);
/* Redis' eviction policies by name ("noeviction", "allkeys-lru", ...). RC_BADINPUT if unknown. Inside. */
FN enum rc store_set_eviction(struct store *st, struct slice policy) MUST_CHECK;
FN struct slice store_eviction(const struct store *st);
/* Before a command that writes: evicts; RC_NOMEM: answer "OOM command not allowed ..."; RC_IO: the store
 * refuses changes (store_trouble). Inside. */
FN enum rc store_make_room(struct store *st) MUST_CHECK;
/* A slice of background work: active expiry, incremental rehash. Call ~10 times a second; takes the lock. */
FN void store_cron(struct store *st, int64_t now_ms);
/* Inside: off, keys whose time is up go when they are read, not before (DEBUG SET-ACTIVE-EXPIRE). */
FN void store_set_active_expire(struct store *st, bool on) UNUSED;

struct store_stats {
    uint64_t keys[STORE_DBS], expires[STORE_DBS];
    uint64_t used_bytes, peak_bytes, hits, misses, expired, evicted, changes;
    uint64_t lsn, durable_lsn, applied_lsn, log_bytes, db_bytes;
    int64_t last_sync_ms; /* wall */
};
FN void store_stats(struct store *st, struct store_stats *out); /* takes the lock */
FN void store_reset_stats(struct store *st) UNUSED;            /* CONFIG RESETSTAT; inside */

/* ---- the keyspace: all inside store_enter / store_leave ---- */

enum vtype { V_STRING, V_LIST, V_SET, V_ZSET, V_HASH, V_STREAM, V_TYPES };
FN const char *vtype_name(enum vtype t); /* "string", ... as TYPE answers */
struct entry; /* a key with its value; valid until the next change of the keyspace */

enum { KS_TOUCH = 0, KS_NOTOUCH = 1 /* leaves idle time and hit counters alone */ };
FN struct entry *ks_find(struct store *st, int db, struct slice key, int how); /* NULL: absent or expired */
FN struct slice ks_key(const struct entry *e);
FN enum vtype ks_type(const struct entry *e);
FN const char *ks_encoding(const struct entry *e); /* "int", "embstr", "raw", "listpack", "hashtable" */
FN int64_t ks_expire_ms(const struct entry *e);    /* 0: none */
FN int64_t ks_idle_ms(const struct store *st, const struct entry *e);
FN int ks_freq(const struct store *st, const struct entry *e) UNUSED; /* OBJECT FREQ; -1: policy is not LFU */
FN size_t ks_bytes(const struct entry *e);         /* MEMORY USAGE */

FN bool ks_del(struct store *st, int db, struct slice key);
FN bool ks_expire_at(struct store *st, int db, struct slice key, int64_t expire_ms); /* false: absent. past: deletes; 0: PERSIST, true if it had one */
FN enum rc ks_rename(struct store *st, int db, struct slice from, int to_db, struct slice to, bool replace,
                     bool keep_source) MUST_CHECK; /* also MOVE and COPY */
FN uint64_t ks_count(struct store *st, int db);
FN struct entry *ks_random(struct store *st, int db);
FN void ks_flush(struct store *st, int db); /* -1: all */
FN void ks_swap(struct store *st, int a, int b);
/* Redis' SCAN guarantee. Returns the next cursor (0: done). Calls each for about `count` keys. */
FN uint64_t ks_scan(struct store *st, int db, uint64_t cursor, size_t count,
                    void (*each)(void *ctx, struct entry *e), void *ctx);

/* Strings. Integers are kept as such; ks_str formats them into tmp. */
#define KS_TMP 24
FN struct slice ks_str(const struct entry *e, char tmp[KS_TMP]);
enum { KS_KEEP_TTL = -1 };
FN void ks_set(struct store *st, int db, struct slice key, struct slice value, int64_t expire_ms);
/* RC_WRONGTYPE, RC_BADINPUT (no integer), RC_TOOBIG (overflow). A new key gets expire_ms (0: none). */
FN enum rc ks_incr(struct store *st, int db, struct slice key, int64_t by, int64_t expire_ms,
                   int64_t *out) MUST_CHECK;
FN enum rc ks_append(struct store *st, int db, struct slice key, struct slice tail, size_t *len) MUST_CHECK;
FN enum rc ks_setrange(struct store *st, int db, struct slice key, size_t at, struct slice part,
                       size_t *len) MUST_CHECK;

/* Hashes. Small ones are one packed block, large ones a table (limits: 128 fields, 64 bytes). */
FN enum rc ks_hset(struct store *st, int db, struct slice key, struct slice field, struct slice value,
                   bool *created) MUST_CHECK;
FN bool ks_hget(const struct entry *e, struct slice field, struct slice *value);
FN enum rc ks_hdel(struct store *st, int db, struct slice key, struct slice field) MUST_CHECK; /* NOTFOUND */
FN uint64_t ks_hlen(const struct entry *e);
/* Iterates: *it = 0 at the start. The hash must not change meanwhile. */
FN bool ks_hnext(const struct entry *e, uint64_t *it, struct slice *field, struct slice *value);
FN uint64_t ks_hscan(const struct entry *e, uint64_t cursor, size_t count,
                     void (*each)(void *ctx, struct slice field, struct slice value), void *ctx);

/* WATCH: dirty turns true at the first change of the key (expiry included). Embedded in the client. */
struct ks_watch {
    int db;
    struct slice key; /* owned by the watcher */
    bool dirty;
    struct ks_watch *next, *prev, *next_of_client;
};
FN void ks_watch(struct store *st, struct ks_watch *w);
FN void ks_unwatch(struct store *st, struct ks_watch *w);

/* Marks an entry so that its next change or removal moves store_tracked_version: caches of values read
 * from the store compare that one number. Used by policy/'s key cache. */
FN void ks_track(struct store *st, struct entry *e);
FN uint64_t store_tracked_version(const struct store *st); /* any thread, no lock */

/* Pub/sub. deliver runs inside the lock, in the publisher's thread: copy and post, nothing else. */
struct ks_sub {
    struct slice channel; /* owned by the subscriber; a glob when is_pattern */
    bool is_pattern;
    void (*deliver)(void *ctx, const struct ks_sub *s, struct slice channel, struct slice message);
    void *ctx;
    struct ks_sub *next, *prev;
};
FN void ks_subscribe(struct store *st, struct ks_sub *s);
FN void ks_unsubscribe(struct store *st, struct ks_sub *s);
FN size_t ks_publish(struct store *st, struct slice channel, struct slice message); /* receivers */
FN void ks_channels(struct store *st, void (*each)(void *ctx, struct slice channel, size_t subscribers),
                    void *ctx); /* exact ones */
/* notify-keyspace-events, Redis' letters. RC_BADINPUT on an unknown one. */
FN enum rc store_set_notify(struct store *st, struct slice flags) MUST_CHECK;
FN struct slice store_notify(const struct store *st);
/* Called by commands after a change: event word and class letter ('$', 'g', 'h', 'l', 's', 'z', 't'). */
FN void ks_notify(struct store *st, char class, const char *event, struct slice key, int db);

/* DEBUG RELOAD: everything to disk, memory dropped, loaded again. RC_BADINPUT for engine memory. Others wait. */
FN enum rc store_reload(struct store *st, struct err *e) MUST_CHECK; /* outside the lock */

#endif
