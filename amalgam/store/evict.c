/*
 * evict.c - what goes when memory is full: Redis' policies by name, over samples.
 *
 * store_make_room is called before a command that may grow memory. Each eviction looks at two dozen
 * random keys per database that has any (with an expiry only, for volatile-*); the worst by the policy's
 * score are kept in a pool of 16 from one eviction to the next, the worst of the pool goes. The 24 bits of
 * an entry are seconds since last use, or for LFU 16 bits of minutes and an 8-bit logarithmic counter that
 * decays by one a minute (Redis: lfu-log-factor 10, decay 1).
 * Threads: under the store's lock. Tested by tests/unit/store/test_evict.c.
 */
#include "store/keys.h"

enum { EVICT_BUCKETS = 5, EVICT_GROUPS = 2, LFU_INIT = 5, LFU_LOG_FACTOR = 10 };

struct evict_row {
    struct slice name;
    uint64_t (*score)(struct store *st, const struct entry *e); /* the highest goes; NULL: noeviction */
    bool volatile_only, lfu;
};

static uint64_t evict_lru(struct store *st, const struct entry *e)
{
    return (st->lru_clock - e->meta) & ENTRY_LRU_MASK;
}

static uint32_t evict_minutes(const struct store *st)
{
    return (uint32_t)(st->now_ms / 60000) & 0xffff;
}

static uint8_t evict_counter(const struct store *st, const struct entry *e)
{
    uint32_t passed = (evict_minutes(st) - (e->meta >> 8 & 0xffff)) & 0xffff;
    uint32_t counter = e->meta & 0xff;
    return (uint8_t)(passed >= counter ? 0 : counter - passed);
}

static uint64_t evict_lfu(struct store *st, const struct entry *e)
{
    return 255u - evict_counter(st, e);
}

static uint64_t evict_random(struct store *st, const struct entry *e)
{
    (void)e;
    return keys_rand(st);
}

static uint64_t evict_ttl(struct store *st, const struct entry *e)
{
    (void)st;
    return UINT64_MAX - (uint64_t)entry_expire(e);
}

static const struct evict_row evict_rows[] = {
    {SLIT("noeviction"), NULL, false, false},
    {SLIT("allkeys-lru"), evict_lru, false, false},
    {SLIT("allkeys-lfu"), evict_lfu, false, true},
    {SLIT("allkeys-random"), evict_random, false, false},
    {SLIT("volatile-lru"), evict_lru, true, false},
    {SLIT("volatile-lfu"), evict_lfu, true, true},
    {SLIT("volatile-random"), evict_random, true, false},
    {SLIT("volatile-ttl"), evict_ttl, true, false},
};

const struct evict_row *evict_default(void)
{
    return &evict_rows[0];
}

bool evict_is_lfu(const struct store *st)
{
    return st->eviction->lfu;
}

void evict_touch_lfu(struct store *st, struct entry *e)
{
    uint32_t counter = evict_counter(st, e);
    uint32_t over = counter > LFU_INIT ? counter - LFU_INIT : 0;
    if (counter < 255 && keys_rand(st) % (over * LFU_LOG_FACTOR + 1) == 0)
        counter++;
    e->meta = (e->meta & ~ENTRY_LRU_MASK) | evict_minutes(st) << 8 | counter;
}

enum rc store_set_eviction(struct store *st, struct slice policy)
{
    for (size_t i = 0; i < ARRAY_LEN(evict_rows); i++) {
        if (slice_eq_ci(evict_rows[i].name, policy)) {
            st->eviction = &evict_rows[i];
            st->pool_n = 0; /* scores of another kind */
            return RC_OK;
        }
    }
    return RC_BADINPUT;
}

struct slice store_eviction(const struct store *st)
{
    return st->eviction->name;
}

int64_t ks_idle_ms(const struct store *st, const struct entry *e)
{
    if (evict_is_lfu(st))
        return (int64_t)((evict_minutes(st) - (e->meta >> 8 & 0xffff)) & 0xffff) * 60000;
    return (int64_t)((st->lru_clock - e->meta) & ENTRY_LRU_MASK) * 1000;
}

int ks_freq(const struct store *st, const struct entry *e)
{
    return evict_is_lfu(st) ? evict_counter(st, e) : -1;
}

struct evict_sample {
    struct store *st;
    int db;
};

static void evict_consider(void *ctx, struct entry *e)
{
    struct evict_sample *s = ctx;
    struct store *st = s->st;
    const struct evict_row *row = st->eviction;
    uint64_t score = row->score(st, e), hash = table_hash(entry_key(e));
    size_t at = st->pool_n;
    while (at > 0 && st->pool[at - 1].score >= score) {
        if (st->pool[at - 1].hash == hash && st->pool[at - 1].db == s->db)
            return; /* in the pool already */
        at--;
    }
    if (st->pool_n == EVICT_POOL) {
        if (at == 0)
            return;
        memmove(&st->pool[0], &st->pool[1], (at - 1) * sizeof st->pool[0]); /* the least goes */
        at--;
    } else {
        memmove(&st->pool[at + 1], &st->pool[at], (st->pool_n - at) * sizeof st->pool[0]);
        st->pool_n++;
    }
    st->pool[at] = (struct evict_candidate){score, hash, s->db};
}

static bool evict_fill_pool(struct store *st, size_t buckets)
{
    struct evict_sample s = {st, 0};
    bool any = false;
    for (s.db = 0; s.db < STORE_DBS; s.db++) {
        const struct table *t = &st->db[s.db].t;
        bool some = st->eviction->volatile_only ? st->db[s.db].expires > 0 : t->count > 0;
        any = any || some;
        if (some && st->eviction->volatile_only)
            table_sample_expiring(t, keys_rand(st), EVICT_GROUPS, evict_consider, &s);
        for (size_t i = 0; some && !st->eviction->volatile_only && i < EVICT_BUCKETS; i++)
            table_sample(t, keys_rand(st), buckets, evict_consider, &s);
    }
    return any;
}

/* The worst of the pool that is still as bad as when it was seen; NULL: sample more. */
static struct entry *evict_pick(struct store *st, struct evict_candidate *c)
{
    while (st->pool_n) {
        *c = st->pool[--st->pool_n];
        struct entry *e = table_find_hash(&st->db[c->db].t, c->hash);
        if (!e || (st->eviction->volatile_only && entry_expire(e) == 0))
            continue;
        if (st->eviction->score == evict_random || st->eviction->score(st, e) >= c->score)
            return e;
    }
    return NULL;
}

static bool evict_one(struct store *st)
{
    struct evict_candidate c;
    struct entry *e = NULL;
    for (size_t buckets = 1; !e; buckets *= 2) { /* a sparse table: look at more */
        if (!evict_fill_pool(st, buckets))
            return false;
        e = evict_pick(st, &c);
    }
    st->evicted++;
    ks_notify(st, 'e', "evicted", entry_key(e), c.db);
    keys_touched(st, c.db, entry_key(e), e);
    keys_log(st, &(struct effect){.op = EF_DEL, .db = c.db, .key = entry_key(e)});
    keys_drop(st, c.db, e, c.hash);
    return true;
}

enum rc store_make_room(struct store *st)
{
    if (!keys_may_change(st))
        return RC_IO;
    if (LIKELY(st->maxmemory_bytes == 0) || keys_used_bytes(st) <= st->maxmemory_bytes)
        return RC_OK;
    if (!st->eviction->score)
        return RC_NOMEM;
    while (keys_used_bytes(st) > st->maxmemory_bytes)
        if (!evict_one(st))
            return RC_NOMEM;
    return RC_OK;
}
