/*
 * entry.c - one key with its value in one allocation: layout, growth, and the rows of types.
 *
 * Called by the keyspace files (keys.c, str.c, hval.c). Knows no database, no log and no clock.
 * Sizes are rounded to the allocator's classes (entry_class): what falls into the same class is
 * rewritten in place. Whoever calls keeps the books of bytes: room before, room after.
 * Threads: under the store's lock. Tested by tests/unit/store/test_table.c and test_keys.c.
 */
#include "store/entry.h"
#include "store/types.h"

size_t entry_class(size_t n)
{
    if (n <= 128)
        return (n + 15) & ~(size_t)15;
    size_t step = (size_t)1 << (61 - __builtin_clzll((unsigned long long)(n - 1)));
    return (n + step - 1) & ~(step - 1);
}

static size_t entry_key_area(const struct entry *e)
{
    return entry_key(e).n + (e->klen == KLEN_LONG ? 8 : 0);
}

size_t entry_size(const struct entry *e)
{
    return ENTRY_HEAD + entry_tail_at(e) + entry_key_area(e) + e->vlen;
}

static uint32_t entry_meta_of(enum vtype type, enum enc enc, bool expires)
{
    return (uint32_t)type << F_TYPE_SHIFT | (uint32_t)enc << F_ENC_SHIFT | (expires ? F_EXPIRE : 0u);
}

struct entry *entry_new(struct slice key, enum vtype type, enum enc enc, size_t vlen, int64_t expire_ms)
{
    size_t fixed = (expire_ms ? 8u : 0u) + (enc == ENC_INLINE ? 0u : 8u);
    size_t area = key.n + (key.n >= KLEN_LONG ? 8 : 0);
    struct entry *e = mem_alloc(entry_class(ENTRY_HEAD + fixed + area + vlen));
    e->meta = entry_meta_of(type, enc, expire_ms != 0);
    e->klen = (uint16_t)MIN(key.n, (size_t)KLEN_LONG);
    e->vlen = (uint16_t)vlen;
    if (expire_ms)
        memcpy(e->data, &expire_ms, 8);
    if (enc != ENC_INLINE)
        entry_set_word(e, 0);
    char *p = e->data + fixed;
    if (key.n >= KLEN_LONG) {
        uint64_t n = key.n;
        memcpy(p, &n, 8);
        p += 8;
    }
    if (key.n)
        memcpy(p, key.p, key.n);
    return e;
}

struct entry *entry_reshape(struct entry *e, enum enc enc, size_t vlen)
{
    size_t old_at = entry_tail_at(e), area = entry_key_area(e), old_room = entry_room(e);
    size_t at = (e->meta & F_EXPIRE ? 8u : 0u) + (enc == ENC_INLINE ? 0u : 8u);
    size_t room = entry_class(ENTRY_HEAD + at + area + vlen);
    struct entry *to = e;
    if (room != old_room) {
        to = mem_alloc(room);
        memcpy(to, e, ENTRY_HEAD + 8);
    }
    if (to != e || at != old_at)
        memmove(to->data + at, e->data + old_at, area);
    if (to != e)
        mem_free(e);
    to->meta = (to->meta & ~(3u << F_ENC_SHIFT)) | (uint32_t)enc << F_ENC_SHIFT;
    to->vlen = (uint16_t)vlen;
    return to;
}

struct entry *entry_set_expire(struct entry *e, int64_t expire_ms)
{
    if (!(e->meta & F_EXPIRE)) {
        if (expire_ms == 0)
            return e;
        size_t n = entry_size(e), room = entry_class(n), new_room = entry_class(n + 8);
        struct entry *to = e;
        if (room != new_room) {
            to = mem_alloc(new_room);
            memcpy(to, e, ENTRY_HEAD);
        }
        memmove(to->data + 8, e->data, n - ENTRY_HEAD);
        if (to != e)
            mem_free(e);
        to->meta |= F_EXPIRE;
        e = to;
    }
    memcpy(e->data, &expire_ms, 8);
    return e;
}

size_t entry_block_room(const struct entry *e)
{
    if (entry_enc(e) != ENC_BLOCK)
        return 0;
    const struct block *b = entry_object(e);
    return entry_class(sizeof *b + b->cap);
}

static struct block *entry_block_new(size_t n, size_t cap)
{
    size_t room = entry_class(sizeof(struct block) + cap);
    struct block *b = mem_alloc(room);
    b->n = n;
    b->cap = room - sizeof *b;
    return b;
}

static void entry_set_object(struct entry *e, void *p)
{
    entry_set_word(e, (uint64_t)(uintptr_t)p);
}

struct entry *entry_put_bytes(struct entry *e, struct slice value)
{
    if (value.n <= ENTRY_INLINE_MAX) {
        if (entry_enc(e) != ENC_INLINE || e->vlen != value.n) {
            entry_free_value(e);
            e = entry_reshape(e, ENC_INLINE, value.n);
        }
        if (value.n)
            memmove((char *)(uintptr_t)entry_inline(e).p, value.p, value.n);
        return e;
    }
    if (entry_enc(e) == ENC_BLOCK) {
        struct block *b = entry_object(e);
        if (value.n <= b->cap && value.n >= b->cap / 2) {
            memmove(b->p, value.p, value.n);
            b->n = value.n;
            return e;
        }
    }
    struct block *b = entry_block_new(value.n, value.n);
    memcpy(b->p, value.p, value.n);
    entry_free_value(e);
    e = entry_reshape(e, ENC_BLOCK, 0);
    entry_set_object(e, b);
    return e;
}

struct entry *entry_with_bytes(struct slice key, struct slice value, int64_t expire_ms)
{
    bool in = value.n <= ENTRY_INLINE_MAX;
    struct entry *e = entry_new(key, V_STRING, in ? ENC_INLINE : ENC_BLOCK, in ? value.n : 0, expire_ms);
    if (in) {
        if (value.n)
            memcpy((char *)(uintptr_t)entry_inline(e).p, value.p, value.n);
        return e;
    }
    struct block *b = entry_block_new(value.n, value.n);
    memcpy(b->p, value.p, value.n);
    entry_set_object(e, b);
    return e;
}

struct entry *entry_grow_block(struct entry *e, size_t n)
{
    struct block *old = entry_enc(e) == ENC_BLOCK ? entry_object(e) : NULL;
    if (old && n <= old->cap) {
        if (n > old->n)
            memset(old->p + old->n, 0, n - old->n);
        old->n = MAX(old->n, n);
        return e;
    }
    struct slice was = entry_bytes(e);
    size_t cap = n < 1u << 20 ? n * 2 : n + (1u << 20); /* as Redis: doubling up to 1 MiB more */
    struct block *b = entry_block_new(MAX(n, was.n), MAX(cap, was.n));
    if (was.n)
        memcpy(b->p, was.p, was.n);
    if (n > was.n)
        memset(b->p + was.n, 0, n - was.n);
    entry_free_value(e);
    e = entry_reshape(e, ENC_BLOCK, 0);
    entry_set_object(e, b);
    return e;
}

void entry_free_value(struct entry *e)
{
    enum enc enc = entry_enc(e);
    if (enc == ENC_BLOCK)
        mem_free(entry_object(e));
    else if (enc == ENC_OBJECT) {
        CHECK(vtype_row(entry_type(e))->free != NULL);
        vtype_row(entry_type(e))->free(entry_object(e));
    }
}

void entry_free(struct entry *e)
{
    entry_free_value(e);
    mem_free(e);
}

/* A new type is one more line here and one more file. */
const struct vtype_row *vtype_row(enum vtype t)
{
    static const struct vtype_row none = {0}, string = {.name = "string"};
    switch (t) {
    case V_STRING:
        return &string;
    case V_HASH:
        return hval_row();
    case V_LIST:
    case V_SET:
    case V_ZSET:
    case V_STREAM:
    case V_TYPES:
    default:
        return &none;
    }
}

const char *vtype_name(enum vtype t)
{
    static const char *const names[V_TYPES] = {"string", "list", "set", "zset", "hash", "stream"};
    return (unsigned)t < V_TYPES ? names[t] : "none";
}
