/*
 * inner.h - what the files of portal/ share: the portal itself, a REST call, the route rows.
 *
 * A call lives in one civetweb worker for the length of one request; everything in it is in the call's
 * arena. Threads: struct portal is read-only after portal_open.
 */
#ifndef PORTAL_INNER_H
#define PORTAL_INNER_H

#include "base/asset.h"
#include "portal/portal.h"

#define PORTAL_TOKEN_LEN 32
#define PORTAL_COOKIE "__Host-postern" /* the session's; the prefix binds it to this host and to TLS */

struct mg_context;
struct portal {
    struct portal_opts opts;
    struct mg_context *civet;
    struct net_addr inner;           /* civetweb's Unix socket */
    char token[PORTAL_TOKEN_LEN + 1]; /* proves that a request comes from the front */
    int hashing;                     /* argon2 under way, atomic: each takes 19 MiB */
    int setting_up;                  /* 1: a one-time link is being used, atomic */
};

enum access { ACCESS_PUBLIC, ACCESS_SIGNED_IN, ACCESS_OPERATOR, ACCESS_OWNER };

struct call {
    struct portal *portal;
    struct arena *arena;
    struct policy_ctx *policy;   /* this worker's */
    struct mg_connection *conn;  /* civet.c only */
    struct slice method, path, query, peer, cookie, origin, host, fetch_site, content_type, custom;
    struct slice body;
    const struct json *json;     /* of the body, NULL when there was none */
    struct slice params[3];      /* {…} of the route's path */
    bool signed_in;
    struct account me;
    struct slice session_id;
    int64_t now_ms;
    struct policy_set *set;      /* held for the length of the call */
    /* the answer */
    int status;
    struct buf out;              /* body */
    struct jsonw w;              /* on out */
    struct buf headers;          /* extra lines "Name: value\r\n" */
    const char *type;            /* application/json */
};

struct rest_row {
    const char *method;
    const char *path; /* "/v1/keys/{id}" */
    enum access access;
    void (*run)(struct call *c);
    const char *doc;
};
FN const struct rest_row *portal_route_at(size_t i); /* NULL beyond the last */
/* Finds and runs the route; fills the answer whatever happens. */
FN void portal_dispatch(struct call *c);

/* Answers. A problem is RFC 9457 with the `message` member that Gloo's front end reads. */
FN void call_problem(struct call *c, int status, const char *detail, const char *field);
FN void call_fail(struct call *c, const struct err *e, enum rc rc); /* by the rc table */
FN void call_status(struct call *c, int status);                    /* without a body */
FN void call_header(struct call *c, const char *name, struct slice value);
FN void call_time(struct call *c, struct slice name, int64_t ms);   /* member; null for 0 */
FN struct slice call_str(struct call *c, struct slice member);      /* of the JSON body, trimmed */
/* What of a list of n rows was asked for by ?limit=&cursor=: [*from, the return value). */
FN size_t call_page(struct call *c, size_t n, size_t *from);

/* front_page.c: what is at a path; false: nothing. */
struct front_page {
    int status; /* 200 or 304 */
    const char *mime;
    char more[256];     /* header lines: ETag, caching, coding */
    struct slice body;  /* constant, or in plain */
    struct buf plain;   /* given empty; the caller frees it */
};
FN bool front_page(const struct http_head *h, struct slice path, struct front_page *out);

/* civet.c */
FN enum rc civet_start(struct portal *p, struct err *e) MUST_CHECK;
FN void civet_stop(struct portal *p);

/* The rows' functions. */
FN void rest_status(struct call *c);
FN void rest_setup_get(struct call *c);
FN void rest_setup_post(struct call *c);
FN void rest_session_post(struct call *c);
FN void rest_session_delete(struct call *c);
FN void rest_me(struct call *c);
FN void rest_password_put(struct call *c);
FN void rest_products(struct call *c);
FN void rest_product(struct call *c);
FN void rest_versions(struct call *c);
FN void rest_plans(struct call *c);
FN void rest_gateway(struct call *c);
FN void rest_decide(struct call *c);
FN void rest_keys(struct call *c);
FN void rest_key_post(struct call *c);
FN void rest_key_delete(struct call *c);
FN void rest_key_usage(struct call *c);
FN void rest_teams(struct call *c);
FN void rest_team(struct call *c);
FN void rest_team_members(struct call *c);
FN void rest_team_apps(struct call *c);
FN void rest_apps(struct call *c);
FN void rest_app(struct call *c);
FN void rest_app_keys(struct call *c);
FN void rest_app_key_post(struct call *c);
FN void rest_later(struct call *c); /* 501 */
FN void rest_admin_health(struct call *c);
FN void rest_admin_decisions(struct call *c);
FN void rest_admin_decision(struct call *c);
FN void rest_admin_policies(struct call *c);
FN void rest_admin_users(struct call *c);
FN void rest_admin_user_post(struct call *c);
FN void rest_admin_openapi(struct call *c);

FN void rest_user_json(struct call *c, const struct account *u);
/* The catalogue shows an API: everyone signed in, or the public when it is public. */
FN bool rest_api_visible(const struct call *c, const struct policy_api *api);

#endif
