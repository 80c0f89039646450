/*
 * pattern.h - Lua's pattern language on a matcher that counts its steps.
 *
 * Same language as Lua 5.4's reference manual 6.4.1: classes (%a %d ... in ASCII), sets, * + - ?,
 * %1 to %9, %b(), %f[set], captures, position captures, ^ (see below) and $. A pattern is compiled
 * first; matching backtracks, and every step is taken from a count that the caller gives, so a
 * hostile pattern ends when the count does.
 * Pure: no Lua state, no allocation. The pattern's text must live as long as the struct.
 */
#ifndef SCRIPT_PATTERN_H
#define SCRIPT_PATTERN_H

#include "base/slice.h"

enum {
    PATTERN_TEXT_MAX = 4096,
    PATTERN_ITEMS_MAX = 128,
    PATTERN_SETS_MAX = 24,
    PATTERN_CAPTURES_MAX = 32
};

struct pattern_item {
    uint8_t op, repeat; /* see pattern.c */
    uint8_t a, b;
    uint16_t at, n; /* a run of plain characters in the text */
};
struct pattern {
    struct slice text;
    struct pattern_item items[PATTERN_ITEMS_MAX];
    uint32_t sets[PATTERN_SETS_MAX][8]; /* bit maps */
    uint8_t items_n, sets_n, captures;
    bool anchored; /* began with ^ */
};
struct pattern_match {
    size_t start, end;
    struct slice capture[PATTERN_CAPTURES_MAX];
    /* a position capture has p == NULL and n == the position, counted from 0 */
};
enum pattern_result { PATTERN_NONE, PATTERN_FOUND, PATTERN_SPENT };

/* caret: a leading ^ anchors (find, match, gsub); without it is a plain character (gmatch).
 * False: *why says what is wrong with the pattern (a constant text). */
FN bool pattern_compile(struct pattern *p, struct slice text, bool caret, const char **why);
/* The first match that starts at `from` or later (at `from` only, when anchored). steps is counted
 * down; PATTERN_SPENT when it is used up. */
FN enum pattern_result pattern_search(const struct pattern *p, struct slice subject, size_t from,
                                      uint64_t *steps, struct pattern_match *m);
/* True if the text has no character with a meaning of its own. */
FN bool pattern_is_plain(struct slice text);

#endif
