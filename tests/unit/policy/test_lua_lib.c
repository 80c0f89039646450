/*
 * test_lua_lib.c - postern.* row by row, what an error names, claims, counters in /metrics, and that the
 * manual names every function.
 */
#include "p.h"

#include "base/asset.h"
#include "base/metric.h"
#include "wire/gzip.h"
#include "wire/jwt.h"

#include <stdio.h>

/* The function's body as the only step. */
static struct policy_verdict run(const char *body, const char *const *headers)
{
    struct buf text;
    buf_init(&text, 0);
    buf_fmt(&text, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\n"
                   "spec:\n  config:\n    glooAuth:\n      configs:\n      - luaAuth:\n          inline: |\n"
                   "            return function(req, config)\n");
    for (const char *line = body; *line;) {
        size_t n = strcspn(line, "\n");
        buf_fmt(&text, "            %.*s\n", (int)n, line);
        line += n + (line[n] == '\n');
    }
    buf_fmt(&text, "            end\n");
    buf_byte(&text, '\0');
    MUST(p_use(text.p));
    buf_free(&text);
    return p_ask("GET", "api.example.com", "/a?q=1", headers);
}

static void passes(const char *body, const char *const *headers)
{
    struct policy_verdict v = run(body, headers);
    T_ROW("%.90s", body);
    T(v.allowed);
    if (!v.allowed)
        printf("# %.*s\n", SFMT(v.words));
}

/* Each is a condition. */
static void codes_digests_and_urls(void)
{
    static const char *const rows[] = {
        "p.base64.encode('\\xfb\\xff') == '+/8='",
        "p.base64url.encode('\\xfb\\xff') == '-_8'",
        "p.base64url.decode('-_8') == '\\xfb\\xff'",
        "p.base64url.decode('+/8=') == nil",
        "p.base64url.decode('-_9') == nil", /* bits after the end */
        "p.hex.encode('\\0\\xff') == '00ff'",
        "p.hex.decode('00FF') == '\\0\\xff'",
        "p.hex.decode('0') == nil and p.hex.decode('zz') == nil",
        "p.sha1('abc') == 'a9993e364706816aba3e25717850c26c9cd0d89d'",
        "p.sha512('abc'):sub(1, 32) == 'ddaf35a193617abacc417349ae204131' and #p.sha512('') == 128",
        "p.hmac_sha1('key', 'The quick brown fox jumps over the lazy dog') == 'de7c9b85b8b78aa6bc8a7a36f70a90701c9db4d9'",
        "p.base64.encode(p.hex.decode(p.hmac_sha256('k', 'm'))):len() == 44",
        "p.equal('abc', 'abc') and not p.equal('abc', 'abd') and not p.equal('abc', 'abcd')",
        "p.url.encode('a b/c~') == 'a%20b%2Fc~'",
        "p.url.decode('a%20b+c') == 'a b+c' and p.url.decode('a+b', true) == 'a b'",
        "p.url.decode('%zz') == nil and p.url.decode('%2') == nil",
        "p.url.query('a=1&b=x%20y&c').b == 'x y' and p.url.query('a=1&c').c == ''",
        "p.url.query('r=1&r=2').r[2] == '2' and #p.url.query('r=1&x=3&r=2&r=4').r == 3",
        "next(p.url.query('')) == nil and p.url.query(req.query).q == '1'",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[600];
        snprintf(body, sizeof body, "local p = postern\nassert(%s)", rows[i]);
        passes(body, NULL);
    }
}

static void times(void)
{
    static const char *const rows[] = {
        "p.time.parse('2026-11-21T04:12:48Z') == 1795234368",
        "p.time.parse('2026-11-21T04:12:48+01:30') == 1795234368 - 5400",
        "p.time.parse('2026-11-21T04:12:48.25Z') == 1795234368.25",
        "p.time.parse('2026-11-21') == nil and p.time.parse('2026-02-30T00:00:00Z') == nil and p.time.parse('x') == nil",
        "p.time.format(1795234368) == '2026-11-21T04:12:48Z' and p.time.format(1795234368.9) == '2026-11-21T04:12:48Z'",
        "p.time.format(-1) == '1969-12-31T23:59:59Z'",
        "p.time.fields(1795234368).weekday == 'sat' and p.time.fields(1795234368).date == '2026-11-21'",
        "p.time.fields(1795234368).hour == 4 and p.time.fields(1795234368, '+20:00').weekday == 'sun'",
        "p.time.fields(1795234368, '-05:30').hour == 22 and p.time.fields(1795234368, '-05:30').minute == 42",
        "p.time.fields(1795234368, '-05:30').weekday == 'fri' and p.time.fields(0).weekday == 'thu'",
        "p.time.fields(-1).weekday == 'wed' and p.time.fields(-1).year == 1969 and p.time.fields(1709164800).date == '2024-02-29'",
        "p.time.fields(p.now()).second == 0",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[600];
        snprintf(body, sizeof body, "local p = postern\nassert(%s)", rows[i]);
        passes(body, NULL);
    }
}

static void ranges(void)
{
    passes("local t = {['10.0.0.0/8'] = 'lan', ['10.9.0.0/16'] = 'lab', ['2001:db8::/32'] = 'doc', ['0.0.0.0/0'] = 'v4'}\n"
           "local f = postern.cidr_lookup\n"
           "assert(f('10.1.1.1', t) == 'lan' and f('10.9.1.1', t) == 'lab' and f('2001:db8::1', t) == 'doc')\n"
           "assert(f('8.8.8.8', t) == 'v4' and f('2001:db9::1', t) == nil and f('junk', t) == nil)\n"
           "assert(f('1.1.1.1', {}) == nil)", NULL);
}

static void wrong_arguments(void)
{
    static const char *const bodies[] = {
        "postern.hex.encode()", "postern.equal('a')", "postern.url.query(('a=1&'):rep(300))", "postern.time.format('x')",
        "postern.time.format(1e30)", "postern.time.fields(0, 'CET')", "postern.time.fields(0, '+99:00')",
        "postern.cidr_lookup('1.1.1.1', {x = 'y'})", "postern.cidr_lookup('1.1.1.1', 'x')", "postern.store.expire('k')",
        "postern.metric.add('a b')", "postern.metric.add('a', -1)", "postern.metric.add('a', 1.5)", "postern.limit_peek('x', 1, 0)",
        "postern.jwt.claims({})", "postern.metric.add(('x'):rep(65))", "postern.time.fields(0 / 0)",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        T_ROW("%s", bodies[i]);
        T_TEXT(run(bodies[i], NULL).reason, "lua_trouble");
    }
}

static void store_and_limiter(void)
{
    passes("local s = postern.store\n"
           "s.set('k', 'v'); assert(s.ttl('k') == nil and s.expire('k', 30) and s.ttl('k') == 30)\n"
           "assert(s.expire('k', 0) and s.ttl('k') == nil); assert(s.del('k') and not s.del('k') and s.get('k') == nil)\n"
           "assert(not s.expire('k', 30)); s.set('k', 'v'); assert(s.expire('k', -1) and s.get('k') == nil)\n"
           "local ok, left, again = postern.limit_peek('x', 2, 60); assert(ok and left == 2 and again == 60)\n"
           "postern.limit('x', 2, 60); ok, left = postern.limit_peek('x', 2, 60); assert(ok and left == 1)\n"
           "postern.limit('x', 2, 60); ok, left = postern.limit_peek('x', 2, 60); assert(not ok and left == 0)\n"
           "assert(not postern.limit_peek('never', 0, 60))", NULL);
}

static void policies_do_not_see_each_other(void)
{
    passes("postern.store.set('mine', '1')", NULL);
    MUST(p_use("apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: other}\nspec:\n"
               "  config: {glooAuth: {configs: [{luaAuth: {inline: 'return function() return postern.store.get(\"mine\") == nil end'}}]}}\n"));
    T(p_ask("GET", "h", "/", NULL).allowed);
}

/* A token whose signature nobody looked at, and claims that a step verified. */
static void claims(void)
{
    struct slice token = jwt_sign_hs256(&p.arena, S("0123456789abcdef0123456789abcdef"),
                                        S("{\"email\":\"ann@example.com\",\"groups\":[\"a\",\"b\"]}"));
    passes("local c, h = postern.jwt.claims(req.headers.authorization)\n"
           "assert(c.email == 'ann@example.com' and c.groups[2] == 'b' and h.alg == 'HS256')\n"
           "assert(req.claims == nil)\n"
           "local none, why = postern.jwt.claims('a.b'); assert(none == nil and #why > 0)\n"
           "assert(postern.jwt.claims('') == nil)", P_HEADERS(arena_fmt(&p.arena, "authorization: Bearer %.*s", SFMT(token)).p));
    static char text[4000];
    static const char *const states[] = {"jwtAccessToken = {email = \"x@y\"}", "jwt = req.headers.t", "introspection = {email = \"x@y\"}", "jwt_authn = {idp = {email = \"x@y\"}}"};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        T_ROW("%s", states[i]);
        snprintf(text, sizeof text, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec:\n  config:\n    glooAuth:\n      configs:\n"
                 "      - luaAuth: {inline: 'return function(req) return {allow = true, state = {%s}} end'}\n"
                 "      - luaAuth: {headers: [x-email], inline: 'return function(req) return {allow = true, headers = {[\"x-email\"] = req.claims.email}} end'}\n", states[i]);
        MUST(p_use(text));
        struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS(arena_fmt(&p.arena, "t: %.*s", SFMT(token)).p));
        T_TEXT(p_upstream(&v, "x-email"), i == 1 ? "ann@example.com" : "x@y");
    }
}

static void counters(void)
{
    struct buf out;
    passes("for i = 1, 3 do assert(postern.metric.add('seen')) end; assert(postern.metric.add('bytes', 40))", NULL);
    buf_init(&out, 0);
    metric_write(&out);
    T(slice_find(buf_all(&out), S("\npostern_lua_total{policy=\"default.l\",name=\"seen\"} 3\n")) != SIZE_MAX);
    T(slice_find(buf_all(&out), S("\npostern_lua_total{policy=\"default.l\",name=\"bytes\"} 40\n")) != SIZE_MAX);
    passes("local full = 0; for i = 1, 300 do if not postern.metric.add('n' .. i) then full = full + 1 end end; assert(full >= 44 and full < 60)", NULL);
    buf_clear(&out);
    metric_write(&out);
    T(slice_find(buf_all(&out), S("# TYPE postern_lua_total counter\n")) != SIZE_MAX);
    buf_free(&out);
}

/* Library functions while the chunk is loaded: those on text work, the others say why not. */
static void while_loading(void)
{
    static const char head[] = "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\nspec:\n  config:\n    glooAuth:\n      configs:\n      - luaAuth:\n          inline: |\n";
    static char text[4000];
    snprintf(text, sizeof text, "%s            local t = postern.json.decode('{\"a\": [1]}')\n"
             "            local r = postern.regex('a+', 'caat')\n"
             "            return function() return t.a[1] == 1 and r == 'aa' end\n", head);
    MUST(p_use(text));
    T(p_ask("GET", "h", "/", NULL).allowed);
    static const char *const rows[] = {"store.get('k')", "store.del('k')", "store.expire('k', 1)", "limit('k', 1, 1)",
                                       "limit_peek('k', 1, 1)", "metric.add('x')", "now()", "log('x')"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i]);
        snprintf(text, sizeof text, "%s            postern.%s\n            return function() end\n", head, rows[i]);
        const char *files[] = {"t.yaml", text, NULL};
        T(p_load_files(files) == NULL);
        T(p_fault("", "this function is for requests"));
    }
}

static char last[2000];
static void keep(void *ctx, int64_t at, enum log_level level, const char *line)
{
    (void)ctx, (void)at, (void)level;
    if (!last[0])
        snprintf(last, sizeof last, "%s", line);
}

/* The log line of a script's error names policy, file and line, the decision and the gateway's request. */
static void an_error_names_all(void)
{
    log_init(LOG_WARN, false);
    struct policy_verdict v = run("\nlocal t = nil\nreturn t.x", P_HEADERS("X-Request-Id: abc-123"));
    log_recent(1, keep, NULL);
    T_TEXT(v.reason, "lua_trouble");
    T(strstr(last, "policy=default.l") != NULL);
    T(strstr(last, "t.yaml:") != NULL && strstr(last, ":4:") != NULL);
    T(strstr(last, arena_fmt(&p.arena, "decision=%s", v.id).p) != NULL);
    T(strstr(last, "request=\"abc-123\"") != NULL);
    log_init(LOG_SILENT, false);
}

static void the_manual_names_every_function(void)
{
    const struct asset *as = asset_find(S("docs/lua.md"));
    struct buf page;
    size_t n;
    const struct script_fn *rows = lua_lib(&n);
    buf_init(&page, 1 << 20);
    T(as != NULL);
    if (!as)
        return;
    T_INT(gzip_inflate(slice_of((const char *)as->gz, as->gz_len), &page, NULL), RC_OK);
    for (size_t i = 0; i < n; i++) {
        T_ROW("%s", rows[i].name);
        T(slice_find(buf_all(&page), arena_fmt(&p.arena, "postern.%s(", rows[i].name)) != SIZE_MAX);
        T(rows[i].doc[0] != '\0');
    }
    buf_free(&page);
}

int main(void)
{
    p_init();
    T_RUN(codes_digests_and_urls);
    T_RUN(times);
    T_RUN(ranges);
    T_RUN(wrong_arguments);
    T_RUN(store_and_limiter);
    T_RUN(policies_do_not_see_each_other);
    T_RUN(claims);
    T_RUN(counters);
    T_RUN(while_loading);
    T_RUN(an_error_names_all);
    T_RUN(the_manual_names_every_function);
    p_done();
    return t_done();
}
