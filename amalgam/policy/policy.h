/*
 * policy.h - the brain: YAML resources -> compiled, immutable policy set; one question -> one verdict.
 *
 * Knows no gateway dialect and no sockets. A set is loaded from a directory of YAML (recursively, in
 * name order), compiled once, never changed, shared by all threads and freed when the last reader has
 * left (policy_box). A file that fails leaves the running set in force.
 *
 * DECIDING. Each thread has a policy_ctx: arena, Lua state, cache of parsed API keys. policy_decide
 * matches the route (host, path, method, headers), runs its chain in Gloo's phase order and fills a
 * verdict whose slices live in ctx's arena until the next policy_begin. No system allocation, no lock
 * across a step, no blocking: a step that must wait for another server parks the decision, which goes
 * on in the same thread when the answer is there (park.c); the door gets the verdict by its function.
 * On trouble of any kind the verdict is a denial, unless the policy says failureModeAllow.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "store/keyrec.h"
#include "store/store.h"
#include "wire/http.h"
#include "wire/json.h"
#include "wire/url.h"

/* ---- loading ---- */

struct policy_fault {
    bool notice; /* read and ignored with a reason; an error with --strict */
    struct slice file;
    int line, col;
    struct slice path; /* field path, or "" */
    struct slice text; /* what, what was expected, the cure */
};
struct policy_faults {
    struct arena arena;
    struct policy_fault *rows;
    size_t n, cap, errors;
};
FN void policy_faults_init(struct policy_faults *f);
FN void policy_faults_free(struct policy_faults *f);
FN void policy_faults_json(const struct policy_faults *f, struct jsonw *w); /* as an array */

struct policy_opts {
    const char *dir;     /* policies; NULL or missing directory: an empty set that denies everything */
    const char *lua_dir; /* where `script:` names are looked up before the built-in ones; may be NULL */
    bool strict;         /* notices are errors */
    const struct asset *(*builtin)(size_t i); /* instead of dir: assets under prefix (demo), or NULL */
    const char *builtin_prefix;
};
struct policy_set;
/* RC_OK: *out is a set with one reader (release with policy_set_drop). Otherwise *out is NULL and
 * faults say why. Notices are given in both cases. */
FN enum rc policy_load(const struct policy_opts *o, struct policy_set **out,
                       struct policy_faults *faults) MUST_CHECK;
FN void policy_set_keep(struct policy_set *s);
FN void policy_set_drop(struct policy_set *s);

struct policy_counts {
    size_t files, resources, routes, ext_auth, rate_limits, lua, apis, plans;
};
FN void policy_count(const struct policy_set *s, struct policy_counts *out);

/* The set in force. Readers take it without a lock as long as it did not change. */
struct policy_box;
FN struct policy_box *policy_box_open(struct policy_set *first);
FN void policy_box_swap(struct policy_box *b, struct policy_set *next); /* takes over the reader */
FN struct policy_set *policy_box_get(struct policy_box *b);             /* +1 reader */
FN uint64_t policy_box_version(const struct policy_box *b);
FN void policy_box_close(struct policy_box *b);

/* ---- what the portal shows: APIs and plans of the set; slices live as long as the set ---- */

struct policy_api {
    struct slice product;  /* id: ApiProduct's, or the file's stem */
    struct slice version;  /* info.version or apiVersion */
    struct slice title, description, contact, license, terms, docs;
    struct slice openapi_json; /* the whole document as JSON */
    struct slice host, path;   /* of the first route of this product, for the sample and for usage; may be "" */
    struct slice lifecycle;
    bool is_public;
    bool api_key; /* an ExtAuthPolicy with apiKeyAuth applies to its route */
    struct slice key_header;
    struct slice file;
    int line;
};
FN size_t policy_api_count(const struct policy_set *s);
FN const struct policy_api *policy_api_at(const struct policy_set *s, size_t i);

enum limit_unit { UNIT_UNKNOWN, UNIT_SECOND, UNIT_MINUTE, UNIT_HOUR, UNIT_DAY, UNIT_WEEK, UNIT_MONTH, UNIT_YEAR };
FN int64_t limit_unit_s(enum limit_unit u); /* week 7 d, month 30 d, year 365 d, as the reference server */
FN const char *limit_unit_name(enum limit_unit u); /* "MINUTE" */
/* Plans: Portal.spec.usagePlans joined with the descriptor `usagePlan` of the rate-limit config. */
struct policy_plan {
    struct slice name, display_name, description;
    uint32_t requests_per_unit; /* 0 with unit UNKNOWN: no limit known */
    enum limit_unit unit;
    struct slice file;
    int line;
};
FN size_t policy_plan_count(const struct policy_set *s);
FN const struct policy_plan *policy_plan_at(const struct policy_set *s, size_t i);

/* ---- deciding ---- */

/* Counts of wrong credentials, one for all threads; throttle.c. A limit of 0 does not count. */
struct throttle;
enum { THROTTLE_EXEMPT_MAX = 64 };
struct throttle_opts {
    uint32_t address_failures; /* by one address within the window */
    uint32_t account_failures; /* for one account by one address; ten times that by all */
    int64_t window_ms;
    const struct cidr *exempt; /* addresses that never wait */
    size_t exempt_n;
};
FN struct throttle *throttle_open(const struct throttle_opts *o); /* NULL when nothing is counted */
FN void throttle_close(struct throttle *t);

struct fetcher; /* net/fetch.h */
struct reactor;
struct pool;
struct policy_log { /* decisions for a log: policy_log_take */
    size_t slots;        /* decisions that may wait to be taken; 0: there is no log */
    bool denied_only;
    void (*wake)(void *ctx); /* half of them wait; called by the context's thread, must not block */
    void *ctx;
};
struct policy_ctx_opts {
    struct policy_box *box;
    struct store *store;
    const struct keyrec_scheme *scheme;
    uint64_t lua_instructions; /* 0: default */
    size_t lua_memory_bytes;   /* 0: default */
    size_t explain_max;        /* decisions kept for policy_explain; 0: none */
    struct policy_log log;
    struct throttle *throttle; /* NULL: nobody has to wait after wrong credentials. Closed after the context */
    struct fetcher *fetcher;   /* of this thread's reactor; NULL: steps cannot call out. Closed first */
    struct reactor *reactor;   /* of this thread: where waiting decisions go on; NULL: none can wait */
    struct pool *pool;         /* for passwords that are slow to check; NULL: checked at once. It is closed
                                * before the reactor is, and that before the context */
};
struct policy_ctx;
FN struct policy_ctx *policy_ctx_open(const struct policy_ctx_opts *o); /* one per thread */
FN void policy_ctx_close(struct policy_ctx *c);

/* An end of the client's connection to the gateway, as the gateway names it; what it does not say is "" or 0. */
struct policy_peer {
    struct slice address; /* an IP address, or the path of a Unix socket */
    uint32_t port;
    struct slice service, principal;
};
struct policy_ask {
    struct slice method, host, scheme; /* host and scheme may be "" (unknown) */
    struct slice target;               /* raw: path and query as the client sent them */
    struct ip source_ip;
    bool has_source_ip;
    const struct http_header *headers; /* the client's, as the gateway passed them on */
    size_t headers_n;
    struct slice body;
    bool body_hidden; /* the gateway never sends one: an empty body says nothing */
    int64_t now_ms; /* wall clock of the turn */
    bool trace;
    /* What Envoy says beside the request (gRPC), or NULL: objects. */
    const struct json *extensions; /* attributes.context_extensions */
    const struct json *metadata;   /* attributes.metadata_context.filter_metadata */
    const struct json *route_metadata; /* attributes.route_metadata_context.filter_metadata */
    struct slice gateway;          /* name in the certificate of the gateway that asks (mTLS), or "" */
    struct slice principal;        /* the client's certificate as the gateway names it, or "" */
    struct slice service;          /* attributes.source.service */
    struct policy_peer destination;
    struct slice sni;              /* attributes.tls_session.sni: the name that the client asked for */
    struct slice protocol;         /* attributes.request.http.protocol, "HTTP/2" */
};

enum header_op { HEADER_SET, HEADER_APPEND };
struct policy_header {
    struct slice name, value;
    enum header_op op;
};
struct policy_trace {
    struct slice step;   /* "apiKeyAuth", "rateLimit" ... */
    struct slice policy; /* namespace.name */
    struct slice rule;   /* "limits.yaml:12" */
    struct slice said;   /* "pass", "deny", "limited", "skip", "trouble" */
    struct slice detail; /* in words, without secrets */
    int64_t took_ns;
};
struct policy_metadata { /* for the gateway: envoy.filters.http.ext_authz */
    struct slice space;  /* name of the step, or "" for the top level */
    struct slice name;
    const struct json *value;
};
struct policy_limit { /* one limit that was looked at */
    struct slice name; /* policy name for RateLimit-Policy, e.g. the plan or "<config>-<n>" */
    struct slice counter; /* key in the store */
    uint32_t limit, used, remaining;
    enum limit_unit unit;
    int64_t reset_s;
    bool over;
};
struct policy_verdict {
    bool allowed;
    int status;           /* 200 on allow, else 401, 403, 302, 429, 503 */
    bool page;            /* a denial that is an answer of ours: 200 for the client where the gateway can say so */
    struct slice reason;  /* code word: "ok", "key_missing", "key_unknown", "key_expired", "limited", "no_route", ... */
    struct slice words;   /* a sentence for people, without secrets */
    struct slice rule;    /* "file:line" of what decided, or "" */
    char id[17];          /* decision id: 16 hex digits and NUL */
    struct policy_header *upstream; /* set on the request to the upstream when allowed */
    size_t upstream_n;
    struct slice *remove;           /* removed from it (identity headers that are not set, the API key) */
    size_t remove_n;
    struct slice *params_remove;    /* of the query: what held a credential. Only gRPC can tell the gateway */
    size_t params_remove_n;
    struct policy_header *client;   /* for the answer to the client (WWW-Authenticate, Retry-After); doors make RateLimit from limits */
    size_t client_n;
    struct slice body;              /* for the client on a denial */
    struct policy_trace *trace;     /* when asked for */
    size_t trace_n;
    struct policy_limit *limits;
    size_t limits_n;
    struct policy_metadata *metadata;
    size_t metadata_n;
    struct slice user, plan, key_uuid, route;
};
/* Starts a batch: takes up a swapped set, resets the arena. Once per read batch, not per question. */
FN void policy_begin(struct policy_ctx *c, int64_t now_ms);
FN struct arena *policy_arena(struct policy_ctx *c);
/* RC_OK: *v is the answer. RC_AGAIN: parked; done is called later, once, in this thread, with the verdict
 * (until it returns). done NULL: a question that would have to wait is refused. */
typedef void policy_done_fn(void *user, const struct policy_verdict *v);
FN enum rc policy_decide(struct policy_ctx *c, const struct policy_ask *q, struct policy_verdict *v,
                         policy_done_fn *done, void *user) MUST_CHECK;
/* A decision of this context that is still kept, as JSON; the last ones, newest first, as members of a
 * list behind those in json already. In the context's thread. */
FN bool policy_explain(struct policy_ctx *c, struct slice id, struct buf *json);
/* From one other thread, as long as the context is there: what waits for the log, a JSON line each, as
 * policy_explain tells it. Returns how many; *lost grows by those that nobody took in time. */
FN size_t policy_log_take(struct policy_ctx *c, struct buf *lines, uint64_t *lost);
FN size_t policy_recent(struct policy_ctx *c, bool denied_only, size_t max, struct buf *json);
/* The limits that a key would meet on an API now, without counting. Any thread with its own ctx. */
FN enum rc policy_usage(struct policy_ctx *c, const struct policy_api *api, const struct keyrec *key,
                        int64_t now_ms, struct policy_verdict *v) MUST_CHECK;

/* The request and answer JSON of `eval` and /v1/decide (CONTRACT: docs/eval.md). */
FN enum rc policy_ask_from_json(struct arena *a, const struct json *j, struct policy_ask *q,
                                struct err *e) MUST_CHECK;
FN void policy_verdict_json(const struct policy_verdict *v, bool trace, struct buf *out);

/* Rate-limit descriptors as on the wire (POST /json, gRPC later). */
struct limit_entry {
    struct slice key, value;
};
struct limit_descriptor {
    struct limit_entry *entries;
    size_t n;
    bool has_override;
    uint32_t override_requests;
    enum limit_unit override_unit;
    bool has_hits;
    uint64_t hits;
};
/* One policy_limit per descriptor, in order (limit 0 with unit UNKNOWN: no limit matched). Counts. */
FN enum rc policy_limit_decide(struct policy_ctx *c, struct slice domain,
                               const struct limit_descriptor *d, size_t n, uint32_t hits_addend,
                               int64_t now_ms, struct policy_limit *out, bool *over, struct err *e) MUST_CHECK;

#endif
