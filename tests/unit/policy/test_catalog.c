/*
 * test_catalog.c - APIs and plans for the portal; questions and answers as JSON; Gloo's workshop objects.
 */
#include "p.h"

#include <stdio.h>

static const char shop[] = "openapi: 3.0.3\ninfo: {title: Shop, version: 1.2.0, description: d, contact: {email: a@b}, license: {name: MIT}, termsOfService: https://t}\n"
                           "servers: [{url: 'https://shop.example.com/api'}]\npaths: {/x: {get: {responses: {'200': {description: ok}}}}}\n";
static const char rest[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: shop}\nspec:\n"
    "  hosts: ['*', shop.example.com]\n  portalMetadata: {apiProductId: shop, apiVersion: v1, lifecycle: Beta, description: other}\n  http:\n"
    "  - {name: open, matchers: [{uri: {exact: /health}}]}\n"
    "  - {name: x, labels: {a: b}, matchers: [{uri: {prefix: /v1}}]}\n"
    "---\n"
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: bare}\nspec:\n"
    "  hosts: ['*']\n  portalMetadata: {apiProductId: bare, apiVersion: v9, title: Bare API}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {a: b}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {headerName: x-key}}]}}\n"
    "---\n"
    "apiVersion: apimanagement.gloo.solo.io/v2\nkind: Portal\nmetadata: {name: p}\nspec:\n"
    "  visibility: {public: true}\n  usagePlans: [{name: gold, displayName: Gold}, {name: lost}]\n"
    "---\n"
    "apiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerConfig\nmetadata: {name: s}\nspec:\n"
    "  raw: {setDescriptors: [{simpleDescriptors: [{key: userId}, {key: usagePlan, value: gold}], rateLimit: {unit: MINUTE, requestsPerUnit: 5}}]}\n"
    "---\n"
    "apiVersion: portal.gloo.solo.io/v1\nkind: ApiProduct\nmetadata: {name: shop}\nspec:\n"
    "  id: shop\n  displayName: The shop\n  versions: [{apiVersion: v1, openapiMetadata: {title: Shop API}}]\n"
    "---\n"
    "apiVersion: apimanagement.gloo.solo.io/v2\nkind: ApiDoc\nmetadata: {name: inline}\nspec:\n"
    "  openapi:\n    inlineString: |\n      openapi: 3.1.0\n      info: {title: Inline, version: '7'}\n";

static void apis(void)
{
    const char *files[] = {"apis/shop.yaml", shop, "rest.yaml", rest, NULL};
    struct policy_set *s = p_load_files(files);
    MUST(s != NULL);
    T_INT(policy_api_count(s), 3);
    const struct policy_api *a = policy_api_at(s, 0);
    T_TEXT(a->product, "shop");
    T_TEXT(a->version, "1.2.0");
    T_TEXT(a->title, "Shop API");
    T_TEXT(a->description, "d");
    T_TEXT(a->contact, "a@b");
    T_TEXT(a->license, "MIT");
    T_TEXT(a->terms, "https://t");
    T_TEXT(a->lifecycle, "Beta");
    T_TEXT(a->host, "shop.example.com");
    T_TEXT(a->path, "/v1");
    T(a->api_key && a->is_public);
    T_TEXT(a->key_header, "x-key");
    T_TEXT(a->file, "apis/shop.yaml");
    T(slice_starts(a->openapi_json, S("{\"openapi\":\"3.0.3\"")));
    T_TEXT(policy_api_at(s, 1)->product, "inline");
    T_TEXT(policy_api_at(s, 1)->version, "7");
    T_TEXT(policy_api_at(s, 2)->title, "Bare API");
    T(!policy_api_at(s, 2)->api_key);
    T(policy_api_at(s, 3) == NULL);
    T_INT(policy_plan_count(s), 2);
    T_TEXT(policy_plan_at(s, 0)->display_name, "Gold");
    T_INT(policy_plan_at(s, 0)->requests_per_unit, 5);
    T_INT(policy_plan_at(s, 0)->unit, UNIT_MINUTE);
    T_INT(policy_plan_at(s, 1)->unit, UNIT_UNKNOWN);
    policy_set_drop(s);
}

static void json_documents_too(void)
{
    const char *files[] = {"j.json", "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"J\",\"version\":\"1\"},\"paths\":{}}", NULL};
    struct policy_set *s = p_load_files(files);
    MUST(s != NULL);
    T_TEXT(policy_api_at(s, 0)->product, "j");
    policy_set_drop(s);
}

static void doubled_versions(void)
{
    const char *files[] = {"a/shop.yaml", shop, "b/shop.yaml", shop, NULL};
    T(p_load_files(files) == NULL);
    T(p_fault("", "already described at a/shop.yaml:1"));
}

/* ---- questions as JSON ---- */

static enum rc ask(const char *text, struct policy_ask *q, struct err *e)
{
    struct json *j = NULL;
    memset(e, 0, sizeof *e);
    enum rc rc = json_parse(&p.arena, slice_str(text), 100000, &j, e);
    return rc == RC_OK ? policy_ask_from_json(&p.arena, j, q, e) : rc;
}

static void questions(void)
{
    struct policy_ask q;
    struct err e;
    T(ask("{\"method\":\"GET\",\"path\":\"/x?y\",\"host\":\"h\",\"scheme\":\"https\",\"source_ip\":\"::ffff:1.2.3.4\","
          "\"headers\":{\"A\":\"1\",\"B\":[\"2\",\"3\"]},\"body\":\"b\"}", &q, &e) == RC_OK);
    T_TEXT(q.target, "/x?y");
    T_INT(q.headers_n, 3);
    T(q.has_source_ip);
    T_TEXT(q.body, "b");
    T(ask("{\"method\":\"GET\",\"path\":\"/\",\"hots\":\"x\"}", &q, &e) == RC_BADINPUT);
    T(strstr(e.text, "did you mean host?") != NULL);
    T(ask("{\"path\":\"/\"}", &q, &e) == RC_BADINPUT);
}

static void metadata_by_step(void)
{
    struct json one = {.kind = JSON_STR, .s = S("1")}, two = {.kind = JSON_BOOL, .b = true};
    struct policy_metadata m[] = {{S("b"), S("x"), &one}, {S(""), S("userId"), &one}, {S("a"), S("y"), &two}, {S("b"), S("z"), &two}};
    struct policy_verdict v = {.allowed = true, .status = 200, .reason = S("ok"), .metadata = m, .metadata_n = 4, .id = "0123456789abcdef"};
    struct buf b;
    buf_init(&b, 0);
    policy_verdict_json(&v, false, &b);
    T(slice_find(buf_all(&b), S(",\"metadata\":{\"b\":{\"x\":\"1\",\"z\":true},\"userId\":\"1\",\"a\":{\"y\":true}}}")) != SIZE_MAX);
    buf_free(&b);
}

static void answers_group_doubled_names(void)
{
    struct policy_header h[] = {{S("Set-Cookie"), S("a"), HEADER_SET}, {S("X"), S("1"), HEADER_SET}, {S("set-cookie"), S("b"), HEADER_SET}};
    struct policy_verdict v = {.allowed = false, .status = 403, .reason = S("r"), .words = S("w\n"), .rule = S(""), .route = S(""),
                               .client = h, .client_n = 3, .body = S("text"), .id = "0123456789abcdef"};
    struct buf b;
    buf_init(&b, 0);
    policy_verdict_json(&v, true, &b);
    T_TEXT(buf_all(&b), "{\"decision_id\":\"0123456789abcdef\",\"allowed\":false,\"status\":403,\"reason\":\"r\",\"words\":\"w\\n\","
           "\"rule\":\"\",\"route\":\"\",\"headers\":{\"upstream\":{},\"remove\":[],\"client\":{\"Set-Cookie\":[\"a\",\"b\"],\"X\":\"1\"}},"
           "\"body\":\"text\",\"trace\":[]}");
    buf_free(&b);
}

/* ---- the objects of Gloo's workshop, variables filled in ---- */

static const char workshop[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata:\n  name: main\n  namespace: istio-gateways\nspec:\n"
    "  hosts:\n    - '*'\n  virtualGateways:\n    - name: north-south-gw\n      namespace: istio-gateways\n      cluster: cluster1\n"
    "  workloadSelectors: []\n  http:\n    - name: root\n      labels:\n        waf: \"true\"\n      matchers:\n      - uri:\n          prefix: /\n"
    "      delegate:\n        routeTables:\n          - labels:\n              expose: \"true\"\n"
    "---\n"
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata:\n  name: httpbin\n  namespace: httpbin\n  labels:\n    expose: \"true\"\nspec:\n"
    "  http:\n    - name: httpbin\n      labels:\n        ratelimited: \"true\"\n      matchers:\n      - uri:\n          exact: /get\n      - uri:\n          prefix: /callback\n"
    "      forwardTo:\n        destinations:\n        - ref:\n            name: in-mesh\n            namespace: httpbin\n          port:\n            number: 8000\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\nmetadata:\n  name: httpbin\n  namespace: httpbin\nspec:\n"
    "  raw:\n    rateLimits:\n    - setActions:\n      - requestHeaders:\n          descriptorKey: organization\n          headerName: X-Organization\n"
    "---\n"
    "apiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerConfig\nmetadata:\n  name: httpbin\n  namespace: httpbin\nspec:\n"
    "  destinationServers:\n  - ref:\n      cluster: cluster1\n      name: rate-limiter\n      namespace: gloo-mesh-addons\n    port:\n      name: grpc\n"
    "  raw:\n    setDescriptors:\n      - simpleDescriptors:\n          - key: organization\n            value: solo.io\n        rateLimit:\n          requestsPerUnit: 3\n          unit: MINUTE\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\nmetadata:\n  name: httpbin\n  namespace: httpbin\nspec:\n"
    "  applyToRoutes:\n  - route:\n      labels:\n        ratelimited: \"true\"\n  config:\n    serverSettings:\n      name: rate-limit-server\n      namespace: httpbin\n      cluster: cluster1\n"
    "    ratelimitClientConfig:\n      name: httpbin\n      namespace: httpbin\n      cluster: cluster1\n    ratelimitServerConfig:\n      name: httpbin\n      namespace: httpbin\n      cluster: cluster1\n"
    "    phase:\n      postAuthz:\n        priority: 3\n"
    "---\n"
    "apiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerSettings\nmetadata:\n  name: rate-limit-server\n  namespace: httpbin\nspec:\n"
    "  destinationServer:\n    ref:\n      cluster: cluster1\n      name: rate-limiter\n      namespace: gloo-mesh-addons\n    port:\n      name: grpc\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: WAFPolicy\nmetadata:\n  name: log4shell\n  namespace: httpbin\nspec:\n"
    "  applyToRoutes:\n  - route:\n      labels:\n        waf: \"true\"\n  config:\n    disableCoreRuleSet: true\n    customInterventionMessage: 'Log4Shell malicious payload'\n"
    "    customRuleSets:\n    - ruleStr: |\n        SecRuleEngine On\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: TransformationPolicy\nmetadata:\n  name: modify-header\n  namespace: httpbin\nspec:\n"
    "  applyToRoutes:\n  - route:\n      labels:\n        oauth: \"true\"\n  config:\n    phase:\n      postAuthz:\n        priority: 2\n    request:\n      injaTemplate:\n        extractors: {}\n"
    "---\n"
    "apiVersion: networking.gloo.solo.io/v2\nkind: ExternalService\nmetadata:\n  name: keycloak\n  namespace: httpbin\nspec:\n  hosts:\n  - keycloak\n";
static const char workshop_oauth[] =
    "---\n"
    "apiVersion: v1\nkind: Secret\nmetadata:\n  name: oauth\n  namespace: httpbin\ntype: extauth.solo.io/oauth\ndata:\n  client-secret: c2VjcmV0\n"
    "---\n"
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: allow-solo-email-users\n  namespace: httpbin\ndata:\n  policy.rego: |-\n    package test\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata:\n  name: httpbin\n  namespace: httpbin\nspec:\n"
    "  applyToRoutes:\n  - route:\n      labels:\n        ratelimited: \"true\"\n  config:\n    server:\n      name: ext-auth-server\n      namespace: httpbin\n      cluster: cluster1\n"
    "    glooAuth:\n      configs:\n      - oauth2:\n          oidcAuthorizationCode:\n            appUrl: https://x\n            callbackPath: /callback\n"
    "            clientId: 0a1b2c3d-client\n            clientSecretRef:\n              name: oauth\n              namespace: httpbin\n"
    "            issuerUrl: \"http://127.0.0.1:8080/realms/master/\"\n            logoutPath: /logout\n            afterLogoutUrl: \"https://x/get\"\n"
    "            session:\n              failOnFetchFailure: true\n              redis:\n                cookieName: keycloak-session\n"
    "                options:\n                  host: redis:6379\n            scopes:\n            - email\n            headers:\n              idTokenHeader: jwt\n"
    "      - opaAuth:\n          modules:\n          - name: allow-solo-email-users\n            namespace: httpbin\n          query: \"data.test.allow == true\"\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: JWTPolicy\nmetadata:\n  name: httpbin\n  namespace: httpbin\nspec:\n"
    "  applyToRoutes:\n  - route:\n      labels:\n        oauth: \"true\"\n  config:\n    phase:\n      postAuthz:\n        priority: 1\n"
    "    providers:\n      keycloak:\n        issuer: http://127.0.0.1:8080/realms/master\n        tokenSource:\n          headers:\n          - name: jwt\n"
    "        remote:\n          url: http://127.0.0.1:8080/realms/master/protocol/openid-connect/certs\n          destinationRef:\n            kind: EXTERNAL_SERVICE\n"
    "            ref:\n              name: keycloak\n            port:\n              number: 8080\n        claimsToHeaders:\n        - claim: email\n          header: X-Email\n";

static void workshop_rate_limit(void)
{
    MUST(p_use(workshop));
    for (int i = 0; i < 3; i++)
        T(p_ask("GET", "any.example.com", "/get", P_HEADERS("X-Organization: solo.io")).allowed);
    struct policy_verdict v = p_ask("GET", "any.example.com", "/get", P_HEADERS("X-Organization: solo.io"));
    T_INT(v.status, 429);
    T_TEXT(v.limits[0].counter, "set|solo.io|generic_key^httpbin.httpbin-httpbin-cluster1-rate-limiter|organization^solo.io|1794000000");
    T(p_ask("GET", "any.example.com", "/get", P_HEADERS("X-Organization: example.com")).allowed);
    T_TEXT(p_ask("GET", "any.example.com", "/other", NULL).reason, "no_route");
}

static void workshop_oauth_denies_with_rego(void)
{
    static char all[sizeof workshop + sizeof workshop_oauth];
    snprintf(all, sizeof all, "%s%s", workshop, workshop_oauth);
    MUST(p_use(all));
    T(p_fault("", "step opaAuth is not served"));
    for (size_t i = 0; i < p.faults.n; i++) /* of the sign-in only what is of no use here */
        T(slice_find(p.faults.rows[i].path, S("oauth2")) == SIZE_MAX ||
          slice_find(p.faults.rows[i].path, S("redis.options")) != SIZE_MAX);
    struct policy_verdict v = p_ask("GET", "any.example.com", "/get", NULL);
    T(!v.allowed);
    T_TEXT(v.reason, "not_served");
}

int main(void)
{
    p_init();
    T_RUN(apis);
    T_RUN(json_documents_too);
    T_RUN(doubled_versions);
    T_RUN(questions);
    T_RUN(metadata_by_step);
    T_RUN(answers_group_doubled_names);
    T_RUN(workshop_rate_limit);
    T_RUN(workshop_oauth_denies_with_rego);
    p_done();
    return t_done();
}
