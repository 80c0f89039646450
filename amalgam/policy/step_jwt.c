/*
 * step_jwt.c - jwt: {}: true when a token was verified before, by a JWTPolicy here or by Envoy's JWT filter.
 *
 * For booleanExpr: "a token or an API key". It needs the JWTPolicy to let failures pass
 * (ALLOW_MISSING_OR_FAILED), or nobody without a token comes this far. Envoy says what its filter verified
 * in the metadata of its gRPC check; a trusted gateway's word, like all that it says.
 * No state. Tested by tests/unit/policy/test_jwt_policy.c.
 */
#include "policy/inside.h"

const struct field_table *step_jwt_fields(void)
{
    static const struct field_table table = {1, NULL, 0};
    return &table;
}

bool step_jwt_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                      struct step *out)
{
    (void)l;
    (void)in;
    (void)doc;
    (void)y;
    (void)out;
    return true;
}

/* The filter may write its failure there as well: {code, message} is no payload. */
static bool step_jwt_vouched(const struct json *all)
{
    for (uint32_t i = 0; all && all->kind == JSON_OBJ && i < all->n; i++) {
        const struct json *one = &all->members[i].value;
        if (one->kind == JSON_OBJ && one->n > 0 &&
            !(json_get(one, S("code")) && json_get(one, S("message"))))
            return true;
    }
    return false;
}

enum step_said step_jwt_run(struct decision *d, const struct step *s)
{
    if (step_jwt_vouched(decision_state_get(d, S("jwt_authn"))) ||
        step_jwt_vouched(json_get(d->ask->metadata, S("envoy.filters.http.jwt_authn"))))
        return STEP_PASS;
    decision_deny(d, 403, S("jwt_not_verified"), S("no JWT policy verified a token before"), s->rule);
    return STEP_DENY;
}
