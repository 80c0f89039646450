/*
 * mem.c - the heap. The only file that names malloc and its family.
 *
 * The release links mimalloc first, so malloc, free and malloc_usable_size are its functions there;
 * other builds use the C library's (or the sanitiser's). Running out of memory ends the process
 * with one line: budgets refuse requests long before that. Any thread. Tested by
 * tests/unit/base/test_mem.c.
 */
#include "base/mem.h"
#include "base/slice.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static COLD NORETURN void mem_out(size_t n)
{
    fprintf(stderr,
            "postern: out of memory (%zu bytes were refused); lower store.maxmemory or give the "
            "process more memory\n",
            n);
    abort();
}

void *mem_alloc(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (UNLIKELY(!p))
        mem_out(n);
    return p;
}

void *mem_zalloc(size_t n)
{
    void *p = calloc(1, n ? n : 1);
    if (UNLIKELY(!p))
        mem_out(n);
    return p;
}

void *mem_realloc(void *p, size_t n)
{
    void *q = realloc(p, n ? n : 1);
    if (UNLIKELY(!q))
        mem_out(n);
    return q;
}

void mem_free(void *p)
{
    free(p);
}

char *mem_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = mem_alloc(n);
    memcpy(copy, s, n);
    return copy;
}

/* Sizes beyond PTRDIFF_MAX are refused here: the sanitisers' allocators treat them as fatal. */
void *mem_try_realloc(void *p, size_t n)
{
    if (n > PTRDIFF_MAX)
        return NULL;
    return realloc(p, n ? n : 1);
}

size_t mem_size(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p}; /* the C library's prototype lacks const, the function only reads */
    return p ? malloc_usable_size(u.out) : 0;
}

void mem_wipe(void *p, size_t n)
{
    if (n > 0)
        memset(p, 0, n);
    __asm__ volatile("" : : "r"(p) : "memory"); /* the bytes count as used: memset stays */
}

uint64_t mem_rss(void)
{
    uint64_t resident;
    char line[256];
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return 0;
    bool read = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    struct slice rest = slice_str(read ? line : "");
    (void)slice_cut(rest, ' ', &rest); /* the size, then what is resident, in pages */
    long page = sysconf(_SC_PAGESIZE);
    return slice_u64(slice_cut(rest, ' ', &rest), &resident) && page > 0 ? resident * (uint64_t)page : 0;
}
