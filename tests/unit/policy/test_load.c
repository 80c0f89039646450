/*
 * test_load.c - documents are recognised and decoded; every fault has its place, all are found.
 */
#include "p.h"

static const char route_head[] = "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\n"
                                 "metadata:\n  name: r\nspec:\n";

static bool loads(const char *text)
{
    const char *files[] = {"a.yaml", text, NULL};
    struct policy_set *s = p_load_files(files);
    policy_set_drop(s);
    return s != NULL;
}

static void empty_set_loads(void)
{
    const char *files[] = {NULL};
    struct policy_set *s = p_load_files(files);
    struct policy_counts c;
    T(s != NULL);
    policy_count(s, &c);
    T_INT(c.files, 0);
    T_INT(c.routes, 1);
    policy_set_drop(s);
}

static void route_table_loads(void)
{
    T(loads("apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\n"
            "spec:\n  hosts: [a.example.com, '*.b.example.com', '*']\n  http:\n"
            "  - name: x\n    labels: {a: b}\n    matchers:\n    - uri: {exact: /get}\n"
            "      method: GET\n      headers: [{name: x, value: 'a.*', regex: true}]\n"
            "      query_parameters: [{name: q}]\n"));
    T_INT(p.faults.n, 0);
}

static void snake_case_is_the_same(void)
{
    T(loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: a}\n"
            "spec:\n  apply_to_routes: [{route: {labels: {a: b}}}]\n  config:\n    gloo_auth:\n"
            "      configs:\n      - api_key_auth:\n          header_name: x-key\n"
            "          headers_from_metadata_entry: {X-User: {name: username}}\n"));
}

static void both_spellings_are_double(void)
{
    T(!loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: a}\n"
             "spec:\n  config:\n    glooAuth:\n      configs:\n      - apiKeyAuth:\n"
             "          headerName: x\n          header_name: y\n"));
    T(p_fault("apiKeyAuth.header_name", "given twice"));
}

static void unknown_field_names_the_nearest(void)
{
    T(!loads("apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
             "  hosts: ['*']\n  htpp:\n  - name: x\n"));
    const struct policy_fault *f = p_fault("spec.htpp", "did you mean http?");
    T(f != NULL);
    if (f) {
        T_INT(f->line, 6);
        T_INT(f->col, 3);
        T_TEXT(f->file, "a.yaml");
        T(!f->notice);
    }
}

struct fault_case {
    const char *text, *path, *says;
    int line;
};

static void faults_have_places(void)
{
    static const struct fault_case cases[] = {
        {"kind: RouteTabel\napiVersion: networking.gloo.solo.io/v2\n", "kind", "did you mean RouteTable", 1},
        {"kind: RouteTable\napiVersion: routes.example.com/v1\n", "apiVersion", "networking.gloo.solo.io", 2},
        {"kind: RouteTable\napiVersion: networking.gloo.solo.io/v2\nspec: {}\n", "metadata", "required", 1},
        {"foo: bar\n", "", "not recognised", 1},
        {"- 1\n- 2\n", "", "expected a resource", 1},
        {"swagger: '2.0'\n", "", "Swagger 2", 1},
        {"openapi: 3.0.0\ninfo: {title: x}\n", "info", "title and version", 2},
        {"openapi: 3.0.0\ninfo: [1]\n", "info", "expected a map, found a list", 2},
        {"openapi: 2.9\ninfo: {title: x, version: y}\n", "openapi", "3.x", 1},
        {"domain: d\ndescriptors:\n- key: a\n  rate_limit: {unit: fortnight, requests_per_unit: 1}\n",
         "descriptors[0].rate_limit.unit", "expected one of", 4},
        {"domain: d\ndescriptors:\n- key: a\n  rate_limit: {unit: day, requests_per_unit: -1}\n",
         "requests_per_unit", "from 0 to 4294967295", 4},
        {"domain: d\ndescriptors:\n- key: a\n- key: a\n", "", "is there already, at line 3", 4},
        {"domain: d\ndescriptors:\n- value: a\n", "descriptors[0].key", "required", 3},
        {"domain: d\ndescriptors: {}\n", "descriptors", "expected a list, found a map", 2},
        {"domain: d\n---\ndomain: d\n", "domain", "already defined in a.yaml", 3},
        {"domain: d\ndescriptors:\n- key: a\n  rate_limit: {unit: day, requests_per_unit: 1, algorithm: gcra}\n",
         "", "gcra is not served yet: served is fixed", 4},
        {"a: [\n", "", "", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        T_ROW("case %zu", i);
        T(!loads(cases[i].text));
        const struct policy_fault *f = p_fault(cases[i].path, cases[i].says);
        T(f != NULL);
        if (f)
            T_INT(f->line, cases[i].line);
        else if (p.faults.n)
            printf("# has %.*s: %.*s\n", SFMT(p.faults.rows[0].path), SFMT(p.faults.rows[0].text));
    }
}

static void all_faults_of_all_files(void)
{
    const char *files[] = {"a.yaml", "kind: [\n", "b.yaml", "kind: Nope\n---\nfoo: 1\n", "c.yaml",
                           "domain: d\nbar: 1\nbaz: 2\n", NULL};
    T(p_load_files(files) == NULL);
    T_INT(p.faults.errors, 5);
    T(p_fault("bar", "unknown field") && p_fault("baz", "unknown field"));
}

static void doubled_resources_name_both_places(void)
{
    static char doc[400];
    const char *files[] = {"a.yaml", doc, "b.yaml", doc, NULL};
    snprintf(doc, sizeof doc, "%s  hosts: ['*']\n", route_head);
    T(p_load_files(files) == NULL);
    const struct policy_fault *f = p_fault("metadata.name", "RouteTable default.r is already defined at a.yaml:1");
    T(f != NULL);
    if (f)
        T_TEXT(f->file, "b.yaml");
}

static void forwarding_is_a_notice(void)
{
    static const char text[] = "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\n"
                               "metadata: {name: r}\nspec:\n  hosts: ['*']\n  http:\n  - name: x\n"
                               "    forwardTo: {destinations: []}\n";
    T(loads(text));
    T_INT(p.faults.n, 1);
    T(p.faults.rows[0].notice);
    T_TEXT(p.faults.rows[0].path, "spec.http[0].forwardTo");
    p.strict = true;
    T(!loads(text));
    p.strict = false;
}

static void other_kinds_are_notices(void)
{
    T(loads("apiVersion: admin.gloo.solo.io/v2\nkind: ExtAuthServer\nmetadata: {name: x}\nspec: {a: 1}\n"));
    T(p_fault("kind", "read and ignored"));
    T(loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: WAFPolicy\nmetadata: {name: x}\n"
            "spec: {applyToRoutes: [{route: {labels: {waf: 'true'}}}], config: {disableCoreRuleSet: true}}\n"));
    T(p_fault("kind", "not served yet and ignored"));
}

static void lists_are_unpacked(void)
{
    T(loads("apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.gloo.solo.io/v2\n"
            "  kind: RouteTable\n  metadata: {name: r, annotations: {a: b}, uid: x}\n"
            "  spec: {hosts: ['*']}\n"));
}

static void secrets_need_their_parts(void)
{
    T(loads("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: extauth.solo.io/apikey\n"
            "data: {plan: Z29sZA==}\n"));
    T(p_fault("", "has no api-key and is skipped"));
    T(!loads("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: extauth.solo.io/apikey\n"
             "data: {api-key: '***'}\n"));
    T(p_fault("data.api-key", "expected base64"));
    for (size_t i = 0; i < p.faults.n; i++)
        T(slice_find(p.faults.rows[i].text, S("***")) == SIZE_MAX);
    T(!loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: a}\n"
             "spec:\n  config:\n    glooAuth:\n      configs:\n      - apiKeyAuth:\n"
             "          k8sSecretApikeyStorage: {apiKeySecretRefs: [{name: gone}]}\n"));
    T(p_fault("", "no Secret gone"));
}

static void references_must_be_there(void)
{
    T(!loads("apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\n"
             "metadata: {name: p, namespace: n}\nspec:\n  config:\n"
             "    ratelimitServerConfig: {name: s}\n    ratelimitClientConfig: {name: c, namespace: m}\n"));
    T(p_fault("spec.config.ratelimitServerConfig", "RateLimitServerConfig n.s is not there"));
    T(p_fault("spec.config.ratelimitClientConfig", "RateLimitClientConfig m.c is not there"));
}

static void labels_that_no_route_has(void)
{
    T(loads("apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\n"
            "spec: {hosts: ['*'], http: [{labels: {a: b}}]}\n---\n"
            "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: x}\n"
            "spec: {applyToRoutes: [{route: {labels: {a: c}}}], config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}}\n"));
    T(p_fault("", "applies to no route: none has label a: c"));
}

static void steps_and_actions_by_name(void)
{
    T(!loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: x}\n"
             "spec: {config: {glooAuth: {configs: [{apiKeyAuht: {}}, {apiKeyAuth: {}, luaAuth: {}}, 5]}}}\n"));
    T(p_fault("spec.config.glooAuth.configs[0]", "did you mean apiKeyAuth?"));
    T(p_fault("spec.config.glooAuth.configs[1]", "one step per item"));
    T(p_fault("spec.config.glooAuth.configs[2]", "expected a step"));
    T(!loads("apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\n"
             "metadata: {name: c}\nspec: {raw: {rateLimits: [{actions: [{requestHeader: {}}]}, {}]}}\n"));
    T(p_fault("", "did you mean requestHeaders?"));
    T(p_fault("", "expected one of actions and setActions"));
}

static void lua_faults_have_lines(void)
{
    T(!loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: x}\n"
             "spec:\n  config:\n    glooAuth:\n      configs:\n      - luaAuth:\n          inline: |\n"
             "            return function(req)\n              if then\n            end\n"));
    const struct policy_fault *f = p_fault("", "Lua:");
    T(f != NULL);
    if (f)
        T_INT(f->line, 11);
    T(!loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: x}\n"
             "spec: {config: {glooAuth: {configs: [{luaAuth: {script: ../etc/passwd}}]}}}\n"));
    T(p_fault("", "a name has letters"));
    T(!loads("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: x}\n"
             "spec: {config: {glooAuth: {configs: [{luaAuth: {script: nowhere}}]}}}\n"));
    T(p_fault("", "neither in the Lua directory"));
}

static void never_reached_is_said(void)
{
    T(loads("apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
            "  hosts: ['*']\n  http:\n  - name: all\n    matchers: [{uri: {prefix: /}}]\n"
            "  - name: late\n    matchers: [{uri: {exact: /get}}]\n"));
    T(p_fault("", "route default.r/late is never reached"));
}

static void bad_paths_are_refused(void)
{
    static const char *const bad[] = {"a", "/a/../b", "/a//b", "/a%2fb", "/a;b"};
    char text[500];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%s", bad[i]);
        snprintf(text, sizeof text, "%s  http:\n  - matchers:\n    - uri: {exact: '%s'}\n", route_head,
                 bad[i]);
        T(!loads(text));
        T(p_fault("", "can never match"));
    }
}

static void box_swaps_and_counts_readers(void)
{
    const char *files[] = {NULL};
    struct policy_box *b = policy_box_open(p_load_files(files));
    struct policy_set *one = policy_box_get(b);
    uint64_t version = policy_box_version(b);
    policy_box_swap(b, p_load_files(files));
    T(policy_box_version(b) != version);
    struct policy_set *two = policy_box_get(b);
    T(one != two);
    T_INT(one->readers, 1);
    policy_set_drop(one);
    policy_set_drop(two);
    policy_box_close(b);
}

int main(void)
{
    p_init();
    T_RUN(empty_set_loads);
    T_RUN(route_table_loads);
    T_RUN(snake_case_is_the_same);
    T_RUN(both_spellings_are_double);
    T_RUN(unknown_field_names_the_nearest);
    T_RUN(faults_have_places);
    T_RUN(all_faults_of_all_files);
    T_RUN(doubled_resources_name_both_places);
    T_RUN(forwarding_is_a_notice);
    T_RUN(other_kinds_are_notices);
    T_RUN(lists_are_unpacked);
    T_RUN(secrets_need_their_parts);
    T_RUN(references_must_be_there);
    T_RUN(labels_that_no_route_has);
    T_RUN(steps_and_actions_by_name);
    T_RUN(lua_faults_have_lines);
    T_RUN(never_reached_is_said);
    T_RUN(bad_paths_are_refused);
    T_RUN(box_swaps_and_counts_readers);
    p_done();
    return t_done();
}
