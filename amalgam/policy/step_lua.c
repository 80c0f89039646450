/*
 * step_lua.c - luaAuth: a rule in Lua. The chunk returns a function of (request, config).
 *
 * Scripts come from the YAML (`inline`), from the Lua directory or from the binary (`script`). They
 * are compiled once at load, for their faults, and once per thread and set when first used. What the
 * function answers becomes pass or a denial with status, reason, headers and body; a script that
 * fails or goes over its budget is trouble: a denial, with policy and line in the log.
 * A script sees the client's headers, the credential among them, and never a cached or stored secret.
 * Threads: the context's own state. Tested by tests/unit/policy/test_lua.c; manual: docs/lua.md.
 */
#include "base/asset.h"
#include "base/log.h"
#include "base/os.h"
#include "policy/inside.h"
#include "wire/gzip.h"

enum {
    STEP_LUA_TEXT_MAX = 256 << 10,
    STEP_LUA_CONFIG_MAX = 256 << 10,
    STEP_LUA_BODY_MAX = 64 << 10,
    STEP_LUA_HEADERS_MAX = 64
};

struct step_lua_doc {
    struct slice script, text;
    const struct yaml *inline_node, *config;
    struct field_strs headers;
    struct step_lua_http *http;
};
struct step_lua_http {
    struct field_strs allow;
};
/* clang-format off */
static const struct field_row step_lua_http_rows[] = {
    {"allow", FIELD_STRS, offsetof(struct step_lua_http, allow), FIELD_REQUIRED, 0, 0, NULL, NULL, "servers: host, host:port, *.domain, http://host, https://host:port, unix:/path"},
};
static const struct field_table step_lua_http_table = {sizeof(struct step_lua_http), step_lua_http_rows,
                                                       ARRAY_LEN(step_lua_http_rows)};
static const struct field_row step_lua_rows[] = {
    {"script", FIELD_STR, offsetof(struct step_lua_doc, script), 0, 0, 0, NULL, NULL, "name of a file in the Lua directory or of a policy in the binary"},
    {"inline", FIELD_NODE, offsetof(struct step_lua_doc, inline_node), 0, 0, 0, NULL, NULL, "the script itself"},
    {"config", FIELD_NODE, offsetof(struct step_lua_doc, config), 0, 0, 0, NULL, NULL, "anything; second argument of the function"},
    {"headers", FIELD_STRS, offsetof(struct step_lua_doc, headers), 0, 0, 0, NULL, NULL, "headers that the script may set: removed when it does not"},
    {"http", FIELD_OBJ, offsetof(struct step_lua_doc, http), 0, 0, 0, &step_lua_http_table, NULL, "what the script may reach by postern.http; absent: nothing"},
};
/* clang-format on */
static const struct field_table step_lua_table = {sizeof(struct step_lua_doc), step_lua_rows,
                                                  ARRAY_LEN(step_lua_rows)};

const struct field_table *step_lua_fields(void)
{
    return &step_lua_table;
}

/* ---- loading ---- */

static bool step_lua_name_ok(struct slice name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        if (!ascii_alpha(c) && !ascii_digit(c) && !strchr("_-./", c))
            return false;
    }
    return name.n > 0 && name.n < 200 && name.p[0] != '/' && slice_find(name, S("..")) == SIZE_MAX;
}

static bool step_lua_from_asset(struct load *l, struct slice name, struct slice *text)
{
    struct slice path = arena_fmt(&l->scratch, "lua/%.*s", SFMT(name));
    const struct asset *as = asset_find(path);
    struct buf out;
    bool ok;

    if (!as)
        return false;
    buf_init(&out, STEP_LUA_TEXT_MAX);
    ok = gzip_inflate(slice_of((const char *)as->gz, as->gz_len), &out, NULL) == RC_OK;
    if (ok)
        *text = arena_dup(&l->set->arena, buf_all(&out));
    buf_free(&out);
    return ok;
}

static bool step_lua_find(struct load *l, const struct field_in *in, const struct yaml *y,
                          struct slice script, struct lua_step *out)
{
    struct slice name = slice_ends(script, S(".lua"))
                            ? script
                            : arena_fmt(&l->set->arena, "%.*s.lua", SFMT(script));
    struct err e = {0};

    out->name = name;
    if (!step_lua_name_ok(name)) {
        fault_add(in, false, y, NULL, "script \"%.*s\": a name has letters, digits, - _ . and /",
                  SFMT(slice_sub(script, 0, 80)));
        return false;
    }
    if (l->opts->lua_dir && *l->opts->lua_dir) {
        char *path = path_join(&l->scratch, l->opts->lua_dir, arena_cstr(&l->scratch, name));
        if (path_is_file(path)) {
            if (file_read(&l->set->arena, path, STEP_LUA_TEXT_MAX, &out->text, &e) == RC_OK)
                return true;
            fault_add(in, false, y, NULL, "%s", e.text);
            return false;
        }
    }
    if (step_lua_from_asset(l, name, &out->text))
        return true;
    fault_add(in, false, y, NULL, "script %.*s is neither in the Lua directory (%s) nor in Postern",
              SFMT(slice_sub(name, 0, 80)), l->opts->lua_dir && *l->opts->lua_dir
              ? l->opts->lua_dir : "none is set");
    return false;
}

/* "name:12" -> 12 */
static int step_lua_line(const char *place)
{
    size_t at = slice_rindex(slice_str(place), ':');
    uint64_t n = 0;

    if (at == SIZE_MAX || !slice_u64(slice_from(slice_str(place), at + 1), &n))
        return 0;
    return (int)MIN(n, INT32_MAX);
}

/* Compiles and throws away: only the faults matter. */
static bool step_lua_check(struct load *l, const struct field_in *in, const struct yaml *at,
                           const struct lua_step *s, bool is_inline)
{
    struct err e = {0};
    int id = 0, line;
    size_t n;
    const struct script_fn *rows = lua_lib(&n);
    struct yaml place = *at;

    if (!l->script) {
        struct script_budget b = {0, 0};
        l->script = script_open(&b);
        l->script_ctx = mem_zalloc(sizeof *l->script_ctx);
        script_lib(l->script, "postern", rows, n, l->script_ctx);
    }
    if (script_load(l->script, arena_cstr(&l->scratch, s->name), s->text, &id, &e) == RC_OK) {
        script_unload(l->script, id);
        return true;
    }
    line = step_lua_line(e.place);
    if (is_inline && line > 0) { /* a block begins on the line below its key */
        place.line += at->quoted && slice_index(at->text, '\n') != SIZE_MAX ? line : line - 1;
        place.col = 1;
    }
    fault_add(in, false, &place, NULL, "Lua: %s", e.text);
    return false;
}

static struct json *step_lua_config(struct load *l, const struct field_in *in,
                                    const struct yaml *y)
{
    struct json *j = NULL;
    struct buf text;
    struct err e = {0};

    if (!y || y->kind == YAML_NULL) {
        j = ARENA_NEW(&l->set->arena, struct json);
        j->kind = JSON_OBJ;
        return j;
    }
    buf_init(&text, STEP_LUA_CONFIG_MAX);
    yaml_to_json(y, &text);
    if (buf_over(&text) ||
        json_parse(&l->set->arena, buf_all(&text), STEP_LUA_CONFIG_MAX, &j, &e) != RC_OK) {
        fault_add(in, false, y, NULL, "config: %s", e.text[0] ? e.text : "too large");
        j = NULL;
    }
    buf_free(&text);
    return j;
}

static bool step_lua_identity(struct load *l, const struct field_in *in, const struct yaml *y,
                              const struct step_lua_doc *d, struct step *out)
{
    struct slice *names = ARENA_ARRAY(&l->set->arena, struct slice, d->headers.n + 1);

    for (size_t i = 0; i < d->headers.n; i++) {
        if (!http_token_ok(d->headers.v[i])) {
            fault_add(in, false, y, NULL, "headers: \"%.*s\" is no header name",
                      SFMT(slice_sub(d->headers.v[i], 0, 60)));
            return false;
        }
        names[i] = d->headers.v[i];
    }
    out->identity = names;
    out->identity_n = d->headers.n;
    return true;
}

bool step_lua_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                      struct step *out)
{
    const struct step_lua_doc *d = doc;
    struct lua_step *s = ARENA_NEW(&l->set->arena, struct lua_step);
    const struct yaml *at = d->inline_node ? d->inline_node : y;

    if (!d->script.n == !d->inline_node) {
        fault_add(in, false, y, NULL, "luaAuth: expected one of script and inline");
        return false;
    }
    s->space = arena_fmt(&l->set->arena, "lua:%.*s:", SFMT(out->policy));
    if (d->inline_node) {
        if (at->kind != YAML_SCALAR || at->text.n == 0 || at->text.n > STEP_LUA_TEXT_MAX) {
            fault_add(in, false, at, NULL, "inline: expected the text of a script");
            return false;
        }
        s->name = out->rule;
        s->text = at->text;
    } else if (!step_lua_find(l, in, y, d->script, s)) {
        return false;
    }
    s->config = step_lua_config(l, in, d->config);
    if (!s->config || !step_lua_identity(l, in, y, d, out) ||
        !step_lua_check(l, in, at, s, d->inline_node != NULL) ||
        (d->http && !lua_allow_compile(l, in, y, &d->http->allow, s)))
        return false;
    s->index = (int)l->lua.n;
    vec_push(&l->lua, s);
    out->data = s;
    return true;
}

/* ---- the arguments ---- */

/* Request and config are lazy tables: a policy pays for what it reads. */
static struct decision *step_lua_of(struct script_call *c)
{
    const struct lua_call *u = script_user(c);
    return u->d;
}

static void step_lua_kstr(struct script_call *c, const char *name, struct slice value)
{
    script_str(c, value);
    script_set_literal(c, name);
}

/* The values of a header that was sent several times are joined by ", ". */
static struct slice step_lua_joined(struct decision *d, size_t first)
{
    const struct http_header *h = d->ask->headers;
    struct slice name = h[first].name, value = h[first].value;

    for (size_t k = first + 1; k < d->ask->headers_n; k++)
        if (h[k].name.n == name.n && slice_eq_ci(h[k].name, name))
            value = arena_fmt(d->arena, "%.*s, %.*s", SFMT(value), SFMT(h[k].value));
    return value;
}

static bool step_lua_lower(struct slice name)
{
    for (size_t i = 0; i < name.n; i++)
        if (name.p[i] != ascii_lower(name.p[i]))
            return false;
    return name.n > 0;
}

static bool step_lua_header(struct script_call *c, struct slice name)
{
    struct decision *d = step_lua_of(c);

    if (!step_lua_lower(name)) /* names are in lower case */
        return false;
    for (size_t i = 0; i < d->ask->headers_n; i++)
        if (d->ask->headers[i].name.n == name.n && slice_eq_ci(d->ask->headers[i].name, name)) {
            script_str(c, step_lua_joined(d, i));
            return true;
        }
    return false;
}

static bool step_lua_seen(const struct policy_ask *q, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (q->headers[k].name.n == q->headers[i].name.n &&
            slice_eq_ci(q->headers[k].name, q->headers[i].name))
            return true;
    return false;
}

static void step_lua_headers(struct script_call *c)
{
    struct decision *d = step_lua_of(c);
    const struct policy_ask *q = d->ask;
    char name[256];

    script_table_sized(c, 0, (int)q->headers_n);
    for (size_t i = 0; i < q->headers_n; i++) {
        struct slice n = q->headers[i].name;
        if (n.n == 0 || n.n > sizeof name || step_lua_seen(q, i))
            continue;
        for (size_t k = 0; k < n.n; k++)
            name[k] = ascii_lower(n.p[k]);
        script_str(c, step_lua_joined(d, i));
        script_set(c, slice_of(name, n.n));
    }
}

static bool step_lua_meta(struct script_call *c, struct slice name)
{
    const struct key_entry *key = step_lua_of(c)->key;

    for (size_t i = 0; i < key->meta_n; i++)
        if (slice_eq(key->meta[i].name, name)) {
            script_str(c, key->meta[i].value);
            return true;
        }
    return false;
}

static void step_lua_metas(struct script_call *c)
{
    const struct key_entry *key = step_lua_of(c)->key;

    script_table_sized(c, 0, (int)key->meta_n);
    for (size_t i = 0; i < key->meta_n; i++) {
        script_str(c, key->meta[i].value);
        script_set(c, key->meta[i].name);
    }
}

static const struct script_lazy step_lua_lazy_headers = {step_lua_header, step_lua_headers};
static const struct script_lazy step_lua_lazy_meta = {step_lua_meta, step_lua_metas};

/* Members of the request: each pushes its value, or says that there is none. */
static bool step_lua_method(struct script_call *c) { return script_str(c, step_lua_of(c)->ask->method), true; }
static bool step_lua_path(struct script_call *c) { return script_str(c, step_lua_of(c)->path), true; }
static bool step_lua_query(struct script_call *c) { return script_str(c, step_lua_of(c)->query), true; }
static bool step_lua_host(struct script_call *c) { return script_str(c, step_lua_of(c)->host), true; }
static bool step_lua_scheme(struct script_call *c) { return script_str(c, step_lua_of(c)->ask->scheme), true; }
static bool step_lua_route(struct script_call *c) { return script_str(c, step_lua_of(c)->v->route), true; }
static bool step_lua_body(struct script_call *c) { return script_str(c, step_lua_of(c)->ask->body), true; }
static bool step_lua_id(struct script_call *c) { return script_str(c, slice_str(step_lua_of(c)->v->id)), true; }
static bool step_lua_all_headers(struct script_call *c) { return script_push_lazy(c, &step_lua_lazy_headers), true; }

/* What Envoy says beside the request (gRPC): texts that are not "", objects that are there. */
static bool step_lua_said(struct script_call *c, struct slice text)
{
    if (text.n > 0)
        script_str(c, text);
    return text.n > 0;
}

static bool step_lua_object(struct script_call *c, const struct json *j)
{
    if (j)
        lua_push_json(c, j);
    return j != NULL;
}

static bool step_lua_gateway(struct script_call *c) { return step_lua_said(c, step_lua_of(c)->ask->gateway); }
static bool step_lua_principal(struct script_call *c) { return step_lua_said(c, step_lua_of(c)->ask->principal); }
static bool step_lua_service(struct script_call *c) { return step_lua_said(c, step_lua_of(c)->ask->service); }
static bool step_lua_sni(struct script_call *c) { return step_lua_said(c, step_lua_of(c)->ask->sni); }
static bool step_lua_protocol(struct script_call *c) { return step_lua_said(c, step_lua_of(c)->ask->protocol); }
static bool step_lua_extensions(struct script_call *c) { return step_lua_object(c, step_lua_of(c)->ask->extensions); }
static bool step_lua_metadata(struct script_call *c) { return step_lua_object(c, step_lua_of(c)->ask->metadata); }
static bool step_lua_route_metadata(struct script_call *c)
{
    return step_lua_object(c, step_lua_of(c)->ask->route_metadata);
}

static bool step_lua_destination(struct script_call *c)
{
    const struct policy_peer *to = &step_lua_of(c)->ask->destination;
    const struct {
        const char *name;
        struct slice text;
    } rows[] = {{"address", to->address}, {"service", to->service}, {"principal", to->principal}};

    if (!to->address.n && !to->service.n && !to->principal.n)
        return false;
    script_table_sized(c, 0, 4);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].text.n > 0)
            step_lua_kstr(c, rows[i].name, rows[i].text);
    if (to->port) {
        script_int(c, to->port);
        script_set_literal(c, "port");
    }
    return true;
}

static bool step_lua_source_ip(struct script_call *c)
{
    const struct policy_ask *q = step_lua_of(c)->ask;
    char ip[46];

    if (q->has_source_ip)
        script_str(c, slice_of(ip, ip_format(&q->source_ip, ip)));
    return q->has_source_ip;
}

static bool step_lua_identity_of(struct script_call *c)
{
    struct decision *d = step_lua_of(c);

    if (!d->key)
        return false;
    script_table_sized(c, 0, 4);
    step_lua_kstr(c, "user", d->v->user);
    step_lua_kstr(c, "plan", d->v->plan);
    step_lua_kstr(c, "key_id", d->v->key_uuid);
    script_push_lazy(c, &step_lua_lazy_meta);
    script_set_literal(c, "metadata");
    return true;
}

static bool step_lua_claims(struct script_call *c)
{
    return lua_push_claims(c, step_lua_of(c));
}

static bool step_lua_state(struct script_call *c)
{
    struct decision *d = step_lua_of(c);

    script_table_sized(c, 0, (int)d->state_n);
    for (size_t i = 0; i < d->state_n; i++) {
        lua_push_json(c, d->state[i].value);
        script_set(c, d->state[i].name);
    }
    return true;
}

static const struct step_lua_member {
    const char *name;
    bool (*push)(struct script_call *c);
} step_lua_members[] = {
    {"method", step_lua_method}, {"path", step_lua_path}, {"headers", step_lua_all_headers},
    {"identity", step_lua_identity_of}, {"claims", step_lua_claims}, {"state", step_lua_state}, {"query", step_lua_query},
    {"host", step_lua_host}, {"scheme", step_lua_scheme}, {"source_ip", step_lua_source_ip},
    {"route", step_lua_route}, {"body", step_lua_body}, {"id", step_lua_id},
    {"gateway", step_lua_gateway}, {"principal", step_lua_principal}, {"context_extensions", step_lua_extensions},
    {"metadata", step_lua_metadata}, {"route_metadata", step_lua_route_metadata},
    {"destination", step_lua_destination}, {"sni", step_lua_sni}, {"service", step_lua_service},
    {"protocol", step_lua_protocol},
};

static bool step_lua_request_get(struct script_call *c, struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(step_lua_members); i++)
        if (slice_eq(name, slice_str(step_lua_members[i].name)))
            return step_lua_members[i].push(c);
    return false;
}

static void step_lua_request_fill(struct script_call *c)
{
    script_table_sized(c, 0, (int)ARRAY_LEN(step_lua_members));
    for (size_t i = 0; i < ARRAY_LEN(step_lua_members); i++)
        if (step_lua_members[i].push(c))
            script_set_literal(c, step_lua_members[i].name);
}

static bool step_lua_config_get(struct script_call *c, struct slice name)
{
    const struct lua_call *u = script_user(c);
    const struct json *v = json_get(u->step->config, name);

    if (v)
        lua_push_json(c, v);
    return v != NULL;
}

static void step_lua_config_fill(struct script_call *c)
{
    const struct lua_call *u = script_user(c);
    lua_push_json(c, u->step->config);
}

static const struct script_lazy step_lua_lazy_request = {step_lua_request_get, step_lua_request_fill};
static const struct script_lazy step_lua_lazy_config = {step_lua_config_get, step_lua_config_fill};

/* ---- the answer ---- */

static bool step_lua_header_ok(struct slice name, struct slice value)
{
    static const char *const framing[] = {"content-length", "transfer-encoding", "connection",
                                          "x-postern-decision", "x-postern-reason",
                                          "x-postern-status", "x-envoy-auth-headers-to-remove"};

    for (size_t i = 0; i < ARRAY_LEN(framing); i++)
        if (slice_eq_ci(name, slice_str(framing[i])))
            return false;
    return http_token_ok(name) && http_value_ok(value) && value.n <= 8192;
}

/* False: something that cannot be a header. */
static bool step_lua_take_headers(struct script_call *c, struct decision *d, bool allow)
{
    int n = 0;
    bool ok = true;

    if (script_field(c, -1, S("headers")) == SK_TABLE) {
        int at = script_count(c);
        script_nil(c);
        while (script_next(c, at)) {
            struct slice name = arena_dup(d->arena, script_to_str(c, -2));
            struct slice value = arena_dup(d->arena, script_to_str(c, -1));
            script_pop(c, 1);
            if (++n > STEP_LUA_HEADERS_MAX || !step_lua_header_ok(name, value)) {
                ok = false; /* the loop ends by itself: a table is finite */
                continue;
            }
            if (allow)
                decision_upstream(d, name, value, HEADER_SET);
            else
                decision_client(d, name, value);
        }
    }
    script_pop(c, 1);
    return ok;
}

static bool step_lua_take_remove(struct script_call *c, struct decision *d)
{
    bool ok = true;

    if (script_field(c, -1, S("remove")) == SK_TABLE) {
        int at = script_count(c);
        int64_t n = MIN(script_len(c, at), (int64_t)STEP_LUA_HEADERS_MAX);
        for (int64_t k = 1; k <= n; k++) {
            script_item(c, at, k);
            struct slice name = arena_dup(d->arena, script_to_str(c, -1));
            script_pop(c, 1);
            if (http_token_ok(name))
                decision_remove(d, name);
            else
                ok = false;
        }
    }
    script_pop(c, 1);
    return ok;
}

static void step_lua_take_state(struct script_call *c, struct decision *d)
{
    if (script_field(c, -1, S("state")) == SK_TABLE) {
        int at = script_count(c);
        script_nil(c);
        while (script_next(c, at)) {
            const struct json *value = lua_to_json(c, -1, d->arena);
            if (value)
                decision_state_put(d, arena_dup(d->arena, script_to_str(c, -2)), value);
            script_pop(c, 1);
        }
    }
    script_pop(c, 1);
}

static bool step_lua_reason_ok(struct slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!ascii_alpha(s.p[i]) && !ascii_digit(s.p[i]) && s.p[i] != '_' && s.p[i] != '-')
            return false;
    return s.n > 0 && s.n <= 64;
}

static enum step_said step_lua_deny(struct script_call *c, struct decision *d, const struct step *s)
{
    int64_t status;
    struct slice reason, body;
    bool ok;

    (void)script_field(c, -1, S("status"));
    status = script_to_int(c, -1, 403);
    script_pop(c, 1);
    (void)script_field(c, -1, S("reason"));
    reason = arena_dup(d->arena, script_to_str(c, -1));
    script_pop(c, 1);
    (void)script_field(c, -1, S("body"));
    body = script_to_str(c, -1);
    body = body.n <= STEP_LUA_BODY_MAX ? arena_dup(d->arena, body) : S("");
    script_pop(c, 1);
    /* whatever a script says, a denial is never a 2xx (an allow) nor a 5xx (a gateway's fail rule) */
    if (status < 300 || status > 499 || status == 304)
        status = 403;
    decision_deny(d, (int)status, step_lua_reason_ok(reason) ? reason : S("lua_denied"),
                  S("a Lua policy refused the request"), s->rule);
    d->v->body = body;
    ok = step_lua_take_headers(c, d, false);
    (void)ok; /* a header that cannot stand is left out of a denial */
    return STEP_DENY;
}

static enum step_said step_lua_table_answer(struct script_call *c, struct decision *d,
                                            const struct step *s)
{
    enum script_kind k = script_field(c, -1, S("allow"));
    bool allow = k == SK_BOOL && script_to_bool(c, -1);
    bool ok;

    script_pop(c, 1);
    if (k == SK_NIL) { /* a table that names a status and forgets `allow` means a denial */
        allow = script_field(c, -1, S("status")) == SK_NIL;
        script_pop(c, 1);
    }
    if (!allow)
        return step_lua_deny(c, d, s);
    ok = step_lua_take_headers(c, d, true);
    ok = step_lua_take_remove(c, d) && ok;
    step_lua_take_state(c, d);
    if (!ok)
        d->trouble = S("lua_trouble");
    return ok ? STEP_PASS : STEP_TROUBLE;
}

static enum step_said step_lua_answer(struct script_call *c, struct decision *d, const struct step *s)
{
    switch (script_kind(c, -1)) {
    case SK_NIL: return STEP_PASS;
    case SK_BOOL:
        if (script_to_bool(c, -1))
            return STEP_PASS;
        decision_deny(d, 403, S("lua_denied"), S("a Lua policy refused the request"), s->rule);
        return STEP_DENY;
    case SK_STR:
        if (slice_eq(script_to_str(c, -1), S("allow")))
            return STEP_PASS;
        break;
    case SK_TABLE: return step_lua_table_answer(c, d, s);
    default: break;
    }
    d->trouble = S("lua_trouble");
    return STEP_TROUBLE;
}

/* ---- running ---- */

static bool step_lua_ready(struct decision *d, const struct lua_step *s, struct err *e)
{
    struct policy_ctx *c = d->c;
    struct set_rt *rt = d->rt;
    struct script_budget b = {c->opts.lua_instructions, c->opts.lua_memory_bytes};
    size_t n;
    const struct script_fn *rows = lua_lib(&n);

    if (!rt->script) {
        rt->script = script_open(&b);
        script_lib(rt->script, "postern", rows, n, c);
        rt->script_ids = mem_alloc((rt->set->lua_n + 1) * sizeof *rt->script_ids);
        for (size_t i = 0; i < rt->set->lua_n; i++)
            rt->script_ids[i] = -1;
    }
    if (rt->script_ids[s->index] >= 0)
        return true;
    return script_load(rt->script, arena_cstr(d->arena, s->name), s->text,
                       &rt->script_ids[s->index], e) == RC_OK;
}

static enum step_said step_lua_failed(struct decision *d, const struct step *s, const struct err *e)
{
    struct slice request;
    size_t n;

    d->trouble = S("lua_trouble");
    d->v->words = arena_fmt(d->arena, "Lua policy %.*s: %s", SFMT(s->policy), e->text);
    if (d->c->now_ms - d->c->trouble_log_ms >= 1000) {
        d->c->trouble_log_ms = d->c->now_ms;
        request = decision_only_header(d, S("x-request-id"), &n);
        log_event(LOG_WARN, "policy.lua_trouble", "policy=%.*s decision=%s request=%s text=%s",
                  SFMT(s->policy), d->v->id, log_quote(slice_sub(request, 0, 64)),
                  log_quote(slice_str(e->text)));
    }
    return STEP_TROUBLE;
}

enum step_said step_lua_run(struct decision *d, const struct step *s)
{
    const struct lua_step *ls = s->data;
    struct lua_call user = {d, ls, NULL};
    struct err e = {0};
    struct script_call *c;
    enum step_said said;

    if (!step_lua_ready(d, ls, &e))
        return step_lua_failed(d, s, &e);
    c = script_begin(d->rt->script, d->rt->script_ids[ls->index], &user);
    if (ls->allow_n)
        user.replay = lua_replay_start(d, c);
    script_push_lazy(c, &step_lua_lazy_request);
    if (ls->config->kind == JSON_OBJ)
        script_push_lazy(c, &step_lua_lazy_config);
    else
        lua_push_json(c, ls->config);
    if (script_run(c, 2, 1, &e) == RC_OK) {
        said = step_lua_answer(c, d, s);
        if (said == STEP_TROUBLE)
            (void)err_set(&e, RC_BADINPUT, "the answer is not nil, a boolean, \"allow\" or a table "
                          "with headers that can be sent");
    } else if (e.rc == RC_AGAIN && lua_replay_waits(user.replay)) {
        d->begin = lua_replay_begin;
        said = STEP_WAIT;
    } else {
        said = STEP_TROUBLE;
    }
    script_end(c);
    return said == STEP_TROUBLE ? step_lua_failed(d, s, &e) : said;
}
