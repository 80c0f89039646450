/*
 * fuzz_pass_grpc.c - any bytes as the CheckResponse of a server that passThroughAuth asks by gRPC.
 *
 * A request passes only when the answer, read once more and differently here, says so: no denied_response, no
 * error, no code but 0, and a status or an ok_response. What goes on is what can be sent: names and values of
 * headers, statuses of denials; the rest of the chain and its identity headers are as without the answer.
 */
#include "base/log.h"
#include "policy/inside.h"
#include "policy/step_pass.h"
#include "wire/protobuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fuzz_policies[] =
    "apiVersion: security.policy.gloo.solo.io/v2\nkind: ExtAuthPolicy\nmetadata: {name: p}\nspec:\n"
    "  config: {glooAuth: {configs: [{luaAuth: {headers: [x-user], inline: 'return function() end'}}]}}\n";

static struct {
    struct policy_ctx *policy;
    struct slice message;
    enum step_said said;
} fuzz;

static enum step_said fuzz_run(struct decision *d, const struct step *s)
{
    return fuzz.said = pass_grpc_answered(d, s, fuzz.message);
}

static void fuzz_open(void)
{
    static struct step_row row = {.name = "probe", .run = fuzz_run};
    static struct keyrec_scheme scheme;
    struct store_opts so = {.engine = STORE_MEMORY};
    struct policy_ctx_opts po = {.scheme = &scheme};
    struct policy_opts none = {0};
    struct policy_faults faults;
    struct policy_set *s = NULL;
    struct load l;
    struct err e;
    log_init(LOG_SILENT, false);
    hash_seed_init();
    hmac_key_init(&scheme.hmac, S("k"));
    MUST(store_open(&so, &po.store, &e) == RC_OK);
    policy_faults_init(&faults);
    load_begin(&l, &none, &faults);
    load_text(&l, S("f.yaml"), slice_str(fuzz_policies));
    MUST(load_finish(&l, &s) == RC_OK);
    policy_faults_free(&faults);
    for (size_t i = 0; i < s->routes_n; i++) {
        struct auth_policy *a = s->routes[i]->items[0].policy;
        a->steps[0].row = &row;
    }
    po.box = policy_box_open(s);
    fuzz.policy = policy_ctx_open(&po);
}

/* Does the message say that the request may pass? As Envoy reads it, but that nothing is no yes. */
static bool fuzz_says_yes(struct slice m)
{
    struct pb r = pb_open(m), status;
    struct pb_field f, part;
    bool said = false, no = false;
    while (pb_next(&r, &f)) {
        no |= f.type == PB_BYTES && (f.number == 2 || f.number == 5);
        said |= f.type == PB_BYTES && (f.number == 1 || f.number == 3);
        if (f.number != 1 || f.type != PB_BYTES)
            continue;
        uint64_t code = 0; /* of a field that comes several times the last counts */
        for (status = pb_open(f.bytes); pb_next(&status, &part);)
            if (part.number == 1 && part.type == PB_VARINT)
                code = part.n;
        no |= !pb_ok(&status) || code != 0;
    }
    return pb_ok(&r) && said && !no;
}

static void fuzz_headers(const struct policy_header *h, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        MUST(header_can_be_set(h[i].name));
        MUST(http_value_ok(h[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct policy_ask q = {.method = S("GET"), .host = S("h.example"), .target = S("/"), .scheme = S("https")};
    struct policy_verdict v;
    if (!fuzz.policy)
        fuzz_open();
    fuzz.message = slice_of((const char *)data, size);
    fuzz.said = STEP_TROUBLE;
    policy_begin(fuzz.policy, 1000);
    q.now_ms = 1000;
    MUST(policy_decide(fuzz.policy, &q, &v, NULL, NULL) == RC_OK);
    MUST(v.allowed == (fuzz.said == STEP_PASS));
    if (v.allowed)
        MUST(fuzz_says_yes(fuzz.message));
    else
        MUST(v.status >= 300 && v.status < 500);
    fuzz_headers(v.client, v.client_n);
    if (v.allowed)
        fuzz_headers(v.upstream, v.upstream_n);
    return 0;
}
