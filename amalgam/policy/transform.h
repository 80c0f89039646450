/*
 * transform.h - a compiled TransformationPolicy: what transform.c makes at load and transform_run.c
 * follows. Lives in the set's arena, read-only, shared by threads.
 */
#ifndef POLICY_TRANSFORM_H
#define POLICY_TRANSFORM_H

#include "policy/inside.h"
#include "policy/template.h"

enum transform_mode { TRANSFORM_EXTRACT, TRANSFORM_SINGLE_REPLACE, TRANSFORM_REPLACE_ALL };
struct transform_extractor {
    struct slice name, header; /* header "": the body */
    struct regex *regex;
    size_t group;
    enum transform_mode mode;
    struct slice replacement;
};
struct transform_text { /* a template and what it is for */
    struct slice name;  /* of the header, or key of the metadata */
    struct slice space; /* of the metadata */
    const struct template *t;
    struct slice rule;  /* "file:line" */
    bool json;          /* jsonToProto */
};
enum { TRANSFORM_TEXTS_MAX = 64 };
struct transform_side { /* an injaTemplate */
    struct transform_extractor *extractors;
    struct transform_text *headers, *appends, *values;
    size_t extractors_n, headers_n, appends_n, values_n;
    struct slice *removes;
    size_t removes_n;
    const struct transform_text *body, *status; /* of a denial; or NULL */
    bool advanced, parse, ignore_parse, escape;
    unsigned needs; /* of all templates */
};
struct transform_policy {
    struct slice name, rule;
    const struct transform_side *request, *response; /* or NULL */
    bool shadow, failure_mode_allow;
};

/* What templates ask for beside their own names. */
enum {
    TRANSFORM_NEEDS_BODY = 2,
    TRANSFORM_NEEDS_CONTEXT = 4,
    TRANSFORM_NEEDS_HEADER = 8,
    TRANSFORM_NEEDS_EXTRACTION = 16
};
FN const struct template_opts *transform_fns(void);
FN const struct field_table *transform_fields(void) UNUSED; /* of config, for the manual's test */

struct transform_scope { /* what the functions of one run see */
    struct decision *d;
    const struct chain_item *item;
    const struct transform_side *side;
    bool response;     /* the answer to a denied client; else the request */
    struct slice body;
    struct json *parsed;     /* of the body, or NULL */
    const struct json *root; /* names: of the body, and extractors unless advanced */
    struct slice *extracted; /* by extractor */
    struct template_run run;
    /* the failure */
    int status;
    struct slice reason, words, rule;
};
/* The header as the policy may see it; false: it is not there. */
FN bool transform_header(struct transform_scope *x, struct slice name, struct slice *value);
FN bool transform_request_header(struct transform_scope *x, struct slice name, struct slice *value);

#endif
