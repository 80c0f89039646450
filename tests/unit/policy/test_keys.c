/*
 * test_keys.c - apiKeyAuth: statuses, reasons, identity headers, storage, the cache and its end.
 */
#include "p.h"

static const char policies[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
    "  hosts: ['*']\n  portalMetadata: {apiProductId: shop, apiVersion: v1}\n  http:\n"
    "  - name: open\n    matchers: [{uri: {exact: /health}}]\n"
    "  - name: keyed\n    labels: {auth: key}\n    matchers: [{uri: {prefix: /v1}}]\n"
    "  - name: strict\n    labels: {auth: strict}\n    matchers: [{uri: {prefix: /strict}}]\n"
    "  - name: secret\n    labels: {auth: secret}\n    matchers: [{uri: {prefix: /secret}}]\n"
    "  - name: both\n    labels: {auth: key, more: secret}\n    matchers: [{uri: {prefix: /both}}]\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: key}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {\n"
    "    headersFromMetadataEntry: {X-User-ID: {name: username}, X-Solo-Plan: {name: usagePlan}}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: s}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: strict}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {\n"
    "    headerName: X-Key, headersFromMetadata: {X-Team: {name: team, required: true}}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: c}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: secret}}}, {route: {labels: {more: secret}}}]\n"
    "  config: {glooAuth: {configs: [{apiKeyAuth: {headerName: x-other,\n"
    "    headersFromMetadataEntry: {x-who: {name: user-id}}, k8sSecretApikeyStorage: {labelSelector: {team: infra}}}}]}}\n"
    "---\n"
    "apiVersion: v1\nkind: Secret\nmetadata: {name: one, labels: {team: infra}}\ntype: extauth.solo.io/apikey\n"
    "data: {api-key: TjJZd01ESXhaVEV0TkdVek5TMWpOemd6TFRSa1lqQXRZakUyWXpSa1pHVm1OamN5, user-id: dXNlci1pZC0xMjM0NQ==}\n"
    "---\n"
    "apiVersion: v1\nkind: Secret\nmetadata: {name: two, labels: {team: other}}\ntype: extauth.solo.io/apikey\n"
    "stringData: {api-key: other-teams-key, user-id: somebody}\n";

#define SECRET_KEY "N2YwMDIxZTEtNGUzNS1jNzgzLTRkYjAtYjE2YzRkZGVmNjcy"

static void statuses_are_gloos(void)
{
    struct policy_verdict v = p_ask("GET", "a", "/v1/x", NULL);
    T(!v.allowed);
    T_INT(v.status, 401);
    T_TEXT(v.reason, "key_missing");
    T_TEXT(p_client(&v, "www-authenticate"), "API key is missing or invalid");
    T_INT(v.body.n, 0);
    T_TEXT(v.rule, "t.yaml:28");
    v = p_ask("GET", "a", "/v1/x", P_HEADERS("api-key: nope"));
    T_INT(v.status, 401);
    T_TEXT(v.reason, "key_unknown");
    v = p_ask("GET", "a", "/v1/x", P_HEADERS("api-key:"));
    T_TEXT(v.reason, "key_missing");
    v = p_ask("GET", "a", "/v1/x", P_HEADERS("api-key: pst_000000000000000000000000000000000000000000000x"));
    T_TEXT(v.reason, "key_unknown");
    v = p_ask("GET", "a", "/v1/x", P_HEADERS("api-key: pst_00000000000000000000000000000000000000000000"));
    T_TEXT(v.reason, "key_malformed");
    T_INT(v.status, 401);
}

static void good_key_sets_identity(void)
{
    const char *key = p_key(P_HEADERS("username", "ann@example.com", "usagePlan", "gold"));
    struct policy_verdict v = p_ask("GET", "a", "/v1/x", P_HEADERS(p_header("API-Key", key), "x-user-id: eve", "X_Solo_Plan: x"));
    T(v.allowed);
    T_INT(v.status, 200);
    T_TEXT(v.reason, "ok");
    T_TEXT(p_upstream(&v, "x-user-id"), "ann@example.com");
    T_TEXT(p_upstream(&v, "x-solo-plan"), "gold");
    T(p_removed(&v, "api-key"));
    T(p_removed(&v, "X_Solo_Plan"));
    T(!p_removed(&v, "x-user-id"));
    T_TEXT(v.user, "ann@example.com");
    T_TEXT(v.plan, "gold");
    T_TEXT(v.route, "default.r/keyed");
    T_INT(strlen(v.id), 16);
}

static void absent_metadata_removes_the_header(void)
{
    const char *key = p_key(P_HEADERS("username", "bob"));
    struct policy_verdict v = p_ask("GET", "a", "/v1/x", P_HEADERS(p_header("api-key", key), "X-Solo-Plan: gold"));
    T(v.allowed);
    T(p_removed(&v, "x-solo-plan"));
    T_TEXT(p_upstream(&v, "x-solo-plan"), "");
}

static void required_metadata(void)
{
    const char *without = p_key(P_HEADERS("username", "bob"));
    const char *with = p_key(P_HEADERS("team", "red"));
    struct policy_verdict v = p_ask("GET", "a", "/strict", P_HEADERS(p_header("x-key", without)));
    T_INT(v.status, 401);
    T_TEXT(v.reason, "metadata_missing");
    v = p_ask("GET", "a", "/strict", P_HEADERS(p_header("x-key", with)));
    T(v.allowed);
    T_TEXT(p_upstream(&v, "X-Team"), "red");
    v = p_ask("GET", "a", "/strict", P_HEADERS(p_header("api-key", with)));
    T_TEXT(v.reason, "key_missing");
}

static void values_that_cannot_be_headers(void)
{
    const char *key = p_key(P_HEADERS("username", "bob\r\nX-Admin: 1"));
    struct policy_verdict v = p_ask("GET", "a", "/v1/x", P_HEADERS(p_header("api-key", key)));
    T(!v.allowed);
    T_INT(v.status, 403);
    T_TEXT(v.reason, "metadata_invalid");
}

static void expiry(void)
{
    const char *old = p_key(P_HEADERS("expires-ts-unix", "1793999999"));
    const char *soon = p_key(P_HEADERS("expires-ts-unix", "1794000010"));
    const char *never = p_key(P_HEADERS("expires-ts-unix", "0"));
    const char *odd = p_key(P_HEADERS("expires-ts-unix", "tomorrow"));
    const char *rotated = p_key(P_HEADERS("rotated-until-ts-unix", "1794000005"));
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", old))).reason, "key_expired");
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", soon))).allowed);
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", never))).allowed);
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", odd))).reason, "key_expired");
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", rotated))).allowed);
    p.now_ms += 10000; /* both are cached by now */
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", soon))).reason, "key_expired");
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", rotated))).reason, "key_expired");
    p.now_ms = P_NOW; /* the clock is set back: its word counts, for cached keys too */
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", soon))).allowed);
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", old))).reason, "key_expired");
    p.now_ms = P_NOW + 86400000;
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", soon))).reason, "key_expired");
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", never))).allowed);
    p.now_ms = P_NOW;
}

static void products(void)
{
    const char *right = p_key(P_HEADERS("product", "shop"));
    const char *wrong = p_key(P_HEADERS("product", "ledger"));
    struct policy_verdict v;
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", right))).allowed);
    v = p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", wrong)));
    T_INT(v.status, 403);
    T_TEXT(v.reason, "key_wrong_product");
}

/* A policy for some plans: the portal's usagePlan, or plan of a Secret. */
static void plans(void)
{
    static const char text[] =
        "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec: {config: {glooAuth: {configs: [{apiKeyAuth: {plans: [gold, silver]}}]}}}\n";
    static const struct {
        const char *name, *plan, *reason;
    } rows[] = {{"usagePlan", "gold", "ok"}, {"plan", "silver", "ok"}, {"usagePlan", "bronze", "key_wrong_plan"}, {"usagePlan", "Gold", "key_wrong_plan"}, {"x", "gold", "key_wrong_plan"}};
    T(p_use(text));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", p_key(P_HEADERS(rows[i].name, rows[i].plan)))));
        T_ROW("%s %s", rows[i].name, rows[i].plan);
        T_TEXT(v.reason, rows[i].reason);
        T_INT(v.status, v.allowed ? 200 : 403);
    }
    T(p_use(policies));
}

/* What later steps see, and what of it stays out of everything that is told. */
static void state_for_later_steps(void)
{
    const char *key = p_key(P_HEADERS("username", "ann", "team", "red", "other", "x"));
    T(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec: {config: {glooAuth: {configs: [\n"
            "  {apiKeyAuth: {headersFromMetadataEntry: {X-User-ID: {name: username}, x-team: {name: team}, x-none: {name: nothing}}}},\n"
            "  {luaAuth: {headers: [x-seen], inline: 'return function(r) local s = r.state return {allow = true, headers = {[\"x-seen\"] = "
            "s.api_key_value .. \",\" .. s[\"X-User-ID\"] .. \",\" .. s[\"x-team\"] .. \",\" .. tostring(s[\"x-none\"]) .. tostring(s.other)}} end'}}]}}}\n"));
    struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", key)));
    struct buf b;
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-seen"), arena_fmt(&p.arena, "%s,ann,red,nilnil", key).p);
    v.upstream_n = 0; /* where the script put it on purpose */
    buf_init(&b, 0);
    policy_verdict_json(&v, true, &b);
    T(slice_find(buf_all(&b), slice_str(key)) == SIZE_MAX);
    buf_free(&b);
    T(p_use(policies));
}

/* A Secret without api-key is none of those that a selector takes; all labels must hold. */
static void label_selectors(void)
{
#define SECRET(name, labels, data) "apiVersion: v1\nkind: Secret\nmetadata: {name: " name ", labels: {" labels "}}\ntype: extauth.solo.io/apikey\nstringData: {" data "}\n---\n"
#define SELECT(labels) SECRET("a", "team: red, stage: prod", "api-key: key-a") SECRET("b", "team: red", "api-key: key-b") SECRET("c", "team: red, stage: prod", "user-id: nobody") \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec: {config: {glooAuth: {configs: [{apiKeyAuth: {k8sSecretApikeyStorage: {" labels "}}}]}}}\n"
    T(p_use(SELECT("labelSelector: {team: red, stage: prod}")));
    T(p_ask("GET", "a", "/", P_HEADERS("api-key: key-a")).allowed);
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: key-b")).reason, "key_unknown");
    T(p_use(SELECT("labelSelector: {team: red}")));
    T(p_ask("GET", "a", "/", P_HEADERS("api-key: key-a")).allowed);
    T(p_ask("GET", "a", "/", P_HEADERS("api-key: key-b")).allowed);
    T(p_use(SELECT("apiKeySecretRefs: [{name: b, namespace: default}]")));
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: key-a")).reason, "key_unknown");
    T(p_ask("GET", "a", "/", P_HEADERS("api-key: key-b")).allowed);
    T(p_use(SELECT("labelSelector: {team: blue}")));
    T(p_fault("", "every key is refused") != NULL);
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: key-a")).reason, "key_unknown");
    T(p_use(policies));
#undef SELECT
#undef SECRET
}

static void secrets_are_apart_from_the_store(void)
{
    const char *stored = p_key(P_HEADERS("user-id", "x"));
    struct policy_verdict v = p_ask("GET", "a", "/secret", P_HEADERS("x-other: " SECRET_KEY));
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-who"), "user-id-12345");
    T_TEXT(p_ask("GET", "a", "/secret", P_HEADERS("x-other: other-teams-key")).reason, "key_unknown");
    T_TEXT(p_ask("GET", "a", "/secret", P_HEADERS(p_header("x-other", stored))).reason, "key_unknown");
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS("api-key: " SECRET_KEY)).reason, "key_unknown");
}

static void two_policies_must_both_pass(void)
{
    const char *key = p_key(P_HEADERS("username", "ann"));
    struct policy_verdict v = p_ask("GET", "a", "/both", P_HEADERS(p_header("api-key", key)));
    T_TEXT(v.reason, "key_missing");
    v = p_ask("GET", "a", "/both", P_HEADERS(p_header("api-key", key), "x-other: " SECRET_KEY));
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-user-id"), "ann");
    T_TEXT(p_upstream(&v, "x-who"), "user-id-12345");
}

static void open_route_and_no_route(void)
{
    T(p_ask("GET", "a", "/health", NULL).allowed);
    struct policy_verdict v = p_ask("GET", "a", "/other", NULL);
    T(!v.allowed);
    T_INT(v.status, 403);
    T_TEXT(v.reason, "no_route");
}

static void revoked_at_once(void)
{
    const char *key = p_key(P_HEADERS("username", "ann"));
    char hash[KEYREC_HASH_LEN];
    struct keyrec k;
    T(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", key))).allowed);
    T(key_cache_count(p.ctx->keys) > 0);
    store_enter(p.store, p.now_ms);
    T(keyrec_get(p.store, 0, keyrec_hash(&p.scheme, slice_str(key), hash), &p.arena, &k) == RC_OK);
    T(keyrec_del(p.store, 0, k.uuid));
    T(!keyrec_del(p.store, 0, k.uuid));
    store_leave(p.store);
    T_TEXT(p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", key))).reason, "key_unknown");
}

static void changed_metadata_at_once(void)
{
    const char *key = p_key(P_HEADERS("username", "ann"));
    char hash[KEYREC_HASH_LEN];
    struct keyrec k;
    struct policy_verdict v = p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", key)));
    T_TEXT(p_upstream(&v, "x-user-id"), "ann");
    store_enter(p.store, p.now_ms);
    T(keyrec_get(p.store, 0, keyrec_hash(&p.scheme, slice_str(key), hash), &p.arena, &k) == RC_OK);
    keyrec_meta_set(&k, S("username"), S("zoe"));
    keyrec_put(p.store, 0, &k, &p.arena);
    store_leave(p.store);
    v = p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", key)));
    T_TEXT(p_upstream(&v, "x-user-id"), "zoe");
}

static void record_that_is_no_record(void)
{
    char hash[KEYREC_HASH_LEN];
    struct slice h = keyrec_hash(&p.scheme, S("broken"), hash);
    struct policy_verdict v;
    store_enter(p.store, p.now_ms);
    ks_set(p.store, 0, h, S("{not json"), 0);
    store_leave(p.store);
    v = p_ask("GET", "a", "/v1", P_HEADERS("api-key: broken"));
    T(!v.allowed);
    T_INT(v.status, 403);
    T_TEXT(v.reason, "key_trouble");
}

static void trace_tells_without_secrets(void)
{
    const char *key = p_key(P_HEADERS("username", "ann"));
    struct policy_verdict v = p_ask("GET", "a", "/v1", P_HEADERS(p_header("api-key", key)));
    struct buf b;
    buf_init(&b, 0);
    policy_verdict_json(&v, true, &b);
    T(v.trace_n == 2);
    T(slice_find(buf_all(&b), slice_str(key)) == SIZE_MAX);
    T(slice_find(buf_all(&b), S("apiKeyAuth")) != SIZE_MAX);
    buf_free(&b);
}

static void keyrec_is_gloos_json(void)
{
    struct keyrec k = {.hash = S("aGFzaA=="), .uuid = S("u-1"), .labels = {S("ann@example.com")}, .labels_n = 1};
    char tmp[KS_TMP];
    struct keyrec back;
    keyrec_meta_set(&k, S("username"), S("ann@example.com"));
    keyrec_meta_set(&k, S("config_id"), S("c"));
    keyrec_meta_set(&k, S("name"), S("my \"key\""));
    store_enter(p.store, p.now_ms);
    keyrec_put(p.store, 0, &k, &p.arena);
    T_TEXT(ks_str(ks_find(p.store, 0, S("u-1"), KS_NOTOUCH), tmp), "aGFzaA==");
    T_TEXT(ks_str(ks_find(p.store, 0, S("aGFzaA=="), KS_NOTOUCH), tmp),
           "{\"api_key\":\"aGFzaA==\",\"labels\":[\"ann@example.com\"],\"metadata\":{\"config_id\":\"c\","
           "\"name\":\"my \\\"key\\\"\",\"username\":\"ann@example.com\"},\"uuid\":\"u-1\"}");
    T(keyrec_by_uuid(p.store, 0, S("u-1"), &p.arena, &back) == RC_OK);
    T_TEXT(keyrec_meta(&back, S("name")), "my \"key\"");
    T_INT(back.labels_n, 1);
    store_leave(p.store);
    T(keyrec_parse(S("[]"), &p.arena, &back) == RC_BADINPUT);
    T(keyrec_parse(S("{\"api_key\":\"x\"}"), &p.arena, &back) == RC_BADINPUT);
    T(keyrec_parse(S("{\"uuid\":\"x\",\"metadata\":{\"a\":12,\"b\":true}}"), &p.arena, &back) == RC_OK);
    T_TEXT(keyrec_meta(&back, S("a")), "12");
}

/* Keys of Secrets as digests or HMACs (made by openssl), headers that must be as the Secret says. */
#define HASHED_KEY "0123456789abcdef-key-of-tests"
#define HASHED(step) \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: d, labels: {t: d}}\ntype: extauth.solo.io/apikey\n" \
    "stringData: {api-key: q46rp+7B9m2Fx0BHiKSF0J3Wig/IPd+S57J1BU4I0SA=, user-id: dora, x-tenant: blue}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: h, labels: {t: h}}\ntype: extauth.solo.io/apikey\n" \
    "stringData: {api-key: 'MOra+dxL2yor0T2TwEILMgzc5OxXs/6fg/Ka+6VW41Y=', user-id: hugo}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: shared}\nstringData: {shared-secret: sharedsecret, more: x}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: alone, namespace: far}\ndata: {whatever: c2hhcmVkc2VjcmV0}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: two}\nstringData: {a: x, b: y}\n---\n" \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec: {config: {glooAuth: {configs: [{apiKeyAuth: {" step "}}]}}}\n"

static void keys_as_digests(void)
{
    struct policy_verdict v;
    p_unload();
    T(p_use(HASHED("k8sSecretApikeyStorage: {labelSelector: {t: d}}, digest: {algorithm: SHA256}")));
    v = p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY));
    T(v.allowed);
    T_TEXT(v.user, "dora");
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: q46rp+7B9m2Fx0BHiKSF0J3Wig/IPd+S57J1BU4I0SA=")).reason, "key_unknown"); /* the stored text is no key */
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: other")).reason, "key_unknown");
    T(p_use(HASHED("k8sSecretApikeyStorage: {labelSelector: {t: d}}, digest: {}, match: {headers: [{name: X-Tenant}]}")));
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY, "x-tenant: blue")).reason, "key_header_mismatch"); /* entries are case-sensitive */
    T(p_use(HASHED("k8sSecretApikeyStorage: {labelSelector: {t: d}}, digest: {}, match: {headers: [{name: x-tenant}]}")));
    T(p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY, "X-Tenant: blue")).allowed);
    static const char *const bad[] = {"X-Tenant: red", "X-Tenant:", "X-Tenant: blue,blue", "X-Tenant: Blue", "y: z"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        v = p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY, bad[i]));
        T_ROW("%s", bad[i]);
        T_INT(v.status, 401);
        T_TEXT(v.reason, "key_header_mismatch");
        T_TEXT(p_client(&v, "www-authenticate"), "API key is missing or invalid");
    }
    T(!p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY, "X-Tenant: blue", "x-tenant: blue")).allowed);
}

static void keys_as_hmacs(void)
{
    static const char *const steps[] = {
        HASHED("k8sSecretApikeyStorage: {labelSelector: {t: h}}, hmac: {algorithm: HMAC_SHA256, sharedSecretRef: {name: shared}}"),
        HASHED("labelSelector: {t: h}, hmac: {sharedSecretRef: {name: alone, namespace: far}}")};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        T(p_use(steps[i]));
        T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY)).user, "hugo");
        T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: MOra+dxL2yor0T2TwEILMgzc5OxXs/6fg/Ka+6VW41Y=")).reason, "key_unknown");
    }
}

static void hashed_keys_with_faults(void)
{
    static const struct {
        const char *text, *fault;
    } rows[] = {
        {HASHED("digest: {}"), "keys of Secrets"},
        {HASHED("hmac: {sharedSecretRef: {name: shared}}"), "keys of Secrets"},
        {HASHED("labelSelector: {t: h}, digest: {}, hmac: {sharedSecretRef: {name: shared}}"), "one of hmac"},
        {HASHED("labelSelector: {t: h}, match: {headers: [{name: a}]}"), "match needs digest"},
        {HASHED("labelSelector: {t: h}, hmac: {}"), "required field"},
        {HASHED("labelSelector: {t: h}, hmac: {sharedSecretRef: {name: nobody}}"), "no Secret"},
        {HASHED("labelSelector: {t: h}, hmac: {sharedSecretRef: {name: two}}"), "shared-secret"},
        {HASHED("labelSelector: {t: h}, digest: {algorithm: MD5}"), "expected one of"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", rows[i].text, NULL};
        T_ROW("%s", rows[i].fault);
        struct policy_set *set = p_load_files(files);
        T(set == NULL);
        policy_set_drop(set);
        T(p_fault("", rows[i].fault) != NULL);
    }
    T(p_use(HASHED("aerospikeApikeyStorage: {hostname: h}")));
    T(p_fault("", "aerospikeApikeyStorage is not served") != NULL);
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS("api-key: " HASHED_KEY)).reason, "not_served");
}

/* Later steps see what the key's metadata gave, under the names of the headers, and the key. */
static void metadata_is_state(void)
{
    const char *key = p_key(P_HEADERS("username", "ann@example.com"));

    T(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
            "  config: {glooAuth: {configs: [{apiKeyAuth: {headersFromMetadataEntry: {X-User-ID: {name: username}, X-Team: {name: team}}}},\n"
            "    {luaAuth: {inline: 'return function(req) local n = 0 for k in pairs(req.state) do n = n + 1 end\n"
            "      return n == 2 and req.state[\"X-User-ID\"] == \"ann@example.com\" end'}}]}}\n"));
    T_TEXT(p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", key), "X-Team: forged")).reason, "ok");
}

int main(void)
{
    p_init();
    MUST(p_use(policies));
    T_RUN(statuses_are_gloos);
    T_RUN(good_key_sets_identity);
    T_RUN(absent_metadata_removes_the_header);
    T_RUN(required_metadata);
    T_RUN(values_that_cannot_be_headers);
    T_RUN(expiry);
    T_RUN(products);
    T_RUN(plans);
    T_RUN(state_for_later_steps);
    T_RUN(label_selectors);
    T_RUN(secrets_are_apart_from_the_store);
    T_RUN(two_policies_must_both_pass);
    T_RUN(open_route_and_no_route);
    T_RUN(revoked_at_once);
    T_RUN(changed_metadata_at_once);
    T_RUN(record_that_is_no_record);
    T_RUN(trace_tells_without_secrets);
    T_RUN(keyrec_is_gloos_json);
    T_RUN(keys_as_digests);
    T_RUN(keys_as_hmacs);
    T_RUN(hashed_keys_with_faults);
    T_RUN(metadata_is_state);
    p_done();
    return t_done();
}
