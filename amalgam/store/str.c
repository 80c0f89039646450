/*
 * str.c - strings: setting, counting, appending, overwriting a range.
 *
 * A value that is the text of an int64 is kept as the number. Others lie inside the entry up to
 * ENTRY_INLINE_MAX bytes and in a block of their own beyond. Called by the commands (ks_*) and by
 * replay (str_store*). Effects: the whole new value, or the changed range of a long one, so that
 * a thousand APPENDs to a long string do not log it a thousand times.
 * Threads: under the store's lock. Tested by tests/unit/store/test_keys.c and test_model.c.
 */
#include "store/keys.h"

enum { STR_MAX_BYTES = 512 << 20 };

static bool str_is_int(struct slice v, int64_t *n)
{
    return v.n - 1 < 20 && (v.p[0] <= '9') && slice_i64(v, n);
}

struct slice ks_str(const struct entry *e, char tmp[KS_TMP])
{
    if (entry_enc(e) != ENC_INT)
        return entry_bytes(e);
    return slice_of(tmp, fmt_i64(tmp, (int64_t)entry_word(e)));
}

static struct entry *str_overwrite(struct entry *e, struct slice value)
{
    int64_t n;
    if (str_is_int(value, &n)) {
        if (entry_enc(e) != ENC_INT) {
            entry_free_value(e);
            e = entry_reshape(e, ENC_INT, 0);
        }
        entry_set_word(e, (uint64_t)n);
        return e;
    }
    return entry_put_bytes(e, value);
}

static struct entry *str_make(struct slice key, struct slice value, int64_t expire_ms)
{
    int64_t n;
    if (!str_is_int(value, &n))
        return entry_with_bytes(key, value, expire_ms);
    struct entry *e = entry_new(key, V_STRING, ENC_INT, 0, expire_ms);
    entry_set_word(e, (uint64_t)n);
    return e;
}

struct entry *str_store(struct store *st, int db, struct entry **slot, struct slice key, uint64_t hash,
                        struct slice value, int64_t expire_ms)
{
    if (!slot) {
        struct entry *e = str_make(key, value, expire_ms);
        keys_put(st, db, e, hash);
        return e;
    }
    st->value_bytes -= keys_total(*slot);
    if (entry_enc(*slot) == ENC_OBJECT) {
        entry_free_value(*slot);
        *slot = entry_reshape(*slot, ENC_INT, 0);
    }
    *slot = str_overwrite(*slot, value);
    (*slot)->meta &= ~(F_RAW | 7u << F_TYPE_SHIFT);
    st->value_bytes += keys_total(*slot);
    if (entry_expire(*slot) != expire_ms)
        keys_set_expire(st, db, slot, hash, expire_ms);
    keys_used(st, *slot);
    return *slot;
}

static void str_log_put(struct store *st, int db, const struct entry *e, struct slice value)
{
    keys_log(st, &(struct effect){.op = EF_PUT,
                                  .db = db,
                                  .key = entry_key(e),
                                  .value = value,
                                  .expire_ms = entry_expire(e)});
}

void ks_set(struct store *st, int db, struct slice key, struct slice value, int64_t expire_ms)
{
    uint64_t hash = table_hash(key);
    struct entry **slot = keys_slot(st, db, key, hash);
    if (!keys_may_change(st))
        return;
    if (expire_ms == KS_KEEP_TTL)
        expire_ms = slot ? entry_expire(*slot) : 0;
    keys_touched(st, db, key, slot ? *slot : NULL);
    if (UNLIKELY(slot && entry_enc(*slot) == ENC_OBJECT)) /* its elements go, on disk too */
        keys_log(st, &(struct effect){.op = EF_DEL, .db = db, .key = entry_key(*slot)});
    if (UNLIKELY(expire_ms != 0 && expire_ms <= st->now_ms)) {
        if (slot) {
            keys_log(st, &(struct effect){.op = EF_DEL, .db = db, .key = entry_key(*slot)});
            keys_drop(st, db, *slot, hash);
        }
        return;
    }
    struct entry *e = str_store(st, db, slot, key, hash, value, expire_ms);
    char tmp[KS_TMP];
    str_log_put(st, db, e, ks_str(e, tmp));
}

enum rc ks_incr(struct store *st, int db, struct slice key, int64_t by, int64_t expire_ms, int64_t *out)
{
    uint64_t hash = table_hash(key);
    struct entry **slot = keys_slot(st, db, key, hash);
    int64_t n = 0;
    char tmp[KS_TMP];
    if (slot && entry_type(*slot) != V_STRING)
        return RC_WRONGTYPE;
    if (slot && entry_enc(*slot) == ENC_INT)
        n = (int64_t)entry_word(*slot);
    else if (slot && !slice_i64(entry_bytes(*slot), &n))
        return RC_BADINPUT;
    if (__builtin_add_overflow(n, by, &n))
        return RC_TOOBIG;
    if (!keys_may_change(st))
        return RC_IO;
    keys_touched(st, db, key, slot ? *slot : NULL);
    struct entry *e;
    if (LIKELY(slot && entry_enc(*slot) == ENC_INT)) {
        e = *slot;
        entry_set_word(e, (uint64_t)n);
        keys_used(st, e);
    } else {
        struct slice text = slice_of(tmp, fmt_i64(tmp, n));
        e = str_store(st, db, slot, key, hash, text, slot ? entry_expire(*slot) : expire_ms);
    }
    str_log_put(st, db, e, slice_of(tmp, fmt_i64(tmp, n)));
    *out = n;
    return RC_OK;
}

/* Bytes at `at` become part, zeroes fill a gap. The value is a string of bytes or a new key. */
bool str_store_range(struct store *st, int db, struct entry **slot, struct slice key, uint64_t hash,
                     size_t at, struct slice part)
{
    char tmp[KS_TMP];
    if (!slot) {
        keys_put(st, db, entry_with_bytes(key, S(""), 0), hash);
        slot = table_find(&st->db[db].t, key, hash);
    }
    if (entry_type(*slot) != V_STRING)
        return false;
    st->value_bytes -= keys_total(*slot);
    if (entry_enc(*slot) == ENC_INT)
        *slot = entry_put_bytes(*slot, ks_str(*slot, tmp));
    size_t was = entry_bytes(*slot).n, n = MAX(was, at + part.n);
    if (n > ENTRY_INLINE_MAX) {
        *slot = entry_grow_block(*slot, n);
    } else if (n != was) {
        char copy[ENTRY_INLINE_MAX];
        memcpy(copy, entry_bytes(*slot).p, was);
        memset(copy + was, 0, n - was);
        *slot = entry_put_bytes(*slot, slice_of(copy, n));
    }
    if (part.n)
        memcpy((char *)(uintptr_t)entry_bytes(*slot).p + at, part.p, part.n);
    (*slot)->meta |= F_RAW;
    st->value_bytes += keys_total(*slot);
    keys_used(st, *slot);
    return true;
}

static enum rc str_change(struct store *st, int db, struct slice key, size_t at, bool append,
                          struct slice part, size_t *len)
{
    uint64_t hash = table_hash(key);
    struct entry **slot = keys_slot(st, db, key, hash);
    char tmp[KS_TMP];
    if (slot && entry_type(*slot) != V_STRING)
        return RC_WRONGTYPE;
    size_t was = slot ? ks_str(*slot, tmp).n : 0;
    *len = was;
    if (append)
        at = was;
    if (part.n == 0 && (slot || !append))
        return RC_OK; /* Redis: APPEND of nothing makes the key, SETRANGE of nothing does not */
    if (at > STR_MAX_BYTES || part.n > STR_MAX_BYTES - at)
        return RC_TOOBIG;
    if (!keys_may_change(st))
        return RC_IO;
    keys_touched(st, db, key, slot ? *slot : NULL);
    bool fresh = !slot || entry_enc(*slot) != ENC_BLOCK;
    (void)str_store_range(st, db, slot, key, hash, at, part);
    struct entry *e = *table_find(&st->db[db].t, key, hash);
    struct slice now = entry_bytes(e);
    *len = now.n;
    if (fresh || now.n < 2 * part.n)
        str_log_put(st, db, e, now);
    else
        keys_log(st, &(struct effect){
                         .op = EF_RANGE, .db = db, .key = entry_key(e), .at = at, .value = part});
    return RC_OK;
}

enum rc ks_append(struct store *st, int db, struct slice key, struct slice tail, size_t *len)
{
    return str_change(st, db, key, 0, true, tail, len);
}

enum rc ks_setrange(struct store *st, int db, struct slice key, size_t at, struct slice part, size_t *len)
{
    return str_change(st, db, key, at, false, part, len);
}
