/*
 * step_opa.c - opaServerAuth: a rule of an Open Policy Agent beside Postern says who may pass.
 *
 * One POST to /v1/data/<package>/<ruleName> with the input that Gloo gives (check_request, http_request,
 * state). The result is a boolean, a list whose first item is one, or an object in the manner of opa-envoy
 * (allow, http_status, headers, response_headers_to_add, request_headers_to_remove, body,
 * dynamic_metadata). No result is a refusal; no answer, another status than 200, or a result of another
 * form is trouble. Headers that the rule may set for the upstream are named in `headers`, so that a
 * client's copies are removed when it does not. Threads: the context's.
 * Tested by tests/unit/policy/test_callout.c; manual: docs/step-opa.md.
 */
#include "policy/callout.h"

enum {
    STEP_OPA_REPLY_MAX = 1 << 20,
    STEP_OPA_INPUT_MAX = 4 << 20,
    STEP_OPA_HEADERS_MAX = 64,
    STEP_OPA_BODY_MAX = 64 << 10,
    STEP_OPA_TIMEOUT_MS = 5000
};

struct step_opa_options {
    bool reason;
};
struct step_opa_doc {
    const struct yaml *self;
    struct slice package, rule, addr, timeout;
    struct step_opa_options *options;
    struct field_strs headers;
};
struct opa_step {
    struct fetch_url url;
    int64_t timeout_ms;
    bool reason;
};
/* clang-format off */
static const struct field_row step_opa_options_rows[] = {
    {"returnDecisionReason", FIELD_BOOL, offsetof(struct step_opa_options, reason), 0, 0, 0, NULL, NULL, "the second item of a list is the body of the refusal"},
    {"fastInputConversion", FIELD_QUIET, 0, 0, 0, 0, NULL, NULL, "read; the input is always made directly"},
};
static const struct field_table step_opa_options = {sizeof(struct step_opa_options), step_opa_options_rows, ARRAY_LEN(step_opa_options_rows)};
static const struct field_row step_opa_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct step_opa_doc, self), 0, 0, 0, NULL, NULL, ""},
    {"package", FIELD_STR, offsetof(struct step_opa_doc, package), FIELD_REQUIRED, 0, 0, NULL, NULL, "package of the rule"},
    {"ruleName", FIELD_STR, offsetof(struct step_opa_doc, rule), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the rule; slashes go deeper"},
    {"serverAddr", FIELD_STR, offsetof(struct step_opa_doc, addr), 0, 0, 0, NULL, NULL, "host:port, a URL, or unix:/path/of.sock; http://localhost:8181 when absent"},
    {"options", FIELD_OBJ, offsetof(struct step_opa_doc, options), 0, 0, 0, &step_opa_options, NULL, "how results are read"},
    {"headers", FIELD_STRS, offsetof(struct step_opa_doc, headers), 0, 0, 0, NULL, NULL, "headers that the rule may set for the upstream: removed when it does not (Postern's own)"},
    {"timeout", FIELD_STR, offsetof(struct step_opa_doc, timeout), 0, 0, 0, NULL, NULL, "time for the answer; 5s when absent (Postern's own)"},
};
static const struct field_table step_opa_table = {sizeof(struct step_opa_doc), step_opa_rows, ARRAY_LEN(step_opa_rows)};
/* clang-format on */

const struct field_table *step_opa_fields(void)
{
    return &step_opa_table;
}

/* ---- compiling ---- */

static bool step_opa_word_ok(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && !strchr("_-./", s.p[i]))
            return false;
    return s.n > 0 && s.n <= 256 && slice_find(s, S("..")) == SIZE_MAX && slice_find(s, S("//")) == SIZE_MAX;
}

/* "a.b" and "rule/field" -> "/v1/data/a/b/rule/field" */
static struct slice step_opa_path(struct arena *a, const struct step_opa_doc *d)
{
    struct slice s = arena_fmt(a, "/v1/data/%.*s/%.*s", SFMT(d->package), SFMT(d->rule));
    char *p = (char *)(uintptr_t)s.p;

    for (size_t i = 0; i < sizeof "/v1/data/" - 1 + d->package.n; i++)
        if (p[i] == '.')
            p[i] = '/';
    return s;
}

static bool step_opa_url(struct load *l, const struct field_in *in, const struct step_opa_doc *d, struct opa_step *o)
{
    struct arena *a = &l->set->arena;
    struct slice addr = d->addr.n ? d->addr : S("http://localhost:8181"), path = step_opa_path(a, d), url;
    struct err e = {0};

    if (slice_starts(addr, S("unix://")))
        addr = arena_fmt(a, "unix:%.*s", SFMT(slice_from(addr, sizeof "unix://" - 1)));
    while (addr.n > 1 && addr.p[addr.n - 1] == '/')
        addr.n--;
    if (slice_starts(addr, S("unix:")))
        url = arena_fmt(a, "%.*s:%.*s", SFMT(addr), SFMT(path));
    else if (slice_find(addr, S("://")) == SIZE_MAX)
        url = arena_fmt(a, "http://%.*s%.*s", SFMT(addr), SFMT(path));
    else
        url = arena_fmt(a, "%.*s%.*s", SFMT(addr), SFMT(path));
    if (fetch_url_parse(a, url, &o->url, &e) == RC_OK)
        return true;
    fault_add(in, false, d->self, NULL, "serverAddr: %s", e.text);
    return false;
}

bool step_opa_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y, struct step *out)
{
    const struct step_opa_doc *d = doc;
    struct opa_step *o = ARENA_NEW(&l->set->arena, struct opa_step);

    if (!step_opa_word_ok(d->package) || !step_opa_word_ok(d->rule)) {
        fault_add(in, false, y, NULL, "package and ruleName: expected letters, digits, _ - . and /");
        return false;
    }
    if (slice_eq(d->addr, S("http://sidecar-uds"))) {
        fault_add(in, true, y, NULL, "serverAddr http://sidecar-uds is Gloo's own socket: write "
                  "unix:/path/of.sock of your OPA; until then the routes are denied");
        out->denies = true;
        return true;
    }
    for (size_t i = 0; i < d->headers.n; i++)
        if (!header_can_be_set(d->headers.v[i])) {
            fault_add(in, false, y, NULL, "headers: \"%.*s\" cannot be set as a header",
                      SFMT(slice_sub(d->headers.v[i], 0, 60)));
            return false;
        }
    o->reason = d->options && d->options->reason;
    out->identity = d->headers.v;
    out->identity_n = d->headers.n;
    out->data = o;
    return step_opa_url(l, in, d, o) && callout_duration(in, y, "timeout", d->timeout, STEP_OPA_TIMEOUT_MS, &o->timeout_ms);
}

/* ---- the input ---- */

static void step_opa_http(struct decision *d, struct jsonw *w)
{
    const struct policy_ask *q = d->ask;

    jsonw_obj(w);
    jsonw_kstr(w, S("id"), slice_str(d->v->id));
    jsonw_kstr(w, S("method"), q->method);
    jsonw_kstr(w, S("path"), q->target);
    jsonw_kstr(w, S("host"), q->host);
    jsonw_kstr(w, S("scheme"), q->scheme);
    jsonw_kstr(w, S("query"), d->query);
    jsonw_kstr(w, S("protocol"), q->protocol.n ? q->protocol : S("HTTP/1.1"));
    jsonw_ki64(w, S("size"), q->body.n ? (int64_t)q->body.n : -1);
    jsonw_kstr(w, S("body"), q->body);
    jsonw_key(w, S("headers"));
    jsonw_obj(w);
    jsonw_kstr(w, S(":authority"), q->host);
    jsonw_kstr(w, S(":method"), q->method);
    jsonw_kstr(w, S(":path"), q->target);
    callout_headers_json(d, w);
    jsonw_end_obj(w);
    jsonw_end_obj(w);
}

static void step_opa_peer(struct jsonw *w, struct slice name, const struct policy_peer *p)
{
    bool path = slice_starts(p->address, S("/")) || slice_starts(p->address, S("@"));

    jsonw_key(w, name);
    jsonw_obj(w);
    if (p->address.n > 0) {
        jsonw_key(w, S("address"));
        jsonw_obj(w);
        jsonw_key(w, path ? S("pipe") : S("socket_address"));
        jsonw_obj(w);
        jsonw_kstr(w, path ? S("path") : S("address"), p->address);
        if (p->port)
            jsonw_ki64(w, S("port_value"), p->port);
        jsonw_end_obj(w);
        jsonw_end_obj(w);
    }
    if (p->service.n > 0)
        jsonw_kstr(w, S("service"), p->service);
    jsonw_kstr(w, S("principal"), p->principal);
    jsonw_end_obj(w);
}

static void step_opa_peers(const struct decision *d, struct jsonw *w)
{
    const struct policy_ask *q = d->ask;
    char ip[46];
    struct policy_peer from = {S(""), 0, q->service, q->principal};

    if (q->has_source_ip)
        from.address = slice_of(ip, ip_format(&q->source_ip, ip));
    step_opa_peer(w, S("source"), &from);
    step_opa_peer(w, S("destination"), &q->destination);
    if (q->sni.n > 0) {
        jsonw_key(w, S("tls_session"));
        jsonw_obj(w);
        jsonw_kstr(w, S("sni"), q->sni);
        jsonw_end_obj(w);
    }
}

static void step_opa_objects(const struct decision *d, struct jsonw *w)
{
    static const struct json none = {.kind = JSON_OBJ};

    jsonw_key(w, S("context_extensions"));
    jsonw_value(w, d->ask->extensions ? d->ask->extensions : &none);
    jsonw_key(w, S("metadata_context"));
    jsonw_obj(w);
    jsonw_key(w, S("filter_metadata"));
    jsonw_value(w, d->ask->metadata ? d->ask->metadata : &none);
    jsonw_end_obj(w);
    if (!d->ask->route_metadata)
        return;
    jsonw_key(w, S("route_metadata_context"));
    jsonw_obj(w);
    jsonw_key(w, S("filter_metadata"));
    jsonw_value(w, d->ask->route_metadata);
    jsonw_end_obj(w);
}

static void step_opa_input(struct decision *d, struct buf *b)
{
    struct jsonw w;

    jsonw_init(&w, b);
    jsonw_obj(&w);
    jsonw_key(&w, S("input"));
    jsonw_obj(&w);
    jsonw_key(&w, S("check_request"));
    jsonw_obj(&w);
    jsonw_key(&w, S("attributes"));
    jsonw_obj(&w);
    step_opa_peers(d, &w);
    jsonw_key(&w, S("request"));
    jsonw_obj(&w);
    jsonw_key(&w, S("time"));
    jsonw_obj(&w);
    jsonw_ki64(&w, S("seconds"), d->c->now_ms / 1000);
    jsonw_ki64(&w, S("nanos"), d->c->now_ms % 1000 * 1000000);
    jsonw_end_obj(&w);
    jsonw_key(&w, S("http"));
    step_opa_http(d, &w);
    jsonw_end_obj(&w);
    step_opa_objects(d, &w);
    jsonw_end_obj(&w);
    jsonw_end_obj(&w);
    jsonw_key(&w, S("http_request"));
    step_opa_http(d, &w);
    jsonw_key(&w, S("state"));
    if (d->state_n > 0)
        callout_state_json(d, &w);
    else
        jsonw_null(&w);
    jsonw_end_obj(&w);
    jsonw_end_obj(&w);
}

static void step_opa_begin(struct decision *d)
{
    static const struct http_header json[] = {{SLIT("content-type"), SLIT("application/json")}};
    const struct opa_step *o = d->at->data;
    struct fetch_req q = {.url = o->url, .method = S("POST"), .headers = json, .headers_n = 1,
                          .timeout_ms = o->timeout_ms, .reply_bytes_max = STEP_OPA_REPLY_MAX};
    struct buf b;

    buf_init(&b, STEP_OPA_INPUT_MAX);
    step_opa_input(d, &b);
    q.body = buf_all(&b);
    callout_start(d, &q); /* an input that is too large is cut, so no JSON: the server refuses it */
    buf_free(&b);
}

/* ---- the result ---- */

static enum step_said step_opa_trouble(struct decision *d, const char *reason, const char *words)
{
    d->trouble = slice_str(reason);
    d->v->words = slice_str(words);
    return STEP_TROUBLE;
}

static enum step_said step_opa_malformed(struct decision *d)
{
    return step_opa_trouble(d, "opa_malformed", "OPA's result is neither a boolean, nor a list that begins with one, "
                            "nor an object with allow");
}

static enum step_said step_opa_bool(struct decision *d, const struct step *s, bool allow, struct slice body)
{
    if (allow)
        return STEP_PASS;
    decision_deny(d, 403, S("opa_denied"), S("a rule of OPA refused the request"), s->rule);
    d->v->body = body.n <= STEP_OPA_BODY_MAX ? body : S("");
    return STEP_DENY;
}

/* {name: text} or [{name: text}, ...] -> headers; false: something that is none. */
static bool step_opa_headers(struct decision *d, const struct json *j, bool upstream)
{
    if (!j || j->kind == JSON_NULL)
        return true;
    if (j->kind == JSON_ARR) {
        for (uint32_t i = 0; i < j->n; i++)
            if (j->items[i].kind != JSON_OBJ || !step_opa_headers(d, &j->items[i], upstream))
                return false;
        return j->n <= STEP_OPA_HEADERS_MAX;
    }
    if (j->kind != JSON_OBJ || j->n > STEP_OPA_HEADERS_MAX)
        return false;
    for (uint32_t i = 0; i < j->n; i++) {
        const struct json_member *m = &j->members[i];
        if (m->value.kind != JSON_STR || !header_can_be_set(m->name) || !http_value_ok(m->value.s) || m->value.s.n > 8192)
            return false;
        if (upstream)
            decision_upstream(d, m->name, m->value.s, HEADER_SET);
        else
            decision_client(d, m->name, m->value.s);
    }
    return true;
}

static bool step_opa_remove(struct decision *d, const struct json *j)
{
    if (!j || j->kind == JSON_NULL)
        return true;
    if (j->kind != JSON_ARR || j->n > STEP_OPA_HEADERS_MAX)
        return false;
    for (uint32_t i = 0; i < j->n; i++) {
        if (j->items[i].kind != JSON_STR || !http_token_ok(j->items[i].s))
            return false;
        decision_remove(d, j->items[i].s);
    }
    return true;
}

static void step_opa_metadata(struct decision *d, const struct step *s, const struct json *j)
{
    for (uint32_t i = 0; j && j->kind == JSON_OBJ && i < j->n; i++)
        decision_metadata(d, s->name, j->members[i].name, &j->members[i].value);
}

static enum step_said step_opa_object(struct decision *d, const struct step *s, const struct json *j)
{
    const struct json *allow = json_get(j, S("allow"));

    if (!allow)
        allow = json_get(j, S("allowed"));
    if (!allow || allow->kind != JSON_BOOL)
        return step_opa_malformed(d);
    step_opa_metadata(d, s, json_get(j, S("dynamic_metadata")));
    if (!allow->b) {
        (void)step_opa_bool(d, s, false, json_str(j, S("body")));
        d->v->status = callout_denial_status((int)MIN(MAX(json_int(j, S("http_status"), 403), 0), 999));
        (void)step_opa_headers(d, json_get(j, S("headers")), false); /* one that cannot stand is left out */
        (void)step_opa_headers(d, json_get(j, S("response_headers_to_add")), false);
        return STEP_DENY;
    }
    if (!step_opa_remove(d, json_get(j, S("request_headers_to_remove"))) ||
        !step_opa_headers(d, json_get(j, S("headers")), true) ||
        !step_opa_headers(d, json_get(j, S("response_headers_to_add")), false))
        return step_opa_trouble(d, "opa_malformed", "OPA's result has headers that cannot be sent");
    return STEP_PASS;
}

static enum step_said step_opa_result(struct decision *d, const struct step *s, const struct json *j)
{
    const struct opa_step *o = s->data;
    struct slice reason = S("");

    if (!j || j->kind == JSON_NULL) {
        decision_deny(d, 403, S("opa_undefined"), S("the rule of OPA has no result for this request"), s->rule);
        return STEP_DENY;
    }
    if (j->kind == JSON_BOOL)
        return step_opa_bool(d, s, j->b, S(""));
    if (j->kind == JSON_OBJ)
        return step_opa_object(d, s, j);
    if (j->kind != JSON_ARR || j->n == 0 || j->items[0].kind != JSON_BOOL)
        return step_opa_malformed(d);
    if (o->reason && j->n > 1 && j->items[1].kind == JSON_STR)
        reason = j->items[1].s;
    return step_opa_bool(d, s, j->items[0].b, reason);
}

enum step_said step_opa_run(struct decision *d, const struct step *s)
{
    const struct callout_reply *r = callout_reply(d);
    struct json *j = NULL;
    struct err e = {0};

    if (!r)
        return callout_wait(d, step_opa_begin);
    if (r->rc != RC_OK) {
        d->v->words = arena_fmt(d->arena, "OPA: %s", r->why);
        d->trouble = S("opa_unreachable");
        return STEP_TROUBLE;
    }
    if (r->status != 200)
        return step_opa_trouble(d, "opa_failed", "OPA did not answer 200");
    if (json_parse(d->arena, r->body, STEP_OPA_REPLY_MAX, &j, &e) != RC_OK || j->kind != JSON_OBJ)
        return step_opa_malformed(d);
    return step_opa_result(d, s, json_get(j, S("result")));
}
