/*
 * ops.c - what `postern key ...` and `postern user ...` do, as rows of name and function on JSON.
 *
 * Called through control.c: by the control thread of a running Postern, or by a command that opened the
 * data directory itself. Never by a reactor (SQLite and argon2 block). Answers are JSON; cli_run_op
 * prints them for people. Tested by tests/box/test_cli.py.
 */
#include "base/mem.h"
#include "main/app.h"
#include "main/cli.h"
#include "wire/cred.h"
#include <stdio.h>

#define OPS_LINK_MS (24 * 3600 * (int64_t)1000)
#define OPS_SETUP_MS (30 * 60 * (int64_t)1000)

struct op_ctx {
    struct app *app;
    struct arena *arena;
    const struct json *args;
    struct jsonw *out;
    struct err *e;
    int64_t now_ms;
};

static void ops_time(struct op_ctx *x, struct slice name, int64_t ms)
{
    char text[32];
    jsonw_key(x->out, name);
    if (ms)
        jsonw_str(x->out, slice_of(text, clock_rfc3339(text, ms)));
    else
        jsonw_null(x->out);
}

/* ---- keys ---- */

static const char *ops_key_state(const struct account_key *k, int64_t now_ms)
{
    return k->revoked_ms                                ? "revoked"
           : k->expires_ms && k->expires_ms <= now_ms ? "expired"
                                                       : "active";
}

static void ops_key_json(struct op_ctx *x, const struct account_key *k, struct slice clear)
{
    jsonw_obj(x->out);
    jsonw_kstr(x->out, S("id"), k->id);
    if (clear.n)
        jsonw_kstr(x->out, S("key"), clear);
    jsonw_kstr(x->out, S("name"), k->name);
    jsonw_kstr(x->out, S("public"), k->public_part);
    jsonw_kstr(x->out, S("user"), k->email);
    jsonw_kstr(x->out, S("plan"), k->plan);
    jsonw_kstr(x->out, S("product"), k->product);
    jsonw_kstr(x->out, S("state"), slice_str(ops_key_state(k, x->now_ms)));
    ops_time(x, S("created"), k->created_ms);
    ops_time(x, S("expires"), k->expires_ms);
    store_enter(x->app->store, x->now_ms);
    int64_t used_ms = keyrec_last_use(x->app->store, x->app->scheme.db, k->id);
    store_leave(x->app->store);
    ops_time(x, S("used"), used_ms);
    jsonw_end_obj(x->out);
}

/* A plan and a product are names of the policies in force, when these have any. A directory that no
 * Postern serves has none. */
static enum rc ops_key_names(struct op_ctx *x, const struct account_key_opts *o)
{
    if (!x->app->box)
        return RC_OK;
    struct policy_set *set = policy_box_get(x->app->box);
    size_t plans = policy_plan_count(set), apis = policy_api_count(set);
    bool plan = o->plan.n == 0 || plans == 0, product = o->product.n == 0 || apis == 0;
    for (size_t i = 0; i < plans && !plan; i++)
        plan = slice_eq(policy_plan_at(set, i)->name, o->plan);
    for (size_t i = 0; i < apis && !product; i++)
        product = slice_eq(policy_api_at(set, i)->product, o->product);
    policy_set_drop(set);
    if (!plan)
        return err_at(x->e, RC_BADINPUT, "plan", "no plan `%.*s` in the policies", SFMT(o->plan));
    if (!product)
        return err_at(x->e, RC_BADINPUT, "product", "no API product `%.*s` in the policies", SFMT(o->product));
    return RC_OK;
}

static enum rc ops_key_create(struct op_ctx *x)
{
    struct account who;
    struct slice email = json_str(x->args, S("user")), expires = json_str(x->args, S("expires"));
    enum rc rc = account_by_email(x->app->store, x->arena, email, &who, NULL, x->e);
    if (rc == RC_NOTFOUND)
        return err_at(x->e, rc, "user", "there is no account %.*s; make it with `postern user create %.*s`",
                      SFMT(email), SFMT(email));
    if (rc != RC_OK)
        return rc;
    int64_t valid_ms = 0;
    if (expires.n && (!slice_duration_ms(expires, &valid_ms) || valid_ms <= 0))
        return err_at(x->e, RC_BADINPUT, "expires", "a time such as 90d or 12h was expected");
    struct account_key_opts o = {.account_id = who.id,
                                 .name = json_str(x->args, S("name")),
                                 .plan = json_str(x->args, S("plan")),
                                 .product = json_str(x->args, S("product")),
                                 .prefix = setting(x->app->settings, SET_PORTAL_KEY_PREFIX),
                                 .config_id = S("postern"),
                                 .expires_ms = valid_ms ? x->now_ms + valid_ms : 0};
    rc = ops_key_names(x, &o);
    if (rc != RC_OK)
        return rc;
    struct account_key key;
    struct slice clear;
    rc = account_key_create(x->app->store, &x->app->scheme, x->arena, &o, x->now_ms, &key, &clear, x->e);
    if (rc != RC_OK)
        return rc;
    audit(x->app->store, x->now_ms, S("cli"), "key.create", key.id, key.name);
    ops_key_json(x, &key, clear);
    return RC_OK;
}

static enum rc ops_key_list(struct op_ctx *x)
{
    struct slice email = json_str(x->args, S("user")), id = S("");
    struct account who;
    enum rc rc = RC_OK;
    if (email.n) {
        rc = account_by_email(x->app->store, x->arena, email, &who, NULL, x->e);
        id = who.id;
    }
    struct account_key *keys;
    size_t n = 0;
    if (rc == RC_OK)
        rc = account_key_list(x->app->store, x->arena, id, &keys, &n, x->e);
    if (rc != RC_OK)
        return rc;
    jsonw_arr(x->out);
    for (size_t i = 0; i < n; i++)
        ops_key_json(x, &keys[i], S(""));
    jsonw_end_arr(x->out);
    return RC_OK;
}

static enum rc ops_key_show(struct op_ctx *x)
{
    struct account_key key;
    enum rc rc = account_key_get(x->app->store, x->arena, json_str(x->args, S("id")), &key, x->e);
    if (rc == RC_OK)
        ops_key_json(x, &key, S(""));
    return rc;
}

static enum rc ops_key_revoke(struct op_ctx *x)
{
    struct slice id = json_str(x->args, S("id"));
    enum rc rc = account_key_revoke(x->app->store, &x->app->scheme, id, x->now_ms, x->e);
    if (rc != RC_OK)
        return rc;
    audit(x->app->store, x->now_ms, S("cli"), "key.revoke", id, S(""));
    return ops_key_show(x);
}

/* ---- people ---- */

static void ops_user_json(struct op_ctx *x, const struct account *u, struct slice link)
{
    jsonw_obj(x->out);
    jsonw_kstr(x->out, S("id"), u->id);
    jsonw_kstr(x->out, S("email"), u->email);
    jsonw_kstr(x->out, S("name"), u->name);
    jsonw_kstr(x->out, S("role"), slice_str(role_name(u->role)));
    jsonw_kstr(x->out, S("state"), u->disabled ? S("disabled") : u->has_password ? S("active") : S("invited"));
    ops_time(x, S("created"), u->created_ms);
    if (link.n)
        jsonw_kstr(x->out, S("link"), link);
    jsonw_end_obj(x->out);
}

static enum rc ops_link(struct op_ctx *x, enum link_kind kind, struct slice account_id, int64_t valid_ms,
                        struct slice *url)
{
    struct slice token, base = app_portal_url(x->app, x->arena);
    enum rc rc = link_create(x->app->store, x->arena, kind, account_id, x->now_ms, valid_ms, &token, x->e);
    if (rc == RC_OK)
        *url = arena_fmt(x->arena, "%.*s/setup?token=%.*s", SFMT(base), SFMT(token));
    return rc;
}

static enum rc ops_user_create(struct op_ctx *x)
{
    struct slice email = json_str(x->args, S("email")), name = json_str(x->args, S("name"));
    struct slice word = json_str(x->args, S("role"));
    enum role role = ROLE_DEVELOPER;
    struct account u;
    struct slice link;
    if (word.n && !role_parse(word, &role))
        return err_at(x->e, RC_BADINPUT, "role", "developer, operator or owner was expected");
    enum rc rc = account_create(x->app->store, x->arena, email, name, role, S(""), x->now_ms, &u, x->e);
    if (rc == RC_OK)
        rc = ops_link(x, LINK_INVITE, u.id, OPS_LINK_MS, &link);
    if (rc != RC_OK)
        return rc;
    audit(x->app->store, x->now_ms, S("cli"), "user.create", u.id, slice_str(role_name(role)));
    ops_user_json(x, &u, link);
    return RC_OK;
}

/* Only the running Postern knows: there is nothing of it in the data directory. */
static enum rc ops_decision(struct op_ctx *x)
{
    struct buf json;
    buf_init(&json, 65536);
    enum rc rc = app_explain(x->app, json_str(x->args, S("id")), &json, x->e);
    if (rc == RC_OK)
        jsonw_raw(x->out, buf_all(&json));
    buf_free(&json);
    return rc;
}

static enum rc ops_user_list(struct op_ctx *x)
{
    struct account *rows;
    size_t n;
    enum rc rc = account_list(x->app->store, x->arena, &rows, &n, x->e);
    if (rc != RC_OK)
        return rc;
    jsonw_arr(x->out);
    for (size_t i = 0; i < n; i++)
        ops_user_json(x, &rows[i], S(""));
    jsonw_end_arr(x->out);
    return RC_OK;
}

static enum rc ops_user_find(struct op_ctx *x, struct account *u)
{
    struct slice email = json_str(x->args, S("email"));
    enum rc rc = account_by_email(x->app->store, x->arena, email, u, NULL, x->e);
    return rc == RC_NOTFOUND ? err_at(x->e, rc, "email", "there is no account %.*s", SFMT(email)) : rc;
}

static enum rc ops_user_reset(struct op_ctx *x)
{
    struct account u;
    struct slice link;
    enum rc rc = ops_user_find(x, &u);
    if (rc == RC_OK)
        rc = ops_link(x, LINK_RESET, u.id, OPS_LINK_MS, &link);
    if (rc != RC_OK)
        return rc;
    audit(x->app->store, x->now_ms, S("cli"), "user.reset", u.id, S(""));
    ops_user_json(x, &u, link);
    return RC_OK;
}

static enum rc ops_user_switch(struct op_ctx *x, bool disabled)
{
    struct account u;
    enum rc rc = ops_user_find(x, &u);
    if (rc == RC_OK)
        rc = account_set_disabled(x->app->store, &x->app->scheme, u.id, disabled, x->now_ms, x->e);
    if (rc != RC_OK)
        return rc;
    audit(x->app->store, x->now_ms, S("cli"), disabled ? "user.disable" : "user.enable", u.id, S(""));
    u.disabled = disabled;
    ops_user_json(x, &u, S(""));
    return RC_OK;
}
static enum rc ops_user_disable(struct op_ctx *x) { return ops_user_switch(x, true); }
static enum rc ops_user_enable(struct op_ctx *x) { return ops_user_switch(x, false); }

static enum rc ops_user_setup(struct op_ctx *x)
{
    size_t people = 0;
    struct slice link;
    enum rc rc = account_count(x->app->store, &people, x->e);
    if (rc == RC_OK && people)
        return err_set(x->e, RC_CONFLICT, "there are %zu accounts already; use `postern user reset-password "
                       "EMAIL` for a lost password or `postern user create EMAIL --role owner`", people);
    if (rc == RC_OK)
        rc = ops_link(x, LINK_SETUP, S(""), OPS_SETUP_MS, &link);
    if (rc != RC_OK)
        return rc;
    jsonw_obj(x->out);
    jsonw_kstr(x->out, S("link"), link);
    ops_time(x, S("expires"), x->now_ms + OPS_SETUP_MS);
    jsonw_end_obj(x->out);
    return RC_OK;
}

struct slice ops_setup_link(struct app *a, struct arena *arena, struct err *e)
{
    size_t people = 0;
    struct slice link = S("");
    struct op_ctx x = {.app = a, .arena = arena, .e = e, .now_ms = clock_wall_ms()};
    if (account_count(a->store, &people, e) == RC_OK && people == 0)
        (void)ops_link(&x, LINK_SETUP, S(""), OPS_SETUP_MS, &link);
    return link;
}

/* ---- dispatch ---- */

static const struct {
    const char *name;
    enum rc (*run)(struct op_ctx *x);
} ops_rows[] = {
    {"key.create", ops_key_create},   {"key.list", ops_key_list},         {"key.show", ops_key_show},
    {"key.revoke", ops_key_revoke},   {"user.create", ops_user_create},   {"user.list", ops_user_list},
    {"user.reset", ops_user_reset},   {"user.disable", ops_user_disable}, {"user.enable", ops_user_enable},
    {"user.setup", ops_user_setup},   {"decision.show", ops_decision},
};

/* An answer that was cut at its bound is none. */
static enum rc ops_whole(struct op_ctx *x, enum rc rc, const struct buf *out)
{
    if (rc != RC_OK || !buf_over(out))
        return rc;
    return err_set(x->e, RC_TOOBIG, "the answer is too large; ask for less, such as one person's with --user EMAIL");
}

enum rc ops_run(struct app *a, struct slice op, const struct json *args, struct arena *arena,
                struct buf *out, struct err *e)
{
    struct jsonw w;
    jsonw_init(&w, out);
    struct op_ctx x = {a, arena, args, &w, e, clock_wall_ms()};
    for (size_t i = 0; i < ARRAY_LEN(ops_rows); i++)
        if (slice_eq(slice_str(ops_rows[i].name), op))
            return ops_whole(&x, ops_rows[i].run(&x), out);
    return err_set(e, RC_VERSION, "the running Postern does not know `%.*s`; is it of another version?",
                   SFMT(op));
}

/* ---- the command line's side ---- */

/* Flags and the argument as the op's JSON: --user -> "user"; ID and EMAIL by their own names. */
static struct slice ops_args_json(struct cli *c)
{
    struct buf b;
    struct jsonw w;
    buf_init(&b, 65536);
    jsonw_init(&w, &b);
    jsonw_obj(&w);
    for (size_t i = 0; i < CLI_FLAGS_MAX && c->command->flags[i].name; i++)
        if (c->flag_values[i].p && c->command->flags[i].value)
            jsonw_kstr(&w, slice_str(c->command->flags[i].name + 2), c->flag_values[i]);
    if (c->args_n)
        jsonw_kstr(&w, slice_eq(slice_str(c->command->args), S("ID")) ? S("id") : S("email"),
                   slice_str(c->args[0]));
    jsonw_end_obj(&w);
    struct slice json = arena_dup(&c->arena, buf_all(&b));
    buf_free(&b);
    return json;
}

static void ops_print_object(const struct json *o)
{
    for (uint32_t i = 0; i < o->n; i++) {
        const struct json_member *m = &o->members[i];
        if (m->value.kind == JSON_STR && m->value.s.n)
            printf("%-8.*s %.*s\n", SFMT(m->name), SFMT(m->value.s));
    }
}

/* One line per row: the columns that people look for first. */
static void ops_print_rows(const struct json *rows)
{
    static const struct slice columns[] = {SLIT("id"),   SLIT("public"), SLIT("email"), SLIT("name"), SLIT("user"),
                                           SLIT("role"), SLIT("plan"),   SLIT("state"), SLIT("expires")};
    for (uint32_t i = 0; i < rows->n; i++) {
        for (size_t k = 0; k < ARRAY_LEN(columns); k++) {
            const struct json *v = json_get(&rows->items[i], columns[k]);
            if (v && v->kind == JSON_STR)
                printf("%.*s  ", SFMT(v->s.n ? v->s : S("-")));
        }
        printf("\n");
    }
    if (rows->n == 0)
        fprintf(stderr, "none yet\n");
}

int cli_run_op(struct cli *c)
{
    struct buf out;
    struct err e = {0};
    struct json *data;
    buf_init(&out, (size_t)16 * 1024 * 1024);
    enum rc rc = control_call(&c->settings, c->command->op, ops_args_json(c), &out, &e);
    if (rc == RC_OK && !c->json)
        rc = json_parse(&c->arena, buf_all(&out), out.n, &data, &e);
    if (rc != RC_OK) {
        buf_free(&out);
        bool no = rc == RC_NOTFOUND || rc == RC_CONFLICT || rc == RC_DENIED;
        return cli_fail(no ? CLI_NO : rc == RC_BADINPUT ? CLI_USAGE : CLI_CANNOT, &e);
    }
    if (c->json)
        printf("%.*s\n", SFMT(buf_all(&out)));
    else if (data->kind == JSON_ARR)
        ops_print_rows(data);
    else
        ops_print_object(data);
    if (!c->json && !strcmp(c->command->op, "key.create"))
        fprintf(stderr, "This is the only time that the key is shown.\n");
    mem_wipe(out.p, out.n);
    buf_free(&out);
    return CLI_DONE;
}
#undef OPS_LINK_MS
#undef OPS_SETUP_MS
