/*
 * test_template.c - the language of templates: what is written, what is refused and where, and that nothing
 * runs away.
 */
#include "policy/template.h"

#include "base/rand.h"
#include "t.h"

static struct arena arena;
static struct template_run run;

static bool shout(struct template_run *r, const struct json *a, size_t n, struct json *out)
{
    T(r->ctx == &arena && n == 1);
    *out = (struct json){.kind = JSON_STR, .s = arena_fmt(r->arena, "%.*s!", SFMT(a->s))};
    return a->kind == JSON_STR || template_fail(r, RC_BADINPUT, "shout() needs a text");
}

static const struct template_fn fns[] = {
    {"shout", 1, 1, shout, 4, NULL, "louder"},
    {"env", 1, 1, NULL, 0, "the environment holds secrets", "never"},
};
static const struct template_opts opts = {fns, ARRAY_LEN(fns)};

#define ROOT \
    "{\"name\":\"Ann\",\"n\":3,\"pi\":3.5,\"yes\":true,\"no\":null,\"empty\":\"\",\"list\":[3,1,2],\"a\":{\"b\":{\"c\":\"deep\"}}," \
    "\"people\":[{\"name\":\"Ann\",\"age\":5},{\"name\":\"Bob\",\"age\":7}],\"quote\":\"say \\\"hi\\\"\\n\",\"big\":18446744073709551615," \
    "\"b64\":\"aGk=\",\"words\":[\"b\",\"a\"],\"a-b\":\"dash\"}"

static const char *render(const char *text)
{
    const struct template *t;
    struct json *root;
    struct slice out;
    struct err e = {0};

    MUST(json_parse(&arena, S(ROOT), 0x10000, &root, &e) == RC_OK);
    run = (struct template_run){.arena = &arena, .root = root, .ctx = &arena, .escape = run.escape};
    template_start(&run);
    if (template_compile(&arena, slice_str(text), &opts, &t, &e) != RC_OK)
        return arena_fmt(&arena, "fault %s %s", e.place, e.text).p;
    if (template_render(t, &run, &out) != RC_OK)
        return arena_fmt(&arena, "fail %s", run.why).p;
    return arena_dup(&arena, out).p;
}

static const struct {
    const char *text, *want;
} rows[] = {
    /* plain text and printing */
    {"", ""}, {"plain", "plain"}, {"{ not } % a {hole", "{ not } % a {hole"}, {"{{ name }}", "Ann"}, {"{{name}}", "Ann"},
    {"<{{ name }}|{{ n }}>", "<Ann|3>"}, {"{{ pi }}", "3.5"}, {"{{ yes }}", "true"}, {"[{{ no }}]", "[]"}, {"{{ big }}", "18446744073709551615"},
    {"{{ list }}", "[3,1,2]"}, {"{{ a }}", "{\"b\":{\"c\":\"deep\"}}"}, {"{{ \"q\\\"\\u0041\" }}", "q\"A"}, {"{{ 1.5 }}", "1.5"}, {"{{ -2 }}", "-2"},
    /* names */
    {"{{ a.b.c }}", "deep"}, {"{{ a/b/c }}", "deep"}, {"{{ people.1.name }}", "Bob"}, {"{{ people/0/age }}", "5"}, {"{{ a-b }}", "dash"},
    {"{{ nothing }}", "fail nothing is named \"nothing\""}, {"{{ a.x }}", "fail nothing is named \"a.x\""}, {"{{ list.3 }}", "fail nothing is named \"list.3\""},
    {"{{ name.b }}", "fail nothing is named \"name.b\""}, {"{{ list.-1 }}", "fail nothing is named \"list.-1\""},
    /* operators */
    {"{{ 1 + 2 * 3 }}", "7"}, {"{{ (1 + 2) * 3 }}", "9"}, {"{{ 7 / 2 }}", "3.5"}, {"{{ 7 % 3 }}", "1"}, {"{{ 2 ^ 10 }}", "1024"}, {"{{ n - 1 }}", "2"},
    {"{{ 10 - 3 - 2 }}", "5"}, {"{{ \"a\" + \"b\" }}", "ab"}, {"{{ 1 / 0 }}", "fail division by zero"}, {"{{ 1 % 0 }}", "fail division by zero"},
    {"{{ name + 1 }}", "fail arithmetic with what is no number"}, {"{{ 9223372036854775807 + 1 }}", "9223372036854776000"},
    {"{{ -9223372036854775807 - 1 }}", "-9223372036854775808"}, {"{{ (-9223372036854775807 - 1) % -1 }}", "0"}, {"{{ - n }}", "-3"},
    {"{{ n == 3 }}", "true"}, {"{{ n == 3.0 }}", "true"}, {"{{ n != 3 }}", "false"}, {"{{ n < 4 and name == \"Ann\" }}", "true"}, {"{{ n > 4 or n >= 3 }}", "true"},
    {"{{ not yes }}", "false"}, {"{{ not n == 4 }}", "true"}, {"{{ \"a\" < \"b\" }}", "true"}, {"{{ \"1\" == 1 }}", "false"}, {"{{ name < 1 }}", "fail only numbers, or texts, have an order"},
    {"{{ 2 in list }}", "true"}, {"{{ 9 in list }}", "false"}, {"{{ \"Ann\" in [\"Bob\", name] }}", "true"}, {"{{ 1 in name }}", "fail in needs a list"},
    {"{{ list == [3, 1, 2] }}", "true"}, {"{{ {\"b\": {\"c\": \"deep\"}} == a }}", "true"}, {"{{ no == null }}", "true"}, {"{{ {\"x\": [1, {}]} }}", "{\"x\":[1,{}]}"},
    {"{{ true and nothing }}", "fail nothing is named \"nothing\""}, {"{{ false and nothing }}", "false"}, {"{{ yes or nothing }}", "true"}, {"{{ 1 and empty }}", "false"},
    {"{{ name | upper }}", "ANN"}, {"{{ name | upper | lower }}", "ann"}, {"{{ words | join(\",\") }}", "b,a"}, {"{{ list | sort | first }}", "1"},
    /* statements */
    {"{% if yes %}y{% endif %}", "y"}, {"{% if no %}y{% endif %}", ""}, {"{% if n == 1 %}one{% else if n == 3 %}three{% else %}other{% endif %}", "three"},
    {"{% if n == 1 %}one{% else if n == 2 %}two{% else %}other{% endif %}.", "other."}, {"{% if empty %}y{% else %}n{% endif %}", "n"}, {"{% if list %}y{% endif %}", "y"},
    {"{% for x in list %}{{ x }};{% endfor %}", "3;1;2;"}, {"{% for p in people %}{{ loop.index1 }}:{{ p.name }}{% if not loop.is_last %}, {% endif %}{% endfor %}", "1:Ann, 2:Bob"},
    {"{% for k, v in a %}{{ k }}={{ v }}{% endfor %}", "b={\"c\":\"deep\"}"}, {"{% for x in [1,2] %}{% for y in [1,2] %}{{ loop.parent.index }}{{ loop.index }} {% endfor %}{% endfor %}", "00 01 10 11 "},
    {"{% for x in name %}{% endfor %}", "fail for in needs a list"}, {"{% for k, v in list %}{% endfor %}", "fail for k, v in needs an object"},
    {"{% set x = 4 %}{{ x + 1 }}", "5"}, {"{% set s = 0 %}{% for x in list %}{% set s = s + x %}{% endfor %}{{ s }}", "6"}, {"{% set name = \"Z\" %}{{ name }}", "Z"},
    {"{% for x in [1] %}{% set keep = [loop] %}{% endfor %}{{ keep.0.index }}", "0"}, {"a {# no #}b", "a b"}, {"{# a {{ b }} #}", ""},
    {"a  {{- name -}}  b", "aAnnb"}, {"a\n{%- if yes -%}\n b \n{%- endif -%}\n c", "abc"}, {"x {#- c -#} y", "xy"}, {"{% for x in [] %}x{% endfor %}", ""},
    /* functions of the core */
    {"{{ default(nothing, \"d\") }}", "d"}, {"{{ default(a.b.c, \"\") }}", "deep"}, {"{{ default(a.b.x.y, \"\") }}", ""}, {"{{ default(shout(nothing), \"d\") }}", "d"},
    {"{{ default(1 / 0, 2) }}", "fail division by zero"}, {"{{ exists(\"a.b\") }}", "true"}, {"{{ exists(\"a.z\") }}", "false"}, {"{{ existsIn(a, \"b\") }}", "true"},
    {"{{ existsIn(a, \"z\") }}", "false"}, {"{{ isNumber(n) }}{{ isNumber(name) }}", "truefalse"}, {"{{ isString(name) }}{{ isArray(list) }}{{ isObject(a) }}", "truetruetrue"},
    {"{{ isBoolean(yes) }}{{ isInteger(pi) }}{{ isFloat(pi) }}", "truefalsetrue"}, {"{{ length(name) }}{{ length(list) }}{{ length(a) }}", "331"}, {"{{ length(1) }}", "fail length() needs a text, a list or an object"},
    {"{{ upper(name) }}{{ lower(name) }}{{ capitalize(\"aNN\") }}", "ANNannAnn"}, {"{{ first(list) }}{{ last(list) }}", "32"}, {"{{ first([]) }}", "fail first() of an empty list"},
    {"{{ max(list) }}{{ min(list) }}", "31"}, {"{{ sort(list) }}", "[1,2,3]"}, {"{{ sort(words) }}", "[\"a\",\"b\"]"}, {"{{ sort([1, \"a\"]) }}", "fail only numbers, or texts, have an order"},
    {"{{ join(list, \"-\") }}", "3-1-2"}, {"{{ join([], \"-\") }}", ""}, {"{{ at(list, 1) }}{{ at(a, \"b\") }}", "1{\"c\":\"deep\"}"}, {"{{ at(list, 9) }}", "fail at() of what is not there"},
    {"{{ range(3) }}", "[0,1,2]"}, {"{{ round(3.14159, 2) }}", "3.14"}, {"{{ round(2.5) }}", "3"}, {"{{ int(\"42\") + 1 }}", "43"}, {"{{ float(\"2.5\") }}", "2.5"}, {"{{ int(name) }}", "fail int() of what is no number"},
    {"{{ even(2) }}{{ odd(2) }}{{ divisibleBy(9, 3) }}{{ divisibleBy(9, 0) }}", "truefalsetruefalse"}, {"{{ replace(\"a.b.c\", \".\", \"--\") }}", "a--b--c"}, {"{{ replace(\"abc\", \"\", \"x\") }}", "abc"},
    {"{{ base64_encode(\"hi\") }}", "aGk="}, {"{{ base64_decode(b64) }}", "hi"}, {"[{{ base64_decode(\"!\") }}]", "[]"}, {"{{ base64url_encode(\"~~?\") }}", "fn4_"}, {"{{ base64url_decode(\"fn4_\") }}", "~~?"},
    {"{{ substring(\"abcdef\", 2) }}", "cdef"}, {"{{ substring(\"abcdef\", 2, 2) }}", "cd"}, {"[{{ substring(\"abc\", 3) }}{{ substring(\"abc\", -1) }}]", "[]"}, {"{{ substring(\"abc\", 1, 0) }}{{ substring(\"abc\", 1, 99) }}", "bcbc"},
    {"{{ raw_string(quote) }}", "say \\\"hi\\\"\\n"}, {"{{ shout(name) }}", "Ann!"}, {"{{ shout(1) }}", "fail shout() needs a text"},
    /* faults, with their place */
    {"{{ name", "fault 1:8 }} is missing"}, {"{{ }}", "fault 1:4 expected an expression"}, {"a\n b {{ * }}", "fault 2:7 expected an expression, found \"*\""},
    {"{{ shuot(name) }}", "fault 1:9 unknown function \"shuot\" (did you mean shout?)"}, {"{{ env(\"PATH\") }}", "fault 1:7 env() is not served: the environment holds secrets"},
    {"{{ upper() }}", "fault 1:12 upper() takes 1 to 1 arguments, not 0"}, {"{% if yes %}", "fault 1:13 {% endif %} is missing"}, {"{% endif %}", "fault 1:4 unexpected \"endif\""},
    {"{% for x in list %}", "fault 1:20 {% endfor %} is missing"}, {"{% for 1 in list %}", "fault 1:8 expected a name without . and /, found \"1\""}, {"{% set a.b = 1 %}", "fault 1:8 expected a name without . and /, found \"a.b\""},
    {"{% include \"x\" %}", "fault 1:4 {% include %} is not served"}, {"## if x\n", "fault 1:1 line statements (##) are not served: write {% ... %}"}, {"{{ 'x' }}", "fault 1:4 texts stand in double quotes"},
    {"{{ \"x }}", "fault 1:4 a text without its closing \""}, {"{{ 1 2 }}", "fault 1:6 expected }}, found \"2\""}, {"{{ a == }}", "fault 1:9 expected an expression"}, {"{{ [1, 2 }}", "fault 1:10 expected ',', found \"}}\""},
    {"{# never", "fault 1:3 a comment without #}"}, {"{{ 1.2.3 }}", "fault 1:4 \"1.2.3\" is no number"}, {"{% if yes %}{% else %}{% else %}{% endif %}", "fault 1:26 {% endif %} is missing"},
    {"{{ n | 1 }}", "fault 1:8 expected the name of a function behind |"}, {"{{ {1: 2} }}", "fault 1:5 expected a name in double quotes"}, {"{% wat %}", "fault 1:4 unexpected \"wat\""},
};

static void what_is_written(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].text);
        T_TEXT(slice_str(render(rows[i].text)), rows[i].want);
        arena_reset(&arena);
    }
}

static void escaped(void)
{
    run.escape = true;
    T_TEXT(slice_str(render("{{ quote }}{{ n }}\"")), "say \\\"hi\\\"\\n3\"");
    T_TEXT(slice_str(render("{{ quote }}")), "say \\\"hi\\\"\\n");
    T_TEXT(slice_str(render("{{ raw_string(quote) }}")), "say \\\"hi\\\"\\n");
    run.escape = false;
    T_TEXT(slice_str(render("{{ quote }}")), "say \"hi\"\n");
}

static void random_is_the_same_within_a_run(void)
{
    struct slice s = slice_str(render("{{ replace_with_random(\"a?b?c\", \"?\") }} {{ replace_with_random(\"?\", \"?\") }} {{ replace_with_random(\"!\", \"!\") }}"));
    struct slice rest, first = slice_cut(s, ' ', &rest), second = slice_cut(rest, ' ', &rest);

    T_INT(second.n, 22);
    T_INT(first.n, 3 + 44);
    T(slice_eq(slice_sub(first, 1, 22), second) && slice_eq(slice_sub(first, 24, 22), second));
    T(rest.n == 22 && !slice_eq(rest, second));
}

static void what_it_needs(void)
{
    static const struct {
        const char *text;
        unsigned needs;
    } needs[] = {{"x", 0}, {"{{ name }}", 1}, {"{{ shout(\"x\") }}", 4}, {"{{ shout(name) }}", 5}, {"{% set a = 1 %}{{ a }}{{ a.b }}", 0},
                 {"{% for k, v in {} %}{{ k }}{{ v.x }}{{ loop.index }}{% endfor %}", 0}, {"{{ exists(\"a\") }}", 1}, {"{{ true }}", 0}};
    struct err e;
    const struct template *t;

    for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
        T_ROW("%s", needs[i].text);
        T(template_compile(&arena, slice_str(needs[i].text), &opts, &t, &e) == RC_OK);
        T_INT(template_needs(t), needs[i].needs);
    }
}

/* Each must end with a reason, soon, whatever it is. */
static void nothing_runs_away(void)
{
    static const char *const hostile[] = {
        "{% for a in range(60000) %}{% endfor %}", "{% for a in range(1000) %}{% for b in range(1000) %}{% endfor %}{% endfor %}",
        "{% set a = \"xxxxxxxx\" %}{% for i in range(40) %}{% set a = a + a %}{% endfor %}{{ a }}",
        "{% set a = [] %}{% for i in range(9000) %}{% set a = [a] %}{% endfor %}{{ a }}",
        "{% set a = [1,2,3,4,5,6,7,8] %}{% for i in range(40) %}{% set a = [a, a, a, a] %}{% endfor %}{{ a }}",
        "{% set a = [1,2,3,4,5,6,7,8] %}{% for i in range(15) %}{% set a = [a, a, a, a] %}{% endfor %}{{ a == a }}",
        "{% for i in range(9000) %}0123456789{% endfor %}", "{{ range(-1) }}", "{{ range(9999999999) }}",
        "{% set a = range(40000) %}{{ sort(a) }}", "{% for i in range(30000) %}{{ upper(name) }}{% endfor %}",
        "{% set a = range(5000) %}{% for i in a %}{{ i in a }}{% endfor %}", "{% set a = \"aaaaaaaaaaaaaaaa\" %}{% for i in range(30) %}{% set a = replace(a, \"a\", \"aaaa\") %}{% endfor %}",
    };
    char deep[4000];

    for (size_t i = 0; i < ARRAY_LEN(hostile); i++) {
        T_ROW("%s", hostile[i]);
        T(slice_starts(slice_str(render(hostile[i])), S("fail ")));
        arena_reset(&arena);
    }
    T_ROW("deep");
    memset(deep, '(', sizeof deep);
    memcpy(deep, "{{ ", 3);
    deep[sizeof deep - 1] = '\0';
    T(slice_starts(slice_str(render(deep)), S("fault ")));
    for (size_t i = 3; i + 1 < sizeof deep; i += 2)
        memcpy(deep + i, "1+", 2);
    T(slice_find(slice_str(render(deep)), S("deeper")) != SIZE_MAX);
    for (size_t i = 3; i + 1 < sizeof deep; i++)
        deep[i] = '-';
    T(slice_find(slice_str(render(deep)), S("deeper")) != SIZE_MAX);
}

static void core_functions_fit_the_engine(void)
{
    for (size_t i = 0; template_fn_at(i); i++) {
        T_ROW("%s", template_fn_at(i)->name);
        T(template_fn_at(i)->args_max <= 4 && template_fn_at(i)->doc[0]);
        T(i == 0 || strcmp(template_fn_at(i - 1)->name, template_fn_at(i)->name) < 0);
    }
}

int main(void)
{
    arena_init(&arena, 4096, 0);
    T_RUN(what_is_written);
    T_RUN(escaped);
    T_RUN(random_is_the_same_within_a_run);
    T_RUN(what_it_needs);
    T_RUN(nothing_runs_away);
    T_RUN(core_functions_fit_the_engine);
    arena_free(&arena);
    return t_done();
}
