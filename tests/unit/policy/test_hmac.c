/*
 * test_hmac.c - hmacAuth: Kong's documented signature, every algorithm, what must be signed, dates, digests of bodies,
 * one answer for a wrong name and a wrong signature, and what a file may get wrong.
 */
#include "p.h"

#include "base/clock.h"
#include "wire/hash.h"

#define SECRETS \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: bob}\ntype: extauth.solo.io/credentials\nstringData: {username: bob, password: secret}\n---\n" \
    "apiVersion: v1\nkind: Secret\nmetadata: {name: ann, namespace: other}\nstringData: {username: Ann, password: hers}\n---\n"
#define POLICY(fields) \
    SECRETS "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: h}\nspec: {config: {glooAuth: {configs: [" \
    "{hmacAuth: {secretRefs: {secretRefs: [{name: bob}, {name: ann, namespace: other}]}, parametersInHeaders: {}" fields "}}]}}}\n"

static const char *const algorithms[] = {"hmac-sha1", "hmac-sha256", "hmac-sha384", "hmac-sha512"};

static const char *date_at(int64_t ms)
{
    char *dst = arena_zalloc(&p.arena, 40);
    clock_http_date(dst, ms);
    return dst;
}

static const char *b64(const void *q, size_t n)
{
    char *dst = arena_zalloc(&p.arena, B64_LEN(n) + 1);
    b64_encode(dst, q, n);
    return dst;
}

static const char *digest(const char *body)
{
    uint8_t sum[32];
    sha256(slice_str(body), sum);
    return arena_fmt(&p.arena, "SHA-256=%s", b64(sum, 32)).p;
}

/* "hmac username=..." over the text */
static const char *sign(const char *user, const char *secret, int algorithm, const char *names, struct slice text)
{
    uint8_t mac[MAC_BYTES_MAX];
    size_t n = hmac_of((enum mac_kind)algorithm, slice_str(secret), text, mac);
    return arena_fmt(&p.arena, "hmac username=\"%s\", algorithm=\"%s\", headers=\"%s\", signature=\"%s\"", user,
                     algorithms[algorithm], names, b64(mac, n)).p;
}

static bool hidden; /* the gateway sends no bodies */

static struct policy_verdict ask(const char *method, const char *target, const char *body, const char *const *headers)
{
    struct http_header h[32];
    struct policy_ask q = {.method = slice_str(method), .host = S("api.example.com"), .target = slice_str(target),
                           .body = slice_str(body), .body_hidden = hidden, .now_ms = p.now_ms, .trace = true};
    struct policy_verdict v;

    for (; headers && headers[q.headers_n]; q.headers_n++) {
        struct slice rest, s = slice_str(headers[q.headers_n]);
        h[q.headers_n].name = slice_cut(s, ':', &rest);
        h[q.headers_n].value = slice_trim(rest);
    }
    q.headers = h;
    policy_begin(p.ctx, p.now_ms);
    MUST(policy_decide(p.ctx, &q, &v, NULL, NULL) == RC_OK);
    return v;
}

#define HEADER(name, value) arena_fmt(&p.arena, name ": %s", value).p
#define TEXT(...) arena_fmt(&p.arena, __VA_ARGS__)

/* The example of Kong's documentation: its text and its secret; the date is inside the skew that is set here. */
static void kongs_example(void)
{
    int64_t now = p.now_ms;
    T(p_use(POLICY("")));
    T(clock_parse_http_date(S("Thu, 22 Jun 2017 17:15:21 GMT"), &p.now_ms));
    struct policy_verdict v = ask("GET", "/requests", NULL, P_HEADERS("Date: Thu, 22 Jun 2017 17:15:21 GMT",
        "Authorization: hmac username=\"bob\", algorithm=\"hmac-sha256\", headers=\"date request-line\", "
        "signature=\"ujWCGHeec9Xd6UD2zlyxiNMCiXnDOWeVFMu5VeRUxtw=\""));
    /* the same, computed here */
    const char *mine = sign("bob", "secret", MAC_SHA256, "date request-line",
                            S("date: Thu, 22 Jun 2017 17:15:21 GMT\nGET /requests HTTP/1.1"));
    T(strstr(mine, "ujWCGHeec9Xd6UD2zlyxiNMCiXnDOWeVFMu5VeRUxtw=") != NULL);
    T(v.allowed);
    T_TEXT(v.user, "bob");
    T(p_removed(&v, "authorization"));
    p.now_ms = now;
}

static void every_algorithm_and_place(void)
{
    const char *date = date_at(P_NOW);
    T(p_use(POLICY(", userHeader: x-user")));
    for (int i = 0; i < 4; i++) {
        const char *text = sign("BOB ", "secret", i, "date host", TEXT("date: %s\nhost: api.example.com", date));
        T_ROW("%s", algorithms[i]);
        struct policy_verdict v = ask("GET", "/x?y=1", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", date)));
        T(v.allowed);
        T_TEXT(v.user, "bob");
        T_TEXT(p_upstream(&v, "x-user"), "bob");
        v = ask("GET", "/x", NULL, P_HEADERS(HEADER("Proxy-Authorization", text), HEADER("Date", date), "Authorization: Bearer x"));
        T(v.allowed && p_removed(&v, "proxy-authorization"));
        v = ask("GET", "/x", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Proxy-Authorization", text), HEADER("Date", date)));
        T_TEXT(v.reason, "credentials_duplicate");
    }
    const char *hers = sign("ann", "hers", 1, "x-date", TEXT("x-date: %s", date));
    struct policy_verdict v = ask("GET", "/x", NULL, P_HEADERS(HEADER("Authorization", hers), HEADER("X-Date", date)));
    T(v.allowed);
    T_TEXT(v.user, "Ann");
    static const char *const lines[] = {"HTTP/1.1", "HTTP/2.0", "HTTP/2", "HTTP/1.0"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        const char *text = sign("bob", "secret", 1, "date request-line", TEXT("date: %s\nGET /x?y=1 %s", date, lines[i]));
        T_ROW("%s", lines[i]);
        T(ask("GET", "/x?y=1", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", date))).allowed);
        T(!ask("POST", "/x?y=1", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", date))).allowed);
        T(!ask("GET", "/x?y=2", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", date))).allowed);
    }
    const char *target = sign("bob", "secret", 1, "date @request-target", TEXT("date: %s\n@request-target: get /x?y=1", date));
    T(ask("GET", "/x?y=1", NULL, P_HEADERS(HEADER("Authorization", target), HEADER("Date", date))).allowed);
    /* headers= left out: the date */
    const char *bare = sign("bob", "secret", 0, "date", TEXT("date: %s", date));
    char *cut = strstr((char *)(uintptr_t)bare, "headers=\"date\", ");
    memset(cut, ' ', strlen("headers=\"date\", "));
    T(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", bare), HEADER("Date", date))).allowed);
}

static void refusals(void)
{
    const char *date = date_at(P_NOW), *names = "date host";
    struct slice text = TEXT("date: %s\nhost: api.example.com", date);
    const struct {
        const char *what, *authorization, *reason;
    } rows[] = {
        {"none", "Bearer x", "credentials_missing"},
        {"empty", "hmac", "credentials_malformed"},
        {"no quotes closed", "hmac username=\"bob, algorithm=\"hmac-sha1\"", "credentials_malformed"},
        {"algorithm none", "hmac username=\"bob\", algorithm=\"none\", headers=\"date\", signature=\"eA==\"", "credentials_malformed"},
        {"no algorithm", "hmac username=\"bob\", headers=\"date\", signature=\"eA==\"", "credentials_malformed"},
        {"twice", "hmac username=\"bob\", username=\"ann\", algorithm=\"hmac-sha1\", headers=\"date\", signature=\"eA==\"", "credentials_malformed"},
        {"no headers", "hmac username=\"bob\", algorithm=\"hmac-sha1\", headers=\"\", signature=\"eA==\"", "credentials_malformed"},
        {"header twice", "hmac username=\"bob\", algorithm=\"hmac-sha1\", headers=\"date Date\", signature=\"eA==\"", "credentials_malformed"},
        {"empty signature", "hmac username=\"bob\", algorithm=\"hmac-sha1\", headers=\"date\", signature=\"\"", "credentials_malformed"},
        {"trailing comma", "hmac username=\"bob\", algorithm=\"hmac-sha1\", headers=\"date\", signature=\"eA==\",", "credentials_malformed"},
        {"short signature", "hmac username=\"bob\", algorithm=\"hmac-sha1\", headers=\"date\", signature=\"eA==\"", "credentials_wrong"},
        {"no base64", "hmac username=\"bob\", algorithm=\"hmac-sha1\", headers=\"date\", signature=\"????\"", "credentials_wrong"},
        {"wrong secret", sign("bob", "Secret", 1, names, text), "credentials_wrong"},
        {"empty secret", sign("bob", "", 1, names, text), "credentials_wrong"},
        {"another's secret", sign("bob", "hers", 1, names, text), "credentials_wrong"},
        {"nobody", sign("eve", "secret", 1, names, text), "credentials_wrong"},
        {"absent header", sign("bob", "secret", 1, "date x-no", TEXT("date: %s\nx-no: ", date)), "signed_header_missing"},
        {"date not signed", sign("bob", "secret", 1, "host", S("host: api.example.com")), "not_signed"},
        {"host of another", sign("bob", "secret", 1, names, TEXT("date: %s\nhost: other", date)), "credentials_wrong"},
    };
    T(p_use(POLICY("")));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_verdict v = ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", rows[i].authorization), HEADER("Date", date)));
        T_ROW("%s", rows[i].what);
        T(!v.allowed);
        T_INT(v.status, 401);
        T_TEXT(v.reason, rows[i].reason);
        T_TEXT(p_client(&v, "www-authenticate"), "hmac realm=\"\"");
        T_INT(v.body.n, 0);
    }
    const char *good = sign("bob", "secret", 1, names, text);
    T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", good), HEADER("Date", date), HEADER("Date", date))).reason, "date_skew");
    T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", good))).reason, "date_skew");
    /* a fresh X-Date that was not signed does not refresh an old signature */
    const char *stale = date_at(P_NOW - 3600000);
    const char *old = sign("bob", "secret", 1, "date", TEXT("date: %s", stale));
    T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", old), HEADER("Date", stale), HEADER("X-Date", date))).reason, "not_signed");
}

static void dates(void)
{
    static const struct {
        int64_t off_s;
        bool allowed;
    } rows[] = {{0, true}, {-299, true}, {-300, true}, {-301, false}, {300, true}, {301, false}, {-86400, false}, {86400, false}};
    T(p_use(POLICY("")));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *date = date_at(P_NOW + rows[i].off_s * 1000);
        const char *text = sign("bob", "secret", 1, "date", TEXT("date: %s", date));
        struct policy_verdict v = ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", date)));
        T_ROW("%lld", (long long)rows[i].off_s);
        T(v.allowed == rows[i].allowed);
        if (!rows[i].allowed)
            T_TEXT(v.reason, "date_skew");
    }
    T(p_use(POLICY(", clockSkewSeconds: 10")));
    const char *date = date_at(P_NOW - 11000);
    const char *text = sign("bob", "secret", 1, "date", TEXT("date: %s", date));
    T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", date))).reason, "date_skew");
    static const char *const bad[] = {"now", "2026-11-06T21:20:00Z", "", "Mon, 06 Nov 2026 21:20:00 GMT", "Fri, 6 Nov 2026 21:20:00 GMT"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        text = sign("bob", "secret", 1, "date", TEXT("date: %s", bad[i]));
        T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", text), HEADER("Date", bad[i]))).reason, "date_skew");
    }
}

static void what_a_policy_enforces(void)
{
    const char *date = date_at(P_NOW);
    const char *both = sign("bob", "secret", 1, "date request-line", TEXT("date: %s\nGET / HTTP/1.1", date));
    const char *one = sign("bob", "secret", 1, "date", TEXT("date: %s", date));
    const char *x = sign("bob", "secret", 1, "x-date request-line", TEXT("x-date: %s\nGET / HTTP/1.1", date));
    T(p_use(POLICY(", enforceHeaders: [date, request-line], algorithms: [hmac-sha256]")));
    T(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", both), HEADER("Date", date))).allowed);
    T(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", x), HEADER("X-Date", date))).allowed);
    T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", one), HEADER("Date", date))).reason, "not_signed");
    one = sign("bob", "secret", 0, "date request-line", TEXT("date: %s\nGET / HTTP/1.1", date));
    T_TEXT(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", one), HEADER("Date", date))).reason, "algorithm_refused");
}

static void bodies(void)
{
    const char *date = date_at(P_NOW), *sum = digest("{}");
    const char *with = sign("bob", "secret", 1, "date digest", TEXT("date: %s\ndigest: %s", date, sum));
    const char *without = sign("bob", "secret", 1, "date", TEXT("date: %s", date));
    for (int strict = 0; strict < 2; strict++) {
        T_ROW("strict %d", strict);
        T(p_use(strict ? POLICY(", validateRequestBody: true") : POLICY("")));
        const char *const *h = P_HEADERS(HEADER("Authorization", with), HEADER("Date", date), HEADER("Digest", sum));
        T(ask("POST", "/", "{}", h).allowed);
        struct policy_verdict v = ask("POST", "/", "{}}", h);
        T(!v.allowed && v.status == 401);
        T_TEXT(v.reason, "digest_mismatch");
        /* the gateway sent none, or a part: only a policy that relies on it must know */
        v = ask("POST", "/", NULL, P_HEADERS(HEADER("Authorization", with), HEADER("Date", date), HEADER("Digest", sum), "Content-Length: 2"));
        T(v.allowed == !strict);
        if (strict)
            T_TEXT(v.reason, "body_missing");
        v = ask("POST", "/", "{", P_HEADERS(HEADER("Authorization", with), HEADER("Date", date), HEADER("Digest", sum), "x-envoy-auth-partial-body: true"));
        T(v.allowed == !strict);
        v = ask("POST", "/", NULL, h);
        T(v.allowed == !strict);
        /* no digest signed */
        T(ask("POST", "/", "{}", P_HEADERS(HEADER("Authorization", without), HEADER("Date", date), HEADER("Digest", sum))).allowed == !strict);
        T(ask("POST", "/", "{}", P_HEADERS(HEADER("Authorization", without), HEADER("Date", date))).allowed == !strict);
        T(ask("POST", "/", NULL, P_HEADERS(HEADER("Authorization", without), HEADER("Date", date))).allowed == !strict);
        T(ask("GET", "/", NULL, P_HEADERS(HEADER("Authorization", without), HEADER("Date", date))).allowed);
        T(ask("GET", "/", "{}", P_HEADERS(HEADER("Authorization", without), HEADER("Date", date))).allowed == !strict);
        /* a digest of a weaker kind, or two of ours */
        const char *md5 = sign("bob", "secret", 1, "date digest", TEXT("date: %s\ndigest: MD5=xx", date));
        T_TEXT(ask("POST", "/", "{}", P_HEADERS(HEADER("Authorization", md5), HEADER("Date", date), "Digest: MD5=xx")).reason, "digest_mismatch");
        const char *two = TEXT("%s,%s", sum, sum).p;
        const char *twice = sign("bob", "secret", 1, "date digest", TEXT("date: %s\ndigest: %s", date, two));
        T_TEXT(ask("POST", "/", "{}", P_HEADERS(HEADER("Authorization", twice), HEADER("Date", date), HEADER("Digest", two))).reason, "digest_mismatch");
    }
}

/* A gateway that shows no bodies (nginx): only what cannot mean one passes a policy that relies on them. Its own Host is not
 * the client's. */
static void bodies_that_are_hidden(void)
{
    static const struct {
        const char *method;
        bool digest, allowed;
    } rows[] = {{"GET", false, true}, {"HEAD", false, true}, {"GET", true, false}, {"POST", true, false}, {"POST", false, false}, {"DELETE", false, false}};
    const char *date = date_at(P_NOW), *none = digest("");
    const char *with = sign("bob", "secret", 1, "date host digest", TEXT("date: %s\nhost: api.example.com\ndigest: %s", date, none));
    const char *without = sign("bob", "secret", 1, "date host", TEXT("date: %s\nhost: api.example.com", date));
    T(p_use(POLICY(", validateRequestBody: true")));
    hidden = true;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_verdict v = ask(rows[i].method, "/", NULL, P_HEADERS(HEADER("Authorization", rows[i].digest ? with : without), HEADER("Date", date),
                                                                          "Host: postern", rows[i].digest ? HEADER("Digest", none) : "x: y"));
        T_ROW("%s %d", rows[i].method, rows[i].digest);
        T_TEXT(v.reason, rows[i].allowed ? "ok" : "body_missing");
        T_INT(v.status, rows[i].allowed ? 200 : 403);
    }
    hidden = false;
}

static void files_with_faults(void)
{
    static const struct {
        const char *step, *text;
    } rows[] = {
        {"{hmacAuth: {}}", "required field"},
        {"{hmacAuth: {secretRefs: {}}}", "required field"},
        {"{hmacAuth: {secretRefs: {secretRefs: []}}}", "at least one"},
        {"{hmacAuth: {secretRefs: {secretRefs: [{name: nobody}]}}}", "no Secret"},
        {"{hmacAuth: {secretRefs: {secretRefs: [{name: empty}]}}}", "expected username and password"},
        {"{hmacAuth: {secretRefs: {secretRefs: [{name: bob}, {name: bob2}]}}}", "two Secrets"},
        {"{hmacAuth: {secretRefs: {secretRefs: [{name: bob}]}, algorithms: [hmac-md5]}}", "is none of"},
        {"{hmacAuth: {secretRefs: {secretRefs: [{name: bob}]}, enforceHeaders: ['a b']}}", "no header name"},
        {"{hmacAuth: {secretRefs: {secretRefs: [{name: bob}]}, clockSkewSeconds: 0}}", "from 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *files[] = {"t.yaml", TEXT(SECRETS
            "apiVersion: v1\nkind: Secret\nmetadata: {name: empty}\nstringData: {username: x}\n---\n"
            "apiVersion: v1\nkind: Secret\nmetadata: {name: bob2}\nstringData: {username: BOB, password: x}\n---\n"
            "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: h}\nspec: {config: {glooAuth: {configs: [%s]}}}\n",
            rows[i].step).p, NULL};
        T_ROW("%s", rows[i].step);
        struct policy_set *s = p_load_files(files);
        T(s == NULL);
        policy_set_drop(s);
        T(p_fault("", rows[i].text) != NULL);
    }
}

int main(void)
{
    p_init();
    T_RUN(kongs_example);
    T_RUN(every_algorithm_and_place);
    T_RUN(refusals);
    T_RUN(dates);
    T_RUN(what_a_policy_enforces);
    T_RUN(bodies);
    T_RUN(bodies_that_are_hidden);
    T_RUN(files_with_faults);
    p_done();
    return t_done();
}
