/*
 * test_jwks.c - keys and answers that come over the network: one fetch for all who wait, the interval, the
 * last good set kept, unknown kids, what is no key set; introspection and userinfo. The client is this
 * test's: it keeps the requests and answers when it is told to.
 */
#include "p.h"

#include "../wire/jwt_vectors.h"
#include "policy/token.h"

/* ---- the outbound client, instead of net/fetch.c ---- */

struct fetch {
    struct arena arena;
    struct slice method, path, host, body, auth;
    size_t reply_bytes_max;
    int64_t timeout_ms;
    fetch_done_fn *done;
    void *user;
};
struct fetcher {
    struct fetch *v[16];
    size_t n, total;
};
static struct fetcher net;

struct fetch *fetch_start(struct fetcher *f, const struct fetch_req *q, fetch_done_fn *done, void *user)
{
    struct fetch *x = mem_zalloc(sizeof *x);
    MUST(f == &net && net.n < ARRAY_LEN(net.v));
    arena_init(&x->arena, 4096, 0);
    x->method = arena_dup(&x->arena, q->method);
    x->host = arena_dup(&x->arena, q->url.host);
    x->path = arena_dup(&x->arena, q->url.path);
    x->body = arena_dup(&x->arena, q->body);
    x->auth = S("");
    for (size_t i = 0; i < q->headers_n; i++)
        if (slice_eq_ci(q->headers[i].name, S("authorization")))
            x->auth = arena_dup(&x->arena, q->headers[i].value);
    x->reply_bytes_max = q->reply_bytes_max;
    x->timeout_ms = q->timeout_ms;
    x->done = done;
    x->user = user;
    net.v[net.n++] = x;
    net.total++;
    return x;
}
void fetch_cancel(struct fetch *x)
{
    (void)x;
}
enum rc fetcher_find(struct fetcher *f, struct slice name, struct fetch_ask *ask, struct ip out[FETCH_ADDRS_MAX], size_t *n,
                     const char **why) /* for ldap: nothing is looked up here */
{
    (void)f;
    (void)name;
    (void)ask;
    (void)out;
    *n = 0;
    *why = "";
    return RC_NOTFOUND;
}

struct tls_client *fetcher_trust(const struct fetcher *f)
{
    (void)f;
    return NULL;
}

struct h2_call **fetcher_calls(struct fetcher *f) /* what gRPC calls need of one: none is made here */
{
    (void)f;
    return NULL;
}

struct reactor *fetcher_reactor(const struct fetcher *f)
{
    (void)f;
    return NULL;
}

struct slice fetch_header(const struct fetch_reply *r, struct slice name)
{
    (void)r;
    (void)name;
    return S("");
}

/* The oldest request gets this answer. */
static void answer_rc(enum rc rc, int status, const char *body)
{
    struct fetch *x = net.v[0];
    char *copy = mem_strdup(body); /* gone when done returns */
    struct fetch_reply r = {.rc = rc, .why = "no", .status = status, .body = slice_str(copy)};
    MUST(net.n > 0);
    memmove(net.v, net.v + 1, --net.n * sizeof net.v[0]);
    x->done(x->user, &r);
    mem_wipe(copy, strlen(copy));
    mem_free(copy);
    arena_free(&x->arena);
    mem_free(x);
}
#define ANSWER(body) answer_rc(RC_OK, 200, body)

static void use(const char *text)
{
    struct policy_ctx_opts o;
    while (net.n > 0)
        answer_rc(RC_IO, 0, "");
    MUST(p_use(text));
    o = p.ctx->opts;
    o.fetcher = &net;
    policy_ctx_close(p.ctx);
    p.ctx = policy_ctx_open(&o);
    net.total = 0;
}

/* ---- questions ---- */

static struct {
    int calls, allowed;
    char reason[60], email[60];
} got;

static void done(void *user, const struct policy_verdict *v)
{
    (void)user;
    got.calls++;
    got.allowed += v->allowed;
    snprintf(got.reason, sizeof got.reason, "%.*s", SFMT(v->reason));
    snprintf(got.email, sizeof got.email, "%.*s", SFMT(p_upstream(v, "x-email")));
}

static void ask(const char *token)
{
    struct http_header h = {S("authorization"), arena_fmt(&p.arena, "Bearer %s", token)};
    struct policy_ask q = {.method = S("GET"), .host = S("h.example"), .target = S("/"), .headers = &h,
                           .headers_n = 1, .body = S(""), .now_ms = p.now_ms, .trace = true};
    struct policy_verdict v;
    memset(&got, 0, sizeof got);
    policy_begin(p.ctx, p.now_ms);
    if (policy_decide(p.ctx, &q, &v, done, NULL) == RC_OK)
        done(NULL, &v);
}

#define STEP(text) \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: t, namespace: n}\nspec:\n config:\n  glooAuth:\n    configs:\n" \
    "    - oauth2:\n        accessTokenValidation:\n" text
#define REMOTE STEP("          jwt: {remoteJwks: {url: 'https://idp.example:8443/keys?x=1', refreshInterval: 60s}}\n          claimsToHeaders: [{claim: email, header: x-email}]\n")

static void one_fetch_for_all_who_wait(void)
{
    use(REMOTE);
    ask(vec_rs256);
    ask(vec_es256);
    ask(vec_rs256);
    T_INT(got.calls, 0);
    T_INT(net.total, 1);
    T_TEXT(net.v[0]->method, "GET");
    T_TEXT(net.v[0]->host, "idp.example");
    T_TEXT(net.v[0]->path, "/keys?x=1");
    T(net.v[0]->reply_bytes_max == JWKS_BYTES_MAX && net.v[0]->timeout_ms > 0);
    policy_begin(p.ctx, p.now_ms);
    ANSWER(vec_jwks);
    T_INT(got.calls, 3);
    T_INT(got.allowed, 3);
    T_TEXT(slice_str(got.email), "ann@example.com");
    ask(vec_ps256); /* nothing to wait for any more */
    T(got.calls == 1 && got.allowed == 1);
    T_INT(net.total, 1);
    T_INT(p.ctx->parked_n, 0);
}

static void fetched_again_in_time_and_kept_on_failure(void)
{
    int64_t now = p.now_ms;
    use(REMOTE);
    ask(vec_rs256);
    ANSWER(vec_jwks);
    p.now_ms = now + 59000;
    ask(vec_es256);
    T_INT(net.total, 1);
    p.now_ms = now + 62000;
    ask(vec_rs256); /* known before, and nobody waits */
    T(got.calls == 1 && got.allowed == 1);
    T_INT(net.total, 2);
    answer_rc(RC_TIMEOUT, 0, "");
    ask(vec_ps256);
    T(got.allowed == 1);
    T_INT(net.total, 2); /* not again at once */
    p.now_ms = now + 75000;
    ask(vec_rs256);
    T_INT(net.total, 3);
    answer_rc(RC_OK, 500, vec_jwks_other);
    p.now_ms = now + 90000;
    ask(vec_rs256);
    T(got.allowed == 1);
    ANSWER("{\"keys\":[]}"); /* an empty set is no set */
    p.now_ms = now + 105000;
    ask(vec_rs256);
    T(got.allowed == 1);
    ANSWER("<html>");
    p.now_ms = now + 120000;
    ask(vec_rs256);
    ANSWER(vec_jwks_other); /* the old keys were withdrawn: what was verified by them goes */
    ask(vec_rs256);
    if (got.calls == 0)
        ANSWER(vec_jwks_other);
    T_TEXT(slice_str(got.reason), "token_key_unknown");
    T_INT(got.allowed, 0);
    p.now_ms = now;
}

static void attack_33_unknown_kids(void)
{
    int64_t now = p.now_ms;
    use(REMOTE);
    ask(vec_rs256);
    ANSWER(vec_jwks);
    ask(vec_rs256_other); /* a rotation: the new key is asked for */
    T_INT(got.calls, 0);
    T_INT(net.total, 2);
    ANSWER(vec_jwks_both);
    T(got.calls == 1 && got.allowed == 1);
    for (int i = 0; i < 20; i++) { /* a flood: no fetch */
        ask(vec_es256);
        T_TEXT(slice_str(got.reason), "token_key_unknown");
    }
    T_INT(net.total, 2);
    p.now_ms = now + 70000;
    ask(vec_rs256);
    T_INT(net.total, 3);
    ANSWER(vec_jwks_both);
    ask(vec_es256); /* the next interval allows one more */
    ask(vec_es256);
    T_INT(net.total, 4);
    ANSWER(vec_jwks_both);
    T(got.calls == 2 && got.allowed == 0);
    T_INT(p.ctx->parked_n, 0);
    ask(vec_es256);
    T_INT(net.total, 4);
    p.now_ms = now;
}

static void a_provider_that_is_down(void)
{
    int64_t now = p.now_ms;
    use(REMOTE);
    ask(vec_rs256);
    answer_rc(RC_IO, 0, "");
    T(got.calls == 1 && got.allowed == 0);
    T_TEXT(slice_str(got.reason), "jwks_unavailable");
    ask(vec_rs256); /* asked a moment ago */
    T_TEXT(slice_str(got.reason), "jwks_unavailable");
    T_INT(net.total, 1);
    p.now_ms = now + 3000; /* it recovers by itself */
    ask(vec_rs256);
    T_INT(net.total, 2);
    ANSWER(vec_jwks);
    T(got.allowed == 1);
    p.now_ms = now;
}

static void attack_31_a_secret_over_the_network(void)
{
    use(REMOTE);
    ask(vec_hs256);
    ANSWER(vec_jwks_secret);
    T_INT(got.allowed, 0);
    T_TEXT(slice_str(got.reason), "jwks_unavailable");
}

static void attack_37_redirects_and_sizes(void)
{
    use(REMOTE);
    ask(vec_rs256);
    answer_rc(RC_OK, 302, vec_jwks);
    T_INT(got.allowed, 0);
    T_INT(net.total, 1);
    use(REMOTE);
    ask(vec_rs256);
    answer_rc(RC_TOOBIG, 200, "");
    T_INT(got.allowed, 0);
}

static void a_reload_fetches_nothing(void)
{
    const char *files[] = {"t.yaml", REMOTE "# another file\n", NULL};
    use(REMOTE);
    ask(vec_rs256);
    ANSWER(vec_jwks);
    policy_box_swap(p.box, p_load_files(files));
    ask(vec_es256);
    T(got.allowed == 1);
    T_INT(net.total, 1);
}

static void a_reload_while_somebody_waits(void)
{
    const char *files[] = {"t.yaml", STEP("          jwt: {localJwks: {inlineString: '{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"ed\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}'}}\n"), NULL};
    use(REMOTE);
    ask(vec_rs256);
    policy_box_swap(p.box, p_load_files(files));
    policy_begin(p.ctx, p.now_ms);
    ANSWER(vec_jwks);
    T(got.calls == 1 && got.allowed == 1);
    ask(vec_rs256);
    T_INT(got.allowed, 0);
}

static void two_providers_that_both_must_be_fetched(void)
{
    use("apiVersion: security.policy.gloo.solo.io/v2\nkind: JWTPolicy\nmetadata: {name: a, namespace: n}\nspec:\n config:\n  providers:\n"
        "   one: {remote: {url: 'http://one.example/'}}\n   two: {remote: {url: 'http://two.example/', cacheDuration: 60s}, claimsToHeaders: [{claim: email, header: x-email}]}\n");
    ask(vec_rs256);
    while (net.n > 0)
        ANSWER(slice_eq(net.v[0]->host, S("two.example")) ? vec_jwks : vec_jwks_other);
    T(got.calls == 1 && got.allowed == 1);
    T_TEXT(slice_str(got.email), "ann@example.com");
    T_INT(net.total, 2);
}

static void the_end_while_somebody_waits(void)
{
    use(REMOTE);
    ask(vec_rs256);
    p_unload();
    T(got.calls == 1 && got.allowed == 0);
    T_TEXT(slice_str(got.reason), "stopping");
    arena_free(&net.v[0]->arena);
    mem_free(net.v[0]);
    net.n = 0;
}

/* ---- introspection and userinfo ---- */

#define SECRET "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: n}\ntype: extauth.solo.io/oauth\nstringData: {client-secret: 'p:w d'}\n"
#define INTRO(more) STEP("          introspection: {introspectionUrl: 'http://idp.example/introspect', clientId: a b, clientSecretRef: {name: s}, userIdAttributeName: uid}\n" \
                         "          claimsToHeaders: [{claim: email, header: x-email}]\n" more) SECRET

static void introspection(void)
{
    int64_t now = p.now_ms;
    use(INTRO("          requiredScopes: {scope: [read]}\n"));
    ask("opaque+/=");
    T_INT(net.total, 1);
    T_TEXT(net.v[0]->method, "POST");
    T_TEXT(net.v[0]->body, "token=opaque%2B%2F%3D&token_type_hint=access_token");
    T_TEXT(net.v[0]->auth, "Basic YSUyMGI6cCUzQXclMjBk"); /* a%20b:p%3Aw%20d */
    ANSWER("{\"active\":true,\"scope\":\"read\",\"uid\":\"u7\",\"email\":\"ann@example.com\"}");
    T(got.allowed == 1);
    T_TEXT(slice_str(got.email), "ann@example.com");
    ask("opaque+/=");
    T(got.allowed == 1);
    T_INT(net.total, 1); /* remembered */
    T_ROW("attack 38: a shorter token is another token");
    ask("opaque+/");
    T_INT(net.total, 2);
    ANSWER("{\"active\":false}");
    T_TEXT(slice_str(got.reason), "token_inactive");
    ask("opaque+/"); /* a refusal is not remembered */
    T_INT(net.total, 3);
    ANSWER("{\"active\":true,\"scope\":\"write\"}");
    T_TEXT(slice_str(got.reason), "scope_missing");
    T_ROW("only a plain yes counts");
    static const char *const nos[] = {"{}", "{\"active\":\"true\"}", "{\"active\":1}", "{\"active\":null}", "{\"active\":true,\"active\":false}", "[true]", "", "true"};
    for (size_t i = 0; i < ARRAY_LEN(nos); i++) {
        ask("other");
        ANSWER(nos[i]);
        T_INT(got.allowed, 0);
    }
    ask("other");
    answer_rc(RC_OK, 401, "{\"active\":true,\"scope\":\"read\"}");
    T_TEXT(slice_str(got.reason), "introspection_unavailable");
    ask("other");
    answer_rc(RC_OK, 302, "{\"active\":true,\"scope\":\"read\"}");
    T_INT(got.allowed, 0);
    T_ROW("exp ends it, also what is remembered");
    ask("timed");
    answer_rc(RC_OK, 200, arena_fmt(&p.arena, "{\"active\":true,\"scope\":\"read\",\"exp\":%lld}", (long long)now / 1000 + 5).p);
    T_INT(got.allowed, 1);
    net.total = 0;
    p.now_ms = now + 4000;
    ask("timed");
    T(got.allowed == 1 && net.total == 0);
    p.now_ms = now + 5000;
    ask("timed");
    T_INT(net.total, 1);
    answer_rc(RC_OK, 200, arena_fmt(&p.arena, "{\"active\":true,\"scope\":\"read\",\"exp\":%lld}", (long long)now / 1000 + 5).p);
    T_TEXT(slice_str(got.reason), "token_inactive");
    p.now_ms = now;
}

static void cache_off_and_other_endpoints(void)
{
    use(INTRO("          cacheTimeout: 0s\n"));
    ask("t");
    ANSWER("{\"active\":true}");
    T(got.allowed == 1);
    ask("t");
    T_INT(net.total, 2);
    ANSWER("{\"active\":false}");
    T_INT(got.allowed, 0);
}

static void userinfo(void)
{
    use(STEP("          userinfoUrl: http://idp.example/userinfo\n          claimsToHeaders: [{claim: email, header: x-email}]\n"));
    ask("abc");
    T_TEXT(net.v[0]->method, "GET");
    T_TEXT(net.v[0]->auth, "Bearer abc");
    ANSWER("{\"sub\":\"ann\",\"email\":\"a@b\"}");
    T(got.allowed == 1);
    T_TEXT(slice_str(got.email), "a@b");
    ask("abd");
    answer_rc(RC_OK, 401, "");
    T_TEXT(slice_str(got.reason), "token_inactive");
    ask("abd");
    answer_rc(RC_OK, 503, "");
    T_TEXT(slice_str(got.reason), "userinfo_unavailable");
    T_ROW("after introspection: the members of both");
    use(INTRO("          userinfoUrl: http://idp.example/userinfo\n"));
    ask("abc");
    ANSWER("{\"active\":true,\"sub\":\"ann\"}");
    T_INT(got.calls, 0);
    ANSWER("{\"sub\":\"bob\",\"email\":\"a@b\"}");
    T(got.allowed == 1);
    T_TEXT(slice_str(got.email), "a@b");
    ask("abc");
    T(got.allowed == 1);
    T_INT(net.total, 2);
}

int main(void)
{
    p_init();
    T_RUN(one_fetch_for_all_who_wait);
    T_RUN(fetched_again_in_time_and_kept_on_failure);
    T_RUN(attack_33_unknown_kids);
    T_RUN(a_provider_that_is_down);
    T_RUN(attack_31_a_secret_over_the_network);
    T_RUN(attack_37_redirects_and_sizes);
    T_RUN(a_reload_fetches_nothing);
    T_RUN(a_reload_while_somebody_waits);
    T_RUN(two_providers_that_both_must_be_fetched);
    T_RUN(the_end_while_somebody_waits);
    T_RUN(introspection);
    T_RUN(cache_off_and_other_endpoints);
    T_RUN(userinfo);
    while (net.n > 0)
        answer_rc(RC_IO, 0, "");
    p_done();
    return t_done();
}
