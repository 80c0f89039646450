/*
 * test_shadow.c - `shadow: true` on a policy of each kind: what it refuses without passes with it, and is
 * counted, told in the trace and kept with the explained decision.
 */
#include "p.h"

#include "../wire/jwt_vectors.h"
#include "base/metric.h"

#include <stdio.h>

#define EXT_AUTH "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: p}\nspec:\n  config:\n    shadow: %s\n"
#define STEP(step) "    glooAuth: {configs: [{" step "}]}\n"
#define RATE(kind) "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: " kind "\nmetadata: {name: p}\nspec:\n"
#define SERVER "---\napiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerConfig\nmetadata: {name: s}\nspec: {raw: {descriptors: [{key: generic_key, value: x, rateLimit: {unit: DAY, requestsPerUnit: 0}}]}}\n" \
    "---\napiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\nmetadata: {name: c}\nspec: {raw: {rateLimits: [{actions: [{genericKey: {descriptorValue: x}}]}]}}\n"

static const struct row {
    const char *name, *text, *step, *reason; /* %s: true or false */
} rows[] = {
    {"ExtAuthPolicy, denied", EXT_AUTH "    glooAuth: {configs: [{apiKeyAuth: {headersFromMetadataEntry: {x-u: {name: username}}}}]}\n", "extAuth", "key_missing"},
    {"basicAuth", EXT_AUTH STEP("basicAuth: {apr: {users: {ann: {salt: TYiryv0/, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}"), "extAuth", "credentials_missing"},
    {"hmacAuth", EXT_AUTH STEP("hmacAuth: {secretRefs: {secretRefs: [{name: s}]}, parametersInHeaders: {}}") "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {username: a, password: b}\n", "extAuth", "credentials_missing"},
    {"ldap", EXT_AUTH STEP("ldap: {address: '127.0.0.1:1', userDnTemplate: 'uid=%%s', disableGroupChecking: true}"), "extAuth", "credentials_missing"},
    {"portalAuth", EXT_AUTH STEP("portalAuth: {apiKeyHeader: api-key}"), "extAuth", "key_missing"},
    {"jwt", EXT_AUTH STEP("jwt: {}"), "extAuth", "jwt_not_verified"},
    {"accessTokenValidation", EXT_AUTH STEP("oauth2: {accessTokenValidation: {jwt: {localJwks: {inlineString: 'JWKS'}}}}"), "extAuth", "token_missing"},
    {"passThroughAuth, http", EXT_AUTH STEP("passThroughAuth: {http: {url: 'http://127.0.0.1:1/'}}"), "extAuth", "no_outbound"},
    {"passThroughAuth, grpc", EXT_AUTH STEP("passThroughAuth: {grpc: {address: '127.0.0.1:1'}}"), "extAuth", "no_outbound"},
    {"opaServerAuth", EXT_AUTH STEP("opaServerAuth: {package: a, ruleName: allow, serverAddr: '127.0.0.1:1'}"), "extAuth", "no_outbound"},
    {"TransformationPolicy, refused", RATE("TransformationPolicy") "  config:\n    shadow: %s\n    request: {injaTemplate: {headers: {x-a: {text: '{{ nothing.at.all }}'}}}}\n", "transformation", "transformation_failed"},
    {"ExtAuthPolicy, expression", EXT_AUTH "    glooAuth: {booleanExpr: 'a && !a', configs: [{name: a, luaAuth: {inline: 'return function() end'}}]}\n", "extAuth", "expression_false"},
    {"ExtAuthPolicy, trouble", EXT_AUTH "    glooAuth: {configs: [{luaAuth: {inline: 'return function() error(1) end'}}]}\n", "extAuth", "lua_trouble"},
    {"ExtAuthPolicy, not served", EXT_AUTH "    glooAuth: {configs: [{opaAuth: {modules: [], query: x}}]}\n", "extAuth", "not_served"},
    {"AuthConfig", "apiVersion: enterprise.gloo.solo.io/v1\nkind: AuthConfig\nmetadata: {name: p}\nspec: {shadow: %s, configs: [{apiKeyAuth: {}}]}\n", "extAuth", "key_missing"},
    {"JWTPolicy", "apiVersion: security.policy.gloo.solo.io/v2\nkind: JWTPolicy\nmetadata: {name: p}\nspec:\n  config:\n    shadow: %s\n    providers: {idp: {issuer: 'https://idp.example', local: {inline: 'JWKS'}}}\n", "jwtPolicy", "token_missing"},
    {"RateLimitPolicy", RATE("RateLimitPolicy") "  config: {shadow: %s, ratelimitServerConfig: {name: s}, ratelimitClientConfig: {name: c}}\n" SERVER, "rateLimit", "limited"},
    {"RateLimitConfig", "apiVersion: ratelimit.solo.io/v1alpha1\nkind: RateLimitConfig\nmetadata: {name: p}\nspec: {shadow: %s, raw: {descriptors: [{key: generic_key, value: x, rateLimit: {unit: DAY, requestsPerUnit: 0}}], rateLimits: [{actions: [{genericKey: {descriptorValue: x}}]}]}}\n", "rateLimit", "limited"},
    {"TransformationPolicy", RATE("TransformationPolicy") "  config:\n    shadow: %s\n    request: {injaTemplate: {headers: {x-a: {text: '{{ nothing }}'}}}}\n", "transformation", ""},
};

static bool use(const struct row *r, const char *shadow)
{
    static char text[20000], all[30000];
    const char *jwks;
    static const char route[] = "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec: {hosts: ['*'], http: [{name: all}]}\n";
    snprintf(text, sizeof text, r->text, shadow);
    strcat(text, route);
    jwks = strstr(text, "JWKS");
    if (jwks)
        snprintf(all, sizeof all, "%.*s%s%s", (int)(jwks - text), text, vec_jwks, jwks + 4);
    return p_use(jwks ? all : text);
}

static bool written(const char *line)
{
    struct buf out;
    buf_init(&out, 0);
    metric_write(&out);
    bool there = slice_find(buf_all(&out), slice_str(line)) != SIZE_MAX;
    buf_free(&out);
    return there;
}

static void each_kind(void)
{
    int refused = 0;
    char line[100];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct policy_verdict v;
        T_ROW("%s", r->name);
        if (!use(r, "false")) {
            T(false);
            continue;
        }
        v = p_ask("GET", "h", "/", NULL);
        if (!r->reason[0]) /* changes things, and refuses nothing here */
            continue;
        T(!v.allowed);
        T_TEXT(v.reason, r->reason);
        T(use(r, "true"));
        v = p_ask("GET", "h", "/", NULL);
        T(v.allowed);
        T_INT(v.status, 200);
        T_TEXT(v.reason, "ok");
        T_INT(v.client_n, 0);
        T_INT(v.body.n, 0);
        bool told = false;
        for (size_t k = 0; k < v.trace_n; k++)
            if (slice_eq(v.trace[k].said, S("shadow"))) {
                told = true;
                T_TEXT(v.trace[k].step, r->step);
                T_TEXT(v.trace[k].policy, "default.p");
                T(v.trace[k].rule.n > 0);
                T_TEXT(v.trace[k].detail, arena_fmt(&p.arena, "would refuse: %s", r->reason).p);
            }
        T(told);
        snprintf(line, sizeof line, "\npostern_shadow_denials_total{policy=\"default.p\"} %d\n", ++refused);
        T(written(line));
    }
}

/* One that would not refuse counts nothing. */
static void a_pass_is_no_denial(void)
{
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: calm}\nspec: {config: {shadow: true, glooAuth: {configs: [{luaAuth: {inline: 'return function() end'}}]}}}\n"));
    struct policy_verdict v = p_ask("GET", "h", "/", NULL);
    T(v.allowed);
    for (size_t i = 0; i < v.trace_n; i++)
        T(!slice_eq(v.trace[i].said, S("shadow")));
    T(!written("default.calm"));
}

/* What the shadow's steps did before it would have refused is undone; what stands behind it decides. */
static void nothing_stays(void)
{
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: a}\nspec: {config: {shadow: true, glooAuth: {configs: [\n"
               "  {luaAuth: {headers: [x-a], inline: 'return function() return {allow = true, headers = {[\"x-a\"] = \"1\"}, state = {s = 1}} end'}},\n"
               "  {luaAuth: {inline: 'return function() return false end'}}]}}}\n"
               "---\napiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: b}\nspec: {config: {glooAuth: {configs: [\n"
               "  {luaAuth: {inline: 'return function(req) return req.state.s == nil and {allow = false, status = 402, reason = \"second\"} end'}}]}}}\n"));
    struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS("x-a: forged"));
    T_INT(v.status, 402);
    T_TEXT(v.reason, "second");
}

/* Nor does what passed: no header is set, the client's stay, the credential too; nobody is known. */
static void nothing_stays_of_a_pass(void)
{
    char head[200];
    struct policy_verdict v;

    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: a}\nspec: {config: {shadow: true, glooAuth: {configs: [\n"
               "  {apiKeyAuth: {headersFromMetadataEntry: {x-user: {name: username}}}}]}}}\n"
               "---\napiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: b}\nspec: {config: {glooAuth: {configs: [\n"
               "  {luaAuth: {inline: 'return function(req) return req.identity == nil end'}}]}}}\n"));
    snprintf(head, sizeof head, "api-key: %s", p_key((const char *const[]){"username", "ann", "usagePlan", "gold", NULL}));
    v = p_ask("GET", "h", "/", P_HEADERS(head, "x-user: mine"));
    T(v.allowed);
    T_INT(v.upstream_n, 0);
    T_INT(v.remove_n, 0);
    T_INT(v.user.n, 0);
    T_INT(v.plan.n, 0);
}

/* What stood under a `!` or failed leaves no identity. */
static void nobody_of_a_step_that_does_not_count(void)
{
    char head[200];
    struct policy_verdict v;

    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: a}\nspec: {config: {glooAuth: {booleanExpr: '!key || any', configs: [\n"
               "  {name: key, apiKeyAuth: {}}, {name: any, luaAuth: {inline: 'return function(req) return req.identity == nil end'}}]}}}\n"));
    snprintf(head, sizeof head, "api-key: %s", p_key((const char *const[]){"username", "ann", NULL}));
    v = p_ask("GET", "h", "/", P_HEADERS(head));
    T(v.allowed);
    T_INT(v.user.n, 0);
}

/* The store is full of names of policies: the rest is counted together. */
static void many_policies(void)
{
    char text[600];
    for (int i = 0; i < 70; i++) {
        snprintf(text, sizeof text, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: many%d}\nspec: {config: {shadow: true, glooAuth: {configs: [{apiKeyAuth: {}}]}}}\n", i);
        MUST(p_use(text));
        T(p_ask("GET", "h", "/", NULL).allowed);
    }
    T(written("postern_shadow_denials_total{policy=\"other\"} "));
}

int main(void)
{
    p_init();
    T_RUN(each_kind);
    T_RUN(a_pass_is_no_denial);
    T_RUN(nothing_stays);
    T_RUN(nothing_stays_of_a_pass);
    T_RUN(nobody_of_a_step_that_does_not_count);
    T_RUN(many_policies);
    p_done();
    return t_done();
}
