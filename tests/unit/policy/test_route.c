/*
 * test_route.c - which route a request meets: hosts, paths, order, conditions, delegation, many routes.
 */
#include "p.h"

#include <stdio.h>
#include <time.h>

#define TABLE(name, rest) "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: " name "}\nspec:\n" rest

static const char *route(const char *method, const char *host, const char *target, const char *const *headers)
{
    static char name[200];
    struct policy_verdict v = p_ask(method, host, target, headers);
    snprintf(name, sizeof name, "%.*s", SFMT(v.route.n ? v.route : v.reason));
    return name;
}
#define ROUTE_IS(method, host, target, want) T_TEXT(slice_str(route(method, host, target, NULL)), want)

static void hosts(void)
{
    MUST(p_use(TABLE("a", "  hosts: [a.example.com]\n  http: [{name: x, matchers: [{uri: {prefix: /a}}]}]\n")
               TABLE("w", "  hosts: ['*.example.com']\n  http: [{name: x}]\n")
               TABLE("d", "  hosts: ['*.deep.example.com']\n  http: [{name: x}]\n")
               TABLE("any", "  hosts: ['*']\n  http: [{name: x, matchers: [{uri: {prefix: /zany}}]}]\n")));
    ROUTE_IS("GET", "a.example.com", "/a", "default.a/x");
    ROUTE_IS("GET", "A.Example.COM:8443", "/a", "default.a/x");
    ROUTE_IS("GET", "a.example.com.", "/a", "default.a/x");
    ROUTE_IS("GET", "a.example.com", "/zany", "no_route"); /* a host with routes does not fall back */
    ROUTE_IS("GET", "b.example.com", "/x", "default.w/x");
    ROUTE_IS("GET", "b.c.example.com", "/x", "default.w/x");
    ROUTE_IS("GET", "b.deep.example.com", "/x", "default.d/x");
    ROUTE_IS("GET", "deep.example.com", "/x", "default.w/x");
    ROUTE_IS("GET", "example.com", "/zany", "default.any/x");
    ROUTE_IS("GET", "", "/zany", "default.any/x");
    ROUTE_IS("GET", "elsewhere", "/x", "no_route");
    ROUTE_IS("GET", "user@a.example.com", "/a", "host_malformed");
}

static void first_in_order_wins(void)
{
    MUST(p_use(TABLE("r", "  hosts: ['*']\n  http:\n"
                     "  - {name: post, matchers: [{uri: {prefix: /a}, method: POST}]}\n"
                     "  - {name: exact, matchers: [{uri: {exact: /a/b}}]}\n"
                     "  - {name: regex, matchers: [{uri: {regex: '/a/[0-9]+'}}]}\n"
                     "  - {name: long, matchers: [{uri: {prefix: /a/b/c}}]}\n"
                     "  - {name: short, matchers: [{uri: {prefix: /a}}, {uri: {exact: /z}}]}\n"
                     "  - {name: late, matchers: [{uri: {regex: '/y/.*'}}]}\n"
                     "  - {name: fold, matchers: [{uri: {exact: /Fold, ignoreCase: true}}]}\n"
                     "  - {name: foldp, matchers: [{uri: {prefix: /FP/, ignoreCase: true}}]}\n")));
    ROUTE_IS("POST", "h", "/a/b", "default.r/post");
    ROUTE_IS("GET", "h", "/a/b", "default.r/exact");
    ROUTE_IS("GET", "h", "/a/12", "default.r/regex");
    ROUTE_IS("GET", "h", "/a/12x", "default.r/short");
    ROUTE_IS("GET", "h", "/a/b/c/d", "default.r/long");
    ROUTE_IS("GET", "h", "/a/b/", "default.r/short");
    ROUTE_IS("GET", "h", "/ab", "default.r/short"); /* a prefix of text, as in Envoy */
    ROUTE_IS("GET", "h", "/z?q=1", "default.r/short");
    ROUTE_IS("GET", "h", "/z/", "no_route");
    ROUTE_IS("GET", "h", "/y/1", "default.r/late");
    ROUTE_IS("GET", "h", "/x?p=/a", "no_route");
    ROUTE_IS("post", "h", "/q", "no_route");
    ROUTE_IS("GET", "h", "/fOLD", "default.r/fold");
    ROUTE_IS("GET", "h", "/fp/x", "default.r/foldp");
}

static void conditions(void)
{
    MUST(p_use(TABLE("r", "  hosts: ['*']\n  http:\n"
                     "  - {name: both, matchers: [{headers: [{name: X-A, value: '1'}, {name: x-b}], queryParameters: [{name: q, value: 'v.', regex: true}]}]}\n"
                     "  - {name: not, matchers: [{headers: [{name: x-a, value: '1', invertMatch: true}]}]}\n"
                     "  - {name: rest}\n")));
    T_TEXT(slice_str(route("GET", "h", "/?q=v1", P_HEADERS("x-a: 1", "x-b: "))), "default.r/both");
    T_TEXT(slice_str(route("GET", "h", "/?q=v1", P_HEADERS("x-a: 1"))), "default.r/rest");
    T_TEXT(slice_str(route("GET", "h", "/?q=v12", P_HEADERS("x-a: 1", "x-b: 2"))), "default.r/rest");
    T_TEXT(slice_str(route("GET", "h", "/?a=b&q=v%31", P_HEADERS("x-a: 1", "x-b: 2"))), "default.r/both");
    T_TEXT(slice_str(route("GET", "h", "/", NULL)), "default.r/not");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-a: 2", "x-a: 1"))), "default.r/rest");
}

/* What a gateway joined with commas is read as several values; what is one value by its nature is not. */
static void members_of_a_list(void)
{
    MUST(p_use(TABLE("r", "  hosts: ['*']\n  http:\n"
                     "  - {name: strict, matchers: [{headers: [{name: x-role, value: admin}]}]}\n"
                     "  - {name: pattern, matchers: [{headers: [{name: x-role, value: 'ops-.*', regex: true}]}]}\n"
                     "  - {name: whole, matchers: [{headers: [{name: x-role, value: 'a, b'}]}]}\n"
                     "  - {name: agent, matchers: [{headers: [{name: User-Agent, value: bot}]}]}\n"
                     "  - {name: not, matchers: [{headers: [{name: x-role, value: guest, invertMatch: true}]}]}\n"
                     "  - {name: rest}\n")));
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: user,admin"))), "default.r/strict");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: admin , user"))), "default.r/strict");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: user", "X-Role: admin"))), "default.r/strict");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: ,,admin,"))), "default.r/strict");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: administrator"))), "default.r/not");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: guest, ops-7"))), "default.r/pattern");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: a, b"))), "default.r/whole");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("x-role: x, guest"))), "default.r/rest");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("user-agent: x (y, bot, z)", "x-role: guest"))), "default.r/rest");
    T_TEXT(slice_str(route("GET", "h", "/", P_HEADERS("user-agent: bot", "x-role: guest"))), "default.r/agent");
    static char many[4000] = "x-role: ";
    for (size_t n = 8; n < sizeof many - 20; n += 2)
        memcpy(many + n, "a,", 3);
    struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS(many));
    T(!v.allowed); /* an expression over thousands of members: nobody knows which route it is */
}

static void tables_by_weight(void)
{
    MUST(p_use(TABLE("one", "  hosts: ['*']\n  http: [{name: x}]\n")
               TABLE("two", "  hosts: ['*']\n  weight: 5\n  http: [{name: y, matchers: [{uri: {prefix: /y}}]}]\n")));
    ROUTE_IS("GET", "h", "/y", "default.two/y");
    ROUTE_IS("GET", "h", "/x", "default.one/x");
}

/* The workshop's shape: a root table with hosts delegates by label to tables without. */
static void delegation(void)
{
    MUST(p_use(TABLE("main", "  hosts: [shop.example.com]\n  http:\n  - name: root\n    labels: {waf: 'true', auth: key}\n"
                     "    matchers: [{uri: {prefix: /api}}]\n    delegate: {routeTables: [{labels: {expose: 'true'}}]}\n")
               "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\n"
               "metadata: {name: child, labels: {expose: 'true'}}\nspec:\n  http:\n"
               "  - {name: get, matchers: [{uri: {exact: /api/get}}, {uri: {exact: /outside}}]}\n"
               "---\napiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
               "  applyToRoutes: [{route: {labels: {auth: key}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}\n"));
    struct policy_verdict v = p_ask("GET", "shop.example.com", "/api/get", NULL);
    T_TEXT(v.route, "default.child/get");
    T_TEXT(v.reason, "key_missing"); /* the label of the delegating route counts for the child */
    ROUTE_IS("GET", "shop.example.com", "/outside", "no_route"); /* the parent's matcher must hold too */
    ROUTE_IS("GET", "shop.example.com", "/api/other", "no_route"); /* the delegating route is no route */
    ROUTE_IS("GET", "other.example.com", "/api/get", "no_route");
}

/* What stands first does not shadow what is more specific: each matcher counts for itself. */
static void delegation_by_specificity(void)
{
    static const char tables[] =
        "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: one, labels: {e: t}}\nspec:\n  http:\n"
        "  - {name: all, matchers: [{uri: {prefix: /}}, {uri: {exact: /health}}]}\n"
        "  - {name: folded, matchers: [{uri: {prefix: /a, ignoreCase: true}}]}\n"
        "---\napiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: two, labels: {e: t}}\nspec:\n  http:\n"
        "  - {name: admin, matchers: [{uri: {prefix: /admin}}]}\n"
        "  - {name: any, matchers: [{uri: {regex: '/admin/.*'}}]}\n"
        "  - {name: exact, matchers: [{uri: {exact: /admin/x}}]}\n";
    char text[2000];

    for (int sorted = 0; sorted < 2; sorted++) {
        T_ROW("sorted %d", sorted);
        snprintf(text, sizeof text, "%s%s", sorted
                 ? TABLE("main", "  hosts: ['*']\n  http: [{name: r, delegate: {routeTables: [{labels: {e: t}}], sortMethod: ROUTE_SPECIFICITY}}]\n")
                 : TABLE("main", "  hosts: ['*']\n  http: [{name: r, delegate: {routeTables: [{labels: {e: t}}], sortMethod: TABLE_WEIGHT}}]\n"),
                 tables);
        MUST(p_use(text));
        ROUTE_IS("GET", "h", "/other", "default.one/all");
        ROUTE_IS("GET", "h", "/health", "default.one/all");
        ROUTE_IS("GET", "h", "/ax", sorted ? "default.one/folded" : "default.one/all");
        ROUTE_IS("GET", "h", "/admin", sorted ? "default.two/admin" : "default.one/all");
        ROUTE_IS("GET", "h", "/admin/y", sorted ? "default.two/any" : "default.one/all");
        ROUTE_IS("GET", "h", "/admin/x", sorted ? "default.two/exact" : "default.one/all");
    }
}

static void delegation_in_a_circle_ends(void)
{
    T(p_use(TABLE("main", "  hosts: ['*']\n  http: [{name: r, delegate: {routeTables: [{name: a}]}}]\n")
            TABLE("a", "  http: [{name: x, matchers: [{uri: {exact: /x}}]}, {name: r, delegate: {routeTables: [{name: b}]}}]\n")
            TABLE("b", "  http: [{name: r, delegate: {routeTables: [{name: a}]}}]\n")) == false);
    T(p_fault("", "in a circle"));
    T(p_use(TABLE("a", "  http: [{name: r, delegate: {routeTables: [{name: b}]}}]\n")
            TABLE("b", "  http: [{name: r, delegate: {routeTables: [{name: a}]}}, {name: x}]\n")));
    T(p_fault("", "no RouteTable with hosts leads to default.b"));
    ROUTE_IS("GET", "h", "/x", "no_route");
}

static void without_tables_everything_has_every_policy(void)
{
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
               "  applyToRoutes: [{route: {labels: {auth: key}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}\n"));
    T_TEXT(p_ask("GET", "h", "/x", NULL).reason, "key_missing");
    MUST(p_use(""));
    struct policy_verdict v = p_ask("GET", "h", "/x", NULL);
    T(!v.allowed);
    T_TEXT(v.reason, "no_route");
}

static void expressions_that_run_away(void)
{
    static char target[20000] = "/";
    MUST(p_use(TABLE("r", "  hosts: ['*']\n  http: [{name: bad, matchers: [{uri: {regex: '/(a+)+$'}}]}, {name: rest}]\n")));
    memset(target + 1, 'a', 15000);
    target[15001] = '!';
    struct policy_verdict v = p_ask("GET", "h", target, NULL);
    T(!v.allowed || slice_eq(v.route, S("default.r/rest"))); /* denied, or decided in time: never hung */
}

static double many(int n)
{
    size_t cap = (size_t)n * 160 + 200;
    char *text = malloc(cap), *at = text, target[40];
    struct timespec a, b;
    at += sprintf(at, TABLE("r", "  hosts: ['*']\n  http:\n"));
    for (int i = 0; i < n; i++)
        at += sprintf(at, "  - {name: r%d, labels: {l: v%d}, matchers: [{uri: {%s: /p/%d/x}}]}\n", i, i,
                      i % 2 ? "exact" : "prefix", i);
    MUST(p_use(text));
    free(text);
    ROUTE_IS("GET", "h", "/p/0/x", "default.r/r0");
    snprintf(target, sizeof target, "/p/%d/x", n - 1);
    T(slice_find(p_ask("GET", "h", target, NULL).route, S("default.r/r")) == 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < 20000; i++)
        (void)p_ask("GET", "h", target, NULL);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
}

static void ten_thousand_routes_cost_as_ten(void)
{
    double few = many(10), lots = many(10000);
    printf("# ns per decision: %.0f with 10 routes, %.0f with 10,000\n", few / 20000, lots / 20000);
    T(lots < few * 3); /* a list would be hundreds of times slower */
}

int main(void)
{
    p_init();
    T_RUN(hosts);
    T_RUN(first_in_order_wins);
    T_RUN(conditions);
    T_RUN(members_of_a_list);
    T_RUN(tables_by_weight);
    T_RUN(delegation);
    T_RUN(delegation_by_specificity);
    T_RUN(delegation_in_a_circle_ends);
    T_RUN(without_tables_everything_has_every_policy);
    T_RUN(expressions_that_run_away);
    T_RUN(ten_thousand_routes_cost_as_ten);
    p_done();
    return t_done();
}
