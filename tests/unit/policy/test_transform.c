/*
 * test_transform.c - TransformationPolicy: headers made from a request, what a client cannot forge, denials
 * that look as the policy says, faults and notices with their place.
 */
#include "p.h"

#include "policy/transform.h"

#define ROUTE(labels) \
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r, namespace: httpbin}\nspec:\n hosts: ['*']\n http:\n" \
    " - name: all\n   labels: {" labels "}\n   matchers: [{uri: {prefix: /}}]\n---\n"
#define EMAIL_FROM(header) \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e}\nspec:\n config:\n  glooAuth:\n    configs:\n" \
    "    - luaAuth: {headers: [X-Email], inline: 'return function(r) local e = r.headers[\"" header "\"] return {allow = true, headers = e and {[\"X-Email\"] = e} or {}, state = {}} end'}\n---\n"
#define HEAD \
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: TransformationPolicy\nmetadata: {name: t}\nspec:\n config:\n"
#define INJA HEAD "  request:\n    injaTemplate:\n"
/* The document as it stands in the workshop. */
#define LAB19 \
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: TransformationPolicy\nmetadata:\n  name: modify-header\n  namespace: httpbin\nspec:\n" \
    "  applyToRoutes:\n  - route:\n      labels:\n        oauth: \"true\"\n  config:\n    phase:\n      postAuthz:\n        priority: 2\n" \
    "    request:\n      injaTemplate:\n        extractors:\n          organization:\n            header: 'X-Email'\n            regex: '.*@(.*)$'\n            subgroup: 1\n" \
    "        headers:\n          x-organization:\n            text: \"{{ organization }}\"\n"
#define LAB20 \
    "---\napiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\nmetadata: {name: httpbin, namespace: httpbin}\nspec:\n  raw:\n    rateLimits:\n    - setActions:\n" \
    "      - requestHeaders: {descriptorKey: organization, headerName: X-Organization}\n---\n" \
    "apiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerConfig\nmetadata: {name: httpbin, namespace: httpbin}\nspec:\n  raw:\n    setDescriptors:\n    - simpleDescriptors: [{key: organization, value: solo.io}]\n" \
    "      rateLimit: {requestsPerUnit: 3, unit: MINUTE}\n---\n" \
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\nmetadata: {name: httpbin, namespace: httpbin}\nspec:\n  applyToRoutes: [{route: {labels: {ratelimited: \"true\"}}}]\n  config:\n" \
    "    phase: {postAuthz: {priority: 3}}\n    ratelimitServerConfig: {name: httpbin, namespace: httpbin}\n    ratelimitClientConfig: {name: httpbin, namespace: httpbin}\n"

static struct policy_verdict get(const char *const *headers)
{
    return p_ask("GET", "h.example", "/get?q=1", headers);
}

static struct policy_verdict post(const char *body, const char *const *headers)
{
    struct http_header h[8];
    struct policy_ask q = {.method = S("POST"), .host = S("h.example"), .target = S("/p"), .now_ms = p.now_ms, .body = slice_str(body), .trace = true};
    struct policy_verdict v;

    for (; headers && headers[q.headers_n]; q.headers_n++) {
        struct slice rest, s = slice_str(headers[q.headers_n]);
        h[q.headers_n].name = slice_cut(s, ':', &rest);
        h[q.headers_n].value = slice_trim(rest);
    }
    q.headers = h;
    policy_begin(p.ctx, p.now_ms);
    MUST(policy_decide(p.ctx, &q, &v, NULL, NULL) == RC_OK);
    return v;
}

static void the_workshop(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("oauth: \"true\", ratelimited: \"true\"") EMAIL_FROM("claim") LAB19 LAB20));
    T_INT(p.faults.n, 0);
    for (int i = 0; i < 3; i++) {
        v = get(P_HEADERS("claim: user2@solo.io", "X-Organization: example.com", "X-Email: boss@example.com"));
        T(v.allowed);
        T_TEXT(p_upstream(&v, "x-organization"), "solo.io");
        T_TEXT(p_upstream(&v, "x-email"), "user2@solo.io");
    }
    v = get(P_HEADERS("claim: user2@solo.io"));
    T_INT(v.status, 429); /* the limit counts by the header that the template made */
    v = get(P_HEADERS("claim: user1@example.com"));
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-organization"), "example.com");
    v = get(P_HEADERS("X-Email: user@solo.io", "X-Organization: solo.io", "x_organization: solo.io")); /* forged: both go */
    T(v.allowed && v.upstream_n == 0);
    T(p_removed(&v, "x-organization") && p_removed(&v, "x-email") && p_removed(&v, "x_organization"));
}

static void a_header_of_its_own_may_be_read(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") INJA "      headers: {x-a: {text: '<{{ request_header(\"X-A\") }}>'}, x-b: {text: '{{ header(\"X-A\") }}'}}\n"));
    v = get(P_HEADERS("x-a: 1"));
    T_TEXT(p_upstream(&v, "x-a"), "<1>");
    T_TEXT(p_upstream(&v, "x-b"), "1"); /* all templates see what was there before */
    v = get(P_HEADERS("x-a: 1", "x-a: 2"));
    T_TEXT(p_upstream(&v, "x-a"), "<1,2>");
    v = get(NULL);
    T_TEXT(p_upstream(&v, "x-a"), "<>");
    T(p_removed(&v, "x-b"));
}

static void what_templates_see(void)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"{{ header(\":path\") }} {{ header(\":method\") }} {{ header(\":authority\") }}", "/p POST h.example"}, {"{{ body() }}", "{\"u\":{\"id\":7},\"l\":[1,2],\"w\":\"x\"}"},
        {"{{ u.id }}", "7"}, {"{{ u/id }}", "7"}, {"{{ context() }}", "{\"u\":{\"id\":7},\"l\":[1,2],\"w\":\"e\",\"deep\":{\"er\":\"b\"}}"}, {"{{ w }}", "e"}, {"{{ deep.er }}", "b"},
        {"{{ extraction(\"w\") }}{{ extraction(\"deep.er\") }}{{ extraction(\"no\") }}", "eb"}, {"{{ default(nothing.at.all, \"none\") }}", "none"},
        {"{% if request_header(\"x-h\") == \"abeb\" %}yes{% else %}no{% endif %}", "yes"}, {"{{ base64_encode(request_header(\"x-h\")) }}", "YWJlYg=="}, {"{% for i in l %}{{ i }}{% endfor %}", "12"},
        {"{{ dynamic_metadata(\"k\") }}", ""}, {"{{ header(\"missing\") }}", ""}, {"{{ exists(\"u.id\") }}{{ exists(\"deep.er\") }}", "truetrue"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[2000];
        struct policy_verdict v;
        snprintf(text, sizeof text, "%s%s      extractors:\n        w: {header: X-H, regex: 'ab(.)b', subgroup: 1}\n        deep.er: {body: {}, regex: '.*w.*', mode: SINGLE_REPLACE, replacementText: b}\n"
                 "      headers:\n        x-out:\n          text: |-\n            %s\n", ROUTE(""), INJA, rows[i].text);
        T_ROW("%s", rows[i].text);
        T(p_use(text));
        v = post("{\"u\":{\"id\":7},\"l\":[1,2],\"w\":\"x\"}", P_HEADERS("x-h: abeb"));
        T(v.allowed);
        T_TEXT(p_upstream(&v, "x-out"), rows[i].want);
    }
}

static void extractors(void)
{
    static const struct {
        const char *how, *value, *want;
    } rows[] = {
        {"regex: 'a(.*)c', subgroup: 1", "abc", "b"}, {"regex: 'a(.*)c'", "abc", "abc"}, {"regex: 'b'", "abc", ""}, {"regex: '(x)?abc', subgroup: 1", "abc", ""},
        {"regex: 'a(.*)c', subgroup: 1, mode: SINGLE_REPLACE, replacementText: XX", "abbc", "aXXc"}, {"regex: 'b', mode: SINGLE_REPLACE, replacementText: X", "abc", "abc"},
        {"regex: 'abc', mode: SINGLE_REPLACE, replacementText: ''", "abc", ""}, {"regex: '[ab]', mode: REPLACE_ALL, replacementText: '-'", "abcab", "--c--"}, {"regex: 'z', mode: REPLACE_ALL, replacementText: '-'", "abc", "abc"},
        {"regex: '^a', mode: REPLACE_ALL, replacementText: '-'", "aaa", "-aa"}, {"regex: 'x*', mode: REPLACE_ALL, replacementText: '-'", "abc", "-a-b-c-"}, {"regex: '$1', mode: REPLACE_ALL, replacementText: '$0'", "a", "a"},
        {"regex: 'a', mode: REPLACE_ALL, replacementText: '$0\\1'", "a", "$0\\1"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[1500];
        struct policy_verdict v;
        snprintf(text, sizeof text, "%s%s      extractors: {e: {header: h, %s}}\n      headers: {x-out: {text: '{{ e }}'}}\n", ROUTE(""), INJA, rows[i].how);
        T_ROW("%s of %s", rows[i].how, rows[i].value);
        T(p_use(text));
        v = get(P_HEADERS(p_header("h", rows[i].value)));
        T(v.allowed);
        T_TEXT(p_upstream(&v, "x-out"), rows[i].want);
        v = get(NULL); /* no such header: nothing, in every mode */
        T(v.allowed && p_removed(&v, "x-out"));
    }
}

static void an_expression_cannot_run_away(void)
{
    struct policy_verdict v;
    char *many = arena_alloc(&p.arena, 30000), *backtrack = arena_alloc(&p.arena, 6000);

    memset(many, 'a', 29999);
    many[29999] = '\0';
    memset(backtrack, 'a', 5999);
    backtrack[5998] = '!';
    backtrack[5999] = '\0';
    T(p_use(ROUTE("") INJA "      extractors: {e: {header: h, regex: '(a+)+$'}}\n      headers: {x-out: {text: '{{ e }}'}}\n"));
    v = get(P_HEADERS(p_header("h", backtrack)));
    T(v.allowed ? p_removed(&v, "x-out") : slice_eq(v.reason, S("transformation_limit")));
    T(p_use(ROUTE("") INJA "      extractors: {e: {header: h, regex: 'a', mode: REPLACE_ALL, replacementText: bb}}\n      headers: {x-out: {text: '{{ e }}'}}\n"));
    v = get(P_HEADERS(p_header("h", many)));
    T(!v.allowed);
    T_TEXT(v.reason, "transformation_limit");
}

static void append_and_remove(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") INJA "      headersToAppend:\n      - {key: x-list, value: {text: '{{ request_header(\"x-one\") }}'}}\n      - {key: x-list, value: {text: two}}\n"
            "      - {key: Cookie, value: {text: c=1}}\n      headersToRemove: [x-one, x-gone]\n"));
    v = get(P_HEADERS("x-gone: 1", "X_Gone: 1", "x.gone: 1"));
    T(p_removed(&v, "x-gone") && p_removed(&v, "x_gone") && p_removed(&v, "x.gone"));
    v = get(P_HEADERS("x-one: one", "x-list: zero", "cookie: a=b"));
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-list"), "zero, one, two");
    T_TEXT(p_upstream(&v, "cookie"), "a=b; c=1");
    T(p_removed(&v, "x-one") && p_removed(&v, "x-gone") && !p_removed(&v, "x-list"));
    v = get(NULL);
    T_TEXT(p_upstream(&v, "x-list"), "two");
}

static const struct json *metadata(const struct policy_verdict *v, const char *space, const char *name)
{
    for (size_t i = 0; i < v->metadata_n; i++)
        if (slice_eq(v->metadata[i].space, slice_str(space)) && slice_eq(v->metadata[i].name, slice_str(name)))
            return v->metadata[i].value;
    return NULL;
}

static void metadata_for_the_gateway(void)
{
    struct policy_verdict v;
    const struct json *j;

    T(p_use(ROUTE("") INJA "      dynamicMetadataValues:\n      - {key: a, value: {text: '{{ header(\"h\") }}'}}\n      - {metadataNamespace: ns, key: b, value: {text: '{\"n\":[1]}'}, jsonToProto: true}\n"
            "      - {metadata_namespace: envoy.filters.http.ext_authz, key: userId, value: {text: u}}\n      - {key: none, value: {text: ''}}\n---\n"
            "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: TransformationPolicy\nmetadata: {name: later}\nspec:\n config:\n  phase: {postAuthz: {priority: 5}}\n  request:\n    injaTemplate:\n"
            "      headers: {x-m: {text: '{{ dynamic_metadata(\"a\") }} {{ dynamic_metadata(\"b:n\", \"ns\") }} {{ dynamic_metadata(\"userId\", \"envoy.filters.http.ext_authz\") }}'}}\n"));
    v = get(P_HEADERS("h: hello"));
    T(v.allowed && v.metadata_n == 3);
    j = metadata(&v, "io.solo.transformation", "a");
    T(j && slice_eq(j->s, S("hello")));
    j = metadata(&v, "ns", "b");
    T(j && j->kind == JSON_OBJ);
    T(metadata(&v, "", "userId") != NULL);
    T_TEXT(p_upstream(&v, "x-m"), "hello [1] u");
}

/* What a JWTPolicy found, and what steps of ext-auth said. */
static void metadata_of_others(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: e}\nspec:\n config:\n  glooAuth:\n    configs:\n"
            "    - luaAuth: {inline: 'return function() return {allow = true, state = {jwt_authn = {idp = {email = \"ann@example.com\", a = {b = 2}}}}} end'}\n---\n"
            INJA "      headers: {x-e: {text: '{{ dynamic_metadata(\"idp:email\", \"envoy.filters.http.jwt_authn\") }} {{ dynamic_metadata(\"idp:a:b\", \"envoy.filters.http.jwt_authn\") }}{{ dynamic_metadata(\"x:email\", \"envoy.filters.http.jwt_authn\") }}'}}\n"));
    v = get(NULL);
    T_TEXT(p_upstream(&v, "x-e"), "ann@example.com 2");
}

static void bodies(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") INJA "      headers: {x-a: {text: '{{ default(a, \"-\") }}'}}\n"));
    T_TEXT((v = post("{\"a\":\"1\"}", NULL), p_upstream(&v, "x-a")), "1");
    T_TEXT((v = post("", NULL), p_upstream(&v, "x-a")), "-");
    T_TEXT((v = post("[1]", NULL), p_upstream(&v, "x-a")), "-"); /* no object: no names */
    v = post("a=1", NULL);
    T(!v.allowed && v.status == 400);
    T_TEXT(v.reason, "body_malformed");
    T(p_use(ROUTE("") INJA "      ignoreErrorOnParse: true\n      headers: {x-a: {text: '{{ default(a, \"-\") }}'}}\n"));
    T_TEXT((v = post("a=1", NULL), p_upstream(&v, "x-a")), "-");
    T(p_use(ROUTE("") INJA "      parseBodyBehavior: DontParse\n      headers: {x-a: {text: '{{ default(a, \"-\") }}{{ body() }}'}}\n"));
    T_TEXT((v = post("{\"a\":1}", NULL), p_upstream(&v, "x-a")), "-{\"a\":1}");
    T(p_use(ROUTE("") INJA "      passthrough: {}\n      headers: {x-a: {text: ok}}\n"));
    T_TEXT((v = post("a=1", NULL), p_upstream(&v, "x-a")), "ok");
}

static void advanced_and_escaped(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") INJA "      advancedTemplates: true\n      extractors: {e: {header: h, regex: '.*'}}\n      headers: {x-a: {text: '{{ extraction(\"e\") }}{{ default(e, \"-\") }}'}}\n"));
    v = get(P_HEADERS("h: v"));
    T_TEXT(p_upstream(&v, "x-a"), "v-");
    T(p_use(ROUTE("") INJA "      escapeCharacters: true\n      headers: {x-a: {text: '{\"h\":\"{{ header(\"h\") }}\"}'}}\n"));
    v = get(P_HEADERS("h: say \"hi\""));
    T_TEXT(p_upstream(&v, "x-a"), "{\"h\":\"say \\\"hi\\\"\"}");
}

static void trouble_denies(void)
{
    static const struct {
        const char *text, *reason;
    } rows[] = {
        {"{{ nothing }}", "transformation_failed"}, {"{{ first([]) }}", "transformation_failed"}, {"{{ base64_decode(\"DQo=\") }}", "transformation_invalid"}, /* CR LF */
        {"{{ base64_decode(\"AA==\") }}", "transformation_invalid"}, {"{% for i in range(5000) %}0123456789{% endfor %}", "transformation_invalid"}, /* too long for a header */
        {"{% for i in range(40000) %}{% for k in range(9) %}{% endfor %}{% endfor %}", "transformation_limit"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[2000];
        struct policy_verdict v;
        for (int mode = 0; mode < 3; mode++) {
            snprintf(text, sizeof text, "%s%s%s  request:\n    injaTemplate:\n      headers: {x-ok: {text: fine}, x-a: {text: '%s'}}\n", ROUTE(""), HEAD,
                     mode == 1 ? "  failureModeAllow: true\n" : mode == 2 ? "  shadow: true\n" : "", rows[i].text);
            T_ROW("%s %d", rows[i].text, mode);
            T(p_use(text));
            v = get(P_HEADERS("x-a: forged"));
            T(v.allowed == (mode > 0));
            T_INT(v.upstream_n, 0); /* nothing is half done */
            if (mode == 0) {
                T_INT(v.status, 400);
                T_TEXT(v.reason, rows[i].reason);
                T_TEXT(v.rule, "t.yaml:18");
            }
            T(p_removed(&v, "x-a") == (mode == 1));
        }
    }
}

static void shadow_changes_nothing(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") HEAD "  shadow: true\n  request:\n    injaTemplate:\n      headers: {x-a: {text: made}}\n      headersToRemove: [x-b]\n"));
    v = get(P_HEADERS("x-a: sent", "x-b: sent"));
    T(v.allowed && v.upstream_n == 0 && v.remove_n == 0);
}

static void phases(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") HEAD "  phase: {preAuthz: {priority: -1}}\n  request:\n    injaTemplate:\n      headers: {x-a: {text: early}}\n---\n"
            "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: no}\nspec: {config: {glooAuth: {configs: [{luaAuth: {inline: 'return function() return false end'}}]}}}\n"));
    v = get(NULL);
    T(!v.allowed && v.status == 403);
    T_TEXT(v.trace[1].step, "transformation");
    T_TEXT(v.trace[2].step, "luaAuth");
}

#define DENIES \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: no}\nspec:\n config:\n  glooAuth:\n    configs:\n" \
    "    - luaAuth: {inline: 'return function(r) if r.headers.ok then return true end return {allow = false, status = 401, body = [[{\"why\":\"no\"}]], headers = {[\"www-authenticate\"] = \"Basic\"}} end'}\n---\n"

static void denials_look_as_told(void)
{
    struct policy_verdict v;

    T(p_use(ROUTE("") DENIES HEAD "  response:\n    injaTemplate:\n      extractors: {kind: {header: www-authenticate, regex: '(\\w+)', subgroup: 1}}\n"
            "      headers:\n        ':status': {text: '{% if header(\":status\") == \"401\" %}403{% endif %}'}\n        content-type: {text: text/html}\n        x-kind: {text: '{{ kind }}'}\n        x-static: {text: 'for {{ request_header(\"h\") }}'}\n"
            "      headersToRemove: [www-authenticate]\n      body: {text: '<p>{{ why }} {{ header(\":status\") }}</p>{{ body() }}'}\n"));
    T(p_fault("", "upstream's answers never come here") != NULL);
    v = get(P_HEADERS("h: me"));
    T(!v.allowed && v.status == 403);
    T_TEXT(v.body, "<p>no 401</p>{\"why\":\"no\"}");
    T_TEXT(p_client(&v, "content-type"), "text/html");
    T_TEXT(p_client(&v, "x-kind"), "Basic");
    T_TEXT(p_client(&v, "www-authenticate"), "");
    T_TEXT(p_client(&v, "x-static"), "for me");
    v = get(P_HEADERS("h: me", "ok: 1"));
    T(v.allowed && v.client_n == 2 && v.body.n == 0); /* what needs nothing of the answer */
    T_TEXT(p_client(&v, "x-static"), "for me");
    T_TEXT(p_client(&v, "content-type"), "text/html");
}

static void a_denial_stays_one(void)
{
    static const char *const statuses[] = {"200", "204", "304", "500", "503", "x", "", "99999999999999999999", "-1"};

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        char text[2000];
        struct policy_verdict v;
        snprintf(text, sizeof text, "%s%s%s  response:\n    injaTemplate:\n      headers: {':status': {text: '%s'}}\n", ROUTE(""), DENIES, HEAD, statuses[i]);
        T_ROW("%s", statuses[i]);
        T(p_use(text));
        v = get(NULL);
        T(!v.allowed && v.status == 401);
    }
    T(p_use(ROUTE("") DENIES HEAD "  response:\n    injaTemplate:\n      headers: {x-a: {text: '{{ nothing }}'}}\n      body: {text: new}\n"));
    struct policy_verdict v = get(NULL);
    T(!v.allowed && v.status == 401); /* a template in trouble leaves the denial as it was */
    T_TEXT(v.body, "{\"why\":\"no\"}");
}

static void faults_and_notices(void)
{
    static const struct {
        const char *doc, *text;
        int line, col;
        bool notice;
    } rows[] = {
        {INJA "      headers:\n        x-a: {text: '{{ nme( }}'}\n", "unknown function \"nme\"", 9, 28, false},
        {INJA "      headers:\n        x-a:\n          text: |\n            ok\n            {{ env(\"HOME\") }}\n", "env() is not served: the environment of Postern holds secrets", 12, 7, false},
        {INJA "      headers: {x-a: {text: '{{ clusterMetadata(\"k\") }}'}}\n", "does not know the upstream's cluster", 0, 0, false},
        {INJA "      headers: {'bad name': {text: a}}\n", "cannot be set as a header", 0, 0, false}, {INJA "      headers: {Host: {text: a}}\n", "\"Host\" cannot be set", 0, 0, false},
        {INJA "      headers: {x-envoy-auth-headers-to-remove: {text: a}}\n", "cannot be set", 0, 0, false}, {INJA "      headersToRemove: [Content-Length]\n", "cannot be set", 0, 0, false},
        {INJA "      headersToAppend: [{key: 'a b', value: {text: x}}]\n", "cannot be set", 0, 0, false}, {INJA "      headers: {':path': {text: /x}}\n", "no gateway lets a check do that", 0, 0, true},
        {INJA "      headers: {':status': {text: '200'}}\n", "no gateway lets a check do that", 0, 0, true}, {INJA "      body: {text: x}\n", "body is ignored", 0, 0, true},
        {INJA "      mergeExtractorsToBody: {}\n", "mergeExtractorsToBody is ignored", 0, 0, true}, {INJA "      mergeJsonKeys: {jsonKeys: {}}\n", "mergeJsonKeys is ignored", 0, 0, true},
        {INJA "      extractors: {e: {regex: a}}\n", "expected one of header and body", 0, 0, false}, {INJA "      extractors: {e: {header: h, body: {}, regex: a}}\n", "expected one of header and body", 0, 0, false},
        {INJA "      extractors: {e: {header: h, regex: 'a('}}\n", "is wrong", 0, 0, false}, {INJA "      extractors: {e: {header: h, regex: 'a(b)', subgroup: 2}}\n", "subgroup 2 of an expression with 1 groups", 0, 0, false},
        {INJA "      extractors: {e: {header: h, regex: a, mode: REPLACE_ALL}}\n", "needs replacementText", 0, 0, false}, {INJA "      extractors: {e: {header: h, regex: a, replacementText: b}}\n", "needs mode", 0, 0, false},
        {INJA "      extractors: {e: {header: h, regex: '(a)', mode: REPLACE_ALL, replacementText: b, subgroup: 1}}\n", "takes no subgroup", 0, 0, false},
        {INJA "      extractors: {e: {header: h, regex: a, mode: TWICE}}\n", "expected one of EXTRACT", 0, 0, false}, {INJA "      headres: {}\n", "did you mean headers?", 0, 0, false},
        {INJA "      headers: {x: {text: [a]}}\n", "expected text, found a list", 0, 0, false}, {HEAD "  phase: {postAuthz: {}}\n", "changes nothing", 0, 0, true},
        {HEAD "  request: {injaTemplate: {}, recalculateRoutingDestination: true}\n", "the gateway routes", 0, 0, true}, {HEAD "  request: {xsltTransformation: {}}\n", "not served", 0, 0, true},
        {HEAD "  response: {injaTemplate: {dynamicMetadataValues: [{key: a, value: {text: b}}]}}\n", "a check has ended by then", 0, 0, true},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", rows[i].doc, NULL};
        const struct policy_fault *f;
        struct policy_set *s = p_load_files(files);
        T_ROW("%s", rows[i].text);
        f = p_fault("", rows[i].text);
        T(f && f->notice == rows[i].notice && f->line > 4);
        if (f && rows[i].line) {
            T_INT(f->line, rows[i].line);
            T_INT(f->col, rows[i].col);
        }
        T((s != NULL) == rows[i].notice);
        policy_set_drop(s);
    }
}

int main(void)
{
    p_init();
    T_RUN(the_workshop);
    T_RUN(a_header_of_its_own_may_be_read);
    T_RUN(what_templates_see);
    T_RUN(extractors);
    T_RUN(an_expression_cannot_run_away);
    T_RUN(append_and_remove);
    T_RUN(metadata_for_the_gateway);
    T_RUN(metadata_of_others);
    T_RUN(bodies);
    T_RUN(advanced_and_escaped);
    T_RUN(trouble_denies);
    T_RUN(shadow_changes_nothing);
    T_RUN(phases);
    T_RUN(denials_look_as_told);
    T_RUN(a_denial_stays_one);
    T_RUN(faults_and_notices);
    p_done();
    return t_done();
}
