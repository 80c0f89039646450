/* test_json.c - reading within bounds, writing what reads back. */
#include "t.h"
#include "wire/json.h"

#include <math.h>

static struct arena arena;
static struct err fault;

static enum rc parse(struct slice text, struct json **out)
{
    return json_parse(&arena, text, 1 << 20, out, &fault);
}

/* The text that jsonw_value makes of what was read. */
static struct slice round_trip(struct slice text)
{
    struct json *v;
    struct buf b;
    struct jsonw w;
    if (parse(text, &v) != RC_OK)
        return S("(refused)");
    buf_init(&b, 0);
    jsonw_init(&w, &b);
    jsonw_value(&w, v);
    struct slice s = arena_dup(&arena, buf_all(&b));
    buf_free(&b);
    return s;
}

static void reading(void)
{
    struct json *v;
    T_INT(parse(S(" {\"a\": [1, -2, 2.5, true, null], \"b\": {\"c\": \"x\\u00fc\\n\"}} \n"), &v),
          RC_OK);
    const struct json *a = json_get(v, S("a"));
    T(a && a->kind == JSON_ARR && a->n == 5);
    T(a->items[0].kind == JSON_INT && a->items[0].i == 1 && a->items[1].i == -2);
    T(a->items[2].kind == JSON_REAL && a->items[2].d == 2.5);
    T(a->items[3].kind == JSON_BOOL && a->items[3].b && a->items[4].kind == JSON_NULL);
    T_TEXT(json_str(json_get(v, S("b")), S("c")), "x\xc3\xbc\n");
    T(json_get(v, S("z")) == NULL && json_get(NULL, S("a")) == NULL && json_get(a, S("a")) == NULL);
    T_TEXT(json_str(v, S("a")), "");
    T_INT(json_int(v, S("a"), -7), -7);
    T(json_bool(v, S("z"), true));
    T_INT(
        parse(
            S("{\"i\":9223372036854775807,\"u\":18446744073709551615,\"n\":-9223372036854775808}"),
            &v),
        RC_OK);
    T_INT(json_int(v, S("i"), 0), INT64_MAX);
    T_INT(json_int(v, S("n"), 0), INT64_MIN);
    T(json_get(v, S("u"))->kind == JSON_UINT && json_get(v, S("u"))->u == UINT64_MAX);
    T_INT(json_int(v, S("u"), 5), 5);
}

static void refusals(void)
{
    static const struct {
        struct slice text;
        const char *place;
    } rows[] = {
        {SLIT(""), "1:1"},
        {SLIT("{"), NULL},
        {SLIT("{} x"), "1:4"},
        {SLIT("{}\n{}"), "2:1"},
        {SLIT("[1,]"), NULL},
        {SLIT("{\"a\":1,}"), NULL},
        {SLIT("{a:1}"), "1:2"},
        {SLIT("{'a':1}"), "1:2"},
        {SLIT("[01]"), NULL},
        {SLIT("[+1]"), "1:2"},
        {SLIT("[.5]"), "1:2"},
        {SLIT("[1.]"), NULL},
        {SLIT("[NaN]"), "1:2"},
        {SLIT("[Infinity]"), "1:2"},
        {SLIT("[1e999]"), NULL},
        {SLIT("[\"\t\"]"), NULL},
        {SLIT("[\"\xff\"]"), NULL},
        {SLIT("[\"\xc0\xaf\"]"), NULL},
        {SLIT("[\"\\ud800\"]"), NULL},
        {SLIT("[\"\\x41\"]"), NULL},
        {SLIT("[1] // comment"), NULL},
        {SLIT("\xef\xbb\xbf{}"), NULL},
        {SLIT("[\"open]"), NULL},
        {SLIT("[1\0]"), NULL},
        {SLIT("tru"), NULL},
        {SLIT("{\"a\":1,\"b\":2,\"a\":3}"), ""},
        {SLIT("{\"a\":1,\"\\u0061\":3}"), ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct json *v = NULL;
        T_ROW("%.*s", (int)rows[i].text.n, rows[i].text.p);
        T_INT(parse(rows[i].text, &v), RC_BADINPUT);
        T(v == NULL && fault.text[0]);
        if (rows[i].place)
            T_TEXT(slice_str(fault.place), rows[i].place);
    }
}

static void bounds(void)
{
    struct buf b;
    struct json *v;
    buf_init(&b, 0);
    for (int depth = 64; depth <= 65; depth++) {
        buf_clear(&b);
        for (int i = 0; i < depth - 1; i++)
            buf_str(&b, i % 2 ? "{\"a\":" : "[");
        buf_byte(&b, '1');
        for (int i = depth - 2; i >= 0; i--)
            buf_byte(&b, i % 2 ? '}' : ']');
        T_INT(parse(buf_all(&b), &v), depth == 64 ? RC_OK : RC_TOOBIG);
    }
    buf_clear(&b);
    for (int i = 0; i < 100000; i++)
        buf_byte(&b, '['); /* never closed */
    T(parse(buf_all(&b), &v) != RC_OK);
    T_INT(json_parse(&arena, S("[1234]"), 5, &v, &fault), RC_TOOBIG);
    T_INT(json_parse(&arena, S("[1234]"), 6, &v, &fault), RC_OK);
    struct arena small;
    arena_init(&small, 256, 1024);
    buf_clear(&b);
    buf_lit(&b, "[1");
    for (int i = 0; i < 100; i++)
        buf_lit(&b, ",1");
    buf_lit(&b, "]");
    T_INT(json_parse(&small, buf_all(&b), 1000, &v, &fault), RC_TOOBIG);
    arena_free(&small);
    buf_free(&b);
}

/* Objects with many members are checked by a table: the last may not repeat the first. */
static void large_objects(void)
{
    struct buf b;
    struct json *v;
    buf_init(&b, 0);
    buf_lit(&b, "{");
    for (int i = 0; i < 5000; i++)
        buf_fmt(&b, "%s\"k%d\":%d", i ? "," : "", i, i);
    size_t n = b.n;
    buf_lit(&b, "}");
    T_INT(parse(buf_all(&b), &v), RC_OK);
    T_INT(json_int(v, S("k4999"), 0), 4999);
    b.n = n;
    buf_lit(&b, ",\"k0\":1}");
    T_INT(parse(buf_all(&b), &v), RC_BADINPUT);
    T(strstr(fault.text, "k0") != NULL);
    buf_free(&b);
}

static void writing(void)
{
    struct buf b;
    struct jsonw w;
    buf_init(&b, 0);
    jsonw_init(&w, &b);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("s"), S("a\"b\\c\n\x01\x7f</\xc3\xbc\xff."));
    jsonw_ki64(&w, S("i"), -5);
    jsonw_kbool(&w, S("b"), false);
    jsonw_key(&w, S("arr"));
    jsonw_arr(&w);
    jsonw_u64(&w, UINT64_MAX);
    jsonw_real(&w, 0.5);
    jsonw_real(&w, (double)INFINITY);
    jsonw_null(&w);
    jsonw_raw(&w, S("{\"x\":1}"));
    jsonw_arr(&w);
    jsonw_end_arr(&w);
    jsonw_obj(&w);
    jsonw_end_obj(&w);
    jsonw_end_arr(&w);
    jsonw_kstr(&w, S(""), S(""));
    jsonw_kstr(&w, S("none"), (struct slice){NULL, 0});
    jsonw_end_obj(&w);
    T_TEXT(buf_all(&b),
           "{\"s\":\"a\\\"b\\\\c\\n\\u0001\\u007f</\xc3\xbc\xef\xbf\xbd.\",\"i\":-5,\"b\":false,"
           "\"arr\":[18446744073709551615,0.5,null,null,{\"x\":1},[],{}],\"\":\"\",\"none\":\"\"}");
    struct json *v;
    T_INT(parse(buf_all(&b), &v), RC_OK);
    buf_free(&b);
}

static void there_and_back(void)
{
    static const char *const rows[] = {"null",
                                       "true",
                                       "-1",
                                       "1.5",
                                       "1e+300",
                                       "\"\"",
                                       "[]",
                                       "{}",
                                       "[[],{}]",
                                       "{\"a\":[1,{\"b\":null}]}",
                                       "\"\xf0\x9f\x98\x80\"",
                                       "1e-7",
                                       "-0.0",
                                       "0.1"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i]);
        T_TEXT(round_trip(slice_str(rows[i])), rows[i]);
    }
    T_TEXT(round_trip(S("\"\\ud83d\\ude00\\/\"")), "\"\xf0\x9f\x98\x80/\"");
}

int main(void)
{
    arena_init(&arena, 0, 0);
    T_RUN(reading);
    T_RUN(refusals);
    T_RUN(bounds);
    T_RUN(large_objects);
    T_RUN(writing);
    T_RUN(there_and_back);
    arena_free(&arena);
    return t_done();
}
