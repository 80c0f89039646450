/*
 * rest_keys.c - API keys of the person who is signed in: list, make, revoke, usage.
 *
 * Rows of portal_routes.c; workers. The clear key stands in one answer (Cache-Control: no-store), nowhere
 * else. A person sees and revokes own keys; operators revoke everybody's.
 * Tested by tests/box/test_portal_api.py.
 */
#include "portal/inner.h"

#define REST_DAY_MS (86400 * (int64_t)1000)

static void rest_key_json(struct call *c, const struct account_key *k, struct slice clear)
{
    const char *state = k->revoked_ms                                 ? "revoked"
                        : k->expires_ms && k->expires_ms <= c->now_ms ? "expired"
                                                                      : "active";
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("id"), k->id);
    jsonw_kstr(&c->w, S("name"), k->name);
    jsonw_kstr(&c->w, S("publicPart"), k->public_part);
    jsonw_kstr(&c->w, S("plan"), k->plan);
    jsonw_key(&c->w, S("product"));
    if (k->product.n)
        jsonw_str(&c->w, k->product);
    else
        jsonw_null(&c->w);
    jsonw_kstr(&c->w, S("state"), slice_str(state));
    call_time(c, S("createdAt"), k->created_ms);
    call_time(c, S("expiresAt"), k->expires_ms);
    call_time(c, S("lastUsedAt"), k->used_ms);
    jsonw_key(&c->w, S("metadata"));
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("usagePlan"), k->plan);
    jsonw_end_obj(&c->w);
    if (clear.n)
        jsonw_kstr(&c->w, S("apiKey"), clear);
    jsonw_end_obj(&c->w);
}

static void rest_last_uses(struct call *c, struct account_key *keys, size_t n)
{
    struct store *st = c->portal->opts.store;
    store_enter(st, c->now_ms);
    for (size_t i = 0; i < n; i++)
        keys[i].used_ms = keyrec_last_use(st, c->portal->opts.scheme->db, keys[i].id);
    store_leave(st);
}

void rest_keys(struct call *c)
{
    struct err e = {0};
    struct account_key *keys;
    size_t n;
    enum rc rc = account_key_list(c->portal->opts.store, c->arena, c->me.id, &keys, &n, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    size_t from, to = call_page(c, n, &from);
    rest_last_uses(c, keys + from, to - from);
    jsonw_arr(&c->w);
    for (size_t i = from; i < to; i++)
        rest_key_json(c, &keys[i], S(""));
    jsonw_end_arr(&c->w);
}

/* ---- making ---- */

/* 0: no end. A number that is none must not make a key without an end. */
static bool rest_days(struct call *c, int64_t *days)
{
    const struct json *j = json_get(c->json, S("expiresInDays"));
    *days = 0;
    if (!j || j->kind == JSON_NULL)
        return true;
    *days = j->kind == JSON_INT ? j->i : -1;
    return *days >= 1 && *days <= 3650;
}

static bool rest_plan_known(struct call *c, struct slice plan)
{
    for (size_t i = 0; i < policy_plan_count(c->set); i++)
        if (slice_eq(policy_plan_at(c->set, i)->name, plan))
            return true;
    return plan.n == 0;
}

static bool rest_product_known(struct call *c, struct slice product)
{
    for (size_t i = 0; i < policy_api_count(c->set); i++)
        if (slice_eq(policy_api_at(c->set, i)->product, product))
            return true;
    return product.n == 0;
}

static void rest_key_make(struct call *c, struct slice name, struct slice app_id)
{
    struct err e = {0};
    struct account_key key;
    struct slice clear;
    int64_t days;
    bool days_ok = rest_days(c, &days);
    struct account_key_opts o = {.account_id = c->me.id, .app_id = app_id, .name = name,
                                 .plan = call_str(c, S("plan")), .product = call_str(c, S("product")),
                                 .prefix = c->portal->opts.key_prefix, .config_id = S("postern"),
                                 .expires_ms = days > 0 ? c->now_ms + days * REST_DAY_MS : 0};
    if (!days_ok) {
        call_problem(c, 422, "1 to 3650 days were expected, or none for a key without an end.", "expiresInDays");
        return;
    }
    if (!rest_plan_known(c, o.plan)) {
        call_problem(c, 422, "There is no such plan.", "plan");
        return;
    }
    if (!rest_product_known(c, o.product)) {
        call_problem(c, 422, "There is no such API product.", "product");
        return;
    }
    enum rc rc = account_key_create(c->portal->opts.store, c->portal->opts.scheme, c->arena, &o, c->now_ms, &key,
                                    &clear, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    audit(c->portal->opts.store, c->now_ms, c->me.email, "key.create", key.id, key.name);
    c->status = 201;
    rest_key_json(c, &key, clear);
}

void rest_key_post(struct call *c)
{
    rest_key_make(c, call_str(c, S("name")), S(""));
}

static bool rest_own_app(struct call *c)
{
    if (slice_eq(c->params[0], c->me.app_id))
        return true;
    call_problem(c, 404, "There is no such application.", NULL);
    return false;
}

void rest_app_keys(struct call *c)
{
    if (rest_own_app(c))
        rest_keys(c);
}

void rest_app_key_post(struct call *c)
{
    if (rest_own_app(c))
        rest_key_make(c, call_str(c, S("apiKeyName")), c->me.app_id);
}

/* ---- one key ---- */

static bool rest_find_key(struct call *c, bool operators, struct account_key *key)
{
    struct err e = {0};
    enum rc rc = account_key_get(c->portal->opts.store, c->arena, c->params[0], key, &e);
    bool mine = rc == RC_OK && slice_eq(key->account_id, c->me.id);
    if (mine || (rc == RC_OK && operators && c->me.role >= ROLE_OPERATOR))
        return true;
    if (rc == RC_OK || rc == RC_NOTFOUND)
        call_problem(c, 404, "There is no such key.", NULL);
    else
        call_fail(c, &e, rc);
    return false;
}

void rest_key_delete(struct call *c)
{
    struct err e = {0};
    struct account_key key;
    if (!rest_find_key(c, true, &key))
        return;
    enum rc rc = account_key_revoke(c->portal->opts.store, c->portal->opts.scheme, key.id, c->now_ms, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    audit(c->portal->opts.store, c->now_ms, c->me.email, "key.revoke", key.id, key.name);
    call_status(c, 204);
}

static void rest_limit_json(struct call *c, const struct policy_api *api, const struct policy_limit *l)
{
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("name"), l->name);
    jsonw_kstr(&c->w, S("product"), api->product);
    jsonw_ki64(&c->w, S("limit"), l->limit);
    jsonw_kstr(&c->w, S("unit"), slice_str(limit_unit_name(l->unit)));
    jsonw_ki64(&c->w, S("used"), l->used);
    jsonw_ki64(&c->w, S("remaining"), l->remaining);
    jsonw_ki64(&c->w, S("reset_seconds"), l->reset_s);
    jsonw_kbool(&c->w, S("over"), l->over);
    jsonw_end_obj(&c->w);
}

static void rest_usage_of(struct call *c, const struct keyrec *rec)
{
    struct policy_verdict v;
    struct slice product = keyrec_meta(rec, S("product"));
    for (size_t i = 0; i < policy_api_count(c->set); i++) {
        const struct policy_api *api = policy_api_at(c->set, i);
        if (product.n && !slice_eq(api->product, product))
            continue;
        if (policy_usage(c->policy, api, rec, c->now_ms, &v) != RC_OK)
            continue;
        for (size_t k = 0; k < v.limits_n; k++)
            rest_limit_json(c, api, &v.limits[k]);
    }
}

void rest_key_usage(struct call *c)
{
    struct account_key key;
    struct keyrec *rec = ARENA_NEW(c->arena, struct keyrec);
    if (!rest_find_key(c, true, &key))
        return;
    struct store *st = c->portal->opts.store;
    store_enter(st, c->now_ms);
    enum rc rc = keyrec_by_uuid(st, c->portal->opts.scheme->db, key.id, c->arena, rec);
    store_leave(st);
    jsonw_obj(&c->w);
    jsonw_key(&c->w, S("limits"));
    jsonw_arr(&c->w);
    if (rc == RC_OK)
        rest_usage_of(c, rec);
    jsonw_end_arr(&c->w);
    call_time(c, S("asOf"), c->now_ms);
    jsonw_end_obj(&c->w);
}
#undef REST_DAY_MS
