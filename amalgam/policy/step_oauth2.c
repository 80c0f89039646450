/*
 * step_oauth2.c - oauth2: which of its kinds it is. Each kind is a row as in steps.c; the step becomes it.
 *
 * Kinds that are not served deny their routes, as steps do. Tested by tests/unit/policy/test_oidc_conf.c,
 * test_jwt_steps.c and, for the manual, by test_docs.c.
 */
#include "policy/step_oidc.h"

struct step_oauth2_doc {
    const struct yaml *kinds[4];
};

static const struct step_row step_oauth2_rows[] = {
    {"oidcAuthorizationCode", step_oidc_fields, step_oidc_compile, step_oidc_run,
     "people sign in at an OpenID provider"},
    {"oauth2", step_oidc_plain_fields, step_oidc_plain_compile, step_oidc_run,
     "people sign in at an OAuth 2.0 server that is no OpenID provider"},
    {"accessTokenValidation", step_token_fields, step_token_compile, step_token_run,
     "a bearer token, checked by keys or by its issuer"},
};

const struct step_row *step_oauth2_at(size_t i)
{
    return i < ARRAY_LEN(step_oauth2_rows) ? &step_oauth2_rows[i] : NULL;
}

#define KIND(i, name) \
    {name, FIELD_NODE, offsetof(struct step_oauth2_doc, kinds[i]), 0, 0, 0, NULL, NULL, "one of the kinds"}
static const struct field_row step_oauth2_fields_rows[] = {
    KIND(0, "oidcAuthorizationCode"), KIND(1, "oauth2"), KIND(2, "accessTokenValidation"),
};
static const struct field_table step_oauth2_table = {sizeof(struct step_oauth2_doc), step_oauth2_fields_rows,
                                                     ARRAY_LEN(step_oauth2_fields_rows)};

const struct field_table *step_oauth2_fields(void)
{
    return &step_oauth2_table;
}

bool step_oauth2_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         struct step *out)
{
    const struct step_oauth2_doc *d = doc;
    const struct yaml *node = NULL;
    const struct step_row *row = NULL;
    struct field_path p = {NULL, S("oauth2"), 0}, kind;

    for (size_t i = 0; i < ARRAY_LEN(step_oauth2_rows); i++) {
        if (d->kinds[i] && node) {
            fault_add(in, false, y, NULL, "one kind of oauth2 per step");
            return false;
        }
        if (d->kinds[i]) {
            node = d->kinds[i];
            row = &step_oauth2_rows[i];
        }
    }
    if (!row) {
        fault_add(in, false, y, NULL, "expected oidcAuthorizationCode, oauth2 or accessTokenValidation");
        return false;
    }
    kind = (struct field_path){&p, slice_str(row->name), 0};
    if (!row->fields) {
        fault_add(in, true, node, &kind, "%s is %s; the routes are denied", row->name, row->said);
        out->denies = true;
        return true;
    }
    doc = arena_zalloc(in->arena, row->fields()->size);
    if (!field_decode(in, row->fields(), node, &kind, doc))
        return false;
    out->row = row;
    return row->compile(l, in, doc, node, out);
}

#undef KIND
