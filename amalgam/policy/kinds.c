/*
 * kinds.c - the tables of every kind of document and every field that Postern reads.
 *
 * Data only: adding a field is a row here and a member in kinds.h; adding a kind is a row in the table
 * at the end. Read by load.c (decoding), tests (every row is in the manual). Constant, any thread.
 */
#include "policy/kinds.h"
#include "policy/inside.h"

/* clang-format off */
#define T(structure, rowlist) {sizeof(structure), rowlist, ARRAY_LEN(rowlist)}
#define F(structure, member, name, type, doc) {name, type, offsetof(structure, member), 0, 0, 0, NULL, NULL, doc}
#define REQ(structure, member, name, type, doc) \
    {name, type, offsetof(structure, member), FIELD_REQUIRED, 0, 0, NULL, NULL, doc}
#define SUB(structure, member, name, type, table, doc) \
    {name, type, offsetof(structure, member), 0, 0, 0, &(table), NULL, doc}
#define NUM(structure, member, name, lo, hi, doc) \
    {name, FIELD_INT, offsetof(structure, member), 0, lo, hi, NULL, NULL, doc}
#define WORD(structure, member, name, words, doc) \
    {name, FIELD_WORD, offsetof(structure, member), 0, 0, 0, NULL, words, doc}
#define SELF(structure) {NULL, FIELD_SELF, offsetof(structure, self), 0, 0, 0, NULL, NULL, ""}
#define QUIET(name) {name, FIELD_QUIET, 0, 0, 0, 0, NULL, NULL, "read and not needed"}
#define NOTICE(name, doc) {name, FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, doc}
#define FORWARDING "read and ignored: Postern decides, your gateway forwards"

static const struct field_row kinds_meta_rows[] = {
    REQ(struct doc_meta, name, "name", FIELD_STR, "name of the resource"),
    F(struct doc_meta, ns, "namespace", FIELD_STR, "namespace; \"default\" when absent"),
    F(struct doc_meta, labels, "labels", FIELD_PAIRS, "labels that selectors look at"),
    QUIET("annotations"), QUIET("creationTimestamp"), QUIET("uid"), QUIET("resourceVersion"),
    QUIET("generation"), QUIET("managedFields"), QUIET("finalizers"), QUIET("ownerReferences"),
};
static const struct field_table kinds_meta = T(struct doc_meta, kinds_meta_rows);

static const struct field_row kinds_ref_rows[] = {
    REQ(struct doc_ref, name, "name", FIELD_STR, "name of the resource meant"),
    F(struct doc_ref, ns, "namespace", FIELD_STR, "its namespace; that of this resource when absent"),
    F(struct doc_ref, cluster, "cluster", FIELD_STR, "read and used for counter names only"),
};
static const struct field_table kinds_ref = T(struct doc_ref, kinds_ref_rows);

static const struct field_row kinds_selector_rows[] = {
    F(struct doc_selector, labels, "labels", FIELD_PAIRS, "labels that a route must all have"),
};
static const struct field_table kinds_selector = T(struct doc_selector, kinds_selector_rows);
static const struct field_row kinds_apply_rows[] = {
    SUB(struct doc_apply, route, "route", FIELD_OBJ, kinds_selector, "routes by their labels"),
    NOTICE("withDestinations", "not served: use route.labels; this entry counts as every route"),
};
static const struct field_table kinds_apply = T(struct doc_apply, kinds_apply_rows);
#define APPLY(structure) \
    SUB(structure, apply, "applyToRoutes", FIELD_LIST, kinds_apply, "routes that it applies to; absent: every route"), \
    NOTICE("applyToDestinations", "not served: use applyToRoutes; without it the policy applies to every route")
#define FAIL_RULES(structure) \
    F(structure, failure_mode_allow, "failureModeAllow", FIELD_BOOL, "let requests pass when this policy is in trouble"), \
    F(structure, shadow, "shadow", FIELD_BOOL, "decide and count, but let pass (Postern's own)")

/* ---- RouteTable ---- */
static const struct field_row kinds_uri_rows[] = {
    SELF(struct doc_uri),
    F(struct doc_uri, exact, "exact", FIELD_STR, "the whole path"),
    F(struct doc_uri, prefix, "prefix", FIELD_STR, "what the path begins with"),
    F(struct doc_uri, regex, "regex", FIELD_STR, "expression that the whole path must match"),
    F(struct doc_uri, ignore_case, "ignoreCase", FIELD_BOOL, "upper and lower case are the same"),
};
static const struct field_table kinds_uri = T(struct doc_uri, kinds_uri_rows);
static const struct field_row kinds_pair_match_rows[] = {
    SELF(struct doc_pair_match),
    REQ(struct doc_pair_match, name, "name", FIELD_STR, "name of the header or parameter"),
    F(struct doc_pair_match, value, "value", FIELD_STR, "its value; absent: it must be there"),
    F(struct doc_pair_match, regex, "regex", FIELD_BOOL, "value is an expression for the whole value"),
    F(struct doc_pair_match, invert, "invertMatch", FIELD_BOOL, "matches when the rest does not"),
};
static const struct field_table kinds_pair_match = T(struct doc_pair_match, kinds_pair_match_rows);
static const struct field_row kinds_matcher_rows[] = {
    SELF(struct doc_matcher),
    QUIET("name"),
    SUB(struct doc_matcher, uri, "uri", FIELD_OBJ, kinds_uri, "path: one of exact, prefix, regex"),
    F(struct doc_matcher, method, "method", FIELD_STR, "method, exactly as written"),
    SUB(struct doc_matcher, headers, "headers", FIELD_LIST, kinds_pair_match, "headers, all of them"),
    SUB(struct doc_matcher, params, "queryParameters", FIELD_LIST, kinds_pair_match, "query parameters, all of them"),
};
static const struct field_table kinds_matcher = T(struct doc_matcher, kinds_matcher_rows);
static const struct field_row kinds_delegate_to_rows[] = {
    F(struct doc_delegate_to, labels, "labels", FIELD_PAIRS, "labels of the RouteTables meant"),
    F(struct doc_delegate_to, name, "name", FIELD_STR, "name of the RouteTable meant"),
    F(struct doc_delegate_to, ns, "namespace", FIELD_STR, "namespace of the RouteTables meant"),
    NOTICE("workspace", "read and ignored: name and labels choose among all RouteTables that are here"),
    NOTICE("cluster", "read and ignored: name and labels choose among all RouteTables that are here"),
};
static const struct field_table kinds_delegate_to = T(struct doc_delegate_to, kinds_delegate_to_rows);
static const char *const kinds_sorts[] = {"TABLE_WEIGHT", "ROUTE_SPECIFICITY", NULL};
static const struct field_row kinds_delegate_rows[] = {
    SUB(struct doc_delegate, tables, "routeTables", FIELD_LIST, kinds_delegate_to, "RouteTables that carry on"),
    WORD(struct doc_delegate, sort, "sortMethod", kinds_sorts, "TABLE_WEIGHT: tables of higher weight first (default); ROUTE_SPECIFICITY: exact before regex before prefix, longer paths first"),
    NOTICE("allowedRoutes", "not served: every route of the tables named is taken"),
};
static const struct field_table kinds_delegate = T(struct doc_delegate, kinds_delegate_rows);
static const struct field_row kinds_http_rows[] = {
    SELF(struct doc_http),
    F(struct doc_http, name, "name", FIELD_STR, "name of the route, for people"),
    F(struct doc_http, labels, "labels", FIELD_PAIRS, "labels that policies choose routes by"),
    SUB(struct doc_http, matchers, "matchers", FIELD_LIST, kinds_matcher, "any of them must match; none: every path"),
    SUB(struct doc_http, delegate, "delegate", FIELD_OBJ, kinds_delegate, "other RouteTables have the routes"),
    NOTICE("forwardTo", FORWARDING), NOTICE("redirectTo", FORWARDING),
    NOTICE("directResponse", FORWARDING), NOTICE("graphql", FORWARDING),
};
static const struct field_table kinds_http = T(struct doc_http, kinds_http_rows);
static const struct field_row kinds_portal_meta_rows[] = {
    REQ(struct doc_portal_meta, product, "apiProductId", FIELD_STR, "product that the routes belong to"),
    REQ(struct doc_portal_meta, version, "apiVersion", FIELD_STR, "version of the product"),
    F(struct doc_portal_meta, product_title, "apiProductDisplayName", FIELD_STR, "name of the product for people"),
    F(struct doc_portal_meta, title, "title", FIELD_STR, "title of the API"),
    F(struct doc_portal_meta, description, "description", FIELD_STR, "description, CommonMark"),
    F(struct doc_portal_meta, terms, "termsOfService", FIELD_STR, "URL of the terms"),
    F(struct doc_portal_meta, contact, "contact", FIELD_STR, "e-mail of who answers"),
    F(struct doc_portal_meta, license, "license", FIELD_STR, "name of the licence"),
    F(struct doc_portal_meta, lifecycle, "lifecycle", FIELD_STR, "state of the API"),
    NOTICE("customMetadata", "not served: the portal shows the fields above"),
};
static const struct field_table kinds_portal_meta = T(struct doc_portal_meta, kinds_portal_meta_rows);
static const struct field_row kinds_route_table_rows[] = {
    F(struct doc_route_table, hosts, "hosts", FIELD_STRS, "host names, *.example.com, or *; absent: those of the delegating table, else *"),
    SUB(struct doc_route_table, http, "http", FIELD_LIST, kinds_http, "routes in order: the first that matches counts"),
    SUB(struct doc_route_table, portal, "portalMetadata", FIELD_OBJ, kinds_portal_meta, "what the portal shows"),
    NUM(struct doc_route_table, weight, "weight", INT32_MIN, INT32_MAX, "tables of higher weight come first"),
    NOTICE("virtualGateways", "read and ignored: the routes are those of every gateway that asks"),
    NOTICE("workloadSelectors", "read and ignored: the routes are those of every gateway that asks"),
    NOTICE("applyToDestinations", "not served: write the host names under hosts"),
    NOTICE("defaultDestination", FORWARDING),
    NOTICE("tcp", "not served: Postern decides HTTP requests"),
    NOTICE("tls", "not served: Postern decides HTTP requests"),
};
static const struct field_table kinds_route_table = T(struct doc_route_table, kinds_route_table_rows);

/* ---- ExtAuthPolicy, AuthConfig ---- */
static const struct field_row kinds_gloo_auth_rows[] = {
    REQ(struct doc_gloo_auth, configs, "configs", FIELD_NODE, "steps in order; all must pass, or what booleanExpr says"),
    F(struct doc_gloo_auth, boolean_expr, "booleanExpr", FIELD_STR, "names of steps with ||, && and !; all must pass when absent"),
    F(struct doc_gloo_auth, fail_on_redirect, "failOnRedirect", FIELD_BOOL, "answer 401 where a step would redirect"),
};
static const struct field_table kinds_gloo_auth = T(struct doc_gloo_auth, kinds_gloo_auth_rows);
static const struct field_row kinds_auth_config_rows[] = {
    SUB(struct doc_auth_config, gloo, "glooAuth", FIELD_OBJ, kinds_gloo_auth, "the steps"),
    FAIL_RULES(struct doc_auth_config),
    NOTICE("server", "read and ignored: Postern is the server"),
    NOTICE("customAuth", "not served: write the check as glooAuth steps; until then the routes are denied"),
    NOTICE("disable", "not served: take the label off the route instead; until then the routes are denied"),
};
static const struct field_table kinds_auth_config = T(struct doc_auth_config, kinds_auth_config_rows);
static const struct field_row kinds_ext_auth_rows[] = {
    APPLY(struct doc_ext_auth),
    {"config", FIELD_OBJ, offsetof(struct doc_ext_auth, config), FIELD_REQUIRED, 0, 0, &kinds_auth_config, NULL, "what to check"},
};
static const struct field_table kinds_ext_auth = T(struct doc_ext_auth, kinds_ext_auth_rows);
static const struct field_row kinds_edge_auth_rows[] = {
    APPLY(struct doc_edge_auth),
    REQ(struct doc_edge_auth, configs, "configs", FIELD_NODE, "steps in order; all must pass, or what booleanExpr says"),
    F(struct doc_edge_auth, boolean_expr, "booleanExpr", FIELD_STR, "names of steps with ||, && and !; all must pass when absent"),
    FAIL_RULES(struct doc_edge_auth),
    F(struct doc_edge_auth, fail_on_redirect, "failOnRedirect", FIELD_BOOL, "answer 401 where a step would redirect"),
};
static const struct field_table kinds_edge_auth = T(struct doc_edge_auth, kinds_edge_auth_rows);

/* ---- rate limits ---- */
static const char *const kinds_units[] = {"UNKNOWN", "SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR", NULL};
static const char *const kinds_algorithms[] = {"fixed", "sliding", "gcra", NULL};
static const struct field_row kinds_limit_rows[] = {
    SELF(struct doc_limit),
    {"unit", FIELD_WORD, offsetof(struct doc_limit, unit), FIELD_REQUIRED, 0, 0, NULL, kinds_units, "SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR"},
    {"requestsPerUnit", FIELD_INT, offsetof(struct doc_limit, requests), FIELD_REQUIRED, 0, UINT32_MAX, NULL, NULL, "requests that pass per unit; 0: none"},
    WORD(struct doc_limit, algorithm, "algorithm", kinds_algorithms, "fixed (Postern's own field; the others come later)"),
    NUM(struct doc_limit, burst, "burst", 0, UINT32_MAX, "with gcra only"),
};
static const struct field_table kinds_limit = T(struct doc_limit, kinds_limit_rows);
static const struct field_table kinds_descriptor;
static const struct field_row kinds_descriptor_rows[] = {
    SELF(struct doc_descriptor),
    REQ(struct doc_descriptor, key, "key", FIELD_STR, "key of the entry"),
    F(struct doc_descriptor, value, "value", FIELD_STR, "its value; absent: one counter per value"),
    SUB(struct doc_descriptor, limit, "rateLimit", FIELD_OBJ, kinds_limit, "limit of this tuple"),
    SUB(struct doc_descriptor, kids, "descriptors", FIELD_LIST, kinds_descriptor, "what may follow in the tuple"),
    NUM(struct doc_descriptor, weight, "weight", INT32_MIN, INT32_MAX, "only the heaviest of all that match count"),
    F(struct doc_descriptor, always, "alwaysApply", FIELD_BOOL, "counts beside the heaviest"),
};
static const struct field_table kinds_descriptor = T(struct doc_descriptor, kinds_descriptor_rows);
static const struct field_row kinds_simple_rows[] = {
    SELF(struct doc_descriptor),
    REQ(struct doc_descriptor, key, "key", FIELD_STR, "key of the entry"),
    F(struct doc_descriptor, value, "value", FIELD_STR, "its value; absent: one counter per value"),
};
static const struct field_table kinds_simple = T(struct doc_descriptor, kinds_simple_rows);
static const struct field_row kinds_set_rows[] = {
    SELF(struct doc_set_descriptor),
    SUB(struct doc_set_descriptor, pairs, "simpleDescriptors", FIELD_LIST, kinds_simple, "pairs that must all be there, in any order; none: always"),
    {"rateLimit", FIELD_OBJ, offsetof(struct doc_set_descriptor, limit), FIELD_REQUIRED, 0, 0, &kinds_limit, NULL, "the limit"},
    F(struct doc_set_descriptor, always, "alwaysApply", FIELD_BOOL, "counts also behind an earlier match"),
};
static const struct field_table kinds_set = T(struct doc_set_descriptor, kinds_set_rows);
static const struct field_row kinds_server_raw_rows[] = {
    SUB(struct doc_server_raw, descriptors, "descriptors", FIELD_LIST, kinds_descriptor, "limits as a tree"),
    SUB(struct doc_server_raw, sets, "setDescriptors", FIELD_LIST, kinds_set, "limits as an ordered list of sets"),
};
static const struct field_table kinds_server_raw = T(struct doc_server_raw, kinds_server_raw_rows);
static const struct field_row kinds_destination_server_rows[] = {
    SUB(struct doc_destination_server, ref, "ref", FIELD_OBJ, kinds_ref, "used for counter names only"),
    NOTICE("port", "read and ignored: Postern is the server"), NOTICE("kind", "read and ignored: Postern is the server"),
};
static const struct field_table kinds_destination_server = T(struct doc_destination_server, kinds_destination_server_rows);
static const struct field_row kinds_limit_server_rows[] = {
    SUB(struct doc_limit_server, servers, "destinationServers", FIELD_LIST, kinds_destination_server, "read; Postern is the server"),
    {"raw", FIELD_OBJ, offsetof(struct doc_limit_server, raw), FIELD_REQUIRED, 0, 0, &kinds_server_raw, NULL, "the limits"},
};
static const struct field_table kinds_limit_server = T(struct doc_limit_server, kinds_limit_server_rows);
static const struct field_row kinds_limit_both_raw_rows[] = {
    SUB(struct doc_server_raw, descriptors, "descriptors", FIELD_LIST, kinds_descriptor, "limits as a tree"),
    SUB(struct doc_server_raw, sets, "setDescriptors", FIELD_LIST, kinds_set, "limits as an ordered list of sets"),
    F(struct doc_server_raw, rate_limits, "rateLimits", FIELD_NODE, "what a request counts as"),
};
static const struct field_table kinds_limit_both_raw = T(struct doc_server_raw, kinds_limit_both_raw_rows);
static const struct field_row kinds_limit_both_rows[] = {
    APPLY(struct doc_limit_server),
    {"raw", FIELD_OBJ, offsetof(struct doc_limit_server, raw), FIELD_REQUIRED, 0, 0, &kinds_limit_both_raw, NULL, "limits and actions"},
    FAIL_RULES(struct doc_limit_server),
};
static const struct field_table kinds_limit_both = T(struct doc_limit_server, kinds_limit_both_rows);
static const struct field_row kinds_client_raw_rows[] = {
    REQ(struct doc_client_raw, rate_limits, "rateLimits", FIELD_NODE, "what a request counts as"),
};
static const struct field_table kinds_client_raw = T(struct doc_client_raw, kinds_client_raw_rows);
static const struct field_row kinds_limit_client_rows[] = {
    {"raw", FIELD_OBJ, offsetof(struct doc_limit_client, raw), FIELD_REQUIRED, 0, 0, &kinds_client_raw, NULL, "the actions"},
};
static const struct field_table kinds_limit_client = T(struct doc_limit_client, kinds_limit_client_rows);
static const struct field_row kinds_priority_rows[] = {
    NUM(struct doc_priority, priority, "priority", INT32_MIN, INT32_MAX, "lower runs first"),
};
static const struct field_table kinds_priority = T(struct doc_priority, kinds_priority_rows);
static const struct field_row kinds_phase_rows[] = {
    SUB(struct doc_phase, pre, "preAuthz", FIELD_OBJ, kinds_priority, "before authentication"),
    SUB(struct doc_phase, post, "postAuthz", FIELD_OBJ, kinds_priority, "after authentication (default)"),
};
static const struct field_table kinds_phase = T(struct doc_phase, kinds_phase_rows);
static const struct field_row kinds_limit_policy_config_rows[] = {
    SUB(struct doc_limit_policy_config, phase, "phase", FIELD_OBJ, kinds_phase, "when it runs"),
    SUB(struct doc_limit_policy_config, server, "ratelimitServerConfig", FIELD_OBJ, kinds_ref, "the RateLimitServerConfig; without one nothing is enforced"),
    SUB(struct doc_limit_policy_config, client, "ratelimitClientConfig", FIELD_OBJ, kinds_ref, "the RateLimitClientConfig"),
    SUB(struct doc_limit_policy_config, raw, "raw", FIELD_OBJ, kinds_client_raw, "the actions, written here"),
    FAIL_RULES(struct doc_limit_policy_config),
    NOTICE("serverSettings", "read and ignored: timeouts and the fail rule towards Postern are the gateway's; failureModeAllow is Postern's"),
};
static const struct field_table kinds_limit_policy_config = T(struct doc_limit_policy_config, kinds_limit_policy_config_rows);
static const struct field_row kinds_limit_policy_rows[] = {
    APPLY(struct doc_limit_policy),
    {"config", FIELD_OBJ, offsetof(struct doc_limit_policy, config), FIELD_REQUIRED, 0, 0, &kinds_limit_policy_config, NULL, "which limits"},
};
static const struct field_table kinds_limit_policy = T(struct doc_limit_policy, kinds_limit_policy_rows);

/* ---- JWTPolicy ---- */
static const struct field_row kinds_claim_header_rows[] = {
    SELF(struct doc_claim_header),
    REQ(struct doc_claim_header, claim, "claim", FIELD_STR, "name of the claim; dots lead into objects"),
    REQ(struct doc_claim_header, header, "header", FIELD_STR, "header for the upstream"),
    F(struct doc_claim_header, append, "append", FIELD_BOOL, "behind what policies have set already, with a comma"),
};
static const struct field_table kinds_claim_header = T(struct doc_claim_header, kinds_claim_header_rows);
static const struct field_row kinds_jwt_header_rows[] = {
    SELF(struct doc_jwt_header),
    REQ(struct doc_jwt_header, name, "name", FIELD_STR, "header with a token"),
    F(struct doc_jwt_header, prefix, "prefix", FIELD_STR, "what stands before the token"),
};
static const struct field_table kinds_jwt_header = T(struct doc_jwt_header, kinds_jwt_header_rows);
static const struct field_row kinds_jwt_source_rows[] = {
    SUB(struct doc_jwt_source, headers, "headers", FIELD_LIST, kinds_jwt_header, "headers that may hold a token"),
    F(struct doc_jwt_source, params, "queryParams", FIELD_STRS, "query parameters that may hold a token"),
};
static const struct field_table kinds_jwt_source = T(struct doc_jwt_source, kinds_jwt_source_rows);
static const struct field_row kinds_jwt_secret_rows[] = {
    {"objectRef", FIELD_OBJ, offsetof(struct doc_jwt_secret, ref), FIELD_REQUIRED, 0, 0, &kinds_ref, NULL, "the Secret"},
    REQ(struct doc_jwt_secret, key, "key", FIELD_STR, "name of the value in it"),
};
static const struct field_table kinds_jwt_secret = T(struct doc_jwt_secret, kinds_jwt_secret_rows);
static const struct field_row kinds_jwt_local_rows[] = {
    SELF(struct doc_jwt_local),
    F(struct doc_jwt_local, text, "inline", FIELD_STR, "public keys as PEM or JWK Set"),
    SUB(struct doc_jwt_local, secret, "secretRef", FIELD_OBJ, kinds_jwt_secret, "a Secret that holds them"),
};
static const struct field_table kinds_jwt_local = T(struct doc_jwt_local, kinds_jwt_local_rows);
static const struct field_row kinds_jwt_remote_rows[] = {
    SELF(struct doc_jwt_remote),
    REQ(struct doc_jwt_remote, url, "url", FIELD_STR, "where the JWK Set is"),
    F(struct doc_jwt_remote, cache, "cacheDuration", FIELD_STR, "how often it is fetched again; 5m when absent"),
    F(struct doc_jwt_remote, timeout, "timeout", FIELD_STR, "how long a fetch may take; 5s when absent"),
    NOTICE("destinationRef", "read and ignored: the keys are fetched from url, by its name"),
    NOTICE("enableAsyncFetch", "read and ignored: keys are fetched when they are first needed; requests wait, threads do not"),
};
static const struct field_table kinds_jwt_remote = T(struct doc_jwt_remote, kinds_jwt_remote_rows);
static const struct field_row kinds_jwt_provider_rows[] = {
    SELF(struct doc_jwt_provider),
    F(struct doc_jwt_provider, issuer, "issuer", FIELD_STR, "what iss must be; any when absent"),
    F(struct doc_jwt_provider, audiences, "audiences", FIELD_STRS, "one of them must be in aud; any when absent"),
    F(struct doc_jwt_provider, algorithms, "algorithms", FIELD_STRS, "the only ones; else all that the keys allow (Postern's own)"),
    SUB(struct doc_jwt_provider, source, "tokenSource", FIELD_OBJ, kinds_jwt_source, "where the token is; Authorization: Bearer and access_token when absent"),
    SUB(struct doc_jwt_provider, local, "local", FIELD_OBJ, kinds_jwt_local, "keys in the policy"),
    SUB(struct doc_jwt_provider, remote, "remote", FIELD_OBJ, kinds_jwt_remote, "keys fetched"),
    SUB(struct doc_jwt_provider, headers, "claimsToHeaders", FIELD_LIST, kinds_claim_header, "headers for the upstream from claims"),
    F(struct doc_jwt_provider, keep_token, "keepToken", FIELD_BOOL, "leave the header with the token for the upstream"),
    F(struct doc_jwt_provider, skew, "clockSkewSeconds", FIELD_STR, "by how much clocks may differ; 60"),
    F(struct doc_jwt_provider, payload_header, "outputPayloadToHeader", FIELD_STR, "header for the upstream with the payload in base64url"),
    F(struct doc_jwt_provider, no_exp_ok, "allowMissingExpiration", FIELD_BOOL, "take tokens without exp (Postern's own)"),
};
static const struct field_table kinds_jwt_provider = T(struct doc_jwt_provider, kinds_jwt_provider_rows);
static const struct field_row kinds_jwt_claim_rows[] = {
    SELF(struct doc_jwt_claim),
    REQ(struct doc_jwt_claim, key, "key", FIELD_STR, "name of the claim"),
    F(struct doc_jwt_claim, values, "values", FIELD_STRS, "one of them must match; * stands for anything"),
    F(struct doc_jwt_claim, not_values, "notValues", FIELD_STRS, "none of them may match"),
    F(struct doc_jwt_claim, delimiter, "nestedClaimDelimiter", FIELD_STR, "character in key that leads into objects; a dot when absent"),
};
static const struct field_table kinds_jwt_claim = T(struct doc_jwt_claim, kinds_jwt_claim_rows);
static const char *const kinds_jwt_validations[] = {"REQUIRE_VALID", "ALLOW_MISSING", "ALLOW_MISSING_OR_FAILED", NULL};
static const struct field_row kinds_jwt_config_rows[] = {
    SUB(struct doc_jwt_config, phase, "phase", FIELD_OBJ, kinds_phase, "when it runs; preAuthz when absent"),
    SUB(struct doc_jwt_config, providers, "providers", FIELD_NAMED, kinds_jwt_provider, "issuers by name; one of them must vouch for the token"),
    SUB(struct doc_jwt_config, claims, "claims", FIELD_LIST, kinds_jwt_claim, "what the claims must be"),
    F(struct doc_jwt_config, scopes, "requiredScopes", FIELD_STRS, "scopes that the token must all have"),
    WORD(struct doc_jwt_config, validation, "validationPolicy", kinds_jwt_validations, "REQUIRE_VALID, ALLOW_MISSING or ALLOW_MISSING_OR_FAILED"),
    F(struct doc_jwt_config, allow_missing_or_failed, "allowMissingOrFailed", FIELD_BOOL, "older form of ALLOW_MISSING_OR_FAILED"),
    NOTICE("clearRouteCache", "read and ignored: set clear_route_cache in the gateway's ext_authz filter"),
    FAIL_RULES(struct doc_jwt_config),
};
static const struct field_table kinds_jwt_config = T(struct doc_jwt_config, kinds_jwt_config_rows);
static const struct field_row kinds_jwt_rows[] = {
    APPLY(struct doc_jwt_policy),
    {"config", FIELD_OBJ, offsetof(struct doc_jwt_policy, config), FIELD_REQUIRED, 0, 0, &kinds_jwt_config, NULL, "who vouches, and for what"},
};
static const struct field_table kinds_jwt = T(struct doc_jwt_policy, kinds_jwt_rows);

/* ---- files of the reference rate limiter ---- */
static const struct field_row kinds_replaces_rows[] = {
    REQ(struct doc_replaces, name, "name", FIELD_STR, "name of the limit that gives way"),
};
static const struct field_table kinds_replaces = T(struct doc_replaces, kinds_replaces_rows);
static const struct field_row kinds_domain_limit_rows[] = {
    SELF(struct doc_domain_limit),
    WORD(struct doc_domain_limit, unit, "unit", kinds_units, "second, minute, hour, day, week, month or year"),
    NUM(struct doc_domain_limit, requests, "requestsPerUnit", 0, UINT32_MAX, "requests that pass per unit; 0: none"),
    F(struct doc_domain_limit, unlimited, "unlimited", FIELD_BOOL, "never over; unit must be absent"),
    F(struct doc_domain_limit, name, "name", FIELD_STR, "name, for replaces and for headers"),
    SUB(struct doc_domain_limit, replaces, "replaces", FIELD_LIST, kinds_replaces, "limits that this one puts out of force"),
    WORD(struct doc_domain_limit, algorithm, "algorithm", kinds_algorithms, "fixed (Postern's own field)"),
    NUM(struct doc_domain_limit, burst, "burst", 0, UINT32_MAX, "with gcra only"),
};
static const struct field_table kinds_domain_limit = T(struct doc_domain_limit, kinds_domain_limit_rows);
static const struct field_table kinds_domain_descriptor;
static const struct field_row kinds_domain_descriptor_rows[] = {
    SELF(struct doc_domain_descriptor),
    REQ(struct doc_domain_descriptor, key, "key", FIELD_STR, "key of the entry"),
    F(struct doc_domain_descriptor, value, "value", FIELD_STR, "its value; * stands for anything; absent: one counter per value"),
    SUB(struct doc_domain_descriptor, limit, "rateLimit", FIELD_OBJ, kinds_domain_limit, "limit of this tuple"),
    F(struct doc_domain_descriptor, shadow, "shadowMode", FIELD_BOOL, "counts, never refuses"),
    F(struct doc_domain_descriptor, quota, "quotaMode", FIELD_BOOL, "over only when all of these are over"),
    F(struct doc_domain_descriptor, share_threshold, "shareThreshold", FIELD_BOOL, "one counter for all that the wildcard matches"),
    SUB(struct doc_domain_descriptor, kids, "descriptors", FIELD_LIST, kinds_domain_descriptor, "what may follow in the tuple"),
    NOTICE("detailedMetric", "read and ignored: /metrics has one counter per rule"),
    NOTICE("valueToMetric", "read and ignored: /metrics has one counter per rule"),
    NOTICE("metadata", "not served: the answer says which limit it was"),
};
static const struct field_table kinds_domain_descriptor = T(struct doc_domain_descriptor, kinds_domain_descriptor_rows);
static const struct field_row kinds_domain_rows[] = {
    SELF(struct doc_domain),
    REQ(struct doc_domain, domain, "domain", FIELD_STR, "name that requests give"),
    SUB(struct doc_domain, descriptors, "descriptors", FIELD_LIST, kinds_domain_descriptor, "limits as a tree"),
};
static const struct field_table kinds_domain = T(struct doc_domain, kinds_domain_rows);

/* ---- portal ---- */
static const struct field_row kinds_plan_rows[] = {
    SELF(struct doc_plan),
    REQ(struct doc_plan, name, "name", FIELD_STR, "value of descriptor usagePlan"),
    F(struct doc_plan, display_name, "displayName", FIELD_STR, "name for people"),
    F(struct doc_plan, description, "description", FIELD_STR, "text for people"),
};
static const struct field_table kinds_plan = T(struct doc_plan, kinds_plan_rows);
static const struct field_row kinds_visibility_rows[] = {
    F(struct doc_visibility, is_public, "public", FIELD_BOOL, "people may look without signing in"),
    NOTICE("privateAPILabels", "not served: visibility is for all APIs of the set"),
};
static const struct field_table kinds_visibility = T(struct doc_visibility, kinds_visibility_rows);
static const struct field_row kinds_portal_rows[] = {
    SUB(struct doc_portal, plans, "usagePlans", FIELD_LIST, kinds_plan, "plans that keys are made for"),
    SUB(struct doc_portal, visibility, "visibility", FIELD_OBJ, kinds_visibility, "who may look"),
    NOTICE("portalBackendSelectors", "read and ignored: Postern is the portal's backend"),
    NOTICE("domains", "read and ignored: the portal answers under every name; see portal.names"),
    NOTICE("apis", "not served: the portal shows every API of the set"),
    NOTICE("apiProducts", "not served: the portal shows every API of the set"),
};
static const struct field_table kinds_portal = T(struct doc_portal, kinds_portal_rows);
static const struct field_row kinds_group_rows[] = {
    QUIET("name"), QUIET("description"),
    NOTICE("membership", "not served yet: everybody who is signed in sees every API"),
    NOTICE("accessLevel", "not served yet: everybody who is signed in sees every API"),
    NOTICE("apiProducts", "not served yet: everybody who is signed in sees every API"),
};
static const struct field_table kinds_group = T(struct doc_applied, kinds_group_rows);
static const struct field_row kinds_inline_rows[] = {
    REQ(struct doc_inline, text, "inlineString", FIELD_STR, "the OpenAPI document as text"),
};
static const struct field_table kinds_inline = T(struct doc_inline, kinds_inline_rows);
static const struct field_row kinds_api_doc_rows[] = {
    SUB(struct doc_api_doc, openapi, "openapi", FIELD_OBJ, kinds_inline, "an OpenAPI document"),
    NOTICE("grpc", "not served: the portal shows OpenAPI documents"),
    NOTICE("graphql", "not served: the portal shows OpenAPI documents"),
    NOTICE("servedBy", "read and ignored: routes with the same portalMetadata.apiProductId belong to the document"),
};
static const struct field_table kinds_api_doc = T(struct doc_api_doc, kinds_api_doc_rows);
static const struct field_row kinds_openapi_meta_rows[] = {
    F(struct doc_openapi_meta, title, "title", FIELD_STR, "title of the API"),
    F(struct doc_openapi_meta, description, "description", FIELD_STR, "description, CommonMark"),
    F(struct doc_openapi_meta, terms, "termsOfService", FIELD_STR, "URL of the terms"),
    F(struct doc_openapi_meta, contact, "contact", FIELD_STR, "e-mail of who answers"),
    F(struct doc_openapi_meta, license, "license", FIELD_STR, "name of the licence"),
    F(struct doc_openapi_meta, lifecycle, "lifecycle", FIELD_STR, "state of the API"),
};
static const struct field_table kinds_openapi_meta = T(struct doc_openapi_meta, kinds_openapi_meta_rows);
static const struct field_row kinds_version_rows[] = {
    REQ(struct doc_version, version, "apiVersion", FIELD_STR, "version, as in the OpenAPI document's info"),
    SUB(struct doc_version, meta, "openapiMetadata", FIELD_OBJ, kinds_openapi_meta, "instead of the document's own"),
    NOTICE("targetRefs", "read and ignored: routes with the same portalMetadata.apiProductId belong to the product"),
    NOTICE("customMetadata", "not served: write it into customMetadata of the product"),
};
static const struct field_table kinds_version = T(struct doc_version, kinds_version_rows);
static const struct field_row kinds_api_product_rows[] = {
    REQ(struct doc_api_product, id, "id", FIELD_STR, "id of the product: the stem of its OpenAPI file's name"),
    F(struct doc_api_product, display_name, "displayName", FIELD_STR, "name for people"),
    F(struct doc_api_product, description, "description", FIELD_STR, "text for people"),
    F(struct doc_api_product, custom, "customMetadata", FIELD_PAIRS, "lifecycle is shown"),
    SUB(struct doc_api_product, versions, "versions", FIELD_LIST, kinds_version, "versions of the product"),
};
static const struct field_table kinds_api_product = T(struct doc_api_product, kinds_api_product_rows);

static const struct field_row kinds_transform_rows[] = {
    APPLY(struct doc_transform),
    REQ(struct doc_transform, config, "config", FIELD_NODE, "what to change"),
};
static const struct field_table kinds_transform = T(struct doc_transform, kinds_transform_rows);
static const struct field_row kinds_applied_rows[] = {
    SUB(struct doc_applied, apply, "applyToRoutes", FIELD_LIST, kinds_apply, "routes that it applies to"),
    QUIET("applyToDestinations"), QUIET("config"),
};
static const struct field_table kinds_applied = T(struct doc_applied, kinds_applied_rows);

/* ---- whole documents ---- */
#define DOC_HEAD QUIET("apiVersion"), QUIET("kind"), QUIET("status"), SELF(struct doc), \
    {"metadata", FIELD_OBJ, offsetof(struct doc, meta), FIELD_REQUIRED, 0, 0, &kinds_meta, NULL, "name, namespace, labels"}
#define DOC(stem) \
    static const struct field_row kinds_##stem##_doc_rows[] = {DOC_HEAD, \
        {"spec", FIELD_OBJ, offsetof(struct doc, spec), FIELD_REQUIRED, 0, 0, &kinds_##stem, NULL, "what it says"}}; \
    static const struct field_table kinds_##stem##_doc = T(struct doc, kinds_##stem##_doc_rows)
DOC(route_table);
DOC(ext_auth);
DOC(edge_auth);
DOC(limit_server);
DOC(limit_both);
DOC(limit_client);
DOC(limit_policy);
DOC(transform);
DOC(jwt);
DOC(portal);
DOC(group);
DOC(api_doc);
DOC(api_product);
DOC(applied);

/* Secrets and ConfigMaps have no spec: their fields stand beside metadata, in a struct around doc. */
struct kinds_secret_doc {
    struct doc doc;
    struct doc_secret secret;
};
static const struct field_row kinds_secret_rows[] = {
    QUIET("apiVersion"), QUIET("kind"), QUIET("immutable"),
    {NULL, FIELD_SELF, offsetof(struct kinds_secret_doc, doc.self), 0, 0, 0, NULL, NULL, ""},
    {"metadata", FIELD_OBJ, offsetof(struct kinds_secret_doc, doc.meta), FIELD_REQUIRED, 0, 0, &kinds_meta, NULL, "name, namespace, labels"},
    F(struct kinds_secret_doc, secret.type, "type", FIELD_STR, "extauth.solo.io/apikey for API keys; others are what a step refers to"),
    F(struct kinds_secret_doc, secret.data, "data", FIELD_PAIRS, "values in base64; api-key is the key, the rest is metadata"),
    F(struct kinds_secret_doc, secret.string_data, "stringData", FIELD_PAIRS, "the same as plain text"),
    QUIET("binaryData"),
};
static const struct field_table kinds_secret = T(struct kinds_secret_doc, kinds_secret_rows);
struct doc_secret *kind_secret_of(struct doc *d)
{
    return &((struct kinds_secret_doc *)(void *)d)->secret;
}

#define NOT_OURS(kind, group) {kind, group, STAGE_PARTS, NULL, NULL, \
    "read and ignored: it is for Kubernetes or the gateway, Postern needs nothing of it", ""}
/* Gloo Edge ties policies to routes in the route's own document. */
#define EDGE(kind, group) {kind, group, STAGE_PARTS, NULL, NULL, \
    "read and ignored: write its hosts and paths as a RouteTable (networking.gloo.solo.io/v2) with labels, and choose " \
    "routes by applyToRoutes in AuthConfig and RateLimitConfig; without it they apply to every route", ""}
static const struct kind_row kinds_rows[] = {
    {"RouteTable", "networking.gloo.solo.io", STAGE_ROUTES, &kinds_route_table_doc, compile_route_table, NULL, "hosts, paths and labels"},
    {"ExtAuthPolicy", "security.policy.gloo.solo.io", STAGE_POLICIES, &kinds_ext_auth_doc, compile_ext_auth, NULL, "who may pass"},
    {"AuthConfig", "enterprise.gloo.solo.io", STAGE_POLICIES, &kinds_edge_auth_doc, compile_edge_auth, NULL, "who may pass, in Gloo Edge's form"},
    {"RateLimitServerConfig", "admin.gloo.solo.io", STAGE_PARTS, &kinds_limit_server_doc, compile_limit_server, NULL, "limits"},
    {"RateLimitClientConfig", "trafficcontrol.policy.gloo.solo.io", STAGE_PARTS, &kinds_limit_client_doc, compile_limit_client, NULL, "what a request counts as"},
    {"RateLimitPolicy", "trafficcontrol.policy.gloo.solo.io", STAGE_POLICIES, &kinds_limit_policy_doc, compile_limit_policy, NULL, "which limits count on which routes"},
    {"RateLimitConfig", "ratelimit.solo.io", STAGE_POLICIES, &kinds_limit_both_doc, compile_limit_both, NULL, "limits and what a request counts as, in Gloo Edge's form"},
    {"Secret", "v1", STAGE_PARTS, &kinds_secret, compile_secret, NULL, "API keys in a file, and what steps refer to"},
    {"ConfigMap", "v1", STAGE_PARTS, &kinds_secret, compile_config_map, NULL, "texts that policies refer to"},
    {"Portal", "apimanagement.gloo.solo.io|portal.gloo.solo.io", STAGE_CATALOG, &kinds_portal_doc, catalog_portal, NULL, "plans and visibility"},
    {"PortalGroup", "apimanagement.gloo.solo.io|portal.gloo.solo.io", STAGE_CATALOG, &kinds_group_doc, compile_nothing, NULL, "read; membership comes later"},
    {"ApiDoc", "apimanagement.gloo.solo.io", STAGE_CATALOG, &kinds_api_doc_doc, catalog_api_doc, NULL, "an OpenAPI document"},
    {"ApiProduct", "portal.gloo.solo.io|apimanagement.gloo.solo.io", STAGE_CATALOG, &kinds_api_product_doc, catalog_api_product, NULL, "names and versions of a product"},
    {"JWTPolicy", "security.policy.gloo.solo.io", STAGE_POLICIES, &kinds_jwt_doc, compile_jwt_policy, NULL, "which tokens count, and what they must say"},
    {"TransformationPolicy", "trafficcontrol.policy.gloo.solo.io", STAGE_POLICIES, &kinds_transform_doc, compile_transform, NULL, "headers for the upstream made from the request, and what denials look like"},
    {"WAFPolicy", "security.policy.gloo.solo.io", STAGE_PARTS, &kinds_applied_doc, compile_nothing, "not served yet and ignored: keep the gateway's own WAF", "comes later"},
    {"CORSPolicy", "security.policy.gloo.solo.io", STAGE_PARTS, &kinds_applied_doc, compile_nothing, "not served: CORS is the gateway's", ""},
    {"CSRFPolicy", "security.policy.gloo.solo.io", STAGE_PARTS, &kinds_applied_doc, compile_nothing, "not served: CSRF is the gateway's", ""},
    NOT_OURS("ExtAuthServer", "admin.gloo.solo.io"),
    NOT_OURS("RateLimitServerSettings", "admin.gloo.solo.io"),
    NOT_OURS("VirtualGateway", "networking.gloo.solo.io"),
    NOT_OURS("VirtualDestination", "networking.gloo.solo.io"),
    NOT_OURS("ExternalService", "networking.gloo.solo.io"),
    NOT_OURS("ExternalEndpoint", "networking.gloo.solo.io"),
    NOT_OURS("Workspace", "admin.gloo.solo.io"),
    NOT_OURS("WorkspaceSettings", "admin.gloo.solo.io"),
    NOT_OURS("RootTrustPolicy", "admin.gloo.solo.io"),
    NOT_OURS("KubernetesCluster", "admin.gloo.solo.io"),
    NOT_OURS("FaultInjectionPolicy", "resilience.policy.gloo.solo.io"),
    NOT_OURS("RetryTimeoutPolicy", "resilience.policy.gloo.solo.io"),
    NOT_OURS("FailoverPolicy", "resilience.policy.gloo.solo.io"),
    NOT_OURS("OutlierDetectionPolicy", "resilience.policy.gloo.solo.io"),
    NOT_OURS("AccessPolicy", "security.policy.gloo.solo.io"),
    EDGE("VirtualService", "gateway.solo.io"),
    EDGE("VirtualHostOption", "gateway.solo.io"),
    EDGE("RouteOption", "gateway.solo.io"),
    EDGE("RouteTable", "gateway.solo.io"),
    EDGE("HTTPRoute", "gateway.networking.k8s.io"),
    NOT_OURS("GRPCRoute", "gateway.networking.k8s.io"),
    NOT_OURS("Gateway", "gateway.networking.k8s.io|gateway.solo.io"),
    NOT_OURS("GatewayClass", "gateway.networking.k8s.io"),
    NOT_OURS("GatewayParameters", "gateway.gloo.solo.io"),
    NOT_OURS("ReferenceGrant", "gateway.networking.k8s.io"),
    NOT_OURS("ListenerOption", "gateway.solo.io"),
    NOT_OURS("HttpListenerOption", "gateway.solo.io"),
    NOT_OURS("MatchableHttpGateway", "gateway.solo.io"),
    NOT_OURS("Upstream", "gloo.solo.io"),
    NOT_OURS("UpstreamGroup", "gloo.solo.io"),
    {"Settings", "gloo.solo.io", STAGE_PARTS, NULL, NULL, "read and ignored: Postern's settings are in postern.yaml; "
     "rate limits of ratelimit belong into a RateLimitConfig", ""},
    NOT_OURS("Service", "v1"),
    NOT_OURS("ServiceAccount", "v1"),
    NOT_OURS("Namespace", "v1"),
    NOT_OURS("Deployment", "apps"),
};
/* clang-format on */

const struct kind_row *kind_at(size_t i)
{
    return i < ARRAY_LEN(kinds_rows) ? &kinds_rows[i] : NULL;
}

const struct field_table *kind_domain_table(void)
{
    return &kinds_domain;
}

#undef T
#undef F
#undef REQ
#undef SUB
#undef NUM
#undef WORD
#undef SELF
#undef QUIET
#undef NOTICE
#undef FORWARDING
#undef APPLY
#undef FAIL_RULES
#undef DOC_HEAD
#undef DOC
#undef NOT_OURS
#undef EDGE
