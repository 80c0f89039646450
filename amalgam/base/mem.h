/*
 * mem.h - the only file that names malloc. Out of memory ends the process with a clear line: a
 * server that lost an allocation cannot promise anything; budgets refuse long before (limits
 * table).
 *
 * Libraries (SQLite, Lua) get these functions as their allocator so that budgets and fault
 * injection see them. Threads: as malloc.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/def.h"

FN void *mem_alloc(size_t n) __attribute__((malloc, returns_nonnull));
FN void *mem_zalloc(size_t n) __attribute__((malloc, returns_nonnull));
FN void *mem_realloc(void *p, size_t n) __attribute__((returns_nonnull));
FN void mem_free(void *p);
FN char *mem_strdup(const char *s);
/* May return NULL: for guests that handle it (SQLite, Lua) and for sizes that come from outside. */
FN void *mem_try_realloc(void *p, size_t n);
/* Bytes that the allocator really gave for p (for memory accounting). */
FN size_t mem_size(const void *p);
/* Overwrites secrets in a way that the compiler keeps. */
FN void mem_wipe(void *p, size_t n);
/* Resident set size of this process in bytes, 0 if unknown. */
FN uint64_t mem_rss(void);

#endif
