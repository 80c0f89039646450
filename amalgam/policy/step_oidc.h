/*
 * step_oidc.h - what the files of the steps oauth2.oidcAuthorizationCode and oauth2.oauth2 share.
 *
 *     step_oauth2.c         which of the three kinds of oauth2 it is
 *     step_oidc_conf.c      YAML -> struct oidc_step
 *     step_oidc_codec.c     records, sealed texts, cookies: bytes <-> structs, pure
 *     step_oidc_provider.c  what the identity provider says about itself: per thread (its keys: jwks.c)
 *     step_oidc.c           one request: which of the paths below it takes, and what waits
 *     step_oidc_login.c     to the provider: state, nonce, PKCE
 *     step_oidc_callback.c  back from it: code for tokens, a new session
 *     step_oidc_tokens.c    the token endpoint, tokens verified, refresh
 *     step_oidc_session.c   sessions in the store or in cookies
 *     step_oidc_logout.c    logout, revocation, end session, front-channel logout
 *
 * Threads: a struct oidc_step is read-only; all else belongs to the context's thread. What threads and
 * processes share is in the store.
 */
#ifndef POLICY_STEP_OIDC_H
#define POLICY_STEP_OIDC_H

#include "net/fetch.h"
#include "policy/inside.h"
#include "policy/token.h"
#include "wire/jwt.h"

enum {
    OIDC_LOGIN_MS = 10 * 60 * 1000,      /* from the redirect to the provider until the way back */
    OIDC_LOGINS_MAX = 6,                 /* login cookies of one browser; more: the others are dropped */
    OIDC_SESSION_S = 30 * 24 * 3600,      /* when maxAge does not say */
    OIDC_TOKEN_MS = 5 * 60 * 1000,       /* when the provider does not say how long tokens live */
    OIDC_FETCH_MS = 5000,
    OIDC_KID_MS = 10 * 1000,             /* between two questions for keys, when the policy does not say */
    OIDC_LOCK_MS = 15 * 1000,            /* one refresh of a session at a time */
    OIDC_POLL_MS = 40,                   /* the others look again so often, */
    OIDC_POLL_MAX_MS = 10 * 1000,        /* for so long */
    OIDC_CHUNK = 3600,                   /* bytes of a cookie's value */
    OIDC_CHUNKS_MAX = 8,
    OIDC_TOKEN_BYTES = 16 << 10,         /* of one token */
    OIDC_REPLY_BYTES = 128 << 10,
    OIDC_RANDOM = 32,                    /* bytes of ids, states, nonces */
    OIDC_ID_LEN = 43                     /* the same in base64url */
};

/* ---- compiled ---- */

struct oidc_claim { /* claimsToHeaders, dynamicMetadataFromClaims */
    struct slice claim, name;
    bool append;
};
struct oidc_claims {
    struct oidc_claim *v;
    size_t n;
};
struct oidc_endpoints {
    struct slice issuer, auth, token, jwks, revoke, end_session;
    bool basic_ok, post_ok; /* how the client may show its secret */
    bool iss_sent;          /* RFC 9207 */
};
enum oidc_client { OIDC_CLIENT_PUBLIC, OIDC_CLIENT_SECRET, OIDC_CLIENT_KEY };
struct oidc_key {
    uint8_t id[4], key[32];
};
struct oidc_step {
    bool plain;         /* oauth2.oauth2: no id token, no discovery */
    struct slice ident; /* of provider and client: sessions of others are not taken */
    struct slice issuer, discovery_url;
    int64_t poll_ms;
    int unknown_max;           /* jwksCacheRefreshPolicy: questions for an unknown kid in poll_ms, */
    int64_t unknown_gap_ms;    /* and the least time between two */
    struct oidc_endpoints own; /* of discoveryOverride, or all of them when plain */
    struct slice client_id, client_secret, client_pem, client_kid;
    enum oidc_client client;
    int64_t client_valid_s;
    struct slice app_url, app_origin; /* without '/' at the end; scheme and host alone */
    struct slice callback_path, redirect_uri, logout_path, after_logout, front_logout_path;
    struct regex *callback_re;
    struct slice scope, auth_query, token_query; /* encoded */
    struct slice metadata_space; /* of the request's metadata, with more of them; "" none */
    unsigned algs;               /* of id tokens; 0: all that the keys allow */
    struct slice session_header; /* of the code's exchange, or "" */
    bool end_session_post;
    struct slice id_header, access_header;
    bool bearer;
    struct oidc_claims id_claims, access_claims, metadata;
    /* session */
    bool in_store, refreshes, fail_on_fetch, secure, http_only, has_keys;
    int64_t pre_expiry_ms, max_age_s; /* max_age_s 0: until the browser ends */
    struct slice prefix, cookie, cookie_tail, login_tail; /* tails: attributes without Max-Age */
    struct slice target_domain;
    struct oidc_key keys[2]; /* of cipherConfig: the first seals, both open */
    size_t keys_n;
};
FN const struct field_table *step_oidc_fields(void);
FN const struct field_table *step_oidc_plain_fields(void);
FN bool step_oidc_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                          struct step *out);
FN bool step_oidc_plain_compile(struct load *l, const struct field_in *in, void *doc,
                                const struct yaml *y, struct step *out);

/* A parameter of the sign-in page or the token endpoint that only we send. */
FN bool oidc_param_ours(bool token, struct slice name);

/* ---- records (step_oidc_codec.c) ---- */

struct oidc_session {
    struct slice id;      /* what the cookie holds, or the id inside the cookie's record */
    struct slice id_token, access_token, refresh_token, sub, sid;
    int64_t created_ms, expires_ms, ends_ms; /* expires: of the tokens; ends: of the session, 0 never */
};
struct oidc_login {
    struct slice state, nonce, verifier, target;
    int64_t ends_ms;
};
/* Reading takes any bytes and says whether they were a whole record; slices point into them. */
FN struct slice oidc_session_write(struct arena *a, const struct oidc_session *s);
FN bool oidc_session_read(struct slice in, struct oidc_session *out) MUST_CHECK;
FN struct slice oidc_login_write(struct arena *a, const struct oidc_login *s);
FN bool oidc_login_read(struct slice in, struct oidc_login *out) MUST_CHECK;

/* Text for a cookie or a value of the store: key id, nonce, cipher text, in base64url. aad binds it to its
 * use: kind, ident of the step and `more`. Opening what is not ours is false. */
struct oidc_keys {
    struct oidc_key v[2];
    size_t n;
};
FN struct slice oidc_seal(struct arena *a, const struct oidc_keys *k, const char *kind,
                          struct slice ident, struct slice more, struct slice plain);
FN bool oidc_open(struct arena *a, const struct oidc_keys *k, const char *kind, struct slice ident,
                  struct slice more, struct slice text, struct slice *plain) MUST_CHECK;
FN void oidc_key_set(struct oidc_key *k, const uint8_t key[32]);

/* Cookies of a request (RFC 6265 5.4 as servers read it). *n: how many had this name. */
FN struct slice oidc_cookie_get(const struct http_header *h, size_t n, struct slice name, size_t *found);
/* A value that was cut into name, name_1, ... ; "" when pieces are missing, doubled or too many. */
FN struct slice oidc_cookie_joined(struct arena *a, const struct http_header *h, size_t n,
                                   struct slice name);
/* Is it the session's or a login's cookie (or a piece of one) of the step with this cookie name? */
FN bool oidc_cookie_ours(struct slice cookie, struct slice name);
/* The request's cookies without those of `names`, in one value, "" when none is left. *had: one of them
 * was there. */
FN struct slice oidc_cookie_rest(struct arena *a, const struct http_header *h, size_t n,
                                 const struct slice *names, size_t names_n, bool *had);
/* Calls each for every cookie of the request until it returns false. */
FN void oidc_cookie_each(const struct http_header *h, size_t n,
                         bool (*each)(void *ctx, struct slice name, struct slice value), void *ctx);
FN struct slice oidc_random(struct arena *a);                  /* 256 bits in base64url */
FN struct slice oidc_digest(struct arena *a, struct slice in); /* SHA-256 in base64url */

/* ---- the provider (step_oidc_provider.c) ---- */

struct oidc_flow;
enum oidc_got { OIDC_GOT, OIDC_GOT_WAIT /* oidc_provider_wait, then ask again */, OIDC_GOT_NONE };
/* Endpoints as found, with those of discoveryOverride put over them. Valid until the next wait. */
FN enum oidc_got oidc_provider_get(struct decision *d, const struct oidc_step *o,
                                   struct oidc_endpoints *out);
FN void oidc_provider_wait(struct decision *d, const struct oidc_step *o, struct oidc_flow *f);

/* ---- one request (step_oidc.c) ---- */

enum oidc_stage {
    OIDC_AT_START,    /* nothing was waited for yet, or what was is in the caches now */
    OIDC_AT_CODE,     /* the answer to the code is here */
    OIDC_AT_NEW,      /* new tokens are here and not verified: callback */
    OIDC_AT_REFRESH,  /* the answer to the refresh token is here */
    OIDC_AT_RENEWED   /* refreshed tokens are here and not verified */
};
enum oidc_want { OIDC_WANT_DISCOVERY, OIDC_WANT_KEYS, OIDC_WANT_TOKENS, OIDC_WANT_POLL };
struct oidc_flow { /* d->wait */
    enum oidc_stage stage;
    enum oidc_want want;
    bool kept;           /* it is in the decision's own memory */
    struct slice url;    /* of what is wanted, for keys and tokens */
    struct slice body;   /* of the request for tokens */
    struct slice auth;   /* its Authorization, or "" */
    enum rc rc;          /* of the last answer */
    int status;
    struct slice answer; /* its body, copied */
    bool waited;         /* for the provider: not again */
    int64_t poll_until_ms;
    struct jwks_wait keys;
    struct jwks_source source; /* of the keys that are wanted, at url */
    struct oidc_login login;
    struct oidc_session session; /* read, or made of new tokens */
    struct slice hash;           /* name of the session's entry in the store */
    struct decision *d;
    struct oidc_flow *next; /* waits for the same document */
    struct net_timer timer;
};
FN enum step_said step_oidc_run(struct decision *d, const struct step *s);
FN enum step_said oidc_wait(struct oidc_flow *f, enum oidc_stage stage, enum oidc_want want);
FN enum step_said oidc_deny(struct decision *d, const struct step *s, int status, const char *reason,
                            const char *words);
FN enum step_said oidc_trouble(struct decision *d, const char *reason);
FN enum step_said oidc_redirect(struct decision *d, const struct step *s, const char *reason,
                                const char *words, struct slice to);
FN void oidc_keys_of(const struct decision *d, const struct oidc_step *o, struct oidc_keys *out);
FN enum step_said oidc_accept(struct decision *d, const struct step *s, const struct oidc_session *x);

/* Each is one way through the step. */
FN enum step_said oidc_login_begin(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_callback_begin(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_callback_code(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_callback_new(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_refresh_begin(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_refresh_answer(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_refresh_renewed(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_logout(struct decision *d, const struct step *s, struct oidc_flow *f);
FN enum step_said oidc_logout_front(struct decision *d, const struct step *s);

/* Login cookies (step_oidc_login.c). */
FN struct slice oidc_login_cookie(struct arena *a, const struct oidc_step *o, struct slice state);
FN void oidc_cookie_put(struct decision *d, const struct oidc_step *o, struct slice name,
                        struct slice value, struct slice tail, int64_t max_age_s);
FN void oidc_cookie_clear(struct decision *d, const struct oidc_step *o, struct slice name);

/* ---- tokens (step_oidc_tokens.c) ---- */

/* "&a=b&c=d" of the request's metadata (autoMapFromMetadata), for the sign-in page or the token endpoint. */
FN struct slice oidc_tokens_params(struct decision *d, const struct oidc_step *o, bool token);
/* The request to the token endpoint: client authentication is added to `form`. False: trouble is said. */
FN bool oidc_tokens_ask(struct decision *d, const struct oidc_step *o, const struct oidc_endpoints *e,
                        struct slice form, struct oidc_flow *f) MUST_CHECK;
/* The answer -> f->session's tokens and expires_ms. RC_DENIED: the provider refuses what it was given;
 * RC_IO: it is in trouble; RC_BADINPUT: no such answer. */
FN enum rc oidc_tokens_take(struct decision *d, const struct oidc_step *o, struct oidc_flow *f,
                            struct slice *fault) MUST_CHECK;
/* STEP_PASS: the id token of f->session is the provider's and for us; sub and sid are taken. */
FN enum step_said oidc_tokens_verify(struct decision *d, const struct step *s, struct oidc_flow *f,
                                     struct slice nonce, enum oidc_stage again);
/* Where the provider's keys are. False: url is no address. */
FN bool oidc_tokens_source(struct arena *a, const struct oidc_step *o, struct slice url,
                           struct jwks_source *out) MUST_CHECK;
/* Sent and forgotten. */
FN void oidc_tokens_revoke(struct decision *d, const struct oidc_step *o, const struct oidc_endpoints *e,
                           struct slice token, const char *hint);

/* ---- sessions (step_oidc_session.c) ---- */

/* RC_OK, RC_NOTFOUND (none, ended, not readable), RC_IO: the store holds something else. */
FN enum rc oidc_session_find(struct decision *d, const struct oidc_step *o, struct oidc_session *x,
                             struct slice *hash) MUST_CHECK;
FN bool oidc_session_sent(const struct decision *d, const struct oidc_step *o); /* a cookie of that name came */
/* Writes it; first: as a new one, with the cookie. */
FN enum rc oidc_session_put(struct decision *d, const struct oidc_step *o, const struct oidc_session *x,
                            struct slice hash, bool first) MUST_CHECK;
FN void oidc_session_end(struct decision *d, const struct oidc_step *o, const struct oidc_session *x,
                         struct slice hash);
FN void oidc_session_clear(struct decision *d, const struct oidc_step *o); /* its cookies go */
FN void oidc_session_end_sid(struct decision *d, const struct oidc_step *o, struct slice sid);
FN struct slice oidc_session_hash(struct arena *a, struct slice id);
/* True once per name within ttl_ms, and again for the same decision. */
FN bool oidc_mark(struct decision *d, struct slice name, int64_t ttl_ms);
FN void oidc_unmark(struct decision *d, struct slice name);
FN struct slice oidc_entry(struct arena *a, const struct oidc_step *o, const char *kind,
                           struct slice name);

#endif
