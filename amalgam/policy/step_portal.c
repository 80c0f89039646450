/*
 * step_portal.c - portalAuth: Gloo's step that asks the portal about an API key. Here the portal and the check
 * are one program, so the step is apiKeyAuth on the header that it names: same keys, same answers.
 *
 * Compiles to a step of step_key.c by handing it `headerName`. What says where the portal is, and how long
 * its answers may be kept, is read and ignored with a notice. Tested by tests/unit/policy/test_callout.c;
 * manual: docs/policies.md.
 */
#include "policy/inside.h"

struct step_portal_doc {
    struct slice header;
};
/* clang-format off */
#define HERE(name) {name, FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "read and ignored: Postern is the portal, its own keys answer at once"}
static const struct field_row step_portal_rows[] = {
    {"apiKeyHeader", FIELD_STR, offsetof(struct step_portal_doc, header), 0, 0, 0, NULL, NULL, "header with the key"},
    HERE("url"), HERE("redisOptions"), HERE("cacheDuration"), HERE("requestTimeout"),
};
#undef HERE
/* clang-format on */
static const struct field_table step_portal_table = {sizeof(struct step_portal_doc), step_portal_rows,
                                                     ARRAY_LEN(step_portal_rows)};

const struct field_table *step_portal_fields(void)
{
    return &step_portal_table;
}

bool step_portal_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         struct step *out)
{
    const struct step_portal_doc *d = doc;
    struct arena *a = &l->set->arena;
    struct yaml *value = ARENA_NEW(a, struct yaml), *map = ARENA_NEW(a, struct yaml);
    void *key = arena_zalloc(a, step_key_fields()->size);

    if (d->header.n == 0) {
        fault_add(in, true, y, NULL, "portalAuth without apiKeyHeader (access tokens) is not served: use "
                  "accessTokenValidation; the routes are denied");
        out->denies = true;
        return true;
    }
    *value = (struct yaml){.kind = YAML_SCALAR, .quoted = true, .line = y->line, .col = y->col, .text = d->header};
    *map = (struct yaml){.kind = YAML_MAP, .line = y->line, .col = y->col, .n = 1};
    map->pairs = ARENA_NEW(a, struct yaml_pair);
    *map->pairs = (struct yaml_pair){S("headerName"), y->line, y->col, value};
    return field_decode(in, step_key_fields(), map, NULL, key) && step_key_compile(l, in, key, y, out);
}
