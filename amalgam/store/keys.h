/*
 * keys.h - the store from inside: its state, and what the files of the keyspace offer each other.
 *
 * Inside store/ only. Everything in struct store is guarded by its lock, except what says otherwise.
 * The order of a change is always: keys_may_change, find, keys_touched (watchers, trackers), change,
 * keys_log. The key given to keys_log is the entry's own, so a caller may pass a slice of the store.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include "base/lock.h"
#include "store/effect.h"
#include "store/table.h"

struct wal;
struct applier;
struct db;

enum { KEYS_TRASH = 64, WATCH_HEADS = 1024, EVICT_POOL = 16 };

struct ksdb {
    struct table t;
    uint64_t expires; /* keys with an expiry */
};

struct evict_row;
struct pub;

/* A key that was worst in some sample: looked up again by its hash before it goes. */
struct evict_candidate {
    uint64_t score, hash;
    int db;
};

struct store {
    struct lock lock;
    int64_t now_ms;
    uint32_t lru_clock; /* seconds, 24 bits */
    bool loading;       /* replay: no expiry, no effects, no watchers */
    bool refused;       /* changes are refused: asked once, when the lock is taken, so that a batch is all or nothing */
    bool lazy_expire;   /* store_cron leaves keys that are due alone */
    struct ksdb db[STORE_DBS];
    size_t value_bytes, peak_bytes; /* entries and values; tables count themselves */
    uint64_t maxmemory_bytes;
    const struct evict_row *eviction;
    struct evict_candidate pool[EVICT_POOL]; /* by score, the highest last */
    size_t pool_n;
    uint64_t hits, misses, expired, evicted, changes;
    uint64_t rng;
    uint64_t tracked_version; /* read by any thread, atomically */
    struct ks_watch **watched; /* WATCH_HEADS lists, or NULL */
    size_t watches;
    struct pub *pub;
    struct table trash[KEYS_TRASH]; /* flushed tables, freed in slices */
    size_t trash_n;
    int held;              /* atomic: store_enter must wait (reload, log buffer full) */
    struct wal *wal;       /* NULL: engine memory, or loading */
    struct wal *wal_home;  /* the same, set while the log is open */
    struct applier *applier;
    struct db *sql;
    enum store_engine engine;
    char *dir;
    int lock_fd;
};

/* False when the store refused changes (store_trouble) when it was entered. */
FN bool keys_may_change(struct store *st);
/* The slot of a living key; an expired one is removed here. */
FN struct entry **keys_slot(struct store *st, int db, struct slice key, uint64_t hash);
FN size_t keys_total(const struct entry *e); /* bytes of the entry and its value */
/* Before a change of an existing key (e) or the making of one (NULL): watchers, trackers, counters. */
FN void keys_touched(struct store *st, int db, struct slice key, struct entry *e);
FN void keys_put(struct store *st, int db, struct entry *e, uint64_t hash);
FN void keys_used(struct store *st, struct entry *e); /* LRU or LFU */
/* Removes and frees without effect, event or watcher: those are the caller's. */
FN void keys_drop(struct store *st, int db, struct entry *e, uint64_t hash);
FN void keys_log(struct store *st, const struct effect *e);
/* Sets the expiry of the entry in the slot, keeping index and books. */
FN void keys_set_expire(struct store *st, int db, struct entry **slot, uint64_t hash, int64_t expire_ms);
FN void keys_expire_now(struct store *st, int db, struct entry *e, uint64_t hash);
FN void keys_free_all(struct store *st);
FN size_t keys_used_bytes(const struct store *st);
FN uint64_t keys_rand(struct store *st);

/* Elements of any type but strings. RC_WRONGTYPE, RC_IO; ks_elem_del: RC_NOTFOUND. */
FN enum rc ks_elem_put(struct store *st, int db, struct slice key, enum vtype type, struct slice sub,
                       struct slice value, bool *created) MUST_CHECK;
FN enum rc ks_elem_del(struct store *st, int db, struct slice key, enum vtype type,
                       struct slice sub) MUST_CHECK;
FN enum rc ks_make(struct store *st, int db, struct slice key, enum vtype type) MUST_CHECK;

/* For a result that does not matter at this place (replay passes over what does not fit). */
static inline UNUSED void keys_whatever(enum rc rc)
{
    (void)rc;
}

/* str.c: writes a string without effect, event or watcher. expire_ms as it shall be. */
FN struct entry *str_store(struct store *st, int db, struct entry **slot, struct slice key, uint64_t hash,
                           struct slice value, int64_t expire_ms);
FN bool str_store_range(struct store *st, int db, struct entry **slot, struct slice key, uint64_t hash,
                        size_t at, struct slice part);

/* watch.c */
FN void watch_touch(struct store *st, int db, struct slice key);
/* All watched keys of db that live in it, or in the one that takes its place (flush: itself). */
FN void watch_touch_db(struct store *st, int db, int other);
/* pub.c */
FN void pub_init(struct store *st);
FN void pub_free(struct store *st);
/* evict.c */
FN const struct evict_row *evict_default(void);
FN bool evict_is_lfu(const struct store *st);
FN void evict_touch_lfu(struct store *st, struct entry *e);
/* expire.c: removes what is due, at most max keys; true if more may be due. */
FN bool expire_some(struct store *st, size_t max);

#endif
