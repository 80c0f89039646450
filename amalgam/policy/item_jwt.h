/*
 * item_jwt.h - a compiled JWTPolicy: made by cjwt.c, run by item_jwt.c. In the set, read-only.
 */
#ifndef POLICY_ITEM_JWT_H
#define POLICY_ITEM_JWT_H

#include "policy/token.h"

struct jwt_place { /* where a token may be */
    struct slice name, prefix;
    bool is_param;
};
struct jwt_provider {
    struct slice name;
    struct token_rule rule;
    struct jwt_place *places;
    size_t places_n;
    struct claim_headers headers;
    struct slice payload_header;
    bool keep_token;
};
struct jwt_claim_rule {
    struct slice key;
    char delimiter;
    struct field_strs values, not_values;
};
struct jwt_policy {
    struct slice name, rule;
    struct jwt_provider *providers;
    size_t providers_n;
    struct jwt_claim_rule *claims;
    size_t claims_n;
    struct field_strs scopes;
    enum jwt_validation validation;
    bool shadow, failure_mode_allow;
};

#endif
