/*
 * luaheap.h - the memory of one Lua state: size classes in pages, a budget, and a peak.
 *
 * Blocks up to 2 KiB come from pages of 16 KiB, one size class per page; an empty page serves any
 * class, so a script cannot fragment the heap into uselessness. Larger blocks come from mem.h. In
 * steady state nothing is asked of the system. Lua passes the old size back, so no block carries a
 * header.
 *
 * Budget: while `limit` is set, a request that would pass it is refused (NULL), which Lua turns
 * into a full collection, a second try, and then an error. Shrinking never fails. Without a limit
 * (host side, outside protected calls) nothing is refused.
 * Threads: one heap belongs to one state. Only script/ includes this.
 */
#ifndef SCRIPT_LUAHEAP_H
#define SCRIPT_LUAHEAP_H

#include "base/def.h"

enum { LUAHEAP_CLASSES = 28, LUAHEAP_BIG = 4096, LUAHEAP_PAGE = 16384 };

struct luaheap_page;
struct luaheap_slab;
struct luaheap {
    struct luaheap_page *open[LUAHEAP_CLASSES]; /* pages with a free cell */
    struct luaheap_page *empty;
    struct luaheap_slab *slabs;
    size_t used_bytes;  /* cells at their class size, large blocks as asked */
    size_t peak_bytes;  /* highest used_bytes since the owner last set it */
    size_t pages_bytes; /* pages taken from the system, used or empty */
    size_t limit_bytes; /* SIZE_MAX: no limit */
    size_t pages_limit; /* bound of pages_bytes while a limit is set */
    bool refusing;      /* the last request that could be refused was */
    /* Told of each refusal. `again`: the one before was refused too, nothing was granted between.
     * `block` is what was to be resized, NULL for a new one. */
    void (*refused)(void *ctx, bool again, const void *block);
    void (*big)(void *ctx, size_t n); /* told of each request of LUAHEAP_BIG bytes and more */
    void *ctx;
};

FN void luaheap_init(struct luaheap *h);
FN void luaheap_free(struct luaheap *h);
/* Lua's allocator; ud is the struct luaheap. */
FN void *luaheap_alloc(void *ud, void *block, size_t old_bytes, size_t new_bytes);

#endif
