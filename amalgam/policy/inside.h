/*
 * inside.h - what the files of policy/ share and no other room includes: the compiled set and the
 * working state of one decision.
 *
 * Two lives. Loading: load.c reads files into resources, compile*.c and catalog.c turn them into the
 * structs below, route.c builds the tables of hosts and paths. From then on a set is read-only and
 * shared by threads. Deciding: decide.c matches the route and runs its chain of items (policies) over
 * a struct decision, which lives on the stack and in the context's arena.
 *
 * A step of an ext-auth policy is a row of step_at, a rate-limit action a row of action_at, a kind of
 * document a row of kind_at: issues to come add rows.
 */
#ifndef POLICY_INSIDE_H
#define POLICY_INSIDE_H

#include "base/lock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/rand.h"
#include "policy/boolexpr.h"
#include "policy/explain.h"
#include "policy/kinds.h"
#include "script/script.h"
#include "wire/passwd.h"
#include "wire/regex.h"

struct decision;

/* ---- ext-auth ---- */
/* WAIT: the step set d->begin and is run again, with d->wait, when decision_wake was called (park.c). */
enum step_said { STEP_PASS, STEP_DENY, STEP_TROUBLE, STEP_WAIT };
struct step {
    const struct step_row *row;
    struct slice name; /* given, or config_<index> */
    struct slice rule; /* "file:line" */
    struct slice policy;
    void *data;        /* of the row's kind */
    const struct slice *identity; /* headers that it may set: set or removed on every allow */
    size_t identity_n;
    struct slice credential;      /* header that carries the secret: removed on every allow, or "" */
    struct slice cookie;          /* name of a session's cookie: taken out of Cookie on every allow, or "" */
    bool api_key;                 /* credential is where the portal's keys go */
    bool denies;                  /* asks for something that is not served */
};
struct step_row {
    const char *name;
    const struct field_table *(*fields)(void); /* NULL: not served, the routes are denied */
    bool (*compile)(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                    struct step *out);
    enum step_said (*run)(struct decision *d, const struct step *s);
    const char *said; /* instead, when not served; else one line for the manual */
};
FN const struct step_row *step_at(size_t i); /* NULL beyond the last */
FN const struct step_row *step_oauth2_at(size_t i) UNUSED; /* the kinds of oauth2 */
FN const struct field_table *step_oauth2_fields(void);
FN bool step_oauth2_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                            struct step *out);

struct auth_policy {
    struct slice name, rule;
    struct step *steps;
    size_t steps_n;
    const struct bool_expr *expr; /* NULL: all must pass */
    bool fail_on_redirect, shadow, failure_mode_allow;
    bool denies; /* something in it is not served */
};

struct key_header { /* headersFromMetadataEntry */
    struct slice header, meta;
    bool required;
};
struct key_entry { /* a parsed API key: from the store (cached) or from a Secret */
    struct slice hash; /* as in the store */
    struct slice uuid;
    const struct field_pair *meta;
    size_t meta_n;
    int64_t expires_ms; /* 0: never */
};
struct key_secret { /* an API key of a Secret document */
    uint8_t mac[32]; /* under the set's own key */
    struct slice name, ns;
    struct field_pairs labels, meta;
    struct key_entry entry;
};
struct secret { /* any other Secret or a ConfigMap: values as they are, base64 undone */
    struct slice name, ns, type; /* type "" for a ConfigMap */
    bool is_config;
    struct field_pairs values;
};
struct key_step {
    struct slice header;
    struct key_header *headers;
    size_t headers_n;
    bool from_secrets;
    struct map secrets; /* mac -> struct key_secret */
    enum { KEY_PLAIN, KEY_HMAC, KEY_DIGEST } hashed; /* what the Secrets hold: base64 of it */
    struct hmac_key shared;
    struct slice *match; /* headers that must be as the Secret says */
    size_t match_n;
    struct field_strs plans;
};
struct lua_step {
    struct slice name, text; /* of the chunk, for errors */
    int index;               /* place in set->lua and in the context's table of script ids */
    struct slice space;      /* "lua:<policy>:" before the keys that it keeps in the store */
    struct json *config;
    const struct lua_allow *allow; /* servers that it may ask by postern.http; lua_http.c */
    size_t allow_n;
};

/* ---- rate limits ---- */
struct limit_rule {
    uint32_t requests;
    enum limit_unit unit;
    bool unlimited, shadow, quota, always;
    int32_t weight;
    struct slice name;   /* for RateLimit-Policy */
    struct slice id;     /* `name` in a domain file, or "" */
    struct slice *replaces;
    size_t replaces_n;
    struct slice plan;   /* value of usagePlan on its way, or "" */
    struct slice rule;   /* "file:line" */
};
struct limit_node {
    struct slice key, value;
    bool has_value, wildcard, share, wild_kids;
    const struct limit_rule *rule;
    struct limit_node *kids;
    size_t kids_n;
    struct map *index; /* "<key>\0<value>" -> node when there are many */
};
struct limit_set {
    struct limit_node *pairs; /* key, value, has_value */
    size_t pairs_n;
    struct slice marker; /* tells rules with the same keys apart, or "" */
    const struct limit_rule *rule;
};
struct limit_config {
    struct slice name, file; /* "namespace.name" or the domain */
    struct slice domain, id; /* id: value of the first generic_key, "" in domain files */
    bool reference;          /* counter names as the reference server's */
    struct slice tree_prefix, set_prefix;
    struct limit_node root;
    struct limit_set *sets;
    size_t sets_n;
};
struct limit_action {
    const struct action_row *row;
    void *data;
};
struct limit_entry_rule { /* one of rateLimits[] */
    bool is_set;
    struct limit_action *actions;
    size_t actions_n;
};
struct limit_client {
    struct limit_entry_rule *entries;
    size_t entries_n;
};
struct action_row {
    const char *name;
    const struct field_table *fields; /* NULL: not served */
    size_t doc_size;
    bool (*compile)(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                    void **data);
    /* false: this action yields nothing */
    bool (*run)(struct decision *d, const void *data, struct limit_entry *out);
    const char *said;
};
FN const struct action_row *action_at(size_t i);

struct limit_policy {
    struct slice name, rule;
    const struct limit_config *server; /* NULL: nothing is enforced */
    const struct limit_client *client;
    bool shadow, failure_mode_allow, broken; /* broken: refers to something that is not there */
};

/* ---- the chain of a route ---- */
enum phase { PHASE_PRE, PHASE_AUTH, PHASE_POST };
struct chain_item {
    const struct item_row *row;
    void *policy;
    const struct slice *identity, *credentials; /* headers: see struct step */
    const struct slice *cookies;                /* see struct step */
    size_t identity_n, credentials_n, cookies_n;
    struct slice key_header; /* of the API key, or "" */
    bool shadow;             /* its headers stay as they are */
    enum phase phase;
    int64_t priority;
    size_t order;
};
enum item_said { ITEM_GO, ITEM_END /* the verdict stands */, ITEM_WAIT /* as STEP_WAIT */ };
struct item_row {
    const char *name;
    enum item_said (*run)(struct decision *d, const struct chain_item *item);
};

/* ---- routes ---- */
enum uri_kind { URI_PREFIX, URI_EXACT, URI_REGEX };
struct pair_match {
    struct slice name, value;
    struct regex *regex;
    bool present_only, invert;
};
struct route_match {
    enum uri_kind kind;
    struct slice uri;
    struct regex *regex;
    struct slice method;
    struct pair_match *headers, *params;
    size_t headers_n, params_n;
    struct slice rule;
    enum uri_kind rank; /* as written: ignoreCase makes an expression of a path */
    size_t rank_n;      /* length of the path or expression as written */
};
struct route {
    struct slice name, rule;
    struct slice file;
    int line;
    struct route_match *matches;
    size_t matches_n;
    size_t order; /* among those that croute.c sorts */
    const struct route *parent; /* delegating route: its matches must hold too, its labels count too */
    struct field_pairs labels;
    struct slice *hosts;
    size_t hosts_n;
    struct slice product;
    struct chain_item *items;
    size_t items_n;
    struct slice *identity; /* names of identity headers, each once */
    size_t identity_n;
    struct slice *credentials; /* names of headers that carry secrets, each once */
    size_t credentials_n, taken_n; /* the first taken_n are taken out; those of shadow policies stay */
    struct slice *cookies; /* names of sessions' cookies, each once */
    size_t cookies_n;
    struct slice key_header; /* where the portal's API keys go, or "" */
    bool has_auth, by_table;
};
struct route_cand {
    size_t order;
    const struct route *route;
    const struct route_match *match;
    struct route_cand *next; /* rising order */
};
struct route_host;
struct route_index {
    struct map exact, suffix; /* host -> struct route_host; suffix without the star: ".example.com" */
    struct route_host *any;
};
/* order: that of the list. The index keeps pointers to the routes. */
FN void route_index_build(struct policy_set *s, struct route **routes, size_t n,
                          struct policy_faults *faults);
FN void route_index_free(struct route_index *x);
struct route_ask {
    struct slice method, host, path, query;
    const struct http_header *headers;
    size_t headers_n;
    struct arena *arena;
};
/* RC_NOTFOUND; RC_TOOBIG: an expression hit its limits. */
FN enum rc route_find(const struct route_index *x, const struct route_ask *q,
                      const struct route **out);
/* False: HTTP knows one value under this name, and a comma in it is text ("..., like Gecko"). */
FN bool header_is_list(struct slice name);
FN bool route_pair_ok(const struct pair_match *m, bool there, struct slice value, enum rc *trouble);

/* ---- the set ---- */
struct set_arena {
    struct arena arena;
    struct set_arena *next;
};
struct policy_set {
    int readers;
    struct arena arena;
    struct set_arena *files;   /* arenas of the files whose trees are kept */
    struct hmac_key secret_mac; /* random, for keys of Secret documents */
    struct route **routes;
    size_t routes_n;
    struct route_index index;
    struct lua_step **lua;
    size_t lua_n;
    struct limit_config **limits; /* all, for POST /json */
    size_t limits_n;
    struct regex **regexes;
    size_t regexes_n, regexes_cap;
    struct set_map *maps; /* of limit nodes and key steps, freed with the set */
    struct policy_api *apis;
    size_t apis_n;
    struct policy_plan *plans;
    size_t plans_n;
    struct policy_counts counts;
};
struct set_map {
    struct map map;
    struct set_map *next;
};
FN struct map *set_map_new(struct policy_set *s);
FN struct regex *set_regex(struct policy_set *s, const struct field_in *in, const struct yaml *at,
                           struct slice pattern, bool fold_case);
FN struct regex *set_regex_part(struct policy_set *s, const struct field_in *in, const struct yaml *at,
                                struct slice pattern, bool whole, bool fold_case);

/* ---- loading ---- */
struct selector { /* a policy and the labels that it looks for */
    struct field_pairs labels;
    bool all;
    struct chain_item item;
    struct slice name, file;
    const struct yaml *at;
    bool hit;
};
struct delegation {
    const struct doc_delegate *to;
    const struct route *route;
    struct slice ns;
};
struct vec { /* growing array of pointers in mem_ */
    void **v;
    size_t n, cap;
};
struct load {
    const struct policy_opts *opts;
    struct policy_set *set;
    struct policy_faults *faults;
    struct arena scratch;
    struct vec resources;   /* struct resource */
    struct vec selectors;   /* struct selector */
    struct vec routes;      /* struct route */
    struct vec tables;      /* struct load_table: RouteTables before delegation */
    struct vec secrets;     /* struct key_secret: API keys */
    struct vec values;      /* struct secret: all others, and ConfigMaps */
    struct vec limits;      /* struct limit_config */
    struct vec lua;         /* struct lua_step */
    struct vec apis;        /* struct api_draft */
    struct vec plans;       /* struct policy_plan */
    struct map by_name;     /* "kind\0ns.name" -> struct resource */
    struct map servers, clients; /* "ns.name" -> limit_config, limit_client */
    struct map domains;     /* domain -> limit_config of domain files */
    struct script *script;  /* for syntax checks; opened when needed */
    struct policy_ctx *script_ctx; /* for its host functions: scratch, and no request */
    size_t expansions;      /* of delegations, bounded */
    bool have_tables, portal_seen, portal_public;
};
FN void vec_push(struct vec *v, void *p);
FN struct field_in load_in(struct load *l, struct slice file);
FN struct slice load_rule(struct load *l, struct slice file, const struct yaml *at);
FN struct slice load_full_name(struct load *l, struct slice ns, struct slice name);
/* One file's text, as policy_load does for each; name is used in faults. For the fuzz target too. */
FN void load_text(struct load *l, struct slice file, struct slice text);
FN enum rc load_finish(struct load *l, struct policy_set **out);
FN void load_begin(struct load *l, const struct policy_opts *o, struct policy_faults *faults);

FN void compile_nothing(struct load *l, struct resource *r);
FN void compile_secret(struct load *l, struct resource *r);
FN void compile_config_map(struct load *l, struct resource *r);
/* The Secret (or ConfigMap) that a policy in namespace ns refers to; ref->ns "" means that namespace,
 * then any. NULL: a fault at `at` says that it is not there. */
FN const struct secret *secret_find(struct load *l, const struct field_in *in, const struct yaml *at,
                                    bool is_config, const struct doc_ref *ref, struct slice ns) UNUSED;
FN struct slice secret_value(const struct secret *s, struct slice name) UNUSED; /* "" when absent */
FN void compile_ext_auth(struct load *l, struct resource *r);
FN void compile_edge_auth(struct load *l, struct resource *r);
FN void compile_limit_server(struct load *l, struct resource *r);
FN void compile_limit_client(struct load *l, struct resource *r);
FN void compile_limit_policy(struct load *l, struct resource *r);
FN void compile_jwt_policy(struct load *l, struct resource *r);
FN void compile_limit_both(struct load *l, struct resource *r);
FN void compile_transform(struct load *l, struct resource *r);
FN void compile_route_table(struct load *l, struct resource *r);
FN void compile_domain(struct load *l, struct slice file, struct doc_domain *d);
FN void compile_chains(struct load *l); /* after all resources: delegation, labels, chains, index */
FN void compile_select(struct load *l, struct resource *r, const struct field_list *apply,
                       struct chain_item item);
FN void catalog_portal(struct load *l, struct resource *r);
FN void catalog_api_doc(struct load *l, struct resource *r);
FN void catalog_api_product(struct load *l, struct resource *r);
FN void catalog_openapi(struct load *l, struct slice file, const struct yaml *doc, struct slice product);
FN void catalog_finish(struct load *l);
FN const struct item_row *item_auth(void);
FN const struct item_row *item_limit(void);
FN const struct item_row *item_transform(void);
/* What the route's transformations do to the answer, when all else is done. */
FN void transform_answer(struct decision *d);
FN const struct item_row *item_jwt(void);
FN bool item_jwt_required(const struct chain_item *item); /* nobody passes without a token */

/* ---- deciding ---- */
struct lua_lib_state;
struct set_rt { /* a set and what this thread made of it; an old one stays while decisions of it wait */
    struct policy_set *set;
    struct script *script;
    int *script_ids; /* by lua_step.index; -1 not loaded */
    size_t parked;
    struct set_rt *next;
};
struct parked;
struct oidc_cache;
struct policy_ctx {
    struct policy_ctx_opts opts;
    struct set_rt *rt;      /* in force first, then those that are still needed */
    struct policy_set *set; /* rt->set */
    uint64_t set_version;
    struct arena arena;
    int64_t now_ms;
    uint64_t id_base, id_count;
    struct key_cache *keys;
    struct jwks_cache *jwks;
    struct token_cache *tokens;
    struct lua_lib_state *lua; /* scratch of host functions, made when needed */
    struct oidc_cache *oidc;   /* what identity providers say, made when needed */
    struct explain *explain;   /* NULL: nothing is kept */
    struct verify *verify;     /* passwords, made when needed */
    struct ldap *ldap;         /* connections to directories, made when needed */
    struct parked *parked;
    size_t parked_n;
    int64_t shadow_log_ms, trouble_log_ms, throttle_log_ms;
};
FN void oidc_cache_close(struct oidc_cache *x);
/* On an allow: the request's Cookie goes on without those of the route's sessions. */
FN void oidc_cookie_strip(struct decision *d);
FN void ctx_drop_idle(struct policy_ctx *c); /* sets that are out of force and have no decision left */
/* RC_NOTFOUND, RC_BADINPUT (trouble: not our JSON). The entry lives until key_cache_sweep. */
FN enum rc key_cache_get(struct policy_ctx *c, struct slice api_key, const struct key_entry **out);
FN void key_cache_sweep(struct key_cache *k); /* frees what was dropped; at the start of a batch */
FN struct key_cache *key_cache_open(void);
FN void key_cache_close(struct key_cache *k);
FN size_t key_cache_count(const struct key_cache *k) UNUSED;
FN int64_t key_expires_ms(const struct field_pair *meta, size_t n);

enum { DECISION_LIMITS_MAX = 64, DECISION_HEADERS_MAX = 128, DECISION_STATE_MAX = 64 };
struct decision_var { /* of the state that is passed along the chain */
    struct slice name;
    const struct json *value;
};
struct decision_mark { /* where the verdict stood */
    size_t upstream_n, remove_n, client_n, metadata_n, state_n, params_remove_n;
    struct policy_header *upstream; /* copy: values may be replaced in place */
    const struct key_entry *key;
    struct slice user, plan, key_uuid;
};
struct decision_denial { /* a refusal that a booleanExpr may overrule */
    bool there;
    int status;
    struct slice reason, words, rule, body;
    struct policy_header *client;
    size_t client_n;
};
enum { ITEM_AUTH_UNKNOWN = 255 };
struct decision {
    struct policy_ctx *c;
    struct set_rt *rt;
    struct arena *arena; /* for all that the verdict points to */
    const struct policy_ask *ask;
    struct policy_verdict *v;
    const struct route *route;
    struct slice host, path, query;
    const struct key_entry *key;
    uint64_t account; /* whose credential is looked at, hashed; 0: nobody knows */
    bool throttled;   /* a step of this policy refused without looking */
    bool wrong;       /* a credential was; counted if the decision is a denial */
    struct decision_var *state;
    size_t state_n, state_cap;
    size_t upstream_cap, remove_cap, params_remove_cap, client_cap, trace_cap, metadata_cap;
    bool peek; /* policy_usage: look, do not count */
    struct slice trouble; /* reason code of the step that was in trouble */
    /* where the chain is; kept while the decision waits */
    size_t item, step;
    uint8_t *said; /* of a booleanExpr: enum step_said by step, or ITEM_AUTH_UNKNOWN */
    size_t said_n;
    struct decision_mark mark, step_mark;
    struct decision_denial denial;
    bool marked;
    int64_t began_ns, clock_ns; /* monotonic: start of the decision, end of the last step */
    int64_t step_began_ns;
    const struct step *at; /* the step that runs */
    /* Set by a step that says STEP_WAIT. Called when the decision has memory of its own: makes d->wait in
     * d->arena (it is there already when the step waits again) and starts the work. */
    void (*begin)(struct decision *d);
    const void *wait_for; /* for begin: what the step waits for, in the set */
    void *hand; /* from run to begin, when d->wait is not there yet: in memory of the batch */
    void *wait; /* the step's own, until it says something else than STEP_WAIT; NULL at first */
};
FN bool decide_chain(struct decision *d); /* from d->item on; false: it waits */
FN enum rc decision_park(struct decision *from, policy_done_fn *done, void *user) MUST_CHECK;
FN void decision_wake(struct decision *d) UNUSED; /* when the work is done; never inside begin */
FN void park_end_all(struct policy_ctx *c);
/* A policy with shadow: true would have refused: counted, logged, a row of the trace. began_ns as for that. */
FN void decision_shadow(struct decision *d, const char *step, struct slice policy, struct slice rule,
                        struct slice reason, int64_t began_ns);
FN int64_t decision_clock(const struct decision *d); /* ns at the end of the last step; no call of the clock */
FN void decision_end(struct decision *d); /* counts and keeps what was decided */
FN void reason_count(struct slice reason);
FN void reason_metrics_join(void);
FN void *decision_grow(struct arena *a, void *v, size_t n, size_t *cap, size_t size);
FN struct policy_header *decision_find(struct policy_header *h, size_t n, struct slice name);
FN void decision_remove_add(struct decision *d, struct slice name);
/* State and metadata values are not copied: they live in d->arena or in the set. */
FN void decision_state_put(struct decision *d, struct slice name, const struct json *value);
FN const struct json *decision_state_get(const struct decision *d, struct slice name) UNUSED;
FN void decision_metadata(struct decision *d, struct slice space, struct slice name,
                          const struct json *value) UNUSED;
FN struct decision_mark decision_save(struct decision *d);
FN void decision_undo(struct decision *d, const struct decision_mark *m);
FN void decision_deny(struct decision *d, int status, struct slice reason, struct slice words,
                      struct slice rule);
FN void decision_upstream(struct decision *d, struct slice name, struct slice value,
                          enum header_op op);
FN void decision_remove(struct decision *d, struct slice name);
FN void decision_param_remove(struct decision *d, struct slice name); /* of the query, as it is spelled there */
FN void decision_client(struct decision *d, struct slice name, struct slice value);
FN void decision_trace(struct decision *d, const char *step, struct slice policy, struct slice rule,
                       const char *said, struct slice detail, int64_t began_ns);
/* The request header as the upstream would see it now: what steps set counts, identity headers that
 * no step set are absent, several are joined by commas. */
FN bool decision_header(struct decision *d, struct slice name, struct slice *value);
/* Exactly one; *n says how many there were. */
FN struct slice decision_only_header(const struct decision *d, struct slice name, size_t *n);
FN bool limit_run(struct decision *d, const struct limit_policy *p, bool *over, struct slice *rule,
                  bool *trouble);
FN const struct limit_rule *limit_find(const struct limit_config *cfg, const struct limit_entry *e,
                                       size_t n, struct arena *a, struct slice *counter);
FN const struct field_table *step_key_fields(void);
FN bool step_key_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         struct step *out);
FN enum step_said step_key_run(struct decision *d, const struct step *s);
FN void step_key_headers(struct decision *d, const struct key_step *k);
FN void step_key_identify(struct decision *d, const struct key_entry *e);
FN const struct field_table *step_lua_fields(void);
FN bool step_lua_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         struct step *out);
FN enum step_said step_lua_run(struct decision *d, const struct step *s);
FN const struct field_table *step_basic_fields(void);
FN bool step_basic_compile(struct load *l, const struct field_in *in, void *doc,
                           const struct yaml *y, struct step *out);
FN enum step_said step_basic_run(struct decision *d, const struct step *s);
FN const struct field_table *step_hmac_fields(void);
FN bool step_hmac_compile(struct load *l, const struct field_in *in, void *doc,
                          const struct yaml *y, struct step *out);
FN enum step_said step_hmac_run(struct decision *d, const struct step *s);
FN const struct field_table *step_ldap_fields(void);
FN bool step_ldap_compile(struct load *l, const struct field_in *in, void *doc,
                          const struct yaml *y, struct step *out);
FN enum step_said step_ldap_run(struct decision *d, const struct step *s);

/* verify.c: passwords. WAIT: the step's begin calls verify_begin with the same two; run then asks again. */
enum verify_said { VERIFY_RIGHT, VERIFY_WRONG, VERIFY_WAIT, VERIFY_BUSY };
FN enum verify_said verify_password(struct decision *d, const struct passwd *p, struct slice password);
FN void verify_begin(struct decision *d, const struct passwd *p, struct slice password);
FN void verify_close(struct policy_ctx *c);

/* throttle.c: wrong credentials. Before a credential is looked at, once in a decision: true when it has
 * to wait, and it was refused (429). account: one spelling of the name, or "". credential: the header's value, which
 * goes on when it was right lately; "" for what is another with each request. */
FN bool throttle_refuses(struct decision *d, const struct step *s, struct slice account, struct slice credential);
FN void throttle_right(struct decision *d, struct slice credential);
FN void throttle_count(struct decision *d); /* d->wrong, at its end */
FN void throttle_metrics_join(void);

/* step_user.c: what the steps have in common that learn a user's name from a header with credentials */
struct user_step {
    struct slice header;    /* gets the name, or "" */
    struct slice challenge; /* of a 401 */
};
struct user_doc { /* fields of each of them; rows by USER_ROWS */
    struct slice header;
    bool keep;
};
#define USER_ROWS(header_at, keep_at) \
    {"userHeader", FIELD_STR, header_at, 0, 0, 0, NULL, NULL, "header for the upstream with the user's name (Postern's own)"}, \
    {"keepAuthorization", FIELD_BOOL, keep_at, 0, 0, 0, NULL, NULL, "leave the credentials in the request for the upstream; else they are removed (Postern's own)"}
FN bool user_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                     const struct user_doc *doc, struct slice challenge, struct user_step *u,
                     struct step *out);
FN bool user_realm(struct load *l, const struct field_in *in, const struct yaml *y, struct slice realm,
                   struct slice *challenge); /* Basic realm="..." */
FN enum step_said user_deny(struct decision *d, const struct step *s, const struct user_step *u,
                            struct slice reason, struct slice words);
/* The name must live as long as the decision. */
FN void user_identify(struct decision *d, const struct user_step *u, struct slice name);
/* Header `Authorization` as Basic: RC_OK, or it was refused. dst: see basic_read. */
FN enum rc user_basic(struct decision *d, const struct step *s, const struct user_step *u, char *dst,
                      struct slice *name, struct slice *password);
/* A credentials Secret: user name and password of it. ref->ns "" is the policy's. */
FN bool user_secret(struct load *l, const struct field_in *in, const struct yaml *y,
                    const struct doc_ref *ref, const struct step *s, struct slice *name,
                    struct slice *password);
#define USER_REF_ROWS \
    {"name", FIELD_STR, offsetof(struct doc_ref, name), FIELD_REQUIRED, 0, 0, NULL, NULL, "name of the Secret"}, \
    {"namespace", FIELD_STR, offsetof(struct doc_ref, ns), 0, 0, 0, NULL, NULL, "its namespace; that of the policy when absent"}
/* Headers that carry the message itself cannot be identity. */
FN bool header_can_be_set(struct slice name);

FN const struct field_table *step_token_fields(void);
FN bool step_token_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                           struct step *out);
FN enum step_said step_token_run(struct decision *d, const struct step *s);
FN const struct field_table *step_jwt_fields(void);
FN bool step_jwt_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         struct step *out);
FN enum step_said step_jwt_run(struct decision *d, const struct step *s);
FN const struct field_table *step_pass_fields(void);
FN bool step_pass_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                          struct step *out);
FN enum step_said step_pass_run(struct decision *d, const struct step *s);
FN const struct field_table *step_opa_fields(void);
FN bool step_opa_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                         struct step *out);
FN enum step_said step_opa_run(struct decision *d, const struct step *s);
FN const struct field_table *step_portal_fields(void);
FN bool step_portal_compile(struct load *l, const struct field_in *in, void *doc, const struct yaml *y,
                            struct step *out);
/* Host functions of scripts; their ctx is the policy_ctx, while a set is loaded load->script_ctx. */
FN const struct script_fn *lua_lib(size_t *n);
FN void lua_push_json(struct script_call *c, const struct json *j);
/* The value at i, copied; NULL when it is no JSON or larger than 64 KiB. */
FN const struct json *lua_to_json(struct script_call *c, int i, struct arena *a);
/* The claims that earlier steps verified, as a table (from the state jwtAccessToken, jwt, introspection or jwt_authn);
 * false: there are none, nothing was pushed. */
FN bool lua_push_claims(struct script_call *c, const struct decision *d);
FN void lua_lib_close(struct lua_lib_state *s);
FN void lua_metrics_join(void);
struct lua_call { /* what script_user gives to host functions */
    struct decision *d;
    const struct lua_step *step;
    struct lua_replay *replay; /* NULL: the step may not call out, so its script runs once */
};
/* lua_http.c: scripts that wait. */
FN struct lua_replay *lua_replay_start(struct decision *d, struct script_call *c);
FN bool lua_replay_waits(const struct lua_replay *r);
FN void lua_replay_begin(struct decision *d);
FN bool lua_allow_compile(struct load *l, const struct field_in *in, const struct yaml *y,
                          const struct field_strs *list, struct lua_step *out);
FN void policy_metrics_join(void); /* once, by the first policy_box_open */

#endif
