/*
 * fuzz_grpc.c - any bytes as CheckRequest, RateLimitRequest, health or reflection request, and as the frames
 * of an HTTP/2 connection, through the whole door on a connection that has no socket behind it.
 *
 * The first byte says which. Whatever the message, the answer is a sound gRPC answer, and an allow comes
 * only when the question is one that the policy allows: its one route is /open.
 */
#include "base/log.h"
#include "base/mem.h"
#include "check/grpc.h"
#include "net/inside.h"
#include "policy/inside.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char fuzz_policies[] =
    "apiVersion: networking.gloo.solo.io/v2\nkind: RouteTable\nmetadata: {name: r}\nspec:\n"
    "  hosts: ['*']\n  http: [{name: open, matchers: [{uri: {prefix: /open}}]}]\n"
    "---\n"
    "domain: d\ndescriptors:\n- {key: k, rate_limit: {unit: year, requests_per_unit: 2}}\n";

static struct {
    struct reactor *r;
    struct policy_ctx *policy;
    struct check_thread *t;
} fuzz;

static void fuzz_open(void)
{
    static struct keyrec_scheme scheme;
    struct store_opts so = {.engine = STORE_MEMORY};
    struct check_opts o = {.body_bytes_max = 4096, .head_ms = 1000, .http = *http_limits_default(), .streams_max = 20,
                           .ratelimit_headers = true};
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
    po.box = policy_box_open(s);
    MUST(reactor_open(0, &fuzz.r, &e) == RC_OK);
    fuzz.policy = policy_ctx_open(&po);
    fuzz.t = check_thread_open(&o, fuzz.policy, po.store);
}

/* A connection whose output is looked at and never sent. */
static void fuzz_conn(struct conn *c)
{
    *c = (struct conn){.source = NET_SOURCE_CONN, .r = fuzz.r, .fd = -1};
    buf_init(&c->in, 1 << 20);
    buf_init(&c->out, 0);
    buf_init(&c->wire, 0);
    c->out.p = mem_alloc(c->out.cap = 4096);
    c->dirty = true; /* so that it is put into no list */
    c->closing = true;
}

static void fuzz_end(struct conn *c)
{
    c->proto->close(c, c->state);
    buf_free(&c->out);
}

static void fuzz_frame(struct buf *b, uint8_t type, uint8_t flags, uint32_t stream, struct slice payload)
{
    const char head[9] = {(char)(payload.n >> 16), (char)(payload.n >> 8), (char)payload.n, (char)type, (char)flags,
                          0, 0, 0, (char)stream};
    buf_put(b, head, 9);
    buf_slice(b, payload);
}

static void fuzz_field(struct buf *b, struct slice name, struct slice value)
{
    buf_byte(b, 0);
    buf_byte(b, (char)name.n);
    buf_slice(b, name);
    buf_byte(b, (char)value.n);
    buf_slice(b, value);
}

static void fuzz_start(struct buf *b, struct slice path)
{
    struct buf block;
    buf_init(&block, 0);
    fuzz_field(&block, S(":method"), S("POST"));
    fuzz_field(&block, S(":scheme"), S("http"));
    fuzz_field(&block, S(":authority"), S("p"));
    fuzz_field(&block, S(":path"), path);
    fuzz_field(&block, S("content-type"), S("application/grpc"));
    buf_slice(b, S(H2_PREFACE));
    fuzz_frame(b, 4, 0, 0, S(""));
    if (path.n)
        fuzz_frame(b, 1, 4, 1, buf_all(&block));
    buf_free(&block);
}

/* The DATA of the answer, and whether grpc-status 0 can have been said: it is long when there is a body. */
static struct slice fuzz_answer(struct slice in, struct buf *to)
{
    while (in.n >= 9) {
        size_t n = (size_t)(uint8_t)in.p[0] << 16 | (size_t)(uint8_t)in.p[1] << 8 | (uint8_t)in.p[2];
        MUST(in.n >= 9 + n);
        if (in.p[3] == 0)
            buf_put(to, in.p + 9, n);
        in = slice_from(in, 9 + n);
    }
    MUST(in.n == 0);
    return buf_all(to);
}

static bool fuzz_field_of(struct slice m, uint32_t number, struct pb_field *out)
{
    struct pb r = pb_open(m);
    bool found = false;
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == number) {
            found = true;
            *out = f;
        }
    MUST(pb_ok(&r));
    return found;
}

/* CheckResponse: a status always; denied with a code, or allowed for /open. */
static void fuzz_check_answer(struct slice m, struct slice asked)
{
    struct pb_field status, code, part;
    MUST(fuzz_field_of(m, 1, &status) && status.type == PB_BYTES);
    bool denied = fuzz_field_of(status.bytes, 1, &code) && code.n != 0;
    MUST(fuzz_field_of(m, 2, &part) == denied);
    MUST(fuzz_field_of(m, 3, &part) == !denied);
    MUST(denied || slice_find(asked, S("/open")) != SIZE_MAX);
}

static void fuzz_call(struct slice path, struct slice message, void (*look)(struct slice m, struct slice asked))
{
    struct conn c;
    struct buf in, body, answer;
    buf_init(&in, 0);
    buf_init(&body, 0);
    buf_init(&answer, 0);
    fuzz_conn(&c);
    const char prefix[5] = {0, 0, (char)(message.n >> 16), (char)(message.n >> 8), (char)message.n};
    buf_put(&body, prefix, 5);
    buf_slice(&body, message);
    fuzz_start(&in, path);
    fuzz_frame(&in, 0, 1, 1, buf_all(&body));
    MUST(grpc_start(fuzz.t, &c, true, buf_all(&in)) == in.n);
    struct slice all = fuzz_answer(buf_unread(&c.out), &answer);
    MUST(all.n == 0 || all.n >= 5);
    MUST(all.n || message.n || !look); /* an empty CheckRequest is one: the calls do get through */
    if (all.n && look)
        look(slice_from(all, 5), message);
    fuzz_end(&c);
    buf_free(&in);
    buf_free(&body);
    buf_free(&answer);
}

/* Raw frames after the preface, in pieces. */
static void fuzz_frames(struct slice bytes, size_t piece, bool open)
{
    struct conn c;
    struct buf in, ignored;
    buf_init(&in, 0);
    buf_init(&ignored, 0);
    fuzz_conn(&c);
    fuzz_start(&in, open ? S("/grpc.health.v1.Health/Check") : S(""));
    (void)grpc_start(fuzz.t, &c, true, buf_all(&in));
    for (size_t at = 0; at < bytes.n; at += piece)
        (void)c.proto->data(&c, c.state, slice_sub(bytes, at, piece));
    (void)fuzz_answer(buf_unread(&c.out), &ignored);
    fuzz_end(&c);
    buf_free(&in);
    buf_free(&ignored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!fuzz.r)
        fuzz_open();
    if (size < 1 || size > 16000)
        return 0;
    struct slice rest = slice_of((const char *)data + 1, size - 1);
    switch (data[0] & 7) {
    case 0:
    case 1:
    case 2:
        fuzz_call(S("/envoy.service.auth.v3.Authorization/Check"), rest, fuzz_check_answer);
        break;
    case 3:
        fuzz_call(S("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"), rest, NULL);
        break;
    case 4:
        fuzz_call(S("/grpc.health.v1.Health/Check"), rest, NULL);
        break;
    case 5:
        fuzz_call(S("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"), rest, NULL);
        break;
    default:
        fuzz_frames(rest, (size_t)(data[0] >> 3) + 1, data[0] & 1);
        break;
    }
    return 0;
}
