/*
 * yaml.h - YAML 1.1/1.2 documents as a tree that knows line and column of every node (libyaml).
 *
 * Limits: 4 MiB per file, depth 64, 200,000 nodes; aliases are expanded by sharing the node and
 * counted, so an alias bomb is RC_TOOBIG. Duplicate keys, tags other than the core schema's, merge
 * keys (<<) and non-scalar keys are errors with place "file:line:column".
 * Scalars keep their text; yaml_is_* decide by the core schema when plain, never when quoted.
 * The tree lives in the arena. Threads: pure.
 */
#ifndef WIRE_YAML_H
#define WIRE_YAML_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum yaml_kind { YAML_NULL, YAML_SCALAR, YAML_SEQ, YAML_MAP };
struct yaml {
    enum yaml_kind kind;
    bool quoted;       /* scalar was quoted or a block: always a string */
    int line, col;     /* 1-based */
    struct slice text; /* YAML_SCALAR */
    uint32_t n;
    struct yaml **items;     /* YAML_SEQ */
    struct yaml_pair *pairs; /* YAML_MAP, in order */
};
struct yaml_pair {
    struct slice key;
    int line, col; /* of the key */
    struct yaml *value;
};

/* All documents of one file; empty documents are left out. */
FN enum rc yaml_parse(struct arena *a, const char *file, struct slice text, struct yaml ***docs,
                      size_t *docs_n, struct err *e) MUST_CHECK;
FN struct yaml *yaml_get(const struct yaml *map, struct slice key); /* NULL if absent or no map */
FN UNUSED bool yaml_is_null(const struct yaml *y);
FN bool yaml_bool(const struct yaml *y, bool *out);   /* true/false, plain */
FN bool yaml_i64(const struct yaml *y, int64_t *out); /* plain or quoted digits */
/* The same document as JSON (numbers and booleans by the core schema). */
FN void yaml_to_json(const struct yaml *y, struct buf *out);
/* JSON is YAML enough: a .json file may be given to yaml_parse as well. */

#endif
