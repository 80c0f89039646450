/*
 * yaml.c - YAML text to a tree that knows the place of every node, by libyaml's events.
 *
 * Reads policies, settings and the reference rate limit files. Everything that makes YAML
 * dangerous or ambiguous is an error with its place: duplicate keys, merge keys, foreign tags, keys
 * that are not scalars, recursion, alias bombs. An alias shares the node it names, and all nodes
 * below it are counted again, so the count bounds what a walk over the tree can meet. The tree
 * lives in the caller's arena; libyaml's memory is freed before the function returns. Values and
 * JSON are in yaml_value.c. Pure; any thread. Tested by tests/unit/wire/test_yaml.c,
 * tests/fuzz/fuzz_yaml.c.
 */
#include "wire/yaml.h"

#include "base/map.h"

#include <yaml.h>

enum {
    YAML_BYTES_MAX = 4 << 20,
    YAML_DEPTH_MAX = 64,
    YAML_NODES_MAX = 200000,
    YAML_ANCHORS_MAX = 1000,
    YAML_SMALL_MAP = 32,
};

struct yaml_anchor {
    struct slice name;
    struct yaml *node;
    size_t nodes; /* below and with it */
    int height;   /* levels below it */
};

struct yaml_job {
    struct arena *arena;
    const char *file;
    struct err *e;
    yaml_parser_t lib;
    struct yaml_anchor *anchors; /* of the current document; an array in the arena */
    size_t anchors_n, nodes;
    int deepest; /* level reached since the last anchor began */
};

/* Room in an arena array: pointers of `size` bytes, n are used. NULL: the arena is full. */
static void *yaml_array_grow(struct arena *a, void *array, size_t n, size_t size)
{
    bool full = n == 0 || (n >= 4 && (n & (n - 1)) == 0);
    if (!full)
        return array;
    void *bigger = arena_try(a, (n == 0 ? 4 : n * 2) * size);
    if (bigger && n > 0)
        memcpy(bigger, array, n * size);
    return bigger;
}

static PRINTF_LIKE(5, 6) enum rc
    yaml_fail(struct yaml_job *j, enum rc rc, size_t line, size_t col, const char *fmt, ...)
{
    char place[200], text[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    snprintf(place, sizeof place, "%.150s:%zu:%zu", j->file, line, col);
    return err_at(j->e, rc, place, "%s", text);
}

static enum rc yaml_fail_at(struct yaml_job *j, enum rc rc, const yaml_mark_t *m, const char *text)
{
    return yaml_fail(j, rc, m->line + 1, m->column + 1, "%s", text);
}

static enum rc yaml_syntax(struct yaml_job *j)
{
    const yaml_parser_t *l = &j->lib;
    const yaml_mark_t *m = &l->problem_mark;
    if (l->error == YAML_MEMORY_ERROR)
        return yaml_fail_at(j, RC_NOMEM, m, "no memory to read YAML");
    return yaml_fail(j, RC_BADINPUT, m->line + 1, m->column + 1, "%s%s%s",
                     l->problem ? l->problem : "not YAML", l->context ? ", " : "",
                     l->context ? l->context : "");
}

static enum rc yaml_next(struct yaml_job *j, yaml_event_t *ev)
{
    return yaml_parser_parse(&j->lib, ev) ? RC_OK : yaml_syntax(j);
}

/* ---------------------------------------------------------------- nodes */

static enum rc yaml_node_new(struct yaml_job *j, const yaml_event_t *ev, struct yaml **out)
{
    if (++j->nodes > YAML_NODES_MAX)
        return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "too many nodes");
    struct yaml *y = arena_try(j->arena, sizeof *y);
    if (!y)
        return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "too much for the memory set aside");
    *y = (struct yaml){.line = (int)ev->start_mark.line + 1, .col = (int)ev->start_mark.column + 1};
    *out = y;
    return RC_OK;
}

/* Only tags of the core schema. *plain: the tag asks for the value to be read by the schema. */
static bool yaml_tag_ok(const yaml_char_t *tag, const char *const *names, size_t n, size_t *which)
{
    static const char core[] = "tag:yaml.org,2002:";
    const char *t = (const char *)tag;
    if (strncmp(t, core, sizeof core - 1) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(t + sizeof core - 1, names[i]) == 0) {
            *which = i;
            return true;
        }
    return false;
}

static bool yaml_plain_null(struct slice s)
{
    return s.n == 0 || slice_eq(s, S("~")) || slice_eq(s, S("null")) || slice_eq(s, S("Null")) ||
           slice_eq(s, S("NULL"));
}

static enum rc yaml_scalar(struct yaml_job *j, const yaml_event_t *ev, struct yaml *y)
{
    static const char *const tags[] = {"str", "null", "bool", "int", "float"};
    const char *text = (const char *)ev->data.scalar.value;
    size_t tag = 0;
    char *copy = arena_try(j->arena, ev->data.scalar.length + 1);
    if (!copy)
        return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "too much for the memory set aside");
    memcpy(copy, text, ev->data.scalar.length);
    copy[ev->data.scalar.length] = '\0';
    y->text = slice_of(copy, ev->data.scalar.length);
    y->kind = YAML_SCALAR;
    y->quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (ev->data.scalar.tag && strcmp((const char *)ev->data.scalar.tag, "!") == 0) {
        y->quoted = true;
    } else if (ev->data.scalar.tag) {
        if (!yaml_tag_ok(ev->data.scalar.tag, tags, ARRAY_LEN(tags), &tag))
            return yaml_fail_at(j, RC_BADINPUT, &ev->start_mark, "a tag that is not served");
        y->quoted = tag == 0;
    }
    if (!y->quoted && yaml_plain_null(y->text))
        y->kind = YAML_NULL;
    return RC_OK;
}

static enum rc yaml_anchor_put(struct yaml_job *j, const yaml_event_t *ev, const yaml_char_t *name,
                               struct yaml *y, size_t *slot)
{
    *slot = SIZE_MAX;
    if (!name)
        return RC_OK;
    struct slice s = slice_str((const char *)name);
    char *copy = arena_try(j->arena, s.n + 1);
    struct yaml_anchor *grown =
        yaml_array_grow(j->arena, j->anchors, j->anchors_n, sizeof *j->anchors);
    if (j->anchors_n == YAML_ANCHORS_MAX || !copy || !grown)
        return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "too many anchors");
    memcpy(copy, s.p, s.n);
    j->anchors = grown;
    *slot = j->anchors_n++;
    /* nodes 0: not complete, an alias to it would be recursion */
    j->anchors[*slot] = (struct yaml_anchor){slice_of(copy, s.n), y, 0, 0};
    return RC_OK;
}

static enum rc yaml_alias(struct yaml_job *j, const yaml_event_t *ev, int depth, struct yaml **out)
{
    struct slice name = slice_str((const char *)ev->data.alias.anchor);
    for (size_t i = j->anchors_n; i > 0; i--) {
        struct yaml_anchor *a = &j->anchors[i - 1];
        if (!slice_eq(a->name, name))
            continue;
        if (a->nodes == 0)
            return yaml_fail_at(j, RC_BADINPUT, &ev->start_mark, "an alias inside its own anchor");
        if (a->nodes > YAML_NODES_MAX - j->nodes)
            return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "aliases that expand too far");
        if (depth + a->height > YAML_DEPTH_MAX)
            return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "nested too deeply");
        j->nodes += a->nodes;
        j->deepest = MAX(j->deepest, depth + a->height);
        *out = a->node;
        return RC_OK;
    }
    return yaml_fail_at(j, RC_BADINPUT, &ev->start_mark, "an alias without an anchor");
}

static enum rc yaml_node(struct yaml_job *j, const yaml_event_t *ev, int depth, struct yaml **out);

static enum rc yaml_sequence(struct yaml_job *j, int depth, struct yaml *y)
{
    y->kind = YAML_SEQ;
    while (true) {
        yaml_event_t ev;
        enum rc rc = yaml_next(j, &ev);
        if (rc != RC_OK)
            return rc;
        bool end = ev.type == YAML_SEQUENCE_END_EVENT;
        struct yaml *item = NULL;
        if (!end)
            rc = yaml_node(j, &ev, depth + 1, &item);
        yaml_event_delete(&ev);
        if (end || rc != RC_OK)
            return rc;
        y->items = yaml_array_grow(j->arena, y->items, y->n, sizeof(struct yaml *));
        if (!y->items)
            return yaml_fail(j, RC_TOOBIG, (size_t)y->line, (size_t)y->col, "list too long");
        y->items[y->n++] = item;
    }
}

static enum rc yaml_pair_check(struct yaml_job *j, const struct yaml *map, const struct yaml *key)
{
    size_t line = (size_t)key->line, col = (size_t)key->col;
    if (key->kind != YAML_SCALAR)
        return yaml_fail(j, RC_BADINPUT, line, col, "a key that is not a plain word or text");
    if (!key->quoted && slice_eq(key->text, S("<<")))
        return yaml_fail(j, RC_BADINPUT, line, col, "merge keys (<<) are not served");
    for (uint32_t i = 0; i < map->n && map->n <= YAML_SMALL_MAP; i++)
        if (slice_eq(map->pairs[i].key, key->text))
            return yaml_fail(j, RC_BADINPUT, line, col, "the key \"%.*s\" occurs twice",
                             (int)MIN(key->text.n, (size_t)100), key->text.p);
    return RC_OK;
}

/* What yaml_pair_check leaves out, for large mappings. */
static enum rc yaml_large_map_check(struct yaml_job *j, const struct yaml *map)
{
    enum rc rc = RC_OK;
    struct map seen;
    if (map->n <= YAML_SMALL_MAP)
        return RC_OK;
    map_init(&seen);
    for (uint32_t i = 0; i < map->n && rc == RC_OK; i++) {
        const struct yaml_pair *p = &map->pairs[i];
        if (map_put(&seen, p->key, &map->pairs[i]))
            rc = yaml_fail(j, RC_BADINPUT, (size_t)p->line, (size_t)p->col,
                           "the key \"%.*s\" occurs twice", (int)MIN(p->key.n, (size_t)100),
                           p->key.p);
    }
    map_free(&seen);
    return rc;
}

static enum rc yaml_value_of(struct yaml_job *j, int depth, struct yaml **out)
{
    yaml_event_t ev;
    enum rc rc = yaml_next(j, &ev);
    if (rc != RC_OK)
        return rc;
    rc = yaml_node(j, &ev, depth + 1, out);
    yaml_event_delete(&ev);
    return rc;
}

static enum rc yaml_mapping(struct yaml_job *j, int depth, struct yaml *y)
{
    y->kind = YAML_MAP;
    while (true) {
        yaml_event_t ev;
        struct yaml *key = NULL, *value = NULL;
        enum rc rc = yaml_next(j, &ev);
        if (rc != RC_OK)
            return rc;
        bool end = ev.type == YAML_MAPPING_END_EVENT;
        if (!end)
            rc = yaml_node(j, &ev, depth + 1, &key);
        yaml_event_delete(&ev);
        if (end)
            return yaml_large_map_check(j, y);
        if (rc == RC_OK)
            rc = yaml_pair_check(j, y, key);
        if (rc == RC_OK)
            rc = yaml_value_of(j, depth, &value);
        if (rc != RC_OK)
            return rc;
        y->pairs = yaml_array_grow(j->arena, y->pairs, y->n, sizeof(struct yaml_pair));
        if (!y->pairs)
            return yaml_fail(j, RC_TOOBIG, (size_t)y->line, (size_t)y->col, "mapping too long");
        y->pairs[y->n++] = (struct yaml_pair){key->text, key->line, key->col, value};
    }
}

static enum rc yaml_collection(struct yaml_job *j, const yaml_event_t *ev, int depth,
                               struct yaml *y)
{
    static const char *const seq[] = {"seq"}, *const map[] = {"map"};
    bool is_seq = ev->type == YAML_SEQUENCE_START_EVENT;
    const yaml_char_t *tag = is_seq ? ev->data.sequence_start.tag : ev->data.mapping_start.tag;
    size_t which;
    if (tag && strcmp((const char *)tag, "!") != 0 &&
        !yaml_tag_ok(tag, is_seq ? seq : map, 1, &which))
        return yaml_fail_at(j, RC_BADINPUT, &ev->start_mark, "a tag that is not served");
    return is_seq ? yaml_sequence(j, depth, y) : yaml_mapping(j, depth, y);
}

/* The node that begins with ev; the caller deletes ev. */
static enum rc yaml_node(struct yaml_job *j, const yaml_event_t *ev, int depth, struct yaml **out)
{
    const yaml_char_t *anchor = NULL;
    size_t before = j->nodes, slot;
    if (depth > YAML_DEPTH_MAX)
        return yaml_fail_at(j, RC_TOOBIG, &ev->start_mark, "nested too deeply");
    if (ev->type == YAML_ALIAS_EVENT)
        return yaml_alias(j, ev, depth, out);
    if (ev->type == YAML_SCALAR_EVENT)
        anchor = ev->data.scalar.anchor;
    else if (ev->type == YAML_SEQUENCE_START_EVENT)
        anchor = ev->data.sequence_start.anchor;
    else if (ev->type == YAML_MAPPING_START_EVENT)
        anchor = ev->data.mapping_start.anchor;
    else
        return yaml_fail_at(j, RC_BADINPUT, &ev->start_mark, "a value is missing");
    enum rc rc = yaml_node_new(j, ev, out);
    if (rc == RC_OK)
        rc = yaml_anchor_put(j, ev, anchor, *out, &slot);
    if (rc != RC_OK)
        return rc;
    int deepest = j->deepest;
    j->deepest = depth;
    rc = ev->type == YAML_SCALAR_EVENT ? yaml_scalar(j, ev, *out)
                                       : yaml_collection(j, ev, depth, *out);
    if (rc == RC_OK && slot != SIZE_MAX) {
        j->anchors[slot].nodes = j->nodes - before;
        j->anchors[slot].height = j->deepest - depth;
    }
    j->deepest = MAX(j->deepest, deepest);
    return rc;
}

/* ---------------------------------------------------------------- documents */

static enum rc yaml_document(struct yaml_job *j, struct yaml ***docs, size_t *n)
{
    struct yaml *root = NULL;
    yaml_event_t ev;
    j->anchors_n = 0;
    j->anchors = NULL;
    enum rc rc = yaml_value_of(j, 0, &root);
    if (rc == RC_OK)
        rc = yaml_next(j, &ev); /* the end of the document */
    if (rc != RC_OK)
        return rc;
    yaml_event_delete(&ev);
    if (!root || (root->kind == YAML_NULL && root->text.n == 0))
        return RC_OK;
    *docs = yaml_array_grow(j->arena, *docs, *n, sizeof **docs);
    if (!*docs)
        return err_set(j->e, RC_TOOBIG, "too many documents");
    (*docs)[(*n)++] = root;
    return RC_OK;
}

static enum rc yaml_stream(struct yaml_job *j, struct yaml ***docs, size_t *n)
{
    while (true) {
        yaml_event_t ev;
        enum rc rc = yaml_next(j, &ev);
        if (rc != RC_OK)
            return rc;
        yaml_event_type_t type = ev.type;
        yaml_event_delete(&ev);
        if (type == YAML_STREAM_END_EVENT || type == YAML_NO_EVENT)
            return RC_OK;
        if (type == YAML_DOCUMENT_START_EVENT)
            rc = yaml_document(j, docs, n);
        if (rc != RC_OK)
            return rc;
    }
}

enum rc yaml_parse(struct arena *a, const char *file, struct slice text, struct yaml ***docs,
                   size_t *docs_n, struct err *e)
{
    struct yaml_job j = {.arena = a, .file = file, .e = e};
    struct yaml **list = NULL;
    size_t n = 0;
    if (text.n > YAML_BYTES_MAX)
        return err_at(e, RC_TOOBIG, file, "longer than %d bytes", YAML_BYTES_MAX);
    if (!yaml_parser_initialize(&j.lib))
        return err_at(e, RC_NOMEM, file, "no memory to read YAML");
    yaml_parser_set_encoding(&j.lib, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&j.lib, (const unsigned char *)text.p, text.n);
    enum rc rc = yaml_stream(&j, &list, &n);
    yaml_parser_delete(&j.lib);
    if (rc != RC_OK)
        return rc;
    *docs = list;
    *docs_n = n;
    return RC_OK;
}
