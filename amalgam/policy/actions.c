/*
 * actions.c - rate-limit actions: what of a request becomes an entry of a descriptor. One row each.
 *
 * Compiled by climit.c, run by limit.c for every request of a limited route. They look at the request
 * as the upstream would see it (decision_header): what a key step set counts, a forged copy does not.
 * No allocation but in the decision's arena. Tested by tests/unit/policy/test_limit.c.
 */
#include "policy/inside.h"
#include "policy/names.h"

/* ---- requestHeaders ---- */
struct action_header {
    struct slice header, key;
    bool skip;
};
static const struct field_row actions_header_rows[] = {
    {"headerName", FIELD_STR, offsetof(struct action_header, header), FIELD_REQUIRED, 0, 0, NULL, NULL,
     "header to read"},
    {"descriptorKey", FIELD_STR, offsetof(struct action_header, key), FIELD_REQUIRED, 0, 0, NULL, NULL,
     "key of the entry"},
    {"skipIfAbsent", FIELD_BOOL, offsetof(struct action_header, skip), 0, 0, 0, NULL, NULL,
     "without the header the rest of the tuple still counts"},
};
static const struct field_table actions_header_table = {sizeof(struct action_header),
                                                        actions_header_rows,
                                                        ARRAY_LEN(actions_header_rows)};

static bool actions_keep(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         void **data)
{
    (void)l;
    (void)in;
    (void)y;
    *data = doc;
    return true;
}

/* A clear key never becomes part of a counter's name. */
static struct slice actions_digest(struct decision *d, struct slice secret)
{
    uint8_t digest[32];
    char hex[64];

    sha256(secret, digest);
    return arena_dup(d->arena, slice_of(hex, hex_encode(hex, digest, sizeof digest)));
}

static bool actions_header(struct decision *d, const void *data, struct limit_entry *out)
{
    const struct action_header *a = data;

    out->key = a->key;
    if (!decision_header(d, a->header, &out->value)) {
        out->key = S(""); /* see limit_entries */
        return a->skip;
    }
    for (size_t i = 0; i < d->route->credentials_n; i++)
        if (slice_eq_ci(d->route->credentials[i], a->header))
            out->value = actions_digest(d, out->value);
    return true;
}

/* ---- genericKey ---- */
struct action_generic {
    struct slice key, value;
};
static const struct field_row actions_generic_rows[] = {
    {"descriptorValue", FIELD_STR, offsetof(struct action_generic, value), FIELD_REQUIRED, 0, 0, NULL,
     NULL, "value of the entry"},
    {"descriptorKey", FIELD_STR, offsetof(struct action_generic, key), 0, 0, 0, NULL, NULL,
     "key of the entry; generic_key when absent"},
};
static const struct field_table actions_generic_table = {sizeof(struct action_generic),
                                                         actions_generic_rows,
                                                         ARRAY_LEN(actions_generic_rows)};

static bool actions_generic(struct decision *d, const void *data, struct limit_entry *out)
{
    const struct action_generic *a = data;

    (void)d;
    out->key = a->key.n ? a->key : S("generic_key");
    out->value = a->value;
    return true;
}

/* ---- remoteAddress ---- */
static const struct field_table actions_none_table = {1, NULL, 0};

static bool actions_remote(struct decision *d, const void *data, struct limit_entry *out)
{
    char text[46];

    (void)data;
    if (!d->ask->has_source_ip)
        return false;
    out->key = S("remote_address");
    out->value = arena_dup(d->arena, slice_of(text, ip_format(&d->ask->source_ip, text)));
    return true;
}

/* ---- headerValueMatch ---- */
struct action_range {
    int64_t start, end;
};
struct action_match {
    struct slice name, exact, regex_text, prefix, suffix;
    bool present, invert;
    struct action_range *range;
    const struct yaml *self;
    struct regex *regex;
};
struct action_value {
    struct slice value;
    const struct yaml *expect_node;
    struct field_list headers; /* struct action_match */
    bool expect;
};
static const struct field_row actions_range_rows[] = {
    {"start", FIELD_INT, offsetof(struct action_range, start), 0, INT64_MIN, INT64_MAX, NULL, NULL,
     "least number"},
    {"end", FIELD_INT, offsetof(struct action_range, end), 0, INT64_MIN, INT64_MAX, NULL, NULL,
     "first number that is too large"},
};
static const struct field_table actions_range_table = {sizeof(struct action_range),
                                                       actions_range_rows,
                                                       ARRAY_LEN(actions_range_rows)};
/* clang-format off */
static const struct field_row actions_match_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct action_match, self), 0, 0, 0, NULL, NULL, ""},
    {"name", FIELD_STR, offsetof(struct action_match, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "header to look at"},
    {"exactMatch", FIELD_STR, offsetof(struct action_match, exact), 0, 0, 0, NULL, NULL, "the whole value"},
    {"regexMatch", FIELD_STR, offsetof(struct action_match, regex_text), 0, 0, 0, NULL, NULL, "expression for the whole value"},
    {"rangeMatch", FIELD_OBJ, offsetof(struct action_match, range), 0, 0, 0, &actions_range_table, NULL, "a number from start up to, not including, end"},
    {"presentMatch", FIELD_BOOL, offsetof(struct action_match, present), 0, 0, 0, NULL, NULL, "the header is there"},
    {"prefixMatch", FIELD_STR, offsetof(struct action_match, prefix), 0, 0, 0, NULL, NULL, "what the value begins with"},
    {"suffixMatch", FIELD_STR, offsetof(struct action_match, suffix), 0, 0, 0, NULL, NULL, "what the value ends with"},
    {"invertMatch", FIELD_BOOL, offsetof(struct action_match, invert), 0, 0, 0, NULL, NULL, "the contrary"},
};
static const struct field_table actions_match_table = {sizeof(struct action_match), actions_match_rows, ARRAY_LEN(actions_match_rows)};
static const struct field_row actions_value_rows[] = {
    {"descriptorValue", FIELD_STR, offsetof(struct action_value, value), FIELD_REQUIRED, 0, 0, NULL, NULL, "value of the entry header_match"},
    {"expectMatch", FIELD_NODE, offsetof(struct action_value, expect_node), 0, 0, 0, NULL, NULL, "true (default): all match; false: not all match"},
    {"headers", FIELD_LIST, offsetof(struct action_value, headers), FIELD_REQUIRED, 0, 0, &actions_match_table, NULL, "conditions"},
};
/* clang-format on */
static const struct field_table actions_value_table = {sizeof(struct action_value),
                                                       actions_value_rows,
                                                       ARRAY_LEN(actions_value_rows)};

static bool actions_value_compile(struct load *l, const struct field_in *in, void *doc,
                                  const struct yaml *y, void **data)
{
    struct action_value *a = doc;

    a->expect = true;
    if (a->expect_node && !yaml_bool(a->expect_node, &a->expect)) {
        fault_add(in, false, a->expect_node, NULL, "expectMatch: expected true or false");
        return false;
    }
    if (a->headers.n == 0) {
        fault_add(in, false, y, NULL, "headerValueMatch needs at least one header");
        return false;
    }
    for (size_t i = 0; i < a->headers.n; i++) {
        struct action_match *m = a->headers.items[i];
        if (m->regex_text.n && !(m->regex = set_regex(l->set, in, m->self, m->regex_text, false)))
            return false;
    }
    *data = a;
    return true;
}

/* An expression that hits its limits is trouble for the whole policy, never "no match". */
static bool actions_regex(struct decision *d, const struct regex *r, struct slice v)
{
    size_t groups = 0;
    enum rc rc = regex_match(r, v, NULL, 0, &groups);

    if (rc != RC_OK && rc != RC_NOTFOUND)
        d->trouble = S("regex_limit");
    return rc == RC_OK;
}

static bool actions_match_one(struct decision *d, const struct action_match *m, bool there,
                              struct slice v)
{
    int64_t n = 0;

    if (!there)
        return false;
    if (m->regex)
        return actions_regex(d, m->regex, v);
    if (m->range)
        return slice_i64(v, &n) && n >= m->range->start && n < m->range->end;
    if (m->exact.n)
        return slice_eq(v, m->exact);
    return slice_starts(v, m->prefix) && slice_ends(v, m->suffix);
}

/* How the conditions can turn out, reading a list with commas as a whole and member by member: gateways
 * join what came in several lines, and "gold, free" must not be taken for neither. */
struct actions_reading {
    bool can_hold, can_fail;
};

static void actions_read(struct decision *d, const struct action_match *m, bool there, struct slice v,
                         struct actions_reading *out)
{
    bool holds = actions_match_one(d, m, there, v) != m->invert;

    out->can_hold |= holds;
    out->can_fail |= !holds;
}

static struct actions_reading actions_readings(struct decision *d, const struct action_match *m)
{
    enum { MEMBERS_MAX = 64 }; /* of one that needs an expression */
    struct actions_reading out = {false, false};
    struct slice v = S("");
    bool there = decision_header(d, m->name, &v);

    actions_read(d, m, there, v, &out);
    if (LIKELY(slice_index(v, ',') == SIZE_MAX) || !header_is_list(m->name))
        return out;
    for (size_t i = 0; v.n > 0; i++) {
        if (m->regex && i >= MEMBERS_MAX) {
            d->trouble = S("regex_limit");
            return out;
        }
        actions_read(d, m, there, slice_trim(slice_cut(v, ',', &v)), &out);
    }
    return out;
}

/* Fires when any reading of the request makes it fire. */
static bool actions_value(struct decision *d, const void *data, struct limit_entry *out)
{
    const struct action_value *a = data;
    bool all = true, not_all = false;

    for (size_t i = 0; i < a->headers.n && (a->expect ? all : !not_all); i++) {
        struct actions_reading r = actions_readings(d, a->headers.items[i]);
        all = all && r.can_hold;
        not_all = not_all || r.can_fail;
    }
    out->key = S("header_match");
    out->value = a->value;
    return a->expect ? all : not_all;
}

/* ---- metadata ---- */
struct action_path {
    struct slice key;
};
struct action_meta_key {
    struct slice key;
    struct field_list path; /* struct action_path */
};
struct action_meta {
    struct slice key, otherwise;
    struct action_meta_key *from;
    int source;
    enum { META_USER, META_PLAN } which;
    const struct yaml *self;
};
static const char *const actions_sources[] = {"DYNAMIC", "ROUTE_ENTRY", NULL};
/* clang-format off */
static const struct field_row actions_path_rows[] = {
    {"key", FIELD_STR, offsetof(struct action_path, key), FIELD_REQUIRED, 0, 0, NULL, NULL, "userId or usagePlan"},
};
static const struct field_table actions_path_table = {sizeof(struct action_path), actions_path_rows, ARRAY_LEN(actions_path_rows)};
static const struct field_row actions_meta_key_rows[] = {
    {"key", FIELD_STR, offsetof(struct action_meta_key, key), FIELD_REQUIRED, 0, 0, NULL, NULL, "envoy.filters.http.ext_authz"},
    {"path", FIELD_LIST, offsetof(struct action_meta_key, path), FIELD_REQUIRED, 0, 0, &actions_path_table, NULL, "one item: userId or usagePlan"},
};
static const struct field_table actions_meta_key_table = {sizeof(struct action_meta_key), actions_meta_key_rows, ARRAY_LEN(actions_meta_key_rows)};
static const struct field_row actions_meta_rows[] = {
    {NULL, FIELD_SELF, offsetof(struct action_meta, self), 0, 0, 0, NULL, NULL, ""},
    {"descriptorKey", FIELD_STR, offsetof(struct action_meta, key), FIELD_REQUIRED, 0, 0, NULL, NULL, "key of the entry"},
    {"metadataKey", FIELD_OBJ, offsetof(struct action_meta, from), FIELD_REQUIRED, 0, 0, &actions_meta_key_table, NULL, "where the value is"},
    {"defaultValue", FIELD_STR, offsetof(struct action_meta, otherwise), 0, 0, 0, NULL, NULL, "when there is none"},
    {"source", FIELD_WORD, offsetof(struct action_meta, source), 0, 0, 0, NULL, actions_sources, "DYNAMIC"},
};
/* clang-format on */
static const struct field_table actions_meta_table = {sizeof(struct action_meta), actions_meta_rows,
                                                      ARRAY_LEN(actions_meta_rows)};

static bool actions_meta_compile(struct load *l, const struct field_in *in, void *doc,
                                 const struct yaml *y, void **data)
{
    struct action_meta *a = doc;
    const struct action_path *p = a->from->path.n == 1 ? a->from->path.items[0] : NULL;

    (void)l;
    *data = a;
    if (slice_eq(a->from->key, S("envoy.filters.http.ext_authz")) && p && a->source == 0) {
        a->which = slice_eq(p->key, S("usagePlan")) ? META_PLAN : META_USER;
        if (a->which == META_PLAN || slice_eq(p->key, S("userId")) || slice_eq(p->key, S("user_id")))
            return true;
    }
    fault_add(in, true, y, NULL, "metadata: served are userId and usagePlan of "
              "envoy.filters.http.ext_authz; this entry of rateLimits is left out");
    return false;
}

static bool actions_meta(struct decision *d, const void *data, struct limit_entry *out)
{
    const struct action_meta *a = data;

    out->key = a->key;
    out->value = a->which == META_PLAN ? d->v->plan : d->v->user;
    if (out->value.n == 0)
        out->value = a->otherwise;
    return out->value.n > 0;
}

#define LATER(name, said) {name, NULL, 0, NULL, NULL, said}
static const struct action_row actions_rows[] = {
    {"requestHeaders", &actions_header_table, sizeof(struct action_header), actions_keep,
     actions_header, "the value of a header"},
    {"genericKey", &actions_generic_table, sizeof(struct action_generic), actions_keep,
     actions_generic, "a fixed value"},
    {"remoteAddress", &actions_none_table, 1, actions_keep, actions_remote,
     "the client's address, when the gateway tells it"},
    {"headerValueMatch", &actions_value_table, sizeof(struct action_value), actions_value_compile,
     actions_value, "a fixed value when headers match"},
    {"metadata", &actions_meta_table, sizeof(struct action_meta), actions_meta_compile, actions_meta,
     "userId or usagePlan of the API key"},
    LATER("sourceCluster", "not served: Postern knows no clusters"),
    LATER("destinationCluster", "not served: Postern knows no clusters"),
    LATER("dynamicMetadata", "not served: use metadata"),
    LATER("maskedRemoteAddress", "not served yet: use remoteAddress"),
    LATER("queryParameterValueMatch", "not served yet: use headerValueMatch or luaAuth"),
    LATER("extension", "not served"),
};

const struct action_row *action_at(size_t i)
{
    return i < ARRAY_LEN(actions_rows) ? &actions_rows[i] : NULL;
}

#undef LATER
