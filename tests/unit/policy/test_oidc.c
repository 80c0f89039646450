/*
 * test_oidc.c - oauth2.oidcAuthorizationCode and oauth2.oauth2 against a scripted identity provider: login,
 * callback, sessions in the store and in cookies, refresh, logout, keys that change, a provider that is
 * down, and what attackers send. Attack numbers as in docs/security.md.
 */
#include "p.h"

#include "idp.h"
#include "net/fetch.h"
#include "policy/step_oidc.h"

/* ---- two checking threads over one store ---- */

static struct worker {
    struct reactor *r;
    struct fetcher *f;
    struct policy_ctx *ctx;
    pthread_t thread;
} workers[2];

static void *worker_run(void *arg)
{
    reactor_run(((struct worker *)arg)->r);
    return NULL;
}

static void workers_start(void)
{
    struct err e = {0};
    for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
        struct worker *w = &workers[i];
        MUST(reactor_open((int)i, &w->r, &e) == RC_OK);
        struct fetcher_opts f = {.reactor = w->r};
        w->f = fetcher_open(&f);
        struct policy_ctx_opts o = {.box = p.box, .store = p.store, .scheme = &p.scheme, .fetcher = w->f, .reactor = w->r};
        w->ctx = policy_ctx_open(&o);
        MUST(pthread_create(&w->thread, NULL, worker_run, w) == 0);
    }
}

static void workers_stop(void)
{
    for (size_t i = 0; i < ARRAY_LEN(workers); i++) {
        struct worker *w = &workers[i];
        if (!w->r)
            continue;
        reactor_stop(w->r);
        pthread_join(w->thread, NULL);
        fetcher_close(w->f);
        policy_ctx_close(w->ctx);
        reactor_close(w->r);
        *w = (struct worker){0};
    }
}

/* ---- a browser ---- */

struct jar {
    char name[32][64], value[32][4100], attributes[32][200];
    size_t n;
};
static struct jar jar;

static void jar_put(struct jar *j, struct slice line)
{
    struct slice rest, tail, name = slice_cut(line, '=', &rest), value = slice_cut(rest, ';', &tail);
    size_t i = 0;
    while (i < j->n && !slice_eq(slice_str(j->name[i]), name))
        i++;
    if (slice_find(tail, S("Max-Age=0")) != SIZE_MAX) {
        for (; i + 1 < j->n; i++) {
            strcpy(j->name[i], j->name[i + 1]);
            strcpy(j->value[i], j->value[i + 1]);
            strcpy(j->attributes[i], j->attributes[i + 1]);
        }
        j->n -= i < j->n;
        return;
    }
    MUST(i < 32 && value.n < sizeof j->value[i]);
    j->n = MAX(j->n, i + 1);
    snprintf(j->name[i], sizeof j->name[i], "%.*s", SFMT(name));
    snprintf(j->value[i], sizeof j->value[i], "%.*s", SFMT(value));
    snprintf(j->attributes[i], sizeof j->attributes[i], "%.*s", SFMT(tail));
}

struct got { /* an answer, copied */
    struct net_task task;
    struct worker *w;
    char method[8], target[3000], host[64], cookie[70000], accept[16];
    int64_t now_ms;
    bool done, allowed, later, page;
    int status, reason_rc;
    char reason[64], location[6000], upstream[30000], removed[2000], body[6000], user[64];
    char cookies[32][4300];
    size_t cookies_n, metadata_n;
};

static void got_take(void *user, const struct policy_verdict *v)
{
    struct got *g = user;
    size_t n = 0;
    g->allowed = v->allowed;
    g->status = v->status;
    g->page = v->page;
    snprintf(g->reason, sizeof g->reason, "%.*s", SFMT(v->reason));
    snprintf(g->body, sizeof g->body, "%.*s", SFMT(v->body));
    snprintf(g->user, sizeof g->user, "%.*s", SFMT(v->user));
    snprintf(g->location, sizeof g->location, "%.*s", SFMT(p_client(v, "location")));
    for (size_t i = 0; i < v->client_n; i++)
        if (slice_eq_ci(v->client[i].name, S("set-cookie")))
            snprintf(g->cookies[g->cookies_n++], 4300, "%.*s", SFMT(v->client[i].value));
    for (size_t i = 0; i < v->upstream_n; i++)
        n += (size_t)snprintf(g->upstream + n, sizeof g->upstream - n, "%.*s: %.*s\n", SFMT(v->upstream[i].name),
                              SFMT(v->upstream[i].value));
    n = 0;
    for (size_t i = 0; i < v->remove_n; i++)
        n += (size_t)snprintf(g->removed + n, sizeof g->removed - n, "%.*s\n", SFMT(v->remove[i]));
    g->metadata_n = v->metadata_n;
    __atomic_store_n(&g->done, true, __ATOMIC_SEQ_CST);
}

static const struct json *from_gateway; /* metadata of every request */

static void got_ask(struct net_task *t, struct reactor *r)
{
    struct got *g = CONTAINER_OF(t, struct got, task);
    struct http_header h[] = {{S("Cookie"), slice_str(g->cookie)}, {S("jwt"), S("forged")}, {S("x-email"), S("forged")}};
    struct policy_ask q = {.method = slice_str(g->method), .host = slice_str(g->host), .target = slice_str(g->target),
                           .headers = g->cookie[0] ? h : h + 1, .headers_n = g->cookie[0] ? 3 : 2, .now_ms = g->now_ms, .metadata = from_gateway};
    struct policy_verdict v;
    enum rc rc;
    (void)r;
    policy_begin(g->w->ctx, g->now_ms);
    rc = policy_decide(g->w->ctx, &q, &v, got_take, g);
    g->later = rc == RC_AGAIN;
    MUST(rc == RC_OK || rc == RC_AGAIN);
    if (rc == RC_OK)
        got_take(g, &v);
}

/* A request of a browser with these cookies, sent to one of the threads. */
static struct got *send_to(size_t worker, const char *target, const struct jar *j)
{
    struct got *g = calloc(1, sizeof *g);
    size_t n = 0;
    g->w = &workers[worker];
    g->now_ms = p.now_ms;
    snprintf(g->method, sizeof g->method, "GET");
    snprintf(g->host, sizeof g->host, "app.example.com");
    snprintf(g->target, sizeof g->target, "%s", target);
    for (size_t i = 0; j && i < j->n; i++)
        n += (size_t)snprintf(g->cookie + n, sizeof g->cookie - n, "%s%s=%s", i ? "; " : "", j->name[i], j->value[i]);
    g->task.run = got_ask;
    reactor_post(g->w->r, &g->task);
    return g;
}

/* Its answer, which stands until the next one. */
static struct got last;

static struct got *wait_for(struct got *g)
{
    for (int i = 0; i < 60000 && !__atomic_load_n(&g->done, __ATOMIC_SEQ_CST); i++)
        usleep(1000);
    MUST(g->done);
    last = *g;
    free(g);
    return &last;
}

/* ... and its answer; cookies go into the jar. */
static struct got *visit(const char *target)
{
    struct got *g = wait_for(send_to(0, target, &jar));
    for (size_t i = 0; i < g->cookies_n; i++)
        jar_put(&jar, slice_str(g->cookies[i]));
    return g;
}

static const char *param(const char *url, const char *name)
{
    static char out[4][4000];
    static int at;
    char *to = out[at++ % 4];
    struct slice query, value = S(""), u = slice_str(url);
    (void)slice_cut(u, '?', &query);
    if (!url_query_get(&p.arena, query, slice_str(name), &value))
        value = S("");
    snprintf(to, 4000, "%.*s", SFMT(value));
    return to;
}

/* ---- policies ---- */

#define HEAD "apiVersion: v1\nkind: Secret\nmetadata: {name: oauth, namespace: demo}\ntype: extauth.solo.io/oauth\n" \
    "stringData: {client-secret: \"s3cr&t\"}\n---\n" \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: web, namespace: demo}\nspec:\n" \
    " config:\n  glooAuth:\n   configs:\n   - name: login\n     oauth2:\n      oidcAuthorizationCode:\n" \
    "       appUrl: https://app.example.com\n       callbackPath: /callback\n       clientId: the-client\n" \
    "       clientSecretRef: {name: oauth, namespace: demo}\n       issuerUrl: \"http://127.0.0.1:%d/\"\n" \
    "       scopes: [email]\n       logoutPath: /logout\n       afterLogoutUrl: /bye\n" \
    "       headers: {idTokenHeader: jwt, accessTokenHeader: Authorization, useBearerSchemaForAuthorization: true}\n" \
    "       identityToken: {claimsToHeaders: [{claim: email, header: X-Email}]}\n" \
    "       dynamicMetadataFromClaims: {who: sub}\n" \
    "       authEndpointQueryParams: {prompt: \"log in\"}\n       frontChannelLogout: {path: /front}\n"
#define STORE "       session: {failOnFetchFailure: true, redis: {cookieName: web, options: {host: \"redis:6379\"}}}\n"
#define COOKIE "       session: {cookie: {allowRefreshing: true, keyPrefix: web}}\n"

static void use(const char *more)
{
    char text[6000];
    workers_stop();
    int n = snprintf(text, sizeof text, HEAD, idp.port);
    snprintf(text + n, sizeof text - (size_t)n, "%s", more);
    if (!p_use(text))
        exit(1);
    jar.n = 0;
    idp_reset(p.now_ms);
    snprintf(idp.claims, sizeof idp.claims, ",\"email\":\"user1@example.com\",\"groups\":[\"a\"]");
    workers_start();
}

/* To the provider and back; the address of the answer. */
static const char *go(const char *target)
{
    static char back[4000];
    struct got *g = visit(target);
    T_INT(g->status, 302);
    T_TEXT(slice_str(g->reason), "login_required");
    pthread_mutex_lock(&idp.lock);
    snprintf(idp.nonce, sizeof idp.nonce, "%s", param(g->location, "nonce"));
    pthread_mutex_unlock(&idp.lock);
    snprintf(back, sizeof back, "/callback?code=abc&state=%s", param(g->location, "state"));
    return back;
}

static void sign_in(void)
{
    struct got *g = visit(go("/get?x=1"));
    T_INT(g->status, 302);
    T_TEXT(slice_str(g->reason), "signed_in");
    T_TEXT(slice_str(g->location), "https://app.example.com/get?x=1");
}

static bool has(const char *text, const char *word)
{
    return strstr(text, word) != NULL;
}

/* ---- tests ---- */

static void the_way_to_the_provider(void)
{
    struct got *g;
    char first[6000];
    use(STORE);
    g = visit("/get?x=1");
    T_INT(g->status, 302);
    T(g->later);
    T(has(g->location, "/auth?response_type=code&client_id=the-client&"));
    T_TEXT(slice_str(param(g->location, "redirect_uri")), "https://app.example.com/callback");
    T_TEXT(slice_str(param(g->location, "scope")), "openid email");
    T_TEXT(slice_str(param(g->location, "prompt")), "log in");
    T_TEXT(slice_str(param(g->location, "code_challenge_method")), "S256");
    T_INT(strlen(param(g->location, "state")), 43);
    T_INT(strlen(param(g->location, "nonce")), 43);
    T_INT(strlen(param(g->location, "code_challenge")), 43);
    T_INT(g->cookies_n, 1); /* 46 */
    T(has(g->cookies[0], "__Host-web_l_") && has(g->cookies[0], "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=600"));
    T(!has(g->cookies[0], "Domain"));
    T(!has(g->cookies[0], "/get")); /* sealed */
    strcpy(first, g->location);
    g = visit("/get");
    T(!g->later); /* what the provider says is known now */
    T(strcmp(param(first, "state"), param(g->location, "state")) != 0);
    T(strcmp(param(first, "code_challenge"), param(g->location, "code_challenge")) != 0);
    T_INT(idp.discoveries, 1);
}

static void signing_in(void)
{
    struct got *g;
    use(STORE);
    sign_in();
    T_INT(idp.tokens, 1);
    T(has(idp.last_form, "grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2Fapp.example.com%2Fcallback&code_verifier="));
    T_TEXT(slice_str(idp.last_auth), "Basic dGhlLWNsaWVudDpzM2NyJTI2dA=="); /* the-client:s3cr%26t */
    T_INT(jar.n, 1);
    T_TEXT(slice_str(jar.name[0]), "__Host-web");
    T_INT(strlen(jar.value[0]), 43); /* 47 */
    T(has(jar.attributes[0], "HttpOnly") && has(jar.attributes[0], "Secure") && has(jar.attributes[0], "Max-Age=2592000"));
    jar_put(&jar, S("theme=dark; Path=/"));
    g = visit("/get");
    T(g->allowed && !g->later);
    T(has(g->upstream, "jwt: eyJ"));
    T(has(g->upstream, "Authorization: Bearer access-1\n"));
    T(has(g->upstream, "X-Email: user1@example.com\n"));
    T(has(g->upstream, "cookie: theme=dark\n")); /* 49 */
    T(!has(g->upstream, jar.value[0]));
    T_TEXT(slice_str(g->user), "user1@example.com");
    T_INT(g->metadata_n, 1);
    snprintf(jar.name[1], 64, "%s", "x");
    jar.n = 1;
    g = visit("/get");
    T(g->allowed && has(g->removed, "cookie\n"));
    T(wait_for(send_to(1, "/get", &jar))->allowed); /* the other thread */
}

static void nobody_forges_headers(void)
{
    struct got *g;
    use(STORE);
    idp.claims[0] = '\0'; /* no email */
    sign_in();
    g = visit("/get");
    T(g->allowed && !has(g->upstream, "forged"));
    T(has(g->removed, "X-Email\n"));
}

static void state_is_bound_and_used_once(void)
{
    struct jar before, other = {0};
    char back[4000];
    struct got *g;
    use(STORE); /* 39 */
    T_TEXT(slice_str(visit("/callback?code=abc")->reason), "login_unknown");
    T_TEXT(slice_str(visit("/callback?code=abc&state=")->reason), "login_unknown");
    strcpy(back, go("/get"));
    before = jar;
    g = wait_for(send_to(0, back, &other)); /* another browser */
    T_TEXT(slice_str(g->reason), "login_unknown");
    T_INT(g->status, 403);
    back[strlen(back) - 1] = back[strlen(back) - 1] == 'A' ? 'B' : 'A';
    T(!visit(back)->allowed && last.status == 403);
    strcpy(back, go("/get"));
    before = jar;
    T_TEXT(slice_str(visit(back)->reason), "signed_in");
    g = wait_for(send_to(1, back, &before)); /* replayed with the cookie it had */
    T_TEXT(slice_str(g->reason), "login_used");
    T_INT(idp.tokens, 1);
    jar.n = 0;
    strcpy(back, go("/callback/x?y")); /* not the callback: a path as any other */
    p.now_ms += 11 * 60 * 1000;
    T_TEXT(slice_str(visit(back)->reason), "login_expired");
    p.now_ms = P_NOW;
}

static void logins_side_by_side(void)
{
    char one[4000], two[4000], nonce[100];
    use(STORE);
    strcpy(one, go("/one"));
    strcpy(nonce, idp.nonce);
    strcpy(two, go("/two"));
    T_INT(jar.n, 2);
    T_TEXT(slice_str(visit(two)->location), "https://app.example.com/two");
    strcpy(idp.nonce, nonce);
    T_TEXT(slice_str(visit(one)->location), "https://app.example.com/one");
    T(visit("/get")->allowed);
    jar.n = 0;
    for (int i = 0; i < 12; i++)
        (void)go("/x");
    T(jar.n <= OIDC_LOGINS_MAX);
}

static void doubled_and_odd_parameters(void)
{
    char back[4000];
    use(STORE);
    strcpy(back, go("/get"));
    T_TEXT(slice_str(visit(strcat(back, "&code=evil"))->reason), "login_malformed"); /* 22 */
    strcpy(back, go("/get"));
    T_TEXT(slice_str(visit(strcat(back, "&error=access_denied"))->reason), "login_refused");
    idp.iss_sent = true; /* 40 */
    use(STORE);
    idp.iss_sent = true;
    T_TEXT(slice_str(visit(go("/get"))->reason), "login_wrong_issuer");
    snprintf(back, sizeof back, "%s&iss=https%%3A%%2F%%2Fevil.example", go("/get"));
    T_TEXT(slice_str(visit(back)->reason), "login_wrong_issuer");
    snprintf(back, sizeof back, "%s&iss=http%%3A%%2F%%2F127.0.0.1%%3A%d", go("/get"), idp.port);
    T_TEXT(slice_str(visit(back)->reason), "signed_in");
}

static void id_tokens_that_do_not_count(void)
{
    static const struct {
        const char *field, *value, *reason;
    } rows[] = {
        {"nonce", "other", "nonce_mismatch"}, {"nonce", "", "nonce_mismatch"},
        {"aud", "another-client", NULL}, {"iss", "https://evil.example", NULL},
        {"claims", ",\"azp\":\"another\"", "token_wrong_party"},
        {"claims", ",\"at_hash\":\"AAAA\"", "at_hash_mismatch"},
    };
    use(STORE);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *back;
        T_ROW("%s %s", rows[i].field, rows[i].value);
        idp_reset(p.now_ms);
        back = go("/get");
        snprintf(!strcmp(rows[i].field, "nonce") ? idp.nonce : !strcmp(rows[i].field, "aud") ? idp.aud
                 : !strcmp(rows[i].field, "iss") ? idp.token_iss : idp.claims, 100, "%s", rows[i].value);
        (void)visit(back);
        T_INT(last.status, 403);
        if (rows[i].reason)
            T_TEXT(slice_str(last.reason), rows[i].reason);
        T(visit("/get")->status == 302);
        jar.n = 0;
    }
    idp_reset(p.now_ms - 3600 * 1000);
    T_INT(visit(go("/get"))->status, 403); /* expired */
}

static void where_one_goes_afterwards(void)
{
    static const char *const targets[] = { /* 27 */
        "/%2e%2e/x", "//evil.example/", "/\\evil.example", "/%5cevil", "https://evil.example/", "/a%0d%0aSet-Cookie:x",
        "/%09/evil"};
    use(STORE);
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        T_ROW("%s", targets[i]);
        T(!visit(targets[i])->allowed);
        if (last.status == 302)
            T(has(visit(go(targets[i]))->location, "https://app.example.com/"));
    }
    T_TEXT(slice_str(visit(go("/get?rd=//evil.example&next=https://evil"))->location),
           "https://app.example.com/get?rd=//evil.example&next=https://evil");
}

static void new_sessions_have_new_ids(void)
{
    char first[100];
    struct jar old;
    use(STORE); /* 45 */
    jar_put(&jar, S("__Host-web=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; Path=/"));
    sign_in();
    T(!has(jar.value[0], "AAAAAAAAAAAA"));
    strcpy(first, jar.value[0]);
    old = jar;
    T_TEXT(slice_str(visit("/callback?code=abc&state=x")->reason), "login_unknown"); /* does no harm */
    T(visit("/get")->allowed);
    jar.n = 0;
    (void)strcpy(last.reason, "");
    {
        char back[4000];
        strcpy(back, go("/get"));
        jar_put(&jar, slice_str(arena_fmt(&p.arena, "__Host-web=%s", first).p)); /* signed in, and once more */
        T_TEXT(slice_str(visit(back)->reason), "signed_in");
    }
    T_INT(wait_for(send_to(0, "/get", &old))->status, 302); /* the first one is dead */
    T(visit("/get")->allowed);
}

static void cookies_that_are_none(void)
{
    static const char *const values[] = {"", "x", "%%%", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "1.", "0.x", "9.x",
                                         "3.abc", "1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    static const char *const kinds[] = {STORE, COOKIE};
    for (size_t k = 0; k < 2; k++) { /* 26 */
        use(kinds[k]);
        for (size_t i = 0; i < ARRAY_LEN(values); i++) {
            T_ROW("%zu %s", k, values[i]);
            jar.n = 0;
            jar_put(&jar, arena_fmt(&p.arena, "%s=%s; Path=/", k ? "__Host-web_session" : "__Host-web", values[i]));
            T_INT(visit("/get")->status, 302);
        }
        jar.n = 0;
        sign_in();
        jar_put(&jar, arena_fmt(&p.arena, "%s=%sx; Path=/", jar.name[0], jar.value[0]));
        T_INT(visit("/get")->status, 302);
    }
}

static void sessions_in_cookies(void)
{
    struct got *g;
    struct jar kept;
    static char big[9000];
    use(COOKIE);
    sign_in();
    T(jar.n >= 1 && has(jar.name[0], "__Host-web_session"));
    g = visit("/get");
    T(g->allowed && has(g->upstream, "X-Email: user1@example.com\n") && has(g->removed, "cookie\n"));
    p.now_ms += 299 * 1000; /* within the two seconds before the end: refreshed, and written back */
    pthread_mutex_lock(&idp.lock);
    idp.now_s = p.now_ms / 1000;
    memset(big, 'g', 6000); /* too much for one cookie from now on */
    snprintf(idp.claims, sizeof idp.claims, ",\"email\":\"user1@example.com\",\"groups\":[\"%.6000s\"]", big);
    pthread_mutex_unlock(&idp.lock);
    g = visit("/get");
    T(g->allowed && g->cookies_n > 2);
    T(jar.n == g->cookies_n && has(jar.name[1], "__Host-web_session_1"));
    T_INT(idp.refreshes, 1);
    T(visit("/get")->allowed && !has(last.upstream, "cookie:"));
    kept = jar; /* a piece of it, twice, or none of one */
    kept.n--;
    T_INT(wait_for(send_to(0, "/get", &kept))->status, 302);
    kept = jar;
    strcpy(kept.value[2], kept.value[1]);
    T_INT(wait_for(send_to(0, "/get", &kept))->status, 302);
    T_INT(idp.refreshes, 1);
    kept = jar;
    T_INT(visit("/logout")->status, 302);
    T_INT(jar.n, 0);
    g = wait_for(send_to(1, "/get", &kept)); /* dead though the cookie is whole */
    T_INT(g->status, 302);
    p.now_ms = P_NOW;
    use(COOKIE);
    snprintf(idp.claims, sizeof idp.claims, ",\"email\":\"user1@example.com\"");
    sign_in();
    T(visit("/get")->allowed);
    workers_stop();
    hmac_key_init(&p.scheme.hmac, S("another secret"));
    workers_start();
    T_INT(visit("/get")->status, 302); /* wrong key */
    hmac_key_init(&p.scheme.hmac, S("test secret"));
}

static void tokens_are_renewed(void)
{
    struct got *g[8];
    use(STORE);
    sign_in();
    p.now_ms += 3600 * 1000; /* long over */
    pthread_mutex_lock(&idp.lock);
    idp.now_s = p.now_ms / 1000;
    idp.hold_ms = 300;
    pthread_mutex_unlock(&idp.lock);
    for (size_t i = 0; i < 8; i++)
        g[i] = send_to(i % 2, "/get", &jar);
    for (size_t i = 0; i < 8; i++) {
        T(wait_for(g[i])->allowed);
        T(has(last.upstream, "Bearer access-2\n"));
    }
    T_INT(idp.refreshes, 1); /* one for all, over both threads */
    T(has(idp.last_form, "grant_type=refresh_token&refresh_token=refresh"));
    T(visit("/get")->allowed);
    T_INT(idp.refreshes, 1);
    p.now_ms = P_NOW;
}

static void renewal_that_fails(void)
{
    use(STORE);
    sign_in();
    p.now_ms += 3600 * 1000;
    idp.now_s = p.now_ms / 1000;
    idp.token_status = 503;
    T_INT(visit("/get")->status, 403);
    T_TEXT(slice_str(last.reason), "idp_unavailable");
    idp.down = true;
    T_TEXT(slice_str(visit("/get")->reason), "idp_unavailable");
    idp.down = false;
    idp.token_status = 0;
    T(visit("/get")->allowed); /* the session was not lost */
    p.now_ms += 3600 * 1000;
    idp.token_status = 400;
    T_INT(visit("/get")->status, 302); /* 48: the provider ended it */
    idp.token_status = 0;
    jar.n = 0;
    idp_reset(p.now_ms);
    sign_in();
    idp.now_s = (p.now_ms += 3600 * 1000) / 1000;
    snprintf(idp.sub, sizeof idp.sub, "somebody-else");
    T_INT(visit("/get")->status, 403);
    T_TEXT(slice_str(last.reason), "token_wrong_subject");
    p.now_ms = P_NOW;
}

static void without_refresh_tokens(void)
{
    use(STORE);
    idp.no_refresh = true;
    sign_in();
    p.now_ms += 299 * 1000;
    T(visit("/get")->allowed);
    p.now_ms += 2 * 1000;
    T_INT(visit("/get")->status, 302);
    p.now_ms = P_NOW;
}

static void keys_that_change(void)
{
    use(STORE);
    sign_in();
    T_INT(idp.keys_asked, 1);
    jar.n = 0;
    idp.key = 1;
    T_TEXT(slice_str(visit(go("/get"))->reason), "signed_in"); /* the first unknown kid is followed at once */
    T_INT(idp.keys_asked, 2);
    jar.n = 0;
    idp.key = 0; /* ten seconds between two questions for one set */
    T_TEXT(slice_str(visit(go("/get"))->reason), "token_key_unknown");
    T_INT(idp.keys_asked, 2);
    jar.n = 0;
    p.now_ms += 11 * 1000;
    T_TEXT(slice_str(visit(go("/get"))->reason), "signed_in");
    T_INT(idp.keys_asked, 3);
    p.now_ms = P_NOW;
}

/* jwksCacheRefreshPolicy, while the key changes five times to and fro, and in the next interval. */
static void how_often_keys_are_asked_for(void)
{
    static const struct {
        const char *policy;
        size_t signed_in, asked, later;
    } rows[] = {
        {"{never: {}}", 2, 1, 2}, /* the two that the first key signed */
        {"{always: {}}", 5, 6, 7},
        {"{maxIdpReqPerPollingInterval: 2}", 3, 3, 4},
        {"{maxIdpReqPerPollingInterval: 0}", 2, 1, 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t signed_in = 0;
        T_ROW("%s", rows[i].policy);
        use(arena_fmt(&p.arena, STORE "       discoveryPollInterval: 5m\n       jwksCacheRefreshPolicy: %s\n", rows[i].policy).p);
        sign_in();
        for (int n = 1; n <= 5; n++) {
            jar.n = 0;
            idp.key = n % 2;
            signed_in += strcmp(visit(go("/get"))->reason, "signed_in") == 0;
        }
        T_INT(signed_in, rows[i].signed_in);
        T_INT(idp.keys_asked, rows[i].asked);
        jar.n = 0;
        p.now_ms += 6 * 60 * 1000;
        idp.now_s = p.now_ms / 1000;
        (void)visit(go("/get")); /* read again because of the time */
        for (int n = 0; n < 6000 && idp.keys_asked < rows[i].later; n++)
            usleep(10 * 1000);
        T_INT(idp.keys_asked, rows[i].later);
        p.now_ms = P_NOW;
    }
}

static void a_provider_that_is_down_at_first(void)
{
    use(STORE);
    idp.down = true;
    T_INT(visit("/get")->status, 403);
    T_TEXT(slice_str(last.reason), "idp_unavailable");
    T(visit("/get")->status == 403 && !last.later); /* nobody waits in vain again at once */
    idp.down = false;
    for (int i = 0; i < 200 && visit("/get")->status != 302; i++)
        usleep(100 * 1000);
    T_INT(last.status, 302);
    jar.n = 0;
    sign_in();
    idp.down = true;
    T(visit("/get")->allowed); /* sessions need no provider */
    idp.down = false;
    snprintf(idp.issuer, sizeof idp.issuer, "https://evil.example");
    workers_stop();
    workers_start();
    T_TEXT(slice_str(visit("/get")->reason), "ok");
    jar.n = 0;
    T_TEXT(slice_str(visit("/get")->reason), "idp_unavailable"); /* another issuer in the description */
}

static void signing_out(void)
{
    struct jar kept;
    struct got *g;
    use(STORE);
    sign_in();
    kept = jar;
    g = visit("/logout");
    T_INT(g->status, 302);
    T_TEXT(slice_str(g->reason), "logged_out");
    T(has(g->location, "/end?client_id=the-client&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2Fbye"));
    T(!has(g->location, "eyJ")); /* 29 */
    T_INT(jar.n, 0);
    T_INT(wait_for(send_to(0, "/get", &kept))->status, 302);
    for (int i = 0; i < 500 && idp.revocations < 2; i++)
        usleep(10 * 1000);
    T_INT(idp.revocations, 2);
    T_TEXT(slice_str(visit("/logout")->location), "https://app.example.com/bye");
    use(STORE "       endSessionProperties: {methodType: PostMethod}\n");
    sign_in();
    g = visit("/logout");
    T(g->status == 403 && g->page && !g->allowed);
    T(has(g->body, "<form method=\"post\"") && has(g->body, "name=\"id_token_hint\" value=\"eyJ"));
}

static void signed_out_by_the_provider(void)
{
    char path[300];
    static const char *const kinds[] = {STORE, COOKIE};
    for (size_t k = 0; k < 2; k++) {
        struct jar none = {0};
        T_ROW("%zu", k);
        use(kinds[k]);
        sign_in();
        snprintf(path, sizeof path, "/front?iss=https%%3A%%2F%%2Fevil.example&sid=provider-session");
        T_TEXT(slice_str(visit(path)->reason), "login_wrong_issuer");
        T(!last.page && !last.allowed);
        snprintf(path, sizeof path, "/front?iss=http%%3A%%2F%%2F127.0.0.1%%3A%d&sid=another", idp.port);
        T_TEXT(slice_str(visit(path)->reason), "logged_out");
        T(last.page && !last.allowed);
        T(visit("/get")->allowed);
        snprintf(path, sizeof path, "/front?iss=http%%3A%%2F%%2F127.0.0.1%%3A%d&sid=provider-session", idp.port);
        T_TEXT(slice_str(wait_for(send_to(1, path, &none))->reason), "logged_out"); /* no cookie came along */
        T_INT(visit("/get")->status, 302);
    }
}

/* Policy text of its own, with the provider's port in it. */
static void use_text(const char *format)
{
    char text[6000];
    workers_stop();
    snprintf(text, sizeof text, format, idp.port, idp.port, idp.port);
    if (!p_use(text))
        exit(1);
    jar.n = 0;
    idp_reset(p.now_ms);
    workers_start();
}

static void servers_without_id_tokens(void)
{
    struct got *g;
    use_text("apiVersion: v1\nkind: Secret\nmetadata: {name: oauth}\nstringData: {client-secret: x}\n---\n"
             "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: web}\nspec:\n config:\n  glooAuth:\n"
             "   failOnRedirect: false\n   configs:\n   - oauth2:\n      oauth2:\n       appUrl: https://app.example.com\n       callbackPath: /callback\n"
             "       clientId: the-client\n       clientSecretRef: {name: oauth}\n       authEndpoint: \"http://127.0.0.1:%d/auth?tenant=t\"\n"
             "       tokenEndpoint: \"http://127.0.0.1:%d/token\"\n       revocationEndpoint: \"http://127.0.0.1:%d/revoke\"\n"
             "       tokenEndpointQueryParams: {audience: api}\n       scopes: [\"read:user\"]\n       logoutPath: /logout\n"
             "       session: {redis: {}}\n       headers: {accessTokenHeader: X-Token}\n");
    g = visit("/get");
    T(g->status == 302 && !g->later); /* nothing has to be found out */
    T(has(g->location, "/auth?tenant=t&response_type=code&"));
    T(has(g->location, "&code_challenge_method=S256") && !has(g->location, "nonce="));
    sign_in();
    T_INT(idp.discoveries + idp.keys_asked, 0);
    g = visit("/get");
    T(g->allowed && has(g->upstream, "X-Token: access-1\n"));
    p.now_ms += 300 * 1000;
    T(has(visit("/get")->upstream, "X-Token: access-2\n"));
    T_TEXT(slice_str(visit("/logout")->location), "https://app.example.com");
    T_INT(visit("/get")->status, 302);
    p.now_ms = P_NOW;
}

static void clients_that_sign(void)
{
    struct jwks *keys = NULL;
    struct jwt t;
    char text[3000], pem[600] = "";
    const char *from = idp_keys[1].pem;
    for (size_t n = 0; *from && n < sizeof pem - 8; from++) {
        n += (size_t)snprintf(pem + n, sizeof pem - n, "%c", *from);
        if (*from == '\n')
            n += (size_t)snprintf(pem + n, sizeof pem - n, "    ");
    }
    snprintf(text, sizeof text, "apiVersion: v1\nkind: Secret\nmetadata: {name: key}\nstringData:\n  kid: k1\n  signing-key: |\n    %s\n---\n%s", pem,
             "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: web}\nspec:\n config:\n  glooAuth:\n"
             "   configs:\n   - oauth2:\n      oidcAuthorizationCode:\n       appUrl: https://app.example.com\n       callbackPath: /callback\n"
             "       clientId: the-client\n       issuerUrl: \"http://127.0.0.1:%d\"\n       session: {redis: {}}\n"
             "       clientAuthentication: {privateKeyJwt: {signingKeyRef: {name: key}, validFor: 30s}}\n");
    use_text(text);
    sign_in();
    T(has(idp.last_form, "&client_id=the-client&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJ"));
    T_TEXT(slice_str(idp.last_auth), "");
    MUST(jwks_parse(slice_str(idp_keys[1].jwk), 0, &keys, NULL) == RC_OK);
    const char *assertion = strstr(idp.last_form, "client_assertion=eyJ") + 17;
    T_INT(jwt_parse(&p.arena, slice_of(assertion, strcspn(assertion, "&")), &t), JWT_OK);
    T_INT(jwt_verify(&t, keys, 0), JWT_OK);
    T_TEXT(t.kid, "k1");
    T_TEXT(json_str(t.claims, S("iss")), "the-client");
    T_TEXT(json_str(t.claims, S("sub")), "the-client");
    T_TEXT(json_str(t.claims, S("aud")), idp_url(&p.arena, "/token").p);
    T_INT(t.exp_ms, p.now_ms + 30000);
    jwks_free(keys);
}

static void how_the_client_shows_itself(void)
{
    use(STORE);
    idp.post_only = true;
    sign_in();
    T(has(idp.last_form, "&client_id=the-client&client_secret=s3cr%26t"));
    T_TEXT(slice_str(idp.last_auth), "");
    T_TEXT(slice_str(visit("/get")->reason), "ok");
}

/* The header names the session's entry; the cookie's own value stays here. */
static void the_session_is_named_to_the_provider(void)
{
    use("       session: {redis: {cookieName: web, headerName: X-IdP-Session}}\n");
    sign_in();
    T_INT(strlen(idp.last_session), 43);
    T_TEXT(oidc_session_hash(&p.arena, slice_str(jar.value[0])), idp.last_session);
    T(!has(idp.last_session, jar.value[0]));
    p.now_ms += 3600 * 1000;
    idp.now_s = p.now_ms / 1000;
    T(visit("/get")->allowed);
    T_INT(idp.refreshes, 1);
    T_TEXT(slice_str(idp.last_session), ""); /* with the code alone */
    p.now_ms = P_NOW;
    use(STORE);
    sign_in();
    T_TEXT(slice_str(idp.last_session), "");
}

static void parameters_from_metadata(void)
{
    struct json *j = NULL;
    struct got *g;
    MUST(json_parse(&p.arena, S("{\"solo_authconfig_oidc\":{\"tenant\":\"a b\",\"level\":2,\"state\":\"evil\",\"client_id\":\"evil\",\"list\":[1],"
                                "\"Code_Challenge\":\"x\",\"authEndpointQueryParams\":{\"login_hint\":\"ann&x=1\",\"redirect_uri\":\"//evil\"},"
                                "\"tokenEndpointQueryParams\":{\"audience\":\"api\",\"client_secret\":\"x\"}},\"other\":{\"a\":\"1\"}}"),
                    8192, &j, NULL) == RC_OK);
    from_gateway = j;
    use(STORE);
    T(!has(visit("/get")->location, "tenant="));
    use(STORE "       autoMapFromMetadata: {}\n");
    g = visit("/get");
    T(has(g->location, "&prompt=log%20in&tenant=a%20b&level=2&login_hint=ann%26x%3D1"));
    T(!has(g->location, "evil") && !has(g->location, "audience") && !has(g->location, "list"));
    T_INT(strlen(param(g->location, "code_challenge")), 43);
    jar.n = 0;
    sign_in();
    T_TEXT(slice_str(idp.last_target), "/token?tenant=a%20b&level=2&state=evil&audience=api"); /* state is ours at the page alone */
    use(STORE "       autoMapFromMetadata: {namespace: other}\n");
    T(has(visit("/get")->location, "&a=1"));
    from_gateway = NULL;
    T(!has(visit("/get")->location, "&a=1"));
}

static void algorithms_of_id_tokens(void)
{
    use(STORE "       discoveryOverride: {idTokenAlgs: [RS256, ES256]}\n");
    sign_in();
    use(STORE "       discoveryOverride: {idTokenAlgs: [RS256]}\n");
    T_TEXT(slice_str(visit(go("/get"))->reason), "token_alg_refused");
}

static void codes_that_are_refused(void)
{
    use(STORE);
    idp.token_status = 400;
    T_TEXT(slice_str(visit(go("/get"))->reason), "code_refused");
    T_INT(jar.n, 0);
    idp.token_status = 500;
    T_TEXT(slice_str(visit(go("/get"))->reason), "idp_unavailable");
}

static void the_store_is_refused_something_else(void)
{
    use(STORE);
    sign_in();
    store_enter(p.store, p.now_ms);
    for (uint64_t cursor = 0;;) {
        struct entry *e = ks_random(p.store, 0);
        (void)cursor;
        if (!e)
            break;
        (void)ks_del(p.store, 0, arena_dup(&p.arena, ks_key(e)));
    }
    store_leave(p.store);
    T_INT(visit("/get")->status, 302); /* gone is gone */
}

int main(void)
{
    p_init();
    idp_start();
    T_RUN(the_way_to_the_provider);
    T_RUN(signing_in);
    T_RUN(nobody_forges_headers);
    T_RUN(state_is_bound_and_used_once);
    T_RUN(logins_side_by_side);
    T_RUN(doubled_and_odd_parameters);
    T_RUN(id_tokens_that_do_not_count);
    T_RUN(where_one_goes_afterwards);
    T_RUN(new_sessions_have_new_ids);
    T_RUN(cookies_that_are_none);
    T_RUN(sessions_in_cookies);
    T_RUN(tokens_are_renewed);
    T_RUN(renewal_that_fails);
    T_RUN(without_refresh_tokens);
    T_RUN(keys_that_change);
    T_RUN(how_often_keys_are_asked_for);
    T_RUN(a_provider_that_is_down_at_first);
    T_RUN(signing_out);
    T_RUN(signed_out_by_the_provider);
    T_RUN(servers_without_id_tokens);
    T_RUN(clients_that_sign);
    T_RUN(how_the_client_shows_itself);
    T_RUN(the_session_is_named_to_the_provider);
    T_RUN(parameters_from_metadata);
    T_RUN(algorithms_of_id_tokens);
    T_RUN(codes_that_are_refused);
    T_RUN(the_store_is_refused_something_else);
    workers_stop();
    idp_stop();
    p_done();
    return t_done();
}
