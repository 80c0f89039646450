/*
 * test_attacks.c - the attacks that beat other products, against every dialect where they apply. The
 * numbers are those of docs/security.md, which says how we stand with each; those whose test is in
 * another file are in the table `elsewhere`, which is held against that file.
 */
#include "g.h"

#include "base/os.h"

static const char policies[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
    "  hosts: [api.example.com]\n  http:\n"
    "  - {name: public, matchers: [{uri: {prefix: /public/}}, {uri: {exact: /public}}]}\n"
    "  - {name: read, labels: {auth: lua}, matchers: [{uri: {exact: /ip}}]}\n"
    "  - {name: get, labels: {auth: key}, matchers: [{uri: {exact: /get}, method: GET}]}\n"
    "  - {name: keyed, labels: {auth: key}, matchers: [{uri: {prefix: /keyed}}]}\n"
    "  - {name: admin, labels: {auth: nobody}, matchers: [{uri: {prefix: /admin}}]}\n"
    "  - {name: strict, labels: {auth: nobody}, matchers: [{uri: {prefix: /role}, headers: [{name: X-Role, value: admin}]}]}\n"
    "  - {name: role, matchers: [{uri: {prefix: /role}}]}\n"
    "  - {name: basic, labels: {auth: basic}, matchers: [{uri: {prefix: /basic}}]}\n"
    "  - {name: runaway, matchers: [{uri: {regex: '/re/(a+)+[bc]'}}]}\n"
    "  - {name: broken, labels: {limit: broken}, matchers: [{uri: {prefix: /broken}}]}\n"
    "  - {name: limited, labels: {limit: pairs}, matchers: [{uri: {prefix: /limited}}]}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: key}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {headerName: X-Api-Key,\n"
    "    headersFromMetadataEntry: {X-User-ID: {name: username}, X-Solo-Plan: {name: usagePlan}}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: n}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: nobody}}}]\n"
    "  config: {glooAuth: {configs: [{luaAuth: {inline: 'return function() return false end'}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: ip}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: lua}}}]\n  config: {glooAuth: {configs: [{luaAuth: {\n"
    "    inline: 'return function(req) return {allow = true, headers = {[\"X-IP\"] = req.source_ip or \"none\"}} end'}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: b}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: basic}}}]\n  config: {glooAuth: {configs: [{basicAuth: {realm: gloo,\n"
    "    apr: {users: {user: {salt: TYiryv0/, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}}]}}\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\nmetadata: {name: broken}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {limit: broken}}}]\n"
    "  config: {ratelimitServerConfig: {name: s}, ratelimitClientConfig: {name: runaway}}\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\nmetadata: {name: pairs}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {limit: pairs}}}]\n"
    "  config: {ratelimitServerConfig: {name: s}, ratelimitClientConfig: {name: c}}\n"
    "---\n"
    "apiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerConfig\nmetadata: {name: s}\nspec:\n  raw:\n"
    "    descriptors: [{key: a, descriptors: [{key: b, rateLimit: {unit: YEAR, requestsPerUnit: 1}}]}]\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\nmetadata: {name: c}\nspec:\n  raw:\n"
    "    rateLimits: [{actions: [{requestHeaders: {headerName: X-A, descriptorKey: a}}, {requestHeaders: {headerName: X-B, descriptorKey: b}}]}]\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\nmetadata: {name: runaway}\nspec:\n  raw:\n"
    "    rateLimits: [{actions: [{headerValueMatch: {descriptorValue: x, headers: [{name: X-A, regexMatch: '(a+)+[bc]'}]}}]}]\n";

#define HOST "api.example.com"
static const char *key_header;

#define EACH_DIALECT(d) for (int d = 0; d < DIALECT_COUNT; d++)
#define ROW(d, ...) (T_ROW(__VA_ARGS__), strncat(t_state.row, " ", 2), strncat(t_state.row, c_dialects[d], 20))

static void a01_strangers_are_not_believed(void)
{
    c_stop();
    struct check_opts o = c_opts(false);
    c_start(&o);
    EACH_DIALECT(d) {
        ROW(d, "nobody trusted");
        struct answer *r = c_ask(d, "GET", HOST, "/public", NULL);
        T_INT(r->status, 403);
        T_TEXT(c_header(r, "x-postern-reason"), "untrusted_peer");
    }
    c_stop();
    o = c_opts(true);
    c_start(&o);
    EACH_DIALECT(d) {
        ROW(d, "trusted");
        T_INT(c_ask(d, "GET", HOST, "/public", NULL)->status, 200);
    }
}

static void a02_headers_of_other_dialects_are_not_read(void)
{
    T_INT(c_ask(NGINX, "GET", HOST, "/admin", P_HEADERS("X-Forwarded-Uri: /public", "X-Original-URI: /public", "X-Forwarded-Method: GET"))->status, 403);
    T_INT(c_ask(FORWARD, "GET", HOST, "/admin", P_HEADERS("X-Original-URL: https://" HOST "/public", "X-Original-Method: GET"))->status, 403);
    T_INT(c_ask(ENVOY, "GET", HOST, "/admin", P_HEADERS("X-Original-URL: https://" HOST "/public", "X-Forwarded-Uri: /public", "X-Envoy-Original-Path: /public"))->status, 403);
}

static void a03_missing_headers_deny(void)
{
    static const char *const requests[] = {
        "GET /auth/nginx HTTP/1.1\r\nHost: p\r\n\r\n",
        "GET /auth/nginx HTTP/1.1\r\nHost: p\r\nX-Original-URL: https://" HOST "/public\r\n\r\n",
        "GET /auth/nginx HTTP/1.1\r\nHost: p\r\nX-Original-Method: GET\r\n\r\n",
        "GET /auth/nginx HTTP/1.1\r\nHost: p\r\nX-Original-Method: GET\r\nX-Original-URL:\r\n\r\n",
        "GET /auth/nginx HTTP/1.1\r\nHost: p\r\nX-Original-Method:\r\nX-Original-URL: https://" HOST "/public\r\n\r\n",
        "GET /auth/forward HTTP/1.1\r\nHost: p\r\n\r\n",
        "GET /auth/forward HTTP/1.1\r\nHost: " HOST "\r\nX-Forwarded-Uri: /public\r\nX-Forwarded-Method: GET\r\n\r\n",
        "GET /auth/forward HTTP/1.1\r\nHost: p\r\nX-Forwarded-Host: " HOST "\r\nX-Forwarded-Method: GET\r\n\r\n",
        "GET /auth/forward HTTP/1.1\r\nHost: p\r\nX-Forwarded-Host: " HOST "\r\nX-Forwarded-Uri: /public\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        T_ROW("request %zu", i);
        T_INT(c_raw(slice_str(requests[i]))->status, 403);
    }
    T_INT(c_raw(S("GET /auth/envoy HTTP/1.1\r\nHost: " HOST "\r\n\r\n"))->status, 404);
}

static void a04_odd_spellings_are_not_read_and_go(void)
{
    EACH_DIALECT(d) {
        ROW(d, "x_api_key");
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS("X_Api_Key: nothing", "X.Api.Key: nothing"))), 401);
        struct answer *r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS(key_header, "X_User_ID: root", "X.User.ID: root"));
        T_INT(c_status(r), 200);
        if (d == ENVOY) {
            T(slice_find(c_header(r, "x-envoy-auth-headers-to-remove"), S("X_User_ID")) != SIZE_MAX);
            T(slice_find(c_header(r, "x-envoy-auth-headers-to-remove"), S("X.User.ID")) != SIZE_MAX);
        } else if (d != DECIDE) {
            T(c_header(r, "X_User_ID").p && c_header(r, "X_User_ID").n == 0);
            T(c_header(r, "X.User.ID").p && c_header(r, "X.User.ID").n == 0);
        } else {
            T(slice_find(r->body, S("\"X_User_ID\"")) != SIZE_MAX);
        }
    }
    T_INT(c_raw(S("GET /auth/forward HTTP/1.1\r\nHost: p\r\nX_Forwarded_Method: GET\r\nX_Forwarded_Uri: /public\r\nX_Forwarded_Host: " HOST "\r\n\r\n"))->status, 403);
}

static void a05_other_forwarded_headers_change_nothing(void)
{
    EACH_DIALECT(d) {
        ROW(d, "prefix, port");
        T_INT(c_status(c_ask(d, "GET", HOST, "/admin/x", P_HEADERS("X-Forwarded-Prefix: /public", "X-Forwarded-Port: 443", "X-Forwarded-Server: x"))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/public/x", P_HEADERS("X-Forwarded-Prefix: /admin", "X-Forwarded-Port: 0"))), 200);
    }
}

static void a06_connection_lists_hide_nothing(void)
{
    for (int d = ENVOY; d <= FORWARD; d++) {
        ROW(d, "connection");
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS("Connection: keep-alive, x-api-key, X-User-ID"))), 401);
        struct answer *r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS(key_header, "Connection: X-User-ID, x-solo-plan"));
        T_INT(r->status, 200);
        T_TEXT(c_header(r, "X-User-ID"), "ann");
    }
}

static void a07_the_last_hop_is_the_client(void)
{
    static const struct {
        const char *list;
        int status;
        const char *ip;
    } rows[] = {
        {"10.0.0.1, 192.0.2.9", 200, "192.0.2.9"}, {"junk, 192.0.2.9", 200, "192.0.2.9"},
        {"::ffff:192.0.2.9", 200, "192.0.2.9"},    {"192.0.2.9, junk", 403, ""},
        {"192.0.2.9:80", 403, ""},                 {"192.0.2.9,", 403, ""},
        {"fe80::1%eth0", 403, ""},                 {"\"192.0.2.9\"", 403, ""},
        {"for=192.0.2.9", 403, ""},                {"2001:db8::1", 200, "2001:db8::1"},
    };
    char line[200];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].list);
        struct buf b;
        buf_init(&b, 0);
        buf_fmt(&b, "GET /auth/forward HTTP/1.1\r\nHost: p\r\nX-Forwarded-Method: GET\r\nX-Forwarded-Uri: /ip\r\nX-Forwarded-Host: " HOST "\r\nX-Forwarded-For: %s\r\n\r\n", rows[i].list);
        struct answer *r = c_raw(buf_all(&b));
        T_INT(r->status, rows[i].status);
        T_TEXT(c_header(r, "x-ip"), rows[i].ip);
        buf_free(&b);
    }
    snprintf(line, sizeof line, "X-Real-IP: %s", "10.0.0.1");
    T_INT(c_ask(NGINX, "GET", HOST, "/ip", P_HEADERS(line))->status, 403); /* twice */
    T_TEXT(c_header(c_ask(NGINX, "GET", HOST, "/ip", P_HEADERS("X-Forwarded-For: 1.2.3.4")), "x-ip"), "192.0.2.7");
    T_TEXT(c_header(c_ask(ENVOY, "GET", HOST, "/ip", P_HEADERS("X-Forwarded-For: 1.2.3.4")), "x-ip"), "192.0.2.7");
}

static void a08_no_exemptions(void)
{
    EACH_DIALECT(d) {
        ROW(d, "probes");
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS("User-Agent: GoogleHC/1.0", "X-Health-Check: 1"))), 401);
        T_INT(c_status(c_ask(d, "OPTIONS", HOST, "/keyed", P_HEADERS("Origin: x", "Access-Control-Request-Method: GET"))), 401);
    }
}

static void a09_identity_is_set_or_removed(void)
{
    const char *bare = p_header("X-Api-Key", p_key(NULL));
    EACH_DIALECT(d) {
        ROW(d, "forged");
        struct answer *r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS(key_header, "x-user-id: root", "X-SOLO-PLAN: gold"));
        T_INT(c_status(r), 200);
        if (d == DECIDE) {
            T(slice_find(r->body, S("\"X-User-ID\":\"ann\"")) != SIZE_MAX);
            T(slice_find(r->body, S("root")) == SIZE_MAX);
            continue;
        }
        T_TEXT(c_header(r, "X-User-ID"), "ann");
        T_TEXT(c_header(r, "X-Solo-Plan"), "bronze");
        r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS(bare, "x-user-id: root"));
        T_INT(r->status, 200);
        if (d == ENVOY) {
            T(slice_find(c_header(r, "x-envoy-auth-headers-to-remove"), S("X-User-ID")) != SIZE_MAX);
            T(slice_find(c_header(r, "x-envoy-auth-headers-to-remove"), S("X-Api-Key")) != SIZE_MAX);
        } else {
            T(c_header(r, "X-User-ID").p && c_header(r, "X-User-ID").n == 0);
            T(c_header(r, "X-Api-Key").p && c_header(r, "X-Api-Key").n == 0);
        }
    }
}

static void a10_values_that_break_a_head(void)
{
    const char *bad = p_header("X-Api-Key", p_key(P_HEADERS("username", "ann\r\nX-Admin: 1")));
    EACH_DIALECT(d) {
        ROW(d, "crlf");
        struct answer *r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS(bad));
        T_INT(c_status(r), 403);
        T(c_header(r, "x-admin").p == NULL);
    }
}

static void a11_to_17_paths(void)
{
    static const struct {
        const char *target;
        int status; /* 200 allowed; else any denial */
    } rows[] = {
        {"/public/x", 200},           {"/public", 200},              {"/public/../admin", 403},
        {"/public/%2e%2e/admin", 403}, {"/public/..%2fadmin", 403},   {"/public/%2E%2E%2Fadmin", 403},
        {"/public/..;/admin", 403},   {"/admin;x=1", 403},           {"//admin", 403},
        {"/./admin", 403},            {"/admin/", 403},              {"/ADMIN", 403},
        {"/%61dmin", 403},            {"/admin%00", 403},            {"/public\\..\\admin", 403},
        {"/public%5c..%5cadmin", 403}, {"/public%5C..%5Cadmin", 403}, {"/admin#/public", 403},
        {"/public#/admin", 403},      {"/admin?/public", 403},       {"/public/%252e%252e/admin", 403},
        {"/public/%2f", 403},         {"/public/%2F", 403},          {"//admin/x", 403},
        {"/admin?x=/public/", 403},   {"/public/?x=/admin", 200},    {"/public/x?y=..%2f", 200},
        {"/x?/public/", 403},         {"/public/%zz", 403},          {"/public/%", 403},
        {"/public/%0a", 403},         {"/public//x", 403},           {"/public/./x", 403},
        {"/public/x;jsessionid=1", 403}, {"/public/%3bx", 403},      {"/%70ublic/x", 200},
        {"/public/%c0%ae%c0%ae/admin", 403}, {"/public/%e2%82%ac", 200},
    };
    EACH_DIALECT(d) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            ROW(d, "%s", rows[i].target);
            int status = c_status(c_ask(d, "GET", HOST, rows[i].target, NULL));
            if (rows[i].status == 200)
                T_INT(status, 200);
            else
                T(status == 403 || status == 400);
        }
    }
}

static void a12_case_of_escapes(void)
{
    EACH_DIALECT(d) {
        ROW(d, "%%2f");
        T_TEXT(c_reason(c_ask(d, "GET", HOST, "/public/a%2fb", NULL)), "path_ambiguous");
        T_TEXT(c_reason(c_ask(d, "GET", HOST, "/public/a%2Fb", NULL)), "path_ambiguous");
    }
}

static void a16_exact_rules_see_no_query(void)
{
    EACH_DIALECT(d) {
        ROW(d, "query");
        T_INT(c_status(c_ask(d, "GET", HOST, "/get?x=1", NULL)), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/get?x=1", P_HEADERS(key_header))), 200);
        T_INT(c_status(c_ask(d, "GET", HOST, "/get?", P_HEADERS(key_header))), 200);
    }
}

static void a17_a19_targets_that_are_none(void)
{
    static const char *const targets[] = {"admin", "*", "http://" HOST "/public", "api.example.com:443", "?x", "../x"};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        T_ROW("%s", targets[i]);
        T(c_status(c_ask(FORWARD, "GET", HOST, targets[i], NULL)) != 200);
        T(c_status(c_ask(GRPC, "GET", HOST, targets[i], NULL)) != 200);
        T(c_status(c_ask(DECIDE, "GET", HOST, targets[i], NULL)) != 200);
    }
    static const char *const urls[] = {"/public", "https:///public", "ftp://" HOST "/public", "https://" HOST, "://" HOST "/public",
                                       "https://" HOST "?/public", "https://user@" HOST "/public", "https:/" HOST "/public", "junk"};
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct buf b;
        T_ROW("%s", urls[i]);
        buf_init(&b, 0);
        buf_fmt(&b, "GET /auth/nginx HTTP/1.1\r\nHost: p\r\nX-Original-Method: GET\r\nX-Original-URL: %s\r\n\r\n", urls[i]);
        T_INT(c_raw(buf_all(&b))->status, 403);
        buf_free(&b);
    }
}

static void a18_hosts(void)
{
    static const char *const same[] = {"API.Example.com", "api.example.com.", "api.example.com:443", "API.EXAMPLE.COM.:8443"};
    static const char *const other[] = {"user@api.example.com", "api.example.com:port", "api.example.com@evil", "evil.com", "api.example.com.evil", "api.example.com..", "a b"};
    EACH_DIALECT(d) {
        for (size_t i = 0; i < ARRAY_LEN(same); i++) {
            ROW(d, "%s", same[i]);
            T_INT(c_status(c_ask(d, "GET", same[i], "/public", NULL)), 200);
        }
        for (size_t i = 0; i < ARRAY_LEN(other); i++) {
            ROW(d, "%s", other[i]);
            T(c_status(c_ask(d, "GET", other[i], "/public", NULL)) != 200);
        }
    }
    T(c_ask(FORWARD, "GET", HOST, "/public", P_HEADERS("X-Forwarded-Host: evil.com"))->status == 403);
    T(c_ask(ENVOY, "GET", HOST, "/public", P_HEADERS("Host: evil.com"))->status == 400);
}

static void a20_nothing_said_is_denied(void)
{
    EACH_DIALECT(d) {
        ROW(d, "no route");
        T_TEXT(c_reason(c_ask(d, "GET", HOST, "/unknown", NULL)), "no_route");
    }
    T_INT(c_raw(S("GET / HTTP/1.1\r\nHost: p\r\n\r\n"))->status, 404);
    T_INT(c_raw(S("GET /auth HTTP/1.1\r\nHost: p\r\n\r\n"))->status, 404);
    T_INT(c_raw(S("GET /auth/nginx/ HTTP/1.1\r\nHost: p\r\n\r\n"))->status, 404);
    T_INT(c_raw(S("GET /auth/envoyer HTTP/1.1\r\nHost: p\r\n\r\n"))->status, 404);
}

static void a21_methods(void)
{
    EACH_DIALECT(d) {
        ROW(d, "methods");
        T_INT(c_status(c_ask(d, "GET", HOST, "/get", P_HEADERS(key_header))), 200);
        T_TEXT(c_reason(c_ask(d, "POST", HOST, "/get", P_HEADERS(key_header, "X-HTTP-Method-Override: GET"))), "no_route");
        T_TEXT(c_reason(c_ask(d, "get", HOST, "/get", P_HEADERS(key_header))), "no_route");
        T_TEXT(c_reason(c_ask(d, "OPTIONS", HOST, "/get", P_HEADERS(key_header))), "no_route");
        T_INT(c_status(c_ask(d, "HEAD", HOST, "/get", P_HEADERS(key_header))), 403);
    }
    T(c_status(c_ask(FORWARD, "GE T", HOST, "/public", NULL)) != 200);
    T(c_status(c_ask(NGINX, "", HOST, "/public", NULL)) != 200);
    T(c_status(c_ask(GRPC, "GE T", HOST, "/public", NULL)) != 200);
    T(c_status(c_ask(GRPC, "", HOST, "/public", NULL)) != 200);
}

static void a22_doubled_headers(void)
{
    static char joined[200];
    snprintf(joined, sizeof joined, "%s,other", key_header);
    EACH_DIALECT(d) {
        ROW(d, "two keys");
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS(key_header, "X-Api-Key: other"))), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS("x-api-key: other", key_header))), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS(joined))), 401);
    }
    T_INT(c_ask(NGINX, "GET", HOST, "/public", P_HEADERS("X-Original-URL: https://" HOST "/public"))->status, 403);
    T_INT(c_ask(NGINX, "GET", HOST, "/public", P_HEADERS("X-Original-Method: GET"))->status, 403);
    T_INT(c_ask(FORWARD, "GET", HOST, "/public", P_HEADERS("X-Forwarded-Uri: /public"))->status, 403);
    T_INT(c_ask(FORWARD, "GET", HOST, "/public", P_HEADERS("X-Forwarded-Method: GET"))->status, 403);
    T_INT(c_ask(FORWARD, "GET", HOST, "/public", P_HEADERS("X-Forwarded-Proto: http"))->status, 403);
    T_INT(c_ask(ENVOY, "GET", HOST, "/public", P_HEADERS("X-Postern-Client-IP: 1.2.3.4"))->status, 403);
}

/* user:password and user:wrong */
#define BASIC_RIGHT "Authorization: Basic dXNlcjpwYXNzd29yZA=="
#define BASIC_WRONG "Authorization: Basic dXNlcjp3cm9uZw=="

static void a22_two_authorizations(void)
{
    EACH_DIALECT(d) {
        ROW(d, "two authorizations");
        T_INT(c_status(c_ask(d, "GET", HOST, "/basic", P_HEADERS(BASIC_RIGHT))), 200);
        T_INT(c_status(c_ask(d, "GET", HOST, "/basic", P_HEADERS(BASIC_RIGHT, BASIC_WRONG))), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/basic", P_HEADERS(BASIC_WRONG, "authorization: Basic dXNlcjpwYXNzd29yZA=="))), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/basic", P_HEADERS(BASIC_RIGHT ", Basic dXNlcjp3cm9uZw=="))), 401);
    }
}

static void a23_members_of_a_list(void)
{
    EACH_DIALECT(d) {
        ROW(d, "lists");
        T_INT(c_status(c_ask(d, "GET", HOST, "/role", P_HEADERS("X-Role: user"))), 200);
        T_INT(c_status(c_ask(d, "GET", HOST, "/role", P_HEADERS("X-Role: admin"))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/role", P_HEADERS("X-Role: user,admin"))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/role", P_HEADERS("x-role: admin , user"))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/role", P_HEADERS("X-Role: user", "X-Role: admin"))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/role", P_HEADERS("X-Role: user", "x-role: guest, admin,"))), 403);
    }
}

static void a24_a25_odd_bytes(void)
{
    for (int d = ENVOY; d <= FORWARD; d++) {
        ROW(d, "bytes");
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS("X-Api-Key: \xff\xfe"))), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS(key_header, "X-Other: \xff\xfe"))), 200);
    }
    /* In gRPC's strings they are malformed: a denial, not an error that a gateway might let pass. */
    T_TEXT(c_reason(c_ask(GRPC, "GET", HOST, "/keyed", P_HEADERS(key_header, "X-Other: \xff\xfe"))), "utf8_malformed");
    T_TEXT(c_reason(c_ask(GRPC, "GET", HOST, "/public/\xff", NULL)), "utf8_malformed");
    T_TEXT(c_reason(c_ask(GRPC, "GET", HOST, "/keyed", P_HEADERS(key_header, "X-Other: a\001b"))), "header_malformed");
    struct answer *r = c_raw(S("GET /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nX-A: a\0b\r\n\r\n"));
    T_INT(r->status, 400);
    T(r->closed);
    T_INT(c_raw(S("GET /auth/envoy/pub\0lic HTTP/1.1\r\nHost: " HOST "\r\n\r\n"))->status, 400);
}

static void a49_credentials_stay_here(void)
{
    EACH_DIALECT(d) {
        ROW(d, "credentials");
        static const char *const paths[] = {"/keyed", "/basic"}, *const names[] = {"X-Api-Key", "uthorization"}; /* in either case */
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
            struct answer *r = c_ask(d, "GET", HOST, paths[i], P_HEADERS(i ? BASIC_RIGHT : key_header));
            T_INT(c_status(r), 200);
            if (d == ENVOY)
                T(slice_find(c_header(r, "x-envoy-auth-headers-to-remove"), slice_str(names[i])) != SIZE_MAX);
            else if (d == DECIDE)
                T(slice_find(slice_from(r->body, slice_find(r->body, S("\"remove\""))), slice_str(names[i])) != SIZE_MAX);
            else
                T(c_header(r, i ? "Authorization" : names[i]).p && c_header(r, i ? "Authorization" : names[i]).n == 0);
        }
    }
}

/* Whatever is wrong with a credential, the client gets the same answer. */
static void a52_refusals_are_alike(void)
{
    static const char *const keys[] = {"X-Api-Key: pst_unknown", "X-Api-Key: x", "X-Api-Key: pst_0000000000000000000000000000000000000000000000"};
    for (int d = ENVOY; d <= FORWARD; d++) {
        struct slice head = {0}, body = {0};
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            ROW(d, "%s", keys[i]);
            struct answer *r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS(keys[i]));
            T_INT(c_status(r), 401);
            if (i == 0) {
                head = arena_dup(&p.arena, c_header(r, "www-authenticate"));
                body = arena_dup(&p.arena, r->body);
            }
            T(slice_eq(head, c_header(r, "www-authenticate")));
            T(slice_eq(body, r->body));
        }
    }
}

/* Whoever guesses waits, in every dialect, and nobody else does. */
static void a52_guessing_ends(void)
{
    static const char wrong[] = "Authorization: Basic dXNlcjpub3RoaW5n", right[] = "Authorization: Basic dXNlcjpwYXNzd29yZA==";
    struct throttle_opts to = {.address_failures = 6, .account_failures = 3, .window_ms = 3600000};
    struct check_opts o = c_opts(true);
    c_stop();
    p.throttle = throttle_open(&to);
    c_start(&o);
    EACH_DIALECT(d) {
        char guesser[40], other[40];
        snprintf(guesser, sizeof guesser, "192.0.2.%d", 20 + d);
        snprintf(other, sizeof other, "198.51.100.%d", 20 + d);
        c_source = guesser;
        for (int i = 0; i < 3; i++) {
            ROW(d, "password %d", i);
            T_INT(c_status(c_ask(d, "GET", HOST, "/basic", P_HEADERS(wrong))), 401);
        }
        for (int i = 0; i < 3; i++) {
            ROW(d, "password %d", 3 + i);
            struct answer *r = c_ask(d, "GET", HOST, "/basic", P_HEADERS(i == 1 ? right : wrong));
            T_INT(c_status(r), 429);
            T_TEXT(c_reason(r), "account_throttled");
            T(d == DECIDE ? slice_find(r->body, S("\"Retry-After\":\"")) != SIZE_MAX : c_header(r, "retry-after").n > 0);
        }
        for (int i = 0; i < 5; i++) {
            struct answer *r = c_ask(d, "GET", HOST, "/keyed", P_HEADERS("X-Api-Key: guess"));
            ROW(d, "key %d", i);
            T_INT(c_status(r), i < 3 ? 401 : 429);
            T_TEXT(c_reason(r), i < 3 ? "key_unknown" : "address_throttled");
        }
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", NULL)), 401);
        T_INT(c_status(c_ask(d, "GET", HOST, "/public", NULL)), 200);
        c_source = other;
        ROW(d, "somebody else");
        T_INT(c_status(c_ask(d, "GET", HOST, "/basic", P_HEADERS(right))), 200);
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", P_HEADERS(key_header))), 200);
    }
    c_source = NULL;
    c_stop();
    throttle_close(p.throttle);
    p.throttle = NULL;
    c_start(&o);
}

static void a53_expressions_end(void)
{
    static char target[17000] = "/re/", header[8000] = "X-A: ";
    memset(target + 4, 'a', 12000);
    memset(header + 5, 'a', 4000);
    EACH_DIALECT(d) {
        ROW(d, "runaway");
        T_INT(c_status(c_ask(d, "GET", HOST, "/re/aab", NULL)), 200);
        T(c_status(c_ask(d, "GET", HOST, target, NULL)) != 200);
        T(c_status(c_ask(d, "GET", HOST, "/broken", P_HEADERS(header))) != 200);
        T_INT(c_status(c_ask(d, "GET", HOST, "/public", NULL)), 200);
    }
    memset(target + 4, 'a', sizeof target - 5); /* beyond the bound of a target */
    EACH_DIALECT(d) {
        ROW(d, "long");
        T(c_status(c_ask(d, "GET", HOST, target, NULL)) != 200);
    }
}

static void a54_smuggling(void)
{
    static const struct {
        struct slice bytes;
        int status;
    } rows[] = {
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 5, 6\r\n\r\nhello"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: +5\r\n\r\nhello"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 400},
        {SLIT("GET /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nX-A: b\r\n c\r\n\r\n"), 400},
        {SLIT("GET /auth/envoy/public HTTP/1.1\nHost: " HOST "\n\n"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"), 400},
        {SLIT("POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"), 400},
        {SLIT("GET /auth/envoy/public HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400},
        {SLIT("GET /auth/envoy/public HTTP/1.1\r\n\r\n"), 400},
        {SLIT("GET /auth/envoy/public HTTP/2.0\r\nHost: " HOST "\r\n\r\n"), 505},
        {SLIT("GET  /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\n\r\n"), 400},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("bytes %zu", i);
        struct answer *r = c_raw(rows[i].bytes);
        T_INT(r->status, rows[i].status);
        T(r->closed);
    }
}

/* A body never becomes the next request, with or without a length, even of a GET. */
static void a54_bodies_are_consumed(void)
{
    static const char *const bodies[] = {
        "GET /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 60\r\n\r\nGET /auth/envoy/admin HTTP/1.1\r\nHost: api.example.com\r\n\r\nxxx",
        "POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3c\r\nGET /auth/envoy/admin HTTP/1.1\r\nHost: api.example.com\r\n\r\nxxx\r\n0\r\nTrailer: x\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        static struct answer r;
        struct buf left;
        int fd = c_connect();
        T_ROW("body %zu", i);
        buf_init(&left, 0);
        c_send(fd, bodies[i], strlen(bodies[i]));
        c_send(fd, "GET /auth/envoy/keyed HTTP/1.1\r\nHost: " HOST "\r\n\r\n", strlen("GET /auth/envoy/keyed HTTP/1.1\r\nHost: " HOST "\r\n\r\n"));
        c_read(fd, &r, false, &left);
        T_INT(r.status, 200);
        c_read(fd, &r, false, &left);
        T_INT(r.status, 401);
        close(fd);
        buf_free(&left);
    }
}

static void a56_bodies_have_a_bound(void)
{
    static const char *const heads[] = {
        "POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 1048577\r\n\r\n",
        "POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /v1/decide HTTP/1.1\r\nHost: p\r\nContent-Length: 1048577\r\n\r\n",
        "POST /json HTTP/1.1\r\nHost: p\r\nContent-Length: 1048577\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        T_ROW("head %zu", i);
        struct answer *r = c_raw(slice_str(heads[i]));
        T(r->status == 413 || r->status == 400);
        T(r->closed);
    }
    struct buf b;
    buf_init(&b, 0);
    buf_lit(&b, "POST /auth/envoy/public HTTP/1.1\r\nHost: " HOST "\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; i++)
        buf_fmt(&b, "8000\r\n%032768d\r\n", 0);
    buf_lit(&b, "0\r\n\r\n");
    struct answer *r = c_raw(buf_all(&b));
    T(r->status != 200);
    buf_free(&b);
}

static void a57_no_path_to_decide_on(void)
{
    static const char *const requests[] = {
        "CONNECT api.example.com:443 HTTP/1.1\r\nHost: " HOST "\r\n\r\n",
        "CONNECT /auth/envoy HTTP/1.1\r\nHost: " HOST "\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: " HOST "\r\n\r\n",
        "GET /auth/forward HTTP/1.1\r\nHost: p\r\nX-Forwarded-Method: CONNECT\r\nX-Forwarded-Uri: \r\nX-Forwarded-Host: " HOST "\r\n\r\n",
        "GET /auth/forward HTTP/1.1\r\nHost: p\r\nX-Forwarded-Method: CONNECT\r\nX-Forwarded-Uri: " HOST ":443\r\nX-Forwarded-Host: " HOST "\r\n\r\n",
        "GET /auth/nginx HTTP/1.1\r\nHost: p\r\nX-Original-Method: CONNECT\r\nX-Original-URL: " HOST ":443\r\n\r\n",
        "POST /v1/decide HTTP/1.1\r\nHost: p\r\nContent-Length: 39\r\n\r\n{\"method\":\"CONNECT\",\"host\":\"h\",\"path\":0}",
        "POST /v1/decide HTTP/1.1\r\nHost: p\r\nContent-Length: 20\r\n\r\n{\"method\":\"CONNECT\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        T_ROW("request %zu", i);
        struct answer *r = c_raw(slice_str(requests[i]));
        T(r->status >= 400 || c_status(r) >= 400);
        T_INT(c_ask(ENVOY, "GET", HOST, "/public", NULL)->status, 200); /* and the door stands */
    }
}

/* The next set lacks what a policy needs: what depends on it is denied, the rest goes on. */
static void a60_what_is_missing_denies(void)
{
    static const char broken[] =
        "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n  hosts: [api.example.com]\n  http:\n"
        "  - {name: a, labels: {p: gone}, matchers: [{uri: {prefix: /a}}]}\n  - {name: b, matchers: [{uri: {prefix: /b}}]}\n"
        "---\napiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\nmetadata: {name: l}\nspec:\n"
        "  applyToRoutes: [{route: {labels: {p: gone}}}]\n  config: {ratelimitServerConfig: {name: nowhere}, ratelimitClientConfig: {name: nowhere}}\n";
    if (c_use(broken)) /* or the whole set is refused: then nothing has changed */
        EACH_DIALECT(d) {
            ROW(d, "missing");
            T(c_status(c_ask(d, "GET", HOST, "/a", NULL)) != 200);
            T_INT(c_status(c_ask(d, "GET", HOST, "/b", NULL)), 200);
        }
    MUST(c_use(policies));
}

static void a63_values_cannot_share_a_counter(void)
{
    static const char *const pairs[][2] = {
        {"x", "y_z"}, {"x_y", "z"}, {"x|b^y", "z"}, {"x", "b^y|z"}, {"x^y", "z"}, {"x", "y^z"}, {"x%5E", "y"}, {"x^", "y"}, {"x\\", "y"},
    };
    char a[64], b[64];
    EACH_DIALECT(d) {
        for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
            ROW(d, "%s, %s", pairs[i][0], pairs[i][1]);
            snprintf(a, sizeof a, "X-A: %d%s", d, pairs[i][0]);
            snprintf(b, sizeof b, "X-B: %s", pairs[i][1]);
            T_INT(c_status(c_ask(d, "GET", HOST, "/limited", P_HEADERS(a, b))), 200);
            T_INT(c_status(c_ask(d, "GET", HOST, "/limited", P_HEADERS(a, b))), 429);
        }
    }
}

static void a65_nothing_listens_beyond_loopback(void)
{
    struct slice page;
    struct err e = {0};
    static const char *const ports[] = {"check", "redis", "portal", "admin"};
    T_INT(file_read(&p.arena, "docs/configuration.md", 1 << 20, &page, &e), RC_OK);
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) { /* the page is made from the table of settings */
        struct slice rest = slice_from(page, slice_find(page, arena_fmt(&p.arena, "\n## %s.listen\n", ports[i])));
        size_t at = slice_find(rest, S("- default: `"));
        T_ROW("%s", ports[i]);
        T(at != SIZE_MAX && slice_starts(slice_from(rest, at), S("- default: `127.0.0.1:")));
    }
}

/* Random tables of routes, some of which refuse everybody: one more that refuses never opens a path. */
static void a67_one_more_refusal_opens_nothing(void)
{
    static const char *const paths[] = {"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/b", "/b/c"};
    static const char *const hosts[] = {"'*'", "'*.example.com'", "api.example.com"};
    unsigned seed = 20261121;
    for (int round = 0; round < 60; round++) {
        char text[2][6000];
        bool before[ARRAY_LEN(paths)] = {0};
        int n = 1 + (int)((seed = seed * 1103515245 + 12345) >> 16) % 5, extra = (int)((seed >> 8) % (unsigned)(n + 1));
        for (int k = 0; k < 2; k++) {
            unsigned s = seed;
            char *at = text[k];
            for (int i = 0; i <= n; i++) {
                s = s * 1103515245 + 12345;
                bool deny = i == extra || (s >> 20) % 3 == 0;
                if (i == extra && k == 0)
                    continue;
                at += sprintf(at, "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r%d}\nspec: {hosts: [%s], http: [{labels: {auth: %s}, matchers: [{uri: {%s: %s}}]}]}\n---\n",
                              i, hosts[(s >> 16) % 3], deny ? "nobody" : "none", (s >> 18) % 2 ? "exact" : "prefix", paths[(s >> 8) % ARRAY_LEN(paths)]);
            }
            sprintf(at, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: n}\nspec:\n  applyToRoutes: [{route: {labels: {auth: nobody}}}]\n"
                        "  config: {glooAuth: {configs: [{luaAuth: {inline: 'return function() return false end'}}]}}\n");
            if (!c_use(text[k]))
                return T(false);
            for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                bool open = c_status(c_ask(DECIDE, "GET", HOST, paths[i], NULL)) == 200;
                T_ROW("round %d, %s", round, paths[i]);
                T(k == 0 || !open || before[i]);
                before[i] = open;
            }
        }
    }
    MUST(c_use(policies));
}

/* Nothing of one request is remembered for another: each thing that a rule read is varied after an allow. */
static void a68_an_allow_is_for_that_request_only(void)
{
    const char *other = p_header("X-Api-Key", p_key(P_HEADERS("username", "bea")));
    EACH_DIALECT(d) {
        ROW(d, "varied");
        T_INT(c_status(c_ask(d, "GET", HOST, "/get", P_HEADERS(key_header))), 200);
        T_INT(c_status(c_ask(d, "POST", HOST, "/get", P_HEADERS(key_header))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/admin", P_HEADERS(key_header))), 403);
        T_INT(c_status(c_ask(d, "GET", "other.example.com", "/get", P_HEADERS(key_header))), 403);
        T_INT(c_status(c_ask(d, "GET", HOST, "/get", NULL)), 401);
        struct answer *r = c_ask(d, "GET", HOST, "/get", P_HEADERS(other));
        T_INT(c_status(r), 200);
        if (d == DECIDE)
            T(slice_find(r->body, S("\"X-User-ID\":\"bea\"")) != SIZE_MAX);
        else
            T_TEXT(c_header(r, "X-User-ID"), "bea");
    }
}

static void a62_a_bad_set_changes_nothing(void)
{
    T(!c_use("kind: RouteTabel\n"));
    EACH_DIALECT(d) {
        ROW(d, "after a bad load");
        T_INT(c_status(c_ask(d, "GET", HOST, "/public", NULL)), 200);
        T_INT(c_status(c_ask(d, "GET", HOST, "/keyed", NULL)), 401);
    }
}

/* Attacks whose test is not of this file; test: what that file has. NULL: not testable today, the page says why. */
static const struct {
    int first, last;
    const char *file, *test;
} elsewhere[] = {
    {22, 22, "tests/unit/check/test_attacks_tokens.c", "a22_two_credentials"},
    {26, 26, "tests/unit/check/test_attacks_tokens.c", "a26_cookies_that_are_no_session"},
    {28, 29, "tests/unit/check/test_attacks_tokens.c", "a28_a29_a43_where_the_browser_is_sent"},
    {30, 34, "tests/unit/check/test_attacks_tokens.c", "a30_to_a34_signatures"},
    {35, 35, "tests/unit/check/test_attacks_tokens.c", "a35_claims"},
    {36, 36, "tests/unit/check/test_attacks_tokens.c", "a36_forms"},
    {38, 38, "tests/unit/check/test_attacks_tokens.c", "a38_a_token_under_another_rule"},
    {39, 39, "tests/unit/check/test_attacks_tokens.c", "a39_answers_of_no_login"},
    {41, 41, "tests/unit/check/test_attacks_tokens.c", "a28_a29_a43_where_the_browser_is_sent"},
    {43, 43, "tests/unit/check/test_attacks_tokens.c", "a28_a29_a43_where_the_browser_is_sent"},
    {46, 46, "tests/unit/check/test_attacks_tokens.c", "a46_cookies_have_bounds"},
    {49, 49, "tests/unit/check/test_attacks_tokens.c", "a49_sessions_stay_here"},
    {26, 26, "tests/unit/policy/test_oidc.c", "cookies_that_are_none"},
    {27, 27, "tests/box/test_portal_web.mjs", "where to go after signing in"},
    {27, 27, "tests/unit/policy/test_oidc.c", "where_one_goes_afterwards"},
    {28, 29, "tests/unit/policy/test_oidc.c", "the_way_to_the_provider"},
    {30, 30, "tests/unit/wire/test_jwt_attacks.c", "attack_30_alg_none"},
    {31, 31, "tests/unit/wire/test_jwt_attacks.c", "attack_31_the_public_key_as_a_secret"},
    {32, 32, "tests/unit/wire/test_jwt_attacks.c", "attack_32_keys_in_the_header"},
    {33, 33, "tests/unit/wire/test_jwt_attacks.c", "attack_33_kid"},
    {34, 34, "tests/unit/wire/test_jwt_attacks.c", "attack_34_odd_numbers"},
    {30, 34, "tests/unit/policy/test_jwt_steps.c", "attacks_30_to_34"},
    {35, 35, "tests/unit/wire/test_jwt.c", "dates_issuer_and_audience"},
    {35, 35, "tests/unit/policy/test_jwt_steps.c", "attack_35_time"},
    {36, 36, "tests/unit/wire/test_jwt_attacks.c", "attack_36_form"},
    {37, 37, "tests/unit/policy/test_jwks.c", "attack_37_redirects_and_sizes"},
    {38, 38, "tests/unit/policy/test_jwt_steps.c", "attack_38_what_is_remembered"},
    {39, 39, "tests/unit/policy/test_oidc.c", "state_is_bound_and_used_once"},
    {39, 39, "tests/unit/policy/test_oidc.c", "logins_side_by_side"},
    {40, 40, "tests/unit/policy/test_oidc.c", "id_tokens_that_do_not_count"},
    {41, 41, "tests/unit/policy/test_oidc.c", "code_challenge_method"},
    {42, 42, "tests/unit/policy/test_lua_policies.c", "a@example.com@evil.org"},
    {43, 43, "tests/unit/policy/test_oidc.c", "doubled_and_odd_parameters"},
    {44, 44, "tests/unit/policy/test_basic.c", "one_principal"},
    {45, 47, "tests/box/test_portal_api.py", "the cookie has its bounds"},
    {45, 45, "tests/unit/policy/test_oidc.c", "new_sessions_have_new_ids"},
    {48, 48, "tests/box/test_portal_api.py", "disabled: the session ends"},
    {48, 48, "tests/unit/policy/test_oidc.c", "signed_out_by_the_provider"},
    {50, 50, "tests/unit/policy/test_keys.c", "keyrec_is_gloos_json"},
    {51, 51, "tests/unit/policy/test_basic.c", "refusals_are_alike"},
    {24, 24, "tests/unit/check/test_grpc.c", "no_question_is_an_error"},
    {55, 55, "tests/unit/check/test_h2.c", "rapid_reset"},
    {55, 55, "tests/unit/check/test_h2.c", "continuation_flood"},
    {55, 55, "tests/unit/check/test_h2.c", "hpack_bomb"},
    {55, 55, "tests/unit/check/test_h2.c", "zero_window_stall"},
    {55, 55, "tests/unit/check/test_h2.c", "settings_flood"},
    {55, 55, "tests/unit/check/test_h2.c", "ping_flood"},
    {55, 55, "tests/unit/check/test_h2.c", "trailers that do not end the stream"},
    {55, 55, "tests/unit/check/test_grpc.c", "a prefix that promises too much"},
    {58, 58, "tests/unit/check/test_h2.c", "requests_that_do_not_end"},
    {58, 58, "tests/unit/check/test_door.c", "slow_requests_end"},
    {59, 59, "tests/unit/net/test_tls.c", "broken_settings_are_refused"},
    {61, 61, "tests/box/test_gateways.py", "429"},
    {64, 64, "tests/unit/store/test_evict.c", "noeviction_refuses"},
    {66, 66, NULL, "we write no configuration of gateways"},
};

static void tests_that_are_elsewhere(void)
{
    for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
        struct slice text = S("");
        struct err e = {0};
        T_ROW("%d %s", elsewhere[i].first, elsewhere[i].test);
        if (!elsewhere[i].file)
            continue;
        T_INT(file_read(&p.arena, elsewhere[i].file, 1 << 20, &text, &e), RC_OK);
        T(slice_find(text, slice_str(elsewhere[i].test)) != SIZE_MAX);
    }
}

/* Every number has its row on the page, and a test here or a line in the table. */
static void every_number_is_accounted_for(void)
{
    struct slice page = S(""), own = S("");
    struct err e = {0};
    T_INT(file_read(&p.arena, "docs/security.md", 1 << 20, &page, &e), RC_OK);
    T_INT(file_read(&p.arena, "tests/unit/check/test_attacks.c", 1 << 20, &own, &e), RC_OK);
    for (int n = 1; n <= 68; n++) {
        bool there = n >= 11 && n <= 17; /* a11_to_17 */
        T_ROW("%d", n);
        T(slice_find(page, arena_fmt(&p.arena, "\n| %d | ", n)) != SIZE_MAX);
        for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++)
            there = there || (n >= elsewhere[i].first && n <= elsewhere[i].last);
        T(there || slice_find(own, arena_fmt(&p.arena, "a%02d_", n)) != SIZE_MAX);
    }
}

int main(void)
{
    c_ask_grpc = g_ask;
    c_init(true);
    MUST(c_use(policies));
    key_header = p_header("X-Api-Key", p_key(P_HEADERS("username", "ann", "usagePlan", "bronze")));
    T_RUN(a01_strangers_are_not_believed);
    T_RUN(a02_headers_of_other_dialects_are_not_read);
    T_RUN(a03_missing_headers_deny);
    T_RUN(a04_odd_spellings_are_not_read_and_go);
    T_RUN(a05_other_forwarded_headers_change_nothing);
    T_RUN(a06_connection_lists_hide_nothing);
    T_RUN(a07_the_last_hop_is_the_client);
    T_RUN(a08_no_exemptions);
    T_RUN(a09_identity_is_set_or_removed);
    T_RUN(a10_values_that_break_a_head);
    T_RUN(a11_to_17_paths);
    T_RUN(a12_case_of_escapes);
    T_RUN(a16_exact_rules_see_no_query);
    T_RUN(a17_a19_targets_that_are_none);
    T_RUN(a18_hosts);
    T_RUN(a20_nothing_said_is_denied);
    T_RUN(a21_methods);
    T_RUN(a22_doubled_headers);
    T_RUN(a22_two_authorizations);
    T_RUN(a23_members_of_a_list);
    T_RUN(a24_a25_odd_bytes);
    T_RUN(a49_credentials_stay_here);
    T_RUN(a52_refusals_are_alike);
    T_RUN(a52_guessing_ends);
    T_RUN(a53_expressions_end);
    T_RUN(a54_smuggling);
    T_RUN(a54_bodies_are_consumed);
    T_RUN(a56_bodies_have_a_bound);
    T_RUN(a57_no_path_to_decide_on);
    T_RUN(a60_what_is_missing_denies);
    T_RUN(a62_a_bad_set_changes_nothing);
    T_RUN(a63_values_cannot_share_a_counter);
    T_RUN(a65_nothing_listens_beyond_loopback);
    T_RUN(a67_one_more_refusal_opens_nothing);
    T_RUN(a68_an_allow_is_for_that_request_only);
    T_RUN(tests_that_are_elsewhere);
    T_RUN(every_number_is_accounted_for);
    c_stop();
    p_done();
    return t_done();
}
