/*
 * arena.h - memory that is given back all at once: one per request, command or policy set.
 *
 * arena_alloc bumps a pointer; arena_reset keeps the first block and frees the rest. What must live
 * longer than the request is copied elsewhere by whoever keeps it. A cap bounds the whole arena:
 * beyond it arena_alloc returns NULL only through arena_try; arena_alloc itself ends the process
 * (use arena_try for sizes that come from outside).
 * Threads: one at a time. Alignment: 16 bytes.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena_block;
struct arena {
    char *at, *end;             /* free range of the current block */
    struct arena_block *blocks; /* newest first; the last one is kept at reset */
    size_t used_bytes, cap_bytes;
};

FN void arena_init(struct arena *a, size_t first_bytes, size_t cap_bytes); /* cap 0: 1 GiB */
FN void arena_reset(struct arena *a);
FN void arena_free(struct arena *a);
FN void *arena_slow(struct arena *a, size_t n);

static inline UNUSED void *arena_try(struct arena *a, size_t n)
{
    if (LIKELY(n <= (size_t)(a->end - a->at))) { /* the free range is a multiple of 16 */
        void *p = a->at;
        a->at += (n + 15) & ~(size_t)15;
        return p;
    }
    return arena_slow(a, n);
}
FN void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
FN void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
FN struct slice arena_dup(struct arena *a, struct slice s); /* copy, with a NUL behind it */
FN char *arena_cstr(struct arena *a, struct slice s);
FN struct slice arena_fmt(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define ARENA_NEW(a, type)      ((type *)arena_zalloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (size_t)(n)))

#endif
