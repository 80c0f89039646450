/*
 * steps.c - the table of ext-auth steps.
 *
 * A step is a row: its name in YAML, its fields, how it is compiled, how it runs. Steps that Gloo has
 * and Postern does not serve yet are rows without fields: a policy that names one denies its routes.
 * Constant data. Tested by test_decide.c and, for the manual, by test_docs.c.
 */
#include "policy/inside.h"

#define LATER(name, said) {name, NULL, NULL, NULL, said}
static const struct step_row steps_rows[] = {
    {"apiKeyAuth", step_key_fields, step_key_compile, step_key_run,
     "an API key of the portal, the store or a Secret"},
    {"luaAuth", step_lua_fields, step_lua_compile, step_lua_run, "a rule in Lua (Postern's own)"},
    {"basicAuth", step_basic_fields, step_basic_compile, step_basic_run,
     "user name and password, against hashes in the policy"},
    {"hmacAuth", step_hmac_fields, step_hmac_compile, step_hmac_run,
     "a signature over headers with a shared secret, as Kong's hmac-auth"},
    {"oauth2", step_oauth2_fields, step_oauth2_compile, NULL, "OpenID Connect, OAuth 2.0, access tokens: one of its kinds"},
    {"jwt", step_jwt_fields, step_jwt_compile, step_jwt_run, "a token that was verified before"},
    LATER("oauth", "not served: use apiKeyAuth or luaAuth"),
    {"ldap", step_ldap_fields, step_ldap_compile, step_ldap_run,
     "user name and password, checked by a directory, and its groups"},
    LATER("opaAuth", "not served, Postern runs no Rego: say the same by luaAuth (docs/lua.md; claim_suffix is the "
          "workshop's rule), or let an OPA beside Postern run it by opaServerAuth"),
    {"opaServerAuth", step_opa_fields, step_opa_compile, step_opa_run, "a rule of an Open Policy Agent beside Postern"},
    {"passThroughAuth", step_pass_fields, step_pass_compile, step_pass_run, "another server of yours, asked by HTTP or gRPC"},
    {"portalAuth", step_portal_fields, step_portal_compile, step_key_run, "an API key of the portal, in Gloo's newer form"},
    LATER("pluginAuth", "not served, Postern loads no foreign code: write the rule as luaAuth, or ask a server of yours "
          "by passThroughAuth"),
};

const struct step_row *step_at(size_t i)
{
    return i < ARRAY_LEN(steps_rows) ? &steps_rows[i] : NULL;
}

#undef LATER
