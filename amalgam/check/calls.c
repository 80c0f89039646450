/*
 * calls.c - the endpoints that speak JSON: POST /v1/decide, POST /json; and GET /healthz.
 *
 * /v1/decide takes the request of `postern eval` and gives its answer; trouble is 503, never an allow.
 * /json is the HTTP form of Envoy's rate-limit service (proto3 JSON of RateLimitRequest, both
 * spellings): 200 OK, 429 over limit, 400 for everything that is wrong; zero values are left out, as
 * proto3 JSON does. Tested by tests/unit/check/ and tests/box/test_serve.py.
 */
#include "check/inner.h"

#define CALLS_DESCRIPTORS_MAX 256
#define CALLS_ENTRIES_MAX 32 /* as limit.c looks at */

void calls_health(const struct check_req *r)
{
    answer_text(r->k, 200, S("ok\n"));
}

void calls_grpc(const struct check_req *r)
{
    r->k->keep_alive = false;
    answer_refuse(r->k, 505, "http2_expected", "gRPC is spoken over HTTP/2, on this same port.\n");
}

/* ---- /v1/decide ---- */

static void calls_trouble(struct check_conn *k, int status, const struct err *e)
{
    struct jsonw w;
    buf_clear(&k->t->json);
    jsonw_init(&w, &k->t->json);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("error"), slice_str(e->text));
    if (e->place[0])
        jsonw_kstr(&w, S("place"), slice_str(e->place));
    jsonw_end_obj(&w);
    answer_json(k, status, buf_all(&k->t->json));
}

void calls_decide(const struct check_req *r)
{
    struct check_conn *k = r->k;
    struct arena *a = policy_arena(k->t->policy);
    struct err e = {0};
    struct json *j;
    struct policy_ask q = {0};
    enum rc rc = json_parse(a, r->body, k->t->opts.body_bytes_max, &j, &e);
    if (rc == RC_OK)
        rc = policy_ask_from_json(a, j, &q, &e);
    if (rc != RC_OK) {
        answer_count(k->row, false, 400);
        calls_trouble(k, 400, &e);
        return;
    }
    struct slice wanted = S("");
    q.trace = url_query_get(a, r->query, S("trace"), &wanted) && !slice_eq(wanted, S("0"));
    q.now_ms = reactor_now_ms(conn_reactor(k->c));
    q.gateway = conn_peer(k->c)->cert_name;
    k->trace = q.trace;
    door_decide(k, &q);
}

/* Trouble of our own is 503: not a decision that an application could take for one. */
void calls_decided(struct check_conn *k, const struct policy_verdict *v)
{
    struct err e = {0};
    if (v->status == 503) {
        (void)err_set(&e, RC_BUSY, "no decision could be made: %.*s", SFMT(v->words));
        answer_count(k->row, false, 503);
        calls_trouble(k, 503, &e);
        return;
    }
    answer_count(k->row, v->allowed, v->status);
    buf_clear(&k->t->json);
    policy_verdict_json(v, k->trace, &k->t->json);
    answer_json(k, 200, buf_all(&k->t->json));
}

/* ---- /json ---- */

/* A member by its camelCase or its original name. */
static const struct json *calls_member(const struct json *o, struct slice camel, struct slice snake)
{
    const struct json *v = json_get(o, camel);
    return v ? v : json_get(o, snake);
}

/* Numbers may be strings (64-bit ones are, in proto3 JSON). */
static bool calls_number(const struct json *v, uint64_t max, uint64_t *out)
{
    if (v->kind == JSON_INT && v->i >= 0)
        *out = (uint64_t)v->i;
    else if (v->kind == JSON_UINT)
        *out = v->u;
    else if (v->kind != JSON_STR || !slice_u64(v->s, out))
        return false;
    return *out <= max;
}

static bool calls_unit(const struct json *v, enum limit_unit *out)
{
    static const struct slice names[] = {SLIT("UNKNOWN"), SLIT("SECOND"), SLIT("MINUTE"), SLIT("HOUR"),
                                         SLIT("DAY"), SLIT("MONTH"), SLIT("YEAR"), SLIT("WEEK")};
    static const enum limit_unit units[] = {UNIT_UNKNOWN, UNIT_SECOND, UNIT_MINUTE, UNIT_HOUR,
                                            UNIT_DAY, UNIT_MONTH, UNIT_YEAR, UNIT_WEEK};
    uint64_t n = 0;
    for (size_t i = 0; v && i < ARRAY_LEN(names); i++)
        if (v->kind == JSON_STR ? slice_eq(v->s, names[i]) : calls_number(v, 7, &n) && n == i) {
            *out = units[i];
            return true;
        }
    return false;
}

static enum rc calls_override(const struct json *limit, struct limit_descriptor *d, size_t at, struct err *e)
{
    uint64_t n = 0;
    const struct json *requests = calls_member(limit, S("requestsPerUnit"), S("requests_per_unit"));
    if (requests && !calls_number(requests, UINT32_MAX, &n))
        return err_set(e, RC_BADINPUT, "descriptors[%zu].limit.requestsPerUnit: a number up to 4294967295 was expected", at);
    if (!calls_unit(json_get(limit, S("unit")), &d->override_unit) || d->override_unit == UNIT_UNKNOWN)
        return err_set(e, RC_BADINPUT, "descriptors[%zu].limit.unit: SECOND, MINUTE, HOUR, DAY, WEEK, MONTH or YEAR was expected", at);
    d->has_override = true;
    d->override_requests = (uint32_t)n;
    return RC_OK;
}

static enum rc calls_entries(struct arena *a, const struct json *list, struct limit_descriptor *d, size_t at,
                             struct err *e)
{
    if (!list || list->kind != JSON_ARR || list->n == 0 || list->n > CALLS_ENTRIES_MAX)
        return err_set(e, RC_BADINPUT, "descriptors[%zu].entries: 1 to %d entries were expected", at, CALLS_ENTRIES_MAX);
    d->entries = ARENA_ARRAY(a, struct limit_entry, list->n);
    d->n = list->n;
    for (uint32_t i = 0; i < list->n; i++) {
        d->entries[i] = (struct limit_entry){json_str(&list->items[i], S("key")), json_str(&list->items[i], S("value"))};
        if (d->entries[i].key.n == 0)
            return err_set(e, RC_BADINPUT, "descriptors[%zu].entries[%u].key: text was expected", at, i);
    }
    return RC_OK;
}

static enum rc calls_descriptor(struct arena *a, const struct json *j, struct limit_descriptor *d, size_t at,
                                struct err *e)
{
    const struct json *hits = calls_member(j, S("hitsAddend"), S("hits_addend"));
    const struct json *limit = json_get(j, S("limit"));
    enum rc rc = calls_entries(a, json_get(j, S("entries")), d, at, e);
    if (rc == RC_OK && limit && limit->kind == JSON_OBJ)
        rc = calls_override(limit, d, at, e);
    if (rc == RC_OK && hits && hits->kind != JSON_NULL) {
        d->has_hits = true;
        if (!calls_number(hits, UINT32_MAX, &d->hits))
            return err_set(e, RC_BADINPUT, "descriptors[%zu].hitsAddend: a number was expected", at);
    }
    return rc;
}

static enum rc calls_read(struct arena *a, const struct json *j, struct slice *domain, struct limit_descriptor **d,
                          size_t *n, uint32_t *hits, struct err *e)
{
    uint64_t addend = 0;
    const struct json *list = json_get(j, S("descriptors"));
    const struct json *sum = calls_member(j, S("hitsAddend"), S("hits_addend"));
    *domain = json_str(j, S("domain"));
    if (domain->n == 0)
        return err_set(e, RC_BADINPUT, "domain: text was expected");
    if (!list || list->kind != JSON_ARR || list->n == 0 || list->n > CALLS_DESCRIPTORS_MAX)
        return err_set(e, RC_BADINPUT, "descriptors: 1 to %d descriptors were expected", CALLS_DESCRIPTORS_MAX);
    if (sum && !calls_number(sum, UINT32_MAX, &addend))
        return err_set(e, RC_BADINPUT, "hitsAddend: a number up to 4294967295 was expected");
    *hits = addend ? (uint32_t)addend : 1;
    *n = list->n;
    *d = ARENA_ARRAY(a, struct limit_descriptor, list->n);
    enum rc rc = RC_OK;
    for (uint32_t i = 0; i < list->n && rc == RC_OK; i++)
        rc = calls_descriptor(a, &list->items[i], &(*d)[i], i, e);
    return rc;
}

static void calls_status_json(struct jsonw *w, struct arena *a, const struct policy_limit *l)
{
    jsonw_obj(w);
    jsonw_kstr(w, S("code"), l->over ? S("OVER_LIMIT") : S("OK"));
    if (l->unit != UNIT_UNKNOWN) {
        jsonw_key(w, S("currentLimit"));
        jsonw_obj(w);
        if (l->limit)
            jsonw_ki64(w, S("requestsPerUnit"), l->limit);
        jsonw_kstr(w, S("unit"), slice_str(limit_unit_name(l->unit)));
        jsonw_end_obj(w);
        jsonw_kstr(w, S("durationUntilReset"), arena_fmt(a, "%llds", (long long)l->reset_s));
    }
    if (l->remaining)
        jsonw_ki64(w, S("limitRemaining"), l->remaining);
    jsonw_end_obj(w);
}

void calls_ratelimit(const struct check_req *r)
{
    struct check_conn *k = r->k;
    struct arena *a = policy_arena(k->t->policy);
    struct err e = {0};
    struct json *j;
    struct slice domain;
    struct limit_descriptor *d = NULL;
    struct policy_limit *limits = NULL;
    size_t n = 0;
    uint32_t hits = 1;
    bool over = false;
    enum rc rc = json_parse(a, r->body, k->t->opts.body_bytes_max, &j, &e);
    if (rc == RC_OK)
        rc = calls_read(a, j, &domain, &d, &n, &hits, &e);
    if (rc == RC_OK) {
        limits = ARENA_ARRAY(a, struct policy_limit, n);
        rc = policy_limit_decide(k->t->policy, domain, d, n, hits, reactor_now_ms(conn_reactor(k->c)), limits, &over, &e);
    }
    answer_count(k->row, rc == RC_OK && !over, rc == RC_OK ? 429 : 400);
    if (rc != RC_OK) {
        answer_text(k, 400, arena_fmt(a, "%s\n", e.text));
        return;
    }
    struct jsonw w;
    buf_clear(&k->t->json);
    jsonw_init(&w, &k->t->json);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("overallCode"), over ? S("OVER_LIMIT") : S("OK"));
    jsonw_key(&w, S("statuses"));
    jsonw_arr(&w);
    for (size_t i = 0; i < n; i++)
        calls_status_json(&w, a, &limits[i]);
    jsonw_end_arr(&w);
    jsonw_end_obj(&w);
    answer_json(k, over ? 429 : 200, buf_all(&k->t->json));
}
#undef CALLS_DESCRIPTORS_MAX
#undef CALLS_ENTRIES_MAX
