/*
 * buf.c - growth and formatting for the bounded buffers of buf.h.
 *
 * Used by every door for what goes out and by net/ for what comes in. A buffer never grows beyond
 * the bound given at birth: writes beyond it are dropped and `over` is set. The owner of the struct
 * owns the bytes. One thread at a time. Tested by tests/unit/base/test_buf.c.
 */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_FIRST_BYTES = 256 };

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes ? max_bytes : (size_t)1 << 30};
}

void buf_free(struct buf *b)
{
    mem_free(b->p);
    buf_init(b, b->max_bytes);
}

/* Consumed bytes in front are room too: they are dropped before the buffer grows, unless little
 * would be won by moving much. */
bool buf_room_slow(struct buf *b, size_t n)
{
    size_t unread = b->n - b->at;
    if (n > b->max_bytes || unread > b->max_bytes - n) {
        b->over = true;
        return false;
    }
    if (b->at > 0 && n <= b->cap - unread && (b->at >= unread || unread + n > b->max_bytes / 2)) {
        buf_compact(b);
        return true;
    }
    if (b->n > b->max_bytes - n)
        buf_compact(b);
    size_t cap = MAX(b->cap, (size_t)BUF_FIRST_BYTES);
    while (cap < b->n + n)
        cap *= 2;
    cap = MIN(cap, b->max_bytes);
    if (cap > b->cap) {
        b->p = mem_realloc(b->p, cap);
        b->cap = cap;
    }
    return true;
}

void buf_str(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void buf_u64(struct buf *b, uint64_t n)
{
    char text[24];
    buf_put(b, text, fmt_u64(text, n));
}

void buf_i64(struct buf *b, int64_t n)
{
    char text[24];
    buf_put(b, text, fmt_i64(text, n));
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = b->cap - b->n;
    int n = vsnprintf(room ? b->p + b->n : NULL, room, fmt, ap);
    va_end(ap);
    MUST(n >= 0);
    if ((size_t)n < room) {
        b->n += (size_t)n;
    } else if (buf_room(b, (size_t)n + 1)) { /* one more for vsnprintf's NUL */
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_compact(struct buf *b)
{
    if (b->at == 0)
        return;
    b->n -= b->at;
    memmove(b->p, b->p + b->at, b->n);
    b->at = 0;
}

void buf_shrink(struct buf *b, size_t keep)
{
    if (b->n != b->at || b->cap <= keep)
        return;
    bool over = b->over;
    buf_free(b);
    b->over = over;
}
