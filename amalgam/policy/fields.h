/*
 * fields.h - YAML maps -> C structs by tables: one row per field. A field of a new kind is a row.
 *
 * A row says the name (lowerCamel; snake_case is accepted as well), what it holds, where it goes in
 * the struct and one line for the manual. Unknown names, wrong types, missing or doubled fields become
 * faults with file, line, column, field path, what was expected and the nearest known name. All faults
 * of a document are found in one pass. Structs and strings live in the arena given (strings point into
 * the YAML tree). Threads: pure but for the faults given.
 */
#ifndef POLICY_FIELDS_H
#define POLICY_FIELDS_H

#include "base/nearest.h"
#include "policy/policy.h"
#include "wire/yaml.h"

enum field_type {
    FIELD_STR,    /* struct slice */
    FIELD_BOOL,   /* bool */
    FIELD_INT,    /* int64_t within min..max */
    FIELD_WORD,   /* int: index in words[], case does not matter */
    FIELD_OBJ,    /* pointer to a struct by sub; NULL when absent */
    FIELD_LIST,   /* struct field_list of pointers to structs by sub */
    FIELD_NAMED,  /* struct field_list, from a map: names[] beside items[] */
    FIELD_STRS,   /* struct field_strs */
    FIELD_PAIRS,  /* struct field_pairs, from a map of scalars */
    FIELD_NODE,   /* const struct yaml *: read later */
    FIELD_SELF,   /* const struct yaml *: the map itself, for places in later faults; has no name */
    FIELD_QUIET,  /* known, means nothing here */
    FIELD_NOTICE  /* known, not served: a notice that says doc */
};
enum { FIELD_REQUIRED = 1 };

struct field_strs {
    struct slice *v;
    size_t n;
};
struct field_pair {
    struct slice name, value;
};
struct field_pairs {
    struct field_pair *v;
    size_t n;
};
struct field_list {
    void **items;
    struct slice *names; /* FIELD_NAMED only */
    size_t n;
};
struct field_table;
struct field_row {
    const char *name;
    enum field_type type;
    size_t at; /* offsetof in the struct */
    int flags;
    int64_t min, max;
    const struct field_table *sub;
    const char *const *words; /* NULL-terminated */
    const char *doc;
};
struct field_table {
    size_t size;
    const struct field_row *rows;
    size_t n;
};

struct field_path { /* a chain on the stack, printed only when a fault is found */
    const struct field_path *up;
    struct slice name; /* of the member, or "" for an item */
    size_t index;
};
struct field_in {
    struct arena *arena;
    struct policy_faults *faults;
    struct slice file;
    bool strict;
};

/* Fills *out (zeroed before). False when an error was found; notices do not count. */
FN bool field_decode(const struct field_in *in, const struct field_table *t, const struct yaml *y,
                     const struct field_path *path, void *out);
FN const char *field_kind_words(const struct yaml *y); /* "a map", "a list", "text", "nothing" */

/* faults.c */
FN void fault_add(const struct field_in *in, bool notice, const struct yaml *at,
                  const struct field_path *path, const char *fmt, ...) PRINTF_LIKE(5, 6);
FN void fault_put(struct policy_faults *f, bool notice, struct slice file, int line, int col,
                  struct slice path, struct slice text);

#endif
