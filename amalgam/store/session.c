/*
 * session.c - sessions of the portal and one-time links: random in the cookie or URL, hashed at rest.
 *
 * Called by portal/ workers and by main/ (links). A session's last use is written at most once a minute.
 * Expired rows are swept when a session is made. Owns nothing between calls.
 * Tested by tests/unit/store/test_account.c.
 */
#include "base/rand.h"
#include "store/account.h"

#define SESSION_BYTES 32
#define SESSION_TEXT 43 /* base64url of 32 bytes, no padding */
#define SESSION_SEEN_MS 60000
#define SESSION_SWEEP_MS (90 * 86400 * (int64_t)1000)

/* What is stored for a secret text. */
static struct slice session_digest(struct slice text, uint8_t digest[32])
{
    sha256(text, digest);
    return slice_of((const char *)digest, 32);
}

static struct slice session_secret(struct arena *a)
{
    uint8_t raw[SESSION_BYTES];
    char text[SESSION_TEXT + 5];
    rand_bytes(raw, sizeof raw);
    return arena_dup(a, slice_of(text, b64url_encode(text, raw, sizeof raw)));
}

enum rc session_create(struct store *st, struct arena *a, struct slice account_id, int64_t now_ms,
                       struct slice *id, struct err *e)
{
    uint8_t digest[32];
    *id = session_secret(a);
    struct slice hash = session_digest(*id, digest);
    enum rc rc = db_run(store_db(st), e, "DELETE FROM session WHERE seen_ms<?1", "i", now_ms - SESSION_SWEEP_MS);
    if (rc == RC_OK || rc == RC_NOTFOUND)
        rc = db_run(store_db(st), e,
                    "INSERT INTO session(hash,account_id,created_ms,seen_ms) VALUES(?1,?2,?3,?3)", "bsi", hash,
                    account_id, now_ms);
    if (rc == RC_OK)
        rc = db_run(store_db(st), e, "UPDATE account SET seen_ms=?2 WHERE id=?1", "si", account_id, now_ms);
    return rc;
}

struct session_read {
    struct arena *a;
    struct slice account_id;
    int64_t created_ms, seen_ms;
};

static bool session_row(void *ctx, const struct db_row *r)
{
    struct session_read *x = ctx;
    x->account_id = arena_dup(x->a, db_text(r, 0));
    x->created_ms = db_int(r, 1);
    x->seen_ms = db_int(r, 2);
    return false;
}

enum rc session_find(struct store *st, struct arena *a, struct slice id, int64_t now_ms, int64_t idle_ms,
                     int64_t absolute_ms, struct account *out, struct err *e)
{
    uint8_t digest[32];
    struct session_read x = {.a = a};
    if (id.n != SESSION_TEXT)
        return RC_NOTFOUND;
    struct slice hash = session_digest(id, digest);
    enum rc rc = db_query(store_db(st), e, session_row, &x,
                          "SELECT account_id,created_ms,seen_ms FROM session WHERE hash=?1", "b", hash);
    if (rc != RC_OK)
        return rc;
    if (now_ms - x.seen_ms > idle_ms || now_ms - x.created_ms > absolute_ms) {
        if (session_end(st, id, e) == RC_IO)
            return RC_IO;
        return RC_NOTFOUND;
    }
    if (now_ms - x.seen_ms > SESSION_SEEN_MS &&
        db_run(store_db(st), e, "UPDATE session SET seen_ms=?2 WHERE hash=?1", "bi", hash, now_ms) == RC_IO)
        return RC_IO;
    rc = account_by_id(st, a, x.account_id, out, e);
    return rc == RC_OK && out->disabled ? RC_NOTFOUND : rc;
}

enum rc session_end(struct store *st, struct slice id, struct err *e)
{
    uint8_t digest[32];
    return db_run(store_db(st), e, "DELETE FROM session WHERE hash=?1", "b", session_digest(id, digest));
}

/* ---- links ---- */

enum rc link_create(struct store *st, struct arena *a, enum link_kind kind, struct slice account_id,
                    int64_t now_ms, int64_t valid_ms, struct slice *token, struct err *e)
{
    uint8_t digest[32];
    struct db *db = store_db(st);
    *token = session_secret(a);
    struct slice hash = session_digest(*token, digest);
    enum rc rc = db_begin(db, e);
    if (rc != RC_OK)
        return rc;
    rc = db_run(db, e, "DELETE FROM link WHERE (kind=?1 AND account_id=?2) OR expires_ms<?3", "isi",
                (int64_t)kind, account_id, now_ms);
    if (rc == RC_OK || rc == RC_NOTFOUND)
        rc = db_run(db, e, "INSERT INTO link(hash,kind,account_id,expires_ms) VALUES(?1,?2,?3,?4)", "bisi", hash,
                    (int64_t)kind, account_id, now_ms + valid_ms);
    if (rc == RC_OK)
        return db_commit(db, e);
    db_rollback(db);
    return rc;
}

struct session_link {
    struct arena *a;
    struct slice account_id;
    int64_t kind, expires_ms;
};

static bool session_link_row(void *ctx, const struct db_row *r)
{
    struct session_link *x = ctx;
    x->kind = db_int(r, 0);
    x->account_id = arena_dup(x->a, db_text(r, 1));
    x->expires_ms = db_int(r, 2);
    return false;
}

enum rc link_find(struct store *st, struct arena *a, struct slice token, int64_t now_ms, enum link_kind *kind,
                  struct slice *account_id, int64_t *expires_ms, struct err *e)
{
    uint8_t digest[32];
    struct session_link x = {.a = a};
    if (token.n != SESSION_TEXT)
        return RC_NOTFOUND;
    enum rc rc = db_query(store_db(st), e, session_link_row, &x,
                          "SELECT kind,account_id,expires_ms FROM link WHERE hash=?1 AND expires_ms>?2", "bi",
                          session_digest(token, digest), now_ms);
    if (rc != RC_OK)
        return rc;
    *kind = (enum link_kind)x.kind;
    *account_id = x.account_id;
    *expires_ms = x.expires_ms;
    return RC_OK;
}

enum rc link_use(struct store *st, struct slice token, int64_t now_ms, struct err *e)
{
    uint8_t digest[32];
    return db_run(store_db(st), e, "DELETE FROM link WHERE hash=?1 AND expires_ms>?2", "bi",
                  session_digest(token, digest), now_ms);
}
#undef SESSION_BYTES
#undef SESSION_TEXT
#undef SESSION_SEEN_MS
#undef SESSION_SWEEP_MS
