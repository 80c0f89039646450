/*
 * test_pass_grpc.c - passThroughAuth by gRPC: what the server gets and how its answers are read. The server is
 * Postern's own side of HTTP/2 with scripted messages.
 */
#include "net/conn.h"
#include "net/h2.h"
#include "step_calls.h"
#include "wire/hash.h"
#include "wire/protobuf.h"

#include <time.h>

static struct {
    struct reactor *reactor;
    struct listener *listener;
    struct h2_pool *pool;
    pthread_t thread;
    int port, calls;
    /* the script */
    int http_status, grpc_status; /* grpc_status -1: no trailers */
    bool silent, bare;            /* bare: no message */
    int fails;                    /* so many calls are UNAVAILABLE first */
    struct buf message;
    /* what came */
    char path[100], authority[100];
    struct buf in;
} srv;

static void srv_answer(struct h2_stream *s)
{
    static const struct http_header type[] = {{SLIT("content-type"), SLIT("application/grpc")}};
    char code[12];
    struct http_header tail = {S("grpc-status"), S("0")};
    uint8_t prefix[5] = {0, 0, (uint8_t)(srv.message.n >> 16), (uint8_t)(srv.message.n >> 8), (uint8_t)srv.message.n};

    snprintf(code, sizeof code, "%d", srv.fails > 0 ? 14 : srv.grpc_status);
    tail.value = slice_str(code);
    h2_begin(s, srv.http_status, type, 1);
    if (!srv.bare && srv.fails <= 0) {
        buf_put(h2_out(s), prefix, sizeof prefix);
        buf_slice(h2_out(s), buf_all(&srv.message));
        h2_wrote(s);
    }
    h2_end(s, &tail, srv.grpc_status >= 0);
    srv.fails--;
}

static void srv_head(struct h2_stream *s, void *user)
{
    (void)user;
    snprintf(srv.authority, sizeof srv.authority, "%.*s", SFMT(h2_request(s)->authority));
    snprintf(srv.path, sizeof srv.path, "%.*s", SFMT(h2_request(s)->path));
}

static void srv_body(struct h2_stream *s, void *user, bool whole)
{
    (void)user;
    if (!whole)
        return;
    buf_clear(&srv.in);
    buf_slice(&srv.in, buf_unread(h2_body(s)));
    __atomic_add_fetch(&srv.calls, 1, __ATOMIC_SEQ_CST);
    if (!srv.silent)
        srv_answer(s);
}

static void srv_nothing(struct h2_stream *s, void *user)
{
    (void)s;
    (void)user;
}

static void srv_over(void *user)
{
    (void)user;
}

static const struct h2_door srv_door = {.head = srv_head, .body = srv_body, .gone = srv_nothing, .close = srv_over};

static void *srv_open_conn(struct conn *c, void *ctx)
{
    (void)c;
    return ctx;
}

static size_t srv_data(struct conn *c, void *state, struct slice in)
{
    (void)state;
    if (in.n < sizeof H2_PREFACE - 1)
        return 0;
    return h2_start(c, srv.pool, &srv_door, &srv, in);
}

static void srv_close_conn(struct conn *c, void *state)
{
    (void)c;
    (void)state;
}

static const struct conn_proto srv_proto = {.name = "srv", .open = srv_open_conn, .data = srv_data, .close = srv_close_conn};

static void *srv_thread(void *arg)
{
    static const struct h2_limits limits = {100, 64 << 10, 100, 1 << 20, 4 << 20, 60000};
    srv.pool = h2_pool_open(&limits);
    reactor_run(arg);
    return NULL;
}

static void srv_open(struct tls_server *tls)
{
    struct listener_opts o = {.proto = &srv_proto, .tls = tls, .handshake_ms = 60000, .ctx = &srv, .conn_max = 100, .in_bytes_max = 1 << 20, .out_bytes_max = 1 << 20};
    struct err e;

    MUST(reactor_open(1, &srv.reactor, &e) == RC_OK);
    MUST(net_addr_parse(S("127.0.0.1:0"), &o.addr, &e) == RC_OK);
    MUST(listener_open(&srv.reactor, 1, &o, &srv.listener, &e) == RC_OK);
    srv.port = listener_port(srv.listener);
    buf_init(&srv.message, 0);
    buf_init(&srv.in, 0);
    MUST(pthread_create(&srv.thread, NULL, srv_thread, srv.reactor) == 0);
}

static void srv_close(void)
{
    listener_stop(srv.listener);
    reactor_stop(srv.reactor);
    pthread_join(srv.thread, NULL);
    reactor_close(srv.reactor);
    listener_close(srv.listener);
    h2_pool_close(srv.pool);
    buf_free(&srv.message);
    buf_free(&srv.in);
}

/* ---- messages ---- */

static void script(void)
{
    buf_clear(&srv.message);
    srv.http_status = 200;
    srv.grpc_status = 0;
    srv.silent = srv.bare = false;
}

static void put_status(int code)
{
    size_t m = pb_begin(&srv.message, 1);
    if (code)
        pb_put_u64(&srv.message, 1, (uint64_t)code);
    pb_end(&srv.message, m);
}

static void put_header(uint32_t number, const char *name, const char *value, bool append)
{
    size_t m = pb_begin(&srv.message, number), h = pb_begin(&srv.message, 1);
    pb_put_text(&srv.message, 1, slice_str(name));
    pb_put_text(&srv.message, 2, slice_str(value));
    pb_end(&srv.message, h);
    if (append) {
        h = pb_begin(&srv.message, 2);
        pb_put_u64(&srv.message, 1, 1);
        pb_end(&srv.message, h);
    }
    pb_end(&srv.message, m);
}

static struct slice sub(struct slice m, uint32_t number)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == number)
            return f.bytes;
    return S("");
}

/* Of a map<string, message or string>: the value under that name. */
static struct slice entry(struct slice m, uint32_t number, const char *name)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == number && slice_eq(sub(f.bytes, 1), slice_str(name)))
            return sub(f.bytes, 2);
    return S("(none)");
}

#define CONFIGS \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: p}\nspec:\n config:\n  glooAuth:\n    configs:\n"
#define FIRST \
    "    - luaAuth: {headers: [x-set], inline: 'return function() return {allow = true, headers = {[\"x-set\"] = \"by lua\"}, state = {a = {n = 2, l = {\"b\"}}}} end'}\n"
#define SHOWS \
    "    - luaAuth: {headers: [x-shown], inline: 'return function(r) return {allow = true, headers = {[\"x-shown\"] = tostring(r.state.level) .. (r.state.who or \"\")}} end'}\n"

static void use(const char *format)
{
    char text[3000];
    snprintf(text, sizeof text, format, srv.port);
    MUST(sc_use(text));
}

static void what_the_server_gets(void)
{
    struct slice attributes, http, space;
    struct sc_call c;

    use(CONFIGS FIRST "    - passThroughAuth: {config: {limit: 3}, grpc: {address: '127.0.0.1:%d', headers: [x-user]}}\n");
    script();
    put_status(0);
    c = sc_ask(P_HEADERS("X-One: 1", "x-set: forged", "x-user: own"), "hello");
    T(c.waited && c.allowed);
    T_TEXT(slice_str(srv.path), "/envoy.service.auth.v3.Authorization/Check");
    T(srv.in.n > 5 && srv.in.p[0] == 0);
    attributes = sub(slice_from(buf_all(&srv.in), 5), 1);
    http = sub(sub(attributes, 4), 2);
    T_TEXT(sub(http, 2), "GET");
    T_TEXT(sub(http, 4), "/get?q=1");
    T_TEXT(sub(http, 5), "h.example");
    T_TEXT(sub(http, 11), "hello");
    T_TEXT(entry(http, 3, "x-one"), "1");
    T_TEXT(entry(http, 3, "x-set"), "by lua");
    T_TEXT(entry(http, 3, ":path"), "/get?q=1");
    T_TEXT(sub(sub(sub(sub(attributes, 1), 1), 1), 2), "192.0.2.7");
    space = entry(sub(attributes, 11), 1, "solo.auth.passthrough");
    T(entry(sub(entry(space, 1, "a"), 5), 1, "n").n == 9); /* a double */
    T_TEXT(sub(sub(sub(entry(sub(entry(space, 1, "a"), 5), 1, "l"), 6), 1), 3), "b");
    T(entry(entry(sub(attributes, 11), 1, "solo.auth.passthrough.config"), 1, "limit").n == 9);
    T(sc_removed(&c, "x-user"));
}

static void what_the_gateway_said_goes_along(void)
{
    struct slice attributes, peer;
    struct pb_field f = {0};

    use(CONFIGS "    - passThroughAuth: {grpc: {address: '127.0.0.1:%d'}}\n");
    script();
    put_status(0);
    sc.gateway = true;
    T(sc_ask(NULL, "raw \xff").allowed);
    sc.gateway = false;
    attributes = sub(slice_from(buf_all(&srv.in), 5), 1);
    T_TEXT(sub(sub(attributes, 1), 2), "client-cluster");
    T_TEXT(sub(sub(attributes, 1), 4), "spiffe://x/client");
    peer = sub(attributes, 2);
    T_TEXT(sub(sub(sub(peer, 1), 1), 2), "198.51.100.4");
    for (struct pb r = pb_open(sub(sub(peer, 1), 1)); pb_next(&r, &f) && f.number != 3;)
        continue;
    T_INT(f.n, 8443);
    T_TEXT(sub(peer, 2), "edge");
    T_TEXT(sub(peer, 4), "spiffe://x/gateway");
    T_TEXT(entry(attributes, 10, "ext"), "v");
    T_TEXT(sub(sub(attributes, 12), 1), "shop.example");
    T(entry(sub(attributes, 11), 1, "filter").p && entry(sub(attributes, 13), 1, "routed").p);
    T_TEXT(sub(sub(sub(attributes, 4), 2), 10), "HTTP/2");
    T_TEXT(sub(sub(sub(attributes, 4), 2), 12), "raw \xff");
}

static void what_goes_on(void)
{
    struct sc_call c;
    size_t m, e, s, v;

    use(CONFIGS FIRST "    - passThroughAuth: {grpc: {address: '127.0.0.1:%d', headers: [x-user]}}\n" SHOWS);
    script();
    put_status(0);
    m = pb_begin(&srv.message, 3);
    put_header(2, "x-user", "ann", false);
    put_header(2, "x-set", "more", true);
    pb_put_text(&srv.message, 5, S("x-gone"));
    put_header(6, "x-seen", "1", false);
    pb_end(&srv.message, m);
    m = pb_begin(&srv.message, 4); /* {"solo.auth.passthrough": {"level": 3, "who": "bob"}} */
    e = pb_begin(&srv.message, 1);
    pb_put_text(&srv.message, 1, S("solo.auth.passthrough"));
    v = pb_begin(&srv.message, 2);
    s = pb_begin(&srv.message, 5);
    for (int i = 0; i < 2; i++) {
        size_t member = pb_begin(&srv.message, 1), value;
        pb_put_text(&srv.message, 1, i ? S("who") : S("level"));
        value = pb_begin(&srv.message, 2);
        if (i)
            pb_put_text(&srv.message, 3, S("bob"));
        else
            pb_put_double(&srv.message, 2, 3);
        pb_end(&srv.message, value);
        pb_end(&srv.message, member);
    }
    pb_end(&srv.message, s);
    pb_end(&srv.message, v);
    pb_end(&srv.message, e);
    pb_end(&srv.message, m);
    c = sc_ask(P_HEADERS("x-user: root", "x-gone: 1"), "");
    T(c.allowed);
    T_TEXT(sc_upstream(&c, "x-user"), "ann");
    T_TEXT(sc_upstream(&c, "x-set"), "by lua, more");
    T_TEXT(sc_upstream(&c, "x-shown"), "3bob");
    T(sc_removed(&c, "x-gone"));
    T_TEXT(sc_clients(&c), "x-seen: 1|");
    script();
    put_status(7);
    m = pb_begin(&srv.message, 2);
    e = pb_begin(&srv.message, 1);
    pb_put_u64(&srv.message, 1, 302);
    pb_end(&srv.message, e);
    put_header(2, "x-postern-decision", "of another", false); /* these three are left out */
    put_header(2, "content-length", "9", false);
    put_header(2, "x-two", "a\nb", false);
    put_header(2, "location", "/login", false);
    pb_put_text(&srv.message, 3, S("go there"));
    pb_end(&srv.message, m);
    c = sc_ask(NULL, "");
    T(!c.allowed && c.status == 302);
    T_TEXT(slice_str(c.reason), "passthrough_denied");
    T_TEXT(slice_str(c.body), "go there");
    T_TEXT(sc_clients(&c), "location: /login|");
}

static void put_nothing(void)
{
}
static void put_ok(void)
{
    put_status(0);
}
static void put_code_7(void)
{
    put_status(7);
}
static void put_two_statuses(void)
{
    put_status(7);
    put_status(0);
}
static void put_code_16(void)
{
    put_status(16);
}
static void put_denied_with_code_0(void)
{
    put_status(0);
    pb_end(&srv.message, pb_begin(&srv.message, 2));
}
static void put_ok_only(void)
{
    pb_end(&srv.message, pb_begin(&srv.message, 3));
}
static void put_error(void)
{
    put_status(0);
    pb_end(&srv.message, pb_begin(&srv.message, 5));
}
static void put_bad_header(void)
{
    put_status(0);
    size_t m = pb_begin(&srv.message, 3);
    put_header(2, "host", "evil", false);
    pb_end(&srv.message, m);
}
static void put_garbage(void)
{
    put_status(0);
    buf_lit(&srv.message, "\xff\xff\xff");
}
static void put_bare(void)
{
    srv.bare = true;
}
static void put_unavailable(void)
{
    srv.bare = true;
    srv.grpc_status = 14;
}
static void put_no_trailers(void)
{
    put_status(0);
    srv.grpc_status = -1;
}
static void put_http_500(void)
{
    put_status(0);
    srv.http_status = 500;
}
static void put_silent(void)
{
    srv.silent = true;
}

static void answers_never_open_by_accident(void)
{
    static const struct {
        const char *name;
        void (*put)(void);
        int status;
        bool open;
        const char *reason;
    } rows[] = {
        {"status 0", put_ok, 200, true, "ok"}, {"empty message", put_nothing, 403, false, "passthrough_malformed"}, {"ok_response alone", put_ok_only, 200, true, "ok"},
        {"code 7", put_code_7, 403, false, "passthrough_denied"}, {"code 7, then 0", put_two_statuses, 403, false, "passthrough_denied"}, {"code 16", put_code_16, 401, false, "passthrough_denied"}, {"denied with code 0", put_denied_with_code_0, 403, false, "passthrough_denied"},
        {"error_response", put_error, 403, false, "passthrough_malformed"}, {"bad header", put_bad_header, 403, false, "passthrough_malformed"}, {"garbage", put_garbage, 403, false, "passthrough_malformed"},
        {"no message", put_bare, 403, true, "passthrough_unreachable"}, {"grpc error", put_unavailable, 403, true, "passthrough_failed"}, {"no trailers", put_no_trailers, 403, true, "passthrough_unreachable"},
        {"http 500", put_http_500, 403, true, "passthrough_unreachable"}, {"silent", put_silent, 403, true, "passthrough_unreachable"},
    };

    for (int open = 0; open < 2; open++) {
        use(open ? CONFIGS "    - passThroughAuth: {failureModeAllow: true, grpc: {address: '127.0.0.1:%d', connectionTimeout: 300ms}}\n"
                 : CONFIGS "    - passThroughAuth: {grpc: {address: '127.0.0.1:%d', connectionTimeout: 300ms}}\n");
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            T_ROW("%s open %d", rows[i].name, open);
            for (int again = 0; again < 20; again++) { /* a machine that stands still is not what is looked at */
                script();
                rows[i].put();
                struct sc_call c = sc_ask(NULL, "");
                bool allowed = rows[i].status == 200 || (open && rows[i].open);
                if (again < 19 && !slice_eq(slice_str(c.reason), slice_str(allowed ? "ok" : rows[i].reason)))
                    continue;
                T(c.allowed == allowed);
                T_INT(c.status, allowed ? 200 : rows[i].status);
                T_TEXT(slice_str(c.reason), allowed ? "ok" : rows[i].reason);
                break;
            }
        }
    }
    T_ROW("nobody listens");
    MUST(sc_use(CONFIGS "    - passThroughAuth: {grpc: {address: 'unix:/tmp/postern-no-such.sock'}}\n"));
    struct sc_call c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "passthrough_unreachable");
}

static void refused_at_load(void)
{
    static const struct {
        const char *grpc, *text;
        bool notice;
    } rows[] = {
        {"{address: auth.example.com}", "expected host:port", false}, {"{address: off}", "expected host:port", false}, {"{}", "required field", false},
        {"{address: 'http://a:1'}", "expected host:port", false}, {"{address: 'a b:1'}", "expected host:port", false}, {"{address: 'unix:'}", "expected host:port", false},
        {"{address: 'a:1', authority: 'a/b'}", "is no name", false}, {"{address: 'a:1', tlsConfig: {secretRef: {name: none}}}", "none", false},
        {"{address: 'a:1', retryPolicy: {numRetries: 0}}", "a number from 1 to 10", false}, {"{address: 'a:1', retryPolicy: {retryBackOff: {baseInterval: x}}}", "baseInterval", false},
        {"{address: '127.0.0.1:1', headers: [host]}", "cannot be set as a header", false}, {"{address: '127.0.0.1:1', connectionTimeout: soon}", "connectionTimeout: expected", false},
        {"{address: '127.0.0.1:1', tlsConfig: {sslParams: {}}}", "TLS 1.2 and 1.3", true}, {"{adress: x}", "did you mean address?", false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[1000];
        const char *files[] = {"t.yaml", text, NULL};
        struct policy_set *s;
        snprintf(text, sizeof text, CONFIGS "    - passThroughAuth: {grpc: %s}\n", rows[i].grpc);
        T_ROW("%s", rows[i].grpc);
        s = p_load_files(files);
        T(p_fault("", rows[i].text) && p_fault("", rows[i].text)->notice == rows[i].notice);
        T((s != NULL) == rows[i].notice);
        policy_set_drop(s);
    }
}

static void names_are_found(void)
{
    struct sc_call c;

    use(CONFIGS "    - passThroughAuth: {grpc: {address: 'LocalHost:%d'}}\n");
    script();
    put_status(0);
    c = sc_ask(NULL, "");
    T(c.waited && c.allowed);
    T(slice_starts(slice_str(srv.authority), S("LocalHost:")));
    use(CONFIGS "    - passThroughAuth: {grpc: {address: 'localhost:%d', authority: auth.example.com}}\n");
    T(sc_ask(NULL, "").allowed);
    T_TEXT(slice_str(srv.authority), "auth.example.com");
    MUST(sc_use(CONFIGS "    - passThroughAuth: {grpc: {address: 'no-such-host.invalid:1'}}\n"));
    c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "passthrough_unreachable");
}

static void asked_again(void)
{
    struct sc_call c;
    int calls;

    use(CONFIGS "    - passThroughAuth: {grpc: {address: '127.0.0.1:%d', connectionTimeout: 60s, retryPolicy: {numRetries: 2, retryBackOff: {baseInterval: 10ms}}}}\n");
    for (int fails = 0; fails <= 3; fails++) {
        T_ROW("%d times unavailable", fails);
        script();
        put_status(0);
        srv.fails = fails;
        calls = srv.calls;
        c = sc_ask(NULL, "hello");
        T_INT(srv.calls - calls, MIN(fails, 2) + 1);
        T(c.allowed == (fails <= 2));
        T_TEXT(slice_str(c.reason), fails <= 2 ? "ok" : "passthrough_failed");
        T_TEXT(sub(sub(sub(sub(slice_from(buf_all(&srv.in), 5), 1), 4), 2), 11), "hello");
    }
    T_ROW("an answer that says no is not asked for again");
    script();
    put_status(7);
    calls = srv.calls;
    T(!sc_ask(NULL, "").allowed);
    T_INT(srv.calls - calls, 1);
    T_ROW("nobody there");
    MUST(sc_use(CONFIGS "    - passThroughAuth: {grpc: {address: 'unix:/tmp/postern-no-such.sock', retryPolicy: {retryBackOff: {baseInterval: 5ms}}}}\n"));
    c = sc_ask(NULL, "");
    T_TEXT(slice_str(c.reason), "passthrough_unreachable");
    T_ROW("once is enough without the setting");
    use(CONFIGS "    - passThroughAuth: {grpc: {address: '127.0.0.1:%d'}}\n");
    script();
    put_status(0);
    srv.fails = 1;
    calls = srv.calls;
    T(!sc_ask(NULL, "").allowed);
    T_INT(srv.calls - calls, 1);
    srv.fails = 0;
}

static void use_secret(const char *tls, struct slice ca)
{
    static char text[8000], encoded[4000];
    encoded[b64_encode(encoded, ca.p, ca.n)] = '\0';
    snprintf(text, sizeof text, CONFIGS "    - passThroughAuth: {grpc: {address: 'localhost:%d', tlsConfig: {%s}}}\n"
             "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {ca.crt: %s}\n", srv.port, tls, encoded);
    MUST(sc_use(text));
}

/* Only who shows a certificate of the name, from a CA that is trusted, is asked. */
static void over_tls(void)
{
    static const char *const h2[] = {"h2", NULL};
    static const struct slice names[] = {SLIT("localhost")};
    struct arena a;
    struct tls_pem good, strange;
    struct tls_server *tls = NULL;
    struct sc_call c;
    struct err e = {0};

    arena_init(&a, 4096, 0);
    MUST(tls_ca_ensure(&a, NULL, names, 1, &good, &e) == RC_OK && tls_ca_ensure(&a, NULL, names, 1, &strange, &e) == RC_OK);
    MUST(tls_server_open(&(struct tls_opts){.cert_pem = good.cert, .key_pem = good.key, .alpn = h2}, &tls, &e) == RC_OK);
    srv_close();
    srv_open(tls);
    script();
    put_status(0);
    use_secret("secretRef: {name: s}", good.ca_cert);
    c = sc_ask(NULL, "");
    T(c.waited && c.allowed);
    use_secret("secretRef: {name: s}, sni: auth.example.com", good.ca_cert);
    c = sc_ask(NULL, "");
    T(!c.allowed);
    T_TEXT(slice_str(c.reason), "passthrough_unreachable");
    use_secret("secretRef: {name: s}", strange.ca_cert);
    T(!sc_ask(NULL, "").allowed);
    use_secret("", good.ca_cert); /* nobody is trusted here by default */
    c = sc_ask(NULL, "");
    T_TEXT(slice_str(c.reason), "passthrough_unreachable");
    int calls = srv.calls;
    use(CONFIGS "    - passThroughAuth: {grpc: {address: 'localhost:%d'}}\n"); /* plain */
    T(!sc_ask(NULL, "").allowed);
    T_INT(srv.calls, calls);
    srv_close();
    tls_server_close(tls);
    srv_open(NULL);
    arena_free(&a);
}

/* The fetcher is closed while calls are under way: nobody is told, nothing is left. */
static void closed_under_way(void)
{
    int calls = srv.calls;

    use(CONFIGS "    - passThroughAuth: {grpc: {address: '127.0.0.1:%d', connectionTimeout: 60s}}\n");
    script();
    srv.silent = true;
    sc_send(NULL, "");
    for (int i = 0; i < 30000 && __atomic_load_n(&srv.calls, __ATOMIC_SEQ_CST) == calls; i++)
        usleep(1000);
    T(srv.calls == calls + 1);
    sc_close();
    T(!sc.call.allowed);
}

int main(void)
{
    p_init();
    T_RUN(refused_at_load);
    srv_open(NULL);
    sc_open();
    T_RUN(what_the_server_gets);
    T_RUN(what_the_gateway_said_goes_along);
    T_RUN(what_goes_on);
    T_RUN(answers_never_open_by_accident);
    T_RUN(names_are_found);
    T_RUN(asked_again);
    T_RUN(over_tls);
    T_RUN(closed_under_way);
    srv_close();
    p_done();
    return t_done();
}
