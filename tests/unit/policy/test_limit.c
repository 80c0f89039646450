/*
 * test_limit.c - rate limits: trees, sets, weights, windows, names of counters, the reference server's
 * rules, descriptors from outside.
 */
#include "p.h"

#define HEAD(kind, group, name) "---\napiVersion: " group "\nkind: " kind "\nmetadata: {name: " name "}\n"
#define POLICY HEAD("RateLimitPolicy", "trafficcontrol.policy.gloo.solo.io/v2", "p") \
    "spec:\n  config: {ratelimitServerConfig: {name: s}, ratelimitClientConfig: {name: c}}\n"
#define SERVER HEAD("RateLimitServerConfig", "admin.gloo.solo.io/v2", "s") "spec:\n  raw:\n"
#define CLIENT HEAD("RateLimitClientConfig", "trafficcontrol.policy.gloo.solo.io/v2", "c") "spec:\n  raw:\n    rateLimits:\n"
#define ROUTE HEAD("RouteTable", "networking.gloo.solo.io/v2", "r") "spec: {hosts: ['*'], http: [{name: all}]}\n"

static int64_t counter(const char *key)
{
    char tmp[KS_TMP];
    int64_t n = -1;
    store_enter(p.store, p.now_ms);
    struct entry *e = ks_find(p.store, 0, slice_str(key), KS_NOTOUCH);
    if (e)
        (void)slice_i64(ks_str(e, tmp), &n);
    store_leave(p.store);
    return n;
}

static void flush(void)
{
    store_enter(p.store, p.now_ms);
    ks_flush(p.store, -1);
    store_leave(p.store);
}

static void fixed_window_counts_and_starts_anew(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: org, rateLimit: {unit: MINUTE, requestsPerUnit: 2}}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: X-Org, descriptorKey: org}}]\n"));
    T(p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed);
    struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS("X-Org: solo"));
    T(v.allowed);
    T_INT(v.limits_n, 1);
    T_INT(v.limits[0].remaining, 0);
    T_INT(v.limits[0].reset_s, 60);
    T_TEXT(v.limits[0].name, "s-1");
    p.now_ms += 15500;
    v = p_ask("GET", "a", "/", P_HEADERS("X-Org: solo"));
    T_INT(v.status, 429);
    T_TEXT(v.reason, "limited");
    T_TEXT(p_client(&v, "retry-after"), "45");
    T_TEXT(p_client(&v, "x-envoy-ratelimited"), "true");
    T_INT(v.body.n, 0);
    T_TEXT(v.rule, "t.yaml:18");
    T(p_ask("GET", "a", "/", P_HEADERS("X-Org: other")).allowed);
    T(p_ask("GET", "a", "/", NULL).allowed);
    T_INT(counter("tree|solo.io|generic_key^default.s|org^solo|1794000000"), 3);
    T_INT(counter("tree|solo.io|generic_key^default.s|org^other|1794000000"), 1);
    p.now_ms = P_NOW + 60000;
    T(p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed);
    T_INT(counter("tree|solo.io|generic_key^default.s|org^solo|1794000000"), -1);
    p.now_ms = P_NOW;
}

/* The wall clock is set: whoever is limited is so for the window that the clock shows, never longer. */
static void clock_steps(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: org, rateLimit: {unit: MINUTE, requestsPerUnit: 2}}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: X-Org, descriptorKey: org}}]\n"));
    for (int i = 0; i < 3; i++)
        T_INT(p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed, i < 2);
    static const int64_t steps[] = {-3600000, -1000, -1, -86400000, 3600000};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        T_ROW("%lld ms", (long long)steps[i]);
        p.now_ms = P_NOW + steps[i];
        struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS("X-Org: solo"));
        bool known = steps[i] == -1; /* the window of the step before */
        T(v.allowed);
        T(v.limits[0].reset_s >= 1 && v.limits[0].reset_s <= 60);
        T_INT(v.limits[0].remaining, known ? 0 : 1);
    }
    store_cron(p.store, p.now_ms);
    p.now_ms = P_NOW; /* an hour ahead its window was over: it begins anew, once */
    T(p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed);
    T(p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed);
    T(!p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed);
    p.now_ms = P_NOW - 30000;
    (void)p_ask("GET", "a", "/", P_HEADERS("X-Org: solo"));
    p.now_ms = P_NOW + 1; /* back and forth without leaving the window's time: still limited */
    T(!p_ask("GET", "a", "/", P_HEADERS("X-Org: solo")).allowed);
    p.now_ms = P_NOW;
}

static void skipped_when_absent(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: b, rateLimit: {unit: DAY, requestsPerUnit: 1}}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: a, descriptorKey: a, skipIfAbsent: true}}, {requestHeaders: {headerName: b, descriptorKey: b}}]\n"
               "    - actions: [{requestHeaders: {headerName: none, descriptorKey: a, skip_if_absent: true}}]\n"));
    T(p_ask("GET", "a", "/", P_HEADERS("b: x")).allowed);
    T(!p_ask("GET", "a", "/", P_HEADERS("b: x")).allowed); /* the rest of the tuple counts */
    T(p_ask("GET", "a", "/", P_HEADERS("a: 1", "b: x")).allowed);
    T(p_ask("GET", "a", "/", P_HEADERS("a: 1", "b: x")).allowed); /* another tuple, no limit */
}

static void values_cannot_collide(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: a, descriptors: [{key: b, rateLimit: {unit: DAY, requestsPerUnit: 1}}]}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: a, descriptorKey: a}}, {requestHeaders: {headerName: b, descriptorKey: b}}]\n"));
    T(p_ask("GET", "a", "/", P_HEADERS("a: x|b^y", "b: z")).allowed);
    T(p_ask("GET", "a", "/", P_HEADERS("a: x", "b: y|b^z")).allowed);
    T(p_ask("GET", "a", "/", P_HEADERS("a: x%7Cb%5Ey", "b: z")).allowed);
    T_INT(counter("tree|solo.io|generic_key^default.s|a^x%7Cb%5Ey|b^z|1793923200"), 1);
    T_INT(counter("tree|solo.io|generic_key^default.s|a^x%257Cb%255Ey|b^z|1793923200"), 1);
}

static void long_values_are_hashed(void)
{
    char header[2000] = "a: ";
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: a, rateLimit: {unit: DAY, requestsPerUnit: 1}}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: a, descriptorKey: a}}]\n"));
    memset(header + 3, 'x', 1500);
    struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS(header));
    T(v.allowed && v.limits_n == 1);
    T(v.limits[0].counter.n < 200);
    header[3] = 'y';
    T(p_ask("GET", "a", "/", P_HEADERS(header)).allowed);
    T(!p_ask("GET", "a", "/", P_HEADERS(header)).allowed);
}

static void heaviest_weight_wins(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER
               "    descriptors:\n"
               "    - {key: generic_key, value: low, rateLimit: {unit: HOUR, requestsPerUnit: 1}}\n"
               "    - {key: generic_key, value: high, weight: 1, rateLimit: {unit: HOUR, requestsPerUnit: 3}}\n"
               "    - {key: generic_key, value: always, alwaysApply: true, rateLimit: {unit: HOUR, requestsPerUnit: 2}}\n"
               CLIENT "    - actions: [{genericKey: {descriptorValue: low}}]\n"
               "    - actions: [{genericKey: {descriptorValue: high}}]\n"
               "    - actions: [{genericKey: {descriptorValue: always}}]\n"));
    T(p_ask("GET", "a", "/", NULL).allowed);
    struct policy_verdict v = p_ask("GET", "a", "/", NULL);
    T(v.allowed);
    T_INT(v.limits_n, 2);
    T(!p_ask("GET", "a", "/", NULL).allowed);
    T_INT(counter("tree|solo.io|generic_key^default.s|generic_key^low|1793998800"), -1);
}

static void tuples_need_all_and_in_order(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: a, descriptors: [{key: b, rateLimit: {unit: DAY, requestsPerUnit: 0}}]}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: b, descriptorKey: b}}, {requestHeaders: {headerName: a, descriptorKey: a}}]\n"
               "    - actions: [{requestHeaders: {headerName: a, descriptorKey: a}}, {requestHeaders: {headerName: c, descriptorKey: b}}]\n"));
    T(p_ask("GET", "a", "/", P_HEADERS("a: 1", "b: 2")).allowed);
    T_INT(p_ask("GET", "a", "/", P_HEADERS("a: 1", "c: 2")).status, 429);
}

static void sets_match_in_list_order(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER
               "    setDescriptors:\n"
               "    - {simpleDescriptors: [{key: plan, value: gold}, {key: user}], rateLimit: {unit: DAY, requestsPerUnit: 2}}\n"
               "    - {simpleDescriptors: [{key: user}, {key: plan}], rateLimit: {unit: DAY, requestsPerUnit: 1}}\n"
               "    - {simpleDescriptors: [{key: user}], alwaysApply: true, rateLimit: {unit: DAY, requestsPerUnit: 3}}\n"
               "    - {rateLimit: {unit: DAY, requestsPerUnit: 4}}\n"
               CLIENT "    - setActions: [{requestHeaders: {headerName: u, descriptorKey: user}}, {requestHeaders: {headerName: p, descriptorKey: plan}}]\n"));
    T(p_ask("GET", "a", "/", P_HEADERS("u: 1", "p: gold")).allowed);
    T(p_ask("GET", "a", "/", P_HEADERS("u: 1", "p: gold")).allowed);
    T_INT(p_ask("GET", "a", "/", P_HEADERS("u: 1", "p: gold")).status, 429);
    T_INT(counter("set|solo.io|generic_key^default.s|plan^gold|user^1|1793923200"), 3);
    T_INT(counter("set|solo.io|generic_key^default.s|user^1|1793923200"), 3);
    T(p_ask("GET", "a", "/", P_HEADERS("u: 2", "p: tin")).allowed);
    T_INT(p_ask("GET", "a", "/", P_HEADERS("u: 2", "p: tin")).status, 429);
    T(p_ask("GET", "a", "/", NULL).allowed); /* the empty set matches everything */
    T_INT(counter("set|solo.io|generic_key^default.s|1793923200"), 1);
}

static void same_keys_have_own_counters(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER
               "    setDescriptors:\n"
               "    - {simpleDescriptors: [{key: u}], rateLimit: {unit: MINUTE, requestsPerUnit: 5}}\n"
               "    - {simpleDescriptors: [{key: u}], alwaysApply: true, rateLimit: {unit: HOUR, requestsPerUnit: 5}}\n"
               CLIENT "    - setActions: [{requestHeaders: {headerName: u, descriptorKey: u}}]\n"));
    struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS("u: 1"));
    T_INT(v.limits_n, 2);
    T_INT(v.limits[0].used, 1);
    T_INT(v.limits[1].used, 1);
}

static void actions_of_every_kind(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER
               "    descriptors:\n"
               "    - {key: remote_address, rateLimit: {unit: DAY, requestsPerUnit: 0}}\n"
               "    - {key: header_match, value: browser, rateLimit: {unit: DAY, requestsPerUnit: 0}}\n"
               "    - {key: who, value: nobody, rateLimit: {unit: DAY, requestsPerUnit: 0}}\n"
               CLIENT "    - actions: [{headerValueMatch: {descriptorValue: browser, headers: [{name: ua, regexMatch: 'Mozilla/.*'}, {name: x, presentMatch: true, invertMatch: true}]}}]\n"
               "    - actions: [{metadata: {descriptorKey: who, defaultValue: nobody, metadataKey: {key: envoy.filters.http.ext_authz, path: [{key: userId}]}}}]\n"));
    T_TEXT(p_ask("GET", "a", "/", NULL).limits[0].counter, "tree|solo.io|generic_key^default.s|who^nobody|1793923200");
    T_INT(p_ask("GET", "a", "/", P_HEADERS("ua: Mozilla/5")).limits_n, 2);
    T_INT(p_ask("GET", "a", "/", P_HEADERS("ua: Mozilla/5", "x: 1")).limits_n, 1);
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: remote_address, rateLimit: {unit: DAY, requestsPerUnit: 0}}]\n"
               CLIENT "    - actions: [{remoteAddress: {}}]\n"));
    T_TEXT(p_ask("GET", "a", "/", NULL).limits[0].counter, "tree|solo.io|generic_key^default.s|remote_address^192.0.2.7|1793923200");
}

static void unserved_actions_leave_their_entry_out(void)
{
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: generic_key, rateLimit: {unit: DAY, requestsPerUnit: 0}}]\n"
               CLIENT "    - actions: [{sourceCluster: {}}]\n"));
    T(p_fault("", "action sourceCluster is not served"));
    T(p_ask("GET", "a", "/", NULL).allowed);
}

static void two_headers_are_one_value(void)
{
    flush();
    MUST(p_use(ROUTE POLICY SERVER "    descriptors: [{key: a, value: 'x,y', rateLimit: {unit: DAY, requestsPerUnit: 0}}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: a, descriptorKey: a}}]\n"));
    T_INT(p_ask("GET", "a", "/", P_HEADERS("a: x", "A: y")).status, 429);
}

/* A rule fires when any reading of a list makes it fire: as a whole, or one of its members. */
static void members_of_a_list(void)
{
    static const struct {
        const char *headers, *expect, *value;
        int status;
    } rows[] = {
        {"{name: x-plan, exactMatch: free}", "true", "free", 429},
        {"{name: x-plan, exactMatch: free}", "true", "gold,free", 429},
        {"{name: x-plan, exactMatch: free}", "true", "free , gold", 429},
        {"{name: x-plan, exactMatch: free}", "true", "freedom,gold", 200},
        {"{name: x-plan, exactMatch: 'a,b'}", "true", "a,b", 429},
        {"{name: x-plan, prefixMatch: fr}", "true", "gold,free", 429},
        {"{name: x-plan, regexMatch: 'f.ee'}", "true", "gold,free", 429},
        {"{name: x-plan, rangeMatch: {start: 1, end: 5}}", "true", "9, 3", 429},
        {"{name: x-plan, exactMatch: gold, invertMatch: true}", "true", "gold", 200},
        {"{name: x-plan, exactMatch: gold, invertMatch: true}", "true", "gold,free", 429},
        {"{name: x-plan, exactMatch: gold}", "false", "gold", 200},
        {"{name: x-plan, exactMatch: gold}", "false", "gold, free", 429},
        {"{name: x-plan, exactMatch: gold}", "false", "free", 429},
        {"{name: user-agent, regexMatch: 'x.*', invertMatch: true}", "true", "gold", 429},
    };
    char text[2000];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s %s: %s", rows[i].headers, rows[i].expect, rows[i].value);
        snprintf(text, sizeof text, ROUTE POLICY SERVER "    descriptors: [{key: header_match, value: hit, rateLimit: {unit: DAY, requestsPerUnit: 0}}]\n"
                 CLIENT "    - actions: [{headerValueMatch: {descriptorValue: hit, expectMatch: %s, headers: [%s]}}]\n", rows[i].expect, rows[i].headers);
        MUST(p_use(text));
        T_INT(p_ask("GET", "a", "/", P_HEADERS(p_header("X-Plan", rows[i].value), "User-Agent: y, like z")).status, rows[i].status);
    }
    snprintf(text, sizeof text, ROUTE POLICY SERVER "    descriptors: [{key: header_match, value: hit, rateLimit: {unit: DAY, requestsPerUnit: 0}}]\n"
             CLIENT "    - actions: [{headerValueMatch: {descriptorValue: hit, headers: [{name: user-agent, regexMatch: 'x.*', invertMatch: true}]}}]\n");
    MUST(p_use(text));
    T_INT(p_ask("GET", "a", "/", P_HEADERS("User-Agent: x (y, like z)")).status, 200); /* one value, commas and all */
}

static void shadow_counts_and_lets_pass(void)
{
    flush();
    MUST(p_use(ROUTE HEAD("RateLimitPolicy", "trafficcontrol.policy.gloo.solo.io/v2", "p")
               "spec:\n  config: {shadow: true, ratelimitServerConfig: {name: s}, ratelimitClientConfig: {name: c}}\n"
               SERVER "    descriptors: [{key: generic_key, value: x, rateLimit: {unit: DAY, requestsPerUnit: 0}}]\n"
               CLIENT "    - actions: [{genericKey: {descriptorValue: x}}]\n"));
    struct policy_verdict v = p_ask("GET", "a", "/", NULL);
    T(v.allowed);
    T_INT(v.limits_n, 0);
    T_INT(counter("tree|solo.io|generic_key^default.s|generic_key^x|1793923200"), 1);
    T_TEXT(v.trace[v.trace_n - 1].said, "shadow");
}

static void trouble_denies(void)
{
    static const char text[] = ROUTE POLICY SERVER "    descriptors: [{key: generic_key, value: x, rateLimit: {unit: DAY, requestsPerUnit: 9}}]\n"
               CLIENT "    - actions: [{genericKey: {descriptorValue: x}}]\n";
    bool created;
    flush();
    MUST(p_use(text));
    store_enter(p.store, p.now_ms);
    T(ks_hset(p.store, 0, S("tree|solo.io|generic_key^default.s|generic_key^x|1793923200"), S("f"), S("v"), &created) == RC_OK);
    store_leave(p.store);
    struct policy_verdict v = p_ask("GET", "a", "/", NULL);
    T(!v.allowed);
    T_INT(v.status, 403);
    T_TEXT(v.reason, "store_refused");
}

static void rate_limit_config_of_edge(void)
{
    flush();
    MUST(p_use(ROUTE HEAD("RateLimitConfig", "ratelimit.solo.io/v1alpha1", "rlc")
               "spec:\n  raw:\n    descriptors: [{key: uid, rateLimit: {unit: DAY, requestsPerUnit: 1}}]\n"
               "    rateLimits: [{actions: [{requestHeaders: {headerName: u, descriptorKey: uid}}]}]\n"));
    T(p_ask("GET", "a", "/", P_HEADERS("u: 7")).allowed);
    T_INT(counter("tree|crd|generic_key^default.rlc|uid^7|1793923200"), 1);
    T_INT(p_ask("GET", "a", "/", P_HEADERS("u: 7")).status, 429);
}

/* ---- descriptors from outside ---- */

static struct policy_limit got[4];
static bool over;

/* "k=v,k=v;k=v" */
static enum rc outside(const char *domain, const char *text, uint32_t hits)
{
    static struct limit_entry entries[4][8];
    struct limit_descriptor d[4];
    struct slice rest = slice_str(text);
    struct err e = {0};
    size_t n = 0;
    memset(d, 0, sizeof d);
    while (rest.n > 0) {
        struct slice one = slice_cut(rest, ';', &rest);
        d[n].entries = entries[n];
        while (one.n > 0) {
            struct slice pair = slice_cut(one, ',', &one);
            entries[n][d[n].n].key = slice_cut(pair, '=', &entries[n][d[n].n].value);
            d[n].n++;
        }
        n++;
    }
    policy_begin(p.ctx, p.now_ms);
    return policy_limit_decide(p.ctx, slice_str(domain), d, n, hits, p.now_ms, got, &over, &e);
}

static const char domain_file[] =
    "domain: mongo_cps\ndescriptors:\n"
    "- key: database\n  value: users\n  rate_limit: {unit: second, requests_per_unit: 2}\n"
    "- key: database\n  rate_limit: {unit: minute, requests_per_unit: 3}\n"
    "- key: path\n  value: /api/*\n  share_threshold: true\n  rate_limit: {unit: hour, requests_per_unit: 1}\n"
    "- key: path\n  value: '*.png'\n  rate_limit: {unit: hour, requests_per_unit: 1}\n"
    "- key: free\n  rate_limit: {unlimited: true}\n"
    "- key: quiet\n  shadow_mode: true\n  rate_limit: {unit: hour, requests_per_unit: 0}\n"
    "- key: a\n  descriptors: [{key: b_c, rate_limit: {unit: day, requests_per_unit: 1}}]\n"
    "- key: a_b\n  descriptors: [{key: c, rate_limit: {unit: day, requests_per_unit: 1}}]\n"
    "- key: wide\n  rate_limit: {unit: day, requests_per_unit: 9, name: wide}\n"
    "- key: fine\n  rate_limit: {unit: day, requests_per_unit: 9, replaces: [{name: wide}]}\n"
    "- key: q1\n  quota_mode: true\n  rate_limit: {unit: day, requests_per_unit: 0}\n"
    "- key: q2\n  quota_mode: true\n  rate_limit: {unit: day, requests_per_unit: 5}\n";

static void reference_matching(void)
{
    flush();
    MUST(p_use(domain_file));
    T(outside("mongo_cps", "database=users", 0) == RC_OK && !over);
    T_INT(got[0].limit, 2);
    T_INT(got[0].remaining, 1);
    T_TEXT(got[0].counter, "mongo_cps_database_users_1794000000");
    T(outside("mongo_cps", "database=users", 2) == RC_OK && over);
    T(got[0].over);
    T(outside("mongo_cps", "database=other", 0) == RC_OK);
    T_INT(got[0].limit, 3);
    T_INT(got[0].unit, UNIT_MINUTE);
    T(outside("mongo_cps", "path=/api/x", 0) == RC_OK && !over);
    T_TEXT(got[0].counter, "mongo_cps_path_/api/*_1793998800");
    T(outside("mongo_cps", "path=/api/y.png", 0) == RC_OK && over); /* wildcards in file order, shared */
    T(outside("mongo_cps", "path=/z.png", 0) == RC_OK && !over);
    T(outside("mongo_cps", "free=x", 0) == RC_OK && got[0].remaining == UINT32_MAX && !over);
    T(outside("mongo_cps", "quiet=x", 0) == RC_OK && !over);
    T_INT(got[0].used, 1);
    T(outside("mongo_cps", "database=users,more=1", 0) == RC_OK && got[0].unit == UNIT_UNKNOWN);
    T(outside("mongo_cps", "a=x", 0) == RC_OK && got[0].unit == UNIT_UNKNOWN);
    T(outside("elsewhere", "database=users", 0) == RC_OK && !over && got[0].unit == UNIT_UNKNOWN);
    T(outside("", "a=b", 0) == RC_BADINPUT);
    T(outside("mongo_cps", "", 0) == RC_BADINPUT);
}

static void reference_counters_do_not_collide(void)
{
    flush();
    T(outside("mongo_cps", "a=x,b_c=y", 0) == RC_OK && !over);
    T(outside("mongo_cps", "a_b=x,c=y", 0) == RC_OK && !over);
    T(outside("mongo_cps", "a=x_b,b_c=y", 0) == RC_OK && !over);
    T(outside("mongo_cps", "a=x,b_c=y", 0) == RC_OK && over);
}

static void reference_replaces_and_quota(void)
{
    flush();
    T(outside("mongo_cps", "wide=1;fine=1", 0) == RC_OK && !over);
    T_INT(got[0].unit, UNIT_UNKNOWN);
    T_INT(got[1].used, 1);
    T_INT(counter("mongo_cps_wide_1_1793923200"), -1);
    T(outside("mongo_cps", "q1=1;q2=1", 0) == RC_OK && !over && got[0].over);
    T(outside("mongo_cps", "q1=1", 0) == RC_OK && over);
}

static void overrides_and_peeks(void)
{
    struct limit_entry e = {S("anything"), S("x")};
    struct limit_descriptor d = {.entries = &e, .n = 1, .has_override = true, .override_requests = 1,
                                 .override_unit = UNIT_HOUR};
    struct err err = {0};
    flush();
    policy_begin(p.ctx, p.now_ms);
    T(policy_limit_decide(p.ctx, S("mongo_cps"), &d, 1, 0, p.now_ms, got, &over, &err) == RC_OK && !over);
    d.has_hits = true; /* hits 0: looks, does not count */
    T(policy_limit_decide(p.ctx, S("mongo_cps"), &d, 1, 5, p.now_ms, got, &over, &err) == RC_OK && !over);
    T_INT(got[0].used, 1);
    d.has_hits = false;
    T(policy_limit_decide(p.ctx, S("mongo_cps"), &d, 1, 0, p.now_ms, got, &over, &err) == RC_OK && over);
    d.override_unit = UNIT_UNKNOWN;
    T(policy_limit_decide(p.ctx, S("mongo_cps"), &d, 1, 0, p.now_ms, got, &over, &err) == RC_BADINPUT);
}

static void gloo_domains_from_outside(void)
{
    flush();
    MUST(p_use(ROUTE SERVER
               "    descriptors: [{key: org, rateLimit: {unit: DAY, requestsPerUnit: 1}}]\n"
               "    setDescriptors: [{simpleDescriptors: [{key: api}], rateLimit: {unit: DAY, requestsPerUnit: 1}}]\n"));
    T(outside("solo.io", "generic_key=default.s,org=x", 0) == RC_OK && !over);
    T(outside("solo.io", "generic_key=default.s,org=x", 0) == RC_OK && over);
    T(outside("solo.io", "generic_key=default.s,generic_key=solo.setDescriptor.uniqueValue,more=1,api=v", 0) == RC_OK && !over);
    T(outside("solo.io", "generic_key=default.s,generic_key=solo.setDescriptor.uniqueValue,api=v", 0) == RC_OK && over);
    T(outside("solo.io", "generic_key=default.other,org=x", 0) == RC_OK && !over);
}

static void large_levels_are_indexed(void)
{
    static char text[9000] = "domain: d\ndescriptors:\n";
    flush();
    for (int i = 0; i < 40; i++)
        sprintf(text + strlen(text), "- {key: k, value: v%d, rate_limit: {unit: day, requests_per_unit: %d}}\n", i, i);
    strcat(text, "- {key: k, rate_limit: {unit: day, requests_per_unit: 99}}\n");
    MUST(p_use(text));
    T(outside("d", "k=v17", 0) == RC_OK && got[0].limit == 17);
    T(outside("d", "k=v40", 0) == RC_OK && got[0].limit == 99);
    T(outside("d", "k=", 0) == RC_OK && got[0].limit == 99);
    T(outside("d", "j=v17", 0) == RC_OK && got[0].unit == UNIT_UNKNOWN);
}

static void usage_looks_and_does_not_count(void)
{
    flush();
    MUST(p_use(HEAD("ExtAuthPolicy", "security.policy.gloo.solo.io/v2", "k")
               "spec: {config: {glooAuth: {configs: [{apiKeyAuth: {headersFromMetadataEntry: {X-Plan: {name: usagePlan}, X-U: {name: username}}}}]}}}\n"
               POLICY SERVER "    setDescriptors: [{simpleDescriptors: [{key: userId}, {key: usagePlan, value: gold}], rateLimit: {unit: DAY, requestsPerUnit: 7}}]\n"
               CLIENT "    - setActions: [{requestHeaders: {headerName: X-Plan, descriptorKey: usagePlan}}, {requestHeaders: {headerName: X-U, descriptorKey: userId}}]\n"));
    const char *key = p_key(P_HEADERS("username", "ann", "usagePlan", "gold"));
    struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", key)));
    struct policy_api api = {.product = S("")};
    struct keyrec k = {.uuid = S("u")};
    T(v.allowed);
    T_TEXT(v.limits[0].name, "gold");
    keyrec_meta_set(&k, S("username"), S("ann"));
    keyrec_meta_set(&k, S("usagePlan"), S("gold"));
    for (int i = 0; i < 3; i++) {
        policy_begin(p.ctx, p.now_ms);
        T(policy_usage(p.ctx, &api, &k, p.now_ms, &v) == RC_OK);
        T_INT(v.limits_n, 1);
        T_INT(v.limits[0].used, 1);
        T_INT(v.limits[0].remaining, 6);
    }
}

static void keys_are_never_names_of_counters(void)
{
    flush();
    MUST(p_use(HEAD("ExtAuthPolicy", "security.policy.gloo.solo.io/v2", "k") "spec: {config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}}\n"
               POLICY SERVER "    descriptors: [{key: k, rateLimit: {unit: DAY, requestsPerUnit: 1}}]\n"
               CLIENT "    - actions: [{requestHeaders: {headerName: API-Key, descriptorKey: k}}]\n"));
    const char *key = p_key(NULL), *other = p_key(NULL);
    struct policy_verdict v = p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", key)));
    T(v.allowed && v.limits_n == 1);
    T(slice_find(v.limits[0].counter, slice_str(key)) == SIZE_MAX);
    T_INT(p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", key))).status, 429);
    T(p_ask("GET", "a", "/", P_HEADERS(p_header("api-key", other))).allowed);
}

int main(void)
{
    p_init();
    T_RUN(keys_are_never_names_of_counters);
    T_RUN(fixed_window_counts_and_starts_anew);
    T_RUN(clock_steps);
    T_RUN(skipped_when_absent);
    T_RUN(values_cannot_collide);
    T_RUN(long_values_are_hashed);
    T_RUN(heaviest_weight_wins);
    T_RUN(tuples_need_all_and_in_order);
    T_RUN(sets_match_in_list_order);
    T_RUN(same_keys_have_own_counters);
    T_RUN(actions_of_every_kind);
    T_RUN(unserved_actions_leave_their_entry_out);
    T_RUN(two_headers_are_one_value);
    T_RUN(members_of_a_list);
    T_RUN(shadow_counts_and_lets_pass);
    T_RUN(trouble_denies);
    T_RUN(rate_limit_config_of_edge);
    T_RUN(reference_matching);
    T_RUN(reference_counters_do_not_collide);
    T_RUN(reference_replaces_and_quota);
    T_RUN(overrides_and_peeks);
    T_RUN(gloo_domains_from_outside);
    T_RUN(large_levels_are_indexed);
    T_RUN(usage_looks_and_does_not_count);
    p_done();
    return t_done();
}
