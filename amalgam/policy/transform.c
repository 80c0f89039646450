/*
 * transform.c - TransformationPolicy documents -> struct transform_policy.
 *
 * Called through the row of kinds.c while policies are loaded. All templates and expressions are
 * compiled here, so that what is wrong in them is a fault with file and line. What no gateway lets an
 * authorization check do (change a body, a path, an answer of the upstream) is a notice by name.
 * Tested by tests/unit/policy/test_transform.c; manual: docs/step-transformation.md.
 */
#include "policy/transform.h"

struct transform_doc_text {
    const struct yaml *self, *text;
};
struct transform_doc_extractor {
    const struct yaml *self, *body;
    struct slice header, regex, replacement;
    int64_t subgroup;
    int mode;
};
struct transform_doc_append {
    const struct yaml *self;
    struct slice key;
    struct transform_doc_text *value;
};
struct transform_doc_value {
    const struct yaml *self;
    struct slice space, key;
    struct transform_doc_text *value;
    bool json;
};
struct transform_doc_template {
    const struct yaml *self;
    bool advanced, ignore_parse, escape;
    int parse;
    struct field_list extractors, headers, appends, values;
    struct field_strs removes;
    struct transform_doc_text *body;
    const struct yaml *passthrough, *merge_extractors, *merge_keys;
};
struct transform_doc_side {
    struct transform_doc_template *inja;
};
struct transform_doc {
    struct doc_phase *phase;
    struct transform_doc_side *request, *response;
    bool shadow, failure_mode_allow;
};

/* clang-format off */
#define ROW(type, structure, member, name, what, doc) {name, type, offsetof(struct structure, member), 0, 0, 0, NULL, NULL, doc}
#define SUB(type, structure, member, name, table, doc) {name, type, offsetof(struct structure, member), 0, 0, 0, &transform_##table, NULL, doc}
#define SELF(structure) {NULL, FIELD_SELF, offsetof(struct structure, self), 0, 0, 0, NULL, NULL, ""}
#define TABLE(name, structure) static const struct field_table transform_##name = {sizeof(struct structure), transform_##name##_rows, ARRAY_LEN(transform_##name##_rows)}
static const struct field_row transform_text_rows[] = {
    SELF(transform_doc_text),
    {"text", FIELD_NODE, offsetof(struct transform_doc_text, text), FIELD_REQUIRED, 0, 0, NULL, NULL, "a template"},
};
TABLE(text, transform_doc_text);
static const char *const transform_modes[] = {"EXTRACT", "SINGLE_REPLACE", "REPLACE_ALL", NULL};
static const struct field_row transform_extractor_rows[] = {
    SELF(transform_doc_extractor),
    {"header", FIELD_STR, offsetof(struct transform_doc_extractor, header), 0, 0, 0, NULL, NULL, "header to read; or body"},
    {"body", FIELD_NODE, offsetof(struct transform_doc_extractor, body), 0, 0, 0, NULL, NULL, "{}: read the body"},
    {"regex", FIELD_STR, offsetof(struct transform_doc_extractor, regex), FIELD_REQUIRED, 0, 0, NULL, NULL, "expression; EXTRACT and SINGLE_REPLACE: for the whole of it"},
    {"subgroup", FIELD_INT, offsetof(struct transform_doc_extractor, subgroup), 0, 0, 99, NULL, NULL, "group of the expression; 0: all of it"},
    {"mode", FIELD_WORD, offsetof(struct transform_doc_extractor, mode), 0, 0, 0, NULL, transform_modes, "EXTRACT (default), SINGLE_REPLACE or REPLACE_ALL"},
    {"replacementText", FIELD_STR, offsetof(struct transform_doc_extractor, replacement), 0, 0, 0, NULL, NULL, "what replaces, as it stands"},
};
TABLE(extractor, transform_doc_extractor);
static const struct field_row transform_append_rows[] = {
    SELF(transform_doc_append),
    {"key", FIELD_STR, offsetof(struct transform_doc_append, key), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the header"},
    {"value", FIELD_OBJ, offsetof(struct transform_doc_append, value), FIELD_REQUIRED, 0, 0, &transform_text, NULL, "its text"},
};
TABLE(append, transform_doc_append);
static const struct field_row transform_value_rows[] = {
    SELF(transform_doc_value),
    {"metadataNamespace", FIELD_STR, offsetof(struct transform_doc_value, space), 0, 0, 0, NULL, NULL, "under which it is; io.solo.transformation when absent"},
    {"key", FIELD_STR, offsetof(struct transform_doc_value, key), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the value"},
    {"value", FIELD_OBJ, offsetof(struct transform_doc_value, value), FIELD_REQUIRED, 0, 0, &transform_text, NULL, "its text"},
    {"jsonToProto", FIELD_BOOL, offsetof(struct transform_doc_value, json), 0, 0, 0, NULL, NULL, "the text is JSON and becomes what it says"},
};
TABLE(value, transform_doc_value);
static const char *const transform_parses[] = {"ParseAsJson", "DontParse", NULL};
static const struct field_row transform_template_rows[] = {
    SELF(transform_doc_template),
    {"advancedTemplates", FIELD_BOOL, offsetof(struct transform_doc_template, advanced), 0, 0, 0, NULL, NULL, "extractors are read by extraction(\"name\") only"},
    SUB(FIELD_NAMED, transform_doc_template, extractors, "extractors", extractor, "values taken from headers or the body, by name"),
    SUB(FIELD_NAMED, transform_doc_template, headers, "headers", text, "headers that are set, or removed when the text is empty"),
    SUB(FIELD_LIST, transform_doc_template, appends, "headersToAppend", append, "headers that get one value more"),
    {"headersToRemove", FIELD_STRS, offsetof(struct transform_doc_template, removes), 0, 0, 0, NULL, NULL, "headers that are removed"},
    SUB(FIELD_OBJ, transform_doc_template, body, "body", text, "the body of a denial; of a request: a notice, no gateway lets a check change it"),
    {"passthrough", FIELD_NODE, offsetof(struct transform_doc_template, passthrough), 0, 0, 0, NULL, NULL, "{}: the body is not looked at"},
    {"mergeExtractorsToBody", FIELD_NODE, offsetof(struct transform_doc_template, merge_extractors), 0, 0, 0, NULL, NULL, "a notice: no gateway lets a check change a body"},
    {"mergeJsonKeys", FIELD_NODE, offsetof(struct transform_doc_template, merge_keys), 0, 0, 0, NULL, NULL, "a notice: no gateway lets a check change a body"},
    {"parseBodyBehavior", FIELD_WORD, offsetof(struct transform_doc_template, parse), 0, 0, 0, NULL, transform_parses, "ParseAsJson (default) or DontParse"},
    {"ignoreErrorOnParse", FIELD_BOOL, offsetof(struct transform_doc_template, ignore_parse), 0, 0, 0, NULL, NULL, "a body that is no JSON has no names, instead of 400"},
    SUB(FIELD_LIST, transform_doc_template, values, "dynamicMetadataValues", value, "metadata for the gateway"),
    {"escapeCharacters", FIELD_BOOL, offsetof(struct transform_doc_template, escape), 0, 0, 0, NULL, NULL, "texts are written as they stand in JSON"},
};
TABLE(template, transform_doc_template);
static const struct field_row transform_side_rows[] = {
    SUB(FIELD_OBJ, transform_doc_side, inja, "injaTemplate", template, "templates in Inja"),
    {"recalculateRoutingDestination", FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "read and ignored: the gateway routes (Envoy's clear_route_cache)"},
    {"xsltTransformation", FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "not served: no gateway lets a check change a body"},
    {"headerBodyTransform", FIELD_NOTICE, 0, 0, 0, 0, NULL, NULL, "not served: no gateway lets a check change a body"},
};
TABLE(side, transform_doc_side);
static const struct field_row transform_priority_rows[] = {
    {"priority", FIELD_INT, offsetof(struct doc_priority, priority), 0, INT32_MIN, INT32_MAX, NULL, NULL, "lower runs first"},
};
TABLE(priority, doc_priority);
static const struct field_row transform_phase_rows[] = {
    SUB(FIELD_OBJ, doc_phase, pre, "preAuthz", priority, "before authentication"),
    SUB(FIELD_OBJ, doc_phase, post, "postAuthz", priority, "after authentication (default)"),
};
TABLE(phase, doc_phase);
static const struct field_row transform_rows[] = {
    SUB(FIELD_OBJ, transform_doc, phase, "phase", phase, "when it runs"),
    SUB(FIELD_OBJ, transform_doc, request, "request", side, "what is done to the request"),
    SUB(FIELD_OBJ, transform_doc, response, "response", side, "what is done to the answer, as far as a check has one"),
    {"failureModeAllow", FIELD_BOOL, offsetof(struct transform_doc, failure_mode_allow), 0, 0, 0, NULL, NULL, "let requests pass unchanged when this policy is in trouble"},
    {"shadow", FIELD_BOOL, offsetof(struct transform_doc, shadow), 0, 0, 0, NULL, NULL, "decide and count, but change nothing (Postern's own)"},
};
static const struct field_table transform_table = {sizeof(struct transform_doc), transform_rows, ARRAY_LEN(transform_rows)};
#undef ROW
#undef SUB
#undef SELF
#undef TABLE
/* clang-format on */

const struct field_table *transform_fields(void)
{
    return &transform_table;
}

struct transform_make { /* one side while it is made */
    struct load *l;
    struct field_in in;
    struct transform_side *side;
    bool response;
    struct slice *identity; /* room for all */
    size_t *identity_n;
};

/* ---- names of headers ---- */

/* What carries the message, or is between Postern and the gateway, is nobody's to set. */
static bool transform_name_ok(const struct transform_make *m, const struct yaml *at, struct slice name)
{
    if (header_can_be_set(name))
        return true;
    fault_add(&m->in, false, at, NULL, "\"%.*s\" cannot be set as a header",
              SFMT(slice_sub(name, 0, 60)));
    return false;
}

/* ":path" and its kin: true when there is nothing more to do with it. */
static bool transform_pseudo(const struct transform_make *m, const struct yaml *at, struct slice name)
{
    if (name.n == 0 || name.p[0] != ':' || (m->response && slice_eq(name, S(":status"))))
        return false;
    fault_add(&m->in, true, at, NULL, "\"%.*s\" is not changed: no gateway lets a check do that; "
              "rewrite it in the gateway's route", SFMT(slice_sub(name, 0, 60)));
    return true;
}

/* ---- templates ---- */

/* Faults of a template are placed in the file as well as a block or a quoted text allows. */
static void transform_template_fault(const struct transform_make *m, const struct yaml *at,
                                     const struct err *e)
{
    struct yaml place = *at;
    struct slice rest, line_text = slice_cut(slice_str(e->place), ':', &rest);
    uint64_t line = 1, col = 1;

    (void)slice_u64(line_text, &line);
    (void)slice_u64(rest, &col);
    if (at->quoted && slice_index(at->text, '\n') != SIZE_MAX) { /* a block begins below its key */
        place.line += (int)line;
        place.col = (int)col;
    } else if (line == 1) {
        place.col += (int)col - (at->quoted ? 0 : 1);
    }
    fault_add(&m->in, false, &place, NULL, "template: %s", e->text);
}

static bool transform_text_of(struct transform_make *m, const struct transform_doc_text *d,
                              struct slice name, struct transform_text *out)
{
    struct arena *a = &m->l->set->arena;
    struct err e = {0};

    *out = (struct transform_text){.name = name, .rule = load_rule(m->l, m->in.file, d->self)};
    if (d->text->kind != YAML_SCALAR && d->text->kind != YAML_NULL) {
        fault_add(&m->in, false, d->text, NULL, "text: expected text, found %s", field_kind_words(d->text));
        return false;
    }
    if (template_compile(a, d->text->kind == YAML_NULL ? S("") : d->text->text, transform_fns(), &out->t, &e) != RC_OK) {
        transform_template_fault(m, d->text, &e);
        return false;
    }
    m->side->needs |= template_needs(out->t);
    return true;
}

static bool transform_count_ok(const struct transform_make *m, const struct yaml *at, size_t n)
{
    if (n <= TRANSFORM_TEXTS_MAX)
        return true;
    fault_add(&m->in, false, at, NULL, "more than %d items", TRANSFORM_TEXTS_MAX);
    return false;
}

static struct transform_text *transform_texts(struct transform_make *m, size_t n)
{
    return ARENA_ARRAY(&m->l->set->arena, struct transform_text, n + 1);
}

static void transform_identity(struct transform_make *m, struct slice name)
{
    if (!m->response)
        m->identity[(*m->identity_n)++] = name;
}

static void transform_headers(struct transform_make *m, const struct transform_doc_template *d)
{
    struct transform_side *s = m->side;

    s->headers = transform_texts(m, d->headers.n);
    for (size_t i = 0; i < d->headers.n; i++) {
        const struct transform_doc_text *t = d->headers.items[i];
        struct slice name = d->headers.names[i];
        struct transform_text made;
        if (!transform_text_of(m, t, name, &made) || transform_pseudo(m, t->self, name))
            continue;
        if (m->response && slice_eq(name, S(":status"))) {
            struct transform_text *status = ARENA_NEW(&m->l->set->arena, struct transform_text);
            *status = made;
            s->status = status;
        } else if (transform_name_ok(m, t->self, name)) {
            s->headers[s->headers_n++] = made;
            transform_identity(m, name);
        }
    }
    s->appends = transform_texts(m, d->appends.n);
    for (size_t i = 0; i < d->appends.n; i++) {
        const struct transform_doc_append *x = d->appends.items[i];
        if (!transform_text_of(m, x->value, x->key, &s->appends[s->appends_n]) ||
            transform_pseudo(m, x->self, x->key) || !transform_name_ok(m, x->self, x->key))
            continue;
        s->appends_n++;
        transform_identity(m, x->key);
    }
}

static void transform_removes(struct transform_make *m, const struct transform_doc_template *d)
{
    struct transform_side *s = m->side;

    s->removes = ARENA_ARRAY(&m->l->set->arena, struct slice, d->removes.n + 1);
    for (size_t i = 0; i < d->removes.n; i++)
        if (!transform_pseudo(m, d->self, d->removes.v[i]) && transform_name_ok(m, d->self, d->removes.v[i]))
            s->removes[s->removes_n++] = d->removes.v[i];
}

static void transform_values(struct transform_make *m, const struct transform_doc_template *d)
{
    struct transform_side *s = m->side;

    s->values = transform_texts(m, d->values.n);
    if (m->response && d->values.n > 0) {
        fault_add(&m->in, true, d->self, NULL, "dynamicMetadataValues of the response are ignored: a check "
                  "has ended by then");
        return;
    }
    for (size_t i = 0; i < d->values.n; i++) {
        const struct transform_doc_value *v = d->values.items[i];
        struct transform_text *to = &s->values[s->values_n];
        if (!transform_text_of(m, v->value, v->key, to))
            continue;
        to->space = v->space.n ? v->space : S("io.solo.transformation");
        if (slice_eq(to->space, S("envoy.filters.http.ext_authz")))
            to->space = S("");
        to->json = v->json;
        s->values_n++;
    }
}

/* ---- extractors ---- */

static bool transform_extractor_ok(const struct transform_make *m, const struct transform_doc_extractor *d)
{
    const char *wrong = NULL;

    if ((d->header.n > 0) == (d->body != NULL))
        wrong = "expected one of header and body";
    else if (d->mode != TRANSFORM_EXTRACT && !d->replacement.p)
        wrong = "this mode needs replacementText";
    else if (d->mode == TRANSFORM_EXTRACT && d->replacement.p)
        wrong = "replacementText needs mode SINGLE_REPLACE or REPLACE_ALL";
    else if (d->mode == TRANSFORM_REPLACE_ALL && d->subgroup != 0)
        wrong = "REPLACE_ALL takes no subgroup";
    if (wrong)
        fault_add(&m->in, false, d->self, NULL, "%s", wrong);
    return !wrong;
}

static void transform_extractors(struct transform_make *m, const struct transform_doc_template *d)
{
    struct transform_side *s = m->side;

    s->extractors = ARENA_ARRAY(&m->l->set->arena, struct transform_extractor, d->extractors.n + 1);
    for (size_t i = 0; i < d->extractors.n; i++) {
        const struct transform_doc_extractor *x = d->extractors.items[i];
        struct transform_extractor *to = &s->extractors[s->extractors_n];
        if (!transform_extractor_ok(m, x))
            continue;
        *to = (struct transform_extractor){.name = d->extractors.names[i], .header = x->header,
            .group = (size_t)x->subgroup, .mode = (enum transform_mode)x->mode, .replacement = x->replacement};
        to->regex = set_regex_part(m->l->set, &m->in, x->self, x->regex, to->mode != TRANSFORM_REPLACE_ALL, false);
        if (!to->regex)
            continue;
        if (to->group > regex_groups(to->regex)) {
            fault_add(&m->in, false, x->self, NULL, "subgroup %zu of an expression with %zu groups", to->group,
                      regex_groups(to->regex));
            continue;
        }
        s->extractors_n++;
    }
}

/* ---- a side ---- */

static void transform_body(struct transform_make *m, const struct transform_doc_template *d)
{
    struct transform_side *s = m->side;
    struct transform_text *body = transform_texts(m, 1);

    if (d->merge_extractors || d->merge_keys)
        fault_add(&m->in, true, d->merge_keys ? d->merge_keys : d->merge_extractors, NULL,
                  "%s is ignored: no gateway lets a check change a body",
                  d->merge_keys ? "mergeJsonKeys" : "mergeExtractorsToBody");
    if (!d->body || !transform_text_of(m, d->body, S("body"), body))
        return;
    if (m->response)
        s->body = body;
    else
        fault_add(&m->in, true, d->body->self, NULL, "body is ignored: no gateway lets a check change the "
                  "body of a request; do it in the gateway or the upstream");
}

/* Templates of a response run on denials; on an allowed request only those that look at nothing of the
 * upstream's answer can be sent, as headers for the client. */
static void transform_response_notice(struct transform_make *m, const struct transform_doc_template *d)
{
    for (size_t i = 0; i < m->side->headers_n; i++)
        if (template_needs(m->side->headers[i].t) != 0) {
            fault_add(&m->in, true, d->self, NULL, "templates that look at the response see the denials that "
                      "Postern makes; the upstream's answers never come here: transform those in the gateway");
            return;
        }
}

static const struct transform_side *transform_side_of(struct load *l, struct resource *r, bool response,
                                                      const struct transform_doc_side *doc,
                                                      struct slice *identity, size_t *identity_n)
{
    struct transform_side *s = ARENA_NEW(&l->set->arena, struct transform_side);
    struct transform_make m = {l, load_in(l, r->file), s, response, identity, identity_n};
    const struct transform_doc_template *d = doc ? doc->inja : NULL;

    if (!d)
        return NULL;
    s->advanced = d->advanced;
    s->ignore_parse = d->ignore_parse;
    s->escape = d->escape;
    s->parse = d->parse == 0 && !d->passthrough;
    if (!transform_count_ok(&m, d->self, d->headers.n) || !transform_count_ok(&m, d->self, d->appends.n) ||
        !transform_count_ok(&m, d->self, d->values.n) || !transform_count_ok(&m, d->self, d->extractors.n))
        return NULL;
    transform_extractors(&m, d);
    transform_headers(&m, d);
    transform_removes(&m, d);
    transform_values(&m, d);
    transform_body(&m, d);
    if (response)
        transform_response_notice(&m, d);
    return s;
}

/* ---- the policy ---- */

static size_t transform_room(const struct transform_doc *d)
{
    const struct transform_doc_template *t = d->request ? d->request->inja : NULL;

    return t ? t->headers.n + t->appends.n + 1 : 1;
}

void compile_transform(struct load *l, struct resource *r)
{
    const struct doc_transform *doc = r->doc->spec;
    struct field_in in = load_in(l, r->file);
    struct field_path spec = {NULL, S("spec"), 0}, path = {&spec, S("config"), 0};
    struct transform_doc d = {0};
    struct transform_policy *p = ARENA_NEW(&l->set->arena, struct transform_policy);
    struct chain_item item = {.row = item_transform(), .policy = p, .phase = PHASE_POST, .key_header = S("")};
    struct slice *identity;

    if (!field_decode(&in, &transform_table, doc->config, &path, &d))
        return;
    p->name = r->full;
    p->rule = load_rule(l, r->file, r->node);
    p->shadow = d.shadow;
    p->failure_mode_allow = d.failure_mode_allow;
    identity = ARENA_ARRAY(&l->set->arena, struct slice, transform_room(&d));
    p->request = transform_side_of(l, r, false, d.request, identity, &item.identity_n);
    p->response = transform_side_of(l, r, true, d.response, identity, &item.identity_n);
    item.identity = identity;
    if (p->shadow) /* it changes nothing: the client's headers stay */
        item.identity_n = 0;
    if (!p->request && !p->response)
        fault_add(&in, true, doc->config, NULL, "%.*s changes nothing: neither request nor response has an "
                  "injaTemplate", SFMT(r->full));
    if (d.phase && d.phase->pre)
        item.phase = PHASE_PRE;
    if (d.phase && (d.phase->pre || d.phase->post))
        item.priority = d.phase->pre ? d.phase->pre->priority : d.phase->post->priority;
    compile_select(l, r, &doc->apply, item);
}
