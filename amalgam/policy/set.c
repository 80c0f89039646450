/*
 * set.c - the life of a compiled set: counted readers, the box that holds the one in force, and the
 * facts that others ask for (counts, APIs, plans).
 *
 * policy_box is what reload swaps: writers replace the pointer under its lock (protects `cur`),
 * readers compare the version number and take the lock only when it moved. A set is freed by whoever
 * drops the last reader. Threads: any. Tested by tests/unit/policy/test_load.c.
 */
#include "policy/inside.h"

struct policy_box {
    struct lock lock; /* protects cur */
    struct policy_set *cur;
    uint64_t version;
};

struct map *set_map_new(struct policy_set *s)
{
    struct set_map *m = ARENA_NEW(&s->arena, struct set_map);

    map_init(&m->map);
    m->next = s->maps;
    s->maps = m;
    return &m->map;
}

struct regex *set_regex(struct policy_set *s, const struct field_in *in, const struct yaml *at,
                        struct slice pattern, bool fold_case)
{
    return set_regex_part(s, in, at, pattern, true, fold_case);
}

struct regex *set_regex_part(struct policy_set *s, const struct field_in *in, const struct yaml *at,
                             struct slice pattern, bool whole, bool fold_case)
{
    struct regex *r = NULL;
    struct err e = {0};

    if (regex_compile(pattern, whole, fold_case, &r, &e) != RC_OK) {
        fault_add(in, false, at, NULL, "expression \"%.*s\" is wrong: %s",
                  SFMT(slice_sub(pattern, 0, 80)), e.text);
        return NULL;
    }
    if (s->regexes_n == s->regexes_cap) {
        s->regexes_cap = s->regexes_cap ? s->regexes_cap * 2 : 8;
        s->regexes = mem_realloc(s->regexes, s->regexes_cap * sizeof *s->regexes);
    }
    s->regexes[s->regexes_n++] = r;
    return r;
}

void policy_set_keep(struct policy_set *s)
{
    (void)__atomic_fetch_add(&s->readers, 1, __ATOMIC_RELAXED);
}

void policy_set_drop(struct policy_set *s)
{
    if (!s || __atomic_fetch_sub(&s->readers, 1, __ATOMIC_ACQ_REL) != 1)
        return;
    route_index_free(&s->index);
    for (size_t i = 0; i < s->regexes_n; i++)
        regex_free(s->regexes[i]);
    mem_free(s->regexes);
    for (struct set_map *m = s->maps; m; m = m->next)
        map_free(&m->map);
    for (struct set_arena *a = s->files, *next; a; a = next) {
        next = a->next;
        arena_free(&a->arena);
        mem_free(a);
    }
    hmac_key_wipe(&s->secret_mac);
    arena_free(&s->arena);
    mem_free(s);
}

void policy_count(const struct policy_set *s, struct policy_counts *out)
{
    *out = s->counts;
}

size_t policy_api_count(const struct policy_set *s)
{
    return s->apis_n;
}

const struct policy_api *policy_api_at(const struct policy_set *s, size_t i)
{
    return i < s->apis_n ? &s->apis[i] : NULL;
}

size_t policy_plan_count(const struct policy_set *s)
{
    return s->plans_n;
}

const struct policy_plan *policy_plan_at(const struct policy_set *s, size_t i)
{
    return i < s->plans_n ? &s->plans[i] : NULL;
}

struct set_unit {
    const char *name;
    int64_t seconds;
};
static const struct set_unit set_units[] = {
    {"UNKNOWN", 0}, {"SECOND", 1}, {"MINUTE", 60}, {"HOUR", 3600}, {"DAY", 86400},
    {"WEEK", 7 * 86400}, {"MONTH", 30 * 86400}, {"YEAR", 365 * 86400},
};

int64_t limit_unit_s(enum limit_unit u)
{
    return (size_t)u < ARRAY_LEN(set_units) ? set_units[u].seconds : 0;
}

const char *limit_unit_name(enum limit_unit u)
{
    return set_units[(size_t)u < ARRAY_LEN(set_units) ? u : 0].name;
}

struct policy_box *policy_box_open(struct policy_set *first)
{
    struct policy_box *b = mem_zalloc(sizeof *b);
    static int joined; /* a process may open boxes one after another; rows are joined once */

    if (!__atomic_exchange_n(&joined, 1, __ATOMIC_ACQ_REL))
        policy_metrics_join();
    b->cur = first;
    b->version = 1;
    return b;
}

void policy_box_swap(struct policy_box *b, struct policy_set *next)
{
    struct policy_set *old;

    lock_take(&b->lock);
    old = b->cur;
    b->cur = next;
    (void)__atomic_fetch_add(&b->version, 1, __ATOMIC_RELEASE);
    lock_drop(&b->lock);
    policy_set_drop(old);
}

struct policy_set *policy_box_get(struct policy_box *b)
{
    struct policy_set *s;

    lock_take(&b->lock);
    s = b->cur;
    if (s)
        policy_set_keep(s);
    lock_drop(&b->lock);
    return s;
}

uint64_t policy_box_version(const struct policy_box *b)
{
    return __atomic_load_n(&b->version, __ATOMIC_ACQUIRE);
}

void policy_box_close(struct policy_box *b)
{
    policy_set_drop(b->cur);
    mem_free(b);
}
