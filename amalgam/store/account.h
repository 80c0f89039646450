/*
 * account.h - people, their sessions, teams, apps and API keys: the portal's tables.
 *
 * Used by portal/ (REST) and main/ (CLI, control socket): one place for what a name may be, what is
 * unique and what happens together. An API key is a row here (what people see) and two entries of the
 * keyspace (what checks read, keyrec.h); account_key_create writes both and returns when both are on
 * disk. Passwords arrive hashed (wire/cred.h: argon2 blocks, so callers choose the thread).
 * Tokens and session ids are random 256 bits; only their SHA-256 is stored.
 *
 * Ids are UUIDs in text. Times are wall-clock milliseconds. Out strings live in the arena given.
 * Errors: RC_CONFLICT (exists), RC_NOTFOUND, RC_BADINPUT with e->place = the field's name, RC_IO.
 * Threads: any but reactors (db.h blocks).
 */
#ifndef STORE_ACCOUNT_H
#define STORE_ACCOUNT_H

#include "store/db.h"
#include "store/keyrec.h"

enum role { ROLE_DEVELOPER, ROLE_OPERATOR, ROLE_OWNER, ROLES };
FN const char *role_name(enum role r);
FN bool role_parse(struct slice s, enum role *out);

struct account {
    struct slice id, email, name;
    enum role role;
    bool disabled, has_password;
    int64_t created_ms, updated_ms, seen_ms;
    struct slice team_id, app_id; /* the personal ones */
};
/* password_phc may be empty: an account that waits for its setup link. Makes team and app too. */
FN enum rc account_create(struct store *st, struct arena *a, struct slice email, struct slice name,
                          enum role role, struct slice password_phc, int64_t now_ms,
                          struct account *out, struct err *e) MUST_CHECK;
FN enum rc account_by_email(struct store *st, struct arena *a, struct slice email, struct account *out,
                            struct slice *password_phc, struct err *e) MUST_CHECK;
FN enum rc account_by_id(struct store *st, struct arena *a, struct slice id, struct account *out,
                         struct err *e) MUST_CHECK;
FN enum rc account_list(struct store *st, struct arena *a, struct account **out, size_t *n,
                        struct err *e) MUST_CHECK; /* by e-mail */
FN enum rc account_count(struct store *st, size_t *n, struct err *e) MUST_CHECK;
/* Sets the password and ends every session of the account. */
FN enum rc account_set_password(struct store *st, struct slice id, struct slice password_phc,
                                int64_t now_ms, struct err *e) MUST_CHECK;
/* Disabled: sessions end, API keys are refused (their keyspace entries go; enabling puts them back), no
 * new ones are made. RC_IO: the account is disabled, but a key could not be taken away: e says whether it
 * still works. */
FN enum rc account_set_disabled(struct store *st, const struct keyrec_scheme *scheme, struct slice id,
                                bool disabled, int64_t now_ms, struct err *e) MUST_CHECK;

/* Sessions: the id goes into the cookie. Idle and absolute bounds are checked on read. */
FN enum rc session_create(struct store *st, struct arena *a, struct slice account_id, int64_t now_ms,
                          struct slice *id, struct err *e) MUST_CHECK;
FN enum rc session_find(struct store *st, struct arena *a, struct slice id, int64_t now_ms,
                        int64_t idle_ms, int64_t absolute_ms, struct account *out,
                        struct err *e) MUST_CHECK; /* RC_NOTFOUND: not signed in */
FN enum rc session_end(struct store *st, struct slice id, struct err *e) MUST_CHECK;

/* One-time links. kind "setup" has no account: the first owner is made with it. */
enum link_kind { LINK_SETUP, LINK_INVITE, LINK_RESET };
FN enum rc link_create(struct store *st, struct arena *a, enum link_kind kind, struct slice account_id,
                       int64_t now_ms, int64_t valid_ms, struct slice *token,
                       struct err *e) MUST_CHECK; /* ends older links of the same kind and account */
FN enum rc link_find(struct store *st, struct arena *a, struct slice token, int64_t now_ms,
                     enum link_kind *kind, struct slice *account_id, int64_t *expires_ms,
                     struct err *e) MUST_CHECK;
FN enum rc link_use(struct store *st, struct slice token, int64_t now_ms, struct err *e) MUST_CHECK;

struct account_key {
    struct slice id;     /* uuid, as in the keyspace */
    struct slice account_id, app_id, email, name, public_part, plan, product, hash, config_id;
    int64_t created_ms, expires_ms, revoked_ms, used_ms; /* 0: none */
};
struct account_key_opts {
    struct slice account_id, app_id, name, plan, product; /* app "": the personal one; product "": all */
    struct slice prefix;    /* "pst" */
    struct slice config_id; /* metadata for Gloo */
    int64_t expires_ms;     /* wall; 0: never */
};
/* RC_IO, RC_NOMEM (store.maxmemory): no key was made.
 * *clear is the key itself: give it to the person once and forget it (wiped with the arena by you). */
FN enum rc account_key_create(struct store *st, const struct keyrec_scheme *scheme, struct arena *a,
                              const struct account_key_opts *o, int64_t now_ms,
                              struct account_key *out, struct slice *clear, struct err *e) MUST_CHECK;
/* account_id "": everybody's. Newest first. */
FN enum rc account_key_list(struct store *st, struct arena *a, struct slice account_id,
                            struct account_key **out, size_t *n, struct err *e) MUST_CHECK;
FN enum rc account_key_get(struct store *st, struct arena *a, struct slice id, struct account_key *out,
                           struct err *e) MUST_CHECK;
/* RC_IO: e says whether the key still works. */
FN enum rc account_key_revoke(struct store *st, const struct keyrec_scheme *scheme, struct slice id,
                              int64_t now_ms, struct err *e) MUST_CHECK;

/* Who did what, append only. Never secrets. */
FN void audit(struct store *st, int64_t now_ms, struct slice who, const char *action, struct slice object,
              struct slice detail);

#endif
