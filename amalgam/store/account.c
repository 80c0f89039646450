/*
 * account.c - people with their personal team and app; the audit trail.
 *
 * Called by portal/ (workers) and main/ (control thread, CLI). Never by a reactor: SQLite blocks. Says what
 * an e-mail address and a name may be, so that every door says the same. Owns nothing between calls; all
 * strings given out are copies in the caller's arena. Tested by tests/unit/store/test_account.c.
 */
#include "store/account.h"
#include "base/log.h"
#include "base/rand.h"
#include <stdio.h>

#define ACCOUNT_COLUMNS \
    "SELECT id,email,name,role,disabled,length(password)>0,created_ms,updated_ms,seen_ms,team_id,app_id," \
    "password FROM account "

static const char *const account_roles[ROLES] = {"developer", "operator", "owner"};

const char *role_name(enum role r)
{
    return r < ROLES ? account_roles[r] : "developer";
}

bool role_parse(struct slice s, enum role *out)
{
    for (int i = 0; i < ROLES; i++) {
        if (slice_eq_ci(s, slice_str(account_roles[i]))) {
            *out = (enum role)i;
            return true;
        }
    }
    return false;
}

/* ---- what people may type ---- */

/* Lower case, one '@', something on both sides, no spaces or control bytes: the rest the mail proves. */
static enum rc account_email(struct arena *a, struct slice in, struct slice *out, struct err *e)
{
    in = slice_trim(in);
    size_t at = slice_index(in, '@');
    bool good = at != SIZE_MAX && at > 0 && at + 1 < in.n && slice_rindex(in, '@') == at && in.n <= 254 &&
                slice_utf8(in);
    struct slice copy = arena_dup(a, in);
    char *p = (char *)(uintptr_t)copy.p;
    for (size_t i = 0; i < copy.n; i++) {
        good = good && (unsigned char)p[i] > ' ' && p[i] != 127 && p[i] != ',' && p[i] != ';';
        p[i] = ascii_lower(p[i]);
    }
    if (!good)
        return err_at(e, RC_BADINPUT, "email", "an e-mail address such as ann@example.com was expected");
    *out = copy;
    return RC_OK;
}

static enum rc account_name_ok(struct slice name, const char *field, struct err *e)
{
    bool good = name.n > 0 && name.n <= 100 && slice_utf8(name);
    for (size_t i = 0; i < name.n; i++)
        good = good && (unsigned char)name.p[i] >= ' ' && name.p[i] != 127;
    return good ? RC_OK : err_at(e, RC_BADINPUT, field, "1 to 100 characters on one line were expected");
}

/* ---- reading ---- */

struct account_read {
    struct arena *a;
    struct account *rows;
    size_t n, cap;
    struct slice password;
};

static bool account_row(void *ctx, const struct db_row *r)
{
    struct account_read *x = ctx;
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 16;
        struct account *bigger = ARENA_ARRAY(x->a, struct account, cap);
        if (x->n)
            memcpy(bigger, x->rows, x->n * sizeof *bigger);
        x->rows = bigger;
        x->cap = cap;
    }
    int64_t role = db_int(r, 3);
    x->rows[x->n++] = (struct account){.id = arena_dup(x->a, db_text(r, 0)),
                                       .email = arena_dup(x->a, db_text(r, 1)),
                                       .name = arena_dup(x->a, db_text(r, 2)),
                                       .role = role > 0 && role < ROLES ? (enum role)role : ROLE_DEVELOPER,
                                       .disabled = db_int(r, 4) != 0,
                                       .has_password = db_int(r, 5) != 0,
                                       .created_ms = db_int(r, 6),
                                       .updated_ms = db_int(r, 7),
                                       .seen_ms = db_int(r, 8),
                                       .team_id = arena_dup(x->a, db_text(r, 9)),
                                       .app_id = arena_dup(x->a, db_text(r, 10))};
    x->password = arena_dup(x->a, db_text(r, 11));
    return true;
}

enum rc account_by_email(struct store *st, struct arena *a, struct slice email, struct account *out,
                         struct slice *password_phc, struct err *e)
{
    struct account_read x = {.a = a};
    struct slice folded;
    enum rc rc = account_email(a, email, &folded, e);
    if (rc == RC_OK)
        rc = db_query(store_db(st), e, account_row, &x, ACCOUNT_COLUMNS "WHERE email=?1", "s", folded);
    if (rc != RC_OK)
        return rc;
    *out = x.rows[0];
    if (password_phc)
        *password_phc = x.password;
    return RC_OK;
}

enum rc account_by_id(struct store *st, struct arena *a, struct slice id, struct account *out, struct err *e)
{
    struct account_read x = {.a = a};
    enum rc rc = db_query(store_db(st), e, account_row, &x, ACCOUNT_COLUMNS "WHERE id=?1", "s", id);
    if (rc == RC_OK)
        *out = x.rows[0];
    return rc;
}

enum rc account_list(struct store *st, struct arena *a, struct account **out, size_t *n, struct err *e)
{
    struct account_read x = {.a = a};
    enum rc rc = db_query(store_db(st), e, account_row, &x, ACCOUNT_COLUMNS "ORDER BY email", "");
    *out = x.rows;
    *n = x.n;
    return rc == RC_NOTFOUND ? RC_OK : rc;
}

static bool account_int_row(void *ctx, const struct db_row *r)
{
    *(int64_t *)ctx = db_int(r, 0);
    return false;
}

enum rc account_count(struct store *st, size_t *n, struct err *e)
{
    int64_t count = 0;
    enum rc rc = db_query(store_db(st), e, account_int_row, &count, "SELECT count(*) FROM account", "");
    *n = (size_t)count;
    return rc;
}

/* ---- changing ---- */

static enum rc account_insert(struct store *st, const struct account *u, struct slice phc, struct err *e)
{
    struct db *db = store_db(st);
    enum rc rc = db_run(db, e,
                        "INSERT INTO account(id,email,name,role,password,disabled,team_id,app_id,created_ms,"
                        "updated_ms,seen_ms) VALUES(?1,?2,?3,?4,?5,0,?6,?7,?8,?8,0)",
                        "sssisssi", u->id, u->email, u->name, (int64_t)u->role, phc, u->team_id, u->app_id,
                        u->created_ms);
    if (rc == RC_CONFLICT)
        return err_at(e, rc, "email", "there is an account with this e-mail address already");
    if (rc == RC_OK)
        rc = db_run(db, e, "INSERT INTO team(id,name,description,created_ms,updated_ms) VALUES(?1,?2,'',?3,?3)",
                    "ssi", u->team_id, u->name, u->created_ms);
    if (rc == RC_OK)
        rc = db_run(db, e, "INSERT INTO team_member(team_id,account_id,lead) VALUES(?1,?2,1)", "ss", u->team_id,
                    u->id);
    if (rc == RC_OK)
        rc = db_run(db, e,
                    "INSERT INTO app(id,team_id,name,description,created_ms,updated_ms) "
                    "VALUES(?1,?2,'default','',?3,?3)",
                    "ssi", u->app_id, u->team_id, u->created_ms);
    return rc;
}

static struct slice account_new_id(struct arena *a)
{
    char text[37];
    rand_uuid4(text);
    return arena_dup(a, slice_of(text, 36));
}

enum rc account_create(struct store *st, struct arena *a, struct slice email, struct slice name,
                       enum role role, struct slice password_phc, int64_t now_ms, struct account *out,
                       struct err *e)
{
    *out = (struct account){.id = account_new_id(a), .role = role, .has_password = password_phc.n > 0,
                            .created_ms = now_ms, .updated_ms = now_ms,
                            .team_id = account_new_id(a), .app_id = account_new_id(a)};
    enum rc rc = account_email(a, email, &out->email, e);
    if (rc != RC_OK)
        return rc;
    name = slice_trim(name);
    out->name = arena_dup(a, name.n ? name : slice_sub(out->email, 0, slice_index(out->email, '@')));
    rc = account_name_ok(out->name, "name", e);
    if (rc == RC_OK)
        rc = db_begin(store_db(st), e);
    if (rc != RC_OK)
        return rc;
    rc = account_insert(st, out, password_phc, e);
    if (rc == RC_OK)
        rc = db_commit(store_db(st), e);
    else
        db_rollback(store_db(st));
    return rc;
}

enum rc account_set_password(struct store *st, struct slice id, struct slice password_phc, int64_t now_ms,
                             struct err *e)
{
    struct db *db = store_db(st);
    enum rc rc = db_begin(db, e);
    if (rc != RC_OK)
        return rc;
    rc = db_run(db, e, "UPDATE account SET password=?2,updated_ms=?3 WHERE id=?1", "ssi", id, password_phc,
                now_ms);
    if (rc == RC_OK) {
        rc = db_run(db, e, "DELETE FROM session WHERE account_id=?1", "s", id);
        rc = rc == RC_NOTFOUND ? RC_OK : rc;
    }
    if (rc == RC_OK)
        return db_commit(db, e);
    db_rollback(db);
    return rc;
}

/* ---- audit ---- */

void audit(struct store *st, int64_t now_ms, struct slice who, const char *action, struct slice object,
           struct slice detail)
{
    struct err e = {0};
    enum rc rc = db_run(store_db(st), &e,
                        "INSERT INTO audit(at_ms,who,action,object,detail) VALUES(?1,?2,?3,?4,?5)", "issss",
                        now_ms, who, slice_str(action), object, detail);
    if (rc != RC_OK)
        log_event(LOG_ERROR, "audit.lost", "action=%s text=%s", action, log_quote(slice_str(e.text)));
}
#undef ACCOUNT_COLUMNS
