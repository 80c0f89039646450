/*
 * kinds.h - the shapes of the documents that Postern reads: one struct per shape, one table per
 * struct (kinds.c), one row per kind (kind_at). What a kind means is in compile*.c and catalog.c.
 *
 * Everything points into the arena of the file it came from, which the set keeps. Read-only after
 * decoding.
 */
#ifndef POLICY_KINDS_H
#define POLICY_KINDS_H

#include "policy/fields.h"

struct doc_meta {
    struct slice name, ns;
    struct field_pairs labels;
};
struct doc_ref {
    struct slice name, ns, cluster;
};
struct doc_selector { /* applyToRoutes[].route */
    struct field_pairs labels;
};
struct doc_apply {
    struct doc_selector *route;
};

struct doc_uri {
    const struct yaml *self;
    struct slice exact, prefix, regex;
    bool ignore_case;
};
struct doc_pair_match { /* of a header or a query parameter */
    const struct yaml *self;
    struct slice name, value;
    bool regex, invert;
};
struct doc_matcher {
    const struct yaml *self;
    struct doc_uri *uri;
    struct slice method;
    struct field_list headers, params; /* struct doc_pair_match */
};
struct doc_delegate_to {
    struct field_pairs labels;
    struct slice name, ns;
};
struct doc_delegate {
    struct field_list tables; /* struct doc_delegate_to */
    int sort;                 /* 1: ROUTE_SPECIFICITY */
};
struct doc_http {
    const struct yaml *self;
    struct slice name;
    struct field_pairs labels;
    struct field_list matchers; /* struct doc_matcher */
    struct doc_delegate *delegate;
};
struct doc_portal_meta {
    struct slice product, version, product_title, title, description, terms, contact, license,
        lifecycle;
};
struct doc_route_table {
    struct field_strs hosts;
    struct field_list http; /* struct doc_http */
    struct doc_portal_meta *portal;
    int64_t weight;
};

struct doc_gloo_auth {
    const struct yaml *configs;
    struct slice boolean_expr;
    bool fail_on_redirect;
};
struct doc_auth_config {
    struct doc_gloo_auth *gloo;
    bool failure_mode_allow, shadow, custom;
};
struct doc_ext_auth {
    struct field_list apply; /* struct doc_apply */
    struct doc_auth_config *config;
};
struct doc_edge_auth { /* AuthConfig */
    struct field_list apply;
    const struct yaml *configs;
    struct slice boolean_expr;
    bool fail_on_redirect, failure_mode_allow, shadow;
};

struct doc_secret {
    struct slice type;
    struct field_pairs data, string_data;
};

struct doc_limit {
    const struct yaml *self;
    int unit, algorithm;
    int64_t requests, burst;
};
struct doc_descriptor {
    const struct yaml *self;
    struct slice key, value;
    struct doc_limit *limit;
    struct field_list kids; /* struct doc_descriptor */
    int64_t weight;
    bool always;
};
struct doc_set_descriptor {
    const struct yaml *self;
    struct field_list pairs; /* struct doc_descriptor: key and value only */
    struct doc_limit *limit;
    bool always;
};
struct doc_server_raw {
    struct field_list descriptors, sets;
    const struct yaml *rate_limits;
};
struct doc_destination_server {
    struct doc_ref *ref;
};
struct doc_limit_server { /* RateLimitServerConfig and RateLimitConfig */
    struct field_list apply;
    struct field_list servers; /* struct doc_destination_server */
    struct doc_server_raw *raw;
    bool shadow, failure_mode_allow;
};
struct doc_client_raw {
    const struct yaml *rate_limits;
};
struct doc_limit_client {
    struct doc_client_raw *raw;
};
struct doc_priority {
    int64_t priority;
};
struct doc_phase {
    struct doc_priority *pre, *post;
};
struct doc_limit_policy_config {
    struct doc_phase *phase;
    struct doc_ref *server, *client;
    struct doc_client_raw *raw;
    bool shadow, failure_mode_allow;
};
struct doc_limit_policy {
    struct field_list apply;
    struct doc_limit_policy_config *config;
};

struct doc_transform {
    struct field_list apply;
    const struct yaml *config; /* read by transform.c */
};

struct doc_claim_header { /* claimsToHeaders[] */
    const struct yaml *self;
    struct slice claim, header;
    bool append;
};
struct doc_jwt_header { /* tokenSource.headers[] */
    const struct yaml *self;
    struct slice name, prefix;
};
struct doc_jwt_source {
    struct field_list headers; /* struct doc_jwt_header */
    struct field_strs params;
};
struct doc_jwt_secret {
    struct doc_ref *ref;
    struct slice key;
};
struct doc_jwt_local {
    const struct yaml *self;
    struct slice text;
    struct doc_jwt_secret *secret;
};
struct doc_jwt_remote {
    const struct yaml *self;
    struct slice url, cache, timeout;
};
struct doc_jwt_provider {
    const struct yaml *self;
    struct slice issuer, skew, payload_header;
    struct field_strs audiences, algorithms;
    struct doc_jwt_source *source;
    struct doc_jwt_local *local;
    struct doc_jwt_remote *remote;
    struct field_list headers; /* struct doc_claim_header */
    bool keep_token, no_exp_ok;
};
struct doc_jwt_claim {
    const struct yaml *self;
    struct slice key, delimiter;
    struct field_strs values, not_values;
};
enum jwt_validation { JWT_REQUIRE_VALID, JWT_ALLOW_MISSING, JWT_ALLOW_MISSING_OR_FAILED };
struct doc_jwt_config {
    struct doc_phase *phase;
    struct field_list providers; /* struct doc_jwt_provider, named */
    struct field_list claims;    /* struct doc_jwt_claim */
    struct field_strs scopes;
    int validation;
    bool allow_missing_or_failed, shadow, failure_mode_allow;
};
struct doc_jwt_policy {
    struct field_list apply;
    struct doc_jwt_config *config;
};

struct doc_replaces {
    struct slice name;
};
struct doc_domain_limit {
    const struct yaml *self;
    int unit, algorithm;
    int64_t requests, burst;
    bool unlimited;
    struct slice name;
    struct field_list replaces; /* struct doc_replaces */
};
struct doc_domain_descriptor {
    const struct yaml *self;
    struct slice key, value;
    struct doc_domain_limit *limit;
    bool shadow, quota, share_threshold;
    struct field_list kids;
};
struct doc_domain { /* a file of the reference rate limiter; it has no kind */
    const struct yaml *self;
    struct slice domain;
    struct field_list descriptors;
};

struct doc_plan {
    const struct yaml *self;
    struct slice name, display_name, description;
};
struct doc_visibility {
    bool is_public;
};
struct doc_portal {
    struct field_list plans;
    struct doc_visibility *visibility;
};
struct doc_inline {
    struct slice text;
};
struct doc_api_doc {
    struct doc_inline *openapi;
};
struct doc_openapi_meta {
    struct slice title, description, terms, contact, license, lifecycle;
};
struct doc_version {
    struct slice version;
    struct doc_openapi_meta *meta;
};
struct doc_api_product {
    struct slice id, display_name, description;
    struct field_pairs custom;
    struct field_list versions; /* struct doc_version */
};
struct doc_applied { /* kinds that are not served but name routes */
    struct field_list apply;
};

struct doc { /* what every document with a kind begins with; spec is the struct of its kind */
    const struct yaml *self;
    struct doc_meta *meta;
    void *spec;
};

struct load;
struct resource {
    const struct kind_row *row;
    struct slice file;
    const struct yaml *node;
    struct slice name, ns, full; /* full: "namespace.name" */
    struct doc *doc;
};
/* take of an earlier stage sees nothing of the later ones */
enum kind_stage { STAGE_PARTS, STAGE_POLICIES, STAGE_ROUTES, STAGE_CATALOG, STAGES };
struct kind_row {
    const char *kind, *group; /* apiVersion up to the slash, or the whole; several with '|' between */
    enum kind_stage stage;
    const struct field_table *table; /* of the whole document; NULL: only its name is known */
    void (*take)(struct load *l, struct resource *r);
    const char *said;                /* notice for a kind that is read and not served, or NULL */
    const char *doc;                 /* one line for the manual */
};
FN const struct kind_row *kind_at(size_t i); /* NULL beyond the last */
FN const struct field_table *kind_domain_table(void);
FN struct doc_secret *kind_secret_of(struct doc *d); /* of a Secret or ConfigMap */

#endif
