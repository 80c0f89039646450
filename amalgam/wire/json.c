/*
 * json.c - JSON text to a tree in the caller's arena.
 *
 * yyjson does the reading (it refuses invalid UTF-8, trailing bytes and everything outside RFC
 * 8259); this file turns its document into struct json, bounds the depth and refuses members that
 * occur twice: two readers would each take another one. The text is copied into the arena first and
 * strings point into that copy. yyjson's own memory is given back before the function returns.
 * Pure; any thread. Tested by tests/unit/wire/test_json.c and tests/fuzz/fuzz_json.c.
 */
#include "wire/json.h"

#include "base/map.h"
#include "base/mem.h"

#include <yyjson.h>

enum { JSON_DEPTH_MAX = 64, JSON_SMALL_OBJECT = 16 };

struct json_job {
    struct arena *arena;
    struct err *e;
};

static void *json_lib_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return mem_try_realloc(NULL, n);
}

static void *json_lib_realloc(void *ctx, void *p, size_t before, size_t n)
{
    (void)ctx;
    (void)before;
    return mem_try_realloc(p, n);
}

static void json_lib_free(void *ctx, void *p)
{
    (void)ctx;
    mem_free(p);
}

static enum rc json_convert(struct json_job *j, yyjson_val *v, int depth, struct json *out);

static enum rc json_no_room(struct json_job *j)
{
    return err_set(j->e, RC_TOOBIG, "the JSON text needs too much memory");
}

static enum rc json_convert_array(struct json_job *j, yyjson_val *v, int depth, struct json *out)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(v);
    size_t n = yyjson_arr_size(v);
    out->kind = JSON_ARR;
    out->n = (uint32_t)n;
    out->items = n ? arena_try(j->arena, n * sizeof *out->items) : NULL;
    if (n && !out->items)
        return json_no_room(j);
    for (size_t i = 0; i < n; i++) {
        enum rc rc = json_convert(j, yyjson_arr_iter_next(&it), depth + 1, &out->items[i]);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* The name of a member that occurs twice, or NULL. Small objects by comparing, large by a table. */
static const struct slice *json_twice(const struct json *o)
{
    if (o->n <= JSON_SMALL_OBJECT) {
        for (uint32_t i = 1; i < o->n; i++)
            for (uint32_t k = 0; k < i; k++)
                if (slice_eq(o->members[i].name, o->members[k].name))
                    return &o->members[i].name;
        return NULL;
    }
    const struct slice *twice = NULL;
    struct map seen;
    map_init(&seen);
    for (uint32_t i = 0; i < o->n && !twice; i++)
        if (map_put(&seen, o->members[i].name, &o->members[i]))
            twice = &o->members[i].name;
    map_free(&seen);
    return twice;
}

static enum rc json_convert_object(struct json_job *j, yyjson_val *v, int depth, struct json *out)
{
    yyjson_obj_iter it = yyjson_obj_iter_with(v);
    size_t n = yyjson_obj_size(v);
    out->kind = JSON_OBJ;
    out->n = (uint32_t)n;
    out->members = n ? arena_try(j->arena, n * sizeof *out->members) : NULL;
    if (n && !out->members)
        return json_no_room(j);
    for (size_t i = 0; i < n; i++) {
        yyjson_val *name = yyjson_obj_iter_next(&it);
        struct json_member *m = &out->members[i];
        m->name = slice_of(yyjson_get_str(name), yyjson_get_len(name));
        enum rc rc = json_convert(j, yyjson_obj_iter_get_val(name), depth + 1, &m->value);
        if (rc != RC_OK)
            return rc;
    }
    const struct slice *twice = json_twice(out);
    if (twice)
        return err_set(j->e, RC_BADINPUT, "the member \"%.*s\" occurs twice",
                       (int)MIN(twice->n, (size_t)100), twice->p);
    return RC_OK;
}

static void json_convert_number(yyjson_val *v, struct json *out)
{
    if (yyjson_is_sint(v)) {
        out->kind = JSON_INT;
        out->i = yyjson_get_sint(v);
    } else if (yyjson_is_uint(v)) {
        out->u = yyjson_get_uint(v);
        out->kind = out->u > INT64_MAX ? JSON_UINT : JSON_INT;
    } else {
        out->kind = JSON_REAL;
        out->d = yyjson_get_real(v);
    }
}

static enum rc json_convert(struct json_job *j, yyjson_val *v, int depth, struct json *out)
{
    if (depth > JSON_DEPTH_MAX)
        return err_set(j->e, RC_TOOBIG, "JSON deeper than %d levels", JSON_DEPTH_MAX);
    memset(out, 0, sizeof *out);
    switch (yyjson_get_type(v)) {
    case YYJSON_TYPE_BOOL:
        out->kind = JSON_BOOL;
        out->b = yyjson_get_bool(v);
        return RC_OK;
    case YYJSON_TYPE_NUM:
        json_convert_number(v, out);
        return RC_OK;
    case YYJSON_TYPE_STR:
        out->kind = JSON_STR;
        out->s = slice_of(yyjson_get_str(v), yyjson_get_len(v));
        return RC_OK;
    case YYJSON_TYPE_ARR:
        return json_convert_array(j, v, depth, out);
    case YYJSON_TYPE_OBJ:
        return json_convert_object(j, v, depth, out);
    default:
        out->kind = JSON_NULL;
        return RC_OK;
    }
}

static enum rc json_syntax(struct slice text, const yyjson_read_err *why, struct err *e)
{
    char place[48];
    size_t line = 1, start = 0;
    for (size_t i = 0; i < MIN(why->pos, text.n); i++)
        if (text.p[i] == '\n') {
            line++;
            start = i + 1;
        }
    size_t n = fmt_u64(place, line);
    place[n++] = ':';
    n += fmt_u64(place + n, MIN(why->pos, text.n) - start + 1);
    place[n] = '\0';
    return err_at(e, RC_BADINPUT, place, "not JSON: %s", why->msg ? why->msg : "unreadable");
}

enum rc json_parse(struct arena *a, struct slice text, size_t max_bytes, struct json **out,
                   struct err *e)
{
    static const yyjson_alc lib = {json_lib_alloc, json_lib_realloc, json_lib_free, NULL};
    struct json_job j = {a, e};
    yyjson_read_err why = {0};
    if (text.n > max_bytes)
        return err_set(e, RC_TOOBIG, "JSON longer than %zu bytes", max_bytes);
    if (text.n == 0)
        return err_at(e, RC_BADINPUT, "1:1", "not JSON: nothing is there");
    char *copy = arena_try(a, text.n + YYJSON_PADDING_SIZE);
    struct json *root = arena_try(a, sizeof *root);
    if (!copy || !root)
        return json_no_room(&j);
    memcpy(copy, text.p, text.n);
    memset(copy + text.n, 0, YYJSON_PADDING_SIZE);
    yyjson_doc *doc = yyjson_read_opts(copy, text.n, YYJSON_READ_INSITU, &lib, &why);
    if (!doc)
        return why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION ? json_no_room(&j)
                                                               : json_syntax(text, &why, e);
    enum rc rc = json_convert(&j, yyjson_doc_get_root(doc), 1, root);
    yyjson_doc_free(doc);
    if (rc == RC_OK)
        *out = root;
    return rc;
}

/* ---------------------------------------------------------------- looking things up */

const struct json *json_get(const struct json *o, struct slice name)
{
    if (!o || o->kind != JSON_OBJ)
        return NULL;
    for (uint32_t i = 0; i < o->n; i++)
        if (slice_eq(o->members[i].name, name))
            return &o->members[i].value;
    return NULL;
}

struct slice json_str(const struct json *o, struct slice name)
{
    const struct json *v = json_get(o, name);
    return v && v->kind == JSON_STR ? v->s : S("");
}

int64_t json_int(const struct json *o, struct slice name, int64_t otherwise)
{
    const struct json *v = json_get(o, name);
    return v && v->kind == JSON_INT ? v->i : otherwise;
}

bool json_bool(const struct json *o, struct slice name, bool otherwise)
{
    const struct json *v = json_get(o, name);
    return v && v->kind == JSON_BOOL ? v->b : otherwise;
}

/* ---------------------------------------------------------------- making values */

static void json_copy_into(struct arena *a, struct json *to, const struct json *from)
{
    *to = *from;
    if (from->kind == JSON_STR) {
        to->s = arena_dup(a, from->s);
    } else if (from->kind == JSON_ARR) {
        to->items = ARENA_ARRAY(a, struct json, from->n + 1);
        for (uint32_t i = 0; i < from->n; i++)
            json_copy_into(a, &to->items[i], &from->items[i]);
    } else if (from->kind == JSON_OBJ) {
        to->members = ARENA_ARRAY(a, struct json_member, from->n + 1);
        for (uint32_t i = 0; i < from->n; i++) {
            to->members[i].name = arena_dup(a, from->members[i].name);
            json_copy_into(a, &to->members[i].value, &from->members[i].value);
        }
    }
}

const struct json *json_copy(struct arena *a, const struct json *j)
{
    struct json *copy;

    if (!j)
        return NULL;
    copy = ARENA_NEW(a, struct json);
    json_copy_into(a, copy, j); /* as deep as the reader allows */
    return copy;
}

struct json *json_text(struct arena *a, struct slice s)
{
    struct json *j = ARENA_NEW(a, struct json);

    j->kind = JSON_STR;
    j->s = s;
    return j;
}
