/*
 * fuzz_template.c - any bytes as a template, behind a line of JSON to look things up in: compiling and
 * rendering end, within their budgets, in a text or in a reason.
 *
 * Seeds: tests/fuzz/seeds/fuzz_template.
 */
#include "policy/transform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool fuzz_template_fn(struct template_run *r, const struct json *a, size_t n, struct json *out)
{
    (void)n;
    return template_charge(r, 1) && template_text(r, a, &out->s) && (out->kind = JSON_STR) == JSON_STR;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct template_fn fns[] = {{"header", 1, 1, fuzz_template_fn, 2, NULL, "x"}, {"env", 1, 1, NULL, 0, "secret", "x"}};
    static const struct template_opts opts = {fns, ARRAY_LEN(fns)};
    struct slice text, json = slice_cut(slice_of((const char *)data, size), '\n', &text);
    struct template_run r = {.output_max_bytes = 4096, .escape = size & 1};
    const struct template *t;
    struct json *root = NULL;
    struct arena a;
    struct slice out;
    struct err e = {0};

    arena_init(&a, 4096, 0);
    r.arena = &a;
    if (json_parse(&a, json, size + 1, &root, &e) == RC_OK)
        r.root = root;
    if (template_compile(&a, text, &opts, &t, &e) != RC_OK) {
        MUST(e.text[0] && t == NULL);
    } else {
        template_start(&r);
        for (int i = 0; i < 2; i++) {
            enum rc rc = template_render(t, &r, &out);
            MUST(rc == RC_OK ? out.n <= 4096 : r.why[0] && out.n == 0);
        }
        /* what says that it needs no names must not fail for one */
        if (!(template_needs(t) & TEMPLATE_NEEDS_NAMES) && r.root == NULL)
            MUST(!r.missing || r.rc != RC_OK);
    }
    arena_free(&a);
    return 0;
}
