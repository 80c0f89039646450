/*
 * keys.c - the keyspace: finding, removing, renaming, walking keys of any type, and their elements.
 *
 * Called by the doors' commands (ks_*), by replay (replay.c, with st->loading set: then nothing expires,
 * nothing is logged and nobody is told), by expiry and eviction. Every change ends in keys_log.
 * Owns the entries. Never reads a clock: the time is what store_enter was given.
 * Threads: under the store's lock. Tested by tests/unit/store/test_keys.c and test_model.c.
 */
#include "store/keys.h"
#include "store/wal.h"

/* ---- what the other files use ---- */

bool keys_may_change(struct store *st)
{
    return st->loading || LIKELY(!st->refused);
}

void keys_log(struct store *st, const struct effect *e)
{
    if (st->wal)
        wal_append(st->wal, e);
}

uint64_t keys_rand(struct store *st)
{
    uint64_t x = st->rng; /* xorshift: for sampling, not for secrets */
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    st->rng = x;
    return x * 0x2545f4914f6cdd1du;
}

size_t keys_total(const struct entry *e)
{
    size_t n = entry_room(e) + entry_block_room(e);
    if (entry_enc(e) == ENC_OBJECT)
        n += vtype_row(entry_type(e))->bytes(entry_object(e));
    return n;
}

size_t keys_used_bytes(const struct store *st)
{
    size_t n = st->value_bytes;
    for (int i = 0; i < STORE_DBS; i++)
        n += st->db[i].t.bytes;
    return n;
}

void keys_touched(struct store *st, int db, struct slice key, struct entry *e)
{
    if (st->loading)
        return;
    st->changes++;
    if (UNLIKELY(st->watches))
        watch_touch(st, db, key);
    if (e && UNLIKELY(e->meta & F_TRACKED)) {
        e->meta &= ~F_TRACKED;
        (void)__atomic_add_fetch(&st->tracked_version, 1, __ATOMIC_RELEASE);
    }
}

void keys_used(struct store *st, struct entry *e)
{
    if (UNLIKELY(evict_is_lfu(st))) {
        evict_touch_lfu(st, e);
        return;
    }
    if ((e->meta & ENTRY_LRU_MASK) != st->lru_clock)
        e->meta = (e->meta & ~ENTRY_LRU_MASK) | st->lru_clock;
}

void keys_put(struct store *st, int db, struct entry *e, uint64_t hash)
{
    struct ksdb *d = &st->db[db];
    int64_t at = entry_expire(e);
    e->meta &= ~ENTRY_LRU_MASK;
    e->meta |= evict_is_lfu(st) ? 5u : st->lru_clock; /* LFU_INIT_VAL: a new key is not the first to go */
    keys_used(st, e);
    table_put(&d->t, e, hash);
    st->value_bytes += keys_total(e);
    if (at) {
        d->expires++;
        table_note_expire(&d->t, hash, at);
    }
    ks_notify(st, 'n', "new", entry_key(e), db);
}

void keys_drop(struct store *st, int db, struct entry *e, uint64_t hash)
{
    struct ksdb *d = &st->db[db];
    struct entry *taken = table_take(&d->t, entry_key(e), hash);
    MUST(taken == e);
    st->value_bytes -= keys_total(e);
    if (entry_expire(e))
        d->expires--;
    entry_free(e);
}

void keys_set_expire(struct store *st, int db, struct entry **slot, uint64_t hash, int64_t expire_ms)
{
    struct ksdb *d = &st->db[db];
    struct entry *e = *slot;
    int64_t was = entry_expire(e);
    if (was == expire_ms)
        return;
    st->value_bytes -= entry_room(e);
    *slot = e = entry_set_expire(e, expire_ms);
    st->value_bytes += entry_room(e);
    d->expires += (uint64_t)(expire_ms != 0);
    d->expires -= (uint64_t)(was != 0);
    if (expire_ms && (was == 0 || expire_ms < was))
        table_note_expire(&d->t, hash, expire_ms);
    else if (expire_ms)
        table_note_expire(&d->t, hash, was); /* the bound stays low: looked at once when was is due */
}

static void keys_delete_logged(struct store *st, int db, struct entry *e, uint64_t hash)
{
    keys_touched(st, db, entry_key(e), e);
    keys_log(st, &(struct effect){.op = EF_DEL, .db = db, .key = entry_key(e)});
    keys_drop(st, db, e, hash);
}

void keys_expire_now(struct store *st, int db, struct entry *e, uint64_t hash)
{
    st->expired++;
    ks_notify(st, 'x', "expired", entry_key(e), db);
    keys_delete_logged(st, db, e, hash);
}

static inline bool keys_is_due(const struct store *st, const struct entry *e)
{
    int64_t at = entry_expire(e);
    return UNLIKELY(at != 0) && at <= st->now_ms && !st->loading;
}

struct entry **keys_slot(struct store *st, int db, struct slice key, uint64_t hash)
{
    struct entry **slot = table_find(&st->db[db].t, key, hash);
    if (slot && UNLIKELY(keys_is_due(st, *slot))) {
        keys_expire_now(st, db, *slot, hash);
        return NULL;
    }
    return slot;
}

/* ---- reading ---- */

struct entry *ks_find(struct store *st, int db, struct slice key, int how)
{
    struct entry **slot = keys_slot(st, db, key, table_hash(key));
    if (how & KS_NOTOUCH)
        return slot ? *slot : NULL;
    if (!slot) {
        st->misses++;
        return NULL;
    }
    st->hits++;
    keys_used(st, *slot);
    return *slot;
}

struct slice ks_key(const struct entry *e)
{
    return entry_key(e);
}

enum vtype ks_type(const struct entry *e)
{
    return entry_type(e);
}

const char *ks_encoding(const struct entry *e)
{
    enum enc enc = entry_enc(e);
    if (enc == ENC_OBJECT)
        return vtype_row(entry_type(e))->encoding(entry_object(e));
    if (enc == ENC_INT)
        return "int";
    return enc == ENC_INLINE && e->vlen <= 44 && !(e->meta & F_RAW) ? "embstr" : "raw";
}

int64_t ks_expire_ms(const struct entry *e)
{
    return entry_expire(e);
}

size_t ks_bytes(const struct entry *e)
{
    return keys_total(e) + 64 / 5; /* its share of a bucket */
}

uint64_t ks_count(struct store *st, int db)
{
    return st->db[db].t.count;
}

struct entry *ks_random(struct store *st, int db)
{
    for (;;) {
        struct entry *e = table_random(&st->db[db].t, keys_rand(st), keys_rand(st));
        if (!e || !keys_is_due(st, e))
            return e;
        keys_expire_now(st, db, e, table_hash(entry_key(e)));
    }
}

struct keys_scan {
    struct store *st;
    table_each *each;
    void *ctx;
};

static void keys_scan_entry(void *ctx, struct entry *e)
{
    struct keys_scan *s = ctx;
    if (!keys_is_due(s->st, e))
        s->each(s->ctx, e);
}

uint64_t ks_scan(struct store *st, int db, uint64_t cursor, size_t count,
                 void (*each)(void *ctx, struct entry *e), void *ctx)
{
    struct keys_scan s = {st, each, ctx};
    return table_scan(&st->db[db].t, cursor, count, keys_scan_entry, &s);
}

void ks_track(struct store *st, struct entry *e)
{
    (void)st;
    e->meta |= F_TRACKED;
}

uint64_t store_tracked_version(const struct store *st)
{
    return __atomic_load_n(&st->tracked_version, __ATOMIC_ACQUIRE);
}

/* ---- changing ---- */

bool ks_del(struct store *st, int db, struct slice key)
{
    uint64_t hash = table_hash(key);
    struct entry **slot = keys_slot(st, db, key, hash);
    if (!slot || !keys_may_change(st))
        return false;
    keys_delete_logged(st, db, *slot, hash);
    return true;
}

bool ks_expire_at(struct store *st, int db, struct slice key, int64_t expire_ms)
{
    uint64_t hash = table_hash(key);
    struct entry **slot = keys_slot(st, db, key, hash);
    if (!slot || !keys_may_change(st))
        return false;
    if (expire_ms == 0 && entry_expire(*slot) == 0)
        return false;
    if (expire_ms != 0 && expire_ms <= st->now_ms && !st->loading) {
        keys_delete_logged(st, db, *slot, hash);
        return true;
    }
    keys_touched(st, db, key, *slot);
    keys_set_expire(st, db, slot, hash, expire_ms);
    keys_log(st, &(struct effect){
                     .op = EF_EXPIRE, .db = db, .key = entry_key(*slot), .expire_ms = expire_ms});
    return true;
}

struct keys_copy {
    struct store *st;
    const struct vtype_row *row;
    void *to;
    int db;
    enum vtype type;
    struct slice key;
};

static void keys_copy_elem(void *ctx, struct slice sub, struct slice value)
{
    struct keys_copy *c = ctx;
    enum rc rc = c->row->put(&c->to, sub, value);
    MUST(rc == RC_OK); /* it came out of a value of this type */
    keys_log(c->st, &(struct effect){.op = EF_ELEM_PUT,
                                     .db = c->db,
                                     .type = c->type,
                                     .key = c->key,
                                     .sub = sub,
                                     .value = value});
}

/* A copy of e under another key, logged as what it consists of. */
static struct entry *keys_copy_entry(struct store *st, const struct entry *e, int db, struct slice key)
{
    enum vtype type = entry_type(e);
    struct effect ef = {.db = db, .key = key, .type = type, .expire_ms = entry_expire(e)};
    if (entry_enc(e) != ENC_OBJECT) {
        char tmp[KS_TMP];
        struct entry *to = entry_enc(e) == ENC_INT
                               ? entry_new(key, V_STRING, ENC_INT, 0, ef.expire_ms)
                               : entry_with_bytes(key, entry_bytes(e), ef.expire_ms);
        if (entry_enc(e) == ENC_INT)
            entry_set_word(to, entry_word(e));
        ef.op = EF_PUT;
        ef.value = ks_str(e, tmp);
        keys_log(st, &ef);
        return to;
    }
    struct keys_copy c = {st, vtype_row(type), vtype_row(type)->make(), db, type, key};
    ef.op = EF_MAKE;
    keys_log(st, &ef);
    c.row->each(entry_object(e), keys_copy_elem, &c);
    ef.op = EF_EXPIRE;
    if (ef.expire_ms)
        keys_log(st, &ef);
    struct entry *to = entry_new(key, type, ENC_OBJECT, 0, ef.expire_ms);
    entry_set_word(to, (uint64_t)(uintptr_t)c.to);
    return to;
}

/* e under another key: the value moves, the old entry's shell is freed. */
static void keys_move(struct store *st, int db, struct entry *e, uint64_t hash, int to_db, struct slice to)
{
    struct entry *n;
    enum enc enc = entry_enc(e);
    if (enc == ENC_INLINE) {
        n = entry_with_bytes(to, entry_inline(e), entry_expire(e));
    } else {
        n = entry_new(to, entry_type(e), enc, 0, entry_expire(e));
        entry_set_word(n, entry_word(e));
    }
    uint32_t lru = e->meta & ENTRY_LRU_MASK;
    n->meta |= e->meta & F_RAW;
    keys_log(st, &(struct effect){
                     .op = EF_RENAME, .db = db, .to_db = to_db, .key = entry_key(e), .sub = to});
    struct ksdb *d = &st->db[db];
    st->value_bytes -= keys_total(e);
    d->expires -= (uint64_t)(entry_expire(e) != 0);
    struct entry *taken = table_take(&d->t, entry_key(e), hash);
    MUST(taken == e);
    mem_free(e);
    keys_put(st, to_db, n, table_hash(to));
    n->meta = (n->meta & ~ENTRY_LRU_MASK) | lru;
}

enum rc ks_rename(struct store *st, int db, struct slice from, int to_db, struct slice to, bool replace,
                  bool keep_source)
{
    uint64_t hash = table_hash(from), to_hash = table_hash(to);
    struct entry **slot = keys_slot(st, db, from, hash);
    if (!slot)
        return RC_NOTFOUND;
    if (!keys_may_change(st))
        return RC_IO;
    if (db == to_db && slice_eq(from, to))
        return replace && !keep_source ? RC_OK : RC_CONFLICT;
    struct entry *e = *slot;
    struct entry **old = keys_slot(st, to_db, to, to_hash);
    if (old && !replace)
        return RC_CONFLICT;
    if (!keep_source)
        keys_touched(st, db, from, e);
    if (old)
        keys_delete_logged(st, to_db, *old, to_hash);
    else
        keys_touched(st, to_db, to, NULL);
    if (keep_source)
        keys_put(st, to_db, keys_copy_entry(st, e, to_db, to), to_hash);
    else
        keys_move(st, db, e, hash, to_db, to);
    return RC_OK;
}

/* The table goes to the trash, to be freed in slices: a flush is never a long pause. */
static void keys_flush_db(struct store *st, int db)
{
    struct ksdb *d = &st->db[db];
    if (d->t.count == 0)
        return;
    watch_touch_db(st, db, db);
    st->changes += d->t.count;
    if (st->trash_n == KEYS_TRASH)
        table_free(&st->trash[--st->trash_n], entry_free);
    st->trash[st->trash_n++] = d->t;
    table_init(&d->t);
    d->expires = 0;
}

static void keys_count_entry(void *ctx, struct entry *e)
{
    *(size_t *)ctx += keys_total(e);
}

/* Bytes of the values of one database, by walking it; all databases are known without. */
static size_t keys_db_bytes(struct store *st, int db)
{
    bool alone = true;
    for (int i = 0; i < STORE_DBS; i++)
        alone = alone && (i == db || st->db[i].t.count == 0);
    if (alone)
        return st->value_bytes;
    size_t n = 0;
    table_sample(&st->db[db].t, 0, (size_t)st->db[db].t.n, keys_count_entry, &n);
    return n;
}

void ks_flush(struct store *st, int db)
{
    if (!keys_may_change(st))
        return;
    if (db < 0) {
        for (int i = 0; i < STORE_DBS; i++)
            keys_flush_db(st, i);
        st->value_bytes = 0;
    } else {
        st->value_bytes -= keys_db_bytes(st, db);
        keys_flush_db(st, db);
    }
    (void)__atomic_add_fetch(&st->tracked_version, 1, __ATOMIC_RELEASE);
    keys_log(st, &(struct effect){.op = EF_FLUSH, .db = db < 0 ? EFFECT_ALL_DBS : db});
}

void ks_swap(struct store *st, int a, int b)
{
    if (!keys_may_change(st) || a == b)
        return;
    watch_touch_db(st, a, b);
    watch_touch_db(st, b, a);
    struct ksdb tmp = st->db[a];
    st->db[a] = st->db[b];
    st->db[b] = tmp;
    st->changes++;
    (void)__atomic_add_fetch(&st->tracked_version, 1, __ATOMIC_RELEASE);
    keys_log(st, &(struct effect){.op = EF_SWAP, .db = a, .to_db = b});
}

void keys_free_all(struct store *st)
{
    for (int i = 0; i < STORE_DBS; i++) {
        table_free(&st->db[i].t, entry_free);
        st->db[i].expires = 0;
    }
    while (st->trash_n)
        table_free(&st->trash[--st->trash_n], entry_free);
    st->value_bytes = 0;
}

/* ---- elements ---- */

static struct entry **keys_make_object(struct store *st, int db, struct slice key, uint64_t hash,
                                       enum vtype type)
{
    struct entry *e = entry_new(key, type, ENC_OBJECT, 0, 0);
    entry_set_word(e, (uint64_t)(uintptr_t)vtype_row(type)->make());
    keys_put(st, db, e, hash);
    return table_find(&st->db[db].t, key, hash);
}

enum rc ks_make(struct store *st, int db, struct slice key, enum vtype type)
{
    uint64_t hash = table_hash(key);
    if (!vtype_row(type)->make)
        return RC_BADINPUT;
    if (!keys_may_change(st))
        return RC_IO;
    if (keys_slot(st, db, key, hash))
        return RC_CONFLICT;
    keys_touched(st, db, key, NULL);
    (void)keys_make_object(st, db, key, hash, type);
    keys_log(st, &(struct effect){.op = EF_MAKE, .db = db, .type = type, .key = key});
    return RC_OK;
}

enum rc ks_elem_put(struct store *st, int db, struct slice key, enum vtype type, struct slice sub,
                    struct slice value, bool *created)
{
    const struct vtype_row *row = vtype_row(type);
    uint64_t hash = table_hash(key);
    if (!row->put)
        return RC_BADINPUT;
    if (!keys_may_change(st))
        return RC_IO;
    struct entry **slot = keys_slot(st, db, key, hash);
    if (slot && entry_type(*slot) != type)
        return RC_WRONGTYPE;
    keys_touched(st, db, key, slot ? *slot : NULL);
    if (!slot)
        slot = keys_make_object(st, db, key, hash, type);
    void *v = entry_object(*slot);
    uint64_t len = row->len(v);
    size_t bytes = row->bytes(v);
    enum rc rc = row->put(&v, sub, value);
    entry_set_word(*slot, (uint64_t)(uintptr_t)v);
    st->value_bytes += row->bytes(v) - bytes;
    if (created)
        *created = row->len(v) != len;
    keys_used(st, *slot);
    if (rc != RC_OK) {
        if (row->len(v) == 0 && !row->may_be_empty)
            keys_drop(st, db, *slot, hash);
        return rc;
    }
    keys_log(st, &(struct effect){.op = EF_ELEM_PUT,
                                  .db = db,
                                  .type = type,
                                  .key = entry_key(*slot),
                                  .sub = sub,
                                  .value = value});
    return RC_OK;
}

enum rc ks_elem_del(struct store *st, int db, struct slice key, enum vtype type, struct slice sub)
{
    const struct vtype_row *row = vtype_row(type);
    uint64_t hash = table_hash(key);
    struct entry **slot = keys_slot(st, db, key, hash);
    if (!slot)
        return RC_NOTFOUND;
    if (entry_type(*slot) != type || !row->del)
        return RC_WRONGTYPE;
    if (!keys_may_change(st))
        return RC_IO;
    struct entry *e = *slot;
    void *v = entry_object(e);
    size_t bytes = row->bytes(v);
    struct effect ef = {.op = EF_ELEM_DEL, .db = db, .type = type, .key = entry_key(e), .sub = sub};
    if (!row->del(&v, sub))
        return RC_NOTFOUND;
    entry_set_word(e, (uint64_t)(uintptr_t)v);
    st->value_bytes += row->bytes(v) - bytes;
    keys_touched(st, db, entry_key(e), e);
    if (row->len(v) == 0 && !row->may_be_empty) {
        keys_log(st, &(struct effect){.op = EF_DEL, .db = db, .key = entry_key(e)});
        keys_drop(st, db, e, hash);
        return RC_OK;
    }
    keys_log(st, &ef);
    return RC_OK;
}
