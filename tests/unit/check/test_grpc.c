/*
 * test_grpc.c - the gRPC services of the check port over a real HTTP/2 connection: what reaches the
 * policy of a CheckRequest, what a CheckResponse says, decisions that wait, rate limits, health,
 * reflection, and everything that is wrong with a call: never an allow.
 */
#include "g.h"

/* The step of the policy is this test's: it keeps what it was asked and answers as it is told. */
static struct {
    int asked;
    char target[300], host[100], scheme[20], method[20], body[200], principal[100], ip[50], extensions[300],
        metadata[1000], route[1000], gateway[1000], one[300], two[300];
    size_t headers_n;
    bool has_ip;
} seen;

static struct {
    void (*run)(struct decision *d);
    int waits_ms; /* 0: does not wait */
    bool wakes;
} told;

static struct decision *waiting;

static void keep(char *dst, size_t cap, struct slice s)
{
    snprintf(dst, cap, "%.*s", SFMT(s));
}

static void keep_json(char *dst, size_t cap, const struct json *j)
{
    struct buf b;
    struct jsonw w;
    buf_init(&b, 0);
    jsonw_init(&w, &b);
    if (j)
        jsonw_value(&w, j);
    keep(dst, cap, buf_all(&b));
    buf_free(&b);
}

static void keep_header(char *dst, size_t cap, const struct policy_ask *q, const char *name)
{
    dst[0] = '\0';
    for (size_t i = 0; i < q->headers_n; i++)
        if (slice_eq(q->headers[i].name, slice_str(name)))
            snprintf(dst + strlen(dst), cap - strlen(dst), "%.*s;", SFMT(q->headers[i].value));
}

static void look(const struct policy_ask *q)
{
    char ip[46];
    memset(&seen, 0, sizeof seen);
    seen.asked = 1;
    keep(seen.target, sizeof seen.target, q->target);
    keep(seen.host, sizeof seen.host, q->host);
    keep(seen.scheme, sizeof seen.scheme, q->scheme);
    keep(seen.method, sizeof seen.method, q->method);
    keep(seen.body, sizeof seen.body, q->body);
    keep(seen.principal, sizeof seen.principal, q->principal);
    keep_json(seen.extensions, sizeof seen.extensions, q->extensions);
    keep_json(seen.metadata, sizeof seen.metadata, q->metadata);
    keep_json(seen.route, sizeof seen.route, q->route_metadata);
    snprintf(seen.gateway, sizeof seen.gateway, "%.*s|%.*s|%u|%.*s|%.*s|%.*s|%.*s", SFMT(q->service), SFMT(q->destination.address),
             q->destination.port, SFMT(q->destination.service), SFMT(q->destination.principal), SFMT(q->sni), SFMT(q->protocol));
    keep_header(seen.one, sizeof seen.one, q, "one");
    keep_header(seen.two, sizeof seen.two, q, "two");
    seen.headers_n = q->headers_n;
    seen.has_ip = q->has_source_ip;
    if (q->has_source_ip)
        keep(seen.ip, sizeof seen.ip, slice_of(ip, ip_format(&q->source_ip, ip)));
}

static void wake(struct net_timer *t, struct reactor *r)
{
    (void)t, (void)r;
    decision_wake(waiting);
}

static void begin(struct decision *d)
{
    static struct net_timer timer = {.fire = wake};
    d->wait = &timer;
    waiting = d;
    if (told.wakes)
        timer_arm(c.reactor, &timer, told.waits_ms);
}

static enum step_said run(struct decision *d, const struct step *s)
{
    (void)s;
    look(d->ask);
    if (told.waits_ms && !d->wait) {
        d->begin = begin;
        return STEP_WAIT;
    }
    if (told.run)
        told.run(d);
    return d->v->allowed ? STEP_PASS : STEP_DENY;
}

static const char policies[] =
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
    "  config: {glooAuth: {configs: [{luaAuth: {inline: 'return function() end'}}]}}\n"
    "---\n"
    "domain: d\ndescriptors:\n- {key: k, rate_limit: {unit: year, requests_per_unit: 2}}\n"
    "- {key: w, rate_limit: {unit: week, requests_per_unit: 7}}\n"
    "- {key: free, rate_limit: {unlimited: true}}\n- {key: ban, rate_limit: {unit: year, requests_per_unit: 0}}\n";

static void use(void)
{
    static struct step_row row = {.name = "probe", .run = run};
    static const struct slice identity[] = {SLIT("X-User-Id"), SLIT("X-Team")};
    const char *files[] = {"t.yaml", policies, NULL};
    struct policy_set *s = p_load_files(files);
    MUST(s);
    for (size_t i = 0; i < s->routes_n; i++) {
        struct auth_policy *a = s->routes[i]->items[0].policy;
        a->steps[0].row = &row;
        s->routes[i]->identity = (struct slice *)(uintptr_t)identity;
        s->routes[i]->identity_n = ARRAY_LEN(identity);
    }
    policy_box_swap(p.box, s);
}

static const char *const two_headers[] = {"one", "first", "two", "x, y", "one", "again", NULL};
static const struct g_check plain = {"GET", "/v1/things?q=1", "api.example.com", two_headers, false};

static struct g_answer *check(struct slice request)
{
    seen.asked = 0;
    return g_call(G_CHECK, request);
}

/* A denial: code not 0, and the status that the client gets. */
static void is_denied(const struct g_answer *a, int status, const char *reason)
{
    struct slice m = g_message(a);
    T_INT(a->http, 200);
    T_INT(a->grpc, 0);
    T(g_num(m, "1.1") > 0);
    T_INT(g_num(m, "2.1.1"), status);
    T_TEXT(g_option(g_text(m, "2"), 2, "x-postern-reason", NULL), reason);
    T(g_text(m, "3").p == NULL);
}

/* ---- what is asked ---- */

static void a_question_has_every_field(void)
{
    struct slice m;
    told.run = NULL;
    struct g_answer *a = check(g_simple(&plain));
    T_INT(a->http, 200);
    T_INT(a->grpc, 0);
    T(seen.asked);
    T_TEXT(slice_str(seen.target), "/v1/things?q=1");
    T_TEXT(slice_str(seen.method), "GET");
    T_TEXT(slice_str(seen.host), "api.example.com");
    T_TEXT(slice_str(seen.scheme), "https");
    T_TEXT(slice_str(seen.principal), "spiffe://example.com/gateway-client");
    T_TEXT(slice_str(seen.ip), "192.0.2.7");
    T_TEXT(slice_str(seen.one), "first;again;"); /* doubled: the policies must see it */
    T_TEXT(slice_str(seen.two), "x, y;");
    T_INT(seen.headers_n, 3); /* no pseudo headers */
    T_TEXT(slice_str(seen.extensions), "");
    m = g_message(a);
    T(m.n > 2 && m.p[0] == 0x0a && m.p[1] == 0); /* the status is there, and it is 0 */
    T(g_text(m, "3").p != NULL && g_text(m, "2").p == NULL);
}

static void headers_may_come_as_bytes(void)
{
    const char *const odd[] = {"one", "caf\xe9", NULL};
    const struct g_check q = {"GET", "/", "h", odd, true};
    struct g_answer *a = check(g_simple(&q));
    T_INT(a->grpc, 0);
    T_TEXT(slice_str(seen.one), "caf\xe9;");
    T_INT(seen.headers_n, 1);
}

static void bodies_come_as_text_or_bytes(void)
{
    struct buf http;
    buf_init(&http, 0);
    g_put_http(&http, &plain);
    pb_put_bytes(&http, 11, S("as text"));
    T_INT(check(g_request(buf_all(&http), "::1", S("")))->grpc, 0);
    T_TEXT(slice_str(seen.body), "as text");
    T_TEXT(slice_str(seen.ip), "::1");
    pb_put_bytes(&http, 12, S("raw \xff"));
    T_INT(check(g_request(buf_all(&http), "", S("")))->grpc, 0);
    T_TEXT(slice_str(seen.body), "raw \xff");
    T(!seen.has_ip);
    buf_free(&http);
}

static void put_value(struct buf *b, const char *name, uint32_t kind, const char *text, double d)
{
    size_t entry = pb_begin(b, 1);
    pb_put_text(b, 1, slice_str(name));
    size_t value = pb_begin(b, 2);
    if (kind == 2)
        pb_put_double(b, 2, d);
    else if (kind == 3)
        pb_put_text(b, 3, slice_str(text));
    else
        pb_put_u64(b, kind, (uint64_t)d);
    pb_end(b, value);
    pb_end(b, entry);
}

static void extensions_and_metadata_are_json(void)
{
    struct buf http, more;
    buf_init(&http, 0);
    buf_init(&more, 0);
    g_put_http(&http, &plain);
    g_put_header(&more, 10, "config_id", S("a.b"), false);
    g_put_header(&more, 10, "other", S(""), false);
    g_put_header(&more, 10, "config_id", S("c.d"), false);
    size_t metadata = pb_begin(&more, 11), filter = pb_begin(&more, 1);
    pb_put_text(&more, 1, S("envoy.filters.http.jwt_authn"));
    size_t value = pb_begin(&more, 2);
    put_value(&more, "n", 2, NULL, 42);
    put_value(&more, "r", 2, NULL, 1.5);
    put_value(&more, "s", 3, "text", 0);
    put_value(&more, "b", 4, NULL, 1);
    put_value(&more, "z", 1, NULL, 0);
    size_t entry = pb_begin(&more, 1);
    pb_put_text(&more, 1, S("l"));
    size_t v = pb_begin(&more, 2), list = pb_begin(&more, 6);
    for (int i = 0; i < 2; i++) {
        size_t item = pb_begin(&more, 1), inner = pb_begin(&more, 5);
        put_value(&more, "k", 2, NULL, i);
        pb_end(&more, inner);
        pb_end(&more, item);
    }
    pb_end(&more, list);
    pb_end(&more, v);
    pb_end(&more, entry);
    pb_end(&more, value);
    pb_end(&more, filter);
    pb_end(&more, metadata);
    T_INT(check(g_request(buf_all(&http), "192.0.2.7", buf_all(&more)))->grpc, 0);
    T_TEXT(slice_str(seen.extensions), "{\"config_id\":\"c.d\",\"other\":\"\"}");
    T_TEXT(slice_str(seen.metadata), "{\"envoy.filters.http.jwt_authn\":{\"n\":42,\"r\":1.5,\"s\":\"text\",\"b\":true,"
                                     "\"z\":null,\"l\":[{\"k\":0},{\"k\":1}]}}");
    buf_free(&http);
    buf_free(&more);
}

static void put_peer(struct buf *b, uint32_t number, bool path, const char *address, const char *service, const char *principal)
{
    size_t peer = pb_begin(b, number), outer = pb_begin(b, 1), inner = pb_begin(b, path ? 2 : 1);
    pb_put_text(b, path ? 1 : 2, slice_str(address));
    if (!path)
        pb_put_u64(b, 3, 8443);
    pb_end(b, inner);
    pb_end(b, outer);
    pb_put_text(b, 2, slice_str(service));
    pb_put_text(b, 4, slice_str(principal));
    pb_end(b, peer);
}

static void where_the_request_arrived(void)
{
    struct buf http, more;
    buf_init(&http, 0);
    buf_init(&more, 0);
    g_put_http(&http, &plain);
    put_peer(&more, 1, false, "192.0.2.9", "client-cluster", "spiffe://x/client");
    put_peer(&more, 2, false, "198.51.100.4", "edge", "spiffe://x/gateway");
    size_t session = pb_begin(&more, 12);
    pb_put_text(&more, 1, S("shop.example"));
    pb_end(&more, session);
    size_t metadata = pb_begin(&more, 13), entry = pb_begin(&more, 1);
    pb_put_text(&more, 1, S("com.example"));
    size_t value = pb_begin(&more, 2);
    put_value(&more, "tier", 3, "gold", 0);
    pb_end(&more, value);
    pb_end(&more, entry);
    pb_end(&more, metadata);
    T_INT(check(g_request(buf_all(&http), "192.0.2.7", buf_all(&more)))->grpc, 0);
    T_TEXT(slice_str(seen.gateway), "client-cluster|198.51.100.4|8443|edge|spiffe://x/gateway|shop.example|HTTP/1.1");
    T_TEXT(slice_str(seen.ip), "192.0.2.9");
    T_TEXT(slice_str(seen.principal), "spiffe://x/client");
    T_TEXT(slice_str(seen.route), "{\"com.example\":{\"tier\":\"gold\"}}");
    T_TEXT(slice_str(seen.metadata), "");
    buf_clear(&more);
    put_peer(&more, 1, true, "/run/client.sock", "", "");
    put_peer(&more, 2, true, "/run/gateway.sock", "", "");
    T_INT(check(g_request(buf_all(&http), "", buf_all(&more)))->grpc, 0);
    T_TEXT(slice_str(seen.gateway), "|/run/gateway.sock|0|||" "|HTTP/1.1");
    T(!seen.has_ip);
    buf_free(&http);
    buf_free(&more);
}

/* What a client of the gateway can cause is a denial, which no failure mode lets pass. */
static void what_clients_cause_is_denied(void)
{
    static char big[200000];
    struct buf http;
    buf_init(&http, 0);
    const char *const utf8[] = {"one", "caf\xe9", NULL}, *const control[] = {"one", "a\rb", NULL},
               *const name[] = {"o ne", "v", NULL};
    const struct {
        const char *reason;
        int status;
        struct g_check q;
    } rows[] = {
        {"utf8_malformed", 400, {"GET", "/", "h", utf8, false}},
        {"utf8_malformed", 400, {"GET", "/\xff", "h", NULL, false}},
        {"header_malformed", 400, {"GET", "/", "h", control, false}},
        {"header_malformed", 400, {"GET", "/", "h", control, true}},
        {"header_malformed", 400, {"GET", "/", "h", name, false}},
        {"path_malformed", 400, {"GET", "", "h", NULL, false}},
        {"path_malformed", 400, {"GET", "admin", "h", NULL, false}},
        {"path_ambiguous", 403, {"GET", "/a/%2e%2e/b", "h", NULL, false}},
        {"method_malformed", 400, {"", "/", "h", NULL, false}},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%s %zu", rows[i].reason, i);
        is_denied(check(g_simple(&rows[i].q)), rows[i].status, rows[i].reason);
        T(!seen.asked);
    }
    T_ROW("large things");
    memset(big, 'a', sizeof big);
    big[0] = '/';
    for (size_t i = 0; i < 129; i++)
        g_put_header(&http, 3, "h", S("v"), false);
    is_denied(check(g_request(buf_all(&http), "", S(""))), 431, "headers_too_large");
    buf_clear(&http);
    g_put_header(&http, 3, "h", slice_of(big, 70000), false);
    is_denied(check(g_request(buf_all(&http), "", S(""))), 431, "headers_too_large");
    buf_clear(&http);
    pb_put_bytes(&http, 4, slice_of(big, 17000));
    is_denied(check(g_request(buf_all(&http), "", S(""))), 414, "target_too_long");
    buf_clear(&http);
    is_denied(check(g_request(buf_all(&http), "not-an-address", S(""))), 403, "source_malformed");
    for (int i = 0; i < 7; i++)
        pb_put_bytes(&http, 12, slice_of(big, sizeof big));
    is_denied(check(g_request(buf_all(&http), "", S(""))), 413, "body_too_large");
    buf_free(&http);
}

static void an_empty_question_is_denied(void)
{
    is_denied(check(S("")), 400, "method_malformed");
    is_denied(check(S("\x0a\x00")), 400, "method_malformed");
}

static void no_question_is_an_error(void)
{
    static const struct slice rows[] = {SLIT("\xff"), SLIT("\x0a\x05\x22"), SLIT("\x0a\x02\x22\x01"),
                                        SLIT("\x0a\x04\x22\x02\x12\x01"), SLIT("\x0a\x03\x5a\x01\x0a")};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%zu", i);
        struct g_answer *a = check(rows[i]);
        T_INT(a->grpc, 3);
        T_INT(a->n, 0);
        T(!seen.asked);
    }
}

/* ---- what is answered ---- */

static void say_much(struct decision *d)
{
    static struct json yes = {.kind = JSON_BOOL, .b = true}, seven = {.kind = JSON_INT, .i = 7};
    static struct json_member member = {SLIT("requests_per_unit"), {.kind = JSON_INT, .i = 5}};
    static struct json object = {.kind = JSON_OBJ, .n = 1, .members = &member};
    decision_upstream(d, S("X-User-Id"), S("ann"), HEADER_SET);
    decision_upstream(d, S("X-Bytes"), S("caf\xe9"), HEADER_SET);
    decision_upstream(d, S("X-Broken"), S("a\nb"), HEADER_SET);
    decision_upstream(d, S("two"), S("z"), HEADER_APPEND);
    decision_upstream(d, S("X-New"), S("1"), HEADER_APPEND);
    decision_upstream(d, S("X-New"), S("2"), HEADER_APPEND);
    decision_client(d, S("Set-Cookie"), S("a=1"));
    decision_client(d, S("X-Says"), S("hi"));
    decision_param_remove(d, S("access_token"));
    decision_param_remove(d, S("Q"));
    decision_param_remove(d, S("access_token"));
    decision_client(d, S("X-Says"), S("again"));
    decision_metadata(d, S(""), S("flag"), &yes);
    decision_metadata(d, S("step"), S("seven"), &seven);
    decision_metadata(d, S("other"), S("o"), &yes);
    decision_metadata(d, S("step"), S("rateLimit"), &object);
    d->v->user = S("ann@example.com");
    d->v->plan = S("gold");
}

static void expect_much(const struct g_answer *a)
{
    struct slice m = g_message(a), ok = g_text(m, "3"), meta = g_text(m, "4");
    int append = 9;
    double d = 0;
    struct pb_field f;
    T_INT(a->grpc, 0);
    T(g_num(m, "1.1") <= 0 && g_text(m, "1").p != NULL);
    T_TEXT(g_option(ok, 2, "x-user-id", &append), "ann");
    T_INT(append, 0);
    T_TEXT(g_option(ok, 2, "x-bytes", &append), "caf\xe9");
    T(g_option(ok, 2, "x-broken", NULL).p == NULL && g_lists(ok, 5, "x-broken"));
    T_TEXT(g_option(ok, 2, "two", &append), "z");
    T_INT(append, 0); /* what the client sent must not survive */
    T_TEXT(g_option(ok, 2, "x-new", &append), "1");
    T_INT(append, 0); /* appended to nothing it would be dropped */
    T_INT(g_num(g_text(ok, "2#4"), "2.1"), 1);
    T_TEXT(g_text(ok, "2#4.1.2"), "2");
    T(g_lists(ok, 5, "x-team") && g_lists(ok, 5, "x_team") && g_lists(ok, 5, "x.team"));
    T(g_lists(ok, 5, "x_user_id") && !g_lists(ok, 5, "x-user-id"));
    T_TEXT(g_text(ok, "8"), "access_token");
    T_TEXT(g_text(ok, "8#1"), "Q");
    T(g_text(ok, "8#2").p == NULL);
    T_TEXT(g_option(ok, 6, "set-cookie", &append), "a=1");
    T_INT(append, 1);
    T_TEXT(g_option(ok, 6, "x-says", &append), "hi");
    T_INT(append, 0);
    T_INT(g_num(g_member(meta, "flag"), "4"), 1);
    T(g_find(g_member(g_text(g_member(meta, "step"), "5"), "seven"), "2", &f) && pb_take_double(&f, &d) && d == 7);
    T(g_find(g_member(g_text(g_member(g_text(g_member(meta, "step"), "5"), "rateLimit"), "5"), "requests_per_unit"),
             "2", &f) && pb_take_double(&f, &d) && d == 5);
    T_INT(g_num(g_member(g_text(g_member(meta, "other"), "5"), "o"), "4"), 1);
    T_TEXT(g_text(g_member(meta, "userId"), "3"), "ann@example.com");
    T_TEXT(g_text(g_member(meta, "usagePlan"), "3"), "gold");
    T_INT(g_text(g_member(meta, "postern_decision"), "3").n, 16);
    T_TEXT(g_text(g_member(meta, "postern_reason"), "3"), "ok");
}

static void an_allow_says_everything(void)
{
    told.run = say_much;
    expect_much(check(g_simple(&plain)));
    told.run = NULL;
}

static int deny_status;
static void deny(struct decision *d)
{
    decision_deny(d, deny_status, S("because"), S("in words"), S(""));
    d->v->body = S("no\xff");
    d->v->user = S("ann@example.com");
    decision_client(d, S("WWW-Authenticate"), S("one"));
    decision_client(d, S("WWW-Authenticate"), S("two"));
    decision_client(d, S("Set-Cookie"), S("a=1"));
    decision_client(d, S("Set-Cookie"), S("b=2"));
}

/* Envoy sends the headers of a denial that are not appended, each of a name, and passes over the others. */
static bool nothing_is_appended(struct slice denied, size_t options)
{
    char path[16];

    for (size_t i = 1; i <= options; i++) {
        (void)snprintf(path, sizeof path, "2#%zu.2.1", i);
        if (g_num(denied, path) == 1)
            return false;
    }
    return true;
}

static void a_denial_has_a_code_whatever_its_status(void)
{
    static const struct {
        int status, client, code;
    } rows[] = {{401, 401, 16}, {403, 403, 7}, {429, 429, 7}, {302, 302, 7}, {404, 404, 7},
                {503, 403, 7}, {500, 403, 7}, {0, 403, 7}, {200, 403, 7}};
    told.run = deny;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%d", rows[i].status);
        deny_status = rows[i].status;
        struct g_answer *a = check(g_simple(&plain));
        struct slice m = g_message(a), denied = g_text(m, "2");
        int append = 9;
        is_denied(a, rows[i].client, "because");
        T_INT(g_num(m, "1.1"), rows[i].code);
        T_TEXT(g_text(m, "1.2"), "in words");
        T_TEXT(g_text(denied, "3"), "no\xef\xbf\xbd");
        T_TEXT(g_option(denied, 2, "www-authenticate", &append), "one");
        T_INT(append, 0);
        T_TEXT(g_option(denied, 2, "set-cookie", &append), "a=1");
        T(nothing_is_appended(denied, 6));
        T_TEXT(g_option(denied, 2, "content-type", NULL), "text/plain; charset=utf-8");
        T_INT(g_option(denied, 2, "x-postern-decision", NULL).n, 16);
        T_TEXT(g_text(g_member(g_text(m, "4"), "userId"), "3"), "ann@example.com");
    }
    told.run = NULL;
}

static void say_page(struct decision *d)
{
    decision_deny(d, 403, S("logged_out"), S("signed out"), S(""));
    d->v->page = true;
    d->v->body = S("<p>bye");
}

static void a_page_is_a_denial_with_200_for_the_client(void)
{
    told.run = say_page;
    struct g_answer *a = check(g_simple(&plain));
    struct slice m = g_message(a);
    is_denied(a, 200, "logged_out");
    T_INT(g_num(m, "1.1"), 7);
    T_TEXT(g_text(g_text(m, "2"), "3"), "<p>bye");
    told.run = NULL;
}

/* ---- decisions that wait ---- */

static void a_decision_that_waits_is_answered_later(void)
{
    told.run = say_much;
    told.waits_ms = 20;
    told.wakes = true;
    expect_much(check(g_simple(&plain)));
    told.run = NULL;
    told.waits_ms = 0;
}

static void a_deadline_ends_the_wait(void)
{
    const char *const soon[] = {"grpc-timeout", "60m", NULL};
    told.waits_ms = 1;
    told.wakes = false;
    struct slice body = g_frame(g_simple(&plain));
    struct g_source source = {.bytes = body};
    g_open(NULL);
    struct g_answer *a = g_send("POST", G_CHECK, NULL, soon, &source);
    g_wait(a);
    T_INT(a->grpc, 4);
    T_INT(a->n, 0);
    /* and the connection serves on */
    told.waits_ms = 0;
    source.bytes = g_frame(g_simple(&plain));
    a = g_send("POST", G_CHECK, NULL, NULL, &source);
    g_wait(a);
    T_INT(a->grpc, 0);
    g_close();
}

/* The gateway gives up, with the stream or with the connection; the decision ends in peace. */
static void a_stream_may_be_gone_meanwhile(void)
{
    told.waits_ms = 150;
    told.wakes = true;
    for (int i = 0; i < 2; i++) {
        struct g_source source = {.bytes = g_frame(g_simple(&plain))};
        g_open(NULL);
        seen.asked = 0;
        struct g_answer *a = g_send("POST", G_CHECK, NULL, NULL, &source);
        while (!__atomic_load_n(&seen.asked, __ATOMIC_ACQUIRE))
            usleep(1000);
        if (i == 0) {
            nghttp2_submit_rst_stream(g.ng, 0, a->id, NGHTTP2_CANCEL);
            g_flush();
            told.waits_ms = 0; /* the next one does not wait: it is behind the reset */
            source.bytes = g_frame(g_simple(&plain));
            a = g_send("POST", G_CHECK, NULL, NULL, &source);
            g_wait(a);
            T_INT(a->grpc, 0);
        }
        g_close();
        usleep(300 * 1000); /* the decision is made after this */
        told.waits_ms = 150;
    }
    told.waits_ms = 0;
    T_INT(check(g_simple(&plain))->grpc, 0);
}

static void stopping_waits_for_decisions(void)
{
    struct check_opts o = c_opts(true);
    struct g_source source = {.bytes = g_frame(g_simple(&plain))};
    told.waits_ms = 200;
    told.wakes = true;
    g_open(NULL);
    __atomic_store_n(&seen.asked, 0, __ATOMIC_RELEASE);
    struct g_answer *a = g_send("POST", G_CHECK, NULL, NULL, &source);
    while (!__atomic_load_n(&seen.asked, __ATOMIC_ACQUIRE))
        usleep(1000);
    reactor_stop(c.reactor);
    g_wait(a);
    T_INT(a->grpc, 0);
    T(!g_read() && g.closed);
    g_close();
    told.waits_ms = 0;
    c_stop();
    c_start(&o);
}

static void many_calls_share_a_connection(void)
{
    struct g_source sources[30];
    struct slice body = g_frame(g_simple(&plain));
    g_open(NULL);
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        sources[i] = (struct g_source){.bytes = body};
        (void)g_send("POST", G_CHECK, NULL, NULL, &sources[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        g_wait(&g.answers[i]);
        T_INT(g.answers[i].grpc, 0);
        T(g_text(g_message(&g.answers[i]), "3").p != NULL);
    }
    g_close();
}

/* ---- calls that are wrong ---- */

static void calls_that_are_wrong(void)
{
    static const char *const gzip[] = {"grpc-encoding", "gzip", NULL}, *const identity[] = {"grpc-encoding", "identity", NULL};
    static const struct {
        const char *method, *path, *type;
        const char *const *more;
        struct slice body;
        int http, grpc;
    } rows[] = {
        {"GET", G_CHECK, NULL, NULL, SLIT(""), 405, -1},
        {"POST", G_CHECK, "application/json", NULL, SLIT(""), 415, -1},
        {"POST", G_CHECK, "application/grpc+json", NULL, SLIT(""), 415, -1},
        {"POST", G_CHECK, "application/grpc-web", NULL, SLIT(""), 415, -1},
        {"POST", G_CHECK, "application/grpc+proto", NULL, SLIT("\0\0\0\0\0"), 200, 0},
        {"POST", G_CHECK, "application/grpc;x=1", identity, SLIT("\0\0\0\0\0"), 200, 0},
        {"POST", G_CHECK "/", NULL, NULL, SLIT(""), 200, 12},
        {"POST", "/envoy.service.auth.v3.Authorization/check", NULL, NULL, SLIT(""), 200, 12},
        {"POST", "/envoy.service.auth.v2.Authorization/Check", NULL, NULL, SLIT(""), 200, 12},
        {"POST", "/grpc.health.v1.Health/Watch", NULL, NULL, SLIT("\0\0\0\0\1\x0a"), 200, 3},
        {"POST", "/", NULL, NULL, SLIT(""), 200, 12},
        {"POST", "/auth/envoy/x", NULL, NULL, SLIT(""), 200, 12},
        {"POST", G_CHECK, NULL, gzip, SLIT("\0\0\0\0\0"), 200, 12},
        {"POST", G_CHECK, NULL, NULL, SLIT("\1\0\0\0\0"), 200, 12},
        {"POST", G_CHECK, NULL, NULL, SLIT("\2\0\0\0\0"), 200, 12},
        {"POST", G_CHECK, NULL, NULL, SLIT(""), 200, 12},
        {"POST", G_CHECK, NULL, NULL, SLIT("\0\0\0"), 200, 13},
        {"POST", G_CHECK, NULL, NULL, SLIT("\0\0\0\0\5ab"), 200, 13},
        {"POST", G_CHECK, NULL, NULL, SLIT("\0\0\0\0\0\0\0\0\0\0"), 200, 12},
        {"POST", G_LIMIT, NULL, NULL, SLIT("\0\377\377\377\377"), 200, 8},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        T_ROW("%zu %s", i, rows[i].path);
        struct g_source source = {.bytes = rows[i].body};
        g_open(NULL);
        struct g_answer *a = g_send(rows[i].method, rows[i].path, rows[i].type, rows[i].more, &source);
        g_wait(a);
        T_INT(a->http, rows[i].http);
        T_INT(a->grpc, rows[i].grpc);
        T(a->grpc <= 0 || a->text[0] || rows[i].http != 200);
        g_close();
    }
    T_ROW("a prefix that promises too much is a denial at once, before the message comes");
    struct g_source source = {.bytes = S("\0\377\377\377\377"), .stay = true};
    g_open(NULL);
    struct g_answer *a = g_send("POST", G_CHECK, NULL, NULL, &source);
    g_wait(a);
    is_denied(a, 413, "body_too_large");
    T_INT(a->rst, NGHTTP2_NO_ERROR);
    g_close();
}

static void http1_is_told(void)
{
    struct answer *r = c_raw(S("POST " G_CHECK " HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
    T_INT(r->status, 505);
    T_TEXT(c_header(r, "x-postern-reason"), "http2_expected");
    r = c_raw(S("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
    T_INT(r->status, 505);
    r = c_raw(S("PRINT / HTTP/1.1\r\nHost: a\r\n\r\n"));
    T_INT(r->status, 404);
}

/* ---- the other services ---- */

static struct slice limit_request(const char *domain, const char *const *keys, int hits)
{
    static struct buf b;
    if (b.max_bytes == 0)
        buf_init(&b, 0);
    buf_clear(&b);
    pb_put_text(&b, 1, slice_str(domain));
    for (; *keys; keys += 2) {
        size_t d = pb_begin(&b, 2), e = pb_begin(&b, 1);
        pb_put_text(&b, 1, slice_str(keys[0]));
        pb_put_text(&b, 2, slice_str(keys[1]));
        pb_end(&b, e);
        if (hits >= 0) {
            size_t h = pb_begin(&b, 3);
            pb_put_u64(&b, 1, (uint64_t)hits);
            pb_end(&b, h);
        }
        pb_end(&b, d);
    }
    return buf_all(&b);
}

static void limits_are_counted(void)
{
    const char *const keys[] = {"k", "a", "w", "b", "free", "", "none", "", NULL};
    for (int i = 1; i <= 3; i++) {
        struct g_answer *a = g_call(G_LIMIT, limit_request("d", keys, -1));
        struct slice m = g_message(a);
        T_ROW("%d", i);
        T_INT(a->grpc, 0);
        T_INT(g_num(m, "1"), i <= 2 ? 1 : 2);
        T_INT(g_num(m, "2.1"), i <= 2 ? 1 : 2);
        T_INT(g_num(m, "2.2.1"), 2);
        T_INT(g_num(m, "2.2.2"), 6);
        T_INT(g_num(m, "2.3"), i < 2 ? 1 : -1);
        T(g_num(m, "2.4.1") > 0);
        T_INT(g_num(m, "2#1.1"), 1);
        T_INT(g_num(m, "2#1.2.2"), 7); /* WEEK */
        T_INT(g_num(m, "2#1.3"), 7 - i);
        T_INT(g_num(m, "2#2.1"), 1);
        T(g_text(m, "2#2.2").p == NULL);
        T_INT(g_num(m, "2#2.3"), 4294967295);
        T_INT(g_num(m, "2#3.1"), 1);
        T(g_text(m, "2#4").p == NULL);
        T((g_text(m, "3").p != NULL) == (i > 2));
        if (i > 2)
            T_TEXT(g_text(m, "3.1"), "retry-after");
    }
    const char *const fresh[] = {"k", "looked at", NULL};
    for (int i = 0; i < 3; i++)
        T_INT(g_num(g_message(g_call(G_LIMIT, limit_request("d", fresh, 0))), "2.3"), 2);
    T_INT(g_num(g_message(g_call(G_LIMIT, limit_request("d", fresh, 2))), "1"), 1);
    T_INT(g_num(g_message(g_call(G_LIMIT, limit_request("d", fresh, 1))), "1"), 2);
}

static void wrong_limits_are_errors(void)
{
    const char *const keys[] = {"k", "a", NULL}, *const none[] = {NULL}, *const empty[] = {"", "a", NULL};
    T_INT(g_call(G_LIMIT, limit_request("", keys, -1))->grpc, 3);
    T_INT(g_call(G_LIMIT, limit_request("d", none, -1))->grpc, 3);
    T_INT(g_call(G_LIMIT, limit_request("d", empty, -1))->grpc, 3);
    T_INT(g_call(G_LIMIT, S("\x0a\x01"))->grpc, 3);
    T_INT(g_call(G_LIMIT, S("\x0a\x01\xff\x12\x05\x0a\x03\x0a\x01k"))->grpc, 3);
    T_INT(g_call(G_LIMIT, S("\x0a\x01" "d\x12\x00"))->grpc, 3);
    /* an override without a unit */
    T_INT(g_call(G_LIMIT, S("\x0a\x01" "d\x12\x09\x0a\x03\x0a\x01k\x12\x02\x08\x01"))->grpc, 3);
    T_INT(g_num(g_message(g_call(G_LIMIT, S("\x0a\x01" "d\x12\x0b\x0a\x03\x0a\x01o\x12\x04\x08\x01\x10\x06"))), "2.2.1"), 1);
}

static void health(void)
{
    T_INT(g_num(g_message(g_call("/grpc.health.v1.Health/Check", S(""))), "1"), 1);
    T_INT(g_num(g_message(g_call("/grpc.health.v1.Health/Check", S("\x0a\x15grpc.health.v1.Health"))), "1"), 1);
    T_INT(g_num(g_message(g_call("/grpc.health.v1.Health/Check", S("\x0a\x23" "envoy.service.auth.v3.Authorization"))), "1"), 1);
    T_INT(g_num(g_message(g_call("/grpc.health.v1.Health/Check", S("\x0a\x09ratelimit"))), "1"), 1);
    T_INT(g_call("/grpc.health.v1.Health/Check", S("\x0a\x04what"))->grpc, 5);
    T_INT(g_call("/grpc.health.v1.Health/Check", S("\x0a\x04"))->grpc, 3);
}

static void read_bytes(const struct g_answer *a, size_t n)
{
    while (a->n < n && !a->over && g_read())
        continue;
}

/* It says what is, then nothing until the server stops. */
static void health_is_watched(void)
{
    struct check_opts o = c_opts(true);
    struct g_source known = {.bytes = S("\0\0\0\0\x0b\x0a\x09ratelimit")}, other = {.bytes = S("\0\0\0\0\6\x0a\4what")},
                    reflection = {.stay = true};
    g_open(NULL);
    struct g_answer *a = g_send("POST", "/grpc.health.v1.Health/Watch", NULL, NULL, &known);
    struct g_answer *b = g_send("POST", "/grpc.health.v1.Health/Watch", NULL, NULL, &other);
    struct g_answer *r = g_send("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", NULL, NULL, &reflection);
    read_bytes(a, 7);
    read_bytes(b, 7);
    T(a->n == 7 && memcmp(a->bytes, "\0\0\0\0\2\x08\1", 7) == 0); /* SERVING */
    T(b->n == 7 && memcmp(b->bytes, "\0\0\0\0\2\x08\3", 7) == 0); /* SERVICE_UNKNOWN */
    struct g_answer *check = g_send("POST", "/grpc.health.v1.Health/Check", NULL, NULL, &(struct g_source){.bytes = S("\0\0\0\0\0")});
    g_wait(check);
    T_INT(check->grpc, 0);
    T(!a->over && !b->over && !r->over);
    reactor_stop(c.reactor);
    g_wait(a);
    g_wait(b);
    g_wait(r);
    T(a->n == 14 && memcmp(a->bytes + 7, "\0\0\0\0\2\x08\2", 7) == 0); /* NOT_SERVING */
    T_INT(a->grpc, 14);
    T(b->n == 14 && b->bytes[13] == 2);
    T_INT(r->grpc, 14);
    T(g.goaway && g.goaway_code == NGHTTP2_NO_ERROR);
    while (g_read())
        continue;
    T(g.closed);
    g_close();
    c_stop();
    c_start(&o);
}

static void reflection_lists_the_services(void)
{
    /* two questions in one stream, cut in the middle */
    struct g_source source = {.bytes = S("\0\0\0\0\3\x3a\1*\0\0\0\0\3\x22\1x")};
    g_open(NULL);
    struct g_answer *a = g_send("POST", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", NULL, NULL, &source);
    g_wait(a);
    T_INT(a->grpc, 0);
    size_t n = (uint8_t)a->bytes[4] + ((size_t)(uint8_t)a->bytes[3] << 8);
    struct slice first = slice_of(a->bytes + 5, n), second = slice_of(a->bytes + n + 10, a->n - n - 10);
    T(slice_find(first, S("envoy.service.auth.v3.Authorization")) != SIZE_MAX);
    T_TEXT(g_text(first, "6.1#2.1"), "grpc.health.v1.Health");
    T_TEXT(g_text(first, "2"), ":\1*");
    T_INT(g_num(second, "7.1"), 5);
    g_close();
}

static void strangers_are_refused(void)
{
    struct check_opts o = c_opts(false);
    c_stop();
    c_start(&o);
    T_INT(check(g_simple(&plain))->grpc, 7);
    T(!seen.asked);
    T_INT(g_call("/grpc.health.v1.Health/Check", S(""))->grpc, 7);
    const char *const keys[] = {"k", "a", NULL};
    T_INT(g_call(G_LIMIT, limit_request("d", keys, -1))->grpc, 7);
}

int main(void)
{
    c_init(true);
    use();
    T_RUN(a_question_has_every_field);
    T_RUN(headers_may_come_as_bytes);
    T_RUN(bodies_come_as_text_or_bytes);
    T_RUN(extensions_and_metadata_are_json);
    T_RUN(where_the_request_arrived);
    T_RUN(what_clients_cause_is_denied);
    T_RUN(an_empty_question_is_denied);
    T_RUN(no_question_is_an_error);
    T_RUN(an_allow_says_everything);
    T_RUN(a_denial_has_a_code_whatever_its_status);
    T_RUN(a_page_is_a_denial_with_200_for_the_client);
    T_RUN(a_decision_that_waits_is_answered_later);
    T_RUN(a_deadline_ends_the_wait);
    T_RUN(a_stream_may_be_gone_meanwhile);
    T_RUN(stopping_waits_for_decisions);
    T_RUN(many_calls_share_a_connection);
    T_RUN(calls_that_are_wrong);
    T_RUN(http1_is_told);
    T_RUN(limits_are_counted);
    T_RUN(wrong_limits_are_errors);
    T_RUN(health);
    T_RUN(health_is_watched);
    T_RUN(reflection_lists_the_services);
    T_RUN(strangers_are_refused);
    c_stop();
    p_done();
    buf_free(&g.body);
    return t_done();
}
