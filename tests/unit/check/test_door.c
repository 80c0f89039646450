/*
 * test_door.c - the check port as HTTP: versions, keep-alive, pipelining, bodies, limits, time, and the
 * answers of each dialect, POST /json, POST /v1/decide, /healthz.
 */
#include "c.h"

static const char policies[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
    "  hosts: ['*']\n  http:\n"
    "  - {name: open, matchers: [{uri: {prefix: /open}}]}\n"
    "  - {name: keyed, labels: {auth: key, limits: 'yes'}, matchers: [{uri: {prefix: /keyed}}]}\n"
    "  - {name: text, labels: {auth: text}, matchers: [{uri: {prefix: /text}}]}\n"
    "  - {name: web, labels: {auth: web}, matchers: [{uri: {prefix: /web}}]}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: key}}}]\n  config: {glooAuth: {configs: [{apiKeyAuth: {\n"
    "    headersFromMetadataEntry: {X-User-ID: {name: username}}}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: t}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: text}}}]\n  config: {glooAuth: {configs: [{luaAuth: {inline:\n"
    "    'return function(req) return {allow = false, status = 302, reason = \"go\", body = \"#\" .. #req.body, headers = {Location = \"/login\"}} end'}}]}}\n"
    "---\n"
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: w}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {auth: web}}}]\n  config: {glooAuth: {configs: [{oauth2: {oidcAuthorizationCode: {\n"
    "    appUrl: 'https://a', callbackPath: /web/callback, clientId: c, disableClientSecret: true, issuerUrl: 'https://idp.example',\n"
    "    frontChannelLogout: {path: /web/front}, session: {redis: {}}, discoveryOverride: {authEndpoint: 'https://idp.example/auth',\n"
    "    tokenEndpoint: 'https://idp.example/token', jwksUri: 'https://idp.example/jwks'}}}}]}}\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitPolicy\nmetadata: {name: p}\nspec:\n"
    "  applyToRoutes: [{route: {labels: {limits: 'yes'}}}]\n"
    "  config: {ratelimitServerConfig: {name: s}, ratelimitClientConfig: {name: c}}\n"
    "---\n"
    "apiVersion: trafficcontrol.policy.gloo.solo.io/v2\nkind: RateLimitClientConfig\nmetadata: {name: c}\nspec:\n"
    "  raw: {rateLimits: [{actions: [{requestHeaders: {headerName: X-User-ID, descriptorKey: u}}]}]}\n"
    "---\n"
    "apiVersion: admin.gloo.solo.io/v2\nkind: RateLimitServerConfig\nmetadata: {name: s}\nspec:\n"
    "  raw: {descriptors: [{key: u, rateLimit: {unit: YEAR, requestsPerUnit: 2}}]}\n"
    "---\n"
    "domain: d\ndescriptors:\n- {key: k, rate_limit: {unit: year, requests_per_unit: 2}}\n"
    "- {key: free, rate_limit: {unlimited: true}}\n- {key: ban, rate_limit: {unit: year, requests_per_unit: 0}}\n";

static void say(int fd, const char *s)
{
    c_send(fd, s, strlen(s));
}

static struct answer *text(const char *s)
{
    return c_raw(slice_str(s));
}

static void versions_and_connections(void)
{
    struct answer *r = text("GET /auth/envoy/open HTTP/1.1\r\nHost: a\r\n\r\n");
    T_INT(r->status, 200);
    T(r->head.keep_alive && !r->closed);
    T_TEXT(c_header(r, "content-length"), "0");
    T_INT(c_header(r, "x-postern-decision").n, 16);
    T_TEXT(c_header(r, "x-postern-reason"), "ok");
    r = text("GET /auth/envoy/open HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    T_INT(r->status, 200);
    T(r->closed);
    r = text("GET /auth/envoy/open HTTP/1.0\r\n\r\n");
    T_INT(r->status, 200);
    T(r->closed);
    r = text("GET /auth/envoy/open HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    T_TEXT(c_header(r, "connection"), "keep-alive");
    T(!r->closed);
    r = text("HEAD /auth/envoy/text HTTP/1.1\r\nHost: a\r\n\r\n");
    T_INT(r->status, 302);
    T_TEXT(c_header(r, "content-length"), "2");
    T_INT(r->body.n, 0);
}

static void pipelined_in_order(void)
{
    static struct answer r;
    struct buf left, many;
    int fd = c_connect();
    buf_init(&left, 0);
    buf_init(&many, 0);
    for (int i = 0; i < 300; i++)
        buf_str(&many, i % 3 ? "GET /auth/envoy/open HTTP/1.1\r\nHost: a\r\n\r\n" : "POST /auth/envoy/keyed HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    c_send(fd, many.p, many.n);
    for (int i = 0; i < 300; i++) {
        c_read(fd, &r, false, &left);
        T_ROW("answer %d", i);
        T_INT(r.status, i % 3 ? 200 : 401);
    }
    close(fd);
    buf_free(&left);
    buf_free(&many);
}

static void in_pieces(void)
{
    static const char request[] = "POST /auth/envoy/text HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
                                  "POST /auth/envoy/text HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    static struct answer r;
    struct buf left;
    int fd = c_connect();
    buf_init(&left, 0);
    for (size_t i = 0; i < sizeof request - 1; i++) {
        c_send(fd, request + i, 1);
        if (i % 16 == 0)
            usleep(500);
    }
    c_read(fd, &r, false, &left);
    T_INT(r.status, 302);
    T_TEXT(r.body, "#11");
    c_read(fd, &r, false, &left);
    T_TEXT(r.body, "#4");
    close(fd);
    buf_free(&left);
}

static void expect_continue(void)
{
    static struct answer r;
    struct buf left;
    int fd = c_connect();
    buf_init(&left, 0);
    say(fd, "POST /auth/envoy/text HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    c_read(fd, &r, false, &left);
    T_INT(r.status, 100);
    say(fd, "ab");
    c_read(fd, &r, false, &left);
    T_INT(r.status, 302);
    T_TEXT(r.body, "#2");
    close(fd);
    buf_free(&left);
}

static void limits_of_size(void)
{
    struct buf b;
    struct answer *r;
    buf_init(&b, 0);
    buf_str(&b, "GET /auth/envoy/open?");
    for (int i = 0; i < 20000; i++)
        buf_byte(&b, 'x');
    buf_str(&b, " HTTP/1.1\r\nHost: a\r\n\r\n");
    r = c_raw(buf_all(&b));
    T_INT(r->status, 414);
    T(r->closed);
    buf_clear(&b);
    buf_str(&b, "GET /auth/envoy/open HTTP/1.1\r\nHost: a\r\nX: ");
    for (int i = 0; i < 70000; i++)
        buf_byte(&b, 'x');
    buf_str(&b, "\r\n\r\n");
    T_INT(c_raw(buf_all(&b))->status, 431);
    buf_clear(&b);
    buf_str(&b, "GET /auth/envoy/open HTTP/1.1\r\nHost: a\r\n");
    for (int i = 0; i < 130; i++)
        buf_fmt(&b, "X-%d: y\r\n", i);
    buf_str(&b, "\r\n");
    T_INT(c_raw(buf_all(&b))->status, 431);
    r = text("POST /auth/envoy/open HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    T_INT(r->status, 413);
    T(r->closed);
    buf_clear(&b);
    buf_str(&b, "POST /auth/envoy/open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++) {
        buf_str(&b, "186a0\r\n");
        for (int k = 0; k < 100000; k++)
            buf_byte(&b, 'x');
        buf_str(&b, "\r\n");
    }
    buf_str(&b, "0\r\n\r\n");
    T_INT(c_raw(buf_all(&b))->status, 413);
    buf_free(&b);
}

/* The door begins anew, with this much patience. */
static void begin_again(int64_t head_ms)
{
    struct check_opts o = c_opts(true);
    o.head_ms = head_ms;
    c_stop();
    c_start(&o);
}

static void slow_requests_end(void)
{
    int64_t patience = c_opts(true).head_ms;
    begin_again(300);
    struct answer *r = text("GET /auth/envoy/open HTTP/1.1\r\nHost");
    T_INT(r->status, 408);
    T(r->closed);
    r = text("POST /auth/envoy/open HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    T_INT(r->status, 408);
    begin_again(patience);
}

static void answers_of_dialects(void)
{
    const char *key = p_header("api-key", p_key(P_HEADERS("username", "ann")));
    struct answer *r = c_ask(FORWARD, "GET", "a", "/keyed", P_HEADERS(key));
    T_INT(r->status, 200);
    T_TEXT(c_header(r, "X-User-ID"), "ann");
    T(slice_starts(c_header(r, "RateLimit-Policy"), S("\"s-1\";q=2;w=31536000")));
    T(slice_starts(c_header(r, "RateLimit"), S("\"s-1\";r=1;t=")));
    T_TEXT(c_header(r, "x-ratelimit-limit"), "");
    T_INT(c_ask(FORWARD, "GET", "a", "/keyed", P_HEADERS(key))->status, 200);
    r = c_ask(FORWARD, "GET", "a", "/keyed", P_HEADERS(key));
    T_INT(r->status, 429);
    T(c_header(r, "retry-after").n > 0);
    T_TEXT(c_header(r, "x-user-id"), "");
    r = c_ask(NGINX, "GET", "a", "/keyed", P_HEADERS(key));
    T_INT(r->status, 403);
    T_TEXT(c_header(r, "x-postern-status"), "429");
    T_TEXT(c_header(r, "x-postern-reason"), "limited");
    T(c_header(r, "retry-after").n > 0);
    r = c_ask(NGINX, "GET", "a", "/keyed", NULL);
    T_INT(r->status, 401);
    T_TEXT(c_header(r, "www-authenticate"), "API key is missing or invalid");
    r = c_ask(NGINX, "GET", "a", "/text", NULL);
    T_INT(r->status, 403);
    T_TEXT(c_header(r, "x-postern-status"), "302");
    r = c_ask(ENVOY, "GET", "a", "/text", NULL);
    T_INT(r->status, 302);
    T_TEXT(c_header(r, "location"), "/login");
    T_TEXT(c_header(r, "content-type"), "text/plain; charset=utf-8");
}

static size_t count(const struct answer *r, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < r->head.headers_n; i++)
        n += slice_eq_ci(r->head.headers[i].name, slice_str(name));
    return n;
}

/* A sign-in whose browser has too many of them under way: one cookie comes, others go. */
static void several_cookies(void)
{
    const char *old = "Cookie: __Host-__session_l_AAAAAAAA=x; __Host-__session_l_BBBBBBBB=x; __Host-__session_l_CCCCCCCC=x; "
                      "__Host-__session_l_DDDDDDDD=x; __Host-__session_l_EEEEEEEE=x; __Host-__session_l_FFFFFFFF=x; "
                      "__Host-__session_l_GGGGGGGG=x";
    static const int dialects[] = {FORWARD, ENVOY};
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        T_ROW("%d", dialects[i]);
        struct answer *r = c_ask(dialects[i], "GET", "a", "/web", P_HEADERS(old));
        T_INT(r->status, 302);
        T_INT(count(r, "set-cookie"), 3);
        T_INT(count(r, "x-postern-set-cookie-2"), 0);
    }
    struct answer *r = c_ask(NGINX, "GET", "a", "/web", P_HEADERS(old));
    T_INT(r->status, 403);
    T_TEXT(c_header(r, "x-postern-status"), "302");
    T_INT(count(r, "set-cookie"), 1);
    T(slice_find(c_header(r, "set-cookie"), S("; Max-Age=600")) != SIZE_MAX);
    T(slice_starts(c_header(r, "x-postern-set-cookie-2"), S("__Host-__session_l_AAAAAAAA=;")));
    T(slice_starts(c_header(r, "x-postern-set-cookie-3"), S("__Host-__session_l_BBBBBBBB=;")));
    T_INT(count(r, "x-postern-set-cookie-4"), 0);
}

/* 200 would let the request pass: it stands in a header of its own. */
static void pages(void)
{
    static const int dialects[] = {FORWARD, ENVOY, NGINX};
    for (size_t i = 0; i < ARRAY_LEN(dialects); i++) {
        T_ROW("%d", dialects[i]);
        struct answer *r = c_ask(dialects[i], "GET", "a", "/web/front", NULL);
        T_INT(r->status, 403);
        T_TEXT(c_header(r, "x-postern-status"), "200");
        T_TEXT(c_header(r, "x-postern-reason"), "logged_out");
    }
    T_INT(count(c_ask(FORWARD, "GET", "a", "/text", NULL), "x-postern-status"), 0);
}

static struct answer *post(const char *path, const char *body)
{
    static struct buf b;
    if (b.max_bytes == 0)
        buf_init(&b, 0);
    buf_clear(&b);
    buf_fmt(&b, "POST %s HTTP/1.1\r\nHost: p\r\nContent-Length: %zu\r\n\r\n%s", path, strlen(body), body);
    return c_raw(buf_all(&b));
}

static void json_of_the_reference_server(void)
{
    struct answer *r = post("/json", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"k\",\"value\":\"1\"}]}]}");
    T_INT(r->status, 200);
    T_TEXT(c_header(r, "content-type"), "application/json");
    T(slice_starts(r->body, S("{\"overallCode\":\"OK\",\"statuses\":[{\"code\":\"OK\",\"currentLimit\":{\"requestsPerUnit\":2,\"unit\":\"YEAR\"},\"durationUntilReset\":\"")));
    T(slice_find(r->body, S("\"limitRemaining\":1")) != SIZE_MAX);
    r = post("/json", "{\"domain\":\"d\",\"hits_addend\":\"1\",\"descriptors\":[{\"entries\":[{\"key\":\"k\",\"value\":\"1\"}],\"hitsAddend\":\"1\"}]}");
    T_INT(r->status, 200);
    T(slice_find(r->body, S("limitRemaining")) == SIZE_MAX); /* zero is left out */
    r = post("/json", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"k\",\"value\":\"1\"}]},{\"entries\":[{\"key\":\"no\"}]}]}");
    T_INT(r->status, 429);
    T(slice_starts(r->body, S("{\"overallCode\":\"OVER_LIMIT\",\"statuses\":[{\"code\":\"OVER_LIMIT\"")));
    T(slice_ends(r->body, S(",{\"code\":\"OK\"}]}")));
    r = post("/json", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"free\"}]}]}");
    T(slice_find(r->body, S("\"limitRemaining\":4294967295")) != SIZE_MAX);
    r = post("/json", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"x\"}],\"limit\":{\"requests_per_unit\":1,\"unit\":\"YEAR\"}}]}");
    T_INT(r->status, 200);
    T_INT(post("/json", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"x\"}],\"limit\":{\"requestsPerUnit\":1,\"unit\":6}}]}")->status, 429);
    T_INT(post("/json", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"ban\"}]}]}")->status, 429);
    static const char *const bad[] = {"", "{", "[]", "{\"domain\":\"d\"}", "{\"descriptors\":[{\"entries\":[{\"key\":\"k\"}]}]}",
                                      "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[]}]}", "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"\"}]}]}",
                                      "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"k\"}],\"limit\":{\"unit\":\"UNKNOWN\"}}]}",
                                      "{\"domain\":\"d\",\"descriptors\":[{\"entries\":[{\"key\":\"k\"}],\"hitsAddend\":-1}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%s", bad[i]);
        T_INT(post("/json", bad[i])->status, 400);
    }
    T_INT(text("GET /json HTTP/1.1\r\nHost: p\r\n\r\n")->status, 405);
}

static void decide_as_json(void)
{
    struct answer *r = post("/v1/decide", "{\"method\":\"GET\",\"path\":\"/open\",\"host\":\"a\"}");
    T_INT(r->status, 200);
    T(slice_find(r->body, S("\"allowed\":true")) != SIZE_MAX);
    T(slice_find(r->body, S("\"trace\"")) == SIZE_MAX);
    r = post("/v1/decide?trace=1", "{\"method\":\"GET\",\"path\":\"/keyed\",\"headers\":{\"x\":[\"1\",\"2\"]}}");
    T(slice_find(r->body, S("\"reason\":\"key_missing\"")) != SIZE_MAX);
    T(slice_find(r->body, S("\"said\":\"deny\"")) != SIZE_MAX);
    static const char *const bad[] = {"", "[]", "{}", "{\"method\":\"GET\"}", "{\"method\":\"GET\",\"path\":\"/\",\"header\":{}}",
                                      "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a b\":\"c\"}}", "{\"method\":\"GET\",\"path\":\"/\",\"headers\":{\"a\":\"b\\r\\nc\"}}",
                                      "{\"method\":\"GET\",\"path\":\"/\",\"source_ip\":\"x\"}", "{\"method\":1,\"path\":\"/\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        T_ROW("%s", bad[i]);
        T_INT(post("/v1/decide", bad[i])->status, 400);
    }
    T_INT(text("GET /v1/decide HTTP/1.1\r\nHost: p\r\n\r\n")->status, 405);
}

static void health(void)
{
    T_INT(text("GET /healthz HTTP/1.1\r\nHost: p\r\n\r\n")->status, 200);
}

static void swapped_without_a_dropped_request(void)
{
    static struct answer r;
    struct buf left;
    int fd = c_connect();
    buf_init(&left, 0);
    for (int i = 0; i < 50; i++) {
        if (i % 10 == 5)
            MUST(c_use(policies));
        say(fd, "GET /auth/envoy/open HTTP/1.1\r\nHost: a\r\n\r\n");
        c_read(fd, &r, false, &left);
        T_INT(r.status, 200);
    }
    close(fd);
    buf_free(&left);
}

int main(void)
{
    c_init(true);
    MUST(c_use(policies));
    T_RUN(versions_and_connections);
    T_RUN(pipelined_in_order);
    T_RUN(in_pieces);
    T_RUN(expect_continue);
    T_RUN(limits_of_size);
    T_RUN(slow_requests_end);
    T_RUN(answers_of_dialects);
    T_RUN(several_cookies);
    T_RUN(pages);
    T_RUN(json_of_the_reference_server);
    T_RUN(decide_as_json);
    T_RUN(health);
    T_RUN(swapped_without_a_dropped_request);
    c_stop();
    p_done();
    return t_done();
}
