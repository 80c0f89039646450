/*
 * fields.c - the decoder behind fields.h.
 *
 * Called by load.c for every document and by compile*.c for parts that are decoded when their kind is
 * known. It never interprets what a field means. Owns nothing. Pure but for faults.
 * Tested by tests/unit/policy/test_fields.c and fuzzed by tests/fuzz/fuzz_policy.c.
 */
#include "policy/names.h"

enum { FIELDS_NAME_MAX = 64, FIELDS_DEPTH_MAX = 40 };

struct fields_at { /* one value that is being read */
    const struct field_in *in;
    const struct field_row *row;
    const struct yaml *y;
    const struct field_path *path;
    void *to;
};

const char *field_kind_words(const struct yaml *y)
{
    static const char *const words[] = {"nothing", "text", "a list", "a map"};
    return words[y->kind <= YAML_MAP ? y->kind : 0];
}

static const char *fields_name_at(const void *ctx, size_t i)
{
    const struct field_table *t = ctx;
    if (i >= t->n)
        return NULL;
    return t->rows[i].name ? t->rows[i].name : "";
}

static const char *fields_word_at(const void *ctx, size_t i)
{
    const char *const *words = ctx;
    return words[i];
}

bool labels_match(const struct field_pairs *want, const struct field_pairs *have)
{
    for (size_t i = 0; i < want->n; i++) {
        bool found = false;
        for (size_t j = 0; j < have->n && !found; j++)
            found = slice_eq(want->v[i].name, have->v[j].name) &&
                    slice_eq(want->v[i].value, have->v[j].value);
        if (!found)
            return false;
    }
    return true;
}

/* a leading or trailing '_' is none of ours */
bool field_name_is(struct slice given, const char *name)
{
    size_t j = 0;

    for (size_t i = 0; i < given.n; i++, j++) {
        char c = given.p[i];
        if (c == '_' && i > 0 && i + 1 < given.n)
            c = ascii_upper(given.p[++i]);
        if (name[j] != c)
            return false;
    }
    return name[j] == '\0';
}

static bool fields_wrong(const struct fields_at *f, const char *expected)
{
    fault_add(f->in, false, f->y, f->path, "expected %s, found %s", expected,
              field_kind_words(f->y));
    return false;
}

static bool fields_str(const struct fields_at *f)
{
    if (f->y->kind != YAML_SCALAR)
        return fields_wrong(f, "text");
    *(struct slice *)f->to = f->y->text;
    return true;
}

static bool fields_bool(const struct fields_at *f)
{
    if (f->y->kind == YAML_SCALAR && yaml_bool(f->y, f->to))
        return true;
    if (f->y->kind == YAML_SCALAR) {
        fault_add(f->in, false, f->y, f->path, "expected true or false, found \"%.*s\"",
                  SFMT(slice_sub(f->y->text, 0, 40)));
        return false;
    }
    return fields_wrong(f, "true or false");
}

static bool fields_int(const struct fields_at *f)
{
    int64_t n = 0;

    if (f->y->kind != YAML_SCALAR)
        return fields_wrong(f, "a number");
    if (!yaml_i64(f->y, &n) || n < f->row->min || n > f->row->max) {
        fault_add(f->in, false, f->y, f->path, "expected a number from %lld to %lld, found \"%.*s\"",
                  (long long)f->row->min, (long long)f->row->max,
                  SFMT(slice_sub(f->y->text, 0, 40)));
        return false;
    }
    *(int64_t *)f->to = n;
    return true;
}

static bool fields_word(const struct fields_at *f)
{
    struct buf all;
    const char *near;

    if (f->y->kind != YAML_SCALAR)
        return fields_wrong(f, "a word");
    for (int i = 0; f->row->words[i]; i++) {
        if (slice_eq_ci(f->y->text, slice_str(f->row->words[i]))) {
            *(int *)f->to = i;
            return true;
        }
    }
    buf_init(&all, 400);
    for (size_t i = 0; f->row->words[i]; i++)
        buf_fmt(&all, "%s%s", i ? ", " : "", f->row->words[i]);
    near = nearest_name(f->y->text, fields_word_at, f->row->words);
    fault_add(f->in, false, f->y, f->path, "expected one of %.*s, found \"%.*s\"%s%s%s",
              SFMT(buf_all(&all)), SFMT(slice_sub(f->y->text, 0, 40)), near ? " (did you mean " : "",
              near ? near : "", near ? "?)" : "");
    buf_free(&all);
    return false;
}

static bool fields_obj(const struct fields_at *f)
{
    void *made = arena_zalloc(f->in->arena, f->row->sub->size);

    *(void **)f->to = made;
    return field_decode(f->in, f->row->sub, f->y, f->path, made);
}

static bool fields_list(const struct fields_at *f)
{
    struct field_list *l = f->to;
    bool ok = true;

    if (f->y->kind != YAML_SEQ)
        return fields_wrong(f, "a list");
    l->items = ARENA_ARRAY(f->in->arena, void *, f->y->n);
    for (uint32_t i = 0; i < f->y->n; i++) {
        struct field_path p = {f->path, S(""), i};
        l->items[l->n] = arena_zalloc(f->in->arena, f->row->sub->size);
        ok &= field_decode(f->in, f->row->sub, f->y->items[i], &p, l->items[l->n]);
        l->n++;
    }
    return ok;
}

static bool fields_named(const struct fields_at *f)
{
    struct field_list *l = f->to;
    bool ok = true;

    if (f->y->kind != YAML_MAP)
        return fields_wrong(f, "a map");
    l->items = ARENA_ARRAY(f->in->arena, void *, f->y->n);
    l->names = ARENA_ARRAY(f->in->arena, struct slice, f->y->n);
    for (uint32_t i = 0; i < f->y->n; i++) {
        struct field_path p = {f->path, f->y->pairs[i].key, 0};
        l->names[l->n] = f->y->pairs[i].key;
        l->items[l->n] = arena_zalloc(f->in->arena, f->row->sub->size);
        ok &= field_decode(f->in, f->row->sub, f->y->pairs[i].value, &p, l->items[l->n]);
        l->n++;
    }
    return ok;
}

static bool fields_strs(const struct fields_at *f)
{
    struct field_strs *l = f->to;

    if (f->y->kind != YAML_SEQ)
        return fields_wrong(f, "a list of texts");
    l->v = ARENA_ARRAY(f->in->arena, struct slice, f->y->n);
    for (uint32_t i = 0; i < f->y->n; i++) {
        if (f->y->items[i]->kind != YAML_SCALAR) {
            struct field_path p = {f->path, S(""), i};
            fault_add(f->in, false, f->y->items[i], &p, "expected text, found %s",
                      field_kind_words(f->y->items[i]));
            return false;
        }
        l->v[l->n++] = f->y->items[i]->text;
    }
    return true;
}

static bool fields_pairs(const struct fields_at *f)
{
    struct field_pairs *l = f->to;

    if (f->y->kind != YAML_MAP)
        return fields_wrong(f, "a map of texts");
    l->v = ARENA_ARRAY(f->in->arena, struct field_pair, f->y->n);
    for (uint32_t i = 0; i < f->y->n; i++) {
        const struct yaml *v = f->y->pairs[i].value;
        if (v->kind != YAML_SCALAR && v->kind != YAML_NULL) {
            struct field_path p = {f->path, f->y->pairs[i].key, 0};
            fault_add(f->in, false, v, &p, "expected text, found %s", field_kind_words(v));
            return false;
        }
        l->v[l->n++] = (struct field_pair){f->y->pairs[i].key,
                                           v->kind == YAML_SCALAR ? v->text : S("")};
    }
    return true;
}

static bool fields_node(const struct fields_at *f)
{
    *(const struct yaml **)f->to = f->y;
    return true;
}

static bool fields_quiet(const struct fields_at *f)
{
    (void)f;
    return true;
}

static bool fields_notice(const struct fields_at *f)
{
    fault_add(f->in, true, f->y, f->path, "%s", f->row->doc);
    return !f->in->strict;
}

static bool (*const fields_readers[])(const struct fields_at *f) = {
    [FIELD_STR] = fields_str,     [FIELD_BOOL] = fields_bool,   [FIELD_INT] = fields_int,
    [FIELD_WORD] = fields_word,   [FIELD_OBJ] = fields_obj,     [FIELD_LIST] = fields_list,
    [FIELD_NAMED] = fields_named, [FIELD_STRS] = fields_strs,   [FIELD_PAIRS] = fields_pairs,
    [FIELD_NODE] = fields_node,   [FIELD_SELF] = fields_quiet,  [FIELD_QUIET] = fields_quiet,
    [FIELD_NOTICE] = fields_notice,
};

static size_t fields_find(const struct field_table *t, struct slice name)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].name && field_name_is(name, t->rows[i].name))
            return i;
    return SIZE_MAX;
}

static bool fields_unknown(const struct field_in *in, const struct field_table *t,
                           const struct yaml_pair *pair, const struct field_path *path)
{
    const char *near = nearest_name(pair->key, fields_name_at, t);
    struct yaml at = {.line = pair->line, .col = pair->col};

    fault_add(in, false, &at, path, "unknown field%s%s%s", near ? " (did you mean " : "",
              near ? near : "", near ? "?)" : "");
    return false;
}

static bool fields_one(const struct field_in *in, const struct field_table *t, size_t i,
                       const struct yaml *y, const struct field_path *path, void *out)
{
    const struct field_row *row = &t->rows[i];
    struct fields_at f = {in, row, y, path, (char *)out + row->at};

    /* `field:` with nothing behind it is an absent field, but an object may be empty */
    if (y->kind == YAML_NULL && row->type != FIELD_NODE && row->type != FIELD_NOTICE) {
        if (row->type != FIELD_OBJ)
            return true;
        *(void **)f.to = arena_zalloc(in->arena, row->sub->size);
        return field_decode(in, row->sub, y, path, *(void **)f.to);
    }
    return fields_readers[row->type](&f);
}

static bool fields_missing(const struct field_in *in, const struct field_table *t,
                           const struct yaml *y, const struct field_path *path, const bool *seen)
{
    bool ok = true;

    for (size_t i = 0; i < t->n; i++) {
        struct field_path p = {path, slice_str(t->rows[i].name), 0};
        if (!(t->rows[i].flags & FIELD_REQUIRED) || seen[i])
            continue;
        fault_add(in, false, y, &p, "required field is missing: %s", t->rows[i].doc);
        ok = false;
    }
    return ok;
}

bool field_decode(const struct field_in *in, const struct field_table *t, const struct yaml *y,
                  const struct field_path *path, void *out)
{
    bool seen[FIELDS_NAME_MAX] = {false};
    bool ok = true;
    size_t depth = 0;

    MUST(t->n <= ARRAY_LEN(seen));
    for (const struct field_path *p = path; p; p = p->up)
        depth++;
    if (depth > FIELDS_DEPTH_MAX) {
        fault_add(in, false, y, NULL, "nested deeper than %d levels", FIELDS_DEPTH_MAX);
        return false;
    }
    if (y->kind != YAML_MAP && y->kind != YAML_NULL) {
        fault_add(in, false, y, path, "expected a map, found %s", field_kind_words(y));
        return false;
    }
    for (size_t i = 0; i < t->n; i++)
        if (t->rows[i].type == FIELD_SELF)
            *(const struct yaml **)(void *)((char *)out + t->rows[i].at) = y;
    for (uint32_t k = 0; y->kind == YAML_MAP && k < y->n; k++) {
        struct field_path p = {path, y->pairs[k].key, 0};
        size_t i = fields_find(t, y->pairs[k].key);
        if (i == SIZE_MAX) {
            ok = fields_unknown(in, t, &y->pairs[k], &p);
        } else if (seen[i]) {
            fault_add(in, false, y->pairs[k].value, &p, "given twice, as %s in both spellings",
                      t->rows[i].name);
            ok = false;
        } else {
            seen[i] = true;
            ok &= fields_one(in, t, i, y->pairs[k].value, &p, out);
        }
    }
    return fields_missing(in, t, y, path, seen) && ok;
}
