/*
 * json.h - JSON (RFC 8259) read into a tree in an arena, and written into a buf.
 *
 * Reading uses yyjson; the rest of the house sees only struct json. Depth 64, duplicate member
 * names refused, invalid UTF-8 refused, trailing bytes refused. Numbers keep int64/uint64/double
 * apart. The tree and all its strings live in the arena given (they may point into the input copy).
 * Writing: a small state machine that puts commas; keys and strings are escaped. Threads: pure.
 */
#ifndef WIRE_JSON_H
#define WIRE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum json_kind {
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,
    JSON_UINT,
    JSON_REAL,
    JSON_STR,
    JSON_ARR,
    JSON_OBJ
};

struct json {
    enum json_kind kind;
    uint32_t n; /* items or members */
    union {
        bool b;
        int64_t i;  /* JSON_INT: negative or fits */
        uint64_t u; /* JSON_UINT: > INT64_MAX only */
        double d;
        struct slice s;
        struct json *items;          /* JSON_ARR: array of n */
        struct json_member *members; /* JSON_OBJ: array of n, in order */
    };
};
struct json_member {
    struct slice name;
    struct json value;
};

/* place of an error is "line:column". max_bytes bounds the input (RC_TOOBIG). */
FN enum rc json_parse(struct arena *a, struct slice text, size_t max_bytes, struct json **out,
                      struct err *e) MUST_CHECK;
/* Member of an object, or NULL (also when o is NULL or no object). */
FN const struct json *json_get(const struct json *o, struct slice name);
/* A deep copy in the arena; NULL for NULL. */
FN const struct json *json_copy(struct arena *a, const struct json *j);
FN struct json *json_text(struct arena *a, struct slice s) UNUSED; /* a string; s is not copied */
/* Typed reads with a default; json_str gives "" for absent or other types. */
FN struct slice json_str(const struct json *o, struct slice name);
FN int64_t json_int(const struct json *o, struct slice name, int64_t otherwise);
FN bool json_bool(const struct json *o, struct slice name, bool otherwise);

/* Writer. One level of nesting per begin/end; json_key before each member's value. */
struct jsonw {
    struct buf *out;
    uint64_t comma; /* 1: a comma is due before the next value */
    int depth;      /* brackets open */
};
FN void jsonw_init(struct jsonw *w, struct buf *out);
FN void jsonw_obj(struct jsonw *w);
FN void jsonw_end_obj(struct jsonw *w);
FN void jsonw_arr(struct jsonw *w);
FN void jsonw_end_arr(struct jsonw *w);
FN void jsonw_key(struct jsonw *w, struct slice name);
FN void jsonw_str(struct jsonw *w, struct slice s); /* invalid UTF-8 becomes U+FFFD */
FN void jsonw_i64(struct jsonw *w, int64_t n);
FN void jsonw_u64(struct jsonw *w, uint64_t n);
FN void jsonw_real(struct jsonw *w, double d);
FN void jsonw_bool(struct jsonw *w, bool b);
FN void jsonw_null(struct jsonw *w);
FN void jsonw_raw(struct jsonw *w, struct slice json); /* already JSON */
FN void jsonw_value(struct jsonw *w, const struct json *v);
/* key and value in one call */
FN void jsonw_kstr(struct jsonw *w, struct slice name, struct slice s);
FN void jsonw_ki64(struct jsonw *w, struct slice name, int64_t n);
FN void jsonw_kbool(struct jsonw *w, struct slice name, bool b);

#endif
