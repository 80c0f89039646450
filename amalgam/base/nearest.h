/*
 * nearest.h - "did you mean": the known name nearest to one that is not known.
 *
 * names(ctx, i) gives the i-th known name, "" for a gap, NULL beyond the last. Case does not count.
 * NULL when no name is near enough to help. Pure; names longer than 64 bytes are never near.
 */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "base/slice.h"

FN const char *nearest_name(struct slice word, const char *(*names)(const void *ctx, size_t i), const void *ctx);

#endif
