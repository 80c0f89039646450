/*
 * glob.c - Redis' glob patterns, without recursion.
 *
 * Every element but '*' takes exactly one byte, so when a match fails it is enough to let the LAST
 * star take one byte more: earlier stars never need to be tried again. The work is bounded by
 * pattern length times text length. Odd forms follow Redis: an unclosed class ends with the
 * pattern, a backslash at the end stands for itself, a range may be given backwards.
 * Pure. Called by the keyspace and pub/sub. Tested by tests/unit/base/test_glob.c.
 */
#include "base/glob.h"

static inline unsigned char glob_fold(char c, bool fold)
{
    return (unsigned char)(fold ? ascii_lower(c) : c);
}

/* Matches c against the class that starts behind '[' at p[*i]; leaves *i behind the class. */
static bool glob_class(struct slice p, size_t *i, char c, bool fold)
{
    size_t at = *i;
    bool negate = at < p.n && p.p[at] == '^', hit = false;
    unsigned char want = glob_fold(c, fold);
    at += negate ? 1 : 0;
    for (; at < p.n && p.p[at] != ']'; at++) {
        if (p.p[at] == '\\' && at + 1 < p.n) {
            at++;
            hit |= p.p[at] == c;
        } else if (at + 2 < p.n && p.p[at + 1] == '-') {
            unsigned char a = glob_fold(p.p[at], fold), b = glob_fold(p.p[at + 2], fold);
            hit |= want >= MIN(a, b) && want <= MAX(a, b);
            at += 2;
        } else {
            hit |= glob_fold(p.p[at], fold) == want;
        }
    }
    *i = at < p.n ? at + 1 : p.n;
    return hit != negate;
}

/* One element (not a star) at p[*i] against c. */
static bool glob_one(struct slice p, size_t *i, char c, bool fold)
{
    char e = p.p[(*i)++];
    if (e == '?')
        return true;
    if (e == '[')
        return glob_class(p, i, c, fold);
    if (e == '\\' && *i < p.n)
        e = p.p[(*i)++];
    return glob_fold(e, fold) == glob_fold(c, fold);
}

bool glob_match(struct slice pattern, struct slice text, bool fold_case)
{
    size_t i = 0, t = 0;
    size_t star = SIZE_MAX, star_text = 0; /* where to go on when the last star takes more */
    while (t < text.n) {
        if (i < pattern.n && pattern.p[i] == '*') {
            star = ++i;
            star_text = t;
            if (i == pattern.n)
                return true;
            continue;
        }
        if (i < pattern.n && glob_one(pattern, &i, text.p[t], fold_case)) {
            t++;
            continue;
        }
        if (star == SIZE_MAX)
            return false;
        i = star;
        t = ++star_text;
    }
    while (i < pattern.n && pattern.p[i] == '*')
        i++;
    return i == pattern.n;
}
