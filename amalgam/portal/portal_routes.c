/*
 * portal_routes.c - the table of REST operations, and the way from a request to its row.
 *
 * Called by civet.c in a worker. Checks, in this order: route, forgery (unsafe methods), session, role,
 * body; then the row's function runs. The same rows make /admin/v1/openapi.json.
 * Adding an operation: a row here, a function in a rest_*.c, a test in tests/box/test_portal_api.py.
 */
#include "base/log.h"
#include "portal/inner.h"
#include "wire/cred.h"
#include <stdio.h>

/* clang-format off */
static const struct rest_row portal_rows[] = {
    {"GET", "/v1/status", ACCESS_PUBLIC, rest_status, "What a browser must know before anybody signed in."},
    {"GET", "/v1/setup", ACCESS_PUBLIC, rest_setup_get, "Whether a one-time link is still good."},
    {"POST", "/v1/setup", ACCESS_PUBLIC, rest_setup_post, "Make the first owner, or set a password, by a one-time link."},
    {"POST", "/v1/session", ACCESS_PUBLIC, rest_session_post, "Sign in."},
    {"DELETE", "/v1/session", ACCESS_SIGNED_IN, rest_session_delete, "Sign out."},
    {"GET", "/v1/me", ACCESS_SIGNED_IN, rest_me, "Who is signed in."},
    {"PUT", "/v1/me/password", ACCESS_SIGNED_IN, rest_password_put, "Change the own password; other sessions end."},
    {"GET", "/v1/api-products", ACCESS_PUBLIC, rest_products, "The catalogue."},
    {"GET", "/v1/api-products/{productId}", ACCESS_PUBLIC, rest_product, "One API product."},
    {"GET", "/v1/api-products/{productId}/versions", ACCESS_PUBLIC, rest_versions, "Its versions with their OpenAPI documents."},
    {"GET", "/v1/plans", ACCESS_PUBLIC, rest_plans, "Usage plans with their limits."},
    {"GET", "/v1/gateway", ACCESS_PUBLIC, rest_gateway, "Where samples send requests."},
    {"POST", "/v1/decide", ACCESS_SIGNED_IN, rest_decide, "Ask how Postern decides a request, with the steps."},
    {"GET", "/v1/keys", ACCESS_SIGNED_IN, rest_keys, "The own API keys."},
    {"POST", "/v1/keys", ACCESS_SIGNED_IN, rest_key_post, "Make an API key; it is shown in this answer only."},
    {"DELETE", "/v1/keys/{keyId}", ACCESS_SIGNED_IN, rest_key_delete, "Revoke an API key."},
    {"GET", "/v1/keys/{keyId}/usage", ACCESS_SIGNED_IN, rest_key_usage, "The limits that a key meets, and what is used."},
    {"GET", "/v1/teams", ACCESS_SIGNED_IN, rest_teams, "The own teams."},
    {"POST", "/v1/teams", ACCESS_SIGNED_IN, rest_later, "Make a team (not served yet)."},
    {"GET", "/v1/teams/{teamId}", ACCESS_SIGNED_IN, rest_team, "One team."},
    {"GET", "/v1/teams/{teamId}/members", ACCESS_SIGNED_IN, rest_team_members, "Its members."},
    {"POST", "/v1/teams/{teamId}/members", ACCESS_SIGNED_IN, rest_later, "Add a member (not served yet)."},
    {"GET", "/v1/teams/{teamId}/apps", ACCESS_SIGNED_IN, rest_team_apps, "Its applications."},
    {"POST", "/v1/teams/{teamId}/apps", ACCESS_SIGNED_IN, rest_later, "Make an application (not served yet)."},
    {"GET", "/v1/apps", ACCESS_SIGNED_IN, rest_apps, "The own applications."},
    {"GET", "/v1/apps/{appId}", ACCESS_SIGNED_IN, rest_app, "One application."},
    {"GET", "/v1/apps/{appId}/api-keys", ACCESS_SIGNED_IN, rest_app_keys, "API keys of an application."},
    {"POST", "/v1/apps/{appId}/api-keys", ACCESS_SIGNED_IN, rest_app_key_post, "Make an API key for an application."},
    {"DELETE", "/v1/api-keys/{keyId}", ACCESS_SIGNED_IN, rest_key_delete, "Revoke an API key."},
    {"GET", "/admin/v1/health", ACCESS_OPERATOR, rest_admin_health, "One line per part, with its cure."},
    {"GET", "/admin/v1/policies", ACCESS_OPERATOR, rest_admin_policies, "What is in force, and the faults of the last load."},
    {"GET", "/admin/v1/decisions", ACCESS_OPERATOR, rest_admin_decisions, "The last decisions, newest first; ?denied=1, ?limit=."},
    {"GET", "/admin/v1/decisions/{decisionId}", ACCESS_OPERATOR, rest_admin_decision, "One decision, with its steps."},
    {"GET", "/admin/v1/users", ACCESS_OPERATOR, rest_admin_users, "All accounts."},
    {"POST", "/admin/v1/users", ACCESS_OWNER, rest_admin_user_post, "Invite a person: answers a one-time link."},
    {"GET", "/admin/v1/openapi.json", ACCESS_SIGNED_IN, rest_admin_openapi, "This description."},
};
/* clang-format on */

const struct rest_row *portal_route_at(size_t i)
{
    return i < ARRAY_LEN(portal_rows) ? &portal_rows[i] : NULL;
}

/* The first segment of a path that begins with '/', and what is left behind it. */
static struct slice portal_segment(struct slice *path)
{
    struct slice s = slice_from(*path, 1);
    size_t end = slice_index(s, '/');
    end = end == SIZE_MAX ? s.n : end;
    *path = slice_from(s, end);
    return slice_sub(s, 0, end);
}

/* Segments equal, or {...}, whose decoded text goes into params. */
static bool portal_path_matches(struct call *c, const char *pattern)
{
    struct slice want = slice_str(pattern), have = c->path;
    size_t n = 0;
    while (want.n && have.n) {
        struct slice a = portal_segment(&want), b = portal_segment(&have);
        if (a.n == 0 || a.p[0] != '{') {
            if (!slice_eq(a, b))
                return false;
            continue;
        }
        if (b.n == 0 || n == ARRAY_LEN(c->params) ||
            url_decode(c->arena, b, false, &c->params[n]) != RC_OK)
            return false;
        n++;
    }
    return want.n == 0 && have.n == 0;
}

/* NULL: *allow names the methods that the path has, "" when there is no such path. */
static const struct rest_row *portal_find(struct call *c, struct slice *allow)
{
    *allow = S("");
    for (size_t i = 0; i < ARRAY_LEN(portal_rows); i++) {
        const struct rest_row *r = &portal_rows[i];
        if (!portal_path_matches(c, r->path))
            continue;
        if (slice_eq(c->method, slice_str(r->method)))
            return r;
        const char *head = !strcmp(r->method, "GET") ? ", HEAD" : "";
        *allow = arena_fmt(c->arena, "%.*s%s%s%s", SFMT(*allow), allow->n ? ", " : "", r->method, head);
    }
    return NULL;
}

/* Unsafe methods must come from our own page: Fetch Metadata first, Origin where it is not sent, and a
 * header that no form can set. Same-site is not enough. */
static bool portal_not_forged(const struct call *c)
{
    if (slice_eq(c->method, S("GET")) || slice_eq(c->method, S("HEAD")))
        return true;
    bool same = c->fetch_site.n ? slice_eq(c->fetch_site, S("same-origin"))
                                : slice_starts(c->origin, S("https://")) &&
                                      slice_eq_ci(slice_from(c->origin, 8), c->host);
    return same && slice_eq(c->custom, S("1"));
}

static enum rc portal_read_json(struct call *c, struct err *e)
{
    struct json *j;
    if (c->body.n == 0)
        return RC_OK;
    struct slice rest, type = slice_trim(slice_cut(c->content_type, ';', &rest));
    if (!slice_eq_ci(type, S("application/json")))
        return err_set(e, RC_VERSION, "Content-Type: application/json was expected");
    enum rc rc = json_parse(c->arena, c->body, c->portal->opts.body_bytes_max, &j, e);
    if (rc == RC_OK && j->kind != JSON_OBJ)
        return err_set(e, RC_BADINPUT, "a JSON object was expected");
    c->json = j;
    return rc;
}

static void portal_who(struct call *c)
{
    struct err e = {0};
    const struct portal_opts *o = &c->portal->opts;
    if (!cookie_get(c->cookie, S(PORTAL_COOKIE), &c->session_id))
        return;
    enum rc rc = session_find(o->store, c->arena, c->session_id, c->now_ms, o->session_idle_ms,
                              o->session_absolute_ms, &c->me, &e);
    c->signed_in = rc == RC_OK;
    if (rc != RC_OK && rc != RC_NOTFOUND)
        log_event(LOG_ERROR, "portal.session", "text=%s", log_quote(slice_str(e.text)));
}

static bool portal_allowed(struct call *c, enum access access)
{
    enum role need = access == ACCESS_OWNER ? ROLE_OWNER
                     : access == ACCESS_OPERATOR ? ROLE_OPERATOR
                                                 : ROLE_DEVELOPER;
    if (access == ACCESS_PUBLIC)
        return true;
    if (!c->signed_in)
        call_problem(c, 401, "You are not signed in.", NULL);
    else if (c->me.role < need)
        call_problem(c, 403, need == ROLE_OWNER ? "Only an owner may do this."
                                                : "Only an operator or an owner may do this.", NULL);
    return c->signed_in && c->me.role >= need;
}

void portal_dispatch(struct call *c)
{
    struct slice allow;
    struct err e = {0};
    if (slice_eq(c->method, S("HEAD")))
        c->method = S("GET");
    const struct rest_row *r = portal_find(c, &allow);
    if (!r && allow.n) {
        call_header(c, "Allow", allow);
        call_problem(c, 405, "This method is not served here.", NULL);
        return;
    }
    if (!r) {
        call_problem(c, 404, "There is no such operation.", NULL);
        return;
    }
    if (!portal_not_forged(c)) {
        call_problem(c, 403, "The request did not come from this portal's own pages "
                             "(Sec-Fetch-Site or Origin, and the header X-Postern: 1).", NULL);
        return;
    }
    portal_who(c);
    if (!portal_allowed(c, r->access))
        return;
    enum rc rc = portal_read_json(c, &e);
    if (rc != RC_OK) {
        call_problem(c, rc == RC_VERSION ? 415 : rc == RC_TOOBIG ? 413 : 400, e.text, e.place[0] ? e.place : NULL);
        return;
    }
    r->run(c);
}

/* ---- answers ---- */

void call_problem(struct call *c, int status, const char *detail, const char *field)
{
    buf_clear(&c->out);
    jsonw_init(&c->w, &c->out);
    c->status = status;
    c->type = "application/problem+json";
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("type"), S("about:blank"));
    jsonw_kstr(&c->w, S("title"), slice_str(http_reason(status)));
    jsonw_ki64(&c->w, S("status"), status);
    jsonw_kstr(&c->w, S("detail"), slice_str(detail));
    jsonw_kstr(&c->w, S("message"), slice_str(detail));
    if (field)
        jsonw_kstr(&c->w, S("field"), slice_str(field));
    jsonw_end_obj(&c->w);
}

void call_fail(struct call *c, const struct err *e, enum rc rc)
{
    int status = rc == RC_BADINPUT ? 422 : rc_row(rc)->http;
    if (status >= 500)
        log_event(LOG_ERROR, "portal.failed", "path=%s text=%s", log_quote(c->path),
                  log_quote(slice_str(e->text)));
    call_problem(c, status, e->text[0] ? e->text : rc_name(rc), e->place[0] ? e->place : NULL);
}

void call_status(struct call *c, int status)
{
    buf_clear(&c->out);
    c->status = status;
}

void call_header(struct call *c, const char *name, struct slice value)
{
    if (http_value_ok(value))
        buf_fmt(&c->headers, "%s: %.*s\r\n", name, SFMT(value));
}

void call_time(struct call *c, struct slice name, int64_t ms)
{
    char text[32];
    jsonw_key(&c->w, name);
    if (ms)
        jsonw_str(&c->w, slice_of(text, clock_rfc3339(text, ms)));
    else
        jsonw_null(&c->w);
}

struct slice call_str(struct call *c, struct slice member)
{
    return slice_trim(json_str(c->json, member));
}

size_t call_page(struct call *c, size_t n, size_t *from)
{
    struct slice text;
    uint64_t limit = n, start = 0;
    if (url_query_get(c->arena, c->query, S("limit"), &text) && (!slice_u64(text, &limit) || limit == 0))
        limit = n;
    if (url_query_get(c->arena, c->query, S("cursor"), &text) && !slice_u64(text, &start))
        start = 0;
    *from = (size_t)MIN(start, (uint64_t)n);
    size_t to = *from + (size_t)MIN(limit, (uint64_t)(n - *from));
    if (to < n)
        call_header(c, "X-Next-Cursor", arena_fmt(c->arena, "%zu", to));
    return to;
}
