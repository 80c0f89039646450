/*
 * resp_table.c - the table of commands and how a name finds its row.
 *
 * The rows are in resp_rows.def, for readers and for the manual. At start resp_index_open folds every
 * name into two words and a small open-addressed table; a look-up reads the name once, eight bytes at
 * a time, without a comparison of strings. Subcommands are searched among the rows behind their parent
 * (they are seldom hot). Nothing changes after resp_index_open. Threads: any.
 * Tested by tests/unit/resp/test_resp_table.c.
 */
#include "resp/resp_int.h"

#define W CF_WRITE
#define R CF_READONLY
#define M CF_DENYOOM
#define A CF_ADMIN
#define P CF_PUBSUB
#define H CF_NOSCRIPT
#define L CF_LOADING
#define T CF_STALE
#define K CF_SKIP_MONITOR
#define G CF_SKIP_SLOWLOG
#define F CF_FAST
#define N CF_NO_AUTH
#define E CF_MAY_REPLICATE
#define X CF_NO_MULTI
#define Y CF_ALLOW_BUSY
#define D CF_DANGEROUS
#define U CF_UNLOCKED
#define C CF_CONTAINER
#define Z CF_NOT_KEY

static const struct resp_row resp_table_rows[] = {
#define ROW(name, fn, arity, flags, first, last, step, group, since, summary, syntax)              \
    {name, fn, arity, (flags), first, last, step, group, since, summary, syntax, sizeof(name) - 1},
#include "resp/resp_rows.def"
#undef ROW
};

#undef W
#undef R
#undef M
#undef A
#undef P
#undef H
#undef L
#undef T
#undef K
#undef G
#undef F
#undef N
#undef E
#undef X
#undef Y
#undef D
#undef U
#undef C
#undef Z

enum { RESP_TABLE_SLOTS = 1024 }; /* a power of two, several times the rows */
_Static_assert(ARRAY_LEN(resp_table_rows) < RESP_TABLE_SLOTS / 2, "RESP_TABLE_SLOTS");

struct resp_table_slot {
    uint64_t lo, hi; /* first and last eight bytes of the name, folded */
    uint32_t len;    /* 0: free */
    uint32_t row;
};
struct resp_index {
    struct resp_table_slot slots[RESP_TABLE_SLOTS];
};

/* Upper case letters of eight bytes become lower case. */
static inline uint64_t resp_table_fold(uint64_t w)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t low = w & (0x7f * ones);
    uint64_t beyond_z = low + (0x7f - 'Z') * ones;
    uint64_t from_a = low + (0x80 - 'A') * ones;
    uint64_t upper = (from_a ^ beyond_z) & ~w & (0x80 * ones);
    return w | upper >> 2;
}

static inline uint64_t resp_table_load(const char *p, size_t n)
{
    uint64_t w = 0;
    memcpy(&w, p, n);
    return w;
}

/* The name as two words; names longer than 16 bytes are compared in full afterwards. */
static inline void resp_table_words(struct slice s, uint64_t *lo, uint64_t *hi)
{
    if (s.n >= 8) {
        *lo = resp_table_load(s.p, 8);
        *hi = resp_table_load(s.p + s.n - 8, 8);
    } else if (s.n >= 4) {
        *lo = resp_table_load(s.p, 4);
        *hi = resp_table_load(s.p + s.n - 4, 4);
    } else {
        *lo = s.n > 0 ? (unsigned char)s.p[0] | (uint64_t)(unsigned char)s.p[s.n / 2] << 8 : 0;
        *hi = s.n > 0 ? (unsigned char)s.p[s.n - 1] : 0;
    }
    *lo = resp_table_fold(*lo);
    *hi = resp_table_fold(*hi);
}

static inline size_t resp_table_slot(uint64_t lo, uint64_t hi, size_t len)
{
    uint64_t h = (lo ^ (hi << 23 | hi >> 41) ^ len) * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 54);
}

struct resp_index *resp_index_open(void)
{
    struct resp_index *x = mem_zalloc(sizeof *x);
    for (size_t i = 0; i < ARRAY_LEN(resp_table_rows); i++) {
        const struct resp_row *row = &resp_table_rows[i];
        if (resp_row_is_sub(row))
            continue;
        struct resp_table_slot s = {.len = row->name_len, .row = (uint32_t)i};
        resp_table_words(slice_of(row->name, row->name_len), &s.lo, &s.hi);
        size_t at = resp_table_slot(s.lo, s.hi, s.len);
        while (x->slots[at].len != 0)
            at = (at + 1) % RESP_TABLE_SLOTS;
        x->slots[at] = s;
    }
    return x;
}

void resp_index_close(struct resp_index *x) { mem_free(x); }

HOT const struct resp_row *resp_find(const struct resp_index *x, struct slice name)
{
    uint64_t lo, hi;
    resp_table_words(name, &lo, &hi);
    size_t at = resp_table_slot(lo, hi, name.n);
    for (; x->slots[at].len != 0; at = (at + 1) % RESP_TABLE_SLOTS) {
        const struct resp_table_slot *s = &x->slots[at];
        if (s->lo != lo || s->hi != hi || s->len != name.n)
            continue;
        const struct resp_row *row = &resp_table_rows[s->row];
        if (LIKELY(name.n <= 16) || slice_eq_ci(name, slice_of(row->name, row->name_len)))
            return row;
    }
    return NULL;
}

const struct resp_row *resp_find_sub(const struct resp_row *parent, struct slice name)
{
    const struct resp_row *end = resp_table_rows + ARRAY_LEN(resp_table_rows);
    for (const struct resp_row *r = parent + 1; r < end && resp_row_is_sub(r); r++) {
        struct slice sub = slice_of(r->name, r->name_len);
        if (slice_eq_ci(name, slice_from(sub, (size_t)parent->name_len + 1)))
            return r;
    }
    return NULL;
}

bool resp_row_is_sub(const struct resp_row *row)
{
    return memchr(row->name, '|', row->name_len) != NULL;
}

const struct resp_row *resp_row_at(size_t i)
{
    return i < ARRAY_LEN(resp_table_rows) ? &resp_table_rows[i] : NULL;
}

size_t resp_row_index(const struct resp_row *row) { return (size_t)(row - resp_table_rows); }

size_t resp_rows_n(void) { return ARRAY_LEN(resp_table_rows); }

bool resp_row_keys(const struct resp_row *row, size_t argc, struct resp_range *out)
{
    if (row->first == 0)
        return false;
    int last = row->last < 0 ? (int)argc + row->last : row->last;
    if (last < row->first || (size_t)last >= argc)
        return false;
    *out = (struct resp_range){(size_t)row->first, (size_t)last, (size_t)row->step};
    return true;
}

const char *resp_group_name(int group)
{
    static const char *const names[RG_COUNT] = {
        "generic", "string", "list", "set", "sorted-set", "hash", "pubsub", "transactions",
        "connection", "server", "scripting", "cluster"};
    return names[group];
}

bool resp_command_doc(size_t i, const char **name, const char **group, const char **summary)
{
    if (i >= ARRAY_LEN(resp_table_rows))
        return false;
    *name = resp_table_rows[i].name;
    *group = resp_group_name(resp_table_rows[i].group);
    *summary = resp_table_rows[i].summary;
    return true;
}
