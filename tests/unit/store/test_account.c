/*
 * test_account.c - people, sessions, one-time links and API keys over a store in memory.
 */
#include "st.h"

#include "base/log.h"
#include "store/account.h"
#include "wire/cred.h"

#include <errno.h>

static struct store *st;
static struct arena a;
static struct keyrec_scheme scheme;
static const int64_t now = 1800000000000;

static void begin(void)
{
    struct store_opts o = {.engine = STORE_MEMORY};
    struct err e = {0};
    arena_init(&a, 65536, 0);
    hmac_key_init(&scheme.hmac, S("a secret key of the test"));
    T_INT(store_open(&o, &st, &e), RC_OK);
}

static void end(void)
{
    store_close(st);
    arena_free(&a);
}

static struct account make(const char *email, enum role role)
{
    struct account u = {0};
    struct err e = {0};
    T_INT(account_create(st, &a, slice_str(email), S("Ann"), role, S("$argon2id$x"), now, &u, &e), RC_OK);
    return u;
}

static void email_is_folded_and_unique(void)
{
    begin();
    struct err e = {0};
    struct account u = make("  Ann@Example.COM ", ROLE_OWNER), found, again;
    struct slice phc;
    T_TEXT(u.email, "ann@example.com");
    T_INT(account_by_email(st, &a, S("ANN@example.com"), &found, &phc, &e), RC_OK);
    T(slice_eq(found.id, u.id));
    T_TEXT(phc, "$argon2id$x");
    T_INT(account_create(st, &a, S("ann@EXAMPLE.com"), S(""), ROLE_DEVELOPER, S(""), now, &again, &e), RC_CONFLICT);
    T_TEXT(slice_str(e.place), "email");
    size_t n = 0;
    T_INT(account_count(st, &n, &e), RC_OK);
    T_INT(n, 1);
    end();
}

static void bad_emails_are_refused(void)
{
    static const char *const bad[] = {"", "ann", "@example.com", "ann@", "a@b@c", "a b@c", "a\n@c", "a,b@c"};
    begin();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct account u;
        struct err e = {0};
        T_ROW("%zu", i);
        T_INT(account_create(st, &a, slice_str(bad[i]), S("x"), ROLE_DEVELOPER, S(""), now, &u, &e), RC_BADINPUT);
    }
    end();
}

static void session_lives_and_ends(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_OWNER), found;
    struct slice id;
    struct err e = {0};
    T_INT(session_create(st, &a, u.id, now, &id, &e), RC_OK);
    T_INT(session_find(st, &a, id, now + 1000, 60000, 600000, &found, &e), RC_OK);
    T(slice_eq(found.id, u.id));
    T_INT(session_find(st, &a, S("short"), now, 60000, 600000, &found, &e), RC_NOTFOUND);
    T_INT(session_find(st, &a, id, now + 61001, 60000, 600000, &found, &e), RC_NOTFOUND); /* idle */
    T_INT(session_find(st, &a, id, now + 1000, 60000, 600000, &found, &e), RC_NOTFOUND);  /* gone for good */
    T_INT(session_create(st, &a, u.id, now, &id, &e), RC_OK);
    T_INT(session_find(st, &a, id, now + 600001, 6000000, 600000, &found, &e), RC_NOTFOUND); /* absolute */
    T_INT(session_create(st, &a, u.id, now, &id, &e), RC_OK);
    T_INT(account_set_password(st, u.id, S("$argon2id$y"), now, &e), RC_OK);
    T_INT(session_find(st, &a, id, now + 1, 60000, 600000, &found, &e), RC_NOTFOUND); /* a new password ends it */
    end();
}

static void link_works_once(void)
{
    begin();
    struct slice token, second, account_id;
    enum link_kind kind;
    int64_t expires;
    struct err e = {0};
    T_INT(link_create(st, &a, LINK_SETUP, S(""), now, 1000, &token, &e), RC_OK);
    T_INT(link_find(st, &a, token, now + 999, &kind, &account_id, &expires, &e), RC_OK);
    T_INT(kind, LINK_SETUP);
    T_INT(expires, now + 1000);
    T_INT(link_find(st, &a, token, now + 1000, &kind, &account_id, &expires, &e), RC_NOTFOUND);
    T_INT(link_use(st, token, now + 1, &e), RC_OK);
    T_INT(link_use(st, token, now + 1, &e), RC_NOTFOUND);
    T_INT(link_create(st, &a, LINK_SETUP, S(""), now, 1000, &token, &e), RC_OK);
    T_INT(link_create(st, &a, LINK_SETUP, S(""), now, 1000, &second, &e), RC_OK); /* ends the one before */
    T_INT(link_find(st, &a, token, now, &kind, &account_id, &expires, &e), RC_NOTFOUND);
    T_INT(link_find(st, &a, second, now, &kind, &account_id, &expires, &e), RC_OK);
    end();
}

static struct account_key new_key_of(struct account *u, const char *name, const char *config_id, struct slice *clear,
                                     enum rc wanted)
{
    struct account_key k = {0};
    struct err e = {0};
    struct account_key_opts o = {.account_id = u->id, .name = slice_str(name), .plan = S("gold"), .prefix = S("pst"),
                                 .config_id = slice_str(config_id), .expires_ms = now + 86400000};
    T_INT(account_key_create(st, &scheme, &a, &o, now, &k, clear, &e), wanted);
    return k;
}

static struct account_key new_key(struct account *u, const char *name, struct slice *clear, enum rc wanted)
{
    return new_key_of(u, name, "test", clear, wanted);
}

static enum rc look_up(struct slice clear, struct keyrec *rec)
{
    char hash[KEYREC_HASH_LEN];
    store_enter(st, now);
    enum rc rc = keyrec_get(st, 0, keyrec_hash(&scheme, clear, hash), &a, rec);
    store_leave(st);
    return rc;
}

static void key_is_in_the_keyspace_in_gloos_form(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct slice clear;
    struct keyrec rec;
    struct account_key k = new_key(&u, "laptop", &clear, RC_OK);
    T(apikey_form_ok(clear));
    T(slice_starts(clear, k.public_part));
    T_INT(look_up(clear, &rec), RC_OK);
    T(slice_eq(rec.uuid, k.id));
    T_TEXT(keyrec_meta(&rec, S("username")), "ann@example.com");
    T_TEXT(keyrec_meta(&rec, S("usagePlan")), "gold");
    T_TEXT(keyrec_meta(&rec, S("created-ts-unix")), "1800000000");
    T_TEXT(keyrec_meta(&rec, S("expires-ts-unix")), "1800086400");
    T_TEXT(rec.labels[0], "ann@example.com");
    store_enter(st, now);
    char tmp[KS_TMP];
    struct entry *uuid = ks_find(st, 0, k.id, KS_TOUCH);
    T(uuid && slice_eq(ks_str(uuid, tmp), k.hash));
    store_leave(st);
    end();
}

static void key_names_are_unique_until_revoked(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct slice clear;
    struct keyrec rec;
    struct err e = {0};
    struct account_key k = new_key(&u, "laptop", &clear, RC_OK);
    struct slice unused;
    (void)new_key(&u, "laptop", &unused, RC_CONFLICT);
    T_INT(account_key_revoke(st, &scheme, k.id, now + 5, &e), RC_OK);
    T_INT(look_up(clear, &rec), RC_NOTFOUND);
    T_INT(account_key_revoke(st, &scheme, k.id, now + 5, &e), RC_NOTFOUND);
    (void)new_key(&u, "laptop", &unused, RC_OK);
    struct account_key *rows;
    size_t n = 0;
    T_INT(account_key_list(st, &a, u.id, &rows, &n, &e), RC_OK);
    T_INT(n, 2);
    end();
}

static void disabling_takes_keys_away_and_enabling_gives_them_back(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct slice clear, other, session;
    struct keyrec rec;
    struct err e = {0};
    (void)new_key(&u, "laptop", &clear, RC_OK);
    (void)new_key_of(&u, "phone", "elsewhere", &other, RC_OK);
    T_INT(session_create(st, &a, u.id, now, &session, &e), RC_OK);
    T_INT(account_set_disabled(st, &scheme, u.id, true, now, &e), RC_OK);
    T_INT(look_up(clear, &rec), RC_NOTFOUND);
    T_INT(session_find(st, &a, session, now, 60000, 60000, &u, &e), RC_NOTFOUND);
    T_INT(account_set_disabled(st, &scheme, u.id, false, now, &e), RC_OK);
    T_INT(look_up(clear, &rec), RC_OK);
    T_TEXT(keyrec_meta(&rec, S("config_id")), "test");
    T_INT(look_up(other, &rec), RC_OK);
    T_TEXT(keyrec_meta(&rec, S("config_id")), "elsewhere");
    end();
}

static void a_disabled_account_gets_no_new_key(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct slice clear;
    struct err e = {0};
    T_INT(account_set_disabled(st, &scheme, u.id, true, now, &e), RC_OK);
    (void)new_key(&u, "laptop", &clear, RC_BADINPUT);
    T_INT(account_set_disabled(st, &scheme, u.id, false, now, &e), RC_OK);
    (void)new_key(&u, "laptop", &clear, RC_OK);
    end();
}

/* Another database of the keyspace than the first. */
static void disabling_finds_the_keys_of_the_scheme(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct slice clear;
    struct err e = {0};
    scheme.db = 3;
    (void)new_key(&u, "laptop", &clear, RC_OK);
    T_INT(account_set_disabled(st, &scheme, u.id, true, now, &e), RC_OK);
    store_enter(st, now);
    T_INT(ks_count(st, 3), 0);
    store_leave(st);
    scheme.db = 0;
    end();
}

/* Checks read the entry by hash only, so an LRU policy evicts the one by id first. */
static void revoking_does_not_need_the_entry_by_id(void)
{
    begin();
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct slice clear;
    struct keyrec rec;
    struct err e = {0};
    struct account_key k = new_key(&u, "laptop", &clear, RC_OK);
    store_enter(st, now);
    T(ks_del(st, 0, k.id));
    store_leave(st);
    T_INT(account_key_revoke(st, &scheme, k.id, now, &e), RC_OK);
    T_INT(look_up(clear, &rec), RC_NOTFOUND);
    end();
}

/* ---- a log that cannot be written, while SQLite can ---- */

static bool bad_log; /* atomic */

static int bad_sync(int fd)
{
    (void)fd;
    if (!__atomic_load_n(&bad_log, __ATOMIC_SEQ_CST))
        return 0;
    errno = EIO;
    return -1;
}

static void nothing_is_promised_that_the_log_refuses(void)
{
    struct os_calls real = *os(), calls = real;
    struct slice clear, unused;
    struct keyrec rec;
    struct err e = {0};
    const char *dir = st_dir_make();
    log_init(LOG_SILENT, false);
    calls.fsync = calls.fdatasync = bad_sync;
    os_replace(&calls);
    arena_init(&a, 65536, 0);
    hmac_key_init(&scheme.hmac, S("a secret key of the test"));
    st = st_disk(dir, STORE_EVERYSEC);
    struct account u = make("ann@example.com", ROLE_DEVELOPER);
    struct account_key k = new_key(&u, "laptop", &clear, RC_OK);
    __atomic_store_n(&bad_log, true, __ATOMIC_SEQ_CST);
    store_enter(st, now);
    ks_set(st, 0, S("a"), S("1"), 0);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    T_INT(store_sync(st, lsn), RC_IO);
    (void)new_key(&u, "phone", &unused, RC_IO);
    T_INT(account_key_revoke(st, &scheme, k.id, now, &e), RC_IO);
    T(strstr(e.text, "still works") != NULL);
    T_INT(look_up(clear, &rec), RC_OK);
    T_INT(account_set_disabled(st, &scheme, u.id, true, now, &e), RC_IO);
    T(strstr(e.text, "still works") != NULL);
    struct account_key *rows;
    size_t n = 0;
    T_INT(account_key_list(st, &a, u.id, &rows, &n, &e), RC_OK);
    T_INT(n, 1); /* the phone's is not listed */
    T_INT(rows[0].revoked_ms, 0);
    store_close(st);
    arena_free(&a);
    __atomic_store_n(&bad_log, false, __ATOMIC_SEQ_CST);
    os_replace(&real);
    st_dir_remove(dir);
}

int main(void)
{
    st_seed();
    T_RUN(email_is_folded_and_unique);
    T_RUN(bad_emails_are_refused);
    T_RUN(session_lives_and_ends);
    T_RUN(link_works_once);
    T_RUN(key_is_in_the_keyspace_in_gloos_form);
    T_RUN(key_names_are_unique_until_revoked);
    T_RUN(disabling_takes_keys_away_and_enabling_gives_them_back);
    T_RUN(a_disabled_account_gets_no_new_key);
    T_RUN(disabling_finds_the_keys_of_the_scheme);
    T_RUN(revoking_does_not_need_the_entry_by_id);
    T_RUN(nothing_is_promised_that_the_log_refuses);
    return t_done();
}
