/*
 * test_gloo.c - policy files as Gloo's users have them: every field of theirs is honoured, or a notice or an
 * error says what to do instead. Nothing is ignored in silence.
 */
#include "p.h"
#include "policy/transform.h"

#include <stdio.h>
#include <string.h>

#define EDGE "apiVersion: enterprise.gloo.solo.io/v1\nkind: AuthConfig\nmetadata: {name: a, namespace: gloo-system}\nspec:\n"
#define STEP(text) EDGE "  configs: [{" text "}]\n"
#define CODE(text) STEP("oauth2: {oidcAuthorizationCode: {appUrl: 'https://app.example.com', callbackPath: /callback, " \
                        "clientId: c, clientSecretRef: {name: oauth, namespace: gloo-system}, issuerUrl: 'https://idp.example.com/', " text "}}")
#define ROUTES(text) "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r, namespace: n}\nspec:\n" text
#define POLICY(kind, text) "apiVersion: security.policy.gloo.solo.io/v2\nkind: " kind "\nmetadata: {name: p, namespace: n}\nspec:\n" text
#define TRAFFIC(kind, text) "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: " kind "\nmetadata: {name: p, namespace: n}\nspec:\n" text
#define PROVIDER(text) POLICY("JWTPolicy", "  config:\n    providers:\n      k: {" text "}\n")
#define INJA(side, text) TRAFFIC("TransformationPolicy", "  config: {" side ": {injaTemplate: {" text "}}}\n")
#define OTHER(group, kind) "apiVersion: " group "\nkind: " kind "\nmetadata: {name: x, namespace: gloo-system}\nspec: {a: {b: c}}\n"
#define APIKEY(text) STEP("apiKeyAuth: {" text "}")
#define STORED "k8sSecretApikeyStorage: {labelSelector: {team: infrastructure}}"

static const char secrets[] =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: infra-apikey, namespace: gloo-system, labels: {team: infrastructure}}\n"
    "type: extauth.solo.io/apikey\nstringData: {api-key: N2YwMDIxZTEtNGUzNS1jNzgzLTRkYjAtYjE2YzRkZGVmNjcy, user-id: '1'}\n---\n"
    "apiVersion: v1\nkind: Secret\nmetadata: {name: hm, namespace: gloo-system}\nstringData: {shared-secret: xyz}\n---\n"
    "apiVersion: v1\nkind: Secret\nmetadata: {name: oauth, namespace: gloo-system}\ntype: extauth.solo.io/oauth\n"
    "stringData: {client-secret: 'client_secret: foo'}\n---\n"
    "apiVersion: v1\nkind: Secret\nmetadata: {name: enc, namespace: gloo-system}\ntype: gloo.solo.io.EncryptionKeySecret\n"
    "stringData: {key: '01234567890123456789012345678901'}\n---\n"
    "apiVersion: v1\nkind: Secret\nmetadata: {name: cred, namespace: gloo-system}\nstringData: {username: u, password: p}\n";

/* says: what is noticed, in order of the faults, each a word of the path and one of the text. */
struct row {
    const char *name, *text;
    struct {
        const char *path, *text;
    } says[8];
    bool refused;
};

static const struct row rows[] = {
    /* ---- 1.1 wrapper objects ---- */
    {"selectors", POLICY("ExtAuthPolicy", "  applyToRoutes: [{route: {labels: {}}, withDestinations: [{name: x}]}]\n"
                         "  applyToDestinations: [{selector: {name: x}}]\n"
                         "  config: {server: {name: s, namespace: n, cluster: c}, glooAuth: {configs: [{apiKeyAuth: {}}]}}\n"),
     {{"withDestinations", "use route.labels"}, {"applyToDestinations", "use applyToRoutes"}, {"config.server", "Postern is the server"}}, false},
    {"selectors, the other spelling", POLICY("ExtAuthPolicy", "  apply_to_routes: [{route: {labels: {}}}]\n"
                         "  config: {gloo_auth: {fail_on_redirect: true, boolean_expr: config_0, configs: [{api_key_auth: {}}]}}\n"), {{0}}, false},
    {"customAuth", POLICY("ExtAuthPolicy", "  config: {customAuth: {contextExtensions: {a: b}}}\n"),
     {{"customAuth", "routes are denied"}, {"", "has no glooAuth"}}, false},
    {"disable", POLICY("ExtAuthPolicy", "  config: {disable: true}\n"), {{"disable", "take the label off"}, {"", "has no glooAuth"}}, false},
    {"names and expression", EDGE "  booleanExpr: '(a || b) && !config_2'\n  failOnRedirect: true\n"
     "  configs: [{name: a, jwt: {}}, {name: b, apiKeyAuth: {}}, {apiKeyAuth: {}}]\n", {{0}}, false},
    {"a name that is a map", EDGE "  configs: [{name: {value: a}, jwt: {}}]\n", {{"configs[0].name", "expected text, found a map"}}, true},
    {"a name that is nothing", EDGE "  configs: [{name: '', jwt: {}}]\n", {{"configs[0].name", "expected text, found nothing"}}, true},
    /* ---- 1.4 basicAuth ---- */
    {"apr", STEP("basicAuth: {realm: gloo, apr: {users: {user: {salt: TYiryv0/, hashedPassword: 8BvzLUO9IfGPGGsPnAgSu1}}}}"), {{0}}, false},
    {"sha1", STEP("basic_auth: {encryption: {sha1: {}}, user_list: {users: {user: {salt: TYiryv0/, hashed_password: 010eb058a59f4ac5ba05639b0263cf91b4345fd6}}}}"), {{0}}, false},
    /* ---- 1.5 apiKeyAuth ---- */
    {"older places", APIKEY("headerName: api-key, labelSelector: {team: infrastructure}, apiKeySecretRefs: [{name: infra-apikey, namespace: gloo-system}], "
                            "headersFromMetadata: {x-user: {name: user-id, required: true}}"), {{0}}, false},
    {"Secrets", APIKEY("k8sSecretApikeyStorage: {labelSelector: {team: infrastructure}, apiKeySecretRefs: [{name: infra-apikey}]}, "
                       "headersFromMetadataEntry: {x-user: {name: user-id}}, skipMetadataValidation: true"),
     {{"skipMetadataValidation", "always refused"}}, false},
    {"hmac", APIKEY(STORED ", hmac: {algorithm: HMAC_SHA256, sharedSecretRef: {name: hm, namespace: gloo-system}}"), {{0}}, false},
    {"digest and match", APIKEY(STORED ", digest: {algorithm: SHA256}, match: {headers: [{name: user-id}]}"), {{0}}, false},
    {"aerospike", APIKEY("aerospikeApikeyStorage: {hostname: h, namespace: n, set: s, port: 3000}"), {{"", "keep keys in the store"}}, false},
    /* ---- 1.6 OpenID Connect and OAuth 2.0 ---- */
    {"code flow", CODE("parseCallbackPathAsRegex: false, discoveryPollInterval: 5m, authEndpointQueryParams: {a: b}, tokenEndpointQueryParams: {a: b}, "
                       "scopes: [email], logoutPath: /logout, afterLogoutUrl: /, endSessionProperties: {methodType: PostMethod}, frontChannelLogout: {path: /front}, "
                       "headers: {idTokenHeader: id_token, accessTokenHeader: authorization, useBearerSchemaForAuthorization: true}, "
                       "identityToken: {claimsToHeaders: [{claim: email, header: x-email, append: true}]}, "
                       "accessToken: {claimsToHeaders: [{claim: email, header: x-email2}]}, dynamicMetadataFromClaims: {email: email}"), {{0}}, false},
    {"discovery written out", CODE("discoveryOverride: {authEndpoint: 'https://i/a', tokenEndpoint: 'https://i/t', jwksUri: 'https://i/j', revocationEndpoint: 'https://i/r', "
                                   "endSessionEndpoint: 'https://i/e', authMethods: [client_secret_basic], scopes: [a], responseTypes: [code], subjects: [public], "
                                   "idTokenAlgs: [RS256], claims: [aud]}"),
     {{"scopes", "asked for by scopes"}, {"responseTypes", "read and ignored"}, {"subjects", "read and ignored"}, {"claims", "read and ignored"}}, false},
    {"what is not fetched", CODE("jwksCacheRefreshPolicy: {never: {}}, provider: {default: {}}, autoMapFromMetadata: {namespace: n}, sessionIdHeaderName: x"),
     {{"provider", "not fetched"}}, false},
    {"session in Redis", CODE("session: {failOnFetchFailure: true, cookieOptions: {maxAge: 90, notSecure: true, httpOnly: true, path: /, domain: example.com, sameSite: LaxMode}, "
                              "redis: {options: {host: 'redis:6379', db: 0, poolSize: 10, socketType: TLS, tlsCertMountPath: /x}, keyPrefix: p, cookieName: __session, "
                              "allowRefreshing: true, preExpiryBuffer: 2s, targetDomain: example.com, headerName: x}}"),
     {{"redis.options", "Postern's own store"}}, false},
    {"session in cookies", CODE("session: {cipherConfig: {keyRef: {name: enc, namespace: gloo-system}}, cookie: {allowRefreshing: true, keyPrefix: p, targetDomain: example.com}}"), {{0}}, false},
    {"plain OAuth 2.0", STEP("oauth2: {oauth2: {clientId: c, clientSecretRef: {name: oauth}, disableClientSecret: false, appUrl: 'https://a.example.com', callbackPath: /cb, "
                             "authEndpoint: 'https://i/a', tokenEndpoint: 'https://i/t', revocationEndpoint: 'https://i/r', scopes: [a], session: {cookie: {}}, "
                             "logoutPath: /logout, afterLogoutUrl: 'https://x.example.com', authEndpointQueryParams: {a: b}, tokenEndpointQueryParams: {a: b}}}"), {{0}}, false},
    /* ---- 1.7 accessTokenValidation ---- */
    {"token", STEP("oauth2: {accessTokenValidation: {jwt: {remoteJwks: {url: 'https://i/j', refreshInterval: 60s}, issuer: i, audiences: [a]}, userinfoUrl: 'https://i/u', "
                   "cacheTimeout: 10s, requiredScopes: {scope: [a, b]}, claimsToHeaders: [{claim: sub, header: x-sub, append: false}], dynamicMetadataFromClaims: {a: b}, provider: {default: {}}}}"), {{0}}, false},
    {"token, the other spelling", STEP("oauth2: {access_token_validation: {jwt: {remote_jwks: {url: 'https://i/j', refresh_interval: 60s}}, required_scopes: {scope: [a]}}}"), {{0}}, false},
    {"token of azure", STEP("oauth2: {accessTokenValidation: {introspectionUrl: 'https://i/i', provider: {azure: {clientId: a}}}}"), {{"", "routes are denied"}}, false},
    {"introspection", STEP("oauth2: {accessTokenValidation: {introspection: {introspectionUrl: 'https://i/i', clientId: c, clientSecretRef: {name: oauth}, userIdAttributeName: sub}}}"), {{0}}, false},
    /* ---- 1.8 to 1.12 ---- */
    {"hmacAuth", STEP("hmacAuth: {secretRefs: {secretRefs: [{name: cred, namespace: gloo-system}]}, parametersInHeaders: {}}"), {{0}}, false},
    {"ldap", STEP("ldap: {address: 'ldap:389', userDnTemplate: 'uid=%s,ou=people', membershipAttributeName: memberOf, allowedGroups: [cn=a], searchFilter: '(uid=*)', "
                  "disableGroupChecking: false, pool: {maxSize: 5, initialSize: 2}, groupLookupSettings: {credentialsSecretRef: {name: cred, namespace: gloo-system}, "
                  "checkGroupsWithServiceAccount: true}}"), {{0}}, false},
    {"opaAuth", STEP("opaAuth: {modules: [{name: m, namespace: gloo-system}], query: data.x.allow, options: {fastInputConversion: true}}"), {{"opaAuth", "luaAuth"}}, false},
    {"opaServerAuth", STEP("opaServerAuth: {package: httpbin, ruleName: deny/allow, serverAddr: 'opa:8181', options: {fastInputConversion: true, returnDecisionReason: true}}"), {{0}}, false},
    {"opaServerAuth in the labs", STEP("opaServerAuth: {package: httpbin, ruleName: allow, serverAddr: 'http://sidecar-uds'}"), {{"", "write unix:/path"}}, false},
    {"passThroughAuth by HTTP", STEP("passThroughAuth: {config: {a: b}, failureModeAllow: true, http: {url: 'http://127.0.0.1:9002', request: {allowedHeaders: [x-a], headersToAdd: {a: b}, "
                                     "passThroughState: true, passThroughFilterMetadata: true, passThroughBody: true}, response: {allowedUpstreamHeaders: [a], "
                                     "allowedUpstreamHeadersToOverwrite: [b], allowedClientHeadersOnDenied: [c], allowedClientHeadersOnSuccess: [d], readStateFromResponse: true}, "
                                     "connectionTimeout: 5s, responseHeaderTimeout: 1s, connectionPool: {maxConns: 100, idleTimeout: 1s}}}"),
     {{"connectionPool", "keeps some connections"}}, false},
    {"portalAuth", STEP("portalAuth: {url: 'http://p', apiKeyHeader: api-key, redisOptions: {host: h}, cacheDuration: 60s, requestTimeout: 200ms}"),
     {{"url", "Postern is the portal"}, {"redisOptions", "ignored"}, {"cacheDuration", "ignored"}, {"requestTimeout", "ignored"}}, false},
    {"pluginAuth", STEP("pluginAuth: {name: x, pluginFileName: a.so, exportedSymbolName: A, config: {}}"), {{"pluginAuth", "luaAuth"}}, false},
    {"oauth", STEP("oauth: {appUrl: a, callbackPath: b, clientId: c, issuerUrl: d}"), {{"oauth", "routes of gloo-system.a are denied"}}, false},
    /* ---- routes ---- */
    {"RouteTable", ROUTES("  hosts: ['*']\n  virtualGateways: [{name: g}]\n  workloadSelectors: []\n  http: [{name: x, labels: {a: b}, matchers: [{name: m, uri: {prefix: /}}], "
                          "forwardTo: {destinations: []}}]\n"),
     {{"virtualGateways", "every gateway"}, {"workloadSelectors", "every gateway"}, {"forwardTo", "your gateway forwards"}}, false},
    {"Edge's routes", OTHER("gateway.solo.io/v1", "VirtualService"), {{"kind", "as a RouteTable"}}, false},
    {"Edge's options", OTHER("gateway.solo.io/v1", "RouteOption"), {{"kind", "as a RouteTable"}}, false},
    {"Edge's route table", OTHER("gateway.solo.io/v1", "RouteTable"), {{"kind", "as a RouteTable"}}, false},
    {"Kubernetes' routes", OTHER("gateway.networking.k8s.io/v1", "HTTPRoute"), {{"kind", "as a RouteTable"}}, false},
    {"Kubernetes' gateway", OTHER("gateway.networking.k8s.io/v1", "Gateway"), {{"kind", "needs nothing of it"}}, false},
    {"Edge's upstreams", OTHER("gloo.solo.io/v1", "Upstream"), {{"kind", "needs nothing of it"}}, false},
    {"Edge's settings", OTHER("gloo.solo.io/v1", "Settings"), {{"kind", "postern.yaml"}}, false},
    {"ExtAuthServer", OTHER("admin.gloo.solo.io/v2", "ExtAuthServer"), {{"kind", "needs nothing of it"}}, false},
    /* ---- 3 other policies ---- */
    {"JWTPolicy", POLICY("JWTPolicy", "  config:\n    phase: {preAuthz: {priority: 1}}\n    validationPolicy: ALLOW_MISSING_OR_FAILED\n    clearRouteCache: AUTO\n"
                         "    requiredScopes: [a]\n    claims: [{key: a.b, values: [x], notValues: [y], nestedClaimDelimiter: .}]\n"
                         "    providers: {k: {remote: {url: 'https://i/j', destinationRef: {ref: {name: k}, kind: SERVICE, port: {number: 443}}, cacheDuration: 5m, timeout: 5s, enableAsyncFetch: true}}}\n"),
     {{"clearRouteCache", "clear_route_cache"}, {"destinationRef", "fetched from url"}, {"enableAsyncFetch", "when they are first needed"}}, false},
    {"a provider", PROVIDER("issuer: i, audiences: [a], tokenSource: {headers: [{name: authorization, prefix: 'Bearer '}], queryParams: [access_token]}, remote: {url: 'https://i/j'}, "
                            "claimsToHeaders: [{claim: email, header: x-email, append: false}], keepToken: true, clockSkewSeconds: 60, outputPayloadToHeader: x-payload"), {{0}}, false},
    {"a provider, the other spelling", PROVIDER("token_source: {query_params: [t]}, remote: {url: 'https://i/j', cache_duration: 5m}, claims_to_headers: [{claim: a, header: b}], keep_token: true"), {{0}}, false},
    {"templates of requests", INJA("request", "advancedTemplates: false, extractors: {o: {header: x-email, regex: '.*@(.*)$', subgroup: 1, mode: EXTRACT}, "
                                   "p: {body: {}, regex: (x), subgroup: 1, mode: SINGLE_REPLACE, replacementText: y}}, headers: {x-o: {text: '{{ o }}'}}, "
                                   "headersToAppend: [{key: x, value: {text: y}}], headersToRemove: [z], parseBodyBehavior: DontParse, ignoreErrorOnParse: true, "
                                   "dynamicMetadataValues: [{metadataNamespace: n, key: k, value: {text: v}, jsonToProto: false}], escapeCharacters: true"), {{0}}, false},
    {"bodies of requests", INJA("request", "headers: {':path': {text: /x}}, body: {text: x}"), {{"", "\":path\" is not changed"}, {"", "body is ignored"}}, false},
    {"templates of answers", INJA("response", "headers: {x-r: {text: a}, ':status': {text: '401'}}, body: {text: x}"), {{0}}, false},
    {"bodies of answers", INJA("response", "mergeExtractorsToBody: {}"), {{"", "mergeExtractorsToBody is ignored"}}, false},
    {"keys of answers", INJA("response", "mergeJsonKeys: {jsonKeys: {a: {tmpl: {text: x}}}}"), {{"", "mergeJsonKeys is ignored"}}, false},
    {"other transformations", TRAFFIC("TransformationPolicy", "  config: {request: {recalculateRoutingDestination: true, xsltTransformation: {xslt: x}, injaTemplate: {headersToRemove: [a]}}}\n"),
     {{"recalculateRoutingDestination", "clear_route_cache"}, {"xsltTransformation", "change a body"}}, false},
    {"WAFPolicy", POLICY("WAFPolicy", "  config: {disableCoreRuleSet: true, customRuleSets: [{ruleStr: x}]}\n"), {{"kind", "keep the gateway's own WAF"}}, false},
    {"CSRFPolicy", POLICY("CSRFPolicy", "  config: {filterEnabled: true}\n"), {{"kind", "the gateway's"}}, false},
    {"CORSPolicy", POLICY("CORSPolicy", "  config: {maxAge: 1d}\n"), {{"kind", "the gateway's"}}, false},
    {"a field that nobody knows", POLICY("ExtAuthPolicy", "  config: {glooAuth: {failOnRedirects: true, configs: [{apiKeyAuth: {}}]}}\n"), {{"failOnRedirects", "did you mean failOnRedirect?"}}, true},
};

static void every_field_is_honoured_or_said(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        const char *files[] = {"a.yaml", r->text, "secrets.yaml", secrets, NULL};
        struct policy_set *s = p_load_files(files);
        size_t says = 0;
        T_ROW("%s", r->name);
        T((s == NULL) == r->refused);
        policy_set_drop(s);
        for (; says < ARRAY_LEN(r->says) && r->says[says].path; says++) {
            const struct policy_fault *f = p_fault(r->says[says].path, r->says[says].text);
            T(f != NULL);
            T(f == NULL || f->notice == !r->refused);
        }
        T_INT(p.faults.n, says);
        for (size_t k = 0; p.faults.n != says && k < p.faults.n; k++)
            printf("# %s: %.*s: %.*s\n", r->name, SFMT(p.faults.rows[k].path), SFMT(p.faults.rows[k].text));
    }
}

/* ---- no row of any table is silent but these, which mean nothing to anybody's decision ---- */

static void no_silent_rows(const char *where, const struct field_table *t, int depth)
{
    static const char *const quiet[] = {"annotations", "creationTimestamp", "uid", "resourceVersion", "generation", "managedFields",
                                        "finalizers", "ownerReferences", "apiVersion", "kind", "status", "immutable", "binaryData",
                                        "fastInputConversion", "default"};
    for (size_t i = 0; i < t->n && depth < 8; i++) {
        const struct field_row *r = &t->rows[i];
        bool known = r->type != FIELD_QUIET || !strcmp(r->name, "name") || !strcmp(where, "PortalGroup");
        for (size_t k = 0; k < ARRAY_LEN(quiet) && !known; k++)
            known = !strcmp(r->name, quiet[k]);
        T_ROW("%s %s", where, r->name ? r->name : "");
        T(known);
        if (r->sub && r->sub != t)
            no_silent_rows(where, r->sub, depth + 1);
    }
}

static void nothing_is_ignored_in_silence(void)
{
    for (size_t i = 0; kind_at(i); i++)
        if (kind_at(i)->table && !kind_at(i)->said) /* a kind that is not served says so itself */
            no_silent_rows(kind_at(i)->kind, kind_at(i)->table, 0);
    no_silent_rows("domain", kind_domain_table(), 0);
    no_silent_rows("TransformationPolicy", transform_fields(), 0);
    for (size_t i = 0; step_at(i); i++)
        if (step_at(i)->fields)
            no_silent_rows(step_at(i)->name, step_at(i)->fields(), 0);
    for (size_t i = 0; step_oauth2_at(i); i++)
        if (step_oauth2_at(i)->fields)
            no_silent_rows(step_oauth2_at(i)->name, step_oauth2_at(i)->fields(), 0);
    for (size_t i = 0; action_at(i); i++)
        if (action_at(i)->fields)
            no_silent_rows(action_at(i)->name, action_at(i)->fields, 0);
}

int main(void)
{
    p_init();
    T_RUN(every_field_is_honoured_or_said);
    T_RUN(nothing_is_ignored_in_silence);
    p_done();
    return t_done();
}
