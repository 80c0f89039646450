/*
 * rest_admin.c - what operators and owners see: health, policies, people, the API's own description.
 *
 * Rows of portal_routes.c; workers. Tested by tests/box/test_portal_api.py.
 */
#include "portal/inner.h"

#define REST_LINK_MS (24 * 3600 * (int64_t)1000)

void rest_admin_health(struct call *c)
{
    struct portal_health *h;
    size_t n = c->portal->opts.health(c->portal->opts.ctx, c->arena, &h);
    jsonw_obj(&c->w);
    jsonw_key(&c->w, S("checks"));
    jsonw_arr(&c->w);
    for (size_t i = 0; i < n; i++) {
        jsonw_obj(&c->w);
        jsonw_kstr(&c->w, S("name"), h[i].name);
        jsonw_kstr(&c->w, S("state"), h[i].state);
        jsonw_kstr(&c->w, S("value"), h[i].value);
        if (h[i].cure.n)
            jsonw_kstr(&c->w, S("cure"), h[i].cure);
        jsonw_end_obj(&c->w);
    }
    jsonw_end_arr(&c->w);
    jsonw_end_obj(&c->w);
}

void rest_admin_policies(struct call *c)
{
    c->portal->opts.policy_faults(c->portal->opts.ctx, &c->out);
}

/* ?denied=1: refusals only; ?limit=, 50 by default. */
void rest_admin_decisions(struct call *c)
{
    struct err e = {0};
    struct slice denied = S(""), limit = S("");
    uint64_t max = 50;
    (void)url_query_get(c->arena, c->query, S("denied"), &denied);
    if (url_query_get(c->arena, c->query, S("limit"), &limit) && (!slice_u64(limit, &max) || max < 1 || max > 500)) {
        call_problem(c, 422, "A number from 1 to 500 was expected.", "limit");
        return;
    }
    enum rc rc = c->portal->opts.recent(c->portal->opts.ctx, slice_eq(denied, S("1")), (size_t)max, &c->out, &e);
    if (rc != RC_OK)
        call_fail(c, &e, rc);
}

void rest_admin_decision(struct call *c)
{
    struct err e = {0};
    enum rc rc = c->portal->opts.explain(c->portal->opts.ctx, c->params[0], &c->out, &e);
    if (rc != RC_OK)
        call_fail(c, &e, rc);
}

void rest_admin_users(struct call *c)
{
    struct err e = {0};
    struct account *rows;
    size_t n;
    enum rc rc = account_list(c->portal->opts.store, c->arena, &rows, &n, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    size_t from, to = call_page(c, n, &from);
    jsonw_arr(&c->w);
    for (size_t i = from; i < to; i++)
        rest_user_json(c, &rows[i]);
    jsonw_end_arr(&c->w);
}

void rest_admin_user_post(struct call *c)
{
    struct err e = {0};
    struct account u;
    enum role role = ROLE_DEVELOPER;
    struct slice token, word = call_str(c, S("role"));
    struct store *st = c->portal->opts.store;
    if (word.n && !role_parse(word, &role)) {
        call_problem(c, 422, "developer, operator or owner was expected.", "role");
        return;
    }
    enum rc rc = account_create(st, c->arena, call_str(c, S("email")), call_str(c, S("name")), role, S(""),
                                c->now_ms, &u, &e);
    if (rc == RC_OK)
        rc = link_create(st, c->arena, LINK_INVITE, u.id, c->now_ms, REST_LINK_MS, &token, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    audit(st, c->now_ms, c->me.email, "user.create", u.id, slice_str(role_name(role)));
    c->status = 201;
    jsonw_obj(&c->w);
    jsonw_key(&c->w, S("user"));
    rest_user_json(c, &u);
    jsonw_kstr(&c->w, S("setupLink"), arena_fmt(c->arena, "https://%.*s/setup?token=%.*s", SFMT(c->host),
                                                SFMT(token)));
    jsonw_end_obj(&c->w);
}

/* ---- the portal describes itself ---- */

static void rest_openapi_parameters(struct call *c, struct slice path)
{
    jsonw_key(&c->w, S("parameters"));
    jsonw_arr(&c->w);
    size_t open;
    while ((open = slice_index(path, '{')) != SIZE_MAX) {
        struct slice name = slice_cut(slice_from(path, open + 1), '}', &path);
        jsonw_obj(&c->w);
        jsonw_kstr(&c->w, S("name"), name);
        jsonw_kstr(&c->w, S("in"), S("path"));
        jsonw_kbool(&c->w, S("required"), true);
        jsonw_key(&c->w, S("schema"));
        jsonw_raw(&c->w, S("{\"type\":\"string\"}"));
        jsonw_end_obj(&c->w);
    }
    jsonw_end_arr(&c->w);
}

static void rest_openapi_operation(struct call *c, const struct rest_row *r)
{
    char method[16];
    size_t n = MIN(strlen(r->method), sizeof method);
    for (size_t i = 0; i < n; i++)
        method[i] = ascii_lower(r->method[i]);
    jsonw_key(&c->w, slice_of(method, n));
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("summary"), slice_str(r->doc));
    jsonw_key(&c->w, S("tags"));
    jsonw_arr(&c->w);
    jsonw_str(&c->w, slice_starts(slice_str(r->path), S("/admin/")) ? S("Administration") : S("Portal"));
    jsonw_end_arr(&c->w);
    rest_openapi_parameters(c, slice_str(r->path));
    jsonw_key(&c->w, S("responses"));
    jsonw_raw(&c->w, r->access == ACCESS_PUBLIC
                         ? S("{\"200\":{\"description\":\"Done\"}}")
                         : S("{\"200\":{\"description\":\"Done\"},\"401\":{\"description\":\"Not signed in\"}}"));
    jsonw_end_obj(&c->w);
}

void rest_admin_openapi(struct call *c)
{
    const struct rest_row *r;
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("openapi"), S("3.0.3"));
    jsonw_key(&c->w, S("info"));
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("title"), S("Postern portal"));
    jsonw_kstr(&c->w, S("version"), c->portal->opts.version);
    jsonw_kstr(&c->w, S("description"), S("The portal's REST API. Unsafe methods need the header X-Postern: 1 and "
                                          "come from the portal's own origin."));
    jsonw_end_obj(&c->w);
    jsonw_key(&c->w, S("paths"));
    jsonw_obj(&c->w);
    for (size_t i = 0; (r = portal_route_at(i)); i++) {
        bool again = i > 0 && !strcmp(portal_route_at(i - 1)->path, r->path);
        if (again)
            continue;
        jsonw_key(&c->w, slice_str(r->path));
        jsonw_obj(&c->w);
        for (const struct rest_row *same = r; same && !strcmp(same->path, r->path);
             same = portal_route_at(++i))
            rest_openapi_operation(c, same);
        i--;
        jsonw_end_obj(&c->w);
    }
    jsonw_end_obj(&c->w);
    jsonw_end_obj(&c->w);
}
#undef REST_LINK_MS
