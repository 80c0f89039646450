/* test_mem.c - the heap's wrapper. */
#include "base/mem.h"
#include "t.h"

static void sizes(void)
{
    char *p = mem_alloc(0);
    T(p != NULL);
    mem_free(p);
    p = mem_zalloc(1000);
    for (int i = 0; i < 1000; i++)
        T(p[i] == 0);
    T(mem_size(p) >= 1000 && mem_size(NULL) == 0);
    memset(p, 'x', 1000);
    p = mem_realloc(p, 5000);
    T(p[999] == 'x' && mem_size(p) >= 5000);
    mem_free(p);
    mem_free(NULL);
    char *s = mem_strdup("text");
    T_TEXT(slice_str(s), "text");
    mem_free(s);
}

static void refusals(void)
{
    volatile size_t huge = SIZE_MAX - 100;
    T(mem_try_realloc(NULL, huge) == NULL);
    void *p = mem_try_realloc(NULL, 10);
    T(p != NULL);
    T(mem_try_realloc(p, huge) == NULL); /* p is still there */
    mem_free(p);
}

static void wiping(void)
{
    char secret[32];
    memset(secret, 's', sizeof secret);
    mem_wipe(secret, sizeof secret);
    for (size_t i = 0; i < sizeof secret; i++)
        T(secret[i] == 0);
    mem_wipe(secret, 0);
    T(mem_rss() > 100000);
}

int main(void)
{
    T_RUN(sizes);
    T_RUN(refusals);
    T_RUN(wiping);
    return t_done();
}
