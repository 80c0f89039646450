/*
 * grpc_limit.c - envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit.
 *
 * The same question as POST /json (calls.c), in protobuf. Envoy lets a request pass whose overall code is
 * UNKNOWN, so the answer is OK, OVER_LIMIT, or a gRPC error; never UNKNOWN. Descriptors' statuses come in
 * the order of the descriptors; one that no limit matched is OK without current_limit. On OVER_LIMIT
 * the client is told when to come back (Retry-After).
 * Field numbers: envoy/service/ratelimit/v3/rls.proto. Threads: the reactor's.
 * Tested by tests/unit/check/test_grpc.c, tests/fuzz/fuzz_grpc.c, tests/box/test_envoy_grpc.py.
 */
#include "check/grpc.h"

enum { RLS_DESCRIPTORS_MAX = 256, RLS_ENTRIES_MAX = 32 };

struct rls_in {
    struct arena *a;
    struct slice domain;
    struct limit_descriptor *rows;
    size_t n;
    uint32_t hits;
    bool malformed, bad_text;
    const char *wrong; /* what a sound message says that it must not */
};

/* Units by their number on the wire; WEEK came last. */
static const enum limit_unit rls_units[] = {UNIT_UNKNOWN, UNIT_SECOND, UNIT_MINUTE, UNIT_HOUR,
                                              UNIT_DAY, UNIT_MONTH, UNIT_YEAR, UNIT_WEEK};

static uint32_t rls_unit_number(enum limit_unit u)
{
    for (uint32_t i = 0; i < ARRAY_LEN(rls_units); i++)
        if (rls_units[i] == u)
            return i;
    return 0;
}

static void rls_wrong(struct rls_in *x, const char *text)
{
    if (!x->wrong)
        x->wrong = text;
}

/* How many fields of that number a message has. */
static size_t rls_count(struct rls_in *x, struct slice m, uint32_t number)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    size_t n = 0;
    while (pb_next(&r, &f))
        n += f.number == number && f.type == PB_BYTES;
    x->malformed |= !pb_ok(&r);
    return n;
}

static void rls_entry(struct rls_in *x, struct slice m, struct limit_entry *out)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    out->key = out->value = S("");
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            (void)pb_take_text(&f, &out->key, &x->bad_text);
        else if (f.number == 2)
            (void)pb_take_text(&f, &out->value, &x->bad_text);
    }
    x->malformed |= !pb_ok(&r);
    if (out->key.n == 0)
        rls_wrong(x, "an entry has no key");
}

static void rls_override(struct rls_in *x, struct slice m, struct limit_descriptor *d)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    uint64_t unit = 0;
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            (void)pb_take_u32(&f, &d->override_requests);
        else if (f.number == 2)
            (void)pb_take_u64(&f, &unit);
    }
    x->malformed |= !pb_ok(&r);
    d->has_override = true;
    d->override_unit = unit < ARRAY_LEN(rls_units) ? rls_units[unit] : UNIT_UNKNOWN;
    if (d->override_unit == UNIT_UNKNOWN)
        rls_wrong(x, "the unit of a limit is not known");
}

/* UInt64Value; 0 means: look, do not count. */
static void rls_hits(struct rls_in *x, struct slice m, struct limit_descriptor *d)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == 1)
            (void)pb_take_u64(&f, &d->hits);
    x->malformed |= !pb_ok(&r);
    d->has_hits = true;
    if (d->hits > UINT32_MAX)
        rls_wrong(x, "hits_addend of a descriptor is beyond 4294967295");
}

static void rls_descriptor(struct rls_in *x, struct slice m, struct limit_descriptor *d)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    size_t n = rls_count(x, m, 1);
    if (n == 0 || n > RLS_ENTRIES_MAX) {
        rls_wrong(x, "a descriptor has 1 to 32 entries");
        return;
    }
    d->entries = ARENA_ARRAY(x->a, struct limit_entry, n);
    while (pb_next(&r, &f)) {
        if (f.type != PB_BYTES)
            continue;
        if (f.number == 1)
            rls_entry(x, f.bytes, &d->entries[d->n++]);
        else if (f.number == 2)
            rls_override(x, f.bytes, d);
        else if (f.number == 3)
            rls_hits(x, f.bytes, d);
    }
}

static void rls_read(struct rls_in *x, struct slice m)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    size_t n = rls_count(x, m, 2);
    if (n == 0 || n > RLS_DESCRIPTORS_MAX) {
        rls_wrong(x, "a request has 1 to 256 descriptors");
        return;
    }
    x->rows = ARENA_ARRAY(x->a, struct limit_descriptor, n);
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            (void)pb_take_text(&f, &x->domain, &x->bad_text);
        else if (f.number == 2 && f.type == PB_BYTES)
            rls_descriptor(x, f.bytes, &x->rows[x->n++]);
        else if (f.number == 3)
            (void)pb_take_u32(&f, &x->hits);
    }
    if (x->domain.n == 0)
        rls_wrong(x, "the domain is empty");
}

/* ---- the answer ---- */

static void rls_status(struct buf *b, const struct policy_limit *l)
{
    size_t status = pb_begin(b, 2);
    pb_put_u64(b, 1, l->over ? 2 : 1);
    if (l->unit != UNIT_UNKNOWN) {
        size_t limit = pb_begin(b, 2);
        if (l->limit)
            pb_put_u64(b, 1, l->limit);
        pb_put_u64(b, 2, rls_unit_number(l->unit));
        pb_end(b, limit);
    }
    if (l->remaining)
        pb_put_u64(b, 3, l->remaining);
    if (l->unit != UNIT_UNKNOWN) {
        size_t reset = pb_begin(b, 4);
        if (l->reset_s > 0)
            pb_put_u64(b, 1, (uint64_t)l->reset_s);
        pb_end(b, reset);
    }
    pb_end(b, status);
}

static void rls_retry(struct buf *b, const struct policy_limit *limits, size_t n)
{
    char text[24];
    int64_t wait = 1;
    for (size_t i = 0; i < n; i++)
        if (limits[i].over)
            wait = MAX(wait, limits[i].reset_s);
    size_t header = pb_begin(b, 3);
    pb_put_text(b, 1, S("retry-after"));
    pb_put_text(b, 2, slice_of(text, fmt_i64(text, wait)));
    pb_end(b, header);
}

static void rls_answer(const struct grpc_call *k, const struct policy_limit *limits, size_t n, bool over)
{
    size_t mark;
    struct buf *b = grpc_reply(k, &mark);
    pb_put_u64(b, 1, over ? 2 : 1);
    for (size_t i = 0; i < n; i++)
        rls_status(b, &limits[i]);
    if (over)
        rls_retry(b, limits, n);
    grpc_reply_end(k, mark);
}

void grpc_limit_should(const struct grpc_call *k)
{
    struct policy_ctx *c = k->g->t->policy;
    struct rls_in x = {.a = policy_arena(c), .domain = S("")};
    struct err e = {0};
    bool over = false;
    rls_read(&x, k->message);
    if (x.malformed || x.bad_text)
        x.wrong = x.malformed ? "this is no RateLimitRequest" : "a text is not UTF-8";
    enum rc rc = x.wrong ? err_set(&e, RC_BADINPUT, "%s", x.wrong) : RC_OK;
    struct policy_limit *limits = ARENA_ARRAY(x.a, struct policy_limit, x.n + 1);
    if (rc == RC_OK)
        rc = policy_limit_decide(c, x.domain, x.rows, x.n, x.hits ? x.hits : 1,
                                 reactor_now_ms(conn_reactor(k->g->c)), limits, &over, &e);
    answer_count(dialect_at(DIALECT_GRPC_LIMIT), rc == RC_OK && !over, rc == RC_OK ? 429 : 400);
    if (rc == RC_OK)
        rls_answer(k, limits, x.n, over);
    else
        grpc_fail(k->s, (enum grpc_code)rc_row(rc)->grpc, slice_str(e.text));
}
