/*
 * test_lua_http.c - postern.http against a real server: what comes back, what happens only once although
 * the script runs several times, whom it may ask, limits, and many decisions that wait at once.
 */
#include "net/ft.h"
#include "p.h"

static struct ft_server server;
static struct reactor *loop;
static struct fetcher *fetcher;
static int pending;

static struct {
    int calls, allowed, status;
    char reason[80], words[300], x[2000];
} got;

static bool use(const char *allow, const char *body)
{
    static char text[9000];
    char *at = text;
    at += sprintf(at, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\n"
                      "spec:\n  config:\n    glooAuth:\n      configs:\n      - luaAuth:\n          headers: [x-r]\n");
    if (allow)
        at += sprintf(at, "          http: {allow: [%s]}\n", allow);
    at += sprintf(at, "          config: {url: 'http://127.0.0.1:%d'}\n          inline: |\n"
                      "            return function(req, config)\n", server.port);
    while (*body) {
        size_t n = strcspn(body, "\n");
        at += sprintf(at, "              %.*s\n", (int)n, body);
        body += n + (body[n] == '\n');
    }
    sprintf(at, "            end\n");
    return p_use(text);
}

static void take(const struct policy_verdict *v)
{
    got.calls++;
    got.allowed += v->allowed;
    got.status = v->status;
    snprintf(got.reason, sizeof got.reason, "%.*s", SFMT(v->reason));
    snprintf(got.words, sizeof got.words, "%.*s", SFMT(v->words));
    snprintf(got.x, sizeof got.x, "%.*s", SFMT(p_upstream(v, "x-r")));
    if (!v->allowed && getenv("SHOW"))
        printf("# %s: %s\n", got.reason, got.words);
}

static void done(void *user, const struct policy_verdict *v)
{
    (void)user;
    take(v);
    if (--pending == 0)
        reactor_stop(loop);
}

static void ask_once(const char *target)
{
    char copy[200];
    struct policy_ask q = {.method = S("GET"), .host = S("h"), .now_ms = p.now_ms, .trace = true};
    struct policy_verdict v;
    snprintf(copy, sizeof copy, "%s", target);
    q.target = slice_str(copy);
    policy_begin(p.ctx, p.now_ms);
    enum rc rc = policy_decide(p.ctx, &q, &v, done, NULL);
    T(rc == RC_OK || rc == RC_AGAIN);
    if (rc == RC_OK)
        take(&v);
    else
        pending++;
    memset(copy, '#', sizeof copy - 1);
}

static void ask_many(size_t n)
{
    struct err e = {0};
    struct fetcher_opts o = {0};
    memset(&got, 0, sizeof got);
    MUST(reactor_open(0, &loop, &e) == RC_OK);
    o.reactor = loop;
    fetcher = fetcher_open(&o);
    p.ctx->opts.fetcher = fetcher;
    for (size_t i = 0; i < n; i++)
        ask_once("/p?q");
    if (pending)
        reactor_run(loop);
    T_INT(pending, 0);
    fetcher_close(fetcher);
    reactor_close(loop);
    T_INT(got.calls, n);
    T(p.ctx->parked_n == 0);
}

static void ask(void)
{
    ask_many(1);
}

static const char *mine(void)
{
    static char text[60];
    snprintf(text, sizeof text, "'127.0.0.1:%d'", server.port);
    return text;
}

static void run(const char *body)
{
    MUST(use(mine(), body));
    ask();
}

static void answers_come_back(void)
{
    run("local r, why = postern.http.get(config.url .. '/ok')\n"
        "return {allow = true, headers = {['x-r'] = r.status .. ' ' .. r.body .. ' ' .. r.headers['x-a'] .. ' ' .. r.headers['x-b']}}");
    T(got.allowed);
    T_TEXT(slice_str(got.x), "200 ok one two");
    run("local r = postern.http.post(config.url .. '/echo?x', 'the body', {headers = {['X-One'] = '1', Authorization = 'Bearer t'}, timeout = 20})\n"
        "local head = r.body:gsub('\\r\\n', '|')\n"
        "return {allow = r.body:find('POST /echo?x HTTP/1.1', 1, true) == 1 and r.body:find('X-One: 1', 1, true) ~= nil\n"
        "  and r.body:find('Authorization: Bearer t', 1, true) ~= nil and r.body:sub(-8) == 'the body'}");
    T(got.allowed);
    run("local r = postern.http.request{url = config.url .. '/echo', method = 'DELETE', headers = {['X-A'] = 'b'}}\n"
        "return r.body:find('DELETE /echo HTTP/1.1', 1, true) == 1");
    T(got.allowed);
    run("local r = postern.http.get(config.url .. '/redirect')\n"
        "return {allow = false, status = r.status, headers = {location = r.headers.location}}");
    T_INT(got.status, 302);
    run("local r, why = postern.http.get(config.url .. '/half')\n"
        "return {allow = r == nil, headers = {['x-r'] = why}}");
    T(got.allowed);
    T_TEXT(slice_str(got.x), "the connection ended before the answer was complete");
    run("local r, why = postern.http.get(config.url .. '/slow', {timeout = 0.1})\n"
        "return {allow = r == nil, headers = {['x-r'] = why}}");
    T_TEXT(slice_str(got.x), "no answer in time");
    run("local r, why = postern.http.get(config.url .. '/big?300000')\n"
        "return {allow = r == nil, headers = {['x-r'] = why}}");
    T_TEXT(slice_str(got.x), "the answer is too large");
}

static int64_t stored(const char *key)
{
    char tmp[KS_TMP], name[100];
    int64_t n = -1;
    snprintf(name, sizeof name, "lua:default.l:%s", key);
    store_enter(p.store, p.now_ms);
    struct entry *e = ks_find(p.store, 0, slice_str(name), KS_NOTOUCH);
    if (e)
        (void)slice_i64(ks_str(e, tmp), &n);
    store_leave(p.store);
    return n;
}

static void nothing_happens_twice(void)
{
    uint64_t before = nt_get(&server.requests);
    run("local n = postern.store.incr('a')\n"
        "local r1 = postern.http.get(config.url .. '/ok')\n"
        "local m = postern.store.incr('b', 10)\n"
        "postern.store.set('c', n + m)\n"
        "local ok, left = postern.limit('l', 5, 60)\n"
        "local r2 = postern.http.post(config.url .. '/echo', tostring(m))\n"
        "local k = postern.store.incr('a', 5)\n"
        "local r3 = postern.http.get(config.url .. '/chunked')\n"
        "postern.log('once')\n"
        "return {allow = true, headers = {['x-r'] = table.concat({n, m, k, left, postern.store.get('c'), r1.body, r2.body:sub(-2), r3.body}, ' ')}}");
    T(got.allowed);
    T_TEXT(slice_str(got.x), "1 10 6 4 11 ok 10 abcde");
    T_INT(stored("a"), 6);
    T_INT(stored("b"), 10);
    T_INT(nt_get(&server.requests) - before, 3);
}

/* What cannot be kept is not asked for again. */
static void too_much_to_keep(void)
{
    uint64_t before = nt_get(&server.requests);
    run("postern.store.set('big', string.rep('x', 65000))\n"
        "for i = 1, 63 do postern.store.get('big') end\n"
        "local r, why = postern.http.post(config.url .. '/big?200000', 'x')\n"
        "return {allow = true, headers = {['x-r'] = why}}");
    T(got.allowed);
    T_TEXT(slice_str(got.x), "too much to keep for one decision");
    T_INT(nt_get(&server.requests) - before, 1);
}

static void time_and_chance_stand_still(void)
{
    run("local t, r, n = os.time(), math.random(1 << 60), postern.now()\n"
        "postern.store.set('t', t)\n"
        "postern.store.set('r', r)\n"
        "postern.http.get(config.url .. '/wait?1100')\n"
        "return postern.store.get('t') == tostring(t) and postern.store.get('r') == tostring(r) and n <= postern.now()\n"
        "  and os.time() == t and os.clock() == 0");
    T(got.allowed);
    run("local a = math.random(1 << 60)\n"
        "postern.http.get(config.url .. '/ok')\n"
        "return {allow = true, headers = {['x-r'] = tostring(a)}}");
    char first[2000];
    memcpy(first, got.x, sizeof first);
    ask();
    T(strcmp(first, got.x) != 0); /* another decision, other numbers */
}

static void it_cannot_be_caught(void)
{
    run("local ok, r = pcall(postern.http.get, config.url .. '/ok')\n"
        "return ok and r.body == 'ok' and select(2, pcall(error, 'x')) == 'x'");
    T(got.allowed);
    run("local n = 0\n"
        "local ok = xpcall(function() n = postern.http.get(config.url .. '/ok').status end, function() n = -1 end)\n"
        "local t = setmetatable({}, {__index = function(_, k) return postern.http.get(config.url .. k).body end})\n"
        "return ok and n == 200 and t['/chunked'] == 'abcde'");
    T(got.allowed);
    run("local e = {}\n"
        "for i = 1, 2 do local ok, why = pcall(postern.store.incr, {}) e[i] = ok end\n"
        "postern.store.set('text', 'no number')\n"
        "local ok = pcall(postern.store.incr, 'text')\n"
        "postern.http.get(config.url .. '/ok')\n"
        "return not e[1] and not e[2] and not ok");
    T(got.allowed);
}

static void trouble(const char *what)
{
    T(!got.allowed);
    T_TEXT(slice_str(got.reason), "lua_trouble");
    T(strstr(got.words, what) != NULL);
}

static void whom_it_may_ask(void)
{
    MUST(use(NULL, "postern.http.get(config.url .. '/ok')"));
    ask();
    trouble("no list http.allow");
    MUST(use("api.example.com", "postern.http.get(config.url .. '/ok')"));
    ask();
    trouble("not in the step's http.allow");
    run("postern.http.get('nonsense')");
    trouble("the URL is none");
    run("postern.http.get(config.url .. '/a b')");
    trouble("the URL is none");
    run("postern.http.get(config.url .. '/', {headers = {a = 'b\\r\\nc: d'}})");
    trouble("a header cannot be sent");
    run("postern.http.get(config.url .. '/', {headers = {['content-length'] = '1'}})");
    T(got.allowed); /* nil, why: the request is refused by the client */
    run("for i = 1, 8 do postern.http.get(config.url .. '/ok') end");
    T(got.allowed);
    run("for i = 1, 9 do postern.http.get(config.url .. '/ok') end");
    trouble("at most 8 calls");
    run("postern.http.get(config.url .. '/ok', {timeout = 31})");
    trouble("timeout");
    run("for i = 1, 1001 do postern.now() end");
    trouble("may keep");
}

static void the_allow_list(void)
{
    static const struct {
        const char *allow, *url;
        bool ok;
    } rows[] = {{"a.example", "https://a.example/x", true},
                {"a.example", "http://A.Example/x", true},
                {"a.example", "http://a.example:8080/x", false},
                {"a.example", "https://b.a.example/x", false},
                {"'a.example:8443'", "https://a.example:8443/x", true},
                {"'a.example:8443'", "https://a.example/x", false},
                {"'https://a.example'", "https://a.example/x", true},
                {"'https://a.example'", "http://a.example/x", false},
                {"'http://a.example:81'", "http://a.example:81/", true},
                {"'*.a.example'", "https://b.a.example/", true},
                {"'*.a.example'", "https://c.b.a.example/", true},
                {"'*.a.example'", "https://a.example/", false},
                {"'*.a.example'", "https://xa.example/", false},
                {"'unix:/run/x.sock'", "unix:/run/x.sock:/y", true},
                {"'unix:/run/x.sock'", "unix:/run/xx.sock:/y", false},
                {"'[::1]:81'", "http://[::1]:81/", true},
                {"b.example, a.example", "http://a.example/", true},
                {"127.0.0.1", "http://2130706433/", false},
                {"a.example", "http://a.example@evil.example/", false}};
    static const char *const bad[] = {"''", "'a b'", "'a/b'", "'ftp://a'", "'*'", "'a.*'", "'unix:'", "'unix:/a:/b'", "'a:99999'"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char body[200];
        T_ROW("%s %s", rows[i].allow, rows[i].url);
        snprintf(body, sizeof body, "postern.http.get('%s', {timeout = 0.05})", rows[i].url);
        MUST(use(rows[i].allow, body));
        ask();
        T(got.allowed == rows[i].ok);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[500];
        T_ROW("%s", bad[i]);
        snprintf(text, sizeof text, "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: l}\n"
                 "spec: {config: {glooAuth: {configs: [{luaAuth: {http: {allow: [%s]}, inline: 'return function() end'}}]}}}\n", bad[i]);
        const char *files[] = {"t.yaml", text, NULL};
        T(p_load_files(files) == NULL);
        T(p_fault("", "http.allow") != NULL);
    }
}

static void many_at_once(void)
{
    MUST(use(mine(), "local a = postern.store.incr('many')\n"
                     "local r = postern.http.get(config.url .. '/wait?20')\n"
                     "local b = postern.store.incr('many2')\n"
                     "return postern.http.get(config.url .. '/ok').body == 'ok' and r.body == 'ok'"));
    ask_many(100);
    T_INT(got.allowed, 100);
    T_INT(stored("many"), 100);
    T_INT(stored("many2"), 100);
}

static void who_cannot_wait(void)
{
    struct policy_ask q = {.method = S("GET"), .host = S("h"), .target = S("/"), .now_ms = p.now_ms};
    struct policy_verdict v;
    struct err e = {0};
    MUST(use(mine(), "postern.http.get(config.url .. '/ok')"));
    policy_begin(p.ctx, p.now_ms);
    T(policy_decide(p.ctx, &q, &v, done, NULL) == RC_OK && !v.allowed); /* no fetcher */
    T(slice_find(v.words, S("no_outbound")) != SIZE_MAX);
    MUST(reactor_open(0, &loop, &e) == RC_OK);
    fetcher = fetcher_open(&(struct fetcher_opts){.reactor = loop});
    p.ctx->opts.fetcher = fetcher;
    policy_begin(p.ctx, p.now_ms);
    T(policy_decide(p.ctx, &q, &v, NULL, NULL) == RC_OK && !v.allowed && v.status == 503);
    memset(&got, 0, sizeof got);
    T(policy_decide(p.ctx, &q, &v, done, NULL) == RC_AGAIN); /* and the end comes before the answer */
    pending = 1;
    fetcher_close(fetcher);
    p_unload();
    T(got.calls == 1 && !got.allowed);
    T_TEXT(slice_str(got.reason), "stopping");
    reactor_close(loop);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    p_init();
    ft_serve(&server, NULL);
    T_RUN(answers_come_back);
    T_RUN(nothing_happens_twice);
    T_RUN(too_much_to_keep);
    T_RUN(time_and_chance_stand_still);
    T_RUN(it_cannot_be_caught);
    T_RUN(whom_it_may_ask);
    T_RUN(the_allow_list);
    T_RUN(many_at_once);
    T_RUN(who_cannot_wait);
    ft_end(&server);
    p_done();
    return t_done();
}
