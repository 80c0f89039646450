/* test_store.c - opening and closing: what is in the way is told, with the cure; figures; speed of a start. */
#include "st.h"

#include "base/clock.h"
#include "base/log.h"
#include "store/db.h"

#include <sys/wait.h>

static char dir[200];
static struct store *st;
static struct err e;

static void one_process_only(void)
{
    char pid[24];
    st = st_disk(dir, STORE_NO);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    struct store *other;
    T_INT(st_try_disk(dir, STORE_NO, &other, &e), RC_BUSY);
    T(strstr(e.text, pid) && strstr(e.text, dir) && strstr(e.text, "--data"));
    store_close(st);
    st = st_disk(dir, STORE_NO);
    store_close(st);
}

static void no_directory(void)
{
    char path[300];
    snprintf(path, sizeof path, "%s/none", dir);
    T_INT(st_try_disk(path, STORE_NO, &st, &e), RC_IO);
    T(strstr(e.text, path) != NULL);
    FILE *f = fopen(path, "w");
    fclose(f);
    T_INT(st_try_disk(path, STORE_NO, &st, &e), RC_IO);
    T(strstr(e.text, "not a directory") != NULL);
    unlink(path);
}

static void a_read_only_directory(void)
{
    if (geteuid() == 0) { /* root writes everywhere: as another user, in a child */
        fflush(stdout);
        chmod(dir, 0755);
        pid_t pid = fork();
        if (pid == 0) {
            enum rc rc = setuid(65534) == 0 ? st_try_disk(dir, STORE_NO, &st, &e) : RC_BUG;
            _exit(rc == RC_IO && strstr(e.text, dir) && strstr(e.text, "rights") ? 0 : 1);
        }
        int status;
        T(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        chmod(dir, 0700);
        return;
    }
    chmod(dir, 0500);
    T_INT(st_try_disk(dir, STORE_NO, &st, &e), RC_IO);
    T(strstr(e.text, dir) && strstr(e.text, "rights"));
    chmod(dir, 0700);
}

static void a_newer_version(void)
{
    st = st_disk(dir, STORE_NO);
    T_INT(db_run(store_db(st), &e, "UPDATE meta SET value=?1 WHERE name='schema'", "i", INT64_C(99)), RC_OK);
    store_close(st);
    T_INT(st_try_disk(dir, STORE_NO, &st, &e), RC_VERSION);
    T(strstr(e.text, "newer") != NULL);
    st_dir_clear(dir);
}

static void starts_at_once(void)
{
    enum { AT_ONCE_NS = 500 * 1000000 };
    st = st_disk(dir, STORE_EVERYSEC);
    store_close(st);
    int64_t best = INT64_MAX;
    for (int i = 0; i < 5 || (i < 100 && best >= AT_ONCE_NS); i++) { /* once in a hundred is enough */
        int64_t t = clock_mono_ns();
        st = st_disk(dir, STORE_EVERYSEC);
        best = MIN(best, clock_mono_ns() - t);
        store_close(st);
    }
    printf("# warm start of an empty store: %.1f ms\n", (double)best / 1e6);
    T(best < AT_ONCE_NS);
}

static void figures(void)
{
    struct store_stats s;
    st_dir_clear(dir);
    st = st_disk(dir, STORE_ALWAYS);
    store_enter(st, st_now);
    ks_set(st, 0, sl("a"), sl("1"), 0);
    ks_set(st, 2, sl("b"), sl("2"), st_now + 5);
    T(ks_find(st, 0, sl("a"), KS_TOUCH) && !ks_find(st, 0, sl("none"), KS_TOUCH));
    T_INT(store_now_ms(st), st_now);
    uint64_t lsn = store_lsn(st);
    store_leave(st);
    T(store_waits(st));
    T_INT(store_sync(st, lsn), RC_OK);
    store_cron(st, st_now + 5);
    store_stats(st, &s);
    T(s.keys[0] == 1 && s.keys[2] == 0 && s.expired == 1 && s.hits == 1 && s.misses == 1 && s.changes == 3);
    T(s.used_bytes > 0 && s.peak_bytes >= s.used_bytes && s.log_bytes > 0 && s.db_bytes > 0 && s.last_sync_ms > 0);
    store_enter(st, st_now);
    store_reset_stats(st);
    store_leave(st);
    store_stats(st, &s);
    T(s.hits == 0 && s.changes == 0 && s.keys[0] == 1);
    store_enter(st, st_now);
    ks_set(st, 0, sl("c"), sl("3"), 0);
    lsn = store_lsn(st);
    T_INT(store_set_durability(st, STORE_NO), RC_OK);
    store_leave(st);
    /* who began to wait in the mode before is not forgotten */
    ST_UNTIL(store_durable_lsn(st) >= lsn);
    T(!store_waits(st));
    T_INT(store_reload(st, &e), RC_OK);
    store_stats(st, &s);
    T_INT(s.applied_lsn, s.lsn);
    T(s.keys[0] == 2 && s.keys[2] == 0);
    store_close(st);
    st_dir_clear(dir);
}

static void memory_engine(void)
{
    struct store_stats s;
    st = st_memory();
    store_stats(st, &s);
    T(s.lsn == 0 && s.durable_lsn == 0 && !store_waits(st) && !store_trouble(st));
    T_INT(store_sync(st, 5), RC_OK);
    T_INT(store_reload(st, &e), RC_BADINPUT);
    T_INT(store_set_durability(st, STORE_ALWAYS), RC_BADINPUT);
    T(store_db(st) != NULL);
    store_close(st);
}

/* The applier works without being asked once the log is longer than a segment. */
static void the_log_becomes_shorter_by_itself(void)
{
    struct store_opts o = {.engine = STORE_SQLITE, .dir = dir, .log_segment_bytes = 64 << 10, .durability = STORE_NO};
    struct store_stats s = {0};
    st_seed();
    T_INT(store_open(&o, &st, &e), RC_OK);
    char key[32], value[200] = {0};
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "key:%d", i);
        store_enter(st, st_now);
        ks_set(st, 0, sl(key), slice_of(value, sizeof value), 0);
        store_leave(st);
    }
    ST_UNTIL((store_stats(st, &s), s.lsn - s.applied_lsn < (64 << 10) && s.log_bytes < (8 << 20)));
    T(s.lsn > 600000 && s.lsn - s.applied_lsn <= 64 << 10);
    T(s.log_bytes < 8 << 20);
    store_close(st);
    st_dir_clear(dir);
}

int main(void)
{
    snprintf(dir, sizeof dir, "%s", st_dir_make());
    log_init(LOG_SILENT, false);
    T_RUN(one_process_only);
    T_RUN(no_directory);
    T_RUN(a_read_only_directory);
    T_RUN(a_newer_version);
    T_RUN(starts_at_once);
    T_RUN(figures);
    T_RUN(memory_engine);
    T_RUN(the_log_becomes_shorter_by_itself);
    st_dir_remove(dir);
    return t_done();
}
