/*
 * step_pass_grpc.c - passThroughAuth by gRPC: another server answers envoy.service.auth.v3.Authorization/Check.
 *
 * The request as this step may see it -> CheckRequest; the state of the chain and the step's config go along
 * as metadata solo.auth.passthrough and solo.auth.passthrough.config, state comes back under the first
 * name. An answer without a status and without an ok_response is no answer here: Envoy would take it for
 * an allow. One call on a connection of its own. Threads: the context's.
 * Field numbers: envoy/service/auth/v3/{attribute_context,external_auth}.proto.
 * Tested by tests/unit/policy/test_pass_grpc.c; manual: docs/step-passthrough.md.
 */
#include "net/h2_call.h"
#include "policy/step_pass.h"
#include "wire/protobuf.h"

enum {
    PASS_GRPC_TIMEOUT_MS = 5000,
    PASS_GRPC_PAUSE_MS = 1000,
    PASS_GRPC_RETRIES_MAX = 10,
    PASS_GRPC_MESSAGE_MAX = 4 << 20,
    PASS_GRPC_DEPTH_MAX = 32,
    PASS_GRPC_MEMBERS_MAX = 256,
    PASS_GRPC_HEADERS_MAX = 64,
    PASS_GRPC_VALUE_MAX = 8192,
    PASS_GRPC_BODY_MAX = 64 << 10,
    PASS_GRPC_OK = 0,
    PASS_GRPC_NO_STATUS = -1
};
#define PASS_GRPC_STATE S("solo.auth.passthrough")

struct pass_grpc_pause {
    struct slice base, most;
};
struct pass_grpc_retry {
    const struct yaml *self;
    int64_t n;
    struct pass_grpc_pause *pause;
};
struct pass_grpc_doc {
    const struct yaml *self, *tls;
    struct slice address, authority, timeout;
    struct pass_grpc_retry *retry;
    struct field_strs headers;
};
struct pass_grpc {
    struct slice host, authority; /* host "": the socket */
    int port;
    struct net_addr socket;
    const struct fetch_tls *tls;
    int64_t timeout_ms, pause_ms, pause_max_ms;
    int retries;
};
struct pass_grpc_wait {
    enum rc rc;
    const char *why;
    int grpc_status;
    struct slice message;
};
/* clang-format off */
#define ROW(structure, member, name, type, doc) {name, type, offsetof(struct structure, member), 0, 0, 0, NULL, NULL, doc}
static const struct field_row pass_grpc_pause_rows[] = {
    ROW(pass_grpc_pause, base, "baseInterval", FIELD_STR, "the first pause, doubled after each; 1s when absent"),
    ROW(pass_grpc_pause, most, "maxInterval", FIELD_STR, "the longest pause; ten times the first when absent"),
};
static const struct field_table pass_grpc_pause = {sizeof(struct pass_grpc_pause), pass_grpc_pause_rows, ARRAY_LEN(pass_grpc_pause_rows)};
static const struct field_row pass_grpc_retry_rows[] = {
    ROW(pass_grpc_retry, self, NULL, FIELD_SELF, ""),
    {"numRetries", FIELD_INT, offsetof(struct pass_grpc_retry, n), 0, 1, PASS_GRPC_RETRIES_MAX, NULL, NULL, "so often again when no answer comes, or UNAVAILABLE; 1 when absent"},
    {"retryBackOff", FIELD_OBJ, offsetof(struct pass_grpc_retry, pause), 0, 0, 0, &pass_grpc_pause, NULL, "the pauses between"},
};
static const struct field_table pass_grpc_retry = {sizeof(struct pass_grpc_retry), pass_grpc_retry_rows, ARRAY_LEN(pass_grpc_retry_rows)};
static const struct field_row pass_grpc_rows[] = {
    ROW(pass_grpc_doc, self, NULL, FIELD_SELF, ""),
    {"address", FIELD_STR, offsetof(struct pass_grpc_doc, address), FIELD_REQUIRED, 0, 0, NULL, NULL, "host:port, or unix:/path/of.sock"},
    ROW(pass_grpc_doc, authority, "authority", FIELD_STR, "name that the server is called by (:authority); the address when absent (Postern's own)"),
    ROW(pass_grpc_doc, timeout, "connectionTimeout", FIELD_STR, "time for connection, answer and further tries together; 5s when absent"),
    ROW(pass_grpc_doc, headers, "headers", FIELD_STRS, "headers that the server may set for the upstream: removed when it does not (Postern's own)"),
    ROW(pass_grpc_doc, tls, "tlsConfig", FIELD_NODE, "how to talk TLS, as for http; plain when absent"),
    {"retryPolicy", FIELD_OBJ, offsetof(struct pass_grpc_doc, retry), 0, 0, 0, &pass_grpc_retry, NULL, "ask again; once is enough when absent"},
};
#undef ROW
/* clang-format on */
static const struct field_table pass_grpc_table = {sizeof(struct pass_grpc_doc), pass_grpc_rows,
                                                   ARRAY_LEN(pass_grpc_rows)};

const struct field_table *pass_grpc_fields(void)
{
    return &pass_grpc_table;
}

/* "host:port" as of a URL, with its port; "unix:/path" as of a listener. */
static bool pass_grpc_address(struct load *l, const struct field_in *in, const struct yaml *y,
                              const struct pass_grpc_doc *d, struct pass_grpc *g)
{
    struct arena *a = &l->set->arena;
    struct fetch_url u;
    struct err e = {0};
    bool has_port = d->address.n > 0 && ascii_digit(d->address.p[d->address.n - 1]) &&
                    slice_index(d->address, ':') != SIZE_MAX;

    g->authority = d->authority.n ? d->authority : d->address;
    if (slice_starts(d->address, S("unix:")) && net_addr_parse(d->address, &g->socket, &e) == RC_OK) {
        g->host = S("");
        g->authority = d->authority.n ? d->authority : S("localhost");
    } else if (has_port && slice_index(d->address, '/') == SIZE_MAX &&
               fetch_url_parse(a, arena_fmt(a, "http://%.*s/", SFMT(d->address)), &u, &e) == RC_OK) {
        g->host = u.host;
        g->port = u.port;
    } else {
        fault_add(in, false, y, NULL, "address \"%.*s\": expected host:port, or unix:/path", SFMT(slice_sub(d->address, 0, 80)));
        return false;
    }
    if (http_value_ok(g->authority) && slice_index(g->authority, ' ') == SIZE_MAX && slice_index(g->authority, '/') == SIZE_MAX)
        return true;
    fault_add(in, false, y, NULL, "authority \"%.*s\" is no name", SFMT(slice_sub(g->authority, 0, 80)));
    return false;
}

static bool pass_grpc_retries(const struct field_in *in, const struct pass_grpc_retry *r, struct pass_grpc *g)
{
    g->pause_ms = PASS_GRPC_PAUSE_MS;
    g->pause_max_ms = 10 * PASS_GRPC_PAUSE_MS;
    if (!r)
        return true;
    g->retries = r->n ? (int)r->n : 1;
    if (!r->pause)
        return true;
    return callout_duration(in, r->self, "baseInterval", r->pause->base, PASS_GRPC_PAUSE_MS, &g->pause_ms) &&
           callout_duration(in, r->self, "maxInterval", r->pause->most, 10 * g->pause_ms, &g->pause_max_ms);
}

struct pass_grpc *pass_grpc_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                                    struct slice ns, struct step *out)
{
    struct pass_grpc *g = ARENA_NEW(&l->set->arena, struct pass_grpc);
    struct pass_grpc_doc d = {0};

    if (!field_decode(in, &pass_grpc_table, y, NULL, &d) || !pass_grpc_address(l, in, y, &d, g))
        return NULL;
    for (size_t i = 0; i < d.headers.n; i++)
        if (!header_can_be_set(d.headers.v[i])) {
            fault_add(in, false, y, NULL, "headers: \"%.*s\" cannot be set as a header",
                      SFMT(slice_sub(d.headers.v[i], 0, 60)));
            return NULL;
        }
    if (!callout_duration(in, y, "connectionTimeout", d.timeout, PASS_GRPC_TIMEOUT_MS, &g->timeout_ms) ||
        !pass_grpc_retries(in, d.retry, g))
        return NULL;
    if (d.tls && !(g->tls = pass_tls_compile(l, in, d.tls, ns)))
        return NULL;
    out->identity = d.headers.v;
    out->identity_n = d.headers.n;
    return g;
}

/* ---- JSON <-> google.protobuf.Struct ---- */

static void pass_grpc_value(struct buf *b, uint32_t number, const struct json *j, int depth);

static void pass_grpc_struct(struct buf *b, uint32_t number, const struct json *j, int depth)
{
    size_t mark = pb_begin(b, number);

    for (uint32_t i = 0; j->kind == JSON_OBJ && i < j->n; i++) {
        size_t entry = pb_begin(b, 1);
        pb_put_text(b, 1, j->members[i].name);
        pass_grpc_value(b, 2, &j->members[i].value, depth + 1);
        pb_end(b, entry);
    }
    pb_end(b, mark);
}

static void pass_grpc_list(struct buf *b, const struct json *j, int depth)
{
    size_t mark = pb_begin(b, 6);

    for (uint32_t i = 0; i < j->n; i++)
        pass_grpc_value(b, 1, &j->items[i], depth + 1);
    pb_end(b, mark);
}

static void pass_grpc_value(struct buf *b, uint32_t number, const struct json *j, int depth)
{
    size_t mark = pb_begin(b, number);

    switch (depth > PASS_GRPC_DEPTH_MAX ? JSON_NULL : j->kind) {
    case JSON_BOOL: pb_put_u64(b, 4, j->b); break;
    case JSON_INT: pb_put_double(b, 2, (double)j->i); break;
    case JSON_UINT: pb_put_double(b, 2, (double)j->u); break;
    case JSON_REAL: pb_put_double(b, 2, j->d); break;
    case JSON_STR: pb_put_text(b, 3, j->s); break;
    case JSON_ARR: pass_grpc_list(b, j, depth); break;
    case JSON_OBJ: pass_grpc_struct(b, 5, j, depth); break;
    default: pb_put_u64(b, 1, 0); break;
    }
    pb_end(b, mark);
}

struct pass_grpc_in {
    struct arena *a;
    bool bad;
};

static void pass_grpc_read_struct(struct pass_grpc_in *x, struct slice m, struct json *out, int depth);

static size_t pass_grpc_count(struct slice m)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    size_t n = 0;

    while (pb_next(&r, &f))
        n += f.number == 1;
    return n;
}

/* A Struct knows doubles only: what is whole becomes a whole number again. */
static struct json pass_grpc_number(double d)
{
    if (d > -9e15 && d < 9e15 && d == (double)(int64_t)d)
        return (struct json){.kind = JSON_INT, .i = (int64_t)d};
    return (struct json){.kind = JSON_REAL, .d = d};
}

static void pass_grpc_read_value(struct pass_grpc_in *x, struct slice m, struct json *out, int depth)
{
    struct pb r = pb_open(m), list;
    struct pb_field f, item;

    *out = (struct json){.kind = JSON_NULL};
    while (!x->bad && pb_next(&r, &f)) {
        struct slice bytes = S("");
        bool yes = false;
        double number;
        if (f.number == 2 && pb_take_double(&f, &number))
            *out = pass_grpc_number(number);
        else if (f.number == 3 && pb_take_text(&f, &out->s, &x->bad))
            out->kind = JSON_STR;
        else if (f.number == 4 && pb_take_bool(&f, &yes))
            *out = (struct json){.kind = JSON_BOOL, .b = yes};
        else if (f.number == 5 && pb_take_bytes(&f, &bytes))
            pass_grpc_read_struct(x, bytes, out, depth + 1);
        else if (f.number == 6 && pb_take_bytes(&f, &bytes)) {
            size_t room = pass_grpc_count(bytes);
            x->bad |= depth >= PASS_GRPC_DEPTH_MAX || room > PASS_GRPC_MEMBERS_MAX;
            *out = (struct json){.kind = JSON_ARR, .items = arena_zalloc(x->a, (x->bad ? 1 : room + 1) * sizeof *out->items)};
            for (list = pb_open(bytes); !x->bad && pb_next(&list, &item);)
                if (item.number == 1 && pb_take_bytes(&item, &bytes))
                    pass_grpc_read_value(x, bytes, &out->items[out->n++], depth + 1);
        }
    }
    x->bad |= !pb_ok(&r);
}

static void pass_grpc_read_struct(struct pass_grpc_in *x, struct slice m, struct json *out, int depth)
{
    size_t room = pass_grpc_count(m);
    struct pb r = pb_open(m), entry;
    struct pb_field f, part;
    struct slice bytes;

    x->bad |= depth >= PASS_GRPC_DEPTH_MAX || room > PASS_GRPC_MEMBERS_MAX;
    *out = (struct json){.kind = JSON_OBJ, .members = arena_zalloc(x->a, (x->bad ? 1 : room + 1) * sizeof *out->members)};
    while (!x->bad && pb_next(&r, &f)) {
        if (f.number != 1 || !pb_take_bytes(&f, &bytes))
            continue;
        struct json_member *to = &out->members[out->n++];
        to->name = S("");
        for (entry = pb_open(bytes); !x->bad && pb_next(&entry, &part);)
            if (part.number == 1)
                (void)pb_take_text(&part, &to->name, &x->bad);
            else if (part.number == 2 && pb_take_bytes(&part, &bytes))
                pass_grpc_read_value(x, bytes, &to->value, depth + 1);
        x->bad |= !pb_ok(&entry);
    }
    x->bad |= !pb_ok(&r);
}

/* ---- CheckRequest ---- */

static void pass_grpc_pair(struct buf *b, uint32_t number, struct slice name, struct slice value)
{
    size_t entry = pb_begin(b, number);

    pb_put_text(b, 1, name);
    pb_put_text(b, 2, value);
    pb_end(b, entry);
}

static void pass_grpc_headers(struct decision *d, struct buf *b)
{
    struct json *headers = NULL;
    struct jsonw w;
    struct buf text;
    struct err e;

    pass_grpc_pair(b, 3, S(":authority"), d->ask->host);
    pass_grpc_pair(b, 3, S(":method"), d->ask->method);
    pass_grpc_pair(b, 3, S(":path"), d->ask->target);
    buf_init(&text, 1 << 20);
    jsonw_init(&w, &text);
    jsonw_obj(&w);
    callout_headers_json(d, &w);
    jsonw_end_obj(&w);
    if (json_parse(d->arena, buf_all(&text), 1 << 20, &headers, &e) == RC_OK)
        for (uint32_t i = 0; i < headers->n; i++)
            pass_grpc_pair(b, 3, headers->members[i].name, headers->members[i].value.s);
    buf_free(&text);
}

static void pass_grpc_http(struct decision *d, struct buf *b)
{
    const struct policy_ask *q = d->ask;
    size_t request = pb_begin(b, 4), part = pb_begin(b, 1);

    pb_put_u64(b, 1, (uint64_t)(d->c->now_ms / 1000));
    pb_put_u64(b, 2, (uint64_t)(d->c->now_ms % 1000 * 1000000));
    pb_end(b, part);
    part = pb_begin(b, 2);
    pb_put_text(b, 1, slice_str(d->v->id));
    pb_put_text(b, 2, q->method);
    pass_grpc_headers(d, b);
    pb_put_text(b, 4, q->target);
    pb_put_text(b, 5, q->host);
    pb_put_text(b, 6, q->scheme);
    pb_put_u64(b, 9, q->body.n ? q->body.n : UINT64_MAX); /* -1: unknown */
    pb_put_text(b, 10, q->protocol.n ? q->protocol : S("HTTP/1.1"));
    pb_put_bytes(b, slice_utf8(q->body) ? 11 : 12, q->body);
    pb_end(b, part);
    pb_end(b, request);
}

static void pass_grpc_peer(struct buf *b, uint32_t number, const struct policy_peer *p)
{
    bool path = slice_starts(p->address, S("/")) || slice_starts(p->address, S("@"));
    size_t peer = pb_begin(b, number);

    if (p->address.n > 0) {
        size_t address = pb_begin(b, 1), inner = pb_begin(b, path ? 2 : 1); /* Pipe or SocketAddress */
        pb_put_text(b, path ? 1 : 2, p->address);
        if (p->port && !path)
            pb_put_u64(b, 3, p->port);
        pb_end(b, inner);
        pb_end(b, address);
    }
    if (p->service.n > 0)
        pb_put_text(b, 2, p->service);
    if (p->principal.n > 0)
        pb_put_text(b, 4, p->principal);
    pb_end(b, peer);
}

static void pass_grpc_peers(const struct decision *d, struct buf *b)
{
    const struct policy_ask *q = d->ask;
    char ip[46];
    struct policy_peer from = {S(""), 0, q->service, q->principal};

    if (q->has_source_ip)
        from.address = slice_of(ip, ip_format(&q->source_ip, ip));
    pass_grpc_peer(b, 1, &from);
    pass_grpc_peer(b, 2, &q->destination);
}

static void pass_grpc_session(const struct decision *d, struct buf *b)
{
    size_t session = pb_begin(b, 12);

    if (d->ask->sni.n > 0)
        pb_put_text(b, 1, d->ask->sni);
    pb_end(b, session);
}

static void pass_grpc_space(struct buf *b, struct slice name, const struct json *j)
{
    size_t entry = pb_begin(b, 1);

    pb_put_text(b, 1, name);
    pass_grpc_struct(b, 2, j, 0);
    pb_end(b, entry);
}

static void pass_grpc_route_metadata(const struct decision *d, struct buf *b)
{
    const struct json *given = d->ask->route_metadata;
    size_t mark = pb_begin(b, 13);

    for (uint32_t i = 0; given && given->kind == JSON_OBJ && i < given->n; i++)
        pass_grpc_space(b, given->members[i].name, &given->members[i].value);
    pb_end(b, mark);
}

static void pass_grpc_metadata(const struct decision *d, struct buf *b, const struct json *config)
{
    const struct json *given = d->ask->metadata;
    struct json state = {.kind = JSON_OBJ, .n = (uint32_t)d->state_n};
    size_t mark = pb_begin(b, 11);

    for (uint32_t i = 0; given && given->kind == JSON_OBJ && i < given->n; i++)
        if (!slice_starts(given->members[i].name, PASS_GRPC_STATE))
            pass_grpc_space(b, given->members[i].name, &given->members[i].value);
    state.members = arena_zalloc(d->arena, (d->state_n + 1) * sizeof *state.members);
    for (size_t i = 0; i < d->state_n; i++)
        state.members[i] = (struct json_member){d->state[i].name, *d->state[i].value};
    pass_grpc_space(b, PASS_GRPC_STATE, &state);
    if (config)
        pass_grpc_space(b, S("solo.auth.passthrough.config"), config);
    pb_end(b, mark);
}

static void pass_grpc_request(struct decision *d, struct buf *b, const struct json *config)
{
    const struct json *more = d->ask->extensions;
    size_t attributes = pb_begin(b, 1);

    pass_grpc_peers(d, b);
    pass_grpc_http(d, b);
    for (uint32_t i = 0; more && more->kind == JSON_OBJ && i < more->n; i++)
        if (more->members[i].value.kind == JSON_STR)
            pass_grpc_pair(b, 10, more->members[i].name, more->members[i].value.s);
    pass_grpc_metadata(d, b, config);
    if (d->ask->sni.n > 0)
        pass_grpc_session(d, b);
    if (d->ask->route_metadata)
        pass_grpc_route_metadata(d, b);
    pb_end(b, attributes);
}

/* ---- asking ---- */

static void pass_grpc_done(void *user, const struct h2_call_reply *r)
{
    struct decision *d = user;
    struct pass_grpc_wait *w = d->wait;

    *w = (struct pass_grpc_wait){r->rc, r->why, r->grpc_status, r->message.n ? arena_dup(d->arena, r->message) : S("")};
    decision_wake(d);
}

static void pass_grpc_begin(struct decision *d)
{
    const struct pass_grpc *g = pass_grpc_of(d->at);
    struct h2_call_req q = {.host = g->host, .port = g->port, .socket = g->socket, .tls = g->tls,
                            .authority = g->authority, .timeout_ms = g->timeout_ms, .retries = g->retries,
                            .pause_ms = g->pause_ms, .pause_max_ms = g->pause_max_ms,
                            .path = S("/envoy.service.auth.v3.Authorization/Check")};
    struct buf b;

    d->wait = ARENA_NEW(d->arena, struct pass_grpc_wait);
    buf_init(&b, PASS_GRPC_MESSAGE_MAX);
    pass_grpc_request(d, &b, pass_grpc_config(d->at));
    q.message = buf_all(&b); /* one that is too large is cut: no CheckRequest, so the server refuses it */
    h2_call_start(d->c->opts.fetcher, &q, pass_grpc_done, d);
    buf_free(&b);
}

/* ---- CheckResponse ---- */

struct pass_grpc_header {
    struct slice name, value;
    bool append;
};
struct pass_grpc_answer {
    int code; /* of status; PASS_GRPC_NO_STATUS: none */
    bool denied, ok, error;
    int http_status;
    struct slice body;
    struct pass_grpc_header headers[PASS_GRPC_HEADERS_MAX], client[PASS_GRPC_HEADERS_MAX];
    size_t headers_n, client_n;
    struct slice remove[PASS_GRPC_HEADERS_MAX];
    size_t remove_n;
    struct json metadata;
};

static int pass_grpc_code(struct pass_grpc_in *x, struct slice m)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    uint64_t n = 0;

    while (pb_next(&r, &f))
        if (f.number == 1)
            (void)pb_take_u64(&f, &n);
    x->bad |= !pb_ok(&r);
    return n > 999 ? 999 : (int)n;
}

static void pass_grpc_option(struct pass_grpc_in *x, struct slice m, struct pass_grpc_header *list, size_t *n)
{
    struct slice header = pb_within(m, 1, &x->bad), raw = pb_within(header, 3, &x->bad);
    struct pass_grpc_header *h = &list[*n];

    if (*n == PASS_GRPC_HEADERS_MAX) {
        x->bad = true;
        return;
    }
    h->name = pb_within(header, 1, &x->bad);
    h->value = raw.n ? raw : pb_within(header, 2, &x->bad);
    h->append = pass_grpc_code(x, pb_within(m, 2, &x->bad)) != 0;
    (*n)++;
}

static bool pass_grpc_good(const struct pass_grpc_header *h)
{
    return header_can_be_set(h->name) && http_value_ok(h->value) && h->value.n <= PASS_GRPC_VALUE_MAX;
}

static void pass_grpc_upstream(struct pass_grpc_in *x, struct slice m, struct pass_grpc_answer *a)
{
    pass_grpc_option(x, m, a->headers, &a->headers_n);
    x->bad = x->bad || !pass_grpc_good(&a->headers[a->headers_n - 1]);
}

/* One that cannot stand is left out: another Postern's x-postern-decision, for one. */
static void pass_grpc_client(struct pass_grpc_in *x, struct slice m, struct pass_grpc_answer *a)
{
    pass_grpc_option(x, m, a->client, &a->client_n);
    if (!x->bad && !pass_grpc_good(&a->client[a->client_n - 1]))
        a->client_n--;
}

static void pass_grpc_ok(struct pass_grpc_in *x, struct slice m, struct pass_grpc_answer *a)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    struct slice bytes;

    a->ok = true;
    while (!x->bad && pb_next(&r, &f)) {
        if (!pb_take_bytes(&f, &bytes))
            continue;
        if (f.number == 2)
            pass_grpc_upstream(x, bytes, a);
        else if (f.number == 6)
            pass_grpc_client(x, bytes, a);
        else if (f.number == 5 && (x->bad |= a->remove_n == PASS_GRPC_HEADERS_MAX || !http_token_ok(bytes), !x->bad))
            a->remove[a->remove_n++] = bytes;
    }
    x->bad |= !pb_ok(&r);
}

static void pass_grpc_denied(struct pass_grpc_in *x, struct slice m, struct pass_grpc_answer *a)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    struct slice bytes;

    a->denied = true;
    while (!x->bad && pb_next(&r, &f)) {
        if (!pb_take_bytes(&f, &bytes))
            continue;
        if (f.number == 1)
            a->http_status = pass_grpc_code(x, bytes);
        else if (f.number == 2)
            pass_grpc_client(x, bytes, a);
        else if (f.number == 3)
            a->body = bytes;
    }
    x->bad |= !pb_ok(&r);
}

static void pass_grpc_read(struct pass_grpc_in *x, struct slice m, struct pass_grpc_answer *a)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    struct slice bytes;

    *a = (struct pass_grpc_answer){.code = PASS_GRPC_NO_STATUS, .body = S(""), .metadata = {.kind = JSON_OBJ}};
    while (!x->bad && pb_next(&r, &f)) {
        if (!pb_take_bytes(&f, &bytes))
            continue;
        switch (f.number) {
        case 1: a->code = a->code > 0 ? a->code : pass_grpc_code(x, bytes); break; /* of several a denial stays */
        case 2: pass_grpc_denied(x, bytes, a); break;
        case 3: pass_grpc_ok(x, bytes, a); break;
        case 4: pass_grpc_read_struct(x, bytes, &a->metadata, 0); break;
        case 5: a->error = true; break;
        default: break;
        }
    }
    x->bad |= !pb_ok(&r);
}

/* State under its own name, all else for the gateway. */
static void pass_grpc_take_metadata(struct decision *d, const struct step *s, const struct json *j)
{
    for (uint32_t i = 0; i < j->n; i++) {
        const struct json *v = &j->members[i].value;
        if (!slice_eq(j->members[i].name, PASS_GRPC_STATE)) {
            decision_metadata(d, s->name, j->members[i].name, v);
            continue;
        }
        for (uint32_t k = 0; v->kind == JSON_OBJ && k < v->n; k++)
            decision_state_put(d, v->members[k].name, &v->members[k].value);
    }
}

static enum step_said pass_grpc_pass(struct decision *d, const struct step *s, const struct pass_grpc_answer *a)
{
    struct slice old;

    pass_grpc_take_metadata(d, s, &a->metadata);
    for (size_t i = 0; i < a->remove_n; i++)
        decision_remove(d, a->remove[i]);
    for (size_t i = 0; i < a->headers_n; i++) {
        const struct pass_grpc_header *h = &a->headers[i];
        struct slice value = h->value;
        if (h->append && decision_header(d, h->name, &old) && old.n > 0)
            value = arena_fmt(d->arena, "%.*s, %.*s", SFMT(old), SFMT(value));
        decision_upstream(d, h->name, value, HEADER_SET);
    }
    for (size_t i = 0; i < a->client_n; i++)
        decision_client(d, a->client[i].name, a->client[i].value);
    return STEP_PASS;
}

static enum step_said pass_grpc_deny(struct decision *d, const struct step *s, const struct pass_grpc_answer *a)
{
    decision_deny(d, callout_denial_status(a->http_status ? a->http_status : a->code == 16 ? 401 : 403),
                  S("passthrough_denied"), arena_fmt(d->arena, "the server that %.*s asks refused", SFMT(s->name)), s->rule);
    d->v->body = a->body.n <= PASS_GRPC_BODY_MAX ? a->body : S("");
    for (size_t i = 0; i < a->client_n; i++)
        decision_client(d, a->client[i].name, a->client[i].value);
    return STEP_DENY;
}

static enum step_said pass_grpc_trouble(struct decision *d, const char *reason, const char *why)
{
    d->trouble = slice_str(reason);
    d->v->words = arena_fmt(d->arena, "the server that is asked by gRPC: %s", why);
    return STEP_TROUBLE;
}

enum step_said pass_grpc_answered(struct decision *d, const struct step *s, struct slice message)
{
    struct pass_grpc_in x = {d->arena, false};
    struct pass_grpc_answer a;

    pass_grpc_read(&x, message, &a);
    if (x.bad || a.error || (!a.denied && !a.ok && a.code == PASS_GRPC_NO_STATUS))
        return pass_grpc_trouble(d, "passthrough_malformed", "its answer is no CheckResponse that says something");
    if (a.denied || a.code > 0)
        return pass_grpc_deny(d, s, &a);
    return pass_grpc_pass(d, s, &a);
}

enum step_said pass_grpc_run(struct decision *d, const struct step *s, bool *unreachable)
{
    const struct pass_grpc_wait *w = d->wait;

    if (!w)
        return callout_wait(d, pass_grpc_begin);
    *unreachable = w->rc != RC_OK || w->grpc_status != PASS_GRPC_OK;
    if (w->rc != RC_OK)
        return pass_grpc_trouble(d, "passthrough_unreachable", w->why);
    if (w->grpc_status != PASS_GRPC_OK)
        return pass_grpc_trouble(d, "passthrough_failed", "it answered with an error");
    return pass_grpc_answered(d, s, w->message);
}

#undef PASS_GRPC_STATE
