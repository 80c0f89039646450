/*
 * rest_account.c - status, one-time links, sign-in and out, who am I, teams and apps.
 *
 * Rows of portal_routes.c; runs in civetweb's workers and may block. Sign-in answers the same for an unknown
 * account and a wrong password, does the same work for both, and is throttled per address and per
 * account by counters in the store. Tested by tests/box/test_portal_api.py.
 */
#include "base/log.h"
#include "base/mem.h"
#include "portal/inner.h"
#include "wire/cred.h"

#define REST_WINDOW_MS 300000
#define REST_TRIES_ACCOUNT 10
#define REST_TRIES_PEER 60
#define REST_HASHES_MAX 2

/* ---- argon2: at most two at a time, each holds 19 MiB ---- */

static bool rest_hash_enter(struct call *c)
{
    for (int i = 0; i < 400; i++) {
        if (__atomic_add_fetch(&c->portal->hashing, 1, __ATOMIC_ACQ_REL) <= REST_HASHES_MAX)
            return true;
        (void)__atomic_sub_fetch(&c->portal->hashing, 1, __ATOMIC_ACQ_REL);
        clock_sleep_ms(10);
    }
    call_header(c, "Retry-After", S("5"));
    call_problem(c, 503, "Many people are signing in at once. Try again in a few seconds.", NULL);
    return false;
}

static void rest_hash_leave(struct call *c)
{
    (void)__atomic_sub_fetch(&c->portal->hashing, 1, __ATOMIC_ACQ_REL);
}

/* ---- throttling ---- */

/* The counter's key. who in small letters: an address is the same however it is written. */
static struct slice rest_counter(struct call *c, const char *what, struct slice who)
{
    struct slice name = arena_dup(c->arena, slice_trim(slice_sub(who, 0, 254)));
    for (size_t i = 0; i < name.n; i++)
        ((char *)(uintptr_t)name.p)[i] = ascii_lower(name.p[i]);
    return arena_fmt(c->arena, "postern:signin:%s:%.*s:%lld", what, SFMT(name),
                     (long long)(c->now_ms / REST_WINDOW_MS));
}

static bool rest_over(struct call *c, const char *what, struct slice who, int64_t limit)
{
    int64_t window = c->now_ms / REST_WINDOW_MS, count = 0;
    struct store *st = c->portal->opts.store;
    struct slice key = rest_counter(c, what, who);
    store_enter(st, c->now_ms);
    enum rc rc = ks_incr(st, 0, key, 1, (window + 1) * REST_WINDOW_MS, &count);
    store_leave(st);
    if (rc == RC_OK && count <= limit)
        return false;
    if (rc != RC_OK) {
        call_problem(c, 503, "Attempts cannot be counted just now, so nobody is let in.", NULL);
        return true;
    }
    call_header(c, "Retry-After", arena_fmt(c->arena, "%lld", (long long)((window + 1) * REST_WINDOW_MS -
                                                                          c->now_ms) / 1000 + 1));
    call_problem(c, 429, "Too many attempts. Wait a few minutes and try again.", NULL);
    return true;
}

/* The right password: what was tried before counts no more. */
static void rest_forget_tries(struct call *c, struct slice email)
{
    struct store *st = c->portal->opts.store;
    struct slice key = rest_counter(c, "account", email);
    store_enter(st, c->now_ms);
    (void)ks_del(st, 0, key);
    store_leave(st);
}

/* ---- sessions ---- */

static void rest_sign_in(struct call *c, const struct account *u)
{
    struct err e = {0};
    struct slice id;
    enum rc rc = session_create(c->portal->opts.store, c->arena, u->id, c->now_ms, &id, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    call_header(c, "Set-Cookie",
                arena_fmt(c->arena, PORTAL_COOKIE "=%.*s; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=%lld",
                          SFMT(id), (long long)(c->portal->opts.session_absolute_ms / 1000)));
    audit(c->portal->opts.store, c->now_ms, u->email, "session.create", u->id, c->peer);
    rest_user_json(c, u);
}

void rest_session_post(struct call *c)
{
    struct err e = {0};
    struct account u;
    struct slice phc = S(""), email = call_str(c, S("email")), password = json_str(c->json, S("password"));
    if (rest_over(c, "peer", c->peer, REST_TRIES_PEER) || rest_over(c, "account", email, REST_TRIES_ACCOUNT) ||
        !rest_hash_enter(c))
        return;
    enum rc rc = account_by_email(c->portal->opts.store, c->arena, email, &u, &phc, &e);
    bool usable = rc == RC_OK && phc.n && !u.disabled && password.n <= 1024;
    bool good = usable ? password_verify(phc, password) : password_verify_nobody(slice_sub(password, 0, 1024));
    rest_hash_leave(c);
    if (usable && good) {
        rest_forget_tries(c, email);
        rest_sign_in(c, &u);
        return;
    }
    audit(c->portal->opts.store, c->now_ms, slice_sub(email, 0, 254), "session.refuse", S(""), c->peer);
    call_problem(c, 401, "E-mail address or password is wrong.", NULL);
}

void rest_session_delete(struct call *c)
{
    struct err e = {0};
    enum rc rc = session_end(c->portal->opts.store, c->session_id, &e);
    if (rc != RC_OK && rc != RC_NOTFOUND) {
        call_fail(c, &e, rc);
        return;
    }
    call_header(c, "Set-Cookie", S(PORTAL_COOKIE "=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"));
    call_status(c, 204);
}

void rest_user_json(struct call *c, const struct account *u)
{
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("id"), u->id);
    jsonw_kstr(&c->w, S("email"), u->email);
    jsonw_kstr(&c->w, S("name"), u->name);
    jsonw_kstr(&c->w, S("username"), u->email);
    jsonw_kbool(&c->w, S("isAdmin"), u->role >= ROLE_OPERATOR);
    jsonw_kstr(&c->w, S("role"), slice_str(role_name(u->role)));
    jsonw_kbool(&c->w, S("synced"), u->has_password);
    jsonw_kbool(&c->w, S("disabled"), u->disabled);
    call_time(c, S("createdAt"), u->created_ms);
    call_time(c, S("updatedAt"), u->updated_ms);
    call_time(c, S("lastSeenAt"), u->seen_ms);
    jsonw_end_obj(&c->w);
}

void rest_me(struct call *c)
{
    rest_user_json(c, &c->me);
}

/* ---- passwords ---- */

/* The new password's hash, or an empty slice after answering why not. */
static struct slice rest_new_password(struct call *c, struct slice email)
{
    struct slice password = json_str(c->json, S("password"));
    const char *complaint = password.n > 1024 ? "At most 1024 characters." : password_complaint(password, email);
    if (complaint) {
        call_problem(c, 422, complaint, "password");
        return S("");
    }
    if (!rest_hash_enter(c))
        return S("");
    struct slice phc = password_hash(c->arena, password);
    rest_hash_leave(c);
    return phc;
}

void rest_password_put(struct call *c)
{
    struct err e = {0};
    struct account u;
    struct slice phc;
    enum rc rc = account_by_email(c->portal->opts.store, c->arena, c->me.email, &u, &phc, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    if (rest_over(c, "account", c->me.email, REST_TRIES_ACCOUNT) || !rest_hash_enter(c))
        return;
    bool good = password_verify(phc, slice_sub(json_str(c->json, S("current")), 0, 1024));
    rest_hash_leave(c);
    if (!good) {
        call_problem(c, 422, "The current password is wrong.", "current");
        return;
    }
    rest_forget_tries(c, c->me.email);
    struct slice fresh = rest_new_password(c, u.email);
    if (fresh.n == 0)
        return;
    rc = account_set_password(c->portal->opts.store, u.id, fresh, c->now_ms, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    audit(c->portal->opts.store, c->now_ms, u.email, "password.change", u.id, c->peer);
    rest_sign_in(c, &u); /* every session ended: this browser gets a new one */
    if (c->status == 200)
        call_status(c, 204);
}

/* ---- one-time links ---- */

struct rest_link {
    struct slice token;
    enum link_kind kind;
    int64_t expires_ms;
    struct account who; /* empty for the first owner */
};

/* What the link is good for; false: 404 was answered. The link for the first owner ends with the first
 * account, however that came; one of a disabled account is no way back in. */
static bool rest_link_find(struct call *c, struct slice token, struct rest_link *l)
{
    struct err e = {0};
    struct store *st = c->portal->opts.store;
    struct slice account_id = S("");
    size_t people = 0;
    *l = (struct rest_link){.token = token, .who = {.email = S(""), .name = S("")}};
    bool good = link_find(st, c->arena, token, c->now_ms, &l->kind, &account_id, &l->expires_ms, &e) == RC_OK;
    if (good && l->kind == LINK_SETUP)
        good = account_count(st, &people, &e) == RC_OK && people == 0;
    else if (good)
        good = account_by_id(st, c->arena, account_id, &l->who, &e) == RC_OK && !l->who.disabled;
    if (!good)
        call_problem(c, 404, "This link was used already or its time is over.", NULL);
    return good;
}

void rest_setup_get(struct call *c)
{
    static const struct slice kinds[] = {[LINK_SETUP] = SLIT("setup"), [LINK_INVITE] = SLIT("invite"),
                                         [LINK_RESET] = SLIT("reset")};
    struct slice token = S("");
    struct rest_link l;
    (void)url_query_get(c->arena, c->query, S("token"), &token);
    if (!rest_link_find(c, token, &l))
        return;
    jsonw_obj(&c->w);
    call_time(c, S("expires_at"), l.expires_ms);
    jsonw_kstr(&c->w, S("kind"), kinds[l.kind]);
    jsonw_kstr(&c->w, S("email"), l.who.email);
    jsonw_kstr(&c->w, S("name"), l.who.name);
    jsonw_end_obj(&c->w);
}

static enum rc rest_setup_owner(struct call *c, struct account *u, struct err *e)
{
    struct slice phc = rest_new_password(c, call_str(c, S("email")));
    if (phc.n == 0)
        return RC_AGAIN; /* answered */
    return account_create(c->portal->opts.store, c->arena, call_str(c, S("email")), call_str(c, S("name")),
                          ROLE_OWNER, phc, c->now_ms, u, e);
}

static enum rc rest_setup_known(struct call *c, struct account *u, struct err *e)
{
    struct slice phc = rest_new_password(c, u->email);
    if (phc.n == 0)
        return RC_AGAIN;
    u->has_password = true;
    return account_set_password(c->portal->opts.store, u->id, phc, c->now_ms, e);
}

static void rest_setup_use(struct call *c)
{
    struct err e = {0};
    struct rest_link l;
    struct store *st = c->portal->opts.store;
    if (!rest_link_find(c, call_str(c, S("token")), &l))
        return;
    struct account u = l.who;
    enum rc rc = l.kind == LINK_SETUP ? rest_setup_owner(c, &u, &e) : rest_setup_known(c, &u, &e);
    if (rc == RC_AGAIN)
        return;
    if (rc == RC_OK)
        rc = link_use(st, l.token, c->now_ms, &e);
    if (rc != RC_OK) {
        call_fail(c, &e, rc);
        return;
    }
    audit(st, c->now_ms, u.email, l.kind == LINK_SETUP ? "setup.owner" : "password.set", u.id, c->peer);
    rest_sign_in(c, &u);
    if (c->status == 200)
        c->status = 201;
}

/* One at a time: two requests with one link must not make two owners. */
void rest_setup_post(struct call *c)
{
    if (rest_over(c, "setup", c->peer, REST_TRIES_PEER))
        return;
    if (__atomic_exchange_n(&c->portal->setting_up, 1, __ATOMIC_ACQ_REL)) {
        call_header(c, "Retry-After", S("2"));
        call_problem(c, 503, "Somebody else is setting a password just now. Try again in two seconds.", NULL);
        return;
    }
    rest_setup_use(c);
    __atomic_store_n(&c->portal->setting_up, 0, __ATOMIC_RELEASE);
}

/* ---- status ---- */

void rest_status(struct call *c)
{
    const struct portal_opts *o = &c->portal->opts;
    struct err e = {0};
    size_t people = 1;
    (void)!account_count(o->store, &people, &e);
    jsonw_obj(&c->w);
    jsonw_kstr(&c->w, S("product"), S("Postern"));
    jsonw_kstr(&c->w, S("version"), o->version);
    jsonw_kstr(&c->w, S("title"), o->title);
    jsonw_kbool(&c->w, S("setup_needed"), people == 0);
    jsonw_kbool(&c->w, S("signed_in"), c->signed_in);
    jsonw_kbool(&c->w, S("demo"), o->demo);
    jsonw_kbool(&c->w, S("public_catalogue"), o->public_catalogue);
    if (o->demo) {
        jsonw_key(&c->w, S("sign_in_hint"));
        jsonw_obj(&c->w);
        jsonw_kstr(&c->w, S("email"), o->demo_email);
        jsonw_kstr(&c->w, S("password"), o->demo_password);
        jsonw_end_obj(&c->w);
    }
    jsonw_end_obj(&c->w);
}

/* ---- the personal team and app, in Gloo's shapes ---- */

void rest_later(struct call *c)
{
    call_problem(c, 501, "This is not served yet: everybody has one team and one application.", NULL);
}

static void rest_entity(struct call *c, struct slice id, struct slice name, int64_t created_ms)
{
    jsonw_kstr(&c->w, S("id"), id);
    jsonw_kstr(&c->w, S("name"), name);
    jsonw_kstr(&c->w, S("description"), S(""));
    call_time(c, S("createdAt"), created_ms);
    call_time(c, S("updatedAt"), created_ms);
}

static void rest_team_json(struct call *c)
{
    jsonw_obj(&c->w);
    rest_entity(c, c->me.team_id, c->me.name, c->me.created_ms);
    jsonw_end_obj(&c->w);
}

static void rest_app_json(struct call *c)
{
    jsonw_obj(&c->w);
    rest_entity(c, c->me.app_id, S("default"), c->me.created_ms);
    jsonw_kstr(&c->w, S("teamId"), c->me.team_id);
    jsonw_end_obj(&c->w);
}

void rest_teams(struct call *c)
{
    jsonw_arr(&c->w);
    rest_team_json(c);
    jsonw_end_arr(&c->w);
}

static bool rest_own_team(struct call *c)
{
    if (slice_eq(c->params[0], c->me.team_id))
        return true;
    call_problem(c, 404, "There is no such team.", NULL);
    return false;
}

void rest_team(struct call *c)
{
    if (rest_own_team(c))
        rest_team_json(c);
}

void rest_team_members(struct call *c)
{
    if (!rest_own_team(c))
        return;
    jsonw_arr(&c->w);
    rest_user_json(c, &c->me);
    jsonw_end_arr(&c->w);
}

void rest_team_apps(struct call *c)
{
    if (rest_own_team(c))
        rest_apps(c);
}

void rest_apps(struct call *c)
{
    jsonw_arr(&c->w);
    rest_app_json(c);
    jsonw_end_arr(&c->w);
}

void rest_app(struct call *c)
{
    if (slice_eq(c->params[0], c->me.app_id))
        rest_app_json(c);
    else
        call_problem(c, 404, "There is no such application.", NULL);
}
#undef REST_WINDOW_MS
#undef REST_TRIES_ACCOUNT
#undef REST_TRIES_PEER
#undef REST_HASHES_MAX
