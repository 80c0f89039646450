/*
 * test_luaheap.c - the allocator of a Lua state: contents survive, counts are right, limits refuse.
 */
#include "script/luaheap.h"
#include "t.h"

#include <stdlib.h>

enum { BLOCKS = 4000, TURNS = 200000, SIZE_TOP = 9000 };

static uint32_t seed = 12345;
static uint32_t next_random(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static bool filled(const unsigned char *p, size_t n, unsigned char with)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != with)
            return false;
    return true;
}

/* Random requests against a plain record of what each block must hold. */
static void random_requests_keep_their_content(void)
{
    struct luaheap h;
    static unsigned char *block[BLOCKS];
    static size_t size[BLOCKS];
    luaheap_init(&h);
    for (int turn = 0; turn < TURNS; turn++) {
        size_t i = next_random() % BLOCKS;
        size_t n = next_random() % 3 == 0 ? 0 : next_random() % (next_random() % 4 ? 300 : SIZE_TOP);
        if (!filled(block[i], MIN(size[i], n), (unsigned char)i)) {
            T(!"content changed");
            return;
        }
        unsigned char *p = luaheap_alloc(&h, block[i], size[i], n);
        T((p == NULL) == (n == 0));
        if (p) {
            if (((uintptr_t)p & 15) != 0)
                T(!"not on 16 bytes");
            if (!filled(p, MIN(size[i], n), (unsigned char)i))
                T(!"content lost in a move");
            memset(p, (int)(i & 255), n);
        }
        block[i] = p;
        size[i] = n;
    }
    for (size_t i = 0; i < BLOCKS; i++)
        luaheap_alloc(&h, block[i], size[i], 0);
    T_INT(h.used_bytes, 0);
    T(h.peak_bytes > 0);
    luaheap_free(&h);
    T_INT(h.pages_bytes, 0);
}

struct told {
    int first, again;
};
static void count_refusal(void *ctx, bool again, const void *block)
{
    struct told *t = ctx;
    (void)block;
    t->first += !again;
    t->again += again;
}

static void limit_refuses_and_recovers(void)
{
    struct luaheap h;
    struct told told = {0};
    luaheap_init(&h);
    h.refused = count_refusal;
    h.ctx = &told;
    h.limit_bytes = 10000;
    void *a = luaheap_alloc(&h, NULL, 0, 6000);
    T(a != NULL);
    T(luaheap_alloc(&h, NULL, 0, 5000) == NULL);
    T(luaheap_alloc(&h, NULL, 0, 5000) == NULL);
    T_INT(told.first, 1);
    T_INT(told.again, 1);
    T(luaheap_alloc(&h, a, 6000, 12000) == NULL); /* a stays as it was */
    a = luaheap_alloc(&h, a, 6000, 100);          /* shrinking is never refused */
    T(a != NULL);
    T_INT(h.used_bytes, 112);
    a = luaheap_alloc(&h, a, 100, 9000);
    T(a != NULL);
    T(luaheap_alloc(&h, NULL, 0, 5000) == NULL);
    T_INT(told.first, 2); /* something was granted in between */
    luaheap_alloc(&h, a, 9000, 0);
    T_INT(h.used_bytes, 0);
    luaheap_free(&h);
}

/* All of one class, then all of another: the pages are used again. */
static void empty_pages_serve_other_classes(void)
{
    struct luaheap h;
    static void *block[BLOCKS];
    luaheap_init(&h);
    size_t first_pages = 0;
    for (size_t n = 32; n <= 2048; n *= 2) {
        for (size_t i = 0; i < 500; i++)
            block[i] = luaheap_alloc(&h, NULL, 0, n);
        for (size_t i = 0; i < 500; i++)
            luaheap_alloc(&h, block[i], n, 0);
        T_INT(h.used_bytes, 0);
        first_pages = h.pages_bytes;
    }
    for (size_t n = 2048; n >= 32; n /= 2) {
        for (size_t i = 0; i < 400; i++)
            block[i] = luaheap_alloc(&h, NULL, 0, n);
        for (size_t i = 0; i < 400; i++)
            luaheap_alloc(&h, block[i], n, 0);
    }
    T_INT(h.pages_bytes, first_pages);
    T(h.pages_bytes < 2u << 20);
    luaheap_free(&h);
}

/* One small block kept in every page does not buy pages beyond the limit. */
static void pinned_pages_are_bounded(void)
{
    struct luaheap h;
    luaheap_init(&h);
    h.limit_bytes = 1 << 20;
    h.pages_limit = 2 << 20;
    bool refused = false;
    for (size_t n = 64; n <= 2048 && !refused; n += 64)
        for (size_t i = 0; i < (1u << 19) / n && !refused; i++) {
            void *keep = luaheap_alloc(&h, NULL, 0, n);
            refused = keep == NULL;
            if (!refused && i % (LUAHEAP_PAGE / n) != 0)
                luaheap_alloc(&h, keep, n, 0);
        }
    T(h.pages_bytes <= (2u << 20) + 8 * LUAHEAP_PAGE);
    luaheap_free(&h);
}

int main(void)
{
    T_RUN(random_requests_keep_their_content);
    T_RUN(limit_refuses_and_recovers);
    T_RUN(empty_pages_serve_other_classes);
    T_RUN(pinned_pages_are_bounded);
    return t_done();
}
