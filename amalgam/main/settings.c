/*
 * settings.c - reads settings from flags, environment and postern.yaml, checks them, says where each
 * came from.
 *
 * Called by every command at start. Never touches what a setting names (no file but postern.yaml and
 * the ..._FILE secrets is opened). Owns its texts in one arena. Single thread. Tested by
 * tests/unit/main/test_settings.c and tests/box/test_cli.py.
 */
#include "main/settings.h"
#include "base/nearest.h"
#include "base/os.h"
#include "net/addr.h"
#include "wire/yaml.h"
#include <string.h>

#define SETTINGS_FILE_MAX ((size_t)1024 * 1024)

static const char *settings_name_at(const void *ctx, size_t i)
{
    (void)ctx;
    return i < SET_COUNT ? setting_row(i)->name : NULL;
}

static enum rc settings_bad(struct err *e, const struct setting_row *row, struct slice text,
                            struct slice place, const char *expected)
{
    bool secret = row->kind == KIND_SECRET;
    return err_at(e, RC_BADINPUT, place.n ? place.p : row->name, "%s: `%.*s` is not %s", row->name,
                  secret ? 0 : SFMT(slice_sub(text, 0, 100)), expected);
}

static bool settings_choice_ok(const char *choices, struct slice text)
{
    struct slice rest = slice_str(choices);
    while (rest.n) {
        struct slice word = slice_cut(rest, '|', &rest);
        if (slice_eq(word, text))
            return true;
    }
    return false;
}

static bool settings_bool(struct slice text, int64_t *out)
{
    bool yes = slice_eq_ci(text, S("true")) || slice_eq_ci(text, S("yes")) ||
               slice_eq_ci(text, S("on")) || slice_eq(text, S("1"));
    bool no = slice_eq_ci(text, S("false")) || slice_eq_ci(text, S("no")) ||
              slice_eq_ci(text, S("off")) || slice_eq(text, S("0"));
    *out = yes;
    return yes || no;
}

bool setting_peer_name(struct slice word, struct slice *name)
{
    bool dns = slice_starts(word, S("dns:"));
    if (!dns && !slice_starts(word, S("spiffe://")))
        return false;
    *name = dns ? slice_from(word, 4) : word;
    return name->n > 0 && name->n <= 255 && slice_printable(*name);
}

/* alone: ranges and nothing else. */
static bool settings_peers(struct slice text, bool alone)
{
    struct cidr range;
    size_t n = 0;
    while (text.n) {
        struct slice word = slice_trim(slice_cut(text, ',', &text));
        bool named = !alone && setting_peer_name(word, &word);
        if (word.n == 0 || (!alone && slice_eq(word, S("unix"))))
            continue;
        if ((!named && !cidr_parse(word, &range)) || ++n > SETTING_PEERS_MAX)
            return false;
    }
    return true;
}

static bool settings_word(const struct setting_row *row, struct slice text)
{
    bool good = (int64_t)text.n >= row->min && (int64_t)text.n <= row->max;
    for (size_t i = 0; i < text.n; i++)
        good = good && (ascii_alpha(text.p[i]) || ascii_digit(text.p[i]));
    return good;
}

/* Kinds that are no number. */
static bool settings_text_ok(const struct setting_row *row, struct slice text)
{
    struct net_addr addr;
    bool whole = slice_index(text, '\0') == SIZE_MAX; /* C strings are made of it */
    switch (row->kind) {
    case KIND_ADDR:
        return net_addr_parse(text, &addr, NULL) == RC_OK;
    case KIND_CHOICE:
        return settings_choice_ok(row->choices, text);
    case KIND_PEERS:
    case KIND_RANGES:
        return settings_peers(text, row->kind == KIND_RANGES);
    case KIND_WORD:
        return settings_word(row, text);
    case KIND_PATH:
        return whole && (int64_t)text.n >= row->min && (int64_t)text.n <= row->max;
    default:
        return whole;
    }
}

/* A number of the row's kind into *out; false when malformed. */
static bool settings_number(const struct setting_row *row, struct slice text, int64_t *out)
{
    uint64_t u = 0;
    switch (row->kind) {
    case KIND_INT:
        return slice_i64(text, out);
    case KIND_BYTES:
        if (!slice_bytes(text, &u) || u > INT64_MAX)
            return false;
        *out = (int64_t)u;
        return true;
    case KIND_DURATION:
        return slice_duration_ms(text, out);
    case KIND_BOOL:
        return settings_bool(text, out);
    default:
        *out = 0;
        return true;
    }
}

static const char *settings_expected(struct settings *s, const struct setting_row *row)
{
    switch (row->kind) {
    case KIND_CHOICE: return arena_fmt(&s->arena, "one of %s", row->choices).p;
    case KIND_PEERS: return "a list of at most 64 addresses, CIDR ranges, names in certificates (spiffe://..., dns:...) or the word unix";
    case KIND_RANGES: return "a list of at most 64 addresses and CIDR ranges";
    case KIND_PATH: return row->min ? "a path (it is empty or far too long)" : "a path (it is far too long)";
    case KIND_WORD:
        return arena_fmt(&s->arena, "%lld to %lld letters and digits", (long long)row->min,
                         (long long)row->max).p;
    case KIND_INT: return "a whole number";
    case KIND_BYTES: return "a size such as 64kb, 1mb or a number of bytes";
    case KIND_DURATION: return "a time such as 250ms, 10s, 15m, 12h or 7d";
    case KIND_BOOL: return "true or false";
    case KIND_ADDR: return "host:port, :port, unix:/path or off";
    default: return "valid";
    }
}

static enum rc settings_check_range(const struct setting_row *row, int64_t n, struct slice place,
                                    struct err *e)
{
    bool ranged = row->kind == KIND_INT || row->kind == KIND_BYTES || row->kind == KIND_DURATION;
    if (!ranged || (n >= row->min && n <= row->max))
        return RC_OK;
    return err_at(e, RC_BADINPUT, place.n ? place.p : row->name,
                  "%s: %lld is out of range (%lld to %lld%s)", row->name, (long long)n,
                  (long long)row->min, (long long)row->max,
                  row->kind == KIND_DURATION ? " ms" : row->kind == KIND_BYTES ? " bytes" : "");
}

enum rc settings_put(struct settings *s, enum setting_id id, struct slice text,
                     enum setting_origin origin, struct slice place, struct err *e)
{
    const struct setting_row *row = setting_row(id);
    struct setting_value *v = &s->v[id];
    if (origin < v->origin)
        return RC_OK; /* a stronger source has spoken */
    int64_t number;
    place = arena_dup(&s->arena, place);
    if (!settings_number(row, text, &number) || !settings_text_ok(row, text))
        return settings_bad(e, row, text, place, settings_expected(s, row));
    enum rc rc = settings_check_range(row, number, place, e);
    if (rc != RC_OK)
        return rc;
    v->text = arena_dup(&s->arena, text);
    v->number = number;
    v->origin = origin;
    v->place = place;
    return RC_OK;
}

void settings_init(struct settings *s)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, 8192, (size_t)8 * 1024 * 1024);
    for (size_t i = 0; i < SET_COUNT; i++) {
        const struct setting_row *row = setting_row(i);
        struct err e;
        MUST(row->id == i);
        MUST(settings_put(s, row->id, slice_str(row->otherwise), ORIGIN_DEFAULT, S("default"), &e) ==
             RC_OK);
    }
}

void settings_free(struct settings *s)
{
    arena_free(&s->arena);
}

/* ---- flags ---- */

static const struct setting_row *settings_by_flag(struct slice flag)
{
    for (size_t i = 0; i < SET_COUNT; i++) {
        const struct setting_row *row = setting_row(i);
        if (row->flag && slice_eq(slice_str(row->flag), flag))
            return row;
    }
    return NULL;
}

/* `--set name=value` reaches every setting; `--check :80` and `--check=:80` those with a flag. */
static enum rc settings_set_flag(struct settings *s, struct slice pair, struct err *e)
{
    struct slice value, name = slice_cut(pair, '=', &value);
    if (slice_index(pair, '=') == SIZE_MAX)
        return err_at(e, RC_BADINPUT, "--set", "name=value was expected, not `%.*s`",
                      SFMT(slice_sub(pair, 0, 100)));
    for (size_t i = 0; i < SET_COUNT; i++)
        if (slice_eq(slice_str(setting_row(i)->name), name))
            return settings_put(s, setting_row(i)->id, value, ORIGIN_FLAG, S("--set"), e);
    const char *near = nearest_name(name, settings_name_at, NULL);
    return err_at(e, RC_BADINPUT, "--set", "unknown setting `%.*s`%s%s%s", SFMT(name),
                  near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
}

enum rc settings_flags(struct settings *s, int *argc, char **argv, struct err *e)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        struct slice value, flag = slice_cut(slice_str(argv[i]), '=', &value);
        bool has_value = flag.n < strlen(argv[i]);
        bool is_set = slice_eq(flag, S("--set"));
        const struct setting_row *row = settings_by_flag(flag);
        if (!row && !is_set) {
            argv[kept++] = argv[i];
            continue;
        }
        if (!has_value && i + 1 >= *argc)
            return err_set(e, RC_BADINPUT, "%s needs a value", argv[i]);
        if (!has_value)
            value = slice_str(argv[++i]);
        enum rc rc = is_set ? settings_set_flag(s, value, e)
                            : settings_put(s, row->id, value, ORIGIN_FLAG, flag, e);
        if (rc != RC_OK)
            return rc;
    }
    argv[kept] = NULL;
    *argc = kept;
    return RC_OK;
}

/* ---- environment ---- */

/* POSTERN_CHECK_LISTEN is the name in capitals with dots as underscores. */
static bool settings_env_is(const struct setting_row *row, struct slice name)
{
    struct slice want = slice_str(row->name);
    if (want.n != name.n)
        return false;
    for (size_t i = 0; i < want.n; i++) {
        char c = want.p[i] == '.' ? '_' : ascii_upper(want.p[i]);
        if (c != name.p[i])
            return false;
    }
    return true;
}

static const struct setting_row *settings_by_env(struct slice name)
{
    for (size_t i = 0; i < SET_COUNT; i++)
        if (settings_env_is(setting_row(i), name))
            return setting_row(i);
    return NULL;
}

static enum rc settings_env_secret(struct settings *s, struct slice name, struct slice path,
                                   struct slice place, struct err *e)
{
    const struct setting_row *row = settings_by_env(name);
    if (!row || row->kind != KIND_SECRET)
        return err_at(e, RC_BADINPUT, place.p,
                      "there is no secret of that name (secrets: POSTERN_SECRET_KEY_FILE, "
                      "POSTERN_REDIS_PASSWORD_FILE)");
    struct slice text;
    enum rc rc = file_read(&s->arena, arena_cstr(&s->arena, path), 65536, &text, e);
    if (rc != RC_OK)
        return rc;
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
        text.n--;
    return settings_put(s, row->id, text, ORIGIN_ENV, place, e);
}

static enum rc settings_env_unknown(struct settings *s, struct slice key, struct slice place, struct err *e)
{
    struct slice folded = arena_dup(&s->arena, key);
    char *p = (char *)(uintptr_t)folded.p;
    for (size_t i = 0; i < folded.n; i++)
        p[i] = ascii_lower(p[i]);
    const char *near = nearest_name(folded, settings_name_at, NULL);
    return err_at(e, RC_BADINPUT, place.p, "no setting has this name%s%s%s; `postern config print` lists them",
                  near ? "; did you mean the setting `" : "", near ? near : "", near ? "`?" : "");
}

/* Not settings: read by the command line, by make and by tests; and what Kubernetes sets in every pod beside
 * a Service of the name postern: POSTERN_SERVICE_HOST, POSTERN_PORT=tcp://..., POSTERN_PORT_8083_TCP_ADDR. */
static bool settings_env_other(struct slice key, struct slice value)
{
    static const struct slice others[] = {SLIT("CONFIG"), SLIT("CACHE"), SLIT("BIN"), SLIT("BUILD")};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (slice_eq(key, others[i]))
            return true;
    return slice_starts(key, S("SERVICE_")) || slice_starts(key, S("PORT_")) ||
           (slice_eq(key, S("PORT")) && slice_find(value, S("://")) != SIZE_MAX);
}

static enum rc settings_env(struct settings *s, char **envp, struct err *e)
{
    for (; envp && *envp; envp++) {
        struct slice value, name = slice_cut(slice_str(*envp), '=', &value);
        if (!slice_starts(name, S("POSTERN_")))
            continue;
        struct slice place = arena_dup(&s->arena, name), key = slice_from(name, 8);
        if (settings_env_other(key, value))
            continue;
        const struct setting_row *row = settings_by_env(key);
        enum rc rc;
        if (row)
            rc = settings_put(s, row->id, value, ORIGIN_ENV, place, e);
        else if (slice_ends(key, S("_FILE")))
            rc = settings_env_secret(s, slice_sub(key, 0, key.n - 5), value, place, e);
        else
            rc = settings_env_unknown(s, key, place, e);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

/* ---- postern.yaml ---- */

struct settings_file {
    struct settings *s;
    const char *name;
    struct err *e;
};

static struct slice settings_place(struct settings_file *f, int line, int col)
{
    return arena_fmt(&f->s->arena, "%s:%d:%d", f->name, line, col);
}

static enum rc settings_unknown(struct settings_file *f, struct slice name, int line, int col)
{
    const char *near = nearest_name(name, settings_name_at, NULL);
    return err_at(f->e, RC_BADINPUT, settings_place(f, line, col).p, "unknown setting `%.*s`%s%s%s",
                  SFMT(name), near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
}

/* A sequence becomes the comma-separated form that flags use. */
static enum rc settings_join(struct settings_file *f, const struct yaml *y, struct slice *out)
{
    struct buf b;
    buf_init(&b, 65536);
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < y->n && rc == RC_OK; i++) {
        if (y->items[i]->kind != YAML_SCALAR)
            rc = err_at(f->e, RC_BADINPUT, settings_place(f, y->items[i]->line, y->items[i]->col).p,
                        "a list of plain values was expected");
        else
            buf_fmt(&b, "%s%.*s", i ? "," : "", SFMT(y->items[i]->text));
    }
    *out = arena_dup(&f->s->arena, buf_all(&b));
    buf_free(&b);
    return rc;
}

static enum rc settings_yaml(struct settings_file *f, const struct yaml *map, struct slice prefix);

static enum rc settings_pair(struct settings_file *f, const struct yaml_pair *p, struct slice name)
{
    struct slice place = settings_place(f, p->value->line, p->value->col);
    for (size_t i = 0; i < SET_COUNT; i++) {
        const struct setting_row *row = setting_row(i);
        if (!slice_eq(slice_str(row->name), name) || p->value->kind == YAML_MAP)
            continue;
        struct slice text = p->value->text;
        if (p->value->kind == YAML_NULL)
            text = S("");
        if (p->value->kind == YAML_SEQ && row->kind != KIND_LIST && row->kind != KIND_PEERS && row->kind != KIND_RANGES)
            return err_at(f->e, RC_BADINPUT, place.p, "%s: one value was expected, not a list", row->name);
        if (p->value->kind == YAML_SEQ && settings_join(f, p->value, &text) != RC_OK)
            return f->e ? f->e->rc : RC_BADINPUT;
        return settings_put(f->s, row->id, text, ORIGIN_FILE, place, f->e);
    }
    if (p->value->kind == YAML_MAP)
        return settings_yaml(f, p->value, name);
    return settings_unknown(f, name, p->line, p->col);
}

static enum rc settings_yaml(struct settings_file *f, const struct yaml *map, struct slice prefix)
{
    for (uint32_t i = 0; i < map->n; i++) {
        const struct yaml_pair *p = &map->pairs[i];
        struct slice name = prefix.n ? arena_fmt(&f->s->arena, "%.*s.%.*s", SFMT(prefix), SFMT(p->key))
                                     : p->key;
        if (p->value->kind == YAML_MAP) { /* a group that no setting begins with is unknown itself */
            bool known = false;
            struct slice dotted = arena_fmt(&f->s->arena, "%.*s.", SFMT(name));
            for (size_t k = 0; k < SET_COUNT; k++)
                known = known || slice_starts(slice_str(setting_row(k)->name), dotted);
            if (!known)
                return settings_unknown(f, name, p->line, p->col);
        }
        enum rc rc = settings_pair(f, p, name);
        if (rc != RC_OK)
            return rc;
    }
    return RC_OK;
}

static enum rc settings_read_file(struct settings *s, const char *path, struct err *e)
{
    struct slice text;
    struct yaml **docs;
    size_t n;
    enum rc rc = file_read(&s->arena, path, SETTINGS_FILE_MAX, &text, e);
    if (rc == RC_OK)
        rc = yaml_parse(&s->arena, path, text, &docs, &n, e);
    if (rc != RC_OK)
        return rc;
    s->file = arena_dup(&s->arena, slice_str(path));
    struct settings_file f = {s, path, e};
    if (n > 1)
        return err_at(e, RC_BADINPUT, path, "one YAML document was expected, %zu were found", n);
    if (n == 0)
        return RC_OK;
    if (docs[0]->kind != YAML_MAP)
        return err_at(e, RC_BADINPUT, path, "a mapping of settings was expected");
    return settings_yaml(&f, docs[0], S(""));
}

enum rc settings_load(struct settings *s, const char *config, char **envp, struct err *e)
{
    enum rc rc = settings_env(s, envp, e);
    if (rc != RC_OK)
        return rc;
    if (config)
        return settings_read_file(s, config, e);
    const char *beside = path_join(&s->arena, setting_cstr(s, SET_DATA_DIR), "postern.yaml");
    return path_is_file(beside) ? settings_read_file(s, beside, e) : RC_OK;
}

/* ---- reading ---- */

struct slice setting(const struct settings *s, enum setting_id id)
{
    return s->v[id].text;
}
const char *setting_cstr(const struct settings *s, enum setting_id id)
{
    return s->v[id].text.p; /* arena_dup puts a NUL behind */
}
int64_t setting_num(const struct settings *s, enum setting_id id)
{
    return s->v[id].number;
}
bool setting_is(const struct settings *s, enum setting_id id, const char *word)
{
    return slice_eq(s->v[id].text, slice_str(word));
}
const char *setting_origin_name(enum setting_origin o)
{
    static const char *const names[] = {"default", "file", "environment", "flag"};
    return names[o];
}
#undef SETTINGS_FILE_MAX
