/*
 * luaheap.c - size classes in pages for one Lua state, with a budget.
 *
 * What: lua_Alloc for the states that script.c opens. Callers: Lua itself (luaheap_alloc), script.c
 * and budget.c, which set the limits and read the counters.
 * How: a slab is eight pages of 16 KiB on a 16 KiB boundary, so masking a cell's address finds its
 * page; a page hands out cells of one class, first fresh ones, then freed ones; a page whose last
 * cell comes back returns to the empty list and may serve another class.
 * Never: a lock, a call to the system in steady state, a refusal of a shrinking request (Lua counts
 * on that). Data: all blocks belong to the state; luaheap_free gives the slabs back (large blocks
 * were freed by lua_close before). Threads: the state's.
 * Tested by tests/unit/script/test_luaheap.c and, through scripts, test_script.c.
 */
#include "script/luaheap.h"

#include "base/mem.h"
#include <string.h>

enum {
    LUAHEAP_SLAB_PAGES = 8,
    LUAHEAP_HEAD = 64, /* page header, keeps cells on 16 bytes */
    LUAHEAP_SMALL = 2048,
    LUAHEAP_FINE = 256 /* up to here one class per 16 bytes */
};

struct luaheap_cell {
    struct luaheap_cell *next;
};
struct luaheap_page {
    struct luaheap_page *next, *prev; /* in heap->open[class] or heap->empty */
    struct luaheap_cell *freed;
    uint32_t fresh; /* offset of the next cell never handed out */
    uint16_t live, cls;
    bool full; /* not in a list */
};
struct luaheap_slab {
    struct luaheap_slab *next;
};
_Static_assert(sizeof(struct luaheap_page) <= LUAHEAP_HEAD, "page header");

static const uint16_t luaheap_sizes[LUAHEAP_CLASSES] = {
    16,  32,  48,  64,  80,  96,  112, 128, 144, 160,  176,  192,  208,  224,
    240, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536, 1792, 2048};

/* Class of sizes above LUAHEAP_FINE, by (n - 1) / 64. */
static const uint8_t luaheap_coarse[32] = {0,  0,  0,  0,  16, 17, 18, 19, 20, 20, 21,
                                           21, 22, 22, 23, 23, 24, 24, 24, 24, 25, 25,
                                           25, 25, 26, 26, 26, 26, 27, 27, 27, 27};

static inline unsigned luaheap_class(size_t n)
{
    return n <= LUAHEAP_FINE ? (unsigned)((n - 1) / 16) : luaheap_coarse[(n - 1) / 64];
}

static inline size_t luaheap_charge(size_t n)
{
    return n == 0 ? 0 : n <= LUAHEAP_SMALL ? luaheap_sizes[luaheap_class(n)] : n;
}

void luaheap_init(struct luaheap *h)
{
    *h = (struct luaheap){.limit_bytes = SIZE_MAX, .pages_limit = SIZE_MAX};
}

void luaheap_free(struct luaheap *h)
{
    while (h->slabs) {
        struct luaheap_slab *next = h->slabs->next;
        mem_free(h->slabs);
        h->slabs = next;
    }
    luaheap_init(h);
}

static void luaheap_link(struct luaheap_page **list, struct luaheap_page *p)
{
    p->prev = NULL;
    p->next = *list;
    if (*list)
        (*list)->prev = p;
    *list = p;
}

static void luaheap_unlink(struct luaheap_page **list, struct luaheap_page *p)
{
    if (p->next)
        p->next->prev = p->prev;
    if (p->prev)
        p->prev->next = p->next;
    else
        *list = p->next;
}

/* One page more than used is taken, to have LUAHEAP_SLAB_PAGES on the boundary. */
static void luaheap_grow(struct luaheap *h)
{
    size_t bytes = (size_t)(LUAHEAP_SLAB_PAGES + 1) * LUAHEAP_PAGE;
    struct luaheap_slab *slab = mem_alloc(bytes);
    slab->next = h->slabs;
    h->slabs = slab;
    uintptr_t at = (uintptr_t)(slab + 1);
    size_t skip = (size_t)(-at & (LUAHEAP_PAGE - 1)) + sizeof *slab;
    for (size_t i = 0; i < LUAHEAP_SLAB_PAGES; i++) {
        void *page = (char *)slab + skip + i * LUAHEAP_PAGE;
        luaheap_link(&h->empty, page);
    }
    h->pages_bytes += (size_t)LUAHEAP_SLAB_PAGES * LUAHEAP_PAGE;
}

/* A page for the class, or NULL when the budget's pages are used up (never when `must`). */
static COLD struct luaheap_page *luaheap_open(struct luaheap *h, unsigned cls, bool must)
{
    if (!h->empty) {
        if (!must && h->limit_bytes != SIZE_MAX && h->pages_bytes >= h->pages_limit)
            return NULL;
        luaheap_grow(h);
    }
    struct luaheap_page *p = h->empty;
    luaheap_unlink(&h->empty, p);
    p->freed = NULL;
    p->fresh = LUAHEAP_HEAD;
    p->live = 0;
    p->cls = (uint16_t)cls;
    p->full = false;
    luaheap_link(&h->open[cls], p);
    return p;
}

static inline void *luaheap_take(struct luaheap *h, unsigned cls, bool must)
{
    struct luaheap_page *p = h->open[cls];
    if (UNLIKELY(!p) && !(p = luaheap_open(h, cls, must)))
        return NULL;
    struct luaheap_cell *cell = p->freed;
    if (cell) {
        p->freed = cell->next;
    } else {
        cell = (void *)((char *)p + p->fresh);
        p->fresh += luaheap_sizes[cls];
    }
    p->live++;
    h->used_bytes += luaheap_sizes[cls];
    if (!p->freed && p->fresh + luaheap_sizes[cls] > LUAHEAP_PAGE) {
        luaheap_unlink(&h->open[cls], p);
        p->full = true;
    }
    return cell;
}

static inline void luaheap_give(struct luaheap *h, void *block)
{
    struct luaheap_page *p = (void *)((uintptr_t)block & ~(uintptr_t)(LUAHEAP_PAGE - 1));
    struct luaheap_cell *cell = block;
    cell->next = p->freed;
    p->freed = cell;
    h->used_bytes -= luaheap_sizes[p->cls];
    if (UNLIKELY(p->full)) {
        p->full = false;
        luaheap_link(&h->open[p->cls], p);
    }
    if (UNLIKELY(--p->live == 0) && (p->next || p->prev)) { /* the last open page stays */
        luaheap_unlink(&h->open[p->cls], p);
        luaheap_link(&h->empty, p);
    }
}

static void luaheap_drop(struct luaheap *h, void *block, size_t n)
{
    if (!block)
        return;
    if (n <= LUAHEAP_SMALL) {
        luaheap_give(h, block);
    } else {
        h->used_bytes -= n;
        mem_free(block);
    }
}

static COLD void *luaheap_refuse(struct luaheap *h, const void *block)
{
    bool again = h->refusing;
    h->refusing = true;
    if (h->refused)
        h->refused(h->ctx, again, block);
    return NULL;
}

static inline void *luaheap_system(const struct luaheap *h, void *block, size_t n)
{
    return h->limit_bytes == SIZE_MAX ? mem_realloc(block, n) : mem_try_realloc(block, n);
}

/* A block of n bytes with the old one's content; the old one is gone afterwards. */
static void *luaheap_move(struct luaheap *h, void *block, size_t old, size_t n)
{
    bool shrinks = n <= old;
    void *p;
    if (n > LUAHEAP_SMALL && old > LUAHEAP_SMALL) {
        p = luaheap_system(h, block, n);
        if (!p)
            return shrinks ? block : NULL;
        h->used_bytes += n - old;
        return p;
    }
    if (n > LUAHEAP_SMALL) {
        p = luaheap_system(h, NULL, n);
        h->used_bytes += p ? n : 0;
    } else {
        p = luaheap_take(h, luaheap_class(n), shrinks && block);
    }
    if (p && block) {
        memcpy(p, block, MIN(old, n));
        luaheap_drop(h, block, old);
    }
    return p;
}

void *luaheap_alloc(void *ud, void *block, size_t old_bytes, size_t new_bytes)
{
    struct luaheap *h = ud;
    size_t old = block ? old_bytes : 0; /* for a new block Lua passes a type tag */
    if (new_bytes == 0) {
        luaheap_drop(h, block, old);
        return NULL;
    }
    size_t had = luaheap_charge(old), wants = luaheap_charge(new_bytes);
    if (wants == had && wants <= LUAHEAP_SMALL)
        return block;
    if (UNLIKELY(wants > had && h->used_bytes + (wants - had) > h->limit_bytes))
        return luaheap_refuse(h, block);
    if (UNLIKELY(new_bytes >= LUAHEAP_BIG) && h->big)
        h->big(h->ctx, new_bytes);
    void *p = luaheap_move(h, block, old, new_bytes);
    if (UNLIKELY(!p))
        return luaheap_refuse(h, block);
    h->refusing = false;
    if (h->used_bytes > h->peak_bytes)
        h->peak_bytes = h->used_bytes;
    return p;
}
