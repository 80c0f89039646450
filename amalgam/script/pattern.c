/*
 * pattern.c - compiler and step-counted backtracking matcher for Lua's pattern language.
 *
 * What: text -> at most 128 items -> match. Callers: strlib.c (find, match, gmatch, gsub) and the
 * tests. How: the compiler does all parsing and all checking, so the matcher walks an array of
 * items that cannot be malformed. An item is a run of plain characters, one character test with an
 * optional repeat, or a zero-width or special thing. Only a repeat has to be taken back, so only a
 * repeat recurses: the depth is bounded by the number of items. Captures need no undoing: whatever
 * is retried passes their items again before they are used.
 * Why counted: backtracking over several repeats is exponential in the worst case, and a C function
 * is invisible to Lua's instruction hook.
 * Never: allocates, reads beyond the subject, trusts the locale. Threads: pure.
 * Tested by tests/unit/script/test_pattern.c (a table, and random patterns against Lua's own
 * string library) and tests/fuzz/fuzz_lua.c.
 */
#include "script/pattern.h"

enum pattern_op {
    PATTERN_RUN,   /* at, n: plain characters */
    PATTERN_CHAR,  /* a */
    PATTERN_ANY,   /* . */
    PATTERN_SET,   /* a: index of the bit map */
    PATTERN_CLASS, /* a: index of the class, b: outside of it */
    PATTERN_OPEN,  /* a: capture */
    PATTERN_HERE,  /* a: position capture */
    PATTERN_CLOSE, /* a: capture */
    PATTERN_BACK,  /* a: capture */
    PATTERN_PAIR,  /* a, b: %bxy */
    PATTERN_EDGE,  /* a: set of %f */
    PATTERN_TAIL,  /* $ */
    PATTERN_DONE
};
enum pattern_repeat { REPEAT_ONE, REPEAT_MAYBE, REPEAT_ANY, REPEAT_SOME, REPEAT_LAZY };

/* ---- characters ---- */

/* The classes in ASCII, as bit maps; nothing above 127 is in any. */
static const struct pattern_class {
    char kind;
    uint32_t map[4];
} pattern_classes[] = {
    {'a', {0x00000000, 0x00000000, 0x07fffffe, 0x07fffffe}},
    {'c', {0xffffffff, 0x00000000, 0x00000000, 0x80000000}},
    {'d', {0x00000000, 0x03ff0000, 0x00000000, 0x00000000}},
    {'g', {0x00000000, 0xfffffffe, 0xffffffff, 0x7fffffff}},
    {'l', {0x00000000, 0x00000000, 0x00000000, 0x07fffffe}},
    {'p', {0x00000000, 0xfc00fffe, 0xf8000001, 0x78000001}},
    {'s', {0x00003e00, 0x00000001, 0x00000000, 0x00000000}},
    {'u', {0x00000000, 0x00000000, 0x07fffffe, 0x00000000}},
    {'w', {0x00000000, 0x03ff0000, 0x07fffffe, 0x07fffffe}},
    {'x', {0x00000000, 0x03ff0000, 0x0000007e, 0x0000007e}},
};

static inline bool pattern_in(const uint32_t *map, unsigned char c)
{
    return map[c >> 5] >> (c & 31) & 1;
}

/* Index of the class that %kind or its complement (upper case) names; -1 for a plain character. */
static int pattern_class(char kind)
{
    for (size_t i = 0; i < ARRAY_LEN(pattern_classes); i++)
        if (pattern_classes[i].kind == ascii_lower(kind))
            return (int)i;
    return -1;
}

static bool pattern_in_class(const struct pattern_item *it, unsigned char c)
{
    bool in = c < 128 && pattern_in(pattern_classes[it->a].map, c);
    return in != it->b;
}

static void pattern_add(uint32_t *set, unsigned char c)
{
    set[c >> 5] |= UINT32_C(1) << (c & 31);
}

/* Adds %kind to the set: a class, its complement, or the character itself. */
static void pattern_add_escape(uint32_t *set, char kind)
{
    int class = pattern_class(kind);
    if (class < 0) {
        pattern_add(set, (unsigned char)kind);
        return;
    }
    bool outside = ascii_lower(kind) != kind;
    for (int i = 0; i < 8; i++) {
        uint32_t map = i < 4 ? pattern_classes[class].map[i] : 0;
        set[i] |= outside ? ~map : map;
    }
}

bool pattern_is_plain(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] && strchr("^$*+?.([%-", text.p[i]))
            return false;
    return true;
}

/* ---- compiler ---- */

struct pattern_reader {
    struct pattern *p;
    size_t at;
    uint8_t open[PATTERN_CAPTURES_MAX]; /* captures not closed yet, innermost last */
    int open_n;
    const char *why;
};

static bool pattern_bad(struct pattern_reader *r, const char *why)
{
    r->why = why;
    return false;
}

static struct pattern_item *pattern_item(struct pattern_reader *r, enum pattern_op op, unsigned a)
{
    if (r->p->items_n >= PATTERN_ITEMS_MAX) {
        pattern_bad(r, "pattern too complex");
        return NULL;
    }
    struct pattern_item *it = &r->p->items[r->p->items_n++];
    *it = (struct pattern_item){.op = (uint8_t)op, .a = (uint8_t)a};
    return it;
}

static bool pattern_put(struct pattern_reader *r, enum pattern_op op, unsigned a)
{
    return pattern_item(r, op, a) != NULL;
}

/* Where the set that begins at `at` ("[") ends ("]"), or 0. A "]" in first place is plain. */
static size_t pattern_set_end(struct slice t, size_t at)
{
    at++;
    if (at < t.n && t.p[at] == '^')
        at++;
    do {
        if (at >= t.n)
            return 0;
        if (t.p[at++] == '%')
            at++;
    } while (at >= t.n || t.p[at] != ']');
    return at;
}

/* Reads the set at r->at into a new bit map; its index goes to *index. */
static bool pattern_set(struct pattern_reader *r, unsigned *index)
{
    struct slice t = r->p->text;
    size_t end = pattern_set_end(t, r->at), i = r->at + 1;
    if (end == 0)
        return pattern_bad(r, "malformed pattern (missing ']')");
    if (r->p->sets_n >= PATTERN_SETS_MAX)
        return pattern_bad(r, "pattern too complex");
    uint32_t *set = r->p->sets[r->p->sets_n];
    *index = r->p->sets_n++;
    memset(set, 0, sizeof r->p->sets[0]);
    bool outside = t.p[i] == '^';
    for (i += outside; i < end; i++) {
        if (t.p[i] == '%') {
            pattern_add_escape(set, t.p[++i]);
        } else if (i + 2 < end && t.p[i + 1] == '-') {
            for (unsigned c = (unsigned char)t.p[i]; c <= (unsigned char)t.p[i + 2]; c++)
                pattern_add(set, (unsigned char)c);
            i += 2;
        } else {
            pattern_add(set, (unsigned char)t.p[i]);
        }
    }
    for (int k = 0; outside && k < 8; k++)
        set[k] = ~set[k];
    r->at = end + 1;
    return true;
}

static enum pattern_repeat pattern_repeat_at(struct slice t, size_t at)
{
    switch (at < t.n ? t.p[at] : 0) {
    case '?':
        return REPEAT_MAYBE;
    case '*':
        return REPEAT_ANY;
    case '+':
        return REPEAT_SOME;
    case '-':
        return REPEAT_LAZY;
    default:
        return REPEAT_ONE;
    }
}

/* A plain character: joins the run before it, unless a repeat follows. */
static bool pattern_plain(struct pattern_reader *r, size_t at, unsigned char c)
{
    struct pattern *p = r->p;
    enum pattern_repeat rep = pattern_repeat_at(p->text, r->at);
    struct pattern_item *last = p->items_n ? &p->items[p->items_n - 1] : NULL;
    if (rep == REPEAT_ONE && last && last->op == PATTERN_RUN && last->at + last->n == at) {
        last->n++;
        return true;
    }
    struct pattern_item *it = pattern_item(r, rep == REPEAT_ONE ? PATTERN_RUN : PATTERN_CHAR, c);
    if (!it)
        return false;
    it->repeat = (uint8_t)rep;
    it->at = (uint16_t)at;
    it->n = 1;
    r->at += rep != REPEAT_ONE;
    return true;
}

/* One character test that is not plain, with its repeat. */
static bool pattern_test(struct pattern_reader *r, enum pattern_op op, unsigned a, bool b)
{
    struct pattern_item *it = pattern_item(r, op, a);
    if (!it)
        return false;
    it->b = b;
    it->repeat = (uint8_t)pattern_repeat_at(r->p->text, r->at);
    r->at += it->repeat != REPEAT_ONE;
    return true;
}

static bool pattern_paren(struct pattern_reader *r, char c)
{
    struct pattern *p = r->p;
    if (c == ')') {
        r->at++;
        return r->open_n > 0 ? pattern_put(r, PATTERN_CLOSE, r->open[--r->open_n])
                             : pattern_bad(r, "invalid pattern capture");
    }
    if (p->captures >= PATTERN_CAPTURES_MAX)
        return pattern_bad(r, "too many captures");
    if (r->at + 1 < p->text.n && p->text.p[r->at + 1] == ')') {
        r->at += 2;
        return pattern_put(r, PATTERN_HERE, p->captures++);
    }
    r->at++;
    r->open[r->open_n++] = p->captures;
    return pattern_put(r, PATTERN_OPEN, p->captures++);
}

static bool pattern_back(struct pattern_reader *r, char digit)
{
    int index = digit - '1';
    bool ok = index >= 0 && index < r->p->captures;
    for (int i = 0; i < r->open_n; i++)
        ok = ok && r->open[i] != index;
    r->at += 2;
    return ok ? pattern_put(r, PATTERN_BACK, (unsigned)index)
              : pattern_bad(r, "invalid capture index in pattern");
}

static bool pattern_escape(struct pattern_reader *r)
{
    struct slice t = r->p->text;
    unsigned set = 0;
    if (r->at + 1 >= t.n)
        return pattern_bad(r, "malformed pattern (ends with '%')");
    char kind = t.p[r->at + 1];
    if (ascii_digit(kind))
        return pattern_back(r, kind);
    if (kind == 'b') {
        struct pattern_item *it = NULL;
        if (r->at + 3 >= t.n)
            return pattern_bad(r, "malformed pattern (missing arguments to '%b')");
        it = pattern_item(r, PATTERN_PAIR, (unsigned char)t.p[r->at + 2]);
        if (it)
            it->b = (uint8_t)t.p[r->at + 3];
        r->at += 4;
        return it != NULL;
    }
    if (kind == 'f') {
        r->at += 2;
        if (r->at >= t.n || t.p[r->at] != '[')
            return pattern_bad(r, "missing '[' after '%f' in pattern");
        return pattern_set(r, &set) && pattern_put(r, PATTERN_EDGE, set);
    }
    r->at += 2;
    int class = pattern_class(kind);
    if (class < 0)
        return pattern_plain(r, r->at - 1, (unsigned char)kind);
    return pattern_test(r, PATTERN_CLASS, (unsigned)class, ascii_lower(kind) != kind);
}

static bool pattern_next(struct pattern_reader *r)
{
    struct slice t = r->p->text;
    char c = t.p[r->at];
    unsigned set = 0;
    switch (c) {
    case '(':
    case ')':
        return pattern_paren(r, c);
    case '%':
        return pattern_escape(r);
    case '[':
        return pattern_set(r, &set) && pattern_test(r, PATTERN_SET, set, false);
    case '.':
        r->at++;
        return pattern_test(r, PATTERN_ANY, 0, false);
    case '$':
        if (r->at + 1 == t.n) {
            r->at++;
            return pattern_put(r, PATTERN_TAIL, 0);
        }
        break;
    default:
        break;
    }
    r->at++;
    return pattern_plain(r, r->at - 1, (unsigned char)c);
}

bool pattern_compile(struct pattern *p, struct slice text, bool caret, const char **why)
{
    struct pattern_reader r = {.p = p};
    p->text = text;
    p->items_n = p->sets_n = p->captures = 0;
    p->anchored = caret && text.n > 0 && text.p[0] == '^';
    r.at = p->anchored;
    bool ok = text.n <= PATTERN_TEXT_MAX || pattern_bad(&r, "pattern too long");
    while (ok && r.at < text.n)
        ok = pattern_next(&r);
    if (ok && r.open_n > 0)
        ok = pattern_bad(&r, "unfinished capture");
    ok = ok && pattern_put(&r, PATTERN_DONE, 0);
    *why = r.why;
    return ok;
}

/* ---- matcher ---- */

struct pattern_run {
    const struct pattern *p;
    const char *begin, *end;
    uint64_t steps;
    bool spent;
    struct slice *capture;
    const char *opened[PATTERN_CAPTURES_MAX];
};

static inline bool pattern_pay(struct pattern_run *r, uint64_t n)
{
    if (UNLIKELY(r->steps < n)) {
        r->steps = 0;
        r->spent = true;
        return false;
    }
    r->steps -= n;
    return true;
}

static inline bool pattern_one(const struct pattern_run *r, const struct pattern_item *it, char c)
{
    switch (it->op) {
    case PATTERN_CHAR:
        return (uint8_t)c == it->a;
    case PATTERN_CLASS:
        return pattern_in_class(it, (unsigned char)c);
    case PATTERN_SET:
        return pattern_in(r->p->sets[it->a], (unsigned char)c);
    default:
        return true;
    }
}

static const char *pattern_walk(struct pattern_run *r, const struct pattern_item *it,
                                const char *at);

/* As many as there are, then fewer until the rest matches. */
static const char *pattern_greedy(struct pattern_run *r, const struct pattern_item *it,
                                  const char *at, size_t least, size_t most)
{
    size_t n = 0, have = (size_t)(r->end - at);
    most = MIN(most, have);
    while (n < most && pattern_one(r, it, at[n]))
        n++;
    if (!pattern_pay(r, n / 4 + 1))
        return NULL;
    for (;; n--) {
        if (n < least)
            return NULL;
        const char *end = pattern_walk(r, it + 1, at + n);
        if (end || r->spent || n == 0)
            return end;
    }
}

/* As few as will do. */
static const char *pattern_lazy(struct pattern_run *r, const struct pattern_item *it,
                                const char *at)
{
    CHECK(at != NULL);
    for (;; at++) {
        const char *end = pattern_walk(r, it + 1, at);
        if (end || r->spent || at >= r->end || !pattern_one(r, it, *at))
            return end;
    }
}

/* %bxy: the end of the balanced text at `at`, or NULL. */
static const char *pattern_pair(struct pattern_run *r, const struct pattern_item *it,
                                const char *at)
{
    const char *from = at;
    size_t depth = 1;
    if (at >= r->end || (uint8_t)*at != it->a)
        return NULL;
    for (at++; at < r->end; at++) {
        if ((uint8_t)*at == it->b) {
            if (--depth == 0)
                break;
        } else if ((uint8_t)*at == it->a) {
            depth++;
        }
    }
    if (!pattern_pay(r, (uint64_t)(at - from) / 4))
        return NULL;
    return at < r->end ? at + 1 : NULL;
}

static const char *pattern_back_at(struct pattern_run *r, const struct pattern_item *it,
                                   const char *at)
{
    struct slice was = r->capture[it->a];
    if (!was.p || was.n > (size_t)(r->end - at) || !pattern_pay(r, was.n / 8))
        return NULL;
    return memcmp(was.p, at, was.n) == 0 ? at + was.n : NULL;
}

/* %f[set]: the character before is outside the set, the one here inside; \0 stands at both ends. */
static const char *pattern_edge(const struct pattern_run *r, const struct pattern_item *it,
                                const char *at)
{
    unsigned char before = at == r->begin ? 0 : (unsigned char)at[-1];
    unsigned char here = at == r->end ? 0 : (unsigned char)*at;
    const uint32_t *set = r->p->sets[it->a];
    return !pattern_in(set, before) && pattern_in(set, here) ? at : NULL;
}

/* Items without a repeat: where the match goes on, or NULL. */
static const char *pattern_single(struct pattern_run *r, const struct pattern_item *it,
                                  const char *at)
{
    switch (it->op) {
    case PATTERN_RUN:
        if (it->n > r->end - at || memcmp(r->p->text.p + it->at, at, it->n) != 0)
            return NULL;
        return at + it->n;
    case PATTERN_OPEN:
        r->opened[it->a] = at;
        return at;
    case PATTERN_HERE:
        r->capture[it->a] = (struct slice){NULL, (size_t)(at - r->begin)};
        return at;
    case PATTERN_CLOSE:
        r->capture[it->a] = (struct slice){r->opened[it->a], (size_t)(at - r->opened[it->a])};
        return at;
    case PATTERN_BACK:
        return pattern_back_at(r, it, at);
    case PATTERN_PAIR:
        return pattern_pair(r, it, at);
    case PATTERN_EDGE:
        return pattern_edge(r, it, at);
    case PATTERN_TAIL:
        return at == r->end ? at : NULL;
    default:
        return at < r->end && pattern_one(r, it, *at) ? at + 1 : NULL;
    }
}

static const char *pattern_walk(struct pattern_run *r, const struct pattern_item *it,
                                const char *at)
{
    for (; it->op != PATTERN_DONE; it++) {
        if (!pattern_pay(r, 1))
            return NULL;
        switch (it->repeat) {
        case REPEAT_MAYBE:
            return pattern_greedy(r, it, at, 0, 1);
        case REPEAT_ANY:
            return pattern_greedy(r, it, at, 0, SIZE_MAX);
        case REPEAT_SOME:
            return pattern_greedy(r, it, at, 1, SIZE_MAX);
        case REPEAT_LAZY:
            return pattern_lazy(r, it, at);
        default:
            at = pattern_single(r, it, at);
            if (!at)
                return NULL;
        }
    }
    return at;
}

static void pattern_begin(struct pattern_run *r, const struct pattern *p, struct slice subject,
                          uint64_t steps, struct pattern_match *m)
{
    r->p = p;
    r->begin = subject.p;
    r->end = subject.p + subject.n;
    r->steps = steps;
    r->spent = false;
    r->capture = m->capture;
}

static enum pattern_result pattern_end(struct pattern_run *r, const char *at, const char *end,
                                       uint64_t *steps, struct pattern_match *m)
{
    *steps = r->steps;
    if (r->spent)
        return PATTERN_SPENT;
    if (!end)
        return PATTERN_NONE;
    m->start = (size_t)(at - r->begin);
    m->end = (size_t)(end - r->begin);
    return PATTERN_FOUND;
}

static enum pattern_result pattern_match_at(const struct pattern *p, struct slice subject,
                                            size_t at, uint64_t *steps, struct pattern_match *m)
{
    struct pattern_run r;
    pattern_begin(&r, p, subject, *steps, m);
    const char *end = NULL;
    if (pattern_pay(&r, 1))
        end = pattern_walk(&r, p->items, r.begin + at);
    return pattern_end(&r, r.begin + at, end, steps, m);
}

enum pattern_result pattern_search(const struct pattern *p, struct slice subject, size_t from,
                                   uint64_t *steps, struct pattern_match *m)
{
    if (p->anchored)
        return pattern_match_at(p, subject, from, steps, m);
    struct pattern_run r;
    pattern_begin(&r, p, subject, *steps, m);
    bool plain_first = p->items[0].op == PATTERN_RUN;
    const char *end = NULL, *at = r.begin + from;
    for (; at <= r.end && pattern_pay(&r, 1); at++) {
        if (plain_first) { /* jump to where the first character stands */
            const char *to = memchr(at, p->text.p[p->items[0].at], (size_t)(r.end - at));
            if (!pattern_pay(&r, (uint64_t)((to ? to : r.end) - at) / 8) || !to)
                break;
            at = to;
        }
        end = pattern_walk(&r, p->items, at);
        if (end || r.spent)
            break;
    }
    return pattern_end(&r, at, end, steps, m);
}
