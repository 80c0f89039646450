/*
 * clock.h - time. Units are in the names. Wall time can jump; mono time cannot.
 *
 * Doors read the clock once per batch and pass it down (now_ms); nothing below calls it per item.
 * Tests replace both clocks with clock_set_source. Threads: any.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/slice.h"

FN int64_t clock_wall_ms(void); /* since 1970-01-01 UTC */
FN int64_t clock_wall_us(void);
FN int64_t clock_mono_ns(void); /* arbitrary origin */
FN int64_t clock_mono_ms(void);
/* For tests. NULL: the real one. */
FN UNUSED void clock_set_source(int64_t (*wall_us)(void), int64_t (*mono_ns)(void));
/* "2026-11-21T04:12:48Z" into dst (>= 24 bytes), returns length. RFC 3339. */
FN size_t clock_rfc3339(char *dst, int64_t wall_ms);
/* "Sat, 21 Nov 2026 04:12:48 GMT" into dst (>= 32 bytes), returns length. RFC 9110 5.6.7. */
FN size_t clock_http_date(char *dst, int64_t wall_ms);
FN UNUSED bool clock_parse_rfc3339(struct slice s, int64_t *wall_ms);
FN bool clock_parse_http_date(struct slice s, int64_t *wall_ms); /* that form and no other */
FN void clock_sleep_ms(int64_t ms);

#endif
