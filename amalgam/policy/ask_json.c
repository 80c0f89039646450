/*
 * ask_json.c - the question and the answer as JSON: `postern eval`, POST /v1/decide, the portal.
 *
 *     {"method","path","host","scheme","source_ip","headers":{name: value or [values]},"body"}
 *     {"decision_id","allowed","status","reason","words","rule","route","headers":{...},"limits",...}
 *
 * Unknown members of a question are refused: a misspelt "headers" must not ask something else.
 * Pure. Tested by tests/unit/policy/test_ask.c; manual: docs/eval.md.
 */
#include "policy/inside.h"

static const char *const ask_json_members[] = {"method", "path", "host", "scheme", "source_ip",
                                               "headers", "body", NULL};

static bool ask_json_known(struct slice name)
{
    for (size_t i = 0; ask_json_members[i]; i++)
        if (slice_eq(name, slice_str(ask_json_members[i])))
            return true;
    return false;
}

static const char *ask_json_member_at(const void *ctx, size_t i)
{
    (void)ctx;
    return ask_json_members[i];
}

static enum rc ask_json_shape(const struct json *j, struct err *e)
{
    if (!j || j->kind != JSON_OBJ)
        return err_set(e, RC_BADINPUT, "expected an object with method and path");
    for (uint32_t i = 0; i < j->n; i++) {
        struct slice name = j->members[i].name;
        const char *near;
        if (!ask_json_known(name)) {
            near = nearest_name(name, ask_json_member_at, NULL);
            return err_set(e, RC_BADINPUT, "unknown member \"%.*s\"%s%s%s",
                           SFMT(slice_sub(name, 0, 60)), near ? " (did you mean " : "",
                           near ? near : "", near ? "?)" : "");
        }
        if (!slice_eq(name, S("headers")) && j->members[i].value.kind != JSON_STR)
            return err_set(e, RC_BADINPUT, "\"%.*s\" must be text", SFMT(name));
    }
    return RC_OK;
}

static enum rc ask_json_header(struct http_header *h, struct slice name, const struct json *v,
                               struct err *e)
{
    if (v->kind != JSON_STR || !http_token_ok(name) || !http_value_ok(v->s))
        return err_set(e, RC_BADINPUT, "header \"%.*s\" must be text, or a list of texts, without "
                       "control bytes", SFMT(slice_sub(name, 0, 60)));
    *h = (struct http_header){name, slice_trim(v->s)};
    return RC_OK;
}

static enum rc ask_json_headers(struct arena *a, const struct json *j, struct policy_ask *q,
                                struct err *e)
{
    struct http_header *h;
    enum rc rc = RC_OK;

    if (!j || j->kind == JSON_NULL)
        return RC_OK;
    if (j->kind != JSON_OBJ)
        return err_set(e, RC_BADINPUT, "\"headers\" must be an object");
    h = ARENA_ARRAY(a, struct http_header, HTTP_HEADERS_MAX);
    for (uint32_t i = 0; i < j->n && rc == RC_OK; i++) {
        const struct json *v = &j->members[i].value;
        bool list = v->kind == JSON_ARR;
        for (uint32_t k = 0; k < (list ? v->n : 1) && rc == RC_OK; k++) {
            if (q->headers_n == HTTP_HEADERS_MAX)
                return err_set(e, RC_TOOBIG, "more than %d headers", HTTP_HEADERS_MAX);
            rc = ask_json_header(&h[q->headers_n++], j->members[i].name, list ? &v->items[k] : v, e);
        }
    }
    q->headers = h;
    return rc;
}

enum rc policy_ask_from_json(struct arena *a, const struct json *j, struct policy_ask *q,
                             struct err *e)
{
    struct slice ip = json_str(j, S("source_ip"));
    enum rc rc;

    memset(q, 0, sizeof *q);
    rc = ask_json_shape(j, e);
    if (rc != RC_OK)
        return rc;
    q->method = json_str(j, S("method"));
    q->target = json_str(j, S("path"));
    q->host = json_str(j, S("host"));
    q->scheme = json_str(j, S("scheme"));
    q->body = json_str(j, S("body"));
    if (q->method.n == 0 || q->target.n == 0)
        return err_set(e, RC_BADINPUT, "\"method\" and \"path\" are needed");
    if (ip.n > 0 && !ip_parse(ip, &q->source_ip))
        return err_set(e, RC_BADINPUT, "\"source_ip\" must be an IPv4 or IPv6 address");
    q->has_source_ip = ip.n > 0;
    return ask_json_headers(a, json_get(j, S("headers")), q, e);
}

/* ---- the answer ---- */

/* {"name": "value"}; a name that comes several times has a list. */
static void ask_json_put_headers(struct jsonw *w, struct slice key, const struct policy_header *h,
                                 size_t n)
{
    jsonw_key(w, key);
    jsonw_obj(w);
    for (size_t i = 0; i < n; i++) {
        size_t same = 0, before = 0;
        for (size_t k = 0; k < n; k++)
            if (slice_eq_ci(h[k].name, h[i].name)) {
                same++;
                before += k < i;
            }
        if (before > 0)
            continue;
        jsonw_key(w, h[i].name);
        if (same == 1) {
            jsonw_str(w, h[i].value);
            continue;
        }
        jsonw_arr(w);
        for (size_t k = i; k < n; k++)
            if (slice_eq_ci(h[k].name, h[i].name))
                jsonw_str(w, h[k].value);
        jsonw_end_arr(w);
    }
    jsonw_end_obj(w);
}

static void ask_json_put_limits(struct jsonw *w, const struct policy_verdict *v)
{
    jsonw_key(w, S("limits"));
    jsonw_arr(w);
    for (size_t i = 0; i < v->limits_n; i++) {
        const struct policy_limit *l = &v->limits[i];
        jsonw_obj(w);
        jsonw_kstr(w, S("name"), l->name);
        jsonw_ki64(w, S("limit"), l->limit);
        jsonw_kstr(w, S("unit"), slice_str(limit_unit_name(l->unit)));
        jsonw_ki64(w, S("used"), l->used);
        jsonw_ki64(w, S("remaining"), l->remaining);
        jsonw_ki64(w, S("reset_seconds"), l->reset_s);
        jsonw_kbool(w, S("over"), l->over);
        jsonw_end_obj(w);
    }
    jsonw_end_arr(w);
}

static void ask_json_put_names(struct jsonw *w, struct slice key, const struct slice *names, size_t n)
{
    jsonw_key(w, key);
    jsonw_arr(w);
    for (size_t i = 0; i < n; i++)
        jsonw_str(w, names[i]);
    jsonw_end_arr(w);
}

/* As Envoy gets it under envoy.filters.http.ext_authz: {"step": {"name": value}, "userId": ...}. */
static void ask_json_put_metadata(struct jsonw *w, const struct policy_verdict *v)
{
    jsonw_key(w, S("metadata"));
    jsonw_obj(w);
    for (size_t i = 0; i < v->metadata_n; i++) {
        const struct policy_metadata *m = &v->metadata[i];
        bool first = true;
        for (size_t k = 0; k < i && first; k++)
            first = !slice_eq(v->metadata[k].space, m->space) ||
                    (m->space.n == 0 && !slice_eq(v->metadata[k].name, m->name));
        if (!first)
            continue;
        jsonw_key(w, m->space.n ? m->space : m->name);
        if (m->space.n == 0) {
            jsonw_value(w, m->value);
            continue;
        }
        jsonw_obj(w);
        for (size_t k = i; k < v->metadata_n; k++)
            if (slice_eq(v->metadata[k].space, m->space)) {
                jsonw_key(w, v->metadata[k].name);
                jsonw_value(w, v->metadata[k].value);
            }
        jsonw_end_obj(w);
    }
    jsonw_end_obj(w);
}

static void ask_json_put_trace(struct jsonw *w, const struct policy_verdict *v)
{
    jsonw_key(w, S("trace"));
    jsonw_arr(w);
    for (size_t i = 0; i < v->trace_n; i++) {
        const struct policy_trace *t = &v->trace[i];
        jsonw_obj(w);
        jsonw_kstr(w, S("step"), t->step);
        jsonw_kstr(w, S("policy"), t->policy);
        jsonw_kstr(w, S("rule"), t->rule);
        jsonw_kstr(w, S("said"), t->said);
        jsonw_kstr(w, S("detail"), t->detail);
        jsonw_ki64(w, S("took_ns"), t->took_ns);
        jsonw_end_obj(w);
    }
    jsonw_end_arr(w);
}

void policy_verdict_json(const struct policy_verdict *v, bool trace, struct buf *out)
{
    struct jsonw w;

    jsonw_init(&w, out);
    jsonw_obj(&w);
    jsonw_kstr(&w, S("decision_id"), slice_str(v->id));
    jsonw_kbool(&w, S("allowed"), v->allowed);
    jsonw_ki64(&w, S("status"), v->status);
    jsonw_kstr(&w, S("reason"), v->reason);
    jsonw_kstr(&w, S("words"), v->words);
    jsonw_kstr(&w, S("rule"), v->rule);
    jsonw_kstr(&w, S("route"), v->route);
    if (v->user.n > 0)
        jsonw_kstr(&w, S("user"), v->user);
    if (v->plan.n > 0)
        jsonw_kstr(&w, S("plan"), v->plan);
    jsonw_key(&w, S("headers"));
    jsonw_obj(&w);
    ask_json_put_headers(&w, S("upstream"), v->upstream, v->upstream_n);
    ask_json_put_names(&w, S("remove"), v->remove, v->remove_n);
    ask_json_put_headers(&w, S("client"), v->client, v->client_n);
    jsonw_end_obj(&w);
    if (v->params_remove_n > 0)
        ask_json_put_names(&w, S("query_parameters_to_remove"), v->params_remove, v->params_remove_n);
    if (v->body.n > 0)
        jsonw_kstr(&w, S("body"), v->body);
    if (v->limits_n > 0)
        ask_json_put_limits(&w, v);
    if (v->metadata_n > 0)
        ask_json_put_metadata(&w, v);
    if (trace)
        ask_json_put_trace(&w, v);
    jsonw_end_obj(&w);
}
