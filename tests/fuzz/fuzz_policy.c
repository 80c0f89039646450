/*
 * fuzz_policy.c - any bytes as a policy file: loading must end in a set or in faults, never in a crash;
 * a set that loads must answer questions, and deny when nothing allows.
 *
 * Seeds: tests/fuzz/seeds/fuzz_policy.
 */
#include "base/log.h"
#include "policy/inside.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
    struct store *store;
    struct keyrec_scheme scheme;
} fuzz_policy;

static void fuzz_policy_init(void)
{
    struct store_opts o = {.engine = STORE_MEMORY};
    struct err e;
    log_init(LOG_SILENT, false);
    hash_seed_init();
    hmac_key_init(&fuzz_policy.scheme.hmac, S("secret"));
    MUST(store_open(&o, &fuzz_policy.store, &e) == RC_OK);
}

static void fuzz_policy_ask(struct policy_ctx *c, const char *method, const char *host, const char *target)
{
    static const struct http_header headers[] = {{SLIT("api-key"), SLIT("k")}, {SLIT("X-Org"), SLIT("solo.io")}};
    struct policy_ask q = {.method = slice_str(method), .host = slice_str(host), .target = slice_str(target),
                           .headers = headers, .headers_n = 2, .now_ms = 1794000000000, .trace = true};
    struct policy_verdict v;
    struct buf b;
    MUST(policy_decide(c, &q, &v, NULL, NULL) == RC_OK);
    MUST(v.allowed ? v.status == 200 : v.status >= 300 && v.status < 500);
    MUST(v.reason.n > 0 && strlen(v.id) == 16);
    buf_init(&b, 0);
    policy_verdict_json(&v, true, &b);
    buf_free(&b);
}

static void fuzz_policy_use(struct policy_set *s)
{
    struct policy_ctx_opts o = {.store = fuzz_policy.store, .scheme = &fuzz_policy.scheme, .lua_instructions = 20000};
    struct policy_ctx *c;
    o.box = policy_box_open(s);
    c = policy_ctx_open(&o);
    policy_begin(c, 1794000000000);
    fuzz_policy_ask(c, "GET", "a.example.com", "/get?x=1");
    fuzz_policy_ask(c, "POST", "", "/v1/stations");
    fuzz_policy_ask(c, "GET", "harbour.example.com", "/v1/stations");
    policy_ctx_close(c);
    policy_box_close(o.box);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct policy_opts opts;
    struct policy_faults faults;
    struct policy_set *s = NULL;
    struct load l;
    if (!fuzz_policy.store)
        fuzz_policy_init();
    policy_faults_init(&faults);
    load_begin(&l, &opts, &faults);
    load_text(&l, S("fuzz.yaml"), slice_of((const char *)data, size));
    enum rc rc = load_finish(&l, &s);
    MUST((rc == RC_OK) == (s != NULL) && (rc == RC_OK) == (faults.errors == 0));
    if (s)
        fuzz_policy_use(s);
    policy_faults_free(&faults);
    return 0;
}
