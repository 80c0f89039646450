/* test_arena.c - arenas. */
#include "base/arena.h"
#include "t.h"

static void alignment_and_growth(void)
{
    struct arena a;
    arena_init(&a, 64, 0);
    for (size_t n = 0; n < 3000; n += 7) {
        char *p = arena_alloc(&a, n);
        T(((uintptr_t)p & 15) == 0);
        memset(p, (int)n, n); /* ASan sees an overlap with a block's end */
    }
    char *z = arena_zalloc(&a, 100000);
    for (int i = 0; i < 100000; i++)
        T(z[i] == 0);
    arena_free(&a);
}

static void reset_keeps_the_first_block(void)
{
    struct arena a;
    arena_init(&a, 1024, 0);
    char *first = arena_alloc(&a, 16);
    (void)arena_alloc(&a, 100000);
    size_t grown = a.used_bytes;
    arena_reset(&a);
    T(a.used_bytes == 1024 && grown > 100000);
    T(arena_alloc(&a, 16) == (void *)first);
    arena_free(&a);
    T(a.used_bytes == 0);
    T(arena_try(&a, 10) != NULL); /* usable again */
    arena_free(&a);
}

static void bounds(void)
{
    struct arena a;
    arena_init(&a, 1024, 4096);
    T(arena_try(&a, 5000) == NULL);
    T(arena_try(&a, SIZE_MAX) == NULL && arena_try(&a, SIZE_MAX - 14) == NULL);
    size_t got = 0;
    while (arena_try(&a, 100))
        got += 112;
    T(got >= 3500 && got <= 4096);
    T(a.used_bytes <= 4096);
    arena_reset(&a);
    T(arena_try(&a, 100) != NULL);
    arena_free(&a);
}

static void exact_fit(void)
{
    struct arena a;
    arena_init(&a, 256, 0);
    char *p = arena_alloc(&a, 250); /* rounds up to the whole block */
    memset(p, 1, 250);
    T(a.at == a.end);
    char *q = arena_alloc(&a, 1);
    T(q < p || q >= p + 250);
    arena_free(&a);
}

static void texts(void)
{
    struct arena a;
    arena_init(&a, 0, 0);
    struct slice s = arena_dup(&a, S("abc"));
    T_TEXT(s, "abc");
    T(s.p[3] == '\0');
    T(arena_dup(&a, slice_of(NULL, 0)).n == 0);
    T_TEXT(slice_str(arena_cstr(&a, S("xyz"))), "xyz");
    T_TEXT(arena_fmt(&a, "%d-%s", 42, "x"), "42-x");
    struct slice big = arena_fmt(&a, "%05000d", 1);
    T(big.n == 5000 && big.p[4999] == '1');
    int *n = ARENA_ARRAY(&a, int, 10);
    T(n[9] == 0);
    arena_free(&a);
}

int main(void)
{
    T_RUN(alignment_and_growth);
    T_RUN(reset_keeps_the_first_block);
    T_RUN(bounds);
    T_RUN(exact_fit);
    T_RUN(texts);
    return t_done();
}
