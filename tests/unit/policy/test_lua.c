/*
 * test_lua.c - luaAuth: answers of a script, its library, budgets, faults, state passed along.
 */
#include "p.h"

#include <stdio.h>

/* A policy whose steps are these inline scripts. */
static bool use_scripts(const char *const *scripts)
{
    static char text[20000];
    char *at = text;
    at += sprintf(at, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\n"
                      "spec:\n  config:\n    glooAuth:\n      configs:\n");
    for (; *scripts; scripts++) {
        const char *line = *scripts;
        at += sprintf(at, "      - luaAuth:\n          headers: [X-Tenant]\n          config: {word: hello, list: [1, 2]}\n          inline: |\n");
        while (*line) {
            size_t n = strcspn(line, "\n");
            at += sprintf(at, "            %.*s\n", (int)n, line);
            line += n + (line[n] == '\n');
        }
    }
    return p_use(text);
}

static struct policy_verdict run(const char *body, const char *const *headers)
{
    static char script[4000];
    snprintf(script, sizeof script, "return function(req, config)\n%s\nend", body);
    MUST(use_scripts(P_HEADERS(script)));
    return p_ask("GET", "Api.Example.com", "/a%2Dx?q=1", headers);
}

static void answers(void)
{
    T(run("return", NULL).allowed);
    T(run("return true", NULL).allowed);
    T(run("return 'allow'", NULL).allowed);
    struct policy_verdict v = run("return false", NULL);
    T_INT(v.status, 403);
    T_TEXT(v.reason, "lua_denied");
    v = run("return {allow = false, status = 429, reason = 'slow_down', body = 'wait\\n', headers = {['Retry-After'] = '7'}}", NULL);
    T_INT(v.status, 429);
    T_TEXT(v.reason, "slow_down");
    T_TEXT(v.body, "wait\n");
    T_TEXT(p_client(&v, "retry-after"), "7");
    v = run("return {allow = true, headers = {['X-Tenant'] = 'red', ['x-n'] = 5}, remove = {'cookie'}}", P_HEADERS("x-tenant: blue"));
    T(v.allowed);
    T_TEXT(p_upstream(&v, "x-tenant"), "red");
    T_TEXT(p_upstream(&v, "x-n"), "5");
    T(p_removed(&v, "Cookie"));
    v = run("return {}", P_HEADERS("x-tenant: forged"));
    T(v.allowed);
    T(p_removed(&v, "x-tenant")); /* listed in headers: a forged one goes */
}

static void a_denial_is_a_denial(void)
{
    static const char *const bodies[] = {
        "return {allow = false, status = 200}", "return {allow = false, status = 204}",
        "return {allow = false, status = 500}", "return {allow = false, status = 304}",
        "return {allow = 'no'}", "return {allow = 1}",
        "return {allow = false, reason = 'a b\\r\\nX: y'}", "return {status = 403}", "return {status = 200}",
        "return {allow = false, headers = {['X-Bad'] = 'a\\r\\nb'}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        T_ROW("%s", bodies[i]);
        struct policy_verdict v = run(bodies[i], NULL);
        T(!v.allowed);
        T_INT(v.status, 403);
        T(slice_index(v.reason, '\r') == SIZE_MAX);
        T(p_client(&v, "x-bad").n == 0);
    }
}

static void trouble_is_a_denial(void)
{
    static const char *const bodies[] = {
        "error('boom')", "return 5", "return 'deny'", "local t = nil; return t.x", "while true do end",
        "local s = 'x'; while true do s = s .. s end", "x = 1", "return {headers = {['a b'] = 'x'}}",
        "return {headers = {['x'] = 'a\\nb'}}", "return {remove = {'a b'}}", "return function() end",
        "return {headers = {['Transfer-Encoding'] = 'chunked'}}", "return {headers = {['X-Postern-Decision'] = '1'}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        T_ROW("%s", bodies[i]);
        struct policy_verdict v = run(bodies[i], NULL);
        T(!v.allowed);
        T_INT(v.status, 403);
        T_TEXT(v.reason, "lua_trouble");
    }
    struct policy_verdict v = run("\nerror('boom')", NULL);
    T(slice_find(v.words, S("boom")) != SIZE_MAX && slice_find(v.words, S("default.l")) != SIZE_MAX);
    T(slice_find(v.words, S(":3:")) != SIZE_MAX);
    T(slice_find(v.trace[1].detail, S("boom")) != SIZE_MAX); /* explained, also when it lets pass */
    T(run("return", NULL).allowed); /* the next one is served as if nothing had been */
}

static void the_request(void)
{
    struct policy_verdict v = run(
        "assert(req.method == 'GET'); assert(req.path == '/a-x'); assert(req.query == 'q=1')\n"
        "assert(req.host == 'api.example.com'); assert(req.source_ip == '192.0.2.7')\n"
        "assert(req.headers['x-a'] == '1, 2'); assert(req.headers['X-A'] == nil)\n"
        "assert(req.identity == nil); assert(next(req.state) == nil); assert(#req.id == 16)\n"
        "assert(config.word == 'hello' and config.list[2] == 2); assert(req.body == '')",
        P_HEADERS("X-A: 1", "b: c", "x-a: 2"));
    T(v.allowed);
    if (!v.allowed)
        printf("# %.*s\n", SFMT(v.words));
}

static void state_and_order(void)
{
    MUST(use_scripts(P_HEADERS("return function() return {allow = true, state = {a = 'x', n = 3, b = true, list = {1, {x = 'y'}}}} end",
                               "return function(req) return {allow = true, headers = {['x-s'] = req.state.a .. req.state.n .. tostring(req.state.b) .. req.state.list[2].x}} end")));
    struct policy_verdict v = p_ask("GET", "h", "/", NULL);
    T_TEXT(p_upstream(&v, "x-s"), "x3truey");
    MUST(use_scripts(P_HEADERS("return function() return false end", "return function() error('not reached') end")));
    T_TEXT(p_ask("GET", "h", "/", NULL).reason, "lua_denied");
}

static void library(void)
{
    struct policy_verdict v = run(
        "local p = postern\n"
        "local t = p.json.decode('{\"a\":[1,2,{\"b\":null}],\"c\":1.5,\"d\":true}')\n"
        "assert(t.a[2] == 2 and t.c == 1.5 and t.d == true)\n"
        "assert(p.json.encode({1, 'x', false}) == '[1,\"x\",false]')\n"
        "assert(p.json.encode({a = {b = 'c'}}) == '{\"a\":{\"b\":\"c\"}}')\n"
        "local n, why = p.json.decode('{'); assert(n == nil and why)\n"
        "assert(p.base64.encode('hello') == 'aGVsbG8='); assert(p.base64.decode('aGVsbG8=') == 'hello')\n"
        "assert(p.base64.decode('-_8') == '\\xfb\\xff'); assert(p.base64.decode('!') == nil)\n"
        "assert(p.sha256('') == 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')\n"
        "assert(p.hmac_sha256('key', 'The quick brown fox jumps over the lazy dog') == 'f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8')\n"
        "assert(p.now() == 1794000000); assert(p.cidr_match('10.1.2.3', '10.0.0.0/8'))\n"
        "assert(not p.cidr_match('11.1.2.3', {'10.0.0.0/8', '12.0.0.0/8'})); assert(p.cidr_match('::1', {'::1'}))\n"
        "assert(p.cidr_match('junk', '10.0.0.0/8') == false)\n"
        "assert(p.glob('a*c', 'abc') and not p.glob('a*c', 'abd'))\n"
        "local m, g = p.regex('^(\\\\w+)@', 'ann@example.com'); assert(m == 'ann@' and g == 'ann')\n"
        "assert(p.regex('x', 'y') == nil)", NULL);
    T(v.allowed);
    if (!v.allowed)
        printf("# %.*s\n", SFMT(v.words));
}

static void store_and_limits(void)
{
    static const char body[] =
        "local s = postern.store\n"
        "assert(s.get('k') == nil); s.set('k', 'v', 60); assert(s.get('k') == 'v')\n"
        "assert(s.ttl('k') == 60); assert(s.ttl('none') == nil); s.set('k', nil); assert(s.get('k') == nil)\n"
        "assert(s.incr('n', 5) == 5 and s.incr('n') == 6)\n"
        "for i = 1, 3 do local ok, left, again = postern.limit('x', 2, 60); assert(ok == (i < 3)); assert(left == math.max(0, 2 - i)); assert(again == 60) end";
    struct policy_verdict v = run(body, NULL);
    char tmp[KS_TMP];
    T(v.allowed);
    if (!v.allowed)
        printf("# %.*s\n", SFMT(v.words));
    store_enter(p.store, p.now_ms);
    struct entry *e = ks_find(p.store, 0, S("lua:default.l:n"), KS_NOTOUCH);
    T(e && slice_eq(ks_str(e, tmp), S("6")));
    store_leave(p.store);
}

static void library_needs_right_arguments(void)
{
    static const char *const bodies[] = {
        "postern.sha256({})", "postern.limit('x', -1, 5)", "postern.limit('x', 1, 0)", "postern.cidr_match('10.0.0.1', 'x')",
        "postern.regex('(', 'x')", "postern.json.encode(pairs)", "local t = {}; t.t = t; postern.json.encode(t)",
        "postern.store.get(('k'):rep(600))", "postern.store.incr({})", "postern.json.encode()",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        T_ROW("%s", bodies[i]);
        T_TEXT(run(bodies[i], NULL).reason, "lua_trouble");
    }
}

static void failure_mode_and_shadow(void)
{
    static const char head[] = "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec:\n  config:\n";
    static char text[2000];
    snprintf(text, sizeof text, "%s    failureModeAllow: true\n    glooAuth: {configs: [{luaAuth: {inline: 'return function() error(1) end'}}]}\n", head);
    MUST(p_use(text));
    T(p_ask("GET", "h", "/", NULL).allowed);
    snprintf(text, sizeof text, "%s    failureModeAllow: true\n    glooAuth: {configs: [{luaAuth: {inline: 'return function() return false end'}}]}\n", head);
    MUST(p_use(text));
    T(!p_ask("GET", "h", "/", NULL).allowed); /* a denial is no failure */
    snprintf(text, sizeof text, "%s    shadow: true\n    glooAuth: {configs: [{luaAuth: {inline: 'return function() return {allow = false, headers = {a = \"b\"}} end'}}]}\n", head);
    MUST(p_use(text));
    struct policy_verdict v = p_ask("GET", "h", "/", NULL);
    T(v.allowed);
    T_INT(v.client_n, 0);
    T_TEXT(v.reason, "ok");
    T_TEXT(v.trace[v.trace_n - 1].said, "shadow");
}

static void steps_that_are_not_served_deny(void)
{
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec:\n"
               "  config: {failureModeAllow: true, glooAuth: {configs: [{opaAuth: {modules: [], query: x}}]}}\n"));
    T(p_fault("", "opaAuth is not served, Postern runs no Rego"));
    struct policy_verdict v = p_ask("GET", "h", "/", NULL);
    T(!v.allowed);
    T_TEXT(v.reason, "not_served");
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec: {config: {customAuth: {contextExtensions: {}}}}\n"));
    T_TEXT(p_ask("GET", "h", "/", NULL).reason, "not_served");
}

int main(void)
{
    p_init();
    T_RUN(answers);
    T_RUN(a_denial_is_a_denial);
    T_RUN(trouble_is_a_denial);
    T_RUN(the_request);
    T_RUN(state_and_order);
    T_RUN(library);
    T_RUN(store_and_limits);
    T_RUN(library_needs_right_arguments);
    T_RUN(failure_mode_and_shadow);
    T_RUN(steps_that_are_not_served_deny);
    p_done();
    return t_done();
}
