/*
 * test_callout.c - steps that ask another server: passThroughAuth and opaServerAuth against a scripted server
 * over TCP and a Unix socket, and portalAuth, which asks nobody.
 */
#include "net/fetch.h"
#include "p.h"
#include "step_calls.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the server: one answer for all, the last request kept ---- */

static struct {
    int fd, port, stop, requests;
    pthread_t thread;
    char path[100], in[1 << 16];
    size_t n;
    const char *answer; /* NULL: hangs up; "": says nothing */
} server;

static bool server_read(int fd)
{
    server.n = 0;
    for (;;) {
        server.in[server.n] = '\0';
        char *end = strstr(server.in, "\r\n\r\n"), *cl = end ? strcasestr(server.in, "content-length: ") : NULL;
        size_t body = cl && cl < end ? strtoul(cl + 16, NULL, 10) : 0;
        if (end && server.n >= (size_t)(end + 4 - server.in) + body)
            return true;
        struct pollfd w = {.fd = fd, .events = POLLIN};
        while (poll(&w, 1, 50) == 0)
            if (__atomic_load_n(&server.stop, __ATOMIC_SEQ_CST))
                return false;
        ssize_t k = recv(fd, server.in + server.n, sizeof server.in - 1 - server.n, 0);
        if (k <= 0)
            return false;
        server.n += (size_t)k;
    }
}

static void *server_run(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&server.stop, __ATOMIC_SEQ_CST)) {
        struct pollfd w = {.fd = server.fd, .events = POLLIN};
        if (poll(&w, 1, 50) <= 0)
            continue;
        int fd = accept(server.fd, NULL, NULL);
        if (fd >= 0 && server_read(fd)) {
            __atomic_add_fetch(&server.requests, 1, __ATOMIC_SEQ_CST);
            if (server.answer && server.answer[0])
                (void)!send(fd, server.answer, strlen(server.answer), MSG_NOSIGNAL);
            while (server.answer && !server.answer[0] && !__atomic_load_n(&server.stop, __ATOMIC_SEQ_CST))
                usleep(5000);
        }
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

static void server_open(const char *path)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    socklen_t n = sizeof in;

    memset(&server, 0, sizeof server);
    server.fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    if (path) {
        snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
        snprintf(server.path, sizeof server.path, "%s", path);
        (void)unlink(path);
        MUST(bind(server.fd, (struct sockaddr *)&un, sizeof un) == 0);
    } else {
        MUST(bind(server.fd, (struct sockaddr *)&in, sizeof in) == 0);
        MUST(getsockname(server.fd, (struct sockaddr *)&in, &n) == 0);
        server.port = ntohs(in.sin_port);
    }
    MUST(listen(server.fd, 16) == 0);
    MUST(pthread_create(&server.thread, NULL, server_run, NULL) == 0);
}

static void server_close(void)
{
    __atomic_store_n(&server.stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(server.thread, NULL);
    close(server.fd);
    if (server.path[0])
        (void)unlink(server.path);
}

/* ---- what was asked ---- */

static const char *answer(const char *status, const char *headers, const char *body)
{
    return arena_fmt(&p.arena, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n%s", status, headers, strlen(body), body).p;
}

static const struct json *asked(void)
{
    struct slice in = slice_of(server.in, server.n), body = slice_from(in, slice_find(in, S("\r\n\r\n")) + 4);
    struct json *j = NULL;
    struct err e;

    return json_parse(&p.arena, body, 1 << 20, &j, &e) == RC_OK ? j : NULL;
}

static const struct json *at(const struct json *j, const char *path)
{
    struct slice rest = slice_str(path);

    while (rest.n > 0)
        j = json_get(j, slice_cut(rest, ' ', &rest));
    return j;
}

static struct slice text_at(const struct json *j, const char *path)
{
    j = at(j, path);
    return j && j->kind == JSON_STR ? j->s : S("(none)");
}

/* ---- passThroughAuth ---- */

#define CONFIGS \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: p}\nspec:\n config:\n  glooAuth:\n    configs:\n"
#define FIRST \
    "    - luaAuth: {headers: [x-set], inline: 'return function() return {allow = true, headers = {[\"x-set\"] = \"by lua\"}, state = {a = {1, \"b\"}}} end'}\n"
#define SHOWS \
    "    - luaAuth: {headers: [x-shown], inline: 'return function(r) return {allow = true, headers = {[\"x-shown\"] = tostring(r.state.from_server)}} end'}\n"

static void use(const char *format)
{
    char text[4000];
    snprintf(text, sizeof text, format, server.port);
    MUST(sc_use(text));
}

static void what_the_server_learns(void)
{
    const struct json *j;
    struct sc_call c;

    server_open(NULL);
    use(CONFIGS FIRST "    - passThroughAuth:\n        config: {limit: 3, names: [a]}\n        http:\n          url: http://127.0.0.1:%d/auth?x=1\n"
        "          request: {allowedHeaders: [X-One, x-set, X-Mine], headersToAdd: {x-token: t0ken}, passThroughState: true, passThroughBody: true, passThroughFilterMetadata: true}\n"
        "          response: {allowedUpstreamHeadersToOverwrite: [x-mine]}\n");
    server.answer = answer("200 OK", "", "");
    c = sc_ask(P_HEADERS("x-one: 1", "x-one: 2", "x-two: 2", "x-set: forged", "x-mine: own"), "{\"q\":1}");
    T(c.waited && c.allowed);
    T(slice_starts(slice_str(server.in), S("POST /auth?x=1 HTTP/1.1\r\n")));
    T(strcasestr(server.in, "\r\nx-one: 1,2\r\n") && strcasestr(server.in, "\r\nx-set: by lua\r\n") && strcasestr(server.in, "\r\nx-token: t0ken\r\n"));
    T(strcasestr(server.in, "\r\nx-mine: own\r\n") && !strcasestr(server.in, "x-two") && !strcasestr(server.in, "forged"));
    T(strcasestr(server.in, "\r\ncontent-type: application/json\r\n") != NULL);
    j = asked();
    T(j && j->n == 4);
    T_TEXT(text_at(j, "body"), "{\"q\":1}");
    T(at(j, "state a") && at(j, "state a")->n == 2 && json_int(at(j, "config"), S("limit"), 0) == 3);
    T(at(j, "filterMetadata") && at(j, "filterMetadata")->kind == JSON_OBJ);
    T_TEXT(sc_upstream(&c, "x-set"), "by lua");
    T(sc_removed(&c, "x-mine")); /* allowed to be set, not set: the client's goes */
    use(CONFIGS "    - passThroughAuth: {http: {url: 'http://127.0.0.1:%d'}}\n");
    c = sc_ask(P_HEADERS("x-one: 1", "authorization: Bearer secret"), "body");
    T(c.allowed && slice_starts(slice_str(server.in), S("POST / HTTP/1.1\r\n")));
    T(!strcasestr(server.in, "x-one") && !strcasestr(server.in, "authorization") && !strcasestr(server.in, "content-type"));
    T(strcasestr(server.in, "content-length: 0\r\n") != NULL); /* nothing is copied by itself */
    server_close();
}

static void what_of_its_answer_goes_on(void)
{
    struct sc_call c;

    server_open(NULL);
    use(CONFIGS FIRST "    - passThroughAuth:\n        http:\n          url: http://127.0.0.1:%d/\n"
        "          response: {allowedUpstreamHeaders: [x-set, x-roles], allowedUpstreamHeadersToOverwrite: [x-user], allowedClientHeadersOnSuccess: [set-cookie], allowedClientHeadersOnDenied: [location, retry-after], readStateFromResponse: true}\n" SHOWS);
    server.answer = answer("200 OK", "X-Set: more\r\nX-Roles: a\r\nX-Roles: b\r\nX-User: ann\r\nX-Other: no\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: /x\r\n",
                           "{\"state\":{\"from_server\":\"kept\"}}");
    c = sc_ask(P_HEADERS("x-roles: admin", "x-user: root", "x_user: root"), "");
    T(c.allowed);
    T_TEXT(sc_upstream(&c, "x-set"), "by lua, more");
    T_TEXT(sc_upstream(&c, "x-roles"), "a, b"); /* not behind what the client sent */
    T_TEXT(sc_upstream(&c, "x-user"), "ann");
    T_TEXT(sc_upstream(&c, "x-shown"), "kept");
    T_TEXT(sc_upstream(&c, "x-other"), "");
    T(sc_removed(&c, "x_user"));
    T_TEXT(sc_clients(&c), "set-cookie: a=1|set-cookie: b=2|");
    server.answer = answer("302 Found", "Location: https://login.example/\r\nRetry-After: 7\r\nSet-Cookie: x=1\r\nContent-Type: text/html\r\n", "<p>login</p>");
    c = sc_ask(NULL, "");
    T(!c.allowed && c.status == 302);
    T_TEXT(slice_str(c.reason), "passthrough_denied");
    T_TEXT(slice_str(c.body), "<p>login</p>");
    T_TEXT(sc_clients(&c), "location: https://login.example/|retry-after: 7|content-type: text/html|");
    T(c.upstream[0] == '\0');
    server.answer = answer("200 OK", "", "not json");
    c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "passthrough_malformed");
    server_close();
}

static void only_200_lets_pass(void)
{
    static const struct {
        const char *line;
        int status;
        bool open;
        const char *reason;
    } rows[] = {
        {"200 OK", 200, true, "ok"}, {"201 Created", 403, false, "passthrough_denied"}, {"204 No Content", 403, false, "passthrough_denied"}, {"202 Accepted", 403, false, "passthrough_denied"},
        {"304 Not Modified", 403, false, "passthrough_denied"}, {"401 Unauthorized", 401, false, "passthrough_denied"}, {"403 Forbidden", 403, false, "passthrough_denied"},
        {"429 Too Many Requests", 429, false, "passthrough_denied"}, {"500 Internal Server Error", 403, true, "passthrough_failed"}, {"503 Service Unavailable", 403, true, "passthrough_failed"},
        {NULL, 403, true, "passthrough_unreachable"}, {"garbage", 403, true, "passthrough_unreachable"},
    };

    server_open(NULL);
    for (int open = 0; open < 2; open++) {
        use(open ? CONFIGS "    - passThroughAuth: {failureModeAllow: true, http: {url: 'http://127.0.0.1:%d/'}}\n"
                 : CONFIGS "    - passThroughAuth: {http: {url: 'http://127.0.0.1:%d/'}}\n");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            bool allowed = rows[i].status == 200 || (open && rows[i].open);
            T_ROW("%s open %d", rows[i].line ? rows[i].line : "hangs up", open);
            server.answer = !rows[i].line ? NULL : strcmp(rows[i].line, "garbage") ? answer(rows[i].line, "", "") : "what?\r\n\r\n";
            struct sc_call c = sc_ask(NULL, "");
            T(c.allowed == allowed);
            T_INT(c.status, allowed ? 200 : rows[i].status);
            T_TEXT(slice_str(c.reason), allowed ? "ok" : rows[i].reason);
        }
    }
    T_ROW("no answer in time");
    server.answer = "";
    use(CONFIGS "    - passThroughAuth: {http: {url: 'http://127.0.0.1:%d/', connectionTimeout: 50ms}}\n");
    struct sc_call c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "passthrough_unreachable");
    server_close();
}

static void where_nothing_can_be_asked(void)
{
    struct policy_verdict v;

    T(p_use(CONFIGS "    - passThroughAuth: {http: {url: 'http://127.0.0.1:1/'}}\n"));
    v = p_ask("GET", "h.example", "/", NULL); /* no fetcher */
    T(!v.allowed && v.status == 403);
    T_TEXT(v.reason, "no_outbound");
}

/* ---- opaServerAuth ---- */

static void opa_input(void)
{
    const struct json *j;
    struct sc_call c;

    server_open(NULL);
    use(CONFIGS FIRST "    - opaServerAuth: {package: istio.authz, ruleName: allow/deep, serverAddr: '127.0.0.1:%d', headers: [x-role]}\n");
    server.answer = answer("200 OK", "", "{\"result\":true}");
    c = sc_ask(P_HEADERS("X-One: 1", "x-one: 2", "x-set: forged", "x-role: forged"), "hello");
    T(c.waited && c.allowed && sc_removed(&c, "x-role"));
    T(slice_starts(slice_str(server.in), S("POST /v1/data/istio/authz/allow/deep HTTP/1.1\r\n")));
    j = asked();
    MUST(j != NULL);
    T_TEXT(text_at(j, "input http_request method"), "GET");
    T_TEXT(text_at(j, "input http_request path"), "/get?q=1");
    T_TEXT(text_at(j, "input http_request query"), "q=1");
    T_TEXT(text_at(j, "input http_request host"), "h.example");
    T_TEXT(text_at(j, "input http_request body"), "hello");
    T_TEXT(text_at(j, "input http_request headers x-one"), "1,2");
    T_TEXT(text_at(j, "input http_request headers x-set"), "by lua");
    T_TEXT(text_at(j, "input http_request headers :path"), "/get?q=1");
    T_TEXT(text_at(j, "input check_request attributes request http headers x-set"), "by lua");
    T_TEXT(text_at(j, "input check_request attributes source address socket_address address"), "192.0.2.7");
    T_INT(json_int(at(j, "input check_request attributes request time"), S("seconds"), 0), P_NOW / 1000);
    T(at(j, "input check_request attributes metadata_context filter_metadata") && at(j, "input check_request attributes context_extensions"));
    T(at(j, "input state a") && at(j, "input state a")->n == 2);
    sc.gateway = true;
    (void)sc_ask(NULL, "");
    sc.gateway = false;
    j = asked();
    MUST(j != NULL);
    T_TEXT(text_at(j, "input check_request attributes source service"), "client-cluster");
    T_TEXT(text_at(j, "input check_request attributes source principal"), "spiffe://x/client");
    T_TEXT(text_at(j, "input check_request attributes destination address socket_address address"), "198.51.100.4");
    T_INT(json_int(at(j, "input check_request attributes destination address socket_address"), S("port_value"), 0), 8443);
    T_TEXT(text_at(j, "input check_request attributes destination service"), "edge");
    T_TEXT(text_at(j, "input check_request attributes destination principal"), "spiffe://x/gateway");
    T_TEXT(text_at(j, "input check_request attributes tls_session sni"), "shop.example");
    T_TEXT(text_at(j, "input check_request attributes context_extensions ext"), "v");
    T_TEXT(text_at(j, "input check_request attributes metadata_context filter_metadata filter"), "v");
    T_TEXT(text_at(j, "input check_request attributes route_metadata_context filter_metadata routed"), "v");
    T_TEXT(text_at(j, "input http_request protocol"), "HTTP/2");
    use(CONFIGS "    - luaAuth: {headers: [x-all], inline: 'return function(r) local d = r.destination return {allow = true, headers = {[\"x-all\"] = "
        "table.concat({r.principal, r.service, d.address, d.port, d.service, d.principal, r.sni, r.protocol, r.context_extensions.ext, "
        "r.metadata.filter, r.route_metadata.routed}, \" \")}} end'}\n");
    sc.gateway = true;
    c = sc_ask(NULL, "");
    T_TEXT(sc_upstream(&c, "x-all"), "spiffe://x/client client-cluster 198.51.100.4 8443 edge spiffe://x/gateway shop.example HTTP/2 v v v");
    sc.gateway = false;
    use(CONFIGS "    - luaAuth: {inline: 'return function(r) return not (r.destination or r.sni or r.protocol or r.route_metadata or r.service) end'}\n");
    T(sc_ask(NULL, "").allowed);
    server_close();
    server_open("/tmp/postern-test-opa.sock");
    MUST(sc_use(CONFIGS "    - opaServerAuth: {package: p, ruleName: allow, serverAddr: 'unix:///tmp/postern-test-opa.sock'}\n"));
    server.answer = answer("200 OK", "", "{\"result\":true}");
    c = sc_ask(NULL, "");
    T(c.allowed && slice_starts(slice_str(server.in), S("POST /v1/data/p/allow HTTP/1.1\r\n")));
    j = asked();
    T(at(j, "input state") && at(j, "input state")->kind == JSON_NULL);
    server_close();
}

static void opa_results(void)
{
    static const struct {
        const char *body;
        int status;
        const char *reason, *upstream, *client, *said;
    } rows[] = {
        {"{\"result\":true}", 200, "ok", "", "", ""}, {"{\"result\":false}", 403, "opa_denied", "", "", ""}, {"{}", 403, "opa_undefined", "", "", ""}, {"{\"result\":null}", 403, "opa_undefined", "", "", ""},
        {"{\"result\":[true]}", 200, "ok", "", "", ""}, {"{\"result\":[false,\"because\"]}", 403, "opa_denied", "", "", "because"}, {"{\"result\":[]}", 403, "opa_malformed", "", "", ""},
        {"{\"result\":\"true\"}", 403, "opa_malformed", "", "", ""}, {"{\"result\":1}", 403, "opa_malformed", "", "", ""}, {"{\"result\":{}}", 403, "opa_malformed", "", "", ""}, {"[]", 403, "opa_malformed", "", "", ""},
        {"{\"result\":{\"allow\":\"true\"}}", 403, "opa_malformed", "", "", ""}, {"not json", 403, "opa_malformed", "", "", ""}, {"", 403, "opa_malformed", "", "", ""},
        {"{\"result\":{\"allow\":true,\"headers\":{\"x-role\":\"admin\"},\"response_headers_to_add\":{\"x-seen\":\"1\"},\"request_headers_to_remove\":[\"x-gone\"],\"dynamic_metadata\":{\"k\":1}}}", 200, "ok", "x-role: admin|", "x-seen: 1|", ""},
        {"{\"result\":{\"allowed\":true}}", 200, "ok", "", "", ""}, {"{\"result\":{\"allow\":true,\"response_headers_to_add\":[{\"a\":\"1\"},{\"b\":\"2\"}]}}", 200, "ok", "", "a: 1|b: 2|", ""},
        {"{\"result\":{\"allow\":false,\"http_status\":401,\"headers\":{\"www-authenticate\":\"Bearer\"},\"body\":\"no token\"}}", 401, "opa_denied", "", "www-authenticate: Bearer|", "no token"},
        {"{\"result\":{\"allow\":false,\"http_status\":302,\"headers\":{\"location\":\"/login\"}}}", 302, "opa_denied", "", "location: /login|", ""},
        {"{\"result\":{\"allow\":false,\"http_status\":200}}", 403, "opa_denied", "", "", ""}, {"{\"result\":{\"allow\":false,\"http_status\":503}}", 403, "opa_denied", "", "", ""},
        {"{\"result\":{\"allow\":false,\"http_status\":99999999999}}", 403, "opa_denied", "", "", ""}, {"{\"result\":{\"allow\":true,\"headers\":{\"bad name\":\"x\"}}}", 403, "opa_malformed", "", "", ""},
        {"{\"result\":{\"allow\":true,\"headers\":{\"host\":\"evil\"}}}", 403, "opa_malformed", "", "", ""}, {"{\"result\":{\"allow\":true,\"headers\":{\"x\":\"a\\r\\nb: c\"}}}", 403, "opa_malformed", "", "", ""},
        {"{\"result\":{\"allow\":true,\"headers\":{\"x\":1}}}", 403, "opa_malformed", "", "", ""}, {"{\"result\":{\"allow\":true,\"request_headers_to_remove\":[1]}}", 403, "opa_malformed", "", "", ""},
    };
    struct sc_call c;

    server_open(NULL);
    use(CONFIGS "    - opaServerAuth: {package: p, ruleName: allow, serverAddr: 'http://127.0.0.1:%d/', options: {returnDecisionReason: true}, headers: [x-role]}\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s", rows[i].body);
        server.answer = answer("200 OK", "", rows[i].body);
        c = sc_ask(P_HEADERS("x-role: forged", "x-gone: 1"), "");
        T_INT(c.status, rows[i].status);
        T(c.allowed == (rows[i].status == 200));
        T_TEXT(slice_str(c.reason), rows[i].reason);
        T_TEXT(slice_str(c.upstream), rows[i].upstream);
        T_TEXT(sc_clients(&c), rows[i].client);
        T_TEXT(slice_str(c.body), rows[i].said);
        T(!c.allowed || sc_removed(&c, "x-role") == (rows[i].upstream[0] == '\0'));
    }
    T_ROW("server error");
    server.answer = answer("500 Internal Server Error", "", "{\"result\":true}");
    c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "opa_failed");
    T_ROW("hangs up");
    server.answer = NULL;
    c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "opa_unreachable");
    server_close();
}

/* ---- the others ---- */

static void the_portal_is_here(void)
{
    struct policy_verdict v;
    const char *key = p_key((const char *const[]){"username", "ann@example.com", NULL});

    T(p_use(CONFIGS "    - portalAuth: {url: 'http://gateway-portal-web-server.gloo-system:8080', apiKeyHeader: x-key, cacheDuration: 60s, requestTimeout: 200ms}\n"));
    T_INT(p.faults.errors, 0);
    T(p_fault("url", "Postern is the portal") != NULL);
    v = p_ask("GET", "h.example", "/", P_HEADERS(p_header("x-key", key)));
    T(v.allowed && p_removed(&v, "x-key"));
    T_TEXT(v.user, "ann@example.com");
    v = p_ask("GET", "h.example", "/", P_HEADERS(p_header("api-key", key)));
    T(!v.allowed && v.status == 401);
    T_TEXT(v.reason, "key_missing");
}

static void refused_at_load(void)
{
    static const struct {
        const char *step, *text;
        bool notice;
    } rows[] = {
        {"opaAuth: {modules: [{name: m}], query: 'data.x.allow == true'}", "docs/lua.md", true}, {"pluginAuth: {name: p}", "Postern loads no foreign code", true},
        {"portalAuth: {url: 'http://x'}", "the routes are denied", true},
        {"passThroughAuth: {}", "expected one of http and grpc", false}, {"passThroughAuth: {http: {url: 'ftp://x'}}", "url: ", false}, {"passThroughAuth: {http: {url: 'http://x', connectionTimeout: soon}}", "connectionTimeout: expected", false},
        {"passThroughAuth: {http: {url: 'http://x', response: {allowedUpstreamHeaders: [Host]}}}", "cannot be set as a header", false}, {"passThroughAuth: {http: {url: 'http://x', request: {allowedHeaders: ['a b']}}}", "is no header name", false},
        {"passThroughAuth: {http: {url: 'http://x', request: {headersToAdd: {a: \"x\\ny\"}}}}", "cannot be set as a header", false}, {"passThroughAuth: {http: {url: 'https://x', tlsConfig: {secretRef: {name: none}}}}", "no Secret none is there", false},
        {"opaServerAuth: {package: 'a b', ruleName: r}", "package and ruleName", false}, {"opaServerAuth: {package: a, ruleName: r, serverAddr: 'http://sidecar-uds'}", "Gloo's own socket", true},
        {"opaServerAuth: {package: a, ruleName: r, headers: [host]}", "cannot be set as a header", false}, {"opaServerAuth: {package: a, ruleName: ../../v1/policies}", "package and ruleName", false}, {"opaServerAuth: {package: a}", "required field", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[1000];
        const char *files[] = {"t.yaml", text, NULL};
        const struct policy_fault *f;
        struct policy_set *s;
        snprintf(text, sizeof text, CONFIGS "    - %s\n", rows[i].step);
        T_ROW("%s", rows[i].step);
        s = p_load_files(files);
        f = p_fault("", rows[i].text);
        T(f && f->notice == rows[i].notice && f->line == 8);
        T((s != NULL) == rows[i].notice);
        policy_set_drop(s);
        if (rows[i].notice) {
            MUST(p_use(text));
            struct policy_verdict v = p_ask("GET", "h.example", "/", NULL);
            T(!v.allowed);
            T_TEXT(v.reason, "not_served");
        }
    }
}

int main(void)
{
    p_init();
    T_RUN(where_nothing_can_be_asked);
    T_RUN(the_portal_is_here);
    T_RUN(refused_at_load);
    sc_open();
    T_RUN(what_the_server_learns);
    T_RUN(what_of_its_answer_goes_on);
    T_RUN(only_200_lets_pass);
    T_RUN(opa_input);
    T_RUN(opa_results);
    sc_close();
    p_done();
    return t_done();
}
