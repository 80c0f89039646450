/*
 * step_pass.c - passThroughAuth: another server of yours says who may pass.
 *
 * grpc is step_pass_grpc.c's. http: one POST; 200 lets pass, everything else refuses with that answer's status and body. What the
 * server learns and what of its answer goes on is named in the policy; nothing is copied by itself. An
 * answer that does not come, or a 5xx, is trouble: a denial, unless failureModeAllow of the step. Headers
 * for the upstream are identity headers: the client's own copies never reach it, also where the server
 * appends. Threads: the context's. Tested by tests/unit/policy/test_callout.c; manual:
 * docs/step-passthrough.md.
 */
#include "policy/step_pass.h"

enum {
    STEP_PASS_BODY_MAX = 4 << 20,
    STEP_PASS_REPLY_MAX = 1 << 20,
    STEP_PASS_CLIENT_BODY_MAX = 64 << 10,
    STEP_PASS_CONFIG_MAX = 256 << 10,
    STEP_PASS_HEADERS_MAX = 64,
    STEP_PASS_TIMEOUT_MS = 5000
};

struct step_pass_request {
    struct field_strs allowed;
    struct field_pairs add;
    bool state, metadata, body;
};
struct step_pass_response {
    struct field_strs append, overwrite, on_denied, on_success;
    bool state;
};
struct step_pass_tls {
    const struct yaml *self;
    struct doc_ref *secret;
    struct slice sni;
};
struct step_pass_http {
    const struct yaml *self;
    struct slice url, timeout, header_timeout;
    struct step_pass_request *request;
    struct step_pass_response *response;
    struct step_pass_tls *tls;
};
struct step_pass_doc {
    struct step_pass_http *http;
    const struct yaml *grpc, *config;
    bool failure_mode_allow;
};
struct pass_step {
    struct fetch_url url;
    const struct fetch_tls *tls;
    int64_t timeout_ms;
    struct step_pass_request request;
    struct step_pass_response response;
    struct json *config;
    const struct pass_grpc *grpc; /* or NULL: http */
    bool failure_mode_allow;
};

/* clang-format off */
#define ROW(structure, member, name, type, doc) {name, type, offsetof(struct structure, member), 0, 0, 0, NULL, NULL, doc}
#define SUB(structure, member, name, table, doc) {name, FIELD_OBJ, offsetof(struct structure, member), 0, 0, 0, &step_pass_##table, NULL, doc}
#define NOTICE(name) {name, FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "read and ignored: each thread keeps some connections open"}
static const struct field_row step_pass_request_rows[] = {
    ROW(step_pass_request, allowed, "allowedHeaders", FIELD_STRS, "headers of the request that the server gets"),
    ROW(step_pass_request, add, "headersToAdd", FIELD_PAIRS, "headers with fixed values"),
    ROW(step_pass_request, state, "passThroughState", FIELD_BOOL, "the state of earlier steps, as state"),
    ROW(step_pass_request, metadata, "passThroughFilterMetadata", FIELD_BOOL, "the gateway's metadata (Envoy, gRPC), as filterMetadata"),
    ROW(step_pass_request, body, "passThroughBody", FIELD_BOOL, "the body as far as the gateway sends it, as body"),
};
static const struct field_table step_pass_request = {sizeof(struct step_pass_request), step_pass_request_rows, ARRAY_LEN(step_pass_request_rows)};
static const struct field_row step_pass_response_rows[] = {
    ROW(step_pass_response, append, "allowedUpstreamHeaders", FIELD_STRS, "headers of the answer for the upstream, behind what earlier steps set"),
    ROW(step_pass_response, overwrite, "allowedUpstreamHeadersToOverwrite", FIELD_STRS, "headers of the answer for the upstream, instead of what earlier steps set"),
    ROW(step_pass_response, on_denied, "allowedClientHeadersOnDenied", FIELD_STRS, "headers of the answer for a client that is refused"),
    ROW(step_pass_response, on_success, "allowedClientHeadersOnSuccess", FIELD_STRS, "headers of the answer for a client that passes"),
    ROW(step_pass_response, state, "readStateFromResponse", FIELD_BOOL, "members of state in the answer become state of the chain"),
};
static const struct field_table step_pass_response = {sizeof(struct step_pass_response), step_pass_response_rows, ARRAY_LEN(step_pass_response_rows)};
static const struct field_row step_pass_ref_rows[] = {
    {"name", FIELD_STR, offsetof(struct doc_ref, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the Secret"},
    ROW(doc_ref, ns, "namespace", FIELD_STR, "its namespace; that of the policy when absent"),
};
static const struct field_table step_pass_ref = {sizeof(struct doc_ref), step_pass_ref_rows, ARRAY_LEN(step_pass_ref_rows)};
static const struct field_row step_pass_tls_rows[] = {
    ROW(step_pass_tls, self, NULL, FIELD_SELF, ""),
    SUB(step_pass_tls, secret, "secretRef", ref, "Secret with ca.crt (trust this and nothing else), tls.crt and tls.key (our certificate)"),
    ROW(step_pass_tls, sni, "sni", FIELD_STR, "name that the server's certificate must have; the URL's host when absent"),
    {"sslParams", FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "read and ignored: TLS 1.2 and 1.3, as everywhere in Postern"},
};
static const struct field_table step_pass_tls = {sizeof(struct step_pass_tls), step_pass_tls_rows, ARRAY_LEN(step_pass_tls_rows)};
static const struct field_row step_pass_http_rows[] = {
    ROW(step_pass_http, self, NULL, FIELD_SELF, ""),
    {"url", FIELD_STR, offsetof(struct step_pass_http, url), FIELD_REQUIRED, 0, 0, NULL, NULL, "http://, https:// or unix:/path/of.sock:/path"},
    SUB(step_pass_http, request, "request", request, "what the server learns"),
    SUB(step_pass_http, response, "response", response, "what of its answer goes on"),
    ROW(step_pass_http, timeout, "connectionTimeout", FIELD_STR, "time for connection and answer together; 5s when absent"),
    ROW(step_pass_http, header_timeout, "responseHeaderTimeout", FIELD_STR, "read; added to the time when it is longer"),
    SUB(step_pass_http, tls, "tlsConfig", tls, "how to talk TLS"),
    NOTICE("connectionPool"),
};
static const struct field_table step_pass_http = {sizeof(struct step_pass_http), step_pass_http_rows, ARRAY_LEN(step_pass_http_rows)};
static const struct field_row step_pass_rows[] = {
    SUB(step_pass_doc, http, "http", http, "a server that is asked by HTTP"),
    ROW(step_pass_doc, grpc, "grpc", FIELD_NODE, "a server that is asked by gRPC, as Envoy asks"),
    ROW(step_pass_doc, config, "config", FIELD_NODE, "anything; the server gets it as config"),
    ROW(step_pass_doc, failure_mode_allow, "failureModeAllow", FIELD_BOOL, "let pass when the server does not answer or answers 5xx"),
};
static const struct field_table step_pass_table = {sizeof(struct step_pass_doc), step_pass_rows, ARRAY_LEN(step_pass_rows)};
#undef ROW
#undef SUB
#undef NOTICE
/* clang-format on */

const struct field_table *step_pass_fields(void)
{
    return &step_pass_table;
}

/* ---- compiling ---- */

static const struct fetch_tls *step_pass_tls_of(struct load *l, const struct field_in *in,
                                                const struct step_pass_tls *doc, struct slice ns)
{
    struct fetch_tls *t = ARENA_NEW(&l->set->arena, struct fetch_tls);
    const struct secret *s = NULL;

    if (doc->secret && !(s = secret_find(l, in, doc->self, false, doc->secret, ns)))
        return NULL;
    *t = (struct fetch_tls){S(""), S(""), S(""), doc->sni.n ? doc->sni : S("")};
    if (s) {
        t->ca_pem = secret_value(s, S("ca.crt"));
        t->cert_pem = secret_value(s, S("tls.crt"));
        t->key_pem = secret_value(s, S("tls.key"));
    }
    if ((t->cert_pem.n > 0) == (t->key_pem.n > 0))
        return t;
    fault_add(in, false, doc->self, NULL, "tls.crt and tls.key belong together");
    return NULL;
}

const struct fetch_tls *pass_tls_compile(struct load *l, const struct field_in *in, const struct yaml *y, struct slice ns)
{
    struct step_pass_tls d = {0};

    return field_decode(in, &step_pass_tls, y, NULL, &d) ? step_pass_tls_of(l, in, &d, ns) : NULL;
}

static bool step_pass_names(const struct field_in *in, const struct yaml *y, const struct field_strs *names,
                            bool set)
{
    for (size_t i = 0; i < names->n; i++)
        if (set ? !header_can_be_set(names->v[i]) : !http_token_ok(names->v[i])) {
            fault_add(in, false, y, NULL, "\"%.*s\" %s", SFMT(slice_sub(names->v[i], 0, 60)),
                      set ? "cannot be set as a header" : "is no header name");
            return false;
        }
    if (names->n <= STEP_PASS_HEADERS_MAX)
        return true;
    fault_add(in, false, y, NULL, "more than %d headers", STEP_PASS_HEADERS_MAX);
    return false;
}

static bool step_pass_headers(const struct field_in *in, const struct yaml *y, const struct pass_step *p)
{
    for (size_t i = 0; i < p->request.add.n; i++)
        if (!header_can_be_set(p->request.add.v[i].name) || !http_value_ok(p->request.add.v[i].value)) {
            fault_add(in, false, y, NULL, "headersToAdd: \"%.*s\" cannot be set as a header",
                      SFMT(slice_sub(p->request.add.v[i].name, 0, 60)));
            return false;
        }
    return p->request.add.n <= STEP_PASS_HEADERS_MAX && step_pass_names(in, y, &p->request.allowed, false) &&
           step_pass_names(in, y, &p->response.append, true) && step_pass_names(in, y, &p->response.overwrite, true) &&
           step_pass_names(in, y, &p->response.on_denied, true) && step_pass_names(in, y, &p->response.on_success, true);
}

static bool step_pass_config(struct load *l, const struct field_in *in, const struct yaml *y, struct pass_step *p)
{
    struct buf text;
    struct err e = {0};
    bool ok;

    if (!y || y->kind == YAML_NULL)
        return true;
    buf_init(&text, STEP_PASS_CONFIG_MAX);
    yaml_to_json(y, &text);
    ok = !buf_over(&text) && json_parse(&l->set->arena, buf_all(&text), STEP_PASS_CONFIG_MAX, &p->config, &e) == RC_OK;
    buf_free(&text);
    if (!ok)
        fault_add(in, false, y, NULL, "config: %s", e.text[0] ? e.text : "too large");
    return ok;
}

static void step_pass_identity(struct load *l, const struct pass_step *p, struct step *out)
{
    const struct field_strs *lists[] = {&p->response.append, &p->response.overwrite};
    struct slice *names = ARENA_ARRAY(&l->set->arena, struct slice, lists[0]->n + lists[1]->n + 1);

    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        for (size_t k = 0; k < lists[i]->n; k++)
            names[out->identity_n++] = lists[i]->v[k];
    out->identity = names;
}

static bool step_pass_http_of(struct load *l, const struct field_in *in, const struct step_pass_http *h,
                              struct slice ns, struct pass_step *p)
{
    struct err e = {0};
    int64_t head_ms = 0;

    if (h->request)
        p->request = *h->request;
    if (h->response)
        p->response = *h->response;
    if (fetch_url_parse(&l->set->arena, h->url, &p->url, &e) != RC_OK) {
        fault_add(in, false, h->self, NULL, "url: %s", e.text);
        return false;
    }
    if (!callout_duration(in, h->self, "connectionTimeout", h->timeout, STEP_PASS_TIMEOUT_MS, &p->timeout_ms))
        return false;
    if (!slice_eq(h->header_timeout, S("0s")) && !slice_eq(h->header_timeout, S("0")) &&
        !callout_duration(in, h->self, "responseHeaderTimeout", h->header_timeout, 0, &head_ms))
        return false;
    p->timeout_ms = MAX(p->timeout_ms, head_ms);
    p->tls = h->tls ? step_pass_tls_of(l, in, h->tls, ns) : NULL;
    return (!h->tls || p->tls) && step_pass_headers(in, h->self, p);
}

bool step_pass_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y, struct step *out)
{
    const struct step_pass_doc *d = doc;
    struct pass_step *p = ARENA_NEW(&l->set->arena, struct pass_step);
    struct slice rest, ns = slice_cut(out->policy, '.', &rest);

    if (!d->http == !d->grpc) {
        fault_add(in, false, y, NULL, "passThroughAuth: expected one of http and grpc");
        return false;
    }
    p->failure_mode_allow = d->failure_mode_allow;
    out->data = p;
    if (!step_pass_config(l, in, d->config, p))
        return false;
    if (d->grpc) {
        p->grpc = pass_grpc_compile(l, in, d->grpc, ns, out);
        return p->grpc != NULL;
    }
    if (!step_pass_http_of(l, in, d->http, ns, p))
        return false;
    step_pass_identity(l, p, out);
    return true;
}

/* ---- asking ---- */

static void step_pass_body(struct decision *d, const struct pass_step *p, struct buf *b)
{
    const struct step_pass_request *q = &p->request;
    struct jsonw w;

    if (!q->state && !q->metadata && !q->body && !p->config)
        return;
    jsonw_init(&w, b);
    jsonw_obj(&w);
    if (q->state) {
        jsonw_key(&w, S("state"));
        callout_state_json(d, &w);
    }
    if (q->metadata) {
        static const struct json none = {.kind = JSON_OBJ};
        jsonw_key(&w, S("filterMetadata"));
        jsonw_value(&w, d->ask->metadata ? d->ask->metadata : &none);
    }
    if (q->body)
        jsonw_kstr(&w, S("body"), d->ask->body);
    if (p->config) {
        jsonw_key(&w, S("config"));
        jsonw_value(&w, p->config);
    }
    jsonw_end_obj(&w);
}

static void step_pass_begin(struct decision *d)
{
    const struct pass_step *p = d->at->data;
    struct http_header *h = arena_alloc(d->arena, (2 + p->request.allowed.n + p->request.add.n) * sizeof *h);
    struct fetch_req q = {.url = p->url, .method = S("POST"), .headers = h, .timeout_ms = p->timeout_ms,
                          .reply_bytes_max = STEP_PASS_REPLY_MAX, .tls = p->tls};
    struct slice value;
    struct buf b;

    for (size_t i = 0; i < p->request.allowed.n; i++) {
        struct slice name = p->request.allowed.v[i];
        if (header_can_be_set(name) && callout_header(d, name, &value) && !slice_eq_ci(name, S("content-type")))
            h[q.headers_n++] = (struct http_header){name, value};
    }
    for (size_t i = 0; i < p->request.add.n; i++)
        h[q.headers_n++] = (struct http_header){p->request.add.v[i].name, p->request.add.v[i].value};
    buf_init(&b, STEP_PASS_BODY_MAX);
    step_pass_body(d, p, &b);
    q.body = buf_all(&b);
    if (q.body.n > 0)
        h[q.headers_n++] = (struct http_header){S("content-type"), S("application/json")};
    callout_start(d, &q); /* a body that is too large is cut, so no JSON: the server refuses it */
    buf_free(&b);
}

/* ---- the answer ---- */

/* All headers of that name, joined; n: how many. */
static struct slice step_pass_reply_header(struct decision *d, const struct callout_reply *r, struct slice name,
                                           size_t *n)
{
    struct slice all = S("");

    *n = 0;
    for (size_t i = 0; i < r->headers_n; i++)
        if (slice_eq_ci(r->headers[i].name, name)) {
            all = (*n)++ ? arena_fmt(d->arena, "%.*s, %.*s", SFMT(all), SFMT(r->headers[i].value)) : r->headers[i].value;
        }
    return all;
}

static void step_pass_client(struct decision *d, const struct callout_reply *r, const struct field_strs *names)
{
    for (size_t k = 0; k < names->n; k++)
        for (size_t i = 0; i < r->headers_n; i++)
            if (slice_eq_ci(r->headers[i].name, names->v[k]) && http_value_ok(r->headers[i].value))
                decision_client(d, names->v[k], r->headers[i].value);
}

static void step_pass_upstream(struct decision *d, const struct pass_step *p, const struct callout_reply *r)
{
    struct slice value, old;
    size_t n;

    for (size_t i = 0; i < p->response.append.n; i++) {
        struct slice name = p->response.append.v[i];
        value = step_pass_reply_header(d, r, name, &n);
        if (n > 0 && decision_header(d, name, &old) && old.n > 0) /* never the client's: it is an identity header */
            value = arena_fmt(d->arena, "%.*s, %.*s", SFMT(old), SFMT(value));
        if (n > 0)
            decision_upstream(d, name, value, HEADER_SET);
    }
    for (size_t i = 0; i < p->response.overwrite.n; i++) {
        value = step_pass_reply_header(d, r, p->response.overwrite.v[i], &n);
        if (n > 0)
            decision_upstream(d, p->response.overwrite.v[i], value, HEADER_SET);
    }
}

static bool step_pass_state(struct decision *d, const struct callout_reply *r)
{
    const struct json *state;
    struct json *j = NULL;
    struct err e = {0};

    if (r->body.n == 0)
        return true;
    if (json_parse(d->arena, r->body, STEP_PASS_REPLY_MAX, &j, &e) != RC_OK || j->kind != JSON_OBJ)
        return false;
    state = json_get(j, S("state"));
    for (uint32_t i = 0; state && state->kind == JSON_OBJ && i < state->n; i++)
        decision_state_put(d, state->members[i].name, &state->members[i].value);
    return true;
}

static enum step_said step_pass_refused(struct decision *d, const struct step *s, const struct callout_reply *r)
{
    const struct pass_step *p = s->data;
    size_t n;
    struct slice type = step_pass_reply_header(d, r, S("content-type"), &n);
    bool typed = false;

    decision_deny(d, callout_denial_status(r->status), S("passthrough_denied"),
                  arena_fmt(d->arena, "the server that %.*s asks answered %d", SFMT(s->name), r->status), s->rule);
    if (r->body.n <= STEP_PASS_CLIENT_BODY_MAX)
        d->v->body = r->body;
    for (size_t i = 0; i < p->response.on_denied.n; i++)
        typed |= slice_eq_ci(p->response.on_denied.v[i], S("content-type"));
    step_pass_client(d, r, &p->response.on_denied);
    if (d->v->body.n > 0 && n == 1 && !typed && http_value_ok(type))
        decision_client(d, S("content-type"), type);
    return STEP_DENY;
}

static enum step_said step_pass_trouble(struct decision *d, const struct step *s, const char *reason,
                                        const char *words)
{
    const struct pass_step *p = s->data;

    d->v->words = arena_fmt(d->arena, "the server that %.*s asks: %s", SFMT(s->name), words);
    d->trouble = slice_str(reason);
    if (!p->failure_mode_allow)
        return STEP_TROUBLE;
    d->v->words = S("");
    return STEP_PASS;
}

static enum step_said step_pass_grpc(struct decision *d, const struct step *s)
{
    const struct pass_step *p = s->data;
    bool unreachable = false;
    enum step_said said = pass_grpc_run(d, s, &unreachable);

    if (said != STEP_TROUBLE || !unreachable || !p->failure_mode_allow)
        return said;
    d->v->words = S("");
    return STEP_PASS;
}

const struct json *pass_grpc_config(const struct step *s)
{
    return ((const struct pass_step *)s->data)->config;
}

const struct pass_grpc *pass_grpc_of(const struct step *s)
{
    return ((const struct pass_step *)s->data)->grpc;
}

enum step_said step_pass_run(struct decision *d, const struct step *s)
{
    const struct pass_step *p = s->data;
    const struct callout_reply *r = callout_reply(d);

    if (p->grpc)
        return step_pass_grpc(d, s);
    if (!r)
        return callout_wait(d, step_pass_begin);
    if (r->rc != RC_OK)
        return step_pass_trouble(d, s, "passthrough_unreachable", r->why);
    if (r->status >= 500)
        return step_pass_trouble(d, s, "passthrough_failed", "it answered with a server error");
    if (r->status != 200)
        return step_pass_refused(d, s, r);
    if (p->response.state && !step_pass_state(d, r)) {
        d->trouble = S("passthrough_malformed");
        d->v->words = S("the server's answer is no JSON object");
        return STEP_TROUBLE;
    }
    step_pass_upstream(d, p, r);
    step_pass_client(d, r, &p->response.on_success);
    return STEP_PASS;
}
