/*
 * arena.c - blocks behind the bump allocator of arena.h.
 *
 * The block that arena_init takes is kept by arena_reset; blocks that a large request needed are
 * given back. New blocks double up to 1 MiB, so that a long request costs few calls of the heap.
 * One thread at a time. The arena owns all of its memory. Tested by tests/unit/base/test_arena.c.
 */
#include "base/arena.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

enum { ARENA_FIRST_MIN = 256, ARENA_BLOCK_MAX = 1 << 20 };

struct arena_block {
    struct arena_block *next; /* older */
    size_t bytes;             /* behind this header */
};

_Static_assert(sizeof(struct arena_block) % 16 == 0, "blocks must keep the alignment of 16 bytes");

static bool arena_grow(struct arena *a, size_t bytes)
{
    if (bytes > a->cap_bytes || a->used_bytes > a->cap_bytes - bytes)
        return false;
    struct arena_block *b = mem_try_realloc(NULL, sizeof *b + bytes);
    if (!b)
        return false;
    b->bytes = bytes;
    b->next = a->blocks;
    a->blocks = b;
    a->used_bytes += bytes;
    a->at = (char *)(b + 1);
    a->end = a->at + bytes;
    return true;
}

static COLD NORETURN void arena_fail(const struct arena *a, size_t n)
{
    fprintf(stderr, "postern: an arena of %zu bytes cannot give %zu more\n", a->cap_bytes, n);
    must_fail("arena within its bound", __FILE__, __LINE__);
}

void arena_init(struct arena *a, size_t first_bytes, size_t cap_bytes)
{
    *a = (struct arena){.cap_bytes = cap_bytes ? cap_bytes : (size_t)1 << 30};
    size_t first = (MAX(first_bytes, (size_t)ARENA_FIRST_MIN) + 15) & ~(size_t)15;
    a->cap_bytes = MAX(a->cap_bytes, first);
    if (!arena_grow(a, first))
        arena_fail(a, first);
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->blocks;
    if (!b)
        return;
    while (b->next) {
        struct arena_block *older = b->next;
        mem_free(b);
        b = older;
    }
    a->blocks = b;
    a->used_bytes = b->bytes;
    a->at = (char *)(b + 1);
    a->end = a->at + b->bytes;
}

void arena_free(struct arena *a)
{
    struct arena_block *b = a->blocks;
    while (b) {
        struct arena_block *older = b->next;
        mem_free(b);
        b = older;
    }
    *a = (struct arena){.cap_bytes = a->cap_bytes};
}

/* A new block: twice the last one, or what is asked for, or (near the cap) just that. */
void *arena_slow(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 4)
        return NULL;
    size_t need = (n + 15) & ~(size_t)15;
    size_t twice = a->blocks ? a->blocks->bytes * 2 : ARENA_FIRST_MIN;
    size_t bytes = MAX(need, MIN(twice, (size_t)ARENA_BLOCK_MAX));
    if (!arena_grow(a, bytes) && !arena_grow(a, need))
        return NULL;
    void *p = a->at;
    a->at += need;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = arena_try(a, n);
    if (UNLIKELY(!p))
        arena_fail(a, n);
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    return slice_of(arena_cstr(a, s), s.n);
}

char *arena_cstr(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

struct slice arena_fmt(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    MUST(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return slice_of(p, (size_t)n);
}
