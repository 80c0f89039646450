/*
 * nearest.c - the known name nearest to a mistyped one, by Levenshtein's distance.
 *
 * Used where settings, flags, commands, policy fields and kinds are not known: an error that names the
 * cure. Never on a hot path. Owns nothing. Tested by tests/unit/base/test_nearest.c.
 */
#include "base/nearest.h"

enum { NEAREST_MAX = 64 };

static size_t nearest_distance(struct slice a, struct slice b)
{
    size_t row[NEAREST_MAX + 1];
    if (a.n > NEAREST_MAX || b.n > NEAREST_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t same = corner + (ascii_lower(a.p[i - 1]) != ascii_lower(b.p[j - 1]));
            corner = row[j];
            row[j] = MIN(same, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.n];
}

const char *nearest_name(struct slice word, const char *(*names)(const void *ctx, size_t i), const void *ctx)
{
    const char *best = NULL, *name;
    size_t best_distance = MIN(word.n / 3 + 2, (size_t)6);
    for (size_t i = 0; (name = names(ctx, i)) != NULL; i++) {
        size_t d = *name ? nearest_distance(word, slice_str(name)) : SIZE_MAX;
        if (d < best_distance) {
            best_distance = d;
            best = name;
        }
    }
    return best;
}
