/*
 * test_throttle.c - wrong credentials: counted by address and by account, who waits and who does not, what a
 * wrong credential is and what is none, and that the table stays as large as it is. BUILDS: tsan
 */
#include "p.h"

#include <pthread.h>

#define POLICY(configs) \
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: b}\nspec: {config: {" configs "}}\n"
#define USERS(hash) "{basicAuth: {encryption: {sha1: {}}, userList: {users: {ann: {salt: TYiryv0/, hashedPassword: " hash "}, bob: {salt: TYiryv0/, hashedPassword: " hash "}}}}}"
#define HASH "010eb058a59f4ac5ba05639b0263cf91b4345fd6" /* password */
#define KEYS POLICY("glooAuth: {configs: [{apiKeyAuth: {}}]}")
#define BASIC POLICY("glooAuth: {configs: [" USERS(HASH) "]}")

static bool begin(uint32_t address, uint32_t account, const char *text)
{
    struct throttle_opts o = {.address_failures = address, .account_failures = account, .window_ms = 60000};
    p_unload();
    throttle_close(p.throttle);
    p.now_ms = P_NOW;
    p.source = NULL;
    p.throttle = throttle_open(&o);
    return p_use(text);
}

static struct policy_verdict key(const char *source, const char *clear)
{
    p.source = source;
    return p_ask("GET", "h", "/", clear ? P_HEADERS(p_header("api-key", clear)) : NULL);
}

static struct policy_verdict sign(const char *source, const char *user, const char *password)
{
    struct slice plain = arena_fmt(&p.arena, "%s:%s", user, password);
    char *b64 = arena_zalloc(&p.arena, B64_LEN(plain.n) + 1);
    b64_encode(b64, plain.p, plain.n);
    p.source = source;
    return p_ask("GET", "h", "/", P_HEADERS(arena_fmt(&p.arena, "Authorization: Basic %s", b64).p));
}

#define TELLS(call, want) \
    do { \
        struct policy_verdict tells_ = (call); \
        T_TEXT(tells_.reason, want); \
    } while (0)

static void an_address_that_guesses_waits(void)
{
    const char *right = p_key(P_HEADERS("username", "ann"));
    T(begin(3, 0, KEYS));
    for (int i = 0; i < 3; i++)
        TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    struct policy_verdict v = key("192.0.2.1", right);
    T_INT(v.status, 429);
    T_TEXT(v.reason, "address_throttled");
    T_TEXT(p_client(&v, "retry-after"), "19");
    T_INT(v.body.n, 0);
    T_INT(v.trace_n, 2);
    T_TEXT(v.trace[1].said, "deny");
    TELLS(key("192.0.2.2", right), "ok");
    p.now_ms += 18999;
    TELLS(key("192.0.2.1", right), "address_throttled");
    p.now_ms += 1; /* one more */
    TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    TELLS(key("192.0.2.1", right), "address_throttled");
    p.now_ms += 20000;
    TELLS(key("192.0.2.1", right), "ok");
    p.now_ms += 60000;
    for (int i = 0; i < 3; i++)
        TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    TELLS(key("192.0.2.1", "wrong"), "address_throttled");
}

/* What was right from there lately goes on: one broken client does not stop its neighbours. */
static void neighbours_go_on(void)
{
    const char *ann = p_key(P_HEADERS("username", "ann")), *bea = p_key(P_HEADERS("username", "bea"));
    T(begin(3, 0, KEYS));
    TELLS(key("192.0.2.1", ann), "ok");
    for (int i = 0; i < 3; i++)
        TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    TELLS(key("192.0.2.1", ann), "ok");
    TELLS(key("192.0.2.1", bea), "address_throttled");
    for (int i = 0; i < 100; i++) { /* and stays known as long as it comes */
        p.now_ms += 60000;
        for (int k = 0; k < 4; k++)
            (void)key("192.0.2.1", "wrong");
        TELLS(key("192.0.2.1", "wrong"), "address_throttled");
        TELLS(key("192.0.2.1", ann), "ok");
    }
}

static void of_ipv6_the_network_counts(void)
{
    T(begin(2, 0, KEYS));
    TELLS(key("2001:db8:1:2::1", "wrong"), "key_unknown");
    TELLS(key("2001:db8:1:2:ffff::9", "wrong"), "key_unknown");
    TELLS(key("2001:db8:1:2::77", "wrong"), "address_throttled");
    TELLS(key("2001:db8:1:3::1", "wrong"), "key_unknown");
    TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    TELLS(key("::ffff:192.0.2.1", "wrong"), "key_unknown"); /* the same address in another spelling */
    TELLS(key("192.0.2.1", "wrong"), "address_throttled");
    TELLS(key("192.0.2.2", "wrong"), "key_unknown");
}

static void nobody_is_locked_out_by_others(void)
{
    char source[40];
    T(begin(0, 3, BASIC));
    for (int i = 0; i < 3; i++)
        TELLS(sign("192.0.2.1", "ann", "wrong"), "credentials_wrong");
    struct policy_verdict v = sign("192.0.2.1", " ANN ", "password");
    T_TEXT(v.reason, "account_throttled");
    T_INT(v.status, 429);
    T_TEXT(p_client(&v, "retry-after"), "19");
    TELLS(sign("192.0.2.1", "bob", "password"), "ok");
    TELLS(sign("192.0.2.2", "ann", "password"), "ok");
    for (int i = 0; i < 27; i++) { /* from everywhere: 30 in all */
        snprintf(source, sizeof source, "198.51.100.%d", i);
        TELLS(sign(source, "ann", "wrong"), "credentials_wrong");
    }
    TELLS(sign("203.0.113.1", "ann", "wrong"), "credentials_wrong"); /* one for each from now on */
    TELLS(sign("203.0.113.1", "ann", "password"), "account_throttled");
    TELLS(sign("203.0.113.2", "ann", "password"), "ok");
    TELLS(sign("192.0.2.2", "ann", "password"), "ok");
    TELLS(sign("203.0.113.1", "bob", "password"), "ok");
}

static void without_an_address_the_account_counts(void)
{
    T(begin(2, 2, BASIC));
    for (int i = 0; i < 2; i++)
        TELLS(sign("", "ann", "wrong"), "credentials_wrong");
    TELLS(sign("", "ann", "wrong"), "account_throttled");
    TELLS(sign("", "bob", "password"), "ok");
    TELLS(sign("192.0.2.1", "ann", "password"), "ok");
}

/* What is no guess: no credential at all, one that is known but does not hold, and what another branch let in. */
static void what_does_not_count(void)
{
    const char *old = p_key(P_HEADERS("username", "ann", "expires-ts-unix", "1000")), *right = p_key(P_HEADERS("username", "ann"));
    T(begin(1, 1, KEYS));
    for (int i = 0; i < 5; i++) {
        TELLS(key("192.0.2.1", NULL), "key_missing");
        TELLS(key("192.0.2.1", old), "key_expired");
    }
    TELLS(key("192.0.2.1", right), "ok");
    T(begin(1, 1, POLICY("glooAuth: {booleanExpr: a || b, configs: [{name: a, basicAuth: {encryption: {sha1: {}}, userList: {users: {ann: {salt: x, hashedPassword: " HASH "}}}}}, "
                         "{name: b, basicAuth: {encryption: {sha1: {}}, userList: {users: {ann: {salt: TYiryv0/, hashedPassword: " HASH "}}}}}]}")));
    for (int i = 0; i < 5; i++)
        TELLS(sign("192.0.2.1", "ann", "password"), "ok");
    T(begin(1, 1, POLICY("shadow: true, glooAuth: {configs: [{apiKeyAuth: {}}]}")));
    for (int i = 0; i < 5; i++)
        TELLS(key("192.0.2.1", "wrong"), "ok");
}

/* A credential that was not looked at is a refusal under a `!`, too: who guesses elsewhere does not get rid of what he has. */
static void not_looked_at_is_no_no(void)
{
    static const char *const exprs[] = {"!a", "!!(!a)", "!a || !a", "!a && !a"};
    for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
        T_ROW("%s", exprs[i]);
        T(begin(2, 0, arena_fmt(&p.arena,
            "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: k}\nspec: {applyToRoutes: [{route: {labels: {p: k}}}], config: {glooAuth: {configs: [{apiKeyAuth: {}}]}}}\n---\n"
            "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: n}\nspec: {applyToRoutes: [{route: {labels: {p: n}}}], config: {glooAuth: {booleanExpr: '%s', configs: [{name: a, apiKeyAuth: {}}]}}}\n---\n"
            "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec: {hosts: ['*'], http: [{name: k, labels: {p: k}, matchers: [{uri: {exact: /k}}]}, {name: n, labels: {p: n}}]}\n", exprs[i]).p));
        const char *right = p_header("api-key", p_key(P_HEADERS("username", "ann")));
        T(!p_ask("GET", "h", "/", P_HEADERS(right)).allowed);
        T(p_ask("GET", "h", "/", P_HEADERS("api-key: wrong")).allowed);
        for (int k = 0; k < 2; k++)
            TELLS(p_ask("GET", "h", "/k", P_HEADERS("api-key: wrong")), "key_unknown");
        p.source = "192.0.2.7"; /* where it was right is not known: the expression denied */
        struct policy_verdict v = p_ask("GET", "h", "/", P_HEADERS(p_header("api-key", p_key(P_HEADERS("username", "bea")))));
        T(!v.allowed);
        T_TEXT(v.reason, "address_throttled");
    }
}

static void exempt_addresses(void)
{
    struct cidr lan;
    struct throttle_opts o = {.address_failures = 1, .account_failures = 1, .window_ms = 60000, .exempt = &lan, .exempt_n = 1};
    MUST(cidr_parse(S("10.0.0.0/8"), &lan));
    p_unload();
    throttle_close(p.throttle);
    p.throttle = throttle_open(&o);
    T(p_use(BASIC));
    for (int i = 0; i < 20; i++)
        TELLS(sign("10.1.2.3", "ann", "wrong"), "credentials_wrong");
    TELLS(sign("192.0.2.1", "ann", "wrong"), "credentials_wrong");
    TELLS(sign("192.0.2.1", "ann", "wrong"), "address_throttled");
    o.address_failures = o.account_failures = 0;
    T(throttle_open(&o) == NULL);
}

/* 150,000 addresses with one failure each do not make a hot one forgotten. */
static void many_do_not_hide_one(void)
{
    char source[40];
    T(begin(3, 0, KEYS));
    for (int i = 0; i < 3; i++)
        TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    for (int i = 0; i < 150000; i++) {
        snprintf(source, sizeof source, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        (void)key(source, "wrong");
    }
    TELLS(key("192.0.2.1", "wrong"), "address_throttled");
}

static void the_clock_may_jump(void)
{
    T(begin(2, 0, KEYS));
    for (int i = 0; i < 2; i++)
        TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    p.now_ms -= 86400000; /* set back: nobody waits for a day */
    for (int i = 0; i < 2; i++)
        TELLS(key("192.0.2.1", "wrong"), "key_unknown");
    TELLS(key("192.0.2.1", "wrong"), "address_throttled");
    p.now_ms = 0;
    TELLS(key("192.0.2.9", "wrong"), "key_unknown");
}

/* ---- threads: every failure counts once ---- */

static void *many_failures(void *arg)
{
    struct policy_ask q = {.now_ms = P_NOW};
    struct policy_ctx c = {.opts.throttle = p.throttle, .now_ms = P_NOW};
    struct policy_verdict v = {.reason = S("key_unknown")};
    (void)arg;
    q.has_source_ip = ip_parse(S("192.0.2.1"), &q.source_ip);
    for (int i = 0; i < 10000; i++) {
        struct decision d = {.c = &c, .ask = &q, .v = &v, .wrong = true};
        throttle_count(&d);
        throttle_right(&d, S("secret"));
    }
    return NULL;
}

static void threads_count_together(void)
{
    pthread_t t[4];
    T(begin(50000, 0, KEYS));
    for (int i = 0; i < 4; i++)
        MUST(pthread_create(&t[i], NULL, many_failures, NULL) == 0);
    for (int i = 0; i < 4; i++)
        MUST(pthread_join(t[i], NULL) == 0);
    TELLS(key("192.0.2.1", "wrong"), "key_unknown"); /* 40,000 of 50,000: more come through */
}

int main(void)
{
    p_init();
    T_RUN(an_address_that_guesses_waits);
    T_RUN(neighbours_go_on);
    T_RUN(of_ipv6_the_network_counts);
    T_RUN(nobody_is_locked_out_by_others);
    T_RUN(without_an_address_the_account_counts);
    T_RUN(what_does_not_count);
    T_RUN(not_looked_at_is_no_no);
    T_RUN(exempt_addresses);
    T_RUN(many_do_not_hide_one);
    T_RUN(the_clock_may_jump);
    T_RUN(threads_count_together);
    p_unload();
    throttle_close(p.throttle);
    p_done();
    return t_done();
}
