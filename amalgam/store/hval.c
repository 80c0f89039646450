/*
 * hval.c - the value of a hash: one packed block while small, a table of fields when large.
 *
 * A packed hash is a run of [length, field, length, value] with one byte per length, searched from the
 * start: at most 128 fields of at most 64 bytes, as Redis packs them. A large one keeps every field as
 * an entry (entry.h) in a table of its own and never goes back.
 * Called by keys.c through the row, and by the commands through ks_h*. Effects (the log) are written
 * by keys.c's ks_elem_put and ks_elem_del. Owns its block and its fields.
 * Threads: under the store's lock. Tested by tests/unit/store/test_hash.c.
 */
#include "store/keys.h"
#include "store/table.h"
#include "store/types.h"

enum { HVAL_PACKED_FIELDS = 128, HVAL_PACKED_BYTES = 64 };

struct hval {
    uint32_t n;    /* fields */
    uint32_t used; /* bytes of the packed run */
    uint32_t cap;
    uint32_t is_big;
    char p[];
};
struct hval_big {
    uint32_t n, used, cap, is_big; /* as above: is_big tells which of the two it is */
    struct table t;
    size_t fields_bytes;
};
_Static_assert(offsetof(struct hval, is_big) == offsetof(struct hval_big, is_big), "one tells for both");

static void *hval_make(void)
{
    size_t room = entry_class(sizeof(struct hval) + 48);
    struct hval *h = mem_zalloc(room);
    h->cap = (uint32_t)(room - sizeof *h);
    return h;
}

static struct hval_big *hval_as_big(const void *v)
{
    return (struct hval_big *)(uintptr_t)v;
}

static void hval_free(void *v)
{
    struct hval *h = v;
    if (h->is_big)
        table_free(&hval_as_big(v)->t, entry_free);
    mem_free(v);
}

static size_t hval_bytes_used(const void *v)
{
    const struct hval *h = v;
    if (!h->is_big)
        return entry_class(sizeof *h + h->cap);
    const struct hval_big *b = hval_as_big(v);
    return entry_class(sizeof *b) + b->t.bytes + b->fields_bytes;
}

static const char *hval_encoding(const void *v)
{
    return ((const struct hval *)v)->is_big ? "hashtable" : "listpack";
}

static uint64_t hval_len(const void *v)
{
    const struct hval *h = v;
    return h->is_big ? hval_as_big(v)->t.count : h->n;
}

/* Reads the pair at *at and moves behind it; false at the end. */
static bool hval_packed_next(const struct hval *h, size_t *at, struct slice *field, struct slice *value)
{
    if (*at >= h->used)
        return false;
    const unsigned char *p = (const unsigned char *)h->p + *at;
    *field = slice_of((const char *)p + 1, p[0]);
    p += 1 + p[0];
    *value = slice_of((const char *)p + 1, p[0]);
    *at = (size_t)((const char *)p + 1 + p[0] - h->p);
    return true;
}

/* Where the field's pair begins, or SIZE_MAX. */
static size_t hval_packed_find(const struct hval *h, struct slice field, struct slice *value)
{
    struct slice f;
    for (size_t at = 0, from = 0; hval_packed_next(h, &at, &f, value); from = at)
        if (slice_eq(f, field))
            return from;
    return SIZE_MAX;
}

static struct entry *hval_big_find(const void *v, struct slice field)
{
    struct entry **slot = table_find(&hval_as_big(v)->t, field, table_hash(field));
    return slot ? *slot : NULL;
}

static size_t hval_field_room(const struct entry *e)
{
    return entry_room(e) + entry_block_room(e);
}

static void hval_big_put(struct hval_big *b, struct slice field, struct slice value)
{
    uint64_t hash = table_hash(field);
    struct entry **slot = table_find(&b->t, field, hash);
    if (slot) {
        b->fields_bytes -= hval_field_room(*slot);
        *slot = entry_put_bytes(*slot, value);
        b->fields_bytes += hval_field_room(*slot);
        return;
    }
    struct entry *e = entry_with_bytes(field, value, 0);
    b->fields_bytes += hval_field_room(e);
    table_put(&b->t, e, hash);
}

static struct hval_big *hval_grow_big(struct hval *h)
{
    struct hval_big *b = mem_zalloc(entry_class(sizeof *b));
    b->is_big = 1;
    struct slice field, value;
    for (size_t at = 0; hval_packed_next(h, &at, &field, &value);)
        hval_big_put(b, field, value);
    mem_free(h);
    return b;
}

static struct hval *hval_resize(struct hval *h, size_t used)
{
    size_t room = entry_class(sizeof *h + MAX(used, (size_t)48));
    h = mem_realloc(h, room);
    h->cap = (uint32_t)(room - sizeof *h);
    return h;
}

/* Replaces `was` bytes at `at` by room for n; h may move. */
static struct hval *hval_splice(struct hval *h, size_t at, size_t was, size_t n)
{
    size_t used = h->used - was + n;
    if (used > h->cap)
        h = hval_resize(h, used);
    memmove(h->p + at + n, h->p + at + was, h->used - at - was);
    h->used = (uint32_t)used;
    return used < h->cap / 4 ? hval_resize(h, used) : h;
}

static enum rc hval_put(void **v, struct slice field, struct slice value)
{
    struct hval *h = *v;
    if (h->is_big) {
        hval_big_put(hval_as_big(h), field, value);
        return RC_OK;
    }
    struct slice old = {0};
    size_t at = hval_packed_find(h, field, &old);
    if (field.n > HVAL_PACKED_BYTES || value.n > HVAL_PACKED_BYTES ||
        (at == SIZE_MAX && h->n >= HVAL_PACKED_FIELDS)) {
        *v = hval_grow_big(h);
        hval_big_put(*v, field, value);
        return RC_OK;
    }
    if (at == SIZE_MAX) {
        at = h->used;
        *v = h = hval_splice(h, at, 0, field.n + value.n + 2);
        h->n++;
    } else if (old.n != value.n) {
        *v = h = hval_splice(h, at, field.n + old.n + 2, field.n + value.n + 2);
    }
    char *p = h->p + at;
    *p++ = (char)(unsigned char)field.n;
    memcpy(p, field.p, field.n);
    p += field.n;
    *p++ = (char)(unsigned char)value.n;
    if (value.n)
        memcpy(p, value.p, value.n);
    return RC_OK;
}

static bool hval_del(void **v, struct slice field)
{
    struct hval *h = *v;
    if (h->is_big) {
        struct hval_big *b = hval_as_big(h);
        struct entry *e = table_take(&b->t, field, table_hash(field));
        if (!e)
            return false;
        b->fields_bytes -= hval_field_room(e);
        entry_free(e);
        return true;
    }
    struct slice old;
    size_t at = hval_packed_find(h, field, &old);
    if (at == SIZE_MAX)
        return false;
    h->n--;
    *v = hval_splice(h, at, field.n + old.n + 2, 0);
    return true;
}

static bool hval_next(const void *v, uint64_t *it, struct slice *field, struct slice *value)
{
    const struct hval *h = v;
    if (h->is_big) {
        const struct entry *e = table_next(&hval_as_big(v)->t, it);
        if (!e)
            return false;
        *field = entry_key(e);
        *value = entry_bytes(e);
        return true;
    }
    size_t at = (size_t)*it;
    bool more = hval_packed_next(h, &at, field, value);
    *it = at;
    return more;
}

static void hval_each(const void *v, void (*fn)(void *ctx, struct slice sub, struct slice value), void *ctx)
{
    struct slice field, value;
    for (uint64_t it = 0; hval_next(v, &it, &field, &value);)
        fn(ctx, field, value);
}

const struct vtype_row *hval_row(void)
{
    static const struct vtype_row row = {
        .name = "hash",
        .make = hval_make,
        .free = hval_free,
        .bytes = hval_bytes_used,
        .encoding = hval_encoding,
        .len = hval_len,
        .each = hval_each,
        .put = hval_put,
        .del = hval_del,
    };
    return &row;
}

/* ---- what the commands call ---- */

enum rc ks_hset(struct store *st, int db, struct slice key, struct slice field, struct slice value,
                bool *created)
{
    return ks_elem_put(st, db, key, V_HASH, field, value, created);
}

bool ks_hget(const struct entry *e, struct slice field, struct slice *value)
{
    const struct hval *h = entry_object(e);
    if (!h->is_big)
        return hval_packed_find(h, field, value) != SIZE_MAX;
    const struct entry *f = hval_big_find(h, field);
    if (f)
        *value = entry_bytes(f);
    return f != NULL;
}

enum rc ks_hdel(struct store *st, int db, struct slice key, struct slice field)
{
    return ks_elem_del(st, db, key, V_HASH, field);
}

uint64_t ks_hlen(const struct entry *e)
{
    return hval_len(entry_object(e));
}

bool ks_hnext(const struct entry *e, uint64_t *it, struct slice *field, struct slice *value)
{
    return hval_next(entry_object(e), it, field, value);
}

struct hval_scan {
    void (*each)(void *ctx, struct slice field, struct slice value);
    void *ctx;
};

static void hval_scan_entry(void *ctx, struct entry *e)
{
    const struct hval_scan *s = ctx;
    s->each(s->ctx, entry_key(e), entry_bytes(e));
}

uint64_t ks_hscan(const struct entry *e, uint64_t cursor, size_t count,
                  void (*each)(void *ctx, struct slice field, struct slice value), void *ctx)
{
    const struct hval *h = entry_object(e);
    if (!h->is_big) {
        hval_each(h, each, ctx);
        return 0;
    }
    struct hval_scan s = {each, ctx};
    return table_scan(&hval_as_big(h)->t, cursor, count, hval_scan_entry, &s);
}
