/*
 * rand.h - random bytes from the kernel. Ends the process if the kernel has none to give.
 * rand_u64 is a per-thread buffered form of the same source. Threads: any.
 * Tests make it repeatable with rand_set_source.
 */
#ifndef BASE_RAND_H
#define BASE_RAND_H

#include "base/slice.h"

FN void rand_bytes(void *p, size_t n);
FN uint64_t rand_u64(void);
FN uint64_t rand_below(uint64_t n);                            /* uniform in [0, n), n > 0 */
FN void rand_text(char *dst, size_t n, struct slice alphabet); /* n characters, no NUL */
FN void rand_uuid4(char dst[37]);                              /* RFC 9562, with NUL */
FN UNUSED void rand_set_source(void (*bytes)(void *p, size_t n));

#endif
