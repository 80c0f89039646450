/*
 * token.h - tokens in policies: where keys come from, what a token must be, what was verified before.
 *
 * Shared by accessTokenValidation (step_token.c, step_token_call.c), JWTPolicy (cjwt.c, item_jwt.c), jwt
 * (step_jwt.c) and, for keys, oidcAuthorizationCode (step_oidc_tokens.c). In the set, read-only: struct jwks_source, token_rule, token_call, claim_header. Per thread:
 * key sets (jwks.c) and verified tokens (token.c); no lock is taken anywhere here.
 *
 * A step or item calls token_check; TOKEN_WAIT means that d->begin is set and it says STEP_WAIT; it is run
 * again when the keys are there, or known not to come.
 */
#ifndef POLICY_TOKEN_H
#define POLICY_TOKEN_H

#include "net/fetch.h"
#include "policy/inside.h"
#include "wire/jwt.h"

/* ---- in the set ---- */

enum { TOKEN_ID = 32 };
enum { JWKS_FETCH_MS = 5000, JWKS_REFRESH_MS = 5 * 60 * 1000 };
struct jwks_source {
    uint8_t id[TOKEN_ID];  /* of all that follows: threads keep the keys by it, over reloads */
    struct slice text;     /* keys that the policy holds, or "" */
    struct fetch_url url;  /* else where they are */
    int64_t refresh_ms, timeout_ms;
    int unknown_max;       /* fetches for unknown kids in one refresh interval */
    int64_t unknown_gap_ms; /* least time between two of them */
    int flags;             /* of jwks_parse */
};
struct token_rule {
    uint8_t id[TOKEN_ID]; /* of all that decides: a token that passed one rule has passed no other */
    struct jwks_source *keys;
    struct jwt_want want;
    unsigned algs;
    bool need_kid;
    int64_t cache_ms; /* how long a result is believed at most; 0: not at all */
};
struct claim_header {
    struct slice claim, header;
    bool append;
};
struct claim_headers {
    struct claim_header *v;
    size_t n;
};
struct doc_rule { /* what both kinds of document say about a token, in their own words */
    struct slice issuer, skew;
    struct field_strs audiences, algorithms;
    bool no_exp_ok;
};

/* The set's part. False: a fault was added. refresh and timeout may be "". */
FN bool jwks_source_local(struct load *l, const struct field_in *in, const struct yaml *at,
                          struct slice text, int flags, struct jwks_source **out);
FN bool jwks_source_remote(struct load *l, const struct field_in *in, const struct yaml *at,
                           struct slice url, struct slice refresh, struct slice timeout, int flags,
                           struct jwks_source **out);
/* Fills s->id of a source that is a URL; all else in it is set before. */
FN void jwks_source_name(struct jwks_source *s, struct slice url);
/* r->keys and r->need_kid, r->cache_ms are set before. */
FN bool token_rule_compile(struct load *l, const struct field_in *in, const struct yaml *at,
                           const struct doc_rule *d, struct token_rule *r);
FN bool token_duration(const struct field_in *in, const struct yaml *at, const char *name,
                       struct slice text, int64_t otherwise_ms, int64_t *out);
/* list: struct doc_claim_header. identity gets the names. */
FN bool claim_headers_compile(struct load *l, const struct field_in *in, const struct field_list *list,
                              struct claim_headers *out);

/* ---- per thread ---- */

struct jwks_cache;
struct jwks_entry;
FN struct jwks_cache *jwks_cache_open(void);
FN void jwks_cache_close(struct jwks_cache *c);

/* What a decision that waits for keys keeps. Zero at first. */
enum { JWKS_ASKED_MAX = 8 };
struct jwks_wait {
    struct jwks_wait *next;
    struct decision *d;
    uint64_t asked[JWKS_ASKED_MAX]; /* sources that were waited for already: not again */
    size_t asked_n;
    uint64_t joined; /* the source whose answer was under way: it may be older than the token */
};
/* What a waiting decision keeps (d->wait) of these steps. */
struct token_answer { /* of an introspection or userinfo endpoint */
    bool there;
    enum rc rc;
    int status;
    const char *why;
    const struct json *body; /* NULL: no JSON object */
};
struct token_wait {
    struct jwks_wait keys;
    struct token_answer answers[2];
    size_t answer; /* the one under way */
};
FN struct token_wait *token_wait_of(struct decision *d); /* d->wait, made when there is none */

enum jwks_said { JWKS_HAVE, JWKS_WAIT /* jwks_join, and ask again when woken */, JWKS_NONE };
struct jwks_got {
    struct jwks *keys;
    struct jwks_entry *from;
    const char *why; /* of JWKS_NONE: what the last attempt met */
};
/* Keys for this token. w: what this decision waited for, or NULL. */
FN enum jwks_said jwks_get(struct policy_ctx *c, const struct jwks_source *s, const struct jwt *t,
                           const struct jwks_wait *w, struct jwks_got *out);
/* Once d has memory of its own, in which w is: d is woken when the keys are here, or not to be had. */
FN void jwks_join(struct decision *d, const struct jwks_source *s, struct jwks_wait *w);
FN uint64_t jwks_version(struct policy_ctx *c, struct jwks_entry *e, const struct jwks_source *s);

struct token_cache;
FN struct token_cache *token_cache_open(void);
FN void token_cache_close(struct token_cache *c);
FN void token_cache_clear(struct token_cache *c); /* the memory goes at the next sweep */
FN void token_cache_sweep(struct token_cache *c); /* at the start of a batch */
FN size_t token_cache_count(const struct token_cache *c) UNUSED;

enum token_said { TOKEN_GOOD, TOKEN_BAD, TOKEN_WAIT, TOKEN_TROUBLE };
struct token_found {
    enum jwt_fault fault;
    const char *why;           /* of trouble */
    const struct json *claims; /* valid like everything of the decision */
};
FN enum token_said token_check(struct decision *d, const struct token_rule *r, struct slice token,
                               struct token_found *out);
/* Any other result by token and rule: introspection, userinfo. until_ms: wall clock. */
FN const struct json *token_cache_get(struct decision *d, const uint8_t rule[TOKEN_ID],
                                      struct slice token);
FN void token_cache_put(struct decision *d, const uint8_t rule[TOKEN_ID], struct slice token,
                        const struct json *value, int64_t until_ms);

/* claimsToHeaders. False: a value that cannot be a header. */
FN bool claim_headers_set(struct decision *d, const struct claim_headers *h, const struct json *claims);

#endif
