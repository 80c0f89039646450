/*
 * grpc_auth.c - envoy.service.auth.v3.Authorization/Check: CheckRequest -> policy_ask, verdict ->
 * CheckResponse.
 *
 * Envoy lets a request pass whose answer has no status or status 0, and may be told to let gRPC errors
 * pass as well. So a denial always carries a code, and whatever a client of the gateway can bring about
 * (bytes that are not UTF-8, too many headers or claims, a body that is too large) is a denial; only
 * a message that is no CheckRequest at all, which no client can cause, is a gRPC error.
 * The question is made of what the message says, nothing is taken from the call's own headers. A
 * decision that waits holds a grpc_wait; the stream may be gone when it is made.
 * Field numbers: envoy/service/auth/v3/{attribute_context,external_auth}.proto.
 * Threads: the reactor's. Tested by tests/unit/check/test_grpc.c, tests/fuzz/fuzz_grpc.c,
 * tests/box/test_envoy_grpc.py.
 */
#include "base/mem.h"
#include "check/grpc.h"

enum {
    AUTH_MEMBERS_MAX = 256, /* of an object of context_extensions or metadata */
    AUTH_DEPTH_MAX = 32,
    AUTH_NODES_MAX = 10000,
    AUTH_VALUE_MAX = 16384 /* of a header in an answer, as Envoy checks it */
};

struct auth_in {
    struct policy_ask q;
    struct arena *a;
    const struct check_opts *o;
    struct http_header *headers;
    size_t headers_cap, head_bytes;
    struct json extensions, metadata, route_metadata;
    size_t nodes;
    struct slice text_body;
    bool has_raw;
    bool malformed;     /* no CheckRequest: a gRPC error */
    bool bad_text;      /* a string that is not UTF-8 */
    int refuse;         /* status of a denial of our own, or 0 */
    const char *reason; /* with refuse */
};

static void auth_refuse(struct auth_in *x, int status, const char *reason)
{
    if (x->refuse)
        return;
    x->refuse = status;
    x->reason = reason;
}

/* ---- google.protobuf.Struct -> JSON ---- */

static void auth_struct(struct auth_in *x, struct slice m, struct json *out, int depth);

/* The member of that name, new or (in a map the last one counts) the one that is there. */
static struct json *auth_member(struct auth_in *x, struct json *o, struct slice name)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (slice_eq(o->members[i].name, name))
            return &o->members[i].value;
    if (o->n >= AUTH_MEMBERS_MAX || ++x->nodes > AUTH_NODES_MAX) {
        auth_refuse(x, 403, "metadata_too_large");
        return NULL;
    }
    if ((o->n & (o->n - 1)) == 0) { /* room for 1, 2, 4 ... */
        struct json_member *more = ARENA_ARRAY(x->a, struct json_member, o->n ? o->n * 2 : 1);
        if (o->n)
            memcpy(more, o->members, o->n * sizeof *more);
        o->members = more;
    }
    o->members[o->n].name = name;
    return &o->members[o->n++].value;
}

static void auth_number(struct json *out, double d)
{
    if (d >= -9007199254740992.0 && d <= 9007199254740992.0 && d == (double)(int64_t)d)
        *out = (struct json){.kind = JSON_INT, .i = (int64_t)d};
    else if (d - d == 0)
        *out = (struct json){.kind = JSON_REAL, .d = d};
    else /* JSON has no infinity */
        *out = (struct json){.kind = JSON_NULL};
}

static void auth_value(struct auth_in *x, struct slice m, struct json *out, int depth);

static void auth_list(struct auth_in *x, struct slice m, struct json *out, int depth)
{
    struct pb r = pb_open(m), again = r;
    struct pb_field f;
    uint32_t n = 0;
    while (pb_next(&r, &f))
        n += f.number == 1 && f.type == PB_BYTES;
    x->malformed |= !pb_ok(&r);
    x->nodes += n;
    if (x->nodes > AUTH_NODES_MAX) {
        auth_refuse(x, 403, "metadata_too_large");
        return;
    }
    *out = (struct json){.kind = JSON_ARR, .items = ARENA_ARRAY(x->a, struct json, n)};
    while (pb_next(&again, &f))
        if (f.number == 1 && f.type == PB_BYTES)
            auth_value(x, f.bytes, &out->items[out->n++], depth);
}

static void auth_value(struct auth_in *x, struct slice m, struct json *out, int depth)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    double d;
    bool yes;
    *out = (struct json){.kind = JSON_NULL};
    if (depth > AUTH_DEPTH_MAX) {
        auth_refuse(x, 403, "metadata_too_large");
        return;
    }
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            *out = (struct json){.kind = JSON_NULL};
        else if (f.number == 2 && pb_take_double(&f, &d))
            auth_number(out, d);
        else if (f.number == 3 && pb_take_text(&f, &m, &x->bad_text))
            *out = (struct json){.kind = JSON_STR, .s = m};
        else if (f.number == 4 && pb_take_bool(&f, &yes))
            *out = (struct json){.kind = JSON_BOOL, .b = yes};
        else if (f.number == 5 && f.type == PB_BYTES)
            auth_struct(x, f.bytes, out, depth + 1);
        else if (f.number == 6 && f.type == PB_BYTES)
            auth_list(x, f.bytes, out, depth + 1);
    }
    x->malformed |= !pb_ok(&r);
}

/* An entry of a map: key 1, value 2. */
static struct slice auth_entry(struct auth_in *x, struct slice m, struct slice *value)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    struct slice key = S("");
    *value = S("");
    while (pb_next(&r, &f)) {
        if (f.number == 1)
            (void)pb_take_text(&f, &key, &x->bad_text);
        else if (f.number == 2)
            (void)pb_take_bytes(&f, value);
    }
    x->malformed |= !pb_ok(&r);
    return key;
}

static void auth_struct(struct auth_in *x, struct slice m, struct json *out, int depth)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    struct slice value;
    *out = (struct json){.kind = JSON_OBJ};
    while (pb_next(&r, &f) && !x->refuse) {
        if (f.number != 1 || f.type != PB_BYTES)
            continue;
        struct json *to = auth_member(x, out, auth_entry(x, f.bytes, &value));
        if (to)
            auth_value(x, value, to, depth);
    }
    x->malformed |= !pb_ok(&r);
}

/* ---- AttributeContext ---- */

static void auth_text(struct auth_in *x, const struct pb_field *f, struct slice *out)
{
    (void)pb_take_text(f, out, &x->bad_text);
}

/* Pseudo headers stand in the map as well; what they say is in fields of its own. */
static void auth_header(struct auth_in *x, struct slice name, struct slice value)
{
    if (name.n > 0 && name.p[0] == ':')
        return;
    x->head_bytes += name.n + value.n;
    if (x->q.headers_n >= x->o->http.headers_max || x->head_bytes > x->o->http.head_bytes_max) {
        auth_refuse(x, 431, "headers_too_large");
        return;
    }
    if (!http_token_ok(name) || !http_value_ok(value)) {
        auth_refuse(x, 400, "header_malformed");
        return;
    }
    if (x->q.headers_n == x->headers_cap) {
        size_t cap = x->headers_cap ? x->headers_cap * 2 : 16;
        struct http_header *more = arena_alloc(x->a, cap * sizeof *more);
        if (x->headers_cap)
            memcpy(more, x->headers, x->headers_cap * sizeof *more);
        x->headers = more;
        x->headers_cap = cap;
        x->q.headers = more;
    }
    x->headers[x->q.headers_n++] = (struct http_header){name, slice_trim(value)};
}

static void auth_map_header(struct auth_in *x, struct slice m)
{
    struct slice value, name = auth_entry(x, m, &value);
    if (UNLIKELY(!slice_utf8(value)))
        x->bad_text = true;
    else
        auth_header(x, name, value);
}

/* HeaderMap: values may be bytes of any kind, as the client sent them. */
static void auth_header_map(struct auth_in *x, struct slice m)
{
    struct pb list = pb_open(m);
    struct pb_field f;
    while (pb_next(&list, &f)) {
        if (f.number != 1 || f.type != PB_BYTES)
            continue;
        struct pb r = pb_open(f.bytes);
        struct slice name = S(""), value = S("");
        while (pb_next(&r, &f)) {
            if (f.number == 1)
                auth_text(x, &f, &name);
            else if (f.number == 2)
                auth_text(x, &f, &value);
            else if (f.number == 3)
                (void)pb_take_bytes(&f, &value);
        }
        x->malformed |= !pb_ok(&r);
        auth_header(x, name, value);
    }
    x->malformed |= !pb_ok(&list);
}

static void auth_http(struct auth_in *x, struct slice m)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        switch (f.number) {
        case 2:
            auth_text(x, &f, &x->q.method);
            break;
        case 3:
            if (f.type == PB_BYTES)
                auth_map_header(x, f.bytes);
            break;
        case 4: /* with the query, as the client sent it; `query` (7) is always empty */
            auth_text(x, &f, &x->q.target);
            break;
        case 5:
            auth_text(x, &f, &x->q.host);
            break;
        case 6:
            auth_text(x, &f, &x->q.scheme);
            break;
        case 10:
            auth_text(x, &f, &x->q.protocol);
            break;
        case 11:
            auth_text(x, &f, &x->text_body);
            break;
        case 12:
            x->has_raw |= pb_take_bytes(&f, &x->q.body);
            break;
        case 13:
            if (f.type == PB_BYTES)
                auth_header_map(x, f.bytes);
            break;
        default:
            break;
        }
    x->malformed |= !pb_ok(&r);
}

/* SocketAddress and Pipe, the kinds of an Address that a connection has. */
static void auth_address(struct auth_in *x, struct slice m, struct policy_peer *p)
{
    struct pb kinds = pb_open(m);
    struct pb_field kind, f;
    while (pb_next(&kinds, &kind)) {
        if (kind.type != PB_BYTES || kind.number > 2)
            continue;
        struct pb r = pb_open(kind.bytes);
        while (pb_next(&r, &f)) {
            if (f.number == (kind.number == 1 ? 2 : 1))
                auth_text(x, &f, &p->address);
            else if (kind.number == 1 && f.number == 3)
                (void)pb_take_u32(&f, &p->port);
        }
        x->malformed |= !pb_ok(&r);
    }
    x->malformed |= !pb_ok(&kinds);
}

static void auth_peer(struct auth_in *x, struct slice m, struct policy_peer *p)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.number == 1 && f.type == PB_BYTES)
            auth_address(x, f.bytes, p);
        else if (f.number == 2)
            auth_text(x, &f, &p->service);
        else if (f.number == 4)
            auth_text(x, &f, &p->principal);
    }
    x->malformed |= !pb_ok(&r);
}

static void auth_source(struct auth_in *x, struct slice m)
{
    struct policy_peer from = {S(""), 0, x->q.service, x->q.principal};
    auth_peer(x, m, &from);
    x->q.service = from.service;
    x->q.principal = from.principal;
    if (from.address.n == 0 || from.address.p[0] == '/' || from.address.p[0] == '@')
        return; /* a client on a Unix socket has no address */
    x->q.has_source_ip = true;
    if (!ip_parse(from.address, &x->q.source_ip))
        auth_refuse(x, 403, "source_malformed");
}

static void auth_extension(struct auth_in *x, struct slice m)
{
    struct slice value, key = auth_entry(x, m, &value);
    struct json *to = auth_member(x, &x->extensions, key);
    if (!slice_utf8(value))
        x->bad_text = true;
    else if (to)
        *to = (struct json){.kind = JSON_STR, .s = value};
    x->q.extensions = &x->extensions;
}

/* Metadata: filter_metadata is a map of names to Structs. */
static void auth_metadata(struct auth_in *x, struct slice m, struct json *all, const struct json **said)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    struct slice value;
    while (pb_next(&r, &f)) {
        if (f.number != 1 || f.type != PB_BYTES)
            continue;
        struct json *to = auth_member(x, all, auth_entry(x, f.bytes, &value));
        if (to)
            auth_struct(x, value, to, 1);
        *said = all;
    }
    x->malformed |= !pb_ok(&r);
}

static void auth_session(struct auth_in *x, struct slice m)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == 1)
            auth_text(x, &f, &x->q.sni);
    x->malformed |= !pb_ok(&r);
}

static void auth_attributes(struct auth_in *x, struct slice m)
{
    struct pb r = pb_open(m);
    struct pb_field f;
    while (pb_next(&r, &f)) {
        if (f.type != PB_BYTES)
            continue;
        if (f.number == 1)
            auth_source(x, f.bytes);
        else if (f.number == 2)
            auth_peer(x, f.bytes, &x->q.destination);
        else if (f.number == 4)
            auth_http(x, pb_within(f.bytes, 2, &x->malformed));
        else if (f.number == 10)
            auth_extension(x, f.bytes);
        else if (f.number == 11)
            auth_metadata(x, f.bytes, &x->metadata, &x->q.metadata);
        else if (f.number == 12)
            auth_session(x, f.bytes);
        else if (f.number == 13)
            auth_metadata(x, f.bytes, &x->route_metadata, &x->q.route_metadata);
    }
    x->malformed |= !pb_ok(&r);
}

static void auth_read(struct auth_in *x, struct grpc_conn *g, struct slice message)
{
    memset(x, 0, sizeof *x);
    x->a = policy_arena(g->t->policy);
    x->o = &g->t->opts;
    x->q.method = x->q.host = x->q.scheme = x->q.target = x->q.body = x->q.principal = x->text_body = S("");
    x->q.service = x->q.sni = x->q.protocol = S("");
    x->q.gateway = conn_peer(g->c)->cert_name;
    x->q.destination = (struct policy_peer){S(""), 0, S(""), S("")};
    x->extensions.kind = x->metadata.kind = x->route_metadata.kind = JSON_OBJ;
    struct pb r = pb_open(message);
    struct pb_field f;
    while (pb_next(&r, &f))
        if (f.number == 1 && f.type == PB_BYTES)
            auth_attributes(x, f.bytes);
    x->malformed |= !pb_ok(&r);
    if (!x->has_raw)
        x->q.body = x->text_body;
    if (x->bad_text)
        auth_refuse(x, 400, "utf8_malformed");
    if (x->q.target.n > x->o->http.target_bytes_max)
        auth_refuse(x, 414, "target_too_long");
    if (x->q.body.n > x->o->body_bytes_max)
        auth_refuse(x, 413, "body_too_large");
}

/* ---- CheckResponse ---- */

static const struct dialect *auth_row(void)
{
    return dialect_at(DIALECT_GRPC);
}

static void auth_lower(struct buf *b, uint32_t number, struct slice name, char dash)
{
    size_t mark = pb_begin(b, number);
    for (size_t i = 0; i < name.n; i++)
        buf_byte(b, dash && name.p[i] == '-' ? dash : ascii_lower(name.p[i]));
    pb_end(b, mark);
}

/* HeaderValueOption; `append` is always said: what Envoy takes for unset differs by place. */
static void auth_option(struct buf *b, uint32_t number, struct slice name, struct slice value, bool append)
{
    size_t option = pb_begin(b, number), header = pb_begin(b, 1);
    auth_lower(b, 1, name, 0);
    pb_put_bytes(b, slice_utf8(value) ? 2 : 3, value);
    pb_end(b, header);
    size_t wrapped = pb_begin(b, 2);
    if (append)
        pb_put_u64(b, 1, 1);
    pb_end(b, wrapped);
    pb_end(b, option);
}

static bool auth_fits(struct slice value)
{
    return value.n <= AUTH_VALUE_MAX && http_value_ok(value);
}

/* Spellings that some upstreams take for the same go along. */
static void auth_remove(struct buf *b, struct slice name, bool itself)
{
    if (itself)
        auth_lower(b, 5, name, 0);
    if (slice_index(name, '-') == SIZE_MAX)
        return;
    auth_lower(b, 5, name, '_');
    auth_lower(b, 5, name, '.');
}

/* Policies append to what policies have set, never to what the client sent: the first of a name replaces
 * that. (Envoy would also drop what is appended to nothing.) */
static bool auth_appends(const struct policy_verdict *v, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (v->upstream[at].op == HEADER_APPEND && slice_eq_ci(v->upstream[i].name, v->upstream[at].name))
            return true;
    return false;
}

static void auth_upstream(struct buf *b, const struct policy_verdict *v)
{
    for (size_t i = 0; i < v->upstream_n; i++) {
        const struct policy_header *h = &v->upstream[i];
        bool set = h->value.n > 0 && auth_fits(h->value);
        if (set)
            auth_option(b, 2, h->name, h->value, auth_appends(v, i));
        auth_remove(b, h->name, !set);
    }
    for (size_t i = 0; i < v->remove_n; i++)
        auth_remove(b, v->remove[i], true);
}

/* Headers for the client. Of a denial Envoy takes those that are not appended, each of a name that comes several
 * times (Set-Cookie), and passes over the others. */
static void auth_client(struct buf *b, uint32_t number, const struct policy_verdict *v)
{
    for (size_t i = 0; i < v->client_n; i++) {
        bool again = false;
        for (size_t k = 0; k < i; k++)
            again |= slice_eq_ci(v->client[k].name, v->client[i].name);
        again |= slice_eq_ci(v->client[i].name, S("set-cookie")); /* beside the upstream's */
        if (auth_fits(v->client[i].value))
            auth_option(b, number, v->client[i].name, v->client[i].value, again && v->allowed);
    }
}

static void auth_limits(struct buf *b, uint32_t number, struct check_thread *t, const struct policy_verdict *v)
{
    struct slice rest, line;
    if (!v->limits_n)
        return;
    buf_clear(&t->json);
    answer_limits(&t->json, &t->opts, v);
    for (rest = buf_all(&t->json); rest.n > 0;) {
        line = slice_cut(rest, '\n', &rest);
        struct slice value, name = slice_cut(line, ':', &value);
        value.n -= value.n > 0; /* the carriage return */
        auth_option(b, number, name, slice_trim(value), false);
    }
}

static void auth_json(struct buf *b, uint32_t number, const struct json *j, int depth);

/* A Struct's entry. */
static void auth_json_member(struct buf *b, struct slice name, const struct json *j, int depth)
{
    size_t entry = pb_begin(b, 1);
    pb_put_text(b, 1, name);
    auth_json(b, 2, j, depth);
    pb_end(b, entry);
}

static void auth_json_inner(struct buf *b, const struct json *j, int depth)
{
    size_t inner = pb_begin(b, j->kind == JSON_ARR ? 6 : 5);
    for (uint32_t i = 0; i < j->n && depth < AUTH_DEPTH_MAX; i++) {
        if (j->kind == JSON_ARR)
            auth_json(b, 1, &j->items[i], depth + 1);
        else
            auth_json_member(b, j->members[i].name, &j->members[i].value, depth + 1);
    }
    pb_end(b, inner);
}

/* A Value. */
static void auth_json(struct buf *b, uint32_t number, const struct json *j, int depth)
{
    size_t value = pb_begin(b, number);
    switch (j->kind) {
    case JSON_BOOL:
        pb_put_u64(b, 4, j->b);
        break;
    case JSON_INT:
        pb_put_double(b, 2, (double)j->i);
        break;
    case JSON_UINT:
        pb_put_double(b, 2, (double)j->u);
        break;
    case JSON_REAL:
        pb_put_double(b, 2, j->d);
        break;
    case JSON_STR:
        pb_put_text(b, 3, j->s);
        break;
    case JSON_ARR:
    case JSON_OBJ:
        auth_json_inner(b, j, depth);
        break;
    default:
        pb_put_u64(b, 1, 0);
        break;
    }
    pb_end(b, value);
}

static void auth_words(struct buf *b, struct slice name, struct slice text)
{
    const struct json j = {.kind = JSON_STR, .s = text};
    if (text.n > 0)
        auth_json_member(b, name, &j, 1);
}

static bool auth_has(const struct policy_verdict *v, struct slice name)
{
    for (size_t i = 0; i < v->metadata_n; i++)
        if (v->metadata[i].space.n == 0 && slice_eq(v->metadata[i].name, name))
            return true;
    return false;
}

/* What a step said, under its name; spaces come in the order of their first member. */
static void auth_space(struct buf *b, const struct policy_verdict *v, size_t first)
{
    struct slice space = v->metadata[first].space;
    for (size_t i = 0; i < first; i++)
        if (slice_eq(v->metadata[i].space, space))
            return; /* done with it */
    size_t entry = pb_begin(b, 1);
    pb_put_text(b, 1, space);
    size_t value = pb_begin(b, 2), inner = pb_begin(b, 5);
    for (size_t i = first; i < v->metadata_n; i++)
        if (slice_eq(v->metadata[i].space, space))
            auth_json_member(b, v->metadata[i].name, v->metadata[i].value, 2);
    pb_end(b, inner);
    pb_end(b, value);
    pb_end(b, entry);
}

static void auth_metadata_out(struct buf *b, const struct policy_verdict *v)
{
    size_t all = pb_begin(b, 4);
    for (size_t i = 0; i < v->metadata_n; i++) {
        if (v->metadata[i].space.n == 0)
            auth_json_member(b, v->metadata[i].name, v->metadata[i].value, 1);
        else
            auth_space(b, v, i);
    }
    if (!auth_has(v, S("userId")))
        auth_words(b, S("userId"), v->user);
    if (!auth_has(v, S("usagePlan")))
        auth_words(b, S("usagePlan"), v->plan);
    auth_words(b, S("postern_decision"), slice_of(v->id, 16));
    auth_words(b, S("postern_reason"), v->reason);
    pb_end(b, all);
}

static void auth_status(struct buf *b, enum grpc_code code, struct slice words)
{
    size_t status = pb_begin(b, 1);
    if (code != GRPC_OK)
        pb_put_u64(b, 1, (uint64_t)code);
    if (words.n)
        pb_put_text(b, 2, words);
    pb_end(b, status);
}

static enum grpc_code auth_code(int status)
{
    return status == 401 ? GRPC_UNAUTHENTICATED : GRPC_DENIED;
}

static void auth_http_status(struct buf *b, int status)
{
    size_t code = pb_begin(b, 1);
    pb_put_u64(b, 1, (uint64_t)status);
    pb_end(b, code);
}

static bool auth_typed(const struct policy_verdict *v)
{
    for (size_t i = 0; i < v->client_n; i++)
        if (slice_eq_ci(v->client[i].name, S("content-type")))
            return true;
    return false;
}

static void auth_denied(struct buf *b, struct check_thread *t, const struct policy_verdict *v)
{
    int status = answer_dialect_status(auth_row(), v);
    auth_status(b, auth_code(status), v->words); /* this is the denial, whatever the client is told */
    size_t denied = pb_begin(b, 2);
    auth_http_status(b, v->page ? 200 : status);
    auth_option(b, 2, S("x-postern-decision"), slice_of(v->id, 16), false);
    auth_option(b, 2, S("x-postern-reason"), v->reason, false);
    auth_client(b, 2, v);
    auth_limits(b, 2, t, v);
    if (v->body.n) {
        if (!auth_typed(v))
            auth_option(b, 2, S("content-type"), S("text/plain; charset=utf-8"), false);
        pb_put_text(b, 3, v->body);
    }
    pb_end(b, denied);
}

static void auth_allowed(struct buf *b, struct check_thread *t, const struct policy_verdict *v)
{
    auth_status(b, GRPC_OK, S(""));
    size_t ok = pb_begin(b, 3);
    auth_upstream(b, v);
    for (size_t i = 0; i < v->params_remove_n; i++)
        pb_put_text(b, 8, v->params_remove[i]);
    auth_client(b, 6, v);
    auth_limits(b, 6, t, v);
    pb_end(b, ok);
}

static void auth_answer(const struct grpc_call *k, const struct policy_verdict *v)
{
    size_t mark;
    struct buf *b = grpc_reply(k, &mark);
    answer_count(auth_row(), v->allowed, v->status);
    if (v->allowed)
        auth_allowed(b, k->g->t, v);
    else
        auth_denied(b, k->g->t, v);
    auth_metadata_out(b, v);
    grpc_reply_end(k, mark);
}

/* A denial of the door's own. */
static void auth_deny(const struct grpc_call *k, int status, const char *reason)
{
    size_t mark;
    struct buf *b = grpc_reply(k, &mark);
    answer_count(auth_row(), false, status);
    auth_status(b, auth_code(status), slice_str(reason));
    size_t denied = pb_begin(b, 2);
    auth_http_status(b, status);
    auth_option(b, 2, S("x-postern-reason"), slice_str(reason), false);
    pb_end(b, denied);
    grpc_reply_end(k, mark);
}

void grpc_auth_too_big(const struct grpc_call *k)
{
    auth_deny(k, 413, "body_too_large");
}

/* ---- deciding ---- */

static void auth_done(void *user, const struct policy_verdict *v)
{
    struct grpc_wait *w = user;
    struct grpc_conn *g = w->g;
    struct h2_stream *s = w->s;
    g->waiting--;
    mem_free(w);
    if (s) {
        const struct grpc_call k = {.g = g, .s = s};
        h2_set_user(s, NULL);
        auth_answer(&k, v);
        h2_flush(s);
    }
    grpc_conn_drop(g);
}

/* The one that the next decision to wait will get: made ahead, as policy_decide must be told of it. */
static struct grpc_wait *auth_wait(struct check_thread *t)
{
    if (!t->wait)
        t->wait = mem_zalloc(sizeof *t->wait);
    return t->wait;
}

static void auth_park(const struct grpc_call *k, struct grpc_wait *w)
{
    k->g->t->wait = NULL;
    *w = (struct grpc_wait){k->g, k->s};
    k->g->waiting++;
    h2_set_user(k->s, w);
    h2_deadline(k->s, grpc_timeout_ms(h2_request(k->s)));
}

void grpc_auth_check(const struct grpc_call *k)
{
    struct check_thread *t = k->g->t;
    struct auth_in x;
    struct policy_verdict v;
    auth_read(&x, k->g, k->message);
    if (x.malformed) {
        answer_count(auth_row(), false, 400);
        grpc_fail(k->s, GRPC_INVALID, S("this is no CheckRequest"));
        return;
    }
    if (x.refuse) {
        auth_deny(k, x.refuse, x.reason);
        return;
    }
    if (k->g->waiting >= t->opts.streams_max) { /* calls that were given up are still being decided */
        auth_deny(k, 403, "too_many_waiting");
        return;
    }
    x.q.now_ms = reactor_now_ms(conn_reactor(k->g->c));
    struct grpc_wait *w = auth_wait(t);
    enum rc rc = policy_decide(t->policy, &x.q, &v, auth_done, w);
    if (LIKELY(rc == RC_OK))
        auth_answer(k, &v);
    else if (rc == RC_AGAIN)
        auth_park(k, w);
    else
        auth_deny(k, 403, "trouble");
}
