/*
 * buf.h - growable bytes with a bound set at birth, and a read position for use as a queue.
 *
 * [0 .. at) was consumed, [at .. n) is unread, [n .. cap) is free. Writing beyond max_bytes sets
 * `over` and drops the write: the owner checks buf_over once at the end instead of at every write.
 * Owner frees. Threads: one at a time.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/slice.h"

struct buf {
    char *p;
    size_t at, n, cap, max_bytes;
    bool over;
};

FN void buf_init(struct buf *b, size_t max_bytes); /* 0: 1 GiB. Allocates nothing yet */
FN void buf_free(struct buf *b);                   /* usable again afterwards */
FN bool buf_room_slow(struct buf *b, size_t n);
/* At least n free bytes behind b->n; false (and over) when that would pass max_bytes. */
static inline UNUSED bool buf_room(struct buf *b, size_t n)
{
    return LIKELY(n <= b->cap - b->n) || buf_room_slow(b, n);
}
static inline UNUSED void buf_put(struct buf *b, const void *p, size_t n)
{
    if (buf_room(b, n) && n > 0) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}
static inline UNUSED void buf_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.p, s.n);
}
static inline UNUSED void buf_byte(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}
#define buf_lit(b, lit) buf_put((b), ("" lit), sizeof(lit) - 1)
FN void buf_str(struct buf *b, const char *s);
FN void buf_u64(struct buf *b, uint64_t n);
FN void buf_i64(struct buf *b, int64_t n);
/* Needs room for one byte more than it writes. */
FN void buf_fmt(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Unread bytes; consume n of them (an emptied buffer starts at 0 again); drop all; compact. */
static inline UNUSED struct slice buf_unread(const struct buf *b)
{
    return (struct slice){b->p ? b->p + b->at : "", b->n - b->at};
}
static inline UNUSED void buf_consume(struct buf *b, size_t n)
{
    b->at += n;
    if (b->at == b->n)
        b->at = b->n = 0;
}
static inline UNUSED void buf_clear(struct buf *b)
{
    b->at = b->n = 0;
    b->over = false;
}
FN void buf_compact(struct buf *b); /* moves the unread bytes to the front */
FN void buf_shrink(struct buf *b,
                   size_t keep); /* gives memory back when empty and larger than keep */
static inline UNUSED struct slice buf_all(const struct buf *b)
{
    return (struct slice){b->p ? b->p : "", b->n};
}
static inline UNUSED bool buf_over(const struct buf *b)
{
    return b->over;
}

#endif
