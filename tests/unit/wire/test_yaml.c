/* test_yaml.c - trees with places, and everything that YAML must not be allowed to do. */
#include "t.h"
#include "wire/yaml.h"

static struct arena arena;
static struct err fault;

static enum rc parse(struct slice text, struct yaml ***docs, size_t *n)
{
    return yaml_parse(&arena, "f.yaml", text, docs, n, &fault);
}

static struct slice as_json(const char *text)
{
    struct yaml **docs;
    size_t n;
    struct buf b;
    if (parse(slice_str(text), &docs, &n) != RC_OK)
        return arena_fmt(&arena, "(%s: %s)", fault.place, fault.text);
    buf_init(&b, 0);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_byte(&b, ' ');
        yaml_to_json(docs[i], &b);
    }
    struct slice s = arena_dup(&arena, buf_all(&b));
    buf_free(&b);
    return s;
}

static void a_policy(void)
{
    struct yaml **docs;
    size_t n;
    int64_t i;
    bool b;
    T_INT(parse(S("# first\napiVersion: v1\nspec:\n  limit: 10\n  on: true\n  name: \"10\"\n"
                  "  list:\n    - a\n    - {b: c}\n---\n---\nsecond: null\n"),
                &docs, &n),
          RC_OK);
    T_INT(n, 2);
    struct yaml *spec = yaml_get(docs[0], S("spec"));
    T(spec && spec->kind == YAML_MAP && spec->n == 4 && spec->line == 4 && spec->col == 3);
    T_INT(docs[0]->pairs[1].line, 3);
    T_INT(docs[0]->pairs[1].col, 1);
    struct yaml *limit = yaml_get(spec, S("limit"));
    T(limit->line == 4 && limit->col == 10 && !limit->quoted);
    T(yaml_i64(limit, &i) && i == 10);
    T(yaml_bool(yaml_get(spec, S("on")), &b) && b);
    struct yaml *name = yaml_get(spec, S("name"));
    T(name->quoted && yaml_i64(name, &i) && i == 10);
    struct yaml *list = yaml_get(spec, S("list"));
    T(list->kind == YAML_SEQ && list->n == 2 && list->items[1]->kind == YAML_MAP);
    T_TEXT(yaml_get(list->items[1], S("b"))->text, "c");
    T(yaml_is_null(yaml_get(docs[1], S("second"))) && yaml_is_null(NULL));
    T(yaml_get(NULL, S("x")) == NULL && yaml_get(list, S("x")) == NULL);
}

static void values_as_json(void)
{
    static const struct {
        const char *yaml, *json;
    } rows[] = {
        {"a: 1", "{\"a\":1}"},
        {"[1, -2, +3, 0x1F, 0o17, 007, 1.5, .5, 1e3, -0]", "[1,-2,3,31,15,7,1.5,0.5,1000,0]"},
        {"[true, False, TRUE, yes, no, on, off, y]",
         "[true,false,true,\"yes\",\"no\",\"on\",\"off\",\"y\"]"},
        {"[~, null, Null, NULL, '', \"~\"]", "[null,null,null,null,\"\",\"~\"]"},
        {"['1', \"true\", !!str 5, !!int 5, !!float 2, ! 7]", "[\"1\",\"true\",\"5\",5,2,\"7\"]"},
        {"[1.2.3, 0x, 1e, e1, 12e, .inf, .nan, 2026-11-21, 1_000, 0b1]",
         "[\"1.2.3\",\"0x\",\"1e\",\"e1\",\"12e\",\".inf\",\".nan\",\"2026-11-21\",\"1_000\","
         "\"0b1\"]"},
        {"[9223372036854775807, -9223372036854775808, 9223372036854775808]",
         "[9223372036854775807,-9223372036854775808,9223372036854775808]"},
        {"a: |\n  two\n  lines\nb: >\n  one\n  line\n",
         "{\"a\":\"two\\nlines\\n\",\"b\":\"one line\\n\"}"},
        {"a:\nb: 2", "{\"a\":null,\"b\":2}"},
        {"- &x {k: v}\n- *x\n- [*x, *x]",
         "[{\"k\":\"v\"},{\"k\":\"v\"},[{\"k\":\"v\"},{\"k\":\"v\"}]]"},
        {"- &x 1\n- &x 2\n- *x", "[1,2,2]"},
        {"{\"json\": [1, {\"is\": \"yaml\"}, null, true]}",
         "{\"json\":[1,{\"is\":\"yaml\"},null,true]}"},
        {"1: a\ntrue: b", "{\"1\":\"a\",\"true\":\"b\"}"},
        {"", ""},
        {"# only a comment\n---\n---\n", ""},
        {"a: 1\n---\nb: 2\n...\n", "{\"a\":1} {\"b\":2}"},
        {"%YAML 1.1\n---\na: 1\n", "{\"a\":1}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].yaml);
        struct slice got = as_json(rows[i].yaml);
        if (i == 6) /* beyond int64 it is a number, but a double */
            T_TEXT(slice_sub(got, 0, 42), "[9223372036854775807,-9223372036854775808,");
        else
            T_TEXT(got, rows[i].json);
    }
}

static void errors_with_places(void)
{
    static const struct {
        const char *yaml, *place, *word;
        enum rc rc;
    } rows[] = {
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3:1", "twice", RC_BADINPUT},
        {"a: 1\n\"a\": 3\n", "f.yaml:2:1", "twice", RC_BADINPUT},
        {"x: {a: 1, a: 2}\n", "f.yaml:1:11", "twice", RC_BADINPUT},
        {"a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3:3", "merge", RC_BADINPUT},
        {"? [a]\n: b\n", "f.yaml:1:3", "key", RC_BADINPUT},
        {"~: b\n", "f.yaml:1:1", "key", RC_BADINPUT},
        {"? {a: b}\n", "f.yaml:1:3", "key", RC_BADINPUT},
        {"a: !!python/object:os.system x\n", "f.yaml:1:4", "tag", RC_BADINPUT},
        {"a: !mine x\n", "f.yaml:1:4", "tag", RC_BADINPUT},
        {"a: !!binary aGk=\n", "f.yaml:1:4", "tag", RC_BADINPUT},
        {"a: !!set {b}\n", "f.yaml:1:4", "tag", RC_BADINPUT},
        {"a: *none\n", "f.yaml:1:4", "alias", RC_BADINPUT},
        {"a: &x [1, *x]\n", "f.yaml:1:11", "alias", RC_BADINPUT},
        {"a: &x 1\n---\nb: *x\n", "f.yaml:3:4", "alias", RC_BADINPUT},
        {"a: [1, 2\nb: 3\n", NULL, "", RC_BADINPUT},
        {"a:\n\t- b\n", NULL, "", RC_BADINPUT},
        {"a: \"open\n", NULL, "", RC_BADINPUT},
        {"a: b: c\n", "f.yaml:1:5", "", RC_BADINPUT},
        {"a: \xff\xfe\n", NULL, "", RC_BADINPUT},
        {"a: \x01\n", NULL, "", RC_BADINPUT},
        {"- a\nb: c\n", NULL, "", RC_BADINPUT},
        {"@a: b\n", "f.yaml:1:1", "", RC_BADINPUT},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct yaml **docs = NULL;
        size_t n = 77;
        T_ROW("%s", rows[i].yaml);
        T_INT(parse(slice_str(rows[i].yaml), &docs, &n), rows[i].rc);
        T(docs == NULL && strncmp(fault.place, "f.yaml:", 7) == 0);
        T(strstr(fault.text, rows[i].word) != NULL);
        if (rows[i].place)
            T_TEXT(slice_str(fault.place), rows[i].place);
    }
}

static void bombs(void)
{
    struct yaml **docs;
    size_t n;
    struct buf b;
    buf_init(&b, 8 << 20);
    buf_lit(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"); /* billion laughs */
    for (int i = 1; i < 10; i++) {
        buf_fmt(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++)
            buf_fmt(&b, "%s*a%d", k ? "," : "", i - 1);
        buf_lit(&b, "]\n");
    }
    T_INT(parse(buf_all(&b), &docs, &n), RC_TOOBIG);
    buf_clear(&b);
    buf_lit(&b, "a0: &a0 [x]\n"); /* depth by aliases: each level holds the one before */
    for (int i = 1; i < 500; i++)
        buf_fmt(&b, "a%d: &a%d [*a%d]\n", i, i, i - 1);
    T_INT(parse(buf_all(&b), &docs, &n), RC_TOOBIG);
    T(strstr(fault.text, "deep") != NULL);
    for (int depth = 64; depth <= 65; depth++) {
        buf_clear(&b);
        for (int i = 0; i < depth - 1; i++)
            buf_byte(&b, '[');
        buf_lit(&b, "1");
        for (int i = 0; i < depth - 1; i++)
            buf_byte(&b, ']');
        T_ROW("depth %d", depth);
        T_INT(parse(buf_all(&b), &docs, &n), depth == 64 ? RC_OK : RC_TOOBIG);
    }
    buf_clear(&b);
    for (int i = 0; i < 5000; i++)
        buf_byte(&b, '[');
    T(parse(buf_all(&b), &docs, &n) != RC_OK);
    buf_clear(&b);
    for (int i = 0; i < 200001; i++)
        buf_lit(&b, "- a\n");
    T_ROW("nodes");
    T_INT(parse(buf_all(&b), &docs, &n), RC_TOOBIG);
    buf_clear(&b);
    buf_lit(&b, "#");
    while (b.n <= 4 << 20)
        buf_byte(&b, 'x');
    T_ROW("bytes");
    T_INT(parse(buf_all(&b), &docs, &n), RC_TOOBIG);
    buf_free(&b);
}

static void large_mappings(void)
{
    struct yaml **docs;
    size_t n;
    struct buf b;
    buf_init(&b, 0);
    for (int i = 0; i < 1000; i++)
        buf_fmt(&b, "key%d: %d\n", i, i);
    T_INT(parse(buf_all(&b), &docs, &n), RC_OK);
    T_INT(docs[0]->n, 1000);
    for (uint32_t i = 0; i < docs[0]->n; i++) {
        int64_t v;
        T(yaml_i64(docs[0]->pairs[i].value, &v) && v == (int64_t)i &&
          docs[0]->pairs[i].line == (int)i + 1);
    }
    buf_lit(&b, "key7: again\n");
    T_INT(parse(buf_all(&b), &docs, &n), RC_BADINPUT);
    T_TEXT(slice_str(fault.place), "f.yaml:1001:1");
    buf_free(&b);
}

int main(void)
{
    arena_init(&arena, 0, 0);
    T_RUN(a_policy);
    T_RUN(values_as_json);
    T_RUN(errors_with_places);
    T_RUN(bombs);
    T_RUN(large_mappings);
    arena_free(&arena);
    return t_done();
}
