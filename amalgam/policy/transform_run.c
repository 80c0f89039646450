/*
 * transform_run.c - a TransformationPolicy in a route's chain: templates -> headers and metadata.
 *
 * All templates see the request as it was before the policy; then headers are set (or removed, when the
 * text is empty), removed and appended, in this order. A value that cannot stand in a header, a template
 * that fails or goes over its budget is trouble: a denial, unless failureModeAllow; nothing is changed
 * then. At the end of the chain transform_answer applies response templates: all of them to a denial
 * of ours, to an allowed request only headers for the client that look at nothing of the upstream's
 * answer. Threads: the context's. Tested by tests/unit/policy/test_transform.c.
 */
#include "policy/transform.h"

enum { TRANSFORM_VALUE_MAX = 8192, TRANSFORM_REPLACE_IN_MAX = 16 << 10, TRANSFORM_REPLACE_OUT_MAX = 64 << 10,
       TRANSFORM_REPLACE_TIMES_MAX = 4096, TRANSFORM_GROUPS = 100, TRANSFORM_BODY_MAX = 1 << 20 };

static bool transform_run_fail(struct transform_scope *x, int status, struct slice reason,
                               struct slice words, struct slice rule)
{
    x->status = status;
    x->reason = reason;
    x->words = words;
    x->rule = rule;
    return false;
}

static const struct transform_policy *transform_run_policy(const struct transform_scope *x)
{
    return x->item->policy;
}

/* ---- extractors ---- */

static bool transform_run_replace_all(struct arena *a, const struct transform_extractor *e, struct slice in,
                                      struct slice *out)
{
    struct slice hit = S("");
    struct buf b;
    size_t at = 0, from = 0, n = 0, times = 0;
    enum rc rc = RC_OK;

    if (in.n > TRANSFORM_REPLACE_IN_MAX)
        return false;
    buf_init(&b, TRANSFORM_REPLACE_OUT_MAX);
    while (from <= in.n && (rc = regex_match_from(e->regex, in, from, &hit, 1, &n)) == RC_OK) {
        size_t begins = (size_t)(hit.p - in.p);
        if (++times > TRANSFORM_REPLACE_TIMES_MAX)
            break;
        buf_put(&b, in.p + at, begins - at);
        buf_slice(&b, e->replacement);
        at = begins + hit.n;
        from = at + (hit.n == 0); /* an empty match moves on by one */
    }
    buf_slice(&b, slice_from(in, at));
    *out = times ? arena_dup(a, buf_all(&b)) : in;
    rc = rc == RC_NOTFOUND && !buf_over(&b) ? RC_OK : rc == RC_OK && from > in.n && !buf_over(&b) ? RC_OK : RC_TOOBIG;
    buf_free(&b);
    return rc == RC_OK;
}

/* False: a limit. What does not match is nothing for EXTRACT and stays as it is for the others. */
static bool transform_run_extract(struct arena *a, const struct transform_extractor *e, struct slice in,
                                  struct slice *out)
{
    struct slice groups[TRANSFORM_GROUPS];
    size_t n = 0;
    enum rc rc;

    if (!in.p)
        in = S("");
    if (e->mode == TRANSFORM_REPLACE_ALL)
        return transform_run_replace_all(a, e, in, out);
    *out = e->mode == TRANSFORM_EXTRACT ? S("") : in;
    rc = regex_match(e->regex, in, groups, TRANSFORM_GROUPS, &n);
    if (rc != RC_OK || e->group >= n || !groups[e->group].p)
        return rc == RC_OK || rc == RC_NOTFOUND;
    if (e->mode == TRANSFORM_EXTRACT) {
        *out = groups[e->group];
    } else {
        size_t at = (size_t)(groups[e->group].p - in.p), to = at + e->replacement.n;
        struct slice tail = slice_from(in, at + groups[e->group].n);
        char *p;
        if (in.n > TRANSFORM_REPLACE_OUT_MAX)
            return false;
        p = arena_alloc(a, to + tail.n + 1);
        memcpy(p, in.p, at);
        memcpy(p + at, e->replacement.p, e->replacement.n);
        memcpy(p + to, tail.p, tail.n);
        *out = slice_of(p, to + tail.n);
    }
    return true;
}

static bool transform_run_extractors(struct transform_scope *x)
{
    const struct transform_side *s = x->side;

    x->extracted = s->extractors_n ? arena_alloc(x->d->arena, s->extractors_n * sizeof *x->extracted) : NULL;
    for (size_t i = 0; i < s->extractors_n; i++) {
        const struct transform_extractor *e = &s->extractors[i];
        struct slice in = x->body;
        x->extracted[i] = S("");
        if (e->header.n > 0 && !transform_header(x, e->header, &in))
            continue; /* no such header: nothing, in every mode */
        if (!transform_run_extract(x->d->arena, e, in, &x->extracted[i]))
            return transform_run_fail(x, 403, S("transformation_limit"),
                                      arena_fmt(x->d->arena, "extractor %.*s took too many steps, or its source is too long",
                                                SFMT(slice_sub(e->name, 0, 60))), transform_run_policy(x)->rule);
    }
    return true;
}

/* ---- names ---- */

static struct json *transform_run_member(struct json *o, struct slice name)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (slice_eq(o->members[i].name, name))
            return &o->members[i].value;
    return NULL;
}

/* o has room for one more member at the top; below, objects are copied with room. */
static void transform_run_put(struct arena *a, struct json *o, struct slice path, struct slice value)
{
    struct slice rest = path, head = slice_cut(path, '.', &rest);
    struct json *v = transform_run_member(o, head), below = {.kind = JSON_OBJ};

    if (!v) {
        o->members[o->n] = (struct json_member){head, {.kind = JSON_NULL}};
        v = &o->members[o->n++].value;
    }
    if (rest.n == 0) {
        *v = (struct json){.kind = JSON_STR, .s = value};
        return;
    }
    below.n = v->kind == JSON_OBJ ? v->n : 0;
    below.members = arena_alloc(a, (below.n + 1) * sizeof *below.members);
    if (below.n)
        memcpy(below.members, v->members, below.n * sizeof *below.members);
    *v = below;
    transform_run_put(a, v, rest, value);
}

/* The members of the JSON body, and over them the extractors, dots in whose names nest. */
static void transform_run_root(struct transform_scope *x)
{
    const struct json *body = x->parsed && x->parsed->kind == JSON_OBJ ? x->parsed : NULL;
    struct json *root;
    uint32_t n = body ? body->n : 0;

    x->root = body;
    if (x->side->advanced || x->side->extractors_n == 0)
        return;
    root = arena_alloc(x->d->arena, sizeof *root);
    *root = (struct json){.kind = JSON_OBJ, .n = n};
    root->members = arena_alloc(x->d->arena, (n + x->side->extractors_n) * sizeof *root->members);
    if (n)
        memcpy(root->members, body->members, n * sizeof *root->members);
    for (size_t i = 0; i < x->side->extractors_n; i++)
        transform_run_put(x->d->arena, root, x->side->extractors[i].name, x->extracted[i]);
    x->root = root;
}

static bool transform_run_parse(struct transform_scope *x)
{
    const struct transform_side *s = x->side;
    struct err e = {0};

    if (!s->parse || x->body.n == 0)
        return true;
    if (json_parse(x->d->arena, x->body, TRANSFORM_BODY_MAX, &x->parsed, &e) == RC_OK)
        return true;
    x->parsed = NULL;
    if (s->ignore_parse || x->response)
        return true;
    return transform_run_fail(x, 400, S("body_malformed"),
                              S("the body is no JSON; parseBodyBehavior: DontParse if it need not be"),
                              transform_run_policy(x)->rule);
}

static bool transform_run_begin(struct transform_scope *x)
{
    enum { NAMES = TEMPLATE_NEEDS_NAMES | TRANSFORM_NEEDS_CONTEXT };

    if (!transform_run_parse(x) || !transform_run_extractors(x))
        return false;
    if (x->side->needs & NAMES)
        transform_run_root(x);
    x->run = (struct template_run){.arena = x->d->arena, .root = x->root, .ctx = x, .escape = x->side->escape};
    template_start(&x->run);
    return true;
}

/* ---- texts ---- */

static bool transform_run_text(struct transform_scope *x, const struct transform_text *t, struct slice *out)
{
    if (template_render(t->t, &x->run, out) == RC_OK)
        return true;
    return transform_run_fail(x, 400, x->run.rc == RC_TOOBIG ? S("transformation_limit") : S("transformation_failed"),
                              arena_fmt(x->d->arena, "the template for %.*s: %s", SFMT(slice_sub(t->name, 0, 60)), x->run.why),
                              t->rule);
}

static bool transform_run_headers(struct transform_scope *x, const struct transform_text *t, size_t n,
                                  struct slice *values)
{
    for (size_t i = 0; i < n; i++) {
        if (!transform_run_text(x, &t[i], &values[i]))
            return false;
        if (!http_value_ok(values[i]) || values[i].n > TRANSFORM_VALUE_MAX)
            return transform_run_fail(x, 400, S("transformation_invalid"),
                                      arena_fmt(x->d->arena, "what the template for %.*s made cannot stand in a header",
                                                SFMT(slice_sub(t[i].name, 0, 60))), t[i].rule);
    }
    return true;
}

static bool transform_run_value(struct transform_scope *x, const struct transform_text *t, const struct json **out)
{
    struct json *j = NULL;
    struct slice s;
    struct err e = {0};

    *out = NULL;
    if (!transform_run_text(x, t, &s))
        return false;
    if (s.n == 0)
        return true;
    if (!t->json)
        j = json_text(x->d->arena, s);
    else if (json_parse(x->d->arena, s, TRANSFORM_BODY_MAX, &j, &e) != RC_OK)
        return transform_run_fail(x, 400, S("transformation_invalid"),
                                  arena_fmt(x->d->arena, "the metadata %.*s is no JSON", SFMT(slice_sub(t->name, 0, 60))),
                                  t->rule);
    *out = j;
    return true;
}

/* ---- the request ---- */

static void transform_run_append(struct transform_scope *x, struct slice name, struct slice value)
{
    struct slice old;

    if (value.n == 0)
        return;
    if (transform_request_header(x, name, &old) && old.n > 0)
        value = arena_fmt(x->d->arena, "%.*s%s%.*s", SFMT(old), slice_eq_ci(name, S("cookie")) ? "; " : ", ", SFMT(value));
    decision_upstream(x->d, name, value, HEADER_SET);
}

static bool transform_run_request(struct transform_scope *x, bool apply)
{
    const struct transform_side *s = x->side;
    struct slice set[TRANSFORM_TEXTS_MAX], more[TRANSFORM_TEXTS_MAX];
    const struct json *values[TRANSFORM_TEXTS_MAX];

    if (!transform_run_begin(x) || !transform_run_headers(x, s->headers, s->headers_n, set) ||
        !transform_run_headers(x, s->appends, s->appends_n, more))
        return false;
    for (size_t i = 0; i < s->values_n; i++)
        if (!transform_run_value(x, &s->values[i], &values[i]))
            return false;
    if (!apply)
        return true;
    for (size_t i = 0; i < s->values_n; i++)
        if (values[i])
            decision_metadata(x->d, s->values[i].space, s->values[i].name, values[i]);
    for (size_t i = 0; i < s->headers_n; i++)
        if (set[i].n > 0)
            decision_upstream(x->d, s->headers[i].name, set[i], HEADER_SET);
        else
            decision_remove(x->d, s->headers[i].name);
    for (size_t i = 0; i < s->removes_n; i++)
        decision_remove(x->d, s->removes[i]);
    for (size_t i = 0; i < s->appends_n; i++)
        transform_run_append(x, s->appends[i].name, more[i]);
    return true;
}

static enum item_said transform_run_trouble(struct transform_scope *x, int64_t began)
{
    const struct transform_policy *p = transform_run_policy(x);
    bool pass = p->shadow || p->failure_mode_allow;

    if (p->shadow)
        decision_shadow(x->d, "transformation", p->name, x->rule, x->reason, began);
    else
        decision_trace(x->d, "transformation", p->name, x->rule, pass ? "pass" : "trouble", x->words, began);
    if (pass)
        return ITEM_GO;
    decision_deny(x->d, x->status, x->reason, x->words, x->rule);
    return ITEM_END;
}

static enum item_said transform_run_item(struct decision *d, const struct chain_item *item)
{
    const struct transform_policy *p = item->policy;
    struct transform_scope x = {.d = d, .item = item, .side = p->request, .body = d->ask->body};
    int64_t began = decision_clock(d);

    if (p->request && !transform_run_request(&x, !p->shadow))
        return transform_run_trouble(&x, began);
    decision_trace(d, "transformation", p->name, p->rule, p->shadow ? "shadow" : "pass", p->name, began);
    return ITEM_GO;
}

const struct item_row *item_transform(void)
{
    static const struct item_row row = {"transformation", transform_run_item};
    return &row;
}

/* ---- the answer ---- */

static void transform_run_client_remove(struct policy_verdict *v, struct slice name)
{
    size_t kept = 0;

    for (size_t i = 0; i < v->client_n; i++)
        if (!slice_eq_ci(v->client[i].name, name))
            v->client[kept++] = v->client[i];
    v->client_n = kept;
}

/* A denial stays one: 2xx would allow, 5xx would call for the gateway's fail rule. */
static void transform_run_status(struct transform_scope *x, struct slice text)
{
    uint64_t status;

    if (slice_u64(text, &status) && status >= 300 && status < 500 && status != 304)
        x->d->v->status = (int)status;
}

static bool transform_run_denial(struct transform_scope *x)
{
    const struct transform_side *s = x->side;
    struct policy_verdict *v = x->d->v;
    struct slice set[TRANSFORM_TEXTS_MAX], more[TRANSFORM_TEXTS_MAX], body = v->body, status = S("");

    if (!transform_run_begin(x) || !transform_run_headers(x, s->headers, s->headers_n, set) ||
        !transform_run_headers(x, s->appends, s->appends_n, more) ||
        (s->body && !transform_run_text(x, s->body, &body)) || (s->status && !transform_run_text(x, s->status, &status)))
        return false;
    for (size_t i = 0; i < s->headers_n; i++) {
        transform_run_client_remove(v, s->headers[i].name);
        if (set[i].n > 0)
            decision_client(x->d, s->headers[i].name, set[i]);
    }
    for (size_t i = 0; i < s->removes_n; i++)
        transform_run_client_remove(v, s->removes[i]);
    for (size_t i = 0; i < s->appends_n; i++)
        if (more[i].n > 0)
            decision_client(x->d, s->appends[i].name, more[i]);
    v->body = body;
    transform_run_status(x, status);
    return true;
}

static bool transform_run_allowed(struct transform_scope *x)
{
    const struct transform_side *s = x->side;
    struct slice value;

    x->run = (struct template_run){.arena = x->d->arena, .ctx = x, .escape = s->escape};
    template_start(&x->run);
    for (size_t i = 0; i < s->headers_n; i++) {
        if (template_needs(s->headers[i].t) != 0)
            continue;
        if (!transform_run_headers(x, &s->headers[i], 1, &value))
            return false;
        if (value.n > 0)
            decision_client(x->d, s->headers[i].name, value);
    }
    return true;
}

/* The last policy first, as answers go back through a gateway's filters. */
void transform_answer(struct decision *d)
{
    for (size_t i = d->route->items_n; i-- > 0;) {
        const struct chain_item *item = &d->route->items[i];
        const struct transform_policy *p = item->policy;
        struct transform_scope x = {.d = d, .item = item, .response = true, .body = d->v->body};
        if (LIKELY(item->row != item_transform()) || !p->response || p->shadow)
            continue;
        x.side = p->response;
        if (!(d->v->allowed ? transform_run_allowed(&x) : transform_run_denial(&x)))
            decision_trace(d, "transformation", p->name, x.rule, "trouble", x.words, 0);
    }
}
