/*
 * step_token.h - what the two files of oauth2.accessTokenValidation share.
 *
 *     step_token.c       YAML, the token itself, scopes, headers, metadata
 *     step_token_call.c  asking the introspection and userinfo endpoints
 */
#ifndef POLICY_STEP_TOKEN_H
#define POLICY_STEP_TOKEN_H

#include "policy/token.h"

struct token_call {
    uint8_t id[TOKEN_ID]; /* of endpoint and client */
    bool userinfo;
    struct fetch_url url;
    struct slice client_id, basic; /* basic: "Basic ..." or "" */
    int64_t cache_ms;
    size_t index; /* 0 introspection, 1 userinfo */
};
struct token_step {
    struct token_rule *rule;           /* NULL: the token is opaque to us */
    const struct token_call *calls[2]; /* or NULL */
    struct field_strs scopes;
    struct claim_headers headers;
    struct field_pairs metadata; /* name -> claim */
    struct slice user;           /* member that names the user */
};
struct doc_introspection {
    const struct yaml *self;
    struct slice url, client_id, user;
    struct doc_ref *secret;
    bool no_secret;
};
FN struct slice step_token_bearer(struct decision *d, size_t *n);
FN bool step_token_call_compile(struct load *l, const struct field_in *in, const struct yaml *at,
                                const struct doc_introspection *d, bool userinfo, int64_t cache_ms,
                                struct slice ns, const struct token_call **out);
/* TOKEN_GOOD: *out is what the endpoint says; TOKEN_BAD: it does not know the token or says that it is
 * over; TOKEN_TROUBLE: *why. */
FN enum token_said step_token_ask(struct decision *d, const struct token_call *c, struct slice token,
                                  const struct json **out, const char **why);

#endif
