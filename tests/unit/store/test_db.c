/* test_db.c - the SQLite connection: values, errors, transactions, nesting, migrations. */
#include "st.h"

#include "base/log.h"
#include "store/db_open.h"

static char dir[200], path[240];
static struct db *db;
static struct err e;

struct row {
    int64_t id;
    char name[40], raw[40];
    size_t raw_n;
    bool null;
    int rows;
};

static bool read_row(void *ctx, const struct db_row *r)
{
    struct row *o = ctx;
    o->id = db_int(r, 0);
    snprintf(o->name, sizeof o->name, "%.*s", SFMT(db_text(r, 1)));
    struct slice raw = db_blob(r, 2);
    o->raw_n = MIN(raw.n, sizeof o->raw);
    memcpy(o->raw, raw.p, o->raw_n);
    o->null = db_is_null(r, 2);
    return ++o->rows < 2;
}

static void open_table(void)
{
    T_INT(db_open(path, &db, &e), RC_OK);
    T_INT(db_run(db, &e, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT UNIQUE, raw BLOB)", ""), RC_OK);
}

static void close_table(void)
{
    db_close(db);
    st_dir_clear(dir);
}

static void values_go_and_come(void)
{
    open_table();
    struct row row = {0};
    T_INT(db_run(db, &e, "INSERT INTO t(name, raw) VALUES(?1, ?2)", "sb", sl("it's; DROP TABLE t"), slice_of("a\0b", 3)), RC_OK);
    T_INT(db_last_id(db), 1);
    T_INT(db_run(db, &e, "INSERT INTO t(id, name, raw) VALUES(?1, ?2, ?3)", "isn", INT64_C(7000000000), sl("two")), RC_OK);
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t WHERE id=?1", "i", INT64_C(1)), RC_OK);
    T_TEXT(sl(row.name), "it's; DROP TABLE t");
    T(row.raw_n == 3 && memcmp(row.raw, "a\0b", 3) == 0 && !row.null);
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t WHERE name=?1", "s", sl("two")), RC_OK);
    T(row.id == 7000000000 && row.null && row.raw_n == 0);
    row.rows = 0;
    T_INT(db_run(db, &e, "INSERT INTO t(name, raw) VALUES(?1, ?2)", "sb", sl("three"), S("")), RC_OK);
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t ORDER BY id", ""), RC_OK);
    T_INT(row.rows, 2); /* it said stop */
    close_table();
}

static void results_have_names(void)
{
    open_table();
    struct row row = {0};
    T_INT(db_run(db, &e, "INSERT INTO t(name) VALUES(?1)", "s", sl("a")), RC_OK);
    T_INT(db_run(db, &e, "INSERT INTO t(name) VALUES(?1)", "s", sl("a")), RC_CONFLICT);
    T_INT(db_run(db, &e, "UPDATE t SET name=?1 WHERE id=?2", "si", sl("b"), INT64_C(99)), RC_NOTFOUND);
    T_INT(db_run(db, &e, "DELETE FROM t WHERE id=?1", "i", INT64_C(99)), RC_NOTFOUND);
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t WHERE id=?1", "i", INT64_C(99)), RC_NOTFOUND);
    T_INT(db_run(db, &e, "SELEKT", ""), RC_IO);
    T(strstr(e.text, path) != NULL);
    T_INT(db_run(db, &e, "DELETE FROM t WHERE id=?1", "x"), RC_BUG);
    close_table();
}

static bool nested(void *ctx, const struct db_row *r)
{
    struct row row = {0};
    *(int *)ctx += 1;
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t WHERE id=?1", "i", db_int(r, 0)), RC_OK);
    T_INT(row.id, db_int(r, 0));
    int deeper = 0;
    if (db_int(r, 0) == 1)
        T_INT(db_query(db, &e, nested, &deeper, "SELECT id FROM t WHERE id > ?1", "i", INT64_C(1)), RC_OK);
    return true;
}

static void queries_nest(void)
{
    open_table();
    for (int i = 0; i < 3; i++)
        T_INT(db_run(db, &e, "INSERT INTO t(raw) VALUES(NULL)", ""), RC_OK);
    int n = 0;
    T_INT(db_query(db, &e, nested, &n, "SELECT id FROM t WHERE id > ?1", "i", INT64_C(0)), RC_OK);
    T_INT(n, 3);
    close_table();
}

static void transactions(void)
{
    open_table();
    struct row row = {0};
    T_INT(db_begin(db, &e), RC_OK);
    T_INT(db_run(db, &e, "INSERT INTO t(name) VALUES(?1)", "s", sl("gone")), RC_OK);
    db_rollback(db);
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t", ""), RC_NOTFOUND);
    T_INT(db_begin(db, &e), RC_OK);
    T_INT(db_run(db, &e, "INSERT INTO t(name) VALUES(?1)", "s", sl("kept")), RC_OK);
    T_INT(db_run(db, &e, "INSERT INTO t(name) VALUES(?1)", "s", sl("kept")), RC_CONFLICT);
    T_INT(db_commit(db, &e), RC_OK);
    db_close(db);
    T_INT(db_open(path, &db, &e), RC_OK);
    T_INT(db_query(db, &e, read_row, &row, "SELECT id, name, raw FROM t", ""), RC_OK);
    T_TEXT(sl(row.name), "kept");
    T_INT(db_checkpoint(db, &e), RC_OK);
    close_table();
}

static void a_newer_schema_is_refused(void)
{
    open_table();
    T_INT(db_run(db, &e, "UPDATE meta SET value=?1 WHERE name='schema'", "i", INT64_C(9999)), RC_OK);
    db_close(db);
    T_INT(db_open(path, &db, &e), RC_VERSION);
    T(strstr(e.text, "newer") && strstr(e.text, "9999"));
    st_dir_clear(dir);
}

static void a_damaged_file_is_told(void)
{
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 10000; i++)
        fputs("not a database ", f);
    fclose(f);
    T_INT(db_open(path, &db, &e), RC_IO);
    T(strstr(e.text, "damaged") && strstr(e.text, path));
    st_dir_clear(dir);
}

static void in_memory(void)
{
    T_INT(db_open(NULL, &db, &e), RC_OK);
    struct row row = {0};
    T_INT(db_query(db, &e, read_row, &row, "SELECT value, name, NULL FROM meta WHERE name='schema'", ""), RC_OK);
    T(row.id >= 1);
    db_close(db);
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    snprintf(path, sizeof path, "%s/test.db", dir);
    log_init(LOG_SILENT, false);
    T_RUN(values_go_and_come);
    T_RUN(results_have_names);
    T_RUN(queries_nest);
    T_RUN(transactions);
    T_RUN(a_newer_schema_is_refused);
    T_RUN(a_damaged_file_is_told);
    T_RUN(in_memory);
    st_dir_remove(dir);
    return t_done();
}
