/*
 * db.c - SQLite: one connection behind one lock, statements by literal text, bound values.
 *
 * The only file that sees sqlite3.h. Used by the portal's tables (people, apps, keys), the loader and
 * the applier of the log. Prepared statements are kept by the address of their text, which is a literal.
 * SQLite's allocator is base/mem, its reads, writes, truncations and removals go through base/os, so
 * that budgets and fault injection see them. WAL, synchronous FULL, a page cache of 2 MiB.
 * The lock may be held for the milliseconds of a commit: never call this from a reactor.
 * A thread that is inside db_begin or a row callback may call again; others wait.
 * Tested by tests/unit/store/test_db.c.
 */
#include "store/db_open.h"

#include "base/lock.h"
#include "base/mem.h"
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

enum { DB_STATEMENTS = 512, DB_BUSY_MS = 5000 };

struct db_row {
    sqlite3_stmt *s;
};
struct db_statement {
    const char *sql;
    sqlite3_stmt *s;
    bool busy;
};
struct db {
    struct lock lock; /* guards the connection and everything here */
    sqlite3 *h;
    uint64_t owner; /* atomic: token of the thread inside, 0 if none */
    int depth;
    bool in_tx;
    char *path;
    struct db_statement statements[DB_STATEMENTS];
};

/* ---- SQLite's memory and files are ours ---- */

static void *db_mem_alloc(int n)
{
    return mem_try_realloc(NULL, (size_t)n);
}
static void *db_mem_realloc(void *p, int n)
{
    return mem_try_realloc(p, (size_t)n);
}
static int db_mem_size(void *p)
{
    return (int)mem_size(p);
}
static int db_mem_round(int n)
{
    return (n + 7) & ~7;
}
static int db_mem_init(void *ctx)
{
    (void)ctx;
    return SQLITE_OK;
}
static void db_mem_shutdown(void *ctx)
{
    (void)ctx;
}

static ssize_t db_pread(int fd, void *p, size_t n, off_t at)
{
    return os()->pread(fd, p, n, at);
}
static ssize_t db_pwrite(int fd, const void *p, size_t n, off_t at)
{
    return os()->pwrite(fd, p, n, at);
}
static int db_ftruncate(int fd, off_t n)
{
    return os()->ftruncate(fd, n);
}
static int db_unlink(const char *path)
{
    return os()->unlink(path);
}

static void db_route_calls(void)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr fn;
    } rows[] = {
        {"pread", (sqlite3_syscall_ptr)(void (*)(void))db_pread},
        {"pread64", (sqlite3_syscall_ptr)(void (*)(void))db_pread},
        {"pwrite", (sqlite3_syscall_ptr)(void (*)(void))db_pwrite},
        {"pwrite64", (sqlite3_syscall_ptr)(void (*)(void))db_pwrite},
        {"ftruncate", (sqlite3_syscall_ptr)(void (*)(void))db_ftruncate},
        {"unlink", (sqlite3_syscall_ptr)(void (*)(void))db_unlink},
    };
    sqlite3_vfs *vfs = sqlite3_vfs_find(NULL);
    for (size_t i = 0; vfs && vfs->iVersion >= 3 && i < ARRAY_LEN(rows); i++)
        if (vfs->xGetSystemCall(vfs, rows[i].name)) /* only what this build uses */
            (void)vfs->xSetSystemCall(vfs, rows[i].name, rows[i].fn);
}

static pthread_once_t db_once = PTHREAD_ONCE_INIT;

static void db_init_library(void)
{
    static const sqlite3_mem_methods mem = {db_mem_alloc, mem_free,     db_mem_realloc,  db_mem_size,
                                            db_mem_round, db_mem_init, db_mem_shutdown, NULL};
    (void)sqlite3_config(SQLITE_CONFIG_MALLOC, &mem);
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    MUST(sqlite3_initialize() == SQLITE_OK);
    db_route_calls();
}

/* ---- who is inside ---- */

static _Thread_local char db_token_byte;
static _Thread_local int64_t db_last_rowid;

static uint64_t db_token(void)
{
    return (uint64_t)(uintptr_t)&db_token_byte;
}

static void db_enter(struct db *db)
{
    if (__atomic_load_n(&db->owner, __ATOMIC_RELAXED) != db_token()) {
        lock_take(&db->lock);
        __atomic_store_n(&db->owner, db_token(), __ATOMIC_RELAXED);
    }
    db->depth++;
}

static void db_leave(struct db *db)
{
    if (--db->depth)
        return;
    __atomic_store_n(&db->owner, 0, __ATOMIC_RELAXED);
    lock_drop(&db->lock);
}

/* ---- errors ---- */

static enum rc db_fault(struct db *db, struct err *e)
{
    int code = sqlite3_extended_errcode(db->h);
    const char *why = sqlite3_errmsg(db->h);
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
        return err_set(e, RC_CONFLICT, "%.300s", why);
    case SQLITE_FULL:
        return err_set(e, RC_IO, "no space left for %.250s: free some space there", db->path);
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return err_set(e, RC_IO, "cannot write %.250s (%.60s): check its owner and rights, and those of its directory",
                       db->path, why);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return err_set(e, RC_BUSY, "%.250s is in use by another program: close it", db->path);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return err_set(e, RC_IO, "%.250s is damaged (%.60s): restore a backup", db->path, why);
    case SQLITE_NOMEM:
        return err_set(e, RC_NOMEM, "out of memory for %.250s", db->path);
    default:
        return err_set(e, RC_IO, "%.200s: %.150s", db->path, why);
    }
}

/* ---- statements ---- */

static struct db_statement *db_statement_slot(struct db *db, const char *sql)
{
    size_t at = ((uintptr_t)sql >> 3) % DB_STATEMENTS;
    for (size_t i = 0; i < 16; i++) {
        struct db_statement *s = &db->statements[(at + i) % DB_STATEMENTS];
        if (s->sql == sql || !s->sql)
            return s;
    }
    return NULL;
}

struct db_use {
    sqlite3_stmt *s;
    struct db_statement *slot; /* NULL: finalise after use */
};

static enum rc db_prepare(struct db *db, const char *sql, struct db_use *u, struct err *e)
{
    *u = (struct db_use){NULL, db_statement_slot(db, sql)};
    if (u->slot && u->slot->sql && !u->slot->busy) {
        u->s = u->slot->s;
        u->slot->busy = true;
        return RC_OK;
    }
    if (u->slot && u->slot->sql)
        u->slot = NULL; /* in use further up this thread's stack */
    if (sqlite3_prepare_v3(db->h, sql, -1, u->slot ? SQLITE_PREPARE_PERSISTENT : 0, &u->s, NULL))
        return db_fault(db, e);
    if (u->slot)
        *u->slot = (struct db_statement){sql, u->s, true};
    return RC_OK;
}

static void db_done(struct db_use *u)
{
    if (!u->slot) {
        (void)sqlite3_finalize(u->s);
        return;
    }
    (void)sqlite3_reset(u->s);
    (void)sqlite3_clear_bindings(u->s);
    u->slot->busy = false;
}

static enum rc db_bind(struct db *db, sqlite3_stmt *s, const char *args, va_list ap, struct err *e)
{
    int rc = SQLITE_OK;
    for (int i = 1; *args && rc == SQLITE_OK; args++, i++) {
        struct slice v = {0};
        switch (*args) {
        case 's':
            v = va_arg(ap, struct slice);
            rc = sqlite3_bind_text64(s, i, v.p ? v.p : "", v.n, SQLITE_STATIC, SQLITE_UTF8);
            break;
        case 'b':
            v = va_arg(ap, struct slice);
            rc = sqlite3_bind_blob64(s, i, v.p ? v.p : "", v.n, SQLITE_STATIC);
            break;
        case 'i':
            rc = sqlite3_bind_int64(s, i, va_arg(ap, int64_t));
            break;
        case 'n':
            rc = sqlite3_bind_null(s, i);
            break;
        default:
            return err_set(e, RC_BUG, "unknown argument letter '%c'", *args);
        }
    }
    return rc == SQLITE_OK ? RC_OK : db_fault(db, e);
}

static bool db_changes_rows(const char *sql)
{
    return strncmp(sql, "UPDATE", 6) == 0 || strncmp(sql, "DELETE", 6) == 0;
}

static enum rc db_run_list(struct db *db, struct err *e, const char *sql, const char *args, va_list ap)
{
    struct db_use u;
    enum rc rc = db_prepare(db, sql, &u, e);
    if (rc != RC_OK)
        return rc;
    rc = db_bind(db, u.s, args, ap, e);
    if (rc == RC_OK) {
        int step;
        while ((step = sqlite3_step(u.s)) == SQLITE_ROW) /* PRAGMAs answer with rows: not wanted */
            ;
        if (step != SQLITE_DONE)
            rc = db_fault(db, e);
        else if (db_changes_rows(sql) && sqlite3_changes(db->h) == 0)
            rc = err_set(e, RC_NOTFOUND, "no such row");
        db_last_rowid = sqlite3_last_insert_rowid(db->h);
    }
    db_done(&u);
    return rc;
}

enum rc db_run(struct db *db, struct err *e, const char *sql, const char *args, ...)
{
    va_list ap;
    va_start(ap, args);
    db_enter(db);
    enum rc rc = db_run_list(db, e, sql, args, ap);
    db_leave(db);
    va_end(ap);
    return rc;
}

int64_t db_last_id(struct db *db)
{
    (void)db;
    return db_last_rowid;
}

static enum rc db_query_list(struct db *db, struct err *e, bool (*each)(void *ctx, const struct db_row *r),
                             void *ctx, const char *sql, const char *args, va_list ap)
{
    struct db_use u;
    enum rc rc = db_prepare(db, sql, &u, e);
    if (rc != RC_OK)
        return rc;
    rc = db_bind(db, u.s, args, ap, e);
    size_t rows = 0;
    while (rc == RC_OK) {
        int step = sqlite3_step(u.s);
        if (step == SQLITE_DONE) {
            rc = rows ? RC_OK : err_set(e, RC_NOTFOUND, "no such row");
            break;
        }
        if (step != SQLITE_ROW) {
            rc = db_fault(db, e);
            break;
        }
        rows++;
        struct db_row row = {u.s};
        if (!each(ctx, &row))
            break;
    }
    db_done(&u);
    return rc;
}

enum rc db_query(struct db *db, struct err *e, bool (*each)(void *ctx, const struct db_row *r),
                 void *ctx, const char *sql, const char *args, ...)
{
    va_list ap;
    va_start(ap, args);
    db_enter(db);
    enum rc rc = db_query_list(db, e, each, ctx, sql, args, ap);
    db_leave(db);
    va_end(ap);
    return rc;
}

int64_t db_int(const struct db_row *r, int col)
{
    return sqlite3_column_int64(r->s, col);
}

struct slice db_blob(const struct db_row *r, int col)
{
    const char *p = sqlite3_column_type(r->s, col) == SQLITE_BLOB
                        ? sqlite3_column_blob(r->s, col)
                        : (const char *)sqlite3_column_text(r->s, col);
    return p ? slice_of(p, (size_t)sqlite3_column_bytes(r->s, col)) : S("");
}

struct slice db_text(const struct db_row *r, int col)
{
    return db_blob(r, col);
}

bool db_is_null(const struct db_row *r, int col)
{
    return sqlite3_column_type(r->s, col) == SQLITE_NULL;
}

/* ---- transactions ---- */

enum rc db_begin(struct db *db, struct err *e)
{
    db_enter(db);
    if (NEVER(db->in_tx)) {
        db_leave(db);
        return err_set(e, RC_BUG, "a transaction inside a transaction");
    }
    enum rc rc = db_run(db, e, "BEGIN IMMEDIATE", "");
    if (rc != RC_OK) {
        db_leave(db);
        return rc;
    }
    db->in_tx = true;
    return RC_OK;
}

enum rc db_commit(struct db *db, struct err *e)
{
    enum rc rc = db_run(db, e, "COMMIT", "");
    if (rc != RC_OK) {
        db_rollback(db);
        return rc;
    }
    db->in_tx = false;
    db_leave(db);
    return RC_OK;
}

void db_rollback(struct db *db)
{
    if (!sqlite3_get_autocommit(db->h)) /* some errors roll back by themselves */
        (void)sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
    db->in_tx = false;
    db_leave(db);
}

/* ---- opening ---- */

static bool db_read_pragma(void *ctx, const struct db_row *r)
{
    *(int64_t *)ctx = db_int(r, 0);
    return false;
}

static enum rc db_settings(struct db *db, struct err *e)
{
    static const char *const pragmas[] = {
        "PRAGMA journal_mode=WAL",    "PRAGMA synchronous=FULL",  "PRAGMA cache_size=-2048",
        "PRAGMA temp_store=MEMORY",   "PRAGMA foreign_keys=ON",   "PRAGMA journal_size_limit=16777216",
        "PRAGMA trusted_schema=OFF",  "PRAGMA wal_autocheckpoint=4000",
    };
    enum rc rc = RC_OK;
    for (size_t i = 0; rc == RC_OK && i < ARRAY_LEN(pragmas); i++)
        rc = db_run(db, e, pragmas[i], "");
    int64_t sync = 0;
    if (rc == RC_OK)
        rc = db_query(db, e, db_read_pragma, &sync, "PRAGMA synchronous", "");
    if (rc == RC_OK && sync != 2)
        rc = err_set(e, RC_BUG, "SQLite does not sync as asked (synchronous=%lld)", (long long)sync);
    return rc;
}

enum rc db_open(const char *path, struct db **out, struct err *e)
{
    (void)pthread_once(&db_once, db_init_library);
    struct db *db = mem_zalloc(sizeof *db);
    db->path = mem_strdup(path ? path : ":memory:");
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    enum rc rc = RC_OK;
    if (sqlite3_open_v2(db->path, &db->h, flags, NULL) != SQLITE_OK)
        rc = db->h ? db_fault(db, e) : err_set(e, RC_NOMEM, "out of memory for %s", db->path);
    if (rc == RC_OK) {
        (void)sqlite3_busy_timeout(db->h, DB_BUSY_MS);
        rc = db_settings(db, e);
    }
    if (rc == RC_OK)
        rc = db_migrate(db, db->path, e);
    if (rc != RC_OK) {
        db_close(db);
        return rc;
    }
    *out = db;
    return RC_OK;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    for (size_t i = 0; i < DB_STATEMENTS; i++)
        (void)sqlite3_finalize(db->statements[i].s);
    (void)sqlite3_close(db->h);
    mem_free(db->path);
    mem_free(db);
}

enum rc db_checkpoint(struct db *db, struct err *e)
{
    db_enter(db);
    int rc = sqlite3_wal_checkpoint_v2(db->h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    enum rc out = rc == SQLITE_OK ? RC_OK : db_fault(db, e);
    db_leave(db);
    return out;
}

void db_trim(struct db *db)
{
    db_enter(db);
    (void)sqlite3_db_release_memory(db->h);
    db_leave(db);
}
