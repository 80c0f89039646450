/*
 * test_docs.c - the manual's page of policies and the pages of the steps name every kind, field, step and action
 * that is read, and the complete example loads. The pages are taken from inside the binary.
 */
#include "p.h"

#include "base/asset.h"
#include "policy/step_pass.h"
#include "policy/transform.h"
#include "wire/gzip.h"

#include <stdio.h>

static struct buf page;

static bool named(const char *word)
{
    char quoted[100];
    snprintf(quoted, sizeof quoted, "%s`", word); /* `a.b.word` or `word` or `word[]` */
    if (slice_find(buf_all(&page), slice_str(quoted)) != SIZE_MAX)
        return true;
    snprintf(quoted, sizeof quoted, "%s[]`", word);
    if (slice_find(buf_all(&page), slice_str(quoted)) != SIZE_MAX)
        return true;
    snprintf(quoted, sizeof quoted, "%s.<name>`", word);
    return slice_find(buf_all(&page), slice_str(quoted)) != SIZE_MAX;
}

static void fields_named(const char *where, const struct field_table *t, int depth)
{
    for (size_t i = 0; i < t->n && depth < 8; i++) {
        const struct field_row *r = &t->rows[i];
        if (!r->name || r->type == FIELD_QUIET || !strcmp(r->name, "metadata") || !strcmp(r->name, "spec")) {
            if (r->name && !strcmp(r->name, "spec"))
                fields_named(where, r->sub, depth + 1);
            continue;
        }
        T_ROW("%s %s", where, r->name);
        T(named(r->name));
        T(r->doc != NULL && r->doc[0] != '\0');
        if (r->sub && r->sub != t)
            fields_named(where, r->sub, depth + 1);
    }
}

static void every_kind(void)
{
    for (size_t i = 0; kind_at(i); i++) {
        T_ROW("%s", kind_at(i)->kind);
        T(slice_find(buf_all(&page), slice_str(kind_at(i)->kind)) != SIZE_MAX);
        if (kind_at(i)->table && !kind_at(i)->said)
            fields_named(kind_at(i)->kind, kind_at(i)->table, 0);
    }
    fields_named("domain", kind_domain_table(), 0);
}

static void every_step_and_action(void)
{
    for (size_t i = 0; step_at(i); i++) {
        T_ROW("%s", step_at(i)->name);
        T(slice_find(buf_all(&page), slice_str(step_at(i)->name)) != SIZE_MAX);
        if (step_at(i)->fields)
            fields_named(step_at(i)->name, step_at(i)->fields(), 0);
    }
    for (size_t i = 0; step_oauth2_at(i); i++)
        if (step_oauth2_at(i)->fields)
            fields_named(step_oauth2_at(i)->name, step_oauth2_at(i)->fields(), 0);
    for (size_t i = 0; action_at(i); i++) {
        T_ROW("%s", action_at(i)->name);
        T(named(action_at(i)->name));
        if (action_at(i)->fields)
            fields_named(action_at(i)->name, action_at(i)->fields, 0);
    }
}

static void transformations(void)
{
    const struct template_opts *o = transform_fns();

    fields_named("TransformationPolicy", transform_fields(), 0);
    fields_named("passThroughAuth.grpc", pass_grpc_fields(), 0);
    for (size_t i = 0; template_fn_at(i); i++) {
        T_ROW("%s()", template_fn_at(i)->name);
        T(named(template_fn_at(i)->name));
    }
    for (size_t i = 0; i < o->fns_n; i++) {
        T_ROW("%s()", o->fns[i].name);
        T(named(o->fns[i].name));
    }
}

static void the_example_loads(void)
{
    struct slice all = buf_all(&page), text;
    size_t at = slice_find(all, S("## A complete example"));
    T(at != SIZE_MAX);
    all = slice_from(all, at);
    all = slice_from(all, slice_find(all, S("```yaml\n")) + 8);
    text = slice_sub(all, 0, slice_find(all, S("```")));
    T(p_use(arena_cstr(&p.arena, text)));
    T_INT(p.faults.n, 0);
    T(p_ask("GET", "shop.example.com", "/health", NULL).allowed);
    T_TEXT(p_ask("GET", "shop.example.com", "/v1/x", NULL).reason, "key_missing");
}

/* policies.md and behind it the steps' pages */
static bool read_pages(void)
{
    const struct asset *as = asset_find(S("docs/policies.md"));

    if (!as)
        return false;
    buf_init(&page, 1 << 20);
    MUST(gzip_inflate(slice_of((const char *)as->gz, as->gz_len), &page, NULL) == RC_OK);
    for (size_t i = 0; (as = asset_at(i)); i++)
        if (slice_starts(slice_str(as->path), S("docs/step-")))
            MUST(gzip_inflate(slice_of((const char *)as->gz, as->gz_len), &page, NULL) == RC_OK);
    return true;
}

int main(void)
{
    if (!read_pages()) {
        t_skip("docs", "docs/policies.md is not inside this build");
        return t_done();
    }
    p_init();
    T_RUN(every_kind);
    T_RUN(every_step_and_action);
    T_RUN(transformations);
    T_RUN(the_example_loads);
    buf_free(&page);
    p_done();
    return t_done();
}
