/*
 * entry.h - one key with its value in one allocation, and the row of functions that each type of value has.
 *
 * Inside store/ only. The layout behind the 8-byte header, in this order:
 *     [expire_ms 8] [word 8] [long key length 8] key bytes [inline value bytes]
 * expire_ms is there when F_EXPIRE is set (0 in it means none), word when the encoding is not
 * ENC_INLINE: the integer itself, or a pointer to a block of bytes or to an object (hash, list, ...).
 * The long key length is there when klen is KLEN_LONG. A table of fields (hval.c) keeps its fields in
 * the same form, so that one table serves keys and fields.
 *
 * An entry may move when it changes; its slot in the table (struct entry **) is what callers hold.
 * Allocations are rounded here to the classes that size-class allocators use: a new value that falls
 * into the same class is written in place, and the sum of rooms is the accounting of memory.
 * Threads: under the store's lock.
 */
#ifndef STORE_ENTRY_H
#define STORE_ENTRY_H

#include "base/mem.h"
#include "store/store.h"

enum enc { ENC_INT, ENC_INLINE, ENC_BLOCK, ENC_OBJECT };
enum {
    ENTRY_LRU_BITS = 24,
    ENTRY_INLINE_MAX = 1024, /* larger values have their own allocation, so that APPEND can grow it */
    KLEN_LONG = 0xffff,
    ENTRY_HEAD = 8,
};
#define ENTRY_LRU_MASK 0xffffffu
#define F_TYPE_SHIFT 24
#define F_ENC_SHIFT 27
#define F_EXPIRE (1u << 29)
#define F_TRACKED (1u << 30)
#define F_RAW (1u << 31) /* a short string that APPEND or SETRANGE made: OBJECT ENCODING says "raw" */

struct entry {
    uint32_t meta; /* LRU clock or LFU counter, type, encoding, flags */
    uint16_t klen;
    uint16_t vlen; /* of an inline value */
    char data[];
};

/* Bytes of a long string. */
struct block {
    size_t n, cap;
    char p[];
};

static inline UNUSED enum enc entry_enc(const struct entry *e)
{
    return (enum enc)(e->meta >> F_ENC_SHIFT & 3);
}
static inline UNUSED enum vtype entry_type(const struct entry *e)
{
    return (enum vtype)(e->meta >> F_TYPE_SHIFT & 7);
}
/* The address of the word; meaningless for ENC_INLINE. */
static inline UNUSED char *entry_word_at(const struct entry *e)
{
    return (char *)(uintptr_t)e->data + (e->meta & F_EXPIRE ? 8 : 0);
}
static inline UNUSED uint64_t entry_word(const struct entry *e)
{
    uint64_t w;
    memcpy(&w, entry_word_at(e), 8);
    return w;
}
static inline UNUSED void entry_set_word(struct entry *e, uint64_t w)
{
    memcpy(entry_word_at(e), &w, 8);
}
static inline UNUSED void *entry_object(const struct entry *e)
{
    return (void *)(uintptr_t)entry_word(e);
}
/* Offset in data of what follows the fixed words. */
static inline UNUSED size_t entry_tail_at(const struct entry *e)
{
    return (e->meta & F_EXPIRE ? 8u : 0u) + (entry_enc(e) == ENC_INLINE ? 0u : 8u);
}
static inline UNUSED struct slice entry_key(const struct entry *e)
{
    const char *p = e->data + entry_tail_at(e);
    if (LIKELY(e->klen != KLEN_LONG))
        return (struct slice){p, e->klen};
    uint64_t n;
    memcpy(&n, p, 8);
    return (struct slice){p + 8, (size_t)n};
}
static inline UNUSED struct slice entry_inline(const struct entry *e)
{
    struct slice k = entry_key(e);
    return (struct slice){k.p + k.n, e->vlen};
}
static inline UNUSED int64_t entry_expire(const struct entry *e)
{
    if (!(e->meta & F_EXPIRE))
        return 0;
    int64_t ms;
    memcpy(&ms, e->data, 8);
    return ms;
}
/* Bytes of a value that is kept as bytes: inline or in a block. */
static inline UNUSED struct slice entry_bytes(const struct entry *e)
{
    if (entry_enc(e) == ENC_INLINE)
        return entry_inline(e);
    const struct block *b = entry_object(e);
    return (struct slice){b->p, b->n};
}

/* n rounded up to the allocator's class: steps of 16 up to 128, then four per power of two. */
FN size_t entry_class(size_t n);
FN size_t entry_size(const struct entry *e); /* bytes in use */
static inline UNUSED size_t entry_room(const struct entry *e) { return entry_class(entry_size(e)); }

/* A new entry; the word is 0, inline bytes (vlen) are for the caller to fill. */
FN struct entry *entry_new(struct slice key, enum vtype type, enum enc enc, size_t vlen, int64_t expire_ms);
/* Gives e another encoding and inline length, keeping key, expiry and flags; the old value is gone
 * (a block or object must be freed before). Returns e or its new place. */
FN struct entry *entry_reshape(struct entry *e, enum enc enc, size_t vlen);
/* Sets the expiry, making room for it when there is none. Returns e or its new place. */
FN struct entry *entry_set_expire(struct entry *e, int64_t expire_ms);
/* Puts bytes in, inline or as a block, in place where it fits. e holds bytes or an integer. */
FN struct entry *entry_put_bytes(struct entry *e, struct slice value);
FN struct entry *entry_with_bytes(struct slice key, struct slice value, int64_t expire_ms);
/* Makes the value a block of n bytes (zeroes behind the old ones) with room to grow. */
FN struct entry *entry_grow_block(struct entry *e, size_t n);
FN size_t entry_block_room(const struct entry *e); /* 0 unless ENC_BLOCK */
FN void entry_free_value(struct entry *e);         /* block or object; the entry itself stays */
FN void entry_free(struct entry *e);

/* What every type of value offers; V_STRING has no object and leaves most of it NULL.
 * Elements (field + value, member + score, position + item) are how a value travels: to the log, to
 * SQLite and to a copy. `sub` names the element inside its key. */
struct vtype_row {
    const char *name;
    void *(*make)(void);
    void (*free)(void *v);
    size_t (*bytes)(const void *v);
    const char *(*encoding)(const void *v);
    uint64_t (*len)(const void *v);
    void (*each)(const void *v, void (*fn)(void *ctx, struct slice sub, struct slice value), void *ctx);
    /* *v may move. RC_BADINPUT: these bytes are no element of this type. */
    enum rc (*put)(void **v, struct slice sub, struct slice value);
    bool (*del)(void **v, struct slice sub);
    bool may_be_empty; /* streams stay when the last element goes */
};
FN const struct vtype_row *vtype_row(enum vtype t); /* name is NULL for a type that is not served yet */

#endif
