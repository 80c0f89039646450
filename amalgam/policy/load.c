/*
 * load.c - a directory (or the assets inside the binary) -> resources -> a compiled set.
 *
 * Called by main/ at start, at reload, by check-config and eval, and by the fuzz target through
 * load_begin, load_text, load_finish. It recognises documents and decodes them by the tables of
 * kinds.c; what they mean is compile*.c and catalog.c. It never stops at the first fault: a broken
 * file is one fault, the others are read. Trees live in one arena per file which the set keeps; files
 * of OpenAPI documents alone give theirs back. One thread at a time.
 * Tested by tests/unit/policy/test_load.c, fuzzed by tests/fuzz/fuzz_policy.c.
 */
#include "base/asset.h"
#include "base/log.h"
#include "base/os.h"
#include "policy/inside.h"
#include "wire/gzip.h"

enum { LOAD_FILE_MAX = 4 << 20, LOAD_DEPTH_MAX = 16, LOAD_FILES_MAX = 100000 };

void vec_push(struct vec *v, void *p)
{
    if (v->n == v->cap) {
        v->cap = v->cap ? v->cap * 2 : 16;
        v->v = mem_realloc(v->v, v->cap * sizeof *v->v);
    }
    v->v[v->n++] = p;
}

struct field_in load_in(struct load *l, struct slice file)
{
    return (struct field_in){&l->set->arena, l->faults, file, l->opts->strict};
}

struct slice load_rule(struct load *l, struct slice file, const struct yaml *at)
{
    return arena_fmt(&l->set->arena, "%.*s:%d", SFMT(file), at ? at->line : 0);
}

struct slice load_full_name(struct load *l, struct slice ns, struct slice name)
{
    return arena_fmt(&l->set->arena, "%.*s.%.*s", SFMT(ns), SFMT(name));
}

/* ---- documents ---- */

static const char *load_kind_name(const void *ctx, size_t i)
{
    (void)ctx;
    return kind_at(i) ? kind_at(i)->kind : NULL;
}

static bool load_group_is(const char *groups, struct slice version)
{
    struct slice rest = slice_str(groups), none;
    struct slice group = slice_cut(version, '/', &none);

    while (rest.n > 0)
        if (slice_eq(slice_cut(rest, '|', &rest), group))
            return true;
    return false;
}

static const struct kind_row *load_kind(const struct field_in *in, const struct yaml *kind,
                                        const struct yaml *version)
{
    const struct kind_row *same = NULL;
    const char *near;
    struct field_path p = {NULL, S("kind"), 0}, pv = {NULL, S("apiVersion"), 0};

    for (size_t i = 0; kind_at(i); i++) {
        if (!slice_eq(kind->text, slice_str(kind_at(i)->kind)))
            continue;
        if (version && load_group_is(kind_at(i)->group, version->text))
            return kind_at(i);
        if (!same)
            same = kind_at(i);
    }
    if (same) {
        fault_add(in, false, version ? version : kind, &pv,
                  "%s is served as apiVersion %s/..., found \"%.*s\"", same->kind, same->group,
                  SFMT(version ? slice_sub(version->text, 0, 80) : S("")));
        return NULL;
    }
    near = nearest_name(kind->text, load_kind_name, NULL);
    fault_add(in, false, kind, &p, "kind \"%.*s\" is not known%s%s%s",
              SFMT(slice_sub(kind->text, 0, 80)), near ? " (did you mean " : "", near ? near : "",
              near ? "?)" : "");
    return NULL;
}

/* Names are unique per kind; the fault names both places. */
static bool load_unique(struct load *l, const struct field_in *in, struct resource *r)
{
    struct slice key = arena_fmt(&l->set->arena, "%s/%.*s", r->row->kind, SFMT(r->full));
    struct resource *old = map_get(&l->by_name, key);
    struct field_path meta = {NULL, S("metadata"), 0}, p = {&meta, S("name"), 0};

    if (!old) {
        map_put(&l->by_name, key, r);
        return true;
    }
    fault_add(in, false, r->node, &p, "%s %.*s is already defined at %.*s:%d", r->row->kind,
              SFMT(r->full), SFMT(old->file), old->node->line);
    return false;
}

static void load_resource(struct load *l, const struct field_in *in, const struct yaml *y,
                          const struct kind_row *row)
{
    struct resource *r = ARENA_NEW(&l->set->arena, struct resource);
    struct field_path p = {NULL, S("kind"), 0};
    bool ok = true;

    if (row->said) {
        fault_add(in, true, yaml_get(y, S("kind")), &p, "%s: %s", row->kind, row->said);
        if (!row->table)
            return;
    }
    r->row = row;
    r->file = in->file;
    r->node = y;
    r->doc = arena_zalloc(in->arena, row->table->size);
    ok = field_decode(in, row->table, y, NULL, r->doc);
    if (!r->doc->meta || r->doc->meta->name.n == 0)
        return;
    r->name = r->doc->meta->name;
    r->ns = r->doc->meta->ns.n ? r->doc->meta->ns : S("default");
    r->full = load_full_name(l, r->ns, r->name);
    if (load_unique(l, in, r) && ok) {
        vec_push(&l->resources, r);
        l->set->counts.resources++;
    }
}

static void load_domain(struct load *l, const struct field_in *in, const struct yaml *y)
{
    struct doc_domain *d = ARENA_NEW(in->arena, struct doc_domain);

    if (field_decode(in, kind_domain_table(), y, NULL, d)) {
        compile_domain(l, in->file, d);
        l->set->counts.resources++;
    }
}

/* True when the tree of y must be kept. */
static bool load_doc(struct load *l, const struct field_in *in, const struct yaml *y, int depth)
{
    struct yaml *kind = yaml_get(y, S("kind")), *items = yaml_get(y, S("items"));
    const struct kind_row *row;

    if (y->kind != YAML_MAP) {
        fault_add(in, false, y, NULL, "expected a resource (a map with kind), found %s",
                  field_kind_words(y));
    } else if (kind && kind->kind == YAML_SCALAR && slice_eq(kind->text, S("List")) && items &&
               items->kind == YAML_SEQ && depth < 2) {
        for (uint32_t i = 0; i < items->n; i++)
            (void)load_doc(l, in, items->items[i], depth + 1);
        return true;
    } else if (kind && kind->kind == YAML_SCALAR) {
        struct yaml *version = yaml_get(y, S("apiVersion"));
        row = load_kind(in, kind, version && version->kind == YAML_SCALAR ? version : NULL);
        if (row)
            load_resource(l, in, y, row);
        return true;
    } else if (yaml_get(y, S("domain"))) {
        load_domain(l, in, y);
        return true;
    } else if (yaml_get(y, S("openapi"))) {
        catalog_openapi(l, in->file, y, S(""));
    } else if (yaml_get(y, S("swagger"))) {
        fault_add(in, false, y, NULL, "Swagger 2 is not served: convert the document to OpenAPI 3");
    } else {
        fault_add(in, false, y, NULL, "not recognised: expected kind and apiVersion (a resource), "
                  "domain (a rate limit file) or openapi (an API description)");
    }
    return false;
}

/* "name:12:7" -> 12, 7; the text before them stays what it is. */
static void load_place(struct slice place, int *line, int *col)
{
    uint64_t n[2] = {0, 0};

    for (int i = 1; i >= 0; i--) {
        size_t at = slice_rindex(place, ':');
        if (at == SIZE_MAX || !slice_u64(slice_from(place, at + 1), &n[i]))
            return;
        place.n = at;
    }
    *line = (int)MIN(n[0], INT32_MAX);
    *col = (int)MIN(n[1], INT32_MAX);
}

void load_text(struct load *l, struct slice file, struct slice text)
{
    struct set_arena *sa = mem_zalloc(sizeof *sa);
    struct field_in in = load_in(l, arena_dup(&l->set->arena, file));
    struct yaml **docs = NULL;
    struct err e = {0};
    size_t n = 0;
    bool keep = false;

    arena_init(&sa->arena, 4096, 0);
    in.arena = &sa->arena;
    l->set->counts.files++;
    if (yaml_parse(&sa->arena, in.file.p, text, &docs, &n, &e) != RC_OK) {
        int line = 0, col = 0;
        load_place(slice_str(e.place), &line, &col);
        fault_put(l->faults, false, in.file, line, col, S(""), slice_str(e.text));
    }
    for (size_t i = 0; docs && i < n; i++)
        keep |= load_doc(l, &in, docs[i], 0);
    if (keep) {
        sa->next = l->set->files;
        l->set->files = sa;
    } else {
        arena_free(&sa->arena);
        mem_free(sa);
    }
}

/* ---- where the text comes from ---- */

static bool load_is_ours(struct slice name)
{
    return slice_ends(name, S(".yaml")) || slice_ends(name, S(".yml")) ||
           slice_ends(name, S(".json"));
}

static void load_trouble(struct load *l, const char *name, const struct err *e)
{
    fault_put(l->faults, false, slice_str(name), 0, 0, S(""), slice_str(e->text));
}

static void load_file(struct load *l, const char *path, struct slice name)
{
    struct arena a;
    struct slice text;
    struct err e = {0};

    arena_init(&a, 4096, 0);
    if (file_read(&a, path, LOAD_FILE_MAX, &text, &e) != RC_OK) {
        load_trouble(l, path, &e);
    } else {
        load_text(l, name, text);
        mem_wipe((void *)(uintptr_t)text.p, text.n); /* it may have held Secrets */
    }
    arena_free(&a);
}

static void load_dir(struct load *l, const char *dir, const char *below, int depth)
{
    struct arena a;
    char **names = NULL;
    size_t n = 0;
    struct err e = {0};

    arena_init(&a, 4096, 0);
    if (dir_list(&a, dir, &names, &n, &e) != RC_OK)
        load_trouble(l, dir, &e);
    for (size_t i = 0; names && i < n && l->set->counts.files < LOAD_FILES_MAX; i++) {
        char *path = path_join(&a, dir, names[i]);
        char *name = *below ? path_join(&a, below, names[i]) : names[i];
        if (path_is_dir(path) && depth < LOAD_DEPTH_MAX)
            load_dir(l, path, name, depth + 1);
        else if (path_is_file(path) && load_is_ours(slice_str(name)))
            load_file(l, path, slice_str(name));
    }
    arena_free(&a);
}

static void load_assets(struct load *l)
{
    struct slice prefix = slice_str(l->opts->builtin_prefix);
    const struct asset *as;

    for (size_t i = 0; (as = l->opts->builtin(i)) != NULL; i++) {
        struct slice path = slice_str(as->path);
        struct buf text;
        struct err e = {0};
        if (!slice_starts(path, prefix) || !load_is_ours(path))
            continue;
        buf_init(&text, LOAD_FILE_MAX);
        if (gzip_inflate(slice_of((const char *)as->gz, as->gz_len), &text, &e) != RC_OK)
            load_trouble(l, as->path, &e);
        else
            load_text(l, slice_from(path, prefix.n), buf_all(&text));
        buf_free(&text);
    }
}

/* ---- the whole ---- */

void load_begin(struct load *l, const struct policy_opts *o, struct policy_faults *faults)
{
    struct policy_set *s = mem_zalloc(sizeof *s);
    uint8_t secret[32];

    memset(l, 0, sizeof *l);
    l->opts = o;
    l->set = s;
    l->faults = faults;
    s->readers = 1;
    arena_init(&s->arena, 4096, 0);
    arena_init(&l->scratch, 4096, 0);
    rand_bytes(secret, sizeof secret);
    hmac_key_init(&s->secret_mac, slice_of((const char *)secret, sizeof secret));
    mem_wipe(secret, sizeof secret);
    map_init(&l->by_name);
    map_init(&l->servers);
    map_init(&l->clients);
    map_init(&l->domains);
}

static void load_end(struct load *l)
{
    struct vec *vecs[] = {&l->resources, &l->selectors, &l->routes, &l->tables, &l->secrets, &l->values,
                          &l->limits, &l->lua, &l->apis, &l->plans};

    for (size_t i = 0; i < ARRAY_LEN(vecs); i++)
        mem_free(vecs[i]->v);
    map_free(&l->by_name);
    map_free(&l->servers);
    map_free(&l->clients);
    map_free(&l->domains);
    if (l->script)
        script_close(l->script);
    if (l->script_ctx)
        lua_lib_close(l->script_ctx->lua);
    mem_free(l->script_ctx);
    arena_free(&l->scratch);
}

static void *load_array(struct load *l, const struct vec *v)
{
    void **p = ARENA_ARRAY(&l->set->arena, void *, v->n + 1);

    if (v->n)
        memcpy(p, v->v, v->n * sizeof *p);
    return p;
}

enum rc load_finish(struct load *l, struct policy_set **out)
{
    struct policy_set *s = l->set;

    for (int stage = 0; stage < STAGES; stage++)
        for (size_t i = 0; i < l->resources.n; i++) {
            struct resource *r = l->resources.v[i];
            if ((int)r->row->stage == stage)
                r->row->take(l, r);
        }
    compile_chains(l);
    catalog_finish(l);
    s->limits = load_array(l, &l->limits);
    s->limits_n = l->limits.n;
    s->lua = load_array(l, &l->lua);
    s->lua_n = l->lua.n;
    s->counts.lua = l->lua.n;
    s->counts.routes = s->routes_n;
    load_end(l);
    *out = NULL;
    if (l->faults->errors > 0) {
        policy_set_drop(s);
        return RC_BADINPUT;
    }
    *out = s;
    return RC_OK;
}

enum rc policy_load(const struct policy_opts *o, struct policy_set **out,
                    struct policy_faults *faults)
{
    struct load l;

    load_begin(&l, o, faults);
    if (o->builtin)
        load_assets(&l);
    else if (o->dir && path_is_dir(o->dir))
        load_dir(&l, o->dir, "", 0);
    else if (o->dir && *o->dir)
        fault_put(faults, true, slice_str(o->dir), 0, 0, S(""),
                  S("no such directory: there are no policies, so every check is denied"));
    return load_finish(&l, out);
}
