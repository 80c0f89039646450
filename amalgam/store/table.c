/*
 * table.c - linear hashing in chunks of 64-byte buckets, with scan and an expiry index (see table.h).
 *
 * Called by keys.c, expire.c, evict.c (databases) and hval.c (fields of large hashes). Never frees an
 * entry but through the function handed to table_free. Load: grows above 5 entries per bucket, shrinks
 * below 2; measured in tests/bench/store_bench.c (5: 15 bytes per key and one bucket in six chained).
 * Threads: under the store's lock. Tested by tests/unit/store/test_table.c.
 */
#include "store/table.h"

#include "base/map.h"

enum { TABLE_GROW = 5, TABLE_SHRINK = 2, BUCKET_LINK = 0x80, BUCKET_USED = 0x7f };

struct bucket {
    uint8_t tag[BUCKET_SLOTS];
    uint8_t flags; /* bit i: slot i holds an entry; BUCKET_LINK: slot 6 is the next bucket */
    void *slot[BUCKET_SLOTS];
};
_Static_assert(sizeof(struct bucket) == 64, "a bucket is a cache line");

void table_init(struct table *t)
{
    memset(t, 0, sizeof *t);
}

uint64_t table_hash(struct slice key)
{
    return hash_bytes(key.p, key.n);
}

static inline uint64_t table_index(const struct table *t, uint64_t hash)
{
    uint64_t b = hash & (t->low * 2 - 1);
    return b < t->n ? b : b & (t->low - 1);
}

static inline struct bucket *table_bucket(const struct table *t, uint64_t b)
{
    return &t->chunk[b / CHUNK_BUCKETS][b % CHUNK_BUCKETS];
}

static inline uint8_t table_tag(uint64_t hash)
{
    return (uint8_t)(hash >> 56);
}

static inline struct bucket *bucket_next(const struct bucket *b)
{
    return b->flags & BUCKET_LINK ? b->slot[BUCKET_SLOTS - 1] : NULL;
}

/* Slots whose tag equals: bit i for slot i. Borrow may set a wrong bit above a right one: compared later. */
static inline unsigned bucket_match(const struct bucket *b, uint8_t tag)
{
    uint64_t head, ones = 0x0101010101010101u;
    memcpy(&head, b, 8);
    uint64_t x = head ^ ones * tag;
    uint64_t zero = (x - ones) & ~x & ones * 0x80;
    return (unsigned)((zero >> 7) * 0x0102040810204080u >> 56) & b->flags & BUCKET_USED;
}

struct entry **table_find(struct table *t, struct slice key, uint64_t hash)
{
    if (UNLIKELY(t->n == 0))
        return NULL;
    struct bucket *b = table_bucket(t, table_index(t, hash));
    uint8_t tag = table_tag(hash);
    for (; b; b = bucket_next(b)) {
        for (unsigned m = bucket_match(b, tag); m; m &= m - 1) {
            struct entry **slot = (struct entry **)(void *)&b->slot[__builtin_ctz(m)];
            if (LIKELY(slice_eq(entry_key(*slot), key)))
                return slot;
        }
    }
    return NULL;
}

struct entry *table_find_hash(struct table *t, uint64_t hash)
{
    for (struct bucket *b = t->n ? table_bucket(t, table_index(t, hash)) : NULL; b; b = bucket_next(b))
        for (unsigned m = bucket_match(b, table_tag(hash)); m; m &= m - 1) {
            struct entry *e = b->slot[__builtin_ctz(m)];
            if (table_hash(entry_key(e)) == hash)
                return e;
        }
    return NULL;
}

/* ---- chunks ---- */

static void table_dir_grow(struct table *t, uint32_t cap)
{
    t->chunk = mem_realloc(t->chunk, cap * sizeof(void *));
    t->due = mem_realloc(t->due, cap * sizeof(void *));
    t->chunk_due = mem_realloc(t->chunk_due, cap * sizeof(int64_t));
    for (uint32_t i = t->chunks_cap; i < cap; i++) {
        t->chunk[i] = NULL;
        t->due[i] = NULL;
        t->chunk_due[i] = INT64_MAX;
    }
    t->bytes += (cap - t->chunks_cap) * (2 * sizeof(void *) + sizeof(int64_t));
    t->chunks_cap = cap;
}

/* Makes bucket b exist, empty. */
static void table_add_bucket(struct table *t, uint64_t b)
{
    uint32_t c = (uint32_t)(b / CHUNK_BUCKETS);
    if (c >= t->chunks_cap)
        table_dir_grow(t, t->chunks_cap ? t->chunks_cap * 2 : 1);
    if (c == 0 && b >= t->first_cap) {
        uint32_t cap = t->first_cap ? t->first_cap * 2 : 1;
        t->chunk[0] = mem_realloc(t->chunk[0], cap * sizeof(struct bucket));
        memset(t->chunk[0] + t->first_cap, 0, (cap - t->first_cap) * sizeof(struct bucket));
        t->bytes += (cap - t->first_cap) * sizeof(struct bucket);
        t->first_cap = cap;
    } else if (!t->chunk[c]) {
        t->chunk[c] = mem_zalloc(CHUNK_BUCKETS * sizeof(struct bucket));
        t->bytes += CHUNK_BUCKETS * sizeof(struct bucket);
    }
}

static void table_free_due(struct table *t, uint32_t c)
{
    if (t->due[c])
        t->bytes -= CHUNK_GROUPS * sizeof(int64_t);
    mem_free(t->due[c]);
    t->due[c] = NULL;
    t->chunk_due[c] = INT64_MAX;
}

/* Bucket b was emptied by a merge and is the last one: give its memory back where a unit becomes free. */
static void table_drop_bucket(struct table *t, uint64_t b)
{
    uint32_t c = (uint32_t)(b / CHUNK_BUCKETS);
    if (c > 0 && b % CHUNK_BUCKETS == 0) {
        mem_free(t->chunk[c]);
        t->chunk[c] = NULL;
        t->bytes -= CHUNK_BUCKETS * sizeof(struct bucket);
        table_free_due(t, c);
    } else if (c == 0 && t->first_cap > 4 && b <= t->first_cap / 4) {
        uint32_t cap = t->first_cap / 2;
        t->chunk[0] = mem_realloc(t->chunk[0], cap * sizeof(struct bucket));
        t->bytes -= (t->first_cap - cap) * sizeof(struct bucket);
        t->first_cap = cap;
    }
}

/* ---- put, take, split, merge ---- */

static void table_link(struct table *t, struct bucket *b, struct entry *e, uint8_t tag)
{
    while (b->flags & BUCKET_LINK) {
        if ((b->flags & 0x3f) != 0x3f)
            break;
        b = b->slot[BUCKET_SLOTS - 1];
    }
    unsigned free_slots = ~(unsigned)b->flags & (b->flags & BUCKET_LINK ? 0x3fu : 0x7fu);
    if (!free_slots) {
        struct bucket *more = mem_zalloc(sizeof *more);
        t->bytes += sizeof *more;
        more->tag[0] = b->tag[BUCKET_SLOTS - 1];
        more->slot[0] = b->slot[BUCKET_SLOTS - 1];
        more->flags = 1;
        b->slot[BUCKET_SLOTS - 1] = more;
        b->flags = BUCKET_LINK | 0x3f;
        b = more;
        free_slots = 2;
    }
    unsigned i = (unsigned)__builtin_ctz(free_slots);
    b->tag[i] = tag;
    b->slot[i] = e;
    b->flags = (uint8_t)(b->flags | 1u << i);
}

static void table_free_chain(struct table *t, struct bucket *b)
{
    struct bucket *next = bucket_next(b);
    memset(b, 0, sizeof *b);
    while (next) {
        struct bucket *after = bucket_next(next);
        mem_free(next);
        t->bytes -= sizeof *next;
        next = after;
    }
}

/* Moves the overflow bucket's entries forward after a removal, so that chains do not outlive their need. */
static void table_pull_forward(struct table *t, struct bucket *b)
{
    while (b->flags & BUCKET_LINK) {
        struct bucket *next = b->slot[BUCKET_SLOTS - 1];
        if (next->flags & BUCKET_LINK) {
            b = next;
            continue;
        }
        unsigned n = (unsigned)__builtin_popcount(next->flags);
        if (n == 0 || (n == 1 && (b->flags & 0x3f) == 0x3f)) {
            b->flags = (uint8_t)(b->flags & 0x3f);
            if (n) {
                int i = __builtin_ctz(next->flags);
                b->tag[BUCKET_SLOTS - 1] = next->tag[i];
                b->slot[BUCKET_SLOTS - 1] = next->slot[i];
                b->flags |= 1u << (BUCKET_SLOTS - 1);
            }
            mem_free(next);
            t->bytes -= sizeof *next;
        }
        return;
    }
}

/* After a hole opened in b (not the last of its chain): fill it from the chain's last bucket. */
static void table_fill_hole(struct table *t, struct bucket *head, struct bucket *hole)
{
    if (hole->flags & BUCKET_LINK) {
        struct bucket *last = hole;
        while (last->flags & BUCKET_LINK)
            last = last->slot[BUCKET_SLOTS - 1];
        int from = __builtin_ctz(last->flags);
        int to = __builtin_ctz(~(unsigned)hole->flags & 0x3fu);
        hole->tag[to] = last->tag[from];
        hole->slot[to] = last->slot[from];
        hole->flags = (uint8_t)(hole->flags | 1u << to);
        last->flags = (uint8_t)(last->flags & ~(1u << from));
    }
    table_pull_forward(t, head);
}

static void table_split(struct table *t)
{
    uint64_t from = t->n - t->low, to = t->n;
    table_add_bucket(t, to);
    struct bucket moved = *table_bucket(t, from);
    memset(table_bucket(t, from), 0, sizeof moved);
    for (struct bucket *b = &moved; b; b = bucket_next(b)) /* the keys are cold: fetch them together */
        for (unsigned m = b->flags & BUCKET_USED; m; m &= m - 1)
            __builtin_prefetch(b->slot[__builtin_ctz(m)]);
    t->n++;
    if (t->n == t->low * 2)
        t->low = t->n;
    for (struct bucket *b = &moved; b; b = bucket_next(b)) {
        for (unsigned m = b->flags & BUCKET_USED; m; m &= m - 1) {
            struct entry *e = b->slot[__builtin_ctz(m)];
            uint64_t hash = table_hash(entry_key(e));
            uint64_t at = table_index(t, hash);
            table_link(t, table_bucket(t, at), e, table_tag(hash));
            if (at == to && e->meta & F_EXPIRE)
                table_note_expire(t, hash, entry_expire(e));
        }
    }
    table_free_chain(t, &moved);
}

static void table_merge(struct table *t)
{
    uint64_t from = t->n - 1;
    if (t->n == t->low)
        t->low /= 2;
    t->n--;
    uint64_t to = from - t->low;
    uint32_t cf = (uint32_t)(from / CHUNK_BUCKETS);
    struct bucket *src = table_bucket(t, from), *dst = table_bucket(t, to);
    for (struct bucket *b = src; b; b = bucket_next(b))
        for (unsigned m = b->flags & BUCKET_USED; m; m &= m - 1) {
            int i = __builtin_ctz(m);
            table_link(t, dst, b->slot[i], b->tag[i]);
        }
    table_free_chain(t, src);
    if (t->due[cf]) {
        int64_t due = t->due[cf][from % CHUNK_BUCKETS / GROUP_BUCKETS];
        if (due != INT64_MAX)
            table_note_expire(t, to, due); /* to is its own index: low bits below n */
    }
    table_drop_bucket(t, from);
}

void table_put(struct table *t, struct entry *e, uint64_t hash)
{
    if (UNLIKELY(t->n == 0)) {
        table_add_bucket(t, 0);
        t->n = t->low = 1;
    }
    table_link(t, table_bucket(t, table_index(t, hash)), e, table_tag(hash));
    t->count++;
    if (t->count > t->n * TABLE_GROW)
        table_split(t);
}

struct entry *table_take(struct table *t, struct slice key, uint64_t hash)
{
    if (t->n == 0)
        return NULL;
    struct bucket *head = table_bucket(t, table_index(t, hash));
    for (struct bucket *b = head; b; b = bucket_next(b)) {
        for (unsigned m = bucket_match(b, table_tag(hash)); m; m &= m - 1) {
            int i = __builtin_ctz(m);
            struct entry *e = b->slot[i];
            if (!slice_eq(entry_key(e), key))
                continue;
            b->flags = (uint8_t)(b->flags & ~(1u << i));
            table_fill_hole(t, head, b);
            t->count--;
            if (t->n > 1 && t->count < t->n * TABLE_SHRINK)
                table_merge(t);
            return e;
        }
    }
    return NULL;
}

/* ---- walking ---- */

static size_t bucket_each(const struct bucket *b, table_each *each, void *ctx)
{
    size_t n = 0;
    for (; b; b = bucket_next(b))
        for (unsigned m = b->flags & BUCKET_USED; m; m &= m - 1, n++)
            each(ctx, b->slot[__builtin_ctz(m)]);
    return n;
}

static uint64_t table_reverse(uint64_t v)
{
    v = (v >> 1 & 0x5555555555555555u) | (v & 0x5555555555555555u) << 1;
    v = (v >> 2 & 0x3333333333333333u) | (v & 0x3333333333333333u) << 2;
    v = (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | (v & 0x0f0f0f0f0f0f0f0fu) << 4;
    return __builtin_bswap64(v);
}

uint64_t table_scan(const struct table *t, uint64_t cursor, size_t count, table_each *each, void *ctx)
{
    if (t->n == 0)
        return 0;
    size_t seen = 0, buckets = 0;
    do {
        uint64_t b = cursor & (t->low - 1);
        seen += bucket_each(table_bucket(t, b), each, ctx);
        if (b + t->low < t->n)
            seen += bucket_each(table_bucket(t, b + t->low), each, ctx);
        cursor |= ~(t->low - 1);
        cursor = table_reverse(table_reverse(cursor) + 1);
    } while (cursor && seen < count && ++buckets < count * 10);
    return cursor;
}

/* it = bucket << 16 | position in its chain + 1 */
struct entry *table_next(const struct table *t, uint64_t *it)
{
    uint64_t at = *it >> 16, skip = *it & 0xffff;
    for (; at < t->n; at++, skip = 0) {
        uint64_t pos = 0;
        for (const struct bucket *b = table_bucket(t, at); b; b = bucket_next(b)) {
            unsigned m = b->flags & BUCKET_USED;
            unsigned here = (unsigned)__builtin_popcount(m);
            if (pos + here <= skip) {
                pos += here;
                continue;
            }
            for (; pos < skip; pos++)
                m &= m - 1;
            *it = at << 16 | (skip + 1);
            return b->slot[__builtin_ctz(m)];
        }
    }
    return NULL;
}

void table_sample(const struct table *t, uint64_t r, size_t buckets, table_each *each, void *ctx)
{
    if (t->count == 0)
        return;
    uint64_t at = r % t->n;
    for (size_t i = 0; i < buckets && i < t->n; i++)
        bucket_each(table_bucket(t, (at + i) % t->n), each, ctx);
}

struct entry *table_random(const struct table *t, uint64_t r, uint64_t r2)
{
    if (t->count == 0)
        return NULL;
    uint64_t at = r % t->n;
    for (;;) {
        size_t n = 0;
        for (const struct bucket *b = table_bucket(t, at); b; b = bucket_next(b))
            n += (size_t)__builtin_popcount(b->flags & BUCKET_USED);
        if (n) {
            uint64_t it = at << 16 | r2 % n;
            return table_next(t, &it);
        }
        at = (at + 1) % t->n;
    }
}

static void bucket_free_entries(struct bucket *b, void (*free_entry)(struct entry *e))
{
    for (; b; b = bucket_next(b))
        for (unsigned m = b->flags & BUCKET_USED; m; m &= m - 1)
            free_entry(b->slot[__builtin_ctz(m)]);
}

bool table_free_some(struct table *t, void (*free_entry)(struct entry *e), size_t budget)
{
    size_t buckets = budget / TABLE_GROW + 1;
    for (size_t i = 0; i < buckets && t->n; i++) {
        struct bucket *b = table_bucket(t, --t->n);
        bucket_free_entries(b, free_entry);
        table_free_chain(t, b);
        uint32_t c = (uint32_t)(t->n / CHUNK_BUCKETS);
        if (t->n % CHUNK_BUCKETS == 0) {
            mem_free(t->chunk[c]);
            t->chunk[c] = NULL;
        }
    }
    if (t->n)
        return false;
    for (uint32_t c = 0; c < t->chunks_cap; c++)
        mem_free(t->due[c]);
    mem_free(t->chunk);
    mem_free(t->due);
    mem_free(t->chunk_due);
    table_init(t);
    return true;
}

void table_free(struct table *t, void (*free_entry)(struct entry *e))
{
    while (!table_free_some(t, free_entry, SIZE_MAX / 2))
        ;
}

/* ---- expiry index ---- */

void table_note_expire(struct table *t, uint64_t hash, int64_t expire_ms)
{
    if (expire_ms == 0)
        return;
    uint64_t b = table_index(t, hash);
    uint32_t c = (uint32_t)(b / CHUNK_BUCKETS);
    if (!t->due[c]) {
        t->due[c] = mem_alloc(CHUNK_GROUPS * sizeof(int64_t));
        t->bytes += CHUNK_GROUPS * sizeof(int64_t);
        for (size_t i = 0; i < CHUNK_GROUPS; i++)
            t->due[c][i] = INT64_MAX;
    }
    int64_t *group = &t->due[c][b % CHUNK_BUCKETS / GROUP_BUCKETS];
    *group = MIN(*group, expire_ms);
    t->chunk_due[c] = MIN(t->chunk_due[c], expire_ms);
}

struct table_due_ctx {
    int64_t now_ms, earliest;
    struct entry **out;
    size_t n, max;
};

static void table_due_entry(void *ctx, struct entry *e)
{
    struct table_due_ctx *c = ctx;
    int64_t at = entry_expire(e);
    if (at == 0)
        return;
    if (at <= c->now_ms && c->n < c->max) {
        c->out[c->n++] = e;
        return;
    }
    c->earliest = MIN(c->earliest, at);
}

/* Collects from one group and sets its bound: what is handed out will be gone. */
static void table_due_group(struct table *t, uint32_t c, size_t g, struct table_due_ctx *ctx)
{
    ctx->earliest = INT64_MAX;
    uint64_t first = (uint64_t)c * CHUNK_BUCKETS + g * GROUP_BUCKETS;
    for (uint64_t b = first; b < first + GROUP_BUCKETS && b < t->n; b++)
        bucket_each(table_bucket(t, b), table_due_entry, ctx);
    t->due[c][g] = ctx->earliest;
}

size_t table_due(struct table *t, int64_t now_ms, struct entry **out, size_t max)
{
    struct table_due_ctx ctx = {.now_ms = now_ms, .out = out, .max = max};
    uint32_t chunks = (uint32_t)((t->n + CHUNK_BUCKETS - 1) / CHUNK_BUCKETS);
    for (uint32_t c = 0; c < chunks && ctx.n < max; c++) {
        if (t->chunk_due[c] > now_ms || !t->due[c])
            continue;
        int64_t earliest = INT64_MAX;
        for (size_t g = 0; g < CHUNK_GROUPS; g++) {
            if (t->due[c][g] <= now_ms && ctx.n < max)
                table_due_group(t, c, g, &ctx);
            earliest = MIN(earliest, t->due[c][g]);
        }
        t->chunk_due[c] = earliest;
    }
    return ctx.n;
}

struct table_expiring {
    table_each *each;
    void *ctx;
    size_t n;
};

static void table_expiring_entry(void *ctx, struct entry *e)
{
    struct table_expiring *x = ctx;
    if (entry_expire(e) == 0)
        return;
    x->n++;
    x->each(x->ctx, e);
}

void table_sample_expiring(const struct table *t, uint64_t r, size_t groups, table_each *each, void *ctx)
{
    struct table_expiring x = {each, ctx, 0};
    uint64_t all = (t->n + GROUP_BUCKETS - 1) / GROUP_BUCKETS;
    for (uint64_t i = 0; i < all && groups; i++) {
        uint64_t g = (r + i) % all;
        uint32_t c = (uint32_t)(g / CHUNK_GROUPS);
        if (!t->due[c] || t->chunk_due[c] == INT64_MAX) {
            i += CHUNK_GROUPS - 1 - g % CHUNK_GROUPS; /* the rest of a chunk without any */
            continue;
        }
        if (t->due[c][g % CHUNK_GROUPS] == INT64_MAX)
            continue;
        size_t before = x.n;
        for (uint64_t b = g * GROUP_BUCKETS; b < (g + 1) * GROUP_BUCKETS && b < t->n; b++)
            bucket_each(table_bucket(t, b), table_expiring_entry, &x);
        groups -= x.n > before; /* the bound may be older than the entries */
    }
}
