/*
 * grpc_reflect.c - grpc.reflection.v1 and v1alpha: which services are here, and what their messages are.
 *
 *   grpc_schema.c's rows -> FileDescriptorProto (descriptor.proto's numbers), with the files it imports
 *
 * One request of the stream -> one response. Answered are list_services, file_by_filename,
 * file_containing_symbol (services, calls, messages, enums, fields) and all_extension_numbers_of_type (there are
 * none); the rest is NOT_FOUND. Descriptors are made when asked for: tools ask once. Tables and no state.
 * Threads: the reactor's. Tested by tests/unit/check/test_reflect.c and tests/box/test_grpc.py.
 */
#include "check/grpc_reflect.h"

enum {
    REFLECT_NAME_MAX = 120,
    REFLECT_OPTIONAL = 1, /* labels */
    REFLECT_REPEATED = 3,
    REFLECT_MESSAGE = 11, /* types */
    REFLECT_ENUM = 14,
    REFLECT_STRING = 9
};

/* Rows one after the other, and the names of those that are open. */
struct reflect_walk {
    const struct schema_file *file;
    size_t at;
    const struct schema_row *open[SCHEMA_DEPTH_MAX];
    size_t depth;
};

/* ---- types ---- */

static uint64_t reflect_scalar(struct slice type)
{
    static const struct {
        const char *name;
        uint64_t type;
    } rows[] = {{"double", 1}, {"float", 2}, {"int64", 3}, {"uint64", 4}, {"int32", 5},
                {"bool", 8}, {"string", REFLECT_STRING}, {"bytes", 12}, {"uint32", 13}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (slice_eq(type, slice_str(rows[i].name)))
            return rows[i].type;
    return 0;
}

/* A package begins in lower case, a message does not. */
static void reflect_name(struct buf *b, uint32_t number, const struct schema_file *f, struct slice type)
{
    size_t text = pb_begin(b, number);
    buf_byte(b, '.');
    if (type.p[0] < 'a')
        buf_fmt(b, "%s.", f->package);
    buf_slice(b, type);
    pb_end(b, text);
}

static void reflect_type(struct buf *b, const struct schema_file *f, struct slice type)
{
    uint64_t scalar = reflect_scalar(type);
    bool is_enum = type.p[0] == '=';
    pb_put_u64(b, 5, scalar ? scalar : is_enum ? REFLECT_ENUM : REFLECT_MESSAGE);
    if (!scalar)
        reflect_name(b, 6, f, slice_from(type, is_enum));
}

/* ---- fields ---- */

static void reflect_camel(struct slice name, bool first_up, char *dst, size_t *n)
{
    bool up = first_up;
    for (size_t i = 0; i < name.n && *n < REFLECT_NAME_MAX; i++) {
        char c = name.p[i];
        if (c == '_') {
            up = true;
            continue;
        }
        dst[(*n)++] = up && c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
        up = false;
    }
}

static void reflect_field_open(struct buf *b, const char *name, int number, int label)
{
    char json[REFLECT_NAME_MAX];
    size_t n = 0;
    reflect_camel(slice_str(name), false, json, &n);
    pb_put_text(b, 1, slice_str(name));
    pb_put_u64(b, 3, (uint64_t)number);
    pb_put_u64(b, 4, (uint64_t)label);
    pb_put_text(b, 10, slice_of(json, n));
}

static void reflect_plain(struct buf *b, const struct schema_file *f, const char *name, int number, struct slice type)
{
    size_t field = pb_begin(b, 2);
    reflect_field_open(b, name, number, REFLECT_OPTIONAL);
    reflect_type(b, f, type);
    pb_end(b, field);
}

static void reflect_field(struct buf *b, const struct reflect_walk *w, const struct schema_row *row, int oneof)
{
    size_t field = pb_begin(b, 2);
    reflect_field_open(b, row->name, row->number, row->kind == SCHEMA_LIST ? REFLECT_REPEATED : REFLECT_OPTIONAL);
    reflect_type(b, w->file, slice_str(row->type));
    if (oneof >= 0)
        pb_put_u64(b, 9, (uint64_t)oneof);
    pb_end(b, field);
}

/* A map is a list of messages of its own kind. */
static void reflect_map(struct buf *b, const struct reflect_walk *w, const struct schema_row *row)
{
    char name[2 * REFLECT_NAME_MAX];
    size_t n = 0;
    for (size_t i = 0; i < w->depth; i++) {
        struct slice outer = slice_str(w->open[i]->name);
        MUST(n + outer.n + 1 < REFLECT_NAME_MAX);
        memcpy(name + n, outer.p, outer.n);
        n += outer.n;
        name[n++] = '.';
    }
    size_t own = n;
    reflect_camel(slice_str(row->name), true, name, &n);
    memcpy(name + n, "Entry", 5);
    n += 5;
    size_t field = pb_begin(b, 2);
    reflect_field_open(b, row->name, row->number, REFLECT_REPEATED);
    reflect_type(b, w->file, slice_of(name, n));
    pb_end(b, field);
    size_t nested = pb_begin(b, 3);
    pb_put_text(b, 1, slice_of(name + own, n - own));
    reflect_plain(b, w->file, "key", 1, S("string"));
    reflect_plain(b, w->file, "value", 2, slice_str(row->type));
    size_t options = pb_begin(b, 7);
    pb_put_u64(b, 7, 1); /* map_entry */
    pb_end(b, options);
    pb_end(b, nested);
}

/* ---- what holds rows ---- */

static void reflect_enum(struct buf *b, uint32_t number, struct reflect_walk *w)
{
    size_t mark = pb_begin(b, number);
    const struct schema_row *row = &w->file->rows[w->at++];
    pb_put_text(b, 1, slice_str(row->name));
    for (; (row = &w->file->rows[w->at++])->kind != SCHEMA_END;) {
        size_t value = pb_begin(b, 2);
        pb_put_text(b, 1, slice_str(row->name));
        pb_put_u64(b, 2, (uint64_t)row->number);
        pb_end(b, value);
    }
    pb_end(b, mark);
}

static void reflect_service(struct buf *b, struct reflect_walk *w)
{
    size_t mark = pb_begin(b, 6);
    const struct schema_row *row = &w->file->rows[w->at++];
    pb_put_text(b, 1, slice_str(row->name));
    for (; (row = &w->file->rows[w->at++])->kind != SCHEMA_END;) {
        size_t call = pb_begin(b, 2);
        pb_put_text(b, 1, slice_str(row->name));
        reflect_name(b, 2, w->file, slice_str(row->type));
        reflect_name(b, 3, w->file, slice_str(row->out));
        if (row->number & SCHEMA_ASKS)
            pb_put_u64(b, 5, 1);
        if (row->number & SCHEMA_ANSWERS)
            pb_put_u64(b, 6, 1);
        pb_end(b, call);
    }
    pb_end(b, mark);
}

static int reflect_oneof(struct buf *b, struct reflect_walk *w, int index)
{
    const struct schema_row *row = &w->file->rows[w->at++];
    size_t mark = pb_begin(b, 8);
    pb_put_text(b, 1, slice_str(row->name));
    pb_end(b, mark);
    while ((row = &w->file->rows[w->at++])->kind != SCHEMA_END)
        reflect_field(b, w, row, index);
    return index + 1;
}

static void reflect_message(struct buf *b, uint32_t number, struct reflect_walk *w)
{
    size_t mark = pb_begin(b, number);
    const struct schema_row *row = &w->file->rows[w->at++];
    int oneofs = 0;
    MUST(w->depth < SCHEMA_DEPTH_MAX);
    w->open[w->depth++] = row;
    pb_put_text(b, 1, slice_str(row->name));
    while ((row = &w->file->rows[w->at])->kind != SCHEMA_END) {
        if (row->kind == SCHEMA_MESSAGE) {
            reflect_message(b, 3, w); /* as deep as the tables are */
        } else if (row->kind == SCHEMA_ENUM) {
            reflect_enum(b, 4, w);
        } else if (row->kind == SCHEMA_ONEOF) {
            oneofs = reflect_oneof(b, w, oneofs);
        } else {
            w->at++;
            if (row->kind == SCHEMA_MAP)
                reflect_map(b, w, row);
            else
                reflect_field(b, w, row, -1);
        }
    }
    w->at++;
    w->depth--;
    pb_end(b, mark);
}

/* A FileDescriptorProto. */
static void reflect_file(struct buf *b, const struct schema_file *f)
{
    struct reflect_walk w = {.file = f};
    pb_put_text(b, 1, slice_str(f->path));
    pb_put_text(b, 2, slice_str(f->package));
    for (size_t i = 0; i < SCHEMA_IMPORTS_MAX && f->imports[i]; i++)
        pb_put_text(b, 3, slice_str(f->imports[i]));
    while (w.at < f->n) {
        if (f->rows[w.at].kind == SCHEMA_MESSAGE)
            reflect_message(b, 4, &w);
        else if (f->rows[w.at].kind == SCHEMA_ENUM)
            reflect_enum(b, 5, &w);
        else
            reflect_service(b, &w);
    }
    pb_put_text(b, 12, S("proto3"));
}

/* ---- finding ---- */

static const struct schema_file *reflect_by_path(struct slice path)
{
    const struct schema_file *f;
    for (size_t i = 0; (f = schema_file_at(i)) != NULL; i++)
        if (slice_eq(path, slice_str(f->path)))
            return f;
    return NULL;
}

static bool reflect_opens(enum schema_kind kind)
{
    return kind == SCHEMA_MESSAGE || kind == SCHEMA_ENUM || kind == SCHEMA_SERVICE;
}

/* Is there something of that name ("Message.Nested.field") in the file? `hit` counts how many of the open
 * names are those of the symbol. */
static bool reflect_has(const struct schema_file *f, struct slice symbol)
{
    struct slice left[SCHEMA_DEPTH_MAX + 2];
    size_t depth = 0, hit = 0, oneofs = 0;
    left[0] = symbol;
    for (size_t i = 0; i < f->n; i++) {
        const struct schema_row *row = &f->rows[i];
        if (row->kind == SCHEMA_ONEOF) {
            oneofs++;
        } else if (row->kind == SCHEMA_END && oneofs) {
            oneofs--;
        } else if (row->kind == SCHEMA_END) {
            depth--;
            hit = MIN(hit, depth);
        } else {
            struct slice rest, name = slice_cut(left[hit], '.', &rest);
            bool same = hit == depth && slice_eq(name, slice_str(row->name));
            if (same && rest.n == 0)
                return true;
            if (!reflect_opens(row->kind))
                continue;
            MUST(depth <= SCHEMA_DEPTH_MAX);
            hit += same;
            left[hit] = same ? rest : left[hit];
            depth++;
        }
    }
    return false;
}

static const struct schema_file *reflect_by_symbol(struct slice symbol)
{
    const struct schema_file *f;
    for (size_t i = 0; (f = schema_file_at(i)) != NULL; i++) {
        struct slice package = slice_str(f->package);
        if (slice_starts(symbol, package) && symbol.n > package.n + 1 && symbol.p[package.n] == '.' &&
            symbol.p[symbol.n - 1] != '.' &&
            reflect_has(f, slice_from(symbol, package.n + 1)))
            return f;
    }
    return NULL;
}

/* ---- answers ---- */

/* The file, then what it imports, each once. */
static void reflect_files(struct buf *b, const struct schema_file *first)
{
    const struct schema_file *list[32] = {first};
    size_t n = 1, answer = pb_begin(b, 4);
    for (size_t at = 0; at < n; at++) {
        size_t one = pb_begin(b, 1);
        reflect_file(b, list[at]);
        pb_end(b, one);
        for (size_t i = 0; i < SCHEMA_IMPORTS_MAX && list[at]->imports[i]; i++) {
            const struct schema_file *f = reflect_by_path(slice_str(list[at]->imports[i]));
            bool known = false;
            for (size_t k = 0; k < n; k++)
                known |= list[k] == f;
            MUST(f && n < ARRAY_LEN(list));
            if (!known)
                list[n++] = f;
        }
    }
    pb_end(b, answer);
}

static void reflect_services(struct buf *b)
{
    const struct grpc_method *m, *before = NULL;
    size_t list = pb_begin(b, 6);
    for (size_t i = 0; (m = grpc_method_at(i)) != NULL; before = m, i++) {
        if (before && slice_eq(m->service, before->service))
            continue;
        size_t service = pb_begin(b, 1);
        pb_put_text(b, 1, m->service);
        pb_end(b, service);
    }
    pb_end(b, list);
}

static void reflect_no_extensions(struct buf *b, struct slice type)
{
    size_t none = pb_begin(b, 5);
    pb_put_text(b, 1, type);
    pb_end(b, none);
}

static void reflect_error(struct buf *b, enum grpc_code code, struct slice text)
{
    size_t error = pb_begin(b, 7);
    pb_put_u64(b, 1, code);
    pb_put_text(b, 2, text);
    pb_end(b, error);
}

static void reflect_answer(struct buf *b, uint32_t what, struct slice text)
{
    const struct schema_file *f = what == 3 ? reflect_by_path(text) : what == 4 || what == 6 ? reflect_by_symbol(text) : NULL;
    if (what == 7)
        reflect_services(b);
    else if (f && what == 6)
        reflect_no_extensions(b, text);
    else if (f)
        reflect_files(b, f);
    else
        reflect_error(b, GRPC_NOT_FOUND, S("nothing of that name here"));
}

/* One ServerReflectionRequest -> one ServerReflectionResponse. */
void grpc_reflect(const struct grpc_call *k)
{
    struct pb r = pb_open(k->message);
    struct pb_field f;
    struct slice host = S(""), text = S("");
    uint32_t what = 0;
    bool bad = false;
    size_t mark;
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            (void)pb_take_text(&f, &host, &bad);
        else if (f.number >= 3 && f.number <= 7 && pb_take_bytes(&f, &text))
            what = f.number; /* of one that says several the last counts */
    }
    struct buf *b = grpc_reply(k, &mark);
    if (pb_ok(&r) && !bad) {
        pb_put_text(b, 1, host);
        pb_put_bytes(b, 2, k->message);
        reflect_answer(b, what, text);
    } else {
        reflect_error(b, GRPC_INVALID, S("this is no ServerReflectionRequest"));
    }
    grpc_message_end(k, mark);
}
