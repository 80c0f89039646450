/*
 * table.h - the hash table of the keyspace and of large hashes: entries by key, growing one bucket at
 * a time.
 *
 * Linear hashing (Litwin 1980): `low` is a power of two, buckets 0 .. n-1 are in use with
 * low <= n < 2*low; the n-low first ones are split already. Growing splits one bucket, shrinking merges
 * one: there is never a second table, a pause or a doubling of memory, and load stays the same at every size.
 * A bucket is 64 bytes: 7 one-byte tags, a byte of flags, 7 entries; the 7th becomes the link to an
 * overflow bucket when needed. Buckets live in chunks of 1024, so that memory comes and goes in 64 KiB.
 *
 * Scan gives Redis' guarantee (what is there from start to end is seen at least once) by counting the
 * cursor in reversed bits over `low`; a split pair is visited together.
 *
 * Expiry index: the earliest expiry per group of 8 buckets and per chunk, kept as a lower bound; 0.2
 * bytes per key. Exists once an entry with an expiry was put in.
 *
 * Owns the buckets, not the entries. Threads: under the store's lock.
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include "store/entry.h"

enum { BUCKET_SLOTS = 7, CHUNK_BUCKETS = 1024, GROUP_BUCKETS = 8 };
#define CHUNK_GROUPS (CHUNK_BUCKETS / GROUP_BUCKETS)

struct bucket;
struct table {
    struct bucket **chunk;
    int64_t **due;      /* per chunk: earliest expiry of each group, or NULL */
    int64_t *chunk_due; /* per chunk: earliest of all */
    uint64_t n, low;    /* buckets in use; 0 before the first put */
    uint64_t count;     /* entries */
    uint32_t chunks_cap, first_cap; /* chunk 0 grows by doubling up to CHUNK_BUCKETS */
    size_t bytes;       /* of buckets, chunks and index */
};

typedef void table_each(void *ctx, struct entry *e);

FN void table_init(struct table *t);
FN void table_free(struct table *t, void (*free_entry)(struct entry *e)); /* empty afterwards */
/* Frees about `budget` entries from the end; true when the table is gone. For tables nobody sees. */
FN bool table_free_some(struct table *t, void (*free_entry)(struct entry *e), size_t budget);
FN uint64_t table_hash(struct slice key);
/* The slot of the key, valid until the next put or del; NULL if absent. */
FN struct entry **table_find(struct table *t, struct slice key, uint64_t hash);
FN struct entry *table_find_hash(struct table *t, uint64_t hash); /* any entry of this whole hash */
FN void table_put(struct table *t, struct entry *e, uint64_t hash); /* the key is not there yet */
/* Takes the entry out and returns it (NULL if absent). Shrinks. */
FN struct entry *table_take(struct table *t, struct slice key, uint64_t hash);
FN uint64_t table_scan(const struct table *t, uint64_t cursor, size_t count, table_each *each, void *ctx);
/* Iterates: *it = 0 at the start. The table must not change meanwhile. */
FN struct entry *table_next(const struct table *t, uint64_t *it);
/* Calls each for all entries of `buckets` buckets from a place chosen by r. */
FN void table_sample(const struct table *t, uint64_t r, size_t buckets, table_each *each, void *ctx);
FN struct entry *table_random(const struct table *t, uint64_t r, uint64_t r2);
/* The entry of this hash expires at expire_ms: keeps the index a lower bound. */
FN void table_note_expire(struct table *t, uint64_t hash, int64_t expire_ms);
/* Writes entries that are due into out (at most max) and returns how many; groups found empty of due
 * entries get their true bound. 0: nothing is due. Deleting is the caller's. */
FN size_t table_due(struct table *t, int64_t now_ms, struct entry **out, size_t max);
/* As table_sample, but only entries with an expiry, from so many groups that hold some. */
FN void table_sample_expiring(const struct table *t, uint64_t r, size_t groups, table_each *each, void *ctx);

#endif
